//! Pieces joined, and every reason for which they are not.

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
