//! `throughcare completions`: what the shell needs to complete our commands.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit};

/// Arguments of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare completions bash > /etc/bash_completion.d/throughcare")]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "throughcare", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Done)
}
