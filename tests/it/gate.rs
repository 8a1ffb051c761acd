//! Our gate beside the schema's: what `xmllint` refuses of a damaged message, ours refuses too.
//!
//! Ours may refuse more, since no schema sees whether a reference leads anywhere; it may not refuse a message of ours.

use std::path::Path;

use quick_xml::Reader;
use quick_xml::events::Event;
use throughcare::extract::{self, Documents, Flaw, Interaction, Parameters, Record, RecordLimits, Wrong};
use throughcare::model::{Asid, ConversationId, MessageId, NhsNumber, OdsCode, Timestamp};

use crate::tools;

/// A record with something of every kind.
pub const RESOURCES: &str = r#"{"resourceType":"Bundle","type":"collection","entry":[
    {"resource":{"resourceType":"Patient","id":"p","identifier":[
        {"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"}]}},
    {"resource":{"resourceType":"Practitioner","id":"d","name":[{"family":"Moss","given":["Jo"],"prefix":["Dr"]}]}},
    {"resource":{"resourceType":"Organization","id":"g","name":"The Surgery",
        "identifier":[{"system":"https://fhir.nhs.uk/Id/ods-organization-code","value":"B86041"}],
        "telecom":[{"value":"01234567890"}],"address":[{"line":["1 High Street"],"postalCode":"LS1 1AA"}]}},
    {"resource":{"resourceType":"Encounter","id":"e","status":"finished","type":[{"text":"Seen"}],
        "period":{"start":"2020-01-02T10:00:00Z","end":"2020-01-02T10:10:00Z"},
        "participant":[{"individual":{"reference":"Practitioner/d"}}]}},
    {"resource":{"resourceType":"Observation","id":"o","status":"final","context":{"reference":"Encounter/e"},
        "code":{"coding":[{"system":"http://snomed.info/sct","code":"75367002","display":"Blood pressure"}],"text":"BP"},
        "effectiveDateTime":"2020-01-02","valueQuantity":{"value":5.1,"unit":"mmol/L"},"comment":"Fasting",
        "referenceRange":[{"low":{"value":3},"high":{"value":8},"text":"usual"}],
        "performer":[{"reference":"Practitioner/d"}]}},
    {"resource":{"resourceType":"Condition","id":"c","clinicalStatus":"active","onsetDateTime":"2019-05-01",
        "code":{"coding":[{"system":"http://snomed.info/sct","code":"73211009","display":"Diabetes mellitus"}]}}},
    {"resource":{"resourceType":"AllergyIntolerance","id":"a","assertedDate":"2019-05-01","clinicalStatus":"active",
        "code":{"coding":[{"system":"http://snomed.info/sct","code":"91936005","display":"Allergy to penicillin"}]}}},
    {"resource":{"resourceType":"ReferralRequest","id":"r","status":"active","intent":"order","authoredOn":"2020-01-02",
        "priority":"urgent","reasonCode":[{"text":"Knee"}],"description":"Please see"}},
    {"resource":{"resourceType":"ProcedureRequest","id":"q","status":"active","intent":"plan","authoredOn":"2020-01-02",
        "code":{"text":"Review"},"occurrenceDateTime":"2020-03-02"}},
    {"resource":{"resourceType":"DocumentReference","id":"x","created":"2020-01-02","type":{"text":"Letter"},
        "content":[{"attachment":{"contentType":"text/plain","url":"http://localhost/Binary/1","size":3}}]}},
    {"resource":{"resourceType":"MedicationRequest","id":"m1","status":"active","intent":"plan","authoredOn":"2020-01-02",
        "medicationCodeableConcept":{"coding":[{"system":"http://snomed.info/sct","code":"322236009","display":"Paracetamol"}]},
        "dosageInstruction":[{"text":"One daily"}],
        "dispenseRequest":{"validityPeriod":{"start":"2020-01-02"},"quantity":{"value":28,"unit":"tablet"}}}},
    {"resource":{"resourceType":"MedicationRequest","id":"m2","status":"completed","intent":"order","authoredOn":"2020-01-02",
        "basedOn":[{"reference":"MedicationRequest/m1"}],
        "medicationCodeableConcept":{"coding":[{"system":"http://snomed.info/sct","code":"322236009","display":"Paracetamol"}]},
        "dosageInstruction":[{"text":"One daily"}],
        "dispenseRequest":{"validityPeriod":{"start":"2020-01-02"},"quantity":{"value":28,"unit":"tablet"}}}}]}"#;

