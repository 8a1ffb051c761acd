//! One message of a transfer that goes its own way: a request for a record, an acknowledgement. It has its own retries, so
//! that none stops another (LM18), and tells the transfer it belongs to how it ended.
//!
//! It is composed when it is due, not when it is planned: its Timestamp is that of its first attempt (LM21).

use serde::{Deserialize, Serialize};

use crate::model::{MessageId, NhsNumber, OdsCode, Timestamp, TransferId};
use crate::transfer::delivery::{self, Delivery};
use crate::transfer::dispatch::{PacketRef, Transmission};
use crate::transfer::effect::Effect;
use crate::transfer::event::{Answer, Event};
use crate::transfer::journal::What;
use crate::transfer::reason::{Delay, PrepareFault, Remedy};
use crate::transfer::retry::{self, Contract};
use crate::transfer::verdict::{Refused, Verdict};
use crate::transfer::{Case, Illegal, Step, Transfer, Waits};

/// A message and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbound {
    /// The transfer it belongs to.
    pub parent: TransferId,
    /// What it says.
    pub saying: Saying,
    /// The establishment or practice of ours that says it.
    pub from: OdsCode,
    /// The party it goes to.
    pub to: OdsCode,
    /// Its identity.
    pub message_id: MessageId,
    /// From then on it is not tried any more.
    pub give_up_at: Timestamp,
    /// Where it stands.
    pub state: OutboundState,
    /// The signed receipt of the transport, kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<PacketRef>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "saying")]
pub enum Saying {
    /// Asks the previous practice for a record (M1).
    Request {
        /// The request's own id, which the extract repeats.
        request_id: MessageId,
        /// Whose record.
        nhs_number: NhsNumber,
    },
    /// Answers a message of the other side (M2, M8).
    Acknowledgement {
        /// Which message.
        refers_to: MessageId,
        /// The response code and its words; none for AA.
        refusal: Option<Code>,
    },
}

/// A response code of ours, with the words that suit the other side's screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Two digits (gp2gp reference §5).
    pub code: String,
    /// What happened.
    pub words: String,
}

impl Saying {
    /// What kind of message it is.
    pub fn kind(&self) -> MessageKind {
        match self {
            Self::Request { .. } => MessageKind::Request,
            Self::Acknowledgement { .. } => MessageKind::Acknowledgement,
        }
    }
}

/// The kinds of message that go their own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageKind {
    /// A request for a record.
    Request,
    /// An acknowledgement.
    Acknowledgement,
}

impl MessageKind {
    /// For an operator.
    pub fn words(self) -> &'static str {
        match self {
            Self::Request => "our request",
            Self::Acknowledgement => "our acknowledgement",
        }
    }
}

/// Where a message stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum OutboundState {
    /// To be written, signed and sealed.
    Composing {
        /// When the next try is due.
        due: Timestamp,
        /// Tries that failed.
        failures: u32,
        /// Why the last one failed.
        fault: Option<PrepareFault>,
    },
    /// On its way.
    Delivering {
        /// Where it stands.
        #[serde(flatten)]
        delivery: Delivery,
    },
    /// It ended; an asynchronous error may still overturn a delivery (wire reference §1.5).
    Ended {
        /// How.
        how: Fate,
        /// Its delivery, if it came to that.
        delivery: Option<Delivery>,
        /// When.
        at: Timestamp,
    },
}

/// How a message ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fate", content = "because")]
pub enum Fate {
    /// The transport took it.
    Delivered,
    /// The transport refused it for good.
    Refused(Refused),
    /// It could not be written, and only a person can mend that.
    NotComposed(PrepareFault),
    /// Its time ran out.
    GaveUp,
}

impl Fate {
    /// For an operator.
    pub fn words(self) -> String {
        match self {
            Self::Delivered => "was delivered".to_owned(),
            Self::Refused(why) => format!("was refused by their system: {}", why.words()),
            Self::NotComposed(fault) => format!("could not be made: {}", fault.words()),
            Self::GaveUp => "could not be delivered in time".to_owned(),
        }
    }
}

