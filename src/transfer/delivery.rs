//! The way of one message to its party, attempt by attempt: queued, sending, stamped anew, queued again. Releases use
//! it for the extract, receptions for the acknowledgement.

use serde::{Deserialize, Serialize};

use crate::model::{MessageId, Timestamp, TransferId};
use crate::transfer::dispatch::{Dispatch, Progress, Transmission};
use crate::transfer::effect::Effect;
use crate::transfer::event::Answer;
use crate::transfer::journal::What;
use crate::transfer::reason::{Delay, PrepareFault};
use crate::transfer::retry;
use crate::transfer::verdict::{Accepted, Refused, TryAgain};

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What is sent.
    pub dispatch: Dispatch,
    /// Where it stands.
    pub phase: Phase,
}

/// Where a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "phase")]
pub enum Phase {
    /// The next attempt is due then.
    Queued {
        /// When.
        due: Timestamp,
        /// Why not before; nothing for the first attempt.
        why: Option<Delay>,
    },
    /// An attempt is under way.
    Sending {
        /// Since when.
        since: Timestamp,
    },
    /// The packet is being stamped anew.
    Restamping {
        /// Since when.
        since: Timestamp,
        /// The MessageId it will have.
        message_id: MessageId,
    },
}

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The transport took it.
    Delivered(Accepted),
    /// It stays on its way.
    OnItsWay,
    /// The transport refused it for good.
    Refused(Refused),
}

impl Delivery {
    /// A message whose first attempt is due at once.
    pub fn begin(dispatch: Dispatch, now: Timestamp) -> Self {
        Self { dispatch, phase: Phase::Queued { due: now, why: None } }
    }

    /// The moment at which it wants to be looked at.
    pub fn deadline(&self) -> Timestamp {
        match &self.phase {
            Phase::Queued { due, .. } => *due,
            Phase::Sending { since } | Phase::Restamping { since, .. } => *since,
        }
    }

    /// Nobody is working on it and its moment has come.
    pub fn on_due(&mut self, now: Timestamp) -> (Effect, Vec<What>) {
        let mut entries = Vec::new();
        match &self.phase {
            Phase::Restamping { message_id, .. } => {
                let message_id = message_id.clone();
                return (self.restamp(message_id, now), entries);
            }
            Phase::Sending { .. } => entries.push(What::InDoubt { number: self.dispatch.attempts }),
            Phase::Queued { .. } => {}
        }
        if !self.dispatch.is_alive(now) {
            return (self.restamp(self.dispatch.message_id.clone(), now), entries);
        }
        self.dispatch.begin_attempt();
        self.phase = Phase::Sending { since: now };
        entries.push(What::Attempt { number: self.dispatch.attempts });
        (Effect::Send { dispatch: Box::new(self.dispatch.clone()) }, entries)
    }

    /// Asks for a new envelope round the same HL7 octets.
    pub fn restamp(&mut self, message_id: MessageId, now: Timestamp) -> Effect {
        self.phase = Phase::Restamping { since: now, message_id: message_id.clone() };
        Effect::Restamp {
            packet: self.dispatch.packet.clone(),
            to: self.dispatch.to.clone(),
            message_id,
            persist_duration_ms: self.dispatch.contract.persist_duration_ms,
        }
    }

    /// The new envelope is there: the next attempt is due at once.
    pub fn on_restamped(&mut self, fresh: Transmission, now: Timestamp) -> What {
        let fresh_identity = fresh.message_id != self.dispatch.message_id;
        let entry = What::Restamped { expires_at: fresh.expires_at, fresh_identity };
        self.dispatch.restamped(fresh);
        self.phase = Phase::Queued { due: now, why: None };
        entry
    }

    /// The new envelope could not be made; tried again on the ladder.
    pub fn on_not_restamped(&mut self, fault: PrepareFault, id: TransferId, now: Timestamp) -> What {
        let until = now.plus(retry::unprepared(self.dispatch.attempts.max(1), id));
        let why = Delay::Preparation(fault);
        self.phase = Phase::Queued { due: until, why: Some(why) };
        What::Waiting { until, why }
    }

    /// An attempt was answered.
    pub fn on_answer(&mut self, answer: &Answer, id: TransferId, now: Timestamp) -> (Outcome, Vec<What>) {
        let mut entries = vec![What::Answer {
            number: self.dispatch.attempts,
            verdict: answer.verdict,
            took_ms: answer.took_ms,
        }];
        match self.dispatch.take(&answer.verdict, answer.retry_after, id, now) {
            Progress::Delivered(accepted) => (Outcome::Delivered(accepted), entries),
            Progress::Refused(why) => {
                self.phase = Phase::Queued { due: now, why: None };
                (Outcome::Refused(why), entries)
            }
            Progress::Again(until, why) => {
                entries.push(self.wait(until, Delay::Delivery(why)));
                (Outcome::OnItsWay, entries)
            }
        }
    }

    /// Queues the next attempt.
    pub fn wait(&mut self, until: Timestamp, why: Delay) -> What {
        self.phase = Phase::Queued { due: until, why: Some(why) };
        What::Waiting { until, why }
    }

    /// Whether `answer` belongs to the attempt that is under way.
    pub fn expects(&self, answer: &Answer) -> bool {
        matches!(self.phase, Phase::Sending { .. }) && answer.message_id == self.dispatch.message_id
    }

    /// The reason of the present wait, if it waits for one.
    pub fn delay(&self) -> Option<Delay> {
        match &self.phase {
            Phase::Queued { why, .. } => *why,
            Phase::Sending { .. } | Phase::Restamping { .. } => None,
        }
    }

    /// Queued again because an asynchronous error overturned an acceptance (wire reference §1.5).
    pub fn overturned(&mut self, why: TryAgain, id: TransferId, now: Timestamp) -> What {
        self.dispatch.delivered_at = None;
        let until = self.dispatch.next_attempt(None, id, now);
        self.wait(until, Delay::Delivery(why))
    }

    /// The same message, due at once because an operator asked; none while an attempt is under way.
    pub fn queued_now(&self, now: Timestamp) -> Option<Self> {
        match self.phase {
            Phase::Queued { .. } => {
                let phase = Phase::Queued { due: now, why: Some(Delay::Operator) };
                Some(Self { dispatch: self.dispatch.clone(), phase })
            }
            Phase::Sending { .. } | Phase::Restamping { .. } => None,
        }
    }
}
