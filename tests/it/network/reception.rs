//! The inbox's desk over a real engine, vault and mutual TLS: nothing is answered before it is durable, and
//! nothing is taken twice.

use super::*;
use std::sync::Arc;

use hyper::body::Bytes;
use throughcare::engine::ledger::{self, Quarantined, ReceivedRow};
use throughcare::engine::{self, Engine, Limits};
use throughcare::inbox::{ACTIONS, Aside, OwnSignal, Reception, Wire, post_signals};
use throughcare::model::MessageId;
use throughcare::packet::Packet;
use throughcare::packet::envelope::AckRequest;
use throughcare::perform::SignerHandle;
use throughcare::store::{Keyring, Options, Store, Table, Vault};
use throughcare::telemetry::Metrics;
use throughcare::transfer::{Case, Transfer};
use throughcare::transport::Observation;
use tokio::sync::mpsc;

use crate::network::message::{Answer, Message, extract, read, receipt};
use crate::signatures::made::Identity;

/// A prison's inbox with everything behind it, and a practice that calls it.
struct World {
    authority: Authority,
    client: End,
    server: Serving,
    store: Store,
    vault: Vault,
    signals: Option<mpsc::Receiver<OwnSignal>>,
    orders: Option<mpsc::UnboundedReceiver<throughcare::transfer::effect::Order>>,
    folder: TempDir,
}

async fn world(more: &str) -> World {
    world_on(more, &Options::default()).await
}

