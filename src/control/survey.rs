//! Reading the store for operators: by the beginning of an identifier, by selection, and at a glance.
//!
//! Reads only; blocking, so it is called where waiting is allowed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::describe;
use super::protocol::{Refusal, RefusalKind};
use super::selector::{Selector, Traits};
use crate::engine::ledger::{self, DueRow, Quarantined};
use crate::model::{OdsCode, Timestamp, TransferId};
use crate::store::{Store, Table};
use crate::transfer::journal::Entry;
use crate::transfer::reason::{Delay, FilingFault, PrepareFault};
use crate::transfer::verdict::TryAgain;
use crate::transfer::{Case, ReceivedState, ReceptionState, ReleaseState, Transfer};

/// How far back an end without success still counts as something to look at.
const RECENT: Duration = Duration::from_secs(8 * 24 * 60 * 60);
/// Live transfers looked into for a reported delay: keeps the answer within a tenth of a second.
const LOOKED_INTO: usize = 5000;

/// A record is written a little after the event that names it; one that is missing longer wants a person.
const RECORD_MISSING: Duration = Duration::from_secs(60 * 60);

/// The store as operators read it.
#[derive(Debug, Clone)]
pub(super) struct Survey {
    store: Store,
}

/// What the due index says at a glance.
#[derive(Debug, Default)]
pub(super) struct Glance {
    /// For each state, when the one that has been quiet longest last changed.
    pub oldest: BTreeMap<String, Timestamp>,
    /// For each reason for which transfers are held, how many.
    pub held: BTreeMap<String, u64>,
    /// For each state and fault that time alone will not mend, how many transfers it keeps from going on.
    pub stuck: BTreeMap<(&'static str, &'static str), u64>,
    /// Not delivered for a day, or not answered for eight.
    pub reported: u64,
    /// Ended without success within the last eight days.
    pub failed: u64,
}

impl Survey {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// The one transfer whose identifier begins so.
    pub(super) fn one(&self, begin: &str) -> Result<Transfer, Refusal> {
        let prefix = Prefix::parse(begin)?;
        let mut found = Vec::new();
        for row in self.store.scan(Table::Transfer, &prefix.bytes) {
            let (key, value) = row.map_err(failed)?;
            if prefix.begins(&key) {
                found.push(ledger::decode::<Transfer>(&value).map_err(failed)?);
            }
            if found.len() == 2 {
                return Err(prefix.ambiguous());
            }
        }
        found.pop().ok_or_else(|| {
            // What was typed is not repeated: it may be somebody's NHS number.
            let words = "no transfer's identifier begins so";
            Refusal::new(RefusalKind::NotFound, words, "See which there are: throughcare list")
        })
    }

    /// A transfer's timeline, oldest first.
    pub(super) fn timeline(&self, id: TransferId) -> Result<Vec<Entry>, Refusal> {
        let rows = self.store.scan(Table::Journal, id.as_bytes());
        rows.map(|row| ledger::decode(&row.map_err(failed)?.1).map_err(failed)).collect()
    }

    /// The messages of a transfer that go their own way.
    pub(super) fn messages(&self, id: TransferId) -> Result<Vec<Transfer>, Refusal> {
        ledger::messages_of(&self.store, id).map_err(failed)
    }

