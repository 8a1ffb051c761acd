//! A received message as UTF-8, whatever encoding its XML declaration names. Encodings of one byte a character that
//! systems here use are read, and UTF-16 with its mark; any other is refused by name.
//!
//! What is sound UTF-8 is taken as that: a declaration may survive a conversion on the way.

use std::borrow::Cow;

use super::tree::Untaken;

/// What windows-1252 has from 0x80 to 0x9F; ISO-8859-1 has control characters there, which nobody means, so that both
/// are read by this table. Where it has nothing the byte stands for itself.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}',
    '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// Bytes in which the declaration must end: it says a version, an encoding and one word more.
const DECLARATION: usize = 256;

/// The message in UTF-8, of at most so many bytes.
pub(super) fn decoded(message: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, Untaken> {
    if message.len() > limit {
        return Err(Untaken::TooLarge);
    }
    let wide = match message {
        [0xFE, 0xFF, rest @ ..] => Some(utf16(rest, u16::from_be_bytes)?),
        [0xFF, 0xFE, rest @ ..] => Some(utf16(rest, u16::from_le_bytes)?),
        _ => None,
    };
    if let Some(text) = wide {
        return Ok(text.into_bytes().into());
    }
    if std::str::from_utf8(message).is_ok() {
        return Ok(message.into());
    }
    let broken = || Untaken::NotXml(line_of(message));
    let name = declared(message).ok_or_else(broken)?;
    match name.to_ascii_lowercase().as_str() {
        "iso-8859-1" | "latin1" | "us-ascii" | "ascii" | "windows-1252" | "cp1252" => {
            Ok(message.iter().map(|byte| character(*byte)).collect::<String>().into_bytes().into())
        }
        "utf-8" => Err(broken()),
        _ => Err(Untaken::Encoding(name.to_owned())),
    }
}

/// The line with the first byte that is no UTF-8.
fn line_of(message: &[u8]) -> usize {
    let sound = std::str::from_utf8(message).map_or_else(|e| e.valid_up_to(), str::len);
    1 + message[..sound].iter().filter(|b| **b == b'\n').count()
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Untaken> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let text: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
    text.ok().filter(|_| odd.is_empty()).ok_or(Untaken::NotXml(1))
}

fn character(byte: u8) -> char {
    match byte {
        0x80..=0x9F => WINDOWS[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// The encoding that the XML declaration names, when it is a name: it is shown to the operator.
fn declared(message: &[u8]) -> Option<&str> {
    let head = message.strip_prefix(b"<?xml")?;
    let head = &head[..head.len().min(DECLARATION)];
    let end = head.windows(2).position(|pair| pair == b"?>")?;
    let declaration = std::str::from_utf8(&head[..end]).ok()?;
    let stated = declaration.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = stated.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let name = stated[1..].split_once(quote)?.0;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    Some(name).filter(|name| !name.is_empty() && name.len() <= 40 && name.chars().all(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_in_which_encoding_it_is() {
        let decoded = |bytes: &[u8]| decoded(bytes, 1000).map(|text| String::from_utf8(text.into()).unwrap());
        let with = |name: &str, end: &[u8]| {
            [format!("<?xml version='1.0' encoding=\"{name}\"?><a>").as_bytes(), end].concat()
        };
        for name in ["ISO-8859-1", "iso-8859-1", "US-ASCII", "windows-1252"] {
            let text = decoded(&with(name, b"Ren\xe9e 37\xb0 \x93x\x94</a>")).expect(name);
            assert!(text.ends_with("Renée 37° “x”</a>"), "{text}");
            let text = decoded(&with(name, "Renée</a>".as_bytes())).expect(name);
            assert!(text.ends_with("Renée</a>"), "sound UTF-8 is that, whatever it says: {text}");
        }
        assert_eq!(decoded(&with("KOI8-R", b"\xc1</a>")), Err(Untaken::Encoding("KOI8-R".to_owned())));
        for bytes in [with("UTF-8", b"\xe9"), with("not a name", b"\xe9"), b"<a>\xe9</a>".to_vec()] {
            assert_eq!(decoded(&bytes), Err(Untaken::NotXml(1)));
        }
        let wide = |order: fn(u16) -> [u8; 2]| {
            "\u{FEFF}<a>é\u{1F600}</a>".encode_utf16().flat_map(order).collect::<Vec<u8>>()
        };
        for bytes in [wide(u16::to_be_bytes), wide(u16::to_le_bytes)] {
            assert_eq!(decoded(&bytes).as_deref(), Ok("<a>é\u{1F600}</a>"));
            assert_eq!(decoded(&bytes[..bytes.len() - 1]), Err(Untaken::NotXml(1)), "half a character");
        }
        assert_eq!(decoded(&[b'x'; 1001]), Err(Untaken::TooLarge));
    }
}
