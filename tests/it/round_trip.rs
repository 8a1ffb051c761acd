//! There and back again: a record says after a passage what it said before, and so does an extract.
//!
//! Two systems never say a thing in the same place. Each way in which a passage may move something is a rule below, with
//! where it comes from; what no rule covers fails.

mod facts;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use throughcare::extract::{
    self, Document, Documents, Expected, Fault, Interaction, Parameters, Reading, ReceivedDocument, Record,
    RecordLimits, Said, State,
};

use crate::extracts::{bundles, parameters, read};
use crate::generated;
use crate::tools;
use facts::{by_reference, facts, prose, word, words};

/// What a passage may add to a text: a label under which a field is said in words (extract §1.5, §8, §13.3).
const LABELS: [&str; 21] = [
    "Annotation:",
    "Author Org:",
    "Author:",
    "BP Note:",
    "Content type:",
    "Custodian Org:",
    "Description:",
    "Interpretation:",
    "Last Issued:",
    "Location:",
    "Notes:",
    "Performer:",
    "Primary Source:",
    "Priority:",
    "Problem Info:",
    "Repeats Issued:",
    "Status:",
    "Subject:",
    "Text:",
    "Type:",
    "{Episodicity :",
];

/// Messages of the generated records that are tried.
const SEEDS: u64 = 400;

/// The record of a message, with every file that it refers to.
fn received(message: &[u8]) -> Reading {
    let known = |missing: &[extract::MissingDocument]| {
        let document = |m: &extract::MissingDocument| ReceivedDocument {
            id: m.id.clone(),
            file_name: m.file_name.clone(),
            content_type: None,
            length: 5,
            sha1: "qvTGHdzF6KLavt4PO0gs2a6pQ00=".to_owned(),
            url: format!("https://example.test/{}", m.id),
        };
        missing.iter().map(document).collect()
    };
    let first = extract::read(message, &Expected::default()).unwrap();
    let expected = Expected { documents: known(&first.missing), ..Expected::default() };
    extract::read(message, &expected).unwrap()
}

/// The message of a record, with every document that it refers to.
fn sent(record: &[u8]) -> extract::Extract {
    let record = Record::parse(record, &RecordLimits::default()).unwrap();
    let mut documents = Documents::new();
    for wanted in record.documents() {
        let content_type = wanted.content_type.unwrap_or_default();
        documents.insert(wanted.url, Document::Present { length: 5, content_type });
    }
    let nhs_number = extract::whose(&record).unwrap();
    let parameters = Parameters { nhs_number, ..parameters("9990000018", Interaction::Uk07) };
    extract::build(&record, &parameters, &documents).unwrap()
}

/// The messages of other systems, made valid: some say no NHS number, or one that cannot be.
fn messages() -> Vec<(String, Vec<u8>)> {
    let Some(shared) = tools::shared("fixtures") else { return Vec::new() };
    let mut found = Vec::new();
    for folder in ["reading", "inventory"] {
        for entry in std::fs::read_dir(shared.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let (Some(from), true) = (text.find("<recordTarget"), text.contains("<EhrExtract")) else {
                continue;
            };
            let id = from + text[from..].find("<id ").unwrap();
            let end = id + text[id..].find('>').unwrap() + 1;
            let number = r#"<id root="2.16.840.1.113883.2.1.4.1" extension="9990000018"/>"#;
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            found.push((name, [&text[..id], number, &text[end..]].concat().into_bytes()));
        }
    }
    assert!(found.len() > 8, "messages of other systems: {}", found.len());
    found
}

