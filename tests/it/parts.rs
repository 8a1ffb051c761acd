//! Records that fit no message, between two daemons: in both directions, killed in the middle, sent again after a refusal.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use throughcare::packet::fingerprint::Fingerprint;

use crate::conversation::{NUMBER, pair, record, registered, stands, tell, timeline, until};
use crate::sites::{Pair, Site};

/// A document of the record, of so many octets that no gzip makes smaller.
fn attach(site: &Site, record: &str, document: &str, bytes: usize) -> Fingerprint {
    let octets = noise(document, bytes);
    fs::write(site.folder.join("records").join(record).join(document), &octets).unwrap();
    Fingerprint::of(&octets)
}

/// Octets that look like nothing, the same for the same name.
fn noise(name: &str, bytes: usize) -> Vec<u8> {
    let mut dice =
        crate::dice::Dice(name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte)));
    let mut octets: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| dice.next().to_le_bytes()).collect();
    octets.truncate(bytes);
    octets
}

/// The digests of what was filed, by content type and size.
fn filed_digests(site: &Site) -> Vec<String> {
    let folder = fs::read_dir(site.folder.join("filed")).unwrap().next().unwrap().unwrap().path();
    let filed: Value = serde_json::from_slice(&fs::read(folder.join("filed.json")).unwrap()).unwrap();
    for one in filed["attachments"].as_array().unwrap() {
        let octets = fs::read(folder.join(one["file"].as_str().unwrap())).unwrap();
        assert_eq!(one["sha256"], Fingerprint::of(&octets).to_string(), "it is what filed.json says");
    }
    assert_eq!(filed["missing"], Value::Null, "every document came");
    filed["attachments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["sha256"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_record_that_fits_no_message_comes_in_parts() {
    // LM06 to LM43: a file too large for one message goes in fragments, the others whole or inside the extract.
    let place = tempfile::tempdir().unwrap();
    let mut pair = pair(place.path());
    let names = ["scan.tif", "letter.pdf", "photograph.jpg", "note.txt"];
    let documents: Vec<_> = names.iter().map(|name| (*name, "application/pdf")).collect();
    record(&pair.practice, "community", NUMBER, &documents);
    let sizes = [13_000_000, 3_300_000, 2_000_000, 300_000];
    let sent: Vec<String> = names
        .iter()
        .zip(sizes)
        .map(|(name, bytes)| attach(&pair.practice, "community", name, bytes).to_string())
        .collect();
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &registered("HMP01", "stay-1", NUMBER, "B85002"));
    until(&pair, "all parts", |p| stands(&p.prison, "filed") && stands(&p.practice, "integrated"));
    assert_eq!(filed_digests(&pair.prison), sent, "octet for octet, in the order of the record");
    let theirs = timeline(&pair.prison).join("\n");
    assert!(theirs.contains("parts to come") && theirs.contains("parts are here"), "{theirs}");
    let ours = timeline(&pair.practice).join("\n");
    assert!(ours.contains("leave came") && ours.contains("parts were delivered"), "{ours}");
    assert!(
        place.path().join("prison").exists() || !theirs.contains("scan.tif"),
        "no name of a document is told"
    );
}

/// The messages of the only transfer of a site that are parts: state and attempts.
fn parts(site: &Site) -> Value {
    let list = site.ask(&["list", "state=any"]).unwrap();
    let id = list["transfers"][0]["id"].as_str().unwrap().to_owned();
    site.ask(&["show", &id]).unwrap()["parts"].clone()
}

#[test]
fn a_text_that_fits_no_message_goes_as_a_skeleton_and_comes_whole() {
    // LM12: the HL7 itself is more than a message may be.
    let place = tempfile::tempdir().unwrap();
    let mut pair = pair(place.path());
    let words: String = noise("words", 3_600_000).iter().map(|octet| format!("{octet:02x} ")).collect();
    let text = crate::site::bundle(NUMBER, "Synthetic", "1984-02-29", "words", &[("note.txt", "text/plain")]);
    let mut record: Value = text;
    split(&mut record, &words);
    let records = pair.practice.folder.join("records");
    fs::write(records.join("community.json"), record.to_string()).unwrap();
    fs::create_dir_all(records.join("community")).unwrap();
    fs::write(records.join("community/note.txt"), "a letter (synthetic)").unwrap();
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &registered("HMP01", "stay-1", NUMBER, "B85002"));
    until(&pair, "LM12", |p| stands(&p.prison, "filed") && stands(&p.practice, "integrated"));
    let folder = fs::read_dir(pair.prison.folder.join("filed")).unwrap().next().unwrap().unwrap().path();
    let extract = fs::read_to_string(folder.join("extract.xml")).unwrap();
    assert!(extract.len() > 5_000_000, "it is the whole extract, not the skeleton: {} octets", extract.len());
    let bundle = fs::read_to_string(folder.join("record.json")).unwrap();
    let missing = chunks(&words).filter(|chunk| !bundle.contains(chunk.trim())).count();
    assert_eq!(missing, 0, "every word is in the record");
    assert_eq!(filed_digests(&pair.prison), [Fingerprint::of(b"a letter (synthetic)").to_string()]);
}

fn chunks(words: &str) -> impl Iterator<Item = &str> {
    words.as_bytes().chunks(99_999).map(|chunk| std::str::from_utf8(chunk).unwrap())
}

/// Copies the first observation of the record until all words are in it, a hundred thousand characters in each.
fn split(record: &mut Value, words: &str) {
    let entries = record["entry"].as_array_mut().unwrap();
    let at = entries.iter().position(|e| e["resource"]["resourceType"] == "Observation");
    let Some(at) = at else { panic!("the record has an observation") };
    let first = entries[at].clone();
    for (n, chunk) in chunks(words).enumerate() {
        let mut one = first.clone();
        let id = throughcare::model::EventId::derived(&["words", &n.to_string()]).to_string();
        one["resource"]["id"] = Value::String(id);
        one["resource"]["comment"] = Value::from(chunk);
        entries.push(one);
    }
}

