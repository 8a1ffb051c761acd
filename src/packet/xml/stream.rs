//! Reads a document once, as strictly as the tree is built, and keeps nothing: for payloads of tens of megabytes
//! of which a few values matter.
//!
//! Shows the elements as they open and close. Text is checked and not shown.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::XML_NAMESPACE;
use super::encoding::decode;
use super::limits::{XmlFault, XmlLimits};
use super::name::{
    check_declaration, is_ncname, next_attribute, push_normalised, referenced_char, split_qualified,
};

/// The longest run of character data between two tags: a narrative or an inline letter is far below it.
const TEXT_OCTETS: usize = 16 << 20;

/// What is seen next.
pub(in crate::packet) enum Seen<'s> {
    /// An element opens.
    Open(Opened<'s>),
    /// The innermost open element closes.
    Close,
}

/// An element that opens.
pub(in crate::packet) struct Opened<'s> {
    /// The namespace name; empty for none.
    pub(in crate::packet) namespace: &'s str,
    /// The local name.
    pub(in crate::packet) name: &'s str,
    scratch: &'s str,
    attributes: &'s [Held<'s>],
}

impl<'s> Opened<'s> {
    /// The normalised value of an unqualified attribute.
    pub(in crate::packet) fn attribute(&self, local: &str) -> Option<&'s str> {
        let held = self.attributes.iter().find(|held| held.prefix.is_empty() && held.local == local)?;
        Some(&self.scratch[held.value.clone()])
    }
}

/// Reads the whole document, showing its elements; every fault of [`super::Document::parse_labelled`] is one here.
pub(in crate::packet) fn walk(
    octets: &[u8],
    label: Option<&str>,
    limits: &XmlLimits,
    mut show: impl FnMut(Seen<'_>),
) -> Result<(), XmlFault> {
    if octets.len() > limits.octets {
        return Err(XmlFault::Octets);
    }
    let text = decode(octets, label)?;
    if text.len() > limits.octets {
        return Err(XmlFault::Octets);
    }
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.check_comments = true;
    config.expand_empty_elements = true;
    let mut walk = Walk::new(limits);
    loop {
        walk.at = reader.buffer_position();
        match reader.read_event().map_err(|_| XmlFault::Malformed(walk.at))? {
            Event::Eof if walk.open.is_empty() && walk.root_seen => return Ok(()),
            Event::Eof => return Err(walk.malformed()),
            Event::Start(tag) => walk.open(&tag, &mut show)?,
            Event::End(_) => walk.close(&mut show),
            event => walk.between(event)?,
        }
    }
}

/// An attribute of the start tag at hand.
struct Held<'t> {
    prefix: &'t str,
    local: &'t str,
    value: Range<usize>,
}

/// A prefix and what it stands for, from where it was declared to the end of that element.
struct Binding {
    prefix: String,
    namespace: String,
}

struct Walk<'l> {
    limits: &'l XmlLimits,
    /// For each open element, the bindings in scope outside it.
    open: Vec<usize>,
    bindings: Vec<Binding>,
    nodes: usize,
    declarations: usize,
    /// Character data since the last tag.
    text: usize,
    /// Attribute values of the start tag at hand, normalised.
    scratch: String,
    root_seen: bool,
    at: u64,
}

impl<'l> Walk<'l> {
    fn new(limits: &'l XmlLimits) -> Self {
        Self {
            limits,
            open: Vec::new(),
            bindings: Vec::new(),
            nodes: 0,
            declarations: 0,
            text: 0,
            scratch: String::new(),
            root_seen: false,
            at: 0,
        }
    }

    fn malformed(&self) -> XmlFault {
        XmlFault::Malformed(self.at)
    }

