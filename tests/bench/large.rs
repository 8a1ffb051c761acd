//! A record of a gigabyte between two daemons: how long it takes, what both hold in memory, and beside it what one core
//! of the same machine digests and encrypts in the same run.
//!
//! `cargo bench --bench large -- [--attachments 2700] [--megabytes 1000] [--largest 680]`
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops where it stands")]

#[path = "../it/sites.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod sites;
#[path = "../it/tools.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod tools;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::json;
use throughcare::model::EventId;

const PATIENCE: Duration = Duration::from_secs(1_800);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str, default: u64| {
        let given = arguments.iter().position(|a| a == name).and_then(|n| arguments.get(n + 1)?.parse().ok());
        given.unwrap_or(default)
    };
    let (count, megabytes) = (after("--attachments", 2_700), after("--megabytes", 1_000));
    let largest = after("--largest", 680).min(megabytes);
    let place = tempfile::tempdir().unwrap();
    let mut pair = sites::lay(place.path(), "");
    lay_record(&pair.prison.folder, count, largest * 1_000_000, megabytes * 1_000_000);
    let floor = floor();
    pair.practice.start();
    pair.prison.start();
    std::thread::sleep(Duration::from_secs(1));
    let idle = (pair.prison.resident_kib(), pair.practice.resident_kib());
    let began = sites::instant();
    tell(&pair.prison.folder);
    let mut peak = (0, 0);
    loop {
        peak = (peak.0.max(pair.prison.resident_kib()), peak.1.max(pair.practice.resident_kib()));
        if pair.prison.states().get("integrated") == Some(&1) {
            break;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{:?} {:?}\n{}",
            pair.prison.states(),
            pair.practice.states(),
            pair.prison.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    let took = began.elapsed().as_secs_f64();
    let rate = megabytes as f64 / took;
    println!("record                   {megabytes} MB in {count} attachments, the largest {largest} MB");
    println!("event to acknowledgement {took:.1} s");
    println!("throughput               {rate:.1} MB/s");
    println!("floor                    {floor:.0} MB/s (SHA-256 and AES-256-GCM, one core)");
    println!("share of the floor       {:.2}", rate / floor);
    timeline(&pair.prison);
    println!("resident idle            {} / {} KiB (sending / receiving)", idle.0, idle.1);
    println!("resident at most         {} / {} KiB", peak.0, peak.1);
}

/// When what happened, as the sender's timeline has it.
fn timeline(site: &sites::Site) {
    let list = site.ask(&["list", "state=any"]).unwrap();
    let show = site.ask(&["show", list["transfers"][0]["id"].as_str().unwrap()]).unwrap();
    for line in show["timeline"].as_array().unwrap() {
        println!("  {}  {:.60}", line["at"].as_str().unwrap(), line["words"].as_str().unwrap());
    }
}

/// Digest and encryption of the same octets on one core.
fn floor() -> f64 {
    let mut block = vec![7; 1 << 20];
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).unwrap());
    let began = sites::instant();
    const BLOCKS: u32 = 400;
    for n in 0..BLOCKS {
        let digest = ring::digest::digest(&ring::digest::SHA256, &block);
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&n.to_be_bytes());
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut block)
            .unwrap();
        let _ = std::hint::black_box((digest, tag));
    }
    f64::from(BLOCKS) * 1.048_576 / began.elapsed().as_secs_f64()
}

fn lay_record(site: &Path, count: u64, largest: u64, total: u64) {
    let folder = site.join("records/record");
    std::fs::create_dir_all(&folder).unwrap();
    let others = (total - largest).checked_div(count - 1).unwrap_or(0);
    let mut entries = vec![json!({ "resource": { "resourceType": "Patient", "id": "p",
        "identifier": [{ "system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018" }] } })];
    for number in 0..count {
        let name = format!("{number}.jpg");
        write_noise(&folder.join(&name), number, if number == 0 { largest } else { others });
        entries.push(json!({ "resource": { "resourceType": "DocumentReference", "id": format!("d{number}"),
            "status": "current", "subject": { "reference": "Patient/p" }, "type": { "text": "Letter" },
            "indexed": "2026-03-01T09:00:00Z",
            "content": [{ "attachment": { "contentType": "image/jpeg", "title": name, "url": name } }] } }));
    }
    let bundle = json!({ "resourceType": "Bundle", "type": "collection", "entry": entries });
    std::fs::write(site.join("records/record.json"), bundle.to_string()).unwrap();
}

/// Octets that no gzip makes smaller.
fn write_noise(place: &Path, seed: u64, bytes: u64) {
    let mut out = BufWriter::new(File::create(place).unwrap());
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for _ in 0..bytes.div_ceil(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.write_all(&state.to_le_bytes()).unwrap();
    }
    out.flush().unwrap();
}

fn tell(site: &Path) {
    let now = throughcare::clock::now().to_string();
    let event = json!({
        "event_id": EventId::derived(&["bench", "large"]).to_string(), "source": "clinic", "establishment": "HMP01",
        "stay": "stay-1", "patient_ref": "person-1", "seq": 1, "occurred_at": now,
        "nhs_number": "9990000018", "number_status": "verified", "sensitive": "no",
        "release": { "release_at": now, "certainty": "happened", "kind": "end_of_custody", "destination": "B85002",
            "destination_basis": "pds", "record_ref": "record", "record_as_of": now }
    });
    std::fs::write(site.join("spool/tmp/event.json"), event.to_string()).unwrap();
    std::fs::rename(site.join("spool/tmp/event.json"), site.join("spool/new/event.json")).unwrap();
}
