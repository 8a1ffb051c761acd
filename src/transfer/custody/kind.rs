//! What happened: one variant a kind of event, with the fields of custody reference §3.3 to §3.8.

use std::collections::BTreeSet;
use std::fmt;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::word::{Answer, words};
use super::{CaseRef, CustodyEvent, LanguageTag, RecordRef, StaffRole, SummaryRef};
use crate::model::{EventId, OdsCode, Timestamp, TransferId};

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustodyKind {
    /// The person entered custody, or this establishment.
    Reception(Reception),
    /// The person leaves custody, or is planned to.
    Release(Box<Release>),
    /// The person moved between establishments.
    Move(Move),
    /// The person was asked to register, and what came of it.
    RegistrationDecision(Box<RegistrationDecision>),
    /// An earlier event was wrong or no longer holds.
    Correction(Correction),
    /// The person died in custody.
    Death(Death),
    /// What the clinical system did with a record that was received.
    FilingDecision(FilingDecision),
}

impl CustodyKind {
    /// The name of the kind, as in the contract.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reception(_) => "reception",
            Self::Release(_) => "release",
            Self::Move(_) => "move",
            Self::RegistrationDecision(_) => "registration_decision",
            Self::Correction(_) => "correction",
            Self::Death(_) => "death",
            Self::FilingDecision(_) => "filing_decision",
        }
    }

    /// Whether both are of one kind, whatever they say.
    pub fn is_like(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// A person was received (custody reference §3.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reception {
    /// When the person arrived.
    pub arrived_at: Timestamp,
    /// How the person came.
    pub kind: ReceptionKind,
    /// What registration is meant.
    pub registration: Registration,
    /// Whether the establishment knows the person from before.
    pub returning: Returning,
    /// Medicines that must not be missed.
    pub critical_medicines: BTreeSet<CriticalMedicine>,
    /// Medicines in hand.
    pub arrived_with: Medicines,
    /// When the next dose of a critical medicine is due.
    pub next_dose_due: Option<Timestamp>,
}

words!(
    /// How a person came into the establishment.
    ReceptionKind {
        /// First reception of this stay.
        First = "first",
        /// Recalled from licence.
        Recall = "recall",
        /// From another establishment.
        TransferIn = "transfer_in",
        /// Immigration detention.
        Immigration = "immigration",
        /// Into the youth estate.
        Youth = "youth",
        /// Any other way.
        Other = "other",
    }
);
words!(
    /// What registration is meant at reception.
    Registration {
        /// On the establishment's list: the only one that starts a transfer (S10).
        Permanent = "permanent",
        /// For the time being.
        Temporary = "temporary",
        /// Not settled yet.
        Undecided = "undecided",
        /// The person said no.
        Declined = "declined",
    }
);
words!(
    /// Whether the establishment knows the person from before (TD02).
    Returning {
        /// It holds a record.
        KnownHere = "known_here",
        /// It does not.
        NewHere = "new_here",
        /// Not sure: treated as returning.
        Unsure = "unsure",
    }
);
words!(
    /// A class of medicine that must not be missed.
    CriticalMedicine {
        /// Opioid substitution.
        OpioidSubstitution = "opioid_substitution",
        /// Insulin.
        Insulin = "insulin",
        /// Against seizures.
        Anticonvulsant = "anticonvulsant",
        /// Against clotting.
        Anticoagulant = "anticoagulant",
        /// Against HIV.
        Antiretroviral = "antiretroviral",
        /// Long-acting injection against psychosis.
        AntipsychoticDepot = "antipsychotic_depot",
        /// After a transplant, or against autoimmune disease.
        Immunosuppressant = "immunosuppressant",
        /// Any other that must not be missed.
        Other = "other",
    }
);
words!(
    /// How much of a person's medicine came along.
    Medicines {
        /// All of it.
        Full = "full",
        /// Some of it.
        Part = "part",
        /// None: band B (custody reference §6).
        None = "none",
        /// Nobody said.
        Unknown = "unknown",
    }
);

