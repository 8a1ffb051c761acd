//! What an operator can do to a release.

use super::{ReleaseState, Reported, gate};
use crate::model::{MessageId, Timestamp};
use crate::transfer::Step;
use crate::transfer::delivery;
use crate::transfer::event::{Act, Verb};
use crate::transfer::journal::What;
use crate::transfer::reason::Ending;
use crate::transfer::response_code::ResponseCode;
use crate::transfer::retry::GIVE_UP_AFTER;

pub(super) fn on_act(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    match act.verb {
        Verb::Cancel => cancel(step, act, now),
        Verb::Retry => retry_now(step, act, now),
        // Recorded before the state is asked.
        Verb::DisclosePacket | Verb::DiscloseReceipt => None,
        // Only a record that came can be decided on.
        Verb::Decide(_) => None,
    }
}

fn cancel(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    if matches!(step.release()?.state, ReleaseState::Ended { .. }) {
        return None;
    }
    step.entries.push(What::Act { act: act.clone() });
    step.end(Ending::Cancelled, now);
    Some(())
}

fn retry_now(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let release = step.release()?;
    let again = matches!(release.state, ReleaseState::Ended { .. });
    let state = match &release.state {
        ReleaseState::AwaitingConfirmation { .. } | ReleaseState::Parked { .. } => return None,
        ReleaseState::Preparing { failures, fault, since, .. } => {
            ReleaseState::Preparing { due: now, failures: *failures, fault: *fault, since: *since }
        }
        ReleaseState::Delivering { delivery } => {
            ReleaseState::Delivering { delivery: delivery.queued_now(now)? }
        }
        ReleaseState::AwaitingAcknowledgement { delivery, .. } => {
            ReleaseState::Delivering { delivery: delivery.queued_now(now)? }
        }
        ReleaseState::Held { delivery: Some(delivery), .. } => {
            ReleaseState::Delivering { delivery: delivery.queued_now(now)? }
        }
        ReleaseState::Held { delivery: None, .. } => {
            step.entries.push(What::Act { act: act.clone() });
            gate(step, now);
            return Some(());
        }
        ReleaseState::Ended { ending, delivery: Some(delivery), .. }
            if may_resend(ending, step.next.opened_at, now) =>
        {
            // A re-send after refusal: identical HL7, same conversation, new MessageId (S6, S43, TD66).
            let number = (release.message_ids.len() + 1).to_string();
            let message_id = MessageId::derived(&["extract", &id.to_string(), &number]);
            let mut delivery = delivery.clone();
            delivery.dispatch.begin_again(now);
            delivery.phase = delivery::Phase::Restamping { since: now, message_id };
            ReleaseState::Delivering { delivery }
        }
        ReleaseState::Ended { .. } => return None,
    };
    step.entries.push(What::Act { act: act.clone() });
    step.release_state(state);
    if let Some(release) = step.release_mut().filter(|_| again) {
        // Its silence counts anew (S124).
        release.reported = Reported::Nothing;
    }
    Some(())
}

/// Refused or unanswered, and within twelve weeks of creation (S6, C15); never after acceptance.
fn may_resend(ending: &Ending, opened_at: Timestamp, now: Timestamp) -> bool {
    let refused = match ending {
        Ending::NotIntegrated { code } => ResponseCode::parse(code).may_resend(),
        Ending::NeverAnswered | Ending::NeverDelivered => true,
        // What somebody cancelled is sent only by a new event.
        Ending::Cancelled
        | Ending::Integrated { .. }
        | Ending::Suppressed
        | Ending::NeverPrepared
        | Ending::NeverConfirmed
        | Ending::Sensitive
        | Ending::Filed
        | Ending::Refused { .. }
        | Ending::NoTransfer { .. }
        | Ending::RequestRefused { .. }
        | Ending::RequestUndelivered
        | Ending::RequestUnanswered
        | Ending::RequestTurnedDown { .. }
        | Ending::Decided { .. } => false,
    };
    refused && now < opened_at.plus(GIVE_UP_AFTER)
}
