//! Why a directory file was not taken, in the words of whoever edits it.

use std::io;
use std::path::PathBuf;

use crate::model::OdsCode;

/// Why a directory file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The file could not be read.
    #[error("reading the directory {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong form; the text names line and column.
    #[error("the directory is not in order: {0}")]
    Syntax(#[from] Box<toml::de::Error>),
    /// An entry contradicts itself or another.
    #[error("the directory, line {line}, party {ods}: {problem}")]
    Entry {
        /// The line the entry begins on.
        line: usize,
        /// Whose entry it is.
        ods: OdsCode,
        /// What is wrong with it.
        problem: EntryError,
    },
    /// More than it can be meant to hold.
    #[error("the directory is larger than {limit} {unit}")]
    TooLarge {
        /// The most there may be.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
}

/// What is wrong with one entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// A field this entry needs is not there.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field this entry cannot have.
    #[error("{field} has no meaning for {what}")]
    Misplaced {
        /// The field.
        field: &'static str,
        /// What kind of entry it is.
        what: &'static str,
    },
    /// Two fields that cannot both hold.
    #[error("{0}")]
    Contradiction(&'static str),
    /// A number or text outside its bounds.
    #[error("{field} must be {rule}")]
    OutOfBounds {
        /// The field.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// An action this daemon does not speak.
    #[error("{0:?} is not an action; the actions are {known}", known = super::ACTIONS.join(", "))]
    UnknownAction(String),
    /// Another entry has the same identifier.
    #[error("{field} is also that of the party on line {other_line}")]
    Duplicate {
        /// Which identifier.
        field: &'static str,
        /// Where the other begins.
        other_line: usize,
    },
    /// A certificate that cannot be used.
    #[error("{field}: {problem}")]
    Certificate {
        /// The field it stands in.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
}
