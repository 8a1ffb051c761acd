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
    /// The same, but only once what stood in the way is removed.
    AfterCause,
    /// One more time, after a call.
    Once,
    /// Not this one: the practice asks anew, in a conversation of its own.
    NewRequest,
    /// Never.
    Never,
}

/// Whether a code ends the transfer, for reports and paper (gp2gp reference §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closes {
    /// It does not: another answer follows.
    No,
    /// It does, and many recover all the same.
    Softly,
    /// It does. What still comes is honoured (C9).
    Yes,
    /// It ends it as filed.
    AsFiled,
}

/// Which message a code answers; who sends it follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// The requester's request: the sender answers.
    Request,
    /// A part of a large record: the requester answers.
    Part,
    /// The extract: the requester answers.
    Extract,
}

/// What a code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// The number.
    pub code: u16,
    /// The messages it may answer; a peer that uses it on another is read all the same.
    pub answers: &'static [Answers],
    /// What happened, in plain words.
    pub words: &'static str,
    /// What the operator does next.
    pub next: &'static str,
    /// Whether it ends the transfer.
    pub closes: Closes,
    /// Whether it may be sent again.
    pub resend: Resend,
}

const fn meaning(
    code: u16,
    answers: &'static [Answers],
    (words, next): (&'static str, &'static str),
    closes: Closes,
    resend: Resend,
) -> Meaning {
    Meaning { code, answers, words, next, closes, resend }
}

const REQUEST: &[Answers] = &[Answers::Request];
const PART: &[Answers] = &[Answers::Part];
const EXTRACT: &[Answers] = &[Answers::Extract];
const ENDS: &[Answers] = &[Answers::Request, Answers::Extract];
const RECORD: &[Answers] = &[Answers::Part, Answers::Extract];
const ANY: &[Answers] = &[Answers::Request, Answers::Part, Answers::Extract];

/// Every code of the specification, by number.
const TABLE: &[Meaning] = {
    use Closes::{AsFiled, No, Softly, Yes};
    use Resend::{AfterCause, Allowed, Never, NewRequest, Once};
    const IDENTITY: &str = "treat as an identity incident";
    &[
        meaning(
            6,
            REQUEST,
            ("they do not have this patient", "check number and practice; telephone"),
            Yes,
            NewRequest,
        ),
        meaning(7, ANY, ("their GP2GP is switched off", "telephone; paper if urgent"), Yes, AfterCause),
        meaning(9, EXTRACT, ("they never asked for this record", "wait for their request"), Yes, Never),
        meaning(10, REQUEST, ("they could not build the record", "ask them to repair"), Yes, NewRequest),
        meaning(
            11,
            EXTRACT,
            ("filing failed at their end", "telephone; they may try again themselves"),
            Softly,
            Allowed,
        ),
        meaning(
            12,
            EXTRACT,
            ("they already have it, filed or waiting", "wait for the first answer"),
            No,
            Never,
        ),
        meaning(
            13,
            REQUEST,
            ("a national safety rule blocks this pair", "call the service desk"),
            Yes,
            Never,
        ),
        meaning(
            14,
            REQUEST,
            ("too large for what the directory says they take", "check the directory entry"),
            Yes,
            NewRequest,
        ),
        meaning(15, EXTRACT, ("they kept their own record and stored ours", "nothing"), AsFiled, Never),
        meaning(17, EXTRACT, ("wrong patient or record (returning)", IDENTITY), Yes, Never),
        meaning(
            18,
            REQUEST,
            ("the message was unreadable to them", "report it to the supplier"),
            Yes,
            NewRequest,
        ),
        meaning(
            19,
            REQUEST,
            ("PDS names another practice", "check PDS; the person may have moved"),
            Yes,
            NewRequest,
        ),
        meaning(20, ENDS, ("a national service failed", "send again later"), Softly, Allowed),
        meaning(
            21,
            EXTRACT,
            ("they could not read the record", "report it to the supplier; send paper"),
            Yes,
            AfterCause,
        ),
        meaning(23, REQUEST, ("they cannot send or take large records", "send paper"), Yes, Never),
        meaning(
            24,
            REQUEST,
            ("the directory gave none or several entries", "correct the directory"),
            Yes,
            NewRequest,
        ),
        meaning(25, RECORD, ("it took too long to arrive", "telephone and send again"), Yes, Allowed),
        meaning(26, EXTRACT, ("they kept it only as an attachment", "send paper"), Yes, Never),
        meaning(28, EXTRACT, ("wrong patient or record (new)", IDENTITY), Yes, Never),
        meaning(
            29,
            PART,
            ("a part could not be put together", "wait for 31, then send the whole record again"),
            No,
            Allowed,
        ),
        meaning(
            30,
            ANY,
            ("the large record failed, often by its size", "check the practice's size limits"),
            Yes,
            AfterCause,
        ),
        meaning(31, EXTRACT, ("parts were missing or damaged", "send the whole record again"), Yes, Allowed),
        meaning(99, ANY, ("something unexpected", "telephone; paper if the person is moving"), Yes, Once),
    ]
};

/// Codes of older versions (S266): each is shown as it came.
const DEPRECATED: [u16; 8] = [1, 2, 3, 4, 5, 8, 16, 27];

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
            None if self.number().is_some_and(|number| DEPRECATED.contains(&number)) => {
                format!(
                    "code {}: of an older version of the specification; next: telephone; paper if the person is moving",
                    self.0
                )
            }
            None => format!("code {}: not in the specification, shown as sent; next: telephone", self.0),
        }
    }

    /// Whether an operator may send the record again. After a code that the specification does not know: by no means, a
    /// person decides and the practice asks anew (§5).
    pub fn resend(&self) -> Resend {
        self.meaning().map_or(Resend::Never, |meaning| meaning.resend)
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
mod tests;
