//! An EHR extract under reading: which id every statement has, what became of it, and the FHIR Bundle as it grows.
//!
//! One bad statement never refuses the record (extract §1.2): what no kind takes becomes an Observation with all its
//! words. The message itself is kept elsewhere and never changed.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::account::{Account, Fault, State, Unsent};
use super::draft::Draft;
use super::fhir::{self, CodeableConcept, Identifier, Meta, Observation, Reference, Text};
use super::ids::{normalised, upper};
use super::scene::{STATEMENTS, Scene, shown, stands, withheld};
use super::ties::Ties;
use super::tree::{Element, Tree};
use super::{Expected, MissingDocument, ReadRefusal, consultation, dates, encoding, people, twins};
use crate::model::{NhsNumber, derived_uuid};

/// What tells one Medication from another: all that its code says, and each translation. Systems that have no SNOMED
/// code for a drug may name it in a translation alone.
pub(super) type Drug<'t> = Vec<[Option<&'t str>; 5]>;

/// The reading under way.
pub(super) struct Reading<'t> {
    pub(super) expected: &'t Expected,
    statements: Vec<Element<'t>>,
    /// Of each element of the message, where in `progress` its statement is. The first of those is for what is none.
    numbers: Vec<u32>,
    progress: Vec<Progress<'t>>,
    /// Of each element of the message, whether it or anything around it is labelled NOPAT.
    labels: Vec<bool>,
    by_id: HashMap<Text<'t>, Element<'t>>,
    pub(super) people: HashMap<Text<'t>, Reference<'t>>,
    /// What those in `people` are called.
    pub(super) names: HashMap<Text<'t>, String>,
    /// Locations by their name.
    pub(super) places: HashMap<&'t str, Reference<'t>>,
    /// SNOMED code of a problem → id of its Condition.
    pub(super) problems: HashMap<&'t str, Text<'t>>,
    pub(super) drugs: HashMap<Drug<'t>, Reference<'t>>,
    pub(super) ties: Ties<'t>,
    /// Place of a statement that says nothing of its own → the one that says it.
    pub(super) twins: HashMap<usize, Element<'t>>,
    /// LinkSets wait until everything they link has become something.
    pub(super) links: Vec<(Element<'t>, Scene<'t>)>,
    pub(super) missing: Vec<MissingDocument>,
    /// What was referred to before it was read, and what came to be.
    promised: Vec<Reference<'t>>,
    made: HashSet<Text<'t>>,
    denied: Denied<'t>,
    extract_id: Text<'t>,
    system: String,
    patient: String,
    bundle: Vec<u8>,
}

/// How far the reading of one statement has come.
#[derive(Default)]
struct Progress<'t> {
    id: Text<'t>,
    /// What was wrong with it before it was read.
    faults: Vec<Fault>,
    state: Option<State>,
    /// The resource that says what it says.
    became: Option<Reference<'t>>,
}

/// What may not be referred to before it is read, because it will never be: a statement in a place where none is read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Denied<'t> {
    These(HashSet<Text<'t>>),
    All,
}

/// Reads a message: again, should a link lead forwards to what did not come to be, and the third time without any.
pub(super) fn read(message: &[u8], expected: &Expected) -> Result<super::Reading, ReadRefusal> {
    let message = &*encoding::decoded(message, expected.most_bytes)?;
    let tree = Tree::parse(message, expected.most_bytes)?;
    let extract = tree.elements().find(|e| e.name() == "EhrExtract").ok_or(ReadRefusal::NoExtract)?;
    let number = people::whose(extract, expected)?;
    let first = whole(&tree, extract, expected, number, message.len(), Denied::These(HashSet::new()));
    let broken = first.broken();
    let mut last = first;
    if !broken.is_empty() {
        last = whole(&tree, extract, expected, number, message.len(), Denied::These(broken));
        if !last.broken().is_empty() {
            last = whole(&tree, extract, expected, number, message.len(), Denied::All);
        }
    }
    last.finish()
}

