//! Any resource without a statement kind of its own: a NarrativeStatement with its type, date, code and readable fields.
//!
//! So nothing is lost because we do not know it (extract §1.2, §8.7).

use super::account::{Fault, Unsent};
use super::dates::{self, Span};
use super::draft::Draft;
use super::json::Json;
use super::work::{Kind, OBSERVATION, Statement, Target, Work, complete, id, participant};
use super::xml::Xml;

/// Members that hold no words for a reader.
const SILENT: [&str; 9] = [
    "resourceType",
    "id",
    "meta",
    "subject",
    "patient",
    "identifier",
    "contained",
    "implicitRules",
    "language",
];

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
    for (name, value) in resource.members().iter().filter(|(name, _)| !SILENT.contains(&&**name)) {
        flatten(work, at, &label(name), value, &mut draft, 0);
    }
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

/// `effectiveDateTime` as `Effective date time`.
fn label(name: &str) -> String {
    let mut label = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !label.is_empty() {
            label.push(' ');
            label.push(c.to_ascii_lowercase());
        } else if label.is_empty() {
            label.extend(c.to_uppercase());
        } else {
            label.push(c);
        }
    }
    label
}

/// Fields below this level are not shown: FHIR's readable ones are above.
const DEPTH: usize = 8;

fn flatten(work: &Work<'_>, at: usize, name: &str, value: &Json, draft: &mut Draft, depth: usize) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| flatten(work, at, name, item, draft, depth)),
        Json::Object(members) if depth < DEPTH => {
            if value.word("reference").is_some() {
                draft.say(name, work.referred(at, value).as_deref());
            } else if !value.list("coding").is_empty() {
                draft.concept(name, value);
            } else if !value.at("value").is_nothing() && value.at("url").is_nothing() {
                draft.say(name, super::quantities::words("Quantity", value).as_deref());
            } else {
                let readable =
                    |n: &str| !["url", "system", "linkId", "contentType", "data", "div"].contains(&n);
                for (inner, value) in members.iter().filter(|(n, _)| readable(n)) {
                    let label = if inner.starts_with("value") || inner == "text" || inner == "extension" {
                        name.to_owned()
                    } else {
                        format!("{name} {}", label(inner).to_lowercase())
                    };
                    flatten(work, at, &label, value, draft, depth + 1);
                }
            }
        }
        Json::Null | Json::Object(_) => {}
        Json::Bool(_) | Json::Number(_) | Json::Counted(_) | Json::Text(_) | Json::Unescaped(_) => {
            draft.say(name, value.text())
        }
    }
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
