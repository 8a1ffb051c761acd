//! Before anything is written: whose record it is, who has which id, and what is labelled.

use std::collections::HashMap;

use uuid::Uuid;

use super::agents::Agents;
use super::ids::{Ids, upper};
use super::json::Json;
use super::links::Links;
use super::message::Levels;
use super::placement::Placement;
use super::record::{Entry, Record};
use super::standing::{Part, above, members, part, plan_of};
use super::work::Work;
use super::{Documents, Flaw, Interaction, Parameters, Refusal, problem, report, validate};
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
    let identifiers = patients.flat_map(|p| p.json.list("identifier"));
    let numbers =
        identifiers.filter(|i| i.word("system") == Some(NHS_NUMBER)).filter_map(|i| i.word("value"));
    let mut found = None;
    for number in numbers {
        let number = NhsNumber::parse(number).map_err(|_| Refusal::NhsNumberMissing)?;
        if *found.get_or_insert(number) != number {
            return Err(Refusal::NhsNumberMissing);
        }
    }
    found.ok_or(Refusal::NhsNumberMissing)
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
    let mut ids = Ids::new(&[parameters.from_ods.as_str(), &parameters.extract_id]);
    ids.reserve(&parameters.extract_id);
    ids.reserve(&message_id(parameters));
    let mut own = HashMap::new();
    for fits in [Fit::Whole, Fit::Prefix] {
        for wave in [&["Encounter"][..], &["DiagnosticReport"], &[], &["Condition"]] {
            let special = |kind: &str| ["Encounter", "DiagnosticReport", "Condition"].contains(&kind);
            for (at, entry) in record.entries().iter().enumerate() {
                let turn =
                    if wave.is_empty() { !special(&entry.kind) } else { wave.contains(&entry.kind.as_str()) };
                let has_id = matches!(part(entry), Part::Statement | Part::Consultation)
                    && plan_of(record, at).is_none();
                if turn && has_id && (entry.id.len() == 36) == (fits == Fit::Whole) {
                    own.insert(at, ids.claim(&entry.key, &entry.id));
                }
            }
        }
    }
    let agents = Agents::new(record, &mut ids);
    let labelled = record.entries().iter().map(|e| label(e) == Label::NoPatient).collect();
    let mut stated = HashMap::new();
    for at in 0..record.entries().len() {
        if let Some(plan) = plan_of(record, at) {
            stated.entry(plan).or_insert(at);
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
        own,
        parts: Vec::new(),
        targets: HashMap::new(),
        states: vec![None; record.entries().len()],
        attachments: Vec::new(),
        labelled,
        stated,
        held: report::contents(record, &members),
        members,
        problems: problem::of_observations(record),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    None,
    NoPatient,
}

/// Whether the entry is under NOPAT, in whatever system the code is said to be (extract §9).
fn label(entry: &Entry) -> Label {
    let security = entry.json.at("meta").list("security").iter();
    let labels = entry.json.list("securityLabel").iter().flat_map(|l| l.list("coding"));
    let no_patient = |coding: &Json| coding.word("code") == Some("NOPAT");
    if security.chain(labels).any(no_patient) { Label::NoPatient } else { Label::None }
}

/// A container's label marks what is in it; a message without labels takes no labelled entry.
pub(super) fn spread_labels(work: &mut Work<'_>, placement: &Placement) -> Result<(), Refusal> {
    let marks: Vec<usize> = (0..work.labelled.len())
        .filter(|at| {
            let container = work.entry(*at).container;
            let consultation = placement.of.get(at).or_else(|| placement.structural.get(at));
            let encounter = consultation.map(|c| placement.consultations[*c].encounter);
            [container, encounter].into_iter().flatten().any(|c| work.labelled[c])
        })
        .collect();
    marks.into_iter().for_each(|at| work.labelled[at] = true);
    let listed: Vec<usize> = placement
        .consultations
        .iter()
        .flat_map(|c| &c.topics)
        .flat_map(|t| t.categories.iter().map(move |c| (t.list, c)))
        .filter(|(topic, category)| topic.iter().chain(&category.list).any(|l| work.labelled[*l]))
        .flat_map(|(_, category)| category.items.clone())
        .collect();
    listed.into_iter().for_each(|at| work.labelled[at] = true);
    let held: Vec<usize> = work.held.iter().filter(|(_, r)| work.labelled[**r]).map(|(at, _)| *at).collect();
    held.into_iter().for_each(|at| work.labelled[at] = true);
    let labelled_above = |m: &&usize| above(&work.members, **m).iter().any(|header| work.labelled[*header]);
    let members: Vec<usize> = work.members.keys().filter(labelled_above).copied().collect();
    members.into_iter().for_each(|at| work.labelled[at] = true);
    let count = work.labelled.iter().filter(|l| **l).count();
    match work.parameters.interaction {
        Interaction::Uk06 if count > 0 => Err(Refusal::LabelCannotTravel { count }),
        Interaction::Uk06 | Interaction::Uk07 => Ok(()),
    }
}

/// The message's id as the HL7 wrapper has it.
fn message_id(parameters: &Parameters) -> String {
    let stated = parameters.message_id.as_str();
    upper(Uuid::try_parse(stated).unwrap_or_else(|_| derived_uuid(&["message", stated])))
}

pub(super) fn levels(work: &mut Work<'_>) -> Levels {
    Levels { message: message_id(work.parameters), folder: work.ids.part("folder", "own") }
}
