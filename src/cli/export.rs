//! `throughcare export` and `throughcare import`: the whole store as JSON lines, and back into a new store.
//!
//! Sealed packets are not in it: they are files already, below the state folder, and are copied as files.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::{Common, Exit, fresh, unexpected};
use crate::control::layout::paragraph;
use crate::control::protocol::{Reply, Request};
use crate::store::{self, ImportError, Options, Store};

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  throughcare export throughcare.jsonl\n  throughcare export | gzip > throughcare.jsonl.gz"
)]
pub struct Arguments {
    /// Where to; it must not exist yet. Standard output when not given. It holds patients' data
    file: Option<PathBuf>,
    /// Read the store of a daemon that is stopped, instead of asking the daemon
    #[arg(long)]
    offline: bool,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare import throughcare.jsonl")]
pub struct ImportArguments {
    /// An export; - reads it from standard input
    file: PathBuf,
}

/// What was written or read.
#[derive(Debug, Serialize)]
pub struct Moved {
    /// Lines written, or records read.
    pub count: u64,
    /// The export.
    pub file: PathBuf,
    /// The store it was read into; none for an export.
    pub store: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<Exit> {
    let Some(path) = &arguments.file else {
        write(arguments, common, &mut BufWriter::new(io::stdout().lock()))?;
        return Ok(Exit::Done);
    };
    let count = fresh::write(path, "export", |out| write(arguments, common, out))?;
    common.output().print(&Moved { count, file: path.clone(), store: None })?;
    Ok(Exit::Done)
}

fn write(arguments: &Arguments, common: &Common, out: &mut impl Write) -> anyhow::Result<u64> {
    if arguments.offline {
        let folder = common.settings()?.store.dir;
        anyhow::ensure!(folder.is_dir(), "there is no store in {}", folder.display());
        let store = Store::open(&folder, &Options::default())?;
        return Ok(store::export(&store, out)?);
    }
    let mut daemon = common.daemon()?;
    daemon.send(Request::Export)?;
    loop {
        match daemon.next_line()? {
            Reply::Line(line) => writeln!(out, "{line}")?,
            Reply::Exported(end) => {
                out.flush()?;
                return Ok(end.lines);
            }
            other => return Err(unexpected(&other)),
        }
    }
}

pub(super) fn import(arguments: &ImportArguments, common: &Common) -> anyhow::Result<Exit> {
    let folder = common.settings()?.store.dir;
    let file = &arguments.file;
    let count = if file == Path::new("-") {
        store::import(&mut io::stdin().lock(), &folder)
    } else {
        let open = File::open(file).with_context(|| format!("reading the export {}", file.display()))?;
        store::import(&mut BufReader::new(open), &folder)
    };
    let count = count
        .map_err(|error| into(&folder, error))
        .with_context(|| format!("importing {}", file.display()))?;
    common.output().print(&Moved { count, file: file.clone(), store: Some(folder) })?;
    Ok(Exit::Done)
}

/// A store that is there is never written into; which other one is meant, the settings say.
fn into(folder: &Path, error: ImportError) -> anyhow::Error {
    match error {
        ImportError::NotEmpty => anyhow::anyhow!(
            "{} exists already and is not overwritten: choose another name (store.dir), or move it away",
            folder.display()
        ),
        other => other.into(),
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, file) = (self.count, self.file.display());
        match &self.store {
            None => paragraph(f, 0, &format!("{count} lines written to {file}. It holds patients' data.")),
            Some(store) => paragraph(
                f,
                0,
                &format!(
                    "{count} records of {file} are now the store in {}. Give it to the daemon's user and copy the vault beside it before you start the daemon.",
                    store.display()
                ),
            ),
        }
    }
}
