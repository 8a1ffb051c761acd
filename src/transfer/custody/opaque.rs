//! Texts that another system gave a meaning to and that we only carry: masked wherever they may identify a person.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not one of these. The text itself is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct InvalidOpaque {
    /// Which of them.
    pub what: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $accept:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes the text.
            pub fn parse(text: &str) -> Result<Self, InvalidOpaque> {
                let accept: fn(&str) -> bool = $accept;
                if accept(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidOpaque { what: $what, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidOpaque;

            fn try_from(text: String) -> Result<Self, InvalidOpaque> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

/// May identify a person: no `Display`, masked `Debug`, text through `reveal` only.
macro_rules! masked {
    ($($name:ident),+) => {$(
        impl $name {
            /// The text. For a stored record, an outcome or a fetch: never for a log, metric, error or file name.
            pub fn reveal(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(masked)"))
            }
        }
    )+};
}

/// Identifies no person: prints.
macro_rules! open {
    ($($name:ident),+) => {$(
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )+};
}

checked_text!(
    /// A clinical system that publishes events.
    Source, "a source", "1 to 64 of a-z 0-9 . _ -",
    |t| sized(t, 64) && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
);
checked_text!(
    /// One episode of custody, in the words of the clinical system.
    Stay, "a stay", "1 to 64 visible ASCII characters, and not a prison number",
    |t| opaque(t, 64) && !looks_like_prison_number(t)
);
checked_text!(
    /// The clinical system's handle on the person.
    PatientRef, "a patient_ref", "1 to 64 visible ASCII characters, and not a prison number",
    |t| opaque(t, 64) && !looks_like_prison_number(t)
);
checked_text!(
    /// Who did something, as an opaque handle; never a name.
    Actor, "an actor", "1 to 64 visible ASCII characters",
    |t| opaque(t, 64)
);
checked_text!(
    /// Where the record source finds the custody record. What is safe in it is the record source's rule.
    RecordRef, "a record_ref", "1 to 128 visible ASCII characters",
    |t| opaque(t, 128)
);
checked_text!(
    /// The discharge summary that answered a prompt for later entries.
    SummaryRef, "a summary_ref", "1 to 128 visible ASCII characters",
    |t| opaque(t, 128)
);
checked_text!(
    /// A handle on the inquiry into a death; no coroner's or person's name.
    CaseRef, "a case_ref", "1 to 64 visible ASCII characters",
    |t| opaque(t, 64)
);
checked_text!(
    /// What kind of staff took a decision, such as `reception_nurse`; never who.
    StaffRole, "a role", "1 to 64 of a-z 0-9 _ -",
    |t| sized(t, 64) && t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b))
);
checked_text!(
    /// A language, as a BCP 47 tag: `en`, `cy`, `zh-Hant`.
    LanguageTag, "a language", "a BCP 47 tag",
    bcp47
);
masked!(Stay, PatientRef, Actor, RecordRef, SummaryRef, CaseRef);
open!(Source, StaffRole, LanguageTag);

fn sized(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
}

fn opaque(text: &str, most: usize) -> bool {
    sized(text, most) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// A letter, four digits, two letters, in either case and however it is spaced with hyphens, dots or slashes.
fn looks_like_prison_number(text: &str) -> bool {
    let plain: Vec<u8> = text.bytes().filter(|b| b.is_ascii_alphanumeric()).collect();
    matches!(plain.as_slice(), [a, d @ .., y, z] if d.len() == 4
        && d.iter().all(u8::is_ascii_digit)
        && [a, y, z].iter().all(|b| b.is_ascii_alphabetic()))
}

/// Subtags of one to eight letters and digits, the first of two to eight letters (RFC 5646, shape only).
fn bcp47(text: &str) -> bool {
    let mut subtags = text.split('-');
    let language = subtags
        .next()
        .is_some_and(|l| (2..=8).contains(&l.len()) && l.bytes().all(|b| b.is_ascii_alphabetic()));
    language
        && sized(text, 35)
        && subtags.all(|s| sized(s, 8) && s.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prison_number_is_no_stay_and_no_patient_ref() {
        for shaped in ["A1234BC", "a1234bc", "A-1234-BC", "A/1234/BC"] {
            assert!(Stay::parse(shaped).is_err(), "{shaped} has the shape of a prison number");
            assert!(PatientRef::parse(shaped).is_err(), "{shaped} has the shape of a prison number");
        }
        for fit in ["A12345BC", "stay-1234", "7d2f0a3c-5b1e-4c2a-9e4b-0123456789ab", "AB1234C"] {
            assert!(Stay::parse(fit).is_ok(), "{fit} has another shape");
        }
        assert!(
            Stay::parse("").is_err() && Stay::parse(&"s".repeat(65)).is_err() && Stay::parse("a b").is_err()
        );
    }

    #[test]
    fn what_may_identify_a_person_is_masked() {
        assert_eq!(format!("{:?}", Stay::parse("s-77").unwrap()), "Stay(masked)");
        assert_eq!(format!("{:?}", RecordRef::parse("r-77").unwrap()), "RecordRef(masked)");
        assert_eq!(format!("{:?}", Actor::parse("nurse-77").unwrap()), "Actor(masked)");
    }

    #[test]
    fn language_tags_are_checked_for_shape() {
        for tag in ["en", "cy", "zh-Hant", "en-GB", "de-CH-1996"] {
            assert!(LanguageTag::parse(tag).is_ok(), "{tag} is well formed");
        }
        for tag in ["", "e", "english language", "en_GB", "en-", "12"] {
            assert!(LanguageTag::parse(tag).is_err(), "{tag:?} is malformed");
        }
    }
}