#[test]
fn a_release_is_pushed_in_parts_and_both_ends_may_be_killed_at_any_moment() {
    // H2, H6, LM18: only what was not finished is sent again.
    let place = tempfile::tempdir().unwrap();
    let mut pair = crate::sites::lay(place.path(), "");
    let names: Vec<String> = (0..12).map(|n| format!("scan-{n}.tif")).collect();
    let documents: Vec<_> = names.iter().map(|name| (name.as_str(), "image/tiff")).collect();
    record(&pair.prison, "stay-1", NUMBER, &documents);
    let sent: Vec<String> =
        names.iter().map(|name| attach(&pair.prison, "stay-1", name, 3_900_000).to_string()).collect();
    pair.prison.start();
    pair.practice.start();
    let mut release = crate::conversation::released("stay-1", "B85002");
    release["release"]["destination"] = Value::from("B85002");
    release["release"]["destination_basis"] = Value::from("pds");
    tell(&pair.prison, &release);
    for kill in 0..8_u64 {
        std::thread::sleep(Duration::from_millis(150 + kill * 61));
        let site = if kill % 2 == 0 { &mut pair.practice } else { &mut pair.prison };
        site.kill9();
        site.start();
    }
    until(&pair, "all parts", |p| stands(&p.practice, "filed") && stands(&p.prison, "integrated"));
    assert_eq!(pair.practice.filed(), 1, "H6");
    assert_eq!(filed_digests(&pair.practice), sent);
    let shown = parts(&pair.prison);
    assert_eq!(shown["done"], shown["messages"], "{shown}");
    assert!(shown["messages"].as_u64() > Some(12), "indexes and fragments: {shown}");
}

/// An operator has the only transfer of a site tried now.
fn retry(site: &Site) {
    let list = site.ask(&["list", "state=any"]).unwrap();
    let id = list["transfers"][0]["id"].as_str().unwrap().to_owned();
    let acted = site.ask(&["retry", &id, "--reason", "they asked for it"]);
    assert!(acted.is_some(), "it may be tried");
}

#[test]
fn what_does_not_come_in_time_is_refused_and_may_be_sent_again_whole() {
    // Q10, LM37, then S6, TD66: the same octets under new identities.
    let place = tempfile::tempdir().unwrap();
    let mut pair = crate::sites::lay(place.path(), "");
    let directory = pair.practice.folder.join("directory.toml");
    // The practice waits only seconds for parts: T is reckoned with what its directory says.
    let text = fs::read_to_string(&directory).unwrap();
    fs::write(&directory, text.replace("persist_duration = \"PT6H\"", "persist_duration = \"PT1S\""))
        .unwrap();
    record(&pair.prison, "stay-1", NUMBER, &[("scan.tif", "image/tiff")]);
    let sent = attach(&pair.prison, "stay-1", "scan.tif", 24_000_000).to_string();
    pair.prison.start();
    pair.practice.start();
    let mut release = crate::conversation::released("stay-1", "B85002");
    release["release"]["destination"] = Value::from("B85002");
    release["release"]["destination_basis"] = Value::from("pds");
    tell(&pair.prison, &release);
    until(&pair, "the extract has come", |p| stands(&p.practice, "receiving"));
    pair.prison.kill9();
    std::thread::sleep(Duration::from_secs(11));
    pair.prison.start();
    // Its acknowledgement found nobody, and waits on the long ladder.
    retry(&pair.practice);
    until(&pair, "31", |p| stands(&p.prison, "not-integrated"));
    let words = timeline(&pair.practice).join("\n");
    // 20 where the kill was so early that not even leave arrived (TD22.5).
    assert!(words.contains("code 31") || words.contains("code 20"), "{words}");
    assert_eq!(pair.practice.filed(), 0, "LM42: never a part of a record");

    pair.practice.kill9();
    fs::write(&directory, text).unwrap();
    pair.practice.start();
    retry(&pair.prison);
    until(&pair, "again", |p| stands(&p.prison, "integrated") && stands(&p.practice, "filed"));
    assert_eq!(filed_digests(&pair.practice), [sent]);
    let words = timeline(&pair.prison).join("\n");
    assert!(words.contains("new message id"), "{words}");
}

#[test]
fn a_large_record_is_never_in_memory_whole() {
    let place = tempfile::tempdir().unwrap();
    let mut pair = pair(place.path());
    record(&pair.practice, "community", NUMBER, &[("film.mpg", "video/mpeg")]);
    let sent = attach(&pair.practice, "community", "film.mpg", 150_000_000).to_string();
    pair.prison.start();
    pair.practice.start();
    tell(&pair.prison, &registered("HMP01", "stay-1", NUMBER, "B85002"));
    let most = |pair: &Pair| (pair.prison.resident_kib(), pair.practice.resident_kib());
    let peak = std::cell::Cell::new((0, 0));
    until(&pair, "150 MB", |p| {
        let (a, b) = most(p);
        peak.set((peak.get().0.max(a), peak.get().1.max(b)));
        stands(&p.prison, "filed") && stands(&p.practice, "integrated")
    });
    assert_eq!(filed_digests(&pair.prison), [sent]);
    let (prison, practice) = peak.get();
    println!("resident: {prison} KiB receiving, {practice} KiB sending");
    assert!(prison < 150_000 && practice < 150_000, "{prison} KiB, {practice} KiB");
}
