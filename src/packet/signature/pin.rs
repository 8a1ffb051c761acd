//! Which certificates may sign for a party, and the key that follows from them (wire reference §6.2(10)).
//!
//! A message's KeyInfo only chooses among the pins; it never brings a key of its own. There is no chain building and no
//! trust store.

use ring::digest;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::public_key::PublicKey as KeyForm;
use x509_parser::x509::X509Name;

use super::SignatureFault;
use crate::model::Timestamp;
use crate::packet::fingerprint::Fingerprint;

/// What a signer's certificate must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pin {
    /// The certificate with this SHA-256 of its DER; the message must carry it.
    Fingerprint(Fingerprint),
    /// This certificate (DER); the message need not carry it.
    Certificate(Vec<u8>),
    /// Any certificate this issuer (DER) signed for exactly this subject, written as [`Pin::subject_of`] writes it.
    Issuer {
        /// The issuer's certificate.
        certificate: Vec<u8>,
        /// The signer's subject.
        subject: String,
    },
}

impl Pin {
    /// The subject of a certificate as `C=GB,O=Example,CN=signing`: in the certificate's order, with `\` before `,`, `+`,
    /// `=` and `\` in a value, so that no two names are written alike.
    pub fn subject_of(certificate: &[u8]) -> Option<String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        name_text(parsed.subject())
    }

    fn admits(&self, certificate: &[u8], now: Timestamp) -> bool {
        match self {
            Self::Fingerprint(pinned) => *pinned == Fingerprint::of(certificate),
            Self::Certificate(pinned) => pinned == certificate,
            Self::Issuer { certificate: issuer, subject } => {
                Self::subject_of(certificate).as_ref() == Some(subject) && issued_by(certificate, issuer, now)
            }
        }
    }
}

/// The pins of one party: one, or two while a certificate is being replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pins(Vec<Pin>);

/// Not one or two pins, or a pin that is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPin {
    /// None, or more than two.
    #[error("a party has one pinned certificate, or two while one replaces the other")]
    Count,
    /// A pinned certificate cannot be read.
    #[error("a pinned certificate cannot be read")]
    Certificate,
}

impl Pins {
    /// From one or two pins.
    pub fn new(pins: Vec<Pin>) -> Result<Self, InvalidPin> {
        if !(1..=2).contains(&pins.len()) {
            return Err(InvalidPin::Count);
        }
        for pin in &pins {
            match pin {
                Pin::Fingerprint(_) => {}
                Pin::Certificate(der) | Pin::Issuer { certificate: der, .. } => {
                    parse(der).ok_or(InvalidPin::Certificate)?;
                }
            }
        }
        Ok(Self(pins))
    }

    /// Exactly this certificate (DER), as `packet verify --trust` uses it.
    pub fn certificate(der: Vec<u8>) -> Result<Self, InvalidPin> {
        Self::new(vec![Pin::Certificate(der)])
    }

    /// The certificates that may have made a signature whose KeyInfo carries `offered`: those of them that are pinned or,
    /// when it carries none, those we hold ourselves.
    pub(super) fn candidates<'a>(
        &'a self,
        offered: &'a [Vec<u8>],
        now: Timestamp,
    ) -> Result<Vec<&'a [u8]>, SignatureFault> {
        let candidates: Vec<&[u8]> = if offered.is_empty() {
            let held = self.0.iter().filter_map(|pin| match pin {
                Pin::Certificate(der) => Some(der.as_slice()),
                Pin::Fingerprint(_) | Pin::Issuer { .. } => None,
            });
            held.collect()
        } else {
            let pinned = |der: &&[u8]| self.0.iter().any(|pin| pin.admits(der, now));
            offered.iter().map(Vec::as_slice).filter(pinned).collect()
        };
        if candidates.is_empty() { Err(SignatureFault::NotPinned) } else { Ok(candidates) }
    }
}

/// The two kinds of key a signer may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KeyKind {
    /// RSA of at least 2048 bits.
    Rsa,
    /// Elliptic curve, exactly P-256.
    P256,
}

