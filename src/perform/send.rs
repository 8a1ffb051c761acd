//! One attempt: the sealed packet out, the answer judged, a signed receipt kept.

use std::time::Duration;

use crate::clock;
use crate::directory::{AckRequested, Profile, SyncReply};
use crate::model::{Timestamp, TransferId};
use crate::packet::envelope::Header;
use crate::packet::signature::verify::Terms;
use crate::packet::{Packet, signature::Reference};
use crate::perform::Tools;
use crate::telemetry::Answered;
use crate::transfer::dispatch::{Dispatch, PacketRef};
use crate::transfer::event::Answer;
use crate::transfer::verdict::{TryAgain, Verdict};
use crate::transport::classify::{Judged, ReceiptDue, Sent, classify};
use crate::transport::{Letter, Observation, Reply, Route};

/// The longest an attempt may take, waiting for a free connection included: above the sum of the transport's own
/// timeouts, below the time after which the engine holds an effect for lost.
const DEADLINE: Duration = Duration::from_secs(180);

/// Sends the packet once.
pub async fn send(tools: &Tools, transfer: TransferId, dispatch: &Dispatch) -> Answer {
    let began = clock::instant();
    let (judged, receipt) = attempt(tools, dispatch).await;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tools.metrics.attempted(match judged.verdict {
        Verdict::Accepted(_) => Answered::Accepted,
        Verdict::TryAgain(_) => Answered::TryAgain,
        Verdict::Refused(_) => Answered::Refused,
    });
    if judged.alarm {
        tracing::warn!(%transfer, verdict = judged.verdict.words(), "an answer that somebody should look at");
    }
    Answer {
        message_id: dispatch.message_id.clone(),
        verdict: judged.verdict,
        retry_after: judged.retry_after,
        took_ms,
        receipt,
    }
}

async fn attempt(tools: &Tools, dispatch: &Dispatch) -> (Judged, Option<PacketRef>) {
    let nothing_sent = |why| {
        let verdict = Verdict::TryAgain(why);
        (Judged { verdict, alarm: true, retry_after: None, keep_receipt: false }, None)
    };
    let Ok(packet) = tools.fetch(&dispatch.packet).await else {
        return nothing_sent(TryAgain::PacketUnreadable);
    };
    let directory = tools.directory.current();
    let Some(party) = directory.by_ods(&dispatch.to) else { return nothing_sent(TryAgain::NoRoute) };
    let action = packet.soap_action.rsplit('/').next().unwrap_or_default().to_owned();
    let (Some(route), Some(peer)) = (Route::to(party, &action), party.peer()) else {
        return nothing_sent(TryAgain::NoRoute);
    };
    // Without its header no answer could be judged.
    let Some((header, references)) = packet.sent_as() else {
        return nothing_sent(TryAgain::PacketUnreadable);
    };
    let mut references: Vec<Vec<Reference>> = references.into_iter().collect();
    for earlier in dispatch.earlier.iter().filter(|_| peer.profile == Profile::Signed) {
        let earlier = tools.fetch(earlier).await.ok().and_then(|packet| packet.sent_as());
        references.extend(earlier.and_then(|(_, references)| references));
    }
    if header.to != peer.address.party_key {
        // The directory now knows the practice by another party key: this packet is addressed to somebody else.
        return nothing_sent(TryAgain::NoRoute);
    }
    let letter = letter(packet);
    let answer = tools.transport.post(&route, &letter, DEADLINE).await;
    let now = clock::now();
    let asks = peer.profile == Profile::Signed || peer.contract.ack_requested != AckRequested::Never;
    let sent = Sent {
        message_id: &dispatch.message_id,
        to: &peer.address.party_key,
        ack_due: asks && peer.contract.sync_reply == SyncReply::Signals,
        receipt: receipt_due(peer, &header, &references, now),
    };
    let judged = classify(&answer, &sent, now);
    let Observation::Reply(reply) = &answer else { return (judged, None) };
    if !judged.keep_receipt {
        return (judged, None);
    }
    match keep(tools, reply).await {
        Some(receipt) => (judged, Some(receipt)),
        // Without its receipt a delivery cannot be proved: it goes again and draws the same one.
        None => (Judged { verdict: Verdict::TryAgain(TryAgain::UnknownOutcome), ..judged }, None),
    }
}

fn receipt_due<'a>(
    peer: &'a crate::directory::Peer,
    header: &'a Header,
    references: &'a [Vec<Reference>],
    now: Timestamp,
) -> Option<ReceiptDue<'a>> {
    let pins = peer.signing_pins.as_ref().filter(|_| peer.profile == Profile::Signed)?;
    Some(ReceiptDue { header, references, terms: Terms { pins, now, leniency: peer.leniency } })
}

fn letter(packet: Packet) -> Letter {
    Letter { content_type: packet.content_type, soap_action: packet.soap_action, body: packet.body.into() }
}

/// The receipt beside our octets: proof of what the other end has (wire reference §6.3).
async fn keep(tools: &Tools, reply: &Reply) -> Option<PacketRef> {
    match tools.vault.put(&reply.body).await {
        Ok(sealed) => Some(PacketRef(sealed.to_string())),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a receipt could not be kept");
            None
        }
    }
}
