//! What is refused is not lost: it is sealed and put into quarantine with its reason, for a person to look at.
//!
//! Only callers whose certificate was accepted come this far, and each may fill only so much. What the sender is
//! answered is not decided here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Posted;
use super::judge::Objection;
use crate::engine::ledger::{self, Quarantined};
use crate::engine::{Handle, Input};
use crate::model::{Timestamp, TransferId};
use crate::packet::Packet;
use crate::packet::fingerprint::Fingerprint;
use crate::store::{Store, Table, Vault};
use crate::telemetry::Metrics;
use crate::transfer::dispatch::PacketRef;

/// Refused messages of one certificate that are kept at once; afterwards one each [`EACH`]. A party that sends
/// wrongly shows how in a handful, and sixty of the largest messages are 300 MB.
const AT_ONCE: u32 = 60;
/// One a minute, so sixty an hour: more than a person looks at, less than fills a disk before one does.
const EACH: Duration = Duration::from_secs(60);
/// Certificates that are counted: as many as there may be connections.
const CALLERS: usize = 1024;
/// The longest declared type that is kept in the row; the whole line is sealed with the body.
const TYPE_CHARS: usize = 200;

/// Why a message is put aside, in one word each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It cannot be read.
    Unreadable,
    /// A rule of its signature is broken.
    SignatureRefused,
    /// The directory does not know its sender, or not any more.
    UnknownSender,
    /// The connection's certificate is not its sender's.
    OtherCertificate,
    /// It is for nobody here, or under a contract that is nobody's.
    Misaddressed,
    /// Its content is not what its action says.
    ContentRefused,
    /// Its MessageId was used before for other content.
    ConflictingMessage,
    /// It belongs to no transfer.
    BelongsToNobody,
}

impl Reason {
    /// Why a message with this objection is put aside. What came too late, or asks for what we do not do, is no more
    /// than refused: its sender has it and was told.
    pub(super) fn of(objection: &Objection) -> Option<Self> {
        match objection {
            Objection::UnknownSender | Objection::SenderNotInForce => Some(Self::UnknownSender),
            Objection::Certificate(_) => Some(Self::OtherCertificate),
            Objection::Signature(_) => Some(Self::SignatureRefused),
            Objection::NotOurs | Objection::UnknownContract => Some(Self::Misaddressed),
            Objection::UnknownAction | Objection::Expired => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::SignatureRefused => "signature_refused",
            Self::UnknownSender => "unknown_sender",
            Self::OtherCertificate => "other_certificate",
            Self::Misaddressed => "misaddressed",
            Self::ContentRefused => "content_refused",
            Self::ConflictingMessage => "conflicting_message",
            Self::BelongsToNobody => "belongs_to_nobody",
        }
    }
}

/// A message that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) reason: Reason,
    /// What is wrong and where, without values.
    pub(super) fault: String,
}

/// Puts refused messages aside.
pub struct Aside {
    engine: Handle,
    vault: Vault,
    store: Store,
    metrics: Arc<Metrics>,
    allowance: Mutex<Allowance>,
}

impl Aside {
    /// With nothing counted yet.
    pub fn new(engine: Handle, vault: Vault, store: Store, metrics: Arc<Metrics>) -> Self {
        Self { engine, vault, store, metrics, allowance: Mutex::new(Allowance::default()) }
    }

    /// Seals it and puts it into quarantine, as far as its caller has not filled its share. The same octets again
    /// make no second row, and no second copy while the first waits for a person.
    pub(super) async fn put(&self, posted: &Posted, refused: Refused, now: Timestamp) {
        let id = identity(posted);
        if self.is_known(id) {
            return;
        }
        let (reason, kept) = (refused.reason.as_str(), self.may_keep(posted, now));
        self.metrics.refused(kept);
        if !kept {
            let caller = posted.caller.certificate().map(|c| c.to_string());
            return tracing::warn!(
                reason,
                caller,
                bytes = posted.body.len(),
                "a refused message was not kept"
            );
        }
        match self.vault.put(&packet(posted).to_file()).await {
            Ok(sealed) => {
                let entry = entry(posted, id, refused, PacketRef(sealed.to_string()), now);
                tracing::warn!(quarantine = %id, reason, "a message was put aside");
                // An engine that has stopped answers nobody: the sender will come again.
                let _stopped = self.engine.submit(Input::Quarantine { entry, outcome: None }).await;
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a message could not be put aside");
            }
        }
    }

