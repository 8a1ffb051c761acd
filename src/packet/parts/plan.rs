//! What of a record goes in the extract and what in messages of its own (gp2gp reference §4.1(5) to (12)).
//!
//! It knows sizes, not contents: no file is read here. Documents the receiver could not take were replaced before
//! ([`super::withhold`]); those that only gzip can help must have been measured ([`needs_measuring`]).

mod outside;

use std::ops::Range;

use super::inventory::MOST_ROWS;
use super::size::{Frame, characters};
use crate::model::MessageId;
use crate::packet::PacketLimits;
use crate::packet::description::Description;
use crate::packet::envelope::Header;
use crate::packet::mime;
use crate::packet::parts::plan::outside::{Shape, entry, may_shrink, most_characters, outsource, send};

/// A document that is to travel. Sizes in octets.
#[derive(Clone, Copy)]
pub struct Document<'a> {
    /// Its id, by which the extract refers to it; without `_`.
    pub id: &'a str,
    /// Its name in the extract.
    pub file_name: &'a str,
    /// Its true type.
    pub content_type: &'a str,
    /// What the file has.
    pub bytes: u64,
    /// What its gzip has, where it was measured.
    pub gzipped: Option<u64>,
}

/// The HL7 as an item of its own, and what stands for it in the extract. Sizes in octets.
#[derive(Clone, Copy)]
pub struct Outsourced<'a> {
    /// Id of the item: the external document of the skeleton's statement.
    pub id: &'a str,
    /// What the skeleton message has.
    pub skeleton_bytes: u64,
    /// What the gzip of the whole HL7 has.
    pub gzipped: u64,
}

/// The extract that the documents go with.
#[derive(Clone, Copy)]
pub struct Core<'a> {
    /// Its header; the times in it do not matter.
    pub header: &'a Header,
    /// Octets of the whole HL7.
    pub hl7_bytes: u64,
    /// What is sent instead if the HL7 does not fit ([`needs_skeleton`]).
    pub outsourced: Option<Outsourced<'a>>,
    /// Whether messages to this peer are signed.
    pub signed: bool,
    /// What one message takes.
    pub limits: PacketLimits,
}

/// Why large messages are needed. The digits are those of management information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// D: the HL7 alone is more than a message may be.
    Hl7 = 1,
    /// B: an attachment is more than one may be.
    Attachment = 2,
    /// E: a type that Spine does not carry.
    Type = 3,
    /// C: too many attachments.
    Count = 4,
    /// A: all together are more than a message may be.
    Total = 5,
}

impl Reason {
    /// 1 to 5.
    pub fn digit(self) -> u8 {
        self as u8
    }
}

/// In what form a file travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Raw,
    /// As [`super::gzip::gzip`] makes it.
    Gzip,
}

/// How an item travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// As an attachment of the extract.
    Inside,
    /// In a message of its own, whole (LM15).
    Whole {
        /// That message.
        mid: MessageId,
        /// Its form.
        packing: Packing,
    },
    /// As an index and fragments (LM29.1). The index carries no file (C16).
    Fragments {
        /// The index.
        index: MessageId,
        /// Its form; ranges are of this form.
        packing: Packing,
        /// In their order.
        fragments: Vec<Fragment>,
    },
}

/// One fragment of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Its message.
    pub mid: MessageId,
    /// Which octets of the file in its packing; begins at a multiple of 57, 76 characters of base64.
    pub range: Range<u64>,
    /// What index and fragment say of it.
    pub description: Description,
}

/// One item of the extract's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What the manifest says of it (LM24).
    pub description: Description,
    /// How it travels.
    pub way: Way,
}

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Why large messages are needed, ascending; empty when one message does.
    pub reasons: Vec<Reason>,
    /// The HL7, where a skeleton stands for it. First in the manifest.
    pub hl7: Option<Planned>,
    /// One for each document, in the order given, which is that of the manifest.
    pub documents: Vec<Planned>,
    /// Octets of the extract message, envelope and framing included; at most, where it is signed.
    pub bytes: u64,
    /// N of §4.4: messages besides the extract, indexes counted.
    pub parts: u64,
}

