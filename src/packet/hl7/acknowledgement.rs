//! The application acknowledgement, MCCI_IN010000UK13: written one way, read in every way peers write it
//! (wire reference §4.1, §4.4).
//!
//! What a code means is not known here.

use super::wrapper::{
    MIM_3, RESPONSE_CODES, ReadWrapper, Wrapper, acknowledgement, attribute, child, root_of,
};
use super::{HL7, Hl7Fault};
use crate::model::{Asid, MessageId, Timestamp};
use crate::packet::xml::{Document, Element, XmlLimits};

/// The interaction, and so the name of the root element.
pub(super) const INTERACTION: &str = "MCCI_IN010000UK13";
/// What kind of answer a reason is; `ER` is an error.
const REASON_KINDS: &str = "2.16.840.1.113883.2.1.3.2.4.17.104";
/// The longest text of a peer that is kept: the longest of the specification is under 150 characters.
const TEXT_CHARS: usize = 300;

/// An acknowledgement of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationAcknowledgement {
    /// The ebXML MessageId of the message that carries it.
    pub message_id: MessageId,
    /// When it was made.
    pub creation: Timestamp,
    /// Their system.
    pub to_asid: Asid,
    /// Our system.
    pub from_asid: Asid,
    /// The message that is answered.
    pub refers_to: MessageId,
    /// The answer.
    pub verdict: Answer,
}

/// What is said of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// AA.
    Accept,
    /// AE, with the code and its display text in both places, since some peers read one and some the other.
    Refuse {
        /// The response code; a single digit is written as two.
        code: String,
        /// Its display text.
        text: String,
    },
}

impl ApplicationAcknowledgement {
    /// The payload: no white space between elements (TPP).
    pub fn write(&self) -> Vec<u8> {
        let (type_code, detail, reason) = match &self.verdict {
            Answer::Accept => ("AA", String::new(), String::new()),
            Answer::Refuse { code, text } => {
                let code = format!(
                    r#"code="{}" codeSystem="{RESPONSE_CODES}" displayName="{}""#,
                    two_digits(code),
                    attribute(text)
                );
                ("AE", detail(&code), reason(&code))
            }
        };
        let wrapper = Wrapper {
            interaction: INTERACTION,
            version: MIM_3,
            message_id: &self.message_id,
            creation: self.creation,
            to_asid: &self.to_asid,
            from_asid: &self.from_asid,
        };
        wrapper.write(&acknowledgement(type_code, &detail, &self.refers_to), &reason)
    }
}

