//! `packet show` and `packet verify` on packets in files, beside what `xmlsec1` says of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::Value;
use throughcare::clock;
use throughcare::model::{ConversationId, CpaId, MessageId, PartyKey};
use throughcare::packet::envelope::{AckRequest, GP2GP, Header};
use throughcare::packet::signature::Signer;
use throughcare::packet::{Attachment, Packet, PacketLimits, assemble};

use crate::{json_schema, tools};

/// Text that stands for a record and must not be shown.
const CLINICAL: &str = "<RCMR_IN030000UK06>asthma 9990000018</RCMR_IN030000UK06>";

/// A signer with its own certificate and that of who issued it.
struct Signed {
    folder: tempfile::TempDir,
    certificate: PathBuf,
    issuer: PathBuf,
    stranger: PathBuf,
    packet: Packet,
}

/// DER as PEM, in lines of 64.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn certificate(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Signed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let (root_key, own_key, other_key) = (key(), key(), key());
        let mut root = certificate("An issuer");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_certificate = root.self_signed(&root_key).unwrap();
        let own = certificate("A prison").signed_by(&own_key, &Issuer::new(root, root_key)).unwrap();
        let other = certificate("A stranger").self_signed(&other_key).unwrap();
        let write = |name: &str, der: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, pem("CERTIFICATE", der)).unwrap();
            path
        };
        let signer =
            Signer::from_pem(&pem("PRIVATE KEY", &own_key.serialize_der()), &pem("CERTIFICATE", own.der()))
                .unwrap();
        let (certificate, issuer) = (write("own.pem", own.der()), write("root.pem", root_certificate.der()));
        let stranger = write("other.pem", other.der());
        Self { packet: packet(Some(&signer)), certificate, issuer, stranger, folder }
    }

    fn file(&self, packet: &Packet) -> PathBuf {
        let path = self.folder.path().join("packet.mime");
        std::fs::write(&path, packet.to_file()).unwrap();
        path
    }
}

fn packet(signer: Option<&Signer>) -> Packet {
    let now = clock::now();
    let header = Header {
        from: PartyKey::parse("X9001-000001").unwrap(),
        to: PartyKey::parse("B85002-000001").unwrap(),
        cpa_id: CpaId::parse("S0001A0001").unwrap(),
        conversation: ConversationId::derived(&["c"]),
        service: GP2GP.to_owned(),
        action: "RCMR_IN030000UK06".to_owned(),
        message_id: MessageId::derived(&["m"]),
        timestamp: now,
        time_to_live: Some(now.plus(std::time::Duration::from_secs(3600))),
        refers_to: None,
        duplicate_elimination: true,
        ack_requested: AckRequest::Party { signed: true },
    };
    let letter = Attachment {
        document_id: "5A1B3C00-0000-4000-8000-000000000001",
        description: "Filename=\"letter of somebody.txt\" ContentType=text/plain Compressed=No LargeAttachment=No OriginalBase64=Yes",
        content_type: "text/plain",
        octets: b"a letter",
    };
    assemble(&header, CLINICAL.as_bytes(), &[letter], signer, PacketLimits::default()).unwrap()
}

fn throughcare(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_throughcare"))
        .arg("packet")
        .args(arguments)
        .args(paths)
        .output()
        .unwrap()
}

/// Exit code and report of `packet verify --json`, checked against its schema.
fn verdict(file: &Path, trust: &Path) -> (Option<i32>, Value) {
    let output = throughcare(&["verify", "--json", "--trust", trust.to_str().unwrap()], &[file]);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    let faults = json_schema::faults(&json_schema::load("verification.schema.json"), &report);
    assert!(faults.is_empty(), "{faults:?}");
    (output.status.code(), report)
}

