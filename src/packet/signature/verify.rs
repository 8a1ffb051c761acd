//! Holds a received message to wire reference §6.2 and says who signed it.
//!
//! Coverage comes before arithmetic: a signature that is right but does not cover the whole message is worth nothing.
//! Whoever calls this reads business fields only from the same document (rule 7).

use std::collections::HashSet;

use ring::signature::{self as algorithms, UnparsedPublicKey, VerificationAlgorithm};

use super::pin::{KeyKind, Pins, key_of};
use super::reference::{Digest, Reference, Transforms, base64_text, has_children};
pub use super::shape::HopBlocks;
use super::shape::{self, Shape, is_hop_block};
use super::{C14N, DS, ECDSA_SHA256, RSA_SHA1, RSA_SHA256, SignatureFault};
use crate::model::Timestamp;
use crate::packet::canonical::{canonical_document, canonical_element};
use crate::packet::fingerprint::Fingerprint;
use crate::packet::xml::{Document, Element, XmlLimits};

/// One MIME part of the received message, the envelope excepted.
#[derive(Clone, Copy)]
pub struct VerifiablePart<'a> {
    /// The Content-ID without angle brackets.
    pub content_id: &'a str,
    /// The decoded octets.
    pub octets: &'a [u8],
}

/// What the directory has agreed with a peer beyond the profile. The default is the profile, strictly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leniency {
    /// SHA-1 is accepted before this moment (directory: `legacy_sha1_until`). We never sign with it.
    pub sha1_until: Option<Timestamp>,
    /// Whether the XPath transform must be there.
    pub xpath: XPathTransform,
    /// Whether an empty SyncReply for the next hop is accepted.
    pub hop_blocks: HopBlocks,
}

/// Whether the envelope's reference must have the XPath transform (rule 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XPathTransform {
    /// It must.
    #[default]
    Required,
    /// Older peers leave it out.
    Optional,
}

/// Under what terms a message is judged.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The pins of the party it says it is from.
    pub pins: &'a Pins,
    /// The time of receipt.
    pub now: Timestamp,
    /// What was agreed beyond the profile.
    pub leniency: Leniency,
}

/// A message whose signature holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was signed, in the order of the signature; a receipt copies these.
    pub references: Vec<Reference>,
    /// SHA-256 of the signer's certificate.
    pub signer: Fingerprint,
    /// The signer's certificate (DER), to be kept with the receipt.
    pub certificate: Vec<u8>,
}

/// Reads an envelope within the budgets of rule 15, which must hold before anything below is called.
pub fn read_envelope(octets: &[u8]) -> Result<Document, SignatureFault> {
    Ok(Document::parse(octets, &XmlLimits::envelope())?)
}

/// Rule 1, reversed: a party that does not sign must not send signatures nobody would judge.
pub fn expect_unsigned(envelope: &Document) -> Result<(), SignatureFault> {
    let root = envelope.root();
    let signed = root.is(DS, "Signature") || root.descendants().any(|it| it.is(DS, "Signature"));
    if signed { Err(SignatureFault::NotAgreed) } else { Ok(()) }
}

