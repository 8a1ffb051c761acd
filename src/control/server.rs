//! The daemon's end of the operators' socket: who may connect, how much they may say, how long they may take.
//!
//! What a question means is not decided here: the caller gives a function that answers.

use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};

use super::protocol::{Envelope, MAX_REPLY, MAX_REQUEST, Refusal, RefusalKind, Reply, Request};

/// Operators and their scripts at once.
const MAX_CLIENTS: usize = 32;
/// Silence after which a client is let go; a client asks as soon as it has connected.
const IDLE: Duration = Duration::from_secs(30);
/// How long one line may take to be taken off our hands; a pager that nobody reads holds a place so long.
const WRITE_WITHIN: Duration = Duration::from_secs(60);
/// Lines of an export that may wait for a slow reader.
const LINES_AHEAD: usize = 64;

/// Who asks, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// User id at the other end.
    pub uid: u32,
}

/// Where an answer's lines go.
#[derive(Debug, Clone)]
pub struct Replies(mpsc::Sender<Reply>);

/// The operator has gone; there is nobody to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operator has gone")]
pub struct Gone;

impl Replies {
    /// Sends one line.
    pub async fn send(&self, reply: Reply) -> Result<(), Gone> {
        self.0.send(reply).await.map_err(|_| Gone)
    }

    /// Sends one line from a thread that may wait.
    pub fn blocking_send(&self, reply: Reply) -> Result<(), Gone> {
        self.0.blocking_send(reply).map_err(|_| Gone)
    }
}

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers there.
    #[error("another daemon already listens on {0}")]
    InUse(PathBuf),
    /// No such group.
    #[error("there is no group {0} in /etc/group (control.group)")]
    NoGroup(String),
    /// The file system refused.
    #[error("opening the operators' socket {path}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Opens the socket with mode 0660 and the group, in one step: nobody can connect before both are set.
pub fn bind(path: &Path, group: Option<&str>) -> Result<UnixListener, BindError> {
    let failed = |source| BindError::Io { path: path.to_owned(), source };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(BindError::InUse(path.to_owned()));
    }
    let gid = match group {
        Some(name) => Some(group_id(name).ok_or_else(|| BindError::NoGroup(name.to_owned()))?),
        None => None,
    };
    let made = path.with_extension("new");
    remove_stale(&made).map_err(failed)?;
    let listener = UnixListener::bind(&made).map_err(failed)?;
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    if gid.is_some() {
        std::os::unix::fs::chown(&made, None, gid).map_err(failed)?;
    }
    std::fs::rename(&made, path).map_err(failed)?;
    Ok(listener)
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A group's number: the number itself, or the one of its line in /etc/group.
fn group_id(name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// Serves operators for ever; ends when its task is dropped.
pub async fn serve<A, F>(listener: UnixListener, answer: A)
where
    A: Fn(Request, Peer, Replies) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let answer = Arc::new(answer);
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: others will finish.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tokio::spawn(turn_away(stream));
            continue;
        };
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            if let Err(e) = converse(stream, answer).await {
                tracing::debug!(error = %e, "an operator went away");
            }
            drop(place);
        });
    }
}

async fn turn_away(stream: UnixStream) {
    let busy =
        Refusal::new(RefusalKind::Busy, "32 operators are connected already", "Try again in a moment.");
    let (_, mut out) = stream.into_split();
    // Who is turned away and gone needs no answer.
    let _gone = write_line(&mut out, &Reply::Refused(busy)).await;
}

async fn converse<A, F>(stream: UnixStream, answer: Arc<A>) -> io::Result<()>
where
    A: Fn(Request, Peer, Replies) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let peer = Peer { uid: stream.peer_cred()?.uid() };
    let (read, mut out) = stream.into_split();
    let mut lines = BufReader::new(read);
    loop {
        let line = match tokio::time::timeout(IDLE, read_line(&mut lines)).await {
            Ok(line) => line?,
            Err(_) => return Ok(()),
        };
        let request = match line {
            Line::Text(text) => understand(&text),
            Line::End => return Ok(()),
            Line::TooLong => {
                let words = "the question is longer than 256 KiB";
                let refusal = Refusal::new(RefusalKind::NotUnderstood, words, "An event has at most 64 KiB.");
                return write_line(&mut out, &Reply::Refused(refusal)).await;
            }
        };
        match request {
            Ok(request) => {
                let (replies, lines) = mpsc::channel(LINES_AHEAD);
                // A task of its own: an answer begun is finished even when the operator goes away meanwhile.
                tokio::spawn(answer(request, peer, Replies(replies)));
                relay(&mut out, lines).await?;
            }
            Err(refusal) => write_line(&mut out, &Reply::Refused(refusal)).await?,
        }
    }
}

async fn relay(out: &mut OwnedWriteHalf, mut lines: mpsc::Receiver<Reply>) -> io::Result<()> {
    while let Some(reply) = lines.recv().await {
        write_line(out, &reply).await?;
    }
    Ok(())
}

enum Line {
    Text(Vec<u8>),
    TooLong,
    End,
}

async fn read_line<R: tokio::io::AsyncBufRead + Unpin>(lines: &mut R) -> io::Result<Line> {
    let most = u64::try_from(MAX_REQUEST).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    let read = lines.take(most + 1).read_until(b'\n', &mut text).await?;
    Ok(match (read, text.last()) {
        (0, _) => Line::End,
        (_, Some(b'\n')) => Line::Text(text),
        _ if read > MAX_REQUEST => Line::TooLong,
        // The last line may lack its end.
        _ => Line::Text(text),
    })
}

fn understand(line: &[u8]) -> Result<Request, Refusal> {
    let ours = env!("CARGO_PKG_VERSION");
    match serde_json::from_slice::<Envelope>(line) {
        Ok(envelope) if envelope.version == ours => Ok(envelope.request),
        Ok(envelope) => Err(Refusal::new(
            RefusalKind::NotUnderstood,
            format!("the command is of version {} and the daemon of version {ours}", envelope.version),
            "Restart the daemon after an upgrade: systemctl restart throughcare",
        )),
        Err(e) => Err(Refusal::new(
            RefusalKind::NotUnderstood,
            format!("the line is no question (column {})", e.column()),
            "Use the throughcare command of the daemon's version.",
        )),
    }
}

async fn write_line(out: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    if line.len() > MAX_REPLY {
        let refusal = Refusal::new(RefusalKind::Failed, "the answer is too long", "Narrow the selection.");
        line = serde_json::to_vec(&Reply::Refused(refusal))?;
    }
    line.push(b'\n');
    match tokio::time::timeout(WRITE_WITHIN, out.write_all(&line)).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
