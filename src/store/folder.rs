//! Folders and files that are still there after a power cut, and held by one process.
//!
//! A file's own sync does not promise that its name survives: whoever makes a name must sync the folder it is in.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Marks a store whose making was not finished, and in which therefore nothing was ever acknowledged.
const CREATING: &str = "creating";
/// The file whose lock says that a process is using the folder. Its content means nothing.
const LOCK: &str = "lock";

/// Makes the folder and those above it, each named durably.
pub fn make(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && !f.exists()).collect();
    std::fs::create_dir_all(folder)?;
    for made in missing.into_iter().rev() {
        if let Some(above) = made.canonicalize()?.parent() {
            sync(above)?;
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Takes the folder for this process, until the file is dropped; none if another has it. Asks for a quarter of a second:
/// a predecessor that was killed is not gone at once, nor is a lock that a child inherited before it became another
/// program.
pub fn claim(folder: &Path) -> io::Result<Option<File>> {
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
    for _ in 0..25 {
        match lock.try_lock() {
            Ok(()) => return Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    Ok(None)
}

/// Before sled opens: removes snapshots it had not finished writing. They only spare it reading the log, but it takes
/// them for finished ones, and refuses to open when one is cut short: after a crash while opening it never would again.
pub fn remove_unfinished_snapshots(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Before sled opens: says durably that a store is being made, or clears away one whose making was cut short. sled
/// cannot open some of the states a power cut leaves a half-made store in; there is nothing in it to lose.
pub fn begin_creation(folder: &Path) -> io::Result<()> {
    let marker = folder.join(CREATING);
    if marker.exists() {
        return clear(folder);
    }
    if folder.join("db").exists() {
        return Ok(());
    }
    File::create(marker)?.sync_all()?;
    sync(folder)
}

/// After sled opened: syncs what it created and did not sync (limits reference fact 2(a)), and says the store is whole.
pub fn finish_creation(folder: &Path) -> io::Result<()> {
    for name in ["conf", "db"] {
        File::open(folder.join(name))?.sync_all()?;
    }
    sync(folder)?;
    match std::fs::remove_file(folder.join(CREATING)) {
        Ok(()) => sync(folder),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
    }
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let sleds = name == "db" || name == "conf" || name.to_string_lossy().starts_with("snap.");
        if sleds {
            std::fs::remove_file(entry.path())?;
        } else if name == "blobs" {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    sync(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = claim(folder.path()).unwrap();
        assert!(first.is_some(), "nobody had it");
        assert!(claim(folder.path()).unwrap().is_none(), "the first still has it");
        drop(first);
        assert!(claim(folder.path()).unwrap().is_some(), "it was let go");
    }

    #[test]
    fn folders_above_are_made_too() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b/c");
        make(&deep).unwrap();
        make(&deep).unwrap();
        assert!(deep.is_dir());
    }

    #[test]
    fn only_a_store_that_was_never_finished_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("db");
        begin_creation(folder.path()).unwrap();
        for name in ["db", "conf", "snap.00"] {
            std::fs::write(folder.path().join(name), b"half").unwrap();
        }
        std::fs::write(folder.path().join("vault.key"), b"not sled's").unwrap();
        begin_creation(folder.path()).unwrap();
        assert!(!db.exists(), "its making was cut short");
        assert!(folder.path().join("vault.key").exists(), "only sled's own files go");

        std::fs::write(&db, b"whole").unwrap();
        std::fs::write(folder.path().join("conf"), b"whole").unwrap();
        finish_creation(folder.path()).unwrap();
        begin_creation(folder.path()).unwrap();
        assert_eq!(std::fs::read(&db).unwrap(), b"whole", "a finished store is never touched");
    }
}
