//! DiagnosticReport: a CLUSTER of specimens with their results, and what the laboratory and the practice say of them
//! (extract §8.6, §13.2).

use std::collections::{HashMap, HashSet};

use super::account::{Fault, Unsent};
use super::codes;
use super::consultation;
use super::dates::{self, Span};
use super::draft::Draft;
use super::fhir::{self, Identifier, Reference, ReportPerformer};
use super::laboratory::{self, Level};
use super::pmip::{self, Comment};
use super::reading::Reading;
use super::record::Record;
use super::scene::Scene;
use super::specimen;
use super::tree::Element;
use super::unread;
use super::unslotted;
use super::work::{Kind, Statement, Target, Work, complete, fixed, id, participant};
use super::xml::Xml;

/// Where a report keeps the number that the message of the laboratory had.
const PMIP_REPORT: &str = "2.16.840.1.113883.2.1.4.5.5";

/// Observation or Specimen → the report that it is written with, the first that names it.
pub(super) fn contents(record: &Record, members: &HashMap<usize, usize>) -> HashMap<usize, usize> {
    let mut held = HashMap::new();
    for (at, entry) in record.entries().iter().enumerate().filter(|(_, e)| e.kind == "DiagnosticReport") {
        if entry.json.word("status") == Some("entered-in-error") {
            continue;
        }
        let of_kind = |list: &'static str, kind: &'static str| {
            let found = entry.json.list(list).iter().filter_map(|reference| record.resolve(at, reference));
            found.filter(move |found| record.entry(*found).kind == kind && !members.contains_key(found))
        };
        for found in of_kind("result", "Observation").chain(of_kind("specimen", "Specimen")) {
            held.entry(found).or_insert(at);
            if let Some(specimen) = laboratory::specimen(record, found) {
                held.entry(specimen).or_insert(at);
            }
        }
    }
    held
}

/// Writes a report with all that belongs to it.
pub(super) fn statement(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    let own = work.own(at);
    let mut draft = Draft::default();
    let issued = draft.date("Issued", resource.at("issued"));
    let effective = draft.date("Effective", resource.at("effectiveDateTime"));
    let (start, _) = draft.period("Effective", resource.at("effectivePeriod"));
    let context = work.record.resolve(at, resource.at("context"));
    let context = context.and_then(|c| dates::wire(work.json(c).at("period").word("start")?));
    let taken = effective.or(start);
    // One time is all that a report has.
    draft.another_day("Effective", resource.at("effectiveDateTime"), issued.as_deref());
    draft.another_day("Effective", resource.at("effectivePeriod").at("start"), issued.as_deref());
    let available = issued.or(taken).or(context);
    let author = performers(work, at, &mut draft);
    said(work, at, &mut draft);
    let level = Level { available: available.clone(), report: at };
    let mut inner = Xml::new();
    let (filing, results) = sorted(work, at, &mut draft);
    laboratory_says(work, at, &level, &mut inner);
    for comment in &filing {
        laboratory::filing(work, *comment, &mut inner);
    }
    let nothing = filing.is_empty() && resource.word("conclusion").is_none();
    let specimens = specimens(work, at, &results, &mut draft);
    for (specimen, results) in &specimens {
        specimen::write(work, *specimen, results, &level, &mut inner);
    }
    let empty = specimens.is_empty() && nothing && draft.is_silent();
    let words = if empty { "EMPTY REPORT".to_owned() } else { draft.lines() };
    if !words.is_empty() {
        let note = work.part(at, "narrative/0");
        pmip::write(&mut inner, &note, Comment::Aggregate, &words, available.as_deref(), work.labels(at));
    }
    Some(around(work, at, &own, inner, draft, available, author))
}

/// The compound around the contents of a report.
fn around(
    work: &mut Work<'_>,
    at: usize,
    own: &str,
    inner: Xml,
    mut draft: Draft,
    available: Option<String>,
    author: Option<String>,
) -> Statement {
    let mut x = Xml::new();
    x.with("CompoundStatement", &[("classCode", "CLUSTER"), ("moodCode", "EVN")], |x| {
        id(x, own);
        if let Some(number) = number(work, at) {
            x.empty("id", &[("root", PMIP_REPORT), ("extension", number)]);
        }
        fixed(x, "16488004", "laboratory reporting", Some("Filed Report"));
        complete(x);
        Span::Unknown.write(x, "NI");
        dates::write(x, "availabilityTime", available.as_deref());
        work.label(x, at);
        if inner.replaced() {
            draft.fault(Fault::CharactersReplaced);
        }
        x.append(&inner.into_text());
        participant(x, "AUT", author.as_deref());
    });
    work.targets.insert(at, Target { id: own.to_owned(), class: "CLUSTER", mood: "EVN" });
    work.settle(at, own, &draft);
    Statement {
        xml: x.into_text(),
        kind: Kind::Communication,
        effective: Span::Unknown,
        time: available,
        author: author.clone(),
        performer: author,
        labelled: work.labelled[at],
    }
}

