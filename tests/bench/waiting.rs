//! A daemon with a hundred thousand transfers that wait: how soon it is ready, what it does when there is nothing to do,
//! how soon it answers, and how soon something new begins.
//!
//! `cargo bench --bench waiting -- [--transfers 100000]`
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops where it stands")]

#[path = "../it/sites.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod sites;
#[path = "../it/tools.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod tools;

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use throughcare::clock;
use throughcare::engine::{Engine, Input, Limits};
use throughcare::model::{EventId, TransferId};
use throughcare::store::{Options, Store};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given =
        arguments.iter().position(|a| a == "--transfers").and_then(|n| arguments.get(n + 1)?.parse().ok());
    let transfers: u64 = given.unwrap_or(100_000);
    let place = tempfile::tempdir().unwrap();
    let mut pair = sites::lay(place.path(), "");
    fill(&pair.prison.folder.join("store"), transfers);
    record(&pair.prison.folder);
    let began = sites::instant();
    pair.prison.start();
    let ready = began.elapsed().as_secs_f64();
    pair.practice.start();
    std::thread::sleep(Duration::from_secs(5));
    let before = ticks(pair.prison.pid());
    std::thread::sleep(Duration::from_secs(20));
    let idle = (ticks(pair.prison.pid()) - before) as f64 / 20.0;
    let mut status: Vec<f64> =
        (0..20).map(|_| timed(|| drop(pair.prison.ask(&["status"]).unwrap()))).collect();
    status.sort_by(f64::total_cmp);
    let starts: Vec<f64> = (0..10).map(|n| start_of(&pair, n)).collect();
    let slowest = starts.iter().copied().fold(0.0, f64::max);
    println!("transfers that wait      {transfers}");
    println!("ready after              {ready:.2} s");
    println!("CPU with nothing to do   {idle:.2} % of a core");
    println!("status p50 / slowest     {:.0} / {:.0} ms", status[10] * 1000.0, status[19] * 1000.0);
    println!("event to acknowledgement {slowest:.2} s at most, of ten");
    println!("resident                 {} KiB", pair.prison.resident_kib());
}

/// Planned releases, each of a person of their own, as the daemon would have taken them.
fn fill(folder: &Path, transfers: u64) {
    let store = Store::open(folder, &Options::default()).unwrap();
    let mut engine = Engine::open(store, Limits::default()).unwrap();
    let mut batch = Vec::new();
    for number in 0..transfers {
        let event = planned(number);
        batch.push(Input::Custody {
            event: Box::new(event),
            digest: number.to_string(),
            warnings: Vec::new(),
        });
        if batch.len() == 256 || number + 1 == transfers {
            engine.turn(std::mem::take(&mut batch), clock::now()).unwrap();
        }
    }
}

fn planned(number: u64) -> throughcare::transfer::custody::CustodyEvent {
    let now = clock::now();
    let stay = format!("stay-{number}");
    let event = json!({
        "event_id": EventId::derived(&["waiting", &stay]).to_string(), "source": "clinic", "establishment": "HMP01",
        "stay": stay, "patient_ref": format!("person-{number}"), "seq": 1, "occurred_at": now,
        "identity": {"number": {"known": {"number": nhs_number(number), "status": "verified"}},
            "date_of_birth": "1980-01-01", "sensitive": "no"},
        "pds": null, "actor": null,
        "kind": {"release": {"release_at": now, "certainty": "planned", "kind": "end_of_custody",
            "destination": {"practice": "B85002", "basis": "pds"}, "record_ref": "record", "record_as_of": now,
            "supply_days": null, "opioid_script_days": null, "critical_medicines": [], "next_dose_due": null,
            "entries_after_send": 0, "summary_ref": null}}
    });
    serde_json::from_value(event).unwrap()
}

/// A number of the test range, its check digit right; where there is none, that of the next.
fn nhs_number(number: u64) -> String {
    let mut candidate = number;
    loop {
        let nine = format!("999{:06}", candidate % 1_000_000);
        let sum: u32 =
            nine.chars().zip((2..=10).rev()).map(|(c, weight)| c.to_digit(10).unwrap() * weight).sum();
        match 11 - sum % 11 {
            10 => candidate += 1,
            11 => return format!("{nine}0"),
            check => return format!("{nine}{check}"),
        }
    }
}

fn record(site: &Path) {
    let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "resource": { "resourceType": "Patient", "id": "p",
            "identifier": [{ "system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018" }] } } ] });
    std::fs::write(site.join("records/record.json"), bundle.to_string()).unwrap();
}

/// Seconds from a new event to its acknowledgement.
fn start_of(pair: &sites::Pair, number: u64) -> f64 {
    let (stay, now) = (format!("now-{number}"), clock::now().to_string());
    let event = json!({
        "event_id": EventId::derived(&["now", &stay]).to_string(), "source": "clinic", "establishment": "HMP01",
        "stay": stay, "patient_ref": "person", "seq": 1, "occurred_at": now,
        "nhs_number": "9990000018", "number_status": "verified", "sensitive": "no",
        "release": { "release_at": now, "certainty": "happened", "kind": "end_of_custody", "destination": "B85002",
            "destination_basis": "pds", "record_ref": "record", "record_as_of": now }
    });
    let spool = pair.prison.folder.join("spool");
    std::fs::write(spool.join("tmp").join(&stay), event.to_string()).unwrap();
    let id = TransferId::derived(&["release", "clinic", &stay]).to_string();
    timed(|| {
        std::fs::rename(spool.join("tmp").join(&stay), spool.join("new").join(format!("{stay}.json")))
            .unwrap();
        let integrated = || {
            let show = pair.prison.ask(&["show", &id]);
            show.is_some_and(|show| show["transfer"]["state"] == "integrated")
        };
        while !integrated() {
            std::thread::sleep(Duration::from_millis(5));
        }
    })
}

fn timed(work: impl FnOnce()) -> f64 {
    let began = sites::instant();
    work();
    began.elapsed().as_secs_f64()
}

/// Hundredths of a second that a process has computed.
fn ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Its name may hold anything; what follows it begins with the state, the third field.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
