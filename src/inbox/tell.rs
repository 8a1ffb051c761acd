//! What a message tells us, once it is known to come from who it says.

use hyper::body::Bytes;

use super::judge::Ends;
use super::wire::{Content, SentMessage, Wire, WireMessage};
use crate::engine::{Listing, Route};
use crate::model::{MessageId, Timestamp};
use crate::packet::Incoming;
use crate::packet::hl7::{CopcKind, ExtractHead, ReadAcknowledgement, ReadCopc, ReadEhrRequest};
use crate::packet::parts::inventory::{self, ListFault};
use crate::packet::signal::Signal;
use crate::transfer::dispatch::PacketRef;
use crate::transfer::event::{Acknowledgement, Arrival, Asked, Continued, Event, LateSignal};
use crate::transfer::gathering::{Found, Part};
use crate::transfer::refusal::{PartRefusal, Refusal};
use crate::transfer::timeout::Terms;
use crate::transfer::verdict::{Accepted, Verdict};
use crate::transport::classify::judge_errors;

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
        /// What it says of parts.
        listing: Listing,
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

impl Wire {
    /// What it tells us; an error when its content is not what its action says.
    pub(super) fn tell(
        &self,
        message: &WireMessage,
        ends: &Ends<'_>,
        (body, wrong): (&Bytes, Option<PartRefusal>),
        now: Timestamp,
    ) -> Result<Told, ErrorText> {
        match &message.content {
            Content::Signal { signal, .. } => self.tell_signal(signal, ends, body),
            Content::Business(incoming) => match message.header.action.as_str() {
                "MCCI_IN010000UK13" => self.tell_acknowledgement(incoming, ends),
                "RCMR_IN010000UK05" | "RCMR_IN010000UK06" => tell_request(incoming, ends, now),
                COPC => self.tell_copc(incoming, ends, body.len() as u64, wrong),
                _ => tell_extract(incoming, ends, (body.len() as u64, self.accept_push), now),
            },
        }
    }

    fn tell_signal(&self, signal: &Signal, ends: &Ends<'_>, body: &Bytes) -> Result<Told, ErrorText> {
        let nothing = || ErrorText {
            code: "Unknown",
            location: "//eb:RefToMessageId",
            text: "it answers nothing of ours",
        };
        let (message_id, verdict) = match signal {
            Signal::Acknowledgment(ack) => {
                let by = if ack.by_party { Accepted::End } else { Accepted::Hop };
                (ack.refers_to.clone(), Verdict::Accepted(by))
            }
            Signal::MessageError { refers_to: Some(message_id), errors } => {
                (message_id.clone(), judge_errors(errors).verdict)
            }
            Signal::MessageError { refers_to: None, .. } | Signal::Fault(_) => return Err(nothing()),
        };
        // Only the party a message went to may answer it.
        let sent =
            self.sent(&message_id).filter(|sent| sent.dispatch.to == ends.them.ods).ok_or_else(nothing)?;
        let receipt = match signal {
            Signal::Acknowledgment(_) if ends.verified.is_some() => self.receipt(&sent, body),
            Signal::Acknowledgment(_) | Signal::MessageError { .. } | Signal::Fault(_) => Receipt::None,
        };
        Ok(Told::Signal { signal: LateSignal { message_id, verdict, receipt: None }, receipt })
    }

    /// A copy of what is kept would belong to nobody.
    fn receipt(&self, sent: &SentMessage, body: &Bytes) -> Receipt {
        let kept =
            sent.receipt.clone().filter(|kept| self.fetch(kept).is_some_and(|octets| octets == **body));
        kept.map_or(Receipt::New, Receipt::Kept)
    }

