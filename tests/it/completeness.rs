//! The completeness account of one record, between two real daemons: the sender and the receiver each show, publish and
//! count the same numbers, and what the receiver files can be read and balances.
//!
//! What each kind of resource becomes is not tried here: that is `exact`, `gate` and `reading`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::json_schema;
use crate::privacy::told;
use crate::site::{Site, Sites, bundle, names, release, transfer};

const NUMBER: &str = "9990000018";
const LETTER: &str = "The letter of the clinic.\n";
/// Of the letter, as `openssl dgst` gives them: SHA-1 in base64 and SHA-256.
const LETTER_SHA1: &str = "ZwNV/KBM/bdHzLAj7nuSnlBMo98=";
const LETTER_SHA256: &str = "7b241f7d18b1737c37d9aa922ae62e12cadc67a83a4d453c8e22222537eb6c23";

const STATES: [&str; 4] = ["mapped", "merged", "degraded", "not_clinical"];
/// Note and letter; patient and practitioner; the note of no day and the letter that is gone; what a server said.
const SENT: [u64; 4] = [2, 2, 2, 1];

#[test]
fn the_sender_shows_publishes_and_counts_what_became_of_every_resource() {
    let (sites, id) = delivered();
    let prison = &sites.prison;
    let shown = prison.ask(&["show", &id]);
    fits("show.schema.json", &shown);
    assert_eq!(totals(&shown["account"]), SENT);
    let resources = record()["entry"].as_array().unwrap().len() as u64;
    assert_eq!(SENT.iter().sum::<u64>(), resources, "every resource is in one state (hazard H8)");
    let lost = json!([
        { "resource": "DocumentReference/~4", "state": "degraded", "reasons": ["attachment-absent"] },
        { "resource": "Observation/~5", "state": "degraded", "reasons": ["malformed-date"] },
        { "resource": "OperationOutcome/~6", "state": "not_clinical", "reasons": ["not-clinical"] },
    ]);
    assert_eq!(shown["account"]["items"], lost, "what is not carried in full is named with its reason");

    let text = String::from_utf8(prison.run(&["show", &id]).stdout).unwrap();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = "record 2 items carried in full, 2 inside others, 2 with losses, 1 left out";
    assert!(words.contains(said), "a person reads the same numbers: {text}");
    for reason in ["Observation/~5 (malformed-date)", "OperationOutcome/~6 (not-clinical)"] {
        assert!(words.contains(reason), "{reason}: {text}");
    }

    for kind in ["sent", "integrated"] {
        let outcome = outcome(prison, kind).unwrap();
        assert_eq!(outcome["transfer"], id);
        assert_eq!(totals(&outcome["completeness"]), SENT, "the clinic is told the same: {kind}");
    }
    assert_eq!(counted(prison, "sent"), SENT.map(Some), "one record was sent");
    assert_eq!(counted(prison, "received"), [None; 4], "and none received");
}

#[test]
fn the_receiver_files_a_record_and_accounts_for_every_statement_in_it() {
    let (sites, _) = delivered();
    let practice = &sites.practice;
    let folder = filed(practice);
    let record = read(&folder.join("record.json"));
    assert_eq!(record["resourceType"], "Bundle");
    let patients = resources(&record, "Patient");
    assert_eq!(patients.len(), 1, "a record is one patient's");
    assert_eq!(patients[0]["identifier"][0]["value"], NUMBER);
    let notes = resources(&record, "Observation");
    let comments: Vec<&str> = notes.iter().map(|note| note["comment"].as_str().unwrap()).collect();
    assert_eq!(comments, ["Well.", "Of no day. Effective: 2019-02-30"], "the words of both came over");

    let account = read(&folder.join("account.json"));
    fits("account.schema.json", &account);
    let received = totals(&account);
    let statements = statements(&fs::read_to_string(folder.join("extract.xml")).unwrap());
    assert_eq!(account["input"], statements, "every statement of the extract is in it");
    assert_eq!(received.iter().sum::<u64>(), statements, "in one state each (hazard H8)");
    assert_eq!(account["entries"].as_array().unwrap().len() as u64, statements);

    let filing = read(&folder.join("filed.json"));
    for part in ["record", "account"] {
        assert_eq!(filing[part]["file"], format!("{part}.json"));
        let length = fs::metadata(folder.join(format!("{part}.json"))).unwrap().len();
        assert_eq!(filing[part]["bytes"], length, "filed.json says how much of {part} there is");
    }
    let id = folder.file_name().unwrap().to_str().unwrap();
    let shown = practice.ask(&["show", id]);
    fits("show.schema.json", &shown);
    assert_eq!(totals(&shown["account"]), received, "show gives the totals of what is filed");
    assert_eq!(totals(&outcome(practice, "filed").unwrap()["completeness"]), received);
    assert_eq!(counted(practice, "received"), received.map(Some), "one record was received");
    assert_eq!(counted(practice, "sent"), [None; 4], "and none sent: an acknowledgement is no record");
}

