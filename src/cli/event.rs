//! `throughcare event send`: a custody event from a file, as if it had come by the queue.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};

use super::{Common, Exit, unexpected};
use crate::control::protocol::{Reply, Request};

/// The largest event (custody reference §3.2).
const MAX_EVENT: u64 = 64 * 1024;

/// What can be done with events.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send one from a file; returns when it is durable
    Send(SendArguments),
}

/// Arguments of `event send`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  throughcare event send release.json\n  generate-event | throughcare event send - --form json"
)]
pub struct SendArguments {
    /// The event; - reads it from standard input
    file: PathBuf,
    /// How it is written; when not given, .json files are JSON and others protobuf
    #[arg(long, value_enum)]
    form: Option<Form>,
}

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// JSON with the names of the protobuf fields.
    Json,
    /// Protobuf: throughcare.custody.v1.CustodyEvent.
    Protobuf,
}

pub(super) fn run(command: &Command, common: &Common) -> anyhow::Result<Exit> {
    let Command::Send(arguments) = command;
    let bytes = read(&arguments.file)?;
    let json = arguments.file.extension().is_some_and(|e| e == "json");
    let content_type = match arguments.form {
        Some(Form::Json) => "application/json",
        Some(Form::Protobuf) => "application/protobuf",
        None if json => "application/json",
        None => "application/protobuf",
    };
    let request =
        Request::SendEvent { content_type: content_type.to_owned(), content: STANDARD.encode(bytes) };
    match common.ask(request)? {
        Reply::Sent(report) => common.output().print(&report)?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(MAX_EVENT + 1).read_to_end(&mut bytes).context("reading standard input")?;
    } else {
        let open =
            std::fs::File::open(file).with_context(|| format!("reading the event {}", file.display()))?;
        open.take(MAX_EVENT + 1)
            .read_to_end(&mut bytes)
            .with_context(|| format!("reading the event {}", file.display()))?;
    }
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    anyhow::ensure!(
        length <= MAX_EVENT,
        "{} is larger than 64 KiB: an event is never so large",
        file.display()
    );
    Ok(bytes)
}
