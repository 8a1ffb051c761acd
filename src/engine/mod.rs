//! The one writer. Takes what happened, steps each transfer in order, writes one commit, and only then answers and
//! hands out what is to be done. Nothing else writes to the store.
//!
//! The engine itself is synchronous and has no thread: [`Engine::turn`] is one commit. `handle` runs it on a thread of
//! its own. What is done outside is done by `perform`, which brings each result back as an input.

mod agenda;
mod draft;
mod handle;
pub mod ledger;
mod parts;
mod patient;
mod recent;

use std::collections::BTreeMap;
use std::time::Duration;

pub use agenda::{Agenda, LaneView, Limits};
pub use handle::{EngineStopped, Handle, Observe, Overview, run};
pub use parts::{Listing, PartRow};

use crate::engine::draft::Draft;
use crate::engine::ledger::{EventRow, Quarantined, ReceivedRow, Settled, Unreadable};
use crate::engine::recent::Recent;
use crate::model::{ConversationId, MessageId, NhsNumber, OdsCode, PartyKey, Timestamp, TransferId};
use crate::store::{Store, StoreError, Table};
use crate::transfer::custody::{CustodyEvent, CustodyKind};
use crate::transfer::dispatch::PacketRef;
use crate::transfer::effect::Order;
use crate::transfer::event::{Acknowledgement, Act, Arrival, Asked, Event};
use crate::transfer::outbound::MessageKind;
use crate::transfer::outcome::Outcome;
use crate::transfer::refusal::Refusal;
use crate::transfer::verdict::Verdict;
use crate::transfer::{Beside, Case, Illegal, Step, ToParts, Transfer, Waits};

/// How long an effect may stay away before it counts as lost: above every timeout that `perform` sets.
const LOST_AFTER: Duration = Duration::from_secs(15 * 60);
/// Deadlines taken up in one turn: keeps a commit in the range where group commit pays (limits reference §7).
const STARTS_PER_TURN: usize = 256;

/// Something for the engine.
#[derive(Debug)]
pub enum Input {
    /// A custody event, decoded and valid.
    Custody {
        /// What it says.
        event: Box<CustodyEvent>,
        /// SHA-256 of its content, in hexadecimal.
        digest: String,
        /// Optional fields that were dropped, named without values.
        warnings: Vec<String>,
    },
    /// Something that cannot be taken; its octets are sealed already.
    Quarantine {
        /// What and why.
        entry: Quarantined,
        /// What the custody system is told.
        outcome: Option<Box<Outcome>>,
    },
    /// A message from a party, verified and sealed, with the answer it gets.
    Message {
        /// The party, for the ledger.
        from: PartyKey,
        /// The message, for the ledger.
        message_id: MessageId,
        /// Digest of the message less what retransmission may change, in hexadecimal.
        digest: String,
        /// The octets to answer with, now and whenever the message comes again, sealed.
        answer: PacketRef,
        /// Until when the row is kept.
        keep_until: Timestamp,
        /// What it tells us.
        event: Box<Event>,
        /// How to find its transfer.
        route: Route,
        /// What it says of parts.
        listing: Box<Listing>,
        /// What to put aside if it belongs to nobody.
        stranger: Quarantined,
    },
    /// An ebXML signal that came as a message of its own.
    Signal {
        /// The message it answers.
        message_id: MessageId,
        /// What it tells us.
        event: Box<Event>,
    },
    /// What came of an effect.
    Result {
        /// The transfer that asked for it.
        transfer: TransferId,
        /// What came.
        event: Box<Event>,
    },
    /// An operator acts on a transfer.
    Act {
        /// Which.
        transfer: TransferId,
        /// What.
        act: Act,
    },
    /// An operator settles something in quarantine, after it was taken in again or for good.
    Settle {
        /// Which.
        id: TransferId,
        /// What, why, who and when.
        settled: Settled,
    },
    /// Outbox entries that the broker confirmed.
    Published(Vec<u64>),
}

/// How to find the transfer of a message.
#[derive(Debug, Clone)]
pub enum Route {
    /// An extract: it opens a transfer of its own.
    Opens {
        /// Who sent it.
        from: OdsCode,
        /// In which conversation.
        conversation: ConversationId,
        /// Whether records that nobody asked for are taken.
        push: bool,
    },
    /// A part of a record: it belongs to the extract that lists it.
    Part {
        /// Who sent it.
        from: OdsCode,
        /// In which conversation.
        conversation: ConversationId,
    },
    /// A request for a record: it joins a release of that patient, or opens a transfer of its own.
    Asks,
    /// An answer to a message of ours.
    Answers {
        /// In which conversation.
        conversation: ConversationId,
        /// Which message.
        refers_to: Option<MessageId>,
        /// The party it came from: only the one we sent to may answer.
        from: OdsCode,
    },
}

