//! `throughcare check`: what is wrong with the settings, before the service says it.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Common, Exit};
use crate::config::{Config, Problem};
use crate::control::layout::{alarm, heading, labelled, paragraph};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare check --credentials /etc/throughcare/keys")]
pub struct Arguments {
    /// Where systemd takes the keys from (LoadCredential of the unit); a relative key path is looked for there
    #[arg(long, value_name = "FOLDER")]
    credentials: Option<PathBuf>,
}

/// What is wrong with the settings.
#[derive(Debug, Serialize)]
pub struct Check {
    /// The file.
    pub file: PathBuf,
    /// Whether the service would start with it.
    pub ok: bool,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// The settings as they are with defaults, passwords left out; nothing when the file cannot be read.
    pub settings: Option<Config>,
}

pub(super) fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<Exit> {
    let config = match &arguments.credentials {
        Some(folder) => Config::load_with(&common.config, Some(&std::path::absolute(folder)?))?,
        None => common.settings()?,
    };
    let problems = config.check();
    let exit = if problems.is_empty() { Exit::Done } else { Exit::Negative };
    let file = common.config.clone();
    common.output().print(&Check { file, ok: problems.is_empty(), problems, settings: Some(config) })?;
    Ok(exit)
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problems.is_empty() {
            return paragraph(f, 0, &format!("{} makes sense.", self.file.display()));
        }
        heading(f, &format!("{} does not make sense:", self.file.display()))?;
        for problem in &self.problems {
            writeln!(f)?;
            alarm(f, &problem.key)?;
            labelled(f, "  wrong", 10, &problem.wrong)?;
            labelled(f, "  do", 10, &problem.remedy)?;
        }
        Ok(())
    }
}
