//! A record in parts, part by part.

use std::time::Duration;

use super::*;
use crate::model::{ConversationId, NhsNumber};
use crate::transfer::event::{Arrival, Event};
use crate::transfer::outbound::Outbound;
use crate::transfer::{Case, Transfer};

const HOUR: Duration = Duration::from_secs(3_600);

fn start() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

fn ods(code: &str) -> OdsCode {
    OdsCode::parse(code).unwrap()
}

fn id(text: &str) -> MessageId {
    MessageId::derived(&[text])
}

fn tally(rows: u64, arrived: u64, damaged: u64) -> Tally {
    Tally { rows, arrived, damaged }
}

fn extract(name: &str, rows: u64) -> Event {
    Event::Arrived(Box::new(Arrival {
        from: ods("B85002"),
        to: ods("HMP01"),
        conversation: ConversationId::derived(&["conversation"]),
        message_id: id(name),
        nhs_number: NhsNumber::parse("9990000018").ok(),
        request_id: None,
        system_known: true,
        bytes: 10_000,
        attachments: 3,
        signed: true,
        packet: PacketRef("sealed".to_owned()),
        received_at: start(),
        refusal: None,
        large: Some(Large {
            tally: tally(rows, 0, 0),
            terms: Terms::new(HOUR, HOUR),
            sent_at: start(),
            bytes: 0,
        }),
    }))
}

fn part(name: &str, found: Found) -> Event {
    Event::Part(Box::new(Part {
        message_id: id(name),
        from: ods("B85002"),
        to: ods("HMP01"),
        bytes: 1_000,
        packet: PacketRef(format!("sealed {name}")),
        found,
    }))
}

fn good(name: &str, tally: Tally) -> Event {
    part(name, Found::Good { tally, completes: None })
}

struct Story {
    transfer: Transfer,
    now: Timestamp,
    sent: Vec<Outbound>,
    kept: bool,
}

impl Story {
    fn of(rows: u64) -> Self {
        let transfer = TransferId::derived(&["t"]);
        let step = Transfer::open(transfer, &extract("E1", rows), start()).unwrap();
        let mut story = Self { transfer: step.next.clone(), now: start(), sent: Vec::new(), kept: false };
        story.take(step);
        story
    }

    fn take(&mut self, step: Step) {
        self.kept = step.keeps_part;
        self.sent.extend(step.messages.into_iter().filter_map(|message| match message.case {
            Case::Outbound(outbound) => Some(*outbound),
            _ => None,
        }));
        self.transfer = step.next;
    }

    fn tell(&mut self, event: &Event) {
        self.take(self.transfer.step(event, self.now).unwrap());
    }

    fn due(&mut self) -> Option<Effect> {
        self.now = self.transfer.deadline().unwrap().max(self.now);
        let step = self.transfer.step(&Event::Due, self.now).unwrap();
        let effect = step.effect.clone();
        self.take(step);
        effect
    }

    /// The code of the answer to a part; empty for AA, none where it was not answered.
    fn answer(&self, name: &str) -> Option<&str> {
        self.sent.iter().rev().find_map(|outbound| match &outbound.saying {
            Saying::PartAcknowledgement { refers_to, refusal } if *refers_to == id(name) => {
                Some(refusal.as_ref().map_or("", |refusal| refusal.code.as_str()))
            }
            _ => None,
        })
    }

    fn refusal(&self) -> Option<Refusal> {
        match &self.transfer.case {
            Case::Received(received) => received.arrival.refusal,
            _ => None,
        }
    }
}

#[test]
fn leave_goes_out_with_the_extract_and_the_last_part_completes_it() {
    let mut story = Story::of(2);
    assert_eq!(story.transfer.label(), "receiving", "Q6");
    assert!(
        matches!(&story.sent[..], [Outbound { saying: Saying::Continue { refers_to }, .. }] if *refers_to == id("E1")),
        "LM32: in the commit of the extract"
    );
    story.tell(&good("p1", tally(2, 1, 0)));
    assert_eq!((story.answer("p1"), story.kept), (Some(""), true), "Q7");
    assert_eq!(story.transfer.label(), "receiving");
    story.tell(&good("p2", tally(2, 2, 0)));
    assert_eq!(story.answer("p2"), Some(""), "Q8");
    assert_eq!(story.transfer.label(), "filing", "S81, LM42: never before all parts are in");
    assert!(matches!(story.due(), Some(Effect::File { .. })));
}

#[test]
fn the_last_fragment_is_answered_once_its_file_was_put_together() {
    // TD25.2.
    let mut story = Story::of(3);
    story.tell(&good("f1", tally(3, 2, 0)));
    story.tell(&part("f2", Found::Good { tally: tally(3, 3, 0), completes: Some(id("index")) }));
    assert_eq!((story.answer("f2"), story.kept), (None, true), "durable, and not answered yet");
    assert_eq!(story.transfer.label(), "receiving");
    assert!(matches!(story.due(), Some(Effect::Join { item, .. }) if item == id("index")));
    story.tell(&Event::NotJoined(crate::transfer::reason::FilingFault::PacketUnreadable));
    assert!(story.transfer.deadline().unwrap() > story.now, "tried again, later");
    assert!(matches!(story.due(), Some(Effect::Join { .. })));
    story.tell(&Event::Joined { item: id("index"), wrong: None });
    assert_eq!(story.answer("f2"), Some(""));
    assert_eq!(story.transfer.label(), "filing");
}

