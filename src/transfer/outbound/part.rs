//! A part of a record that waits for leave, goes, and is answered (LM13, LM18, S4).

use super::{Fate, Outbound, OutboundState, PartAnswer, Saying};
use crate::model::{OdsCode, Timestamp};
use crate::transfer::Step;
use crate::transfer::delivery::Delivery;
use crate::transfer::dispatch::Dispatch;
use crate::transfer::event::{Acknowledgement, PreparedPart};
use crate::transfer::retry::{self, Contract};

/// The practice gives leave: the part goes, with as much time as the record has left. One that is on its way or was
/// delivered stays as it is (§3.7, a second Continue); one that could not be delivered is tried again.
pub(super) fn on_leave(step: &mut Step, until: Timestamp, now: Timestamp) {
    let Some(outbound) = step.outbound() else { return };
    let dispatch = match &outbound.state {
        OutboundState::Waiting { transmission, contract } => {
            let dispatch = transmission.clone().dispatch(outbound.to.clone(), contract.clone(), now);
            Dispatch { part: true, ..dispatch }
        }
        OutboundState::Ended { how: Fate::GaveUp | Fate::Refused(_), delivery: Some(delivery), .. } => {
            let mut dispatch = delivery.dispatch.clone();
            dispatch.begin_again(now);
            dispatch
        }
        OutboundState::Composing { .. } | OutboundState::Delivering { .. } | OutboundState::Ended { .. } => {
            return;
        }
    };
    outbound.state = OutboundState::Delivering { delivery: Delivery::begin(dispatch, now) };
    outbound.give_up_at = until;
}

/// What has not left is not wanted any more (S4). An attempt under way may still end well.
pub(super) fn on_stop(step: &mut Step, now: Timestamp) {
    let Some(outbound) = step.outbound() else { return };
    match &outbound.state {
        OutboundState::Ended { .. } => {}
        OutboundState::Composing { .. }
        | OutboundState::Waiting { .. }
        | OutboundState::Delivering { .. } => {
            step.end_outbound(Fate::Stopped, now);
        }
    }
}

/// The practice answered the part: AA beats a code (§2.4).
pub(super) fn on_part_answered(step: &mut Step, ack: &Acknowledgement) -> Option<()> {
    let Saying::Part { answer, .. } = &mut step.outbound()?.saying else { return None };
    let code = || ack.code.clone().unwrap_or_else(|| "unknown".to_owned());
    if ack.positive {
        *answer = Some(PartAnswer::Taken);
    } else if *answer != Some(PartAnswer::Taken) {
        *answer = Some(PartAnswer::Refused(code()));
    }
    Some(())
}

impl Step {
    /// Keeps a part of the record until the practice gives leave to send it.
    pub(in crate::transfer) fn keep_part(
        &mut self,
        part: &PreparedPart,
        ends: (OdsCode, OdsCode),
        contract: &Contract,
        now: Timestamp,
    ) {
        let parent = self.next.id;
        let saying = Saying::Part { part: part.kind, answer: None };
        let message_id = part.transmission.message_id.clone();
        let state =
            OutboundState::Waiting { transmission: part.transmission.clone(), contract: contract.clone() };
        let give_up_at = now.plus(retry::LISTEN_FOR);
        let outbound = Outbound { state, ..Outbound::new(parent, saying, ends, message_id, give_up_at, now) };
        self.set_out(outbound, now);
    }
}
