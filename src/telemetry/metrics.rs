//! The figures of the daemon, in the OpenMetrics text form. Every label comes from a closed list.
//!
//! Counting is done where things happen, through the handles; how often the gauges are brought up to date is the
//! daemon's business.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::transfer::outcome::Completeness;

/// The response codes that get a label of their own (gp2gp reference §5); any other text counts as `other`, so that
/// a peer cannot fill our memory with labels.
const CODES: [&str; 23] = [
    "06", "07", "09", "10", "11", "12", "13", "14", "15", "17", "18", "19", "20", "21", "23", "24", "25",
    "26", "28", "29", "30", "31", "99",
];

/// All figures, each with the handle that changes it.
pub struct Metrics {
    registry: Registry,
    transfers: Family<State, Gauge>,
    oldest: Family<State, Gauge<f64, AtomicU64>>,
    attempts: Family<Answer, Counter>,
    acknowledgements: Family<Code, Counter>,
    intake: Family<Source, Counter>,
    refused: Family<Kept, Counter>,
    items: Family<Item, Counter>,
    /// From taking up a batch to the batch being on disk, in seconds.
    pub commit: Histogram,
    /// Writes in one commit.
    pub commit_operations: Histogram,
    /// Outcomes written but not yet confirmed by the broker or the spool.
    pub outbox: Gauge,
    /// Events set aside because they cannot be used.
    pub quarantine: Gauge,
    /// Packets on their way at this moment.
    pub in_flight: Gauge,
    /// Parties left alone because they do not answer.
    pub breakers_open: Gauge,
}

/// How many transfers stand in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The state's label.
    pub state: &'static str,
    /// How many.
    pub count: u64,
    /// How long the oldest of them has been open.
    pub oldest: Duration,
}

/// What an attempt to deliver came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// The party took it.
    Accepted,
    /// It goes again.
    TryAgain,
    /// The party will never take it.
    Refused,
}

/// Through which door an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// The message queue.
    Amqp,
    /// The spool folder.
    Spool,
    /// A practice.
    Inbox,
    /// An operator.
    Control,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    answer: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    source: &'static str,
}

