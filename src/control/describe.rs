//! From a transfer to what an operator sees of it: the row, the timeline, the explanation. Pure.
//!
//! What may be done is not decided here: it is asked of the transfer itself, which is stepped and the result thrown
//! away.

mod parts;

use uuid::Uuid;

use super::views::{Accounted, AccountedItem, Choice, Explain, Line, MOST_ITEMS, Row, Show, short};
use crate::model::{MessageId, OdsCode, Timestamp};
use crate::transfer::chain::{Chain, PARKED_FOR};
use crate::transfer::custody::Filing;
use crate::transfer::delivery::{Delivery, Phase};
use crate::transfer::event::{Act, Event, Verb};
use crate::transfer::gathering::{Gathering, Tally};
use crate::transfer::journal::Entry;
use crate::transfer::outcome::Completeness;
use crate::transfer::reason::{Ending, FilingFault, Hold};
use crate::transfer::response_code::ResponseCode;
use crate::transfer::retry::{FILING_TRIES, GIVE_UP_AFTER, Repeat};
use crate::transfer::{
    Case, Received, ReceivedState, Reception, ReceptionState, Release, ReleaseState, Transfer,
};

/// The kind of transfer, in the word of selections.
pub(super) fn kind(transfer: &Transfer) -> &'static str {
    match &transfer.case {
        Case::Release(_) => "release",
        Case::Received(_) => "received",
        Case::Reception(_) => "reception",
        Case::Outbound(_) => "message",
        Case::Noted(event) => event.kind.name(),
    }
}

/// The party it is with.
pub(super) fn party(transfer: &Transfer) -> Option<&OdsCode> {
    match &transfer.case {
        Case::Release(release) => {
            release.delivery().map(|d| &d.dispatch.to).or_else(|| release.destination())
        }
        Case::Received(received) => Some(&received.arrival.from),
        Case::Reception(reception) => reception.practice().or(Some(&reception.order.establishment)),
        Case::Outbound(outbound) => Some(&outbound.to),
        Case::Noted(event) => Some(&event.establishment),
    }
}

fn delivery(transfer: &Transfer) -> Option<&Delivery> {
    match &transfer.case {
        Case::Release(release) => release.delivery(),
        Case::Received(received) => received.delivery(),
        Case::Outbound(outbound) => outbound.delivery(),
        Case::Reception(_) | Case::Noted(_) => None,
    }
}

/// One transfer in short.
pub(super) fn row(transfer: &Transfer) -> Row {
    Row {
        id: transfer.id,
        kind: kind(transfer).to_owned(),
        state: transfer.label().to_owned(),
        party: party(transfer).cloned(),
        opened_at: transfer.opened_at,
        changed_at: transfer.changed_at,
        attempts: delivery(transfer).map_or(0, |d| d.dispatch.attempts),
        due: if transfer.has_ended() { None } else { transfer.deadline() },
        why: why(transfer),
    }
}

/// Why it waits, or how it ended.
fn why(transfer: &Transfer) -> Option<String> {
    match &transfer.case {
        Case::Release(release) => match &release.state {
            ReleaseState::AwaitingConfirmation { .. } => None,
            ReleaseState::Parked { .. } => Some(parked_for(release)),
            ReleaseState::Preparing { fault, .. } => fault.map(|f| f.words().to_owned()),
            ReleaseState::Delivering { delivery } => delivery.delay().map(|d| d.words()),
            ReleaseState::AwaitingAcknowledgement { .. } => release
                .parts
                .as_ref()
                .filter(|parts| !parts.are_delivered())
                .map(|parts| format!("{} of {} parts delivered", parts.delivered, parts.count)),
            ReleaseState::Held { hold, .. } => Some(hold.words()),
            ReleaseState::Ended { ending, .. } => Some(ended(ending)),
        },
        Case::Received(received) => match &received.state {
            ReceivedState::Receiving { gathering } => Some(parts::progress(&gathering.tally)),
            ReceivedState::Filing { fault, .. } | ReceivedState::Refusing { fault, .. } => {
                fault.map(|f| f.words().to_owned())
            }
            ReceivedState::Acknowledging { delivery } => delivery.delay().map(|d| d.words()),
            ReceivedState::Held { hold, .. } => Some(hold.words()),
            ReceivedState::Ended { ending, .. } => Some(ended(ending)),
        },
        Case::Reception(reception) => match &reception.state {
            ReceptionState::Filing { fault, .. } => fault.map(|f| f.words().to_owned()),
            ReceptionState::Held { hold } => Some(hold.words()),
            ReceptionState::Ended { ending, .. } => Some(ended(ending)),
            ReceptionState::AwaitingRegistration { .. }
            | ReceptionState::Requesting { .. }
            | ReceptionState::Requested { .. }
            | ReceptionState::AwaitingDecision { .. }
            | ReceptionState::Acknowledging { .. } => None,
            ReceptionState::Receiving { gathering } => Some(parts::progress(&gathering.tally)),
        },
        Case::Outbound(outbound) => outbound.delivery().and_then(Delivery::delay).map(|d| d.words()),
        Case::Noted(_) => None,
    }
}

