//! Records with one bad entry still go: it is degraded with its reason, its words are in the message, and the good entry
//! beside it is as it would be alone.
//!
//! Each line of `bad_records/cases.txt` has the states of the entries, words that the message must have, and the entries:
//! `Kind members`, parted by ` + `, with what such a resource needs besides. `@Kind` refers to nowhere, `@Kind/id` to an
//! entry, and `LONG` is long.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use throughcare::extract::{self, Content, Documents, Expected, Extract, Interaction, Record};
use throughcare::extract::{RecordFault, RecordLimits, Refusal};

use crate::extracts::{assert_valid, balanced, bundles, number_of, parameters, read, tool};
use crate::tools;

const PATIENT: &str = r#"{"resourceType":"Patient","id":"p","identifier":[
    {"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"}]}"#;

const GOOD: &str = r#"{"resourceType":"Observation","id":"05e9b02e-2991-4ae1-bfcf-444095dfebd8","status":"final",
    "code":{"text":"Body weight"},"effectiveDateTime":"2020-01-02","valueQuantity":{"value":80.50,"unit":"kg"}}"#;

/// What becomes of bad entries, in tables that begin with a `#` and their name.
const CASES: &str = include_str!("bad_records/cases.txt");

/// What a resource of that kind needs besides: of two members of one name the first counts.
fn needs(kind: &str) -> &'static str {
    match kind {
        "List" => r#""title":"Quokka list""#,
        "Encounter" => r#""type":[{"text":"Quokka visit"}]"#,
        "MedicationRequest" | "MedicationStatement" => {
            r#""status":"active","intent":"plan","medicationCodeableConcept":{"text":"Quokka salve"}"#
        }
        "DiagnosticReport" => r#""conclusion":"Quokka bite""#,
        "Immunization" => r#""vaccineCode":{"text":"Quokka pox"}"#,
        "AllergyIntolerance" => r#""category":["food"],"code":{"text":"Quokka dander"}"#,
        "ReferralRequest" => r#""description":"Quokka bite""#,
        "ProcedureRequest" => r#""intent":"plan","code":{"text":"Quokka watch"}"#,
        "DocumentReference" => r#""content":[{"attachment":{"contentType":"text/plain","data":"aGk="}}]"#,
        _ => r#""code":{"text":"Quokka bite"}"#,
    }
}

