//! A received record, step by step.

use std::time::Duration;

use super::*;
use crate::model::{ConversationId, NhsNumber, OdsCode};
use crate::transfer::Transfer;
use crate::transfer::event::Verb;
use crate::transfer::outcome::Outcome;

fn start() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

fn arrival(id: &str) -> Arrival {
    Arrival {
        from: OdsCode::parse("B85002").unwrap(),
        to: OdsCode::parse("HMP01").unwrap(),
        conversation: ConversationId::derived(&["conversation"]),
        message_id: MessageId::parse(id).unwrap(),
        nhs_number: NhsNumber::parse("9990000018").ok(),
        request_id: None,
        system_known: true,
        bytes: 10_000,
        attachments: 0,
        signed: true,
        packet: PacketRef("sealed".to_owned()),
        received_at: start(),
        refusal: None,
        large: None,
    }
}

/// A transfer, what happened to it, and that it is always either due, with a person, or over.
struct Story {
    transfer: Transfer,
    now: Timestamp,
    outcomes: Vec<Outcome>,
}

impl Story {
    fn of(arrival: Arrival) -> Self {
        let id = Transfer::id_for_arrival(&arrival.from, arrival.conversation);
        let step = Transfer::open(id, &Event::Arrived(Box::new(arrival)), start()).unwrap();
        let mut story = Self { transfer: step.next.clone(), now: start(), outcomes: Vec::new() };
        story.take(step);
        story
    }

    fn take(&mut self, step: Step) {
        self.outcomes.extend(step.outcomes);
        self.transfer = step.next;
        let live = !self.transfer.has_ended();
        assert!(
            !live || self.transfer.deadline().is_some() || self.transfer.waits_for_person(),
            "a live transfer has a deadline or waits for a person: {}",
            self.transfer.label()
        );
    }

    fn tell(&mut self, event: &Event) {
        self.take(self.transfer.step(event, self.now).unwrap());
    }

    /// The deadline passes; what is then asked for.
    fn due(&mut self) -> Option<Effect> {
        self.now = self.transfer.deadline().unwrap().max(self.now);
        let step = self.transfer.step(&Event::Due, self.now).unwrap();
        let effect = step.effect.clone();
        self.take(step);
        effect
    }

    fn act(&self, verb: Verb) -> Event {
        Event::Act(Act { verb, reason: "asked to".to_owned(), uid: 1000 })
    }
}

#[test]
fn a_record_that_cannot_be_filed_calls_a_person_after_ten_tries() {
    let mut story = Story::of(arrival("M1"));
    for number in 1..=FILING_TRIES {
        assert_eq!(story.transfer.label(), "filing", "try {number}");
        assert!(matches!(story.due(), Some(Effect::File { .. })));
        story.tell(&Event::NotFiled(FilingFault::NoRoom));
    }
    assert_eq!(story.transfer.label(), "held");
    let hours = story.now.since(start()).as_secs() / 3600;
    assert!((5..8).contains(&hours), "within the working day: {hours} h");
    let told = story.outcomes.last().unwrap();
    assert_eq!((told.kind, told.reason.as_deref()), (OutcomeKind::Held, Some("filing")));
    assert!(told.detail.contains("make room"), "with what a person can do: {}", told.detail);
}

#[test]
fn what_time_cannot_mend_calls_a_person_at_once() {
    for fault in [FilingFault::AnotherRecordThere, FilingFault::TooManyAttachments] {
        let mut story = Story::of(arrival("M1"));
        story.due();
        story.tell(&Event::NotFiled(fault));
        assert_eq!(story.transfer.label(), "held", "{fault:?}");
        let Case::Received(received) = &story.transfer.case else { panic!("it was received") };
        let ReceivedState::Held { hold, .. } = &received.state else { panic!("it is held") };
        assert_eq!(*hold, Hold::Filing(fault), "with its own reason");
    }
}

#[test]
fn a_retry_takes_the_filing_up_again_with_all_its_tries() {
    let mut story = Story::of(arrival("M1"));
    story.due();
    story.tell(&Event::NotFiled(FilingFault::AnotherRecordThere));
    story.now = story.now.plus(Duration::from_secs(60));
    story.tell(&story.act(Verb::Retry));
    assert_eq!(story.transfer.deadline(), Some(story.now), "at once");
    for _ in 1..FILING_TRIES {
        assert!(matches!(story.due(), Some(Effect::File { .. })));
        story.tell(&Event::NotFiled(FilingFault::FolderUnwritable));
    }
    assert_eq!(story.transfer.label(), "filing", "one try is left");
    story.due();
    story.tell(&Event::Filed(Box::new(Filed {
        acknowledgement: None,
        completeness: None,
        account: None,
        decision: None,
    })));
    assert_eq!(story.transfer.label(), "filed");
    assert_eq!(story.outcomes.last().unwrap().kind, OutcomeKind::Filed);
}

