//! `throughcare extract diff`: what one record says that another does not.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::{documents_beside, read};
use crate::cli::{Common, Exit};
use crate::control::layout::{alarm, heading, paragraph};
use crate::extract::{self, Difference, Interaction, Parameters, Record, RecordLimits, Said, Told};
use crate::model::{Asid, ConversationId, MessageId, OdsCode, Timestamp, derived_uuid};

/// Arguments of `extract diff`.
#[derive(Debug, Args)]
#[command(after_help = "Compared are the patient and, of each statement, its time, kind, words, codes,\n\
    number and text. Ids, authors, headings and the files beside the message are not.\n\n\
    Exit code 0 when both say the same, 1 when not, 4 when one cannot be compared.\n\n\
    Example:\n  throughcare extract diff sent.xml received.xml")]
pub struct DiffArguments {
    /// A message (XML) or a record (a FHIR Bundle, of which the message is made first)
    #[arg(value_name = "A")]
    first: PathBuf,
    /// What to compare it with
    #[arg(value_name = "B")]
    second: PathBuf,
}

/// What two records say.
#[derive(Debug, Serialize)]
struct Compared {
    /// Whether they are of one patient, as far as both say.
    same_patient: bool,
    /// Statements that both have.
    both: usize,
    /// Statements that the two have in different words: of one kind, name and time.
    changed: Vec<Changed>,
    /// Statements that only the first has, in order of date.
    only_first: Vec<Said>,
    /// Statements that only the second has.
    only_second: Vec<Said>,
}

#[derive(Debug, Serialize)]
struct Changed {
    first: Said,
    second: Said,
}

impl Compared {
    /// Puts together what is one statement in two wordings.
    fn of(difference: Difference) -> Self {
        let Difference { same_patient, both, only_first, only_second } = difference;
        let key = |said: &Said| (said.date.clone(), said.kind, said.words.clone());
        let mut left: BTreeMap<_, VecDeque<Said>> = BTreeMap::new();
        for said in only_second {
            left.entry(key(&said)).or_default().push_back(said);
        }
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        for first in only_first {
            match left.get_mut(&key(&first)).and_then(VecDeque::pop_front) {
                Some(second) => changed.push(Changed { first, second }),
                None => gone.push(first),
            }
        }
        let only_second = left.into_values().flatten().collect();
        Self { same_patient, both, changed, only_first: gone, only_second }
    }

    fn is_same(&self) -> bool {
        self.same_patient
            && self.changed.is_empty()
            && self.only_first.is_empty()
            && self.only_second.is_empty()
    }
}

pub(super) fn diff(arguments: &DiffArguments, common: &Common) -> anyhow::Result<Exit> {
    let compared = Compared::of(extract::compare(&told(&arguments.first)?, &told(&arguments.second)?));
    common.output().print(&compared)?;
    Ok(if compared.is_same() { Exit::Done } else { Exit::Negative })
}

fn told(file: &Path) -> anyhow::Result<Told> {
    extract::tell(&message(file)?).with_context(|| format!("comparing {}", file.display()))
}

/// The message in a file; a Bundle is built first.
fn message(file: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = read(file)?;
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii_start();
    if !start.starts_with(b"{") {
        return Ok(bytes);
    }
    let doing = || format!("building the extract of {}", file.display());
    let record = Record::parse(&bytes, &RecordLimits::default()).with_context(doing)?;
    let parameters = parameters(&record).with_context(doing)?;
    let documents = documents_beside(file, &record);
    Ok(extract::build(&record, &parameters, &documents).with_context(doing)?.xml)
}

/// Of the parameters only the statements' order of ids depends: none of them is compared.
fn parameters(record: &Record<'_>) -> anyhow::Result<Parameters> {
    Ok(Parameters {
        message_id: MessageId::derived(&["diff"]),
        request_id: None,
        nhs_number: extract::whose(record)?,
        from_ods: OdsCode::parse("X9001")?,
        to_ods: OdsCode::parse("X9002")?,
        from_asid: Asid::parse("200000000001")?,
        to_asid: Asid::parse("200000000002")?,
        conversation: ConversationId::derived(&["diff"]),
        now: Timestamp::parse("2026-01-01T00:00:00Z")?,
        interaction: Interaction::Uk07,
        extract_id: derived_uuid(&["diff", "extract"]).hyphenated().to_string().to_ascii_uppercase(),
    })
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.same_patient {
            alarm(f, "The two are records of different patients.")?;
        }
        writeln!(f, "{} in both.", count(self.both))?;
        if !self.changed.is_empty() {
            heading(f, &format!("In other words (- first, + second): {}", self.changed.len()))?;
        }
        for Changed { first, second } in &self.changed {
            paragraph(f, 0, &parts([&first.date, first.kind, &first.words]))?;
            for (sign, said) in [("-", first), ("+", second)] {
                paragraph(f, 2, &parts([sign, &said.value, &said.text, &other_codes(first, second, said)]))?;
            }
        }
        for (sign, title, only) in
            [("-", "Only in the first", &self.only_first), ("+", "Only in the second", &self.only_second)]
        {
            if !only.is_empty() {
                heading(f, &format!("{title}: {}", only.len()))?;
            }
            for said in only {
                paragraph(f, 0, &parts([sign, &said.date, said.kind, &said.words, &said.value, &said.text]))?;
            }
        }
        Ok(())
    }
}

fn count(statements: usize) -> String {
    if statements == 1 { "1 statement is".to_owned() } else { format!("{statements} statements are") }
}

/// The codes of a statement, when they are what differs.
fn other_codes(first: &Said, second: &Said, of: &Said) -> String {
    if first.codes == second.codes { String::new() } else { format!("[codes: {}]", of.codes.join(", ")) }
}

fn parts<const N: usize>(parts: [&str; N]) -> String {
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("  ")
}
