//! ProcedureRequest to PlanStatement, ReferralRequest to RequestStatement (extract §8.7).

use super::account::{Fault, Unsent};
use super::codes::{self, Degrade, Lead};
use super::dates::{self, Span, When};
use super::draft::Draft;
use super::fhir::{self, Period, Reference};
use super::json::Json;
use super::quantities;
use super::reading::Reading;
use super::result;
use super::scene::Scene;
use super::supporting::{apart, supporting};
use super::tree::Element;
use super::unread;
use super::unslotted;
use super::work::{Kind, Statement, Target, Work, complete, fixed, id, participant};
use super::xml::Xml;

/// Writes a plan. Other intents are plans that say so.
pub(super) fn plan(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    let own = work.own(at);
    let mut draft = Draft::default();
    match resource.word("intent") {
        Some("plan") | None => {}
        Some(other) => draft.say("Intent", Some(other)),
    }
    let moment = draft.date("Occurrence", resource.at("occurrenceDateTime"));
    let (start, end) = draft.period("Occurrence", resource.at("occurrencePeriod"));
    let occurrence = moment.or(start);
    let authored = draft.date("Authored", resource.at("authoredOn"));
    plan_text(work, at, end.as_deref(), &mut draft);
    let author = requester(work, at, &mut draft);
    let available = authored.or(occurrence.clone());
    let effective = Span::at(occurrence);
    let mut x = Xml::new();
    x.with("PlanStatement", &[("classCode", "OBS"), ("moodCode", "INT")], |x| {
        id(x, &own);
        codes::write(x, "code", resource.at("code"), Lead::Description, &mut draft);
        text(x, &draft);
        complete(x);
        effective.write(x, "NI");
        dates::write(x, "availabilityTime", available.as_deref());
        work.label(x, at);
        participant(x, "AUT", author.as_deref());
    });
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "INT" });
    Some(finish(work, at, &own, x, draft, (available, effective), author))
}

/// Writes a referral.
pub(super) fn referral(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    let own = work.own(at);
    let mut draft = Draft::default();
    let available = draft.date("Authored", resource.at("authoredOn"));
    let recipient = referral_text(work, at, &mut draft);
    let author = requester(work, at, &mut draft);
    let mut x = Xml::new();
    x.with("RequestStatement", &[("classCode", "OBS"), ("moodCode", "RQO")], |x| {
        id(x, &own);
        match resource.list("reasonCode").first() {
            Some(reason) => codes::write(x, "code", reason, Lead::Description, &mut draft),
            None => fixed(x, "3457005", "Patient referral", None),
        }
        text(x, &draft);
        complete(x);
        Span::Unknown.write(x, "NI");
        dates::write(x, "availabilityTime", available.as_deref());
        priority(x, resource.word("priority"));
        work.label(x, at);
        if let Some(recipient) = &recipient {
            x.with("responsibleParty", &[("typeCode", "RESP")], |x| {
                super::work::agent_ref(x, Some(recipient))
            });
        }
        participant(x, "AUT", author.as_deref());
    });
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "RQO" });
    Some(finish(work, at, &own, x, draft, (available, Span::Unknown), author))
}

fn finish(
    work: &mut Work<'_>,
    at: usize,
    own: &str,
    x: Xml,
    mut draft: Draft,
    (time, effective): (Option<String>, Span),
    author: Option<String>,
) -> Statement {
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    work.settle(at, own, &draft);
    Statement {
        xml: x.into_text(),
        kind: Kind::Entry,
        time,
        effective,
        performer: author.clone(),
        author,
        labelled: work.labelled[at],
    }
}

fn text(x: &mut Xml, draft: &Draft) {
    if !draft.is_silent() {
        x.leaf("text", &[], &draft.text());
    }
}

