//! Which transfers an operator means: one grammar for every verb.
//!
//! Terms are joined: all must hold. `state=held` (`state=any` for all, ended ones too), `party=B85002`, `kind=release`, `older=2d`, and anything else is
//! the beginning of an identifier; several identifiers mean any of them. A selection without `state=` and without
//! identifiers means transfers that have not ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::Span;
use crate::model::{OdsCode, Timestamp};
use crate::transfer::Transfer;

/// At most so many terms in one selection: a person types a few, a script that means thousands uses `state=`.
const MAX_TERMS: usize = 1000;

/// A selection of transfers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// Beginnings of identifiers, upper case; none means all.
    pub ids: Vec<String>,
    /// Labels of states; none means all.
    pub states: Vec<String>,
    /// Kinds of transfer; none means all.
    pub kinds: Vec<String>,
    /// ODS codes of the party; none means all.
    pub parties: Vec<OdsCode>,
    /// Open for at least so long, in milliseconds.
    pub older_ms: Option<u64>,
}

/// What is wrong with a term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSelector {
    /// Neither a known word nor an identifier.
    #[error("`{0}` is neither the beginning of an identifier nor state=, party=, kind= or older=")]
    Unknown(String),
    /// An identifier's beginning that is too short to mean anything.
    #[error("`{0}` is too short: give at least 4 characters of the identifier")]
    TooShort(String),
    /// A value that is not of the term's kind.
    #[error("`{term}`: {why}")]
    Value {
        /// The whole term.
        term: String,
        /// What is wrong with its value.
        why: String,
    },
    /// More terms than anyone types.
    #[error("at most 1000 terms; select by state=, party= or older= instead")]
    TooMany,
}

/// What a selector looks at in one transfer.
#[derive(Debug, Clone)]
pub struct Traits<'a> {
    /// The identifier, upper case.
    pub id: &'a str,
    /// The state's label.
    pub state: &'a str,
    /// The kind of transfer.
    pub kind: &'a str,
    /// The party it is with, where one is known.
    pub party: Option<&'a OdsCode>,
    /// When it was opened.
    pub opened_at: Timestamp,
}

impl Selector {
    /// Reads the terms.
    pub fn parse<T: AsRef<str>>(terms: &[T]) -> Result<Self, InvalidSelector> {
        if terms.len() > MAX_TERMS {
            return Err(InvalidSelector::TooMany);
        }
        let mut selector = Self::default();
        for term in terms {
            selector.add(term.as_ref())?;
        }
        Ok(selector)
    }

    fn add(&mut self, term: &str) -> Result<(), InvalidSelector> {
        let wrong = |why: String| InvalidSelector::Value { term: term.to_owned(), why };
        match term.split_once('=') {
            Some(("state", "any")) => self.states.extend(Transfer::LABELS.iter().map(|l| (*l).to_owned())),
            Some(("state", label)) => {
                let label = label.to_ascii_lowercase();
                if !Transfer::LABELS.contains(&label.as_str()) {
                    return Err(wrong(format!("a state is any or one of {}", Transfer::LABELS.join(", "))));
                }
                self.states.push(label);
            }
            Some(("kind", label)) => self.kinds.push(label.to_ascii_lowercase()),
            Some(("party", code)) => {
                self.parties.push(OdsCode::parse(code).map_err(|e| wrong(e.to_string()))?)
            }
            Some(("older", length)) => {
                let span: Span =
                    length.parse().map_err(|e: crate::config::InvalidUnit| wrong(e.to_string()))?;
                self.older_ms = Some(u64::try_from(span.duration().as_millis()).unwrap_or(u64::MAX));
            }
            Some(_) => return Err(InvalidSelector::Unknown(term.to_owned())),
            None if !term.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') || term.len() > 36 => {
                return Err(InvalidSelector::Unknown(term.to_owned()));
            }
            None if term.len() < 4 => return Err(InvalidSelector::TooShort(term.to_owned())),
            None => self.ids.push(term.to_ascii_uppercase()),
        }
        Ok(())
    }

    /// Whether it names transfers one by one; otherwise it may mean any number.
    pub fn names_each(&self) -> bool {
        let bare = Self { ids: self.ids.clone(), ..Self::default() };
        !self.ids.is_empty() && *self == bare
    }

    /// Whether it may mean transfers that have ended: those are listed only when their state or identifier is named.
    pub fn may_mean_ended(&self) -> bool {
        !self.states.is_empty() || !self.ids.is_empty()
    }

    /// Whether the transfer is meant.
    pub fn matches(&self, traits: &Traits<'_>, now: Timestamp) -> bool {
        let any = |list: &[String], value: &str| list.is_empty() || list.iter().any(|l| l == value);
        let id = self.ids.is_empty() || self.ids.iter().any(|begin| traits.id.starts_with(begin.as_str()));
        let party = self.parties.is_empty() || traits.party.is_some_and(|p| self.parties.contains(p));
        let old = self.older_ms.is_none_or(|ms| now.since(traits.opened_at) >= Duration::from_millis(ms));
        id && party && old && any(&self.states, traits.state) && any(&self.kinds, traits.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(terms: &[&str]) -> bool {
        let party = OdsCode::parse("B85002").unwrap();
        let traits = Traits {
            id: "7D2F0A3C-5B1E-5C2A-9E4B-0123456789AB",
            state: "held",
            kind: "release",
            party: Some(&party),
            opened_at: Timestamp::from_millis(0),
        };
        let day = Timestamp::from_millis(86_400_000);
        Selector::parse(terms).unwrap().matches(&traits, day)
    }

    #[test]
    fn terms_are_joined_and_identifiers_are_alternatives() {
        assert!(chosen(&[]));
        assert!(chosen(&["7d2f"]) && chosen(&["FFFF", "7D2F0A3C-5B"]) && !chosen(&["FFFF"]));
        assert!(chosen(&["state=held", "party=b85002", "older=1d", "kind=release"]));
        assert!(chosen(&["state=delivering", "state=held"]), "two states are alternatives");
        assert!(!chosen(&["state=held", "older=2d"]) && !chosen(&["party=B85003"]));
    }

    #[test]
    fn a_wrong_term_says_what_would_be_right() {
        let error = |term: &str| Selector::parse(&[term]).unwrap_err().to_string();
        assert!(error("held").contains("state="), "{}", error("held"));
        assert!(error("abc").contains("at least 4"));
        assert!(error("older=soon").contains("90s"));
        assert!(error("state=waiting").contains("one of awaiting-confirmation, awaiting-registration, "));
        assert!(error("party=!").contains("ODS code"));
        assert!(!Selector::parse(&["state=held"]).unwrap().names_each());
        assert!(Selector::parse(&["7d2f"]).unwrap().names_each());
    }
}
