//! RabbitMQ: events from a durable quorum queue, outcomes to a topic exchange.
//!
//! The client library can heal a connection but not a channel that the broker closed (limits reference, fact 6), and its
//! healing repeats a topology we may not be allowed to declare. So its recovery is off: any error drops the
//! channel, and the connection if that is gone too, and the way in is laid afresh.

mod consumer;
mod line;
mod publisher;
mod remover;
mod sender;
mod topology;

use std::fmt;

use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};

use super::contract::Encoding;

pub use consumer::consume;
pub use publisher::publish;
pub use remover::remove_topology;
pub use sender::publish_event;

/// How to use a broker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub url: BrokerUrl,
    /// Roots beside the system's, and our certificate, for `amqps`.
    pub tls: BrokerTls,
    /// The queue of events.
    pub queue: String,
    /// Where messages go that are no events; the queue of the same name keeps them when we declare the topology.
    pub dead_letters: String,
    /// The topic exchange of outcomes.
    pub outcomes: String,
    /// How outcomes are written.
    pub encoding: Encoding,
    /// Deliveries in flight, 1 to 65,535.
    pub prefetch: u16,
    /// Outcomes sent and not yet confirmed.
    pub window: usize,
    /// Whether we may create what is missing.
    pub topology: Topology,
}

/// Whether we may create queues and exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    /// Create what is missing.
    Declare,
    /// Only look whether it is there: it is somebody else's to make.
    Check,
}

impl Settings {
    /// A broker at `url`, with our names and figures.
    ///
    /// Prefetch 512 and a window of 256 are where throughput stops rising (limits reference §2); both bound what is repeated after a
    /// crash.
    pub fn new(url: BrokerUrl) -> Self {
        Self {
            url,
            tls: BrokerTls::default(),
            queue: "throughcare.events".to_owned(),
            dead_letters: "throughcare.dead-letters".to_owned(),
            outcomes: "throughcare.outcomes".to_owned(),
            encoding: Encoding::Json,
            prefetch: 512,
            window: 256,
            topology: Topology::Check,
        }
    }
}

/// `amqp://user:password@host:5672/vhost` or `amqps://…`: prints without the credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl(lapin::uri::AMQPUri);

/// Not a URL of a broker. The text is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a broker URL must be like amqp://user:password@host:5672/%2f or amqps://…")]
pub struct InvalidBrokerUrl;

impl BrokerUrl {
    /// Reads the URL.
    pub fn parse(text: &str) -> Result<Self, InvalidBrokerUrl> {
        text.parse().map(Self).map_err(|_| InvalidBrokerUrl)
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.0.authority;
        write!(f, "{}://{}:{}/{}", self.0.scheme, authority.host, authority.port, self.0.vhost)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerUrl({self})")
    }
}

/// Certificates for `amqps`, as PEM.
#[derive(Clone, Default)]
pub struct BrokerTls {
    /// Roots beside the system's.
    pub roots: Option<String>,
    /// Our certificate chain and its key, where the broker wants one.
    pub identity: Option<(String, String)>,
}

impl BrokerTls {
    fn config(&self) -> OwnedTLSConfig {
        let identity = self.identity.as_ref().map(|(chain, key)| OwnedIdentity::PKCS8 {
            pem: chain.clone().into_bytes(),
            key: key.clone().into_bytes(),
        });
        OwnedTLSConfig { identity, cert_chain: self.roots.clone() }
    }
}

impl fmt::Debug for BrokerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerTls(masked)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_url_prints_without_its_password() {
        let url = BrokerUrl::parse("amqp://custody:s3cret@broker.example:5673/%2f").unwrap();
        assert_eq!(url.to_string(), "amqp://broker.example:5673//");
        assert!(!format!("{url:?}").contains("s3cret"));
        let refused = BrokerUrl::parse("http://custody:s3cret@broker.example").unwrap_err();
        assert!(!refused.to_string().contains("s3cret"));
    }
}
