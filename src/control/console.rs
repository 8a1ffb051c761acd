//! Answers operators' questions: reads the store, and hands acts to the engine as it hands it everything else.
//!
//! Writes nothing itself. Where events come from and how one is taken in is given to it by the daemon.

mod disclosure;

use std::future::Future;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::describe;
use super::protocol::{Bulk, QuarantineVerb, Refusal, RefusalKind, Reply, Request};
use super::selector::Selector;
use super::server::{Peer, Replies};
use super::survey::{Glance, Survey};
use super::views::{
    Accounted, ActResult, Acted, ActedItem, Exported, Intake, List, Need, Quarantine, Resting, Sent, Service,
    SetAside, StateCount, Status,
};
use crate::clock;
use crate::config::Mode;
use crate::engine::ledger::{Decision, Quarantined, Settled};
use crate::engine::{self, Handle, Input};
use crate::model::Timestamp;
use crate::store::{SealedRef, Store, Vault, export};
use crate::telemetry::{Phase, Probe};
use crate::transfer::event::{Act, Verb};
use crate::transfer::{Case, Lane, Transfer};

/// The most transfers one act may mean: a surge has 2,000 releases (custody reference §11).
const MAX_ACTED: usize = 10_000;

/// Takes a custody event in: content type and octets, as they came.
pub type TakeEvent =
    Box<dyn Fn(String, Vec<u8>) -> Pin<Box<dyn Future<Output = Result<Sent, Refusal>> + Send>> + Send + Sync>;

/// Whether somebody said why, in words that fit the timeline.
fn is_reason(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= 500
}

fn without_reason() -> Refusal {
    let words = "an act needs a reason of 1 to 500 characters";
    Refusal::new(RefusalKind::NotUnderstood, words, "Say why with --reason.")
}

/// What the daemon gives the console.
pub struct Parts {
    /// The engine's front door.
    pub engine: Handle,
    /// The store, to read.
    pub store: Store,
    /// The sealed bytes, for what is taken in again.
    pub vault: Vault,
    /// Where the daemon is in its life.
    pub probe: Arc<Probe>,
    /// Test or live.
    pub mode: Mode,
    /// When the daemon was started.
    pub started_at: Timestamp,
    /// Where events come from, and how it goes.
    pub intake: Box<dyn Fn() -> Intake + Send + Sync>,
    /// Takes a custody event in.
    pub take_event: TakeEvent,
}

/// Answers operators' questions.
pub struct Console {
    parts: Parts,
    survey: Survey,
}

impl Console {
    /// A console over the daemon's parts.
    pub fn new(parts: Parts) -> Self {
        let survey = Survey::new(parts.store.clone());
        Self { parts, survey }
    }

    /// Answers one question, to the end.
    pub async fn answer(self: Arc<Self>, request: Request, peer: Peer, replies: Replies) {
        let answer = match request {
            Request::Export => return self.export(replies).await,
            Request::PacketExport { id, part, reason } if is_reason(&reason) => {
                self.disclose(&id, part, reason, peer, &replies).await
            }
            Request::Status => self.reading(Self::status).await,
            Request::List { selector, limit } => self.reading(move |c| c.list(&selector, limit)).await,
            Request::Show { id } => self.reading(move |c| c.show(&id)).await,
            Request::Explain { id } => self.reading(move |c| c.explain(&id)).await,
            Request::Quarantine { limit } => self.reading(move |c| c.quarantine(limit)).await,
            Request::QuarantineShow { id } => {
                self.reading(move |c| Ok(Reply::QuarantineShow(set_aside(&c.survey.set_aside(&id)?)))).await
            }
            Request::PacketExport { .. } => Err(without_reason()),
            Request::Act { reason, .. } | Request::QuarantineAct { reason, .. } if !is_reason(&reason) => {
                Err(without_reason())
            }
            Request::Act { verb, selector, reason, bulk } => {
                self.act(verb, selector, reason, bulk, peer).await
            }
            Request::QuarantineAct { verb, id, reason } => self.decide(verb, id, reason, peer).await,
            Request::SendEvent { content_type, content } => self.send(content_type, &content).await,
        };
        // Who went away before the answer needs none.
        let _gone = replies.send(answer.unwrap_or_else(Reply::Refused)).await;
    }

