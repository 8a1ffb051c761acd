//! What the TLS files hold, read and checked together.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;

use super::*;

/// Certificates, keys and lists are kilobytes; a national revocation list is a few megabytes.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// One good load.
#[derive(Debug)]
pub(super) struct Material {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    pub(super) provider: Arc<CryptoProvider>,
}

impl Material {
    pub(super) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = certificates(&files.certificate)?;
        let key_pem = zeroize::Zeroizing::new(private(&files.key)?);
        let unusable = |_| TlsError::Content { path: files.key.clone(), what: "private key in PEM" };
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(unusable)?;
        let pair = |source| TlsError::Pair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        };
        let certified = CertifiedKey::from_der(chain, key, &provider).map_err(pair)?;
        let mut roots = Vec::new();
        for path in &files.roots {
            roots.extend(certificates(path)?);
        }
        let mut crls = Vec::new();
        for path in &files.crls {
            let pem = read(path)?;
            let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
            match found {
                Ok(found) if !found.is_empty() => crls.extend(found),
                Ok(_) | Err(_) => {
                    return Err(TlsError::Content { path: path.clone(), what: "revocation list in PEM" });
                }
            }
        }
        Ok(Self { certified: Arc::new(certified), roots, crls, provider })
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.certified.cert.first().map_or(&[], |c| c.as_ref()))
    }

    pub(super) fn valid_until(&self) -> Timestamp {
        let leaf = self.certified.cert.first().map_or(&[][..], |c| c.as_ref());
        let end = x509_parser::parse_x509_certificate(leaf).map(|(_, c)| c.validity().not_after.timestamp());
        Timestamp::from_millis(end.unwrap_or(0).saturating_mul(1000))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) | Err(_) => Err(TlsError::Content { path: path.to_owned(), what: "certificate in PEM" }),
    }
}

/// A private key, unless others may read it: then it is not private, and using it would hide that.
fn private(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    if crate::config::open_to_others(path).map_err(failed)? {
        return Err(TlsError::KeyExposed { path: path.to_owned() });
    }
    read(path)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read;
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
