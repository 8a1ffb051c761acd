//! Records that a real daemon cannot take: their sender hears the code, by a signed acknowledgement of its own.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use throughcare::clock;
use throughcare::directory::DirectoryHandle;
use throughcare::packet::hl7::ReadAcknowledgement;
use throughcare::packet::mime::{MimeLimits, Strictness};
use throughcare::packet::{Packet, Received, open};
use throughcare::store::{Keyring, Vault};
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

#[test]
fn the_sender_of_a_record_that_cannot_be_taken_hears_why() {
    let mut sites = Sites::start("info");
    let signing = |name: &str| fs::read_to_string(sites.practice.folder.join(name)).unwrap();
    let identity = Identity { key: signing("signing.key"), certificate: signing("signing.pem") };
    let until = clock::now().plus(Duration::from_secs(3600)).to_ebxml();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for message in [extract("M1"), extract("M2").after("M1"), extract("M3").unreadable()] {
        runtime.block_on(post(&sites.practice, &message.until(&until).signed(&identity)));
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
