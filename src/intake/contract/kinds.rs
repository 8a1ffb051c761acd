//! Checks what each kind of event carries (custody reference §3.3 to §3.8).

use std::collections::BTreeSet;
use std::time::Duration;

use super::check::Findings;
use super::event::{CLOCK_SKEW, envelope};
use super::{Rules, WarningCode};
use crate::intake::wire;
use crate::model::{EventId, OdsCode, Timestamp, TransferId};
use crate::transfer::custody::{
    Answer, CaseRef, Correction, CorrectionAction, CriticalMedicine, CustodyKind, Death, Destination, DiedAt,
    FilingDecision, LanguageTag, Medicines, Move, PdsUpdate, Reception, ReceptionKind, RecordRef,
    RegistrationDecision, Release, Returning, StaffRole, SummaryRef,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// A release is planned at most this far ahead.
const TWELVE_MONTHS: Duration = Duration::from_secs(366 * 24 * 3600);

/// What happened: exactly one of the kinds.
pub fn kind(
    m: &wire::CustodyEvent,
    occurred_at: Option<Timestamp>,
    rules: &Rules,
    now: Timestamp,
    f: &mut Findings,
) -> Option<CustodyKind> {
    let mut found: Vec<Option<CustodyKind>> = Vec::new();
    if let Some(body) = &m.reception {
        found.push(
            f.within("reception", |f| reception(body, occurred_at, now, f)).map(CustodyKind::Reception),
        );
    }
    if let Some(body) = &m.release {
        let release = f.within("release", |f| release(body, rules, now, f));
        found.push(release.map(Box::new).map(CustodyKind::Release));
    }
    if let Some(body) = &m.r#move {
        found.push(f.within("move", |f| movement(body, rules, f)).map(CustodyKind::Move));
    }
    if let Some(body) = &m.registration_decision {
        let decision = f.within("registration_decision", |f| decision(body, now, f));
        found.push(decision.map(Box::new).map(CustodyKind::RegistrationDecision));
    }
    if let Some(body) = &m.correction {
        found.push(f.within("correction", |f| correction(body, rules, now, f)).map(CustodyKind::Correction));
    }
    if let Some(body) = &m.death {
        found.push(f.within("death", |f| death(body, now, f)).map(CustodyKind::Death));
    }
    if let Some(body) = &m.filing_decision {
        let decision = f.within("filing_decision", |f| filing_decision(body, f));
        found.push(decision.map(CustodyKind::FilingDecision));
    }
    if found.len() != 1 {
        let rule = "exactly one of reception, release, move, registration_decision, correction, death and filing_decision must be given";
        f.fault("kind", rule);
        return None;
    }
    found.pop().flatten()
}

fn reception(
    m: &wire::Reception,
    occurred_at: Option<Timestamp>,
    now: Timestamp,
    f: &mut Findings,
) -> Option<Reception> {
    let arrived_at = f.moment("arrived_at", &m.arrived_at);
    if let Some((arrived, occurred)) = arrived_at.zip(occurred_at)
        && apart(arrived, occurred) > DAY
    {
        f.warn("arrived_at", WarningCode::Doubtful, "is more than 24 hours from occurred_at");
    }
    let kind = f.word_or_other::<wire::ReceptionKind>("kind", m.kind, ReceptionKind::Other);
    let registration = f.word::<wire::Registration>("registration", m.registration);
    Some(Reception {
        returning: f.optional_word::<wire::Returning>("returning", m.returning, Returning::Unsure),
        critical_medicines: medicines(&m.critical_medicines, f),
        arrived_with: f.optional_word::<wire::Medicines>("arrived_with", m.arrived_with, Medicines::Unknown),
        next_dose_due: next_dose(m.next_dose_due.as_deref(), now, f),
        arrived_at: arrived_at?,
        kind: kind?,
        registration: registration?,
    })
}

fn release(m: &wire::Release, rules: &Rules, now: Timestamp, f: &mut Findings) -> Option<Release> {
    let release_at = f.moment("release_at", &m.release_at);
    if release_at.is_some_and(|at| at > now.plus(TWELVE_MONTHS)) {
        f.fault("release_at", "is more than 12 months ahead");
    }
    let certainty = f.word::<wire::ReleaseCertainty>("certainty", m.certainty);
    let kind = f.word::<wire::ReleaseKind>("kind", m.kind);
    let destination = destination(m, rules, f);
    let record_ref = f.required("record_ref", &m.record_ref, RecordRef::parse);
    let record_as_of = f.moment("record_as_of", &m.record_as_of);
    Some(Release {
        destination,
        supply_days: days("supply_days", m.supply_days, 28, f),
        opioid_script_days: days("opioid_script_days", m.opioid_script_days, 14, f),
        critical_medicines: medicines(&m.critical_medicines, f),
        next_dose_due: next_dose(m.next_dose_due.as_deref(), release_at.unwrap_or(now), f),
        entries_after_send: m.entries_after_send.unwrap_or(0),
        summary_ref: f.optional("summary_ref", m.summary_ref.as_deref(), SummaryRef::parse),
        release_at: release_at?,
        certainty: certainty?,
        kind: kind?,
        record_ref: record_ref?,
        record_as_of: record_as_of?,
    })
}

