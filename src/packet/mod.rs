//! What travels between practices: a request, an extract, a part of one or an acknowledgement, with its attachments, in an
//! ebXML envelope, as MIME, signed; and the way back, tolerant where trust is the transport's and strict where it is the signature's.
//!
//! Pure: bytes in, bytes or a reasoned refusal out. No clock, no files, no sockets.
//!
//! Reading order: this page (assemble), `open` (read, verify), `envelope`, `description` and `manifest` (who, what, which
//! parts), `signal` (acknowledgements of the transport), `hl7` (what the practices say), `mime`, `signature`, `canonical`, `xml`.

pub mod canonical;
pub mod description;
pub mod envelope;
pub mod fingerprint;
pub mod hl7;
pub mod manifest;
pub mod mime;
mod open;
pub mod parts;
pub mod signal;
pub mod signature;
pub mod xml;

pub use open::{Incoming, PacketFault, Received, Unread, open};

use std::collections::HashSet;
use std::fmt;

use crate::model::{MessageId, Timestamp};
use crate::packet::description::Description;
use crate::packet::envelope::{Header, Href, Item};
use crate::packet::mime::{Encoding, MimeLimits, OutPart, Strictness};
use crate::packet::signature::sign::{PartDigest, SigningFault, sign};
use crate::packet::signature::{Reference, Signer};

/// A whole message as it is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The HTTP Content-Type.
    pub content_type: String,
    /// The HTTP SOAPAction.
    pub soap_action: String,
    /// The HTTP body.
    pub body: Vec<u8>,
}

/// A document that travels with an extract.
#[derive(Clone, Copy)]
pub struct Attachment<'a> {
    /// Its id, by which the extract refers to it.
    pub document_id: &'a str,
    /// The manifest's description of it.
    pub description: &'a str,
    /// Its media type.
    pub content_type: &'a str,
    /// Its octets.
    pub octets: &'a [u8],
}

impl fmt::Debug for Attachment<'_> {
    /// Without name and content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { document_id, description: _, content_type, octets } = self;
        f.debug_struct("Attachment")
            .field("document_id", document_id)
            .field("content_type", content_type)
            .field("octets", &octets.len())
            .finish_non_exhaustive()
    }
}

/// One thing the manifest lists after the HL7 part.
#[derive(Clone, Copy)]
pub enum Enclosed<'a> {
    /// A document, in this message.
    Here(Attachment<'a>),
    /// What a part carries, in this message: a document or a piece of one, which has no id of its own (wire reference
    /// §3.5 C).
    Carried {
        /// What is said of it.
        description: &'a Description,
        /// Its media type.
        content_type: &'a str,
        /// Its octets.
        octets: &'a [u8],
    },
    /// In a message of its own: a document or its index in an extract, a fragment in an index (LM15).
    Elsewhere {
        /// Its id, by which the extract refers to it; a fragment has none.
        document_id: Option<&'a str>,
        /// The message that will bring it.
        message_id: &'a MessageId,
        /// What is said of it: some peers drop an item without a description (wire reference §3.4).
        description: &'a Description,
    },
}

impl fmt::Debug for Enclosed<'_> {
    /// Without name and content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(attachment) => attachment.fmt(f),
            Self::Carried { description, content_type: _, octets } => f
                .debug_struct("Carried")
                .field("description", description)
                .field("octets", &octets.len())
                .finish(),
            Self::Elsewhere { document_id, message_id, description } => f
                .debug_struct("Elsewhere")
                .field("document_id", document_id)
                .field("message_id", message_id)
                .field("description", description)
                .finish(),
        }
    }
}

impl<'a> Enclosed<'a> {
    /// `number` is its place in the list.
    fn item(&self, message: &MessageId, number: usize, host: &str) -> Item {
        let id = |document: &str| format!("_{document}");
        match self {
            Self::Here(attachment) => Item {
                id: Some(id(attachment.document_id)),
                href: Href::Part(mime::content_id(attachment.document_id, host)),
                description: attachment.description.to_owned(),
            },
            Self::Carried { description, .. } => Item {
                id: None,
                href: Href::Part(mime::content_id(&format!("{message}.{number}"), host)),
                description: description.to_string(),
            },
            Self::Elsewhere { document_id, message_id, description } => Item {
                id: document_id.map(id),
                href: Href::Message(message_id.to_string()),
                description: description.to_string(),
            },
        }
    }

    fn body(&self) -> Option<(&'a str, &'a [u8])> {
        match self {
            Self::Here(attachment) => Some((attachment.content_type, attachment.octets)),
            Self::Carried { description: _, content_type, octets } => Some((content_type, octets)),
            Self::Elsewhere { .. } => None,
        }
    }
}

