//! What belongs to nobody: put aside, and settled by a person.

use super::draft::Draft;
use super::ledger::{self, Quarantined, Settled};
use super::{EngineError, Reply};
use crate::model::TransferId;
use crate::store::Table;
use crate::transfer::outcome::Outcome;

/// An operator's decision about something put aside.
pub(super) fn settle(draft: &mut Draft<'_>, id: TransferId, settled: Settled) -> Result<Reply, EngineError> {
    let key = ledger::quarantine_key(id);
    let refused = |words: &str| Ok(Reply::NotApplicable(words.to_owned()));
    let Some(bytes) = draft.row(Table::Quarantine, &key)? else {
        return refused("nothing with that id is in quarantine");
    };
    let mut entry: Quarantined = ledger::decode(&bytes)?;
    if entry.settled.is_some() {
        return refused("it was settled before");
    }
    entry.settled = Some(settled);
    draft.put(Table::Quarantine, key, ledger::encode(&entry));
    Ok(Reply::Taken)
}

/// Puts something aside, once, and again when it comes after it was settled.
pub(super) fn put_aside(
    draft: &mut Draft<'_>,
    mut entry: Quarantined,
    outcome: Option<Box<Outcome>>,
    reply: Reply,
) -> Result<Reply, EngineError> {
    let key = ledger::quarantine_key(entry.id);
    if let Some(bytes) = draft.row(Table::Quarantine, &key)? {
        let known: Quarantined = ledger::decode(&bytes)?;
        let Some(settled) = known.settled else { return Ok(Reply::Duplicate(None)) };
        // What was settled and comes again wants a person again, who sees what was decided before.
        entry.earlier = known.earlier;
        entry.earlier.push(settled);
    }
    if let Some(outcome) = outcome {
        draft.publish(*outcome);
    }
    draft.put(Table::Quarantine, key, ledger::encode(&entry));
    Ok(reply)
}