    /// Reads the store where waiting is allowed.
    async fn reading<F>(self: &Arc<Self>, read: F) -> Result<Reply, Refusal>
    where
        F: FnOnce(&Self) -> Result<Reply, Refusal> + Send + 'static,
    {
        let console = Arc::clone(self);
        tokio::task::spawn_blocking(move || read(&console)).await.unwrap_or_else(|_| Err(stopping()))
    }

    fn status(&self) -> Result<Reply, Refusal> {
        let now = clock::now();
        let glance = self.survey.glance(now)?;
        let overview = self.parts.engine.overview();
        let intake = (self.parts.intake)();
        let quarantine = self.survey.quarantined()?;
        let states = overview.counts.iter().filter(|(_, count)| **count > 0).map(|(state, count)| {
            StateCount { state: state.clone(), count: *count, oldest: glance.oldest.get(state).copied() }
        });
        let resting = overview.lanes.iter().filter_map(|view| match (&view.lane, view.resting_until) {
            (Lane::Party(party), Some(until)) => Some(Resting { party: party.clone(), until }),
            // Their small messages may still go.
            (Lane::Parts(_), _) => None,
            (Lane::Party(_), None) | (Lane::House, _) => None,
        });
        Ok(Reply::Status(Status {
            at: now,
            service: self.service(),
            needs_you: self.needs(&glance, &intake, quarantine),
            states: states.collect(),
            resting: resting.collect(),
            intake,
            in_flight: u64::try_from(overview.under_way).unwrap_or(u64::MAX),
            outbox: self.survey.outbox(),
            quarantine,
        }))
    }

    fn service(&self) -> Service {
        let phase = match self.parts.probe.phase() {
            Phase::Starting => "starting",
            Phase::Ready => "ready",
            Phase::NotTaking => "not-taking",
            Phase::Stopping => "stopping",
        };
        let mode = match self.parts.mode {
            Mode::Test => "test",
            Mode::Live => "live",
        };
        Service {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            mode: mode.to_owned(),
            phase: phase.to_owned(),
            started_at: self.parts.started_at,
        }
    }

    fn needs(&self, glance: &Glance, intake: &Intake, quarantine: u64) -> Vec<Need> {
        let mut needs = Vec::new();
        let mut need = |count: u64, what: String, next: &str| {
            if count > 0 {
                needs.push(Need { what, count, next: next.to_owned() });
            }
        };
        let low = self.parts.store.space().is_ok_and(|space| space.low);
        need(u64::from(low), "the disk is nearly full: nothing new is accepted".to_owned(), "df -h");
        let away = u64::from(!intake.connected);
        need(
            away,
            format!("no events come in: {} is not reachable", intake.source),
            "journalctl -u throughcare",
        );
        for (why, count) in &glance.held {
            need(*count, format!("held: {why}"), "throughcare list state=held");
        }
        for ((state, why), count) in &glance.stuck {
            need(*count, format!("cannot go on: {why}"), &format!("throughcare list state={state}"));
        }
        let reported = "not delivered for a day, or not acknowledged for eight days".to_owned();
        need(glance.reported, reported, "throughcare list older=1d");
        let failed = "ended without being filed, within the last eight days".to_owned();
        need(glance.failed, failed, "throughcare list state=not-integrated state=unanswered");
        need(quarantine, "events set aside".to_owned(), "throughcare quarantine list");
        needs
    }

    fn list(&self, selector: &Selector, limit: u32) -> Result<Reply, Refusal> {
        let now = clock::now();
        let limit = usize::try_from(limit.min(super::protocol::MAX_ROWS)).unwrap_or(usize::MAX);
        let mut found = self.survey.select(selector, limit, now)?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok(Reply::List(List { at: now, transfers: found.iter().map(describe::row).collect(), more }))
    }

    fn show(&self, id: &str) -> Result<Reply, Refusal> {
        let transfer = self.survey.one(id)?;
        let entries = self.survey.timeline(transfer.id)?;
        let account = self.account(&transfer);
        let messages = self.survey.messages(transfer.id)?;
        Ok(Reply::Show(Box::new(describe::show(&transfer, &messages, account, entries, clock::now()))))
    }

