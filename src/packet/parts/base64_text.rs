//! Base64 text that comes in pieces, cut anywhere, decoded as it comes (gp2gp reference §4.2(7)).
//!
//! It knows nothing of where the octets go; it holds one block of text and no more.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Left-over bits are let pass, and padding is looked at here, not there.
const LOOSE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Characters held until they are decoded together: whole groups of four.
const BLOCK: usize = 4096;

/// Why the text does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextFault {
    /// A foreign character.
    Foreign,
    /// Padding elsewhere than where a piece ends.
    Padding,
    /// It ends inside a group, beyond what lost padding explains.
    Cut,
}

/// A decoder that is fed text.
pub(super) struct Base64Text {
    held: Box<[u8; BLOCK]>,
    length: usize,
    /// Signs of padding of the group at hand.
    padding: usize,
    /// Whether the piece at hand has ended with padding.
    closed: bool,
    characters: u64,
    decoded: Box<[u8; BLOCK]>,
}

impl Base64Text {
    pub(super) fn new() -> Self {
        Self {
            held: Box::new([0; BLOCK]),
            length: 0,
            padding: 0,
            closed: false,
            characters: 0,
            decoded: Box::new([0; BLOCK]),
        }
    }

    /// Characters taken, padding included, white space not.
    pub(super) fn characters(&self) -> u64 {
        self.characters
    }

    /// The next piece begins: after padding, text may go on.
    pub(super) fn begin_piece(&mut self) {
        self.closed = false;
    }

    /// Takes text up to where a block is full, and says how much. What is decoded is to be fetched with
    /// [`Base64Text::take_block`] when it says so.
    pub(super) fn take(&mut self, text: &[u8]) -> Result<(usize, bool), TextFault> {
        for (at, octet) in text.iter().enumerate() {
            match octet {
                b'\n' | b'\r' | b' ' | b'\t' => {}
                b'=' => {
                    if self.pad()? {
                        return Ok((at + 1, true));
                    }
                }
                _ if self.closed || self.padding > 0 => return Err(TextFault::Padding),
                octet => {
                    self.held[self.length] = *octet;
                    self.length += 1;
                    self.characters += 1;
                    if self.length == BLOCK {
                        return Ok((at + 1, true));
                    }
                }
            }
        }
        Ok((text.len(), false))
    }

    /// One sign of padding; whether it completes its group.
    fn pad(&mut self) -> Result<bool, TextFault> {
        let open = self.length % 4;
        if self.closed || open < 2 {
            return Err(TextFault::Padding);
        }
        self.padding += 1;
        self.characters += 1;
        if open + self.padding < 4 {
            return Ok(false);
        }
        self.padding = 0;
        self.closed = true;
        Ok(true)
    }

    /// Decodes what is held.
    pub(super) fn take_block(&mut self) -> Result<&[u8], TextFault> {
        let text = &self.held[..std::mem::take(&mut self.length)];
        let length = LOOSE.decode_slice(text, &mut self.decoded[..]).map_err(|_| TextFault::Foreign)?;
        Ok(&self.decoded[..length])
    }

    /// The text is at its end: the last octets. Padding may have been lost (wire reference §2.2).
    pub(super) fn finish(&mut self) -> Result<&[u8], TextFault> {
        if self.padding > 0 || self.length % 4 == 1 {
            return Err(TextFault::Cut);
        }
        self.take_block()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&str]) -> Result<(Vec<u8>, u64), TextFault> {
        let mut text = Base64Text::new();
        let mut out = Vec::new();
        for piece in pieces {
            text.begin_piece();
            let mut rest = piece.as_bytes();
            while !rest.is_empty() {
                let (taken, full) = text.take(rest)?;
                rest = &rest[taken..];
                if full {
                    out.extend_from_slice(text.take_block()?);
                }
            }
        }
        out.extend_from_slice(text.finish()?);
        let characters = text.characters();
        Ok((out, characters))
    }

    #[test]
    fn text_is_joined_wherever_it_was_cut() {
        // §4.2(7): cuts inside a group occur.
        for cut in 0..=16 {
            let text = "aGVsbG8gd29ybGQ=";
            assert_eq!(decode(&[&text[..cut], &text[cut..]]), Ok((b"hello world".to_vec(), 16)), "{cut}");
        }
        assert_eq!(decode(&["aGVs\r\nbG8", " ", "gd29y\tbGQ=\n"]), Ok((b"hello world".to_vec(), 16)));
        assert_eq!(decode(&["aGVsbG8"]), Ok((b"hello".to_vec(), 7)), "lost padding");
        assert_eq!(decode(&[]), Ok((vec![], 0)));
    }

    #[test]
    fn padding_may_stand_where_a_piece_ends_and_nowhere_else() {
        // §4.2(7): each fragment encoded by itself.
        assert_eq!(decode(&["YQ==", "Yg==", "YWI="]), Ok((b"abab".to_vec(), 12)));
        assert_eq!(decode(&["YQ==\r\n", " \n", "Yg"]), Ok((b"ab".to_vec(), 6)));
        for inside in [&["YQ==Yg=="][..], &["YQ=Y"], &["Y==="], &["="], &["YWI==", ""], &["YQ=", "=Yg=="]] {
            assert_eq!(decode(inside), Err(TextFault::Padding), "{inside:?}");
        }
        assert_eq!(decode(&["YQ="]), Err(TextFault::Cut));
        assert_eq!(decode(&["aGVsb"]), Err(TextFault::Cut));
        for foreign in ["aGV*bG8=", "aG-_", "aGVs\u{e9}"] {
            assert_eq!(decode(&[foreign]), Err(TextFault::Foreign), "{foreign}");
        }
    }

    #[test]
    fn more_than_a_block_comes_out_whole() {
        let octets: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        let text = base64::engine::general_purpose::STANDARD.encode(&octets);
        let (first, second) = text.split_at(9_999);
        assert_eq!(decode(&[first, second]).unwrap().0, octets);
    }
}