/// A person leaves custody (custody reference §3.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// When; at most twelve months ahead.
    pub release_at: Timestamp,
    /// How sure.
    pub certainty: ReleaseCertainty,
    /// Which way out.
    pub kind: ReleaseKind,
    /// The practice the person goes to; absent, the request of a practice is awaited.
    pub destination: Option<Destination>,
    /// Where the custody record is found.
    pub record_ref: RecordRef,
    /// The moment the record speaks for: more than 24 h before the release, it is fetched again.
    pub record_as_of: Timestamp,
    /// Days of medicine in hand, 0 to 28.
    pub supply_days: Option<u8>,
    /// Days covered by an opioid-substitution script, 0 to 14.
    pub opioid_script_days: Option<u8>,
    /// Medicines that must not be missed.
    pub critical_medicines: BTreeSet<CriticalMedicine>,
    /// When the next dose of a critical medicine is due.
    pub next_dose_due: Option<Timestamp>,
    /// Entries made since the record was sent: above nought after a send asks for a discharge summary (S128).
    pub entries_after_send: u32,
    /// The summary that answered.
    pub summary_ref: Option<SummaryRef>,
}

/// The practice a person goes to, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The practice.
    pub practice: OdsCode,
    /// Who says so.
    pub basis: DestinationBasis,
}

words!(
    /// How sure a release is.
    ReleaseCertainty {
        /// Prepares only.
        Planned = "planned",
        /// May be pushed.
        Confirmed = "confirmed",
        /// May be pushed.
        Happened = "happened",
    }
);
words!(
    /// Which way a person leaves.
    ReleaseKind {
        /// The sentence or detention ended.
        EndOfCustody = "end_of_custody",
        /// From court, or on bail: without warning, band B.
        BailOrCourt = "bail_or_court",
        /// Removed abroad: never pushed.
        RemovalAbroad = "removal_abroad",
        /// To hospital: never pushed.
        Hospital = "hospital",
        /// Any other way.
        Other = "other",
    }
);
words!(
    /// Who says which practice a person goes to.
    DestinationBasis {
        /// PDS.
        Pds = "pds",
        /// A practice registered the person ahead of release.
        PreRegistered = "pre_registered",
        /// The person: alone it never pushes.
        PatientSaid = "patient_said",
    }
);

/// A person moved between establishments (custody reference §3.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Where from.
    pub from: OdsCode,
    /// Where to; another than `from`.
    pub to: OdsCode,
    /// When the person left.
    pub departed_at: Timestamp,
    /// When the person arrived; not before leaving.
    pub arrived_at: Option<Timestamp>,
    /// Whether both use one database.
    pub database: Database,
    /// Medicines sent along.
    pub medicines_sent: Medicines,
    /// The registration decision that is carried along, so that nobody is asked twice.
    pub decision_event: Option<EventId>,
}

words!(
    /// Whether two establishments use one clinical database.
    Database {
        /// One: an internal move, no message (S268).
        Shared = "shared",
        /// Two: a release and a request.
        Separate = "separate",
        /// Not known: held.
        Unknown = "unknown",
    }
);

/// A person was asked to register (custody reference §3.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationDecision {
    /// What was decided.
    pub decision: Decision,
    /// When.
    pub decided_at: Timestamp,
    /// What kind of staff took it down.
    pub role: StaffRole,
    /// Who decided.
    pub basis: DecidedBy,
    /// The language it was talked over in.
    pub language: Option<LanguageTag>,
    /// Whether an interpreter took part.
    pub interpreter: Option<bool>,
    /// What came of the change of registration in PDS.
    pub pds_update: PdsUpdate,
    /// The practice before: absent ends with `no_previous_practice`, our own with `already_here`.
    pub previous_practice: Option<OdsCode>,
}

words!(
    /// What was decided about registration.
    Decision {
        /// On the list: goes on, after a successful PDS update (S17).
        Permanent = "permanent",
        /// For the time being.
        Temporary = "temporary",
        /// The person said no: an outcome, not an error.
        Declined = "declined",
        /// Later.
        Deferred = "deferred",
        /// The person could not be asked.
        NotPossible = "not_possible",
    }
);
words!(
    /// Who decided about registration.
    DecidedBy {
        /// The person.
        Person = "person",
        /// Who has parental responsibility.
        ParentalResponsibility = "parental_responsibility",
        /// Staff, in the person's best interests.
        BestInterests = "best_interests",
    }
);

/// What came of the change of registration in PDS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PdsUpdate {
    /// PDS took it: the trigger of a request (S17, S162).
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// PDS refused or could not be reached: ends, and is counted.
    Failed {
        /// When, if known.
        at: Option<Timestamp>,
    },
    /// Nobody tried.
    NotAttempted,
}

