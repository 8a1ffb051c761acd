//! The one writer. Takes what happened, steps each transfer in order, writes one commit, and only then answers and
//! hands out what is to be done. Nothing else writes to the store.
//!
//! The engine itself is synchronous and has no thread: [`Engine::turn`] is one commit. `handle` runs it on a thread of
//! its own. What is done outside is done by `perform`, which brings each result back as an input.

mod agenda;
mod aside;
mod draft;
mod handle;
mod input;
pub mod ledger;
mod messages;
mod parts;
mod patient;
mod recent;

use std::collections::BTreeMap;
use std::time::Duration;

pub use agenda::{Agenda, LaneView, Limits};
pub use handle::{EngineStopped, Handle, Observe, Overview, run};
pub use input::{Input, Reply, Route};
pub use parts::{Listing, PartRow};

use aside::{put_aside, settle};

use crate::engine::draft::Draft;
use crate::engine::ledger::{EventRow, ReceivedRow, Unreadable};
use crate::engine::messages::lookup;
use crate::engine::recent::Recent;
use crate::model::{NhsNumber, Timestamp, TransferId};
use crate::store::{Store, StoreError, Table};
use crate::transfer::custody::{CustodyEvent, CustodyKind};
use crate::transfer::effect::Order;
use crate::transfer::event::Event;
use crate::transfer::outbound::MessageKind;
use crate::transfer::verdict::Verdict;
use crate::transfer::{Beside, Case, Illegal, Step, ToParts, Transfer, Waits};

/// How long an effect may stay away before it counts as lost: above every timeout that `perform` sets.
const LOST_AFTER: Duration = Duration::from_secs(15 * 60);
/// Deadlines taken up in one turn: keeps a commit in the range where group commit pays (limits reference §7).
const STARTS_PER_TURN: usize = 256;

/// What a turn brought forth.
#[derive(Debug)]
pub struct Turn {
    /// One reply for each input, in order.
    pub replies: Vec<Reply>,
    /// What is to be done outside.
    pub orders: Vec<Order>,
    /// The number of the newest outbox entry: durable, like all before it.
    pub outbox_head: u64,
    /// How many operations the commit had; none when nothing was written.
    pub operations: usize,
}

/// The store failed or holds what we cannot read: the process stops and systemd starts it again.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The store holds something unreadable.
    #[error("the store holds a record that cannot be read")]
    Unreadable(#[from] Unreadable),
}

/// The one writer.
#[derive(Debug)]
pub struct Engine {
    store: Store,
    agenda: Agenda,
    recent: Recent,
    outbox_head: u64,
    counts: BTreeMap<String, u64>,
    switch: Switch,
}

/// Which of its two roles the node plays (S3, TD 7.1.2). What comes for one that is off is answered by 07 and never
/// processed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// Whether records are asked for, and taken.
    pub requester: bool,
    /// Whether requests of others are answered by a record.
    pub sender: bool,
}

impl Default for Switch {
    fn default() -> Self {
        Self { requester: true, sender: true }
    }
}

impl Engine {
    /// Takes up where the store left off: the agenda is the due index, read once.
    pub fn open(store: Store, limits: Limits) -> Result<Self, EngineError> {
        let mut agenda = Agenda::new(limits);
        for row in store.scan(Table::Due, &[]) {
            let (key, value) = row?;
            let Some((_, id)) = ledger::read_due_key(&key) else { continue };
            agenda.place(id, ledger::decode::<ledger::DueRow>(&value)?.waits);
        }
        let meta = |key: &[u8]| store.get(Table::Meta, key);
        let outbox_head = meta(ledger::OUTBOX_HEAD)?.map(|b| ledger::decode(&b)).transpose()?.unwrap_or(0);
        let counts = meta(ledger::COUNTS)?.map(|b| ledger::decode(&b)).transpose()?.unwrap_or_default();
        Ok(Self { store, agenda, recent: Recent::default(), outbox_head, counts, switch: Switch::default() })
    }

    /// The same engine in those roles only.
    #[must_use]
    pub fn switched(mut self, switch: Switch) -> Self {
        self.switch = switch;
        self
    }

