//! A mapped record made into messages: one where it fits, else an extract and messages of their own for what does not
//! (gp2gp reference §4.1). Each is signed and sealed as soon as it is made, so that no more than one is in memory.

use std::collections::VecDeque;
use std::io::{Cursor, Read, Write};

use tokio::task::JoinHandle;

use crate::extract::{Content, Extract};
use crate::model::{Asid, MessageId, OdsCode};
use crate::packet::description::Description;
use crate::packet::envelope::Header;
use crate::packet::hl7::{Copc, CopcContent};
use crate::packet::parts::gzip::gzip;
use crate::packet::parts::plan::{
    self, Core, Document, Fragment, Outsourced, Packing, Plan, PlanFault, Planned, Way,
};
use crate::packet::parts::skeleton;
use crate::packet::signature::Signer;
use crate::packet::{self, AssembleFault, Attachment, Enclosed, Packet, PacketLimits};
use crate::perform::Tools;
use crate::records::{RecordFault, RecordFolder, RecordRef};
use crate::store::VaultError;
use crate::transfer::dispatch::{PacketRef, Transmission};
use crate::transfer::event::PreparedPart;
use crate::transfer::outbound::PartKind;
use crate::transfer::reason::PrepareFault;

/// The interaction of parts.
pub(super) const COPC: &str = "COPC_IN000001UK01";

/// Between whom messages go, and how they are made.
pub(super) struct Maker<'a> {
    /// The header of the extract; parts have it too, but for their own identity and contract.
    pub header: &'a Header,
    /// The same for parts.
    pub part_header: &'a Header,
    /// Our system and theirs.
    pub asids: (Asid, Asid),
    /// Our organisation and theirs.
    pub ods: (OdsCode, OdsCode),
    /// Our signature, where the practice wants one.
    pub signer: Option<&'a Signer>,
    /// What one message takes.
    pub limits: PacketLimits,
    /// Whether the practice takes parts at all.
    pub takes_parts: bool,
}

/// Parts that may be on their way to the disk while the next is made: they share a sync, and each is in memory.
const AT_ONCE: usize = 4;

/// The parts of a record as they are made, each sealed meanwhile.
pub(super) struct Parts {
    tools: Tools,
    runtime: tokio::runtime::Handle,
    sealed: Vec<PreparedPart>,
    under_way: VecDeque<(PreparedPart, JoinHandle<Result<PacketRef, VaultError>>)>,
}

impl Parts {
    /// None yet. To be called where there is a runtime, to be used on a thread that may wait.
    pub fn of(tools: &Tools) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self { tools: tools.clone(), runtime, sealed: Vec::new(), under_way: VecDeque::new() }
    }

    fn add(&mut self, kind: PartKind, header: &Header, packet: Packet) -> Result<(), PrepareFault> {
        let transmission = Transmission {
            packet: PacketRef(String::new()),
            message_id: header.message_id.clone(),
            stamped_at: header.timestamp,
            expires_at: header.time_to_live.unwrap_or(header.timestamp),
            bytes: packet.body.len() as u64,
        };
        let tools = self.tools.clone();
        let sealing = self.runtime.spawn(async move { tools.keep(packet).await });
        self.under_way.push_back((PreparedPart { kind, transmission }, sealing));
        while self.under_way.len() > AT_ONCE {
            self.settle()?;
        }
        Ok(())
    }

    /// Waits for the oldest that is under way.
    fn settle(&mut self) -> Result<(), PrepareFault> {
        let Some((mut part, sealing)) = self.under_way.pop_front() else { return Ok(()) };
        let sealed = self.runtime.block_on(sealing).map_err(|_| PrepareFault::StorageFailed)?;
        part.transmission.packet = sealed.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a part could not be sealed");
            PrepareFault::StorageFailed
        })?;
        self.sealed.push(part);
        Ok(())
    }

    /// All of them, in the order in which they were made. Sealed when it returns.
    pub fn finish(&mut self) -> Result<Vec<PreparedPart>, PrepareFault> {
        while !self.under_way.is_empty() {
            self.settle()?;
        }
        Ok(std::mem::take(&mut self.sealed))
    }
}