/// The number of the laboratory's message.
fn number<'a>(work: &Work<'a>, at: usize) -> Option<&'a str> {
    let identifiers = work.json(at).list("identifier").iter();
    let ours = |i: &&super::json::Json<'_>| {
        i.word("system").is_some_and(|s| s.strip_prefix("urn:oid:").unwrap_or(s) == PMIP_REPORT)
    };
    identifiers.into_iter().find(ours).and_then(|i| i.word("value"))
}

/// Who made the report; who else took part goes to text.
fn performers(work: &mut Work<'_>, at: usize, draft: &mut Draft) -> Option<String> {
    let mut author = None;
    for performer in work.json(at).list("performer") {
        let actor = performer.at("actor");
        let who = if actor.is_nothing() { performer } else { actor };
        if author.is_none() {
            author = work.agent(at, who, draft);
        } else {
            draft.say("Participants", work.referred(at, who).as_deref());
        }
    }
    author
}

/// What is read of a DiagnosticReport; the rest goes to text.
const TOLD: &[&str] = &[
    "status",
    "code",
    "effective[x]",
    "issued",
    "performer.actor",
    "specimen",
    "result",
    "conclusion",
    "codedDiagnosis",
    "basedOn",
    "presentedForm",
    "image.comment",
];

/// What no element of a report can say.
fn said(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    if !codes::has(resource.at("code"), "721981007") {
        draft.concept("Report", resource.at("code"));
    }
    for request in resource.list("basedOn") {
        draft.say("Based On", work.referred(at, request).as_deref());
    }
    for image in resource.list("image") {
        draft.say("Image", image.word("comment"));
    }
    unslotted::say(work, at, TOLD, draft);
}

/// What the laboratory says of the whole report.
fn laboratory_says(work: &mut Work<'_>, at: usize, level: &Level, x: &mut Xml) {
    let resource = work.json(at);
    let mut words = Vec::new();
    words.extend(resource.word("conclusion").map(|c| format!("Interpretation: {c}")));
    let diagnoses: Vec<String> = resource.list("codedDiagnosis").iter().filter_map(codes::words).collect();
    if !diagnoses.is_empty() {
        words.push(format!("Lab Diagnosis: {}", diagnoses.join(", ")));
    }
    words.extend(resource.word("status").filter(|s| *s != "unknown").map(|s| format!("Status: {s}")));
    for (n, words) in words.iter().enumerate() {
        let note = work.part(at, &format!("result-comment/{n}"));
        let labelled = work.labels(at);
        pmip::write(x, &note, Comment::Result, words, level.available.as_deref(), labelled);
    }
}

/// Filing comments, and results; what another report or group carries is named.
fn sorted(work: &Work<'_>, at: usize, draft: &mut Draft) -> (Vec<usize>, Vec<usize>) {
    let (mut filing, mut results) = (Vec::new(), Vec::new());
    for reference in work.json(at).list("result") {
        match work.record.resolve(at, reference) {
            None => {
                draft.fault(Fault::DanglingReference);
                draft.say("Result", reference.word("display"));
            }
            Some(found) if work.held.get(&found) != Some(&at) => {
                let inside =
                    work.members.get(&found).is_some_and(|header| work.held.get(header) == Some(&at));
                if !inside {
                    draft.say("Result in another report", work.referred(at, reference).as_deref());
                }
            }
            Some(found) if laboratory::is_filing(work.json(found)) => filing.push(found),
            Some(found) => results.push(found),
        }
    }
    // A result named twice is written once.
    let mut seen = HashSet::new();
    filing.retain(|at| seen.insert(*at));
    results.retain(|at| seen.insert(*at));
    (filing, results)
}

/// The specimens in order, each with its results; results without one last.
fn specimens(
    work: &Work<'_>,
    at: usize,
    results: &[usize],
    draft: &mut Draft,
) -> Vec<(Option<usize>, Vec<usize>)> {
    let mut order: Vec<Option<usize>> = Vec::new();
    let mut of: HashMap<Option<usize>, Vec<usize>> = HashMap::new();
    for reference in work.json(at).list("specimen") {
        match work.record.resolve(at, reference).filter(|s| work.entry(*s).kind == "Specimen") {
            Some(specimen) => drop(of.entry(Some(specimen)).or_insert_with(|| {
                order.push(Some(specimen));
                Vec::new()
            })),
            None => {
                draft.fault(Fault::DanglingReference);
                draft.say("Specimen", reference.word("display"));
            }
        }
    }
    for result in results {
        let specimen = laboratory::specimen(work.record, *result);
        let known = of.entry(specimen).or_insert_with(|| {
            order.push(specimen);
            Vec::new()
        });
        known.push(*result);
    }
    order.sort_by_key(Option::is_none);
    order.into_iter().map(|s| (s, of.remove(&s).unwrap_or_default())).collect()
}

