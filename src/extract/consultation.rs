//! A composition, read: a consultation becomes an Encounter with its Lists, other data go on without (extract §13.2).
//! Writing compositions is in `composition`.

use super::account::{Fault, Unsent};
use super::codes;
use super::dates::{self, When};
use super::draft::Draft;
use super::fhir::{
    self, CodeableConcept, Encounter, EncounterLocation, Extension, List, ListEntry, Location, Participant,
    Period, Reference, Text, Value,
};
use super::reading::Reading;
use super::scene::Scene;
use super::tree::Element;
use super::{allergy, document, immunization, medication, problem, report, request, result};

/// Compositions of data outside consultations (NPFIT-PC-BLD-0133).
const OUTSIDE: [&str; 2] = ["196401000000100", "196391000000103"];

/// Reads a composition, or what stands in its place.
pub(super) fn read<'t>(reading: &mut Reading<'t>, composition: Element<'t>) {
    if composition.name() != "ehrComposition" {
        return;
    }
    let code = composition.of("code", "code");
    let inside = || composition.all("component").flat_map(Element::children);
    let nothing = inside().find(|e| ["EhrEmpty", "RegistrationStatement"].contains(&e.name()));
    let consultation = nothing.is_none() && !code.is_some_and(|c| OUTSIDE.contains(&c));
    let scene = Scene::of(composition, consultation.then(|| reading.id(composition)));
    if consultation {
        return encounter(reading, composition, &scene);
    }
    let made: Vec<_> = inside().flat_map(|e| statement(reading, e, &scene)).collect();
    match (made.first(), nothing) {
        (Some(first), _) => reading.merge(composition, first),
        (None, _) => reading.leave(composition, Unsent::Empty),
    }
}

/// Reads one statement; gives the resources that a List should name.
pub(super) fn statement<'t>(
    reading: &mut Reading<'t>,
    element: Element<'t>,
    scene: &Scene<'t>,
) -> Vec<Reference<'t>> {
    match element.name() {
        "CompoundStatement" => compound(reading, element, &scene.inside(element)),
        "ObservationStatement" if reading.twins.contains_key(&element.place()) => Vec::new(),
        "ObservationStatement" if immunization::is_vaccination(element) => {
            vec![immunization::read(reading, element, scene)]
        }
        "ObservationStatement" => vec![result::read(reading, element, scene)],
        "NarrativeStatement" => document::read(reading, element, scene),
        "MedicationStatement" => medication::read(reading, element, scene),
        "PlanStatement" => vec![request::read_plan(reading, element, scene)],
        "RequestStatement" => vec![request::read_referral(reading, element, scene)],
        "LinkSet" => problem::wait(reading, element, scene),
        "RegistrationStatement" => {
            reading.leave(element, Unsent::Registration);
            Vec::new()
        }
        "EhrEmpty" => {
            reading.leave(element, Unsent::Empty);
            Vec::new()
        }
        _ => vec![result::other(reading, element, scene)],
    }
}

/// Reads a compound by what it is; a heading where none belongs gives what is under it.
fn compound<'t>(reading: &mut Reading<'t>, element: Element<'t>, scene: &Scene<'t>) -> Vec<Reference<'t>> {
    if let Some(allergy) = allergy::within(element) {
        return vec![allergy::read(reading, element, allergy, scene)];
    }
    if report::is_report(element) {
        return vec![report::read(reading, element, scene)];
    }
    match element.attribute("classCode") {
        Some("TOPIC" | "CATEGORY") => misplaced(reading, element, scene),
        _ => result::read_group(reading, element, scene),
    }
}

/// A heading where none belongs: in a consultation its words are the title of a List, elsewhere they are a comment
/// before what is under it. One that has no words of its own has nothing to lose (extract §13.2).
fn misplaced<'t>(reading: &mut Reading<'t>, element: Element<'t>, scene: &Scene<'t>) -> Vec<Reference<'t>> {
    let words = own_words(element);
    if words.is_some() && scene.encounter.is_some() {
        return vec![category(reading, element, scene)];
    }
    let mut made: Vec<_> = contents(element).flat_map(|e| statement(reading, e, scene)).collect();
    match (words, made.first()) {
        (Some(words), _) => {
            let comment = format!("Heading: {words}");
            made.insert(0, reading.say(element, scene, comment, &mut Draft::default()));
        }
        (None, Some(first)) => reading.merge(element, first),
        (None, None) => drop(reading.narrate(element, scene, &mut Draft::default())),
    }
    made
}

