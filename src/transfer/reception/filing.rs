//! From a record that arrived to the clinical system's word on it, and that word to its sender.

use std::time::Duration;

use super::answers::{acknowledge, refuse, wrong_record};
use super::{ReceptionState, gate};
use crate::model::Timestamp;
use crate::transfer::Step;
use crate::transfer::custody::{CustodyEvent, Filing, Returning};
use crate::transfer::effect::Effect;
use crate::transfer::event::{Act, Filed, Verb};
use crate::transfer::journal::What;
use crate::transfer::outbound::Code;
use crate::transfer::outcome::OutcomeKind;
use crate::transfer::reason::{Delay, Ending, FilingFault, Hold, Remedy};
use crate::transfer::refusal::Refusal;
use crate::transfer::retry::{self, FILING_TRIES};

const DAY: Duration = Duration::from_secs(86_400);
/// When somebody is reminded of a record that nobody decides on: after two, three and seven days, then weekly (S79, F36).
const REMINDERS: [Duration; 3] = [Duration::from_secs(2 * 86_400), DAY, Duration::from_secs(4 * 86_400)];
const REMIND_EVERY: Duration = Duration::from_secs(7 * 86_400);

/// Asks for the record to be put where the clinical system takes it from.
pub(super) fn file(step: &mut Step) {
    let Some(arrival) = step.reception().and_then(|reception| reception.arrival.clone()) else { return };
    step.effect = Some(Effect::File { arrival: Box::new(arrival), message_id: None });
}

pub(super) fn on_filed(step: &mut Step, filed: &Filed, now: Timestamp) -> Option<()> {
    let reception = step.reception()?;
    if !matches!(reception.state, ReceptionState::Filing { .. }) {
        return None;
    }
    reception.completeness = filed.completeness;
    reception.account.clone_from(&filed.account);
    let remind_at = now.plus(REMINDERS[0]);
    reception.state = ReceptionState::AwaitingDecision { since: now, remind_at, reminders: 0 };
    step.entries.push(What::Filed);
    step.publish(OutcomeKind::Filed, None, "the record arrived and lies with the clinical system", now);
    if let Some(filing) = filed.decision {
        decide(step, filing, now);
    }
    Some(())
}

pub(super) fn on_not_filed(step: &mut Step, why: FilingFault, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let ReceptionState::Filing { due, failures, fault } = &mut step.reception()?.state else { return None };
    *failures += 1;
    *fault = Some(why);
    *due = now.plus(retry::unprepared(*failures, id));
    let (until, tries) = (*due, *failures);
    match why.remedy() {
        Remedy::Time if tries < FILING_TRIES => {
            step.entries.push(What::Waiting { until, why: Delay::Filing(why) });
        }
        Remedy::Time | Remedy::Person => step.hold_reception(Hold::Filing(why), now),
    }
    Some(())
}

/// Nobody has decided (S79).
pub(super) fn remind(step: &mut Step, now: Timestamp) {
    let Some(reception) = step.reception() else { return };
    let ReceptionState::AwaitingDecision { remind_at, reminders, .. } = &mut reception.state else { return };
    *reminders += 1;
    let next = usize::try_from(*reminders).ok().and_then(|n| REMINDERS.get(n));
    *remind_at = now.plus(*next.unwrap_or(&REMIND_EVERY));
    step.entries.push(What::Undecided);
    let words = "a received record waits for the clinical system to file it or to refuse it";
    step.publish(OutcomeKind::Held, Some("filing_undecided"), words, now);
}

/// The clinical system says what it did with the record (Q12–Q15, Q18).
pub(super) fn on_decided(
    step: &mut Step,
    event: &CustodyEvent,
    filing: Filing,
    now: Timestamp,
) -> Option<()> {
    let reception = step.reception()?;
    let theirs =
        (&event.source, &event.establishment) == (&reception.order.source, &reception.order.establishment);
    if !theirs || !is_a_choice(reception.returning, filing) || !takes_decision(&reception.state, filing) {
        return None;
    }
    step.note_event(event);
    decide(step, filing, now);
    Some(())
}

