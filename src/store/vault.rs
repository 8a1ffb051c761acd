//! Packets, receipts and quarantined messages, sealed at rest. Written once, never changed; throwing away a
//! [`SealedRef`] throws away the only key that opens what it names.
//!
//! Small ones share segment files that are synced once a batch, large ones have a file each.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use ring::digest;
use zeroize::Zeroizing;

use crate::store::keyring::{Keyring, WrappedKey, fill};
use crate::store::seal;
use crate::store::segment::{Appender, Place, file_name};

/// Above this a record gets a file of its own: there the 0.3 ms of a create, sync and rename no longer counts.
const SMALL: usize = 256 << 10;
/// The most that is read back at once: above any message the wire allows, with room.
const MOST: u64 = 64 << 20;

/// Why sealed bytes could not be written or read back. Names files, never content.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The folder or a file failed.
    #[error("the vault cannot {doing} {file}")]
    File {
        /// What we were doing.
        doing: &'static str,
        /// To what.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The bytes do not open: changed, cut short, or under another key.
    #[error("sealed bytes in {0} do not open: they were changed, or the key is another")]
    Damaged(PathBuf),
    /// The reference was not made by a vault.
    #[error("the reference to sealed bytes is malformed")]
    Reference,
    /// More than is read at once.
    #[error("sealed bytes are larger than {MOST} bytes")]
    TooLarge,
}

/// Where sealed bytes lie and the wrapped key that opens them.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedRef {
    place: Where,
    /// Plain bytes.
    length: u64,
    key: WrappedKey,
}

#[derive(Clone, PartialEq, Eq)]
enum Where {
    Segment(Place),
    File(String),
}

/// The sealed files of one node. Clones are the same vault.
#[derive(Clone)]
pub struct Vault {
    folder: Arc<PathBuf>,
    keys: Arc<Keyring>,
    appender: Appender,
}

impl Vault {
    /// Opens the folder, making it if there is none.
    pub fn open(folder: &Path, keys: Keyring) -> Result<Self, VaultError> {
        let at = |source| VaultError::File { doing: "open", file: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(at)?;
        let appender = Appender::start(folder).map_err(at)?;
        Ok(Self { folder: Arc::new(folder.to_owned()), keys: Arc::new(keys), appender })
    }

    /// Seals `plain`; durable when it returns.
    pub async fn put(&self, plain: &[u8]) -> Result<SealedRef, VaultError> {
        let mut key = Zeroizing::new([0u8; 32]);
        fill(&mut *key);
        let sealed = seal::seal(&key, plain);
        let place = if plain.len() <= SMALL {
            let at =
                |source| VaultError::File { doing: "append to", file: self.folder.to_path_buf(), source };
            Where::Segment(self.appender.append(sealed).await.map_err(at)?)
        } else {
            let name = self.keys.name(digest::digest(&digest::SHA256, &sealed).as_ref());
            let path = self.folder.join(&name);
            let written = tokio::task::spawn_blocking(move || write_file(&path, &sealed)).await;
            let at = |source| VaultError::File { doing: "write", file: self.folder.join(&name), source };
            written.unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(at)?;
            Where::File(name)
        };
        Ok(SealedRef { place, length: plain.len() as u64, key: self.keys.wrap(&key) })
    }

    /// The plain bytes again.
    pub fn get(&self, sealed: &SealedRef) -> Result<Vec<u8>, VaultError> {
        if sealed.length > MOST {
            return Err(VaultError::TooLarge);
        }
        let (name, offset) = match &sealed.place {
            Where::Segment(place) => (file_name(place.segment), place.offset),
            Where::File(name) => (name.clone(), 0),
        };
        let path = self.folder.join(name);
        let at = |source| VaultError::File { doing: "read", file: path.clone(), source };
        let key = self.keys.unwrap(&sealed.key).ok_or_else(|| VaultError::Damaged(path.clone()))?;
        let length = usize::try_from(seal::sealed_length(sealed.length)).map_err(|_| VaultError::TooLarge)?;
        let mut bytes = vec![0; length];
        File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, offset)).map_err(at)?;
        seal::open(&key, bytes).ok_or(VaultError::Damaged(path))
    }
}

fn write_file(path: &Path, sealed: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(sealed)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

impl fmt::Display for SealedRef {
    /// One word, as stored records carry it: place, length, and the wrapped key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Where::Segment(place) => write!(f, "s:{:x}:{:x}", place.segment, place.offset)?,
            Where::File(name) => write!(f, "f:{name}:0")?,
        }
        write!(f, ":{:x}:{}:", self.length, self.key.master)?;
        self.key.nonce.iter().chain(&self.key.sealed).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for SealedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedRef(masked)")
    }
}

impl FromStr for SealedRef {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        read_reference(text).ok_or(VaultError::Reference)
    }
}

fn read_reference(text: &str) -> Option<SealedRef> {
    let mut fields = text.split(':');
    let mut field = || fields.next();
    let (kind, first, second) = (field()?, field()?, field()?);
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let place = match kind {
        "s" => Where::Segment(Place { segment: number(first)?, offset: number(second)? }),
        "f" if first.bytes().all(|b| b.is_ascii_hexdigit()) => Where::File(first.to_owned()),
        _ => return None,
    };
    let length = number(field()?)?;
    let master = field()?.to_owned();
    let digits = field()?;
    let byte = |n: usize| u8::from_str_radix(digits.get(2 * n..2 * n + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..digits.len() / 2).map(byte).collect::<Option<_>>()?;
    let (nonce, sealed) = bytes.split_first_chunk::<12>()?;
    let key = WrappedKey { master, nonce: *nonce, sealed: sealed.to_vec() };
    field().is_none().then_some(SealedRef { place, length, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn vault() -> (tempfile::TempDir, Vault) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keyring::load_or_create(&folder.path().join("key")).unwrap();
        let vault = Vault::open(&folder.path().join("vault"), keys).unwrap();
        (folder, vault)
    }

    #[tokio::test]
    async fn small_and_large_records_come_back_by_their_reference() {
        let (_folder, vault) = vault().await;
        for length in [0, 10_240, SMALL, SMALL + 1, 5 << 20] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 253) as u8).collect();
            let sealed = vault.put(&plain).await.unwrap();
            let read: SealedRef = sealed.to_string().parse().unwrap();
            assert_eq!(read, sealed, "a reference survives being stored");
            assert_eq!(vault.get(&read).unwrap(), plain);
        }
    }

    #[tokio::test]
    async fn nothing_readable_lies_on_disk_and_a_flipped_bit_shows() {
        let (folder, vault) = vault().await;
        let plain = b"NHS number 9990000018, morphine".repeat(100);
        let sealed = vault.put(&plain).await.unwrap();
        let path = folder.path().join("vault").join(file_name(0));
        let mut bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(10).any(|w| w == b"9990000018"), "sealed means unreadable");
        bytes[40] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(vault.get(&sealed), Err(VaultError::Damaged(_))));
    }

    #[tokio::test]
    async fn many_at_once_share_their_syncs() {
        let (_folder, vault) = vault().await;
        let all = (0..64u8).map(|n| {
            let vault = vault.clone();
            tokio::spawn(async move { (n, vault.put(&[n; 1000]).await.unwrap()) })
        });
        for one in all.collect::<Vec<_>>() {
            let (n, sealed) = one.await.unwrap();
            assert_eq!(vault.get(&sealed).unwrap(), [n; 1000]);
        }
    }
}
