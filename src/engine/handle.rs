//! The front door: [`Handle::submit`] returns when the input is durable, or was already known. Behind it, one thread
//! gathers what is waiting into one commit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;
use crate::engine::{Engine, EngineError, Input, LaneView, Reply};
use crate::transfer::effect::Order;

/// Inputs gathered into one commit. Beyond 256 a commit gets slower without getting cheaper (limits reference §3).
const BATCH: usize = 256;
/// Inputs that may wait. Twice the broker's prefetch, so that one producer never starves the others.
const QUEUE: usize = 1024;
/// The longest sleep: bounds what a clock jump can cost.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// How often people are shown the lanes: looking at thousands in every turn would cost more than the turn.
const SHOW_EVERY: Duration = Duration::from_millis(100);

/// The engine has stopped; nothing more is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped")]
pub struct EngineStopped;

struct Envelope {
    input: Input,
    reply: oneshot::Sender<Reply>,
}

/// How anybody speaks to the engine.
#[derive(Clone)]
pub struct Handle {
    inputs: mpsc::Sender<Envelope>,
    overview: Arc<Mutex<Overview>>,
    outbox: watch::Receiver<u64>,
    closing: Arc<AtomicBool>,
}

/// The engine at a glance, as of its last turn.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    /// How many transfers are in each state.
    pub counts: BTreeMap<String, u64>,
    /// The lanes that have something in them.
    pub lanes: Vec<LaneView>,
    /// How many transfers have work under way.
    pub under_way: usize,
    /// How many turns wrote something.
    pub commits: u64,
    /// How many operations they wrote.
    pub operations: u64,
    /// How long the last commit took.
    pub last_commit: Duration,
    /// How long all commits took together.
    pub commit_time: Duration,
}

impl Handle {
    /// Gives the engine something; returns when it is durable, or was already known.
    pub async fn submit(&self, input: Input) -> Result<Reply, EngineStopped> {
        self.enqueue(input).await?.await.map_err(|_| EngineStopped)
    }

    /// Gives the engine something; returns when it has its place in the queue. The reply comes when it is durable.
    pub async fn enqueue(&self, input: Input) -> Result<oneshot::Receiver<Reply>, EngineStopped> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(Envelope { input, reply }).await.map_err(|_| EngineStopped)?;
        Ok(answer)
    }

    /// Returns when all that can be read in the store now is durable: a row can be read before its commit is on the disk.
    pub async fn settled(&self) -> Result<(), EngineStopped> {
        self.submit(Input::Published(Vec::new())).await.map(drop)
    }

    /// The engine at a glance.
    pub fn overview(&self) -> Overview {
        self.overview.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts nothing more; what is under way may end, and what is told is still taken.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// The number of the newest outbox entry that is durable.
    pub fn outbox(&self) -> watch::Receiver<u64> {
        self.outbox.clone()
    }
}

/// The engine at work: its front door, the orders it gives, and how it ended once it has.
pub type Started = (Handle, mpsc::UnboundedReceiver<Order>, oneshot::Receiver<Result<(), EngineError>>);

/// Is told of each commit: how many operations it had and how long it took.
pub type Observe = Box<dyn Fn(usize, Duration) + Send>;

/// Starts the engine on a thread of its own. Orders come out of the returned receiver; its length is bounded by the
/// engine's limit of work under way. The thread ends when every handle is gone, or with the error that stopped it.
pub fn run(engine: Engine, runtime: tokio::runtime::Handle, observe: Observe) -> std::io::Result<Started> {
    let (inputs, incoming) = mpsc::channel(QUEUE);
    let (orders, outgoing) = mpsc::unbounded_channel();
    let (outbox_head, outbox) = watch::channel(engine.outbox_head());
    let (done, ended) = oneshot::channel();
    let overview = Arc::new(Mutex::new(Overview { counts: engine.counts().clone(), ..Overview::default() }));
    let closing = Arc::new(AtomicBool::new(false));
    let handle = Handle { inputs, overview: overview.clone(), outbox, closing: closing.clone() };
    let shown = None;
    let thread = Committer { engine, incoming, orders, outbox_head, overview, closing, observe, shown };
    std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
        // Nobody may be left to hear it when the process is stopping.
        let _ = done.send(thread.work(&runtime));
    })?;
    Ok((handle, outgoing, ended))
}

struct Committer {
    engine: Engine,
    incoming: mpsc::Receiver<Envelope>,
    orders: mpsc::UnboundedSender<Order>,
    outbox_head: watch::Sender<u64>,
    overview: Arc<Mutex<Overview>>,
    closing: Arc<AtomicBool>,
    observe: Observe,
    /// When the lanes were last shown.
    shown: Option<Instant>,
}

impl Committer {
    fn work(mut self, runtime: &tokio::runtime::Handle) -> Result<(), EngineError> {
        loop {
            let (batch, open) = runtime.block_on(self.gather());
            let (inputs, waiting): (Vec<Input>, Vec<_>) =
                batch.into_iter().map(|e| (e.input, e.reply)).unzip();
            if self.closing.load(Ordering::Acquire) {
                self.engine.close();
            }
            let began = clock::instant();
            let turn = self.engine.turn(inputs, clock::now())?;
            let took = began.elapsed();
            for (reply, waiting) in turn.replies.into_iter().zip(waiting) {
                // Whoever asked may have gone; what they asked for is durable all the same.
                let _ = waiting.send(reply);
            }
            for order in turn.orders {
                if self.orders.send(order).is_err() {
                    return Ok(());
                }
            }
            self.outbox_head
                .send_if_modified(|head| std::mem::replace(head, turn.outbox_head) != turn.outbox_head);
            self.show(turn.operations, took, began);
            if !open {
                return Ok(());
            }
        }
    }

    /// What is waiting, once anything is, or once a deadline has passed; and whether more may come.
    async fn gather(&mut self) -> (Vec<Envelope>, bool) {
        let sleep = match self.engine.next_wake() {
            Some(wake) => wake.since(clock::now()).min(LONGEST_SLEEP),
            None => LONGEST_SLEEP,
        };
        let mut batch = Vec::new();
        match tokio::time::timeout(sleep, self.incoming.recv_many(&mut batch, BATCH)).await {
            Ok(0) => (batch, false),
            Ok(_) | Err(_) => (batch, true),
        }
    }

    fn show(&mut self, operations: usize, took: Duration, now: Instant) {
        let mut overview = self.overview.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shown.is_none_or(|then| now.duration_since(then) >= SHOW_EVERY) {
            self.shown = Some(now);
            overview.counts.clone_from(self.engine.counts());
            overview.lanes = self.engine.lanes();
        }
        overview.under_way = self.engine.under_way();
        if operations > 0 {
            (self.observe)(operations, took);
            overview.commits += 1;
            overview.operations += operations as u64;
            overview.last_commit = took;
            overview.commit_time += took;
        }
    }
}
