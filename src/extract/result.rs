//! ObservationStatement, and the compounds around several of them, read (extract §13.3). Writing is in `observation`.

use super::account::Fault;
use super::codes::{self, Degrade};
use super::consultation;
use super::dates::{self, When};
use super::draft::Draft;
use super::fhir::{Component, Observation, Period, Reference, Related, Text};
use super::laboratory;
use super::pressure;
use super::quantities;
use super::reading::Reading;
use super::scene::Scene;
use super::tree::Element;
use super::unread;

/// What is read of an ObservationStatement; the rest goes to text.
const OBSERVATION: &[&str] = &[
    "code",
    "effectiveTime",
    "availabilityTime",
    "uncertaintyCode",
    "value",
    "interpretationCode",
    "pertinentInformation",
    "referenceRange",
    "subject",
];

/// What is read of a compound of observations.
pub(super) const GROUP: &[&str] =
    &["code", "effectiveTime", "availabilityTime", "subject", "pertinentInformation"];

/// Reads one observation.
pub(super) fn read<'t>(
    reading: &mut Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
) -> Reference<'t> {
    read_with(reading, statement, scene, &[], &[])
}

/// Reads one observation with what else was said of it, and what is a member of it.
pub(super) fn read_with<'t>(
    reading: &mut Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
    said: &[&str],
    members: &[Reference<'t>],
) -> Reference<'t> {
    let mut draft = Draft::default();
    said.iter().for_each(|words| draft.add(Some(words)));
    let id = reading.id(statement);
    let mut observation = start(reading, statement, &reading.merging(scene, statement.within()), &mut draft);
    measure(statement, &mut observation, &mut draft);
    unread::say(reading, statement, OBSERVATION, &mut draft);
    unread::others(reading, statement, scene, &[observation.performer.first()], &mut draft);
    observation.comment = comment(statement, draft_words(&mut draft));
    observation.related.extend(members.iter().cloned().map(laboratory::has_member));
    let reference = reading.add("Observation", &id, &observation);
    reading.settle(statement, &reference, &draft);
    reading.merge_inner(statement, &reference);
    reference
}

/// Words that the draft gathered from malformed parts, taken out.
pub(super) fn draft_words(draft: &mut Draft) -> String {
    let text = draft.lines();
    draft.silence();
    text
}

/// What every Observation says, whatever its value.
pub(super) fn start<'t>(
    reading: &Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
    draft: &mut Draft,
) -> Observation<'t> {
    let id = reading.id(statement);
    let (effective_date_time, effective_period) = match dates::when(statement.child("effectiveTime"), draft) {
        When::At(moment) => (Some(moment), None),
        When::Between(start, end) => (None, Some(Period { start, end, ..Period::default() })),
        When::Unknown => (draft.moment("Available", statement.of("availabilityTime", "value")), None),
    };
    let performer = reading.actor(statement, &["PRF", "PPRF"], scene, draft);
    let group = scene.group.iter().map(|group| Related {
        r#type: "derived-from",
        target: Some(Reference::to("Observation", group)),
        ..Related::default()
    });
    Observation {
        meta: reading.meta("Observation", statement, scene),
        identifier: reading.identifier(&id),
        status: "final",
        code: Some(codes::read(statement.child("code"), Degrade::Entry, draft)),
        subject: reading.subject(),
        context: scene.context(),
        effective_date_time,
        effective_period,
        issued: scene.issued.clone().or_else(|| reading.written(scene)),
        performer: performer.into_iter().collect(),
        specimen: scene.specimen.clone(),
        related: group.collect(),
        ..Observation::default()
    }
}

/// Value, interpretation and ranges.
fn measure<'t>(statement: Element<'t>, observation: &mut Observation<'t>, draft: &mut Draft) {
    let measured = quantities::read(statement, draft);
    observation.value_quantity = measured.quantity;
    observation.value_string = measured.words;
    observation.interpretation = quantities::read_interpretation(statement);
    observation.reference_range = quantities::read_ranges(statement);
}

/// The comment: of whom it is said first, then the annotations in their order, then what the code is qualified with.
pub(super) fn comment<'t>(statement: Element<'t>, more: String) -> Option<Text<'t>> {
    let relation = statement.down(&["subject", "personalRelationship", "code"]);
    let relation = relation.and_then(|code| {
        let words = code.child("originalText").and_then(Element::text).or(code.attribute("displayName"));
        Some(Text::from(format!("Subject: {}", words?)))
    });
    let mut parts: Vec<Text<'t>> = relation.into_iter().collect();
    parts.extend(annotations(statement).into_iter().map(Text::from));
    parts.extend(
        statement.child("code").into_iter().flat_map(|code| code.all("qualifier")).filter_map(qualifier),
    );
    if !more.is_empty() {
        parts.push(more.into());
    }
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(parts.join("\n").into()),
    }
}

/// The annotations of a statement, in their order.
pub(super) fn annotations(statement: Element<'_>) -> Vec<&str> {
    let mut found: Vec<(i32, &str)> = statement
        .all("pertinentInformation")
        .filter_map(|p| {
            let order = p.of("sequenceNumber", "value").and_then(|n| n.parse().ok()).unwrap_or(0);
            Some((order, p.down(&["pertinentAnnotation", "text"])?.text()?))
        })
        .collect();
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, text)| text).collect()
}

fn qualifier<'t>(qualifier: Element<'t>) -> Option<Text<'t>> {
    let (name, value) = (qualifier.child("name"), qualifier.child("value"));
    if let Some(value) = value.and_then(said).or(value.and_then(|v| v.attribute("code"))) {
        let name = name.and_then(|n| said(n).or(n.attribute("code"))).unwrap_or("Qualifier");
        return Some(format!("{{{name} : {value}}}").into());
    }
    // EMIS says in the name alone which episode it is.
    let code = name?.attribute("code").unwrap_or_default();
    let words = name.and_then(said).unwrap_or_default();
    Some(format!("{{Episodicity : code={code}, displayName={words}}}").into())
}

