//! SHA-256 of a certificate or a file, as pins and versions are written.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use serde::{Deserialize, Serialize};

/// Thirty-two bytes of SHA-256; text is lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

/// The text is not a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 must be 64 hexadecimal digits, with or without colons, optionally after `sha256:`")]
pub struct InvalidFingerprint;

/// SHA-1 of a file in base64: not for safety, but what FHIR's `Attachment.hash` is defined to hold.
pub fn sha1_base64(octets: &[u8]) -> String {
    let mut digest = DigestingSha1::default();
    digest.update(octets);
    digest.finish()
}

/// The same of a file that is not in memory whole.
#[derive(Clone)]
pub struct DigestingSha1(ring::digest::Context);

impl Default for DigestingSha1 {
    fn default() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY))
    }
}

impl DigestingSha1 {
    /// Takes the next octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// The digest of all octets taken, in base64.
    pub fn finish(self) -> String {
        base64::engine::general_purpose::STANDARD.encode(self.0.finish())
    }
}

/// A digest in the making, for content that is not in memory whole.
#[derive(Clone)]
pub struct Digesting(ring::digest::Context);

impl Default for Digesting {
    fn default() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }
}

impl Digesting {
    /// Takes the next octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// The digest of all octets taken.
    pub fn finish(self) -> Fingerprint {
        let mut out = [0; 32];
        out.copy_from_slice(self.0.finish().as_ref());
        Fingerprint(out)
    }
}

impl Fingerprint {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Digesting::default();
        digest.update(bytes);
        digest.finish()
    }

    /// From the thirty-two bytes themselves.
    pub fn from_octets(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The thirty-two bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let text = text.trim();
        let digits: Vec<u8> =
            text.strip_prefix("sha256:").unwrap_or(text).bytes().filter(|b| *b != b':').collect();
        let mut out = [0u8; 32];
        if digits.len() != 64 {
            return Err(InvalidFingerprint);
        }
        for (pair, byte) in digits.chunks_exact(2).zip(&mut out) {
            let nibble = |b: u8| char::from(b).to_digit(16).ok_or(InvalidFingerprint);
            *byte = (nibble(pair[0])? * 16 + nibble(pair[1])?) as u8;
        }
        Ok(Self(out))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = InvalidFingerprint;

    fn try_from(text: String) -> Result<Self, InvalidFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_as_tools_print_them() {
        let abc = Fingerprint::of(b"abc");
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(abc.to_string(), hex, "the published test vector of SHA-256");
        let colons: Vec<String> = abc.as_bytes().iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(colons.join(":").parse(), Ok(abc), "openssl prints colons and capitals");
        assert_eq!(format!("sha256:{hex}").parse(), Ok(abc));
        assert!("ba78".parse::<Fingerprint>().is_err());
        assert!(format!("{hex}00").parse::<Fingerprint>().is_err());
        assert!(hex.replace('b', "g").parse::<Fingerprint>().is_err());
    }
}