/// Items of one manifest: an envelope of 10,000 elements is the most any reader of ours takes, and an item is two.
const MOST_LISTED: usize = 4_000;

/// Why a packet could not be assembled or stamped anew.
#[derive(Debug, thiserror::Error)]
pub enum AssembleFault {
    /// It could not be signed.
    #[error("the packet could not be signed")]
    Signing(#[from] SigningFault),
    /// More than a message may be.
    #[error(
        "the packet has {bytes} bytes and {attachments} attachments; one message takes {most_bytes} and {most_attachments}"
    )]
    TooLarge {
        /// What it has.
        bytes: u64,
        /// What it has.
        attachments: usize,
        /// What one message takes.
        most_bytes: u64,
        /// What one message takes.
        most_attachments: usize,
    },
    /// One attachment is more than an attachment may be (LM01).
    #[error("attachment {number} has {characters} characters as base64; one attachment takes {most}")]
    AttachmentTooLarge {
        /// Which, from 1.
        number: usize,
        /// What it has.
        characters: u64,
        /// What one takes.
        most: u64,
    },
    /// More in the manifest than an envelope may list.
    #[error("the manifest lists {listed} items; one message takes {most}")]
    TooManyListed {
        /// What it has.
        listed: usize,
        /// What one message takes.
        most: usize,
    },
    /// Two parts by one name, which no receiver takes: an id that is another document's, or the message's own.
    #[error("part {number} has the id of another")]
    RepeatedPart {
        /// Which, from 1.
        number: usize,
    },
    /// What was to be stamped anew is not a packet of ours.
    #[error("the stored packet could not be read back")]
    Unreadable(#[from] PacketFault),
}

/// How much one message may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketLimits {
    /// Octets of the whole body. 4,999,600 by default (wire reference §2.1).
    pub message_bytes: u64,
    /// Characters of base64 of one attachment, its line ends not counted. 4,500,000 by default (LM01).
    pub attachment_characters: u64,
    /// Attachments beside the HL7 part. 98 by default.
    pub attachments: usize,
}

impl Default for PacketLimits {
    fn default() -> Self {
        Self { message_bytes: 4_999_600, attachment_characters: 4_500_000, attachments: 98 }
    }
}

