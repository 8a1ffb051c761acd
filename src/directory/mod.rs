//! The directory: ODS code or party key → who they are, whether they take part, how to reach them, what to
//! believe from them.
//!
//! [`Directory::parse`] turns one TOML file into checked entries, or into one error that names the line; a file
//! is taken whole or not at all. [`DirectoryHandle`] keeps the last good one while the file changes. Looking
//! parties up at the national directory service is deliberately not done here.

mod endpoint;
mod file;
mod handle;
mod party;

use std::collections::HashMap;

pub use crate::packet::fingerprint::{Digesting, Fingerprint, InvalidFingerprint};
pub use endpoint::{Endpoint, InvalidEndpoint};
pub use file::{DirectoryError, EntryError};
pub use handle::{DirectoryHandle, DirectoryStatus};
pub use party::{
    AckRequested, Address, AnswerStatus, Contract, Delivery, DuplicateElimination, MessageLimits, Party,
    PartyKind, Peer, PeerTls, Profile, Standing, SyncReply,
};

use crate::model::{OdsCode, PartyKey};

/// One good load of the directory file.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    parties: Vec<Party>,
    by_ods: HashMap<OdsCode, usize>,
    by_party_key: HashMap<PartyKey, usize>,
    version: Option<Fingerprint>,
}

impl Directory {
    /// The party with this ODS code, in force or not: ask [`Party::valid_at`].
    pub fn by_ods(&self, ods: &OdsCode) -> Option<&Party> {
        self.by_ods.get(ods).map(|index| &self.parties[*index])
    }

    /// The party with this transport address.
    pub fn by_party_key(&self, party_key: &PartyKey) -> Option<&Party> {
        self.by_party_key.get(party_key).map(|index| &self.parties[*index])
    }

    /// Every entry, in the order of the file.
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// The organisations this daemon speaks for.
    pub fn served(&self) -> impl Iterator<Item = &Party> {
        self.parties.iter().filter(|p| matches!(p.standing, Standing::Served(_)))
    }

    /// The organisations at the other end.
    pub fn peers(&self) -> impl Iterator<Item = (&Party, &Peer)> {
        self.parties.iter().filter_map(|p| p.peer().map(|peer| (p, peer)))
    }

    /// SHA-256 over the file and the certificate files it names: what a message records as the version used
    /// (wire reference §7.2). The empty directory has none.
    pub fn version(&self) -> Option<Fingerprint> {
        self.version
    }
}
