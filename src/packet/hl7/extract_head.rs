//! Who an extract is about, from whom and for whom, without building a tree of what may be sixty megabytes
//! (wire reference §4.1; extract reference §2).
//!
//! The whole payload is still checked to be well-formed and within its budgets: what is filed must be readable.

use super::{HL7, Hl7Fault};
use crate::model::{Asid, MessageId, NhsNumber, OdsCode};
use crate::packet::xml::{Seen, XmlLimits, walk};

/// Which form of the extract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExtractInteraction {
    /// RCMR_IN030000UK06.
    Uk06,
    /// RCMR_IN030000UK07: the same with confidentiality labels.
    Uk07,
}

impl ExtractInteraction {
    /// As the wire names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uk06 => "RCMR_IN030000UK06",
            Self::Uk07 => "RCMR_IN030000UK07",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Uk06, Self::Uk07].into_iter().find(|known| known.as_str() == name)
    }
}

/// The head of an extract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtractHead {
    /// The root element.
    pub interaction: ExtractInteraction,
    /// The wrapper's id. May differ from the MessageId (§4.1): keep both.
    pub wrapper_id: MessageId,
    /// The EhrExtract's id: of the patient's chain, not of the transfer.
    pub extract_id: MessageId,
    /// Whose record it is.
    pub nhs_number: NhsNumber,
    /// Who sends the record.
    pub author_ods: OdsCode,
    /// For whom it is.
    pub destination_ods: OdsCode,
    /// The system it is sent to.
    pub receiver_asid: Asid,
    /// The system that sends it.
    pub sender_asid: Asid,
    /// The id of the EhrRequest it answers.
    pub request_id: Option<MessageId>,
}

impl ExtractHead {
    /// Reads the head and checks the rest. Linear in the length; refuses whatever [`XmlLimits::payload`] refuses.
    pub fn read(octets: &[u8]) -> Result<Self, Hl7Fault> {
        Self::read_labelled(octets, None)
    }

    /// As [`ExtractHead::read`]; where the octets are not in the encoding of their prolog, `charset`, the label of
    /// the MIME part, is tried (§2.2).
    pub fn read_labelled(octets: &[u8], charset: Option<&str>) -> Result<Self, Hl7Fault> {
        let mut head = Collected::default();
        walk(octets, charset, &XmlLimits::payload(), |seen| head.take(&seen))?;
        head.finish()
    }
}

/// Elements on the way to a value; whatever is elsewhere is `Elsewhere`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Message,
    Receiver,
    Sender,
    Device,
    ControlAct,
    Subject,
    Extract,
    RecordTarget,
    Patient,
    Author,
    Destination,
    AgentOrg,
    Organization,
    Fulfilment,
    Request,
    Elsewhere,
}

/// The longest way to a value: message, control act, subject, extract, author, agent, organisation.
const DEEPEST: usize = 7;

fn place(name: &str) -> Place {
    match name {
        "communicationFunctionRcv" => Place::Receiver,
        "communicationFunctionSnd" => Place::Sender,
        "device" => Place::Device,
        "ControlActEvent" => Place::ControlAct,
        "subject" => Place::Subject,
        "EhrExtract" => Place::Extract,
        "recordTarget" => Place::RecordTarget,
        "patient" => Place::Patient,
        "author" => Place::Author,
        "destination" => Place::Destination,
        "AgentOrgSDS" => Place::AgentOrg,
        "agentOrganizationSDS" => Place::Organization,
        "inFulfillmentOf" => Place::Fulfilment,
        "priorEhrRequest" => Place::Request,
        _ => Place::Elsewhere,
    }
}

/// A value that may be given again, but not differently.
#[derive(Default)]
struct Once {
    value: Option<String>,
    contradicted: bool,
}

impl Once {
    fn set(&mut self, value: Option<&str>) {
        let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else { return };
        match &self.value {
            Some(known) => self.contradicted |= !known.eq_ignore_ascii_case(value),
            None => self.value = Some(value.to_owned()),
        }
    }

