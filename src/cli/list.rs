//! `throughcare list`: transfers, one a line.

use clap::Args;

use super::{Common, Exit, unexpected};
use crate::control::protocol::{MAX_ROWS, Reply, Request};
use crate::control::selector::Selector;

/// Arguments of `list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  throughcare list\n  throughcare list state=held older=1d\n  throughcare list party=B85002 --json"
)]
pub struct Arguments {
    /// Which: state=held, party=B85002, kind=release, older=2d, or the beginning of an identifier
    #[arg(value_name = "TERM")]
    terms: Vec<String>,
    /// At most so many rows
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_ROWS)))]
    limit: u32,
}

pub(super) fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<Exit> {
    let selector = Selector::parse(&arguments.terms)?;
    match common.ask(Request::List { selector, limit: arguments.limit })? {
        Reply::List(report) => common.output().print(&report)?,
        other => return Err(unexpected(&other)),
    }
    Ok(Exit::Done)
}
