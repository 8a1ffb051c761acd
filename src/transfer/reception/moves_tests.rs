//! Gate 14, moves seen from the requester, and every response code on a request of ours (gp2gp reference §2.1, §2.6, §5).

use super::tests::{Story, answer, arrived, event, filed, ods, start};
use super::*;
use crate::model::TransferId;
use crate::transfer::chain::Chain;
use crate::transfer::custody::{Answer, PdsFacts, PdsUpdate};
use crate::transfer::journal::What;
use crate::transfer::outbound::{Fate, MessageKind};
use crate::transfer::response_code::ResponseCode;
use crate::transfer::{Beside, Transfer};

fn open(event: CustodyEvent, beside: Beside) -> Step {
    let id = Transfer::id_for(&event, start());
    Transfer::open_beside(id, &Event::Custody(Box::new(event)), beside, start()).unwrap()
}

#[test]
fn a_second_reception_joins_the_one_that_is_open() {
    let other = TransferId::derived(&["other"]);
    let step = open(event(1, |_, _| ()), Beside { open_reception: Some(other), ..Beside::default() });
    assert_eq!(step.next.label(), "no-transfer", "gate 14");
    assert!(step.messages.is_empty(), "one request, whatever the number of stays");
    assert!(step.entries.contains(&What::Joined { transfer: other }));
    assert_eq!(step.outcomes.last().unwrap().reason.as_deref(), Some("already_asked"));
    let early = event(1, |_, d| d.pds_update = PdsUpdate::NotAttempted);
    let step = open(early, Beside { open_reception: Some(other), ..Beside::default() });
    assert_eq!(step.next.label(), "awaiting-registration", "the earlier gates come first");
}

#[test]
fn where_no_records_are_asked_for_a_registration_is_all_there_is() {
    let step = open(event(1, |_, _| ()), Beside { requester_off: true, ..Beside::default() });
    assert_eq!(step.outcomes.last().unwrap().reason.as_deref(), Some("switched_off"), "gate 1, S3");
    assert!(step.messages.is_empty());
}

#[test]
fn somebody_whom_pds_has_elsewhere_by_now_is_not_asked_for() {
    let pds = |practice: &str, minutes: i64| PdsFacts {
        checked_at: Timestamp::from_millis(start().as_millis() + minutes * 60_000),
        current_practice: Some(ods(practice)),
        previous_practice: None,
        deceased: Answer::No,
    };
    let label = |facts: PdsFacts| Story::of(event(1, |e, _| e.pds = Some(facts))).transfer.label();
    assert_eq!(label(pds("B83003", 5)), "no-transfer", "§2.6, case 4");
    assert_eq!(label(pds("HMP01", 5)), "requesting");
    assert_eq!(label(pds("B83003", -5)), "requesting", "PDS took the registration since");
}

#[test]
fn what_a_reception_means_for_a_practice_that_asks_follows_its_state() {
    let awaited = Some(Chain::Awaited { practice: ods("B85002") });
    let unfiled = Some(Chain::Unfiled { practice: ods("B85002") });
    assert_eq!(Story::of(event(1, |_, d| d.pds_update = PdsUpdate::NotAttempted)).transfer.chain(), None);
    assert_eq!(Story::asked().transfer.chain(), awaited);
    assert_eq!(Story::requested().transfer.chain(), awaited);
    assert_eq!(Story::filed().transfer.chain(), unfiled);
    for (filing, chain) in [
        (Filing::Integrated, None),
        (Filing::Suppressed, None),
        (Filing::Rejected, Some(Chain::Broken { moved_on: None })),
        (Filing::Failed, Some(Chain::Broken { moved_on: None })),
    ] {
        let mut story = Story::filed();
        story.decide(filing);
        assert_eq!(story.transfer.chain(), chain, "{filing:?}");
        story.report(MessageKind::Acknowledgement, Fate::Delivered);
        assert_eq!(story.transfer.chain(), chain, "{filing:?}, acknowledged");
    }
    let mut silent = Story::requested();
    while !silent.transfer.has_ended() {
        silent.due();
    }
    assert_eq!(silent.transfer.chain(), Some(Chain::Broken { moved_on: None }), "Q22");
    let mut wrong = Story::requested();
    wrong.tell(&arrived(|a| a.system_known = false));
    assert_eq!((wrong.transfer.label(), wrong.transfer.chain()), ("held", unfiled));
}