#[test]
fn a_signed_packet_verifies_under_its_certificate_and_its_issuer_and_no_other() {
    let signed = Signed::new();
    let file = signed.file(&signed.packet);
    let (code, report) = verdict(&file, &signed.certificate);
    assert_eq!((code, &report["verified"]), (Some(0), &Value::Bool(true)), "{report:#}");
    assert_eq!(report["subject"], "CN=A prison");
    assert_eq!(report["covers"].as_array().unwrap().len(), 3, "the envelope, the HL7 and the letter");
    let (code, report) = verdict(&file, &signed.issuer);
    assert_eq!(code, Some(0), "who trusts the issuer trusts what it issued: {report:#}");
    let (code, report) = verdict(&file, &signed.stranger);
    assert_eq!(code, Some(1));
    assert!(report["reason"].as_str().unwrap().contains("is not the one given with --trust"), "{report:#}");
}

#[test]
fn one_flipped_byte_anywhere_is_noticed() {
    let signed = Signed::new();
    let length = signed.packet.body.len();
    let mut accepted = Vec::new();
    for at in (0..length).step_by(length / 40) {
        let mut packet = signed.packet.clone();
        packet.body[at] ^= 1;
        let (code, report) = verdict(&signed.file(&packet), &signed.certificate);
        if code == Some(0) {
            accepted.push((at, report));
        }
    }
    // The only octets outside every digest are MIME headers and boundaries; a change there changes no content.
    for (at, report) in accepted {
        let around =
            String::from_utf8_lossy(&signed.packet.body[at.saturating_sub(40)..(at + 40).min(length)])
                .into_owned();
        assert!(around.contains("Content-") || around.contains("--"), "byte {at} in {around:?}: {report}");
    }
}

#[test]
fn an_unsigned_packet_and_rubbish_are_not_verified_with_the_reason() {
    let signed = Signed::new();
    let (code, report) = verdict(&signed.file(&packet(None)), &signed.certificate);
    assert_eq!(code, Some(1));
    assert!(report["reason"].as_str().unwrap().contains("not signed"), "{report:#}");
    let rubbish = signed.folder.path().join("rubbish");
    std::fs::write(&rubbish, "not a packet").unwrap();
    assert_eq!(verdict(&rubbish, &signed.certificate).0, Some(1));
    let missing = throughcare(&["verify", "--trust", "/nonexistent.pem"], &[&rubbish]);
    assert_eq!(missing.status.code(), Some(4), "a certificate that is not there is no verdict");
}

#[test]
fn show_tells_who_and_what_and_nothing_of_the_record() {
    let signed = Signed::new();
    let file = signed.file(&signed.packet);
    let json = throughcare(&["show", "--json"], &[&file]);
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    let faults = json_schema::faults(&json_schema::load("packet.schema.json"), &report);
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(report["parts"].as_array().unwrap().len(), 2);
    assert_eq!(report["signed"], true);
    let text = throughcare(&["show"], &[&file]);
    for output in [&json.stdout, &text.stdout] {
        let text = String::from_utf8_lossy(output);
        for secret in ["9990000018", "asthma", "letter of somebody", "a letter"] {
            assert!(!text.contains(secret), "{secret} is shown: {text}");
        }
    }
    assert!(String::from_utf8_lossy(&text.stdout).lines().all(|l| l.chars().count() <= 80));
}

#[test]
fn the_line_that_show_prints_verifies_with_xmlsec1() {
    let signed = Signed::new();
    let file = signed.file(&signed.packet);
    let folder = signed.folder.path().join("parts");
    let trust = signed.certificate.to_str().unwrap();
    let shown =
        throughcare(&["show", "--json", "--trust", trust, "--unpack", folder.to_str().unwrap()], &[&file]);
    let report: Value = serde_json::from_slice(&shown.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&shown.stderr)));
    let line = report["verify_with"].as_str().unwrap();
    let mut words = line.split(' ');
    assert_eq!(words.next(), Some("xmlsec1"));
    let Some(output) = tools::run("xmlsec1", words.clone()) else { return };
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(folder.join("part1"), "changed").unwrap();
    let output = tools::run("xmlsec1", words).unwrap();
    assert!(!output.status.success(), "a changed part is noticed by xmlsec1 too");
}
