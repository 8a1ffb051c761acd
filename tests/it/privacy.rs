//! Nobody can be recognised in what we write beside the record itself (custody reference §9): planted numbers, names,
//! dates of birth and words are looked for in logs, metrics, reasons, outcomes, reports, errors and file names.
//!
//! Exempt is what belongs to others: the records folder and the content of bad events as they were handed to us, the
//! content of what is filed, and the daemon's own store, which is state and not telling.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::site::{Sites, bundle, names, release, transfer};

/// The person whose record arrives.
const NUMBER: &str = "9990000018";
/// The person whose record is another's.
const OTHER: &str = "9990000026";
/// A number with a wrong check digit, as a mistyped one would be.
const MISTYPED: &str = "9990000019";
/// A number that is no test number, in an event alone, which is refused.
const REAL: &str = "5000000005";
/// What may be found nowhere, in any case of letters.
const PLANTED: [&str; 13] = [
    NUMBER,
    OTHER,
    MISTYPED,
    REAL,
    "999 000 0018",
    "999-000-0018",
    "quillfeather",
    "zebediah",
    "1961-02-03",
    "19610203",
    "03/02/1961",
    "xylophonitis",
    "hushmoor",
];

/// Which planted values are in it.
fn found(octets: &[u8]) -> Vec<&'static str> {
    let text = String::from_utf8_lossy(octets).to_lowercase();
    PLANTED.into_iter().filter(|planted| text.contains(planted)).collect()
}

fn assert_clean(what: &str, octets: &[u8]) {
    let found = found(octets);
    let text = String::from_utf8_lossy(octets);
    let line = text.lines().find(|line| !self::found(line.as_bytes()).is_empty()).unwrap_or_default();
    assert!(found.is_empty(), "{what} tells {found:?}: {line}");
}

fn said(output: &Output) -> Vec<u8> {
    [output.stdout.as_slice(), &output.stderr].concat()
}

/// Every file below, as a path below `root`.
fn files(root: &Path, below: &Path, into: &mut Vec<PathBuf>) {
    for name in names(&root.join(below)) {
        let path = below.join(name);
        if fs::symlink_metadata(root.join(&path)).unwrap().is_dir() {
            files(root, &path, into);
        }
        into.push(path);
    }
}

fn scan_files(root: &Path) {
    let mut all = Vec::new();
    files(root, Path::new(""), &mut all);
    assert!(all.len() > 10, "a site has files");
    for path in all {
        let name = path.to_string_lossy().into_owned();
        if path.starts_with("records") {
            continue;
        }
        assert_clean("a file name", name.as_bytes());
        let full = root.join(&path);
        let theirs = path.starts_with("filed") || path.starts_with("store");
        let handed_in = path.starts_with("spool/bad") && path.extension().is_none_or(|e| e != "reason");
        if full.is_file() && !theirs && !handed_in {
            assert_clean(&name, &fs::read(full).unwrap());
        }
    }
}

