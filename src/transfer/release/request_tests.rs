//! A practice asks, step by step: the checks of gp2gp reference §3.1 and what the practice is told.

use std::time::Duration;

use super::*;
use crate::model::{ConversationId, NhsNumber, TransferId};
use crate::transfer::Transfer;
use crate::transfer::custody::{
    Answer, Identity, NumberStatus, PatientNumber, PatientRef, PdsFacts, RecordRef, Release,
    ReleaseCertainty, ReleaseKind, Source, Stay,
};
use crate::transfer::dispatch::{PacketRef, Transmission};
use crate::transfer::event::{Acknowledgement, Answer as Answered, Prepared};
use crate::transfer::outbound::{Outbound, Saying};
use crate::transfer::outcome::{Completeness, Outcome, OutcomeKind};
use crate::transfer::retry::{Contract, Repeat};
use crate::transfer::verdict::{Accepted, Verdict};

pub(super) fn start() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

pub(super) fn ods(code: &str) -> OdsCode {
    OdsCode::parse(code).unwrap()
}

pub(super) fn number(digits: &str) -> NhsNumber {
    NhsNumber::parse(digits).unwrap()
}

pub(super) fn asked() -> Asked {
    Asked {
        from: ods("B85002"),
        to: ods("HMP01"),
        conversation: ConversationId::derived(&["theirs"]),
        message_id: MessageId::derived(&["m1"]),
        request_id: MessageId::parse("R1").ok(),
        nhs_number: Some(number("9990000018")),
        received_at: start(),
        answered: false,
        packet: PacketRef("sealed".to_owned()),
        known: None,
        chain: None,
        switched_off: false,
    }
}

/// A release without a destination, of somebody whom PDS has with B85002 just now.
pub(super) fn order(change: impl FnOnce(&mut CustodyEvent, &mut PdsFacts)) -> CustodyEvent {
    let facts = Release {
        release_at: start(),
        certainty: ReleaseCertainty::Happened,
        kind: ReleaseKind::EndOfCustody,
        destination: None,
        record_ref: RecordRef::parse("record-1").unwrap(),
        record_as_of: start(),
        supply_days: None,
        opioid_script_days: None,
        critical_medicines: Default::default(),
        next_dose_due: None,
        entries_after_send: 0,
        summary_ref: None,
    };
    let mut pds = PdsFacts {
        checked_at: start(),
        current_practice: Some(ods("B85002")),
        previous_practice: None,
        deceased: Answer::No,
    };
    let mut event = CustodyEvent {
        event_id: crate::model::EventId::derived(&["event"]),
        source: Source::parse("clinic").unwrap(),
        establishment: ods("HMP01"),
        stay: Stay::parse("stay-1").unwrap(),
        patient_ref: PatientRef::parse("person-1").unwrap(),
        seq: 1,
        occurred_at: start(),
        identity: Identity {
            number: PatientNumber::Known { number: number("9990000018"), status: NumberStatus::Verified },
            date_of_birth: None,
            sensitive: Answer::No,
        },
        pds: None,
        actor: None,
        kind: CustodyKind::Release(Box::new(facts)),
    };
    change(&mut event, &mut pds);
    event.pds = Some(pds);
    event
}

pub(super) struct Story {
    pub(super) transfer: Transfer,
    pub(super) now: Timestamp,
    pub(super) outcomes: Vec<Outcome>,
    sent: Vec<Outbound>,
    pub(super) timeline: Vec<What>,
}

impl Story {
    pub(super) fn of(event: &Event) -> Self {
        let id = TransferId::derived(&["t"]);
        let step = Transfer::open(id, event, start()).unwrap();
        let mut story = Self {
            transfer: step.next.clone(),
            now: start(),
            outcomes: Vec::new(),
            sent: Vec::new(),
            timeline: Vec::new(),
        };
        story.take(step);
        story
    }

    /// A practice asks for somebody of whom custody told nothing.
    pub(super) fn unknown() -> Self {
        Self::of(&Event::Asked(Box::new(asked())))
    }

    /// A practice asks for somebody whose release waits.
    pub(super) fn joined(order: CustodyEvent) -> Self {
        let mut story = Self::of(&Event::Custody(Box::new(order)));
        assert_eq!(story.transfer.label(), "held", "there is no destination");
        story.tell(&Event::Asked(Box::new(asked())));
        story
    }