/// Where the files of a record are.
pub(super) struct Files<'a> {
    pub records: &'a RecordFolder,
    pub record: &'a RecordRef,
}

/// Makes all messages of a record: gives the extract, what travels by itself is added to `parts`.
pub(super) fn pack(
    maker: &Maker<'_>,
    extract: &Extract,
    files: &Files<'_>,
    parts: &mut Parts,
) -> Result<Packet, PrepareFault> {
    let bodies = bodies(extract, files)?;
    if !maker.takes_parts {
        return whole(maker, &extract.xml, extract, &bodies, files);
    }
    let mut documents: Vec<Document<'_>> = extract
        .attachments
        .iter()
        .zip(&bodies)
        .map(|(attachment, body)| Document {
            id: &attachment.document_id,
            file_name: &attachment.file_name,
            content_type: &attachment.content_type,
            bytes: body.bytes(),
            gzipped: None,
        })
        .collect();
    let mut core = Core {
        header: maker.header,
        hl7_bytes: extract.xml.len() as u64,
        outsourced: None,
        signed: maker.signer.is_some(),
        limits: maker.limits,
    };
    for (document, body) in documents.iter_mut().zip(&bodies) {
        if plan::needs_measuring(document, &core) {
            let packed = gzip(body.reader(files)?, std::io::sink()).map_err(unreadable)?;
            document.gzipped = Some(packed.packed);
        }
    }
    let item = MessageId::derived(&["skeleton", maker.header.message_id.as_str()]);
    let outside = plan::needs_skeleton(&documents, &core)
        .then(|| Outside::of(&extract.xml, item.as_str()))
        .transpose()?;
    core.outsourced = outside.as_ref().map(|outside| Outsourced {
        id: item.as_str(),
        skeleton_bytes: outside.skeleton.len() as u64,
        gzipped: outside.gzipped.len() as u64,
    });
    let mut number = 0u32;
    let ids = || {
        number += 1;
        MessageId::derived(&["part", maker.header.message_id.as_str(), &number.to_string()])
    };
    let plan = plan::plan(&core, &documents, ids).map_err(unplanned)?;
    drop(documents);
    let outside = outside.as_ref().map(|outside| (item.as_str(), outside));
    send_as_planned(maker, (extract, &bodies), &plan, outside, files, parts)
}

/// What stands for the HL7 where it does not fit, and itself.
struct Outside {
    skeleton: Vec<u8>,
    gzipped: Vec<u8>,
}

impl Outside {
    fn of(xml: &[u8], item: &str) -> Result<Self, PrepareFault> {
        let skeleton = skeleton::write(xml, item).map_err(|fault| {
            tracing::error!(%fault, "there is no skeleton of an extract");
            PrepareFault::ExtractInvalid
        })?;
        let mut gzipped = Vec::new();
        gzip(xml, &mut gzipped).map_err(unreadable)?;
        Ok(Self { skeleton, gzipped })
    }
}

