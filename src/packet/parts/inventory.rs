//! What a large message is made of and how much of it has come, row by row (gp2gp reference §1.2, §4.2(1) to (6)).
//!
//! Each row is a record of its own in the store, keyed (conversation, [`Row::mid`]); a decision takes the row at hand and
//! a tally, never all rows. It neither keeps nor joins anything, and knows no time.

use serde::{Deserialize, Serialize};

use crate::model::MessageId;
use crate::packet::description::Description;
use crate::packet::envelope::{Href, Item};
use crate::packet::parts::join::Expected;
use crate::transfer::gathering::Settled;

/// How many messages one transfer may consist of. 2,658 attachments have been seen (§4.5); more than this is an attack.
pub const MOST_ROWS: u64 = 100_000;

/// Characters of a name that are kept.
const LONGEST_NAME: usize = 1024;
/// Characters of a content type that are kept.
const LONGEST_TYPE: usize = 255;

/// One message that is awaited or has come.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The message that brings it: the `mid:`.
    pub mid: MessageId,
    /// Its place among the references of the manifest that lists it, from 0 after the HL7 reference. The order of fragments.
    pub number: u32,
    /// What it was listed as.
    pub role: Role,
    /// What has become of it.
    pub arrival: Arrival,
}

/// What a message was listed as.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// By the extract: a document, whether it comes whole or as an index of fragments.
    Item {
        /// `eb:id` without its leading `_`, by which the extract refers to it (AR10, AR11); the `mid:` where there is none.
        document_id: String,
        /// What the extract says of it.
        said: Said,
    },
    /// By an index: a fragment.
    Fragment {
        /// The index.
        index: MessageId,
    },
}

/// What has become of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// It has not come.
    Awaited,
    /// It is here.
    Arrived,
    /// It is here and lists fragments.
    Index {
        /// How many pieces the file has, the inline one included.
        pieces: u32,
        /// Places of pieces that came inside the index (`cid:`).
        inline: Vec<u32>,
    },
    /// What came was wrong; a good copy may follow (C2).
    Damaged {
        /// What it was answered with.
        code: u16,
    },
}

/// What the extract's Description says, of bounded size.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The name, cut to 1,024 characters: never a key, never a path.
    pub filename: String,
    /// The true type, cut to 255 characters.
    pub content_type: Option<String>,
    /// Whether the file is gzipped.
    pub compressed: bool,
    /// Whether an index was announced. What comes decides, not this.
    pub large_attachment: bool,
    /// Characters of base64 after compression.
    pub length: Option<u64>,
    /// Whether it is the real HL7 of a skeleton.
    pub skeleton: bool,
}

impl Said {
    /// What is to be checked when it is joined.
    pub fn expected(&self) -> Expected {
        Expected { compressed: self.compressed, length: self.length }
    }
}

impl From<&Description> for Said {
    fn from(description: &Description) -> Self {
        let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        Self {
            filename: cut(&description.filename, LONGEST_NAME),
            content_type: description.content_type.as_deref().map(|text| cut(text, LONGEST_TYPE)),
            compressed: description.compressed,
            large_attachment: description.large_attachment,
            length: description.length,
            skeleton: description.is_skeleton(),
        }
    }
}

impl std::fmt::Debug for Row {
    /// Without names: they may name the patient.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let index = match &self.role {
            Role::Item { .. } => None,
            Role::Fragment { index } => Some(index),
        };
        f.debug_struct("Row")
            .field("mid", &self.mid)
            .field("number", &self.number)
            .field("index", &index)
            .field("arrival", &self.arrival)
            .finish_non_exhaustive()
    }
}

/// Why a manifest cannot be taken as a list of parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ListFault {
    /// More messages than [`MOST_ROWS`].
    #[error("the record consists of more messages than the limit")]
    TooMany,
    /// It names the message it stands in.
    #[error("reference {0} names the message it stands in")]
    Itself(u32),
    /// It names a message that is listed already.
    #[error("reference {0} names a message that is listed elsewhere")]
    Elsewhere(u32),
    /// An index inside an index.
    #[error("a fragment lists fragments")]
    Nested,
    /// An index that nobody listed, or that came as something else before.
    #[error("the index was not announced")]
    Unannounced,
    /// Not a message id.
    #[error("reference {0} names no message")]
    Malformed(u32),
}

