//! Every reason for which a transfer waits, is held or has ended: closed lists, each with the words an operator reads.
//!
//! Answers of a party have lists of their own: `verdict` for the transport, `response_code` for the practice.

use serde::{Deserialize, Serialize};

use crate::transfer::custody::{Filing, Returning};
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::refusal::{Refusal, RequestRefusal};
use crate::transfer::response_code::ResponseCode;
use crate::transfer::verdict::{Refused, TryAgain};

/// Why a packet could not be prepared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrepareFault {
    /// No record under the name the event gave.
    RecordMissing,
    /// The record could not be read: permissions, disk, time.
    RecordUnreadable,
    /// Not JSON, or not a Bundle.
    RecordMalformed,
    /// Larger than the settings allow.
    RecordTooLarge,
    /// The record's name is not one a file may have.
    RecordNameUnsafe,
    /// More than one record is of the patient that a practice asked for.
    RecordAmbiguous,
    /// The record has no patient.
    RecordWithoutPatient,
    /// The record's NHS number is not the event's (hazard H1).
    RecordOfAnotherPatient,
    /// An entry is labelled and the interaction cannot carry labels (hazard H10).
    LabelCannotTravel,
    /// The mapping contradicted itself; nothing is sent.
    ExtractInvalid,
    /// More than messages can carry, in whatever parts.
    TooLargeForOneMessage,
    /// More than one message can carry, and the destination takes no parts.
    TakesNoParts,
    /// The directory does not know the destination.
    DestinationUnknown,
    /// The destination may not take part, or no longer does.
    DestinationClosed,
    /// The destination takes releases only when it asks for them.
    DestinationTakesNoPush,
    /// No key to sign with, or the key and certificate do not fit.
    SigningUnavailable,
    /// The packet could not be put on disk.
    StorageFailed,
    /// Both ends are served by this daemon: they share a database, and no message goes (S268).
    SamePremises,
}

/// Whether time can mend a fault, or only a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Asked again on the ladder.
    Time,
    /// Waits for a person.
    Person,
}

impl PrepareFault {
    /// What can mend it.
    pub fn remedy(self) -> Remedy {
        match self {
            Self::RecordMissing
            | Self::RecordUnreadable
            | Self::RecordMalformed
            | Self::RecordTooLarge
            | Self::RecordWithoutPatient
            | Self::DestinationUnknown
            | Self::SigningUnavailable
            | Self::StorageFailed => Remedy::Time,
            Self::RecordNameUnsafe
            | Self::RecordOfAnotherPatient
            | Self::LabelCannotTravel
            | Self::ExtractInvalid
            | Self::TooLargeForOneMessage
            | Self::TakesNoParts
            | Self::DestinationClosed
            | Self::DestinationTakesNoPush
            | Self::RecordAmbiguous
            | Self::SamePremises => Remedy::Person,
        }
    }

    /// What happened and what to do, for an operator.
    pub fn words(self) -> &'static str {
        match self {
            Self::RecordMissing => {
                "the custody record is not there yet; check that the clinical system has written it"
            }
            Self::RecordUnreadable => "the custody record could not be read; check permissions and the disk",
            Self::RecordMalformed => {
                "the custody record is not a FHIR Bundle; have the clinical system write it again"
            }
            Self::RecordTooLarge => {
                "the custody record is larger than the settings allow; see [records] in the settings"
            }
            Self::RecordNameUnsafe => {
                "the record's name, or a link in its place, leads out of the records folder; correct it there"
            }
            Self::RecordAmbiguous => {
                "more than one record is of this patient; have the clinical system leave one"
            }
            Self::RecordWithoutPatient => {
                "the custody record has no patient; have the clinical system write it again"
            }
            Self::RecordOfAnotherPatient => {
                "the record's NHS number is not the one of the release; treat as an identity incident"
            }
            Self::LabelCannotTravel => {
                "the record holds entries hidden from the patient, which this message cannot label"
            }
            Self::ExtractInvalid => {
                "the extract failed our own checks and was not sent; report it to the supplier"
            }
            Self::TooLargeForOneMessage => "the record fits no messages; send it by other means",
            Self::TakesNoParts => {
                "the record does not fit one message, and the practice takes no parts; send it by other means"
            }
            Self::DestinationUnknown => "the directory does not know the destination; correct the directory",
            Self::DestinationClosed => "the destination does not take part; find the patient's practice",
            Self::DestinationTakesNoPush => {
                "the destination takes records only when it asks; wait for its request"
            }
            Self::SigningUnavailable => "the signing key cannot be used; check [signing] in the settings",
            Self::StorageFailed => "the packet could not be put on disk; check free space and permissions",
            Self::SamePremises => "both ends are served by this daemon: the record moves without messages",
        }
    }
}

