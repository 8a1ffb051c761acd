//! `throughcare extract`: a FHIR bundle becomes the message of an EHR extract and back, two are compared, one is checked;
//! all without daemon or settings.
//!
//! The result goes to standard output and the account to standard error, so that both can be kept. Nothing is sent.

mod compare;
mod flaws;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use uuid::Uuid;

use super::{Common, Exit};
use crate::extract::{
    self, Documents, Expected, Interaction, Parameters, ReadRefusal, Record, RecordLimits, Refusal,
};
use crate::model::{Asid, ConversationId, MessageId, NhsNumber, OdsCode, Timestamp, derived_uuid};
use crate::perform::look_at_documents;
use crate::records::{FolderLimits, RecordFolder, RecordRef};

/// What can be done with extracts.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the message of a bundle; the account of what became of each resource goes to standard error
    Build(Box<BuildArguments>),
    /// Make a FHIR Bundle of a received extract; the account of what became of each statement goes to standard error
    Read(ReadArguments),
    /// What one record says that another does not, by statement
    Diff(compare::DiffArguments),
    /// Whether a message has the structure of an EHR extract, as is checked before anything is signed
    Validate(flaws::Arguments),
}

/// Arguments of `extract read`.
#[derive(Debug, Args)]
#[command(
    after_help = "An extract without a valid NHS number gives a Patient without one, and is refused when\n\
    --nhs-number says whose it must be.\n\n\
    Exit code 1 when it is not that patient's, 4 when it is no extract.\n\n\
    Examples:\n  throughcare extract read extract.xml > record.json 2> account.json\n  \
    throughcare extract read extract.xml --json-out record.json \\\n    --nhs-number 9990000018"
)]
pub struct ReadArguments {
    /// The message: RCMR_IN030000UK06 or UK07
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where to write the Bundle, instead of standard output
    #[arg(long, value_name = "FILE")]
    json_out: Option<PathBuf>,
    /// Whose record it must be
    #[arg(long, value_name = "NUMBER")]
    nhs_number: Option<String>,
}

/// Arguments of `extract build`.
#[derive(Debug, Args)]
#[command(
    override_usage = "throughcare extract build --bundle FILE --nhs-number NUMBER \\\n    --request-id UUID --from-ods ODS --to-ods ODS --from-asid ASID \\\n    --to-asid ASID --conversation-id UUID --now MOMENT [--interaction UK06|UK07]",
    after_help = "Example:\n  throughcare extract build --bundle record.json --nhs-number 9990000018 \\\n    --request-id 4e0c4a52-8f41-4a3c-9a57-0d2f8a2f5b11 --from-ods X9001 \\\n    --to-ods B85002 --from-asid 200000000001 --to-asid 200000000002 \\\n    --conversation-id 7d2f0a3c-5b1e-4c2a-9e4b-0123456789ab \\\n    --now 2026-03-02T09:00:00Z > extract.xml 2> account.json"
)]
pub struct BuildArguments {
    /// The record: a GP Connect FHIR STU3 Bundle
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// Whose record it must be
    #[arg(long, value_name = "NUMBER")]
    nhs_number: String,
    /// The request that is answered
    #[arg(long, value_name = "UUID")]
    request_id: Uuid,
    /// ODS code of the sender
    #[arg(long, value_name = "ODS")]
    from_ods: OdsCode,
    /// ODS code of the receiver
    #[arg(long, value_name = "ODS")]
    to_ods: OdsCode,
    /// ASID of the sender
    #[arg(long, value_name = "ASID")]
    from_asid: Asid,
    /// ASID of the receiver
    #[arg(long, value_name = "ASID")]
    to_asid: Asid,
    /// The conversation it belongs to
    #[arg(long, value_name = "UUID")]
    conversation_id: ConversationId,
    /// When it is made
    #[arg(long, value_name = "MOMENT", value_parser = Timestamp::parse)]
    now: Timestamp,
    /// UK07 carries confidentiality labels, UK06 does not
    #[arg(long, value_enum, default_value_t = Form::Uk06)]
    interaction: Form,
}

/// Which message carries the extract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// RCMR_IN030000UK06.
    #[value(name = "UK06")]
    Uk06,
    /// RCMR_IN030000UK07.
    #[value(name = "UK07")]
    Uk07,
}

pub(super) fn run(command: &Command, common: &Common) -> anyhow::Result<Exit> {
    match command {
        Command::Build(arguments) => build(arguments),
        Command::Read(arguments) => read_extract(arguments),
        Command::Diff(arguments) => compare::diff(arguments, common),
        Command::Validate(arguments) => flaws::run(arguments, common),
    }
}

/// Whose record it must be. Parsed here and not by the command line, whose errors repeat the value.
fn whose(number: &str) -> Result<NhsNumber, Exit> {
    NhsNumber::parse(number).map_err(|e| {
        eprintln!("throughcare: --nhs-number: {e}");
        Exit::Usage
    })
}

