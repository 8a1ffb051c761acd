//! The mapping under way: what every resource kind needs to write its statement, and where it leaves its state.

use std::collections::HashMap;

use super::account::{Fault, State, Unsent};
use super::agents::Agents;
use super::codes;
use super::dates::{self, Span};
use super::draft::Draft;
use super::ids::Ids;
use super::json::Json;
use super::links::Links;
use super::record::{Entry, Record};
use super::xml::Xml;
use super::{Attachment, Documents, Interaction, Parameters};

/// Which code the composition around a non-consultation statement has (extract §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Medication,
    Entry,
    Communication,
}

/// A finished statement, waiting for its place.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) xml: String,
    pub(super) kind: Kind,
    /// `availabilityTime` in wire form.
    pub(super) time: Option<String>,
    pub(super) effective: Span,
    /// Agent ids of author and performer.
    pub(super) author: Option<String>,
    pub(super) performer: Option<String>,
    pub(super) labelled: bool,
}

/// What a reference to a statement must say.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) id: String,
    pub(super) class: &'static str,
    pub(super) mood: &'static str,
}

/// The mapping under way.
pub(super) struct Work<'a> {
    pub(super) record: &'a Record<'a>,
    pub(super) parameters: &'a Parameters,
    pub(super) documents: &'a Documents,
    pub(super) ids: Ids,
    pub(super) agents: Agents,
    pub(super) links: Links,
    /// Of each entry, whether it names a subject that is not in the record.
    pub(super) unknown_subject: Vec<bool>,
    /// The id of each entry's statement, given out before anything is written.
    pub(super) own: HashMap<usize, String>,
    /// Derived ids, with the entry that each is a part of.
    pub(super) parts: Vec<(String, usize)>,
    /// Entries whose statement others may refer to.
    pub(super) targets: HashMap<usize, Target>,
    pub(super) states: Vec<Option<State>>,
    pub(super) attachments: Vec<Attachment>,
    /// Entries under a NOPAT label, their container's included (extract §9).
    pub(super) labelled: Vec<bool>,
    /// MedicationStatement → the MedicationRequest whose statement says both.
    pub(super) plans: HashMap<usize, usize>,
    /// MedicationRequest → the MedicationStatements based on it.
    pub(super) stated: HashMap<usize, Vec<usize>>,
    /// Observations that sit inside another statement.
    pub(super) members: HashMap<usize, usize>,
    /// Results and specimens → the report that they are written with.
    pub(super) held: HashMap<usize, usize>,
    /// Condition → the Conditions that say it is their parent.
    pub(super) children: HashMap<usize, Vec<usize>>,
    /// Observation → the Conditions that say it is a problem.
    pub(super) problems: HashMap<usize, Vec<usize>>,
}

pub(super) const OBSERVATION: [(&str, &str); 2] = [("classCode", "OBS"), ("moodCode", "EVN")];
pub(super) const COMPONENT: [(&str, &str); 2] = [("typeCode", "COMP"), ("contextConductionInd", "true")];

impl<'a> Work<'a> {
    pub(super) fn entry(&self, at: usize) -> &'a Entry<'a> {
        self.record.entry(at)
    }

    pub(super) fn json(&self, at: usize) -> &'a Json<'a> {
        self.record.json(at)
    }

    /// The id of the entry's statement.
    pub(super) fn own(&self, at: usize) -> String {
        self.own.get(&at).cloned().unwrap_or_default()
    }

    /// The derived id of a part of the entry.
    pub(super) fn part(&mut self, at: usize, role: &str) -> String {
        let id = self.ids.part(&self.record.entry(at).key, role);
        self.parts.push((id.clone(), at));
        id
    }

    /// The Agent a Reference means. One that leads nowhere is listed and quoted.
    pub(super) fn agent(&mut self, at: usize, who: &Json, draft: &mut Draft) -> Option<String> {
        if who.is_nothing() {
            return None;
        }
        let agent = self.agents.refer(self.record, &mut self.ids, at, who);
        if agent.is_none() {
            self.quote(at, who, draft);
        }
        agent
    }

