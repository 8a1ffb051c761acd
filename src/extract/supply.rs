//! The supplies inside a MedicationStatement: authorised, prescribed, discontinued (extract §8.5).

use super::account::Fault;
use super::codes::{self, Lead};
use super::dates::{self, Span, When};
use super::draft::Draft;
use super::fhir::{self, Extension, Period, Reference, Value};
use super::json::Json;
use super::medication::{self, Facts, Therapy, therapy};
use super::quantities;
use super::reading::Reading;
use super::result;
use super::scene::Scene;
use super::supply_text;
use super::tree::Element;
use super::unread;
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
    if supply_text::agencies(work, at).any(|agency| supply_text::is_elsewhere(agency)) {
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
        work.stray(at, "Prior Prescription", resource.at("priorPrescription"), &mut facts.draft);
    }
    based_on(work, at, &mut facts.draft);
    let repeats = supply_text::repeats(resource, &mut facts.draft);
    supply_text::plan(work, at, &mut facts.draft);
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

/// What the entry is based on and that leads nowhere, in words.
fn based_on(work: &Work<'_>, at: usize, draft: &mut Draft) {
    work.json(at).list("basedOn").iter().for_each(|based| work.stray(at, "Based On", based, draft));
}

/// Whether the entry is a plan that will be in the extract.
fn sent_plan(work: &Work<'_>, at: usize) -> bool {
    let entry = work.entry(at);
    entry.kind == "MedicationRequest"
        && medication::is_supplied(&entry.json)
        && therapy(&entry.json) == Therapy::Plan
}

fn prior_ref(x: &mut Xml, to: &str, mood: &str) {
    x.with("priorMedicationRef", &[("classCode", "SBADM"), ("moodCode", mood)], |x| id(x, to));
}

pub(super) fn prescribe(work: &Work<'_>, at: usize, facts: &mut Facts, x: &mut Xml) {
    let resource = work.json(at);
    let plans = resource.list("basedOn").iter().filter_map(|b| work.record.resolve(at, b));
    let plan = plans.into_iter().find(|p| sent_plan(work, *p)).map(|p| work.own(p));
    if plan.is_none() {
        facts.draft.fault(Fault::OrderWithoutPlan);
        based_on(work, at, &mut facts.draft);
    }
    supply_text::order(work, at, &mut facts.draft);
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
pub(super) fn discontinue(work: &mut Work<'_>, at: usize, facts: &mut Facts, x: &mut Xml) {
    let resource = work.json(at);
    let reason = resource.extension("StatusReason");
    if reason.is_nothing() && resource.word("status") != Some("stopped") {
        return;
    }
    let part = |name: &str| reason.list("extension").iter().find(|e| e.word("url") == Some(name));
    let concept = part("statusReason").map_or(&Json::Null, |e| e.at("valueCodeableConcept"));
    let changed = part("statusChangeDate").and_then(|e| e.choice("value"));
    let mut draft = Draft::default();
    let changed = draft.date("Changed", changed.map_or(&Json::Null, |(_, v)| v));
    let words = codes::words(concept).unwrap_or_else(|| "Stopped".to_owned());
    let own = work.part(at, "discontinue");
    supply(x, "ehrSupplyDiscontinue", "RQO", |x| {
        id(x, &own);
        if concept.list("coding").is_empty() {
            x.with("code", &[("nullFlavor", "UNK")], |x| x.leaf("originalText", &[], &words));
        } else {
            codes::write(x, "code", concept, Lead::Description, &mut draft);
        }
        complete(x);
        dates::write(x, "availabilityTime", changed.as_deref());
        x.with("reversalOf", &[("typeCode", "REV")], |x| prior_ref(x, &facts.own, "ORD"));
        draft.lead("Reason", Some(&words).filter(|_| !draft.is_silent()).map(String::as_str));
        let said = if draft.is_silent() { words } else { draft.text() };
        supply_annotation(x, &said);
    });
    draft.faults().into_iter().for_each(|fault| facts.draft.fault(fault));
}

/// What all supplies of one received MedicationStatement share.
pub(super) struct Given<'t, 's> {
    pub(super) statement: Element<'t>,
    pub(super) scene: &'s Scene<'t>,
    pub(super) drug: Option<Reference<'t>>,
}

/// The plan that a discontinuation ends.
pub(super) fn reversed<'t>(reading: &mut Reading<'t>, supply: Element<'t>) -> Option<Reference<'t>> {
    let (plan, _) = reading.ended_by(supply)?;
    let id = reading.id(plan);
    reading.forward("MedicationRequest", &id, &mut Draft::default())
}

/// The id in one of a supply's references to another.
pub(super) fn prior<'t>(supply: Element<'t>, link: &str) -> Option<&'t str> {
    supply.down(&[link, "priorMedicationRef", "id"])?.attribute("root")
}

