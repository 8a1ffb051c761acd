//! Rapid moves (gp2gp reference §2.6): what our own reception of a person means for a practice that asks us for the record
//! meanwhile. We are B of A → B → C.
//!
//! Who is found by whom is not decided here: the engine hands over what it knows. What a request does with it is
//! decided by `release`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{OdsCode, Timestamp};
use crate::transfer::custody::Filing;
use crate::transfer::reason::Ending;
use crate::transfer::refusal::Refusal;
use crate::transfer::response_code::{self, ResponseCode};
use crate::transfer::retry::{OVERDUE_AFTER, UNDELIVERED_AFTER};
use crate::transfer::{Reception, ReceptionState};

/// Requests for one person that may wait at once: a person is not registered with eight practices in eight days, and a
/// party that asks again and again must not fill the store.
pub const MOST_PARKED: usize = 8;
/// When a parked request is told of again (S42).
pub const TELL_AGAIN_AFTER: Duration = UNDELIVERED_AFTER;
/// When a parked request is answered by 99 at the latest (§2.6).
pub const PARKED_FOR: Duration = OVERDUE_AFTER;

/// What our own reception of the person means for a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "chain")]
pub enum Chain {
    /// We asked that practice, and its record has not come (case 2).
    Awaited {
        /// Who was asked.
        practice: OdsCode,
    },
    /// Its record lies here, and is not filed yet (case 1).
    Unfiled {
        /// Who sent it.
        practice: OdsCode,
    },
    /// The record that was asked for will not be filed here (case 3).
    Broken {
        /// When the practice answered that the person had moved on (19); none for every other reason.
        moved_on: Option<Timestamp>,
    },
    /// As many requests for the person wait as may.
    Full,
}

impl Chain {
    /// What the reception means; none where nothing of it stands between a request and its answer.
    pub fn of(reception: &Reception) -> Option<Self> {
        let practice = reception.request.as_ref()?.practice.clone();
        let here = reception.arrival.is_some();
        match &reception.state {
            ReceptionState::AwaitingRegistration { .. } => None,
            ReceptionState::Requesting { .. } | ReceptionState::Requested { .. } => {
                Some(Self::Awaited { practice })
            }
            ReceptionState::Receiving { .. }
            | ReceptionState::Filing { .. }
            | ReceptionState::AwaitingDecision { .. } => Some(Self::Unfiled { practice }),
            ReceptionState::Held { .. } if here => Some(Self::Unfiled { practice }),
            ReceptionState::Held { .. } => Some(Self::Awaited { practice }),
            ReceptionState::Acknowledging { ending, .. } => Self::after(ending, None),
            ReceptionState::Ended { ending, at, .. } => Self::after(ending, Some(*at)),
        }
    }

    /// Whether the record may still come or be filed, so that a request waits for it.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Awaited { .. } | Self::Unfiled { .. })
    }

    /// Whether a request that comes now meets a broken chain: for as long as one that had come in time would have waited.
    /// Afterwards what is recorded here is all there is, and is sent.
    pub fn is_broken_for(&self, now: Timestamp) -> bool {
        matches!(self, Self::Broken { moved_on: Some(at) } if now.since(*at) < PARKED_FOR)
    }

    fn after(ending: &Ending, at: Option<Timestamp>) -> Option<Self> {
        let moved_on = match ending {
            // The practice before has nothing, so nothing is missing (06).
            Ending::RequestRefused { code }
                if ResponseCode::parse(code) == response_code::NO_SUCH_PATIENT =>
            {
                return None;
            }
            Ending::RequestRefused { code } if ResponseCode::parse(code) == response_code::MOVED_ON => at,
            Ending::RequestRefused { .. } | Ending::RequestUndelivered | Ending::RequestUnanswered => None,
            Ending::Refused { refusal: Refusal::Duplicate } => return None,
            Ending::Refused { .. } => None,
            Ending::Decided { filing: Filing::Integrated | Filing::Suppressed } => return None,
            Ending::Decided {
                filing: Filing::FiledAsAttachment | Filing::Rejected | Filing::Failed | Filing::Deferred,
            } => None,
            // Nothing was asked, or a person took it back: what is here is whole.
            Ending::NoTransfer { .. } | Ending::NeverConfirmed | Ending::Cancelled => return None,
            // Of releases and of records that nobody asked for.
            Ending::Integrated { .. }
            | Ending::NotIntegrated { .. }
            | Ending::NeverAnswered
            | Ending::NeverDelivered
            | Ending::NeverPrepared
            | Ending::Sensitive
            | Ending::Filed
            | Ending::RequestTurnedDown { .. }
            | Ending::Suppressed => return None,
        };
        Some(Self::Broken { moved_on })
    }
}
