//! Large records between two daemons: how long they take, what both hold in memory, what a small record waits for
//! meanwhile, and beside it what one core of the same machine digests and encrypts in the same run.
//!
//! `cargo bench --bench large -- [--transfers 1] [--attachments 2700] [--megabytes 1000] [--largest 680] [--kill]`
//!
//! `--kill` kills one daemon after the other at random moments, and counts what was sent twice.
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
use throughcare::engine::ledger;
use throughcare::model::{EventId, TransferId};
use throughcare::store::{Options, Store};
use throughcare::transfer::Case;
use throughcare::transfer::outbound::Saying;

const PATIENCE: Duration = Duration::from_secs(1_800);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str, default: u64| {
        let given = arguments.iter().position(|a| a == name).and_then(|n| arguments.get(n + 1)?.parse().ok());
        given.unwrap_or(default)
    };
    let (count, megabytes) = (after("--attachments", 2_700), after("--megabytes", 1_000));
    let (largest, transfers) = (after("--largest", 680).min(megabytes), after("--transfers", 1));
    let kill = arguments.iter().any(|a| a == "--kill");
    let place = tempfile::tempdir().unwrap();
    let mut pair = sites::lay(place.path(), "");
    lay_record(&pair.prison.folder, "record", count, largest * 1_000_000, megabytes * 1_000_000);
    lay_record(&pair.prison.folder, "small", 1, 10_000, 10_000);
    let floor = floor();
    pair.practice.start();
    pair.prison.start();
    std::thread::sleep(Duration::from_secs(1));
    let idle = (pair.prison.resident_kib(), pair.practice.resident_kib());
    let alone = small(&pair, "alone");
    let began = sites::instant();
    for number in 0..transfers {
        tell(&pair.prison.folder, "record", &format!("large-{number}"));
    }
    let mut run = Run::default();
    let mut ended = 0;
    while ended < transfers {
        assert!(
            began.elapsed() < PATIENCE,
            "{:?} {:?}\n{}",
            pair.prison.states(),
            pair.practice.states(),
            pair.prison.log()
        );
        run.look(&mut pair, kill);
        ended =
            (0..transfers).filter(|number| is_integrated(&pair, &format!("large-{number}"))).count() as u64;
    }
    let took = began.elapsed().as_secs_f64();
    let rate = (megabytes * transfers) as f64 / took;
    println!(
        "records                  {transfers} of {megabytes} MB in {count} attachments, the largest {largest} MB"
    );
    println!("events to acknowledged   {took:.1} s");
    println!("throughput               {rate:.1} MB/s");
    println!("floor                    {floor:.0} MB/s (SHA-256 and AES-256-GCM, one core)");
    println!("share of the floor       {:.3}", rate / floor);
    println!("a small record           {alone:.2} s alone, at most {:.2} s meanwhile", run.slowest);
    println!("resident idle            {} / {} KiB (sending / receiving)", idle.0, idle.1);
    println!("resident at most         {} / {} KiB", run.peak.0, run.peak.1);
    for (state, (sending, receiving)) in &run.by_state {
        println!("  while {state:<24} {sending} / {receiving} KiB");
    }
    println!("filed                    {} records", pair.practice.filed());
    if transfers == 1 {
        timeline(&pair.prison);
    }
    if kill {
        pair.prison.kill9();
        pair.practice.kill9();
        let (parts, repeated) = repeated(&pair.prison, transfers);
        println!("killed                   {} times; {repeated} of {parts} parts were sent again", run.kills);
    }
}

/// What is seen while the records go.
#[derive(Default)]
struct Run {
    peak: (u64, u64),
    /// The same while the first record is in each state.
    by_state: std::collections::BTreeMap<String, (u64, u64)>,
    slowest: f64,
    looks: u64,
    kills: u64,
}

impl Run {
    fn look(&mut self, pair: &mut sites::Pair, kill: bool) {
        self.looks += 1;
        if kill {
            std::thread::sleep(Duration::from_millis(500 + self.looks * 739 % 2_500));
            let site = if self.looks.is_multiple_of(2) { &mut pair.prison } else { &mut pair.practice };
            site.kill9();
            site.start();
            self.kills += 1;
        } else {
            self.slowest = self.slowest.max(small(pair, &self.looks.to_string()));
        }
        let now = (pair.prison.resident_kib(), pair.practice.resident_kib());
        self.peak = (self.peak.0.max(now.0), self.peak.1.max(now.1));
        if let Some(show) = pair.prison.ask(&["show", &id_of("large-0").to_string()]) {
            let state = show["transfer"]["state"].as_str().unwrap_or_default().to_owned();
            let most = self.by_state.entry(state).or_default();
            *most = (most.0.max(now.0), most.1.max(now.1));
        }
    }
}

/// Seconds from the event of a small record to its acknowledgement.
fn small(pair: &sites::Pair, stay: &str) -> f64 {
    let stay = format!("small-{stay}");
    let began = sites::instant();
    tell(&pair.prison.folder, "small", &stay);
    while !is_integrated(pair, &stay) {
        assert!(began.elapsed() < PATIENCE, "a small record does not arrive\n{}", pair.prison.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed().as_secs_f64()
}

fn id_of(stay: &str) -> TransferId {
    TransferId::derived(&["release", "clinic", stay])
}

fn is_integrated(pair: &sites::Pair, stay: &str) -> bool {
    let show = pair.prison.ask(&["show", &id_of(stay).to_string()]);
    show.is_some_and(|show| show["transfer"]["state"] == "integrated")
}

/// How many parts there were, and how many of them were sent more than once.
fn repeated(site: &sites::Site, transfers: u64) -> (usize, usize) {
    let store = Store::open(&site.folder.join("store"), &Options::default()).unwrap();
    let (mut parts, mut again) = (0, 0);
    for number in 0..transfers {
        for message in ledger::messages_of(&store, id_of(&format!("large-{number}"))).unwrap() {
            let Case::Outbound(outbound) = &message.case else { continue };
            if !matches!(outbound.saying, Saying::Part { .. }) {
                continue;
            }
            parts += 1;
            again += usize::from(outbound.delivery().is_some_and(|d| d.dispatch.attempts > 1));
        }
    }
    (parts, again)
}

/// When what happened, as the sender's timeline has it.
fn timeline(site: &sites::Site) {
    let show = site.ask(&["show", &id_of("large-0").to_string()]).unwrap();
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

fn lay_record(site: &Path, record: &str, count: u64, largest: u64, total: u64) {
    let folder = site.join("records").join(record);
    std::fs::create_dir_all(&folder).unwrap();
    let others = (total - largest).checked_div(count.saturating_sub(1)).unwrap_or(0);
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
    std::fs::write(site.join("records").join(format!("{record}.json")), bundle.to_string()).unwrap();
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

fn tell(site: &Path, record: &str, stay: &str) {
    let now = throughcare::clock::now().to_string();
    let event = json!({
        "event_id": EventId::derived(&["bench", stay]).to_string(), "source": "clinic", "establishment": "HMP01",
        "stay": stay, "patient_ref": format!("person-{stay}"), "seq": 1, "occurred_at": now,
        "nhs_number": "9990000018", "number_status": "verified", "sensitive": "no",
        "release": { "release_at": now, "certainty": "happened", "kind": "end_of_custody", "destination": "B85002",
            "destination_basis": "pds", "record_ref": record, "record_as_of": now }
    });
    let name = format!("{stay}.json");
    std::fs::write(site.join("spool/tmp").join(&name), event.to_string()).unwrap();
    std::fs::rename(site.join("spool/tmp").join(&name), site.join("spool/new").join(&name)).unwrap();
}
