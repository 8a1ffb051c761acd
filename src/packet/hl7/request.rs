//! The EHR request, RCMR_IN010000UK05 (M1): written one way, read in every way peers write it (wire reference §4.1, §4.2).
//!
//! Whether the request is to be met is decided elsewhere.

use super::wrapper::{MIM_3, NHS_NUMBERS, ODS_CODES, ReadWrapper, Wrapper, attribute, below};
use super::{HL7, Hl7Fault};
use crate::model::{Asid, MessageId, NhsNumber, OdsCode, Timestamp};
use crate::packet::xml::{Document, Element, XmlLimits};

/// The interaction, and so the name of the root element.
const INTERACTION: &str = "RCMR_IN010000UK05";
/// The request of DMS 1, whose extract we do not speak (S230).
const DMS_1: &str = "RCMR_IN010000UK06";

/// A request of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EhrRequest {
    /// The ebXML MessageId of the message that carries it.
    pub message_id: MessageId,
    /// When it was made.
    pub creation: Timestamp,
    /// The system of the practice that is asked.
    pub to_asid: Asid,
    /// Our system.
    pub from_asid: Asid,
    /// The request's own id, which the extract repeats.
    pub request_id: MessageId,
    /// Whose record is asked for.
    pub nhs_number: NhsNumber,
    /// Who asks.
    pub requester_ods: OdsCode,
    /// Who is asked, and so will be the sender.
    pub sender_ods: OdsCode,
}

impl EhrRequest {
    /// The payload: no white space between elements (TPP).
    pub fn write(&self) -> Vec<u8> {
        let content = format!(
            concat!(
                r#"<subject typeCode="SUBJ" contextConductionInd="false"><EhrRequest classCode="EXTRACT" moodCode="RQO">"#,
                r#"<id root="{request}"/><recordTarget typeCode="RCT"><patient classCode="PAT">"#,
                r#"<id root="{numbers}" extension="{number}"/></patient></recordTarget>"#,
                r#"<author typeCode="AUT">{requester}</author><destination typeCode="DST">{sender}</destination>"#,
                r#"</EhrRequest></subject>"#,
            ),
            request = attribute(self.request_id.as_str()),
            numbers = NHS_NUMBERS,
            number = self.nhs_number.reveal(),
            requester = organisation(&self.requester_ods),
            sender = organisation(&self.sender_ods),
        );
        let wrapper = Wrapper {
            interaction: INTERACTION,
            version: MIM_3,
            message_id: &self.message_id,
            creation: self.creation,
            to_asid: &self.to_asid,
            from_asid: &self.from_asid,
        };
        wrapper.write("", &content)
    }
}

fn organisation(ods: &OdsCode) -> String {
    format!(
        concat!(
            r#"<AgentOrgSDS classCode="AGNT"><agentOrganizationSDS classCode="ORG" determinerCode="INSTANCE">"#,
            r#"<id root="{codes}" extension="{ods}"/></agentOrganizationSDS></AgentOrgSDS>"#,
        ),
        codes = ODS_CODES,
        ods = ods,
    )
}

/// A peer's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEhrRequest {
    /// The wrapper's own id; equal to the MessageId for most peers.
    pub wrapper_id: MessageId,
    /// The request's own id, to be repeated in the extract; none where it is absent or null (gp2gp reference §1.2).
    pub request_id: Option<MessageId>,
    /// Whose record is asked for.
    pub nhs_number: NhsNumber,
    /// Who asks.
    pub requester_ods: OdsCode,
    /// Who is asked.
    pub sender_ods: OdsCode,
    /// The system that is asked, where one is named.
    pub receiver_asid: Option<Asid>,
    /// The system that asks, where one is named.
    pub sender_asid: Option<Asid>,
}

