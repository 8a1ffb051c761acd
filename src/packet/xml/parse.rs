//! Builds a [`Document`] from octets in one pass, refusing whatever is not namespace-well-formed or over a limit.
//!
//! `quick-xml` finds where markup begins and ends and pairs the tags; everything it is lenient about (names,
//! attributes, characters, what may stand outside the root) is checked here.

use quick_xml::Reader;
use quick_xml::events::{BytesDecl, BytesPI, BytesStart, Event};

use super::encoding::decode;
use super::limits::{XmlFault, XmlLimits};
use super::name::{
    check_declaration, is_ncname, next_attribute, push_normalised, referenced_char, split_qualified,
};
use super::{
    AttributeRecord, DeclarationRecord, Document, ElementRecord, Kind, NodeRecord, Span, XML_NAMESPACE,
};

/// Reads the whole document.
pub(super) fn parse(octets: &[u8], label: Option<&str>, limits: &XmlLimits) -> Result<Document, XmlFault> {
    if octets.len() > limits.octets {
        return Err(XmlFault::Octets);
    }
    let text = decode(octets, label)?;
    // Spans are 32-bit; and decoding may have doubled the size.
    if text.len() > limits.octets.min(u32::MAX as usize / 2) {
        return Err(XmlFault::Octets);
    }
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.check_comments = true;
    config.expand_empty_elements = true;
    let mut builder = Builder::new(limits, text.len());
    loop {
        let at = reader.buffer_position();
        builder.at = at;
        match reader.read_event().map_err(|_| XmlFault::Malformed(at))? {
            Event::Eof => return builder.finish(),
            event => builder.take(event)?,
        }
    }
}

/// The document under construction.
struct Builder<'l> {
    limits: &'l XmlLimits,
    document: Document,
    /// Open elements: their node, and how many bindings were in scope outside them.
    open: Vec<(u32, usize)>,
    /// Declarations in scope, innermost last: prefix and namespace.
    bindings: Vec<(Span, u32)>,
    /// Where the text node being collected begins.
    text_from: Option<u32>,
    /// Attributes of the start tag being read, with their qualified names still to be resolved.
    pending: Vec<Pending>,
    root_seen: bool,
    at: u64,
}

#[derive(Clone, Copy)]
struct Pending {
    prefix: Span,
    local: Span,
    value: Span,
}

impl<'l> Builder<'l> {
    fn new(limits: &'l XmlLimits, octets: usize) -> Self {
        let mut document = Document {
            store: String::with_capacity(octets + XML_NAMESPACE.len()),
            nodes: vec![NodeRecord { kind: Kind::Document, end: 1, parent: 0 }],
            elements: Vec::new(),
            attributes: Vec::new(),
            declarations: Vec::new(),
            namespaces: vec![Span::default()],
            root: 0,
        };
        let xml = document.push(XML_NAMESPACE);
        document.namespaces.push(xml);
        Self {
            limits,
            document,
            open: Vec::new(),
            bindings: Vec::new(),
            text_from: None,
            pending: Vec::new(),
            root_seen: false,
            at: 0,
        }
    }

    fn malformed(&self) -> XmlFault {
        XmlFault::Malformed(self.at)
    }

    fn take(&mut self, event: Event<'_>) -> Result<(), XmlFault> {
        match event {
            Event::Text(text) => self.text(&text.into_inner(), true),
            Event::CData(text) => self.text(&text.into_inner(), false),
            Event::GeneralRef(name) => {
                let c = referenced_char(&name.into_inner()).ok_or(XmlFault::Entity(self.at))?;
                self.text(c.encode_utf8(&mut [0; 4]), false)
            }
            Event::Start(tag) => self.start(&tag),
            Event::End(_) => {
                self.end();
                Ok(())
            }
            Event::Comment(text) => self.comment(&text.into_inner()),
            Event::PI(instruction) => self.instruction(&instruction),
            Event::Decl(declaration) => self.declaration(&declaration),
            Event::DocType(_) => Err(XmlFault::Dtd),
            // Empty tags are expanded by configuration, and the end of the input never reaches here.
            Event::Empty(_) | Event::Eof => Err(self.malformed()),
        }
    }

