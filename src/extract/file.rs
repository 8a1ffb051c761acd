//! Names and types of the files beside an extract: suffixes, content types, what can stand in a file URL (extract §8.8).
//!
//! It converts nothing: the file goes as it is.

/// Content types that a receiving system takes (attachment types, NPFIT-FNT-TO-TIN-0289), with the usual suffix.
const SUFFIXES: [(&str, &str); 16] = [
    ("application/msword", ".doc"),
    ("application/pdf", ".pdf"),
    ("application/rtf", ".rtf"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx"),
    ("application/xml", ".xml"),
    ("audio/basic", ".au"),
    ("audio/mpeg", ".mp3"),
    ("audio/x-wav", ".wav"),
    ("image/bmp", ".bmp"),
    ("image/gif", ".gif"),
    ("image/jpeg", ".jpg"),
    ("image/png", ".png"),
    ("image/tiff", ".tiff"),
    ("text/html", ".html"),
    ("text/plain", ".txt"),
    ("text/rtf", ".rtf"),
];

/// A well-formed content type without its parameters.
pub(super) fn mime(text: &str) -> Option<&str> {
    let name = text.split(';').next().unwrap_or_default().trim();
    let token =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    let (kind, subtype) = name.split_once('/')?;
    (token(kind) && token(subtype) && name.len() <= 127).then_some(name)
}

/// The suffix of the original name when it is a plain one, else that of the content type.
pub(super) fn suffix(name: Option<&str>, content_type: &str) -> String {
    let last =
        name.and_then(|n| n.rsplit('/').next()).and_then(|n| n.rsplit_once('.')).map(|(_, suffix)| suffix);
    let plain = last.filter(|s| (1..=5).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric()));
    let known =
        mime(content_type).and_then(|m| SUFFIXES.iter().find(|(name, _)| *name == m.to_ascii_lowercase()));
    match (known, plain) {
        (Some((_, suffix)), _) => (*suffix).to_owned(),
        (None, Some(plain)) => format!(".{}", plain.to_ascii_lowercase()),
        (None, None) => String::new(),
    }
}

/// Whether a title can stand as a file name in text.
pub(super) fn safe(title: &str) -> bool {
    title.len() <= 120
        && title.chars().all(|c| c.is_alphanumeric() || " ._-()".contains(c))
        && title.contains('.')
}

/// Percent-encodes what a file URL cannot hold.
pub(super) fn percent(name: &str) -> String {
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The type that the first bytes tell, where they do.
pub(super) fn sniffed(bytes: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 8] = [
        (b"%PDF-", "application/pdf"),
        (b"\x89PNG\r\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
        (b"II*\0", "image/tiff"),
        (b"MM\0*", "image/tiff"),
        (b"{\\rtf", "text/rtf"),
        (b"PK\x03\x04", "application/zip"),
    ];
    known.into_iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_is_well_formed_or_none() {
        assert_eq!(mime("text/plain; charset=utf-8"), Some("text/plain"));
        assert_eq!(mime("letter"), None);
        assert_eq!(suffix(Some("scan.JPG"), "x/y"), ".jpg", "a plain suffix of the title stays");
        assert_eq!(percent("a b"), "a%20b");
    }
}
