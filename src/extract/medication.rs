//! MedicationRequest: a plan is authorised (and perhaps discontinued), an order is prescribed (extract §8.5).
//!
//! Every live order has a statement of its own, in or out of consultations, whether or not its plan has been written.

use super::account::{Fault, Unsent};
use super::codes::{self, Lead};
use super::dates::{self, Span};
use super::draft::Draft;
use super::json::Json;
use super::quantities;
use super::work::{Kind, OBSERVATION, Statement, Target, Work, complete, fixed, id, participant};
use super::xml::Xml;

/// What a medication entry is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Therapy {
    Plan,
    Order,
}

/// Whether the entry is written as a plan: intent plan, or another intent with a repeat prescription type.
pub(super) fn therapy(resource: &Json) -> Therapy {
    match resource.word("intent") {
        Some("plan") => Therapy::Plan,
        Some("order") => Therapy::Order,
        _ if resource.word("resourceType") == Some("MedicationStatement") => Therapy::Plan,
        Some(_) | None if prescription_type(resource).is_some_and(|t| t.starts_with("repeat")) => {
            Therapy::Plan
        }
        Some(_) | None => Therapy::Order,
    }
}

fn prescription_type(resource: &Json) -> Option<&str> {
    let concept = resource.extension("PrescriptionType").at("valueCodeableConcept");
    concept.list("coding").iter().find_map(|c| c.word("code")).or(concept.word("text"))
}

/// Writes the statement of a plan, an order, or a MedicationStatement that has neither.
pub(super) fn statement(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    match therapy(resource) {
        Therapy::Order if stopped(resource) => stopped_order(work, at),
        therapy => Some(write(work, at, therapy)),
    }
}

fn stopped(resource: &Json) -> bool {
    matches!(resource.word("status"), Some("stopped" | "cancelled"))
}

/// An issue that was withdrawn is no order; its reason is kept.
fn stopped_order(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    let reason = resource.extension("StatusReason");
    if reason.is_nothing() && resource.list("note").is_empty() {
        work.leave(at, Unsent::StoppedOrder);
        return None;
    }
    super::narrative::statement(work, at)
}

/// Facts that both supplies share.
struct Facts {
    own: String,
    outer: String,
    active: bool,
    period: Span,
    available: Option<String>,
    author: Option<String>,
    draft: Draft,
}

fn facts(work: &mut Work<'_>, at: usize) -> Facts {
    let resource = work.json(at);
    let mut draft = Draft::default();
    let period = resource.at("dispenseRequest").at("validityPeriod");
    let (start, end) = draft.period("Validity", period);
    let authored = draft.date("Authored", resource.at("authoredOn"));
    let (began, ended) = draft.period("Effective", resource.at("effectivePeriod"));
    let asserted = draft.date("Asserted", resource.at("dateAsserted"));
    let stated = work.stated.get(&at).map(|s| work.json(*s).at("effectivePeriod"));
    let stated = stated.and_then(|p| dates::wire(p.word("start")?));
    let available = start.clone().or(authored).or(began.clone()).or(asserted).or(stated);
    if resource.word("status").is_none() {
        draft.fault(Fault::UnknownStatus);
    }
    let requester = resource.at("requester");
    let agent = requester.at("agent");
    let author = if agent.is_nothing() {
        let recorder = resource.at("recorder");
        work.agent(
            at,
            if recorder.is_nothing() { resource.at("informationSource") } else { recorder },
            &mut draft,
        )
    } else {
        let found = work.agents.refer_for(work.record, &mut work.ids, at, agent, requester.at("onBehalfOf"));
        found.or_else(|| work.agent(at, agent, &mut draft))
    };
    let author =
        author.or_else(|| work.agents.refer(work.record, &mut work.ids, at, resource.at("recorder")));
    Facts {
        own: work.own(at),
        outer: work.part(at, "statement"),
        active: resource.word("status") == Some("active"),
        period: Span::between(start.or(began), end.or(ended)),
        available,
        author,
        draft,
    }
}

fn write(work: &mut Work<'_>, at: usize, therapy: Therapy) -> Statement {
    let resource = work.json(at);
    let mut facts = facts(work, at);
    let mut inner = Xml::new();
    match therapy {
        Therapy::Plan => {
            authorise(work, at, &mut facts, &mut inner);
            discontinue(work, at, &facts, &mut inner);
        }
        Therapy::Order => prescribe(work, at, &mut facts, &mut inner),
    }
    let mood = if therapy == Therapy::Plan { "INT" } else { "ORD" };
    let mut x = Xml::new();
    x.with("MedicationStatement", &[("classCode", "SBADM"), ("moodCode", mood)], |x| {
        id(x, &facts.outer);
        x.empty("statusCode", &[("code", if facts.active { "ACTIVE" } else { "COMPLETE" })]);
        if facts.period != Span::Unknown {
            facts.period.write(x, "UNK");
        }
        dates::write(x, "availabilityTime", facts.available.as_deref());
        work.label(x, at);
        consumable(x, work, at, &mut facts.draft);
        x.append(&inner.into_text());
        x.with("pertinentInformation", &[("typeCode", "PERT")], |x| {
            x.with("pertinentMedicationDosage", &[("classCode", "SBADM"), ("moodCode", "RMD")], |x| {
                x.leaf("text", &[], dosage(resource).as_deref().unwrap_or("No information available"));
            });
        });
        participant(x, "AUT", facts.author.as_deref());
    });
    finish(work, at, x, mood, facts)
}

