//! Condition: a LinkSet that names its statement and links what belongs to it (extract §8.4).

use std::collections::HashMap;

use super::account::{Fault, Unsent};
use super::codes::{self, Degrade, Lead};
use super::dates::{self, Span, When};
use super::draft::Draft;
use super::fhir::{self, Extension, Reference, Value};
use super::json::Json;
use super::quantities;
use super::reading::Reading;
use super::record::Record;
use super::result;
use super::scene::Scene;
use super::standing::{Part, part, stands_for};
use super::supporting::described;
use super::tree::Element;
use super::unread;
use super::unslotted::{self, capital};
use super::work::{Kind, OBSERVATION, Statement, Target, Work, annotation, complete, id, participant};
use super::xml::Xml;

/// The address of an extension of CareConnect's.
macro_rules! care {
    ($name:literal) => {
        concat!("https://fhir.hl7.org.uk/STU3/StructureDefinition/Extension-CareConnect-", $name)
    };
}

/// Observation → the Conditions whose actual problem it is.
pub(super) fn of_observations(record: &Record) -> HashMap<usize, Vec<usize>> {
    let mut problems: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, entry) in record.entries().iter().enumerate().filter(|(_, e)| e.kind == "Condition") {
        let actual = record.resolve(at, entry.json.extension("ActualProblem").at("valueReference"));
        let sent = entry.json.word("verificationStatus") != Some("entered-in-error");
        if let Some(actual) = actual.filter(|a| sent && record.entry(*a).kind == "Observation") {
            problems.entry(actual).or_default().push(at);
        }
    }
    problems
}

/// Problem → the problems that say it is their parent.
pub(super) fn children(record: &Record) -> HashMap<usize, Vec<usize>> {
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, entry) in record.entries().iter().enumerate().filter(|(_, e)| e.kind == "Condition") {
        let parents = related_headers(&entry.json).filter(|(kind, _)| *kind == "parent");
        for parent in parents.filter_map(|(_, target)| record.resolve(at, target)) {
            children.entry(parent).or_default().push(at);
        }
    }
    children
}

/// What a Condition says in words: the statement it names carries them.
pub(super) fn words(work: &Work<'_>, at: usize) -> Option<String> {
    let mut draft = Draft::default();
    draft.say("Problem", another_name(work, at).as_deref());
    headers(work, at, &mut draft);
    text(work, at, &mut draft);
    (!draft.is_silent()).then(|| draft.text())
}

/// The name of a problem whose Observation has another.
fn another_name(work: &Work<'_>, at: usize) -> Option<String> {
    let problem = work.json(at);
    let actual = work.record.resolve(at, problem.extension("ActualProblem").at("valueReference"))?;
    let observation = work.entry(actual);
    let (ours, theirs) = (problem.at("code"), observation.json.at("code"));
    let shared = |c: &Json| c.word("code").is_some_and(|code| codes::has(theirs, code));
    let same = ours.list("coding").iter().any(shared) || codes::words(ours) == codes::words(theirs);
    codes::words(ours).filter(|_| observation.kind == "Observation" && !same)
}

/// Gives out the ids of all LinkSets, so that problems can refer to each other, and of the statements they name.
pub(super) fn claim(work: &mut Work<'_>, problems: &[usize]) {
    for at in problems {
        if work.json(*at).word("verificationStatus") != Some("entered-in-error") {
            let linkset = work.part(*at, "linkset");
            work.targets.insert(*at, Target { id: linkset, class: "OBS", mood: "EVN" });
        }
    }
}

/// Writes the LinkSet, and the statement it names where that is not written already.
pub(super) fn statements(work: &mut Work<'_>, at: usize) -> Vec<Statement> {
    let Some(linkset) = work.targets.get(&at).map(|t| t.id.clone()) else {
        work.leave(at, Unsent::EnteredInError);
        return Vec::new();
    };
    let mut draft = Draft::default();
    let facts = Facts::of(work, at, &mut draft);
    let mut statements = Vec::new();
    let named = match &facts.named {
        Some(target) => target.clone(),
        None => {
            let own = work.own(at);
            statements.push(named(work, at, &own, &facts, &mut draft));
            Target { id: own, class: "OBS", mood: "EVN" }
        }
    };
    let unsaid = draft.text();
    statements.push(link_set(work, at, &linkset, &named, &facts));
    if facts.named.is_some() && !unsaid.is_empty() {
        let note = work.part(at, "narrative/0");
        let labelled = work.labels(at);
        let mut x = Xml::new();
        super::work::narrative(
            &mut x,
            &note,
            &format!("Problem: {unsaid}"),
            facts.available.as_deref(),
            labelled,
        );
        statements.push(facts.statement(x, work.labelled[at]));
    }
    work.settle(at, &linkset, &draft);
    statements
}

