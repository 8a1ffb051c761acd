//! What the engine finds by a patient's number: releases, receptions, and requests that wait for news of the person.
//!
//! What follows from what is found is decided by the transfers; nothing is decided here.

use super::EngineError;
use super::draft::Draft;
use super::ledger;
use crate::model::{NhsNumber, OdsCode, TransferId};
use crate::store::Table;
use crate::transfer::chain::{Chain, MOST_PARKED};
use crate::transfer::custody::{CustodyEvent, CustodyKind};
use crate::transfer::event::{Asked, Woken};
use crate::transfer::{Case, Transfer};

/// So many releases, and as many receptions, of one patient are remembered: a request concerns the newest.
const MOST: usize = 16;

/// A list that is kept of each patient.
#[derive(Debug, Clone, Copy)]
enum List {
    /// Releases that custody told of, newest first.
    Releases,
    /// Receptions, newest first.
    Receptions,
    /// Requests that wait for news of the person, in the order in which they began to.
    Waiting,
}

impl List {
    fn key(self, number: &NhsNumber) -> Vec<u8> {
        match self {
            Self::Releases => ledger::patient_key(number),
            Self::Receptions => ledger::receptions_key(number),
            Self::Waiting => ledger::waiting_key(number),
        }
    }

    fn read(self, draft: &Draft<'_>, number: &NhsNumber) -> Result<Vec<TransferId>, EngineError> {
        let row = draft.row(Table::Ledger, &self.key(number))?;
        Ok(row.map(|bytes| ledger::decode(&bytes)).transpose()?.unwrap_or_default())
    }

    fn write(self, draft: &mut Draft<'_>, number: &NhsNumber, ids: &[TransferId]) {
        match ids {
            [] => draft.remove(Table::Ledger, self.key(number)),
            ids => draft.put(Table::Ledger, self.key(number), ledger::encode(&ids)),
        }
    }
}

/// Keeps the lists up with a transfer that was stepped.
pub(super) fn index(
    draft: &mut Draft<'_>,
    before: Option<&Transfer>,
    now: &Transfer,
) -> Result<(), EngineError> {
    if let Some((list, number)) =
        told_of(now).filter(|told| before.and_then(told_of).map(|b| b.1) != Some(told.1))
    {
        let mut ids = list.read(draft, number)?;
        ids.retain(|id| *id != now.id);
        ids.insert(0, now.id);
        ids.truncate(MOST);
        list.write(draft, number, &ids);
    }
    let (waited, waits) = (before.and_then(Transfer::waits_for_news_of), now.waits_for_news_of());
    if waited != waits {
        if let Some(number) = waited {
            let mut ids = List::Waiting.read(draft, number)?;
            ids.retain(|id| *id != now.id);
            List::Waiting.write(draft, number, &ids);
        }
        if let Some(number) = waits {
            let mut ids = List::Waiting.read(draft, number)?;
            ids.push(now.id);
            // A request that finds no place waits for an operator, or ends by its time.
            ids.truncate(MOST);
            List::Waiting.write(draft, number, &ids);
        }
    }
    Ok(())
}

/// In which list custody's word on a person puts the transfer.
fn told_of(transfer: &Transfer) -> Option<(List, &NhsNumber)> {
    let (list, order) = match &transfer.case {
        Case::Release(release) => (List::Releases, release.order.as_ref()?),
        Case::Reception(reception) => (List::Receptions, &reception.order),
        Case::Received(_) | Case::Outbound(_) | Case::Noted(_) => return None,
    };
    Some((list, order.identity.verified_number()?))
}

/// The releases of the patient that is asked for, newest first.
pub(super) fn releases(draft: &Draft<'_>, asked: &Asked) -> Result<Vec<Transfer>, EngineError> {
    let Some(number) = &asked.nhs_number else { return Ok(Vec::new()) };
    of(draft, List::Releases, number, &asked.to)
}

/// The requests that wait for news of the patient, in order.
pub(super) fn waiting(draft: &Draft<'_>, number: &NhsNumber) -> Result<Vec<Transfer>, EngineError> {
    let mut found = Vec::new();
    for id in List::Waiting.read(draft, number)? {
        found.extend(draft.transfer(id)?);
    }
    Ok(found)
}

