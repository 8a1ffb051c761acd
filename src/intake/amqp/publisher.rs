//! Outcomes to the topic exchange: sent in order, up to a window ahead of the broker's confirms, and taken off the outbox
//! only when confirmed.
//!
//! After any trouble everything unconfirmed is sent again: a reader may see an outcome twice, with the same
//! `outcome_id` (also the message id), and never misses one.

use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, warn};

use super::Settings;
use super::line::{Failure, LOOK_EVERY, Line, promptly};
use super::topology::for_outcomes;
use crate::intake::contract::encode_outcome;
use crate::intake::{FrontClosed, Link, Outbox, Pending, Stopping, stopped};

/// What is unconfirmed when the daemon stops is waited for this long; the rest is sent again at the next start.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// A confirm that is not there after ten looks is not coming.
const MOST_LOOKS: u32 = 10;

/// Publishes until the daemon stops or the engine closes. `link` tells how it goes.
pub async fn publish<O: Outbox>(
    settings: Settings,
    outbox: O,
    link: watch::Sender<Link>,
    mut stopping: Stopping,
) {
    let mut line = Line::new("outcomes", &settings, link);
    while let Some(channel) = line.channel(&mut stopping).await {
        let mut session = Session {
            settings: &settings,
            outbox: &outbox,
            channel,
            sent: 0,
            flight: VecDeque::new(),
            looks: 0,
            unwanted: BTreeSet::new(),
        };
        match session.run(&mut line, &mut stopping).await {
            Ok(()) => break,
            Err(Failure::Front(closed)) => {
                error!(error = %closed, "publishing outcomes ends");
                break;
            }
            Err(failure) => line.failed(&failure),
        }
    }
    line.close().await;
}

/// The use of one channel.
struct Session<'a, O> {
    settings: &'a Settings,
    outbox: &'a O,
    channel: Channel,
    /// The highest number sent on this channel.
    sent: u64,
    /// Sent and not confirmed, oldest first.
    flight: VecDeque<(u64, PublisherConfirm)>,
    /// How often we looked since anything was confirmed.
    looks: u32,
    /// Kinds that no queue is bound for: said once a connection.
    unwanted: BTreeSet<String>,
}

impl<O: Outbox> Session<'_, O> {
    /// Ends well when the daemon stops.
    async fn run(&mut self, line: &mut Line<'_>, stopping: &mut Stopping) -> Result<(), Failure> {
        for_outcomes(&self.channel, self.settings).await?;
        let confirms = self.channel.confirm_select(ConfirmSelectOptions::default());
        promptly("asking for confirms", confirms).await?;
        line.works();
        let mut changed = self.outbox.changed();
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Marked before looking, so that an outcome written meanwhile wakes us.
            changed.mark_unchanged();
            self.fill().await?;
            let room = self.flight.len() < self.settings.window;
            tokio::select! {
                () = stopped(stopping) => return self.end().await,
                confirmed = oldest(&mut self.flight), if !self.flight.is_empty() => self.settle(confirmed).await?,
                woken = changed.changed(), if room => woken.map_err(|_| FrontClosed)?,
                _ = look.tick() => self.look()?,
            }
        }
    }

    /// Sends what is waiting, as far as the window goes.
    async fn fill(&mut self) -> Result<(), Failure> {
        loop {
            let room = self.settings.window.saturating_sub(self.flight.len());
            if room == 0 {
                return Ok(());
            }
            let waiting = self.outbox.next(self.sent, room).await;
            if waiting.is_empty() {
                return Ok(());
            }
            for outcome in waiting {
                self.send(outcome).await?;
            }
        }
    }

    async fn send(&mut self, Pending { number, outcome }: Pending) -> Result<(), Failure> {
        let body = encode_outcome(&outcome, self.settings.encoding);
        let properties = BasicProperties::default()
            .with_content_type(self.settings.encoding.content_type().into())
            .with_message_id(outcome.outcome_id.as_str().into())
            .with_type("throughcare.custody.v1.Outcome".into())
            .with_delivery_mode(2);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (self.settings.outcomes.as_str().into(), outcome.kind.as_str().into());
        let publish = self.channel.basic_publish(exchange, key, options, &body, properties);
        self.flight.push_back((number, promptly("publishing an outcome", publish).await?));
        self.sent = number;
        Ok(())
    }

    /// The oldest has its answer: takes it and all behind it that have theirs off the outbox.
    async fn settle(&mut self, first: lapin::Result<Confirmation>) -> Result<(), Failure> {
        self.looks = 0;
        let mut answer = Some(first);
        let mut confirmed = Vec::new();
        let mut refused = Ok(());
        while let Some(confirmation) = answer.take() {
            let Some((number, _)) = self.flight.pop_front() else { break };
            refused = self.judge(confirmation);
            if refused.is_err() {
                break;
            }
            confirmed.push(number);
            answer = self.flight.front_mut().and_then(|(_, confirm)| at_once(confirm));
        }
        if !confirmed.is_empty() {
            self.outbox.published(confirmed).await?;
        }
        refused
    }

    fn judge(&mut self, confirmation: lapin::Result<Confirmation>) -> Result<(), Failure> {
        match confirmation.map_err(Failure::broken("publishing an outcome"))? {
            Confirmation::Ack(None) => Ok(()),
            Confirmation::Ack(Some(returned)) => {
                // No queue wants this kind; the journal has it.
                let kind = returned.delivery.routing_key.as_str();
                if self.unwanted.insert(kind.to_owned()) {
                    warn!(
                        kind,
                        exchange = self.settings.outcomes,
                        "no queue is bound for this kind of outcome"
                    );
                }
                Ok(())
            }
            Confirmation::Nack(_) | Confirmation::NotRequested => {
                Err(Failure::Refused { exchange: self.settings.outcomes.clone() })
            }
        }
    }

    /// Sends nothing new, and takes off the outbox what is confirmed in time.
    async fn end(&mut self) -> Result<(), Failure> {
        let finish = async {
            while !self.flight.is_empty() {
                let answer = oldest(&mut self.flight).await;
                self.settle(answer).await?;
            }
            Ok(())
        };
        timeout(LAST_WAIT, finish).await.unwrap_or(Ok(()))
    }

    /// A closed channel gives no sign, and a broker that recovers a queue may forget a confirm: both show here.
    fn look(&mut self) -> Result<(), Failure> {
        self.looks = if self.flight.is_empty() { 0 } else { self.looks + 1 };
        if !self.channel.status().connected() {
            Err(Failure::Closed { doing: "publishing" })
        } else if self.looks > MOST_LOOKS {
            Err(Failure::Slow { doing: "waiting for a confirm" })
        } else {
            Ok(())
        }
    }
}

/// The broker's answer to the oldest outcome in flight.
async fn oldest(flight: &mut VecDeque<(u64, PublisherConfirm)>) -> lapin::Result<Confirmation> {
    match flight.front_mut() {
        Some((_, confirm)) => confirm.await,
        None => pending().await,
    }
}

/// The answer, if it is there already.
fn at_once(confirm: &mut PublisherConfirm) -> Option<lapin::Result<Confirmation>> {
    match Pin::new(confirm).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}
