//! Intake against a real broker and a real folder: nothing is acknowledged, removed or forgotten before it is durable.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use serde_json::{Value, json};
use throughcare::intake::amqp::{self, BrokerUrl, Topology};
use throughcare::intake::contract::{AllowedNumbers, Encoding, Rules};
use throughcare::intake::{
    Delivery, Front, FrontClosed, Link, Outbox, Pending, Stopping, Taken, Ticket, spool,
};
use throughcare::model::{EventId, Timestamp};
use throughcare::transfer::outcome::{Outcome, OutcomeId, OutcomeKind};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::rabbit::{Broker, shared};

/// Nothing here takes longer on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_acknowledged_only_when_durable_and_comes_again_after_a_crash() {
    let Some(broker) = shared() else { return };
    let settings = settings(broker, "durable");
    let (_connection, channel) = broker.connect().await;
    let slow = Desk::slow();
    let first = Intake::start(settings.clone(), slow.clone());
    first.up().await;
    for n in 0..600 {
        publish(&channel, &settings.queue, event(n).to_string().as_bytes(), "application/json").await;
    }
    until("the prefetch is full", || slow.seen().len() == usize::from(settings.prefetch)).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(slow.seen().len(), 512, "no more than the prefetch is in flight");
    // A crash: the task is gone without a goodbye, and its connection with it.
    first.task.abort();
    drop(slow);
    // Sooner, the broker would hand the newest out first.
    let back = async {
        while waiting(&channel, &settings.queue).await < 600 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, back).await.expect("the broker takes back what was in flight");

    let prompt = Desk::prompt();
    let second = Intake::start(settings.clone(), prompt.clone());
    until("all come again", || prompt.distinct() == 600).await;
    let sequence: Vec<u64> =
        prompt.seen().iter().filter_map(|d| d.reading.as_ref().ok().map(|r| r.event.seq)).collect();
    assert!(sequence.is_sorted(), "the queue's order is the engine's order");
    second.stop().await;
    assert_eq!(waiting(&channel, &settings.queue).await, 0, "what was durable was acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_event_is_dead_lettered_with_its_reason_and_stops_nothing() {
    let Some(broker) = shared() else { return };
    let settings = settings(broker, "bad");
    let (_connection, channel) = broker.connect().await;
    let desk = Desk::prompt();
    let intake = Intake::start(settings.clone(), desk.clone());
    intake.up().await;
    let mut mistyped = event(1);
    mistyped["nhs_number"] = json!("9990000019");
    let queue = &settings.queue;
    publish(&channel, queue, b"\x0a\xff\xff", "application/x-protobuf").await;
    publish(&channel, queue, mistyped.to_string().as_bytes(), "application/json").await;
    publish(&channel, queue, b"hello", "text/plain").await;
    publish(&channel, queue, event(2).to_string().as_bytes(), "application/json").await;
    until("all four are settled", || desk.seen().len() == 4).await;
    let mut reasons = Vec::new();
    while reasons.len() < 3 {
        let letter = get(&channel, &settings.dead_letters).await;
        let headers = letter.properties.headers().clone().unwrap_or_default();
        let header =
            |name: &str| headers.inner().get(name).and_then(|v| v.as_long_string()).map(|s| s.to_string());
        let faults = header("x-throughcare-faults").unwrap();
        assert!(!faults.contains("9990000019"), "no value gets into a header");
        if faults.contains("nhs_number") {
            assert_eq!(header("x-throughcare-event-id").unwrap(), event(1)["event_id"].as_str().unwrap());
            assert_eq!(letter.data, mistyped.to_string().as_bytes(), "the message is kept as it came");
        }
        reasons.push(header("x-throughcare-reason").unwrap());
    }
    assert_eq!(reasons, ["unreadable", "invalid", "unknown_content_type"]);
    intake.stop().await;
    assert_eq!(waiting(&channel, queue).await, 0, "bad messages are acknowledged, never requeued");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_closed_by_the_broker_is_laid_again() {
    let Some(broker) = shared() else { return };
    let settings = settings(broker, "closed");
    let desk = Desk::prompt();
    let intake = Intake::start(settings.clone(), desk.clone());
    intake.up().await;
    let (_connection, channel) = broker.connect().await;
    // The broker cancels the consumer of a queue that goes away.
    channel.queue_delete(settings.queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    intake.down().await;
    intake.up().await;
    publish(&channel, &settings.queue, event(1).to_string().as_bytes(), "application/json").await;
    until("events flow again", || desk.seen().len() == 1).await;
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_queue_is_named_and_waited_for_when_we_may_not_declare_it() {
    let Some(broker) = shared() else { return };
    let mut checking = settings(broker, "missing");
    checking.topology = Topology::Check;
    let intake = Intake::start(checking.clone(), Desk::prompt());
    let mut link = intake.link.clone();
    let refused =
        |link: &Link| matches!(link, Link::Down { error: Some(e), .. } if e.contains("declare_topology"));
    let down =
        timeout(PATIENCE, link.wait_for(refused)).await.expect("it says what is missing").unwrap().clone();
    let Link::Down { error: Some(error), .. } = down else { panic!("it is down") };
    assert!(
        error.contains(&checking.dead_letters) && error.contains("NOT_FOUND"),
        "it names the thing: {error}"
    );
    // Somebody who may declare does.
    let declaring = amqp::Settings { topology: Topology::Declare, ..checking };
    Intake::start(declaring, Desk::prompt()).up_and_stop().await;
    intake.up().await;
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_crashes_costs_no_event_and_no_outcome() {
    let Some(mut broker) = Broker::start() else { return };
    let settings = settings(&broker, "crash");
    let desk = Desk::prompt();
    let intake = Intake::start(settings.clone(), desk.clone());
    intake.up().await;
    let (connection, channel) = broker.connect().await;
    let outbox = Shelf::default();
    let (publishing, mut outcome_link, stop) = start_publishing(&settings, &outbox);
    timeout(PATIENCE, outcome_link.wait_for(|l| matches!(l, Link::Up { .. }))).await.unwrap().unwrap();
    bind_reader(&channel, &settings.outcomes).await;
    // RabbitMQ 3.10 syncs its table of quorum queues later than it says yes: one declared within the last second comes
    // back from a crash without its log, and never confirms again.
    sleep(Duration::from_secs(3)).await;
    for n in 0..200 {
        publish(&channel, &settings.queue, event(n).to_string().as_bytes(), "application/json").await;
        outbox.add(n);
    }
    broker.kill9();
    drop((connection, channel));
    for n in 200..300 {
        outbox.add(n);
    }
    intake.down().await;
    sleep(Duration::from_millis(300)).await;
    assert!(!outbox.is_empty(), "what nobody confirmed stays");
    broker.restart();
    until("every event arrived", || desk.distinct() == 200).await;
    until("every outcome was confirmed", || outbox.is_empty()).await;
    let (_connection, channel) = broker.connect().await;
    let mut read = std::collections::BTreeSet::new();
    while read.len() < 300 {
        let message = get(&channel, "reader").await;
        let outcome: Value = serde_json::from_slice(&message.data).unwrap();
        assert_eq!(message.routing_key.as_str(), outcome["kind"], "the routing key is the kind");
        read.insert(outcome["outcome_id"].as_str().unwrap().to_owned());
    }
    stop.send_replace(true);
    timeout(PATIENCE, publishing).await.unwrap().unwrap();
    intake.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spooled_event_is_removed_only_when_durable() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Desk::slow();
    let spooling = Spooling::start(folder.path(), slow.clone());
    spooling.drop_in("a.json", event(1).to_string().as_bytes());
    until("the event is submitted", || slow.seen().len() == 1).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(spooling.names("new"), ["a.json"], "it is not durable yet");
    assert_eq!(slow.seen().len(), 1, "and it is not taken twice");
    slow.answer_all();
    until("the file goes", || spooling.names("new").is_empty()).await;
    assert!(spooling.names("bad").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_moved_aside_with_its_reason_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::prompt();
    let spooling = Spooling::start(folder.path(), desk.clone());
    let mut unknown = event(1);
    unknown["surname"] = json!("x");
    spooling.drop_in("a.json", unknown.to_string().as_bytes());
    spooling.drop_in("b.pb", b"\x0a\xff");
    spooling.drop_in("c.txt", b"hello");
    spooling.drop_in("d.json", &vec![b' '; 70_000]);
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("new/e.json")).unwrap();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        folder.path().join("new/f.json"),
        rustix::fs::Mode::from_raw_mode(0o600),
    )
    .unwrap();
    fs::create_dir(folder.path().join("new/g.json")).unwrap();
    fs::write(folder.path().join("new").join(format!("{}.json", "n".repeat(250))), b"{}").unwrap();
    spooling.drop_in("z.json", event(2).to_string().as_bytes());
    until("new/ is empty", || spooling.names("new").is_empty()).await;
    let reason =
        |name: &str| fs::read_to_string(folder.path().join("bad").join(format!("{name}.reason"))).unwrap();
    for (name, why) in [
        ("a.json", "surname is not a field"),
        ("b.pb", "unreadable"),
        ("c.txt", "unknown_content_type"),
        ("d.json", "65,536 bytes"),
        ("e.json", "symbolic link"),
        ("f.json", "no plain file"),
        ("g.json", "no plain file"),
    ] {
        assert!(reason(name).contains(why), "{name}: {}", reason(name));
        assert!(fs::symlink_metadata(folder.path().join("bad").join(name)).is_ok(), "{name} is kept");
    }
    let long = spooling.names("bad").into_iter().filter(|name| name.starts_with("nnnn")).count();
    assert_eq!(long, 2, "a name too long for what we add is shortened: the file and its reason");
    assert_eq!(desk.accepted(), 1, "the good one behind them was taken");
    spooling.drop_in("a.json", b"{}");
    until("the second bad file of that name is there", || {
        spooling.names("bad").contains(&"a.json~1".to_owned())
    })
    .await;
    assert!(reason("a.json").contains("surname"), "a bad file never replaces another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_folder_that_cannot_be_used_is_shown_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    // A file where a folder must be, as a disk that cannot be written would look: root may write anything else.
    fs::write(folder.path().join("bad"), b"").unwrap();
    let desk = Desk::prompt();
    let spooling = Spooling::start(folder.path(), desk.clone());
    let mut link = spooling.link.clone();
    let down = |l: &Link| matches!(l, Link::Down { error: Some(_), .. });
    timeout(PATIENCE, link.wait_for(down)).await.expect("the trouble shows").unwrap();
    fs::remove_file(folder.path().join("bad")).unwrap();
    timeout(PATIENCE, link.wait_for(|l| matches!(l, Link::Up { .. }))).await.expect("it mends").unwrap();
    spooling.drop_in("a.json", event(1).to_string().as_bytes());
    until("events are taken", || desk.accepted() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_files_in_the_order_they_came_about() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Shelf::default();
    for n in 0..300 {
        outbox.add(n);
    }
    let (stop, stopping) = watch::channel(false);
    let link = watch::channel(unknown()).0;
    let settings = spool::Settings::new(folder.path().to_owned());
    let task = tokio::spawn(spool::publish(settings, outbox.clone(), link, stopping));
    until("all are written", || outbox.is_empty()).await;
    let mut names: Vec<_> =
        fs::read_dir(folder.path().join("out")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 300);
    let last: Value = serde_json::from_slice(&fs::read(names.last().unwrap()).unwrap()).unwrap();
    assert_eq!(last["detail"], "outcome 299");
    assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0, "nothing half written is left");
    stop.send_replace(true);
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

/// The engine, as far as intake sees it.
#[derive(Clone)]
struct Desk {
    seen: Arc<Mutex<Vec<Delivery>>>,
    held: Option<Arc<Mutex<Vec<oneshot::Sender<Taken>>>>>,
    accepted: Arc<AtomicUsize>,
}

impl Desk {
    /// Says yes at once.
    fn prompt() -> Self {
        Self { seen: Arc::default(), held: None, accepted: Arc::default() }
    }

    /// Says nothing until asked to.
    fn slow() -> Self {
        Self { held: Some(Arc::default()), ..Self::prompt() }
    }

    fn seen(&self) -> Vec<Delivery> {
        self.seen.lock().unwrap().clone()
    }

    fn distinct(&self) -> usize {
        let read = |d: &Delivery| d.reading.as_ref().ok().map(|r| r.event.event_id);
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter_map(read)
            .collect::<std::collections::BTreeSet<EventId>>()
            .len()
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    fn answer_all(&self) {
        for answer in self.held.as_ref().unwrap().lock().unwrap().drain(..) {
            answer.send(Taken::Accepted).unwrap();
        }
    }
}

impl Front for Desk {
    async fn submit(&self, delivery: Delivery) -> Result<Ticket, FrontClosed> {
        let (answer, ticket) = Ticket::issue();
        let taken = match &delivery.reading {
            Ok(_) => Taken::Accepted,
            Err(rejection) => Taken::Quarantined { reason: rejection.reason.to_string() },
        };
        self.seen.lock().unwrap().push(delivery);
        match &self.held {
            Some(held) => held.lock().unwrap().push(answer),
            None => {
                if taken == Taken::Accepted {
                    self.accepted.fetch_add(1, Ordering::SeqCst);
                }
                answer.send(taken).unwrap();
            }
        }
        Ok(ticket)
    }
}

/// The outbox, as far as intake sees it.
#[derive(Clone)]
struct Shelf {
    kept: Arc<Mutex<BTreeMap<u64, Outcome>>>,
    changed: watch::Sender<u64>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { kept: Arc::default(), changed: watch::channel(0).0 }
    }
}

impl Shelf {
    fn add(&self, n: u64) {
        let outcome = Outcome {
            outcome_id: OutcomeId::derived(&["test", &n.to_string()]),
            kind: if n.is_multiple_of(2) { OutcomeKind::Accepted } else { OutcomeKind::Sent },
            transfer: None,
            event_id: None,
            source: None,
            stay: None,
            patient_ref: None,
            establishment: None,
            practice: None,
            at: Timestamp::from_millis(0),
            reason: None,
            detail: format!("outcome {n}"),
            response_code: None,
            completeness: None,
            attempts: 0,
        };
        self.kept.lock().unwrap().insert(n + 1, outcome);
        self.changed.send_replace(n + 1);
    }

    fn is_empty(&self) -> bool {
        self.kept.lock().unwrap().is_empty()
    }
}

impl Outbox for Shelf {
    async fn next(&self, after: u64, most: usize) -> Vec<Pending> {
        let kept = self.kept.lock().unwrap();
        let waiting = kept.range(after + 1..).take(most);
        waiting.map(|(number, outcome)| Pending { number: *number, outcome: outcome.clone() }).collect()
    }

    async fn published(&self, numbers: Vec<u64>) -> Result<(), FrontClosed> {
        self.kept.lock().unwrap().retain(|number, _| !numbers.contains(number));
        Ok(())
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// A consumer at work.
struct Intake {
    task: JoinHandle<()>,
    link: watch::Receiver<Link>,
    stop: watch::Sender<bool>,
}

impl Intake {
    fn start(settings: amqp::Settings, desk: Desk) -> Self {
        let (stop, stopping) = watch::channel(false);
        let (said, link) = watch::channel(unknown());
        let task = tokio::spawn(amqp::consume(settings, desk, rules(), said, stopping));
        Self { task, link, stop }
    }

    async fn up(&self) {
        let mut link = self.link.clone();
        timeout(PATIENCE, link.wait_for(|l| matches!(l, Link::Up { .. })))
            .await
            .expect("it comes up")
            .unwrap();
    }

    async fn down(&self) {
        let mut link = self.link.clone();
        timeout(PATIENCE, link.wait_for(|l| matches!(l, Link::Down { .. })))
            .await
            .expect("it goes down")
            .unwrap();
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        timeout(PATIENCE, self.task).await.expect("it stops").unwrap();
    }

    async fn up_and_stop(self) {
        self.up().await;
        self.stop().await;
    }
}

/// A spool folder at work.
struct Spooling {
    folder: std::path::PathBuf,
    link: watch::Receiver<Link>,
    _stop: watch::Sender<bool>,
}

impl Spooling {
    fn start(folder: &std::path::Path, desk: Desk) -> Self {
        let _made = fs::create_dir(folder.join("new"));
        let (stop, stopping): (_, Stopping) = watch::channel(false);
        let (said, link) = watch::channel(unknown());
        tokio::spawn(spool::consume(spool::Settings::new(folder.to_owned()), desk, rules(), said, stopping));
        Self { folder: folder.to_owned(), link, _stop: stop }
    }

    fn drop_in(&self, name: &str, body: &[u8]) {
        let hidden = self.folder.join("new").join(format!(".{name}"));
        fs::write(&hidden, body).unwrap();
        fs::rename(hidden, self.folder.join("new").join(name)).unwrap();
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.join(folder)) else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }
}

fn unknown() -> Link {
    Link::Down { since: Timestamp::from_millis(0), error: None }
}

fn rules() -> watch::Receiver<Arc<Rules>> {
    let rules = Rules { numbers: AllowedNumbers::TestOnly, establishments: None, publishers: None };
    watch::channel(Arc::new(rules)).1
}

fn settings(broker: &Broker, name: &str) -> amqp::Settings {
    amqp::Settings {
        queue: format!("{name}.events"),
        dead_letters: format!("{name}.dead-letters"),
        outcomes: format!("{name}.outcomes"),
        topology: Topology::Declare,
        encoding: Encoding::Json,
        ..amqp::Settings::new(BrokerUrl::parse(&broker.url()).unwrap())
    }
}

/// The release sample, as the `n`th event.
fn event(n: u64) -> Value {
    let mut event: Value = serde_json::from_str(include_str!("events/release.json")).unwrap();
    event["event_id"] = json!(EventId::derived(&["test", &n.to_string()]).to_string());
    event["seq"] = json!(n);
    event
}

fn start_publishing(
    settings: &amqp::Settings,
    outbox: &Shelf,
) -> (JoinHandle<()>, watch::Receiver<Link>, watch::Sender<bool>) {
    let (stop, stopping) = watch::channel(false);
    let (said, link) = watch::channel(unknown());
    (tokio::spawn(amqp::publish(settings.clone(), outbox.clone(), said, stopping)), link, stop)
}

async fn publish(channel: &Channel, queue: &str, body: &[u8], content_type: &str) {
    if !channel.status().confirm() {
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    }
    let properties = BasicProperties::default().with_content_type(content_type.into()).with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let confirm = channel.basic_publish("".into(), queue.into(), options, body, properties).await.unwrap();
    assert!(confirm.await.unwrap().is_ack(), "the broker has it");
}

async fn bind_reader(channel: &Channel, exchange: &str) {
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), lapin::types::AMQPValue::LongString("quorum".into()));
    channel.queue_declare("reader".into(), QueueDeclareOptions::durable(), quorum).await.unwrap();
    let all = QueueBindOptions::default();
    channel
        .queue_bind("reader".into(), exchange.into(), "#".into(), all, FieldTable::default())
        .await
        .unwrap();
}

async fn get(channel: &Channel, queue: &str) -> lapin::message::Delivery {
    let look = async {
        loop {
            if let Some(message) = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap()
            {
                message.delivery.acker.ack(BasicAckOptions::default()).await.unwrap();
                return message.delivery;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, look).await.expect("a message comes")
}

/// How many messages are ready; none may be in flight.
async fn waiting(channel: &Channel, queue: &str) -> u32 {
    let passive = QueueDeclareOptions { passive: true, durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), passive, FieldTable::default()).await.unwrap().message_count()
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let wait = async {
        while !reached() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "in vain: {what}");
}
