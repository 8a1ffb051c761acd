//! Events from a folder and outcomes into one, where no broker is configured; laid out like a maildir.
//!
//! ```text
//! tmp/   where a publisher writes (and we do)
//! new/   where it renames a finished event to: NAME.json or NAME.pb, taken in the order of names
//! bad/   events that were not taken, each with NAME.reason beside it
//! out/   outcomes; the reader removes what it has read
//! ```
//!
//! `new/` is looked at five times a second: an event is rarely worth less than 200 ms, and a folder can be watched on any file
//! system that way. A disk that is full or read-only ends nothing: it is shown as down, and tried again.

mod folder;
mod incoming;
mod outgoing;

use std::path::PathBuf;
use std::time::Duration;

use super::contract::Encoding;

pub use incoming::consume;
pub use outgoing::publish;

/// How to use a spool folder.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that holds `tmp`, `new`, `bad` and `out`; what is missing is made.
    pub folder: PathBuf,
    /// How often `new/` is looked at.
    pub every: Duration,
    /// How outcomes are written.
    pub encoding: Encoding,
}

impl Settings {
    /// A folder, looked at every 200 ms, with outcomes in JSON.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, every: Duration::from_millis(200), encoding: Encoding::Json }
    }
}

/// After trouble with the disk the next try waits this long.
const PAUSE: Duration = Duration::from_secs(2);
