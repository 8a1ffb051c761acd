//! Identifiers of transfers, conversations, messages and events.
//!
//! All our own are derived (UUIDv5) from what they name, so that a redelivered event finds its transfer and no
//! random number is needed.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Our namespace for derived identifiers (itself UUIDv5 of the URL namespace and `urn:throughcare`).
const NAMESPACE: Uuid = Uuid::from_u128(0x0193_38c2_27fb_53cf_b424_4bac_fd9e_d6ca);

/// The UUIDv5 of `parts`, in order, in our namespace. Equal parts give equal identifiers.
pub fn derived_uuid(parts: &[&str]) -> Uuid {
    // Lengths keep ("ab", "c") and ("a", "bc") apart.
    let mut name = String::with_capacity(parts.iter().map(|p| p.len() + 4).sum());
    for part in parts {
        name.push_str(&part.len().to_string());
        name.push(':');
        name.push_str(part);
    }
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct InvalidId {
    what: &'static str,
    rule: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Reads a UUID of either case.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                match Uuid::try_parse(text.trim()) {
                    Ok(uuid) => Ok(Self(uuid)),
                    Err(_) => Err(InvalidId { what: $what, rule: "a UUID" }),
                }
            }

            /// Derives the identifier from what it names.
            pub fn derived(parts: &[&str]) -> Self {
                Self(derived_uuid(parts))
            }

            /// The sixteen bytes, as used in keys.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// From the sixteen bytes of a key.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            /// Upper case, as the wire wants it.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().encode_upper(&mut Uuid::encode_buffer()).fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

uuid_id!(
    /// One patient, one registration, one direction. What operators, logs and outcomes name.
    TransferId, "a transfer id"
);
uuid_id!(
    /// All messages of one exchange (ebXML ConversationId): upper case on the wire, compared without case (S240).
    ConversationId, "a conversation id"
);
uuid_id!(
    /// A custody event's own identity.
    EventId, "an event id"
);

/// One transmission of a message (ebXML MessageId): at most 255 characters without white space. Upper-cased, so
/// that comparison is without case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId(String);

impl MessageId {
    /// Takes any text the wire allows.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if fits {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(InvalidId {
                what: "a message id",
                rule: "1 to 255 printable ASCII characters without white space",
            })
        }
    }

    /// Derives an upper-case UUID from what it names.
    pub fn derived(parts: &[&str]) -> Self {
        Self(derived_uuid(parts).hyphenated().to_string().to_ascii_uppercase())
    }

    /// The text as it goes on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({})", self.0)
    }
}

impl TryFrom<String> for MessageId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<MessageId> for String {
    fn from(id: MessageId) -> String {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_identifiers_repeat_and_do_not_run_together() {
        assert_eq!(TransferId::derived(&["a", "b"]), TransferId::derived(&["a", "b"]));
        assert_ne!(TransferId::derived(&["ab", "c"]), TransferId::derived(&["a", "bc"]));
        assert!(MessageId::derived(&["x"]).as_str().bytes().all(|b| !b.is_ascii_lowercase()));
    }

    #[test]
    fn identifiers_compare_without_case() {
        let upper = ConversationId::parse("7D2F0A3C-5B1E-4C2A-9E4B-0123456789AB").unwrap();
        let lower = ConversationId::parse("7d2f0a3c-5b1e-4c2a-9e4b-0123456789ab").unwrap();
        assert_eq!(upper, lower);
        assert_eq!(upper.to_string(), "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AB");
        assert!(MessageId::parse("a b").is_err());
    }
}