/// Whether a received compound is a report.
pub(super) fn is_report(compound: Element<'_>) -> bool {
    let code = |system: &str, code: &str| system == codes::SNOMED && code == "16488004";
    compound.attribute("classCode") == Some("CLUSTER")
        && (codes::is_one(compound.child("code"), code) || compound.of("code", "code") == Some("16488004"))
}

/// Reads a report.
pub(super) fn read<'t>(reading: &mut Reading<'t>, compound: Element<'t>, scene: &Scene<'t>) -> Reference<'t> {
    let mut draft = Draft::default();
    let id = reading.id(compound);
    let issued = compound.of("availabilityTime", "value").and_then(dates::instant);
    let inside = Scene { issued: issued.clone(), within_report: true, ..scene.clone() };
    let mut report = fhir::DiagnosticReport { status: "unknown", ..fhir::DiagnosticReport::default() };
    let (mut conclusion, mut merged) = (Vec::new(), Vec::new());
    for element in consultation::contents(compound) {
        if specimen::is_specimen(element) {
            report.specimen.push(specimen::read(reading, element, &inside, &mut report.result));
            continue;
        }
        let words = element.child("text").and_then(Element::text).unwrap_or_default();
        match pmip::read(words) {
            (Some(Comment::Result), words) if element.name() == "NarrativeStatement" => {
                match known_status(words) {
                    Some(known) => report.status = known,
                    None => conclusion.push(words.strip_prefix("Interpretation: ").unwrap_or(words)),
                }
                reading.merge(element, &Reference::to("DiagnosticReport", &id));
                merged.push(element);
            }
            _ => report.result.extend(laboratory::read(reading, element, &inside)),
        }
    }
    let performer = reading.participant(compound, &["AUT", "PRF", "PPRF"]);
    unread::say(reading, compound, &["id", "code", "effectiveTime", "availabilityTime"], &mut draft);
    unread::others(reading, compound, scene, &[performer.as_ref()], &mut draft);
    let more = draft.lines();
    conclusion.push(&more);
    conclusion.retain(|words| !words.is_empty());
    report.conclusion = (!conclusion.is_empty()).then(|| conclusion.join("\n").into());
    report.meta = reading.meta("DiagnosticReport", compound, &reading.merging(scene, merged));
    report.identifier = reading.identifier(&id).into_iter().chain(stated_number(compound)).collect();
    report.category = Some(fhir::CodeableConcept::of("http://hl7.org/fhir/v2/0074", "PAT", "Pathology"));
    report.code = Some(fhir::CodeableConcept::of(fhir::SNOMED, "721981007", "Diagnostic studies report"));
    report.subject = reading.subject();
    report.context = scene.context();
    report.issued = issued.or_else(|| reading.written(scene));
    let performer =
        performer.map(|actor| ReportPerformer { actor: Some(actor), ..ReportPerformer::default() });
    report.performer = performer.into_iter().collect();
    let reference = reading.add("DiagnosticReport", &id, &report);
    reading.settle(compound, &reference, &draft);
    reference
}

/// The number of the laboratory's message in a received report.
fn stated_number<'t>(compound: Element<'t>) -> Option<Identifier<'t>> {
    let number = compound.all("id").find(|id| id.attribute("root") == Some(PMIP_REPORT));
    number.and_then(|id| id.attribute("extension")).map(|value| Identifier {
        system: format!("urn:oid:{PMIP_REPORT}").into(),
        value: value.into(),
        ..Identifier::default()
    })
}

