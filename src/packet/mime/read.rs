//! Takes a message apart into its parts: every row of wire reference §2.2.
//!
//! Linear in the length of the message; a part that travelled as it is is borrowed, not copied.

use std::borrow::Cow;
use std::collections::HashSet;

use super::field::{self, ContentType, Parameter};
use super::search::Needle;
use super::transfer::{self, Base64Fault, Decoded};
use super::{MimeFault, MimeLimits, Part, Strictness, Transfer};

/// The parts of `body`, whose Content-Type is `content_type`, in their order: the first is the root. What stands before
/// the first boundary and after the closing one is not looked at.
pub fn read<'a>(
    content_type: &str,
    body: &'a [u8],
    strictness: Strictness,
    limits: &MimeLimits,
) -> Result<Vec<Part<'a>>, MimeFault> {
    if body.len() > limits.message_bytes {
        return Err(MimeFault::MessageTooLarge);
    }
    let frame = Frame::parse(content_type)?;
    let stretches = stretches(body, &frame.boundary, strictness, limits)?;
    let mut parts = Vec::with_capacity(stretches.len());
    for (index, stretch) in stretches.into_iter().enumerate() {
        parts.push(part(stretch, index + 1, strictness, limits)?);
    }
    let mut seen = HashSet::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let Some(id) = &part.content_id else { continue };
        if !seen.insert(id.as_str()) {
            return Err(MimeFault::DuplicateContentId { part: index + 1 });
        }
        if index > 0 && frame.start.as_ref() == Some(id) {
            return Err(MimeFault::StartNamesLaterPart { part: index + 1 });
        }
    }
    Ok(parts)
}

/// The root alone, read tolerantly: whatever is wrong behind it, its sender can be told.
pub fn read_root<'a>(content_type: &str, body: &'a [u8], limits: &MimeLimits) -> Result<Part<'a>, MimeFault> {
    if body.len() > limits.message_bytes {
        return Err(MimeFault::MessageTooLarge);
    }
    let frame = Frame::parse(content_type)?;
    let needle = Needle::new(format!("\n--{}", frame.boundary).into_bytes());
    let begin = first(body, &needle).filter(|it| !it.closing).ok_or(MimeFault::NoParts)?;
    let end = next(body, &needle, begin.after - 1).ok_or(MimeFault::Unclosed)?;
    part(&body[begin.after..end.before.max(begin.after)], 1, Strictness::Tolerant, limits)
}

/// The charset a Content-Type is labelled with.
pub fn charset(content_type: &str) -> Option<String> {
    ContentType::parse(content_type)?.first("charset").map(str::to_owned)
}

/// The part a `cid:` reference (given without the scheme) names: its Content-ID exactly, else after one
/// percent-decoding (§2.2). `None` when there is no such part.
pub fn part_named<'p, 'a>(parts: &'p [Part<'a>], cid: &str) -> Result<Option<&'p Part<'a>>, MimeFault> {
    let find = |id: &str| parts.iter().find(|part| part.content_id.as_deref() == Some(id));
    let decoded = percent_decoded(cid).filter(|decoded| decoded != cid);
    match (find(cid), decoded.and_then(|decoded| find(&decoded))) {
        (Some(_), Some(_)) => Err(MimeFault::AmbiguousReference),
        (exact, decoded) => Ok(exact.or(decoded)),
    }
}

fn percent_decoded(cid: &str) -> Option<String> {
    let mut out = Vec::with_capacity(cid.len());
    let mut octets = cid.bytes();
    while let Some(octet) = octets.next() {
        if octet == b'%' {
            let mut digit = || char::from(octets.next()?).to_digit(16);
            out.push((digit()? * 16 + digit()?) as u8);
        } else {
            out.push(octet);
        }
    }
    String::from_utf8(out).ok()
}

/// What the Content-Type of the message says.
struct Frame {
    boundary: String,
    start: Option<String>,
}

