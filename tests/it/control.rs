//! Operators over the real socket, with the real engine and store behind it; every report against its schema.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::{Value, json};
use throughcare::clock;
use throughcare::config::Mode;
use throughcare::control::console::{Console, Parts};
use throughcare::control::protocol::{Refusal, RefusalKind};
use throughcare::control::server;
use throughcare::control::views::{Intake, Sent};
use throughcare::engine::ledger::Quarantined;
use throughcare::engine::{self, Engine, Handle, Input, Limits};
use throughcare::model::{ConversationId, EventId, MessageId, NhsNumber, OdsCode, TransferId};
use throughcare::store::{Keyring, Options, Store, Vault};
use throughcare::telemetry::{Metrics, Phase, Probe};
use throughcare::transfer::Transfer;
use throughcare::transfer::custody::CustodyEvent;
use throughcare::transfer::dispatch::PacketRef;
use throughcare::transfer::event::{Arrival, Basis, Event, Filed};
use throughcare::transfer::reason::PrepareFault;
use throughcare::transfer::verdict::{TryAgain, Verdict};

use crate::{json_schema, unchanged};

/// A name that must never be seen: it stands where a record's handle stands.
const PLANTED: &str = "9990000018";

/// A daemon without intake and inbox: engine, store and operators' socket.
struct Node {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    engine: Handle,
    vault: Vault,
}

impl Node {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = Store::open(&folder.path().join("store"), &Options::default()).unwrap();
        let keys = Keyring::load_or_create(&folder.path().join("vault.key")).unwrap();
        let engine = Engine::open(store.clone(), Limits::default()).unwrap();
        let (engine, orders, _ended) =
            engine::run(engine, runtime.handle().clone(), Box::new(|_, _| {})).unwrap();
        // Nobody performs: transfers stay where the engine puts them.
        std::mem::forget(orders);
        let probe = Arc::new(Probe::new(Arc::new(Metrics::new())));
        probe.enter(Phase::Ready);
        let vault = {
            let _inside = runtime.enter();
            Vault::open(&folder.path().join("vault"), keys).unwrap()
        };
        let taker = engine.clone();
        let console = Arc::new(Console::new(Parts {
            engine: engine.clone(),
            store,
            vault: vault.clone(),
            probe,
            mode: Mode::Test,
            started_at: clock::now(),
            intake: Box::new(|| Intake { source: "spool".to_owned(), connected: true, accepted: 3 }),
            take_event: Box::new(move |_, bytes| {
                let engine = taker.clone();
                Box::pin(async move {
                    let event: CustodyEvent = serde_json::from_slice(&bytes).map_err(|_| {
                        Refusal::new(RefusalKind::BadEvent, "the event cannot be read", "Correct it.")
                    })?;
                    let (event_id, transfer) = (event.event_id, Transfer::id_for(&event, event.occurred_at));
                    let input = Input::Custody {
                        event: Box::new(event),
                        digest: "d".to_owned(),
                        warnings: Vec::new(),
                    };
                    let reply = engine.submit(input).await.unwrap();
                    let duplicate = matches!(reply, engine::Reply::Duplicate(_));
                    Ok(Sent { event_id, transfer, duplicate, warnings: Vec::new() })
                })
            }),
        }));
        let socket = folder.path().join("control.sock");
        let listener = {
            let _inside = runtime.enter();
            server::bind(&socket, None).unwrap()
        };
        runtime.spawn(server::serve(listener, move |request, peer, replies| {
            Arc::clone(&console).answer(request, peer, replies)
        }));
        Self { folder, runtime, engine, vault }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command against this node.
    fn run(&self, arguments: &[&str]) -> Output {
        let socket = self.path("control.sock");
        command(arguments).arg("--socket").arg(socket).output().unwrap()
    }