fn known_status(words: &str) -> Option<&'static str> {
    let stated = words.strip_prefix("Status: ")?.trim();
    ["registered", "partial", "preliminary", "final", "amended", "corrected", "appended", "cancelled"]
        .into_iter()
        .find(|known| *known == stated)
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    const REPORT: &str = r#"{"resourceType": "DiagnosticReport", "id": "15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD",
      "status": "final", "issued": "2019-04-03T12:00:00Z", "conclusion": "Normal",
      "identifier": [{"system": "urn:oid:2.16.840.1.113883.2.1.4.5.5", "value": "77"}],
      "specimen": [{"reference": "Specimen/s"}],
      "result": [{"reference": "Observation/g"}, {"reference": "Observation/f"}, {"reference": "Observation/loose"},
        {"reference": "Observation/none"}, {"reference": "Observation/g"}]},
     {"resourceType": "Specimen", "id": "s", "type": {"text": "Blood"}, "accessionIdentifier": {"value": "A1"},
      "collection": {"collectedDateTime": "2019-04-01"}, "receivedTime": "2019-04-02"},
     {"resourceType": "Observation", "id": "g", "code": {"text": "FBC"}, "specimen": {"reference": "Specimen/s"},
      "comment": "fasting", "related": [{"type": "has-member", "target": {"reference": "Observation/m"}},
        {"type": "has-member", "target": {"reference": "Observation/mf"}}]},
     {"resourceType": "Observation", "id": "m", "code": {"text": "Hb"}, "valueQuantity": {"value": 142, "unit": "g/L"}},
     {"resourceType": "Observation", "id": "mf", "code": {"coding": [{"code": "37331000000100"}]}, "comment": "no action"},
     {"resourceType": "Observation", "id": "f", "code": {"coding": [{"code": "37331000000100"}]}, "comment": "told patient"},
     {"resourceType": "Observation", "id": "loose", "code": {"text": "ESR"}, "valueQuantity": {"value": 5}}"#;

    #[test]
    fn a_report_holds_specimens_groups_results_and_whose_comment_is_whose() {
        let (xml, account) = extract(REPORT);
        let at = |words: &str| xml.find(words).unwrap_or_else(|| panic!("{words} in {xml}"));
        assert!(xml.contains(r#"root="2.16.840.1.113883.2.1.4.5.5" extension="77""#), "{xml}");
        let order = [
            r#"code="16488004""#,
            "Interpretation: Normal",
            "Status: final",
            "CommentType:USER COMMENT\nCommentDate:UNK\n\ntold patient",
            r#"code="123038009""#,
            r#"extension="A1""#,
            "<desc>Blood</desc>",
            "Received Date: 2019-04-02",
            r#"classCode="BATTERY""#,
            "<originalText>Hb</originalText>",
            "CommentType:AGGREGATE COMMENT SET\nCommentDate:UNK\n\nfasting",
            "CommentType:USER COMMENT\nCommentDate:UNK\n\nno action",
            "<desc>NOT PRESENT</desc>",
            "<originalText>ESR</originalText>",
        ];
        assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "extract §8.6: {xml}");
        assert_eq!(state(&account, "DiagnosticReport"), "degraded", "one result leads nowhere");
        assert_eq!(state(&account, "Specimen"), "mapped");
        assert_eq!(xml.matches("<originalText>FBC</originalText>").count(), 1, "nothing is repeated outside");
    }

    #[test]
    fn a_report_with_nothing_in_it_and_a_specimen_without_results_say_so() {
        let (xml, _) = extract(r#"{"resourceType": "DiagnosticReport", "id": "r", "status": "final"}"#);
        assert!(xml.contains("\n\nEMPTY REPORT"), "{xml}");
        let specimen = r#"{"resourceType": "DiagnosticReport", "id": "r", "specimen": [{"reference": "Specimen/s"}]},
            {"resourceType": "Specimen", "id": "s"}"#;
        let (xml, _) = extract(specimen);
        assert!(xml.contains("LAB SPECIMEN COMMENT(E271)\nCommentDate:UNK\n\nEMPTY SPECIMEN"), "{xml}");
        assert!(
            xml.contains("<originalText>EMPTY SPECIMEN</originalText>"),
            "some receivers need an observation"
        );
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let (xml, _) = extract(REPORT);
        let reading = crate::extract::read(xml.as_bytes(), &crate::extract::Expected::default()).unwrap();
        let bundle: serde_json::Value = serde_json::from_slice(&reading.json).unwrap();
        let all = |kind: &str| -> Vec<&serde_json::Value> {
            let resources = bundle["entry"].as_array().unwrap().iter().map(|e| &e["resource"]);
            resources.filter(|r| r["resourceType"] == kind).collect()
        };
        let report = all("DiagnosticReport")[0];
        assert_eq!((&report["conclusion"], &report["status"]), (&"Normal".into(), &"final".into()));
        assert_eq!(report["identifier"][1]["value"], "77");
        assert_eq!(all("Specimen")[0]["accessionIdentifier"]["value"], "A1");
        let named = |words: &str| all("Observation").into_iter().find(|o| o["code"]["text"] == words);
        let group = named("FBC").expect("the group is an Observation");
        assert_eq!(group["comment"], "fasting", "no header is shown (extract §13.3)");
        let hb = named("Hb").expect("the result is one too");
        assert_eq!(hb["valueQuantity"]["value"], 142);
        assert_eq!(hb["related"][0]["type"], "derived-from");
        let said = |words: &str| all("Observation").iter().filter(|o| o["comment"] == words).count();
        assert_eq!((said("told patient"), said("no action")), (1, 2), "that of a group is the group's, too");
    }
}
