//! Plain text for eighty columns: headings, tables, wrapped sentences, ages.
//!
//! Knows nothing of transfers. Colour is asked for by the alternate form (`{:#}`), so that what prints a report
//! decides once.

use std::fmt;
use std::time::Duration;

use crate::model::Timestamp;

/// The width every report keeps.
pub const WIDTH: usize = 80;

/// A line that begins a block: bold where colour is wanted.
pub fn heading(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if f.alternate() { writeln!(f, "\x1b[1m{text}\x1b[0m") } else { writeln!(f, "{text}") }
}

/// A line that wants a person: yellow where colour is wanted.
pub fn alarm(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if f.alternate() { writeln!(f, "\x1b[33m{text}\x1b[0m") } else { writeln!(f, "{text}") }
}

/// Words, wrapped, each line after `indent` blanks.
pub fn paragraph(f: &mut fmt::Formatter<'_>, indent: usize, text: &str) -> fmt::Result {
    for line in wrapped(text, WIDTH.saturating_sub(indent)) {
        writeln!(f, "{:indent$}{line}", "")?;
    }
    Ok(())
}

/// `label` in a column of its own, and the words beside it, wrapped.
pub fn labelled(f: &mut fmt::Formatter<'_>, label: &str, column: usize, text: &str) -> fmt::Result {
    let mut label = label;
    for line in wrapped(text, WIDTH.saturating_sub(column)) {
        writeln!(f, "{label:column$}{line}")?;
        label = "";
    }
    Ok(())
}

/// Rows in columns that are as wide as they need to be; the last one wraps within what is left of the width.
pub fn table(f: &mut fmt::Formatter<'_>, titles: &[&str], rows: &[Vec<String>]) -> fmt::Result {
    let Some(last) = titles.len().checked_sub(1) else { return Ok(()) };
    let widths: Vec<usize> = titles
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([title.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let start: usize = widths[..last].iter().map(|w| w + 2).sum();
    let titles: Vec<String> = titles.iter().map(|t| (*t).to_owned()).collect();
    heading(f, row_text(&titles, &widths, start).join("\n").as_str())?;
    for row in rows {
        for line in row_text(row, &widths, start) {
            writeln!(f, "{line}")?;
        }
    }
    Ok(())
}

fn row_text(row: &[String], widths: &[usize], start: usize) -> Vec<String> {
    let Some((tail, front)) = row.split_last() else { return Vec::new() };
    let mut head = String::new();
    for (cell, width) in front.iter().zip(widths) {
        let padding = width + 2 - cell.chars().count().min(width + 2);
        head.push_str(cell);
        head.extend(std::iter::repeat_n(' ', padding));
    }
    // A column of words needs room to be read, even when the others leave none.
    let room = WIDTH.saturating_sub(start).max(16);
    let mut lines = Vec::new();
    for line in wrapped(tail, room) {
        lines.push(format!("{head:start$}{line}").trim_end().to_owned());
        head.clear();
    }
    lines
}

/// The text in lines of at most `width` characters, broken at blanks where there are any.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is always a last line");
            let used = line.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + word.len() <= width {
                if gap == 1 {
                    line.push(' ');
                }
                line.extend(word);
                break;
            }
            if used > 0 {
                lines.push(String::new());
            } else {
                let rest = word.split_off(width);
                line.extend(word);
                word = rest;
                lines.push(String::new());
            }
        }
    }
    lines
}

/// A length of time in its two largest units: `45s`, `12m`, `3h 20m`, `5d 2h`.
pub fn age(length: Duration) -> String {
    let seconds = length.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let two = |large: u64, unit: &str, small: u64, smaller: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit} {small}{smaller}") }
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) => two(hours, "h", minutes, "m"),
        (days, hours, _) => two(days, "d", hours, "h"),
    }
}

/// A moment and its distance from `now`: `2026-03-02T09:00:00Z (in 3h 20m)`.
pub fn moment(at: Timestamp, now: Timestamp) -> String {
    let distance =
        if at > now { format!("in {}", age(at.since(now))) } else { format!("{} ago", age(now.since(at))) };
    format!("{} ({distance})", at.to_ebxml())
}

/// A number of bytes for a person: `812 B`, `20.5 kB`, `4.9 MB`.
pub fn bytes(count: u64) -> String {
    let (factor, unit) = match count {
        0..1000 => return format!("{count} B"),
        1000..1_000_000 => (100, "kB"),
        1_000_000..1_000_000_000 => (100_000, "MB"),
        _ => (100_000_000, "GB"),
    };
    let tenths = count / factor;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sample;

    impl fmt::Display for Sample {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let long = "words ".repeat(30);
            table(f, &["ID", "STATE", "WHY"], &[vec!["7D2F0A3C".into(), "held".into(), long.clone()]])?;
            labelled(f, "next", 12, &long)?;
            paragraph(f, 4, &"z".repeat(200))
        }
    }

    #[test]
    fn no_line_is_wider_than_eighty_columns() {
        let text = Sample.to_string();
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("7D2F0A3C  held   words words"), "{text}");
        assert_eq!(text.matches('z').count(), 200, "nothing is cut off");
        assert!(format!("{Sample:#}").contains("\x1b[1m"), "the alternate form has colour");
        assert!(!text.contains('\x1b'), "the plain form has none");
    }

    #[test]
    fn ages_and_sizes_are_short() {
        let table = [
            (5, "5s"),
            (720, "12m"),
            (12_000, "3h 20m"),
            (7200, "2h"),
            (180_000, "2d 2h"),
            (7_257_600, "84d"),
        ];
        for (seconds, text) in table {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
        assert_eq!(
            [bytes(812), bytes(20_540), bytes(4_999_600), bytes(2_000_000_000)],
            ["812 B", "20.5 kB", "4.9 MB", "2.0 GB"]
        );
    }
}
