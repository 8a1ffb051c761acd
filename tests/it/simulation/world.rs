//! A world with one prison, one practice, a queue and a bad road between them. Everything happens at a virtual moment,
//! everything random comes from the seed.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use throughcare::engine::ledger::{self, Quarantined};
use throughcare::engine::{Engine, Input, Limits, Reply, Route};
use throughcare::model::{ConversationId, EventId, MessageId, OdsCode, PartyKey, Timestamp, TransferId};
use throughcare::store::{Options, Store, Sync, Table};
use throughcare::transfer::custody::CustodyEvent;
use throughcare::transfer::dispatch::{PacketRef, Transmission};
use throughcare::transfer::effect::{Effect, Order};
use throughcare::transfer::event::{Acknowledgement, Answer, Basis, Event, LateSignal, Prepared};
use throughcare::transfer::journal::{Entry, What};
use throughcare::transfer::outcome::Completeness;
use throughcare::transfer::reason::PrepareFault;
use throughcare::transfer::retry::{Contract, Repeat};
use throughcare::transfer::verdict::{Accepted, Refused, TryAgain, Verdict};
use throughcare::transfer::{Case, ReleaseState, Transfer};

use crate::dice::Dice;

/// What may go wrong, per thousand, until the faults stop.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub drop: u64,
    pub lose_answer: u64,
    pub duplicate: u64,
    pub busy: u64,
    pub refuse: u64,
    pub nack: u64,
    pub record_missing: u64,
    pub crash: u64,
    pub silent: bool,
}

impl Faults {
    pub fn none() -> Self {
        Self {
            drop: 0,
            lose_answer: 0,
            duplicate: 0,
            busy: 0,
            refuse: 0,
            nack: 0,
            record_missing: 0,
            crash: 0,
            silent: false,
        }
    }

    pub fn of(seed: u64) -> Self {
        let mut dice = Dice(seed ^ 0x5eed);
        let mut some = |most: u64| if dice.chance(500) { dice.below(most) } else { 0 };
        Self {
            drop: some(600),
            lose_answer: some(500),
            duplicate: some(400),
            busy: some(600),
            refuse: some(60),
            nack: some(300),
            record_missing: some(500),
            crash: some(150),
            silent: false,
        }
    }
}

/// Something on its way to the engine.
enum Coming {
    /// From the queue: comes again until it was answered.
    Custody(Box<CustodyEvent>),
    /// From our own `perform`: lost with the process.
    Done { life: u64, transfer: TransferId, event: Box<Event> },
    /// From the practice: comes again until it was answered.
    Message { ack: Acknowledgement, conversation: ConversationId },
    /// From the practice, once.
    Signal { message_id: MessageId, verdict: Verdict },
}

struct Scheduled {
    at: Timestamp,
    order: u64,
    what: Coming,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The heap gives the greatest: the earliest must be it.
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// The practice: which messages it has, what it said, what it filed.
#[derive(Default)]
struct Practice {
    said: BTreeMap<MessageId, Acknowledgement>,
    filed: BTreeMap<ConversationId, u32>,
    refused: BTreeSet<ConversationId>,
    silent: bool,
}

pub struct World {
    _folder: tempfile::TempDir,
    store: Store,
    engine: Option<Engine>,
    dice: Dice,
    faults: Faults,
    now: Timestamp,
    start: Timestamp,
    coming: BinaryHeap<Scheduled>,
    scheduled: u64,
    life: u64,
    practice: Practice,
    events: Vec<CustodyEvent>,
    answered: BTreeSet<EventId>,
    pub crash_at: Option<(u64, bool)>,
    pub attempts: u64,
    pub crashes: u64,
    pub commits: u64,
}

const PRACTICE: &str = "B85002";
const DAY: Duration = Duration::from_secs(86_400);

impl World {
    pub fn new(seed: u64, faults: Faults) -> Self {
        let base = std::path::Path::new("/dev/shm");
        let folder = if base.is_dir() { tempfile::tempdir_in(base) } else { tempfile::tempdir() }.unwrap();
        let options = Options { cache_bytes: 8 << 20, sync: Sync::ProcessOnly, ..Options::default() };
        let store = Store::open(folder.path(), &options).unwrap();
        let engine = Engine::open(store.clone(), Limits::default()).unwrap();
        let start = Timestamp::parse("2026-03-02T09:00:00Z").unwrap();
        let mut world = Self {
            _folder: folder,
            store,
            engine: Some(engine),
            dice: Dice(seed),
            faults,
            now: start,
            start,
            coming: BinaryHeap::new(),
            scheduled: 0,
            life: 0,
            practice: Practice { silent: faults.silent, ..Practice::default() },
            events: Vec::new(),
            answered: BTreeSet::new(),
            crash_at: None,
            attempts: 0,
            crashes: 0,
            commits: 0,
        };
        for number in 0..1 + world.dice.below(4) {
            let delay = world.dice.below(3_600_000);
            // Some plans change: minutes later, or hours.
            let changes = [0, 60_000, 36_000_000][world.dice.below(3) as usize];
            for (seq, after) in
                [(1, 0), (2, changes)].into_iter().filter(|(seq, after)| *seq == 1 || *after > 0)
            {
                let event = release(number, seq, start);
                world.events.push(event.clone());
                let delay = delay + world.dice.below(after + 1);
                world.schedule(delay, Coming::Custody(Box::new(event)));
            }
        }
        world
    }

