//! The directory file: TOML in, checked entries out, or one error that says which line and why.
//!
//! Reads nothing by itself: certificate files are asked for through the closure it is given.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::party::*;
use super::{Directory, Endpoint, Fingerprint};
use crate::model::{Asid, CpaId, OdsCode, PartyKey, Timestamp};
use crate::transfer::retry::Repeat;

mod duration;
mod error;
mod trust;

use duration::IsoDuration;
pub use error::{DirectoryError, EntryError};
use trust::Sources;

/// More entries than every practice and establishment of the United Kingdom, twice over.
const MOST_PARTIES: usize = 30_000;

/// The actions a party may have a route or contract of its own for (wire reference §1.2).
const ACTIONS: [&str; 7] = [
    "RCMR_IN010000UK05",
    "RCMR_IN030000UK06",
    "RCMR_IN030000UK07",
    "COPC_IN000001UK01",
    "MCCI_IN010000UK13",
    "Acknowledgment",
    "MessageError",
];

impl Directory {
    /// Reads a whole directory. Relative certificate paths are taken from `folder`; `read` fetches them.
    pub fn parse(
        text: &str,
        folder: &Path,
        read: &mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Self, DirectoryError> {
        let file: File = toml::from_str(text).map_err(Box::new)?;
        if file.party.len() > MOST_PARTIES {
            return Err(DirectoryError::TooLarge { limit: MOST_PARTIES, unit: "parties" });
        }
        let mut sources = Sources::new(folder, read);
        let mut lines = Vec::with_capacity(file.party.len());
        let mut directory = Self::default();
        for entry in file.party {
            let line = 1 + text[..entry.span().start].matches('\n').count();
            let ods = entry.get_ref().ods.clone();
            let refuse = |problem| DirectoryError::Entry { line, ods: ods.clone(), problem };
            let party = entry.into_inner().check(&mut sources).map_err(refuse)?;
            directory.add(party, &lines).map_err(refuse)?;
            lines.push(line);
        }
        directory.version = Some(sources.version(text));
        Ok(directory)
    }

    fn add(&mut self, party: Party, lines: &[usize]) -> Result<(), EntryError> {
        let index = self.parties.len();
        if let Some(other) = self.by_ods.insert(party.ods.clone(), index) {
            return Err(EntryError::Duplicate { field: "ods", other_line: lines[other] });
        }
        if let Some(address) = party.address()
            && let Some(other) = self.by_party_key.insert(address.party_key.clone(), index)
        {
            return Err(EntryError::Duplicate { field: "party_key", other_line: lines[other] });
        }
        self.parties.push(party);
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    party: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    ods: OdsCode,
    name: String,
    kind: PartyKind,
    #[serde(default)]
    served: bool,
    party_key: Option<PartyKey>,
    asid: Option<Asid>,
    cpa_id: Option<CpaId>,
    url: Option<Endpoint>,
    profile: Option<Profile>,
    delivery: Option<Delivery>,
    repeat: Option<Repeat>,
    answer: Option<AnswerStatus>,
    large_messaging: Option<bool>,
    valid_from: Option<Timestamp>,
    valid_until: Option<Timestamp>,
    extra_headers: Option<BTreeMap<String, String>>,
    actions: Option<BTreeMap<String, ActionEntry>>,
    contract: Option<ContractEntry>,
    signing: Option<SigningEntry>,
    tls: Option<TlsEntry>,
    limits: Option<LimitsEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionEntry {
    url: Option<Endpoint>,
    cpa_id: Option<CpaId>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ContractEntry {
    retries: Option<u32>,
    retry_interval: Option<IsoDuration>,
    persist_duration: Option<IsoDuration>,
    ack_requested: Option<AckRequested>,
    sync_reply: Option<SyncReply>,
    duplicate_elimination: Option<DuplicateElimination>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct SigningEntry {
    #[serde(default)]
    certificates: Vec<String>,
    issuer: Option<String>,
    subject: Option<String>,
    legacy_sha1_until: Option<Timestamp>,
    #[serde(default)]
    legacy_hop_headers: bool,
    #[serde(default)]
    legacy_no_xpath: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct TlsEntry {
    #[serde(default)]
    ca: Vec<String>,
    server_name: Option<String>,
    #[serde(default)]
    server_pins: Vec<Fingerprint>,
    #[serde(default)]
    client_pins: Vec<Fingerprint>,
    #[serde(default)]
    client_names: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LimitsEntry {
    message_bytes: Option<u64>,
    attachments: Option<u32>,
}

impl Entry {
    fn check(mut self, sources: &mut Sources<'_>) -> Result<Party, EntryError> {
        if self.name.trim().is_empty() || self.name.len() > 200 {
            return Err(EntryError::OutOfBounds { field: "name", rule: "1 to 200 characters" });
        }
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && from >= until
        {
            return Err(EntryError::Contradiction("valid_until must be after valid_from"));
        }
        let (ods, name, kind) = (self.ods.clone(), std::mem::take(&mut self.name), self.kind);
        let (valid_from, valid_until) = (self.valid_from, self.valid_until);
        let standing = match (kind.takes_part(), self.served) {
            (false, false) => self.refused()?,
            (false, true) => {
                return Err(EntryError::Contradiction(
                    "a setting of this kind takes no part, so it cannot be served",
                ));
            }
            (true, true) => self.served()?,
            (true, false) => Standing::Peer(Box::new(self.peer(sources)?)),
        };
        Ok(Party { ods, name, kind, valid_from, valid_until, standing })
    }

    /// A refused setting is only a name: an address for it would invite its use.
    fn refused(self) -> Result<Standing, EntryError> {
        let what = "a setting that takes no part";
        match self.first_peer_field().or(self.party_key.is_some().then_some("party_key")) {
            Some(field) => Err(EntryError::Misplaced { field, what }),
            None => Ok(Standing::Refused),
        }
    }

    fn served(self) -> Result<Standing, EntryError> {
        if let Some(field) = self.first_peer_field() {
            return Err(EntryError::Misplaced { field, what: "a party we serve: the settings say it" });
        }
        let (address, urls) = self.address()?;
        match urls.is_empty() {
            true => Ok(Standing::Served(address)),
            false => Err(EntryError::Misplaced { field: "actions.….url", what: "a party we serve" }),
        }
    }

    fn first_peer_field(&self) -> Option<&'static str> {
        let fields = [
            ("url", self.url.is_some()),
            ("profile", self.profile.is_some()),
            ("delivery", self.delivery.is_some()),
            ("repeat", self.repeat.is_some()),
            ("answer", self.answer.is_some()),
            ("large_messaging", self.large_messaging.is_some()),
            ("extra_headers", self.extra_headers.is_some()),
            ("contract", self.contract.is_some()),
            ("signing", self.signing.is_some()),
            ("tls", self.tls.is_some()),
            ("limits", self.limits.is_some()),
        ];
        fields.into_iter().find_map(|(field, present)| present.then_some(field))
    }

    fn address(&self) -> Result<(Address, BTreeMap<String, Endpoint>), EntryError> {
        let party_key = self.party_key.clone().ok_or(EntryError::Missing("party_key"))?;
        let asid = self.asid.clone().ok_or(EntryError::Missing("asid"))?;
        let cpa_id = self.cpa_id.clone().ok_or(EntryError::Missing("cpa_id"))?;
        let (mut cpas, mut urls) = (BTreeMap::new(), BTreeMap::new());
        for (action, own) in self.actions.iter().flatten() {
            if !ACTIONS.contains(&action.as_str()) {
                return Err(EntryError::UnknownAction(action.clone()));
            }
            own.cpa_id.iter().for_each(|cpa| drop(cpas.insert(action.clone(), cpa.clone())));
            own.url.iter().for_each(|url| drop(urls.insert(action.clone(), url.clone())));
        }
        Ok((Address::new(party_key, asid, cpa_id, cpas), urls))
    }

    fn peer(self, sources: &mut Sources<'_>) -> Result<Peer, EntryError> {
        let (address, endpoint_by_action) = self.address()?;
        let profile = self.profile.unwrap_or(Profile::Signed);
        let delivery = self.delivery.unwrap_or(Delivery::OnRequest);
        let repeat = self.repeat.unwrap_or(match delivery {
            Delivery::Push => Repeat::UntilAcknowledged,
            Delivery::OnRequest => Repeat::Never,
        });
        let signing = self.signing.unwrap_or_default();
        let leniency = signing.leniency();
        Ok(Peer {
            address,
            endpoint: self.url.ok_or(EntryError::Missing("url"))?,
            endpoint_by_action,
            extra_headers: extra_headers(self.extra_headers.unwrap_or_default())?,
            profile,
            delivery,
            repeat,
            contract: self.contract.unwrap_or_default().check(profile)?,
            signing_pins: signing.pins(profile, sources)?,
            leniency,
            tls: self.tls.unwrap_or_default().check(sources)?,
            limits: self.limits.unwrap_or_default().check()?,
            answer: self.answer.unwrap_or(AnswerStatus::Ok),
            large_messaging: self.large_messaging.unwrap_or(true),
        })
    }
}

/// Headers that say what the request is cannot be changed from the directory.
fn extra_headers(given: BTreeMap<String, String>) -> Result<Vec<(String, String)>, EntryError> {
    const OURS: [&str; 6] =
        ["host", "content-length", "content-type", "transfer-encoding", "connection", "soapaction"];
    let fits = |(name, value): &(String, String)| {
        hyper::header::HeaderName::try_from(name.as_str()).is_ok_and(|n| !OURS.contains(&n.as_str()))
            && hyper::header::HeaderValue::try_from(value.as_str()).is_ok()
    };
    let headers: Vec<(String, String)> = given.into_iter().collect();
    if headers.len() > 16 || !headers.iter().all(fits) {
        let rule = "at most 16 well-formed header lines other than those of the message itself";
        return Err(EntryError::OutOfBounds { field: "extra_headers", rule });
    }
    Ok(headers)
}

impl ContractEntry {
    fn check(self, profile: Profile) -> Result<Contract, EntryError> {
        let ack_requested = self.ack_requested.unwrap_or(match profile {
            Profile::Signed => AckRequested::ToParty,
            Profile::Spine => AckRequested::NextMsh,
        });
        if profile == Profile::Signed && ack_requested != AckRequested::ToParty {
            let why = "a signed party acknowledges to-party: an acknowledgement of the next hop is worthless as a receipt";
            return Err(EntryError::Contradiction(why));
        }
        let retries = self.retries.unwrap_or(2);
        if retries > 20 {
            return Err(EntryError::OutOfBounds { field: "contract.retries", rule: "0 to 20" });
        }
        let interval = "contract.retry_interval";
        let persist = "contract.persist_duration";
        Ok(Contract {
            retries,
            // Typical of the national directory: PT1M (wire reference §5.1); six hours is within the lives seen.
            retry_interval: IsoDuration::within(self.retry_interval, interval, 60, 86_400)?,
            persist_duration: IsoDuration::within(self.persist_duration, persist, 6 * 3600, 84 * 86_400)?,
            ack_requested,
            sync_reply: self.sync_reply.unwrap_or(SyncReply::Signals),
            duplicate_elimination: self.duplicate_elimination.unwrap_or(DuplicateElimination::Always),
        })
    }
}

impl LimitsEntry {
    fn check(self) -> Result<MessageLimits, EntryError> {
        // 4,999,600 octets and 98 attachments are what the strictest known handler takes (wire reference §2.1).
        let message_bytes = self.message_bytes.unwrap_or(4_999_600);
        let attachments = self.attachments.unwrap_or(98);
        if !(65_536..=100_000_000).contains(&message_bytes) {
            let rule = "65536 to 100000000 octets";
            return Err(EntryError::OutOfBounds { field: "limits.message_bytes", rule });
        }
        if attachments > 1000 {
            return Err(EntryError::OutOfBounds { field: "limits.attachments", rule: "at most 1000" });
        }
        Ok(MessageLimits { message_bytes, attachments })
    }
}

#[cfg(test)]
mod tests;
