//! The keys that seal data keys: the present one, and older ones still needed to read.
//!
//! The key file holds one key a line, 64 hexadecimal digits, the present one first; or one key as 32 raw bytes. To
//! rotate, put a new line above the old ones and start the service again.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{CWD, RenameFlags};
use zeroize::Zeroizing;

/// Older keys kept for reading: one a rotation, more than thirty years of yearly ones.
const MOST_KEYS: usize = 32;
/// More than so many keys and empty lines take; what follows is not looked at.
const LONGEST_FILE: u64 = 8 << 10;

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
        if crate::config::open_to_others(file).map_err(at)? {
            return Err(KeyringError::Exposed(file.to_owned()));
        }
        let bytes = Zeroizing::new(read_at_most(file, LONGEST_FILE).map_err(at)?);
        // No file of hexadecimal digits is as short as this.
        if let Ok(key) = <[u8; 32]>::try_from(&bytes[..]).map(Zeroizing::new) {
            return Ok(Self { keys: vec![Master::new(&key)] });
        }
        let text =
            str::from_utf8(&bytes).map_err(|_| KeyringError::Malformed { file: file.to_owned(), line: 1 })?;
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

    /// Reads the key file, making one with a fresh key if there is none. A key that is made survives a power cut:
    /// what it will seal could not be read without it.
    pub fn load_or_create(file: &Path) -> Result<Self, KeyringError> {
        if !file.exists() {
            create(file).map_err(|source| KeyringError::File { file: file.to_owned(), source })?;
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

    /// Whether the present key wrapped it.
    pub(super) fn is_present(&self, wrapped: &WrappedKey) -> bool {
        wrapped.master == self.keys[0].id
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
        let mut naming = digest::Context::new(&digest::SHA256);
        naming.update(b"naming");
        naming.update(key);
        Self {
            id: fingerprint.as_ref()[..4].iter().map(|b| format!("{b:02x}")).collect(),
            aead: LessSafeKey::new(unbound),
            naming: hmac::Key::new(hmac::HMAC_SHA256, naming.finish().as_ref()),
        }
    }
}

/// Writes a file with a fresh key, whole or not at all, and never over another.
fn create(file: &Path) -> std::io::Result<()> {
    let mut key = Zeroizing::new([0u8; 32]);
    fill(&mut *key);
    let text = Zeroizing::new(key.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n");
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let mut out =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    out.write_all(text.as_bytes())?;
    out.set_permissions(std::fs::Permissions::from_mode(0o400))?;
    out.sync_all()?;
    match rustix::fs::renameat_with(CWD, &temporary, CWD, file, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // Another process was first: its key is the key.
        Err(rustix::io::Errno::EXIST) => std::fs::remove_file(&temporary)?,
        Err(e) => return Err(e.into()),
    }
    let folder = file.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    super::folder::sync(folder)
}

fn read_at_most(file: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(LONGEST_FILE as usize);
    std::fs::File::open(file)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
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
    fn a_key_is_made_once_and_a_raw_one_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vault.key");
        let made = Keyring::load_or_create(&file).unwrap();
        let wrapped = made.wrap(&[7; 32]);
        let again = Keyring::load_or_create(&file).unwrap();
        assert!(again.unwrap(&wrapped).is_some(), "the second start uses the key of the first");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left lying");
        create(&file).unwrap();
        assert!(Keyring::load(&file).unwrap().unwrap(&wrapped).is_some(), "a key is never overwritten");

        let raw = folder.path().join("raw.key");
        std::fs::write(&raw, [9; 32]).unwrap();
        std::fs::set_permissions(&raw, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(format!("{:?}", Keyring::load(&raw).unwrap()), "Keyring(1 keys, masked)");
        let text = "09".repeat(32);
        std::fs::remove_file(&raw).unwrap();
        std::fs::write(&raw, text).unwrap();
        std::fs::set_permissions(&raw, std::fs::Permissions::from_mode(0o400)).unwrap();
        Keyring::load(&raw).unwrap();
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
