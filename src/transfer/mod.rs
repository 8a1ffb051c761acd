//! What a transfer is and how it changes. Pure: [`Transfer::step`] takes an event and the time, and returns the next
//! state with what should be done, recorded and published. No clock, no randomness, no IO.
//!
//! Reading order: `custody` and `event` (what can happen), `release`, `reception` and `received` (how each kind of transfer
//! takes it), `chain` (what one reception means for a practice that asks), `outbound` (its messages that go their own way),
//! `gathering` and `timeout` (parts that come), `delivery` and `dispatch` (a message on its way), `retry`,
//! `breaker`, `verdict`, `response_code`, `reason`, `journal`, `effect`, `outcome`.

pub mod breaker;
pub mod chain;
pub mod custody;
pub mod delivery;
pub mod dispatch;
pub mod effect;
pub mod event;
pub mod gathering;
pub mod journal;
pub mod outbound;
pub mod outcome;
pub mod reason;
mod received;
mod reception;
pub mod refusal;
mod release;
pub mod response_code;
pub mod retry;
pub mod timeout;
pub mod verdict;

use serde::{Deserialize, Serialize};

use crate::model::{ConversationId, MessageId, NhsNumber, OdsCode, Timestamp, TransferId};
use crate::transfer::chain::Chain;
use crate::transfer::custody::{CustodyEvent, CustodyKind};
use crate::transfer::effect::Effect;
use crate::transfer::event::{Arrival, Asked, Event};
use crate::transfer::journal::What;
use crate::transfer::outbound::{Outbound, Report};
use crate::transfer::outcome::{Outcome, OutcomeId, OutcomeKind};
pub use crate::transfer::received::{Received, ReceivedState};
pub use crate::transfer::reception::{Reception, ReceptionState, Request};
pub use crate::transfer::release::{PartsOut, Release, ReleaseState, Reported};

/// One patient, one registration, one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// What operators, logs and outcomes call it.
    pub id: TransferId,
    /// All its messages carry it (S240).
    pub conversation: ConversationId,
    /// When it began.
    pub opened_at: Timestamp,
    /// When it last changed: another milestone, or word from outside. Our own retries are no change.
    pub changed_at: Timestamp,
    /// How many lines its timeline has.
    pub entries: u32,
    /// How many outcomes were published of it.
    pub outcomes: u32,
    /// Which kind it is, and where it stands.
    pub case: Case,
}

/// The kinds of transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "case")]
pub enum Case {
    /// A person leaves custody; we send.
    Release(Box<Release>),
    /// A record came to us.
    Received(Box<Received>),
    /// A person enters custody; we ask for the record.
    Reception(Box<Reception>),
    /// One message of a transfer that goes its own way. Never listed by itself.
    Outbound(Box<Outbound>),
    /// A custody event whose behaviour comes later: kept, shown, never dropped.
    Noted(Box<CustodyEvent>),
}

/// What follows from an event.
#[derive(Debug, Clone)]
pub struct Step {
    /// The transfer as it is now.
    pub next: Transfer,
    /// What to do outside; only ever after [`Event::Due`].
    pub effect: Option<Effect>,
    /// What the timeline gains.
    pub entries: Vec<What>,
    /// What the custody system is told.
    pub outcomes: Vec<Outcome>,
    /// Messages that go their own way, each a record of its own from now on.
    pub messages: Vec<Transfer>,
    /// What the transfer that it belongs to hears of it.
    pub report: Option<(TransferId, Report)>,
    /// What its parts that were made before hear.
    pub to_parts: Option<ToParts>,
    /// Whether the part that came is kept, and its row changed.
    pub keeps_part: bool,
    /// Of whom there is news: requests that wait for that are to be looked at again.
    pub wakes: Option<NhsNumber>,
    /// What was known beside the transfer.
    beside: Beside,
}

/// What the parts of a record hear from the transfer they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToParts {
    /// They may go, and until when they are tried.
    Leave(Timestamp),
    /// They are not wanted any more (S4).
    Stop,
}

/// What is known beside a transfer when it is stepped; the gates of a reception ask for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beside {
    /// Whether we ask for no records and take none just now (gate 1, S3).
    pub requester_off: bool,
    /// Another open reception of the person at the same establishment (gate 14).
    pub open_reception: Option<TransferId>,
}