fn requester(work: &mut Work<'_>, at: usize, draft: &mut Draft) -> Option<String> {
    let requester = work.json(at).at("requester");
    let agent = requester.at("agent");
    work.stray(at, "On behalf of", requester.at("onBehalfOf"), draft);
    if agent.is_nothing() {
        return None;
    }
    let found = work.agents.refer_for(work.record, &mut work.ids, at, agent, requester.at("onBehalfOf"));
    if found.is_none() {
        let entry = work.record.resolve(at, agent).map(|a| work.entry(a));
        match entry.map(|e| e.kind.as_str()) {
            // The patient is never named (extract §6).
            Some("Patient") => draft.lead("Requester", Some("Patient")),
            Some(kind) => {
                draft.lead(
                    &format!("Requester {}", apart(kind)),
                    work.referred(at, agent).as_deref().or(Some(kind)),
                );
            }
            None => {
                draft.fault(Fault::UnknownAgent);
                draft.lead("Requester", agent.word("display"));
            }
        }
    }
    found
}

/// What is read of a ProcedureRequest; the rest goes to text.
const PLAN: &[&str] = &[
    "status",
    "intent",
    "priority",
    "code",
    "occurrence[x]",
    "asNeededCodeableConcept",
    "authoredOn",
    "requester",
    "performer",
    "reasonCode",
    "reasonReference",
    "supportingInfo",
    "bodySite",
    "note.text",
];

/// What is read of a ReferralRequest; the rest goes to text.
const REFERRAL: &[&str] = &[
    "status",
    "intent",
    "priority",
    "type",
    "serviceRequested",
    "occurrence[x]",
    "authoredOn",
    "requester",
    "specialty",
    "recipient",
    "reasonCode",
    "reasonReference",
    "description",
    "supportingInfo",
    "note.text",
    "note.authorString",
    "note.authorReference",
];

fn plan_text(work: &Work<'_>, at: usize, end: Option<&str>, draft: &mut Draft) {
    let resource = work.json(at);
    draft.say("Status", resource.word("status"));
    for reason in resource.list("reasonCode") {
        draft.concept("Reason", reason);
    }
    for reference in resource.list("reasonReference") {
        draft.say("Reason", work.referred(at, reference).as_deref());
    }
    supporting(work, at, draft);
    draft.say("Occurrence ends", end);
    let timing = resource.at("occurrenceTiming");
    draft.concept("Occurrence", timing.at("code"));
    for event in timing.list("event") {
        draft.say("Occurrence", event.text());
    }
    draft.concept("As needed", resource.at("asNeededCodeableConcept"));
    match resource.word("priority") {
        Some("routine") | None => {}
        Some(other) => draft.say("Priority", Some(other)),
    }
    draft.say("Performer", work.referred(at, resource.at("performer")).as_deref());
    for site in resource.list("bodySite") {
        draft.concept("Body Site", site);
    }
    draft.notes(resource);
    unslotted::say(work, at, PLAN, draft);
}

/// The text of a referral; gives the recipient that an Agent can stand for.
fn referral_text(work: &mut Work<'_>, at: usize, draft: &mut Draft) -> Option<String> {
    let resource = work.json(at);
    for identifier in resource.list("identifier") {
        if identifier.word("system").is_some_and(|s| s.to_ascii_lowercase().contains("ubr")) {
            draft.say("UBRN", identifier.word("value"));
        }
    }
    match resource.word("priority") {
        Some("routine" | "urgent") | None => {}
        Some(other) => draft.say("Priority", Some(other)),
    }
    // What was called off never looks like what was asked for.
    match resource.word("status") {
        Some("active" | "completed" | "unknown") | None => {}
        Some(other) => draft.say("Status", Some(other)),
    }
    draft.say("Occurrence", resource.word("occurrenceDateTime"));
    draft.say("Occurrence", quantities::words("Period", resource.at("occurrencePeriod")).as_deref());
    draft.concept("Type", resource.at("type"));
    for service in resource.list("serviceRequested") {
        draft.concept("Service Requested", service);
    }
    let specialty = resource.at("specialty");
    let unknown = || specialty.list("coding").iter().find_map(|c| c.word("display")).map(str::to_owned);
    draft.say("Specialty", codes::words(specialty).or_else(unknown).as_deref());
    let further: Vec<String> = resource.list("reasonCode").iter().skip(1).filter_map(codes::words).collect();
    draft.say("Reason Codes", Some(&further.join(",")));
    for reason in resource.list("reasonReference") {
        draft.say("Reason", work.referred(at, reason).as_deref());
    }
    let recipient = recipients(work, at, draft);
    let mut notes = Draft::default();
    for note in resource.list("note") {
        let author = work.referred(at, note.at("authorReference"));
        notes.say("Author", author.as_deref().or(note.word("authorString")));
        notes.quote("Annotation", note.word("text"));
    }
    draft.add(Some(&notes.listed()));
    draft.add(resource.word("description"));
    supporting(work, at, draft);
    match resource.word("intent") {
        Some("order") | None => {}
        Some(other) => draft.say("Intent", Some(other)),
    }
    unslotted::say(work, at, REFERRAL, draft);
    recipient
}

