//! The gate before an extract leaves: its structure as the message type has it, ids well formed and unique, every
//! reference resolved (extract §1.3, §1.6, §2.1). One pass over the message; the table is `shape`.
//!
//! It looks into no vocabulary and no free text; a schema does that better, and this has to be quick: it is part of
//! every build.

use std::collections::HashSet;

use quick_xml::events::{BytesStart, Event};

use super::shape::{Child, Holds, MANY, MESSAGE, Shape};

/// What is wrong with a message that we made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not well-formed XML.
    #[error("the message is not well formed")]
    NotXml,
    /// It is no extract of either interaction.
    #[error("the message is no RCMR_IN030000UK06 or RCMR_IN030000UK07")]
    NotExtract,
    /// A child that does not belong there, or not in that place.
    #[error("{element} does not belong there in {parent}")]
    Misplaced {
        /// The child.
        element: String,
        /// What it is in.
        parent: String,
    },
    /// A child that must be there.
    #[error("{parent} has too few of {element}")]
    Missing {
        /// The child.
        element: &'static str,
        /// Where it is missing.
        parent: String,
    },
    /// A child more often than it may be.
    #[error("{parent} has too many of {element}")]
    TooMany {
        /// The child.
        element: &'static str,
        /// What it is in.
        parent: String,
    },
    /// An attribute that is missing or of no value that it may have.
    #[error("{attribute} of {element} is missing or not as it must be")]
    BadAttribute {
        /// The attribute.
        attribute: &'static str,
        /// Its element.
        element: String,
    },
    /// A label in a message that cannot carry one.
    #[error("a confidentiality label is in a message that cannot carry one")]
    Label,
    /// An id that is no upper-case UUID.
    #[error("the id of {element} is no upper-case UUID")]
    BadId {
        /// The element whose id it is.
        element: String,
    },
    /// Two elements with one id.
    #[error("the id {id} is on more than one element")]
    RepeatedId {
        /// The id.
        id: String,
    },
    /// A reference to an agent that is not in the directory.
    #[error("the agent {id} is not in the directory")]
    NoAgent {
        /// The id.
        id: String,
    },
    /// A link to a statement that is not in the message.
    #[error("the statement {id} is linked but not in the message")]
    NoStatement {
        /// The id.
        id: String,
    },
}

/// One flaw, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong.
    pub flaw: Flaw,
    /// Elements from the outermost to the one that is meant, parted by slashes.
    pub path: String,
    /// The id of the innermost statement around it that has one.
    pub id: Option<String>,
}

/// Flaws that are told of one message: who has more has one cause.
const MOST: usize = 50;

/// Checks the message; gives the first flaws.
pub(super) fn check(message: &str) -> Vec<Finding> {
    let mut check = Check::new(message);
    let mut reader = quick_xml::Reader::from_str(message);
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => check.open(&start),
            Ok(Event::Empty(start)) => {
                check.open(&start);
                check.close();
            }
            Ok(Event::End(_)) => check.close(),
            Ok(Event::Eof) if check.open.is_empty() => break,
            Err(_) | Ok(Event::Eof | Event::DocType(_)) => {
                check.find(Flaw::NotXml);
                return check.findings;
            }
            Ok(Event::Text(_) | Event::CData(_) | Event::GeneralRef(_)) => {}
            Ok(Event::Comment(_) | Event::PI(_) | Event::Decl(_)) => {}
        }
        if check.findings.len() == MOST {
            return check.findings;
        }
    }
    check.resolve();
    check.findings
}

/// An element that is open.
struct Open<'a> {
    name: &'a str,
    /// Nothing is known of what is in an element that does not belong.
    shape: Option<&'static Shape>,
    /// Which child came last, and how often.
    at: usize,
    count: u8,
    /// The id of the statement.
    id: Option<&'a str>,
}

struct Check<'a> {
    message: &'a str,
    labels: bool,
    open: Vec<Open<'a>>,
    findings: Vec<Finding>,
    ids: HashSet<&'a str>,
    documents: HashSet<&'a str>,
    agents: HashSet<&'a str>,
    agent_refs: Vec<&'a str>,
    links: Vec<&'a str>,
}

