//! Moves with real daemons (gp2gp reference §2.6): a prison between two practices that one other daemon serves. The prison
//! asks A for the record; C asks the prison before that record is filed.

mod parked;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::conversation::{NUMBER, pair, record, registered, released, stands, tell, until};
use crate::sites::{Pair, Site};

/// The practice before, on the same system as B85002, which asks afterwards.
const BEFORE: &str = "B81001";

/// Two daemons, of which one serves both practices. At the prison the clinical system decides what is filed.
fn chain(folder: &Path) -> Pair {
    let pair = pair(folder);
    for site in [&pair.prison, &pair.practice] {
        let file = site.folder.join("directory.toml");
        let text = fs::read_to_string(&file).unwrap();
        let parties = text.split("[[party]]").filter(|party| party.contains("\"B85002\""));
        let party: String = parties.collect();
        let party = party.replace("B85002", BEFORE).replace("200000000002", "200000000003");
        fs::write(file, format!("{text}\n[[party]]{party}")).unwrap();
    }
    set(&pair.prison, "decided_by = \"auto-file\"", "");
    pair
}

fn set(site: &Site, from: &str, to: &str) {
    let settings = site.folder.join("throughcare.toml");
    let text = fs::read_to_string(&settings).unwrap();
    assert!(text.contains(from));
    fs::write(settings, text.replace(from, to)).unwrap();
}

/// The transfer of that kind and state, in short.
fn row(site: &Site, kind: &str, state: &str) -> Value {
    let list = site.ask(&["list", &format!("kind={kind}"), &format!("state={state}")]).unwrap();
    let rows = list["transfers"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{kind} {state}: {list}");
    rows[0].clone()
}

fn words(site: &Site, kind: &str, state: &str) -> String {
    let id = row(site, kind, state)["id"].as_str().unwrap().to_owned();
    let show = site.ask(&["show", &id]).unwrap();
    let lines = show["timeline"].as_array().unwrap();
    lines.iter().map(|line| line["words"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_request_that_comes_before_the_record_is_filed_waits_through_a_power_cut_and_is_answered_then() {
    let place = tempfile::tempdir().unwrap();
    let mut pair = chain(place.path());
    record(&pair.practice, "community", NUMBER, &[("letter.txt", "text/plain")]);
    record(&pair.prison, "stay-1", NUMBER, &[]);
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &registered("HMP01", "stay-1", NUMBER, BEFORE));
    until(&pair, "A's record lies unfiled at B", |p| stands(&p.prison, "awaiting-decision"));
    tell(&pair.practice, &registered("B85002", "registration-1", NUMBER, "HMP01"));
    until(&pair, "C's request is parked (case 1)", |p| stands(&p.prison, "parked"));
    let why = row(&pair.prison, "release", "parked")["why"].as_str().unwrap().to_owned();
    assert!(why.contains(BEFORE) && why.contains("not filed yet"), "{why}");

    pair.prison.kill9();
    pair.prison.start();
    assert!(stands(&pair.prison, "parked"), "it survives: {:?}", pair.prison.states());
    until(&pair, "S34: no early AA, and nothing refused", |p| stands(&p.practice, "requested"));

    let reception = row(&pair.prison, "reception", "awaiting-decision")["id"].as_str().unwrap().to_owned();
    let decided = ["decide", &reception, "--integrated", "--reason", "filed by hand"];
    pair.prison.ask(&decided).expect("it is decided");
    until(&pair, "PDS is asked again on unparking", |p| stands(&p.prison, "held"));
    tell(&pair.prison, &released("stay-1", "B85002"));
    until(&pair, "filed, and then sent on", |p| {
        stands(&p.prison, "integrated") && stands(&p.practice, "filed") && stands(&p.prison, "filed")
    });
    let told = words(&pair.prison, "release", "integrated");
    for step in
        ["B85002 asks", "waits until the record from B81001 is filed", "waits for a person", "assembled"]
    {
        assert!(told.contains(step), "{step} is not told:\n{told}");
    }
    assert_eq!(pair.practice.filed(), 1, "H6: once");
}

#[test]
fn a_practice_that_asks_where_gp2gp_is_switched_off_is_told_07() {
    let place = tempfile::tempdir().unwrap();
    let mut pair = pair(place.path());
    set(&pair.practice, "[telemetry]", "[gp2gp]\nsender = false\n[telemetry]");
    record(&pair.practice, "community", NUMBER, &[]);
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &registered("HMP01", "stay-1", NUMBER, "B85002"));
    until(&pair, "TD51.2", |p| {
        stands(&p.prison, "request-refused") && stands(&p.practice, "request-refused")
    });
    let told = words(&pair.prison, "reception", "request-refused");
    assert!(told.contains("code 07: their GP2GP is switched off"), "{told}");
    assert_eq!(pair.prison.filed(), 0);
}
