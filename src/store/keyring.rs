//! The keys that seal data keys: the present one, and older ones still needed to read.
//!
//! The key file holds one key a line, 64 hexadecimal digits, the present one first.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

/// Older keys kept for reading: one a rotation, more than thirty years of yearly ones.
const MOST_KEYS: usize = 32;

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file could not be read or made.
    #[error("cannot use the vault key {file}")]
    File {
        /// Which.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Others could read it.
    #[error("the vault key {0} can be read by others; run: chmod 400 {0}")]
    Exposed(PathBuf),
    /// Not keys.
    #[error("line {line} of the vault key {file} is not 64 hexadecimal digits")]
    Malformed {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// Nothing in it, or too much.
    #[error("the vault key {0} must hold 1 to {MOST_KEYS} keys")]
    Count(PathBuf),
}

/// The keys. The first seals; all open.
pub struct Keyring {
    keys: Vec<Master>,
}

struct Master {
    id: String,
    aead: LessSafeKey,
    naming: hmac::Key,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys, masked)", self.keys.len())
    }
}

impl Keyring {
    /// Reads the key file, which nobody but its owner may read.
    pub fn load(file: &Path) -> Result<Self, KeyringError> {
        let at = |source| KeyringError::File { file: file.to_owned(), source };
        let mode = std::fs::metadata(file).map_err(at)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyringError::Exposed(file.to_owned()));
        }
        let text = Zeroizing::new(std::fs::read_to_string(file).map_err(at)?);
        let mut keys = Vec::new();
        for (n, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
            let malformed = || KeyringError::Malformed { file: file.to_owned(), line: n + 1 };
            let key = hexadecimal(line.trim()).ok_or_else(malformed)?;
            keys.push(Master::new(&key));
        }
        if keys.is_empty() || keys.len() > MOST_KEYS {
            return Err(KeyringError::Count(file.to_owned()));
        }
        Ok(Self { keys })
    }

    /// Reads the key file, making one with a fresh key if there is none.
    pub fn load_or_create(file: &Path) -> Result<Self, KeyringError> {
        if !file.exists() {
            let at = |source| KeyringError::File { file: file.to_owned(), source };
            let mut key = Zeroizing::new([0u8; 32]);
            fill(&mut *key);
            let text: String = key.iter().map(|b| format!("{b:02x}")).collect();
            let mut out = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o400)
                .open(file)
                .map_err(at)?;
            out.write_all(Zeroizing::new(text).as_bytes()).and_then(|()| out.sync_all()).map_err(at)?;
        }
        Self::load(file)
    }

    /// Seals a data key for keeping: key id, nonce and ciphertext.
    pub(super) fn wrap(&self, data_key: &[u8; 32]) -> WrappedKey {
        let master = &self.keys[0];
        let mut nonce = [0u8; NONCE_LEN];
        fill(&mut nonce);
        let mut bytes = data_key.to_vec();
        master
            .aead
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes)
            .expect("32 bytes are within what AES-GCM seals");
        WrappedKey { master: master.id.clone(), nonce, sealed: bytes }
    }

    /// Opens a wrapped data key; none if no key of ours made it.
    pub(super) fn unwrap(&self, wrapped: &WrappedKey) -> Option<Zeroizing<[u8; 32]>> {
        let master = self.keys.iter().find(|k| k.id == wrapped.master)?;
        let mut bytes = Zeroizing::new(wrapped.sealed.clone());
        let nonce = Nonce::assume_unique_for_key(wrapped.nonce);
        let opened = master.aead.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?;
        Some(Zeroizing::new(<[u8; 32]>::try_from(&*opened).ok()?))
    }

    /// A file name that tells nothing: a keyed digest.
    pub(super) fn name(&self, digest: &[u8]) -> String {
        hmac::sign(&self.keys[0].naming, digest).as_ref().iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// A data key sealed by a master key.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct WrappedKey {
    pub(super) master: String,
    pub(super) nonce: [u8; NONCE_LEN],
    pub(super) sealed: Vec<u8>,
}

impl Master {
    fn new(key: &[u8; 32]) -> Self {
        let fingerprint = digest::digest(&digest::SHA256, key);
        let unbound = UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes");
        Self {
            id: fingerprint.as_ref()[..4].iter().map(|b| format!("{b:02x}")).collect(),
            aead: LessSafeKey::new(unbound),
            naming: hmac::Key::new(
                hmac::HMAC_SHA256,
                digest::digest(&digest::SHA256, &[b"naming", &key[..]].concat()).as_ref(),
            ),
        }
    }
}

/// Fills with random bytes.
pub(super) fn fill(bytes: &mut [u8]) {
    SystemRandom::new().fill(bytes).expect("the system's random source works");
}

fn hexadecimal(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0u8; 32]);
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (n, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vault.key");
        Keyring::load_or_create(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
        assert!(matches!(Keyring::load(&file), Err(KeyringError::Exposed(_))));
    }

    #[test]
    fn after_a_rotation_old_data_keys_still_open() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vault.key");
        let line = |digit: &str| digit.repeat(64) + "\n";
        let write = |text: String| {
            let _ = std::fs::remove_file(&file);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
            Keyring::load(&file).unwrap()
        };
        let wrapped = write(line("1")).wrap(&[7; 32]);
        let rotated = write(line("2") + &line("1"));
        assert_eq!(rotated.unwrap(&wrapped).as_deref(), Some(&[7; 32]));
        assert!(write(line("2")).unwrap(&wrapped).is_none(), "without the old key it stays shut");
    }
}
