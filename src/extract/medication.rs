//! MedicationRequest: a plan is authorised (and perhaps discontinued), an order is prescribed (extract §8.5).
//!
//! Every live order has a statement of its own, in or out of consultations, whether or not its plan has been written.

use super::account::{Fault, Unsent};
use super::codes::{self, Degrade, Lead};
use super::dates::{self, Span};
use super::draft::Draft;
use super::fhir::{self, Reference};
use super::json::Json;
use super::reading::{Drug, Reading};
use super::result;
use super::scene::Scene;
use super::supply;
use super::tree::Element;
use super::unslotted;
use super::work::{Kind, Statement, Target, Work, id, participant};
use super::xml::Xml;

/// What a medication entry is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Therapy {
    Plan,
    Order,
}

/// Where an entry comes among those of its day: a plan after the plan it replaces, orders after all plans.
pub(super) fn rank(work: &Work<'_>, at: usize) -> usize {
    let mut plan = at;
    for steps in 0..REPLACED {
        let entry = work.entry(plan);
        if entry.kind != "MedicationRequest" {
            return steps;
        }
        if therapy(&entry.json) == Therapy::Order {
            return REPLACED;
        }
        match work.record.resolve(plan, entry.json.at("priorPrescription")) {
            Some(prior) => plan = prior,
            None => return steps,
        }
    }
    REPLACED
}

/// Plans replaced one by another are followed no further than this; a lifetime of re-authorisations is fewer.
const REPLACED: usize = 64;

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

pub(super) fn prescription_type<'a>(resource: &'a Json<'a>) -> Option<&'a str> {
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
pub(super) struct Facts {
    pub(super) own: String,
    pub(super) outer: String,
    pub(super) active: bool,
    pub(super) period: Span,
    pub(super) available: Option<String>,
    pub(super) author: Option<String>,
    pub(super) draft: Draft,
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
    let mut facts = facts(work, at);
    // The drug comes first: what its codes cannot carry belongs in the supply's text.
    let mut inner = Xml::new();
    consumable(&mut inner, work, at, &mut facts.draft);
    match therapy {
        Therapy::Plan => {
            supply::authorise(work, at, &mut facts, &mut inner);
            supply::discontinue(work, at, &mut facts, &mut inner);
        }
        Therapy::Order => supply::prescribe(work, at, &mut facts, &mut inner),
    }
    let given = dosage(work, at);
    let replaced = inner.replaced();
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
        x.append(&inner.into_text());
        x.with("pertinentInformation", &[("typeCode", "PERT")], |x| {
            x.with("pertinentMedicationDosage", &[("classCode", "SBADM"), ("moodCode", "RMD")], |x| {
                x.leaf("text", &[], given.as_deref().unwrap_or("No information available"));
            });
        });
        participant(x, "AUT", facts.author.as_deref());
    });
    if replaced {
        facts.draft.fault(Fault::CharactersReplaced);
    }
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

/// How the drug is to be taken: the text of each instruction; one without gives its parts in words.
pub(super) fn dosage(work: &Work<'_>, at: usize) -> Option<String> {
    let words = |instruction: &Json| match instruction.word("text") {
        Some(text) => text.to_owned(),
        None => {
            let mut draft = Draft::default();
            unslotted::say_of(work, at, "", instruction, &["sequence", "patientInstruction"], &mut draft);
            draft.text()
        }
    };
    let resource = work.json(at);
    let lists = [resource.list("dosageInstruction"), resource.list("dosage")];
    let texts: Vec<String> = lists.into_iter().flatten().map(words).filter(|w| !w.is_empty()).collect();
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
            own = Json::Object([("text".into(), Json::Unescaped(words.into()))].into());
            &own
        }
        None => resource.at("medicationCodeableConcept"),
    };
    if let Some(found) = found {
        unslotted::say(work, found, &["code", "status"], draft);
    }
    x.with("consumable", &[("typeCode", "CSM")], |x| {
        x.with("manufacturedProduct", &[("classCode", "MANU")], |x| {
            x.with("manufacturedMaterial", &[("classCode", "MMAT"), ("determinerCode", "KIND")], |x| {
                codes::write(x, "code", concept, Lead::Concept, draft);
            });
        });
    });
}

