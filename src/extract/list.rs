//! List: it arranges others and becomes no statement, unless it says something itself (extract §7.1, §8.7).

use super::account::Fault;
use super::allergy;
use super::codes;
use super::dates::{self, Span};
use super::draft::Draft;
use super::json::Json;
use super::unslotted;
use super::work::{Kind, OBSERVATION, Statement, Work, complete, id};
use super::xml::Xml;

/// What is read of a List; the rest goes to a narrative.
const TOLD: &[&str] = &[
    "status",
    "mode",
    "title",
    "code",
    "date",
    "emptyReason",
    "encounter",
    "entry.item",
    "note.text",
    "extension.ListWarningCode",
    "extension.ClinicalSetting",
    "extension.RelatedProblemHeader",
];

/// What a List says beside its entries; one that says nothing is merged.
pub(super) fn statement(work: &mut Work<'_>, at: usize, into: &str) -> Option<Statement> {
    let json = work.json(at);
    let mut draft = Draft::default();
    json.list("note").iter().for_each(|note| draft.add(note.word("text")));
    for warning in json.extensions("ListWarningCode").filter_map(|e| e.word("valueCode")) {
        draft.add(Some(&format!("({warning})")));
    }
    let time = draft.date("Date", json.at("date"));
    let empty = |code: &str| codes::has(json.at("emptyReason"), code);
    if !empty("no-content-recorded") && !empty("nilknown") {
        draft.concept("Empty", json.at("emptyReason"));
    }
    let unknown = !is_heading(json.at("code"));
    if unknown {
        draft.concept("List of", json.at("code"));
    }
    unslotted::say(work, at, TOLD, &mut draft);
    for stray in work.record.strays(at).into_iter().filter(|_| work.links.stray[at]) {
        draft.fault(Fault::DanglingReference);
        draft.add(stray.word("display"));
    }
    if allergy::are_none(json) {
        return Some(allergy::none_known(work, at, draft));
    }
    let titled = unknown && json.word("title").is_some();
    if draft.is_silent() && draft.faults().is_empty() && !titled {
        work.merge(at, into);
        return None;
    }
    Some(note(work, at, time, draft))
}

/// Whether a List's code is one of the headings under which a record is given (GP Connect).
fn is_heading(code: &Json) -> bool {
    let headings = |c: &Json| {
        c.word("system")
            .is_none_or(|s| s == super::fhir::SNOMED || s.contains("GPConnect-SecondaryListValues"))
    };
    code.list("coding").iter().any(headings)
}

fn note(work: &mut Work<'_>, at: usize, time: Option<String>, mut draft: Draft) -> Statement {
    let own = work.part(at, "narrative/0");
    let (title, text) = (work.json(at).word("title").unwrap_or("List"), draft.text());
    let words = if text.is_empty() { title.to_owned() } else { format!("{title}: {text}") };
    let mut x = Xml::new();
    x.with("NarrativeStatement", &OBSERVATION, |x| {
        id(x, &own);
        x.leaf("text", &[], &words);
        complete(x);
        dates::write(x, "availabilityTime", time.as_deref());
        work.label(x, at);
    });
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    if draft.faults().is_empty() {
        work.merge(at, &own);
    } else {
        work.settle(at, &own, &draft);
    }
    Statement {
        xml: x.into_text(),
        kind: Kind::Communication,
        effective: Span::at(time.clone()),
        time,
        author: None,
        performer: None,
        labelled: work.labelled[at],
    }
}
