//! `throughcare status`: what needs me today.

use clap::Args;

use super::{Common, Exit, unexpected};
use crate::control::protocol::{Reply, Request};

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  throughcare status\n  throughcare status --json | jq .needs_you")]
pub struct Arguments {}

pub(super) fn run(_: &Arguments, common: &Common) -> anyhow::Result<Exit> {
    match common.ask(Request::Status)? {
        Reply::Status(report) => common.output().print(&report)?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}