/// Where to, and who says so. A destination nobody can read must not become a wait for somebody's request, so it is
/// a fault although the field is optional.
fn destination(m: &wire::Release, rules: &Rules, f: &mut Findings) -> Option<Destination> {
    let Some(text) = m.destination.as_deref().filter(|t| !t.is_empty()) else {
        if m.destination_basis != 0 {
            f.warn("destination_basis", WarningCode::FieldDropped, "was dropped: there is no destination");
        }
        return None;
    };
    let practice = f.required("destination", text, OdsCode::parse);
    let basis = f.word::<wire::DestinationBasis>("destination_basis", m.destination_basis);
    let practice = practice?;
    if rules.establishments.as_ref().is_some_and(|known| known.contains_key(&practice)) {
        f.fault("destination", "is a secure establishment: publish a move (use_transfer)");
    }
    Some(Destination { practice, basis: basis? })
}

fn movement(m: &wire::Move, rules: &Rules, f: &mut Findings) -> Option<Move> {
    let from = f.required("from", &m.from, OdsCode::parse);
    let to = f.required("to", &m.to, OdsCode::parse);
    if from.is_some() && from == to {
        f.fault("to", "is the same as from");
    }
    if let (Some(from), Some(to), Some(known)) = (&from, &to, &rules.establishments)
        && ![from, to].into_iter().any(|code| known.contains_key(code))
    {
        f.fault("from", "is not served here, and neither is to");
    }
    let departed_at = f.moment("departed_at", &m.departed_at);
    let arrived_at = f.optional("arrived_at", m.arrived_at.as_deref(), Timestamp::parse);
    if let Some((departed, arrived)) = departed_at.zip(arrived_at) {
        if arrived < departed {
            f.fault("arrived_at", "is before departed_at");
        } else if arrived.since(departed) > WEEK {
            f.warn("arrived_at", WarningCode::Doubtful, "is more than 7 days after departed_at");
        }
    }
    let database = f.word::<wire::Database>("database", m.database);
    let medicines_sent = f.word::<wire::Medicines>("medicines_sent", m.medicines_sent);
    if medicines_sent == Some(Medicines::Unknown) {
        f.fault("medicines_sent", "must be full, part or none");
    }
    Some(Move {
        decision_event: f.optional("decision_event", m.decision_event.as_deref(), EventId::parse),
        from: from?,
        to: to?,
        departed_at: departed_at?,
        arrived_at,
        database: database?,
        medicines_sent: medicines_sent?,
    })
}

fn decision(
    m: &wire::RegistrationDecision,
    now: Timestamp,
    f: &mut Findings,
) -> Option<RegistrationDecision> {
    let decision = f.word::<wire::Decision>("decision", m.decision);
    let decided_at = f.moment("decided_at", &m.decided_at);
    if decided_at.is_some_and(|at| at > now.plus(CLOCK_SKEW)) {
        f.fault("decided_at", "is more than 5 minutes ahead");
    }
    let role = f.required("role", &m.role, StaffRole::parse);
    let basis = f.word::<wire::DecidedBy>("basis", m.basis);
    let pds_update = pds_update(m, f);
    Some(RegistrationDecision {
        language: f.optional("language", m.language.as_deref(), LanguageTag::parse),
        interpreter: m.interpreter,
        previous_practice: f.optional("previous_practice", m.previous_practice.as_deref(), OdsCode::parse),
        decision: decision?,
        decided_at: decided_at?,
        role: role?,
        basis: basis?,
        pds_update: pds_update?,
    })
}

/// Only a registration that PDS took may ask for a record (S17), so a permanent one must say whether it did.
fn pds_update(m: &wire::RegistrationDecision, f: &mut Findings) -> Option<PdsUpdate> {
    let at = f.optional("pds_updated_at", m.pds_updated_at.as_deref(), Timestamp::parse);
    match wire::PdsUpdate::try_from(m.pds_update) {
        Ok(wire::PdsUpdate::Succeeded) => {
            if at.is_none() {
                f.fault("pds_updated_at", "is missing or invalid, and pds_update is succeeded");
            }
            Some(PdsUpdate::Succeeded { at: at? })
        }
        Ok(wire::PdsUpdate::Failed) => Some(PdsUpdate::Failed { at }),
        Ok(wire::PdsUpdate::NotAttempted) => Some(PdsUpdate::NotAttempted),
        Ok(wire::PdsUpdate::Unspecified) if m.decision == wire::Decision::Permanent as i32 => {
            f.fault("pds_update", "is missing, and the decision is permanent");
            None
        }
        Ok(wire::PdsUpdate::Unspecified) => Some(PdsUpdate::NotAttempted),
        Err(_) => {
            f.fault("pds_update", "is not a known value");
            None
        }
    }
}

