//! What each entry of a record is to the extract: a statement, a consultation, part of another's statement.

use std::collections::HashMap;

use super::medication;
use super::observation;
use super::record::{Entry, Record};

/// The type for which a resource is taken that can only be a narrative.
pub(super) const OF_NO_KIND: &str = "Unknown";

/// The type for which a resource of another patient is taken.
pub(super) const OF_ANOTHER: &str = "another patient's";

/// What a resource is to an extract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It becomes a statement.
    Statement,
    /// It becomes a composition.
    Consultation,
    /// It arranges others.
    List,
    /// Others refer to it.
    Support,
    /// It says nothing of the patient's health.
    Foreign,
}

pub(super) fn part(entry: &Entry) -> Part {
    match entry.kind.as_str() {
        "Encounter" => Part::Consultation,
        "List" => Part::List,
        "Patient" | "Practitioner" | "PractitionerRole" | "Organization" | "Location" | "Medication"
        | "HealthcareService" | "RelatedPerson" | "Device" => Part::Support,
        "OperationOutcome" | "Provenance" | "AuditEvent" | "MessageHeader" | "Schedule" | "Slot"
        | "Endpoint" | OF_ANOTHER => Part::Foreign,
        _ => Part::Statement,
    }
}

/// The MedicationRequest that a MedicationStatement is based on, when its statement can say both.
pub(super) fn plan_of(record: &Record, at: usize) -> Option<usize> {
    let entry = record.entry(at);
    if entry.kind != "MedicationStatement" || entry.json.word("status") == Some("entered-in-error") {
        return None;
    }
    let based = entry.json.list("basedOn").iter().filter_map(|b| record.resolve(at, b));
    based.into_iter().find(|b| {
        let request = record.entry(*b);
        request.kind == "MedicationRequest" && medication::is_supplied(&request.json)
    })
}

/// Groups nest no deeper than this: laboratory panels have two levels.
const DEPTH: usize = 6;

/// Member → header of each group of Observations, without circles.
pub(super) fn members(record: &Record) -> HashMap<usize, usize> {
    let mut members = HashMap::new();
    for (at, entry) in record.entries().iter().enumerate().filter(|(_, e)| e.kind == "Observation") {
        if entry.json.word("status") == Some("entered-in-error") {
            continue;
        }
        for member in observation::named_members(record, at) {
            let chain = above(&members, at);
            if !members.contains_key(&member) && !chain.contains(&member) && chain.len() < DEPTH {
                members.insert(member, at);
            }
        }
    }
    members
}

/// The Observation and the headers above it.
pub(super) fn above(members: &HashMap<usize, usize>, at: usize) -> Vec<usize> {
    let mut chain = vec![at];
    let mut top = at;
    while let Some(header) = members.get(&top) {
        if chain.len() > 2 * DEPTH {
            break;
        }
        chain.push(*header);
        top = *header;
    }
    chain
}

/// The entry whose statement says what this one says; `None` when it has no statement.
pub(super) fn stands_for(record: &Record, members: &HashMap<usize, usize>, at: usize) -> Option<usize> {
    if part(record.entry(at)) != Part::Statement {
        return None;
    }
    let at = plan_of(record, at).unwrap_or(at);
    above(members, at).last().copied()
}
