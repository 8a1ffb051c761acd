//! How an item travels outside its extract: as it is, gzipped, or in fragments (gp2gp reference §4.1(8) to (12)).
//!
//! Whether it must is decided beside this.

use super::{Core, Document, Fragment, Outsourced, Packing, PlanFault, Planned, Way, needs_measuring};
use crate::model::MessageId;
use crate::packet::description::Description;
use crate::packet::parts::inventory::MOST_ROWS;
use crate::packet::parts::size::{self, characters};
use crate::packet::parts::skeleton;

/// In what form a document would travel outside.
pub(super) struct Shape {
    pub(super) packing: Packing,
    pub(super) bytes: u64,
    pub(super) large: bool,
}

impl Shape {
    pub(super) fn raw(bytes: u64) -> Self {
        Self { packing: Packing::Raw, bytes, large: false }
    }

    /// §4.1(9): gzip if the file is over the limit and that shrinks it; fragments if it is over still.
    pub(super) fn of(at: usize, document: &Document<'_>, core: &Core<'_>) -> Result<Self, PlanFault> {
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

/// Allots the messages of one document.
pub(super) fn send(
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
pub(super) fn outsource(
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
pub(super) fn entry(document: &Document<'_>, shape: &Shape) -> Description {
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
pub(super) fn most_characters(file_name: &str, core: &Core<'_>) -> u64 {
    let fits = size::part_characters(core.limits.message_bytes, file_name.len(), core.signed);
    core.limits.attachment_characters.min(fits)
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

pub(super) fn may_shrink(content_type: &str) -> bool {
    let lower = content_type.trim().to_ascii_lowercase();
    !PACKED.iter().any(|packed| lower.starts_with(packed))
}
