//! How a tree grows: with our own reader where the message has the plain form that we and most systems write, and with
//! the reader of all XML where it has not.

use std::borrow::Cow;

use quick_xml::NsReader;
use quick_xml::XmlVersion;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, QName, ResolveResult};

use super::super::plain::{NotPlain, Part, Plain};
use super::super::validate::within;
use super::{NONE, Node, Tree};

const HL7: Namespace<'static> = Namespace("urn:hl7-org:v3");

/// Elements inside each other, at most: an extract has about thirty levels.
const DEPTH: usize = 128;

/// Attributes of an element in the plain form, at most: each is compared with each.
const ATTRIBUTES: usize = 16;

/// What stops the reading.
pub(super) enum Broken {
    NotXml,
    TooDeep,
}

impl From<NotPlain> for Broken {
    fn from(NotPlain: NotPlain) -> Self {
        Self::NotXml
    }
}

/// The tree of a message in the plain form, with no namespace but HL7's. Nothing when it is in any other form or broken:
/// that is for the reader of all XML to judge.
pub(super) fn plainly(message: &str) -> Option<Tree<'_>> {
    let mut growing = Growing::new(message);
    growing.read_plain(Plain::new(after_declaration(message))).ok()?;
    growing.finish().ok()
}

/// The message after its XML declaration, which says nothing to us.
fn after_declaration(message: &str) -> &str {
    message.strip_prefix("<?xml ").and_then(|rest| rest.split_once("?>")).map_or(message, |(_, rest)| rest)
}

/// Whether the value of an attribute means what stands there.
fn is_simple(value: &str) -> bool {
    !value.bytes().any(|b| b == b'&' || b < b' ')
}

/// The value of an attribute without escapes, and with blanks for line ends.
fn normalised(attribute: &Attribute<'_>) -> Result<String, Broken> {
    let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|_| Broken::NotXml)?;
    Ok(value.into_owned())
}

/// Whether the root declares a namespace that is HL7's, or that most systems declare and no element is of.
fn is_known_space(key: &str, value: &str) -> bool {
    match key {
        "xmlns" => Namespace(value) == HL7,
        "xmlns:xs" | "xmlns:xsd" => value == "http://www.w3.org/2001/XMLSchema",
        "xmlns:xsi" => value == "http://www.w3.org/2001/XMLSchema-instance",
        _ => false,
    }
}

/// Line ends as XML wants them read.
fn line_ends(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text }
}

/// A text without its escapes, which are those of the plain form.
fn unescaped(text: Cow<'_, str>) -> Result<Cow<'_, str>, Broken> {
    if !text.contains('&') {
        return Ok(text);
    }
    let plain = quick_xml::escape::unescape(&text).map_err(|_| Broken::NotXml)?;
    Ok(plain.into_owned().into())
}

/// The tree so far.
pub(super) struct Growing<'a> {
    message: &'a str,
    tree: Tree<'a>,
    /// The elements that are open, each with its last child.
    open: Vec<(u32, u32)>,
}

impl<'a> Growing<'a> {
    pub(super) fn new(message: &'a str) -> Self {
        // Extracts have an element in about 60 bytes and an attribute in about as many.
        let guess = message.len() / 64;
        let tree = Tree { nodes: Vec::with_capacity(guess), attributes: Vec::with_capacity(guess) };
        Self { message, tree, open: Vec::new() }
    }

    /// Reads in the plain form. What it does not take the other reader may: prefixes and namespaces of elements, text
    /// on both sides of an element, an attribute twice.
    fn read_plain(&mut self, mut plain: Plain<'a>) -> Result<(), Broken> {
        loop {
            match plain.next()? {
                Part::Start(name) => self.open_plain(name, plain.attributes())?,
                Part::End => self.close(),
                Part::Words(words) => {
                    let Some((at, _)) = self.open.last() else { return Err(Broken::NotXml) };
                    if !self.tree.nodes[*at as usize].text.is_empty() {
                        return Err(Broken::NotXml);
                    }
                    self.text(unescaped(line_ends(words.into()))?)?;
                }
                Part::Over => return Ok(()),
            }
        }
    }

