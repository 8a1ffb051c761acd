//! Parts of large messages: a row for each message that an extract or an index lists, changed in the same commit as the
//! transfer it belongs to. What a row means is `inventory`'s, what follows from a part is the transfer's.

use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::ledger::{self, Quarantined};
use super::{Engine, EngineError, Reply, put_aside};
use crate::model::{ConversationId, MessageId, OdsCode, Timestamp, TransferId};
use crate::packet::envelope::{Href, Item};
use crate::packet::parts::inventory::{self, Arrival, Coming, Known, PartKind, Role, Row, Said, Set};
use crate::store::Table;
use crate::transfer::event::{self, Event};
use crate::transfer::gathering::{Found, Large, Part, Settled, Tally};
use crate::transfer::refusal::{PartRefusal, Refusal};
use crate::transfer::timeout::Terms;
use crate::transfer::{Case, Transfer};

/// A message that is listed, or that came before anything listed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRow {
    /// The transfer it belongs to.
    pub transfer: TransferId,
    /// What it was listed as; none while nothing lists it.
    pub row: Option<Row>,
    /// How far the file is whose fragments it lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Set>,
    /// Where its octets lie, once it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<crate::transfer::dispatch::PacketRef>,
    /// How many they are.
    pub bytes: u64,
}

/// What a message says of parts.
#[derive(Debug, Clone, Default)]
pub enum Listing {
    /// Nothing.
    #[default]
    None,
    /// An extract lists these.
    Extract {
        /// One for each message.
        rows: Vec<Row>,
        /// What the wait for them is reckoned with.
        terms: Terms,
        /// The ebXML Timestamp of the extract.
        sent_at: Timestamp,
    },
    /// It is a part.
    Part {
        /// What its own manifest lists after the HL7 reference.
        references: Vec<Item>,
        /// What is wrong with it by itself.
        wrong: Option<PartRefusal>,
    },
}

type Rows = Vec<(MessageId, PartRow)>;

impl Engine {
    /// An extract that has parts: the event with what is known of them, and the rows to be kept if it is taken.
    pub(super) fn list(
        draft: &Draft<'_>,
        id: TransferId,
        event: &Event,
        listing: &Listing,
    ) -> Result<(Option<Event>, Rows), EngineError> {
        let (Event::Arrived(arrival), Listing::Extract { rows, terms, sent_at }) = (event, listing) else {
            return Ok((None, Vec::new()));
        };
        let mut arrival = arrival.clone();
        let (mut tally, mut kept) = (Tally::default(), Vec::with_capacity(rows.len()));
        for row in rows {
            let mid = row.mid.clone();
            let row = match part(draft, &arrival.from, &row.mid)? {
                None => PartRow { transfer: id, row: Some(nameless(row)), set: None, packet: None, bytes: 0 },
                Some(known) if known.transfer == id => adopted(known, row),
                Some(_) => {
                    // A message belongs to one record (hazard H1).
                    arrival.refusal.get_or_insert(Refusal::PartsImpossible);
                    return Ok((Some(Event::Arrived(arrival)), Vec::new()));
                }
            };
            tally.add(row.row.as_ref().map_or(Settled::Not, Row::settled));
            kept.push((mid, row));
        }
        arrival.large = Some(Large { tally, terms: *terms, sent_at: *sent_at, bytes: 0 });
        Ok((Some(Event::Arrived(arrival)), kept))
    }

    /// Keeps the rows of an extract that was taken.
    pub(super) fn keep_listed(
        draft: &mut Draft<'_>,
        id: TransferId,
        event: &Event,
        rows: Rows,
    ) -> Result<(), EngineError> {
        let Event::Arrived(arrival) = event else { return Ok(()) };
        let taken = draft.transfer(id)?.is_some_and(|transfer| holds(&transfer, arrival));
        if taken {
            keep(draft, &arrival.from, rows);
        }
        Ok(())
    }

    /// Whether a message must come again later: an index that came before the extract that lists it (LM29.2). What it
    /// lists is read when it is taken, so it is not taken yet.
    pub(super) fn must_wait(
        &self,
        draft: &Draft<'_>,
        (from, conversation): (&OdsCode, ConversationId),
        message_id: &MessageId,
        listing: &Listing,
    ) -> Result<bool, EngineError> {
        let Listing::Part { references, .. } = listing else { return Ok(false) };
        let index = references.iter().any(|item| matches!(item.href, Href::Message(_)));
        let listed = part(draft, from, message_id)?.is_some_and(|part| part.row.is_some());
        Ok(index && !listed && self.awaits(draft, from, conversation)?.is_some_and(|(_, open)| open))
    }

