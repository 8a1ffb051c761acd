//! A large record that goes out again after a refusal: the same octets, the extract and every part under a new identity
//! (gp2gp reference §3.4, TD66).

use std::collections::HashMap;
use std::time::Duration;

use super::pack::{Maker, Parts, assembly};
use super::prepare::{destination, for_parts, signer_for};
use crate::clock;
use crate::engine::ledger;
use crate::model::{MessageId, OdsCode, TransferId};
use crate::packet::description::Description;
use crate::packet::envelope::{Header, Href};
use crate::packet::hl7::fragment_name;
use crate::packet::mime::{MimeLimits, Strictness};
use crate::packet::{self, Attachment, Enclosed, Incoming, Packet, PacketLimits, Received};
use crate::perform::Tools;
use crate::transfer::Case;
use crate::transfer::dispatch::{PacketRef, Transmission};
use crate::transfer::event::{PreparedPart, Renewed};
use crate::transfer::outbound::{OutboundState, PartKind, Saying};
use crate::transfer::reason::PrepareFault;

/// A part as it was made the last time.
type Known = HashMap<MessageId, (PartKind, PacketRef)>;

/// Makes all messages anew. Sealed when it returns.
pub(super) async fn renew(
    tools: &Tools,
    transfer: TransferId,
    packet: &PacketRef,
    to: &OdsCode,
    message_id: MessageId,
    life: Duration,
) -> Result<Renewed, PrepareFault> {
    let (with, packet, to, mut parts) = (tools.clone(), packet.clone(), to.clone(), Parts::of(tools));
    let job = move || renew_here(&with, transfer, &packet, &to, (message_id, life), &mut parts);
    let (extract, parts) =
        tokio::task::spawn_blocking(job).await.unwrap_or(Err(PrepareFault::StorageFailed))?;
    let (header, packet) = extract;
    let bytes = packet.body.len() as u64;
    let transmission = Transmission {
        packet: tools.keep(packet).await.map_err(|_| PrepareFault::StorageFailed)?,
        message_id: header.message_id,
        stamped_at: header.timestamp,
        expires_at: header.timestamp.plus(life),
        bytes,
    };
    Ok(Renewed { transmission, parts })
}

type Made = ((Header, Packet), Vec<PreparedPart>);

fn renew_here(
    tools: &Tools,
    transfer: TransferId,
    packet: &PacketRef,
    to: &OdsCode,
    (message_id, life): (MessageId, Duration),
    parts: &mut Parts,
) -> Result<Made, PrepareFault> {
    let now = clock::now();
    let directory = tools.directory.current();
    let (them, peer) = destination(directory.by_ods(to), now)?;
    let signer = signer_for(tools, peer)?;
    let old = tools.fetch_here(packet).map_err(|_| PrepareFault::StorageFailed)?;
    let incoming = opened(&old)?;
    let us = directory.by_party_key(&incoming.header.from).ok_or(PrepareFault::DestinationUnknown)?;
    let from_asid = us.address().ok_or(PrepareFault::DestinationUnknown)?.asid.clone();
    let time_to_live = Some(now.plus(life));
    let header = Header { message_id, timestamp: now, time_to_live, ..incoming.header.clone() };
    let part_header = for_parts(&header, peer);
    let maker = Maker {
        header: &header,
        part_header: &part_header,
        asids: (from_asid, peer.address.asid.clone()),
        ods: (us.ods.clone(), them.ods.clone()),
        signer: signer.as_deref(),
        // They fitted before; a signature may be some octets longer now.
        limits: PacketLimits { message_bytes: u64::MAX, ..PacketLimits::default() },
        takes_parts: true,
    };
    let known = parts_of(tools, transfer)?;
    for mid in messages(&incoming) {
        again(tools, &maker, &known, &mid, parts)?;
    }
    let extract = extract_again(&maker, &incoming)?;
    Ok(((header, extract), parts.finish()?))
}

fn parts_of(tools: &Tools, transfer: TransferId) -> Result<Known, PrepareFault> {
    let messages = ledger::messages_of(&tools.store, transfer).map_err(|_| PrepareFault::StorageFailed)?;
    let known = messages.into_iter().filter_map(|message| {
        let Case::Outbound(outbound) = message.case else { return None };
        let Saying::Part { part, .. } = &outbound.saying else { return None };
        let packet = match &outbound.state {
            OutboundState::Waiting { transmission, .. } => transmission.packet.clone(),
            OutboundState::Composing { .. }
            | OutboundState::Delivering { .. }
            | OutboundState::Ended { .. } => outbound.delivery()?.dispatch.packet.clone(),
        };
        Some((outbound.message_id.clone(), (*part, packet)))
    });
    Ok(known.collect())
}

/// The identity that a part gets: another for each time that its extract goes out.
fn renamed(maker: &Maker<'_>, old: &MessageId) -> MessageId {
    MessageId::derived(&["part-again", maker.header.message_id.as_str(), old.as_str()])
}

