//! Puts a received attachment together: the pieces in the order of the index, as they travelled, into what the sender had
//! (gp2gp reference §4.2(4) and (7)).
//!
//! Octets are pushed in and come out of the writer in pieces; some kilobytes are held, whatever the attachment has.
//! Which pieces there are and whether all have come is `inventory`'s.

use std::io::{self, Write};

use super::base64_text::{Base64Text, TextFault};
use super::gunzip::Passage;
use crate::packet::description::Description;
use crate::packet::fingerprint::Fingerprint;
use crate::packet::mime::{Part, Transfer};

/// How much may come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinLimits {
    /// Octets of one attachment, gunzipped. 1 GiB by default: 676 MB in one file has been seen (§4.5).
    pub bytes: u64,
    /// How many times as large as its gzip an attachment may be. 100 by default: text and blank scans stay far below.
    pub ratio: u64,
    /// Octets from which the ratio is looked at; what is smaller does no harm. 64 MiB by default.
    pub ratio_from: u64,
}

impl Default for JoinLimits {
    fn default() -> Self {
        Self { bytes: 1 << 30, ratio: 100, ratio_from: 64 << 20 }
    }
}

/// What the extract's entry says of the attachment. What fragments say of themselves is not read (§4.2(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Whether it is gzipped.
    pub compressed: bool,
    /// Characters of base64 after compression, checked where given (LM24).
    pub length: Option<u64>,
}

impl Expected {
    /// From the extract's entry.
    pub fn of(description: &Description) -> Self {
        Self { compressed: description.compressed, length: description.length }
    }
}

/// How a piece travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// As base64: what is fed is the text.
    Base64,
    /// As it is.
    Octets,
}

/// The piece that a part of a message is: its text where it travelled as base64, since cuts inside a group are mended only
/// there.
pub fn piece<'p>(part: &'p Part<'_>) -> (Carried, &'p [u8]) {
    match part.transfer {
        Transfer::Base64(text) | Transfer::CutBase64(text) => (Carried::Base64, text),
        Transfer::Octets => (Carried::Octets, &part.body),
    }
}

/// What is wrong with the pieces. Says nothing of what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinFault {
    /// Base64 with a foreign character.
    #[error("the part is not base64")]
    NotBase64,
    /// Base64 with padding inside a piece.
    #[error("the base64 of the part has padding inside")]
    Padding,
    /// Base64 that ends inside a group.
    #[error("the base64 of the part ends too early")]
    Cut,
    /// Some pieces are base64 and some are not.
    #[error("some fragments are base64 and some are not")]
    Mixture,
    /// Not the length that the extract announced.
    #[error("the part has another length than the extract says")]
    Length,
    /// Damaged gzip, gzip cut short, or no gzip.
    #[error("the part does not unpack")]
    Gzip,
    /// Something follows the gzip.
    #[error("something follows the gzipped part")]
    Trailing,
    /// More than an attachment may have.
    #[error("the part is larger than the limit")]
    TooLarge,
    /// Unpacks to more than a real file would.
    #[error("the part unpacks to too many times its size")]
    Ratio,
    /// No file at all.
    #[error("the part has no file")]
    NoFile,
    /// More than one file where there is one.
    #[error("the part has more than one file")]
    SeveralFiles,
}

impl JoinFault {
    /// What the part is answered with (§4.3): 29 when it cannot be put together, 30 when it is not what a part is.
    pub fn response_code(self) -> u16 {
        match self {
            Self::NotBase64
            | Self::Padding
            | Self::Cut
            | Self::Mixture
            | Self::Length
            | Self::Gzip
            | Self::Trailing
            | Self::TooLarge
            | Self::Ratio => 29,
            Self::NoFile | Self::SeveralFiles => 30,
        }
    }
}

impl From<TextFault> for JoinFault {
    fn from(fault: TextFault) -> Self {
        match fault {
            TextFault::Foreign => Self::NotBase64,
            TextFault::Padding => Self::Padding,
            TextFault::Cut => Self::Cut,
        }
    }
}

