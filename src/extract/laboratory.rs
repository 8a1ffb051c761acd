//! Results of a laboratory: single ones, groups of them, and what the practice said when it filed them
//! (extract §8.6, §13.3). Around them are `specimen` and `report`.

use super::account::Unsent;
use super::codes::{self, Lead};
use super::consultation;
use super::dates;
use super::draft::Draft;
use super::fhir::{Observation, Reference, Related};
use super::json::Json;
use super::observation;
use super::pmip::{self, Comment};
use super::pressure;
use super::quantities;
use super::reading::{Reading, comment_code};
use super::record::Record;
use super::result;
use super::scene::Scene;
use super::tree::Element;
use super::unread;
use super::work::{COMPONENT, OBSERVATION, Target, Work, complete, id, participant};
use super::xml::Xml;

/// What the levels of a report have in common.
pub(super) struct Level {
    /// When the report became available, in wire form.
    pub(super) available: Option<String>,
    /// The report.
    pub(super) report: usize,
}

/// Whether an Observation is a comment that the practice made when it filed a report.
pub(super) fn is_filing(resource: &Json) -> bool {
    codes::has(resource.at("code"), observation::COMMENT) && resource.choice("value").is_none()
}

/// The specimen that a result, or else one of its members, was made from.
pub(super) fn specimen(record: &Record, at: usize) -> Option<usize> {
    let own = |at: usize| {
        let found = record.resolve(at, record.json(at).at("specimen"))?;
        (record.entry(found).kind == "Specimen").then_some(found)
    };
    own(at).or_else(|| observation::named_members(record, at).into_iter().find_map(own))
}

/// Writes a result, or a group of them, as a component of its specimen.
pub(super) fn write(work: &mut Work<'_>, at: usize, level: &Level, x: &mut Xml) {
    if work.json(at).word("status") == Some("entered-in-error") {
        return work.leave(at, Unsent::EnteredInError);
    }
    let members: Vec<usize> = observation::members(work, at);
    let (filing, results): (Vec<usize>, Vec<usize>) =
        members.into_iter().partition(|m| is_filing(work.json(*m)));
    if results.is_empty() {
        single(work, at, &filing, x);
    } else {
        group(work, at, &results, &filing, level, x);
    }
}

/// A result; with comments a CLUSTER is around both.
fn single(work: &mut Work<'_>, at: usize, filing: &[usize], x: &mut Xml) {
    let resource = work.json(at);
    let own = work.own(at);
    let mut draft = Draft::default();
    observation::text(work, at, &mut draft);
    observation::components(work, at, &mut draft);
    let agent = observation::performer(work, at, &mut draft);
    let when = observation::when(resource, &mut draft);
    let mut inner = Xml::new();
    let mut code = Xml::new();
    codes::write(&mut code, "code", resource.at("code"), Lead::Description, &mut draft);
    let code = code.into_text();
    inner.with("component", &COMPONENT, |x| {
        x.with("ObservationStatement", &OBSERVATION, |x| {
            id(x, &own);
            x.append(&code);
            complete(x);
            when.effective.write(x, "UNK");
            dates::write(x, "availabilityTime", when.available.as_deref());
            work.label(x, at);
            quantities::uncertainty(x, resource);
            let numeric = quantities::value(x, resource, &mut draft);
            quantities::interpretation(x, resource, &mut draft);
            if numeric {
                quantities::ranges(x, resource);
            } else {
                quantities::say_ranges("Range", resource, &mut draft);
            }
            participant(x, "PRF", agent.as_deref());
        });
    });
    let alone = draft.is_silent() && filing.is_empty();
    comments(work, at, &draft, filing, when.available.as_deref(), &mut inner);
    if inner.replaced() {
        draft.fault(super::account::Fault::CharactersReplaced);
    }
    let inner = inner.into_text();
    if alone {
        x.append(&inner);
    } else {
        let outer = work.part(at, "cluster");
        x.with("component", &COMPONENT, |x| {
            x.with("CompoundStatement", &[("classCode", "CLUSTER"), ("moodCode", "EVN")], |x| {
                id(x, &outer);
                x.append(&code);
                complete(x);
                when.effective.write(x, "UNK");
                dates::write(x, "availabilityTime", when.available.as_deref());
                work.label(x, at);
                x.append(&inner);
            });
        });
    }
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "EVN" });
    work.settle(at, &own, &draft);
}

