//! What a received statement says in parts that its kind does not read: it goes to text all the same, so that nothing
//! is dropped because FHIR has no slot (extract §1.5).
//!
//! Each kind names the parts that it reads. Parts that no statement has are none of this: their words become an entry
//! of their own, as `scene` says.

use super::account::Fault;
use super::codes;
use super::dates;
use super::draft::Draft;
use super::fhir::{Reference, Text};
use super::reading::Reading;
use super::scene::{Scene, stands};
use super::tree::Element;
use super::unslotted::label;

/// Parts that say nothing to a reader, or are statements of their own.
const SILENT: [&str; 3] = ["statusCode", "confidentialityCode", "component"];

/// Of these a kind that reads any reads all; of every other part it reads the first.
const ALL: [&str; 3] = ["pertinentInformation", "referenceRange", "reference"];

/// Puts in text what the kind does not read itself.
pub(super) fn say<'t>(reading: &Reading<'t>, statement: Element<'t>, told: &[&str], draft: &mut Draft) {
    let mut seen: Vec<&str> = Vec::new();
    for part in statement.children().filter(|part| !SILENT.contains(&part.name()) && !stands(*part)) {
        let name = part.name();
        let first = !seen.contains(&name);
        seen.push(name);
        match name {
            "id" if first || told.contains(&name) => {}
            // Who acted is for `others`.
            "Participant" => {}
            "id" => draft.say("Identifier", part.attribute("extension")),
            _ if told.contains(&name) && (first || ALL.contains(&name)) => {}
            _ => draft.say(&label(name), Some(&words(reading, part))),
        }
    }
}

/// Puts in text who took part in a statement and is not among those whom its resource names; and of a statement outside
/// consultations, which have an Encounter for this, who wrote its composition and where.
pub(super) fn others<'t>(
    reading: &Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
    named: &[Option<&Reference<'t>>],
    draft: &mut Draft,
) {
    let is_named = |agent: Element<'t>| {
        let who = reading.agent(agent);
        who.is_some_and(|who| named.iter().flatten().any(|n| n.reference == who.reference))
    };
    for participant in statement.all("Participant") {
        let Some(agent) = participant.child("agentRef").filter(|agent| !is_named(*agent)) else { continue };
        let role = match participant.attribute("typeCode") {
            Some("AUT") => "Author",
            Some("PRF" | "PPRF") => "Performer",
            _ => "Participant",
        };
        let who = reading.agent_name(agent);
        if who.is_none() && agent.of("id", "root").is_some() {
            draft.fault(Fault::UnknownAgent);
        }
        draft.say(role, who);
    }
    // What stands in a group or a report is said of that.
    if scene.encounter.is_some() || scene.group.is_some() || scene.within_report {
        return;
    }
    let author = scene.composition.down(&["author", "agentRef"]).filter(|agent| !is_named(*agent));
    draft.say("Author", author.and_then(|agent| reading.agent_name(agent)));
    let place = scene.composition.down(&["location", "locatedEntity", "locatedPlace", "name"]);
    draft.say("Location", place.and_then(Element::text));
}

/// Words as somebody wrote them, and below them what the draft has gathered.
pub(super) fn below<'t>(words: &'t str, draft: &Draft) -> Option<Text<'t>> {
    match (words, draft.is_silent()) {
        ("", true) => None,
        (words, true) => Some(words.into()),
        ("", false) => Some(draft.lines().into()),
        (words, false) => Some(format!("{words}\n{}", draft.lines()).into()),
    }
}

/// Everything in a part that a person can read: words of codes, texts, numbers, dates, names of people and of the
/// statements that it refers to.
pub(super) fn words<'t>(reading: &Reading<'t>, part: Element<'t>) -> String {
    let mut words: Vec<String> = Vec::new();
    for element in part.within() {
        if element.name() == "agentRef" {
            words.extend(reading.agent_name(element).map(str::to_owned));
            continue;
        }
        // The order of annotations is for machines.
        if element.name() == "sequenceNumber" {
            continue;
        }
        let identifies = matches!(element.name(), "id" | "setId");
        if identifies {
            let other = element.attribute("root").and_then(|root| reading.named(root));
            let other = other.and_then(|s| codes::said(s.child("code")?));
            words.extend(other.or(element.attribute("extension")).map(str::to_owned));
            continue;
        }
        let coded = element.attribute("displayName").or(element.attribute("code"));
        words.extend(coded.filter(|_| element.child("originalText").is_none()).map(str::to_owned));
        words.extend(element.text().map(str::to_owned));
        words.extend(element.attribute("value").map(|value| number(element, value)));
    }
    words.dedup();
    words.join(" ")
}

/// A `value`: a date in what is a time, else a number with its unit.
fn number(element: Element<'_>, value: &str) -> String {
    let is_time = |e: Element<'_>| e.name().ends_with("ime");
    if (is_time(element) || element.parent().is_some_and(is_time))
        && let Some(date) = dates::fhir(value)
    {
        return date;
    }
    let unit = element.attribute("unit").filter(|unit| *unit != "1");
    std::iter::once(value).chain(unit).collect::<Vec<_>>().join(" ")
}
