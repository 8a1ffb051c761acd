//! Packets, receipts and quarantined messages, sealed at rest. Written once, never changed; throwing away a
//! [`SealedRef`] throws away the only key that opens what it names.
//!
//! Small ones share segment files that are synced once a batch, large ones have a file each. Files that nothing refers
//! to any more are not looked for here.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest;
use zeroize::Zeroizing;

use crate::store::folder;
use crate::store::group::{Extent, GroupSync};
use crate::store::keyring::{Keyring, fill};
use crate::store::reference::{SealedRef, Where};
use crate::store::seal::{self, Opener};
use crate::store::segment::{Appender, file_name};

/// Above this a record gets a file of its own: there the 0.3 ms of a create, sync and rename no longer counts.
const SMALL: usize = 256 << 10;
/// The most bytes [`Vault::get`] reads at once: above any message the wire allows, with room.
pub const LARGEST_READ: u64 = 64 << 20;
/// The most bytes of one record: a whole record with its attachments has been seen at a gigabyte, never at four.
pub const LARGEST_RECORD: u64 = 4 << 30;

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
        source: io::Error,
    },
    /// Another process has it.
    #[error("the vault in {0} is in use by another process; stop that service first")]
    InUse(PathBuf),
    /// What was to be sealed could not be read to its end.
    #[error("the bytes to be sealed could not be read")]
    Source(#[source] io::Error),
    /// The bytes do not open: changed or cut short.
    #[error("sealed bytes in {0} do not open: they were changed or cut short")]
    Damaged(PathBuf),
    /// None of the keys wrapped the key of these bytes.
    #[error(
        "no vault key opens sealed bytes in {0}; put the older key back as a further line of the key file"
    )]
    OtherKey(PathBuf),
    /// The reference was not made by a vault.
    #[error("the reference to sealed bytes is malformed")]
    Reference,
    /// More than is taken.
    #[error("sealed bytes are larger than the {0} bytes allowed")]
    TooLarge(u64),
}

/// The sealed files of one node. Clones are the same vault.
#[derive(Clone)]
pub struct Vault {
    folder: Arc<PathBuf>,
    keys: Arc<Keyring>,
    appender: Appender,
    /// The names of files written at one time become durable together.
    named: Arc<GroupSync>,
    _claim: Arc<File>,
}

impl Vault {
    /// Opens the folder, making it if there is none.
    pub fn open(folder: &Path, keys: Keyring) -> Result<Self, VaultError> {
        let at = |source| VaultError::File { doing: "open", file: folder.to_owned(), source };
        folder::make(folder).map_err(at)?;
        let claim = folder::claim(folder).map_err(at)?.ok_or_else(|| VaultError::InUse(folder.to_owned()))?;
        remove_unfinished(folder).map_err(at)?;
        let appender = Appender::start(folder).map_err(at)?;
        let named = Arc::new(GroupSync::over(folder, Extent::Folder).map_err(at)?);
        let folder = Arc::new(folder.to_owned());
        Ok(Self { folder, keys: Arc::new(keys), appender, named, _claim: Arc::new(claim) })
    }

    /// Seals `plain`; durable when it returns.
    pub async fn put(&self, plain: &[u8]) -> Result<SealedRef, VaultError> {
        if plain.len() > SMALL {
            return self.put_stream(Cursor::new(Zeroizing::new(plain.to_vec()))).await;
        }
        let key = data_key();
        let place = self.appender.append(seal::seal(&key, plain)).await;
        let at = |source| VaultError::File { doing: "append to", file: self.folder.to_path_buf(), source };
        let place = Where::Segment(place.map_err(at)?);
        Ok(SealedRef { place, length: plain.len() as u64, key: self.keys.wrap(&key) })
    }

    /// Seals `head` and `body` as one; durable when it returns. What is large is not copied.
    pub async fn put_both<B>(&self, head: String, body: B) -> Result<SealedRef, VaultError>
    where
        B: AsRef<[u8]> + Send + 'static,
    {
        if head.len() + body.as_ref().len() <= SMALL {
            return self.put(&[head.as_bytes(), body.as_ref()].concat()).await;
        }
        self.put_stream(Cursor::new(head).chain(Cursor::new(body))).await
    }