/// What a transfer hears of one of its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which message.
    pub message_id: MessageId,
    /// Of what kind.
    pub kind: MessageKind,
    /// How it ended.
    pub fate: Fate,
    /// Attempts it took.
    pub attempts: u32,
}

impl Outbound {
    /// A message to be composed at once.
    pub(super) fn new(
        parent: TransferId,
        saying: Saying,
        (from, to): (OdsCode, OdsCode),
        message_id: MessageId,
        give_up_at: Timestamp,
        now: Timestamp,
    ) -> Self {
        let state = OutboundState::Composing { due: now, failures: 0, fault: None };
        Self { parent, saying, from, to, message_id, give_up_at, state, receipt: None }
    }

    /// The identity of its own record.
    pub(super) fn id(&self) -> TransferId {
        TransferId::derived(&["message", &self.parent.to_string(), self.message_id.as_str()])
    }

    /// Its delivery, if it came to that.
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.state {
            OutboundState::Composing { .. } => None,
            OutboundState::Delivering { delivery } => Some(delivery),
            OutboundState::Ended { delivery, .. } => delivery.as_ref(),
        }
    }

    pub(super) fn waits(&self) -> Waits {
        match &self.state {
            OutboundState::Composing { due, .. } => Waits::house(Some((*due).min(self.give_up_at))),
            OutboundState::Delivering { delivery } => {
                Waits { house: Some(self.give_up_at), party: Some((self.to.clone(), delivery.deadline())) }
            }
            OutboundState::Ended { .. } => Waits::default(),
        }
    }

    pub(super) fn label(&self) -> &'static str {
        match &self.state {
            OutboundState::Composing { .. } => "composing",
            OutboundState::Delivering { .. } => "sending",
            OutboundState::Ended { how: Fate::Delivered, .. } => "sent",
            OutboundState::Ended { .. } => "not-sent",
        }
    }
}

/// Takes an event.
pub(super) fn step(step: &mut Step, event: &Event, now: Timestamp) -> Result<(), Illegal> {
    let illegal = step.next.illegal(event);
    match event {
        Event::Due => on_due(step, now).ok_or(illegal),
        Event::Composed(made) => on_composed(step, made, now).ok_or(illegal),
        Event::NotComposed(fault) => on_not_composed(step, *fault, now).ok_or(illegal),
        Event::Restamped(fresh) => {
            let entry = step.outbound_delivery().ok_or(illegal)?.on_restamped(fresh.clone(), now);
            step.entries.push(entry);
            Ok(())
        }
        Event::NotRestamped(fault) => {
            let id = step.next.id;
            let entry = step.outbound_delivery().ok_or(illegal)?.on_not_restamped(*fault, id, now);
            step.entries.push(entry);
            Ok(())
        }
        Event::Answered(answer) => on_answered(step, answer, now).ok_or(illegal),
        Event::LateSignal(signal) => {
            step.entries.push(What::LateSignal { verdict: signal.verdict });
            if let (Some(receipt), Some(outbound)) = (&signal.receipt, step.outbound()) {
                outbound.receipt = Some(receipt.clone());
            }
            on_late_signal(step, &signal.verdict, now);
            Ok(())
        }
        _ => Err(illegal),
    }
}

fn on_due(step: &mut Step, now: Timestamp) -> Option<()> {
    let outbound = step.outbound()?;
    if now >= outbound.give_up_at && !matches!(outbound.state, OutboundState::Ended { .. }) {
        step.end_outbound(Fate::GaveUp, now);
        return Some(());
    }
    let whole = outbound.clone();
    match &mut outbound.state {
        OutboundState::Composing { .. } => {
            let conversation = step.next.conversation;
            step.effect = Some(Effect::Compose { outbound: Box::new(whole), conversation });
        }
        OutboundState::Delivering { delivery } => {
            let (effect, entries) = delivery.on_due(now);
            step.effect = Some(effect);
            step.entries.extend(entries);
        }
        OutboundState::Ended { .. } => return None,
    }
    Some(())
}