/// What is listed of the patient at one establishment; who has another number by now is left out.
fn of(
    draft: &Draft<'_>,
    list: List,
    number: &NhsNumber,
    establishment: &OdsCode,
) -> Result<Vec<Transfer>, EngineError> {
    let mut found = Vec::new();
    for id in list.read(draft, number)? {
        let Some(transfer) = draft.transfer(id)? else { continue };
        let here = order_of(&transfer).is_some_and(|order| {
            order.establishment == *establishment && order.identity.verified_number() == Some(number)
        });
        if here {
            found.push(transfer);
        }
    }
    Ok(found)
}

fn order_of(transfer: &Transfer) -> Option<&CustodyEvent> {
    match &transfer.case {
        Case::Release(release) => release.order.as_ref(),
        Case::Reception(reception) => Some(&reception.order),
        Case::Received(_) | Case::Outbound(_) | Case::Noted(_) => None,
    }
}

/// What is known of the patient at that establishment: custody's newest word, and what our receptions mean.
pub(super) fn news(
    draft: &Draft<'_>,
    number: &NhsNumber,
    establishment: &OdsCode,
) -> Result<Woken, EngineError> {
    let releases = of(draft, List::Releases, number, establishment)?;
    let receptions = of(draft, List::Receptions, number, establishment)?;
    let orders = || releases.iter().chain(&receptions).filter_map(order_of);
    let mut known = orders().max_by_key(|order| order.order()).cloned().map(Box::new);
    // What PDS said last is of the person, whichever event brought it.
    let freshest = orders().filter_map(|order| order.pds.as_ref()).max_by_key(|pds| pds.checked_at);
    if let (Some(known), Some(pds)) = (&mut known, freshest) {
        known.pds = Some(pds.clone());
    }
    let chains = || receptions.iter().map(Transfer::chain);
    // An open reception counts, whichever it is; else the newest one that asked.
    let open = chains().flatten().find(Chain::is_open);
    let asked = receptions.iter().find(|transfer| has_asked(transfer)).and_then(Transfer::chain);
    Ok(Woken { chain: open.or(asked), known })
}

fn has_asked(transfer: &Transfer) -> bool {
    matches!(&transfer.case, Case::Reception(reception) if reception.request.is_some())
}

/// The request with what is known beside it.
pub(super) fn informed(draft: &Draft<'_>, asked: &Asked) -> Result<Asked, EngineError> {
    let Some(number) = &asked.nhs_number else { return Ok(asked.clone()) };
    let Woken { mut chain, known } = news(draft, number, &asked.to)?;
    let parked = waiting(draft, number)?.iter().filter(|transfer| transfer.label() == "parked").count();
    if parked >= MOST_PARKED && chain.as_ref().is_some_and(Chain::is_open) {
        chain = Some(Chain::Full);
    }
    Ok(Asked { known, chain, ..asked.clone() })
}

/// The request of this stay that a release event concerns: a practice asked while the person was inside, and no second
/// version of the record may go to it (S43, §3.6).
pub(super) fn request_of_stay(
    draft: &Draft<'_>,
    event: &CustodyEvent,
) -> Result<Option<TransferId>, EngineError> {
    let CustodyKind::Release(facts) = &event.kind else { return Ok(None) };
    let Some(number) = event.identity.verified_number() else { return Ok(None) };
    let concerns = |transfer: &&Transfer| {
        let Case::Release(release) = &transfer.case else { return false };
        let (Some(order), Some(asked)) = (&release.order, &release.asked) else { return false };
        let same_stay = (&order.source, &order.stay) == (&event.source, &event.stay);
        let same_practice = facts.destination.as_ref().is_none_or(|d| d.practice == asked.from);
        // What was turned down or given up leaves the release to itself.
        let stands = !transfer.has_ended() || release.delivery().is_some();
        same_stay && same_practice && stands
    };
    let releases = of(draft, List::Releases, number, &event.establishment)?;
    Ok(releases.iter().find(concerns).map(|transfer| transfer.id))
}

/// Another reception of the same person at the same establishment that asked for the record and has not ended.
pub(super) fn open_reception(draft: &Draft<'_>, one: &Transfer) -> Result<Option<TransferId>, EngineError> {
    let Case::Reception(reception) = &one.case else { return Ok(None) };
    let Some(number) = reception.order.identity.verified_number() else { return Ok(None) };
    let others = of(draft, List::Receptions, number, &reception.order.establishment)?;
    let open = |other: &&Transfer| other.id != one.id && other.chain().is_some_and(|chain| chain.is_open());
    Ok(others.iter().find(open).map(|other| other.id))
}
