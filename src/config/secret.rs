//! The broker's URL, which holds a password: it never prints.
//!
//! Not a general secret type: keys are read from files where they are used and never pass through settings.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An `amqp://` or `amqps://` URL. `Debug` and serialisation show the host at most.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AmqpUrl(String);

/// Why a text is not a broker's URL. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a broker's URL starts with amqp:// or amqps://, has no blanks, and has at most 2048 characters")]
pub struct InvalidAmqpUrl;

impl AmqpUrl {
    /// Checks the form.
    pub fn parse(text: &str) -> Result<Self, InvalidAmqpUrl> {
        let text = text.trim();
        let known = text.starts_with("amqp://") || text.starts_with("amqps://");
        if known && text.len() <= 2048 && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidAmqpUrl)
        }
    }

    /// The whole URL, for the client that connects and for nobody else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether a password is written in it.
    pub fn has_password(&self) -> bool {
        self.credentials().is_some_and(|c| c.contains(':'))
    }

    fn credentials(&self) -> Option<&str> {
        let authority = self.0.split_once("://")?.1.split('/').next()?;
        Some(authority.rsplit_once('@')?.0)
    }
}

impl fmt::Display for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("amqp", ""));
        let host = rest.rsplit('@').next().unwrap_or("").split(['/', '?']).next().unwrap_or("");
        write!(f, "{scheme}://{host}")
    }
}

impl fmt::Debug for AmqpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AmqpUrl({self})")
    }
}

impl Serialize for AmqpUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl TryFrom<String> for AmqpUrl {
    type Error = InvalidAmqpUrl;

    fn try_from(text: String) -> Result<Self, InvalidAmqpUrl> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_never_prints() {
        let url = AmqpUrl::parse("amqps://custody:hunter2@broker.example:5671/vhost?x=1").unwrap();
        assert_eq!(url.to_string(), "amqps://broker.example:5671");
        assert!(!format!("{url:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&url).unwrap().contains("hunter2"));
        assert!(url.has_password());
        assert!(!AmqpUrl::parse("amqp://localhost:5672/%2f").unwrap().has_password());
        assert!(AmqpUrl::parse("http://localhost").is_err());
    }
}
