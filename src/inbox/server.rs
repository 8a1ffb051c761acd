//! The HTTPS server: mutual TLS, one path or several, whole requests within limits, and nothing about messages.
//!
//! What a request means and what is answered is the [`Desk`]'s; here it is only read whole or turned away. A
//! caller is known by its certificate before its first octet is looked at.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::room::Room;
use crate::directory::{DirectoryHandle, Fingerprint, Peer};
use crate::model::{PartyKey, Timestamp};
use crate::transport::{NotTheirs, Tls};

/// How much the server takes from outside, and how long it waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxLimits {
    /// Connections at once, those still shaking hands included. A hub alone may keep a few hundred.
    pub connections: usize,
    /// For the TLS handshake; a connection that never begins it is gone after this.
    pub handshake: Duration,
    /// From one request to the whole header of the next: so also how long an unused connection is kept.
    pub header: Duration,
    /// The header's size.
    pub header_bytes: usize,
    /// The body's size: 5 MB is the protocol's limit, with room for a peer that counts differently.
    pub body_bytes: u64,
    /// For the whole body.
    pub body: Duration,
    /// Between two pieces of the body.
    pub body_pause: Duration,
    /// All bodies being read or answered at once, in KiB: what bounds our memory. One certificate holds a quarter.
    pub bodies_kib: u32,
    /// How long requests under way may take to end once we stop.
    pub grace: Duration,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(60),
            header_bytes: 32 * 1024,
            body_bytes: 5 * 1024 * 1024 + 256 * 1024,
            body: Duration::from_secs(120),
            body_pause: Duration::from_secs(20),
            bodies_kib: 256 * 1024,
            grace: Duration::from_secs(20),
        }
    }
}

/// How long a request waits for room: longer and its sender had better come again.
const FOR_ROOM: Duration = Duration::from_secs(5);

/// Where arrivals are decided. The server calls it with whole requests only.
pub trait Desk: Send + Sync + 'static {
    /// Decides what is answered. Whatever has to be durable is so before this returns.
    fn take(&self, posted: Posted) -> impl Future<Output = HttpAnswer> + Send;
}

/// A whole request.
#[derive(Debug)]
pub struct Posted {
    /// Who is at the other end of the connection.
    pub caller: Arc<Caller>,
    /// The Content-Type line, empty when there was none.
    pub content_type: String,
    /// The SOAPAction line, for the log only: it never routes (wire reference §1.1).
    pub soap_action: String,
    /// The body.
    pub body: Bytes,
    /// The path it was posted to.
    pub path: String,
}

/// What is answered. With a body, the Content-Type is `text/xml` without parameter: a known handler fails on any
/// (wire reference §1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The body, or nothing.
    pub body: Vec<u8>,
    /// Seconds after which to come again.
    pub retry_after: Option<u32>,
}

impl HttpAnswer {
    /// A status alone.
    pub fn empty(status: u16) -> Self {
        Self { status, body: Vec::new(), retry_after: None }
    }

    /// A status with an XML body.
    pub fn xml(status: u16, body: Vec<u8>) -> Self {
        Self { status, body, retry_after: None }
    }

    /// 503: nothing was kept, come again.
    pub fn busy(seconds: u32) -> Self {
        Self { status: 503, body: Vec::new(), retry_after: Some(seconds) }
    }
}

/// The other end of one connection, known by its certificate.
#[derive(Debug)]
pub struct Caller {
    chain: Vec<CertificateDer<'static>>,
    address: SocketAddr,
    /// The parties it was found to speak for, and under which directory: the check costs as much as a handshake.
    known_as: Mutex<HashMap<PartyKey, Option<Fingerprint>>>,
}

impl Caller {
    /// SHA-256 of the certificate it showed.
    pub fn certificate(&self) -> Option<Fingerprint> {
        self.chain.first().map(|leaf| Fingerprint::of(leaf))
    }

    /// Where it called from.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether its certificate may speak for this party under this version of the directory.
    pub fn speaks_for(
        &self,
        tls: &Tls,
        peer: &Peer,
        directory: Option<Fingerprint>,
        now: Timestamp,
    ) -> Result<(), NotTheirs> {
        let mut known_as = self.known_as.lock().unwrap_or_else(PoisonError::into_inner);
        let party = &peer.address.party_key;
        if known_as.get(party) != Some(&directory) {
            tls.speaks_for(&self.chain, peer, now)?;
            // No more than the directory has parties: only those that pass are kept.
            known_as.insert(party.clone(), directory);
        }
        Ok(())
    }
}

/// A server that is bound and not yet serving.
#[derive(Debug)]
pub struct Inbox<D> {
    listener: TcpListener,
    shared: Arc<Shared<D>>,
}

#[derive(Debug)]
struct Shared<D> {
    tls: Tls,
    directory: DirectoryHandle,
    paths: Vec<String>,
    limits: InboxLimits,
    bodies: Room,
    desk: D,
}

impl<D: Desk> Inbox<D> {
    /// Takes the address. Requests to other paths than `paths` are answered 404.
    pub async fn bind(
        address: SocketAddr,
        paths: Vec<String>,
        tls: Tls,
        directory: DirectoryHandle,
        desk: D,
        limits: InboxLimits,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let body_kib = u32::try_from(limits.body_bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let bodies = Room::new(limits.bodies_kib, body_kib, FOR_ROOM);
        Ok(Self { listener, shared: Arc::new(Shared { tls, directory, paths, limits, bodies, desk }) })
    }

    /// The address taken, for a port the system chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes, then lets requests under way end, for the stated grace.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let (stopping, stopped) = watch::channel(());
        let places = Arc::new(Semaphore::new(self.shared.limits.connections));
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            let accept = async {
                // A closed semaphore cannot be: nobody closes it.
                let place = places.clone().acquire_owned().await.ok();
                (self.listener.accept().await, place)
            };
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                (accepted, place) = accept => match accepted {
                    Ok((tcp, address)) => {
                        let connection = connection(self.shared.clone(), tcp, address, stopped.clone(), place);
                        connections.spawn(connection);
                    }
                    // Out of descriptors, or a caller gone before it was accepted: neither is the listener's end.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
            }
        }
        drop(self.listener);
        drop(stopping);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(self.shared.limits.grace, all_ended).await.is_err() {
            tracing::warn!("requests under way were cut off: their senders will send them again");
        }
    }
}

