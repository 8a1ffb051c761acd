//! Outcomes into `out/`: each a file of its own, durable before it leaves the outbox.

use std::ffi::OsString;
use std::io;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::error;

use super::folder::Folder;
use super::incoming::{show_down, show_up};
use super::{PAUSE, Settings};
use crate::intake::contract::encode_outcome;
use crate::intake::{Link, Outbox, Pending, Stopping, stopped};

/// So many outcomes share one sync of the folder.
const AT_ONCE: usize = 256;

/// Writes outcomes until the daemon stops or the engine closes. `link` tells how it goes.
pub async fn publish<O: Outbox>(
    settings: Settings,
    outbox: O,
    link: watch::Sender<Link>,
    mut stopping: Stopping,
) {
    let mut changed = outbox.changed();
    let mut written = 0;
    while !*stopping.borrow() {
        // Marked before looking, so that an outcome added meanwhile wakes us.
        changed.mark_unchanged();
        let waiting = outbox.next(written, AT_ONCE).await;
        if waiting.is_empty() {
            tokio::select! {
                () = stopped(&mut stopping) => return,
                woken = changed.changed() => if woken.is_err() { return },
            }
            continue;
        }
        let numbers: Vec<u64> = waiting.iter().map(|pending| pending.number).collect();
        match write(&settings, waiting).await {
            Ok(()) => {
                written = numbers.last().copied().unwrap_or(written);
                show_up(&link);
                if let Err(closed) = outbox.published(numbers).await {
                    error!(error = %closed, "writing outcomes ends");
                    return;
                }
            }
            Err(cause) => {
                show_down(&link, &format!("writing outcomes to the spool folder: {cause}"));
                tokio::select! {
                    () = stopped(&mut stopping) => return,
                    () = sleep(PAUSE) => {}
                }
            }
        }
    }
}

/// Written anew after trouble under the same names, so nothing is there twice.
async fn write(settings: &Settings, waiting: Vec<Pending>) -> io::Result<()> {
    let settings = settings.clone();
    let write = move || {
        let folder = Folder::lay(&settings.folder)?;
        let ending = settings.encoding.extension();
        let file = |Pending { number, outcome }: Pending| {
            // In the order they came about; the identity keeps apart what an import of the store may number again.
            let name = format!("{number:020}-{}-{}.{ending}", outcome.kind, outcome.outcome_id);
            (OsString::from(name), encode_outcome(&outcome, settings.encoding))
        };
        folder.write_all("out", &waiting.into_iter().map(file).collect::<Vec<_>>())?;
        folder.sync("out")
    };
    tokio::task::spawn_blocking(write).await.unwrap_or_else(|join| Err(io::Error::other(join)))
}
