//! Compositions: consultations with their topics and categories, and one for each entry outside a consultation
//! (extract §7).

use std::borrow::Cow;

use super::Interaction;
use super::account::Fault;
use super::codes::{self, Lead};
use super::dates::{self, Span};
use super::draft::Draft;
use super::json::Json;
use super::placement::{Category, Consultation, Topic};
use super::quantities;
use super::unslotted;
use super::work::{COMPONENT, Kind, Statement, Work, agent_ref, complete, fixed, id, label, narrative};
use super::xml::Xml;

const OTHER: (&str, &str) = ("24591000000103", "Other report");

/// Composition names seen in extracts of live systems; another name travels in words, as "Other report".
const NAMES: [(&str, &str); 9] = [
    OTHER,
    ("109341000000100", "GP to GP communication transaction"),
    ("24631000000103", "Residential Home Visit Note"),
    ("24661000000108", "Hospital Inpatient Report"),
    ("25651000000106", "Home Visit Note"),
    ("25671000000102", "Surgery Consultation Note"),
    ("25741000000100", "Third Party Consultation"),
    ("25761000000104", "Night Visit Note"),
    ("37351000000107", "Administration Note"),
];

const COMPOSITION: [(&str, &str); 2] = [("classCode", "COMPOSITION"), ("moodCode", "EVN")];

/// What a consultation says of itself.
struct Facts {
    /// The Encounter.
    at: usize,
    own: String,
    effective: Span,
    available: Option<String>,
    written: Option<String>,
    labelled: bool,
}

/// Writes a consultation around its statements, which are taken out of `statement_of`.
pub(super) fn consultation(
    work: &mut Work<'_>,
    consultation: &Consultation,
    statement_of: &mut dyn FnMut(usize) -> Vec<Statement>,
) -> (String, Span) {
    let at = consultation.encounter;
    let encounter = work.json(at);
    let mut draft = Draft::default();
    let (start, end) = draft.period("Period", encounter.at("period"));
    let listed = consultation.list.and_then(|l| draft.date("Recorded", work.json(l).at("date")));
    let effective = match (&start, &end) {
        (Some(start), None) => Span::At(start.clone()),
        (_, _) => Span::between(start.clone(), end.clone()),
    };
    let facts = Facts {
        at,
        own: work.own(at),
        effective: effective.clone(),
        available: start.clone().or_else(|| listed.clone()),
        written: listed.or(start),
        labelled: work.labels(at),
    };
    let recorder = participant_of(work, at, "REC", &mut draft);
    let performer = participant_of(work, at, "PPRF", &mut draft).or_else(|| recorder.clone());
    let place = place(work, at, &mut draft);
    said(work, at, &mut draft);
    let mut content = Xml::new();
    for topic in &consultation.topics {
        write_topic(work, &facts, topic, statement_of, &mut content, &mut draft);
    }
    let (note, empty) = (work.part(at, "narrative/0"), work.part(at, "empty"));
    let code = encounter.list("type").first().cloned().unwrap_or_default();
    let mut x = Xml::new();
    x.with("component", &[("typeCode", "COMP")], |x| {
        x.with("ehrComposition", &COMPOSITION, |x| {
            id(x, &facts.own);
            name(x, &code, &mut draft);
            complete(x);
            facts.effective.write(x, "UNK");
            dates::write(x, "availabilityTime", facts.available.as_deref());
            label(x, facts.labelled);
            author(x, facts.written.as_deref(), recorder.as_deref());
            location(x, place.as_deref());
            performer_of(x, performer.as_deref());
            body(x, &facts, content, &draft, (&note, &empty));
        });
    });
    settle(work, consultation, &facts.own, x.replaced(), draft);
    (x.into_text(), effective)
}

/// What is read of an Encounter; the rest goes to a narrative. Who provides the care is the sender.
const TOLD: &[&str] = &[
    "status",
    "type",
    "period",
    "length",
    "reason",
    "participant.type",
    "participant.individual",
    "location.location",
    "serviceProvider",
];

