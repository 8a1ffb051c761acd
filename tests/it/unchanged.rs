//! What counts as a change of a transfer: "longest unchanged" must show the silence of a practice, however busy we are.

use std::time::Duration;

use throughcare::model::{EventId, MessageId, OdsCode, Timestamp, TransferId};
use throughcare::transfer::Transfer;
use throughcare::transfer::dispatch::{PacketRef, Transmission};
use throughcare::transfer::event::{Act, Answer, Basis, Event, Prepared, Verb};
use throughcare::transfer::outcome::Completeness;
use throughcare::transfer::retry::{Contract, Repeat};
use throughcare::transfer::verdict::{Accepted, TryAgain, Verdict};

use crate::control;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The packet of a stay's first event lies ready, for a practice that may be sent copies.
pub fn prepared(stay: &str, now: Timestamp) -> Event {
    Event::Prepared(Box::new(Prepared {
        basis: Basis::of_event(EventId::derived(&["event", stay])),
        to: OdsCode::parse("B85002").unwrap(),
        transmission: Transmission {
            packet: PacketRef("sealed".to_owned()),
            message_id: MessageId::derived(&["m"]),
            stamped_at: now,
            expires_at: now.plus(1000 * HOUR),
            bytes: 1,
        },
        contract: Contract {
            retries: 2,
            retry_interval_ms: 60_000,
            persist_duration_ms: 6 * 3_600_000,
            repeat: Repeat::UntilAcknowledged,
        },
        completeness: Completeness { mapped: 1, merged: 0, degraded: 0, not_clinical: 0 },
        account: None,
        attachments: 0,
        placeholders: 0,
        signed: true,
        parts: Vec::new(),
        wait_ms: 0,
    }))
}

/// The answer to an attempt with that packet.
pub fn answered(verdict: Verdict) -> Event {
    let message_id = MessageId::derived(&["m"]);
    Event::Answered(Box::new(Answer { message_id, verdict, retry_after: None, took_ms: 1, receipt: None }))
}

/// A release that the practice's system has just taken.
fn delivered() -> Transfer {
    let text = control::release("stay-1", "pds").to_string().replace("\"planned\"", "\"happened\"");
    let event = Event::Custody(Box::new(serde_json::from_str(&text).unwrap()));
    let now = throughcare::clock::now();
    let opened = Transfer::open(TransferId::derived(&["t"]), &event, now).unwrap().next;
    let steps = [
        (prepared("stay-1", now), "delivering"),
        (Event::Due, "delivering"),
        (answered(Verdict::TryAgain(TryAgain::UnknownOutcome)), "delivering"),
        (Event::Due, "delivering"),
        (answered(Verdict::Accepted(Accepted::End)), "awaiting-acknowledgement"),
    ];
    let mut transfer = opened;
    for (n, (event, label)) in steps.into_iter().enumerate() {
        let at = now.plus(HOUR * u32::try_from(n).unwrap());
        transfer = transfer.step(&event, at).unwrap().next;
        assert_eq!(transfer.label(), label);
        // A failed attempt is our own work; that the packet was made and that it arrived are milestones.
        let milestone = if label == "delivering" { now } else { at };
        assert_eq!(transfer.changed_at, milestone, "after step {n}");
    }
    transfer
}

#[test]
fn a_copy_that_goes_out_again_changes_nothing_while_the_practice_is_silent() {
    let before = delivered();
    let since = before.changed_at;
    let sending = before.step(&Event::Due, since.plus(HOUR)).unwrap().next;
    assert_eq!((sending.label(), sending.changed_at), ("delivering", since), "a copy is on its way");
    let accepted = answered(Verdict::Accepted(Accepted::End));
    let waiting = sending.step(&accepted, since.plus(2 * HOUR)).unwrap().next;
    assert_eq!((waiting.label(), waiting.changed_at), ("awaiting-acknowledgement", since));
}

#[test]
fn an_act_is_a_change_and_a_look_is_none() {
    let before = delivered();
    let act = |verb| Event::Act(Act { verb, reason: "asked".to_owned(), uid: 0 });
    let later = before.changed_at.plus(HOUR);
    let retried = before.step(&act(Verb::Retry), later).unwrap().next;
    assert_eq!(retried.changed_at, later, "somebody did something");
    let looked = before.step(&act(Verb::DisclosePacket), later).unwrap();
    assert_eq!(looked.next, before, "the transfer is as it was");
    assert_eq!(looked.entries.len(), 1, "and its timeline says who looked");
}