    /// Lives through the time of faults: three days.
    pub fn live(&mut self) {
        self.run_until(self.start.plus(3 * DAY));
    }

    /// The faults stop; whatever is left has to end.
    pub fn settle(&mut self) {
        self.faults = Faults::none();
        self.practice.silent = false;
        self.run_until(self.start.plus(180 * DAY));
    }

    pub fn end_silence(&mut self) {
        self.practice.silent = false;
    }

    pub fn run_until(&mut self, end: Timestamp) {
        for turns in 0.. {
            assert!(turns < 20_000, "the world never comes to rest");
            let wake = self.engine.as_ref().unwrap().next_wake();
            let next = self.coming.peek().map(|s| s.at);
            let Some(at) = wake.into_iter().chain(next).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.turn();
        }
        self.now = end;
    }

    fn turn(&mut self) {
        let mut batch = Vec::new();
        while self.coming.peek().is_some_and(|s| s.at <= self.now) {
            batch.push(self.coming.pop().unwrap().what);
        }
        batch.retain(|c| !matches!(c, Coming::Done { life, .. } if *life != self.life));
        let number = self.commits + 1;
        let planned = self.crash_at.filter(|(at, _)| *at == number);
        let random = self.dice.chance(self.faults.crash);
        if matches!(planned, Some((_, false))) || (random && self.dice.chance(500)) {
            self.crash();
            return batch.into_iter().for_each(|c| self.again(c));
        }
        let inputs = batch.iter().map(input).collect();
        let turn = self.engine.as_mut().unwrap().turn(inputs, self.now).unwrap();
        self.commits += u64::from(turn.operations > 0);
        if (matches!(planned, Some((_, true))) && turn.operations > 0) || random {
            // Durable, but nobody was told and nothing was done.
            self.crash();
            return batch.into_iter().for_each(|c| self.again(c));
        }
        for (coming, reply) in batch.into_iter().zip(turn.replies) {
            if let Coming::Custody(event) = coming {
                assert!(matches!(reply, Reply::Taken | Reply::Duplicate(_)), "{reply:?}");
                self.answered.insert(event.event_id);
            }
        }
        for order in turn.orders {
            self.perform(order);
        }
        self.check_live();
    }

    /// The process dies: what was under way in it is lost, what is in the store is not.
    fn crash(&mut self) {
        self.crashes += 1;
        self.life += 1;
        self.crash_at = None;
        self.engine = None;
        self.engine = Some(Engine::open(self.store.clone(), Limits::default()).unwrap());
    }

    /// Whoever got no answer tells it again.
    fn again(&mut self, coming: Coming) {
        match coming {
            Coming::Custody(_) | Coming::Message { .. } => {
                let delay = 1_000 + self.dice.below(60_000);
                self.schedule(delay, coming);
            }
            Coming::Done { .. } | Coming::Signal { .. } => {}
        }
    }

    fn schedule(&mut self, delay_ms: u64, what: Coming) {
        self.scheduled += 1;
        let at = self.now.plus(Duration::from_millis(delay_ms));
        self.coming.push(Scheduled { at, order: self.scheduled, what });
    }

    fn done(&mut self, transfer: TransferId, delay_ms: u64, event: Event) {
        let life = self.life;
        self.schedule(delay_ms, Coming::Done { life, transfer, event: Box::new(event) });
    }

