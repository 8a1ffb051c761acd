//! The parts of a record that goes out: they wait for leave, go each its own way, and are counted here (A7, A8, A10, A17).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Release, ReleaseState, request};
use crate::model::{MessageId, OdsCode, Timestamp};
use crate::transfer::delivery::Delivery;
use crate::transfer::effect::Effect;
use crate::transfer::event::{Acknowledgement, Continued, Prepared, PreparedPart, Renewed};
use crate::transfer::journal::What;
use crate::transfer::outbound::{Fate, MessageKind, Report};
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::refusal::RequestRefusal;
use crate::transfer::retry::Contract;
use crate::transfer::{Case, Step, ToParts};

/// What travels in messages of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartsOut {
    /// How many messages.
    pub count: u32,
    /// Their octets.
    pub bytes: u64,
    /// How long they are awaited from the Timestamp of the extract, in milliseconds (LM04).
    pub wait_ms: u64,
    /// How long a part lives, in milliseconds: a leave that comes late still gives as much (A10).
    pub part_ms: u64,
    /// When leave came to send them.
    pub leave_at: Option<Timestamp>,
    /// How many were delivered.
    pub delivered: u32,
    /// How many cannot be.
    pub failed: u32,
}

impl PartsOut {
    fn of(parts: &[PreparedPart], wait_ms: u64, contract: &Contract) -> Option<Self> {
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        (count > 0).then(|| Self {
            count,
            bytes: parts.iter().map(|part| part.transmission.bytes).sum(),
            wait_ms,
            part_ms: contract.persist_duration_ms,
            leave_at: None,
            delivered: 0,
            failed: 0,
        })
    }

    /// Whether all were delivered.
    pub fn are_delivered(&self) -> bool {
        self.delivered >= self.count
    }

    /// Until when leave is awaited: T of the extract (LM22). None once it came.
    pub(super) fn leave_until(&self, delivery: &Delivery) -> Option<Timestamp> {
        self.leave_at.is_none().then(|| self.deadline(delivery))
    }

    fn deadline(&self, delivery: &Delivery) -> Timestamp {
        delivery.dispatch.stamped_at.plus(Duration::from_millis(self.wait_ms))
    }
}

/// The record is made: its parts wait for leave. Those of an earlier version of it never go.
pub(super) fn keep(step: &mut Step, prepared: &Prepared, now: Timestamp) {
    let fresh = PartsOut::of(&prepared.parts, prepared.wait_ms, &prepared.contract);
    replace(step, fresh, &prepared.parts, (&prepared.to, &prepared.contract), now);
}

/// The record goes out again after a refusal: its parts have new identities, and wait for leave again (TD66).
pub(super) fn on_renewed(step: &mut Step, renewed: &Renewed, now: Timestamp) -> Option<()> {
    let delivery = step.delivering()?;
    let entry = delivery.on_restamped(renewed.transmission.clone(), now);
    let (to, contract) = (delivery.dispatch.to.clone(), delivery.dispatch.contract.clone());
    step.entries.push(entry);
    step.remember(renewed.transmission.message_id.clone());
    let wait_ms = step.release()?.parts.as_ref()?.wait_ms;
    let fresh = PartsOut::of(&renewed.parts, wait_ms, &contract);
    replace(step, fresh, &renewed.parts, (&to, &contract), now);
    Some(())
}

fn replace(
    step: &mut Step,
    fresh: Option<PartsOut>,
    parts: &[PreparedPart],
    (to, contract): (&OdsCode, &Contract),
    now: Timestamp,
) {
    let Some(release) = step.release_mut() else { return };
    let stale = release.parts.is_some();
    release.parts = fresh;
    let Some(from) = release.sender().cloned() else { return };
    step.to_parts = stale.then_some(ToParts::Stop);
    for part in parts {
        step.keep_part(part, (from.clone(), to.clone()), contract, now);
    }
}

/// Leave came to send the parts (A7). It may come before the answer to the extract is recorded, again (§3.7), and late
/// (A10); not after the practice has said what became of the record.
pub(super) fn on_continued(step: &mut Step, leave: &Continued, now: Timestamp) -> Option<()> {
    let release = step.release_mut()?;
    let (open, until) = match &release.state {
        ReleaseState::Delivering { delivery }
        | ReleaseState::AwaitingAcknowledgement { delivery, .. }
        | ReleaseState::Held { delivery: Some(delivery), .. } => (true, Some(delivery)),
        ReleaseState::Ended { delivery, .. } => (false, delivery.as_ref()),
        ReleaseState::AwaitingConfirmation { .. }
        | ReleaseState::Parked { .. }
        | ReleaseState::Preparing { .. }
        | ReleaseState::Held { delivery: None, .. } => (false, None),
    };
    let until = until.cloned();
    let parts = release.parts.as_mut()?;
    let counts = open && parts.leave_at.is_none();
    let entry = What::Continued { parts: parts.count, counts };
    let (Some(delivery), true) = (until, open) else {
        step.entries.push(entry);
        return Some(());
    };
    if leave.from != delivery.dispatch.to {
        // Only the party we sent to may answer; the engine looks as well.
        return None;
    }
    let late = now.plus(Duration::from_millis(parts.part_ms));
    let until = parts.deadline(&delivery).max(late);
    parts.leave_at.get_or_insert(now);
    step.entries.push(entry);
    // Those that went before stay as they are: nothing goes twice.
    step.to_parts = Some(ToParts::Leave(until));
    Some(())
}

