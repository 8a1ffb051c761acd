//! Fetches a record and its attachments from a folder: `<dir>/<record_ref>.json`, attachments in
//! `<dir>/<record_ref>/`.
//!
//! Every file is opened beneath the folder without following a link, so neither `..` nor a link leads elsewhere
//! (openat2, kernel 5.6). Files are read only; the folder belongs to the clinical system.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::index::Index;
use super::sniff::FileType;
use crate::transfer::reason::PrepareFault;

/// The name an event gives a record: 1 to 128 of `A-Z a-z 0-9 . _ -`, not beginning with a dot.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordRef(String);

impl RecordRef {
    /// Checks and takes the name.
    pub fn parse(text: &str) -> Result<Self, RecordFault> {
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(safe) && !text.starts_with('.');
        if fits { Ok(Self(text.to_owned())) } else { Err(RecordFault::BadName) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RecordRef {
    /// Whoever publishes events chooses these names: they are kept out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordRef(…)")
    }
}

impl TryFrom<String> for RecordRef {
    type Error = RecordFault;

    fn try_from(text: String) -> Result<Self, RecordFault> {
        Self::parse(&text)
    }
}

impl From<RecordRef> for String {
    fn from(name: RecordRef) -> String {
        name.0
    }
}

/// Why a record or an attachment could not be fetched. No variant repeats a name or content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordFault {
    /// The name could stand for something outside the folder, or for nothing.
    #[error("the name is not 1 to 128 letters, digits, dots, underscores and hyphens without a leading dot")]
    BadName,
    /// Nothing there (yet).
    #[error("the file is not there")]
    NotFound,
    /// There, but the system would not let us read it.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    /// The way to it leads through `..` or a link.
    #[error("the way to the file leads out of its folder or through a link")]
    Escapes,
    /// A folder, a pipe, a device.
    #[error("it is not an ordinary file")]
    NotAFile,
    /// Larger than the settings allow.
    #[error("the file has {bytes} octets, {limit} is the limit")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Not JSON from beginning to end.
    #[error("the record is not JSON (line {line}, column {column})")]
    NotJson {
        /// Where reading stopped.
        line: usize,
        /// Where in that line.
        column: usize,
    },
    /// JSON, but not a FHIR Bundle.
    #[error("the record is not a FHIR Bundle")]
    NotABundle,
    /// More than one record is of the patient that was asked for.
    #[error("more than one record is of the same patient")]
    Several,
}

impl RecordFault {
    /// Whether the same fetch may succeed later without a person mending something.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotFound | Self::Unreadable(_) => true,
            Self::BadName
            | Self::Escapes
            | Self::NotAFile
            | Self::TooLarge { .. }
            | Self::NotJson { .. }
            | Self::NotABundle
            | Self::Several => false,
        }
    }
}

impl From<&RecordFault> for PrepareFault {
    /// What a release says of a record that could not be fetched.
    fn from(fault: &RecordFault) -> Self {
        match fault {
            RecordFault::NotFound => Self::RecordMissing,
            RecordFault::Several => Self::RecordAmbiguous,
            RecordFault::Unreadable(_) => Self::RecordUnreadable,
            RecordFault::BadName | RecordFault::Escapes | RecordFault::NotAFile => Self::RecordNameUnsafe,
            RecordFault::TooLarge { .. } => Self::RecordTooLarge,
            RecordFault::NotJson { .. } | RecordFault::NotABundle => Self::RecordMalformed,
        }
    }
}

/// How large a file may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderLimits {
    /// A record, in octets. The largest whole record known nationally is 929 MB with its attachments; as text
    /// alone none comes near this.
    pub record_bytes: u64,
    /// One attachment, in octets: 676 MB have been seen (gp2gp reference §4.5), and a receiver joins no more than 1 GiB.
    pub attachment_bytes: u64,
}

impl Default for FolderLimits {
    fn default() -> Self {
        Self { record_bytes: 100_000_000, attachment_bytes: 1 << 30 }
    }
}

/// The folder the clinical system writes records to.
#[derive(Debug)]
pub struct RecordFolder {
    folder: OwnedFd,
    limits: FolderLimits,
    index: Index,
}

/// An attachment, opened and looked at, not yet read.
#[derive(Debug)]
pub struct Attachment {
    /// Its size in octets.
    pub bytes: u64,
    /// Whether it is what its record says it is.
    pub claim: TypeClaim,
    file: File,
}