/// What no element of a composition says.
fn said(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let encounter = work.json(at);
    match encounter.word("status") {
        Some("finished" | "unknown") | None => {}
        Some(other) => draft.say("Status", Some(other)),
    }
    encounter.list("type").iter().skip(1).for_each(|more| draft.concept("Type", more));
    encounter.list("reason").iter().for_each(|reason| draft.concept("Reason", reason));
    if encounter.at("period").word("end").is_none() {
        draft.say("Length", quantities::words("Duration", encounter.at("length")).as_deref());
    }
    let is = |p: &Json, role: &str| p.list("type").iter().any(|t| codes::has(t, role));
    let participants = encounter.list("participant");
    let first = |role: &str| participants.iter().position(|p| is(p, role));
    let placed = [first("REC"), first("PPRF")];
    for (_, other) in participants.iter().enumerate().filter(|(n, _)| !placed.contains(&Some(*n))) {
        let role = other.list("type").iter().find_map(codes::words);
        let who = work.referred(at, other.at("individual"));
        let words: Vec<String> = [role, who].into_iter().flatten().collect();
        draft.say("Participant", Some(&words.join(" ")));
    }
    unslotted::say(work, at, TOLD, draft);
}

fn settle(work: &mut Work<'_>, consultation: &Consultation, own: &str, replaced: bool, mut draft: Draft) {
    if replaced {
        draft.fault(Fault::CharactersReplaced);
    }
    work.settle(consultation.encounter, own, &draft);
}

/// The content; what the Encounter says besides goes to a narrative, and a consultation without content says so.
fn body(x: &mut Xml, facts: &Facts, content: Xml, draft: &Draft, (note, empty): (&str, &str)) {
    let content = content.into_text();
    if content.is_empty() && draft.is_silent() {
        x.with("component", &[("typeCode", "COMP")], |x| {
            x.with("EhrEmpty", &super::work::OBSERVATION, |x| id(x, empty));
        });
    }
    x.append(&content);
    if !draft.is_silent() {
        x.with("component", &[("typeCode", "COMP")], |x| {
            narrative(x, note, &draft.text(), facts.available.as_deref(), facts.labelled);
        });
    }
}

/// The name of the consultation. A code outside the vocabulary of composition names stays in words and as translation.
fn name(x: &mut Xml, concept: &Json, draft: &mut Draft) {
    let listed = |c: &&Json| c.word("system").and_then(codes::oid) == Some(codes::SNOMED);
    let coding = concept.list("coding").iter().find(listed);
    let known =
        coding.and_then(|c| c.word("code")).and_then(|code| NAMES.iter().find(|(known, _)| *known == code));
    let words = codes::words(concept);
    match (known, words) {
        (Some(known), words) => codes::under(x, *known, words.as_deref(), concept, draft),
        (None, Some(words)) => codes::under(x, OTHER, Some(&words), concept, draft),
        (None, None) => {
            draft.fault(Fault::NoCode);
            fixed(x, OTHER.0, OTHER.1, Some("Consultation"));
        }
    }
}

fn participant_of(work: &mut Work<'_>, at: usize, role: &str, draft: &mut Draft) -> Option<String> {
    let participants = work.json(at).list("participant").iter();
    let mut of_role = participants.filter(|p| p.list("type").iter().any(|t| codes::has(t, role)));
    of_role.next().and_then(|p| work.agent(at, p.at("individual"), draft))
}

/// The first location's name; others go to text.
fn place(work: &Work<'_>, at: usize, draft: &mut Draft) -> Option<String> {
    let named = |l: &Json| work.referred(at, l.at("location"));
    let mut names = work.json(at).list("location").iter().filter_map(named);
    let first = names.next();
    names.for_each(|more| draft.say("Location", Some(&more)));
    first
}

fn author(x: &mut Xml, time: Option<&str>, agent: Option<&str>) {
    x.with("author", &[("typeCode", "AUT"), ("contextControlCode", "OP")], |x| {
        dates::write(x, "time", time);
        agent_ref(x, agent);
    });
}

fn location(x: &mut Xml, name: Option<&str>) {
    let Some(name) = name else { return };
    x.with("location", &[("typeCode", "LOC")], |x| {
        x.with("locatedEntity", &[("classCode", "LOCE")], |x| {
            fixed(x, "394730007", "Healthcare related organisation", None);
            x.with("locatedPlace", &[("classCode", "PLC"), ("determinerCode", "INSTANCE")], |x| {
                x.leaf("name", &[], name);
            });
        });
    });
}

fn performer_of(x: &mut Xml, agent: Option<&str>) {
    if agent.is_some() {
        x.with("Participant2", &[("typeCode", "PRF"), ("contextControlCode", "OP")], |x| agent_ref(x, agent));
    }
}

