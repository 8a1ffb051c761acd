//! What comes back: the transport's answer, at once or late, and the practice's own.

use super::{Release, ReleaseState, Reported, parts};
use crate::model::Timestamp;
use crate::transfer::Step;
use crate::transfer::delivery::{self, Delivery};
use crate::transfer::event::{Acknowledgement, Answer};
use crate::transfer::journal::What;
use crate::transfer::outbound::MessageKind;
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::{Ending, Hold};
use crate::transfer::response_code::{self, ResponseCode};
use crate::transfer::retry::Repeat;
use crate::transfer::verdict::Verdict;

pub(super) fn on_answered(step: &mut Step, answer: &Answer, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let release = step.release_mut()?;
    if let Some(receipt) = &answer.receipt {
        release.receipt = Some(receipt.clone());
    }
    let ReleaseState::Delivering { delivery } = &mut release.state else {
        // The practice's acknowledgement overtook the transport's (gp2gp reference §3.7), or somebody cancelled.
        let number = release.delivery().map_or(0, |d| d.dispatch.attempts);
        step.entries.push(What::Answer { number, verdict: answer.verdict, took_ms: answer.took_ms });
        return Some(());
    };
    if !delivery.expects(answer) {
        return None;
    }
    let (outcome, entries) = delivery.on_answer(answer, id, now);
    let delivery = delivery.clone();
    step.entries.extend(entries);
    match outcome {
        delivery::Outcome::OnItsWay => {}
        delivery::Outcome::Delivered(_) => await_acknowledgement(step, delivery, now),
        delivery::Outcome::Refused(why) => {
            step.release_state(ReleaseState::Delivering { delivery });
            step.hold(Hold::TransportRefused(why), now);
        }
    }
    Some(())
}

fn await_acknowledgement(step: &mut Step, mut delivery: Delivery, now: Timestamp) {
    let id = step.next.id;
    let first = delivery.dispatch.repeats == 0;
    let repeat_at = match delivery.dispatch.contract.repeat {
        Repeat::UntilAcknowledged => Some(delivery.dispatch.next_attempt(None, id, now)),
        Repeat::Never => None,
    };
    delivery.phase = delivery::Phase::Queued { due: repeat_at.unwrap_or(now), why: None };
    step.release_state(ReleaseState::AwaitingAcknowledgement { delivery, repeat_at });
    if !step.has_parts_to_go() {
        super::request::accept_request(step, now);
    }
    if first {
        step.publish(OutcomeKind::Sent, None, "the practice's system took the record", now);
    }
}

/// An asynchronous answer: a late error overturns an acceptance (wire reference §1.5).
pub(super) fn on_late_signal(step: &mut Step, verdict: &Verdict, now: Timestamp) {
    let id = step.next.id;
    let Some(release) = step.release() else { return };
    let ReleaseState::AwaitingAcknowledgement { delivery, .. } = &release.state else { return };
    let mut delivery = delivery.clone();
    match verdict {
        Verdict::Accepted(_) => {}
        Verdict::TryAgain(why) => {
            let entry = delivery.overturned(*why, id, now);
            step.entries.push(entry);
            step.release_state(ReleaseState::Delivering { delivery });
        }
        Verdict::Refused(why) => step.hold(Hold::TransportRefused(*why), now),
    }
}

/// The practice's own answer decides (A11–A16). It may come early, late, twice, or after we gave up.
pub(super) fn on_acknowledged(step: &mut Step, ack: &Acknowledgement, now: Timestamp) -> Option<()> {
    let release = step.release()?;
    release.delivery()?;
    let late = release.reported == Reported::Overdue || matches!(release.state, ReleaseState::Ended { .. });
    let verdict = match ack.about {
        // It answers another message than the extract: nothing follows for the record.
        Some(MessageKind::Part) => {
            parts::note_answer(step, ack);
            return Some(());
        }
        Some(
            MessageKind::Request
            | MessageKind::Acknowledgement
            | MessageKind::Continue
            | MessageKind::PartAcknowledgement,
        ) => Judgement::NothingNew,
        None => Judgement::of(ack, release),
    };
    let counts = verdict != Judgement::NothingNew;
    step.entries.push(What::Acknowledgement { positive: ack.positive, code: ack.code.clone(), counts });
    if let Some(release) = step.release_mut()
        && counts
        && ack.packet.is_some()
    {
        release.acknowledgement = ack.packet.clone();
    }
    let code = ack.code.clone().unwrap_or_else(|| "unknown".to_owned());
    match verdict {
        Judgement::NothingNew => {}
        Judgement::Filed => step.end(Ending::Integrated { late }, now),
        Judgement::StoredBeside => step.end(Ending::Suppressed, now),
        Judgement::NeverAsked => step.hold(Hold::NotRequested, now),
        Judgement::Refused => step.end(Ending::NotIntegrated { code }, now),
    }
    Some(())
}

/// What an acknowledgement means for a release. AA beats 15 beats other codes beats 12 (gp2gp reference §2.4, S121).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    NothingNew,
    Filed,
    StoredBeside,
    NeverAsked,
    Refused,
}

impl Judgement {
    fn of(ack: &Acknowledgement, release: &Release) -> Self {
        let fresh = match ack.code.as_deref().map(ResponseCode::parse) {
            _ if ack.positive => Self::Filed,
            Some(code) if code == response_code::SUPPRESSED => Self::StoredBeside,
            Some(code) if code == response_code::DUPLICATE => Self::NothingNew,
            Some(code) if code == response_code::NOT_REQUESTED => Self::NeverAsked,
            Some(_) | None => Self::Refused,
        };
        let ReleaseState::Ended { ending, .. } = &release.state else {
            let present = release.delivery().map(|d| &d.dispatch.message_id);
            let stale = ack.refers_to.is_some() && ack.refers_to.as_ref() != present;
            // A refusal of an earlier transmission says nothing of the re-send that is under way.
            return if stale && fresh == Self::Refused { Self::NothingNew } else { fresh };
        };
        match (ending, fresh) {
            (Ending::Integrated { .. }, _) => Self::NothingNew,
            (Ending::Suppressed, Self::Filed) => Self::Filed,
            (Ending::Suppressed, _) => Self::NothingNew,
            (_, Self::Filed | Self::StoredBeside) => fresh,
            (Ending::NeverAnswered | Ending::NeverDelivered, Self::Refused) => Self::Refused,
            (_, _) => Self::NothingNew,
        }
    }
}