/// What a record says of an attachment's type, against what the first octets say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeClaim {
    /// It is what it is said to be, or nothing shows otherwise.
    Holds {
        /// The declared type.
        declared: String,
    },
    /// It is something else: it travels as `application/octet-stream` with its true type in the description
    /// (extract reference §8.8, LM29).
    Lies {
        /// The declared type.
        declared: String,
        /// What the content shows.
        truly: FileType,
    },
    /// The declared type is no media type at all: treated alike.
    Malformed {
        /// What the content shows.
        truly: FileType,
    },
}

impl TypeClaim {
    fn of(declared: &str, truly: FileType) -> Self {
        let declared = declared.trim().to_ascii_lowercase();
        match declared.split(';').next().map(str::trim) {
            Some(essence) if is_media_type(essence) && truly.agrees_with(essence) => {
                Self::Holds { declared: essence.to_owned() }
            }
            Some(essence) if is_media_type(essence) => Self::Lies { declared: essence.to_owned(), truly },
            Some(_) | None => Self::Malformed { truly },
        }
    }

    /// The Content-Type to send it under.
    pub fn content_type(&self) -> &str {
        match self {
            Self::Holds { declared } => declared,
            Self::Lies { .. } | Self::Malformed { .. } => "application/octet-stream",
        }
    }

    /// The type the content shows, where that is not what it is sent under: for the description.
    pub fn true_type(&self) -> Option<&'static str> {
        match self {
            Self::Holds { .. } => None,
            Self::Lies { truly, .. } | Self::Malformed { truly } => Some(truly.media_type()),
        }
    }
}

/// `type/subtype`, each of the characters RFC 6838 allows.
fn is_media_type(text: &str) -> bool {
    let token = |t: &str| {
        (1..=127).contains(&t.len())
            && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
            && t.as_bytes()[0].is_ascii_alphanumeric()
    };
    text.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
}

impl Attachment {
    /// The whole content.
    pub fn read(self) -> Result<Vec<u8>, RecordFault> {
        read_whole(self.file, self.bytes)
    }

    /// The content as a stream, from its beginning.
    pub fn into_reader(self) -> impl Read {
        self.file.take(self.bytes)
    }
}

impl RecordFolder {
    /// Opens the folder; what is in it is looked at when asked for.
    pub fn open(path: &Path, limits: FolderLimits) -> Result<Self, RecordFault> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(fault)?;
        Ok(Self { folder, limits, index: Index::default() })
    }

    pub(super) fn folder(&self) -> &OwnedFd {
        &self.folder
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The record's text: JSON, a Bundle, within the limit.
    pub fn fetch(&self, record: &RecordRef) -> Result<Vec<u8>, RecordFault> {
        let (file, bytes) =
            self.open_beneath(Path::new(&format!("{}.json", record.0)), self.limits.record_bytes)?;
        let text = read_whole(file, bytes)?;
        check_bundle(&text)?;
        Ok(text)
    }

    /// An attachment of the record, by the last segment of its URL or by its Binary id, declared to be of
    /// `declared` type.
    pub fn attachment(
        &self,
        record: &RecordRef,
        address: &str,
        declared: &str,
    ) -> Result<Attachment, RecordFault> {
        let path = PathBuf::from(record.as_str()).join(last_segment(address)?);
        let (mut file, bytes) = self.open_beneath(&path, self.limits.attachment_bytes)?;
        let truly = sniff(&mut file).map_err(|e| RecordFault::Unreadable(e.kind().to_string()))?;
        Ok(Attachment { bytes, claim: TypeClaim::of(declared, truly), file })
    }

    fn open_beneath(&self, path: &Path, limit: u64) -> Result<(File, u64), RecordFault> {
        // NONBLOCK: a pipe left in the folder must not hold us up.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let opened = rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), resolve);
        let file = File::from(opened.map_err(fault)?);
        let metadata = file.metadata().map_err(|e| RecordFault::Unreadable(e.kind().to_string()))?;
        if !metadata.is_file() {
            return Err(RecordFault::NotAFile);
        }
        let bytes = metadata.len();
        if bytes > limit { Err(RecordFault::TooLarge { bytes, limit }) } else { Ok((file, bytes)) }
    }
}