/// Verifies the signature of a message against rules 1 to 10 and 15. `parts` are all its MIME parts but the envelope.
pub fn verify(
    envelope: &Document,
    parts: &[VerifiablePart<'_>],
    terms: &Terms<'_>,
) -> Result<Verified, SignatureFault> {
    let shape = shape::check(envelope, terms.leniency.hop_blocks)?;
    let signature = shape.signature.ok_or(SignatureFault::Unsigned)?;
    let form = Form::read(signature)?;
    check_leniency(&form, terms)?;
    let cover = check_coverage(&form.references, parts, &shape)?;
    let certificate = check_value(&form, terms)?;
    let xpath = cover.transforms == Transforms::Envelope;
    let digested = canonical_document(envelope, |it| it == signature || (xpath && is_hop_block(it)));
    if !cover.digest.fits(&digested) {
        return Err(SignatureFault::EnvelopeDigest);
    }
    for part in parts {
        let own = |it: &&Reference| it.uri.strip_prefix("cid:") == Some(part.content_id);
        if !form.references.iter().find(own).is_some_and(|it| it.digest.fits(part.octets)) {
            return Err(SignatureFault::PartDigest);
        }
    }
    Ok(Verified { signer: Fingerprint::of(&certificate), certificate, references: form.references })
}

/// The references of a signed envelope as they stand, unjudged: for our own octets, kept to compare a receipt with.
pub fn references_of(envelope: &Document) -> Result<Vec<Reference>, SignatureFault> {
    let shape = shape::check(envelope, HopBlocks::Refused)?;
    Ok(Form::read(shape.signature.ok_or(SignatureFault::Unsigned)?)?.references)
}

/// References beyond this are refused before any is digested (rule 15).
const REFERENCES: usize = 128;

/// Certificates in KeyInfo beyond this are no chain we would expect.
const CERTIFICATES: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    RsaSha256,
    EcdsaSha256,
    RsaSha1,
}

/// A `ds:Signature` taken apart.
struct Form<'d> {
    signed_info: Element<'d>,
    algorithm: Algorithm,
    references: Vec<Reference>,
    value: Vec<u8>,
    certificates: Vec<Vec<u8>>,
}

impl<'d> Form<'d> {
    fn read(signature: Element<'d>) -> Result<Self, SignatureFault> {
        let children: Vec<Element<'d>> = signature.children().collect();
        let (signed_info, value, key_info) = match children[..] {
            [signed_info, value] => (signed_info, value, None),
            [signed_info, value, key_info] if key_info.is(DS, "KeyInfo") => {
                (signed_info, value, Some(key_info))
            }
            _ => return Err(SignatureFault::SignatureShape),
        };
        if !signed_info.is(DS, "SignedInfo") || !value.is(DS, "SignatureValue") {
            return Err(SignatureFault::SignatureShape);
        }
        let mut inner = signed_info.children();
        let algorithm = read_methods(inner.next(), inner.next())?;
        let elements: Vec<Element<'d>> = inner.take(REFERENCES + 1).collect();
        if elements.len() > REFERENCES {
            return Err(SignatureFault::Budget);
        }
        if elements.iter().any(|it| !it.is(DS, "Reference")) {
            return Err(SignatureFault::SignatureShape);
        }
        let references = elements.into_iter().map(Reference::read).collect::<Result<_, _>>()?;
        let certificates = key_info.map(read_certificates).transpose()?.unwrap_or_default();
        Ok(Self { signed_info, algorithm, references, value: base64_text(value)?, certificates })
    }
}

fn read_methods(
    canonicalization: Option<Element<'_>>,
    signature: Option<Element<'_>>,
) -> Result<Algorithm, SignatureFault> {
    let canonicalization = canonicalization.filter(|it| it.is(DS, "CanonicalizationMethod"));
    let signature = signature.filter(|it| it.is(DS, "SignatureMethod"));
    let (Some(canonicalization), Some(signature)) = (canonicalization, signature) else {
        return Err(SignatureFault::SignatureShape);
    };
    if canonicalization.attribute("", "Algorithm") != Some(C14N) || has_children(canonicalization) {
        return Err(SignatureFault::Canonicalization);
    }
    match signature.attribute("", "Algorithm") {
        // A child would be a parameter, such as a truncation of the value.
        _ if has_children(signature) => Err(SignatureFault::SignatureAlgorithm),
        Some(RSA_SHA256) => Ok(Algorithm::RsaSha256),
        Some(ECDSA_SHA256) => Ok(Algorithm::EcdsaSha256),
        Some(RSA_SHA1) => Ok(Algorithm::RsaSha1),
        _ => Err(SignatureFault::SignatureAlgorithm),
    }
}