    fn open_plain(&mut self, name: &'a str, attributes: &[(&'a str, &'a str)]) -> Result<(), Broken> {
        let is_root = self.open.is_empty();
        if name.contains(':') || attributes.len() > ATTRIBUTES {
            return Err(Broken::NotXml);
        }
        if is_root && !attributes.iter().any(|(key, _)| *key == "xmlns") {
            return Err(Broken::NotXml);
        }
        self.begin(name)?;
        for (at, (key, value)) in attributes.iter().enumerate() {
            let twice = attributes[..at].iter().any(|(other, _)| other == key);
            if twice || key.starts_with("xmlns") && !(is_root && is_known_space(key, value)) {
                return Err(Broken::NotXml);
            }
            let value: Cow<'a, str> = if is_simple(value) {
                (*value).into()
            } else {
                normalised(&Attribute { key: QName(key), value: (*value).into() })?.into()
            };
            self.attribute(key.split_once(':').map_or(*key, |(_, local)| local), value);
        }
        Ok(())
    }

    /// Reads with the reader of all XML.
    pub(super) fn read(&mut self, reader: &mut NsReader<&'a [u8]>) -> Result<(), Broken> {
        loop {
            let (namespace, event) = reader.read_resolved_event().map_err(|_| Broken::NotXml)?;
            match event {
                Event::Start(tag) => self.open(&tag, &namespace)?,
                Event::Empty(tag) => {
                    self.open(&tag, &namespace)?;
                    self.close();
                }
                Event::End(_) => self.close(),
                Event::Text(words) => self.text(line_ends(words.into_inner()))?,
                Event::CData(words) => self.text(line_ends(words.into_inner()))?,
                Event::GeneralRef(name) => {
                    let character = name.resolve_char_ref().map_err(|_| Broken::NotXml)?;
                    let text: Cow<'_, str> = match character {
                        Some(character) => character.to_string().into(),
                        None => {
                            quick_xml::escape::resolve_predefined_entity(&name).ok_or(Broken::NotXml)?.into()
                        }
                    };
                    self.text(text)?;
                }
                Event::DocType(_) => return Err(Broken::NotXml),
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => {}
                Event::Eof => return Ok(()),
            }
        }
    }

    fn open(&mut self, tag: &BytesStart<'_>, namespace: &ResolveResult<'_>) -> Result<(), Broken> {
        let known = matches!(namespace, ResolveResult::Bound(space) if *space == HL7);
        self.begin(if known { self.within(tag.local_name().into_inner()) } else { "" })?;
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| Broken::NotXml)?;
            let value: Cow<'a, str> = if is_simple(&attribute.value) {
                self.within(&attribute.value).into()
            } else {
                normalised(&attribute)?.into()
            };
            self.attribute(self.within(attribute.key.local_name().into_inner()), value);
        }
        Ok(())
    }

    /// An element begins, without attributes so far.
    fn begin(&mut self, name: &'a str) -> Result<(), Broken> {
        if self.open.len() == DEPTH {
            return Err(Broken::TooDeep);
        }
        // Bounded by the length of the message, which fits.
        let at = u32::try_from(self.tree.nodes.len()).map_err(|_| Broken::NotXml)?;
        let parent = match self.open.last_mut() {
            Some((parent, last)) => {
                let elder = std::mem::replace(last, at);
                match elder {
                    NONE => self.tree.nodes[*parent as usize].first = at,
                    elder => self.tree.nodes[elder as usize].next = at,
                }
                *parent
            }
            None if at == 0 => NONE,
            None => return Err(Broken::NotXml),
        };
        let from = self.tree.attributes.len() as u32;
        self.tree.nodes.push(Node {
            name,
            text: Cow::Borrowed(""),
            parent,
            first: NONE,
            next: NONE,
            attributes: (from, from),
        });
        self.open.push((at, NONE));
        Ok(())
    }

    /// An attribute of the element that began last.
    fn attribute(&mut self, name: &'a str, value: Cow<'a, str>) {
        self.tree.attributes.push((name, value));
        if let Some(node) = self.tree.nodes.last_mut() {
            node.attributes.1 += 1;
        }
    }

    fn within(&self, words: &str) -> &'a str {
        within(self.message, words)
    }

    fn close(&mut self) {
        // Only an end that matches its start comes here.
        self.open.pop();
    }

    fn text(&mut self, words: Cow<'a, str>) -> Result<(), Broken> {
        let blank = words.bytes().all(|b| b.is_ascii_whitespace());
        let Some((at, _)) = self.open.last() else {
            return if blank { Ok(()) } else { Err(Broken::NotXml) };
        };
        let text = &mut self.tree.nodes[*at as usize].text;
        if text.is_empty() {
            if !blank {
                *text = words;
            }
        } else {
            text.to_mut().push_str(&words);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Tree<'a>, Broken> {
        if self.open.is_empty() && !self.tree.nodes.is_empty() { Ok(self.tree) } else { Err(Broken::NotXml) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fully(message: &str) -> Tree<'_> {
        let mut growing = Growing::new(message);
        assert!(growing.read(&mut NsReader::from_str(message)).is_ok(), "{message}");
        growing.finish().ok().unwrap()
    }

    /// Names, attributes, texts and parents.
    fn told(tree: &Tree<'_>) -> Vec<String> {
        let elements = tree.elements();
        let told = elements.map(|e| (e.name(), e.attributes(), e.text(), e.parent().map(|p| p.place())));
        told.map(|e| format!("{e:?}")).collect()
    }

    #[test]
    fn both_readers_grow_the_same_tree() {
        for inner in [
            " <b c=\"1\" xsi:type=\"PQ\" /> ",
            "<b> u &lt; v&#13;\r\n&apos;w&apos; </b>",
            "<b>u<c/> </b>\n<!-- no --><b c=\"a\nb &amp; &#13;\"/>",
        ] {
            let spaces = "xmlns=\"urn:hl7-org:v3\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"";
            let message = format!("<?xml version=\"1.0\"?>\n<a {spaces}>{inner}</a>\n");
            let plain = plainly(&message).unwrap_or_else(|| panic!("{message}"));
            assert_eq!(told(&plain), told(&fully(&message)), "{message}");
        }
    }

    #[test]
    fn what_only_the_reader_of_all_xml_understands_is_left_to_it() {
        let hl7 = "xmlns=\"urn:hl7-org:v3\"";
        for message in [
            "<a/>".to_owned(),
            "<a xmlns=\"urn:other\"/>".to_owned(),
            "<h:a xmlns:h=\"urn:hl7-org:v3\"/>".to_owned(),
            format!("<a {hl7} xmlns:x=\"http://www.w3.org/2000/xmlns/\"/>"),
            format!("<a {hl7}><b xmlns=\"urn:other\"/></a>"),
            format!("<a {hl7}>u<b/>v</a>"),
            format!("<a {hl7}><b c=\"1\" c=\"2\"/></a>"),
            format!("<a {hl7}/>u"),
            format!("<a {hl7}/><a {hl7}/>"),
            format!("<a {hl7}>{}{}</a>", "<b>".repeat(DEPTH), "</b>".repeat(DEPTH)),
        ] {
            assert!(plainly(&message).is_none(), "{message}");
        }
    }
}