fn fault(errno: Errno) -> RecordFault {
    match errno {
        Errno::NOENT | Errno::NOTDIR => RecordFault::NotFound,
        Errno::LOOP | Errno::XDEV => RecordFault::Escapes,
        Errno::NXIO => RecordFault::NotAFile,
        Errno::NAMETOOLONG => RecordFault::BadName,
        other => RecordFault::Unreadable(std::io::Error::from(other).kind().to_string()),
    }
}

/// Reads what the size promised; a file growing meanwhile is cut there and one shrinking is unreadable.
fn read_whole(file: File, bytes: u64) -> Result<Vec<u8>, RecordFault> {
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    file.take(bytes).read_to_end(&mut content).map_err(|e| RecordFault::Unreadable(e.kind().to_string()))?;
    if content.len() as u64 != bytes {
        return Err(RecordFault::Unreadable("it changed while it was read".to_owned()));
    }
    Ok(content)
}

fn sniff(file: &mut File) -> std::io::Result<FileType> {
    use std::io::Seek;
    let mut head = Vec::with_capacity(FileType::LOOKS_AT);
    (&mut *file).take(FileType::LOOKS_AT as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(FileType::of(&head))
}

/// Whole and well-formed JSON with `resourceType` Bundle at its top; nothing of it is kept.
fn check_bundle(text: &[u8]) -> Result<(), RecordFault> {
    #[derive(Deserialize)]
    struct Top<'a> {
        #[serde(rename = "resourceType", borrow)]
        resource_type: Option<std::borrow::Cow<'a, str>>,
    }
    // Well-formedness first, so that "not JSON" and "JSON of another shape" are told apart.
    serde_json::from_slice::<serde::de::IgnoredAny>(text)
        .map_err(|e| RecordFault::NotJson { line: e.line(), column: e.column() })?;
    match serde_json::from_slice::<Top<'_>>(text) {
        Ok(Top { resource_type: Some(kind) }) if kind == "Bundle" => Ok(()),
        Ok(_) | Err(_) => Err(RecordFault::NotABundle),
    }
}

/// The file name an attachment's address ends in. `..` anywhere in it, plain or percent-encoded, is an attempt to
/// leave, even where the last segment alone would not.
fn last_segment(address: &str) -> Result<String, RecordFault> {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    let decoded: Option<Vec<String>> = address.split('/').map(percent_decoded).collect();
    let segments = decoded.ok_or(RecordFault::BadName)?;
    if segments.iter().any(|s| s == ".." || s.contains('/')) {
        return Err(RecordFault::Escapes);
    }
    let name = segments.into_iter().next_back().unwrap_or_default();
    let fits =
        (1..=255).contains(&name.len()) && !name.starts_with('.') && !name.chars().any(char::is_control);
    if fits { Ok(name) } else { Err(RecordFault::BadName) }
}

fn percent_decoded(segment: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
            octets.push((digit()? * 16 + digit()?) as u8);
        } else {
            octets.push(byte);
        }
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_ends_in_a_file_name() {
        let good = [
            ("file://localhost/0FA498E2_Test%20letter.txt", "0FA498E2_Test letter.txt"),
            ("https://ehr.example/fhir/Binary/07a6483f?_format=json", "07a6483f"),
            ("Binary/07a6483f", "07a6483f"),
            ("07a6483f", "07a6483f"),
        ];
        for (address, name) in good {
            assert_eq!(last_segment(address).as_deref(), Ok(name));
        }
        let escaping = ["../secret", "a/../../secret", "a/%2e%2e/secret", "x%2Fy", "..", "%2E%2e"];
        for address in escaping {
            assert_eq!(last_segment(address), Err(RecordFault::Escapes), "{address} tries to leave");
        }
        for address in ["", "folder/", ".hidden", "a%00b", "%zz", "%ff"] {
            assert_eq!(last_segment(address), Err(RecordFault::BadName), "{address:?} names nothing");
        }
    }

    #[test]
    fn a_record_name_is_safe_as_a_file_name() {
        assert!(RecordRef::parse("stay-17.v2_A").is_ok());
        for bad in ["", ".", "..", ".x", "a/b", "a b", "ä", "a\0b", &"x".repeat(129)] {
            assert_eq!(RecordRef::parse(bad), Err(RecordFault::BadName), "{bad:?}");
        }
    }

    #[test]
    fn a_media_type_is_two_tokens() {
        assert!(is_media_type("application/vnd.ms-word+x"));
        for bad in ["pdf", "application/", "/pdf", "application/pdf x", "a/b/c", ""] {
            assert!(!is_media_type(bad), "{bad:?}");
        }
    }
}