    /// Runs a command with `--json`, checks the answer against the schema, and returns it.
    fn json(&self, schema: &str, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| {
            panic!("{arguments:?}: {e}: {text}{}", String::from_utf8_lossy(&output.stderr))
        });
        let faults = json_schema::faults(&json_schema::load(schema), &value);
        assert!(faults.is_empty(), "{arguments:?} breaks {schema}: {faults:#?}\n{value:#}");
        value
    }

    /// Runs a command for a person; whatever it prints keeps to eighty columns and names no patient.
    fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{arguments:?} prints more than 80 columns: {line}");
        }
        assert!(!text.contains(PLANTED), "{arguments:?} prints the number: {text}");
        assert!(!text.contains('\x1b'), "no colour where there is no terminal: {text}");
        text
    }

    fn release(&self, stay: &str, basis: &str) -> TransferId {
        let file = self.path(&format!("{stay}.json"));
        std::fs::write(&file, release(stay, basis).to_string()).unwrap();
        let sent = self.json("sent.schema.json", &["event", "send", file.to_str().unwrap()]);
        sent["transfer"].as_str().unwrap().parse().unwrap()
    }

    fn set_aside(&self, n: u8) -> String {
        let id = TransferId::derived(&["bad", &n.to_string()]);
        let body = self.runtime.block_on(self.vault.put(b"not an event")).unwrap();
        let entry = Quarantined {
            id,
            at: clock::now(),
            origin: "spool".to_owned(),
            content_type: "application/json".to_owned(),
            reason: "unreadable".to_owned(),
            faults: vec!["release.record_ref is missing".to_owned()],
            bytes: 12,
            body: PacketRef(body.to_string()),
            settled: None,
            earlier: Vec::new(),
        };
        let input = Input::Quarantine { entry, outcome: None };
        self.runtime.block_on(self.engine.submit(input)).unwrap();
        id.to_string()
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughcare"));
    command.args(arguments).env_remove("CREDENTIALS_DIRECTORY");
    command
}

/// A release that is held when only the patient named the practice, and planned otherwise.
pub fn release(stay: &str, basis: &str) -> Value {
    let id = EventId::derived(&["event", stay]);
    let now = clock::now();
    json!({
        "event_id": id.to_string(), "source": "clinic", "establishment": "X9001", "stay": stay,
        "patient_ref": "p1", "seq": 1, "occurred_at": now,
        "identity": {"number": {"known": {"number": PLANTED, "status": "verified"}}, "date_of_birth": "1980-01-01",
            "sensitive": "no"},
        "pds": null, "actor": null,
        "kind": {"release": {"release_at": now, "certainty": "planned", "kind": "end_of_custody",
            "destination": {"practice": "B85002", "basis": basis}, "record_ref": "r1",
            "record_as_of": now, "supply_days": null, "opioid_script_days": null,
            "critical_medicines": [], "next_dose_due": null, "entries_after_send": 0, "summary_ref": null}}
    })
}

#[test]
fn an_operator_sees_a_held_release_understands_it_and_acts_with_a_reason() {
    let node = Node::start();
    let held = node.release("stay-1", "patient_said").to_string();
    let planned = node.release("stay-2", "pds").to_string();

    let status = node.json("status.schema.json", &["status"]);
    assert_eq!(status["needs_you"][0]["count"], 1, "a held release needs a person: {status:#}");
    assert!(node.text(&["status"]).starts_with("Needs you\n"), "what needs me comes first");

    let list = node.json("list.schema.json", &["list"]);
    assert_eq!(list["transfers"].as_array().unwrap().len(), 2);
    let list = node.json("list.schema.json", &["list", "state=held", "party=B85002"]);
    assert_eq!(list["transfers"][0]["id"], held.as_str());
    assert!(node.text(&["list"]).contains(&planned[..8]));

    let short = &held[..8].to_lowercase();
    let show = node.json("show.schema.json", &["show", short]);
    assert_eq!(show["timeline"][0]["entry"]["what"], "event");
    assert!(node.text(&["show", short]).contains("waits for a person"));
    let explain = node.json("explain.schema.json", &["explain", short]);
    assert!(explain["now"].as_str().unwrap().contains("only the patient named the practice"), "{explain:#}");
    assert!(node.text(&["explain", short]).contains("throughcare cancel"));
    assert!(node.text(&["explain", &planned]).contains("custody system confirms"));

    let dry = node.json("acted.schema.json", &["cancel", short, "--reason", "test", "--dry-run"]);
    assert_eq!(dry["items"][0]["result"], "would-do");
    let done = node.json("acted.schema.json", &["cancel", short, "--reason", "entered in error"]);
    assert_eq!(done["items"][0]["result"], "done");
    let timeline = node.json("show.schema.json", &["show", short])["timeline"].clone();
    let act =
        timeline.as_array().unwrap().iter().find(|l| l["entry"]["what"] == "act").expect("acts are kept");
    assert_eq!(act["entry"]["reason"], "entered in error");
    assert_eq!(act["entry"]["uid"], rustix::process::getuid().as_raw(), "the kernel says who acted");

    let again = node.run(&["cancel", short, "--reason", "twice"]);
    assert_eq!(again.status.code(), Some(1), "what cannot be done is exit code 1");
}

