//! What comes back to a request: the transport's word, the practice's, and the record itself.

use super::{Reception, ReceptionState, parts};
use crate::model::{MessageId, Timestamp, TransferId};
use crate::transfer::Step;
use crate::transfer::custody::Returning;
use crate::transfer::event::{Acknowledgement, Arrival};
use crate::transfer::journal::What;
use crate::transfer::outbound::{Code, Fate, MessageKind, Report, Saying};
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::{Ending, Hold, Mismatch, NoTransfer, PrepareFault};
use crate::transfer::refusal::Refusal;
use crate::transfer::retry::{LISTEN_FOR, UNDELIVERED_AFTER};

/// One of our messages ended.
pub(super) fn on_reported(step: &mut Step, report: &Report, now: Timestamp) -> Option<()> {
    step.note_message(report);
    match report.kind {
        MessageKind::Request => on_request_ended(step, report, now),
        MessageKind::Acknowledgement => on_acknowledgement_ended(step, report, now),
        MessageKind::Continue => {
            parts::on_leave_ended(step, report, now);
            Some(())
        }
        MessageKind::PartAcknowledgement | MessageKind::Part => Some(()),
    }
}

fn on_request_ended(step: &mut Step, report: &Report, now: Timestamp) -> Option<()> {
    let reception = step.reception()?;
    let request = reception.request.as_mut()?;
    let waits = matches!(reception.state, ReceptionState::Requesting { .. });
    match report.fate {
        Fate::Delivered => {
            let first = request.delivered_at.is_none();
            request.delivered_at.get_or_insert(now);
            if waits {
                // Silence is told after a day (F21), and ends the wait after eight (Q22).
                let until = now.plus(UNDELIVERED_AFTER);
                reception.state = ReceptionState::Requested { until, told: false };
            }
            if first {
                step.publish(OutcomeKind::Requested, None, "the practice's system took our request", now);
            }
        }
        // The record may have overtaken the news; then the news changes nothing (F22).
        _ if !waits && !matches!(reception.state, ReceptionState::Requested { .. }) => {}
        Fate::NotComposed(PrepareFault::SamePremises) => shut(step, NoTransfer::Internal, now),
        Fate::NotComposed(PrepareFault::DestinationUnknown) => shut(step, NoTransfer::NotInDirectory, now),
        Fate::NotComposed(PrepareFault::DestinationClosed) => shut(step, NoTransfer::TakesNoPart, now),
        Fate::NotComposed(_) | Fate::Refused(_) | Fate::GaveUp | Fate::Stopped => {
            step.end_reception(Ending::RequestUndelivered, now);
        }
    }
    Some(())
}

fn shut(step: &mut Step, why: NoTransfer, now: Timestamp) {
    if let Some(reception) = step.reception() {
        // Nothing left, so nothing can come; a corrected event may ask again.
        reception.request = None;
    }
    step.end_reception(Ending::NoTransfer { why }, now);
}

fn on_acknowledgement_ended(step: &mut Step, report: &Report, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let reception = step.reception()?;
    // An earlier one, of a decision that was overturned (Q18) or of an extract that was refused (Q19), ends nothing.
    if acknowledgement_id(id, reception).as_ref() != Some(&report.message_id) {
        return Some(());
    }
    let ending = match &reception.state {
        ReceptionState::Acknowledging { ending, .. } => Some(ending.clone()),
        // A late error overturned the delivery (wire reference §1.5).
        ReceptionState::Ended { ending: Ending::Decided { .. } | Ending::Refused { .. }, .. } => None,
        ReceptionState::AwaitingRegistration { .. }
        | ReceptionState::Requesting { .. }
        | ReceptionState::Requested { .. }
        | ReceptionState::Receiving { .. }
        | ReceptionState::Filing { .. }
        | ReceptionState::AwaitingDecision { .. }
        | ReceptionState::Held { .. }
        | ReceptionState::Ended { .. } => return Some(()),
    };
    if report.fate != Fate::Delivered {
        // What was decided stands; only the sender does not know (TD31).
        step.tell_lost_acknowledgement(report.fate, now);
    }
    if let Some(ending) = ending {
        step.end_reception(ending, now);
    }
    Some(())
}

