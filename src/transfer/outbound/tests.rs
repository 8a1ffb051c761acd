//! A message that goes its own way, step by step.

use std::time::Duration;

use super::*;
use crate::model::ConversationId;
use crate::transfer::event::LateSignal;
use crate::transfer::retry::Repeat;
use crate::transfer::verdict::{Accepted, TryAgain};

const DAY: Duration = Duration::from_secs(86_400);

fn start() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

struct Story {
    transfer: Transfer,
    now: Timestamp,
    reports: Vec<Report>,
}

impl Story {
    fn begin() -> Self {
        let saying = Saying::Acknowledgement { refers_to: MessageId::derived(&["extract"]), refusal: None };
        let ends = (OdsCode::parse("HMP01").unwrap(), OdsCode::parse("B85002").unwrap());
        let parent = TransferId::derived(&["parent"]);
        let id = MessageId::derived(&["m"]);
        let outbound = Outbound::new(parent, saying, ends, id, start().plus(DAY), start());
        let case = Case::Outbound(Box::new(outbound.clone()));
        let transfer = Transfer::fresh(outbound.id(), ConversationId::derived(&["c"]), case, start());
        Self { transfer, now: start(), reports: Vec::new() }
    }

    fn sending() -> Self {
        let mut story = Self::begin();
        assert!(matches!(story.due(), Some(Effect::Compose { .. })), "LM21: written when it is due");
        story.tell(&story.composed());
        assert!(matches!(story.due(), Some(Effect::Send { .. })));
        story
    }

    fn composed(&self) -> Event {
        let transmission = Transmission {
            packet: PacketRef("sealed".to_owned()),
            message_id: MessageId::derived(&["m"]),
            stamped_at: self.now,
            expires_at: self.now.plus(DAY),
            bytes: 4000,
        };
        let contract = Contract {
            retries: 1,
            retry_interval_ms: 1000,
            persist_duration_ms: 86_400_000,
            repeat: Repeat::UntilAcknowledged,
        };
        Event::Composed(Box::new((transmission, contract)))
    }

    fn answered(verdict: Verdict) -> Event {
        let message_id = MessageId::derived(&["m"]);
        Event::Answered(Box::new(Answer {
            message_id,
            verdict,
            retry_after: None,
            took_ms: 1,
            receipt: None,
        }))
    }

    fn tell(&mut self, event: &Event) {
        let step = self.transfer.step(event, self.now).unwrap();
        self.reports.extend(step.report.map(|(parent, report)| {
            assert_eq!(parent, TransferId::derived(&["parent"]));
            report
        }));
        self.transfer = step.next;
        assert!(self.transfer.has_ended() || self.transfer.deadline().is_some(), "H19");
    }

    fn due(&mut self) -> Option<Effect> {
        self.now = self.now.max(self.transfer.deadline().unwrap());
        let step = self.transfer.step(&Event::Due, self.now).unwrap();
        self.reports.extend(step.report.map(|(_, report)| report));
        self.transfer = step.next;
        step.effect
    }

    fn fates(&self) -> Vec<Fate> {
        self.reports.iter().map(|report| report.fate).collect()
    }
}

#[test]
fn a_message_that_arrives_is_reported_once() {
    let mut story = Story::sending();
    story.tell(&Story::answered(Verdict::TryAgain(TryAgain::Busy)));
    assert!(story.reports.is_empty(), "it is still on its way");
    story.due();
    story.tell(&Story::answered(Verdict::Accepted(Accepted::End)));
    assert_eq!(story.fates(), [Fate::Delivered]);
    assert_eq!((story.reports[0].attempts, story.transfer.label()), (2, "sent"));
    assert_eq!(story.transfer.deadline(), None);
}

#[test]
fn a_message_that_is_refused_or_cannot_be_made_is_reported_with_the_reason() {
    let mut refused = Story::sending();
    refused.tell(&Story::answered(Verdict::Refused(Refused::Http4xx)));
    assert_eq!(refused.fates(), [Fate::Refused(Refused::Http4xx)]);
    let mut waits = Story::begin();
    waits.due();
    waits.tell(&Event::NotComposed(PrepareFault::SigningUnavailable));
    assert_eq!((waits.transfer.label(), waits.fates()), ("composing", vec![]), "time can mend that");
    waits.due();
    waits.tell(&Event::NotComposed(PrepareFault::DestinationClosed));
    assert_eq!(waits.fates(), [Fate::NotComposed(PrepareFault::DestinationClosed)]);
}

#[test]
fn a_message_is_given_up_when_its_time_has_run_out() {
    let mut story = Story::sending();
    for _ in 0..1000 {
        if story.transfer.has_ended() {
            break;
        }
        story.tell(&Story::answered(Verdict::TryAgain(TryAgain::Unreachable)));
        story.due();
    }
    assert_eq!(story.fates(), [Fate::GaveUp]);
    assert!(story.now.since(start()) >= DAY && story.now.since(start()) < 2 * DAY);
}

#[test]
fn a_late_error_overturns_a_delivery() {
    let signal = |verdict| {
        Event::LateSignal(LateSignal { message_id: MessageId::derived(&["m"]), verdict, receipt: None })
    };
    let mut story = Story::sending();
    story.tell(&Story::answered(Verdict::Accepted(Accepted::Hop)));
    story.tell(&signal(Verdict::TryAgain(TryAgain::Busy)));
    assert_eq!(story.transfer.label(), "sending", "wire §1.5: it goes again");
    story.due();
    story.tell(&Story::answered(Verdict::Accepted(Accepted::Hop)));
    story.tell(&signal(Verdict::Refused(Refused::Undeliverable)));
    assert_eq!(story.fates(), [Fate::Delivered, Fate::Delivered, Fate::Refused(Refused::Undeliverable)]);
}
