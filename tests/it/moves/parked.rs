//! The engine and its store under virtual time: requests that wait, who wakes them, and one open reception a person.

use std::time::Duration;

use throughcare::engine::ledger::{self, Quarantined};
use throughcare::engine::{Engine, Input, Limits, Reply, Route, Switch};
use throughcare::model::{
    ConversationId, EventId, MessageId, NhsNumber, OdsCode, PartyKey, Timestamp, TransferId,
};
use throughcare::store::{Options, Store, Sync, Table};
use throughcare::transfer::custody::{
    Actor, Answer, CustodyEvent, CustodyKind, DecidedBy, Decision, Destination, DestinationBasis, Identity,
    NumberStatus, PatientNumber, PatientRef, PdsUpdate, RecordRef, RegistrationDecision, Release,
    ReleaseCertainty, ReleaseKind, Source, StaffRole, Stay,
};
use throughcare::transfer::dispatch::PacketRef;
use throughcare::transfer::event::{Acknowledgement, Arrival, Asked, Event};
use throughcare::transfer::outcome::Outcome;
use throughcare::transfer::{Case, Transfer};

const NUMBER: &str = "9990000018";
const BEFORE: &str = "B81001";

struct Node {
    _folder: tempfile::TempDir,
    store: Store,
    engine: Engine,
    now: Timestamp,
    messages: u32,
}

fn ods(code: &str) -> OdsCode {
    OdsCode::parse(code).unwrap()
}

fn start() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

/// A permanent registration that PDS took, of somebody who was with A before.
fn registered(stay: &str) -> CustodyEvent {
    let decision = RegistrationDecision {
        decision: Decision::Permanent,
        decided_at: start(),
        role: StaffRole::parse("reception_nurse").unwrap(),
        basis: DecidedBy::Person,
        language: None,
        interpreter: None,
        pds_update: PdsUpdate::Succeeded { at: start() },
        previous_practice: Some(ods(BEFORE)),
    };
    CustodyEvent {
        event_id: EventId::derived(&["registered", stay]),
        source: Source::parse("clinic").unwrap(),
        establishment: ods("HMP01"),
        stay: Stay::parse(stay).unwrap(),
        patient_ref: PatientRef::parse("person-1").unwrap(),
        seq: 1,
        occurred_at: start(),
        identity: Identity {
            number: PatientNumber::Known {
                number: NhsNumber::parse(NUMBER).unwrap(),
                status: NumberStatus::Verified,
            },
            date_of_birth: None,
            sensitive: Answer::No,
        },
        pds: None,
        actor: Actor::parse("staff-7").ok(),
        kind: CustodyKind::RegistrationDecision(Box::new(decision)),
    }
}