    fn parsed<T, E>(
        self,
        what: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, Hl7Fault> {
        if self.contradicted {
            return Err(Hl7Fault::Contradiction(what));
        }
        match self.value {
            Some(value) => parse(&value).map(Some).map_err(|_| Hl7Fault::Unusable(what)),
            None => Ok(None),
        }
    }
}

/// What has been seen so far.
#[derive(Default)]
struct Collected {
    interaction: Option<ExtractInteraction>,
    wrapper: Once,
    extract: Once,
    patient: Once,
    author: Once,
    destination: Once,
    receiver: Once,
    sender: Once,
    request: Once,
    /// Open elements, as far down as values are found.
    way: Vec<Place>,
    /// Open elements below those.
    below: usize,
}

impl Collected {
    fn take(&mut self, seen: &Seen<'_>) {
        match seen {
            Seen::Open(_) if self.way.len() == DEEPEST && self.below > 0 => self.below += 1,
            Seen::Open(opened) => {
                if opened.namespace == HL7 && opened.name == "id" {
                    self.id(opened.attribute("root"), opened.attribute("extension"));
                }
                let place = match self.way.is_empty() {
                    true => self.message(opened.namespace, opened.name),
                    false if opened.namespace == HL7 => place(opened.name),
                    false => Place::Elsewhere,
                };
                if self.way.len() < DEEPEST {
                    self.way.push(place);
                } else {
                    self.below += 1;
                }
            }
            Seen::Close if self.below > 0 => self.below -= 1,
            Seen::Close => drop(self.way.pop()),
        }
    }

    fn message(&mut self, namespace: &str, name: &str) -> Place {
        self.interaction = ExtractInteraction::parse(name).filter(|_| namespace == HL7);
        Place::Message
    }

    /// An `id` whose parent is the end of the way.
    fn id(&mut self, root: Option<&str>, extension: Option<&str>) {
        use Place::{
            AgentOrg, Author, ControlAct, Destination, Device, Extract, Fulfilment, Message, Organization,
            Patient, Receiver, RecordTarget, Request, Sender, Subject,
        };
        if self.below > 0 {
            return;
        }
        match self.way.as_slice() {
            [Message] => self.wrapper.set(root),
            [Message, Receiver, Device] => self.receiver.set(extension),
            [Message, Sender, Device] => self.sender.set(extension),
            [Message, ControlAct, Subject, Extract, inner @ ..] => match inner {
                [] => self.extract.set(root),
                // A patient may have local numbers beside the national one.
                [RecordTarget, Patient] if root == Some("2.16.840.1.113883.2.1.4.1") => {
                    self.patient.set(extension);
                }
                [Author, AgentOrg, Organization] => self.author.set(extension),
                [Destination, AgentOrg, Organization] => self.destination.set(extension),
                [Fulfilment, Request] => self.request.set(root),
                _ => {}
            },
            _ => {}
        }
    }

