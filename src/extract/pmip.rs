//! Comments of laboratory reports, in the form agreed for them (NPFIT-PC-BLD-0134): two header lines for machines, an
//! empty line, the words. The header is never shown to a person.

use super::dates;
use super::work::{COMPONENT, OBSERVATION, complete, id, label};
use super::xml::Xml;

/// Whose words a comment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comment {
    /// What the laboratory says of the results.
    Result,
    /// What it says of the specimen.
    Specimen,
    /// What has no element of its own.
    Aggregate,
    /// What the practice said when it filed the report.
    User,
}

impl Comment {
    fn header(self) -> &'static str {
        match self {
            Self::Result => "LABORATORY RESULT COMMENT(E141)",
            Self::Specimen => "LAB SPECIMEN COMMENT(E271)",
            Self::Aggregate => "AGGREGATE COMMENT SET",
            Self::User => "USER COMMENT",
        }
    }
}

/// Writes a comment as a component of its level.
pub(super) fn write(x: &mut Xml, own: &str, kind: Comment, words: &str, time: Option<&str>, labelled: bool) {
    let text = format!("CommentType:{}\nCommentDate:{}\n\n{words}", kind.header(), time.unwrap_or("UNK"));
    x.with("component", &COMPONENT, |x| {
        x.with("NarrativeStatement", &OBSERVATION, |x| {
            id(x, own);
            x.leaf("text", &[("mediaType", "text/x-h7uk-pmip")], &text);
            complete(x);
            dates::write(x, "availabilityTime", time);
            label(x, labelled);
        });
    });
}

/// Whose comment a text is, when it says so, and its words without the header. Headers may be wrapped, and a set may be
/// spelled so (extract §13.3).
pub(super) fn read(text: &str) -> (Option<Comment>, &str) {
    let Some(stated) = text.trim_start().strip_prefix("CommentType:") else { return (None, text.trim()) };
    let Some((kind, rest)) = stated.split_once("CommentDate:") else {
        let (kind, words) = stated.split_once('\n').unwrap_or((stated, ""));
        return (kind_of(kind), words.trim());
    };
    let words = rest.trim_start_matches(' ');
    let words = words.split_once('\n').map_or("", |(_, words)| words);
    (kind_of(kind), words.trim())
}

fn kind_of(header: &str) -> Option<Comment> {
    let header = header.split_whitespace().collect::<Vec<_>>().join(" ");
    let kinds = [Comment::Result, Comment::Specimen, Comment::Aggregate, Comment::User];
    let stem =
        |kind: Comment| kind.header().split(['(', '\n']).next().unwrap_or_default().trim_end_matches(" SET");
    kinds.into_iter().find(|kind| header.starts_with(stem(*kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_for_machines_and_the_words_for_people() {
        for (text, kind, words) in [
            ("CommentType:USER COMMENT\nCommentDate:20101\n\nfile it", Some(Comment::User), "file it"),
            ("CommentType:AGGREGATE COMMENT SET\nCommentDate:UNK\n\na\nb", Some(Comment::Aggregate), "a\nb"),
            ("CommentType:AGGREGATE\nCOMMENT SET\nCommentDate:1\n\na", Some(Comment::Aggregate), "a"),
            ("CommentType:LABORATORY RESULT COMMENT(E141)\nno date", Some(Comment::Result), "no date"),
            ("CommentType:SOMETHING\nCommentDate:1\n\nx", None, "x"),
            ("just words", None, "just words"),
            ("CommentType:", None, ""),
        ] {
            assert_eq!(read(text), (kind, words), "{text}: extract §13.3");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut x = Xml::new();
        write(&mut x, "A", Comment::Specimen, "Received: today", Some("2010"), false);
        let xml = x.into_text();
        let text = &xml[xml.find("CommentType").unwrap()..xml.find("</text>").unwrap()];
        assert_eq!(text, "CommentType:LAB SPECIMEN COMMENT(E271)\nCommentDate:2010\n\nReceived: today");
        assert_eq!(read(text), (Some(Comment::Specimen), "Received: today"));
    }
}