impl Node {
    fn new(switch: Switch) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { cache_bytes: 8 << 20, sync: Sync::ProcessOnly, ..Options::default() };
        let store = Store::open(folder.path(), &options).unwrap();
        let engine = Engine::open(store.clone(), Limits::default()).unwrap().switched(switch);
        Self { _folder: folder, store, engine, now: start(), messages: 0 }
    }

    /// The process dies, and the next one takes up what is stored.
    fn restart(&mut self) {
        self.engine = Engine::open(self.store.clone(), Limits::default()).unwrap();
    }

    fn take(&mut self, input: Input) -> Reply {
        let mut turn = self.engine.turn(vec![input], self.now).unwrap();
        turn.replies.remove(0)
    }

    fn custody(&mut self, event: CustodyEvent) -> TransferId {
        let id = Transfer::id_for(&event, self.now);
        let digest = event.event_id.to_string();
        let reply = self.take(Input::Custody { event: Box::new(event), digest, warnings: Vec::new() });
        assert_eq!(reply, Reply::Taken);
        id
    }

    fn message(&mut self, event: Event, route: Route) -> Reply {
        self.messages += 1;
        let name = self.messages.to_string();
        let stranger = Quarantined {
            id: TransferId::derived(&["stranger", &name]),
            at: self.now,
            origin: "inbox".to_owned(),
            content_type: String::new(),
            reason: "belongs_to_nobody".to_owned(),
            faults: Vec::new(),
            bytes: 0,
            body: PacketRef(String::new()),
            settled: None,
            earlier: Vec::new(),
        };
        self.take(Input::Message {
            from: PartyKey::parse("X-0001").unwrap(),
            message_id: MessageId::derived(&["message", &name]),
            digest: name,
            answer: PacketRef(String::new()),
            keep_until: self.now.plus(Duration::from_secs(86_400)),
            event: Box::new(event),
            route,
            listing: Box::default(),
            stranger,
        })
    }

    /// A practice asks for the person's record, in a conversation named after it and `n`.
    fn asks(&mut self, practice: &str, n: u32) -> TransferId {
        let asked = Asked {
            from: ods(practice),
            to: ods("HMP01"),
            conversation: ConversationId::derived(&["asks", practice, &n.to_string()]),
            message_id: MessageId::derived(&["m1", practice, &n.to_string()]),
            request_id: None,
            nhs_number: NhsNumber::parse(NUMBER).ok(),
            received_at: self.now,
            answered: false,
            packet: PacketRef(String::new()),
            known: None,
            chain: None,
            switched_off: false,
        };
        let id = Transfer::id_for_request(&asked);
        assert_eq!(self.message(Event::Asked(Box::new(asked)), Route::Asks), Reply::Taken);
        id
    }

    /// A answers our request.
    fn answers(&mut self, reception: TransferId, code: &str) {
        let conversation = self.transfer(reception).conversation;
        let ack = Acknowledgement {
            message_id: MessageId::derived(&["m2"]),
            refers_to: None,
            about: None,
            positive: false,
            code: Some(code.to_owned()),
            from: ods(BEFORE),
            packet: None,
        };
        let route = Route::Answers { conversation, refers_to: None, from: ods(BEFORE) };
        assert_eq!(self.message(Event::Acknowledged(ack), route), Reply::Taken);
    }

    fn transfer(&self, id: TransferId) -> Transfer {
        ledger::transfer(&self.store, id).unwrap().expect("it is stored")
    }

    fn label(&self, id: TransferId) -> &'static str {
        self.transfer(id).label()
    }

    /// The transfers that were told of as refused, in order.
    fn refused(&self) -> Vec<TransferId> {
        let rows = self.store.scan(Table::Outbox, &[]).map(|row| row.unwrap().1);
        let outcomes = rows.map(|row| ledger::decode::<Outcome>(&row).unwrap());
        outcomes.filter(|o| o.kind.as_str() == "refused").filter_map(|o| o.transfer).collect()
    }
}

#[test]
fn requests_wait_in_order_through_a_crash_and_all_are_answered_in_the_commit_that_ends_the_reception() {
    let mut node = Node::new(Switch::default());
    let reception = node.custody(registered("stay-1"));
    assert_eq!(node.label(reception), "requesting");
    let waiting: Vec<TransferId> = (0..8).map(|n| node.asks("B85002", n)).collect();
    assert!(waiting.iter().all(|id| node.label(*id) == "parked"), "case 2");
    let ninth = node.asks("B83003", 0);
    assert_eq!(node.label(ninth), "request-refused", "as many wait as may");
    node.restart();
    assert!(waiting.iter().all(|id| node.label(*id) == "parked"), "parked requests survive restarts");
    node.now = node.now.plus(Duration::from_secs(60));
    node.answers(reception, "19");
    assert_eq!(node.label(reception), "request-refused");
    assert!(waiting.iter().all(|id| node.label(*id) == "request-refused"), "case 3, H17");
    assert_eq!(node.refused()[1..], waiting, "in the order in which they came");
}

#[test]
fn a_person_who_goes_straight_back_makes_nobody_wait_for_nobody() {
    let mut node = Node::new(Switch::default());
    let reception = node.custody(registered("stay-1"));
    let back = node.asks(BEFORE, 0);
    assert_eq!(node.label(back), "request-refused", "F46: we have nothing that A does not have");
    assert_eq!(node.label(reception), "requesting", "what A says to us is A's to say");
    node.answers(reception, "19");
    let third = node.asks("B85002", 0);
    assert_eq!(node.label(third), "request-refused", "case 3");
    node.now = node.now.plus(Duration::from_secs(9 * 86_400));
    let later = node.asks("B85002", 1);
    assert_ne!(node.label(later), "request-refused", "what was recorded here since is not kept back");
}

