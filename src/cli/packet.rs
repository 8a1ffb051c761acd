//! `throughcare packet show` and `throughcare packet verify`: a packet in a file, without daemon or settings; and
//! `packet export`, which puts one there.
//!
//! Shows who, what and how large, never what the record says: names of files and clinical text stay in the packet.

mod export;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Common, Exit, fresh};
use crate::clock;
use crate::control::layout::{alarm, bytes, heading, labelled, paragraph, table};
use crate::model::{ConversationId, MessageId, PartyKey, Timestamp};
use crate::packet::mime::{self, MimeLimits, Strictness};
use crate::packet::signature::verify::{Leniency, Terms, Verified};
use crate::packet::signature::{Pin, Pins, SignatureFault, certificate_from_pem};
use crate::packet::xml::{Document, XmlLimits};
use crate::packet::{Incoming, Packet, PacketFault, Received, open};

/// The largest packet looked at: one message is at most 5 MB on the wire, and a file adds three header lines.
const MAX_FILE: u64 = 64 << 20;
/// The namespace of XML signatures.
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";

/// What can be done with a packet in a file.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Who, what, how large, and which parts
    Show(ShowArguments),
    /// Whether signature, coverage and digests hold
    Verify(VerifyArguments),
    /// Write what a daemon sent, received or got a receipt for into a file
    Export(export::ExportArguments),
}

/// Arguments of `packet show`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  throughcare packet show packet.mime\n  throughcare packet show packet.mime --unpack parts --trust signing.pem"
)]
pub struct ShowArguments {
    /// The packet
    file: PathBuf,
    /// Write envelope and parts into this new folder, and say how xmlsec1 verifies them. They are a patient's record
    #[arg(long, value_name = "FOLDER")]
    unpack: Option<PathBuf>,
    /// The certificate to name in the xmlsec1 line
    #[arg(long, value_name = "CERTIFICATE", requires = "unpack", default_value = "CERTIFICATE.pem")]
    trust: PathBuf,
}

/// Arguments of `packet verify`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  throughcare packet verify packet.mime --trust signing.pem")]
pub struct VerifyArguments {
    /// The packet
    file: PathBuf,
    /// The signer's certificate, or the one that issued it, PEM
    #[arg(long, value_name = "CERTIFICATE")]
    trust: PathBuf,
    /// The moment at which certificates must be valid, such as 2026-03-02T09:00:00Z; now when not given
    #[arg(long, value_name = "MOMENT", value_parser = Timestamp::parse)]
    at: Option<Timestamp>,
}

/// A packet as it can be shown.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// Who sent it.
    pub from: PartyKey,
    /// To whom.
    pub to: PartyKey,
    /// Under which contract.
    pub cpa_id: String,
    /// In which conversation.
    pub conversation: ConversationId,
    /// Its identity.
    pub message_id: MessageId,
    /// The interaction.
    pub action: String,
    /// When it was stamped.
    pub timestamp: Timestamp,
    /// Until when it may be delivered.
    pub time_to_live: Option<Timestamp>,
    /// Whether it bears a signature. Whether that holds is for `packet verify`.
    pub signed: bool,
    /// The size of the whole message.
    pub bytes: u64,
    /// What is in it, the HL7 message first.
    pub parts: Vec<ShownPart>,
    /// Documents that travel in messages of their own.
    pub elsewhere: u64,
    /// The line that verifies what was unpacked.
    pub verify_with: Option<String>,
}

/// One part of a packet.
#[derive(Debug, Serialize)]
pub struct ShownPart {
    /// Its Content-ID.
    pub content_id: String,
    /// Its media type.
    pub content_type: String,
    /// Its size, decoded.
    pub bytes: u64,
}

/// What came of verifying.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// Whether signature, coverage and digests hold.
    pub verified: bool,
    /// Why not.
    pub reason: Option<String>,
    /// SHA-256 of the signer's certificate, where it holds.
    pub signer: Option<String>,
    /// The signer's subject, where it holds.
    pub subject: Option<String>,
    /// What the signature covers: the empty one is the envelope.
    pub covers: Vec<String>,
}

pub(super) fn run(command: &Command, common: &Common) -> anyhow::Result<Exit> {
    match command {
        Command::Show(arguments) => show(arguments, common),
        Command::Verify(arguments) => verify(arguments, common),
        Command::Export(arguments) => export::run(arguments, common),
    }
}

