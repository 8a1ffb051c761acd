//! AES-256-GCM in chunks, so that any amount can be sealed under one data key and a cut or a swap shows.
//!
//! Every record has a data key of its own, used once: the nonce is the chunk's number.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Plain bytes in a chunk.
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;

/// Bytes that `plain` bytes take once sealed. At least one chunk, so that nothing at all is authenticated too.
pub fn sealed_length(plain: u64) -> u64 {
    let chunks = plain.div_ceil(CHUNK as u64).max(1);
    plain + chunks * TAG as u64
}

/// Seals `plain` under a data key that is used for nothing else.
pub fn seal(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let key = aead(key);
    let mut sealed = Vec::with_capacity(plain.len() + (plain.len() / CHUNK + 1) * TAG);
    let chunks: Vec<&[u8]> = if plain.is_empty() { vec![&[]] } else { plain.chunks(CHUNK).collect() };
    let last = chunks.len() - 1;
    for (number, chunk) in chunks.into_iter().enumerate() {
        let start = sealed.len();
        sealed.extend_from_slice(chunk);
        let tag = key
            .seal_in_place_separate_tag(nonce(number), aad(number == last), &mut sealed[start..])
            .expect("a chunk is within what AES-GCM seals");
        sealed.extend_from_slice(tag.as_ref());
    }
    sealed
}

/// Opens what [`seal`] made; none if a single bit differs, or anything is missing or too much.
pub fn open(key: &[u8; 32], mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let key = aead(key);
    let mut plain = Vec::with_capacity(sealed.len());
    let last = sealed.len().div_ceil(CHUNK + TAG).checked_sub(1)?;
    for (number, chunk) in sealed.chunks_mut(CHUNK + TAG).enumerate() {
        plain.extend_from_slice(key.open_in_place(nonce(number), aad(number == last), chunk).ok()?);
    }
    Some(plain)
}

fn aead(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes"))
}

fn nonce(number: usize) -> Nonce {
    let mut bytes = [0u8; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&(number as u64).to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Whether it is the last chunk: a shorter file cannot pass for a whole one.
fn aad(last: bool) -> Aad<[u8; 1]> {
    Aad::from([u8::from(last)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_and_nothing_else_does() {
        let key = [3; 32];
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let sealed = seal(&key, &plain);
            assert_eq!(sealed.len() as u64, sealed_length(length as u64));
            assert_eq!(open(&key, sealed.clone()), Some(plain));
            assert_eq!(open(&[4; 32], sealed.clone()), None, "another key");
            let mut flipped = sealed.clone();
            flipped[length / 2] ^= 1;
            assert_eq!(open(&key, flipped), None, "a flipped bit");
            assert_eq!(open(&key, sealed[..sealed.len() - 1].to_vec()), None, "a byte missing");
        }
        let two = seal(&key, &vec![1; 2 * CHUNK]);
        assert_eq!(open(&key, two[..CHUNK + TAG].to_vec()), None, "a whole chunk missing");
        let swapped = [&two[CHUNK + TAG..], &two[..CHUNK + TAG]].concat();
        assert_eq!(open(&key, swapped), None, "chunks out of order");
    }
}
