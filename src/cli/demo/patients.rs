//! The demonstration's patients: synthetic people with numbers of the test range, each a small GP Connect record as a
//! custody clinical system would write it.

use serde_json::{Value, json};

use crate::model::{Timestamp, derived_uuid};

/// Numbers of the test range 999…, one a patient.
const NUMBERS: [&str; 6] =
    ["9990000018", "9990000026", "9990000034", "9990000042", "9990000050", "9990000069"];

/// One patient of the demonstration.
pub struct Patient {
    /// The name of the record's file, and of the stay.
    pub record: String,
    /// The NHS number, of the test range.
    pub number: &'static str,
    /// The record: a FHIR STU3 Bundle.
    pub bundle: Value,
    /// The letter that lies beside it.
    pub letter: String,
    /// Scanned documents beside it, by name, each of [`SCAN_BYTES`].
    pub scans: Vec<String>,
}

/// How large a scanned document is, in octets: twelve of them fit no message.
pub const SCAN_BYTES: usize = 5_000_000;

/// What a scanner makes of a page as far as size goes: octets that no gzip makes smaller.
pub fn scan(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut octets = Vec::with_capacity(SCAN_BYTES + 8);
    while octets.len() < SCAN_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        octets.extend_from_slice(&state.to_le_bytes());
    }
    octets.truncate(SCAN_BYTES);
    octets
}

/// Everybody who leaves today.
pub fn leavers(now: Timestamp) -> Vec<Patient> {
    NUMBERS
        .iter()
        .enumerate()
        .map(|(n, number)| patient(&format!("leaver-{}", n + 1), n, number, now))
        .collect()
}

/// Somebody who is received today; the practice has the record, sixty megabytes of it.
pub fn arrival(now: Timestamp) -> Patient {
    let mut patient = patient("arrival-1", NUMBERS.len(), "9990000077", now);
    patient.scans = (1..=12).map(|n| format!("scan-{n}.jpg")).collect();
    if let Some(entries) = patient.bundle["entry"].as_array_mut() {
        for name in &patient.scans {
            let document = json!({ "resourceType": "DocumentReference", "id": id(&[&patient.record, name]),
                "status": "current", "type": { "text": "Scanned letter" }, "indexed": now.to_string(),
                "subject": { "reference": format!("Patient/{}", id(&[&patient.record, "patient"])) },
                "content": [{ "attachment": { "contentType": "image/jpeg", "title": name, "url": name } }] });
            entries.push(json!({ "resource": document }));
        }
    }
    patient
}

/// The event that tells that an arrival was registered for good, and that PDS took it.
pub fn registration_event(patient: &Patient, at: &str, before: &str, now: Timestamp) -> Value {
    json!({
        "event_id": id(&["event", &patient.record]),
        "source": "demo-prison",
        "establishment": at,
        "stay": format!("stay-{}", patient.record),
        "patient_ref": format!("person-{}", patient.record),
        "seq": 1,
        "occurred_at": now.to_string(),
        "nhs_number": patient.number,
        "number_status": "verified",
        "sensitive": "no",
        "actor": "staff-1",
        "registration_decision": {
            "decision": "permanent",
            "decided_at": now.to_string(),
            "role": "reception_nurse",
            "basis": "person",
            "pds_update": "succeeded",
            "pds_updated_at": now.to_string(),
            "previous_practice": before
        }
    })
}

/// The event that tells of the release.
pub fn release_event(patient: &Patient, from: &str, to: &str, now: Timestamp) -> Value {
    json!({
        "event_id": id(&["event", &patient.record]),
        "source": "demo-prison",
        "establishment": from,
        "stay": format!("stay-{}", patient.record),
        "patient_ref": format!("person-{}", patient.record),
        "seq": 1,
        "occurred_at": now.to_string(),
        "nhs_number": patient.number,
        "number_status": "verified",
        "sensitive": "no",
        "release": {
            "release_at": now.to_string(),
            "certainty": "happened",
            "kind": "end_of_custody",
            "destination": to,
            "destination_basis": "pds",
            "record_ref": patient.record,
            "record_as_of": now.to_string(),
            "supply_days": 14,
            "opioid_script_days": 14,
            "critical_medicines": ["opioid_substitution"]
        }
    })
}

fn id(parts: &[&str]) -> String {
    derived_uuid(&[&["demonstration"], parts].concat()).hyphenated().to_string()
}

fn coded(code: &str, display: &str) -> Value {
    json!({ "coding": [{ "system": "http://snomed.info/sct", "code": code, "display": display }], "text": display })
}

