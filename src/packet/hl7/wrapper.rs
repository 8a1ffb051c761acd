//! What every HL7 payload of the conversation has round its content (wire reference §4.1).

use quick_xml::escape::escape;

use super::HL7;
use crate::model::{Asid, MessageId, Timestamp};
use crate::packet::xml::Element;

/// Accredited systems.
const ASIDS: &str = "1.2.826.0.1285.0.2.0.107";
/// Interactions.
const INTERACTIONS: &str = "2.16.840.1.113883.2.1.3.2.4.12";

/// The wrapper of a payload of ours.
pub(super) struct Wrapper<'a> {
    /// The interaction, and so the name of the root element.
    pub interaction: &'static str,
    /// The version of the interaction that is claimed; readers never look at it.
    pub version: &'static str,
    /// The ebXML MessageId of the message that carries it.
    pub message_id: &'a MessageId,
    /// When it was made.
    pub creation: Timestamp,
    /// Their system.
    pub to_asid: &'a Asid,
    /// Our system.
    pub from_asid: &'a Asid,
}

impl Wrapper<'_> {
    /// The payload: no white space between elements (TPP). `acknowledgement` stands before the systems, `act` ends the
    /// control act.
    pub fn write(&self, acknowledgement: &str, act: &str) -> Vec<u8> {
        let Self { interaction, version, message_id, creation, to_asid, from_asid } = self;
        let message_id = attribute(message_id.as_str());
        let created = creation.to_hl7_utc();
        let (receiver, sender) = (device("device", to_asid), device("device", from_asid));
        let author = device("agentSystemSDS", from_asid);
        format!(
            concat!(
                r#"<?xml version="1.0" encoding="UTF-8"?><{interaction} xmlns="{HL7}">"#,
                r#"<id root="{message_id}"/><creationTime value="{created}"/><versionCode code="{version}"/>"#,
                r#"<interactionId root="{INTERACTIONS}" extension="{interaction}"/>"#,
                r#"<processingCode code="P"/><processingModeCode code="T"/><acceptAckCode code="NE"/>"#,
                r#"{acknowledgement}<communicationFunctionRcv typeCode="RCV">{receiver}</communicationFunctionRcv>"#,
                r#"<communicationFunctionSnd typeCode="SND">{sender}</communicationFunctionSnd>"#,
                r#"<ControlActEvent classCode="CACT" moodCode="EVN"><author1 typeCode="AUT">"#,
                r#"<AgentSystemSDS classCode="AGNT">{author}</AgentSystemSDS></author1>"#,
                r#"{act}</ControlActEvent></{interaction}>"#,
            ),
            interaction = interaction,
            HL7 = HL7,
            message_id = message_id,
            created = created,
            version = version,
            INTERACTIONS = INTERACTIONS,
            acknowledgement = acknowledgement,
            receiver = receiver,
            sender = sender,
            author = author,
            act = act,
        )
        .into_bytes()
    }
}

fn device(element: &str, asid: &Asid) -> String {
    format!(
        r#"<{element} classCode="DEV" determinerCode="INSTANCE"><id root="{ASIDS}" extension="{asid}"/></{element}>"#
    )
}

/// Escaped, and with a blank for what XML has no character for.
pub(super) fn attribute(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    escape(one_line.as_str()).into_owned()
}

/// A child of the namespace.
pub(super) fn child<'d>(element: Element<'d>, name: &str) -> Option<Element<'d>> {
    element.child(HL7, name)
}

/// The element at the end of a way down.
pub(super) fn at<'d>(element: Element<'d>, way: &[&str]) -> Option<Element<'d>> {
    way.iter().try_fold(element, |element, name| child(element, name))
}

/// `id/@root` of an element.
pub(super) fn root_of(element: Option<Element<'_>>) -> Option<&str> {
    Some(child(element?, "id")?.attribute("", "root")?.trim())
}

/// `id/@extension` of an element.
pub(super) fn extension_of(element: Option<Element<'_>>) -> Option<&str> {
    Some(child(element?, "id")?.attribute("", "extension")?.trim())
}
