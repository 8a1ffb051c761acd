//! ISO 8601 durations (`PT1M`, `PT0.5S`, `P7D`) as contracts write them.

use std::time::Duration;

use jiff::{SpanRelativeTo, Unit};
use serde::Deserialize;

use super::EntryError;

/// A duration in days or smaller units, a day being 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct IsoDuration(Duration);

impl IsoDuration {
    /// The given duration or `default` seconds; longer than none and at most `most` seconds.
    pub(super) fn within(
        given: Option<Self>,
        field: &'static str,
        default: u64,
        most: u64,
    ) -> Result<Duration, EntryError> {
        let duration = given.map_or(Duration::from_secs(default), |d| d.0);
        if duration.is_zero() || duration > Duration::from_secs(most) {
            let rule = "longer than nothing and at most a day (retry_interval) or 84 days (persist_duration)";
            return Err(EntryError::OutOfBounds { field, rule });
        }
        Ok(duration)
    }
}

impl TryFrom<String> for IsoDuration {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const RULE: &str =
            "a duration must be in ISO 8601 form with days or smaller units, such as PT1M or P7D";
        let iso = text.starts_with('P');
        let span: jiff::Span = text.parse().map_err(|_| RULE)?;
        let months = span.get_years() != 0 || span.get_months() != 0;
        let days = SpanRelativeTo::days_are_24_hours();
        match (iso && !months).then(|| span.total((Unit::Millisecond, days))) {
            Some(Ok(millis)) if (0.0..=1e13).contains(&millis) => {
                Ok(Self(Duration::from_millis(millis as u64)))
            }
            Some(_) | None => Err(RULE),
        }
    }
}