/// One message, or none.
fn whole(
    maker: &Maker<'_>,
    hl7: &[u8],
    extract: &Extract,
    bodies: &[Body<'_>],
    files: &Files<'_>,
) -> Result<Packet, PrepareFault> {
    // Before any file is read: what does not fit one message need not fit memory.
    let bytes = bodies.iter().map(Body::bytes).sum::<u64>() + hl7.len() as u64;
    if bytes > maker.limits.message_bytes {
        return Err(PrepareFault::TakesNoParts);
    }
    let described: Vec<Planned> = extract
        .attachments
        .iter()
        .zip(bodies)
        .map(|(attachment, body)| {
            let description = Description {
                filename: attachment.file_name.clone(),
                content_type: Some(attachment.content_type.clone()),
                // Length counts base64 characters (LM24).
                length: Some(body.bytes().div_ceil(3) * 4),
                ..Description::default()
            };
            Planned { description, way: Way::Inside }
        })
        .collect();
    assemble_extract(maker, hl7, None, (extract, &described), bodies, files)
}

fn send_as_planned(
    maker: &Maker<'_>,
    (extract, bodies): (&Extract, &[Body<'_>]),
    plan: &Plan,
    outside: Option<(&str, &Outside)>,
    files: &Files<'_>,
    parts: &mut Parts,
) -> Result<Packet, PrepareFault> {
    if let (Some(hl7), Some((_, outside))) = (&plan.hl7, outside) {
        // It was measured gzipped, and is so already.
        send_item(maker, hl7, Packed::Ready(&outside.gzipped), parts)?;
    }
    for (item, body) in plan.documents.iter().zip(bodies) {
        if item.way != Way::Inside {
            send_item(maker, item, Packed::From(body, files), parts)?;
        }
    }
    let hl7 = outside.map_or(extract.xml.as_slice(), |(_, outside)| outside.skeleton.as_slice());
    let item = plan.hl7.as_ref().zip(outside).map(|(planned, (id, _))| (id, planned));
    assemble_extract(maker, hl7, item, (extract, &plan.documents), bodies, files)
}

fn assemble_extract(
    maker: &Maker<'_>,
    hl7: &[u8],
    item: Option<(&str, &Planned)>,
    (extract, planned): (&Extract, &[Planned]),
    bodies: &[Body<'_>],
    files: &Files<'_>,
) -> Result<Packet, PrepareFault> {
    let mut inside = Vec::with_capacity(bodies.len());
    for (body, planned) in bodies.iter().zip(planned) {
        let content = if planned.way == Way::Inside { Some(body.read(files)?) } else { None };
        inside.push((planned.description.to_string(), content));
    }
    let mut enclosed = Vec::with_capacity(bodies.len() + 1);
    if let Some((id, planned)) = item {
        enclosed.extend(elsewhere(Some(id), planned));
    }
    for ((attachment, planned), (description, content)) in
        extract.attachments.iter().zip(planned).zip(&inside)
    {
        enclosed.extend(match content {
            Some(octets) => Some(Enclosed::Here(Attachment {
                document_id: &attachment.document_id,
                description,
                content_type: &attachment.content_type,
                octets,
            })),
            None => elsewhere(Some(&attachment.document_id), planned),
        });
    }
    packet::assemble_listing(maker.header, hl7, &enclosed, maker.signer, maker.limits).map_err(assembly)
}

fn elsewhere<'p>(document_id: Option<&'p str>, planned: &'p Planned) -> Option<Enclosed<'p>> {
    let message_id = planned.way.mid()?;
    Some(Enclosed::Elsewhere { document_id, message_id, description: &planned.description })
}

/// The octets of an item in the form in which they travel, or what makes them.
#[derive(Clone, Copy)]
enum Packed<'a> {
    Ready(&'a [u8]),
    From(&'a Body<'a>, &'a Files<'a>),
}

impl Packed<'_> {
    /// Writes all octets in their packing.
    fn pour(self, packing: Packing, mut to: impl Write) -> Result<(), PrepareFault> {
        match (self, packing) {
            (Self::Ready(octets), _) => to.write_all(octets).map_err(unreadable),
            (Self::From(body, files), Packing::Raw) => {
                std::io::copy(&mut body.reader(files)?, &mut to).map(drop).map_err(unreadable)
            }
            (Self::From(body, files), Packing::Gzip) => {
                gzip(body.reader(files)?, to).map(drop).map_err(unreadable)
            }
        }
    }
}

/// Makes the messages of one item, in the order index, fragments.
fn send_item(
    maker: &Maker<'_>,
    planned: &Planned,
    octets: Packed<'_>,
    parts: &mut Parts,
) -> Result<(), PrepareFault> {
    match &planned.way {
        Way::Inside => Ok(()),
        Way::Whole { mid, packing } => {
            let mut whole = Vec::new();
            octets.pour(*packing, &mut whole)?;
            maker.part(PartKind::File, mid, &planned.description, &whole, parts)
        }
        Way::Fragments { index, packing, fragments } => {
            maker.index(index, &planned.description.filename, fragments, parts)?;
            let mut cutter =
                Cutter { maker, fragments: fragments.iter(), piece: Vec::new(), parts, fault: None };
            let poured = octets.pour(*packing, &mut cutter);
            match (cutter.fault.take(), poured) {
                (Some(fault), _) => Err(fault),
                (None, Err(fault)) => Err(fault),
                (None, Ok(())) => cutter.finish(),
            }
        }
    }
}

/// Cuts octets on their way into fragments, each made and sealed as soon as it is full.
struct Cutter<'a, 'm> {
    maker: &'a Maker<'m>,
    fragments: std::slice::Iter<'a, Fragment>,
    piece: Vec<u8>,
    parts: &'a mut Parts,
    fault: Option<PrepareFault>,
}

impl Cutter<'_, '_> {
    fn room(&self) -> Option<usize> {
        let next = self.fragments.as_slice().first()?;
        let length = usize::try_from(next.range.end - next.range.start).ok()?;
        length.checked_sub(self.piece.len())
    }

    fn cut(&mut self) -> Result<(), PrepareFault> {
        // More octets than were measured: the file changed meanwhile.
        let fragment = self.fragments.next().ok_or(PrepareFault::RecordUnreadable)?;
        let (mid, description) = (&fragment.mid, &fragment.description);
        self.maker.part(PartKind::Fragment, mid, description, &self.piece, self.parts)?;
        self.piece.clear();
        Ok(())
    }

    /// Whether as many octets came as were measured.
    fn finish(self) -> Result<(), PrepareFault> {
        let complete = self.fragments.as_slice().is_empty() && self.piece.is_empty();
        if complete { Ok(()) } else { Err(PrepareFault::RecordUnreadable) }
    }
}

impl Write for Cutter<'_, '_> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        let taken = match self.room() {
            Some(room) => &octets[..room.min(octets.len())],
            None => return Err(std::io::ErrorKind::InvalidData.into()),
        };
        self.piece.extend_from_slice(taken);
        if self.room() == Some(0)
            && let Err(fault) = self.cut()
        {
            self.fault = Some(fault);
            return Err(std::io::ErrorKind::Other.into());
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Maker<'_> {
    /// A message with one file, or one piece of one.
    fn part(
        &self,
        kind: PartKind,
        mid: &MessageId,
        description: &Description,
        octets: &[u8],
        parts: &mut Parts,
    ) -> Result<(), PrepareFault> {
        let content_type = match (kind, description.compressed) {
            // What Spine does not carry goes as octets, with its true type in the description (LM29).
            (PartKind::File, false) => {
                packet::mime::carried_type(description.content_type.as_deref().unwrap_or_default())
            }
            _ => "application/octet-stream",
        };
        let carried = Enclosed::Carried { description, content_type, octets };
        self.message(kind, mid, &description.filename, &[carried], parts)
    }

    /// The index of a file's fragments; it carries no file itself (C16).
    fn index(
        &self,
        mid: &MessageId,
        name: &str,
        fragments: &[Fragment],
        parts: &mut Parts,
    ) -> Result<(), PrepareFault> {
        let listed: Vec<Enclosed<'_>> = fragments
            .iter()
            .map(|fragment| Enclosed::Elsewhere {
                document_id: None,
                message_id: &fragment.mid,
                description: &fragment.description,
            })
            .collect();
        self.message(PartKind::Index, mid, name, &listed, parts)
    }

    pub(super) fn message(
        &self,
        kind: PartKind,
        mid: &MessageId,
        name: &str,
        enclosed: &[Enclosed<'_>],
        parts: &mut Parts,
    ) -> Result<(), PrepareFault> {
        let header = Header { message_id: mid.clone(), ..self.part_header.clone() };
        let hl7 = Copc {
            message_id: mid.clone(),
            creation: header.timestamp,
            to_asid: self.asids.1.clone(),
            from_asid: self.asids.0.clone(),
            to_ods: self.ods.1.clone(),
            from_ods: self.ods.0.clone(),
            content: CopcContent::Part { name: name.to_owned() },
        }
        .write();
        let packet =
            packet::assemble_listing(&header, &hl7, enclosed, self.signer, self.limits).map_err(assembly)?;
        parts.add(kind, &header, packet)
    }
}

/// One file of a record.
enum Body<'a> {
    Here(&'a [u8]),
    File { url: &'a str, content_type: &'a str, bytes: u64 },
}

fn bodies<'a>(extract: &'a Extract, files: &Files<'_>) -> Result<Vec<Body<'a>>, PrepareFault> {
    let one = |attachment: &'a crate::extract::Attachment| {
        Ok(match &attachment.content {
            Content::Placeholder(octets) | Content::Inline(octets) => Body::Here(octets),
            Content::Source(url) => {
                let content_type = attachment.content_type.as_str();
                let bytes = files.open(url, content_type)?.bytes;
                Body::File { url, content_type, bytes }
            }
        })
    };
    extract.attachments.iter().map(one).collect()
}

impl Body<'_> {
    fn bytes(&self) -> u64 {
        match self {
            Self::Here(octets) => octets.len() as u64,
            Self::File { bytes, .. } => *bytes,
        }
    }

    fn reader<'r>(&'r self, files: &Files<'_>) -> Result<Box<dyn Read + 'r>, PrepareFault> {
        Ok(match self {
            Self::Here(octets) => Box::new(Cursor::new(*octets)),
            Self::File { url, content_type, .. } => Box::new(files.open(url, content_type)?.into_reader()),
        })
    }

    fn read(&self, files: &Files<'_>) -> Result<Vec<u8>, PrepareFault> {
        match self {
            Self::Here(octets) => Ok(octets.to_vec()),
            Self::File { url, content_type, .. } => {
                files.open(url, content_type)?.read().map_err(|fault| PrepareFault::from(&fault))
            }
        }
    }
}

impl Files<'_> {
    fn open(&self, url: &str, content_type: &str) -> Result<crate::records::Attachment, PrepareFault> {
        let opened = self.records.attachment(self.record, url, content_type);
        opened.map_err(|fault: RecordFault| PrepareFault::from(&fault))
    }
}

fn unreadable(error: std::io::Error) -> PrepareFault {
    tracing::warn!(error = &error as &dyn std::error::Error, "a document could not be read");
    PrepareFault::RecordUnreadable
}

fn unplanned(fault: PlanFault) -> PrepareFault {
    tracing::warn!(%fault, "a record does not fit the messages there are");
    match fault {
        PlanFault::DoesNotFit | PlanFault::TooManyParts => PrepareFault::TooLargeForOneMessage,
        PlanFault::Unmeasured(_) | PlanFault::SkeletonNeeded => PrepareFault::ExtractInvalid,
    }
}

pub(super) fn assembly(fault: AssembleFault) -> PrepareFault {
    match fault {
        AssembleFault::Signing(_) => PrepareFault::SigningUnavailable,
        AssembleFault::TooLarge { .. }
        | AssembleFault::AttachmentTooLarge { .. }
        | AssembleFault::TooManyListed { .. } => PrepareFault::TooLargeForOneMessage,
        AssembleFault::RepeatedPart { .. } => PrepareFault::ExtractInvalid,
        AssembleFault::Unreadable(_) => PrepareFault::StorageFailed,
    }
}