    /// Takes the inputs and whatever is due, in one commit. Nobody may be answered, and nothing done, before it returns.
    pub fn turn(&mut self, inputs: Vec<Input>, now: Timestamp) -> Result<Turn, EngineError> {
        let store = self.store.clone();
        // Lent to the draft, and given back with what the commit wrote.
        let mut recent = std::mem::take(&mut self.recent);
        let mut draft = Draft::new(&store, &recent);
        let mut replies = Vec::with_capacity(inputs.len());
        for input in inputs {
            replies.push(self.take(&mut draft, input, now)?);
        }
        for lost in self.agenda.lost_since(Timestamp::from_millis(
            now.as_millis().saturating_sub(i64::try_from(LOST_AFTER.as_millis()).unwrap_or(i64::MAX)),
        )) {
            self.agenda.finish(lost);
            self.place(&draft, lost)?;
        }
        let orders = self.start_due(&mut draft, now)?;
        let (changes, written) = draft.finish(&mut self.outbox_head, &mut self.counts);
        let operations = changes.len();
        if operations > 0 {
            self.store.commit(changes)?;
        }
        recent.note(written);
        self.recent = recent;
        Ok(Turn { replies, orders, outbox_head: self.outbox_head, operations })
    }

    /// When the next deadline passes, as far as there is room to take it up.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.agenda.next_wake()
    }

    /// Starts nothing more: what is under way may end.
    pub fn close(&mut self) {
        self.agenda.close();
    }

    /// The number of the newest durable outbox entry.
    pub fn outbox_head(&self) -> u64 {
        self.outbox_head
    }

    /// The lanes as they are.
    pub fn lanes(&self) -> Vec<LaneView> {
        self.agenda.view()
    }

    /// How many transfers are in each state.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    /// How many transfers have work under way.
    pub fn under_way(&self) -> usize {
        self.agenda.count_under_way()
    }

    fn take(&mut self, draft: &mut Draft<'_>, input: Input, now: Timestamp) -> Result<Reply, EngineError> {
        match input {
            Input::Custody { event, digest, warnings } => {
                self.take_custody(draft, event, digest, warnings, now)
            }
            Input::Quarantine { entry, outcome } => Ok(put_aside(draft, entry, outcome, Reply::Taken)?),
            Input::Message {
                from,
                message_id,
                digest,
                answer,
                keep_until,
                event,
                route,
                listing,
                stranger,
            } => {
                let key = ledger::received_key(&from, &message_id);
                if let Some(bytes) = draft.row(Table::Ledger, &key)? {
                    let row: ReceivedRow = ledger::decode(&bytes)?;
                    if row.digest == digest {
                        return Ok(Reply::Duplicate(Some(row.answer)));
                    }
                    let Route::Part { from, .. } = &route else { return Ok(Reply::Conflict) };
                    if !Self::may_replace(draft, from, &message_id)? {
                        return Ok(Reply::Conflict);
                    }
                }
                if let Route::Part { from, conversation } = &route
                    && self.must_wait(draft, (from, *conversation), &message_id, &listing)?
                {
                    return Ok(Reply::NotYet);
                }
                let row = ReceivedRow { digest, answer, keep_until };
                draft.put(Table::Ledger, key, ledger::encode(&row));
                self.take_message(draft, &event, &route, &listing, stranger, now)
            }
            Input::Signal { message_id, event } => match lookup(draft, &ledger::sent_key(&message_id))? {
                Some(id) => self.apply(draft, id, &event, now),
                None => Ok(Reply::Stranger),
            },
            Input::Result { transfer, event } => self.take_result(draft, transfer, &event, now),
            Input::Act { transfer, act } => self.apply(draft, transfer, &Event::Act(act), now),
            Input::Settle { id, settled } => settle(draft, id, settled),
            Input::Published(numbers) => {
                draft.published(numbers);
                Ok(Reply::Taken)
            }
        }
    }

    fn take_custody(
        &mut self,
        draft: &mut Draft<'_>,
        event: Box<CustodyEvent>,
        digest: String,
        warnings: Vec<String>,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        let key = ledger::event_key(event.event_id);
        if let Some(bytes) = draft.row(Table::Event, &key)? {
            let row: EventRow = ledger::decode(&bytes)?;
            return Ok(if row.digest == digest { Reply::Duplicate(None) } else { Reply::Conflict });
        }
        let transfer = self.transfer_for(draft, &event, now)?;
        draft.put(Table::Event, key, ledger::encode(&EventRow { digest, transfer }));
        for warning in &warnings {
            tracing::warn!(%transfer, field = %warning, "an optional field of a custody event was dropped");
        }
        let event = Event::Custody(event);
        match draft.transfer(transfer)? {
            Some(_) => self.apply(draft, transfer, &event, now),
            None => {
                self.open_transfer(draft, transfer, &event, now)?;
                Ok(Reply::Taken)
            }
        }
    }

    /// A decision names its transfer. One that names none of ours, or one that it cannot decide, stands for itself.
    fn transfer_for(
        &self,
        draft: &Draft<'_>,
        event: &CustodyEvent,
        now: Timestamp,
    ) -> Result<TransferId, EngineError> {
        if let CustodyKind::FilingDecision(decision) = &event.kind
            && let Some(transfer) = draft.transfer(decision.transfer)?
            && transfer.step(&Event::Custody(Box::new(event.clone())), now).is_ok()
        {
            return Ok(decision.transfer);
        }
        let id = Transfer::id_for(event, now);
        // History stands for itself; so does whatever has its transfer already.
        if id == Transfer::id_for_noted(event) || draft.transfer(id)?.is_some() {
            return Ok(id);
        }
        Ok(patient::request_of_stay(draft, event)?.unwrap_or(id))
    }

    /// There is news of a person: every request that waits for it is looked at again, in order.
    fn wake(&mut self, draft: &mut Draft<'_>, number: &NhsNumber, now: Timestamp) -> Result<(), EngineError> {
        for waiting in patient::waiting(draft, number)? {
            let Case::Release(release) = &waiting.case else { continue };
            let Some(asked) = &release.asked else { continue };
            let woken = patient::news(draft, number, &asked.to)?;
            self.apply(draft, waiting.id, &Event::Woken(Box::new(woken)), now)?;
        }
        Ok(())
    }

    /// What is known beside a transfer that is about to be stepped.
    fn beside(&self) -> Beside {
        Beside { requester_off: !self.switch.requester, open_reception: None }
    }

    /// Where a step asks for a record that another open reception of the person asked for: what to step it with instead.
    fn beside_another(&self, draft: &Draft<'_>, step: &Step) -> Result<Option<Beside>, EngineError> {
        let is_request = |message: &Transfer| matches!(&message.case, Case::Outbound(o) if o.saying.kind() == MessageKind::Request);
        if !step.messages.iter().any(is_request) {
            return Ok(None);
        }
        let open_reception = patient::open_reception(draft, &step.next)?;
        Ok(open_reception.map(|_| Beside { open_reception, ..self.beside() }))
    }

    fn take_result(
        &mut self,
        draft: &mut Draft<'_>,
        id: TransferId,
        event: &Event,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        let lane = self.agenda.finish(id);
        if let (Some(lane), Event::Answered(answer)) = (lane, event) {
            self.agenda.judge(&lane, party_is_there(&answer.verdict), now);
        }
        self.apply(draft, id, event, now)
    }

    fn open_transfer(
        &mut self,
        draft: &mut Draft<'_>,
        id: TransferId,
        event: &Event,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        match Transfer::open_beside(id, event, self.beside(), now) {
            Ok(step) => {
                let step = match self.beside_another(draft, &step)? {
                    Some(beside) => Transfer::open_beside(id, event, beside, now).unwrap_or(step),
                    None => step,
                };
                self.conclude(draft, None, step, now)?;
            }
            Err(illegal) => tracing::error!(transfer = %id, %illegal, "an event opened nothing"),
        }
        Ok(())
    }

    /// Takes what came of a step, with the messages it sends on their way and what it tells the transfer it belongs to.
    fn conclude(
        &mut self,
        draft: &mut Draft<'_>,
        before: Option<Transfer>,
        mut step: Step,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let id = step.next.id;
        let (messages, report) = (std::mem::take(&mut step.messages), step.report.take());
        if let Some(word) = step.to_parts.take() {
            self.tell_parts(draft, id, word, now)?;
        }
        let wakes = step.wakes.take();
        self.agenda.place(id, draft.take(before, step, now)?);
        for message in messages {
            let id = message.id;
            let before = draft.transfer(id)?;
            if before.is_none() {
                self.agenda.place(id, draft.take(None, Step::new(message), now)?);
            }
        }
        if let Some((parent, report)) = report {
            self.apply(draft, parent, &Event::Reported(report), now)?;
        }
        if let Some(number) = wakes {
            self.wake(draft, &number, now)?;
        }
        Ok(())
    }

    /// Tells the parts of a record that were made before: those of a new version are made after it.
    fn tell_parts(
        &mut self,
        draft: &mut Draft<'_>,
        parent: TransferId,
        word: ToParts,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let event = match word {
            ToParts::Leave(until) => Event::Leave { until },
            ToParts::Stop => Event::Stop,
        };
        for id in draft.messages_of(parent)? {
            let Some(message) = draft.transfer(id)? else { continue };
            let Case::Outbound(outbound) = &message.case else { continue };
            if outbound.saying.kind() != MessageKind::Part {
                continue;
            }
            match message.step(&event, now) {
                // What it reports is what it was just told.
                Ok(step) => self.agenda.place(id, draft.take(Some(message), step, now)?),
                Err(illegal) => tracing::error!(message = %id, %illegal, "a part was not told"),
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        draft: &mut Draft<'_>,
        id: TransferId,
        event: &Event,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        let Some(transfer) = draft.transfer(id)? else {
            return Ok(Reply::NotApplicable("there is no such transfer".to_owned()));
        };
        match transfer.step_beside(event, self.beside(), now) {
            Ok(step) => {
                let step = match self.beside_another(draft, &step)? {
                    Some(beside) => transfer.step_beside(event, beside, now).unwrap_or(step),
                    None => step,
                };
                self.conclude(draft, Some(transfer), step, now)?;
                Ok(Reply::Taken)
            }
            Err(illegal) => {
                tracing::info!(transfer = %id, %illegal, "nothing changed");
                // If it was under way it is nobody's now, and its deadline counts again.
                self.agenda.place(id, transfer.waits());
                Ok(Reply::NotApplicable(illegal.to_string()))
            }
        }
    }

    fn place(&mut self, draft: &Draft<'_>, id: TransferId) -> Result<(), EngineError> {
        let waits = draft.transfer(id)?.map(|transfer| transfer.waits());
        self.agenda.place(id, waits.unwrap_or_default());
        Ok(())
    }

    /// Takes up what is due and has room: the only source of effects.
    fn start_due(&mut self, draft: &mut Draft<'_>, now: Timestamp) -> Result<Vec<Order>, EngineError> {
        let mut orders = Vec::new();
        for _ in 0..STARTS_PER_TURN {
            let Some(id) = self.agenda.next_due(now) else { break };
            let Some(transfer) = draft.transfer(id)? else {
                self.agenda.place(id, Waits::default());
                continue;
            };
            match transfer.step(&Event::Due, now) {
                Ok(mut step) => {
                    let effect = step.effect.take();
                    self.conclude(draft, Some(transfer), step, now)?;
                    if let Some(effect) = effect {
                        self.agenda.start(id, effect.lane(), now);
                        orders.push(Order { transfer: id, at: now, effect });
                    }
                }
                Err(Illegal { event, state }) => {
                    tracing::error!(transfer = %id, event, state, "a deadline has no meaning here");
                    self.agenda.place(id, Waits::default());
                }
            }
        }
        Ok(orders)
    }
}

/// Whether the answer shows that the party's system is up, whatever it thinks of the message.
fn party_is_there(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Accepted(_) | Verdict::Refused(_) => true,
        Verdict::TryAgain(why) => !why.means_party_is_down(),
    }
}
