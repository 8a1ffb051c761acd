//! Releases through broker, daemon, mutual TLS, second daemon and back, durable at both ends; beside them the floor of the
//! same machine in the same run.
//!
//! `cargo bench --bench throughput -- --releases 2000 [--postfix]`
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops where it stands")]

#[path = "../it/rabbit.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod rabbit;
#[path = "../it/sites.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod sites;
#[path = "../it/tools.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod tools;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_core::Stream;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Consumer};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::json;
use throughcare::directory::DirectoryHandle;
use throughcare::model::{EventId, OdsCode, Timestamp};
use throughcare::transport::{Letter, Route, Tls, TlsFiles, Transport, TransportLimits};

const QUEUE: &str = "bench";
const RECORD: &str = "record";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        arguments.iter().position(|a| a == name).and_then(|n| arguments.get(n + 1)?.parse().ok())
    };
    let releases = after("--releases").unwrap_or(2000);
    let place = tempfile::tempdir().unwrap();
    let mut broker = rabbit::Broker::start().expect("RabbitMQ is installed");
    let more = format!(
        "[amqp]\nurl = \"{}\"\nqueue = \"{QUEUE}\"\ndead_letter_exchange = \"bench.dead\"\noutcome_exchange = \"bench.out\"\ndeclare_topology = true\n",
        broker.url()
    );
    let mut pair = sites::lay(place.path(), &more);
    std::fs::write(pair.prison.folder.join("records").join(format!("{RECORD}.json")), record()).unwrap();
    pair.practice.start();
    pair.prison.start();
    std::thread::sleep(Duration::from_secs(3));
    let idle = (pair.prison.resident_kib(), pair.practice.resident_kib());
    let before = pair.prison.written_bytes() + pair.practice.written_bytes();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (elapsed, mut latencies) = runtime.block_on(drive(&broker, releases));
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    let rate = releases as f64 / elapsed.as_secs_f64();
    let written = (pair.prison.written_bytes() + pair.practice.written_bytes() - before) / releases as u64;
    println!("releases                 {releases}");
    println!("transfers per second     {rate:.0}");
    println!(
        "latency p50 / p99        {:.0} / {:.0} ms (event published to outcome 'integrated' read)",
        at(0.5),
        at(0.99)
    );
    println!("written per transfer     {written} bytes, both daemons");
    println!("resident idle            {} / {} KiB (prison / practice)", idle.0, idle.1);
    println!(
        "resident after           {} / {} KiB",
        pair.prison.resident_kib(),
        pair.practice.resident_kib()
    );
    floor(place.path(), &runtime);
    broker.stop();
    if arguments.iter().any(|a| a == "--postfix") {
        postfix(rate);
    }
}

/// A record whose packet has about 10 KB.
fn record() -> String {
    let note = "Seen in the healthcare wing; no concerns raised. ".repeat(60);
    json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "resource": { "resourceType": "Patient", "id": "p",
            "identifier": [{ "system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018" }] } },
        { "resource": { "resourceType": "Observation", "id": "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AB", "status": "final",
            "effectiveDateTime": "2026-03-01", "subject": { "reference": "Patient/p" }, "comment": note,
            "code": { "coding": [{ "system": "http://snomed.info/sct", "code": "37331000000100", "display": "Comment note" }] } } }
    ] })
    .to_string()
}

fn event(number: usize) -> (String, Vec<u8>) {
    let moment = "2026-11-01T09:00:00Z";
    let id = EventId::derived(&["bench", &number.to_string()]).to_string();
    let body = json!({
        "event_id": id, "source": "clinic", "establishment": "HMP01", "stay": format!("stay-{number}"),
        "patient_ref": format!("person-{number}"), "seq": 1, "occurred_at": moment,
        "nhs_number": "9990000018", "number_status": "verified", "sensitive": "no",
        "release": { "release_at": moment, "certainty": "happened", "kind": "end_of_custody", "destination": "B85002",
            "destination_basis": "pds", "record_ref": RECORD, "record_as_of": moment }
    });
    (id, body.to_string().into_bytes())
}

