//! Signed receipts that come as requests of their own, between two real daemons: proof is kept however it arrives.

use std::fs;

use serde_json::Value;
use throughcare::packet::mime::{MimeLimits, Strictness};
use throughcare::packet::signal::Signal;
use throughcare::packet::{Received, open};
use throughcare::store::{Keyring, SealedRef, Vault};

use crate::site::{Site, Sites, bundle, release, transfer};

const NUMBER: &str = "9990000018";

/// The contract without synchronous signals, and a route for those that go their own way (wire reference §1.3).
fn without_sync_replies(site: &Site) {
    let file = site.folder.join("directory.toml");
    let text = fs::read_to_string(&file).unwrap();
    let url = text.lines().find(|line| line.starts_with("url = ")).unwrap();
    let own_way = format!("[party.actions.Acknowledgment]\n{url}\n[party.signing]");
    let text = text.replace("retries = 2\n", "retries = 2\nsync_reply = \"none\"\n");
    fs::write(&file, text.replace("[party.signing]", &own_way)).unwrap();
}

/// The receipt of a transfer, once it has one, as it is stored.
fn receipt(site: &Site, id: &str) -> Option<SealedRef> {
    let exported = String::from_utf8(site.run(&["export"]).stdout).unwrap();
    let mut rows = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let transfer = rows.find(|row| row["table"] == "transfer" && row["json"]["id"] == id)?;
    Some(within(&transfer, "receipt")?.as_str()?.parse().unwrap())
}

/// The first value under that name, however deep.
fn within<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    match value {
        Value::Object(fields) => {
            fields.get(name).or_else(|| fields.values().find_map(|field| within(field, name)))
        }
        Value::Array(items) => items.iter().find_map(|item| within(item, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[test]
fn a_receipt_that_comes_as_a_request_of_its_own_is_kept() {
    let mut sites = Sites::lay("info");
    without_sync_replies(&sites.prison);
    without_sync_replies(&sites.practice);
    sites.practice.start();
    sites.prison.start();
    let prison = &mut sites.prison;
    prison.record("stay", bundle(NUMBER, "Example", "1980-01-01", "Well.", &[]).to_string());
    prison.drop_in(&[("a.json", release("stay", NUMBER).to_string().into_bytes())]);
    let id = transfer("stay").to_string();
    prison.until("the receipt is kept", |site| receipt(site, &id).is_some());
    let sealed = receipt(prison, &id).unwrap();
    let shown = prison.ask(&["show", &id]);
    prison.stop();
    let keys = Keyring::load(&prison.folder.join("vault.key")).unwrap();
    let octets = Vault::open(&prison.folder.join("vault"), keys).unwrap().get(&sealed).unwrap();
    let read = open("text/xml", &octets, Strictness::Strict, &MimeLimits::default()).unwrap();
    let Received::Signal { signal: Signal::Acknowledgment(receipt), .. } = read else {
        panic!("the octets as they were posted")
    };
    assert_eq!(shown["message_id"], receipt.refers_to.as_str(), "wire §6.3: of the very message we sent");
    let text = String::from_utf8(octets).unwrap();
    assert!(text.contains("SignatureValue") && text.contains("cid:"), "with the references it signs for");
}
