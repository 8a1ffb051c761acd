//! A COPC of ours.

use std::fmt;

use super::INTERACTION;
use crate::model::{Asid, MessageId, OdsCode, Timestamp};
use crate::packet::envelope::GP2GP;
use crate::packet::hl7::acknowledgement::INTERACTION as MCCI;
use crate::packet::hl7::wrapper::{MIM_3, RESPONSE_CODES, Wrapper, acknowledgement, attribute};

/// What a payload and its body are.
const PAYLOADS: &str = "2.16.840.1.113883.2.1.3.2.4.17.202";
/// The version both captures and the specification's examples claim.
const VERSION: &str = "V3NPfIT3.0";
/// The longest name of a document that is written: file systems take no more.
const NAME_CHARS: usize = 255;

/// A COPC of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copc {
    /// The ebXML MessageId of the message that carries it.
    pub message_id: MessageId,
    /// When it was made.
    pub creation: Timestamp,
    /// Their system.
    pub to_asid: Asid,
    /// Our system.
    pub from_asid: Asid,
    /// Their organisation.
    pub to_ods: OdsCode,
    /// Our organisation.
    pub from_ods: OdsCode,
    /// What it is for.
    pub content: CopcContent,
}

/// What a COPC is for.
#[derive(Clone, PartialEq, Eq)]
pub enum CopcContent {
    /// Leave to send the parts of an extract (LM32).
    Continue {
        /// The MessageId of the extract (C17).
        refers_to: MessageId,
    },
    /// A part. An attachment, an index and a fragment have the same payload: manifest and MessageId tell them apart.
    Part {
        /// The document's file name; of a fragment [`fragment_name`].
        name: String,
    },
}

impl fmt::Debug for CopcContent {
    /// Without the name: file names of a record may name the patient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue { refers_to } => f.debug_struct("Continue").field("refers_to", refers_to).finish(),
            Self::Part { name: _ } => f.debug_struct("Part").finish_non_exhaustive(),
        }
    }
}

/// What a fragment is called: after the index that lists it, with its number from 0 (the form of the captures).
pub fn fragment_name(index: &MessageId, number: usize) -> String {
    format!("{index}_{number}.messageattachment")
}

impl Copc {
    /// The payload: no white space between elements (TPP).
    pub fn write(&self) -> Vec<u8> {
        let content = match &self.content {
            CopcContent::Continue { refers_to } => self.leave(refers_to),
            CopcContent::Part { name } => self.part(&name.chars().take(NAME_CHARS).collect::<String>()),
        };
        self.wrapper(INTERACTION, VERSION).write("", &content)
    }

    fn wrapper(&self, interaction: &'static str, version: &'static str) -> Wrapper<'_> {
        Wrapper {
            interaction,
            version,
            message_id: &self.message_id,
            creation: self.creation,
            to_asid: &self.to_asid,
            from_asid: &self.from_asid,
        }
    }

    /// The answer inside is one of MCCI without its control act; the message type is that of both captures (C17).
    fn leave(&self, refers_to: &MessageId) -> String {
        let code = format!(r#"<code code="0" codeSystem="{RESPONSE_CODES}" displayName="Continue"/>"#);
        let detail = format!(r#"<acknowledgementDetail typeCode="IF">{code}</acknowledgementDetail>"#);
        let answer = acknowledgement("AA", &detail, refers_to);
        let value = format!(
            concat!(
                r#"<Gp2gpfragment xmlns="{service}"><Message xmlns="urn:hl7-org:v3" type="Message">{message}</Message>"#,
                r#"<acknowledgedMessage><id root="{refers_to}"/></acknowledgedMessage></Gp2gpfragment>"#,
            ),
            service = GP2GP,
            message = self.wrapper(MCCI, MIM_3).transmission(&code, &answer),
            refers_to = attribute(refers_to.as_str()),
        );
        self.payload(&Payload {
            code: ("GP2GP_PI", "GP2GP Payload Information"),
            message_type: "RCMR_MT000002GB01",
            subject: "Continue Acknowledgement",
            body: ("GP2GP_PB", "GP2GP Payload Body"),
            value: &value,
        })
    }

    fn part(&self, name: &str) -> String {
        self.payload(&Payload {
            code: ("GP2GPLMATTACHMENTINFO", "GP2GP Large Message Attachment Information"),
            message_type: "RCMR_MT000001GB01",
            subject: &format!("Attachment: {name}"),
            body: ("GP2GPLMATTACHMENT", "GP2GP Large Message Attachment"),
            value: &format!(r#"<reference value="{}"/>"#, attribute(&locator(name))),
        })
    }

    fn payload(&self, payload: &Payload<'_>) -> String {
        format!(
            concat!(
                r#"<subject typeCode="SUBJ" contextConductionInd="false">"#,
                r#"<PayloadInformation xmlns:npfitlc="NPFIT:HL7:Localisation" classCode="OBS" moodCode="EVN">"#,
                r#"{code}<id root="{id}"/>"#,
                r#"<npfitlc:messageType root="2.16.840.1.113883.2.1.3.2.4.18.17" extension="{message_type}"/>"#,
                r#"<value><Gp2gpfragment xmlns="{service}"><Version>01</Version><Recipients><Recipient>{to}</Recipient>"#,
                r#"</Recipients><From>{from}</From><subject>{subject}</subject><message-id>{id}</message-id>"#,
                r#"</Gp2gpfragment></value><pertinentInformation typeCode="PERT"><sequenceNumber value="1"/>"#,
                r#"<pertinentPayloadBody classCode="OBS" moodCode="EVN">{body}<id root="{id}"/><value>{value}</value>"#,
                r#"</pertinentPayloadBody></pertinentInformation></PayloadInformation></subject>"#,
            ),
            code = code(payload.code),
            id = attribute(self.message_id.as_str()),
            message_type = payload.message_type,
            service = GP2GP,
            to = self.to_ods,
            from = self.from_ods,
            subject = attribute(payload.subject),
            body = code(payload.body),
            value = payload.value,
        )
    }
}

/// What differs between the two columns of wire reference §4.3.
struct Payload<'a> {
    code: (&'static str, &'static str),
    message_type: &'static str,
    subject: &'a str,
    body: (&'static str, &'static str),
    value: &'a str,
}

fn code((code, display): (&str, &str)) -> String {
    format!(r#"<code code="{code}" codeSystem="{PAYLOADS}" displayName="{display}"/>"#)
}

/// A name as the schema takes it, where it must be a URI: what would make it none is percent-encoded. The subject holds
/// the name as it is.
fn locator(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '%' => out.push_str("%25"),
            '[' => out.push_str("%5B"),
            ']' => out.push_str("%5D"),
            '#' => out.push_str("%23"),
            ':' => out.push_str("%3A"),
            c => out.push(c),
        }
    }
    out
}
