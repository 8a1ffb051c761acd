//! What can happen to a transfer. Every outside occurrence becomes one of these before it is stepped.

use serde::{Deserialize, Serialize};

use crate::model::{ConversationId, EventId, MessageId, NhsNumber, OdsCode, Timestamp};
use crate::transfer::chain::Chain;
use crate::transfer::custody::{CustodyEvent, Filing};
use crate::transfer::dispatch::{PacketRef, Transmission};
use crate::transfer::gathering::{Large, Part};
use crate::transfer::outbound::{MessageKind, PartKind, Report};
use crate::transfer::outcome::Completeness;
use crate::transfer::reason::{FilingFault, PrepareFault};
use crate::transfer::refusal::{PartRefusal, Refusal};
use crate::transfer::retry::Contract;
use crate::transfer::verdict::Verdict;

/// One occurrence.
#[derive(Debug, Clone)]
pub enum Event {
    /// The custody system told us something.
    Custody(Box<CustodyEvent>),
    /// The transfer's deadline has passed and nobody is working on it.
    Due,
    /// A practice asks for a record.
    Asked(Box<Asked>),
    /// The packet lies sealed and ready.
    Prepared(Box<Prepared>),
    /// The packet could not be prepared.
    Unprepared {
        /// What it was to be prepared for.
        basis: Basis,
        /// Why.
        fault: PrepareFault,
    },
    /// The packet lies ready with a new timestamp.
    Restamped(Transmission),
    /// The packet lies ready under a new identity, and its parts as well.
    Renewed(Box<Renewed>),
    /// The packet could not be stamped anew.
    NotRestamped(PrepareFault),
    /// The answer to one of our attempts.
    Answered(Box<Answer>),
    /// The party answered an earlier message later, by a message of its own.
    LateSignal(LateSignal),
    /// The practice says what became of the extract.
    Acknowledged(Acknowledgement),
    /// An extract arrived and was verified and sealed.
    Arrived(Box<Arrival>),
    /// The extract was filed, and its acknowledgement lies ready if policy wants one.
    Filed(Box<Filed>),
    /// The acknowledgement that refuses the extract lies ready, with what the directory says of its delivery.
    Refused(Box<(Transmission, Contract)>),
    /// The extract could not be filed, or its refusal not be made.
    NotFiled(FilingFault),
    /// An operator acted.
    Act(Act),
    /// A message that goes its own way lies ready, with what the directory says of its delivery.
    Composed(Box<(Transmission, Contract)>),
    /// It could not be written.
    NotComposed(PrepareFault),
    /// A message of this transfer ended.
    Reported(Report),
    /// There is news of the person whose record a practice asks for.
    Woken(Box<Woken>),
    /// A part of a large record arrived.
    Part(Box<Part>),
    /// The pieces of a file could be put together, or not.
    Joined {
        /// The item of the extract.
        item: MessageId,
        /// What is wrong with it; nothing where it is right.
        wrong: Option<PartRefusal>,
    },
    /// It could not be tried.
    NotJoined(FilingFault),
    /// The practice gives leave to send the parts of our extract.
    Continued(Continued),
    /// To a part of ours that waits: it may go, and until when it is tried.
    Leave {
        /// Until when.
        until: Timestamp,
    },
    /// To a message of ours: it is not wanted any more.
    Stop,
}

/// Leave to send the parts of an extract of ours (M4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continued {
    /// Its own MessageId.
    pub message_id: MessageId,
    /// What it refers to: the extract's MessageId or its own id (C17).
    pub refers_to: Option<MessageId>,
    /// The party that sent it.
    pub from: OdsCode,
}

/// A practice's request for a record (M1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The practice that asks.
    pub from: OdsCode,
    /// The establishment or practice of ours that is asked.
    pub to: OdsCode,
    /// The conversation it opened.
    pub conversation: ConversationId,
    /// Its MessageId: what our acknowledgement refers to.
    pub message_id: MessageId,
    /// The request's own id, which the extract repeats; some send none.
    pub request_id: Option<MessageId>,
    /// Whose record is asked for; none where the request could not be read.
    pub nhs_number: Option<NhsNumber>,
    /// When it came.
    pub received_at: Timestamp,
    /// Whether it was answered.
    #[serde(default)]
    pub answered: bool,
    /// The sealed octets.
    pub packet: PacketRef,
    /// What custody last told of the person, where an earlier release is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Box<CustodyEvent>>,
    /// What our own reception of the person means for it (§2.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chain>,
    /// Whether we answered no requests when it came (TD51.2).
    #[serde(default)]
    pub switched_off: bool,
}

/// News of a person whose record a practice asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Woken {
    /// What our own reception of the person means by now.
    pub chain: Option<Chain>,
    /// What custody last told of the person.
    pub known: Option<Box<CustodyEvent>>,
}

/// What a packet is prepared for: with another event or another request it is stale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basis {
    /// The custody event.
    pub event: Option<EventId>,
    /// The practice's request.
    pub request: Option<MessageId>,
}

impl Basis {
    /// Of a custody event alone.
    pub fn of_event(event: EventId) -> Self {
        Self { event: Some(event), request: None }
    }
}

