//! What the directory knows of one organisation: who it is, how it is reached, and what its contract says.
//!
//! Plain facts, checked when the file was read ([`super::Directory::parse`]); nothing here decides what to do
//! with them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Fingerprint;
use super::endpoint::Endpoint;
use crate::model::{Asid, CpaId, OdsCode, PartyKey, Timestamp};
use crate::packet::signature::Pins;
use crate::packet::signature::verify::Leniency;
use crate::transfer::retry::{self, Repeat};

/// The settings of custody reference §2: who takes part in GP2GP, and who is known only to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartyKind {
    /// A community GP practice (RO76).
    Practice,
    /// A prison (RO82).
    Prison,
    /// A young offender institution (RO260).
    YoungOffenderInstitution,
    /// A secure training centre (RO257).
    SecureTrainingCentre,
    /// An immigration removal centre (RO251).
    ImmigrationRemovalCentre,
    /// A secure children's home (RO256).
    SecureChildrensHome,
    /// A police custody suite: has no registered list, refused.
    PoliceCustody,
    /// A court: refused.
    Court,
    /// A sexual assault referral centre (RO258): refused.
    SexualAssaultReferralCentre,
    /// A Border Force setting: refused.
    BorderForce,
    /// Any other justice setting: refused.
    OtherJustice,
}

impl PartyKind {
    /// Whether organisations of this kind take part at all (custody reference §2).
    pub fn takes_part(self) -> bool {
        match self {
            Self::Practice
            | Self::Prison
            | Self::YoungOffenderInstitution
            | Self::SecureTrainingCentre
            | Self::ImmigrationRemovalCentre
            | Self::SecureChildrensHome => true,
            Self::PoliceCustody
            | Self::Court
            | Self::SexualAssaultReferralCentre
            | Self::BorderForce
            | Self::OtherJustice => false,
        }
    }

    /// Whether people of this kind of place are in custody: the side whose releases and receptions we carry.
    pub fn is_custody(self) -> bool {
        self.takes_part() && self != Self::Practice
    }

    /// The word the directory file uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Practice => "practice",
            Self::Prison => "prison",
            Self::YoungOffenderInstitution => "young_offender_institution",
            Self::SecureTrainingCentre => "secure_training_centre",
            Self::ImmigrationRemovalCentre => "immigration_removal_centre",
            Self::SecureChildrensHome => "secure_childrens_home",
            Self::PoliceCustody => "police_custody",
            Self::Court => "court",
            Self::SexualAssaultReferralCentre => "sexual_assault_referral_centre",
            Self::BorderForce => "border_force",
            Self::OtherJustice => "other_justice",
        }
    }
}

impl fmt::Display for PartyKind {
    /// The kind in an operator's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str().replace('_', " "))
    }
}

/// One organisation of the directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Party {
    /// Its ODS code.
    pub ods: OdsCode,
    /// Its name, as operators know it.
    pub name: String,
    /// What kind of place it is.
    pub kind: PartyKind,
    /// Not to be used before this moment.
    pub valid_from: Option<Timestamp>,
    /// Not to be used from this moment on.
    pub valid_until: Option<Timestamp>,
    /// What it is to us.
    pub standing: Standing,
}

impl Party {
    /// Whether the entry is in force.
    pub fn valid_at(&self, now: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= now) && self.valid_until.is_none_or(|until| now < until)
    }

    /// Its transport address; a refused setting has none.
    pub fn address(&self) -> Option<&Address> {
        match &self.standing {
            Standing::Served(address) => Some(address),
            Standing::Peer(peer) => Some(&peer.address),
            Standing::Refused => None,
        }
    }

    /// How to reach it, when it is a peer.
    pub fn peer(&self) -> Option<&Peer> {
        match &self.standing {
            Standing::Peer(peer) => Some(peer),
            Standing::Served(_) | Standing::Refused => None,
        }
    }
}

/// What a party is to this daemon.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// An establishment or practice this daemon speaks for.
    Served(Address),
    /// An organisation at the other end.
    Peer(Box<Peer>),
    /// A setting that is recognised in order to be refused by name (`setting_refused`).
    Refused,
}

/// The identifiers a party has on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    /// Its transport address, the eb:PartyId.
    pub party_key: PartyKey,
    /// Its accredited system, in HL7 wrappers.
    pub asid: Asid,
    /// Its contract for any action without one of its own.
    cpa_id: CpaId,
    cpa_by_action: BTreeMap<String, CpaId>,
}

impl Address {
    pub(super) fn new(
        party_key: PartyKey,
        asid: Asid,
        cpa_id: CpaId,
        cpa_by_action: BTreeMap<String, CpaId>,
    ) -> Self {
        Self { party_key, asid, cpa_id, cpa_by_action }
    }

    /// The contract under which this party **receives** `action` (wire reference §3.2).
    pub fn cpa_id(&self, action: &str) -> &CpaId {
        self.cpa_by_action.get(action).unwrap_or(&self.cpa_id)
    }

    /// Whether a message under `cpa_id` is under one of this party's contracts.
    pub fn has_cpa_id(&self, cpa_id: &str) -> bool {
        self.cpa_id.as_str() == cpa_id || self.cpa_by_action.values().any(|c| c.as_str() == cpa_id)
    }
}

