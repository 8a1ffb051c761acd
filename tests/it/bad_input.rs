//! Bad input, whole: each row against real daemons, and that it stops nothing else and loses nothing.
//!
//! What is not here stands where the part is that refuses it:
//!
//! | input | held by |
//! |---|---|
//! | truncated and random protobuf; unknown and missing fields; check digit; real number | here; `contract` |
//! | unknown ODS code; event id reused | here; `contract` (same identity, other content) |
//! | record not JSON, no Bundle, another's, 200 MB; behind a link | here; `network::records` |
//! | attachment missing, `..`, link, false type | here; `network::records` |
//! | DTD, entities, 10,000 levels, 100 MB attribute | here; `packet::xml` (budgets, mutations); `signatures::tampered` rule 15 |
//! | MIME without its closing boundary | `packet::mime` (every broken frame has its reason); `network::reception` (put aside) |
//! | gzip bomb | `wire_messages` (nothing that arrives is decompressed: a gzip is carried as the octets it is) |
//! | signature by a stranger, over too little, wrapped | `signatures::tampered`, rules 1 to 15; `network::reception` (put aside) |
//! | full disk | here; `network::reception` (what cannot be stored, or finds little room, is answered 503) |
//! | broker that closes the channel | `intake` (a channel closed by the broker is laid again) |
//! | unknown key, impossible pair, world-readable key | here; `config`; `control` (check) |

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};
use throughcare::packet::xml::{Document, XmlLimits};

use crate::site::{Sites, bundle, names, release, transfer};

/// Every record's number unless the row says otherwise; of the test range.
const NUMBER: &str = "9990000018";
/// Lies beside the records and must never travel.
const SECRET: &str = "of-another-folder";

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn with(mut event: Value, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    change(&mut event);
    text(&event)
}

/// Octets that look like nothing, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u32 = 0x2545_f491;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(next).collect()
}

/// Events that are none: file name, octets, and a word of the reason.
fn bad_events() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let event = |stay: &str| release(stay, NUMBER);
    vec![
        ("b-truncated.pb", b"\x0a\x24a2f1".to_vec(), "unreadable"),
        ("c-random.pb", noise(300), "unreadable"),
        ("d-broken.json", b"{\"event_id\": ".to_vec(), "unreadable"),
        ("e-unknown.json", with(event("e"), |e| e["surname"] = json!("x")), "surname"),
        (
            "f-missing.json",
            with(event("f"), |e| drop(e["release"].as_object_mut().unwrap().remove("record_ref"))),
            "record_ref",
        ),
        ("g-digit.json", text(&release("g", "9990000019")), "nhs_number"),
        ("h-real.json", text(&release("h", "5000000005")), "nhs_number"),
        // The same event id as the good one, and another stay.
        ("z-again.json", with(event("good-1"), |e| e["stay"] = json!("other")), "conflicting_event"),
    ]
}

#[test]
fn a_bad_event_is_put_aside_with_its_reason_while_the_good_ones_around_it_arrive() {
    let mut sites = Sites::start("info");
    let prison = &mut sites.prison;
    for stay in ["good-1", "good-2"] {
        prison.record(stay, text(&bundle(NUMBER, "Example", "1980-01-01", "Well.", &[])));
    }
    let bad = bad_events();
    let mut batch = vec![("a-good.json", text(&release("good-1", NUMBER)))];
    batch.extend(bad.iter().map(|(name, body, _)| (*name, body.clone())));
    batch.push(("y-good.json", text(&release("good-2", NUMBER))));
    prison.drop_in(&batch);
    for stay in ["good-1", "good-2"] {
        prison.until("the good ones arrive", |site| {
            site.row(stay).is_some_and(|row| row["state"] == "integrated")
        });
    }
    prison.until("the spool is empty", |site| names(&site.folder.join("spool/new")).is_empty());
    let kept = prison.folder.join("spool/bad");
    for (name, body, word) in &bad {
        let reason = fs::read_to_string(kept.join(format!("{name}.reason"))).unwrap();
        assert!(reason.contains(word), "{name} is there for another reason: {reason}");
        assert_eq!(&fs::read(kept.join(name)).unwrap(), body, "{name} is not lost");
    }
    let aside = prison.ask(&["quarantine", "list"]);
    let items = aside["items"].as_array().unwrap();
    assert_eq!(items.len(), bad.len(), "each is in quarantine once: {aside:#}");
    let count = prison.ask(&["list", "state=any"])["transfers"].as_array().unwrap().len();
    assert_eq!(count, 2, "a bad event opens no transfer");
    let conflict = items.iter().find(|item| item["reason"] == "conflicting_event").unwrap();
    let id = &conflict["id"].as_str().unwrap()[..8];
    let discarded = prison.run(&["quarantine", "discard", id, "--reason", "sent again"]);
    assert!(discarded.status.success(), "{}", String::from_utf8_lossy(&discarded.stderr));
    let shown = prison.ask(&["quarantine", "show", id]);
    assert_eq!(shown["settled"]["reason"], "sent again", "what was decided is kept: {shown:#}");
    prison.stop();
}

