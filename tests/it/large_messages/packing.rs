//! Random records, planned, really assembled and joined again (LM10 to LM17, LM24, LM29).

use std::iter::once;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use throughcare::model::{ConversationId, CpaId, MessageId, PartyKey, Timestamp};
use throughcare::packet::envelope::{AckRequest, GP2GP, Header, Href, Item, write_business};
use throughcare::packet::parts::gzip::gzip;
use throughcare::packet::parts::join::{Carried, Expected, JoinLimits, Joiner};
use throughcare::packet::parts::plan::{
    Core, Document, Outsourced, Packing, Plan, Planned, Way, needs_measuring, needs_skeleton, plan,
};
use throughcare::packet::signature::Signer;
use throughcare::packet::{Attachment, PacketLimits, assemble};

use crate::dice::Dice;
use crate::signatures::made::Identity;

const TYPES: [&str; 6] =
    ["application/pdf", "text/plain", "image/jpeg", "image/tiff", "image/bmp", "application/vnd.ms-excel"];

struct File {
    id: String,
    name: String,
    content_type: &'static str,
    octets: Vec<u8>,
    gzipped: Option<Vec<u8>>,
}

impl File {
    fn roll(dice: &mut Dice, n: usize) -> Self {
        let length = 1usize << dice.below(18);
        let length = dice.index(length) + usize::from(dice.chance(900));
        let step = dice.below(64);
        let roll = |at| (at as u64).checked_div(step).unwrap_or_else(|| dice.next()) as u8;
        let octets: Vec<u8> = (0..length).map(roll).collect();
        let id = MessageId::derived(&["document", &n.to_string()]).to_string();
        let tails = ["a.pdf", "Dr O'Neill & <son> \"x\".doc", "é = ü.tif", ""];
        let tail = tails[dice.index(tails.len())];
        Self {
            name: format!("{id}_{tail}"),
            id,
            content_type: TYPES[dice.index(TYPES.len())],
            octets,
            gzipped: None,
        }
    }

    fn document(&self) -> Document<'_> {
        Document {
            id: &self.id,
            file_name: &self.name,
            content_type: self.content_type,
            bytes: self.octets.len() as u64,
            gzipped: self.gzipped.as_ref().map(|gzipped| gzipped.len() as u64),
        }
    }

    fn packed(&self, packing: Packing) -> &[u8] {
        match packing {
            Packing::Raw => &self.octets,
            Packing::Gzip => self.gzipped.as_ref().unwrap(),
        }
    }
}

fn header(signed: bool) -> Header {
    Header {
        from: PartyKey::parse("HMP01-0001").unwrap(),
        to: PartyKey::parse("GPX01-0002").unwrap(),
        cpa_id: CpaId::parse("S0001A0002").unwrap(),
        conversation: ConversationId::derived(&["c"]),
        service: GP2GP.to_owned(),
        action: "RCMR_IN030000UK06".to_owned(),
        message_id: MessageId::derived(&["m"]),
        timestamp: Timestamp::parse("2026-03-02T09:00:00Z").unwrap(),
        time_to_live: Some(Timestamp::parse("2026-03-02T15:00:00Z").unwrap()),
        refers_to: None,
        duplicate_elimination: true,
        ack_requested: if signed { AckRequest::Party { signed } } else { AckRequest::NextHop },
    }
}

/// What the references to messages outside add to the envelope, which `assemble` writes without them.
fn outside_bytes(header: &Header, plan: &Plan, files: &[File]) -> u64 {
    let bare = write_business(header, "p", &[]).len();
    let ids = files.iter().map(|file| file.id.as_str());
    let items = plan.hl7.iter().map(|item| (SKELETON, item)).chain(ids.zip(&plan.documents));
    let added = items.filter_map(|(id, planned)| {
        let item = Item {
            id: Some(format!("_{id}")),
            href: Href::Message(planned.way.mid()?.to_string()),
            description: planned.description.to_string(),
        };
        Some((write_business(header, "p", &[item]).len() - bare) as u64)
    });
    added.sum()
}

const SKELETON: &str = "5D4F1B6E-54C9-4F21-9F5D-6B4E2C0C7A11";

/// Assembles the extract without its outside references; its octets with them.
fn extract_bytes(
    header: &Header,
    hl7: u64,
    plan: &Plan,
    files: &[File],
    signer: Option<&Signer>,
    most: PacketLimits,
) -> u64 {
    let hl7 = vec![b' '; usize::try_from(hl7).unwrap()];
    let inside: Vec<(&File, String)> = files
        .iter()
        .zip(&plan.documents)
        .filter(|(_, item)| item.way == Way::Inside)
        .map(|(file, item)| (file, item.description.to_string()))
        .collect();
    let attachments: Vec<Attachment<'_>> = inside
        .iter()
        .map(|(file, description)| Attachment {
            document_id: &file.id,
            description,
            content_type: file.content_type,
            octets: &file.octets,
        })
        .collect();
    let packet = assemble(header, &hl7, &attachments, signer, most).expect("what was planned fits");
    packet.body.len() as u64 + outside_bytes(header, plan, files)
}

/// Assembles the message of one part, with an HL7 payload of the size of a COPC's.
fn assert_part_fits(
    header: &Header,
    octets: &[u8],
    planned: &Planned,
    signer: Option<&Signer>,
    limits: PacketLimits,
) {
    let name = &planned.description.filename;
    let hl7 = vec![b' '; 3_000 + 12 * name.len()];
    let description = planned.description.to_string();
    let attachment = Attachment {
        document_id: SKELETON,
        description: &description,
        content_type: "application/octet-stream",
        octets,
    };
    assemble(header, &hl7, &[attachment], signer, limits).expect("a part fits its message");
}