/// Why a live transfer waits for a moment in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "waits-for", content = "because")]
pub enum Delay {
    /// The packet could not be prepared yet.
    Preparation(PrepareFault),
    /// The last attempt to deliver failed.
    Delivery(TryAgain),
    /// The process stopped while an attempt was under way; nobody knows whether it arrived.
    InDoubt,
    /// The received record could not be put where the clinical system takes it from.
    Filing(FilingFault),
    /// An operator asked for another attempt now.
    Operator,
}

impl Delay {
    /// For an operator.
    pub fn words(self) -> String {
        match self {
            Self::Preparation(fault) => fault.words().to_owned(),
            Self::Delivery(why) => why.words().to_owned(),
            Self::InDoubt => {
                "the service stopped while an attempt was under way; the same packet goes again, which the practice can tell"
                    .to_owned()
            }
            Self::Filing(fault) => fault.words().to_owned(),
            Self::Operator => "an operator asked for another attempt".to_owned(),
        }
    }
}

/// Why a received record could not be filed, or its acknowledgement not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilingFault {
    /// The folder could not be written.
    FolderUnwritable,
    /// The folder's disk is full.
    NoRoom,
    /// Something else is filed under this transfer; it is never overwritten.
    AnotherRecordThere,
    /// More attachments than a record can have.
    TooManyAttachments,
    /// The sealed packet could not be read back.
    PacketUnreadable,
    /// The acknowledgement could not be made or kept.
    AcknowledgementUnmade,
    /// The directory does not know the sender any more.
    SenderUnknown,
    /// What came in parts could not be put together after all.
    PartsUnusable,
}

impl FilingFault {
    /// What can mend it. What time can mend is left to it for a stated number of tries only (`retry::FILING_TRIES`).
    pub fn remedy(self) -> Remedy {
        match self {
            Self::FolderUnwritable
            | Self::NoRoom
            | Self::PacketUnreadable
            | Self::AcknowledgementUnmade
            | Self::SenderUnknown => Remedy::Time,
            Self::AnotherRecordThere | Self::TooManyAttachments | Self::PartsUnusable => Remedy::Person,
        }
    }

    /// For an operator.
    pub fn words(self) -> &'static str {
        match self {
            Self::FolderUnwritable => {
                "the folder of received records cannot be written; check its permissions"
            }
            Self::NoRoom => "the disk of the folder of received records is full; make room there",
            Self::AnotherRecordThere => {
                "another record is filed under this transfer's name; move it away if it is not this one"
            }
            Self::TooManyAttachments => {
                "it has more attachments than a record can have; telephone the sender"
            }
            Self::PacketUnreadable => {
                "the sealed packet could not be read back; check the disk and the vault key"
            }
            Self::AcknowledgementUnmade => {
                "the acknowledgement could not be made; check [signing] in the settings"
            }
            Self::SenderUnknown => "the directory no longer knows the sender; correct the directory",
            Self::PartsUnusable => {
                "its parts could not be put together; cancel it, so that the sender is told, and telephone them"
            }
        }
    }
}

