//! Rapid moves, step by step: gp2gp reference §2.6, hazard H17.

use std::time::Duration;

use super::request_tests::{Story, asked, ods, order, start};
use super::*;
use crate::transfer::chain::Chain;
use crate::transfer::event::Woken;
use crate::transfer::outcome::OutcomeKind;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A record is asked of A, who is B81001.
fn awaited() -> Option<Chain> {
    Some(Chain::Awaited { practice: ods("B81001") })
}

fn unfiled() -> Option<Chain> {
    Some(Chain::Unfiled { practice: ods("B81001") })
}

fn asks(chain: Option<Chain>) -> Event {
    Event::Asked(Box::new(Asked { chain, ..asked() }))
}

fn woken(chain: Option<Chain>, known: Option<CustodyEvent>) -> Event {
    Event::Woken(Box::new(Woken { chain, known: known.map(Box::new) }))
}

#[test]
fn a_request_waits_while_the_record_before_is_awaited_or_unfiled_and_goes_on_once_it_is_filed() {
    for chain in [awaited(), unfiled()] {
        let mut story = Story::of(&asks(chain));
        assert_eq!(story.transfer.label(), "parked", "cases 1 and 2");
        assert_eq!(story.last(), (OutcomeKind::Held, Some("request_parked")), "notified at once");
        assert!(story.codes().is_empty(), "S34: no early AA");
        let told = story.outcomes.len();
        story.tell(&woken(unfiled(), None));
        assert_eq!(
            (story.transfer.label(), story.outcomes.len()),
            ("parked", told),
            "it came, and is not filed"
        );
        story.tell(&woken(None, None));
        assert_eq!(story.transfer.label(), "preparing", "filed: extract and send");
        assert!(matches!(story.due(), Some(Effect::Prepare { .. })));
    }
}

#[test]
fn a_parked_request_is_told_of_again_after_a_day_and_answered_by_99_after_eight() {
    let mut story = Story::of(&asks(awaited()));
    let told = story.outcomes.len();
    story.due();
    assert_eq!(story.now, start().plus(DAY), "S42");
    assert_eq!((story.transfer.label(), story.outcomes.len()), ("parked", told + 1));
    story.tell(&woken(unfiled(), None));
    story.due();
    assert_eq!(story.now, start().plus(8 * DAY), "counted from its arrival, whatever happens meanwhile");
    assert_eq!(story.codes(), [Some("99")]);
    assert_eq!(story.transfer.label(), "request-refused");
    let mut late = Story::of(&asks(awaited()));
    late.now = start().plus(8 * DAY);
    late.tell(&woken(unfiled(), None));
    assert_eq!(late.codes(), [Some("99")], "a chain cannot go on for ever");
}

#[test]
fn a_chain_that_breaks_is_told_to_whoever_waits_on_it() {
    for moved_on in [None, Some(start())] {
        let mut story = Story::of(&asks(awaited()));
        story.tell(&woken(Some(Chain::Broken { moved_on }), None));
        assert_eq!(story.codes(), [Some("99")], "case 3, and custody §3.5");
    }
    let late = |after: Duration, moved_on: Option<Timestamp>| {
        let chain = Some(Chain::Broken { moved_on });
        let received_at = start().plus(after);
        let event = Event::Asked(Box::new(Asked { chain, received_at, ..asked() }));
        let id = crate::model::TransferId::derived(&["t"]);
        crate::transfer::Transfer::open(id, &event, received_at).unwrap().next.label()
    };
    assert_eq!(late(HOUR, Some(start())), "request-refused", "case 3: A answered B by 19");
    assert_eq!(late(9 * DAY, Some(start())), "preparing", "what is recorded here since is sent");
    assert_eq!(late(HOUR, None), "preparing", "A had trouble of its own: what is recorded here is sent");
}

#[test]
fn the_practice_that_we_ask_is_not_made_to_wait_for_itself() {
    let ours = |chain: fn(OdsCode) -> Chain| Story::of(&asks(Some(chain(ods("B85002")))));
    let looped = ours(|practice| Chain::Awaited { practice });
    assert_eq!(looped.codes(), [Some("99")], "F46");
    let sent = ours(|practice| Chain::Unfiled { practice });
    assert_eq!(sent.transfer.label(), "parked", "A sent its record before it asked: no loop");
    let full = Story::of(&asks(Some(Chain::Full)));
    assert_eq!(full.codes(), [Some("99")], "a limit on everything");
}