/// Why nothing was put together.
#[derive(Debug, thiserror::Error)]
pub enum Unjoined {
    /// The pieces are wrong: the part is answered with the code of the fault.
    #[error(transparent)]
    Fault(#[from] JoinFault),
    /// The writer failed: ours to mend, and no answer to the part (§4.3, store full).
    #[error("the part could not be written")]
    Write(#[source] io::Error),
}

impl From<TextFault> for Unjoined {
    fn from(fault: TextFault) -> Self {
        Self::Fault(fault.into())
    }
}

/// An attachment put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Octets of the file.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub digest: Fingerprint,
    /// Pieces it came in.
    pub pieces: u32,
}

/// Whether a message that carries one file has one (LM15, §4.2(4)).
pub fn one_file(files: usize) -> Result<(), JoinFault> {
    match files {
        0 => Err(JoinFault::NoFile),
        1 => Ok(()),
        _ => Err(JoinFault::SeveralFiles),
    }
}

/// Takes the pieces of one attachment in their order and writes the file to `W`. A single attachment is one piece.
///
/// After a fault nothing more comes out, and what came out is to be thrown away.
pub struct Joiner<W: Write> {
    passage: Passage<W>,
    text: Base64Text,
    octets: u64,
    carried: Option<Carried>,
    pieces: u32,
    expected: Expected,
    failed: bool,
}

impl<W: Write> Joiner<W> {
    /// Writes to `out`, as the extract's entry says.
    pub fn new(out: W, expected: Expected, limits: JoinLimits) -> Self {
        Self {
            passage: Passage::new(out, expected.compressed, limits),
            text: Base64Text::new(),
            octets: 0,
            carried: None,
            pieces: 0,
            expected,
            failed: false,
        }
    }

    /// The next piece begins, and how it travelled: all must have travelled alike.
    pub fn begin(&mut self, carried: Carried) -> Result<(), Unjoined> {
        if self.carried.is_some_and(|before| before != carried) {
            self.failed = true;
            return Err(JoinFault::Mixture.into());
        }
        self.carried = Some(carried);
        self.pieces = self.pieces.saturating_add(1);
        self.text.begin_piece();
        Ok(())
    }

    /// The next octets of the piece, as many or as few as are at hand.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Unjoined> {
        if self.failed {
            return Err(JoinFault::Cut.into());
        }
        let fed = match self.carried {
            None => Err(JoinFault::NoFile.into()),
            Some(Carried::Base64) => self.feed_text(chunk),
            Some(Carried::Octets) => {
                self.octets = self.octets.saturating_add(chunk.len() as u64);
                self.passage.push(chunk)
            }
        };
        self.failed = fed.is_err();
        fed
    }

    fn feed_text(&mut self, mut chunk: &[u8]) -> Result<(), Unjoined> {
        while !chunk.is_empty() {
            let (taken, full) = self.text.take(chunk)?;
            chunk = &chunk[taken..];
            if full {
                self.passage.push(self.text.take_block()?)?;
            }
        }
        Ok(())
    }

    /// All pieces are in.
    pub fn finish(mut self) -> Result<(W, Joined), Unjoined> {
        if self.failed {
            return Err(JoinFault::Cut.into());
        }
        if self.pieces == 0 {
            return Err(JoinFault::NoFile.into());
        }
        self.passage.push(self.text.finish()?)?;
        self.check_length()?;
        let (out, bytes, digest) = self.passage.finish()?;
        Ok((out, Joined { bytes, digest, pieces: self.pieces }))
    }

    fn check_length(&self) -> Result<(), JoinFault> {
        let Some(length) = self.expected.length else { return Ok(()) };
        let agrees = match self.carried {
            // Padding may have been lost on the way.
            Some(Carried::Base64) => {
                let characters = self.text.characters();
                length == characters || length == characters.next_multiple_of(4)
            }
            // Of what is no base64, some count the octets and some the base64 it would have been.
            Some(Carried::Octets) | None => {
                length == self.octets || length == self.octets.div_ceil(3).saturating_mul(4)
            }
        };
        if agrees { Ok(()) } else { Err(JoinFault::Length) }
    }
}

#[cfg(test)]
mod tests;
