//! Immunization: an ObservationStatement whose code is the procedure (extract §8.7).

use super::account::{Fault, Unsent};
use super::codes::{self, Degrade, Lead};
use super::dates::{self, Span, When};
use super::draft::Draft;
use super::fhir::{self, CodeableConcept, Extension, ImmunizationPractitioner, Reference, Value};
use super::json::Json;
use super::quantities;
use super::reading::Reading;
use super::result;
use super::scene::Scene;
use super::tree::Element;
use super::unread;
use super::unslotted;
use super::work::{Kind, OBSERVATION, Statement, Target, Work, annotation, complete, id, participant};
use super::xml::Xml;

/// The first words of a vaccination that was not given.
const NOT_GIVEN: &str = "NOT GIVEN";

/// Writes the statement of an immunisation, given or not.
pub(super) fn statement(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    let own = work.own(at);
    let mut draft = Draft::default();
    let procedure = resource.extension("VaccinationProcedure").at("valueCodeableConcept");
    let concept = if procedure.is_nothing() { resource.at("vaccineCode") } else { procedure };
    given(resource, &mut draft);
    text(work, at, &mut draft);
    let date = draft.date("Date", resource.at("date"));
    let recorded = draft.date("Recorded", resource.extension("DateRecorded").at("valueDateTime"));
    let available = date.clone().or(recorded);
    let practitioner = practitioner(resource).cloned().unwrap_or_default();
    let performer = work.agent(at, &practitioner, &mut draft);
    let mut x = Xml::new();
    x.with("ObservationStatement", &OBSERVATION, |x| {
        id(x, &own);
        codes::write(x, "code", concept, Lead::Description, &mut draft);
        complete(x);
        Span::at(available.clone()).write(x, "UNK");
        dates::write(x, "availabilityTime", available.as_deref());
        work.label(x, at);
        annotation(x, &draft.text());
        participant(x, "PRF", performer.as_deref());
    });
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "EVN" });
    work.settle(at, &own, &draft);
    Some(Statement {
        xml: x.into_text(),
        kind: Kind::Entry,
        effective: Span::at(available.clone()),
        time: available,
        author: performer.clone(),
        performer,
        labelled: work.labelled[at],
    })
}

/// A vaccination that was not given never looks like one that was: the first words say so.
fn given(resource: &Json, draft: &mut Draft) {
    if resource.word("notGiven") == Some("true") || resource.word("status") == Some("not-done") {
        draft.add(Some(NOT_GIVEN));
    }
    for reason in resource.at("explanation").list("reasonNotGiven") {
        draft.concept("Reason not given", reason);
    }
    for reason in resource.at("explanation").list("reason") {
        draft.concept("Reason", reason);
    }
}

/// Who administered it, else who entered it, else the first named.
fn practitioner<'a>(resource: &'a Json<'a>) -> Option<&'a Json<'a>> {
    let named = resource.list("practitioner");
    let of = |role: &'static str| named.iter().find(move |p| codes::has(p.at("role"), role));
    of("AP").or_else(|| of("EP")).or(named.first()).map(|p| p.at("actor"))
}

/// What is read of an Immunization; the rest goes to text.
const TOLD: &[&str] = &[
    "status",
    "notGiven",
    "vaccineCode",
    "date",
    "primarySource",
    "reportOrigin",
    "location",
    "manufacturer",
    "lotNumber",
    "expirationDate",
    "site",
    "route",
    "doseQuantity",
    "practitioner.actor",
    "note.text",
    "explanation.reason",
    "explanation.reasonNotGiven",
    "reaction.date",
    "reaction.detail",
    "vaccinationProtocol.doseSequence",
    "vaccinationProtocol.series",
    "vaccinationProtocol.seriesDoses",
    "vaccinationProtocol.description",
    "vaccinationProtocol.targetDisease",
    "vaccinationProtocol.doseStatus",
    "vaccinationProtocol.doseStatusReason",
    "extension.VaccinationProcedure",
    "extension.DateRecorded",
    "extension.ParentPresent",
];

fn text(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    let present = resource.extension("ParentPresent").word("valueBoolean");
    draft.say("Parent Present", present);
    draft.say("Primary Source", resource.word("primarySource"));
    draft.concept("Report Origin", resource.at("reportOrigin"));
    if !resource.extension("VaccinationProcedure").is_nothing() {
        draft.concept("Vaccine Code", resource.at("vaccineCode"));
    }
    draft.say("Location", work.referred(at, resource.at("location")).as_deref());
    draft.say("Manufacturer", work.referred(at, resource.at("manufacturer")).as_deref());
    draft.say("Batch", resource.word("lotNumber"));
    draft.say("Expiration", resource.word("expirationDate"));
    draft.concept("Site", resource.at("site"));
    draft.concept("Route", resource.at("route"));
    draft.say("Quantity", quantities::words("Quantity", resource.at("doseQuantity")).as_deref());
    for reaction in resource.list("reaction") {
        draft.say("Reaction", reaction.word("date").or(Some("reported")));
        draft.say("Reaction", work.referred(at, reaction.at("detail")).as_deref());
    }
    draft.notes(resource);
    for protocol in resource.list("vaccinationProtocol") {
        draft.say("Dose", protocol.word("doseSequence"));
        draft.say("Series", protocol.word("series"));
        draft.say("Series Doses", protocol.word("seriesDoses"));
        draft.say("Protocol", protocol.word("description"));
        protocol.list("targetDisease").iter().for_each(|d| draft.concept("Target Disease", d));
        draft.concept("Dose Status", protocol.at("doseStatus"));
        draft.concept("Dose Status Reason", protocol.at("doseStatusReason"));
    }
    let chosen = practitioner(resource);
    for other in resource.list("practitioner").iter().map(|p| p.at("actor")).filter(|p| Some(*p) != chosen) {
        draft.say("Practitioner", work.referred(at, other).as_deref());
    }
    unslotted::say(work, at, TOLD, draft);
}

