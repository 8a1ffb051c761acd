//! Where custody events come in and outcomes go out: AMQP, or a spool folder where no broker is configured.
//!
//! Intake reads and checks; it decides nothing and stores nothing. It says yes to a publisher (acknowledges, removes the
//! file) only when the engine says the delivery is durable, and it takes an outcome off the outbox only when
//! the broker, or the disk, has it. Trouble with a broker or a folder never ends a task: it is shown as
//! [`Link::Down`] and tried again for ever.

pub mod amqp;
pub mod contract;
pub mod spool;
pub mod wire;
pub mod words;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{oneshot, watch};

use crate::model::Timestamp;
use crate::transfer::outcome::Outcome;
use contract::{Decoded, Rejection, Rules};

/// The rules, as they are now: they change when the configuration or the directory is reloaded.
pub type LiveRules = watch::Receiver<Arc<Rules>>;

/// Becomes true once, when the daemon stops: what is in flight is finished, nothing new is taken.
pub type Stopping = watch::Receiver<bool>;

/// One message as it arrived, and what became of reading it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Which way it came.
    pub origin: Origin,
    /// When.
    pub received_at: Timestamp,
    /// As the publisher named it.
    pub content_type: String,
    /// As it came: what quarantine keeps. Shared, as a dead letter repeats it.
    pub body: Arc<Vec<u8>>,
    /// The event, or every reason why there is none.
    pub reading: Result<Decoded, Rejection>,
}

/// Which way a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The broker's queue.
    Amqp,
    /// The spool folder.
    Spool,
    /// An operator, over the control socket.
    Control,
}

impl Delivery {
    /// Reads a message under `rules`.
    pub fn read(origin: Origin, content_type: &str, body: Vec<u8>, rules: &Rules, now: Timestamp) -> Self {
        let reading = contract::read(content_type, &body, rules, now);
        Self {
            origin,
            received_at: now,
            content_type: content_type.to_owned(),
            body: Arc::new(body),
            reading,
        }
    }
}

/// What the engine did with a delivery, once that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is a new event: stored.
    Accepted,
    /// It was known, with the same content.
    Duplicate,
    /// It is in quarantine, with the machine code why.
    Quarantined {
        /// `invalid`, `unreadable`, `conflicting_event`, …
        reason: String,
    },
}

/// The engine's front door, as intake sees it.
///
/// Two steps, because order and durability are two promises: `submit` returns when the delivery has its place in the
/// queue (waiting while the queue is full), the [`Ticket`] resolves when it is durable. So events of one stay
/// keep their order while hundreds wait for one commit.
pub trait Front: Clone + Send + Sync + 'static {
    /// Whether there is room for more; without it a submission waits.
    fn has_room(&self) -> bool {
        true
    }

    /// Takes a place for `delivery`.
    fn submit(&self, delivery: Delivery) -> impl Future<Output = Result<Ticket, FrontClosed>> + Send;
}

/// The engine no longer takes deliveries: it stops, or its store failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine no longer takes deliveries")]
pub struct FrontClosed;

/// A place in the engine's queue; resolves when the delivery is durable, or was already known.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<Taken>);

impl Ticket {
    /// A ticket, and what the engine answers it with.
    pub fn issue() -> (oneshot::Sender<Taken>, Self) {
        let (answer, ticket) = oneshot::channel();
        (answer, Self(ticket))
    }

    /// The answer, if there is one by now.
    fn settled(&mut self) -> Option<Result<Taken, FrontClosed>> {
        match self.0.try_recv() {
            Ok(taken) => Some(Ok(taken)),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(FrontClosed)),
        }
    }
}

impl Future for Ticket {
    type Output = Result<Taken, FrontClosed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| FrontClosed)
    }
}

/// The outcomes that are durable and not yet published, as intake sees them. One publisher reads it at a time.
pub trait Outbox: Clone + Send + Sync + 'static {
    /// At most `most` outcomes whose number is above `after`, in order.
    fn next(&self, after: u64, most: usize) -> impl Future<Output = Vec<Pending>> + Send;

    /// These were published: they may go. Returns once that is durable, or sooner: one published twice does no harm.
    fn published(&self, numbers: Vec<u64>) -> impl Future<Output = Result<(), FrontClosed>> + Send;

    /// Changes whenever something was added.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// An outcome waiting to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its place in the outbox; above nought.
    pub number: u64,
    /// What to say.
    pub outcome: Outcome,
}

/// Whether a way in or out works, for health and `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Works.
    Up {
        /// Since when.
        since: Timestamp,
    },
    /// Does not, and is tried again.
    Down {
        /// Since when.
        since: Timestamp,
        /// What went wrong last; nothing yet while it was never tried.
        error: Option<String>,
    },
}

/// Resolves when the daemon stops; also when nobody is left who could say so.
async fn stopped(stopping: &mut Stopping) {
    // An error means that the daemon is gone, which is a stop as well.
    let _gone = stopping.wait_for(|stop| *stop).await;
}