/// Writes a topic with its categories; one without content leaves its title to the consultation's narrative.
fn write_topic(
    work: &mut Work<'_>,
    facts: &Facts,
    topic: &Topic,
    statement_of: &mut dyn FnMut(usize) -> Vec<Statement>,
    x: &mut Xml,
    draft: &mut Draft,
) {
    let own = topic_id(work, facts, topic.list, "topic");
    let mut inner = Xml::new();
    for category in &topic.categories {
        write_category(work, facts, category, statement_of, &mut inner, draft);
    }
    let inner = inner.into_text();
    let title = topic.list.and_then(|l| work.json(l).word("title"));
    if let Some(list) = topic.list {
        work.merge(list, if inner.is_empty() { &facts.own } else { &own });
    }
    if inner.is_empty() {
        return draft.say("Topic", title);
    }
    let header = topic.list.and_then(|list| {
        let header = work.json(list).extension("RelatedProblemHeader");
        let target = header.list("extension").iter().find(|e| e.word("url") == Some("target"));
        work.record.resolve(list, target?.at("valueReference"))
    });
    let concept = header.map(|h| work.json(h).at("code"));
    x.with("component", &[("typeCode", "COMP")], |x| {
        compound(
            x,
            work,
            facts,
            "TOPIC",
            &own,
            topic.list,
            |x| {
                topic_code(x, concept, title);
            },
            &inner,
        );
    });
}

/// The problem that a topic is about.
fn topic_code<'a>(x: &mut Xml, concept: Option<&Json<'a>>, title: Option<&'a str>) {
    let coding = concept.and_then(|c| {
        c.list("coding").iter().find(|c| c.word("system").and_then(codes::oid) == Some(codes::SNOMED))
    });
    let Some(coding) = coding else {
        return fixed(x, "394776006", "Unspecified problem", title);
    };
    let mut members: Vec<(Cow<'_, str>, _)> = vec![("coding".into(), Json::Array([coding.clone()].into()))];
    members.extend(title.map(|t| ("text".into(), Json::Text(t))));
    codes::write(x, "code", &Json::Object(members.into()), Lead::Description, &mut Draft::default());
}

fn write_category(
    work: &mut Work<'_>,
    facts: &Facts,
    category: &Category,
    statement_of: &mut dyn FnMut(usize) -> Vec<Statement>,
    x: &mut Xml,
    draft: &mut Draft,
) {
    let own = topic_id(work, facts, category.list, "category");
    let mut inner = Xml::new();
    for statement in category.items.iter().flat_map(|item| statement_of(*item)) {
        inner.with("component", &COMPONENT, |x| x.append(&statement.xml));
    }
    let inner = inner.into_text();
    let title = category.list.and_then(|l| work.json(l).word("title"));
    if let Some(list) = category.list {
        work.merge(list, if inner.is_empty() { &facts.own } else { &own });
    }
    if inner.is_empty() {
        return draft.say("Category", title);
    }
    x.with("component", &COMPONENT, |x| {
        compound(
            x,
            work,
            facts,
            "CATEGORY",
            &own,
            category.list,
            |x| {
                fixed(x, "394841004", "Other category", title);
            },
            &inner,
        );
    });
}

/// The List's own UUID; a synthetic level has its own (D8).
fn topic_id(work: &mut Work<'_>, facts: &Facts, list: Option<usize>, role: &str) -> String {
    let id = match list {
        Some(list) => work.ids.claim(&work.record.entry(list).key, &work.record.entry(list).id),
        None => work.ids.part(&facts.own, role),
    };
    work.parts.push((id.clone(), facts.at));
    id
}

#[expect(clippy::too_many_arguments, reason = "the parts of one element, each written once")]
fn compound(
    x: &mut Xml,
    work: &Work<'_>,
    facts: &Facts,
    class: &str,
    own: &str,
    list: Option<usize>,
    code: impl FnOnce(&mut Xml),
    inner: &str,
) {
    let dated = list.and_then(|l| dates::wire(work.json(l).word("date")?));
    let labelled = list.is_some_and(|l| work.labels(l));
    x.with("CompoundStatement", &[("classCode", class), ("moodCode", "EVN")], |x| {
        id(x, own);
        code(x);
        complete(x);
        facts.effective.write(x, "UNK");
        dates::write(x, "availabilityTime", dated.as_deref().or(facts.available.as_deref()));
        label(x, labelled || facts.labelled);
        x.append(inner);
    });
}