/// Reads an authorisation: a plan and what is stated of it; an acute one that was issued again gives a plan for each
/// further issue.
pub(super) fn read_plan<'t>(
    reading: &mut Reading<'t>,
    supply: Element<'t>,
    given: &Given<'t, '_>,
) -> Vec<Reference<'t>> {
    let mut draft = Draft::default();
    let id = reading.id(supply);
    let issues = reading.issues(supply);
    let ended = reading.discontinued(supply);
    let scene = reading.merging(given.scene, ended);
    let given = &Given { scene: &scene, drug: given.drug.clone(), ..*given };
    let mut request = request(reading, supply, given, "plan", &mut draft);
    let acute = supply.of("repeatNumber", "value") == Some("0");
    request.extension.insert(0, repeat_information(supply, acute, issues.len()));
    request.extension.push(prescription(acute));
    request.status = match (ended, supply.of("statusCode", "code")) {
        (Some(end), _) => {
            if reading.ended_by(end).is_some_and(|(_, said)| !said) {
                draft.fault(Fault::DanglingReference);
            }
            let status = stop(end, &mut request, &mut draft);
            unread::say(reading, end, READ_END, &mut draft);
            status
        }
        (None, Some("ACTIVE")) => "active",
        (None, Some("COMPLETE")) => "completed",
        (None, _) => {
            draft.fault(Fault::UnknownStatus);
            "completed"
        }
    };
    let predecessor = prior(supply, "predecessor");
    let prior = predecessor.and_then(|p| reading.plan(p)).map(|p| reading.id(p));
    request.prior_prescription = prior.and_then(|id| reading.forward("MedicationRequest", &id, &mut draft));
    if predecessor.is_some() && request.prior_prescription.is_none() {
        draft.fault(Fault::DanglingReference);
    }
    request.note.extend(std::mem::take(&mut draft).into_noted(&mut draft));
    let reference = reading.add("MedicationRequest", &id, &request);
    reading.settle(supply, &reference, &draft);
    if let Some(end) = ended {
        reading.merge(end, &reference);
    }
    state(reading, supply, given, &request, &id, issues.last().copied());
    if acute {
        again(reading, supply, given, request, &issues);
    }
    vec![reference]
}

/// A plan and its statement for each further issue of an acute plan, chained to the one before.
fn again<'t>(
    reading: &mut Reading<'t>,
    supply: Element<'t>,
    given: &Given<'t, '_>,
    plan: fhir::MedicationRequest<'t>,
    issues: &[Element<'t>],
) {
    let mut before = reading.id(supply).into_owned();
    for issue in issues.iter().skip(1) {
        let id = reading.derived(*issue, "plan");
        let day = issue.of("availabilityTime", "value").and_then(dates::fhir);
        let scene = reading.merging(given.scene, [*issue]);
        let given = &Given { scene: &scene, drug: given.drug.clone(), ..*given };
        let mut next = plan.clone();
        next.meta = reading.meta("MedicationRequest", supply, &scene);
        next.identifier = reading.identifier(&id);
        next.authored_on.clone_from(&day);
        next.prior_prescription = Some(Reference::to("MedicationRequest", &before));
        if let Some(dispense) = &mut next.dispense_request {
            dispense.validity_period = Some(Period { start: day, ..Period::default() });
        }
        reading.add("MedicationRequest", &id, &next);
        state(reading, supply, given, &next, &id, Some(*issue));
        before = id;
    }
}

/// Reads an issue: an order that fulfils a plan.
pub(super) fn read_order<'t>(
    reading: &mut Reading<'t>,
    supply: Element<'t>,
    given: &Given<'t, '_>,
) -> Reference<'t> {
    let mut draft = Draft::default();
    let id = reading.id(supply);
    let mut order = request(reading, supply, given, "order", &mut draft);
    order.status = "completed";
    match reading.plan_of(supply) {
        Some((plan, acute)) => {
            order.based_on.extend(reading.forward("MedicationRequest", &plan, &mut draft));
            order.extension.push(prescription(acute));
        }
        None => draft.fault(Fault::OrderWithoutPlan),
    }
    if supply.name() == "ehrSupplyDispense" {
        draft.add(Some("Dispensed"));
    }
    order.note.extend(std::mem::take(&mut draft).into_noted(&mut draft));
    let reference = reading.add("MedicationRequest", &id, &order);
    reading.settle(supply, &reference, &draft);
    reference
}