/// Publishes everything, and waits until every release is integrated.
async fn drive(broker: &rabbit::Broker, releases: usize) -> (Duration, Vec<Duration>) {
    let (_connection, channel) = broker.connect().await;
    let mut outcomes = subscribe(&channel).await;
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let mut published: HashMap<String, Instant> = HashMap::new();
    let properties =
        BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(2);
    let began = sites::instant();
    for number in 0..releases {
        let (id, body) = event(number);
        published.insert(id, sites::instant());
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), QUEUE.into(), options, &body, properties.clone()).await.unwrap();
    }
    let mut latencies = Vec::with_capacity(releases);
    while latencies.len() < releases {
        let delivery = next(&mut outcomes).await;
        let outcome: serde_json::Value = serde_json::from_slice(&delivery.data).unwrap();
        if let Some(then) = outcome["event_id"].as_str().and_then(|id| published.remove(id)) {
            latencies.push(then.elapsed());
        }
        delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
    }
    (began.elapsed(), latencies)
}

async fn subscribe(channel: &Channel) -> Consumer {
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("bench.read".into(), options, FieldTable::default()).await.unwrap();
    let bind = QueueBindOptions::default();
    let key = "integrated".into();
    channel
        .queue_bind("bench.read".into(), "bench.out".into(), key, bind, FieldTable::default())
        .await
        .unwrap();
    let options = BasicConsumeOptions::default();
    channel.basic_consume("bench.read".into(), "bench".into(), options, FieldTable::default()).await.unwrap()
}

async fn next(consumer: &mut Consumer) -> lapin::message::Delivery {
    let mut pinned = std::pin::Pin::new(consumer);
    let arrival = std::future::poll_fn(|cx| pinned.as_mut().poll_next(cx));
    tokio::time::timeout(Duration::from_secs(60), arrival)
        .await
        .expect("an outcome within a minute")
        .unwrap()
        .unwrap()
}

/// What the same machine does of each single step, in the same run.
fn floor(folder: &Path, runtime: &tokio::runtime::Runtime) {
    let mut file = std::fs::File::create(folder.join("floor")).unwrap();
    let batch = vec![7u8; 256 * 200];
    let syncs = rate(200, || {
        file.write_all(&batch).unwrap();
        file.sync_data().unwrap();
    });
    let random = ring::rand::SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let signature = key.sign(&random, &batch[..1000]).unwrap();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.public_key().as_ref().to_vec());
    let signs = rate(2000, || {
        key.sign(&random, &batch[..1000]).unwrap();
    });
    let verifies = rate(2000, || public.verify(&batch[..1000], signature.as_ref()).unwrap());
    println!("floor: fsync of 256 x 200 B   {syncs:.0}/s = {:.0} records/s", syncs * 256.0);
    println!("floor: P-256 signature        {signs:.0}/s; verification {verifies:.0}/s");
    println!("floor: one request over TLS   {:.0}/s, one at a time", runtime.block_on(requests(folder)));
}

fn rate(times: u32, mut act: impl FnMut()) -> f64 {
    let began = sites::instant();
    (0..times).for_each(|_| act());
    f64::from(times) / began.elapsed().as_secs_f64()
}

/// Requests that the practice refuses at once, over one kept connection.
async fn requests(folder: &Path) -> f64 {
    let own = folder.join("HMP01");
    let directory = DirectoryHandle::open(&own.join("directory.toml"), Timestamp::default()).unwrap();
    let files = TlsFiles {
        certificate: own.join("tls.pem"),
        key: own.join("tls.key"),
        roots: vec![own.join("authority.pem")],
        crls: Vec::new(),
    };
    let transport = Transport::new(Tls::open(files).unwrap(), directory.clone(), TransportLimits::default());
    let current = directory.current();
    let practice = current.by_ods(&OdsCode::parse("B85002").unwrap()).unwrap();
    let route = Route::to(practice, "MCCI_IN010000UK13").unwrap();
    let letter = Letter {
        content_type: "text/xml".to_owned(),
        soap_action: "x".to_owned(),
        body: vec![b' '; 10_240].into(),
    };
    let began = sites::instant();
    let times = 500;
    for _ in 0..times {
        let _refused = transport.post(&route, &letter, Duration::from_secs(5)).await;
    }
    f64::from(times) / began.elapsed().as_secs_f64()
}

fn postfix(ours: f64) {
    let Some(output) = tools::run("../shared/tools/postfix-rate", ["--count", "2000", "--size", "10240"])
    else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let median = text
        .lines()
        .rev()
        .find_map(|l| l.strip_prefix("median=")?.trim_end_matches("/s").parse::<f64>().ok());
    if let Some(theirs) = median {
        println!("ratio to Postfix         {:.2}", ours / theirs);
    }
}
