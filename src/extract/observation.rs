//! Observation: a plain result, a comment, or the header of a group (extract §8.1).
//!
//! Blood pressures are in `pressure`.

use std::collections::HashMap;

use super::account::{Fault, Unsent};
use super::codes::{self, Lead};
use super::dates::{self, Span};
use super::draft::Draft;
use super::json::Json;
use super::pressure;
use super::quantities;
use super::record::Record;
use super::standing::above;
use super::supporting;
use super::unslotted::{self, capital};
use super::work::{
    COMPONENT, Kind, OBSERVATION, Statement, Target, Work, annotation, complete, id, narrative, participant,
};
use super::xml::Xml;

/// A comment of a consultation.
pub(super) const COMMENT: &str = "37331000000100";

/// When an Observation took place, and when it became available.
pub(super) struct When {
    pub(super) effective: Span,
    pub(super) available: Option<String>,
}

/// Writes the statement of an Observation.
pub(super) fn statement(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    let members = members(work, at);
    if !members.is_empty() {
        return Some(group(work, at, &members));
    }
    if codes::has(resource.at("code"), COMMENT) && resource.choice("value").is_none() {
        return comment(work, at);
    }
    if let Some(triple) = pressure::Triple::of(resource) {
        return Some(pressure::statement(work, at, &triple));
    }
    Some(plain(work, at))
}

/// The Observations inside this one's group.
pub(super) fn members(work: &Work<'_>, at: usize) -> Vec<usize> {
    let mut members = Vec::new();
    for member in named_members(work.record, at) {
        if work.members.get(&member) == Some(&at) && !members.contains(&member) {
            members.push(member);
        }
    }
    members
}

/// The resources that an Observation names as its members.
fn targets(record: &Record, at: usize) -> impl Iterator<Item = usize> {
    // Some systems leave the type out in test groups, which have a specimen; elsewhere it could be any relation.
    let tested = !record.json(at).at("specimen").is_nothing();
    let related = record.json(at).list("related").iter().filter(move |r| match r.word("type") {
        Some(kind) => kind == "has-member",
        None => tested,
    });
    related.filter_map(move |r| record.resolve(at, r.at("target")))
}

/// The Observations that it names as members, those of a questionnaire's answers included.
pub(super) fn named_members(record: &Record, at: usize) -> Vec<usize> {
    let mut members = Vec::new();
    for target in targets(record, at) {
        match record.entry(target).kind.as_str() {
            "Observation" => members.push(target),
            "QuestionnaireResponse" => answers(record, target, record.json(target), &mut members, 0),
            _ => {}
        }
    }
    members
}

/// Items nest in questionnaires no deeper than this.
const DEPTH: usize = 6;

fn answers(record: &Record, at: usize, holder: &Json, into: &mut Vec<usize>, depth: usize) {
    for item in holder.list("item") {
        for answer in item.list("answer") {
            let found = record.resolve(at, answer.at("valueReference"));
            into.extend(found.filter(|f| record.entry(*f).kind == "Observation"));
        }
        if depth < DEPTH {
            answers(record, at, item, into, depth + 1);
        }
    }
}

/// Questionnaire → the Observation whose group says all that it says: its answers are Observations, its questions have
/// no words.
pub(super) fn questionnaires(record: &Record) -> HashMap<usize, usize> {
    let mut carried = HashMap::new();
    for (at, _) in record.entries().iter().enumerate().filter(|(_, e)| e.kind == "Observation") {
        for target in targets(record, at).filter(|t| record.entry(*t).kind == "QuestionnaireResponse") {
            let items = record.json(target).list("item");
            let reference = |a: &Json| record.resolve(target, a.at("valueReference")).is_some();
            let plain = |i: &Json| {
                i.word("text").is_none()
                    && i.list("item").is_empty()
                    && i.list("answer").iter().all(reference)
            };
            // Its own name is said nowhere but in a narrative.
            let named = record.json(target).at("questionnaire").word("display").is_some();
            if !named && record.json(at).word("status") != Some("entered-in-error") && items.iter().all(plain)
            {
                carried.entry(target).or_insert(at);
            }
        }
    }
    carried
}

/// Times of an Observation; a malformed one goes to text.
pub(super) fn when(resource: &Json, draft: &mut Draft) -> When {
    let instant = draft.date("Effective", resource.at("effectiveDateTime"));
    let (start, end) = draft.period("Effective", resource.at("effectivePeriod"));
    let issued = draft.date("Issued", resource.at("issued"));
    let available = instant.clone().or_else(|| start.clone()).or(issued);
    let effective = if instant.is_some() { Span::at(instant) } else { Span::between(start, end) };
    When { effective, available }
}