impl ReadEhrRequest {
    /// Reads a request; `charset` is the label of the MIME part, tried where the octets are not in the encoding of
    /// their prolog (§2.2).
    ///
    /// # Errors
    /// [`Hl7Fault::NotSpoken`] for the request of DMS 1 (S230); else what is missing, unusable, or given twice
    /// differently. A fault names a place, never a number. Every one of them is answered with 18 (TD51.1).
    pub fn read_labelled(octets: &[u8], charset: Option<&str>) -> Result<Self, Hl7Fault> {
        let document = Document::parse_labelled(octets, charset, &XmlLimits::envelope())?;
        let root = document.root();
        if root.is(HL7, DMS_1) {
            return Err(Hl7Fault::NotSpoken(DMS_1));
        }
        if !root.is(HL7, INTERACTION) {
            return Err(Hl7Fault::Other(INTERACTION));
        }
        let ReadWrapper { id, receiver_asid, sender_asid } = ReadWrapper::of(root)?;
        let requests = below(root, &["ControlActEvent", "subject", "EhrRequest"]);
        if requests.is_empty() {
            return Err(Hl7Fault::Missing("EhrRequest"));
        }
        let ids = |way: &[&str]| requests.iter().flat_map(|request| below(*request, way)).collect::<Vec<_>>();
        let organisation = |role: &str| ids(&[role, "AgentOrgSDS", "agentOrganizationSDS", "id"]);
        let ods = |id| extension(id, ODS_CODES);
        Ok(Self {
            wrapper_id: id,
            request_id: only(ids(&["id"]), own_id, MessageId::parse, "EhrRequest/id/@root")?,
            nhs_number: needed(
                ids(&["recordTarget", "patient", "id"]),
                |id| extension(id, NHS_NUMBERS),
                NhsNumber::parse,
                "EhrRequest/recordTarget/patient/id",
            )?,
            requester_ods: needed(organisation("author"), ods, OdsCode::parse, "EhrRequest/author")?,
            sender_ods: needed(organisation("destination"), ods, OdsCode::parse, "EhrRequest/destination")?,
            receiver_asid,
            sender_asid,
        })
    }
}

/// The root of an id that is not null.
fn own_id(id: Element<'_>) -> Option<&str> {
    match id.attribute("", "nullFlavor") {
        Some(_) => None,
        None => id.attribute("", "root"),
    }
}

/// The extension of an id of this kind: a patient may have local numbers, an organisation other codes beside it.
fn extension<'d>(id: Element<'d>, root: &str) -> Option<&'d str> {
    id.attribute("", "root").filter(|found| found.trim() == root)?;
    id.attribute("", "extension")
}

/// The value these ids give, if they give one. It may be given again, but not differently.
fn only<'d, T: PartialEq, E>(
    ids: Vec<Element<'d>>,
    value: impl Fn(Element<'d>) -> Option<&'d str>,
    parse: impl Fn(&str) -> Result<T, E>,
    what: &'static str,
) -> Result<Option<T>, Hl7Fault> {
    let mut known = None;
    for text in ids.into_iter().filter_map(value).map(str::trim).filter(|text| !text.is_empty()) {
        let found = parse(text).map_err(|_| Hl7Fault::Unusable(what))?;
        if known.as_ref().is_some_and(|known| *known != found) {
            return Err(Hl7Fault::Contradiction(what));
        }
        known = Some(found);
    }
    Ok(known)
}