fn ready() -> (Transmission, Contract) {
    let contract = Contract {
        retries: 2,
        retry_interval_ms: 60_000,
        persist_duration_ms: 86_400_000,
        repeat: retry::Repeat::Never,
    };
    let transmission = Transmission {
        packet: PacketRef("acknowledgement".to_owned()),
        message_id: MessageId::parse("ACK").unwrap(),
        stamped_at: start(),
        expires_at: start().plus(contract.persist_duration()),
        bytes: 3000,
    };
    (transmission, contract)
}

impl Story {
    fn answered(&mut self, verdict: Verdict) {
        assert!(matches!(self.due(), Some(Effect::Send { .. })));
        let message_id = MessageId::parse("ACK").unwrap();
        let answer = Answer { message_id, verdict, retry_after: None, took_ms: 5, receipt: None };
        self.tell(&Event::Answered(Box::new(answer)));
    }
}

#[test]
fn an_unreadable_record_ends_once_its_sender_was_told_21() {
    let mut story =
        Story::of(Arrival { nhs_number: None, refusal: Some(Refusal::Unreadable), ..arrival("M1") });
    let told = story.outcomes.last().unwrap();
    assert_eq!((told.kind, told.response_code.as_deref()), (OutcomeKind::NotFiled, Some("21")), "Q4");
    let Some(Effect::Refuse { refusal, .. }) = story.due() else { panic!("it is refused") };
    assert_eq!(refusal.code(), "21");
    story.tell(&Event::Refused(Box::new(ready())));
    assert_eq!(story.transfer.label(), "acknowledging");
    story.answered(Verdict::TryAgain(crate::transfer::verdict::TryAgain::Busy));
    assert_eq!(story.transfer.label(), "acknowledging", "sent until it is taken, as every message");
    story.answered(Verdict::Accepted(crate::transfer::verdict::Accepted::End));
    assert_eq!(story.transfer.label(), "refused");
}

#[test]
fn a_refusal_that_cannot_be_made_calls_a_person_too() {
    let mut story = Story::of(Arrival { refusal: Some(Refusal::Duplicate), ..arrival("M1") });
    assert!(story.outcomes.is_empty(), "a copy tells the clinical system nothing new");
    for _ in 0..FILING_TRIES {
        assert!(matches!(story.due(), Some(Effect::Refuse { .. })));
        story.tell(&Event::NotFiled(FilingFault::SenderUnknown));
    }
    assert_eq!(story.transfer.label(), "held");
    let retried = story.transfer.step(&story.act(Verb::Retry), story.now).unwrap();
    assert_eq!(retried.next.label(), "refusing", "a retry does not file what is refused");
    story.tell(&story.act(Verb::Cancel));
    assert_eq!(story.transfer.label(), "cancelled", "there may be nobody left to tell");
}

#[test]
fn a_record_that_is_given_up_is_answered_11_and_never_vanishes() {
    let mut story = Story::of(arrival("M1"));
    let cancelled = story.transfer.step(&story.act(Verb::Cancel), story.now);
    assert!(cancelled.is_err(), "nobody may make a record vanish");
    story.due();
    story.tell(&Event::NotFiled(FilingFault::AnotherRecordThere));
    story.tell(&story.act(Verb::Cancel));
    let Some(Effect::Refuse { refusal, .. }) = story.due() else { panic!("its sender is told") };
    assert_eq!(refusal.code(), "11", "Q13");
    assert_eq!(story.outcomes.last().unwrap().kind, OutcomeKind::NotFiled);
}

#[test]
fn a_record_sent_again_takes_the_place_of_one_that_was_refused_and_of_no_other() {
    let again = Event::Arrived(Box::new(arrival("M2")));
    let mut refused = Story::of(Arrival { refusal: Some(Refusal::Unreadable), ..arrival("M1") });
    let Some(Effect::Refuse { message_id: first, .. }) = refused.due() else { panic!("it is refused") };
    refused.tell(&again);
    assert_eq!(refused.transfer.label(), "filing", "Q19");
    let Some(Effect::File { arrival: filed, message_id: second }) = refused.due() else { panic!("filed") };
    assert_eq!(filed.message_id.as_str(), "M2");
    assert_ne!(Some(first), second, "another answer has another identity");
    refused.tell(&Event::Filed(Box::new(Filed {
        acknowledgement: None,
        completeness: None,
        account: None,
        decision: None,
    })));
    assert!(refused.transfer.step(&again, refused.now).is_err(), "the one that is filed stands (Q20)");
    let waiting = Story::of(arrival("M1"));
    assert!(waiting.transfer.step(&again, waiting.now).is_err(), "and so does one that is about to be (Q20)");
}
