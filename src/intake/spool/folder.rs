//! What is done to files: opened without following links, written whole or not at all, moved with their reason.
//!
//! All of it blocks; the callers see to it that no asynchronous worker does.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::intake::contract::MOST_BYTES;
use crate::packet::fingerprint::Fingerprint;

/// No more names are held at once: the rest is found at the next look.
const MOST_NAMES: usize = 65_536;

/// Files of ours in `tmp/`. One that a crash left there is written over when its content is written again.
const OURS: &str = ".throughcare-";

/// The longest name kept as it is, in bytes.
const LONGEST_NAME: usize = 200;

/// The folders of a spool.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

/// What a name in `new/` turned out to be.
pub enum Found {
    /// A file small enough to be an event.
    Event(Vec<u8>),
    /// Nothing that can be an event, with the reason.
    Unfit(&'static str),
    /// Taken away meanwhile.
    Gone,
}

impl Folder {
    /// The folders, made where they are missing.
    pub fn lay(root: &Path) -> io::Result<Self> {
        let folder = Self { root: root.to_owned() };
        for name in ["tmp", "new", "bad", "out"] {
            if !folder.at(name).is_dir() {
                fs::create_dir_all(folder.at(name))?;
                sync_folder(root)?;
            }
        }
        Ok(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The names in `new/`, in order. Hidden ones are passed over.
    pub fn waiting(&self) -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at("new"))?.take(MOST_NAMES) {
            let name = entry?.file_name();
            if !name.as_encoded_bytes().starts_with(b".") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a name in `new/` without following a link and without waiting for a pipe, and reads it if it is a small
    /// file.
    pub fn open(&self, name: &OsStr) -> io::Result<Found> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(self.at("new").join(name), flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(rustix::io::Errno::NOENT) => return Ok(Found::Gone),
            Err(rustix::io::Errno::LOOP) => return Ok(Found::Unfit("is a symbolic link")),
            Err(rustix::io::Errno::NXIO) => return Ok(Found::Unfit("is no plain file")),
            Err(rustix::io::Errno::ACCESS) => return Ok(Found::Unfit("may not be read by this service")),
            Err(errno) => return Err(errno.into()),
        };
        if !file.metadata()?.is_file() {
            return Ok(Found::Unfit("is no plain file"));
        }
        let mut body = Vec::new();
        let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
        file.take(most + 1).read_to_end(&mut body)?;
        Ok(if body.len() > MOST_BYTES {
            Found::Unfit("is larger than 65,536 bytes")
        } else {
            Found::Event(body)
        })
    }

    /// Removes a name from `new/`. Not synced: a file that comes back after a power cut is a duplicate, which the engine
    /// knows.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        match fs::remove_file(self.at("new").join(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Moves a name from `new/` to `bad/`, with the reason beside it: the reason first, so that no bad file is ever
    /// without one.
    pub fn condemn(&self, name: &OsStr, reason: &str) -> io::Result<()> {
        let bad = self.at("bad");
        let kept = free_name(&bad, &short(name))?;
        let mut beside = kept.clone();
        beside.push(".reason");
        self.write("bad", &beside, format!("{reason}\n").as_bytes())?;
        fs::rename(self.at("new").join(name), bad.join(&kept))?;
        sync_folder(&bad)
    }

    /// Writes a file of `folder` whole or not at all. The name is durable after [`Folder::sync`] only.
    pub fn write(&self, folder: &str, name: &OsStr, body: &[u8]) -> io::Result<()> {
        self.write_all(folder, &[(name.to_owned(), body.to_owned())])
    }

    /// Writes files of `folder`, each whole or not at all, with one sync for all of them. Their names are durable after
    /// [`Folder::sync`] only.
    pub fn write_all(&self, folder: &str, files: &[(OsString, Vec<u8>)]) -> io::Result<()> {
        let written = self.write_and_place(folder, files);
        if written.is_err() {
            // A full disk is not made fuller; what cannot be removed is written over at the next try.
            files.iter().for_each(|(name, _)| drop(fs::remove_file(self.hidden(name))));
        }
        written
    }

    fn write_and_place(&self, folder: &str, files: &[(OsString, Vec<u8>)]) -> io::Result<()> {
        // Opened first: errors in writing back are told to those who had it open.
        let file_system = File::open(self.at("tmp"))?;
        for (name, body) in files {
            fs::write(self.hidden(name), body)?;
        }
        rustix::fs::syncfs(&file_system)?;
        for (name, _) in files {
            fs::rename(self.hidden(name), self.at(folder).join(name))?;
        }
        Ok(())
    }

    fn hidden(&self, name: &OsStr) -> PathBuf {
        let mut hidden = OsString::from(OURS);
        hidden.push(name);
        self.at("tmp").join(hidden)
    }

    /// Makes the names of `folder` durable.
    pub fn sync(&self, folder: &str) -> io::Result<()> {
        sync_folder(&self.at(folder))
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A name that leaves room for ours around it: a file's name has at most 255 bytes.
fn short(name: &OsStr) -> OsString {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let digest = Fingerprint::of(name.as_encoded_bytes()).to_string();
    OsString::from(format!("{}~{digest}", &name.to_string_lossy().chars().take(40).collect::<String>()))
}

/// `name`, or `name~1`, … so that a bad file never replaces another.
fn free_name(folder: &Path, name: &OsStr) -> io::Result<OsString> {
    for n in 0..10_000 {
        let mut candidate = name.to_owned();
        if n > 0 {
            candidate.push(format!("~{n}"));
        }
        if fs::symlink_metadata(folder.join(&candidate)).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            return Ok(candidate);
        }
    }
    Err(io::Error::other("ten thousand bad files of one name"))
}