/// Why there is no plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// The document at this place must be measured first.
    #[error("document {0} was not measured")]
    Unmeasured(usize),
    /// The HL7 does not fit, and no skeleton was given.
    #[error("the HL7 does not fit one message and there is no skeleton of it")]
    SkeletonNeeded,
    /// Not even references to all documents fit the extract, or one message's limit takes no part.
    #[error("the record does not fit the limits of messages")]
    DoesNotFit,
    /// More messages than a transfer may have.
    #[error("the record would need more messages than the limit")]
    TooManyParts,
}

/// Whether gzip may help this document, and its size must be known (§4.1(9)): it is over the limit of an attachment and
/// not of a kind that is packed or encrypted already (LM11, LM27, LM28).
pub fn needs_measuring(document: &Document<'_>, core: &Core<'_>) -> bool {
    characters(document.bytes) > most_characters(document.file_name, core)
        && document.gzipped.is_none()
        && may_shrink(document.content_type)
}

/// Whether the HL7 must travel outside the extract (§4.1(6)).
pub fn needs_skeleton(documents: &[Document<'_>], core: &Core<'_>) -> bool {
    let frame = Frame::new(core.header, core.signed);
    let outside = documents.iter().map(|document| {
        let shape = Shape { large: true, ..Shape::raw(document.bytes) };
        frame.outside(document.id, &entry(document, &shape).to_string(), ANY_MID)
    });
    frame.empty().saturating_add(core.hl7_bytes).saturating_add(outside.sum()) > core.limits.message_bytes
}

/// An id of the length of all of ours.
const ANY_MID: &str = "00000000-0000-0000-0000-000000000000";

/// Plans the messages of one record. `ids` gives a MessageId that was never given before, in capitals.
pub fn plan(
    core: &Core<'_>,
    documents: &[Document<'_>],
    mut ids: impl FnMut() -> MessageId,
) -> Result<Plan, PlanFault> {
    let frame = Frame::new(core.header, core.signed);
    let shapes = documents.iter().enumerate().map(|(at, document)| Shape::of(at, document, core));
    let shapes = shapes.collect::<Result<Vec<_>, _>>()?;
    let costs: Vec<Cost> =
        documents.iter().zip(&shapes).map(|(document, shape)| Cost::of(document, shape, &frame)).collect();
    let skeleton = needs_skeleton(documents, core);
    let outsourced = match (skeleton, core.outsourced) {
        (false, _) => None,
        (true, Some(outsourced)) => Some(outsourced),
        (true, None) => return Err(PlanFault::SkeletonNeeded),
    };
    let hl7 = outsourced.as_ref().map(|it| outsource(it, core, &mut ids)).transpose()?;
    let hl7_bytes = outsourced.map_or(core.hl7_bytes, |it| it.skeleton_bytes);
    let mut bytes = frame.empty().saturating_add(hl7_bytes);
    if let (Some(outsourced), Some(hl7)) = (&outsourced, &hl7) {
        bytes = bytes.saturating_add(reference(&frame, outsourced.id, hl7));
    }
    let inside = fill(core, documents, &costs, bytes);
    let planned = documents.iter().zip(&shapes).zip(&inside).map(|((document, shape), inside)| {
        if *inside { Ok(stay(document)) } else { send(document, shape, core, &mut ids) }
    });
    let planned = planned.collect::<Result<Vec<_>, _>>()?;
    for ((document, item), cost) in documents.iter().zip(&planned).zip(&costs) {
        bytes = bytes.saturating_add(match item.way {
            Way::Inside => cost.inside,
            Way::Whole { .. } | Way::Fragments { .. } => reference(&frame, document.id, item),
        });
    }
    if bytes > core.limits.message_bytes {
        return Err(PlanFault::DoesNotFit);
    }
    let parts = hl7.iter().chain(&planned).map(|item| item.way.messages()).sum();
    if parts > MOST_ROWS {
        return Err(PlanFault::TooManyParts);
    }
    let reasons = reasons(core, documents, &costs, &frame, skeleton);
    Ok(Plan { reasons, hl7, documents: planned, bytes, parts })
}

impl Way {
    /// Messages besides the extract.
    fn messages(&self) -> u64 {
        match self {
            Self::Inside => 0,
            Self::Whole { .. } => 1,
            Self::Fragments { fragments, .. } => 1 + fragments.len() as u64,
        }
    }

    /// The message that the extract names.
    pub fn mid(&self) -> Option<&MessageId> {
        match self {
            Self::Inside => None,
            Self::Whole { mid, .. } => Some(mid),
            Self::Fragments { index, .. } => Some(index),
        }
    }
}

/// What a document costs the extract.
struct Cost {
    inside: u64,
    outside: u64,
}

impl Cost {
    fn of(document: &Document<'_>, shape: &Shape, frame: &Frame<'_>) -> Self {
        let within = entry(document, &Shape::raw(document.bytes)).to_string();
        Self {
            inside: frame.inside(document.id, &within, document.content_type, document.bytes),
            outside: frame.outside(document.id, &entry(document, shape).to_string(), ANY_MID),
        }
    }
}

/// Which documents stay inside (LM10): the smallest first, so that fewest go outside.
fn fill(core: &Core<'_>, documents: &[Document<'_>], costs: &[Cost], empty: u64) -> Vec<bool> {
    let mut bytes = costs.iter().fold(empty, |sum, cost| sum.saturating_add(cost.outside));
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by_key(|at| (documents[*at].bytes, *at));
    let mut inside = vec![false; documents.len()];
    let mut count = 0;
    for at in order {
        let (document, cost) = (&documents[at], &costs[at]);
        let fits = is_carried(document.content_type)
            && characters(document.bytes) <= core.limits.attachment_characters
            && count < core.limits.attachments;
        let after = bytes.saturating_sub(cost.outside).saturating_add(cost.inside);
        if fits && after <= core.limits.message_bytes {
            inside[at] = true;
            count += 1;
            bytes = after;
        }
    }
    inside
}

/// §4.1(5).
fn reasons(
    core: &Core<'_>,
    documents: &[Document<'_>],
    costs: &[Cost],
    frame: &Frame<'_>,
    skeleton: bool,
) -> Vec<Reason> {
    let limits = &core.limits;
    let total = costs
        .iter()
        .fold(frame.empty().saturating_add(core.hl7_bytes), |sum, cost| sum.saturating_add(cost.inside));
    let large = |document: &Document<'_>| characters(document.bytes) > limits.attachment_characters;
    let found = [
        (Reason::Hl7, skeleton),
        (Reason::Attachment, documents.iter().any(large)),
        (Reason::Type, documents.iter().any(|document| !is_carried(document.content_type))),
        (Reason::Count, documents.len() > limits.attachments),
        (Reason::Total, total > limits.message_bytes),
    ];
    found.into_iter().filter(|(_, holds)| *holds).map(|(reason, _)| reason).collect()
}

fn reference(frame: &Frame<'_>, id: &str, item: &Planned) -> u64 {
    let mid = item.way.mid().map_or(ANY_MID, MessageId::as_str);
    frame.outside(id, &item.description.to_string(), mid)
}

fn stay(document: &Document<'_>) -> Planned {
    Planned { description: entry(document, &Shape::raw(document.bytes)), way: Way::Inside }
}

/// Whether Spine carries the type as it is (LM29).
fn is_carried(content_type: &str) -> bool {
    let bare = content_type.split(';').next().unwrap_or_default().trim();
    mime::carried_type(bare).eq_ignore_ascii_case(bare)
}

#[cfg(test)]
mod tests;
