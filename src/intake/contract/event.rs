//! Checks what every event carries: identity of the event and of the person, order, time, who may speak for whom
//! (custody reference §3.2).

use std::time::Duration;

use prost::Message;

use super::check::Findings;
use super::{
    AllowedNumbers, CONTRACT, Decoded, Fault, Reason, Rejection, Relevance, Rules, Standing, WarningCode,
    kinds,
};
use crate::intake::wire;
use crate::model::{EventId, NhsNumber, OdsCode, Timestamp};
use crate::transfer::custody::{
    Actor, Answer, CustodyEvent, DateOfBirth, Identity, PatientNumber, PatientRef, PdsFacts, Source, Stay,
};

/// A publisher's clock may run this far ahead of ours.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// An older event is history and starts nothing.
const HISTORY_AFTER: Duration = Duration::from_secs(84 * 24 * 3600);

/// Checks a message. `faults` are those found while reading it.
pub fn check(
    message: &wire::CustodyEvent,
    faults: Vec<Fault>,
    rules: &Rules,
    now: Timestamp,
) -> Result<Decoded, Rejection> {
    if message.contract.as_deref().is_some_and(|c| !c.is_empty() && c != CONTRACT) {
        return Err(reject(
            Reason::UnknownVersion,
            vec![fault("contract", &format!("must be {CONTRACT}"))],
            message,
        ));
    }
    let mut findings = Findings::starting_with(faults);
    let event = envelope(message, rules, now, &mut findings);
    match event {
        Some(event) if findings.faults.is_empty() => {
            if let Some((reason, at)) = not_ours(&event, rules) {
                return Err(reject(reason, vec![at], message));
            }
            let relevance = relevance(event.occurred_at, now);
            Ok(Decoded { event, warnings: findings.warnings, relevance, canonical: canonical(message) })
        }
        _ => Err(reject(Reason::Invalid, findings.faults, message)),
    }
}

fn fault(field: &str, rule: &str) -> Fault {
    Fault { field: field.to_owned(), rule: rule.to_owned() }
}

/// A rejection that names what could be read of the event, so that the publisher can find it again.
fn reject(reason: Reason, faults: Vec<Fault>, message: &wire::CustodyEvent) -> Rejection {
    Rejection {
        reason,
        faults,
        event_id: EventId::parse(&message.event_id).ok(),
        source: Source::parse(&message.source).ok(),
        establishment: OdsCode::parse(&message.establishment).ok(),
    }
}

/// Protobuf without the fields that may be said or left unsaid: fields in the order of their numbers, none unknown.
fn canonical(message: &wire::CustodyEvent) -> Vec<u8> {
    wire::CustodyEvent { contract: None, ..message.clone() }.encode_to_vec()
}

fn relevance(occurred_at: Timestamp, now: Timestamp) -> Relevance {
    if now.since(occurred_at) > HISTORY_AFTER { Relevance::History } else { Relevance::Current }
}

/// Who may speak for whom, and for which establishments we answer.
fn not_ours(event: &CustodyEvent, rules: &Rules) -> Option<(Reason, Fault)> {
    let may_speak = |served: &std::collections::BTreeSet<OdsCode>| served.contains(&event.establishment);
    if let Some(publishers) = &rules.publishers
        && !publishers.get(&event.source).is_some_and(may_speak)
    {
        let rule = "is not configured to speak for this establishment";
        return Some((Reason::PublisherNotAllowed, fault("source", rule)));
    }
    match rules.establishments.as_ref()?.get(&event.establishment) {
        Some(Standing::Served) => None,
        Some(Standing::SettingRefused) => {
            Some((Reason::SettingRefused, fault("establishment", "is of a setting that takes no part")))
        }
        None => Some((Reason::NotServed, fault("establishment", "is not served here"))),
    }
}

