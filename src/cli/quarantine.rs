//! `throughcare quarantine`: events that were set aside, and what is decided about them.

use clap::{Args, Subcommand};

use super::{Common, Exit, act, unexpected};
use crate::control::protocol::{MAX_ROWS, QuarantineVerb, Reply, Request};

/// What can be done with what was set aside.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What was set aside, and why
    List(ListArguments),
    /// One of them
    Show(ShowArguments),
    /// Take it in again, once what was wrong is mended
    Requeue(RequeueArguments),
    /// Say that it will never be used; its bytes are kept
    Discard(DiscardArguments),
}

/// Arguments of `quarantine list`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare quarantine list")]
pub struct ListArguments {
    /// At most so many rows
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ROWS)))]
    limit: u32,
}

/// Arguments of `quarantine show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare quarantine show 1b9c44e0")]
pub struct ShowArguments {
    /// The beginning of its identifier, at least 4 characters
    id: String,
}

/// Arguments of `quarantine requeue`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  throughcare quarantine requeue 1b9c44e0 --reason \"directory corrected\""
)]
pub struct RequeueArguments {
    /// The beginning of its identifier, at least 4 characters
    id: String,
    /// Why; it is kept in the journal with your user id. Name no patient
    #[arg(long, value_parser = act::reason)]
    reason: String,
}

/// Arguments of `quarantine discard`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  throughcare quarantine discard 1b9c44e0 --reason \"sent again correctly\""
)]
pub struct DiscardArguments {
    /// The beginning of its identifier, at least 4 characters
    id: String,
    /// Why; it is kept in the journal with your user id. Name no patient
    #[arg(long, value_parser = act::reason)]
    reason: String,
}

pub(super) fn run(command: Command, common: &Common) -> anyhow::Result<Exit> {
    match command {
        Command::List(ListArguments { limit }) => show(Request::Quarantine { limit }, common),
        Command::Show(ShowArguments { id }) => show(Request::QuarantineShow { id }, common),
        Command::Requeue(RequeueArguments { id, reason }) => {
            show(Request::QuarantineAct { verb: QuarantineVerb::Requeue, id, reason }, common)
        }
        Command::Discard(DiscardArguments { id, reason }) => {
            show(Request::QuarantineAct { verb: QuarantineVerb::Discard, id, reason }, common)
        }
    }
}

fn show(request: Request, common: &Common) -> anyhow::Result<Exit> {
    match common.ask(request)? {
        Reply::Quarantine(report) => common.output().print(&report)?,
        Reply::QuarantineShow(report) => common.output().print(&report)?,
        Reply::Acted(report) => {
            common.output().print(&report)?;
            return Ok(act::exit_of(&report));
        }
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}