#[test]
fn a_document_that_came_is_referred_to_by_its_content_and_what_stands_for_another_says_so() {
    let (sites, _) = delivered();
    let folder = filed(&sites.practice);
    let record = read(&folder.join("record.json"));
    let documents: Vec<&Value> = resources(&record, "DocumentReference")
        .into_iter()
        .map(|document| &document["content"][0]["attachment"])
        .collect();
    assert_eq!(documents.len(), 2);
    let content = |document: &Value| {
        fs::read_to_string(folder.join(document["url"].as_str().unwrap())).expect("the url is a filed file")
    };
    let letter = documents.iter().find(|d| d["hash"] == LETTER_SHA1).expect("the letter, by its hash");
    assert_eq!(content(letter), LETTER);
    let filing = read(&folder.join("filed.json"));
    let mut files = filing["attachments"].as_array().unwrap().iter();
    let file = files.find(|file| file["file"] == letter["url"]).unwrap();
    assert_eq!(file["sha256"], LETTER_SHA256, "filed.json vouches for the same file");

    let other = documents.iter().find(|d| d["hash"] != LETTER_SHA1).unwrap();
    assert!(other["title"].as_str().unwrap().starts_with("AbsentAttachment"), "{other}");
    let words = content(other);
    assert!(words.contains("gone.pdf") && words.contains("File not found"), "which one, and why: {words}");
    let account = read(&folder.join("account.json"));
    let absent = account["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["reasons"] == json!(["attachment-absent"]));
    assert_eq!(absent.count(), 1, "the receiver's account says so, too: {account}");
}

/// The sender has a placeholder for whatever it lacks, so the filed extract is read again without its files.
#[test]
fn a_document_that_never_came_is_degraded_with_that_reason_and_has_no_address() {
    let (sites, _) = delivered();
    let folder = filed(&sites.practice);
    let extract = folder.join("extract.xml");
    let output = sites.practice.run(&["extract", "read", extract.to_str().unwrap()]);
    let account: Value = serde_json::from_slice(&output.stderr).unwrap();
    fits("account.schema.json", &account);
    let before = read(&folder.join("account.json"));
    assert_eq!(account["input"], before["input"], "what is missing is accounted for all the same");
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    let documents = resources(&record, "DocumentReference");
    assert_eq!(documents.len(), 2);
    for document in documents {
        let to = format!("DocumentReference/{}", document["id"].as_str().unwrap());
        let entry = account["entries"].as_array().unwrap().iter().find(|entry| entry["to"] == to).unwrap();
        assert_eq!(entry["state"], "degraded");
        let reasons = entry["reasons"].as_array().unwrap();
        assert!(reasons.contains(&json!("document-not-received")), "{entry}");
        let attachment = &document["content"][0]["attachment"];
        assert!(attachment["url"].is_null() && attachment["hash"].is_null(), "nothing to open: {attachment}");
    }
}

/// Seven resources: at least one for each state, and two documents of which one is not to be had.
fn record() -> Value {
    let documents = [("letter.txt", "text/plain"), ("gone.pdf", "application/pdf")];
    let mut record = bundle(NUMBER, "Example", "1980-01-01", "Well.", &documents);
    let entries = record["entry"].as_array_mut().unwrap();
    let mut bad = entries.iter().find(|e| e["resource"]["id"] == "o").unwrap().clone();
    bad["resource"]["id"] = json!("bad");
    bad["resource"]["effectiveDateTime"] = json!("2019-02-30");
    bad["resource"]["comment"] = json!("Of no day.");
    entries.push(bad);
    entries.push(json!({ "resource": { "resourceType": "OperationOutcome", "id": "told",
        "issue": [{ "severity": "warning", "code": "incomplete" }] } }));
    record
}

/// Two sites between which the record was released, filed and acknowledged, and the sender's transfer.
fn delivered() -> (Sites, String) {
    let mut sites = Sites::start("info");
    sites.prison.attachment("stay", "letter.txt", LETTER);
    sites.prison.record("stay", record().to_string());
    sites.prison.drop_in(&[("a.json", release("stay", NUMBER).to_string().into_bytes())]);
    sites.prison.until("the practice accepts the record", |site| outcome(site, "integrated").is_some());
    sites.practice.until("it is filed", |site| outcome(site, "filed").is_some());
    (sites, transfer("stay").to_string())
}

/// The outcome of that kind, once it is published.
fn outcome(site: &Site, kind: &str) -> Option<Value> {
    let folder = site.folder.join("spool/out");
    let mut outcomes = names(&folder).into_iter().filter(|name| name.ends_with(".json"));
    outcomes.find(|name| name.contains(&format!("-{kind}-"))).map(|name| read(&folder.join(name)))
}

/// What the site counts of records in that direction, by state.
fn counted(site: &Site, direction: &str) -> [Option<u64>; 4] {
    let metrics = String::from_utf8(told(site.metrics, "/metrics")).unwrap();
    STATES.map(|state| {
        let name = format!("throughcare_record_items_total{{direction=\"{direction}\",state=\"{state}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).map(|count| count.parse().unwrap())
    })
}

/// Where the one record lies that the site filed.
fn filed(site: &Site) -> PathBuf {
    let folder = site.folder.join("filed");
    let [name] = &names(&folder)[..] else { panic!("one record is filed") };
    folder.join(name)
}

fn totals(account: &Value) -> [u64; 4] {
    STATES.map(|state| account[state].as_u64().unwrap_or_else(|| panic!("{state} in {account}")))
}

/// What an account of an extract counts, of the kinds this record gives.
fn statements(xml: &str) -> u64 {
    let kinds = ["<ehrComposition ", "<NarrativeStatement ", "<referredToExternalDocument "];
    kinds.iter().map(|kind| xml.matches(kind).count() as u64).sum()
}

fn resources<'b>(bundle: &'b Value, kind: &str) -> Vec<&'b Value> {
    let entries = bundle["entry"].as_array().unwrap().iter();
    entries.map(|entry| &entry["resource"]).filter(|r| r["resourceType"] == kind).collect()
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn fits(schema: &str, value: &Value) {
    let faults = json_schema::faults(&json_schema::load(schema), value);
    assert!(faults.is_empty(), "breaks {schema}: {faults:#?}\n{value:#}");
}
