//! The daemon: starts everything in order, says ready, and stops it in reverse.
//!
//! Order: settings, directory, certificates, store, vault, engine, doer, inbox, operators' socket, intake. Whatever fails
//! before ready ends the start with its reason; afterwards only the store can stop the daemon.

mod door;
mod housekeeping;
mod material;
mod parts;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock;
use crate::config::{Config, OutcomeForm, Problem};
use crate::control::console::{Console, Parts};
use crate::control::server;
use crate::control::views;
use crate::daemon::door::{Door, Outcomes};
use crate::daemon::material::Material;
use crate::daemon::parts::Opened;
use crate::engine::{self, EngineError, Handle};
use crate::inbox::{ACTIONS, Aside, Inbox, InboxLimits, Reception, Wire, post_signals};
use crate::intake::contract::{Encoding, Rules};
use crate::intake::{Link, amqp, spool};
use crate::perform;
use crate::telemetry::{self, Phase};

pub use material::MissingVaultKey;

/// Async signals waiting to be posted; a lost one is drawn again by its message.
const SIGNALS: usize = 1024;

/// How long the engine may take over its last commit once nobody speaks to it any more.
const LAST_COMMIT: Duration = Duration::from_secs(10);

/// Everything that would keep a daemon with these settings from starting, as far as it can be read: settings, directory,
/// certificates, keys. Writes nothing. `missing` says what a missing vault key means.
pub fn problems(config: &Config, missing: MissingVaultKey) -> Vec<Problem> {
    Material::open(config, missing).err().unwrap_or_default()
}

/// Runs until `stop` completes, or until the store fails.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let material = Material::open(&config, MissingVaultKey::Made).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!("the settings cannot be used:\n{}", lines.join("\n"))
    })?;
    let opened = Opened::open(&config, material)?;
    let started_at = clock::now();
    let metrics = opened.metrics.clone();
    let observe: engine::Observe = Box::new(move |operations, took| {
        metrics.commit.observe(took.as_secs_f64());
        metrics.commit_operations.observe(operations as f64);
    });
    let runtime = tokio::runtime::Handle::current();
    let (handle, orders, mut ended) = engine::run(opened.engine(&config)?, runtime, observe)
        .context("the engine's thread could not be started")?;
    let (stopping, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let doer = tokio::spawn(perform::run(opened.tools(&config), handle.clone(), orders));
    start_probe(&config, &opened, &mut tasks).await?;
    let mut doors = JoinSet::new();
    start_inbox(&config, &opened, &handle, &stopped, (&mut doors, &mut tasks)).await?;
    let (rules, _rules) = watch::channel(Arc::new(rules(&config, &opened)));
    let (link, links) = watch::channel(Link::Down { since: started_at, error: None });
    let listener = server::bind(&config.control.socket, config.control.group.as_deref())?;
    let by_hand = door(&opened, &handle, &stopped);
    let console = console(&config, &opened, &handle, started_at, links.clone(), (by_hand, rules.subscribe()));
    tasks.spawn(server::serve(listener, move |request, peer, replies| {
        Arc::clone(&console).answer(request, peer, replies)
    }));
    start_intake(&config, &opened, &handle, link, rules.subscribe(), (&stopped, &mut doors));
    tasks.spawn(housekeeping::watch(housekeeping::Watch {
        config: config.clone(),
        opened: opened.clone(),
        engine: handle.clone(),
        link: links,
        rules,
    }));
    opened.probe.enter(Phase::Ready);
    housekeeping::say_ready();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "ready");
    let within = config.service.stop_within.duration();
    let (failure, within) = tokio::select! {
        () = stop => (None, within),
        // Nothing can be finished without the engine.
        end = &mut ended => (Some(engine_failure(end)), Duration::ZERO),
        // It ends by itself only when it could not keep what came: the next start tries again.
        _ = doors.join_next() => {
            (Some(anyhow!("intake stopped by itself; see the errors above")), within)
        }
    };
    opened.probe.enter(Phase::Stopping);
    housekeeping::say_stopping();
    stop_all(within, stopping, doors, tasks, handle, doer).await;
    let Some(error) = failure else {
        if tokio::time::timeout(LAST_COMMIT, ended).await.is_err() {
            tracing::warn!(
                "the engine's last commit did not end in time; what it held is durable or will be told again"
            );
        }
        tracing::info!("stopped");
        return Ok(());
    };
    Err(error)
}

fn engine_failure(
    end: Result<Result<(), EngineError>, tokio::sync::oneshot::error::RecvError>,
) -> anyhow::Error {
    match end {
        Ok(Err(error)) => {
            anyhow::Error::new(error).context("the engine stopped; nothing was answered that is not durable")
        }
        Ok(Ok(())) | Err(_) => anyhow!("the engine stopped by itself"),
    }
}

