//! What every message of this folder stands in: its id, when it was made, and between which systems it goes (wire
//! reference §4.1).
//!
//! What it says inside is the business of the page named after it.

use quick_xml::escape::escape;

use super::{HL7, Hl7Fault};
use crate::model::{Asid, MessageId, Timestamp};
use crate::packet::xml::{Document, Element, XmlLimits};

/// Accredited systems.
pub(super) const ASIDS: &str = "1.2.826.0.1285.0.2.0.107";
/// Organisations.
pub(super) const ODS_CODES: &str = "1.2.826.0.1285.0.1.10";
/// Patients.
pub(super) const NHS_NUMBERS: &str = "2.16.840.1.113883.2.1.4.1";
/// Response codes (0083).
pub(super) const RESPONSE_CODES: &str = "2.16.840.1.113883.2.1.3.2.4.17.101";
/// The version of everything but COPC.
pub(super) const MIM_3: &str = "V3NPfIT3.1.10";

/// The wrapper of a message of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wrapper<'a> {
    /// The interaction, and so the name of the root element.
    pub interaction: &'static str,
    /// The version that is claimed; nobody checks it.
    pub version: &'static str,
    /// The ebXML MessageId.
    pub message_id: &'a MessageId,
    /// When the message was made.
    pub creation: Timestamp,
    /// Their system.
    pub to_asid: &'a Asid,
    /// Our system.
    pub from_asid: &'a Asid,
}

impl Wrapper<'_> {
    /// The whole payload, without white space between elements (TPP). `acknowledgement` is MCCI's own element, empty
    /// for others; `content` is what the control act holds after its author.
    pub fn write(&self, acknowledgement: &str, content: &str) -> Vec<u8> {
        format!(
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><{interaction} xmlns="{hl7}">{transmission}"#,
                r#"<ControlActEvent classCode="CACT" moodCode="EVN"><author1 typeCode="AUT">"#,
                r#"<AgentSystemSDS classCode="AGNT"><agentSystemSDS classCode="DEV" determinerCode="INSTANCE">"#,
                r#"<id root="{asids}" extension="{from_asid}"/></agentSystemSDS></AgentSystemSDS></author1>"#,
                r#"{content}</ControlActEvent></{interaction}>"#,
            ),
            interaction = self.interaction,
            hl7 = HL7,
            transmission = self.transmission("", acknowledgement),
            asids = ASIDS,
            from_asid = self.from_asid,
            content = content,
        )
        .into_bytes()
    }

    /// From the id to the two systems; `code` follows the id where a message stands inside another.
    pub fn transmission(&self, code: &str, acknowledgement: &str) -> String {
        format!(
            concat!(
                r#"<id root="{message_id}"/>{code}<creationTime value="{created}"/><versionCode code="{version}"/>"#,
                r#"<interactionId root="2.16.840.1.113883.2.1.3.2.4.12" extension="{interaction}"/>"#,
                r#"<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="NE"/>"#,
                r#"{acknowledgement}<communicationFunctionRcv typeCode="RCV">{receiver}</communicationFunctionRcv>"#,
                r#"<communicationFunctionSnd typeCode="SND">{sender}</communicationFunctionSnd>"#,
            ),
            message_id = attribute(self.message_id.as_str()),
            code = code,
            created = self.creation.to_hl7_utc(),
            version = self.version,
            interaction = self.interaction,
            acknowledgement = acknowledgement,
            receiver = device(self.to_asid),
            sender = device(self.from_asid),
        )
    }
}

fn device(asid: &Asid) -> String {
    format!(
        r#"<device classCode="DEV" determinerCode="INSTANCE"><id root="{ASIDS}" extension="{asid}"/></device>"#
    )
}

/// The answer to a message, `detail` being its code or nothing.
pub(super) fn acknowledgement(type_code: &str, detail: &str, refers_to: &MessageId) -> String {
    let refers_to = attribute(refers_to.as_str());
    format!(
        r#"<acknowledgement typeCode="{type_code}">{detail}<messageRef><id root="{refers_to}"/></messageRef></acknowledgement>"#
    )
}

/// Escaped for text and attributes alike, and with a blank for what XML has no character for.
pub(super) fn attribute(text: &str) -> String {
    let printable = |c: char| if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') { ' ' } else { c };
    let one_line: String = text.chars().map(printable).collect();
    escape(one_line.as_str()).into_owned()
}