#[test]
fn a_file_that_cannot_be_put_together_fails_the_record_once_all_is_accounted_for() {
    // TD25.2.1, LM35, C2.
    let mut story = Story::of(3);
    story.tell(&part("f1", Found::Good { tally: tally(3, 2, 0), completes: Some(id("index")) }));
    assert!(matches!(story.due(), Some(Effect::Join { .. })));
    story.tell(&Event::Joined { item: id("index"), wrong: Some(PartRefusal::Unjoined) });
    assert_eq!(story.answer("f1"), Some("29"));
    assert_eq!(story.transfer.label(), "receiving", "one bad part never stops the rest");
    story.tell(&good("p", tally(3, 2, 1)));
    assert_eq!((story.transfer.label(), story.refusal()), ("refusing", Some(Refusal::PartsDamaged)));
}

#[test]
fn a_damaged_part_may_be_mended_by_a_good_copy() {
    // C2: 583 parts drew both 29 and AA.
    let mut story = Story::of(2);
    story.tell(&part("p1", Found::Bad { tally: tally(2, 0, 1), why: PartRefusal::Malformed }));
    assert_eq!((story.answer("p1"), story.transfer.label()), (Some("30"), "receiving"));
    story.tell(&good("p1", tally(2, 1, 0)));
    assert_eq!(story.answer("p1"), Some(""));
    story.tell(&good("p2", tally(2, 2, 0)));
    assert_eq!(story.transfer.label(), "filing");
}

#[test]
fn what_never_comes_is_refused_at_t_and_what_comes_later_is_late() {
    let mut story = Story::of(2);
    story.tell(&good("p1", tally(2, 1, 0)));
    assert_eq!(story.transfer.deadline(), Some(start().plus(3 * HOUR)), "§4.4: A × extract + B × 2 × part");
    assert!(story.due().is_none());
    assert_eq!(
        (story.transfer.label(), story.refusal()),
        ("refusing", Some(Refusal::PartsMissing)),
        "Q10: 31"
    );
    assert_eq!(story.refusal().unwrap().code(), "31");
    story.tell(&good("p2", tally(2, 2, 0)));
    assert_eq!((story.answer("p2"), story.kept), (Some("25"), false), "Q11");
}

#[test]
fn the_deadline_is_asked_before_anything_else() {
    // TD24.1: it has passed, and nobody was there to see it.
    let mut story = Story::of(1);
    story.now = start().plus(9 * HOUR);
    story.tell(&good("p1", tally(1, 1, 0)));
    assert_eq!((story.answer("p1"), story.kept), (Some("25"), false));
    assert_eq!(story.transfer.label(), "refusing");
}

#[test]
fn an_index_makes_the_wait_longer() {
    // TD24: N counts what the index lists.
    let mut story = Story::of(1);
    story.tell(&good("index", tally(5, 1, 0)));
    assert_eq!(story.transfer.deadline(), Some(start().plus(6 * HOUR)));
}

#[test]
fn a_part_before_what_lists_it_is_kept_but_not_without_limit() {
    // LM29.2.
    let mut story = Story::of(2);
    story.tell(&part("early", Found::Early));
    assert_eq!((story.answer("early"), story.kept), (Some(""), true));
    for n in 0..MOST_EARLY {
        story.tell(&part(&n.to_string(), Found::Early));
    }
    assert_eq!((story.answer(&(MOST_EARLY - 1).to_string()), story.kept), (Some("30"), false));
}

#[test]
fn a_part_of_a_record_that_is_complete_is_not_awaited() {
    // §2.4: a new part after the end.
    let mut story = Story::of(1);
    story.tell(&good("p1", tally(1, 1, 0)));
    assert_eq!(story.transfer.label(), "filing");
    story.tell(&part("p9", Found::Early));
    assert_eq!((story.answer("p9"), story.kept), (Some("30"), false));
    assert_eq!(story.transfer.label(), "filing");
}

#[test]
fn leave_that_cannot_be_delivered_ends_the_wait() {
    // TD22.5: 20 on the extract; not if a part shows that leave arrived.
    let lost = |story: &Story| {
        Event::Reported(Report {
            message_id: story.sent[0].message_id.clone(),
            kind: MessageKind::Continue,
            fate: Fate::GaveUp,
            attempts: 9,
            told_before: false,
        })
    };
    let mut story = Story::of(2);
    story.tell(&lost(&story));
    assert_eq!(story.refusal(), Some(Refusal::LeaveUndelivered));
    assert_eq!(story.refusal().unwrap().code(), "20");
    let mut story = Story::of(2);
    story.tell(&good("p1", tally(2, 1, 0)));
    story.tell(&lost(&story));
    assert_eq!(story.transfer.label(), "receiving");
}

#[test]
fn a_record_that_timed_out_may_come_again_whole() {
    // Q19: with new parts, or with those that are here.
    let mut story = Story::of(2);
    assert!(story.due().is_none());
    story.tell(&extract("E2", 2));
    assert_eq!((story.transfer.label(), story.refusal()), ("receiving", None));
    assert_eq!(story.sent.iter().filter(|o| o.saying.kind() == MessageKind::Continue).count(), 2);
}