/// The recipient who answers: the first practitioner, else the first organisation. All others go to text.
fn recipients(work: &mut Work<'_>, at: usize, draft: &mut Draft) -> Option<String> {
    let recipients = work.json(at).list("recipient");
    let kind_of = |r: &Json| work.record.resolve(at, r).map(|r| work.entry(r).kind.as_str());
    let first =
        |kinds: &[&str]| recipients.iter().position(|r| kind_of(r).is_some_and(|k| kinds.contains(&k)));
    let chosen = first(&["Practitioner", "PractitionerRole"]).or_else(|| first(&["Organization"]));
    let responsible = chosen.and_then(|n| work.agents.refer(work.record, &mut work.ids, at, &recipients[n]));
    for (n, recipient) in recipients.iter().enumerate() {
        if Some(n) == chosen && responsible.is_some() {
            continue;
        }
        let kind = work.record.resolve(at, recipient).map(|r| work.entry(r).kind.as_str());
        let name = work.referred(at, recipient);
        match kind {
            Some("Organization") => draft.say("Recipient Org", name.as_deref()),
            Some(kind) => draft.say(&format!("Recipient {}", apart(kind)), name.as_deref()),
            None => {
                draft.fault(Fault::DanglingReference);
                draft.say("Recipient", name.as_deref());
            }
        }
    }
    responsible
}

fn priority(x: &mut Xml, word: Option<&str>) {
    let (code, display, original) = match word {
        Some("routine") => ("394848005", "Normal", "Routine"),
        Some("urgent") => ("394849002", "High", "Urgent"),
        Some(_) | None => return,
    };
    let attributes = [("code", code), ("codeSystem", codes::SNOMED), ("displayName", display)];
    x.with("priorityCode", &attributes, |x| x.leaf("originalText", &[], original));
}

/// What is read of a plan; the rest goes to text.
const READ_PLAN: &[&str] =
    &["code", "text", "effectiveTime", "availabilityTime", "subject", "pertinentInformation"];

/// What is read of a referral.
const READ_REFERRAL: &[&str] = &[
    "code",
    "text",
    "effectiveTime",
    "availabilityTime",
    "priorityCode",
    "responsibleParty",
    "subject",
    "pertinentInformation",
];

/// Reads a plan.
pub(super) fn read_plan<'t>(
    reading: &mut Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
) -> Reference<'t> {
    let mut draft = Draft::default();
    let id = reading.id(statement);
    let words = statement.child("text").and_then(Element::text);
    let (occurrence_date_time, occurrence_period) =
        match dates::when(statement.child("effectiveTime"), &mut draft) {
            When::At(moment) => (Some(moment), None),
            When::Between(start, end) => (None, Some(Period { start, end, ..Period::default() })),
            When::Unknown => (None, None),
        };
    let code = codes::read(statement.child("code"), Degrade::Plan, &mut draft);
    let authored_on = draft.moment("Available", statement.of("availabilityTime", "value"));
    let requester = read_requester(reading, statement, scene, &mut draft);
    draft.add(words);
    draft.add(result::comment(statement, String::new()).as_deref());
    unread::say(reading, statement, READ_PLAN, &mut draft);
    let named = requester.as_ref().and_then(|r| r.agent.as_ref());
    unread::others(reading, statement, scene, &[named], &mut draft);
    let (faults, note) = (draft.only_faults(), draft.into_notes());
    let plan = fhir::ProcedureRequest {
        meta: reading.meta("ProcedureRequest", statement, scene),
        identifier: reading.identifier(&id),
        status: words.map_or("unknown", plan_status),
        intent: "plan",
        code: Some(code),
        subject: reading.subject(),
        context: scene.context(),
        occurrence_date_time,
        occurrence_period,
        authored_on,
        requester,
        note,
        ..fhir::ProcedureRequest::default()
    };
    let reference = reading.add("ProcedureRequest", &id, &plan);
    reading.settle(statement, &reference, &faults);
    reference
}

