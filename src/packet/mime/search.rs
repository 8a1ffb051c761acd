//! Finds a boundary in a message without looking at every octet (Horspool's search).
//!
//! Boundaries are at most 70 characters, so that even the worst input is read in time linear in its length.

/// A text to be found, prepared once.
pub(super) struct Needle {
    pattern: Vec<u8>,
    /// How far the window may move when its last octet is this one.
    shift: [u8; 256],
}

impl Needle {
    /// Prepares `pattern`: 1 to 255 octets.
    pub(super) fn new(pattern: Vec<u8>) -> Self {
        let length = u8::try_from(pattern.len()).expect("a boundary with its dashes is at most 73 octets");
        let mut shift = [length; 256];
        for (at, octet) in pattern.iter().enumerate().take(pattern.len().saturating_sub(1)) {
            shift[usize::from(*octet)] = length - 1 - at as u8;
        }
        Self { pattern, shift }
    }

    pub(super) fn pattern(&self) -> &[u8] {
        &self.pattern
    }

    /// Where it first occurs at or after `from`.
    pub(super) fn find(&self, haystack: &[u8], from: usize) -> Option<usize> {
        let length = self.pattern.len();
        let last = *self.pattern.last()?;
        let mut at = from;
        while let Some(end) = haystack.get(at + length - 1) {
            if *end == last && haystack[at..at + length] == self.pattern[..] {
                return Some(at);
            }
            at += usize::from(self.shift[usize::from(*end)]);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds() {
        let texts = ["\n--ab", "ab", "a", "\n--\n--\n--", "aab"];
        let haystacks =
            ["", "a", "\n--ab", "xx\n--a\n--ab--", "\n--\n--\n--\n--", "abaabaab", "----\n\n--ab"];
        for text in texts {
            let needle = Needle::new(text.as_bytes().to_vec());
            for haystack in haystacks {
                for from in 0..=haystack.len() {
                    let plain = haystack[from..].find(text).map(|at| at + from);
                    assert_eq!(
                        needle.find(haystack.as_bytes(), from),
                        plain,
                        "{text:?} in {haystack:?} from {from}"
                    );
                }
            }
        }
    }
}
