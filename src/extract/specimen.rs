//! Specimen: a CLUSTER between a report and its results (extract §8.6, §13.2).

use super::account::Fault;
use super::codes;
use super::consultation;
use super::dates::{self, Span, When};
use super::draft::Draft;
use super::fhir::{self, Collection, Identifier, Reference};
use super::laboratory::{self, Level};
use super::pmip::{self, Comment};
use super::quantities;
use super::reading::Reading;
use super::scene::Scene;
use super::tree::Element;
use super::unread;
use super::unslotted;
use super::work::{COMPONENT, OBSERVATION, Target, Work, complete, fixed, id};
use super::xml::Xml;

/// Where a specimen keeps the number that the laboratory gave it.
const ACCESSION: &str = "2.16.840.1.113883.2.1.4.5.2";

/// What stands in a specimen without results.
const EMPTY: &str = "EMPTY SPECIMEN";

/// What is written for a specimen.
struct Facts {
    own: String,
    accession: Option<String>,
    collected: Span,
    kind: Option<String>,
    draft: Draft,
    labelled: bool,
}

/// Writes a specimen with its results; results without one get a specimen that says so, as receivers need it.
pub(super) fn write(
    work: &mut Work<'_>,
    specimen: Option<usize>,
    results: &[usize],
    level: &Level,
    x: &mut Xml,
) {
    let of = specimen.unwrap_or(level.report);
    let first = specimen.is_some_and(|s| work.states[s].is_none());
    let facts = match specimen {
        Some(at) => facts(work, at, first, level),
        None => Facts {
            own: work.part(of, "specimen/none"),
            accession: None,
            collected: Span::Unknown,
            kind: Some("NOT PRESENT".to_owned()),
            draft: Draft::default(),
            labelled: work.labels(of),
        },
    };
    let mut inner = Xml::new();
    let mut draft = facts.draft;
    if specimen.is_some() && results.is_empty() {
        draft.add(Some(EMPTY));
    }
    let (note, role) = (work.part(of, "specimen/note"), work.part(of, "specimen/role"));
    if !draft.is_silent() {
        let available = level.available.as_deref();
        pmip::write(&mut inner, &note, Comment::Specimen, &draft.lines(), available, facts.labelled);
    }
    for result in results {
        laboratory::write(work, *result, level, &mut inner);
    }
    if results.is_empty() || inner.is_empty() {
        empty(work, of, level, &mut inner);
    }
    if inner.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    x.with("component", &COMPONENT, |x| {
        x.with("CompoundStatement", &[("classCode", "CLUSTER"), ("moodCode", "EVN")], |x| {
            id(x, &facts.own);
            fixed(x, "123038009", "specimen (specimen)", None);
            complete(x);
            Span::Unknown.write(x, "NI");
            dates::write(x, "availabilityTime", level.available.as_deref());
            super::work::label(x, facts.labelled);
            x.with("specimen", &[("typeCode", "SPC")], |x| {
                x.with("specimenRole", &[("classCode", "SPEC")], |x| {
                    id(x, &role);
                    if let Some(accession) = &facts.accession {
                        x.empty("id", &[("root", ACCESSION), ("extension", accession)]);
                    }
                    if facts.collected != Span::Unknown {
                        facts.collected.write(x, "UNK");
                    }
                    let material = [("classCode", "MAT"), ("determinerCode", "INSTANCE")];
                    let kind = facts.kind.as_deref().unwrap_or_default();
                    x.with("specimenSpecimenMaterial", &material, |x| x.leaf("desc", &[], kind));
                });
            });
            x.append(&inner.into_text());
        });
    });
    if let Some(at) = specimen.filter(|_| first) {
        work.targets.insert(at, Target { id: facts.own.clone(), class: "CLUSTER", mood: "EVN" });
        work.settle(at, &facts.own, &draft);
    }
}

/// What is read of a Specimen; the rest goes to text.
const TOLD: &[&str] = &[
    "status",
    "type",
    "receivedTime",
    "accessionIdentifier",
    "note.text",
    "collection.collector",
    "collection.collectedDateTime",
    "collection.collectedPeriod",
    "collection.quantity",
    "collection.method",
    "collection.bodySite",
    "collection.extension.FastingStatus",
];

