//! `throughcare show` and `throughcare explain`: one transfer, what happened and what happens next.

use clap::Args;

use super::{Common, Exit, unexpected};
use crate::control::protocol::{Reply, Request};

/// Arguments of `show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare show 7d2f0a3c")]
pub struct Arguments {
    /// The beginning of the transfer's identifier, at least 4 characters
    id: String,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare explain 7d2f0a3c")]
pub struct ExplainArguments {
    /// The beginning of the transfer's identifier, at least 4 characters
    id: String,
}

pub(super) fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<Exit> {
    match common.ask(Request::Show { id: arguments.id.clone() })? {
        Reply::Show(report) => common.output().print(report.as_ref())?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}

pub(super) fn explain(arguments: &ExplainArguments, common: &Common) -> anyhow::Result<Exit> {
    match common.ask(Request::Explain { id: arguments.id.clone() })? {
        Reply::Explain(report) => common.output().print(&report)?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}