/// What both statements of a problem say.
struct Facts {
    effective: Span,
    available: Option<String>,
    asserter: Option<String>,
    /// The statement that says the same, when the actual problem has one.
    named: Option<Target>,
    /// The type of an actual problem that cannot be named itself.
    transformed: Option<String>,
    links: Vec<Target>,
}

impl Facts {
    fn of(work: &mut Work<'_>, at: usize, draft: &mut Draft) -> Self {
        let resource = work.json(at);
        let onset = draft.date("Onset", resource.at("onsetDateTime"));
        let (start, until) = draft.period("Onset", resource.at("onsetPeriod"));
        draft.say("Onset ended", until.as_deref());
        let onset = onset.or(start);
        let end = draft.date("Abatement", resource.at("abatementDateTime"));
        let (last, ended) = draft.period("Abatement", resource.at("abatementPeriod"));
        draft.say("Abatement began", last.as_deref().filter(|_| ended.is_some()));
        let asserted = draft.date("Asserted", resource.at("assertedDate"));
        let context = work.record.resolve(at, resource.at("context"));
        let context = context.and_then(|c| dates::wire(work.json(c).at("period").word("start")?));
        let actual = resource.extension("ActualProblem").at("valueReference");
        work.stray(at, "Actual Problem", actual, draft);
        let actual = work.record.resolve(at, actual);
        let target = actual.and_then(|a| work.targets.get(&a).cloned());
        let is_observation = actual.is_some_and(|a| work.entry(a).kind == "Observation");
        let named = target.clone().filter(|_| is_observation);
        let mut links = related(work, at, draft);
        let transformed = actual.filter(|_| !is_observation).map(|a| work.entry(a).kind.clone());
        if let Some(target) = target.filter(|t| !is_observation && links.iter().all(|l| l.id != t.id)) {
            links.push(target);
        }
        if let Some(named) = &named {
            links.retain(|l| l.id != named.id);
        }
        // The Observation that is the problem has said these words already.
        if named.is_none() {
            draft.add(words(work, at).as_deref());
        }
        let asserter = work.agent(at, resource.at("asserter"), draft);
        let effective = Span::between(onset.clone(), end.or(ended).or(last));
        Self { effective, available: asserted.or(onset).or(context), asserter, named, transformed, links }
    }

    fn statement(&self, x: Xml, labelled: bool) -> Statement {
        Statement {
            xml: x.into_text(),
            kind: Kind::Communication,
            time: self.available.clone(),
            effective: self.effective.clone(),
            author: self.asserter.clone(),
            performer: self.asserter.clone(),
            labelled,
        }
    }
}

/// The statements that the problem's content is in; what is no statement goes to text.
fn related(work: &Work<'_>, at: usize, draft: &mut Draft) -> Vec<Target> {
    let resource = work.json(at);
    let mut links: Vec<Target> = Vec::new();
    let mut link = |target: &Target| {
        if links.iter().all(|l| l.id != target.id) {
            links.push(target.clone());
        }
    };
    for content in resource.extensions("RelatedClinicalContent") {
        let reference = content.at("valueReference");
        match work.record.resolve(at, reference) {
            None => {
                draft.fault(Fault::DanglingReference);
                draft.say("Related", reference.word("display"));
            }
            Some(found) => {
                let stands = stands_for(work.record, &work.members, found).unwrap_or(found);
                match work.targets.get(&found).or_else(|| work.targets.get(&stands)) {
                    Some(target) => link(target),
                    // Nothing refers to a composition or a heading.
                    None if matches!(part(work.entry(found)), Part::Consultation | Part::List) => {
                        draft.say("Related", Some(&described(work, found, reference.word("display"))));
                    }
                    None => {}
                }
            }
        }
    }
    // A header says what its target is to this problem: a child belongs to it, a parent has it.
    for (kind, target) in related_headers(resource) {
        if kind == "child" {
            let found = work.record.resolve(at, target).filter(|found| *found != at);
            found.and_then(|f| work.targets.get(&f)).into_iter().for_each(&mut link);
        }
    }
    let children = work.children.get(&at).into_iter().flatten().filter(|child| **child != at);
    children.filter_map(|child| work.targets.get(child)).for_each(&mut link);
    links
}