/// What the daemon tells over HTTP.
pub fn told(port: u16, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

fn person(number: &str, documents: &[(&str, &str)]) -> Vec<u8> {
    let mut record = bundle(number, "Quillfeather", "1961-02-03", "Xylophonitis since Hushmoor.", documents);
    record["entry"][0]["resource"]["name"][0]["given"] = json!(["Zebediah"]);
    record.to_string().into_bytes()
}

fn event(stay: &str, number: &str) -> Value {
    let mut event = release(stay, number);
    event["date_of_birth"] = json!("1961-02-03");
    event
}

fn events() -> Vec<(&'static str, Vec<u8>)> {
    let plain = |stay: &str, number: &str| event(stay, number).to_string().into_bytes();
    let with = |stay: &str, key: &str, value: Value| {
        let mut event = event(stay, NUMBER);
        event[key] = value;
        event.to_string().into_bytes()
    };
    let mut record_ref = event("named", NUMBER);
    record_ref["release"]["record_ref"] = json!("../Quillfeather 9990000018");
    let mut again = event("good", OTHER);
    again["stay"] = json!("else");
    vec![
        ("a.json", plain("good", NUMBER)),
        ("b.json", plain("another", NUMBER)),
        ("c.json", plain("broken", NUMBER)),
        ("d.json", plain("mistyped", MISTYPED)),
        ("e.json", plain("real", REAL)),
        ("f.json", with("unknown", "surname", json!("Quillfeather"))),
        ("g.json", with("value", "number_status", json!("Quillfeather"))),
        ("h.json", with("moment", "occurred_at", json!("1961-02-03 Quillfeather"))),
        ("i.json", with("nested", "release", json!("Xylophonitis 9990000018"))),
        ("j.json", with("born", "date_of_birth", json!("03/02/1961"))),
        ("k.json", record_ref.to_string().into_bytes()),
        ("l.json", b"{\"nhs_number\": \"9990000018\", Quillfeather".to_vec()),
        ("m.pb", b"Zebediah Quillfeather 9990000018 1961-02-03".to_vec()),
        ("n.json", again.to_string().into_bytes()),
    ]
}

/// Everything an operator can ask, and some mistakes.
fn scan_reports(sites: &Sites, file: &Path) {
    let site = &sites.prison;
    let good = transfer("good").to_string();
    let mut questions: Vec<Vec<&str>> = vec![
        vec!["status"],
        vec!["list", "state=any"],
        vec!["show", good.as_str()],
        vec!["explain", good.as_str()],
        vec!["quarantine", "list"],
        vec!["show", NUMBER],
        vec!["explain", NUMBER],
        vec!["quarantine", "show", NUMBER],
        vec!["event", "send", file.to_str().unwrap()],
        vec!["check"],
    ];
    let aside = site.ask(&["quarantine", "list"]);
    let ids: Vec<&str> = aside["items"].as_array().unwrap().iter().filter_map(|i| i["id"].as_str()).collect();
    assert!(ids.len() >= 8, "the bad events are in quarantine: {aside:#}");
    questions.extend(ids.iter().map(|id| vec!["quarantine", "show", id]));
    for question in questions {
        for form in [&[] as &[&str], &["--json"]] {
            let output = site.run(&[&question[..], form].concat());
            assert_clean(&format!("throughcare {}", question[0]), &said(&output));
        }
    }
    for place in ["/metrics", "/health/ready", "/health/live"] {
        for site in [&sites.prison, &sites.practice] {
            let answer = told(site.metrics, place);
            assert!(answer.starts_with(b"HTTP/1.1 "), "it answers");
            assert_clean(place, &answer);
        }
    }
}

#[test]
fn nothing_we_tell_names_a_patient() {
    // The most talkative level: no level may tell more of a patient.
    let mut sites = Sites::start("trace");
    let prison = &mut sites.prison;
    let letter = ("Quillfeather 9990000018.txt", "text/plain");
    prison.record("good", person(NUMBER, &[letter, ("gone Zebediah.pdf", "application/pdf")]));
    prison.attachment("good", letter.0, "Zebediah Quillfeather, 9990000018, 1961-02-03: xylophonitis");
    prison.record("another", person(OTHER, &[]));
    prison.record("broken", format!("{{\"Quillfeather\": {NUMBER} xylophonitis"));
    prison.drop_in(&events());
    prison.until("the good one arrives", |site| {
        site.row("good").is_some_and(|row| row["state"] == "integrated")
    });
    prison.until("the bad ones are put aside", |site| names(&site.folder.join("spool/new")).is_empty());
    prison.until("the others wait with a reason", |site| {
        ["another", "broken"].iter().all(|stay| site.row(stay).is_some_and(|row| row["why"].is_string()))
    });
    let typed = sites.prison.folder.join("typed.json");
    fs::write(&typed, event("typed", MISTYPED).to_string()).unwrap();
    scan_reports(&sites, &typed);
    let record = fs::read(sites.prison.folder.join("records/good.json")).unwrap();
    assert!(found(&record).len() >= 5, "the scan sees what is there: {:?}", found(&record));
    fs::remove_file(&typed).unwrap();
    refuse_another_patients_record(&sites);
    for site in [&mut sites.prison, &mut sites.practice] {
        site.stop();
        let log = fs::read_to_string(site.log()).unwrap();
        assert!(log.contains("\"ready\""), "the log was written: {log}");
        scan_files(&site.folder);
    }
    let log = fs::read_to_string(sites.prison.log()).unwrap();
    assert!(log.contains("a message was put aside"), "the bad events were told of: {log}");
    let outcomes = names(&sites.prison.folder.join("spool/out"));
    assert!(outcomes.len() > 8, "outcomes were written and scanned: {outcomes:?}");
    assert!(!names(&sites.practice.folder.join("filed")).is_empty(), "and a record was filed");
}

/// The mapper's own command fails without saying whose record it was.
fn refuse_another_patients_record(sites: &Sites) {
    let id = "7d2f0a3c-5b1e-4c2a-9e4b-0123456789ab";
    let output = Command::new(env!("CARGO_BIN_EXE_throughcare"))
        .args(["extract", "build", "--nhs-number", NUMBER, "--request-id", id, "--conversation-id", id])
        .args(["--from-ods", "HMP01", "--to-ods", "B85002", "--from-asid", "200000000001"])
        .args(["--to-asid", "200000000002", "--now", "2026-01-01T00:00:00Z", "--bundle"])
        .arg(sites.prison.folder.join("records/another.json"))
        .output()
        .unwrap();
    assert!(!output.status.success(), "because the record is another's");
    assert_clean("extract build", &said(&output));
}

#[test]
fn the_demonstration_tells_no_number_of_its_patients() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("demo");
    let output = Command::new(env!("CARGO_BIN_EXE_throughcare"))
        .args(["demo", "--folder"])
        .arg(&folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let numbers = ["9990000018", "9990000026", "9990000034", "9990000042", "9990000050", "9990000069"];
    let clean = |what: &str, octets: &[u8]| {
        let text = String::from_utf8_lossy(octets);
        for number in numbers {
            assert!(!text.contains(number), "{what} tells a number");
        }
    };
    clean("the demonstration", &said(&output));
    let mut all = Vec::new();
    files(&folder, Path::new(""), &mut all);
    let mut logs = 0;
    for path in all {
        clean("a file name", path.to_string_lossy().as_bytes());
        if path.ends_with("log.jsonl") || path.components().any(|part| part.as_os_str() == "out") {
            let full = folder.join(&path);
            if full.is_file() {
                logs += 1;
                clean("a log or an outcome", &fs::read(full).unwrap());
            }
        }
    }
    assert!(logs > 2, "both logs and the outcomes were looked at");
}