/// Why a transfer waits for a person or for another event, not for time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "held", content = "because")]
pub enum Hold {
    /// No NHS number came with the event.
    NoNumber,
    /// The number is not verified: only a verified one may start a transfer (custody reference §3.2).
    NumberUnverified,
    /// Nobody said whether the person's whereabouts are sensitive, and no PDS facts came.
    SensitivityUnknown,
    /// PDS says that the person has died.
    Deceased,
    /// Removal abroad or hospital: no community practice follows.
    NobodyToPushTo,
    /// The event names no destination.
    NoDestination,
    /// Only the patient named the destination.
    DestinationUnconfirmed,
    /// The destination answered that it never asked (code 09): it waits for a request.
    NotRequested,
    /// A later event of the same stay names another person (hazard H24).
    IdentityDiffers,
    /// Only a person can mend the preparation.
    Preparation(PrepareFault),
    /// The transport refused the message for good.
    TransportRefused(Refused),
    /// The transport refused our acknowledgement for good.
    AcknowledgementRefused(Refused),
    /// A received record cannot be filed, however often it is tried.
    Filing(FilingFault),
    /// The record that came is not the one that was asked for (hazard H1).
    WrongRecord(Mismatch),
    /// What PDS said is too old to send on, or was never told (S31, hazard H5).
    RecheckWanted,
}

/// In what a record that came differs from the one that was asked for (gp2gp reference §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mismatch {
    /// It is of another person.
    Person,
    /// It is for another organisation.
    Destination,
    /// It comes from another organisation, or another system of it.
    Sender,
    /// It answers another request.
    Request,
}

impl Mismatch {
    /// For an operator.
    pub fn words(self) -> &'static str {
        match self {
            Self::Person => "the record that came is of another person than was asked for",
            Self::Destination => "the record that came is for another organisation",
            Self::Sender => "the record that came is from another system than was asked",
            Self::Request => "the record that came answers another request",
        }
    }
}

/// Why no record is asked for (gp2gp reference §2.1): the gate, with the failure point, type and code of the national
/// management information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoTransfer {
    /// The registration is not permanent (S10).
    Temporary,
    /// The person does not want to register.
    Declined,
    /// The person was not registered.
    NotRegistered,
    /// The record is sensitive (TD 5.3.2).
    Sensitive,
    /// PDS says that the person has died.
    Deceased,
    /// There is no NHS number.
    NoNumber,
    /// Nobody knows a practice before (TD04).
    NoPreviousPractice,
    /// The practice before is this one (S15).
    AlreadyHere,
    /// Both share a database (S268).
    Internal,
    /// PDS did not take the registration (S17).
    PdsUpdateFailed,
    /// The directory does not know the practice (TD12).
    NotInDirectory,
    /// The practice takes no part in GP2GP, or no longer does.
    TakesNoPart,
    /// We ask for no records just now (gate 1, S3).
    SwitchedOff,
    /// Another reception of the person is open here, which this one joins (gate 14).
    AlreadyAsked,
    /// PDS names a third practice by now: the person moved on (§2.6, case 4).
    MovedOn,
}

