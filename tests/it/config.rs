//! The commented default settings, the built-in defaults and the schema say the same.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use throughcare::config::Config;

use crate::json_schema;

const DEFAULT_FILE: &str = include_str!("../../systemd/throughcare.toml");

/// Which commented keys are made real.
enum Uncomment {
    Defaults,
    DefaultsAndExamples,
}

fn uncommented(which: &Uncomment) -> String {
    let mut text = String::new();
    for line in DEFAULT_FILE.lines() {
        let line = match (which, line.strip_prefix("#~ "), line.strip_prefix('#')) {
            (Uncomment::DefaultsAndExamples, Some(example), _) => example,
            (_, None, Some(key)) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key,
            _ => line,
        };
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// `section.key` of everything that can be set.
fn keys_of(sections: &Value) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for (section, members) in sections.as_object().expect("settings are an object") {
        for key in members.as_object().expect("a section is an object").keys() {
            keys.insert(format!("{section}.{key}"));
        }
    }
    keys
}

fn built_in() -> Value {
    serde_json::to_value(Config::default()).unwrap()
}

#[test]
fn the_shipped_file_as_it_is_and_uncommented_equals_the_built_in_defaults() {
    assert_eq!(Config::parse(DEFAULT_FILE).unwrap(), Config::default(), "as shipped nothing is changed");
    assert_eq!(
        Config::parse(&uncommented(&Uncomment::Defaults)).unwrap(),
        Config::default(),
        "what the file calls a default is the default"
    );
}

#[test]
fn the_shipped_file_shows_every_key_and_its_examples_are_of_the_right_type() {
    let text = uncommented(&Uncomment::DefaultsAndExamples);
    Config::parse(&text).expect("every example can be used");
    let shown: toml::Table = text.parse().unwrap();
    let shown = keys_of(&serde_json::to_value(shown).unwrap());
    assert_eq!(shown, keys_of(&built_in()), "a key that nobody can find does not exist");
}

#[test]
fn the_schema_knows_the_same_keys_and_the_same_defaults() {
    let schema = json_schema::load("config.schema.json");
    let faults = json_schema::faults(&schema, &built_in());
    assert!(faults.is_empty(), "the defaults satisfy the schema: {faults:?}");
    let mut described = BTreeSet::new();
    for (section, rules) in schema["properties"].as_object().unwrap() {
        for (key, rule) in rules["properties"].as_object().unwrap() {
            described.insert(format!("{section}.{key}"));
            assert_eq!(
                rule["default"],
                built_in()[section][key],
                "{section}.{key} has the default of the schema"
            );
        }
    }
    assert_eq!(described, keys_of(&built_in()));
}

#[test]
fn a_settings_file_that_is_missing_or_wrong_names_the_file_or_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let missing = Config::load_with(&folder.path().join("none.toml"), None).unwrap_err().to_string();
    assert!(missing.contains("none.toml"), "{missing}");
    let path = folder.path().join("t.toml");
    std::fs::write(&path, "[inbox]\nlisten = \"everywhere\"\n").unwrap();
    let wrong = Config::load_with(&path, None).unwrap_err().to_string();
    assert!(wrong.contains("line 2"), "{wrong}");
    std::fs::write(&path, "#".repeat(2 << 20)).unwrap();
    let large = Config::load_with(&path, None).unwrap_err().to_string();
    assert!(large.contains("larger than 1 MiB"), "{large}");
}

#[test]
fn the_url_of_the_broker_is_read_from_the_file_systemd_passes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("amqp-url"), "amqp://u:secret@broker:5672/%2f\n").unwrap();
    let config = Config::parse("[amqp]\nurl_file = \"amqp-url\"\n").unwrap();
    let config = config.resolved(Path::new("/etc/throughcare"), Some(folder.path()));
    let url = config.broker_url().unwrap().expect("a broker is configured");
    assert_eq!(url.reveal(), "amqp://u:secret@broker:5672/%2f");
    assert!(!format!("{config:?}").contains("secret"), "settings may be printed");
}