/// How it ended; a response code with its meaning and what to do.
fn ended(ending: &Ending) -> String {
    match ending {
        Ending::NotIntegrated { code } => {
            format!("the practice did not file the record; {}", ResponseCode::parse(code).words())
        }
        other => other.words(),
    }
}

/// The whole timeline.
pub(super) fn show(
    transfer: &Transfer,
    messages: &[Transfer],
    account: Option<Accounted>,
    entries: Vec<Entry>,
    now: Timestamp,
) -> Show {
    let sent = delivery(transfer).map(|d| &d.dispatch);
    let signed = match &transfer.case {
        Case::Release(release) => release.signed,
        Case::Received(received) => received.arrival.signed,
        Case::Reception(reception) => reception.arrival.as_ref().is_some_and(|arrival| arrival.signed),
        Case::Outbound(_) | Case::Noted(_) => false,
    };
    let received = match &transfer.case {
        Case::Received(received) => Some((received.arrival.message_id.clone(), received.arrival.bytes)),
        Case::Reception(reception) => {
            reception.arrival.as_ref().map(|arrival| (arrival.message_id.clone(), arrival.bytes))
        }
        Case::Release(_) | Case::Outbound(_) | Case::Noted(_) => None,
    };
    let message: Option<(MessageId, u64)> =
        received.or_else(|| sent.map(|d| (d.message_id.clone(), d.bytes)));
    let line = |entry: Entry| Line {
        at: entry.at,
        words: entry.what.words(),
        entry: serde_json::to_value(&entry).unwrap_or_default(),
    };
    Show {
        at: now,
        transfer: row(transfer),
        conversation: transfer.conversation,
        message_id: message.as_ref().map(|(id, _)| id.clone()),
        bytes: message.map(|(_, bytes)| bytes),
        signed,
        parts: parts::parts(transfer, messages),
        account,
        timeline: entries.into_iter().map(line).collect(),
    }
}

/// `Type/id` where the id is a UUID; otherwise `Type/~n`, counted from 0, since an id of another form may be a person's
/// number or name.
fn nameless(resource: &str, at: usize) -> String {
    let (kind, id) = resource.split_once('/').unwrap_or((resource, ""));
    let is_uuid = id.get(..36).is_some_and(|id| Uuid::try_parse(id).is_ok()) && id.len() < 60;
    let kind = if kind.bytes().all(|b| b.is_ascii_alphabetic()) { kind } else { "Unknown" };
    if is_uuid { format!("{kind}/{id}") } else { format!("{kind}/~{at}") }
}

/// The account of a record, of which the sealed octets hold every item.
pub(super) fn account(totals: &Completeness, octets: &[u8]) -> Accounted {
    let kept: serde_json::Value = serde_json::from_slice(octets).unwrap_or_default();
    let entries = kept["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut lost = entries.iter().enumerate().filter_map(|(at, entry)| {
        let state = entry["state"].as_str().filter(|s| matches!(*s, "degraded" | "not_clinical"))?;
        let reasons = entry["reasons"].as_array().map(Vec::as_slice).unwrap_or_default();
        let one = entry["reason"].as_str();
        Some(AccountedItem {
            resource: nameless(entry["resource"].as_str()?, at),
            state: state.to_owned(),
            reasons: reasons.iter().filter_map(|r| r.as_str()).chain(one).map(str::to_owned).collect(),
        })
    });
    let items = lost.by_ref().take(MOST_ITEMS).collect();
    let Completeness { mapped, merged, degraded, not_clinical } = *totals;
    Accounted { mapped, merged, degraded, not_clinical, items, more: lost.next().is_some() }
}

