//! Events from `new/`: read in the order of their names, handed to the engine, removed when durable.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{error, warn};

use super::folder::{Folder, Found};
use super::{PAUSE, Settings};
use crate::clock;
use crate::intake::contract::{Encoding, Rules};
use crate::intake::{
    Delivery, Front, FrontClosed, Link, LiveRules, Origin, Stopping, Taken, Ticket, stopped,
};

/// So many files wait for one commit: as many as come from a broker at once.
const AT_ONCE: usize = 512;

/// Why a look at the folder ended early.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{doing} in the spool folder: {cause}")]
    Disk { doing: &'static str, cause: io::Error },
    #[error(transparent)]
    Front(#[from] FrontClosed),
}

/// Takes events until the daemon stops or the engine closes. `link` tells how it goes.
pub async fn consume<F: Front>(
    settings: Settings,
    front: F,
    rules: LiveRules,
    link: watch::Sender<Link>,
    mut stopping: Stopping,
) {
    while !*stopping.borrow() {
        let pause = match look(&settings, &front, &rules, &stopping).await {
            Ok(()) => {
                show_up(&link);
                settings.every
            }
            Err(Trouble::Front(closed)) => {
                error!(error = %closed, "intake from the spool ends");
                return;
            }
            Err(trouble @ Trouble::Disk { .. }) => {
                show_down(&link, &trouble.to_string());
                PAUSE
            }
        };
        tokio::select! {
            () = stopped(&mut stopping) => {}
            () = sleep(pause) => {}
        }
    }
}

/// The folder works.
pub(super) fn show_up(link: &watch::Sender<Link>) {
    link.send_if_modified(|link| {
        let was_down = matches!(link, Link::Down { .. });
        if was_down {
            *link = Link::Up { since: clock::now() };
        }
        was_down
    });
}

/// The folder does not work: said once in the log, not at every try.
pub(super) fn show_down(link: &watch::Sender<Link>, error: &str) {
    link.send_if_modified(|link| {
        let (since, news) = match link {
            Link::Down { since, error: known } => (*since, known.as_deref() != Some(error)),
            Link::Up { .. } => (clock::now(), true),
        };
        if news {
            warn!(error, "spool folder not usable, trying again");
            *link = Link::Down { since, error: Some(error.to_owned()) };
        }
        news
    });
}

/// Takes everything that is in `new/` now, a handful at a time.
async fn look<F: Front>(
    settings: &Settings,
    front: &F,
    rules: &LiveRules,
    stopping: &Stopping,
) -> Result<(), Trouble> {
    let root = settings.folder.clone();
    let (folder, names) = blocking("looking for events", move || {
        let folder = Folder::lay(&root)?;
        let names = folder.waiting()?;
        Ok((folder, names))
    })
    .await?;
    let mut seen = Ok(());
    for handful in names.chunks(AT_ONCE) {
        if *stopping.borrow() {
            break;
        }
        let current = rules.borrow().clone();
        match take(&folder, handful.to_vec(), front, current).await {
            Err(Trouble::Front(closed)) => return Err(closed.into()),
            // Files that make trouble keep no others waiting.
            Err(trouble @ Trouble::Disk { .. }) => seen = Err(trouble),
            Ok(()) => {}
        }
    }
    seen
}

/// Reads, submits in order, waits for all, and clears away: what was not durable stays where it is.
async fn take<F: Front>(
    folder: &Folder,
    names: Vec<OsString>,
    front: &F,
    rules: Arc<Rules>,
) -> Result<(), Trouble> {
    let opened = folder.clone();
    let read = move || -> io::Result<Vec<Arrival>> {
        Ok(names.into_iter().map(|name| arrival(&opened, name, &rules)).collect())
    };
    let mut ends = Vec::new();
    let mut waiting = Vec::new();
    let mut trouble = None;
    for arrival in blocking("reading events", read).await? {
        match arrival {
            Arrival::Gone => {}
            Arrival::Stays(cause) => trouble = Some(Trouble::Disk { doing: "reading an event", cause }),
            Arrival::Unfit(name, reason) => ends.push(End::Bad(name, reason)),
            Arrival::Event(name, delivery) => {
                let faults = delivery.reading.as_ref().err().map(ToString::to_string);
                waiting.push((name, faults, front.submit(*delivery).await?));
            }
        }
    }
    for (name, faults, ticket) in waiting {
        ends.push(end(name, faults, ticket).await?);
    }
    let folder = folder.clone();
    blocking("clearing events away", move || clear(&folder, ends)).await?;
    trouble.map_or(Ok(()), Err)
}

/// A name in `new/`, read.
enum Arrival {
    Event(OsString, Box<Delivery>),
    Unfit(OsString, String),
    Gone,
    /// The disk failed: tried again at the next look, and stops no other file.
    Stays(io::Error),
}

/// What is to be done with a name in `new/`.
enum End {
    Taken(OsString),
    Bad(OsString, String),
}

fn arrival(folder: &Folder, name: OsString, rules: &Rules) -> Arrival {
    let found = match folder.open(&name) {
        Ok(found) => found,
        Err(cause) => return Arrival::Stays(cause),
    };
    match (found, encoding(&name)) {
        (Found::Gone, _) => Arrival::Gone,
        (Found::Unfit(reason), _) => Arrival::Unfit(name, format!("unreadable: the file {reason}")),
        (Found::Event(_), None) => {
            Arrival::Unfit(name, "unknown_content_type: the name must end in .json or .pb".to_owned())
        }
        (Found::Event(body), Some(encoding)) => {
            let delivery = Delivery::read(Origin::Spool, encoding.content_type(), body, rules, clock::now());
            Arrival::Event(name, Box::new(delivery))
        }
    }
}

fn encoding(name: &OsStr) -> Option<Encoding> {
    let extension = Path::new(name).extension()?;
    [Encoding::Json, Encoding::Protobuf].into_iter().find(|e| extension == e.extension())
}

async fn end(name: OsString, faults: Option<String>, ticket: Ticket) -> Result<End, FrontClosed> {
    Ok(match ticket.await? {
        Taken::Accepted | Taken::Duplicate => End::Taken(name),
        Taken::Quarantined { reason } => End::Bad(name, faults.unwrap_or(reason)),
    })
}

/// Does what can be done with each, and reports the first that could not.
fn clear(folder: &Folder, ends: Vec<End>) -> io::Result<()> {
    let mut bad = 0;
    let outcomes: Vec<io::Result<()>> = ends
        .into_iter()
        .map(|end| match end {
            End::Taken(name) => folder.remove(&name),
            End::Bad(name, reason) => {
                bad += 1;
                folder.condemn(&name, &reason)
            }
        })
        .collect();
    if bad > 0 {
        // Names are the publisher's and may say too much; the reason lies beside each file.
        warn!(files = bad, "files that are no events were moved to bad/");
    }
    outcomes.into_iter().collect()
}

async fn blocking<T: Send + 'static>(
    doing: &'static str,
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Trouble> {
    match tokio::task::spawn_blocking(act).await {
        Ok(done) => done.map_err(|cause| Trouble::Disk { doing, cause }),
        Err(join) => Err(Trouble::Disk { doing, cause: io::Error::other(join) }),
    }
}
