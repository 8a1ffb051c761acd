//! `throughcare retry` and `throughcare cancel`: acts on transfers, each with a reason that is kept.

use clap::Args;

use super::{Common, Exit, unexpected};
use crate::control::protocol::{Bulk, Reply, Request};
use crate::control::selector::Selector;
use crate::control::views::{ActResult, Acted};
use crate::transfer::event::Verb;

/// What every act on transfers takes.
#[derive(Debug, Args)]
pub struct Act {
    /// Which: the beginning of an identifier, or state=held, party=B85002, kind=release, older=2d
    #[arg(required = true, value_name = "TERM")]
    terms: Vec<String>,
    /// Why; it is kept in the timeline with your user id. Name no patient
    #[arg(long, value_parser = reason)]
    reason: String,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// How many are meant; needed when they are not named one by one
    #[arg(long, value_name = "COUNT", conflicts_with = "dry_run")]
    expect: Option<u32>,
}

/// Arguments of `retry`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  throughcare retry 7d2f0a3c --reason \"practice is back\"\n  throughcare retry state=held party=B85002 --reason \"certificate fixed\" --dry-run\n  throughcare retry state=held party=B85002 --reason \"certificate fixed\" \\\n    --expect 12"
)]
pub struct RetryArguments {
    #[command(flatten)]
    act: Act,
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare cancel 7d2f0a3c --reason \"entered in error\"")]
pub struct CancelArguments {
    #[command(flatten)]
    act: Act,
}

/// A reason is words: what a person will read in a year.
pub(super) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("say why in a few words".to_owned())
    } else if text.chars().count() > 500 || text.chars().any(char::is_control) {
        Err("a reason is one line of at most 500 characters".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

pub(super) fn retry(arguments: RetryArguments, common: &Common) -> anyhow::Result<Exit> {
    run(Verb::Retry, arguments.act, common)
}

pub(super) fn cancel(arguments: CancelArguments, common: &Common) -> anyhow::Result<Exit> {
    run(Verb::Cancel, arguments.act, common)
}

fn run(verb: Verb, act: Act, common: &Common) -> anyhow::Result<Exit> {
    let selector = Selector::parse(&act.terms)?;
    let bulk = match (act.dry_run, act.expect) {
        (true, _) => Bulk::DryRun,
        (false, Some(count)) => Bulk::Exactly(count),
        (false, None) => Bulk::Named,
    };
    ask(Request::Act { verb, selector, reason: act.reason, bulk }, common)
}

/// Asks for an act, prints what came of it and says by the exit code whether it was done.
pub(super) fn ask(request: Request, common: &Common) -> anyhow::Result<Exit> {
    match common.ask(request)? {
        Reply::Acted(report) => {
            common.output().print(&report)?;
            Ok(exit_of(&report))
        }
        other => Err(unexpected(&other)),
    }
}

/// One refusal makes the whole command say no, and so does a selection that means nothing: a script notices.
pub(super) fn exit_of(report: &Acted) -> Exit {
    let refused = report.items.iter().any(|i| i.result == ActResult::Refused);
    if refused || report.items.is_empty() { Exit::Negative } else { Exit::Done }
}
