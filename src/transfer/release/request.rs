//! A practice asks for the record: the checks of gp2gp reference §3.1, the release that joins, and what the practice is
//! told.

use std::time::Duration;

use super::parked::{self, judge, park};
use super::{Release, ReleaseState};
use crate::model::{MessageId, NhsNumber, Timestamp};
use crate::transfer::Step;
use crate::transfer::custody::{Answer as Said, CustodyEvent};
use crate::transfer::event::Asked;
use crate::transfer::journal::What;
use crate::transfer::outbound::{Code, Report, Saying};
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::{Ending, Hold, PrepareFault};
use crate::transfer::refusal::RequestRefusal;
use crate::transfer::retry::{LISTEN_FOR, UNDELIVERED_AFTER};

/// A PDS fact older than this is asked for again before anything is sent (custody reference §3.2).
pub(super) const FRESH_FOR: Duration = Duration::from_secs(10 * 60);

/// A request is answered within a day (S36).
pub(super) const ANSWER_WITHIN: Duration = UNDELIVERED_AFTER;

/// A request for this person's record (A1, A2): it joins a release that waits or was pushed and not answered, whose
/// conversation is the request's from now on (§3.6).
pub(in crate::transfer) fn on_asked(step: &mut Step, asked: &Asked, now: Timestamp) -> Option<()> {
    let release = step.release()?;
    let joins = match &release.state {
        ReleaseState::AwaitingConfirmation { .. }
        | ReleaseState::Parked { .. }
        | ReleaseState::Preparing { .. }
        | ReleaseState::Delivering { .. }
        | ReleaseState::AwaitingAcknowledgement { .. }
        | ReleaseState::Held { .. } => release.asked.is_none(),
        ReleaseState::Ended { .. } => false,
    };
    // What is turned down leaves the release as it was: it waits for the right practice.
    if !joins || matches!(check(release, asked, now), Check::Refuse(_)) {
        return None;
    }
    let conversation = asked.conversation;
    step.entries.push(What::Asked { practice: asked.from.clone() });
    step.release_mut()?.asked = Some(asked.clone());
    step.next.conversation = conversation;
    gate_request(step, now);
    Some(())
}

/// The checks that need nothing but what was told; the others are made with the packet.
pub(in crate::transfer) fn gate_request(step: &mut Step, now: Timestamp) {
    let Some(release) = step.release() else { return };
    let Some(asked) = &release.asked else { return };
    match check(release, asked, now) {
        Check::Pass => {
            step.release_state(ReleaseState::Preparing { due: now, failures: 0, fault: None, since: now });
        }
        Check::Refuse(why) => refuse_request(step, why, now),
        Check::Hold(hold) => hold_request(step, hold, now),
        Check::Park => park(step, now),
    }
}

/// A practice waits for a person here, but not for ever: for what PDS says now no longer than a day.
pub(super) fn hold_request(step: &mut Step, hold: Hold, now: Timestamp) {
    if let Some(release) = step.release_mut() {
        release.recheck_by = (hold == Hold::RecheckWanted).then(|| now.plus(ANSWER_WITHIN));
    }
    step.hold(hold, now);
}

/// What the checks come to.
pub(super) enum Check {
    Pass,
    Refuse(RequestRefusal),
    Hold(Hold),
    Park,
}

/// The checks of §3.1, in order, as far as they need nothing but what was told.
pub(super) fn check(release: &Release, asked: &Asked, now: Timestamp) -> Check {
    let Some(number) = &asked.nhs_number else { return Check::Refuse(RequestRefusal::Unreadable) };
    if asked.switched_off {
        return Check::Refuse(RequestRefusal::SwitchedOff);
    }
    // Where only the record folder knows the person, it is asked when the packet is made.
    let about_pds = release.order.as_ref().map_or(Check::Pass, |order| person(order, number, asked, now));
    // PDS comes before the chain; what it said too long ago is asked for again once the request waits no more (§2.6).
    match (about_pds, judge(release, asked, now)) {
        (refused @ Check::Refuse(_), _) => refused,
        (_, parked::Verdict::Refuse(why)) => Check::Refuse(why),
        (_, parked::Verdict::Park) => Check::Park,
        (other, parked::Verdict::Free) => other,
    }
}

