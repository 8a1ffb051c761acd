//! `throughcare check`: what is wrong with the settings and with the files they name, before the service says it.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{Common, Exit};
use crate::config::{Config, Problem};
use crate::control::layout::{alarm, heading, labelled, paragraph};
use crate::daemon::{self, MissingVaultKey};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare check --credentials /etc/throughcare/keys\n\n\
    Reads what the service would read, with the same code, and changes nothing.")]
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
    let passed =
        arguments.credentials.clone().or_else(|| std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into));
    let credentials = passed.map(std::path::absolute).transpose()?;
    let config = Config::load_with(&common.config, credentials.as_deref())?;
    // Keys that are passed must be there; otherwise the daemon makes the vault's at its first start.
    let missing = match credentials {
        Some(_) => MissingVaultKey::Wrong,
        None => MissingVaultKey::MadeLater,
    };
    let problems = daemon::problems(&config, missing);
    let exit = if problems.is_empty() { Exit::Done } else { Exit::Failed };
    let file = common.config.clone();
    common.output().print(&Check { file, ok: problems.is_empty(), problems, settings: Some(config) })?;
    Ok(exit)
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problems.is_empty() {
            return paragraph(
                f,
                0,
                &format!("{} makes sense, and every file it names can be used.", self.file.display()),
            );
        }
        heading(f, &format!("{} cannot be used:", self.file.display()))?;
        for problem in &self.problems {
            writeln!(f)?;
            alarm(f, &problem.key)?;
            labelled(f, "  wrong", 10, &problem.wrong)?;
            labelled(f, "  do", 10, &problem.remedy)?;
        }
        Ok(())
    }
}