/// The statements inside a compound or composition.
pub(super) fn contents<'t>(holder: Element<'t>) -> impl Iterator<Item = Element<'t>> {
    holder.all("component").flat_map(Element::children)
}

fn encounter<'t>(reading: &mut Reading<'t>, composition: Element<'t>, scene: &Scene<'t>) {
    let id = reading.id(composition);
    let mut draft = Draft::default();
    let location = location(reading, composition);
    let author = composition.down(&["author", "agentRef"]).and_then(|a| reading.agent(a));
    if author.is_none()
        && composition.down(&["author", "agentRef", "id"]).is_some_and(|id| id.attribute("root").is_some())
    {
        draft.fault(Fault::UnknownAgent);
    }
    let participants = [
        ("https://fhir.nhs.uk/STU3/CodeSystem/GPConnect-ParticipantType-1", "REC", "recorder", author),
        ("http://hl7.org/fhir/v3/ParticipationType", "PPRF", "primary performer", reading.performer(scene)),
    ];
    let participant = participants.into_iter().filter_map(|(system, code, display, who)| {
        let who = who?;
        Some(Participant {
            r#type: vec![CodeableConcept::of(system, code, display)],
            individual: Some(who),
            ..Participant::default()
        })
    });
    let name = composition.child("code").map(|c| codes::plain(c, &mut draft));
    let encounter = Encounter {
        meta: reading.meta("Encounter", composition, scene),
        identifier: reading.identifier(&id),
        status: "finished",
        r#type: name.iter().cloned().collect(),
        subject: reading.subject(),
        participant: participant.collect(),
        period: period(composition, &mut draft),
        location: location.into_iter().collect(),
        ..Encounter::default()
    };
    let reference = reading.add("Encounter", &id, &encounter);
    reading.settle(composition, &reference, &draft);
    lists(reading, composition, scene, name);
}

fn period<'t>(composition: Element<'t>, draft: &mut Draft) -> Option<Period<'t>> {
    let (start, end) = match dates::when(composition.child("effectiveTime"), draft) {
        When::At(moment) => (Some(moment), None),
        When::Between(start, end) => (start, end),
        When::Unknown => (None, None),
    };
    let start = start.or_else(|| draft.moment("Available", composition.of("availabilityTime", "value")));
    (start.is_some() || end.is_some()).then(|| Period { start, end, ..Period::default() })
}

/// The place, one Location for all compositions that name it.
fn location<'t>(reading: &mut Reading<'t>, composition: Element<'t>) -> Option<EncounterLocation<'t>> {
    let place = composition.child("location")?;
    let name =
        place.down(&["locatedEntity", "locatedPlace", "name"]).and_then(Element::text).unwrap_or("Unknown");
    let location = match reading.places.get(name) {
        Some(known) => known.clone(),
        None => {
            let id = reading.derived(composition, "location");
            let resource = Location {
                meta: Some(fhir::Meta { profile: "Location", withheld: false }),
                identifier: reading.identifier(&id),
                status: "active",
                name: name.into(),
                ..Location::default()
            };
            let reference = reading.add("Location", &id, &resource);
            reading.places.insert(name, reference.clone());
            reference
        }
    };
    Some(EncounterLocation { location: Some(location), ..EncounterLocation::default() })
}

const CONSULTATION: (&str, &str) = ("325851000000107", "Consultation");
const TOPIC: (&str, &str) = ("25851000000105", "Topic (EHR)");
const HEADING: (&str, &str) = ("24781000000107", "Category (EHR)");

