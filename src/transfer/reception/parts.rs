//! The parts of the record that was asked for (Q6 to Q11): from the extract that lists them to the last of them.

use super::answers::refuse;
use super::{Reception, ReceptionState};
use crate::model::{MessageId, OdsCode, Timestamp};
use crate::transfer::Step;
use crate::transfer::event::Arrival;
use crate::transfer::gathering::{self, Gathering, Large, Part, Progress, Stage};
use crate::transfer::journal::What;
use crate::transfer::outbound::Report;
use crate::transfer::reason::{Delay, Ending, FilingFault};
use crate::transfer::refusal::{PartRefusal, Refusal};

/// The extract is the one that was asked for: its parts are awaited, and leave to send them goes out (Q6).
pub(super) fn await_parts(step: &mut Step, arrival: &Arrival, large: &Large, now: Timestamp) {
    let gathering = Gathering::begin(large, now);
    let (parts, until) = (gathering.tally.rows, gathering.until);
    step.entries.push(What::Awaiting { parts, until });
    step.give_leave(&arrival.message_id, (&arrival.to, &arrival.from), until, now);
    step.reception_state(ReceptionState::Receiving { gathering });
}

/// A part arrived (Q7, Q8, Q11).
pub(super) fn on_part(step: &mut Step, part: &Part, now: Timestamp) -> Option<()> {
    let reply = gathering::take(stage(step.reception()?), part, now);
    step.reply_to_part(&reply, part, now);
    settle(step, now);
    Some(())
}

fn stage(reception: &mut Reception) -> Stage<'_> {
    match &mut reception.state {
        ReceptionState::Receiving { gathering } => Stage::During(gathering),
        ReceptionState::Requesting { .. } | ReceptionState::Requested { .. } => {
            Stage::Before(&mut reception.early)
        }
        ReceptionState::Acknowledging { ending, .. } | ReceptionState::Ended { ending, .. } => match ending {
            Ending::Refused { refusal: Refusal::PartsMissing } => Stage::TooLate,
            _ => Stage::Over,
        },
        ReceptionState::AwaitingRegistration { .. }
        | ReceptionState::Filing { .. }
        | ReceptionState::AwaitingDecision { .. }
        | ReceptionState::Held { .. } => Stage::Over,
    }
}

/// Whether everything is here, or will never be.
fn settle(step: &mut Step, now: Timestamp) {
    let Some(gathering) = gathered(step) else { return };
    let (progress, overdue) = (gathering.progress(), now >= gathering.until);
    let (parts, bytes) = (gathering.tally.rows, gathering.bytes);
    if let Some(why) = gathering::refusal(progress, overdue) {
        refuse(step, why, now);
    } else if progress == Progress::Complete {
        step.entries.push(What::Gathered { parts, bytes });
        if let Some(Reception { state: ReceptionState::Receiving { gathering }, arrival, .. }) =
            step.reception()
            && let Some(arrival) = arrival
        {
            gathering.close(&mut arrival.large);
        }
        step.reception_state(ReceptionState::Filing { due: now, failures: 0, fault: None });
    }
}

/// A file is to be looked at, or the time is over (Q10).
pub(super) fn on_due(step: &mut Step, now: Timestamp) {
    let Some((from, _)) = ends(step) else { return };
    match gathered(step) {
        Some(gathering) if now < gathering.until => step.effect = gathering.join(&from, now),
        Some(_) | None => settle(step, now),
    }
}

pub(super) fn on_joined(
    step: &mut Step,
    item: &MessageId,
    wrong: Option<PartRefusal>,
    now: Timestamp,
) -> Option<()> {
    let (them, us) = ends(step)?;
    let last = gathered(step)?.joined(item, wrong, now)?;
    step.answer_part(&last, (&us, &them), wrong, now);
    settle(step, now);
    Some(())
}

pub(super) fn on_not_joined(step: &mut Step, why: FilingFault, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let until = gathered(step)?.not_joined(id, now);
    step.entries.push(What::Waiting { until, why: Delay::Filing(why) });
    Some(())
}

/// Our leave to send the parts ended.
pub(super) fn on_leave_ended(step: &mut Step, report: &Report, now: Timestamp) {
    if gathered(step).is_some_and(|gathering| gathering.lost_leave(report)) {
        refuse(step, Refusal::LeaveUndelivered, now);
    }
}

fn gathered(step: &mut Step) -> Option<&mut Gathering> {
    match &mut step.reception()?.state {
        ReceptionState::Receiving { gathering } => Some(gathering),
        _ => None,
    }
}

/// Who sent the extract, and to whom of ours.
fn ends(step: &mut Step) -> Option<(OdsCode, OdsCode)> {
    let arrival = step.reception()?.arrival.as_ref()?;
    Some((arrival.from.clone(), arrival.to.clone()))
}
