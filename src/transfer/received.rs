//! A record that came to us: verified and sealed before the transfer opens, then filed for the clinical system and,
//! where policy says so, acknowledged to the practice that sent it.
//!
//! Asking for a record is not done here.

use serde::{Deserialize, Serialize};

use crate::model::{MessageId, Timestamp};
use crate::transfer::delivery::{self, Delivery};
use crate::transfer::dispatch::PacketRef;
use crate::transfer::effect::Effect;
use crate::transfer::event::{Act, Answer, Arrival, Event, Filed, Verb};
use crate::transfer::journal::What;
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::{Delay, Ending, FilingFault, Hold};
use crate::transfer::retry::{self, GIVE_UP_AFTER};
use crate::transfer::verdict::Verdict;
use crate::transfer::{Case, Illegal, Lane, Step};

/// A received record and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// What arrived.
    pub arrival: Arrival,
    /// Where it stands.
    pub state: ReceivedState,
    /// The signed receipt for our acknowledgement, kept.
    pub receipt: Option<PacketRef>,
}

/// Where a received record stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ReceivedState {
    /// To be put where the clinical system takes it from.
    Filing {
        /// When the next try is due.
        due: Timestamp,
        /// Tries that failed.
        failures: u32,
        /// Why the last one failed.
        fault: Option<FilingFault>,
    },
    /// Filed; our acknowledgement is on its way.
    Acknowledging {
        /// Where it stands.
        #[serde(flatten)]
        delivery: Delivery,
    },
    /// Filed, but the acknowledgement waits for a person.
    Held {
        /// Why.
        #[serde(flatten)]
        hold: Hold,
        /// The delivery that was under way.
        delivery: Delivery,
    },
    /// Done.
    Ended {
        /// How.
        #[serde(flatten)]
        ending: Ending,
        /// The acknowledgement's delivery, if there was one.
        delivery: Option<Delivery>,
        /// When.
        at: Timestamp,
    },
}

impl Received {
    pub(super) fn new(arrival: Arrival, now: Timestamp) -> Self {
        Self { arrival, state: ReceivedState::Filing { due: now, failures: 0, fault: None }, receipt: None }
    }

    /// The acknowledgement's delivery, if there is one.
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.state {
            ReceivedState::Filing { .. } => None,
            ReceivedState::Acknowledging { delivery } | ReceivedState::Held { delivery, .. } => {
                Some(delivery)
            }
            ReceivedState::Ended { delivery, .. } => delivery.as_ref(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match &self.state {
            ReceivedState::Filing { due, .. } => Some(*due),
            ReceivedState::Acknowledging { delivery } => Some(delivery.deadline()),
            ReceivedState::Held { .. } | ReceivedState::Ended { .. } => None,
        }
    }

    pub(super) fn lane(&self) -> Lane {
        match &self.state {
            ReceivedState::Acknowledging { delivery } => Lane::Party(delivery.dispatch.to.clone()),
            ReceivedState::Filing { .. } | ReceivedState::Held { .. } | ReceivedState::Ended { .. } => {
                Lane::House
            }
        }
    }
}

impl ReceivedState {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Filing { .. } => "filing",
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
        Event::Due => on_due(step, now).ok_or(illegal),
        Event::Filed(filed) => on_filed(step, filed, now).ok_or(illegal),
        Event::NotFiled(fault) => on_not_filed(step, *fault, now).ok_or(illegal),
        Event::Restamped(fresh) => {
            let entry = step.acknowledging().ok_or(illegal)?.on_restamped(fresh.clone(), now);
            step.entries.push(entry);
            Ok(())
        }
        Event::NotRestamped(fault) => {
            let id = step.next.id;
            let entry = step.acknowledging().ok_or(illegal)?.on_not_restamped(*fault, id, now);
            step.entries.push(entry);
            Ok(())
        }
        Event::Answered(answer) => on_answered(step, answer, now).ok_or(illegal),
        Event::LateSignal(signal) => {
            step.entries.push(What::LateSignal { verdict: signal.verdict });
            on_late_signal(step, &signal.verdict, now);
            Ok(())
        }
        Event::Act(act) => on_act(step, act, now).ok_or(illegal),
        Event::Custody(_)
        | Event::Prepared(_)
        | Event::Unprepared(_)
        | Event::Acknowledged(_)
        | Event::Arrived(_) => Err(illegal),
    }
}

fn on_due(step: &mut Step, now: Timestamp) -> Option<()> {
    let message_id = MessageId::derived(&["acknowledgement", &step.next.id.to_string()]);
    let received = step.received()?;
    let arrival = Box::new(received.arrival.clone());
    match &mut received.state {
        ReceivedState::Filing { .. } => step.effect = Some(Effect::File { arrival, message_id }),
        ReceivedState::Acknowledging { delivery } => {
            if now.since(delivery.dispatch.first_attempt_at) >= GIVE_UP_AFTER {
                let delivery = Some(delivery.clone());
                received.state = ReceivedState::Ended { ending: Ending::NeverDelivered, delivery, at: now };
                step.entries.push(What::Ended { ending: Ending::NeverDelivered });
            } else {
                let (effect, entries) = delivery.on_due(now);
                step.effect = Some(effect);
                step.entries.extend(entries);
            }
        }
        ReceivedState::Held { .. } | ReceivedState::Ended { .. } => return None,
    }
    Some(())
}