/// How often each rule was needed.
#[derive(Default)]
struct Rules(BTreeMap<&'static str, usize>);

impl Rules {
    fn used(&mut self, rule: &'static str) {
        *self.0.entry(rule).or_default() += 1;
    }

    fn print(&self) {
        println!();
        self.0.iter().for_each(|(rule, times)| println!("{times:6}  {rule}"));
    }
}

/// Whether the later text says all of the earlier in its order, and besides only what has a label.
fn says(later: &str, earlier: &str) -> bool {
    let bare = |word: &str| word.trim_end_matches(',').to_owned();
    let mut rest = earlier.split_whitespace().map(bare).peekable();
    let mut added = vec![String::new()];
    for word in later.split_whitespace() {
        if rest.next_if_eq(&bare(word)).is_some() {
            added.push(String::new());
        } else {
            added.last_mut().unwrap().extend([word, " "]);
        }
    }
    let labelled = |words: &String| words.is_empty() || LABELS.iter().any(|label| words.contains(label));
    rest.next().is_none() && added.iter().all(labelled)
}

/// The rule by which one statement became the other.
fn same(before: &Said, after: &Said) -> Option<&'static str> {
    let words = before.words == after.words && says(&after.text, &before.text);
    let value = before.value == after.value && before.kind == after.kind;
    let date = before.date == after.date;
    if words && value && date {
        return Some("a field is said in words, under its label (extract §1.5)");
    }
    if words && value && before.date.is_empty() {
        return Some("what has no time of its own has that of its composition (extract §13.3)");
    }
    if words && date && (before.kind, after.kind) == ("referral", "observation") {
        return Some("a self-referral is an observation (extract §13.2)");
    }
    let known = ["active", "inactive"].iter().any(|status| before.value.starts_with(status));
    if words && date && before.kind == "problem" && after.value.starts_with("active") && !known {
        return Some("a problem of another status is active, with its status as a note (extract §13.2)");
    }
    None
}

/// What the message says after a passage through a record; panics with what no rule covers.
fn passage(name: &str, message: &[u8], rules: &mut Rules) -> Vec<u8> {
    let record = received(message);
    let again = sent(&record.json).xml;
    let difference = extract::diff(message, &again).unwrap();
    let mut added = difference.only_second;
    let (mut lost, mut first) = (Vec::new(), difference.only_first);
    // Those that say most first: what says little is found in many.
    first.sort_by_key(|said| std::cmp::Reverse(said.text.len()));
    for before in first {
        let found = added.iter().enumerate().find_map(|(at, after)| Some((at, same(&before, after)?)));
        match found {
            Some((at, rule)) => {
                rules.used(rule);
                added.remove(at);
            }
            None => lost.push(before),
        }
    }
    lost.retain(|said| {
        let rule = match said.kind {
            "consultation" if said.text.is_empty() => {
                "a consultation in which nothing is said has no Encounter (extract §13.2)"
            }
            "problem" if said.value == "Unspecified problem" => {
                "a link of a referral to its documents is part of the referral (extract §13.2)"
            }
            _ => return true,
        };
        rules.used(rule);
        false
    });
    added.retain(|said| {
        let rule = match said.kind {
            "observation" if said.text.contains("problem header") => {
                "a problem that is no observation gets one (extract §8.4)"
            }
            "plan of medication" => {
                "each further issue of an acute plan has a plan of its own (extract §13.4)"
            }
            _ => return true,
        };
        rules.used(rule);
        false
    });
    assert!(lost.is_empty() && added.is_empty(), "{name}: lost {lost:#?}, added {added:#?}");
    again
}

#[test]
fn an_extract_says_the_same_after_a_passage_and_nothing_more_after_the_next() {
    let mut rules = Rules::default();
    let mut all = messages();
    all.extend((0..SEEDS).map(|seed| (format!("seed {seed}"), generated::extract(seed))));
    for (name, message) in all {
        let second = passage(&name, &message, &mut rules);
        let third = sent(&received(&second).json).xml;
        let fourth = sent(&received(&third).json).xml;
        let difference = extract::diff(&third, &fourth).unwrap();
        assert!(
            difference.only_first.is_empty() && difference.only_second.is_empty(),
            "{name} grows with every passage: {difference:#?}"
        );
    }
    rules.print();
}

/// The rule by which a fact is not in its field after a passage.
fn excused(
    before: &Value,
    after: &Value,
    fact: &str,
    reasons: &[Fault],
    all: &HashMap<String, Value>,
) -> Option<&'static str> {
    let kind = before["resourceType"].as_str().unwrap_or_default();
    Some(match (kind, fact) {
        (_, _) if reasons.contains(&Fault::Narrated) => {
            "what is no statement is a narrative, and listed (extract §1.2)"
        }
        (_, _) if reasons.contains(&Fault::MalformedDate) => {
            "a date that is none is quoted, and listed (extract §5)"
        }
        ("Observation", "component") if after["component"].is_null() => {
            "components that are no blood pressure of the table go to text (extract §8.2)"
        }
        ("Observation", "time") if !word(&before["effectiveDateTime"]).contains(['Z', '+']) => {
            "a time without a zone is London's (extract §5)"
        }
        ("ReferralRequest", "priority") if before["priority"] == "asap" => {
            "the priority asap goes to text (extract §8.8)"
        }
        ("DiagnosticReport", "result") => {
            "a result of two reports is in the first, and named in the second (extract §8.6)"
        }
        ("MedicationRequest", "status") if before["intent"] == "order" => {
            "an issue is completed (extract §13.4)"
        }
        ("MedicationRequest", "plan") if chained(before, after, all) => {
            "each further issue of an acute plan has a plan of its own, after the one before (extract §13.4)"
        }
        _ => return None,
    })
}

