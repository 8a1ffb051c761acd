//! What goes over the operators' socket: one JSON line asks, JSON lines answer.
//!
//! Client and daemon are the same binary of the same version, so there is one form and no negotiation; a client of
//! another version is told so.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::selector::Selector;
use super::views;
use crate::transfer::event::Verb;

/// The largest question: an event of 64 KiB (custody reference §3.2) in base64, and room.
pub const MAX_REQUEST: usize = 256 * 1024;
/// The largest line of an answer: a timeline of twelve weeks has a few hundred entries; this is a hundred times it.
pub const MAX_REPLY: usize = 16 * 1024 * 1024;
/// Rows of a list in one answer; a person narrows the selection, a script exports.
pub const MAX_ROWS: u32 = 10_000;

/// A question with the version that asks it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The version of the binary that asks.
    pub version: String,
    /// The question.
    #[serde(flatten)]
    pub request: Request,
}

/// What an operator may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Request {
    /// What needs me today?
    Status,
    /// Which transfers are there?
    List {
        /// Which are meant.
        selector: Selector,
        /// At most so many rows.
        limit: u32,
    },
    /// The whole timeline of one.
    Show {
        /// The beginning of its identifier.
        id: String,
    },
    /// What one waits for, until when, and what can be done.
    Explain {
        /// The beginning of its identifier.
        id: String,
    },
    /// Do something to transfers.
    Act {
        /// What.
        verb: Verb,
        /// To which.
        selector: Selector,
        /// Why, in the operator's words: kept in the timeline.
        reason: String,
        /// What happens when the selection means many.
        bulk: Bulk,
    },
    /// What was set aside?
    Quarantine {
        /// At most so many rows.
        limit: u32,
    },
    /// One thing that was set aside.
    QuarantineShow {
        /// The beginning of its identifier.
        id: String,
    },
    /// Decide about something that was set aside.
    QuarantineAct {
        /// What.
        verb: QuarantineVerb,
        /// The beginning of its identifier.
        id: String,
        /// Why, in the operator's words: kept in the journal.
        reason: String,
    },
    /// Take this custody event in, as if it had come by the queue.
    SendEvent {
        /// Protobuf or JSON.
        content_type: String,
        /// The event, base64.
        content: String,
    },
    /// The whole store as JSON lines.
    Export,
    /// What lies sealed of one transfer, unsealed: it discloses a record.
    PacketExport {
        /// The beginning of its identifier.
        id: String,
        /// Which of its packets.
        part: Sealed,
        /// Why, in the operator's words: kept in the timeline.
        reason: String,
    },
}

/// What lies sealed of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sealed {
    /// The packet with the record, as it was last sent or as it came.
    Packet,
    /// The other end's signed receipt for what we sent.
    Receipt,
}

/// What can be done to something set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuarantineVerb {
    /// Take it in again, now that the cause is mended.
    Requeue,
    /// Decide that it will never be used. Its bytes are kept.
    Discard,
}

/// What happens when a selection means more than the transfers it names (hazard H26).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "bulk", content = "count")]
pub enum Bulk {
    /// Nothing is done; which would be meant is told.
    DryRun,
    /// Only transfers named one by one.
    Named,
    /// All that are meant, if they are exactly so many.
    Exactly(u32),
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "report", rename_all = "kebab-case")]
pub enum Reply {
    /// To `Status`.
    Status(views::Status),
    /// To `List`.
    List(views::List),
    /// To `Show`.
    Show(Box<views::Show>),
    /// To `Explain`.
    Explain(views::Explain),
    /// To `Act` and `QuarantineAct`.
    Acted(views::Acted),
    /// To `Quarantine`.
    Quarantine(views::Quarantine),
    /// To `QuarantineShow`.
    QuarantineShow(views::SetAside),
    /// To `SendEvent`.
    Sent(views::Sent),
    /// One line of an export.
    Line(String),
    /// The end of an export.
    Exported(views::Exported),
    /// Some octets of a packet, base64.
    Octets(String),
    /// The end of a packet.
    PacketExported(views::PacketExported),
    /// It could not be answered.
    Refused(Refusal),
}

/// Why a question was not answered, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{words}\n{next}")]
pub struct Refusal {
    /// Which refusal it is.
    pub kind: RefusalKind,
    /// What is wrong.
    pub words: String,
    /// What to do.
    pub next: String,
}

/// The closed list of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// The line is no question we know.
    NotUnderstood,
    /// Nothing has that identifier.
    NotFound,
    /// Several have that beginning.
    Ambiguous,
    /// The selection means another number than was expected.
    OtherCount,
    /// The state does not allow it.
    NotNow,
    /// The event was refused.
    BadEvent,
    /// Too many operators at once.
    Busy,
    /// The daemon is stopping, or its store failed.
    Failed,
}

impl Refusal {
    /// A refusal with its words.
    pub fn new(kind: RefusalKind, words: impl fmt::Display, next: impl fmt::Display) -> Self {
        Self { kind, words: words.to_string(), next: next.to_string() }
    }
}
