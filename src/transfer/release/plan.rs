//! What is to be sent: whether a release may proceed at all, how its plan changes, and the packet made for it.

use super::request::{Check, gate_request, hold_request, person, refusal_of, refuse_request};
use super::{Release, ReleaseState, parts};
use crate::model::Timestamp;
use crate::transfer::Step;
use crate::transfer::custody::{
    Answer as Said, CustodyEvent, CustodyKind, DestinationBasis, Release as ReleaseFacts, ReleaseCertainty,
    ReleaseKind,
};
use crate::transfer::delivery::Delivery;
use crate::transfer::event::{Basis, Prepared};
use crate::transfer::journal::What;
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::{Delay, Ending, Hold, PrepareFault, Remedy};
use crate::transfer::retry::{self, LISTEN_FOR};

/// Decides whether a release may proceed: the checks that need nothing but the event, in the order of their harm.
pub(in crate::transfer) fn gate(step: &mut Step, now: Timestamp) {
    let Some(release) = step.release() else { return };
    if release.asked.is_some() {
        return gate_request(step, now);
    }
    let Some(order) = &release.order else { return };
    let Some(facts) = release.facts() else { return };
    if order.identity.sensitive == Said::Yes {
        return step.end(Ending::Sensitive, now);
    }
    let hold = if order.pds.as_ref().is_some_and(|pds| pds.deceased == Said::Yes) {
        Some(Hold::Deceased)
    } else if order.identity.nhs_number().is_none() {
        Some(Hold::NoNumber)
    } else if order.identity.verified_number().is_none() {
        Some(Hold::NumberUnverified)
    } else if order.identity.sensitive == Said::Unknown && order.pds.is_none() {
        Some(Hold::SensitivityUnknown)
    } else {
        destination_hold(facts)
    };
    let until = facts.release_at.plus(LISTEN_FOR);
    match (hold, facts.certainty) {
        (Some(hold), _) => step.hold(hold, now),
        (None, ReleaseCertainty::Planned) => step.release_state(ReleaseState::AwaitingConfirmation { until }),
        (None, ReleaseCertainty::Confirmed | ReleaseCertainty::Happened) => {
            step.release_state(ReleaseState::Preparing { due: now, failures: 0, fault: None, since: now });
            step.publish(OutcomeKind::Accepted, None, "the release was accepted", now);
        }
    }
}

/// Whether somebody follows to whom the record may be pushed (custody reference §3.4).
fn destination_hold(facts: &ReleaseFacts) -> Option<Hold> {
    match facts.kind {
        ReleaseKind::RemovalAbroad | ReleaseKind::Hospital => return Some(Hold::NobodyToPushTo),
        ReleaseKind::EndOfCustody | ReleaseKind::BailOrCourt | ReleaseKind::Other => {}
    }
    match facts.destination.as_ref().map(|d| d.basis) {
        None => Some(Hold::NoDestination),
        Some(DestinationBasis::PatientSaid) => Some(Hold::DestinationUnconfirmed),
        Some(DestinationBasis::Pds | DestinationBasis::PreRegistered) => None,
    }
}

/// A later event of the same stay: the plan firms up or changes, as long as nothing was sent.
pub(super) fn on_custody(step: &mut Step, event: &CustodyEvent, now: Timestamp) {
    let Some(release) = step.release() else { return };
    let before_sending = release.is_unsent();
    let before = release.order.as_ref().and_then(|order| order.identity.nhs_number());
    let other_person = matches!((before, event.identity.nhs_number()), (Some(a), Some(b)) if a != b);
    let history = release.order.as_ref().is_some_and(|order| event.order() < order.order());
    step.note_event(event);
    if !before_sending && !history && !other_person {
        learn_after_sending(step, event, now);
    }
    if history || !before_sending {
        let why = if history { "an earlier event" } else { "nothing sent can be recalled" };
        step.entries.push(What::Noted { kind: format!("{}: {why}", event.kind.name()) });
        return step.publish(OutcomeKind::Noted, Some("too-late"), why, now);
    }
    if other_person {
        return step.hold(Hold::IdentityDiffers, now);
    }
    if let Some(release) = step.release_mut() {
        release.order = Some(event.clone());
    }
    gate(step, now);
}

