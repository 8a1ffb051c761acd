//! Writing XML: escaped once, here, with no white space between elements.
//!
//! It knows nothing of the message: who calls it keeps the schema's order.

/// XML under construction.
#[derive(Debug, Default)]
pub(super) struct Xml {
    out: String,
    replaced: bool,
    /// Where something large belongs that is written already.
    room: usize,
}

impl Xml {
    pub(super) fn new() -> Self {
        // Most statements fit: growing from nothing costs more than writing them. An allocator keeps blocks under a
        // kilobyte at hand.
        Self { out: String::with_capacity(1000), ..Self::default() }
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
        // A reader would turn a bare carriage return into a line feed.
        self.escaped(text, |c| match c {
            '"' | '\t' | '\n' => None,
            '\r' => Some("&#13;"),
            c => entity(c),
        });
    }

    /// Whether nothing was written.
    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// XML that this writer made before.
    pub(super) fn append(&mut self, written: &str) {
        self.out.push_str(written);
    }

    /// Leaves room here for what [`Xml::around`] puts in.
    pub(super) fn leave_room(&mut self) {
        self.room = self.out.len();
    }

    /// The text, with something large in the room that was left. It is not copied but for making way.
    pub(super) fn around(self, mut inner: String) -> String {
        let (before, after) = self.out.split_at(self.room);
        inner.reserve_exact(self.out.len());
        inner.insert_str(0, before);
        inner.push_str(after);
        inner
    }

    /// Whether a character that XML 1.0 cannot carry was replaced (extract §10).
    pub(super) fn replaced(&self) -> bool {
        self.replaced
    }

    /// The text written so far.
    pub(super) fn into_text(self) -> String {
        // A copy of the right size: to shrink the block leaves splinters behind.
        self.out.as_str().to_owned()
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
        self.escaped(value, |c| match c {
            '"' => Some("&quot;"),
            '\t' | '\n' | '\r' => Some(" "),
            c => entity(c),
        });
    }

    /// Writes a text with some of its characters replaced.
    fn escaped(&mut self, text: &str, escape: impl Fn(char) -> Option<&'static str>) {
        let mut rest = text;
        // Most texts have nothing to replace: only bytes that may begin something are looked at.
        while let Some(at) =
            rest.bytes().position(|b| matches!(b, 0..0x20 | b'"' | b'&' | b'<' | b'>' | 0xEF))
        {
            let (clean, from) = rest.split_at(at);
            self.out.push_str(clean);
            let c = from.chars().next().expect("a byte of the text was found here");
            match escape(c) {
                Some(entity) => self.out.push_str(entity),
                None => self.character(c),
            }
            rest = &from[c.len_utf8()..];
        }
        self.out.push_str(rest);
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

fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

/// Whether XML 1.0 has all characters of the text.
pub(super) fn carries(text: &str) -> bool {
    // Only what begins with one of these bytes can be missing.
    let suspect = text.bytes().any(|b| matches!(b, 0..0x20 | 0xEF));
    !suspect || text.chars().all(carried)
}

/// Whether XML 1.0 has the character.
pub(super) fn carried(c: char) -> bool {
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
