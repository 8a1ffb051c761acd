//! `throughcare decide`: what became of a received record, said by an operator where the clinical system cannot say it.
//!
//! Whether the record can still be decided on is not known here: the transfer itself answers that.

use clap::Args;

use super::act::{ask, reason};
use super::{Common, Exit};
use crate::control::protocol::{Bulk, Request};
use crate::control::selector::Selector;
use crate::transfer::custody::Filing;
use crate::transfer::event::Verb;

/// Arguments of `decide`.
#[derive(Debug, Args)]
#[command(
    override_usage = "throughcare decide <ID> <DECISION> --reason <REASON> [OPTIONS]",
    after_help = "The sender is told at once. Only --failed can be decided again, when the record\nis filed after all.\n\nExamples:\n  throughcare decide 7d2f0a3c --integrated --reason \"filed by hand\"\n  throughcare decide 7d2f0a3c --rejected --reason \"wrong record\" --dry-run"
)]
pub struct Arguments {
    /// The beginning of the transfer's identifier
    #[arg(value_name = "ID", value_parser = one)]
    id: Selector,
    #[command(flatten)]
    choice: Choice,
    /// Why; it is kept in the timeline with your user id. Name no patient
    #[arg(long, value_parser = reason, help_heading = None)]
    reason: String,
    /// Only say what would be done
    #[arg(long, help_heading = None)]
    dry_run: bool,
}

/// One of the decisions a clinical system can send.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
#[command(next_help_heading = "Decisions, one of")]
struct Choice {
    /// It is part of the person's record: its sender is told that it is filed
    #[arg(long)]
    integrated: bool,
    /// The record held before is kept, and this one stored beside it (code 15)
    #[arg(long)]
    suppressed: bool,
    /// It is kept only as an attachment, and paper is wanted (code 26)
    #[arg(long)]
    filed_as_attachment: bool,
    /// It is another person's, or the wrong record (code 28; 17 if known before)
    #[arg(long)]
    rejected: bool,
    /// It could not be filed (code 11)
    #[arg(long)]
    failed: bool,
    /// Somebody decides later: its sender is told nothing yet
    #[arg(long)]
    deferred: bool,
}

impl Choice {
    /// The decision; clap has seen to it that there is exactly one.
    fn filing(&self) -> Option<Filing> {
        let given = [
            (self.integrated, Filing::Integrated),
            (self.suppressed, Filing::Suppressed),
            (self.filed_as_attachment, Filing::FiledAsAttachment),
            (self.rejected, Filing::Rejected),
            (self.failed, Filing::Failed),
            (self.deferred, Filing::Deferred),
        ];
        given.into_iter().find_map(|(given, filing)| given.then_some(filing))
    }
}

/// Each record is decided on by itself: a selection that may mean many is none here (S64).
fn one(text: &str) -> Result<Selector, String> {
    let selector = Selector::parse(&[text]).map_err(|e| e.to_string())?;
    if selector.names_each() { Ok(selector) } else { Err("name one transfer by its identifier".to_owned()) }
}

pub(super) fn run(arguments: Arguments, common: &Common) -> anyhow::Result<Exit> {
    let Some(filing) = arguments.choice.filing() else { anyhow::bail!("no decision is given") };
    let bulk = if arguments.dry_run { Bulk::DryRun } else { Bulk::Exactly(1) };
    let (verb, selector, reason) = (Verb::Decide(filing), arguments.id, arguments.reason);
    ask(Request::Act { verb, selector, reason, bulk }, common)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn parse(arguments: &[&str]) -> Option<Filing> {
        let whole = [&["throughcare", "decide"], arguments, &["--reason", "filed by hand"]].concat();
        match Cli::try_parse_from(whole).ok()?.command {
            Command::Decide(arguments) => arguments.choice.filing(),
            _ => None,
        }
    }

    #[test]
    fn every_decision_has_its_option_and_exactly_one_is_given() {
        for filing in Filing::ALL {
            let option = format!("--{}", filing.as_str().replace('_', "-"));
            assert_eq!(parse(&["7d2f0a3c", &option]), Some(*filing));
        }
        assert_eq!(parse(&["7d2f0a3c"]), None, "a decision is needed");
        assert_eq!(parse(&["7d2f0a3c", "--integrated", "--rejected"]), None, "and only one");
    }

    #[test]
    fn a_decision_names_one_transfer_and_never_a_selection() {
        for many in ["state=awaiting-decision", "party=B85002", "older=2d"] {
            assert_eq!(parse(&[many, "--integrated"]), None, "{many}");
        }
        assert_eq!(parse(&["7d2f0a3c", "8e3f0a3c", "--integrated"]), None, "nor several");
    }
}
