//! Files a received record for the clinical system: one folder a transfer, whole or not there at all.
//!
//! `<dir>/<TransferId>/` holds `extract.xml`, the record read out of it as `record.json` with the `account.json` of its
//! statements, the attachments as `001.pdf`, `002.txt`, …, and `filed.json`, which says what each is. Nothing of the patient is in a file's name. Reading and showing it is the clinical system's.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::sniff::FileType;
use crate::extract::MissingDocument;
use crate::model::{ConversationId, OdsCode, Timestamp, TransferId};
use crate::packet::fingerprint::{Digesting, DigestingSha1, Fingerprint};
use crate::store::{Extent, GroupSync};

/// More files than the largest record known nationally has attachments (2,658; custody reference §11).
const MOST_ATTACHMENTS: usize = 10_000;

/// A whole received record.
pub struct ReceivedRecord<'a> {
    /// Whose transfer it is.
    pub transfer: TransferId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The organisation it came from.
    pub from: OdsCode,
    /// The establishment it is for.
    pub to: OdsCode,
    /// When its last part arrived.
    pub received_at: Timestamp,
    /// Its attachments, in the order of the manifest.
    pub attachments: Vec<ReceivedAttachment<'a>>,
    /// Its text, asked for once the attachments are written: it tells of each what it has.
    pub text: MakeText<'a>,
}

/// Makes the text of a record, told what was written of each attachment.
pub type MakeText<'a> = Box<dyn FnOnce(&[Written]) -> Text<'a> + 'a>;

/// What was written of one attachment.
pub struct Written {
    /// The name of its file.
    pub file: String,
    /// Its size in octets.
    pub bytes: u64,
    /// Its SHA-1 in base64, as FHIR has it.
    pub sha1: String,
}

/// The text of a received record.
pub struct Text<'a> {
    /// The extract, XML.
    pub extract: Cow<'a, [u8]>,
    /// The record in it, where it could be read.
    pub record: Option<ReadRecord>,
}

/// A record as it was read out of its extract.
pub struct ReadRecord {
    /// The FHIR Bundle.
    pub bundle: Vec<u8>,
    /// What became of each statement.
    pub account: Vec<u8>,
    /// Documents that it refers to and that were not sent with it.
    pub missing: Vec<MissingDocument>,
}

/// One attachment of a received record.
pub struct ReceivedAttachment<'a> {
    /// The identifier by which the extract refers to it.
    pub id: String,
    /// Its name as the sender gave it: written inside `filed.json` only.
    pub filename: String,
    /// Its true type.
    pub content_type: String,
    /// Its decoded content.
    pub content: Box<dyn Read + 'a>,
}

/// Where a record was filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filed {
    /// Now.
    New(PathBuf),
    /// Before, with the same content: nothing was changed.
    Already(PathBuf),
}

/// Why a record was not filed.
#[derive(Debug, thiserror::Error)]
pub enum FilingFault {
    /// The disk is full: worth another try once there is room.
    #[error("filing {transfer}: no room on the disk")]
    NoRoom {
        /// Which transfer.
        transfer: TransferId,
    },
    /// The system refused something.
    #[error("filing {transfer}: {doing}")]
    Io {
        /// Which transfer.
        transfer: TransferId,
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Something else is filed under this transfer: never overwritten.
    #[error("filing {transfer}: another record is filed under it already")]
    Conflict {
        /// Which transfer.
        transfer: TransferId,
    },
    /// More attachments than a record can have.
    #[error("filing {transfer}: {count} attachments, {MOST_ATTACHMENTS} is the limit")]
    TooMany {
        /// Which transfer.
        transfer: TransferId,
        /// How many.
        count: usize,
    },
}

impl FilingFault {
    /// Whether the same filing may succeed later without a person deciding something.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoRoom { .. } | Self::Io { .. } => true,
            Self::Conflict { .. } | Self::TooMany { .. } => false,
        }
    }
}

/// The folder the clinical system takes received records from.
#[derive(Debug, Clone)]
pub struct FilingFolder {
    folder: PathBuf,
    written: Arc<GroupSync>,
    named: Arc<GroupSync>,
}

/// `filed.json`.
#[derive(Serialize, Deserialize)]
struct FiledAs {
    transfer: TransferId,
    conversation: ConversationId,
    from: OdsCode,
    to: OdsCode,
    received_at: Timestamp,
    filed_at: Timestamp,
    extract: FileEntry,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<FileEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<FileEntry>,
    attachments: Vec<FileEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing>,
}

/// A document that was not sent.
#[derive(Serialize, Deserialize)]
struct Missing {
    id: String,
    filename: String,
}

impl From<&MissingDocument> for Missing {
    fn from(missing: &MissingDocument) -> Self {
        Self { id: missing.id.clone(), filename: missing.file_name.clone() }
    }
}

#[derive(Serialize, Deserialize, PartialEq)]
struct FileEntry {
    file: String,
    bytes: u64,
    sha256: Fingerprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
    content_type: String,
}

