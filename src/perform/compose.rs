//! A message that goes its own way: written, signed and sealed when it is due.

use crate::clock;
use crate::directory::{Directory, Party, Peer, Standing};
use crate::model::{ConversationId, OdsCode, Timestamp};
use crate::packet::hl7::{Answer, ApplicationAcknowledgement, Copc, CopcContent, EhrRequest};
use crate::packet::{self, PacketLimits};
use crate::perform::Tools;
use crate::perform::pack::COPC;
use crate::perform::prepare::{header, signer_for};
use crate::transfer::dispatch::Transmission;
use crate::transfer::outbound::{Outbound, Saying};
use crate::transfer::reason::PrepareFault;
use crate::transfer::retry::Contract;

/// Makes the message. Sealed when it returns.
pub async fn compose(
    tools: &Tools,
    outbound: &Outbound,
    conversation: ConversationId,
) -> Result<(Transmission, Contract), PrepareFault> {
    let now = clock::now();
    let directory = tools.directory.current();
    let (us, peer) = ends(&directory, outbound, now)?;
    let (action, hl7) = payload(outbound, us, peer, now)?;
    let message_id = outbound.message_id.clone();
    let header = header(us, peer, action, conversation, message_id.clone(), now)
        .ok_or(PrepareFault::DestinationUnknown)?;
    let signer = signer_for(tools, peer)?;
    let packet = packet::assemble(&header, &hl7, &[], signer.as_deref(), PacketLimits::default())
        .map_err(|_| PrepareFault::SigningUnavailable)?;
    let bytes = packet.body.len() as u64;
    let packet = tools.keep(packet).await.map_err(|_| PrepareFault::StorageFailed)?;
    let expires_at = now.plus(peer.contract.persist_duration);
    Ok((Transmission { packet, message_id, stamped_at: now, expires_at, bytes }, peer.retry_contract()))
}

/// Both ends, as the directory knows them. A request is held to who takes part (gates 9, 12, 13); an acknowledgement goes
/// to whoever sent what it answers.
fn ends<'d>(
    directory: &'d Directory,
    outbound: &Outbound,
    now: Timestamp,
) -> Result<(&'d Party, &'d Peer), PrepareFault> {
    let party = |code: &OdsCode| directory.by_ods(code).ok_or(PrepareFault::DestinationUnknown);
    let (us, them) = (party(&outbound.from)?, party(&outbound.to)?);
    if let Saying::Request { .. } = outbound.saying {
        if matches!(them.standing, Standing::Served(_)) {
            return Err(PrepareFault::SamePremises);
        }
        // A practice that has closed still counts as the one before (S15), but nobody there could answer.
        if !them.valid_at(now) || !them.kind.takes_part() {
            return Err(PrepareFault::DestinationClosed);
        }
    }
    Ok((us, them.peer().ok_or(PrepareFault::DestinationClosed)?))
}

/// The HL7 payload and its action.
fn payload(
    outbound: &Outbound,
    us: &Party,
    peer: &Peer,
    now: Timestamp,
) -> Result<(&'static str, Vec<u8>), PrepareFault> {
    let (message_id, creation, to_asid) = (outbound.message_id.clone(), now, peer.address.asid.clone());
    let from_asid = us.address().ok_or(PrepareFault::DestinationUnknown)?.asid.clone();
    Ok(match &outbound.saying {
        Saying::Request { request_id, nhs_number } => {
            let request = EhrRequest {
                message_id,
                creation,
                to_asid,
                from_asid,
                request_id: request_id.clone(),
                nhs_number: *nhs_number,
                requester_ods: outbound.from.clone(),
                sender_ods: outbound.to.clone(),
            };
            ("RCMR_IN010000UK05", request.write())
        }
        Saying::Acknowledgement { refers_to, refusal }
        | Saying::PartAcknowledgement { refers_to, refusal } => {
            let verdict = match refusal {
                None => Answer::Accept,
                Some(said) => Answer::Refuse { code: said.code.clone(), text: said.words.clone() },
            };
            let refers_to = refers_to.clone();
            let ack =
                ApplicationAcknowledgement { message_id, creation, to_asid, from_asid, refers_to, verdict };
            ("MCCI_IN010000UK13", ack.write())
        }
        Saying::Continue { refers_to } => {
            let leave = Copc {
                message_id,
                creation,
                to_asid,
                from_asid,
                to_ods: outbound.to.clone(),
                from_ods: outbound.from.clone(),
                content: CopcContent::Continue { refers_to: refers_to.clone() },
            };
            (COPC, leave.write())
        }
        // It was made with its record.
        Saying::Part { .. } => return Err(PrepareFault::ExtractInvalid),
    })
}