fn finish(work: &mut Work<'_>, at: usize, x: Xml, mood: &'static str, mut facts: Facts) -> Statement {
    if x.replaced() {
        facts.draft.fault(Fault::CharactersReplaced);
    }
    // Links from problems go to the statement, not to the supply in it (extract §8.4).
    work.targets.insert(at, Target { id: facts.outer.clone(), class: "SBADM", mood });
    work.settle(at, &facts.own, &facts.draft);
    Statement {
        xml: x.into_text(),
        kind: Kind::Medication,
        time: facts.available,
        effective: facts.period,
        author: facts.author.clone(),
        performer: facts.author,
        labelled: work.labelled[at],
    }
}

fn dosage(resource: &Json) -> Option<String> {
    let lists = [resource.list("dosageInstruction"), resource.list("dosage")];
    let texts: Vec<&str> = lists.into_iter().flatten().filter_map(|d| d.word("text")).collect();
    (!texts.is_empty()).then(|| texts.join(" "))
}

fn consumable(x: &mut Xml, work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    let reference = resource.at("medicationReference");
    let found = work.record.resolve(at, reference);
    let own;
    let concept = match found {
        Some(found) => work.json(found).at("code"),
        None if resource.at("medicationCodeableConcept").is_nothing() => {
            draft.fault(Fault::DanglingReference);
            let words = reference.word("display").unwrap_or("Unknown").to_owned();
            own = Json::Object(vec![("text".to_owned(), Json::Text(words))]);
            &own
        }
        None => resource.at("medicationCodeableConcept"),
    };
    x.with("consumable", &[("typeCode", "CSM")], |x| {
        x.with("manufacturedProduct", &[("classCode", "MANU")], |x| {
            x.with("manufacturedMaterial", &[("classCode", "MMAT"), ("determinerCode", "KIND")], |x| {
                codes::write(x, "code", concept, Lead::Concept, draft);
            });
        });
    });
}

/// Text of a supply.
fn supply_annotation(x: &mut Xml, text: &str) {
    if text.is_empty() {
        return;
    }
    x.with("pertinentInformation", &[("typeCode", "PERT")], |x| {
        x.with("pertinentSupplyAnnotation", &OBSERVATION, |x| x.leaf("text", &[], text));
    });
}

fn supply<'a>(x: &mut Xml, name: &'a str, mood: &'a str, inner: impl FnOnce(&mut Xml)) {
    x.with("component", &[("typeCode", "COMP")], |x| {
        x.with(name, &[("classCode", "SPLY"), ("moodCode", mood)], inner);
    });
}

/// NHS prescription, unless another organisation prescribes.
fn agency(x: &mut Xml, work: &Work<'_>, at: usize) {
    let stated = work.stated.get(&at).map_or(work.json(at), |s| work.json(*s));
    let agency = stated.extension("PrescribingAgency").at("valueCodeableConcept");
    let elsewhere =
        agency.list("coding").iter().filter_map(|c| c.word("code")).any(|c| c.contains("another"));
    if elsewhere {
        fixed(x, "394828003", "Prescription by another organisation", None);
    } else {
        fixed(x, "394823007", "NHS Prescription", None);
    }
}

fn authorise(work: &Work<'_>, at: usize, facts: &mut Facts, x: &mut Xml) {
    let resource = work.json(at);
    let prior = work.record.resolve(at, resource.at("priorPrescription"));
    let prior = prior.filter(|p| *p != at && sent_plan(work, *p)).map(|p| work.own(p));
    if prior.is_none() && !resource.at("priorPrescription").is_nothing() {
        facts.draft.fault(Fault::DanglingReference);
    }
    let repeats = repeats(resource, &mut facts.draft);
    plan_text(work, at, &mut facts.draft);
    supply(x, "ehrSupplyAuthorise", "INT", |x| {
        id(x, &facts.own);
        agency(x, work, at);
        x.empty("statusCode", &[("code", if facts.active { "ACTIVE" } else { "COMPLETE" })]);
        if facts.period != Span::Unknown {
            facts.period.write(x, "UNK");
        }
        dates::write(x, "availabilityTime", facts.available.as_deref());
        x.empty("repeatNumber", &[("value", &repeats)]);
        quantities::supply(x, resource);
        if let Some(prior) = &prior {
            x.with("predecessor", &[("typeCode", "SUCC")], |x| prior_ref(x, prior, "INT"));
        }
        supply_annotation(x, &facts.draft.text());
    });
}

