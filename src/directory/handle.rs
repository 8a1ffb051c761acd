//! The directory file as it lives: loaded at start, looked at again every few seconds and on request, the last
//! good one kept when an edit is bad.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::file::DirectoryError;
use super::{Directory, Fingerprint};
use crate::model::Timestamp;

/// Thirty thousand parties with long entries; more is some other file.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

/// The directory in force, shared; clones see the same one.
#[derive(Debug, Clone)]
pub struct DirectoryHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    current: watch::Sender<Arc<Directory>>,
    last: Mutex<Last>,
}

/// What the last look found.
#[derive(Debug)]
struct Last {
    seen: Vec<Stamp>,
    loaded_at: Timestamp,
    problem: Option<(Timestamp, String)>,
}

/// A file as a look sees it, without reading it: time, size, and inode for a replaced file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    state: Option<(SystemTime, u64, u64)>,
}

/// What an operator should know of the directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DirectoryStatus {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the version in force.
    pub version: Option<Fingerprint>,
    /// When it was taken.
    pub loaded_at: Timestamp,
    /// How many parties it names.
    pub parties: usize,
    /// How many of them we serve.
    pub served: usize,
    /// Why the newer file was not taken, and when that was found: the version in force is then the last good one.
    pub problem: Option<(Timestamp, String)>,
}

impl DirectoryHandle {
    /// Loads the file; the first load must be good.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, DirectoryError> {
        let (result, seen) = load(path);
        let (current, _) = watch::channel(Arc::new(result?));
        let last = Mutex::new(Last { seen, loaded_at: now, problem: None });
        Ok(Self(Arc::new(Shared { path: path.to_owned(), current, last })))
    }

    /// The directory in force.
    pub fn current(&self) -> Arc<Directory> {
        self.0.current.borrow().clone()
    }

    /// Told whenever another version comes into force.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Directory>> {
        self.0.current.subscribe()
    }

    /// Reads the file again now. A bad one leaves the last good one in force and is told here and in
    /// [`Self::status`].
    pub fn reload(&self, now: Timestamp) -> Result<(), DirectoryError> {
        let (result, seen) = load(&self.0.path);
        let mut last = self.last();
        last.seen = seen;
        match result {
            Ok(directory) => {
                last.problem = None;
                if self.current().version() != directory.version() {
                    last.loaded_at = now;
                    tracing::info!(parties = directory.parties().len(), "another directory is in force");
                    self.0.current.send_replace(Arc::new(directory));
                }
                Ok(())
            }
            Err(error) => {
                let text = chain(&error);
                tracing::warn!(error = %text, "the directory was not taken; the last good one stays in force");
                last.problem = Some((now, text));
                Err(error)
            }
        }
    }

    /// Reads the file again if it, or a certificate file it names, looks different from the last time.
    pub fn reload_if_changed(&self, now: Timestamp) -> Result<(), DirectoryError> {
        let unchanged = self.last().seen.iter().all(|stamp| *stamp == Stamp::of(&stamp.path));
        if unchanged { Ok(()) } else { self.reload(now) }
    }

    /// Looks at the file for ever, as often as `every`; end it by dropping the future.
    pub async fn watch(self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            let handle = self.clone();
            // A bad edit is already logged and kept in the status; the next look may find it mended.
            let look =
                tokio::task::spawn_blocking(move || drop(handle.reload_if_changed(crate::clock::now())));
            drop(look.await);
        }
    }

    /// For operators.
    pub fn status(&self) -> DirectoryStatus {
        let current = self.current();
        let last = self.last();
        DirectoryStatus {
            path: self.0.path.clone(),
            version: current.version(),
            loaded_at: last.loaded_at,
            parties: current.parties().len(),
            served: current.served().count(),
            problem: last.problem.clone(),
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        let state = std::fs::metadata(path).ok();
        let state = state.and_then(|m| m.modified().ok().map(|modified| (modified, m.len(), m.ino())));
        Self { path: path.to_owned(), state }
    }
}

/// Reads the file and what it names. Stamps are taken before the content, so that a change in between is seen at
/// the next look.
fn load(path: &Path) -> (Result<Directory, DirectoryError>, Vec<Stamp>) {
    let mut seen = vec![Stamp::of(path)];
    let folder = path.parent().unwrap_or(Path::new("."));
    let result = read(path).and_then(|text| {
        Directory::parse(&text, folder, &mut |certificate| {
            seen.push(Stamp::of(certificate));
            read_bounded(certificate)
        })
    });
    (result, seen)
}

fn read(path: &Path) -> Result<String, DirectoryError> {
    let failed = |source| DirectoryError::Read { path: path.to_owned(), source };
    let bytes = read_bounded(path).map_err(failed)?;
    String::from_utf8(bytes)
        .map_err(|_| failed(io::Error::new(io::ErrorKind::InvalidData, "the file is not UTF-8")))
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than 32 MiB"));
    }
    Ok(bytes)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |e| e.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
