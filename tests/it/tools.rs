//! Other people's programs that judge ours. A test without its tool says so and stops; where tools are required it fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a program to its end; `None`, said plainly, when it is not installed.
///
/// # Panics
/// When it is not installed although `CI` or `THROUGHCARE_REQUIRE_TOOLS` is set.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let required =
                ["CI", "THROUGHCARE_REQUIRE_TOOLS"].iter().any(|name| std::env::var_os(name).is_some());
            assert!(!required, "{program} is not installed and tools are required");
            eprintln!("skipped: {program} not installed");
            None
        }
        Err(error) => panic!("cannot run {program}: {error}"),
    }
}

/// A file or folder of `../shared`; `None`, said plainly, where it is not.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// What a daemon of a test logged names nobody: every patient of the tests has a number that begins like this.
///
/// # Panics
/// When it does, unless the test has failed already.
pub fn assert_names_nobody(log: &Path) {
    let text = std::fs::read(log).unwrap_or_default();
    let named = text.windows(7).any(|window| window == b"9990000");
    assert!(!named || std::thread::panicking(), "{} tells an NHS number", log.display());
}
