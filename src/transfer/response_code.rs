//! The practice's response codes: what each means, whether it ends the transfer, and what an operator does next
//! (gp2gp reference §5). Unknown codes are kept as sent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A code as sent; compared as a number where it is one, since "6" occurs for 06.
#[derive(Debug, Clone, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResponseCode(String);

/// Already there, filed or waiting: changes nothing (12).
pub const DUPLICATE: u16 = 12;
/// The patient is not theirs (06).
pub const NO_SUCH_PATIENT: u16 = 6;
/// PDS names another practice (19).
pub const MOVED_ON: u16 = 19;
/// Never asked for (09).
pub const NOT_REQUESTED: u16 = 9;
/// Their own record kept, ours stored beside it (15).
pub const SUPPRESSED: u16 = 15;

/// Whether an authorised person may send the same record again after this code (gp2gp reference §3.4, §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resend {
    /// The same bytes in the same conversation.
    Allowed,
    /// Only once what stood in the way is removed, or after a call.
    AfterCause,
    /// Never.
    Never,
}

/// What a code on an extract means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The number.
    pub code: u16,
    /// What happened, in plain words.
    pub words: &'static str,
    /// What the operator does next.
    pub next: &'static str,
    /// Whether it may be sent again.
    pub resend: Resend,
}

const fn meaning(code: u16, words: &'static str, next: &'static str, resend: Resend) -> Meaning {
    Meaning { code, words, next, resend }
}

/// Every code of the specification, as the answer to an extract.
const TABLE: &[Meaning] = &[
    meaning(6, "they do not have this patient", "check number and practice; telephone", Resend::Never),
    meaning(7, "their GP2GP is switched off", "telephone; paper if urgent", Resend::AfterCause),
    meaning(9, "they never asked for this record", "wait for their request", Resend::Never),
    meaning(10, "they could not build the record", "ask them to repair", Resend::Never),
    meaning(11, "filing failed at their end", "telephone; they may try again themselves", Resend::Allowed),
    meaning(12, "they already have it, filed or waiting", "wait for the first answer", Resend::Never),
    meaning(13, "a national safety rule blocks this pair", "call the service desk", Resend::Never),
    meaning(
        14,
        "too large for what the directory says they take",
        "check the directory entry",
        Resend::Never,
    ),
    meaning(15, "they kept their own record and stored ours", "nothing", Resend::Never),
    meaning(17, "wrong patient or record (returning)", "treat as an identity incident", Resend::Never),
    meaning(18, "the message was unreadable to them", "report it to the supplier", Resend::Never),
    meaning(19, "PDS names another practice", "check PDS; the person may have moved", Resend::Never),
    meaning(20, "a national service failed", "send again later", Resend::Allowed),
    meaning(
        21,
        "they could not read the record",
        "report it to the supplier; send paper",
        Resend::AfterCause,
    ),
    meaning(23, "they cannot take large records", "send paper", Resend::Never),
    meaning(24, "the directory gave none or several entries", "correct the directory", Resend::AfterCause),
    meaning(25, "it took too long to arrive", "telephone and send again", Resend::Allowed),
    meaning(26, "they kept it only as an attachment", "send paper", Resend::Never),
    meaning(28, "wrong patient or record (new)", "treat as an identity incident", Resend::Never),
    meaning(29, "a part could not be put together", "send the whole record again", Resend::Allowed),
    meaning(
        30,
        "the large record failed, often by its size",
        "check the practice's size limits",
        Resend::AfterCause,
    ),
    meaning(31, "parts were missing or damaged", "send the whole record again", Resend::Allowed),
    meaning(99, "something unexpected", "telephone; paper if the person is moving", Resend::AfterCause),
];

impl ResponseCode {
    /// Takes the code as sent.
    pub fn parse(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The code as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The code as a number, if it is one.
    pub fn number(&self) -> Option<u16> {
        self.0.parse().ok()
    }

    /// What the specification says of it; none for a code it does not know, such as `SEF001`.
    pub fn meaning(&self) -> Option<&'static Meaning> {
        let number = self.number()?;
        TABLE.iter().find(|m| m.code == number)
    }

    /// For an operator: what it means and what to do.
    pub fn words(&self) -> String {
        match self.meaning() {
            Some(m) => format!("code {:02}: {}; next: {}", m.code, m.words, m.next),
            None if matches!(self.0.as_str(), "SEF001" | "SEF002") => {
                format!(
                    "code {}: a national safety rule blocks this pair; next: call the service desk",
                    self.0
                )
            }
            None => format!("code {}: not in the specification, shown as sent; next: telephone", self.0),
        }
    }

    /// Whether an operator may send the record again. For an unknown code a person decides, and asking is deciding.
    pub fn may_resend(&self) -> bool {
        match self.meaning().map(|m| m.resend) {
            Some(Resend::Allowed | Resend::AfterCause) | None => true,
            Some(Resend::Never) => false,
        }
    }
}

impl PartialEq for ResponseCode {
    fn eq(&self, other: &Self) -> bool {
        match (self.number(), other.number()) {
            (Some(a), Some(b)) => a == b,
            (_, _) => self.0 == other.0,
        }
    }
}

impl PartialEq<u16> for ResponseCode {
    fn eq(&self, other: &u16) -> bool {
        self.number() == Some(*other)
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_compare_as_numbers_and_unknown_ones_are_kept() {
        assert_eq!(ResponseCode::parse("6"), ResponseCode::parse("06"), "F16");
        assert_eq!(ResponseCode::parse("12"), DUPLICATE);
        assert!(ResponseCode::parse("205").meaning().is_none());
        assert_eq!(ResponseCode::parse("SEF001").as_str(), "SEF001");
        assert!(ResponseCode::parse("SEF001").words().contains("safety rule"));
    }

    #[test]
    fn nothing_is_sent_again_after_the_record_was_stored_or_the_wrong_person_named() {
        for never in ["12", "15", "17", "28"] {
            assert!(!ResponseCode::parse(never).may_resend(), "{never}");
        }
        for allowed in ["11", "20", "25", "31"] {
            assert!(ResponseCode::parse(allowed).may_resend(), "{allowed}");
        }
    }
}
