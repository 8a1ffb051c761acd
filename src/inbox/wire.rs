//! What a posted message is: read, verified as the directory's profile wants, and answered by signals.
//!
//! What it tells us is `tell`'s; whether it may be taken at all is `judge`'s to say.

use std::sync::Arc;

use hyper::body::Bytes;

use super::answer::AckAsked;
use super::judge::{Ends, Heading};
use super::tell::{COPC, ErrorText};
use crate::directory::{Peer, Profile};
use crate::engine::ledger::{self, ReceivedRow};
use crate::model::{CpaId, MessageId, OdsCode, PartyKey, Timestamp, TransferId};
use crate::packet::envelope::{self, AckRequest, EBXML, Header};
use crate::packet::fingerprint::Fingerprint;
use crate::packet::manifest;
use crate::packet::mime::{MimeLimits, Strictness};
use crate::packet::parts::inventory::Role;
use crate::packet::parts::join::{self, JoinFault, JoinLimits, Joiner, Unjoined};
use crate::packet::signal::{self, Complaint, Signal};
use crate::packet::signature::verify::{Terms, Verified, expect_unsigned, verify};
use crate::packet::signature::{SignatureFault, Signer, receipt};
use crate::packet::xml::Document;
use crate::packet::{Incoming, Packet, PacketFault, Received, Unread, open};
use crate::perform::SignerHandle;
use crate::store::{Store, Table, Vault};
use crate::telemetry::Metrics;
use crate::transfer::Case;
use crate::transfer::dispatch::{Dispatch, PacketRef};
use crate::transfer::refusal::PartRefusal;

/// The actions spoken here: requests for records, of the older form too so that it can be answered (S230), extracts, their
/// parts, and acknowledgements.
pub const ACTIONS: &[&str] = &[
    "RCMR_IN010000UK05",
    "RCMR_IN010000UK06",
    "RCMR_IN030000UK06",
    "RCMR_IN030000UK07",
    COPC,
    "MCCI_IN010000UK13",
];

/// A request that could not be read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// Not even which message it is.
    Nameless {
        /// What is wrong and where, without values.
        fault: String,
    },
    /// The envelope was read, the rest is wrong.
    Faulty {
        /// What the envelope says.
        heading: Box<Heading>,
        /// The ebXML error to answer with.
        error: ErrorText,
        /// What is wrong and where, without values.
        fault: String,
    },
}

/// A signal could not be signed: our key is at fault, not the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signing a transport signal")]
pub(super) struct CannotSign;

/// The packet module, with what it takes to judge an answer to a message of ours.
pub struct Wire {
    /// Our signature.
    pub signer: SignerHandle,
    /// Which messages we sent; read only.
    pub store: Store,
    /// Where they lie.
    pub vault: Vault,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Whether records that nobody asked for are taken.
    pub accept_push: bool,
}

/// A message that was read.
pub(super) struct WireMessage {
    heading: Heading,
    pub(super) header: Header,
    strictness: Strictness,
    pub(super) content: Content,
}

/// What kind of message it is.
pub(super) enum Content {
    Business(Box<Incoming<'static>>),
    Signal { envelope: Box<Document>, signal: Signal },
}

impl Wire {
    /// Reads a request.
    pub(super) fn open(&self, content_type: &str, body: &Bytes) -> Result<WireMessage, Unreadable> {
        let limits = MimeLimits::default();
        // Strict first: it is the common case, and a signed party gets no second chance.
        let (opened, strictness) = match open(content_type, body, Strictness::Strict, &limits) {
            Err(_) => (open(content_type, body, Strictness::Tolerant, &limits), Strictness::Tolerant),
            read => (read, Strictness::Strict),
        };
        match opened {
            Ok(Received::Business(incoming)) => {
                let incoming = incoming.into_owned();
                let header = incoming.header.clone();
                Ok(WireMessage {
                    heading: heading(&header, incoming.addressees()),
                    header,
                    strictness,
                    content: Content::Business(Box::new(incoming)),
                })
            }
            Ok(Received::Signal { envelope, signal }) => {
                // A fault, or a signal without a readable header, tells nobody anything.
                let header = envelope::read_header(&envelope)
                    .map_err(|fault| Unreadable::Nameless { fault: fault.to_string() })?;
                Ok(WireMessage {
                    heading: heading(&header, envelope::addressees(&envelope)),
                    header,
                    strictness,
                    content: Content::Signal { envelope, signal },
                })
            }
            Err(Unread { fault, header }) => {
                tracing::warn!(%fault, "a message cannot be read");
                // A signal is never answered by a signal.
                let header = header.filter(|header| header.service != EBXML);
                let nameless = || Unreadable::Nameless { fault: fault.to_string() };
                Err(header.map_or_else(nameless, |header| faulty(&fault, &header)))
            }
        }
    }

