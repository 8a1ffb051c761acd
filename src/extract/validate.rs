//! The gate before an extract leaves: every element where the schema has it, as often and in the order it says; ids well
//! formed and unique; every reference resolved (extract §1.3, §1.6, §2.1).
//!
//! One pass over the message by the table in `profile`. It is no general schema validation, and it judges no meaning.

use std::collections::HashSet;

use quick_xml::events::{BytesStart, Event};

use super::flaw::{Finding, Flaw, Wrong};
use super::plain::{NotPlain, Part, Plain};
use super::profile::{self, Child, Need, Order, Shape, Text, Travels};
use super::xml;

/// So many flaws are listed: who mends fifty looks again.
pub const MOST: usize = 50;

/// So many letters of a name are repeated: the name of a stranger's element may be anything.
const NAME: usize = 64;

/// Elements whose id names something else in the message.
const LINKS: [&str; 5] = [
    "statementRef",
    "namedStatementRef",
    "priorMedicationRef",
    "justifyingStatementRef",
    "priorStatementRef",
];

/// What keeps a message of ours from leaving; empty when nothing does.
pub(super) fn check(xml: &str) -> Vec<Finding> {
    examine(xml, MOST)
}

/// Everything that is wrong with the message, up to a limit.
pub(super) fn all(message: &[u8]) -> Vec<Finding> {
    match std::str::from_utf8(message) {
        Ok(xml) if xml::carries(xml) => examine(xml, MOST),
        Ok(xml) => vec![broken(xml.as_bytes(), xml.find(|c: char| !xml::carried(c)).unwrap_or_default())],
        Err(e) => vec![broken(message, e.valid_up_to())],
    }
}

fn examine(xml: &str, most: usize) -> Vec<Finding> {
    let xml = xml.strip_prefix('\u{FEFF}').unwrap_or(xml);
    plainly(xml, most).unwrap_or_else(|Broken| fully(xml, most))
}

/// What is wrong with a message that is written as we write: reading all of XML would take most of the time of a build.
fn plainly(xml: &str, most: usize) -> Result<Vec<Finding>, Broken> {
    // Ours have an id in about 900 bytes: a set that grows hashes all of them again each time.
    let mut walk = Walk { most, ids: HashSet::with_capacity(xml.len() / 1000), ..Walk::default() };
    walk.along(&mut Plain::new(xml))?;
    Ok(walk.finish())
}

/// What is wrong with a message of any writer.
fn fully(xml: &str, most: usize) -> Vec<Finding> {
    let mut walk = Walk { most, ..Walk::default() };
    let mut reader = quick_xml::Reader::from_str(xml);
    if walk.through(xml, &mut reader).is_err() {
        let at = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        walk.findings.push(broken(xml.as_bytes(), at));
        return walk.findings;
    }
    walk.finish()
}

/// That the message is not well formed from there on.
fn broken(message: &[u8], at: usize) -> Finding {
    let line = 1 + message[..at.min(message.len())].iter().filter(|b| **b == b'\n').count();
    Finding { path: String::new(), id: None, flaw: Flaw::NotXml { line } }
}

/// The same words where they stand in the message: what the reader lends lives only as long as its event.
pub(super) fn within<'a>(message: &'a str, words: &str) -> &'a str {
    let at = (words.as_ptr() as usize).wrapping_sub(message.as_ptr() as usize);
    let found = message.get(at..at.saturating_add(words.len()));
    found.expect("the reader of a text lends parts of that text")
}

/// An element that is open.
struct Level<'a> {
    name: &'a str,
    shape: &'static Shape,
    /// Which child it has come to, and how many of it.
    at: usize,
    times: u32,
    /// Which children have been met.
    met: u64,
    id: Option<&'a str>,
}

/// Not well formed: nothing more can be said.
struct Broken;

impl From<NotPlain> for Broken {
    fn from(NotPlain: NotPlain) -> Self {
        Self
    }
}

