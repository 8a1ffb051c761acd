//! What travels between practices: an extract or acknowledgement with its attachments, in an ebXML envelope, as MIME,
//! signed; and the way back, tolerant where trust is the transport's and strict where it is the signature's.
//!
//! Pure: bytes in, bytes or a reasoned refusal out. No clock, no files, no sockets.
//!
//! Reading order: this page (assemble, open, verify), `envelope` and `description` (who, what, which parts), `signal`
//! (acknowledgements of the transport), `hl7` (acknowledgements of the practice), `mime`, `signature`, `canonical`, `xml`.

pub mod canonical;
pub mod description;
pub mod envelope;
pub mod fingerprint;
pub mod hl7;
pub mod mime;
pub mod signal;
pub mod signature;
pub mod xml;

use ring::digest::{Context, SHA256};

use crate::model::{MessageId, PartyKey, Timestamp};
use crate::packet::envelope::{EnvelopeFault, Header, Href, Item};
use crate::packet::mime::{Encoding, MimeFault, MimeLimits, OutPart, Part, Strictness};
use crate::packet::signal::Signal;
use crate::packet::signature::sign::{PartDigest, SigningFault, sign};
use crate::packet::signature::verify::{Terms, VerifiablePart, Verified, expect_unsigned, verify};
use crate::packet::signature::{Reference, SignatureFault, Signer};
use crate::packet::xml::{Document, XmlFault, XmlLimits};

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
#[derive(Debug, Clone)]
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
    /// What was to be stamped anew is not a packet of ours.
    #[error("the stored packet could not be read back")]
    Unreadable(#[from] PacketFault),
}

/// Why a received message cannot be read. Names parts and elements, never content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketFault {
    /// The MIME is broken.
    #[error(transparent)]
    Mime(#[from] MimeFault),
    /// The envelope is not XML we read.
    #[error("the envelope cannot be read: {0}")]
    Xml(#[from] XmlFault),
    /// The envelope is not ebXML.
    #[error("the envelope cannot be used: {0}")]
    Envelope(#[from] EnvelopeFault),
    /// The manifest names a part that is not there.
    #[error("item {0} of the manifest names a part that is not there")]
    PartMissing(usize),
    /// A part that the manifest does not name, in a signed message.
    #[error("part {0} is not in the manifest")]
    PartUnlisted(usize),
    /// Not a stored packet.
    #[error("the file is not a packet: it has no Content-Type line")]
    NotAPacket,
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
    let host = header.from.as_str().to_ascii_lowercase();
    let hl7_id = mime::content_id(header.message_id.as_str(), &host);
    let items: Vec<Item> = attachments
        .iter()
        .map(|a| Item {
            id: Some(format!("_{}", a.document_id)),
            href: Href::Part(mime::content_id(a.document_id, &host)),
            description: a.description.to_owned(),
        })
        .collect();
    let bodies: Vec<(&str, &[u8])> = attachments.iter().map(|a| (a.content_type, a.octets)).collect();
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
        open(&packet.content_type, &packet.body, Strictness::Strict, &MimeLimits::default())?
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

impl Packet {
    /// As it is kept and exported: two header lines, an empty line, the body. Any MIME reader opens it.
    pub fn to_file(&self) -> Vec<u8> {
        let head = format!(
            "MIME-Version: 1.0\r\nContent-Type: {}\r\nSOAPAction: {}\r\n\r\n",
            self.content_type, self.soap_action
        );
        [head.as_bytes(), &self.body].concat()
    }

    /// Reads what [`Packet::to_file`] made.
    pub fn from_file(bytes: &[u8]) -> Result<Self, PacketFault> {
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
        Ok(Self {
            content_type: field("Content-Type").ok_or(PacketFault::NotAPacket)?,
            soap_action: field("SOAPAction").unwrap_or_default(),
            body: bytes[end + 4..].to_vec(),
        })
    }

    /// Who sends it: the party of its header.
    pub fn sender(&self) -> Option<PartyKey> {
        match open(&self.content_type, &self.body, Strictness::Strict, &MimeLimits::default()) {
            Ok(Received::Business(incoming)) => Some(incoming.header.from),
            Ok(Received::Signal { .. }) | Err(_) => None,
        }
    }

    /// What the packet's signature covers, unjudged: for our own octets, to compare a receipt with.
    pub fn references(&self) -> Result<Vec<Reference>, SignatureFault> {
        match open(&self.content_type, &self.body, Strictness::Strict, &MimeLimits::default()) {
            Ok(Received::Business(incoming)) => signature::verify::references_of(&incoming.envelope),
            Ok(Received::Signal { .. }) | Err(_) => Err(SignatureFault::Unsigned),
        }
    }
}

/// A received message, read but not yet believed.
#[derive(Debug)]
pub enum Received<'a> {
    /// A business message.
    Business(Box<Incoming<'a>>),
    /// A signal of the transport.
    Signal {
        /// The envelope.
        envelope: Box<Document>,
        /// What it says.
        signal: Signal,
    },
}

/// A business message, read but not yet believed.
#[derive(Debug)]
pub struct Incoming<'a> {
    /// Who says it is from whom.
    pub header: Header,
    /// Which parts it says it has, the HL7 part first.
    pub manifest: Vec<Item>,
    envelope: Document,
    parts: Vec<Part<'a>>,
}

/// Reads a message as posted.
pub fn open<'a>(
    content_type: &str,
    body: &'a [u8],
    strictness: Strictness,
    limits: &MimeLimits,
) -> Result<Received<'a>, PacketFault> {
    if !content_type.trim_start().to_ascii_lowercase().starts_with("multipart/") {
        let envelope = Document::parse(body, &XmlLimits::envelope())?;
        return match signal::read(&envelope)? {
            Some(signal) => Ok(Received::Signal { envelope: Box::new(envelope), signal }),
            None => Err(EnvelopeFault::NotOne("Manifest").into()),
        };
    }
    let mut parts = mime::read(content_type, body, strictness, limits)?.into_iter();
    let root = parts.next().ok_or(EnvelopeFault::NotSoap)?;
    let envelope = Document::parse_labelled(&root.body, root.charset.as_deref(), &XmlLimits::envelope())?;
    if let Some(signal) = signal::read(&envelope)? {
        return Ok(Received::Signal { envelope: Box::new(envelope), signal });
    }
    let header = envelope::read_header(&envelope)?;
    let manifest = envelope::read_manifest(&envelope)?;
    let incoming = Incoming { header, manifest, envelope, parts: parts.collect() };
    incoming.check_parts(strictness)?;
    Ok(Received::Business(Box::new(incoming)))
}