/// The resource that a line of a table means.
fn resource(text: &str) -> String {
    let Some((kind, members)) = text.split_once(' ').filter(|_| text.starts_with(char::is_alphabetic)) else {
        return text.to_owned();
    };
    let mut pieces = members.split('@');
    let mut spelt = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let end = piece.find([',', ']', '}']).unwrap_or(piece.len());
        let (to, rest) = piece.split_at(end);
        let named = to.contains(['/', '#']);
        let (to, display) =
            if named { (to.to_owned(), "") } else { (format!("{to}/none"), r#","display":"Dr Quoll""#) };
        write!(spelt, r#"{{"reference":"{to}"{display}}}{rest}"#).unwrap();
    }
    let spelt = spelt.replace("LONG", &"u".repeat(5000));
    format!(r#"{{"resourceType":"{kind}",{spelt},"id":"bad",{}}}"#, needs(kind))
}

/// The lines of a table.
fn lines(table: &str) -> impl Iterator<Item = &'static str> {
    let (_, lines) = CASES.split_once(&format!("# {table}\n")).expect("there is such a table");
    lines.lines().take_while(|line| !line.starts_with('#'))
}

/// States, words and resources of a line.
fn row(line: &'static str) -> (&'static str, &'static str, Vec<String>) {
    let mut columns = line.splitn(3, " | ");
    let mut column = || columns.next().expect("a line has three columns");
    (column(), column(), column().split(" + ").map(resource).collect())
}

fn bundle(resources: &[&str]) -> String {
    let entries: Vec<String> = resources.iter().map(|r| format!(r#"{{"resource":{r}}}"#)).collect();
    format!(r#"{{"resourceType":"Bundle","entry":[{}]}}"#, entries.join(","))
}

fn built(bundle: &str) -> Result<Extract, Refusal> {
    let record = Record::parse(bundle.as_bytes(), &RecordLimits::default()).expect("it is a record");
    extract::build(&record, &parameters("9990000018", Interaction::Uk06), &Documents::new())
}

/// The state of each entry after the patient, with what was lost.
fn states(extract: &Extract) -> Vec<String> {
    let account = serde_json::to_value(&extract.account).unwrap();
    let state = |entry: &Value| {
        let reasons = entry["reasons"].as_array().into_iter().flatten().chain([&entry["reason"]]);
        let words = [&entry["state"]].into_iter().chain(reasons).filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(" ")
    };
    account["entries"].as_array().unwrap().iter().skip(1).map(state).collect()
}

/// The statement of the good entry.
fn good(extract: &Extract) -> String {
    let xml = String::from_utf8_lossy(&extract.xml);
    let from =
        xml.find(r#"<ObservationStatement classCode="OBS" moodCode="EVN"><id root="05E9B02E-"#).unwrap();
    xml[from..].split_once("</ObservationStatement>").unwrap().0.to_owned()
}

/// Judges messages by the schema, our gate and the balance of their accounts.
fn valid(extracts: &[Extract]) {
    let folder = tempfile::tempdir().unwrap();
    let write = |(at, extract): (usize, &Extract)| {
        let file = folder.path().join(format!("{at}.xml"));
        balanced(&file, extract);
        assert_eq!(extract::validate(&extract.xml), [], "extract §1.3");
        std::fs::write(&file, &extract.xml).unwrap();
        file
    };
    let files: Vec<PathBuf> = extracts.iter().enumerate().map(write).collect();
    if let (Some(schema), true) = (tools::shared("schema/hl7/schema/RCMR_IN030000UK06.xsd"), tool("xmllint"))
    {
        files.chunks(300).for_each(|files| assert_valid(&schema, files));
    }
}

/// Builds and judges each line of a table.
fn all_go(table: &str) {
    let alone = good(&built(&bundle(&[PATIENT, GOOD])).unwrap());
    let (mut extracts, mut wrong) = (Vec::new(), Vec::new());
    for (expected, words, resources) in lines(table).map(row) {
        let all: Vec<&str> =
            [PATIENT, GOOD].into_iter().chain(resources.iter().map(String::as_str)).collect();
        let extract = built(&bundle(&all)).unwrap_or_else(|why| panic!("extract §1.2: {why}: {resources:?}"));
        let states = states(&extract).join("; ");
        if states != format!("mapped; {expected}") {
            wrong.push(format!("{states}, not mapped; {expected}: {resources:?}"));
        }
        if !String::from_utf8_lossy(&extract.xml).contains(words) {
            wrong.push(format!("{words} is lost: {resources:?}"));
        }
        assert_eq!(good(&extract), alone, "the good entry is unharmed: {resources:?}");
        assert!(
            extract::read(&extract.xml, &Expected::default()).is_ok(),
            "others can read it: {resources:?}"
        );
        extracts.push(extract);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    valid(&extracts);
}

#[test]
fn a_reference_that_leads_nowhere_is_quoted_and_listed() {
    all_go("dangling");
}

#[test]
fn what_goes_round_in_a_circle_is_written_once() {
    all_go("cycles");
}

#[test]
fn contained_resources_are_accounted_for_like_others() {
    all_go("contained");
}

#[test]
fn a_resource_of_no_known_type_becomes_a_narrative() {
    all_go("unknown");
}

#[test]
fn of_equal_ids_every_entry_is_kept() {
    all_go("repeated");
}

#[test]
fn characters_that_xml_cannot_carry_are_replaced_and_listed() {
    all_go("characters");
}

#[test]
fn a_date_that_is_none_is_quoted_and_listed() {
    all_go("dates");
}

#[test]
fn an_absurd_quantity_is_carried_as_written_or_quoted_and_listed() {
    all_go("quantities");
}

#[test]
fn a_value_of_the_wrong_shape_keeps_its_words() {
    all_go("shapes");
}

#[test]
fn a_long_text_goes_whole_and_one_too_long_for_xml_parsers_in_a_file() {
    let with = |length: usize| {
        let long = "Quokka ".repeat(length / 7);
        let bad = resource(&format!(r#"Observation "comment":"{long}end""#));
        (built(&bundle(&[PATIENT, GOOD, &bad])).unwrap(), long + "end")
    };
    let (whole, long) = with(3_000_000);
    assert_eq!(states(&whole), ["mapped", "mapped"]);
    assert!(String::from_utf8_lossy(&whole.xml).contains(&long), "extract §10: no text is cut");
    let (cut, long) = with(10_500_000);
    assert_eq!(states(&cut), ["mapped", "degraded text-too-long"]);
    assert!(String::from_utf8_lossy(&cut.xml).contains("(the whole text is in the attached file)"));
    assert_eq!(cut.attachments[0].content, Content::Inline(long.into_bytes()), "not a byte of it is lost");
    valid(&[whole, cut]);
}

#[test]
fn an_empty_record_is_one_registration() {
    for resources in [&[PATIENT][..], &[PATIENT, "null"], &[PATIENT, r#"{"resourceType":"Slot"}"#]] {
        let extract = built(&bundle(resources)).unwrap();
        let xml = String::from_utf8_lossy(&extract.xml);
        assert_eq!(xml.matches("<RegistrationStatement ").count(), 1, "extract §2.1");
        assert_eq!(xml.matches("<ehrComposition ").count(), 1, "and nothing else");
        valid(&[extract]);
    }
}

#[test]
fn only_the_wrong_patient_or_none_refuses_a_record() {
    let other = PATIENT.replace("9990000018", "9990000026");
    let two = PATIENT.replace("}]", &format!("}},{}", &other[other.find("[").unwrap() + 1..other.len() - 1]));
    for (resources, refusal) in [
        (vec![GOOD], Refusal::NoPatient),
        (vec![r#"{"resourceType":"Basic","contained":[{"resourceType":"Patient"}]}"#], Refusal::NoPatient),
        (vec![r#"{"resourceType":"Patient"}"#, GOOD], Refusal::NhsNumberMissing),
        (vec![&PATIENT.replace("9990000018", "9990000019"), GOOD], Refusal::NhsNumberMissing),
        (vec![&two, GOOD], Refusal::TwoPatients),
        (vec![PATIENT, &other, GOOD], Refusal::TwoPatients),
        (vec![&other, GOOD], Refusal::AnotherPatient),
    ] {
        assert_eq!(built(&bundle(&resources)), Err(refusal), "hazard H1: {resources:?}");
    }
}

#[test]
fn only_what_is_no_bundle_is_no_record() {
    let limits = RecordLimits::default();
    let fault = |text: &str| Record::parse(text.as_bytes(), &limits).err();
    let whole = bundle(&[PATIENT, GOOD]);
    assert_eq!(fault(&whole), None);
    for text in ["", "<Bundle/>", r#"{"resourceType":"Bundle"}}"#, &whole[..whole.len() - 1]] {
        assert!(matches!(fault(text), Some(RecordFault::NotJson { .. })), "{text}");
    }
    for text in ["null", "[]", "{}", PATIENT, r#"{"resourceType":"bundle"}"#] {
        assert_eq!(fault(text), Some(RecordFault::NotBundle), "{text}");
    }
    let deep = bundle(&[PATIENT, &format!("{}{}", "[".repeat(500), "]".repeat(500))]);
    assert_eq!(fault(&deep), Some(RecordFault::TooDeep { limit: limits.depth }));
    let odd = format!(r#"{{"resourceType":"Bundle","entry":[null,7,"Numbat",[],{{"resource":{PATIENT}}}]}}"#);
    let extract = built(&odd).unwrap();
    assert!(String::from_utf8_lossy(&extract.xml).contains("Numbat"), "extract §1.2");
    valid(&[extract]);
}

/// Builds and reads a record a hundred times, on two threads at once.
fn always_the_same(record: &str, number: &str) {
    let both = || {
        let record = Record::parse(record.as_bytes(), &RecordLimits::default()).unwrap();
        let extract =
            extract::build(&record, &parameters(number, Interaction::Uk07), &Documents::new()).unwrap();
        (extract::read(&extract.xml, &Expected::default()).unwrap(), extract)
    };
    let first = both();
    let again = || (0..50).for_each(|_| assert!(both() == first, "extract §1.4"));
    std::thread::scope(|threads| {
        threads.spawn(again);
        threads.spawn(again);
    });
}

#[test]
fn a_hundred_builds_on_two_threads_give_the_same_bytes() {
    let bad: Vec<String> =
        CASES.lines().filter(|line| !line.starts_with('#')).flat_map(|line| row(line).2).collect();
    let all: Vec<&str> = [PATIENT, GOOD].into_iter().chain(bad.iter().map(String::as_str)).collect();
    always_the_same(&bundle(&all), "9990000018");
    let Some(shared) = tools::shared("") else { return };
    let path = bundles(&shared).into_iter().find(|p| p.ends_with("emis-join/PWTP2.json")).unwrap();
    let record = read(&path);
    always_the_same(std::str::from_utf8(&record).unwrap(), &number_of(&record));
}

/// The value, and with each value in it, in turn changed for every other shape.
fn reshaped(value: &Value) -> Vec<Value> {
    let mut all =
        vec![json!(null), json!("x"), json!(7), json!(true), json!([]), json!({}), json!([["x", 7]])];
    let places: Vec<String> = match value {
        Value::Array(items) => (0..items.len()).map(|at| format!("/{at}")).collect(),
        Value::Object(members) => members.keys().map(|name| format!("/{name}")).collect(),
        _ => Vec::new(),
    };
    for place in places {
        for other in reshaped(value.pointer(&place).unwrap()) {
            let mut changed = value.clone();
            *changed.pointer_mut(&place).unwrap() = other;
            all.push(changed);
        }
    }
    all
}

#[test]
fn whatever_shape_a_value_has_the_record_goes() {
    let record: Value = serde_json::from_str(crate::gate::RESOURCES).unwrap();
    let resources: Vec<String> =
        record["entry"].as_array().unwrap().iter().map(|e| e["resource"].to_string()).collect();
    let mut extracts = Vec::new();
    for at in 1..resources.len() {
        for other in reshaped(&serde_json::from_str(&resources[at]).unwrap()) {
            let other = other.to_string();
            let mut all: Vec<&str> = resources.iter().map(String::as_str).collect();
            all[at] = &other;
            extracts.push(built(&bundle(&all)).unwrap_or_else(|why| panic!("extract §1.2: {why}: {other}")));
        }
    }
    assert!(extracts.len() > 1000, "many shapes: {}", extracts.len());
    valid(&extracts);
}
