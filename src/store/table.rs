//! The tables and the writes to them, as the rest of the program knows them: nothing here is sled's but the batch
//! inside.

/// The tables, each a prefix of one tree: one sled batch is atomic within one tree only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// Facts about the store itself.
    Meta = b'M',
    /// Transfers by id.
    Transfer = b'T',
    /// Messages of transfers that go their own way, by id.
    Message = b'P',
    /// Parts of large records that are awaited or here, by sender and message.
    Part = b'F',
    /// What is due when.
    Due = b'D',
    /// Timelines.
    Journal = b'J',
    /// What is to be published.
    Outbox = b'O',
    /// Messages sent and received.
    Ledger = b'L',
    /// Custody events seen.
    Event = b'E',
    /// What could not be taken.
    Quarantine = b'Q',
}

impl Table {
    /// Every table, in the order of an export.
    pub const ALL: [Self; 10] = [
        Self::Meta,
        Self::Transfer,
        Self::Message,
        Self::Part,
        Self::Due,
        Self::Journal,
        Self::Outbox,
        Self::Ledger,
        Self::Event,
        Self::Quarantine,
    ];

    /// Its name, as an export writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Transfer => "transfer",
            Self::Message => "message",
            Self::Part => "part",
            Self::Due => "due",
            Self::Journal => "journal",
            Self::Outbox => "outbox",
            Self::Ledger => "ledger",
            Self::Event => "event",
            Self::Quarantine => "quarantine",
        }
    }

    /// The table of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }

    /// A key of the table as it lies in the one tree.
    pub(super) fn key(self, key: &[u8]) -> Vec<u8> {
        [&[self as u8], key].concat()
    }

    /// The first key after the table.
    pub(super) fn end(self) -> Vec<u8> {
        vec![self as u8 + 1]
    }
}

/// Writes that become true together.
#[derive(Debug, Default)]
pub struct Changes {
    pub(super) writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    bytes: u64,
    largest: Option<(Table, usize)>,
}

impl Changes {
    /// Writes a value, of at most [`LARGEST_VALUE`](super::LARGEST_VALUE) bytes: larger ones belong in the vault.
    pub fn put(&mut self, table: Table, key: &[u8], value: Vec<u8>) {
        self.bytes += (key.len() + value.len()) as u64;
        if self.largest.is_none_or(|(_, most)| value.len() > most) {
            self.largest = Some((table, value.len()));
        }
        self.writes.push((table.key(key), Some(value)));
    }

    /// Takes a value away.
    pub fn remove(&mut self, table: Table, key: &[u8]) {
        self.writes.push((table.key(key), None));
    }

    /// How many writes there are.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Bytes of keys and values written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The largest value and where it was to go.
    pub(super) fn largest(&self) -> Option<(Table, usize)> {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_prefix_and_a_name_of_its_own() {
        for one in Table::ALL {
            assert_eq!(Table::named(one.name()), Some(one), "an export names it");
            let same = Table::ALL.iter().filter(|other| **other as u8 == one as u8).count();
            assert_eq!(same, 1, "or two tables would share their keys");
        }
    }
}