fn on_composed(step: &mut Step, made: &(Transmission, Contract), now: Timestamp) -> Option<()> {
    let outbound = step.outbound()?;
    if !matches!(outbound.state, OutboundState::Composing { .. }) {
        return None;
    }
    let (transmission, contract) = made.clone();
    let dispatch = transmission.dispatch(outbound.to.clone(), contract, now);
    outbound.state = OutboundState::Delivering { delivery: Delivery::begin(dispatch, now) };
    Some(())
}

fn on_not_composed(step: &mut Step, why: PrepareFault, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let OutboundState::Composing { due, failures, fault } = &mut step.outbound()?.state else { return None };
    *failures += 1;
    *fault = Some(why);
    *due = now.plus(retry::unprepared(*failures, id));
    let until = *due;
    match why.remedy() {
        Remedy::Time => step.entries.push(What::Waiting { until, why: Delay::Preparation(why) }),
        Remedy::Person => step.end_outbound(Fate::NotComposed(why), now),
    }
    Some(())
}

fn on_answered(step: &mut Step, answer: &Answer, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let outbound = step.outbound()?;
    if answer.receipt.is_some() {
        outbound.receipt.clone_from(&answer.receipt);
    }
    let OutboundState::Delivering { delivery } = &mut outbound.state else { return None };
    if !delivery.expects(answer) {
        return None;
    }
    let (outcome, entries) = delivery.on_answer(answer, id, now);
    step.entries.extend(entries);
    match outcome {
        delivery::Outcome::OnItsWay => {}
        delivery::Outcome::Delivered(_) => step.end_outbound(Fate::Delivered, now),
        delivery::Outcome::Refused(why) => step.end_outbound(Fate::Refused(why), now),
    }
    Some(())
}

/// A late error overturns a delivery (wire reference §1.5); the message goes again, or has failed after all.
fn on_late_signal(step: &mut Step, verdict: &Verdict, now: Timestamp) {
    let id = step.next.id;
    let Some(outbound) = step.outbound() else { return };
    let OutboundState::Ended { how: Fate::Delivered, delivery: Some(delivery), .. } = &outbound.state else {
        return;
    };
    let mut delivery = delivery.clone();
    match verdict {
        Verdict::Accepted(_) => {}
        Verdict::TryAgain(why) => {
            let entry = delivery.overturned(*why, id, now);
            outbound.state = OutboundState::Delivering { delivery };
            step.entries.push(entry);
        }
        Verdict::Refused(why) => step.end_outbound(Fate::Refused(*why), now),
    }
}

impl Step {
    fn outbound(&mut self) -> Option<&mut Outbound> {
        match &mut self.next.case {
            Case::Outbound(outbound) => Some(outbound),
            Case::Release(_) | Case::Received(_) | Case::Reception(_) | Case::Noted(_) => None,
        }
    }

    fn outbound_delivery(&mut self) -> Option<&mut Delivery> {
        match &mut self.outbound()?.state {
            OutboundState::Delivering { delivery } => Some(delivery),
            OutboundState::Composing { .. } | OutboundState::Ended { .. } => None,
        }
    }

    fn end_outbound(&mut self, how: Fate, now: Timestamp) {
        let Some(outbound) = self.outbound() else { return };
        let delivery = outbound.delivery().cloned();
        let attempts = delivery.as_ref().map_or(0, |d| d.dispatch.attempts);
        outbound.state = OutboundState::Ended { how, delivery, at: now };
        let report = Report {
            message_id: outbound.message_id.clone(),
            kind: outbound.saying.kind(),
            fate: how,
            attempts,
        };
        self.report = Some((outbound.parent, report));
    }

    /// Sends a message on its own way, beside the transfer.
    pub(super) fn send(
        &mut self,
        saying: Saying,
        ends: (OdsCode, OdsCode),
        message_id: MessageId,
        give_up_at: Timestamp,
        now: Timestamp,
    ) {
        let parent = self.next.id;
        let outbound = Outbound::new(parent, saying, ends, message_id, give_up_at, now);
        let case = Case::Outbound(Box::new(outbound.clone()));
        self.messages.push(Transfer::fresh(outbound.id(), self.next.conversation, case, now));
    }
}

#[cfg(test)]
mod tests;