    /// What became of the record's items; the totals alone where the account cannot be read.
    fn account(&self, transfer: &Transfer) -> Option<Accounted> {
        let (totals, account) = match &transfer.case {
            Case::Release(release) => (release.completeness?, release.account.as_ref()),
            Case::Received(received) => (received.completeness?, received.account.as_ref()),
            Case::Reception(reception) => (reception.completeness?, reception.account.as_ref()),
            Case::Outbound(_) | Case::Noted(_) => return None,
        };
        let sealed = account.and_then(|a| a.0.parse::<SealedRef>().ok());
        let octets = sealed.and_then(|s| self.parts.vault.get(&s).ok()).unwrap_or_default();
        Some(describe::account(&totals, &octets))
    }

    fn explain(&self, id: &str) -> Result<Reply, Refusal> {
        let transfer = self.survey.one(id)?;
        Ok(Reply::Explain(describe::explain(&transfer, clock::now())))
    }

    fn quarantine(&self, limit: u32) -> Result<Reply, Refusal> {
        let limit = usize::try_from(limit.min(super::protocol::MAX_ROWS)).unwrap_or(usize::MAX);
        let mut found = self.survey.quarantine(limit)?;
        let more = found.len() > limit;
        found.truncate(limit);
        Ok(Reply::Quarantine(Quarantine {
            at: clock::now(),
            items: found.iter().map(set_aside).collect(),
            more,
        }))
    }

    async fn act(
        self: &Arc<Self>,
        verb: Verb,
        selector: Selector,
        reason: String,
        bulk: Bulk,
        peer: Peer,
    ) -> Result<Reply, Refusal> {
        let now = clock::now();
        let console = Arc::clone(self);
        let meant = tokio::task::spawn_blocking(move || console.meant(&selector, bulk, now));
        let meant = meant.await.unwrap_or_else(|_| Err(stopping()))?;
        let mut items = Vec::with_capacity(meant.len());
        for transfer in meant {
            let (result, words) = match bulk {
                Bulk::DryRun => rehearse(&transfer, verb, now),
                Bulk::Named | Bulk::Exactly(_) => {
                    let act = Act { verb, reason: reason.clone(), uid: peer.uid };
                    self.submit(Input::Act { transfer: transfer.id, act }, "done, and kept in its timeline")
                        .await?
                }
            };
            items.push(ActedItem { id: transfer.id.to_string(), result, words });
        }
        Ok(Reply::Acted(Acted { verb: verb.words().to_owned(), dry_run: bulk == Bulk::DryRun, items }))
    }

    /// The transfers an act means, if it may mean them.
    fn meant(&self, selector: &Selector, bulk: Bulk, now: Timestamp) -> Result<Vec<Transfer>, Refusal> {
        let found = self.survey.select(selector, MAX_ACTED, now)?;
        let count = found.len();
        let next = "Look first: the same command with --dry-run.";
        let refusal = |words: String| Err(Refusal::new(RefusalKind::OtherCount, words, next));
        match bulk {
            _ if count > MAX_ACTED => refusal(format!("the selection means more than {MAX_ACTED} transfers")),
            // Nothing is meant, so nothing needs to be counted.
            Bulk::Named if count == 0 => Ok(found),
            Bulk::Named if !selector.names_each() => {
                refusal(format!("the selection means {count} transfers; say so with --expect {count}"))
            }
            Bulk::Exactly(expected) if usize::try_from(expected) != Ok(count) => {
                refusal(format!("the selection means {count} transfers and not {expected}"))
            }
            Bulk::DryRun | Bulk::Named | Bulk::Exactly(_) => Ok(found),
        }
    }

    /// Hands an input to the engine and says what came of it.
    async fn submit(&self, input: Input, done: &str) -> Result<(ActResult, String), Refusal> {
        match self.parts.engine.submit(input).await {
            Ok(engine::Reply::Taken | engine::Reply::Duplicate(_)) => Ok((ActResult::Done, done.to_owned())),
            Ok(engine::Reply::NotApplicable(words)) => Ok((ActResult::Refused, words)),
            Ok(engine::Reply::Conflict | engine::Reply::Stranger | engine::Reply::NotYet) => {
                Ok((ActResult::Refused, "it does not apply".to_owned()))
            }
            Err(_) => Err(stopping()),
        }
    }

