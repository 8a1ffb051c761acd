//! The parts of a record that nobody asked for, as they come (Q6 to Q11).

use super::{Received, ReceivedState, turn_down};
use crate::model::{MessageId, Timestamp};
use crate::transfer::Step;
use crate::transfer::event::Arrival;
use crate::transfer::gathering::{self, Part, Progress, Stage};
use crate::transfer::journal::What;
use crate::transfer::outbound::Report;
use crate::transfer::reason::{Delay, FilingFault};
use crate::transfer::refusal::{PartRefusal, Refusal};

/// The extract is taken: leave to send its parts goes out with it (Q6).
pub(super) fn give_leave(step: &mut Step, arrival: &Arrival, now: Timestamp) {
    let Some(Received { state: ReceivedState::Receiving { gathering }, .. }) = step.received() else {
        return;
    };
    let (parts, until) = (gathering.tally.rows, gathering.until);
    step.entries.push(What::Awaiting { parts, until });
    step.give_leave(&arrival.message_id, (&arrival.to, &arrival.from), until, now);
}

/// A part arrived (Q7, Q8, Q11).
pub(super) fn on_part(step: &mut Step, part: &Part, now: Timestamp) -> Option<()> {
    let received = step.received()?;
    let stage = match (&mut received.state, received.arrival.refusal) {
        (ReceivedState::Receiving { gathering }, _) => Stage::During(gathering),
        (_, Some(Refusal::PartsMissing)) => Stage::TooLate,
        (_, _) => Stage::Over,
    };
    let reply = gathering::take(stage, part, now);
    step.reply_to_part(&reply, part, now);
    settle(step, now);
    Some(())
}

/// Whether everything is here, or will never be.
pub(super) fn settle(step: &mut Step, now: Timestamp) {
    let Some(ReceivedState::Receiving { gathering }) = step.received().map(|r| &mut r.state) else { return };
    let (progress, overdue) = (gathering.progress(), now >= gathering.until);
    let (parts, bytes) = (gathering.tally.rows, gathering.bytes);
    if let Some(refusal) = gathering::refusal(progress, overdue) {
        turn_down(step, refusal, now);
    } else if progress == Progress::Complete {
        step.entries.push(What::Gathered { parts, bytes });
        if let Some(received) = step.received() {
            if let ReceivedState::Receiving { gathering } = &received.state {
                gathering.close(&mut received.arrival.large);
            }
            received.state = ReceivedState::Filing { due: now, failures: 0, fault: None };
        }
    }
}

pub(super) fn on_joined(
    step: &mut Step,
    item: &MessageId,
    wrong: Option<PartRefusal>,
    now: Timestamp,
) -> Option<()> {
    let received = step.received()?;
    let ends = (received.arrival.to.clone(), received.arrival.from.clone());
    let ReceivedState::Receiving { gathering } = &mut received.state else { return None };
    let last = gathering.joined(item, wrong, now)?;
    step.answer_part(&last, (&ends.0, &ends.1), wrong, now);
    settle(step, now);
    Some(())
}

pub(super) fn on_not_joined(step: &mut Step, why: FilingFault, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let ReceivedState::Receiving { gathering } = &mut step.received()?.state else { return None };
    let until = gathering.not_joined(id, now);
    step.entries.push(What::Waiting { until, why: Delay::Filing(why) });
    Some(())
}

/// A message about the parts ended: our leave, or the acknowledgement of one.
pub(super) fn on_reported(step: &mut Step, report: &Report, now: Timestamp) -> Option<()> {
    step.note_message(report);
    let received = step.received()?;
    let ReceivedState::Receiving { gathering } = &received.state else { return Some(()) };
    if gathering.lost_leave(report) {
        turn_down(step, Refusal::LeaveUndelivered, now);
    }
    Some(())
}
