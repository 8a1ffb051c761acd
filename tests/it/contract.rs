//! The queue's contract: the committed code is what `proto/` says, and bad input gets the answer it deserves.
//!
//! `THROUGHCARE_REGENERATE=1 cargo test --test it generated_code` writes the generated code afresh.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use prost::Message;
use serde_json::{Value, json};
use throughcare::intake::contract::{
    self, AllowedNumbers, Decoded, Encoding, Reason, Rejection, Relevance, Rules, Standing, WarningCode,
    encode_outcome,
};
use throughcare::intake::wire;
use throughcare::model::{EventId, OdsCode, Timestamp};
use throughcare::transfer::custody::{CustodyEvent, CustodyKind, Filing, Source};
use throughcare::transfer::outcome::{Completeness, Outcome, OutcomeId, OutcomeKind};

/// `google.protobuf.FieldDescriptorProto.Type.TYPE_ENUM`, `TYPE_MESSAGE` and `Label.LABEL_REPEATED`.
const ENUM: i32 = 14;
const MESSAGE: i32 = 11;
const REPEATED: i32 = 3;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/intake/custody.v1.rs")
}

/// What prost makes of `proto/`, with serde beside it so that JSON has the same field names.
fn generate() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let files = ["throughcare/custody/v1/event.proto", "throughcare/custody/v1/outcome.proto"];
    let described = protox::compile(files, [&root]).expect("proto/ compiles");
    let out = tempfile::tempdir().unwrap();
    let mut config = prost_build::Config::new();
    config.out_dir(out.path()).skip_debug(["."]);
    config.message_attribute(".", "#[derive(serde::Serialize, serde::Deserialize)]");
    config.message_attribute(".", "#[serde(default, deny_unknown_fields)]");
    for file in &described.file {
        for message in &file.message_type {
            for field in &message.field {
                let word = field.type_name().rsplit('.').next().unwrap_or_default();
                let module = "crate::intake::words";
                let attribute = match (field.r#type() as i32, field.label() as i32) {
                    (MESSAGE, _) => format!("#[serde(deserialize_with = \"{module}::read_object\")]"),
                    (ENUM, REPEATED) => format!(
                        "#[serde(deserialize_with = \"{module}::read_many::<{word}, _>\", \
                         serialize_with = \"{module}::write_many::<{word}, _>\")]"
                    ),
                    (ENUM, _) => format!(
                        "#[serde(deserialize_with = \"{module}::read_one::<{word}, _>\", \
                         serialize_with = \"{module}::write_one::<{word}, _>\")]"
                    ),
                    (_, _) => continue,
                };
                config.field_attribute(
                    format!("{}.{}.{}", file.package(), message.name(), field.name()),
                    attribute,
                );
            }
        }
    }
    config.compile_fds(described).expect("prost generates");
    std::fs::read_to_string(out.path().join("throughcare.custody.v1.rs")).unwrap()
}

#[test]
fn generated_code_is_what_the_contract_says() {
    let fresh = generate();
    if std::env::var_os("THROUGHCARE_REGENERATE").is_some() {
        std::fs::write(committed(), &fresh).unwrap();
    }
    let kept = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(
        kept == fresh,
        "src/intake/custody.v1.rs is stale: set THROUGHCARE_REGENERATE=1 and run this test again"
    );
}

const SAMPLES: [(&str, &str); 7] = [
    ("reception", include_str!("events/reception.json")),
    ("release", include_str!("events/release.json")),
    ("move", include_str!("events/move.json")),
    ("registration_decision", include_str!("events/registration_decision.json")),
    ("correction", include_str!("events/correction.json")),
    ("death", include_str!("events/death.json")),
    ("filing_decision", include_str!("events/filing_decision.json")),
];

fn now() -> Timestamp {
    Timestamp::parse("2026-03-02T10:00:00Z").unwrap()
}

fn rules() -> Rules {
    let served = |code: &str| (OdsCode::parse(code).unwrap(), Standing::Served);
    let refused = (OdsCode::parse("POL01").unwrap(), Standing::SettingRefused);
    let source = Source::parse("example-clinical").unwrap();
    let speaks_for = ["YDDH3", "YDDH4", "POL01", "ELSE9"].map(|code| OdsCode::parse(code).unwrap());
    Rules {
        numbers: AllowedNumbers::TestOnly,
        establishments: Some(BTreeMap::from([served("YDDH3"), served("YDDH4"), refused])),
        publishers: Some(BTreeMap::from([(source, BTreeSet::from(speaks_for))])),
    }
}

fn read_json(value: &Value) -> Result<Decoded, Rejection> {
    contract::read("application/json", value.to_string().as_bytes(), &rules(), now())
}