impl Frame {
    fn parse(content_type: &str) -> Result<Self, MimeFault> {
        let read = ContentType::parse(content_type).ok_or(MimeFault::NotMultipart)?;
        if read.media != "multipart/related" {
            return Err(MimeFault::NotMultipart);
        }
        let boundary = match read.parameter("boundary") {
            Parameter::Once(boundary) => boundary,
            Parameter::Absent | Parameter::Repeated => return Err(MimeFault::Boundary),
        };
        let good = (1..=70).contains(&boundary.len()) && boundary.bytes().all(|b| matches!(b, b' '..=b'~'));
        if !good {
            return Err(MimeFault::Boundary);
        }
        let start = match read.parameter("start") {
            Parameter::Absent => None,
            Parameter::Once(start) => field::content_id(start).map(str::to_owned),
            Parameter::Repeated => return Err(MimeFault::NotMultipart),
        };
        Ok(Self { boundary: boundary.to_owned(), start })
    }
}

/// A line that is a boundary.
struct Delimiter {
    /// Where the part before it ends, its line end left out.
    before: usize,
    /// Where the part after it begins.
    after: usize,
    closing: bool,
    bare: bool,
}

/// What stands between the boundaries.
fn stretches<'a>(
    body: &'a [u8],
    boundary: &str,
    strictness: Strictness,
    limits: &MimeLimits,
) -> Result<Vec<&'a [u8]>, MimeFault> {
    let needle = Needle::new(format!("\n--{boundary}").into_bytes());
    let mut stretches = Vec::new();
    let mut at = match first(body, &needle) {
        Some(delimiter) if delimiter.closing => return Err(MimeFault::NoParts),
        Some(delimiter) => delimiter,
        None => return Err(MimeFault::NoParts),
    };
    loop {
        if at.bare && strictness == Strictness::Strict {
            return Err(MimeFault::BareLineFeed { part: stretches.len() + 1 });
        }
        if at.closing {
            return Ok(stretches);
        }
        if stretches.len() == limits.parts {
            return Err(MimeFault::TooManyParts);
        }
        // The line end of one boundary may be the one before the next.
        let next = next(body, &needle, at.after - 1).ok_or(MimeFault::Unclosed)?;
        stretches.push(&body[at.after..next.before.max(at.after)]);
        at = next;
    }
}

fn first(body: &[u8], needle: &Needle) -> Option<Delimiter> {
    let opening = &needle.pattern()[1..];
    if body.starts_with(opening)
        && let Some(delimiter) = delimiter(body, 0, opening.len(), false)
    {
        return Some(delimiter);
    }
    next(body, needle, 0)
}

fn next(body: &[u8], needle: &Needle, mut from: usize) -> Option<Delimiter> {
    loop {
        let found = needle.find(body, from)?;
        let carriage = found > 0 && body[found - 1] == b'\r';
        let before = if carriage { found - 1 } else { found };
        let end = found + needle.pattern().len();
        if let Some(delimiter) = delimiter(body, before, end, !carriage) {
            return Some(delimiter);
        }
        from = found + 1;
    }
}

/// The rest of a boundary's line from `at`: blanks only, or it is a longer text that begins like the boundary.
fn delimiter(body: &[u8], before: usize, at: usize, bare: bool) -> Option<Delimiter> {
    let rest = &body[at..];
    let closing = rest.starts_with(b"--");
    let begin = if closing { at + 2 } else { at };
    let blanks = body[begin..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let at = begin + blanks;
    match &body[at..] {
        [b'\r', b'\n', ..] => Some(Delimiter { before, after: at + 2, closing, bare }),
        [b'\n', ..] => Some(Delimiter { before, after: at + 1, closing, bare: true }),
        [] | [b'\r'] if closing => Some(Delimiter { before, after: at, closing, bare }),
        _ => None,
    }
}

/// The headers of a part that mean something to us.
#[derive(Default)]
struct Headers {
    content_id: Option<String>,
    content_type: Option<String>,
    encoding: Option<String>,
}

fn part<'a>(
    stretch: &'a [u8],
    number: usize,
    strictness: Strictness,
    limits: &MimeLimits,
) -> Result<Part<'a>, MimeFault> {
    let (headers, body) = headers(stretch, number, strictness, limits)?;
    let malformed = MimeFault::MalformedHeader { part: number };
    let content_id = match headers.content_id {
        Some(value) => Some(field::content_id(&value).ok_or(malformed)?.to_owned()),
        None => None,
    };
    let (content_type, charset) = match headers.content_type {
        Some(value) => {
            let read = ContentType::parse(&value).ok_or(malformed)?;
            let charset = read.first("charset").map(str::to_owned);
            (read.media, charset)
        }
        None => ("text/plain".to_owned(), None),
    };
    let (body, transfer) = decoded(body, headers.encoding.as_deref(), number, strictness)?;
    Ok(Part { content_id, content_type, charset, body, transfer })
}

