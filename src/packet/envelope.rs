//! The ebXML envelope: who sends what to whom in which conversation, and the manifest of parts (wire reference §3).
//!
//! Signals have their own page, `signal`; the signature its own folder.

use std::fmt::{self, Write};

use crate::model::{ConversationId, CpaId, MessageId, PartyKey, Timestamp};
use crate::packet::canonical::push_attribute_value;
use crate::packet::xml::{Document, Element};

pub(super) const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
pub(super) const EB: &str = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd";
pub(super) const XLINK: &str = "http://www.w3.org/1999/xlink";
const HL7_EBXML: &str = "urn:hl7-org:transport/ebxml/DSTUv1.0";
const PARTY_TYPE: &str = "urn:nhs:names:partyType:ocs+serviceInstance";
const HL7_SCHEMA: &str = "http://www.nhsia.nhs.uk/schemas/HL7-Message.xsd";

/// The actor of a block for the next hop.
pub const NEXT_MSH: &str = "urn:oasis:names:tc:ebxml-msg:actor:nextMSH";
/// The actor of a block for the receiving party.
pub const TO_PARTY_MSH: &str = "urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH";
/// The service of every business message, acknowledgements included (wire reference §1.2).
pub const GP2GP: &str = "urn:nhs:names:services:gp2gp";
/// The service of ebXML signals.
pub const EBXML: &str = "urn:oasis:names:tc:ebxml-msg:service";

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The sending party.
    pub from: PartyKey,
    /// The receiving party.
    pub to: PartyKey,
    /// The receiver's contract for this action.
    pub cpa_id: CpaId,
    /// The conversation (S240).
    pub conversation: ConversationId,
    /// [`GP2GP`] or [`EBXML`].
    pub service: String,
    /// The interaction, or the kind of signal.
    pub action: String,
    /// This transmission.
    pub message_id: MessageId,
    /// When it was stamped.
    pub timestamp: Timestamp,
    /// Until when it counts.
    pub time_to_live: Option<Timestamp>,
    /// The message it answers: signals only.
    pub refers_to: Option<MessageId>,
    /// Whether the receiver must recognise a second copy.
    pub duplicate_elimination: bool,
    /// Whether and by whom it is to be acknowledged.
    pub ack_requested: AckRequest,
}

/// Whether and by whom a message is to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckRequest {
    /// Not at all.
    Never,
    /// By the next handler, unsigned.
    NextHop,
    /// By the receiving party.
    Party {
        /// Whether the acknowledgement must be signed.
        signed: bool,
    },
}

/// One item of the manifest.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// Its own id, kept as it stands.
    pub id: Option<String>,
    /// Where it is.
    pub href: Href,
    /// What is said of it.
    pub description: String,
}

impl fmt::Debug for Item {
    /// Without the description: it holds the file's name, which may name the patient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item").field("id", &self.id).field("href", &self.href).finish_non_exhaustive()
    }
}

/// Where an item of the manifest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Href {
    /// In a part of this message with that Content-ID.
    Part(String),
    /// In another message of that id (LM15).
    Message(String),
}