/// A release's packet, ready to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What it was prepared for: a later event or request may have changed record or destination meanwhile.
    pub basis: Basis,
    /// The party it goes to.
    pub to: OdsCode,
    /// The sealed packet.
    pub transmission: Transmission,
    /// What the directory said.
    pub contract: Contract,
    /// What became of the entries of the record, in numbers.
    pub completeness: Completeness,
    /// The account of each of them, sealed.
    pub account: Option<PacketRef>,
    /// How many documents travel with it, placeholders included.
    pub attachments: u32,
    /// How many of them are placeholders for documents that could not be had.
    pub placeholders: u32,
    /// Whether the packet is signed.
    pub signed: bool,
    /// What travels in messages of its own; empty where one message does.
    pub parts: Vec<PreparedPart>,
    /// How long the parts are awaited from the Timestamp of the extract, in milliseconds (§4.4).
    pub wait_ms: u64,
}

/// A large record that goes out again: the same octets under new identities (TD66).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The extract.
    pub transmission: Transmission,
    /// Its parts.
    pub parts: Vec<PreparedPart>,
}

/// A message of its own, ready to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedPart {
    /// What it is.
    pub kind: PartKind,
    /// The sealed packet.
    pub transmission: Transmission,
}

/// What came back for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The transmission that was sent.
    pub message_id: MessageId,
    /// What the answer means.
    pub verdict: Verdict,
    /// When the party asked us to come back, if it did.
    pub retry_after: Option<Timestamp>,
    /// How long the exchange took, in milliseconds.
    pub took_ms: u64,
    /// The signed receipt, kept.
    pub receipt: Option<PacketRef>,
}

/// An ebXML Acknowledgment or MessageError that came as a message of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateSignal {
    /// The message it answers.
    pub message_id: MessageId,
    /// What it means.
    pub verdict: Verdict,
    /// The signed receipt, kept.
    pub receipt: Option<PacketRef>,
}

/// An application acknowledgement (M8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// Its own MessageId.
    pub message_id: MessageId,
    /// The message it answers: a MessageId or wrapper id of ours.
    pub refers_to: Option<MessageId>,
    /// Of what kind that message is, where it is one that went its own way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<MessageKind>,
    /// AA, or AE and AR, which are read alike.
    pub positive: bool,
    /// The response code as sent; none with AA, and sometimes none at all.
    pub code: Option<String>,
    /// The party that sent it.
    pub from: OdsCode,
    /// The sealed octets.
    pub packet: Option<PacketRef>,
}

/// An extract that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The party that sent it.
    pub from: OdsCode,
    /// The establishment or practice of ours it was sent to.
    pub to: OdsCode,
    /// The conversation it opened or belongs to.
    pub conversation: ConversationId,
    /// Its MessageId: what our acknowledgement refers to.
    pub message_id: MessageId,
    /// Whose record it is; none where it could not be read.
    pub nhs_number: Option<NhsNumber>,
    /// The EhrRequest it answers, if it names one (§1.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// Whether the system that sends it is the one the directory names for its sender.
    #[serde(default = "yes")]
    pub system_known: bool,
    /// Size of the packet in bytes.
    pub bytes: u64,
    /// How many documents came with it.
    pub attachments: u32,
    /// Whether its signature was verified.
    pub signed: bool,
    /// The sealed octets.
    pub packet: PacketRef,
    /// When it came.
    pub received_at: Timestamp,
    /// Why it is not to be filed; none where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// What it says of parts that come by themselves; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large: Option<Large>,
}

fn yes() -> bool {
    true
}

/// A received record lies where the clinical system takes it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filed {
    /// What became of the statements of the record, in numbers; none where it could not be read.
    pub completeness: Option<Completeness>,
    /// The account of each of them, sealed.
    pub account: Option<PacketRef>,
    /// The acknowledgement, sealed and ready, and what the directory says of its delivery. None when policy gives none.
    pub acknowledgement: Option<(Transmission, Contract)>,
    /// What policy decides at once about a record that was asked for; none where the clinical system decides.
    pub decision: Option<Filing>,
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// What.
    pub verb: Verb,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who: the user id at the other end of the socket.
    pub uid: u32,
}

/// What an operator can do to a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Try again now; after a refusal, send the same record again.
    Retry,
    /// Stop.
    Cancel,
    /// Say in the clinical system's place what became of a received record.
    Decide(Filing),
    /// Take the sealed packet out: a record is disclosed, nothing changes.
    DisclosePacket,
    /// Take the sealed receipt out; nothing changes.
    DiscloseReceipt,
}

impl Verb {
    /// The act in words, for timelines and reports.
    pub fn words(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Decide(_) => "decide",
            Self::DisclosePacket => "packet exported",
            Self::DiscloseReceipt => "receipt exported",
        }
    }

    /// Whether it only looks: such an act is recorded in any state and changes none.
    pub fn only_looks(self) -> bool {
        match self {
            Self::DisclosePacket | Self::DiscloseReceipt => true,
            Self::Retry | Self::Cancel | Self::Decide(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_stored_under_the_words_they_always_had() {
        let stored = [
            (Verb::Retry, r#""retry""#),
            (Verb::Cancel, r#""cancel""#),
            (Verb::DisclosePacket, r#""disclose-packet""#),
            (Verb::DiscloseReceipt, r#""disclose-receipt""#),
            (Verb::Decide(Filing::FiledAsAttachment), r#"{"decide":"filed_as_attachment"}"#),
        ];
        for (verb, json) in stored {
            assert_eq!(serde_json::to_string(&verb).unwrap(), json, "timelines are kept for ever");
            assert_eq!(serde_json::from_str::<Verb>(json).unwrap(), verb);
        }
    }
}