/// The problems this one belongs to or comprises, with what they are to it: EMIS writes `parent` where the target is.
fn related_headers<'a>(resource: &'a Json<'a>) -> impl Iterator<Item = (&'a str, &'a Json<'a>)> {
    resource.extensions("RelatedProblemHeader").filter_map(|header| {
        let part = |name: &str| header.list("extension").iter().find(|e| e.word("url") == Some(name));
        let kind = part("type").and_then(|e| e.word("valueCode")).unwrap_or("related");
        Some((kind, part("target")?.at("valueReference")))
    })
}

fn headers(work: &Work<'_>, at: usize, draft: &mut Draft) {
    for (kind, target) in related_headers(work.json(at)) {
        let words = work.referred(at, target).unwrap_or_default();
        let role = match kind {
            "parent" => "Child".to_owned(),
            "child" => "Parent".to_owned(),
            other => capital(other),
        };
        draft.add(Some(&format!("Related Problem: {role} of {words}")));
    }
}

/// What is read of a Condition; the rest goes to text.
const TOLD: &[&str] = &[
    "clinicalStatus",
    "verificationStatus",
    "code",
    "severity",
    "bodySite",
    "onset[x]",
    "abatement[x]",
    "assertedDate",
    "asserter",
    "stage.summary",
    "evidence.code",
    "evidence.detail",
    "note.text",
    "extension.ActualProblem",
    "extension.RelatedClinicalContent",
    "extension.RelatedProblemHeader",
    "extension.ProblemSignificance",
    "extension.ConditionEpisode",
];

fn text(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    for (name, kind) in [("Age", "Age"), ("Range", "Range"), ("String", "String")] {
        draft.say("Onset", quantities::words(kind, resource.at(&format!("onset{name}"))).as_deref());
        draft.say("Abatement", quantities::words(kind, resource.at(&format!("abatement{name}"))).as_deref());
    }
    draft.say("Abated", resource.word("abatementBoolean"));
    // Two codes say active or not; what is finer, and what was refuted, is in words.
    match resource.word("clinicalStatus") {
        Some("active" | "inactive" | "resolved") | None => {}
        Some(other) => draft.say("Status", Some(other)),
    }
    match resource.word("verificationStatus") {
        Some("confirmed" | "unknown") | None => {}
        Some(other) => draft.say("Verification Status", Some(other)),
    }
    draft.concept("Stage", resource.at("stage").at("summary"));
    draft.concept("Severity", resource.at("severity"));
    for site in resource.list("bodySite") {
        draft.concept("Body Site", site);
    }
    let episode = resource.extension("ConditionEpisode").choice("value");
    draft.say("Episodicity", episode.and_then(|(_, v)| v.text()));
    for evidence in resource.list("evidence") {
        evidence.list("code").iter().for_each(|code| draft.concept("Evidence", code));
        for detail in evidence.list("detail") {
            draft.say("Evidence", work.referred(at, detail).as_deref());
        }
    }
    let notes: Vec<&str> = resource.list("note").iter().filter_map(|n| n.word("text")).collect();
    draft.quote("Problem Notes", Some(&notes.join(", ")));
    unslotted::say(work, at, TOLD, draft);
}

/// The statement that a problem names, when there is none in the record that says it.
fn named(work: &mut Work<'_>, at: usize, own: &str, facts: &Facts, draft: &mut Draft) -> Statement {
    let resource = work.json(at);
    let shown = codes::words(resource.at("code"));
    if let Some(kind) = &facts.transformed {
        draft.add(Some(&format!("Transformed {kind} problem header")));
        draft.say("Originally coded", shown.as_deref());
    }
    let mut x = Xml::new();
    x.with("ObservationStatement", &OBSERVATION, |x| {
        id(x, own);
        match &facts.transformed {
            Some(_) => {
                let words = Some(shown.as_deref().unwrap_or("Problem"));
                codes::under(x, ("55607006", "Problem"), words, resource.at("code"), draft);
            }
            None => codes::write(x, "code", resource.at("code"), Lead::Description, draft),
        }
        complete(x);
        facts.effective.write(x, "UNK");
        dates::write(x, "availabilityTime", facts.available.as_deref());
        work.label(x, at);
        let text = draft.text();
        annotation(x, &if text.is_empty() { text } else { format!("Problem Info: {text}") });
        participant(x, "PRF", facts.asserter.as_deref());
    });
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    facts.statement(x, work.labelled[at])
}