/// A permanent registration that PDS took, of somebody who was with B85002 before.
fn registered(stay: &str) -> Value {
    let mut event = release(stay, "pds");
    let now = clock::now().to_string();
    event["actor"] = json!("staff-7");
    event["kind"] = json!({"registration_decision": {
        "decision": "permanent", "decided_at": now, "role": "reception_nurse", "basis": "person", "language": null,
        "interpreter": null, "pds_update": {"succeeded": {"at": now}}, "previous_practice": "B85002"
    }});
    event
}

impl Node {
    /// A reception whose record lies with the clinical system.
    fn awaiting_decision(&self, stay: &str) -> TransferId {
        let file = self.path(&format!("{stay}.json"));
        std::fs::write(&file, registered(stay).to_string()).unwrap();
        let sent = self.json("sent.schema.json", &["event", "send", file.to_str().unwrap()]);
        let transfer: TransferId = sent["transfer"].as_str().unwrap().parse().unwrap();
        let arrival = Arrival {
            from: OdsCode::parse("B85002").unwrap(),
            to: OdsCode::parse("X9001").unwrap(),
            conversation: ConversationId::derived(&["conversation", &transfer.to_string()]),
            message_id: MessageId::derived(&["extract", stay]),
            nhs_number: NhsNumber::parse(PLANTED).ok(),
            request_id: None,
            system_known: true,
            bytes: 10_000,
            attachments: 0,
            signed: true,
            packet: PacketRef("sealed".to_owned()),
            received_at: clock::now(),
            refusal: None,
            large: None,
        };
        let filed = Filed { completeness: None, account: None, acknowledgement: None, decision: None };
        for event in [Event::Arrived(Box::new(arrival)), Event::Filed(Box::new(filed))] {
            let input = Input::Result { transfer, event: Box::new(event) };
            self.runtime.block_on(self.engine.submit(input)).unwrap();
        }
        transfer
    }
}

