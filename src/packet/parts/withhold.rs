//! Which documents a receiver could not take, and which are therefore replaced by placeholders before the extract is
//! built (gp2gp reference §4.1(3), §4.5).
//!
//! It is asked first: a placeholder has another name and type, and the extract must say so.

/// What a receiver is known to take. Octets of the files themselves; none where no limit is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiverLimits {
    /// Of one file. TPP: 100,000,000.
    pub file_bytes: Option<u64>,
    /// Of the whole record. 375,000,000 where it is known.
    pub total_bytes: Option<u64>,
}

/// Octets that are reckoned for a placeholder: four lines, with the longest name we let stand.
pub const PLACEHOLDER_BYTES: u64 = 512;

/// The places, ascending, of the documents that become placeholders with reason 06: each that is too large by itself, then
/// the largest until the total fits; of two alike the later. `hl7` are the octets of the extract, `documents` those of
/// each document in their order. A warning before sending is due when there is any.
pub fn withhold(hl7: u64, documents: &[u64], limits: &ReceiverLimits) -> Vec<usize> {
    let too_large = |bytes: u64| limits.file_bytes.is_some_and(|most| bytes > most);
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse((documents[*at], *at)));
    let mut total = documents.iter().fold(u128::from(hl7), |sum, bytes| sum + u128::from(*bytes));
    let mut withheld = Vec::new();
    for at in order {
        let bytes = documents[at];
        let over = limits.total_bytes.is_some_and(|most| total > u128::from(most));
        // What is no larger than its placeholder gains nothing.
        if !(too_large(bytes) || over && bytes > PLACEHOLDER_BYTES) {
            break;
        }
        total = total + u128::from(PLACEHOLDER_BYTES) - u128::from(bytes).min(total);
        withheld.push(at);
    }
    withheld.sort_unstable();
    withheld
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_too_large_and_then_the_largest_until_the_total_fits() {
        // §4.1(3), §4.5.
        let limits = ReceiverLimits { file_bytes: Some(100_000), total_bytes: Some(200_000) };
        let documents = [90_000, 150_000, 30_000, 90_000, 20_000];
        assert_eq!(withhold(10_000, &documents, &limits), [1, 3], "of two alike the later");
        let whole = ReceiverLimits { total_bytes: None, ..limits };
        assert_eq!(withhold(10_000, &documents, &whole), [1]);
        assert_eq!(withhold(u64::MAX, &documents, &ReceiverLimits::default()), [0usize; 0]);
        assert_eq!(withhold(0, &[100_000, 100_000], &limits), [0usize; 0], "limits are reached, not passed");
        let nothing = ReceiverLimits { file_bytes: None, total_bytes: Some(0) };
        assert_eq!(
            withhold(1, &[400, 600], &nothing),
            [1],
            "a placeholder is no larger than what it stands for"
        );
    }
}