#[test]
fn a_bad_record_leaves_its_release_waiting_with_a_reason_and_holds_up_no_other() {
    let mut sites = Sites::start("info");
    let prison = &mut sites.prison;
    let good = || text(&bundle(NUMBER, "Example", "1980-01-01", "Well.", &[]));
    prison.record("nowhere", good());
    prison.record("no-json", "no json at all");
    prison.record("no-bundle", "{\"resourceType\": \"Patient\"}");
    prison.record("another", text(&bundle("9990000026", "Example", "1980-01-01", "Well.", &[])));
    let huge = fs::File::create(prison.folder.join("records/huge.json")).unwrap();
    huge.set_len(200_000_000).unwrap();
    fs::write(prison.folder.join("outside.json"), good()).unwrap();
    symlink("../outside.json", prison.folder.join("records/linked.json")).unwrap();
    prison.record("good", good());
    let rows = BTreeMap::from([
        ("nowhere", "directory does not know"),
        ("missing", "not there yet"),
        ("no-json", "not a FHIR Bundle"),
        ("no-bundle", "not a FHIR Bundle"),
        ("another", "identity incident"),
        ("huge", "larger than the settings allow"),
        ("linked", "leads out of the records folder"),
    ]);
    let mut files: Vec<(String, Vec<u8>)> =
        rows.keys().map(|stay| (format!("{stay}.json"), text(&release(stay, NUMBER)))).collect();
    let elsewhere = |e: &mut Value| e["release"]["destination"] = json!("Z99999");
    files.retain(|(name, _)| name != "nowhere.json");
    files.push(("nowhere.json".to_owned(), with(release("nowhere", NUMBER), elsewhere)));
    files.push(("z-good.json".to_owned(), text(&release("good", NUMBER))));
    let batch: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, body)| (name.as_str(), body.clone())).collect();
    prison.drop_in(&batch);
    prison.until("the good one arrives", |site| {
        site.row("good").is_some_and(|row| row["state"] == "integrated")
    });
    for (stay, words) in &rows {
        prison.until(stay, |site| {
            let why = site.row(stay).and_then(|row| row["why"].as_str().map(str::to_owned));
            why.is_some_and(|why| why.contains(words))
        });
    }
    let count = prison.ask(&["list", "state=any"])["transfers"].as_array().unwrap().len();
    assert_eq!(count, rows.len() + 1, "every event has its transfer");
    // What time can mend goes on by itself once it is mended.
    prison.record("missing", good());
    let id = transfer("missing").to_string();
    assert!(prison.run(&["retry", &id, "--reason", "written now"]).status.success());
    prison.until("the mended one arrives", |site| {
        site.row("missing").is_some_and(|row| row["state"] == "integrated")
    });
    prison.stop();
}

#[test]
fn a_bad_attachment_becomes_a_placeholder_or_what_it_truly_is_and_nothing_else_travels() {
    let mut sites = Sites::start("info");
    let prison = &mut sites.prison;
    fs::write(prison.folder.join("secret.txt"), SECRET).unwrap();
    let rows = [
        ("gone", ("gone.txt", "text/plain"), 1),
        ("dots", ("../../secret.txt", "text/plain"), 1),
        ("link", ("link.txt", "text/plain"), 1),
        ("lies", ("scan.jpg", "image/jpeg"), 0),
    ];
    for (stay, document, _) in &rows {
        prison.record(stay, text(&bundle(NUMBER, "Example", "1980-01-01", "Well.", &[*document])));
    }
    fs::create_dir_all(prison.folder.join("records/link")).unwrap();
    symlink("../../secret.txt", prison.folder.join("records/link/link.txt")).unwrap();
    prison.attachment("lies", "scan.jpg", "%PDF-1.7 no picture");
    let files: Vec<(String, Vec<u8>)> =
        rows.iter().map(|(stay, ..)| (format!("{stay}.json"), text(&release(stay, NUMBER)))).collect();
    let batch: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, body)| (name.as_str(), body.clone())).collect();
    prison.drop_in(&batch);
    for (stay, _, placeholders) in &rows {
        prison.until(stay, |site| site.row(stay).is_some_and(|row| row["state"] == "integrated"));
        let shown = prison.ask(&["show", &transfer(stay).to_string()]).to_string();
        assert!(
            shown.contains(&format!("\"placeholders\":{placeholders}")),
            "{stay}: the timeline counts what stands for a missing document: {shown}"
        );
    }
    let mut types = String::new();
    for place in names(&sites.practice.folder.join("filed")) {
        let place = sites.practice.folder.join("filed").join(place);
        for name in names(&place) {
            let octets = fs::read(place.join(&name)).unwrap();
            let content = String::from_utf8_lossy(&octets);
            assert!(!content.contains(SECRET), "what lies outside the record's folder stays there");
            if name == "filed.json" {
                types += &content;
            }
        }
    }
    assert!(types.contains("application/octet-stream"), "a false type is not passed on: {types}");
    assert!(!types.contains("image/jpeg"), "a PDF is no picture: {types}");
    sites.prison.stop();
}

