//! The parts of a large record, for an operator: how many went or came, and which are missing.

use crate::control::views::{MOST_PARTS, PartItem, Parts};
use crate::model::Timestamp;
use crate::transfer::outbound::{Outbound, PartAnswer, Saying};
use crate::transfer::{Case, Release, Transfer};

/// The parts of a transfer; none where it has none, or they are all here. `messages` are those that go their own way.
pub(super) fn parts(transfer: &Transfer, messages: &[Transfer]) -> Option<Parts> {
    match &transfer.case {
        Case::Release(release) => sent(release, messages),
        Case::Received(_) | Case::Reception(_) => received(transfer),
        Case::Outbound(_) | Case::Noted(_) => None,
    }
}

fn received(transfer: &Transfer) -> Option<Parts> {
    let gathering = transfer.gathering()?;
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
