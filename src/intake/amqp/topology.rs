//! The queues and exchanges we use: created when the settings say so, else looked for.
//!
//! ```text
//! throughcare.events         quorum queue, custody events; dead-letters to:
//! throughcare.dead-letters   fanout exchange ─▶ quorum queue of the same name
//! throughcare.outcomes       topic exchange, routing key = kind of outcome; queues are the readers' own
//! ```

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::line::{Failure, promptly};
use super::{Settings, Topology};

/// We never requeue a message, so a delivery counts only when the daemon or the broker was killed meanwhile. The default
/// of newer brokers (20) would dead-letter a good event after 20 restarts, so the limit is out of reach.
const DELIVERY_LIMIT: i64 = 1_000_000;

/// What the consumer needs.
pub async fn for_events(channel: &Channel, settings: &Settings) -> Result<(), Failure> {
    exchange(channel, settings, &settings.dead_letters, ExchangeKind::Fanout).await?;
    if settings.topology == Topology::Declare {
        queue(channel, settings, &settings.dead_letters, quorum()).await?;
        bind_dead_letters(channel, settings).await?;
    }
    queue(channel, settings, &settings.queue, events(settings)).await
}

/// What the publisher needs.
pub async fn for_outcomes(channel: &Channel, settings: &Settings) -> Result<(), Failure> {
    exchange(channel, settings, &settings.outcomes, ExchangeKind::Topic).await
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments
}

/// What the broker itself dead-letters is not lost on the way (at-least-once, which needs reject-publish).
fn events(settings: &Settings) -> FieldTable {
    let mut arguments = quorum();
    arguments.insert("x-dead-letter-exchange".into(), text(&settings.dead_letters));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    arguments
}

pub(super) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

async fn queue(
    channel: &Channel,
    settings: &Settings,
    name: &str,
    arguments: FieldTable,
) -> Result<(), Failure> {
    let passive = settings.topology == Topology::Check;
    let options = QueueDeclareOptions { passive, durable: true, ..QueueDeclareOptions::default() };
    let arguments = if passive { FieldTable::default() } else { arguments };
    let declared =
        promptly("declaring a queue", channel.queue_declare(name.into(), options, arguments)).await;
    explain(declared.map(|_| ()), queue_trouble(settings.topology), name)
}

async fn exchange(
    channel: &Channel,
    settings: &Settings,
    name: &str,
    kind: ExchangeKind,
) -> Result<(), Failure> {
    let passive = settings.topology == Topology::Check;
    let options = ExchangeDeclareOptions { passive, durable: true, ..ExchangeDeclareOptions::default() };
    let declared = channel.exchange_declare(name.into(), kind, options, FieldTable::default());
    explain(promptly("declaring an exchange", declared).await, exchange_trouble(settings.topology), name)
}

async fn bind_dead_letters(channel: &Channel, settings: &Settings) -> Result<(), Failure> {
    let name = settings.dead_letters.as_str();
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(name.into(), name.into(), "".into(), options, FieldTable::default());
    explain(promptly("binding a queue", bound).await, queue_trouble(settings.topology), name)
}

fn queue_trouble(topology: Topology) -> &'static str {
    match topology {
        Topology::Check => "the queue is not there (create it, or set declare_topology)",
        Topology::Declare => "the queue cannot be declared (it may exist with other properties)",
    }
}

fn exchange_trouble(topology: Topology) -> &'static str {
    match topology {
        Topology::Check => "the exchange is not there (create it, or set declare_topology)",
        Topology::Declare => "the exchange cannot be declared (it may exist as another type)",
    }
}

/// Only what the broker said about the thing itself is about the thing.
fn explain(declared: Result<(), Failure>, what: &'static str, name: &str) -> Result<(), Failure> {
    declared.map_err(|failure| match failure {
        Failure::Broken { cause, .. } if cause.is_amqp_error() => {
            Failure::Topology { what, name: name.to_owned(), cause }
        }
        other => other,
    })
}
