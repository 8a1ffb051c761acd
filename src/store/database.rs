//! Keys and values on sled, committed so that a power cut loses nothing that was acknowledged.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The tables, each a prefix of one tree: one sled batch is atomic within one tree only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Facts about the store itself.
    Meta = b'M',
    /// Transfers by id.
    Transfer = b'T',
    /// What is due when.
    Due = b'D',
    /// Timelines.
    Journal = b'J',
    /// What is to be published.
    Outbox = b'O',
    /// Messages sent and received.
    Ledger = b'L',
    /// Custody events seen.
    Event = b'E',
    /// What could not be taken.
    Quarantine = b'Q',
}

impl Table {
    /// Every table, in the order of an export.
    pub const ALL: [Self; 8] = [
        Self::Meta,
        Self::Transfer,
        Self::Due,
        Self::Journal,
        Self::Outbox,
        Self::Ledger,
        Self::Event,
        Self::Quarantine,
    ];

    /// Its name, as an export writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Transfer => "transfer",
            Self::Due => "due",
            Self::Journal => "journal",
            Self::Outbox => "outbox",
            Self::Ledger => "ledger",
            Self::Event => "event",
            Self::Quarantine => "quarantine",
        }
    }

    /// The table of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    fn key(self, key: &[u8]) -> Vec<u8> {
        [&[self as u8], key].concat()
    }
}

/// How far a commit is carried before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// To the disk: survives a power cut.
    Durable,
    /// To the operating system: survives the process. For simulations only.
    ProcessOnly,
}

/// How the store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes of cache. It fills only as far as the data goes; below the working set sled's memory grows instead.
    pub cache_bytes: u64,
    /// How far a commit is carried.
    pub sync: Sync,
    /// Free bytes below which [`Space::low`] warns: enough for sled to open again and for a day's closing work.
    pub low_space_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { cache_bytes: 256 << 20, sync: Sync::Durable, low_space_bytes: 256 << 20 }
    }
}

/// How much room is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes free on the file system of the store.
    pub free_bytes: u64,
    /// Too little to take on more work.
    pub low: bool,
}

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder could not be made or synced.
    #[error("cannot prepare the store's folder {folder}; check that it exists and belongs to the service")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("the store in {0} is in use by another process; stop that service, or ask it through its socket")]
    InUse(PathBuf),
    /// sled failed.
    #[error("the store failed while {doing}")]
    Database {
        /// What we were doing.
        doing: &'static str,
        /// What sled said.
        #[source]
        source: sled::Error,
    },
    /// The log could not be synced.
    #[error("the store's log could not be synced to disk")]
    Sync(#[source] std::io::Error),
    /// Made by a later version.
    #[error("the store has format {0}; this program knows format {FORMAT} only")]
    Format(String),
}

/// The layout of keys and values.
const FORMAT: &str = "1";
const FORMAT_KEY: &[u8] = b"format";

/// Writes that become true together.
#[derive(Debug, Default)]
pub struct Changes {
    batch: sled::Batch,
    operations: usize,
    bytes: u64,
}

impl Changes {
    /// Writes a value.
    pub fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.bytes += (key.len() + value.len()) as u64;
        self.operations += 1;
        self.batch.insert(table.key(key), value);
    }

    /// Takes a value away.
    pub fn remove(&mut self, table: Table, key: &[u8]) {
        self.operations += 1;
        self.batch.remove(table.key(key));
    }

    /// How many writes there are.
    pub fn len(&self) -> usize {
        self.operations
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.operations == 0
    }
}