fn on_filed(step: &mut Step, filed: &Filed, now: Timestamp) -> Option<()> {
    let received = step.received()?;
    if !matches!(received.state, ReceivedState::Filing { .. }) {
        return None;
    }
    let to = received.arrival.from.clone();
    received.state = match &filed.acknowledgement {
        Some((transmission, contract)) => ReceivedState::Acknowledging {
            delivery: Delivery::begin(transmission.clone().dispatch(to, contract.clone(), now), now),
        },
        None => ReceivedState::Ended { ending: Ending::Filed, delivery: None, at: now },
    };
    step.entries.push(What::Filed);
    if filed.acknowledgement.is_none() {
        step.entries.push(What::Ended { ending: Ending::Filed });
    }
    step.publish(OutcomeKind::Filed, None, "a record was received and filed", now);
    Some(())
}

fn on_not_filed(step: &mut Step, why: FilingFault, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let ReceivedState::Filing { due, failures, fault } = &mut step.received()?.state else { return None };
    *failures += 1;
    *fault = Some(why);
    *due = now.plus(retry::unprepared(*failures, id));
    let until = *due;
    step.entries.push(What::Waiting { until, why: Delay::Filing(why) });
    Some(())
}

fn on_answered(step: &mut Step, answer: &Answer, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let received = step.received()?;
    if answer.receipt.is_some() {
        received.receipt.clone_from(&answer.receipt);
    }
    let ReceivedState::Acknowledging { delivery } = &mut received.state else { return None };
    if !delivery.expects(answer) {
        return None;
    }
    let (outcome, entries) = delivery.on_answer(answer, id, now);
    let delivery = delivery.clone();
    match outcome {
        delivery::Outcome::OnItsWay => {}
        delivery::Outcome::Delivered(_) => {
            received.state =
                ReceivedState::Ended { ending: Ending::Filed, delivery: Some(delivery), at: now };
        }
        delivery::Outcome::Refused(why) => {
            received.state = ReceivedState::Held { hold: Hold::AcknowledgementRefused(why), delivery };
        }
    }
    step.entries.extend(entries);
    match outcome {
        delivery::Outcome::OnItsWay => {}
        delivery::Outcome::Delivered(_) => step.entries.push(What::Ended { ending: Ending::Filed }),
        delivery::Outcome::Refused(why) => {
            step.entries.push(What::Held { hold: Hold::AcknowledgementRefused(why) });
        }
    }
    Some(())
}

/// A late error overturns an acceptance (wire reference §1.5); an acknowledgement is then sent again.
fn on_late_signal(step: &mut Step, verdict: &Verdict, now: Timestamp) {
    let id = step.next.id;
    let Some(received) = step.received() else { return };
    let ReceivedState::Ended { delivery: Some(delivery), .. } = &received.state else { return };
    let mut delivery = delivery.clone();
    match verdict {
        Verdict::Accepted(_) => {}
        Verdict::TryAgain(why) => {
            let entry = delivery.overturned(*why, id, now);
            received.state = ReceivedState::Acknowledging { delivery };
            step.entries.push(entry);
        }
        Verdict::Refused(why) => {
            let hold = Hold::AcknowledgementRefused(*why);
            received.state = ReceivedState::Held { hold, delivery };
            step.entries.push(What::Held { hold });
        }
    }
}

fn on_act(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    let received = step.received()?;
    match (&mut received.state, act.verb) {
        (ReceivedState::Filing { due, .. }, Verb::Retry) => *due = now,
        (ReceivedState::Acknowledging { delivery }, Verb::Retry) => *delivery = delivery.queued_now(now)?,
        (ReceivedState::Held { delivery, .. }, Verb::Retry) => {
            received.state = ReceivedState::Acknowledging { delivery: delivery.queued_now(now)? };
        }
        (ReceivedState::Held { delivery, .. } | ReceivedState::Acknowledging { delivery }, Verb::Cancel) => {
            let delivery = Some(delivery.clone());
            received.state = ReceivedState::Ended { ending: Ending::Cancelled, delivery, at: now };
        }
        // Recorded before the state is asked.
        (_, Verb::DisclosePacket | Verb::DiscloseReceipt) => return None,
        // A record that arrived is filed; nobody may make it vanish.
        (ReceivedState::Filing { .. }, Verb::Cancel) | (ReceivedState::Ended { .. }, _) => return None,
    }
    step.entries.push(What::Act { act: act.clone() });
    Some(())
}

impl Step {
    fn received(&mut self) -> Option<&mut Received> {
        match &mut self.next.case {
            Case::Received(received) => Some(received),
            Case::Release(_) | Case::Noted(_) => None,
        }
    }

    fn acknowledging(&mut self) -> Option<&mut Delivery> {
        match &mut self.received()?.state {
            ReceivedState::Acknowledging { delivery } => Some(delivery),
            ReceivedState::Filing { .. } | ReceivedState::Held { .. } | ReceivedState::Ended { .. } => None,
        }
    }
}
