//! The key we sign with, and the certificate that goes with it.
//!
//! Keys of others are in `pin`. Nothing here is ever printed or written.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use zeroize::Zeroizing;

use super::{ECDSA_SHA256, RSA_SHA256};
use crate::packet::fingerprint::Fingerprint;

/// Why a key or certificate cannot be used to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The PEM text holds no block of the wanted label, or a broken one.
    #[error("the PEM text holds no usable {0} block")]
    Pem(&'static str),
    /// Not PKCS#8 holding RSA of 2048 to 4096 bits or ECDSA P-256.
    #[error("the key is neither RSA of 2048 to 4096 bits nor ECDSA P-256, in PKCS#8 form")]
    Kind,
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// The certificate is for another key.
    #[error("the certificate does not belong to the key")]
    Mismatch,
    /// The system gave no randomness for the signature.
    #[error("the signature could not be computed")]
    Refused,
}

/// A private key for signatures: RSA of at least 2048 bits, or ECDSA P-256 (wire reference §6.1).
pub enum SigningKey {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa(Box<RsaKeyPair>),
    /// ECDSA P-256 with SHA-256; twelve microseconds where RSA-2048 takes four hundred.
    P256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// Reads a `PRIVATE KEY` block: unencrypted PKCS#8.
    pub fn from_pem(pem: &str) -> Result<Self, InvalidKey> {
        Self::from_der(&Zeroizing::new(pem_block(pem, "PRIVATE KEY")?))
    }

    /// Reads unencrypted PKCS#8.
    pub fn from_der(pkcs8: &[u8]) -> Result<Self, InvalidKey> {
        if let Ok(key) = RsaKeyPair::from_pkcs8(pkcs8) {
            return Ok(Self::Rsa(Box::new(key)));
        }
        let random = SystemRandom::new();
        match EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random) {
            Ok(key) => Ok(Self::P256(Box::new(key))),
            Err(_) => Err(InvalidKey::Kind),
        }
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::Rsa(key) => key.public().as_ref(),
            Self::P256(key) => key.public_key().as_ref(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa(_) => "SigningKey(RSA, masked)",
            Self::P256(_) => "SigningKey(P-256, masked)",
        })
    }
}

/// A key with its own certificate, ready to sign.
pub struct Signer {
    key: SigningKey,
    fingerprint: Fingerprint,
    /// Base64 of the certificate, as KeyInfo carries it.
    certificate: String,
    random: SystemRandom,
}

impl Signer {
    /// Puts a key and its certificate (DER) together; refuses two that do not belong together.
    pub fn new(key: SigningKey, certificate: &[u8]) -> Result<Self, InvalidKey> {
        let (rest, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|_| InvalidKey::Certificate)?;
        if !rest.is_empty() {
            return Err(InvalidKey::Certificate);
        }
        if parsed.public_key().subject_public_key.data != key.public() {
            return Err(InvalidKey::Mismatch);
        }
        Ok(Self {
            key,
            fingerprint: Fingerprint::of(certificate),
            certificate: STANDARD.encode(certificate),
            random: SystemRandom::new(),
        })
    }

    /// Reads both from PEM; the first certificate is the signer's.
    pub fn from_pem(key: &str, certificate: &str) -> Result<Self, InvalidKey> {
        Self::new(SigningKey::from_pem(key)?, &certificate_from_pem(certificate)?)
    }

    /// SHA-256 of our certificate: what a peer pins.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The URI of the signature algorithm.
    pub(super) fn algorithm(&self) -> &'static str {
        match self.key {
            SigningKey::Rsa(_) => RSA_SHA256,
            SigningKey::P256(_) => ECDSA_SHA256,
        }
    }

    pub(super) fn certificate_base64(&self) -> &str {
        &self.certificate
    }

    /// The signature value over `message`; for ECDSA r and s, 32 octets each, as XML signatures want it.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, InvalidKey> {
        match &self.key {
            SigningKey::Rsa(key) => {
                let mut value = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &self.random, message, &mut value)
                    .map_err(|_| InvalidKey::Refused)?;
                Ok(value)
            }
            SigningKey::P256(key) => key
                .sign(&self.random, message)
                .map(|value| value.as_ref().to_vec())
                .map_err(|_| InvalidKey::Refused),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key", &self.key).field("fingerprint", &self.fingerprint).finish()
    }
}

/// The first certificate of a PEM text, as DER.
pub fn certificate_from_pem(pem: &str) -> Result<Vec<u8>, InvalidKey> {
    pem_block(pem, "CERTIFICATE")
}

/// The first block of this label. A line that only begins like one is not it: `EC PRIVATE KEY` is no PKCS#8.
fn pem_block(pem: &str, label: &'static str) -> Result<Vec<u8>, InvalidKey> {
    let fault = InvalidKey::Pem(label);
    let (_, after) = pem.split_once(&format!("-----BEGIN {label}-----")).ok_or(fault)?;
    let (body, _) = after.split_once(&format!("-----END {label}-----")).ok_or(fault)?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    STANDARD.decode(body.as_bytes()).map_err(|_| fault)
}