async fn connection<D: Desk>(
    shared: Arc<Shared<D>>,
    tcp: TcpStream,
    address: SocketAddr,
    mut stopped: watch::Receiver<()>,
    _place: Option<OwnedSemaphorePermit>,
) {
    let config = match shared.tls.server_config(&shared.directory.current()) {
        Ok(config) => config,
        Err(error) => return tracing::error!(%error, "the inbox cannot shake hands"),
    };
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let tls = match timeout(shared.limits.handshake, acceptor.accept(tcp).into_fallible()).await {
        Ok(Ok(tls)) => tls,
        Ok(Err((error, tcp))) => {
            tracing::info!(%address, %error, "a connection was turned away");
            return linger(tcp).await;
        }
        Err(_) => return,
    };
    let chain = tls.get_ref().1.peer_certificates().unwrap_or_default().iter();
    let chain = chain.map(|c| c.clone().into_owned()).collect();
    let caller = Arc::new(Caller { chain, address, known_as: Mutex::default() });
    let limits = &shared.limits;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header);
    http.max_header_size(limits.header_bytes).max_buf_size(128 * 1024);
    let service = service_fn(|request| respond(&shared, &caller, request));
    let serving = http.serve_connection(TokioIo::new(tls), service);
    tokio::pin!(serving);
    // Errors are the caller's: it went away, or sent what is no HTTP. It learns so from the closed connection.
    tokio::select! {
        ended = &mut serving => drop(ended),
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            drop(serving.await);
        }
    }
}

/// Reads away what a refused caller is still sending, so that the alert telling it why is not lost to a reset.
async fn linger(mut tcp: TcpStream) {
    let drain = async {
        tcp.shutdown().await?;
        let mut scratch = [0; 4096];
        for _ in 0..64 {
            if tcp.read(&mut scratch).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    drop(timeout(Duration::from_secs(1), drain).await);
}

async fn respond<D: Desk>(
    shared: &Shared<D>,
    caller: &Arc<Caller>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let answer = match take(shared, caller, request).await {
        Ok(answer) => return Ok(response(answer, false)),
        Err(turned_away) => turned_away,
    };
    // What is left of the request is not ours to read: the connection ends with this answer.
    Ok(response(answer, true))
}

async fn take<D: Desk>(
    shared: &Shared<D>,
    caller: &Arc<Caller>,
    request: Request<Incoming>,
) -> Result<HttpAnswer, HttpAnswer> {
    let (head, mut body) = request.into_parts();
    let path = head.uri.path().to_owned();
    if !shared.paths.contains(&path) {
        return Err(HttpAnswer::empty(404));
    }
    if head.method != Method::POST {
        return Err(HttpAnswer::empty(405));
    }
    let limits = &shared.limits;
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > limits.body_bytes) {
        discard(&mut body, limits).await;
        return Err(HttpAnswer::empty(413));
    }
    let kib = announced.unwrap_or(limits.body_bytes).div_ceil(1024);
    let room = shared.bodies.reserve(caller.certificate(), kib).await;
    let Some(_room) = room else { return Err(HttpAnswer::busy(5)) };
    let body = match timeout(limits.body, read(&mut body, announced, limits)).await {
        Ok(read) => read?,
        Err(_) => return Err(HttpAnswer::empty(408)),
    };
    let text = |name: &str| header_text(&head.headers, name);
    let (content_type, soap_action) = (text("content-type"), text("soapaction"));
    let posted = Posted { caller: caller.clone(), content_type, soap_action, body, path };
    Ok(shared.desk.take(posted).await)
}

async fn read(
    body: &mut Incoming,
    announced: Option<u64>,
    limits: &InboxLimits,
) -> Result<Bytes, HttpAnswer> {
    // Only memory already reserved; a length that is announced but never sent costs nothing but that.
    let mut octets = Vec::with_capacity(announced.map_or(0, |bytes| bytes.min(64 * 1024) as usize));
    loop {
        let frame = match timeout(limits.body_pause, body.frame()).await {
            Err(_) => return Err(HttpAnswer::empty(408)),
            Ok(None) => return Ok(Bytes::from(octets)),
            Ok(Some(Err(_))) => return Err(HttpAnswer::empty(400)),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(piece) = frame.into_data() else { continue };
        if (octets.len() + piece.len()) as u64 > limits.body_bytes {
            discard(body, limits).await;
            return Err(HttpAnswer::empty(413));
        }
        octets.extend_from_slice(&piece);
    }
}

/// Reads a body that is too large away, up to a few times the limit, so that the sender sees the 413 rather than
/// a reset connection and does not send it again.
async fn discard(body: &mut Incoming, limits: &InboxLimits) {
    let drain = async {
        let mut left = limits.body_bytes.saturating_mul(4);
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |d| d.len() as u64));
            if left == 0 {
                break;
            }
        }
    };
    drop(timeout(limits.body_pause, drain).await);
}

fn header_text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

fn response(answer: HttpAnswer, close: bool) -> Response<Full<Bytes>> {
    let has_body = !answer.body.is_empty();
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if has_body {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    }
    if let Some(seconds) = answer.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if answer.status == 405 {
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    if close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
