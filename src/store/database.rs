//! Keys and values on sled, committed so that a power cut loses nothing that was acknowledged.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::store::folder;
use crate::store::snapshot::{Kept, Snapshot};
use crate::store::table::{Changes, Table};

/// The largest value a commit takes, in bytes. sled moves a page of more than a quarter segment (2 MiB) into a file it
/// never syncs, and a page holds up to 17 values before it is split: at 96 KiB each they stay inline.
pub const LARGEST_VALUE: usize = 96 << 10;

/// Fixed when a store is made. Pages up to a quarter of it stay inline, which surviving a power cut needs (limits
/// reference fact 2(c)).
const SEGMENT_BYTES: usize = 8 << 20;

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
    /// The disk is full. Not even reading is possible until there is room: opening writes.
    #[error("there is no space left for the store in {0}; free some, then start again: nothing is lost")]
    Full(PathBuf),
    /// What is there is not a store, or was damaged.
    #[error("the store in {folder} cannot be read; restore it from a backup or import an export")]
    Unreadable {
        /// Which.
        folder: PathBuf,
        /// What sled said.
        #[source]
        source: sled::Error,
    },
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
    /// Another export is being made.
    #[error("another export is being made; wait for its end")]
    InSnapshot,
    /// More changed while an export was made than is kept for it.
    #[error(
        "too much changed while the export was made; make it when less is going on, or stop the daemon first"
    )]
    TooMuchChanged,
    /// Made by a later version.
    #[error("the store has format {0}; this program knows format {FORMAT} only")]
    Format(String),
    /// Nothing was written: a value would not stay inline.
    #[error("a {} record of {bytes} bytes is larger than the {LARGEST_VALUE} the store takes", table.name())]
    TooLarge {
        /// Where it was to go.
        table: Table,
        /// How large it is.
        bytes: usize,
    },
}

/// The layout of keys and values.
const FORMAT: &str = "1";
const FORMAT_KEY: &[u8] = b"format";

/// The store. Clones are the same store; reading is free to all, and one thread commits.
#[derive(Clone)]
pub struct Store {
    database: sled::Db,
    log: Arc<File>,
    folder: Arc<PathBuf>,
    options: Options,
    committed: Arc<AtomicU64>,
    kept: Arc<Kept>,
    /// Dropped last, when sled has let go of its files.
    _claim: Arc<File>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `folder`, making it if there is none.
    pub fn open(folder: &Path, options: &Options) -> Result<Self, StoreError> {
        let at = |source| folder_error(folder, source);
        folder::make(folder).map_err(at)?;
        let claim = folder::claim(folder).map_err(at)?.ok_or_else(|| StoreError::InUse(folder.to_owned()))?;
        folder::remove_unfinished_snapshots(folder).map_err(at)?;
        match options.sync {
            Sync::Durable => folder::begin_creation(folder).map_err(at)?,
            Sync::ProcessOnly => {}
        }
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(options.cache_bytes)
            .segment_size(SEGMENT_BYTES)
            // Commits flush by themselves; a second flusher would only write the same bytes twice.
            .flush_every_ms(None);
        let database = open_patiently(&config).map_err(|source| open_error(folder, source))?;
        let log = File::options().read(true).write(true).open(folder.join("db")).map_err(at)?;
        let store = Self {
            database,
            log: Arc::new(log),
            folder: Arc::new(folder.to_owned()),
            options: *options,
            committed: Arc::default(),
            kept: Arc::default(),
            _claim: Arc::new(claim),
        };
        store.check_format()?;
        match options.sync {
            // Also what a killed predecessor wrote and never synced: from here on it can be read and acted upon.
            Sync::Durable => folder::finish_creation(folder).map_err(at)?,
            Sync::ProcessOnly => {}
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
        self.database.range(table.key(key)..table.end()).map(pair)
    }

    /// Every row as of this moment, while commits go on.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::take(self.database.clone(), self.kept.clone()).ok_or(StoreError::InSnapshot)
    }