    fn is_known(&self, id: TransferId) -> bool {
        let row = self.store.get(Table::Quarantine, &ledger::quarantine_key(id));
        let entry = row.ok().flatten().and_then(|row| ledger::decode::<Quarantined>(&row).ok());
        entry.is_some_and(|entry| entry.settled.is_none())
    }

    /// What is left of a nearly full disk is for what was accepted.
    fn may_keep(&self, posted: &Posted, now: Timestamp) -> bool {
        let room = self.store.space().is_ok_and(|space| !space.low);
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        room && posted.caller.certificate().is_some_and(|caller| allowance.spend(caller, now))
    }
}

/// As it was posted, to be sealed.
pub(super) fn packet(posted: &Posted) -> Packet {
    Packet {
        content_type: posted.content_type.clone(),
        soap_action: posted.soap_action.clone(),
        body: posted.body.to_vec(),
    }
}

/// What is put aside if a message that was taken belongs to nobody.
pub(super) fn stranger(posted: &Posted, body: PacketRef, now: Timestamp) -> Quarantined {
    let fault = "it belongs to no transfer of ours".to_owned();
    entry(posted, identity(posted), Refused { reason: Reason::BelongsToNobody, fault }, body, now)
}

fn identity(posted: &Posted) -> TransferId {
    TransferId::derived(&["quarantine", "inbox", &Fingerprint::of(&posted.body).to_string()])
}

fn entry(posted: &Posted, id: TransferId, refused: Refused, body: PacketRef, now: Timestamp) -> Quarantined {
    Quarantined {
        id,
        at: now,
        origin: "inbox".to_owned(),
        content_type: posted.content_type.chars().take(TYPE_CHARS).collect(),
        reason: refused.reason.as_str().to_owned(),
        faults: vec![refused.fault],
        bytes: posted.body.len() as u64,
        body,
        settled: None,
        earlier: Vec::new(),
    }
}

/// How much each caller may still have kept: for each, the moment up to which its share is used.
#[derive(Debug, Default)]
struct Allowance {
    used_until: HashMap<Fingerprint, Timestamp>,
}

impl Allowance {
    /// Takes one from the caller's share, if there is one left.
    fn spend(&mut self, caller: Fingerprint, now: Timestamp) -> bool {
        if self.used_until.len() >= CALLERS && !self.used_until.contains_key(&caller) {
            self.used_until.retain(|_, until| *until > now);
            if self.used_until.len() >= CALLERS {
                return false;
            }
        }
        let until = self.used_until.entry(caller).or_insert(now);
        let next = (*until).max(now).plus(EACH);
        let left = next <= now.plus(EACH * AT_ONCE);
        if left {
            *until = next;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_may_fill_its_own_share_and_no_more() {
        let mut allowance = Allowance::default();
        let (one, other) = (Fingerprint::of(b"one"), Fingerprint::of(b"other"));
        let start = Timestamp::from_millis(1_000_000);
        let kept = (0..100).filter(|_| allowance.spend(one, start)).count();
        assert_eq!(kept, 60, "as many as are kept at once");
        assert!(allowance.spend(other, start), "another's share is untouched");
        let hour = start.plus(Duration::from_secs(3600));
        let kept = (0..100).filter(|_| allowance.spend(one, hour)).count();
        assert_eq!(kept, 60, "an hour later there is room for as many again");
        assert!(!allowance.spend(one, hour.plus(Duration::from_secs(59))));
        assert!(allowance.spend(one, hour.plus(Duration::from_secs(60))), "then one a minute");
    }

    #[test]
    fn the_count_itself_does_not_grow_without_end() {
        let mut allowance = Allowance::default();
        let start = Timestamp::from_millis(1_000_000);
        let caller = |n: usize| Fingerprint::of(&n.to_be_bytes());
        let kept = (0..CALLERS + 10).filter(|n| allowance.spend(caller(*n), start)).count();
        assert_eq!(kept, CALLERS, "beyond it nothing is kept");
        let later = start.plus(EACH);
        assert!(allowance.spend(caller(CALLERS + 1), later), "until some have their whole share again");
        assert_eq!(allowance.used_until.len(), 1);
    }
}