/// Joins what would travel and compares it with the file.
fn assert_joins(file: &File, item: &Planned, limits: &PacketLimits) -> Vec<Vec<u8>> {
    let expected = Expected::of(&item.description);
    let (packing, ranges): (Packing, Vec<Range<u64>>) = match &item.way {
        Way::Inside => (Packing::Raw, once(0..file.octets.len() as u64).collect()),
        Way::Whole { packing, .. } => (*packing, once(0..file.packed(*packing).len() as u64).collect()),
        Way::Fragments { packing, fragments, index } => {
            for (n, fragment) in fragments.iter().enumerate() {
                assert_eq!(fragment.description.filename, format!("{index}_{n}.messageattachment"));
                assert_eq!(fragment.range.start % 57, 0, "LM29.1: a multiple of 76 characters");
            }
            (*packing, fragments.iter().map(|fragment| fragment.range.clone()).collect())
        }
    };
    assert_eq!(item.description.compressed, packing == Packing::Gzip);
    assert_eq!(item.description.large_attachment, matches!(item.way, Way::Fragments { .. }), "LM24");
    let mut joiner = Joiner::new(Vec::new(), expected, JoinLimits::default());
    let mut end = 0;
    let mut pieces = Vec::new();
    for range in ranges {
        assert_eq!(range.start, end, "nothing is left out and nothing sent twice");
        end = range.end;
        let piece = &file.packed(packing)[range.start as usize..range.end as usize];
        let text = STANDARD.encode(piece);
        assert!(text.len() as u64 <= limits.attachment_characters, "LM01");
        joiner.begin(Carried::Base64).unwrap();
        joiner.feed(text.as_bytes()).unwrap();
        pieces.push(piece.to_vec());
    }
    assert_eq!(joiner.finish().unwrap().0, file.octets, "the receiver has the file");
    pieces
}

fn check(seed: u64, signer: Option<&Signer>) -> Plan {
    let mut dice = Dice(seed);
    let header = header(signer.is_some());
    let limits = PacketLimits {
        message_bytes: 50_000 + dice.below(150_000),
        attachment_characters: 10_000 + dice.below(60_000),
        attachments: 1 + dice.index(12),
    };
    let count = dice.index(24);
    let mut files: Vec<File> = (0..count).map(|n| File::roll(&mut dice, n)).collect();
    let hl7_bytes = dice.below(90_000);
    let skeleton = Outsourced { id: SKELETON, skeleton_bytes: 2_000, gzipped: hl7_bytes / 3 };
    let core =
        Core { header: &header, hl7_bytes, outsourced: Some(skeleton), signed: signer.is_some(), limits };
    for file in &mut files {
        if needs_measuring(&file.document(), &core) {
            let mut gzipped = Vec::new();
            gzip(&file.octets[..], &mut gzipped).unwrap();
            file.gzipped = Some(gzipped);
        }
    }
    let documents: Vec<Document<'_>> = files.iter().map(File::document).collect();
    let mut given = Vec::new();
    let ids = || {
        given.push(MessageId::derived(&["part", &given.len().to_string()]));
        given[given.len() - 1].clone()
    };
    let plan = plan(&core, &documents, ids).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    assert_eq!(plan.documents.len(), files.len(), "every document once, in its order");
    assert_eq!(plan.hl7.is_some(), needs_skeleton(&documents, &core));
    assert_eq!(plan.parts, given.len() as u64, "N: each id is one message");
    for (file, item) in files.iter().zip(&plan.documents) {
        assert_eq!(item.description.filename, file.name);
        let pieces = assert_joins(file, item, &limits);
        if item.way != Way::Inside {
            pieces.iter().for_each(|piece| assert_part_fits(&header, piece, item, signer, limits));
        }
    }
    let hl7_bytes = if plan.hl7.is_some() { 2_000 } else { hl7_bytes };
    let bytes = extract_bytes(&header, hl7_bytes, &plan, &files, signer, limits);
    match signer {
        None => assert_eq!(bytes, plan.bytes, "seed {seed}: the size is known exactly"),
        Some(_) => assert!(bytes <= plan.bytes, "seed {seed}: {bytes} of {}", plan.bytes),
    }
    assert!(plan.bytes <= limits.message_bytes);
    let all_inside = plan.hl7.is_none() && plan.documents.iter().all(|item| item.way == Way::Inside);
    assert_eq!(plan.reasons.is_empty(), all_inside, "seed {seed}: there is a reason, or one message");
    plan
}

#[test]
fn no_message_is_larger_than_planned_and_every_document_arrives() {
    let (mut fragments, mut packed, mut skeletons, mut single) = (0, 0, 0, 0);
    for seed in 0..150 {
        let plan = check(seed, None);
        single += usize::from(plan.reasons.is_empty());
        skeletons += usize::from(plan.hl7.is_some());
        for item in &plan.documents {
            fragments += usize::from(matches!(item.way, Way::Fragments { .. }));
            packed += usize::from(item.description.compressed);
        }
    }
    assert!(fragments > 20 && packed > 20 && skeletons > 5 && single > 5, "each way is gone");
}

#[test]
fn signatures_have_their_room() {
    let signer = Identity::p256().signer();
    for seed in 1000..1025 {
        check(seed, Some(&signer));
    }
}