/// The status that a plan's words begin with: further on it may be that of something else. Before it stands at most
/// what our own plans say first, that they are none (extract §8.8).
fn plan_status(words: &str) -> &'static str {
    let words = words.trim_start();
    let intent = words.strip_prefix("Intent: ").and_then(|rest| rest.split_once(char::is_whitespace));
    let words = intent.map_or(words, |(_, rest)| rest.trim_start());
    let said = words.strip_prefix("Status:").map(|rest| rest.trim_start().to_ascii_lowercase());
    let said = said.unwrap_or_default();
    ["active", "completed", "cancelled"].into_iter().find(|s| said.starts_with(*s)).unwrap_or("unknown")
}

fn read_requester<'t>(
    reading: &Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
    draft: &mut Draft,
) -> Option<fhir::Requester<'t>> {
    let agent = reading.actor(statement, &["AUT", "PRF", "PPRF"], scene, draft);
    agent.map(|agent| fhir::Requester { agent: Some(agent), ..fhir::Requester::default() })
}

/// Reads a referral; who refers himself is observed, not referred (extract §13.2).
pub(super) fn read_referral<'t>(
    reading: &mut Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
) -> Reference<'t> {
    if statement.within().any(|e| e.name() == "value" && e.attribute("code") == Some("SelfReferral")) {
        return self_referral(reading, statement, scene);
    }
    let mut draft = Draft::default();
    let id = reading.id(statement);
    let code = codes::read(statement.child("code"), Degrade::Referral, &mut draft);
    let authored_on = draft.moment("Available", statement.of("availabilityTime", "value"));
    let when = dates::when(statement.child("effectiveTime"), &mut draft);
    draft.say("Action Date", when.moment());
    let priority = match statement.of("priorityCode", "code") {
        Some("394848005") => Some("routine"),
        Some("394849002") => Some("urgent"),
        Some("88694003") => Some("asap"),
        Some(_) => {
            draft.say("Priority", priority_words(statement));
            None
        }
        None => None,
    };
    let party = statement.child("responsibleParty").and_then(|p| p.child("agentRef"));
    let recipient = party.and_then(|p| reading.agent(p));
    if party.is_some() && recipient.is_none() {
        draft.fault(Fault::UnknownAgent);
    }
    draft.add(statement.child("text").and_then(Element::text));
    draft.add(result::comment(statement, String::new()).as_deref());
    let supporting_info = reading.supporting(statement, &mut draft);
    let requester = read_requester(reading, statement, scene, &mut draft);
    unread::say(reading, statement, READ_REFERRAL, &mut draft);
    let named = requester.as_ref().and_then(|r| r.agent.as_ref());
    unread::others(reading, statement, scene, &[named], &mut draft);
    let (faults, note) = (draft.only_faults(), draft.into_notes());
    let referral = fhir::ReferralRequest {
        meta: reading.meta("ReferralRequest", statement, scene),
        identifier: reading.identifier(&id),
        status: "unknown",
        intent: "order",
        priority,
        subject: reading.subject(),
        context: scene.context(),
        authored_on,
        requester,
        recipient: recipient.into_iter().collect(),
        reason_code: vec![code],
        supporting_info,
        note,
        ..fhir::ReferralRequest::default()
    };
    let reference = reading.add("ReferralRequest", &id, &referral);
    reading.settle(statement, &reference, &faults);
    reference
}