/// Why an envelope cannot be read. Names elements, never content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    /// Not a SOAP envelope.
    #[error("the message is not a SOAP envelope")]
    NotSoap,
    /// Something is missing or stands twice.
    #[error("{0} is missing or stands more than once")]
    NotOne(&'static str),
    /// Something is there and wrong.
    #[error("{0} is not as the standard has it")]
    Malformed(&'static str),
    /// Another version of ebXML.
    #[error("the message is of another version of ebXML than 2.0")]
    Version,
    /// A part of ebXML that GP2GP does without.
    #[error("{0} is not spoken here")]
    NotSpoken(&'static str),
    /// A header block that must be understood and is not.
    #[error("a header block that must be understood is unknown")]
    MustUnderstand,
}

/// The envelope of a business message: an HL7 part first, then whatever `items` names.
pub fn write_business(header: &Header, hl7_part: &str, items: &[Item]) -> String {
    let mut out = open_header(header);
    match header.ack_requested {
        AckRequest::Never => {}
        AckRequest::NextHop => push_ack_requested(&mut out, false, NEXT_MSH),
        AckRequest::Party { signed } => push_ack_requested(&mut out, signed, TO_PARTY_MSH),
    }
    out.push_str("</SOAP:Header><SOAP:Body><eb:Manifest eb:version=\"2.0\" SOAP:mustUnderstand=\"1\">");
    let _ = write!(
        out,
        "<eb:Reference xlink:href=\"cid:{}\"><eb:Schema eb:location=\"{HL7_SCHEMA}\" eb:version=\"1.0\"></eb:Schema>\
         <eb:Description xml:lang=\"en\">HL7 payload</eb:Description>\
         <hl7ebxml:Payload encoding=\"XML\" style=\"HL7\" version=\"3.0\"></hl7ebxml:Payload></eb:Reference>",
        escape(hl7_part)
    );
    for item in items {
        push_item(&mut out, item);
    }
    out.push_str("</eb:Manifest></SOAP:Body></SOAP:Envelope>");
    out
}

/// Everything up to the blocks that follow MessageHeader.
pub(super) fn open_header(header: &Header) -> String {
    let mut out = String::with_capacity(2048);
    let _ = write!(
        out,
        "<SOAP:Envelope xmlns:SOAP=\"{SOAP}\" xmlns:eb=\"{EB}\" xmlns:hl7ebxml=\"{HL7_EBXML}\" xmlns:xlink=\"{XLINK}\">\
         <SOAP:Header><eb:MessageHeader eb:version=\"2.0\" SOAP:mustUnderstand=\"1\">"
    );
    for (side, party) in [("From", &header.from), ("To", &header.to)] {
        let _ = write!(
            out,
            "<eb:{side}><eb:PartyId eb:type=\"{PARTY_TYPE}\">{}</eb:PartyId></eb:{side}>",
            escape(party.as_str())
        );
    }
    let _ = write!(
        out,
        "<eb:CPAId>{}</eb:CPAId><eb:ConversationId>{}</eb:ConversationId><eb:Service>{}</eb:Service>\
         <eb:Action>{}</eb:Action><eb:MessageData><eb:MessageId>{}</eb:MessageId><eb:Timestamp>{}</eb:Timestamp>",
        escape(header.cpa_id.as_str()),
        header.conversation,
        escape(&header.service),
        escape(&header.action),
        escape(header.message_id.as_str()),
        header.timestamp.to_ebxml(),
    );
    if let Some(message_id) = &header.refers_to {
        let _ = write!(out, "<eb:RefToMessageId>{}</eb:RefToMessageId>", escape(message_id.as_str()));
    }
    if let Some(until) = header.time_to_live {
        let _ = write!(out, "<eb:TimeToLive>{}</eb:TimeToLive>", until.to_ebxml());
    }
    out.push_str("</eb:MessageData>");
    if header.duplicate_elimination {
        out.push_str("<eb:DuplicateElimination></eb:DuplicateElimination>");
    }
    out.push_str("</eb:MessageHeader>");
    out
}

fn push_ack_requested(out: &mut String, signed: bool, actor: &str) {
    let _ = write!(
        out,
        "<eb:AckRequested SOAP:actor=\"{actor}\" SOAP:mustUnderstand=\"1\" eb:signed=\"{signed}\" eb:version=\"2.0\"></eb:AckRequested>"
    );
}

fn push_item(out: &mut String, item: &Item) {
    let (scheme, target) = match &item.href {
        Href::Part(id) => ("cid", id),
        Href::Message(id) => ("mid", id),
    };
    out.push_str("<eb:Reference");
    if let Some(id) = &item.id {
        let _ = write!(out, " eb:id=\"{}\"", escape(id));
    }
    let _ = write!(
        out,
        " xlink:href=\"{scheme}:{}\"><eb:Description xml:lang=\"en\">{}</eb:Description></eb:Reference>",
        escape(target),
        escape(&item.description)
    );
}

/// Escaped for text and attributes alike.
pub(super) fn escape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    push_attribute_value(&mut out, text);
    // Text needs one character more than an attribute.
    String::from_utf8_lossy(&out).replace('>', "&gt;")
}

/// The header of a received message.
pub fn read_header(document: &Document) -> Result<Header, EnvelopeFault> {
    check_understood(soap_header(document)?)?;
    read_fields(document)
}

/// The header's fields, whatever stands beside them: enough to tell a sender what is wrong.
pub(super) fn read_fields(document: &Document) -> Result<Header, EnvelopeFault> {
    let header = soap_header(document)?;
    let message = header.only_child(EB, "MessageHeader").ok_or(EnvelopeFault::NotOne("MessageHeader"))?;
    let data = message.only_child(EB, "MessageData").ok_or(EnvelopeFault::NotOne("MessageData"))?;
    let optional = |parent: Element<'_>, name: &'static str| parent.child(EB, name).map(trimmed);
    let time = |name: &'static str| {
        optional(data, name).map(|t| read_moment(&t).ok_or(EnvelopeFault::Malformed(name))).transpose()
    };
    Ok(Header {
        from: party(message, "From")?,
        to: party(message, "To")?,
        cpa_id: CpaId::parse(&required(message, "CPAId")?).map_err(|_| EnvelopeFault::Malformed("CPAId"))?,
        conversation: ConversationId::parse(&required(message, "ConversationId")?)
            .map_err(|_| EnvelopeFault::Malformed("ConversationId"))?,
        service: required(message, "Service")?,
        action: required(message, "Action")?,
        message_id: message_id(&required(data, "MessageId")?, "MessageId")?,
        timestamp: time("Timestamp")?.ok_or(EnvelopeFault::NotOne("Timestamp"))?,
        time_to_live: time("TimeToLive")?,
        refers_to: optional(data, "RefToMessageId").map(|t| message_id(&t, "RefToMessageId")).transpose()?,
        duplicate_elimination: message.child(EB, "DuplicateElimination").is_some(),
        ack_requested: ack_requested(header),
    })
}