/// The performer who becomes a participant; the others go to text.
pub(super) fn performer(work: &mut Work<'_>, at: usize, draft: &mut Draft) -> Option<String> {
    let performers = work.json(at).list("performer");
    let first = performers.first().and_then(|p| work.agent(at, p, draft));
    for more in performers.iter().skip(1) {
        let words = work.referred(at, more);
        draft.say("Performer", words.as_deref());
    }
    first
}

/// What is read of an Observation; the rest goes to text.
const TOLD: &[&str] = &[
    "status",
    "code",
    "effective[x]",
    "issued",
    "performer",
    "value[x]",
    "valueQuantity.value",
    "valueQuantity.unit",
    "valueQuantity.system",
    "valueQuantity.code",
    "valueQuantity.comparator",
    "valueQuantity.extension.ValueApproximation",
    "dataAbsentReason",
    "interpretation",
    "comment",
    "bodySite",
    "method",
    "specimen",
    "device",
    "basedOn",
    "related",
    "component",
    "referenceRange.text",
    "referenceRange.low",
    "referenceRange.high",
    "extension.ValueApproximation",
];

/// Everything of an Observation that only text can carry.
pub(super) fn text(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    draft.add(resource.word("comment"));
    draft.concept("Body Site", resource.at("bodySite"));
    draft.concept("Method", resource.at("method"));
    draft.say("Device", work.referred(at, resource.at("device")).as_deref());
    draft.concept("Data absent", resource.at("dataAbsentReason"));
    match resource.word("status") {
        Some("final" | "unknown") | None => {}
        Some(status) => draft.say("Status", Some(status)),
    }
    unlinked(work, at, draft);
    for problem in work.problems.get(&at).into_iter().flatten() {
        draft.say("Problem Info", super::problem::words(work, *problem).as_deref());
    }
    unslotted::say(work, at, TOLD, draft);
}

/// The text of a header: it is a compound, which has no value, interpretation and range of its own.
pub(super) fn header_text(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    text(work, at, draft);
    let value = resource.choice("value").and_then(|(kind, v)| quantities::words(kind, v));
    draft.say("Value", value.as_deref());
    draft.concept("Interpretation", resource.at("interpretation"));
    quantities::say_ranges("Range", resource, draft);
}

/// The components of an Observation, in words.
pub(super) fn components(work: &Work<'_>, at: usize, draft: &mut Draft) {
    for component in work.json(at).list("component") {
        let name = codes::words(component.at("code")).unwrap_or_else(|| "Component".to_owned());
        let value = component.choice("value").and_then(|(kind, v)| quantities::words(kind, v));
        draft.say(&name, value.as_deref().or(Some("-")));
        draft.concept(&format!("{name} interpretation"), component.at("interpretation"));
        draft.concept(&format!("{name} absent"), component.at("dataAbsentReason"));
        quantities::say_ranges(&format!("{name} range"), component, draft);
        part_rest(work, at, &name, component, draft);
    }
}

/// What a component says besides.
pub(super) fn part_rest(work: &Work<'_>, at: usize, name: &str, component: &Json, draft: &mut Draft) {
    const TOLD: [&str; 5] = ["code", "value[x]", "interpretation", "dataAbsentReason", "referenceRange"];
    unslotted::say_of(work, at, name, component, &TOLD, draft);
}

/// What a comment says that is no comment: nothing of it but its text goes in a narrative.
pub(super) fn comment_text(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    text(work, at, draft);
    components(work, at, draft);
    let code = resource.at("code");
    let shown = |words: &str| code.list("coding").iter().any(|c| c.word("display") == Some(words));
    draft.say("Heading", code.word("text").filter(|words| !shown(words)));
    draft.concept("Interpretation", resource.at("interpretation"));
    quantities::say_ranges("Range", resource, draft);
}

