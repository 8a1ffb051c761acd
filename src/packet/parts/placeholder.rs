//! The text file that stands for a document which could not be included: written as NPFIT-PC-BLD-0099 says, read as it is
//! met (C22).
//!
//! Which documents are replaced is said elsewhere: by the source when they are missing, by `withhold` when they are too
//! large. An inherited placeholder passes unchanged (S53).

use crate::extract::{self, AbsentReason};
use crate::model::{ConversationId, OdsCode};

pub use crate::extract::placeholder_name as file_name;

/// Octets of a file that are looked at: four lines take far less.
const LOOKS_AT: usize = 8 << 10;

/// What a placeholder says.
#[derive(Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The name of the file it stands for, without the `_` that some write before it.
    pub original: String,
    /// Who left the file out, and in which conversation, where it says so.
    pub by: Option<(OdsCode, ConversationId)>,
    /// Why; none for a code we do not know.
    pub reason: Option<AbsentReason>,
}

impl std::fmt::Debug for Placeholder {
    /// Without the name: it may name the patient.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Placeholder")
            .field("by", &self.by)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// The octets of a placeholder: four lines, text/plain (S51, S52). Of `original`, what would begin another line is left out.
pub fn write(
    original: &str,
    sender: &OdsCode,
    conversation: ConversationId,
    reason: AbsentReason,
) -> Vec<u8> {
    let one_line: String = original.chars().filter(|c| !c.is_control()).collect();
    extract::placeholder_text(&one_line, sender, conversation, reason).into_bytes()
}

/// Whether a file's name says that it is a placeholder, with or without the id before it.
pub fn is_named(name: &str) -> bool {
    let bare = name.strip_prefix('_').unwrap_or(name);
    let after_id = bare.get(36..).and_then(|rest| rest.strip_prefix('_'));
    [Some(bare), after_id].into_iter().flatten().any(|name| name.starts_with("AbsentAttachment"))
}

/// Reads a placeholder, the first octets of it being enough; `None` when it is another file.
///
/// The third line may be blank, lines may end with CR, and a `_` may stand before the name (C22).
pub fn read(octets: &[u8]) -> Option<Placeholder> {
    let text = String::from_utf8_lossy(&octets[..octets.len().min(LOOKS_AT)]);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = text.trim_start_matches('\u{feff}').split('\n').map(str::trim);
    let first = lines.find(|line| !line.is_empty())?;
    let constant = extract::PLACEHOLDER.trim_end_matches(':');
    if !first.trim_end_matches(':').trim_end().eq_ignore_ascii_case(constant) {
        return None;
    }
    let name = lines.next()?;
    let original = name.strip_prefix('_').unwrap_or(name).to_owned();
    let rest: Vec<&str> = lines.filter(|line| !line.is_empty()).take(4).collect();
    let by = rest.iter().find_map(|line| {
        let (ods, conversation) = line.split_once(':')?;
        Some((OdsCode::parse(ods.trim()).ok()?, ConversationId::parse(conversation).ok()?))
    });
    let reason = rest.iter().find_map(|line| reason(line.strip_prefix("Reason:")?));
    Some(Placeholder { original, by, reason })
}

/// `06:Unable to determine problem`; a code is compared as a number.
fn reason(text: &str) -> Option<AbsentReason> {
    use AbsentReason::{Deleted, Locked, NotFound, Unknown, Unsupported};
    let number = |code: &str| code.trim().parse::<u8>().ok();
    let code = number(text.split(':').next()?)?;
    [Unsupported, Deleted, NotFound, Locked, Unknown].into_iter().find(|it| number(it.code()) == Some(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> (OdsCode, ConversationId) {
        (OdsCode::parse("HMP01").unwrap(), ConversationId::derived(&["c"]))
    }

    #[test]
    fn four_lines_are_written_and_read_back_for_every_reason() {
        // S51, S52, MA.
        let (ods, conversation) = sender();
        for (reason, line) in [
            (AbsentReason::Unsupported, "Reason:01:File type unsupported"),
            (AbsentReason::Deleted, "Reason:02:File deleted"),
            (AbsentReason::NotFound, "Reason:03:File not found"),
            (AbsentReason::Locked, "Reason:04:File locked"),
            (AbsentReason::Unknown, "Reason:06:Unable to determine problem"),
        ] {
            let octets = write("scan 1.tif", &ods, conversation, reason);
            let text = String::from_utf8(octets.clone()).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines[0], "The following file could not be included with the Electronic Record:");
            assert_eq!(lines[1..], ["scan 1.tif", &format!("HMP01:{conversation}"), line]);
            let read = read(&octets).unwrap();
            assert_eq!((read.original.as_str(), read.reason), ("scan 1.tif", Some(reason)));
            assert_eq!(read.by, Some((ods.clone(), conversation)));
        }
        assert_eq!(file_name("D1"), "AbsentAttachmentD1.txt");
        let two_lines = String::from_utf8(write("a\r\nb", &ods, conversation, AbsentReason::Locked)).unwrap();
        assert_eq!(two_lines.lines().count(), 4, "a name makes no line");
    }

    #[test]
    fn the_form_of_the_older_example_is_read_too() {
        // C22: a blank third line, CR ends, `_` before the name.
        let old = b"The following file could not be included with the Electronic Record:\r_letter.doc\r\rReason:3:File not found\r";
        let read = read(old).unwrap();
        assert_eq!((read.original.as_str(), read.by.as_ref()), ("letter.doc", None));
        assert_eq!(read.reason, Some(AbsentReason::NotFound), "compared as a number");
        assert!(!format!("{read:?}").contains("letter"), "names are private");
    }

    #[test]
    fn other_files_and_other_codes_are_not_mistaken() {
        for other in [&b""[..], b"Dear colleague", b"\xff\xfe\0\0", extract::PLACEHOLDER.as_bytes()] {
            assert_eq!(read(other), None);
        }
        let odd = format!("{}\nname\nReason:05:odd\n", extract::PLACEHOLDER);
        assert_eq!(read(odd.as_bytes()).unwrap().reason, None);
        assert!(is_named("AbsentAttachmentX.txt") && is_named("_AbsentAttachmentX.txt"));
        assert!(is_named("8747DFC5-11B7-4A77-B2F3-7720CC58C2FC_AbsentAttachmentX.txt"));
        assert!(!is_named("letter about AbsentAttachment.txt") && !is_named("é"));
    }
}