impl ListFault {
    /// What an index with this fault is answered with (§4.3): it is not what a part is.
    pub fn response_code(self) -> u16 {
        30
    }
}

/// What an extract lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// One row for each message, in the order of the manifest. All are to be kept before Continue leaves (§4.2(1)).
    pub rows: Vec<Row>,
    /// References that name a message of an earlier one: they have no file of their own and are reported as gaps.
    pub doubled: Vec<u32>,
}

/// The rows of an extract. `references` are those after the HL7 reference, `own` the extract's MessageId.
pub fn list_extract(own: &MessageId, references: &[Item]) -> Result<Listed, ListFault> {
    let mut listed = Listed::default();
    let mut names = std::collections::HashSet::new();
    for (number, item) in numbered(references) {
        let Href::Message(mid) = &item.href else { continue };
        let mid = message(mid, own, number)?;
        if !names.insert(mid.clone()) {
            listed.doubled.push(number);
            continue;
        }
        if listed.rows.len() as u64 >= MOST_ROWS {
            return Err(ListFault::TooMany);
        }
        let role = Role::Item {
            document_id: document_id(item.id.as_deref(), &mid),
            said: Said::from(&Description::parse(&item.description)),
        };
        listed.rows.push(Row { mid, number, role, arrival: Arrival::Awaited });
    }
    Ok(listed)
}

/// What is known of a message that an index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    Nowhere,
    /// It came early, and waits (§4.2(5)).
    Parked,
    /// It has a row.
    Listed,
}

/// An index read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The index's own row as it is now.
    pub row: Row,
    /// New rows; those that came early have arrived already.
    pub fragments: Vec<Row>,
    /// How far the file is.
    pub set: Set,
}

/// Reads an index that has come for `row`. `known` looks a message up, `rows` is how many the transfer has.
///
/// A first piece inside the index is legal, and so is a single one (F24).
pub fn list_index(
    row: &Row,
    references: &[Item],
    rows: u64,
    mut known: impl FnMut(&MessageId) -> Known,
) -> Result<Index, ListFault> {
    match (&row.role, &row.arrival) {
        (Role::Fragment { .. }, _) => return Err(ListFault::Nested),
        (Role::Item { .. }, Arrival::Arrived | Arrival::Index { .. }) => return Err(ListFault::Unannounced),
        (Role::Item { .. }, Arrival::Awaited | Arrival::Damaged { .. }) => {}
    }
    let mut inline = Vec::new();
    let mut fragments: Vec<Row> = Vec::new();
    let mut names = std::collections::HashSet::new();
    for (number, item) in numbered(references) {
        let mid = match &item.href {
            Href::Part(_) => {
                inline.push(number);
                continue;
            }
            Href::Message(mid) => message(mid, &row.mid, number)?,
        };
        if rows.saturating_add(fragments.len() as u64) >= MOST_ROWS {
            return Err(ListFault::TooMany);
        }
        let arrival = match known(&mid) {
            Known::Nowhere => Arrival::Awaited,
            Known::Parked => Arrival::Arrived,
            Known::Listed => return Err(ListFault::Elsewhere(number)),
        };
        if !names.insert(mid.clone()) {
            return Err(ListFault::Elsewhere(number));
        }
        let role = Role::Fragment { index: row.mid.clone() };
        fragments.push(Row { mid, number, role, arrival });
    }
    let pieces = u32::try_from(references.len()).map_err(|_| ListFault::TooMany)?;
    let early = fragments.iter().filter(|row| row.arrival == Arrival::Arrived).count() + inline.len();
    let set = Set { pieces, arrived: u32::try_from(early).map_err(|_| ListFault::TooMany)? };
    let arrival = Arrival::Index { pieces, inline };
    Ok(Index { row: Row { arrival, ..row.clone() }, fragments, set })
}

fn numbered(references: &[Item]) -> impl Iterator<Item = (u32, &Item)> {
    references.iter().enumerate().map(|(at, item)| (u32::try_from(at).unwrap_or(u32::MAX), item))
}

