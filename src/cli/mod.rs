//! The command line: one file a command. Parses, asks the daemon or does the work, prints text or JSON, and says by
//! its exit code how it went.
//!
//! Decides nothing about transfers. Reports come from `control::views` and from the parts that do offline work;
//! whatever can be printed as text can be printed as JSON.

mod act;
mod check;
mod completions;
mod decide;
mod demo;
mod event;
mod export;
mod extract;
mod fresh;
mod list;
mod output;
mod packet;
mod quarantine;
mod run;
mod show;
mod status;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config};
use crate::control::client::{Client, ClientError};
use crate::control::protocol::{RefusalKind, Reply, Request};

pub use check::Check;
pub use output::{Exit, Output};

/// Exit codes, for every command's help.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused, or the answer is no; 2 wrong usage; 3 no daemon answers;\n\
    4 a file, the settings or the store cannot be used.";

/// Carries patient records between custody and the community GP.
#[derive(Debug, Parser)]
#[command(name = "throughcare", version, after_help = EXIT_CODES, max_term_width = 80, propagate_version = true)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Common {
    /// The settings
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// The daemon's socket; that of the settings when not given
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Print JSON, as described in schemas/
    #[arg(long, global = true)]
    pub json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon, in the foreground
    Run(run::Arguments),
    /// Show a release from a prison to a practice, on this machine
    Demo(demo::Arguments),
    /// Say what is wrong with the settings
    Check(check::Arguments),
    /// What needs me today? And how does it go?
    Status(status::Arguments),
    /// Transfers, one a line
    List(list::Arguments),
    /// One transfer's whole timeline
    Show(show::Arguments),
    /// What one transfer waits for, until when, and what you can do
    Explain(show::ExplainArguments),
    /// Try again now; after a refusal, send the same record again
    Retry(act::RetryArguments),
    /// End transfers
    Cancel(act::CancelArguments),
    /// Say in the clinical system's place what became of a received record
    Decide(decide::Arguments),
    /// Events that were set aside
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Custody events
    #[command(subcommand)]
    Event(event::Command),
    /// Extracts made of records; needs no daemon
    #[command(subcommand)]
    Extract(extract::Command),
    /// Packets: out of the daemon's vault, and in files without a daemon
    #[command(subcommand)]
    Packet(packet::Command),
    /// Write the whole store as JSON lines
    Export(export::Arguments),
    /// Read an export into a new store
    Import(export::ImportArguments),
    /// Completions for a shell
    Completions(completions::Arguments),
}

/// Runs the command line and returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Whoever closed the pipe does not want the help.
            let _closed = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            let exit = exit_of(&error);
            if exit != Exit::Done {
                eprintln!("throughcare: {error:#}");
            }
            exit.into()
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<Exit> {
        let common = self.common;
        match self.command {
            Command::Run(arguments) => run::run(&arguments, &common),
            Command::Demo(arguments) => demo::run(&arguments, &common),
            Command::Check(arguments) => check::run(&arguments, &common),
            Command::Status(arguments) => status::run(&arguments, &common),
            Command::List(arguments) => list::run(&arguments, &common),
            Command::Show(arguments) => show::run(&arguments, &common),
            Command::Explain(arguments) => show::explain(&arguments, &common),
            Command::Retry(arguments) => act::retry(arguments, &common),
            Command::Cancel(arguments) => act::cancel(arguments, &common),
            Command::Decide(arguments) => decide::run(arguments, &common),
            Command::Quarantine(command) => quarantine::run(command, &common),
            Command::Event(command) => event::run(&command, &common),
            Command::Extract(command) => extract::run(&command, &common),
            Command::Packet(command) => packet::run(&command, &common),
            Command::Export(arguments) => export::run(&arguments, &common),
            Command::Import(arguments) => export::import(&arguments, &common),
            Command::Completions(arguments) => completions::run(&arguments),
        }
    }
}