/// Whether the entry is a plan that will be in the extract.
fn sent_plan(work: &Work<'_>, at: usize) -> bool {
    let entry = work.entry(at);
    entry.kind == "MedicationRequest"
        && entry.json.word("status") != Some("entered-in-error")
        && therapy(&entry.json) == Therapy::Plan
}

fn prior_ref(x: &mut Xml, to: &str, mood: &str) {
    x.with("priorMedicationRef", &[("classCode", "SBADM"), ("moodCode", mood)], |x| id(x, to));
}

/// How often a plan may be issued: 0 says acute.
fn repeats(resource: &Json, draft: &mut Draft) -> String {
    let information = resource.extension("MedicationRepeatInformation");
    let part = |name: &str| information.list("extension").iter().find(|e| e.word("url") == Some(name));
    let allowed = part("numberOfRepeatPrescriptionsAllowed")
        .and_then(|e| e.choice("value"))
        .and_then(|(_, v)| v.text());
    let allowed = allowed.filter(|n| n.parse::<u32>().is_ok());
    let number = match prescription_type(resource) {
        Some("acute" | "acute-handwritten") => "0",
        Some("repeat" | "repeat-dispensing" | "delayed-prescribing" | "delayed") | None => {
            allowed.unwrap_or("1")
        }
        Some(other) => {
            draft.say("Prescription Type", Some(other));
            "1"
        }
    };
    for (name, label) in [
        ("numberOfRepeatPrescriptionsIssued", "Repeats Issued"),
        ("authorisationExpiryDate", "Expiry Date"),
        ("reviewDate", "Review Date"),
    ] {
        draft.say(label, part(name).and_then(|e| e.choice("value")).and_then(|(_, v)| v.text()));
    }
    number.to_owned()
}

/// The annotation of an authorisation, with what only its MedicationStatement says.
fn plan_text(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    match resource.word("intent") {
        Some("plan") | None => {}
        Some(other) => draft.say("Intent", Some(other)),
    }
    let instructions = resource.list("dosageInstruction").iter().chain(resource.list("dosage"));
    for instruction in instructions {
        draft.say("Patient Instruction", instruction.word("patientInstruction"));
    }
    duration(resource, draft);
    match resource.word("priority") {
        Some("routine") | None => {}
        Some(other) => draft.say("Priority", Some(other)),
    }
    draft.concept("Substitution", resource.at("substitution").at("reason"));
    draft.notes(resource);
    if let Some(stated) = work.stated.get(&at).map(|s| work.json(*s)) {
        let last = stated.extension("LastIssueDate").choice("value").and_then(|(_, v)| v.text());
        let plan_start = resource.at("dispenseRequest").at("validityPeriod");
        for note in stated.list("note").iter().filter(|n| !said(resource, n)) {
            draft.add(note.word("text"));
        }
        if stated.at("effectivePeriod") != plan_start {
            let period = quantities::words("Period", stated.at("effectivePeriod"));
            draft.say("Effective Period", period.as_deref());
        }
        if let Some(taken) = stated.word("taken").filter(|t| *t != "unk") {
            draft.say("Taken", Some(taken));
        }
        let given = dosage(stated);
        if given != dosage(resource) {
            draft.say("Dosage stated", given.as_deref());
        }
        draft.say("Last Issued", last.and_then(dates::wire).as_deref());
    }
}

fn said(resource: &Json, note: &Json) -> bool {
    resource.list("note").iter().any(|n| n.word("text") == note.word("text"))
}

fn duration(resource: &Json, draft: &mut Draft) {
    let duration = resource.at("dispenseRequest").at("expectedSupplyDuration");
    draft.say("Expected Supply Duration", quantities::words("Duration", duration).as_deref());
}

fn prescribe(work: &Work<'_>, at: usize, facts: &mut Facts, x: &mut Xml) {
    let resource = work.json(at);
    let plans = resource.list("basedOn").iter().filter_map(|b| work.record.resolve(at, b));
    let plan = plans.into_iter().find(|p| sent_plan(work, *p)).map(|p| work.own(p));
    if plan.is_none() {
        facts.draft.fault(Fault::OrderWithoutPlan);
    }
    match resource.word("intent") {
        Some("order") | None => {}
        Some(other) => facts.draft.say("Intent", Some(other)),
    }
    duration(resource, &mut facts.draft);
    facts.draft.notes(resource);
    supply(x, "ehrSupplyPrescribe", "RQO", |x| {
        id(x, &facts.own);
        agency(x, work, at);
        x.empty("statusCode", &[("code", if facts.active { "ACTIVE" } else { "COMPLETE" })]);
        dates::write(x, "availabilityTime", facts.available.as_deref());
        quantities::supply(x, resource);
        if let Some(plan) = &plan {
            x.with("inFulfillmentOf", &[("typeCode", "FLFS")], |x| prior_ref(x, plan, "INT"));
        }
        supply_annotation(x, &facts.draft.text());
    });
}

