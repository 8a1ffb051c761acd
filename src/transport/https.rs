//! One message to one party over HTTPS: post the octets, report what was observed.
//!
//! Nothing here judges: which observation means accepted, refused or try again is the table in `classify`. No
//! redirect is followed and no request is repeated, but for one case: a pooled connection found dead before any
//! octet of the message was given to it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::pool::{self, Connection, Lane, LaneStatus, Once};
use super::tls::Tls;
use super::{Observation, Reply};
use crate::directory::{DirectoryHandle, Endpoint, Party, PeerTls};
use crate::model::PartyKey;

/// How long and how much. The defaults are meant for everyone; tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportLimits {
    /// Requests in flight to one party; further ones wait their turn. 64 to 256 is where throughput peaked
    /// (limits reference §7).
    pub per_party: usize,
    /// Requests in flight to everyone: enough that sixteen parties may hang with all theirs.
    pub total: usize,
    /// For the name and the TCP connection.
    pub connect: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the first octet of the request to the status line: 5 MB take 40 s at 1 Mbit/s.
    pub first_byte: Duration,
    /// How long an unused connection is kept; below the 60 s many servers keep theirs.
    pub idle: Duration,
    /// The most of an answer's body that is read: an ebXML signal is a few kilobytes, a receipt over a hundred
    /// parts some 60 KB.
    pub answer_bytes: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            per_party: 64,
            total: 1024,
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(90),
            idle: Duration::from_secs(30),
            answer_bytes: 1024 * 1024,
        }
    }
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Whose connection it is: its TLS facts are taken from the directory in force when posting.
    pub party: PartyKey,
    /// The address.
    pub endpoint: Endpoint,
    /// Header lines this party wants beside ours.
    pub extra_headers: Vec<(String, String)>,
}

impl Route {
    /// The party's route for messages of `action`; none for a party that is no peer.
    pub fn to(party: &Party, action: &str) -> Option<Self> {
        let peer = party.peer()?;
        Some(Self {
            party: peer.address.party_key.clone(),
            endpoint: peer.endpoint(action).clone(),
            extra_headers: peer.extra_headers.clone(),
        })
    }
}

/// A message as HTTP carries it.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The Content-Type, with its parameters.
    pub content_type: String,
    /// Service and action, unquoted (wire reference §1.1).
    pub soap_action: String,
    /// The octets, the same at every attempt.
    pub body: Bytes,
}

/// Posts messages over pooled connections, one lane a party; clones share the lanes.
#[derive(Debug, Clone)]
pub struct Transport(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    tls: Tls,
    directory: DirectoryHandle,
    limits: TransportLimits,
    total: Arc<Semaphore>,
    lanes: Mutex<HashMap<PartyKey, Arc<Lane>>>,
}

impl Transport {
    /// Without any connection yet.
    pub fn new(tls: Tls, directory: DirectoryHandle, limits: TransportLimits) -> Self {
        let total = Arc::new(Semaphore::new(limits.total));
        Self(Arc::new(Shared { tls, directory, limits, total, lanes: Mutex::new(HashMap::new()) }))
    }

    /// Posts a message and waits for the answer, `deadline` at most, waiting for a free connection included.
    pub async fn post(&self, route: &Route, letter: &Letter, deadline: Duration) -> Observation {
        let begun = Arc::new(AtomicBool::new(false));
        match timeout(deadline, self.exchange(route, letter, &begun)).await {
            Ok(Ok(reply)) => Observation::Reply(reply),
            Ok(Err(failure)) => failure,
            Err(_) if begun.load(Ordering::Acquire) => broken("no answer before the deadline"),
            Err(_) => unreachable("nothing could be sent before the deadline"),
        }
    }

    /// For operators: the lanes in use, by party.
    pub fn status(&self) -> Vec<LaneStatus> {
        let mut lanes: Vec<_> = self.lanes().iter().map(|(party, lane)| lane.status(party)).collect();
        lanes.sort_by(|a, b| a.party.cmp(&b.party));
        lanes
    }

