//! XML in the plain form that `xml` writes: elements, attributes in double quotes, text, comments,
//! and nothing else.
//!
//! A received message in this form is read with it, too (`tree`). The gate reads every message of ours with it: with a reader of all XML the gate took four tenths of a build, and now
//! it takes a quarter. Nothing is taken on trust: what is not of this form, or not well formed, it gives up, and then
//! the full reader judges.

/// What stands next in the message. An empty element is a start and an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// The element of that name begins; its attributes are in [`Plain::attributes`].
    Start(&'a str),
    End,
    /// Text that is not blank, as written.
    Words(&'a str),
    /// The message ends, with every element closed.
    Over,
}

/// Not in the plain form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotPlain;

/// A message under reading.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    rest: &'a str,
    open: Vec<&'a str>,
    /// The element that began last was empty: its end comes next.
    empty: bool,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Plain<'a> {
    pub(super) fn new(message: &'a str) -> Self {
        Self { rest: message, open: Vec::new(), empty: false, attributes: Vec::new() }
    }

    /// Name and value of each attribute of the element that began last, as written.
    pub(super) fn attributes(&self) -> &[(&'a str, &'a str)] {
        &self.attributes
    }

    /// The next part. It tells no part twice; after [`NotPlain`] it says nothing of use.
    pub(super) fn next(&mut self) -> Result<Part<'a>, NotPlain> {
        if std::mem::take(&mut self.empty) {
            self.open.pop();
            return Ok(Part::End);
        }
        loop {
            if let Some(end) = self.rest.strip_prefix("</") {
                let name = self.open.pop().ok_or(NotPlain)?;
                let after = end.strip_prefix(name).ok_or(NotPlain)?;
                self.rest = after.strip_prefix('>').ok_or(NotPlain)?;
                return Ok(Part::End);
            }
            if let Some(comment) = self.rest.strip_prefix("<!--") {
                self.rest = after_comment(comment)?;
                continue;
            }
            if let Some(tag) = self.rest.strip_prefix('<') {
                return self.start(tag);
            }
            if self.open.is_empty() && self.rest.bytes().all(|b| b.is_ascii_whitespace()) {
                return Ok(Part::Over);
            }
            let (text, markup) = text(self.rest, b'<')?;
            self.rest = markup;
            if !text.bytes().all(|b| b.is_ascii_whitespace()) {
                return Ok(Part::Words(text));
            }
        }
    }

    /// A start tag, after its first character.
    fn start(&mut self, tag: &'a str) -> Result<Part<'a>, NotPlain> {
        let (name, mut tag) = named(tag)?;
        self.attributes.clear();
        while let Some(attribute) = tag.strip_prefix(' ') {
            if attribute.starts_with('/') {
                tag = attribute;
                break;
            }
            let (key, value) = named(attribute)?;
            let value = value.strip_prefix("=\"").ok_or(NotPlain)?;
            let (value, after) = text(value, b'"')?;
            tag = after.strip_prefix('"').ok_or(NotPlain)?;
            self.attributes.push((key, value));
        }
        self.open.push(name);
        self.empty = tag.starts_with('/');
        self.rest = tag.strip_prefix(if self.empty { "/>" } else { ">" }).ok_or(NotPlain)?;
        Ok(Part::Start(name))
    }
}

/// What follows a comment, of which the opening is read.
fn after_comment(comment: &str) -> Result<&str, NotPlain> {
    if comment.starts_with(['>', '-']) {
        return Err(NotPlain);
    }
    comment.split_once("-->").map(|(_, after)| after).ok_or(NotPlain)
}

/// The name at the start of the text, and what follows it.
fn named(text: &str) -> Result<(&str, &str), NotPlain> {
    let length = text.bytes().position(|b| KINDS[usize::from(b)] & NAME == 0).unwrap_or(text.len());
    if length == 0 { Err(NotPlain) } else { Ok(text.split_at(length)) }
}

/// The text up to what ends it, and from there on. Every `&` in it must begin an escape of XML's own or of
/// our writer's.
fn text(rest: &str, end: u8) -> Result<(&str, &str), NotPlain> {
    const ESCAPES: [&str; 6] = ["amp;", "lt;", "gt;", "quot;", "apos;", "#13;"];
    let mut from = 0;
    while let Some(found) = rest.as_bytes()[from..].iter().position(|b| KINDS[usize::from(*b)] & STOP != 0) {
        let at = from + found;
        match rest.as_bytes()[at] {
            byte if byte == end => return Ok(rest.split_at(at)),
            b'&' if ESCAPES.iter().any(|escape| rest[at + 1..].starts_with(escape)) => {}
            b'"' => {}
            _ => return Err(NotPlain),
        }
        from = at + 1;
    }
    Err(NotPlain)
}

/// What a byte may be, looked up: most of the time of a reading goes by in asking it of one byte after another.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        if b.is_ascii_alphanumeric() || b == b'_' || b == b':' {
            kinds[byte] = NAME;
        }
        if b == b'<' || b == b'"' || b == b'&' {
            kinds[byte] = STOP;
        }
        byte += 1;
    }
    kinds
};

/// A byte of a name.
const NAME: u8 = 1;
/// A byte that may end a text.
const STOP: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(message: &str) -> Result<Vec<Part<'_>>, NotPlain> {
        let mut plain = Plain::new(message);
        let mut parts = Vec::new();
        loop {
            match plain.next()? {
                Part::Over => return Ok(parts),
                part => parts.push(part),
            }
        }
    }

    #[test]
    fn what_our_writer_writes_is_read_part_by_part() {
        let mut plain = Plain::new("<a b=\"1 &lt; é\" xsi:type=\"PQ\"> <!-- - --><c />x &amp; &#13;</a>\n");
        assert_eq!(plain.next(), Ok(Part::Start("a")));
        assert_eq!(plain.attributes(), [("b", "1 &lt; é"), ("xsi:type", "PQ")]);
        for part in [Part::Start("c"), Part::End, Part::Words("x &amp; &#13;"), Part::End, Part::Over] {
            assert_eq!(plain.next(), Ok(part));
        }
    }

    #[test]
    fn everything_else_is_left_to_the_full_reader() {
        for message in [
            "<a",
            "<a>",
            "<a b",
            "<a b=\"1",
            "<a b='1'/>",
            "<a b =\"1\"/>",
            "<a  b=\"1\"/>",
            "<a b=\"<\"/>",
            "<a b=\"&x;\"/>",
            "<a b=\"1\"c=\"2\"/>",
            "<a / >",
            "<a></b>",
            "<a></a >",
            "</a>",
            "<>",
            "<é/>",
            "<a>&x;</a>",
            "<a>& </a>",
            "<?xml version=\"1.0\"?><a/>",
            "<a><!--> --></a>",
            "<a><![CDATA[x]]></a>",
            "<!DOCTYPE a><a/>",
        ] {
            assert_eq!(parts(message), Err(NotPlain), "{message}");
        }
    }
}
