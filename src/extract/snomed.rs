//! SNOMED CT identifiers: what they identify, and whether they are whole (extract §3).

/// What a SNOMED identifier identifies: digits two and three from the right say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Partition {
    /// A meaning.
    Concept,
    /// One of the terms of a meaning.
    Description,
}

/// What an identifier identifies; nothing when it is no SNOMED identifier (6 to 18 digits).
pub(super) fn partition(code: &str) -> Option<Partition> {
    let digits = (6..=18).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_digit());
    match digits.then(|| &code[code.len() - 3..code.len() - 1])? {
        "00" | "10" => Some(Partition::Concept),
        "01" | "11" => Some(Partition::Description),
        _ => None,
    }
}

/// Whether an identifier is one, its check digit included: a digit mistyped or two exchanged is another meaning, or none.
pub(super) fn is_sound(code: &str) -> bool {
    partition(code).is_some() && code.bytes().rev().enumerate().fold(0, check) == 0
}

/// One step of Verhoeff's check, from the right: zero at the end says that all digits agree.
fn check(so_far: u8, (place, digit): (usize, u8)) -> u8 {
    let mut digit = digit - b'0';
    for _ in 0..place % 8 {
        digit = SHUFFLED[usize::from(digit)];
    }
    turn(so_far, digit)
}

/// Verhoeff's permutation.
const SHUFFLED: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];

/// The product of two symmetries of the pentagon: 0 to 4 turn it, 5 to 9 turn it over as well.
fn turn(a: u8, b: u8) -> u8 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b) % 5 + 5,
        (false, true) => (a + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_identifiers_are_sound_and_their_misprints_are_not() {
        let real =
            ["22298006", "37443015", "163020007", "1091811000000102", "2734671000000117", "196411000000103"];
        for code in real {
            assert!(is_sound(code), "{code}");
            for at in 0..code.len() {
                let mut wrong = code.to_owned().into_bytes();
                wrong[at] = b'0' + (wrong[at] - b'0' + 3) % 10;
                let wrong = String::from_utf8(wrong).unwrap();
                assert!(!is_sound(&wrong), "{wrong} for {code}");
            }
        }
        assert!(!is_sound("22298060"), "two digits exchanged");
        assert!(!is_sound("none") && !is_sound(""));
    }
}