    fn take(&mut self, step: Step) {
        self.outcomes.extend(step.outcomes);
        self.timeline.extend(step.entries);
        let live = !step.next.has_ended();
        assert!(
            !live || step.next.deadline().is_some() || step.next.waits_for_person(),
            "H19: {} has no deadline",
            step.next.label()
        );
        for message in step.messages {
            let crate::transfer::Case::Outbound(outbound) = message.case else { panic!("a message") };
            self.sent.push(*outbound);
        }
        self.transfer = step.next;
    }

    pub(super) fn tell(&mut self, event: &Event) {
        self.take(self.transfer.step(event, self.now).unwrap());
    }

    pub(super) fn due(&mut self) -> Option<Effect> {
        self.now = self.now.max(self.transfer.deadline().unwrap());
        let step = self.transfer.step(&Event::Due, self.now).unwrap();
        let effect = step.effect.clone();
        self.take(step);
        effect
    }

    fn fails(&mut self, fault: PrepareFault) {
        if self.due().is_none() {
            return;
        }
        let crate::transfer::Case::Release(release) = &self.transfer.case else { panic!("a release") };
        let basis = release.basis();
        self.tell(&Event::Unprepared { basis, fault });
    }

    pub(super) fn transfer_release(&self) -> &crate::transfer::Release {
        let crate::transfer::Case::Release(release) = &self.transfer.case else { panic!("a release") };
        release
    }

    /// What was published last.
    pub(super) fn last(&self) -> (OutcomeKind, Option<&str>) {
        let outcome = self.outcomes.last().unwrap();
        (outcome.kind, outcome.reason.as_deref())
    }

    /// The code of each answer to the request; none for AA.
    pub(super) fn codes(&self) -> Vec<Option<&str>> {
        let mut codes = Vec::new();
        for outbound in &self.sent {
            let Saying::Acknowledgement { refusal, refers_to } = &outbound.saying else {
                panic!("an answer")
            };
            assert_eq!(*refers_to, MessageId::derived(&["m1"]));
            codes.push(refusal.as_ref().map(|code| code.code.as_str()));
        }
        codes
    }
}

pub(super) fn prepared(basis: Basis) -> Event {
    Event::Prepared(Box::new(Prepared {
        basis,
        to: ods("B85002"),
        transmission: Transmission {
            packet: PacketRef("extract".to_owned()),
            message_id: MessageId::derived(&["m3"]),
            stamped_at: start(),
            expires_at: start().plus(UNDELIVERED_AFTER),
            bytes: 10_000,
        },
        contract: Contract {
            retries: 2,
            retry_interval_ms: 1000,
            persist_duration_ms: 86_400_000,
            repeat: Repeat::Never,
        },
        completeness: Completeness::default(),
        account: None,
        attachments: 0,
        placeholders: 0,
        signed: true,
        parts: Vec::new(),
        wait_ms: 0,
    }))
}

#[test]
fn a_request_joins_the_release_that_waits_and_its_conversation_rules() {
    let mut story = Story::joined(order(|_, _| ()));
    assert_eq!(story.transfer.conversation, ConversationId::derived(&["theirs"]), "§3.6");
    let Some(Effect::Prepare { order, asked: request, to, conversation, .. }) = story.due() else {
        panic!("A1")
    };
    assert_eq!((to.as_str(), conversation), ("B85002", ConversationId::derived(&["theirs"])));
    assert!(
        order.is_some() && request.unwrap().request_id == MessageId::parse("R1").ok(),
        "M3 repeats its id"
    );
    assert!(story.sent.is_empty(), "C13: no AA before the record is with them");
    let second = Asked { message_id: MessageId::derived(&["other"]), ..self::asked() };
    assert!(story.transfer.step(&Event::Asked(Box::new(second)), story.now).is_err(), "it has its request");
}

