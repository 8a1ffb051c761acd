//! What the daemon does beside its work: watches the directory, answers SIGHUP, counts for the metrics, and tells systemd
//! that it lives.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::clock;
use crate::config::Config;
use crate::daemon::parts::{self, Opened};
use crate::engine::{Handle, Input, ledger};
use crate::intake::Link;
use crate::intake::contract::Rules;
use crate::model::Timestamp;
use crate::store::Table;
use crate::telemetry::{Phase, Standing};
use crate::transfer::Transfer;

/// How often figures are counted: a scraper asks every 15 s at the most.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// Counting takes no more than this share of a processor, however much there is to count: one part in so many.
const COUNT_SHARE: u32 = 200;
/// The most rows of the due index that are looked at for the oldest in each state.
const MOST_ROWS: usize = 100_000;

/// What is watched.
pub struct Watch {
    /// The settings.
    pub config: Config,
    /// The parts.
    pub opened: Opened,
    /// The engine.
    pub engine: Handle,
    /// How intake goes.
    pub link: watch::Receiver<Link>,
    /// Which events are taken; follows the directory.
    pub rules: watch::Sender<Arc<Rules>>,
}

/// Watches for ever; ends when its task is dropped.
pub async fn watch(mut watch: Watch) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        tracing::error!("SIGHUP cannot be received; certificates and directory are not reloaded");
        return;
    };
    let mut counting = tokio::time::interval(COUNT_EVERY);
    let mut count_at = clock::instant();
    let mut looking = tokio::time::interval(watch.config.directory.check_every.duration());
    loop {
        tokio::select! {
            _ = hangup.recv() => watch.reload(),
            _ = looking.tick() => watch.look_at_directory(),
            _ = counting.tick() => {
                watch.show_life().await;
                let began = clock::instant();
                if began >= count_at {
                    watch.count();
                    // A little early, so that the tick it waits for is not missed by a hair.
                    count_at = began + (began.elapsed() * COUNT_SHARE).saturating_sub(COUNT_EVERY / 2);
                }
            }
            _ = watch.link.changed() => watch.show_phase(),
        }
    }
}

impl Watch {
    /// SIGHUP: certificates, signing key and directory; what cannot be read stays as it was.
    fn reload(&self) {
        let say = |what: &str, result: Result<(), anyhow::Error>| match result {
            Ok(()) => tracing::info!(what, "reloaded"),
            Err(error) => {
                tracing::error!(what, error = format!("{error:#}"), "not reloaded; the last good one stays")
            }
        };
        say("certificates", self.opened.tls.reload().map_err(Into::into));
        say("signing key", self.opened.signer.reload().map_err(Into::into));
        say("directory", self.opened.directory.reload(clock::now()).map_err(Into::into));
        self.renew_rules();
    }

    fn look_at_directory(&self) {
        if let Err(error) = self.opened.directory.reload_if_changed(clock::now()) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the directory cannot be used; the last good one stays"
            );
        }
        self.renew_rules();
    }

    fn renew_rules(&self) {
        let rules = parts::rules(&self.config, &self.opened.directory.current());
        self.rules.send_if_modified(|now| {
            let changed = **now != rules;
            if changed {
                *now = Arc::new(rules);
            }
            changed
        });
    }

    /// The watchdog is told only while the engine answers.
    async fn show_life(&self) {
        let answer = self.engine.submit(Input::Published(Vec::new()));
        match tokio::time::timeout(COUNT_EVERY, answer).await {
            // Without systemd there is nobody to tell.
            Ok(Ok(_)) => drop(sd_notify::notify(&[NotifyState::Watchdog])),
            Ok(Err(_)) | Err(_) => tracing::error!("the engine does not answer"),
        }
    }

    fn count(&self) {
        let overview = self.engine.overview();
        let oldest = self.oldest_by_state();
        let now = clock::now();
        let standings: Vec<Standing> = overview
            .counts
            .iter()
            .filter_map(|(state, count)| {
                let since = oldest.iter().find(|(s, _)| s == state).map(|(_, since)| now.since(*since));
                let state = Transfer::LABELS.iter().find(|label| *label == state)?;
                Some(Standing { state, count: *count, oldest: since.unwrap_or_default() })
            })
            .collect();
        let (metrics, gauge) = (&self.opened.metrics, |n: usize| i64::try_from(n).unwrap_or(i64::MAX));
        metrics.stand(&standings);
        metrics.in_flight.set(gauge(overview.under_way));
        metrics.breakers_open.set(gauge(overview.lanes.iter().filter(|l| l.resting_until.is_some()).count()));
        metrics.outbox.set(gauge(self.rows(Table::Outbox)));
        metrics.quarantine.set(gauge(self.waiting_in_quarantine()));
        self.show_phase();
    }

    fn rows(&self, table: Table) -> usize {
        self.opened.store.scan(table, &[]).take(MOST_ROWS).count()
    }

    fn waiting_in_quarantine(&self) -> usize {
        let rows = self.opened.store.scan(Table::Quarantine, &[]).take(MOST_ROWS).flatten();
        let entries = rows.filter_map(|row| ledger::decode::<ledger::Quarantined>(&row.1).ok());
        entries.filter(|entry| entry.settled.is_none()).count()
    }

    fn oldest_by_state(&self) -> Vec<(String, Timestamp)> {
        let mut oldest: Vec<(String, Timestamp)> = Vec::new();
        for row in self.opened.store.scan(Table::Due, &[]).take(MOST_ROWS).flatten() {
            let Ok(due) = ledger::decode::<ledger::DueRow>(&row.1) else { continue };
            match oldest.iter_mut().find(|(state, _)| *state == due.label) {
                Some((_, since)) => *since = due.since.min(*since),
                None => oldest.push((due.label, due.since)),
            }
        }
        oldest
    }

    fn show_phase(&self) {
        let low = self.opened.store.space().is_ok_and(|space| space.low);
        let up = matches!(*self.link.borrow(), Link::Up { .. });
        self.opened.probe.enter(if up && !low { Phase::Ready } else { Phase::NotTaking });
        if low {
            tracing::error!("the disk is nearly full; make room before work stops");
        }
    }
}

/// Tells systemd that the start is over.
pub fn say_ready() {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status("at work")]);
}

/// Tells systemd that the stop has begun.
pub fn say_stopping() {
    let _ = sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status("finishing what is under way")]);
}
