//! ebXML signals: the Acknowledgment, signed as a receipt where that was agreed, the MessageError, and the SOAP Fault
//! of a hub. Bare `text/xml`, never answered.

use std::fmt::Write;

use crate::model::{ConversationId, CpaId, MessageId, PartyKey, Timestamp};
use crate::packet::envelope::{
    self, AckRequest, EB, EBXML, EnvelopeFault, Header, NEXT_MSH, SOAP, TO_PARTY_MSH, escape, message_id,
    read_moment, required, soap_header, trimmed,
};
use crate::packet::signature::sign::{SigningFault, sign};
use crate::packet::signature::{Reference, Signer, receipt};
use crate::packet::xml::{Document, Element};

/// The Action of an Acknowledgment.
pub const ACKNOWLEDGMENT: &str = "Acknowledgment";
/// The Action of a MessageError.
pub const MESSAGE_ERROR: &str = "MessageError";
/// Errors of one MessageError that are read; more say nothing new.
const MOST_ERRORS: usize = 32;

/// What a received signal says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// The message was taken.
    Acknowledgment(Acknowledgment),
    /// The message was not taken, or with a warning.
    MessageError {
        /// The message it answers, if it names one.
        refers_to: Option<MessageId>,
        /// What is wrong.
        errors: Vec<EbError>,
    },
    /// A fault of SOAP itself.
    Fault(SoapFault),
}

/// An Acknowledgment as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgment {
    /// The message it answers.
    pub refers_to: MessageId,
    /// Who acknowledges: the receiving party, or the next handler.
    pub by_party: bool,
    /// The party that wrote it.
    pub from: PartyKey,
    /// The party it is for.
    pub to: PartyKey,
    /// The contract it names.
    pub cpa_id: CpaId,
    /// The conversation it names.
    pub conversation: ConversationId,
}

impl Acknowledgment {
    /// Whether it answers that message between those ends: parties swapped, contract and conversation the same (wire
    /// reference §6.3).
    pub fn fits(&self, sent: &Header) -> bool {
        self.refers_to == sent.message_id
            && self.from == sent.to
            && self.to == sent.from
            && self.cpa_id == sent.cpa_id
            && self.conversation == sent.conversation
    }
}

/// One error of a MessageError.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EbError {
    /// The error code, as sent.
    pub code: String,
    /// Whether it is only a warning.
    pub warning: bool,
}

/// A SOAP Fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoapFault {
    /// The local part of the fault code, such as `Server`.
    pub code: String,
    /// The hub's own codes, as text: `SEF002` is as legal as 206.
    pub hub_codes: Vec<String>,
}

/// An error to answer with (wire reference §1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Complaint<'a> {
    /// The standard's code, such as `SecurityFailure`.
    pub code: &'a str,
    /// Where, as an XPath.
    pub location: &'a str,
    /// In words, without anything of the message.
    pub words: &'a str,
}

/// The Acknowledgment of a message: with a signer, a receipt that repeats what the message's signature covered (§6.3).
pub fn acknowledge(
    message: &Header,
    references: &[Reference],
    signer: Option<&Signer>,
    now: Timestamp,
) -> Result<Vec<u8>, SigningFault> {
    let header = answer_header(message, ACKNOWLEDGMENT, now);
    let actor = match message.ack_requested {
        AckRequest::NextHop if signer.is_none() => NEXT_MSH,
        // With actor nextMSH a signature would not cover the acknowledgement itself.
        AckRequest::NextHop | AckRequest::Never | AckRequest::Party { .. } => TO_PARTY_MSH,
    };
    let mut out = envelope::open_header(&header);
    let _ = write!(
        out,
        "<eb:Acknowledgment SOAP:actor=\"{actor}\" SOAP:mustUnderstand=\"1\" eb:version=\"2.0\"><eb:Timestamp>{}</eb:Timestamp>\
         <eb:RefToMessageId>{}</eb:RefToMessageId><eb:From><eb:PartyId eb:type=\"urn:nhs:names:partyType:ocs+serviceInstance\">{}</eb:PartyId></eb:From>{}\
         </eb:Acknowledgment></SOAP:Header><SOAP:Body></SOAP:Body></SOAP:Envelope>",
        now.to_ebxml(),
        escape(message.message_id.as_str()),
        escape(message.to.as_str()),
        receipt::reference_copies(references),
    );
    match signer {
        Some(signer) => Ok(sign(out.as_bytes(), &[], signer)?.octets),
        None => Ok(out.into_bytes()),
    }
}

