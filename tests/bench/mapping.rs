//! How fast a record becomes an extract and an extract a record, beside merely parsing the same input (`serde_json::Value`;
//! a `quick-xml` walk that resolves each namespace and looks at each attribute and text), in the same run on one core;
//! how much memory thirty megabytes take; and whether ten records in one cost more than ten times one.
//!
//! `cargo bench --bench mapping`. The records are those of `../shared`; it says so when they are not there.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops where it stands")]

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use quick_xml::XmlVersion;
use quick_xml::events::Event;
use serde_json::Value;
use throughcare::extract::{
    self, Documents, Expected, Extract, Interaction, Parameters, Record, RecordLimits,
};
use throughcare::model::{Asid, ConversationId, MessageId, NhsNumber, OdsCode, Timestamp};

const RECORDS: [&str; 4] =
    ["emis-join/PWTP2.json", "inventory/Birdi.json", "inventory/Livermore.json", "inventory/Yamura.json"];
const EXTRACTS: [&str; 3] = ["reading/PWTP2.xml", "reading/PWTP5.xml", "inventory/Livermore-peer.xml"];
const LARGE: usize = 30_000_000;

fn main() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    if !fixtures.exists() {
        return println!("skipped: the records of ../shared are not there");
    }
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--memory-of") {
        return memory_of(&arguments[at + 1]);
    }
    head("record to extract");
    for name in RECORDS {
        let bytes = std::fs::read(fixtures.join(name)).unwrap();
        compare(name, &bytes, 20, value, built);
    }
    let one = compact(&std::fs::read(fixtures.join(RECORDS[0])).unwrap());
    let large = copies(&one, LARGE.div_ceil(one.len()));
    compare("30 MB of records", &large, 3, value, built);
    let ten = copies(&one, 10);
    times(fastest(20, || built(&one)), fastest(5, || built(&ten)));
    memory("30 MB of records", &large);

    head("extract to record");
    for name in EXTRACTS {
        let bytes = std::fs::read(fixtures.join(name)).unwrap();
        compare(name, &bytes, 20, walked, read);
    }
    // The message is larger than its record: so many copies as make thirty megabytes of it.
    let long = built(&copies(&one, LARGE.div_ceil(built(&ten).1.xml.len() / 10))).1.xml;
    let (one, ten) = (built(&one).1.xml, built(&ten).1.xml);
    compare("30 MB of extracts", &long, 3, walked, read);
    times(fastest(20, || read(&one)), fastest(5, || read(&ten)));
    memory("30 MB of extracts", &long);
}

fn head(what: &str) {
    println!("\n{what:24} {:>8} {:>12} {:>12} {:>6}", "MB", "parse MB/s", "map MB/s", "ratio");
}

fn times(one: f64, ten: f64) {
    println!("ten copies in one        {:.1} times the time of one (mark: at most 12)", ten / one);
}

/// The most memory that mapping took, in a process of its own.
fn memory(name: &str, bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--memory-of", file.path().to_str().unwrap()])
        .output()
        .unwrap();
    print!("peak memory, {name}: {}", String::from_utf8_lossy(&child.stdout));
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn read(bytes: &[u8]) -> extract::Reading {
    extract::read(bytes, &Expected::default()).unwrap()
}

/// The floor of reading XML: every event, its namespace, its attributes and its text.
fn walked(bytes: &[u8]) -> usize {
    let mut reader =
        quick_xml::NsReader::from_str(std::str::from_utf8(bytes).unwrap().trim_start_matches('\u{FEFF}'));
    let mut seen = 0;
    loop {
        match reader.read_resolved_event().unwrap() {
            (_, Event::Start(tag) | Event::Empty(tag)) => {
                for attribute in tag.attributes() {
                    seen += attribute.unwrap().normalized_value(XmlVersion::Explicit1_0).unwrap().len();
                }
            }
            (_, Event::Text(text)) => seen += text.xml10_content().len(),
            (_, Event::Eof) => return seen,
            _ => {}
        }
    }
}

/// Parsing and mapping alternate, so that both meet the same machine. Neither has to clear away in its time.
fn compare<'b, P, M>(
    name: &str,
    bytes: &'b [u8],
    rounds: usize,
    parse: fn(&'b [u8]) -> P,
    map: fn(&'b [u8]) -> M,
) {
    let (mut floor, mut mapped) = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        floor = floor.min(fastest(1, || parse(bytes)));
        mapped = mapped.min(fastest(1, || map(bytes)));
    }
    let megabytes = bytes.len() as f64 / 1e6;
    println!(
        "{name:24} {megabytes:8.2} {:12.0} {:12.0} {:6.2}",
        megabytes / floor,
        megabytes / mapped,
        mapped / floor
    );
}

/// Seconds of the fastest of so many rounds; what was made is dropped outside the measure.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn fastest<T>(rounds: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        let made = work();
        best = best.min(start.elapsed().as_secs_f64());
        drop(std::hint::black_box(made));
    }
    best
}

