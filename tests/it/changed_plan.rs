//! A plan that changes before anything was sent is the plan: no packet made for an earlier one may leave (custody
//! reference §3.2, hazard H1).

use serde_json::{Value, json};
use throughcare::model::{EventId, Timestamp, TransferId};
use throughcare::transfer::effect::Effect;
use throughcare::transfer::event::{Act, Basis, Event, Verb};
use throughcare::transfer::reason::PrepareFault;
use throughcare::transfer::{Case, Transfer};

use crate::{control, unchanged};

const STAY: &str = "stay-1";

/// The stay's event number `seq`, whose record is `record-<seq>`.
fn event(seq: u64, change: impl FnOnce(&mut Value)) -> Event {
    let mut json = control::release(STAY, "pds");
    if seq > 1 {
        json["event_id"] = json!(EventId::derived(&["event", STAY, &seq.to_string()]).to_string());
    }
    json["seq"] = json!(seq);
    json["kind"]["release"]["certainty"] = json!("happened");
    json["kind"]["release"]["record_ref"] = json!(format!("record-{seq}"));
    change(&mut json);
    Event::Custody(Box::new(serde_json::from_value(json).unwrap()))
}

fn opened(change: impl FnOnce(&mut Value), now: Timestamp) -> Transfer {
    Transfer::open(TransferId::derived(&["t"]), &event(1, change), now).unwrap().next
}

fn after(transfer: &Transfer, event: &Event, now: Timestamp) -> Transfer {
    transfer.step(event, now).unwrap().next
}

/// The sequence number of the event that is prepared when the deadline passes.
fn prepares(transfer: &Transfer, now: Timestamp) -> Option<u64> {
    match transfer.step(&Event::Due, now).unwrap().effect {
        Some(Effect::Prepare { order, .. }) => order.map(|order| order.seq),
        Some(_) | None => None,
    }
}

fn cancel() -> Event {
    let (uid, reason) = (0, "entered in error".to_owned());
    Event::Act(Act { verb: Verb::Cancel, reason, uid })
}

#[test]
fn work_for_an_earlier_event_that_ends_late_is_not_taken_for_the_later_ones() {
    let now = throughcare::clock::now();
    let changed = after(&opened(|_| (), now), &event(2, |_| ()), now);
    assert_eq!(prepares(&changed, now), Some(2));
    let stale = unchanged::prepared(STAY, now);
    assert!(changed.step(&stale, now).is_err(), "it holds the record, and the practice, of the earlier plan");
    let basis = Basis::of_event(EventId::derived(&["event", STAY]));
    let fault = PrepareFault::DestinationUnknown;
    assert!(changed.step(&Event::Unprepared { basis, fault }, now).is_err(), "nor does its fault concern us");
}

#[test]
fn a_packet_that_never_left_is_made_anew_and_one_that_left_is_not() {
    let now = throughcare::clock::now();
    let ready = after(&opened(|_| (), now), &unchanged::prepared(STAY, now), now);
    assert_eq!(ready.label(), "delivering");
    assert_eq!(prepares(&after(&ready, &event(2, |_| ()), now), now), Some(2), "no attempt had begun");
    let sent = after(&ready, &Event::Due, now);
    let late = after(&sent, &event(2, |_| ()), now);
    assert_eq!(late.label(), "delivering", "what was sent cannot be recalled");
    let Case::Release(release) = &late.case else { panic!("it stays a release") };
    assert_eq!(release.order.as_ref().map(|order| order.seq), Some(1));
}

#[test]
fn a_release_that_its_plan_ended_is_taken_up_by_a_new_plan() {
    let now = throughcare::clock::now();
    let ready = after(&opened(|_| (), now), &unchanged::prepared(STAY, now), now);
    let sensitive = opened(|json| json["identity"]["sensitive"] = json!("yes"), now);
    for ended in [after(&opened(|_| (), now), &cancel(), now), after(&ready, &cancel(), now), sensitive] {
        assert_eq!(ended.label(), "cancelled");
        assert_eq!(
            prepares(&after(&ended, &event(2, |_| ()), now), now),
            Some(2),
            "or it never reaches anybody"
        );
    }
    let sent = after(&after(&ready, &Event::Due, now), &cancel(), now);
    assert_eq!(after(&sent, &event(2, |_| ()), now).label(), "cancelled", "the first may have arrived");
}