impl<'a> Incoming<'a> {
    /// The same message with octets of its own.
    pub fn into_owned(self) -> Incoming<'static> {
        let parts = self.parts.into_iter().map(|part| Part {
            content_id: part.content_id,
            content_type: part.content_type,
            charset: part.charset,
            body: part.body.into_owned().into(),
            transfer: mime::Transfer::Octets,
        });
        Incoming {
            header: self.header,
            manifest: self.manifest,
            envelope: self.envelope,
            parts: parts.collect(),
        }
    }

    /// The HL7 part.
    pub fn hl7(&self) -> Option<&Part<'a>> {
        self.part(self.manifest.first()?)
    }

    /// The Content-IDs of the parts, in the order of the message.
    pub fn part_ids(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| part.content_id.as_deref())
    }

    /// Every other item of the manifest, with its part where it has one in this message.
    pub fn attachments(&self) -> Vec<(&Item, Option<&Part<'a>>)> {
        self.manifest.iter().skip(1).map(|item| (item, self.part(item))).collect()
    }

    /// Verifies the signature; the fields of `self` were read from the very document that is digested.
    pub fn verify(&self, terms: &Terms<'_>) -> Result<Verified, SignatureFault> {
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let content_id = part.content_id.as_deref().ok_or(SignatureFault::PartNotInManifest)?;
            parts.push(VerifiablePart { content_id, octets: &part.body });
        }
        verify(&self.envelope, &parts, terms)
    }

    /// Whether the message bears a signature that nobody agreed to judge (wire reference §6.2(1)).
    pub fn expect_unsigned(&self) -> Result<(), SignatureFault> {
        expect_unsigned(&self.envelope)
    }

    /// What makes two copies the same message (wire reference §5.3): header and body less what retransmission and
    /// re-framing may change, and the octets of every part.
    pub fn digest(&self) -> [u8; 32] {
        use crate::packet::canonical::canonical_element;
        use crate::packet::envelope::{EB, SOAP};
        let changes = ["CPAId", "Timestamp", "TimeToLive"];
        let mut digest = Context::new(&SHA256);
        let root = self.envelope.root();
        let header = root.child(SOAP, "Header").and_then(|h| h.child(EB, "MessageHeader"));
        for element in header.into_iter().chain(root.child(SOAP, "Body")) {
            digest
                .update(&canonical_element(element, |e| e.namespace() == EB && changes.contains(&e.name())));
        }
        for part in &self.parts {
            digest.update(&(part.body.len() as u64).to_be_bytes());
            digest.update(&part.body);
        }
        let mut out = [0; 32];
        out.copy_from_slice(digest.finish().as_ref());
        out
    }

    fn part(&self, item: &Item) -> Option<&Part<'a>> {
        let Href::Part(id) = &item.href else { return None };
        self.parts.iter().find(|p| p.content_id.as_deref() == Some(id.as_str()))
    }

    fn check_parts(&self, strictness: Strictness) -> Result<(), PacketFault> {
        if self.hl7().is_none() {
            return Err(PacketFault::PartMissing(1));
        }
        for (number, item) in self.manifest.iter().enumerate() {
            if matches!(item.href, Href::Part(_)) && self.part(item).is_none() {
                return Err(PacketFault::PartMissing(number + 1));
            }
        }
        let listed = |part: &Part<'_>| {
            self.manifest
                .iter()
                .any(|i| matches!((&i.href, &part.content_id), (Href::Part(a), Some(b)) if a == b))
        };
        match (strictness, self.parts.iter().position(|p| !listed(p))) {
            (Strictness::Strict, Some(number)) => Err(PacketFault::PartUnlisted(number + 2)),
            (Strictness::Strict | Strictness::Tolerant, _) => Ok(()),
        }
    }
}
