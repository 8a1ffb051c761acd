//! Our canonical form against that of `xmllint`, on a corpus and on generated documents.
//!
//! `xmllint` keeps comments, which we drop; there are none here, and the unit tests cover them.

use std::path::Path;

use throughcare::packet::canonical::canonical_document;
use throughcare::packet::xml::{Document, XmlLimits};

use crate::tools;

/// `None` when `xmllint` is not installed.
fn canonical_by_xmllint(folder: &Path, octets: &[u8]) -> Option<Vec<u8>> {
    let file = folder.join("document.xml");
    std::fs::write(&file, octets).unwrap();
    let output = tools::run("xmllint", ["--c14n".as_ref(), file.as_os_str()])?;
    let text = String::from_utf8_lossy(octets);
    assert!(output.status.success(), "xmllint refuses {text}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn assert_same(octets: &[u8]) -> Option<()> {
    let folder = tempfile::tempdir().unwrap();
    let expected = canonical_by_xmllint(folder.path(), octets)?;
    let document = Document::parse(octets, &XmlLimits::payload()).unwrap();
    let ours = canonical_document(&document, |_| false);
    let show = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    assert_eq!(show(&ours), show(&expected), "canonical form of {}", show(octets));
    Some(())
}

#[test]
fn canonical_form_is_that_of_xmllint_on_the_list_of_the_wire_reference() {
    let corpus: &[&str] = &[
        "<a xmlns='urn:1'><b xmlns=''><c xmlns='urn:1'/><d xmlns=''/></b><e xmlns='urn:1'/></a>",
        "<p:a xmlns:p='urn:1' xmlns:q='urn:1'><p:b xmlns:p='urn:1'/><q:c xmlns:q='urn:2'><q:d xmlns:q='urn:1'/></q:c></p:a>",
        "<a xmlns:z='urn:a' xmlns:y='urn:b' y:k='1' z:k='2' k='3' xml:lang='en' b='4' xmlns='urn:c'/>",
        "<Signature xmlns='http://www.w3.org/2000/09/xmldsig#'><SignedInfo/><o:Object xmlns:o='urn:o' xmlns=''/></Signature>",
        "<a>one<![CDATA[ <two> & ]]]]><![CDATA[>]]>&#x41;&lt;&gt;&amp;&quot;&apos;&#13;&#x9;&#10;</a>",
        "<a b='x\ty\nz&#9;&#10;&#13;&quot;&apos;&lt;>&amp;' c=\"'\" d='  two  spaces '/>",
        "<?xml version='1.0' encoding='UTF-8' standalone='yes'?>\r\n<a b='1\r\n2'>\r\nx\ry\r\n</a>\r\n",
        "<?p?><?q  r  s ?>\n\n<a><?t u?></a>\n <?v?><?w x?>\n",
        "<\u{E9} \u{F6}='\u{1F600}'>\u{4E2D}\u{E9}\u{200B}</\u{E9}>",
        "<a xmlns:b='urn:1' b:c='1' c='2'><b:b b:c='3'/></a>",
        "<a  b = '1'\n\tc='2'  ><b  /></a  >",
    ];
    for text in corpus {
        if assert_same(text.as_bytes()).is_none() {
            return;
        }
    }
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a b='\xE9'>\xA3\xFF</a>";
    assert_same(latin);
    let mut utf16 = vec![0xFF, 0xFE];
    let text = "<?xml version='1.0' encoding='UTF-16'?><a>\u{E9}\u{1F600}</a>";
    utf16.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    assert_same(&utf16);
    assert_same("\u{FEFF}<a>\u{E9}</a>".as_bytes());
}

#[test]
fn canonical_form_is_that_of_xmllint_on_generated_documents() {
    for seed in 1..=60 {
        let mut generator = Generator { state: seed * 0x9E37_79B9, out: String::new() };
        generator.element(&mut vec![], 0);
        if assert_same(generator.out.as_bytes()).is_none() {
            return;
        }
    }
}

/// Writes pseudo-random documents from a seed: the same seed, the same document.
struct Generator {
    state: u64,
    out: String,
}

const PREFIXES: [&str; 4] = ["", "a", "b", "c"];
const NAMESPACES: [&str; 4] = ["urn:1", "urn:2", "http://example.org/3", "urn:4"];

impl Generator {
    fn below(&mut self, bound: usize) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % bound
    }

    fn element(&mut self, scope: &mut Vec<(&'static str, &'static str)>, depth: usize) {
        let outer = scope.len();
        let prefix = PREFIXES[self.below(4)];
        let name = ["x", "y", "z"][self.below(3)];
        let mut declared: Vec<(&str, &str)> = Vec::new();
        for candidate in PREFIXES {
            let needed =
                candidate == prefix && !candidate.is_empty() && !scope.iter().any(|(it, _)| *it == candidate);
            if needed || self.below(4) == 0 {
                let undeclare = candidate.is_empty() && self.below(2) == 0;
                declared.push((candidate, if undeclare { "" } else { NAMESPACES[self.below(4)] }));
            }
        }
        scope.extend(declared.iter().copied());
        let colon = if prefix.is_empty() { "" } else { ":" };
        self.out.push_str(&format!("<{prefix}{colon}{name}"));
        for (prefix, namespace) in declared {
            let colon = if prefix.is_empty() { "" } else { ":" };
            self.out.push_str(&format!(" xmlns{colon}{prefix}='{namespace}'"));
        }
        self.attributes(scope);
        self.out.push('>');
        for _ in 0..self.below(5) {
            match self.below(4) {
                0 | 1 if depth < 7 => self.element(scope, depth + 1),
                2 => self.out.push_str("<![CDATA[ <&\"' ]]>"),
                3 if self.below(3) == 0 => self.out.push_str("<?pi some  thing ?>"),
                _ => self.value(),
            }
        }
        self.out.push_str(&format!("</{prefix}{colon}{name}>"));
        scope.truncate(outer);
    }

    fn attributes(&mut self, scope: &[(&'static str, &'static str)]) {
        let mut used: Vec<(&str, &str)> = Vec::new();
        for _ in 0..self.below(4) {
            let local = ["k", "l", "m"][self.below(3)];
            let prefix = PREFIXES[self.below(4)];
            let bound = scope.iter().rev().find(|(it, _)| *it == prefix).map(|(_, namespace)| *namespace);
            let namespace = if prefix.is_empty() { Some("") } else { bound };
            let Some(namespace) = namespace.filter(|it| !used.contains(&(it, local))) else { continue };
            used.push((namespace, local));
            let colon = if prefix.is_empty() { "" } else { ":" };
            self.out.push_str(&format!(" {prefix}{colon}{local}=\""));
            self.value();
            self.out.push('"');
        }
        if self.below(8) == 0 {
            self.out.push_str(" xml:lang='en'");
        }
    }

    /// Character data that is also a legal attribute value.
    fn value(&mut self) {
        for _ in 0..self.below(6) {
            let pieces = [
                "text", "\n", "\t", "\r\n", "\r", "&#xD;", "&#10;", "&#9;", "&amp;", "&lt;", ">", "&quot;",
                "'", "\u{E9}", "  ",
            ];
            let piece = pieces[self.below(pieces.len())];
            self.out.push_str(piece);
        }
    }
}
