//! JSON of the contract, with every unknown or mistyped field named at once, and never a value.
//!
//! serde stops at the first fault and quotes the value in its message, so a message that serde refuses is taken
//! apart here and tried field by field.

use serde_json::{Map, Value};

use super::check::{Faults, MOST_FAULTS};
use super::{Fault, Reason, Rejection};
use crate::intake::wire;

/// Reads the object. The faults name fields that were left out of the message because they are unknown or mistyped.
pub fn read(body: &[u8]) -> Result<(wire::CustodyEvent, Vec<Fault>), Rejection> {
    // serde would take a list as fields without names.
    let object = body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{');
    if object && let Ok(message) = serde_json::from_slice(body) {
        return Ok((message, Vec::new()));
    }
    let value: Value = serde_json::from_slice(body).map_err(|e| {
        let rule = format!("not JSON: line {}, column {}", e.line(), e.column());
        Rejection::whole(Reason::Unreadable, &rule)
    })?;
    let Value::Object(object) = value else {
        return Err(Rejection::whole(Reason::Unreadable, "an event in JSON must be one object"));
    };
    let mut faults = Vec::new();
    let fit = sift(object, &mut Vec::new(), &mut faults);
    if faults.is_empty() {
        // Only a field given twice is lost in taking the object apart.
        return Err(Rejection::whole(Reason::Unreadable, "a field is given twice"));
    }
    let message = serde_json::from_value(Value::Object(fit))
        .map_err(|_| Rejection::whole(Reason::Unreadable, "not JSON of this contract"))?;
    Ok((message, faults))
}

/// The fields of `object` that the contract takes at `path`; the others become faults.
fn sift(object: Map<String, Value>, path: &mut Vec<String>, faults: &mut Vec<Fault>) -> Map<String, Value> {
    let mut fit = Map::new();
    for (name, value) in object {
        path.push(name.clone());
        match (verdict(path, value.clone()), value) {
            (Verdict::Fits, value) => {
                fit.insert(name, value);
            }
            (Verdict::Unknown, _) => faults.report(printable(path), "is not a field of this contract"),
            (Verdict::Mistyped, Value::Object(inner))
                if verdict(path, Value::Object(Map::new())) == Verdict::Fits =>
            {
                fit.insert(name, Value::Object(sift(inner, path, faults)));
            }
            (Verdict::Mistyped, _) => faults.report(printable(path), "is of another type in this contract"),
        }
        path.pop();
        if faults.len() >= MOST_FAULTS {
            break;
        }
    }
    fit
}

#[derive(PartialEq, Eq)]
enum Verdict {
    Fits,
    Unknown,
    Mistyped,
}

/// Whether a message with this one field, at this place, can be read.
fn verdict(path: &[String], value: Value) -> Verdict {
    let message =
        path.iter().rev().fold(value, |inner, name| Value::Object(Map::from_iter([(name.clone(), inner)])));
    match serde_json::from_value::<wire::CustodyEvent>(message) {
        Ok(_) => Verdict::Fits,
        // At this place nothing would fit: the name itself is unknown.
        Err(_) if !known(path) => Verdict::Unknown,
        Err(_) => Verdict::Mistyped,
    }
}

/// Whether the contract has a field of this name at this place: null or an empty form of some type is then taken.
fn known(path: &[String]) -> bool {
    let empties =
        [Value::Null, Value::String(String::new()), Value::Array(Vec::new()), Value::Object(Map::new())];
    empties.into_iter().any(|empty| {
        let message = path
            .iter()
            .rev()
            .fold(empty, |inner, name| Value::Object(Map::from_iter([(name.clone(), inner)])));
        serde_json::from_value::<wire::CustodyEvent>(message).is_ok()
    })
}

/// The path, as far as it looks like field names: a key may have been filled with something that must not print.
fn printable(path: &[String]) -> String {
    let plain = |name: &String| name.len() <= 40 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    path.iter()
        .map(|name| if plain(name) { name.as_str() } else { "(unprintable)" })
        .collect::<Vec<_>>()
        .join(".")
}
