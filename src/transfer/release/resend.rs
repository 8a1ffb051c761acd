//! The same record again, because a person asks for it (gp2gp reference §3.4): identical HL7, the same conversation, a new
//! MessageId; only while it is open or after a refusal, and PDS is asked first.

use super::request::{Check, FRESH_FOR, person};
use super::{Release, ReleaseState, Reported};
use crate::model::{MessageId, Timestamp, TransferId};
use crate::transfer::Step;
use crate::transfer::custody::{Answer as Said, CustodyEvent, DestinationBasis};
use crate::transfer::delivery::{Delivery, Phase};
use crate::transfer::event::Act;
use crate::transfer::journal::What;
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::{Ending, Hold};
use crate::transfer::refusal::RequestRefusal;
use crate::transfer::response_code::{Resend, ResponseCode};
use crate::transfer::retry::{GIVE_UP_AFTER, Repeat};

/// Whether the release stands where a person may have the record sent again, and what would go.
pub(super) fn candidate(release: &Release, opened_at: Timestamp, now: Timestamp) -> Option<Delivery> {
    let created_at = release.created_at.unwrap_or(opened_at);
    match &release.state {
        // A party that eliminates duplicates gets the same packet by itself (§3.5); any other would drop a copy.
        ReleaseState::AwaitingAcknowledgement { delivery, .. }
            if delivery.dispatch.contract.repeat == Repeat::Never =>
        {
            Some(delivery.clone())
        }
        ReleaseState::Ended { ending, delivery: Some(delivery), .. }
            if may_resend(ending, release.resends) && now < created_at.plus(GIVE_UP_AFTER) =>
        {
            Some(delivery.clone())
        }
        ReleaseState::AwaitingConfirmation { .. }
        | ReleaseState::Parked { .. }
        | ReleaseState::Preparing { .. }
        | ReleaseState::Delivering { .. }
        | ReleaseState::AwaitingAcknowledgement { .. }
        | ReleaseState::Held { .. }
        | ReleaseState::Ended { .. } => None,
    }
}

/// Sends it again, unless PDS stands against it or must be asked first (S6, S46).
pub(super) fn resend(step: &mut Step, act: &Act, mut delivery: Delivery, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    step.entries.push(What::Act { act: act.clone() });
    match recheck(step.release()?, now) {
        Check::Pass | Check::Park => {}
        Check::Refuse(why) => {
            step.entries.push(What::NotSentAgain { why: Some(why) });
            step.publish(OutcomeKind::Refused, Some("not_sent_again"), why.words(), now);
            return Some(());
        }
        Check::Hold(hold) => {
            step.entries.push(What::NotSentAgain { why: None });
            step.publish(OutcomeKind::RecheckWanted, Some(hold.code()), &hold.words(), now);
            return Some(());
        }
    }
    let release = step.release_mut()?;
    let message_id = next_identity(id, release);
    // Its silence counts anew (S124).
    release.reported = Reported::Nothing;
    release.resends += 1;
    delivery.dispatch.begin_again(now);
    delivery.phase = Phase::Restamping { since: now, message_id };
    release.state = ReleaseState::Delivering { delivery };
    Some(())
}

/// Every transmission has an identity of its own (S6, TD66).
fn next_identity(id: TransferId, release: &Release) -> MessageId {
    let number = (release.message_ids.len() + 1).to_string();
    MessageId::derived(&["extract", &id.to_string(), &number])
}

/// The checks of a request once more. Of a push only what contradicts it counts: custody confirmed where it goes.
fn recheck(release: &Release, now: Timestamp) -> Check {
    let Some(order) = &release.order else { return Check::Pass };
    let Some(asked) = &release.asked else { return recheck_push(release, order, now) };
    match &asked.nhs_number {
        Some(number) => person(order, number, asked, now),
        None => Check::Refuse(RequestRefusal::Unreadable),
    }
}

fn recheck_push(release: &Release, order: &CustodyEvent, now: Timestamp) -> Check {
    if order.identity.sensitive == Said::Yes {
        return Check::Refuse(RequestRefusal::AnotherPractice);
    }
    let Some(pds) = &order.pds else { return Check::Pass };
    let by_pds = release.facts().and_then(|facts| facts.destination.as_ref()).map(|d| d.basis)
        == Some(DestinationBasis::Pds);
    let elsewhere = pds.current_practice.as_ref() != release.destination();
    let fresh = now.since(pds.checked_at) <= FRESH_FOR;
    match (pds.deceased == Said::Yes, by_pds && fresh && elsewhere) {
        (true, _) => Check::Hold(Hold::Deceased),
        (false, true) => Check::Refuse(RequestRefusal::AnotherPractice),
        (false, false) => Check::Pass,
    }
}

/// Refused or unanswered; never after acceptance.
fn may_resend(ending: &Ending, resends: u32) -> bool {
    match ending {
        Ending::NotIntegrated { code } => match ResponseCode::parse(code).resend() {
            Resend::Allowed | Resend::AfterCause => true,
            Resend::Once => resends == 0,
            Resend::NewRequest | Resend::Never => false,
        },
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
    }
}