/// The store. Clones are the same store; reading is free to all, and one thread commits.
#[derive(Clone)]
pub struct Store {
    database: sled::Db,
    log: Arc<File>,
    folder: Arc<PathBuf>,
    options: Options,
    committed: Arc<AtomicU64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `folder`, making it if there is none.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, StoreError> {
        let at = |source| StoreError::Folder { folder: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(at)?;
        let database = sled::Config::new()
            .path(folder)
            .cache_capacity(options.cache_bytes)
            // Values of a few kilobytes stay inline, which a power cut needs (limits reference fact 2(c)).
            .segment_size(8 << 20)
            // Commits flush by themselves; a second flusher would only write the same bytes twice.
            .flush_every_ms(None)
            .open()
            .map_err(|source| open_error(folder, source))?;
        let log = File::options().read(true).write(true).open(folder.join("db")).map_err(at)?;
        let store = Self {
            database,
            log: Arc::new(log),
            folder: Arc::new(folder.to_owned()),
            options: *options,
            committed: Arc::default(),
        };
        store.check_format()?;
        if options.sync == Sync::Durable {
            sync_creation(folder).map_err(at)?;
        }
        Ok(store)
    }

    fn check_format(&self) -> Result<(), StoreError> {
        match self.get(Table::Meta, FORMAT_KEY)? {
            Some(format) if format == FORMAT.as_bytes() => Ok(()),
            Some(format) => Err(StoreError::Format(String::from_utf8_lossy(&format).into_owned())),
            None => {
                let mut changes = Changes::default();
                changes.put(Table::Meta, FORMAT_KEY, FORMAT.into());
                self.commit(changes)
            }
        }
    }

    /// The value of a key.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.database.get(table.key(key)).map_err(|source| failed("reading", source))?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// All pairs of a table whose key begins with `prefix`, in key order.
    pub fn scan(
        &self,
        table: Table,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        self.database.scan_prefix(table.key(prefix)).map(pair)
    }

    /// All pairs of a table from `key` on, in key order.
    pub fn scan_from(
        &self,
        table: Table,
        key: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
        let end = vec![table as u8 + 1];
        self.database.range(table.key(key)..end).map(pair)
    }

    /// Makes the changes true together, and durable. Called by one thread only.
    pub fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        let bytes = changes.bytes;
        self.database.apply_batch(changes.batch).map_err(|source| failed("writing", source))?;
        self.database.flush().map_err(|source| failed("flushing", source))?;
        if self.options.sync == Sync::Durable {
            self.log.sync_data().map_err(StoreError::Sync)?;
        }
        self.committed.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes of keys and values committed since it was opened.
    pub fn committed_bytes(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// How much room is left on the store's file system. sled cannot open a store on a full disk, so work is refused
    /// before that.
    pub fn space(&self) -> Result<Space, StoreError> {
        let stat = rustix::fs::statvfs(self.folder.as_path())
            .map_err(|e| StoreError::Folder { folder: self.folder.to_path_buf(), source: e.into() })?;
        let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        Ok(Space { free_bytes, low: free_bytes < self.options.low_space_bytes })
    }
}

fn pair(found: sled::Result<(sled::IVec, sled::IVec)>) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let (key, value) = found.map_err(|source| failed("reading", source))?;
    Ok((key[1..].to_vec(), value.to_vec()))
}

fn failed(doing: &'static str, source: sled::Error) -> StoreError {
    StoreError::Database { doing, source }
}

fn open_error(folder: &Path, source: sled::Error) -> StoreError {
    match &source {
        sled::Error::Io(e) if e.to_string().contains("lock") => StoreError::InUse(folder.to_owned()),
        _ => failed("opening", source),
    }
}

/// sled never syncs what it creates (limits reference fact 2(a)).
fn sync_creation(folder: &Path) -> std::io::Result<()> {
    for name in ["conf", "db"] {
        File::open(folder.join(name))?.sync_all()?;
    }
    File::open(folder)?.sync_all()?;
    if let Some(parent) = folder.canonicalize()?.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_back_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::default();
        {
            let store = Store::open(folder.path(), &options).unwrap();
            let mut changes = Changes::default();
            for n in 0u8..10 {
                changes.put(Table::Due, &[n], vec![n]);
                changes.put(Table::Journal, &[n], vec![n]);
            }
            changes.remove(Table::Due, &[3]);
            store.commit(changes).unwrap();
        }
        let store = Store::open(folder.path(), &options).unwrap();
        let keys: Vec<u8> = store.scan(Table::Due, &[]).map(|p| p.unwrap().0[0]).collect();
        assert_eq!(keys, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        let from: Vec<u8> = store.scan_from(Table::Due, &[7]).map(|p| p.unwrap().0[0]).collect();
        assert_eq!(from, [7, 8, 9], "a table ends where the next begins");
        assert_eq!(store.get(Table::Journal, &[3]).unwrap(), Some(vec![3]));
    }

    #[test]
    fn a_second_process_is_told_who_holds_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Store::open(folder.path(), &Options::default()).unwrap();
        let second = Store::open(folder.path(), &Options::default());
        assert!(matches!(second, Err(StoreError::InUse(_))), "{second:?}");
    }
}