/// What happens now, what it waits for, until when, and what follows.
struct Story {
    now: String,
    waits_for: String,
    until: Option<Timestamp>,
    then: String,
    gives_up_at: Option<Timestamp>,
}

/// What it waits for, until when, and what can be done.
pub(super) fn explain(transfer: &Transfer, now: Timestamp) -> Explain {
    let story = match &transfer.case {
        Case::Release(release) => of_release(release),
        Case::Received(received) => of_received(received),
        Case::Reception(reception) => of_reception(reception),
        Case::Outbound(_) | Case::Noted(_) => Story {
            now: "The event is kept and shown. This version does nothing else with events of this kind."
                .to_owned(),
            waits_for: "nothing".to_owned(),
            until: None,
            then: "nothing follows by itself".to_owned(),
            gives_up_at: None,
        },
    };
    Explain {
        at: now,
        transfer: row(transfer),
        now: story.now,
        waits_for: story.waits_for,
        until: story.until,
        then: story.then,
        gives_up_at: story.gives_up_at,
        you_can: choices(transfer, now),
    }
}

fn of_release(release: &Release) -> Story {
    match &release.state {
        ReleaseState::AwaitingConfirmation { until } => Story {
            now: "The release is planned. Nothing leaves before the custody system confirms it.".to_owned(),
            waits_for: "a confirming release event of the same stay".to_owned(),
            until: Some(*until),
            then: "it ends as never confirmed".to_owned(),
            gives_up_at: None,
        },
        ReleaseState::Parked { until, told } => Story {
            now: format!("A practice asks for the record. {}.", parked_for(release)),
            waits_for: "our own reception of the person to end".to_owned(),
            until: Some(*until),
            then: if *told { "the practice is told code 99" } else { "it is reported again" }.to_owned(),
            gives_up_at: release.asked.as_ref().map(|asked| asked.received_at.plus(PARKED_FOR)),
        },
        ReleaseState::Preparing { due, failures, fault, since } => Story {
            now: match fault {
                None => "The record is fetched and the packet is assembled.".to_owned(),
                Some(fault) => format!("The packet could not be assembled: {}.", fault.words()),
            },
            waits_for: "the custody record and a packet made of it".to_owned(),
            until: Some(*due),
            then: format!("it is tried again ({failures} tries failed so far)"),
            gives_up_at: Some(since.plus(GIVE_UP_AFTER)),
        },
        ReleaseState::Delivering { delivery } => on_its_way(delivery, "the record"),
        ReleaseState::AwaitingAcknowledgement { delivery, .. }
            if release.parts.as_ref().is_some_and(|parts| !parts.are_delivered()) =>
        {
            parts::of_going(release, delivery)
        }
        ReleaseState::AwaitingAcknowledgement { delivery, repeat_at } => Story {
            now: "The practice's system has the record. Only the practice's own acknowledgement ends the transfer."
                .to_owned(),
            waits_for: "the practice to file the record and acknowledge it".to_owned(),
            until: *repeat_at,
            then: match repeat_at {
                Some(_) => "the same packet goes again; the practice's system can tell that it is a copy".to_owned(),
                None => "nothing is sent again by itself: this party would refuse a copy".to_owned(),
            },
            gives_up_at: Some(delivery.dispatch.first_attempt_at.plus(GIVE_UP_AFTER)),
        },
        ReleaseState::Held { hold: hold @ Hold::RecheckWanted, delivery: None } if release.recheck_by.is_some() => {
            let then = "the practice that asks is told code 20".to_owned();
            Story { until: release.recheck_by, then, ..held(&hold.words()) }
        }
        ReleaseState::Held { hold, .. } => held(&hold.words()),
        ReleaseState::Ended { ending, listen_until, .. } => over(ending, *listen_until),
    }
}

/// What a parked request waits for.
fn parked_for(release: &Release) -> String {
    match release.asked.as_ref().and_then(|asked| asked.chain.as_ref()) {
        Some(Chain::Unfiled { practice }) => {
            format!("the record from {practice} lies here and is not filed yet; have it filed")
        }
        Some(Chain::Awaited { practice }) => format!("the record asked of {practice} has not come yet"),
        Some(Chain::Broken { .. } | Chain::Full) | None => "it waits for our own reception".to_owned(),
    }
}

