//! The parts of a step that only releases use: what is true next, and who is told.

use super::{Release, ReleaseState, Reported};
use crate::model::{MessageId, Timestamp};
use crate::transfer::delivery::{self, Delivery};
use crate::transfer::journal::What;
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::{Ending, Hold};
use crate::transfer::retry::LISTEN_FOR;
use crate::transfer::{Case, Step};

impl Step {
    pub(super) fn release(&self) -> Option<&Release> {
        match &self.next.case {
            Case::Release(release) => Some(release),
            Case::Received(_) | Case::Reception(_) | Case::Outbound(_) | Case::Noted(_) => None,
        }
    }

    pub(super) fn release_mut(&mut self) -> Option<&mut Release> {
        match &mut self.next.case {
            Case::Release(release) => Some(release),
            Case::Received(_) | Case::Reception(_) | Case::Outbound(_) | Case::Noted(_) => None,
        }
    }

    pub(super) fn delivering(&mut self) -> Option<&mut Delivery> {
        match &mut self.release_mut()?.state {
            ReleaseState::Delivering { delivery } => Some(delivery),
            ReleaseState::AwaitingConfirmation { .. }
            | ReleaseState::Parked { .. }
            | ReleaseState::Preparing { .. }
            | ReleaseState::AwaitingAcknowledgement { .. }
            | ReleaseState::Held { .. }
            | ReleaseState::Ended { .. } => None,
        }
    }

    pub(super) fn release_state(&mut self, state: ReleaseState) {
        if let Some(release) = self.release_mut() {
            release.state = state;
        }
    }

    pub(super) fn remember(&mut self, message_id: MessageId) {
        if let Some(release) = self.release_mut()
            && !release.message_ids.contains(&message_id)
        {
            release.message_ids.push(message_id);
        }
    }

    pub(super) fn hold(&mut self, hold: Hold, now: Timestamp) {
        let mut delivery = self.release().and_then(Release::delivery).cloned();
        if let Some(delivery) = &mut delivery {
            delivery.phase = delivery::Phase::Queued { due: now, why: None };
        }
        self.release_state(ReleaseState::Held { hold, delivery });
        self.entries.push(What::Held { hold });
        self.publish(OutcomeKind::Held, Some(hold.code()), &hold.words(), now);
    }

    pub(super) fn end(&mut self, ending: Ending, now: Timestamp) {
        let delivery = self.release().and_then(Release::delivery).cloned();
        let kind = match &ending {
            Ending::Integrated { .. } => OutcomeKind::Integrated,
            Ending::Suppressed => OutcomeKind::Suppressed,
            Ending::NotIntegrated { .. } | Ending::NeverAnswered => OutcomeKind::NotIntegrated,
            Ending::NeverDelivered | Ending::NeverPrepared => OutcomeKind::Undelivered,
            Ending::NeverConfirmed | Ending::Cancelled => OutcomeKind::Cancelled,
            Ending::Sensitive => OutcomeKind::Refused,
            Ending::Filed => OutcomeKind::Filed,
            Ending::Refused { .. } | Ending::RequestRefused { .. } | Ending::RequestUnanswered => {
                OutcomeKind::NotFiled
            }
            Ending::RequestUndelivered => OutcomeKind::Undelivered,
            Ending::NoTransfer { why } => why.outcome(),
            Ending::RequestTurnedDown { .. } => OutcomeKind::Refused,
            Ending::Decided { .. } => OutcomeKind::Filed,
        };
        let words = ending.words();
        let reason = ending.label();
        self.entries.push(What::Ended { ending: ending.clone() });
        let listen_until = Some(now.plus(LISTEN_FOR));
        self.release_state(ReleaseState::Ended { ending, delivery, at: now, listen_until });
        super::parts::stop(self);
        self.publish(kind, Some(reason), &words, now);
    }

    /// Failure is reported once; the work goes on.
    pub(super) fn report(&mut self, report: Reported, now: Timestamp) {
        if let Some(release) = self.release_mut() {
            release.reported = report;
        }
        let (what, kind, words) = match report {
            Reported::Nothing => return,
            Reported::Undelivered => {
                (What::Undelivered, OutcomeKind::Undelivered, "not delivered within a day")
            }
            Reported::NoLeave => (
                What::NoLeave,
                OutcomeKind::Undelivered,
                "the practice gave no leave to send the parts of the record",
            ),
            Reported::Overdue => (What::Overdue, OutcomeKind::Overdue, "no answer within eight days"),
        };
        self.entries.push(what);
        self.publish(kind, None, words, now);
    }
}
