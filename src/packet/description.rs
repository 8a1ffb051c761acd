//! What the Manifest says of an attachment, in words of a small grammar (wire reference §3.4).
//!
//! Everything a peer says here is a claim: lengths are checked elsewhere, and a file name is never a path.

use std::fmt;

/// The Description of one reference. Reading never fails: a text without pairs is a file name (EMIS).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The name as sent; empty when the pairs hold none. May hold anything, separators of folders included.
    pub filename: String,
    /// The true type, authoritative over that of the MIME part.
    pub content_type: Option<String>,
    /// Whether the content is gzipped.
    pub compressed: bool,
    /// Whether the `mid:` names an index of parts; otherwise what it names carries the whole file.
    pub large_attachment: bool,
    /// Characters of base64 after compression: to be checked, never to be allocated.
    pub length: Option<u64>,
    /// For the item that is the real HL7: [`Description::SKELETON`].
    pub domain_data: Option<String>,
    /// Pairs we do not know, in their order.
    pub others: Vec<(String, String)>,
}

impl Description {
    /// Marks the item that holds the HL7 a skeleton stands for.
    pub const SKELETON: &'static str = "X-GP2GP-Skeleton: Yes";

    /// Reads either form. Of a repeated key the first wins.
    pub fn parse(text: &str) -> Self {
        if !text.contains("Filename=") && !text.contains("Compressed=") {
            return Self { filename: text.trim().to_owned(), ..Self::default() };
        }
        let mut description = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in pairs(text) {
            if !seen.contains(&key) {
                seen.push(key.clone());
                description.take(key, value);
            }
            if seen.len() == KEYS {
                break;
            }
        }
        description
    }

    /// Whether this item is the real HL7 of a skeleton message.
    pub fn is_skeleton(&self) -> bool {
        self.domain_data.as_deref().is_some_and(|data| data.trim() == Self::SKELETON)
    }

    fn take(&mut self, key: String, value: String) {
        match key.as_str() {
            "Filename" => self.filename = value,
            "ContentType" => self.content_type = Some(value).filter(|v| !v.is_empty()),
            "Compressed" => self.compressed = value.eq_ignore_ascii_case("yes"),
            "LargeAttachment" => self.large_attachment = value.eq_ignore_ascii_case("yes"),
            "Length" => self.length = value.parse().ok(),
            "DomainData" => self.domain_data = Some(value),
            // Written for the others' sake and never read.
            "OriginalBase64" => {}
            _ => self.others.push((key, value)),
        }
    }
}

/// Keys of one Description that are looked at: the grammar has seven, so this is several times what any peer writes.
const KEYS: usize = 32;

