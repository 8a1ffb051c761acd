//! Two daemons that ask each other for records: a reception at the prison, and a practice's request that meets a waiting
//! release.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use throughcare::model::EventId;

use crate::site::bundle;
use crate::sites::{self, Pair, Site, instant};

pub const NUMBER: &str = "9990000018";
const PATIENCE: Duration = Duration::from_secs(60);

/// The event of a stay: a permanent registration that PDS took, whose practice before is `previous`.
pub fn registered(establishment: &str, stay: &str, number: &str, previous: &str) -> Value {
    let now = throughcare::clock::now().to_string();
    json!({
        "event_id": EventId::derived(&["registered", stay]).to_string(), "source": "test-clinic",
        "establishment": establishment, "stay": stay, "patient_ref": format!("person-{stay}"), "seq": 2,
        "occurred_at": now, "nhs_number": number, "number_status": "verified", "sensitive": "no", "actor": "staff-7",
        "registration_decision": {
            "decision": "permanent", "decided_at": now, "role": "reception_nurse", "basis": "person",
            "pds_update": "succeeded", "pds_updated_at": now, "previous_practice": previous
        }
    })
}

/// A release for which no practice is known yet, with what PDS says now.
pub fn released(stay: &str, registered_with: &str) -> Value {
    let now = throughcare::clock::now().to_string();
    json!({
        "event_id": EventId::derived(&["released", stay]).to_string(), "source": "test-clinic",
        "establishment": "HMP01", "stay": stay, "patient_ref": format!("person-{stay}"), "seq": 1, "occurred_at": now,
        "nhs_number": NUMBER, "number_status": "verified", "sensitive": "no",
        "pds": { "checked_at": now, "current_practice": registered_with, "deceased": "no" },
        "release": {
            "release_at": now, "certainty": "happened", "kind": "end_of_custody", "record_ref": stay,
            "record_as_of": now
        }
    })
}

pub fn tell(site: &Site, event: &Value) {
    let name = format!("{}.json", event["event_id"].as_str().unwrap());
    let aside = site.folder.join("spool/tmp").join(&name);
    fs::write(&aside, event.to_string()).unwrap();
    fs::rename(aside, site.folder.join("spool/new").join(name)).unwrap();
}

pub fn record(site: &Site, name: &str, number: &str, documents: &[(&str, &str)]) {
    let records = site.folder.join("records");
    fs::write(
        records.join(format!("{name}.json")),
        bundle(number, "Synthetic", "1984-02-29", "words", documents).to_string(),
    )
    .unwrap();
    fs::create_dir_all(records.join(name)).unwrap();
    for (document, _) in documents {
        fs::write(records.join(name).join(document), "a letter (synthetic)").unwrap();
    }
}

/// Two daemons; no record is taken that was not asked for, and what was asked for is filed without a person.
pub fn pair(folder: &std::path::Path) -> Pair {
    let pair = sites::lay(folder, "");
    for site in [&pair.prison, &pair.practice] {
        let settings = site.folder.join("throughcare.toml");
        let text = fs::read_to_string(&settings).unwrap();
        let text = text.replace("accept_push = true", "accept_push = false\ndecided_by = \"auto-file\"");
        fs::write(settings, text).unwrap();
    }
    pair
}