/// What the wrapper of a peer's message says. For a message that cannot be read any further it is enough to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadWrapper {
    /// The message's own id; equal to the MessageId for most peers.
    pub id: MessageId,
    /// The system it is for, where one is named.
    pub receiver_asid: Option<Asid>,
    /// The system it is from, where one is named.
    pub sender_asid: Option<Asid>,
}

impl ReadWrapper {
    /// Reads the wrapper of any message of HL7, whatever the interaction. `charset` is the label of the MIME part,
    /// tried where the octets are not in the encoding of their prolog (§2.2).
    ///
    /// # Errors
    /// Where it is not XML we read, not of HL7, or without a usable id.
    pub fn read_labelled(octets: &[u8], charset: Option<&str>) -> Result<Self, Hl7Fault> {
        let document = Document::parse_labelled(octets, charset, &XmlLimits::envelope())?;
        if document.root().namespace() != HL7 {
            return Err(Hl7Fault::Other("a message of HL7"));
        }
        Self::of(document.root())
    }

    /// The wrapper of a message whose root this is. Version codes are never looked at (§4.1).
    pub(super) fn of(root: Element<'_>) -> Result<Self, Hl7Fault> {
        let id = root_of(Some(root)).ok_or(Hl7Fault::Missing("id/@root"))?;
        let id = MessageId::parse(id).map_err(|_| Hl7Fault::Unusable("id/@root"))?;
        let asid = |function: &str| {
            let ids = below(root, &[function, "device", "id"]);
            ids.iter().find_map(|id| Asid::parse(id.attribute("", "extension")?).ok())
        };
        Ok(Self {
            id,
            receiver_asid: asid("communicationFunctionRcv"),
            sender_asid: asid("communicationFunctionSnd"),
        })
    }
}

/// The first child of this name in HL7's namespace.
pub(super) fn child<'d>(element: Element<'d>, name: &str) -> Option<Element<'d>> {
    element.child(HL7, name)
}

/// Every element of HL7 that stands at the end of a way down.
pub(super) fn below<'d>(element: Element<'d>, way: &[&str]) -> Vec<Element<'d>> {
    way.iter().fold(vec![element], |reached, name| {
        reached.into_iter().flat_map(Element::children).filter(|child| child.is(HL7, name)).collect()
    })
}

/// `id/@root` of an element.
pub(super) fn root_of(element: Option<Element<'_>>) -> Option<&str> {
    Some(child(element?, "id")?.attribute("", "root")?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapper_is_enough_to_answer_a_message_nobody_speaks() {
        let text = "<v:RCMR_IN010000UK99 xmlns:v='urn:hl7-org:v3'>\n<v:id root=' 6e2\t'/><v:versionCode code='?'/>\
                    <v:communicationFunctionRcv><v:device><v:id extension=' 111 '/></v:device>\
                    </v:communicationFunctionRcv><v:communicationFunctionSnd><v:device><v:id extension='2 2'/>\
                    </v:device></v:communicationFunctionSnd></v:RCMR_IN010000UK99>";
        let read = ReadWrapper::read_labelled(text.as_bytes(), None).unwrap();
        assert_eq!(read.id.as_str(), "6E2");
        assert_eq!(read.receiver_asid.map(|asid| asid.to_string()).as_deref(), Some("111"));
        assert_eq!(read.sender_asid, None, "an ASID that can be none is as good as absent");
    }

    #[test]
    fn what_has_no_wrapper_is_refused_by_name() {
        let fault = |text: &str| ReadWrapper::read_labelled(text.as_bytes(), None).unwrap_err();
        assert_eq!(fault("<a/>"), Hl7Fault::Other("a message of HL7"));
        assert_eq!(fault("<a xmlns='urn:hl7-org:v3'/>"), Hl7Fault::Missing("id/@root"));
        let blank = "<a xmlns='urn:hl7-org:v3'><id root='a b'/></a>";
        assert_eq!(fault(blank), Hl7Fault::Unusable("id/@root"));
    }

    #[test]
    fn what_xml_has_no_character_for_becomes_a_blank() {
        assert_eq!(attribute("a\u{0}b\r\nc\u{FFFF}\"<&>'"), "a b  c &quot;&lt;&amp;&gt;&apos;");
    }
}