/// Checks 4 to 6: by what custody told of the person.
pub(super) fn person(order: &CustodyEvent, number: &NhsNumber, asked: &Asked, now: Timestamp) -> Check {
    if order.identity.verified_number() != Some(number) {
        return Check::Refuse(RequestRefusal::UnknownPatient);
    }
    // A sensitive record counts as registered elsewhere (§3.1, row 6).
    if order.identity.sensitive == Said::Yes {
        return Check::Refuse(RequestRefusal::AnotherPractice);
    }
    let Some(pds) = &order.pds else { return Check::Hold(Hold::RecheckWanted) };
    if pds.deceased == Said::Yes {
        return Check::Hold(Hold::Deceased);
    }
    if now.since(pds.checked_at) > FRESH_FOR {
        return Check::Hold(Hold::RecheckWanted);
    }
    if pds.current_practice.as_ref() != Some(&asked.from) {
        return Check::Refuse(RequestRefusal::AnotherPractice);
    }
    Check::Pass
}

/// What a failed preparation means for a request: an answer to the practice, or nothing yet.
pub(super) fn refusal_of(fault: PrepareFault, known: bool) -> Option<RequestRefusal> {
    match fault {
        // A custody system may still write the record it told us of.
        PrepareFault::RecordMissing if known => None,
        PrepareFault::RecordMissing => Some(RequestRefusal::UnknownPatient),
        PrepareFault::TooLargeForOneMessage => Some(RequestRefusal::TooLarge),
        PrepareFault::TakesNoParts => Some(RequestRefusal::TakesNoParts),
        PrepareFault::DestinationUnknown | PrepareFault::DestinationClosed => {
            Some(RequestRefusal::NotInDirectory)
        }
        PrepareFault::RecordNameUnsafe
        | PrepareFault::RecordOfAnotherPatient
        | PrepareFault::LabelCannotTravel
        | PrepareFault::ExtractInvalid
        | PrepareFault::DestinationTakesNoPush
        | PrepareFault::RecordAmbiguous
        | PrepareFault::SamePremises => Some(RequestRefusal::NotBuilt),
        PrepareFault::RecordUnreadable
        | PrepareFault::RecordMalformed
        | PrepareFault::RecordTooLarge
        | PrepareFault::RecordWithoutPatient
        | PrepareFault::SigningUnavailable
        | PrepareFault::StorageFailed => None,
    }
}

/// Tells the practice why it does not get the record (A2, A4). A release that the request had joined waits on.
pub(super) fn refuse_request(step: &mut Step, why: RequestRefusal, now: Timestamp) {
    let code = Code { code: why.code().to_owned(), words: why.words().to_owned() };
    step.entries.push(What::RequestRefused { why });
    answer(step, Some(code), now);
    step.end(Ending::RequestTurnedDown { why }, now);
}

/// The record is with the practice's system: the request is answered by AA now, and not before (A9, TD62).
pub(super) fn accept_request(step: &mut Step, now: Timestamp) {
    if step.release().and_then(|release| release.asked.as_ref()).is_some_and(|asked| !asked.answered) {
        answer(step, None, now);
    }
}

/// The record cannot be delivered whole: the request is answered so, unless it was answered before (TD61, C13).
pub(super) fn report_loss(step: &mut Step, why: RequestRefusal, now: Timestamp) {
    if step.release().and_then(|release| release.asked.as_ref()).is_some_and(|asked| !asked.answered) {
        let code = Code { code: why.code().to_owned(), words: why.words().to_owned() };
        step.entries.push(What::RequestRefused { why });
        answer(step, Some(code), now);
    }
}

fn answer(step: &mut Step, refusal: Option<Code>, now: Timestamp) {
    let id = step.next.id.to_string();
    let Some(asked) = step.release_mut().and_then(|release| release.asked.as_mut()) else { return };
    asked.answered = true;
    let (ends, refers_to) = ((asked.to.clone(), asked.from.clone()), asked.message_id.clone());
    let message_id = MessageId::derived(&["request-acknowledgement", &id, refers_to.as_str()]);
    step.send(Saying::Acknowledgement { refers_to, refusal }, ends, message_id, now.plus(LISTEN_FOR), now);
}

/// One of our messages ended; a practice that could not be told is telephoned.
pub(super) fn on_reported(step: &mut Step, report: &Report, now: Timestamp) -> Option<()> {
    let Report { kind, fate, attempts, .. } = *report;
    step.entries.push(What::Message { kind, fate, attempts });
    if fate != crate::transfer::outbound::Fate::Delivered {
        let words = "the practice could not be told what became of its request; telephone them";
        step.publish(OutcomeKind::Undelivered, Some("acknowledgement_undelivered"), words, now);
    }
    Some(())
}