/// The certificates KeyInfo offers. Bare keys and names in it are not looked at (rule 10).
fn read_certificates(key_info: Element<'_>) -> Result<Vec<Vec<u8>>, SignatureFault> {
    let elements: Vec<Element<'_>> =
        key_info.descendants().filter(|it| it.is(DS, "X509Certificate")).take(CERTIFICATES + 1).collect();
    if elements.len() > CERTIFICATES {
        return Err(SignatureFault::SignatureShape);
    }
    elements.into_iter().map(base64_text).collect()
}

/// Rules 3 and 4: what only an agreement allows.
fn check_leniency(form: &Form<'_>, terms: &Terms<'_>) -> Result<(), SignatureFault> {
    let sha1 = form.algorithm == Algorithm::RsaSha1
        || form.references.iter().any(|it| matches!(it.digest, Digest::Sha1(_)));
    if sha1 && terms.leniency.sha1_until.is_none_or(|until| terms.now >= until) {
        return Err(SignatureFault::Sha1);
    }
    let without = form.references.iter().any(|it| it.transforms == Transforms::EnvelopeWithoutXPath);
    if without && terms.leniency.xpath == XPathTransform::Required {
        return Err(SignatureFault::Transforms);
    }
    Ok(())
}

/// Rules 4 and 5: one reference to the envelope; the others, the parts and the manifest are one set. Answers the first.
fn check_coverage<'r>(
    references: &'r [Reference],
    parts: &[VerifiablePart<'_>],
    shape: &Shape<'_>,
) -> Result<&'r Reference, SignatureFault> {
    let mut signed = HashSet::new();
    if !references.iter().all(|it| signed.insert(it.uri.as_str())) {
        return Err(SignatureFault::RepeatedReference);
    }
    let envelope = references.iter().find(|it| it.uri.is_empty()).ok_or(SignatureFault::EnvelopeNotSigned)?;
    let signed: HashSet<&str> = signed.iter().filter_map(|uri| uri.strip_prefix("cid:")).collect();
    let mut present = HashSet::new();
    if !parts.iter().all(|part| present.insert(part.content_id)) {
        return Err(SignatureFault::RepeatedPart);
    }
    let named = shape.manifest_cids()?;
    if !present.is_subset(&signed) {
        return Err(SignatureFault::PartNotSigned);
    }
    if !signed.is_subset(&present) {
        return Err(SignatureFault::PartMissing);
    }
    if !present.is_subset(&named) {
        return Err(SignatureFault::PartNotInManifest);
    }
    if !named.is_subset(&present) {
        return Err(SignatureFault::ManifestPartMissing);
    }
    Ok(envelope)
}

/// Rule 10 and the arithmetic of the signature value. Answers the certificate whose key made it.
fn check_value(form: &Form<'_>, terms: &Terms<'_>) -> Result<Vec<u8>, SignatureFault> {
    let (kind, algorithm): (KeyKind, &'static dyn VerificationAlgorithm) = match form.algorithm {
        Algorithm::RsaSha256 => (KeyKind::Rsa, &algorithms::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::EcdsaSha256 => (KeyKind::P256, &algorithms::ECDSA_P256_SHA256_FIXED),
        Algorithm::RsaSha1 => (KeyKind::Rsa, &algorithms::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
    };
    let candidates = terms.pins.candidates(&form.certificates, terms.now)?;
    let signed = canonical_element(form.signed_info, |_| false);
    let mut fault = SignatureFault::NotPinned;
    for certificate in candidates {
        match key_of(certificate, kind, terms.now) {
            // r and s, 32 octets each; DER, which other protocols use, is not this (§6.4).
            Ok(_) if kind == KeyKind::P256 && form.value.len() != 64 => return Err(SignatureFault::Value),
            Ok(key) if UnparsedPublicKey::new(algorithm, &key).verify(&signed, &form.value).is_ok() => {
                return Ok(certificate.to_vec());
            }
            Ok(_) => fault = SignatureFault::SignatureValue,
            Err(unfit) => fault = unfit,
        }
    }
    Err(fault)
}
