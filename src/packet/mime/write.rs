//! Puts parts together as the strictest peer wants them (wire reference §2.1).
//!
//! The same parts and seed give the same octets: a retry must send what was sent before (wire reference §5.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::search::Needle;
use crate::packet::fingerprint::Fingerprint;

/// Columns of base64: the longest that every peer takes.
const COLUMNS: usize = 76;

/// How the octets of a part travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are: the envelope and the HL7.
    EightBit,
    /// As base64: attachments, always (TD52.4).
    Base64,
}

/// A part to be written.
#[derive(Clone, Copy)]
pub struct OutPart<'a> {
    /// Without angle brackets; from [`content_id`].
    pub content_id: &'a str,
    /// With its charset where it has one; from [`carried_type`] for an attachment.
    pub content_type: &'a str,
    /// How it travels.
    pub encoding: Encoding,
    /// What travels.
    pub octets: &'a [u8],
}

/// A message put together.
#[derive(Clone, PartialEq, Eq)]
pub struct Written {
    /// For the HTTP header.
    pub content_type: String,
    /// For the HTTP body.
    pub body: Vec<u8>,
}

/// Puts `parts` together, the first as root. `seed`, the message id, decides the boundary.
pub fn write(parts: &[OutPart<'_>], seed: &str) -> Written {
    let boundary = boundary(parts, seed);
    let mut body = Vec::with_capacity(parts.iter().map(|part| room(part) + 400).sum());
    for part in parts {
        let encoding = match part.encoding {
            Encoding::EightBit => "8bit",
            Encoding::Base64 => "base64",
        };
        let (id, content_type) = (one_line(part.content_id), one_line(part.content_type));
        let head = format!(
            "--{boundary}\r\nContent-Id: <{id}>\r\nContent-Type: {content_type}\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        match part.encoding {
            Encoding::EightBit => body.extend_from_slice(part.octets),
            Encoding::Base64 => base64_lines(part.octets, &mut body),
        }
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let start = parts.first().map(|part| one_line(part.content_id)).unwrap_or_default();
    let content_type =
        format!(r#"multipart/related; boundary="{boundary}"; type="text/xml"; start="<{start}>""#);
    Written { content_type, body }
}

/// The Content-ID of a document, without angle brackets: only letters, digits, `.`, `-` and `@`, because MHS cuts
/// and splits without looking (§2.1). Different documents keep different ids whatever they are called.
pub fn content_id(document: &str, host: &str) -> String {
    format!("{}@{}", plain(document), plain(host))
}

/// The type an attachment of this type travels under: its own when every peer takes it (the list of §2.1), else
/// octet-stream, the true type standing in its Description (LM29).
pub fn carried_type(content_type: &str) -> &'static str {
    let bare = content_type.split(';').next().unwrap_or_default().trim();
    CARRIED.iter().find(|carried| carried.eq_ignore_ascii_case(bare)).unwrap_or(&"application/octet-stream")
}

const CARRIED: [&str; 15] = [
    "text/plain",
    "text/html",
    "text/xml",
    "text/rtf",
    "application/pdf",
    "application/xml",
    "application/msword",
    "application/octet-stream",
    "audio/basic",
    "audio/mpeg",
    "image/png",
    "image/gif",
    "image/jpeg",
    "image/tiff",
    "video/mpeg",
];

/// 128 bits of a digest of the seed, proved absent from what travels as it is. `=_` never stands in base64.
fn boundary(parts: &[OutPart<'_>], seed: &str) -> String {
    let mut attempt = 0u32;
    loop {
        let digest = Fingerprint::of(format!("boundary {attempt} {seed}").as_bytes()).to_string();
        let boundary = format!("=_{}", &digest[..32]);
        let needle = Needle::new(format!("--{boundary}").into_bytes());
        let occurs =
            |part: &OutPart<'_>| part.encoding == Encoding::EightBit && needle.find(part.octets, 0).is_some();
        // Ends: the parts would have to hold every boundary there is.
        if !parts.iter().any(occurs) {
            return boundary;
        }
        attempt = attempt.wrapping_add(1);
    }
}

fn room(part: &OutPart<'_>) -> usize {
    match part.encoding {
        Encoding::EightBit => part.octets.len(),
        Encoding::Base64 => part.octets.len().div_ceil(57) * (COLUMNS + 2),
    }
}

fn base64_lines(octets: &[u8], out: &mut Vec<u8>) {
    for (index, line) in octets.chunks(COLUMNS / 4 * 3).enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\r\n");
        }
        let from = out.len();
        out.resize(from + line.len().div_ceil(3) * 4, 0);
        STANDARD.encode_slice(line, &mut out[from..]).expect("the room was made for exactly this line");
    }
}

/// Nothing in a header value may begin a line of its own.
fn one_line(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).collect()
}

fn plain(text: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    if !text.is_empty() && text.chars().all(fits) {
        return text.to_owned();
    }
    let cleaned: String = text.chars().map(|c| if fits(c) { c } else { '-' }).take(64).collect();
    format!("{cleaned}-{}", &Fingerprint::of(text.as_bytes()).to_string()[..16])
}
