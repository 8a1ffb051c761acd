//! AllergyIntolerance: a CATEGORY that says drug or other, around one ObservationStatement (extract §8.3).

use super::account::{Fault, Unsent};
use super::codes::{self, Degrade, Lead};
use super::dates::{self, Span};
use super::draft::Draft;
use super::fhir::{self, Reference};
use super::json::Json;
use super::quantities;
use super::reading::Reading;
use super::result;
use super::scene::Scene;
use super::tree::Element;
use super::unread;
use super::unslotted;
use super::work::{
    COMPONENT, Kind, OBSERVATION, Statement, Target, Work, annotation, complete, fixed, id, participant,
};
use super::xml::Xml;

/// Which of the two compounds an allergy sits in.
fn compound(resource: &Json) -> ((&'static str, &'static str), bool) {
    const DRUG: (&str, &str) = ("14L..00", "H/O: drug allergy");
    const OTHER: (&str, &str) = ("SN53.00", "Allergy, unspecified");
    let categories: Vec<&str> = resource.list("category").iter().filter_map(Json::text).collect();
    if categories.contains(&"medication") {
        return (DRUG, true);
    }
    if !categories.is_empty() {
        return (OTHER, true);
    }
    let product = |c: &Json| {
        c.word("system").is_some_and(|s| s.ends_with("emis-drug-codes"))
            || c.word("display").is_some_and(|d| d.ends_with("(product)"))
    };
    (if resource.at("code").list("coding").iter().any(product) { DRUG } else { OTHER }, false)
}

/// Writes the statement of an allergy.
pub(super) fn statement(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("verificationStatus") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    let own = work.own(at);
    let outer = work.part(at, "statement");
    let mut draft = Draft::default();
    let (onset, effective) = onset(resource, &mut draft);
    let asserted = draft.date("Asserted", resource.at("assertedDate"));
    let available = asserted.or(onset);
    text(work, at, &mut draft);
    let recorder = work.agent(at, resource.at("recorder"), &mut draft);
    let asserter = asserter(work, at, &mut draft).or_else(|| recorder.clone());
    let ((code, display), stated) = compound(resource);
    if !stated {
        draft.fault(Fault::NoCode);
    }
    let mut x = Xml::new();
    x.with("CompoundStatement", &[("classCode", "CATEGORY"), ("moodCode", "EVN")], |x| {
        id(x, &outer);
        x.empty("code", &[("code", code), ("codeSystem", codes::READ), ("displayName", display)]);
        complete(x);
        effective.write(x, "UNK");
        dates::write(x, "availabilityTime", available.as_deref());
        work.label(x, at);
        x.with("component", &COMPONENT, |x| {
            x.with("ObservationStatement", &OBSERVATION, |x| {
                id(x, &own);
                codes::write(x, "code", resource.at("code"), Lead::Description, &mut draft);
                complete(x);
                effective.write(x, "UNK");
                dates::write(x, "availabilityTime", available.as_deref());
                work.label(x, at);
                annotation(x, &draft.text());
                participant(x, "AUT", recorder.as_deref());
                participant(x, "PRF", asserter.as_deref());
            });
        });
    });
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "EVN" });
    work.settle(at, &own, &draft);
    Some(Statement {
        xml: x.into_text(),
        kind: Kind::Entry,
        time: available,
        effective,
        author: recorder.or_else(|| asserter.clone()),
        performer: asserter,
        labelled: work.labelled[at],
    })
}

/// Whether a List says that the patient has no known allergies: asked, and none.
pub(super) fn are_none(list: &Json) -> bool {
    const ALLERGIES: &str = "886921000000105";
    let asked = codes::has(list.at("emptyReason"), "nilknown");
    asked && codes::has(list.at("code"), ALLERGIES) && list.list("entry").is_empty()
}

/// Writes that none are known, with the words of the List.
pub(super) fn none_known(work: &mut Work<'_>, at: usize, mut draft: Draft) -> Statement {
    let own = work.part(at, "named");
    let time = work.json(at).word("date").and_then(dates::wire);
    let effective = Span::at(time.clone());
    let mut x = Xml::new();
    x.with("ObservationStatement", &OBSERVATION, |x| {
        id(x, &own);
        fixed(x, "716186003", "No known allergy", None);
        complete(x);
        effective.write(x, "UNK");
        dates::write(x, "availabilityTime", time.as_deref());
        work.label(x, at);
        annotation(x, &draft.text());
    });
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    work.settle(at, &own, &draft);
    Statement {
        xml: x.into_text(),
        kind: Kind::Entry,
        time,
        effective,
        author: None,
        performer: None,
        labelled: work.labelled[at],
    }
}

