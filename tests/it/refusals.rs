//! Records that a real daemon cannot take: their sender hears the code, by a signed acknowledgement of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use throughcare::clock;
use throughcare::directory::DirectoryHandle;
use throughcare::model::OdsCode;
use throughcare::packet::hl7::ReadAcknowledgement;
use throughcare::packet::mime::{MimeLimits, Strictness};
use throughcare::packet::{Packet, Received, open};
use throughcare::store::{Keyring, Vault};
use throughcare::transfer::Transfer;
use throughcare::transport::{Letter, Observation, Route, Tls, TlsFiles, Transport, TransportLimits};

use crate::network::message::{Message, extract};
use crate::signatures::made::Identity;
use crate::site::{Site, Sites};

/// Posts to the prison as the practice does, and checks that the transport takes it.
async fn post(practice: &Site, message: &Message) {
    let at = |name: &str| practice.folder.join(name);
    let files = TlsFiles {
        certificate: at("tls.pem"),
        key: at("tls.key"),
        roots: vec![at("authority.pem")],
        crls: Vec::new(),
    };
    let directory = DirectoryHandle::open(&at("directory.toml"), clock::now()).unwrap();
    let current = directory.current();
    let route = Route::to(current.peers().next().unwrap().0, "RCMR_IN030000UK06").unwrap();
    let transport = Transport::new(Tls::open(files).unwrap(), directory, TransportLimits::default());
    let (content_type, body) = message.write();
    let letter = Letter { content_type, soap_action: String::new(), body: body.into() };
    match transport.post(&route, &letter, Duration::from_secs(20)).await {
        Observation::Reply(reply) => {
            let text = String::from_utf8(reply.body).unwrap();
            assert!(reply.status == 200 && text.contains("eb:Acknowledgment"), "{} {text}", reply.status);
        }
        other => panic!("there must be an answer: {other:?}"),
    }
}

/// Every acknowledgement that came back, by the message it answers: here nobody sent anything, so they are put aside.
fn heard(practice: &Site, bodies: &[String]) -> BTreeMap<String, Option<String>> {
    let keys = Keyring::load(&practice.folder.join("vault.key")).unwrap();
    let vault = Vault::open(&practice.folder.join("vault"), keys).unwrap();
    let read = |sealed: &String| {
        let packet = Packet::from_file(&vault.get(&sealed.parse().unwrap()).unwrap()).unwrap();
        let limits = MimeLimits::default();
        let opened = open(&packet.content_type, &packet.body, Strictness::Strict, &limits).unwrap();
        let Received::Business(incoming) = opened else { panic!("an acknowledgement is no signal") };
        let ack = ReadAcknowledgement::read(&incoming.hl7().unwrap().body).unwrap();
        (ack.refers_to.unwrap().as_str().to_owned(), ack.code)
    };
    bodies.iter().map(read).collect()
}

/// Where the bodies in quarantine are sealed.
fn sealed(site: &Site) -> Vec<String> {
    let exported = String::from_utf8(site.run(&["export"]).stdout).unwrap();
    let rows = exported.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let aside = rows.filter(|row| row["table"] == "quarantine");
    aside.map(|row| row["json"]["body"].as_str().unwrap().to_owned()).collect()
}

/// What the practice signs with, and until when its messages live.
fn practice_signs(sites: &Sites) -> impl Fn(Message) -> Message + use<> {
    let read = |name: &str| fs::read_to_string(sites.practice.folder.join(name)).unwrap();
    let identity = Identity { key: read("signing.key"), certificate: read("signing.pem") };
    let until = clock::now().plus(Duration::from_secs(3600)).to_ebxml();
    move |message| message.until(&until).signed(&identity)
}

/// Where a record of the practice is filed.
fn place(prison: &Site, message: &Message) -> PathBuf {
    let from = OdsCode::parse("B85002").unwrap();
    let id = Transfer::id_for_arrival(&from, message.header.conversation);
    prison.folder.join("filed").join(id.to_string())
}

#[test]
fn a_record_that_cannot_be_filed_is_held_explained_and_taken_up_again() {
    let mut sites = Sites::start("info");
    let signed = practice_signs(&sites);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (first, second) = (signed(extract("M1")), signed(extract("M2")));
    runtime.block_on(post(&sites.practice, &first));
    let prison = &mut sites.prison;
    prison.until("the first is filed", |site| place(site, &first).join("filed.json").exists());
    // Somebody moved folders about: another record lies where the second one goes.
    fs::rename(place(prison, &first), place(prison, &second)).unwrap();
    runtime.block_on(post(&sites.practice, &second));
    prison.until("it is held", |site| {
        !site.ask(&["list", "state=held"])["transfers"].as_array().unwrap().is_empty()
    });
    let status = prison.ask(&["status"]);
    let need = status["needs_you"].to_string();
    assert!(need.contains("another record is filed under this transfer's name"), "{status:#}");
    let id = prison.ask(&["list", "state=held"])["transfers"][0]["id"].as_str().unwrap().to_owned();
    let explained = prison.ask(&["explain", &id]);
    assert_eq!(explained["waits_for"], "a person", "{explained:#}");
    assert!(explained["you_can"].to_string().contains("throughcare retry"), "{explained:#}");
    fs::remove_dir_all(place(prison, &second)).unwrap();
    let retried = prison.run(&["retry", &id, "--reason", "moved it away"]);
    assert!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
    prison.until("it is filed", |site| site.ask(&["list", &id])["transfers"][0]["state"] == "filed");
    assert!(place(prison, &second).join("extract.xml").exists(), "whole");
    prison.stop();
}

#[test]
fn the_sender_of_a_record_that_cannot_be_taken_hears_why() {
    let mut sites = Sites::start("info");
    let signed = practice_signs(&sites);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for message in [extract("M1"), extract("M2").after("M1"), extract("M3").unreadable()] {
        runtime.block_on(post(&sites.practice, &signed(message)));
    }
    sites.prison.until("all are answered", |site| {
        let list = site.ask(&["list", "state=any"]);
        let states = list["transfers"].as_array().unwrap().iter();
        let mut states: Vec<String> = states.map(|row| row["state"].as_str().unwrap().to_owned()).collect();
        states.sort();
        states == ["filed", "refused", "refused"]
    });
    let list = sites.prison.ask(&["list", "state=refused"]);
    let row = list["transfers"].as_array().unwrap();
    assert!(row.iter().any(|row| row["why"].as_str().unwrap().contains("code 21")), "{list:#}");
    let id = row[0]["id"].as_str().unwrap();
    let shown = sites.prison.ask(&["show", id]);
    assert!(shown["timeline"].to_string().contains("its sender is told code"), "{shown:#}");
    sites.prison.stop();
    let bodies = sealed(&sites.practice);
    sites.practice.stop();
    let code = |code: &str| Some(code.to_owned());
    let expected = [("M1", None), ("M2", code("12")), ("M3", code("21"))];
    let expected = expected.map(|(id, code)| (id.to_owned(), code));
    assert_eq!(heard(&sites.practice, &bodies), BTreeMap::from(expected), "gp2gp §5");
}