fn link_set(work: &Work<'_>, at: usize, linkset: &str, named: &Target, facts: &Facts) -> Statement {
    let resource = work.json(at);
    let mut x = Xml::new();
    x.with("LinkSet", &OBSERVATION, |x| {
        id(x, linkset);
        status(x, resource);
        complete(x);
        x.with("effectiveTime", &[], |x| {
            let (low, high) = facts.effective.bounds();
            dates::write(x, "low", low);
            if high.is_some() {
                dates::write(x, "high", high);
            }
        });
        dates::write(x, "availabilityTime", facts.available.as_deref());
        work.label(x, at);
        for link in facts.links.iter().filter(|l| l.id != linkset) {
            x.with("component", &[("typeCode", "COMP")], |x| reference(x, "statementRef", link));
        }
        x.with("conditionNamed", &[("typeCode", "NAME"), ("inversionInd", "true")], |x| {
            reference(x, "namedStatementRef", named);
        });
        participant(x, "PRF", facts.asserter.as_deref());
    });
    facts.statement(x, work.labelled[at])
}

fn reference(x: &mut Xml, name: &str, to: &Target) {
    // EMIS writes OBS for every kind of target; a compound's own class is no act class of a reference.
    let class = if to.class == "SBADM" { "SBADM" } else { "OBS" };
    x.with(name, &[("classCode", class), ("moodCode", to.mood)], |x| id(x, &to.id));
}

/// Active or inactive, and how much it matters.
fn status(x: &mut Xml, resource: &Json) {
    let (code, display) = match resource.word("clinicalStatus") {
        Some("active") => ("394774009", "Active Problem"),
        Some(_) | None => ("394775005", "Inactive Problem"),
    };
    let stated = resource.extension("ProblemSignificance").word("valueCode");
    let weight = match stated {
        Some("major") => Some(("386134007", "Significant")),
        Some("minor") => Some(("394847000", "Unspecified significance")),
        Some(_) | None => None,
    };
    let attributes = [("code", code), ("codeSystem", codes::SNOMED), ("displayName", display)];
    x.with("code", &attributes, |x| {
        let words = stated.map_or_else(|| display.to_owned(), |s| format!("{display}, {s}"));
        x.leaf("originalText", &[], &words);
        if let Some((code, display)) = weight {
            x.with("qualifier", &[("inverted", "false")], |x| {
                let attributes = [("code", code), ("codeSystem", codes::SNOMED), ("displayName", display)];
                x.empty("name", &attributes);
            });
        }
    });
}

/// Puts a LinkSet off until all that it links has been read; one that only ties documents to a referral is part of
/// that (extract §13.2).
pub(super) fn wait<'t>(
    reading: &mut Reading<'t>,
    link: Element<'t>,
    scene: &Scene<'t>,
) -> Vec<Reference<'t>> {
    if let Some(request) = reading.tied(link) {
        let id = reading.id(request);
        if let Some(into) = reading.forward("ReferralRequest", &id, &mut Draft::default()) {
            reading.merge(link, &into);
            return Vec::new();
        }
    }
    reading.links.push((link, scene.clone()));
    vec![Reference::to("Condition", &reading.id(link))]
}

/// The statement that a LinkSet names.
pub(super) fn named_by<'t>(reading: &Reading<'t>, link: Element<'t>) -> Option<Element<'t>> {
    reading.named(link.down(&["conditionNamed", "namedStatementRef", "id"])?.attribute("root")?)
}

/// The statements that a LinkSet links; `None` where one is not in the message.
pub(super) fn linked<'t>(reading: &Reading<'t>, link: Element<'t>) -> Vec<Option<Element<'t>>> {
    let references = link.all("component").filter_map(|c| c.child("statementRef"));
    references.map(|r| reading.named(r.of("id", "root")?)).collect()
}