    /// Character data. `literal` text may not hold `]]>` and, outside the root, may be white space only.
    fn text(&mut self, text: &str, literal: bool) -> Result<(), XmlFault> {
        if literal && text.contains("]]>") {
            return Err(self.malformed());
        }
        if self.open.is_empty() {
            let blank = literal && text.chars().all(|c| matches!(c, ' ' | '\t' | '\n'));
            return if blank { Ok(()) } else { Err(self.malformed()) };
        }
        let from = self.document.push(text).from;
        self.text_from.get_or_insert(from);
        Ok(())
    }

    /// Ends the text node being collected: the next thing is not text.
    fn flush(&mut self) {
        if let Some(from) = self.text_from.take() {
            let to = self.document.store.len() as u32;
            if to > from {
                self.node(Kind::Text(Span { from, to }));
            }
        }
    }

    /// Adds a node, closed for now, under the innermost open element.
    fn node(&mut self, kind: Kind) -> u32 {
        let index = self.document.nodes.len() as u32;
        let parent = self.open.last().map_or(0, |(node, _)| *node);
        self.document.nodes.push(NodeRecord { kind, end: index + 1, parent });
        index
    }

    fn count_node(&self) -> Result<(), XmlFault> {
        // At most one text node beside each of the others, so this bounds those too.
        if self.document.nodes.len() > self.limits.nodes.saturating_mul(2) {
            Err(XmlFault::Nodes)
        } else {
            Ok(())
        }
    }

    fn comment(&mut self, text: &str) -> Result<(), XmlFault> {
        self.flush();
        self.count_node()?;
        if text.ends_with('-') {
            return Err(self.malformed());
        }
        let span = self.document.push(text);
        self.node(Kind::Comment(span));
        Ok(())
    }

    fn instruction(&mut self, instruction: &BytesPI<'_>) -> Result<(), XmlFault> {
        self.flush();
        self.count_node()?;
        let target = instruction.target();
        if !is_ncname(target) || target.eq_ignore_ascii_case("xml") {
            return Err(self.malformed());
        }
        let target = self.document.push(target);
        let text = self.document.push(instruction.content().trim_start_matches([' ', '\t', '\n']));
        self.node(Kind::Instruction { target, text });
        Ok(())
    }

    /// `<?xml …?>`: the first octets of the document.
    fn declaration(&mut self, declaration: &BytesDecl<'_>) -> Result<(), XmlFault> {
        // A byte order mark was taken off before the reader began, so the declaration is at its very start.
        if self.at != 0 {
            return Err(self.malformed());
        }
        check_declaration(declaration.strip_prefix("xml").ok_or(self.malformed())?, self.at)
    }

    fn start(&mut self, tag: &BytesStart<'_>) -> Result<(), XmlFault> {
        self.flush();
        if self.open.is_empty() && std::mem::replace(&mut self.root_seen, true) {
            return Err(self.malformed());
        }
        if self.open.len() >= self.limits.depth {
            return Err(XmlFault::Depth);
        }
        if self.document.elements.len() >= self.limits.nodes {
            return Err(XmlFault::Nodes);
        }
        self.count_node()?;
        let element = self.document.elements.len() as u32;
        let node = self.node(Kind::Element(element));
        if self.open.is_empty() {
            self.document.root = node;
        }
        self.open.push((node, self.bindings.len()));
        let name = tag.name();
        let (prefix, local) = split_qualified(name.as_ref()).ok_or(self.malformed())?;
        let (prefix, local) = (self.document.push(prefix), self.document.push(local));
        let declarations = self.document.declarations.len() as u32;
        self.scan_attributes(tag.attributes_raw())?;
        let namespace = self.resolve(prefix)?;
        let attributes = self.document.attributes.len() as u32;
        self.resolve_attributes()?;
        self.document.elements.push(ElementRecord {
            prefix,
            local,
            namespace,
            attributes: attributes..self.document.attributes.len() as u32,
            declarations: declarations..self.document.declarations.len() as u32,
        });
        Ok(())
    }

    fn end(&mut self) {
        self.flush();
        if let Some((node, bindings)) = self.open.pop() {
            self.document.nodes[node as usize].end = self.document.nodes.len() as u32;
            self.bindings.truncate(bindings);
        }
    }