    fn perform(&mut self, order: Order) {
        let id = order.transfer;
        match order.effect {
            Effect::Prepare { order, message_id, to, .. } => {
                let order = order.unwrap().event_id;
                let basis = Basis::of_event(order);
                let event = if self.dice.chance(self.faults.record_missing) {
                    Event::Unprepared { basis, fault: PrepareFault::RecordMissing }
                } else {
                    let packet = format!("packet of {message_id} for {order}");
                    let transmission = self.transmission(PacketRef(packet), message_id, 6 * 3_600_000);
                    Event::Prepared(Box::new(prepared(basis, to, transmission)))
                };
                // Now and then a folder hangs for a while, and a later event overtakes the work for an earlier one.
                let longest = if self.dice.chance(10) { 600_000 } else { 500 };
                let delay = 1 + self.dice.below(longest);
                self.done(id, delay, event);
            }
            Effect::Restamp { packet, message_id, persist_duration_ms, .. } => {
                let transmission = self.transmission(packet, message_id, persist_duration_ms);
                self.done(id, 5, Event::Restamped(transmission));
            }
            Effect::Send { dispatch } => {
                self.check_is_newest(id, &dispatch.packet);
                self.send(id, dispatch.message_id);
            }
            Effect::Renew { .. }
            | Effect::Join { .. }
            | Effect::File { .. }
            | Effect::Refuse { .. }
            | Effect::Compose { .. } => {
                unreachable!("the prison receives nothing here")
            }
        }
    }

    /// What goes out was made for the newest event that was taken before anything went out.
    fn check_is_newest(&self, id: TransferId, packet: &PacketRef) {
        let row = self.store.get(Table::Transfer, id.as_bytes()).unwrap().unwrap();
        let transfer: Transfer = ledger::decode(&row).unwrap();
        let Case::Release(release) = &transfer.case else { panic!("only releases are sent") };
        let order = release.order.as_ref().unwrap().event_id.to_string();
        assert!(packet.0.ends_with(&order), "{packet:?} goes out, and the order in force is {order}");
    }

    fn transmission(&self, packet: PacketRef, message_id: MessageId, persist_ms: u64) -> Transmission {
        Transmission {
            packet,
            message_id,
            stamped_at: self.now,
            expires_at: self.now.plus(Duration::from_millis(persist_ms)),
            bytes: 10_240,
        }
    }

    /// One attempt over the bad road.
    fn send(&mut self, id: TransferId, message_id: MessageId) {
        self.attempts += 1;
        let f = self.faults;
        let answer = |verdict| {
            Event::Answered(Box::new(Answer {
                message_id: message_id.clone(),
                verdict,
                retry_after: None,
                took_ms: 1,
                receipt: None,
            }))
        };
        let took = 1 + self.dice.below(2_000);
        if self.dice.chance(f.drop) {
            return self.done(id, 10_000, answer(Verdict::TryAgain(TryAgain::Unreachable)));
        }
        if self.dice.chance(f.busy) {
            return self.done(id, took, answer(Verdict::TryAgain(TryAgain::Busy)));
        }
        if self.dice.chance(f.refuse) {
            return self.done(id, took, answer(Verdict::Refused(Refused::Http4xx)));
        }
        self.arrive(id, &message_id);
        if self.dice.chance(f.lose_answer) {
            return self.done(id, 90_000, answer(Verdict::TryAgain(TryAgain::UnknownOutcome)));
        }
        if self.dice.chance(f.duplicate) {
            self.arrive(id, &message_id);
            let verdict = Verdict::Accepted(Accepted::End);
            self.schedule(took + 10, Coming::Signal { message_id: message_id.clone(), verdict });
        }
        let by = if self.dice.chance(500) { Accepted::Hop } else { Accepted::End };
        self.done(id, took, answer(Verdict::Accepted(by)));
    }

    /// The message is at the practice, which files once a conversation and repeats what it said to a copy.
    fn arrive(&mut self, id: TransferId, message_id: &MessageId) {
        let conversation = ConversationId::derived(&["conversation", &id.to_string()]);
        if self.practice.silent {
            return;
        }
        let known = self.practice.said.get(message_id).cloned();
        let ack = known.unwrap_or_else(|| self.decide(conversation, message_id));
        self.practice.said.insert(message_id.clone(), ack.clone());
        // Early, in order, late, or lost: the practice keeps trying unless the road eats every copy.
        let delay = match self.dice.below(4) {
            0 => 0,
            1 => self.dice.below(5_000),
            2 => self.dice.below(3_600_000),
            _ => self.dice.below(200_000_000),
        };
        if !self.dice.chance(self.faults.drop / 2) {
            self.schedule(delay, Coming::Message { ack: ack.clone(), conversation });
        }
        if self.dice.chance(self.faults.duplicate) {
            self.schedule(delay / 2 + 7, Coming::Message { ack, conversation });
        }
    }