fn plain(work: &mut Work<'_>, at: usize) -> Statement {
    let resource = work.json(at);
    let own = work.own(at);
    let mut draft = Draft::default();
    text(work, at, &mut draft);
    components(work, at, &mut draft);
    let agent = performer(work, at, &mut draft);
    let when = when(resource, &mut draft);
    let mut x = Xml::new();
    x.with("ObservationStatement", &OBSERVATION, |x| {
        id(x, &own);
        codes::write(x, "code", resource.at("code"), Lead::Description, &mut draft);
        complete(x);
        when.effective.write(x, "UNK");
        dates::write(x, "availabilityTime", when.available.as_deref());
        work.label(x, at);
        result(x, resource, &mut draft);
        participant(x, "PRF", agent.as_deref());
    });
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "EVN" });
    finish(work, at, &own, x, draft, when, agent)
}

/// Leaves the state and hands the statement over.
pub(super) fn finish(
    work: &mut Work<'_>,
    at: usize,
    own: &str,
    x: Xml,
    mut draft: Draft,
    when: When,
    agent: Option<String>,
) -> Statement {
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    work.settle(at, own, &draft);
    Statement {
        xml: x.into_text(),
        kind: Kind::Entry,
        time: when.available,
        effective: when.effective,
        author: agent.clone(),
        performer: agent,
        labelled: work.labelled[at],
    }
}

/// Uncertainty, value, interpretation, text and range, in schema order.
pub(super) fn result(x: &mut Xml, holder: &Json, draft: &mut Draft) {
    quantities::uncertainty(x, holder);
    let numeric = quantities::value(x, holder, draft);
    quantities::interpretation(x, holder, draft);
    if !numeric {
        quantities::say_ranges("Range", holder, draft);
    }
    annotation(x, &draft.text());
    if numeric {
        quantities::ranges(x, holder);
    }
}

/// References that lead nowhere in this extract, in words, and a group that would be inside itself.
fn unlinked(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    for related in resource.list("related") {
        let target = related.at("target");
        if work.record.resolve(at, target).is_none() {
            draft.fault(Fault::DanglingReference);
        }
        match related.word("type") {
            Some("has-member" | "derived-from") | None => work.stray(at, "Related", target, draft),
            Some(other) => {
                draft.say(&capital(&other.replace('-', " ")), work.referred(at, target).as_deref())
            }
        }
    }
    for request in resource.list("basedOn") {
        draft.say("Based On", work.referred(at, request).as_deref());
    }
    work.stray(at, "Specimen", resource.at("specimen"), draft);
    let headers = above(&work.members, at);
    for member in named_members(work.record, at) {
        if headers.contains(&member) {
            draft.fault(Fault::DanglingReference);
        } else if work.members.get(&member) != Some(&at) {
            // It stands in the first group that names it (extract §8.6).
            draft.say("Also", Some(&supporting::described(work, member, None)));
        }
    }
}

fn comment(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    let own = work.own(at);
    let mut draft = Draft::default();
    comment_text(work, at, &mut draft);
    if draft.is_silent() {
        work.leave(at, Unsent::Empty);
        return None;
    }
    let agent = performer(work, at, &mut draft);
    let when = when(resource, &mut draft);
    let mut x = Xml::new();
    x.with("NarrativeStatement", &OBSERVATION, |x| {
        id(x, &own);
        x.leaf("text", &[], &draft.text());
        complete(x);
        dates::write(x, "availabilityTime", when.available.as_deref());
        work.label(x, at);
        participant(x, "PRF", agent.as_deref());
    });
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "EVN" });
    let mut statement = finish(work, at, &own, x, draft, when, agent);
    statement.kind = Kind::Communication;
    Some(statement)
}