/// What the clinical system did with a record that was received for it (gp2gp reference §2.2, Q12 to Q17).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilingDecision {
    /// The transfer, as the outcome `filed` named it.
    pub transfer: TransferId,
    /// What was done.
    pub filing: Filing,
}

words!(
    /// What the clinical system did with a received record.
    Filing {
        /// It is part of the person's record: AA (S66).
        Integrated = "integrated",
        /// It is kept only as an attachment: told as code 26, so that paper follows.
        FiledAsAttachment = "filed_as_attachment",
        /// The establishment kept its own record and stored this one beside it: code 15 (S73, AB03.1).
        Suppressed = "suppressed",
        /// A person says that it is another person's, or the wrong record: code 28, or 17 for a returning one (S65).
        Rejected = "rejected",
        /// It could not be filed: code 11 (S69). A later decision for the same record still counts (Q18).
        Failed = "failed",
        /// A person decides later (AB03): nothing is sent.
        Deferred = "deferred",
    }
);

impl Filing {
    /// The response code its sender is told; none for AA, and none while nothing is decided.
    pub fn code(self, returning: Returning) -> Option<&'static str> {
        match (self, returning) {
            (Self::Integrated | Self::Deferred, _) => None,
            (Self::FiledAsAttachment, _) => Some("26"),
            (Self::Suppressed, _) => Some("15"),
            (Self::Rejected, Returning::NewHere) => Some("28"),
            (Self::Rejected, Returning::KnownHere | Returning::Unsure) => Some("17"),
            (Self::Failed, _) => Some("11"),
        }
    }

    /// For an operator, and for the sender's screen.
    pub fn words(self) -> &'static str {
        match self {
            Self::Integrated => "the record was received and filed",
            Self::FiledAsAttachment => "the record is kept only as an attachment",
            Self::Suppressed => "the record is stored and suppressed beside the one that is kept",
            Self::Rejected => "the record is of another person, or the wrong one",
            Self::Failed => "the record could not be filed",
            Self::Deferred => "a person decides later",
        }
    }
}

/// An earlier event was wrong or no longer holds (custody reference §3.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// The event it is about.
    pub target_event: EventId,
    /// What to do.
    pub action: CorrectionAction,
    /// Why.
    pub reason: CorrectionReason,
}

/// What a correction does to the event it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorrectionAction {
    /// It never held.
    Cancel,
    /// This one holds instead: of the same kind, and never itself a correction.
    Replace(Box<CustodyEvent>),
    /// The identity of the correction holds instead.
    RefreshIdentity,
}

impl CorrectionAction {
    /// The name of the action, as in the contract.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Replace(_) => "replace",
            Self::RefreshIdentity => "refresh_identity",
        }
    }
}

words!(
    /// Why an event is corrected. No reason exists for gender recognition (custody reference §4).
    CorrectionReason {
        /// It should not have been entered.
        EnteredInError = "entered_in_error",
        /// It was about another person: stops unsent parts, forbids filing, opens an incident.
        WrongPerson = "wrong_person",
        /// The date moved.
        DateChanged = "date_changed",
        /// The plan changed.
        PlanChanged = "plan_changed",
        /// The NHS number was mistyped.
        NumberMistyped = "number_mistyped",
        /// The NHS number was merged into another.
        NumberMerged = "number_merged",
        /// The same thing was reported twice.
        Duplicate = "duplicate",
    }
);

/// A person died in custody (custody reference §3.8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Death {
    /// When.
    pub died_at: DiedAt,
    /// How sure: reported holds, verified ends unsent requests.
    pub certainty: DeathCertainty,
    /// Whether PDS was told; no makes a worklist item.
    pub pds_informed: Answer,
    /// A handle on the inquiry.
    pub case_ref: Option<CaseRef>,
}

/// A day, or a moment. Masked, as it says something of a person.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiedAt {
    /// Only the day is known.
    Day(Date),
    /// The moment is known.
    Moment(Timestamp),
}

impl fmt::Debug for DiedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiedAt(masked)")
    }
}

words!(
    /// How sure a death is.
    DeathCertainty {
        /// Said, not confirmed.
        Reported = "reported",
        /// Confirmed.
        Verified = "verified",
    }
);