/// The onset as a moment; an age or a range goes to text.
fn onset(resource: &Json, draft: &mut Draft) -> (Option<String>, Span) {
    let moment = draft.date("Onset", resource.at("onsetDateTime"));
    let (start, end) = draft.period("Onset", resource.at("onsetPeriod"));
    if moment.is_none() && start.is_some() {
        draft.say("Onset ended", end.as_deref());
    }
    for (name, kind) in [("onsetAge", "Age"), ("onsetRange", "Range"), ("onsetString", "String")] {
        draft.say("Onset", quantities::words(kind, resource.at(name)).as_deref());
    }
    let onset = moment.or(start);
    (onset.clone(), Span::at(onset))
}

/// The asserter, when a person or organisation that an Agent can stand for; otherwise in text.
fn asserter(work: &mut Work<'_>, at: usize, draft: &mut Draft) -> Option<String> {
    let asserter = work.json(at).at("asserter");
    let found = work.record.resolve(at, asserter).map(|a| work.entry(a).kind.as_str());
    match found {
        Some("Patient" | "RelatedPerson") => {
            draft.say("Asserted By", found);
            None
        }
        Some(_) | None => work.agent(at, asserter, draft),
    }
}

/// What is read of an AllergyIntolerance; the rest goes to text.
const TOLD: &[&str] = &[
    "clinicalStatus",
    "verificationStatus",
    "type",
    "category",
    "criticality",
    "code",
    "onset[x]",
    "assertedDate",
    "recorder",
    "asserter",
    "lastOccurrence",
    "note.text",
    "reaction.description",
    "reaction.substance",
    "reaction.exposureRoute",
    "reaction.severity",
    "reaction.onset",
    "reaction.manifestation",
    "reaction.note.text",
    "extension.AllergyIntoleranceEnd",
    "extension.associatedEncounter",
];

fn text(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    match resource.word("clinicalStatus") {
        Some("active") => draft.say("Status", Some("Active")),
        Some("resolved") => draft.say("Status", Some("Resolved")),
        Some(status) => draft.say("Status", Some(status)),
        None => {}
    }
    let end = resource.extension("AllergyIntoleranceEnd");
    for part in end.list("extension") {
        let label = if part.word("url") == Some("endDate") { "End Date" } else { "Reason Ended" };
        let value = part.choice("value").and_then(|(_, v)| v.text());
        let shown = value.and_then(dates::wire);
        draft.say(label, shown.as_deref().filter(|_| label == "End Date").or(value));
    }
    match resource.word("verificationStatus") {
        Some("unconfirmed") | None => {}
        Some(status) => draft.say("Verification Status", Some(status)),
    }
    draft.say("Type", resource.word("type"));
    draft.say("Criticality", resource.word("criticality"));
    draft.say("Last Occurred", resource.word("lastOccurrence"));
    for (n, reaction) in resource.list("reaction").iter().enumerate() {
        reaction_words(n + 1, reaction, draft);
    }
    draft.notes(resource);
    unslotted::say(work, at, TOLD, draft);
}

fn reaction_words(n: usize, reaction: &Json, draft: &mut Draft) {
    let mut own = Draft::default();
    own.say("Description", reaction.word("description"));
    own.concept("Substance", reaction.at("substance"));
    own.concept("Exposure Route", reaction.at("exposureRoute"));
    own.say("Severity", reaction.word("severity"));
    own.say("Onset", reaction.word("onset"));
    for manifestation in reaction.list("manifestation") {
        own.concept("Manifestation", manifestation);
    }
    own.notes(reaction);
    draft.say(&format!("Reaction {n}"), Some(&own.text()));
}