/// One item again: a file, or an index and its fragments.
fn again(
    tools: &Tools,
    maker: &Maker<'_>,
    known: &Known,
    old: &MessageId,
    parts: &mut Parts,
) -> Result<(), PrepareFault> {
    let (kind, place) = known.get(old).ok_or(PrepareFault::StorageFailed)?;
    let packet = tools.fetch_here(place).map_err(|_| PrepareFault::StorageFailed)?;
    let incoming = opened(&packet)?;
    let mid = renamed(maker, old);
    match kind {
        PartKind::Index => {
            let fragments = messages(&incoming);
            let listed = incoming.listed();
            let described: Vec<(MessageId, Description)> = fragments
                .iter()
                .zip(listed)
                .enumerate()
                .map(|(n, (fragment, item))| (renamed(maker, fragment), of_index(&mid, n, item.description)))
                .collect();
            let enclosed: Vec<Enclosed<'_>> = described
                .iter()
                .map(|(message_id, description)| Enclosed::Elsewhere {
                    document_id: None,
                    message_id,
                    description,
                })
                .collect();
            maker.message(PartKind::Index, &mid, mid.as_str(), &enclosed, parts)?;
            for (n, fragment) in fragments.iter().enumerate() {
                file_again(tools, maker, known, fragment, Some((&mid, n)), parts)?;
            }
            Ok(())
        }
        PartKind::File | PartKind::Fragment => file_again(tools, maker, known, old, None, parts),
    }
}

/// What is said of a fragment, whose name is that of its index.
fn of_index(index: &MessageId, number: usize, description: Description) -> Description {
    Description { filename: fragment_name(index, number), ..description }
}

fn file_again(
    tools: &Tools,
    maker: &Maker<'_>,
    known: &Known,
    old: &MessageId,
    index: Option<(&MessageId, usize)>,
    parts: &mut Parts,
) -> Result<(), PrepareFault> {
    let (kind, place) = known.get(old).ok_or(PrepareFault::StorageFailed)?;
    let packet = tools.fetch_here(place).map_err(|_| PrepareFault::StorageFailed)?;
    let incoming = opened(&packet)?;
    let files = incoming.attachments();
    let (item, part) = match files.as_slice() {
        [(item, Some(part))] => (item, part),
        _ => return Err(PrepareFault::StorageFailed),
    };
    let mut description = Description::parse(&item.description);
    if let Some((index, number)) = index {
        description = of_index(index, number, description);
    }
    let carried =
        Enclosed::Carried { description: &description, content_type: &part.content_type, octets: &part.body };
    maker.message(*kind, &renamed(maker, old), &description.filename, &[carried], parts)
}

/// The extract: its HL7 octets as they were, its parts under their new identities (S43).
fn extract_again(maker: &Maker<'_>, incoming: &Incoming<'_>) -> Result<Packet, PrepareFault> {
    let hl7 = incoming.hl7().ok_or(PrepareFault::StorageFailed)?;
    let described: Vec<(String, Option<MessageId>, Description)> = incoming
        .listed()
        .into_iter()
        .map(|item| {
            let id = item.id.as_ref().map(|id| id.bare().to_owned()).unwrap_or_default();
            let message_id = item.message_id().map(|old| renamed(maker, &old));
            (id, message_id, item.description)
        })
        .collect();
    let files = incoming.attachments();
    let enclosed = described.iter().zip(&files).map(|((id, message_id, description), (item, part))| {
        Ok(match (message_id, part) {
            (Some(message_id), _) => Enclosed::Elsewhere { document_id: Some(id), message_id, description },
            (None, Some(part)) => Enclosed::Here(Attachment {
                document_id: id,
                description: &item.description,
                content_type: &part.content_type,
                octets: &part.body,
            }),
            (None, None) => return Err(PrepareFault::StorageFailed),
        })
    });
    let enclosed = enclosed.collect::<Result<Vec<_>, _>>()?;
    packet::assemble_listing(maker.header, &hl7.body, &enclosed, maker.signer, maker.limits).map_err(assembly)
}

/// The messages that a manifest names, in its order.
fn messages(incoming: &Incoming<'_>) -> Vec<MessageId> {
    incoming
        .manifest
        .iter()
        .skip(1)
        .filter_map(|item| match &item.href {
            Href::Message(_) => item.href.message_id(),
            Href::Part(_) => None,
        })
        .collect()
}

fn opened(packet: &Packet) -> Result<Box<Incoming<'_>>, PrepareFault> {
    let limits = MimeLimits::default();
    match packet::open(&packet.content_type, &packet.body, Strictness::Strict, &limits) {
        Ok(Received::Business(incoming)) => Ok(incoming),
        Ok(Received::Signal { .. }) | Err(_) => Err(PrepareFault::StorageFailed),
    }
}