impl<'a> Check<'a> {
    fn new(message: &'a str) -> Self {
        Self {
            message,
            labels: false,
            open: Vec::with_capacity(32),
            findings: Vec::new(),
            ids: HashSet::new(),
            documents: HashSet::new(),
            agents: HashSet::new(),
            agent_refs: Vec::new(),
            links: Vec::new(),
        }
    }

    fn find(&mut self, flaw: Flaw) {
        let path: Vec<&str> = self.open.iter().map(|o| o.name).collect();
        let id = self.open.iter().rev().find_map(|o| o.id).map(str::to_owned);
        self.findings.push(Finding { flaw, path: path.join("/"), id });
    }

    fn open(&mut self, start: &BytesStart<'_>) {
        let name = within(self.message, start.local_name().into_inner());
        let shape = match self.open.last_mut() {
            None => {
                self.labels = name == "RCMR_IN030000UK07";
                (self.labels || name == "RCMR_IN030000UK06").then_some(&MESSAGE)
            }
            Some(parent) => match parent.shape {
                None => None,
                Some(shape) if shape.content != Holds::Children => None,
                Some(shape) => match parent.take(shape, name) {
                    Ok(child) => Some(child.shape),
                    Err(flaw) => {
                        self.find(flaw);
                        None
                    }
                },
            },
        };
        if shape.is_none() && self.open.is_empty() {
            self.find(Flaw::NotExtract);
        }
        if !self.labels && name == "confidentialityCode" {
            self.find(Flaw::Label);
        }
        self.open.push(Open { name, shape, at: 0, count: 0, id: None });
        let Some(shape) = shape else {
            return self.reference(name, start);
        };
        for (attribute, values) in shape.attributes {
            let found = start.try_get_attribute(*attribute).ok().flatten();
            if !found.is_some_and(|a| values.is_empty() || values.contains(&&*a.value)) {
                self.find(Flaw::BadAttribute { attribute, element: name.to_owned() });
            }
        }
        self.content(shape.content, name, start);
    }

    /// What a leaf says in its attributes.
    fn content(&mut self, holds: Holds, name: &str, start: &BytesStart<'_>) {
        let of = |attribute| start.try_get_attribute(attribute).ok().flatten();
        let wrong = match holds {
            Holds::Children | Holds::Anything => None,
            Holds::Id => return self.reference(name, start),
            Holds::Code if of("code").is_some() && of("codeSystem").is_none() => Some("codeSystem"),
            Holds::Code if of("code").is_none() && of("nullFlavor").is_none() => Some("code"),
            Holds::Time => match of("value") {
                Some(value) => (!is_time(&value.value)).then_some("value"),
                None => of("nullFlavor").is_none().then_some("value"),
            },
            Holds::Amount => of("value").filter(|v| !is_decimal(&v.value)).map(|_| "value"),
            Holds::Code => None,
        };
        if let Some(attribute) = wrong {
            self.find(Flaw::BadAttribute { attribute, element: name.to_owned() });
        }
    }

    /// An id, which names its element or refers to another.
    fn reference(&mut self, name: &str, start: &BytesStart<'_>) {
        let [.., parent, _] = &mut self.open[..] else { return };
        if name != "id" {
            return;
        }
        let Ok(Some(root)) = start.try_get_attribute("root") else { return };
        let root = within(self.message, &root.value);
        if root.contains('.') {
            return;
        }
        let holder = parent.name;
        parent.id.get_or_insert(root);
        if !is_upper_uuid(root) {
            return self.find(Flaw::BadId { element: holder.to_owned() });
        }
        let fresh = match holder {
            "agentRef" => {
                self.agent_refs.push(root);
                true
            }
            "statementRef" | "namedStatementRef" | "priorMedicationRef" => {
                self.links.push(root);
                true
            }
            // The request is another message's; the specification is a constant.
            "priorEhrRequest" | "limitingEhrExtractSpecification" => true,
            // A document has the id of its statement (extract §8.8).
            "referredToExternalDocument" => self.documents.insert(root),
            "Agent" => {
                self.agents.insert(root);
                self.ids.insert(root)
            }
            _ => self.ids.insert(root),
        };
        if !fresh {
            self.find(Flaw::RepeatedId { id: root.to_owned() });
        }
    }