/// Writes the composition around one resource's statements outside consultations.
pub(super) fn alone(work: &mut Work<'_>, at: usize, statements: &[Statement]) -> String {
    let mut x = Xml::new();
    let Some(first) = statements.last() else { return String::new() };
    let own = work.part(at, "composition");
    let (code, display) = match first.kind {
        Kind::Medication => ("196391000000103", "Non-consultation medication data"),
        Kind::Entry => ("196401000000100", "Non-consultation data"),
        Kind::Communication => ("109341000000100", "GP to GP communication transaction"),
    };
    let effective = match &first.effective {
        Span::Unknown => Span::at(first.time.clone()),
        known => known.clone(),
    };
    x.with("component", &[("typeCode", "COMP")], |x| {
        x.with("ehrComposition", &COMPOSITION, |x| {
            id(x, &own);
            fixed(x, code, display, None);
            complete(x);
            effective.write(x, "UNK");
            dates::write(x, "availabilityTime", first.time.as_deref());
            label(x, first.labelled && work.parameters.interaction == Interaction::Uk07);
            author(x, first.time.as_deref(), first.author.as_deref());
            performer_of(x, first.performer.as_deref());
            for statement in statements {
                x.with("component", &[("typeCode", "COMP")], |x| x.append(&statement.xml));
            }
        });
    });
    x.into_text()
}

/// What an extract without clinical content holds: one registration (extract §2.1).
pub(super) fn registration(work: &mut Work<'_>) -> String {
    let now = work.parameters.now.to_hl7_london();
    let (own, statement) =
        (work.ids.part("registration", "composition"), work.ids.part("registration", "statement"));
    let mut x = Xml::new();
    x.with("component", &[("typeCode", "COMP")], |x| {
        x.with("ehrComposition", &COMPOSITION, |x| {
            id(x, &own);
            fixed(x, "109341000000100", "GP to GP communication transaction", None);
            complete(x);
            Span::At(now.clone()).write(x, "UNK");
            dates::write(x, "availabilityTime", Some(&now));
            author(x, Some(&now), None);
            x.with("component", &[("typeCode", "COMP")], |x| {
                x.with("RegistrationStatement", &super::work::OBSERVATION, |x| {
                    id(x, &statement);
                    x.with("code", &[("nullFlavor", "UNK")], |x| x.leaf("originalText", &[], "Registration"));
                    complete(x);
                    Span::Unknown.write(x, "UNK");
                    dates::write(x, "availabilityTime", Some(&now));
                });
            });
        });
    });
    x.into_text()
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::extract;

    #[test]
    fn a_name_outside_the_vocabulary_keeps_its_words_and_code() {
        let (xml, _) = extract(
            r#"{"resourceType": "Encounter", "id": "e", "period": {"start": "2011-02-03"}, "type": [{"coding": [
                {"system": "http://snomed.info/sct", "code": "185317003", "display": "Telephone encounter"}]}], "reason": [{"text": "Cough"}]},
               {"resourceType": "List", "id": "l", "encounter": {"reference": "Encounter/e"},
                "code": {"coding": [{"code": "325851000000107"}]}}"#,
        );
        assert!(
            xml.contains("<originalText>Telephone encounter</originalText><translation code=\"185317003\""),
            "extract §7.1: {xml}"
        );
        assert!(xml.contains("<text>Reason: Cough</text>"), "extract §1.5: {xml}");
    }

    #[test]
    fn contained_lists_are_topics_and_categories_like_others() {
        let (xml, _) = extract(
            r##"{"resourceType": "Encounter", "id": "e", "type": [{"text": "Clinic"}]},
               {"resourceType": "List", "id": "l", "encounter": {"reference": "Encounter/e"},
                "code": {"coding": [{"code": "325851000000107"}]}, "entry": [{"item": {"reference": "#t"}}], "contained": [
                  {"resourceType": "List", "id": "t", "title": "Chest", "code": {"coding": [{"code": "25851000000105"}]},
                   "entry": [{"item": {"reference": "List/l#c"}}]},
                  {"resourceType": "List", "id": "c", "title": "History", "code": {"coding": [{"code": "24781000000107"}]},
                   "entry": [{"item": {"reference": "Observation/o"}}]}]},
               {"resourceType": "Observation", "id": "o", "code": {"text": "Cough"}}"##,
        );
        let (topic, category) = (xml.find("Chest").unwrap(), xml.find("History").unwrap());
        assert!(topic < category && category < xml.find("Cough").unwrap(), "extract §7.1: {xml}");
        assert_eq!(xml.matches("<CompoundStatement").count(), 2, "no synthetic level: {xml}");
    }
}