/// In reverse: nothing new comes in or is started, what is under way ends within the stated time, then the engine.
async fn stop_all(
    within: Duration,
    stopping: watch::Sender<bool>,
    mut doors: JoinSet<()>,
    mut tasks: JoinSet<()>,
    handle: Handle,
    doer: tokio::task::JoinHandle<()>,
) {
    stopping.send_replace(true);
    handle.close();
    let ended = async {
        while doors.join_next().await.is_some() {}
        while handle.overview().under_way > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(within, ended).await.is_err() {
        tracing::warn!(
            "work was still under way at the end of the stated time; it is taken up at the next start"
        );
    }
    tasks.shutdown().await;
    doors.shutdown().await;
    drop(handle);
    doer.abort();
    // The engine ends when nobody can speak to it any more, and the doer could.
    let _aborted = doer.await;
}

async fn start_probe(config: &Config, opened: &Opened, tasks: &mut JoinSet<()>) -> anyhow::Result<()> {
    if let Some(address) = config.telemetry.listen {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let probe = opened.probe.clone();
        tasks.spawn(async move { telemetry::serve(listener, probe).await });
    }
    Ok(())
}

async fn start_inbox(
    config: &Config,
    opened: &Opened,
    handle: &Handle,
    stopped: &watch::Receiver<bool>,
    (doors, tasks): (&mut JoinSet<()>, &mut JoinSet<()>),
) -> anyhow::Result<()> {
    let Some(address) = config.inbox.listen else { return Ok(()) };
    let tls = opened.tls.clone();
    let (signals, queue) = tokio::sync::mpsc::channel(SIGNALS);
    tasks.spawn(post_signals(queue, opened.transport(), opened.directory.clone()));
    let wire = Wire {
        signer: opened.signer.clone(),
        store: opened.store.clone(),
        vault: opened.vault.clone(),
        metrics: opened.metrics.clone(),
        accept_push: config.filing.accept_push,
    };
    let desk = Reception {
        wire: Arc::new(wire),
        tls: tls.clone(),
        directory: opened.directory.clone(),
        engine: handle.clone(),
        vault: opened.vault.clone(),
        aside: Aside::new(handle.clone(), opened.vault.clone(), opened.store.clone(), opened.metrics.clone()),
        signals,
        actions: ACTIONS,
    };
    let limits = InboxLimits {
        body_bytes: config.inbox.max_message.as_u64(),
        connections: config.inbox.max_connections as usize,
        body: config.inbox.read_within.duration(),
        ..InboxLimits::default()
    };
    let paths = vec![config.inbox.path.clone()];
    let inbox = Inbox::bind(address, paths, tls, opened.directory.clone(), desk, limits);
    let inbox = inbox.await.with_context(|| format!("cannot listen on {address}"))?;
    let mut stopped = stopped.clone();
    doors.spawn(inbox.serve(async move {
        // An error means that the daemon is gone, which is a stop as well.
        let _gone = stopped.wait_for(|stop| *stop).await;
    }));
    Ok(())
}

fn start_intake(
    config: &Config,
    opened: &Opened,
    handle: &Handle,
    link: watch::Sender<Link>,
    rules: watch::Receiver<Arc<Rules>>,
    (stopped, doors): (&watch::Receiver<bool>, &mut JoinSet<()>),
) {
    let door = door(opened, handle, stopped);
    let outcomes = Outcomes { store: opened.store.clone(), engine: handle.clone() };
    let out = watch::Sender::new(Link::Down { since: clock::now(), error: None });
    match opened.broker.clone() {
        Some(settings) => {
            doors.spawn(amqp::consume(settings.clone(), door, rules, link, stopped.clone()));
            doors.spawn(amqp::publish(settings, outcomes, out, stopped.clone()));
        }
        None => {
            let mut settings = spool::Settings::new(config.spool.dir.clone());
            settings.encoding = encoding(config.amqp.outcomes_as);
            doors.spawn(spool::consume(settings.clone(), door, rules, link, stopped.clone()));
            doors.spawn(spool::publish(settings, outcomes, out, stopped.clone()));
        }
    }
}

fn encoding(form: OutcomeForm) -> Encoding {
    match form {
        OutcomeForm::Json => Encoding::Json,
        OutcomeForm::Protobuf => Encoding::Protobuf,
    }
}

fn door(opened: &Opened, handle: &Handle, stopped: &watch::Receiver<bool>) -> Door {
    Door {
        engine: handle.clone(),
        vault: opened.vault.clone(),
        metrics: opened.metrics.clone(),
        store: opened.store.clone(),
        stopped: stopped.clone(),
    }
}

fn rules(config: &Config, opened: &Opened) -> Rules {
    parts::rules(config, &opened.directory.current())
}

fn console(
    config: &Config,
    opened: &Opened,
    handle: &Handle,
    started_at: crate::model::Timestamp,
    link: watch::Receiver<Link>,
    (door, rules): (Door, watch::Receiver<Arc<Rules>>),
) -> Arc<Console> {
    let source = if config.has_broker() { "amqp" } else { "spool" };
    let metrics = opened.metrics.clone();
    Arc::new(Console::new(Parts {
        engine: handle.clone(),
        store: opened.store.clone(),
        vault: opened.vault.clone(),
        probe: opened.probe.clone(),
        mode: config.service.mode,
        started_at,
        intake: Box::new(move || views::Intake {
            source: source.to_owned(),
            connected: matches!(*link.borrow(), Link::Up { .. }),
            accepted: metrics.taken_in(),
        }),
        take_event: Box::new(move |content_type, body| {
            let (door, rules) = (door.clone(), rules.borrow().clone());
            Box::pin(async move { door.take_by_hand(&content_type, body, &rules).await })
        }),
    }))
}