/// A test group: a BATTERY with its results.
fn group(work: &mut Work<'_>, at: usize, results: &[usize], filing: &[usize], level: &Level, x: &mut Xml) {
    let resource = work.json(at);
    let own = work.own(at);
    let mut draft = Draft::default();
    observation::header_text(work, at, &mut draft);
    observation::components(work, at, &mut draft);
    let agent = observation::performer(work, at, &mut draft);
    let when = observation::when(resource, &mut draft);
    let mut inner = Xml::new();
    for result in results {
        write(work, *result, level, &mut inner);
    }
    let mut code = Xml::new();
    codes::write(&mut code, "code", resource.at("code"), Lead::Description, &mut draft);
    let withdrawn = inner.is_empty() && filing.is_empty() && draft.is_silent();
    if withdrawn {
        draft.add(Some("No results"));
    }
    comments(work, at, &draft, filing, when.available.as_deref(), &mut inner);
    if inner.replaced() {
        draft.fault(super::account::Fault::CharactersReplaced);
    }
    let inner = inner.into_text();
    x.with("component", &COMPONENT, |x| {
        x.with("CompoundStatement", &[("classCode", "BATTERY"), ("moodCode", "EVN")], |x| {
            id(x, &own);
            x.append(&code.into_text());
            complete(x);
            when.effective.write(x, "UNK");
            dates::write(x, "availabilityTime", when.available.as_deref());
            work.label(x, at);
            x.append(&inner);
            participant(x, "PRF", agent.as_deref());
        });
    });
    work.targets.insert(at, Target { id: own.clone(), class: "BATTERY", mood: "EVN" });
    work.settle(at, &own, &draft);
}

/// What has no element of its own, and what the practice said.
fn comments(
    work: &mut Work<'_>,
    at: usize,
    draft: &Draft,
    filing_comments: &[usize],
    available: Option<&str>,
    x: &mut Xml,
) {
    if !draft.is_silent() {
        let note = work.part(at, "narrative/0");
        pmip::write(x, &note, Comment::Aggregate, &draft.lines(), available, work.labels(at));
    }
    let mut said: Vec<(String, String)> = Vec::new();
    for comment in filing_comments {
        let resource = work.json(*comment);
        let words = resource.word("comment").unwrap_or_default();
        // One comment may be named by the group and again by the report.
        match said.iter().find(|(known, _)| known == words) {
            Some((_, into)) => work.merge(*comment, into),
            None => {
                filing(work, *comment, x);
                said.push((words.to_owned(), work.own(*comment)));
            }
        }
    }
}

/// Writes a filing comment. Who made it is said in words: a narrative of a laboratory has no agent.
pub(super) fn filing(work: &mut Work<'_>, at: usize, x: &mut Xml) {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        return work.leave(at, Unsent::EnteredInError);
    }
    let own = work.own(at);
    let mut draft = Draft::default();
    observation::comment_text(work, at, &mut draft);
    if draft.is_silent() {
        return work.leave(at, Unsent::Empty);
    }
    let who: Vec<String> = resource.list("performer").iter().filter_map(|p| work.referred(at, p)).collect();
    if !who.is_empty() {
        draft.say("Filed By", Some(&who.join(", ")));
    }
    let when = observation::when(resource, &mut draft);
    pmip::write(x, &own, Comment::User, &draft.lines(), when.available.as_deref(), work.labels(at));
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "EVN" });
    work.settle(at, &own, &draft);
}

/// Reads what stands in a specimen or a report: a result, a group, a comment.
pub(super) fn read<'t>(
    reading: &mut Reading<'t>,
    element: Element<'t>,
    scene: &Scene<'t>,
) -> Vec<Reference<'t>> {
    match (element.name(), element.attribute("classCode")) {
        ("CompoundStatement", Some("CLUSTER")) => read_cluster(reading, element, &scene.inside(element)),
        ("CompoundStatement", Some("BATTERY")) if pressure::within(element).is_none() => {
            vec![read_group(reading, element, &scene.inside(element))]
        }
        ("NarrativeStatement", _) => vec![read_comment(reading, element, scene)],
        (_, _) => consultation::statement(reading, element, scene),
    }
}

/// A result with its comments: those of the laboratory are the result's, those of the practice stay their own.
fn read_cluster<'t>(
    reading: &mut Reading<'t>,
    cluster: Element<'t>,
    scene: &Scene<'t>,
) -> Vec<Reference<'t>> {
    let Some(first) = consultation::contents(cluster).find(|e| e.name() == "ObservationStatement") else {
        return result::read_group(reading, cluster, scene);
    };
    let parent = reading.id(first);
    let inside = Scene { group: Some(parent.clone()), ..scene.clone() };
    let (mut words, mut made, mut members) = (Vec::new(), Vec::new(), Vec::new());
    let own = reading.merging(scene, consultation::contents(cluster).filter(|e| folded(*e).is_some()));
    let into = Reference::to("Observation", &parent);
    for element in consultation::contents(cluster).filter(|e| *e != first) {
        match folded(element) {
            Some(said) => {
                words.push(said);
                reading.merge(element, &into);
            }
            None if element.name() == "NarrativeStatement" => {
                members.push(read_comment(reading, element, &inside));
            }
            None => made.extend(read(reading, element, scene)),
        }
    }
    let mut around = Draft::default();
    unread::say(reading, cluster, &result::GROUP[..3], &mut around);
    let around = around.lines();
    words.extend(result::annotations(cluster));
    words.push(&around);
    made.insert(0, result::read_with(reading, first, &own, &words, &members));
    reading.merge(cluster, &into);
    made
}

