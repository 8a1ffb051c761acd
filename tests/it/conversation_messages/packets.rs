//! Whole packets of a large message: an extract that leaves documents to messages of their own, an index, a Continue;
//! opened strictly, held against the schemas, verified by us and by `xmlsec1`.

use std::path::Path;

use throughcare::model::{ConversationId, CpaId, MessageId, PartyKey, Timestamp};
use throughcare::packet::description::Description;
use throughcare::packet::envelope::{AckRequest, GP2GP, Header, Href};
use throughcare::packet::hl7::{CopcKind, ReadCopc, fragment_name};
use throughcare::packet::manifest::{DocumentId, Listed, has_messages};
use throughcare::packet::mime::{self, MimeLimits, Strictness};
use throughcare::packet::signature::verify::{Leniency, Terms};
use throughcare::packet::{
    AssembleFault, Attachment, Enclosed, Incoming, Packet, PacketLimits, Received, assemble,
    assemble_listing, open, restamp,
};

use super::{assert_valid, leave, part};
use crate::signatures::made::{Identity, Message, now};
use crate::signatures::ours::xmlsec1_accepts;
use crate::tools::shared;

const EXTRACT: &[u8] = b"<RCMR_IN030000UK06 xmlns=\"urn:hl7-org:v3\"></RCMR_IN030000UK06>";

fn header(action: &str) -> Header {
    Header {
        from: PartyKey::parse("HMP01-0001").unwrap(),
        to: PartyKey::parse("GPX01-0002").unwrap(),
        cpa_id: CpaId::parse("S0001A0002").unwrap(),
        conversation: ConversationId::derived(&["conversation"]),
        service: GP2GP.to_owned(),
        action: action.to_owned(),
        message_id: MessageId::derived(&["copc"]),
        timestamp: now(),
        time_to_live: Some(Timestamp::parse("2026-03-02T15:00:00Z").unwrap()),
        refers_to: None,
        duplicate_elimination: true,
        ack_requested: AckRequest::Party { signed: true },
    }
}

fn letter<'a>(document_id: &'a str, octets: &'a [u8]) -> Attachment<'a> {
    let description =
        "Filename=\"Quillfeather = \u{e9} & <b>.pdf\" ContentType=application/pdf Compressed=No";
    Attachment { document_id, description, content_type: "application/pdf", octets }
}

fn described(filename: &str, large: bool) -> Description {
    Description {
        filename: filename.to_owned(),
        content_type: Some("image/tiff".to_owned()),
        large_attachment: large,
        length: Some(36_504),
        ..Description::default()
    }
}

fn elsewhere<'a>(
    document_id: Option<&'a str>,
    message_id: &'a MessageId,
    description: &'a Description,
) -> Enclosed<'a> {
    Enclosed::Elsewhere { document_id, message_id, description }
}

fn carried<'a>(description: &'a Description, octets: &'a [u8]) -> Enclosed<'a> {
    Enclosed::Carried { description, content_type: "image/tiff", octets }
}

fn strict(packet: &Packet) -> Incoming<'_> {
    let opened = open(&packet.content_type, &packet.body, Strictness::Strict, &MimeLimits::default());
    match opened.unwrap() {
        Received::Business(incoming) => *incoming,
        Received::Signal { .. } => panic!("a business message"),
    }
}

/// The envelope is valid, its signature covers the HL7 and so many parts, and `xmlsec1` thinks so too.
fn assert_sealed(packet: &Packet, identity: &Identity, parts: usize) {
    let opened =
        mime::read(&packet.content_type, &packet.body, Strictness::Strict, &MimeLimits::default()).unwrap();
    let envelope = opened[0].body.to_vec();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/profile-signed.xsd");
    assert_valid(&ours, &envelope);
    if let Some(theirs) = shared("schema/ebxml/envelope.xsd") {
        assert_valid(&theirs, &envelope);
    }
    let pins = identity.pins();
    let terms = Terms { pins: &pins, now: now(), leniency: Leniency::default() };
    let verified = strict(packet).verify(&terms).unwrap();
    assert_eq!(verified.references.len(), parts + 2, "the envelope, the HL7 and every part that is here");
    let body = |part: &mime::Part<'_>| (part.content_id.clone().unwrap(), part.body.to_vec());
    let message = Message {
        envelope: String::from_utf8(envelope.clone()).unwrap(),
        parts: opened[1..].iter().map(body).collect(),
    };
    let Some(accepted) = xmlsec1_accepts(&message, &envelope, identity) else { return };
    assert!(accepted, "xmlsec1 refuses ours: {}", message.envelope);
    if message.envelope.contains("mid:") {
        let redirected = message.envelope.replacen("mid:", "mid:X", 1);
        let refused = xmlsec1_accepts(&message, redirected.as_bytes(), identity);
        assert_eq!(refused, Some(false), "another message than the one that was signed");
    }
}

