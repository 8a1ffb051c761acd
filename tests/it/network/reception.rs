//! The inbox's desk over a real engine, vault and mutual TLS: nothing is answered before it is durable, and
//! nothing is taken twice.
//!
//! The envelope is stood in for by one line of text, `key=value` pairs: what is under test is the order of checks,
//! commit and answer, not the reading of MIME.

use super::*;
use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::body::Bytes;
use throughcare::directory::{Peer, Profile};
use throughcare::engine::ledger::{self, ReceivedRow};
use throughcare::engine::{self, Engine, Limits};
use throughcare::inbox::answer::AckAsked;
use throughcare::inbox::judge::{Ends, Heading};
use throughcare::inbox::{
    CannotSign, ErrorText, OwnSignal, Packets, Receipt, Reception, Told, Unreadable, post_signals,
};
use throughcare::model::{ConversationId, MessageId, NhsNumber, Timestamp};
use throughcare::packet::signature::SignatureFault;
use throughcare::packet::signature::verify::Verified;
use throughcare::store::{Keyring, Options, Store, Table, Vault};
use throughcare::transfer::event::{Arrival, Event, LateSignal};
use throughcare::transfer::verdict::{Accepted, Verdict};
use throughcare::transport::Observation;
use tokio::sync::mpsc;

/// `key=value` pairs as an envelope.
struct Lines(Store);

struct Line {
    heading: Heading,
    pairs: BTreeMap<String, String>,
}

impl Packets for Lines {
    type Message = Line;

    fn open(&self, _content_type: &str, body: &Bytes) -> Result<Line, Unreadable> {
        let text = std::str::from_utf8(body).map_err(|_| Unreadable::Nameless)?;
        let pairs: BTreeMap<String, String> = text
            .split_whitespace()
            .filter_map(|p| p.split_once('='))
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        let message_id =
            pairs.get("id").and_then(|id| MessageId::parse(id).ok()).ok_or(Unreadable::Nameless)?;
        let party = |key: &str| {
            PartyKey::parse(pairs.get(key).map_or("?", String::as_str)).map_err(|_| Unreadable::Nameless)
        };
        let asked = match pairs.get("ask").map(String::as_str) {
            Some("next") => AckAsked::NextMsh,
            Some("party") => AckAsked::ToParty,
            Some(_) | None => AckAsked::No,
        };
        let heading = Heading {
            from: party("from")?,
            to: vec![party("to")?],
            cpa_id: pairs.get("cpa").cloned().unwrap_or_default(),
            action: pairs.get("action").cloned().unwrap_or_default(),
            conversation: ConversationId::derived(&["c"]),
            message_id,
            time_to_live: pairs.get("until").and_then(|t| Timestamp::parse(t).ok()),
            asked,
        };
        if pairs.contains_key("broken") {
            let error =
                ErrorText { code: "MimeProblem", location: "//eb:Manifest", text: "a part is missing" };
            return Err(Unreadable::Faulty { heading: Box::new(heading), error });
        }
        Ok(Line { heading, pairs })
    }

    fn heading<'m>(&self, message: &'m Line) -> &'m Heading {
        &message.heading
    }

    fn is_signal(&self, message: &Line) -> bool {
        message.heading.action == "Acknowledgment"
    }

    fn verify(
        &self,
        message: &Line,
        _peer: &Peer,
        _now: Timestamp,
    ) -> Result<Option<Verified>, SignatureFault> {
        if message.pairs.contains_key("forged") { Err(SignatureFault::NotAgreed) } else { Ok(None) }
    }

    fn remembered(&self, heading: &Heading) -> Option<ReceivedRow> {
        let key = ledger::received_key(&heading.from, &heading.message_id);
        self.0.get(Table::Ledger, &key).unwrap().map(|row| ledger::decode(&row).unwrap())
    }

    fn digest(&self, message: &Line) -> String {
        Fingerprint::of(message.pairs.get("text").map_or("", String::as_str).as_bytes()).to_string()
    }

    fn tell(&self, message: &Line, ends: &Ends<'_>, body: &Bytes, now: Timestamp) -> Result<Told, ErrorText> {
        let (message_id, body_bytes) = (message.heading.message_id.clone(), body.len() as u64);
        if self.is_signal(message) {
            let verdict = Verdict::Accepted(Accepted::End);
            let signal = LateSignal { message_id, verdict, receipt: None };
            return Ok(Told::Signal { signal, receipt: Receipt::None });
        }
        let conversation = ConversationId::derived(&["conversation", message_id.as_str()]);
        let (from, to) = (ends.them.ods.clone(), ends.us.ods.clone());
        let route = engine::Route::Opens { from: from.clone(), conversation };
        let event = move |packet| {
            Event::Arrived(Box::new(Arrival {
                from,
                to,
                conversation,
                message_id,
                nhs_number: NhsNumber::parse("9991000011").expect("a test number"),
                bytes: body_bytes,
                attachments: 0,
                signed: false,
                packet,
                received_at: now,
            }))
        };
        Ok(Told::Business { route, event: Box::new(event) })
    }

    fn acknowledgment(&self, message: &Line, _: &Ends<'_>, now: Timestamp) -> Result<Vec<u8>, CannotSign> {
        // The time makes every acknowledgement written differ from every other.
        Ok(format!("<ack of=\"{}\" at=\"{now}\"/>", message.heading.message_id).into_bytes())
    }

    fn message_error(
        &self,
        _: &Heading,
        error: ErrorText,
        _: Profile,
        _: Timestamp,
    ) -> Result<Vec<u8>, CannotSign> {
        Ok(format!("<error code=\"{}\"/>", error.code).into_bytes())
    }
}

