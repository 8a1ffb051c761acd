//! A received record: out of the vault into the clinical system's folder, and the acknowledgement made ready.

use std::borrow::Cow;
use std::io::Read;

use crate::clock;
use crate::directory::Directory;
use crate::extract::{self, Account, Expected, ReceivedDocument};
use crate::model::{MessageId, NhsNumber, Timestamp, TransferId};
use crate::packet::description::Description;
use crate::packet::hl7::{Answer, ApplicationAcknowledgement};
use crate::packet::mime::{MimeLimits, Part, Strictness};
use crate::packet::parts::skeleton;
use crate::packet::xml::XmlLimits;
use crate::packet::{self, Incoming, Packet, PacketLimits, Received};
use crate::perform::join::{self, Joined};
use crate::perform::prepare::{acknowledgement_header, signer_for};
use crate::perform::{Acknowledge, Tools};
use crate::records::{self, ReadRecord, ReceivedAttachment, ReceivedRecord, Text, Written};
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
    let (with, arrived, at) = (tools.clone(), arrival.clone(), clock::now());
    let job = move || put_in_folder(&with, transfer, &arrived, &packet, at);
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
    tools: &Tools,
    transfer: TransferId,
    arrival: &Arrival,
    packet: &Packet,
    now: Timestamp,
) -> Result<Option<Account>, FilingFault> {
    let limits = MimeLimits::default();
    let opened = packet::open(&packet.content_type, &packet.body, Strictness::Tolerant, &limits);
    let Ok(Received::Business(incoming)) = opened else { return Err(FilingFault::PacketUnreadable) };
    let hl7 = incoming.hl7().ok_or(FilingFault::PacketUnreadable)?;
    let (extract, items) = whole_extract(tools, arrival, &hl7.body, items(&incoming))?;
    let mut account = None;
    let heads: Vec<ItemHead> = items.iter().map(Item::head).collect();
    let (number, kept) = (arrival.nhs_number, &mut account);
    let text = Box::new(move |written: &[Written]| {
        let record = read_record(transfer, number, &extract, &heads, written).map(|(record, account)| {
            *kept = Some(account);
            record
        });
        Text { extract, record }
    });
    let attachments = items.into_iter().map(|item| item.attachment(tools, arrival));
    let record = ReceivedRecord {
        transfer,
        conversation: arrival.conversation,
        from: arrival.from.clone(),
        to: arrival.to.clone(),
        received_at: arrival.received_at,
        attachments: attachments.collect(),
        text,
    };
    match tools.filing.file(record, now) {
        Ok(_) => Ok(account),
        Err(error) => {
            tracing::error!(%transfer, error = &error as &dyn std::error::Error, "a record could not be filed");
            Err(match error {
                records::FilingFault::NoRoom { .. } => FilingFault::NoRoom,
                records::FilingFault::Io { source, .. } if join::is_of_pieces(&source) => {
                    FilingFault::PartsUnusable
                }
                records::FilingFault::Io { .. } => FilingFault::FolderUnwritable,
                records::FilingFault::Conflict { .. } => FilingFault::AnotherRecordThere,
                records::FilingFault::TooMany { .. } => FilingFault::TooManyAttachments,
            })
        }
    }
}

/// One document of a received record.
struct Item<'p> {
    head: ItemHead,
    content: Where<'p>,
}

/// What the manifest says of it.
#[derive(Clone)]
struct ItemHead {
    id: String,
    description: Description,
    content_type: String,
}

/// Where its octets are.
enum Where<'p> {
    /// In the message of the extract.
    Here(&'p [u8]),
    /// In a message of its own, or in several.
    Apart(MessageId),
}

/// The documents that came, in the order of the manifest. What is listed and did not come is told of by the account.
fn items<'p>(incoming: &'p Incoming<'_>) -> Vec<Item<'p>> {
    let one = |(item, part): (&'p packet::envelope::Item, Option<&'p Part<'_>>)| {
        let description = Description::parse(&item.description);
        let carried = part.map(|part| part.content_type.clone());
        let content_type = description.content_type.clone().or(carried).unwrap_or_default();
        let content = match part {
            Some(part) => Where::Here(&part.body),
            None => Where::Apart(item.href.message_id()?),
        };
        let id = item.id.clone().unwrap_or_default();
        Some(Item { head: ItemHead { id, description, content_type }, content })
    };
    incoming.attachments().into_iter().filter_map(one).collect()
}

impl<'p> Item<'p> {
    fn head(&self) -> ItemHead {
        self.head.clone()
    }

    fn attachment(self, tools: &'p Tools, arrival: &'p Arrival) -> ReceivedAttachment<'p> {
        let ItemHead { id, description, content_type } = self.head;
        let content: Box<dyn Read + 'p> = match self.content {
            Where::Here(octets) => Box::new(octets),
            Where::Apart(message) => Box::new(Joined::of(tools, &arrival.from, message)),
        };
        ReceivedAttachment { id, filename: description.filename, content_type, content }
    }
}

/// The extract, made whole where a skeleton stood for it (§4.2(8)), and the documents that are left.
fn whole_extract<'p>(
    tools: &Tools,
    arrival: &Arrival,
    hl7: &'p [u8],
    mut items: Vec<Item<'p>>,
) -> Result<(Cow<'p, [u8]>, Vec<Item<'p>>), FilingFault> {
    let is_skeleton =
        |item: &Item<'_>| item.head.description.domain_data.as_deref() == Some(Description::SKELETON);
    let Some(place) = items.iter().position(is_skeleton) else { return Ok((Cow::Borrowed(hl7), items)) };
    let item = items.remove(place);
    let id = item.head.id.trim_start_matches('_').to_owned();
    let mut content = Vec::new();
    let most = XmlLimits::payload().octets as u64;
    let mut reader = item.attachment(tools, arrival).content.take(most + 1);
    reader.read_to_end(&mut content).map_err(|error| {
        if join::is_of_pieces(&error) { FilingFault::PartsUnusable } else { FilingFault::PacketUnreadable }
    })?;
    let whole = skeleton::restore(hl7, &id, &content).map_err(|fault| {
        tracing::warn!(%fault, "a skeleton and its content do not fit");
        FilingFault::PartsUnusable
    })?;
    Ok((Cow::Owned(whole), items))
}

fn read_record(
    transfer: TransferId,
    nhs_number: Option<NhsNumber>,
    extract: &[u8],
    heads: &[ItemHead],
    written: &[Written],
) -> Option<(ReadRecord, Account)> {
    let documents = heads.iter().zip(written).map(|(head, written)| ReceivedDocument {
        id: head.id.clone(),
        file_name: head.description.filename.clone(),
        url: written.file.clone(),
        content_type: Some(head.content_type.clone()),
        length: written.bytes,
        sha1: written.sha1.clone(),
    });
    let expected = Expected { nhs_number, documents: documents.collect(), ..Expected::default() };
    match extract::read(extract, &expected) {
        Ok(reading) => {
            let account = reading.account.to_json();
            let record = ReadRecord { bundle: reading.json, account, missing: reading.missing };
            Some((record, reading.account))
        }
        Err(refusal) => {
            let error = &refusal as &dyn std::error::Error;
            tracing::warn!(%transfer, error, "a record was filed as it came: it could not be read");
            None
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
    let packet = tools.keep(packet).await.map_err(|_| FilingFault::AcknowledgementUnmade)?;
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