#[derive(Default)]
struct Walk<'a> {
    most: usize,
    findings: Vec<Finding>,
    levels: Vec<Level<'a>>,
    /// Depth within an element that is not in the table; what is in it is passed over.
    unknown: usize,
    begun: bool,
    labelled: bool,
    ids: HashSet<&'a str>,
    documents: HashSet<&'a str>,
    agents: HashSet<&'a str>,
    agent_refs: Vec<(&'a str, Option<&'a str>)>,
    links: Vec<(&'a str, Option<&'a str>)>,
}

impl<'a> Walk<'a> {
    fn along(&mut self, plain: &mut Plain<'a>) -> Result<(), Broken> {
        while self.findings.len() < self.most {
            match plain.next()? {
                Part::Start(name) => {
                    if let Some(shape) = self.start(name) {
                        self.open(name, shape, plain.attributes())?;
                    }
                }
                Part::End => self.end(),
                Part::Words(_) => self.words()?,
                Part::Over => break,
            }
        }
        self.ended()
    }

    fn through(&mut self, message: &'a str, reader: &mut quick_xml::Reader<&'a [u8]>) -> Result<(), Broken> {
        while self.findings.len() < self.most {
            match reader.read_event().map_err(|_| Broken)? {
                Event::Start(start) => self.read_start(message, &start)?,
                Event::Empty(start) => {
                    self.read_start(message, &start)?;
                    self.end();
                }
                Event::End(_) => self.end(),
                Event::Text(text) if !text.bytes().all(|b| b.is_ascii_whitespace()) => self.words()?,
                Event::CData(_) | Event::GeneralRef(_) => self.words()?,
                Event::Eof => break,
                Event::Text(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                // An extract has no document type.
                Event::DocType(_) => return Err(Broken),
            }
        }
        self.ended()
    }

    fn read_start(&mut self, message: &'a str, start: &BytesStart<'_>) -> Result<(), Broken> {
        let name = within(message, start.local_name().into_inner());
        let Some(shape) = self.start(name) else { return Ok(()) };
        let mut attributes = Vec::new();
        for attribute in start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|_| Broken)?;
            let key = within(message, attribute.key.into_inner());
            attributes.push((key, within(message, &attribute.value)));
        }
        self.open(name, shape, &attributes)
    }

    /// Whether the message has come to its end. Who stops at the limit has not seen it.
    fn ended(&self) -> Result<(), Broken> {
        let ended = self.levels.is_empty() && self.unknown == 0 && self.begun;
        if ended || self.findings.len() >= self.most { Ok(()) } else { Err(Broken) }
    }

    /// The shape that the element which begins here must have; none when what is in it is passed over.
    fn start(&mut self, name: &str) -> Option<&'static Shape> {
        if self.unknown > 0 {
            self.unknown += 1;
            return None;
        }
        let shape = if self.levels.is_empty() { self.root(name) } else { self.place(name) };
        if shape.is_none() {
            self.unknown = 1;
        }
        shape
    }

    fn open(
        &mut self,
        name: &'a str,
        shape: &'static Shape,
        attributes: &[(&'a str, &'a str)],
    ) -> Result<(), Broken> {
        let shape = match shape.order {
            Order::ByType => self.typed(name, shape, attributes),
            Order::Listed | Order::OneOf | Order::Interval | Order::Free => Some(shape),
        };
        let Some(shape) = shape else {
            self.unknown = 1;
            return Ok(());
        };
        self.levels.push(Level { name, shape, at: 0, times: 0, met: 0, id: None });
        self.attributes(name, shape, attributes)
    }

    /// The outermost element: which message it is.
    fn root(&mut self, name: &str) -> Option<&'static Shape> {
        let first = !std::mem::replace(&mut self.begun, true);
        self.labelled = name == "RCMR_IN030000UK07";
        if first && (self.labelled || name == "RCMR_IN030000UK06") {
            return Some(&profile::MESSAGE);
        }
        self.found(Flaw::NoExtract);
        None
    }

    /// Where the child stands in what is open: after what came before it, and not too often.
    fn place(&mut self, name: &str) -> Option<&'static Shape> {
        let level = self.levels.last_mut()?;
        let (shape, parent) = (level.shape, level.name);
        let from = match shape.order {
            Order::Listed | Order::Interval => level.at,
            Order::OneOf | Order::Free | Order::ByType => 0,
        };
        let Some((at, child)) = find(shape, from, name) else {
            self.found(Flaw::Misplaced { element: named(name), parent: named(parent) });
            // What is only out of order is looked into all the same.
            return find(shape, 0, name).map(|(_, child)| child.shape);
        };
        let (before, times) = (level.at, level.times);
        level.met |= 1 << at;
        level.times = if at == before { times.saturating_add(1) } else { 1 };
        level.at = at;
        let (met, now) = (level.met, level.times);
        let too_many = match shape.order {
            Order::Listed => now > child.most,
            // The centre is the first of the list, and alone.
            Order::Interval => now > child.most || (met & 1 == 1 && met != 1),
            Order::OneOf => met.count_ones() > 1 || now > 1,
            Order::Free | Order::ByType => false,
        };
        if too_many {
            self.found(Flaw::TooMany { element: named(name), parent: named(parent) });
        }
        if shape.order == Order::Listed && at > before {
            self.skipped(shape, parent, before, times, at);
        }
        if child.travels == Travels::Labelled && !self.labelled {
            self.found(Flaw::Label { parent: named(parent) });
        }
        Some(child.shape)
    }

    /// Those that must be there among the children that were passed: the one it stood at, and those up to the new one.
    fn skipped(&mut self, shape: &'static Shape, parent: &str, before: usize, times: u32, at: usize) {
        for passed in before..at {
            let Some(child) = nth(shape, passed) else { return };
            let there = if passed == before { times } else { 0 };
            if there < child.least {
                self.found(Flaw::Missing { element: child.name.to_owned(), parent: named(parent) });
            }
        }
    }

    /// The shape of a value, by the type that it states.
    fn typed(
        &mut self,
        name: &str,
        shape: &'static Shape,
        attributes: &[(&str, &str)],
    ) -> Option<&'static Shape> {
        let stated = attributes.iter().find(|(key, _)| *key == "xsi:type");
        let found = stated.and_then(|(_, stated)| find(shape, 0, stated));
        if found.is_none() {
            let wrong = if stated.is_some() { Wrong::Malformed } else { Wrong::Missing };
            self.found(Flaw::Attribute { attribute: "xsi:type".to_owned(), element: named(name), wrong });
        }
        found.map(|(_, child)| child.shape)
    }

    fn attributes(
        &mut self,
        name: &str,
        shape: &'static Shape,
        attributes: &[(&'a str, &'a str)],
    ) -> Result<(), Broken> {
        let mut met = 0_u32;
        for (place, (key, value)) in attributes.iter().enumerate() {
            // Ours stand in the order of the table.
            let ours = shape.attributes.get(place).filter(|a| a.name == *key).map(|_| place);
            let found = ours.or_else(|| shape.attributes.iter().position(|a| a.name == *key));
            let Some(at) = found else {
                if !spaces(key, self.levels.len()) {
                    self.wrong(name, key, Wrong::Unknown);
                }
                continue;
            };
            if met & (1 << at) != 0 {
                return Err(Broken);
            }
            met |= 1 << at;
            if !shape.attributes[at].form.fits(value) {
                self.wrong(name, key, Wrong::Malformed);
            } else if *key == "root" {
                self.id(value);
            }
        }
        for (at, attribute) in shape.attributes.iter().enumerate() {
            if attribute.need == Need::Must && met & (1 << at) == 0 {
                self.wrong(name, attribute.name, Wrong::Missing);
            }
        }
        Ok(())
    }

    fn wrong(&mut self, element: &str, attribute: &str, wrong: Wrong) {
        self.found(Flaw::Attribute { attribute: named(attribute), element: named(element), wrong });
    }

    /// An id that the element now open, an `id` itself, gives to what it stands in.
    fn id(&mut self, root: &'a str) {
        let [.., owner, own] = &mut self.levels[..] else { return };
        if own.name != "id" || root.contains('.') {
            return;
        }
        let element = owner.name;
        // The form of the attribute has let through UUIDs and OIDs, and only UUIDs have a hyphen.
        if root.as_bytes().get(8) != Some(&b'-') {
            return self.found(Flaw::BadId { element: named(element) });
        }
        let statement = owner.id;
        match element {
            "agentRef" => self.agent_refs.push((root, self.around())),
            link if LINKS.contains(&link) => self.links.push((root, self.around())),
            // The request and what is replaced are another message's; the specification is a constant.
            "priorEhrRequest" | "priorCompositionRef" | "limitingEhrExtractSpecification" => {}
            _ => {
                if statement.is_none() {
                    owner.id = Some(root);
                }
                let fresh = match element {
                    // A document has the id of its statement (extract §8.8).
                    "referredToExternalDocument" => self.documents.insert(root),
                    "Agent" => self.agents.insert(root) & self.ids.insert(root),
                    _ => self.ids.insert(root),
                };
                if !fresh {
                    self.found(Flaw::RepeatedId { id: root.to_owned() });
                }
            }
        }
    }

    fn words(&mut self) -> Result<(), Broken> {
        match self.levels.last() {
            _ if self.unknown > 0 => {}
            Some(level) if level.shape.text == Text::No => {
                let element = named(level.name);
                self.found(Flaw::Words { element });
            }
            Some(_) => {}
            // Beside the outermost element.
            None => return Err(Broken),
        }
        Ok(())
    }

    fn end(&mut self) {
        if self.unknown > 1 {
            self.unknown -= 1;
            return;
        }
        if std::mem::take(&mut self.unknown) == 1 {
            return;
        }
        let Some(level) = self.levels.last() else { return };
        let (shape, name, at, times, met) = (level.shape, level.name, level.at, level.times, level.met);
        match shape.order {
            Order::Listed => self.skipped(shape, name, at, times, shape.children.len() + shape.tail.len()),
            Order::OneOf if met == 0 => {
                let names: Vec<&str> = shape.children.iter().map(|c| c.name).collect();
                self.found(Flaw::Missing { element: names.join(" or "), parent: named(name) });
            }
            Order::OneOf | Order::Interval | Order::Free | Order::ByType => {}
        }
        self.levels.pop();
    }

    /// Id of the innermost open element that has one.
    fn around(&self) -> Option<&'a str> {
        self.levels.iter().rev().find_map(|level| level.id)
    }

    fn found(&mut self, flaw: Flaw) {
        if self.findings.len() < self.most {
            let names: Vec<&str> = self.levels.iter().map(|level| level.name).collect();
            self.findings.push(Finding { path: names.join("/"), id: self.around().map(str::to_owned), flaw });
        }
    }

    /// Looks whether what is referred to is there, now that all is known.
    fn finish(mut self) -> Vec<Finding> {
        for (id, around) in std::mem::take(&mut self.agent_refs) {
            if !self.agents.contains(id) {
                self.lost("agentRef", around, Flaw::NoAgent { id: id.to_owned() });
            }
        }
        for (id, around) in std::mem::take(&mut self.links) {
            if !self.ids.contains(id) {
                self.lost("statementRef", around, Flaw::NoStatement { id: id.to_owned() });
            }
        }
        self.findings
    }

    fn lost(&mut self, element: &str, around: Option<&str>, flaw: Flaw) {
        if self.findings.len() < self.most {
            self.findings.push(Finding { path: element.to_owned(), id: around.map(str::to_owned), flaw });
        }
    }
}