fn over(ending: &Ending, listen_until: Option<Timestamp>) -> Story {
    Story {
        now: format!("It has ended: {}.", ended(ending)),
        waits_for: match listen_until {
            Some(_) => "a late answer, which would still be honoured".to_owned(),
            None => "nothing".to_owned(),
        },
        until: listen_until,
        then: "it is kept as it is".to_owned(),
        gives_up_at: None,
    }
}

fn of_filing(due: Timestamp, failures: u32, fault: Option<FilingFault>) -> Story {
    Story {
        now: match fault {
            None => "The record is put where the clinical system takes it from.".to_owned(),
            Some(fault) => format!("The record could not be filed: {}.", fault.words()),
        },
        waits_for: "the folder of received records".to_owned(),
        until: Some(due),
        then: format!(
            "it is tried again ({failures} tries failed so far; after {FILING_TRIES} a person is called)"
        ),
        gives_up_at: None,
    }
}

fn of_gathering(gathering: &Gathering) -> Story {
    let Tally { rows, arrived, damaged } = gathering.tally;
    let damage = if damaged > 0 { format!("; {damaged} came damaged") } else { String::new() };
    Story {
        now: format!("The extract is here; {arrived} of {rows} parts have come{damage}."),
        waits_for: "the other parts of the record".to_owned(),
        until: Some(gathering.until),
        then: "the record is refused as incomplete, code 31; it may be sent again".to_owned(),
        gives_up_at: Some(gathering.until),
    }
}

fn of_received(received: &Received) -> Story {
    match &received.state {
        ReceivedState::Receiving { gathering } => of_gathering(gathering),
        ReceivedState::Filing { due, failures, fault } => of_filing(*due, *failures, *fault),
        ReceivedState::Refusing { due, failures, fault } => Story {
            now: match (fault, received.arrival.refusal) {
                (Some(fault), _) => {
                    format!("Its sender could not be told that it is refused: {}.", fault.words())
                }
                (None, Some(refusal)) => format!("It is refused: {}.", refusal.words()),
                (None, None) => "It is refused.".to_owned(),
            },
            waits_for: "our acknowledgement to be made".to_owned(),
            until: Some(*due),
            then: format!("it is tried again ({failures} tries failed so far)"),
            gives_up_at: None,
        },
        ReceivedState::Acknowledging { delivery } => on_its_way(delivery, "our acknowledgement"),
        ReceivedState::Held { hold, .. } => held(&hold.words()),
        ReceivedState::Ended { ending, .. } => over(ending, None),
    }
}

fn of_reception(reception: &Reception) -> Story {
    let practice = reception.practice().map_or_else(|| "the practice".to_owned(), ToString::to_string);
    let story = |now: &str, waits_for: String, until: Option<Timestamp>, then: &str| Story {
        now: now.to_owned(),
        waits_for,
        until,
        then: then.to_owned(),
        gives_up_at: None,
    };
    match &reception.state {
        ReceptionState::AwaitingRegistration { until } => story(
            "The person is here. No record is asked for before they are registered for good.",
            "a registration decision that is permanent, and PDS to take it".to_owned(),
            Some(*until),
            "it ends as never confirmed",
        ),
        ReceptionState::Requesting { until } => story(
            "Our request for the record is on its way.",
            format!("{practice} to take our request"),
            Some(*until),
            "it ends as undelivered; a record that still comes is taken",
        ),
        ReceptionState::Requested { until, told } => story(
            "The practice's system has our request.",
            format!("{practice} to send the record"),
            Some(*until),
            if *told {
                "it ends as unanswered; a record that still comes is taken"
            } else {
                "silence is reported"
            },
        ),
        ReceptionState::Receiving { gathering } => of_gathering(gathering),
        ReceptionState::Filing { due, failures, fault } => of_filing(*due, *failures, *fault),
        ReceptionState::AwaitingDecision { remind_at, .. } => story(
            "The record lies with the clinical system, which has not said yet what became of it.",
            "the clinical system's filing decision".to_owned(),
            Some(*remind_at),
            "somebody is reminded",
        ),
        ReceptionState::Acknowledging { ending, until, .. } => story(
            &format!("It was decided: {}. Our acknowledgement is on its way.", ended(ending)),
            format!("{practice} to take our acknowledgement"),
            Some(*until),
            "the delay is reported",
        ),
        ReceptionState::Held { hold } => held(&hold.words()),
        ReceptionState::Ended { ending, listen_until, .. } => over(ending, *listen_until),
    }
}

