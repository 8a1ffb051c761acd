//! What a stored record keeps of sealed bytes: where they lie, how long they are, and the wrapped key that opens them.
//! Says nothing of what they are.

use std::fmt;
use std::str::FromStr;

use ring::aead::NONCE_LEN;
use serde::{Deserialize, Serialize};

use crate::store::keyring::WrappedKey;
use crate::store::segment::Place;
use crate::store::vault::VaultError;

/// Where sealed bytes lie and the wrapped key that opens them. Whoever forgets it has erased them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealedRef {
    pub(super) place: Where,
    /// Plain bytes.
    pub(super) length: u64,
    pub(super) key: WrappedKey,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Where {
    Segment(Place),
    File(String),
}

impl SealedRef {
    /// How many plain bytes it stands for.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl fmt::Display for SealedRef {
    /// One word, as stored records carry it: place, length, and the wrapped key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Where::Segment(place) => write!(f, "s:{:x}:{:x}", place.segment, place.offset)?,
            Where::File(name) => write!(f, "f:{name}:0")?,
        }
        write!(f, ":{:x}:{}:", self.length, self.key.master)?;
        self.key.nonce.iter().chain(&self.key.sealed).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for SealedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedRef(masked)")
    }
}

impl FromStr for SealedRef {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, VaultError> {
        read(text).ok_or(VaultError::Reference)
    }
}

impl TryFrom<String> for SealedRef {
    type Error = VaultError;

    fn try_from(text: String) -> Result<Self, VaultError> {
        text.parse()
    }
}

impl From<SealedRef> for String {
    fn from(sealed: SealedRef) -> Self {
        sealed.to_string()
    }
}

fn read(text: &str) -> Option<SealedRef> {
    let mut fields = text.split(':');
    let mut field = || fields.next();
    let (kind, first, second) = (field()?, field()?, field()?);
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let place = match kind {
        "s" => Where::Segment(Place { segment: number(first)?, offset: number(second)? }),
        // Digits only: a name can never lead out of the folder.
        "f" if !first.is_empty() && first.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Where::File(first.to_owned())
        }
        _ => return None,
    };
    let length = number(field()?)?;
    let master = field()?.to_owned();
    let digits = field()?;
    let byte = |n: usize| u8::from_str_radix(digits.get(2 * n..2 * n + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..digits.len().div_ceil(2)).map(byte).collect::<Option<_>>()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
    let key = WrappedKey { master, nonce: *nonce, sealed: sealed.to_vec() };
    field().is_none().then_some(SealedRef { place, length, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_one_word_and_reads_back() {
        let key = WrappedKey { master: "0a0b0c0d".to_owned(), nonce: [1; NONCE_LEN], sealed: vec![2; 48] };
        for place in [Where::Segment(Place { segment: 3, offset: 1 << 40 }), Where::File("ab12".to_owned())] {
            let sealed = SealedRef { place, length: 77, key: key.clone() };
            assert_eq!(sealed.to_string().parse::<SealedRef>().unwrap(), sealed);
            let json = serde_json::to_string(&sealed).unwrap();
            assert_eq!(serde_json::from_str::<SealedRef>(&json).unwrap(), sealed);
            assert_eq!(format!("{sealed:?}"), "SealedRef(masked)", "a wrapped key is not for logs");
        }
    }

    #[test]
    fn what_no_vault_made_is_refused() {
        let good = format!("s:0:0:1:0a0b0c0d:{}", "00".repeat(60));
        good.parse::<SealedRef>().unwrap();
        let outside = format!("f:../../etc/shadow:0:1:0a0b0c0d:{}", "00".repeat(60));
        for bad in ["", "s:0:0", "x:0:0:1:a:00", &outside, &format!("{good}0"), &format!("{good}:more")] {
            assert!(matches!(bad.parse::<SealedRef>(), Err(VaultError::Reference)), "{bad}");
        }
    }
}