/// Puts a message together and, given a signer, signs it. The same input gives the same octets, but for the nonce of
/// an elliptic-curve signature.
pub fn assemble(
    header: &Header,
    hl7: &[u8],
    attachments: &[Attachment<'_>],
    signer: Option<&Signer>,
    limits: PacketLimits,
) -> Result<Packet, AssembleFault> {
    let enclosed: Vec<Enclosed<'_>> = attachments.iter().copied().map(Enclosed::Here).collect();
    assemble_listing(header, hl7, &enclosed, signer, limits)
}

/// As [`assemble`], the manifest listing what comes in messages of its own beside what is here, in this order: an
/// extract with external parts, or an index of fragments.
pub fn assemble_listing(
    header: &Header,
    hl7: &[u8],
    enclosed: &[Enclosed<'_>],
    signer: Option<&Signer>,
    limits: PacketLimits,
) -> Result<Packet, AssembleFault> {
    if enclosed.len() > MOST_LISTED {
        return Err(AssembleFault::TooManyListed { listed: enclosed.len(), most: MOST_LISTED });
    }
    let host = header.from.as_str().to_ascii_lowercase();
    let hl7_id = mime::content_id(header.message_id.as_str(), &host);
    let numbered = enclosed.iter().enumerate();
    let items: Vec<Item> = numbered.map(|(n, it)| it.item(&header.message_id, n + 1, &host)).collect();
    let bodies: Vec<(&str, &[u8])> = enclosed.iter().filter_map(Enclosed::body).collect();
    frame(header, &hl7_id, hl7, &items, &bodies, signer, limits)
}

/// The same HL7 and part octets in a new envelope: another timestamp, and another MessageId where the protocol asks for
/// one (wire reference §5.2(5), TD66).
pub fn restamp(
    packet: &Packet,
    message_id: &MessageId,
    timestamp: Timestamp,
    time_to_live: Timestamp,
    signer: Option<&Signer>,
) -> Result<Packet, AssembleFault> {
    let Received::Business(old) =
        open(&packet.content_type, &packet.body, Strictness::Strict, &MimeLimits::default())
            .map_err(PacketFault::from)?
    else {
        return Err(PacketFault::NotAPacket.into());
    };
    let header = Header {
        message_id: message_id.clone(),
        timestamp,
        time_to_live: Some(time_to_live),
        ..old.header.clone()
    };
    let hl7 = old.hl7().ok_or(PacketFault::PartMissing(0))?;
    let hl7_id = hl7.content_id.clone().unwrap_or_default();
    let parts = old.attachments();
    let bodies: Vec<(&str, &[u8])> =
        parts.iter().filter_map(|(_, part)| part.map(|p| (p.content_type.as_str(), &*p.body))).collect();
    let limits =
        PacketLimits { message_bytes: u64::MAX, attachment_characters: u64::MAX, attachments: usize::MAX };
    frame(&header, &hl7_id, &hl7.body, &old.manifest[1..], &bodies, signer, limits)
}

fn frame(
    header: &Header,
    hl7_id: &str,
    hl7: &[u8],
    items: &[Item],
    bodies: &[(&str, &[u8])],
    signer: Option<&Signer>,
    limits: PacketLimits,
) -> Result<Packet, AssembleFault> {
    for (index, (_, octets)) in bodies.iter().enumerate() {
        let characters = (octets.len() as u64).div_ceil(3) * 4;
        if characters > limits.attachment_characters {
            let most = limits.attachment_characters;
            return Err(AssembleFault::AttachmentTooLarge { number: index + 1, characters, most });
        }
    }
    let mut envelope = envelope::write_business(header, hl7_id, items).into_bytes();
    let cids: Vec<&str> = items
        .iter()
        .filter_map(|item| match &item.href {
            Href::Part(id) => Some(id.as_str()),
            Href::Message(_) => None,
        })
        .collect();
    let mut named = HashSet::from([hl7_id]);
    if let Some(index) = cids.iter().position(|id| !named.insert(id)) {
        return Err(AssembleFault::RepeatedPart { number: index + 1 });
    }
    if let Some(signer) = signer {
        let mut digests = vec![PartDigest::of(hl7_id, hl7)];
        digests.extend(cids.iter().zip(bodies).map(|(id, (_, octets))| PartDigest::of(id, octets)));
        envelope = sign(&envelope, &digests, signer)?.octets;
    }
    let root_id = mime::content_id(&format!("{}.root", header.message_id), "envelope");
    let mut parts = vec![
        OutPart {
            content_id: &root_id,
            content_type: "text/xml; charset=UTF-8",
            encoding: Encoding::EightBit,
            octets: &envelope,
        },
        OutPart {
            content_id: hl7_id,
            content_type: "application/xml; charset=UTF-8",
            encoding: Encoding::EightBit,
            octets: hl7,
        },
    ];
    parts.extend(cids.iter().zip(bodies).map(|(content_id, (content_type, octets))| OutPart {
        content_id,
        content_type: mime::carried_type(content_type),
        encoding: Encoding::Base64,
        octets,
    }));
    let mime::Written { content_type, body } = mime::write(&parts, header.message_id.as_str());
    let bytes = body.len() as u64;
    if bytes > limits.message_bytes || bodies.len() > limits.attachments {
        return Err(AssembleFault::TooLarge {
            bytes,
            attachments: bodies.len(),
            most_bytes: limits.message_bytes,
            most_attachments: limits.attachments,
        });
    }
    Ok(Packet { content_type, soap_action: format!("{}/{}", header.service, header.action), body })
}

/// The header lines before a packet's body as it is kept, the empty line included.
pub fn file_head(content_type: &str, soap_action: &str) -> String {
    format!("MIME-Version: 1.0\r\nContent-Type: {content_type}\r\nSOAPAction: {soap_action}\r\n\r\n")
}

impl Packet {
    /// As it is kept and exported: two header lines, an empty line, the body. Any MIME reader opens it.
    pub fn to_file(&self) -> Vec<u8> {
        [file_head(&self.content_type, &self.soap_action).as_bytes(), &self.body].concat()
    }

    /// Reads what [`Packet::to_file`] made.
    pub fn from_file(bytes: &[u8]) -> Result<Self, PacketFault> {
        Self::from_owned_file(bytes.to_vec())
    }

    /// As [`Packet::from_file`], in the octets' own place.
    pub fn from_owned_file(mut bytes: Vec<u8>) -> Result<Self, PacketFault> {
        /// Header lines of a stored packet take less.
        const LONGEST_HEAD: usize = 8192;
        let window = &bytes[..bytes.len().min(LONGEST_HEAD)];
        let end = window.windows(4).position(|w| w == b"\r\n\r\n").ok_or(PacketFault::NotAPacket)?;
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| PacketFault::NotAPacket)?;
        let field = |name: &str| {
            head.split("\r\n").find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let content_type = field("Content-Type").ok_or(PacketFault::NotAPacket)?;
        let soap_action = field("SOAPAction").unwrap_or_default();
        bytes.drain(..end + 4);
        Ok(Self { content_type, soap_action, body: bytes })
    }

    /// Its header, and what its signature covers if it has one: for our own octets, to compare an answer with.
    pub fn sent_as(&self) -> Option<(Header, Option<Vec<Reference>>)> {
        open::sent_as(&self.content_type, &self.body)
    }
}
