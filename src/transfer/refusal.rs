//! Why a record that arrived is not filed, and the response code its sender is told (gp2gp reference §5).
//!
//! Codes that others send to us are in `response_code`.

use serde::{Deserialize, Serialize};

/// Why a record that arrived is not filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Envelope and signature hold, but the record inside cannot be read (21, Q4).
    Unreadable,
    /// Another extract of the conversation is filed, or about to be (12, Q20): nothing follows from this one.
    Duplicate,
    /// It could not be filed, and an operator gave it up (11, Q13).
    FilingFailed,
    /// A person says that it is another person's, or the wrong record: of a new patient (28, Q14).
    WrongRecord,
    /// The same of a returning patient (17, Q14).
    WrongRecordReturning,
    /// Nobody here asked for it (09, Q21).
    NotRequested,
    /// Not all of its parts came in time (31, Q10, C1).
    PartsMissing,
    /// All of its parts came, and not all can be used (31, Q9).
    PartsDamaged,
    /// The list of its parts contradicts itself, or names more than a record can have (31).
    PartsImpossible,
    /// Our leave to send its parts could not be delivered (20, TD22.5).
    LeaveUndelivered,
    /// We take no records just now (07, TD 7.1.2): it is never processed, even when that changes.
    SwitchedOff,
}

impl Refusal {
    /// The response code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "21",
            Self::Duplicate => "12",
            Self::FilingFailed => "11",
            Self::WrongRecord => "28",
            Self::WrongRecordReturning => "17",
            Self::NotRequested => "09",
            Self::PartsMissing | Self::PartsDamaged | Self::PartsImpossible => "31",
            Self::LeaveUndelivered => "20",
            Self::SwitchedOff => "07",
        }
    }

    /// The reason in one word, for machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Duplicate => "duplicate",
            Self::FilingFailed => "filing_failed",
            Self::WrongRecord | Self::WrongRecordReturning => "wrong_record",
            Self::NotRequested => "not_requested",
            Self::PartsMissing => "parts_missing",
            Self::PartsDamaged => "parts_damaged",
            Self::PartsImpossible => "parts_impossible",
            Self::LeaveUndelivered => "leave_undelivered",
            Self::SwitchedOff => "switched_off",
        }
    }

    /// In words that suit the sender's screen as well as ours.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "the record could not be read",
            Self::Duplicate => "the record of this transfer was received before",
            Self::FilingFailed => "the record could not be filed",
            Self::WrongRecord | Self::WrongRecordReturning => {
                "the record is of another person, or the wrong one"
            }
            Self::NotRequested => "the record was not asked for",
            Self::PartsMissing => "not all parts of the record arrived in time",
            Self::PartsDamaged => "parts of the record arrived damaged",
            Self::PartsImpossible => "the parts that the record lists cannot be its parts",
            Self::LeaveUndelivered => "the parts of the record could not be asked for",
            Self::SwitchedOff => "GP2GP is switched off here",
        }
    }

    /// Whether the sender may send the record again and have it taken (Q19); not once another one stands (Q20).
    pub fn may_come_again(self) -> bool {
        match self {
            Self::Unreadable
            | Self::FilingFailed
            | Self::PartsMissing
            | Self::PartsDamaged
            | Self::PartsImpossible
            | Self::LeaveUndelivered
            | Self::SwitchedOff => true,
            Self::Duplicate | Self::WrongRecord | Self::WrongRecordReturning | Self::NotRequested => false,
        }
    }
}

/// Why a part of a large record is not taken (gp2gp reference §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartRefusal {
    /// It came after the time for it (25, Q11).
    Late,
    /// What it brings, or completes, cannot be put together (29, TD25.2.1).
    Unjoined,
    /// It is not what a part is (30, TD23).
    Malformed,
    /// Nothing awaits it any more (30, §2.4).
    NotAwaited,
}

impl PartRefusal {
    /// The response code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Late => "25",
            Self::Unjoined => "29",
            Self::Malformed | Self::NotAwaited => "30",
        }
    }

    /// In words that suit the sender's screen as well as ours.
    pub fn words(self) -> &'static str {
        match self {
            Self::Late => "the part arrived after the time for it",
            Self::Unjoined => "the part could not be put together",
            Self::Malformed => "the part is not one of a large record",
            Self::NotAwaited => "the part is not awaited",
        }
    }
}

/// Why a practice that asks for a record does not get it (gp2gp reference §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestRefusal {
    /// The request could not be read, or is of the older form (18, TD51.1, S230).
    Unreadable,
    /// The patient is not known here (06, S30).
    UnknownPatient,
    /// PDS names another practice, or none (19, S31).
    AnotherPractice,
    /// The record could not be built, or not within a day (10, S32).
    NotBuilt,
    /// The record does not fit the messages there are (23, TD53.3).
    TooLarge,
    /// The record needs messages of its own for its parts, and the practice's entry takes none (14, TD53.4).
    TakesNoParts,
    /// The record, or a part of it, could not be delivered (20, TD55, TD61).
    Undelivered,
    /// The directory does not know how to reach the practice (24, C11).
    NotInDirectory,
    /// Nobody said within a day what PDS says of the patient now (20, TD51.4.2).
    PdsSilent,
    /// We answer no requests just now (07, TD51.2).
    SwitchedOff,
    /// The practice before did not give us the record, or it was not filed here (99, §2.6).
    ChainBroken,
    /// The record before did not come within eight days (99, §2.6).
    ChainTooSlow,
    /// The practice that asks is the one that we ask (99, F46).
    Loop,
    /// As many requests for the person wait as may (99).
    TooManyWait,
}

impl RequestRefusal {
    /// The response code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "18",
            Self::UnknownPatient => "06",
            Self::AnotherPractice => "19",
            Self::NotBuilt => "10",
            Self::TooLarge => "23",
            Self::TakesNoParts => "14",
            Self::Undelivered => "20",
            Self::NotInDirectory => "24",
            Self::PdsSilent => "20",
            Self::SwitchedOff => "07",
            Self::ChainBroken | Self::ChainTooSlow | Self::Loop | Self::TooManyWait => "99",
        }
    }

    /// In words that suit the practice's screen as well as ours.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "the request could not be read",
            Self::UnknownPatient => "the patient is not known here",
            Self::AnotherPractice => "PDS names another practice as the patient's",
            Self::NotBuilt => "the record could not be built",
            Self::TooLarge => "the record is too large for any messages",
            Self::TakesNoParts => "the record is larger than the practice's system takes",
            Self::Undelivered => "the record could not be delivered whole",
            Self::NotInDirectory => "the directory has no single entry for the practice",
            Self::PdsSilent => "PDS could not be asked in time; ask again later",
            Self::SwitchedOff => "GP2GP is switched off here",
            Self::ChainBroken => "the record from the practice before never reached us; ask for paper",
            Self::ChainTooSlow => {
                "the record from the practice before did not reach us in time; ask for paper"
            }
            Self::Loop => "we asked you for this record and do not have it; yours is the newest",
            Self::TooManyWait => "too many practices ask for this record at once; telephone",
        }
    }
}