/// Concepts that are vaccinations by their own meaning; whole hierarchies need the terminology.
const VACCINATIONS: [&str; 8] = [
    "33879002",
    "127785005",
    "38598009",
    "86198006",
    "12866006",
    "1324681000000101",
    "1324691000000104",
    "1362591000000103",
];

/// The parts of Read's chapter 65 (prevention and control of infectious disease) in which something is given: 651 to
/// 659, 65A to 65O. In the rest are contacts (65P), carriers (65Q), isolation, tracing and notification (65V): what is
/// not listed stays an observation, because a carrier must never look vaccinated.
const GIVEN: &str = "123456789ABCDEFGHIJKLMNO";

fn is_given(read: &str) -> bool {
    read.strip_prefix("65").is_some_and(|rest| rest.starts_with(|part| GIVEN.contains(part)))
}

/// Whether a received observation is a vaccination: by SNOMED concept, or by Read's parts for them. What only sounds
/// like one stays an observation: a refusal must never look like a dose.
pub(super) fn is_vaccination(statement: Element<'_>) -> bool {
    codes::is_one(statement.child("code"), |system, code| match system {
        codes::SNOMED => VACCINATIONS.contains(&code),
        codes::READ => is_given(code),
        _ => false,
    })
}

/// What is read of a vaccination; the rest goes to text.
const READ: &[&str] =
    &["code", "effectiveTime", "availabilityTime", "value", "subject", "pertinentInformation"];

/// Reads a vaccination.
pub(super) fn read<'t>(
    reading: &mut Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
) -> Reference<'t> {
    let mut draft = Draft::default();
    let id = reading.id(statement);
    let when = dates::when(statement.child("effectiveTime"), &mut draft);
    let available = draft.moment("Available", statement.of("availabilityTime", "value"));
    let procedure = codes::read(statement.child("code"), Degrade::Entry, &mut draft);
    draft.add(result::comment(statement, String::new()).as_deref());
    if let When::Between(_, Some(end)) = &when {
        draft.say("End Date", Some(end));
    }
    let measured = quantities::read(statement, &mut draft);
    draft.say("Value", measured.shown().as_deref());
    let performer = reading.actor(statement, &["PRF", "PPRF"], scene, &mut draft);
    unread::say(reading, statement, READ, &mut draft);
    unread::others(reading, statement, scene, &[performer.as_ref()], &mut draft);
    let (faults, note) = (draft.only_faults(), draft.into_notes());
    let not_given = note.first().is_some_and(|n| n.text.starts_with(NOT_GIVEN));
    let immunization = fhir::Immunization {
        meta: reading.meta("Immunization", statement, scene),
        extension: vec![Extension {
            url: "https://fhir.hl7.org.uk/STU3/StructureDefinition/Extension-CareConnect-VaccinationProcedure-1",
            value: Value::Concept(procedure),
        }],
        identifier: reading.identifier(&id),
        status: "completed",
        not_given: Some(not_given),
        vaccine_code: Some(CodeableConcept::of("http://hl7.org/fhir/v3/NullFlavor", "UNK", "unknown")),
        patient: reading.subject(),
        encounter: scene.context(),
        date: when.moment().map(str::to_owned).or(available),
        primary_source: Some(true),
        practitioner: performer
            .map(|actor| ImmunizationPractitioner {
                role: Some(CodeableConcept::of(
                    "http://hl7.org/fhir/v2/0443",
                    "AP",
                    "Administering Provider",
                )),
                actor: Some(actor),
                ..ImmunizationPractitioner::default()
            })
            .into_iter()
            .collect(),
        note,
        ..fhir::Immunization::default()
    };
    let reference = reading.add("Immunization", &id, &immunization);
    reading.settle(statement, &reference, &faults);
    reference
}

#[cfg(test)]
mod tests {
    use super::is_given;
    use crate::extract::trial::{extract, state};

    #[test]
    fn contacts_carriers_and_notifications_are_no_vaccinations() {
        for code in ["65M1.", "65M1.00", "65E..00", "6572.", "65FD."] {
            assert!(is_given(code), "{code}: extract §13.2");
        }
        for code in ["65...", "65..00", "65P7.", "65Q4.00", "65VA.", "65Y..", "65Z..", "65", "66M1."] {
            assert!(!is_given(code), "{code}: nobody was given anything");
        }
    }

    #[test]
    fn what_was_not_given_says_so_first() {
        let (xml, account) = extract(
            r#"{"resourceType": "Immunization", "id": "i", "notGiven": true, "date": "2020-11-02", "lotNumber": "7",
            "vaccineCode": {"text": "MMR"}, "explanation": {"reasonNotGiven": [{"text": "declined"}]}}"#,
        );
        assert!(xml.contains("<text>NOT GIVEN Reason not given: declined Batch: 7</text>"), "{xml}");
        assert_eq!(state(&account, "Immunization"), "mapped");
    }
}
