//! Why a signed message is refused: one variant for each rule of wire reference §6.2 that a message can break.
//!
//! Details go to our log, never to the peer (wire reference §1.4), and none of them carries content of the message.

use crate::packet::xml::XmlFault;

/// A rule of wire reference §6.2 that was broken; the number in brackets is the rule's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// (1) The directory says that this party signs.
    #[error("the message is not signed")]
    Unsigned,
    /// (1) The directory says that this party does not sign.
    #[error("the message is signed where none was agreed")]
    NotAgreed,
    /// (2) More than one `ds:Signature`.
    #[error("the message has more than one signature")]
    SecondSignature,
    /// (2) The signature is not a direct child of the header.
    #[error("the signature does not stand in the header")]
    SignaturePlace,
    /// (2) `ds:Object`, `ds:Manifest` or `ds:RetrievalMethod`.
    #[error("the signature has a part that the profile forbids")]
    ForbiddenElement,
    /// (2) An element of the signature is missing, repeated, or not one the profile knows.
    #[error("the signature is not built as the profile says")]
    SignatureShape,
    /// (3) A canonicalization other than inclusive Canonical XML 1.0.
    #[error("the canonicalization method is not allowed")]
    Canonicalization,
    /// (3) A signature algorithm other than the profile's two.
    #[error("the signature algorithm is not allowed")]
    SignatureAlgorithm,
    /// (3) A digest algorithm other than SHA-256.
    #[error("the digest algorithm is not allowed")]
    DigestAlgorithm,
    /// (3) SHA-1, and the peer has no leave to use it, or none any longer.
    #[error("SHA-1 is not allowed, or no longer")]
    Sha1,
    /// (4) No reference covers the envelope.
    #[error("the signature does not cover the envelope")]
    EnvelopeNotSigned,
    /// (4) The transforms of a reference are not exactly the profile's.
    #[error("a reference has transforms other than the profile's")]
    Transforms,
    /// (4) The XPath expression is not the profile's.
    #[error("the XPath expression is not the profile's")]
    XPath,
    /// (5) A reference to something that is neither the envelope nor a part.
    #[error("a reference points outside the message")]
    ForeignReference,
    /// (5) Two references with one URI.
    #[error("two references have the same URI")]
    RepeatedReference,
    /// (5) A part no reference covers.
    #[error("a part of the message is not signed")]
    PartNotSigned,
    /// (5) A reference to a part that is not there.
    #[error("a signed part is missing from the message")]
    PartMissing,
    /// (5) A part, signed or not, that the manifest does not name.
    #[error("a part of the message is not in its manifest")]
    PartNotInManifest,
    /// (5) The manifest names a part that is not there.
    #[error("a part in the manifest is missing from the message")]
    ManifestPartMissing,
    /// (5) Two parts with one Content-ID, or a manifest that names one twice.
    #[error("two parts have the same Content-ID")]
    RepeatedPart,
    /// (6) An element whose actor excludes it from the signature.
    #[error("the envelope has a block for the next hop, which no signature covers")]
    HopBlock,
    /// (8) An element that must stand once and in its place is missing, repeated or elsewhere.
    #[error("{0} is missing, repeated or out of place")]
    NotOne(&'static str),
    /// (8) Two elements with one id.
    #[error("two elements have the same id")]
    RepeatedId,
    /// (9) A document type declaration.
    #[error("the envelope has a document type declaration")]
    DocumentType,
    /// (9) A reference to an entity that is not predefined.
    #[error("the envelope refers to an entity")]
    Entity,
    /// (9) A comment.
    #[error("the envelope has a comment")]
    Comment,
    /// (9) A processing instruction.
    #[error("the envelope has a processing instruction")]
    Instruction,
    /// (9) An `xml:` attribute elsewhere than on a description.
    #[error("the envelope has an xml: attribute above a description")]
    XmlAttribute,
    /// (10) The certificate in the message, or every one of them, is not pinned.
    #[error("the signer's certificate is not pinned for this party")]
    NotPinned,
    /// (10) The pinned certificate is not valid now.
    #[error("the signer's certificate is not valid at this time")]
    CertificateNotValid,
    /// (10) The key's type or size does not fit the algorithm.
    #[error("the signer's key does not fit the algorithm")]
    KeyUnfit,
    /// (15) Over one of the budgets checked before any canonicalization.
    #[error("the envelope is larger or more complex than the limit")]
    Budget,
    /// The envelope is not XML that can be read.
    #[error("the envelope is not well-formed XML")]
    NotXml,
    /// A digest or signature value that is not base64, or not as long as its algorithm's.
    #[error("a digest or signature value is malformed")]
    Value,
    /// The arithmetic: the signature value is not the pinned key's over this SignedInfo.
    #[error("the signature value is wrong")]
    SignatureValue,
    /// The arithmetic: the envelope is not the one that was signed.
    #[error("the envelope was changed after it was signed")]
    EnvelopeDigest,
    /// The arithmetic: a part is not the one that was signed.
    #[error("a part of the message was changed after it was signed")]
    PartDigest,
    /// (§6.3) The acknowledgement's references are not exactly those of the message sent.
    #[error("the receipt does not list exactly what was sent")]
    ReceiptReferences,
}

impl From<XmlFault> for SignatureFault {
    fn from(fault: XmlFault) -> Self {
        match fault {
            XmlFault::Dtd => Self::DocumentType,
            XmlFault::Entity(_) => Self::Entity,
            XmlFault::Octets
            | XmlFault::Depth
            | XmlFault::Nodes
            | XmlFault::Declarations
            | XmlFault::Attributes
            | XmlFault::AttributeOctets
            | XmlFault::TextOctets => Self::Budget,
            XmlFault::Encoding
            | XmlFault::Namespace(_)
            | XmlFault::DuplicateAttribute(_)
            | XmlFault::Malformed(_) => Self::NotXml,
        }
    }
}
