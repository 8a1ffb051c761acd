//! What the engine is given, and what it answers.

use super::Listing;
use super::ledger::{Quarantined, Settled};
use crate::model::{ConversationId, MessageId, OdsCode, PartyKey, Timestamp, TransferId};
use crate::transfer::custody::CustodyEvent;
use crate::transfer::dispatch::PacketRef;
use crate::transfer::event::{Act, Event};
use crate::transfer::outcome::Outcome;

/// Something for the engine.
#[derive(Debug)]
pub enum Input {
    /// A custody event, decoded and valid.
    Custody {
        /// What it says.
        event: Box<CustodyEvent>,
        /// SHA-256 of its content, in hexadecimal.
        digest: String,
        /// Optional fields that were dropped, named without values.
        warnings: Vec<String>,
    },
    /// Something that cannot be taken; its octets are sealed already.
    Quarantine {
        /// What and why.
        entry: Quarantined,
        /// What the custody system is told.
        outcome: Option<Box<Outcome>>,
    },
    /// A message from a party, verified and sealed, with the answer it gets.
    Message {
        /// The party, for the ledger.
        from: PartyKey,
        /// The message, for the ledger.
        message_id: MessageId,
        /// Digest of the message less what retransmission may change, in hexadecimal.
        digest: String,
        /// The octets to answer with, now and whenever the message comes again, sealed.
        answer: PacketRef,
        /// Until when the row is kept.
        keep_until: Timestamp,
        /// What it tells us.
        event: Box<Event>,
        /// How to find its transfer.
        route: Route,
        /// What it says of parts.
        listing: Box<Listing>,
        /// What to put aside if it belongs to nobody.
        stranger: Quarantined,
    },
    /// An ebXML signal that came as a message of its own.
    Signal {
        /// The message it answers.
        message_id: MessageId,
        /// What it tells us.
        event: Box<Event>,
    },
    /// What came of an effect.
    Result {
        /// The transfer that asked for it.
        transfer: TransferId,
        /// What came.
        event: Box<Event>,
    },
    /// An operator acts on a transfer.
    Act {
        /// Which.
        transfer: TransferId,
        /// What.
        act: Act,
    },
    /// An operator settles something in quarantine, after it was taken in again or for good.
    Settle {
        /// Which.
        id: TransferId,
        /// What, why, who and when.
        settled: Settled,
    },
    /// Outbox entries that the broker confirmed.
    Published(Vec<u64>),
}

/// How to find the transfer of a message.
#[derive(Debug, Clone)]
pub enum Route {
    /// An extract: it opens a transfer of its own.
    Opens {
        /// Who sent it.
        from: OdsCode,
        /// In which conversation.
        conversation: ConversationId,
        /// Whether records that nobody asked for are taken.
        push: bool,
    },
    /// A part of a record: it belongs to the extract that lists it.
    Part {
        /// Who sent it.
        from: OdsCode,
        /// In which conversation.
        conversation: ConversationId,
    },
    /// A request for a record: it joins a release of that patient, or opens a transfer of its own.
    Asks,
    /// An answer to a message of ours.
    Answers {
        /// In which conversation.
        conversation: ConversationId,
        /// Which message.
        refers_to: Option<MessageId>,
        /// The party it came from: only the one we sent to may answer.
        from: OdsCode,
    },
}

/// What the engine says to an input, once it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It is durable.
    Taken,
    /// It was known already, with the same content. A message gets the answer it got the first time.
    Duplicate(Option<PacketRef>),
    /// The same identity came with other content; nothing was taken but a note of it.
    Conflict,
    /// It cannot be taken before another message: it is to come again.
    NotYet,
    /// It belongs to nobody and was put aside.
    Stranger,
    /// It does not apply, and why.
    NotApplicable(String),
}