    async fn decide(
        self: &Arc<Self>,
        verb: QuarantineVerb,
        id: String,
        reason: String,
        peer: Peer,
    ) -> Result<Reply, Refusal> {
        let console = Arc::clone(self);
        let entry = tokio::task::spawn_blocking(move || console.survey.set_aside(&id));
        let entry = entry.await.unwrap_or_else(|_| Err(stopping()))?;
        let (name, done, decision) = match verb {
            QuarantineVerb::Requeue => ("requeue", "taken in again", Decision::Requeued),
            QuarantineVerb::Discard => {
                ("discard", "taken out of quarantine; its bytes are kept", Decision::Discarded)
            }
        };
        if entry.settled.is_some() {
            let words = "it was settled before";
            return Err(Refusal::new(RefusalKind::NotNow, words, "See how: throughcare quarantine show ID"));
        }
        if verb == QuarantineVerb::Requeue {
            self.take_again(&entry).await?;
        }
        // The reason is the operator's own words, so it goes to the ledger and not to the log.
        tracing::info!(quarantined = %entry.id, uid = peer.uid, act = name, "an operator decided");
        let settled = Settled { decision, reason, uid: peer.uid, at: clock::now() };
        let (result, words) = self.submit(Input::Settle { id: entry.id, settled }, done).await?;
        let items = vec![ActedItem { id: entry.id.to_string(), result, words }];
        Ok(Reply::Acted(Acted { verb: name.to_owned(), dry_run: false, items }))
    }

    async fn take_again(&self, entry: &Quarantined) -> Result<Sent, Refusal> {
        if entry.origin == "inbox" {
            let words = "it came from a practice, which must send it again";
            return Err(Refusal::new(RefusalKind::NotNow, words, "Telephone the practice, then discard it."));
        }
        let vault = self.parts.vault.clone();
        let body = entry.body.0.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let sealed: SealedRef = body.parse().map_err(|e: crate::store::VaultError| e.to_string())?;
            vault.get(&sealed).map_err(|e| e.to_string())
        });
        let bytes = opened
            .await
            .map_err(|_| stopping())?
            .map_err(|words| Refusal::new(RefusalKind::Failed, words, "Check the disk and the vault key."))?;
        (self.parts.take_event)(entry.content_type.clone(), bytes).await
    }

    async fn send(&self, content_type: String, content: &str) -> Result<Reply, Refusal> {
        let bytes = STANDARD.decode(content).map_err(|_| {
            Refusal::new(
                RefusalKind::NotUnderstood,
                "the event is not base64",
                "Use `throughcare event send`.",
            )
        })?;
        Ok(Reply::Sent((self.parts.take_event)(content_type, bytes).await?))
    }

    async fn export(&self, replies: Replies) {
        let store = self.survey.store().clone();
        let lines = replies.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut out = LineWriter { replies: lines, rest: Vec::new(), lines: 0 };
            export(&store, &mut out).map(|_| out.lines)
        });
        let end = match written.await {
            Ok(Ok(lines)) => Reply::Exported(Exported { lines }),
            Ok(Err(e)) => Reply::Refused(Refusal::new(RefusalKind::Failed, e, "See the log.")),
            Err(_) => Reply::Refused(stopping()),
        };
        // Who went away before the end needs none.
        let _gone = replies.send(end).await;
    }
}

fn rehearse(transfer: &Transfer, verb: Verb, now: Timestamp) -> (ActResult, String) {
    let state = transfer.label();
    if describe::allows(transfer, verb, now) {
        (ActResult::WouldDo, format!("would be done ({state})"))
    } else {
        (ActResult::Refused, format!("would be refused while it is {state}"))
    }
}

fn set_aside(entry: &Quarantined) -> SetAside {
    SetAside {
        id: entry.id.to_string(),
        at: entry.at,
        source: entry.origin.clone(),
        bytes: entry.bytes,
        reason: entry.reason.clone(),
        words: entry.faults.join("; "),
        settled: entry.settled.clone(),
        earlier: entry.earlier.clone(),
    }
}

fn stopping() -> Refusal {
    Refusal::new(RefusalKind::Failed, "the daemon is stopping", "Try again in a moment.")
}

/// Cuts what an export writes into lines and sends them.
struct LineWriter {
    replies: Replies,
    rest: Vec<u8>,
    lines: u64,
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let rest = self.rest.split_off(end + 1);
            let mut line = std::mem::replace(&mut self.rest, rest);
            line.pop();
            let line = String::from_utf8(line).map_err(io::Error::other)?;
            self.replies.blocking_send(Reply::Line(line)).map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.lines += 1;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
