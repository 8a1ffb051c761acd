//! What a practice posts to a prison: whole messages, varied and damaged, and what it is answered.

use throughcare::clock;
use throughcare::model::{ConversationId, CpaId, MessageId, PartyKey, Timestamp};
use throughcare::packet::envelope::{AckRequest, GP2GP, Header};
use throughcare::packet::mime::{MimeLimits, Strictness};
use throughcare::packet::signal::{self, Signal};
use throughcare::packet::signature::Signer;
use throughcare::packet::{Attachment, PacketLimits, Received, assemble, open};

use super::{PRACTICE, PRISON};
use crate::signatures::made::Identity;

/// A message of the practice.
#[derive(Clone)]
pub struct Message {
    pub header: Header,
    content: Content,
    letter: String,
    signer: Option<(String, String)>,
    damage: Damage,
}

#[derive(Clone)]
enum Content {
    Hl7(String),
    Receipt,
}

#[derive(Clone)]
enum Damage {
    None,
    Cut,
}

/// An extract that can be taken.
pub fn extract(id: &str) -> Message {
    let header = Header {
        from: PartyKey::parse(PRACTICE.1).unwrap(),
        to: PartyKey::parse(PRISON.1).unwrap(),
        cpa_id: CpaId::parse("S0001A0001").unwrap(),
        conversation: ConversationId::derived(&["conversation", id]),
        service: GP2GP.to_owned(),
        action: "RCMR_IN030000UK06".to_owned(),
        message_id: MessageId::parse(id).unwrap(),
        timestamp: clock::now(),
        time_to_live: None,
        refers_to: None,
        duplicate_elimination: true,
        ack_requested: AckRequest::NextHop,
    };
    let content = Content::Hl7(hl7(id));
    Message { header, content, letter: "one".to_owned(), signer: None, damage: Damage::None }
}

/// An Acknowledgment of a message of the prison's, posted as a request of its own.
pub fn receipt(of: &str) -> Message {
    Message { content: Content::Receipt, ..extract(of) }
}

/// The head of an extract of a test patient, from the practice for the prison.
fn hl7(id: &str) -> String {
    let party = |name: &str, ods: &str| {
        format!(
            "<{name}><AgentOrgSDS><agentOrganizationSDS><id root=\"1.2.826.0.1285.0.1.10\" extension=\"{ods}\"/>\
             </agentOrganizationSDS></AgentOrgSDS></{name}>"
        )
    };
    format!(
        "<RCMR_IN030000UK06 xmlns=\"urn:hl7-org:v3\"><id root=\"{id}\"/>\
         <communicationFunctionRcv><device><id extension=\"200000000001\"/></device></communicationFunctionRcv>\
         <communicationFunctionSnd><device><id extension=\"200000000002\"/></device></communicationFunctionSnd>\
         <ControlActEvent><subject><EhrExtract><id root=\"E1\"/><recordTarget><patient>\
         <id root=\"2.16.840.1.113883.2.1.4.1\" extension=\"9990000018\"/></patient></recordTarget>{}{}\
         </EhrExtract></subject></ControlActEvent></RCMR_IN030000UK06>",
        party("author", PRACTICE.0),
        party("destination", PRISON.0),
    )
}

impl Message {
    pub fn from(mut self, party: &str) -> Self {
        self.header.from = PartyKey::parse(party).unwrap();
        self
    }

    pub fn to(mut self, party: &str) -> Self {
        self.header.to = PartyKey::parse(party).unwrap();
        self
    }

    pub fn under(mut self, cpa_id: &str) -> Self {
        self.header.cpa_id = CpaId::parse(cpa_id).unwrap();
        self
    }

    pub fn saying(mut self, action: &str) -> Self {
        self.header.action = action.to_owned();
        self
    }

    pub fn until(mut self, moment: &str) -> Self {
        self.header.time_to_live = Some(Timestamp::parse(moment).unwrap());
        self
    }

    pub fn asking(mut self, ack: AckRequest) -> Self {
        self.header.ack_requested = ack;
        self
    }

    /// As a further message of the conversation that `id` opened.
    pub fn after(mut self, id: &str) -> Self {
        self.header.conversation = ConversationId::derived(&["conversation", id]);
        self
    }

    /// With a record that is cut short.
    pub fn unreadable(mut self) -> Self {
        self.content = Content::Hl7("<RCMR_IN030000UK06 xmlns=\"urn:hl7-org:v3\"><id".to_owned());
        self
    }

    /// Other content under the same identity.
    pub fn with_letter(mut self, words: &str) -> Self {
        self.letter = words.to_owned();
        self
    }

    pub fn signed(mut self, identity: &Identity) -> Self {
        self.signer = Some((identity.key.clone(), identity.certificate.clone()));
        self.asking(AckRequest::Party { signed: true })
    }

    /// Without its last boundary.
    pub fn cut(mut self) -> Self {
        self.damage = Damage::Cut;
        self
    }

    /// Content-Type and body.
    pub fn write(&self) -> (String, Vec<u8>) {
        let signer = self.signer.as_ref().map(|(key, cert)| Signer::from_pem(key, cert).unwrap());
        let hl7 = match &self.content {
            Content::Hl7(text) => text,
            Content::Receipt => {
                // Between the ends swapped: what it acknowledges went the other way.
                let Header { from, to, .. } = self.header.clone();
                let sent = Header { from: to, to: from, ..self.header.clone() };
                let octets = signal::acknowledge(&sent, &[], signer.as_ref(), clock::now()).unwrap();
                return ("text/xml".to_owned(), octets);
            }
        };
        let letter = Attachment {
            document_id: "D1",
            description: "Filename=\"letter.txt\" ContentType=text/plain",
            content_type: "text/plain",
            octets: self.letter.as_bytes(),
        };
        let limits = PacketLimits::default();
        let packet = assemble(&self.header, hl7.as_bytes(), &[letter], signer.as_ref(), limits).unwrap();
        let mut body = packet.body;
        match self.damage {
            Damage::None => {}
            Damage::Cut => body.truncate(body.len() - 60),
        }
        (packet.content_type, body)
    }
}

/// What the prison answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Empty(u16),
    /// With the octets as they came.
    Acknowledged(u16, String),
    /// With the code.
    Refused(u16, String),
    /// With the fault code.
    Fault(u16, String),
}

/// Reads an answer as a practice does.
pub fn read(status: u16, body: Vec<u8>) -> Answer {
    if body.is_empty() {
        return Answer::Empty(status);
    }
    let opened = open("text/xml", &body, Strictness::Strict, &MimeLimits::default()).unwrap();
    let Received::Signal { signal, .. } = opened else { panic!("an answer is a signal") };
    match signal {
        Signal::Acknowledgment(_) => Answer::Acknowledged(status, String::from_utf8(body).unwrap()),
        Signal::MessageError { errors, .. } => Answer::Refused(status, errors[0].code.clone()),
        Signal::Fault(fault) => Answer::Fault(status, fault.code),
    }
}
