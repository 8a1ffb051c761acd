//! `throughcare extract validate`: what is wrong with the form of a message, without daemon, settings or schema files.
//!
//! It is the gate that every message of ours passes before it is signed; it judges no meaning, and changes nothing.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::read;
use crate::cli::{Common, Exit};
use crate::control::layout::{alarm, heading, labelled, paragraph};
use crate::extract;

/// Arguments of `extract validate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  throughcare extract validate extract.xml\n  \
    throughcare --json extract validate extract.xml\n\n\
    The exit code is 0 without flaws and 1 with some. At most fifty are listed.")]
pub struct Arguments {
    /// The message: RCMR_IN030000UK06 or UK07
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}

/// What is wrong with a message.
#[derive(Debug, Serialize)]
pub struct Flaws {
    /// The message.
    pub file: PathBuf,
    /// Whether it could leave.
    pub valid: bool,
    /// What is wrong with it, fifty at most.
    pub flaws: Vec<Found>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub struct Found {
    /// The elements from the outermost in, joined by slashes.
    pub path: String,
    /// Id of the innermost element around it that has one.
    pub id: Option<String>,
    /// What is wrong, in words.
    pub flaw: String,
}

pub(super) fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<Exit> {
    let found = extract::validate(&read(&arguments.file)?).into_iter();
    let flaws: Vec<Found> =
        found.map(|f| Found { path: f.path, id: f.id, flaw: f.flaw.to_string() }).collect();
    let exit = if flaws.is_empty() { Exit::Done } else { Exit::Negative };
    common.output().print(&Flaws { file: arguments.file.clone(), valid: flaws.is_empty(), flaws })?;
    Ok(exit)
}

impl fmt::Display for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        if self.valid {
            return paragraph(f, 0, &format!("{file} has the form of an extract."));
        }
        heading(f, &format!("{file} has not the form of an extract:"))?;
        for found in &self.flaws {
            writeln!(f)?;
            alarm(f, &found.flaw)?;
            if !found.path.is_empty() {
                labelled(f, "  at", 6, &found.path)?;
            }
            if let Some(id) = &found.id {
                labelled(f, "  id", 6, id)?;
            }
        }
        if self.flaws.len() == extract::MOST_FLAWS {
            writeln!(f)?;
            paragraph(f, 0, "There may be more: correct these and look again.")?;
        }
        Ok(())
    }
}