/// The release sample with `path` set to `value`, or taken out.
fn release_with(path: &str, value: Option<Value>) -> Value {
    with(serde_json::from_str(SAMPLES[1].1).unwrap(), path, value)
}

fn with(mut event: Value, path: &str, value: Option<Value>) -> Value {
    let (parents, field) = path.rsplit_once('.').map_or((None, path), |(p, f)| (Some(p), f));
    let place = parents.into_iter().flat_map(|p| p.split('.')).fold(&mut event, |at, name| &mut at[name]);
    let place = place.as_object_mut().unwrap();
    match value {
        Some(value) => place.insert(field.to_owned(), value),
        None => place.remove(field),
    };
    event
}

#[test]
fn every_kind_is_read_from_both_encodings_as_the_same_event() {
    for (kind, sample) in SAMPLES {
        let from_json = contract::read("application/json; charset=utf-8", sample.as_bytes(), &rules(), now());
        let from_json = from_json.unwrap_or_else(|r| panic!("{kind} is a valid sample: {r}"));
        assert_eq!(from_json.event.kind.name(), kind);
        assert_eq!(from_json.warnings, [], "{kind} leaves no doubt");
        let message: wire::CustodyEvent = serde_json::from_str(sample).unwrap();
        let protobuf = message.encode_to_vec();
        let from_protobuf = contract::read("application/x-protobuf", &protobuf, &rules(), now()).unwrap();
        assert_eq!(from_json.event, from_protobuf.event);
        assert_eq!(
            from_json.canonical, from_protobuf.canonical,
            "an event sent in two encodings is one event"
        );
        let stored = serde_json::to_string(&from_json.event).unwrap();
        let back: CustodyEvent = serde_json::from_str(&stored).unwrap();
        assert_eq!(back, from_json.event, "{kind} survives the store");
    }
}

#[test]
fn the_same_identity_with_other_content_is_noticed() {
    let first = read_json(&release_with("contract", None)).unwrap();
    let same = read_json(&release_with("contract", Some(json!("throughcare.custody.v1")))).unwrap();
    assert_eq!(first.canonical, same.canonical, "naming the contract changes nothing");
    for (path, value) in
        [("seq", json!(99)), ("release.supply_days", json!(40)), ("release.supply_days", json!(41))]
    {
        let other = read_json(&release_with(path, Some(value))).unwrap();
        assert_ne!(first.canonical, other.canonical, "{path} differs");
    }
}

#[test]
fn a_bad_field_is_named_with_its_rule_and_never_with_its_value() {
    let wrong = [
        ("event_id", json!("77777-secret"), "event_id must be a UUID"),
        ("source", json!("Secret Source"), "source must be"),
        ("establishment", json!("!77777"), "establishment must be"),
        ("stay", json!("A1234BC"), "stay must be"),
        ("patient_ref", json!("A1234BC"), "patient_ref must be"),
        ("occurred_at", json!("2026-03-02T10:05:01Z"), "occurred_at is more than 5 minutes ahead"),
        ("occurred_at", json!("yesterday 77777"), "occurred_at must be"),
        ("nhs_number", json!("9990000019"), "nhs_number is invalid: the check digit"),
        ("nhs_number", json!("99900000"), "nhs_number is invalid: an NHS number has ten digits"),
        ("nhs_number", json!("5000000005"), "nhs_number is not in the test range"),
        ("number_status", json!("hearsay"), "number_status is not a known value"),
        ("no_number_reason", json!("pending"), "no_number_reason is given beside nhs_number"),
        ("seq", json!("77777"), "seq is of another type"),
        ("surname", json!("Sekret"), "surname is not a field of this contract"),
        ("9990000018", json!(true), "(unprintable) is not a field of this contract"),
        ("release.offence", json!("Sekret"), "release.offence is not a field of this contract"),
        ("release.supply_days", json!("Sekret"), "release.supply_days is of another type"),
        (
            "release.release_at",
            json!("2027-03-20T10:00:00Z"),
            "release.release_at is more than 12 months ahead",
        ),
        ("release.kind", json!("escape"), "release.kind is not a known value"),
        ("release.destination", json!("B8/77777"), "release.destination must be"),
        ("release.destination", json!("YDDH4"), "use_transfer"),
        ("release.record_ref", json!("has blank 77777"), "release.record_ref must be"),
        ("release", json!(["2026-03-02T10:00:00Z"]), "release is of another type"),
        ("reception", json!({}), "exactly one of"),
    ];
    for (path, value, expected) in wrong {
        let rejection = read_json(&release_with(path, Some(value.clone()))).unwrap_err();
        let text = rejection.to_string();
        assert_eq!(rejection.reason, Reason::Invalid, "{path}: {text}");
        assert!(text.contains(expected), "{path} should say \"{expected}\", and says \"{text}\"");
        for secret in
            ["77777", "9990000018", "9990000019", "5000000005", "A1234BC", "ekret", "hearsay", "escape"]
        {
            assert!(!text.contains(secret), "{path}: a value got into \"{text}\"");
        }
    }
}

