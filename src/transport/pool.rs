//! Connections kept for reuse, one lane a party, so that one party's failure never delays another.
//!
//! A connection is reused only for the same address under the very same TLS configuration; those made under an
//! older one are dropped when they come back, which is how certificates change without a restart.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::Observation;
use super::https::TransportLimits;
use crate::directory::Endpoint;
use crate::model::PartyKey;

/// A party's connections and its turns.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) turns: Arc<Semaphore>,
    most: usize,
    idle: Mutex<Vec<(Connection, Instant)>>,
    opened: AtomicU64,
}

/// A lane as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LaneStatus {
    /// Whose it is.
    pub party: PartyKey,
    /// Requests in flight.
    pub in_flight: usize,
    /// Connections kept for reuse.
    pub idle: usize,
    /// Connections opened since the start.
    pub opened: u64,
}

impl Lane {
    pub(super) fn new(most: usize) -> Self {
        let turns = Arc::new(Semaphore::new(most));
        Self { turns, most, idle: Mutex::new(Vec::new()), opened: AtomicU64::new(0) }
    }

    pub(super) fn count_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self, party: &PartyKey) -> LaneStatus {
        LaneStatus {
            party: party.clone(),
            in_flight: self.most.saturating_sub(self.turns.available_permits()),
            idle: self.idle().len(),
            opened: self.opened.load(Ordering::Relaxed),
        }
    }

    /// The most recently used connection that still answers the description.
    pub(super) async fn take(
        &self,
        endpoint: &Endpoint,
        config: &Arc<ClientConfig>,
        idle: Duration,
    ) -> Option<Connection> {
        loop {
            let mut found = self.pop(endpoint, config, idle)?;
            // Ready at once, unless the other end closed it or is still swallowing an earlier request.
            if let Ok(Ok(())) = timeout(Duration::from_secs(1), found.sender.ready()).await {
                return Some(found);
            }
        }
    }

    fn pop(&self, endpoint: &Endpoint, config: &Arc<ClientConfig>, idle: Duration) -> Option<Connection> {
        let mut kept = self.idle();
        kept.retain(|(c, since)| usable(c, *since, idle) && Arc::ptr_eq(&c.config, config));
        let index = kept.iter().rposition(|(c, _)| c.endpoint == *endpoint)?;
        Some(kept.swap_remove(index).0)
    }

    pub(super) fn give_back(&self, connection: Connection, idle: Duration) {
        let mut kept = self.idle();
        kept.retain(|(c, since)| usable(c, *since, idle));
        if !connection.sender.is_closed() && kept.len() < self.most {
            kept.push((connection, crate::clock::instant()));
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn usable(connection: &Connection, since: Instant, idle: Duration) -> bool {
    !connection.sender.is_closed() && since.elapsed() < idle
}

/// One HTTP/1.1 connection over TLS.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<Once>,
    endpoint: Endpoint,
    config: Arc<ClientConfig>,
}

impl Connection {
    /// Connects, shakes hands, and starts the connection's own task.
    pub(super) async fn open(
        endpoint: &Endpoint,
        server_name: &str,
        config: Arc<ClientConfig>,
        limits: &TransportLimits,
    ) -> Result<Self, Observation> {
        let unreachable = |why: String| Observation::Unreachable { why };
        let name = ServerName::try_from(server_name.to_owned()).map_err(|e| unreachable(e.to_string()))?;
        let address = (endpoint.host(), endpoint.port());
        let tcp = match timeout(limits.connect, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(error)) => return Err(unreachable(format!("connecting: {error}"))),
            Err(_) => return Err(unreachable("connecting took too long".to_owned())),
        };
        // Without it a small write waits for the acknowledgement of the one before (limits reference, fact 10).
        tcp.set_nodelay(true).map_err(|e| unreachable(e.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(config.clone());
        let tls = match timeout(limits.handshake, connector.connect(name, tcp)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return Err(handshake_fault(&error)),
            Err(_) => return Err(unreachable("the TLS handshake took too long".to_owned())),
        };
        let io = TokioIo::new(Wire { tls });
        let shaken = http1::Builder::new().max_buf_size(128 * 1024).handshake::<_, Once>(io).await;
        let (sender, driver) = shaken.map_err(|e| fault(&e))?;
        // Its end, good or bad, is told to whoever is waiting on `sender`.
        tokio::spawn(async move { drop(driver.await) });
        Ok(Self { sender, endpoint: endpoint.clone(), config })
    }
}

/// The TLS stream, with one correction: when writing fails, the alert that says why is read before giving up. A
/// TLS 1.3 server refuses our certificate only after we believe the handshake done.
struct Wire {
    tls: TlsStream<TcpStream>,
}

impl Wire {
    fn rescue(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        let mut scratch = [0u8; 1024];
        match Pin::new(&mut self.tls).poll_read(cx, &mut ReadBuf::new(&mut scratch)) {
            Poll::Ready(Err(alert)) if alert_of(&alert).is_some() => alert,
            Poll::Ready(_) | Poll::Pending => error,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tls).poll_write(cx, buf);
        written.map_err(|e| self.rescue(cx, e))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.tls).poll_flush(cx);
        flushed.map_err(|e| self.rescue(cx, e))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

/// A body given out once, which notes that it was: from then on the message's fate is not known to be "nothing
/// sent".
#[derive(Debug)]
pub(super) struct Once {
    octets: Option<Bytes>,
    begun: Arc<AtomicBool>,
}

impl Once {
    pub(super) fn new(octets: Bytes, begun: Arc<AtomicBool>) -> Self {
        Self { octets: Some(octets), begun }
    }
}

impl Body for Once {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.begun.store(true, Ordering::Release);
        Poll::Ready(self.octets.take().map(|octets| Ok(Frame::data(octets))))
    }

    fn is_end_stream(&self) -> bool {
        self.octets.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.octets.as_ref().map_or(0, |o| o.len() as u64))
    }
}

fn handshake_fault(error: &io::Error) -> Observation {
    let why = format!("TLS handshake: {error}");
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Observation::TlsIdentity { why }
        }
        Some(rustls::Error::AlertReceived(alert)) if refuses_identity(*alert) => {
            Observation::TlsIdentity { why }
        }
        Some(_) | None => Observation::Unreachable { why },
    }
}

/// What an error after the handshake means: the other end refused our certificate after all, or the connection
/// broke.
pub(super) fn fault(error: &hyper::Error) -> Observation {
    let first: &(dyn std::error::Error + 'static) = error;
    let chain = std::iter::successors(Some(first), |e| e.source());
    let why = chain.clone().map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let refused = chain
        .filter_map(|e| e.downcast_ref::<io::Error>())
        .any(|e| alert_of(e).is_some_and(refuses_identity));
    if refused { Observation::TlsIdentity { why } } else { Observation::Broken { why } }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

fn alert_of(error: &io::Error) -> Option<AlertDescription> {
    match tls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) => Some(*alert),
        Some(_) | None => None,
    }
}

fn refuses_identity(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
            | AlertDescription::DecryptError
    )
}