/// What is read of a LinkSet; the rest goes to text.
const READ: &[&str] =
    &["code", "effectiveTime", "availabilityTime", "conditionNamed", "pertinentInformation"];

/// Reads a problem.
pub(super) fn read<'t>(reading: &mut Reading<'t>, link: Element<'t>, scene: &Scene<'t>) {
    let mut draft = Draft::default();
    let id = reading.id(link);
    let named = named_by(reading, link);
    let code = named.and_then(|n| {
        n.child("code").or(n.down(&["consumable", "manufacturedProduct", "manufacturedMaterial", "code"]))
    });
    let mut extension = vec![];
    extension.extend(significance(link));
    if let Some(actual) = named.and_then(|n| reading.resource(n)) {
        extension.push(Extension { url: care!("ActualProblem-1"), value: Value::Reference(actual) });
    } else {
        draft.fault(Fault::DanglingReference);
    }
    related_content(reading, link, &mut extension, &mut draft);
    let when = dates::when(link.child("effectiveTime"), &mut draft);
    let available = draft.moment("Available", link.of("availabilityTime", "value"));
    let (onset, abatement) = match when {
        When::At(moment) => (Some(moment), None),
        When::Between(start, end) => (start, end),
        When::Unknown => (None, None),
    };
    let clinical_status = status_of(link, &mut draft);
    for words in result::annotations(link) {
        draft.add(Some(words));
    }
    let code = codes::read(code.or(link.child("code")), Degrade::Entry, &mut draft);
    let asserter = reading.actor(link, &["PRF", "PPRF", "AUT"], scene, &mut draft);
    unread::say(reading, link, READ, &mut draft);
    unread::others(reading, link, scene, &[asserter.as_ref()], &mut draft);
    let note = std::mem::take(&mut draft).into_noted(&mut draft);
    let condition = fhir::Condition {
        meta: reading.meta("ProblemHeader-Condition", link, &reading.merging(scene, named)),
        extension,
        identifier: reading.identifier(&id),
        clinical_status,
        category: vec![fhir::CodeableConcept::of(
            "https://fhir.hl7.org.uk/STU3/CodeSystem/CareConnect-ConditionCategory-1",
            "problem-list-item",
            "Problem List Item",
        )],
        code: Some(code),
        subject: reading.subject(),
        context: scene.context(),
        onset_date_time: onset.or_else(|| available.clone()),
        abatement_date_time: abatement,
        asserted_date: available,
        asserter,
        note,
        ..fhir::Condition::default()
    };
    let reference = reading.add("Condition", &id, &condition);
    reading.settle(link, &reference, &draft);
}

/// Active or not; another status is active, with its words as a note.
fn status_of(link: Element<'_>, draft: &mut Draft) -> &'static str {
    match link.of("code", "code") {
        Some("394775005") => "inactive",
        Some("394774009") => "active",
        other => {
            let words = link.child("code").and_then(|c| c.attribute("displayName"));
            draft.say("Problem status", words.or(other));
            "active"
        }
    }
}

fn significance<'t>(link: Element<'t>) -> Option<Extension<'t>> {
    Some(Extension { url: care!("ProblemSignificance-1"), value: Value::Code(weight(link)?) })
}

fn weight(link: Element<'_>) -> Option<&'static str> {
    let weights = link.child("code")?.all("qualifier").filter_map(|q| q.of("name", "code"));
    weights.into_iter().find_map(|code| match code {
        "386134007" => Some("major"),
        "394847000" => Some("minor"),
        _ => None,
    })
}

/// How it stands with a problem, in words that do not depend on the system that wrote it.
pub(super) fn standing(link: Element<'_>) -> String {
    let status = match link.of("code", "code") {
        Some("394774009") => Some("active"),
        Some("394775005") => Some("inactive"),
        other => link.child("code").and_then(|c| c.attribute("displayName")).or(other),
    };
    status.into_iter().chain(weight(link)).collect::<Vec<_>>().join(", ")
}

/// What belongs to the problem, and which problems it belongs to or comprises.
fn related_content<'t>(
    reading: &mut Reading<'t>,
    link: Element<'t>,
    extension: &mut Vec<Extension<'t>>,
    draft: &mut Draft,
) {
    for target in linked(reading, link) {
        match target {
            Some(other) if other.name() == "LinkSet" => {
                extension.extend(header(reading, "child", other, draft))
            }
            Some(other) => extension.extend(reading.resource(other).map(|content| Extension {
                url: care!("RelatedClinicalContent-1"),
                value: Value::Reference(content),
            })),
            None => draft.fault(Fault::DanglingReference),
        }
    }
    for parent in reading.parents(link).to_vec() {
        extension.extend(header(reading, "parent", parent, draft));
    }
}