#[test]
fn a_practice_that_knows_nothing_of_the_person_breaks_no_chain() {
    let mut node = Node::new(Switch::default());
    let reception = node.custody(registered("stay-1"));
    let parked = node.asks("B85002", 0);
    node.answers(reception, "06");
    assert_eq!(node.label(parked), "held", "it goes on, and PDS is asked first (S31)");
    let fresh = CustodyEvent {
        event_id: EventId::derived(&["fresh"]),
        seq: 2,
        pds: Some(throughcare::transfer::custody::PdsFacts {
            checked_at: node.now,
            current_practice: Some(ods("B85002")),
            previous_practice: None,
            deceased: Answer::No,
        }),
        ..registered("stay-1")
    };
    node.custody(fresh);
    assert_eq!(node.label(parked), "preparing", "custody's newer word reaches the request that waits for it");
}

#[test]
fn a_release_of_the_stay_that_a_practice_asked_about_is_no_second_record() {
    let mut node = Node::new(Switch::default());
    let reception = node.custody(registered("stay-1"));
    let parked = node.asks("B85002", 0);
    let released = |event: &str, practice: &str| {
        let destination = Destination { practice: ods(practice), basis: DestinationBasis::PreRegistered };
        let facts = Release {
            release_at: start(),
            certainty: ReleaseCertainty::Confirmed,
            kind: ReleaseKind::EndOfCustody,
            destination: Some(destination),
            record_ref: RecordRef::parse("record-1").unwrap(),
            record_as_of: start(),
            supply_days: None,
            opioid_script_days: None,
            critical_medicines: Default::default(),
            next_dose_due: None,
            entries_after_send: 0,
            summary_ref: None,
        };
        let kind = CustodyKind::Release(Box::new(facts));
        CustodyEvent { event_id: EventId::derived(&[event]), seq: 3, kind, ..registered("stay-1") }
    };
    let own = node.custody(released("to C", "B85002"));
    assert!(ledger::transfer(&node.store, own).unwrap().is_none(), "S43: the request is what is answered");
    assert_eq!(node.label(parked), "parked", "and it waits on");
    let other = node.custody(released("to D", "B83003"));
    assert_eq!(node.label(other), "preparing", "a release to another practice is its own");
    node.answers(reception, "06");
    assert_eq!(node.label(parked), "held", "PDS is asked first");
}

#[test]
fn a_person_has_one_open_reception_whatever_the_stays() {
    let mut node = Node::new(Switch::default());
    let first = node.custody(registered("stay-1"));
    let second = node.custody(registered("stay-2"));
    assert_eq!((node.label(first), node.label(second)), ("requesting", "no-transfer"), "gate 14");
    let elsewhere = CustodyEvent { establishment: ods("HMP02"), ..registered("stay-3") };
    let third = node.custody(elsewhere);
    assert_eq!(node.label(third), "requesting", "another establishment asks for itself");
    node.answers(first, "10");
    let again = CustodyEvent { event_id: EventId::derived(&["again"]), seq: 2, ..registered("stay-2") };
    node.custody(again);
    assert_eq!(node.label(second), "requesting", "nothing is open any more");
}

#[test]
fn what_arrives_while_no_records_are_taken_is_told_07_and_asked_for_is_nothing() {
    let mut node = Node::new(Switch { requester: false, sender: false });
    let reception = node.custody(registered("stay-1"));
    assert_eq!(node.label(reception), "no-transfer", "gate 1");
    let asked = node.asks("B85002", 0);
    assert_eq!(node.label(asked), "request-refused");
    let (from, conversation) = (ods(BEFORE), ConversationId::derived(&["unasked"]));
    let arrival = Arrival {
        from: from.clone(),
        to: ods("HMP01"),
        conversation,
        message_id: MessageId::derived(&["m3"]),
        nhs_number: NhsNumber::parse(NUMBER).ok(),
        request_id: None,
        system_known: true,
        bytes: 1,
        attachments: 0,
        signed: true,
        packet: PacketRef(String::new()),
        received_at: node.now,
        refusal: None,
        large: None,
    };
    let id = Transfer::id_for_arrival(&from, conversation);
    let route = Route::Opens { from, conversation, push: true };
    assert_eq!(node.message(Event::Arrived(Box::new(arrival)), route), Reply::Taken);
    let Case::Received(received) = node.transfer(id).case else { panic!("it is a received record") };
    assert_eq!(received.arrival.refusal.map(|refusal| refusal.code()), Some("07"), "§2.3: it comes first");
    assert_eq!(node.label(id), "refusing");
}
