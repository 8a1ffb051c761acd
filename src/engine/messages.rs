//! Messages of parties: which transfer each concerns, and what it is to it.

use super::draft::Draft;
use super::ledger::{self, Quarantined};
use super::{Engine, EngineError, Listing, Reply, Route, patient, put_aside};
use crate::model::{ConversationId, OdsCode, Timestamp, TransferId};
use crate::store::Table;
use crate::transfer::event::{Acknowledgement, Arrival, Asked, Event};
use crate::transfer::outbound::MessageKind;
use crate::transfer::refusal::Refusal;
use crate::transfer::{Case, Transfer};

impl Engine {
    /// A message that is new: finds its transfer, and gives it what it says.
    pub(super) fn take_message(
        &mut self,
        draft: &mut Draft<'_>,
        event: &Event,
        route: &Route,
        listing: &Listing,
        stranger: Quarantined,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        match route {
            Route::Opens { from, conversation, push } => {
                let off = if self.switch.requester { None } else { refused(event, Refusal::SwitchedOff) };
                let event = off.as_ref().unwrap_or(event);
                let (id, unasked) = match self.asked_of(draft, from, *conversation)? {
                    Some(id) => (id, None),
                    None => {
                        let taken = *push || off.is_some();
                        let unasked = if taken { None } else { refused(event, Refusal::NotRequested) };
                        (Transfer::id_for_arrival(from, *conversation), unasked)
                    }
                };
                let event = unasked.as_ref().unwrap_or(event);
                let (listed, rows) = Self::list(draft, id, event, listing)?;
                let event = listed.as_ref().unwrap_or(event);
                let reply = match draft.transfer(id)? {
                    None => {
                        self.open_transfer(draft, id, event, now)?;
                        Reply::Taken
                    }
                    // It is what was asked for, or takes the place of one that was refused (gp2gp reference §2.2, Q19).
                    Some(first) if first.step(event, now).is_ok() => self.apply(draft, id, event, now)?,
                    Some(_) => return self.refuse_copy(draft, event, stranger, now),
                };
                Self::keep_listed(draft, id, event, rows)?;
                Ok(reply)
            }
            Route::Part { conversation, .. } => {
                self.take_part(draft, event, *conversation, listing, stranger, now)
            }
            Route::Asks => self.take_request(draft, event, stranger, now),
            Route::Answers { conversation, refers_to, from } => {
                let named = match refers_to {
                    Some(message_id) => lookup(draft, &ledger::sent_key(message_id))?,
                    None => None,
                };
                let (by_message, about) = owner(draft, named)?;
                let by_conversation = lookup(draft, &ledger::conversation_key(*conversation))?;
                // Inside the conversation, and naming a message of ours if it names any (gp2gp reference §1.2).
                let id = match (by_message, by_conversation) {
                    (Some(message), Some(conversation)) if message == conversation => Some(message),
                    (None, Some(conversation)) if refers_to.is_none() => Some(conversation),
                    (_, _) => None,
                };
                match id {
                    Some(id) if sent_to(draft, id)?.as_ref() == Some(from) => match event {
                        Event::Acknowledged(ack) => {
                            let ack = Acknowledgement { about, ..ack.clone() };
                            let event = Event::Acknowledged(ack);
                            if let (Some(MessageKind::Part), Some(part)) = (about, named) {
                                self.apply(draft, part, &event, now)?;
                            }
                            self.apply(draft, id, &event, now)
                        }
                        other => self.apply(draft, id, other, now),
                    },
                    Some(_) | None => put_aside(draft, stranger, None, Reply::Stranger),
                }
            }
        }
    }

