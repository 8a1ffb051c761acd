//! What a transfer may ask for. Effects come only from [`Event::Due`](crate::transfer::Event::Due), so that an effect
//! lost in a crash is asked for again by the same passed deadline, and each brings back exactly one event.

use crate::model::{ConversationId, MessageId, OdsCode, Timestamp, TransferId};
use crate::transfer::Lane;
use crate::transfer::custody::CustodyEvent;
use crate::transfer::dispatch::{Dispatch, PacketRef};
use crate::transfer::event::{Arrival, Asked};
use crate::transfer::outbound::Outbound;
use crate::transfer::refusal::Refusal;

/// One thing to do outside.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Fetch the record, build the extract, sign and seal the packet. Brings `Prepared` or `Unprepared`.
    Prepare {
        /// The release as the custody system described it; none where only a practice asked.
        order: Option<Box<CustodyEvent>>,
        /// The practice's request, where there is one.
        asked: Option<Box<Asked>>,
        /// The practice it goes to.
        to: OdsCode,
        /// The conversation it belongs to.
        conversation: ConversationId,
        /// The MessageId it will have.
        message_id: MessageId,
    },
    /// Send the packet once. Brings `Answered`.
    Send {
        /// What to send, and to whom.
        dispatch: Box<Dispatch>,
    },
    /// Stamp the packet anew: the same HL7 octets in a new envelope. Brings `Restamped` or `NotRestamped`.
    Restamp {
        /// What to stamp.
        packet: PacketRef,
        /// The party it goes to.
        to: OdsCode,
        /// The MessageId the new transmission has.
        message_id: MessageId,
        /// How long it may live from now, in milliseconds.
        persist_duration_ms: u64,
    },
    /// Give the packet and its parts new identities: the same octets in new envelopes. Brings `Renewed` or `NotRestamped`.
    Renew {
        /// What to stamp.
        packet: PacketRef,
        /// The party it goes to.
        to: OdsCode,
        /// The MessageId the extract will have.
        message_id: MessageId,
        /// How long each may live from now, in milliseconds.
        persist_duration_ms: u64,
    },
    /// Put a received record where the clinical system takes it from, and make its acknowledgement. Brings `Filed` or `NotFiled`.
    File {
        /// What arrived.
        arrival: Box<Arrival>,
        /// The MessageId the acknowledgement will have; none where the acknowledgement follows a decision.
        message_id: Option<MessageId>,
    },
    /// Write, sign and seal a message that goes its own way. Brings `Composed` or `NotComposed`.
    Compose {
        /// The message.
        outbound: Box<Outbound>,
        /// The conversation it belongs to.
        conversation: ConversationId,
    },
    /// See whether the pieces of a file can be put together. Brings `Joined` or `NotJoined`.
    Join {
        /// The item of the extract.
        item: MessageId,
        /// The party the pieces came from.
        from: OdsCode,
    },
    /// Make the acknowledgement that refuses a record. Brings `Refused` or `NotFiled`.
    Refuse {
        /// What arrived.
        arrival: Box<Arrival>,
        /// Why it is refused.
        refusal: Refusal,
        /// The MessageId the acknowledgement will have.
        message_id: MessageId,
    },
}

impl Effect {
    /// In which lane the work counts.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Send { dispatch } if dispatch.part => Lane::Parts(dispatch.to.clone()),
            Self::Send { dispatch } => Lane::Party(dispatch.to.clone()),
            Self::Prepare { .. }
            | Self::Restamp { .. }
            | Self::Renew { .. }
            | Self::File { .. }
            | Self::Refuse { .. }
            | Self::Join { .. }
            | Self::Compose { .. } => Lane::House,
        }
    }
}

/// An effect with the transfer it is for and the moment it was asked.
#[derive(Debug, Clone)]
pub struct Order {
    /// The transfer that asked.
    pub transfer: TransferId,
    /// When it asked.
    pub at: Timestamp,
    /// What it asked for.
    pub effect: Effect,
}