#[test]
fn only_a_change_that_matters_to_a_practice_that_asks_wakes_it() {
    let woken = |story: &Story, event: &Event| {
        story.transfer.step(event, story.now).unwrap().wakes.map(|number| number.reveal())
    };
    let number = Some("9990000018".to_owned());
    let requested = Story::requested();
    assert_eq!(woken(&requested, &arrived(|_| ())), number, "awaited, then unfiled");
    assert_eq!(woken(&requested, &answer(true, None)), None, "the practice's yes changes nothing yet");
    assert_eq!(woken(&requested, &answer(false, Some("19"))), number, "the chain is broken");
    let mut filing = Story::requested();
    filing.tell(&arrived(|_| ()));
    assert_eq!(woken(&filing, &filed(Some(Filing::Integrated))), number, "filed");
    assert_eq!(woken(&filing, &filed(None)), None, "it waits for a decision");
}

#[test]
fn every_code_on_our_request_ends_it_and_a_record_that_comes_all_the_same_is_taken() {
    for number in 0..=99_u16 {
        let code = format!("{number:02}");
        let mut story = Story::requested();
        story.tell(&answer(false, Some(&code)));
        assert_eq!(story.transfer.label(), "request-refused", "{code}: Q3");
        assert_eq!(story.reception().response_code(), Some(code.as_str()), "kept as sent");
        let words = Ending::RequestRefused { code: code.clone() }.words();
        assert!(words.contains(&ResponseCode::parse(&code).words()), "UX01, S284: {words}");
        let broken = match number {
            6 => None,
            19 => Some(Chain::Broken { moved_on: Some(story.now) }),
            _ => Some(Chain::Broken { moved_on: None }),
        };
        assert_eq!(story.transfer.chain(), broken, "{code}: what a third practice is told (§2.6)");
        story.tell(&arrived(|_| ()));
        assert_eq!(story.transfer.label(), "filing", "{code}: F41, Q19, C9");
    }
}

#[test]
fn whoever_is_new_has_no_old_record_to_keep_and_whoever_returns_has() {
    let at_decision = |returning: Returning| {
        let mut story = Story::filed();
        let Case::Reception(reception) = &mut story.transfer.case else { panic!("a reception") };
        reception.returning = returning;
        story
    };
    let choices = |returning: Returning| -> Vec<(Filing, Option<String>)> {
        let filings = [Filing::Integrated, Filing::Suppressed, Filing::Rejected, Filing::Failed];
        let mut taken = Vec::new();
        for filing in filings {
            let mut story = at_decision(returning);
            let act = Event::Act(crate::transfer::event::Act {
                verb: crate::transfer::event::Verb::Decide(filing),
                reason: "why".to_owned(),
                uid: 0,
            });
            let by_hand = story.transfer.step(&act, story.now).is_ok();
            let by_event = story.transfer.step(&story.decision(filing), story.now).is_ok();
            assert_eq!(by_hand, by_event, "the same rules, whoever decides");
            if by_event {
                story.decide(filing);
                taken.push((filing, story.code().map(str::to_owned)));
            }
        }
        taken
    };
    let code = |code: &str| Some(code.to_owned());
    let (file, keep) = ((Filing::Integrated, None), (Filing::Suppressed, code("15")));
    let failed = (Filing::Failed, code("11"));
    let new = vec![file.clone(), (Filing::Rejected, code("28")), failed.clone()];
    assert_eq!(choices(Returning::NewHere), new, "S65, §2.5");
    let old = vec![file, keep, (Filing::Rejected, code("17")), failed];
    assert_eq!(choices(Returning::KnownHere), old, "S65, AB03");
    assert_eq!(choices(Returning::Unsure), old, "TD02: unsure counts as returning");
}
