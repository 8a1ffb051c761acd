//! `throughcare packet export`: a sealed packet or receipt out of a running daemon's vault, into a file.
//!
//! It discloses a record, so it wants a reason; the daemon keeps that with the caller's user id before it sends a byte.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Serialize;

use crate::cli::{Common, Exit, act, fresh, unexpected};
use crate::control::layout::paragraph;
use crate::control::protocol::{Reply, Request, Sealed};
use crate::control::views::PacketExported;

/// Arguments of `packet export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  throughcare packet export 7d2f0a3c packet.mime --reason \"asked by the ICO\""
)]
pub struct ExportArguments {
    /// The transfer: the beginning of its identifier
    id: String,
    /// Where to; it must not exist yet. It holds a patient's record
    file: PathBuf,
    /// The signed receipt of the other end, instead of the packet
    #[arg(long)]
    receipt: bool,
    /// Why; it is kept in the timeline with your user id. Name no patient
    #[arg(long, value_parser = act::reason)]
    reason: String,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct Exported {
    /// What came out of the vault.
    #[serde(flatten)]
    pub packet: PacketExported,
    /// The file it is in.
    pub file: PathBuf,
}

pub(super) fn run(arguments: &ExportArguments, common: &Common) -> anyhow::Result<Exit> {
    let packet = fresh::write(&arguments.file, "packet", |out| receive(arguments, common, out))?;
    common.output().print(&Exported { packet, file: arguments.file.clone() })?;
    Ok(Exit::Done)
}

fn receive(
    arguments: &ExportArguments,
    common: &Common,
    out: &mut impl Write,
) -> anyhow::Result<PacketExported> {
    let part = if arguments.receipt { Sealed::Receipt } else { Sealed::Packet };
    let (id, reason) = (arguments.id.clone(), arguments.reason.clone());
    let mut daemon = common.daemon()?;
    daemon.send(Request::PacketExport { id, part, reason })?;
    let mut received = 0;
    loop {
        match daemon.next_line()? {
            Reply::Octets(piece) => {
                let octets = STANDARD.decode(piece).context("the daemon's answer is not base64")?;
                out.write_all(&octets)?;
                received += octets.len() as u64;
            }
            Reply::PacketExported(end) => {
                anyhow::ensure!(end.bytes == received, "the daemon's answer is not whole; ask again");
                return Ok(end);
            }
            other => return Err(unexpected(&other)),
        }
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, bytes) = (self.file.display(), self.packet.bytes);
        match self.packet.part {
            Sealed::Packet => {
                paragraph(f, 0, &format!("{bytes} bytes written to {file}. It holds a patient's record."))?;
                writeln!(f, "throughcare packet verify {file} --trust CERTIFICATE.pem")
            }
            Sealed::Receipt => paragraph(f, 0, &format!("{bytes} bytes of receipt written to {file}.")),
        }
    }
}