impl Common {
    /// How this command prints.
    pub fn output(&self) -> Output {
        Output::to_stdout(self.json)
    }

    /// The settings, read and resolved, but not checked.
    pub fn settings(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config)?)
    }

    /// A connection to the daemon.
    pub fn daemon(&self) -> Result<Client, ClientError> {
        Client::connect(&self.socket())
    }

    /// Asks the daemon one thing.
    pub fn ask(&self, request: Request) -> Result<Reply, ClientError> {
        self.daemon()?.ask(request)
    }

    /// The socket given, that of the settings, or the usual one where an operator may not read the settings.
    fn socket(&self) -> PathBuf {
        match (&self.socket, Config::load(&self.config)) {
            (Some(path), _) => path.clone(),
            (None, Ok(config)) => config.control.socket,
            (None, Err(_)) => Path::new("/").join(Config::default().control.socket),
        }
    }
}

/// The daemon answered something else than was asked; only possible with two builds of one version.
fn unexpected(reply: &Reply) -> anyhow::Error {
    let name = serde_json::to_value(reply).ok().and_then(|v| v["reply"].as_str().map(str::to_owned));
    anyhow::anyhow!(
        "the daemon answered with {} instead; restart it after an upgrade",
        name.unwrap_or_default()
    )
}

fn exit_of(error: &anyhow::Error) -> Exit {
    if output::is_closed_pipe(error) {
        return Exit::Done;
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { .. } | ClientError::Broken(_) | ClientError::NotUnderstood(_)) => {
            Exit::Unreachable
        }
        Some(ClientError::Refused(refusal)) => match refusal.kind {
            RefusalKind::Busy | RefusalKind::Failed => Exit::Unreachable,
            RefusalKind::NotUnderstood => Exit::Usage,
            RefusalKind::NotFound
            | RefusalKind::Ambiguous
            | RefusalKind::OtherCount
            | RefusalKind::NotNow
            | RefusalKind::BadEvent => Exit::Negative,
        },
        None if error.is::<crate::control::selector::InvalidSelector>() => Exit::Usage,
        None => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    /// Every command that does something, with its whole name.
    fn leaves(command: &clap::Command, name: &str, found: &mut Vec<(String, clap::Command)>) {
        let below: Vec<&clap::Command> =
            command.get_subcommands().filter(|c| c.get_name() != "help").collect();
        if below.is_empty() {
            found.push((name.to_owned(), command.clone()));
        }
        for sub in below {
            leaves(sub, &format!("{name} {}", sub.get_name()), found);
        }
    }

    #[test]
    fn every_command_has_help_with_an_example_within_eighty_columns() {
        let mut all = Vec::new();
        let mut root = Cli::command();
        root.build();
        leaves(&root, "throughcare", &mut all);
        assert!(all.len() >= 13, "{}", all.len());
        for (name, mut command) in all {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{name} --help shows no example:\n{help}");
            assert!(
                help.contains(&format!("  {name}")),
                "the example of {name} starts with the command:\n{help}"
            );
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{name} --help is wider than 80 columns: {line}");
            }
        }
    }

    #[test]
    fn every_act_wants_a_reason() {
        for act in [
            &["retry", "7d2f0a3c"][..],
            &["cancel", "7d2f0a3c"],
            &["decide", "7d2f0a3c", "--integrated"],
            &["quarantine", "requeue", "7d2f0a3c"],
            &["quarantine", "discard", "7d2f0a3c"],
        ] {
            let without = [&["throughcare"], act].concat();
            assert!(Cli::try_parse_from(&without).is_err(), "{act:?} needs --reason");
            let empty = [&without[..], &["--reason", "  "]].concat();
            assert!(Cli::try_parse_from(empty).is_err(), "{act:?} needs words in its reason");
            let with = [&without[..], &["--reason", "asked by the practice"]].concat();
            assert!(Cli::try_parse_from(with).is_ok(), "{act:?} with a reason");
        }
    }
}