/// A header with its members: BATTERY for numeric ones, else CLUSTER.
fn group(work: &mut Work<'_>, at: usize, members: &[usize]) -> Statement {
    let resource = work.json(at);
    let own = work.own(at);
    let mut draft = Draft::default();
    header_text(work, at, &mut draft);
    components(work, at, &mut draft);
    let agent = performer(work, at, &mut draft);
    let when = when(resource, &mut draft);
    let inner: Vec<Statement> = members.iter().filter_map(|m| statement(work, *m)).collect();
    let numeric = members.iter().any(|m| !work.json(*m).at("valueQuantity").is_nothing());
    let note = work.part(at, "narrative/0");
    let class = if numeric { "BATTERY" } else { "CLUSTER" };
    let labelled = work.labels(at);
    let mut x = Xml::new();
    x.with("CompoundStatement", &[("classCode", class), ("moodCode", "EVN")], |x| {
        id(x, &own);
        codes::write(x, "code", resource.at("code"), Lead::Description, &mut draft);
        complete(x);
        when.effective.write(x, "UNK");
        dates::write(x, "availabilityTime", when.available.as_deref());
        work.label(x, at);
        for member in &inner {
            x.with("component", &COMPONENT, |x| x.append(&member.xml));
        }
        // A group whose members all fell away still needs a component.
        if !draft.is_silent() || inner.is_empty() {
            let text = draft.text();
            let text = if text.is_empty() { "No results".to_owned() } else { text };
            x.with("component", &COMPONENT, |x| {
                narrative(x, &note, &text, when.available.as_deref(), labelled)
            });
        }
        participant(x, "PRF", agent.as_deref());
    });
    work.targets.insert(at, Target { id: own.clone(), class, mood: "EVN" });
    finish(work, at, &own, x, draft, when, agent)
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn a_result_keeps_value_range_text_and_legacy_code() {
        let (xml, account) = extract(
            r#"{"resourceType": "Observation", "id": "05E9B02E-2991-4AE1-BFCF-444095DFEBD8", "status": "final",
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "27113001", "display": "Body weight"},
              {"system": "http://read.info/readv2", "code": "22A..00"}]},
            "effectiveDateTime": "2010-01", "comment": "fasting", "bodySite": {"text": "left"},
            "valueQuantity": {"value": 5.10, "unit": "kg"},
            "referenceRange": [{"low": {"value": 1}, "high": {"value": 9}}]}"#,
        );
        assert!(xml.contains(r#"<value xsi:type="PQ" value="5.10" unit="1">"#), "{xml}");
        assert!(xml.contains("<text>fasting Body Site: left</text>"), "{xml}");
        assert!(xml.contains(r#"<low value="1" unit="1"/><high value="9" unit="1"/>"#), "{xml}");
        assert!(xml.contains(r#"<translation code="22A..00""#), "{xml}");
        assert!(xml.contains(r#"<availabilityTime value="201001"/>"#), "precision is kept: {xml}");
        assert_eq!(state(&account, "Observation"), "mapped");
    }

    #[test]
    fn a_bad_date_is_quoted_and_listed() {
        let (xml, account) = extract(
            r#"{"resourceType": "Observation", "id": "o", "code": {"text": "x"}, "effectiveDateTime": "last Tuesday"}"#,
        );
        assert!(xml.contains("Effective: last Tuesday"), "extract §5: {xml}");
        assert_eq!(state(&account, "Observation"), "degraded");
    }

    #[test]
    fn a_group_holds_its_members() {
        let (xml, account) = extract(
            r#"{"resourceType": "Observation", "id": "g", "code": {"text": "panel"},
                "related": [{"type": "has-member", "target": {"reference": "Observation/m"}}]},
               {"resourceType": "Observation", "id": "m", "code": {"text": "part"}, "valueQuantity": {"value": 1}}"#,
        );
        let group = xml.find(r#"classCode="BATTERY""#).expect("a numeric group is a battery");
        assert!(xml.find(">part<").is_some_and(|m| m > group), "the member is inside: {xml}");
        assert_eq!(state(&account, "Observation"), "mapped");
    }

    #[test]
    fn a_result_of_two_groups_stands_in_the_first_and_is_named_in_the_second() {
        let group = |id: &str| {
            format!(
                r#"{{"resourceType": "Observation", "id": "{id}", "code": {{"text": "panel {id}"}},
                "related": [{{"type": "has-member", "target": {{"reference": "Observation/m"}}}}]}}"#
            )
        };
        let (xml, _) = extract(&format!(
            r#"{}, {}, {{"resourceType": "Observation", "id": "m", "code": {{"text": "part"}}, "issued": "2020-01-02"}}"#,
            group("a"),
            group("b")
        ));
        assert_eq!(xml.matches("<originalText>part<").count(), 1, "{xml}");
        assert!(xml.contains("Also: Observation: 2020-01-02 part"), "extract §8.6: {xml}");
    }

    #[test]
    fn a_label_that_cannot_travel_is_listed() {
        let (_, account) = extract(
            r#"{"resourceType": "Observation", "id": "o", "code": {"text": "x"}, "meta": {"security": [{"code": "R"}]}}"#,
        );
        assert_eq!(state(&account, "Observation"), "degraded", "extract §9: labels are not discarded unseen");
    }

    #[test]
    fn what_was_entered_in_error_is_not_clinical() {
        let (_, account) = extract(
            r#"{"resourceType": "Observation", "id": "o", "status": "entered-in-error", "code": {"text": "x"}}"#,
        );
        assert_eq!(state(&account, "Observation"), "not_clinical");
    }
}