fn facts(work: &mut Work<'_>, at: usize, first: bool, level: &Level) -> Facts {
    let resource = work.json(at);
    let mut draft = Draft::default();
    let collection = resource.at("collection");
    let moment = draft.date("Collected", collection.at("collectedDateTime"));
    let (start, end) = draft.period("Collected", collection.at("collectedPeriod"));
    let received = draft.date("Received Date", resource.at("receivedTime"));
    // Receivers read one moment: when collecting began, else when the specimen arrived (extract §8.6).
    let collected = Span::at(moment.or(start).or_else(|| received.clone()));
    draft.say("Collection ended", end.as_ref().and_then(|_| collection.at("collectedPeriod").word("end")));
    for note in resource.list("note") {
        draft.add(note.word("text"));
    }
    draft.concept("Collection Site", collection.at("bodySite"));
    draft.concept("Collection Method", collection.at("method"));
    draft.say("Quantity", quantities::words("Quantity", collection.at("quantity")).as_deref());
    let fasting = collection.extension("FastingStatus").choice("value");
    if let Some((kind, value)) = fasting {
        let label = if kind == "Duration" { "Fasting Duration" } else { "Fasting Status" };
        draft.say(label, quantities::words(kind, value).as_deref());
    }
    if let Some(received) = resource.word("receivedTime").filter(|_| received.is_some()) {
        draft.say("Received Date", Some(received));
    }
    match resource.word("status") {
        Some("available") | None => {}
        Some(status) => draft.say("Status", Some(status)),
    }
    draft.say("Collected By", work.referred(at, collection.at("collector")).as_deref());
    unslotted::say(work, at, TOLD, &mut draft);
    let own = if first { work.own(at) } else { work.part(at, &format!("again/{}", level.report)) };
    Facts {
        own,
        accession: resource.at("accessionIdentifier").word("value").map(str::to_owned),
        collected,
        kind: codes::words(resource.at("type")),
        draft,
        labelled: work.labels(at),
    }
}

/// A specimen without results still holds an observation that says so: some receivers fail without one.
fn empty(work: &mut Work<'_>, of: usize, level: &Level, x: &mut Xml) {
    let own = work.part(of, "specimen/empty");
    let labelled = work.labels(of);
    x.with("component", &COMPONENT, |x| {
        x.with("ObservationStatement", &OBSERVATION, |x| {
            id(x, &own);
            x.with("code", &[("nullFlavor", "UNK")], |x| x.leaf("originalText", &[], EMPTY));
            complete(x);
            Span::Unknown.write(x, "UNK");
            dates::write(x, "availabilityTime", level.available.as_deref());
            super::work::label(x, labelled);
        });
    });
}

/// Whether a received compound is a specimen.
pub(super) fn is_specimen(compound: Element<'_>) -> bool {
    compound.name() == "CompoundStatement" && compound.of("code", "code") == Some("123038009")
}

/// Reads a specimen; its results go to `results`.
pub(super) fn read<'t>(
    reading: &mut Reading<'t>,
    compound: Element<'t>,
    scene: &Scene<'t>,
    results: &mut Vec<Reference<'t>>,
) -> Reference<'t> {
    let mut draft = Draft::default();
    let id = reading.id(compound);
    let reference = Reference::to("Specimen", &id);
    let scene = Scene { specimen: Some(reference.clone()), ..scene.inside(compound) };
    let role = compound.down(&["specimen", "specimenRole"]);
    let accession = role.and_then(|r| r.all("id").nth(1)).and_then(|id| id.attribute("extension"));
    let collection = match dates::when(role.and_then(|r| r.child("effectiveTime")), &mut draft) {
        When::At(moment) => Some(Collection { collected_date_time: Some(moment), ..Collection::default() }),
        When::Between(start, end) => Some(Collection {
            collected_period: Some(fhir::Period { start, end, ..fhir::Period::default() }),
            ..Collection::default()
        }),
        When::Unknown => None,
    };
    for element in consultation::contents(compound) {
        if element.name() != "NarrativeStatement" {
            results.extend(laboratory::read(reading, element, &scene));
            continue;
        }
        let words = pmip::read(element.child("text").and_then(Element::text).unwrap_or_default()).1;
        let said: Vec<&str> = words.lines().filter(|line| line.trim() != EMPTY).collect();
        draft.add(Some(&said.join("\n")));
        reading.merge(element, &reference);
    }
    let kind = role.and_then(|r| r.down(&["specimenSpecimenMaterial", "desc"])).and_then(Element::text);
    unread::say(reading, compound, &["code", "effectiveTime", "availabilityTime", "specimen"], &mut draft);
    let note = std::mem::take(&mut draft).into_noted(&mut draft);
    let notes = consultation::contents(compound).filter(|e| e.name() == "NarrativeStatement");
    let specimen = fhir::Specimen {
        meta: reading.meta("Specimen", compound, &reading.merging(&scene, notes)),
        identifier: reading.identifier(&id),
        accession_identifier: accession
            .map(|value| Identifier { value: value.into(), ..Identifier::default() }),
        status: "available",
        r#type: kind.map(fhir::CodeableConcept::words),
        subject: reading.subject(),
        collection,
        note,
        ..fhir::Specimen::default()
    };
    reading.add("Specimen", &id, &specimen);
    reading.settle(compound, &reference, &draft);
    reference
}