    /// What its header says.
    pub(super) fn heading<'m>(&self, message: &'m WireMessage) -> &'m Heading {
        &message.heading
    }

    /// Whether it is a signal: signals are never answered.
    pub(super) fn is_signal(&self, message: &WireMessage) -> bool {
        matches!(message.content, Content::Signal { .. })
    }

    /// Holds it to its sender's profile: a signature that covers all of it, or none at all.
    pub(super) fn verify(
        &self,
        message: &WireMessage,
        peer: &Peer,
        now: Timestamp,
    ) -> Result<Option<Verified>, SignatureFault> {
        let pins = match (peer.profile, &peer.signing_pins) {
            (Profile::Spine, _) => None,
            (Profile::Signed, Some(pins)) => Some(pins),
            (Profile::Signed, None) => return Err(SignatureFault::Unsigned),
        };
        let terms = pins.map(|pins| Terms { pins, now, leniency: peer.leniency });
        match (&message.content, &terms) {
            (Content::Business(incoming), None) => incoming.expect_unsigned().map(|()| None),
            // The signature covers parts by their decoded octets only if their encoding is beyond doubt (§6.2(13)).
            (Content::Business(_), Some(_)) if message.strictness == Strictness::Tolerant => {
                Err(SignatureFault::PartDigest)
            }
            (Content::Business(incoming), Some(terms)) => incoming.verify(terms).map(Some),
            (Content::Signal { envelope, .. }, None) => expect_unsigned(envelope).map(|()| None),
            (Content::Signal { envelope, signal }, Some(terms)) => {
                self.verify_signal(envelope, signal, terms).map(Some)
            }
        }
    }

    /// What is wrong with a part by itself (§4.2(4)): a file that is one message must be whole in it. Whether the pieces
    /// of one fit together is seen when the last has come. Nothing is said of a message that nothing lists.
    pub(super) fn look_at_part(&self, message: &WireMessage, from: &OdsCode) -> Option<PartRefusal> {
        let Content::Business(incoming) = &message.content else { return None };
        if message.header.action != COPC || manifest::has_messages(&incoming.manifest) {
            return None;
        }
        let row = ledger::part(&self.store, from, &message.header.message_id).ok()??.row?;
        let files: Vec<_> = incoming.attachments().into_iter().filter_map(|(_, part)| part).collect();
        if let Err(fault) = join::one_file(files.len()) {
            return Some(refusal_of(fault));
        }
        let Role::Item { said, .. } = &row.role else { return None };
        let mut joiner = Joiner::new(std::io::sink(), said.expected(), JoinLimits::default());
        let (carried, octets) = join::piece(files.first()?);
        let joined = joiner.begin(carried).and_then(|()| joiner.feed(octets)).and_then(|()| joiner.finish());
        match joined {
            Ok(_) | Err(Unjoined::Write(_)) => None,
            Err(Unjoined::Fault(fault)) => Some(refusal_of(fault)),
        }
    }

    /// What the ledger remembers of a message with this sender and id: a look before it is sealed. The engine decides.
    pub(super) fn remembered(&self, heading: &Heading) -> Option<ReceivedRow> {
        let row = self.store.get(Table::Ledger, &ledger::received_key(&heading.from, &heading.message_id));
        ledger::decode(&row.ok()??).ok()
    }

    /// SHA-256 of what retransmission may not change, in hexadecimal (wire reference §5.3).
    pub(super) fn digest(&self, message: &WireMessage) -> String {
        match &message.content {
            Content::Business(incoming) => Fingerprint::from_octets(incoming.digest()).to_string(),
            Content::Signal { .. } => String::new(),
        }
    }

    /// The Acknowledgment for it: a signed receipt where the profile is signed.
    pub(super) fn acknowledgment(
        &self,
        message: &WireMessage,
        ends: &Ends<'_>,
        now: Timestamp,
    ) -> Result<Vec<u8>, CannotSign> {
        let references = ends.verified.as_ref().map(|v| v.references.as_slice()).unwrap_or_default();
        let signer = self.signer_for(ends.peer.profile)?;
        // Of the parties it is addressed to, the one that is ours answers.
        let to = ends.us.address().map_or(&message.header.to, |ours| &ours.party_key);
        let header = Header { to: to.clone(), ..message.header.clone() };
        signal::acknowledge(&header, references, signer.as_deref(), now).map_err(|_| CannotSign)
    }

    /// The MessageError for it; signed where the profile is.
    pub(super) fn message_error(
        &self,
        to: &Heading,
        error: ErrorText,
        profile: Profile,
        now: Timestamp,
    ) -> Result<Vec<u8>, CannotSign> {
        let signer = self.signer_for(profile)?;
        let complaint = Complaint { code: error.code, location: error.location, words: error.text };
        signal::refuse(&refused_header(to, now).ok_or(CannotSign)?, complaint, signer.as_deref(), now)
            .map_err(|_| CannotSign)
    }

    fn signer_for(&self, profile: Profile) -> Result<Option<Arc<Signer>>, CannotSign> {
        match profile {
            Profile::Spine => Ok(None),
            Profile::Signed => self.signer.current().map(Some).ok_or(CannotSign),
        }
    }

    fn verify_signal(
        &self,
        envelope: &Document,
        signal: &Signal,
        terms: &Terms<'_>,
    ) -> Result<Verified, SignatureFault> {
        match signal {
            Signal::Acknowledgment(ack) => {
                let mut verdict = Err(SignatureFault::ReceiptReferences);
                for sent in self.transmissions(&ack.refers_to) {
                    // §6.3: also parties, contract and conversation are those of what we sent.
                    let Some((_, references)) = sent.sent_as().filter(|(header, _)| ack.fits(header)) else {
                        continue;
                    };
                    let references = references.ok_or(SignatureFault::Unsigned)?;
                    verdict = receipt::verify_receipt(envelope, &references, terms);
                    if verdict.is_ok() {
                        break;
                    }
                }
                verdict
            }
            Signal::MessageError { .. } | Signal::Fault(_) => verify(envelope, &[], terms),
        }
    }

    /// Every transmission of a message of ours, the present one first: a receipt may be for any of them. Each is
    /// opened only when the one before it did not fit.
    fn transmissions(&self, message_id: &MessageId) -> impl Iterator<Item = Packet> + use<'_> {
        let dispatch = self.sent(message_id).map(|sent| sent.dispatch);
        let places = dispatch.into_iter().flat_map(|d| std::iter::once(d.packet).chain(d.earlier));
        places.filter_map(|place| Packet::from_owned_file(self.fetch(&place)?).ok())
    }

    /// Whether the disk has room for more than what is under way.
    pub(super) fn has_room(&self) -> bool {
        self.store.space().is_ok_and(|space| !space.low)
    }

    /// Sealed octets of ours again.
    pub(super) fn fetch(&self, place: &PacketRef) -> Option<Vec<u8>> {
        self.vault.get(&place.0.parse().ok()?).ok()
    }

    /// A message of ours, as its transfer remembers it.
    pub(super) fn sent(&self, message_id: &MessageId) -> Option<SentMessage> {
        let row = self.store.get(Table::Ledger, &ledger::sent_key(message_id)).ok()??;
        let id: TransferId = ledger::decode(&row).ok()?;
        let transfer = ledger::transfer(&self.store, id).ok()??;
        let (delivery, receipt) = match &transfer.case {
            Case::Release(release) => (release.delivery()?, &release.receipt),
            Case::Received(received) => (received.delivery()?, &received.receipt),
            Case::Outbound(outbound) => (outbound.delivery()?, &outbound.receipt),
            Case::Reception(_) | Case::Noted(_) => return None,
        };
        Some(SentMessage { dispatch: delivery.dispatch.clone(), receipt: receipt.clone() })
    }
}