/// What is read of a supply; the rest goes to text.
const READ: &[&str] = &[
    "code",
    "effectiveTime",
    "availabilityTime",
    "repeatNumber",
    "quantity",
    "predecessor",
    "inFulfillmentOf",
    "pertinentInformation",
];

/// What is read of what ends a plan.
const READ_END: &[&str] = &["code", "availabilityTime", "reversalOf", "pertinentInformation"];

/// What is read of the statement around it.
const READ_AROUND: &[&str] = &["effectiveTime", "availabilityTime", "consumable", "pertinentInformation"];

/// What plans and orders both say.
fn request<'t>(
    reading: &Reading<'t>,
    supply: Element<'t>,
    given: &Given<'t, '_>,
    intent: &'static str,
    draft: &mut Draft,
) -> fhir::MedicationRequest<'t> {
    let statement = given.statement;
    let available = supply.of("availabilityTime", "value").or(statement.of("availabilityTime", "value"));
    let authored = draft.moment("Available", available);
    let effective = supply.child("effectiveTime").or(statement.child("effectiveTime"));
    let who = reading.actor(statement, &["AUT", "PRF", "PPRF"], given.scene, draft);
    let quantity = supply.child("quantity").map(quantities::amount).filter(|q| q.value.is_some());
    let (code, known) = agency_of(supply);
    if !known {
        draft.say("Supply", code);
    }
    unread::say(reading, supply, READ, draft);
    unread::say(reading, statement, READ_AROUND, draft);
    for more in given.dosages().skip(1) {
        draft.say("Dosage", Some(more));
    }
    unread::others(reading, statement, given.scene, &[who.as_ref()], draft);
    let annotations = supply
        .all("pertinentInformation")
        .filter_map(|p| p.down(&["pertinentSupplyAnnotation", "text"])?.text())
        .chain(result::annotations(statement));
    fhir::MedicationRequest {
        meta: reading.meta("MedicationRequest", supply, given.scene),
        identifier: reading.identifier(&reading.id(supply)),
        intent,
        medication_reference: given.drug.clone(),
        subject: reading.subject(),
        context: given.scene.context(),
        dispense_request: Some(fhir::DispenseRequest {
            validity_period: Some(validity(effective, authored.as_deref(), draft)),
            quantity,
            ..fhir::DispenseRequest::default()
        }),
        authored_on: authored,
        requester: who
            .clone()
            .map(|agent| fhir::Requester { agent: Some(agent), ..fhir::Requester::default() }),
        recorder: who,
        note: fhir::notes(annotations.map(Into::into)),
        dosage_instruction: vec![given.dosage()],
        ..fhir::MedicationRequest::default()
    }
}

impl<'t> Given<'t, '_> {
    fn dosages(&self) -> impl Iterator<Item = &'t str> + use<'t> {
        let dosages = self.statement.all("pertinentInformation");
        dosages.filter_map(|p| p.down(&["pertinentMedicationDosage", "text"])?.text())
    }

    fn dosage(&self) -> fhir::Dosage<'t> {
        let text = self.dosages().next();
        fhir::Dosage { text: text.unwrap_or("No information available").into(), ..fhir::Dosage::default() }
    }
}

fn validity<'t>(effective: Option<Element<'t>>, authored: Option<&str>, draft: &mut Draft) -> Period<'t> {
    let authored = authored.map(str::to_owned);
    let (start, end) = match dates::when(effective, draft) {
        When::At(start) => (Some(start), None),
        When::Between(start, end) => (start.or(authored), end.map(|end| without_midnight(&end))),
        When::Unknown => (authored, None),
    };
    Period { start, end, ..Period::default() }
}

/// An end at midnight is a day that a system padded with noughts.
fn without_midnight(time: &str) -> String {
    time.split_once("T00:00:00").map_or(time, |(day, _)| day).to_owned()
}

/// The address of an extension of GP Connect's.
macro_rules! nhs {
    ($name:literal) => {
        concat!("https://fhir.nhs.uk/STU3/StructureDefinition/Extension-CareConnect-GPC-", $name)
    };
}

