//! A reception: a person enters custody, and the record is asked of the practice before. States and transitions follow
//! gp2gp reference §2.2 (Q1–Q22).
//!
//! Nothing is sent from here: the request and every acknowledgement go their own way (see `outbound`) and report back.

mod answers;
mod filing;
mod gate;
mod parts;

use serde::{Deserialize, Serialize};

use crate::model::{MessageId, OdsCode, Timestamp};
use crate::transfer::custody::{CustodyEvent, CustodyKind, Filing, RegistrationDecision, Returning};
use crate::transfer::dispatch::PacketRef;
use crate::transfer::event::{Arrival, Event};
use crate::transfer::gathering::Gathering;
use crate::transfer::outbound::Fate;
use crate::transfer::outcome::{Completeness, OutcomeKind};
use crate::transfer::reason::{Ending, FilingFault, Hold};
use crate::transfer::retry::{LISTEN_FOR, OVERDUE_AFTER, UNDELIVERED_AFTER};
use crate::transfer::{Case, Illegal, Step, Waits};

/// A reception and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reception {
    /// What the custody system last told us of the person.
    pub order: CustodyEvent,
    /// The decision on registration, once it was told.
    pub decision: Option<RegistrationDecision>,
    /// Whether the establishment knows the person from before; unsure counts as returning (TD02).
    pub returning: Returning,
    /// What was asked, once a request was made.
    pub request: Option<Request>,
    /// Parts that came before the extract.
    #[serde(default)]
    pub early: u32,
    /// The extract, once it arrived.
    pub arrival: Option<Arrival>,
    /// What became of each statement of the record.
    pub completeness: Option<Completeness>,
    /// The account of each of them, sealed.
    pub account: Option<PacketRef>,
    /// What the clinical system did with the record, each decision in turn: a filing that failed may succeed later (Q18).
    pub filings: Vec<Filing>,
    /// Where it stands.
    pub state: ReceptionState,
}

/// A request for a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The practice that was asked.
    pub practice: OdsCode,
    /// The message.
    pub message_id: MessageId,
    /// The request's own id, which the extract repeats (§1.2).
    pub request_id: MessageId,
    /// When it was made.
    pub made_at: Timestamp,
    /// When the practice's system took it.
    pub delivered_at: Option<Timestamp>,
    /// Whether the practice says that it sends the record: AA (Q2).
    pub acknowledged: bool,
}

/// Where a reception stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ReceptionState {
    /// The person is here; permanent registration and the success of the PDS update were not told yet (S10, S17).
    AwaitingRegistration {
        /// When it is given up.
        until: Timestamp,
    },
    /// The request is on its way.
    Requesting {
        /// When it is given up (F21).
        until: Timestamp,
    },
    /// The practice's system has the request; the record is awaited.
    Requested {
        /// When silence is told, or ends the wait.
        until: Timestamp,
        /// Whether silence was told.
        told: bool,
    },
    /// The extract is here; its parts are awaited.
    Receiving {
        /// How far it is.
        #[serde(flatten)]
        gathering: Gathering,
    },
    /// To be put where the clinical system takes it from.
    Filing {
        /// When the next try is due.
        due: Timestamp,
        /// Tries that failed.
        failures: u32,
        /// Why the last one failed.
        fault: Option<FilingFault>,
    },
    /// It lies with the clinical system, which decides.
    AwaitingDecision {
        /// Since when.
        since: Timestamp,
        /// When somebody is reminded next (S79).
        remind_at: Timestamp,
        /// How often somebody was.
        reminders: u32,
    },
    /// It was decided; our acknowledgement is on its way.
    Acknowledging {
        /// How it ends once the acknowledgement is delivered.
        #[serde(flatten)]
        ending: Ending,
        /// When a late acknowledgement is told, or is given up.
        until: Timestamp,
        /// Whether it was told.
        told: bool,
    },
    /// Waits for a person.
    Held {
        /// Why.
        #[serde(flatten)]
        hold: Hold,
    },
    /// Ended; an extract that still comes may be honoured until `listen_until` (Q19).
    Ended {
        /// How.
        #[serde(flatten)]
        ending: Ending,
        /// When.
        at: Timestamp,
        /// Until when it listens; none once it has closed.
        listen_until: Option<Timestamp>,
    },
}

/// Silence of a practice after which nobody expects an answer any more (Q22, S124).
const SILENT_AFTER: std::time::Duration = OVERDUE_AFTER;

impl Reception {
    pub(super) fn new(order: CustodyEvent, now: Timestamp) -> Self {
        let until = now.plus(LISTEN_FOR);
        let mut reception = Self {
            order,
            decision: None,
            returning: Returning::Unsure,
            request: None,
            early: 0,
            arrival: None,
            completeness: None,
            account: None,
            filings: Vec::new(),
            state: ReceptionState::AwaitingRegistration { until },
        };
        reception.learn();
        reception
    }