/// What another problem is to this one.
fn header<'t>(
    reading: &mut Reading<'t>,
    kind: &'static str,
    other: Element<'t>,
    draft: &mut Draft,
) -> Option<Extension<'t>> {
    let id = reading.id(other);
    let target = reading.forward("Condition", &id, draft)?;
    let parts = vec![
        Extension { url: "type", value: Value::Code(kind) },
        Extension { url: "target", value: Value::Reference(target) },
    ];
    Some(Extension { url: care!("RelatedProblemHeader-1"), value: Value::Parts(parts) })
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn a_problem_names_the_observation_it_is_and_links_its_content() {
        let (xml, account) = extract(
            r#"{"resourceType": "Condition", "id": "05E9B02E-2991-4AE1-BFCF-444095DFEBD8-PROB", "clinicalStatus": "active",
              "code": {"text": "Cough"}, "assertedDate": "2010-01-13", "extension": [
                {"url": "x/ActualProblem-1", "valueReference": {"reference": "Observation/05E9B02E-2991-4AE1-BFCF-444095DFEBD8"}},
                {"url": "x/ProblemSignificance-1", "valueCode": "major"},
                {"url": "x/RelatedClinicalContent-1", "valueReference": {"reference": "Observation/none"}},
                {"url": "x/RelatedClinicalContent-1", "valueReference": {"reference": "Observation/15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"}}]},
              {"resourceType": "Observation", "id": "05E9B02E-2991-4AE1-BFCF-444095DFEBD8", "code": {"text": "Cough"}},
              {"resourceType": "Observation", "id": "15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD", "code": {"text": "Wheeze"}}"#,
        );
        let set = &xml[xml.find("<LinkSet").expect("a problem is a LinkSet")..];
        assert!(set.contains(r#"<statementRef classCode="OBS" moodCode="EVN"><id root="15D6C748"#), "{set}");
        assert!(
            set.contains(r#"<namedStatementRef classCode="OBS" moodCode="EVN"><id root="05E9B02E"#),
            "{set}"
        );
        assert!(set.contains(r#"name code="386134007""#), "{set}");
        assert_eq!(state(&account, "Condition"), "degraded", "one link leads nowhere and is listed");
    }

    #[test]
    fn a_problem_of_its_own_gets_a_statement() {
        let (xml, account) = extract(r#"{"resourceType": "Condition", "id": "c", "code": {"text": "Gout"}}"#);
        assert!(xml.contains("<originalText>Gout</originalText>") && xml.contains("Inactive Problem"));
        assert_eq!(state(&account, "Condition"), "mapped");
    }

    #[test]
    fn a_child_belongs_to_its_problem_and_both_say_so() {
        let header = |kind: &str, other: &str| {
            format!(
                r#""extension": [{{"url": "x/RelatedProblemHeader-1", "extension": [{{"url": "type", "valueCode": "{kind}"}},
                {{"url": "target", "valueReference": {{"reference": "Condition/{other}"}}}}]}}]"#
            )
        };
        let (xml, _) = extract(&format!(
            r#"{{"resourceType": "Condition", "id": "a", "code": {{"text": "Asthma"}}, {}}},
               {{"resourceType": "Condition", "id": "b", "code": {{"text": "Wheeze"}}, {}}}"#,
            header("child", "b"),
            header("parent", "a")
        ));
        assert!(
            xml.contains("Related Problem: Parent of Wheeze")
                && xml.contains("Related Problem: Child of Asthma")
        );
        assert_eq!(xml.matches("<statementRef").count(), 1, "extract §8.4: only the parent links: {xml}");
    }

    #[test]
    fn a_refuted_problem_says_so() {
        let (xml, _) = extract(
            r#"{"resourceType": "Condition", "id": "c", "code": {"text": "Gout"}, "clinicalStatus": "recurrence",
            "verificationStatus": "refuted"}"#,
        );
        assert!(xml.contains("Status: recurrence Verification Status: refuted"), "extract §1.5: {xml}");
    }
}
