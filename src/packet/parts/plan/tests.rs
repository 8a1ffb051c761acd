//! What goes where, by the numbers of the specification.

use super::*;
use crate::model::{ConversationId, CpaId, PartyKey, Timestamp};
use crate::packet::envelope::{AckRequest, GP2GP};

fn header() -> Header {
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
        ack_requested: AckRequest::NextHop,
    }
}

fn ids() -> impl FnMut() -> MessageId {
    let mut n = 0u32;
    move || {
        n += 1;
        MessageId::derived(&["part", &n.to_string()])
    }
}

const PDF: &str = "application/pdf";

fn document<'a>(id: &'a str, content_type: &'a str, bytes: u64, gzipped: Option<u64>) -> Document<'a> {
    Document { id, file_name: "letter.bin", content_type, bytes, gzipped }
}

fn plan_of(hl7_bytes: u64, documents: &[Document<'_>]) -> Result<Plan, PlanFault> {
    let header = header();
    let core =
        Core { header: &header, hl7_bytes, outsourced: None, signed: false, limits: PacketLimits::default() };
    plan(&core, documents, ids())
}

#[test]
fn what_fits_one_message_needs_no_other() {
    let plan = plan_of(100_000, &[document("A", PDF, 1_000, None), document("B", "text/plain", 10, None)]);
    let plan = plan.unwrap();
    assert_eq!((plan.reasons, plan.parts, plan.hl7), (vec![], 0, None));
    assert!(plan.documents.iter().all(|item| item.way == Way::Inside));
    assert_eq!(plan.documents[0].description.length, Some(1_336), "LM24: characters of base64");
}

#[test]
fn the_smallest_stay_and_the_manifest_keeps_its_order() {
    // LM10, LM12, reason A.
    let documents =
        [("A", 2_000_000), ("B", 1_500_000), ("C", 900_000)].map(|(id, n)| document(id, PDF, n, None));
    let plan = plan_of(100_000, &documents).unwrap();
    let inside: Vec<bool> = plan.documents.iter().map(|item| item.way == Way::Inside).collect();
    assert_eq!(inside, [false, true, true]);
    assert_eq!(plan.reasons, [Reason::Total]);
    assert_eq!(plan.reasons[0].digit(), 5);
    assert_eq!(plan.parts, 1);
    assert!(plan.bytes <= 4_999_600 && plan.bytes > 3_200_000);
    let Way::Whole { packing, .. } = plan.documents[0].way else { panic!("LM15: one file, one message") };
    assert_eq!(packing, Packing::Raw);
    assert!(!plan.documents[0].description.large_attachment);
}

#[test]
fn too_many_attachments_go_outside_largest_first() {
    // LM01, C18, reason C.
    let documents: Vec<Document<'_>> = (0..100).map(|n| document("D", PDF, 1_000 - n, None)).collect();
    let plan = plan_of(1_000, &documents).unwrap();
    let outside: Vec<usize> = (0..100).filter(|at| plan.documents[*at].way != Way::Inside).collect();
    assert_eq!(outside, [0, 1]);
    assert_eq!((plan.reasons, plan.parts), (vec![Reason::Count], 2));
}

#[test]
fn a_file_of_four_megabytes_is_fragmented_and_says_so() {
    // F13: 4 MB raw are 5.3 MB as base64.
    let plan = plan_of(1_000, &[document("A", "image/jpeg", 4_000_000, None)]).unwrap();
    assert_eq!(plan.reasons, [Reason::Attachment, Reason::Total]);
    let item = &plan.documents[0];
    assert!(item.description.large_attachment && !item.description.compressed);
    assert_eq!(item.description.length, Some(5_333_336));
    let Way::Fragments { index, packing: Packing::Raw, fragments } = &item.way else { panic!("fragments") };
    assert_eq!((fragments.len(), plan.parts), (2, 3));
    // LM29.1: cut at multiples of 76 characters, never padded inside.
    assert_eq!(fragments[0].range, 0..3_374_970);
    assert_eq!(fragments[0].description.length, Some(4_499_960));
    assert_eq!(fragments[1].range, 3_374_970..4_000_000);
    for (n, fragment) in fragments.iter().enumerate() {
        assert_eq!(fragment.description.filename, format!("{index}_{n}.messageattachment"));
        assert!(!fragment.description.compressed && !fragment.description.large_attachment);
    }
    let lengths: u64 = fragments.iter().filter_map(|fragment| fragment.description.length).sum();
    assert_eq!(Some(lengths), item.description.length, "the pieces of one text");
}

#[test]
fn gzip_is_tried_where_it_may_help_and_used_where_it_does() {
    // LM11, LM27, LM28.
    let header = header();
    let limits = PacketLimits::default();
    let core = Core { header: &header, hl7_bytes: 1_000, outsourced: None, signed: false, limits };
    let rows = [
        ("text/plain", 4_000_000, true),
        ("image/tiff", 4_000_000, true),
        ("text/plain", 3_000_000, false),
        ("image/jpeg", 4_000_000, false),
        ("video/mpeg", 4_000_000, false),
        ("audio/mpeg", 4_000_000, false),
        ("Image/PNG", 4_000_000, false),
    ];
    for (content_type, bytes, expected) in rows {
        let document = document("A", content_type, bytes, None);
        assert_eq!(needs_measuring(&document, &core), expected, "{content_type} {bytes}");
    }
    let text = |gzipped| document("A", "text/plain", 4_000_000, gzipped);
    assert_eq!(plan_of(1_000, &[text(None)]), Err(PlanFault::Unmeasured(0)));
    let small = plan_of(1_000, &[text(Some(1_000_000))]).unwrap();
    assert!(matches!(small.documents[0].way, Way::Whole { packing: Packing::Gzip, .. }));
    let said = &small.documents[0].description;
    assert!(said.compressed && !said.large_attachment && said.length == Some(1_333_336));
    let large = plan_of(1_000, &[text(Some(3_900_000))]).unwrap();
    let said = &large.documents[0].description;
    assert!(said.compressed && said.large_attachment && said.length == Some(5_200_000));
    let grown = plan_of(1_000, &[text(Some(4_000_100))]).unwrap();
    assert!(!grown.documents[0].description.compressed, "gzip only if that shrinks it");
}

#[test]
fn a_type_that_spine_does_not_carry_goes_outside_under_its_true_name() {
    // LM29, reason E.
    let plan =
        plan_of(1_000, &[document("A", "image/bmp", 100, None), document("B", PDF, 100, None)]).unwrap();
    assert_eq!(plan.reasons, [Reason::Type]);
    assert!(matches!(plan.documents[0].way, Way::Whole { packing: Packing::Raw, .. }));
    assert_eq!(plan.documents[0].description.content_type.as_deref(), Some("image/bmp"));
    assert_eq!(plan.documents[1].way, Way::Inside);
}

#[test]
fn hl7_over_the_limit_goes_outside_and_a_skeleton_stands_for_it() {
    // LM12, reason D.
    let header = header();
    let outsourced = Outsourced { id: "H", skeleton_bytes: 2_000, gzipped: 700_000 };
    let core = Core {
        header: &header,
        hl7_bytes: 6_000_000,
        outsourced: Some(outsourced),
        signed: false,
        limits: PacketLimits::default(),
    };
    let documents = [document("A", PDF, 3_000, None)];
    assert!(needs_skeleton(&documents, &core));
    let planned = plan(&core, &documents, ids()).unwrap();
    assert_eq!(planned.reasons, [Reason::Hl7, Reason::Total]);
    let hl7 = planned.hl7.unwrap();
    assert!(matches!(hl7.way, Way::Whole { packing: Packing::Gzip, .. }));
    assert!(hl7.description.is_skeleton() && hl7.description.compressed);
    assert_eq!(hl7.description.length, Some(933_336));
    assert_eq!((planned.documents[0].way.clone(), planned.parts), (Way::Inside, 1));
    let bare = Core { outsourced: None, ..core };
    assert_eq!(plan(&bare, &documents, ids()), Err(PlanFault::SkeletonNeeded));
    let vast = Core { outsourced: Some(Outsourced { gzipped: 4_000_000, ..outsourced }), ..core };
    let vast = plan(&vast, &documents, ids()).unwrap().hl7.unwrap();
    assert!(matches!(vast.way, Way::Fragments { packing: Packing::Gzip, .. }), "as any other file");
    assert!(vast.description.large_attachment && vast.description.is_skeleton());
}

#[test]
fn six_hundred_and_eighty_megabytes_are_planned_without_being_read() {
    // §4.5: what has been seen.
    let plan = plan_of(1_000, &[document("A", "image/tiff", 680_000_000, Some(676_000_000))]).unwrap();
    let Way::Fragments { fragments, .. } = &plan.documents[0].way else { panic!("fragments") };
    assert_eq!(fragments.len(), 201);
    assert_eq!(fragments.last().unwrap().range.end, 676_000_000);
    assert_eq!(plan.parts, 202);
    let many: Vec<Document<'_>> = (0..2_658).map(|_| document("D", PDF, 372_000, None)).collect();
    let plan = plan_of(1_000_000, &many).unwrap();
    assert!(plan.bytes <= 4_999_600, "2,658 references stand in the extract");
}

#[test]
fn what_cannot_be_planned_says_why() {
    let header = header();
    let limits = PacketLimits { message_bytes: 10_000, ..PacketLimits::default() };
    let core = Core { header: &header, hl7_bytes: 100, outsourced: None, signed: false, limits };
    let one = [document("A", "image/jpeg", 100_000, None)];
    assert_eq!(plan(&core, &one, ids()), Err(PlanFault::DoesNotFit));
    let endless = document("A", "image/jpeg", u64::MAX, None);
    assert_eq!(plan_of(1, &[endless]), Err(PlanFault::DoesNotFit));
    let crowd: Vec<Document<'_>> = (0..20_000).map(|_| document("D", PDF, 1, None)).collect();
    assert_eq!(plan_of(1, &crowd), Err(PlanFault::SkeletonNeeded), "their references alone are too much");
}