    fn tell_acknowledgement(&self, incoming: &Incoming<'_>, ends: &Ends<'_>) -> Result<Told, ErrorText> {
        let message = &incoming.header.message_id;
        let (octets, charset) = hl7(incoming);
        let ack = ReadAcknowledgement::read_labelled(octets, charset).map_err(|fault| {
            tracing::warn!(%message, %fault, "an acknowledgement cannot be read");
            content_error("the acknowledgement cannot be read")
        })?;
        self.metrics.acknowledged(ack.code.as_deref().filter(|_| !ack.positive));
        let (message_id, from) = (incoming.header.message_id.clone(), ends.them.ods.clone());
        let route = Route::Answers {
            conversation: incoming.header.conversation,
            refers_to: ack.refers_to.clone(),
            from: from.clone(),
        };
        let event = move |packet| {
            Event::Acknowledged(Acknowledgement {
                message_id,
                refers_to: ack.refers_to,
                about: None,
                positive: ack.positive,
                code: ack.code,
                from,
                packet: Some(packet),
            })
        };
        Ok(Told::Business { route, listing: Listing::None, event: Box::new(event) })
    }

    /// Leave to send parts, or a part.
    fn tell_copc(
        &self,
        incoming: &Incoming<'_>,
        ends: &Ends<'_>,
        bytes: u64,
        wrong: Option<PartRefusal>,
    ) -> Result<Told, ErrorText> {
        let (octets, charset) = hl7(incoming);
        let copc = ReadCopc::read_labelled(octets, charset);
        let message_id = incoming.header.message_id.clone();
        if let Err(fault) = &copc {
            tracing::warn!(message = %message_id, %fault, "a part cannot be read");
        }
        let kind = copc.as_ref().ok().map(|copc| copc.kind(&incoming.manifest));
        if let Some(CopcKind::Continue { refers_to }) = kind {
            return Ok(self.tell_leave(incoming, ends, refers_to));
        }
        let wrong = wrong.or_else(|| copc.is_err().then_some(PartRefusal::Malformed));
        let references = incoming.manifest.get(1..).unwrap_or_default().to_vec();
        let (from, to) = (ends.them.ods.clone(), ends.us.ods.clone());
        let route = Route::Part { from: from.clone(), conversation: incoming.header.conversation };
        let event = move |packet| {
            Event::Part(Box::new(Part { message_id, from, to, bytes, packet, found: Found::Early }))
        };
        Ok(Told::Business { route, listing: Listing::Part { references, wrong }, event: Box::new(event) })
    }

    /// Leave names the extract by its MessageId, or by an id of its own that says nothing of the message (C17).
    fn tell_leave(&self, incoming: &Incoming<'_>, ends: &Ends<'_>, refers_to: Option<MessageId>) -> Told {
        let named = refers_to.clone().filter(|id| self.sent(id).is_some());
        let from = ends.them.ods.clone();
        let route = Route::Answers {
            conversation: incoming.header.conversation,
            refers_to: named,
            from: from.clone(),
        };
        let message_id = incoming.header.message_id.clone();
        let event = move |_| Event::Continued(Continued { message_id, refers_to, from });
        Told::Business { route, listing: Listing::None, event: Box::new(event) }
    }
}

/// The action of parts and of the leave to send them.
pub(super) const COPC: &str = "COPC_IN000001UK01";

/// What an extract lists of parts, and what the wait for them is reckoned with.
fn listing(incoming: &Incoming<'_>, ends: &Ends<'_>) -> Result<Listing, ListFault> {
    let references = incoming.manifest.get(1..).unwrap_or_default();
    let listed = inventory::list_extract(&incoming.header.message_id, references)?;
    if !listed.doubled.is_empty() {
        tracing::warn!(message = %incoming.header.message_id, count = listed.doubled.len(), "parts are listed twice");
    }
    if listed.rows.is_empty() {
        return Ok(Listing::None);
    }
    let persist = ends.peer.contract.persist_duration;
    let (terms, sent_at) = (Terms::new(persist, persist), incoming.header.timestamp);
    Ok(Listing::Extract { rows: listed.rows, terms, sent_at })
}