#[test]
fn the_request_is_acknowledged_once_the_record_is_with_the_practices_system() {
    let mut story = Story::unknown();
    let basis = Basis { event: None, request: Some(MessageId::derived(&["m1"])) };
    story.due();
    story.tell(&prepared(basis));
    story.due();
    assert!(story.sent.is_empty());
    let message_id = MessageId::derived(&["m3"]);
    let verdict = Verdict::Accepted(Accepted::End);
    let answer = Answered { message_id, verdict, retry_after: None, took_ms: 1, receipt: None };
    story.tell(&Event::Answered(Box::new(answer)));
    assert_eq!(story.codes(), [None], "A9, TD62");
    let ack = |about| {
        Event::Acknowledged(Acknowledgement {
            message_id: MessageId::derived(&["m8"]),
            refers_to: None,
            about,
            positive: true,
            code: None,
            from: ods("B85002"),
            packet: None,
        })
    };
    story.tell(&ack(Some(crate::transfer::outbound::MessageKind::Acknowledgement)));
    assert_eq!(
        story.transfer.label(),
        "awaiting-acknowledgement",
        "it answers another message than the extract"
    );
    story.tell(&ack(None));
    assert_eq!(story.transfer.label(), "integrated", "A11");
    assert_eq!(story.codes().len(), 1, "told once");
}

#[test]
fn each_check_that_fails_is_told_by_its_code() {
    let unreadable = Story::of(&Event::Asked(Box::new(Asked { nhs_number: None, ..asked() })));
    assert_eq!(unreadable.codes(), [Some("18")], "TD51.1, S230");
    type Change = fn(&mut CustodyEvent, &mut PdsFacts);
    let told: [(Change, &str); 4] = [
        (|_, pds| pds.current_practice = OdsCode::parse("B81001").ok(), "19"),
        (|_, pds| pds.current_practice = None, "19"),
        (|event, _| event.identity.sensitive = Answer::Yes, "19"),
        (
            |event, _| {
                let number = NhsNumber::parse("9990000026").unwrap();
                event.identity.number = PatientNumber::Known { number, status: NumberStatus::Verified };
            },
            "06",
        ),
    ];
    for (change, code) in told {
        let known = Some(Box::new(order(change)));
        let story = Story::of(&Event::Asked(Box::new(Asked { known, ..asked() })));
        assert_eq!(story.codes(), [Some(code)], "S30, S31");
        assert_eq!(
            (story.transfer.label(), story.outcomes.last().unwrap().kind),
            ("request-refused", OutcomeKind::Refused)
        );
    }
    for (fault, code) in [
        (PrepareFault::RecordMissing, "06"),
        (PrepareFault::ExtractInvalid, "10"),
        (PrepareFault::RecordAmbiguous, "10"),
        (PrepareFault::TooLargeForOneMessage, "23"),
        (PrepareFault::DestinationUnknown, "24"),
    ] {
        let mut story = Story::unknown();
        story.fails(fault);
        assert_eq!(story.codes(), [Some(code)], "{fault:?}: S32, TD53.3, C11");
    }
}

#[test]
fn what_pds_said_too_long_ago_is_asked_for_again_before_anything_leaves() {
    let stale = order(|_, pds| {
        pds.checked_at = Timestamp::from_millis(start().as_millis() - 11 * 60_000);
    });
    let mut story = Story::joined(stale);
    let told = story.outcomes.last().unwrap();
    assert_eq!((told.kind, told.reason.as_deref()), (OutcomeKind::Held, Some("recheck_wanted")), "hazard H5");
    let fresh = CustodyEvent { seq: 2, ..order(|_, _| ()) };
    story.tell(&Event::Custody(Box::new(fresh)));
    assert_eq!(story.transfer.label(), "preparing", "the request was kept");
    let dead = Story::joined(order(|_, pds| pds.deceased = Answer::Yes));
    assert_eq!(dead.transfer.label(), "held", "a named person decides (custody §3.8)");
}

#[test]
fn a_record_source_that_never_answers_ends_with_10_after_a_day() {
    let mut story = Story::joined(order(|_, _| ()));
    let mut tries = 0;
    while story.codes().is_empty() {
        story.fails(PrepareFault::RecordMissing);
        tries += 1;
        assert!(tries < 1000, "it never ends");
    }
    assert_eq!(story.codes(), [Some("10")], "F10: custody told of the record, so it is waited for");
    let took = story.now.since(start());
    assert!(took >= UNDELIVERED_AFTER && took < 2 * UNDELIVERED_AFTER + Duration::from_secs(1), "S36: a day");
}
