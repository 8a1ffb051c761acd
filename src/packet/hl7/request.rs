//! The request for a record, RCMR_IN010000UK05 (M1; wire reference §4.2): written one way, read in every way peers write
//! it. The older form of DMS 1, RCMR_IN010000UK06, is recognised so that it can be answered (S230).

use super::wrapper::{Wrapper, at, child, extension_of, root_of};
use super::{HL7, Hl7Fault};
use crate::model::{Asid, MessageId, NhsNumber, OdsCode, Timestamp};
use crate::packet::xml::{Document, Element, XmlLimits};

/// The interaction, and so the name of the root element.
const INTERACTION: &str = "RCMR_IN010000UK05";
/// National patient numbers.
const NHS_NUMBERS: &str = "2.16.840.1.113883.2.1.4.1";
/// Organisations.
const ODS_CODES: &str = "1.2.826.0.1285.0.1.10";

/// A request of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EhrRequest {
    /// The ebXML MessageId of the message that carries it.
    pub message_id: MessageId,
    /// When it was made.
    pub creation: Timestamp,
    /// Their system.
    pub to_asid: Asid,
    /// Our system.
    pub from_asid: Asid,
    /// The request's own id, which the extract repeats.
    pub request_id: MessageId,
    /// Whose record is asked for.
    pub nhs_number: NhsNumber,
    /// Who asks.
    pub requester_ods: OdsCode,
    /// Who is asked.
    pub sender_ods: OdsCode,
}

impl EhrRequest {
    /// The payload.
    pub fn write(&self) -> Vec<u8> {
        let Self { message_id, creation, to_asid, from_asid, request_id, .. } = self;
        let (author, destination) = (organisation(&self.requester_ods), organisation(&self.sender_ods));
        let subject = format!(
            concat!(
                r#"<subject typeCode="SUBJ" contextConductionInd="false">"#,
                r#"<EhrRequest classCode="EXTRACT" moodCode="RQO"><id root="{request_id}"/>"#,
                r#"<recordTarget typeCode="RCT"><patient classCode="PAT">"#,
                r#"<id root="{NHS_NUMBERS}" extension="{number}"/></patient></recordTarget>"#,
                r#"<author typeCode="AUT">{author}</author><destination typeCode="DST">{destination}</destination>"#,
                "</EhrRequest></subject>",
            ),
            request_id = request_id.as_str(),
            NHS_NUMBERS = NHS_NUMBERS,
            number = self.nhs_number.reveal(),
            author = author,
            destination = destination,
        );
        let wrapper = Wrapper {
            interaction: INTERACTION,
            version: "V3NPfIT3.1.10",
            message_id,
            creation: *creation,
            to_asid,
            from_asid,
        };
        wrapper.write("", &subject)
    }
}

fn organisation(code: &OdsCode) -> String {
    format!(
        concat!(
            r#"<AgentOrgSDS classCode="AGNT"><agentOrganizationSDS classCode="ORG" determinerCode="INSTANCE">"#,
            r#"<id root="{}" extension="{}"/></agentOrganizationSDS></AgentOrgSDS>"#
        ),
        ODS_CODES, code
    )
}

/// A peer's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEhrRequest {
    /// The wrapper's own id; equal to the MessageId for most peers.
    pub wrapper_id: MessageId,
    /// The request's own id; some send none (§1.2).
    pub request_id: Option<MessageId>,
    /// Whose record is asked for.
    pub nhs_number: NhsNumber,
    /// Who asks.
    pub requester_ods: OdsCode,
    /// Who is asked.
    pub sender_ods: OdsCode,
    /// The system that asks.
    pub from_asid: Asid,
}

impl ReadEhrRequest {
    /// Reads a request.
    pub fn read(octets: &[u8]) -> Result<Self, Hl7Fault> {
        Self::read_labelled(octets, None)
    }

