//! `throughcare export`: the whole store as JSON lines.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::{Common, Exit, unexpected};
use crate::control::protocol::{Reply, Request};

/// Arguments of `export`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare export throughcare.jsonl")]
pub struct Arguments {
    /// Where to; it must not exist yet. Standard output when not given. It holds patients' data
    file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<Exit> {
    match &arguments.file {
        None => {
            write(common, &mut BufWriter::new(io::stdout().lock()))?;
        }
        Some(path) => {
            let doing = || format!("writing the export {}", path.display());
            let file = create(path).with_context(doing)?;
            let mut out = BufWriter::new(file);
            let lines = write(common, &mut out)?;
            out.into_inner().map_err(|e| e.into_error()).and_then(|f| f.sync_all()).with_context(doing)?;
            eprintln!("{lines} lines written to {}", path.display());
        }
    }
    Ok(Exit::Done)
}

/// A new file that nobody else may read: an export holds what the store holds.
fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn write(common: &Common, out: &mut impl Write) -> anyhow::Result<u64> {
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
