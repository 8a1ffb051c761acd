//! The supplies inside a MedicationStatement: authorised, prescribed, discontinued (extract §8.5).

use super::account::Fault;
use super::codes::{self, Lead};
use super::dates::{self, Span};
use super::draft::Draft;
use super::json::Json;
use super::medication::{Facts, Therapy, dosage, prescription_type, therapy};
use super::quantities;
use super::work::{OBSERVATION, Work, complete, fixed, id};
use super::xml::Xml;

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

pub(super) fn authorise(work: &Work<'_>, at: usize, facts: &mut Facts, x: &mut Xml) {
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

pub(super) fn prescribe(work: &Work<'_>, at: usize, facts: &mut Facts, x: &mut Xml) {
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
pub(super) fn discontinue(work: &mut Work<'_>, at: usize, facts: &Facts, x: &mut Xml) {
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