fn whole<'t>(
    tree: &'t Tree<'t>,
    extract: Element<'t>,
    expected: &'t Expected,
    number: Option<NhsNumber>,
    length: usize,
    denied: Denied<'t>,
) -> Reading<'t> {
    let mut reading = Reading::new(tree, extract, expected, length, denied);
    people::patient(&mut reading, number);
    people::directory(&mut reading, extract);
    let folders = extract.all("component").flat_map(|c| c.all("ehrFolder"));
    for composition in folders.flat_map(|f| f.all("component")).flat_map(Element::children) {
        consultation::read(&mut reading, composition);
    }
    for statement in reading.statements.clone() {
        let kept = std::iter::successors(Some(statement), |s| reading.twins.get(&s.place()).copied()).last();
        let kept = kept.filter(|kept| *kept != statement).and_then(|kept| reading.resource(kept));
        kept.into_iter().for_each(|kept| reading.merge(statement, &kept));
    }
    for (link, scene) in std::mem::take(&mut reading.links) {
        super::problem::read(&mut reading, link, &scene);
    }
    reading.leftovers();
    reading
}

impl<'t> Reading<'t> {
    fn new(
        tree: &'t Tree<'t>,
        extract: Element<'t>,
        expected: &'t Expected,
        length: usize,
        denied: Denied<'t>,
    ) -> Self {
        let author = extract.down(&["author", "AgentOrgSDS", "agentOrganizationSDS", "id"]);
        let ods = author.and_then(|id| id.attribute("extension")).unwrap_or("unknown");
        let extract_id = extract.of("id", "root").and_then(normalised).unwrap_or_default();
        let patient = upper(derived_uuid(&["read", &extract_id, "patient"]));
        let statements: Vec<Element<'t>> = tree.elements().filter(|e| stands(*e)).collect();
        let labels = labels(tree);
        let mut numbers = vec![0; tree.elements().len()];
        (1..).zip(&statements).for_each(|(number, statement)| numbers[statement.place()] = number);
        let mut reading = Self {
            expected,
            progress: (0..=statements.len()).map(|_| Progress::default()).collect(),
            numbers,
            by_id: HashMap::new(),
            people: HashMap::new(),
            names: HashMap::new(),
            places: HashMap::new(),
            problems: HashMap::new(),
            drugs: HashMap::new(),
            ties: Ties::default(),
            twins: twins::of(&statements, &labels),
            labels,
            statements,
            links: Vec::new(),
            missing: Vec::new(),
            promised: Vec::new(),
            made: HashSet::new(),
            denied,
            extract_id,
            system: format!("https://PSSAdaptor/{ods}"),
            patient,
            bundle: Vec::with_capacity(length),
        };
        reading.bundle.extend_from_slice(br#"{"resourceType":"Bundle","type":"collection","entry":["#);
        reading.give_ids();
        reading.ties = Ties::of(&reading);
        reading.problems = reading.ties.problems(&reading);
        reading
    }

    /// Every statement keeps its own UUID; who has none, or a second claimant, gets one derived from its place.
    fn give_ids(&mut self) {
        // A supply becomes a resource, the statement around it does not: an id that both have is the supply's.
        let (outer, inner): (Vec<_>, Vec<_>) =
            self.statements.iter().copied().partition(|s| s.name() == "MedicationStatement");
        for statement in inner.into_iter().chain(outer) {
            let own =
                statement.all("id").filter_map(|id| id.attribute("root")).find(|root| !root.contains('.'));
            // A document has the id of its statement on purpose (extract §8.8).
            if statement.name() == "referredToExternalDocument" {
                let id = own.and_then(normalised).unwrap_or_else(|| self.derived(statement, "own").into());
                self.of_mut(statement).id = id;
                continue;
            }
            let fault = match own.and_then(normalised) {
                Some(id) if !self.by_id.contains_key(&id) => {
                    self.by_id.insert(id.clone(), statement);
                    self.of_mut(statement).id = id;
                    continue;
                }
                Some(_) => Fault::RepeatedId,
                None => Fault::NoId,
            };
            let id = self.derived(statement, "own").into();
            *self.of_mut(statement) = Progress { id, faults: vec![fault], ..Progress::default() };
        }
    }

    fn of(&self, statement: Element<'_>) -> &Progress<'t> {
        &self.progress[self.numbers[statement.place()] as usize]
    }

    fn of_mut(&mut self, statement: Element<'_>) -> &mut Progress<'t> {
        &mut self.progress[self.numbers[statement.place()] as usize]
    }

    /// An id for something that the message has no id for, the same whenever the message is read.
    pub(super) fn derived(&self, statement: Element<'_>, role: &str) -> String {
        upper(derived_uuid(&["read", &self.extract_id, &statement.place().to_string(), role]))
    }

    /// The id of a statement.
    pub(super) fn id(&self, statement: Element<'_>) -> Text<'t> {
        self.of(statement).id.clone()
    }

    /// The statements, in the order of the message.
    pub(super) fn statements(&self) -> &[Element<'t>] {
        &self.statements
    }

    /// The statement of that id.
    pub(super) fn named(&self, id: &str) -> Option<Element<'t>> {
        self.by_id.get(&*normalised(id)?).copied()
    }

    /// What the statement became.
    pub(super) fn resource(&self, statement: Element<'_>) -> Option<Reference<'t>> {
        self.of(statement).became.clone()
    }

    /// Profile and label of a resource.
    pub(super) fn meta(
        &self,
        profile: &'static str,
        statement: Element<'_>,
        scene: &Scene<'_>,
    ) -> Option<Meta> {
        Some(Meta { profile, withheld: scene.withheld || self.labelled(statement) })
    }

    /// Whether the element or anything around it is labelled NOPAT (extract §13.5).
    pub(super) fn labelled(&self, element: Element<'_>) -> bool {
        self.labels[element.place()]
    }

    /// The scene of a resource that says what these say, too: their labels are its own (extract §13.5).
    pub(super) fn merging(
        &self,
        scene: &Scene<'t>,
        merged: impl IntoIterator<Item = Element<'t>>,
    ) -> Scene<'t> {
        let withheld = scene.withheld || merged.into_iter().any(|element| self.labelled(element));
        Scene { withheld, ..scene.clone() }
    }

    /// The identifier that says which statement of which practice a resource was.
    pub(super) fn identifier(&self, id: &str) -> Vec<Identifier<'t>> {
        vec![Identifier {
            system: self.system.clone().into(),
            value: id.to_owned().into(),
            ..Identifier::default()
        }]
    }

    pub(super) fn subject(&self) -> Option<Reference<'t>> {
        Some(Reference::to("Patient", &self.patient))
    }

    /// Id of the Patient.
    pub(super) fn patient(&self) -> &str {
        &self.patient
    }

    /// The first participant of such a kind who is in the directory.
    pub(super) fn participant(&self, statement: Element<'t>, kinds: &[&str]) -> Option<Reference<'t>> {
        let of_kind = |p: &Element<'t>| p.attribute("typeCode").is_some_and(|k| kinds.contains(&k));
        statement.all("Participant").filter(of_kind).find_map(|p| self.agent(p.child("agentRef")?))
    }

    /// Who did what a statement says, else who did all in its composition. When the statement names somebody whom the
    /// directory has not, it is nobody: an entry must not be attributed to another person.
    pub(super) fn actor(
        &self,
        statement: Element<'t>,
        kinds: &[&str],
        scene: &Scene<'t>,
        draft: &mut Draft,
    ) -> Option<Reference<'t>> {
        let found = self.participant(statement, kinds);
        if found.is_none() && self.names_nobody_known(statement, kinds) {
            draft.fault(Fault::UnknownAgent);
            return None;
        }
        found.or_else(|| self.performer(scene))
    }

    /// Whether a participant of such a kind has an id, and the directory has it not.
    pub(super) fn names_nobody_known(&self, statement: Element<'t>, kinds: &[&str]) -> bool {
        let of_kind = |p: &Element<'t>| p.attribute("typeCode").is_some_and(|k| kinds.contains(&k));
        let mut named = statement.all("Participant").filter(of_kind).filter_map(|p| p.child("agentRef"));
        named.any(|agent| agent.of("id", "root").is_some() && self.agent(agent).is_none())
    }

    /// The first participant of a composition.
    pub(super) fn performer(&self, scene: &Scene<'t>) -> Option<Reference<'t>> {
        scene.composition.all("Participant2").find_map(|p| self.agent(p.child("agentRef")?))
    }

    /// Whom an `agentRef` means.
    pub(super) fn agent(&self, reference: Element<'t>) -> Option<Reference<'t>> {
        let id = normalised(reference.of("id", "root")?)?;
        self.people.get(&id).cloned()
    }

    /// What an `agentRef` means is called.
    pub(super) fn agent_name(&self, reference: Element<'t>) -> Option<&str> {
        let id = normalised(reference.of("id", "root")?)?;
        self.names.get(&id).map(String::as_str)
    }

    /// When the entry was written down: the author's time of its composition (extract §13.3).
    pub(super) fn written(&self, scene: &Scene<'t>) -> Option<String> {
        let author = scene.composition.down(&["author", "time"]).and_then(|t| t.attribute("value"));
        author.or(scene.composition.of("availabilityTime", "value")).and_then(dates::instant)
    }

    /// When a composition was written, as precisely as it says.
    pub(super) fn written_at(&self, composition: Element<'t>) -> Option<String> {
        let effective = composition.child("effectiveTime");
        let times = [
            composition.down(&["author", "time"]),
            composition.child("availabilityTime"),
            effective.and_then(|e| e.child("center")),
            effective.and_then(|e| e.child("high")),
            effective.and_then(|e| e.child("low")),
        ];
        times.into_iter().flatten().find_map(|t| dates::fhir(t.attribute("value")?))
    }

    /// Adds a resource to the Bundle.
    pub(super) fn add(&mut self, kind: &'static str, id: &str, resource: &impl Serialize) -> Reference<'t> {
        let comma = if self.bundle.ends_with(b"[") { "" } else { "," };
        let head = format!(r#"{comma}{{"resource":{{"resourceType":"{kind}","id":"{id}""#);
        self.bundle.extend_from_slice(head.as_bytes());
        let brace = self.bundle.len();
        serde_json::to_writer(&mut self.bundle, resource)
            .expect("structures of texts and lists can be written to memory");
        // The members follow ours in one object.
        if self.bundle.ends_with(b"{}") {
            self.bundle.remove(brace);
        } else {
            self.bundle[brace] = b',';
        }
        self.bundle.push(b'}');
        let reference = Reference::to(kind, id);
        self.made.insert(reference.reference.clone());
        reference
    }

    /// A reference to what may not have been read yet; none when it never will be.
    pub(super) fn forward(&mut self, kind: &str, id: &str, draft: &mut Draft) -> Option<Reference<'t>> {
        let reference = Reference::to(kind, id);
        let denied = match &self.denied {
            Denied::These(broken) => broken.contains(&reference.reference),
            Denied::All => !self.made.contains(&reference.reference),
        };
        if denied {
            draft.fault(Fault::DanglingReference);
            return None;
        }
        self.promised.push(reference.clone());
        Some(reference)
    }

    /// What was referred to and did not come to be.
    fn broken(&self) -> HashSet<Text<'t>> {
        let promised = self.promised.iter().map(|p| &p.reference);
        promised.filter(|p| !self.made.contains(*p)).cloned().collect()
    }

    /// Leaves what a statement became, and what was lost.
    pub(super) fn settle(&mut self, statement: Element<'t>, to: &Reference<'t>, draft: &Draft) {
        let mut reasons = draft.faults();
        let progress = self.of_mut(statement);
        reasons.append(&mut progress.faults);
        reasons.sort_unstable();
        reasons.dedup();
        let to_id = to.reference.clone().into_owned();
        let state = if reasons.is_empty() {
            State::Mapped { to: to_id }
        } else {
            State::Degraded { to: to_id, reasons }
        };
        progress.state = Some(state);
        progress.became = Some(to.clone());
    }

    /// Leaves a statement whose facts are in another's resource.
    pub(super) fn merge(&mut self, statement: Element<'t>, into: &Reference<'t>) {
        let progress = self.of_mut(statement);
        let merged = || State::Merged { into: into.reference.clone().into_owned() };
        progress.state.get_or_insert_with(merged);
        progress.became.get_or_insert_with(|| into.clone());
    }

    /// Leaves everything inside a statement, as far as it has no state, merged into that statement's resource.
    pub(super) fn merge_inner(&mut self, statement: Element<'t>, into: &Reference<'t>) {
        for inner in statement.within().skip(1).filter(|e| STATEMENTS.contains(&e.name())) {
            self.merge(inner, into);
        }
    }

    /// Leaves a statement that says nothing clinical.
    pub(super) fn leave(&mut self, statement: Element<'t>, reason: Unsent) {
        self.of_mut(statement).state = Some(State::NotClinical { reason });
    }

    /// The last resort: an Observation with all the words of the statement.
    pub(super) fn narrate(
        &mut self,
        statement: Element<'t>,
        scene: &Scene<'t>,
        draft: &mut Draft,
    ) -> Reference<'t> {
        draft.fault(Fault::Narrated);
        let scene = self.merging(scene, statement.within());
        let mut words = statement.words();
        if words.is_empty() {
            words = format!("An entry of type {} without words", shown(statement));
        }
        let reference = self.say(statement, &scene, words, draft);
        // All words of all that is in it are said here.
        for inner in statement.within().skip(1).filter(|e| stands(*e)) {
            self.merge(inner, &reference);
        }
        reference
    }

    /// A comment with these words in the place of a statement.
    pub(super) fn say(
        &mut self,
        statement: Element<'t>,
        scene: &Scene<'t>,
        words: String,
        draft: &mut Draft,
    ) -> Reference<'t> {
        let mut id = self.id(statement);
        // A document has the id of the statement that refers to it.
        if self.made.contains(&Reference::to("Observation", &id).reference) {
            id = self.derived(statement, "own").into();
        }
        let available = statement.of("availabilityTime", "value").and_then(dates::fhir);
        let performer = self.actor(statement, &["PRF", "PPRF"], scene, draft);
        let observation = Observation {
            meta: self.meta("Observation", statement, scene),
            identifier: self.identifier(&id),
            status: "unknown",
            code: Some(comment_code()),
            subject: self.subject(),
            context: scene.context(),
            effective_date_time: available,
            issued: self.written(scene),
            performer: performer.into_iter().collect(),
            comment: Some(words.into()),
            ..Observation::default()
        };
        let reference = self.add("Observation", &id, &observation);
        self.settle(statement, &reference, draft);
        reference
    }

    /// Nothing gets lost because no kind asked for it.
    fn leftovers(&mut self) {
        for at in 0..self.statements.len() {
            let statement = self.statements[at];
            if self.of(statement).state.is_none() {
                let around = std::iter::successors(Some(statement), |e| e.parent());
                let composition = around.into_iter().find(|e| e.name() == "ehrComposition");
                let (scene, mut draft) =
                    (Scene::of(composition.unwrap_or(statement), None), Draft::default());
                if !STATEMENTS.contains(&statement.name()) {
                    draft.fault(Fault::UnknownStatement);
                }
                self.narrate(statement, &scene, &mut draft);
            }
        }
    }

    fn finish(mut self) -> Result<super::Reading, ReadRefusal> {
        self.bundle.extend_from_slice(b"]}");
        let progress = self.statements.iter().zip(self.progress.into_iter().skip(1));
        let states = progress.map(|(statement, p)| (format!("{}/{}", shown(*statement), p.id), p.state));
        let account = Account::draw(states.collect()).map_err(|ids| ReadRefusal::Unbalanced { ids })?;
        Ok(super::Reading { json: self.bundle, account, missing: self.missing })
    }
}

/// Of each element, whether it or anything around it is labelled. Elements follow those around them.
fn labels(tree: &Tree<'_>) -> Vec<bool> {
    let mut labels: Vec<bool> = Vec::with_capacity(tree.elements().len());
    for element in tree.elements() {
        let around = element.parent().is_some_and(|parent| labels[parent.place()]);
        labels.push(around || withheld(element));
    }
    labels
}

/// The code of a comment: a note that has no code of its own.
pub(super) fn comment_code<'t>() -> CodeableConcept<'t> {
    CodeableConcept::of(fhir::SNOMED, "37331000000100", "Comment note")
}
