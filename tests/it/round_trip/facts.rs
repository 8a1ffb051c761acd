//! What a FHIR resource says: facts that have a field, and words that somebody wrote.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use throughcare::model::Timestamp;

/// A fact of a resource, in the forms in which it may be given.
pub struct Fact {
    pub name: &'static str,
    pub forms: BTreeSet<String>,
}

fn fact(name: &'static str, forms: impl IntoIterator<Item = String>) -> Option<Fact> {
    let forms: BTreeSet<String> = forms.into_iter().filter(|form| !form.is_empty()).collect();
    (!forms.is_empty()).then_some(Fact { name, forms })
}

pub fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Codes and words of a CodeableConcept.
fn coded(concept: &Value) -> Vec<String> {
    let mut forms = vec![word(&concept["text"]).to_lowercase()];
    for coding in concept["coding"].as_array().into_iter().flatten() {
        forms.extend([word(&coding["code"]), word(&coding["display"]).to_lowercase()]);
        let parts = coding["extension"].as_array().into_iter().flatten();
        let parts = parts.flat_map(|e| e["extension"].as_array().into_iter().flatten());
        forms.extend(parts.flat_map(|p| [word(&p["valueId"]), word(&p["valueString"]).to_lowercase()]));
    }
    forms.retain(|form| form != "UNK" && !form.contains("egrade"));
    forms
}

/// A moment as itself, whatever its offset; a day, month or year as it is.
fn when(value: &Value) -> Vec<String> {
    let text = word(value);
    let moment = Timestamp::parse(&text);
    // A time on the wire has seconds.
    vec![moment.map_or(text, |m| (m.as_millis() / 1000).to_string())]
}

fn measured(quantity: &Value) -> Vec<String> {
    let Some(value) = quantity["value"].as_f64() else { return Vec::new() };
    let sign = word(&quantity["comparator"]);
    let units = [word(&quantity["unit"]), word(&quantity["code"])];
    units
        .into_iter()
        .filter(|u| !u.is_empty())
        .chain(std::iter::once("1".to_owned()))
        .map(|unit| format!("{sign}{value} {unit}"))
        .collect()
}

fn extension<'a>(resource: &'a Value, name: &str) -> &'a Value {
    let all = resource["extension"].as_array().into_iter().flatten();
    let mut found = all.filter(|e| e["url"].as_str().is_some_and(|url| url.contains(name)));
    found.next().unwrap_or(&Value::Null)
}

/// What a resource says that has a field of its own in FHIR.
pub fn facts(resource: &Value, bundle: &HashMap<String, Value>) -> Vec<Fact> {
    let of = |name: &str| &resource[name];
    let mut found = Vec::new();
    match resource["resourceType"].as_str().unwrap_or_default() {
        "Observation" => {
            found.push(fact("code", coded(of("code"))));
            found.push(fact("value", measured(of("valueQuantity"))));
            found.push(fact("time", when(of("effectiveDateTime"))));
            for part in of("component").as_array().into_iter().flatten() {
                found.push(fact("component", measured(&part["valueQuantity"])));
            }
        }
        "Condition" => {
            found.push(fact("code", coded(of("code"))));
            found.push(fact("status", [word(of("clinicalStatus"))]));
            found
                .push(fact("significance", [word(&extension(resource, "ProblemSignificance")["valueCode"])]));
            found.push(fact("onset", when(of("onsetDateTime"))));
        }
        "AllergyIntolerance" => {
            found.push(fact("code", coded(of("code"))));
            found.push(fact("status", [word(of("clinicalStatus"))]));
            found.push(fact("verification", [word(of("verificationStatus"))]));
            found.push(fact("category", [word(&of("category")[0])]));
            found.push(fact("onset", when(of("onsetDateTime"))));
            found.push(fact("asserted", when(of("assertedDate"))));
        }
        "Immunization" => {
            found.push(fact(
                "code",
                coded(&extension(resource, "VaccinationProcedure")["valueCodeableConcept"]),
            ));
            found.push(fact("time", when(of("date"))));
        }
        "MedicationRequest" => {
            let drug = bundle.get(of("medicationReference")["reference"].as_str().unwrap_or_default());
            found.push(fact("drug", coded(drug.map_or(of("medicationCodeableConcept"), |d| &d["code"]))));
            found.push(fact("quantity", measured(&of("dispenseRequest")["quantity"])));
            found.push(fact("dosage", [plain(&word(&of("dosageInstruction")[0]["text"])).to_lowercase()]));
            found.push(fact("intent", [word(of("intent"))]));
            found.push(fact("status", [word(of("status"))]));
            found.push(fact("plan", [word(&of("basedOn")[0]["reference"])]));
        }
        "ProcedureRequest" => {
            found.push(fact("code", coded(of("code"))));
            found.push(fact("status", [word(of("status"))]));
            found.push(fact("time", when(of("occurrenceDateTime"))));
        }
        "ReferralRequest" => {
            found.push(fact("code", coded(&of("reasonCode")[0])));
            found.push(fact("priority", [word(of("priority"))]));
            found.push(fact("authored", when(of("authoredOn"))));
        }
        "DiagnosticReport" => {
            found.push(fact("issued", when(of("issued"))));
            let results = of("result").as_array().into_iter().flatten();
            found.extend(results.map(|r| fact("result", [word(&r["reference"]).to_uppercase()])));
        }
        "Specimen" => {
            found.push(fact("collected", when(&of("collection")["collectedDateTime"])));
            found.push(fact("type", coded(of("type"))));
        }
        "DocumentReference" => found.push(fact("type", coded(of("type")))),
        "Encounter" => found.push(fact("start", when(&of("period")["start"]))),
        _ => {}
    }
    found.into_iter().flatten().collect()
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What somebody wrote: not one word of it may get lost, wherever it goes.
pub fn prose(resource: &Value) -> Vec<String> {
    let mut found = vec![
        word(&resource["comment"]),
        word(&resource["description"]),
        word(&resource["conclusion"]),
        word(&resource["valueString"]),
    ];
    for (list, name) in
        [("note", "text"), ("dosageInstruction", "text"), ("dosageInstruction", "patientInstruction")]
    {
        found.extend(resource[list].as_array().into_iter().flatten().map(|item| word(&item[name])));
    }
    found.into_iter().map(|words| plain(&words)).filter(|words| !words.is_empty()).collect()
}

/// Every text of a record, in one.
pub fn words(value: &Value, into: &mut String) {
    match value {
        Value::String(text) => into.extend([&plain(text), "\n"]),
        Value::Array(items) => items.iter().for_each(|item| words(item, into)),
        Value::Object(members) => members.values().for_each(|member| words(member, into)),
        _ => {}
    }
}

pub fn by_reference(bundle: &Value) -> HashMap<String, Value> {
    let resources = bundle["entry"].as_array().unwrap().iter().map(|e| &e["resource"]);
    resources.map(|r| (format!("{}/{}", word(&r["resourceType"]), word(&r["id"])), r.clone())).collect()
}