fn message(interaction: Interaction) -> String {
    let record = Record::parse(RESOURCES.as_bytes(), &RecordLimits::default()).unwrap();
    let parameters = Parameters {
        message_id: MessageId::derived(&["gate"]),
        request_id: Some("7D2F0A3C-5B1E-4C2A-9E4B-0123456789AB".to_owned()),
        nhs_number: NhsNumber::parse("9990000018").unwrap(),
        from_ods: OdsCode::parse("HMP01").unwrap(),
        to_ods: OdsCode::parse("B86041").unwrap(),
        from_asid: Asid::parse("200000000001").unwrap(),
        to_asid: Asid::parse("200000000002").unwrap(),
        conversation: ConversationId::derived(&["gate"]),
        now: Timestamp::parse("2026-07-01T09:00:00Z").unwrap(),
        interaction,
        extract_id: "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AC".to_owned(),
    };
    let built = extract::build(&record, &parameters, &Documents::new()).unwrap();
    String::from_utf8(built.xml).unwrap()
}

/// Where an element begins and ends, and where its start tag does.
#[derive(Debug, Clone)]
struct Place {
    from: usize,
    tag_ends: usize,
    to: usize,
    depth: usize,
}

/// Every element, in the order of their starts.
fn places(xml: &str) -> Vec<Place> {
    let mut reader = Reader::from_str(xml);
    let (mut found, mut open): (Vec<Place>, Vec<usize>) = (Vec::new(), Vec::new());
    let position = |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap();
    loop {
        let from = position(&reader);
        let event = reader.read_event().unwrap();
        let to = position(&reader);
        match event {
            Event::Start(_) => {
                open.push(found.len());
                found.push(Place { from, tag_ends: to, to, depth: open.len() });
            }
            Event::Empty(_) => found.push(Place { from, tag_ends: to, to, depth: open.len() + 1 }),
            Event::End(_) => found[open.pop().unwrap()].to = to,
            Event::Eof => return found,
            _ => {}
        }
    }
}

/// The message with each element in turn left out, doubled, changed for the next, renamed, given a word, and with each of
/// its attributes left out or spoilt.
fn damaged(xml: &str) -> Vec<String> {
    let places = places(xml);
    let mut all = Vec::new();
    for (at, place) in places.iter().enumerate().skip(1) {
        let (before, element, after) = (&xml[..place.from], &xml[place.from..place.to], &xml[place.to..]);
        all.push(format!("{before}{after}"));
        all.push(format!("{before}{element}{element}{after}"));
        all.push(format!("{before}<odd/>{element}{after}"));
        all.push(format!("{before}word{element}{after}"));
        let siblings = places[at + 1..].iter().take_while(|p| p.depth >= place.depth);
        if let Some(next) = siblings.clone().find(|p| p.depth == place.depth) {
            let other = &xml[next.from..next.to];
            let between = &xml[place.to..next.from];
            all.push(format!("{before}{other}{between}{element}{}", &xml[next.to..]));
        }
        all.extend(
            spoilt(&xml[place.from..place.tag_ends])
                .into_iter()
                .map(|tag| format!("{before}{tag}{}", &xml[place.tag_ends..])),
        );
    }
    all
}

/// A start tag with each attribute left out, emptied and given an impossible value.
fn spoilt(tag: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(equals) = tag[from..].find("=\"").map(|at| from + at) {
        let begins = tag[..equals].rfind(' ').unwrap();
        let ends = equals + 2 + tag[equals + 2..].find('"').unwrap();
        found.push(format!("{}{}", &tag[..begins], &tag[ends + 1..]));
        found.push(format!("{}={:?}{}", &tag[..equals], "", &tag[ends + 1..]));
        found.push(format!("{}={:?}{}", &tag[..equals], "x y", &tag[ends + 1..]));
        from = ends + 1;
    }
    found
}

