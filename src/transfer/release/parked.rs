//! A request that waits for our own reception of the person (gp2gp reference §2.6): parked, told of, and answered when
//! the reception ends, or after eight days.

use super::request::refuse_request;
use super::{Release, ReleaseState};
use crate::model::Timestamp;
use crate::transfer::Step;
use crate::transfer::chain::{Chain, PARKED_FOR, TELL_AGAIN_AFTER};
use crate::transfer::custody::{CustodyEvent, CustodyKind};
use crate::transfer::event::{Asked, Woken};
use crate::transfer::journal::What;
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::Hold;
use crate::transfer::refusal::RequestRefusal;

/// What the chain means for the request.
pub(super) enum Verdict {
    /// Nothing stands in its way.
    Free,
    /// It waits.
    Park,
    /// It is answered by 99.
    Refuse(RequestRefusal),
}

/// Decides by the chain alone; PDS is asked before (§2.6).
pub(super) fn judge(release: &Release, asked: &Asked, now: Timestamp) -> Verdict {
    let parked = matches!(release.state, ReleaseState::Parked { .. });
    match &asked.chain {
        None => Verdict::Free,
        Some(Chain::Full) => Verdict::Refuse(RequestRefusal::TooManyWait),
        // Two systems must not wait for each other (F46): the one that asks is the one that has the record.
        Some(Chain::Awaited { practice }) if *practice == asked.from => Verdict::Refuse(RequestRefusal::Loop),
        Some(Chain::Awaited { .. } | Chain::Unfiled { .. }) if now.since(asked.received_at) >= PARKED_FOR => {
            Verdict::Refuse(RequestRefusal::ChainTooSlow)
        }
        Some(Chain::Awaited { .. } | Chain::Unfiled { .. }) => Verdict::Park,
        Some(Chain::Broken { .. }) if parked => Verdict::Refuse(RequestRefusal::ChainBroken),
        Some(chain) if chain.is_broken_for(now) => Verdict::Refuse(RequestRefusal::ChainBroken),
        Some(Chain::Broken { .. }) => Verdict::Free,
    }
}

/// Parks it and says so at once, so that the record is filed soon. No early AA (S34).
pub(super) fn park(step: &mut Step, now: Timestamp) {
    let Some(release) = step.release().filter(|r| !matches!(r.state, ReleaseState::Parked { .. })) else {
        return;
    };
    let Some(asked) = &release.asked else { return };
    let until = asked.received_at.plus(TELL_AGAIN_AFTER);
    let practice = match &asked.chain {
        Some(Chain::Awaited { practice } | Chain::Unfiled { practice }) => practice.clone(),
        Some(Chain::Broken { .. } | Chain::Full) | None => return,
    };
    step.release_state(ReleaseState::Parked { until, told: false });
    step.entries.push(What::Parked { practice });
    tell(step, now);
}

fn tell(step: &mut Step, now: Timestamp) {
    let words = "a practice asks for a record that waits for the one before; have that one filed or refused";
    step.publish(OutcomeKind::Held, Some("request_parked"), words, now);
}

/// A day passed (S42), or eight.
pub(super) fn on_due(step: &mut Step, now: Timestamp) {
    let Some(received_at) = step.release().and_then(|r| r.asked.as_ref()).map(|asked| asked.received_at)
    else {
        return;
    };
    if now.since(received_at) >= PARKED_FOR {
        return refuse_request(step, RequestRefusal::ChainTooSlow, now);
    }
    step.release_state(ReleaseState::Parked { until: received_at.plus(PARKED_FOR), told: true });
    step.entries.push(What::StillParked);
    tell(step, now);
}

/// Whether the request waits for news of the person: of our own reception, or of PDS.
pub(in crate::transfer) fn waits_for_news(release: &Release) -> bool {
    let waits = match &release.state {
        ReleaseState::Parked { .. } => true,
        ReleaseState::Held { hold, delivery } => *hold == Hold::RecheckWanted && delivery.is_none(),
        ReleaseState::AwaitingConfirmation { .. }
        | ReleaseState::Preparing { .. }
        | ReleaseState::Delivering { .. }
        | ReleaseState::AwaitingAcknowledgement { .. }
        | ReleaseState::Ended { .. } => false,
    };
    waits && release.asked.is_some()
}

/// There is news: every check is made again, PDS first (§2.6).
pub(super) fn on_woken(step: &mut Step, woken: &Woken, now: Timestamp) -> Option<()> {
    let release = step.release_mut().filter(|release| waits_for_news(release))?;
    if let Some(known) = &woken.known {
        learn(&mut release.order, known);
    }
    release.asked.as_mut()?.chain.clone_from(&woken.chain);
    let held = matches!(release.state, ReleaseState::Held { .. });
    if held && matches!(super::request::check(release, release.asked.as_ref()?, now), super::Check::Hold(_)) {
        // It waits on, and was told so.
        return Some(());
    }
    super::gate_request(step, now);
    Some(())
}

/// Newer facts of PDS and of who the person is; the release that custody told of stays the one that is sent.
fn learn(order: &mut Option<CustodyEvent>, known: &CustodyEvent) {
    let checked = |event: &CustodyEvent| event.pds.as_ref().map(|pds| pds.checked_at);
    match order {
        Some(order) if checked(order) >= checked(known) => {}
        Some(order)
            if matches!(order.kind, CustodyKind::Release(_))
                && !matches!(known.kind, CustodyKind::Release(_)) =>
        {
            order.pds.clone_from(&known.pds);
            order.identity = known.identity.clone();
        }
        Some(_) | None => *order = Some(known.clone()),
    }
}
