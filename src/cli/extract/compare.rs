//! `throughcare extract diff`: what one record says that another does not.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::{documents_beside, read};
use crate::cli::{Common, Exit};
use crate::control::layout::{heading, paragraph};
use crate::extract::{self, Difference, Interaction, Parameters, Record, RecordLimits, Said};
use crate::model::{Asid, ConversationId, MessageId, OdsCode, Timestamp, derived_uuid};

/// Arguments of `extract diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 0 when both say the same, 1 when not.\n\nExample:\n  throughcare extract diff sent.xml received.xml"
)]
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
#[serde(transparent)]
struct Compared(Difference);

pub(super) fn diff(arguments: &DiffArguments, common: &Common) -> anyhow::Result<Exit> {
    let (first, second) = (message(&arguments.first)?, message(&arguments.second)?);
    let doing = || format!("comparing {} with {}", arguments.first.display(), arguments.second.display());
    let difference = extract::diff(&first, &second).with_context(doing)?;
    let same = difference.only_first.is_empty() && difference.only_second.is_empty();
    common.output().print(&Compared(difference))?;
    Ok(if same { Exit::Done } else { Exit::Negative })
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
        let Difference { both, only_first, only_second } = &self.0;
        writeln!(f, "{both} statements are in both.")?;
        for (sign, title, only) in
            [("-", "Only in the first", only_first), ("+", "Only in the second", only_second)]
        {
            if !only.is_empty() {
                heading(f, &format!("{title}: {}", only.len()))?;
            }
            for said in only {
                paragraph(f, 0, &line(sign, said))?;
            }
        }
        Ok(())
    }
}

fn line(sign: &str, said: &Said) -> String {
    let parts = [sign, &said.date, said.kind, &said.words, &said.value, &said.text];
    parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("  ")
}