/// Every party the message is addressed to, as far as they are party keys.
pub fn addressees(document: &Document) -> Vec<PartyKey> {
    let message = soap_header(document).ok().and_then(|header| header.child(EB, "MessageHeader"));
    let to = message.and_then(|message| message.child(EB, "To"));
    to.into_iter().flat_map(party_keys).collect()
}

/// The items of the manifest, the HL7 reference first.
pub fn read_manifest(document: &Document) -> Result<Vec<Item>, EnvelopeFault> {
    let body = document.root().only_child(SOAP, "Body").ok_or(EnvelopeFault::NotOne("Body"))?;
    let manifest = body.only_child(EB, "Manifest").ok_or(EnvelopeFault::NotOne("Manifest"))?;
    manifest.children().filter(|e| e.is(EB, "Reference")).map(read_item).collect()
}

fn read_item(reference: Element<'_>) -> Result<Item, EnvelopeFault> {
    let href = reference.attribute(XLINK, "href").ok_or(EnvelopeFault::Malformed("Reference"))?;
    let href = match (href.strip_prefix("cid:"), href.strip_prefix("mid:")) {
        (Some(id), _) => Href::Part(id.to_owned()),
        (_, Some(id)) => Href::Message(id.to_owned()),
        (None, None) => return Err(EnvelopeFault::Malformed("Reference")),
    };
    let id = reference.attribute(EB, "id").map(str::to_owned);
    let description = reference.child(EB, "Description").map(trimmed).unwrap_or_default();
    Ok(Item { id, href, description })
}

pub(super) fn soap_header(document: &Document) -> Result<Element<'_>, EnvelopeFault> {
    let root = document.root();
    if !root.is(SOAP, "Envelope") {
        return Err(EnvelopeFault::NotSoap);
    }
    root.only_child(SOAP, "Header").ok_or(EnvelopeFault::NotOne("Header"))
}

/// An unknown block that must be understood by us stops the message (wire reference §3.2).
fn check_understood(header: Element<'_>) -> Result<(), EnvelopeFault> {
    let known =
        |e: Element<'_>| e.namespace() == EB || e.is("http://www.w3.org/2000/09/xmldsig#", "Signature");
    let ours = |e: Element<'_>| matches!(e.attribute(SOAP, "actor"), None | Some(TO_PARTY_MSH | NEXT_MSH));
    let strange =
        |e: &Element<'_>| e.attribute(SOAP, "mustUnderstand") == Some("1") && ours(*e) && !known(*e);
    if header.children().any(|e| strange(&e)) {
        return Err(EnvelopeFault::MustUnderstand);
    }
    if header.child(EB, "MessageOrder").is_some() {
        return Err(EnvelopeFault::NotSpoken("MessageOrder"));
    }
    match header.child(EB, "MessageHeader").and_then(|message| message.attribute(EB, "version")) {
        Some("2.0") | None => Ok(()),
        Some(_) => Err(EnvelopeFault::Version),
    }
}