/// The one observation of a compound that says it is an allergy (extract §13.2).
pub(super) fn within(compound: Element<'_>) -> Option<Element<'_>> {
    let code = compound.child("code")?;
    let read = code.attribute("codeSystem") == Some(codes::READ);
    if !read || !matches!(code.attribute("code"), Some("14L..00" | "SN53.00" | "14L.." | "SN53.")) {
        return None;
    }
    let mut components = compound.all("component");
    let only = components.next().filter(|_| components.next().is_none());
    only?.child("ObservationStatement")
}

/// What is read of the observation in it; the rest goes to text.
const READ: &[&str] =
    &["code", "effectiveTime", "availabilityTime", "value", "subject", "pertinentInformation"];

/// Reads an allergy.
pub(super) fn read<'t>(
    reading: &mut Reading<'t>,
    compound: Element<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
) -> Reference<'t> {
    let mut draft = Draft::default();
    let id = reading.id(statement);
    let drug = compound.of("code", "code").is_some_and(|code| code.starts_with("14L"));
    let (category, degrade) =
        if drug { ("medication", Degrade::DrugAllergy) } else { ("environment", Degrade::OtherAllergy) };
    // Some systems put what one is allergic to in the value; Egton's codes there only repeat the heading.
    let value = statement.child("value").filter(|v| v.attribute("code").is_some());
    let value = value.filter(|v| v.attribute("codeSystem") != Some(codes::EGTON));
    let code = codes::read(value.or(statement.child("code")), degrade, &mut draft);
    let onset = dates::when(statement.child("effectiveTime"), &mut draft);
    let asserted = draft.moment("Available", statement.of("availabilityTime", "value"));
    let recorder = reading.participant(statement, &["AUT"]);
    let recorder_unknown = recorder.is_none() && reading.names_nobody_known(statement, &["AUT"]);
    if recorder_unknown {
        draft.fault(Fault::UnknownAgent);
    }
    let asserter = reading.actor(statement, &["PRF", "PPRF"], scene, &mut draft);
    draft.add(result::comment(statement, String::new()).as_deref());
    besides(compound, statement, value, &onset, &mut draft);
    unread::say(reading, statement, READ, &mut draft);
    unread::say(reading, compound, result::GROUP, &mut draft);
    let named = [recorder.as_ref(), asserter.as_ref()];
    unread::others(reading, statement, scene, &named, &mut draft);
    let (faults, note) = (draft.only_faults(), draft.into_notes());
    let allergy = fhir::AllergyIntolerance {
        meta: reading.meta("AllergyIntolerance", statement, scene),
        identifier: reading.identifier(&id),
        clinical_status: "active",
        verification_status: "unconfirmed",
        category: vec![category],
        code: Some(code),
        patient: reading.subject(),
        onset_date_time: match onset {
            dates::When::At(moment) => Some(moment),
            dates::When::Between(start, _) => start,
            dates::When::Unknown => None,
        },
        asserted_date: asserted,
        recorder: recorder.or_else(|| asserter.clone().filter(|_| !recorder_unknown)),
        asserter,
        note,
        ..fhir::AllergyIntolerance::default()
    };
    let reference = reading.add("AllergyIntolerance", &id, &allergy);
    reading.settle(statement, &reference, &faults);
    reading.merge(compound, &reference);
    reference
}

/// What a received allergy says that FHIR has no place for.
fn besides<'t>(
    compound: Element<'t>,
    statement: Element<'t>,
    value: Option<Element<'t>>,
    onset: &dates::When,
    draft: &mut Draft,
) {
    for words in result::annotations(compound) {
        draft.add(Some(words));
    }
    if let Some(value) = value {
        let [own, taken] = [statement.child("code"), Some(value)].map(|code| code.and_then(codes::said));
        draft.say("Code", own.filter(|own| taken != Some(*own)));
    } else if statement.of("value", "code").is_none() {
        let measured = quantities::read(statement, draft).shown();
        draft.say("Value", measured.as_deref());
    }
    if let dates::When::Between(_, end) = onset {
        draft.say("End Date", end.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn an_ended_drug_allergy_keeps_its_code_and_says_that_it_ended() {
        let (xml, account) = extract(
            r#"{"resourceType": "AllergyIntolerance", "id": "a", "clinicalStatus": "resolved", "category": ["medication"],
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "294881007", "display": "Allergy to warfarin"}]},
            "onsetDateTime": "2010", "assertedDate": "2010-01-13",
            "reaction": [{"manifestation": [{"text": "rash"}], "severity": "mild"}]}"#,
        );
        assert!(xml.contains(r#"code="14L..00""#) && xml.contains(r#"code="294881007""#), "D5: {xml}");
        assert!(xml.contains("Status: Resolved Reaction 1: Severity: mild Manifestation: rash"), "{xml}");
        assert!(!xml.contains("ENV"), "D4");
        assert_eq!(state(&account, "AllergyIntolerance"), "mapped");
    }

    #[test]
    fn a_contained_allergy_is_mapped_like_any_other() {
        let (xml, account) = extract(
            r#"{"resourceType": "List", "id": "ended", "contained": [
              {"resourceType": "AllergyIntolerance", "id": "1", "category": ["food"], "code": {"text": "nuts"}}]}"#,
        );
        assert!(xml.contains("SN53.00") && xml.contains("nuts"));
        assert_eq!(state(&account, "AllergyIntolerance"), "mapped");
    }

    #[test]
    fn a_product_without_category_is_a_drug_allergy_and_listed() {
        let (xml, account) = extract(
            r#"{"resourceType": "AllergyIntolerance", "id": "a", "code": {"coding": [
              {"system": "http://snomed.info/sct", "code": "27658006", "display": "Amoxicillin (product)"}]}}"#,
        );
        assert!(xml.contains("14L..00"), "extract §8.3: {xml}");
        assert_eq!(state(&account, "AllergyIntolerance"), "degraded");
    }

    #[test]
    fn that_no_allergies_are_known_is_said() {
        let (xml, _) = extract(
            r#"{"resourceType": "List", "id": "l", "date": "2011-02-03", "code": {"coding": [{"code": "886921000000105"}]},
            "title": "Allergies and adverse reactions", "emptyReason": {"coding": [{"code": "nilknown"}]},
            "note": [{"text": "asked today"}]}"#,
        );
        assert!(
            xml.contains(r#"<code code="716186003""#) && xml.contains("asked today"),
            "extract §8.3: {xml}"
        );
    }
}
