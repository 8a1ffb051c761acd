//! How many octets a message will have, before it is assembled: the same framing that `packet::assemble` writes, counted.

use crate::packet::envelope::{self, Header, Href, Item};
use crate::packet::mime;

/// Octets of raw content in a line of base64, and characters of that line with its end.
const LINE: (u64, u64) = (57, 78);
/// Octets of a boundary: `=_` and 32 digits.
const BOUNDARY: u64 = 34;
/// Octets of a signature but for its references to parts: methods, value and a certificate of up to 4 KiB.
const SIGNATURE: u64 = 8 << 10;
/// Octets of a signature's reference to a part, but for the id of the part.
const SIGNED_PART: u64 = 320;
/// Octets of a part's message besides its file: an envelope, an HL7 payload of about 3 KB and the framing, doubled.
const PART_MESSAGE: u64 = 16 << 10;

/// Characters of base64 of that many octets (LM24).
pub(super) fn characters(bytes: u64) -> u64 {
    bytes.div_ceil(3).saturating_mul(4)
}

/// Octets of base64 in lines.
fn lines(bytes: u64) -> u64 {
    characters(bytes).saturating_add(2 * bytes.div_ceil(LINE.0).saturating_sub(1))
}

/// The most characters of base64 that fit a part's message of `message` octets, when the names in it have `name`.
pub(super) fn part_characters(message: u64, name: usize, signed: bool) -> u64 {
    // A name stands in the envelope and the payload, each character escaped at worst to six.
    let names = (name as u64).saturating_mul(18);
    let signature = if signed { SIGNATURE + SIGNED_PART } else { 0 };
    message.saturating_sub(PART_MESSAGE + names + signature) / LINE.1 * 76
}

/// The most fragments that fit one index of `message` octets.
pub(super) fn fragments(message: u64, signed: bool) -> u64 {
    // A reference to a fragment, with its Description, has about 400 octets.
    message.saturating_sub(PART_MESSAGE + if signed { SIGNATURE } else { 0 }) / 512
}

/// Counts the octets of one extract.
pub(super) struct Frame<'a> {
    header: &'a Header,
    host: String,
    hl7_id: String,
    bare: u64,
    signed: bool,
}

impl<'a> Frame<'a> {
    pub(super) fn new(header: &'a Header, signed: bool) -> Self {
        let host = header.from.as_str().to_ascii_lowercase();
        let hl7_id = mime::content_id(header.message_id.as_str(), &host);
        let bare = envelope::write_business(header, &hl7_id, &[]).len() as u64;
        Self { header, host, hl7_id, bare, signed }
    }

    /// Everything but attachments, their references and the HL7 octets.
    pub(super) fn empty(&self) -> u64 {
        let root_id = mime::content_id(&format!("{}.root", self.header.message_id), "envelope");
        let root = part(root_id.len(), "text/xml; charset=UTF-8", "8bit", self.bare);
        let hl7 = part(self.hl7_id.len(), "application/xml; charset=UTF-8", "8bit", 0);
        let signature = if self.signed { SIGNATURE + SIGNED_PART + self.hl7_id.len() as u64 } else { 0 };
        root + hl7 + signature + 2 + BOUNDARY + 4
    }

    /// A document inside: its reference and its part.
    pub(super) fn inside(&self, id: &str, description: &str, content_type: &str, bytes: u64) -> u64 {
        let cid = mime::content_id(id, &self.host);
        let length = cid.len();
        let signed = if self.signed { SIGNED_PART + length as u64 } else { 0 };
        let reference = self.reference(id, Href::Part(cid), description);
        part(length, mime::carried_type(content_type), "base64", lines(bytes))
            .saturating_add(reference + signed)
    }

    /// A document outside: its reference.
    pub(super) fn outside(&self, id: &str, description: &str, mid: &str) -> u64 {
        self.reference(id, Href::Message(mid.to_owned()), description)
    }

    fn reference(&self, id: &str, href: Href, description: &str) -> u64 {
        let item = Item { id: Some(format!("_{id}")), href, description: description.to_owned() };
        envelope::write_business(self.header, &self.hl7_id, &[item]).len() as u64 - self.bare
    }
}

/// One part of MIME, its delimiter before it.
fn part(id: usize, content_type: &str, encoding: &str, body: u64) -> u64 {
    let head =
        "--\r\nContent-Id: <>\r\nContent-Type: \r\nContent-Transfer-Encoding: \r\n\r\n\r\n".len() as u64;
    let values = BOUNDARY + (id + content_type.len() + encoding.len()) as u64;
    head.saturating_add(values).saturating_add(body)
}
