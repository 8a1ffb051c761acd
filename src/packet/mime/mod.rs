//! A message as MIME multipart/related: read as peers write it, written as the strictest of them wants it (wire
//! reference §2).
//!
//! Knows parts, not what they mean: the envelope, the Manifest and which part it names are for others.

mod field;
mod read;
mod search;
mod transfer;
mod write;

use std::borrow::Cow;

pub use read::{charset, part_named, read, read_root};
pub use write::{Encoding, OutPart, Written, carried_type, content_id, write};

/// The budgets of one message, checked before time or memory is spent beyond them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MimeLimits {
    /// Octets of the whole body.
    pub message_bytes: usize,
    /// Parts, the envelope included.
    pub parts: usize,
    /// Octets of the headers of one part.
    pub header_bytes: usize,
}

impl Default for MimeLimits {
    /// 5 MB is the specification's message; 100 parts are what MHS composes, and a peer may exceed it a little
    /// (§2.1: accept 99 attachments and more); the longest headers seen are under 300 octets.
    fn default() -> Self {
        Self { message_bytes: 5_000_000, parts: 128, header_bytes: 16 << 10 }
    }
}

/// How much of what peers do badly is let pass (wire reference §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Signed profile: the rows marked † are refused, and base64 must be whole groups (§6.2(13)).
    Strict,
    /// Spine profile: everything seen on the wire.
    Tolerant,
}

/// One part of a message, its transfer encoding undone.
#[derive(Clone, PartialEq, Eq)]
pub struct Part<'a> {
    /// The Content-ID without its angle brackets. Unique in its message and meaningless outside it.
    pub content_id: Option<String>,
    /// `type/subtype`, lower case; `text/plain` when the part names none.
    pub content_type: String,
    /// The charset the part is labelled with, as written.
    pub charset: Option<String>,
    /// The octets.
    pub body: Cow<'a, [u8]>,
    /// What the octets travelled as.
    pub transfer: Transfer<'a>,
}

impl std::fmt::Debug for Part<'_> {
    /// The sizes only: bodies hold patients' records.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
            .field("content_type", &self.content_type)
            .field("octets", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What the octets of a part travelled as. Parts of a large message are joined as base64 text and decoded once, since
/// peers cut inside a group of four (§2.3): hence the text beside the octets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Transfer<'a> {
    /// As they are, or as quoted-printable.
    Octets,
    /// As this base64 text, white space included.
    Base64(&'a [u8]),
    /// As base64 text that ends inside a group beyond what lost padding explains: a piece of something larger. The body
    /// holds the whole groups only. Never in [`Strictness::Strict`].
    CutBase64(&'a [u8]),
}

/// Why a message is not one that can be taken apart. Parts are numbered from 1; content is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MimeFault {
    /// Longer than the limit.
    #[error("the message is larger than the limit")]
    MessageTooLarge,
    /// The Content-Type of the message is not a readable multipart/related.
    #[error("the message is not multipart/related")]
    NotMultipart,
    /// No boundary, several, or one outside 1 to 70 characters.
    #[error("the boundary of the message is missing or not one")]
    Boundary,
    /// The boundary never occurs.
    #[error("the message has no part")]
    NoParts,
    /// The closing boundary never occurs.
    #[error("the closing boundary is missing: the message is cut short or damaged")]
    Unclosed,
    /// More parts than the limit.
    #[error("the message has more parts than the limit")]
    TooManyParts,
    /// The headers of a part are longer than the limit.
    #[error("the headers of part {part} are larger than the limit")]
    HeaderTooLarge {
        /// The part.
        part: usize,
    },
    /// A header that is not `name: value`, or no blank line after the headers.
    #[error("the headers of part {part} are malformed")]
    MalformedHeader {
        /// The part.
        part: usize,
    },
    /// Content-ID, Content-Type or Content-Transfer-Encoding twice in one part.
    #[error("part {part} repeats a header")]
    RepeatedHeader {
        /// The part.
        part: usize,
    },
    /// A line of the framing ends without a carriage return (signed profile only, §2.2 †).
    #[error("a line of part {part} ends without a carriage return")]
    BareLineFeed {
        /// The part.
        part: usize,
    },
    /// A transfer encoding that is none we decode.
    #[error("part {part} has an unknown transfer encoding")]
    UnknownEncoding {
        /// The part.
        part: usize,
    },
    /// A character that is not base64, or padding inside.
    #[error("the base64 of part {part} is damaged")]
    BadBase64 {
        /// The part.
        part: usize,
    },
    /// Base64 that is not whole groups of four (signed profile only, §6.2(13)).
    #[error("the base64 of part {part} is not whole groups of four")]
    PartialBase64 {
        /// The part.
        part: usize,
    },
    /// An escape that quoted-printable does not have.
    #[error("the quoted-printable of part {part} is damaged")]
    BadQuotedPrintable {
        /// The part.
        part: usize,
    },
    /// A Content-ID that an earlier part has.
    #[error("part {part} repeats the Content-ID of an earlier part")]
    DuplicateContentId {
        /// The part.
        part: usize,
    },
    /// The `start` parameter names a part that is not the first.
    #[error("the start parameter names part {part}, not the first")]
    StartNamesLaterPart {
        /// The part.
        part: usize,
    },
    /// Two parts answer to one `cid:`.
    #[error("a cid names two parts")]
    AmbiguousReference,
}

#[cfg(test)]
mod tests;