    /// Seals all that `from` gives into a file of its own, in constant memory; durable when it returns.
    pub async fn put_stream(&self, from: impl Read + Send + 'static) -> Result<SealedRef, VaultError> {
        let vault = self.clone();
        let written = tokio::task::spawn_blocking(move || vault.write_file(from)).await;
        written.unwrap_or_else(|stopped| Err(VaultError::Source(io::Error::other(stopped))))
    }

    fn write_file(&self, from: impl Read) -> Result<SealedRef, VaultError> {
        let temporary = self.folder.join(format!("{}.tmp", random_name()));
        let written = self.write_as(&temporary, from);
        if written.is_err() {
            // Nothing refers to it; if it cannot be removed now, the next start does.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }

    fn write_as(&self, temporary: &Path, from: impl Read) -> Result<SealedRef, VaultError> {
        let at = |source| VaultError::File { doing: "write", file: temporary.to_owned(), source };
        let key = data_key();
        let mut from = Source { from: from.take(LARGEST_RECORD + 1), failed: None };
        let mut out = Digesting {
            file: File::create(temporary).map_err(at)?,
            seen: digest::Context::new(&digest::SHA256),
        };
        let sealed = seal::seal_stream(&key, &mut from, &mut out);
        if let Some(source) = from.failed {
            return Err(VaultError::Source(source));
        }
        let length = sealed.map_err(at)?;
        if length > LARGEST_RECORD {
            return Err(VaultError::TooLarge(LARGEST_RECORD));
        }
        out.file.sync_all().map_err(at)?;
        let name = self.keys.name(out.seen.finish().as_ref());
        std::fs::rename(temporary, self.folder.join(&name)).map_err(at)?;
        self.named.wait().map_err(at)?;
        Ok(SealedRef { place: Where::File(name), length, key: self.keys.wrap(&key) })
    }

    /// The plain bytes again, at most [`LARGEST_READ`].
    pub fn get(&self, sealed: &SealedRef) -> Result<Vec<u8>, VaultError> {
        if sealed.length > LARGEST_READ {
            return Err(VaultError::TooLarge(LARGEST_READ));
        }
        let mut reader = self.reader(sealed)?;
        let mut plain = Vec::with_capacity(sealed.length as usize);
        match reader.read_to_end(&mut plain) {
            Ok(_) => Ok(plain),
            Err(source) => Err(reader.fault(source)),
        }
    }

    /// The plain bytes as a stream, of any length. What it gives is authentic; only its end says that it is whole.
    pub fn reader(&self, sealed: &SealedRef) -> Result<Unsealed, VaultError> {
        let (name, offset) = match &sealed.place {
            Where::Segment(place) => (file_name(place.segment), place.offset),
            Where::File(name) => (name.clone(), 0),
        };
        let path = self.folder.join(name);
        let key = self.keys.unwrap(&sealed.key).ok_or_else(|| VaultError::OtherKey(path.clone()))?;
        let length = seal::sealed_length(sealed.length).ok_or(VaultError::Reference)?;
        let file = match File::open(&path) {
            Ok(file) => At { file, offset },
            Err(source) => return Err(VaultError::File { doing: "read", file: path, source }),
        };
        Ok(Unsealed { opener: Opener::new(&key, BufReader::new(file), length), path })
    }

    /// The same bytes under the present key, so that an older one can be given up; none if it is the present one. The
    /// old reference still opens them while the old key is known.
    pub fn rewrap(&self, sealed: &SealedRef) -> Result<Option<SealedRef>, VaultError> {
        if self.keys.is_present(&sealed.key) {
            return Ok(None);
        }
        let other = || VaultError::OtherKey(self.folder.to_path_buf());
        let key = self.keys.unwrap(&sealed.key).ok_or_else(other)?;
        Ok(Some(SealedRef { key: self.keys.wrap(&key), ..sealed.clone() }))
    }
}

/// Plain bytes, opened as they are read.
pub struct Unsealed {
    opener: Opener<BufReader<At>>,
    path: PathBuf,
}

impl Unsealed {
    fn fault(self, source: io::Error) -> VaultError {
        match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => VaultError::Damaged(self.path),
            _ => VaultError::File { doing: "read", file: self.path, source },
        }
    }
}

impl Read for Unsealed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.opener.read(into)
    }
}

