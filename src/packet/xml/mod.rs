//! A small read-only tree of a namespace-well-formed document.
//!
//! It never fetches, expands or guesses anything: a document type declaration, an undefined entity or a budget passed
//! is a refusal. Writing XML is not done here.

mod encoding;
mod limits;
mod name;
mod parse;
mod stream;

use std::ops::Range;

pub use limits::{XmlFault, XmlLimits};
pub(in crate::packet) use stream::{Seen, walk};

/// The namespace the prefix `xml` always stands for.
pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// A parsed document: nodes in document order, all text in one store.
#[derive(Clone)]
pub struct Document {
    store: String,
    nodes: Vec<NodeRecord>,
    elements: Vec<ElementRecord>,
    attributes: Vec<AttributeRecord>,
    declarations: Vec<DeclarationRecord>,
    /// Namespace names by number; 0 is no namespace, 1 is that of `xml`.
    namespaces: Vec<Span>,
    root: u32,
}

impl Document {
    /// Reads a document in the encoding its prolog names, UTF-8 when it names none.
    pub fn parse(octets: &[u8], limits: &XmlLimits) -> Result<Self, XmlFault> {
        parse::parse(octets, None, limits)
    }

    /// As [`Document::parse`]; where the octets are not in that encoding, `charset`, the label of the MIME part, is tried
    /// (wire reference §2.2).
    pub fn parse_labelled(
        octets: &[u8],
        charset: Option<&str>,
        limits: &XmlLimits,
    ) -> Result<Self, XmlFault> {
        parse::parse(octets, charset, limits)
    }

    /// The document element.
    pub fn root(&self) -> Element<'_> {
        Element { document: self, node: self.root }
    }

    /// What stands at the top: the root, and comments and instructions around it.
    pub fn nodes(&self) -> Nodes<'_> {
        Nodes { document: self, range: 1..self.nodes.len() as u32 }
    }

    /// Whether any comment stands anywhere.
    pub fn has_comments(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.kind, Kind::Comment(_)))
    }

    /// Whether any processing instruction stands anywhere.
    pub fn has_instructions(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.kind, Kind::Instruction { .. }))
    }

    fn push(&mut self, text: &str) -> Span {
        let from = self.store.len() as u32;
        self.store.push_str(text);
        Span { from, to: self.store.len() as u32 }
    }

    fn slice(&self, span: Span) -> &str {
        &self.store[span.from as usize..span.to as usize]
    }

    fn namespace(&self, number: u32) -> &str {
        self.slice(self.namespaces[number as usize])
    }
}

impl std::fmt::Debug for Document {
    /// Sizes only: documents hold patients' records.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document")
            .field("nodes", &self.nodes.len())
            .field("octets", &self.store.len())
            .finish()
    }
}

/// A node of the tree.
#[derive(Clone, Copy)]
pub enum Node<'d> {
    /// An element.
    Element(Element<'d>),
    /// Character data, references resolved, CDATA sections joined in.
    Text(&'d str),
    /// A comment's text.
    Comment(&'d str),
    /// A processing instruction.
    Instruction {
        /// Its target.
        target: &'d str,
        /// The rest of it, without the white space after the target.
        text: &'d str,
    },
}

/// An attribute that is not a namespace declaration.
#[derive(Clone, Copy)]
pub struct Attribute<'d> {
    /// The prefix as written; empty for none.
    pub prefix: &'d str,
    /// The local name.
    pub local: &'d str,
    /// The namespace name; empty for none.
    pub namespace: &'d str,
    /// The normalised value.
    pub value: &'d str,
}

/// An element of a document.
#[derive(Clone, Copy)]
pub struct Element<'d> {
    document: &'d Document,
    node: u32,
}