fn needed<'d, T: PartialEq, E>(
    ids: Vec<Element<'d>>,
    value: impl Fn(Element<'d>) -> Option<&'d str>,
    parse: impl Fn(&str) -> Result<T, E>,
    what: &'static str,
) -> Result<T, Hl7Fault> {
    only(ids, value, parse, what)?.ok_or(Hl7Fault::Missing(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> EhrRequest {
        EhrRequest {
            message_id: MessageId::derived(&["request message"]),
            creation: Timestamp::parse("2026-07-01T09:00:00+01:00").unwrap(),
            to_asid: Asid::parse("200000000149").unwrap(),
            from_asid: Asid::parse("200000001161").unwrap(),
            request_id: MessageId::derived(&["request"]),
            nhs_number: NhsNumber::parse("9990000018").unwrap(),
            requester_ods: OdsCode::parse("HMP01").unwrap(),
            sender_ods: OdsCode::parse("GPX01").unwrap(),
        }
    }

    fn text() -> String {
        String::from_utf8(ours().write()).unwrap()
    }

    fn read(text: &str) -> Result<ReadEhrRequest, Hl7Fault> {
        ReadEhrRequest::read_labelled(text.as_bytes(), None)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let expected = ReadEhrRequest {
            wrapper_id: ours().message_id,
            request_id: Some(ours().request_id),
            nhs_number: ours().nhs_number,
            requester_ods: ours().requester_ods,
            sender_ods: ours().sender_ods,
            receiver_asid: Some(ours().to_asid),
            sender_asid: Some(ours().from_asid),
        };
        assert_eq!(read(&text()), Ok(expected));
        assert!(text().contains(r#"<creationTime value="20260701080000"/>"#), "UTC");
        assert!(
            !text().contains("> <") && !text().contains(">\n<"),
            "TPP fails on white space between elements"
        );
    }

    #[test]
    fn prefixes_white_space_versions_and_numbers_beside_do_not_matter() {
        let odd = text()
            .replace("xmlns=", "xmlns:h=")
            .replace("</", "</h:")
            .replace('<', "\n <h:")
            .replace("\n <h:/h:", "</h:")
            .replace("\n <h:?xml", "<?xml")
            .replace("V3NPfIT3.1.10", "3NPfIT9.9")
            .replace("9990000018", " 999 000 0018 ")
            .replace(
                "<h:patient classCode=\"PAT\">",
                "<h:patient><h:id root='local' extension='9990000026'/>",
            );
        let odd =
            odd.replace("HMP01", " hmp01 ").replace("<h:author ", "<h:author xmlns:x='urn:x' x:kind='y' ");
        assert_eq!(read(&odd), read(&text()), "{odd}");
    }

    #[test]
    fn a_request_without_an_id_of_its_own_is_read_all_the_same() {
        let own = format!("<id root=\"{}\"/>", ours().request_id);
        for other in ["", "<id nullFlavor=\"UNK\"/>", "<id root=\"\"/>", "<id/>"] {
            let found = read(&text().replace(&own, other)).unwrap();
            assert_eq!(found.request_id, None, "{other}");
        }
        let null = own.replace("/>", " nullFlavor=\"NI\"/>");
        assert_eq!(read(&text().replace(&own, &null)).unwrap().request_id, None, "what is null has no value");
        let unusable = read(&text().replace(&own, "<id root=\"a b\"/>"));
        assert_eq!(unusable, Err(Hl7Fault::Unusable("EhrRequest/id/@root")));
    }

    #[test]
    fn systems_may_be_left_out() {
        let without = text().replace("communicationFunction", "other");
        let found = read(&without).unwrap();
        assert_eq!((found.receiver_asid, found.sender_asid), (None, None));
    }

    #[test]
    fn the_request_of_dms_1_is_told_from_what_is_no_request() {
        let other = |name: &str| read(&text().replace("RCMR_IN010000UK05", name)).unwrap_err();
        assert_eq!(
            other("RCMR_IN010000UK06"),
            Hl7Fault::NotSpoken("RCMR_IN010000UK06"),
            "S230: answered with 18"
        );
        assert_eq!(other("RCMR_IN030000UK06"), Hl7Fault::Other("RCMR_IN010000UK05"), "MIM 3's extract");
        assert_eq!(read("<RCMR_IN010000UK06/>"), Err(Hl7Fault::Other("RCMR_IN010000UK05")), "not of HL7");
        assert!(matches!(read("<a>"), Err(Hl7Fault::Xml(_))));
    }

    #[test]
    fn what_is_missing_unusable_or_contradicted_is_named_and_never_repeated() {
        let patient = "EhrRequest/recordTarget/patient/id";
        let again = |from: &str, to: &str| {
            let whole = text();
            let (start, end) = (whole.find("<EhrRequest").unwrap(), whole.find("</subject>").unwrap());
            let second = whole[start..end].replace(from, to);
            whole.replace("</subject>", &format!("{second}</subject>"))
        };
        let rows = [
            (text().replace("EhrRequest", "EhrDemand"), Hl7Fault::Missing("EhrRequest")),
            (text().replace("recordTarget", "otherTarget"), Hl7Fault::Missing(patient)),
            (text().replace(NHS_NUMBERS, "1.2.3"), Hl7Fault::Missing(patient)),
            (text().replace("9990000018", "9990000019"), Hl7Fault::Unusable(patient)),
            (text().replace("9990000018", "unknown"), Hl7Fault::Unusable(patient)),
            (again("9990000018", "9990000026"), Hl7Fault::Contradiction(patient)),
            (
                text().replace("author ", "editor ").replace("/author>", "/editor>"),
                Hl7Fault::Missing("EhrRequest/author"),
            ),
            (text().replace("HMP01", "H"), Hl7Fault::Unusable("EhrRequest/author")),
            (again("HMP01", "HMP02"), Hl7Fault::Contradiction("EhrRequest/author")),
            (text().replace("destination", "target"), Hl7Fault::Missing("EhrRequest/destination")),
            (again("GPX01", "GPX02"), Hl7Fault::Contradiction("EhrRequest/destination")),
        ];
        for (text, expected) in rows {
            let fault = read(&text).unwrap_err();
            assert_eq!(fault, expected, "{text}");
            assert!(!fault.to_string().contains("99900000"), "{fault}");
        }
        assert!(read(&again("x", "x")).is_ok(), "the same said twice is said");
    }

    #[test]
    fn a_request_prints_no_number() {
        let printed = format!("{:?} {:?}", ours(), read(&text()).unwrap());
        assert!(printed.contains("masked") && !printed.contains("9990000018"), "{printed}");
    }
}