    fn decide(&mut self, conversation: ConversationId, message_id: &MessageId) -> Acknowledgement {
        let code = if self.practice.filed.contains_key(&conversation) {
            Some("12")
        } else if self.dice.chance(self.faults.nack) {
            self.practice.refused.insert(conversation);
            Some(["11", "09", "15", "20", "28", "31", "99", "205"][self.dice.below(8) as usize])
        } else {
            *self.practice.filed.entry(conversation).or_default() += 1;
            None
        };
        Acknowledgement {
            message_id: MessageId::derived(&["ack", message_id.as_str()]),
            refers_to: Some(message_id.clone()),
            about: None,
            positive: code.is_none(),
            code: code.map(str::to_owned),
            from: OdsCode::parse(PRACTICE).unwrap(),
            packet: None,
        }
    }

    fn transfers(&self) -> Vec<Transfer> {
        let rows = self.store.scan(Table::Transfer, &[]);
        rows.map(|row| ledger::decode(&row.unwrap().1).unwrap()).collect()
    }

    /// A live transfer has a deadline or waits for a person (hazard H19).
    fn check_live(&self) {
        for transfer in self.transfers() {
            let ended = transfer.has_ended();
            assert!(
                ended || transfer.deadline().is_some() || transfer.waits_for_person(),
                "{} is {} and nothing will ever move it",
                transfer.id,
                transfer.label()
            );
        }
    }

    /// What must hold when all is over.
    pub fn check(&self) {
        assert_eq!(
            self.answered.len(),
            self.events.len(),
            "every event was taken, however often it was told"
        );
        let transfers = self.transfers();
        let stays: BTreeSet<&str> = self.events.iter().map(|event| event.stay.reveal()).collect();
        assert_eq!(transfers.len(), stays.len(), "one transfer a stay, however its plan changed");
        for transfer in &transfers {
            let filed = self.practice.filed.get(&transfer.conversation).copied().unwrap_or(0);
            assert!(filed <= 1, "filed once at the most");
            let Case::Release(release) = &transfer.case else { panic!("a release became something else") };
            match &release.state {
                ReleaseState::Ended { .. } if transfer.label() == "integrated" => {
                    assert_eq!(filed, 1, "we say integrated when it was filed");
                }
                // It waited for a person, nobody came, and twelve weeks passed.
                ReleaseState::Ended { .. } if transfer.label() == "unanswered" && self.was_held(transfer) => {
                }
                ReleaseState::Ended { .. } => assert!(
                    self.practice.refused.contains(&transfer.conversation),
                    "{} ended as {} though nobody refused it",
                    transfer.id,
                    transfer.label()
                ),
                ReleaseState::Held { .. } => {}
                other => panic!("{} never ended: {other:?}", transfer.id),
            }
        }
        self.check_index(&transfers);
        self.check_outcomes();
    }

    fn was_held(&self, transfer: &Transfer) -> bool {
        let lines = self.store.scan(Table::Journal, transfer.id.as_bytes());
        let entries = lines.map(|row| ledger::decode::<Entry>(&row.unwrap().1).unwrap());
        entries.into_iter().any(|entry| matches!(entry.what, What::Held { .. }))
    }

    /// The due index says of each transfer what the transfer says of itself, and the counts add up.
    fn check_index(&self, transfers: &[Transfer]) {
        let index: BTreeSet<_> = self
            .store
            .scan(Table::Due, &[])
            .map(|row| ledger::read_due_key(&row.unwrap().0).unwrap())
            .collect();
        let expected: BTreeSet<_> = transfers
            .iter()
            .filter(|t| t.deadline().is_some() || t.waits_for_person())
            .map(|t| (t.deadline(), t.id))
            .collect();
        assert_eq!(index, expected, "the index is derived from the states");
        let counted: u64 = self.engine.as_ref().unwrap().counts().values().sum();
        assert_eq!(counted, transfers.len() as u64, "the counts add up");
    }