fn ack_requested(header: Element<'_>) -> AckRequest {
    match header.child(EB, "AckRequested") {
        None => AckRequest::Never,
        Some(e) if e.attribute(SOAP, "actor") == Some(NEXT_MSH) => AckRequest::NextHop,
        Some(e) => AckRequest::Party { signed: matches!(e.attribute(EB, "signed"), Some("true" | "1")) },
    }
}

fn party(message: Element<'_>, side: &'static str) -> Result<PartyKey, EnvelopeFault> {
    let side_element = message.only_child(EB, side).ok_or(EnvelopeFault::NotOne(side))?;
    party_keys(side_element).next().ok_or(EnvelopeFault::Malformed("PartyId"))
}

/// A party may go by several ids (wire reference §3.2); those that are party keys.
fn party_keys(side: Element<'_>) -> impl Iterator<Item = PartyKey> {
    side.children().filter(|e| e.is(EB, "PartyId")).filter_map(|e| PartyKey::parse(&trimmed(e)).ok())
}

pub(super) fn required(parent: Element<'_>, name: &'static str) -> Result<String, EnvelopeFault> {
    parent.only_child(EB, name).map(trimmed).ok_or(EnvelopeFault::NotOne(name))
}

pub(super) fn message_id(text: &str, name: &'static str) -> Result<MessageId, EnvelopeFault> {
    MessageId::parse(text).map_err(|_| EnvelopeFault::Malformed(name))
}

pub(super) fn trimmed(element: Element<'_>) -> String {
    element.text().trim().to_owned()
}

/// Any number of fraction digits; no zone means UTC (wire reference §3.2).
pub(super) fn read_moment(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|_| Timestamp::parse(&format!("{text}Z"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::xml::XmlLimits;

    pub fn header() -> Header {
        Header {
            from: PartyKey::parse("HMP01-0001").unwrap(),
            to: PartyKey::parse("GPX01-0002").unwrap(),
            cpa_id: CpaId::parse("S0001A0002").unwrap(),
            conversation: ConversationId::derived(&["c"]),
            service: GP2GP.to_owned(),
            action: "RCMR_IN030000UK06".to_owned(),
            message_id: MessageId::derived(&["m"]),
            timestamp: Timestamp::parse("2026-03-02T09:00:00Z").unwrap(),
            time_to_live: Some(Timestamp::parse("2026-03-02T15:00:00Z").unwrap()),
            refers_to: None,
            duplicate_elimination: true,
            ack_requested: AckRequest::Party { signed: true },
        }
    }

    #[test]
    fn an_envelope_reads_back_as_it_was_written() {
        let items = [
            Item {
                id: Some("_D1".to_owned()),
                href: Href::Part("a1@hmp01".to_owned()),
                description: "Filename=\"a & <b>.pdf\"".to_owned(),
            },
            Item { id: None, href: Href::Message("F0".to_owned()), description: "x".to_owned() },
        ];
        let text = write_business(&header(), "p1@hmp01", &items);
        let document = Document::parse(text.as_bytes(), &XmlLimits::envelope()).unwrap();
        assert_eq!(read_header(&document).unwrap(), header());
        let manifest = read_manifest(&document).unwrap();
        assert_eq!(manifest[0].href, Href::Part("p1@hmp01".to_owned()));
        assert_eq!(manifest[1..], items);
    }

    #[test]
    fn times_without_a_zone_are_utc_and_may_have_seven_digits() {
        let expected = Timestamp::parse("2013-11-01T14:05:06.123Z").unwrap();
        assert_eq!(read_moment("2013-11-01T14:05:06.1234567"), Some(expected));
        assert_eq!(read_moment("yesterday"), None);
    }

    #[test]
    fn a_block_that_must_be_understood_and_is_not_stops_the_message() {
        let text = write_business(&header(), "p", &[]).replace(
            "</SOAP:Header>",
            "<x:New xmlns:x=\"urn:x\" SOAP:mustUnderstand=\"1\"></x:New></SOAP:Header>",
        );
        let document = Document::parse(text.as_bytes(), &XmlLimits::envelope()).unwrap();
        assert_eq!(read_header(&document), Err(EnvelopeFault::MustUnderstand));
    }
}
