//! A peer's COPC, in either form of the Continue and with whatever prefixes.

use super::INTERACTION;
use crate::model::{Asid, MessageId, OdsCode};
use crate::packet::envelope::Item;
use crate::packet::hl7::wrapper::{ReadWrapper, below, child, root_of};
use crate::packet::hl7::{HL7, Hl7Fault};
use crate::packet::manifest::has_messages;
use crate::packet::xml::{Document, Element, XmlLimits};

/// A peer's COPC. Holds no name of a document: the manifest has those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadCopc {
    /// The wrapper's own id; equal to the MessageId for most peers.
    pub wrapper_id: MessageId,
    /// The system it is for, where one is named.
    pub receiver_asid: Option<Asid>,
    /// The system it is from, where one is named.
    pub sender_asid: Option<Asid>,
    /// The id of PayloadInformation: the MessageId (LM app. 4), where it is one.
    pub payload_id: Option<MessageId>,
    /// The message-id of the first Gp2gpfragment: the MessageId again, where it is one.
    pub message_id: Option<MessageId>,
    /// The organisation it is from; none where that is left empty (INPS) or no code.
    pub from_ods: Option<OdsCode>,
    /// The organisations it is for, as far as they are codes.
    pub recipients: Vec<OdsCode>,
    /// The answer inside: a Continue has one, a part has none.
    pub acknowledged: Option<Acknowledged>,
}

/// The answer inside a Continue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// What it refers to: acknowledgedMessage's id, else messageRef's. The extract's MessageId, or its EhrExtract id (C17);
    /// none where neither names anything.
    pub id: Option<MessageId>,
    /// messageRef's id where it is another.
    pub other_id: Option<MessageId>,
}

/// What a COPC is, as far as the message itself can tell (gp2gp reference §1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopcKind {
    /// Leave to send the parts of an extract (M4).
    Continue {
        /// The extract: its MessageId or its EhrExtract id (C17).
        refers_to: Option<MessageId>,
    },
    /// The index of a document that was cut up (M6a).
    Index,
    /// An attachment or a fragment: which, those know who hold the extract and the indexes that list its MessageId.
    Part,
}

impl ReadCopc {
    /// Reads any COPC; `charset` is the label of the MIME part, tried where the octets are not in the encoding of their
    /// prolog (§2.2).
    ///
    /// # Errors
    /// Where it is no COPC, or holds not exactly one payload, or a Continue whose answer is not positive: that gives no
    /// leave, and a refusal in its place is an MCCI (wire reference §4.3).
    pub fn read_labelled(octets: &[u8], charset: Option<&str>) -> Result<Self, Hl7Fault> {
        let document = Document::parse_labelled(octets, charset, &XmlLimits::envelope())?;
        let root = document.root();
        if !root.is(HL7, INTERACTION) {
            return Err(Hl7Fault::Other(INTERACTION));
        }
        let ReadWrapper { id, receiver_asid, sender_asid } = ReadWrapper::of(root)?;
        let payload = match below(root, &["ControlActEvent", "subject", "PayloadInformation"])[..] {
            [] => return Err(Hl7Fault::Missing("PayloadInformation")),
            [payload] => payload,
            [_, _, ..] => return Err(Hl7Fault::Contradiction("PayloadInformation")),
        };
        let fragment = child(payload, "value").and_then(|value| named(value, "Gp2gpfragment"));
        let recipients = fragment.and_then(|fragment| named(fragment, "Recipients"));
        let recipients = recipients.into_iter().flat_map(Element::children);
        Ok(Self {
            wrapper_id: id,
            receiver_asid,
            sender_asid,
            payload_id: root_of(Some(payload)).and_then(|id| MessageId::parse(id).ok()),
            message_id: text(fragment, "message-id").and_then(|id| MessageId::parse(id.trim()).ok()),
            from_ods: text(fragment, "From").and_then(|ods| OdsCode::parse(&ods).ok()),
            recipients: recipients
                .filter(|recipient| recipient.name() == "Recipient")
                .filter_map(|recipient| OdsCode::parse(&recipient.text()).ok())
                .collect(),
            acknowledged: acknowledged(payload)?,
        })
    }

    /// What it is, `manifest` being that of the envelope it came in. Never told by the number of parts nor by the subject.
    pub fn kind(&self, manifest: &[Item]) -> CopcKind {
        match &self.acknowledged {
            Some(acknowledged) => CopcKind::Continue { refers_to: acknowledged.id.clone() },
            None if has_messages(manifest) => CopcKind::Index,
            None => CopcKind::Part,
        }
    }
}

/// The answer in the body, where there is one.
fn acknowledged(payload: Element<'_>) -> Result<Option<Acknowledged>, Hl7Fault> {
    let bodies = below(payload, &["pertinentInformation", "pertinentPayloadBody"]);
    let body = bodies.into_iter().find_map(|body| Some((body, inside(body, "acknowledgedMessage")?)));
    let Some((body, message)) = body else { return Ok(None) };
    let answer = inside(body, "acknowledgement");
    match answer.and_then(|answer| answer.attribute("", "typeCode")).map(str::trim) {
        Some("AA") | None => {}
        Some(_) => return Err(Hl7Fault::Unusable("Gp2gpfragment/Message/acknowledgement/@typeCode")),
    }
    let id = id_of(message);
    let reference = answer.and_then(|answer| named(answer, "messageRef")).and_then(id_of);
    let other_id = reference.clone().filter(|other| id.as_ref().is_some_and(|id| id != other));
    Ok(Some(Acknowledged { id: id.or(reference), other_id }))
}

/// The first child of this name. The fragment's elements are GP2GP's own; who writes them into another namespace means
/// the same.
fn named<'d>(element: Element<'d>, name: &str) -> Option<Element<'d>> {
    element.children().find(|child| child.name() == name)
}

/// The first element of this name anywhere below.
fn inside<'d>(element: Element<'d>, name: &str) -> Option<Element<'d>> {
    element.descendants().find(|found| found.name() == name)
}

fn text(fragment: Option<Element<'_>>, name: &str) -> Option<String> {
    Some(named(fragment?, name)?.text())
}

fn id_of(element: Element<'_>) -> Option<MessageId> {
    MessageId::parse(named(element, "id")?.attribute("", "root")?.trim()).ok()
}