fn message(mid: &str, own: &MessageId, number: u32) -> Result<MessageId, ListFault> {
    let mid = MessageId::parse(mid.trim()).map_err(|_| ListFault::Malformed(number))?;
    if mid == *own { Err(ListFault::Itself(number)) } else { Ok(mid) }
}

/// AR10, AR11: one leading `_` is XML's, not the id's.
fn document_id(id: Option<&str>, mid: &MessageId) -> String {
    let bare = id.map(|id| id.strip_prefix('_').unwrap_or(id)).filter(|id| !id.is_empty());
    bare.unwrap_or(mid.as_str()).chars().take(LONGEST_NAME).collect()
}

/// What a COPC message is (§1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartKind {
    /// Leave to send parts.
    Continue,
    /// A list of fragments.
    Index,
    /// A piece of a file.
    Fragment,
    /// A whole file.
    Attachment,
    /// Not known yet: it is kept until something lists it.
    Parked,
}

/// What a COPC message is, never told by counting its attachments or by words of its subject (§1.2). `acknowledges` says
/// whether its body acknowledges a message, `row` is what its MessageId is listed as.
///
/// Where the ConversationId is the index's own id the row is found by the `mid:` alone (F44).
pub fn kind(acknowledges: bool, references: &[Item], row: Option<&Row>) -> PartKind {
    if acknowledges {
        return PartKind::Continue;
    }
    if references.iter().any(|item| matches!(item.href, Href::Message(_))) {
        return PartKind::Index;
    }
    match row.map(|row| &row.role) {
        Some(Role::Fragment { .. }) => PartKind::Fragment,
        // An index whose only piece is inside it (F24) reads as a file, and is one.
        Some(Role::Item { .. }) => PartKind::Attachment,
        None => PartKind::Parked,
    }
}

/// What a message that has come is to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coming {
    /// The one that is awaited.
    New,
    /// A good or bad copy after a damaged one (C2).
    Again,
    /// One that is here: its acknowledgement is repeated and nothing else is done (§4.2(3)).
    Repeat,
}

impl Row {
    /// What a message with this row's id is.
    pub fn coming(&self) -> Coming {
        match self.arrival {
            Arrival::Awaited => Coming::New,
            Arrival::Damaged { .. } => Coming::Again,
            Arrival::Arrived | Arrival::Index { .. } => Coming::Repeat,
        }
    }

    /// The index this is a fragment of.
    pub fn index(&self) -> Option<&MessageId> {
        match &self.role {
            Role::Item { .. } => None,
            Role::Fragment { index } => Some(index),
        }
    }

    /// As the tally counts it.
    pub fn settled(&self) -> Settled {
        match self.arrival {
            Arrival::Awaited => Settled::Not,
            Arrival::Arrived | Arrival::Index { .. } => Settled::Well,
            Arrival::Damaged { .. } => Settled::Badly,
        }
    }
}

/// How far one file of fragments is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Pieces it has.
    pub pieces: u32,
    /// Pieces that are here.
    pub arrived: u32,
}

impl Set {
    /// One more piece; whether it is the one that completes the set. That one is acknowledged only when the file has been
    /// assembled (TD25.2).
    pub fn arrive(&mut self) -> bool {
        self.arrived = self.arrived.saturating_add(1);
        self.arrived == self.pieces
    }

    /// Whether every piece is here.
    pub fn is_whole(&self) -> bool {
        self.arrived >= self.pieces
    }
}

/// Documents the extract refers to and its manifest does not list (AR01 to AR03, F29): the record is not complete.
/// `referred` are the ids of the extract's external documents, `references` those after the HL7 reference.
pub fn unlisted<'a>(referred: impl IntoIterator<Item = &'a str>, references: &[Item]) -> Vec<&'a str> {
    let bare = |id: &str| id.strip_prefix('_').unwrap_or(id).to_ascii_uppercase();
    let listed: std::collections::HashSet<String> =
        references.iter().filter_map(|item| item.id.as_deref()).map(bare).collect();
    referred.into_iter().filter(|id| !listed.contains(&bare(id))).collect()
}

#[cfg(test)]
mod tests;
