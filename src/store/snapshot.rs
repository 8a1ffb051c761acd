//! The whole store as it was at one moment, while commits go on: what a commit changes is kept as it was until the
//! reader has passed it.
//!
//! Held in memory and gone with the process; one at a time.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::StoreError;
use crate::store::table::Table;

/// Rows read at once, while commits wait: a fraction of a millisecond.
const ROWS: usize = 256;
/// Bytes kept of what was changed meanwhile, above any load we know for the minute that an export takes.
const MOST_KEPT: usize = 256 << 20;

/// What commits must keep for a reader.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Option<Earlier>>);

#[derive(Debug, Default)]
struct Earlier {
    /// The last key the reader has passed.
    passed: Option<Vec<u8>>,
    /// Keys changed since, with their value at the moment of the snapshot.
    values: BTreeMap<Vec<u8>, Option<sled::IVec>>,
    bytes: usize,
}

impl Kept {
    /// Applies a batch; what it changes ahead of the reader is kept first. A reader sees all of a batch or nothing.
    pub(super) fn apply(
        &self,
        database: &sled::Db,
        writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    ) -> Result<(), sled::Error> {
        let mut kept = self.lock();
        if let Some(earlier) = kept.as_mut() {
            for (key, _) in &writes {
                earlier.keep(key, || database.get(key))?;
            }
        }
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        database.apply_batch(batch)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Earlier>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Earlier {
    fn keep(
        &mut self,
        key: &[u8],
        value: impl FnOnce() -> sled::Result<Option<sled::IVec>>,
    ) -> sled::Result<()> {
        let passed = self.passed.as_deref().is_some_and(|passed| key <= passed);
        // Once there is too much the reader is lost; it finds out by itself.
        if passed || self.bytes > MOST_KEPT || self.values.contains_key(key) {
            return Ok(());
        }
        let value = value()?;
        self.bytes += key.len() + value.as_ref().map_or(0, |v| v.len());
        self.values.insert(key.to_owned(), value);
        Ok(())
    }
}

/// Every row as it was when this was made, in the order of tables and keys.
pub struct Snapshot {
    database: sled::Db,
    kept: Arc<Kept>,
    ready: VecDeque<(Vec<u8>, sled::IVec)>,
    ended: bool,
}

impl Snapshot {
    /// As of now; none while there is another.
    pub(super) fn take(database: sled::Db, kept: Arc<Kept>) -> Option<Self> {
        {
            let mut slot = kept.lock();
            if slot.is_some() {
                return None;
            }
            *slot = Some(Earlier::default());
        }
        Some(Self { database, kept, ready: VecDeque::new(), ended: false })
    }

    /// Reads on: the rows as they are, but for those that changed meanwhile.
    fn read_on(&mut self) -> Result<(), StoreError> {
        let mut slot = self.kept.lock();
        let earlier = slot.as_mut().expect("it is there until this is dropped");
        if earlier.bytes > MOST_KEPT {
            return Err(StoreError::TooMuchChanged);
        }
        let from = earlier.passed.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = BTreeMap::new();
        let mut last = None;
        for row in self.database.range((from, Bound::Unbounded)).take(ROWS) {
            let (key, value) = row.map_err(|source| StoreError::Database { doing: "reading", source })?;
            last = Some(key.to_vec());
            rows.insert(key.to_vec(), value);
        }
        self.ended = rows.len() < ROWS;
        let ahead = match (&last, self.ended) {
            (Some(last), false) => earlier.values.split_off(last),
            (_, _) => BTreeMap::new(),
        };
        let mut values = std::mem::replace(&mut earlier.values, ahead);
        // The last row itself was split off with those ahead.
        if let Some((key, value)) = last.as_ref().and_then(|last| earlier.values.remove_entry(last)) {
            values.insert(key, value);
        }
        for (key, value) in values {
            earlier.bytes -= key.len() + value.as_ref().map_or(0, |v| v.len());
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        if last.is_some() {
            earlier.passed = last;
        }
        self.ready.extend(rows);
        Ok(())
    }
}

impl Iterator for Snapshot {
    type Item = Result<(Table, Vec<u8>, Vec<u8>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.ready.pop_front() {
                let (table, key) = key.split_first()?;
                let Some(table) = Table::ALL.into_iter().find(|t| *t as u8 == *table) else { continue };
                return Some(Ok((table, key.to_vec(), value.to_vec())));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.read_on() {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        *self.kept.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Changes, Options, Store, Sync};

    fn rows(store: &Store) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
        store.snapshot().unwrap().map(Result::unwrap).collect()
    }

    fn key(n: u32) -> Vec<u8> {
        (n % 1500).to_be_bytes().to_vec()
    }

    #[test]
    fn a_snapshot_shows_one_moment_whatever_is_written_removed_or_added_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { sync: Sync::ProcessOnly, ..Options::default() };
        let store = Store::open(folder.path(), &options).unwrap();
        let mut changes = Changes::default();
        (0..1000).for_each(|n| changes.put(Table::Transfer, &key(n * 3), n.to_be_bytes().to_vec()));
        store.commit(changes).unwrap();
        let before = rows(&store);
        let mut snapshot = store.snapshot().unwrap();
        assert!(matches!(store.snapshot(), Err(StoreError::InSnapshot)), "one at a time");
        let mut seen = Vec::new();
        for n in 0u32.. {
            let Some(row) = snapshot.next() else { break };
            seen.push(row.unwrap());
            // Everywhere, before and behind the reader: changed, added, removed.
            let mut changes = Changes::default();
            changes.put(Table::Transfer, &key(n * 7), b"changed".to_vec());
            changes.put(Table::Due, &key(n * 11), b"added".to_vec());
            changes.remove(Table::Transfer, &key(n * 13));
            store.commit(changes).unwrap();
        }
        assert!(seen == before, "because an export must be of one moment");
        drop(snapshot);
        assert!(rows(&store) != before, "the next one sees what was written");
    }
}
