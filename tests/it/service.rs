//! The systemd unit: clean for `systemd-analyze verify`, and rated at most 2.0 by `systemd-analyze security`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The highest exposure we accept; the unit is below it, the rest is room for other versions of systemd.
const HIGHEST_EXPOSURE: f64 = 2.0;

/// The unit in a folder of its own, with a binary that exists here.
fn installed(folder: &Path) -> PathBuf {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/throughcare.service");
    let text = std::fs::read_to_string(unit).unwrap();
    let binary = env!("CARGO_BIN_EXE_throughcare");
    let here = text.replace("/usr/bin/throughcare", binary);
    assert_ne!(text, here, "because the unit starts /usr/bin/throughcare");
    let path = folder.join("throughcare.service");
    std::fs::write(&path, here).unwrap();
    path
}

/// Runs `systemd-analyze`, or says plainly that it is not there. Where tools are required it must be.
fn analyze(arguments: &[&str], unit: &Path) -> Option<Output> {
    match Command::new("systemd-analyze").args(arguments).arg(unit).env("NO_COLOR", "1").output() {
        Ok(output) => Some(output),
        Err(e) => {
            let required =
                std::env::var_os("THROUGHCARE_REQUIRE_TOOLS").is_some() || std::env::var_os("CI").is_some();
            assert!(!required, "systemd-analyze is required here: {e}");
            eprintln!("SKIPPED: there is no systemd-analyze on this machine ({e})");
            None
        }
    }
}

#[test]
fn the_unit_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let unit = installed(folder.path());
    let Some(output) = analyze(&["verify", "--man=no"], &unit) else { return };
    // Unknown keys are only warnings with exit code 0, so any word about our unit is a failure.
    let words = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = words.lines().filter(|l| l.contains("throughcare")).collect();
    assert!(output.status.success() && ours.is_empty(), "systemd-analyze verify says: {words}");
}

#[test]
fn the_unit_gives_away_little() {
    let folder = tempfile::tempdir().unwrap();
    let unit = installed(folder.path());
    let Some(output) = analyze(&["security", "--offline=true", "--no-pager"], &unit) else { return };
    let report = String::from_utf8_lossy(&output.stdout);
    let line = report.lines().find(|l| l.contains("Overall exposure level")).expect("the report has a total");
    let level: f64 = line
        .split(':')
        .next_back()
        .and_then(|end| end.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no number in {line:?}"));
    assert!(level <= HIGHEST_EXPOSURE, "exposure {level} is above {HIGHEST_EXPOSURE}:\n{report}");
}

#[test]
fn every_secret_is_passed_from_the_one_folder_that_check_is_given() {
    let unit = include_str!("../../systemd/throughcare.service");
    let readme = include_str!("../../README.md");
    assert!(readme.contains("throughcare check --credentials /etc/throughcare/keys"));
    let passed: Vec<&str> = unit.lines().filter_map(|l| l.strip_prefix("LoadCredential=")).collect();
    assert_eq!(passed.len(), 4, "vault.key, tls.key, signing.key, amqp-url");
    for credential in passed {
        let (name, path) = credential.split_once(':').expect("a path is said");
        assert_eq!(path, format!("/etc/throughcare/keys/{name}"));
    }
}

#[test]
fn a_stop_has_more_time_than_the_daemon_takes() {
    let unit = include_str!("../../systemd/throughcare.service");
    let value = |key: &str| {
        let line = unit.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_else(|| panic!("{key} is set"));
        line.parse::<throughcare::config::Span>().unwrap()
    };
    let stop_within = throughcare::config::Config::default().service.stop_within;
    assert!(value("TimeoutStopSec=") > stop_within, "else systemd kills what would have finished");
    assert!(
        value("WatchdogSec=") >= throughcare::config::Span::seconds(10),
        "because a slow disk is no hang"
    );
}

#[test]
fn the_memory_that_is_measured_is_that_of_the_unit() {
    let unit = include_str!("../../systemd/throughcare.service");
    let set: Vec<String> =
        crate::sites::MEMORY.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let line = format!("Environment={}", set.join(" "));
    assert!(unit.lines().any(|found| found == line), "{line}");
}
