//! Gzips a file on its way, the same octets each time: what was measured is what is sent.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder};

/// Octets read at a time.
const BLOCK: usize = 32 << 10;

/// Sizes of a file that was gzipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gzipped {
    /// Octets read.
    pub bytes: u64,
    /// Octets of gzip written.
    pub packed: u64,
}

/// Gzips all of `from` into `to`, without a name and without a time. [`io::sink`] measures.
pub fn gzip(mut from: impl Read, to: impl Write) -> io::Result<Gzipped> {
    let counting = Counting { to, written: 0 };
    // 6 is what gzip itself takes: of the rest of the time little is gained.
    let mut encoder = GzBuilder::new().write(counting, Compression::new(6));
    let mut block = vec![0; BLOCK];
    let mut bytes = 0u64;
    loop {
        match from.read(&mut block) {
            Ok(0) => break,
            Ok(length) => {
                encoder.write_all(&block[..length])?;
                bytes = bytes.saturating_add(length as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut counting = encoder.finish()?;
    counting.to.flush()?;
    Ok(Gzipped { bytes, packed: counting.written })
}

struct Counting<W> {
    to: W,
    written: u64,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let length = self.to.write(octets)?;
        self.written = self.written.saturating_add(length as u64);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::join::{Carried, Expected, JoinLimits, Joiner};
    use super::*;

    #[test]
    fn what_is_measured_is_what_is_sent_and_unpacks() {
        let file: Vec<u8> = (0..100_000u32).map(|n| (n / 97) as u8).collect();
        let measured = gzip(&file[..], io::sink()).unwrap();
        let mut packed = Vec::new();
        assert_eq!(gzip(&file[..], &mut packed).unwrap(), measured);
        assert_eq!(measured, Gzipped { bytes: file.len() as u64, packed: packed.len() as u64 });
        let mut again = Vec::new();
        gzip(&file[..], &mut again).unwrap();
        assert_eq!(packed, again);
        let expected = Expected { compressed: true, length: None };
        let mut joiner = Joiner::new(Vec::new(), expected, JoinLimits::default());
        joiner.begin(Carried::Octets).unwrap();
        joiner.feed(&packed).unwrap();
        assert_eq!(joiner.finish().unwrap().0, file);
    }
}