/// Reads a packet's file.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let doing = || format!("reading the packet {}", file.display());
    let size = std::fs::metadata(file).with_context(doing)?.len();
    anyhow::ensure!(size <= MAX_FILE, "{} is larger than 64 MiB: this is no packet", file.display());
    std::fs::read(file).with_context(doing)
}

/// Offline there is time for a packet of any size we read.
fn limits() -> MimeLimits {
    MimeLimits { message_bytes: usize::try_from(MAX_FILE).unwrap_or(usize::MAX), ..MimeLimits::default() }
}

fn show(arguments: &ShowArguments, common: &Common) -> anyhow::Result<Exit> {
    let octets = read(&arguments.file)?;
    let packet = Packet::from_file(&octets)?;
    let Received::Business(message) =
        open(&packet.content_type, &packet.body, Strictness::Tolerant, &limits())?
    else {
        anyhow::bail!("{} is an acknowledgement of the transport, not a packet", arguments.file.display());
    };
    let mut report = shown(&packet, &message);
    if let Some(folder) = &arguments.unpack {
        report.verify_with = Some(unpack(&packet, folder, &arguments.trust)?);
    }
    common.output().print(&report)?;
    Ok(Exit::Done)
}

fn shown(packet: &Packet, message: &Incoming<'_>) -> Shown {
    let header = &message.header;
    let attachments = message.attachments();
    let here = message.hl7().into_iter().chain(attachments.iter().filter_map(|(_, part)| *part));
    let parts = here.map(|part| ShownPart {
        content_id: part.content_id.clone().unwrap_or_default(),
        content_type: part.content_type.clone(),
        bytes: length(&part.body),
    });
    Shown {
        from: header.from.clone(),
        to: header.to.clone(),
        cpa_id: header.cpa_id.to_string(),
        conversation: header.conversation,
        message_id: header.message_id.clone(),
        action: header.action.clone(),
        timestamp: header.timestamp,
        time_to_live: header.time_to_live,
        signed: message.expect_unsigned().is_err(),
        bytes: length(&packet.body),
        parts: parts.collect(),
        elsewhere: u64::try_from(attachments.iter().filter(|(_, part)| part.is_none()).count())
            .unwrap_or(u64::MAX),
        verify_with: None,
    }
}

fn length(octets: &[u8]) -> u64 {
    u64::try_from(octets.len()).unwrap_or(u64::MAX)
}

/// Writes envelope and parts, and says how `xmlsec1` verifies them.
fn unpack(packet: &Packet, folder: &Path, trust: &Path) -> anyhow::Result<String> {
    use std::os::unix::fs::DirBuilderExt;
    let doing = || format!("unpacking into {}", folder.display());
    let made = std::fs::DirBuilder::new().mode(0o700).create(folder);
    made.map_err(|e| fresh::taken(folder, e)).with_context(doing)?;
    let parts = mime::read(&packet.content_type, &packet.body, Strictness::Tolerant, &limits())?;
    let mut line =
        format!("xmlsec1 --verify --enabled-key-data key-name --pubkey-cert-pem {}", trust.display());
    for (number, part) in parts.iter().enumerate() {
        let name = if number == 0 { "envelope.xml".to_owned() } else { format!("part{number}") };
        let path = folder.join(name);
        std::fs::write(&path, &part.body).with_context(doing)?;
        if let (Some(id), 1..) = (&part.content_id, number) {
            line.push_str(&format!(" --url-map:cid:{id} {}", path.display()));
        }
    }
    line.push_str(&format!(" {}", folder.join("envelope.xml").display()));
    Ok(line)
}

fn verify(arguments: &VerifyArguments, common: &Common) -> anyhow::Result<Exit> {
    let octets = read(&arguments.file)?;
    let doing = || format!("reading the certificate {}", arguments.trust.display());
    let pem = std::fs::read_to_string(&arguments.trust).with_context(doing)?;
    let trusted = certificate_from_pem(&pem).with_context(doing)?;
    let report = match judge(&octets, &trusted, arguments.at.unwrap_or_else(clock::now)) {
        Ok(verified) => Verification {
            verified: true,
            reason: None,
            signer: Some(verified.signer.to_string()),
            subject: Pin::subject_of(&verified.certificate),
            covers: verified.references.iter().map(|r| r.uri.clone()).collect(),
        },
        Err(why) => Verification {
            verified: false,
            reason: Some(why.to_string()),
            signer: None,
            subject: None,
            covers: Vec::new(),
        },
    };
    common.output().print(&report)?;
    Ok(if report.verified { Exit::Done } else { Exit::Negative })
}

