//! Writing XML: escaped once, here, with no white space between elements.
//!
//! It knows nothing of the message: who calls it keeps the schema's order.

/// XML under construction.
#[derive(Debug, Default)]
pub(super) struct Xml {
    out: String,
    replaced: bool,
}

impl Xml {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// `<name …>` what `inner` writes `</name>`.
    pub(super) fn with(&mut self, name: &str, attributes: &[(&str, &str)], inner: impl FnOnce(&mut Self)) {
        self.start(name, attributes);
        self.out.push('>');
        inner(self);
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// `<name …/>`
    pub(super) fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.out.push_str("/>");
    }

    /// `<name …>text</name>`
    pub(super) fn leaf(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.with(name, attributes, |x| x.characters(text));
    }

    /// Text between elements.
    pub(super) fn characters(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                // A reader would turn a bare carriage return into a line feed.
                '\r' => self.out.push_str("&#13;"),
                c => self.character(c),
            }
        }
    }

    /// XML that this writer made before.
    pub(super) fn append(&mut self, written: &str) {
        self.out.push_str(written);
    }

    /// Whether a character that XML 1.0 cannot carry was replaced (extract §10).
    pub(super) fn replaced(&self) -> bool {
        self.replaced
    }

    /// The text written so far.
    pub(super) fn into_text(self) -> String {
        self.out
    }

    fn start(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (key, value) in attributes {
            self.out.push(' ');
            self.out.push_str(key);
            self.out.push_str("=\"");
            self.attribute(value);
            self.out.push('"');
        }
    }

    fn attribute(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\t' | '\n' | '\r' => self.out.push(' '),
                c => self.character(c),
            }
        }
    }

    fn character(&mut self, c: char) {
        if carried(c) {
            self.out.push(c);
        } else {
            self.replaced = true;
            self.out.push('\u{FFFD}');
        }
    }
}

/// Whether XML 1.0 has the character.
fn carried(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_escaped_once() {
        let mut x = Xml::new();
        x.with("a", &[("b", "1<\"2\"\n&amp;")], |x| x.leaf("c", &[], "<&amp;>\u{1F600}\u{2}"));
        assert!(x.replaced(), "a control character cannot travel");
        assert_eq!(
            x.into_text(),
            "<a b=\"1&lt;&quot;2&quot; &amp;amp;\"><c>&lt;&amp;amp;&gt;\u{1F600}\u{FFFD}</c></a>"
        );
    }
}