impl NoTransfer {
    /// The reason in one word, for machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Temporary => "temporary",
            Self::Declined => "declined",
            Self::NotRegistered => "not_registered",
            Self::Sensitive => "sensitive",
            Self::Deceased => "deceased",
            Self::NoNumber => "no_number",
            Self::NoPreviousPractice => "no_previous_practice",
            Self::AlreadyHere => "already_here",
            Self::Internal => "internal",
            Self::PdsUpdateFailed => "pds_update_failed",
            Self::NotInDirectory => "not_in_directory",
            Self::TakesNoPart => "takes_no_part",
            Self::SwitchedOff => "switched_off",
            Self::AlreadyAsked => "already_asked",
            Self::MovedOn => "moved_on",
        }
    }

    /// The outcome that tells the custody system of it.
    pub fn outcome(self) -> OutcomeKind {
        match self {
            Self::Internal => OutcomeKind::Internal,
            _ => OutcomeKind::NoTransfer,
        }
    }

    /// What it means and what to do, for an operator.
    pub fn words(self) -> &'static str {
        match self {
            Self::Temporary => "the registration is temporary; only a permanent one moves a record",
            Self::Declined => "the person did not want to register; nothing is asked for",
            Self::NotRegistered => "the person was not registered; send a new decision once they are",
            Self::Sensitive => "the record is sensitive; nothing may be asked for",
            Self::Deceased => "PDS says the person has died; nothing is asked for",
            Self::NoNumber => "the person has no NHS number; send the event again once they are traced",
            Self::NoPreviousPractice => {
                "no practice before is known; ask the person, and send a new decision"
            }
            Self::AlreadyHere => "the practice before is this one; the record is here",
            Self::Internal => "both ends share a clinical system; the record moves without messages",
            Self::PdsUpdateFailed => {
                "PDS did not take the registration; try that again, then send a new decision"
            }
            Self::NotInDirectory => "the directory does not know the practice before; correct the directory",
            Self::TakesNoPart => "the practice before takes no part in GP2GP; ask for paper",
            Self::SwitchedOff => "asking for records is switched off; see [gp2gp] in the settings",
            Self::AlreadyAsked => {
                "another stay of the person has asked for the record; it comes once, for both"
            }
            Self::MovedOn => {
                "PDS names another practice by now; the record goes there, and nothing is asked for"
            }
        }
    }
}

impl Hold {
    /// The reason in one word, for machines.
    pub fn code(self) -> &'static str {
        match self {
            Self::WrongRecord(_) => "wrong_record",
            Self::RecheckWanted => "recheck_wanted",
            Self::NoNumber => "no_number",
            Self::NumberUnverified => "number_unverified",
            Self::SensitivityUnknown => "sensitivity_unknown",
            Self::Deceased => "deceased",
            Self::NobodyToPushTo => "nobody_to_push_to",
            Self::NoDestination => "no_destination",
            Self::DestinationUnconfirmed => "destination_unconfirmed",
            Self::NotRequested => "not_requested",
            Self::IdentityDiffers => "identity_differs",
            Self::Preparation(_) => "preparation",
            Self::TransportRefused(_) => "transport_refused",
            Self::AcknowledgementRefused(_) => "acknowledgement_refused",
            Self::Filing(_) => "filing",
        }
    }

    /// What is wrong and what to do, for an operator.
    pub fn words(self) -> String {
        let words = match self {
            Self::NoNumber => "no NHS number came with the event; send it again once the person is traced",
            Self::NumberUnverified => {
                "the NHS number is not verified; send the event again once PDS confirms it"
            }
            Self::SensitivityUnknown => {
                "nobody said whether the record is sensitive; send the event with PDS facts"
            }
            Self::Deceased => "PDS says the person has died; a named person decides what is sent",
            Self::NobodyToPushTo => {
                "no community practice follows this kind of release; the record is kept ready"
            }
            Self::NoDestination => {
                "the event names no practice; send it again with a destination, or wait for a request"
            }
            Self::DestinationUnconfirmed => {
                "only the patient named the practice; confirm it and send the event again"
            }
            Self::NotRequested => {
                "the practice did not ask for this record; ask it to register the patient and request it"
            }
            Self::IdentityDiffers => {
                "a later event of this stay names another person; treat as an identity incident"
            }
            Self::Preparation(fault) => fault.words(),
            Self::TransportRefused(why) => {
                return format!("the practice's system refused the message: {}", why.words());
            }
            Self::Filing(fault) => return format!("a received record is not filed: {}", fault.words()),
            Self::RecheckWanted => {
                "what PDS said of the person is too old to send on; send the event again with fresh PDS facts"
            }
            Self::WrongRecord(mismatch) => {
                return format!(
                    "{}; treat as an identity incident, and cancel to refuse it",
                    mismatch.words()
                );
            }
            Self::AcknowledgementRefused(why) => {
                return format!("the sender's system refused our acknowledgement: {}", why.words());
            }
        };
        words.to_owned()
    }
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "ended")]
pub enum Ending {
    /// The practice filed the record (AA).
    Integrated {
        /// Whether it came after we had reported failure (UC1 1.9.3).
        late: bool,
    },
    /// The practice kept its own record and stored ours (code 15).
    Suppressed,
    /// The practice refused the record; a later acceptance is still honoured.
    NotIntegrated {
        /// The response code as sent, or `unknown`.
        code: String,
    },
    /// Twelve weeks without an answer.
    NeverAnswered,
    /// Twelve weeks without a delivery.
    NeverDelivered,
    /// Twelve weeks without a record to send.
    NeverPrepared,
    /// Planned, but nobody confirmed it.
    NeverConfirmed,
    /// An operator or an event cancelled it.
    Cancelled,
    /// The record is sensitive: nothing may leave.
    Sensitive,
    /// A received record was filed and, where policy says so, acknowledged.
    Filed,
    /// A received record was not filed, and its sender was told so.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// No record was asked for.
    NoTransfer {
        /// Why.
        why: NoTransfer,
    },
    /// The practice refused our request (Q3); a record that still comes is honoured.
    RequestRefused {
        /// The response code as sent, or `unknown`.
        code: String,
    },
    /// Our request could not be delivered (TD18.1); a record that still comes is honoured.
    RequestUndelivered,
    /// Eight days without the record (Q22); one that still comes is honoured.
    RequestUnanswered,
    /// A practice asked for a record and was told why it does not get it (A2, A4).
    RequestTurnedDown {
        /// Why.
        why: RequestRefusal,
    },
    /// The clinical system decided on the record that came.
    Decided {
        /// What.
        filing: Filing,
    },
}