/// Reads a MedicationStatement: what it authorises is a plan, what it prescribes an order (extract §13.4).
pub(super) fn read<'t>(
    reading: &mut Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
) -> Vec<Reference<'t>> {
    let scene = &scene.inside(statement);
    let mut draft = Draft::default();
    let drug = drug(reading, statement, &mut draft);
    let therapy = supply::Given { statement, scene, drug };
    let supplies: Vec<_> = statement.all("component").flat_map(Element::children).collect();
    let mut made = Vec::new();
    for supply in &supplies {
        match supply.name() {
            "ehrSupplyAuthorise" => made.extend(supply::read_plan(reading, *supply, &therapy)),
            "ehrSupplyPrescribe" | "ehrSupplyDispense" => {
                made.push(supply::read_order(reading, *supply, &therapy));
            }
            // Read with the plan that it ends, wherever that is.
            "ehrSupplyDiscontinue" => {}
            _ => made.push(result::other(reading, *supply, scene)),
        }
    }
    let Some(first) = made.first().cloned() else {
        let ends: Vec<_> = supplies.iter().filter_map(|s| supply::reversed(reading, *s)).collect();
        match ends.first() {
            Some(plan) => reading.merge(statement, plan),
            None => made.push(reading.narrate(statement, scene, &mut draft)),
        }
        return made;
    };
    if draft.faults().is_empty() {
        reading.merge(statement, &first);
    } else {
        reading.settle(statement, &first, &draft);
    }
    made
}

/// The drug, one Medication for all statements that name it so.
fn drug<'t>(reading: &mut Reading<'t>, statement: Element<'t>, draft: &mut Draft) -> Option<Reference<'t>> {
    let material = statement.down(&["consumable", "manufacturedProduct", "manufacturedMaterial"])?;
    let code = material.child("code")?;
    let key: Drug<'t> = std::iter::once(code).chain(code.all("translation")).map(told).collect();
    if let Some(known) = reading.drugs.get(&key) {
        return Some(known.clone());
    }
    let medication = fhir::Medication {
        meta: Some(fhir::Meta { profile: "Medication", withheld: false }),
        code: Some(codes::read(Some(code), Degrade::Medication, draft)),
        ..fhir::Medication::default()
    };
    let id = reading.derived(statement, "drug");
    let reference = reading.add("Medication", &id, &medication);
    reading.drugs.insert(key, reference.clone());
    Some(reference)
}

/// All that one code of a drug says.
fn told<'t>(code: Element<'t>) -> [Option<&'t str>; 5] {
    let [own, system, display, null] =
        ["code", "codeSystem", "displayName", "nullFlavor"].map(|name| code.attribute(name));
    [own, system, display, null, code.child("originalText").and_then(Element::text)]
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
    fn a_drug_code_without_an_oid_is_quoted_in_the_supply() {
        let coded = r#"{"text": "Aspirin", "coding": [{"system": "urn:local", "code": "A1"}]}"#;
        let (xml, account) = extract(&PLAN.replace(r#"{"text": "Aspirin"}"#, coded));
        assert!(xml.contains("Code: A1"), "extract §3: {xml}");
        assert_eq!(state(&account, "MedicationRequest"), "degraded");
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

    #[test]
    fn an_order_keeps_its_instructions_and_comes_after_its_plan() {
        let order = ORDER.replace(
            r#""dispenseRequest": {"#,
            r#""authoredOn": "2011-02-03", "note": [{"text": "weekly box"}], "dosageInstruction": [{"patientInstruction": "with food"}], "reasonCode": [{"text": "pain"}],
            "dispenseRequest": {"expectedSupplyDuration": {"value": 28, "code": "d"}, "#,
        );
        let plan = PLAN
            .replace(r#""intent": "plan","#, r#""intent": "plan", "authoredOn": "2011-02-03T09:00:00Z","#);
        let (xml, _) = extract(&format!("{order},{plan}"));
        assert!(
            xml.contains(
                "Patient Instruction: with food Reason: pain Expected Supply Duration: 28 days Notes: weekly box"
            ),
            "extract §8.5: {xml}"
        );
        assert!(
            xml.find("<ehrSupplyAuthorise") < xml.find("<ehrSupplyPrescribe"),
            "of one day the plan comes first: {xml}"
        );
    }
}
