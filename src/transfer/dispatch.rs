//! One message on its way to one party: what is sent, how often it was tried, and when the next copy goes.
//! Extracts and acknowledgements share it.
//!
//! What an *application* acknowledgement means is not decided here: see `release`.

use serde::{Deserialize, Serialize};

use crate::model::{MessageId, OdsCode, Timestamp, TransferId};
use crate::transfer::retry::{self, Contract};
use crate::transfer::verdict::{Accepted, Refused, TryAgain, Verdict};

/// Where a sealed packet lies. Opaque here: the store wrote it and reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketRef(pub String);

/// The message being sent and the count of its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// The party it goes to.
    pub to: OdsCode,
    /// The octets of the present transmission.
    pub packet: PacketRef,
    /// Identity of the present transmission; transport retries keep it (S6).
    pub message_id: MessageId,
    /// The ebXML Timestamp of the present transmission.
    pub stamped_at: Timestamp,
    /// Its TimeToLive: afterwards it must be stamped anew before it goes out.
    pub expires_at: Timestamp,
    /// Size of the packet in bytes.
    pub bytes: u64,
    /// What the directory said when it was assembled.
    pub contract: Contract,
    /// When the first attempt began.
    pub first_attempt_at: Timestamp,
    /// Attempts of the message, over all its transmissions.
    pub attempts: u32,
    /// Attempts made on the long ladder, after the first window closed.
    pub late_attempts: u32,
    /// When a transport acknowledgement first came.
    pub delivered_at: Option<Timestamp>,
    /// Copies that went out after delivery.
    pub repeats: u32,
    /// Earlier transmissions of the same message: a receipt may be for any of them.
    #[serde(default)]
    pub earlier: Vec<PacketRef>,
    /// Whether it is a part of a large record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub part: bool,
}

/// Earlier transmissions that are kept; the first always is, since its answer is the one a receiver repeats.
const MOST_EARLIER: usize = 4;

/// What follows from the answer to one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The transport took it.
    Delivered(Accepted),
    /// It goes again at the given moment.
    Again(Timestamp, TryAgain),
    /// The transport will not take it, however often it is sent.
    Refused(Refused),
}

impl Dispatch {
    /// Counts an attempt that is about to begin. Recorded before its first byte, so that a crash leaves an attempt in
    /// doubt rather than one forgotten.
    pub fn begin_attempt(&mut self) {
        self.attempts += 1;
        if self.delivered_at.is_some() {
            self.repeats += 1;
        }
    }

    /// The same record is sent again after a refusal: its windows and ladder begin anew.
    pub fn begin_again(&mut self, now: Timestamp) {
        self.delivered_at = None;
        self.first_attempt_at = now;
        self.late_attempts = 0;
        self.repeats = 0;
    }

    /// Whether the present transmission may still go out.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// Takes the answer to an attempt.
    pub fn take(
        &mut self,
        verdict: &Verdict,
        retry_after: Option<Timestamp>,
        id: TransferId,
        now: Timestamp,
    ) -> Progress {
        match verdict {
            Verdict::Accepted(accepted) => {
                self.delivered_at.get_or_insert(now);
                Progress::Delivered(*accepted)
            }
            Verdict::TryAgain(why) => Progress::Again(self.next_attempt(retry_after, id, now), *why),
            // A transmission that died of age is stamped anew, not given up (gp2gp reference §3.5).
            Verdict::Refused(Refused::Expired) => {
                self.expires_at = now;
                Progress::Again(self.next_attempt(None, id, now), TryAgain::UnknownOutcome)
            }
            Verdict::Refused(why) => Progress::Refused(*why),
        }
    }

    /// When the attempt after this one is due.
    pub fn next_attempt(
        &mut self,
        retry_after: Option<Timestamp>,
        id: TransferId,
        now: Timestamp,
    ) -> Timestamp {
        let wait = if self.delivered_at.is_some() {
            retry::unanswered(self.repeats, id)
        } else {
            let window = self.contract.persist_duration().min(retry::UNDELIVERED_AFTER);
            let ladder = (now.since(self.first_attempt_at) >= window).then_some(self.late_attempts);
            self.late_attempts += u32::from(ladder.is_some());
            retry::undelivered(&self.contract, self.attempts, ladder, id)
        };
        let ours = now.plus(wait);
        // A party may ask for patience, but not for more than the life of the message.
        retry_after.map_or(ours, |asked| ours.max(asked.min(self.expires_at)))
    }

    /// Takes the place of the present transmission: same HL7 octets, new timestamp (wire reference §5.2(5)).
    pub fn restamped(&mut self, fresh: Transmission) {
        let old = std::mem::replace(&mut self.packet, fresh.packet);
        if self.message_id == fresh.message_id {
            // The newest few: the receiver has answered the first one it saw, which is among the oldest kept.
            self.earlier.push(old);
            if self.earlier.len() > MOST_EARLIER {
                self.earlier.remove(1);
            }
        } else {
            self.earlier.clear();
        }
        self.message_id = fresh.message_id;
        self.stamped_at = fresh.stamped_at;
        self.expires_at = fresh.expires_at;
        self.bytes = fresh.bytes;
    }
}

/// A packet that lies sealed and ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transmission {
    /// Where it lies.
    pub packet: PacketRef,
    /// Its MessageId.
    pub message_id: MessageId,
    /// Its ebXML Timestamp.
    pub stamped_at: Timestamp,
    /// Its TimeToLive.
    pub expires_at: Timestamp,
    /// Its size in bytes.
    pub bytes: u64,
}

impl Transmission {
    /// The start of its way to `to`.
    pub fn dispatch(self, to: OdsCode, contract: Contract, now: Timestamp) -> Dispatch {
        Dispatch {
            to,
            packet: self.packet,
            message_id: self.message_id,
            stamped_at: self.stamped_at,
            expires_at: self.expires_at,
            bytes: self.bytes,
            contract,
            first_attempt_at: now,
            attempts: 0,
            late_attempts: 0,
            delivered_at: None,
            repeats: 0,
            earlier: Vec::new(),
            part: false,
        }
    }
}
