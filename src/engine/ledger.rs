//! What the store remembers beside transfers, and under which keys: due index, journal, outbox, events seen,
//! messages seen, quarantine. Keys are big-endian, values are a version byte and JSON.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::EngineError;
use crate::engine::parts::PartRow;
use crate::model::{
    ConversationId, EventId, MessageId, NhsNumber, PartyKey, Timestamp, TransferId, derived_uuid,
};
use crate::store::{Store, Table};
use crate::transfer::dispatch::PacketRef;
use crate::transfer::{Case, Transfer, Waits};

/// The version of every record written today.
const VERSION: u8 = 1;

/// The deadline written for a transfer that waits for a person: it keeps its place in the index and never comes due.
pub const NEVER: i64 = i64::MAX;

/// A record that cannot be read back.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Written by a later version of the program.
    #[error("a stored record has version {0}; this program reads up to version {VERSION}")]
    Version(u8),
    /// Not what it should be.
    #[error("a stored record could not be read")]
    Malformed(#[source] serde_json::Error),
    /// Nothing at all.
    #[error("a stored record is empty")]
    Empty,
}

/// A record as stored.
pub fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, record).expect("our records serialize, and a vector takes them");
    bytes
}

/// A stored record read back.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    match bytes.split_first() {
        None => Err(Unreadable::Empty),
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(Unreadable::Malformed),
        Some((version, _)) => Err(Unreadable::Version(*version)),
    }
}

/// Where a transfer is kept: the messages of transfers apart, so that a list of transfers need not pass them over.
pub fn table_of(transfer: &Transfer) -> Table {
    match &transfer.case {
        Case::Outbound(_) => Table::Message,
        Case::Release(_) | Case::Received(_) | Case::Reception(_) | Case::Noted(_) => Table::Transfer,
    }
}

/// A transfer, or a message of one, as it was last written.
pub fn transfer(store: &Store, id: TransferId) -> Result<Option<Transfer>, EngineError> {
    for table in [Table::Transfer, Table::Message] {
        if let Some(bytes) = store.get(table, id.as_bytes())? {
            return Ok(Some(decode(&bytes)?));
        }
    }
    Ok(None)
}

/// Key that ties a message to its transfer; the messages of one lie together.
pub fn message_of_key(parent: TransferId, message: TransferId) -> Vec<u8> {
    [b"m".as_slice(), parent.as_bytes(), message.as_bytes()].concat()
}

/// Which messages of a transfer go their own way, in no order.
pub fn message_ids_of(store: &Store, parent: TransferId) -> Result<Vec<TransferId>, EngineError> {
    let begin = [b"m".as_slice(), parent.as_bytes()].concat();
    let mut found = Vec::new();
    for row in store.scan(Table::Ledger, &begin) {
        let (key, _) = row?;
        let id = key.get(begin.len()..).and_then(|id| id.try_into().ok());
        found.extend(id.map(TransferId::from_bytes));
    }
    Ok(found)
}

/// The messages of a transfer that go their own way, in no order.
pub fn messages_of(store: &Store, parent: TransferId) -> Result<Vec<Transfer>, EngineError> {
    let mut found = Vec::new();
    for id in message_ids_of(store, parent)? {
        if let Some(bytes) = store.get(Table::Message, id.as_bytes())? {
            found.push(decode(&bytes)?);
        }
    }
    Ok(found)
}

/// Key of the due index: the moment, then the transfer.
pub fn due_key(due: Option<Timestamp>, id: TransferId) -> Vec<u8> {
    let millis = due.map_or(NEVER, Timestamp::as_millis);
    // Flipping the sign bit makes the order of the bytes that of the numbers.
    let ordered = u64::from_ne_bytes(millis.to_ne_bytes()) ^ (1 << 63);
    [ordered.to_be_bytes().as_slice(), id.as_bytes()].concat()
}

/// The moment and the transfer of a due key; no moment for one that waits for a person.
pub fn read_due_key(key: &[u8]) -> Option<(Option<Timestamp>, TransferId)> {
    let (moment, id) = key.split_first_chunk::<8>()?;
    let millis = i64::from_ne_bytes((u64::from_be_bytes(*moment) ^ (1 << 63)).to_ne_bytes());
    let due = (millis != NEVER).then(|| Timestamp::from_millis(millis));
    Some((due, TransferId::from_bytes(id.try_into().ok()?)))
}

/// What the due index says beside the moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DueRow {
    /// By whom it waits for.
    pub waits: Waits,
    /// The state in one word.
    pub label: String,
    /// When the transfer last changed.
    pub since: Timestamp,
}

/// Key of one line of a timeline.
pub fn journal_key(id: TransferId, number: u32) -> Vec<u8> {
    [id.as_bytes().as_slice(), &number.to_be_bytes()].concat()
}

