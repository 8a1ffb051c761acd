//! What operators see: reports that are both data (`--json`, described in `schemas/`) and text for eighty columns.
//!
//! Views are apart from the states they show, so that a change within does not change what scripts read. No view
//! holds anything of a patient.

mod text;

use serde::{Deserialize, Serialize};

use crate::engine::ledger::Settled;
use crate::model::{ConversationId, EventId, MessageId, OdsCode, Timestamp, TransferId};

/// Answers "what needs me today?", and then how it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When this was true.
    pub at: Timestamp,
    /// The daemon.
    pub service: Service,
    /// What waits for a person, most urgent first.
    pub needs_you: Vec<Need>,
    /// Transfers by state.
    pub states: Vec<StateCount>,
    /// Where events come from, and how it goes.
    pub intake: Intake,
    /// Packets on their way now.
    pub in_flight: u64,
    /// Outcomes written and not yet confirmed.
    pub outbox: u64,
    /// Events set aside.
    pub quarantine: u64,
    /// Parties left alone because they do not answer.
    pub resting: Vec<Resting>,
}

/// The daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its version.
    pub version: String,
    /// `test` or `live`.
    pub mode: String,
    /// Where it is in its life: `starting`, `ready`, `not-taking`, `stopping`.
    pub phase: String,
    /// When it was started.
    pub started_at: Timestamp,
}

/// One thing that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Need {
    /// What it is, in plain words.
    pub what: String,
    /// How many.
    pub count: u64,
    /// The command that shows more.
    pub next: String,
}

/// Transfers in one state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateCount {
    /// The state.
    pub state: String,
    /// How many.
    pub count: u64,
    /// When the one that has been quiet longest last changed; none where all have closed.
    pub oldest: Option<Timestamp>,
}

/// Where events come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intake {
    /// `amqp` or `spool`.
    pub source: String,
    /// Whether events can come in now.
    pub connected: bool,
    /// Events accepted since the daemon was started.
    pub accepted: u64,
}

/// A party that is left alone for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resting {
    /// Who.
    pub party: OdsCode,
    /// Until when.
    pub until: Timestamp,
}

/// Transfers, one a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// When this was true.
    pub at: Timestamp,
    /// The rows, oldest first.
    pub transfers: Vec<Row>,
    /// Whether there were more than were asked for.
    pub more: bool,
}

/// One transfer in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its identifier.
    pub id: TransferId,
    /// `release`, `received` or the kind of the event that is noted.
    pub kind: String,
    /// Its state.
    pub state: String,
    /// The party it is with.
    pub party: Option<OdsCode>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// Attempts to deliver so far.
    pub attempts: u32,
    /// When it will be looked at next; none while it waits for a person or has ended.
    pub due: Option<Timestamp>,
    /// Why it waits, or how it ended.
    pub why: Option<String>,
}

/// One transfer's whole timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Show {
    /// When this was true.
    pub at: Timestamp,
    /// The transfer in short.
    pub transfer: Row,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The identity of the packet that goes out, once there is one.
    pub message_id: Option<MessageId>,
    /// The size of that packet.
    pub bytes: Option<u64>,
    /// Whether it is signed.
    pub signed: bool,
    /// The parts of a record that fits no message; none where it has none.
    pub parts: Option<Parts>,
    /// What became of the record's items, once it was mapped.
    pub account: Option<Accounted>,
    /// Everything that happened, oldest first.
    pub timeline: Vec<Line>,
}

/// The parts of a record, each a message of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// `sent` or `received`.
    pub direction: String,
    /// How many there are, as far as is known: an index may list more.
    pub messages: u64,
    /// Those that were delivered, or are here.
    pub done: u64,
    /// Those that could not be delivered, or came damaged.
    pub failed: u64,
    /// Octets: of all that are sent, or of those that are here.
    pub bytes: u64,
    /// When leave came to send them.
    pub leave_at: Option<Timestamp>,
    /// Until when they are awaited.
    pub until: Option<Timestamp>,
    /// Those of ours that were not delivered, or were refused; the first [`MOST_PARTS`].
    pub missing: Vec<PartItem>,
    /// Whether there are more of them.
    pub more: bool,
}

/// So many parts are shown: a page.
pub const MOST_PARTS: usize = 30;

