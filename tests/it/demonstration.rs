//! The demonstration, as a newcomer runs it: through the spool and through RabbitMQ, and what it says of verification.

use std::path::Path;
use std::process::{Command, Output};

use crate::rabbit;
use crate::tools;

fn demo(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughcare"));
    command.args(["demo", "--json", "--folder"]).arg(folder).args(more).output().unwrap()
}

fn report(output: &Output) -> serde_json::Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "every transfer is acknowledged, or it does not exit with 0: {stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_demonstration_ends_with_every_transfer_acknowledged_and_the_line_it_prints_verifies() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("demo");
    let report = report(&demo(&folder, &[]));
    let transfers = report["transfers"].as_array().unwrap();
    assert_eq!(transfers.len(), 6);
    assert!(transfers.iter().all(|t| t["state"] == "integrated" && t["signed"] == true));
    let receptions = report["receptions"].as_array().unwrap();
    assert_eq!(receptions.len(), 1);
    assert_eq!((&receptions[0]["state"], &receptions[0]["signed"]), (&"filed".into(), &true.into()));
    assert!(
        transfers.iter().any(|t| t["attempts"].as_u64() > Some(1)),
        "the practice was away for a moment, so a retry is seen"
    );
    let line = report["verify"].as_str().unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let Some(verified) = tools::run(words[0], &words[1..]) else { return };
    assert!(verified.status.success(), "{line}: {}", String::from_utf8_lossy(&verified.stderr));
    flip_a_byte(&folder, line);
}

/// The same packet with one byte changed: neither xmlsec1 nor we take it.
fn flip_a_byte(folder: &Path, line: &str) {
    let part = line.split(' ').find(|word| word.ends_with(".part1")).unwrap();
    let mut octets = std::fs::read(part).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    std::fs::write(part, &octets).unwrap();
    let refused = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(!refused.status.success(), "xmlsec1 refuses a changed part");
    let packet = Path::new(part).with_extension("mime");
    let mut octets = std::fs::read(&packet).unwrap();
    let place = octets.windows(9).position(|w| w == b"Methadone").unwrap();
    octets[place] ^= 1;
    std::fs::write(&packet, &octets).unwrap();
    let verify = Command::new(env!("CARGO_BIN_EXE_throughcare"))
        .args(["packet", "verify"])
        .arg(&packet)
        .arg("--trust")
        .arg(folder.join("HMP01/signing.pem"))
        .output()
        .unwrap();
    assert_eq!(verify.status.code(), Some(1), "packet verify refuses a changed packet");
}

#[test]
fn the_demonstration_does_the_same_through_rabbitmq() {
    let Some(broker) = rabbit::shared() else { return };
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughcare"));
    command.args(["demo", "--json", "--folder", "demo", "--amqp", &broker.url()]).current_dir(&place);
    let report = report(&command.output().unwrap());
    assert!(place.path().join("demo/packets").is_dir(), "a relative folder is as good as any");
    assert_eq!(report["ok"], true);
    let left = broker.topology();
    assert!(left.contains("amq.topic"), "the broker was asked: {left}");
    assert!(!left.contains("throughcare.demo"), "a shared broker keeps nothing of it: {left}");
}
