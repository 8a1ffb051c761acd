//! Every field of FHIR STU3 that can hold words, in every kind of resource that has a mapping, holds a word of its own:
//! all of them are in the message, and in the record that a receiver makes of it (extract §1.5).
//!
//! `every_field/resources.jsonl` has a resource on each line; each `"?"` in it becomes a word.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use throughcare::extract::{self, Documents, Expected, Interaction, Record, RecordLimits};

use crate::extracts::{balanced, parameters};

const RESOURCES: &str = include_str!("every_field/resources.jsonl");

/// Puts a word of its own for each `?`, and remembers where it is.
fn plant(at: &str, value: &mut Value, planted: &mut BTreeMap<String, String>) {
    match value {
        Value::String(text) if text == "?" => {
            *text = format!("word{:04}s", planted.len());
            planted.insert(text.clone(), at.to_owned());
        }
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(n, item)| plant(&format!("{at}[{n}]"), item, planted));
        }
        Value::Object(members) => {
            members.iter_mut().for_each(|(name, value)| plant(&format!("{at}.{name}"), value, planted));
        }
        _ => {}
    }
}

fn record(planted: &mut BTreeMap<String, String>) -> Vec<u8> {
    let patient = serde_json::json!({"resourceType": "Patient", "id": "p",
        "identifier": [{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}]});
    let mut entries = vec![serde_json::json!({ "resource": patient })];
    for line in RESOURCES.lines() {
        let mut resource: Value = serde_json::from_str(line).unwrap();
        let at = resource["id"].as_str().unwrap().to_owned();
        plant(&at, &mut resource, planted);
        entries.push(serde_json::json!({ "resource": resource }));
    }
    serde_json::json!({"resourceType": "Bundle", "type": "collection", "entry": entries})
        .to_string()
        .into_bytes()
}

fn lost<'p>(planted: &'p BTreeMap<String, String>, bytes: &[u8]) -> Vec<&'p str> {
    let text = String::from_utf8_lossy(bytes);
    planted.iter().filter(|(word, _)| !text.contains(*word)).map(|(_, at)| at.as_str()).collect()
}

#[test]
fn every_field_with_words_is_in_the_message_and_in_the_record_made_of_it() {
    let mut planted = BTreeMap::new();
    let bytes = record(&mut planted);
    assert!(planted.len() > 400, "{} fields", planted.len());
    let record = Record::parse(&bytes, &RecordLimits::default()).unwrap();
    let parameters = parameters("9990000018", Interaction::Uk06);
    let extract = extract::build(&record, &parameters, &Documents::new()).unwrap();
    assert_eq!(lost(&planted, &extract.xml), [""; 0], "extract §1.5");
    balanced(Path::new("every field"), &extract);
    let received = extract::read(&extract.xml, &Expected::default()).unwrap();
    assert_eq!(lost(&planted, &received.json), [""; 0], "extract §13.1");
}