/// Whether the plan of the issue follows, over any number of others, the plan it had.
fn chained(before: &Value, after: &Value, all: &HashMap<String, Value>) -> bool {
    let first = word(&before["basedOn"][0]["reference"]);
    let plan = |of: &Value, link: &str| all.get(of[link]["reference"].as_str()?);
    let mut next = after["basedOn"].get(0).and_then(|link| all.get(link["reference"].as_str()?));
    for _ in 0..100 {
        match next {
            Some(found) if format!("MedicationRequest/{}", word(&found["id"])) == first => return true,
            Some(found) => next = plan(found, "priorPrescription"),
            None => return false,
        }
    }
    false
}

/// An issue names its plan by the id under which the plan went.
fn rename_plans(record: &mut HashMap<String, Value>, extract: &extract::Extract) {
    let went = |plan: &str| {
        let entry = extract.account.entries.iter().find(|e| e.resource == plan)?;
        match &entry.state {
            State::Mapped { to } | State::Degraded { to, .. } => Some(format!("MedicationRequest/{to}")),
            State::Merged { .. } | State::NotClinical { .. } => None,
        }
    };
    for order in record.values_mut().filter(|r| r["intent"] == "order" && r["basedOn"][0].is_object()) {
        order["basedOn"][0]["reference"] = went(&word(&order["basedOn"][0]["reference"])).into();
    }
}

/// What of the record is not in the one that came back, and what rule says so.
fn lost(name: &str, record: &[u8], rules: &mut Rules) {
    let extract = sent(record);
    let again: Value = serde_json::from_slice(&received(&extract.xml).json).unwrap();
    let mut before = by_reference(&serde_json::from_slice(record).unwrap());
    rename_plans(&mut before, &extract);
    let after = by_reference(&again);
    let mut text = String::new();
    words(&again, &mut text);
    let mut missing = Vec::new();
    for entry in &extract.account.entries {
        let (to, reasons) = match &entry.state {
            State::Mapped { to } => (to, &[][..]),
            State::Degraded { to, reasons } => (to, &reasons[..]),
            State::Merged { .. } | State::NotClinical { .. } => continue,
        };
        let Some(resource) = before.get(&entry.resource) else { continue };
        for words in prose(resource) {
            if !text.contains(&words) {
                missing.push(format!("{}: the words {words:?}", entry.resource));
            }
        }
        let kind = word(&resource["resourceType"]);
        let same = after.get(&format!("{kind}/{to}"));
        let other =
            ["Observation", "Immunization"].iter().find_map(|kind| after.get(&format!("{kind}/{to}")));
        let Some(same) = same.or(other) else {
            missing.push(format!("{}: no {kind}/{to}", entry.resource));
            continue;
        };
        let there = facts(same, &after);
        for fact in facts(resource, &before) {
            if there.iter().any(|f| f.name == fact.name && !f.forms.is_disjoint(&fact.forms)) {
                continue;
            }
            if let Some(rule) = excused(resource, same, fact.name, reasons, &after) {
                rules.used(rule);
                continue;
            }
            let found: Vec<_> = there.iter().filter(|f| f.name == fact.name).map(|f| &f.forms).collect();
            missing.push(format!(
                "{} {reasons:?}: {} {:?} and not {found:?}",
                entry.resource, fact.name, fact.forms
            ));
        }
    }
    assert!(missing.is_empty(), "{name}: {missing:#?}");
}

#[test]
fn a_record_says_the_same_after_a_passage() {
    let mut rules = Rules::default();
    let shared = tools::shared("");
    for path in shared.iter().flat_map(|shared| bundles(shared)) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name != "missing-patient.json" {
            lost(&name, &read(&path), &mut rules);
        }
    }
    for seed in 0..SEEDS {
        let record = serde_json::to_vec(&generated::record(seed)).unwrap();
        lost(&format!("seed {seed}"), &record, &mut rules);
    }
    rules.print();
}
