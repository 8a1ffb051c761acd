//! A record that came to us: verified and sealed before the transfer opens, then filed for the clinical system and,
//! where policy says so, acknowledged to the practice that sent it.
//!
//! Asking for a record is not done here.

mod parts;

use serde::{Deserialize, Serialize};

use crate::model::{MessageId, Timestamp};
use crate::transfer::delivery::{self, Delivery};
use crate::transfer::dispatch::{PacketRef, Transmission};
use crate::transfer::effect::Effect;
use crate::transfer::event::{Act, Answer, Arrival, Event, Filed, Verb};
use crate::transfer::gathering::Gathering;
use crate::transfer::journal::What;
use crate::transfer::outcome::{Completeness, OutcomeKind};
use crate::transfer::reason::{Delay, Ending, FilingFault, Hold, Remedy};
use crate::transfer::refusal::Refusal;
use crate::transfer::retry::{self, Contract, FILING_TRIES, GIVE_UP_AFTER};
use crate::transfer::verdict::Verdict;
use crate::transfer::{Case, Illegal, Step, Waits};

/// A received record and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// What arrived.
    pub arrival: Arrival,
    /// Where it stands.
    pub state: ReceivedState,
    /// The signed receipt for our acknowledgement, kept.
    pub receipt: Option<PacketRef>,
    /// What became of the statements of the record, once it is filed; none where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<Completeness>,
    /// The account of each of them, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<PacketRef>,
}

/// Where a received record stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ReceivedState {
    /// Its parts are awaited.
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
    /// Not to be filed: the acknowledgement that tells its sender so is to be made.
    Refusing {
        /// When the next try is due.
        due: Timestamp,
        /// Tries that failed.
        failures: u32,
        /// Why the last one failed.
        fault: Option<FilingFault>,
    },
    /// Filed or refused; our acknowledgement is on its way.
    Acknowledging {
        /// Where it stands.
        #[serde(flatten)]
        delivery: Delivery,
    },
    /// Waits for a person.
    Held {
        /// Why.
        #[serde(flatten)]
        hold: Hold,
        /// The acknowledgement's delivery that was under way; none where there is no acknowledgement yet.
        delivery: Option<Delivery>,
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
        let state = ReceivedState::begin(&arrival, now);
        Self { arrival, state, receipt: None, completeness: None, account: None }
    }

    /// How it ends once our acknowledgement is delivered.
    fn ending(&self) -> Ending {
        self.arrival.refusal.map_or(Ending::Filed, |refusal| Ending::Refused { refusal })
    }

    /// The acknowledgement's delivery, if there is one.
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.state {
            ReceivedState::Receiving { .. }
            | ReceivedState::Filing { .. }
            | ReceivedState::Refusing { .. } => None,
            ReceivedState::Acknowledging { delivery } => Some(delivery),
            ReceivedState::Held { delivery, .. } | ReceivedState::Ended { delivery, .. } => delivery.as_ref(),
        }
    }

    pub(super) fn waits(&self) -> Waits {
        match &self.state {
            ReceivedState::Receiving { gathering } => Waits::house(Some(gathering.due())),
            ReceivedState::Filing { due, .. } | ReceivedState::Refusing { due, .. } => {
                Waits::house(Some(*due))
            }
            ReceivedState::Acknowledging { delivery } => Waits {
                house: Some(delivery.dispatch.first_attempt_at.plus(GIVE_UP_AFTER)),
                party: Some((delivery.dispatch.to.clone(), delivery.deadline())),
                part: None,
            },
            ReceivedState::Held { .. } | ReceivedState::Ended { .. } => Waits::default(),
        }
    }
}

impl ReceivedState {
    /// To be refused, to be filed, or to be filed once its parts are here.
    fn begin(arrival: &Arrival, now: Timestamp) -> Self {
        match (arrival.refusal, &arrival.large) {
            (Some(_), _) => Self::refusing(now),
            (None, Some(large)) if !large.tally.is_complete() => {
                Self::Receiving { gathering: Gathering::begin(large, now) }
            }
            (None, _) => Self::Filing { due: now, failures: 0, fault: None },
        }
    }

