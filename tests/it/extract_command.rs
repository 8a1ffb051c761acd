//! `extract build` and `extract validate`: the contract other programs rely on: what goes to which output, exit codes, the
//! JSON of the reports.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::json_schema;

const BUNDLE: &str = r#"{"resourceType":"Bundle","type":"collection","entry":[
    {"resource":{"resourceType":"Patient","id":"p","identifier":[
        {"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"}]}},
    {"resource":{"resourceType":"Basic","id":"b"}}]}"#;

fn build(bundle: &Path, number: &str, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_throughcare"))
        .args(["extract", "build", "--bundle"])
        .arg(bundle)
        .args(["--nhs-number", number, "--request-id", "4e0c4a52-8f41-4a3c-9a57-0d2f8a2f5b11"])
        .args(["--from-ods", "X9001", "--to-ods", "B85002", "--from-asid", "200000000001"])
        .args(["--to-asid", "200000000002", "--conversation-id", "7d2f0a3c-5b1e-4c2a-9e4b-0123456789ab"])
        .args(["--now", "2026-03-02T09:00:00Z"])
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn the_message_goes_to_standard_output_and_a_balanced_account_to_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("record.json");
    std::fs::write(&bundle, BUNDLE).unwrap();
    let first = build(&bundle, "9990000018", &[]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let xml = String::from_utf8(first.stdout.clone()).unwrap();
    assert!(xml.contains("<RCMR_IN030000UK06") && xml.contains("20260302"), "{xml}");
    let account: Value = serde_json::from_slice(&first.stderr).expect("the account is JSON and nothing else");
    let faults = json_schema::faults(&json_schema::load("account.schema.json"), &account);
    assert!(faults.is_empty(), "{faults:?}");
    let total = |key: &str| account[key].as_u64().unwrap();
    let fates = total("mapped") + total("merged") + total("degraded") + total("not_clinical");
    assert_eq!(fates, total("input"), "the account balances (hazard H8)");
    assert_eq!(build(&bundle, "9990000018", &[]).stdout, first.stdout, "same input and clock, same bytes");
    let labelled = build(&bundle, "9990000018", &["--interaction", "UK07"]);
    assert!(String::from_utf8_lossy(&labelled.stdout).contains("<RCMR_IN030000UK07"));
}

#[test]
fn another_patients_record_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("record.json");
    std::fs::write(&bundle, BUNDLE).unwrap();
    let other = build(&bundle, "9990000026", &[]);
    assert_eq!(other.status.code(), Some(1), "hazard H1");
    assert!(other.stdout.is_empty());
    let words = String::from_utf8_lossy(&other.stderr);
    assert!(words.contains("another patient") && !words.contains("99900000"), "{words}");
    let wrong = build(&bundle, "9990000019", &[]);
    assert_eq!(wrong.status.code(), Some(2), "a wrong check digit is wrong usage");
    assert!(!String::from_utf8_lossy(&wrong.stderr).contains("9990000019"), "and is not repeated");
    std::fs::write(&bundle, "{").unwrap();
    let broken = build(&bundle, "9990000018", &[]);
    assert_eq!(broken.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("not JSON"));
}

#[test]
fn what_is_wrong_with_a_message_is_listed_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("record.json");
    std::fs::write(&bundle, BUNDLE).unwrap();
    let xml = String::from_utf8(build(&bundle, "9990000018", &[]).stdout).unwrap();
    let file = folder.path().join("extract.xml");
    let validate = |text: &str, json: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_throughcare"));
        command.args(json).args(["extract", "validate"]).arg(&file).output().unwrap()
    };
    let flawless = validate(&xml, &[]);
    assert_eq!(flawless.status.code(), Some(0), "{}", String::from_utf8_lossy(&flawless.stdout));
    let damaged =
        xml.replacen("<recordTarget typeCode=\"RCT\">", "<recordTarget typeCode=\"RCT\" odd=\"1\">", 1);
    assert_ne!(damaged, xml, "the message says whose record it is");
    let found = validate(&damaged, &["--json"]);
    assert_eq!(found.status.code(), Some(1), "a flaw is a no");
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    let faults = json_schema::faults(&json_schema::load("flaws.schema.json"), &report);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(report["flaws"].as_array().unwrap().len(), 1);
    assert_eq!(report["flaws"][0]["flaw"], "the attribute odd of recordTarget is unknown");
    let path = "RCMR_IN030000UK06/ControlActEvent/subject/EhrExtract/recordTarget";
    assert_eq!(report["flaws"][0]["path"], path);
    assert!(report["flaws"][0]["id"].is_string(), "the id of the extract around it");
    let text = String::from_utf8(validate(&damaged, &[]).stdout).unwrap();
    assert!(text.lines().all(|line| line.len() <= 160) && text.contains("recordTarget"), "{text}");
}