/// Nothing that was sent can be recalled; but what PDS says now is asked for before it is sent again (S6), and entries made
/// meanwhile never reach the practice by a second version (S43): a discharge summary is wanted (S128, hazard H4).
fn learn_after_sending(step: &mut Step, event: &CustodyEvent, now: Timestamp) {
    if let Some(order) = step.release_mut().and_then(|release| release.order.as_mut()) {
        order.pds.clone_from(&event.pds);
        order.identity = event.identity.clone();
    }
    let sent = step.release().and_then(Release::delivery).is_some_and(|d| d.dispatch.attempts > 0);
    let CustodyKind::Release(facts) = &event.kind else { return };
    if sent && facts.entries_after_send > 0 && facts.summary_ref.is_none() {
        step.entries.push(What::SummaryWanted { entries: facts.entries_after_send });
        let words = "entries were made after the record was sent; send the practice a discharge summary";
        step.publish(OutcomeKind::SummaryWanted, Some("entries_after_send"), words, now);
    }
}

pub(super) fn on_prepared(step: &mut Step, prepared: &Prepared, now: Timestamp) -> Option<()> {
    if !step.release()?.prepares(&prepared.basis) {
        return None;
    }
    // PDS must still agree when the packet is there (§3.1, row 13).
    match step.release().map(|release| recheck(release, now)) {
        Some(Check::Refuse(why)) => {
            refuse_request(step, why, now);
            return Some(());
        }
        Some(Check::Hold(hold)) => {
            hold_request(step, hold, now);
            return Some(());
        }
        Some(Check::Pass | Check::Park) | None => {}
    }
    step.entries.push(What::Prepared {
        bytes: prepared.transmission.bytes,
        attachments: prepared.attachments,
        placeholders: prepared.placeholders,
        completeness: prepared.completeness,
        signed: prepared.signed,
    });
    let message_id = prepared.transmission.message_id.clone();
    let dispatch =
        prepared.transmission.clone().dispatch(prepared.to.clone(), prepared.contract.clone(), now);
    let release = step.release_mut()?;
    release.completeness = Some(prepared.completeness);
    release.created_at = Some(now);
    release.account.clone_from(&prepared.account);
    release.signed = prepared.signed;
    release.state = ReleaseState::Delivering { delivery: Delivery::begin(dispatch, now) };
    parts::keep(step, prepared, now);
    step.remember(message_id);
    Some(())
}

/// The checks on the person again, where a practice asked.
fn recheck(release: &Release, now: Timestamp) -> Check {
    match (&release.order, &release.asked) {
        (Some(order), Some(asked)) => match &asked.nhs_number {
            Some(number) => person(order, number, asked, now),
            None => Check::Pass,
        },
        (_, _) => Check::Pass,
    }
}

pub(super) fn on_unprepared(step: &mut Step, basis: &Basis, why: PrepareFault, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let release = step.release_mut().filter(|release| release.prepares(basis))?;
    let (asked, known) = (release.asked.is_some(), release.order.is_some());
    let ReleaseState::Preparing { due, failures, fault, .. } = &mut release.state else { return None };
    *failures += 1;
    *fault = Some(why);
    *due = now.plus(retry::unprepared(*failures, id));
    let (until, first) = (*due, *failures == 1);
    step.entries.push(What::Unprepared { fault: why });
    if let Some(refusal) = refusal_of(why, known).filter(|_| asked) {
        refuse_request(step, refusal, now);
        return Some(());
    }
    match why.remedy() {
        Remedy::Person => step.hold(Hold::Preparation(why), now),
        Remedy::Time => {
            step.entries.push(What::Waiting { until, why: Delay::Preparation(why) });
            if first {
                step.publish(OutcomeKind::Held, Some("record-unavailable"), why.words(), now);
            }
        }
    }
    Some(())
}