impl<'d> Element<'d> {
    /// The local name.
    pub fn name(self) -> &'d str {
        self.document.slice(self.record().local)
    }

    /// The prefix as written; empty for none.
    pub fn prefix(self) -> &'d str {
        self.document.slice(self.record().prefix)
    }

    /// The namespace name; empty for none.
    pub fn namespace(self) -> &'d str {
        self.document.namespace(self.record().namespace)
    }

    /// Whether this is the element `local` of `namespace`.
    pub fn is(self, namespace: &str, local: &str) -> bool {
        self.name() == local && self.namespace() == namespace
    }

    /// The value of an attribute; `namespace` is empty for an unqualified one.
    pub fn attribute(self, namespace: &str, local: &str) -> Option<&'d str> {
        self.attributes().find(|it| it.local == local && it.namespace == namespace).map(|it| it.value)
    }

    /// Its attributes as written, without namespace declarations.
    pub fn attributes(self) -> impl Iterator<Item = Attribute<'d>> + Clone + use<'d> {
        let document = self.document;
        let Range { start, end } = self.record().attributes;
        document.attributes[start as usize..end as usize].iter().map(move |it| Attribute {
            prefix: document.slice(it.prefix),
            local: document.slice(it.local),
            namespace: document.namespace(it.namespace),
            value: document.slice(it.value),
        })
    }

    /// Its own namespace declarations as written: prefix (empty for the default) and namespace (empty to undeclare).
    pub fn declarations(self) -> impl Iterator<Item = (&'d str, &'d str)> + Clone + use<'d> {
        let document = self.document;
        let Range { start, end } = self.record().declarations;
        document.declarations[start as usize..end as usize]
            .iter()
            .map(move |it| (document.slice(it.prefix), document.namespace(it.namespace)))
    }

    /// The namespace a prefix stands for here, looked up through the ancestors; the empty prefix is the default.
    pub fn bound(self, prefix: &str) -> Option<&'d str> {
        if prefix == "xml" {
            return Some(XML_NAMESPACE);
        }
        let mut at = Some(self);
        while let Some(element) = at {
            if let Some((_, namespace)) = element.declarations().find(|(declared, _)| *declared == prefix) {
                return Some(namespace);
            }
            at = element.parent();
        }
        prefix.is_empty().then_some("")
    }

    /// Child nodes of every kind, in order.
    pub fn nodes(self) -> Nodes<'d> {
        Nodes { document: self.document, range: self.node + 1..self.document.nodes[self.node as usize].end }
    }

    /// Child elements, in order.
    pub fn children(self) -> impl Iterator<Item = Element<'d>> + use<'d> {
        self.nodes().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) | Node::Comment(_) | Node::Instruction { .. } => None,
        })
    }

    /// The first child element of this name.
    pub fn child(self, namespace: &str, local: &str) -> Option<Element<'d>> {
        self.children().find(|child| child.is(namespace, local))
    }

    /// The first child element of this name, only if there is no second.
    pub fn only_child(self, namespace: &str, local: &str) -> Option<Element<'d>> {
        let mut found = self.children().filter(|child| child.is(namespace, local));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// Every element below this one, in document order.
    pub fn descendants(self) -> impl Iterator<Item = Element<'d>> + use<'d> {
        let document = self.document;
        (self.node + 1..document.nodes[self.node as usize].end)
            .filter(|node| matches!(document.nodes[*node as usize].kind, Kind::Element(_)))
            .map(|node| Element { document, node })
    }

    /// The element this one stands in.
    pub fn parent(self) -> Option<Element<'d>> {
        match self.document.nodes[self.node as usize].parent {
            0 => None,
            node => Some(Element { document: self.document, node }),
        }
    }

    /// All character data below this element, joined, as written: trimming is the caller's.
    pub fn text(self) -> String {
        let range = self.node as usize..self.document.nodes[self.node as usize].end as usize;
        let mut text = String::new();
        for node in &self.document.nodes[range] {
            if let Kind::Text(span) = node.kind {
                text.push_str(self.document.slice(span));
            }
        }
        text
    }

    fn record(self) -> &'d ElementRecord {
        match self.document.nodes[self.node as usize].kind {
            Kind::Element(index) => &self.document.elements[index as usize],
            _ => unreachable!("an Element is only made for an element's node"),
        }
    }
}

impl PartialEq for Element<'_> {
    /// The same element of the same document, not one that looks like it.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.document, other.document) && self.node == other.node
    }
}

impl Eq for Element<'_> {}

impl std::fmt::Debug for Element<'_> {
    /// The name only: content may be a patient's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Element({{{}}}{})", self.namespace(), self.name())
    }
}

/// Sibling nodes in document order.
#[derive(Clone)]
pub struct Nodes<'d> {
    document: &'d Document,
    range: Range<u32>,
}

impl<'d> Iterator for Nodes<'d> {
    type Item = Node<'d>;

    fn next(&mut self) -> Option<Node<'d>> {
        let document = self.document;
        let index = self.range.next()?;
        let record = document.nodes.get(index as usize)?;
        // The next sibling begins where this node's descendants end.
        self.range.start = record.end;
        Some(match record.kind {
            Kind::Document => return None,
            Kind::Element(_) => Node::Element(Element { document, node: index }),
            Kind::Text(span) => Node::Text(document.slice(span)),
            Kind::Comment(span) => Node::Comment(document.slice(span)),
            Kind::Instruction { target, text } => {
                Node::Instruction { target: document.slice(target), text: document.slice(text) }
            }
        })
    }
}

/// A stretch of the store.
#[derive(Clone, Copy, Default)]
struct Span {
    from: u32,
    to: u32,
}

impl Span {
    fn is_empty(self) -> bool {
        self.from == self.to
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Document,
    Element(u32),
    Text(Span),
    Comment(Span),
    Instruction { target: Span, text: Span },
}

#[derive(Clone)]
struct NodeRecord {
    kind: Kind,
    /// The node after the last descendant.
    end: u32,
    parent: u32,
}

#[derive(Clone)]
struct ElementRecord {
    prefix: Span,
    local: Span,
    namespace: u32,
    attributes: Range<u32>,
    declarations: Range<u32>,
}

#[derive(Clone)]
struct AttributeRecord {
    prefix: Span,
    local: Span,
    namespace: u32,
    value: Span,
}

#[derive(Clone)]
struct DeclarationRecord {
    prefix: Span,
    namespace: u32,
}

#[cfg(test)]
mod tests;