/// A request for a record. One that cannot be read, or is of the older form, is answered as GP2GP answers it: 18 (TD51.1,
/// S230).
fn tell_request(incoming: &Incoming<'_>, ends: &Ends<'_>, now: Timestamp) -> Result<Told, ErrorText> {
    let (octets, charset) = hl7(incoming);
    let (nhs_number, request_id) = match ReadEhrRequest::read_labelled(octets, charset) {
        Ok(request) => {
            // Who asks and who is asked must be those of the envelope (custody reference §4, hazard H1).
            if request.requester_ods != ends.them.ods || request.sender_ods != ends.us.ods {
                return Err(content_error("the request names other organisations than the envelope"));
            }
            (Some(request.nhs_number), request.request_id)
        }
        Err(fault) => {
            tracing::warn!(message = %incoming.header.message_id, %fault, "a request cannot be read");
            (None, None)
        }
    };
    let (from, to) = (ends.them.ods.clone(), ends.us.ods.clone());
    let (conversation, message_id) = (incoming.header.conversation, incoming.header.message_id.clone());
    let event = move |packet| {
        Event::Asked(Box::new(Asked {
            from,
            to,
            conversation,
            message_id,
            request_id,
            nhs_number,
            received_at: now,
            answered: false,
            packet,
            known: None,
            chain: None,
            switched_off: false,
        }))
    };
    Ok(Told::Business { route: Route::Asks, listing: Listing::None, event: Box::new(event) })
}

fn tell_extract(
    incoming: &Incoming<'_>,
    ends: &Ends<'_>,
    (bytes, push): (u64, bool),
    now: Timestamp,
) -> Result<Told, ErrorText> {
    // The envelope holds and its sender is known: what is wrong inside is told as GP2GP tells it (Q4).
    let (octets, charset) = hl7(incoming);
    let (listing, impossible) = match listing(incoming, ends) {
        Ok(listing) => (listing, None),
        Err(fault) => {
            tracing::warn!(message = %incoming.header.message_id, %fault, "an extract lists impossible parts");
            (Listing::None, Some(Refusal::PartsImpossible))
        }
    };
    let (head, refusal) = match ExtractHead::read_labelled(octets, charset) {
        Ok(head) => {
            check_head(&head, ends)?;
            (Some(head), impossible)
        }
        Err(fault) => {
            tracing::warn!(message = %incoming.header.message_id, %fault, "an extract cannot be read");
            (None, Some(Refusal::Unreadable))
        }
    };
    let (from, conversation) = (ends.them.ods.clone(), incoming.header.conversation);
    let route = Route::Opens { from: from.clone(), conversation, push };
    let (to, message_id) = (ends.us.ods.clone(), incoming.header.message_id.clone());
    let attachments = u32::try_from(incoming.manifest.len().saturating_sub(1)).unwrap_or(u32::MAX);
    let signed = ends.verified.is_some();
    let system_known = head.as_ref().is_none_or(|head| head.sender_asid == ends.peer.address.asid);
    let (nhs_number, request_id) = head.map_or((None, None), |h| (Some(h.nhs_number), h.request_id));
    let event = move |packet| {
        Event::Arrived(Box::new(Arrival {
            from,
            to,
            conversation,
            message_id,
            nhs_number,
            request_id,
            system_known,
            bytes,
            attachments,
            signed,
            packet,
            received_at: now,
            refusal,
            large: None,
        }))
    };
    Ok(Told::Business { route, listing, event: Box::new(event) })
}

fn check_head(head: &ExtractHead, ends: &Ends<'_>) -> Result<(), ErrorText> {
    // Destination and author must be those of the envelope (custody reference §4, hazard H1).
    if head.destination_ods != ends.us.ods {
        return Err(content_error("the extract is for another organisation than the envelope"));
    }
    if head.author_ods != ends.them.ods {
        return Err(content_error("the extract is by another organisation than the envelope"));
    }
    Ok(())
}

/// The octets of the HL7 part and the label of their encoding.
fn hl7<'a>(incoming: &'a Incoming<'_>) -> (&'a [u8], Option<&'a str>) {
    incoming.hl7().map(|part| (&*part.body, part.charset.as_deref())).unwrap_or_default()
}

fn content_error(text: &'static str) -> ErrorText {
    ErrorText { code: "OtherXml", location: "//eb:Manifest", text }
}