/// The public key of a certificate that is valid now, of exactly the wanted kind.
pub(super) fn key_of(certificate: &[u8], kind: KeyKind, now: Timestamp) -> Result<Vec<u8>, SignatureFault> {
    let parsed = parse(certificate).ok_or(SignatureFault::NotPinned)?;
    if !valid_at(&parsed, now) {
        return Err(SignatureFault::CertificateNotValid);
    }
    if kind_of(&parsed) != Some(kind) {
        return Err(SignatureFault::KeyUnfit);
    }
    Ok(parsed.public_key().subject_public_key.data.to_vec())
}

fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    match x509_parser::parse_x509_certificate(der) {
        Ok(([], certificate)) => Some(certificate),
        Ok(_) | Err(_) => None,
    }
}

fn valid_at(certificate: &X509Certificate<'_>, now: Timestamp) -> bool {
    let validity = certificate.validity();
    let seconds = now.as_millis().div_euclid(1000);
    (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&seconds)
}

fn kind_of(certificate: &X509Certificate<'_>) -> Option<KeyKind> {
    let info = certificate.public_key();
    match (info.algorithm.algorithm.to_id_string().as_str(), info.parsed().ok()?) {
        ("1.2.840.113549.1.1.1", KeyForm::RSA(key)) if key.key_size() >= 2048 => Some(KeyKind::Rsa),
        ("1.2.840.10045.2.1", KeyForm::EC(_)) => {
            let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
            (curve.to_id_string() == "1.2.840.10045.3.1.7").then_some(KeyKind::P256)
        }
        _ => None,
    }
}

/// Whether the issuer's key signed this certificate, and the issuer is a valid authority of that name.
fn issued_by(certificate: &[u8], issuer: &[u8], now: Timestamp) -> bool {
    let (Some(leaf), Some(issuer)) = (parse(certificate), parse(issuer)) else { return false };
    let authority = issuer.is_ca() && valid_at(&issuer, now);
    if !authority || leaf.issuer().as_raw() != issuer.subject().as_raw() {
        return false;
    }
    let inner = &leaf.tbs_certificate.signature;
    let Some(algorithm) = certificate_algorithm(&leaf, &issuer) else { return false };
    let key = UnparsedPublicKey::new(algorithm, &*issuer.public_key().subject_public_key.data);
    *inner == leaf.signature_algorithm
        && key.verify(leaf.tbs_certificate.as_ref(), &leaf.signature_value.data).is_ok()
}

fn certificate_algorithm(
    leaf: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
) -> Option<&'static dyn VerificationAlgorithm> {
    let curve = issuer.public_key().algorithm.parameters.as_ref().and_then(|it| it.as_oid().ok());
    let curve = curve.map(|it| it.to_id_string());
    match (leaf.signature_algorithm.algorithm.to_id_string().as_str(), curve.as_deref()) {
        ("1.2.840.113549.1.1.11", None) => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        ("1.2.840.113549.1.1.12", None) => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        ("1.2.840.113549.1.1.13", None) => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        ("1.2.840.10045.4.3.2", Some("1.2.840.10045.3.1.7")) => Some(&signature::ECDSA_P256_SHA256_ASN1),
        ("1.2.840.10045.4.3.3", Some("1.2.840.10045.3.1.7")) => Some(&signature::ECDSA_P256_SHA384_ASN1),
        ("1.2.840.10045.4.3.2", Some("1.3.132.0.34")) => Some(&signature::ECDSA_P384_SHA256_ASN1),
        ("1.2.840.10045.4.3.3", Some("1.3.132.0.34")) => Some(&signature::ECDSA_P384_SHA384_ASN1),
        _ => None,
    }
}

fn name_text(name: &X509Name<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for set in name.iter_rdn() {
        let mut members = Vec::new();
        for attribute in set.iter() {
            let oid = attribute.attr_type().to_id_string();
            let value = attribute.as_str().ok()?;
            members.push(format!("{}={}", attribute_name(&oid), escaped(value)));
        }
        parts.push(members.join("+"));
    }
    Some(parts.join(","))
}

fn attribute_name(oid: &str) -> &str {
    match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        other => other,
    }
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, ',' | '+' | '=' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

pub(super) fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut value = [0; 32];
    value.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    value
}
