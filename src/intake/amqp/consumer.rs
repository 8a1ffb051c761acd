//! Events from the queue: each read, handed to the engine in order, acknowledged when durable.
//!
//! Hundreds are in flight at once and are acknowledged together, always from the oldest on, so that an acknowledgement never
//! covers one that is not durable yet (H2). A message that is no event goes to the dead letters, confirmed, before
//! it is acknowledged; it is never requeued.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use lapin::message::Delivery as Message;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{Acker, BasicProperties, Channel, Confirmation, Consumer};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, warn};

use super::Settings;
use super::line::{Failure, LOOK_EVERY, Line, promptly};
use super::topology::{for_events, text};
use crate::clock;
use crate::intake::{
    Delivery, Front, FrontClosed, Link, LiveRules, Origin, Stopping, Taken, Ticket, stopped,
};

/// What is in flight when the daemon stops is waited for this long; the broker hands out the rest again.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// The name of our consumer on its channel.
const TAG: &str = "throughcare";

/// Consumes until the daemon stops or the engine closes. `link` tells how it goes.
pub async fn consume<F: Front>(
    settings: Settings,
    front: F,
    rules: LiveRules,
    link: watch::Sender<Link>,
    mut stopping: Stopping,
) {
    let mut line = Line::new("events", &settings, link);
    while let Some(channel) = line.channel(&mut stopping).await {
        let mut session =
            Session { settings: &settings, front: &front, rules: &rules, channel, flight: VecDeque::new() };
        match session.run(&mut line, &mut stopping).await {
            Ok(()) => break,
            Err(Failure::Front(closed)) => {
                error!(error = %closed, "intake from the broker ends");
                break;
            }
            Err(failure) => line.failed(&failure),
        }
    }
    line.close().await;
}

/// The use of one channel.
struct Session<'a, F> {
    settings: &'a Settings,
    front: &'a F,
    rules: &'a LiveRules,
    channel: Channel,
    /// Oldest first.
    flight: VecDeque<InFlight>,
}

/// A message between its arrival and its acknowledgement.
struct InFlight {
    acker: Acker,
    ticket: Ticket,
    letter: Letter,
}

/// What a dead letter would say.
struct Letter {
    content_type: String,
    body: std::sync::Arc<Vec<u8>>,
    event_id: Option<String>,
    faults: Option<String>,
}