/// The whole event, at the place `findings` stands at: also a replacement inside a correction.
pub fn envelope(
    m: &wire::CustodyEvent,
    rules: &Rules,
    now: Timestamp,
    f: &mut Findings,
) -> Option<CustodyEvent> {
    let event_id = f.required("event_id", &m.event_id, EventId::parse);
    let source = f.required("source", &m.source, Source::parse);
    let establishment = f.required("establishment", &m.establishment, OdsCode::parse);
    let stay = f.required("stay", &m.stay, Stay::parse);
    let patient_ref = f.required("patient_ref", &m.patient_ref, PatientRef::parse);
    if m.seq.is_none() {
        f.fault("seq", "is missing");
    }
    let occurred_at = f.moment("occurred_at", &m.occurred_at);
    if occurred_at.is_some_and(|at| at > now.plus(CLOCK_SKEW)) {
        f.fault("occurred_at", "is more than 5 minutes ahead");
    }
    let identity = identity(m, rules, now, f);
    let pds = m.pds.as_ref().and_then(|pds| f.within("pds", |f| pds_facts(pds, now, f)));
    let actor = f.optional("actor", m.actor.as_deref(), Actor::parse);
    let needs_actor = m.registration_decision.is_some()
        || m.correction.is_some()
        || m.death.is_some()
        || m.filing_decision.is_some();
    if needs_actor && actor.is_none() {
        f.fault("actor", "is missing or invalid, and this kind of event needs it");
    }
    let kind = kinds::kind(m, occurred_at, rules, now, f);
    Some(CustodyEvent {
        event_id: event_id?,
        source: source?,
        establishment: establishment?,
        stay: stay?,
        patient_ref: patient_ref?,
        seq: m.seq?,
        occurred_at: occurred_at?,
        identity: identity?,
        pds,
        actor,
        kind: kind?,
    })
}

fn identity(m: &wire::CustodyEvent, rules: &Rules, now: Timestamp, f: &mut Findings) -> Option<Identity> {
    let date_of_birth = f.optional("date_of_birth", m.date_of_birth.as_deref(), |text| {
        let date = DateOfBirth::parse(text).map_err(|e| e.to_string())?;
        let today = now.to_jiff().to_zoned(crate::model::london()).date();
        if date.earliest() > today { Err("it lies ahead".to_owned()) } else { Ok(date) }
    });
    let sensitive = f.optional_word::<wire::Answer>("sensitive", m.sensitive, Answer::Unknown);
    Some(Identity { number: number(m, rules, f)?, date_of_birth, sensitive })
}

/// A number and how far it is trusted, or the reason why there is none: never both, never neither.
fn number(m: &wire::CustodyEvent, rules: &Rules, f: &mut Findings) -> Option<PatientNumber> {
    let Some(text) = m.nhs_number.as_deref().filter(|t| !t.is_empty()) else {
        if m.no_number_reason == 0 {
            f.fault("nhs_number", "is missing, and so is no_number_reason");
            return None;
        }
        let reason = f.word::<wire::NoNumberReason>("no_number_reason", m.no_number_reason)?;
        return Some(PatientNumber::Absent { reason });
    };
    if m.no_number_reason != 0 {
        f.fault("no_number_reason", "is given beside nhs_number");
    }
    let status = f.word::<wire::NumberStatus>("number_status", m.number_status);
    let number = f.required("nhs_number", text, NhsNumber::parse)?;
    match (rules.numbers, number.is_test()) {
        (AllowedNumbers::TestOnly, false) => {
            f.fault("nhs_number", "is not in the test range, and only test numbers are taken here");
        }
        (AllowedNumbers::LiveOnly, true) => {
            f.fault("nhs_number", "is in the test range, and this is a live system")
        }
        (AllowedNumbers::TestOnly | AllowedNumbers::Any, true)
        | (AllowedNumbers::LiveOnly | AllowedNumbers::Any, false) => {}
    }
    Some(PatientNumber::Known { number, status: status? })
}

/// Facts that cannot be dated are no facts: they are dropped, and the event waits for others.
fn pds_facts(m: &wire::PdsFacts, now: Timestamp, f: &mut Findings) -> Option<PdsFacts> {
    let current_practice = f.optional("current_practice", m.current_practice.as_deref(), OdsCode::parse);
    let previous_practice = f.optional("previous_practice", m.previous_practice.as_deref(), OdsCode::parse);
    let deceased = f.optional_word::<wire::Answer>("deceased", m.deceased, Answer::Unknown);
    let checked_at = f.optional("checked_at", Some(&m.checked_at), |text| match Timestamp::parse(text) {
        Ok(at) if at > now.plus(CLOCK_SKEW) => Err("it is more than 5 minutes ahead".to_owned()),
        Ok(at) => Ok(at),
        Err(e) => Err(e.to_string()),
    });
    if m.checked_at.is_empty() {
        f.warn("checked_at", WarningCode::FieldDropped, "is missing, so the PDS facts were dropped");
    }
    Some(PdsFacts { checked_at: checked_at?, current_practice, previous_practice, deceased })
}
