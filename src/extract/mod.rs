//! FHIR STU3 GP Connect structured record ⇄ EHR extract (`RCMR_IN030000UK06` / `UK07`), pure: the same input gives the same
//! bytes.
//!
//! One file per resource kind, the two directions side by side; codes, dates, quantities, ids, agents, text and the XML
//! writer each in one place. `run` says in which order a record is written, `reading` in which order a message is read.
//! What no element of the other side carries goes in text: `unslotted` sees to it when writing, `unread` when reading.
//! One bad entry never refuses a record: it degrades and is listed in the [`Account`]. This module reads no document and
//! no clock; whether a document is there is told to it as [`Documents`].

mod account;
mod agents;
mod allergy;
mod beside;
mod codes;
mod composition;
mod consultation;
mod dates;
mod diff;
mod document;
mod draft;
mod encoding;
mod fhir;
mod file;
mod flaw;
mod ids;
mod immunization;
mod json;
mod labels;
mod laboratory;
mod links;
mod list;
mod medication;
mod message;
mod narrative;
mod observation;
mod people;
mod placement;
mod plain;
mod pmip;
mod prepare;
mod pressure;
mod problem;
mod profile;
mod quantities;
mod reading;
mod record;
mod report;
mod request;
mod result;
mod run;
mod scene;
mod snomed;
mod specimen;
mod standing;
mod subject;
mod supply;
mod supply_text;
mod supporting;
mod ties;
mod tree;
mod twins;
mod unread;
mod unslotted;
mod validate;
mod work;
mod xml;

#[cfg(test)]
mod trial;

use std::collections::HashMap;

pub use account::{Account, AccountEntry, Fault, State, Unsent};
pub use diff::{Difference, Said, Told};
pub use flaw::{Finding, Flaw, Wrong};
pub use record::{DocumentWanted, Record, RecordFault, RecordLimits};
pub use validate::MOST as MOST_FLAWS;

use crate::model::{Asid, ConversationId, MessageId, NhsNumber, OdsCode, Timestamp};

/// What an extract is built with, besides the record.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// The message's id; one that is no UUID gives a derived one in the HL7 wrapper, which takes nothing else.
    pub message_id: MessageId,
    /// The EhrRequest answered, an upper-case UUID; none for a push.
    pub request_id: Option<String>,
    /// Whose record it must be.
    pub nhs_number: NhsNumber,
    /// Our organisation.
    pub from_ods: OdsCode,
    /// The requester's.
    pub to_ods: OdsCode,
    /// Our system.
    pub from_asid: Asid,
    /// The requester's.
    pub to_asid: Asid,
    /// The conversation, named in placeholders.
    pub conversation: ConversationId,
    /// When the message is made.
    pub now: Timestamp,
    /// Which message.
    pub interaction: Interaction,
    /// Id of the EhrExtract, an upper-case UUID: the patient's chain, reused on re-export.
    pub extract_id: String,
}

/// Which message the extract travels in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interaction {
    /// Without confidentiality labels.
    Uk06,
    /// With confidentiality labels.
    Uk07,
}

/// What is known of the documents, by address. An address that is not here is absent: not found.
#[derive(Debug, Clone, Default)]
pub struct Documents(HashMap<String, Document>);

impl Documents {
    /// How many bytes there are of those that can be had.
    pub fn bytes(&self) -> u64 {
        let present = self.0.values().map(|document| match document {
            Document::Present { length, .. } => *length,
            Document::Absent(_) => 0,
        });
        present.sum()
    }

    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says what is known of the document at that address.
    pub fn insert(&mut self, url: impl Into<String>, document: Document) {
        self.0.insert(url.into(), document);
    }

    fn find(&self, url: &str) -> Document {
        self.0.get(url).cloned().unwrap_or(Document::Absent(AbsentReason::NotFound))
    }
}

/// Whether a document is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// It is.
    Present {
        /// Bytes.
        length: u64,
        /// Content type as found.
        content_type: String,
    },
    /// It is not.
    Absent(AbsentReason),
}

/// Why a document is not there (NPFIT-PC-BLD-0099).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbsentReason {
    /// 01: neither system carries the type.
    Unsupported,
    /// 02: the source says that it was deleted.
    Deleted,
    /// 03: nothing at the address, or no address.
    NotFound,
    /// 04: in use, after retries.
    Locked,
    /// 06: anything else.
    Unknown,
}

impl AbsentReason {
    /// The two digits of the reason.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unsupported => "01",
            Self::Deleted => "02",
            Self::NotFound => "03",
            Self::Locked => "04",
            Self::Unknown => "06",
        }
    }

    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unsupported => "File type unsupported",
            Self::Deleted => "File deleted",
            Self::NotFound => "File not found",
            Self::Locked => "File locked",
            Self::Unknown => "Unable to determine problem",
        }
    }
}

/// A finished extract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// The message.
    pub xml: Vec<u8>,
    /// In what state every resource ended.
    pub account: Account,
    /// The files beside the message, in the order they are referred to.
    pub attachments: Vec<Attachment>,
}

/// One file beside the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Id of the external document in the extract; the manifest names the file by it.
    pub document_id: String,
    /// Name under which the extract refers to it.
    pub file_name: String,
    /// Content type as stated in the extract.
    pub content_type: String,
    /// Where the bytes are.
    pub content: Content,
}

/// Where the bytes of an attachment are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// At this address of the source.
    Source(String),
    /// Here: they were in the record.
    Inline(Vec<u8>),
    /// Here: the placeholder for a document that is absent.
    Placeholder(Vec<u8>),
}