    /// Whether a part with other octets may take the place of one that is here: of a damaged one only (C2).
    pub(super) fn may_replace(
        draft: &Draft<'_>,
        from: &OdsCode,
        message_id: &MessageId,
    ) -> Result<bool, EngineError> {
        let row = part(draft, from, message_id)?.and_then(|part| part.row);
        Ok(row.is_some_and(|row| row.coming() == Coming::Again))
    }

    /// A part arrived.
    pub(super) fn take_part(
        &mut self,
        draft: &mut Draft<'_>,
        event: &Event,
        conversation: ConversationId,
        listing: &Listing,
        stranger: Quarantined,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        let (Event::Part(part_in), Listing::Part { references, wrong }) = (event, listing) else {
            return put_aside(draft, stranger, None, Reply::Stranger);
        };
        let known = part(draft, &part_in.from, &part_in.message_id)?;
        // By its own id first: where the ConversationId is the index's own id, that alone tells (F44).
        let id = match &known {
            Some(known) => Some(known.transfer),
            None => self.awaits(draft, &part_in.from, conversation)?.map(|(id, _)| id),
        };
        let Some(transfer) = id.map(|id| draft.transfer(id)).transpose()?.flatten() else {
            return put_aside(draft, stranger, None, Reply::Stranger);
        };
        let (found, rows) = find(draft, &transfer, part_in, known, references, *wrong)?;
        let event = Event::Part(Box::new(Part { found, ..(**part_in).clone() }));
        match transfer.step(&event, now) {
            Ok(step) => {
                if step.keeps_part {
                    keep(draft, &part_in.from, rows);
                }
                self.conclude(draft, Some(transfer), step, now)?;
                Ok(Reply::Taken)
            }
            Err(illegal) => {
                tracing::info!(transfer = %transfer.id, %illegal, "a part changed nothing");
                put_aside(draft, stranger, None, Reply::Stranger)
            }
        }
    }

    /// The transfer of a conversation with this party, and whether an extract may still come for it.
    fn awaits(
        &self,
        draft: &Draft<'_>,
        from: &OdsCode,
        conversation: ConversationId,
    ) -> Result<Option<(TransferId, bool)>, EngineError> {
        let asked = self.asked_of(draft, from, conversation)?;
        let id = asked.unwrap_or_else(|| Transfer::id_for_arrival(from, conversation));
        let open = |transfer: Transfer| matches!(transfer.label(), "requesting" | "requested");
        Ok(draft.transfer(id)?.map(|transfer| (id, open(transfer))))
    }
}

/// What a part is to its transfer, and the rows that change if it is kept.
fn find(
    draft: &Draft<'_>,
    transfer: &Transfer,
    came: &Part,
    known: Option<PartRow>,
    references: &[Item],
    wrong: Option<PartRefusal>,
) -> Result<(Found, Rows), EngineError> {
    let arrived = |row: Option<Row>| PartRow {
        transfer: transfer.id,
        row,
        set: None,
        packet: Some(came.packet.clone()),
        bytes: came.bytes,
    };
    let lists = references.iter().any(|item| matches!(item.href, Href::Message(_)));
    let Some(known) = known else {
        if lists || wrong.is_some() {
            return Ok((Found::Stray, Vec::new()));
        }
        return Ok((Found::Early, vec![(came.message_id.clone(), arrived(None))]));
    };
    let (Some(before), Some(tally)) = (&known.row, transfer.gathering().map(|g| g.tally)) else {
        return Ok((Found::Again, Vec::new()));
    };
    if before.coming() == Coming::Repeat {
        return Ok((Found::Again, Vec::new()));
    }
    if let Some(why) = wrong {
        return Ok(bad(tally, before, arrived, why));
    }
    match inventory::kind(false, references, Some(before)) {
        PartKind::Index => index(draft, came, before, references, tally, arrived),
        PartKind::Fragment => fragment(draft, came, before, tally, arrived),
        PartKind::Attachment => {
            let after = Row { arrival: Arrival::Arrived, ..before.clone() };
            let tally = changed(tally, before, &after);
            let rows = vec![(came.message_id.clone(), arrived(Some(after)))];
            Ok((Found::Good { tally, completes: None }, rows))
        }
        PartKind::Continue | PartKind::Parked => Ok((Found::Again, Vec::new())),
    }
}

