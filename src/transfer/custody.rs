//! What custody tells us happened to a person: the event every transfer begins with, once it has been checked.
//!
//! Holds the words only. Reading an event from the queue and checking it is done by `intake`; what follows from it
//! is decided by the rest of this folder. Nothing here carries a name, an address, a prison number or free text
//! (custody reference §3.2), and whatever may identify a person has no `Display` and a masked `Debug`.

mod identity;
mod kind;
mod opaque;
pub(crate) mod word;

use serde::{Deserialize, Serialize};

pub use identity::{DateOfBirth, Identity, InvalidDate, NoNumberReason, NumberStatus, PatientNumber};
pub use kind::{
    Correction, CorrectionAction, CorrectionReason, CriticalMedicine, CustodyKind, Database, Death,
    DeathCertainty, DecidedBy, Decision, Destination, DestinationBasis, DiedAt, Filing, FilingDecision,
    Medicines, Move, PdsUpdate, Reception, ReceptionKind, Registration, RegistrationDecision, Release,
    ReleaseCertainty, ReleaseKind, Returning,
};
pub use opaque::{
    Actor, CaseRef, InvalidOpaque, LanguageTag, PatientRef, RecordRef, Source, StaffRole, Stay, SummaryRef,
};
pub use word::{Answer, UnknownWord};

use crate::model::{EventId, OdsCode, Timestamp};

/// One thing that happened to one person in custody, as a clinical system told us and after it was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustodyEvent {
    /// The event's own identity: the same one with other content is a conflict.
    pub event_id: EventId,
    /// Which clinical system speaks.
    pub source: Source,
    /// The establishment it speaks for.
    pub establishment: OdsCode,
    /// One episode of custody: joins all events of it.
    pub stay: Stay,
    /// The clinical system's own handle on the person.
    pub patient_ref: PatientRef,
    /// Rises within (source, stay); a lower one is history and changes nothing.
    pub seq: u64,
    /// When it happened. Order is this, then `seq`.
    pub occurred_at: Timestamp,
    /// Who the person is.
    pub identity: Identity,
    /// What PDS said, when the clinical system last asked.
    pub pds: Option<PdsFacts>,
    /// Who did it: always there on decisions, corrections and deaths.
    pub actor: Option<Actor>,
    /// What happened.
    pub kind: CustodyKind,
}

impl CustodyEvent {
    /// Where the event stands among those of its stay: by `occurred_at`, then `seq` (custody reference §3.9).
    pub fn order(&self) -> (Timestamp, u64) {
        (self.occurred_at, self.seq)
    }
}

/// What the Personal Demographics Service said, as passed on by the clinical system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PdsFacts {
    /// When PDS was asked. Too old for a send after ten minutes (custody reference §3.2).
    pub checked_at: Timestamp,
    /// The practice the person is registered with.
    pub current_practice: Option<OdsCode>,
    /// The one before.
    pub previous_practice: Option<OdsCode>,
    /// Whether PDS holds the person to be dead.
    pub deceased: Answer,
}