    /// No outcome is told twice, and each transfer's journal has no gap.
    fn check_outcomes(&self) {
        let mut seen = BTreeSet::new();
        for outcome in self.published() {
            assert!(seen.insert(outcome.outcome_id.clone()), "an outcome is told once");
        }
        for transfer in self.transfers() {
            let lines = self.store.scan(Table::Journal, transfer.id.as_bytes()).count();
            assert_eq!(lines, transfer.entries as usize, "the timeline has every line");
        }
    }

    fn published(&self) -> Vec<throughcare::transfer::outcome::Outcome> {
        let rows = self.store.scan(Table::Outbox, &[]);
        rows.map(|row| ledger::decode(&row.unwrap().1).unwrap()).collect()
    }

    pub fn outcomes(&self, kind: &str) -> usize {
        self.published().iter().filter(|o| o.kind.as_str() == kind).count()
    }

    /// When the last of the releases was delivered.
    pub fn delivered_at(&self) -> Timestamp {
        let delivered = |t: &Transfer| match &t.case {
            Case::Release(release) => release.delivery().and_then(|d| d.dispatch.delivered_at),
            Case::Received(_) | Case::Reception(_) | Case::Outbound(_) | Case::Noted(_) => None,
        };
        self.transfers().iter().filter_map(delivered).min().unwrap()
    }
}

fn input(coming: &Coming) -> Input {
    match coming {
        Coming::Custody(event) => {
            Input::Custody { event: event.clone(), digest: event.event_id.to_string(), warnings: Vec::new() }
        }
        Coming::Done { transfer, event, .. } => Input::Result { transfer: *transfer, event: event.clone() },
        Coming::Signal { message_id, verdict } => Input::Signal {
            message_id: message_id.clone(),
            event: Box::new(Event::LateSignal(LateSignal {
                message_id: message_id.clone(),
                verdict: *verdict,
                receipt: None,
            })),
        },
        Coming::Message { ack, conversation } => Input::Message {
            from: PartyKey::parse("B85002-0001").unwrap(),
            message_id: ack.message_id.clone(),
            digest: ack.message_id.to_string(),
            answer: PacketRef("ok".to_owned()),
            keep_until: Timestamp::default(),
            event: Box::new(Event::Acknowledged(ack.clone())),
            route: Route::Answers {
                conversation: *conversation,
                refers_to: ack.refers_to.clone(),
                from: ack.from.clone(),
            },
            listing: Box::default(),
            stranger: Quarantined {
                id: TransferId::derived(&["stranger", ack.message_id.as_str()]),
                at: Timestamp::default(),
                origin: "inbox".to_owned(),
                content_type: String::new(),
                reason: "stranger".to_owned(),
                faults: Vec::new(),
                bytes: 0,
                body: PacketRef(String::new()),
                settled: None,
                earlier: Vec::new(),
            },
        },
    }
}

fn prepared(basis: Basis, to: OdsCode, transmission: Transmission) -> Prepared {
    Prepared {
        basis,
        to,
        transmission,
        contract: Contract {
            retries: 2,
            retry_interval_ms: 60_000,
            persist_duration_ms: 6 * 3_600_000,
            repeat: Repeat::UntilAcknowledged,
        },
        completeness: Completeness { mapped: 3, merged: 1, degraded: 0, not_clinical: 0 },
        account: None,
        attachments: 0,
        placeholders: 0,
        signed: true,
        parts: Vec::new(),
        wait_ms: 0,
    }
}

/// A confirmed release to a practice that takes pushes.
fn release(number: u64, seq: u64, start: Timestamp) -> CustodyEvent {
    let json = serde_json::json!({
        "event_id": EventId::derived(&["event", &number.to_string(), &seq.to_string()]),
        "source": "nomis",
        "establishment": "HMP01",
        "stay": format!("stay-{number}"),
        "patient_ref": format!("patient-{number}"),
        "seq": seq,
        "occurred_at": start,
        "identity": {
            "number": { "known": { "number": "9990000018", "status": "verified" } },
            "date_of_birth": null,
            "sensitive": "no"
        },
        "pds": null,
        "actor": null,
        "kind": { "release": {
            "release_at": start,
            "certainty": "confirmed",
            "kind": "end_of_custody",
            "destination": { "practice": PRACTICE, "basis": "pds" },
            "record_ref": format!("record-{number}"),
            "record_as_of": start,
            "supply_days": 14,
            "opioid_script_days": 14,
            "critical_medicines": ["opioid_substitution"],
            "next_dose_due": null,
            "entries_after_send": 0,
            "summary_ref": null
        } }
    });
    serde_json::from_value(json).expect("the event is written as it is stored")
}