/// The event does not belong to the state; nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event} does not apply while the transfer is {state}")]
pub struct Illegal {
    /// The event, in one word.
    pub event: &'static str,
    /// The state's label.
    pub state: &'static str,
}

/// Who a transfer waits for when it is due: deliveries of one party never wait behind another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Work of our own: records, filing, reports, ends.
    House,
    /// Sending to that party.
    Party(OdsCode),
    /// Sending it the parts of large records, which never hold up what is small.
    Parts(OdsCode),
}

/// When a transfer must be looked at. What it does of itself, a report or an end, never waits for a party that rests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Waits {
    /// For work of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub house: Option<Timestamp>,
    /// For sending to that party.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<(OdsCode, Timestamp)>,
    /// For sending it a part of a large record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<(OdsCode, Timestamp)>,
}

impl Waits {
    /// For work of our own only.
    fn house(due: Option<Timestamp>) -> Self {
        Self { house: due, ..Self::default() }
    }

    /// The lanes it stands in, and when it is due in each.
    pub fn lanes(&self) -> impl Iterator<Item = (Lane, Timestamp)> + use<> {
        let party = self.party.clone().map(|(code, due)| (Lane::Party(code), due));
        let part = self.part.clone().map(|(code, due)| (Lane::Parts(code), due));
        self.house.map(|due| (Lane::House, due)).into_iter().chain(party).chain(part)
    }
}

impl Transfer {
    /// The identity a custody event's transfer has: a release and its later events share that of their stay, so that a
    /// redelivered or repeated event finds it; every other event stands for itself.
    pub fn id_for(event: &CustodyEvent, now: Timestamp) -> TransferId {
        match &event.kind {
            CustodyKind::Release(_) if !is_history(event, now) => {
                TransferId::derived(&["release", event.source.as_str(), event.stay.reveal()])
            }
            CustodyKind::Reception(_) | CustodyKind::RegistrationDecision(_) if !is_history(event, now) => {
                TransferId::derived(&["reception", event.source.as_str(), event.stay.reveal()])
            }
            CustodyKind::Release(_)
            | CustodyKind::Reception(_)
            | CustodyKind::Move(_)
            | CustodyKind::RegistrationDecision(_)
            | CustodyKind::Correction(_)
            | CustodyKind::Death(_)
            | CustodyKind::FilingDecision(_) => Self::id_for_noted(event),
        }
    }

    /// The identity of an event that stands for itself.
    pub fn id_for_noted(event: &CustodyEvent) -> TransferId {
        TransferId::derived(&["noted", &event.event_id.to_string()])
    }

    /// The identity of the transfer that an extract of `conversation` from `from` belongs to.
    pub fn id_for_arrival(from: &OdsCode, conversation: ConversationId) -> TransferId {
        TransferId::derived(&["received", from.as_str(), &conversation.to_string()])
    }

    /// The identity of the transfer that a practice's request opens.
    pub fn id_for_request(asked: &Asked) -> TransferId {
        TransferId::derived(&["request", asked.from.as_str(), &asked.conversation.to_string()])
    }

    /// The identity of the transfer that a further extract of the same conversation opens, only to be refused.
    pub fn id_for_copy(copy: &Arrival) -> TransferId {
        let (from, conversation) = (copy.from.as_str(), copy.conversation.to_string());
        TransferId::derived(&["received", from, &conversation, copy.message_id.as_str()])
    }

    /// Opens a transfer with its first event.
    pub fn open(id: TransferId, event: &Event, now: Timestamp) -> Result<Step, Illegal> {
        Self::open_beside(id, event, Beside::default(), now)
    }

