//! Until when the parts of a transfer are awaited (gp2gp reference §4.4, LM04, LM21, LM36).
//!
//! What happens then is the transfer's to say.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;

/// The longest that parts are awaited: the sender gives up by then (§4.4).
pub const LONGEST: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// What both durations are taken for when no directory has ever answered: a TPP extract's time to live (§4.4).
pub const UNKNOWN: Duration = Duration::from_secs(4 * 60 * 60 + 10 * 60);

/// A or B of LM02: a decimal from 0 to 1000 with at most three places, kept in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Factor(u32);

/// The number is no factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a factor must be a number from 0 to 1000")]
pub struct InvalidFactor;

impl Factor {
    /// 1.0, what the specification gives for both.
    pub const ONE: Self = Self(1000);

    fn of(self, duration: Duration) -> u128 {
        duration.as_millis().saturating_mul(u128::from(self.0)) / 1000
    }
}

impl TryFrom<f64> for Factor {
    type Error = InvalidFactor;

    fn try_from(value: f64) -> Result<Self, InvalidFactor> {
        if !(0.0..=1000.0).contains(&value) {
            return Err(InvalidFactor);
        }
        Ok(Self((value * 1000.0).round() as u32))
    }
}

impl From<Factor> for f64 {
    fn from(factor: Factor) -> Self {
        Self::from(factor.0) / 1000.0
    }
}

/// What the timeout is reckoned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// A.
    pub a: Factor,
    /// B.
    pub b: Factor,
    /// The persistDuration of the extract.
    pub extract: Duration,
    /// The persistDuration of a part.
    pub part: Duration,
}

impl Terms {
    /// A and B as specified.
    pub fn new(extract: Duration, part: Duration) -> Self {
        Self { a: Factor::ONE, b: Factor::ONE, extract, part }
    }

    /// T for `parts` messages, an index counting itself and what it lists: N of §4.4.
    pub fn wait(&self, parts: u64) -> Duration {
        let millis = match parts {
            // Without parts A is not asked.
            0 => self.extract.as_millis(),
            parts => {
                self.a.of(self.extract).saturating_add(self.b.of(self.part).saturating_mul(parts.into()))
            }
        };
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)).min(LONGEST)
    }

    /// The moment from which the extract counts as incomplete. `sent` is the ebXML Timestamp of the extract, which counts
    /// as `now`, when it arrived, if it lies in our future.
    pub fn deadline(&self, sent: Timestamp, now: Timestamp, parts: u64) -> Timestamp {
        sent.min(now).plus(self.wait(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn the_example_of_the_specification() {
        // §4.4: three items, one an index with four fragments: N = 7.
        let terms = Terms::new(UNKNOWN, HOUR);
        assert_eq!(terms.wait(7), 11 * HOUR + Duration::from_secs(600));
        let sent = at("2026-03-02T09:00:00Z");
        assert_eq!(terms.deadline(sent, at("2026-03-02T10:00:00Z"), 7), at("2026-03-02T20:10:00Z"));
        assert_eq!(terms.wait(0), UNKNOWN, "without parts");
    }

    #[test]
    fn factors_are_decimals_and_alter_each_term() {
        let factor = |value: f64| Factor::try_from(value).unwrap();
        let terms = Terms { a: factor(1.5), b: factor(0.25), ..Terms::new(2 * HOUR, HOUR) };
        assert_eq!(terms.wait(4), 4 * HOUR);
        assert_eq!(terms.wait(0), 2 * HOUR);
        for wrong in [-0.1, 1000.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Factor::try_from(wrong), Err(InvalidFactor));
        }
        assert_eq!(f64::from(factor(1.25)).to_bits(), 1.25f64.to_bits());
    }

    #[test]
    fn nobody_waits_longer_than_the_sender() {
        // §4.4: 2,658 items at 4 h would be 443 days.
        let terms = Terms::new(4 * HOUR, 4 * HOUR);
        assert_eq!(terms.wait(2_658), LONGEST);
        let endless = Terms::new(Duration::MAX, Duration::MAX);
        assert_eq!(endless.wait(u64::MAX), LONGEST);
        assert_eq!(endless.wait(0), LONGEST);
    }

    #[test]
    fn a_timestamp_in_our_future_counts_as_now() {
        let (now, sent) = (at("2026-03-02T09:00:00Z"), at("2027-03-02T09:00:00Z"));
        assert_eq!(Terms::new(HOUR, HOUR).deadline(sent, now, 0), at("2026-03-02T10:00:00Z"));
    }
}
