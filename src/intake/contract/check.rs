//! Collects faults and warnings while a message is gone through, so that all are reported together.

use std::fmt::Display;

use super::{Fault, Warning, WarningCode};
use crate::intake::words::Meant;
use crate::model::Timestamp;

/// No more faults of one message are listed: by then it is no message of ours.
pub const MOST_FAULTS: usize = 64;

/// A list of faults that stays short.
pub trait Faults {
    /// Adds one, unless there are enough.
    fn report(&mut self, field: String, rule: impl Into<String>);
}

impl Faults for Vec<Fault> {
    fn report(&mut self, field: String, rule: impl Into<String>) {
        if self.len() < MOST_FAULTS {
            self.push(Fault { field, rule: rule.into() });
        }
    }
}

/// What was found so far, and where we are.
#[derive(Default)]
pub struct Findings {
    /// What rejects the message.
    pub faults: Vec<Fault>,
    /// What does not.
    pub warnings: Vec<Warning>,
    path: Vec<&'static str>,
}

impl Findings {
    /// Goes on from faults already found.
    pub fn starting_with(faults: Vec<Fault>) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Runs `look` one level down, at `field`.
    pub fn within<T>(&mut self, field: &'static str, look: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(field);
        let found = look(self);
        self.path.pop();
        found
    }

    fn place(&self, field: &str) -> String {
        self.path.iter().copied().chain([field]).collect::<Vec<_>>().join(".")
    }

    /// `field` breaks `rule`: the event is rejected. Said once a field.
    pub fn fault(&mut self, field: &str, rule: impl Into<String>) {
        let place = self.place(field);
        if !self.faults.iter().any(|f| f.field == place) {
            self.faults.report(place, rule);
        }
    }

    /// `field` is doubtful: the event is taken.
    pub fn warn(&mut self, field: &str, code: WarningCode, rule: impl Into<String>) {
        let field = self.place(field);
        self.warnings.push(Warning { field, code, rule: rule.into() });
    }

    /// A required text: missing and invalid are faults.
    pub fn required<T, E: Display>(
        &mut self,
        field: &'static str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if text.is_empty() {
            self.fault(field, "is missing");
            return None;
        }
        parse(text).map_err(|e| self.fault(field, rule_of(&e))).ok()
    }

    /// An optional text: invalid is dropped with a warning.
    pub fn optional<T, E: Display>(
        &mut self,
        field: &'static str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = text.filter(|t| !t.is_empty())?;
        parse(text)
            .map_err(|e| self.warn(field, WarningCode::FieldDropped, format!("was dropped as invalid: {e}")))
            .ok()
    }

    /// A required moment.
    pub fn moment(&mut self, field: &'static str, text: &str) -> Option<Timestamp> {
        self.required(field, text, Timestamp::parse)
    }

    /// A required word: missing and unknown are faults.
    pub fn word<E: Meant>(&mut self, field: &'static str, number: i32) -> Option<E::Word> {
        let word = self.spoken::<E>(number);
        match (word, number) {
            (Some(word), _) => return Some(word),
            (None, 0) => self.fault(field, "is missing"),
            (None, _) => self.fault(field, "is not a known value"),
        }
        None
    }

    /// A required word whose unknown values count as `other`, with a warning.
    pub fn word_or_other<E: Meant>(
        &mut self,
        field: &'static str,
        number: i32,
        other: E::Word,
    ) -> Option<E::Word> {
        match (self.spoken::<E>(number), number) {
            (Some(word), _) => Some(word),
            (None, 0) => {
                self.fault(field, "is missing");
                None
            }
            (None, _) => Some(self.unknown_value(field, other)),
        }
    }

    /// An optional word: absent is `silent`, and so is an unknown value, with a warning.
    pub fn optional_word<E: Meant>(&mut self, field: &'static str, number: i32, silent: E::Word) -> E::Word {
        match (self.spoken::<E>(number), number) {
            (Some(word), _) => word,
            (None, 0) => silent,
            (None, _) => self.unknown_value(field, silent),
        }
    }

    fn unknown_value<W>(&mut self, field: &'static str, instead: W) -> W {
        self.warn(field, WarningCode::UnknownValue, "has an unknown value, which was not taken over");
        instead
    }

    fn spoken<E: Meant>(&self, number: i32) -> Option<E::Word> {
        E::try_from(number).ok().and_then(E::meaning)
    }
}

/// The rule that a value breaks: "must be a UUID" of "an event id must be a UUID", because the field is named already.
fn rule_of(error: &impl Display) -> String {
    let words = error.to_string();
    match words.find(" must be ") {
        Some(at) => words[at + 1..].to_owned(),
        None => format!("is invalid: {words}"),
    }
}