/// Why there is no extract. Nothing else refuses one (extract §1.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The record has no Patient.
    #[error("the record has no patient")]
    NoPatient,
    /// The patient has no valid NHS number.
    #[error("the patient of the record has no valid NHS number")]
    NhsNumberMissing,
    /// Two patients with different numbers.
    #[error("the record has two patients with different NHS numbers")]
    TwoPatients,
    /// The record is somebody else's.
    #[error("the record is another patient's")]
    AnotherPatient,
    /// A labelled entry cannot travel in a message without labels (D11).
    #[error("{count} entries have a confidentiality label, which only RCMR_IN030000UK07 carries")]
    LabelCannotTravel {
        /// How many entries.
        count: usize,
    },
    /// Resources without a state.
    #[error("{} resources of the record are not accounted for", ids.len())]
    Unbalanced {
        /// `Type/id` of each.
        ids: Vec<String>,
    },
    /// The message does not satisfy our own check.
    #[error("the extract failed its check")]
    Invalid {
        /// What is wrong.
        #[from]
        source: Flaw,
    },
}

/// The NHS number of the patient whose record it is.
pub fn whose(record: &Record<'_>) -> Result<NhsNumber, Refusal> {
    prepare::whose(record)
}

/// What is wrong with a message: where the schema's order, number or form is not kept, and what leads nowhere. At most
/// fifty flaws are listed.
pub fn validate(message: &[u8]) -> Vec<Finding> {
    validate::all(message)
}

/// What a message says, and of whom, to be compared with another.
pub fn tell(message: &[u8]) -> Result<Told, ReadRefusal> {
    diff::tell(message)
}

/// What one message says that another does not.
pub fn compare(first: &Told, second: &Told) -> Difference {
    diff::compare(first, second)
}

/// Builds the extract of a record.
pub fn build(record: &Record, parameters: &Parameters, documents: &Documents) -> Result<Extract, Refusal> {
    run::build(record, parameters, documents)
}

/// What is known before a received extract is read.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Whose record was asked for; none when nobody's was.
    pub nhs_number: Option<NhsNumber>,
    /// The files that came with the message.
    pub documents: Vec<ReceivedDocument>,
    /// Bytes of the message, at most. Default 100 MB, as for a record.
    pub most_bytes: usize,
}

impl Default for Expected {
    fn default() -> Self {
        Self { nhs_number: None, documents: Vec::new(), most_bytes: RecordLimits::default().bytes }
    }
}

impl Expected {
    /// The file that the extract means: by the document's id, else by the file's name.
    fn find(&self, id: &str, name: &str) -> Option<&ReceivedDocument> {
        let by_id = self.documents.iter().find(|d| ids::normalised(&d.id).is_some_and(|own| own == id));
        by_id.or_else(|| self.documents.iter().find(|d| !name.is_empty() && d.file_name == name))
    }
}

/// A file that came with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedDocument {
    /// Id of the external document, as the manifest has it.
    pub id: String,
    /// Its name.
    pub file_name: String,
    /// Its content type, where the manifest says one.
    pub content_type: Option<String>,
    /// Bytes.
    pub length: u64,
    /// SHA-1 of the content in base64, which is what FHIR's `Attachment.hash` holds.
    pub sha1: String,
    /// Where it lies, as the Bundle should name it.
    pub url: String,
}

/// A document that a received extract refers to and that did not come with it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MissingDocument {
    /// Id of the external document.
    pub id: String,
    /// The name under which the extract refers to it.
    pub file_name: String,
}

/// A received extract, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The record as a FHIR STU3 Bundle.
    pub json: Vec<u8>,
    /// In what state every statement ended.
    pub account: Account,
    /// Documents that were not sent.
    pub missing: Vec<MissingDocument>,
}

/// Why a received message gives no record. Nothing else refuses one (extract §1.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal {
    /// Not well-formed XML, or with a document type.
    #[error("the message is not well-formed XML without a document type: see line {line}")]
    NotXml {
        /// The line, from 1, at which reading stopped.
        line: usize,
    },
    /// In an encoding that we do not read.
    #[error("the message is in {name}, an encoding that is not read here")]
    Encoding {
        /// The name that the message says.
        name: String,
    },
    /// Nested too deep.
    #[error("the message is nested deeper than an extract can be")]
    TooDeep,
    /// Too large.
    #[error("the message is larger than the limit")]
    TooLarge,
    /// No EHR extract in it.
    #[error("there is no EHR extract in the message")]
    NoExtract,
    /// It does not say whose record it is.
    #[error("the extract does not say whose record it is")]
    NoPatient,
    /// It is somebody else's record.
    #[error("the extract is another patient's")]
    AnotherPatient,
    /// Statements without a state.
    #[error("{} statements of the extract are not accounted for", ids.len())]
    Unbalanced {
        /// `Element/id` of each.
        ids: Vec<String>,
    },
}

impl From<tree::Untaken> for ReadRefusal {
    fn from(untaken: tree::Untaken) -> Self {
        match untaken {
            tree::Untaken::NotXml(line) => Self::NotXml { line },
            tree::Untaken::TooDeep => Self::TooDeep,
            tree::Untaken::TooLarge => Self::TooLarge,
            tree::Untaken::Encoding(name) => Self::Encoding { name },
        }
    }
}

/// Reads the record out of a received message: `RCMR_IN030000UK06` or `UK07`, of any vendor.
pub fn read(message: &[u8], expected: &Expected) -> Result<Reading, ReadRefusal> {
    reading::read(message, expected)
}