/// The words of a part of a qualifier.
fn said(part: Element<'_>) -> Option<&str> {
    part.attribute("displayName").or(part.child("originalText").and_then(Element::text))
}

/// Reads a compound of observations: a blood pressure, or a parent with its members.
pub(super) fn read_group<'t>(
    reading: &mut Reading<'t>,
    compound: Element<'t>,
    scene: &Scene<'t>,
) -> Vec<Reference<'t>> {
    if let Some((systolic, diastolic)) = pressure::within(compound) {
        return read_pressure(reading, compound, [systolic, diastolic], scene);
    }
    let mut draft = Draft::default();
    let id = reading.id(compound);
    let mut parent = start(reading, compound, scene, &mut draft);
    let inside = Scene { group: Some(id.clone()), ..scene.clone() };
    let members: Vec<_> =
        consultation::contents(compound).flat_map(|e| consultation::statement(reading, e, &inside)).collect();
    parent.related.extend(members.into_iter().map(laboratory::has_member));
    unread::say(reading, compound, GROUP, &mut draft);
    unread::others(reading, compound, scene, &[parent.performer.first()], &mut draft);
    parent.comment = comment(compound, draft_words(&mut draft));
    let reference = reading.add("Observation", &id, &parent);
    reading.settle(compound, &reference, &draft);
    reading.merge_inner(compound, &reference);
    vec![reference]
}

/// Under a heading the notes of a blood pressure are comments of the consultation, as everything there is; elsewhere
/// they are its own.
fn under_heading(compound: Element<'_>) -> bool {
    let holder = compound.parent().and_then(Element::parent);
    holder.is_some_and(|h| h.name() == "CompoundStatement")
}

/// What is read of either half of a blood pressure: all but the last, the subject. Times and performer are the panel's.
const HALF: &[&str] = OBSERVATION.split_at(OBSERVATION.len() - 1).0;

fn read_pressure<'t>(
    reading: &mut Reading<'t>,
    compound: Element<'t>,
    both: [Element<'t>; 2],
    scene: &Scene<'t>,
) -> Vec<Reference<'t>> {
    let mut draft = Draft::default();
    let id = reading.id(compound);
    let is_note = |e: &Element<'t>| e.name() == "NarrativeStatement" && !under_heading(compound);
    let notes = || consultation::contents(compound).filter(is_note);
    let around = reading.merging(scene, both.into_iter().chain(notes()));
    let mut panel = start(reading, compound, &around, &mut draft);
    let mut said = Vec::new();
    for (statement, name) in both.into_iter().zip(["Systolic", "Diastolic"]) {
        let measured = quantities::read(statement, &mut draft);
        panel.component.push(Component {
            code: Some(codes::read(statement.child("code"), Degrade::Entry, &mut draft)),
            value_quantity: measured.quantity,
            value_string: measured.words,
            interpretation: quantities::read_interpretation(statement),
            reference_range: quantities::read_ranges(statement),
            ..Component::default()
        });
        said.extend(annotations(statement).into_iter().map(|words| format!("{name} Note: {words}")));
        let mut own = Draft::default();
        unread::say(reading, statement, HALF, &mut own);
        draft.say(name, Some(&own.text()));
    }
    unread::say(reading, compound, &GROUP[..3], &mut draft);
    unread::others(reading, compound, scene, &[panel.performer.first()], &mut draft);
    for narrative in notes() {
        said.extend(narrative.child("text").and_then(Element::text).map(|words| format!("BP Note: {words}")));
    }
    said.push(draft_words(&mut draft));
    let said: Vec<_> = said.into_iter().filter(|s| !s.is_empty()).collect();
    if !said.is_empty() {
        panel.comment = Some(said.join(" ").into());
    }
    let reference = reading.add("Observation", &id, &panel);
    reading.settle(compound, &reference, &draft);
    let mut made = vec![reference.clone()];
    let inside = Scene { group: Some(id), ..scene.clone() };
    for other in consultation::contents(compound).filter(|e| !both.contains(e) && !is_note(e)) {
        made.extend(consultation::statement(reading, other, &inside));
    }
    reading.merge_inner(compound, &reference);
    made
}

/// Reads a statement of no kind that an Observation has: its code, its words, and that it was degraded.
pub(super) fn other<'t>(
    reading: &mut Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
) -> Reference<'t> {
    let mut draft = Draft::default();
    draft.fault(Fault::UnknownStatement);
    reading.narrate(statement, scene, &mut draft)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::tree::Tree;

    #[test]
    fn a_qualifier_says_what_it_is_and_its_value() {
        for (qualifier, said) in [
            (
                r#"<name displayName="Laterality"/><value code="L" displayName="LEFT"/>"#,
                "{Laterality : LEFT}",
            ),
            (r#"<name displayName="Episodicity"/><value displayName="First"/>"#, "{Episodicity : First}"),
            (r#"<value displayName="LEFT"/>"#, "{Qualifier : LEFT}"),
            (r#"<name code="1" displayName="First"/>"#, "{Episodicity : code=1, displayName=First}"),
        ] {
            let xml =
                format!(r#"<o xmlns="urn:hl7-org:v3"><code><qualifier>{qualifier}</qualifier></code></o>"#);
            let tree = Tree::parse(xml.as_bytes(), 10_000).unwrap();
            let statement = tree.elements().next().unwrap();
            assert_eq!(comment(statement, String::new()).as_deref(), Some(said), "extract §13.3");
        }
    }
}
