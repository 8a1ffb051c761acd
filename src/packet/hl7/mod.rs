//! The HL7 version 3 payloads that steer a transfer: the request, the head of an extract, the leave to send its parts, the
//! parts, and application acknowledgements (wire reference §4).
//!
//! The record itself is not read here.

mod acknowledgement;
mod copc;
mod extract_head;
mod request;
mod wrapper;

pub use acknowledgement::{Answer, ApplicationAcknowledgement, ReadAcknowledgement};
pub use copc::{Acknowledged, Copc, CopcContent, CopcKind, ReadCopc, fragment_name};
pub use extract_head::{ExtractHead, ExtractInteraction};
pub use request::{EhrRequest, ReadEhrRequest};
pub use wrapper::ReadWrapper;

use super::xml::XmlFault;

/// The namespace of every element of these messages.
pub(super) const HL7: &str = "urn:hl7-org:v3";

/// Why a payload is not the message it is taken for. Names places, never content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Hl7Fault {
    /// Not XML we accept.
    #[error("the HL7 payload is refused")]
    Xml(#[from] XmlFault),
    /// Another message, or none of HL7.
    #[error("the HL7 payload is not {0}")]
    Other(&'static str),
    /// A message of GP2GP that is not spoken here: the request of DMS 1, to be answered with 18 (S230).
    #[error("the HL7 payload is {0}, which is not spoken here")]
    NotSpoken(&'static str),
    /// Something that must be there is not.
    #[error("the HL7 payload lacks {0}")]
    Missing(&'static str),
    /// Something is there and cannot be what it must be.
    #[error("the HL7 payload has an unusable {0}")]
    Unusable(&'static str),
    /// Something is there twice with different values.
    #[error("the HL7 payload has two different values of {0}")]
    Contradiction(&'static str),
}
