//! One party's rest: after several failures in a row nothing but a single probe goes to it, so that a practice that
//! is down costs one attempt at a time and not a thousand. Pure; held in memory only, because forgetting it costs
//! one attempt.

use std::time::Duration;

use crate::model::Timestamp;

/// Failures in a row after which a party rests. One above the usual contract's attempts (1 + 2 retries), so that a
/// single transfer's quick retries never rest a party.
const PATIENCE: u32 = 4;
/// The first rest; doubles to the ceiling while probes fail.
const FIRST_REST: Duration = Duration::from_secs(1);
/// Short enough that a recovered party is found within half a minute.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// What we know of one party's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Breaker {
    /// Attempts go freely; so many have failed in a row.
    #[default]
    Closed,
    /// Attempts go freely, but the last so many failed.
    Failing(u32),
    /// Nothing goes before `until`; then one probe.
    Resting {
        /// When the next probe may go.
        until: Timestamp,
        /// How many rests there were in a row, this one included.
        rests: u32,
    },
}

impl Breaker {
    /// The party answered: whatever it said, it is there.
    pub fn answered(&mut self) {
        *self = Self::Closed;
    }

    /// The party could not be reached or did not answer.
    pub fn failed(&mut self, now: Timestamp) {
        *self = match *self {
            Self::Closed => Self::Failing(1),
            Self::Failing(times) if times + 1 < PATIENCE => Self::Failing(times + 1),
            Self::Failing(_) => Self::resting(now, 1),
            // Attempts that were under way when the rest began do not prolong it.
            Self::Resting { until, .. } if now < until => return,
            Self::Resting { rests, .. } => Self::resting(now, rests.saturating_add(1)),
        };
    }

    fn resting(now: Timestamp, rests: u32) -> Self {
        let rest = FIRST_REST.saturating_mul(1 << (rests - 1).min(10)).min(LONGEST_REST);
        Self::Resting { until: now.plus(rest), rests }
    }

    /// The moment before which nothing may go, if the party rests.
    pub fn resting_until(&self) -> Option<Timestamp> {
        match self {
            Self::Resting { until, .. } => Some(*until),
            Self::Closed | Self::Failing(_) => None,
        }
    }

    /// How many may be under way at once, given the party's own limit.
    pub fn allowance(&self, limit: usize) -> usize {
        match self {
            Self::Closed | Self::Failing(_) => limit,
            Self::Resting { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_rests_after_four_failures_and_is_probed_ever_more_rarely() {
        let mut breaker = Breaker::default();
        let start = Timestamp::default();
        for _ in 0..3 {
            breaker.failed(start);
            assert_eq!(breaker.resting_until(), None);
        }
        breaker.failed(start);
        assert_eq!(breaker.resting_until(), Some(start.plus(Duration::from_secs(1))));
        breaker.failed(start);
        assert_eq!(
            breaker.resting_until(),
            Some(start.plus(Duration::from_secs(1))),
            "a straggler changes nothing"
        );
        let mut now;
        let mut rests = Vec::new();
        for _ in 0..7 {
            now = breaker.resting_until().unwrap();
            breaker.failed(now);
            rests.push(breaker.resting_until().unwrap().since(now).as_secs());
        }
        assert_eq!(rests, [2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(breaker.allowance(64), 1, "one probe at a time");
        breaker.answered();
        assert_eq!(breaker.allowance(64), 64);
    }
}
