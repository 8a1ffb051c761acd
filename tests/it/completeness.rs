//! What became of a record is known at both ends: to the operator, to who asked for the transfer, and in figures.

use std::fs;

use serde_json::{Value, json};

use crate::json_schema;
use crate::privacy::told;
use crate::site::{Site, Sites, bundle, names, release, transfer};

const NUMBER: &str = "9990000018";

/// A record with an entry in each of the four states, a document that is there and one that is not.
fn record() -> Value {
    let documents = [("letter.txt", "text/plain"), ("lost.txt", "text/plain")];
    let mut record = bundle(NUMBER, "Example", "1980-01-01", "Keeping well.", &documents);
    let entries = record["entry"].as_array_mut().unwrap();
    entries.push(json!({"resource": {"resourceType": "Observation", "id": "bad", "code": {"text": "Cough"},
        "effectiveDateTime": "2019-02-30"}}));
    entries.push(json!({"resource": {"resourceType": "OperationOutcome", "id": "outcome"}}));
    record
}

fn totals(of: &Value) -> [u64; 4] {
    // What is nothing is left out of an outcome.
    ["mapped", "merged", "degraded", "not_clinical"].map(|state| of[state].as_u64().unwrap_or(0))
}

/// The totals that the metrics of a site give for one direction.
fn counted(site: &Site, direction: &str) -> [u64; 4] {
    let answer = String::from_utf8(told(site.metrics, "/metrics")).unwrap();
    ["mapped", "merged", "degraded", "not_clinical"].map(|state| {
        let mut lines = answer.lines().filter(|line| line.starts_with("throughcare_record_items_total{"));
        let line =
            lines.find(|l| l.contains(&format!("\"{direction}\"")) && l.contains(&format!("\"{state}\"")));
        line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    })
}

/// The one folder that was filed.
fn filed(site: &Site, file: &str) -> Value {
    let folder = site.folder.join("filed");
    let [only] = &names(&folder)[..] else { panic!("one record is filed: {:?}", names(&folder)) };
    serde_json::from_slice(&fs::read(folder.join(only).join(file)).unwrap()).unwrap()
}

#[test]
fn the_account_of_a_record_is_shown_published_counted_and_filed() {
    let mut sites = Sites::start("info");
    sites.prison.record("stay", record().to_string());
    sites.prison.attachment("stay", "letter.txt", "Dear colleague");
    sites.prison.drop_in(&[("a.json", release("stay", NUMBER).to_string().into_bytes())]);
    let id = transfer("stay").to_string();
    sites
        .prison
        .until("it is integrated", |site| site.row("stay").is_some_and(|row| row["state"] == "integrated"));
    let expected = [2, 2, 2, 1];
    sender(&sites.prison, &id, expected);
    receiver(&sites.practice);
}

fn sender(prison: &Site, id: &str, expected: [u64; 4]) {
    let shown = prison.ask(&["show", id]);
    let faults = json_schema::faults(&json_schema::load("show.schema.json"), &shown);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(
        totals(&shown["account"]),
        expected,
        "every resource of the Bundle once (extract §1.1): {shown}"
    );
    let text = String::from_utf8(prison.run(&["show", id]).stdout).unwrap();
    for words in ["Observation/bad", "malformed-date", "DocumentReference/d1", "attachment-absent"] {
        assert!(text.contains(words), "the operator sees what was lost: no {words} in {text}");
    }
    let out = prison.folder.join("spool/out");
    let outcomes = names(&out);
    let read = |name: &String| serde_json::from_slice::<Value>(&fs::read(out.join(name)).unwrap()).unwrap();
    let last = outcomes.iter().map(read).find(|o| o["completeness"].is_object()).expect("an outcome says it");
    assert_eq!(totals(&last["completeness"]), expected);
    assert_eq!(counted(prison, "sent"), expected);
}

fn receiver(practice: &Site) {
    let account = filed(practice, "account.json");
    let faults = json_schema::faults(&json_schema::load("account.schema.json"), &account);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(totals(&account).iter().sum::<u64>(), account["input"].as_u64().unwrap(), "extract §1.1");
    assert_eq!(counted(practice, "received"), totals(&account));
    let list = practice.ask(&["list", "state=any"]);
    let shown = practice.ask(&["show", list["transfers"][0]["id"].as_str().unwrap()]);
    assert_eq!(totals(&shown["account"]), totals(&account));
    let record = filed(practice, "record.json");
    let resources: Vec<&Value> = record["entry"].as_array().unwrap().iter().map(|e| &e["resource"]).collect();
    let of = |kind: &str| resources.iter().filter(|r| r["resourceType"] == kind).collect::<Vec<_>>();
    assert_eq!(of("Patient").len(), 1);
    assert!(of("Observation").iter().any(|o| o["comment"] == "Keeping well."), "{record}");
    // The letter came, and the placeholder for the one that our own sender could not find.
    let listed = filed(practice, "filed.json");
    let files: Vec<&Value> = listed["attachments"].as_array().unwrap().iter().map(|a| &a["file"]).collect();
    for document in of("DocumentReference") {
        let attachment = &document["content"][0]["attachment"];
        assert!(files.contains(&&attachment["url"]), "a document is named by the file it is: {attachment}");
        assert!(attachment["hash"].is_string() && attachment["size"].as_u64() > Some(0), "{attachment}");
    }
    assert_eq!((of("DocumentReference").len(), files.len()), (2, 2));
    assert_eq!(listed["missing"], Value::Null, "all that is referred to was sent");
}
