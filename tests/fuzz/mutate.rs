//! Damage: by the structure of the input, mostly, so that it is still read; at times byte by byte.

use serde_json::Value;

use crate::dice::Dice;

/// Words that are no dates, numbers, codes or ids, or that XML cannot carry.
const ODD: [&str; 22] = [
    "",
    " ",
    "2019-02-30",
    "20190230",
    "0000",
    "9999-12-31T25:61:61+99:99",
    "yesterday",
    "-1",
    "1e400",
    "NaN",
    "99999999999999999999999999999999999999",
    "0.00000000000000000000000000000000001",
    "<b>&amp;]]></b>",
    "a\u{0}b\u{b}c\u{fffe}d",
    "\u{202e}\u{1f469}\u{200d}\u{2695}\u{fe0f}",
    "#",
    "#self",
    "Patient/none",
    "https://example.test/fhir/Observation/a/_history/1",
    "00000000-0000-0000-0000-000000000000",
    "entered-in-error",
    "NOPAT",
];

/// Types that mean something else to the mapping.
const KINDS: [&str; 14] = [
    "Observation",
    "Condition",
    "List",
    "Encounter",
    "DiagnosticReport",
    "Specimen",
    "MedicationRequest",
    "MedicationStatement",
    "Medication",
    "DocumentReference",
    "AllergyIntolerance",
    "ReferralRequest",
    "Practitioner",
    "Novelty",
];

/// The record with one to eight places damaged.
pub fn json(original: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bundle: Value = serde_json::from_slice(original).unwrap();
    for _ in 0..=dice.below(8) {
        entry(&mut bundle, dice);
    }
    let mut bytes = serde_json::to_vec(&bundle).unwrap();
    if dice.chance(100) {
        scratch(&mut bytes, dice);
    }
    bytes
}

/// One entry of the Bundle: gone, there twice, of another type, or damaged inside.
fn entry(bundle: &mut Value, dice: &mut Dice) {
    let Some(entries) = bundle.get_mut("entry").and_then(Value::as_array_mut).filter(|e| !e.is_empty())
    else {
        return;
    };
    let at = dice.index(entries.len());
    match dice.below(12) {
        0 => drop(entries.remove(at)),
        1 => {
            let again = entries[at].clone();
            entries.insert(dice.index(entries.len()), again);
        }
        2 => set(&mut entries[at], "resourceType", (*dice.one(&KINDS)).into()),
        3 => {
            let id = entries[dice.index(entries.len())]["resource"]["id"].clone();
            set(&mut entries[at], "id", id);
        }
        4 => {
            let inner = entries[dice.index(entries.len())]["resource"].clone();
            set(&mut entries[at], "contained", Value::Array(vec![inner]));
        }
        _ => {
            let references = references(entries);
            inside(&mut entries[at], &references, dice);
        }
    }
}

fn set(entry: &mut Value, name: &str, value: Value) {
    if let Some(resource) = entry.get_mut("resource").and_then(Value::as_object_mut) {
        resource.insert(name.to_owned(), value);
    }
}

/// What a Reference could say, were it to lead to another entry.
fn references(entries: &[Value]) -> Vec<String> {
    let named = entries.iter().map(|e| &e["resource"]);
    named.filter_map(|r| Some(format!("{}/{}", r["resourceType"].as_str()?, r["id"].as_str()?))).collect()
}

/// Walks down to some value and damages it.
fn inside(value: &mut Value, references: &[String], dice: &mut Dice) {
    let deeper = dice.chance(800);
    match value {
        Value::Object(members) if deeper && !members.is_empty() => {
            let name = members.keys().nth(dice.index(members.len())).unwrap().clone();
            if name == "reference" && !references.is_empty() && dice.chance(500) {
                members[&name] = dice.one(references).as_str().into();
            } else if dice.chance(100) {
                members.remove(&name);
            } else {
                inside(&mut members[&name], references, dice);
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = dice.index(items.len());
            match dice.below(6) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => items.reverse(),
                _ => inside(&mut items[at], references, dice),
            }
        }
        value => *value = replacement(value, dice),
    }
}

fn replacement(value: &Value, dice: &mut Dice) -> Value {
    match dice.below(8) {
        0 => Value::Null,
        1 => Value::Array(vec![value.clone(), value.clone()]),
        2 => Value::Object([("value".to_owned(), value.clone())].into_iter().collect()),
        3 => Value::Bool(dice.chance(500)),
        4 => (dice.next() as f64 * if dice.chance(500) { 1e200 } else { -1e-30 }).into(),
        5 => "x ".repeat(dice.index(20_000)).into(),
        _ => (*dice.one(&ODD)).into(),
    }
}

