//! From a release to a packet: directory, record, extract, envelope, signature, seal. And from a packet to the same
//! packet in a new envelope.

use std::sync::Arc;

use crate::directory::{AckRequested, Delivery, DuplicateElimination, Party, Peer, Profile};
use crate::extract::{
    self, Content, Document, Documents, Interaction, Parameters, Record, RecordLimits, Refusal,
};
use crate::model::{ConversationId, MessageId, NhsNumber, OdsCode, Timestamp, derived_uuid};
use crate::packet::envelope::{AckRequest, GP2GP, Header};
use crate::packet::signature::Signer;
use crate::packet::{self, Packet, PacketLimits};
use crate::perform::Tools;
use crate::perform::pack::{COPC, Files, Maker, Parts, assembly, pack};
use crate::records::{RecordFault, RecordRef};
use crate::telemetry::Direction;
use crate::transfer::custody::{CustodyEvent, CustodyKind};
use crate::transfer::dispatch::{PacketRef, Transmission};
use crate::transfer::event::{Asked, Basis, Prepared, PreparedPart};
use crate::transfer::outcome::Completeness;
use crate::transfer::reason::PrepareFault;
use crate::transfer::timeout::Terms;
use crate::{clock, model};

/// The interaction of an extract without confidentiality labels.
const EXTRACT: &str = "RCMR_IN030000UK06";

/// What is to be prepared.
pub struct Wanted {
    /// The release, where custody told of one.
    pub order: Option<Box<CustodyEvent>>,
    /// The practice's request, where there is one.
    pub asked: Option<Box<Asked>>,
    /// The practice.
    pub to: OdsCode,
    /// The conversation.
    pub conversation: ConversationId,
    /// The message.
    pub message_id: MessageId,
    /// When it is stamped.
    pub now: Timestamp,
}

impl Wanted {
    /// What the packet is prepared for.
    pub fn basis(&self) -> Basis {
        Basis {
            event: self.order.as_ref().map(|order| order.event_id),
            request: self.asked.as_ref().map(|asked| asked.message_id.clone()),
        }
    }

    /// Who sends: whoever was asked, or the establishment that releases.
    fn from(&self) -> Option<&OdsCode> {
        let released = || self.order.as_ref().map(|order| &order.establishment);
        self.asked.as_ref().map(|asked| &asked.to).or_else(released)
    }

    /// Whose record it is: the number that was asked for, or the one PDS verified. Both were compared before.
    fn number(&self) -> Option<NhsNumber> {
        let verified = || self.order.as_ref()?.identity.verified_number().copied();
        self.asked.as_ref().and_then(|asked| asked.nhs_number).or_else(verified)
    }
}