/// A file read from a place on, whatever others read of it.
struct At {
    file: File,
    offset: u64,
}

impl Read for At {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// What is to be sealed; remembers that it was this end that failed.
struct Source<R> {
    from: R,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.from.read(into).inspect_err(|e| {
            if e.kind() != io::ErrorKind::Interrupted {
                self.failed = Some(io::Error::new(e.kind(), e.to_string()));
            }
        })
    }
}

/// Digests what it writes: the file's name comes of it.
struct Digesting {
    file: File,
    seen: digest::Context,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.seen.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn data_key() -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0u8; 32]);
    fill(&mut *key);
    key
}

fn random_name() -> String {
    let mut bytes = [0u8; 16];
    fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Files whose writing a crash cut short: nothing was told of them.
fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "tmp") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
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

    fn plain(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n % 253) as u8).collect()
    }

    #[tokio::test]
    async fn small_and_large_records_come_back_by_their_reference() {
        let (_folder, vault) = vault().await;
        for length in [0, 10_240, SMALL, SMALL + 1, 5 << 20] {
            let plain = plain(length);
            let sealed = vault.put(&plain).await.unwrap();
            let read: SealedRef = sealed.to_string().parse().unwrap();
            assert_eq!(read, sealed, "a reference survives being stored");
            assert_eq!(vault.get(&read).unwrap(), plain);
        }
    }

    #[tokio::test]
    async fn nothing_readable_lies_on_disk() {
        let (folder, vault) = vault().await;
        let plain = b"NHS number 9990000018, morphine".repeat(100);
        vault.put(&plain).await.unwrap();
        let bytes = std::fs::read(folder.path().join("vault").join(file_name(0))).unwrap();
        assert!(!bytes.windows(10).any(|w| w == b"9990000018"), "sealed means unreadable");
    }

    #[tokio::test]
    async fn bytes_changed_or_cut_short_are_an_error_that_names_the_file() {
        for length in [1000, SMALL + 70_000] {
            let (folder, vault) = vault().await;
            let sealed = vault.put(&plain(length)).await.unwrap();
            let name = match &sealed.place {
                Where::Segment(place) => file_name(place.segment),
                Where::File(name) => name.clone(),
            };
            let path = folder.path().join("vault").join(name);
            let whole = std::fs::read(&path).unwrap();
            let mut flipped = whole.clone();
            flipped[length / 2] ^= 1;
            for bad in [&flipped[..], &whole[..whole.len() - 1], &[]] {
                std::fs::write(&path, bad).unwrap();
                let error = vault.get(&sealed);
                assert!(matches!(&error, Err(VaultError::Damaged(p)) if *p == path), "{error:?}");
            }
            std::fs::write(&path, whole).unwrap();
            assert_eq!(vault.get(&sealed).unwrap(), plain(length), "restored from a backup it opens");
        }
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

    #[tokio::test]
    async fn a_second_process_is_refused_and_leftovers_of_a_crash_go() {
        let (folder, vault) = vault().await;
        let keys = || Keyring::load(&folder.path().join("key")).unwrap();
        let path = folder.path().join("vault");
        let leftover = path.join("00ff.tmp");
        std::fs::write(&leftover, b"half a file").unwrap();
        assert!(matches!(Vault::open(&path, keys()), Err(VaultError::InUse(_))));
        assert!(leftover.exists(), "it might be the other's");
        drop(vault);
        Vault::open(&path, keys()).unwrap();
        assert!(!leftover.exists(), "nobody was told of it");
    }

    #[tokio::test]
    async fn a_source_that_fails_leaves_nothing_behind() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the connection broke"))
            }
        }
        let (folder, vault) = vault().await;
        let from = Cursor::new(plain(SMALL)).chain(Broken);
        let refused = vault.put_stream(from).await;
        assert!(matches!(refused, Err(VaultError::Source(_))), "it is not the disk's fault: {refused:?}");
        let left: Vec<_> =
            std::fs::read_dir(folder.path().join("vault")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }
}