/// The message with one to eight places damaged.
pub fn xml(original: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut text = String::from_utf8(original.to_vec()).unwrap();
    for _ in 0..=dice.below(8) {
        text = place(&text, dice);
    }
    let mut bytes = text.into_bytes();
    if dice.chance(50) {
        scratch(&mut bytes, dice);
    }
    bytes
}

/// One element of the message: gone, there twice, elsewhere, renamed, or damaged in an attribute or its text.
fn place(text: &str, dice: &mut Dice) -> String {
    let Some(from) = find(text, dice, "<", |rest| rest[1..].starts_with(|c: char| c.is_ascii_alphabetic()))
    else {
        return text.to_owned();
    };
    let Some(to) = end(text, from) else { return text.to_owned() };
    let (before, element, after) = (&text[..from], &text[from..to], &text[to..]);
    match dice.below(8) {
        0 => format!("{before}{after}"),
        1 => format!("{before}{element}{element}{after}"),
        2 => {
            let Some(at) = find(after, dice, "<component", |_| true) else { return text.to_owned() };
            format!("{before}{}{element}{}", &after[..at], &after[at..])
        }
        3 => {
            let name: String = element[1..].chars().take_while(char::is_ascii_alphanumeric).collect();
            let other =
                *dice.one(&["Novelty", "NarrativeStatement", "CompoundStatement", "LinkSet", "value"]);
            let renamed = element.replacen(&format!("<{name}"), &format!("<{other}"), 1);
            let last = renamed.rfind(&format!("</{name}"));
            let renamed = last.map_or(renamed.clone(), |at| {
                format!("{}</{other}{}", &renamed[..at], &renamed[at + 2 + name.len()..])
            });
            format!("{before}{renamed}{after}")
        }
        4 => format!("{before}{}{after}", element.replacen('>', &format!(">{}", quoted(dice)), 1)),
        _ => {
            let Some(at) = find(after, dice, "=\"", |_| true) else { return text.to_owned() };
            let Some(length) = after[at + 2..].find('"') else { return text.to_owned() };
            let value = &after[at + 2..at + 2 + length];
            let new = if dice.chance(200) { other_value(text, dice) } else { quoted(dice) };
            let new = if dice.chance(50) { value.chars().take(1).collect() } else { new };
            format!("{before}{element}{}{new}{}", &after[..at + 2], &after[at + 2 + length..])
        }
    }
}

/// The value of some attribute of the message: ids lead elsewhere, codes mean something else.
fn other_value(text: &str, dice: &mut Dice) -> String {
    let Some(at) = find(text, dice, "=\"", |_| true) else { return String::new() };
    text[at + 2..].split('"').next().unwrap_or_default().to_owned()
}

/// Odd words as XML can carry them.
fn quoted(dice: &mut Dice) -> String {
    let words = dice.one(&ODD).replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    words.replace(['\u{0}', '\u{b}', '\u{fffe}'], "\u{fffd}")
}

/// Some place from which the words stand in the text.
fn find(text: &str, dice: &mut Dice, words: &str, fits: impl Fn(&str) -> bool) -> Option<usize> {
    let mut from = dice.index(text.len());
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let found = text[from..].match_indices(words).map(|(at, _)| from + at);
    found.chain(text.match_indices(words).map(|(at, _)| at)).find(|at| fits(&text[*at..]))
}

/// Where the element ends that begins there.
fn end(text: &str, from: usize) -> Option<usize> {
    let mut depth = 0_u32;
    let mut at = from;
    loop {
        let open = at + text[at..].find('<')?;
        let close = open + text[open..].find('>')? + 1;
        let tag = &text[open..close];
        match tag.as_bytes() {
            [b'<', b'/', ..] => depth = depth.checked_sub(1)?,
            [b'<', b'!' | b'?', ..] | [.., b'/', b'>'] => {}
            _ => depth += 1,
        }
        at = close;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Some bytes changed for others, whatever they meant.
fn scratch(bytes: &mut [u8], dice: &mut Dice) {
    if bytes.is_empty() {
        return;
    }
    for _ in 0..=dice.below(4) {
        let at = dice.index(bytes.len());
        bytes[at] = *dice.one(b"\0\"<>&{}[],:#09azT-\xc3\xff ");
    }
}
