//! A received record: out of the vault into the clinical system's folder, and the acknowledgement made ready.

use crate::clock;
use crate::directory::Directory;
use crate::extract::{self, Account, Expected, ReceivedDocument};
use crate::model::{MessageId, Timestamp, TransferId};
use crate::packet::description::Description;
use crate::packet::fingerprint::sha1_base64;
use crate::packet::hl7::{Answer, ApplicationAcknowledgement};
use crate::packet::mime::{MimeLimits, Strictness};
use crate::packet::{self, Packet, PacketLimits, Received};
use crate::perform::prepare::{acknowledgement_header, signer_for};
use crate::perform::{Acknowledge, Tools};
use crate::records::{self, FilingFolder, ReadRecord, ReceivedAttachment, ReceivedRecord};
use crate::telemetry::Direction;
use crate::transfer::dispatch::Transmission;
use crate::transfer::event::{Arrival, Filed};
use crate::transfer::reason::FilingFault;
use crate::transfer::refusal::Refusal;
use crate::transfer::retry::Contract;

/// Files what arrived; filing it twice changes nothing.
pub async fn file(
    tools: &Tools,
    transfer: TransferId,
    arrival: &Arrival,
    message_id: Option<MessageId>,
) -> Result<Filed, FilingFault> {
    let packet = tools.fetch(&arrival.packet).await.map_err(|_| FilingFault::PacketUnreadable)?;
    let (folder, arrived, at) = (tools.filing.clone(), arrival.clone(), clock::now());
    let job = move || put_in_folder(&folder, transfer, &arrived, &packet, at);
    let account = tokio::task::spawn_blocking(job).await.map_err(|_| FilingFault::FolderUnwritable)??;
    let completeness = account.as_ref().map(Account::totals);
    let account = match &account {
        Some(account) => {
            Some(tools.seal(&account.to_json()).await.map_err(|_| FilingFault::AcknowledgementUnmade)?)
        }
        None => None,
    };
    let acknowledgement = match (tools.acknowledge, message_id) {
        (Acknowledge::WhenFiled, Some(id)) => {
            Some(acknowledge(tools, arrival, Answer::Accept, id, at).await?)
        }
        (Acknowledge::Never, _) | (Acknowledge::WhenFiled, None) => None,
    };
    // Last of all: a filing that fails is tried again, and its record is still one record.
    if let Some(totals) = &completeness {
        tools.metrics.accounted(Direction::Received, totals);
    }
    Ok(Filed { acknowledgement, completeness, account, decision: tools.decides })
}

/// Puts the record where the clinical system takes it from; gives the account of its statements. An extract that cannot
/// be read as a record is filed all the same, as it came.
fn put_in_folder(
    folder: &FilingFolder,
    transfer: TransferId,
    arrival: &Arrival,
    packet: &Packet,
    now: Timestamp,
) -> Result<Option<Account>, FilingFault> {
    let limits = MimeLimits::default();
    let opened = packet::open(&packet.content_type, &packet.body, Strictness::Tolerant, &limits);
    let Ok(Received::Business(incoming)) = opened else { return Err(FilingFault::PacketUnreadable) };
    let hl7 = incoming.hl7().ok_or(FilingFault::PacketUnreadable)?;
    let parts = incoming.attachments();
    let described: Vec<_> = parts
        .iter()
        .filter_map(|(item, part)| Some((*item, Description::parse(&item.description), (*part)?)))
        .collect();
    let documents = described.iter().enumerate().map(|(n, (item, description, part))| {
        let content_type = description.content_type.clone().unwrap_or_else(|| part.content_type.clone());
        ReceivedDocument {
            id: item.id.clone().unwrap_or_default(),
            file_name: description.filename.clone(),
            url: records::attachment_name(n, &content_type),
            content_type: Some(content_type),
            length: part.body.len() as u64,
            sha1: sha1_base64(&part.body),
        }
    });
    let expected =
        Expected { nhs_number: arrival.nhs_number, documents: documents.collect(), ..Expected::default() };
    let reading = match extract::read(&hl7.body, &expected) {
        Ok(reading) => Some(reading),
        Err(refusal) => {
            let error = &refusal as &dyn std::error::Error;
            tracing::warn!(%transfer, error, "a record was filed as it came: it could not be read");
            None
        }
    };
    let kept = reading.as_ref().map(|r| r.account.to_json());
    let mut contents: Vec<&[u8]> = described.iter().map(|(_, _, part)| &*part.body).collect();
    let attachments = described
        .iter()
        .zip(contents.iter_mut())
        .map(|((item, description, part), content)| ReceivedAttachment {
            id: item.id.clone().unwrap_or_default(),
            filename: description.filename.clone(),
            content_type: description.content_type.clone().unwrap_or_else(|| part.content_type.clone()),
            content,
        })
        .collect();
    let record = ReceivedRecord {
        transfer,
        conversation: arrival.conversation,
        from: arrival.from.clone(),
        to: arrival.to.clone(),
        received_at: arrival.received_at,
        extract: &mut &*hl7.body,
        record: reading.as_ref().zip(kept.as_ref()).map(|(reading, account)| ReadRecord {
            bundle: &reading.json,
            account,
            missing: &reading.missing,
        }),
        attachments,
    };
    match folder.file(record, now) {
        Ok(_) => Ok(reading.map(|r| r.account)),
        Err(error) => {
            tracing::error!(%transfer, error = &error as &dyn std::error::Error, "a record could not be filed");
            Err(match error {
                records::FilingFault::NoRoom { .. } => FilingFault::NoRoom,
                records::FilingFault::Io { .. } => FilingFault::FolderUnwritable,
                records::FilingFault::Conflict { .. } => FilingFault::AnotherRecordThere,
                records::FilingFault::TooMany { .. } => FilingFault::TooManyAttachments,
            })
        }
    }
}

