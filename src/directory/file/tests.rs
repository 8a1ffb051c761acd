//! The directory file: the good one read back, and every way to spoil it with the words of its error.

use std::path::Path;
use std::time::Duration;

use super::*;

const WHOLE: &str = r#"
[[party]]
ods = "HMP01"
name = "HMP Example"
kind = "prison"
served = true
party_key = "HMP01-0001"
asid = "200000000001"
cpa_id = "S0001A0001"

[[party]]
ods = "b85002"
name = "Example Surgery"
kind = "practice"
party_key = "B85002-0001"
asid = "200000000002"
cpa_id = "S0001A0002"
url = "https://practice.example:8443/reliablemessaging"
profile = "spine"
delivery = "push"
answer = 202
valid_until = "2030-01-01T00:00:00Z"
extra_headers = { Correlation-Id = "1" }
[party.contract]
retries = 3
retry_interval = "PT0.5S"
persist_duration = "P7D"
[party.actions.COPC_IN000001UK01]
cpa_id = "S0001A0009"
url = "https://practice.example:8443/parts"
[party.limits]
message_bytes = 1000000

[[party]]
ods = "PC001"
name = "A custody suite"
kind = "police_custody"
"#;

fn parse(text: &str) -> Result<Directory, DirectoryError> {
    Directory::parse(text, Path::new("/etc/throughcare"), &mut |_| {
        Err(io::Error::new(io::ErrorKind::NotFound, "no such file"))
    })
}

fn ods(code: &str) -> OdsCode {
    OdsCode::parse(code).unwrap()
}

#[test]
fn a_directory_answers_by_ods_code_and_by_party_key() {
    let directory = parse(WHOLE).unwrap();
    let practice = directory.by_ods(&ods("B85002")).unwrap();
    let peer = practice.peer().unwrap();
    assert_eq!(peer.endpoint("RCMR_IN030000UK06").port(), 8443);
    assert_eq!(peer.endpoint("COPC_IN000001UK01").path(), "/parts", "an action may have a route of its own");
    assert_eq!(peer.address.cpa_id("COPC_IN000001UK01").as_str(), "S0001A0009");
    assert_eq!(peer.address.cpa_id("RCMR_IN030000UK06").as_str(), "S0001A0002");
    assert_eq!(peer.contract.retry_interval, Duration::from_millis(500));
    assert_eq!(peer.contract.persist_duration, Duration::from_secs(7 * 86_400));
    assert_eq!(peer.contract.ack_requested, AckRequested::NextMsh, "the default of the spine profile");
    assert_eq!(peer.retry_contract().repeat, Repeat::UntilAcknowledged, "the default of push");
    assert_eq!(peer.answer.code(), 202);
    let served: Vec<_> = directory.served().map(|p| p.ods.as_str()).collect();
    assert_eq!(served, ["HMP01"]);
    let key = PartyKey::parse("hmp01-0001").unwrap();
    assert_eq!(directory.by_party_key(&key).unwrap().ods, ods("HMP01"));
    assert_eq!(directory.by_ods(&ods("PC001")).unwrap().standing, Standing::Refused);
    assert!(practice.valid_at(Timestamp::parse("2029-12-31T23:59:59Z").unwrap()));
    assert!(!practice.valid_at(Timestamp::parse("2030-01-01T00:00:00Z").unwrap()));
}

#[test]
fn the_version_changes_with_the_text() {
    let one = parse(WHOLE).unwrap().version();
    assert_eq!(one, parse(WHOLE).unwrap().version());
    assert_ne!(one, parse(&WHOLE.replace("Example Surgery", "Other Surgery")).unwrap().version());
}

/// Every way to spoil the good file, and a word its error must contain.
#[test]
fn a_bad_entry_is_refused_with_its_line() {
    let rows: &[(&str, &str, &str)] = &[
        ("answer = 202", "answr = 202", "line 21"),
        ("answer = 202", "answr = 202", "unknown field `answr`"),
        ("answer = 202", "answer = 204", "answer must be 200 or 202"),
        ("kind = \"practice\"", "kind = \"surgery\"", "line 14"),
        (
            "https://practice.example:8443/reliablemessaging",
            "http://practice.example/",
            "scheme must be https",
        ),
        ("PT0.5S", "half a second", "ISO 8601"),
        ("P7D", "P1Y", "ISO 8601"),
        ("P7D", "PT0S", "persist_duration"),
        ("profile = \"spine\"", "profile = \"signed\"", "signing.certificates"),
        ("retries = 3", "retries = 3\nack_requested = \"sometimes\"", "unknown variant"),
        ("b85002", "HMP01", "line 11, party HMP01: ods is also that of the party on line 2"),
        ("B85002-0001", "HMP01-0001", "party_key is also that of the party on line 2"),
        ("COPC_IN000001UK01", "COPC_IN000001UK99", "is not an action"),
        ("asid = \"200000000002\"\n", "", "asid is missing"),
        ("kind = \"police_custody\"", "kind = \"police_custody\"\nserved = true", "cannot be served"),
        ("kind = \"police_custody\"", "kind = \"court\"\nparty_key = \"PC-1\"", "takes no part"),
        ("served = true", "served = true\nurl = \"https://x.example/\"", "url has no meaning"),
        ("Correlation-Id", "Content-Length", "extra_headers"),
        ("1000000", "10", "limits.message_bytes"),
        (
            "[party.limits]",
            "[party.tls]\nca = [\"missing.pem\"]\n[party.limits]",
            "/etc/throughcare/missing.pem",
        ),
    ];
    for (good, bad, word) in rows {
        assert!(WHOLE.contains(good), "the row changes something: {good}");
        let error = parse(&WHOLE.replacen(good, bad, 1)).expect_err(bad).to_string();
        assert!(error.contains(word), "for {bad:?} the error should say {word:?}, not: {error}");
    }
}

#[test]
fn a_signed_party_asks_the_party_itself_for_its_receipt() {
    let signed = WHOLE.replace("profile = \"spine\"", "profile = \"signed\"").replace(
        "[party.limits]",
        &format!("[party.signing]\ncertificates = [\"sha256:{}\"]\n[party.limits]", "ab".repeat(32)),
    );
    let directory = parse(&signed).unwrap();
    let peer = directory.by_ods(&ods("B85002")).unwrap().peer().unwrap();
    assert_eq!(peer.contract.ack_requested, AckRequested::ToParty);
    assert!(peer.signing_pins.is_some(), "or nothing it signs could be believed");
    let next = signed.replace("retries = 3", "retries = 3\nack_requested = \"next-msh\"");
    assert!(parse(&next).unwrap_err().to_string().contains("worthless as a receipt"), "wire reference §6.3");
}
