//! What we tell the clinical system came of its event: one message for each thing worth knowing.
//!
//! Holds the words; when one is due is decided by the steps of a transfer, and publishing is done by `intake`.
//! An outcome names a stay and a patient reference, which the clinical system gave us, and never an NHS number,
//! a name or clinical text.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::custody::word::words;
use super::custody::{PatientRef, Source, Stay};
use crate::model::{EventId, OdsCode, Timestamp, TransferId, derived_uuid};

/// One thing the clinical system should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Its own identity: an outcome published twice has the same.
    pub outcome_id: OutcomeId,
    /// What came of it; also the routing key.
    pub kind: OutcomeKind,
    /// The transfer, once there is one.
    pub transfer: Option<TransferId>,
    /// The event that led to it, where it could be read.
    pub event_id: Option<EventId>,
    /// The clinical system that spoke.
    pub source: Option<Source>,
    /// The stay it spoke of.
    pub stay: Option<Stay>,
    /// The clinical system's handle on the person.
    pub patient_ref: Option<PatientRef>,
    /// The establishment it spoke for.
    pub establishment: Option<OdsCode>,
    /// The practice at the other end.
    pub practice: Option<OdsCode>,
    /// When it came about.
    pub at: Timestamp,
    /// Why, as a code for machines: `not_served`, `record_unavailable`.
    pub reason: Option<String>,
    /// Plain words for a person, without anything about a patient.
    pub detail: String,
    /// The national response code, where one was given.
    pub response_code: Option<String>,
    /// What became of the items of the record.
    pub completeness: Option<Completeness>,
    /// How often the message was sent.
    pub attempts: u32,
}

/// What became of the items of a record: the sum is the number of items it had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Completeness {
    /// Carried in full.
    pub mapped: u32,
    /// Carried inside another item.
    pub merged: u32,
    /// Carried as text, or without its code.
    pub degraded: u32,
    /// Left out, each with a reason in the account.
    pub not_clinical: u32,
}

words!(
    /// What came of an event or a transfer. The word is the routing key.
    OutcomeKind {
        /// The event is durable and something will follow. Once an event.
        Accepted = "accepted",
        /// The event is durable; nothing follows from it now.
        Noted = "noted",
        /// The event could not be read or breaks the contract; it is in quarantine.
        Rejected = "rejected",
        /// The event is well formed and not ours to act on: `not_served`, `setting_refused`.
        Refused = "refused",
        /// The transfer waits for a person, who is named in the detail by role, with the time by which.
        Held = "held",
        /// The hold was released, or ended by itself, and the transfer goes on.
        Resumed = "resumed",
        /// The signed packet is durable and waits to be sent.
        Prepared = "prepared",
        /// The practice's system took the message; the practice has not accepted it yet (H23).
        Sent = "sent",
        /// The practice accepted and filed the record: also when it does so late.
        Integrated = "integrated",
        /// The practice keeps its own record and holds ours beside it (code 15).
        Suppressed = "suppressed",
        /// The practice will not file the record, or gave up: the code says why.
        NotIntegrated = "not_integrated",
        /// Eight days without acceptance (S124): the record must reach the practice by other means. Not final: a late
        /// acceptance is published as `integrated`.
        Overdue = "overdue",
        /// The message never reached the practice and is no longer tried.
        Undelivered = "undelivered",
        /// The transfer ended before its record was sent, by a correction or an operator.
        Cancelled = "cancelled",
        /// A request for the record was sent to the previous practice.
        Requested = "requested",
        /// A received record was verified and filed for the clinical system.
        Filed = "filed",
        /// A received record, or the answer to a request, will not be filed: the reason says why.
        NotFiled = "not_filed",
        /// Both ends share a clinical system: the record moved without messages (S268).
        Internal = "internal",
        /// There is nothing to transfer: `no_previous_practice`, `already_here`, `no_number`, `not_applicable`.
        NoTransfer = "no_transfer",
        /// The PDS fact is too old to send on: look it up and publish a fresh event.
        RecheckWanted = "recheck_wanted",
        /// Entries were made after the only version was sent: a discharge summary is wanted (S128).
        SummaryWanted = "summary_wanted",
        /// A field of an accepted event was dropped or doubtful: the reason names the field.
        Warning = "warning",
    }
);

/// An outcome's identity: a UUID derived from what it tells.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutcomeId(String);

impl OutcomeId {
    /// Derives the identity from what the outcome tells, so that telling it again is recognised.
    pub fn derived(parts: &[&str]) -> Self {
        Self(derived_uuid(parts).hyphenated().to_string())
    }

    /// The UUID, lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OutcomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OutcomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutcomeId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routing_keys_are_one_word_and_distinct() {
        let keys: std::collections::BTreeSet<_> = OutcomeKind::ALL.iter().map(|k| k.as_str()).collect();
        assert_eq!(keys.len(), OutcomeKind::ALL.len(), "no two kinds share a routing key");
        assert!(
            keys.iter().all(|k| k.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
            "a dot would make a second word for a topic exchange"
        );
    }

    #[test]
    fn an_outcome_told_twice_has_one_identity() {
        assert_eq!(OutcomeId::derived(&["t", "sent", "1"]), OutcomeId::derived(&["t", "sent", "1"]));
        assert_ne!(OutcomeId::derived(&["t", "sent", "1"]), OutcomeId::derived(&["t", "sent", "2"]));
    }
}
