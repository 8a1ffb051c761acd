//! A checker for the part of JSON Schema our own schemas use.
//!
//! It is deliberately not a general one: a keyword it does not know is an error, so that no schema of ours can say
//! something that is not checked.

use std::path::Path;

use serde_json::{Map, Value};
use throughcare::transfer::Transfer;
use throughcare::transfer::journal::What;

/// Words that describe and do not constrain.
const ANNOTATIONS: [&str; 8] =
    ["$schema", "$id", "$defs", "title", "description", "default", "examples", "$comment"];

/// A schema of `schemas/`, by file name.
pub fn load(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("schemas/{name}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("schemas/{name} is not JSON: {e}"))
}

/// Every way in which `value` breaks `schema`, each with its place.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    visit(schema, schema, value, "$", &mut faults);
    faults
}

fn visit(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let schema = match schema {
        Value::Bool(true) => return,
        Value::Object(schema) => schema,
        other => return faults.push(format!("{at}: {other} allows nothing")),
    };
    for (keyword, rule) in schema {
        match keyword.as_str() {
            "$ref" => visit(root, referred(root, rule), value, at, faults),
            "properties" => each_property(root, rule, value, at, faults),
            "additionalProperties" => others(root, schema, rule, value, at, faults),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    visit(root, rule, item, &format!("{at}[{index}]"), faults);
                }
            }
            "oneOf" => {
                let branches = rule.as_array().expect("oneOf holds a list");
                let fitting = branches.iter().filter(|branch| fits(root, branch, value)).count();
                if fitting != 1 {
                    faults.push(format!("{at}: fits {fitting} of the branches of oneOf instead of one"));
                }
            }
            known if ANNOTATIONS.contains(&known) => {}
            keyword => plain(keyword, rule, value, at, faults),
        }
    }
}

fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut faults = Vec::new();
    visit(root, schema, value, "$", &mut faults);
    faults.is_empty()
}

fn referred<'a>(root: &'a Value, rule: &Value) -> &'a Value {
    let name = rule.as_str().and_then(|r| r.strip_prefix("#/$defs/")).expect("we refer to #/$defs only");
    root["$defs"].get(name).unwrap_or_else(|| panic!("there is no #/$defs/{name}"))
}

fn each_property(root: &Value, rule: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let (Some(rules), Some(object)) = (rule.as_object(), value.as_object()) else { return };
    for (name, rule) in rules {
        if let Some(member) = object.get(name) {
            visit(root, rule, member, &format!("{at}.{name}"), faults);
        }
    }
}

fn others(
    root: &Value,
    schema: &Map<String, Value>,
    rule: &Value,
    value: &Value,
    at: &str,
    faults: &mut Vec<String>,
) {
    let listed = schema.get("properties").and_then(Value::as_object);
    for (name, member) in value.as_object().into_iter().flatten() {
        if !listed.is_some_and(|l| l.contains_key(name)) {
            visit(root, rule, member, &format!("{at}.{name}"), faults);
        }
    }
}

/// The keywords that look at one value by itself.
fn plain(keyword: &str, rule: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let length = value.as_str().map(|s| s.chars().count() as f64);
    let count = value.as_array().map(|a| a.len() as f64);
    let bound = rule.as_f64();
    let kept = match keyword {
        "type" => is_of_type(rule, value),
        "enum" => rule.as_array().expect("enum holds a list").contains(value),
        "const" => rule == value,
        "required" => {
            let names = rule.as_array().expect("required holds a list").iter().filter_map(Value::as_str);
            let missing: Vec<&str> =
                names.filter(|n| value.as_object().is_some_and(|o| !o.contains_key(*n))).collect();
            if !missing.is_empty() {
                faults.push(format!("{at}: {missing:?} missing"));
            }
            true
        }
        "minimum" => value.as_f64().is_none_or(|v| bound.is_some_and(|b| v >= b)),
        "maximum" => value.as_f64().is_none_or(|v| bound.is_some_and(|b| v <= b)),
        "minLength" => length.is_none_or(|l| bound.is_some_and(|b| l >= b)),
        "maxLength" => length.is_none_or(|l| bound.is_some_and(|b| l <= b)),
        "minItems" => count.is_none_or(|c| bound.is_some_and(|b| c >= b)),
        "maxItems" => count.is_none_or(|c| bound.is_some_and(|b| c <= b)),
        "format" => value.as_str().is_none_or(|text| is_of_format(rule, text)),
        unknown => panic!("{at}: this checker does not know the keyword {unknown}; teach it before using it"),
    };
    if !kept {
        faults.push(format!("{at}: {value} breaks {keyword} {rule}"));
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let one = |name: &Value| match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        other => panic!("{other:?} is not a type of JSON Schema"),
    };
    rule.as_array().map_or_else(|| one(rule), |list| list.iter().any(one))
}

fn is_of_format(rule: &Value, text: &str) -> bool {
    match rule.as_str() {
        Some("date-time") => throughcare::model::Timestamp::parse(text).is_ok(),
        Some("uuid") => throughcare::model::EventId::parse(text).is_ok(),
        other => panic!("this checker does not know the format {other:?}"),
    }
}

#[test]
fn the_checker_refuses_what_a_schema_forbids() {
    let schema: Value = serde_json::from_str(
        r##"{"type":"object","required":["a"],"additionalProperties":false,
            "properties":{"a":{"$ref":"#/$defs/small"},"b":{"type":["string","null"],"format":"date-time"},
            "c":{"type":"array","minItems":1,"items":{"enum":["x"]}},
            "d":{"oneOf":[{"const":1},{"type":"integer","maximum":5}]}},
            "$defs":{"small":{"type":"integer","minimum":1,"maximum":3}}}"##,
    )
    .unwrap();
    let table = [
        (r#"{"a":1}"#, true),
        (r#"{"a":1,"b":null,"c":["x"],"d":4}"#, true),
        (r#"{}"#, false),
        (r#"{"a":4}"#, false),
        (r#"{"a":1,"z":1}"#, false),
        (r#"{"a":1,"b":"yesterday"}"#, false),
        (r#"{"a":1,"c":[]}"#, false),
        (r#"{"a":1,"c":["y"]}"#, false),
        (r#"{"a":1,"d":1}"#, false),
    ];
    for (text, valid) in table {
        let found = faults(&schema, &serde_json::from_str(text).unwrap());
        assert_eq!(found.is_empty(), valid, "{text}: {found:?}");
    }
}

/// The words of an enum in the definitions of a schema.
fn defined(schema: &str, name: &str) -> std::collections::BTreeSet<String> {
    let words = load(schema)["$defs"][name]["enum"].as_array().unwrap().clone();
    words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_schemas_know_every_state_and_every_entry_of_a_timeline() {
    let labels = Transfer::LABELS.iter().map(|label| (*label).to_owned()).collect();
    for schema in ["explain", "list", "show", "status"].map(|name| format!("{name}.schema.json")) {
        assert_eq!(defined(&schema, "state"), labels, "{schema}");
    }
    // Reading an entry that is none, the type names all that there are.
    let unknown = serde_json::from_value::<What>(serde_json::json!({"what": "?"})).unwrap_err().to_string();
    let (_, expected) = unknown.split_once("expected one of").expect("the variants are listed");
    let entries = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert_eq!(defined("show.schema.json", "what"), entries);
}