    /// The transfers that are meant, oldest first; one more than `limit` tells that there are more.
    pub(super) fn select(
        &self,
        selector: &Selector,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Transfer>, Refusal> {
        let mut found = if selector.names_each() {
            self.named(selector)?
        } else if selector.may_mean_ended() {
            self.among_all(selector, now)?
        } else {
            self.among_live(selector, now)?
        };
        found.sort_by_key(|t| (t.opened_at, t.id));
        found.truncate(limit.saturating_add(1));
        Ok(found)
    }

    fn named(&self, selector: &Selector) -> Result<Vec<Transfer>, Refusal> {
        let mut found: Vec<Transfer> = Vec::new();
        for begin in &selector.ids {
            let transfer = self.one(begin)?;
            if found.iter().all(|t| t.id != transfer.id) {
                found.push(transfer);
            }
        }
        Ok(found)
    }

    fn among_all(&self, selector: &Selector, now: Timestamp) -> Result<Vec<Transfer>, Refusal> {
        let mut found = Vec::new();
        for row in self.store.scan(Table::Transfer, &[]) {
            let transfer: Transfer = ledger::decode(&row.map_err(failed)?.1).map_err(failed)?;
            if meant(selector, &transfer, now) {
                found.push(transfer);
            }
        }
        Ok(found)
    }

    fn among_live(&self, selector: &Selector, now: Timestamp) -> Result<Vec<Transfer>, Refusal> {
        let mut found = Vec::new();
        for live in self.live() {
            let (id, _) = live?;
            let Some(transfer) = self.transfer(id)? else { continue };
            if !transfer.has_ended() && meant(selector, &transfer, now) {
                found.push(transfer);
            }
        }
        Ok(found)
    }

    /// The due index, decoded.
    fn live(&self) -> impl Iterator<Item = Result<(TransferId, DueRow), Refusal>> + use<> {
        self.store.scan(Table::Due, &[]).filter_map(|row| match row {
            Ok((key, value)) => {
                let (_, id) = ledger::read_due_key(&key)?;
                Some(ledger::decode(&value).map(|row| (id, row)).map_err(failed))
            }
            Err(e) => Some(Err(failed(e))),
        })
    }

    fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, Refusal> {
        let value = self.store.get(Table::Transfer, id.as_bytes()).map_err(failed)?;
        value.map(|bytes| ledger::decode(&bytes).map_err(failed)).transpose()
    }

    /// What wants a person, and how old things are.
    pub(super) fn glance(&self, now: Timestamp) -> Result<Glance, Refusal> {
        let mut glance = Glance::default();
        let mut looked_into = 0;
        for live in self.live() {
            let (id, row) = live?;
            let oldest = glance.oldest.entry(row.label.clone()).or_insert(row.since);
            *oldest = row.since.min(*oldest);
            match row.label.as_str() {
                "held" => {
                    let hold = self.transfer(id)?.and_then(|t| hold_words(&t));
                    *glance.held.entry(hold.unwrap_or_default()).or_default() += 1;
                }
                "not-integrated" | "unanswered" => glance.failed += u64::from(now.since(row.since) <= RECENT),
                "parked"
                | "preparing"
                | "filing"
                | "delivering"
                | "acknowledging"
                | "awaiting-acknowledgement"
                | "awaiting-leave"
                | "sending-parts"
                    if looked_into < LOOKED_INTO =>
                {
                    looked_into += 1;
                    let Some(transfer) = self.transfer(id)? else { continue };
                    glance.reported += u64::from(was_reported(&transfer));
                    if let Some(fault) = fault_for_a_person(&transfer, now) {
                        *glance.stuck.entry((transfer.label(), fault)).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        Ok(glance)
    }

    /// How many outcomes wait to be confirmed.
    pub(super) fn outbox(&self) -> u64 {
        count(self.store.scan(Table::Outbox, &[]))
    }

    /// How many events are set aside.
    pub(super) fn quarantined(&self) -> Result<u64, Refusal> {
        Ok(u64::try_from(self.quarantine(usize::MAX)?.len()).unwrap_or(u64::MAX))
    }

    /// What is set aside and waits for a decision, oldest first; one more than `limit` tells that there are more.
    pub(super) fn quarantine(&self, limit: usize) -> Result<Vec<Quarantined>, Refusal> {
        let rows = self.store.scan(Table::Quarantine, &[]);
        let found: Result<Vec<Quarantined>, Refusal> =
            rows.map(|row| ledger::decode(&row.map_err(failed)?.1).map_err(failed)).collect();
        let mut found = found?;
        found.retain(|q| q.settled.is_none());
        found.sort_by_key(|q| (q.at, q.id));
        found.truncate(limit.saturating_add(1));
        Ok(found)
    }

    /// The one thing set aside whose identifier begins so.
    pub(super) fn set_aside(&self, begin: &str) -> Result<Quarantined, Refusal> {
        let prefix = Prefix::parse(begin)?;
        let mut found = Vec::new();
        for row in self.store.scan(Table::Quarantine, &prefix.bytes) {
            let (key, value) = row.map_err(failed)?;
            if prefix.begins(&key) {
                found.push(ledger::decode::<Quarantined>(&value).map_err(failed)?);
            }
            if found.len() == 2 {
                return Err(prefix.ambiguous());
            }
        }
        found.pop().ok_or_else(|| {
            let words = "nothing set aside has an identifier that begins so";
            Refusal::new(RefusalKind::NotFound, words, "See what there is: throughcare quarantine list")
        })
    }

    /// The store, for an export.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }
}

fn meant(selector: &Selector, transfer: &Transfer, now: Timestamp) -> bool {
    let id = transfer.id.to_string();
    let party: Option<&OdsCode> = describe::party(transfer);
    let traits = Traits {
        id: &id,
        state: transfer.label(),
        kind: describe::kind(transfer),
        party,
        opened_at: transfer.opened_at,
    };
    selector.matches(&traits, now)
}

fn hold_words(transfer: &Transfer) -> Option<String> {
    match &transfer.case {
        Case::Release(release) => match &release.state {
            ReleaseState::Held { hold, .. } => Some(hold.words()),
            ReleaseState::AwaitingConfirmation { .. }
            | ReleaseState::Parked { .. }
            | ReleaseState::Preparing { .. }
            | ReleaseState::Delivering { .. }
            | ReleaseState::AwaitingAcknowledgement { .. }
            | ReleaseState::Ended { .. } => None,
        },
        Case::Received(received) => match &received.state {
            ReceivedState::Held { hold, .. } => Some(hold.words()),
            ReceivedState::Receiving { .. }
            | ReceivedState::Filing { .. }
            | ReceivedState::Refusing { .. }
            | ReceivedState::Acknowledging { .. }
            | ReceivedState::Ended { .. } => None,
        },
        Case::Reception(reception) => match &reception.state {
            ReceptionState::Held { hold } => Some(hold.words()),
            ReceptionState::AwaitingRegistration { .. }
            | ReceptionState::Requesting { .. }
            | ReceptionState::Requested { .. }
            | ReceptionState::Receiving { .. }
            | ReceptionState::Filing { .. }
            | ReceptionState::AwaitingDecision { .. }
            | ReceptionState::Acknowledging { .. }
            | ReceptionState::Ended { .. } => None,
        },
        Case::Outbound(_) | Case::Noted(_) => None,
    }
}

/// Why its work fails again and again, where somebody should look: at once, but for a record that may still be written.
fn fault_for_a_person(transfer: &Transfer, now: Timestamp) -> Option<&'static str> {
    match &transfer.case {
        Case::Release(release) => match &release.state {
            ReleaseState::Parked { .. } => {
                Some("a practice asks for a record that is not filed here yet; have it filed or refused")
            }
            ReleaseState::Preparing { fault: Some(PrepareFault::RecordMissing), since, .. } => {
                let words = "the custody record is missing for more than an hour; have it written";
                (now.since(*since) > RECORD_MISSING).then_some(words)
            }
            ReleaseState::Preparing { fault, .. } => fault.map(PrepareFault::words),
            ReleaseState::Delivering { delivery } => delivery.delay().and_then(ours_to_mend),
            ReleaseState::AwaitingConfirmation { .. }
            | ReleaseState::AwaitingAcknowledgement { .. }
            | ReleaseState::Held { .. }
            | ReleaseState::Ended { .. } => None,
        },
        Case::Received(received) => match &received.state {
            ReceivedState::Filing { fault, .. } | ReceivedState::Refusing { fault, .. } => {
                fault.map(FilingFault::words)
            }
            ReceivedState::Acknowledging { delivery } => delivery.delay().and_then(ours_to_mend),
            ReceivedState::Receiving { .. } | ReceivedState::Held { .. } | ReceivedState::Ended { .. } => {
                None
            }
        },
        Case::Reception(reception) => match &reception.state {
            ReceptionState::Filing { fault, .. } => fault.map(FilingFault::words),
            ReceptionState::AwaitingDecision { reminders: 1.., .. } => Some(
                "a received record waits for days to be filed or refused; have the clinical system decide",
            ),
            ReceptionState::Acknowledging { told: true, .. } => {
                Some("a sender was not told within a day what became of its record; see to the connection")
            }
            ReceptionState::AwaitingRegistration { .. }
            | ReceptionState::Requesting { .. }
            | ReceptionState::Requested { .. }
            | ReceptionState::Receiving { .. }
            | ReceptionState::AwaitingDecision { .. }
            | ReceptionState::Acknowledging { .. }
            | ReceptionState::Held { .. }
            | ReceptionState::Ended { .. } => None,
        },
        Case::Outbound(_) | Case::Noted(_) => None,
    }
}

/// What keeps a message from going out and does not lie with the party: it will not mend itself.
fn ours_to_mend(delay: Delay) -> Option<&'static str> {
    match delay {
        Delay::Delivery(why @ (TryAgain::PacketUnreadable | TryAgain::NoRoute | TryAgain::TlsIdentity)) => {
            Some(why.words())
        }
        Delay::Delivery(_) | Delay::Preparation(_) | Delay::InDoubt | Delay::Filing(_) | Delay::Operator => {
            None
        }
    }
}

fn was_reported(transfer: &Transfer) -> bool {
    match &transfer.case {
        Case::Release(release) => release.reported != crate::transfer::Reported::Nothing,
        Case::Reception(reception) => matches!(reception.state, ReceptionState::Requested { told: true, .. }),
        Case::Received(_) | Case::Outbound(_) | Case::Noted(_) => false,
    }
}

fn count<T>(rows: impl Iterator<Item = T>) -> u64 {
    u64::try_from(rows.count()).unwrap_or(u64::MAX)
}

/// A failure of the store, which stops the daemon anyway; told in the operator's terms.
fn failed(error: impl std::error::Error) -> Refusal {
    let words = format!("the store could not be read: {error}");
    Refusal::new(RefusalKind::Failed, words, "See the log: journalctl -u throughcare")
}

/// The beginning of an identifier, as bytes to scan by and the odd half byte after them.
struct Prefix {
    bytes: Vec<u8>,
    half: Option<u8>,
}

impl Prefix {
    fn parse(begin: &str) -> Result<Self, Refusal> {
        let digits: Option<Vec<u8>> = begin
            .chars()
            .filter(|c| *c != '-')
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect();
        let digits = digits.filter(|d| (4..=32).contains(&d.len())).ok_or_else(|| {
            let words = "that is not the beginning of an identifier";
            Refusal::new(RefusalKind::NotFound, words, "Give 4 to 32 hexadecimal digits of it.")
        })?;
        let (pairs, odd) = digits.as_chunks::<2>();
        let bytes = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        Ok(Self { bytes, half: odd.first().copied() })
    }

    fn begins(&self, key: &[u8]) -> bool {
        let half = key.get(self.bytes.len()).map(|b| b >> 4);
        key.starts_with(&self.bytes) && self.half.is_none_or(|h| half == Some(h))
    }

    fn ambiguous(&self) -> Refusal {
        let words = "more than one identifier begins so";
        Refusal::new(RefusalKind::Ambiguous, words, "Give more of it.")
    }
}
