//! Our signing key and certificate, changed while running.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

use crate::packet::signature::{InvalidKey, Signer};

/// Where the signing key and its certificate are.
#[derive(Debug, Clone)]
pub struct SigningFiles {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The key, PEM, PKCS#8; nobody but its owner may read it.
    pub key: PathBuf,
}

/// Why a signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A file could not be read.
    #[error("cannot read {file}")]
    File {
        /// Which.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others could read the key.
    #[error("the signing key {0} can be read by others; run: chmod 400 {0}")]
    Exposed(PathBuf),
    /// The key is not one, or does not fit the certificate.
    #[error("the signing key {file} cannot be used")]
    Key {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: InvalidKey,
    },
}

/// Our signature, or none where every party is unsigned.
#[derive(Clone, Default)]
pub struct SignerHandle {
    files: Option<SigningFiles>,
    current: Arc<RwLock<Option<Arc<Signer>>>>,
}

impl SignerHandle {
    /// Reads the key and its certificate.
    pub fn open(files: SigningFiles) -> Result<Self, SigningError> {
        let signer = load(&files)?;
        Ok(Self { files: Some(files), current: Arc::new(RwLock::new(Some(Arc::new(signer)))) })
    }

    /// Reads them again; on failure the last good ones stay.
    pub fn reload(&self) -> Result<(), SigningError> {
        let Some(files) = &self.files else { return Ok(()) };
        let signer = Arc::new(load(files)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(signer);
        Ok(())
    }

    /// The signer in force.
    pub fn current(&self) -> Option<Arc<Signer>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn load(files: &SigningFiles) -> Result<Signer, SigningError> {
    if crate::config::open_to_others(&files.key).map_err(|e| unreadable(&files.key, e))? {
        return Err(SigningError::Exposed(files.key.clone()));
    }
    let key = Zeroizing::new(read(&files.key)?);
    let certificate = read(&files.certificate)?;
    Signer::from_pem(&key, &certificate)
        .map_err(|source| SigningError::Key { file: files.key.clone(), source })
}

fn read(file: &Path) -> Result<String, SigningError> {
    std::fs::read_to_string(file).map_err(|e| unreadable(file, e))
}

fn unreadable(file: &Path, source: std::io::Error) -> SigningError {
    SigningError::File { file: file.to_owned(), source }
}
