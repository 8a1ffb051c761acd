//! What a resource says where no element and no labelled text of its kind looks: it goes to text all the same, so that
//! nothing is dropped because it has no slot (extract §1.5).
//!
//! Each kind names the members that it reads itself, as paths: `note.text` is the text of each note, and what else a
//! note has is not read. An extension is named by words of its address.

use super::codes;
use super::draft::Draft;
use super::json::Json;
use super::quantities;
use super::work::Work;

/// Members of any resource that say nothing to a reader, or what another element of the message says.
const SILENT: [&str; 11] = [
    "resourceType",
    "id",
    "meta",
    "subject",
    "patient",
    "identifier",
    "masterIdentifier",
    "groupIdentifier",
    "contained",
    "implicitRules",
    "language",
];

/// Fields below this level are not shown: FHIR's readable ones are above.
const DEPTH: usize = 8;

/// Puts in text what the kind does not read itself.
pub(super) fn say(work: &Work<'_>, at: usize, told: &[&str], draft: &mut Draft) {
    // FHIR's own narrative is generated from the rest.
    let generated = |name: &str, value: &Json| name == "text" && value.is_object();
    let silent = |name: &str, value: &Json| SILENT.contains(&name) || generated(name, value);
    let members = work.json(at).members().iter().filter(|(name, value)| !silent(name, value));
    for (name, value) in members {
        // Where it stands in the message says so, unless there is no such consultation.
        let context = matches!(&**name, "context" | "encounter") && !told.contains(&&**name);
        match context && is_reference(value) {
            true => work.stray(at, "Context", value, draft),
            false => member(work, at, "", (name, value), told, draft),
        }
    }
}

/// Puts in text what the kind does not read itself of something inside a resource.
pub(super) fn say_of(work: &Work<'_>, at: usize, name: &str, value: &Json, told: &[&str], draft: &mut Draft) {
    value.members().iter().for_each(|(inner, value)| member(work, at, name, (inner, value), told, draft));
}

fn member(
    work: &Work<'_>,
    at: usize,
    around: &str,
    (name, value): (&str, &Json),
    told: &[&str],
    draft: &mut Draft,
) {
    let (mut inner, mut whole) = (Vec::new(), false);
    // Most paths begin with another letter: that is quick to see, and it is asked of every member of a record.
    for path in told.iter().filter(|path| path.as_bytes().first() == name.as_bytes().first()) {
        inner.extend(path.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')));
        whole |= is(path, name);
    }
    if name == "id" || (inner.is_empty() && whole) {
        return;
    }
    let items = match value {
        Json::Array(items) => items,
        lone => std::slice::from_ref(lone),
    };
    for item in items {
        if name == "extension" || name == "modifierExtension" {
            let address = item.word("url").unwrap_or_default();
            if !inner.iter().any(|known| address.contains(known)) {
                let label = [around, &label(&named(address)).to_lowercase()].join(" ");
                flatten(work, at, &capital(label.trim()), item, draft, 0);
            }
            continue;
        }
        let label = match (around, name) {
            ("", name) => label(name),
            (around, "authorString" | "authorReference") => format!("{around} by"),
            (around, name) => format!("{around} {}", label(name).to_lowercase()),
        };
        match item.is_object() && !inner.is_empty() {
            true => say_of(work, at, &label, item, &inner, draft),
            false if classifies(name, item) => {}
            false => flatten(work, at, &label, item, draft, 0),
        }
    }
}

fn is_reference(value: &Json) -> bool {
    value.word("reference").is_some() || value.word("display").is_some()
}

/// Whether a path names the whole member. `value[x]` is each member of FHIR's choice.
fn is(path: &str, name: &str) -> bool {
    match path.strip_suffix("[x]") {
        None => path == name,
        Some(choice) => {
            let kind = name.strip_prefix(choice);
            kind.is_some_and(|kind| kind.starts_with(|c: char| c.is_ascii_uppercase()))
        }
    }
}

/// Whether it only sorts the entry into one of HL7's own classes, as its kind and code do anyhow.
fn classifies(name: &str, value: &Json) -> bool {
    let hl7 = |coding: &Json| coding.word("system").is_some_and(|s| s.contains("hl7.org"));
    let codings =
        if value.list("coding").is_empty() { std::slice::from_ref(value) } else { value.list("coding") };
    matches!(name, "category" | "class" | "role" | "orderedBy") && codings.iter().all(hl7)
}

/// The name in the address of an extension.
fn named(address: &str) -> String {
    let name = address.rsplit('/').next().unwrap_or_default();
    let prefixes = ["Extension-", "CareConnect-", "GPC-"];
    let name = prefixes.iter().fold(name, |name, prefix| name.strip_prefix(prefix).unwrap_or(name));
    name.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit()).replace('-', " ")
}

/// `effectiveDateTime` as `Effective date time`.
pub(super) fn label(name: &str) -> String {
    let mut label = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !label.is_empty() {
            label.push(' ');
            label.push(c.to_ascii_lowercase());
        } else {
            label.push(c);
        }
    }
    capital(&label)
}

/// The words, their first letter a capital one.
pub(super) fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Everything in a value that a person can read, each under its label.
pub(super) fn flatten(work: &Work<'_>, at: usize, name: &str, value: &Json, draft: &mut Draft, depth: usize) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| flatten(work, at, name, item, draft, depth)),
        Json::Object(members) if depth < DEPTH => {
            if value.word("reference").is_some() {
                draft.say(name, work.referred(at, value).as_deref());
            } else if !value.list("coding").is_empty() {
                draft.say(name, codes::words(value).as_deref());
            } else if !value.at("value").is_nothing() && value.at("url").is_nothing() {
                draft.say(name, quantities::words("Quantity", value).as_deref());
            } else {
                let readable =
                    |n: &str| !["url", "system", "linkId", "contentType", "data", "div"].contains(&n);
                for (inner, value) in members.iter().filter(|(n, _)| readable(n)) {
                    let silent = ["text", "extension", "display"].contains(&&**inner);
                    let label = if silent || is("value[x]", inner) {
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
