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
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(octets: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(octets).unwrap();
        encoder.finish().unwrap()
    }

    fn join(pieces: &[(Carried, &[u8])], expected: Expected) -> Result<Vec<u8>, Unjoined> {
        join_by(pieces, expected, 4096)
    }

    fn join_by(pieces: &[(Carried, &[u8])], expected: Expected, step: usize) -> Result<Vec<u8>, Unjoined> {
        let mut joiner = Joiner::new(Vec::new(), expected, JoinLimits::default());
        for (carried, piece) in pieces {
            joiner.begin(*carried)?;
            piece.chunks(step).try_for_each(|chunk| joiner.feed(chunk))?;
        }
        let (out, joined) = joiner.finish()?;
        assert_eq!(joined.bytes, out.len() as u64);
        assert_eq!(joined.digest, Fingerprint::of(&out));
        Ok(out)
    }

    fn fault(result: Result<Vec<u8>, Unjoined>) -> JoinFault {
        match result {
            Err(Unjoined::Fault(fault)) => fault,
            Err(Unjoined::Write(error)) => panic!("the writer does not fail: {error}"),
            Ok(_) => panic!("this cannot be put together"),
        }
    }

    const GZIPPED: Expected = Expected { compressed: true, length: None };
    const PLAIN: Expected = Expected { compressed: false, length: None };

    #[test]
    fn fragments_are_joined_as_text_or_as_octets_and_never_mixed() {
        // §4.2(7).
        let text = STANDARD.encode(b"hello large world");
        let (first, second) = text.as_bytes().split_at(7);
        let pieces = [(Carried::Base64, first), (Carried::Base64, second)];
        assert_eq!(join(&pieces, PLAIN).unwrap(), b"hello large world");
        let octets: [(Carried, &[u8]); 2] = [(Carried::Octets, b"hello "), (Carried::Octets, b"world")];
        assert_eq!(join(&octets, PLAIN).unwrap(), b"hello world");
        assert_eq!(fault(join(&[pieces[0], octets[1]], PLAIN)), JoinFault::Mixture);
        assert_eq!(fault(join(&[octets[0], pieces[1]], PLAIN)), JoinFault::Mixture);
        assert_eq!(JoinFault::Mixture.response_code(), 29);
    }

    #[test]
    fn one_piece_one_fragment_and_none() {
        // F24: an index with one fragment; §4.2(4): exactly one file.
        assert_eq!(join(&[(Carried::Base64, b"YWI=")], PLAIN).unwrap(), b"ab");
        assert_eq!(fault(join(&[], PLAIN)), JoinFault::NoFile);
        assert_eq!(one_file(0).map_err(JoinFault::response_code), Err(30), "TD23");
        assert_eq!(one_file(2), Err(JoinFault::SeveralFiles));
        assert_eq!(one_file(1), Ok(()));
        assert_eq!(join(&[(Carried::Octets, b"")], PLAIN).unwrap(), b"", "an empty file is a file");
    }

    #[test]
    fn the_length_counts_characters_of_base64_and_must_match() {
        // LM24, F30.
        let with = |length| Expected { compressed: false, length: Some(length) };
        let text: &[u8] = b"aGVs\r\nbG8=\r\n";
        assert_eq!(join(&[(Carried::Base64, text)], with(8)).unwrap(), b"hello");
        assert_eq!(join(&[(Carried::Base64, b"aGVsbG8")], with(8)).unwrap(), b"hello", "padding lost");
        for wrong in [0, 5, 7, 9, 12, u64::MAX] {
            assert_eq!(fault(join(&[(Carried::Base64, text)], with(wrong))), JoinFault::Length, "{wrong}");
        }
        assert_eq!(join(&[(Carried::Octets, b"hello")], with(8)).unwrap(), b"hello");
        assert_eq!(join(&[(Carried::Octets, b"hello")], with(5)).unwrap(), b"hello");
        assert_eq!(fault(join(&[(Carried::Octets, b"hello")], with(6))), JoinFault::Length);
    }

    #[test]
    fn gzip_is_undone_once_and_checked_to_its_end() {
        let packed = gzip(b"hello hello hello");
        for step in [1, 2, 3, 4096] {
            let pieces = [(Carried::Octets, &packed[..]), (Carried::Octets, &[0, 0, 0][..])];
            assert_eq!(join_by(&pieces, GZIPPED, step).unwrap(), b"hello hello hello", "{step}");
            let twice = gzip(&packed);
            assert_eq!(join_by(&[(Carried::Octets, &twice)], GZIPPED, step).unwrap(), packed, "once");
            let two = [&packed[..], &gzip(b"; bye")].concat();
            let joined = join_by(&[(Carried::Octets, &two)], GZIPPED, step).unwrap();
            assert_eq!(joined, b"hello hello hello; bye", "two members are one file: RFC 1952 §2.2");
            let trailing = [&packed[..], b"\0garbage"].concat();
            assert_eq!(fault(join_by(&[(Carried::Octets, &trailing)], GZIPPED, step)), JoinFault::Trailing);
        }
        for cut in 0..packed.len() {
            assert_eq!(fault(join(&[(Carried::Octets, &packed[..cut])], GZIPPED)), JoinFault::Gzip, "{cut}");
        }
        assert_eq!(fault(join(&[(Carried::Octets, b"no gzip at all")], GZIPPED)), JoinFault::Gzip);
    }

    #[test]
    fn a_changed_octet_of_gzip_never_passes_for_the_file() {
        let whole: Vec<u8> = (0..4000u32).flat_map(|n| n.to_be_bytes()).collect();
        let packed = gzip(&whole);
        // Time and system of the header (octets 4 to 9) change nothing that comes out.
        for at in (0..packed.len()).filter(|at| !(4..10).contains(at)).step_by(7) {
            let mut changed = packed.clone();
            changed[at] ^= 0x20;
            match join(&[(Carried::Octets, &changed)], GZIPPED) {
                Ok(out) => assert_eq!(out, whole, "{at}"),
                Err(Unjoined::Fault(fault)) => assert_eq!(fault.response_code(), 29),
                Err(Unjoined::Write(error)) => panic!("{error}"),
            }
        }
    }

    /// Counts, and keeps nothing.
    struct Count(u64);

    impl Write for Count {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0 += octets.len() as u64;
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_gigabyte_of_zeros_is_refused_before_it_comes_out() {
        // F30.
        let limits = JoinLimits { bytes: 1 << 30, ratio: 100, ratio_from: 1 << 20 };
        let bomb = gzip(&vec![0; 8 << 20]);
        let mut count = Count(0);
        let mut joiner = Joiner::new(&mut count, GZIPPED, limits);
        joiner.begin(Carried::Octets).unwrap();
        let fed = bomb.chunks(100).try_for_each(|chunk| joiner.feed(chunk));
        assert!(matches!(fed, Err(Unjoined::Fault(JoinFault::Ratio))));
        assert!(joiner.feed(b"more").is_err(), "it stays refused");
        assert!(joiner.finish().is_err());
        assert!(count.0 <= 1 << 20, "{} octets came out", count.0);
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let limits = JoinLimits { bytes: 10, ..JoinLimits::default() };
        for compressed in [false, true] {
            let octets = if compressed { gzip(&[7; 11]) } else { vec![7; 11] };
            let mut joiner = Joiner::new(Count(0), Expected { compressed, length: None }, limits);
            joiner.begin(Carried::Octets).unwrap();
            let fed = joiner.feed(&octets).and_then(|()| joiner.finish().map(|_| ()));
            assert!(matches!(fed, Err(Unjoined::Fault(JoinFault::TooLarge))), "{compressed}");
        }
    }

    #[test]
    fn a_writer_that_fails_is_no_fault_of_the_part() {
        // §4.3: store full, no answer.
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for compressed in [false, true] {
            let octets = if compressed { gzip(b"hello") } else { b"hello".to_vec() };
            let mut joiner = Joiner::new(Full, Expected { compressed, length: None }, JoinLimits::default());
            joiner.begin(Carried::Octets).unwrap();
            let fed = joiner.feed(&octets).and_then(|()| joiner.finish().map(|_| ()));
            match fed {
                Err(Unjoined::Write(error)) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
                other => panic!("{other:?} for {compressed}"),
            }
        }
    }
}
