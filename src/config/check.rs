//! Whether settings make sense together, said so that the reader knows what to do.
//!
//! Looks at the files the settings name (there, readable by whom) but opens none: whether a certificate is one is
//! found out by the part that uses it.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::Config;
use super::units::Span;

/// One thing that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The key, as `section.key`.
    pub key: String,
    /// What is wrong with it.
    pub wrong: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}. {}.", self.key, self.wrong, self.remedy)
    }
}

/// Every problem, in the order of the sections.
pub(super) fn all(config: &Config) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    service(config, &mut found);
    queue(config, &mut found);
    wire(config, &mut found);
    secrets(config, &mut found);
    limits(config, &mut found);
    outside(config, &mut found);
    found.0
}

/// Collects problems.
struct Found(Vec<Problem>);

impl Found {
    fn when(&mut self, wrong: bool, key: &str, what: &str, remedy: &str) {
        if wrong {
            self.0.push(Problem { key: key.to_owned(), wrong: what.to_owned(), remedy: remedy.to_owned() });
        }
    }
}

fn service(config: &Config, found: &mut Found) {
    found.when(
        outside_of(config.service.stop_within, Span::seconds(1), Span::minutes(10)),
        "service.stop_within",
        "a stop may take between 1s and 10m",
        "Choose less than TimeoutStopSec of the unit, such as 30s",
    );
    found.when(
        config.store.cache.as_u64() < 64 << 20,
        "store.cache",
        "with less than 64 MiB the store uses more memory, not less",
        "Leave it at 256 MiB",
    );
}

fn queue(config: &Config, found: &mut Found) {
    let amqp = &config.amqp;
    found.when(
        amqp.url.is_some() && amqp.url_file.is_some(),
        "amqp.url",
        "both url and url_file are set, and they may disagree",
        "Keep url_file and remove url",
    );
    let names = [
        ("amqp.queue", &amqp.queue),
        ("amqp.dead_letter_exchange", &amqp.dead_letter_exchange),
        ("amqp.outcome_exchange", &amqp.outcome_exchange),
    ];
    for (key, name) in names {
        let wrong = name.is_empty() || name.len() > 255 || name.starts_with("amq.");
        found.when(
            config.has_broker() && wrong,
            key,
            "a broker is configured, but this name is empty, longer than 255 bytes, or reserved (amq.)",
            "Give the name the broker's administrator gave you, or remove the line for the default",
        );
    }
    found.when(
        config.has_broker() && amqp.dead_letter_exchange == amqp.outcome_exchange,
        "amqp.dead_letter_exchange",
        "events that cannot be used and outcomes would go to the same exchange",
        "Give each its own name",
    );
    found.when(
        !(1..=4096).contains(&amqp.prefetch),
        "amqp.prefetch",
        "between 1 and 4096 events may be held at once",
        "Leave it at 512",
    );
    if let Some(path) = &amqp.url_file {
        secret_file(path, "amqp.url_file", found);
    }
}

fn wire(config: &Config, found: &mut Found) {
    let (inbox, tls, signing) = (&config.inbox, &config.tls, &config.signing);
    let has_tls = tls.certificate.is_some() && tls.key.is_some();
    found.when(
        inbox.listen.is_some() && (!has_tls || tls.trust.is_empty()),
        "inbox.listen",
        "the inbox is open but mutual TLS is not set up, so anyone could deliver",
        "Set tls.certificate, tls.key and tls.trust, or remove inbox.listen",
    );
    found.when(
        !inbox.path.starts_with('/') || inbox.path.len() > 255 || inbox.path.contains(['?', '#', ' ']),
        "inbox.path",
        "a path starts with / and has no query, fragment or blank",
        "Write for example /gp2gp",
    );
    found.when(
        !(65_536..=1 << 30).contains(&inbox.max_message.as_u64()),
        "inbox.max_message",
        "a request may be between 64 KiB and 1 GiB",
        "Leave it at 6 MB: no single message may be larger than 5 MB (LM01)",
    );
    found.when(
        !(1..=65_536).contains(&inbox.max_connections),
        "inbox.max_connections",
        "between 1 and 65536 connections may be open",
        "Leave it at 256",
    );
    found.when(
        outside_of(inbox.read_within, Span::seconds(1), Span::minutes(15)),
        "inbox.read_within",
        "a request may take between 1s and 15m to arrive",
        "Leave it at 60s",
    );
    for (section, certificate, key) in [
        ("amqp", &config.amqp.certificate, &config.amqp.key),
        ("tls", &tls.certificate, &tls.key),
        ("signing", &signing.certificate, &signing.key),
    ] {
        found.when(
            certificate.is_some() != key.is_some(),
            &format!("{section}.{}", if certificate.is_some() { "key" } else { "certificate" }),
            "a certificate and its key are set together or not at all",
            "Set the missing one, or remove the other",
        );
    }
    let broker = [("amqp.certificate", &config.amqp.certificate), ("amqp.trust", &config.amqp.trust)];
    let ours = [("tls.certificate", &tls.certificate), ("signing.certificate", &signing.certificate)];
    let single = broker.into_iter().chain(ours).filter_map(|(key, path)| path.as_ref().map(|p| (key, p)));
    let several = tls.trust.iter().map(|p| ("tls.trust", p)).chain(tls.crl.iter().map(|p| ("tls.crl", p)));
    for (key, path) in single.chain(several) {
        found.when(
            !path.is_file(),
            key,
            &format!("there is no file {}", path.display()),
            "Put the PEM file there, or correct the path",
        );
    }
}