impl fmt::Display for Description {
    /// One line, single spaces, keys in the order of the specification. Escaping for XML is the envelope's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |flag: bool| if flag { "Yes" } else { "No" };
        let content_type = self.content_type.as_deref().unwrap_or("application/octet-stream");
        write!(f, "Filename=\"{}\" ContentType={}", quotable(&self.filename), word(content_type))?;
        write!(f, " Compressed={}", yes(self.compressed))?;
        write!(f, " LargeAttachment={} OriginalBase64=Yes", yes(self.large_attachment))?;
        if let Some(length) = self.length {
            write!(f, " Length={length}")?;
        }
        if let Some(domain_data) = &self.domain_data {
            write!(f, " DomainData=\"{}\"", quotable(domain_data))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Description {
    /// Without the name: file names of a record may name the patient.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Description")
            .field("content_type", &self.content_type)
            .field("compressed", &self.compressed)
            .field("large_attachment", &self.large_attachment)
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// The grammar has no escape: a quote inside would end the value.
fn quotable(value: &str) -> String {
    let one = |c: char| match c {
        '"' => '\'',
        c if c.is_control() => ' ',
        c => c,
    };
    value.chars().map(one).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn word(value: &str) -> String {
    value.chars().filter(|c| !c.is_whitespace() && !c.is_control() && *c != '"').collect()
}

/// `key=value` and `key="value"`, apart by white space. Words that begin no pair belong to the value before them: a
/// name with spaces that somebody forgot to quote.
fn pairs(text: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some(key) = leading_key(rest) else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            if let Some((_, value)) = pairs.last_mut() {
                value.push(' ');
                value.push_str(&rest[..end]);
            }
            rest = rest[end..].trim_start();
            continue;
        };
        let after = &rest[key.len() + 1..];
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted),
            None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        pairs.push((key.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    pairs
}

/// Up to the quote that the next pair or the end follows: a name may hold quotes of its own.
fn quoted_value(quoted: &str) -> (&str, &str) {
    let ends = |at: usize| {
        let after = &quoted[at + 1..];
        let next = after.trim_start();
        next.is_empty() || (next.len() < after.len() && leading_key(next).is_some())
    };
    match quoted.match_indices('"').map(|(at, _)| at).find(|at| ends(*at)) {
        Some(at) => (&quoted[..at], &quoted[at + 1..]),
        None => (quoted, ""),
    }
}

/// The key of the pair that begins here.
fn leading_key(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric())?;
    (text.starts_with(|c: char| c.is_ascii_alphabetic()) && text[end..].starts_with('='))
        .then_some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_written_in_one_line_and_read_back() {
        let written = Description {
            filename: "Dr O'Neill = \"letter\"\r\n1.pdf".to_owned(),
            content_type: Some("application/pdf".to_owned()),
            compressed: true,
            length: Some(2040),
            domain_data: Some(Description::SKELETON.to_owned()),
            ..Description::default()
        };
        let text = written.to_string();
        assert_eq!(
            text,
            "Filename=\"Dr O'Neill = 'letter' 1.pdf\" ContentType=application/pdf Compressed=Yes \
             LargeAttachment=No OriginalBase64=Yes Length=2040 DomainData=\"X-GP2GP-Skeleton: Yes\""
        );
        let read = Description::parse(&text);
        assert!(read.is_skeleton() && read.compressed && !read.large_attachment);
        assert_eq!((read.filename.as_str(), read.length), ("Dr O'Neill = 'letter' 1.pdf", Some(2040)));
        assert_eq!(read.to_string(), text);
    }

    #[test]
    fn peers_break_lines_repeat_keys_and_add_their_own() {
        // Wire §3.4, the form of large-message-example-2.
        let read = Description::parse(
            "\n\t\tFilename=\"a b_0.messageattachment\" \n\t\tContentType=application/x-gzip \n Compressed=No\n\
             LargeAttachment=Yes OriginalBase64=Yes Colour=\"dark blue\" Filename=second Length=",
        );
        assert_eq!(read.filename, "a b_0.messageattachment");
        assert_eq!(read.content_type.as_deref(), Some("application/x-gzip"));
        assert!(read.large_attachment && !read.compressed);
        assert_eq!(read.length, None);
        assert_eq!(read.others, [("Colour".to_owned(), "dark blue".to_owned())]);
    }

    #[test]
    fn odd_names_are_kept_whole() {
        let name = |text: &str| Description::parse(text).filename;
        assert_eq!(name(r#"Filename="a "b" c.txt" Compressed=No"#), r#"a "b" c.txt"#);
        assert_eq!(name("Filename=my old letter.doc Compressed=No"), "my old letter.doc");
        assert_eq!(name("Filename=\"never closed Compressed=No"), "never closed Compressed=No");
        assert_eq!(
            name(" 31B7_patient attachment=1.txt "),
            "31B7_patient attachment=1.txt",
            "EMIS: all of it"
        );
        assert_eq!(name(""), "");
    }

    #[test]
    fn a_flood_of_keys_is_not_kept() {
        let flood: String = (0..10_000).map(|n| format!("k{n}=v ")).collect();
        assert!(Description::parse(&format!("Filename=a {flood}")).others.len() <= KEYS);
    }
}