    /// The same, with what is known beside it.
    pub fn open_beside(
        id: TransferId,
        event: &Event,
        beside: Beside,
        now: Timestamp,
    ) -> Result<Step, Illegal> {
        let illegal = |name| Illegal { event: name, state: "not open" };
        match event {
            Event::Custody(custody) => {
                let conversation = ConversationId::derived(&["conversation", &id.to_string()]);
                let order = || (**custody).clone();
                let case = match &custody.kind {
                    _ if is_history(custody, now) => Case::Noted(custody.clone()),
                    CustodyKind::Release(_) => {
                        Case::Release(Box::new(Release::new(Some(order()), None, now)))
                    }
                    CustodyKind::Reception(_) | CustodyKind::RegistrationDecision(_) => {
                        Case::Reception(Box::new(Reception::new(order(), now)))
                    }
                    CustodyKind::Move(_)
                    | CustodyKind::Correction(_)
                    | CustodyKind::Death(_)
                    | CustodyKind::FilingDecision(_) => Case::Noted(custody.clone()),
                };
                let mut step = Step { beside, ..Step::new(Self::fresh(id, conversation, case, now)) };
                step.note_event(custody);
                match &step.next.case {
                    Case::Release(_) => release::gate(&mut step, now),
                    Case::Reception(_) => reception::gate(&mut step, now),
                    Case::Received(_) | Case::Outbound(_) | Case::Noted(_) => {
                        step.publish_noted(custody, now)
                    }
                }
                step.wakes = news(None, &step.next, event);
                Ok(step)
            }
            Event::Asked(asked) => {
                let order = asked.known.as_deref().cloned();
                let case = Case::Release(Box::new(Release::new(order, Some((**asked).clone()), now)));
                let mut step = Step::new(Self::fresh(id, asked.conversation, case, now));
                step.entries.push(What::Asked { practice: asked.from.clone() });
                release::gate_request(&mut step, now);
                Ok(step)
            }
            Event::Arrived(arrival) => {
                let case = Case::Received(Box::new(Received::new((**arrival).clone(), now)));
                let mut step = Step::new(Self::fresh(id, arrival.conversation, case, now));
                received::note_arrival(&mut step, arrival, now);
                Ok(step)
            }
            other => Err(illegal(other.name())),
        }
    }

    fn fresh(id: TransferId, conversation: ConversationId, case: Case, now: Timestamp) -> Self {
        Self { id, conversation, opened_at: now, changed_at: now, entries: 0, outcomes: 0, case }
    }

    /// Takes an event: the next state and what follows, or why the event does not apply.
    pub fn step(&self, event: &Event, now: Timestamp) -> Result<Step, Illegal> {
        self.step_beside(event, Beside::default(), now)
    }

    /// The same, with what is known beside it.
    pub fn step_beside(&self, event: &Event, beside: Beside, now: Timestamp) -> Result<Step, Illegal> {
        let mut step = Step { beside, ..Step::new(self.clone()) };
        if let Event::Act(act) = event
            && act.verb.only_looks()
        {
            step.entries.push(What::Act { act: act.clone() });
            return Ok(step);
        }
        match &self.case {
            Case::Release(_) => release::step(&mut step, event, now)?,
            Case::Received(_) => received::step(&mut step, event, now)?,
            Case::Reception(_) => reception::step(&mut step, event, now)?,
            Case::Outbound(_) => outbound::step(&mut step, event, now)?,
            Case::Noted(_) => return Err(self.illegal(event)),
        }
        if event.is_from_outside() || step.next.milestone() != self.milestone() {
            step.next.changed_at = now;
        }
        step.wakes = news(Some(self), &step.next, event);
        Ok(step)
    }