    /// A practice asks for a record: the newest release of that patient that waits is what it gets; failing that, what
    /// custody last told of the patient goes with the request.
    fn take_request(
        &mut self,
        draft: &mut Draft<'_>,
        event: &Event,
        stranger: Quarantined,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        let Event::Asked(asked) = event else { return put_aside(draft, stranger, None, Reply::Stranger) };
        let id = Transfer::id_for_request(asked);
        if draft.transfer(id)?.is_some()
            || lookup(draft, &ledger::conversation_key(asked.conversation))?.is_some()
        {
            // A second request in one conversation asks for nothing new (§3.7).
            return Ok(Reply::NotApplicable("this conversation has its request".to_owned()));
        }
        let asked = Asked { switched_off: !self.switch.sender, ..patient::informed(draft, asked)? };
        let event = Event::Asked(Box::new(asked));
        let Event::Asked(asked) = &event else { return Ok(Reply::Stranger) };
        for transfer in patient::releases(draft, asked)? {
            if transfer.step(&event, now).is_ok() {
                return self.apply(draft, transfer.id, &event, now);
            }
        }
        self.open_transfer(draft, id, &event, now)?;
        Ok(Reply::Taken)
    }

    /// The reception that asked `from` for a record in this conversation.
    pub(super) fn asked_of(
        &self,
        draft: &Draft<'_>,
        from: &OdsCode,
        conversation: ConversationId,
    ) -> Result<Option<TransferId>, EngineError> {
        let Some(id) = lookup(draft, &ledger::conversation_key(conversation))? else { return Ok(None) };
        let asked = match draft.transfer(id)?.map(|transfer| transfer.case) {
            Some(Case::Reception(reception)) => reception.request.is_some_and(|r| r.practice == *from),
            _ => false,
        };
        Ok(asked.then_some(id))
    }

    /// A second extract in one conversation: the first one stands, and this one is answered by itself (S60, TD27.2).
    fn refuse_copy(
        &mut self,
        draft: &mut Draft<'_>,
        event: &Event,
        stranger: Quarantined,
        now: Timestamp,
    ) -> Result<Reply, EngineError> {
        let Event::Arrived(arrival) = event else {
            return put_aside(draft, stranger, None, Reply::Stranger);
        };
        let mut copy = arrival.clone();
        copy.refusal.get_or_insert(Refusal::Duplicate);
        let id = Transfer::id_for_copy(&copy);
        if draft.transfer(id)?.is_some() {
            return put_aside(draft, stranger, None, Reply::Stranger);
        }
        self.open_transfer(draft, id, &Event::Arrived(copy), now)?;
        Ok(Reply::Taken)
    }
}

pub(super) fn lookup(draft: &Draft<'_>, key: &[u8]) -> Result<Option<TransferId>, EngineError> {
    Ok(draft.row(Table::Ledger, key)?.map(|bytes| ledger::decode(&bytes)).transpose()?)
}

/// An extract that is not taken: nobody asked for it and none is taken unasked (09, TD21, Q21), or none is taken at all
/// (07, §2.3).
fn refused(event: &Event, why: Refusal) -> Option<Event> {
    let Event::Arrived(arrival) = event else { return None };
    let refusal = Some(why);
    Some(Event::Arrived(Box::new(Arrival { refusal, ..(**arrival).clone() })))
}

/// The transfer that an answer to a message concerns, and the kind of that message where it goes its own way.
fn owner(
    draft: &Draft<'_>,
    id: Option<TransferId>,
) -> Result<(Option<TransferId>, Option<MessageKind>), EngineError> {
    let Some(id) = id else { return Ok((None, None)) };
    Ok(match draft.transfer(id)?.map(|transfer| transfer.case) {
        Some(Case::Outbound(outbound)) => (Some(outbound.parent), Some(outbound.saying.kind())),
        Some(Case::Release(_) | Case::Received(_) | Case::Reception(_) | Case::Noted(_)) | None => {
            (Some(id), None)
        }
    })
}

/// The party a transfer's message was sent to.
fn sent_to(draft: &Draft<'_>, id: TransferId) -> Result<Option<OdsCode>, EngineError> {
    Ok(draft.transfer(id)?.and_then(|transfer| match &transfer.case {
        Case::Release(release) => release.delivery().map(|d| d.dispatch.to.clone()),
        Case::Received(received) => received.delivery().map(|d| d.dispatch.to.clone()),
        Case::Reception(reception) => reception.request.as_ref().map(|request| request.practice.clone()),
        Case::Outbound(outbound) => Some(outbound.to.clone()),
        Case::Noted(_) => None,
    }))
}
