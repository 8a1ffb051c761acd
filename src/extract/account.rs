//! The completeness account: in what state every resource of the input ended (extract §1.1).
//!
//! It names resource types and ids, never what they say.

use serde::Serialize;

use crate::transfer::outcome::Completeness;

/// What was lost when a resource was degraded: its words are still in the extract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A date was not one; quoted in text.
    MalformedDate,
    /// A reference led nowhere, or back to where it stands.
    DanglingReference,
    /// The entry had no code.
    NoCode,
    /// A code of a system without an OID; quoted in text.
    UnmappableCode,
    /// A SNOMED CT code whose check digit is wrong; kept as it is.
    UnsoundCode,
    /// A value that no element can carry; quoted in text.
    UnmappableValue,
    /// A status missing or not understood.
    UnknownStatus,
    /// Characters that XML cannot carry were replaced.
    CharactersReplaced,
    /// The patient that it names is not in the record; it is taken for the record's.
    UnknownSubject,
    /// The author or performer could not be found.
    UnknownAgent,
    /// The kind of resource has no statement of its own: a narrative holds its text.
    Narrated,
    /// An order whose plan could not be found.
    OrderWithoutPlan,
    /// A document that could not be included.
    AttachmentAbsent,
    /// A confidentiality label we do not know was not carried.
    UnknownLabel,
    /// A received statement had no id that we can keep.
    NoId,
    /// A received statement had the id of another one.
    RepeatedId,
    /// A received statement of a kind that we do not know: its words are kept.
    UnknownStatement,
    /// A received code did not say of which system it is; SNOMED CT was inferred.
    InferredCodeSystem,
    /// A document that the record refers to was not sent with it.
    DocumentNotReceived,
    /// A text was too long for a statement; it is whole in a file beside the message.
    TextTooLong,
    /// A laboratory comment was not in the form agreed for them; its whole text is kept.
    MalformedComment,
}

/// Why a resource was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsent {
    /// Its author withdrew it.
    EnteredInError,
    /// It says nothing clinical and nothing in the extract refers to it.
    NotClinical,
    /// A stopped order: the issue was withdrawn.
    StoppedOrder,
    /// It holds no words at all.
    Empty,
    /// It is another patient's.
    AnotherPatient,
    /// It says how the patient is registered, which the receiving system knows better.
    Registration,
}

/// The state in which a resource ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// It has a statement of its own.
    Mapped {
        /// The statement's id.
        to: String,
    },
    /// Its facts sit in another element.
    Merged {
        /// That element's id.
        into: String,
    },
    /// It has a statement, with less structure than it had.
    Degraded {
        /// The statement's id.
        to: String,
        /// What was lost.
        reasons: Vec<Fault>,
    },
    /// It is not in the extract.
    NotClinical {
        /// Why.
        reason: Unsent,
    },
}

/// One resource and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountEntry {
    /// `Type/id` of the resource.
    pub resource: String,
    /// How it ended.
    #[serde(flatten)]
    pub state: State,
}

/// The whole account. `mapped + merged + degraded + not_clinical = input`, or there is no extract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Resources in the input, contained ones included.
    pub input: usize,
    /// Of those, with a statement of their own.
    pub mapped: usize,
    /// Of those, with their facts in another element.
    pub merged: usize,
    /// Of those, with less structure than they had.
    pub degraded: usize,
    /// Of those, not sent.
    pub not_clinical: usize,
    /// One by one, in the order of the input.
    pub entries: Vec<AccountEntry>,
}

impl Account {
    /// The totals, as the transfer keeps and publishes them.
    pub fn totals(&self) -> Completeness {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Completeness {
            mapped: count(self.mapped),
            merged: count(self.merged),
            degraded: count(self.degraded),
            not_clinical: count(self.not_clinical),
        }
    }

    /// The account as it is kept with a transfer.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers can be written to memory")
    }

    /// Draws up the account, or names the resources that have no state.
    pub(super) fn draw(states: Vec<(String, Option<State>)>) -> Result<Self, Vec<String>> {
        let mut account = Self {
            input: states.len(),
            mapped: 0,
            merged: 0,
            degraded: 0,
            not_clinical: 0,
            entries: Vec::new(),
        };
        let mut unaccounted = Vec::new();
        for (resource, state) in states {
            let Some(state) = state else {
                unaccounted.push(resource);
                continue;
            };
            match &state {
                State::Mapped { .. } => account.mapped += 1,
                State::Merged { .. } => account.merged += 1,
                State::Degraded { .. } => account.degraded += 1,
                State::NotClinical { .. } => account.not_clinical += 1,
            }
            account.entries.push(AccountEntry { resource, state });
        }
        if unaccounted.is_empty() { Ok(account) } else { Err(unaccounted) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_without_a_state_is_named() {
        let sent = ("Observation/1".to_owned(), Some(State::Mapped { to: "A".to_owned() }));
        let lost = ("Observation/2".to_owned(), None);
        assert_eq!(Account::draw(vec![sent.clone(), lost]), Err(vec!["Observation/2".to_owned()]));
        let account = serde_json::to_value(Account::draw(vec![sent]).unwrap()).unwrap();
        assert_eq!(account["entries"][0]["state"], "mapped");
        assert_eq!(account["entries"][0]["to"], "A");
        assert_eq!(account["input"], 1);
    }
}
