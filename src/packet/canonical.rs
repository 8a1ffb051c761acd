//! Canonical XML 1.0 (inclusive, without comments) of a document or of one element of it.
//!
//! Elements can be left out together with all below them, which is all that the enveloped-signature and hop-block
//! transforms ask for; what surrounds them, white space included, stays. Exclusive canonicalisation is not here: our profile
//! refuses it (wire reference §6).

use std::collections::BTreeMap;

use super::xml::{Attribute, Document, Element, Node, XML_NAMESPACE};

/// The whole document, less comments and the elements `omit` picks.
pub fn canonical_document<'d>(document: &'d Document, omit: impl Fn(Element<'d>) -> bool) -> Vec<u8> {
    let mut writer = Writer { out: Vec::with_capacity(4096), rendered: Vec::new(), omit };
    let mut root_written = false;
    for node in document.nodes() {
        match node {
            Node::Element(root) => {
                writer.element(root, root.declarations().collect(), root.attributes().collect());
                root_written = true;
            }
            Node::Instruction { target, text } => {
                // A line feed separates instructions from the root, on the root's side (Canonical XML §2.3).
                if root_written {
                    writer.out.push(b'\n');
                }
                writer.instruction(target, text);
                if !root_written {
                    writer.out.push(b'\n');
                }
            }
            Node::Text(_) | Node::Comment(_) => {}
        }
    }
    writer.out
}

/// One element and what is below it, less comments and the elements `omit` picks: with the namespaces in scope and the
/// `xml:` attributes it inherits (Canonical XML §2.4).
pub fn canonical_element<'d>(apex: Element<'d>, omit: impl Fn(Element<'d>) -> bool) -> Vec<u8> {
    let mut writer = Writer { out: Vec::with_capacity(2048), rendered: Vec::new(), omit };
    let mut attributes: Vec<Attribute<'_>> = apex.attributes().collect();
    let mut ancestor = apex.parent();
    while let Some(element) = ancestor {
        for inherited in element.attributes().filter(|it| it.namespace == XML_NAMESPACE) {
            if !attributes.iter().any(|own| own.namespace == XML_NAMESPACE && own.local == inherited.local) {
                attributes.push(inherited);
            }
        }
        ancestor = element.parent();
    }
    writer.element(apex, in_scope(apex).into_iter().collect(), attributes);
    writer.out
}

/// The namespaces in scope at an element, by prefix, without `xml`; the default is present only when there is one.
pub(super) fn in_scope(element: Element<'_>) -> BTreeMap<&str, &str> {
    let mut bindings = BTreeMap::new();
    let mut at = Some(element);
    while let Some(element) = at {
        for (prefix, namespace) in element.declarations() {
            bindings.entry(prefix).or_insert(namespace);
        }
        at = element.parent();
    }
    bindings.retain(|prefix, namespace| *prefix != "xml" && !namespace.is_empty());
    bindings
}

/// Appends one namespace declaration in canonical form.
pub(super) fn push_declaration(out: &mut Vec<u8>, prefix: &str, namespace: &str) {
    out.extend_from_slice(b" xmlns");
    if !prefix.is_empty() {
        out.push(b':');
        out.extend_from_slice(prefix.as_bytes());
    }
    out.extend_from_slice(b"=\"");
    push_attribute_value(out, namespace);
    out.push(b'"');
}

/// Appends an attribute value with the canonical references (Canonical XML §2.3).
pub(super) fn push_attribute_value(out: &mut Vec<u8>, value: &str) {
    push_escaped(out, value, |octet| match octet {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#x9;"),
        b'\n' => Some("&#xA;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_escaped(out, text, |octet| match octet {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#xD;"),
        _ => None,
    });
}

fn push_escaped(out: &mut Vec<u8>, text: &str, escape: impl Fn(u8) -> Option<&'static str>) {
    let octets = text.as_bytes();
    let mut written = 0;
    for (at, octet) in octets.iter().enumerate() {
        if let Some(reference) = escape(*octet) {
            out.extend_from_slice(&octets[written..at]);
            out.extend_from_slice(reference.as_bytes());
            written = at + 1;
        }
    }
    out.extend_from_slice(&octets[written..]);
}

struct Writer<'d, F> {
    out: Vec<u8>,
    /// Namespace declarations written on the elements now open, innermost last.
    rendered: Vec<(&'d str, &'d str)>,
    omit: F,
}