/// What `xmllint` says of each file: whether it validates.
fn judged(schema: &Path, folder: &Path, files: &[String]) -> Option<Vec<bool>> {
    let mut verdicts = Vec::new();
    for (batch, chunk) in files.chunks(300).enumerate() {
        let mut arguments = vec!["--nonet".into(), "--noout".into(), "--schema".into(), schema.to_owned()];
        let names: Vec<_> = (0..chunk.len()).map(|at| folder.join(format!("{batch}-{at}.xml"))).collect();
        for (name, text) in names.iter().zip(chunk) {
            std::fs::write(name, text).unwrap();
        }
        arguments.extend(names.iter().cloned());
        let said = tools::run("xmllint", arguments)?;
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        let valid: std::collections::HashSet<&str> =
            said.lines().filter_map(|line| line.strip_suffix(" validates")).collect();
        assert!(said.contains(" validates") || said.contains(" fails to validate"), "xmllint judged: {said}");
        verdicts.extend(names.iter().map(|name| valid.contains(name.to_str().unwrap())));
    }
    Some(verdicts)
}

/// What no schema sees, or sees less strictly than the reference asks (extract §1.6, §2.1).
fn ours_alone(flaw: &Flaw) -> bool {
    match flaw {
        Flaw::BadId { .. } | Flaw::RepeatedId { .. } | Flaw::NoAgent { .. } | Flaw::NoStatement { .. } => {
            true
        }
        // The schema gives these attributes defaults, which we write out.
        Flaw::Attribute { wrong, .. } => *wrong != Wrong::Unknown,
        Flaw::NotXml { .. }
        | Flaw::NoExtract
        | Flaw::Misplaced { .. }
        | Flaw::TooMany { .. }
        | Flaw::Missing { .. }
        | Flaw::Label { .. }
        | Flaw::Words { .. } => false,
    }
}

#[test]
fn what_the_schema_refuses_of_a_damaged_message_our_gate_refuses_too() {
    let Some(schemas) = tools::shared("schema/hl7/schema") else { return };
    for (interaction, name) in
        [(Interaction::Uk06, "RCMR_IN030000UK06.xsd"), (Interaction::Uk07, "RCMR_IN030000UK07.xsd")]
    {
        let xml = message(interaction);
        assert_eq!(extract::validate(xml.as_bytes()), [], "our own message passes");
        let files = damaged(&xml);
        assert!(files.len() > 1000, "many kinds of damage: {}", files.len());
        let folder = tempfile::tempdir().unwrap();
        let Some(verdicts) = judged(&schemas.join(name), folder.path(), &files) else { return };
        let (mut let_by, mut too_strict) = (Vec::new(), Vec::new());
        for (file, valid) in files.iter().zip(&verdicts) {
            let found = extract::validate(file.as_bytes());
            if !valid && found.is_empty() {
                let_by.push(difference(&xml, file));
            }
            if *valid && !found.iter().all(|f| ours_alone(&f.flaw)) {
                too_strict.push(format!("{found:?}: {}", difference(&xml, file)));
            }
        }
        assert!(
            let_by.is_empty(),
            "{} that the schema refuses:\n{}",
            let_by.len(),
            let_by[..let_by.len().min(40)].join("\n")
        );
        assert!(
            too_strict.is_empty(),
            "{} that the schema allows:\n{}",
            too_strict.len(),
            too_strict[..too_strict.len().min(40)].join("\n")
        );
        let refused = verdicts.iter().filter(|valid| !**valid).count();
        assert!(refused > 500, "the schema had something to refuse: {refused}");
    }
}

/// Where the two texts part, for a person to read.
fn difference(whole: &str, damaged: &str) -> String {
    let at = whole.bytes().zip(damaged.bytes()).take_while(|(a, b)| a == b).count();
    let from = at.saturating_sub(90);
    let to = (at + 90).min(damaged.len());
    damaged.get(from..to).unwrap_or("(between characters)").to_owned()
}
