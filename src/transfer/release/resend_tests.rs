//! The same record again (gp2gp reference §3.4), and every response code on an extract of ours (§5).

use std::time::Duration;

use super::request_tests::{Story, order, prepared};
use super::*;
use crate::model::MessageId;
use crate::transfer::custody::SummaryRef;
use crate::transfer::event::{Acknowledgement, Act, Answer, Verb};
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::response_code::ResponseCode;
use crate::transfer::verdict::{Accepted, Verdict};

const HOUR: Duration = Duration::from_secs(3600);

/// As far as the practice's system having the record that the practice asked for.
fn sent() -> Story {
    let mut story = Story::joined(order(|_, _| ()));
    story.due();
    let basis = story.transfer_release().basis();
    story.tell(&prepared(basis));
    deliver(&mut story);
    story
}

fn deliver(story: &mut Story) {
    story.due();
    let message_id = story.transfer_release().delivery().unwrap().dispatch.message_id.clone();
    let verdict = Verdict::Accepted(Accepted::End);
    let answer = Answer { message_id, verdict, retry_after: None, took_ms: 1, receipt: None };
    story.tell(&Event::Answered(Box::new(answer)));
}

fn says(code: Option<&str>) -> Event {
    Event::Acknowledged(Acknowledgement {
        message_id: MessageId::derived(&["m8"]),
        refers_to: None,
        about: None,
        positive: code.is_none(),
        code: code.map(str::to_owned),
        from: super::request_tests::ods("B85002"),
        packet: None,
    })
}

fn retry() -> Event {
    Event::Act(Act { verb: Verb::Retry, reason: "they telephoned".to_owned(), uid: 0 })
}

/// What PDS says an hour later, told by a later event of the stay.
fn fresh(story: &mut Story, practice: &str) {
    let now = story.now;
    let event = order(|event, pds| {
        event.seq = 7;
        pds.checked_at = now;
        pds.current_practice = OdsCode::parse(practice).ok();
    });
    story.tell(&Event::Custody(Box::new(event)));
}

#[test]
fn pds_is_asked_again_before_the_same_record_goes_again_after_a_refusal() {
    let mut story = sent();
    story.tell(&says(Some("31")));
    story.now = story.now.plus(HOUR);
    story.tell(&retry());
    assert_eq!(story.transfer.label(), "not-integrated", "S6: PDS comes first");
    assert_eq!(story.last(), (OutcomeKind::RecheckWanted, Some("recheck_wanted")));
    assert!(matches!(story.timeline.last(), Some(What::NotSentAgain { why: None })));
    fresh(&mut story, "B81001");
    story.tell(&retry());
    assert_eq!(story.transfer.label(), "not-integrated");
    assert!(matches!(
        story.timeline.last(),
        Some(What::NotSentAgain { why: Some(RequestRefusal::AnotherPractice) })
    ));
    fresh(&mut story, "B85002");
    story.tell(&retry());
    assert_eq!(story.transfer.label(), "delivering");
    let Some(Effect::Restamp { packet, message_id, .. }) = story.due() else {
        panic!("identical HL7 in a new envelope (S43)")
    };
    assert_eq!(packet, PacketRef("extract".to_owned()), "never extracted again");
    assert_ne!(message_id, MessageId::derived(&["m3"]), "TD66: a new MessageId");
}

#[test]
fn while_it_is_open_a_telephone_call_sends_it_again_under_a_new_identity() {
    let mut story = sent();
    story.tell(&retry());
    assert_eq!(story.transfer.label(), "delivering", "S46");
    assert!(matches!(story.due(), Some(Effect::Restamp { .. })), "the party does not eliminate duplicates");
    let mut done = sent();
    done.tell(&says(None));
    assert!(done.transfer.step(&retry(), done.now).is_err(), "never after AA");
}

#[test]
fn twelve_weeks_after_the_record_was_made_it_is_not_sent_again() {
    let mut story = sent();
    story.tell(&says(Some("31")));
    let made = story.transfer_release().created_at.unwrap();
    let last = made.plus(Duration::from_secs(84 * 86_400 - 1));
    assert!(story.transfer.step(&retry(), last).is_ok(), "S6: 84 days of its making");
    assert!(story.transfer.step(&retry(), made.plus(Duration::from_secs(84 * 86_400))).is_err(), "C15");
}

#[test]
fn entries_made_after_the_record_was_sent_want_a_summary_and_never_a_second_record() {
    let mut story = sent();
    let with = |entries: u32, answered: bool| {
        Event::Custody(Box::new(order(|event, _| {
            event.seq = 8;
            if let CustodyKind::Release(facts) = &mut event.kind {
                facts.entries_after_send = entries;
                facts.summary_ref = answered.then(|| SummaryRef::parse("summary-1").unwrap());
            }
        })))
    };
    story.tell(&with(3, false));
    let wanted =
        |story: &Story| story.outcomes.iter().filter(|o| o.kind == OutcomeKind::SummaryWanted).count();
    assert_eq!(wanted(&story), 1, "S128, hazard H4");
    assert!(story.timeline.iter().any(|what| matches!(what, What::SummaryWanted { entries: 3 })));
    assert_eq!(story.transfer.label(), "awaiting-acknowledgement", "S43: one version only");
    story.tell(&with(3, true));
    story.tell(&with(0, false));
    assert_eq!(wanted(&story), 1, "a summary that is written answers the prompt");
}

#[test]
fn every_code_on_our_extract_ends_as_the_table_says() {
    for number in 0..=99_u16 {
        let code = format!("{number:02}");
        let mut story = sent();
        story.tell(&says(Some(&code)));
        let expected = match number {
            12 => "awaiting-acknowledgement",
            15 => "suppressed",
            9 => "held",
            _ => "not-integrated",
        };
        assert_eq!(story.transfer.label(), expected, "{code}: A12 to A14, §5");
        if expected == "not-integrated" {
            assert_eq!(story.transfer_release().response_code(), Some(code.as_str()), "kept as sent");
            let may = story.transfer.step(&retry(), story.now).is_ok();
            let again = [7, 11, 20, 21, 25, 29, 30, 31, 99].contains(&number);
            assert_eq!(may, again, "{code}: {:?}", ResponseCode::parse(&code).resend());
        }
        story.tell(&says(None));
        assert_eq!(story.transfer.label(), "integrated", "{code}: AA beats every code (C9, A16)");
    }
    for code in ["SEF001", "205", "nonsense"] {
        let mut story = sent();
        story.tell(&says(Some(code)));
        assert_eq!(story.transfer_release().response_code(), Some(code), "unknown, and kept as sent");
    }
}

#[test]
fn something_unexpected_is_tried_once_more_and_no_more() {
    let mut story = sent();
    story.tell(&says(Some("99")));
    story.tell(&retry());
    assert_eq!(story.transfer.label(), "delivering", "once, after a call");
    story.tell(&says(Some("99")));
    assert_eq!(story.transfer.label(), "not-integrated");
    assert!(story.transfer.step(&retry(), story.now).is_err(), "§5");
}