    /// Takes out of the newest event what outlives it.
    fn learn(&mut self) {
        match &self.order.kind {
            CustodyKind::Reception(facts) => self.returning = facts.returning,
            CustodyKind::RegistrationDecision(decision) => self.decision = Some((**decision).clone()),
            CustodyKind::Release(_)
            | CustodyKind::Move(_)
            | CustodyKind::Correction(_)
            | CustodyKind::Death(_)
            | CustodyKind::FilingDecision(_) => {}
        }
    }

    /// The practice the record is asked of.
    pub fn practice(&self) -> Option<&OdsCode> {
        let decided = || self.decision.as_ref().and_then(|decision| decision.previous_practice.as_ref());
        self.request.as_ref().map(|request| &request.practice).or_else(decided)
    }

    /// The response code the practice gave to our request, or we gave to the record.
    pub fn response_code(&self) -> Option<&str> {
        match &self.state {
            ReceptionState::Acknowledging { ending, .. } | ReceptionState::Ended { ending, .. } => {
                ending.response_code(self.returning)
            }
            ReceptionState::AwaitingRegistration { .. }
            | ReceptionState::Requesting { .. }
            | ReceptionState::Requested { .. }
            | ReceptionState::Receiving { .. }
            | ReceptionState::Filing { .. }
            | ReceptionState::AwaitingDecision { .. }
            | ReceptionState::Held { .. } => None,
        }
    }

    /// Whether an extract may take its place in the reception: until one is there, and after a failure (Q4–Q6, Q19).
    fn takes_extract(&self) -> bool {
        match &self.state {
            ReceptionState::Requesting { .. } | ReceptionState::Requested { .. } => true,
            ReceptionState::Acknowledging { ending, .. } | ReceptionState::Ended { ending, .. } => {
                match ending {
                    Ending::RequestRefused { .. }
                    | Ending::RequestUnanswered
                    | Ending::RequestUndelivered => true,
                    Ending::Refused { refusal } => refusal.may_come_again(),
                    Ending::Decided { filing: Filing::Failed } => true,
                    _ => false,
                }
            }
            ReceptionState::AwaitingRegistration { .. }
            | ReceptionState::Receiving { .. }
            | ReceptionState::Filing { .. }
            | ReceptionState::AwaitingDecision { .. }
            | ReceptionState::Held { .. } => false,
        }
    }

    pub(super) fn waits(&self) -> Waits {
        Waits::house(match &self.state {
            ReceptionState::AwaitingRegistration { until }
            | ReceptionState::Requesting { until }
            | ReceptionState::Requested { until, .. }
            | ReceptionState::Acknowledging { until, .. } => Some(*until),
            ReceptionState::Receiving { gathering } => Some(gathering.due()),
            ReceptionState::Filing { due, .. } => Some(*due),
            ReceptionState::AwaitingDecision { remind_at, .. } => Some(*remind_at),
            ReceptionState::Held { .. } => None,
            ReceptionState::Ended { listen_until, .. } => *listen_until,
        })
    }
}

impl ReceptionState {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::AwaitingRegistration { .. } => "awaiting-registration",
            Self::Requesting { .. } => "requesting",
            Self::Requested { .. } => "requested",
            Self::Receiving { .. } => "receiving",
            Self::Filing { .. } => "filing",
            Self::AwaitingDecision { .. } => "awaiting-decision",
            Self::Acknowledging { .. } => "acknowledging",
            Self::Held { .. } => "held",
            Self::Ended { ending, .. } => ending.label(),
        }
    }
}

/// Takes an event.
pub(super) fn step(step: &mut Step, event: &Event, now: Timestamp) -> Result<(), Illegal> {
    let illegal = step.next.illegal(event);
    match event {
        Event::Custody(custody) => match &custody.kind {
            CustodyKind::FilingDecision(decision) => {
                filing::on_decided(step, custody, decision.filing, now).ok_or(illegal)
            }
            CustodyKind::Reception(_) | CustodyKind::RegistrationDecision(_) => {
                gate::on_custody(step, custody, now);
                Ok(())
            }
            CustodyKind::Release(_)
            | CustodyKind::Move(_)
            | CustodyKind::Correction(_)
            | CustodyKind::Death(_) => Err(illegal),
        },
        Event::Due => on_due(step, now).ok_or(illegal),
        Event::Reported(report) => answers::on_reported(step, report, now).ok_or(illegal),
        Event::Acknowledged(ack) => answers::on_acknowledged(step, ack, now).ok_or(illegal),
        Event::Arrived(arrival) => answers::on_arrived(step, arrival, now).ok_or(illegal),
        Event::Filed(filed) => filing::on_filed(step, filed, now).ok_or(illegal),
        Event::NotFiled(fault) => filing::on_not_filed(step, *fault, now).ok_or(illegal),
        Event::Act(act) => filing::on_act(step, act, now).ok_or(illegal),
        Event::Part(part) => parts::on_part(step, part, now).ok_or(illegal),
        Event::Joined { item, wrong } => parts::on_joined(step, item, *wrong, now).ok_or(illegal),
        Event::NotJoined(fault) => parts::on_not_joined(step, *fault, now).ok_or(illegal),
        _ => Err(illegal),
    }
}