impl FilingFolder {
    /// The folder must be there already.
    pub fn open(folder: &Path) -> io::Result<Self> {
        if !fs::metadata(folder)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self {
            folder: folder.to_owned(),
            written: Arc::new(GroupSync::over(folder, Extent::FileSystem)?),
            named: Arc::new(GroupSync::over(folder, Extent::Folder)?),
        })
    }

    /// Files the record: written beside, synced, renamed into place, the folder synced; records filed at one time
    /// share their syncs. Filing the same record again changes nothing (hazard H6). Blocks.
    pub fn file(&self, record: ReceivedRecord<'_>, now: Timestamp) -> Result<Filed, FilingFault> {
        let transfer = record.transfer;
        if record.attachments.len() > MOST_ATTACHMENTS {
            return Err(FilingFault::TooMany { transfer, count: record.attachments.len() });
        }
        let place = self.folder.join(transfer.to_string());
        let beside = self.folder.join(format!(".filing-{transfer}"));
        let filed = step(transfer, "writing the files", || write(&beside, record, now))?;
        match step(transfer, "reading what is filed", || read_filed(&place))? {
            Some(before) => {
                let same = before.extract == filed.extract && before.attachments == filed.attachments;
                step(transfer, "removing the copy", || fs::remove_dir_all(&beside))?;
                if !same {
                    return Err(FilingFault::Conflict { transfer });
                }
                // Whoever put it there may have ended before its name was durable.
                step(transfer, "syncing the folder", || self.named.wait())?;
                Ok(Filed::Already(place))
            }
            None => {
                step(transfer, "syncing the files", || self.written.wait())?;
                step(transfer, "moving the folder into place", || {
                    fs::rename(&beside, &place)?;
                    self.named.wait()
                })?;
                Ok(Filed::New(place))
            }
        }
    }
}

fn step<T>(
    transfer: TransferId,
    doing: &'static str,
    act: impl FnOnce() -> io::Result<T>,
) -> Result<T, FilingFault> {
    act().map_err(|source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FilingFault::NoRoom { transfer },
        _ => FilingFault::Io { transfer, doing, source },
    })
}

fn write(beside: &Path, record: ReceivedRecord<'_>, now: Timestamp) -> io::Result<FiledAs> {
    // Left over from a crash: whatever is in it was never promised to anyone.
    match fs::remove_dir_all(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => fs::create_dir(beside)?,
    }
    let mut attachments = Vec::with_capacity(record.attachments.len());
    let mut written = Vec::with_capacity(record.attachments.len());
    for (index, mut attachment) in record.attachments.into_iter().enumerate() {
        let file = attachment_name(index, &attachment.content_type);
        let Copied { bytes, sha256, sha1 } = copy(beside, &file, &mut attachment.content)?;
        written.push(Written { file: file.clone(), bytes, sha1 });
        attachments.push(FileEntry {
            file,
            bytes,
            sha256,
            id: Some(attachment.id),
            filename: Some(attachment.filename),
            content_type: attachment.content_type,
        });
    }
    let text = (record.text)(&written);
    let extract = part(beside, "extract.xml", "application/xml", &mut &*text.extract)?;
    let read = text.record.as_ref();
    let bundle = read.map(|r| part(beside, "record.json", "application/fhir+json", &mut &*r.bundle));
    let account = read.map(|r| part(beside, "account.json", "application/json", &mut &*r.account));
    let filed = FiledAs {
        transfer: record.transfer,
        conversation: record.conversation,
        from: record.from,
        to: record.to,
        received_at: record.received_at,
        filed_at: now,
        extract,
        record: bundle.transpose()?,
        account: account.transpose()?,
        attachments,
        missing: read.map(|r| r.missing.iter().map(Missing::from).collect()).unwrap_or_default(),
    };
    let text = serde_json::to_vec_pretty(&filed).map_err(io::Error::from)?;
    copy(beside, "filed.json", &mut text.as_slice())?;
    Ok(filed)
}

/// The name under which an attachment is filed.
pub fn attachment_name(index: usize, content_type: &str) -> String {
    format!("{:03}.{}", index + 1, extension(content_type))
}

/// Writes one file that is no attachment.
fn part(folder: &Path, name: &str, content_type: &str, from: &mut dyn Read) -> io::Result<FileEntry> {
    let Copied { bytes, sha256, .. } = copy(folder, name, from)?;
    let (file, content_type) = (name.to_owned(), content_type.to_owned());
    Ok(FileEntry { file, bytes, sha256, id: None, filename: None, content_type })
}

/// What was copied.
struct Copied {
    bytes: u64,
    sha256: Fingerprint,
    sha1: String,
}

/// Copies in constant memory, digesting on the way.
fn copy(folder: &Path, name: &str, from: &mut dyn Read) -> io::Result<Copied> {
    let mut file = File::create_new(folder.join(name))?;
    let (mut sha256, mut sha1) = (Digesting::default(), DigestingSha1::default());
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        file.write_all(&buffer[..count])?;
        sha256.update(&buffer[..count]);
        sha1.update(&buffer[..count]);
        bytes += count as u64;
    }
    Ok(Copied { bytes, sha256: sha256.finish(), sha1: sha1.finish() })
}

fn read_filed(place: &Path) -> io::Result<Option<FiledAs>> {
    match fs::read(place.join("filed.json")) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file name's extension, from a closed list: a sender's own could say anything.
fn extension(content_type: &str) -> &'static str {
    const KNOWN: [(FileType, &str); 14] = [
        (FileType::Pdf, "pdf"),
        (FileType::Png, "png"),
        (FileType::Gif, "gif"),
        (FileType::Jpeg, "jpg"),
        (FileType::Tiff, "tif"),
        (FileType::Rtf, "rtf"),
        (FileType::OleDocument, "doc"),
        (FileType::Zip, "zip"),
        (FileType::Gzip, "gz"),
        (FileType::Mp3, "mp3"),
        (FileType::BasicAudio, "au"),
        (FileType::MpegVideo, "mpg"),
        (FileType::Html, "html"),
        (FileType::Xml, "xml"),
    ];
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "text/plain" => "txt",
        "text/xml" => "xml",
        other => KNOWN.iter().find(|(kind, _)| kind.media_type() == other).map_or("bin", |(_, ext)| ext),
    }
}
