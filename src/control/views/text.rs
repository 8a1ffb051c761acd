//! Reports as text for eighty columns. What they hold is said in `views`.

use std::fmt;

use super::{
    Accounted, ActResult, Acted, Explain, Exported, List, Parts, Quarantine, Row, Sent, SetAside, Show,
    StateCount, Status, short,
};
use crate::control::layout::{
    WIDTH, age, alarm, bytes, heading, labelled, moment, paragraph, table, wrapped,
};
use crate::engine::ledger::Decision;
use crate::model::Timestamp;

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
            return writeln!(f, "No transfer matches. Those that have ended are listed with state=any.");
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
        if let Some(parts) = &self.parts {
            parts.write(f, self.at)?;
        }
        if let Some(account) = &self.account {
            account.fmt(f)?;
        }
        writeln!(f)?;
        heading(f, "Timeline")?;
        for line in &self.timeline {
            labelled(f, &format!("  {}", line.at.to_ebxml()), 24, &line.words)?;
        }
        Ok(())
    }
}

impl Parts {
    fn write(&self, f: &mut fmt::Formatter<'_>, now: Timestamp) -> fmt::Result {
        let Self { messages, done, failed, .. } = self;
        let word = if self.direction == "sent" { "delivered" } else { "here" };
        let part = (done * BAR as u64).checked_div(*messages).unwrap_or(0);
        let full = usize::try_from(part).unwrap_or(BAR).min(BAR);
        let bar = format!("[{}{}]", "#".repeat(full), ".".repeat(BAR - full));
        labelled(f, "  parts", 16, &format!("{bar} {done} of {messages} {word}, {}", bytes(self.bytes)))?;
        if *failed > 0 {
            labelled(f, "", 16, &format!("{failed} failed"))?;
        }
        if self.direction == "sent" && self.leave_at.is_none() {
            labelled(f, "", 16, "the practice has not given leave to send them yet")?;
        }
        if let Some(until) = self.until {
            labelled(f, "", 16, &format!("awaited until {}", moment(until, now)))?;
        }
        for item in &self.missing {
            let code = item.code.as_ref().map(|code| format!(", code {code}")).unwrap_or_default();
            let words = format!("{} {} (tries: {}{code})", item.kind, item.message_id, item.attempts);
            labelled(f, &format!("  {}", item.state), 16, &words)?;
        }
        if self.more {
            labelled(f, "", 16, "and more")?;
        }
        Ok(())
    }
}

/// Signs in a bar of progress.
const BAR: usize = 20;

impl fmt::Display for Accounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mapped, merged, degraded, not_clinical, .. } = self;
        let totals = format!(
            "{mapped} items carried in full, {merged} inside others, {degraded} with losses, {not_clinical} left out"
        );
        labelled(f, "  record", 16, &totals)?;
        for item in &self.items {
            let words = format!("{} ({})", item.resource, item.reasons.join(", "));
            labelled(f, &format!("  {}", item.state.replace('_', " ")), 16, &words)?;
        }
        if self.more {
            labelled(f, "", 16, "and more: the JSON account lies with the packet")?;
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
        if self.items.is_empty() {
            return writeln!(f, "{}: no transfer matches. Nothing was changed.", self.verb);
        }
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
        for settled in self.earlier.iter().chain(&self.settled) {
            let done = match settled.decision {
                Decision::Requeued => "taken in again",
                Decision::Discarded => "discarded; its bytes are kept",
            };
            let who = format!("{}, {done}, by user {}", settled.at.to_ebxml(), settled.uid);
            labelled(f, "  decided", 12, &who)?;
            labelled(f, "  because", 12, &settled.reason)?;
        }
        if self.settled.is_some() {
            return Ok(());
        }
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