fn priority_words(statement: Element<'_>) -> Option<&str> {
    let code = statement.child("priorityCode")?;
    code.child("originalText").and_then(Element::text).or(code.attribute("displayName"))
}

fn self_referral<'t>(reading: &mut Reading<'t>, statement: Element<'t>, scene: &Scene<'t>) -> Reference<'t> {
    let mut draft = Draft::default();
    let id = reading.id(statement);
    let mut observation = result::start(reading, statement, scene, &mut draft);
    let said =
        [("Urgency", priority_words(statement)), ("Text", statement.child("text").and_then(Element::text))];
    observation.component = said
        .into_iter()
        .filter_map(|(name, words)| {
            Some(fhir::Component {
                code: Some(fhir::CodeableConcept::words(name)),
                value_string: Some(words?.into()),
                ..fhir::Component::default()
            })
        })
        .collect();
    unread::say(reading, statement, READ_REFERRAL, &mut draft);
    unread::others(reading, statement, scene, &[observation.performer.first()], &mut draft);
    observation.comment = result::comment(statement, draft.text());
    let reference = reading.add("Observation", &id, &observation);
    reading.settle(statement, &reference, &draft);
    reference
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn the_status_of_a_plan_stands_at_its_beginning() {
        for (words, status) in [
            ("Status: completed", "completed"),
            (" Status:Active since May", "active"),
            ("Intent: order Status: cancelled", "cancelled"),
            ("Marital Status: completed form needed", "unknown"),
            ("Review. Status: active", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(super::plan_status(words), status, "{words}: extract §13.2");
        }
    }

    #[test]
    fn a_request_that_is_no_plan_says_so_and_is_kept() {
        let (xml, account) = extract(
            r#"{"resourceType": "ProcedureRequest", "id": "p", "intent": "order", "status": "active",
            "code": {"text": "Flu jab"}, "occurrenceDateTime": "2030-02-25", "authoredOn": "2020-10-26"}"#,
        );
        assert!(xml.contains("<text>Intent: order Status: active</text>"), "D6: {xml}");
        assert!(
            xml.contains(r#"<center value="20300225"/>"#)
                && xml.contains(r#"<availabilityTime value="20201026"/>"#)
        );
        assert_eq!(state(&account, "ProcedureRequest"), "mapped");
    }

    #[test]
    fn a_referral_keeps_priority_reason_and_notes() {
        let (xml, account) = extract(
            r#"{"resourceType": "ReferralRequest", "id": "r", "priority": "urgent", "authoredOn": "2020-09-01",
            "recipient": [{"reference": "Organization/o"}], "note": [{"text": "Mode:Written"}], "description": "see letter"},
            {"resourceType": "Organization", "id": "o", "name": "Clinic"}"#,
        );
        assert!(
            xml.contains(r#"<code code="3457005""#) && xml.contains(r#"<priorityCode code="394849002""#),
            "{xml}"
        );
        assert!(xml.contains("<text>Annotation: Mode:Written see letter</text>"), "{xml}");
        assert!(xml.contains("<responsibleParty typeCode=\"RESP\"><agentRef"), "{xml}");
        assert_eq!(state(&account, "ReferralRequest"), "mapped");
    }

    #[test]
    fn a_referral_called_off_says_so() {
        let (xml, _) = extract(
            r#"{"resourceType": "ReferralRequest", "id": "r", "status": "cancelled", "description": "knee"},
            {"resourceType": "ProcedureRequest", "id": "p", "intent": "plan", "code": {"text": "Flu jab"},
             "occurrenceTiming": {"code": {"text": "yearly"}}, "priority": "urgent"}"#,
        );
        assert!(xml.contains("<text>Status: cancelled knee</text>"), "{xml}");
        assert!(xml.contains("Occurrence: yearly Priority: urgent"), "extract §1.5: {xml}");
    }
}
