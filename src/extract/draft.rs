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
    parts: Vec<Part>,
    faults: Vec<Fault>,
}

#[derive(Debug)]
struct Part {
    words: String,
    /// Whether somebody wrote it so; otherwise we made it of a field.
    prose: bool,
}

impl Draft {
    /// Adds words as they are.
    pub(super) fn add(&mut self, words: Option<&str>) {
        self.push(words, true, str::to_owned);
    }

    /// Adds prose under a label, unless it brings the label along: it was so written when it came here.
    pub(super) fn quote(&mut self, label: &str, words: Option<&str>) {
        let heading = [label, ": "].concat();
        self.push(words, true, |words| match stands_in(words, &heading) {
            true => words.to_owned(),
            false => [&heading, words].concat(),
        });
    }

    fn push(&mut self, words: Option<&str>, prose: bool, form: impl FnOnce(&str) -> String) {
        if let Some(words) = words.map(str::trim).filter(|w| !w.is_empty()) {
            self.parts.push(Part { words: form(words), prose });
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
        self.push(words, false, |words| [label, ": ", words].concat());
    }

    /// Adds the words of a CodeableConcept under a label.
    pub(super) fn concept(&mut self, label: &str, concept: &Json) {
        self.say(label, codes::words(concept).as_deref());
    }

    /// Adds the texts of `note[]`.
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

    /// Says the day of a time that has no element, where the one that has is of another day.
    pub(super) fn another_day(&mut self, label: &str, unused: &Json, used: Option<&str>) {
        let Some((unused, used)) = unused.text().zip(used) else { return };
        if dates::wire(unused).is_some_and(|unused| !dates::same_day(&unused, used)) {
            self.say(label, unused.split('T').next());
        }
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

    /// What was gathered, without what the prose says in the same words: a record that goes to and fro does not grow.
    fn said(&self) -> Vec<&str> {
        let repeated = |words: &str| self.parts.iter().any(|p| p.prose && stands_in(&p.words, words));
        let new = self.parts.iter().filter(|part| part.prose || !repeated(&part.words));
        new.map(|part| part.words.as_str()).collect()
    }

    /// The text gathered, joined by blanks.
    pub(super) fn text(&self) -> String {
        self.said().join(" ")
    }

    /// The text gathered, each part on a line of its own.
    pub(super) fn lines(&self) -> String {
        self.said().join("\n")
    }

    /// What was gathered, one note each; what was lost stays with `rest`.
    pub(super) fn into_noted<'t>(self, rest: &mut Self) -> Vec<super::fhir::Annotation<'t>> {
        *rest = self.only_faults();
        self.into_notes()
    }

    /// What was gathered, one note each.
    pub(super) fn into_notes<'t>(self) -> Vec<super::fhir::Annotation<'t>> {
        super::fhir::notes(self.parts.into_iter().map(|part| part.words.into()))
    }

    /// The text gathered, as a list in one sentence.
    pub(super) fn listed(&self) -> String {
        self.said().join(", ")
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

/// Whether the words stand in the text, not as the end or the beginning of other words.
fn stands_in(text: &str, words: &str) -> bool {
    let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    let inside = words.ends_with(char::is_alphanumeric);
    text.match_indices(words).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + words.len()..]);
        apart(before.chars().next_back()) && (!inside || apart(after.chars().next()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_prose_says_already_is_not_said_again() {
        let mut draft = Draft::default();
        draft.say("Status", Some("Active"));
        draft.say("Repeats Issued", Some("1"));
        draft.quote("Notes", Some("Status: Active since May. Repeats Issued: 12"));
        assert_eq!(draft.text(), "Repeats Issued: 1 Notes: Status: Active since May. Repeats Issued: 12");
        let mut again = Draft::default();
        again.say("Status", Some("Active"));
        again.say("Repeats Issued", Some("1"));
        again.quote("Notes", Some(&draft.text()));
        assert_eq!(again.text(), draft.text(), "a second passage adds nothing");
    }
}
