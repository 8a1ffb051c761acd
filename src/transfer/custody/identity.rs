//! Who the person is: the number or why there is none, how far it is trusted, the date of birth.
//!
//! Old and new numbers are never held as a pair (custody reference §4): an identity is one number or none.

use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::word::{Answer, words};
use crate::model::NhsNumber;

/// Who the person is, as the clinical system knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The NHS number, or why there is none.
    pub number: PatientNumber,
    /// Compared with the record source; a difference holds the transfer.
    pub date_of_birth: Option<DateOfBirth>,
    /// Whether PDS marks the person as sensitive: yes ends, unknown waits for PDS facts.
    pub sensitive: Answer,
}

impl Identity {
    /// The NHS number, however far it is trusted.
    pub fn nhs_number(&self) -> Option<&NhsNumber> {
        match &self.number {
            PatientNumber::Known { number, .. } => Some(number),
            PatientNumber::Absent { .. } => None,
        }
    }

    /// The NHS number if it is verified: only such a one may start a transfer (custody reference §3.2).
    pub fn verified_number(&self) -> Option<&NhsNumber> {
        match &self.number {
            PatientNumber::Known { number, status: NumberStatus::Verified } => Some(number),
            PatientNumber::Known { status: NumberStatus::Unverified | NumberStatus::Temporary, .. }
            | PatientNumber::Absent { .. } => None,
        }
    }
}

/// An NHS number and how far it is trusted, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatientNumber {
    /// There is one.
    Known {
        /// The number.
        number: NhsNumber,
        /// How far it is trusted.
        status: NumberStatus,
    },
    /// There is none: an ordinary route.
    Absent {
        /// Why.
        reason: NoNumberReason,
    },
}

words!(
    /// How far an NHS number is trusted.
    NumberStatus {
        /// PDS confirmed it: the only one that may start a transfer.
        Verified = "verified",
        /// Not confirmed by PDS: held.
        Unverified = "unverified",
        /// Issued for the time being.
        Temporary = "temporary",
    }
);
words!(
    /// Why there is no NHS number.
    NoNumberReason {
        /// PDS found nobody.
        NotTraced = "not_traced",
        /// PDS found more than one.
        SeveralMatches = "several_matches",
        /// The person cannot have one.
        NotEligible = "not_eligible",
        /// Tracing is not finished.
        Pending = "pending",
    }
);

/// A date of birth as far as it is known: year, year and month, or day.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DateOfBirth {
    year: i16,
    month: Option<i8>,
    day: Option<i8>,
}

/// The text is not a date of the wanted form. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a date must be YYYY, YYYY-MM or YYYY-MM-DD, not before 1900")]
pub struct InvalidDate;

impl DateOfBirth {
    /// Reads `YYYY`, `YYYY-MM` or `YYYY-MM-DD`, not before 1900. Whether it lies ahead is for the reader to ask
    /// with [`DateOfBirth::earliest`].
    pub fn parse(text: &str) -> Result<Self, InvalidDate> {
        let digits = |t: &str, len: usize| {
            (t.len() == len && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<i16>().ok()).flatten()
        };
        let mut parts = text.split('-');
        let year = parts.next().and_then(|t| digits(t, 4)).filter(|y| *y >= 1900).ok_or(InvalidDate)?;
        let mut two = || match parts.next() {
            None => Ok(None),
            Some(t) => digits(t, 2).and_then(|n| i8::try_from(n).ok()).map(Some).ok_or(InvalidDate),
        };
        let (month, day) = (two()?, two()?);
        let surplus = parts.next().is_some();
        Date::new(year, month.unwrap_or(1), day.unwrap_or(1)).map_err(|_| InvalidDate)?;
        if surplus { Err(InvalidDate) } else { Ok(Self { year, month, day }) }
    }

    /// The first day it may mean.
    pub fn earliest(&self) -> Date {
        Date::new(self.year, self.month.unwrap_or(1), self.day.unwrap_or(1)).unwrap_or(Date::MAX)
    }

    /// Whether both may mean the same day: each is equal as far as both go.
    pub fn agrees_with(&self, other: &Self) -> bool {
        fn fit(a: Option<i8>, b: Option<i8>) -> bool {
            a.zip(b).is_none_or(|(a, b)| a == b)
        }
        self.year == other.year && fit(self.month, other.month) && fit(self.day, other.day)
    }

    /// The date as written. For a message or a stored record only.
    pub fn reveal(&self) -> String {
        match (self.month, self.day) {
            (Some(month), Some(day)) => format!("{:04}-{month:02}-{day:02}", self.year),
            (Some(month), None) => format!("{:04}-{month:02}", self.year),
            (None, _) => format!("{:04}", self.year),
        }
    }
}

impl fmt::Debug for DateOfBirth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DateOfBirth(masked)")
    }
}

impl TryFrom<String> for DateOfBirth {
    type Error = InvalidDate;

    fn try_from(text: String) -> Result<Self, InvalidDate> {
        Self::parse(&text)
    }
}

impl From<DateOfBirth> for String {
    fn from(date: DateOfBirth) -> String {
        date.reveal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_birth_may_be_partial_and_never_print() {
        for text in ["1984", "1984-02", "1984-02-29"] {
            let date = DateOfBirth::parse(text).unwrap();
            assert_eq!(date.reveal(), text);
            assert!(!format!("{date:?}").contains("1984"), "a date of birth does not print");
        }
        for text in [
            "",
            "84",
            "1984-2",
            "1984-13",
            "1983-02-29",
            "1899-12-31",
            "1984-02-29-01",
            "+984",
            "1984-02-29T",
        ] {
            assert!(DateOfBirth::parse(text).is_err(), "{text:?} is no date of birth");
        }
    }

    #[test]
    fn partial_dates_agree_as_far_as_both_go() {
        let day = DateOfBirth::parse("1984-02-29").unwrap();
        assert!(day.agrees_with(&DateOfBirth::parse("1984-02").unwrap()));
        assert!(!day.agrees_with(&DateOfBirth::parse("1984-03").unwrap()));
        assert!(!day.agrees_with(&DateOfBirth::parse("1985").unwrap()));
    }
}