    /// Puts in text who acted, where no Agent can say it (extract §6).
    pub(super) fn quote(&self, at: usize, who: &Json, draft: &mut Draft) {
        match self.record.resolve(at, who).map(|found| self.entry(found)) {
            Some(entry) => {
                let words = self.name(entry).or_else(|| who.word("display").map(str::to_owned));
                draft.say("Recorded by", Some(&words.unwrap_or_else(|| entry.kind.clone())));
            }
            None => {
                draft.fault(Fault::UnknownAgent);
                draft.say("Recorded by", who.word("display").or(who.text()));
            }
        }
    }

    /// Lists and quotes a Reference that leads nowhere; one that is not there is no loss.
    pub(super) fn stray(&self, at: usize, label: &str, reference: &Json, draft: &mut Draft) {
        if !reference.is_nothing() && self.record.resolve(at, reference).is_none() {
            if reference.word("reference").is_some() {
                draft.fault(Fault::DanglingReference);
            }
            draft.say(label, reference.word("display"));
        }
    }

    fn name(&self, entry: &Entry) -> Option<String> {
        // The patient is never named: "Patient" says who acted.
        if entry.kind == "Patient" {
            return Some("Patient".to_owned());
        }
        entry.json.word("name").map(str::to_owned)
    }

    /// The words by which a referenced resource is known: its name, code or title.
    pub(super) fn referred(&self, at: usize, reference: &Json) -> Option<String> {
        let known = self.record.resolve(at, reference).and_then(|found| self.called(found));
        known.or_else(|| reference.word("display").map(str::to_owned))
    }

    /// The words by which a resource is known: its name, code or title.
    pub(super) fn called(&self, at: usize) -> Option<String> {
        let entry = self.entry(at);
        let person = entry.json.list("name").first().filter(|n| n.is_object() && entry.kind != "Patient");
        let person = person.map(|n| {
            let given = n.list("given").iter().filter_map(Json::text);
            let parts = n.list("prefix").iter().filter_map(Json::text).chain(given).chain(n.word("family"));
            parts.collect::<Vec<_>>().join(" ")
        });
        self.name(entry)
            .or(person.filter(|p| !p.is_empty()))
            .or_else(|| codes::words(entry.json.at("code")))
            .or_else(|| codes::words(entry.json.at("type")))
            .or_else(|| entry.json.word("title").map(str::to_owned))
            .or_else(|| entry.json.word("description").map(str::to_owned))
    }

    /// Writes `confidentialityCode` where the entry is labelled and the message can carry it.
    pub(super) fn label(&self, x: &mut Xml, at: usize) {
        label(x, self.labels(at));
    }

    /// Whether what is written of the entry is labelled.
    pub(super) fn labels(&self, at: usize) -> bool {
        self.labelled[at] && self.parameters.interaction == Interaction::Uk07
    }

    /// Leaves the entry's state: mapped, or degraded when something was lost.
    pub(super) fn settle(&mut self, at: usize, to: &str, draft: &Draft) {
        let (to, mut reasons) = (to.to_owned(), draft.faults());
        // What asked for the reference may have said more exactly what was not found.
        let said = [Fault::DanglingReference, Fault::UnknownAgent, Fault::OrderWithoutPlan];
        if !reasons.iter().any(|reason| said.contains(reason)) && self.links.stray[at] {
            reasons.push(Fault::DanglingReference);
            reasons.sort_unstable();
        }
        if self.unknown_subject[at] {
            reasons.push(Fault::UnknownSubject);
        }
        if other_labels(self.json(at)) {
            reasons.push(Fault::UnknownLabel);
        }
        self.states[at] =
            Some(if reasons.is_empty() { State::Mapped { to } } else { State::Degraded { to, reasons } });
    }

    /// Adds to what was lost of an entry that has its state.
    pub(super) fn degrade(&mut self, at: usize, fault: Fault) {
        let (to, mut reasons) = match self.states[at].take() {
            Some(State::Mapped { to } | State::Merged { into: to }) => (to, Vec::new()),
            Some(State::Degraded { to, reasons }) => (to, reasons),
            other => return self.states[at] = other,
        };
        reasons.push(fault);
        self.states[at] = Some(State::Degraded { to, reasons });
    }

