//! Append-only files shared by small records, synced once for all that are waiting: one thread appends, syncs, and
//! only then answers.
//!
//! What is appended is sealed already. Nothing here is ever overwritten.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

/// A new file after this many bytes, so that a file can one day be dropped whole.
const ROTATE_AT: u64 = 64 << 20;
/// Records synced together.
const BATCH: usize = 256;
/// While records come together, how long a batch waits for more: several times what a sync costs, a hundredth of what a
/// transfer takes.
const LINGER: Duration = Duration::from_millis(4);
/// Records that may wait: as many as the engine may have under way.
const QUEUE: usize = 1024;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The file's number.
    pub segment: u64,
    /// Where in the file.
    pub offset: u64,
}

type Waiting = (Vec<u8>, oneshot::Sender<std::io::Result<Place>>);

/// Hands records to the appending thread. Dropping the last one ends it.
#[derive(Clone)]
pub struct Appender {
    records: mpsc::Sender<Waiting>,
}

/// The file of a segment.
pub fn file_name(segment: u64) -> String {
    format!("{segment:016x}.seg")
}

impl Appender {
    /// Starts a segment of its own after the last one there is, so that a tail torn by a crash is never appended to.
    pub fn start(folder: &Path) -> std::io::Result<Self> {
        let mut next = 0;
        for entry in std::fs::read_dir(folder)? {
            let name = entry?.file_name();
            let number = name
                .to_str()
                .and_then(|n| n.strip_suffix(".seg"))
                .and_then(|n| u64::from_str_radix(n, 16).ok());
            next = next.max(number.map_or(0, |n| n + 1));
        }
        let (records, incoming) = mpsc::channel(QUEUE);
        let folder = folder.to_owned();
        std::thread::Builder::new()
            .name("vault".to_owned())
            .spawn(move || append(&folder, next, incoming))?;
        Ok(Self { records })
    }

    /// Appends; durable when it returns.
    pub async fn append(&self, sealed: Vec<u8>) -> std::io::Result<Place> {
        let (reply, answer) = oneshot::channel();
        let gone = || std::io::Error::other("the vault's thread has stopped");
        self.records.send((sealed, reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn append(folder: &Path, mut next: u64, mut incoming: mpsc::Receiver<Waiting>) {
    let mut open: Option<Segment> = None;
    let mut batch = Vec::new();
    let mut busy = false;
    while incoming.blocking_recv_many(&mut batch, BATCH) > 0 {
        if busy {
            std::thread::sleep(LINGER);
            while batch.len() < BATCH
                && let Ok(one) = incoming.try_recv()
            {
                batch.push(one);
            }
        }
        // Whoever comes alone does not wait.
        busy = batch.len() > 1;
        let result = Segment::current(&mut open, folder, &mut next).and_then(|segment| segment.write(&batch));
        match result {
            Ok(places) => {
                for ((_, reply), place) in batch.drain(..).zip(places) {
                    // Whoever asked may have gone.
                    let _ = reply.send(Ok(place));
                }
            }
            Err(error) => {
                // What reached the file is not known: the next batch begins a new one.
                open = None;
                for (_, reply) in batch.drain(..) {
                    let each = match error.raw_os_error() {
                        Some(code) => std::io::Error::from_raw_os_error(code),
                        None => std::io::Error::new(error.kind(), error.to_string()),
                    };
                    let _ = reply.send(Err(each));
                }
            }
        }
    }
}

struct Segment {
    number: u64,
    file: File,
    length: u64,
}

impl Segment {
    fn current<'s>(
        open: &'s mut Option<Self>,
        folder: &Path,
        next: &mut u64,
    ) -> std::io::Result<&'s mut Self> {
        if open.as_ref().is_none_or(|s| s.length >= ROTATE_AT) {
            let number = *next;
            // Counted first: a file that was made but could not be synced is not tried again.
            *next += 1;
            let file = File::options().append(true).create_new(true).open(folder.join(file_name(number)))?;
            super::folder::sync(folder)?;
            *open = Some(Self { number, file, length: 0 });
        }
        Ok(open.as_mut().expect("a segment was just opened if there was none"))
    }

    fn write(&mut self, batch: &[Waiting]) -> std::io::Result<Vec<Place>> {
        let mut places = Vec::with_capacity(batch.len());
        let mut bytes = Vec::with_capacity(batch.iter().map(|(r, _)| r.len()).sum());
        for (record, _) in batch {
            places.push(Place { segment: self.number, offset: self.length + bytes.len() as u64 });
            bytes.extend_from_slice(record);
        }
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        Ok(places)
    }
}