    /// Its state as far as it tells of progress: a copy that goes out again while the practice is silent is none.
    fn milestone(&self) -> &'static str {
        match &self.case {
            Case::Release(release) => match &release.state {
                ReleaseState::Delivering { delivery } if delivery.dispatch.delivered_at.is_some() => {
                    "awaiting-acknowledgement"
                }
                _ => release.label(),
            },
            Case::Received(_) | Case::Reception(_) | Case::Outbound(_) | Case::Noted(_) => self.label(),
        }
    }

    /// When it must be looked at; none when it waits for a person or has closed.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.waits().lanes().map(|(_, due)| due).min()
    }

    /// When it must be looked at, by whom it waits for.
    pub fn waits(&self) -> Waits {
        match &self.case {
            Case::Release(release) => release.waits(),
            Case::Received(received) => received.waits(),
            Case::Reception(reception) => reception.waits(),
            Case::Outbound(outbound) => outbound.waits(),
            Case::Noted(_) => Waits::default(),
        }
    }

    /// Every label there is.
    pub const LABELS: &'static [&'static str] = &[
        "awaiting-confirmation",
        "awaiting-registration",
        "parked",
        "requesting",
        "requested",
        "awaiting-decision",
        "preparing",
        "delivering",
        "awaiting-leave",
        "sending-parts",
        "awaiting-acknowledgement",
        "receiving",
        "filing",
        "acknowledging",
        "refusing",
        "held",
        "integrated",
        "suppressed",
        "not-integrated",
        "unanswered",
        "cancelled",
        "filed",
        "refused",
        "no-transfer",
        "request-refused",
        "noted",
    ];

    /// The state in one word, for lists and metrics: one of [`Transfer::LABELS`].
    pub fn label(&self) -> &'static str {
        match &self.case {
            Case::Release(release) => release.label(),
            Case::Received(received) => received.state.label(),
            Case::Reception(reception) => reception.state.label(),
            Case::Outbound(outbound) => outbound.label(),
            Case::Noted(_) => "noted",
        }
    }

    /// Whether it waits for a person.
    pub fn waits_for_person(&self) -> bool {
        matches!(self.label(), "held")
    }

    /// Whether it has ended. It may still listen for late answers.
    pub fn has_ended(&self) -> bool {
        matches!(
            self.label(),
            "integrated"
                | "suppressed"
                | "not-integrated"
                | "unanswered"
                | "cancelled"
                | "filed"
                | "refused"
                | "no-transfer"
                | "request-refused"
                | "sent"
                | "not-sent"
        )
    }

    /// The parts that are awaited, while they are.
    pub fn gathering(&self) -> Option<&gathering::Gathering> {
        match &self.case {
            Case::Received(received) => match &received.state {
                ReceivedState::Receiving { gathering } => Some(gathering),
                _ => None,
            },
            Case::Reception(reception) => match &reception.state {
                ReceptionState::Receiving { gathering } => Some(gathering),
                _ => None,
            },
            Case::Release(_) | Case::Outbound(_) | Case::Noted(_) => None,
        }
    }

    /// The MessageIds under which the other side may refer to us.
    pub fn message_ids(&self) -> Vec<MessageId> {
        match &self.case {
            Case::Release(release) => release.message_ids.clone(),
            Case::Received(received) => {
                received.delivery().map(|d| d.dispatch.message_id.clone()).into_iter().collect()
            }
            Case::Outbound(outbound) => vec![outbound.message_id.clone()],
            // Its messages go their own way.
            Case::Reception(_) | Case::Noted(_) => Vec::new(),
        }
    }

    /// The request that waits here for news of a person: of our own reception, or of PDS.
    pub fn waits_for_news_of(&self) -> Option<&NhsNumber> {
        match &self.case {
            Case::Release(release) if release::waits_for_news(release) => {
                release.asked.as_ref()?.nhs_number.as_ref()
            }
            _ => None,
        }
    }

    /// What this transfer's reception means for a practice that asks for the record.
    pub fn chain(&self) -> Option<Chain> {
        match &self.case {
            Case::Reception(reception) => Chain::of(reception),
            Case::Release(_) | Case::Received(_) | Case::Outbound(_) | Case::Noted(_) => None,
        }
    }

    fn illegal(&self, event: &Event) -> Illegal {
        Illegal { event: event.name(), state: self.label() }
    }
}

/// Of whom a step brings news: custody told something of the person, or a reception of theirs went on.
fn news(before: Option<&Transfer>, now: &Transfer, event: &Event) -> Option<NhsNumber> {
    let order = match &now.case {
        Case::Release(release) => release.order.as_ref()?,
        Case::Reception(reception) => &reception.order,
        Case::Received(_) | Case::Outbound(_) | Case::Noted(_) => return None,
    };
    let told = matches!(event, Event::Custody(_)) && order.pds.is_some();
    let moved = before.and_then(Transfer::chain) != now.chain();
    order.identity.verified_number().filter(|_| told || moved).copied()
}

/// Older than 84 days: kept as history, and starts nothing (custody reference §3.2).
fn is_history(event: &CustodyEvent, now: Timestamp) -> bool {
    now.since(event.occurred_at) > retry::LISTEN_FOR
}

impl Event {
    /// Whether somebody told us something, rather than our own work going its way.
    fn is_from_outside(&self) -> bool {
        match self {
            Self::Custody(_)
            | Self::LateSignal(_)
            | Self::Acknowledged(_)
            | Self::Arrived(_)
            | Self::Asked(_)
            | Self::Part(_)
            | Self::Continued(_)
            | Self::Act(_) => true,
            Self::Due
            | Self::Prepared(_)
            | Self::Unprepared { .. }
            | Self::Restamped(_)
            | Self::Renewed(_)
            | Self::NotRestamped(_)
            | Self::Answered(_)
            | Self::Filed(_)
            | Self::Refused(_)
            | Self::NotFiled(_)
            | Self::Composed(_)
            | Self::NotComposed(_)
            | Self::Joined { .. }
            | Self::NotJoined(_)
            | Self::Leave { .. }
            | Self::Stop
            | Self::Reported(_)
            | Self::Woken(_) => false,
        }
    }