#[test]
fn a_missing_field_is_named() {
    let needed = [
        "event_id",
        "source",
        "establishment",
        "stay",
        "patient_ref",
        "seq",
        "occurred_at",
        "nhs_number",
        "number_status",
        "release.release_at",
        "release.certainty",
        "release.kind",
        "release.destination_basis",
        "release.record_ref",
        "release.record_as_of",
    ];
    for path in needed {
        let rejection = read_json(&release_with(path, None)).unwrap_err();
        let named = rejection.faults.iter().any(|f| f.field == path && f.rule.starts_with("is missing"));
        assert!(named, "{path} is missing: {rejection}");
    }
    let rejection = contract::read("application/json", b"{}", &rules(), now()).unwrap_err();
    assert!(rejection.faults.len() >= 9, "all faults come together: {rejection}");
}

#[test]
fn kinds_that_need_an_actor_say_so() {
    for sample in [SAMPLES[3].1, SAMPLES[4].1, SAMPLES[5].1, SAMPLES[6].1] {
        let rejection = read_json(&with(serde_json::from_str(sample).unwrap(), "actor", None)).unwrap_err();
        assert!(rejection.faults.iter().any(|f| f.field == "actor"), "{rejection}");
    }
}

#[test]
fn a_filing_decision_names_its_transfer_and_what_was_done_with_the_record() {
    let sample: Value = serde_json::from_str(SAMPLES[6].1).unwrap();
    let wrong = [
        ("filing_decision.transfer", Some(json!("77777-secret")), "filing_decision.transfer must be"),
        ("filing_decision.transfer", None, "filing_decision.transfer is missing"),
        ("filing_decision.filing", Some(json!("shredded")), "filing_decision.filing is not a known value"),
        ("filing_decision.filing", None, "filing_decision.filing is missing"),
        ("filing_decision.surname", Some(json!("Sekret")), "filing_decision.surname is not a field"),
        ("filing_decision.transfer", Some(json!(7)), "filing_decision.transfer is of another type"),
        ("death", Some(json!({})), "exactly one of"),
    ];
    for (path, value, expected) in wrong {
        let text = read_json(&with(sample.clone(), path, value)).unwrap_err().to_string();
        assert!(text.contains(expected), "{path} should say \"{expected}\", and says \"{text}\"");
        for secret in ["77777", "shredded", "Sekret"] {
            assert!(!text.contains(secret), "{path}: a value got into \"{text}\"");
        }
    }
    for filing in Filing::ALL {
        let event = with(sample.clone(), "filing_decision.filing", Some(json!(filing.as_str())));
        let CustodyKind::FilingDecision(decision) = read_json(&event).unwrap().event.kind else {
            panic!("it is a filing decision")
        };
        assert_eq!(decision.filing, *filing, "Q12-Q16: each word of the contract has its meaning");
    }
}

#[test]
fn faults_inside_a_replacement_carry_their_path() {
    let sample: Value = serde_json::from_str(SAMPLES[4].1).unwrap();
    let place = "correction.replacement.release.record_ref";
    let rejection = read_json(&with(sample.clone(), place, None)).unwrap_err();
    assert_eq!(rejection.faults[0].field, place);
    let nested =
        with(sample.clone(), "correction.replacement.correction", Some(sample["correction"].clone()));
    assert!(read_json(&nested).unwrap_err().to_string().contains("is itself a correction"));
}

#[test]
fn an_optional_field_that_is_wrong_is_dropped_with_a_warning() {
    let doubtful = [
        ("date_of_birth", json!("1899-01-01"), WarningCode::FieldDropped),
        ("date_of_birth", json!("2026-03-03"), WarningCode::FieldDropped),
        ("sensitive", json!("perhaps"), WarningCode::UnknownValue),
        ("pds.checked_at", json!("then"), WarningCode::FieldDropped),
        ("release.supply_days", json!(29), WarningCode::CheckSupply),
        ("release.opioid_script_days", json!(15), WarningCode::CheckSupply),
        ("release.next_dose_due", json!("2026-04-02T10:00:00Z"), WarningCode::FieldDropped),
        ("release.critical_medicines", json!(["placebo"]), WarningCode::UnknownValue),
    ];
    for (path, value, code) in doubtful {
        let decoded = read_json(&release_with(path, Some(value))).unwrap_or_else(|r| panic!("{path}: {r}"));
        let found: Vec<_> = decoded.warnings.iter().map(|w| (w.field.as_str(), w.code)).collect();
        assert_eq!(found, [(path, code)]);
    }
}