#[test]
fn a_disk_that_is_nearly_full_takes_nothing_in_says_so_and_goes_on_when_there_is_room() {
    let mut sites = Sites::lay("info");
    let settings = sites.prison.folder.join("throughcare.toml");
    let roomy = fs::read_to_string(&settings).unwrap();
    // No disk has as much left, so every disk counts as nearly full.
    fs::write(&settings, roomy.replace("16 MiB", "1000000000 MiB")).unwrap();
    sites.practice.start();
    let prison = &mut sites.prison;
    prison.start();
    prison.record("stay", text(&bundle(NUMBER, "Example", "1980-01-01", "Well.", &[])));
    prison.drop_in(&[("a.json", text(&release("stay", NUMBER)))]);
    prison.until("the status says so", |site| {
        String::from_utf8_lossy(&site.run(&["status"]).stdout).contains("the disk is nearly full")
    });
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(names(&prison.folder.join("spool/new")), ["a.json"], "it stays with its publisher");
    assert!(prison.row("stay").is_none(), "nothing was begun");
    prison.stop();
    fs::write(&settings, roomy).unwrap();
    prison.start();
    prison.until("it is taken and arrives", |site| {
        site.row("stay").is_some_and(|row| row["state"] == "integrated")
    });
    prison.stop();
}

#[test]
fn a_nearly_full_disk_keeps_records_with_their_sender_and_still_takes_the_answers_it_waits_for() {
    let mut sites = Sites::lay("info");
    let settings = [&sites.prison, &sites.practice].map(|site| site.folder.join("throughcare.toml"));
    let roomy = settings.clone().map(|file| fs::read_to_string(file).unwrap());
    let fill = |n: usize| fs::write(&settings[n], roomy[n].replace("16 MiB", "1000000000 MiB")).unwrap();
    fill(1);
    sites.practice.start();
    let prison = &mut sites.prison;
    prison.start();
    prison.record("stay", text(&bundle(NUMBER, "Example", "1980-01-01", "Well.", &[])));
    prison.drop_in(&[("a.json", text(&release("stay", NUMBER)))]);
    prison.until("the practice asks for patience", |site| {
        site.row("stay").is_some_and(|row| row["attempts"].as_u64() > Some(0) && row["why"].is_string())
    });
    let shown = prison.ask(&["show", &transfer("stay").to_string()]).to_string();
    assert!(shown.contains("\"busy\""), "503, wire §1.5 row 24: {shown}");
    assert!(names(&sites.practice.folder.join("filed")).is_empty(), "nothing was taken");
    // The practice has room again, and the prison has not: it may send what it had begun, and hear of it.
    prison.stop();
    sites.practice.stop();
    fill(0);
    fs::write(&settings[1], &roomy[1]).unwrap();
    sites.practice.start();
    prison.start();
    let retried = prison.run(&["retry", &transfer("stay").to_string(), "--reason", "room again"]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    prison.until("the answer is taken", |site| {
        site.row("stay").is_some_and(|row| row["state"] == "integrated")
    });
    prison.stop();
}

#[test]
fn a_daemon_does_not_start_with_settings_that_cannot_be_meant() {
    let sites = Sites::lay("info");
    let (site, settings) = (&sites.prison, sites.prison.folder.join("throughcare.toml"));
    let sound = fs::read_to_string(&settings).unwrap();
    let refused = |words: &[&str]| {
        let output = site.run(&["run"]);
        assert!(!output.status.success(), "it must not start: {words:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.iter().all(|word| said.contains(word)), "{words:?} are not in: {said}");
    };
    fs::write(&settings, format!("{sound}listens = \"127.0.0.1:1\"\n")).unwrap();
    refused(&["line 22", "listens"]);
    fs::write(&settings, format!("{sound}[limits]\nin_flight = 4\n")).unwrap();
    refused(&["limits.in_flight_per_party", "one party may have more"]);
    fs::write(&settings, &sound).unwrap();
    fs::set_permissions(site.folder.join("tls.key"), fs::Permissions::from_mode(0o644)).unwrap();
    refused(&["tls.key", "chmod 400"]);
    fs::set_permissions(site.folder.join("tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let directory = site.folder.join("directory.toml");
    let served = fs::read_to_string(&directory).unwrap();
    let (ours, _) = served.split_once("\n\n").unwrap();
    fs::write(&directory, served.replace(ours, "")).unwrap();
    refused(&["directory.toml", "served = true"]);
}

#[test]
fn xml_meant_to_exhaust_us_is_refused_by_its_budget() {
    let deep = "<a>".repeat(10_000) + &"</a>".repeat(10_000);
    let wide = format!("<a b=\"{}\"/>", "x".repeat(100_000_000));
    let bomb = "<!DOCTYPE a [<!ENTITY x \"xx\"><!ENTITY y \"&x;&x;\">]><a>&y;</a>".to_owned();
    for (what, xml) in [("levels", deep), ("an attribute", wide), ("entities", bomb)] {
        assert!(Document::parse(xml.as_bytes(), &XmlLimits::envelope()).is_err(), "{what}");
    }
}
