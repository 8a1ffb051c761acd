//! How a length of time and a number of bytes are written in settings: `"4h 10m"`, `"5 MB"`.
//!
//! Nothing here knows what a setting means. Months and years are not units: their length depends on the calendar.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time: `500ms`, `90s`, `15m`, `4h 10m`, `84d`, `12w`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(Duration);

/// A number of bytes: `4096`, `500 kB`, `5 MB`, `256 MiB`, `1 GB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// Why a text is neither a length of time nor a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUnit {
    /// Not a length of time.
    #[error("a length of time is written as 500ms, 90s, 15m, 4h 10m, 7d or 12w")]
    Span,
    /// Not a size.
    #[error("a size is written as 4096, 500 kB, 5 MB, 256 MiB or 1 GB")]
    Size,
}

impl Span {
    /// Whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// Whole minutes.
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// Whole hours.
    pub const fn hours(hours: u64) -> Self {
        Self::minutes(hours * 60)
    }

    /// Days of twenty-four hours.
    pub const fn days(days: u64) -> Self {
        Self::hours(days * 24)
    }

    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

/// Largest unit first, in milliseconds.
const SPAN_UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// What no setting needs to exceed: a century.
const LONGEST: u64 = 100 * 366 * 86_400_000;

impl FromStr for Span {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(InvalidUnit::Span);
        }
        let mut millis = 0u64;
        while !rest.is_empty() {
            let (number, after) = leading_number(rest).ok_or(InvalidUnit::Span)?;
            let unit_end = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let factor = SPAN_UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidUnit::Span)?.1;
            let part = number.checked_mul(factor).ok_or(InvalidUnit::Span)?;
            millis = millis.checked_add(part).filter(|m| *m <= LONGEST).ok_or(InvalidUnit::Span)?;
            rest = after.trim_start();
        }
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return f.write_str("0s");
        }
        let mut between = "";
        // Weeks are read but not written: "84d" is how the rules of GP2GP speak.
        for (unit, factor) in SPAN_UNITS.into_iter().skip(1) {
            if millis >= factor {
                write!(f, "{between}{}{unit}", millis / factor)?;
                millis %= factor;
                between = " ";
            }
        }
        Ok(())
    }
}

impl Size {
    /// Whole bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Mebibytes, 1,048,576 bytes each.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// How many bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// How many bytes, as a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Largest unit first, binary before decimal so that what was written as one is printed as that one.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("", 1),
];

impl FromStr for Size {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let (number, unit) = leading_number(text.trim()).ok_or(InvalidUnit::Size)?;
        let unit = if unit.eq_ignore_ascii_case("b") { "" } else { unit };
        let known =
            SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or(InvalidUnit::Size)?;
        number.checked_mul(known.1).map(Self).ok_or(InvalidUnit::Size)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZE_UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match whole {
            Some(("", _)) | None => write!(f, "{}", self.0),
            Some((unit, factor)) => write!(f, "{} {unit}", self.0 / factor),
        }
    }
}

/// The digits at the start, as a number, and what follows them without leading blanks.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest.trim_start()))
}

macro_rules! written_as_text {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

written_as_text!(Span);
written_as_text!(Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_read_and_written_back() {
        let table = [
            ("500ms", 500),
            ("90s", 90_000),
            ("4h 10m", 15_000_000),
            ("4h10m", 15_000_000),
            ("84d", 7_257_600_000),
            ("12w", 7_257_600_000),
        ];
        for (text, millis) in table {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.duration(), Duration::from_millis(millis), "{text}");
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span, "what is written is read again");
        }
        assert_eq!("12w".parse::<Span>().unwrap().to_string(), "84d");
        for bad in ["", "15", "m", "1 month", "-5s", "1.5h", "99999999999999999999s", "200000d"] {
            assert_eq!(bad.parse::<Span>(), Err(InvalidUnit::Span), "{bad} is no length of time");
        }
    }

    #[test]
    fn a_size_is_read_and_written_back() {
        let table = [
            ("4096", 4096),
            ("5 MB", 5_000_000),
            ("256MiB", 268_435_456),
            ("1 gb", 1_000_000_000),
            ("7 B", 7),
        ];
        for (text, bytes) in table {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.as_u64(), bytes, "{text}");
            assert_eq!(size.to_string().parse::<Size>().unwrap(), size, "what is written is read again");
        }
        for bad in ["", "MB", "5 parsecs", "-1", "99999999999 GiB"] {
            assert_eq!(bad.parse::<Size>(), Err(InvalidUnit::Size), "{bad} is no size");
        }
    }
}