    async fn exchange(
        &self,
        route: &Route,
        letter: &Letter,
        begun: &Arc<AtomicBool>,
    ) -> Result<Reply, Observation> {
        let lane = self.lane(&route.party);
        let _permits = self.permits(&lane).await?;
        let tls = self.peer_tls(&route.party)?;
        let config = self.0.tls.client_config(&route.party, &tls).map_err(|e| unreachable(&e.to_string()))?;
        while let Some(pooled) = lane.take(&route.endpoint, &config, self.0.limits.idle).await {
            match self.send(&lane, pooled, request(route, letter, begun)?).await {
                Err(Failed::NothingSent) => {}
                Err(Failed::As(answer)) => return Err(answer),
                Ok(reply) => return Ok(reply),
            }
        }
        let server_name = tls.server_name.as_deref().unwrap_or(route.endpoint.host());
        let fresh = Connection::open(&route.endpoint, server_name, config, &self.0.limits).await?;
        lane.count_opened();
        self.send(&lane, fresh, request(route, letter, begun)?).await.map_err(|failed| match failed {
            Failed::NothingSent => unreachable("the connection closed before anything was sent"),
            Failed::As(answer) => answer,
        })
    }

    async fn send(&self, lane: &Lane, mut over: Connection, request: Request<Once>) -> Result<Reply, Failed> {
        let limits = &self.0.limits;
        let response = match timeout(limits.first_byte, over.sender.try_send_request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => {
                let kept = error.take_message().is_some();
                return Err(if kept { Failed::NothingSent } else { Failed::As(pool::fault(error.error())) });
            }
            Err(_) => return Err(Failed::As(broken("no status line in time"))),
        };
        let (head, body) = response.into_parts();
        let reply = read_reply(&head, body, limits.answer_bytes).await.map_err(Failed::As)?;
        lane.give_back(over, limits.idle);
        Ok(reply)
    }

    async fn permits(
        &self,
        lane: &Lane,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Observation> {
        // The party's own turn first: waiting for it must not hold a place that others could use.
        let own = lane.turns.clone().acquire_owned().await;
        let shared = self.0.total.clone().acquire_owned().await;
        own.and_then(|own| shared.map(|shared| (own, shared))).map_err(|_| unreachable("stopping"))
    }

    fn peer_tls(&self, party: &PartyKey) -> Result<PeerTls, Observation> {
        let directory = self.0.directory.current();
        let peer = directory.by_party_key(party).and_then(Party::peer);
        peer.map(|p| p.tls.clone()).ok_or_else(|| unreachable("the party is no longer in the directory"))
    }

    fn lane(&self, party: &PartyKey) -> Arc<Lane> {
        let mut lanes = self.lanes();
        lanes.entry(party.clone()).or_insert_with(|| Arc::new(Lane::new(self.0.limits.per_party))).clone()
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, HashMap<PartyKey, Arc<Lane>>> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a connection gave no reply.
enum Failed {
    /// It was dead already: another connection may be tried.
    NothingSent,
    /// This is what there is to report.
    As(Observation),
}

fn unreachable(why: &str) -> Observation {
    Observation::Unreachable { why: why.to_owned() }
}

fn broken(why: &str) -> Observation {
    Observation::Broken { why: why.to_owned() }
}

fn request(route: &Route, letter: &Letter, begun: &Arc<AtomicBool>) -> Result<Request<Once>, Observation> {
    let mut request = Request::new(Once::new(letter.body.clone(), begun.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = route.endpoint.path().parse().map_err(|_| unreachable("the path is not one"))?;
    let value =
        |text: &str| HeaderValue::try_from(text).map_err(|_| unreachable("a header cannot be written"));
    let headers = request.headers_mut();
    headers.insert(header::HOST, value(&route.endpoint.authority())?);
    headers.insert(HeaderName::from_static("soapaction"), value(&letter.soap_action)?);
    headers.insert(header::CONTENT_TYPE, value(&letter.content_type)?);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(letter.body.len()));
    for (name, text) in &route.extra_headers {
        let name =
            HeaderName::try_from(name.as_str()).map_err(|_| unreachable("a header cannot be written"))?;
        headers.insert(name, value(text)?);
    }
    Ok(request)
}

async fn read_reply(head: &Parts, mut body: Incoming, most: usize) -> Result<Reply, Observation> {
    let text = |name| head.headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned);
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| pool::fault(&e))?;
        let Ok(octets) = frame.into_data() else { continue };
        if bytes.len() + octets.len() > most {
            return Err(broken("the answer is longer than any answer can be"));
        }
        bytes.extend_from_slice(&octets);
    }
    Ok(Reply {
        status: head.status.as_u16(),
        content_type: text(header::CONTENT_TYPE),
        retry_after: text(header::RETRY_AFTER),
        body: bytes,
    })
}