impl Ending {
    /// The response code that was given to us, or that we gave.
    pub fn response_code(&self, returning: Returning) -> Option<&str> {
        match self {
            Self::NotIntegrated { code } | Self::RequestRefused { code } => Some(code),
            Self::Refused { refusal } => Some(refusal.code()),
            Self::RequestTurnedDown { why } => Some(why.code()),
            Self::Decided { filing } => filing.code(returning),
            _ => None,
        }
    }

    /// For an operator.
    pub fn words(&self) -> String {
        let words = match self {
            Self::Integrated { late: false } => "the practice filed the record",
            Self::Integrated { late: true } => "the practice filed the record after failure was reported",
            Self::Suppressed => "the practice kept its own record and stored ours beside it",
            Self::NotIntegrated { code } => {
                return format!("the practice did not file the record (code {code})");
            }
            Self::NeverAnswered => "twelve weeks passed without an answer",
            Self::NeverDelivered => "twelve weeks passed without a delivery",
            Self::NeverPrepared => "twelve weeks passed without a record to send",
            Self::NeverConfirmed => "the planned release was never confirmed",
            Self::Cancelled => "it was cancelled",
            Self::Sensitive => "the record is sensitive and must not leave",
            Self::Filed => "the record was received and filed",
            Self::Refused { refusal } => {
                return format!("its sender was told code {}: {}", refusal.code(), refusal.words());
            }
            Self::NoTransfer { why } => why.words(),
            Self::RequestRefused { code } => {
                return format!("the practice refused our request; {}", ResponseCode::parse(code).words());
            }
            Self::RequestUndelivered => "our request could not be delivered; telephone the practice",
            Self::RequestUnanswered => "eight days passed without the record; telephone the practice",
            Self::RequestTurnedDown { why } => {
                return format!("the practice that asked was told code {}: {}", why.code(), why.words());
            }
            Self::Decided { filing } => filing.words(),
        };
        words.to_owned()
    }
}