#[test]
fn an_extract_lists_what_is_here_and_what_is_elsewhere_in_the_order_of_its_documents() {
    let identity = Identity::p256();
    let (index, single) = (MessageId::derived(&["index"]), MessageId::derived(&["single"]));
    let (cut, whole) = (described("cut up.tif", true), described("whole.tif", false));
    let enclosed = [
        Enclosed::Here(letter("D1", &[7; 200])),
        elsewhere(Some("D2"), &index, &cut),
        Enclosed::Here(letter("D3", b"other")),
        elsewhere(Some("D4"), &single, &whole),
    ];
    let header = header("RCMR_IN030000UK06");
    let signer = identity.signer();
    let packet =
        assemble_listing(&header, EXTRACT, &enclosed, Some(&signer), PacketLimits::default()).unwrap();
    assert_sealed(&packet, &identity, 2);
    let incoming = strict(&packet);
    assert_eq!(incoming.header, header);
    let listed = incoming.listed();
    let ids: Vec<&str> = listed.iter().filter_map(|it| it.id.as_ref()).map(DocumentId::verbatim).collect();
    assert_eq!(ids, ["_D1", "_D2", "_D3", "_D4"], "wire §3.3: as they stand");
    let messages: Vec<_> = listed.iter().map(Listed::message_id).collect();
    assert_eq!(messages, [None, Some(index), None, Some(single.clone())]);
    assert_eq!(listed[1].description, cut, "wire §3.4: a mid has its description");
    assert!(has_messages(&incoming.manifest), "LM32");
    let bodies: Vec<Option<Vec<u8>>> =
        incoming.attachments().iter().map(|(_, part)| part.map(|part| part.body.to_vec())).collect();
    assert_eq!(bodies, [Some(vec![7; 200]), None, Some(b"other".to_vec()), None]);
    let again = restamp(&packet, &single, now(), header.time_to_live.unwrap(), Some(&signer)).unwrap();
    assert_eq!(strict(&again).listed(), listed, "wire §5.2(5): another envelope, the same list");
    assert_sealed(&again, &identity, 2);
}

#[test]
fn an_index_lists_its_fragments_with_and_without_its_first_inside() {
    let identity = Identity::p256();
    let header = header("COPC_IN000001UK01");
    let fragments: Vec<MessageId> = ["0", "1", "2"].map(|n| MessageId::derived(&["fragment", n])).into();
    let descriptions: Vec<Description> =
        (0..3).map(|n| described(&fragment_name(&header.message_id, n), false)).collect();
    let mids: Vec<Enclosed<'_>> =
        fragments.iter().zip(&descriptions).map(|(id, said)| elsewhere(None, id, said)).collect();
    let inside = [&[carried(&descriptions[0], b"first")][..], &mids[1..]].concat();
    for (enclosed, parts) in [(&mids, 0), (&inside, 1)] {
        let hl7 = part("cut up.tif").write();
        let signer = identity.signer();
        let packet =
            assemble_listing(&header, &hl7, enclosed, Some(&signer), PacketLimits::default()).unwrap();
        assert_sealed(&packet, &identity, parts);
        let incoming = strict(&packet);
        let copc = ReadCopc::read_labelled(&incoming.hl7().unwrap().body, None).unwrap();
        assert_eq!(copc.kind(&incoming.manifest), CopcKind::Index, "C16: in both forms");
        assert_eq!(copc.wrapper_id, header.message_id, "wire §4.1");
        let found: Vec<MessageId> = incoming.listed().iter().filter_map(Listed::message_id).collect();
        assert_eq!(found, fragments[parts..], "wire §2.3: the order they are joined in");
        assert!(incoming.listed().iter().all(|it| it.id.is_none()), "a fragment is no document");
    }
}