    /// Makes the changes true together, and durable. Called by one thread only. After an error nobody knows how much
    /// reached the disk: the process must end, and the next one reads what is true.
    pub fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        if let Some((table, bytes)) = changes.largest()
            && bytes > LARGEST_VALUE
        {
            return Err(StoreError::TooLarge { table, bytes });
        }
        let bytes = changes.bytes();
        let failed = |doing, source| self.commit_error(doing, source);
        self.kept.apply(&self.database, changes.writes).map_err(|source| failed("writing", source))?;
        self.database.flush().map_err(|source| failed("flushing", source))?;
        match self.options.sync {
            Sync::Durable => self.log.sync_data().map_err(StoreError::Sync)?,
            Sync::ProcessOnly => {}
        }
        self.committed.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn commit_error(&self, doing: &'static str, source: sled::Error) -> StoreError {
        match &source {
            sled::Error::Io(e) if is_full(e) => StoreError::Full(self.folder.to_path_buf()),
            _ => failed(doing, source),
        }
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

fn folder_error(folder: &Path, source: std::io::Error) -> StoreError {
    if is_full(&source) {
        return StoreError::Full(folder.to_owned());
    }
    StoreError::Folder { folder: folder.to_owned(), source }
}

/// Once its store was dropped, sled's own threads may hold its lock a moment longer. As the folder is already ours, it
/// can only be they: wait for them, up to two seconds.
fn open_patiently(config: &sled::Config) -> sled::Result<sled::Db> {
    const PAUSE: Duration = Duration::from_millis(10);
    for _ in 0..200 {
        match config.open() {
            Err(sled::Error::Io(e)) if is_locked(&e) => std::thread::sleep(PAUSE),
            opened => return opened,
        }
    }
    config.open()
}

fn is_locked(error: &std::io::Error) -> bool {
    error.to_string().contains("could not acquire lock")
}

fn open_error(folder: &Path, source: sled::Error) -> StoreError {
    let folder = folder.to_owned();
    match source {
        sled::Error::Io(e) if is_full(&e) => StoreError::Full(folder),
        // Another program than ours has it: one that does not know the claim file.
        sled::Error::Io(e) if is_locked(&e) => StoreError::InUse(folder),
        sled::Error::Io(source) => StoreError::Folder { folder, source },
        source @ (sled::Error::Corruption { .. }
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::CollectionNotFound(_)) => StoreError::Unreadable { folder, source },
    }
}

/// No space, over quota, or over the process's limit: all are cured by making room.
fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
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
            assert_eq!(store.committed_bytes(), 7 + 40, "the format marker, and twenty pairs of two bytes");
        }
        let store = Store::open(folder.path(), &options).unwrap();
        let keys: Vec<u8> = store.scan(Table::Due, &[]).map(|p| p.unwrap().0[0]).collect();
        assert_eq!(keys, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        let last = store.scan(Table::Due, &[]).next_back().unwrap().unwrap();
        assert_eq!(last.0, [9], "a scan can be read from its end");
        let from: Vec<u8> = store.scan_from(Table::Due, &[7]).map(|p| p.unwrap().0[0]).collect();
        assert_eq!(from, [7, 8, 9], "a table ends where the next begins");
        assert_eq!(store.get(Table::Journal, &[3]).unwrap(), Some(vec![3]));
    }

    #[test]
    fn a_snapshot_that_a_crash_cut_short_does_not_keep_the_store_shut() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path(), &Options::default()).unwrap());
        let unfinished = folder.path().join("snap.0000000000000FFF.generating");
        std::fs::write(&unfinished, b"half a snapshot").unwrap();
        Store::open(folder.path(), &Options::default()).unwrap();
        assert!(!unfinished.exists(), "sled would take it for a whole one");
    }

    #[test]
    fn a_second_process_is_told_who_holds_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Store::open(folder.path(), &Options::default()).unwrap();
        let second = Store::open(folder.path(), &Options::default());
        assert!(matches!(second, Err(StoreError::InUse(_))), "{second:?}");
    }

    #[test]
    fn a_value_too_large_to_stay_inline_is_refused_and_nothing_of_its_commit_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        let mut changes = Changes::default();
        changes.put(Table::Transfer, b"a", vec![0; LARGEST_VALUE + 1]);
        changes.put(Table::Due, b"b", vec![0]);
        let refused = store.commit(changes);
        assert!(matches!(refused, Err(StoreError::TooLarge { table: Table::Transfer, .. })), "{refused:?}");
        assert_eq!(store.get(Table::Due, b"b").unwrap(), None, "all or nothing");
    }

    #[test]
    fn values_of_the_largest_size_never_leave_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Options::default()).unwrap();
        for round in 0..20u8 {
            let mut changes = Changes::default();
            for n in 0..20u8 {
                changes.put(Table::Transfer, &[round, n], vec![n; LARGEST_VALUE]);
            }
            store.commit(changes).unwrap();
        }
        let blobs = std::fs::read_dir(folder.path().join("blobs")).unwrap().count();
        assert_eq!(blobs, 0, "because sled never syncs the files it moves large pages to");
    }

    #[test]
    fn a_store_of_another_format_or_of_other_bytes_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        {
            let store = Store::open(folder.path(), &Options::default()).unwrap();
            let mut changes = Changes::default();
            changes.put(Table::Meta, FORMAT_KEY, b"2".to_vec());
            store.commit(changes).unwrap();
        }
        let later = Store::open(folder.path(), &Options::default());
        assert!(matches!(later, Err(StoreError::Format(_))), "{later:?}");

        std::fs::write(folder.path().join("conf"), b"segment_size: 512\nsomething else entirely\n").unwrap();
        let other = Store::open(folder.path(), &Options::default());
        assert!(matches!(other, Err(StoreError::Unreadable { .. })), "{other:?}");
    }

    #[test]
    fn space_is_low_below_the_stated_mark() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { low_space_bytes: u64::MAX, ..Options::default() };
        let space = Store::open(folder.path(), &options).unwrap().space().unwrap();
        assert!(space.low && space.free_bytes > 0, "no disk has so much: {space:?}");
    }
}
