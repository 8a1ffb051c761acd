//! When the next copy goes: the contract's quick retries, then the long ladder. Pure: jitter is a hash of
//! (transfer, attempt), so the same transfer always waits the same, and a thousand do not wait alike.
//!
//! Which answer deserves a retry is not decided here: see `verdict`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{TransferId, derived_uuid};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Silence after which a sent extract is reported as not integrated: 691,200 s exactly (S124).
pub const OVERDUE_AFTER: Duration = Duration::from_secs(691_200);
/// Silence after which nothing more is sent: 12 weeks (S6), 84 days being also the slowest transfer seen.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(84 * 24 * 60 * 60);
/// How long an ended transfer still listens for a late acknowledgement (gp2gp reference §6).
pub const LISTEN_FOR: Duration = GIVE_UP_AFTER;
/// An extract not delivered by then is reported to the operator and the custody system (S287).
pub const UNDELIVERED_AFTER: Duration = DAY;

/// Failed tries to file a received record after which a person is called. On the ladder below that is between six
/// and eight hours: a disk is given the working day, and nobody waits for a record unawares overnight.
pub const FILING_TRIES: u32 = 10;

/// Quick retries double up to this, until their window closes (wire reference §5.2(4)).
const QUICK_CEILING: Duration = Duration::from_secs(15 * 60);
/// After the window, and between the copies sent while no acknowledgement comes (gp2gp reference §3.5).
const LADDER: [Duration; 4] = [QUICK_CEILING, HOUR, Duration::from_secs(4 * 60 * 60), DAY];
/// A record that cannot be fetched is asked for again at these distances; the last one repeats.
const FETCH_LADDER: [Duration; 5] =
    [Duration::from_secs(5), MINUTE, Duration::from_secs(5 * 60), QUICK_CEILING, HOUR];

/// What the directory says of the delivery of one message (wire reference §5.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// Attempts after the first, before the waits begin to double.
    pub retries: u32,
    /// Spacing of those attempts, in milliseconds.
    pub retry_interval_ms: u64,
    /// How long one transmission may live from its Timestamp, in milliseconds: its TimeToLive.
    pub persist_duration_ms: u64,
    /// Whether copies go on until the practice acknowledges.
    pub repeat: Repeat,
}

/// What follows when a delivered extract stays without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repeat {
    /// The same message, with the same MessageId, on the long ladder: the party eliminates duplicates.
    UntilAcknowledged,
    /// Nothing is sent again by itself: a new copy would draw code 12.
    Never,
}

impl Contract {
    /// Spacing of the quick attempts.
    pub fn retry_interval(&self) -> Duration {
        Duration::from_millis(self.retry_interval_ms)
    }

    /// Life of one transmission.
    pub fn persist_duration(&self) -> Duration {
        Duration::from_millis(self.persist_duration_ms)
    }
}

/// The wait after attempt number `attempt` (from 1) of a message not yet delivered. `in_window` says whether the
/// transmission may still live; `steps` counts the attempts made after its first window closed.
pub fn undelivered(contract: &Contract, attempt: u32, ladder: Option<u32>, transfer: TransferId) -> Duration {
    let wait = match ladder {
        Some(step) => rung(&LADDER, step),
        None if attempt <= contract.retries => contract.retry_interval(),
        None => {
            let doublings = (attempt - contract.retries).min(16);
            contract.retry_interval().saturating_mul(1 << doublings).min(QUICK_CEILING)
        }
    };
    with_jitter(wait, transfer, attempt)
}

/// The wait after copy number `repeat` (from 0) of a message that was delivered but not answered.
pub fn unanswered(repeat: u32, transfer: TransferId) -> Duration {
    with_jitter(rung(&LADDER, repeat), transfer, repeat.wrapping_add(1 << 16))
}

/// The wait after failure number `failures` (from 1) to prepare a packet.
pub fn unprepared(failures: u32, transfer: TransferId) -> Duration {
    with_jitter(rung(&FETCH_LADDER, failures.saturating_sub(1)), transfer, failures.wrapping_add(1 << 20))
}

fn rung(ladder: &[Duration], step: u32) -> Duration {
    let last = ladder.len() - 1;
    ladder[usize::try_from(step).unwrap_or(last).min(last)]
}

/// Adds nought to twenty per cent (wire reference §5.2(4)).
fn with_jitter(wait: Duration, transfer: TransferId, attempt: u32) -> Duration {
    let hash = derived_uuid(&["jitter", &transfer.to_string(), &attempt.to_string()]).as_u128();
    let thousandth = u32::try_from(hash % 1000).unwrap_or(0);
    wait + wait.mul_f64(0.2 * f64::from(thousandth) / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract() -> Contract {
        Contract {
            retries: 2,
            retry_interval_ms: 60_000,
            persist_duration_ms: 86_400_000,
            repeat: Repeat::UntilAcknowledged,
        }
    }

    /// The whole vector, to the rung below the jitter.
    fn floor(waits: impl Iterator<Item = Duration>, rungs: &[u64]) {
        for (n, (wait, rung)) in waits.zip(rungs).enumerate() {
            let seconds = wait.as_secs_f64();
            let low = *rung as f64;
            assert!(
                seconds >= low && seconds <= low * 1.2,
                "wait {n} is {seconds} s, not {low} s and up to a fifth"
            );
        }
    }

    #[test]
    fn quick_retries_follow_the_contract_and_then_double_to_a_quarter_of_an_hour() {
        let id = TransferId::derived(&["t"]);
        let waits = (1..=8).map(|n| undelivered(&contract(), n, None, id));
        floor(waits, &[60, 60, 120, 240, 480, 900, 900, 900]);
    }

    #[test]
    fn after_the_window_the_long_ladder_ends_in_days() {
        let id = TransferId::derived(&["t"]);
        let waits = (0..6).map(|n| undelivered(&contract(), n, Some(n), id));
        floor(waits, &[900, 3_600, 14_400, 86_400, 86_400, 86_400]);
        floor((0..5).map(|n| unanswered(n, id)), &[900, 3_600, 14_400, 86_400, 86_400]);
    }

    #[test]
    fn jitter_repeats_for_one_attempt_and_differs_between_transfers() {
        let (a, b) = (TransferId::derived(&["a"]), TransferId::derived(&["b"]));
        assert_eq!(unanswered(1, a), unanswered(1, a));
        assert_ne!(unanswered(1, a), unanswered(1, b));
    }
}
