//! The command line's end of the operators' socket. Blocking: a command asks one thing and waits.
//!
//! What is printed is not decided here.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Envelope, MAX_REPLY, Refusal, Reply, Request};

/// How long an answer may take: the slowest is a commit behind a full queue, on a slow disk a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    lines: BufReader<UnixStream>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or we may not.
    #[error("{}", unreachable(socket, cause))]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said; part of the words above, which end with what to do.
        cause: io::Error,
    },
    /// The daemon went away or fell silent while we waited.
    #[error("the daemon did not answer to the end: {0}\nSee its log: journalctl -u throughcare")]
    Broken(io::Error),
    /// The daemon said something this version does not know.
    #[error(
        "the daemon's answer cannot be read: {0}\nRestart it after an upgrade: systemctl restart throughcare"
    )]
    NotUnderstood(serde_json::Error),
    /// The daemon refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

fn unreachable(socket: &Path, cause: &io::Error) -> String {
    let socket = socket.display();
    match cause.kind() {
        io::ErrorKind::PermissionDenied => {
            format!(
                "you may not use {socket}\nAsk to be made a member of its group: usermod -aG throughcare NAME"
            )
        }
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            format!(
                "no daemon answers on {socket}\nStart it with `systemctl start throughcare`, or name its socket with --socket."
            )
        }
        _ => format!("the daemon cannot be reached on {socket}: {cause}"),
    }
}

impl Client {
    /// Connects to the daemon's socket.
    pub fn connect(socket: &Path) -> Result<Self, ClientError> {
        let failed = |cause| ClientError::Unreachable { socket: socket.to_owned(), cause };
        let stream = UnixStream::connect(socket).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        Ok(Self { lines: BufReader::new(stream) })
    }

    /// Asks, and takes the one line that answers. A refusal is an error.
    pub fn ask(&mut self, request: Request) -> Result<Reply, ClientError> {
        self.send(request)?;
        self.next_line()
    }

    /// Asks without waiting; the lines follow from [`next_line`](Self::next_line).
    pub fn send(&mut self, request: Request) -> Result<(), ClientError> {
        let envelope = Envelope { version: env!("CARGO_PKG_VERSION").to_owned(), request };
        let mut line = serde_json::to_vec(&envelope).map_err(ClientError::NotUnderstood)?;
        line.push(b'\n');
        self.lines.get_mut().write_all(&line).map_err(ClientError::Broken)
    }

    /// The next line of an answer. A refusal is an error.
    pub fn next_line(&mut self) -> Result<Reply, ClientError> {
        let mut line = Vec::new();
        let most = u64::try_from(MAX_REPLY).unwrap_or(u64::MAX) + 1;
        (&mut self.lines).take(most).read_until(b'\n', &mut line).map_err(ClientError::Broken)?;
        if line.last() != Some(&b'\n') {
            return Err(ClientError::Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        match serde_json::from_slice(&line).map_err(ClientError::NotUnderstood)? {
            Reply::Refused(refusal) => Err(refusal.into()),
            reply => Ok(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::control::protocol::RefusalKind;
    use crate::control::server::{self, Peer, Replies};
    use crate::control::views::Exported;

    /// Says who asks and what; answers an export line by line.
    async fn parrot(request: Request, peer: Peer, replies: Replies) {
        if request == Request::Export {
            for n in 0..200 {
                if replies.send(Reply::Line(format!("{n}"))).await.is_err() {
                    return;
                }
            }
            let _gone = replies.send(Reply::Exported(Exported { lines: 200 })).await;
            return;
        }
        let words = format!("uid {} asked {request:?}", peer.uid);
        let refusal = Refusal::new(RefusalKind::NotFound, words, "next");
        let _gone = replies.send(Reply::Refused(refusal)).await;
    }

    fn served(folder: &Path) -> PathBuf {
        let socket = folder.join("control.sock");
        let path = socket.clone();
        let (ready, wait) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = server::bind(&path, None).unwrap();
                ready.send(()).unwrap();
                server::serve(listener, parrot).await;
            });
        });
        wait.recv().unwrap();
        socket
    }

    #[test]
    fn a_question_is_answered_and_the_kernel_says_who_asked() {
        let folder = tempfile::tempdir().unwrap();
        let socket = served(folder.path());
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660, "the socket is for its owner and its group");
        let mut client = Client::connect(&socket).unwrap();
        let me = rustix::process::getuid().as_raw();
        for _ in 0..2 {
            let error = client.ask(Request::Status).unwrap_err().to_string();
            assert!(error.contains(&format!("uid {me} asked Status")), "{error}");
        }
        client.send(Request::Export).unwrap();
        let mut lines = 0;
        while let Reply::Line(_) = client.next_line().unwrap() {
            lines += 1;
        }
        assert_eq!(lines, 200, "a stream arrives whole");
    }

    #[test]
    fn nonsense_and_too_much_are_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let socket = served(folder.path());
        for (line, expected) in [
            ("{\"ask\":\"everything\"}\n".to_owned(), "no question"),
            ("{\"version\":\"0.0.0\",\"ask\":\"status\"}\n".to_owned(), "version 0.0.0"),
            ("x".repeat(crate::control::protocol::MAX_REQUEST + 1), "longer than 256 KiB"),
        ] {
            let mut client = Client::connect(&socket).unwrap();
            client.lines.get_mut().write_all(line.as_bytes()).unwrap();
            let error = client.next_line().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_second_daemon_does_not_take_the_socket_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let socket = served(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _guard = runtime.enter();
        assert!(matches!(server::bind(&socket, None), Err(server::BindError::InUse(_))));
        let stale = folder.path().join("stale.sock");
        drop(server::bind(&stale, None).unwrap());
        server::bind(&stale, None).expect("a socket nobody listens on is replaced");
        assert!(matches!(
            server::bind(&stale.with_file_name("g"), Some("no-such-group")),
            Err(server::BindError::NoGroup(_))
        ));
    }

    #[test]
    fn a_daemon_that_is_not_there_is_said_with_what_to_do() {
        let error = Client::connect(Path::new("/nonexistent/control.sock")).unwrap_err().to_string();
        assert!(error.contains("systemctl start throughcare") && error.contains("--socket"), "{error}");
    }
}
