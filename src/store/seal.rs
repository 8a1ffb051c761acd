//! AES-256-GCM in chunks, so that any amount can be sealed under one data key in constant memory, and a cut or a swap
//! shows.
//!
//! Every record has a data key of its own, used once: the nonce is the chunk's number.

use std::io::{self, Read, Write};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Plain bytes in a chunk.
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;

/// Bytes that `plain` bytes take once sealed; none if there is no such number. At least one chunk, so that nothing at
/// all is authenticated too.
pub fn sealed_length(plain: u64) -> Option<u64> {
    let chunks = plain.div_ceil(CHUNK as u64).max(1);
    plain.checked_add(chunks.checked_mul(TAG as u64)?)
}

/// Seals `plain` under a data key that is used for nothing else.
pub fn seal(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(plain.len() + (plain.len() / CHUNK + 1) * TAG);
    seal_stream(key, &mut &*plain, &mut sealed).expect("memory can be read and written");
    sealed
}

/// Seals all that `from` gives into `to`, a chunk at a time. Returns how many plain bytes there were.
pub fn seal_stream(key: &[u8; 32], from: &mut impl Read, to: &mut impl Write) -> io::Result<u64> {
    let key = aead(key);
    let (mut number, mut length) = (0, 0);
    let mut chunk = next_chunk(from)?;
    loop {
        // Only a full chunk can have one after it, and whether it has must be known before it is sealed.
        let next = if chunk.len() == CHUNK { next_chunk(from)? } else { Vec::new() };
        length += chunk.len() as u64;
        key.seal_in_place_append_tag(nonce(number), aad(next.is_empty()), &mut chunk)
            .expect("a chunk is within what AES-GCM seals");
        to.write_all(&chunk)?;
        if next.is_empty() {
            return Ok(length);
        }
        chunk = next;
        number += 1;
    }
}

fn next_chunk(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(CHUNK + TAG);
    from.take(CHUNK as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

/// Opens what was sealed, a chunk at a time. What it gives is authentic, but only after its end came is it known to be
/// whole.
pub struct Opener<R> {
    from: R,
    key: LessSafeKey,
    number: u64,
    /// Sealed bytes still to come.
    left: u64,
    chunk: Vec<u8>,
    /// What of the chunk is plain and not yet given.
    ready: std::ops::Range<usize>,
}

impl<R: Read> Opener<R> {
    /// Reads `length` sealed bytes from `from`.
    pub fn new(key: &[u8; 32], from: R, length: u64) -> Self {
        Self { from, key: aead(key), number: 0, left: length, chunk: Vec::new(), ready: 0..0 }
    }

    fn open_next(&mut self) -> io::Result<()> {
        let length = self.left.min((CHUNK + TAG) as u64);
        self.chunk.resize(length as usize, 0);
        self.from.read_exact(&mut self.chunk)?;
        let damaged = |_| io::Error::new(io::ErrorKind::InvalidData, "sealed bytes do not open");
        let last = aad(self.left == length);
        let plain = self.key.open_in_place(nonce(self.number), last, &mut self.chunk).map_err(damaged)?;
        self.ready = 0..plain.len();
        self.number += 1;
        // Only now: after a failure there must be something left, or asking again would look like the end.
        self.left -= length;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() && self.left > 0 {
            self.open_next()?;
        }
        let taken = self.ready.len().min(into.len());
        into[..taken].copy_from_slice(&self.chunk[self.ready.start..self.ready.start + taken]);
        self.ready.start += taken;
        Ok(taken)
    }
}

fn aead(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes"))
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0u8; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Whether it is the last chunk: a shorter file cannot pass for a whole one.
fn aad(last: bool) -> Aad<[u8; 1]> {
    Aad::from([u8::from(last)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(key: &[u8; 32], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        Opener::new(key, sealed, sealed.len() as u64).read_to_end(&mut plain).ok()?;
        Some(plain)
    }

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let key = [3; 32];
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let sealed = seal(&key, &plain);
            assert_eq!(sealed_length(length as u64), Some(sealed.len() as u64));
            assert_eq!(open(&key, &sealed), Some(plain));
            assert_eq!(open(&[4; 32], &sealed), None, "another key");
            let mut flipped = sealed.clone();
            flipped[length / 2] ^= 1;
            assert_eq!(open(&key, &flipped), None, "a flipped bit");
            assert_eq!(open(&key, &sealed[..sealed.len() - 1]), None, "a byte missing");
            assert_eq!(open(&key, &[&sealed[..], b"x"].concat()), None, "a byte too much");
        }
        let two = seal(&key, &vec![1; 2 * CHUNK]);
        assert_eq!(open(&key, &two[..CHUNK + TAG]), None, "a whole chunk missing");
        let swapped = [&two[CHUNK + TAG..], &two[..CHUNK + TAG]].concat();
        assert_eq!(open(&key, &swapped), None, "chunks out of order");
    }

    #[test]
    fn a_source_that_gives_a_byte_at_a_time_seals_the_same() {
        struct Dribble<'b>(&'b [u8]);
        impl Read for Dribble<'_> {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let most = into.len().min(1);
                self.0.read(&mut into[..most])
            }
        }
        let plain = vec![7; CHUNK + 9];
        let mut sealed = Vec::new();
        let length = seal_stream(&[1; 32], &mut Dribble(&plain), &mut sealed).unwrap();
        assert_eq!(length, plain.len() as u64);
        assert_eq!(sealed, seal(&[1; 32], &plain), "chunks are of our size, not of the source's");
    }
}