/// Makes the acknowledgement that refuses what arrived. Not a matter of policy: the clinical system never had the
/// record, so nobody else could answer.
pub async fn refuse(
    tools: &Tools,
    arrival: &Arrival,
    refusal: Refusal,
    message_id: MessageId,
) -> Result<(Transmission, Contract), FilingFault> {
    let verdict = Answer::Refuse { code: refusal.code().to_owned(), text: refusal.words().to_owned() };
    acknowledge(tools, arrival, verdict, message_id, clock::now()).await
}

/// The acknowledgement of a record (AA, S66–67, or AE), sealed when it returns.
async fn acknowledge(
    tools: &Tools,
    arrival: &Arrival,
    verdict: Answer,
    message_id: MessageId,
    now: Timestamp,
) -> Result<(Transmission, Contract), FilingFault> {
    let directory = tools.directory.current();
    let (packet, expires_at, contract) = compose(tools, &directory, arrival, verdict, &message_id, now)?;
    let bytes = packet.body.len() as u64;
    let packet = tools.keep(&packet).await.map_err(|_| FilingFault::AcknowledgementUnmade)?;
    Ok((Transmission { packet, message_id, stamped_at: now, expires_at, bytes }, contract))
}

fn compose(
    tools: &Tools,
    directory: &Directory,
    arrival: &Arrival,
    verdict: Answer,
    message_id: &MessageId,
    now: Timestamp,
) -> Result<(Packet, Timestamp, Contract), FilingFault> {
    let us = directory.by_ods(&arrival.to).ok_or(FilingFault::SenderUnknown)?;
    let peer = directory.by_ods(&arrival.from).and_then(|p| p.peer()).ok_or(FilingFault::SenderUnknown)?;
    let our_address = us.address().ok_or(FilingFault::SenderUnknown)?;
    let header = acknowledgement_header(us, peer, arrival.conversation, message_id.clone(), now)
        .ok_or(FilingFault::SenderUnknown)?;
    let hl7 = ApplicationAcknowledgement {
        message_id: message_id.clone(),
        creation: now,
        to_asid: peer.address.asid.clone(),
        from_asid: our_address.asid.clone(),
        refers_to: arrival.message_id.clone(),
        verdict,
    }
    .write();
    let signer = signer_for(tools, peer).map_err(|_| FilingFault::AcknowledgementUnmade)?;
    let packet = packet::assemble(&header, &hl7, &[], signer.as_deref(), PacketLimits::default())
        .map_err(|_| FilingFault::AcknowledgementUnmade)?;
    Ok((packet, now.plus(peer.contract.persist_duration), peer.retry_contract()))
}