    /// Leaves the entry unsent.
    pub(super) fn leave(&mut self, at: usize, reason: Unsent) {
        self.states[at] = Some(State::NotClinical { reason });
    }

    /// Leaves the entry merged into an element, unless it has a state already.
    pub(super) fn merge(&mut self, at: usize, into: &str) {
        let entry = self.record.entry(at);
        // Nothing that the Patient says is sent.
        let replaced = || entry.kind != "Patient" && self.record.is_unwritable(at);
        self.states[at].get_or_insert_with(|| match replaced() {
            true => State::Degraded { to: into.to_owned(), reasons: vec![Fault::CharactersReplaced] },
            false => State::Merged { into: into.to_owned() },
        });
    }
}

/// Whether a resource has a label that no message can carry; what to do about it is policy, not mapping (extract §9).
fn other_labels(resource: &Json) -> bool {
    let security = resource.at("meta").list("security").iter();
    let labels = resource.list("securityLabel").iter().flat_map(|l| l.list("coding"));
    security.chain(labels).filter_map(|coding| coding.word("code")).any(|code| code != "NOPAT")
}

/// Writes NOPAT.
pub(super) fn label(x: &mut Xml, labelled: bool) {
    if labelled {
        let attributes = [
            ("code", "NOPAT"),
            ("codeSystem", "2.16.840.1.113883.4.642.3.47"),
            (
                "displayName",
                "no disclosure to patient, family or caregivers without attending provider's authorization",
            ),
        ];
        x.empty("confidentialityCode", &attributes);
    }
}

/// `<id root="…"/>`
pub(super) fn id(x: &mut Xml, id: &str) {
    x.empty("id", &[("root", id)]);
}

/// `<statusCode code="COMPLETE"/>`
pub(super) fn complete(x: &mut Xml) {
    x.empty("statusCode", &[("code", "COMPLETE")]);
}

/// A SNOMED code that we chose, with the words it stands for.
pub(super) fn fixed(x: &mut Xml, code: &str, display: &str, original: Option<&str>) {
    let attributes = [("code", code), ("codeSystem", codes::SNOMED), ("displayName", display)];
    match original {
        None => x.empty("code", &attributes),
        Some(original) => x.with("code", &attributes, |x| x.leaf("originalText", &[], original)),
    }
}

/// A `Participant` of a statement.
pub(super) fn participant(x: &mut Xml, type_code: &str, agent: Option<&str>) {
    if let Some(agent) = agent {
        x.with("Participant", &[("typeCode", type_code), ("contextControlCode", "OP")], |x| {
            agent_ref(x, Some(agent))
        });
    }
}

/// `agentRef`, null where nobody is known.
pub(super) fn agent_ref(x: &mut Xml, agent: Option<&str>) {
    x.with("agentRef", &[("classCode", "AGNT")], |x| match agent {
        Some(agent) => id(x, agent),
        None => x.empty("id", &[("nullFlavor", "UNK")]),
    });
}

/// `pertinentInformation/pertinentAnnotation/text`, when there is text.
pub(super) fn annotation(x: &mut Xml, text: &str) {
    if text.is_empty() {
        return;
    }
    x.with("pertinentInformation", &[("typeCode", "PERT")], |x| {
        x.empty("sequenceNumber", &[("value", "+1")]);
        x.with("pertinentAnnotation", &OBSERVATION, |x| x.leaf("text", &[], text));
    });
}

/// A NarrativeStatement without tail.
pub(super) fn narrative(x: &mut Xml, own: &str, text: &str, time: Option<&str>, labelled: bool) {
    x.with("NarrativeStatement", &OBSERVATION, |x| {
        id(x, own);
        x.leaf("text", &[], text);
        complete(x);
        dates::write(x, "availabilityTime", time);
        label(x, labelled);
    });
}
