//! One `ds:Reference`: what is signed, through which transforms, with which digest.
//!
//! Only the three forms of wire reference §6.1 and §6.2(4) exist here, so two references can be compared whole.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::pin::sha256;
use super::{C14N, DS, ENVELOPED, NEXT_MSH, SHA1, SHA256, SOAP, SOAP_NEXT, SignatureFault, XPATH};
use crate::packet::canonical::{push_attribute_value, push_declaration};
use crate::packet::xml::{Element, Node};

/// What a signature says of the envelope or of one part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// Empty for the envelope, `cid:` and the Content-ID for a part.
    pub uri: String,
    /// What is done before digesting.
    pub transforms: Transforms,
    /// The digest.
    pub digest: Digest,
}

/// The transforms a reference may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transforms {
    /// None: the decoded octets of a part.
    None,
    /// Enveloped signature, the hop-block XPath, inclusive C14N: the envelope.
    Envelope,
    /// As [`Transforms::Envelope`] without the XPath, as some older peers write it.
    EnvelopeWithoutXPath,
}

/// A digest and its algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-1, only ever read.
    Sha1([u8; 20]),
}

impl Digest {
    /// Whether this is the digest of `octets`.
    pub(super) fn fits(&self, octets: &[u8]) -> bool {
        match self {
            Self::Sha256(value) => sha256(octets) == *value,
            Self::Sha1(value) => digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, octets).as_ref() == value,
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => SHA256,
            Self::Sha1(_) => SHA1,
        }
    }

    fn octets(&self) -> &[u8] {
        match self {
            Self::Sha256(value) => value,
            Self::Sha1(value) => value,
        }
    }
}

/// Where the prefixes of a written reference are declared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// `ds` further up; `SOAP` on the XPath element.
    Inner,
    /// `ds` and `SOAP` both further up: how canonical form renders the same reference where `SOAP` is in scope.
    InnerWithSoap,
    /// `ds` on the reference itself: a copy that stands alone.
    Alone,
}

impl Reference {
    /// Appends the reference in canonical form.
    pub(super) fn write(&self, out: &mut Vec<u8>, scope: Scope) {
        out.extend_from_slice(b"<ds:Reference");
        if scope == Scope::Alone {
            push_declaration(out, "ds", DS);
        }
        out.extend_from_slice(b" URI=\"");
        push_attribute_value(out, &self.uri);
        out.extend_from_slice(b"\">");
        let declared =
            if scope == Scope::InnerWithSoap { String::new() } else { format!(" xmlns:SOAP=\"{SOAP}\"") };
        let xpath = format!(
            "<ds:Transform Algorithm=\"{XPATH}\"><ds:XPath{declared}>{}</ds:XPath></ds:Transform>",
            expression("SOAP:actor")
        );
        let xpath = match self.transforms {
            Transforms::None => None,
            Transforms::Envelope => Some(xpath),
            Transforms::EnvelopeWithoutXPath => Some(String::new()),
        };
        if let Some(xpath) = xpath {
            let transforms = format!(
                "<ds:Transforms><ds:Transform Algorithm=\"{ENVELOPED}\"></ds:Transform>{xpath}\
                 <ds:Transform Algorithm=\"{C14N}\"></ds:Transform></ds:Transforms>"
            );
            out.extend_from_slice(transforms.as_bytes());
        }
        let digest = format!(
            "<ds:DigestMethod Algorithm=\"{}\"></ds:DigestMethod><ds:DigestValue>{}</ds:DigestValue></ds:Reference>",
            self.digest.algorithm(),
            STANDARD.encode(self.digest.octets())
        );
        out.extend_from_slice(digest.as_bytes());
    }

    /// Reads a `ds:Reference`, refusing every form but those of the profile (rules 3 to 5).
    pub(super) fn read(element: Element<'_>) -> Result<Self, SignatureFault> {
        let uri = element.attribute("", "URI").ok_or(SignatureFault::ForeignReference)?;
        if !uri.is_empty() && !uri.starts_with("cid:") {
            return Err(SignatureFault::ForeignReference);
        }
        let mut children: Vec<Element<'_>> = element.children().collect();
        let transforms = match children.first() {
            Some(first) if first.is(DS, "Transforms") => read_transforms(children.remove(0))?,
            _ => Transforms::None,
        };
        if uri.is_empty() == (transforms == Transforms::None) {
            return Err(SignatureFault::Transforms);
        }
        let [method, value] = children[..] else { return Err(SignatureFault::SignatureShape) };
        if !method.is(DS, "DigestMethod") || !value.is(DS, "DigestValue") || has_children(method) {
            return Err(SignatureFault::SignatureShape);
        }
        Ok(Self { uri: uri.to_owned(), transforms, digest: read_digest(method, value)? })
    }
}

fn read_digest(method: Element<'_>, value: Element<'_>) -> Result<Digest, SignatureFault> {
    let octets = base64_text(value)?;
    match method.attribute("", "Algorithm") {
        Some(SHA256) => octets.try_into().map(Digest::Sha256).map_err(|_| SignatureFault::Value),
        Some(SHA1) => octets.try_into().map(Digest::Sha1).map_err(|_| SignatureFault::Value),
        _ => Err(SignatureFault::DigestAlgorithm),
    }
}