fn repeat_information<'t>(supply: Element<'t>, acute: bool, issued: usize) -> Extension<'t> {
    let allowed = supply.of("repeatNumber", "value").and_then(|n| n.parse().ok()).filter(|_| !acute);
    let count = |url, count| Extension { url, value: Value::Count(count) };
    let issued = u32::try_from(issued).unwrap_or(u32::MAX);
    let parts = allowed.map(|n| count("numberOfRepeatPrescriptionsAllowed", n)).into_iter();
    let parts = parts.chain([count("numberOfRepeatPrescriptionsIssued", issued)]).collect();
    Extension { url: nhs!("MedicationRepeatInformation-1"), value: Value::Parts(parts) }
}

fn prescription<'t>(acute: bool) -> Extension<'t> {
    let (code, display) = if acute { ("acute", "Acute") } else { ("repeat", "Repeat") };
    Extension {
        url: nhs!("PrescriptionType-1"),
        value: Value::Concept(fhir::CodeableConcept::of(
            "https://fhir.nhs.uk/STU3/CodeSystem/CareConnect-PrescriptionType-1",
            code,
            display,
        )),
    }
}

/// A plan that was discontinued is stopped, at the time that is said; without a time it is completed.
fn stop<'t>(end: Element<'t>, request: &mut fhir::MedicationRequest<'t>, draft: &mut Draft) -> &'static str {
    let said = end.all("pertinentInformation");
    let mut said = said.filter_map(|p| p.down(&["pertinentSupplyAnnotation", "text"])?.text());
    let annotation = said.next();
    said.for_each(|more| draft.say("Stopped", Some(more)));
    let Some(changed) = draft.moment("Stopped", end.of("availabilityTime", "value")) else {
        draft.say("Stopped", annotation);
        return "completed";
    };
    let mut reason = end.child("code").map(|code| codes::plain(code, draft)).unwrap_or_default();
    reason.text = annotation.map(Into::into).or(reason.text);
    let part = |url, value| Extension { url, value };
    request.extension.push(part(
        nhs!("MedicationStatusReason-1"),
        Value::Parts(vec![
            part("statusReason", Value::Concept(reason)),
            part("statusChangeDate", Value::DateTime(changed)),
        ]),
    ));
    "stopped"
}

/// The agency of a supply code: its GP Connect code, and whether it is one we know.
fn agency_of(supply: Element<'_>) -> (Option<&str>, bool) {
    let code = supply.child("code");
    let words =
        code.and_then(|c| c.child("originalText").and_then(Element::text).or(c.attribute("displayName")));
    match code.and_then(|c| c.attribute("code")) {
        Some("394823007" | "9bG0." | "9bG0.00") => (Some("prescribed-at-gp-practice"), true),
        Some("394828003") => (Some("prescribed-by-another-organisation"), true),
        Some(other) => (words.or(Some(other)), false),
        None => (words, words.is_none()),
    }
}

/// The MedicationStatement of a plan.
fn state<'t>(
    reading: &mut Reading<'t>,
    supply: Element<'t>,
    given: &Given<'t, '_>,
    plan: &fhir::MedicationRequest<'t>,
    plan_id: &str,
    last: Option<Element<'t>>,
) {
    let id = format!("{plan_id}-MS");
    let mut extension = Vec::new();
    if let (Some(code), true) = agency_of(supply) {
        let (code, display) = match code {
            "prescribed-at-gp-practice" => ("prescribed-at-gp-practice", "Prescribed at GP practice"),
            _ => ("prescribed-by-another-organisation", "Prescribed by another organisation"),
        };
        extension.push(Extension {
            url: nhs!("PrescribingAgency-1"),
            value: Value::Concept(fhir::CodeableConcept::of(
                "https://fhir.nhs.uk/STU3/CodeSystem/CareConnect-PrescribingAgency-1",
                code,
                display,
            )),
        });
    }
    if let Some(issued) = last.and_then(|i| i.of("availabilityTime", "value")).and_then(dates::fhir) {
        extension.push(Extension {
            url: nhs!("MedicationStatementLastIssueDate-1"),
            value: Value::DateTime(issued),
        });
    }
    let statement = fhir::MedicationStatement {
        meta: reading.meta("MedicationStatement", supply, given.scene),
        extension,
        identifier: reading.identifier(&id),
        based_on: vec![Reference::to("MedicationRequest", plan_id)],
        context: given.scene.context(),
        status: plan.status,
        medication_reference: given.drug.clone(),
        effective_period: plan.dispense_request.as_ref().and_then(|d| d.validity_period.clone()),
        date_asserted: reading.written(given.scene),
        subject: reading.subject(),
        taken: "unk",
        dosage: plan.dosage_instruction.clone(),
        ..fhir::MedicationStatement::default()
    };
    reading.add("MedicationStatement", &id, &statement);
}