/// One part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartItem {
    /// Its MessageId.
    pub message_id: MessageId,
    /// `file`, `index` or `fragment`.
    pub kind: String,
    /// `waiting`, `sending`, `sent` or `not-sent`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The response code the practice gave it, if it refused it.
    pub code: Option<String>,
}

/// What became of the items of a record: what was lost is named one by one, by type and id and never by what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounted {
    /// Carried in full.
    pub mapped: u32,
    /// Carried inside another item.
    pub merged: u32,
    /// Carried with something lost.
    pub degraded: u32,
    /// Left out.
    pub not_clinical: u32,
    /// Each item that is degraded or left out, with the reasons; the first [`MOST_ITEMS`].
    pub items: Vec<AccountedItem>,
    /// Whether there are more of them.
    pub more: bool,
}

/// So many items of an account are shown: a page or two.
pub const MOST_ITEMS: usize = 100;

/// One item of a record that is not carried in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountedItem {
    /// `Type/id`; `Type/~n`, counted from 0, where the id is no UUID.
    pub resource: String,
    /// `degraded` or `not_clinical`.
    pub state: String,
    /// Why, as codes.
    pub reasons: Vec<String>,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// What happened, in plain words.
    pub words: String,
    /// The same for a program: the journal's own entry.
    pub entry: serde_json::Value,
}

/// What one transfer waits for, until when, and what an operator can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explain {
    /// When this was true.
    pub at: Timestamp,
    /// The transfer in short.
    pub transfer: Row,
    /// What happens now, in plain words.
    pub now: String,
    /// What it waits for.
    pub waits_for: String,
    /// Until when, where time decides.
    pub until: Option<Timestamp>,
    /// What follows then.
    pub then: String,
    /// When it is given up, where that is set.
    pub gives_up_at: Option<Timestamp>,
    /// What an operator can do.
    pub you_can: Vec<Choice>,
}

/// One thing an operator can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The command.
    pub command: String,
    /// What it would do.
    pub effect: String,
}

/// What came of an act, one item each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Acted {
    /// The act: `retry`, `cancel`, `decide`, `requeue`, `discard`.
    pub verb: String,
    /// Whether it was only told what would be done.
    pub dry_run: bool,
    /// One result each.
    pub items: Vec<ActedItem>,
}

/// What came of an act on one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActedItem {
    /// Its identifier.
    pub id: String,
    /// What came of it.
    pub result: ActResult,
    /// The same in plain words.
    pub words: String,
}

/// What came of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActResult {
    /// It was done and recorded.
    Done,
    /// It would be done.
    WouldDo,
    /// Its state does not allow it.
    Refused,
}

/// What was set aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quarantine {
    /// When this was true.
    pub at: Timestamp,
    /// Oldest first.
    pub items: Vec<SetAside>,
    /// Whether there were more than were asked for.
    pub more: bool,
}

/// One thing that was set aside. Its bytes stay sealed: they hold what a log may not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetAside {
    /// Its identifier.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Through which door it came.
    pub source: String,
    /// How many bytes.
    pub bytes: u64,
    /// Why, as a word of a closed list.
    pub reason: String,
    /// Why, in plain words: fields and rules, never values.
    pub words: String,
    /// What an operator decided; nothing while it waits for one.
    pub settled: Option<Settled>,
    /// What was decided when the same came before, oldest first.
    pub earlier: Vec<Settled>,
}

/// What came of an event that was sent by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// The event.
    pub event_id: EventId,
    /// Its transfer.
    pub transfer: TransferId,
    /// Whether it had been known before.
    pub duplicate: bool,
    /// Fields that were dropped because they could not be used.
    pub warnings: Vec<String>,
}

/// The end of an export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exported {
    /// How many lines were written.
    pub lines: u64,
}

/// The end of a packet that was taken out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PacketExported {
    /// The transfer it belongs to.
    pub transfer: TransferId,
    /// `packet` or `receipt`.
    pub part: super::protocol::Sealed,
    /// How many bytes.
    pub bytes: u64,
}

/// The part of an identifier that is shown where space is short.
pub fn short(id: &TransferId) -> String {
    id.to_string().chars().take(8).collect()
}