fn filing_decision(m: &wire::FilingDecision, f: &mut Findings) -> Option<FilingDecision> {
    let transfer = f.required("transfer", &m.transfer, TransferId::parse);
    let filing = f.word::<wire::Filing>("filing", m.filing);
    Some(FilingDecision { transfer: transfer?, filing: filing? })
}

fn correction(m: &wire::Correction, rules: &Rules, now: Timestamp, f: &mut Findings) -> Option<Correction> {
    let target_event = f.required("target_event", &m.target_event, EventId::parse);
    let reason = f.word::<wire::CorrectionReason>("reason", m.reason);
    let action = action(m, target_event, rules, now, f);
    Some(Correction { target_event: target_event?, action: action?, reason: reason? })
}

fn action(
    m: &wire::Correction,
    target: Option<EventId>,
    rules: &Rules,
    now: Timestamp,
    f: &mut Findings,
) -> Option<CorrectionAction> {
    let plain = match wire::CorrectionAction::try_from(m.action) {
        Ok(wire::CorrectionAction::Replace) => return replacement(m, target, rules, now, f),
        Ok(wire::CorrectionAction::Cancel) => Some(CorrectionAction::Cancel),
        Ok(wire::CorrectionAction::RefreshIdentity) => Some(CorrectionAction::RefreshIdentity),
        Ok(wire::CorrectionAction::Unspecified) => {
            f.fault("action", "is missing");
            None
        }
        Err(_) => {
            f.fault("action", "is not a known value");
            None
        }
    };
    if m.replacement.is_some() {
        f.fault("replacement", "is given, and the action is not replace");
    }
    plain
}

fn replacement(
    m: &wire::Correction,
    target: Option<EventId>,
    rules: &Rules,
    now: Timestamp,
    f: &mut Findings,
) -> Option<CorrectionAction> {
    let Some(body) = &m.replacement else {
        f.fault("replacement", "is missing, and the action is replace");
        return None;
    };
    if body.correction.is_some() {
        // One level only: a correction of a correction names the correction as its target.
        f.fault("replacement", "is itself a correction");
        return None;
    }
    let event = f.within("replacement", |f| {
        let event = envelope(body, rules, now, f)?;
        if Some(event.event_id) == target {
            f.fault("event_id", "is that of the event to be replaced");
        }
        Some(event)
    })?;
    Some(CorrectionAction::Replace(Box::new(event)))
}

fn death(m: &wire::Death, now: Timestamp, f: &mut Findings) -> Option<Death> {
    let died_at = f.required("died_at", &m.died_at, |text| died_at(text, now));
    let certainty = f.word::<wire::DeathCertainty>("certainty", m.certainty);
    Some(Death {
        pds_informed: f.optional_word::<wire::Answer>("pds_informed", m.pds_informed, Answer::Unknown),
        case_ref: f.optional("case_ref", m.case_ref.as_deref(), CaseRef::parse),
        died_at: died_at?,
        certainty: certainty?,
    })
}

/// A day (of London) or a moment, not ahead.
fn died_at(text: &str, now: Timestamp) -> Result<DiedAt, &'static str> {
    let read = if text.len() == 10 {
        let day = text.parse().map_err(|_| "it must be YYYY-MM-DD or a moment")?;
        let today = now.to_jiff().to_zoned(crate::model::london()).date();
        (DiedAt::Day(day), day > today)
    } else {
        let at = Timestamp::parse(text).map_err(|_| "it must be YYYY-MM-DD or a moment")?;
        (DiedAt::Moment(at), at > now.plus(CLOCK_SKEW))
    };
    match read {
        (_, true) => Err("it lies ahead"),
        (died_at, false) => Ok(died_at),
    }
}

fn medicines(numbers: &[i32], f: &mut Findings) -> BTreeSet<CriticalMedicine> {
    let read = |n: &i32| {
        f.optional_word::<wire::CriticalMedicine>("critical_medicines", *n, CriticalMedicine::Other)
    };
    numbers.iter().filter(|n| **n != 0).map(read).collect()
}

/// When the next dose is due: more than a week after `from` is a slip of the keyboard, and is dropped.
fn next_dose(text: Option<&str>, from: Timestamp, f: &mut Findings) -> Option<Timestamp> {
    f.optional("next_dose_due", text, |text| match Timestamp::parse(text) {
        Ok(at) if at > from.plus(WEEK) => Err("it is more than 7 days ahead".to_owned()),
        Ok(at) => Ok(at),
        Err(e) => Err(e.to_string()),
    })
}

fn days(field: &'static str, given: Option<u32>, most: u8, f: &mut Findings) -> Option<u8> {
    let given = given?;
    let fit = u8::try_from(given).ok().filter(|days| *days <= most);
    if fit.is_none() {
        f.warn(field, WarningCode::CheckSupply, format!("was dropped: it must be 0 to {most} days"));
    }
    fit
}

fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.since(b).max(b.since(a))
}
