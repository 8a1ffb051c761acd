//! Whether settings make sense together, said so that the reader knows what to do.
//!
//! Looks at values only. The files they name are opened and judged by the daemon, in `daemon::material`.

use std::fmt;
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
}

fn wire(config: &Config, found: &mut Found) {
    let (inbox, tls, signing) = (&config.inbox, &config.tls, &config.signing);
    found.when(
        tls.certificate.is_none() && tls.key.is_none(),
        "tls.certificate",
        "it is not set; nothing can be sent or received without it",
        "Set tls.certificate, tls.key and tls.trust",
    );
    found.when(
        inbox.listen.is_some() && tls.certificate.is_some() && tls.trust.is_empty(),
        "tls.trust",
        "the inbox is open but no root is trusted, so no practice could deliver",
        "Name the root of the practices' certificates, or remove inbox.listen",
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

    /// What every installation has.
    const LEAST: &str = "[tls]\ncertificate = \"tls.pem\"\nkey = \"tls.key\"\n";

    #[test]
    fn settings_that_make_sense_have_no_problem() {
        assert_eq!(problems(LEAST), Vec::<String>::new());
    }

    #[test]
    fn impossible_pairs_are_refused_by_name() {
        let table = [
            ("[telemetry]\nlisten = \"0.0.0.0:9464\"", "telemetry.listen"),
            ("[inbox]\nlisten = \"0.0.0.0:8443\"", "tls.trust"),
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
            let text = format!("{LEAST}{text}");
            assert_eq!(problems(&text), [key], "{text} must be refused for {key} and nothing else");
        }
        assert_eq!(problems(""), ["tls.certificate"], "nothing moves without TLS");
        assert_eq!(problems("[tls]\nkey = \"tls.key\"\n"), ["tls.certificate"], "said once");
    }
}