    /// The event in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Custody(_) => "a custody event",
            Self::Due => "a deadline",
            Self::Prepared(_) => "a prepared packet",
            Self::Unprepared { .. } => "a failed preparation",
            Self::Restamped(_) => "a new envelope",
            Self::Renewed(_) => "new envelopes",
            Self::NotRestamped(_) => "a failed new envelope",
            Self::Answered(_) => "an answer",
            Self::LateSignal(_) => "a late signal",
            Self::Acknowledged(_) => "an acknowledgement",
            Self::Arrived(_) => "an extract",
            Self::Asked(_) => "a request",
            Self::Filed(_) => "a filing",
            Self::Refused(_) => "a refusal",
            Self::NotFiled(_) => "a failed filing",
            Self::Act(_) => "an operator's act",
            Self::Composed(_) => "a written message",
            Self::NotComposed(_) => "a message that could not be written",
            Self::Reported(_) => "the end of a message",
            Self::Part(_) => "a part",
            Self::Joined { .. } => "a file put together",
            Self::NotJoined(_) => "a file that could not be looked at",
            Self::Continued(_) => "leave to send parts",
            Self::Leave { .. } => "leave to go",
            Self::Stop => "an order to stop",
            Self::Woken(_) => "news of the person",
        }
    }
}

impl Step {
    /// Nothing follows but the state.
    pub fn new(next: Transfer) -> Self {
        Self {
            next,
            effect: None,
            entries: Vec::new(),
            outcomes: Vec::new(),
            messages: Vec::new(),
            report: None,
            to_parts: None,
            keeps_part: false,
            wakes: None,
            beside: Beside::default(),
        }
    }

    fn note_event(&mut self, event: &CustodyEvent) {
        self.entries.push(What::Event { kind: event.kind.name().to_owned(), seq: event.seq });
    }

    fn publish_noted(&mut self, event: &CustodyEvent, now: Timestamp) {
        self.entries.push(What::Noted { kind: event.kind.name().to_owned() });
        self.publish(OutcomeKind::Noted, None, "the event is kept; nothing follows from it yet", now);
    }

    /// Tells the custody system, naming what it knows: its event, stay and patient reference.
    fn publish(&mut self, kind: OutcomeKind, reason: Option<&str>, detail: &str, now: Timestamp) {
        let next = &mut self.next;
        let number = next.outcomes.to_string();
        next.outcomes += 1;
        let (order, practice, attempts, completeness) = match &next.case {
            Case::Release(release) => (
                release.order.as_ref(),
                release.destination().cloned(),
                release.delivery().map_or(0, |d| d.dispatch.attempts),
                release.completeness,
            ),
            Case::Received(received) => (None, Some(received.arrival.from.clone()), 0, received.completeness),
            Case::Reception(reception) => {
                (Some(&reception.order), reception.practice().cloned(), 0, reception.completeness)
            }
            Case::Outbound(_) => (None, None, 0, None),
            Case::Noted(event) => (Some(&**event), None, 0, None),
        };
        let response_code = match &next.case {
            Case::Release(release) => release.response_code().map(str::to_owned),
            Case::Received(received) => received.arrival.refusal.map(|refusal| refusal.code().to_owned()),
            Case::Reception(reception) => reception.response_code().map(str::to_owned),
            Case::Outbound(_) | Case::Noted(_) => None,
        };
        self.outcomes.push(Outcome {
            outcome_id: OutcomeId::derived(&["outcome", &next.id.to_string(), &number]),
            kind,
            transfer: Some(next.id),
            event_id: order.map(|o| o.event_id),
            source: order.map(|o| o.source.clone()),
            stay: order.map(|o| o.stay.clone()),
            patient_ref: order.map(|o| o.patient_ref.clone()),
            establishment: order.map(|o| o.establishment.clone()),
            practice,
            at: now,
            reason: reason.map(str::to_owned),
            detail: detail.to_owned(),
            response_code,
            completeness,
            attempts,
        });
    }
}