fn read_transforms(element: Element<'_>) -> Result<Transforms, SignatureFault> {
    let transforms: Vec<Element<'_>> = element.children().collect();
    if transforms.iter().any(|it| !it.is(DS, "Transform")) {
        return Err(SignatureFault::Transforms);
    }
    let plain =
        |it: &Element<'_>, algorithm| it.attribute("", "Algorithm") == Some(algorithm) && !has_children(*it);
    match &transforms[..] {
        [first, last] if plain(first, ENVELOPED) && plain(last, C14N) => Ok(Transforms::EnvelopeWithoutXPath),
        [first, xpath, last] if plain(first, ENVELOPED) && plain(last, C14N) => {
            read_xpath(*xpath)?;
            Ok(Transforms::Envelope)
        }
        _ => Err(SignatureFault::Transforms),
    }
}

/// The expression is compared, never evaluated (rule 4).
fn read_xpath(transform: Element<'_>) -> Result<(), SignatureFault> {
    if transform.attribute("", "Algorithm") != Some(XPATH) {
        return Err(SignatureFault::Transforms);
    }
    let xpath = transform.only_child(DS, "XPath").ok_or(SignatureFault::XPath)?;
    let same = xpath.children().next().is_none()
        && transform.children().count() == 1
        && expanded(&xpath.text(), xpath).is_some_and(|text| text == folded(&expression("{SOAP}actor")));
    if same { Ok(()) } else { Err(SignatureFault::XPath) }
}

/// The expression of wire reference §6.1, with the name of the actor attribute as it is to be written.
fn expression(actor: &str) -> String {
    format!(
        "not(ancestor-or-self::node()[@{actor}=\"{NEXT_MSH}\"] | ancestor-or-self::node()[@{actor}=\"{SOAP_NEXT}\"])"
    )
}

/// The expression folded, each prefix of an attribute replaced by `{SOAP}` where that is what it stands for.
fn expanded(text: &str, scope: Element<'_>) -> Option<String> {
    let folded = folded(text);
    let mut parts = folded.split('@');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (prefix, rest) = part.split_once(':')?;
        if scope.bound(prefix) != Some(SOAP) {
            return None;
        }
        out.push_str("@{SOAP}");
        out.push_str(rest);
    }
    Some(out)
}

/// White space dropped outside literals, except between two names; literals in double quotes.
fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut literal = None;
    let mut gap = false;
    for c in text.chars() {
        match literal {
            Some(quote) if c == quote => {
                literal = None;
                out.push('"');
            }
            Some(_) => out.push(c),
            None if matches!(c, ' ' | '\t' | '\n' | '\r') => gap = true,
            None => {
                let names = is_name(c) && out.chars().next_back().is_some_and(is_name);
                if std::mem::take(&mut gap) && names {
                    out.push(' ');
                }
                if matches!(c, '"' | '\'') {
                    literal = Some(c);
                }
                out.push(if c == '\'' { '"' } else { c });
            }
        }
    }
    out
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '.' | '_')
}

/// Whether an element holds anything but white space.
pub(super) fn has_children(element: Element<'_>) -> bool {
    element.nodes().any(|node| !matches!(node, Node::Text(text) if text.trim().is_empty()))
}

/// The octets an element's base64 text stands for; white space is allowed, nothing else.
pub(super) fn base64_text(element: Element<'_>) -> Result<Vec<u8>, SignatureFault> {
    if element.children().next().is_some() {
        return Err(SignatureFault::SignatureShape);
    }
    let text: String = element.text().split_ascii_whitespace().collect();
    STANDARD.decode(text).map_err(|_| SignatureFault::Value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::xml::{Document, XmlLimits};

    fn read_expression(declared: &str, text: &str) -> Result<(), SignatureFault> {
        let xml = format!(
            "<ds:Transform xmlns:ds='{DS}' Algorithm='{XPATH}'><ds:XPath {declared}>{text}</ds:XPath></ds:Transform>"
        );
        read_xpath(Document::parse(xml.as_bytes(), &XmlLimits::envelope()).unwrap().root())
    }

    #[test]
    fn the_expression_is_known_whatever_its_prefix_quotes_and_spaces() {
        let soap = format!("xmlns:SOAP='{SOAP}'");
        let text = expression("SOAP:actor");
        assert_eq!(read_expression(&soap, &text), Ok(()));
        assert_eq!(read_expression(&soap, &text.replace(" | ", "\n\t|\n")), Ok(()));
        assert_eq!(read_expression(&soap, &text.replace('"', "'")), Ok(()));
        assert_eq!(read_expression(&format!("xmlns:s='{SOAP}'"), &expression("s:actor")), Ok(()));
    }

    #[test]
    fn any_other_expression_is_refused() {
        let soap = format!("xmlns:SOAP='{SOAP}'");
        let text = expression("SOAP:actor");
        for wrong in [
            String::new(),
            "true()".to_owned(),
            text.replace("SOAP:actor", "actor"),
            text.replace("nextMSH", "toPartyMSH"),
            text.replace("ancestor-or-self", "ances tor-or-self"),
            text.replace("\"urn", "\" urn"),
            format!("{text} or true()"),
        ] {
            assert_eq!(read_expression(&soap, &wrong), Err(SignatureFault::XPath), "{wrong}");
        }
        assert_eq!(
            read_expression("xmlns:SOAP='urn:other'", &text),
            Err(SignatureFault::XPath),
            "another namespace"
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        for (uri, transforms) in [
            ("", Transforms::Envelope),
            ("", Transforms::EnvelopeWithoutXPath),
            ("cid:a@b", Transforms::None),
        ] {
            let reference = Reference { uri: uri.to_owned(), transforms, digest: Digest::Sha256([7; 32]) };
            let mut out = Vec::new();
            reference.write(&mut out, Scope::Alone);
            let document = Document::parse(&out, &XmlLimits::envelope()).unwrap();
            assert_eq!(Reference::read(document.root()), Ok(reference));
        }
    }
}
