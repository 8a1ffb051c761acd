//! What an operator can do to a release.

use super::{ReleaseState, gate, parts, resend};
use crate::model::Timestamp;
use crate::transfer::Step;
use crate::transfer::event::{Act, Verb};
use crate::transfer::journal::What;
use crate::transfer::reason::Ending;

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
    let opened_at = step.next.opened_at;
    let release = step.release()?;
    if parts::may_go_again(release) && matches!(release.state, ReleaseState::AwaitingAcknowledgement { .. }) {
        step.entries.push(What::Act { act: act.clone() });
        parts::send_missing(step, now);
        return Some(());
    }
    if let Some(delivery) = resend::candidate(release, opened_at, now) {
        return resend::resend(step, act, delivery, now);
    }
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
        ReleaseState::Ended { .. } => return None,
    };
    step.entries.push(What::Act { act: act.clone() });
    step.release_state(state);
    Some(())
}