    fn finish(self) -> Result<ExtractHead, Hl7Fault> {
        fn needed<T, E>(
            once: Once,
            what: &'static str,
            parse: impl FnOnce(&str) -> Result<T, E>,
        ) -> Result<T, Hl7Fault> {
            once.parsed(what, parse)?.ok_or(Hl7Fault::Missing(what))
        }
        Ok(ExtractHead {
            interaction: self.interaction.ok_or(Hl7Fault::Other("an extract"))?,
            wrapper_id: needed(self.wrapper, "id/@root", MessageId::parse)?,
            extract_id: needed(self.extract, "EhrExtract/id/@root", MessageId::parse)?,
            nhs_number: needed(self.patient, "EhrExtract/recordTarget/patient/id", NhsNumber::parse)?,
            author_ods: needed(self.author, "EhrExtract/author", OdsCode::parse)?,
            destination_ods: needed(self.destination, "EhrExtract/destination", OdsCode::parse)?,
            receiver_asid: needed(self.receiver, "communicationFunctionRcv", Asid::parse)?,
            sender_asid: needed(self.sender, "communicationFunctionSnd", Asid::parse)?,
            request_id: self.request.parsed("EhrExtract/inFulfillmentOf", MessageId::parse)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::xml::XmlFault;

    fn extract(inner: &str) -> String {
        let party = |name: &str, ods: &str| {
            format!(
                "<{name}><AgentOrgSDS><agentOrganizationSDS><id root='1.2.826.0.1285.0.1.10' extension='{ods}'/>\
                 </agentOrganizationSDS></AgentOrgSDS></{name}>"
            )
        };
        format!(
            "<RCMR_IN030000UK07 xmlns='urn:hl7-org:v3'><id root='w1'/>\
             <communicationFunctionRcv><device><id extension='111'/></device></communicationFunctionRcv>\
             <communicationFunctionSnd><device><id extension='222'/></device></communicationFunctionSnd>\
             <ControlActEvent><author1><AgentSystemSDS><id root='z'/></AgentSystemSDS></author1><subject><EhrExtract>\
             <id root='e1'/><recordTarget><patient><id root='local' extension='7'/>\
             <id root='2.16.840.1.113883.2.1.4.1' extension='9990000018'/></patient></recordTarget>{}{}\
             <inFulfillmentOf><priorEhrRequest><id root='r1'/></priorEhrRequest></inFulfillmentOf>{inner}\
             </EhrExtract></subject></ControlActEvent></RCMR_IN030000UK07>",
            party("author", "GPX01"),
            party("destination", "HMP01"),
        )
    }

    fn fault(text: &str) -> Hl7Fault {
        ExtractHead::read(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_head_is_read_from_its_places_only() {
        let decoy = "<component><ehrFolder><author><AgentOrgSDS><agentOrganizationSDS><id extension='ZZZ'/>\
                     <deeper><id root='q'/><id extension='q'><id/></id></deeper></agentOrganizationSDS></AgentOrgSDS>\
                     </author></ehrFolder></component><x xmlns='urn:other'><id root='q'/></x>";
        let head = ExtractHead::read(extract(decoy).as_bytes()).unwrap();
        assert_eq!(head.interaction, ExtractInteraction::Uk07);
        assert_eq!(head.wrapper_id.as_str(), "W1");
        assert_eq!(head.extract_id.as_str(), "E1");
        assert_eq!(head.nhs_number.reveal(), "9990000018");
        assert_eq!((head.author_ods.as_str(), head.destination_ods.as_str()), ("GPX01", "HMP01"));
        assert_eq!((head.receiver_asid.as_str(), head.sender_asid.as_str()), ("111", "222"));
        assert_eq!(head.request_id, MessageId::parse("R1").ok());
    }

    #[test]
    fn two_patients_in_one_extract_are_refused() {
        let second = "<recordTarget><patient><id root='2.16.840.1.113883.2.1.4.1' extension='9990000026'/>\
                      </patient></recordTarget>";
        assert_eq!(fault(&extract(second)), Hl7Fault::Contradiction("EhrExtract/recordTarget/patient/id"));
        assert!(ExtractHead::read(extract(&second.replace("0026", "0018")).as_bytes()).is_ok());
    }

    #[test]
    fn what_is_missing_or_unusable_is_named() {
        assert_eq!(fault("<a/>"), Hl7Fault::Other("an extract"));
        assert_eq!(fault("<RCMR_IN030000UK06/>"), Hl7Fault::Other("an extract"), "not of HL7");
        let whole = extract("");
        let wrong = whole.replace("9990000018", "9990000019");
        assert_eq!(fault(&wrong), Hl7Fault::Unusable("EhrExtract/recordTarget/patient/id"));
        let without = whole.replace("recordTarget", "otherTarget");
        assert_eq!(fault(&without), Hl7Fault::Missing("EhrExtract/recordTarget/patient/id"));
        let unasked = whole.replace("priorEhrRequest", "other");
        assert_eq!(ExtractHead::read(unasked.as_bytes()).unwrap().request_id, None);
    }

    #[test]
    fn the_whole_payload_is_checked_to_its_end() {
        let damaged = [
            (extract("<a>"), None),
            (extract(&"<a>".repeat(10_000)), Some(XmlFault::Depth)),
            (extract(&format!("<a b='{}'/>", "x".repeat(100_000_000))), Some(XmlFault::Octets)),
            (extract(&format!("<a b='{}'/>", "x".repeat(10_000_000))), Some(XmlFault::AttributeOctets)),
            (extract(&format!("<a>{}</a>", "x".repeat(17 << 20))), Some(XmlFault::TextOctets)),
            (format!("<!DOCTYPE a>{}", extract("")), Some(XmlFault::Dtd)),
        ];
        for (text, expected) in damaged {
            match (fault(&text), expected) {
                (Hl7Fault::Xml(found), Some(expected)) => assert_eq!(found, expected),
                (Hl7Fault::Xml(XmlFault::Malformed(_)), None) => {}
                (other, _) => panic!("{other:?} is not the fault of this document"),
            }
        }
        assert!(matches!(fault(&extract("<a>&custom;</a>")), Hl7Fault::Xml(XmlFault::Entity(_))));
        let cut = extract("");
        assert!(matches!(fault(&cut[..cut.len() - 5]), Hl7Fault::Xml(XmlFault::Malformed(_))));
    }
}
