//! Which entry refers to which, and which reference leads nowhere, in one walk over the record.

use std::collections::HashMap;

use super::json::Json;
use super::record::Record;
use super::standing::{Part, part};

/// The references of a record.
#[derive(Debug)]
pub(super) struct Links {
    /// Entry → the first statement or consultation that refers to it.
    pub(super) referred: HashMap<usize, usize>,
    /// Of each entry, whether a Reference in it leads nowhere, or back to it. Whose entry it is does not count.
    pub(super) stray: Vec<bool>,
}

impl Links {
    pub(super) fn of(record: &Record) -> Self {
        let mut links = Self { referred: HashMap::new(), stray: vec![false; record.entries().len()] };
        for (at, entry) in record.entries().iter().enumerate() {
            let counts = matches!(part(entry), Part::Statement | Part::Consultation);
            links.gather(record, at, &entry.json, counts);
        }
        links
    }

    fn gather(&mut self, record: &Record, at: usize, json: &Json, counts: bool) {
        match json {
            Json::Array(items) => items.iter().for_each(|item| self.gather(record, at, item, counts)),
            Json::Object(members) => {
                for (name, value) in members.iter().filter(|(name, _)| name != "subject" && name != "patient")
                {
                    match value {
                        Json::Text(_) | Json::Unescaped(_) if name != "reference" => {}
                        Json::Text(_) | Json::Unescaped(_) => {
                            let found = record.resolve(at, json);
                            self.stray[at] |= found.is_none_or(|found| found == at);
                            if let Some(found) = found.filter(|_| counts) {
                                self.referred.entry(found).or_insert(at);
                            }
                        }
                        value => self.gather(record, at, value, counts),
                    }
                }
            }
            Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::Counted(_)
            | Json::Text(_)
            | Json::Unescaped(_) => {}
        }
    }
}