async fn world_on(more: &str, options: &Options) -> World {
    let authority = root("one");
    let end = End::new(&leaf(&authority, "prison.example"), &[&authority]);
    let served = "[[party]]\nods = \"HMP01\"\nname = \"HMP Example\"\nkind = \"prison\"\nserved = true\n\
                  party_key = \"HMP01-0001\"\nasid = \"200000000001\"\ncpa_id = \"S0001A0001\"\n";
    let named = format!("{more}\n[party.tls]\nclient_names = [\"practice.example\"]");
    write(&end.path("directory.toml"), &(served.to_owned() + &entry(PRACTICE, 9, &named)), 0o644);
    let directory = DirectoryHandle::open(&end.path("directory.toml"), clock::now()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store"), options).unwrap();
    let keys = Keyring::load_or_create(&folder.path().join("key")).unwrap();
    let vault = Vault::open(&folder.path().join("vault"), keys).unwrap();
    let engine = Engine::open(store.clone(), Limits::default()).unwrap();
    let (engine, orders, _ended) =
        engine::run(engine, tokio::runtime::Handle::current(), Box::new(|_, _| {})).unwrap();
    let (sender, signals) = mpsc::channel(16);
    let metrics = Arc::new(Metrics::new());
    let wire = Wire {
        signer: SignerHandle::default(),
        store: store.clone(),
        vault: vault.clone(),
        metrics: metrics.clone(),
        accept_push: true,
    };
    let aside = Aside::new(engine.clone(), vault.clone(), store.clone(), metrics.clone());
    let desk = Reception {
        wire: Arc::new(wire),
        tls: end.tls(),
        directory: directory.clone(),
        engine,
        vault: vault.clone(),
        aside,
        signals: sender,
        actions: ACTIONS,
    };
    let server = serve(end.tls(), directory, desk, InboxLimits::default()).await;
    let client = End::new(&leaf(&authority, "practice.example"), &[&authority]);
    World { authority, client, server, store, vault, signals: Some(signals), orders: Some(orders), folder }
}

fn refusal(code: &str) -> Answer {
    Answer::Refused(200, code.to_owned())
}

impl World {
    async fn post(&self, message: &Message) -> Answer {
        self.post_as(&self.client, message).await
    }

    async fn post_as(&self, client: &End, message: &Message) -> Answer {
        let (content_type, body) = message.write();
        self.post_raw(client, content_type, body).await
    }

    async fn post_raw(&self, client: &End, content_type: String, body: Vec<u8>) -> Answer {
        let transport = client.transport(self.server.port(), "", TransportLimits::default());
        let letter = Letter { content_type, body: Bytes::from(body), ..letter(0) };
        match transport.post(&route(self.server.port()), &letter, PATIENCE).await {
            Observation::Reply(reply) => read(reply.status, reply.body),
            other => panic!("there must be an answer: {other:?}"),
        }
    }

    fn transfers(&self) -> usize {
        self.store.scan(Table::Transfer, &[]).count()
    }

    /// Bytes in the vault.
    fn sealed(&self) -> u64 {
        fn size(folder: &std::path::Path) -> u64 {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
            entries
                .map(|e| if e.path().is_dir() { size(&e.path()) } else { e.metadata().unwrap().len() })
                .sum()
        }
        size(&self.folder.path().join("vault"))
    }

    /// What was put aside, and the octets of each as they were posted.
    fn aside(&self) -> Vec<(Quarantined, Packet)> {
        let rows = self.store.scan(Table::Quarantine, &[]).map(|row| row.unwrap().1);
        rows.map(|row| {
            let entry: Quarantined = ledger::decode(&row).unwrap();
            let octets = self.vault.get(&entry.body.0.parse().unwrap()).unwrap();
            (entry, Packet::from_file(&octets).unwrap())
        })
        .collect()
    }

    fn row(&self, id: &str) -> Option<ReceivedRow> {
        let key = ledger::received_key(&PartyKey::parse(PRACTICE.1).unwrap(), &MessageId::parse(id).unwrap());
        self.store.get(Table::Ledger, &key).unwrap().map(|bytes| ledger::decode(&bytes).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_posts_give_one_transfer_and_four_identical_answers() {
    let world = world("").await;
    let first = world.post(&extract("M1")).await;
    let Answer::Acknowledged(200, octets) = &first else { panic!("{first:?}") };
    let row = world.row("M1").expect("the answer is kept with the message before it is given");
    let kept = world.vault.get(&row.answer.0.parse().unwrap()).unwrap();
    assert_eq!(String::from_utf8(kept).unwrap(), format!("200\n{octets}"));
    let sealed = world.sealed();
    for _ in 0..3 {
        // Acknowledgements written a second apart differ.
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(
            world.post(&extract("M1")).await,
            first,
            "the stored answer, octet for octet (wire §9, 10)"
        );
    }
    assert_eq!(world.sealed(), sealed, "a copy of what is kept is not sealed again");
    assert_eq!(world.transfers(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_with_other_content_is_inconsistent() {
    let world = world("").await;
    let first = world.post(&extract("M1")).await;
    let other = world.post(&extract("M1").with_letter("two")).await;
    assert_eq!(world.aside()[0].0.reason, "conflicting_message", "the other one is put aside");
    assert_eq!(other, refusal("Inconsistent"), "wire §9, 11");
    assert_eq!(world.post(&extract("M1")).await, first, "the first one stands");
    assert_eq!(world.transfers(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_has_its_answer_and_opens_nothing() {
    let world = world("").await;
    let rows = [
        (extract("M1").to("HMP02-0001"), "ValueNotRecognized"),
        (extract("M1").under("S0001A0002"), "ValueNotRecognized"),
        (extract("M1").saying("RCMR_IN030000UK08"), "ValueNotRecognized"),
        (extract("M1").until("2020-01-01T00:00:00Z"), "TimeToLiveExpired"),
        (extract("M1").cut(), "MimeProblem"),
        (extract("M1").signed(&Identity::p256()), "SecurityFailure"),
        (extract("M1").from("X99999-0001"), "SecurityFailure"),
    ];
    for (message, code) in rows {
        assert_eq!(world.post(&message).await, refusal(code), "{code}");
    }
    let nothing = world.post_raw(&world.client, "text/xml".to_owned(), b"nothing of use".to_vec()).await;
    assert_eq!(nothing, Answer::Fault(500, "Client".to_owned()), "wire §1.4");
    assert_eq!(world.transfers(), 0);
    assert!(world.row("M1").is_none(), "a refused message may come again, mended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_put_aside_once_with_its_reason_and_its_octets() {
    let world = world("").await;
    let impostor = End::new(&leaf(&world.authority, "other.example"), &[&world.authority]);
    let ours = &world.client;
    let rows = [
        (ours, extract("M1").cut(), "unreadable"),
        (ours, extract("M2").signed(&Identity::p256()), "signature_refused"),
        (ours, extract("M3").from("X99999-0001"), "unknown_sender"),
        (&impostor, extract("M4"), "other_certificate"),
        (ours, extract("M5").to("HMP02-0001"), "misaddressed"),
        (ours, extract("M6").under("S0001A0002"), "misaddressed"),
        (ours, receipt("M7").signed(&Identity::p256()), "signature_refused"),
    ];
    for (client, message, reason) in rows {
        let (content_type, body) = message.write();
        let before = world.aside().len();
        let first = world.post_raw(client, content_type.clone(), body.clone()).await;
        let sealed = world.sealed();
        world.post_raw(client, content_type.clone(), body.clone()).await;
        assert_eq!(world.sealed(), sealed, "{reason}: the same again is not sealed again");
        let aside = world.aside();
        assert_eq!(aside.len(), before + 1, "{reason}: one row for the same octets");
        let (entry, packet) = aside.into_iter().find(|(_, packet)| packet.body == body).unwrap();
        assert_eq!((entry.reason.as_str(), entry.origin.as_str()), (reason, "inbox"), "{first:?}");
        assert_eq!(packet.content_type, content_type, "nothing of it is lost");
        assert!(!entry.faults[0].is_empty(), "{reason}: what is wrong, and where");
    }
    let before = world.aside().len();
    world.post(&extract("M8").until("2020-01-01T00:00:00Z")).await;
    world.post(&extract("M9").saying("RCMR_IN030000UK08")).await;
    world.post(&receipt("M9")).await;
    assert_eq!(world.aside().len(), before, "what is late or asks in vain is its sender's to mend");
    assert_eq!(world.transfers(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_fills_no_more_of_the_quarantine_than_its_share() {
    let world = world("").await;
    for n in 0..62 {
        let body = format!("nothing of use, number {n}").into_bytes();
        let answer = world.post_raw(&world.client, "text/xml".to_owned(), body).await;
        assert_eq!(answer, Answer::Fault(500, "Client".to_owned()), "the answer is the same for all");
    }
    assert_eq!(world.aside().len(), 60, "the others are only logged and counted");
    let other = End::new(&leaf(&world.authority, "other.example"), &[&world.authority]);
    world.post_raw(&other, "text/xml".to_owned(), b"of another".to_vec()).await;
    assert_eq!(world.aside().len(), 61, "another's share is its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_partys_certificate_cannot_speak_for_the_practice() {
    let world = world("").await;
    // Under the same root, so that TLS lets it in.
    let impostor = End::new(&leaf(&world.authority, "other.example"), &[&world.authority]);
    let answer = world.post_as(&impostor, &extract("M1")).await;
    assert_eq!(answer, refusal("SecurityFailure"), "custody reference §10, binding");
    let broken = world.post_as(&impostor, &extract("M1").cut()).await;
    assert_eq!(broken, refusal("SecurityFailure"), "and learns nothing else");
    assert_eq!(world.transfers(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_is_never_answered_by_a_signal() {
    let world = world("").await;
    let signal = receipt("M1");
    assert_eq!(world.post(&signal).await, Answer::Empty(202), "for a stranger");
    assert_eq!(world.post(&signal.clone().signed(&Identity::p256())).await, Answer::Empty(202));
    assert_eq!(world.post(&signal.under("nobody")).await, Answer::Empty(202));
    assert_eq!(world.transfers(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_asks_for_nothing_gets_202_and_answer_202_is_honoured() {
    let world = world("answer = 202").await;
    assert_eq!(world.post(&extract("M1").asking(AckRequest::Never)).await, Answer::Empty(202));
    let answer = world.post(&extract("M2")).await;
    assert!(matches!(answer, Answer::Acknowledged(202, _)), "wire §1.4, answer=202: {answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_that_goes_its_own_way_is_posted_to_the_partys_route_for_it() {
    // The practice's own server, to which the signal comes.
    let authority = root("practice");
    let practice = End::new(&leaf(&authority, "practice.example"), &[&authority]);
    let desk = Echo::default();
    let seen = desk.seen.clone();
    let theirs = serve(practice.tls(), practice.directory(PRISON, 9, ""), desk, InboxLimits::default()).await;
    let contract = format!(
        "[party.contract]\nsync_reply = \"none\"\n[party.actions.Acknowledgment]\nurl = \"https://127.0.0.1:{}/messages\"",
        theirs.port()
    );
    let mut world = world(&contract).await;
    let answer = world.post(&extract("M1").asking(AckRequest::Party { signed: false })).await;
    assert_eq!(answer, Answer::Empty(202), "at once (wire §1.3)");
    let mut queue = world.signals.take().unwrap();
    let signal = queue.recv().await.expect("a signal of its own");
    assert_eq!((signal.to.as_str(), signal.action), (PRACTICE.1, "Acknowledgment"));

    let (sender, again) = mpsc::channel(1);
    sender.send(signal).await.unwrap();
    drop(sender);
    let directory = practice.directory(PRACTICE, theirs.port(), "");
    let transport = Transport::new(practice.tls(), directory.clone(), TransportLimits::default());
    post_signals(again, transport, directory).await;
    let arrived = async {
        while seen.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, arrived).await.is_ok(), "it is posted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_stored_is_answered_503_and_never_2xx() {
    let mut world = world("").await;
    // Nobody takes its orders any more: the engine stops at the first one it gives.
    world.orders = None;
    assert!(
        matches!(world.post(&extract("M1")).await, Answer::Acknowledged(200, _)),
        "this one was durable before the engine stopped"
    );
    let stopped = async {
        while matches!(world.post(&extract("M2")).await, Answer::Acknowledged(..)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, stopped).await.expect("the engine is gone");
    assert_eq!(world.post(&extract("M3")).await, Answer::Empty(503), "wire §1.4");
    assert!(world.row("M3").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_nearly_full_takes_no_new_message_and_its_sender_keeps_it() {
    // No disk has as much left, so every disk counts as nearly full.
    let nearly_full = Options { low_space_bytes: u64::MAX, ..Options::default() };
    let world = world_on("", &nearly_full).await;
    assert_eq!(world.post(&extract("M1")).await, Answer::Empty(503), "come again later");
    let sealed = world.sealed();
    assert_eq!(world.post(&extract("M2").cut()).await, refusal("MimeProblem"), "the answer is as ever");
    assert_eq!(world.sealed(), sealed, "but nothing is put aside either");
    assert_eq!((world.transfers(), world.aside().len()), (0, 0));
    assert!(world.row("M1").is_none(), "it may come again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extract_we_understand_and_cannot_take_is_taken_from_the_transport_and_refused_by_a_code() {
    let world = world("").await;
    let refusals = || {
        let rows = world.store.scan(Table::Transfer, &[]).map(|row| row.unwrap().1);
        let mut refusals: Vec<_> = rows
            .map(|row| match ledger::decode::<Transfer>(&row).unwrap().case {
                Case::Received(received) => received.arrival.refusal.map(|refusal| refusal.code()),
                Case::Release(_) | Case::Reception(_) | Case::Outbound(_) | Case::Noted(_) => {
                    panic!("all were received")
                }
            })
            .collect();
        refusals.sort_unstable();
        refusals
    };
    let taken = |answer: &Answer| matches!(answer, Answer::Acknowledged(200, _));
    assert!(taken(&world.post(&extract("M1").unreadable()).await), "its envelope is sound");
    assert_eq!(refusals(), [Some("21")], "gp2gp §2.2, Q4");
    assert!(taken(&world.post(&extract("M2").after("M1")).await));
    assert_eq!(refusals(), [None], "sent again, it takes the place of the one refused (Q19)");
    assert!(taken(&world.post(&extract("M3").after("M1")).await));
    assert_eq!(refusals(), [None, Some("12")], "a second one does not (Q20)");
    assert!(taken(&world.post(&extract("M3").after("M1")).await), "a known MessageId: never 12 for it (C8)");
    assert!(taken(&world.post(&extract("M4").after("M1").unreadable()).await));
    assert_eq!(refusals(), [None, Some("12"), Some("21")], "unreadable comes before second (§2.3)");
    assert!(world.aside().is_empty(), "each has its own answer and nothing waits for a person");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_is_taken_too() {
    let world = world("").await;
    let answer = world.post(&extract("M1").with_letter(&"x".repeat(3_000_000))).await;
    assert!(matches!(answer, Answer::Acknowledged(200, _)), "{answer:?}");
    assert_eq!(world.transfers(), 1);
    assert!(
        world.row("M1").is_some(),
        "read and verified beside the asynchronous threads, stored all the same"
    );
}
