//! What of a record goes in the extract and what in messages of its own (gp2gp reference §4.1(5) to (12)).
//!
//! It knows sizes, not contents: no file is read here. Documents the receiver could not take were replaced before
//! ([`super::withhold`]); those that only gzip can help must have been measured ([`needs_measuring`]).

use std::ops::Range;

use super::inventory::MOST_ROWS;
use super::size::{self, Frame, characters};
use super::skeleton;
use crate::model::MessageId;
use crate::packet::PacketLimits;
use crate::packet::description::Description;
use crate::packet::envelope::Header;
use crate::packet::mime;

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
        bytes = bytes.saturating_add(outside(&frame, outsourced.id, hl7));
    }
    let inside = fill(core, documents, &costs, bytes);
    let planned = documents.iter().zip(&shapes).zip(&inside).map(|((document, shape), inside)| {
        if *inside { Ok(stay(document)) } else { send(document, shape, core, &mut ids) }
    });
    let planned = planned.collect::<Result<Vec<_>, _>>()?;
    for ((document, item), cost) in documents.iter().zip(&planned).zip(&costs) {
        bytes = bytes.saturating_add(match item.way {
            Way::Inside => cost.inside,
            Way::Whole { .. } | Way::Fragments { .. } => outside(&frame, document.id, item),
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

/// In what form a document would travel outside.
struct Shape {
    packing: Packing,
    bytes: u64,
    large: bool,
}

impl Shape {
    fn raw(bytes: u64) -> Self {
        Self { packing: Packing::Raw, bytes, large: false }
    }

    /// §4.1(9): gzip if the file is over the limit and that shrinks it; fragments if it is over still.
    fn of(at: usize, document: &Document<'_>, core: &Core<'_>) -> Result<Self, PlanFault> {
        let most = most_characters(document.file_name, core);
        let over = |bytes: u64| characters(bytes) > most;
        if !over(document.bytes) {
            return Ok(Self::raw(document.bytes));
        }
        if needs_measuring(document, core) {
            return Err(PlanFault::Unmeasured(at));
        }
        let gzipped = document.gzipped.filter(|_| may_shrink(document.content_type));
        let shape = match gzipped.filter(|gzipped| *gzipped < document.bytes) {
            Some(bytes) => Self { packing: Packing::Gzip, bytes, large: false },
            None => Self::raw(document.bytes),
        };
        Ok(Self { large: over(shape.bytes), ..shape })
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

fn outside(frame: &Frame<'_>, id: &str, item: &Planned) -> u64 {
    let mid = item.way.mid().map_or(ANY_MID, MessageId::as_str);
    frame.outside(id, &item.description.to_string(), mid)
}

fn stay(document: &Document<'_>) -> Planned {
    Planned { description: entry(document, &Shape::raw(document.bytes)), way: Way::Inside }
}

fn send(
    document: &Document<'_>,
    shape: &Shape,
    core: &Core<'_>,
    ids: &mut impl FnMut() -> MessageId,
) -> Result<Planned, PlanFault> {
    let description = entry(document, shape);
    let way = match shape.large {
        false => Way::Whole { mid: ids(), packing: shape.packing },
        true => cut(document, shape, core, ids)?,
    };
    Ok(Planned { description, way })
}

/// The whole HL7 as an item, always gzipped (§4.1(6)).
fn outsource(
    hl7: &Outsourced<'_>,
    core: &Core<'_>,
    ids: &mut impl FnMut() -> MessageId,
) -> Result<Planned, PlanFault> {
    let file_name = skeleton::file_name(hl7.id, &core.header.action);
    let document = Document {
        id: hl7.id,
        file_name: &file_name,
        content_type: "text/xml",
        bytes: core.hl7_bytes,
        gzipped: Some(hl7.gzipped),
    };
    let large = characters(hl7.gzipped) > most_characters(&file_name, core);
    let shape = Shape { packing: Packing::Gzip, bytes: hl7.gzipped, large };
    let mut planned = send(&document, &shape, core, ids)?;
    planned.description.domain_data = Some(Description::SKELETON.to_owned());
    Ok(planned)
}

/// Fragments, cut at multiples of 76 characters and never padded inside (LM29.1).
fn cut(
    document: &Document<'_>,
    shape: &Shape,
    core: &Core<'_>,
    ids: &mut impl FnMut() -> MessageId,
) -> Result<Way, PlanFault> {
    let step = most_characters(document.file_name, core) / 76 * 57;
    if step == 0 || shape.bytes.div_ceil(step) > size::fragments(core.limits.message_bytes, core.signed) {
        return Err(PlanFault::DoesNotFit);
    }
    if shape.bytes.div_ceil(step) > MOST_ROWS {
        return Err(PlanFault::TooManyParts);
    }
    let index = ids();
    let content_type = match shape.packing {
        Packing::Raw => document.content_type,
        // What a piece of it is, as captured messages have it.
        Packing::Gzip => "application/x-gzip",
    };
    let fragments = (0..shape.bytes.div_ceil(step)).map(|n| {
        let range = n * step..shape.bytes.min((n + 1) * step);
        let description = Description {
            filename: format!("{index}_{n}.messageattachment"),
            content_type: Some(content_type.to_owned()),
            length: Some(characters(range.end - range.start)),
            ..Description::default()
        };
        Fragment { mid: ids(), range, description }
    });
    let fragments = fragments.collect();
    Ok(Way::Fragments { index, packing: shape.packing, fragments })
}

/// What the manifest says (LM24): the length is that of the base64 after compression, of the whole file.
fn entry(document: &Document<'_>, shape: &Shape) -> Description {
    Description {
        filename: document.file_name.to_owned(),
        content_type: Some(document.content_type.to_owned()),
        compressed: shape.packing == Packing::Gzip,
        large_attachment: shape.large,
        length: Some(characters(shape.bytes)),
        ..Description::default()
    }
}

/// Characters that the one file of a part's message may have.
fn most_characters(file_name: &str, core: &Core<'_>) -> u64 {
    let fits = size::part_characters(core.limits.message_bytes, file_name.len(), core.signed);
    core.limits.attachment_characters.min(fits)
}

/// Whether Spine carries the type as it is (LM29).
fn is_carried(content_type: &str) -> bool {
    let bare = content_type.split(';').next().unwrap_or_default().trim();
    mime::carried_type(bare).eq_ignore_ascii_case(bare)
}

/// Beginnings of types whose files are packed or encrypted already (LM11, LM27, LM28).
const PACKED: [&str; 14] = [
    "audio/mpeg",
    "audio/mp4",
    "video/",
    "image/png",
    "image/gif",
    "image/jp",
    "image/pjpeg",
    "application/zip",
    "application/gzip",
    "application/x-gzip",
    "application/vnd.openxmlformats-",
    "application/pkcs7",
    "application/pgp",
    "application/x-pkcs7",
];

fn may_shrink(content_type: &str) -> bool {
    let lower = content_type.trim().to_ascii_lowercase();
    !PACKED.iter().any(|packed| lower.starts_with(packed))
}

#[cfg(test)]
mod tests;
