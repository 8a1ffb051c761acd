//! For the unit tests of the resource kinds: an extract of a few resources and one patient.

use super::{Documents, Interaction, Parameters, Record, RecordLimits, build};
use crate::model::{Asid, ConversationId, MessageId, NhsNumber, OdsCode, Timestamp};

pub(super) fn parameters(interaction: Interaction) -> Parameters {
    Parameters {
        message_id: MessageId::derived(&["trial"]),
        request_id: Some("7D2F0A3C-5B1E-4C2A-9E4B-0123456789AB".to_owned()),
        nhs_number: NhsNumber::parse("9990000018").unwrap(),
        from_ods: OdsCode::parse("HMP01").unwrap(),
        to_ods: OdsCode::parse("B86041").unwrap(),
        from_asid: Asid::parse("200000000001").unwrap(),
        to_asid: Asid::parse("200000000002").unwrap(),
        conversation: ConversationId::derived(&["trial"]),
        now: Timestamp::parse("2026-07-01T09:00:00Z").unwrap(),
        interaction,
        extract_id: "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AC".to_owned(),
    }
}

/// The message and the account of the resources, comma-separated JSON.
pub(super) fn extract(resources: &str) -> (String, serde_json::Value) {
    let raw: Vec<Box<serde_json::value::RawValue>> = serde_json::from_str(&format!("[{resources}]")).unwrap();
    assert!(!raw.is_empty(), "a test has resources");
    let wrapped: Vec<String> = raw.iter().map(|r| format!(r#"{{"resource": {}}}"#, r.get())).collect();
    let patient = r#"{"resource": {"resourceType": "Patient", "id": "p", "identifier": [
        {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}]}}"#;
    let bundle = format!(r#"{{"resourceType": "Bundle", "entry": [{patient},{}]}}"#, wrapped.join(","));
    let record = Record::parse(bundle.as_bytes(), &RecordLimits::default()).unwrap();
    let extract = build(&record, &parameters(Interaction::Uk06), &Documents::new()).unwrap();
    (String::from_utf8(extract.xml).unwrap(), serde_json::to_value(extract.account).unwrap())
}

/// A flawless message around one statement, with one agent in its directory.
pub(super) fn message(form: &str, statement: &str) -> String {
    let name = "RCMR_IN030000UK06";
    let (xml, _) = extract(
        r#"{"resourceType": "Practitioner", "id": "25D6C748-100D-46E3-A8BC-DFEA5F2DB2BD", "name": [{"family": "Moss"}]},
        {"resourceType": "Observation", "id": "o", "code": {"text": "x"}, "performer": [{"reference": "Practitioner/25D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"}]}"#,
    );
    let from = xml.find("<ObservationStatement").expect("the record has one observation");
    let to = xml.find("</ObservationStatement>").expect("it ends") + "</ObservationStatement>".len();
    (xml[..from].to_owned() + statement + &xml[to..]).replace(name, &name.replace("UK06", form))
}

/// The state of the first resource of that type.
pub(super) fn state(account: &serde_json::Value, kind: &str) -> String {
    let entries = account["entries"].as_array().unwrap();
    let found = entries.iter().find(|e| {
        let key = e["resource"].as_str().unwrap();
        key.starts_with(&format!("{kind}/")) || key.contains('#')
    });
    found.expect("the account has the resource")["state"].as_str().unwrap().to_owned()
}
