//! The gate before an extract leaves: ids well formed and unique, every reference resolved (extract §1.3, §1.6).
//!
//! It is no schema validation; it checks what a schema cannot.

use std::collections::HashSet;

use quick_xml::events::{BytesStart, Event};

/// What is wrong with a message that we made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not well-formed XML.
    #[error("the message is not well formed")]
    NotXml,
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

/// Elements whose id names something else in the message.
const LINKS: [&str; 3] = ["statementRef", "namedStatementRef", "priorMedicationRef"];

/// Checks the message.
pub(super) fn check(xml: &str) -> Result<(), Flaw> {
    let mut found = Found { message: xml, ..Found::default() };
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut path: Vec<&str> = Vec::new();
    loop {
        match reader.read_event().map_err(|_| Flaw::NotXml)? {
            Event::Start(start) => {
                found.element(&path, &start)?;
                path.push(within(xml, start.local_name().into_inner()));
            }
            Event::Empty(start) => found.element(&path, &start)?,
            Event::End(_) => drop(path.pop()),
            Event::Eof => break,
            _ => {}
        }
    }
    found.resolve()
}

/// The same words where they stand in the message: what the reader lends lives only as long as its event.
pub(super) fn within<'a>(message: &'a str, words: &str) -> &'a str {
    let at = (words.as_ptr() as usize).wrapping_sub(message.as_ptr() as usize);
    let found = message.get(at..at.saturating_add(words.len()));
    found.expect("the reader of a text lends parts of that text")
}

#[derive(Default)]
struct Found<'a> {
    message: &'a str,
    ids: HashSet<&'a str>,
    documents: HashSet<&'a str>,
    agents: HashSet<&'a str>,
    agent_refs: Vec<&'a str>,
    links: Vec<&'a str>,
}

impl<'a> Found<'a> {
    fn element(&mut self, path: &[&'a str], start: &BytesStart<'_>) -> Result<(), Flaw> {
        let Some(parent) = path.last() else { return Ok(()) };
        if start.local_name().into_inner() != "id" {
            return Ok(());
        }
        let root = start.try_get_attribute("root").map_err(|_| Flaw::NotXml)?;
        let Some(root) = root.map(|a| within(self.message, &a.value)) else { return Ok(()) };
        if root.contains('.') {
            return Ok(());
        }
        if !is_upper_uuid(root) {
            return Err(Flaw::BadId { element: (*parent).to_owned() });
        }
        match *parent {
            "agentRef" => self.agent_refs.push(root),
            link if LINKS.contains(&link) => self.links.push(root),
            // The request is another message's; the specification is a constant.
            "priorEhrRequest" | "limitingEhrExtractSpecification" => {}
            // A document has the id of its statement (extract §8.8).
            "referredToExternalDocument" => {
                if !self.documents.insert(root) {
                    return Err(Flaw::RepeatedId { id: root.to_owned() });
                }
            }
            "Agent" => {
                self.agents.insert(root);
                self.unique(root)?;
            }
            _ => self.unique(root)?,
        }
        Ok(())
    }

    fn unique(&mut self, id: &'a str) -> Result<(), Flaw> {
        if self.ids.insert(id) { Ok(()) } else { Err(Flaw::RepeatedId { id: id.to_owned() }) }
    }

    fn resolve(self) -> Result<(), Flaw> {
        if let Some(id) = self.agent_refs.into_iter().find(|id| !self.agents.contains(id)) {
            return Err(Flaw::NoAgent { id: id.to_owned() });
        }
        match self.links.into_iter().find(|id| !self.ids.contains(id)) {
            Some(id) => Err(Flaw::NoStatement { id: id.to_owned() }),
            None => Ok(()),
        }
    }
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

    #[test]
    fn ids_and_references_are_held_to_account() {
        let id = |root: &str| format!("<id root=\"{root}\"/>");
        for (inner, expected) in [
            (format!("<o>{}</o><statementRef>{}</statementRef>", id(A), id(A)), Ok(())),
            (format!("<o>{}</o><o>{}</o>", id(A), id(A)), Err(Flaw::RepeatedId { id: A.to_owned() })),
            (format!("<statementRef>{}</statementRef>", id(B)), Err(Flaw::NoStatement { id: B.to_owned() })),
            (format!("<agentRef>{}</agentRef>", id(B)), Err(Flaw::NoAgent { id: B.to_owned() })),
            (format!("<o>{}</o>", id(&A.to_lowercase())), Err(Flaw::BadId { element: "o".to_owned() })),
            ("<o>".to_owned(), Err(Flaw::NotXml)),
        ] {
            assert_eq!(check(&format!("<m>{inner}</m>")), expected, "{inner}");
        }
    }
}