    fn count(&mut self) -> Result<(), XmlFault> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes { Err(XmlFault::Nodes) } else { Ok(()) }
    }

    fn open(&mut self, tag: &BytesStart<'_>, show: &mut impl FnMut(Seen<'_>)) -> Result<(), XmlFault> {
        if self.open.is_empty() && std::mem::replace(&mut self.root_seen, true) {
            return Err(self.malformed());
        }
        if self.open.len() >= self.limits.depth {
            return Err(XmlFault::Depth);
        }
        self.count()?;
        self.text = 0;
        self.open.push(self.bindings.len());
        let name = tag.name();
        let (prefix, name) = split_qualified(name.as_ref()).ok_or(self.malformed())?;
        let attributes = self.attributes(tag.attributes_raw())?;
        for (index, held) in attributes.iter().enumerate() {
            self.check_unique(held, &attributes[..index])?;
        }
        let namespace = self.resolve(prefix)?;
        show(Seen::Open(Opened { namespace, name, scratch: &self.scratch, attributes: &attributes }));
        Ok(())
    }

    fn close(&mut self, show: &mut impl FnMut(Seen<'_>)) {
        self.text = 0;
        if let Some(bindings) = self.open.pop() {
            self.bindings.truncate(bindings);
        }
        show(Seen::Close);
    }

    /// Everything that is not a tag.
    fn between(&mut self, event: Event<'_>) -> Result<(), XmlFault> {
        match event {
            Event::Text(text) => {
                let text = text.into_inner();
                let blank = || text.chars().all(|c| matches!(c, ' ' | '\t' | '\n'));
                if text.contains("]]>") || (self.open.is_empty() && !blank()) {
                    return Err(self.malformed());
                }
                self.characters(text.len())
            }
            Event::CData(_) | Event::GeneralRef(_) if self.open.is_empty() => Err(self.malformed()),
            Event::CData(text) => self.characters(text.into_inner().len()),
            Event::GeneralRef(name) => {
                referenced_char(&name.into_inner()).ok_or(XmlFault::Entity(self.at))?;
                self.characters(1)
            }
            Event::Comment(text) if text.ends_with('-') => Err(self.malformed()),
            Event::Comment(_) => self.count(),
            Event::PI(instruction) => {
                let target = instruction.target();
                if !is_ncname(target) || target.eq_ignore_ascii_case("xml") {
                    return Err(self.malformed());
                }
                self.count()
            }
            Event::Decl(declaration) => {
                let rest = declaration.strip_prefix("xml").filter(|_| self.at == 0);
                check_declaration(rest.ok_or(self.malformed())?, self.at)
            }
            Event::DocType(_) => Err(XmlFault::Dtd),
            // Tags and the end are taken by the caller, and empty tags are expanded by configuration.
            Event::Start(_) | Event::End(_) | Event::Empty(_) | Event::Eof => Err(self.malformed()),
        }
    }

    fn characters(&mut self, octets: usize) -> Result<(), XmlFault> {
        self.text += octets;
        if self.text > TEXT_OCTETS { Err(XmlFault::TextOctets) } else { Ok(()) }
    }

    /// The attributes of a start tag: declarations take effect, the others are returned.
    fn attributes<'t>(&mut self, mut rest: &'t str) -> Result<Vec<Held<'t>>, XmlFault> {
        self.scratch.clear();
        let declared_from = self.bindings.len();
        let (mut attributes, mut count) = (Vec::new(), 0);
        while let Some((name, value)) = next_attribute(&mut rest, self.at)? {
            count += 1;
            if count > self.limits.attributes {
                return Err(XmlFault::Attributes);
            }
            if value.len() > self.limits.attribute_octets {
                return Err(XmlFault::AttributeOctets);
            }
            let (prefix, local) = split_qualified(name).ok_or(self.malformed())?;
            let from = self.scratch.len();
            push_normalised(value, self.at, &mut self.scratch)?;
            let value = from..self.scratch.len();
            match (prefix, local) {
                ("", "xmlns") => self.declare("", value, declared_from)?,
                ("xmlns", prefix) => self.declare(prefix, value, declared_from)?,
                (prefix, local) => attributes.push(Held { prefix, local, value }),
            }
        }
        Ok(attributes)
    }

    /// Within the rules of Namespaces in XML 1.0 §3 and §5, as for the tree.
    fn declare(&mut self, prefix: &str, uri: Range<usize>, declared_from: usize) -> Result<(), XmlFault> {
        self.declarations += 1;
        if self.declarations > self.limits.declarations || self.bindings.len() >= self.limits.bindings {
            return Err(XmlFault::Declarations);
        }
        let namespace = &self.scratch[uri];
        let about_xml = (prefix == "xml") != (namespace == XML_NAMESPACE);
        let about_xmlns = prefix == "xmlns" || namespace == "http://www.w3.org/2000/xmlns/";
        if about_xml || about_xmlns || (namespace.is_empty() && !prefix.is_empty()) {
            return Err(XmlFault::Namespace(self.at));
        }
        if self.bindings[declared_from..].iter().any(|other| other.prefix == prefix) {
            return Err(XmlFault::DuplicateAttribute(self.at));
        }
        let binding = Binding { prefix: prefix.to_owned(), namespace: namespace.to_owned() };
        self.bindings.push(binding);
        Ok(())
    }

    fn resolve(&self, prefix: &str) -> Result<&str, XmlFault> {
        if prefix == "xml" {
            return Ok(XML_NAMESPACE);
        }
        match self.bindings.iter().rev().find(|binding| binding.prefix == prefix) {
            Some(binding) => Ok(&binding.namespace),
            None if prefix.is_empty() => Ok(""),
            None => Err(XmlFault::Namespace(self.at)),
        }
    }

    /// Two attributes are the same by local name and namespace, whatever their prefixes.
    fn check_unique(&self, held: &Held<'_>, before: &[Held<'_>]) -> Result<(), XmlFault> {
        let space = |held: &Held<'_>| match held.prefix {
            "" => Ok(""),
            prefix => self.resolve(prefix),
        };
        let namespace = space(held)?;
        for other in before.iter().filter(|other| other.local == held.local) {
            if space(other)? == namespace {
                return Err(XmlFault::DuplicateAttribute(self.at));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;

    /// What the walk says of a document, beside what the tree says.
    fn both(text: &str) -> (Result<(), XmlFault>, Result<(), XmlFault>) {
        let limits = XmlLimits::payload();
        (walk(text.as_bytes(), None, &limits, |_| {}), Document::parse(text.as_bytes(), &limits).map(|_| ()))
    }

    #[test]
    fn refuses_exactly_what_the_tree_refuses() {
        let documents = [
            "<a/>",
            "<?xml version='1.0'?>\n<!-- c --><a xmlns='u' xmlns:p='v' p:b='1' b='2'><p:c>t&amp;&#65;</p:c></a>\n",
            "<a>]]></a>",
            "<a><b></a>",
            "<a/><b/>",
            "<a/>x",
            "x<a/>",
            "",
            "<!DOCTYPE a><a/>",
            "<a>&nbsp;</a>",
            "<a b='&nbsp;'/>",
            "<a b='1' b='2'/>",
            "<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>",
            "<a xmlns:p='u' xmlns:p='v'/>",
            "<p:a/>",
            "<a p:b=''/>",
            "<a xmlns:p=''/>",
            "<a xmlns:xmlns='u'/>",
            "<a><?xml version='1.0'?></a>",
            "<a><?XML x?></a>",
            "<a><!-- -- --></a>",
            "<a><!-- x ---></a>",
            "<a><![CDATA[<&]]></a>",
            "<a b=1/>",
            "<a b='<'/>",
            "<1a/>",
            "<a>\u{1}</a>",
            "<?xml encoding='UTF-8'?><a/>",
            " <?xml version='1.0'?><a/>",
            "<![CDATA[x]]><a/>",
        ];
        for text in documents {
            let (walked, built) = both(text);
            assert_eq!(walked, built, "{text}");
        }
    }

    #[test]
    fn budgets_are_named() {
        let limits = XmlLimits::payload();
        let fault = |text: &str| walk(text.as_bytes(), None, &limits, |_| {}).unwrap_err();
        let deep = "<a>".repeat(10_000);
        assert_eq!(fault(&deep), XmlFault::Depth, "ten thousand levels");
        assert_eq!(fault(&format!("<a b='{}'/>", "x".repeat(9 << 20))), XmlFault::AttributeOctets);
        assert_eq!(fault(&format!("<a b='{}'/>", "x".repeat(100_000_000))), XmlFault::Octets);
        assert_eq!(fault(&format!("<a>{}</a>", "x".repeat(TEXT_OCTETS + 1))), XmlFault::TextOctets);
        let many: String = (0..129).map(|n| format!(" a{n}=''")).collect();
        assert_eq!(fault(&format!("<a{many}/>")), XmlFault::Attributes);
    }
}