fn secrets(config: &Config, found: &mut Found) {
    let keys =
        [("amqp.key", &config.amqp.key), ("tls.key", &config.tls.key), ("signing.key", &config.signing.key)];
    for (name, path) in keys {
        if let Some(path) = path {
            secret_file(path, name, found);
        }
    }
    // The sealing key is made at the first start, so it may be missing; a present one is checked.
    if config.vault.key.exists() {
        secret_file(&config.vault.key, "vault.key", found);
    }
}

/// A secret must be there, a file, and closed to everyone else on the machine.
fn secret_file(path: &Path, key: &str, found: &mut Found) {
    match std::fs::metadata(path) {
        Ok(file) => {
            found.when(
                !file.is_file(),
                key,
                &format!("{} is not a file", path.display()),
                "Give the path of the file itself",
            );
            found.when(
                file.permissions().mode() & 0o007 != 0,
                key,
                &format!("everyone on this machine may use {}", path.display()),
                &format!("Run: chmod 400 {}", path.display()),
            );
        }
        Err(e) => found.when(
            true,
            key,
            &format!("{} cannot be looked at: {}", path.display(), e.kind()),
            "Put the file there and let the service's user read it, or have systemd pass it (LoadCredential)",
        ),
    }
}

fn limits(config: &Config, found: &mut Found) {
    let limits = &config.limits;
    let table = [
        ("limits.in_flight", limits.in_flight, 4096),
        ("limits.in_flight_per_party", limits.in_flight_per_party, 4096),
    ];
    for (key, value, most) in table {
        found.when(
            !(1..=most).contains(&value),
            key,
            &format!("this is between 1 and {most}"),
            "Remove the line for the measured default",
        );
    }
    found.when(
        limits.in_flight_per_party > limits.in_flight,
        "limits.in_flight_per_party",
        "one party may have more on its way than all together",
        "Make it at most limits.in_flight",
    );
    found.when(
        config.records.max_bundle.as_u64() > 1 << 30,
        "records.max_bundle",
        "a bundle of more than 1 GiB would not fit in memory",
        "Leave it at 64 MiB",
    );
}

fn outside(config: &Config, found: &mut Found) {
    // A socket's address has 108 bytes in Linux, one of them the closing nought.
    found.when(
        config.control.socket.as_os_str().len() > 107,
        "control.socket",
        "a socket's path has at most 107 bytes",
        "Choose a shorter path, such as /run/throughcare/control.sock",
    );
    found.when(
        config.telemetry.listen.is_some_and(|address| !address.ip().is_loopback()),
        "telemetry.listen",
        "metrics and health have no access control, so they stay on this machine",
        "Listen on 127.0.0.1 or [::1], and put an authenticating proxy in front if others need them",
    );
    found.when(
        outside_of(config.directory.check_every, Span::seconds(1), Span::hours(1)),
        "directory.check_every",
        "the directory is looked at every 1s to 1h",
        "Leave it at 5s",
    );
}

fn outside_of(value: Span, least: Span, most: Span) -> bool {
    let within: std::ops::RangeInclusive<Duration> = least.duration()..=most.duration();
    !within.contains(&value.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that are wrong.
    fn problems(text: &str) -> Vec<String> {
        Config::parse(text).unwrap().check().into_iter().map(|p| p.key).collect()
    }

    #[test]
    fn settings_that_make_sense_have_no_problem() {
        assert_eq!(problems(""), Vec::<String>::new());
    }

    #[test]
    fn impossible_pairs_are_refused_by_name() {
        let table = [
            ("[telemetry]\nlisten = \"0.0.0.0:9464\"", "telemetry.listen"),
            ("[inbox]\nlisten = \"0.0.0.0:8443\"", "inbox.listen"),
            ("[amqp]\nurl = \"amqp://localhost\"\nqueue = \"\"", "amqp.queue"),
            (
                "[amqp]\nurl = \"amqp://localhost\"\noutcome_exchange = \"throughcare.dead-letters\"",
                "amqp.dead_letter_exchange",
            ),
            ("[amqp]\nprefetch = 0", "amqp.prefetch"),
            ("[limits]\nin_flight = 4", "limits.in_flight_per_party"),
            ("[signing]\ncertificate = \"/dev/null\"", "signing.key"),
            ("[store]\ncache = \"8 MiB\"", "store.cache"),
            ("[inbox]\npath = \"gp2gp\"", "inbox.path"),
        ];
        for (text, key) in table {
            assert!(
                problems(text).iter().any(|k| k == key),
                "{text} must be refused for {key}: {:?}",
                problems(text)
            );
        }
    }

    #[test]
    fn a_key_that_everyone_may_read_is_refused_with_the_command_that_closes_it() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("signing.key");
        std::fs::write(&key, "not looked into").unwrap();
        let text = format!("[signing]\ncertificate = {key:?}\nkey = {key:?}\n");
        let set = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o644);
        let found = Config::parse(&text).unwrap().check();
        let problem =
            found.iter().find(|p| p.key == "signing.key").expect("a world-readable key is a problem");
        assert!(problem.remedy.contains("chmod 400 "), "{problem}");
        set(0o640);
        assert_eq!(problems(&text), Vec::<String>::new(), "the service's group may read it");
    }
}