    fn refusing(now: Timestamp) -> Self {
        Self::Refusing { due: now, failures: 0, fault: None }
    }

    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Receiving { .. } => "receiving",
            Self::Filing { .. } => "filing",
            Self::Refusing { .. } => "refusing",
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
        Event::Refused(made) => on_refused(step, made, now).ok_or(illegal),
        Event::Arrived(arrival) => on_arrived(step, arrival, now).ok_or(illegal),
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
            if let (Some(receipt), Some(received)) = (&signal.receipt, step.received()) {
                received.receipt = Some(receipt.clone());
            }
            on_late_signal(step, &signal.verdict, now);
            Ok(())
        }
        Event::Act(act) => on_act(step, act, now).ok_or(illegal),
        Event::Part(part) => parts::on_part(step, part, now).ok_or(illegal),
        Event::Joined { item, wrong } => parts::on_joined(step, item, *wrong, now).ok_or(illegal),
        Event::NotJoined(fault) => parts::on_not_joined(step, *fault, now).ok_or(illegal),
        Event::Reported(report) => parts::on_reported(step, report, now).ok_or(illegal),
        Event::Custody(_)
        | Event::Asked(_)
        | Event::Prepared(_)
        | Event::Unprepared { .. }
        | Event::Acknowledged(_)
        | Event::Composed(_)
        | Event::NotComposed(_)
        | Event::Continued(_)
        | Event::Renewed(_)
        | Event::Leave { .. }
        | Event::Stop
        | Event::Woken(_) => Err(illegal),
    }
}

/// What an arriving extract adds to the timeline, and what the custody system is told of one that is not filed. A
/// copy tells it nothing new.
pub(super) fn note_arrival(step: &mut Step, arrival: &Arrival, now: Timestamp) {
    let Arrival { bytes, attachments, signed, .. } = *arrival;
    step.entries.push(What::Arrived { bytes, attachments, signed });
    match arrival.refusal {
        None => {}
        Some(refusal @ Refusal::Duplicate) => step.entries.push(What::Refused { refusal }),
        Some(refusal) => step.refuse(refusal, now),
    }
    parts::give_leave(step, arrival, now);
}

/// A further extract of the conversation. It takes the place of one that was refused (Q19); else the first stands, and
/// the engine lets this one be refused by itself (Q20).
fn on_arrived(step: &mut Step, arrival: &Arrival, now: Timestamp) -> Option<()> {
    let received = step.received()?;
    received.arrival.refusal.filter(|refusal| refusal.may_come_again())?;
    received.arrival = arrival.clone();
    received.state = ReceivedState::begin(arrival, now);
    note_arrival(step, arrival, now);
    Some(())
}