/// Why a packet is not verified.
#[derive(Debug, thiserror::Error)]
enum Unverified {
    #[error(transparent)]
    Packet(#[from] PacketFault),
    #[error(transparent)]
    Signature(#[from] SignatureFault),
    #[error("the trusted certificate cannot be used")]
    Certificate,
    #[error("the signer's certificate is not the one given with --trust, nor was it issued under that")]
    NotTrusted,
    #[error("this is an acknowledgement: it can only be verified with the packet it answers")]
    Signal,
}

fn judge(octets: &[u8], trusted: &[u8], now: Timestamp) -> Result<Verified, Unverified> {
    let packet = Packet::from_file(octets)?;
    let Received::Business(message) =
        open(&packet.content_type, &packet.body, Strictness::Strict, &limits()).map_err(PacketFault::from)?
    else {
        return Err(Unverified::Signal);
    };
    let under = |pins: Pins| message.verify(&Terms { pins: &pins, now, leniency: Leniency::default() });
    let pinned = Pins::certificate(trusted.to_vec()).map_err(|_| Unverified::Certificate)?;
    let judged = match under(pinned) {
        // Not the signer's own certificate: perhaps that of who issued it.
        Err(SignatureFault::NotPinned) => match offered_subject(&packet) {
            Some(subject) => {
                let issuer = Pin::Issuer { certificate: trusted.to_vec(), subject };
                under(Pins::new(vec![issuer]).map_err(|_| Unverified::Certificate)?)
            }
            None => Err(SignatureFault::NotPinned),
        },
        judged => judged,
    };
    judged.map_err(|fault| match fault {
        SignatureFault::NotPinned => Unverified::NotTrusted,
        other => other.into(),
    })
}

/// The subject of the certificate the signature carries, unjudged.
fn offered_subject(packet: &Packet) -> Option<String> {
    let parts = mime::read(&packet.content_type, &packet.body, Strictness::Strict, &limits()).ok()?;
    let envelope = Document::parse(&parts.first()?.body, &XmlLimits::envelope()).ok()?;
    let carried = envelope.root().descendants().find(|e| e.is(DS, "X509Certificate"))?.text();
    let text: String = carried.split_ascii_whitespace().collect();
    Pin::subject_of(&STANDARD.decode(text).ok()?)
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, &format!("{} {}", self.action, self.message_id))?;
        labelled(f, "  from", 16, self.from.as_str())?;
        labelled(f, "  to", 16, &format!("{} (contract {})", self.to, self.cpa_id))?;
        labelled(f, "  conversation", 16, &self.conversation.to_string())?;
        labelled(f, "  stamped", 16, &self.timestamp.to_ebxml())?;
        if let Some(end) = self.time_to_live {
            labelled(f, "  valid until", 16, &end.to_ebxml())?;
        }
        labelled(f, "  size", 16, &bytes(self.bytes))?;
        labelled(f, "  signature", 16, if self.signed { "present; see packet verify" } else { "none" })?;
        writeln!(f)?;
        let row =
            |part: &ShownPart| vec![bytes(part.bytes), part.content_type.clone(), part.content_id.clone()];
        table(f, &["SIZE", "TYPE", "CONTENT-ID"], &self.parts.iter().map(row).collect::<Vec<_>>())?;
        if self.elsewhere > 0 {
            writeln!(f, "{} more travel in messages of their own.", self.elsewhere)?;
        }
        match &self.verify_with {
            // A command is never wrapped: it is there to be copied.
            Some(line) => writeln!(f, "\n{line}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.reason {
            alarm(f, "NOT VERIFIED")?;
            return paragraph(f, 2, reason);
        }
        heading(f, "Verified: signature, coverage and digests hold.")?;
        if let Some(subject) = &self.subject {
            labelled(f, "  signer", 12, subject)?;
        }
        if let Some(signer) = &self.signer {
            labelled(f, "  SHA-256", 12, signer)?;
        }
        for uri in &self.covers {
            labelled(f, "  covers", 12, if uri.is_empty() { "the envelope" } else { uri })?;
        }
        Ok(())
    }
}
