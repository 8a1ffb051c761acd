//! Health and metrics over a loopback port: three paths, one request a connection.
//!
//! Not a web server, and deliberately without the HTTP library: that one belongs to the inbox alone, which faces
//! practices. A probe sends one short GET; anything longer, slower or different is turned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Metrics;

/// Probes served at once: one scraper, one health check, and a person with curl.
const MAX_CLIENTS: usize = 8;
/// The head of a GET from a scraper is under 1 KB.
const MAX_HEAD: usize = 8 * 1024;
/// For the whole exchange; a loopback exchange takes less than a millisecond.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the daemon is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Opening the store, connecting.
    Starting = 0,
    /// At work.
    Ready = 1,
    /// At work, but events are not taken in: the broker is away or the disk is full.
    NotTaking = 2,
    /// Finishing what is in flight.
    Stopping = 3,
}

/// What probes are answered from.
pub struct Probe {
    metrics: Arc<Metrics>,
    phase: AtomicU8,
}

impl Probe {
    /// A daemon that has just begun to start.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, phase: AtomicU8::new(Phase::Starting as u8) }
    }

    /// Says where the daemon is now.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Where the daemon is now.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            2 => Phase::NotTaking,
            _ => Phase::Stopping,
        }
    }

    /// Status line, content type and body for one request line.
    fn answer(&self, request_line: &str) -> (&'static str, &'static str, String) {
        const TEXT: &str = "text/plain; charset=utf-8";
        let mut words = request_line.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        if method != "GET" {
            return ("405 Method Not Allowed", TEXT, "only GET\n".to_owned());
        }
        match path {
            // That an answer comes at all is the sign of life.
            "/health/live" => ("200 OK", TEXT, "alive\n".to_owned()),
            "/health/ready" => match self.phase() {
                Phase::Ready => ("200 OK", TEXT, "ready\n".to_owned()),
                Phase::Starting => ("503 Service Unavailable", TEXT, "starting\n".to_owned()),
                Phase::NotTaking => ("503 Service Unavailable", TEXT, "not taking events\n".to_owned()),
                Phase::Stopping => ("503 Service Unavailable", TEXT, "stopping\n".to_owned()),
            },
            "/metrics" => match self.metrics.text() {
                Ok(text) => ("200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", text),
                Err(_) => {
                    ("500 Internal Server Error", TEXT, "the figures could not be written\n".to_owned())
                }
            },
            _ => ("404 Not Found", TEXT, "there are /health/live, /health/ready and /metrics\n".to_owned()),
        }
    }
}

/// Answers probes for ever; ends when its task is dropped.
pub async fn serve(listener: TcpListener, probe: Arc<Probe>) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let probe = Arc::clone(&probe);
                tokio::spawn(async move {
                    // A probe that went away needs no answer.
                    let _gone = tokio::time::timeout(PATIENCE, exchange(stream, &probe)).await;
                    drop(place);
                });
            }
            // Out of file descriptors, most likely: others will finish.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn exchange(mut stream: TcpStream, probe: &Probe) -> std::io::Result<()> {
    let (status, kind, body) = match read_head(&mut stream).await? {
        Some(head) => probe.answer(head.lines().next().unwrap_or("")),
        None => ("431 Request Header Fields Too Large", "text/plain", "too much\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The head as text, or nothing when it is longer than any probe's.
async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<String>> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD {
            return Ok(None);
        }
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(request: &str, phase: Phase) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let probe = Arc::new(Probe::new(Arc::new(Metrics::new())));
        probe.enter(phase);
        let server = tokio::spawn(serve(listener, probe));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn health_tells_ready_from_not_ready() {
        let request = "GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n";
        assert!(ask(request, Phase::Ready).await.starts_with("HTTP/1.1 200 OK"));
        for phase in [Phase::Starting, Phase::NotTaking, Phase::Stopping] {
            assert!(ask(request, phase).await.starts_with("HTTP/1.1 503"), "{phase:?} is not ready");
        }
        assert!(ask("GET /health/live HTTP/1.0\r\n\r\n", Phase::Starting).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn metrics_are_served_and_everything_else_is_turned_away() {
        let metrics = ask("GET /metrics HTTP/1.1\r\n\r\n", Phase::Ready).await;
        assert!(
            metrics.contains("application/openmetrics-text") && metrics.ends_with("# EOF\n"),
            "{metrics}"
        );
        assert!(ask("GET /../etc/passwd HTTP/1.1\r\n\r\n", Phase::Ready).await.starts_with("HTTP/1.1 404"));
        assert!(ask("POST /metrics HTTP/1.1\r\n\r\n", Phase::Ready).await.starts_with("HTTP/1.1 405"));
        let long = format!("GET /{}", "x".repeat(MAX_HEAD - 5));
        assert!(ask(&long, Phase::Ready).await.starts_with("HTTP/1.1 431"), "a head has a limit");
    }
}