#[test]
fn an_operator_decides_on_a_received_record_where_the_clinical_system_cannot() {
    let node = Node::start();
    let id = node.awaiting_decision("stay-1").to_string();
    let short = &id[..8];
    let explain = node.json("explain.schema.json", &["explain", short]);
    assert_eq!(explain["transfer"]["state"], "awaiting-decision", "{explain:#}");
    assert!(node.text(&["explain", short]).contains("throughcare decide"), "what can be done is shown (S21)");

    let why = ["--reason", "queue is down"];
    let decide = |option: &'static str| [&["decide", short, option][..], &why].concat();
    let dry = node.json("acted.schema.json", &[&decide("--integrated")[..], &["--dry-run"]].concat());
    assert_eq!((&dry["verb"], &dry["items"][0]["result"]), (&json!("decide"), &json!("would-do")));
    let put_off = node.json("acted.schema.json", &decide("--deferred"));
    assert_eq!(put_off["items"][0]["result"], "done");
    assert_eq!(state_of(&node, &id), "awaiting-decision", "Q16");
    let done = node.json("acted.schema.json", &decide("--integrated"));
    assert_eq!((&done["dry_run"], &done["items"][0]["result"]), (&json!(false), &json!("done")));
    assert_eq!(state_of(&node, &id), "acknowledging", "Q12: its sender is told");

    let show = node.json("show.schema.json", &["show", short]);
    let entries: Vec<&Value> = show["timeline"].as_array().unwrap().iter().map(|l| &l["entry"]).collect();
    let act = entries.iter().rposition(|e| e["what"] == "act").expect("acts are kept");
    assert_eq!(entries[act]["verb"], json!({"decide": "integrated"}), "S63");
    assert_eq!(entries[act]["reason"], "queue is down");
    assert_eq!(entries[act]["uid"], rustix::process::getuid().as_raw(), "the kernel says who decided");
    assert_eq!(entries[act + 1]["what"], "decided", "{show:#}");

    assert_eq!(node.run(&decide("--rejected")).status.code(), Some(1), "it is decided once");
    assert!(!node.text(&["explain", short]).contains("throughcare decide"), "nothing is left to decide");
    let many = node.run(&["decide", "state=awaiting-decision", "--integrated", "--reason", "all"]);
    assert_eq!(many.status.code(), Some(2), "each record by itself");
    let nobody = node.run(&["decide", "ffffffff", "--integrated", "--reason", "typo"]);
    assert_eq!(nobody.status.code(), Some(1));
}

