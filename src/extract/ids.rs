//! Ids of statements: the resource's own UUID where it has one, otherwise derived from what it names (extract §11).
//!
//! No id is given out twice, so ids are unique in the message by construction.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::validate::is_upper_uuid;
use crate::model::derived_uuid;

/// Gives out ids.
#[derive(Debug)]
pub(super) struct Ids {
    namespace: Vec<String>,
    given: HashSet<String>,
    /// Derived id that was asked for again → how often.
    again: HashMap<String, u32>,
}

impl Ids {
    /// Ids derived for this sender and this patient: what has no UUID is called `1` in more than one record.
    ///
    /// There is room for so many ids; more make the set grow.
    pub(super) fn new(namespace: &[&str], room: usize) -> Self {
        Self {
            namespace: namespace.iter().map(|n| (*n).to_owned()).collect(),
            given: HashSet::with_capacity(room),
            again: HashMap::new(),
        }
    }

    /// The UUID that the resource id starts with, when nobody has it yet; otherwise a derived one.
    pub(super) fn claim(&mut self, key: &str, resource_id: &str) -> String {
        match leading_uuid(resource_id) {
            Some(own) if self.given.insert(own.clone()) => own,
            Some(_) | None => self.part(key, "own"),
        }
    }

    /// The derived id of a part of a resource.
    pub(super) fn part(&mut self, key: &str, role: &str) -> String {
        let first = self.derived(key, role, "");
        if self.given.insert(first.clone()) {
            return first;
        }
        loop {
            let times = self.again.entry(first.clone()).or_default();
            *times += 1;
            let times = times.to_string();
            let id = self.derived(key, role, &times);
            if self.given.insert(id.clone()) {
                return id;
            }
        }
    }

    fn derived(&self, key: &str, role: &str, again: &str) -> String {
        let namespace = self.namespace.iter().map(String::as_str);
        let name: Vec<&str> = namespace.chain(["extract", key, role, again]).collect();
        upper(derived_uuid(&name))
    }

    /// Takes an id that is given from outside.
    pub(super) fn reserve(&mut self, id: &str) {
        self.given.insert(id.to_owned());
    }
}

/// A UUID as the wire wants it.
pub(super) fn upper(uuid: Uuid) -> String {
    uuid.hyphenated().encode_upper(&mut Uuid::encode_buffer()).to_owned()
}

/// Upper-cased, when the text starts with a hyphenated UUID.
fn leading_uuid(text: &str) -> Option<String> {
    let head = text.get(..36)?;
    let hyphens = [8, 13, 18, 23].iter().all(|i| head.as_bytes()[*i] == b'-');
    (hyphens && Uuid::try_parse(head).is_ok()).then(|| head.to_ascii_uppercase())
}

/// The id of a received statement as we keep it: upper case, without the underscore or blanks that some senders add
/// (extract §13.1). Nothing when it is no UUID.
pub(super) fn normalised(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim();
    let text = text.strip_prefix('_').unwrap_or(text);
    if text.len() != 36 {
        return None;
    }
    if is_upper_uuid(text) {
        return Some(text.into());
    }
    leading_uuid(text).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_claimant_keeps_the_uuid() {
        let mut ids = Ids::new(&["B86041"], 0);
        let own = ids.claim("Observation/x", "05e9b02e-2991-4ae1-bfcf-444095dfebd8");
        assert_eq!(own, "05E9B02E-2991-4AE1-BFCF-444095DFEBD8");
        let other = ids.claim("Condition/x", "05E9B02E-2991-4AE1-BFCF-444095DFEBD8-PROB");
        assert_ne!(other, own, "ids are unique in the message (extract §11)");
        assert_eq!(
            Ids::new(&["B86041"], 0).part("a", "b"),
            Ids::new(&["B86041"], 0).part("a", "b"),
            "derived ids repeat"
        );
        assert_ne!(ids.part("a", "b"), ids.part("a", "b"), "but not within one message");
    }
}
