//! The certificates an entry names: inline PEM, a PEM file, or a SHA-256.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{EntryError, SigningEntry, TlsEntry};
use crate::directory::Fingerprint;
use crate::directory::party::{PeerTls, Profile};
use crate::packet::signature::verify::{HopBlocks, Leniency, XPathTransform};
use crate::packet::signature::{Pin, Pins};

/// Where certificate files are read from, and what was read.
pub(super) struct Sources<'a> {
    folder: &'a Path,
    read: &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>,
    /// What was read, in order: part of the directory's version.
    taken: Vec<u8>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(folder: &'a Path, read: &'a mut dyn FnMut(&Path) -> io::Result<Vec<u8>>) -> Self {
        Self { folder, read, taken: Vec::new() }
    }

    /// SHA-256 over the file's text and the digests of all certificates taken.
    pub(super) fn version(self, text: &str) -> Fingerprint {
        Fingerprint::of(&[text.as_bytes(), &self.taken].concat())
    }

    fn certificates(&mut self, field: &'static str, given: &str) -> Result<Vec<Vec<u8>>, EntryError> {
        let refuse = |problem: String| EntryError::Certificate { field, problem };
        let pem = if given.trim_start().starts_with("-----BEGIN") {
            given.as_bytes().to_vec()
        } else {
            let path: PathBuf = self.folder.join(given);
            (self.read)(&path).map_err(|e| refuse(format!("reading {}: {e}", path.display())))?
        };
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let found = found.map_err(|e| refuse(format!("not PEM: {e}")))?;
        if found.is_empty() {
            return Err(refuse("no certificate in it".to_owned()));
        }
        for certificate in &found {
            x509_parser::parse_x509_certificate(certificate)
                .map_err(|e| refuse(format!("not a certificate: {e}")))?;
            self.taken.extend_from_slice(Fingerprint::of(certificate).as_bytes());
        }
        Ok(found.into_iter().map(|c| c.to_vec()).collect())
    }

    fn one_certificate(&mut self, field: &'static str, given: &str) -> Result<Vec<u8>, EntryError> {
        let mut found = self.certificates(field, given)?;
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => {
                Err(EntryError::Certificate { field, problem: "more than one certificate in it".to_owned() })
            }
        }
    }
}

impl SigningEntry {
    pub(super) fn leniency(&self) -> Leniency {
        Leniency {
            sha1_until: self.legacy_sha1_until,
            xpath: if self.legacy_no_xpath { XPathTransform::Optional } else { XPathTransform::Required },
            hop_blocks: if self.legacy_hop_headers { HopBlocks::EmptySyncReply } else { HopBlocks::Refused },
        }
    }

    /// A signed party has pins, or an issuer with a subject: two at most, for rollover (wire §6.2, rule 10).
    pub(super) fn pins(
        self,
        profile: Profile,
        sources: &mut Sources<'_>,
    ) -> Result<Option<Pins>, EntryError> {
        let field = "signing.certificates";
        let refuse = |problem: String| EntryError::Certificate { field, problem };
        let mut pins = Vec::new();
        for given in &self.certificates {
            pins.push(match given.trim().strip_prefix("sha256:") {
                Some(hex) => {
                    let pinned: Fingerprint = hex.parse().map_err(|e| refuse(format!("{e}")))?;
                    Pin::Fingerprint(pinned)
                }
                None => Pin::Certificate(sources.one_certificate(field, given)?),
            });
        }
        match (self.issuer, self.subject) {
            (Some(issuer), Some(subject)) => {
                let certificate = sources.one_certificate("signing.issuer", &issuer)?;
                pins.push(Pin::Issuer { certificate, subject });
            }
            (None, None) => {}
            (Some(_), None) => return Err(EntryError::Missing("signing.subject, beside the issuer,")),
            (None, Some(_)) => return Err(EntryError::Missing("signing.issuer, beside the subject,")),
        }
        match (pins.is_empty(), profile) {
            (true, Profile::Spine) => Ok(None),
            (true, Profile::Signed) => Err(EntryError::Contradiction(
                "profile signed needs signing.certificates or signing.issuer: nothing it signs could be believed",
            )),
            (false, _) => Pins::new(pins).map(Some).map_err(|e| refuse(e.to_string())),
        }
    }
}

impl TlsEntry {
    pub(super) fn check(self, sources: &mut Sources<'_>) -> Result<PeerTls, EntryError> {
        let mut roots = Vec::new();
        for given in &self.ca {
            roots.extend(sources.certificates("tls.ca", given)?);
        }
        if let Some(name) = &self.server_name
            && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            return Err(EntryError::OutOfBounds {
                field: "tls.server_name",
                rule: "a DNS name or an IP address",
            });
        }
        if self.client_names.iter().any(|n| n.trim().is_empty()) {
            return Err(EntryError::OutOfBounds { field: "tls.client_names", rule: "names, not empty" });
        }
        let Self { server_name, server_pins, client_pins, client_names, ca: _ } = self;
        Ok(PeerTls { roots, server_name, server_pins, client_pins, client_names })
    }
}
