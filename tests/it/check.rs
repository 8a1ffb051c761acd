//! `throughcare check` finds what `run` would find: the same code reads the same files, and one changed file at a time
//! is named with what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::json_schema;
use crate::site::{Site, Sites};

/// The prison of two sites that were laid out and not started.
struct Laid {
    sites: Sites,
}

/// One problem: its key, what is wrong, what to do.
type Problem = (String, String, String);

impl Laid {
    fn new() -> Self {
        Self { sites: Sites::lay("info") }
    }

    fn site(&self) -> &Site {
        &self.sites.prison
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site().folder.join(name)
    }

    fn settings(&self) -> String {
        fs::read_to_string(self.path("throughcare.toml")).unwrap()
    }

    fn set(&self, text: &str) {
        fs::write(self.path("throughcare.toml"), text).unwrap();
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// What `check` finds; its report satisfies the schema, its exit code says the same.
    fn problems(&self, arguments: &[&str]) -> Vec<Problem> {
        let output = self.site().run(&[&["check", "--json"], arguments].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let faults = json_schema::faults(&json_schema::load("check.schema.json"), &report);
        assert!(faults.is_empty(), "{faults:?}");
        assert!(!text.contains("hunter2"), "settings are shown without passwords");
        let found: Vec<Problem> = report["problems"].as_array().unwrap().iter().map(problem).collect();
        assert_eq!(output.status.code(), Some(if found.is_empty() { 0 } else { 4 }), "{text}");
        found
    }

    /// The one problem there is; `run` refuses to start for it, in the same words.
    fn only(&self, key: &str, words: &[&str]) {
        let found = self.problems(&[]);
        let [(found_key, wrong, remedy)] = &found[..] else { panic!("one problem, said once: {found:?}") };
        assert_eq!(found_key, key, "{wrong}");
        let all = format!("{wrong} {remedy}");
        assert!(words.iter().all(|w| all.contains(w)), "{words:?} are not in: {all}");
        let run = self.site().run(&["run"]);
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(4), "{said}");
        assert!(said.contains(&format!("{key}: {wrong}. {remedy}.")), "run says the same: {said}");
    }
}

fn problem(value: &Value) -> Problem {
    let text = |name: &str| value[name].as_str().unwrap().to_owned();
    (text("key"), text("wrong"), text("remedy"))
}

#[test]
fn what_can_be_used_has_no_problem_and_nothing_is_made() {
    let laid = Laid::new();
    assert_eq!(laid.problems(&[]), []);
    assert!(!laid.path("vault.key").exists(), "check writes nothing; the first start makes the key");
    assert!(!laid.path("store").exists(), "nor a store");
    let text = String::from_utf8(laid.site().run(&["check"]).stdout).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("every file it names can be used"), "{text}");
}

#[test]
fn a_key_that_group_or_others_may_read_is_refused_with_the_command_that_closes_it() {
    let laid = Laid::new();
    for (name, key) in [("tls.key", "tls.key"), ("signing.key", "signing.key")] {
        for mode in [0o640, 0o604] {
            laid.mode(name, mode);
            laid.only(key, &["chmod 400 ", name]);
        }
        laid.mode(name, 0o400);
    }
    fs::write(laid.path("vault.key"), "ab".repeat(32)).unwrap();
    laid.mode("vault.key", 0o644);
    laid.only("vault.key", &["chmod 400 ", "vault.key"]);
    laid.mode("vault.key", 0o400);
    fs::write(laid.path("amqp-url"), "amqp://u:hunter2@127.0.0.1/%2f").unwrap();
    laid.mode("amqp-url", 0o644);
    laid.set(&(laid.settings() + "[amqp]\nurl_file = \"amqp-url\"\n"));
    laid.only("amqp.url_file", &["chmod 400 ", "amqp-url"]);
}

#[test]
fn a_key_that_does_not_belong_to_its_certificate_is_found() {
    let laid = Laid::new();
    let practice = &laid.sites.practice.folder;
    for (name, word) in [("tls", "issued for the key"), ("signing", "issued for this key")] {
        let key = laid.path(&format!("{name}.key"));
        let own = fs::read(&key).unwrap();
        fs::write(&key, fs::read(practice.join(format!("{name}.key"))).unwrap()).unwrap();
        laid.only(&format!("{name}.certificate"), &[word]);
        fs::write(&key, own).unwrap();
    }
}

#[test]
fn a_directory_with_an_error_names_line_party_and_file() {
    let laid = Laid::new();
    let file = laid.path("directory.toml");
    let sound = fs::read_to_string(&file).unwrap();
    fs::write(&file, sound.replace("peer-signing.pem", "nobody.pem")).unwrap();
    laid.only("directory.file", &["B85002", "nobody.pem", "Correct", "directory.toml"]);
    fs::write(&file, sound.replace("[party.contract]", "[party.contrat]")).unwrap();
    laid.only("directory.file", &["contrat", "line", "directory.toml"]);
    fs::write(&file, sound.replace("served = true\n", "url = \"https://localhost/\"\nprofile = \"spine\"\n"))
        .unwrap();
    laid.only("directory.file", &["served = true"]);
    fs::remove_file(&file).unwrap();
    laid.only("directory.file", &["reading the directory", "Put the file there"]);
}

#[test]
fn roots_revocation_lists_and_the_vault_key_are_read_and_not_only_looked_for() {
    let laid = Laid::new();
    let sound = laid.settings();
    fs::write(laid.path("empty.pem"), "nothing\n").unwrap();
    laid.set(&sound.replace("trust = [\"authority.pem\"]", "trust = [\"authority.pem\", \"empty.pem\"]"));
    laid.only("tls.trust", &["empty.pem", "certificate in PEM"]);
    laid.set(&sound.replace("[tls]", "[tls]\ncrl = [\"empty.pem\"]"));
    laid.only("tls.crl", &["empty.pem", "revocation list in PEM"]);
    laid.set(&sound);
    fs::write(laid.path("vault.key"), "not hexadecimal").unwrap();
    laid.mode("vault.key", 0o400);
    laid.only("vault.key", &["line 1", "Put back the key"]);
    fs::remove_file(laid.path("vault.key")).unwrap();
    let passed = laid.site().folder.join("passed");
    fs::create_dir(&passed).unwrap();
    for name in ["tls.key", "signing.key"] {
        fs::rename(laid.path(name), passed.join(name)).unwrap();
    }
    let found = laid.problems(&["--credentials", passed.to_str().unwrap()]);
    let [(key, _, remedy)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(key, "vault.key", "what systemd is to pass must be there");
    assert!(remedy.contains("openssl rand -hex 32 > "), "{remedy}");
}

#[test]
fn several_problems_are_named_at_once_and_each_once() {
    let laid = Laid::new();
    laid.mode("tls.key", 0o644);
    fs::remove_file(laid.path("signing.pem")).unwrap();
    laid.set(&(laid.settings() + "[amqp]\nurl = \"amqp://u:hunter2@h\"\nqueue = \"\"\n"));
    let keys: Vec<String> = laid.problems(&[]).into_iter().map(|p| p.0).collect();
    assert_eq!(keys, ["amqp.queue", "tls.key", "signing.certificate"]);
    laid.set("[service]\nmodus = \"test\"\n");
    let output = laid.site().run(&["check"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4));
    assert!(error.contains("line 2") && error.contains("modus"), "{error}");
}
