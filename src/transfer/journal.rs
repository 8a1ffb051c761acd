//! The timeline of a transfer: what happened, when, and who did it. Kept for ever, so it names no person.

use serde::{Deserialize, Serialize};

use crate::model::{OdsCode, Timestamp, TransferId};
use crate::transfer::custody::Filing;
use crate::transfer::event::Act;
use crate::transfer::outbound::{Fate, MessageKind};
use crate::transfer::outcome::Completeness;
use crate::transfer::reason::{Delay, Ending, Hold, PrepareFault};
use crate::transfer::refusal::{PartRefusal, Refusal, RequestRefusal};
use crate::transfer::verdict::Verdict;

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it was recorded.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum What {
    /// A custody event opened the transfer or joined it.
    Event {
        /// Its kind.
        kind: String,
        /// Its number within the stay.
        seq: u64,
    },
    /// A custody event was recorded without changing anything.
    Noted {
        /// Its kind, and why nothing changed.
        kind: String,
    },
    /// The packet was assembled.
    Prepared {
        /// Its size.
        bytes: u64,
        /// Documents in it.
        attachments: u32,
        /// Placeholders among them.
        placeholders: u32,
        /// What became of each entry.
        completeness: Completeness,
        /// Whether it is signed.
        signed: bool,
    },
    /// The packet could not be assembled.
    Unprepared {
        /// Why.
        fault: PrepareFault,
    },
    /// An attempt began.
    Attempt {
        /// Counted from 1.
        number: u32,
    },
    /// The service stopped while an attempt was under way.
    InDoubt {
        /// Counted from 1.
        number: u32,
    },
    /// An attempt was answered.
    Answer {
        /// The attempt.
        number: u32,
        /// What the answer means.
        verdict: Verdict,
        /// How long the exchange took, in milliseconds.
        took_ms: u64,
    },
    /// The party answered by a message of its own.
    LateSignal {
        /// What it means.
        verdict: Verdict,
    },
    /// It waits.
    Waiting {
        /// Until when.
        until: Timestamp,
        /// Why.
        why: Delay,
    },
    /// The packet got a new timestamp.
    Restamped {
        /// Until when it may go out.
        expires_at: Timestamp,
        /// Whether it got a new MessageId too.
        fresh_identity: bool,
    },
    /// The practice answered.
    Acknowledgement {
        /// Whether it filed the record.
        positive: bool,
        /// The response code as sent.
        code: Option<String>,
        /// Whether it changed anything.
        counts: bool,
    },
    /// An extract arrived.
    Arrived {
        /// Its size.
        bytes: u64,
        /// Documents in it.
        attachments: u32,
        /// Whether its signature was verified.
        signed: bool,
    },
    /// The extract has parts that come by themselves, and leave to send them is on its way.
    Awaiting {
        /// How many are known to be to come.
        parts: u64,
        /// Until when they are awaited.
        until: Timestamp,
    },
    /// All parts are here.
    Gathered {
        /// How many.
        parts: u64,
        /// Their octets.
        bytes: u64,
    },
    /// A part is not taken, and its sender is told.
    PartRefused {
        /// Why.
        why: PartRefusal,
    },
    /// The practice gave leave to send the parts.
    Continued {
        /// How many there are.
        parts: u32,
        /// Whether it changed anything.
        counts: bool,
    },
    /// All parts were delivered.
    PartsDelivered {
        /// How many.
        parts: u32,
    },
    /// The practice answered a part with a code.
    PartAnswered {
        /// The response code as sent.
        code: Option<String>,
    },
    /// No leave to send the parts came in time: reported (A10, LM22).
    NoLeave,
    /// A practice asks for the record.
    Asked {
        /// Who.
        practice: OdsCode,
    },
    /// The request waits for our own reception of the person (§2.6).
    Parked {
        /// The practice whose record is waited for.
        practice: OdsCode,
    },
    /// A day passed, and the request waits on: reported (S42).
    StillParked,
    /// Another reception asked for this person's record, and this one joins it (gate 14).
    Joined {
        /// Which.
        transfer: TransferId,
    },
    /// Entries were made after the record was sent: reported, since no second version may go (S43, S128).
    SummaryWanted {
        /// How many.
        entries: u32,
    },
    /// It was not sent again: PDS must be asked first, or names another practice (S6, S46).
    NotSentAgain {
        /// What the practice would be told; none while PDS is to be asked.
        why: Option<RequestRefusal>,
    },
    /// A practice's request is turned down, and it is told so.
    RequestRefused {
        /// Why.
        why: RequestRefusal,
    },
    /// The record is asked for.
    Requesting {
        /// Of whom.
        practice: OdsCode,
    },
    /// The practice answered our request.
    RequestAnswered {
        /// Whether it sends the record.
        positive: bool,
        /// The response code as sent.
        code: Option<String>,
        /// Whether it changed anything.
        counts: bool,
    },
    /// A message that goes its own way ended.
    Message {
        /// Of what kind it was.
        kind: MessageKind,
        /// How it ended.
        #[serde(flatten)]
        fate: Fate,
        /// Attempts it took.
        attempts: u32,
    },
    /// A day passed without the record that was asked for: reported.
    Silent,
    /// It was decided what became of the record: by the clinical system, an operator or the settings, as told before.
    Decided {
        /// What.
        filing: Filing,
    },
    /// Nobody has decided on the record: reported (S79).
    Undecided,
    /// A received record was put where the clinical system takes it from.
    Filed,
    /// A received record will not be filed, and its sender is told.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// Waits for a person.
    Held {
        /// Why.
        #[serde(flatten)]
        hold: Hold,
    },
    /// Not delivered a day after the first attempt: reported.
    Undelivered,
    /// Not answered eight days after it was sent: reported (S124).
    Overdue,
    /// It ended.
    Ended {
        /// How.
        #[serde(flatten)]
        ending: Ending,
    },
    /// It stopped listening for late answers.
    Closed,
    /// An operator acted.
    Act {
        /// What, why and who.
        #[serde(flatten)]
        act: Act,
    },
}

