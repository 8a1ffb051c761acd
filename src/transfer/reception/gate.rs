//! Whether a record is asked for at all: the ordered checks before a request (gp2gp reference §2.1), as far as they need
//! nothing but what the custody system told. What the directory says is found out when the request is written.

use super::{Reception, ReceptionState, Request};
use crate::model::{MessageId, Timestamp};
use crate::transfer::custody::{
    Answer as Said, CustodyEvent, Decision, PatientNumber, PdsUpdate, RegistrationDecision,
};
use crate::transfer::journal::What;
use crate::transfer::outbound::Saying;
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::{Ending, Hold, NoTransfer};
use crate::transfer::retry::{LISTEN_FOR, UNDELIVERED_AFTER};
use crate::transfer::{Beside, Step};

/// What the checks come to.
enum Gate {
    /// The record is asked for.
    Open(Box<Request>),
    /// Something is still to be told.
    Wait,
    /// A person must see to it.
    Hold(Hold),
    /// There is nothing to transfer.
    Shut(NoTransfer),
}

/// Decides, and makes the request where nothing stands against it.
pub(in crate::transfer) fn gate(step: &mut Step, now: Timestamp) {
    // What ended without a request may be asked anew; each end was told, so their number tells one asking from another.
    let asking = format!("{} {}", step.next.conversation, step.next.outcomes);
    let beside = step.beside;
    let Some(reception) = step.reception() else { return };
    match check(reception, beside, &asking, now) {
        Gate::Wait => {
            let until = now.plus(LISTEN_FOR);
            step.reception_state(ReceptionState::AwaitingRegistration { until });
        }
        Gate::Hold(hold) => step.hold_reception(hold, now),
        Gate::Shut(why) => {
            if let (NoTransfer::AlreadyAsked, Some(transfer)) = (why, beside.open_reception) {
                step.entries.push(What::Joined { transfer });
            }
            step.end_reception(Ending::NoTransfer { why }, now);
        }
        Gate::Open(request) => {
            let Some(number) = reception.order.identity.verified_number().copied() else { return };
            let ends = (reception.order.establishment.clone(), request.practice.clone());
            let give_up_at = now.plus(UNDELIVERED_AFTER);
            let message_id = request.message_id.clone();
            let saying = Saying::Request { request_id: request.request_id.clone(), nhs_number: number };
            let asked = What::Requesting { practice: request.practice.clone() };
            reception.request = Some(*request);
            // The message gives up first and says so; this is for the day that it does not.
            let until = give_up_at.plus(UNDELIVERED_AFTER);
            reception.state = ReceptionState::Requesting { until };
            step.entries.push(asked);
            step.send(saying, ends, message_id, give_up_at, now);
            step.publish(OutcomeKind::Accepted, None, "the record is asked of the practice before", now);
        }
    }
}

fn check(reception: &Reception, beside: Beside, asking: &str, now: Timestamp) -> Gate {
    let order = &reception.order;
    let Some(decision) = &reception.decision else { return Gate::Wait };
    if beside.requester_off {
        return Gate::Shut(NoTransfer::SwitchedOff);
    }
    if let Some(why) = not_permanent(decision.decision) {
        return Gate::Shut(why);
    }
    if order.identity.sensitive == Said::Yes {
        return Gate::Shut(NoTransfer::Sensitive);
    }
    if order.pds.as_ref().is_some_and(|pds| pds.deceased == Said::Yes) {
        return Gate::Shut(NoTransfer::Deceased);
    }
    if let PatientNumber::Absent { .. } = order.identity.number {
        return Gate::Shut(NoTransfer::NoNumber);
    }
    if order.identity.verified_number().is_none() {
        return Gate::Hold(Hold::NumberUnverified);
    }
    if order.identity.sensitive == Said::Unknown && order.pds.is_none() {
        return Gate::Hold(Hold::SensitivityUnknown);
    }
    if has_moved_on(reception, decision) {
        return Gate::Shut(NoTransfer::MovedOn);
    }
    match before_and_update(reception, decision, asking, now) {
        Gate::Open(_) if beside.open_reception.is_some() => Gate::Shut(NoTransfer::AlreadyAsked),
        other => other,
    }
}

/// PDS was asked after it took the registration, and names a third practice (§2.6, case 4).
fn has_moved_on(reception: &Reception, decision: &RegistrationDecision) -> bool {
    let PdsUpdate::Succeeded { at } = decision.pds_update else { return false };
    let Some(pds) = &reception.order.pds else { return false };
    let us = &reception.order.establishment;
    pds.checked_at > at && pds.current_practice.as_ref().is_some_and(|practice| practice != us)
}

/// Gates 7, 8 and 11.
fn before_and_update(
    reception: &Reception,
    decision: &RegistrationDecision,
    asking: &str,
    now: Timestamp,
) -> Gate {
    let Some(practice) = &decision.previous_practice else {
        return Gate::Shut(NoTransfer::NoPreviousPractice);
    };
    if *practice == reception.order.establishment {
        return Gate::Shut(NoTransfer::AlreadyHere);
    }
    match decision.pds_update {
        PdsUpdate::Succeeded { .. } => {}
        PdsUpdate::Failed { .. } => return Gate::Shut(NoTransfer::PdsUpdateFailed),
        PdsUpdate::NotAttempted => return Gate::Wait,
    }
    Gate::Open(Box::new(Request {
        practice: practice.clone(),
        message_id: MessageId::derived(&["request", asking, practice.as_str()]),
        request_id: MessageId::derived(&["ehr-request", asking, practice.as_str()]),
        made_at: now,
        delivered_at: None,
        acknowledged: false,
    }))
}

/// Only a permanent registration starts a transfer (S10); a person who said no is an outcome, not an error.
fn not_permanent(decision: Decision) -> Option<NoTransfer> {
    match decision {
        Decision::Permanent => None,
        Decision::Temporary => Some(NoTransfer::Temporary),
        Decision::Declined => Some(NoTransfer::Declined),
        Decision::Deferred | Decision::NotPossible => Some(NoTransfer::NotRegistered),
    }
}

/// A later event of the same stay: it decides anew, as long as nothing was asked.
pub(super) fn on_custody(step: &mut Step, event: &CustodyEvent, now: Timestamp) {
    let Some(reception) = step.reception() else { return };
    let history = event.order() < reception.order.order();
    let asked = reception.request.is_some();
    let numbers = (reception.order.identity.nhs_number(), event.identity.nhs_number());
    let other_person = matches!(numbers, (Some(before), Some(now)) if before != now);
    step.note_event(event);
    if asked && !history && !other_person && event.pds.is_some() {
        // What PDS says now is news to a practice that asks us for the record meanwhile (§2.6).
        reception_pds(step, event);
    }
    if history || asked {
        let why = if history { "an earlier event" } else { "the record was asked for" };
        step.entries.push(What::Noted { kind: format!("{}: {why}", event.kind.name()) });
        return step.publish(OutcomeKind::Noted, Some("too-late"), why, now);
    }
    if other_person {
        return step.hold_reception(Hold::IdentityDiffers, now);
    }
    if let Some(reception) = step.reception() {
        reception.order = event.clone();
        reception.learn();
    }
    gate(step, now);
}

fn reception_pds(step: &mut Step, event: &CustodyEvent) {
    if let Some(reception) = step.reception() {
        reception.order.pds.clone_from(&event.pds);
    }
}
