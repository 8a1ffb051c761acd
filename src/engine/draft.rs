//! One commit in the making: what the inputs of a turn have changed so far, readable before it is written.

use std::collections::{BTreeMap, HashMap};

use crate::engine::EngineError;
use crate::engine::ledger::{self, DueRow};
use crate::engine::patient;
use crate::engine::recent::Recent;
use crate::model::{Timestamp, TransferId};
use crate::store::{Changes, Store, Table};
use crate::transfer::journal::Entry;
use crate::transfer::outcome::Outcome;
use crate::transfer::{Case, Step, Transfer, Waits};

/// Pending changes over the store.
pub struct Draft<'s> {
    store: &'s Store,
    recent: &'s Recent,
    rows: HashMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    /// Transfers stepped in this turn: as stored before, and as they are now.
    transfers: HashMap<TransferId, (Option<Transfer>, Transfer)>,
    entries: Vec<(TransferId, u32, Entry)>,
    outbox: Vec<Outcome>,
    published: Vec<u64>,
}

impl<'s> Draft<'s> {
    /// Nothing changed.
    pub fn new(store: &'s Store, recent: &'s Recent) -> Self {
        Self {
            store,
            recent,
            rows: HashMap::new(),
            transfers: HashMap::new(),
            entries: Vec::new(),
            outbox: Vec::new(),
            published: Vec::new(),
        }
    }

    /// A row as it would be after this commit.
    pub fn row(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        match self.rows.get(&(table, key.to_vec())) {
            Some(pending) => Ok(pending.clone()),
            None => Ok(self.store.get(table, key)?),
        }
    }

    /// Writes a row.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.rows.insert((table, key), Some(value));
    }

    /// Takes a row out.
    pub fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.rows.insert((table, key), None);
    }

    /// A transfer as it would be after this commit.
    pub fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, EngineError> {
        if let Some((_, now)) = self.transfers.get(&id) {
            return Ok(Some(now.clone()));
        }
        if let Some(known) = self.recent.get(id) {
            return Ok(Some(known.clone()));
        }
        ledger::transfer(self.store, id)
    }

    /// The messages of a transfer that go their own way, as they would be after this commit.
    pub fn messages_of(&self, parent: TransferId) -> Result<Vec<TransferId>, EngineError> {
        let mut ids = ledger::message_ids_of(self.store, parent)?;
        let fresh = self.transfers.iter().filter(|(_, (before, now))| match &now.case {
            Case::Outbound(outbound) => before.is_none() && outbound.parent == parent,
            Case::Release(_) | Case::Received(_) | Case::Reception(_) | Case::Noted(_) => false,
        });
        ids.extend(fresh.map(|(id, _)| *id));
        Ok(ids)
    }

    /// Takes the result of a step; `before` is the transfer it was made from. Returns what the transfer waits for now.
    pub fn take(
        &mut self,
        before: Option<Transfer>,
        step: Step,
        now: Timestamp,
    ) -> Result<Waits, EngineError> {
        let Step { mut next, entries, outcomes, .. } = step;
        for what in entries {
            self.entries.push((next.id, next.entries, Entry { at: now, what }));
            next.entries += 1;
        }
        self.outbox.extend(outcomes);
        patient::index(self, before.as_ref(), &next)?;
        let waits = next.waits();
        match self.transfers.get_mut(&next.id) {
            Some((_, latest)) => *latest = next,
            // Asking for work changes nothing yet.
            None if before.as_ref() == Some(&next) => {}
            None => drop(self.transfers.insert(next.id, (before, next))),
        }
        Ok(waits)
    }

    /// Publishes an outcome that belongs to no transfer.
    pub fn publish(&mut self, outcome: Outcome) {
        self.outbox.push(outcome);
    }

    /// Takes confirmed entries out of the outbox.
    pub fn published(&mut self, numbers: Vec<u64>) {
        self.published.extend(numbers);
    }

    /// The whole commit, and the transfers it writes. `head` is the number of the last outbox entry and is moved on;
    /// `counts` likewise.
    pub fn finish(
        self,
        head: &mut u64,
        counts: &mut BTreeMap<String, u64>,
    ) -> (Changes, impl Iterator<Item = Transfer> + use<>) {
        let mut changes = Changes::default();
        for (id, (before, now)) in &self.transfers {
            write_transfer(&mut changes, *id, before.as_ref(), now);
            count(counts, before.as_ref(), now);
        }
        if !self.transfers.is_empty() {
            changes.put(Table::Meta, ledger::COUNTS, ledger::encode(counts));
        }
        for (id, number, entry) in &self.entries {
            changes.put(Table::Journal, &ledger::journal_key(*id, *number), ledger::encode(entry));
        }
        if !self.outbox.is_empty() {
            changes.put(
                Table::Meta,
                ledger::OUTBOX_HEAD,
                ledger::encode(&(*head + self.outbox.len() as u64)),
            );
        }
        for item in self.outbox {
            *head += 1;
            changes.put(Table::Outbox, &ledger::outbox_key(*head), ledger::encode(&item));
        }
        for number in self.published {
            changes.remove(Table::Outbox, &ledger::outbox_key(number));
        }
        for ((table, key), value) in self.rows {
            match value {
                Some(value) => changes.put(table, &key, value),
                None => changes.remove(table, &key),
            }
        }
        (changes, self.transfers.into_values().map(|(_, now)| now))
    }
}