/// The consultation's List, with one for each topic and each heading in a topic.
fn lists<'t>(
    reading: &mut Reading<'t>,
    composition: Element<'t>,
    scene: &Scene<'t>,
    name: Option<CodeableConcept<'t>>,
) {
    let is_topic = |e: &Element<'t>| is_heading(*e, "TOPIC");
    let (topics, loose): (Vec<_>, Vec<_>) = contents(composition).partition(is_topic);
    let mut entries = Vec::new();
    for topic in &topics {
        entries.push(self::topic(reading, *topic, scene));
    }
    // A List takes topics only: what stands beside them is in a topic of its own, where there is none.
    let loose: Vec<_> = loose.into_iter().flat_map(|e| statement(reading, e, scene)).collect();
    if topics.is_empty() {
        let id = reading.derived(composition, "topic");
        entries.push(list(reading, composition, scene, TOPIC, &id, None, loose, Vec::new()));
    } else {
        entries.extend(loose);
    }
    let id = format!("{}-CONS", reading.id(composition));
    let title = name.and_then(|n| n.text.or(n.coding.into_iter().next().map(|c| c.display)));
    list(reading, composition, scene, CONSULTATION, &id, title, entries, Vec::new());
}

fn is_heading(element: Element<'_>, class: &str) -> bool {
    element.name() == "CompoundStatement" && element.attribute("classCode") == Some(class)
}

fn topic<'t>(reading: &mut Reading<'t>, topic: Element<'t>, scene: &Scene<'t>) -> Reference<'t> {
    let scene = scene.inside(topic);
    let mut entries = Vec::new();
    for element in contents(topic) {
        if is_heading(element, "CATEGORY") && allergy::within(element).is_none() {
            entries.push(category(reading, element, &scene));
        } else {
            entries.extend(statement(reading, element, &scene));
        }
    }
    let mut draft = Draft::default();
    let about = topic.of("code", "code").and_then(|code| reading.problems.get(code)).cloned();
    let about = about.and_then(|id| reading.forward("Condition", &id, &mut draft)).map(|problem| Extension {
        url: "https://fhir.hl7.org.uk/STU3/StructureDefinition/Extension-CareConnect-RelatedProblemHeader-1",
        value: Value::Parts(vec![
            Extension { url: "type", value: Value::Code("related") },
            Extension { url: "target", value: Value::Reference(problem) },
        ]),
    });
    let id = reading.id(topic);
    let made = list(reading, topic, &scene, TOPIC, &id, heading(topic), entries, about.into_iter().collect());
    reading.settle(topic, &made, &draft);
    made
}

/// The List of a heading in a consultation.
fn category<'t>(reading: &mut Reading<'t>, element: Element<'t>, scene: &Scene<'t>) -> Reference<'t> {
    let within = scene.inside(element);
    let inner = contents(element).flat_map(|e| statement(reading, e, &within)).collect();
    let id = reading.id(element);
    let made = list(reading, element, &within, HEADING, &id, heading(element), inner, Vec::new());
    reading.settle(element, &made, &Draft::default());
    made
}

/// The words of a heading, but for those that stand where there are none (extract §7).
fn own_words(element: Element<'_>) -> Option<&str> {
    const NONE: [&str; 2] = ["394841004", "394776006"];
    let code = element.child("code")?;
    let original = code.child("originalText").and_then(Element::text);
    let made = code.attribute("code").is_some_and(|code| NONE.contains(&code));
    original.or(code.attribute("displayName").filter(|_| !made))
}

/// The words of a heading; foreign ones are kept as they are.
fn heading(element: Element<'_>) -> Option<Text<'_>> {
    let code = element.child("code")?;
    let words = code.child("originalText").and_then(Element::text).or(code.attribute("displayName"));
    words.map(Into::into)
}

#[expect(clippy::too_many_arguments, reason = "the three kinds of List differ in just these")]
fn list<'t>(
    reading: &mut Reading<'t>,
    element: Element<'t>,
    scene: &Scene<'t>,
    (code, display): (&'static str, &'static str),
    id: &str,
    title: Option<Text<'t>>,
    entries: Vec<Reference<'t>>,
    extension: Vec<Extension<'t>>,
) -> Reference<'t> {
    let own = reading.written_at(scene.composition);
    let list = List {
        meta: reading.meta("List", element, scene),
        extension,
        status: "current",
        mode: "snapshot",
        title,
        code: Some(CodeableConcept::of(fhir::SNOMED, code, display)),
        subject: reading.subject(),
        encounter: scene.context(),
        date: own,
        ordered_by: Some(CodeableConcept::of("http://hl7.org/fhir/list-order", "system", "Sorted by System")),
        entry: entries
            .into_iter()
            .map(|item| ListEntry { item: Some(item), ..ListEntry::default() })
            .collect(),
        ..List::default()
    };
    reading.add("List", id, &list)
}
