//! A disk of its own whose power can be cut: ext4 on a loop device, shut down without writing its journal out.
//!
//! What was written but not synced is then gone, as after a crash of the machine; the disk itself is one that keeps
//! what it was sent.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

/// `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`. In Perl because it is on every Debian, and an ioctl needs what we forbid.
const SHUT_DOWN: &str = r#"use Fcntl; sysopen(my $f, $ARGV[0], O_RDONLY) or die "open: $!";
my $how = pack("I", 2); ioctl($f, 0x8004587d, $how) or die "ioctl: $!";"#;
/// Room for twenty rounds of writing at full speed; the file is sparse.
const SIZE: &str = "1G";

/// A mounted disk. Dropped, it is gone.
pub struct Disk {
    folder: tempfile::TempDir,
    mounted: PathBuf,
}

impl Disk {
    /// Makes one; none where that is not possible.
    pub fn make() -> Option<Self> {
        Self::sized(SIZE)
    }

    /// Makes one of a size `truncate` understands; none where that is not possible.
    pub fn sized(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = folder.path().join("mounted");
        std::fs::create_dir(&mounted).unwrap();
        let disk = Self { folder, mounted };
        let made = run("truncate", &["-s", size, &disk.image()])
            && run("mkfs.ext4", &["-q", "-F", &disk.image()])
            && disk.mount();
        made.then_some(disk)
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.mounted
    }

    /// Empties it.
    pub fn format(&mut self) {
        self.unmount();
        assert!(run("mkfs.ext4", &["-q", "-F", &self.image()]), "it could be formatted before");
        assert!(self.mount(), "it could be mounted before");
    }

    /// The power goes.
    pub fn cut(&self) {
        let cut = Command::new("perl").args(["-e", SHUT_DOWN]).arg(&self.mounted).output().unwrap();
        assert!(cut.status.success(), "the shutdown failed: {}", String::from_utf8_lossy(&cut.stderr));
    }

    /// The power comes back. Mounting replays the file system's journal.
    pub fn mount_again(&self) {
        self.unmount();
        assert!(self.mount(), "a file system survives a power cut");
    }

    fn image(&self) -> String {
        self.folder.path().join("image").display().to_string()
    }

    fn mount(&self) -> bool {
        run("mount", &["-o", "loop", &self.image(), &self.mounted.display().to_string()])
    }

    /// sled's threads let go of their files a moment after their store was dropped.
    fn unmount(&self) {
        for _ in 0..200 {
            if run("umount", &[&self.mounted.display().to_string()]) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} is still in use", self.mounted.display());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because a failed test may still hold files; nothing can be done if it fails.
        run("umount", &["-l", &self.mounted.display().to_string()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let output: std::io::Result<Output> = Command::new(program).args(arguments).output();
    output.is_ok_and(|o| o.status.success())
}