impl<'d, F: Fn(Element<'d>) -> bool> Writer<'d, F> {
    /// Recursion is as deep as the document, which was limited when it was read.
    fn element(
        &mut self,
        element: Element<'d>,
        declared: Vec<(&'d str, &'d str)>,
        mut attributes: Vec<Attribute<'d>>,
    ) {
        if (self.omit)(element) {
            return;
        }
        let outer = self.rendered.len();
        self.out.push(b'<');
        self.name(element.prefix(), element.name());
        self.declarations(declared);
        attributes.sort_unstable_by_key(|it| (it.namespace, it.local));
        for attribute in attributes {
            self.out.push(b' ');
            self.name(attribute.prefix, attribute.local);
            self.out.extend_from_slice(b"=\"");
            push_attribute_value(&mut self.out, attribute.value);
            self.out.push(b'"');
        }
        self.out.push(b'>');
        for node in element.nodes() {
            match node {
                Node::Element(child) => {
                    self.element(child, child.declarations().collect(), child.attributes().collect());
                }
                Node::Text(text) => push_text(&mut self.out, text),
                Node::Instruction { target, text } => self.instruction(target, text),
                Node::Comment(_) => {}
            }
        }
        self.out.extend_from_slice(b"</");
        self.name(element.prefix(), element.name());
        self.out.push(b'>');
        self.rendered.truncate(outer);
    }

    /// Writes those declarations that say something new, by prefix.
    fn declarations(&mut self, mut declared: Vec<(&'d str, &'d str)>) {
        declared.retain(|(prefix, namespace)| {
            let before = self.rendered.iter().rev().find(|(rendered, _)| rendered == prefix);
            *prefix != "xml" && before.map_or("", |(_, namespace)| namespace) != *namespace
        });
        declared.sort_unstable();
        for (prefix, namespace) in declared {
            push_declaration(&mut self.out, prefix, namespace);
            self.rendered.push((prefix, namespace));
        }
    }

    fn name(&mut self, prefix: &str, local: &str) {
        if !prefix.is_empty() {
            self.out.extend_from_slice(prefix.as_bytes());
            self.out.push(b':');
        }
        self.out.extend_from_slice(local.as_bytes());
    }

    fn instruction(&mut self, target: &str, text: &str) {
        self.out.extend_from_slice(b"<?");
        self.out.extend_from_slice(target.as_bytes());
        if !text.is_empty() {
            self.out.push(b' ');
            self.out.extend_from_slice(text.as_bytes());
        }
        self.out.extend_from_slice(b"?>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::xml::XmlLimits;

    fn canonical(text: &str) -> String {
        let document = Document::parse(text.as_bytes(), &XmlLimits::envelope()).unwrap();
        String::from_utf8(canonical_document(&document, |_| false)).unwrap()
    }

    #[test]
    fn a_document_is_written_as_canonical_xml_says() {
        assert_eq!(
            canonical("<?xml version='1.0'?><!-- c --> <?p  q?>\n<a/>\n<?r?>"),
            "<?p q?>\n<a></a>\n<?r?>"
        );
        assert_eq!(
            canonical("<a z='1' b='2' xmlns:y='urn:1' xmlns='urn:0' y:a='3' xml:lang='en'/>"),
            "<a xmlns=\"urn:0\" xmlns:y=\"urn:1\" b=\"2\" z=\"1\" xml:lang=\"en\" y:a=\"3\"></a>",
            "no namespace first, then by namespace name: http sorts before urn"
        );
        assert_eq!(
            canonical("<a>&lt;&gt;&amp;\"'&#xD;\t<![CDATA[<&]]></a>"),
            "<a>&lt;&gt;&amp;\"'&#xD;\t&lt;&amp;</a>"
        );
        assert_eq!(
            canonical("<a b='&lt;&gt;&quot;&apos;&#9;&#10;&#13;&amp;'/>"),
            "<a b=\"&lt;>&quot;'&#x9;&#xA;&#xD;&amp;\"></a>"
        );
    }

    #[test]
    fn only_declarations_that_say_something_new_are_written() {
        assert_eq!(
            canonical("<a xmlns='urn:1'><b xmlns='urn:1'/><c xmlns=''><d xmlns=''/></c></a>"),
            "<a xmlns=\"urn:1\"><b></b><c xmlns=\"\"><d></d></c></a>"
        );
        assert_eq!(canonical("<a xmlns=''/>"), "<a></a>", "there is nothing to undeclare");
        assert_eq!(
            canonical(
                "<a xmlns:p='urn:1'><b xmlns:p='urn:2'><c xmlns:p='urn:1'/></b><d xmlns:p='urn:1'/></a>"
            ),
            "<a xmlns:p=\"urn:1\"><b xmlns:p=\"urn:2\"><c xmlns:p=\"urn:1\"></c></b><d></d></a>"
        );
    }

    #[test]
    fn an_element_alone_takes_its_surroundings_with_it() {
        let text = "<a xmlns='urn:0' xmlns:p='urn:1' xml:lang='en' xml:space='preserve'><b xmlns:p='urn:2' xmlns='' xml:lang='cy'>\
                    <c k='1'/></b></a>";
        let document = Document::parse(text.as_bytes(), &XmlLimits::envelope()).unwrap();
        let c = document.root().descendants().last().unwrap();
        assert_eq!(
            String::from_utf8(canonical_element(c, |_| false)).unwrap(),
            "<c xmlns:p=\"urn:2\" k=\"1\" xml:lang=\"cy\" xml:space=\"preserve\"></c>"
        );
    }

    #[test]
    fn what_is_left_out_leaves_the_white_space_around_it() {
        let document = Document::parse(b"<a> <b/> <c><b/></c> </a>", &XmlLimits::envelope()).unwrap();
        assert_eq!(canonical_document(&document, |it| it.name() == "b"), b"<a>  <c></c> </a>");
    }
}