    /// As [`ReadEhrRequest::read`]; where the octets are not in the encoding of their prolog, `charset`, the label of the
    /// MIME part, is tried (§2.2).
    pub fn read_labelled(octets: &[u8], charset: Option<&str>) -> Result<Self, Hl7Fault> {
        let document = Document::parse_labelled(octets, charset, &XmlLimits::envelope())?;
        let root = document.root();
        if !root.is(HL7, INTERACTION) {
            return Err(Hl7Fault::Other(INTERACTION));
        }
        let request =
            at(root, &["ControlActEvent", "subject", "EhrRequest"]).ok_or(Hl7Fault::Missing("EhrRequest"))?;
        let organisation = |role| extension_of(at(request, &[role, "AgentOrgSDS", "agentOrganizationSDS"]));
        Ok(Self {
            wrapper_id: needed(root_of(Some(root)), "id/@root", MessageId::parse)?,
            request_id: root_of(Some(request)).and_then(|id| MessageId::parse(id).ok()),
            nhs_number: needed(number(request), "EhrRequest/recordTarget/patient/id", NhsNumber::parse)?,
            requester_ods: needed(organisation("author"), "EhrRequest/author", OdsCode::parse)?,
            sender_ods: needed(organisation("destination"), "EhrRequest/destination", OdsCode::parse)?,
            from_asid: needed(
                extension_of(at(root, &["communicationFunctionSnd", "device"])),
                "communicationFunctionSnd",
                Asid::parse,
            )?,
        })
    }
}

/// A patient may have local numbers beside the national one.
fn number<'d>(request: Element<'d>) -> Option<&'d str> {
    let patient = child(child(request, "recordTarget")?, "patient")?;
    let national = |id: &Element<'d>| id.is(HL7, "id") && id.attribute("", "root") == Some(NHS_NUMBERS);
    patient.children().find(national)?.attribute("", "extension").map(str::trim)
}

fn needed<T, E>(
    value: Option<&str>,
    what: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Hl7Fault> {
    parse(value.ok_or(Hl7Fault::Missing(what))?).map_err(|_| Hl7Fault::Unusable(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> EhrRequest {
        EhrRequest {
            message_id: MessageId::derived(&["m1"]),
            creation: Timestamp::parse("2026-07-01T09:00:00+01:00").unwrap(),
            to_asid: Asid::parse("200000000149").unwrap(),
            from_asid: Asid::parse("200000001161").unwrap(),
            request_id: MessageId::derived(&["request"]),
            nhs_number: NhsNumber::parse("9990000018").unwrap(),
            requester_ods: OdsCode::parse("HMP01").unwrap(),
            sender_ods: OdsCode::parse("B85002").unwrap(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let octets = ours().write();
        let read = ReadEhrRequest::read(&octets).unwrap();
        assert_eq!(read.wrapper_id, MessageId::derived(&["m1"]), "§4.1: the wrapper's id is the MessageId");
        assert_eq!(read.request_id, Some(MessageId::derived(&["request"])));
        assert_eq!(read.nhs_number.reveal(), "9990000018");
        assert_eq!((read.requester_ods.as_str(), read.sender_ods.as_str()), ("HMP01", "B85002"));
        assert_eq!(read.from_asid.as_str(), "200000001161");
        let text = String::from_utf8(octets).unwrap();
        assert!(!text.contains("> <") && !text.contains(">\n<"), "TPP fails on white space between elements");
        assert!(!format!("{read:?}").contains("9990000018"), "a number never prints");
    }

    #[test]
    fn faults_name_the_place_and_never_the_number() {
        let text = String::from_utf8(ours().write()).unwrap();
        let read = |text: &str| ReadEhrRequest::read(text.as_bytes());
        let wrong = read(&text.replace("9990000018", "9990000019")).unwrap_err();
        assert_eq!(wrong, Hl7Fault::Unusable("EhrRequest/recordTarget/patient/id"));
        assert!(!wrong.to_string().contains("999"));
        let local = text.replace(NHS_NUMBERS, "1.2.3");
        assert_eq!(read(&local), Err(Hl7Fault::Missing("EhrRequest/recordTarget/patient/id")));
        let nobody = text.replace("recordTarget", "otherTarget");
        assert_eq!(read(&nobody), Err(Hl7Fault::Missing("EhrRequest/recordTarget/patient/id")));
        let old = text.replace("IN010000UK05", "IN010000UK06");
        assert_eq!(read(&old), Err(Hl7Fault::Other(INTERACTION)), "S230: DMS 1 is another message");
        let anonymous = text
            .replace(&format!("<id root=\"{}\"/>", ours().request_id.as_str()), "<id nullFlavor=\"NI\"/>");
        assert_eq!(read(&anonymous).unwrap().request_id, None, "§1.2: it may be absent");
    }
}