/// Prepares the packet of a release. Sealed when it returns.
pub async fn prepare(tools: &Tools, wanted: Wanted) -> Result<Prepared, PrepareFault> {
    let now = wanted.now;
    let directory = tools.directory.current();
    let (to, peer) = destination(directory.by_ods(&wanted.to), now)?;
    if wanted.asked.is_none() && peer.delivery == Delivery::OnRequest {
        return Err(PrepareFault::DestinationTakesNoPush);
    }
    let from =
        wanted.from().and_then(|code| directory.by_ods(code)).ok_or(PrepareFault::DestinationUnknown)?;
    let signer = signer_for(tools, peer)?;
    let header = header(from, peer, EXTRACT, wanted.conversation, wanted.message_id.clone(), now)
        .ok_or(PrepareFault::DestinationUnknown)?;
    let limits = PacketLimits {
        message_bytes: peer.limits.message_bytes,
        attachments: usize::try_from(peer.limits.attachments).unwrap_or(usize::MAX),
        ..PacketLimits::default()
    };
    let asids = (from.address().map(|a| a.asid.clone()), peer.address.asid.clone());
    let (from_asid, to_asid) = (asids.0.ok_or(PrepareFault::DestinationUnknown)?, asids.1);
    let (contract, signed, to_ods) = (peer.retry_contract(), signer.is_some(), to.ods.clone());
    let records = tools.records.clone();
    let part_header = for_parts(&header, peer);
    let (takes_parts, from_ods, mut parts) = (peer.large_messaging, from.ods.clone(), Parts::of(tools));
    let job = move || {
        let parameters = parameters(&wanted, &to_ods, from_asid.clone(), to_asid.clone())?;
        let name = record_of(&records, &wanted, &parameters.nhs_number)?;
        let maker = Maker {
            header: &header,
            part_header: &part_header,
            asids: (from_asid, to_asid),
            ods: (from_ods, to_ods),
            signer: signer.as_deref(),
            limits,
            takes_parts,
        };
        build(&records, &name, &parameters, &maker, &mut parts).map(|built| (built, wanted))
    };
    // Mapping and signing are work for a processor, not for the threads that wait on sockets.
    let (built, wanted) =
        tokio::task::spawn_blocking(job).await.map_err(|_| PrepareFault::ExtractInvalid)??;
    let Built { extract, parts, .. } = built;
    let bytes = extract.body.len() as u64;
    let packet = tools.keep(extract).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a packet could not be sealed");
        PrepareFault::StorageFailed
    })?;
    let persist = contract.persist_duration();
    let wait = Terms::new(persist, persist).wait(parts.len() as u64);
    let account = tools.seal(&built.account).await.map_err(|_| PrepareFault::StorageFailed)?;
    tools.metrics.accounted(Direction::Sent, &built.completeness);
    Ok(Prepared {
        account: Some(account),
        basis: wanted.basis(),
        to: wanted.to,
        transmission: Transmission {
            packet,
            message_id: wanted.message_id,
            stamped_at: now,
            expires_at: now.plus(persist),
            bytes,
        },
        contract,
        completeness: built.completeness,
        attachments: built.attachments,
        placeholders: built.placeholders,
        signed,
        parts,
        wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Puts the same HL7 octets in a new envelope. Sealed when it returns.
pub async fn restamp(
    tools: &Tools,
    packet: &PacketRef,
    to: &OdsCode,
    message_id: MessageId,
    persist_duration_ms: u64,
) -> Result<Transmission, PrepareFault> {
    let now = clock::now();
    let directory = tools.directory.current();
    let (_, peer) = destination(directory.by_ods(to), now)?;
    let signer = signer_for(tools, peer)?;
    let expires_at = now.plus(std::time::Duration::from_millis(persist_duration_ms));
    let old = tools.fetch(packet).await.map_err(|_| PrepareFault::StorageFailed)?;
    let fresh = packet::restamp(&old, &message_id, now, expires_at, signer.as_deref()).map_err(assembly)?;
    let bytes = fresh.body.len() as u64;
    let packet = tools.keep(fresh).await.map_err(|_| PrepareFault::StorageFailed)?;
    Ok(Transmission { packet, message_id, stamped_at: now, expires_at, bytes })
}

/// The header of the parts of an extract: another interaction, and so another contract.
pub(super) fn for_parts(header: &Header, peer: &Peer) -> Header {
    let cpa_id = peer.address.cpa_id(COPC).clone();
    Header { cpa_id, action: COPC.to_owned(), ..header.clone() }
}

/// The header of an acknowledgement from `from` to `peer`.
pub fn acknowledgement_header(
    from: &Party,
    peer: &Peer,
    conversation: ConversationId,
    message_id: MessageId,
    now: Timestamp,
) -> Option<Header> {
    header(from, peer, "MCCI_IN010000UK13", conversation, message_id, now)
}

pub(super) fn header(
    from: &Party,
    peer: &Peer,
    action: &str,
    conversation: ConversationId,
    message_id: MessageId,
    now: Timestamp,
) -> Option<Header> {
    Some(Header {
        from: from.address()?.party_key.clone(),
        to: peer.address.party_key.clone(),
        // The receiver's contract (wire reference §3.2).
        cpa_id: peer.address.cpa_id(action).clone(),
        conversation,
        service: GP2GP.to_owned(),
        action: action.to_owned(),
        message_id,
        timestamp: now,
        time_to_live: Some(now.plus(peer.contract.persist_duration)),
        refers_to: None,
        duplicate_elimination: peer.contract.duplicate_elimination == DuplicateElimination::Always,
        ack_requested: match (peer.profile, peer.contract.ack_requested) {
            // Only the party's own acknowledgement can be a receipt (wire reference §6.1).
            (Profile::Signed, _) => AckRequest::Party { signed: true },
            (Profile::Spine, AckRequested::NextMsh) => AckRequest::NextHop,
            (Profile::Spine, AckRequested::ToParty) => AckRequest::Party { signed: false },
            (Profile::Spine, AckRequested::Never) => AckRequest::Never,
        },
    })
}

/// The signer where the directory says that the party takes signed messages.
pub fn signer_for(tools: &Tools, peer: &Peer) -> Result<Option<Arc<Signer>>, PrepareFault> {
    match peer.profile {
        Profile::Spine => Ok(None),
        Profile::Signed => tools.signer.current().map(Some).ok_or(PrepareFault::SigningUnavailable),
    }
}

pub(super) fn destination(party: Option<&Party>, now: Timestamp) -> Result<(&Party, &Peer), PrepareFault> {
    let party = party.ok_or(PrepareFault::DestinationUnknown)?;
    if !party.valid_at(now) || !party.kind.takes_part() {
        return Err(PrepareFault::DestinationClosed);
    }
    Ok((party, party.peer().ok_or(PrepareFault::DestinationClosed)?))
}

/// The record that custody named, or else the one that the folder has for the number.
fn record_of(
    records: &crate::records::RecordFolder,
    wanted: &Wanted,
    number: &NhsNumber,
) -> Result<RecordRef, PrepareFault> {
    match wanted.order.as_ref().map(|order| &order.kind) {
        Some(CustodyKind::Release(release)) => {
            RecordRef::parse(release.record_ref.reveal()).map_err(record_fault)
        }
        Some(_) | None => records.find(number).map_err(record_fault),
    }
}

fn parameters(
    wanted: &Wanted,
    to: &OdsCode,
    from_asid: model::Asid,
    to_asid: model::Asid,
) -> Result<Parameters, PrepareFault> {
    let number = wanted.number().ok_or(PrepareFault::RecordOfAnotherPatient)?;
    let from = wanted.from().ok_or(PrepareFault::DestinationUnknown)?;
    // The extract's id belongs to the patient's chain and is reused on re-export (S45, GS03).
    let digits = number.reveal();
    // It is the same whether custody told of a release, a practice asked, or both, and at every return (A-B-A).
    let chain = ["chain", from.as_str(), digits.as_str()];
    Ok(Parameters {
        message_id: wanted.message_id.clone(),
        request_id: wanted
            .asked
            .as_ref()
            .and_then(|asked| asked.request_id.as_ref().map(ToString::to_string)),
        nhs_number: number,
        from_ods: from.clone(),
        to_ods: to.clone(),
        from_asid,
        to_asid,
        conversation: wanted.conversation,
        now: wanted.now,
        interaction: Interaction::Uk06,
        extract_id: derived_uuid(&chain).hyphenated().to_string().to_ascii_uppercase(),
    })
}

struct Built {
    extract: Packet,
    parts: Vec<PreparedPart>,
    /// The account, as it is kept.
    account: Vec<u8>,
    completeness: Completeness,
    attachments: u32,
    placeholders: u32,
}

fn build(
    records: &crate::records::RecordFolder,
    name: &RecordRef,
    parameters: &Parameters,
    maker: &Maker<'_>,
    parts: &mut Parts,
) -> Result<Built, PrepareFault> {
    let text = records.fetch(name).map_err(record_fault)?;
    let record = Record::parse(&text, &RecordLimits::default()).map_err(|_| PrepareFault::RecordMalformed)?;
    let documents = look_at_documents(records, name, &record);
    let extract = extract::build(&record, parameters, &documents).map_err(refusal)?;
    drop(record);
    drop(text);
    let packet = pack(maker, &extract, &Files { records, record: name }, parts)?;
    let placeholders = extract.attachments.iter().filter(|a| matches!(a.content, Content::Placeholder(_)));
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(Built {
        extract: packet,
        parts: parts.finish()?,
        account: extract.account.to_json(),
        completeness: extract.account.totals(),
        attachments: count(extract.attachments.len()),
        placeholders: count(placeholders.count()),
    })
}

/// Which of the record's documents can be had, and of what type they truly are.
pub fn look_at_documents(
    records: &crate::records::RecordFolder,
    name: &RecordRef,
    record: &Record,
) -> Documents {
    let mut documents = Documents::default();
    for wanted in record.documents() {
        let declared = wanted.content_type.as_deref().unwrap_or("application/octet-stream");
        let state = match records.attachment(name, &wanted.url, declared) {
            Ok(found) => {
                Document::Present { length: found.bytes, content_type: found.claim.content_type().to_owned() }
            }
            Err(fault) => Document::Absent(absence(&fault)),
        };
        documents.insert(wanted.url, state);
    }
    documents
}

/// The true reason of a placeholder (extract reference §8.8).
fn absence(fault: &RecordFault) -> extract::AbsentReason {
    match fault {
        RecordFault::NotFound | RecordFault::BadName => extract::AbsentReason::NotFound,
        RecordFault::Unreadable(_)
        | RecordFault::Escapes
        | RecordFault::NotAFile
        | RecordFault::TooLarge { .. }
        | RecordFault::NotJson { .. }
        | RecordFault::NotABundle
        | RecordFault::Several => extract::AbsentReason::Unknown,
    }
}

fn record_fault(fault: RecordFault) -> PrepareFault {
    PrepareFault::from(&fault)
}

fn refusal(refusal: Refusal) -> PrepareFault {
    match refusal {
        Refusal::NoPatient => PrepareFault::RecordWithoutPatient,
        Refusal::NhsNumberMissing | Refusal::TwoPatients | Refusal::AnotherPatient => {
            PrepareFault::RecordOfAnotherPatient
        }
        Refusal::LabelCannotTravel { .. } => PrepareFault::LabelCannotTravel,
        other @ (Refusal::Unbalanced { .. } | Refusal::Invalid { .. }) => {
            tracing::error!(error = &other as &dyn std::error::Error, "an extract contradicts itself");
            PrepareFault::ExtractInvalid
        }
    }
}
