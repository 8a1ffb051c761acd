//! Any resource without a statement kind of its own: a NarrativeStatement with its type, date, code and readable fields.
//!
//! So nothing is lost because we do not know it (extract §1.2, §8.7).

use super::account::{Fault, Unsent};
use super::dates::{self, Span};
use super::draft::Draft;
use super::unslotted::{self, label};
use super::work::{Kind, OBSERVATION, Statement, Target, Work, complete, id, participant};
use super::xml::Xml;

/// Members that may date an entry, best first.
const DATES: [&str; 8] = [
    "effectiveDateTime",
    "performedDateTime",
    "authored",
    "authoredOn",
    "date",
    "issued",
    "created",
    "receivedTime",
];

/// Members that may name who did it, best first.
const ACTORS: [&str; 4] = ["performer", "author", "requester", "recorder"];

/// Writes the narrative of any resource.
pub(super) fn statement(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    let own = work.own(at);
    let mut draft = Draft::default();
    let kind = resource.word("resourceType").unwrap_or("Unknown");
    unslotted::say(work, at, &[], &mut draft);
    if !resource.is_object() {
        draft.add(Some(&resource.all_words()));
    }
    if draft.is_silent() && !resource.is_object() {
        work.leave(at, Unsent::Empty);
        return None;
    }
    draft.fault(Fault::Narrated);
    let available = DATES.iter().find_map(|name| dates::wire(resource.word(name)?));
    let period =
        ["effectivePeriod", "performedPeriod", "period"].iter().find_map(|n| resource.at(n).word("start"));
    let available = available.or_else(|| dates::wire(period?));
    let agent = actor(work, at);
    let text = format!("{} {}", label(kind), draft.text()).trim().to_owned();
    let mut x = Xml::new();
    x.with("NarrativeStatement", &OBSERVATION, |x| {
        id(x, &own);
        x.leaf("text", &[], &text);
        complete(x);
        dates::write(x, "availabilityTime", available.as_deref());
        work.label(x, at);
        participant(x, "PRF", agent.as_deref());
    });
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "EVN" });
    work.settle(at, &own, &draft);
    Some(Statement {
        xml: x.into_text(),
        kind: Kind::Communication,
        effective: Span::at(available.clone()),
        time: available,
        author: agent.clone(),
        performer: agent,
        labelled: work.labelled[at],
    })
}

fn actor(work: &mut Work<'_>, at: usize) -> Option<String> {
    let resource = work.json(at);
    ACTORS.iter().find_map(|name| {
        let who = resource.list(name).first()?;
        let nested = [who.at("agent"), who.at("actor")].into_iter().find(|n| !n.is_nothing());
        work.agents.refer(work.record, &mut work.ids, at, nested.unwrap_or(who))
    })
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn an_unknown_kind_keeps_its_words() {
        let (xml, account) = extract(
            r#"{"resourceType": "FamilyMemberHistory", "id": "f", "date": "2011-02-03", "name": "uncle",
                "relationship": {"coding": [{"display": "Uncle"}]}, "condition": [{"code": {"text": "Gout"}}]}"#,
        );
        assert!(xml.contains("Family member history"), "{xml}");
        assert!(xml.contains("Relationship: Uncle") && xml.contains("Condition code: Gout"), "{xml}");
        assert!(xml.contains(r#"<availabilityTime value="20110203"/>"#), "{xml}");
        assert_eq!(state(&account, "FamilyMemberHistory"), "degraded", "D6: nothing is dropped unseen");
    }
}