fn decoded<'a>(
    body: &'a [u8],
    encoding: Option<&str>,
    part: usize,
    strictness: Strictness,
) -> Result<(Cow<'a, [u8]>, Transfer<'a>), MimeFault> {
    let name = encoding.unwrap_or("8bit").trim().to_ascii_lowercase();
    match name.as_str() {
        "8bit" | "7bit" | "binary" => Ok((Cow::Borrowed(body), Transfer::Octets)),
        "base64" => match transfer::base64(body, strictness) {
            Ok(Decoded::Whole(octets)) => Ok((Cow::Owned(octets), Transfer::Base64(body))),
            Ok(Decoded::Cut(octets)) => Ok((Cow::Owned(octets), Transfer::CutBase64(body))),
            Err(Base64Fault::Damaged) => Err(MimeFault::BadBase64 { part }),
            Err(Base64Fault::Partial) => Err(MimeFault::PartialBase64 { part }),
        },
        "quoted-printable" => {
            let octets = transfer::quoted_printable(body).ok_or(MimeFault::BadQuotedPrintable { part })?;
            Ok((Cow::Owned(octets), Transfer::Octets))
        }
        _ => Err(MimeFault::UnknownEncoding { part }),
    }
}

/// The headers of a part and what follows the blank line.
fn headers<'a>(
    stretch: &'a [u8],
    part: usize,
    strictness: Strictness,
    limits: &MimeLimits,
) -> Result<(Headers, &'a [u8]), MimeFault> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut rest = stretch;
    loop {
        let spent = stretch.len() - rest.len();
        let window = &rest[..rest.len().min((limits.header_bytes + 1).saturating_sub(spent))];
        if strictness == Strictness::Tolerant && begins_body(window, fields.last()) {
            return Ok((gathered(fields, part)?, rest));
        }
        let Some(end) = window.iter().position(|b| *b == b'\n') else {
            let fault = if window.len() < rest.len() {
                MimeFault::HeaderTooLarge { part }
            } else {
                MimeFault::MalformedHeader { part }
            };
            return Err(fault);
        };
        let line = match &rest[..end] {
            [line @ .., b'\r'] => line,
            _ if strictness == Strictness::Strict => return Err(MimeFault::BareLineFeed { part }),
            line => line,
        };
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Ok((gathered(fields, part)?, rest));
        }
        header_line(line, &mut fields).ok_or(MimeFault::MalformedHeader { part })?;
    }
}

/// Whether XML begins here without a blank line before it (INPS, §2.2). A header whose value is still to come
/// may go on with `<` on the next line.
fn begins_body(window: &[u8], last: Option<&(String, String)>) -> bool {
    let first = window.iter().find(|b| !matches!(b, b' ' | b'\t'));
    first == Some(&b'<') && last.is_none_or(|(_, value)| !value.trim().is_empty())
}

/// Takes one line: a field, or the continuation of the one before.
fn header_line(line: &[u8], fields: &mut Vec<(String, String)>) -> Option<()> {
    // Control characters hide one header from one reader and not from another.
    if line.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    if text.starts_with([' ', '\t']) {
        fields.last_mut()?.1.push_str(&text);
        return Some(());
    }
    let (name, value) = text.split_once(':')?;
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    good.then(|| fields.push((name.to_ascii_lowercase(), value.trim().to_owned())))
}

fn gathered(fields: Vec<(String, String)>, part: usize) -> Result<Headers, MimeFault> {
    let mut headers = Headers::default();
    for (name, value) in fields {
        let place = match name.as_str() {
            "content-id" => &mut headers.content_id,
            "content-type" => &mut headers.content_type,
            "content-transfer-encoding" => &mut headers.encoding,
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(MimeFault::RepeatedHeader { part });
        }
    }
    Ok(headers)
}