/// How to reach a party, what to believe from it, and what its contract asks.
#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    /// Its identifiers.
    pub address: Address,
    pub(super) endpoint: Endpoint,
    pub(super) endpoint_by_action: BTreeMap<String, Endpoint>,
    /// Header lines added to every request (wire reference §1.1).
    pub extra_headers: Vec<(String, String)>,
    /// Signed or as practices exchange it today. The directory says it; a message never chooses.
    pub profile: Profile,
    /// Who opens a release's conversation.
    pub delivery: Delivery,
    /// What follows when a message's own window has closed unanswered.
    pub repeat: Repeat,
    /// The contract properties (wire reference §5.1).
    pub contract: Contract,
    /// The certificates its signatures are believed under; a signed party always has them.
    pub signing_pins: Option<Pins>,
    /// What was agreed beyond the signed profile for an older peer.
    pub leniency: Leniency,
    /// What its connections must show.
    pub tls: PeerTls,
    /// How much it takes at once.
    pub limits: MessageLimits,
    /// The status its software counts as success.
    pub answer: AnswerStatus,
    /// Whether it takes extracts in parts.
    pub large_messaging: bool,
}

impl Peer {
    /// Where messages of `action` are posted.
    pub fn endpoint(&self, action: &str) -> &Endpoint {
        self.endpoint_by_action.get(action).unwrap_or(&self.endpoint)
    }

    /// What the contract says of retrying, as a delivery keeps it.
    pub fn retry_contract(&self) -> retry::Contract {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        retry::Contract {
            retries: self.contract.retries,
            retry_interval_ms: millis(self.contract.retry_interval),
            persist_duration_ms: millis(self.contract.persist_duration),
            repeat: self.repeat,
        }
    }

    /// Where a signal that does not travel in the HTTP answer is posted, when the party has such a route
    /// (wire reference §1.3): only an endpoint named for the signal itself counts.
    pub fn signal_endpoint(&self, action: &str) -> Option<&Endpoint> {
        self.endpoint_by_action.get(action)
    }
}

/// The two profiles of the wire (wire reference §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Unsigned, trust is mutual TLS.
    Spine,
    /// Envelope and every part signed, signed receipts.
    Signed,
}

/// Who opens a release's conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// We do.
    Push,
    /// The practice registers the patient and asks.
    OnRequest,
}

/// The contract properties of one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contract {
    /// Attempts after the first, 0 to 20.
    pub retries: u32,
    /// Between attempts, up to a day.
    pub retry_interval: Duration,
    /// The life of one message from its Timestamp, up to 84 days.
    pub persist_duration: Duration,
    /// Whether a transport acknowledgement is asked for, and of whom.
    pub ack_requested: AckRequested,
    /// Where its signals return.
    pub sync_reply: SyncReply,
    /// Whether the element DuplicateElimination is written.
    pub duplicate_elimination: DuplicateElimination,
}

/// Whether a transport acknowledgement is asked for, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AckRequested {
    /// Of the next hop (spine).
    NextMsh,
    /// Of the receiving party itself (signed: a receipt).
    ToParty,
    /// Not at all.
    Never,
}

/// Where the transport signal returns (wire reference §1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncReply {
    /// In the HTTP answer.
    Signals,
    /// In a request of its own.
    None,
}

/// Whether the element DuplicateElimination is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DuplicateElimination {
    /// Written.
    Always,
    /// Left out.
    Never,
}

/// What a party's TLS connections must show. Empty lists mean: the daemon's own trust roots decide.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerTls {
    /// DER of the roots that issue this party's certificates, instead of the daemon's own.
    pub roots: Vec<Vec<u8>>,
    /// The name its server certificate must carry, when it is not the URL's host.
    pub server_name: Option<String>,
    /// SHA-256 of the server certificates it may show.
    pub server_pins: Vec<Fingerprint>,
    /// SHA-256 of the client certificates it may show.
    pub client_pins: Vec<Fingerprint>,
    /// Names (subject CN or DNS name) its client certificate may carry.
    pub client_names: Vec<String>,
}

/// How much a party takes in one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimits {
    /// The whole request body, in octets.
    pub message_bytes: u64,
    /// Attachments beside the HL7 part.
    pub attachments: u32,
}

/// The status a party's software counts as success beside an Acknowledgment (wire reference §1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum AnswerStatus {
    /// 200, as Spine's own handler says.
    Ok,
    /// 202: one known handler takes nothing else for success.
    Accepted,
}

impl AnswerStatus {
    /// The number on the status line.
    pub fn code(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Accepted => 202,
        }
    }
}

impl TryFrom<u16> for AnswerStatus {
    type Error = &'static str;

    fn try_from(code: u16) -> Result<Self, Self::Error> {
        match code {
            200 => Ok(Self::Ok),
            202 => Ok(Self::Accepted),
            _ => Err("answer must be 200 or 202"),
        }
    }
}

impl From<AnswerStatus> for u16 {
    fn from(status: AnswerStatus) -> u16 {
        status.code()
    }
}
