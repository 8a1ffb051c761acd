//! Octets to text: which encoding a document is in, and the line ends XML prescribes.
//!
//! Reads UTF-8, US-ASCII, ISO-8859-1 and UTF-16 with a byte order mark. Any other encoding is refused by name, never
//! guessed.

use std::borrow::Cow;

use super::limits::XmlFault;

/// The encodings we read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    Utf16,
}

/// The longest XML declaration that is looked at for an encoding name.
const DECLARATION_OCTETS: usize = 256;

/// The document as text, without byte order mark, line ends as LF (XML 1.0 §2.11).
///
/// The prolog's claim is tried first, then `label`, the charset of the MIME part (wire reference §2.2: TPP labels UTF-8 as
/// ISO-8859-1).
pub(super) fn decode<'a>(octets: &'a [u8], label: Option<&str>) -> Result<Cow<'a, str>, XmlFault> {
    let text = match octets {
        [0xEF, 0xBB, 0xBF, rest @ ..] => Cow::Borrowed(utf8(rest)?),
        [0xFE, 0xFF, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)?),
        [0xFF, 0xFE, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)?),
        _ => decode_unmarked(octets, label)?,
    };
    let control = |octet| octet < 0x20 && !matches!(octet, b'\t' | b'\n' | b'\r');
    // A second byte order mark is text before the root; the reader below would pass over it.
    if text.bytes().any(control) || text.contains(['\u{FFFE}', '\u{FFFF}']) || text.starts_with('\u{FEFF}') {
        return Err(XmlFault::Malformed(0));
    }
    Ok(if text.contains('\r') { Cow::Owned(with_line_feeds(&text)) } else { text })
}

fn decode_unmarked<'a>(octets: &'a [u8], label: Option<&str>) -> Result<Cow<'a, str>, XmlFault> {
    let claimed = claimed_in_prolog(octets)?;
    decode_as(claimed, octets).or_else(|fault| match label.and_then(charset) {
        Some(labelled) if labelled != claimed => decode_as(labelled, octets),
        _ => Err(fault),
    })
}

fn decode_as(charset: Charset, octets: &[u8]) -> Result<Cow<'_, str>, XmlFault> {
    match charset {
        Charset::Utf8 => utf8(octets).map(Cow::Borrowed),
        Charset::Ascii if octets.is_ascii() => utf8(octets).map(Cow::Borrowed),
        Charset::Ascii => Err(XmlFault::Encoding),
        Charset::Latin1 => Ok(Cow::Owned(octets.iter().copied().map(char::from).collect())),
        // UTF-16 always begins with a byte order mark (XML 1.0 §4.3.3), which was not there.
        Charset::Utf16 => Err(XmlFault::Encoding),
    }
}

/// The encoding the XML declaration names; UTF-8 when it names none.
fn claimed_in_prolog(octets: &[u8]) -> Result<Charset, XmlFault> {
    let head = &octets[..octets.len().min(DECLARATION_OCTETS)];
    match head.strip_prefix(b"<?xml") {
        Some([b' ' | b'\t' | b'\r' | b'\n', ..]) => {}
        _ => return Ok(Charset::Utf8),
    }
    let end = head.windows(2).position(|pair| pair == b"?>").ok_or(XmlFault::Malformed(0))?;
    let declaration = std::str::from_utf8(&head[..end]).map_err(|_| XmlFault::Encoding)?;
    let Some((_, after)) = declaration.split_once("encoding") else { return Ok(Charset::Utf8) };
    let value = after.trim_start().strip_prefix('=').ok_or(XmlFault::Malformed(0))?.trim_start();
    let quote =
        value.chars().next().filter(|mark| matches!(mark, '"' | '\'')).ok_or(XmlFault::Malformed(0))?;
    let name = value[1..].split(quote).next().unwrap_or_default();
    charset(name).ok_or(XmlFault::Encoding)
}

fn charset(name: &str) -> Option<Charset> {
    match name.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" => Some(Charset::Utf8),
        "us-ascii" | "ascii" => Some(Charset::Ascii),
        "iso-8859-1" | "iso8859-1" | "latin1" => Some(Charset::Latin1),
        "utf-16" | "utf-16le" | "utf-16be" => Some(Charset::Utf16),
        _ => None,
    }
}

fn utf8(octets: &[u8]) -> Result<&str, XmlFault> {
    std::str::from_utf8(octets).map_err(|_| XmlFault::Encoding)
}

fn utf16(octets: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, XmlFault> {
    let (pairs, rest) = octets.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(XmlFault::Encoding);
    }
    char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .collect::<Result<_, _>>()
        .map_err(|_| XmlFault::Encoding)
}

fn with_line_feeds(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prolog_is_believed_before_the_label() {
        let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xE9</a>";
        assert!(decode(latin, None).unwrap().contains('\u{E9}'), "the prolog names ISO-8859-1");
        let labelled = b"<a>\xE9</a>";
        assert_eq!(decode(labelled, None), Err(XmlFault::Encoding), "nothing says that this is not UTF-8");
        assert_eq!(
            decode(labelled, Some("iso-8859-1")).unwrap(),
            "<a>\u{E9}</a>",
            "the label rescues it (wire §2.2)"
        );
        let utf8 = "<?xml version='1.0' encoding='UTF-8'?><a>\u{E9}</a>";
        assert_eq!(decode(utf8.as_bytes(), Some("ISO-8859-1")).unwrap(), utf8, "TPP mislabels UTF-8");
    }

    #[test]
    fn utf16_needs_its_mark() {
        let text = "<a>\u{E9}\u{1F600}</a>";
        let mut little = vec![0xFF, 0xFE];
        little.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        let mut big = vec![0xFE, 0xFF];
        big.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        assert_eq!(decode(&little, None).unwrap(), text);
        assert_eq!(decode(&big, None).unwrap(), text);
        assert!(decode(&little[2..], None).is_err(), "without the mark it is refused, not guessed");
        assert_eq!(
            decode(&little[..little.len() - 1], None),
            Err(XmlFault::Encoding),
            "half a code unit is left"
        );
    }

    #[test]
    fn line_ends_become_line_feeds() {
        assert_eq!(decode(b"<a>1\r\n2\r3\n</a>", None).unwrap(), "<a>1\n2\n3\n</a>", "XML 1.0 §2.11");
    }

    #[test]
    fn unknown_encodings_are_refused_by_name() {
        assert_eq!(decode(b"<?xml version='1.0' encoding='EBCDIC'?><a/>", None), Err(XmlFault::Encoding));
        assert!(decode(b"<?xml-stylesheet encoding='EBCDIC'?><a/>", None).is_ok(), "that is no declaration");
        assert!(decode("\u{FEFF}\u{FEFF}<a/>".as_bytes(), None).is_err(), "one byte order mark is enough");
        assert!(decode(b"<?xml version='1.0' encoding", None).is_err(), "an unfinished declaration");
        assert_eq!(
            decode(b"<a>\x01</a>", None),
            Err(XmlFault::Malformed(0)),
            "XML has no control characters"
        );
    }
}