fn built(bytes: &[u8]) -> (Record<'_>, Extract) {
    let record = Record::parse(bytes, &RecordLimits::default()).unwrap();
    let parameters = parameters(bytes);
    let extract = extract::build(&record, &parameters, &Documents::new()).unwrap();
    (record, extract)
}

fn parameters(bytes: &[u8]) -> Parameters {
    Parameters {
        message_id: MessageId::derived(&["mapping"]),
        request_id: None,
        nhs_number: number_of(bytes),
        from_ods: OdsCode::parse("HMP01").unwrap(),
        to_ods: OdsCode::parse("B86041").unwrap(),
        from_asid: Asid::parse("200000000001").unwrap(),
        to_asid: Asid::parse("200000000002").unwrap(),
        conversation: ConversationId::derived(&["mapping"]),
        now: Timestamp::parse("2026-07-01T09:00:00Z").unwrap(),
        interaction: Interaction::Uk07,
        extract_id: "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AC".to_owned(),
    }
}

/// The first NHS number of the text: the records have their patient first among what has one.
fn number_of(bytes: &[u8]) -> NhsNumber {
    let text = std::str::from_utf8(bytes).unwrap();
    let after = &text[text.find("Id/nhs-number\"").unwrap() + 14..];
    let digits: String = after.chars().skip_while(|c| !c.is_ascii_digit()).take(10).collect();
    NhsNumber::parse(&digits).unwrap()
}

fn compact(bytes: &[u8]) -> Vec<u8> {
    serde_json::to_vec(&serde_json::from_slice::<Value>(bytes).unwrap()).unwrap()
}

/// One record with the entries of so many, each copy with ids of its own, all of one patient.
fn copies(bytes: &[u8], count: usize) -> Vec<u8> {
    let mut bundle: Value = serde_json::from_slice(bytes).unwrap();
    let entries = bundle["entry"].as_array().unwrap().clone();
    let is_patient = |e: &&Value| e["resource"]["resourceType"] == "Patient";
    let ids: Vec<String> = entries
        .iter()
        .filter(|e| !is_patient(e))
        .filter_map(|e| e["resource"]["id"].as_str().map(str::to_owned))
        .collect();
    let all = bundle["entry"].as_array_mut().unwrap();
    for copy in 1..count {
        let renamed: HashMap<&str, String> = ids.iter().map(|id| (&**id, renamed(id, copy))).collect();
        for entry in entries.iter().filter(|e| !is_patient(e)) {
            let mut entry = entry.clone();
            rename(&mut entry, &renamed);
            all.push(entry);
        }
    }
    serde_json::to_vec(&bundle).unwrap()
}

/// Another id of the same form: the first four digits of a UUID give way to the number of the copy.
fn renamed(id: &str, copy: usize) -> String {
    if id.len() >= 36 { format!("{copy:04x}{}", &id[4..]) } else { format!("{id}-{copy}") }
}

fn rename(value: &mut Value, renamed: &HashMap<&str, String>) {
    match value {
        Value::Object(members) => members.values_mut().for_each(|v| rename(v, renamed)),
        Value::Array(items) => items.iter_mut().for_each(|v| rename(v, renamed)),
        Value::String(text) => {
            let (path, id) = text.rsplit_once('/').map_or(("", text.as_str()), |(path, id)| (path, id));
            if let Some(new) = renamed.get(id) {
                *text = if path.is_empty() { new.clone() } else { format!("{path}/{new}") };
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The most memory that building this file took, beside its size. In a process of its own, where nothing was before.
fn memory_of(file: &str) {
    let bytes = std::fs::read(file).unwrap();
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    match bytes.first() {
        Some(b'{') => drop(built(&bytes)),
        Some(_) | None => drop(read(&bytes)),
    }
    let most = (status("VmHWM:") - before) * 1024 + bytes.len();
    println!(
        "{:.1} times the input, which is counted too (mark: at most 8)",
        most as f64 / bytes.len() as f64
    );
}

/// A line of /proc/self/status, in KiB.
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
