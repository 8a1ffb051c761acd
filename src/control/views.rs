//! What operators see: reports that are both data (`--json`, described in `schemas/`) and text for eighty columns.
//!
//! Views are apart from the states they show, so that a change within does not change what scripts read. No view
//! holds anything of a patient.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::layout::{WIDTH, age, alarm, bytes, heading, labelled, moment, paragraph, table, wrapped};
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
    /// Everything that happened, oldest first.
    pub timeline: Vec<Line>,
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
    /// The act: `retry`, `cancel`, `requeue`, `discard`.
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

/// The part of an identifier that is shown where space is short.
pub fn short(id: &TransferId) -> String {
    id.to_string().chars().take(8).collect()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.needs_you.is_empty() {
            heading(f, "Nothing needs you.")?;
        } else {
            heading(f, "Needs you")?;
        }
        for need in &self.needs_you {
            let mut count = format!("  {:>5}", need.count);
            for line in wrapped(&need.what, WIDTH - 9) {
                alarm(f, &format!("{count:7}  {line}"))?;
                count.clear();
            }
            writeln!(f, "         {}", need.next)?;
        }
        writeln!(f)?;
        let rows: Vec<Vec<String>> = self.states.iter().map(|s| state_row(s, self.at)).collect();
        if rows.is_empty() {
            writeln!(f, "No transfers yet.")?;
        } else {
            table(f, &["STATE", "TRANSFERS", "LONGEST UNCHANGED"], &rows)?;
        }
        writeln!(f)?;
        let connected = if self.intake.connected { "connected" } else { "NOT CONNECTED" };
        let intake =
            format!("{}, {connected}, {} events since the start", self.intake.source, self.intake.accepted);
        labelled(f, "intake", 12, &intake)?;
        labelled(f, "on the way", 12, &format!("{} packets", self.in_flight))?;
        labelled(f, "outcomes", 12, &format!("{} waiting for confirmation", self.outbox))?;
        labelled(f, "set aside", 12, &format!("{} events", self.quarantine))?;
        for resting in &self.resting {
            let words =
                format!("{} does not answer; next try {}", resting.party, moment(resting.until, self.at));
            labelled(f, "resting", 12, &words)?;
        }
        let service = &self.service;
        let up = age(self.at.since(service.started_at));
        let words =
            format!("throughcare {}, {} mode, {}, up {up}", service.version, service.mode, service.phase);
        labelled(f, "service", 12, &words)
    }
}

fn state_row(state: &StateCount, now: Timestamp) -> Vec<String> {
    let oldest = state.oldest.map(|t| age(now.since(t))).unwrap_or_default();
    vec![state.state.clone(), state.count.to_string(), oldest]
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.transfers.is_empty() {
            return writeln!(f, "No transfer is meant by that.");
        }
        let rows: Vec<Vec<String>> = self
            .transfers
            .iter()
            .map(|row| {
                let party = row.party.as_ref().map(ToString::to_string).unwrap_or_default();
                let open = age(self.at.since(row.opened_at));
                let next = row.due.map(|due| age(due.since(self.at))).unwrap_or_else(|| "-".to_owned());
                vec![short(&row.id), row.state.clone(), party, open, row.attempts.to_string(), next]
            })
            .collect();
        table(f, &["ID", "STATE", "PARTY", "OPEN", "TRIES", "NEXT IN"], &rows)?;
        if self.more {
            writeln!(f, "There are more: narrow the selection, or raise --limit.")?;
        }
        Ok(())
    }
}