impl What {
    /// One line for an operator.
    pub fn words(&self) -> String {
        match self {
            Self::Event { kind, seq } => format!("custody event: {kind} (number {seq} of the stay)"),
            Self::Noted { kind } => format!("noted: {kind}"),
            Self::Prepared { bytes, attachments, placeholders, completeness: c, signed } => format!(
                "packet assembled: {bytes} bytes, {attachments} documents ({placeholders} placeholders), {}; entries: {} mapped, {} merged, {} degraded, {} not clinical",
                if *signed { "signed" } else { "unsigned" },
                c.mapped,
                c.merged,
                c.degraded,
                c.not_clinical
            ),
            Self::Unprepared { fault } => format!("packet not assembled: {}", fault.words()),
            Self::Attempt { number } => format!("attempt {number} begins"),
            Self::InDoubt { number } => {
                format!("attempt {number} in doubt: the service stopped while it was under way")
            }
            Self::Answer { number, verdict, took_ms } => {
                format!("attempt {number} answered after {took_ms} ms: {}", verdict.words())
            }
            Self::LateSignal { verdict } => format!("answered by a message of its own: {}", verdict.words()),
            Self::Waiting { until, why } => format!("waits until {until}: {}", why.words()),
            Self::Restamped { expires_at, fresh_identity } => format!(
                "same record in a new envelope, valid until {expires_at}{}",
                if *fresh_identity { ", with a new message id" } else { "" }
            ),
            Self::Acknowledgement { positive, code, counts } => {
                let answer = match (positive, code) {
                    (true, _) => "the practice filed the record".to_owned(),
                    (false, Some(code)) => format!("the practice answered code {code}"),
                    (false, None) => "the practice refused without a code".to_owned(),
                };
                if *counts { answer } else { format!("{answer}; this changes nothing") }
            }
            Self::Arrived { bytes, attachments, signed } => format!(
                "extract arrived: {bytes} bytes, {attachments} documents, {}",
                if *signed { "signature verified" } else { "unsigned as agreed" }
            ),
            Self::Awaiting { parts, until } => {
                format!("{parts} parts to come, awaited until {until}; leave to send them is on its way")
            }
            Self::Gathered { parts, bytes } => format!("all {parts} parts are here: {bytes} bytes"),
            Self::PartRefused { why } => {
                format!("a part is not taken, and its sender is told code {}: {}", why.code(), why.words())
            }
            Self::Continued { parts, counts: true } => format!("leave came to send the {parts} parts"),
            Self::Continued { counts: false, .. } => "leave came again; this changes nothing".to_owned(),
            Self::PartsDelivered { parts } => format!("all {parts} parts were delivered"),
            Self::PartAnswered { code } => {
                format!("the practice answered a part with code {}", code.as_deref().unwrap_or("unknown"))
            }
            Self::NoLeave => "no leave to send the parts came in time; reported".to_owned(),
            Self::Asked { practice } => format!("{practice} asks for the record"),
            Self::Parked { practice } => {
                format!("the request waits until the record from {practice} is filed here or refused")
            }
            Self::StillParked => "the request waits for a day; reported".to_owned(),
            Self::Joined { transfer } => format!("the record is asked for by transfer {transfer}"),
            Self::SummaryWanted { entries } => {
                format!(
                    "{entries} entries were made after the record was sent; a discharge summary is wanted"
                )
            }
            Self::NotSentAgain { why: None } => {
                "not sent again: PDS must be asked first; reported".to_owned()
            }
            Self::NotSentAgain { why: Some(why) } => format!("not sent again: {}", why.words()),
            Self::RequestRefused { why } => {
                format!("the request is turned down with code {}: {}", why.code(), why.words())
            }
            Self::Requesting { practice } => format!("the record is asked of {practice}"),
            Self::RequestAnswered { positive, code, counts } => {
                let answer = match (positive, code) {
                    (true, _) => "the practice says that it sends the record".to_owned(),
                    (false, Some(code)) => format!("the practice answered our request with code {code}"),
                    (false, None) => "the practice refused our request without a code".to_owned(),
                };
                if *counts { answer } else { format!("{answer}; this changes nothing") }
            }
            Self::Message { kind, fate, attempts } => {
                format!("{} {} (attempts: {attempts})", kind.words(), fate.words())
            }
            Self::Silent => "no record within a day; reported".to_owned(),
            Self::Decided { filing } => format!("decided: {}", filing.words()),
            Self::Undecided => "nobody has decided on the record; reported".to_owned(),
            Self::Filed => "filed for the clinical system".to_owned(),
            Self::Refused { refusal } => {
                format!("not filed, and its sender is told code {}: {}", refusal.code(), refusal.words())
            }
            Self::Held { hold } => format!("waits for a person: {}", hold.words()),
            Self::Undelivered => "not delivered within a day; reported".to_owned(),
            Self::Overdue => "no answer within eight days; reported".to_owned(),
            Self::Ended { ending } => format!("ended: {}", ending.words()),
            Self::Closed => "stopped listening for late answers".to_owned(),
            Self::Act { act } => {
                format!("operator (uid {}): {}: {}", act.uid, act.verb.words(), act.reason)
            }
        }
    }
}