#[test]
fn what_is_not_ours_is_refused_and_not_rejected() {
    let cases = [
        ("establishment", "ELSE9", Reason::NotServed),
        ("establishment", "POL01", Reason::SettingRefused),
        ("establishment", "YDDH5", Reason::PublisherNotAllowed),
        ("source", "stranger", Reason::PublisherNotAllowed),
    ];
    for (path, value, reason) in cases {
        let rejection = read_json(&release_with(path, Some(json!(value)))).unwrap_err();
        assert_eq!(rejection.reason, reason, "{path} = {value}");
        assert_eq!(rejection.reason.outcome(), OutcomeKind::Refused);
        assert!(rejection.event_id.is_some(), "the publisher is told which event");
    }
    let version = read_json(&release_with("contract", Some(json!("throughcare.custody.v2")))).unwrap_err();
    assert_eq!(version.reason, Reason::UnknownVersion);
}

#[test]
fn a_test_number_is_refused_on_a_live_system_and_a_real_one_on_a_test_system() {
    let read = |numbers, value: &str| {
        let event = release_with("nhs_number", Some(json!(value))).to_string();
        contract::read("application/json", event.as_bytes(), &Rules { numbers, ..rules() }, now())
    };
    assert!(read(AllowedNumbers::LiveOnly, "9990000018").is_err());
    assert!(read(AllowedNumbers::TestOnly, "5000000005").is_err());
    assert!(read(AllowedNumbers::Any, "999-000 0018").is_ok(), "blanks and hyphens are passed over");
}

#[test]
fn old_events_are_history() {
    let old = release_with("occurred_at", Some(json!("2025-12-01T00:00:00Z")));
    assert_eq!(read_json(&old).unwrap().relevance, Relevance::History);
    assert_eq!(read_json(&release_with("seq", Some(json!(9)))).unwrap().relevance, Relevance::Current);
}

#[test]
fn bytes_that_are_no_message_are_unreadable() {
    let message: wire::CustodyEvent = serde_json::from_str(SAMPLES[1].1).unwrap();
    let whole = message.encode_to_vec();
    for length in 0..whole.len() {
        let read = contract::read("application/protobuf", &whole[..length], &rules(), now());
        assert!(read.is_err(), "a message cut after {length} bytes is not taken");
    }
    let mut seed = 1_u64;
    for _ in 0..2_000 {
        let noise: Vec<u8> = (0..64)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                seed.to_be_bytes()[0]
            })
            .collect();
        assert!(
            contract::read("application/x-protobuf", &noise, &rules(), now()).is_err(),
            "noise is not taken"
        );
        assert!(contract::read("application/json", &noise, &rules(), now()).is_err(), "noise is not taken");
    }
    let unreadable = ["", "[]", "null", "{\"seq\":1", "{\"seq\":1,\"seq\":2}", &"[".repeat(60_000)];
    for text in unreadable {
        let rejection = contract::read("application/json", text.as_bytes(), &rules(), now()).unwrap_err();
        assert_eq!(rejection.reason, Reason::Unreadable, "{}", &text[..text.len().min(20)]);
    }
    let large = vec![b' '; contract::MOST_BYTES + 1];
    let reason = contract::read("application/json", &large, &rules(), now()).unwrap_err().reason;
    assert_eq!(reason, Reason::TooLarge);
    let reason = contract::read("text/plain", b"{}", &rules(), now()).unwrap_err().reason;
    assert_eq!(reason, Reason::UnknownContentType);
}

#[test]
fn an_outcome_is_written_in_both_encodings_with_the_same_fields() {
    let outcome = Outcome {
        outcome_id: OutcomeId::derived(&["t", "held"]),
        kind: OutcomeKind::Held,
        transfer: None,
        event_id: EventId::parse("11111111-1111-4111-8111-000000000002").ok(),
        source: Source::parse("example-clinical").ok(),
        stay: None,
        patient_ref: None,
        establishment: OdsCode::parse("YDDH3").ok(),
        practice: None,
        at: now(),
        reason: Some("record_unavailable".to_owned()),
        detail: "The record is not there yet.".to_owned(),
        response_code: None,
        completeness: Some(Completeness { mapped: 3, merged: 1, degraded: 1, not_clinical: 0 }),
        attempts: 0,
    };
    let json: Value = serde_json::from_slice(&encode_outcome(&outcome, Encoding::Json)).unwrap();
    assert_eq!(json["kind"], "held");
    assert_eq!(json["completeness"]["mapped"], 3);
    assert!(json.get("stay").is_none(), "what says nothing is left out");
    let protobuf = wire::Outcome::decode(encode_outcome(&outcome, Encoding::Protobuf).as_slice()).unwrap();
    let from_json: wire::Outcome = serde_json::from_value(json).unwrap();
    assert!(protobuf == from_json, "both say the same");
}