/// What a part with this fault is answered.
fn refusal_of(fault: JoinFault) -> PartRefusal {
    if fault.response_code() == 29 { PartRefusal::Unjoined } else { PartRefusal::Malformed }
}

/// A message of ours, and the receipt that is kept for it.
pub(super) struct SentMessage {
    pub(super) dispatch: Dispatch,
    pub(super) receipt: Option<PacketRef>,
}

/// What is answered to a message of which only the envelope was readable (wire reference §1.4).
fn faulty(fault: &PacketFault, header: &Header) -> Unreadable {
    let (location, text) = match fault {
        PacketFault::Mime(_)
        | PacketFault::PartMissing(_)
        | PacketFault::PartUnlisted(_)
        | PacketFault::NotAPacket => ("//eb:Manifest", "the parts of the message cannot be read"),
        PacketFault::Envelope(_) | PacketFault::Xml(_) => {
            ("//SOAP:Envelope", "the envelope of the message cannot be used")
        }
    };
    let error = ErrorText { code: fault.code(), location, text };
    let heading = Box::new(heading(header, vec![header.to.clone()]));
    Unreadable::Faulty { heading, error, fault: fault.to_string() }
}

fn heading(header: &Header, to: Vec<PartyKey>) -> Heading {
    Heading {
        from: header.from.clone(),
        to,
        cpa_id: header.cpa_id.as_str().to_owned(),
        action: header.action.clone(),
        conversation: header.conversation,
        message_id: header.message_id.clone(),
        time_to_live: header.time_to_live,
        asked: match header.ack_requested {
            AckRequest::Never => AckAsked::No,
            AckRequest::NextHop => AckAsked::NextMsh,
            AckRequest::Party { .. } => AckAsked::ToParty,
        },
    }
}

/// As much of a refused message's header as its refusal repeats.
fn refused_header(heading: &Heading, now: Timestamp) -> Option<Header> {
    Some(Header {
        from: heading.from.clone(),
        to: heading.to.first()?.clone(),
        cpa_id: CpaId::parse(&heading.cpa_id).ok()?,
        conversation: heading.conversation,
        service: String::new(),
        action: heading.action.clone(),
        message_id: heading.message_id.clone(),
        timestamp: now,
        time_to_live: None,
        refers_to: None,
        duplicate_elimination: false,
        ack_requested: AckRequest::Never,
    })
}
