//! The parts of a large record, for an operator: how many went or came, and which are missing.

use super::Story;
use crate::control::views::{MOST_PARTS, PartItem, Parts};
use crate::model::Timestamp;
use crate::transfer::delivery::Delivery;
use crate::transfer::gathering::Tally;
use crate::transfer::outbound::{Outbound, PartAnswer, Saying};
use crate::transfer::retry::GIVE_UP_AFTER;
use crate::transfer::{Case, Release, Transfer};

/// The parts of a transfer; none where it has none, or was refused without them. `messages` are those that go their own way.
pub(super) fn parts(transfer: &Transfer, messages: &[Transfer]) -> Option<Parts> {
    match &transfer.case {
        Case::Release(release) => sent(release, messages),
        Case::Received(_) | Case::Reception(_) => received(transfer),
        Case::Outbound(_) | Case::Noted(_) => None,
    }
}

/// How many are here, in words.
pub(super) fn progress(tally: &Tally) -> String {
    format!("{} of {} parts are here", tally.arrived, tally.rows)
}

fn received(transfer: &Transfer) -> Option<Parts> {
    let Some(gathering) = transfer.gathering() else { return all_here(transfer) };
    Some(Parts {
        direction: "received".to_owned(),
        messages: gathering.tally.rows,
        done: gathering.tally.arrived,
        failed: gathering.tally.damaged,
        bytes: gathering.bytes,
        leave_at: None,
        until: Some(gathering.until),
        missing: Vec::new(),
        more: false,
    })
}

fn all_here(transfer: &Transfer) -> Option<Parts> {
    let arrival = match &transfer.case {
        Case::Received(received) => &received.arrival,
        Case::Reception(reception) => reception.arrival.as_ref()?,
        Case::Release(_) | Case::Outbound(_) | Case::Noted(_) => return None,
    };
    let large = arrival.large.as_ref().filter(|large| large.tally.is_complete())?;
    Some(Parts {
        direction: "received".to_owned(),
        messages: large.tally.rows,
        done: large.tally.arrived,
        failed: 0,
        bytes: large.bytes,
        leave_at: None,
        until: None,
        missing: Vec::new(),
        more: false,
    })
}

fn sent(release: &Release, messages: &[Transfer]) -> Option<Parts> {
    let parts = release.parts.as_ref()?;
    let mut missing: Vec<PartItem> = messages.iter().filter_map(item).collect();
    missing.sort_by(|a, b| a.message_id.as_str().cmp(b.message_id.as_str()));
    let more = missing.len() > MOST_PARTS;
    missing.truncate(MOST_PARTS);
    let until: Option<Timestamp> = release.parts_until();
    Some(Parts {
        direction: "sent".to_owned(),
        messages: u64::from(parts.count),
        done: u64::from(parts.delivered),
        failed: u64::from(parts.failed),
        bytes: parts.bytes,
        leave_at: parts.leave_at,
        until: until.filter(|_| !parts.are_delivered()),
        missing,
        more,
    })
}

/// A part that was not delivered, or that the practice refused.
fn item(message: &Transfer) -> Option<PartItem> {
    let Case::Outbound(outbound) = &message.case else { return None };
    let Outbound { saying: Saying::Part { part, answer }, .. } = &**outbound else { return None };
    let code = match answer {
        Some(PartAnswer::Refused(code)) => Some(code.clone()),
        Some(PartAnswer::Taken) | None => None,
    };
    let state = message.label();
    (state != "sent" || code.is_some()).then(|| PartItem {
        message_id: outbound.message_id.clone(),
        kind: part.word().to_owned(),
        state: state.to_owned(),
        attempts: outbound.delivery().map_or(0, |delivery| delivery.dispatch.attempts),
        code,
    })
}

/// What happens while the parts of a record go.
pub(super) fn of_going(release: &Release, delivery: &Delivery) -> Story {
    let (delivered, count, leave) =
        release.parts.as_ref().map_or((0, 0, None), |parts| (parts.delivered, parts.count, parts.leave_at));
    let gives_up_at = Some(delivery.dispatch.first_attempt_at.plus(GIVE_UP_AFTER));
    match leave {
        None => Story {
            now: format!(
                "The practice's system has the extract. Its {count} parts wait for leave to be sent."
            ),
            waits_for: "the practice's system to give leave".to_owned(),
            until: release.parts_until(),
            then: "it is reported; leave that comes later is still taken".to_owned(),
            gives_up_at,
        },
        Some(_) => Story {
            now: format!("The parts of the record are on their way: {delivered} of {count} delivered."),
            waits_for: "the practice's system to take the others".to_owned(),
            until: release.parts_until(),
            then: "what was not delivered is given up, and the practice will refuse the record as incomplete"
                .to_owned(),
            gives_up_at,
        },
    }
}
