//! Before anything is written: whose record it is, and who has which id.

use std::collections::HashMap;

use uuid::Uuid;

use super::agents::Agents;
use super::ids::{Ids, upper};
use super::json::Json;
use super::links::Links;
use super::message::Levels;
use super::record::Record;
use super::standing::{Part, members, part, plan_of};
use super::subject::{self, Subject};
use super::work::Work;
use super::{Documents, Flaw, Parameters, Refusal, labels, problem, report, validate};
use crate::model::{NhsNumber, derived_uuid};

const NHS_NUMBER: &str = "https://fhir.nhs.uk/Id/nhs-number";

/// Whose record it is must be beyond doubt: no number, or two, is no number.
pub(super) fn identify(record: &Record, parameters: &Parameters) -> Result<(), Refusal> {
    for id in std::iter::once(&parameters.extract_id).chain(&parameters.request_id) {
        if !validate::is_upper_uuid(id) {
            return Err(Flaw::BadId { element: "EhrExtract or priorEhrRequest".to_owned() }.into());
        }
    }
    match whose(record)? {
        number if number != parameters.nhs_number => Err(Refusal::AnotherPatient),
        _ => Ok(()),
    }
}

/// The NHS number of the record's patient; two are none.
pub(super) fn whose(record: &Record) -> Result<NhsNumber, Refusal> {
    record.patient().ok_or(Refusal::NoPatient)?;
    // A second Patient of another number would make it the record of two.
    let patients = record.entries().iter().filter(|e| e.kind == "Patient" && e.container.is_none());
    let mut found = None;
    for number in patients.flat_map(|p| numbers(&p.json)) {
        let number = NhsNumber::parse(number).map_err(|_| Refusal::NhsNumberMissing)?;
        if *found.get_or_insert(number) != number {
            return Err(Refusal::TwoPatients);
        }
    }
    found.ok_or(Refusal::NhsNumberMissing)
}

/// What a Patient gives as NHS numbers.
pub(super) fn numbers<'a>(patient: &'a Json<'a>) -> impl Iterator<Item = &'a str> {
    let identifiers = patient.list("identifier").iter();
    identifiers.filter(|i| i.word("system") == Some(NHS_NUMBER)).filter_map(|i| i.word("value"))
}

/// How much of a resource id the UUID is. Suffixed ids (`…-FI-1`, `…-PROB`) yield to the resource whose id it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Whole,
    Prefix,
}

pub(super) fn prepare<'a>(
    record: &'a Record,
    parameters: &'a Parameters,
    documents: &'a Documents,
) -> Result<Work<'a>, Refusal> {
    // An entry has about two: its own, and that of the composition or the statement around it.
    let room = 2 * record.entries().len();
    let mut ids = Ids::new(&[parameters.from_ods.as_str(), &parameters.extract_id], room);
    ids.reserve(&parameters.extract_id);
    ids.reserve(&message_id(parameters));
    let plans: HashMap<usize, usize> =
        (0..record.entries().len()).filter_map(|at| Some((at, plan_of(record, at)?))).collect();
    let mut own = HashMap::with_capacity(record.entries().len());
    for fits in [Fit::Whole, Fit::Prefix] {
        for wave in [&["Encounter"][..], &["DiagnosticReport"], &[], &["Condition"]] {
            let special = |kind: &str| ["Encounter", "DiagnosticReport", "Condition"].contains(&kind);
            for (at, entry) in record.entries().iter().enumerate() {
                let turn =
                    if wave.is_empty() { !special(&entry.kind) } else { wave.contains(&entry.kind.as_str()) };
                let has_id = || {
                    matches!(part(entry), Part::Statement | Part::Consultation) && !plans.contains_key(&at)
                };
                if (entry.id.len() == 36) == (fits == Fit::Whole) && turn && has_id() {
                    own.insert(at, ids.claim(&entry.key, &entry.id));
                }
            }
        }
    }
    let agents = Agents::new(record, &mut ids);
    let whose = |at| subject::of(record, at, parameters.nhs_number);
    let labelled = record.entries().iter().map(labels::is_labelled).collect();
    let mut stated: HashMap<usize, Vec<usize>> = HashMap::new();
    for at in 0..record.entries().len() {
        if let Some(plan) = plans.get(&at) {
            stated.entry(*plan).or_default().push(at);
        }
    }
    let members = members(record);
    Ok(Work {
        record,
        parameters,
        documents,
        ids,
        agents,
        links: Links::of(record),
        unknown_subject: (0..record.entries().len()).map(|at| whose(at) == Subject::Unknown).collect(),
        own,
        parts: Vec::new(),
        targets: HashMap::new(),
        states: vec![None; record.entries().len()],
        attachments: Vec::new(),
        labelled,
        stated,
        plans,
        held: report::contents(record, &members),
        members,
        children: problem::children(record),
        problems: problem::of_observations(record),
    })
}

/// The message's id as the HL7 wrapper has it.
fn message_id(parameters: &Parameters) -> String {
    let stated = parameters.message_id.as_str();
    upper(Uuid::try_parse(stated).unwrap_or_else(|_| derived_uuid(&["message", stated])))
}

pub(super) fn levels(work: &mut Work<'_>) -> Levels {
    Levels { message: message_id(work.parameters), folder: work.ids.part("folder", "own") }
}
