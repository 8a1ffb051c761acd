//! The engine's front door as intake sees it: events in order, what cannot be taken sealed and put aside, outcomes out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::clock;
use crate::control::protocol::{Refusal, RefusalKind};
use crate::control::views::Sent;
use crate::engine::ledger::{self, EventRow, Quarantined};
use crate::engine::{EngineStopped, Handle, Input, Reply};
use crate::intake::contract::{Decoded, Rejection, Rules};
use crate::intake::{Delivery, Front, FrontClosed, Origin, Outbox, Pending, Taken, Ticket};
use crate::model::{Timestamp, TransferId};
use crate::packet::fingerprint::Fingerprint;
use crate::store::{Store, Table, Vault};
use crate::telemetry::{Intake, Metrics};
use crate::transfer::Transfer;
use crate::transfer::custody::CustodyEvent;
use crate::transfer::dispatch::PacketRef;
use crate::transfer::outcome::{Outcome, OutcomeId, OutcomeKind};

/// The reason word of an event id that came again with other content (custody reference §3.2).
const CONFLICTING_EVENT: &str = "conflicting_event";

/// How often a full disk is looked at again: room is made by people.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The way in.
#[derive(Clone)]
pub struct Door {
    /// Whoever makes it durable.
    pub engine: Handle,
    /// Where what cannot be taken is sealed.
    pub vault: Vault,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Where it is seen how much room is left.
    pub store: Store,
    /// Whether the daemon stops.
    pub stopped: watch::Receiver<bool>,
}

impl Front for Door {
    fn has_room(&self) -> bool {
        !self.is_full()
    }

    async fn submit(&self, delivery: Delivery) -> Result<Ticket, FrontClosed> {
        self.wait_for_room().await?;
        let (answer, ticket) = Ticket::issue();
        self.metrics.took_in(door_of(delivery.origin), 1);
        match delivery.reading.clone() {
            Ok(decoded) => {
                let input = custody(&decoded);
                let reply = self.engine.enqueue(input).await.map_err(|_| FrontClosed)?;
                let door = self.clone();
                tokio::spawn(async move { door.settle(delivery, decoded, reply, answer).await });
            }
            Err(rejection) => {
                let door = self.clone();
                tokio::spawn(async move {
                    let reason = rejection.reason.as_str();
                    let faults = rejection.faults.iter().map(ToString::to_string).collect();
                    let outcome = rejected(&delivery, &rejection);
                    if door.put_aside(&delivery, reason, faults, Some(outcome)).await.is_ok() {
                        // Whoever delivered it may have gone; it is put aside all the same.
                        let _ = answer.send(Taken::Quarantined { reason: reason.to_owned() });
                    }
                });
            }
        }
        Ok(ticket)
    }
}

impl Door {
    /// Takes an event that an operator sends by hand.
    pub async fn take_by_hand(
        &self,
        content_type: &str,
        body: Vec<u8>,
        rules: &Rules,
    ) -> Result<Sent, Refusal> {
        let delivery = Delivery::read(Origin::Control, content_type, body, rules, clock::now());
        let received_at = delivery.received_at;
        let refuse = |words: String, next: &str| Refusal::new(RefusalKind::BadEvent, words, next);
        let decoded = match &delivery.reading {
            Ok(decoded) => decoded.clone(),
            Err(rejection) => {
                return Err(refuse(rejection.to_string(), "Correct the event and send it again."));
            }
        };
        if self.is_full() {
            let words = "the disk is nearly full: nothing new is accepted";
            return Err(Refusal::new(RefusalKind::Busy, words, "Make room, then send it again."));
        }
        let stopped = |_| Refusal::new(RefusalKind::Busy, "the daemon is stopping", "Try again in a moment.");
        let ticket = self.submit(delivery).await.map_err(stopped)?;
        let duplicate = match ticket.await.map_err(stopped)? {
            Taken::Accepted => false,
            Taken::Duplicate => true,
            Taken::Quarantined { reason } => {
                return Err(refuse(reason, "Look at it with: throughcare quarantine list"));
            }
        };
        Ok(Sent {
            event_id: decoded.event.event_id,
            transfer: self.transfer_of(&decoded.event, received_at),
            duplicate,
            warnings: decoded.warnings.iter().map(|w| format!("{} {}", w.field, w.rule)).collect(),
        })
    }

    /// The transfer that took the event, which may be that of a practice's request.
    fn transfer_of(&self, event: &CustodyEvent, received_at: Timestamp) -> TransferId {
        let row = self.store.get(Table::Event, &ledger::event_key(event.event_id)).ok().flatten();
        let taken = row.and_then(|bytes| ledger::decode::<EventRow>(&bytes).ok()).map(|row| row.transfer);
        taken.unwrap_or_else(|| Transfer::id_for(event, received_at))
    }

    fn is_full(&self) -> bool {
        self.store.space().is_ok_and(|space| space.low)
    }

    /// With little disk left nothing new is accepted, so that what was accepted can be finished. The delivery stays
    /// with its publisher meanwhile; housekeeping says so in log, status and health.
    async fn wait_for_room(&self) -> Result<(), FrontClosed> {
        let mut stopped = self.stopped.clone();
        while self.is_full() {
            let stop = tokio::time::timeout(LOOK_AGAIN, stopped.wait_for(|stop| *stop));
            if stop.await.is_ok() {
                return Err(FrontClosed);
            }
        }
        Ok(())
    }

