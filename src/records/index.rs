//! Which record of the folder is whose: for a practice that asks for a patient by number alone.
//!
//! Holds no number, only digests of them, and reads a file again only when its size or time has changed.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use uuid::Uuid;

use super::folder::{RecordFault, RecordFolder, RecordRef};
use crate::model::{NhsNumber, derived_uuid};

/// Files looked at in one folder.
const MOST: usize = 200_000;
/// The identifier that is the patient's number.
const NHS_NUMBER: &str = "https://fhir.nhs.uk/Id/nhs-number";

/// What is known of each file.
#[derive(Debug, Default)]
pub(super) struct Index(Mutex<HashMap<String, Seen>>);

/// By what a file is seen to have changed: its size, and when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    bytes: i64,
    seconds: i64,
    nanoseconds: i64,
}

/// A file when it was last read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    state: State,
    /// Whose record it is, as a digest; none where it could not be read as one.
    patient: Option<Uuid>,
}

impl RecordFolder {
    /// The one record of this patient. Looks at every file that changed since it was last asked: blocking.
    pub fn find(&self, number: &NhsNumber) -> Result<RecordRef, RecordFault> {
        let wanted = digest(&number.reveal());
        let names = names(self.folder())?;
        let mut known = self.index().0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| names.contains_key(name));
        let mut found = None;
        for (name, state) in names {
            let fresh = known.get(&name).filter(|seen| seen.state == state);
            let patient = match fresh {
                Some(seen) => seen.patient,
                None => {
                    let patient = self.patient(&name);
                    known.insert(name.clone(), Seen { state, patient });
                    patient
                }
            };
            if patient == Some(wanted) && found.replace(name).is_some() {
                return Err(RecordFault::Several);
            }
        }
        RecordRef::parse(&found.ok_or(RecordFault::NotFound)?)
    }

    /// Whose record a file is. One that cannot be read is nobody's until it changes.
    fn patient(&self, name: &str) -> Option<Uuid> {
        let text = self.fetch(&RecordRef::parse(name).ok()?).ok()?;
        let bundle: Bundle<'_> = serde_json::from_slice(&text).ok()?;
        let mut patients = bundle.entry.iter().filter_map(|entry| entry.resource.as_ref());
        let patient = patients.find(|resource| resource.resource_type.as_deref() == Some("Patient"))?;
        let number = patient.identifier.iter().find(|id| id.system.as_deref() == Some(NHS_NUMBER))?;
        let number = NhsNumber::parse(number.value.as_deref()?).ok()?;
        Some(digest(&number.reveal()))
    }
}

fn digest(number: &str) -> Uuid {
    derived_uuid(&["patient", number])
}

/// The records of the folder, without their ending, with size and time of change.
fn names(folder: &OwnedFd) -> Result<HashMap<String, State>, RecordFault> {
    let unreadable =
        |errno: rustix::io::Errno| RecordFault::Unreadable(std::io::Error::from(errno).kind().to_string());
    let mut names = HashMap::new();
    for entry in rustix::fs::Dir::read_from(folder).map_err(unreadable)?.take(MOST) {
        let entry = entry.map_err(unreadable)?;
        let Some(name) = entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(".json")) else {
            continue;
        };
        if RecordRef::parse(name).is_err() {
            continue;
        }
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let Ok(stat) = rustix::fs::statat(folder, entry.file_name(), flags) else { continue };
        let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        let state = State { bytes: stat.st_size, seconds: stat.st_mtime, nanoseconds };
        names.insert(name.to_owned(), state);
    }
    Ok(names)
}

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(borrow, default)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    resource: Option<Resource<'a>>,
}

#[derive(Deserialize)]
struct Resource<'a> {
    #[serde(rename = "resourceType", borrow)]
    resource_type: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "lenient")]
    identifier: Vec<Identifier<'a>>,
}

#[derive(Deserialize)]
struct Identifier<'a> {
    #[serde(borrow)]
    system: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<std::borrow::Cow<'a, str>>,
}

/// Of other resources the identifier may be one and not a list: it is of no interest then.
fn lenient<'de: 'a, 'a, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Identifier<'a>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<'a> {
        #[serde(borrow)]
        List(Vec<Identifier<'a>>),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Either::deserialize(from)? {
        Either::List(list) => list,
        Either::Other(_) => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::FolderLimits;
    use super::*;

    fn bundle(number: &str) -> String {
        format!(
            r#"{{"resourceType":"Bundle","entry":[{{"resource":{{"resourceType":"Claim","identifier":{{"value":"x"}}}}}},
            {{"resource":{{"resourceType":"Patient","identifier":[{{"system":"{NHS_NUMBER}","value":"{number}"}}]}}}}]}}"#
        )
    }

    #[test]
    fn a_patient_is_found_by_number_and_only_while_there_is_one_record() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let records = RecordFolder::open(folder.path(), FolderLimits::default()).unwrap();
        let number = NhsNumber::parse("9990000018").unwrap();
        assert_eq!(records.find(&number), Err(RecordFault::NotFound), "06 is told");
        write("broken.json", "{");
        write("other.json", &bundle("9990000026"));
        write("one.json", &bundle("999 000 0018"));
        write("one.txt", &bundle("9990000018"));
        assert_eq!(records.find(&number), RecordRef::parse("one"), "blanks in a number are passed over");
        write("two.json", &bundle("9990000018"));
        assert_eq!(records.find(&number), Err(RecordFault::Several), "nobody guesses which");
        fs::remove_file(folder.path().join("one.json")).unwrap();
        assert_eq!(records.find(&number), RecordRef::parse("two"));
        assert!(!format!("{records:?}").contains("9990000018"), "no number is kept");
    }
}