fn index(
    draft: &Draft<'_>,
    came: &Part,
    before: &Row,
    references: &[Item],
    mut tally: Tally,
    arrived: impl Fn(Option<Row>) -> PartRow,
) -> Result<(Found, Rows), EngineError> {
    let mut failed = None;
    let mut early = std::collections::HashMap::new();
    let known = |mid: &MessageId| match part(draft, &came.from, mid) {
        Ok(None) => Known::Nowhere,
        Ok(Some(row)) if row.row.is_none() => {
            early.insert(mid.clone(), row);
            Known::Parked
        }
        Ok(Some(_)) => Known::Listed,
        Err(error) => {
            failed = Some(error);
            Known::Listed
        }
    };
    let read = inventory::list_index(before, references, tally.rows, known);
    if let Some(error) = failed {
        return Err(error);
    }
    let Ok(read) = read else {
        return Ok(bad(tally, before, arrived, PartRefusal::Malformed));
    };
    tally.change(before.settled(), read.row.settled());
    let mut rows =
        vec![(came.message_id.clone(), PartRow { set: Some(read.set), ..arrived(Some(read.row)) })];
    for row in read.fragments {
        tally.add(row.settled());
        let mid = row.mid.clone();
        let (packet, bytes) = early.remove(&mid).map_or((None, 0), |part| (part.packet, part.bytes));
        let transfer = rows[0].1.transfer;
        rows.push((mid, PartRow { transfer, row: Some(row), set: None, packet, bytes }));
    }
    let completes = read.set.is_whole().then(|| came.message_id.clone());
    Ok((Found::Good { tally, completes }, rows))
}

fn fragment(
    draft: &Draft<'_>,
    came: &Part,
    before: &Row,
    tally: Tally,
    arrived: impl Fn(Option<Row>) -> PartRow,
) -> Result<(Found, Rows), EngineError> {
    let after = Row { arrival: Arrival::Arrived, ..before.clone() };
    let tally = changed(tally, before, &after);
    let mut rows = vec![(came.message_id.clone(), arrived(Some(after)))];
    let mut completes = None;
    if let Some(index) = before.index()
        && let Some(mut owner) = part(draft, &came.from, index)?
        && let Some(set) = &mut owner.set
    {
        completes = set.arrive().then(|| index.clone());
        rows.push((index.clone(), owner));
    }
    Ok((Found::Good { tally, completes }, rows))
}

fn bad(
    tally: Tally,
    before: &Row,
    arrived: impl Fn(Option<Row>) -> PartRow,
    why: PartRefusal,
) -> (Found, Rows) {
    let code = why.code().parse().unwrap_or_default();
    let after = Row { arrival: Arrival::Damaged { code }, ..before.clone() };
    let tally = changed(tally, before, &after);
    (Found::Bad { tally, why }, vec![(before.mid.clone(), arrived(Some(after)))])
}

fn changed(mut tally: Tally, before: &Row, after: &Row) -> Tally {
    tally.change(before.settled(), after.settled());
    tally
}

/// A message that was here when it was listed: it came early, or belongs to an extract of this transfer that was refused.
fn adopted(known: PartRow, listed: &Row) -> PartRow {
    let arrival = match (&known.row, &known.packet) {
        (Some(row), _) => row.arrival.clone(),
        (None, Some(_)) => Arrival::Arrived,
        (None, None) => Arrival::Awaited,
    };
    PartRow { row: Some(Row { arrival, ..nameless(listed) }), ..known }
}

/// Without names and types: they stand in the sealed extract, and may name the patient.
fn nameless(row: &Row) -> Row {
    let role = match &row.role {
        Role::Item { document_id, said } => Role::Item {
            document_id: document_id.clone(),
            said: Said { filename: String::new(), content_type: None, ..said.clone() },
        },
        fragment @ Role::Fragment { .. } => fragment.clone(),
    };
    Row { role, ..row.clone() }
}

/// Whether the transfer took just this extract.
fn holds(transfer: &Transfer, arrival: &event::Arrival) -> bool {
    let held = match &transfer.case {
        Case::Received(received) => Some(&received.arrival),
        Case::Reception(reception) => reception.arrival.as_ref(),
        Case::Release(_) | Case::Outbound(_) | Case::Noted(_) => None,
    };
    held.is_some_and(|held| held.message_id == arrival.message_id && held.refusal.is_none())
}

/// A row as it would be after this commit.
fn part(draft: &Draft<'_>, from: &OdsCode, message_id: &MessageId) -> Result<Option<PartRow>, EngineError> {
    let row = draft.row(Table::Part, &ledger::part_key(from, message_id))?;
    Ok(row.map(|bytes| ledger::decode(&bytes)).transpose()?)
}

fn keep(draft: &mut Draft<'_>, from: &OdsCode, rows: Rows) {
    for (message_id, row) in rows {
        draft.put(Table::Part, ledger::part_key(from, &message_id), ledger::encode(&row));
    }
}