fn held(words: &str) -> Story {
    Story {
        now: format!("It is held: {words}."),
        waits_for: "a person".to_owned(),
        until: None,
        then: "nothing happens by itself".to_owned(),
        gives_up_at: None,
    }
}

fn on_its_way(delivery: &Delivery, what: &str) -> Story {
    let dispatch = &delivery.dispatch;
    let (attempts, to) = (dispatch.attempts, &dispatch.to);
    let gives_up_at = Some(dispatch.first_attempt_at.plus(GIVE_UP_AFTER));
    let story = |now: String, until: Option<Timestamp>, then: &str| Story {
        now,
        waits_for: format!("{to} to take {what}"),
        until,
        then: then.to_owned(),
        gives_up_at,
    };
    match &delivery.phase {
        Phase::Queued { due, why: None } => {
            story(format!("The packet with {what} is about to go to {to}."), Some(*due), "it is sent")
        }
        Phase::Queued { due, why: Some(why) } => story(
            format!("{attempts} attempts to reach {to} so far. The last one: {}.", why.words()),
            Some(*due),
            "the same packet goes again, with the same identity",
        ),
        Phase::Sending { since } => story(
            format!("Attempt {attempts} to {to} is under way since {}.", since.to_ebxml()),
            None,
            "its answer decides",
        ),
        Phase::Restamping { .. } => story(
            "The packet's time ran out; the same record gets a new envelope.".to_owned(),
            None,
            "it is sent again",
        ),
    }
}

/// What an operator can do, each tried on the transfer itself.
fn choices(transfer: &Transfer, now: Timestamp) -> Vec<Choice> {
    let id = short(&transfer.id);
    let mut choices = Vec::new();
    if allows(transfer, Verb::Retry, now) {
        let effect = if transfer.has_ended() || sends_anew(transfer) {
            "Sends the same record again, in the same conversation, under a new message id."
        } else if transfer.waits_for_person() {
            "Takes it up again. Do this once what held it is mended."
        } else {
            "Tries now instead of waiting."
        };
        choices.push(Choice {
            command: format!("throughcare retry {id} --reason \"...\""),
            effect: effect.to_owned(),
        });
    }
    if allows(transfer, Verb::Cancel, now) {
        choices.push(Choice {
            command: format!("throughcare cancel {id} --reason \"...\""),
            effect: "Ends it. What was already sent cannot be recalled.".to_owned(),
        });
    }
    if allows(transfer, Verb::Decide(Filing::Integrated), now) {
        choices.push(Choice {
            command: format!("throughcare decide {id} --integrated --reason \"...\""),
            effect: "Says in the clinical system's place what became of the record, and tells its sender. \
                     For other decisions: throughcare decide --help."
                .to_owned(),
        });
    }
    if !choices.is_empty() {
        choices.push(Choice {
            command: format!("throughcare show {id}"),
            effect: "Shows every attempt, answer and delay so far.".to_owned(),
        });
    }
    choices
}

/// Whether a retry is a transmission of its own: of a record that lies with a party that tells no copy from another (S46).
fn sends_anew(transfer: &Transfer) -> bool {
    let once = |delivery: &Delivery| delivery.dispatch.contract.repeat == Repeat::Never;
    transfer.label() == "awaiting-acknowledgement" && delivery(transfer).is_some_and(once)
}

/// Whether the transfer would take the act: it is stepped, and the result thrown away.
pub(super) fn allows(transfer: &Transfer, verb: Verb, now: Timestamp) -> bool {
    let act = Act { verb, reason: String::new(), uid: 0 };
    transfer.step(&Event::Act(act), now).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_may_be_a_persons_is_not_shown() {
        let shown = |resource| nameless(resource, 3);
        let uuid = "Observation/15d6c748-100d-46e3-a8bc-dfea5f2db2bd-HD-1";
        assert_eq!(shown(uuid), uuid);
        assert_eq!(shown("Observation/9990000018-1"), "Observation/~3");
        assert_eq!(shown("Patient/example"), "Patient/~3");
        assert_eq!(shown("9990000018/x"), "Unknown/~3");
    }
}
