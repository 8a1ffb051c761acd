//! One sync for all who wait for one: those who come while a sync is under way share the next.
//!
//! Blocks its caller; not for asynchronous threads.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// While several share each sync, how long the next one waits for more.
const LINGER: Duration = Duration::from_millis(4);

/// What is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Everything written to the file system, whoever wrote it: one sync for many files. Needs Linux 5.8 to tell of
    /// errors.
    FileSystem,
    /// The names in the folder.
    Folder,
}

/// A sync that is shared.
#[derive(Debug)]
pub struct GroupSync {
    folder: File,
    extent: Extent,
    turn: Mutex<Turn>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Turn {
    started: u64,
    ended: u64,
    running: bool,
    waiting: usize,
    /// Whether several shared the last one.
    busy: bool,
    /// The last sync that failed, and the system's code for why.
    failed: Option<(u64, Option<i32>)>,
}

impl GroupSync {
    /// Over `folder`, or the file system it is on.
    pub fn over(folder: &Path, extent: Extent) -> io::Result<Self> {
        let folder = File::open(folder)?;
        Ok(Self { folder, extent, turn: Mutex::default(), ended: Condvar::new() })
    }

    /// Returns once everything done before the call is durable.
    pub fn wait(&self) -> io::Result<()> {
        let mut turn = self.turn();
        // One that began before this call may have passed over what we wrote.
        let mine = turn.started + 1;
        turn.waiting += 1;
        while turn.ended < mine {
            if turn.running {
                turn = self.ended.wait(turn).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            turn.running = true;
            if turn.busy {
                // Those who come meanwhile share it.
                drop(turn);
                std::thread::sleep(LINGER);
                turn = self.turn();
            }
            turn.started += 1;
            turn.busy = std::mem::take(&mut turn.waiting) > 1;
            drop(turn);
            let result = self.sync();
            turn = self.turn();
            turn.running = false;
            turn.ended = turn.started;
            if let Err(error) = result {
                turn.failed = Some((turn.ended, error.raw_os_error()));
            }
            self.ended.notify_all();
        }
        match turn.failed {
            // A later failure than ours may have hidden ours: then it counts as ours.
            Some((number, code)) if number >= mine => {
                Err(code.map_or_else(|| io::ErrorKind::Other.into(), io::Error::from_raw_os_error))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self.extent {
            Extent::FileSystem => Ok(rustix::fs::syncfs(&self.folder)?),
            Extent::Folder => self.folder.sync_all(),
        }
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_who_wait_together_share_few_syncs_and_nobody_shares_one_that_began_before() {
        let folder = tempfile::tempdir().unwrap();
        for extent in [Extent::FileSystem, Extent::Folder] {
            let group = GroupSync::over(folder.path(), extent).unwrap();
            let waiting = 32;
            std::thread::scope(|scope| {
                for n in 0..waiting {
                    let (group, folder) = (&group, folder.path());
                    scope.spawn(move || {
                        std::fs::write(folder.join(n.to_string()), b"x").unwrap();
                        let before = group.turn().started;
                        group.wait().unwrap();
                        assert!(group.turn().ended > before, "because the one under way may have missed it");
                    });
                }
            });
            let turn = group.turn();
            assert!(turn.started <= waiting && turn.ended == turn.started, "{turn:?}");
        }
    }

    #[test]
    fn a_failure_is_told_to_all_who_waited_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let group = GroupSync::over(folder.path(), Extent::Folder).unwrap();
        group.turn().failed = Some((1, Some(5)));
        assert_eq!(group.wait().unwrap_err().raw_os_error(), Some(5));
        group.wait().expect("the next one went well");
    }
}
