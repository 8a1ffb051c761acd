//! A confidentiality label stands at every place it is due, and no labelled entry travels without (extract §9).

use throughcare::extract::{self, Documents, Interaction, Record, RecordLimits, Refusal};

use crate::exact::parameters;
use crate::fragments::Fragment;

/// One resource of each kind, all of them under NOPAT.
const RESOURCES: [&str; 16] = [
    r#""resourceType": "Encounter", "id": "e", "period": {"start": "2020-01-01"}"#,
    r#""resourceType": "List", "id": "l", "encounter": {"reference": "Encounter/e"}, "code": {"coding": [{"code": "325851000000107"}]}, "entry": [{"item": {"reference": "List/t"}}]"#,
    r#""resourceType": "List", "id": "t", "title": "Topic", "code": {"coding": [{"code": "25851000000105"}]}, "entry": [{"item": {"reference": "List/c"}}]"#,
    r#""resourceType": "List", "id": "c", "title": "Category", "code": {"coding": [{"code": "24781000000107"}]}, "entry": [{"item": {"reference": "Observation/loose"}}]"#,
    r#""resourceType": "Observation", "id": "loose", "code": {"text": "Cough"}"#,
    r#""resourceType": "Observation", "id": "comment", "comment": "words", "code": {"coding": [{"system": "http://snomed.info/sct", "code": "37331000000100"}]}"#,
    r#""resourceType": "Observation", "id": "bp", "code": {"coding": [{"system": "http://snomed.info/sct", "code": "163020007"}]}, "component": [
        {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "72313002"}]}, "valueQuantity": {"value": 120}},
        {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "1091811000000102"}]}, "valueQuantity": {"value": 80}}]"#,
    r#""resourceType": "AllergyIntolerance", "id": "a", "category": ["food"], "code": {"text": "nuts"}"#,
    r#""resourceType": "Condition", "id": "p", "code": {"text": "Gout"}"#,
    r#""resourceType": "Immunization", "id": "i", "vaccineCode": {"text": "MMR"}"#,
    r#""resourceType": "MedicationRequest", "id": "plan", "intent": "plan", "status": "active", "medicationCodeableConcept": {"text": "Aspirin"}"#,
    r#""resourceType": "MedicationRequest", "id": "order", "intent": "order", "status": "active", "medicationCodeableConcept": {"text": "Aspirin"}, "basedOn": [{"reference": "MedicationRequest/plan"}]"#,
    r#""resourceType": "ProcedureRequest", "id": "pr", "intent": "plan", "code": {"text": "Flu jab"}"#,
    r#""resourceType": "ReferralRequest", "id": "rr", "description": "knee""#,
    r#""resourceType": "DocumentReference", "id": "d", "type": {"text": "Letter"}, "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}]"#,
    r#""resourceType": "QuestionnaireResponse", "id": "q", "item": [{"text": "Smokes?", "answer": [{"valueBoolean": true}]}]"#,
];

const REPORT: [&str; 4] = [
    r#""resourceType": "DiagnosticReport", "id": "dr", "issued": "2020-01-01T00:00:00Z", "specimen": [{"reference": "Specimen/s"}], "result": [{"reference": "Observation/r"}, {"reference": "Observation/filing"}]"#,
    r#""resourceType": "Specimen", "id": "s", "type": {"text": "Blood"}, "note": [{"text": "clotted"}]"#,
    r#""resourceType": "Observation", "id": "r", "code": {"text": "Sodium"}, "comment": "low", "valueQuantity": {"value": 120}, "specimen": {"reference": "Specimen/s"}"#,
    r#""resourceType": "Observation", "id": "filing", "comment": "call her", "code": {"coding": [{"system": "http://snomed.info/sct", "code": "37331000000100"}]}"#,
];

/// The elements that take a label.
const PLACES: [&str; 9] = [
    "ehrComposition",
    "CompoundStatement",
    "ObservationStatement",
    "NarrativeStatement",
    "MedicationStatement",
    "PlanStatement",
    "RequestStatement",
    "LinkSet",
    "referredToExternalDocument",
];

fn bundle() -> String {
    let patient = r#"{"resource": {"resourceType": "Patient", "id": "patient", "identifier": [
        {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}]}}"#;
    let label = r#""meta": {"security": [{"system": "http://hl7.org/fhir/v3/ActCode", "code": "NOPAT"}]}"#;
    let resources = RESOURCES.iter().chain(&REPORT);
    let labelled = resources.map(|r| format!(r#"{{"resource": {{{r}, {label}}}}}"#));
    let entries: Vec<String> = std::iter::once(patient.to_owned()).chain(labelled).collect();
    format!(r#"{{"resourceType": "Bundle", "entry": [{}]}}"#, entries.join(","))
}

#[test]
fn every_place_that_takes_a_label_has_it() {
    let text = bundle();
    let record = Record::parse(text.as_bytes(), &RecordLimits::default()).unwrap();
    let parameters = extract::Parameters { interaction: Interaction::Uk07, ..parameters() };
    let extract = extract::build(&record, &parameters, &Documents::new()).unwrap();
    let whole = Fragment::parse(&String::from_utf8(extract.xml).unwrap());
    for place in PLACES {
        let mut found = Vec::new();
        whole.all(place, &mut found);
        assert!(!found.is_empty(), "the record has something that becomes {place}");
        for element in found {
            assert!(element.child("confidentialityCode").is_some(), "extract §9: {place} {element:#?}");
        }
    }
}

#[test]
fn a_labelled_record_does_not_travel_in_a_message_without_labels() {
    let text = bundle();
    let record = Record::parse(text.as_bytes(), &RecordLimits::default()).unwrap();
    let built = extract::build(&record, &parameters(), &Documents::new());
    assert!(matches!(built, Err(Refusal::LabelCannotTravel { .. })), "D11: {built:?}");
}
