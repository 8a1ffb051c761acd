//! One message of a transfer that goes its own way: a request for a record, an acknowledgement, a part of a large record.
//! It has its own retries, so that none stops another (LM18), and tells the transfer it belongs to how it ended.
//!
//! It is composed when it is due, not when it is planned: its Timestamp is that of its first attempt (LM21). Only a part is
//! made with the record it belongs to, which may have changed when leave to send it comes; it waits for that, sealed.

mod part;

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
    /// Whether its delivery was told to the transfer it belongs to.
    #[serde(default)]
    pub told: bool,
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
    /// Gives leave to send the parts of an extract (M4).
    Continue {
        /// The extract.
        refers_to: MessageId,
    },
    /// Answers a part (M7).
    PartAcknowledgement {
        /// Which.
        refers_to: MessageId,
        /// The response code and its words; none for AA.
        refusal: Option<Code>,
    },
    /// A part of a record (M5, M6a, M6b).
    Part {
        /// What it is.
        part: PartKind,
        /// What the practice answered it; nothing yet, or AA, or a code (A17).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<PartAnswer>,
    },
}

/// What a part of a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartKind {
    /// A whole file.
    File,
    /// The list of the fragments of one.
    Index,
    /// A fragment of one.
    Fragment,
}

impl PartKind {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Index => "index",
            Self::Fragment => "fragment",
        }
    }
}

/// What the practice answered to a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "answer", content = "code")]
pub enum PartAnswer {
    /// AA.
    Taken,
    /// AE or AR, with the code as sent.
    Refused(String),
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
            Self::Continue { .. } => MessageKind::Continue,
            Self::PartAcknowledgement { .. } => MessageKind::PartAcknowledgement,
            Self::Part { .. } => MessageKind::Part,
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
    /// Leave to send parts.
    Continue,
    /// The acknowledgement of a part.
    PartAcknowledgement,
    /// A part of a record.
    Part,
}

impl MessageKind {
    /// For an operator.
    pub fn words(self) -> &'static str {
        match self {
            Self::Request => "our request",
            Self::Acknowledgement => "our acknowledgement",
            Self::Continue => "our leave to send the parts",
            Self::PartAcknowledgement => "our acknowledgement of a part",
            Self::Part => "a part of the record",
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
    /// Made and sealed: it may go once the practice gives leave (LM13).
    Waiting {
        /// What will be sent.
        transmission: Transmission,
        /// What the directory says of its delivery.
        contract: Contract,
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
    /// It was not wanted any more (S4).
    Stopped,
}

impl Fate {
    /// For an operator.
    pub fn words(self) -> String {
        match self {
            Self::Delivered => "was delivered".to_owned(),
            Self::Refused(why) => format!("was refused by their system: {}", why.words()),
            Self::NotComposed(fault) => format!("could not be made: {}", fault.words()),
            Self::GaveUp => "could not be delivered in time".to_owned(),
            Self::Stopped => "was not sent: it was not wanted any more".to_owned(),
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
    /// Whether it was told to be delivered before: a late error overturned that (wire reference §1.5).
    pub told_before: bool,
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
        Self { parent, saying, from, to, message_id, give_up_at, state, receipt: None, told: false }
    }

    /// The identity of its own record.
    pub(super) fn id(&self) -> TransferId {
        TransferId::derived(&["message", &self.parent.to_string(), self.message_id.as_str()])
    }

    /// Its delivery, if it came to that.
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.state {
            OutboundState::Composing { .. } | OutboundState::Waiting { .. } => None,
            OutboundState::Delivering { delivery } => Some(delivery),
            OutboundState::Ended { delivery, .. } => delivery.as_ref(),
        }
    }

    pub(super) fn waits(&self) -> Waits {
        match &self.state {
            OutboundState::Composing { due, .. } => Waits::house(Some((*due).min(self.give_up_at))),
            OutboundState::Delivering { delivery } => {
                let (house, due) = (Some(self.give_up_at), Some((self.to.clone(), delivery.deadline())));
                match self.saying.kind() {
                    MessageKind::Part => Waits { house, part: due, party: None },
                    _ => Waits { house, party: due, part: None },
                }
            }
            OutboundState::Waiting { .. } | OutboundState::Ended { .. } => Waits::default(),
        }
    }

    pub(super) fn label(&self) -> &'static str {
        match &self.state {
            OutboundState::Composing { .. } => "composing",
            OutboundState::Waiting { .. } => "waiting",
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
        Event::Leave { until } => {
            part::on_leave(step, *until, now);
            Ok(())
        }
        Event::Stop => {
            part::on_stop(step, now);
            Ok(())
        }
        Event::Acknowledged(ack) => part::on_part_answered(step, ack).ok_or(illegal),
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
        OutboundState::Waiting { .. } | OutboundState::Ended { .. } => return None,
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
            OutboundState::Composing { .. } | OutboundState::Waiting { .. } | OutboundState::Ended { .. } => {
                None
            }
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
            told_before: outbound.told,
        };
        outbound.told |= how == Fate::Delivered;
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
        self.set_out(outbound, now);
    }

    fn set_out(&mut self, outbound: Outbound, now: Timestamp) {
        let id = outbound.id();
        let case = Case::Outbound(Box::new(outbound));
        self.messages.push(Transfer::fresh(id, self.next.conversation, case, now));
    }
}

#[cfg(test)]
mod tests;