/// Key of an event seen.
pub fn event_key(id: EventId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// An event seen: a second one with the same id must have the same content.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventRow {
    /// SHA-256 of the content, in hexadecimal.
    pub digest: String,
    /// The transfer it belongs to.
    pub transfer: TransferId,
}

/// Key of the transfer of a conversation.
pub fn conversation_key(id: ConversationId) -> Vec<u8> {
    [b"c".as_slice(), id.as_bytes()].concat()
}

/// Key of the transfer of a message we sent.
pub fn sent_key(id: &MessageId) -> Vec<u8> {
    [b"s", id.as_str().as_bytes()].concat()
}

/// Key of the releases of a patient, newest first. A digest: no number stands in a key.
pub fn patient_key(number: &NhsNumber) -> Vec<u8> {
    [b"n".as_slice(), derived_uuid(&["patient", &number.reveal()]).as_bytes()].concat()
}

/// Key of the receptions of a patient, newest first.
pub fn receptions_key(number: &NhsNumber) -> Vec<u8> {
    [b"e".as_slice(), derived_uuid(&["patient", &number.reveal()]).as_bytes()].concat()
}

/// Key of the requests that wait for news of a patient, in the order in which they began to.
pub fn waiting_key(number: &NhsNumber) -> Vec<u8> {
    [b"w".as_slice(), derived_uuid(&["patient", &number.reveal()]).as_bytes()].concat()
}

/// Key of a message we received (wire reference §5.3).
pub fn received_key(from: &PartyKey, id: &MessageId) -> Vec<u8> {
    [b"r", from.as_str().as_bytes(), b"\n", id.as_str().as_bytes()].concat()
}

/// A message received: a second one gets the stored answer, octet for octet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReceivedRow {
    /// Digest of the message less what retransmission may change, in hexadecimal.
    pub digest: String,
    /// The answer given, sealed: rows of the store stay small.
    pub answer: PacketRef,
    /// Until when the row is kept.
    pub keep_until: Timestamp,
}

/// Key of a part of a record that a party sends.
pub fn part_key(from: &crate::model::OdsCode, id: &MessageId) -> Vec<u8> {
    [from.as_str().as_bytes(), b"\n", id.as_str().as_bytes()].concat()
}

/// A part of a record that a party sends, as far as it is known.
pub fn part(
    store: &Store,
    from: &crate::model::OdsCode,
    id: &MessageId,
) -> Result<Option<PartRow>, EngineError> {
    let row = store.get(Table::Part, &part_key(from, id))?;
    Ok(row.map(|bytes| decode(&bytes)).transpose()?)
}

/// Key of an outbox entry.
pub fn outbox_key(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// Something put aside: unreadable, contradictory, or nobody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Derived from its origin and content: the same bad message is put aside once.
    pub id: TransferId,
    /// When it came.
    pub at: Timestamp,
    /// Where it came from: `amqp`, `spool`, `control` or `inbox`.
    pub origin: String,
    /// As it was declared.
    pub content_type: String,
    /// Why, in one word.
    pub reason: String,
    /// What is wrong and where, without values.
    pub faults: Vec<String>,
    /// Its size in bytes.
    pub bytes: u64,
    /// The octets, sealed. They stay when it is settled.
    pub body: PacketRef,
    /// What an operator decided; nothing while it waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// What was decided when the same octets were put aside before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Settled>,
}

/// What an operator decided about something put aside: the journal of quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// What.
    pub decision: Decision,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who: the user id at the other end of the socket.
    pub uid: u32,
    /// When.
    pub at: Timestamp,
}

/// What can be decided about something put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It was taken in again.
    Requeued,
    /// It will never be used.
    Discarded,
}

/// Key of a quarantined message.
pub fn quarantine_key(id: TransferId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// Key, in the meta table, of how many transfers are in each state.
pub const COUNTS: &[u8] = b"counts";
/// Key, in the meta table, of the number of the last outbox entry.
pub const OUTBOX_HEAD: &[u8] = b"outbox-head";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_keys_sort_by_moment_and_read_back() {
        let id = TransferId::derived(&["t"]);
        let moments = [-5, 0, 7, 1_800_000_000_000].map(Timestamp::from_millis);
        let mut keys: Vec<Vec<u8>> = moments.iter().map(|m| due_key(Some(*m), id)).collect();
        keys.push(due_key(None, id));
        assert!(keys.is_sorted(), "big-endian with the sign flipped");
        for (key, moment) in keys.iter().zip(moments) {
            assert_eq!(read_due_key(key), Some((Some(moment), id)));
        }
        assert_eq!(read_due_key(&keys[4]), Some((None, id)));
    }

    #[test]
    fn a_record_of_a_later_version_is_refused_by_name() {
        let mut bytes = encode(&1u8);
        bytes[0] = 9;
        assert!(matches!(decode::<u8>(&bytes), Err(Unreadable::Version(9))));
        assert!(matches!(decode::<u8>(&[]), Err(Unreadable::Empty)));
    }
}