    async fn settle(
        &self,
        delivery: Delivery,
        decoded: Decoded,
        reply: oneshot::Receiver<Reply>,
        answer: oneshot::Sender<Taken>,
    ) {
        let taken = match reply.await {
            Ok(Reply::Taken | Reply::Stranger | Reply::NotApplicable(_) | Reply::NotYet) => Taken::Accepted,
            Ok(Reply::Duplicate(_)) => Taken::Duplicate,
            Ok(Reply::Conflict) => {
                let faults = vec!["event_id was used before for another content".to_owned()];
                let outcome = conflicting(&delivery, &decoded);
                match self.put_aside(&delivery, CONFLICTING_EVENT, faults, Some(outcome)).await {
                    Ok(()) => Taken::Quarantined { reason: CONFLICTING_EVENT.to_owned() },
                    Err(EngineStopped) => return,
                }
            }
            // Dropping the answer leaves the delivery with its publisher.
            Err(_) => return,
        };
        let _ = answer.send(taken);
    }

    async fn put_aside(
        &self,
        delivery: &Delivery,
        reason: &str,
        faults: Vec<String>,
        outcome: Option<Outcome>,
    ) -> Result<(), EngineStopped> {
        let body = match self.vault.put(&delivery.body).await {
            Ok(sealed) => PacketRef(sealed.to_string()),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a message could not be put aside");
                return Err(EngineStopped);
            }
        };
        let digest = Fingerprint::of(&delivery.body).to_string();
        let entry = Quarantined {
            id: TransferId::derived(&["quarantine", origin_word(delivery.origin), &digest]),
            at: delivery.received_at,
            origin: origin_word(delivery.origin).to_owned(),
            content_type: delivery.content_type.clone(),
            reason: reason.to_owned(),
            faults,
            bytes: delivery.body.len() as u64,
            body,
            settled: None,
            earlier: Vec::new(),
        };
        tracing::warn!(quarantine = %entry.id, reason, "a message was put aside");
        self.engine.submit(Input::Quarantine { entry, outcome: outcome.map(Box::new) }).await.map(|_| ())
    }
}

fn custody(decoded: &Decoded) -> Input {
    Input::Custody {
        event: Box::new(decoded.event.clone()),
        digest: Fingerprint::of(&decoded.canonical).to_string(),
        warnings: decoded.warnings.iter().map(|w| w.field.clone()).collect(),
    }
}

fn rejected(delivery: &Delivery, rejection: &Rejection) -> Outcome {
    let digest = Fingerprint::of(&delivery.body).to_string();
    Outcome {
        outcome_id: OutcomeId::derived(&["rejected", &digest]),
        kind: rejection.reason.outcome(),
        transfer: None,
        event_id: rejection.event_id,
        source: rejection.source.clone(),
        stay: None,
        patient_ref: None,
        establishment: rejection.establishment.clone(),
        practice: None,
        at: delivery.received_at,
        reason: Some(rejection.reason.as_str().to_owned()),
        detail: rejection.to_string(),
        response_code: None,
        completeness: None,
        attempts: 0,
    }
}

fn conflicting(delivery: &Delivery, decoded: &Decoded) -> Outcome {
    let event = &decoded.event;
    let digest = Fingerprint::of(&delivery.body).to_string();
    Outcome {
        outcome_id: OutcomeId::derived(&["conflict", &digest]),
        kind: OutcomeKind::Rejected,
        transfer: None,
        event_id: Some(event.event_id),
        source: Some(event.source.clone()),
        stay: Some(event.stay.clone()),
        patient_ref: Some(event.patient_ref.clone()),
        establishment: Some(event.establishment.clone()),
        practice: None,
        at: delivery.received_at,
        reason: Some(CONFLICTING_EVENT.to_owned()),
        detail: "the event id was used before for another content; nothing was changed".to_owned(),
        response_code: None,
        completeness: None,
        attempts: 0,
    }
}

fn origin_word(origin: Origin) -> &'static str {
    match origin {
        Origin::Amqp => "amqp",
        Origin::Spool => "spool",
        Origin::Control => "control",
    }
}

fn door_of(origin: Origin) -> Intake {
    match origin {
        Origin::Amqp => Intake::Amqp,
        Origin::Spool => Intake::Spool,
        Origin::Control => Intake::Control,
    }
}

/// The way out: outcomes that are durable and not yet published.
#[derive(Clone)]
pub struct Outcomes {
    /// Where they wait.
    pub store: Store,
    /// Whoever takes them away once they are out.
    pub engine: Handle,
}

impl Outbox for Outcomes {
    /// Only what is durable: a row can be read before its commit is on the disk.
    async fn next(&self, after: u64, most: usize) -> Vec<Pending> {
        let head = *self.engine.outbox().borrow();
        let rows = self.store.scan_from(Table::Outbox, &ledger::outbox_key(after + 1));
        rows.map_while(|row| row.inspect_err(|error| unreadable(error)).ok())
            .filter_map(|(key, value)| Some((u64::from_be_bytes(key.try_into().ok()?), value)))
            .take_while(|(number, _)| *number <= head)
            .filter_map(|(number, value)| {
                // One that cannot be read stays where it is, and holds up no other.
                let outcome = ledger::decode(&value).inspect_err(|error| unreadable(error)).ok()?;
                Some(Pending { number, outcome })
            })
            .take(most)
            .collect()
    }

    async fn published(&self, numbers: Vec<u64>) -> Result<(), FrontClosed> {
        self.engine.submit(Input::Published(numbers)).await.map(|_| ()).map_err(|_| FrontClosed)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.engine.outbox()
    }
}

fn unreadable(error: &(dyn std::error::Error + 'static)) {
    tracing::error!(error, "an outcome in the outbox cannot be read; it stays there");
}