fn summary(f: &mut fmt::Formatter<'_>, row: &Row, now: Timestamp) -> fmt::Result {
    heading(f, &format!("{} {}", row.kind, row.id))?;
    labelled(f, "  state", 16, &row.state)?;
    if let Some(party) = &row.party {
        labelled(f, "  party", 16, party.as_str())?;
    }
    labelled(f, "  opened", 16, &moment(row.opened_at, now))?;
    labelled(f, "  attempts", 16, &row.attempts.to_string())
}

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        summary(f, &self.transfer, self.at)?;
        labelled(f, "  conversation", 16, &self.conversation.to_string())?;
        if let Some(id) = &self.message_id {
            labelled(f, "  message", 16, id.as_str())?;
        }
        if let Some(size) = self.bytes {
            let signed = if self.signed { "signed" } else { "unsigned" };
            labelled(f, "  packet", 16, &format!("{}, {signed}", bytes(size)))?;
        }
        if let Some(due) = self.transfer.due {
            labelled(f, "  next", 16, &moment(due, self.at))?;
        }
        if let Some(why) = &self.transfer.why {
            labelled(f, "  why", 16, why)?;
        }
        writeln!(f)?;
        heading(f, "Timeline")?;
        for line in &self.timeline {
            labelled(f, &format!("  {}", line.at.to_ebxml()), 24, &line.words)?;
        }
        Ok(())
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        summary(f, &self.transfer, self.at)?;
        writeln!(f)?;
        paragraph(f, 0, &self.now)?;
        labelled(f, "Waits for:", 12, &self.waits_for)?;
        if let Some(until) = self.until {
            labelled(f, "Until:", 12, &moment(until, self.at))?;
        }
        labelled(f, "Then:", 12, &self.then)?;
        if let Some(end) = self.gives_up_at {
            labelled(f, "Gives up:", 12, &moment(end, self.at))?;
        }
        writeln!(f)?;
        if self.you_can.is_empty() {
            return paragraph(f, 0, "There is nothing to do.");
        }
        heading(f, "You can")?;
        for choice in &self.you_can {
            writeln!(f, "  {}", choice.command)?;
            paragraph(f, 6, &choice.effect)?;
        }
        Ok(())
    }
}

impl fmt::Display for Acted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for item in &self.items {
            let label: String = item.id.chars().take(8).collect();
            labelled(f, &label, 10, &item.words)?;
        }
        let count = |result| self.items.iter().filter(|i| i.result == result).count();
        let (done, would) = (count(ActResult::Done), count(ActResult::WouldDo));
        let refused = count(ActResult::Refused);
        if self.dry_run {
            writeln!(
                f,
                "{}: {would} would be done, {refused} would be refused. Nothing was changed.",
                self.verb
            )
        } else {
            writeln!(f, "{}: {done} done, {refused} refused.", self.verb)
        }
    }
}

impl fmt::Display for Quarantine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.items.is_empty() {
            return writeln!(f, "Nothing is set aside.");
        }
        let rows: Vec<Vec<String>> = self
            .items
            .iter()
            .map(|i| {
                let id: String = i.id.chars().take(8).collect();
                vec![id, age(self.at.since(i.at)), i.source.clone(), bytes(i.bytes), i.reason.clone()]
            })
            .collect();
        table(f, &["ID", "SINCE", "FROM", "SIZE", "REASON"], &rows)?;
        if self.more {
            writeln!(f, "There are more: raise --limit.")?;
        }
        Ok(())
    }
}

impl fmt::Display for SetAside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, &format!("set aside {}", self.id))?;
        labelled(f, "  at", 12, &self.at.to_ebxml())?;
        labelled(f, "  from", 12, &self.source)?;
        labelled(f, "  size", 12, &bytes(self.bytes))?;
        labelled(f, "  reason", 12, &self.reason)?;
        paragraph(f, 2, &self.words)?;
        writeln!(f)?;
        heading(f, "You can")?;
        let id: String = self.id.chars().take(8).collect();
        writeln!(f, "  throughcare quarantine requeue {id} --reason \"...\"")?;
        paragraph(f, 6, "Takes it in again, once what was wrong is mended.")?;
        writeln!(f, "  throughcare quarantine discard {id} --reason \"...\"")?;
        paragraph(f, 6, "Says that it will never be used. Its bytes are kept.")
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate =
            if self.duplicate { "was known already; nothing is done twice" } else { "is accepted durably" };
        paragraph(f, 0, &format!("Event {} {fate}.", self.event_id))?;
        for warning in &self.warnings {
            labelled(f, "warning", 10, warning)?;
        }
        writeln!(f, "Watch it: throughcare show {}", short(&self.transfer))
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} lines exported", self.lines)
    }
}