#[test]
fn a_continue_and_a_part_travel_signed_and_are_told_apart() {
    let identity = Identity::p256();
    let signer = identity.signer();
    let header = header("COPC_IN000001UK01");
    let packet = assemble(&header, &leave().write(), &[], Some(&signer), PacketLimits::default()).unwrap();
    assert_sealed(&packet, &identity, 0);
    let kind = |packet: &Packet| {
        let incoming = strict(packet);
        ReadCopc::read_labelled(&incoming.hl7().unwrap().body, None).unwrap().kind(&incoming.manifest)
    };
    assert_eq!(kind(&packet), CopcKind::Continue { refers_to: Some(MessageId::derived(&["extract"])) });
    let hl7 = part("letter.pdf").write();
    let said = described("Quillfeather.tif", false);
    let packet =
        assemble_listing(&header, &hl7, &[carried(&said, b"a")], Some(&signer), PacketLimits::default())
            .unwrap();
    assert_sealed(&packet, &identity, 1);
    assert_eq!(kind(&packet), CopcKind::Part);
    let incoming = strict(&packet);
    let attachments = incoming.attachments();
    let (item, body) = &attachments[0];
    assert_eq!(
        (&item.id, &*body.unwrap().body),
        (&None, &b"a"[..]),
        "wire §3.5 C: what a part carries has no id"
    );
}

#[test]
fn two_parts_by_one_name_are_refused_signed_or_not() {
    let header = header("RCMR_IN030000UK06");
    let own = header.message_id.to_string();
    let signer = Identity::p256().signer();
    for signer in [None, Some(&signer)] {
        let assembled =
            |letters: &[Attachment<'_>]| assemble(&header, EXTRACT, letters, signer, PacketLimits::default());
        let twice = assembled(&[letter("D1", b"a"), letter("D1", b"b")]).unwrap_err();
        assert!(matches!(twice, AssembleFault::RepeatedPart { number: 2 }), "{twice}");
        let the_message = assembled(&[letter(&own, b"a")]).unwrap_err();
        assert!(
            matches!(the_message, AssembleFault::RepeatedPart { number: 1 }),
            "the HL7 part's: {the_message}"
        );
    }
}

#[test]
fn a_message_without_others_is_octet_for_octet_what_it_was() {
    let header = header("RCMR_IN030000UK06");
    let letters = [letter("D1", &[7; 200]), letter("D2", b"x")];
    let here = letters.map(Enclosed::Here);
    let limits = PacketLimits::default();
    let plain = assemble(&header, EXTRACT, &letters, None, limits).unwrap();
    assert_eq!(assemble_listing(&header, EXTRACT, &here, None, limits).unwrap(), plain);
    let text = String::from_utf8(plain.body).unwrap();
    let reference = "<eb:Reference eb:id=\"_D2\" xlink:href=\"cid:D2@hmp01-0001\"><eb:Description xml:lang=\"en\">\
                     Filename=&quot;Quillfeather = \u{e9} &amp; &lt;b&gt;.pdf&quot; ContentType=application/pdf Compressed=No\
                     </eb:Description></eb:Reference></eb:Manifest>";
    assert!(text.contains(reference), "{text}");
}

#[test]
fn a_manifest_has_a_limit_that_every_reader_takes() {
    let header = header("COPC_IN000001UK01");
    let id = MessageId::derived(&["fragment"]);
    let said = described("x", false);
    let many = vec![elsewhere(None, &id, &said); 4_001];
    let assembled = |enclosed: &[Enclosed<'_>]| {
        assemble_listing(&header, EXTRACT, enclosed, None, PacketLimits::default())
    };
    let packet = assembled(&many[1..]).unwrap();
    assert_eq!(strict(&packet).listed().len(), 4_000);
    let refused = assembled(&many).unwrap_err();
    assert!(matches!(refused, AssembleFault::TooManyListed { listed: 4_001, most: 4_000 }), "{refused}");
}

#[test]
fn nothing_that_is_enclosed_or_received_prints_a_name() {
    let said = described("Quillfeather.tif", false);
    let id = MessageId::derived(&["fragment"]);
    let octets = b"Quillfeather";
    let enclosed =
        [Enclosed::Here(letter("D1", octets)), elsewhere(None, &id, &said), carried(&said, octets)];
    let packet = assemble_listing(&header("x"), EXTRACT, &enclosed, None, PacketLimits::default()).unwrap();
    let incoming = strict(&packet);
    assert!(matches!(incoming.manifest[2].href, Href::Message(_)));
    let printed =
        format!("{enclosed:?} {:?} {:?} {:?}", incoming.manifest, incoming.listed(), incoming.header);
    assert!(!printed.contains("Quillfeather"), "{printed}");
    assert!(!printed.contains("81, 117, 105"), "nor its octets: {printed}");
}