    fn close(&mut self) {
        let Some(last) = self.open.last() else { return };
        if let Some(shape) = last.shape {
            let missing =
                if shape.choice { (last.count == 0).then(|| "statement") } else { last.missing(shape) };
            if let Some(element) = missing {
                let parent = last.name.to_owned();
                self.find(Flaw::Missing { element, parent });
            }
        }
        self.open.pop();
    }

    /// Every reference must lead somewhere.
    fn resolve(&mut self) {
        let agents = self.agent_refs.iter().filter(|id| !self.agents.contains(*id));
        let mut flaws: Vec<Flaw> = agents.map(|id| Flaw::NoAgent { id: (*id).to_owned() }).collect();
        let links = self.links.iter().filter(|id| !self.ids.contains(*id));
        flaws.extend(links.map(|id| Flaw::NoStatement { id: (*id).to_owned() }));
        for flaw in flaws.into_iter().take(MOST - self.findings.len()) {
            self.find(flaw);
        }
    }
}

impl Open<'_> {
    /// Finds the place of the next child.
    fn take(&mut self, shape: &'static Shape, name: &str) -> Result<&'static Child, Flaw> {
        let misplaced = || Flaw::Misplaced { element: name.to_owned(), parent: self.name.to_owned() };
        let from = if shape.choice { 0 } else { self.at };
        let found = shape.children[from..].iter().position(|c| c.name == name).ok_or_else(misplaced)?;
        let at = from + found;
        let child = &shape.children[at];
        if shape.choice {
            let more = matches!(name, "sequenceNumber" | "seperatableInd");
            self.count += u8::from(!more);
            return if self.count > 1 { Err(misplaced()) } else { Ok(child) };
        }
        if at != self.at {
            if let Some(skipped) = self.missing_before(shape, at) {
                // The child itself is as it should be: what is wrong is told once, and the check goes on behind it.
                let flaw = Flaw::Missing { element: skipped, parent: self.name.to_owned() };
                (self.at, self.count) = (at, 1);
                return Err(flaw);
            }
            (self.at, self.count) = (at, 0);
        }
        self.count = self.count.saturating_add(1);
        if child.most != MANY && self.count > child.most {
            return Err(Flaw::TooMany { element: child.name, parent: self.name.to_owned() });
        }
        Ok(child)
    }

    /// The first child before that place that must be there and was not.
    fn missing_before(&self, shape: &'static Shape, before: usize) -> Option<&'static str> {
        let last = shape.children.get(self.at).filter(|c| self.count < c.least);
        let between = shape.children.get(self.at + 1..before).unwrap_or_default();
        last.or_else(|| between.iter().find(|c| c.least > 0)).map(|c| c.name)
    }

    fn missing(&self, shape: &'static Shape) -> Option<&'static str> {
        self.missing_before(shape, shape.children.len())
    }
}

/// 4 to 14 digits, two and two, as times are written.
fn is_time(text: &str) -> bool {
    matches!(text.len(), 4 | 6 | 8 | 10 | 12 | 14) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    number(whole) && number(fraction) && !(whole.is_empty() && fraction.is_empty())
}

/// The same words where they stand in the message: what the reader lends lives only as long as its event.
pub(super) fn within<'a>(message: &'a str, words: &str) -> &'a str {
    let at = (words.as_ptr() as usize).wrapping_sub(message.as_ptr() as usize);
    let found = message.get(at..at.saturating_add(words.len()));
    found.expect("the reader of a text lends parts of that text")
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
    use crate::extract::trial::extract;

    const RESOURCES: &str = r#"{"resourceType": "Observation", "id": "05E9B02E-2991-4AE1-BFCF-444095DFEBD8",
      "code": {"text": "Weight"}, "effectiveDateTime": "2019-04-03", "valueQuantity": {"value": 80.5, "unit": "kg"},
      "performer": [{"reference": "Practitioner/p"}]},
      {"resourceType": "Practitioner", "id": "p", "name": [{"family": "Test"}]},
      {"resourceType": "Condition", "id": "c", "code": {"text": "Obesity"}, "extension": [
        {"url": "x/ActualProblem-1", "valueReference": {"reference": "Observation/05E9B02E-2991-4AE1-BFCF-444095DFEBD8"}}]}"#;

    fn first(message: &str) -> Option<Flaw> {
        check(message).into_iter().next().map(|finding| finding.flaw)
    }

    #[test]
    fn what_we_write_passes_and_each_damage_is_found() {
        let (message, _) = extract(RESOURCES);
        assert_eq!(check(&message), [], "extract §1.3");
        let statement = &message[message.find("<ObservationStatement").unwrap()..];
        let time = r#"<effectiveTime><center value="20190403"/></effectiveTime>"#;
        let value = &statement[statement.find("<value").unwrap()..statement.find("</value>").unwrap() + 8];
        let misplaced = format!("{value}{time}");
        for (from, to, named) in [
            (time, "", "Missing"),
            (time, misplaced.as_str(), "Misplaced"),
            (value, &value.repeat(2), "TooMany"),
            ("<EhrExtract", "<EhrExtrakt", "Misplaced"),
            (
                r#"<ObservationStatement classCode="OBS" moodCode="EVN">"#,
                r#"<ObservationStatement classCode="OBS" moodCode="ENV">"#,
                "BadAttribute",
            ),
            (r#"center value="20190403""#, r#"center value="2019-04-03""#, "BadAttribute"),
            (r#"value="80.5""#, r#"value="80,5""#, "BadAttribute"),
            (r#"<id root="05E9B02E"#, r#"<id root="05e9B02E"#, "BadId"),
            ("</RCMR_IN030000UK06>", "", "NotXml"),
        ] {
            assert!(message.contains(from), "the message has {from}");
            let damaged = message.replacen(from, to, 1);
            let found = format!("{:?}", first(&damaged));
            assert!(found.contains(named), "{from} -> {to}: {found}");
        }
    }

    #[test]
    fn ids_and_references_are_held_to_account() {
        let (message, _) = extract(RESOURCES);
        let other = "15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD";
        let own = "05E9B02E-2991-4AE1-BFCF-444095DFEBD8";
        let link = |to: &str| format!(r#"moodCode="EVN"><id root="{to}"/></namedStatementRef>"#);
        let missing = message.replacen(&link(own), &link(other), 1);
        assert_eq!(first(&missing), Some(Flaw::NoStatement { id: other.to_owned() }));
        let at = message.find("<agentRef").unwrap();
        let end = at + message[at..].find("</agentRef>").unwrap();
        let agent = format!(r#"<agentRef classCode="AGNT"><id root="{other}"/>"#);
        let nobody = [&message[..at], &agent, &message[end..]].concat();
        assert_eq!(first(&nobody), Some(Flaw::NoAgent { id: other.to_owned() }));
        let set = message.find("<LinkSet").unwrap();
        let id = set + message[set..].find("root=\"").unwrap() + 6;
        let twice = [&message[..id], own, &message[id + 36..]].concat();
        let found = check(&twice);
        assert_eq!(found[0].flaw, Flaw::RepeatedId { id: own.to_owned() });
        assert!(found[0].path.ends_with("Statement/id"), "{}", found[0].path);
        assert_eq!(found[0].id.as_deref(), Some(own), "the statement is named");
    }

    #[test]
    fn a_label_needs_a_message_that_can_carry_it() {
        let (message, _) = extract(RESOURCES);
        let labelled = message.replacen(
            "<value ",
            r#"<confidentialityCode code="NOPAT" codeSystem="2.16.840.1.113883.4.642.3.47"/><value "#,
            1,
        );
        assert_eq!(first(&labelled), Some(Flaw::Label), "D11");
        assert_eq!(first(&labelled.replace("IN030000UK06", "IN030000UK07")), None, "extract §9");
    }
}