#[test]
fn pds_is_asked_before_the_chain_on_arrival_and_again_once_the_wait_is_over() {
    let with = |known: CustodyEvent| {
        let known = Some(Box::new(known));
        Story::of(&Event::Asked(Box::new(Asked { chain: awaited(), known, ..asked() })))
    };
    let elsewhere = with(order(|_, pds| pds.current_practice = Some(ods("B81001"))));
    assert_eq!(elsewhere.codes(), [Some("19")], "C = A, as A sees it (F46)");
    let mut story = with(order(|_, _| ()));
    assert_eq!(story.transfer.label(), "parked");
    story.now = start().plus(HOUR);
    story.tell(&woken(None, None));
    assert_eq!(story.last(), (OutcomeKind::Held, Some("recheck_wanted")), "H5: that was an hour ago");
    let told = story.outcomes.len();
    story.tell(&woken(None, None));
    assert_eq!(story.outcomes.len(), told, "told once");
    let now = story.now;
    let fresh = order(|event, pds| {
        event.seq = 2;
        pds.checked_at = now;
    });
    story.tell(&woken(None, Some(fresh)));
    assert_eq!(story.transfer.label(), "preparing", "custody said what PDS says now");
    let mut moved = with(order(|_, _| ()));
    moved.now = now;
    let away = order(|_, pds| {
        pds.checked_at = now;
        pds.current_practice = Some(ods("B83003"));
    });
    moved.tell(&woken(None, Some(away)));
    assert_eq!(moved.codes(), [Some("19")], "the person moved on again");
}

#[test]
fn a_release_that_a_request_joins_waits_too_and_one_that_is_turned_down_does_not_join() {
    let mut story = Story::of(&Event::Custody(Box::new(order(|_, _| ()))));
    story.tell(&asks(unfiled()));
    assert_eq!(story.transfer.label(), "parked", "remand: gone before the record is filed (custody §3.1)");
    story.tell(&Event::Custody(Box::new(order(|event, _| event.seq = 2))));
    assert_eq!(story.transfer.label(), "parked", "another word of custody ends no wait");
    story.tell(&woken(None, None));
    assert_eq!(story.transfer.label(), "preparing");
    let elsewhere = order(|_, pds| pds.current_practice = Some(ods("B81001")));
    let waiting = Story::of(&Event::Custody(Box::new(elsewhere)));
    assert!(waiting.transfer.step(&asks(None), start()).is_err(), "it waits for the right practice (19)");
}

#[test]
fn what_asks_while_we_answer_nobody_is_told_so() {
    let event = Event::Asked(Box::new(Asked { switched_off: true, chain: awaited(), ..asked() }));
    assert_eq!(Story::of(&event).codes(), [Some("07")], "TD51.2, before every other check but readability");
    let unreadable = Asked { switched_off: true, nhs_number: None, ..asked() };
    assert_eq!(Story::of(&Event::Asked(Box::new(unreadable))).codes(), [Some("18")]);
}

#[test]
fn a_parked_request_ends_where_an_operator_cancels_it_and_is_not_hurried() {
    let mut story = Story::of(&asks(awaited()));
    let act = |verb| Event::Act(crate::transfer::event::Act { verb, reason: "why".to_owned(), uid: 0 });
    assert!(story.transfer.step(&act(crate::transfer::event::Verb::Retry), start()).is_err());
    story.tell(&act(crate::transfer::event::Verb::Cancel));
    assert_eq!(story.transfer.label(), "cancelled");
    assert!(story.transfer.step(&woken(None, None), start()).is_err(), "nothing wakes it");
}

#[test]
fn a_practice_waits_for_what_pds_says_now_no_longer_than_a_day() {
    let stale = order(|_, pds| pds.checked_at = Timestamp::from_millis(start().as_millis() - 3_600_000));
    let mut story = Story::of(&Event::Asked(Box::new(Asked { known: Some(Box::new(stale)), ..asked() })));
    assert_eq!(story.last(), (OutcomeKind::Held, Some("recheck_wanted")));
    story.now = start().plus(HOUR);
    story.tell(&woken(None, None));
    story.due();
    assert_eq!((story.now, story.codes()), (start().plus(DAY), vec![Some("20")]), "TD51.4.2, S36");
}
