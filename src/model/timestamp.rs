//! A moment, to the millisecond, and how the wire writes it.
//!
//! Reading the clock is not done here: see `clock`.

use std::fmt;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, years 1 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// The text is not a moment in RFC 3339 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a timestamp must be in RFC 3339 form with a zone, such as 2026-03-02T09:00:00Z")]
pub struct InvalidTimestamp;

/// The wall clock of HL7 times without a zone: Europe/London, compiled in.
pub fn london() -> TimeZone {
    jiff::tz::get!("Europe/London")
}

impl Timestamp {
    /// The first and last moment we handle, in milliseconds.
    const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_207_200_000;

    /// From milliseconds since the epoch, held to the years 1 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(*Self::RANGE.start(), *Self::RANGE.end()))
    }

    /// Milliseconds since the epoch.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 (`2026-03-02T09:00:00Z`, any offset, any fraction, cut to the millisecond).
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let moment: jiff::Timestamp = text.trim().parse().map_err(|_| InvalidTimestamp)?;
        Ok(Self::from_millis(moment.as_millisecond()))
    }

    /// Later by `duration`.
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; nothing when it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As a `jiff` moment, for calendars.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or_default()
    }

    /// `2026-03-02T09:00:00Z`: UTC, whole seconds, as ebXML headers carry it (wire reference §3.2).
    pub fn to_ebxml(self) -> String {
        self.to_jiff().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// `20260302090000`: UTC, fourteen digits, as HL7 wrappers carry it (wire reference §4.1).
    pub fn to_hl7_utc(self) -> String {
        self.to_jiff().strftime("%Y%m%d%H%M%S").to_string()
    }

    /// Fourteen digits of Europe/London wall clock, as entries of an extract carry it (extract reference §5).
    pub fn to_hl7_london(self) -> String {
        self.to_jiff().to_zoned(london()).strftime("%Y%m%d%H%M%S").to_string()
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms_follow_the_reference() {
        let moment = Timestamp::parse("2026-07-01T09:00:00.250+01:00").unwrap();
        assert_eq!(moment.to_ebxml(), "2026-07-01T08:00:00Z");
        assert_eq!(moment.to_hl7_utc(), "20260701080000");
        assert_eq!(moment.to_hl7_london(), "20260701090000", "London is an hour ahead in July");
        assert_eq!(moment.to_string(), "2026-07-01T08:00:00.25Z");
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_millis(i64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(Timestamp::default().since(end), Duration::ZERO);
        assert!(Timestamp::parse("2026-07-01T09:00:00").is_err(), "a moment needs a zone");
    }
}