fn write_transfer(changes: &mut Changes, id: TransferId, before: Option<&Transfer>, now: &Transfer) {
    changes.put(ledger::table_of(now), id.as_bytes(), ledger::encode(now));
    let old_key = before.and_then(index_key);
    let new_key = index_key(now);
    if let Some(old) = &old_key
        && old_key != new_key
    {
        changes.remove(Table::Due, old);
    }
    if let Some(key) = new_key {
        changes.put(Table::Due, &key, ledger::encode(&due_row(now)));
    }
    match &now.case {
        // Only these wait for answers in their conversation; nobody else may take their place in the index.
        Case::Release(_) | Case::Reception(_)
            if before.is_none_or(|b| b.conversation != now.conversation) =>
        {
            changes.put(Table::Ledger, &ledger::conversation_key(now.conversation), ledger::encode(&id));
        }
        Case::Outbound(outbound) if before.is_none() => {
            changes.put(Table::Ledger, &ledger::message_of_key(outbound.parent, id), Vec::new());
        }
        Case::Release(_) | Case::Reception(_) | Case::Outbound(_) | Case::Received(_) | Case::Noted(_) => {}
    }
    let known = before.map(Transfer::message_ids).unwrap_or_default();
    for message_id in now.message_ids().iter().filter(|m| !known.contains(m)) {
        changes.put(Table::Ledger, &ledger::sent_key(message_id), ledger::encode(&id));
    }
}

/// Its place in the due index: live transfers have one, even if they wait for a person.
fn index_key(transfer: &Transfer) -> Option<Vec<u8>> {
    let due = transfer.deadline();
    (due.is_some() || transfer.waits_for_person()).then(|| ledger::due_key(due, transfer.id))
}

fn due_row(transfer: &Transfer) -> DueRow {
    DueRow { waits: transfer.waits(), label: transfer.label().to_owned(), since: transfer.changed_at }
}

/// Messages are counted with the transfer they belong to.
fn count(counts: &mut BTreeMap<String, u64>, before: Option<&Transfer>, now: &Transfer) {
    if matches!(now.case, Case::Outbound(_)) {
        return;
    }
    if let Some(before) = before
        && let Some(number) = counts.get_mut(before.label())
    {
        *number = number.saturating_sub(1);
    }
    *counts.entry(now.label().to_owned()).or_default() += 1;
}