fn on_due(step: &mut Step, now: Timestamp) -> Option<()> {
    let id = step.next.id.to_string();
    let received = step.received()?;
    let arrival = Box::new(received.arrival.clone());
    let message_id = MessageId::derived(&["acknowledgement", &id, arrival.message_id.as_str()]);
    match &mut received.state {
        ReceivedState::Receiving { gathering } if now >= gathering.until => {
            parts::settle(step, now);
        }
        ReceivedState::Receiving { gathering } => step.effect = gathering.join(&arrival.from, now),
        ReceivedState::Refusing { .. } => {
            let refusal = arrival.refusal?;
            step.effect = Some(Effect::Refuse { arrival, refusal, message_id });
        }
        ReceivedState::Filing { .. } => {
            step.effect = Some(Effect::File { arrival, message_id: Some(message_id) })
        }
        ReceivedState::Acknowledging { delivery } => {
            if now.since(delivery.dispatch.first_attempt_at) >= GIVE_UP_AFTER {
                let delivery = Some(delivery.clone());
                step.end_received(Ending::NeverDelivered, delivery, now);
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
    received.completeness = filed.completeness;
    received.account.clone_from(&filed.account);
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

fn on_refused(step: &mut Step, made: &(Transmission, Contract), now: Timestamp) -> Option<()> {
    let received = step.received()?;
    if !matches!(received.state, ReceivedState::Refusing { .. }) {
        return None;
    }
    let (transmission, contract) = made.clone();
    let dispatch = transmission.dispatch(received.arrival.from.clone(), contract, now);
    received.state = ReceivedState::Acknowledging { delivery: Delivery::begin(dispatch, now) };
    Some(())
}

fn on_not_filed(step: &mut Step, why: FilingFault, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let (ReceivedState::Filing { due, failures, fault } | ReceivedState::Refusing { due, failures, fault }) =
        &mut step.received()?.state
    else {
        return None;
    };
    *failures += 1;
    *fault = Some(why);
    *due = now.plus(retry::unprepared(*failures, id));
    let (until, tries) = (*due, *failures);
    match why.remedy() {
        Remedy::Time if tries < FILING_TRIES => {
            step.entries.push(What::Waiting { until, why: Delay::Filing(why) });
        }
        Remedy::Time | Remedy::Person => step.hold_received(Hold::Filing(why), None, now),
    }
    Some(())
}

fn on_answered(step: &mut Step, answer: &Answer, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let received = step.received()?;
    if answer.receipt.is_some() {
        received.receipt.clone_from(&answer.receipt);
    }
    let ending = received.ending();
    let ReceivedState::Acknowledging { delivery } = &mut received.state else { return None };
    if !delivery.expects(answer) {
        return None;
    }
    let (outcome, entries) = delivery.on_answer(answer, id, now);
    let delivery = delivery.clone();
    step.entries.extend(entries);
    match outcome {
        delivery::Outcome::OnItsWay => {}
        delivery::Outcome::Delivered(_) => step.end_received(ending, Some(delivery), now),
        delivery::Outcome::Refused(why) => {
            step.hold_received(Hold::AcknowledgementRefused(why), Some(delivery), now);
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
            step.hold_received(Hold::AcknowledgementRefused(*why), Some(delivery), now);
        }
    }
}

fn on_act(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    let received = step.received()?;
    match (&mut received.state, act.verb) {
        (ReceivedState::Filing { due, .. } | ReceivedState::Refusing { due, .. }, Verb::Retry) => *due = now,
        (ReceivedState::Held { delivery: None, .. }, Verb::Retry) => {
            received.state = match received.arrival.refusal {
                Some(_) => ReceivedState::refusing(now),
                None => ReceivedState::Filing { due: now, failures: 0, fault: None },
            };
        }
        (ReceivedState::Held { delivery: None, .. }, Verb::Cancel) => return give_up(step, act, now),
        (ReceivedState::Acknowledging { delivery }, Verb::Retry) => *delivery = delivery.queued_now(now)?,
        (ReceivedState::Held { delivery: Some(delivery), .. }, Verb::Retry) => {
            received.state = ReceivedState::Acknowledging { delivery: delivery.queued_now(now)? };
        }
        (
            ReceivedState::Held { delivery: Some(delivery), .. } | ReceivedState::Acknowledging { delivery },
            Verb::Cancel,
        ) => {
            let delivery = Some(delivery.clone());
            received.state = ReceivedState::Ended { ending: Ending::Cancelled, delivery, at: now };
        }
        // Recorded before the state is asked.
        (_, Verb::DisclosePacket | Verb::DiscloseReceipt) => return None,
        // A record that nobody asked for is answered as policy says, and by nobody's decision.
        (_, Verb::Decide(_)) => return None,
        // A record that arrived is filed or refused; nobody may make it vanish.
        (
            ReceivedState::Receiving { .. } | ReceivedState::Filing { .. } | ReceivedState::Refusing { .. },
            Verb::Cancel,
        )
        | (ReceivedState::Receiving { .. }, Verb::Retry)
        | (ReceivedState::Ended { .. }, _) => return None,
    }
    step.entries.push(What::Act { act: act.clone() });
    Some(())
}

/// A record that cannot be filed is given up: its sender is told so, unless that is what cannot be done.
fn give_up(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    step.entries.push(What::Act { act: act.clone() });
    let received = step.received()?;
    if received.arrival.refusal.is_some() {
        step.end_received(Ending::Cancelled, None, now);
        return Some(());
    }
    turn_down(step, Refusal::FilingFailed, now);
    Some(())
}

/// What arrived is not to be filed after all.
fn turn_down(step: &mut Step, refusal: Refusal, now: Timestamp) {
    let Some(received) = step.received() else { return };
    received.arrival.refusal = Some(refusal);
    received.state = ReceivedState::refusing(now);
    step.refuse(refusal, now);
}

impl Step {
    fn received(&mut self) -> Option<&mut Received> {
        match &mut self.next.case {
            Case::Received(received) => Some(received),
            Case::Release(_) | Case::Reception(_) | Case::Outbound(_) | Case::Noted(_) => None,
        }
    }

    fn acknowledging(&mut self) -> Option<&mut Delivery> {
        match &mut self.received()?.state {
            ReceivedState::Acknowledging { delivery } => Some(delivery),
            ReceivedState::Receiving { .. }
            | ReceivedState::Filing { .. }
            | ReceivedState::Refusing { .. }
            | ReceivedState::Held { .. }
            | ReceivedState::Ended { .. } => None,
        }
    }

    fn refuse(&mut self, refusal: Refusal, now: Timestamp) {
        self.entries.push(What::Refused { refusal });
        self.publish(OutcomeKind::NotFiled, Some(refusal.word()), refusal.words(), now);
    }

    fn hold_received(&mut self, hold: Hold, delivery: Option<Delivery>, now: Timestamp) {
        if let Some(received) = self.received() {
            received.state = ReceivedState::Held { hold, delivery };
        }
        self.entries.push(What::Held { hold });
        self.publish(OutcomeKind::Held, Some(hold.code()), &hold.words(), now);
    }

    fn end_received(&mut self, ending: Ending, delivery: Option<Delivery>, now: Timestamp) {
        self.entries.push(What::Ended { ending: ending.clone() });
        if let Some(received) = self.received() {
            received.state = ReceivedState::Ended { ending, delivery, at: now };
        }
    }
}

#[cfg(test)]
mod tests;
