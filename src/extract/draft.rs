//! What has no element of its own, gathered while one resource is mapped: labelled text, and what was lost.
//!
//! Text is the safety net: nothing is dropped because it has no slot (extract §1.5).

use super::account::Fault;
use super::codes;
use super::dates;
use super::json::Json;

/// Text and faults of one resource under mapping.
#[derive(Debug, Default)]
pub(super) struct Draft {
    parts: Vec<String>,
    faults: Vec<Fault>,
}

impl Draft {
    /// Adds words as they are.
    pub(super) fn add(&mut self, words: Option<&str>) {
        if let Some(words) = words.map(str::trim).filter(|w| !w.is_empty()) {
            self.parts.push(words.to_owned());
        }
    }

    /// Puts `Label: words` before all other text.
    pub(super) fn lead(&mut self, label: &str, words: Option<&str>) {
        let before = self.parts.len();
        self.say(label, words);
        if self.parts.len() > before {
            self.parts.rotate_right(1);
        }
    }

    /// Adds `Label: words`.
    pub(super) fn say(&mut self, label: &str, words: Option<&str>) {
        if let Some(words) = words.map(str::trim).filter(|w| !w.is_empty()) {
            self.parts.push(format!("{label}: {words}"));
        }
    }

    /// Adds the words of a CodeableConcept under a label.
    pub(super) fn concept(&mut self, label: &str, concept: &Json) {
        self.say(label, codes::words(concept).as_deref());
    }

    /// Adds the texts of `note[]`, with time and author's words where there are any.
    pub(super) fn notes(&mut self, resource: &Json) {
        for note in resource.list("note") {
            self.add(note.word("text"));
        }
    }

    /// Marks that something was lost.
    pub(super) fn fault(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// The wire form of a date; a malformed one is quoted under the label (extract §5).
    pub(super) fn date(&mut self, label: &str, json: &Json) -> Option<String> {
        if json.is_nothing() {
            return None;
        }
        let wire = json.text().and_then(dates::wire);
        if wire.is_none() {
            self.fault(Fault::MalformedDate);
            self.say(label, Some(&json.all_words()));
        }
        wire
    }

    /// The FHIR form of a received time; a malformed one is quoted under the label (extract §5).
    pub(super) fn moment(&mut self, label: &str, text: Option<&str>) -> Option<String> {
        let text = text?;
        let moment = dates::fhir(text);
        if moment.is_none() {
            self.fault(Fault::MalformedDate);
            self.say(label, Some(text));
        }
        moment
    }

    /// A Period's bounds.
    pub(super) fn period(&mut self, label: &str, period: &Json) -> (Option<String>, Option<String>) {
        (self.date(label, period.at("start")), self.date(label, period.at("end")))
    }

    /// The text gathered, joined by blanks.
    pub(super) fn text(&self) -> String {
        self.parts.join(" ")
    }

    /// The text gathered, each part on a line of its own.
    pub(super) fn lines(&self) -> String {
        self.parts.join("\n")
    }

    /// What was gathered, one note each; what was lost stays with `rest`.
    pub(super) fn into_noted<'t>(self, rest: &mut Self) -> Vec<super::fhir::Annotation<'t>> {
        *rest = self.only_faults();
        self.into_notes()
    }

    /// What was gathered, one note each.
    pub(super) fn into_notes<'t>(self) -> Vec<super::fhir::Annotation<'t>> {
        super::fhir::notes(self.parts.into_iter().map(Into::into))
    }

    /// The text gathered, as a list in one sentence.
    pub(super) fn listed(&self) -> String {
        self.parts.join(", ")
    }

    /// What was lost, without the text.
    pub(super) fn only_faults(&self) -> Self {
        Self { parts: Vec::new(), faults: self.faults.clone() }
    }

    /// Forgets the text, which somebody has taken.
    pub(super) fn silence(&mut self) {
        self.parts.clear();
    }

    /// Whether no text was gathered.
    pub(super) fn is_silent(&self) -> bool {
        self.parts.is_empty()
    }

    /// What was lost, in a fixed order.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = self.faults.clone();
        faults.sort_unstable();
        faults
    }
}
