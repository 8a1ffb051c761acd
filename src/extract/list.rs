//! List: it arranges others and becomes no statement, unless it says something itself (extract §7.1, §8.7).

use super::account::Fault;
use super::allergy;
use super::dates::{self, Span};
use super::draft::Draft;
use super::work::{Kind, OBSERVATION, Statement, Work, complete, id};
use super::xml::Xml;

/// What a List says beside its entries; one that says nothing is merged.
pub(super) fn statement(work: &mut Work<'_>, at: usize, into: &str) -> Option<Statement> {
    let json = work.json(at);
    let mut draft = Draft::default();
    json.list("note").iter().for_each(|note| draft.add(note.word("text")));
    for warning in json.extensions("ListWarningCode").filter_map(|e| e.word("valueCode")) {
        draft.add(Some(&format!("({warning})")));
    }
    let time = draft.date("Date", json.at("date"));
    for stray in work.record.strays(at).into_iter().filter(|_| work.links.stray[at]) {
        draft.fault(Fault::DanglingReference);
        draft.add(stray.word("display"));
    }
    if allergy::are_none(json) {
        return Some(allergy::none_known(work, at, draft));
    }
    if draft.is_silent() && draft.faults().is_empty() {
        work.merge(at, into);
        return None;
    }
    Some(note(work, at, time, draft))
}

fn note(work: &mut Work<'_>, at: usize, time: Option<String>, mut draft: Draft) -> Statement {
    let own = work.part(at, "narrative/0");
    let words = [work.json(at).word("title").unwrap_or("List").to_owned(), draft.text()].join(": ");
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