fn read_extract(arguments: &ReadArguments) -> anyhow::Result<Exit> {
    let nhs_number = match arguments.nhs_number.as_deref().map(whose).transpose() {
        Ok(number) => number,
        Err(exit) => return Ok(exit),
    };
    let message = read(&arguments.file)?;
    let expected = Expected { nhs_number, ..Expected::default() };
    let reading = match extract::read(&message, &expected) {
        Ok(reading) => reading,
        Err(refusal) => {
            eprintln!("throughcare: reading the extract {}: {refusal}", arguments.file.display());
            return Ok(exit_of(&refusal));
        }
    };
    match &arguments.json_out {
        Some(file) => std::fs::write(file, &reading.json)
            .with_context(|| format!("writing the Bundle to {}", file.display()))?,
        None => {
            let mut out = std::io::stdout().lock();
            out.write_all(&reading.json)?;
            writeln!(out)?;
        }
    }
    eprintln!("{}", serde_json::to_string_pretty(&reading.account)?);
    Ok(Exit::Done)
}

fn build(arguments: &BuildArguments) -> anyhow::Result<Exit> {
    let nhs_number = match whose(&arguments.nhs_number) {
        Ok(number) => number,
        Err(exit) => return Ok(exit),
    };
    let bytes = read(&arguments.bundle)?;
    let doing = || format!("building the extract of {}", arguments.bundle.display());
    let record = Record::parse(&bytes, &RecordLimits::default()).with_context(doing)?;
    let documents = documents_beside(&arguments.bundle, &record);
    let extract = match extract::build(&record, &parameters(arguments, nhs_number), &documents) {
        Ok(extract) => extract,
        Err(refusal) => {
            eprintln!("throughcare: {}: {refusal}{}", doing(), advice(&refusal));
            return Ok(Exit::Negative);
        }
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&extract.xml)?;
    out.flush()?;
    eprintln!("{}", serde_json::to_string_pretty(&extract.account)?);
    Ok(Exit::Done)
}

/// A message that is no extract cannot be used; an extract of the wrong patient is refused.
fn exit_of(refusal: &ReadRefusal) -> Exit {
    match refusal {
        ReadRefusal::NotXml { .. }
        | ReadRefusal::Encoding { .. }
        | ReadRefusal::TooDeep
        | ReadRefusal::TooLarge
        | ReadRefusal::NoExtract => Exit::Failed,
        ReadRefusal::NoPatient | ReadRefusal::AnotherPatient | ReadRefusal::Unbalanced { .. } => {
            Exit::Negative
        }
    }
}

/// What the operator can do about it.
fn advice(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::LabelCannotTravel { .. } => "; build it with --interaction UK07",
        Refusal::AnotherPatient => "; is --nhs-number the right one?",
        Refusal::NoPatient | Refusal::NhsNumberMissing | Refusal::TwoPatients => {
            "; correct the record at its source"
        }
        Refusal::Unbalanced { .. } | Refusal::Invalid { .. } => {
            "; this is a defect of ours: please report it"
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let doing = || format!("reading {}", file.display());
    let most = u64::try_from(RecordLimits::default().bytes).unwrap_or(u64::MAX);
    let size = std::fs::metadata(file).with_context(doing)?.len();
    anyhow::ensure!(size <= most, "{} has {size} bytes; a record has at most {most}", file.display());
    let bytes = std::fs::read(file).with_context(doing)?;
    anyhow::ensure!(!bytes.trim_ascii().is_empty(), "{} is empty", file.display());
    Ok(bytes)
}

/// The documents of `record.json` are in the folder `record` beside it, as where the daemon takes them from. Those that
/// are not there get placeholders.
fn documents_beside(bundle: &Path, record: &Record) -> Documents {
    let folder = bundle.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = bundle.file_stem().and_then(|stem| RecordRef::parse(stem.to_str()?).ok());
    match (RecordFolder::open(folder, FolderLimits::default()), name) {
        (Ok(records), Some(name)) => look_at_documents(&records, &name, record),
        (Ok(_) | Err(_), _) => Documents::default(),
    }
}

fn parameters(arguments: &BuildArguments, nhs_number: NhsNumber) -> Parameters {
    let conversation = arguments.conversation_id;
    let request = arguments.request_id.hyphenated().to_string().to_ascii_uppercase();
    let extract_id = derived_uuid(&["ehr-extract", &conversation.to_string(), arguments.from_ods.as_str()]);
    Parameters {
        message_id: MessageId::derived(&["extract", &conversation.to_string(), &request]),
        request_id: Some(request),
        nhs_number,
        from_ods: arguments.from_ods.clone(),
        to_ods: arguments.to_ods.clone(),
        from_asid: arguments.from_asid.clone(),
        to_asid: arguments.to_asid.clone(),
        conversation,
        now: arguments.now,
        interaction: match arguments.interaction {
            Form::Uk06 => Interaction::Uk06,
            Form::Uk07 => Interaction::Uk07,
        },
        extract_id: extract_id.hyphenated().to_string().to_ascii_uppercase(),
    }
}
