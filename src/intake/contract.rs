//! From bytes to a custody event that can be trusted, or to every reason why not; and from outcomes to bytes.
//!
//! Reads no clock and knows no queue: what arrived, the rules and the time come in, a reading goes out. Whether an event was
//! seen before is the engine's question; [`Decoded::canonical`] is what it compares.

mod check;
mod event;
mod json;
mod kinds;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use prost::Message;
use serde::{Deserialize, Serialize};

use super::wire;
use crate::model::{EventId, OdsCode, Timestamp};
use crate::transfer::custody::word::words;
use crate::transfer::custody::{CustodyEvent, Source};
use crate::transfer::outcome::OutcomeKind;

pub use outcome::encode_outcome;

/// The largest event, in bytes (custody reference §3.2): ours are under 2 KiB.
pub const MOST_BYTES: usize = 64 * 1024;

/// The only version of the contract.
pub const CONTRACT: &str = "throughcare.custody.v1";

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Protobuf.
    Protobuf,
    /// JSON with the same field names.
    Json,
}

impl Encoding {
    /// By content type; parameters such as a charset are passed over.
    pub fn of(content_type: &str) -> Option<Self> {
        let bare = content_type.split(';').next().unwrap_or_default().trim();
        match bare.to_ascii_lowercase().as_str() {
            "application/x-protobuf" | "application/protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The content type we write.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// The ending of a file in a spool folder.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Protobuf => "pb",
            Self::Json => "json",
        }
    }
}

/// What this Throughcare takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Which NHS numbers.
    pub numbers: AllowedNumbers,
    /// For which establishments; `None` where the configuration leaves it open.
    pub establishments: Option<BTreeMap<OdsCode, Standing>>,
    /// Who may speak for which; `None` where the configuration leaves it open.
    pub publishers: Option<BTreeMap<Source, BTreeSet<OdsCode>>>,
}

/// Which NHS numbers are taken (custody reference §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedNumbers {
    /// 999… only: no real person is sent by a test installation.
    TestOnly,
    /// Anything but 999…: no test patient reaches a real practice.
    LiveOnly,
    /// Both.
    Any,
}

/// Where an establishment stands with this Throughcare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Served here.
    Served,
    /// Known, and of a setting that takes no part, such as police custody (custody reference §2).
    SettingRefused,
}

/// An event that may be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The event.
    pub event: CustodyEvent,
    /// What was dropped from it or is doubtful.
    pub warnings: Vec<Warning>,
    /// Whether it may still start or change anything.
    pub relevance: Relevance,
    /// The content in one form, whatever the encoding it came in: equal for equal content. Its digest tells an event
    /// sent twice from an event id used twice.
    pub canonical: Vec<u8>,
}

/// Whether an event may still start or change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relevance {
    /// It may.
    Current,
    /// Older than 84 days: kept as history (custody reference §3.2).
    History,
}

/// Something in an accepted event that a person may want to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The field, with its path.
    pub field: String,
    /// What kind of doubt.
    pub code: WarningCode,
    /// What the field must be.
    pub rule: String,
}

words!(
    /// What kind of doubt an accepted event leaves.
    WarningCode {
        /// An optional field was invalid and was dropped.
        FieldDropped = "field_dropped",
        /// A value nobody knows was taken as other, or as unknown.
        UnknownValue = "unknown_value",
        /// Days of supply outside what is possible were dropped: somebody must look (worklist item).
        CheckSupply = "check_supply",
        /// Two fields are further apart than is usual.
        Doubtful = "doubtful",
    }
);

/// Why an event was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// Every fault found, by field name and rule, never with a value.
    pub faults: Vec<Fault>,
    /// The event's identity, where it could be read.
    pub event_id: Option<EventId>,
    /// The publisher, where it could be read.
    pub source: Option<Source>,
    /// The establishment, where it could be read.
    pub establishment: Option<OdsCode>,
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The field, with its path; empty for the whole message.
    pub field: String,
    /// What it must be.
    pub rule: String,
}

words!(
    /// Why an event was not taken, as a code for machines.
    Reason {
        /// Neither protobuf nor JSON of this contract.
        Unreadable = "unreadable",
        /// More than 65,536 bytes.
        TooLarge = "too_large",
        /// The content type is none of the contract's.
        UnknownContentType = "unknown_content_type",
        /// Another version of the contract.
        UnknownVersion = "unknown_version",
        /// A required field is missing or invalid, or there is an unknown one.
        Invalid = "invalid",
        /// The publisher may not speak for the establishment.
        PublisherNotAllowed = "publisher_not_allowed",
        /// The establishment is not served here.
        NotServed = "not_served",
        /// The establishment is of a setting that takes no part.
        SettingRefused = "setting_refused",
    }
);

impl Reason {
    /// The outcome to publish: what is not ours is refused, all else is rejected (custody reference §3.9).
    pub fn outcome(self) -> OutcomeKind {
        match self {
            Self::Unreadable
            | Self::TooLarge
            | Self::UnknownContentType
            | Self::UnknownVersion
            | Self::Invalid => OutcomeKind::Rejected,
            Self::PublisherNotAllowed | Self::NotServed | Self::SettingRefused => OutcomeKind::Refused,
        }
    }
}

impl Rejection {
    /// About the message as a whole.
    fn whole(reason: Reason, rule: &str) -> Self {
        let fault = Fault { field: String::new(), rule: rule.to_owned() };
        Self { reason, faults: vec![fault], event_id: None, source: None, establishment: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.rule)
        } else {
            write!(f, "{} {}", self.field, self.rule)
        }
    }
}

impl fmt::Display for Rejection {
    /// `invalid: nhs_number has a wrong check digit; release.record_ref is missing`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.reason)?;
        for (n, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if n == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Reads and checks a message as it came.
///
/// # Errors
/// A [`Rejection`] with every fault that could be found at once.
pub fn read(content_type: &str, body: &[u8], rules: &Rules, now: Timestamp) -> Result<Decoded, Rejection> {
    if body.len() > MOST_BYTES {
        return Err(Rejection::whole(Reason::TooLarge, "an event is at most 65,536 bytes"));
    }
    match Encoding::of(content_type) {
        Some(Encoding::Protobuf) => match wire::CustodyEvent::decode(body) {
            Ok(message) => event::check(&message, Vec::new(), rules, now),
            // The decoder's own words could repeat content.
            Err(_) => Err(Rejection::whole(Reason::Unreadable, "not a protobuf message of this contract")),
        },
        Some(Encoding::Json) => {
            let (message, faults) = json::read(body)?;
            event::check(&message, faults, rules, now)
        }
        None => Err(Rejection::whole(
            Reason::UnknownContentType,
            "the content type must be application/x-protobuf or application/json",
        )),
    }
}
