//! Undoes base64 and quoted-printable as peers write them (wire reference §2.2).
//!
//! Lines of any length; padding may be lost where the reader is tolerant.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Strictness;

/// Left-over bits are let pass: a peer that cuts inside a group leaves them (§2.3).
const LOOSE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What base64 text decodes to.
pub(super) enum Decoded {
    /// All of it.
    Whole(Vec<u8>),
    /// Its whole groups; one character was left over, which stands for nothing by itself.
    Cut(Vec<u8>),
}

/// Why base64 text does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base64Fault {
    /// A foreign character, or padding inside.
    Damaged,
    /// Not whole groups of four, where they must be.
    Partial,
}

/// Decodes base64 with white space anywhere.
pub(super) fn base64(text: &[u8], strictness: Strictness) -> Result<Decoded, Base64Fault> {
    let mut packed = without_blanks(text);
    match strictness {
        // §6.2(13): otherwise the digest of the part is a matter of opinion.
        Strictness::Strict if !packed.len().is_multiple_of(4) => return Err(Base64Fault::Partial),
        Strictness::Strict => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(&packed);
            return decoded.map(Decoded::Whole).map_err(|_| Base64Fault::Damaged);
        }
        Strictness::Tolerant => {}
    }
    let cut = packed.len() % 4 == 1 && !packed.contains(&b'=');
    if cut {
        // The left-over character must still be one of base64.
        let dangling = packed.pop().filter(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/'));
        dangling.ok_or(Base64Fault::Damaged)?;
    }
    let decoded = LOOSE.decode(&packed).map_err(|_| Base64Fault::Damaged)?;
    Ok(if cut { Decoded::Cut(decoded) } else { Decoded::Whole(decoded) })
}

fn without_blanks(text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(text.len());
    for piece in text.split(|b| matches!(b, b'\n' | b'\r' | b' ' | b'\t')) {
        packed.extend_from_slice(piece);
    }
    packed
}

/// Decodes quoted-printable; `None` for an escape it does not have. Blanks at the end of a line are transport's, not
/// content's.
pub(super) fn quoted_printable(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        let (bare, end): (&[u8], &[u8]) = match line {
            [bare @ .., b'\r', b'\n'] => (bare, b"\r\n"),
            [bare @ .., b'\n'] => (bare, b"\n"),
            bare => (bare, b""),
        };
        let bare = bare.trim_ascii_end();
        let (bare, end) = match bare {
            // A soft break: the line goes on.
            [bare @ .., b'='] => (bare, &b""[..]),
            bare => (bare, end),
        };
        let mut octets = bare.iter();
        while let Some(octet) = octets.next() {
            match octet {
                b'=' => out.push(nibble(*octets.next()?)? << 4 | nibble(*octets.next()?)?),
                octet => out.push(*octet),
            }
        }
        out.extend_from_slice(end);
    }
    Some(out)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|n| n as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tolerant(text: &str) -> Result<Vec<u8>, Base64Fault> {
        base64(text.as_bytes(), Strictness::Tolerant).map(|decoded| match decoded {
            Decoded::Whole(octets) | Decoded::Cut(octets) => octets,
        })
    }

    #[test]
    fn base64_is_read_as_peers_write_it() {
        assert_eq!(tolerant("aGVs\r\nbG8\n gd29y bGQ=\r\n"), Ok(b"hello world".to_vec()));
        assert_eq!(tolerant("aGVsbG8"), Ok(b"hello".to_vec()), "lost padding");
        assert_eq!(tolerant(""), Ok(vec![]));
        for damaged in ["aGV*bG8=", "aGVs=bG8", "aG=Vs", "aGVs====", "aGVsb\u{e9}=="] {
            assert_eq!(tolerant(damaged), Err(Base64Fault::Damaged), "{damaged}");
        }
    }

    #[test]
    fn a_piece_cut_inside_a_group_is_told_from_a_whole_one() {
        // Wire §2.3: joined as text, so the text matters and the octets are a courtesy.
        let cut = base64(b"aGVsb", Strictness::Tolerant);
        assert!(matches!(cut, Ok(Decoded::Cut(octets)) if octets == b"hel"));
        assert!(matches!(base64(b"aGVsb", Strictness::Strict), Err(Base64Fault::Partial)));
        assert!(matches!(base64(b"aGVsbG8", Strictness::Strict), Err(Base64Fault::Partial)));
        assert!(matches!(base64(b"aGVs bG8=", Strictness::Strict), Ok(Decoded::Whole(_))));
        assert!(matches!(base64(b"aGVsbG9=", Strictness::Strict), Err(Base64Fault::Damaged)), "stray bits");
    }

    #[test]
    fn quoted_printable_is_undone() {
        assert_eq!(quoted_printable(b"a=3Db=\r\nc  \r\nd=e9\n").unwrap(), b"a=bc\r\nd\xe9\n");
        assert!(quoted_printable(b"a=4").is_none());
        assert!(quoted_printable(b"a=zz").is_none());
    }
}
