//! Who a party is: ODS code, ASID, party key and contract (CPA) identifier.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not one of these identifiers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {rule}")]
pub struct InvalidAddress {
    what: &'static str,
    rule: &'static str,
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $accept:expr, $canonical:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes the text.
            pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
                let canonical: String = $canonical(text.trim());
                let accept: fn(&str) -> bool = $accept;
                if accept(&canonical) { Ok(Self(canonical)) } else { Err(InvalidAddress { what: $what, rule: $rule }) }
            }

            /// The text as it goes on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidAddress;

            fn from_str(text: &str) -> Result<Self, InvalidAddress> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidAddress;

            fn try_from(text: String) -> Result<Self, InvalidAddress> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

address!(
    /// An organisation's ODS code: 3 to 10 letters and digits, upper case (custody reference §4).
    OdsCode, "an ODS code", "3 to 10 letters and digits",
    |t| (3..=10).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric()),
    |t: &str| t.to_ascii_uppercase()
);
address!(
    /// An accredited system's identifier: 1 to 20 digits in practice, read as opaque letters and digits.
    Asid, "an ASID", "1 to 20 letters and digits",
    |t| (1..=20).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric()),
    |t: &str| t.to_owned()
);
address!(
    /// A transport address such as `HMP01-0001`.
    PartyKey, "a party key", "1 to 64 letters, digits, hyphens, dots and underscores",
    |t| (1..=64).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    |t: &str| t.to_ascii_uppercase()
);
address!(
    /// The identifier of a messaging contract: opaque (wire reference §3.2).
    CpaId, "a CPA id", "1 to 64 letters, digits and : - . _",
    |t| (1..=64).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b":-._".contains(&b)),
    |t: &str| t.to_owned()
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_upper_cased_and_bounded() {
        assert_eq!(OdsCode::parse(" b85002 ").unwrap().as_str(), "B85002");
        assert!(OdsCode::parse("B8").is_err());
        assert!(OdsCode::parse("B8/../x").is_err());
        assert!(PartyKey::parse("HMP01-0001").is_ok());
        assert!(CpaId::parse("").is_err());
    }
}
