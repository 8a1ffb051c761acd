//! The table of gp2gp reference §5, row by row, and what each code does to either role.

use super::*;

#[test]
fn codes_compare_as_numbers_and_unknown_ones_are_kept() {
    assert_eq!(ResponseCode::parse("6"), ResponseCode::parse("06"), "F16");
    assert_eq!(ResponseCode::parse("12"), DUPLICATE);
    assert!(ResponseCode::parse("205").meaning().is_none());
    assert_eq!(ResponseCode::parse("SEF001").as_str(), "SEF001");
    assert!(ResponseCode::parse("SEF001").words().contains("safety rule"));
}

/// The columns "who, on what", "closes?" and "re-send?" as the reference has them.
const ROWS: &str = "
06 req      yes    new
07 any      yes    cause
09 extr     yes    never
10 req      yes    new
11 extr     softly yes
12 extr     no     never
13 req      yes    never
14 req      yes    new
15 extr     filed  never
17 extr     yes    never
18 req      yes    new
19 req      yes    new
20 req+extr softly yes
21 extr     yes    cause
23 req      yes    never
24 req      yes    new
25 part+extr yes   yes
26 extr     yes    never
28 extr     yes    never
29 part     no     yes
30 any      yes    cause
31 extr     yes    yes
99 any      yes    once
";

fn columns(meaning: &Meaning) -> (&'static str, &'static str, &'static str) {
    use Answers::{Extract, Part, Request};
    let on = match meaning.answers {
        [Request] => "req",
        [Part] => "part",
        [Extract] => "extr",
        [Request, Extract] => "req+extr",
        [Part, Extract] => "part+extr",
        [Request, Part, Extract] => "any",
        other => panic!("{other:?} is no column"),
    };
    let closes = match meaning.closes {
        Closes::No => "no",
        Closes::Softly => "softly",
        Closes::Yes => "yes",
        Closes::AsFiled => "filed",
    };
    let resend = match meaning.resend {
        Resend::Allowed => "yes",
        Resend::AfterCause => "cause",
        Resend::Once => "once",
        Resend::NewRequest => "new",
        Resend::Never => "never",
    };
    (on, closes, resend)
}

#[test]
fn every_row_of_the_table_is_as_the_reference_has_it() {
    let rows: Vec<Vec<&str>> =
        ROWS.lines().filter(|l| !l.is_empty()).map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), TABLE.len(), "no row is missing and none too many");
    for (row, meaning) in rows.iter().zip(TABLE) {
        let [code, on, closes, resend] = row[..] else { panic!("four columns: {row:?}") };
        assert_eq!(ResponseCode::parse(code), meaning.code);
        assert_eq!(columns(meaning), (on, closes, resend), "{code}");
        let words = ResponseCode::parse(code).words();
        assert!(words.contains(meaning.words) && words.contains(meaning.next), "UX01, S284: {words}");
    }
}

#[test]
fn what_the_specification_does_not_know_is_shown_as_sent_and_never_sent_again() {
    for code in ["01", "2", "03", "04", "05", "08", "16", "27", "22", "205", "SEF001", "SEF002", "X", ""] {
        let read = ResponseCode::parse(code);
        assert!(read.meaning().is_none(), "{code}");
        assert!(read.words().contains(&format!("code {code}:")), "kept as it came: {}", read.words());
        assert_eq!(read.resend(), Resend::Never, "{code}: a person decides");
    }
    assert!(ResponseCode::parse("27").words().contains("older version"), "S266");
}
