//! The NHS number, and the rule that it never prints.
//!
//! There is deliberately no `Display`: the digits leave only through [`NhsNumber::reveal`], which is called
//! where a message or a stored record needs them, and nowhere else (custody reference §9).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Ten digits whose last one is the Modulus 11 check digit of the first nine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NhsNumber([u8; 10]);

/// Why a text is not an NHS number. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNhsNumber {
    /// Not ten digits once blanks and hyphens are taken out.
    #[error("an NHS number has ten digits")]
    NotTenDigits,
    /// The check digit is wrong, or the first nine digits have none.
    #[error("the check digit of the NHS number is wrong")]
    CheckDigit,
    /// All ten digits are equal: passes Modulus 11, but was never issued (custody reference §4).
    #[error("an NHS number does not repeat one digit ten times")]
    Repeated,
}

impl NhsNumber {
    /// Reads ten digits, passing over blanks and hyphens.
    pub fn parse(text: &str) -> Result<Self, InvalidNhsNumber> {
        let mut digits = [0u8; 10];
        let mut count = 0;
        for byte in text.bytes().filter(|b| !matches!(b, b' ' | b'-')) {
            if !byte.is_ascii_digit() || count == 10 {
                return Err(InvalidNhsNumber::NotTenDigits);
            }
            digits[count] = byte - b'0';
            count += 1;
        }
        if count != 10 {
            return Err(InvalidNhsNumber::NotTenDigits);
        }
        if digits.iter().all(|d| *d == digits[0]) {
            return Err(InvalidNhsNumber::Repeated);
        }
        if check_digit(&digits[..9]) != Some(digits[9]) {
            return Err(InvalidNhsNumber::CheckDigit);
        }
        Ok(Self(digits))
    }

    /// The ten digits. For a message or a stored record only: never for a log, metric, error or file name.
    pub fn reveal(&self) -> String {
        self.0.iter().map(|d| char::from(b'0' + d)).collect()
    }

    /// Whether the number is in the range kept for tests, 999 000 0000 to 999 999 9999.
    pub fn is_test(&self) -> bool {
        self.0.starts_with(&[9, 9, 9])
    }
}

/// Weights 10 to 2, eleven less the remainder; eleven becomes nought and ten means there is no such number.
fn check_digit(nine: &[u8]) -> Option<u8> {
    let sum: u32 = nine.iter().zip((2..=10).rev()).map(|(d, weight)| u32::from(*d) * weight).sum();
    match 11 - sum % 11 {
        11 => Some(0),
        10 => None,
        digit => u8::try_from(digit).ok(),
    }
}

impl fmt::Debug for NhsNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NhsNumber(masked)")
    }
}

impl TryFrom<String> for NhsNumber {
    type Error = InvalidNhsNumber;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<NhsNumber> for String {
    fn from(number: NhsNumber) -> Self {
        number.reveal()
    }
}

/// The type cannot be printed by mistake: this does not compile.
///
/// ```compile_fail
/// let number = throughcare::model::NhsNumber::parse("9990000018").unwrap();
/// println!("{number}");
/// ```
#[cfg(doctest)]
struct CannotPrint;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_reference_are_told_apart() {
        for valid in ["9990000018", "9990000026", "9990000034", "9990000050", "999 000-0018"] {
            assert!(NhsNumber::parse(valid).is_ok_and(|n| n.is_test()), "{valid} is a valid test number");
        }
        assert_eq!(NhsNumber::parse("9990000019"), Err(InvalidNhsNumber::CheckDigit));
        for last in 0..10 {
            let text = format!("999000000{last}");
            assert_eq!(
                NhsNumber::parse(&text),
                Err(InvalidNhsNumber::CheckDigit),
                "that prefix has no number"
            );
        }
        for digit in 0..10 {
            let text = digit.to_string().repeat(10);
            assert_eq!(NhsNumber::parse(&text), Err(InvalidNhsNumber::Repeated));
        }
        assert_eq!(NhsNumber::parse("99900000180"), Err(InvalidNhsNumber::NotTenDigits));
        assert_eq!(NhsNumber::parse("９990000018"), Err(InvalidNhsNumber::NotTenDigits));
    }

    #[test]
    fn debug_output_hides_the_digits() {
        let number = NhsNumber::parse("9990000018").unwrap();
        assert!(!format!("{number:?}").contains("9990000018"));
    }
}