impl<F: Front> Session<'_, F> {
    /// Ends well when the daemon stops.
    async fn run(&mut self, line: &mut Line<'_>, stopping: &mut Stopping) -> Result<(), Failure> {
        let mut consumer = self.begin().await?;
        line.works();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopped(stopping) => return self.end().await,
                taken = oldest(&mut self.flight), if !self.flight.is_empty() => self.settle(taken?).await?,
                // A submission that waited would keep what is durable from being acknowledged.
                message = next(&mut consumer), if self.has_room() => {
                    self.take(message?).await?;
                }
                _ = look.tick() => self.look()?,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.flight.len() < usize::from(self.settings.prefetch) && self.front.has_room()
    }

    async fn begin(&self) -> Result<Consumer, Failure> {
        for_events(&self.channel, self.settings).await?;
        let confirms = self.channel.confirm_select(ConfirmSelectOptions::default());
        promptly("asking for confirms", confirms).await?;
        let qos = self.channel.basic_qos(self.settings.prefetch, BasicQosOptions::default());
        promptly("setting the prefetch", qos).await?;
        let (queue, tag) = (self.settings.queue.as_str().into(), TAG.into());
        let consume =
            self.channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default());
        promptly("starting to consume", consume).await
    }

    /// Reads a message and takes its place in the engine's queue.
    async fn take(&mut self, message: Message) -> Result<(), Failure> {
        let content_type = message.properties.content_type().as_ref().map_or("", |t| t.as_str());
        let rules = self.rules.borrow().clone();
        let delivery = Delivery::read(Origin::Amqp, content_type, message.data, &rules, clock::now());
        let letter = Letter::of(&delivery);
        let ticket = self.front.submit(delivery).await?;
        self.flight.push_back(InFlight { acker: message.acker, ticket, letter });
        Ok(())
    }

    /// The oldest is durable: acknowledges it and all behind it that are durable too, in one go.
    async fn settle(&mut self, first: Taken) -> Result<(), Failure> {
        let mut answer = Some(Ok(first));
        let mut last = None;
        while let (Some(Ok(taken)), Some(settled)) = (&answer, self.flight.front()) {
            match taken {
                Taken::Accepted | Taken::Duplicate => {}
                Taken::Quarantined { reason } => self.dead_letter(&settled.letter, reason).await?,
            }
            last = self.flight.pop_front().map(|settled| settled.acker);
            answer = self.flight.front_mut().and_then(|next| next.ticket.settled());
        }
        if let Some(acker) = last {
            let acked = promptly("acknowledging", acker.ack(BasicAckOptions { multiple: true })).await?;
            if !acked {
                return Err(Failure::Closed { doing: "acknowledging" });
            }
        }
        match answer {
            Some(Err(closed)) => Err(Failure::Front(closed)),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// The reason and the event's identity travel as headers; nothing about a person does.
    async fn dead_letter(&self, letter: &Letter, reason: &str) -> Result<(), Failure> {
        let mut headers = FieldTable::default();
        headers.insert("x-throughcare-reason".into(), text(reason));
        if let Some(faults) = &letter.faults {
            headers.insert("x-throughcare-faults".into(), text(faults));
        }
        if let Some(event_id) = &letter.event_id {
            headers.insert("x-throughcare-event-id".into(), text(event_id));
        }
        let properties = BasicProperties::default()
            .with_content_type(letter.content_type.as_str().into())
            .with_delivery_mode(2)
            .with_headers(headers);
        let exchange = self.settings.dead_letters.as_str();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let publish =
            self.channel.basic_publish(exchange.into(), "".into(), options, &letter.body, properties);
        let confirm = promptly("publishing a dead letter", publish).await?;
        match promptly("publishing a dead letter", confirm).await? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(_)) => {
                // Sealed in quarantine all the same, so nothing is lost.
                warn!(exchange, reason, "nobody reads the dead letters: one was returned");
                Ok(())
            }
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                Err(Failure::Refused { exchange: exchange.to_owned() })
            }
        }
    }

    fn look(&self) -> Result<(), Failure> {
        if self.channel.status().connected() { Ok(()) } else { Err(Failure::Closed { doing: "consuming" }) }
    }

    /// Takes nothing new, and acknowledges what becomes durable in time.
    async fn end(&mut self) -> Result<(), Failure> {
        let cancel = self.channel.basic_cancel(TAG.into(), BasicCancelOptions::default());
        promptly("cancelling the consumer", cancel).await?;
        let finish = async {
            while !self.flight.is_empty() {
                let taken = oldest(&mut self.flight).await?;
                self.settle(taken).await?;
            }
            Ok(())
        };
        timeout(LAST_WAIT, finish).await.unwrap_or(Ok(()))
    }
}

impl Letter {
    fn of(delivery: &Delivery) -> Self {
        let (event_id, faults) = match &delivery.reading {
            Ok(decoded) => (Some(decoded.event.event_id), None),
            Err(rejection) => (rejection.event_id, Some(rejection.to_string())),
        };
        Self {
            // The broker's short texts hold 255 bytes.
            content_type: delivery.content_type.chars().filter(char::is_ascii_graphic).take(100).collect(),
            body: delivery.body.clone(),
            event_id: event_id.map(|id| id.to_string()),
            faults,
        }
    }
}

/// What became of the oldest message in flight.
async fn oldest(flight: &mut VecDeque<InFlight>) -> Result<Taken, FrontClosed> {
    match flight.front_mut() {
        Some(oldest) => (&mut oldest.ticket).await,
        None => pending().await,
    }
}

async fn next(consumer: &mut Consumer) -> Result<Message, Failure> {
    match poll_fn(|cx| Pin::new(&mut *consumer).poll_next(cx)).await {
        Some(message) => message.map_err(Failure::broken("consuming")),
        // The queue was deleted, or the channel closed.
        None => Err(Failure::Closed { doing: "consuming" }),
    }
}