/// A MessageError for a message whose header was read.
pub fn refuse(
    message: &Header,
    complaint: Complaint<'_>,
    signer: Option<&Signer>,
    now: Timestamp,
) -> Result<Vec<u8>, SigningFault> {
    let mut out = envelope::open_header(&answer_header(message, MESSAGE_ERROR, now));
    // All four attributes: one known handler cannot read an error without codeContext.
    let _ = write!(
        out,
        "<eb:ErrorList SOAP:mustUnderstand=\"1\" eb:highestSeverity=\"Error\" eb:version=\"2.0\">\
         <eb:Error eb:codeContext=\"urn:oasis:names:tc:ebxml-msg:service:errors\" eb:errorCode=\"{}\" eb:location=\"{}\" eb:severity=\"Error\">\
         <eb:Description xml:lang=\"en-GB\">{}</eb:Description></eb:Error></eb:ErrorList>\
         </SOAP:Header><SOAP:Body></SOAP:Body></SOAP:Envelope>",
        escape(complaint.code),
        escape(complaint.location),
        escape(complaint.words),
    );
    match signer {
        Some(signer) => Ok(sign(out.as_bytes(), &[], signer)?.octets),
        None => Ok(out.into_bytes()),
    }
}

/// A SOAP Fault that blames the sender: for a message without a readable MessageId.
pub fn fault(words: &str) -> Vec<u8> {
    format!(
        "<SOAP:Envelope xmlns:SOAP=\"{SOAP}\"><SOAP:Body><SOAP:Fault><faultcode>SOAP:Client</faultcode>\
         <faultstring>{}</faultstring></SOAP:Fault></SOAP:Body></SOAP:Envelope>",
        escape(words)
    )
    .into_bytes()
}

fn answer_header(message: &Header, action: &str, now: Timestamp) -> Header {
    Header {
        from: message.to.clone(),
        to: message.from.clone(),
        cpa_id: message.cpa_id.clone(),
        conversation: message.conversation,
        service: EBXML.to_owned(),
        action: action.to_owned(),
        message_id: MessageId::derived(&[
            action,
            message.to.as_str(),
            message.message_id.as_str(),
            &now.to_string(),
        ]),
        timestamp: now,
        time_to_live: None,
        refers_to: Some(message.message_id.clone()),
        duplicate_elimination: false,
        ack_requested: AckRequest::Never,
    }
}

/// Reads a signal; none if the document is something else, such as a business message.
pub fn read(document: &Document) -> Result<Option<Signal>, EnvelopeFault> {
    if let Some(fault) = find_fault(document) {
        return Ok(Some(Signal::Fault(fault)));
    }
    let header = soap_header(document)?;
    if let Some(acknowledgment) = header.child(EB, "Acknowledgment") {
        return read_acknowledgment(document, acknowledgment).map(|a| Some(Signal::Acknowledgment(a)));
    }
    let Some(list) = header.child(EB, "ErrorList") else { return Ok(None) };
    let refers_to = header
        .child(EB, "MessageHeader")
        .and_then(|m| m.child(EB, "MessageData"))
        .and_then(|d| d.child(EB, "RefToMessageId"))
        .and_then(|r| MessageId::parse(&trimmed(r)).ok());
    let errors = list.children().filter(|e| e.is(EB, "Error")).take(MOST_ERRORS).map(read_error).collect();
    Ok(Some(Signal::MessageError { refers_to, errors }))
}

fn read_acknowledgment(document: &Document, element: Element<'_>) -> Result<Acknowledgment, EnvelopeFault> {
    let header = envelope::read_header(document)?;
    let refers_to = message_id(&required(element, "RefToMessageId")?, "RefToMessageId")?;
    if header.refers_to.as_ref().is_some_and(|r| *r != refers_to) {
        return Err(EnvelopeFault::Malformed("RefToMessageId"));
    }
    read_moment(&required(element, "Timestamp")?).ok_or(EnvelopeFault::Malformed("Timestamp"))?;
    let by_party = element.attribute(SOAP, "actor") != Some(NEXT_MSH);
    let Header { from, to, cpa_id, conversation, .. } = header;
    Ok(Acknowledgment { refers_to, by_party, from, to, cpa_id, conversation })
}

fn read_error(error: Element<'_>) -> EbError {
    EbError {
        code: error.attribute(EB, "errorCode").unwrap_or("Unknown").to_owned(),
        warning: error.attribute(EB, "severity") == Some("Warning"),
    }
}

fn find_fault(document: &Document) -> Option<SoapFault> {
    let fault = document.root().child(SOAP, "Body")?.child(SOAP, "Fault")?;
    let code = fault.child("", "faultcode").map(trimmed).unwrap_or_default();
    let code = code.rsplit(':').next().unwrap_or_default().to_owned();
    let hub_codes = fault
        .descendants()
        .filter(|e| e.name() == "errorCode")
        .map(trimmed)
        .filter(|code| !code.is_empty())
        .take(MOST_ERRORS)
        .collect();
    Some(SoapFault { code, hub_codes })
}