/// Whether the person's record may be decided on so: whoever is new has no old record to keep (S65, §2.5).
fn is_a_choice(returning: Returning, filing: Filing) -> bool {
    match filing {
        Filing::Suppressed => returning != Returning::NewHere,
        Filing::Integrated
        | Filing::FiledAsAttachment
        | Filing::Rejected
        | Filing::Failed
        | Filing::Deferred => true,
    }
}

/// Whether the record can still be decided on, whoever decides: once, but for a filing that failed.
fn takes_decision(state: &ReceptionState, filing: Filing) -> bool {
    match state {
        ReceptionState::AwaitingDecision { .. } => true,
        // A filing that failed may succeed after all (Q18, F42). Its sender was answered, so nothing is left to defer.
        ReceptionState::Acknowledging { ending, .. } | ReceptionState::Ended { ending, .. } => {
            *ending == Ending::Decided { filing: Filing::Failed }
                && !matches!(filing, Filing::Failed | Filing::Deferred)
        }
        ReceptionState::AwaitingRegistration { .. }
        | ReceptionState::Requesting { .. }
        | ReceptionState::Requested { .. }
        | ReceptionState::Receiving { .. }
        | ReceptionState::Filing { .. }
        | ReceptionState::Held { .. } => false,
    }
}

fn decide(step: &mut Step, filing: Filing, now: Timestamp) {
    step.entries.push(What::Decided { filing });
    let Some(reception) = step.reception().filter(|_| filing != Filing::Deferred) else { return };
    reception.filings.push(filing);
    let returning = reception.returning;
    let refusal =
        filing.code(returning).map(|code| Code { code: code.to_owned(), words: filing.words().to_owned() });
    acknowledge(step, refusal, Ending::Decided { filing }, now);
    let (kind, words) = match filing {
        Filing::Integrated => (OutcomeKind::Integrated, "the record is filed, and its sender is told so"),
        Filing::Suppressed => (OutcomeKind::Suppressed, "the record is stored beside the one that is kept"),
        Filing::FiledAsAttachment | Filing::Rejected | Filing::Failed | Filing::Deferred => {
            (OutcomeKind::NotFiled, "the record is not filed, and its sender is told so")
        }
    };
    step.publish(kind, Some(filing.as_str()), words, now);
}

pub(super) fn on_act(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    let reception = step.reception()?;
    let returning = reception.returning;
    let note = What::Act { act: act.clone() };
    match (&mut reception.state, act.verb) {
        // In the clinical system's place, under the same rules (S63): who and why stands before what.
        (state, Verb::Decide(filing)) if is_a_choice(returning, filing) && takes_decision(state, filing) => {
            step.entries.push(note);
            decide(step, filing, now);
            return Some(());
        }
        (ReceptionState::Filing { due, .. }, Verb::Retry) => *due = now,
        (ReceptionState::Held { hold: Hold::Filing(_) }, Verb::Retry) => {
            reception.state = ReceptionState::Filing { due: now, failures: 0, fault: None };
        }
        (ReceptionState::Held { hold: Hold::Filing(_) }, Verb::Cancel) => {
            step.entries.push(note);
            refuse(step, Refusal::FilingFailed, now);
            return Some(());
        }
        // 28 is preselected, 17 for a returning patient; nothing of a wrong record is ever filed (§2.3).
        (ReceptionState::Held { hold: Hold::WrongRecord(_) }, Verb::Cancel) => {
            step.entries.push(note);
            refuse(step, wrong_record(returning), now);
            return Some(());
        }
        (ReceptionState::Held { hold }, Verb::Retry) if !matches!(hold, Hold::WrongRecord(_)) => {
            step.entries.push(note);
            gate(step, now);
            return Some(());
        }
        (ReceptionState::AwaitingRegistration { .. } | ReceptionState::Held { .. }, Verb::Cancel) => {
            step.entries.push(note);
            step.end_reception(Ending::Cancelled, now);
            return Some(());
        }
        _ => return None,
    }
    step.entries.push(note);
    Some(())
}
