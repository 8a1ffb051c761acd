//! Signs an envelope we wrote ourselves: one `ds:Signature`, last child of the header (wire reference §6.1).
//!
//! Touches only the envelope: parts come in as digests taken once, when they were made.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::key::{InvalidKey, Signer};
use super::pin::sha256;
use super::reference::{Digest, Reference, Scope, Transforms};
use super::shape::{self, HopBlocks};
use super::{C14N, DS, SOAP, SignatureFault};
use crate::packet::canonical::{canonical_document, in_scope, push_declaration};
use crate::packet::xml::{Document, Element, XmlLimits};

/// One MIME part to be covered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartDigest {
    /// The Content-ID without angle brackets.
    pub content_id: String,
    /// SHA-256 of the decoded octets.
    pub sha256: [u8; 32],
}

impl PartDigest {
    /// Of a part's decoded octets.
    pub fn of(content_id: &str, octets: &[u8]) -> Self {
        Self { content_id: content_id.to_owned(), sha256: sha256(octets) }
    }
}

/// An envelope with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEnvelope {
    /// The octets to send.
    pub octets: Vec<u8>,
    /// What was signed: a receipt must list exactly these.
    pub references: Vec<Reference>,
}

/// Why an envelope cannot be signed. Always a defect of ours or of the key, never of a message received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SigningFault {
    /// A peer would refuse it.
    #[error("signing an envelope that a peer would refuse")]
    Envelope(#[from] SignatureFault),
    /// It is signed already.
    #[error("signing an envelope that is signed already")]
    Signed,
    /// Not in the form our writer gives it: UTF-8, no CDATA, a header with content.
    #[error("signing an envelope that is not in the form we write")]
    Form,
    /// The key did not sign.
    #[error("signing an envelope")]
    Key(#[from] InvalidKey),
}

/// Signs `envelope`, covering it and `parts`, which must be exactly those its manifest names by `cid:`.
///
/// For an acknowledgement `parts` is empty (wire reference §6.3).
pub fn sign(envelope: &[u8], parts: &[PartDigest], signer: &Signer) -> Result<SignedEnvelope, SigningFault> {
    let document = Document::parse(envelope, &XmlLimits::envelope()).map_err(SignatureFault::from)?;
    let shape = shape::check(&document, HopBlocks::Refused)?;
    if shape.signature.is_some() {
        return Err(SigningFault::Signed);
    }
    check_parts(parts, shape.manifest_cids()?)?;
    let place = header_end(envelope, shape.header).ok_or(SigningFault::Form)?;
    // The enveloped-signature transform takes out again what is put in below, so this is the digest of the result.
    let envelope_digest = sha256(&canonical_document(&document, |_| false));
    let mut references = Vec::with_capacity(parts.len() + 1);
    references.push(Reference {
        uri: String::new(),
        transforms: Transforms::Envelope,
        digest: Digest::Sha256(envelope_digest),
    });
    references.extend(parts.iter().map(|part| Reference {
        uri: format!("cid:{}", part.content_id),
        transforms: Transforms::None,
        digest: Digest::Sha256(part.sha256),
    }));
    let signature = signature_element(shape.header, &references, signer)?;
    let octets = [&envelope[..place], &signature, &envelope[place..]].concat();
    Ok(SignedEnvelope { octets, references })
}

fn check_parts(parts: &[PartDigest], mut named: HashSet<&str>) -> Result<(), SignatureFault> {
    for part in parts {
        if !named.remove(part.content_id.as_str()) {
            return Err(SignatureFault::PartNotInManifest);
        }
    }
    if named.is_empty() { Ok(()) } else { Err(SignatureFault::ManifestPartMissing) }
}

/// Where the header's end tag begins. The envelope is ours: it has one Header and no CDATA to hide another in.
fn header_end(envelope: &[u8], header: Element<'_>) -> Option<usize> {
    let text = std::str::from_utf8(envelope).ok().filter(|text| !text.contains("<![CDATA["))?;
    let prefix = header.prefix();
    let colon = if prefix.is_empty() { "" } else { ":" };
    let tag = format!("</{prefix}{colon}Header");
    let ends = |at: &usize| text[at + tag.len()..].starts_with(['>', ' ', '\t', '\r', '\n']);
    text.match_indices(&tag).map(|(at, _)| at).find(ends)
}

/// The element, written in canonical form so that what is signed needs no second pass over it.
fn signature_element(
    header: Element<'_>,
    references: &[Reference],
    signer: &Signer,
) -> Result<Vec<u8>, InvalidKey> {
    let mut scope = in_scope(header);
    scope.insert("ds", DS);
    let nested = if scope.get("SOAP") == Some(&SOAP) { Scope::InnerWithSoap } else { Scope::Inner };
    let mut declarations = Vec::new();
    for (prefix, namespace) in scope {
        push_declaration(&mut declarations, prefix, namespace);
    }
    let canonical = signed_info(&declarations, nested, references, signer);
    let value = STANDARD.encode(signer.sign(&canonical)?);
    let mut out = format!("<ds:Signature xmlns:ds=\"{DS}\">").into_bytes();
    out.extend(signed_info(b"", Scope::Inner, references, signer));
    out.extend_from_slice(b"<ds:SignatureValue>");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"</ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate>");
    out.extend_from_slice(signer.certificate_base64().as_bytes());
    out.extend_from_slice(b"</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>");
    Ok(out)
}

fn signed_info(declarations: &[u8], scope: Scope, references: &[Reference], signer: &Signer) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024 + 320 * references.len());
    out.extend_from_slice(b"<ds:SignedInfo");
    out.extend_from_slice(declarations);
    let methods = format!(
        "><ds:CanonicalizationMethod Algorithm=\"{C14N}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{}\"></ds:SignatureMethod>",
        signer.algorithm()
    );
    out.extend_from_slice(methods.as_bytes());
    for reference in references {
        reference.write(&mut out, scope);
    }
    out.extend_from_slice(b"</ds:SignedInfo>");
    out
}
