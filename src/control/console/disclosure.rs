//! Takes a sealed packet out for an operator: who and why is durable in the timeline before the first octet leaves.
//!
//! The octets go over the operators' socket and nowhere else; no file is written by the daemon.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Console, stopping};
use crate::control::protocol::{Refusal, RefusalKind, Reply, Sealed};
use crate::control::server::{Peer, Replies};
use crate::control::views::{ActResult, PacketExported};
use crate::engine::Input;
use crate::store::{SealedRef, Unsealed};
use crate::transfer::dispatch::PacketRef;
use crate::transfer::event::{Act, Verb};
use crate::transfer::{Case, Transfer};

/// Octets in one line of the answer: a multiple of three, so that base64 needs no padding in between.
const PIECE: usize = 192 * 1024;

impl Console {
    /// Records the disclosure, then sends the octets piece by piece.
    pub(super) async fn disclose(
        self: &std::sync::Arc<Self>,
        id: &str,
        part: Sealed,
        reason: String,
        peer: Peer,
        replies: &Replies,
    ) -> Result<Reply, Refusal> {
        let (console, begin) = (std::sync::Arc::clone(self), id.to_owned());
        let opened = tokio::task::spawn_blocking(move || console.unseal(&begin, part)).await;
        let (transfer, octets) = opened.unwrap_or_else(|_| Err(stopping()))?;
        let verb = match part {
            Sealed::Packet => Verb::DisclosePacket,
            Sealed::Receipt => Verb::DiscloseReceipt,
        };
        let act = Act { verb, reason, uid: peer.uid };
        let (result, words) = self.submit(Input::Act { transfer: transfer.id, act }, "recorded").await?;
        if result != ActResult::Done {
            return Err(Refusal::new(RefusalKind::NotNow, words, "Try again in a moment."));
        }
        // The reason is the operator's own words, so it goes to the timeline and not to the log.
        tracing::info!(transfer = %transfer.id, uid = peer.uid, act = verb.words(), "an operator looked");
        let replies = replies.clone();
        let sent = tokio::task::spawn_blocking(move || send(octets, &replies)).await;
        let bytes = sent.unwrap_or_else(|_| Err(stopping()))?;
        Ok(Reply::PacketExported(PacketExported { transfer: transfer.id, part, bytes }))
    }

    fn unseal(&self, begin: &str, part: Sealed) -> Result<(Transfer, Unsealed), Refusal> {
        let transfer = self.survey.one(begin)?;
        let Some(packet) = sealed(&transfer, part) else {
            let words = match part {
                Sealed::Packet => "it has no packet yet",
                Sealed::Receipt => "it has no signed receipt",
            };
            let next = format!("See where it stands: throughcare explain {begin}");
            return Err(Refusal::new(RefusalKind::NotNow, words, next));
        };
        let place: Result<SealedRef, _> = packet.0.parse();
        let octets = place.and_then(|place| self.parts.vault.reader(&place)).map_err(unreadable)?;
        Ok((transfer, octets))
    }
}

/// What lies sealed of a transfer, if it has that.
fn sealed(transfer: &Transfer, part: Sealed) -> Option<&PacketRef> {
    match (&transfer.case, part) {
        (Case::Release(release), Sealed::Packet) => release.delivery().map(|d| &d.dispatch.packet),
        (Case::Release(release), Sealed::Receipt) => release.receipt.as_ref(),
        (Case::Received(received), Sealed::Packet) => Some(&received.arrival.packet),
        (Case::Received(received), Sealed::Receipt) => received.receipt.as_ref(),
        (Case::Reception(reception), Sealed::Packet) => reception.arrival.as_ref().map(|a| &a.packet),
        (Case::Reception(_), Sealed::Receipt) => None,
        (Case::Outbound(outbound), Sealed::Packet) => outbound.delivery().map(|d| &d.dispatch.packet),
        (Case::Outbound(outbound), Sealed::Receipt) => outbound.receipt.as_ref(),
        (Case::Noted(_), _) => None,
    }
}

fn send(mut octets: Unsealed, replies: &Replies) -> Result<u64, Refusal> {
    let mut bytes = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut octets).take(PIECE as u64).read_to_end(&mut piece).map_err(unreadable)?;
        if read == 0 {
            return Ok(bytes);
        }
        bytes += u64::try_from(read).unwrap_or(u64::MAX);
        replies.blocking_send(Reply::Octets(STANDARD.encode(&piece))).map_err(|_| stopping())?;
    }
}

fn unreadable(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::Failed, error, "Check the disk and the vault key.")
}
