//! A file that a command writes for its user: new, closed to others, and gone again when the writing fails.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;

/// Writes a new file with mode 0600. A path that is taken is refused before `write` is asked anything.
pub(super) fn write<T>(
    path: &Path,
    what: &str,
    write: impl FnOnce(&mut BufWriter<File>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let doing = || format!("writing the {what} {}", path.display());
    let file = File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut out = BufWriter::new(file.map_err(|e| taken(path, e)).with_context(doing)?);
    let written = write(&mut out).and_then(|value| {
        out.flush().and_then(|()| out.get_ref().sync_all()).with_context(doing)?;
        Ok(value)
    });
    if written.is_err() {
        // Half of it would only mislead; the failure itself is told.
        let _gone = std::fs::remove_file(path);
    }
    written
}

/// The error of making something new, in words that say what to do when the name is taken.
pub(super) fn taken(path: &Path, error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists => {
            anyhow::anyhow!("{} exists already and is not overwritten: choose another name", path.display())
        }
        _ => error.into(),
    }
}
