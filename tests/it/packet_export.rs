//! A sealed packet out of a running daemon: recorded with who and why before it leaves, and then anybody's to verify.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::site::{Site, Sites, bundle, release, transfer};
use crate::{json_schema, tools};

const NUMBER: &str = "9990000018";

fn acts(site: &Site, id: &str) -> Vec<Value> {
    let timeline = site.ask(&["show", id])["timeline"].as_array().unwrap().clone();
    timeline.into_iter().map(|line| line["entry"].clone()).filter(|e| e["what"] == "act").collect()
}

#[test]
fn a_packet_leaves_the_vault_with_a_reason_that_is_kept_and_verifies_offline() {
    let mut sites = Sites::start("info");
    let stay = "stay-1";
    let letter = "x".repeat(600_000);
    let record = bundle(NUMBER, "Example", "1980-01-01", "a note", &[("letter.txt", "text/plain")]);
    sites.prison.record(stay, record.to_string());
    sites.prison.attachment(stay, "letter.txt", &letter);
    sites.prison.drop_in(&[("release.json", release(stay, NUMBER).to_string().into_bytes())]);
    sites
        .prison
        .until("the practice has filed it", |s| s.row(stay).is_some_and(|row| row["state"] == "integrated"));
    let (site, id) = (&sites.prison, transfer(stay).to_string());
    let packet = site.folder.join("packet.mime");
    let path = packet.to_str().unwrap();
    assert_eq!(site.run(&["packet", "export", &id, path]).status.code(), Some(2), "a reason is wanted");
    assert!(acts(site, &id).is_empty() && !packet.exists());

    let changed = site.row(stay).unwrap()["changed_at"].clone();
    let report = site.ask(&["packet", "export", &id[..8], path, "--reason", "asked by the ICO"]);
    let faults = json_schema::faults(&json_schema::load("packet-exported.schema.json"), &report);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(report["bytes"], fs::metadata(&packet).unwrap().len());
    assert!(report["bytes"].as_u64().unwrap() > 600_000, "it came in several pieces");
    assert_eq!(fs::metadata(&packet).unwrap().permissions().mode() & 0o777, 0o600, "it is a record");
    let kept = acts(site, &id);
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (&kept[0]["verb"], &kept[0]["reason"]),
        (&"disclose-packet".into(), &"asked by the ICO".into())
    );
    assert_eq!(kept[0]["uid"], rustix::process::getuid().as_raw(), "the kernel says who looked");
    assert_eq!(site.row(stay).unwrap()["changed_at"], changed, "looking changes nothing");
    let log = fs::read_to_string(site.log()).unwrap();
    assert!(
        log.contains("an operator looked") && !log.contains("asked by the ICO"),
        "words stay in the timeline"
    );

    let again = site.run(&["packet", "export", &id, path, "--reason", "again"]);
    assert_eq!(again.status.code(), Some(4), "nothing is overwritten");
    assert!(String::from_utf8_lossy(&again.stderr).contains("choose another name"));
    assert_eq!(acts(site, &id).len(), 1, "and nothing is recorded that did not happen");

    let trust = site.folder.join("signing.pem");
    let verified = site.run(&["packet", "verify", path, "--trust", trust.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    let parts = site.folder.join("parts");
    let shown = site.ask(&[
        "packet",
        "show",
        path,
        "--unpack",
        parts.to_str().unwrap(),
        "--trust",
        trust.to_str().unwrap(),
    ]);
    let line = shown["verify_with"].as_str().unwrap();
    let mut words = line.split(' ');
    let xmlsec = words.next().unwrap();
    if let Some(output) = tools::run(xmlsec, words) {
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_receipt_and_what_arrived_come_out_too_and_what_is_not_there_is_said() {
    let mut sites = Sites::start("info");
    let stay = "stay-1";
    sites.prison.record(stay, bundle(NUMBER, "Example", "1980-01-01", "a note", &[]).to_string());
    sites.prison.drop_in(&[("release.json", release(stay, NUMBER).to_string().into_bytes())]);
    sites
        .prison
        .until("the practice has filed it", |s| s.row(stay).is_some_and(|row| row["state"] == "integrated"));
    let id = transfer(stay).to_string();
    let export = |site: &Site, id: &str, name: &str, more: &[&str]| {
        let file = site.folder.join(name);
        let arguments = ["packet", "export", id, file.to_str().unwrap(), "--reason", "audit"];
        (site.run(&[&arguments[..], more].concat()), file)
    };
    let (output, receipt) = export(&sites.prison, &id, "receipt.xml", &["--receipt"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(receipt).unwrap();
    assert!(text.contains("Acknowledgment") && text.contains("SignatureValue"), "a signed receipt");
    assert_eq!(acts(&sites.prison, &id)[0]["verb"], "disclose-receipt");

    let list = sites.practice.ask(&["list", "state=any"]);
    let arrived = list["transfers"][0]["id"].as_str().unwrap().to_owned();
    let (output, packet) = export(&sites.practice, &arrived, "arrived.mime", &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trust = sites.prison.folder.join("signing.pem");
    let verify = ["packet", "verify", packet.to_str().unwrap(), "--trust", trust.to_str().unwrap()];
    assert!(sites.practice.run(&verify).status.success(), "what arrived is as it was signed");

    // No record: there is no packet yet, and no file is left behind.
    sites.prison.drop_in(&[("other.json", release("stay-2", NUMBER).to_string().into_bytes())]);
    sites.prison.until("it is known", |s| s.row("stay-2").is_some());
    let other = transfer("stay-2").to_string();
    let (output, file) = export(&sites.prison, &other, "none.mime", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no packet yet") && !file.exists());
    assert!(acts(&sites.prison, &other).is_empty(), "nothing was disclosed");
}
