//! An HTTPS address, checked when it is read: scheme, host, port and path, and nothing else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a party takes requests.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

/// Why a text is not such an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a URL must be https://HOST[:PORT]/PATH: {0}")]
pub struct InvalidEndpoint(&'static str);

impl Endpoint {
    /// Reads `https://host[:port][/path]`. User names, fragments and other schemes are refused: the first would
    /// be a secret in a file that is no place for one, the others would never be sent.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpoint> {
        let refuse = |why| Err(InvalidEndpoint(why));
        if text.len() > 2048 {
            return refuse("longer than 2048 characters");
        }
        let Ok(uri) = text.trim().parse::<hyper::Uri>() else { return refuse("not a URL") };
        if uri.scheme_str() != Some("https") {
            return refuse("the scheme must be https, since every exchange is over mutual TLS");
        }
        let Some(authority) = uri.authority() else { return refuse("no host") };
        if authority.as_str().contains('@') {
            return refuse("a user name has no place here");
        }
        if text.contains('#') {
            return refuse("a fragment is never sent");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if rustls::pki_types::ServerName::try_from(host.as_str()).is_err() {
            return refuse("the host is neither a DNS name nor an IP address");
        }
        let port = match (authority.port_u16(), authority.as_str().rsplit_once(':')) {
            (Some(0), _) => return refuse("port 0 cannot be reached"),
            (Some(port), _) => port,
            (None, Some((_, digits))) if !digits.ends_with(']') => return refuse("the port is not a number"),
            (None, _) => 443,
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Ok(Self { host, port, path })
    }

    /// The host, lower case, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, beginning with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `host:port` as the Host header carries it.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 443 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(text: String) -> Result<Self, InvalidEndpoint> {
        Self::parse(&text)
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> String {
        endpoint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_https_address_is_taken_apart() {
        let given = Endpoint::parse("https://MHS.example.nhs.uk:8443/reliablemessaging?a=1").unwrap();
        assert_eq!(
            (given.host(), given.port(), given.path()),
            ("mhs.example.nhs.uk", 8443, "/reliablemessaging?a=1")
        );
        assert_eq!(given.authority(), "mhs.example.nhs.uk:8443");
        let bare = Endpoint::parse("https://[::1]").unwrap();
        assert_eq!((bare.host(), bare.port(), bare.path()), ("::1", 443, "/"));
        assert_eq!(bare.authority(), "[::1]");
    }

    #[test]
    fn anything_else_is_refused() {
        let bad = [
            "http://mhs.example/",
            "https://user:pass@mhs.example/",
            "https://mhs.example/#part",
            "https://mhs.example:port/",
            "https://mhs.example:0/",
            "https:///path",
            "mhs.example",
            "",
        ];
        for text in bad {
            assert!(Endpoint::parse(text).is_err(), "{text:?} is no endpoint");
        }
    }
}