fn state_of(node: &Node, id: &str) -> String {
    let list = node.json("list.schema.json", &["list", id]);
    list["transfers"][0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn what_cannot_be_prepared_needs_somebody_and_its_retries_are_no_change() {
    let node = Node::start();
    let going = |stay: &str| {
        let file = node.path(&format!("{stay}.json"));
        let planned = release(stay, "pds").to_string();
        std::fs::write(&file, planned.replace("\"planned\"", "\"happened\"")).unwrap();
        let sent = node.json("sent.schema.json", &["event", "send", file.to_str().unwrap()]);
        sent["transfer"].as_str().unwrap().parse::<TransferId>().unwrap()
    };
    let (unknown, missing) = (going("stay-1"), going("stay-2"));
    let fail = |transfer: TransferId, stay: &str, fault: PrepareFault| {
        let basis = Basis::of_event(EventId::derived(&["event", stay]));
        let event = Box::new(Event::Unprepared { basis, fault });
        node.runtime.block_on(node.engine.submit(Input::Result { transfer, event })).unwrap();
    };
    let opened = node.json("list.schema.json", &["list", &unknown.to_string()])["transfers"][0].clone();
    std::thread::sleep(std::time::Duration::from_millis(20));
    fail(unknown, "stay-1", PrepareFault::DestinationUnknown);
    fail(missing, "stay-2", PrepareFault::RecordMissing);
    let status = node.json("status.schema.json", &["status"]);
    let needs = status["needs_you"].as_array().unwrap();
    assert_eq!(needs.len(), 1, "a record may still be written, a directory does not mend itself: {status:#}");
    assert_eq!(needs[0]["count"], 1);
    let what = needs[0]["what"].as_str().unwrap();
    assert!(what.contains("the directory does not know the destination"), "{what}");
    assert!(node.text(&["status"]).contains("throughcare list state=preparing"));
    let row = node.json("list.schema.json", &["list", &unknown.to_string()])["transfers"][0].clone();
    assert_eq!(row["state"], "preparing");
    assert_eq!(row["changed_at"], opened["changed_at"], "our own try is no change");
    let preparing = status["states"].as_array().unwrap().iter().find(|s| s["state"] == "preparing").unwrap();
    assert_eq!(preparing["oldest"], opened["changed_at"], "nor does it make it younger");

    let tell = |event: Event| {
        let input = Input::Result { transfer: missing, event: Box::new(event) };
        node.runtime.block_on(node.engine.submit(input)).unwrap();
    };
    tell(unchanged::prepared("stay-2", clock::now()));
    let attempts =
        || node.json("list.schema.json", &["list", &missing.to_string()])["transfers"][0]["attempts"].clone();
    while attempts() != 1 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    tell(unchanged::answered(Verdict::TryAgain(TryAgain::TlsIdentity)));
    let text = node.text(&["status"]);
    assert!(text.contains("the certificates do not fit"), "a practice cannot mend our certificates: {text}");
    assert!(text.contains("throughcare list state=delivering"), "{text}");
}

#[test]
fn a_selection_that_means_nothing_says_so() {
    let node = Node::start();
    let unknown = node.run(&["list", "state=waiting"]);
    assert_eq!(unknown.status.code(), Some(2), "there is no such state");
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("held"), "and the states there are are named");
    assert!(node.text(&["list", "state=held"]).starts_with("No transfer matches."));
    for bulk in [&[][..], &["--dry-run"], &["--expect", "0"]] {
        let output = node.run(&[&["retry", "state=held", "--reason", "certificate fixed"], bulk].concat());
        assert_eq!(output.status.code(), Some(1), "{bulk:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("no transfer matches"), "{bulk:?}");
    }
}

#[test]
fn an_act_on_many_wants_their_number() {
    let node = Node::start();
    for stay in ["a", "b", "c"] {
        node.release(stay, "patient_said");
    }
    let unnamed = node.run(&["cancel", "state=held", "--reason", "closing"]);
    assert_eq!(unnamed.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&unnamed.stderr).contains("--expect 3"),
        "it says how many are meant (H26)"
    );
    let wrong = node.run(&["cancel", "state=held", "--reason", "closing", "--expect", "2"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(
        node.json("list.schema.json", &["list", "state=held"])["transfers"].as_array().unwrap().len(),
        3
    );
    let right =
        node.json("acted.schema.json", &["cancel", "state=held", "--reason", "closing", "--expect", "3"]);
    assert!(right["items"].as_array().unwrap().iter().all(|i| i["result"] == "done"), "{right:#}");
}

#[test]
fn what_was_set_aside_is_shown_without_its_content_and_decided_with_a_reason() {
    let node = Node::start();
    let (first, second) = (node.set_aside(1), node.set_aside(2));
    let list = node.json("quarantine.schema.json", &["quarantine", "list"]);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let one = node.json("set-aside.schema.json", &["quarantine", "show", &first[..8]]);
    assert_eq!(one["words"], "release.record_ref is missing");
    assert!(
        !node.text(&["quarantine", "show", &first[..8]]).contains("not an event"),
        "its bytes stay sealed"
    );
    assert!(node.text(&["status"]).contains("events set aside"));

    let requeue = node.run(&["quarantine", "requeue", &first[..8], "--reason", "mended"]);
    assert_eq!(requeue.status.code(), Some(1), "it is still unreadable, so it stays");
    assert_eq!(
        node.json("quarantine.schema.json", &["quarantine", "list"])["items"].as_array().unwrap().len(),
        2
    );
    let done =
        node.json("acted.schema.json", &["quarantine", "discard", &second[..8], "--reason", "sent again"]);
    assert_eq!(done["items"][0]["result"], "done");
    assert_eq!(
        node.json("quarantine.schema.json", &["quarantine", "list"])["items"].as_array().unwrap().len(),
        1
    );
    let settled = node.json("set-aside.schema.json", &["quarantine", "show", &second[..8]]);
    assert_eq!(settled["settled"]["decision"], "discarded", "what was decided is kept");
    assert_eq!(settled["settled"]["reason"], "sent again", "and why");
    assert_eq!(settled["settled"]["uid"], rustix::process::getuid().as_raw(), "and who said so");
    assert!(node.text(&["quarantine", "show", &second[..8]]).contains("sent again"));
    let again = node.run(&["quarantine", "discard", &second[..8], "--reason", "once more"]);
    assert!(!again.status.success(), "it is decided once");
    node.set_aside(2);
    let back = node.json("set-aside.schema.json", &["quarantine", "show", &second[..8]]);
    assert_eq!(back["settled"], Value::Null, "what comes again wants a decision again");
    assert_eq!(back["earlier"][0]["reason"], "sent again", "and what was decided before is not forgotten");
}

#[test]
fn an_export_arrives_whole_in_a_file_nobody_else_may_read_and_can_be_imported() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::start();
    let id = node.release("stay-1", "pds").to_string();
    let file = node.path("export.jsonl");
    let export = file.to_str().unwrap();
    let moved = node.json("moved.schema.json", &["export", export]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().all(|l| serde_json::from_str::<Value>(l).is_ok()), "every line is JSON");
    assert_eq!(moved["count"], text.lines().count());
    assert!(text.lines().last().unwrap().contains("sha256"), "the trailer arrived");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600,
        "it holds patients' data"
    );
    let taken = node.run(&["export", export]);
    assert_eq!(taken.status.code(), Some(4), "nothing is overwritten");
    assert!(String::from_utf8_lossy(&taken.stderr).contains("choose another name"));

    let other = tempfile::tempdir().unwrap();
    let settings = other.path().join("throughcare.toml");
    std::fs::write(&settings, format!("[service]\nstate_dir = {:?}\n", other.path())).unwrap();
    let config = ["--config", settings.to_str().unwrap()];
    let imported = node.json("moved.schema.json", &[&["import", export], &config[..]].concat());
    assert!(imported["store"].as_str().unwrap().ends_with("store"), "{imported}");
    let again = node.run(&[&["import", export], &config[..]].concat());
    assert_eq!(again.status.code(), Some(4), "a store that is there is not overwritten");
    assert!(String::from_utf8_lossy(&again.stderr).contains("choose another name"));
    let copy = command(&[&["export", "--offline"], &config[..]].concat()).output().unwrap();
    assert_eq!(String::from_utf8(copy.stdout).unwrap(), text, "what was exported comes back: {id}");
}

#[test]
fn exit_codes_and_errors_say_what_to_do_next() {
    let node = Node::start();
    let code = |arguments: &[&str]| node.run(arguments).status.code();
    assert_eq!(code(&["show", "ffffffff"]), Some(1), "no such transfer");
    assert_eq!(code(&["show", "zz"]), Some(1), "no identifier");
    assert_eq!(code(&["list", "colour=red"]), Some(2), "no such term");
    assert_eq!(code(&["frobnicate"]), Some(2), "no such command");
    assert_eq!(code(&["retry", "ffffffff"]), Some(2), "an act without a reason");
    assert!(node.text(&["show", "ffffffff"]).contains("throughcare list"), "the error says what to do next");
    let away = command(&["status", "--socket", "/nonexistent/control.sock"]).output().unwrap();
    assert_eq!(away.status.code(), Some(3), "no daemon");
    let said = String::from_utf8_lossy(&away.stderr).into_owned();
    assert!(said.starts_with("throughcare: no daemon answers on /nonexistent/control.sock\n"), "{said}");
    assert!(said.contains("\nStart it with `systemctl start throughcare`"), "what to do comes after: {said}");
    let unreadable = node.path("bad.json");
    std::fs::write(&unreadable, "{").unwrap();
    assert_eq!(code(&["event", "send", unreadable.to_str().unwrap()]), Some(1), "the event is refused");
    assert_eq!(code(&["event", "send", "/nonexistent.json"]), Some(4), "no such file");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let node = Node::start();
    for n in 0..50 {
        node.release(&format!("stay-{n}"), "pds");
    }
    let socket = node.path("control.sock");
    let mut child = command(&["list", "--json", "--limit", "1000", "--socket", socket.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "like a list that was read by head");
}

#[test]
fn every_schema_of_ours_can_be_checked() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".schema.json") {
            // A keyword the checker does not know would panic here.
            let schema = json_schema::load(&name);
            assert!(!json_schema::faults(&schema, &json!([])).is_empty(), "{name} wants an object");
            assert!(schema["title"].is_string(), "{name} says what it describes");
        }
    }
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = command(&["completions", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("quarantine"), "{shell}");
    }
}