pub fn until(pair: &Pair, what: &str, so: impl Fn(&Pair) -> bool) {
    let deadline = instant() + PATIENCE;
    while !so(pair) {
        let (prison, practice) = (pair.prison.states(), pair.practice.states());
        assert!(
            instant() < deadline,
            "{what}: {prison:?} {practice:?}\n{}\n{}",
            pair.prison.log(),
            pair.practice.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn stands(site: &Site, state: &str) -> bool {
    site.states().get(state) == Some(&1)
}

/// The timeline of the only transfer, in words.
fn timeline(site: &Site) -> Vec<String> {
    let list = site.ask(&["list", "state=any"]).unwrap();
    let id = list["transfers"][0]["id"].as_str().unwrap().to_owned();
    let show = site.ask(&["show", &id]).unwrap();
    let lines = show["timeline"].as_array().unwrap();
    lines.iter().map(|line| line["words"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_reception_asks_the_practice_before_and_files_and_acknowledges_what_it_sends() {
    let place = tempfile::tempdir().unwrap();
    let mut pair = pair(place.path());
    record(&pair.practice, "community", NUMBER, &[("letter.txt", "text/plain")]);
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &registered("HMP01", "stay-1", NUMBER, "B85002"));
    until(&pair, "M1, M3, M2, M8", |p| stands(&p.prison, "filed") && stands(&p.practice, "integrated"));
    assert_eq!(pair.prison.filed(), 1, "filed once");
    let words = timeline(&pair.prison).join("\n");
    for step in [
        "asked of B85002",
        "our request was delivered",
        "it sends the record",
        "extract arrived",
        "filed for",
    ] {
        assert!(words.contains(step), "{step} is not told:\n{words}");
    }
    let theirs = timeline(&pair.practice).join("\n");
    for step in ["HMP01 asks", "packet assembled", "our acknowledgement was delivered", "the practice filed"]
    {
        assert!(theirs.contains(step), "{step} is not told:\n{theirs}");
    }
    let filed = fs::read_dir(pair.prison.folder.join("filed")).unwrap();
    let folder = filed.map(|e| e.unwrap().path()).find(|p| !p.ends_with(".tmp")).unwrap();
    let description: Value = serde_json::from_slice(&fs::read(folder.join("filed.json")).unwrap()).unwrap();
    assert_eq!(description["attachments"].as_array().map(Vec::len), Some(1), "{description}");
}

#[test]
fn a_patient_the_practice_does_not_have_is_answered_by_06_and_one_it_cannot_tell_apart_by_10() {
    let place = tempfile::tempdir().unwrap();
    let mut pair = pair(place.path());
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &registered("HMP01", "stay-1", NUMBER, "B85002"));
    until(&pair, "06 (S30)", |p| {
        stands(&p.prison, "request-refused") && stands(&p.practice, "request-refused")
    });
    let words = timeline(&pair.prison).join("\n");
    assert!(words.contains("code 06: they do not have this patient"), "{words}");
    for name in ["one", "two"] {
        record(&pair.practice, name, "9990000026", &[]);
    }
    tell(&pair.prison, &registered("HMP01", "stay-2", "9990000026", "B85002"));
    until(&pair, "10", |p| p.prison.states().get("request-refused") == Some(&2));
    assert_eq!(pair.prison.filed(), 0);
}

#[test]
fn a_practice_that_asks_meets_the_release_that_waits_for_it_and_another_practice_gets_19() {
    let place = tempfile::tempdir().unwrap();
    let mut pair = pair(place.path());
    record(&pair.prison, "stay-1", NUMBER, &[("letter.txt", "text/plain")]);
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &released("stay-1", "B85002"));
    until(&pair, "no practice is known", |p| stands(&p.prison, "held"));
    tell(&pair.practice, &registered("B85002", "registration-1", NUMBER, "HMP01"));
    until(&pair, "the request joins (§3.6)", |p| {
        stands(&p.prison, "integrated") && stands(&p.practice, "filed")
    });
    assert_eq!(pair.practice.filed(), 1);

    let place = tempfile::tempdir().unwrap();
    let mut pair = self::pair(place.path());
    record(&pair.prison, "stay-1", NUMBER, &[]);
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &released("stay-1", "B81001"));
    until(&pair, "no practice is known", |p| stands(&p.prison, "held"));
    tell(&pair.practice, &registered("B85002", "registration-1", NUMBER, "HMP01"));
    until(&pair, "PDS names another practice (S31)", |p| stands(&p.practice, "request-refused"));
    let words = timeline(&pair.practice).join("\n");
    assert!(words.contains("code 19"), "{words}");
    assert_eq!(pair.practice.filed(), 0, "nothing left");
}

#[test]
fn both_ends_are_killed_again_and_again_and_the_record_is_filed_once() {
    let place = tempfile::tempdir().unwrap();
    let mut pair = pair(place.path());
    record(&pair.practice, "community", NUMBER, &[("letter.txt", "text/plain")]);
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &registered("HMP01", "stay-1", NUMBER, "B85002"));
    for kill in 0..6_u64 {
        std::thread::sleep(Duration::from_millis(40 + kill * 37));
        let site = if kill % 2 == 0 { &mut pair.practice } else { &mut pair.prison };
        site.kill9();
        site.start();
    }
    until(&pair, "H2, F1, F20", |p| stands(&p.prison, "filed") && stands(&p.practice, "integrated"));
    assert_eq!(pair.prison.filed(), 1, "H6");
}