/// A stopped plan says when and why.
fn discontinue(work: &mut Work<'_>, at: usize, facts: &Facts, x: &mut Xml) {
    let resource = work.json(at);
    let reason = resource.extension("StatusReason");
    if reason.is_nothing() && resource.word("status") != Some("stopped") {
        return;
    }
    let part = |name: &str| reason.list("extension").iter().find(|e| e.word("url") == Some(name));
    let concept = part("statusReason").map_or(&Json::Null, |e| e.at("valueCodeableConcept"));
    let changed = part("statusChangeDate").and_then(|e| e.choice("value")).and_then(|(_, v)| v.text());
    let changed = changed.and_then(dates::wire);
    let words = codes::words(concept).unwrap_or_else(|| "Stopped".to_owned());
    let own = work.part(at, "discontinue");
    let mut unlisted = Draft::default();
    supply(x, "ehrSupplyDiscontinue", "RQO", |x| {
        id(x, &own);
        if concept.list("coding").is_empty() {
            x.with("code", &[("nullFlavor", "UNK")], |x| x.leaf("originalText", &[], &words));
        } else {
            codes::write(x, "code", concept, Lead::Description, &mut unlisted);
        }
        complete(x);
        dates::write(x, "availabilityTime", changed.as_deref());
        x.with("reversalOf", &[("typeCode", "REV")], |x| prior_ref(x, &facts.own, "ORD"));
        supply_annotation(x, &words);
    });
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    const PLAN: &str = r#"{"resourceType": "MedicationRequest", "id": "013363F7-2CD6-4EF2-AC12-38916FFCDE3F",
      "intent": "plan", "status": "stopped", "medicationCodeableConcept": {"text": "Aspirin"},
      "extension": [{"url": "x/StatusReason-1", "extension": [
        {"url": "statusReason", "valueCodeableConcept": {"text": "Rash"}},
        {"url": "statusChangeDate", "valueDateTime": "2011-02-03"}]}]}"#;
    const ORDER: &str = r#"{"resourceType": "MedicationRequest", "id": "057C290E-A9FE-482D-ABF8-F771DCA7BE46",
      "intent": "order", "status": "completed", "medicationCodeableConcept": {"text": "Aspirin"},
      "basedOn": [{"reference": "MedicationRequest/013363F7-2CD6-4EF2-AC12-38916FFCDE3F"}],
      "dispenseRequest": {"quantity": {"value": 2.50, "unit": "tablet"}}}"#;

    #[test]
    fn an_order_fulfils_its_plan_and_a_stopped_plan_is_discontinued() {
        let (xml, account) = extract(&format!("{ORDER},{PLAN}"));
        let order = &xml[xml.find(r#"moodCode="ORD""#).expect("D1: every order is sent")..];
        assert!(
            order.contains(r#"<priorMedicationRef classCode="SBADM" moodCode="INT"><id root="013363F7"#),
            "{order}"
        );
        assert!(xml.contains(r#"<quantity value="2.50" unit="1">"#), "{xml}");
        assert!(
            xml.contains("ehrSupplyDiscontinue") && xml.contains(r#"<availabilityTime value="20110203"/>"#)
        );
        assert!(xml.contains("No information available"));
        assert_eq!(state(&account, "MedicationRequest"), "mapped");
    }

    #[test]
    fn an_order_without_its_plan_is_kept_and_listed() {
        let (xml, account) = extract(ORDER);
        assert!(
            xml.contains(r#"moodCode="ORD""#) && !xml.contains("inFulfillmentOf typeCode=\"FLFS\"><priorMed")
        );
        assert_eq!(
            state(&account, "MedicationRequest"),
            "degraded",
            "D12: a missing basedOn refuses nothing"
        );
    }

    #[test]
    fn a_statement_without_request_becomes_a_plan() {
        let (xml, account) = extract(
            r#"{"resourceType": "MedicationStatement", "id": "s", "status": "active", "dosage": [{"text": "daily"}],
                "medicationReference": {"reference": "Medication/none", "display": "Herbal tea"}}"#,
        );
        assert!(
            xml.contains("ehrSupplyAuthorise")
                && xml.contains("Herbal tea")
                && xml.contains("<text>daily</text>")
        );
        assert_eq!(state(&account, "MedicationStatement"), "degraded");
    }
}
