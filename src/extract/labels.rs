//! Confidentiality labels: which entries are not to be shown to the patient (extract §9).
//!
//! A label holds for whatever is written with the words of what it stands on: it goes from a container to what is in it,
//! and from an entry to the one whose statement says it.

use super::json::Json;
use super::observation;
use super::placement::Placement;
use super::record::{Entry, Record};
use super::standing::plan_of;
use super::work::Work;
use super::{Interaction, Refusal, laboratory};

/// Whether the entry is under NOPAT, in whatever system the code is said to be.
pub(super) fn is_labelled(entry: &Entry) -> bool {
    let security = entry.json.at("meta").list("security").iter();
    let labels = entry.json.list("securityLabel").iter().flat_map(|l| l.list("coding"));
    security.chain(labels).any(|coding| coding.word("code") == Some("NOPAT"))
}

/// Marks what is labelled because of another entry. A message without labels takes no labelled entry.
pub(super) fn spread(work: &mut Work<'_>, placement: &Placement) -> Result<(), Refusal> {
    let mut next = vec![Vec::new(); work.labelled.len()];
    for (from, to) in edges(work, placement) {
        next[from].push(to);
    }
    let mut marked: Vec<usize> = (0..work.labelled.len()).filter(|at| work.labelled[*at]).collect();
    while let Some(at) = marked.pop() {
        for to in std::mem::take(&mut next[at]) {
            if !std::mem::replace(&mut work.labelled[to], true) {
                marked.push(to);
            }
        }
    }
    let count = work.labelled.iter().filter(|l| **l).count();
    match work.parameters.interaction {
        Interaction::Uk06 if count > 0 => Err(Refusal::LabelCannotTravel { count }),
        Interaction::Uk06 | Interaction::Uk07 => Ok(()),
    }
}

/// From which entry a label goes to which.
fn edges(work: &Work<'_>, placement: &Placement) -> Vec<(usize, usize)> {
    let record = work.record;
    let mut edges: Vec<(usize, usize)> = Vec::new();
    let encounter = |consultation: &usize| placement.consultations[*consultation].encounter;
    edges.extend(placement.of.iter().map(|(at, c)| (encounter(c), *at)));
    edges.extend(placement.structural.iter().map(|(list, c)| (encounter(c), *list)));
    // The List of a whole consultation stands for it.
    edges.extend(placement.consultations.iter().filter_map(|c| Some((c.list?, c.encounter))));
    edges.extend(work.members.iter().map(|(member, header)| (*header, *member)));
    edges.extend(work.held.iter().map(|(held, report)| (*report, *held)));
    edges.extend(observation::questionnaires(record));
    edges.extend(work.problems.iter().flat_map(|(of, problems)| problems.iter().map(|p| (*p, *of))));
    for (at, entry) in record.entries().iter().enumerate() {
        edges.extend(entry.container.map(|container| (container, at)));
        edges.extend(plan_of(record, at).map(|plan| (at, plan)));
        let said = match entry.kind.as_str() {
            "Observation" => laboratory::specimen(record, at),
            "MedicationRequest" | "MedicationStatement" => {
                record.resolve(at, entry.json.at("medicationReference"))
            }
            _ => None,
        };
        edges.extend(said.map(|from| (from, at)));
        if entry.kind == "List" {
            edges.extend(items(record, at, &entry.json).map(|item| (at, item)));
        }
    }
    edges
}

fn items<'a>(record: &'a Record, at: usize, list: &'a Json) -> impl Iterator<Item = usize> {
    list.list("entry").iter().filter_map(move |entry| record.resolve(at, entry.at("item")))
}
