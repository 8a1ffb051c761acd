//! Takes a received message apart and says what it is, or why not and what to answer.
//!
//! Whether the sender may be believed, whether the message is ours, in time or a duplicate is the inbox's to judge.

use ring::digest::{Context, SHA256};

use crate::model::PartyKey;
use crate::packet::envelope::{self, EnvelopeFault, Header, Href, Item};
use crate::packet::manifest::{Listed, listed};
use crate::packet::mime::{self, MimeFault, MimeLimits, Part, Strictness};
use crate::packet::signal::{self, Signal};
use crate::packet::signature::verify::{
    Terms, VerifiablePart, Verified, expect_unsigned, references_of, verify,
};
use crate::packet::signature::{Reference, SignatureFault};
use crate::packet::xml::{Document, XmlFault, XmlLimits};

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

impl PacketFault {
    /// The ebXML code to answer with, once the header could be read (wire reference §1.4).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Mime(_) | Self::PartMissing(_) | Self::PartUnlisted(_) | Self::NotAPacket => "MimeProblem",
            Self::Envelope(EnvelopeFault::Version) => "Inconsistent",
            Self::Envelope(EnvelopeFault::MustUnderstand | EnvelopeFault::NotSpoken(_)) => "NotSupported",
            Self::Envelope(
                EnvelopeFault::NotSoap | EnvelopeFault::NotOne(_) | EnvelopeFault::Malformed(_),
            )
            | Self::Xml(_) => "OtherXml",
        }
    }
}

/// A message that cannot be read, and its header where that much could be, so that its sender can be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct Unread {
    /// Why.
    pub fault: PacketFault,
    /// Who sent it to whom.
    pub header: Option<Box<Header>>,
}

impl From<Unread> for PacketFault {
    fn from(unread: Unread) -> Self {
        unread.fault
    }
}

/// Reads a message as posted.
pub fn open<'a>(
    content_type: &str,
    body: &'a [u8],
    strictness: Strictness,
    limits: &MimeLimits,
) -> Result<Received<'a>, Unread> {
    try_open(content_type, body, strictness, limits).map_err(|fault| {
        let header = header_of(content_type, body, limits).map(Box::new);
        Unread { fault, header }
    })
}

fn is_multipart(content_type: &str) -> bool {
    content_type.trim_start().to_ascii_lowercase().starts_with("multipart/")
}

fn try_open<'a>(
    content_type: &str,
    body: &'a [u8],
    strictness: Strictness,
    limits: &MimeLimits,
) -> Result<Received<'a>, PacketFault> {
    let (envelope, parts) = if is_multipart(content_type) {
        let mut parts = mime::read(content_type, body, strictness, limits)?.into_iter();
        let root = parts.next().ok_or(EnvelopeFault::NotSoap)?;
        (parse_root(&root)?, parts.collect())
    } else {
        (parse_bare(content_type, body)?, Vec::new())
    };
    if let Some(signal) = signal::read(&envelope)? {
        return Ok(Received::Signal { envelope: Box::new(envelope), signal });
    }
    let header = envelope::read_header(&envelope)?;
    let mut manifest = envelope::read_manifest(&envelope)?;
    match strictness {
        Strictness::Strict => {}
        Strictness::Tolerant => name_parts(&mut manifest, &parts)?,
    }
    let incoming = Incoming { header, manifest, envelope, parts };
    incoming.check_parts(strictness)?;
    Ok(Received::Business(Box::new(incoming)))
}

fn parse_root(root: &Part<'_>) -> Result<Document, XmlFault> {
    Document::parse_labelled(&root.body, root.charset.as_deref(), &XmlLimits::envelope())
}

fn parse_bare(content_type: &str, body: &[u8]) -> Result<Document, XmlFault> {
    Document::parse_labelled(body, mime::charset(content_type).as_deref(), &XmlLimits::envelope())
}

/// The header of a message that is otherwise unreadable: its parts may be damaged, not its envelope.
fn header_of(content_type: &str, body: &[u8], limits: &MimeLimits) -> Option<Header> {
    let envelope = if is_multipart(content_type) {
        parse_root(&mime::read_root(content_type, body, limits).ok()?).ok()?
    } else {
        parse_bare(content_type, body).ok()?
    };
    envelope::read_fields(&envelope).ok()
}

/// The header of a message of ours, and what its signature covers if it has one. Nothing but the envelope is read.
pub(super) fn sent_as(content_type: &str, body: &[u8]) -> Option<(Header, Option<Vec<Reference>>)> {
    let root = mime::read_root(content_type, body, &MimeLimits::default()).ok()?;
    let envelope = parse_root(&root).ok()?;
    let header = envelope::read_header(&envelope).ok()?;
    Some((header, references_of(&envelope).ok()))
}

/// Gives each reference the Content-ID of the part it names, exactly or after one percent-decoding (§2.2).
fn name_parts(manifest: &mut [Item], parts: &[Part<'_>]) -> Result<(), MimeFault> {
    for item in manifest {
        let Href::Part(cid) = &mut item.href else { continue };
        if let Some(id) = mime::part_named(parts, cid)?.and_then(|part| part.content_id.as_ref()) {
            cid.clone_from(id);
        }
    }
    Ok(())
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

    /// Every party it is addressed to: one of them must be ours (wire reference §3.2).
    pub fn addressees(&self) -> Vec<PartyKey> {
        envelope::addressees(&self.envelope)
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

    /// What is listed after the HL7 part, ready to be matched with documents and messages.
    pub fn listed(&self) -> Vec<Listed> {
        listed(&self.manifest)
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
