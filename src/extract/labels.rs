//! Confidentiality labels: which entries are not to be shown to the patient (extract §9).
//!
//! A label holds for whatever is written with the words of what it stands on: it goes from a container to what is in it,
//! and from an entry to the one whose statement says it.

use super::json::Json;
use super::observation;
use super::placement::Placement;
use super::record::{Entry, Record};
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
    edges.extend(work.plans.iter().map(|(stated, plan)| (*stated, *plan)));
    edges.extend(work.problems.iter().flat_map(|(of, problems)| problems.iter().map(|p| (*p, *of))));
    for (at, entry) in record.entries().iter().enumerate() {
        edges.extend(entry.container.map(|container| (container, at)));
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

#[cfg(test)]
mod tests {
    use super::super::{Documents, Expected, RecordLimits, build, read, trial};
    use super::*;

    const PATIENT: &str = r#"{"resourceType": "Patient", "id": "p", "identifier": [
        {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}]}"#;

    /// Every resource that a receiver makes of the message and that has the word is labelled.
    fn kept(resources: &[&str]) {
        const NOPAT: &str =
            r#""meta": {"security": [{"system": "http://hl7.org/fhir/v3/ActCode", "code": "NOPAT"}]}"#;
        let entries: Vec<String> = std::iter::once(&PATIENT)
            .chain(resources)
            .map(|r| format!(r#"{{"resource": {}}}"#, r.replace("NOPAT", NOPAT)))
            .collect();
        let bundle = format!(r#"{{"resourceType": "Bundle", "entry": [{}]}}"#, entries.join(","));
        let record = Record::parse(bundle.as_bytes(), &RecordLimits::default()).unwrap();
        let refused = build(&record, &trial::parameters(Interaction::Uk06), &Documents::new());
        assert!(matches!(refused, Err(Refusal::LabelCannotTravel { .. })), "D11: {resources:?}");
        let sent = build(&record, &trial::parameters(Interaction::Uk07), &Documents::new()).unwrap();
        let received = read(&sent.xml, &Expected::default()).unwrap();
        let bundle: serde_json::Value = serde_json::from_slice(&received.json).unwrap();
        let said = bundle["entry"].as_array().unwrap().iter().map(|e| e["resource"].to_string());
        let secret: Vec<String> = said.filter(|r| r.contains("SECRET")).collect();
        assert!(!secret.is_empty(), "the word is kept: {resources:?}");
        secret.iter().for_each(|r| assert!(r.contains("NOPAT"), "extract §9: {r}"));
    }

    const PLAN: &str = r#"{"resourceType": "MedicationRequest", "id": "m", "intent": "plan", "status": "active",
        "medicationReference": {"reference": "Medication/d"}}"#;
    const DRUG: &str = r#"{"resourceType": "Medication", "id": "d", "code": {"text": "Salve"}}"#;

    #[test]
    fn a_label_goes_with_the_words_into_another_statement() {
        kept(&[
            PLAN,
            DRUG,
            r#"{"resourceType": "MedicationStatement", "id": "s", NOPAT, "basedOn": [{"reference": "MedicationRequest/m"}],
            "note": [{"text": "SECRET"}]}"#,
        ]);
        kept(&[
            PLAN,
            r#"{"resourceType": "Medication", "id": "d", NOPAT, "code": {"text": "Salve"}, "form": {"text": "SECRET"}}"#,
        ]);
        kept(&[
            r#"{"resourceType": "Observation", "id": "o", "code": {"text": "Cough"}}"#,
            r#"{"resourceType": "Condition", "id": "c", NOPAT, "code": {"text": "Cough"}, "note": [{"text": "SECRET"}],
            "extension": [{"url": "x/Extension-CareConnect-ActualProblem-1", "valueReference": {"reference": "Observation/o"}}]}"#,
        ]);
    }

    #[test]
    fn a_label_on_what_holds_an_entry_is_the_entrys() {
        const RESULT: &str = r#"{"resourceType": "Observation", "id": "o", "code": {"text": "SECRET"},
            "specimen": {"reference": "Specimen/s"}}"#;
        kept(&[
            r#"{"resourceType": "DiagnosticReport", "id": "r", "result": [{"reference": "Observation/o"}]}"#,
            r#"{"resourceType": "Specimen", "id": "s", NOPAT}"#,
            RESULT,
        ]);
        kept(&[
            r#"{"resourceType": "Encounter", "id": "e"}"#,
            r#"{"resourceType": "List", "id": "l", NOPAT, "encounter": {"reference": "Encounter/e"},
            "code": {"coding": [{"code": "325851000000107"}]}, "entry": [{"item": {"reference": "Observation/o"}}]}"#,
            r#"{"resourceType": "Observation", "id": "o", "code": {"text": "SECRET"}}"#,
        ]);
        kept(&[
            r#"{"resourceType": "Observation", "id": "h", NOPAT, "code": {"text": "Panel"},
            "related": [{"type": "has-member", "target": {"reference": "Observation/o"}}]}"#,
            r#"{"resourceType": "Observation", "id": "o", "code": {"text": "SECRET"}}"#,
        ]);
    }
}
