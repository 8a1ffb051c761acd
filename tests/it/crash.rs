//! Five hundred releases through RabbitMQ while the daemon is killed at random moments and the broker restarted: every event
//! ends acknowledged exactly once at the practice (hazards H2 and H6).

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::json;
use throughcare::intake::amqp;
use throughcare::model::EventId;

use crate::rabbit::Broker;
use crate::sites;

const RELEASES: usize = 500;
const KILLS: u64 = 20;
const RECORD: &str = "leaver";
/// A debug build on two busy cores needs some of it; a quiet machine a fifth.
const PATIENCE: Duration = Duration::from_secs(240);

fn record() -> serde_json::Value {
    json!({ "resourceType": "Bundle", "type": "collection", "entry": [
        { "resource": { "resourceType": "Patient", "id": "p",
            "identifier": [{ "system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018" }] } },
        { "resource": { "resourceType": "Observation", "id": "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AB", "status": "final",
            "effectiveDateTime": "2026-03-01", "subject": { "reference": "Patient/p" },
            "code": { "coding": [{ "system": "http://snomed.info/sct", "code": "27113001", "display": "Body weight" }] },
            "valueQuantity": { "value": 71.5, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg" } } }
    ] })
}

fn event(number: usize) -> Vec<u8> {
    let moment = "2026-11-01T09:00:00Z";
    json!({
        "event_id": EventId::derived(&["crash", &number.to_string()]).to_string(),
        "source": "clinic", "establishment": "HMP01", "stay": format!("stay-{number}"),
        "patient_ref": format!("person-{number}"), "seq": 1, "occurred_at": moment,
        "nhs_number": "9990000018", "number_status": "verified", "sensitive": "no",
        "release": { "release_at": moment, "certainty": "happened", "kind": "end_of_custody", "destination": "B85002",
            "destination_basis": "pds", "record_ref": RECORD, "record_as_of": moment }
    })
    .to_string()
    .into_bytes()
}

/// A moment between 50 and 450 ms from a seeded sequence.
fn moment(step: u64) -> Duration {
    let hash = EventId::derived(&["moment", &step.to_string()]);
    Duration::from_millis(50 + u64::from(hash.as_bytes()[0]) * 400 / 255)
}

#[test]
fn no_release_is_lost_or_filed_twice_while_daemon_and_broker_die_again_and_again() {
    let Some(mut broker) = Broker::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let more = format!(
        "[amqp]\nurl = \"{}\"\nqueue = \"crash\"\ndead_letter_exchange = \"crash.dead\"\noutcome_exchange = \"crash.out\"\ndeclare_topology = true\n",
        broker.url()
    );
    let mut pair = sites::lay(place.path(), &more);
    fs::write(pair.prison.folder.join("records").join(format!("{RECORD}.json")), record().to_string())
        .unwrap();
    pair.practice.start();
    pair.prison.start();
    // A queue of this broker declared a moment before a crash comes back broken: that is not what is tried here.
    std::thread::sleep(Duration::from_secs(4));
    publish_all(&broker);
    let began = sites::instant();
    let mut kills = 0;
    while kills < KILLS || pair.practice.filed() < RELEASES {
        std::thread::sleep(moment(kills));
        pair.prison.kill9();
        kills += 1;
        if kills == 6 || kills == 13 {
            broker.kill9();
            broker.restart();
        }
        pair.prison.start();
        assert!(
            began.elapsed() < PATIENCE,
            "{} of {RELEASES} filed after {kills} kills",
            pair.practice.filed()
        );
    }
    while pair.prison.states().get("integrated").copied() != Some(RELEASES as u64) {
        assert!(began.elapsed() < PATIENCE, "{:?}; {}", pair.prison.states(), pair.prison.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    println!("{RELEASES} releases, {kills} kills, 2 broker restarts, {:.0?}", began.elapsed());
    let (memory, written) = (pair.prison.resident_kib(), pair.prison.written_bytes());
    println!("the prison's last life: {memory} KiB resident, {written} bytes written");
    assert!(memory < 256 << 10, "five hundred transfers need no quarter of a gigabyte");
    assert_eq!(pair.practice.filed(), RELEASES, "each is filed once, none twice");
    assert_eq!(pair.prison.states().values().sum::<u64>(), RELEASES as u64, "one transfer an event");
    check_the_filed(&pair);
}

/// Each filed record stands for another transfer of the prison.
fn check_the_filed(pair: &sites::Pair) {
    let conversations: BTreeSet<String> = fs::read_dir(pair.practice.folder.join("filed"))
        .unwrap()
        .map(|entry| {
            let text = fs::read_to_string(entry.unwrap().path().join("filed.json")).unwrap();
            let filed: serde_json::Value = serde_json::from_str(&text).unwrap();
            filed["conversation"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(conversations.len(), RELEASES, "no conversation was filed twice");
}

fn publish_all(broker: &Broker) {
    let mut settings = amqp::Settings::new(amqp::BrokerUrl::parse(&broker.url()).unwrap());
    settings.queue = "crash".to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for number in 0..RELEASES {
            amqp::publish_event(&settings, "application/json", &event(number)).await.unwrap();
        }
    });
}