/// The practice answers the request (Q2, Q3). Whether the record comes is decided by the record (§2.4).
pub(super) fn on_acknowledged(step: &mut Step, ack: &Acknowledgement, now: Timestamp) -> Option<()> {
    let reception = step.reception()?;
    let request = reception.request.as_mut()?;
    let ours = ack.refers_to.as_ref().is_none_or(|id| *id == request.message_id || *id == request.request_id);
    let waits =
        matches!(reception.state, ReceptionState::Requesting { .. } | ReceptionState::Requested { .. });
    let counts = ours && waits;
    // A late one never takes a state back (F22).
    request.acknowledged |= counts && ack.positive;
    step.entries.push(What::RequestAnswered { positive: ack.positive, code: ack.code.clone(), counts });
    if ack.positive || !counts {
        return Some(());
    }
    let code = ack.code.clone().unwrap_or_else(|| "unknown".to_owned());
    step.end_reception(Ending::RequestRefused { code }, now);
    Some(())
}

/// The record arrived (§2.3). One that names another person, sender or request is held for a person, and nothing of it is
/// filed (hazard H1, F31).
pub(super) fn on_arrived(step: &mut Step, arrival: &Arrival, now: Timestamp) -> Option<()> {
    let reception = step.reception().filter(|reception| reception.takes_extract())?;
    reception.arrival = Some(arrival.clone());
    let mismatch = mismatch(reception, arrival);
    reception.state = ReceptionState::Filing { due: now, failures: 0, fault: None };
    let Arrival { bytes, attachments, signed, .. } = *arrival;
    step.entries.push(What::Arrived { bytes, attachments, signed });
    if let Some(refusal) = arrival.refusal {
        refuse(step, refusal, now);
    } else if let Some(mismatch) = mismatch {
        step.hold_reception(Hold::WrongRecord(mismatch), now);
    } else if let Some(large) = arrival.large.as_ref().filter(|large| !large.tally.is_complete()) {
        parts::await_parts(step, arrival, large, now);
    }
    Some(())
}

fn mismatch(reception: &Reception, arrival: &Arrival) -> Option<Mismatch> {
    let request = reception.request.as_ref()?;
    let number = reception.order.identity.verified_number();
    if arrival.refusal.is_none() && arrival.nhs_number.as_ref() != number {
        Some(Mismatch::Person)
    } else if arrival.to != reception.order.establishment {
        Some(Mismatch::Destination)
    } else if arrival.from != request.practice || !arrival.system_known {
        Some(Mismatch::Sender)
    } else if arrival.request_id.as_ref().is_some_and(|id| *id != request.request_id) {
        Some(Mismatch::Request)
    } else {
        None
    }
}

/// Tells the sender that the record is not filed, and why.
pub(super) fn refuse(step: &mut Step, refusal: Refusal, now: Timestamp) {
    step.entries.push(What::Refused { refusal });
    step.publish(OutcomeKind::NotFiled, Some(refusal.word()), refusal.words(), now);
    let code = Code { code: refusal.code().to_owned(), words: refusal.words().to_owned() };
    acknowledge(step, Some(code), Ending::Refused { refusal }, now);
}

/// Sends the final acknowledgement (M8) in the commit of the decision (TD31).
pub(super) fn acknowledge(step: &mut Step, refusal: Option<Code>, ending: Ending, now: Timestamp) {
    let id = step.next.id;
    let Some(reception) = step.reception() else { return };
    let Some(message_id) = acknowledgement_id(id, reception) else { return };
    let Some(arrival) = &reception.arrival else { return };
    let extract = arrival.message_id.clone();
    let ends = (arrival.to.clone(), arrival.from.clone());
    let until = now.plus(UNDELIVERED_AFTER);
    reception.state = ReceptionState::Acknowledging { ending, until, told: false };
    let saying = Saying::Acknowledgement { refers_to: extract, refusal };
    step.send(saying, ends, message_id, now.plus(LISTEN_FOR), now);
}

/// The identity of the newest acknowledgement: another one for each extract, and for each decision on it (Q18, Q19).
fn acknowledgement_id(id: TransferId, reception: &Reception) -> Option<MessageId> {
    let extract = &reception.arrival.as_ref()?.message_id;
    let number = reception.filings.len().to_string();
    Some(MessageId::derived(&["acknowledgement", &id.to_string(), extract.as_str(), &number]))
}

/// The code for a record that is another person's, or the wrong one (S65).
pub(super) fn wrong_record(returning: Returning) -> Refusal {
    match returning {
        Returning::NewHere => Refusal::WrongRecord,
        Returning::KnownHere | Returning::Unsure => Refusal::WrongRecordReturning,
    }
}