/// What the engine says to an input, once it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is durable.
    Taken,
    /// It was known already, with the same content. A message gets the answer it got the first time.
    Duplicate(Option<PacketRef>),
    /// The same identity came with other content; nothing was taken but a note of it.
    Conflict,
    /// It cannot be taken before another message: it is to come again.
    NotYet,
    /// It belongs to nobody and was put aside.
    Stranger,
    /// It does not apply, and why.
    NotApplicable(String),
}

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

    fn take_message(
        &mut self,
        draft: &mut Draft<'_>,
        event: &Event,
        route: &Route,
        listing: &Listing,
        stranger: Quarantined,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        match route {
            Route::Opens { from, conversation, push } => {
                let off = if self.switch.requester { None } else { refused(event, Refusal::SwitchedOff) };
                let event = off.as_ref().unwrap_or(event);
                let (id, unasked) = match self.asked_of(draft, from, *conversation)? {
                    Some(id) => (id, None),
                    None => {
                        let taken = *push || off.is_some();
                        let unasked = if taken { None } else { refused(event, Refusal::NotRequested) };
                        (Transfer::id_for_arrival(from, *conversation), unasked)
                    }
                };
                let event = unasked.as_ref().unwrap_or(event);
                let (listed, rows) = Self::list(draft, id, event, listing)?;
                let event = listed.as_ref().unwrap_or(event);
                let reply = match draft.transfer(id)? {
                    None => {
                        self.open_transfer(draft, id, event, now)?;
                        Reply::Taken
                    }
                    // It is what was asked for, or takes the place of one that was refused (gp2gp reference §2.2, Q19).
                    Some(first) if first.step(event, now).is_ok() => self.apply(draft, id, event, now)?,
                    Some(_) => return self.refuse_copy(draft, event, stranger, now),
                };
                Self::keep_listed(draft, id, event, rows)?;
                Ok(reply)
            }
            Route::Part { conversation, .. } => {
                self.take_part(draft, event, *conversation, listing, stranger, now)
            }
            Route::Asks => self.take_request(draft, event, stranger, now),
            Route::Answers { conversation, refers_to, from } => {
                let named = match refers_to {
                    Some(message_id) => lookup(draft, &ledger::sent_key(message_id))?,
                    None => None,
                };
                let (by_message, about) = owner(draft, named)?;
                let by_conversation = lookup(draft, &ledger::conversation_key(*conversation))?;
                // Inside the conversation, and naming a message of ours if it names any (gp2gp reference §1.2).
                let id = match (by_message, by_conversation) {
                    (Some(message), Some(conversation)) if message == conversation => Some(message),
                    (None, Some(conversation)) if refers_to.is_none() => Some(conversation),
                    (_, _) => None,
                };
                match id {
                    Some(id) if sent_to(draft, id)?.as_ref() == Some(from) => match event {
                        Event::Acknowledged(ack) => {
                            let ack = Acknowledgement { about, ..ack.clone() };
                            let event = Event::Acknowledged(ack);
                            if let (Some(MessageKind::Part), Some(part)) = (about, named) {
                                self.apply(draft, part, &event, now)?;
                            }
                            self.apply(draft, id, &event, now)
                        }
                        other => self.apply(draft, id, other, now),
                    },
                    Some(_) | None => put_aside(draft, stranger, None, Reply::Stranger),
                }
            }
        }
    }

    /// A practice asks for a record: the newest release of that patient that waits is what it gets; failing that, what
    /// custody last told of the patient goes with the request.
    fn take_request(
        &mut self,
        draft: &mut Draft<'_>,
        event: &Event,
        stranger: Quarantined,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        let Event::Asked(asked) = event else { return put_aside(draft, stranger, None, Reply::Stranger) };
        let id = Transfer::id_for_request(asked);
        if draft.transfer(id)?.is_some()
            || lookup(draft, &ledger::conversation_key(asked.conversation))?.is_some()
        {
            // A second request in one conversation asks for nothing new (§3.7).
            return Ok(Reply::NotApplicable("this conversation has its request".to_owned()));
        }
        let asked = Asked { switched_off: !self.switch.sender, ..patient::informed(draft, asked)? };
        let event = Event::Asked(Box::new(asked));
        let Event::Asked(asked) = &event else { return Ok(Reply::Stranger) };
        for transfer in patient::releases(draft, asked)? {
            if transfer.step(&event, now).is_ok() {
                return self.apply(draft, transfer.id, &event, now);
            }
        }
        self.open_transfer(draft, id, &event, now)?;
        Ok(Reply::Taken)
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

    /// The reception that asked `from` for a record in this conversation.
    fn asked_of(
        &self,
        draft: &Draft<'_>,
        from: &OdsCode,
        conversation: ConversationId,
    ) -> Result<Option<TransferId>, EngineError> {
        let Some(id) = lookup(draft, &ledger::conversation_key(conversation))? else { return Ok(None) };
        let asked = match draft.transfer(id)?.map(|transfer| transfer.case) {
            Some(Case::Reception(reception)) => reception.request.is_some_and(|r| r.practice == *from),
            _ => false,
        };
        Ok(asked.then_some(id))
    }

    /// A second extract in one conversation: the first one stands, and this one is answered by itself (S60, TD27.2).
    fn refuse_copy(
        &mut self,
        draft: &mut Draft<'_>,
        event: &Event,
        stranger: Quarantined,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        let Event::Arrived(arrival) = event else {
            return put_aside(draft, stranger, None, Reply::Stranger);
        };
        let mut copy = arrival.clone();
        copy.refusal.get_or_insert(Refusal::Duplicate);
        let id = Transfer::id_for_copy(&copy);
        if draft.transfer(id)?.is_some() {
            return put_aside(draft, stranger, None, Reply::Stranger);
        }
        self.open_transfer(draft, id, &Event::Arrived(copy), now)?;
        Ok(Reply::Taken)
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

fn lookup(draft: &Draft<'_>, key: &[u8]) -> Result<Option<TransferId>, EngineError> {
    Ok(draft.row(Table::Ledger, key)?.map(|bytes| ledger::decode(&bytes)).transpose()?)
}

/// An extract that is not taken: nobody asked for it and none is taken unasked (09, TD21, Q21), or none is taken at all
/// (07, §2.3).
fn refused(event: &Event, why: Refusal) -> Option<Event> {
    let Event::Arrived(arrival) = event else { return None };
    let refusal = Some(why);
    Some(Event::Arrived(Box::new(Arrival { refusal, ..(**arrival).clone() })))
}

/// The transfer that an answer to a message concerns, and the kind of that message where it goes its own way.
fn owner(
    draft: &Draft<'_>,
    id: Option<TransferId>,
) -> Result<(Option<TransferId>, Option<MessageKind>), EngineError> {
    let Some(id) = id else { return Ok((None, None)) };
    Ok(match draft.transfer(id)?.map(|transfer| transfer.case) {
        Some(Case::Outbound(outbound)) => (Some(outbound.parent), Some(outbound.saying.kind())),
        Some(Case::Release(_) | Case::Received(_) | Case::Reception(_) | Case::Noted(_)) | None => {
            (Some(id), None)
        }
    })
}

/// The party a transfer's message was sent to.
fn sent_to(draft: &Draft<'_>, id: TransferId) -> Result<Option<OdsCode>, EngineError> {
    Ok(draft.transfer(id)?.and_then(|transfer| match &transfer.case {
        Case::Release(release) => release.delivery().map(|d| d.dispatch.to.clone()),
        Case::Received(received) => received.delivery().map(|d| d.dispatch.to.clone()),
        Case::Reception(reception) => reception.request.as_ref().map(|request| request.practice.clone()),
        Case::Outbound(outbound) => Some(outbound.to.clone()),
        Case::Noted(_) => None,
    }))
}

fn settle(draft: &mut Draft<'_>, id: TransferId, settled: Settled) -> Result<Reply, EngineError> {
    let key = ledger::quarantine_key(id);
    let refused = |words: &str| Ok(Reply::NotApplicable(words.to_owned()));
    let Some(bytes) = draft.row(Table::Quarantine, &key)? else {
        return refused("nothing with that id is in quarantine");
    };
    let mut entry: Quarantined = ledger::decode(&bytes)?;
    if entry.settled.is_some() {
        return refused("it was settled before");
    }
    entry.settled = Some(settled);
    draft.put(Table::Quarantine, key, ledger::encode(&entry));
    Ok(Reply::Taken)
}

fn put_aside(
    draft: &mut Draft<'_>,
    mut entry: Quarantined,
    outcome: Option<Box<Outcome>>,
    reply: Reply,
) -> Result<Reply, EngineError> {
    let key = ledger::quarantine_key(entry.id);
    if let Some(bytes) = draft.row(Table::Quarantine, &key)? {
        let known: Quarantined = ledger::decode(&bytes)?;
        let Some(settled) = known.settled else { return Ok(Reply::Duplicate(None)) };
        // What was settled and comes again wants a person again, who sees what was decided before.
        entry.earlier = known.earlier;
        entry.earlier.push(settled);
    }
    if let Some(outcome) = outcome {
        draft.publish(*outcome);
    }
    draft.put(Table::Quarantine, key, ledger::encode(&entry));
    Ok(reply)
}