fn detail(code: &str) -> String {
    format!(r#"<acknowledgementDetail typeCode="ER"><code {code}/></acknowledgementDetail>"#)
}

fn reason(code: &str) -> String {
    format!(
        concat!(
            r#"<reason typeCode="RSON"><justifyingDetectedIssueEvent classCode="ALRT" moodCode="EVN"><code {code}>"#,
            r#"<qualifier><value code="ER" codeSystem="{kinds}"/></qualifier></code>"#,
            "</justifyingDetectedIssueEvent></reason>",
        ),
        code = code,
        kinds = REASON_KINDS,
    )
}

fn two_digits(code: &str) -> String {
    match code.parse::<u8>() {
        Ok(number) if number < 10 => format!("{number:02}"),
        _ => attribute(code),
    }
}

/// A peer's acknowledgement.
#[derive(Clone, PartialEq, Eq)]
pub struct ReadAcknowledgement {
    /// The wrapper's own id; equal to the MessageId for most peers.
    pub wrapper_id: MessageId,
    /// The message it answers; none when it names none that could be one.
    pub refers_to: Option<MessageId>,
    /// AA; AE and AR are read alike.
    pub positive: bool,
    /// The code as text: of the reason, else of the detail. `205` and `SEF001` are legal.
    pub code: Option<String>,
    /// The detail's code where it is another than the reason's.
    pub other_code: Option<String>,
    /// The display text beside the code that was taken.
    pub text: Option<String>,
}

impl std::fmt::Debug for ReadAcknowledgement {
    /// Without the text: a peer may write anything there.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadAcknowledgement")
            .field("wrapper_id", &self.wrapper_id)
            .field("refers_to", &self.refers_to)
            .field("positive", &self.positive)
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl ReadAcknowledgement {
    /// Reads every form of §4.4.
    pub fn read(octets: &[u8]) -> Result<Self, Hl7Fault> {
        Self::read_labelled(octets, None)
    }

    /// As [`ReadAcknowledgement::read`]; where the octets are not in the encoding of their prolog, `charset`, the
    /// label of the MIME part, is tried (§2.2).
    pub fn read_labelled(octets: &[u8], charset: Option<&str>) -> Result<Self, Hl7Fault> {
        let document = Document::parse_labelled(octets, charset, &XmlLimits::envelope())?;
        let root = document.root();
        if !root.is(HL7, INTERACTION) {
            return Err(Hl7Fault::Other(INTERACTION));
        }
        let ReadWrapper { id: wrapper_id, .. } = ReadWrapper::of(root)?;
        let acknowledgement = child(root, "acknowledgement").ok_or(Hl7Fault::Missing("acknowledgement"))?;
        let positive = match acknowledgement.attribute("", "typeCode").map(str::trim) {
            Some("AA") => true,
            Some("AE" | "AR") => false,
            Some(_) => return Err(Hl7Fault::Unusable("acknowledgement/@typeCode")),
            None => return Err(Hl7Fault::Missing("acknowledgement/@typeCode")),
        };
        let refers_to =
            root_of(child(acknowledgement, "messageRef")).and_then(|id| MessageId::parse(id).ok());
        let detail = child(acknowledgement, "acknowledgementDetail").and_then(code_of);
        let reasons = child(root, "ControlActEvent").into_iter().flat_map(|event| event.children());
        let reason = reasons
            .filter(|reason| reason.is(HL7, "reason"))
            .find_map(|reason| code_of(child(reason, "justifyingDetectedIssueEvent")?));
        let other_code = match (&reason, &detail) {
            (Some((reason, _)), Some((detail, _))) if reason != detail => Some(detail.clone()),
            (_, _) => None,
        };
        let (code, text) = reason.or(detail).map_or((None, None), |(code, text)| (Some(code), text));
        Ok(Self { wrapper_id, refers_to, positive, code, other_code, text })
    }
}

/// The code below an element, and its display text.
fn code_of(element: Element<'_>) -> Option<(String, Option<String>)> {
    let code = child(element, "code")?;
    let kept =
        |text: &str| text.trim().chars().filter(|c| !c.is_control()).take(TEXT_CHARS).collect::<String>();
    let value = code.attribute("", "code").map(kept).filter(|value| !value.is_empty())?;
    let text = code.attribute("", "displayName").map(kept).filter(|text| !text.is_empty());
    Some((value, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(verdict: Answer) -> ApplicationAcknowledgement {
        ApplicationAcknowledgement {
            message_id: MessageId::derived(&["ack"]),
            creation: Timestamp::parse("2026-07-01T09:00:00+01:00").unwrap(),
            to_asid: Asid::parse("200000000149").unwrap(),
            from_asid: Asid::parse("200000001161").unwrap(),
            refers_to: MessageId::derived(&["extract"]),
            verdict,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let accepted = ReadAcknowledgement::read(&ours(Answer::Accept).write()).unwrap();
        assert!(accepted.positive && accepted.code.is_none());
        assert_eq!(accepted.refers_to, Some(MessageId::derived(&["extract"])));
        assert_eq!(accepted.wrapper_id, MessageId::derived(&["ack"]));
        let refusal = Answer::Refuse { code: "6".into(), text: "Not \"here\" <&>\n'".into() };
        let octets = ours(refusal).write();
        let refused = ReadAcknowledgement::read(&octets).unwrap();
        assert!(!refused.positive);
        assert_eq!(refused.code.as_deref(), Some("06"), "two digits on the wire");
        assert_eq!(refused.text.as_deref(), Some("Not \"here\" <&> '"));
        let text = String::from_utf8(octets).unwrap();
        assert_eq!(text.matches(r#"code="06""#).count(), 2, "§4.4: in both places");
        assert!(text.contains(r#"<creationTime value="20260701080000"/>"#), "UTC");
        assert!(!text.contains("> <") && !text.contains(">\n<"), "TPP fails on white space between elements");
    }

    #[test]
    fn the_octets_of_an_acknowledgement_are_these() {
        let written = String::from_utf8(ours(Answer::Accept).write()).unwrap();
        let (ack, extract) = (MessageId::derived(&["ack"]), MessageId::derived(&["extract"]));
        let device = |asid: &str| {
            format!(
                "<device classCode=\"DEV\" determinerCode=\"INSTANCE\">\
                 <id root=\"1.2.826.0.1285.0.2.0.107\" extension=\"{asid}\"/></device>"
            )
        };
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><MCCI_IN010000UK13 xmlns=\"urn:hl7-org:v3\"><id root=\"{ack}\"/>\
             <creationTime value=\"20260701080000\"/><versionCode code=\"V3NPfIT3.1.10\"/>\
             <interactionId root=\"2.16.840.1.113883.2.1.3.2.4.12\" extension=\"MCCI_IN010000UK13\"/>\
             <processingCode code=\"P\"/><processingModeCode code=\"T\"/><acceptAckCode code=\"NE\"/>\
             <acknowledgement typeCode=\"AA\"><messageRef><id root=\"{extract}\"/></messageRef></acknowledgement>\
             <communicationFunctionRcv typeCode=\"RCV\">{}</communicationFunctionRcv>\
             <communicationFunctionSnd typeCode=\"SND\">{}</communicationFunctionSnd>\
             <ControlActEvent classCode=\"CACT\" moodCode=\"EVN\"><author1 typeCode=\"AUT\">\
             <AgentSystemSDS classCode=\"AGNT\"><agentSystemSDS classCode=\"DEV\" determinerCode=\"INSTANCE\">\
             <id root=\"1.2.826.0.1285.0.2.0.107\" extension=\"200000001161\"/></agentSystemSDS></AgentSystemSDS>\
             </author1></ControlActEvent></MCCI_IN010000UK13>",
            device("200000000149"),
            device("200000001161"),
        );
        assert_eq!(written, expected, "peers are known to take exactly this");
    }

    fn with(acknowledgement: &str, control: &str) -> Result<ReadAcknowledgement, Hl7Fault> {
        ReadAcknowledgement::read(
            format!(
                "<h:MCCI_IN010000UK13 xmlns:h='urn:hl7-org:v3'><h:id root='a'/>{acknowledgement}\
                 <h:ControlActEvent>{control}</h:ControlActEvent></h:MCCI_IN010000UK13>"
            )
            .as_bytes(),
        )
    }

    #[test]
    fn codes_come_from_the_reason_else_from_the_detail() {
        let detail = |code: &str| {
            format!(
                "<h:acknowledgement typeCode='AR'><h:acknowledgementDetail typeCode='ER'>\
                 <h:code code='{code}'/></h:acknowledgementDetail></h:acknowledgement>"
            )
        };
        let reason = |code: &str| {
            format!(
                "<h:reason><h:justifyingDetectedIssueEvent><h:code code='{code}' displayName='why'/>\
                 </h:justifyingDetectedIssueEvent></h:reason>"
            )
        };
        let spine = with(&detail("SEF001"), "").unwrap();
        assert_eq!((spine.code.as_deref(), spine.text), (Some("SEF001"), None));
        assert_eq!(spine.refers_to, None);
        let both = with(&detail("19"), &reason("6")).unwrap();
        assert_eq!((both.code.as_deref(), both.other_code.as_deref()), (Some("6"), Some("19")));
        let same = with(&detail("30"), &reason("30")).unwrap();
        assert_eq!((same.code.as_deref(), same.other_code), (Some("30"), None));
        let none = with("<h:acknowledgement typeCode='AE'/>", "<h:reason/>").unwrap();
        assert_eq!((none.positive, none.code), (false, None), "no code is unknown, not an error");
    }

    #[test]
    fn what_is_no_acknowledgement_is_refused_by_name() {
        assert_eq!(ReadAcknowledgement::read(b"<a/>"), Err(Hl7Fault::Other(INTERACTION)));
        assert_eq!(ReadAcknowledgement::read(b"<MCCI_IN010000UK13/>"), Err(Hl7Fault::Other(INTERACTION)));
        assert!(matches!(ReadAcknowledgement::read(b"<a>"), Err(Hl7Fault::Xml(_))));
        assert_eq!(with("", ""), Err(Hl7Fault::Missing("acknowledgement")));
        assert_eq!(with("<h:acknowledgement/>", ""), Err(Hl7Fault::Missing("acknowledgement/@typeCode")));
        let strange = with("<h:acknowledgement typeCode='ZZ'/>", "");
        assert_eq!(strange, Err(Hl7Fault::Unusable("acknowledgement/@typeCode")));
    }
}