/// The words of a comment that belongs to the level it stands at.
fn folded(element: Element<'_>) -> Option<&str> {
    if element.name() != "NarrativeStatement" {
        return None;
    }
    match pmip::read(element.child("text").and_then(Element::text)?) {
        (Some(Comment::User), _) => None,
        (_, words) => Some(words),
    }
}

/// A test group: a parent with its members.
fn read_group<'t>(reading: &mut Reading<'t>, battery: Element<'t>, scene: &Scene<'t>) -> Reference<'t> {
    let id = reading.id(battery);
    let inside = Scene { group: Some(id.clone()), ..scene.clone() };
    let into = Reference::to("Observation", &id);
    let (mut words, mut members, mut filed) = (Vec::new(), Vec::new(), false);
    for element in consultation::contents(battery) {
        match folded(element) {
            Some(said) => {
                words.push(said);
                reading.merge(element, &into);
            }
            None if element.name() == "NarrativeStatement" => {
                members.push(read_comment(reading, element, &inside));
                if !std::mem::replace(&mut filed, true) {
                    members.push(filing_copy(reading, element, &inside));
                }
            }
            None => members.extend(read(reading, element, &inside)),
        }
    }
    let mut draft = Draft::default();
    let own = reading.merging(scene, consultation::contents(battery).filter(|e| folded(*e).is_some()));
    let mut parent = result::start(reading, battery, &own, &mut draft);
    parent.related.extend(members.into_iter().map(has_member));
    unread::say(reading, battery, result::GROUP, &mut draft);
    unread::others(reading, battery, scene, &[parent.performer.first()], &mut draft);
    words.extend(result::annotations(battery));
    let rest = result::draft_words(&mut draft);
    words.push(&rest);
    words.retain(|words| !words.is_empty());
    parent.comment = Some(words.join("\n")).filter(|w| !w.is_empty()).map(Into::into);
    let reference = reading.add("Observation", &id, &parent);
    reading.settle(battery, &reference, &draft);
    reference
}

/// A member of a group.
pub(super) fn has_member(member: Reference<'_>) -> Related<'_> {
    Related { r#type: "has-member", target: Some(member), ..Related::default() }
}

/// The first filing comment of a group is said once more, as that of the whole group.
fn filing_copy<'t>(reading: &mut Reading<'t>, narrative: Element<'t>, scene: &Scene<'t>) -> Reference<'t> {
    let id = reading.derived(narrative, "group");
    let observation = comment(reading, narrative, scene, &id, &mut Draft::default());
    reading.add("Observation", &id, &observation)
}

/// Reads a comment of a report.
fn read_comment<'t>(reading: &mut Reading<'t>, narrative: Element<'t>, scene: &Scene<'t>) -> Reference<'t> {
    let mut draft = Draft::default();
    let id = reading.id(narrative);
    let observation = comment(reading, narrative, scene, &id, &mut draft);
    let reference = reading.add("Observation", &id, &observation);
    reading.settle(narrative, &reference, &draft);
    reference
}

fn comment<'t>(
    reading: &Reading<'t>,
    narrative: Element<'t>,
    scene: &Scene<'t>,
    id: &str,
    draft: &mut Draft,
) -> Observation<'t> {
    let text = narrative.child("text").and_then(Element::text).unwrap_or_default();
    let (kind, words) = pmip::read(text);
    if kind.is_none() && text.contains("CommentType") {
        draft.fault(super::account::Fault::MalformedComment);
    }
    let around = result::start(reading, narrative, scene, &mut Draft::default());
    let effective_date_time = draft.moment("Available", narrative.of("availabilityTime", "value"));
    unread::say(reading, narrative, &["text", "availabilityTime"], draft);
    unread::others(reading, narrative, scene, &[around.performer.first()], draft);
    Observation {
        identifier: reading.identifier(id),
        status: "unknown",
        code: Some(comment_code()),
        effective_date_time,
        issued: narrative.of("availabilityTime", "value").and_then(dates::instant),
        comment: unread::below(words, draft),
        ..around
    }
}
