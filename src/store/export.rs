//! The whole store as JSON lines, and back: a header, one line a record, a trailer with count and digest so that a
//! truncated file is noticed.
//!
//! Sealed packet files are not in it; they are copied as files.

use std::io::{BufRead, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::store::{Changes, Options, Store, StoreError, Table};

const FORMAT: &str = "throughcare-store-1";
/// Longest line taken: the largest record we write, many times over.
const LONGEST_LINE: usize = 16 << 20;
/// Records imported in one commit.
const BATCH: usize = 1000;

/// One line as written: which fields it has says what it is. A record's value is readable where it is ours, a version
/// and JSON; `bytes` is base64. (An untagged enum would be the obvious form, but raw JSON cannot be read through one.)
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

/// One line as understood.
enum Meaning {
    Header { format: String },
    Record { table: String, key: String, value: Value },
    Trailer { records: u64, sha256: String },
}

enum Value {
    Versioned { version: u8, json: Box<RawValue> },
    Bytes(String),
}

impl Line {
    fn meaning(self) -> Option<Meaning> {
        let Self { format, table, key, version, json, bytes, records, sha256 } = self;
        let value = match (version, json, bytes) {
            (None, None, None) => None,
            (Some(version), Some(json), None) => Some(Value::Versioned { version, json }),
            (None, None, Some(bytes)) => Some(Value::Bytes(bytes)),
            _ => return None,
        };
        match (format, table, key, value, records, sha256) {
            (Some(format), None, None, None, None, None) => Some(Meaning::Header { format }),
            (None, Some(table), Some(key), Some(value), None, None) => {
                Some(Meaning::Record { table, key, value })
            }
            (None, None, None, None, Some(records), Some(sha256)) => {
                Some(Meaning::Trailer { records, sha256 })
            }
            _ => None,
        }
    }
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output could not be written.
    #[error("the export could not be written")]
    Output(#[from] std::io::Error),
    /// A line could not be made.
    #[error("a record could not be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// Why an import was refused. Nothing is kept of a refused import.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The input could not be read.
    #[error("line {line} of the export could not be read")]
    Input {
        /// Which, from 1.
        line: u64,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("line {line} of the export is malformed: {what}")]
    Malformed {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The file ends before its trailer, or the trailer does not fit.
    #[error("the export is incomplete or was changed: {0}")]
    Incomplete(&'static str),
    /// There is a store already.
    #[error("there is a store in the target folder already; import into an empty folder")]
    NotEmpty,
}

/// Writes the whole store as it is at this moment, whatever is committed meanwhile. Returns how many records there were.
pub fn export(store: &Store, out: &mut impl Write) -> Result<u64, ExportError> {
    let mut digest = Context::new(&SHA256);
    let mut records = 0;
    let mut write = |line: &Line, digest: Option<&mut Context>| -> Result<(), ExportError> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        digest.into_iter().for_each(|d| d.update(&bytes));
        Ok(out.write_all(&bytes)?)
    };
    write(&Line { format: Some(FORMAT.to_owned()), ..Line::default() }, Some(&mut digest))?;
    for row in store.snapshot()? {
        let (table, key, value) = row?;
        let line = Line {
            table: Some(table.name().to_owned()),
            key: Some(STANDARD.encode(key)),
            ..readable(&value)
        };
        write(&line, Some(&mut digest))?;
        records += 1;
    }
    let sha256 = STANDARD.encode(digest.finish());
    write(&Line { records: Some(records), sha256: Some(sha256), ..Line::default() }, None)?;
    out.flush()?;
    Ok(records)
}

fn readable(value: &[u8]) -> Line {
    if let Some((version, json)) = value.split_first()
        && let Ok(text) = std::str::from_utf8(json)
        && let Ok(json) = RawValue::from_string(text.to_owned())
        && json.get() == text
    {
        return Line { version: Some(*version), json: Some(json), ..Line::default() };
    }
    Line { bytes: Some(STANDARD.encode(value)), ..Line::default() }
}

/// Reads an export into a new store at `folder`, which must be empty or absent. The store appears only once the whole
/// file was read and its digest holds.
pub fn import(input: &mut impl BufRead, folder: &Path) -> Result<u64, ImportError> {
    let at = |source| StoreError::Folder { folder: folder.to_owned(), source };
    if folder.exists() {
        let empty = std::fs::read_dir(folder).map_err(at)?.next().is_none();
        if !empty {
            return Err(ImportError::NotEmpty);
        }
        std::fs::remove_dir(folder).map_err(at)?;
    }
    let staging = folder.with_extension("importing");
    if staging.exists() {
        std::fs::remove_dir_all(&staging).map_err(at)?;
    }
    let read = fill(input, &staging);
    match read {
        Ok(records) => {
            std::fs::rename(&staging, folder).map_err(at)?;
            if let Some(parent) = folder.canonicalize().map_err(at)?.parent() {
                std::fs::File::open(parent).and_then(|f| f.sync_all()).map_err(at)?;
            }
            Ok(records)
        }
        Err(error) => {
            std::fs::remove_dir_all(&staging).map_err(at)?;
            Err(error)
        }
    }
}

/// Fills a new store, and opens it once more as its user will: its own records may say that we cannot.
fn fill(input: &mut impl BufRead, staging: &Path) -> Result<u64, ImportError> {
    let store = Store::open(staging, &Options::default())?;
    let records = read_all(input, &store)?;
    drop(store);
    Store::open(staging, &Options::default())?;
    Ok(records)
}

fn read_all(input: &mut impl BufRead, store: &Store) -> Result<u64, ImportError> {
    let mut digest = Context::new(&SHA256);
    let mut changes = Changes::default();
    let (mut number, mut records) = (0, 0);
    loop {
        let bytes = next_line(input, number + 1)?;
        number += 1;
        if bytes.is_empty() {
            return Err(ImportError::Incomplete("it ends without its last line"));
        }
        let malformed = |what| ImportError::Malformed { line: number, what };
        let line = serde_json::from_slice::<Line>(&bytes).ok().and_then(Line::meaning);
        match line.ok_or_else(|| malformed("not a line of an export"))? {
            Meaning::Header { format } if number == 1 && format == FORMAT => digest.update(&bytes),
            Meaning::Header { .. } => return Err(malformed("an unknown format, or a header in the middle")),
            Meaning::Record { .. } if number == 1 => return Err(malformed("there is no header")),
            Meaning::Record { table, key, value } => {
                digest.update(&bytes);
                let table = Table::named(&table).ok_or_else(|| malformed("an unknown table"))?;
                let key = STANDARD.decode(key).map_err(|_| malformed("a key that is not base64"))?;
                let value = stored(value).ok_or_else(|| malformed("a value that is not base64"))?;
                changes.put(table, &key, value);
                records += 1;
                if changes.len() >= BATCH {
                    store.commit(std::mem::take(&mut changes))?;
                }
            }
            Meaning::Trailer { records: claimed, sha256 } => {
                if claimed != records {
                    return Err(ImportError::Incomplete("records are missing"));
                }
                if sha256 != STANDARD.encode(digest.finish()) {
                    return Err(ImportError::Incomplete("the digest does not fit"));
                }
                if !next_line(input, number + 1)?.is_empty() {
                    return Err(ImportError::Malformed {
                        line: number + 1,
                        what: "something follows the last line",
                    });
                }
                store.commit(changes)?;
                return Ok(records);
            }
        }
    }
}

fn next_line(input: &mut impl BufRead, line: u64) -> Result<Vec<u8>, ImportError> {
    let mut bytes = Vec::new();
    let mut limited = std::io::Read::take(input, LONGEST_LINE as u64);
    limited.read_until(b'\n', &mut bytes).map_err(|source| ImportError::Input { line, source })?;
    if bytes.len() >= LONGEST_LINE {
        return Err(ImportError::Malformed { line, what: "a line that is too long" });
    }
    Ok(bytes)
}

fn stored(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::Versioned { version, json } => Some([&[version], json.get().as_bytes()].concat()),
        Value::Bytes(text) => STANDARD.decode(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(folder: &Path) -> Vec<u8> {
        let store = Store::open(folder, &Options::default()).unwrap();
        let mut changes = Changes::default();
        for n in 0u32..2500 {
            changes.put(
                Table::Transfer,
                &n.to_be_bytes(),
                [b"\x01{\"n\":", n.to_string().as_bytes(), b"}"].concat(),
            );
        }
        changes.put(Table::Ledger, b"r", vec![0xff, 0xfe]);
        store.commit(changes).unwrap();
        let mut out = Vec::new();
        assert_eq!(export(&store, &mut out).unwrap(), 2502, "the format marker is a record too");
        out
    }

    #[test]
    fn an_import_gives_the_same_store() {
        let folder = tempfile::tempdir().unwrap();
        let out = filled(&folder.path().join("a"));
        import(&mut out.as_slice(), &folder.path().join("b")).unwrap();
        let again = Store::open(&folder.path().join("b"), &Options::default()).unwrap();
        let mut second = Vec::new();
        export(&again, &mut second).unwrap();
        assert_eq!(out, second);
    }

    #[test]
    fn an_error_names_the_line_and_a_later_format_is_not_swapped_in() {
        let folder = tempfile::tempdir().unwrap();
        let out = filled(&folder.path().join("a"));
        let target = folder.path().join("b");
        let mut lines: Vec<&[u8]> = out.split_inclusive(|b| *b == b'\n').collect();
        lines[41] = b"{\"table\":\"nonsense\",\"key\":\"AA==\",\"bytes\":\"\"}\n";
        let refused = import(&mut lines.concat().as_slice(), &target).unwrap_err();
        assert_eq!(refused.to_string(), "line 42 of the export is malformed: an unknown table");

        let later = folder.path().join("later");
        {
            let store = Store::open(&later, &Options::default()).unwrap();
            let mut changes = Changes::default();
            changes.put(Table::Meta, b"format", b"2".to_vec());
            store.commit(changes).unwrap();
            let mut out = Vec::new();
            export(&store, &mut out).unwrap();
            let refused = import(&mut out.as_slice(), &target).unwrap_err();
            assert!(matches!(refused, ImportError::Store(StoreError::Format(_))), "{refused:?}");
        }
        assert!(!target.exists(), "or the service would not start");
    }

    #[test]
    fn a_truncated_or_changed_export_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let out = filled(&folder.path().join("a"));
        let target = folder.path().join("b");
        let cut = &out[..out.len() - 200];
        assert!(import(&mut &cut[..], &target).is_err());
        let changed = String::from_utf8(out.clone()).unwrap().replacen("\"n\":7}", "\"n\":8}", 1);
        assert!(matches!(import(&mut changed.as_bytes(), &target), Err(ImportError::Incomplete(_))));
        assert!(!target.exists() && !target.with_extension("importing").exists());
        let longer = [&out[..], b"{}\n"].concat();
        assert!(matches!(import(&mut longer.as_slice(), &target), Err(ImportError::Malformed { .. })));
        assert!(!target.exists(), "what follows the last line was not digested");
        import(&mut out.as_slice(), &target).unwrap();
        assert!(matches!(import(&mut out.as_slice(), &target), Err(ImportError::NotEmpty)));
    }
}