/// A new identity of an extract is one of its parts too (TD66); a new timestamp alone changes nothing of them.
pub(super) fn with_parts(step: &Step, effect: Effect, present: &MessageId) -> Effect {
    let has_parts = step.release().is_some_and(|release| release.parts.is_some());
    match effect {
        Effect::Restamp { packet, to, message_id, persist_duration_ms }
            if has_parts && message_id != *present =>
        {
            Effect::Renew { packet, to, message_id, persist_duration_ms }
        }
        other => other,
    }
}

/// Whether leave came and parts are missing that may be tried again.
pub(super) fn may_go_again(release: &Release) -> bool {
    release.parts.as_ref().is_some_and(|parts| parts.leave_at.is_some() && !parts.are_delivered())
}

/// Sends what could not be delivered, and nothing else.
pub(super) fn send_missing(step: &mut Step, now: Timestamp) {
    let Some(parts) = step.release().and_then(|release| release.parts.as_ref()) else { return };
    step.to_parts = Some(ToParts::Leave(now.plus(Duration::from_millis(parts.part_ms.max(parts.wait_ms)))));
}

/// One of our messages ended: a part, or the answer to a request.
pub(super) fn on_reported(step: &mut Step, report: &Report, now: Timestamp) -> Option<()> {
    match report.kind {
        MessageKind::Part => on_part_ended(step, report, now),
        MessageKind::Request
        | MessageKind::Acknowledgement
        | MessageKind::Continue
        | MessageKind::PartAcknowledgement => request::on_reported(step, report, now),
    }
}

fn on_part_ended(step: &mut Step, report: &Report, now: Timestamp) -> Option<()> {
    step.note_message(report);
    let parts = step.release_mut()?.parts.as_mut()?;
    match (report.fate, report.told_before) {
        (Fate::Stopped, _) | (Fate::Delivered, true) => return Some(()),
        (Fate::Delivered, false) => parts.delivered = parts.delivered.saturating_add(1),
        (_, told) => {
            parts.delivered = parts.delivered.saturating_sub(u32::from(told));
            parts.failed = parts.failed.saturating_add(1);
            let first = parts.failed == 1;
            return on_part_lost(step, first, now);
        }
    }
    let (whole, count) = (parts.are_delivered(), parts.count);
    if whole {
        step.entries.push(What::PartsDelivered { parts: count });
        request::accept_request(step, now);
    }
    Some(())
}

/// A part cannot be delivered: the practice will miss it (A6, TD61). The others go on (LM18), and what the practice then
/// says of the record decides.
fn on_part_lost(step: &mut Step, first: bool, now: Timestamp) -> Option<()> {
    if first && !matches!(step.release()?.state, ReleaseState::Ended { .. }) {
        request::report_loss(step, RequestRefusal::Undelivered, now);
        let words = "a part of the record could not be delivered; the practice will miss it: telephone them";
        step.publish(OutcomeKind::Undelivered, Some("part_undelivered"), words, now);
    }
    Some(())
}

/// The practice answers a part: noted if it is refused; the others go on, and none is ever sent again alone (A17, LM30).
pub(super) fn note_answer(step: &mut Step, ack: &Acknowledgement) {
    if !ack.positive {
        step.entries.push(What::PartAnswered { code: ack.code.clone() });
    }
}

/// The practice has said what became of the record, or an operator stopped it: what did not leave stays (S4).
pub(super) fn stop(step: &mut Step) {
    if step.release().is_some_and(|release| release.parts.as_ref().is_some_and(|p| !p.are_delivered())) {
        step.to_parts = Some(ToParts::Stop);
    }
}

impl Release {
    /// Until when its parts are awaited (LM22), once the extract has a timestamp.
    pub fn parts_until(&self) -> Option<Timestamp> {
        Some(self.parts.as_ref()?.deadline(self.delivery()?))
    }

    /// Who sends: whoever was asked, or the establishment that releases.
    fn sender(&self) -> Option<&OdsCode> {
        let released = || self.order.as_ref().map(|order| &order.establishment);
        self.asked.as_ref().map(|asked| &asked.to).or_else(released)
    }
}

impl Step {
    /// Whether this is a release whose parts still have to go.
    pub(super) fn has_parts_to_go(&self) -> bool {
        match &self.next.case {
            Case::Release(release) => release.parts.as_ref().is_some_and(|parts| !parts.are_delivered()),
            _ => false,
        }
    }
}