pub(super) use gate::gate;

fn on_due(step: &mut Step, now: Timestamp) -> Option<()> {
    let reception = step.reception()?;
    match &mut reception.state {
        ReceptionState::AwaitingRegistration { .. } => step.end_reception(Ending::NeverConfirmed, now),
        ReceptionState::Requesting { .. } => step.end_reception(Ending::RequestUndelivered, now),
        ReceptionState::Requested { told: true, .. } => step.end_reception(Ending::RequestUnanswered, now),
        ReceptionState::Requested { until, told } => {
            *told = true;
            *until = until.plus(SILENT_AFTER.saturating_sub(UNDELIVERED_AFTER));
            step.tell_silence(now);
        }
        ReceptionState::Receiving { .. } => parts::on_due(step, now),
        ReceptionState::Filing { .. } => filing::file(step),
        ReceptionState::AwaitingDecision { .. } => filing::remind(step, now),
        ReceptionState::Acknowledging { ending, told: true, .. } => {
            let ending = ending.clone();
            step.end_reception(ending, now);
        }
        ReceptionState::Acknowledging { until, told, .. } => {
            *told = true;
            *until = now.plus(LISTEN_FOR);
            step.tell_late_acknowledgement(now);
        }
        ReceptionState::Held { .. } => return None,
        ReceptionState::Ended { listen_until, .. } => {
            *listen_until = None;
            step.entries.push(crate::transfer::journal::What::Closed);
        }
    }
    Some(())
}

impl Step {
    fn reception(&mut self) -> Option<&mut Reception> {
        match &mut self.next.case {
            Case::Reception(reception) => Some(reception),
            Case::Release(_) | Case::Received(_) | Case::Outbound(_) | Case::Noted(_) => None,
        }
    }

    fn reception_state(&mut self, state: ReceptionState) {
        if let Some(reception) = self.reception() {
            reception.state = state;
        }
    }

    fn hold_reception(&mut self, hold: Hold, now: Timestamp) {
        self.reception_state(ReceptionState::Held { hold });
        self.entries.push(crate::transfer::journal::What::Held { hold });
        self.publish(OutcomeKind::Held, Some(hold.code()), &hold.words(), now);
    }

    /// Ends it, says so, and goes on listening where something may still come.
    fn end_reception(&mut self, ending: Ending, now: Timestamp) {
        let listens = self.reception().is_some_and(|reception| reception.request.is_some());
        let listen_until = listens.then(|| now.plus(LISTEN_FOR));
        let words = ending.words();
        let outcome = match &ending {
            Ending::NoTransfer { why } => Some((why.outcome(), why.word())),
            Ending::NeverConfirmed => Some((OutcomeKind::NoTransfer, "never_registered")),
            Ending::RequestRefused { .. } => Some((OutcomeKind::NotFiled, "request_refused")),
            Ending::RequestUndelivered => Some((OutcomeKind::Undelivered, "request_undelivered")),
            Ending::RequestUnanswered => Some((OutcomeKind::NotFiled, "request_unanswered")),
            Ending::Cancelled => Some((OutcomeKind::Cancelled, "cancelled")),
            // Told when it was decided.
            _ => None,
        };
        self.reception_state(ReceptionState::Ended { ending: ending.clone(), at: now, listen_until });
        self.entries.push(crate::transfer::journal::What::Ended { ending });
        if let Some((kind, reason)) = outcome {
            self.publish(kind, Some(reason), &words, now);
        }
    }

    fn tell_silence(&mut self, now: Timestamp) {
        self.entries.push(crate::transfer::journal::What::Silent);
        let words = "the practice has not sent the record within a day; telephone them";
        self.publish(OutcomeKind::Overdue, Some("request_unanswered"), words, now);
    }

    fn tell_late_acknowledgement(&mut self, now: Timestamp) {
        self.entries.push(crate::transfer::journal::What::Undelivered);
        let words = "the sender was not told within a day what became of its record; see to the connection";
        self.publish(OutcomeKind::Undelivered, Some("acknowledgement_undelivered"), words, now);
    }

    /// Our acknowledgement is not tried any more; its own end stands in the timeline.
    fn tell_lost_acknowledgement(&mut self, fate: Fate, now: Timestamp) {
        let words = format!(
            "the sender was not told what became of its record: our acknowledgement {}; telephone them",
            fate.words()
        );
        self.publish(OutcomeKind::Undelivered, Some("acknowledgement_undelivered"), &words, now);
    }
}

#[cfg(test)]
mod moves_tests;
#[cfg(test)]
mod tests;