fn patient(record: &str, n: usize, number: &'static str, now: Timestamp) -> Patient {
    let record = record.to_owned();
    let of = |what: &str| id(&[&record, what]);
    let day = &now.to_string()[..10];
    let subject = json!({ "reference": format!("Patient/{}", of("patient")) });
    let author = json!({ "reference": format!("Practitioner/{}", of("nurse")) });
    let letter = format!(
        "Discharge letter (synthetic)\r\n\r\nMethadone 1 mg/ml oral solution, 60 ml once daily, supervised.\r\n\
         Fourteen days supplied. Next supervised dose tomorrow morning.\r\n\r\n{}",
        "Seen weekly; stable on the present dose. Wishes to go on with the community service.\r\n"
            .repeat(1 + n * 12)
    );
    let observation = |what: &str, code: &str, display: &str, value: Value| {
        let mut resource = json!({
            "resourceType": "Observation", "id": of(what), "status": "final", "code": coded(code, display),
            "subject": subject, "effectiveDateTime": day, "issued": now.to_string(), "performer": [author]
        });
        if let (Some(into), Value::Object(from)) = (resource.as_object_mut(), value) {
            into.extend(from);
        }
        resource
    };
    let quantity = |value: f64, unit: &str| json!({ "valueQuantity": { "value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit } });
    let medication = |what: &str, intent: &str, extra: Value| {
        let mut resource = json!({
            "resourceType": "MedicationRequest", "id": of(what), "status": "active", "intent": intent, "subject": subject,
            "medicationReference": { "reference": format!("Medication/{}", of("methadone")) },
            "authoredOn": day, "recorder": author,
            "dosageInstruction": [{ "text": "60 ml once daily, supervised" }],
            "dispenseRequest": { "validityPeriod": { "start": day }, "quantity": { "value": 840, "unit": "ml" } }
        });
        if let (Some(into), Value::Object(from)) = (resource.as_object_mut(), extra) {
            into.extend(from);
        }
        resource
    };
    let kind = "https://fhir.nhs.uk/STU3/StructureDefinition/Extension-CareConnect-GPC-PrescriptionType-1";
    let acute = json!({ "extension": [{ "url": kind, "valueCodeableConcept": { "coding": [{ "code": "acute", "display": "Acute" }] } }] });
    let based_on = json!({ "basedOn": [{ "reference": format!("MedicationRequest/{}", of("plan")) }] });
    let resources = vec![
        json!({ "resourceType": "Patient", "id": of("patient"),
            "identifier": [{ "system": "https://fhir.nhs.uk/Id/nhs-number", "value": number }] }),
        json!({ "resourceType": "Practitioner", "id": of("nurse"), "name": [{ "family": "Example", "given": ["Robin"] }] }),
        json!({ "resourceType": "Medication", "id": of("methadone"),
            "code": coded("322500007", "Methadone 1mg/ml oral solution") }),
        medication("plan", "plan", acute),
        medication("order", "order", based_on),
        observation("weight", "27113001", "Body weight", quantity(71.5 + n as f64, "kg")),
        observation(
            "note",
            "37331000000100",
            "Comment note",
            json!({ "comment": "Reception screen done; no concerns raised today." }),
        ),
        json!({ "resourceType": "AllergyIntolerance", "id": of("allergy"), "clinicalStatus": "active",
            "verificationStatus": "unconfirmed", "category": ["medication"], "patient": subject, "assertedDate": day,
            "recorder": author, "code": coded("91936005", "Allergy to penicillin") }),
        json!({ "resourceType": "Condition", "id": of("problem"), "clinicalStatus": "active", "subject": subject,
            "assertedDate": day, "onsetDateTime": day, "asserter": author,
            "code": coded("75544000", "Opioid dependence") }),
        json!({ "resourceType": "DocumentReference", "id": of("letter"), "status": "current", "subject": subject,
            "type": { "text": "Discharge letter" }, "indexed": now.to_string(), "author": [author],
            "content": [{ "attachment": { "contentType": "text/plain", "title": "letter.txt", "url": "letter.txt" } }] }),
    ];
    let entries: Vec<Value> = resources.into_iter().map(|resource| json!({ "resource": resource })).collect();
    let bundle =
        json!({ "resourceType": "Bundle", "id": of("bundle"), "type": "collection", "entry": entries });
    Patient { record, number, bundle, letter, scans: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NhsNumber;

    #[test]
    fn every_patient_has_a_test_number() {
        let now = Timestamp::default();
        for patient in leavers(now).into_iter().chain([arrival(now)]) {
            assert!(NhsNumber::parse(patient.number).unwrap().is_test(), "999 range only");
        }
    }
}
