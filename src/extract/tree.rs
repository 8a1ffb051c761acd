//! A received message as a tree: names, attributes and text, borrowed from the message wherever they can be.
//!
//! It knows XML and its namespaces, not the record. Prefixes and the order of elements mean nothing to it. Document
//! types are refused, so that no entity of the sender's can grow.

mod growing;

use std::borrow::Cow;

use quick_xml::NsReader;

use growing::{Broken, Growing};

/// Why bytes are no message we take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Untaken {
    /// From that line on, from 1.
    NotXml(usize),
    TooDeep,
    TooLarge,
    /// In an encoding that we do not read, of this name.
    Encoding(String),
}

/// All elements of a message in the order they begin.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
    attributes: Vec<(&'a str, Cow<'a, str>)>,
}

/// Marks the end of a list of siblings, and the parent of the root. Element 0 is the root, which nobody's sibling is.
const NONE: u32 = 0;

#[derive(Debug)]
struct Node<'a> {
    /// Local name; empty when the element is not of HL7's namespace.
    name: &'a str,
    text: Cow<'a, str>,
    parent: u32,
    first: u32,
    next: u32,
    attributes: (u32, u32),
}

impl<'a> Tree<'a> {
    /// Reads a message of at most so many bytes.
    pub(super) fn parse(message: &'a [u8], limit: usize) -> Result<Self, Untaken> {
        if message.len() > limit || u32::try_from(message.len()).is_err() {
            return Err(Untaken::TooLarge);
        }
        let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
        let line = |bytes: usize| 1 + message[..bytes].iter().filter(|b| **b == b'\n').count();
        let text = std::str::from_utf8(message).map_err(|e| Untaken::NotXml(line(e.valid_up_to())))?;
        if let Some(tree) = growing::plainly(text) {
            return Ok(tree);
        }
        let mut growing = Growing::new(text);
        let mut reader = NsReader::from_str(text);
        match growing.read(&mut reader) {
            Ok(()) => growing.finish().map_err(|_| Untaken::NotXml(line(message.len()))),
            Err(Broken::TooDeep) => Err(Untaken::TooDeep),
            Err(Broken::NotXml) => {
                let at = usize::try_from(reader.buffer_position()).unwrap_or(message.len());
                Err(Untaken::NotXml(line(at.min(message.len()))))
            }
        }
    }

    /// Every element, in the order they begin.
    pub(super) fn elements(&self) -> impl ExactSizeIterator<Item = Element<'_>> {
        (0..self.nodes.len()).map(|at| Element { tree: self, at })
    }
}

/// One element of a tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'t> {
    tree: &'t Tree<'t>,
    at: usize,
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<'t> Element<'t> {
    fn node(self) -> &'t Node<'t> {
        &self.tree.nodes[self.at]
    }

    /// Its place in the order of the message.
    pub(super) fn place(self) -> usize {
        self.at
    }

    /// Its local name; empty when it is not of HL7's namespace.
    pub(super) fn name(self) -> &'t str {
        self.node().name
    }

    /// The attribute of that local name, trimmed, when it has any words.
    pub(super) fn attribute(self, name: &str) -> Option<&'t str> {
        self.attributes()
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.trim())
            .filter(|v| !v.is_empty())
    }

    /// Its own text, trimmed, when it has any words.
    pub(super) fn text(self) -> Option<&'t str> {
        Some(self.node().text.trim()).filter(|t| !t.is_empty())
    }

    /// Names and values of its attributes, in the order of the message.
    pub(super) fn attributes(self) -> &'t [(&'t str, Cow<'t, str>)] {
        let (from, to) = self.node().attributes;
        &self.tree.attributes[from as usize..to as usize]
    }

    pub(super) fn parent(self) -> Option<Self> {
        (self.at != 0).then(|| Self { at: self.node().parent as usize, ..self })
    }

    pub(super) fn children(self) -> impl Iterator<Item = Self> {
        let step = |at: u32| (at != NONE).then_some(at);
        let first = step(self.node().first);
        std::iter::successors(first, move |at| step(self.tree.nodes[*at as usize].next))
            .map(move |at| Self { at: at as usize, ..self })
    }

    /// The children of that name.
    pub(super) fn all(self, name: &str) -> impl Iterator<Item = Self> {
        self.children().filter(move |c| c.name() == name)
    }

    /// The first child of that name.
    pub(super) fn child(self, name: &str) -> Option<Self> {
        self.all(name).next()
    }

    /// The first element down that path.
    pub(super) fn down(self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// `child/@attribute`
    pub(super) fn of(self, child: &str, attribute: &str) -> Option<&'t str> {
        self.child(child)?.attribute(attribute)
    }

    /// The element and everything in it, in order.
    pub(super) fn within(self) -> impl Iterator<Item = Self> {
        // Elements lie in the order they begin: those inside this one follow it until what comes after it, or after what
        // is around it.
        let after =
            std::iter::successors(Some(self), |e| e.parent()).map(|e| e.node().next).find(|at| *at != NONE);
        let end = after.map_or(self.tree.nodes.len(), |at| at as usize);
        (self.at..end).map(move |at| Self { at, ..self })
    }

    /// All words in it, of texts and display names, joined by blanks.
    pub(super) fn words(self) -> String {
        let mut words: Vec<&str> = Vec::new();
        for element in self.within() {
            words.extend(element.attribute("displayName"));
            words.extend(element.text());
        }
        words.dedup();
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Tree<'_>, Untaken> {
        Tree::parse(text.as_bytes(), 1_000_000)
    }

    #[test]
    fn prefixes_comments_and_byte_order_marks_mean_nothing() {
        let tree = parse(
            "\u{FEFF}<?xml version='1.0'?><h:a xmlns:h='urn:hl7-org:v3' x='1 &amp; 2'><!-- c --><h:b> u &lt; v&#33;</h:b>\
             <b xmlns='urn:other'>no</b><h:c><h:b>in</h:b></h:c><h:b/></h:a>",
        )
        .unwrap();
        let root = tree.elements().next().unwrap();
        assert_eq!((root.name(), root.attribute("x")), ("a", Some("1 & 2")));
        let texts: Vec<_> = root.all("b").map(Element::text).collect();
        assert_eq!(texts, [Some("u < v!"), None], "only elements of HL7 have a name (extract §13.1)");
        assert_eq!(root.down(&["c", "b"]).and_then(Element::text), Some("in"));
        assert_eq!(root.within().count(), 6);
        let inner = root.child("c").unwrap();
        assert_eq!(inner.within().count(), 2, "what follows is not inside");
        assert!(inner.parent() == Some(root));
        assert_eq!(root.words(), "u < v! no in");
    }

    #[test]
    fn what_is_no_message_is_told_apart() {
        for text in
            ["", "<a>", "<a></b>", "<a/><b/>", "x<a/>", "<!DOCTYPE a><a/>", "<a>&x;</a>", "<a b='1' b='2'/>"]
        {
            assert_eq!(parse(text).err(), Some(Untaken::NotXml(1)), "{text}");
        }
        let deep = "<a>".repeat(200);
        assert_eq!(parse(&deep).err(), Some(Untaken::TooDeep));
        assert_eq!(Tree::parse(b"<a/>", 3).err(), Some(Untaken::TooLarge));
    }
}