/// The first child of that name, from a place in the list on.
fn find(shape: &'static Shape, from: usize, name: &str) -> Option<(usize, &'static Child)> {
    (from..).map_while(|at| Some((at, nth(shape, at)?))).find(|(_, child)| child.name == name)
}

fn nth(shape: &'static Shape, at: usize) -> Option<&'static Child> {
    shape.children.get(at).or_else(|| shape.tail.get(at.checked_sub(shape.children.len())?))
}

/// Whether the attribute declares a name space: on the outermost element alone.
fn spaces(key: &str, depth: usize) -> bool {
    depth == 1 && (key == "xmlns" || key.starts_with("xmlns:") || key == "xsi:schemaLocation")
}

/// A name of the message, to be repeated in a flaw.
fn named(name: &str) -> String {
    name.chars().take(NAME).collect()
}

/// Whether the text is a UUID as the schema wants it.
pub(super) fn is_upper_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'A'..=b'F').contains(&b),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "05E9B02E-2991-4AE1-BFCF-444095DFEBD8";
    const B: &str = "15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD";
    const AGENT: &str = "25D6C748-100D-46E3-A8BC-DFEA5F2DB2BD";

    /// What is wrong with a statement, when it stands in an otherwise flawless message.
    fn flaws(form: &str, statement: &str) -> Vec<Flaw> {
        let message = super::super::trial::message(form, statement);
        all(message.as_bytes()).into_iter().map(|f| f.flaw).collect()
    }

    fn narrative(id: &str, more: &str) -> String {
        format!(
            "<NarrativeStatement classCode=\"OBS\" moodCode=\"EVN\"><id root=\"{id}\"/><text>x</text>\
             <statusCode code=\"COMPLETE\"/><availabilityTime value=\"20260302\"/>{more}</NarrativeStatement>"
        )
    }

    fn missing(element: &str, parent: &str) -> Flaw {
        Flaw::Missing { element: element.to_owned(), parent: parent.to_owned() }
    }

    fn misplaced(element: &str, parent: &str) -> Flaw {
        Flaw::Misplaced { element: element.to_owned(), parent: parent.to_owned() }
    }

    fn attribute(attribute: &str, element: &str, wrong: Wrong) -> Flaw {
        Flaw::Attribute { attribute: attribute.to_owned(), element: element.to_owned(), wrong }
    }

    #[test]
    fn ids_and_references_are_held_to_account() {
        let link = |id: &str| {
            format!(
                "<reason typeCode=\"RSON\"><justifyingStatementRef classCode=\"OBS\" moodCode=\"EVN\">\
                 <id root=\"{id}\"/></justifyingStatementRef></reason>"
            )
        };
        let by = |id: &str| {
            format!(
                "<Participant typeCode=\"PRF\" contextControlCode=\"OP\"><agentRef classCode=\"AGNT\">\
                 <id root=\"{id}\"/></agentRef></Participant>"
            )
        };
        let statement = "NarrativeStatement";
        for (more, id, expected) in [
            (link(A) + &by(AGENT), A, vec![misplaced("Participant", statement)]),
            (by(AGENT) + &link(A), A, vec![]),
            (link(B), A, vec![Flaw::NoStatement { id: B.to_owned() }]),
            (by(B), A, vec![Flaw::NoAgent { id: B.to_owned() }]),
            (String::new(), AGENT, vec![Flaw::RepeatedId { id: AGENT.to_owned() }]),
            (String::new(), "1.2.3", vec![]),
            (String::new(), &A.to_lowercase(), vec![attribute("root", "id", Wrong::Malformed)]),
        ] {
            assert_eq!(flaws("UK06", &narrative(id, &more)), expected, "{more}");
        }
        let whole = |message: &str| check(message).into_iter().map(|f| f.flaw).collect::<Vec<_>>();
        assert_eq!(whole("<o/>"), [Flaw::NoExtract], "another message");
        assert_eq!(whole("<RCMR_IN030000UK06>"), [Flaw::NotXml { line: 1 }], "cut short");
    }

    #[test]
    fn what_is_no_xml_and_no_day_is_found() {
        let message = super::super::trial::message("UK06", &narrative(A, ""));
        let flaws = |message: &str| all(message.as_bytes()).into_iter().map(|f| f.flaw).collect::<Vec<_>>();
        assert_eq!(flaws(&message), []);
        assert_eq!(flaws(&format!("{message}more")), [Flaw::NotXml { line: 1 }], "text beside the root");
        assert_eq!(
            flaws(&message.replace(">x<", ">\n\u{1}<")),
            [Flaw::NotXml { line: 2 }],
            "no character of XML"
        );
        let wrong = Flaw::Attribute {
            attribute: "value".to_owned(),
            element: "availabilityTime".to_owned(),
            wrong: Wrong::Malformed,
        };
        assert_eq!(flaws(&message.replace("20260302", "20260230")), [wrong], "no day of the calendar");
    }

    #[test]
    fn children_are_counted_and_in_order() {
        let whole = narrative(A, "");
        let statement = "NarrativeStatement";
        let text = "<text>x</text>";
        for (damaged, expected) in [
            (whole.replace(text, ""), vec![missing("text", statement)]),
            (
                whole.replace(text, &text.repeat(2)),
                vec![Flaw::TooMany { element: "text".to_owned(), parent: statement.to_owned() }],
            ),
            (
                whole.replace(text, "<odd><id root=\"x\"/></odd><text>x</text>"),
                vec![misplaced("odd", statement)],
            ),
            (whole.replace(text, "y<text>x</text>"), vec![Flaw::Words { element: statement.to_owned() }]),
            (
                whole.replace("20260302", "2nd March"),
                vec![attribute("value", "availabilityTime", Wrong::Malformed)],
            ),
            (whole.replace(" moodCode=\"EVN\"", ""), vec![attribute("moodCode", statement, Wrong::Missing)]),
            (
                whole.replace(" moodCode=\"EVN\"", " moodCode=\"RQO\""),
                vec![attribute("moodCode", statement, Wrong::Malformed)],
            ),
            (whole.replace("<text>", "<text lang=\"en\">"), vec![attribute("lang", "text", Wrong::Unknown)]),
        ] {
            assert_eq!(flaws("UK06", &damaged), expected, "{damaged}");
        }
        assert!(flaws("UK06", "").contains(&missing("ObservationStatement or NarrativeStatement or MedicationStatement or CompoundStatement or LinkSet or RequestStatement or PlanStatement or EhrEmpty or RegistrationStatement", "component")), "a component holds one statement");
    }

    #[test]
    fn both_readers_find_the_same() {
        let message = super::super::trial::message("UK06", &narrative(A, ""));
        assert!(plainly(&message, MOST).is_ok(), "our own messages are in the plain form");
        let letters = message.char_indices().map(|(at, _)| at).collect::<Vec<_>>();
        let (mut same, mut left) = (0, 0);
        for (at, end) in letters.iter().zip(letters.iter().skip(1)) {
            for instead in
                ["", "<", ">", "\"", " ", "/", "&", "&amp;", "A", "<a/>", "<id root=\"1\"/>", "x=\"1\" "]
            {
                let damaged = [&message[..*at], instead, &message[*end..]].concat();
                match plainly(&damaged, MOST) {
                    Ok(findings) => {
                        let mut full = fully(&damaged, MOST);
                        // To the full reader, words around an escape are three.
                        full.dedup_by(|one, other| one == other && matches!(one.flaw, Flaw::Words { .. }));
                        assert_eq!(findings, full, "{instead:?} at {at}");
                        same += 1;
                    }
                    Err(Broken) => left += 1,
                }
            }
        }
        assert!(same > 1000 && left > 1000, "{same} and {left}: the damage is of both sorts");
    }

    #[test]
    fn a_label_travels_in_one_message_only() {
        let labelled =
            narrative(A, "<confidentialityCode code=\"NOPAT\" codeSystem=\"2.16.840.1.113883.4.642.3.47\"/>");
        assert_eq!(flaws("UK07", &labelled), [], "extract §9");
        let parent = "NarrativeStatement".to_owned();
        assert_eq!(flaws("UK06", &labelled), [Flaw::Label { parent }], "D11");
    }

    #[test]
    fn a_finding_says_where_it_is() {
        let message = super::super::trial::message("UK06", &narrative(A, "<odd/>"));
        let found = all(message.as_bytes());
        assert_eq!(found.len(), 1);
        assert!(found[0].path.ends_with("/ehrComposition/component/NarrativeStatement"), "{}", found[0].path);
        assert_eq!(found[0].id.as_deref(), Some(A), "the id of the statement around it");
    }
}