/// A prison's inbox with everything behind it, and a practice that calls it.
struct World {
    authority: Authority,
    client: End,
    server: Serving,
    store: Store,
    signals: Option<mpsc::Receiver<OwnSignal>>,
    orders: Option<mpsc::UnboundedReceiver<throughcare::transfer::effect::Order>>,
    folder: TempDir,
}

async fn world(more: &str) -> World {
    let authority = root("one");
    let end = End::new(&leaf(&authority, "prison.example"), &[&authority]);
    let served = "[[party]]\nods = \"HMP01\"\nname = \"HMP Example\"\nkind = \"prison\"\nserved = true\n\
                  party_key = \"HMP01-0001\"\nasid = \"200000000001\"\ncpa_id = \"S0001A0001\"\n";
    let named = format!("{more}\n[party.tls]\nclient_names = [\"practice.example\"]");
    write(&end.path("directory.toml"), &(served.to_owned() + &entry(PRACTICE, 9, &named)), 0o644);
    let directory = DirectoryHandle::open(&end.path("directory.toml"), clock::now()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store"), &Options::default()).unwrap();
    let keys = Keyring::load_or_create(&folder.path().join("key")).unwrap();
    let vault = Vault::open(&folder.path().join("vault"), keys).unwrap();
    let engine = Engine::open(store.clone(), Limits::default()).unwrap();
    let (engine, orders, _ended) =
        engine::run(engine, tokio::runtime::Handle::current(), Box::new(|_, _| {})).unwrap();
    let (sender, signals) = mpsc::channel(16);
    let desk = Reception {
        packets: Arc::new(Lines(store.clone())),
        tls: end.tls(),
        directory: directory.clone(),
        engine,
        vault,
        signals: sender,
        actions: &["RCMR_IN030000UK06"],
    };
    let server = serve(end.tls(), directory, desk, InboxLimits::default()).await;
    let client = End::new(&leaf(&authority, "practice.example"), &[&authority]);
    World { authority, client, server, store, signals: Some(signals), orders: Some(orders), folder }
}

const GOOD: &str =
    "from=B85002-0001 to=HMP01-0001 cpa=S0001A0001 action=RCMR_IN030000UK06 id=M1 ask=next text=one";

impl World {
    async fn post(&self, body: &str) -> (u16, String) {
        self.post_as(&self.client, body).await
    }

    async fn post_as(&self, client: &End, body: &str) -> (u16, String) {
        let transport = client.transport(self.server.port(), "", TransportLimits::default());
        let letter = Letter { body: Bytes::from(body.to_owned()), ..letter(0) };
        match transport.post(&route(self.server.port()), &letter, PATIENCE).await {
            Observation::Reply(reply) => (reply.status, String::from_utf8(reply.body).unwrap()),
            other => panic!("there must be an answer: {other:?}"),
        }
    }

    fn transfers(&self) -> usize {
        self.store.scan(Table::Transfer, &[]).count()
    }

    /// Files in the vault.
    fn sealed(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(&self.folder.path().join("vault"))
    }

    fn row(&self, id: &str) -> Option<ReceivedRow> {
        let key = ledger::received_key(&PartyKey::parse(PRACTICE.1).unwrap(), &MessageId::parse(id).unwrap());
        self.store.get(Table::Ledger, &key).unwrap().map(|bytes| ledger::decode(&bytes).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_posts_give_one_transfer_and_four_identical_answers() {
    let world = world("").await;
    let first = world.post(GOOD).await;
    assert_eq!(first.0, 200);
    assert!(first.1.starts_with("<ack of=\"M1\""), "{first:?}");
    let row = world.row("M1").expect("the answer is kept with the message before it is given");
    assert_eq!(row.answer, format!("200\n{}", first.1));
    let sealed = world.sealed();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(world.post(GOOD).await, first, "the stored answer, octet for octet (wire §9, 10)");
    }
    assert_eq!(world.sealed(), sealed, "a copy of what is kept is not sealed again");
    assert_eq!(world.transfers(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_id_with_other_content_is_inconsistent() {
    let world = world("").await;
    let first = world.post(GOOD).await;
    let sealed = world.sealed();
    let other = world.post(&GOOD.replace("text=one", "text=two")).await;
    assert_eq!(world.sealed(), sealed, "nothing of it is kept");
    assert_eq!(other, (200, "<error code=\"Inconsistent\"/>".to_owned()), "wire §9, 11");
    assert_eq!(world.post(GOOD).await, first, "the first one stands");
    assert_eq!(world.transfers(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_has_its_answer_and_leaves_nothing_behind() {
    let world = world("").await;
    let past = GOOD.replace("ask=next", "until=2020-01-01T00:00:00Z");
    let rows = [
        (GOOD.replace("to=HMP01-0001", "to=HMP02-0001"), "ValueNotRecognized"),
        (GOOD.replace("S0001A0001", "S0001A0002"), "ValueNotRecognized"),
        (GOOD.replace("RCMR_IN030000UK06", "RCMR_IN030000UK08"), "ValueNotRecognized"),
        (past, "TimeToLiveExpired"),
        (format!("{GOOD} broken=1"), "MimeProblem"),
        (format!("{GOOD} forged=1"), "SecurityFailure"),
        (GOOD.replace("B85002-0001", "X99999-0001"), "SecurityFailure"),
    ];
    for (body, code) in rows {
        assert_eq!(world.post(&body).await, (200, format!("<error code=\"{code}\"/>")), "{body}");
    }
    let (status, body) = world.post("nothing of use").await;
    assert_eq!(status, 500);
    assert!(body.contains("SOAP:Client"), "{body}");
    assert_eq!(world.transfers(), 0);
    assert!(world.row("M1").is_none(), "a refused message may come again, mended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_partys_certificate_cannot_speak_for_the_practice() {
    let world = world("").await;
    // Under the same root, so that TLS lets it in.
    let impostor = End::new(&leaf(&world.authority, "other.example"), &[&world.authority]);
    let answer = world.post_as(&impostor, GOOD).await;
    assert_eq!(
        answer,
        (200, "<error code=\"SecurityFailure\"/>".to_owned()),
        "custody reference §10, binding"
    );
    let broken = world.post_as(&impostor, &format!("{GOOD} broken=1")).await;
    assert_eq!(broken.1, "<error code=\"SecurityFailure\"/>", "and learns nothing else");
    assert_eq!(world.transfers(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_is_never_answered_by_a_signal() {
    let world = world("").await;
    let signal = GOOD.replace("RCMR_IN030000UK06", "Acknowledgment");
    assert_eq!(world.post(&signal).await, (202, String::new()), "for a stranger");
    assert_eq!(world.post(&format!("{signal} forged=1")).await, (202, String::new()));
    assert_eq!(world.post(&signal.replace("S0001A0001", "nobody")).await, (202, String::new()));
    assert_eq!(world.transfers(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_asks_for_nothing_gets_202_and_answer_202_is_honoured() {
    let world = world("answer = 202").await;
    assert_eq!(world.post(&GOOD.replace("ask=next", "ask=no")).await, (202, String::new()));
    let (status, body) = world.post(&GOOD.replace("id=M1", "id=M2")).await;
    assert_eq!((status, body.starts_with("<ack")), (202, true), "wire §1.4, answer=202");
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
    let answer = world.post(&GOOD.replace("ask=next", "ask=party")).await;
    assert_eq!(answer, (202, String::new()), "at once (wire §1.3)");
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
    assert_eq!(world.post(GOOD).await.0, 200, "this one was durable before the engine stopped");
    let stopped = async {
        while world.post(&GOOD.replace("id=M1", "id=M2")).await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, stopped).await.expect("the engine is gone");
    assert_eq!(world.post(&GOOD.replace("id=M1", "id=M3")).await, (503, String::new()), "wire §1.4");
    assert!(world.row("M3").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_message_is_taken_too() {
    let world = world("").await;
    let (status, _) = world.post(&format!("{GOOD} pad={}", "x".repeat(3_000_000))).await;
    assert_eq!(status, 200);
    assert_eq!(world.transfers(), 1);
    assert!(
        world.row("M1").is_some(),
        "read and verified beside the asynchronous threads, stored all the same"
    );
}
