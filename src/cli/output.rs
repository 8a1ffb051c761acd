//! How a command prints: text for a person or JSON for a program, colour on a terminal only, and no noise when the
//! reader goes away.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

/// How a command went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or the answer is yes.
    Done = 0,
    /// Refused, or the answer is no.
    Negative = 1,
    /// The command was not understood.
    Usage = 2,
    /// No daemon answers.
    Unreachable = 3,
    /// A file, the settings or the store cannot be used.
    Failed = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Where and how reports are printed.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    form: Form,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Plain,
    Coloured,
    Json,
}

impl Output {
    /// To standard output: JSON if asked, else text, in colour on a terminal unless `NO_COLOR` is set.
    pub fn to_stdout(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let able = std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        let form = match json {
            true => Form::Json,
            false if wanted && able && io::stdout().is_terminal() => Form::Coloured,
            false => Form::Plain,
        };
        Self { form }
    }

    /// Prints one report.
    pub fn print<R: Serialize + Display>(&self, report: &R) -> io::Result<()> {
        let text = match self.form {
            Form::Plain => report.to_string(),
            Form::Coloured => format!("{report:#}"),
            Form::Json => serde_json::to_string_pretty(report)? + "\n",
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

/// Whether the reader of our output went away, which is no error.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