    /// Reads the attributes of a start tag: declarations take effect, the others wait in `pending`.
    fn scan_attributes(&mut self, mut rest: &str) -> Result<(), XmlFault> {
        self.pending.clear();
        let mut count = 0;
        let declared_from = self.document.declarations.len();
        while let Some((name, value)) = next_attribute(&mut rest, self.at)? {
            count += 1;
            if count > self.limits.attributes {
                return Err(XmlFault::Attributes);
            }
            if value.len() > self.limits.attribute_octets {
                return Err(XmlFault::AttributeOctets);
            }
            let (prefix, local) = split_qualified(name).ok_or(self.malformed())?;
            let from = self.document.store.len() as u32;
            push_normalised(value, self.at, &mut self.document.store)?;
            let value = Span { from, to: self.document.store.len() as u32 };
            match (prefix, local) {
                ("", "xmlns") => self.declare("", value, declared_from)?,
                ("xmlns", prefix) => self.declare(prefix, value, declared_from)?,
                (prefix, local) => {
                    let (prefix, local) = (self.document.push(prefix), self.document.push(local));
                    self.pending.push(Pending { prefix, local, value });
                }
            }
        }
        Ok(())
    }

    /// `xmlns="…"` or `xmlns:prefix="…"`, within the rules of Namespaces in XML 1.0 §3 and §5.
    fn declare(&mut self, prefix: &str, uri: Span, declared_from: usize) -> Result<(), XmlFault> {
        if self.document.declarations.len() >= self.limits.declarations
            || self.bindings.len() >= self.limits.bindings
        {
            return Err(XmlFault::Declarations);
        }
        let name = self.document.slice(uri);
        let about_xml = (prefix == "xml") != (name == XML_NAMESPACE);
        let about_xmlns = prefix == "xmlns" || name == "http://www.w3.org/2000/xmlns/";
        if about_xml || about_xmlns || (name.is_empty() && !prefix.is_empty()) {
            return Err(XmlFault::Namespace(self.at));
        }
        let namespace = if name.is_empty() { 0 } else { self.document.namespaces.len() as u32 };
        if namespace != 0 {
            self.document.namespaces.push(uri);
        }
        let prior = &self.document.declarations[declared_from..];
        if prior.iter().any(|other| self.document.slice(other.prefix) == prefix) {
            return Err(XmlFault::DuplicateAttribute(self.at));
        }
        let prefix = self.document.push(prefix);
        self.document.declarations.push(DeclarationRecord { prefix, namespace });
        self.bindings.push((prefix, namespace));
        Ok(())
    }

    /// The namespace a prefix stands for here; of no prefix, the default namespace.
    fn resolve(&self, prefix: Span) -> Result<u32, XmlFault> {
        let wanted = self.document.slice(prefix);
        if wanted == "xml" {
            return Ok(1);
        }
        match self.bindings.iter().rev().find(|(bound, _)| self.document.slice(*bound) == wanted) {
            Some((_, namespace)) => Ok(*namespace),
            None if wanted.is_empty() => Ok(0),
            None => Err(XmlFault::Namespace(self.at)),
        }
    }

    fn resolve_attributes(&mut self) -> Result<(), XmlFault> {
        let from = self.document.attributes.len();
        for index in 0..self.pending.len() {
            let Pending { prefix, local, value } = self.pending[index];
            // The default namespace does not apply to attributes.
            let namespace = if prefix.is_empty() { 0 } else { self.resolve(prefix)? };
            let repeated = self.document.attributes[from..].iter().any(|other| {
                self.document.slice(other.local) == self.document.slice(local)
                    && self.document.namespace(other.namespace) == self.document.namespace(namespace)
            });
            if repeated {
                return Err(XmlFault::DuplicateAttribute(self.at));
            }
            self.document.attributes.push(AttributeRecord { prefix, local, namespace, value });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Document, XmlFault> {
        if !self.open.is_empty() || !self.root_seen {
            return Err(self.malformed());
        }
        self.document.nodes[0].end = self.document.nodes.len() as u32;
        Ok(self.document)
    }
}
