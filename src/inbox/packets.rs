//! What the inbox asks of the packet module: to read a request, to verify it, to say what it tells us, and to write
//! signals.

use hyper::body::Bytes;

use super::judge::{Ends, Heading};
use crate::directory::{Peer, Profile};
use crate::engine::Route;
use crate::engine::ledger::ReceivedRow;
use crate::model::Timestamp;
use crate::packet::signature::SignatureFault;
use crate::packet::signature::verify::Verified;
use crate::transfer::dispatch::PacketRef;
use crate::transfer::event::{Event, LateSignal};

/// A request that could not be read.
#[derive(Debug)]
pub enum Unreadable {
    /// Not even which message it is.
    Nameless,
    /// The envelope was read, the rest is wrong.
    Faulty {
        /// What the envelope says.
        heading: Box<Heading>,
        /// The ebXML error to answer with.
        error: ErrorText,
    },
}

/// One ebXML error, without anything of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorText {
    /// The errorCode.
    pub code: &'static str,
    /// Where, as an XPath.
    pub location: &'static str,
    /// The description.
    pub text: &'static str,
}

/// What a message tells the engine.
pub enum Told {
    /// A business message: its event and its transfer. The closure takes the sealed octets.
    Business {
        /// How to find its transfer.
        route: Route,
        /// The event, given where the octets lie.
        event: Box<dyn FnOnce(PacketRef) -> Event + Send>,
    },
    /// A transport signal that came as a message of its own.
    Signal {
        /// What it says; its receipt is not kept yet.
        signal: LateSignal,
        /// Whether its octets are a signed receipt that holds.
        receipt: Receipt,
    },
}

/// Whether a signal is proof of what the other end has (wire reference §6.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// It proves nothing.
    None,
    /// A signed receipt that holds: its octets are to be sealed.
    New,
    /// The same octets were sealed before.
    Kept(PacketRef),
}

/// The packet module, as the inbox asks it.
pub trait Packets: Send + Sync + 'static {
    /// A message that was read.
    type Message: Send + Sync + 'static;

    /// Reads a request.
    fn open(&self, content_type: &str, body: &Bytes) -> Result<Self::Message, Unreadable>;
    /// What its header says.
    fn heading<'m>(&self, message: &'m Self::Message) -> &'m Heading;
    /// Whether it is a signal: signals are never answered.
    fn is_signal(&self, message: &Self::Message) -> bool;
    /// Holds it to its sender's profile: a signature that covers all of it, or none at all.
    fn verify(
        &self,
        message: &Self::Message,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Option<Verified>, SignatureFault>;
    /// What the ledger remembers of a message with this sender and id: a look before it is sealed. The engine decides.
    fn remembered(&self, heading: &Heading) -> Option<ReceivedRow>;
    /// SHA-256 of what retransmission may not change, in hexadecimal (wire reference §5.3).
    fn digest(&self, message: &Self::Message) -> String;
    /// What it tells us; an error when its content is not what its action says.
    fn tell(
        &self,
        message: &Self::Message,
        ends: &Ends<'_>,
        body: &Bytes,
        now: Timestamp,
    ) -> Result<Told, ErrorText>;
    /// The Acknowledgment for it: a signed receipt where the profile is signed.
    fn acknowledgment(
        &self,
        message: &Self::Message,
        ends: &Ends<'_>,
        now: Timestamp,
    ) -> Result<Vec<u8>, CannotSign>;
    /// The MessageError for it; signed where the profile is.
    fn message_error(
        &self,
        to: &Heading,
        error: ErrorText,
        profile: Profile,
        now: Timestamp,
    ) -> Result<Vec<u8>, CannotSign>;
}

/// A signal could not be signed: our key is at fault, not the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signing a transport signal")]
pub struct CannotSign;