/// Which way a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Made for a practice.
    Sent,
    /// Filed for the clinical system.
    Received,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Item {
    direction: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Kept {
    kept: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at nought.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("throughcare"),
            transfers: Family::default(),
            oldest: Family::default(),
            attempts: Family::default(),
            acknowledgements: Family::default(),
            intake: Family::default(),
            refused: Family::default(),
            items: Family::default(),
            // 0.25 ms to 4 s: a group commit takes 1.5 ms on a good disk and 10 ms on a slow one.
            commit: Histogram::new(exponential_buckets(0.000_25, 2.0, 15)),
            // 1 to 4096, the largest batch the settings allow.
            commit_operations: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            outbox: Gauge::default(),
            quarantine: Gauge::default(),
            in_flight: Gauge::default(),
            breakers_open: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        let registry = &mut self.registry;
        registry.register("build", "The version that runs", build);
        registry.register("transfers", "Transfers by state", self.transfers.clone());
        let oldest = "Age of the oldest open transfer by state";
        registry.register_with_unit("oldest_age", oldest, Unit::Seconds, self.oldest.clone());
        registry.register("attempts", "Attempts to deliver by what came of them", self.attempts.clone());
        registry.register("acknowledgements", "Answers of practices by code", self.acknowledgements.clone());
        registry.register("intake", "Events accepted durably, by door", self.intake.clone());
        let refused = "Messages refused at the inbox, by whether they were put aside";
        registry.register("refused", refused, self.refused.clone());
        let items = "Items of records by the state in which their mapping left them";
        registry.register("record_items", items, self.items.clone());
        let commit = "Time from taking up a batch to the batch being on disk";
        registry.register_with_unit("commit", commit, Unit::Seconds, self.commit.clone());
        registry.register("commit_operations", "Writes in one commit", self.commit_operations.clone());
        registry.register("outbox", "Outcomes written and not yet confirmed", self.outbox.clone());
        registry.register("quarantine", "Events set aside", self.quarantine.clone());
        registry.register("in_flight", "Packets on their way now", self.in_flight.clone());
        registry.register("breakers_open", "Parties left alone for now", self.breakers_open.clone());
    }

    /// Replaces the figures of all states by `standings`; a state that is not among them has nothing left in it.
    pub fn stand(&self, standings: &[Standing]) {
        self.transfers.clear();
        self.oldest.clear();
        for standing in standings {
            let label = State { state: standing.state };
            self.transfers.get_or_create(&label).set(i64::try_from(standing.count).unwrap_or(i64::MAX));
            self.oldest.get_or_create(&label).set(standing.oldest.as_secs_f64());
        }
    }

    /// Counts an attempt.
    pub fn attempted(&self, answered: Answered) {
        let answer = match answered {
            Answered::Accepted => "accepted",
            Answered::TryAgain => "try-again",
            Answered::Refused => "refused",
        };
        self.attempts.get_or_create(&Answer { answer }).inc();
    }

    /// Counts a practice's answer: its response code, or none where it filed the record.
    pub fn acknowledged(&self, code: Option<&str>) {
        let code = match code {
            None => "aa",
            Some(sent) => CODES.into_iter().find(|known| same_code(known, sent)).unwrap_or("other"),
        };
        self.acknowledgements.get_or_create(&Code { code }).inc();
    }

    /// Counts what became of the items of one record.
    pub fn accounted(&self, direction: Direction, totals: &Completeness) {
        let direction = match direction {
            Direction::Sent => "sent",
            Direction::Received => "received",
        };
        for (state, count) in [
            ("mapped", totals.mapped),
            ("merged", totals.merged),
            ("degraded", totals.degraded),
            ("not_clinical", totals.not_clinical),
        ] {
            self.items.get_or_create(&Item { direction, state }).inc_by(u64::from(count));
        }
    }

    /// Counts events that were accepted durably.
    pub fn took_in(&self, door: Intake, events: u64) {
        let source = match door {
            Intake::Amqp => "amqp",
            Intake::Spool => "spool",
            Intake::Inbox => "inbox",
            Intake::Control => "control",
        };
        self.intake.get_or_create(&Source { source }).inc_by(events);
    }

    /// Counts a message that was refused at the inbox, and whether it was put aside.
    pub fn refused(&self, kept: bool) {
        self.refused.get_or_create(&Kept { kept: if kept { "yes" } else { "no" } }).inc();
    }

    /// Events accepted durably since the start, through whichever door.
    pub fn taken_in(&self) -> u64 {
        ["amqp", "spool", "control"]
            .iter()
            .map(|source| self.intake.get_or_create(&Source { source }).get())
            .sum()
    }

    /// The OpenMetrics text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Codes compare as numbers: "6" is 06.
fn same_code(known: &str, sent: &str) -> bool {
    sent.trim().parse::<u16>().is_ok_and(|number| known.parse() == Ok(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_what_was_counted() {
        let metrics = Metrics::new();
        metrics.stand(&[Standing { state: "held", count: 2, oldest: Duration::from_secs(90) }]);
        metrics.attempted(Answered::TryAgain);
        metrics.acknowledged(None);
        metrics.acknowledged(Some("6"));
        metrics.took_in(Intake::Spool, 3);
        metrics.refused(false);
        metrics.commit.observe(0.0015);
        metrics.outbox.set(4);
        let text = metrics.text().unwrap();
        for line in [
            "throughcare_transfers{state=\"held\"} 2",
            "throughcare_oldest_age_seconds{state=\"held\"} 90.0",
            "throughcare_attempts_total{answer=\"try-again\"} 1",
            "throughcare_acknowledgements_total{code=\"aa\"} 1",
            "throughcare_acknowledgements_total{code=\"06\"} 1",
            "throughcare_intake_total{source=\"spool\"} 3",
            "throughcare_refused_total{kept=\"no\"} 1",
            "throughcare_commit_seconds_count 1",
            "throughcare_outbox 4",
            "throughcare_build_info{version=",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"), "OpenMetrics ends so");
    }

    #[test]
    fn a_state_that_empties_disappears() {
        let metrics = Metrics::new();
        metrics.stand(&[Standing { state: "held", count: 1, oldest: Duration::ZERO }]);
        metrics.stand(&[]);
        assert!(!metrics.text().unwrap().contains("held"));
    }

    #[test]
    fn labels_stay_within_a_closed_list_whatever_a_peer_sends() {
        let metrics = Metrics::new();
        for code in ["9990000018", "", "<x>", "31", "031", "22"] {
            metrics.acknowledged(Some(code));
        }
        let text = metrics.text().unwrap();
        assert!(!text.contains("9990000018"), "a number a peer put into a code never becomes a label");
        assert!(text.contains("code=\"other\"} 4") && text.contains("code=\"31\"} 2"), "{text}");
        // No label names a party, a site or a person (custody reference §9).
        let labels: Vec<&str> = text.split('{').skip(1).filter_map(|rest| rest.split('=').next()).collect();
        let closed = ["state", "answer", "code", "source", "kept", "version", "le"];
        assert!(labels.iter().all(|label| closed.contains(label)), "{labels:?}");
    }
}
