//! Whole messages: written and read again field by field, held against the published schemas, signed and answered with a
//! receipt, and damaged in every way a practice might (wire reference §2.2, §3.5, §6.3).

use throughcare::model::{ConversationId, CpaId, MessageId, PartyKey, Timestamp};
use throughcare::packet::envelope::{AckRequest, GP2GP, Header, Href};
use throughcare::packet::mime::{MimeFault, MimeLimits, Strictness};
use throughcare::packet::signal::{self, Complaint, Signal};
use throughcare::packet::signature::SignatureFault;
use throughcare::packet::signature::receipt::verify_receipt;
use throughcare::packet::signature::verify::{Leniency, Terms};
use throughcare::packet::{
    AssembleFault, Attachment, Incoming, Packet, PacketFault, PacketLimits, Received, Unread, assemble, open,
    restamp,
};

use crate::signatures::made::{Identity, now};
use crate::tools::{self, shared};

const HL7: &[u8] =
    "<RCMR_IN030000UK06 xmlns=\"urn:hl7-org:v3\"><id root=\"M1\"></id>é</RCMR_IN030000UK06>".as_bytes();
const FILE: &[u8] = &[7; 200];

fn header() -> Header {
    Header {
        from: PartyKey::parse("HMP01-0001").unwrap(),
        to: PartyKey::parse("GPX01-0002").unwrap(),
        cpa_id: CpaId::parse("S0001A0002").unwrap(),
        conversation: ConversationId::derived(&["conversation"]),
        service: GP2GP.to_owned(),
        action: "RCMR_IN030000UK06".to_owned(),
        message_id: MessageId::derived(&["extract"]),
        timestamp: now(),
        time_to_live: Some(Timestamp::parse("2026-03-02T15:00:00Z").unwrap()),
        refers_to: None,
        duplicate_elimination: true,
        ack_requested: AckRequest::NextHop,
    }
}

fn signed_header() -> Header {
    Header { ack_requested: AckRequest::Party { signed: true }, ..header() }
}

fn letter(octets: &[u8]) -> Attachment<'_> {
    let description = "Filename=\"a = é & <b>.pdf\" ContentType=application/pdf";
    Attachment { document_id: "D1", description, content_type: "application/pdf", octets }
}

/// Skeleton A.
fn extract() -> Packet {
    assemble(&header(), HL7, &[letter(FILE)], None, PacketLimits::default()).unwrap()
}

fn signed(identity: &Identity) -> Packet {
    let signer = identity.signer();
    assemble(&signed_header(), HL7, &[letter(FILE)], Some(&signer), PacketLimits::default()).unwrap()
}

fn read<'a>(packet: &Packet, body: &'a [u8], strictness: Strictness) -> Result<Incoming<'a>, Unread> {
    match open(&packet.content_type, body, strictness, &MimeLimits::default())? {
        Received::Business(incoming) => Ok(*incoming),
        Received::Signal { .. } => panic!("not a business message"),
    }
}

fn strict(packet: &Packet) -> Incoming<'_> {
    read(packet, &packet.body, Strictness::Strict).unwrap()
}

fn signal_of(octets: &[u8]) -> (Box<throughcare::packet::xml::Document>, Signal) {
    match open("text/xml", octets, Strictness::Strict, &MimeLimits::default()).unwrap() {
        Received::Signal { envelope, signal } => (envelope, signal),
        Received::Business(_) => panic!("not a signal"),
    }
}

fn validate(octets: &[u8]) {
    let Some(schema) = shared("schema/ebxml/envelope.xsd") else { return };
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("document.xml");
    std::fs::write(&document, octets).unwrap();
    let arguments = ["--nonet", "--noout", "--schema", schema.to_str().unwrap(), document.to_str().unwrap()];
    let Some(output) = tools::run("xmllint", arguments) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The octets of the envelope as they travel.
fn envelope(packet: &Packet) -> Vec<u8> {
    let parts = throughcare::packet::mime::read(
        &packet.content_type,
        &packet.body,
        Strictness::Strict,
        &MimeLimits::default(),
    );
    parts.unwrap()[0].body.to_vec()
}

#[test]
fn an_extract_and_an_acknowledgement_are_read_again_field_by_field_and_are_valid() {
    let packet = extract();
    let incoming = strict(&packet);
    assert_eq!(incoming.header, header(), "skeleton A of wire reference 3.5");
    assert_eq!(incoming.addressees(), [header().to]);
    assert_eq!(&*incoming.hl7().unwrap().body, HL7);
    let attachments = incoming.attachments();
    assert_eq!(attachments.len(), 1);
    assert_eq!(attachments[0].0.id.as_deref(), Some("_D1"), "kept verbatim");
    assert_eq!(attachments[0].0.description, letter(FILE).description);
    assert_eq!(&*attachments[0].1.unwrap().body, FILE);
    validate(&envelope(&packet));
    let header = Header { action: "MCCI_IN010000UK13".to_owned(), ..header() };
    let packet = assemble(&header, b"<MCCI/>", &[], None, PacketLimits::default()).unwrap();
    assert_eq!(strict(&packet).header, header, "skeleton D");
    validate(&envelope(&packet));
}

#[test]
fn signals_are_read_again_and_are_valid() {
    let ack = signal::acknowledge(&header(), &[], None, now()).unwrap();
    validate(&ack);
    let (_, Signal::Acknowledgment(read)) = signal_of(&ack) else { panic!("not an acknowledgement") };
    assert!(read.fits(&header()) && !read.by_party, "skeleton E");
    let complaint = Complaint { code: "TimeToLiveExpired", location: "//eb:TimeToLive", words: "too late" };
    let refusal = signal::refuse(&header(), complaint, None, now()).unwrap();
    validate(&refusal);
    let (_, Signal::MessageError { refers_to, errors }) = signal_of(&refusal) else { panic!("not an error") };
    assert_eq!(refers_to, Some(header().message_id), "skeleton F");
    assert_eq!((errors[0].code.as_str(), errors[0].warning), ("TimeToLiveExpired", false));
}

#[test]
fn manifest_and_parts_are_matched_and_a_senders_header_survives_every_damage() {
    let packet = extract();
    let text = String::from_utf8(packet.body.clone()).unwrap();
    let incoming = strict(&packet);
    let Href::Part(cid) = incoming.manifest[1].href.clone() else { panic!("a part") };
    let tolerant = |body: &str| read(&packet, body.as_bytes(), Strictness::Tolerant).map(|_| ());
    let strictly = |body: &str| read(&packet, body.as_bytes(), Strictness::Strict).map(|_| ());
    let percent = text.replace(&format!("cid:{cid}"), &format!("cid:{}", cid.replace('@', "%40")));
    let decoded = read(&packet, percent.as_bytes(), Strictness::Tolerant).unwrap();
    assert_eq!(&*decoded.attachments()[0].1.unwrap().body, FILE, "wire §2.2: after one percent-decoding");
    let refused = strictly(&percent).unwrap_err();
    assert_eq!(refused.fault, PacketFault::PartMissing(2), "signed references are exact");
    let missing = tolerant(&text.replace(&format!("cid:{cid}"), "cid:nobody")).unwrap_err();
    assert_eq!(missing.fault, PacketFault::PartMissing(2));
    let boundary = text.lines().next().unwrap().to_owned();
    let end = format!("{boundary}--");
    let with = |id: &str| text.replace(&end, &format!("{boundary}\r\nContent-ID: <{id}>\r\n\r\nx\r\n{end}"));
    assert_eq!(tolerant(&with("extra@x")), Ok(()), "a part nobody names is kept");
    assert_eq!(strictly(&with("extra@x")).unwrap_err().fault, PacketFault::PartUnlisted(4));
    let twice = with(&cid.replace('@', "%40"))
        .replace(&format!("cid:{cid}"), &format!("cid:{}", cid.replace('@', "%40")));
    let ambiguous = tolerant(&twice).unwrap_err();
    assert_eq!(ambiguous.fault, PacketFault::Mime(MimeFault::AmbiguousReference), "two hits are refused");
    let short = tolerant(&text[..text.len() - 60]).unwrap_err();
    assert_eq!(short.fault, PacketFault::Mime(MimeFault::Unclosed));
    for refused in [missing, ambiguous, short] {
        assert_eq!(refused.fault.code(), "MimeProblem", "wire §1.4");
        assert_eq!(refused.header.as_deref(), Some(&header()), "so that its sender can be told");
    }
}

#[test]
fn an_envelope_that_cannot_be_used_is_answered_with_its_own_code() {
    let packet = extract();
    let text = String::from_utf8(packet.body.clone()).unwrap();
    let rows = [
        ("MessageHeader eb:version=\"2.0\"", "MessageHeader eb:version=\"3.0\"", "Inconsistent"),
        (
            "</SOAP:Header>",
            "<x:N xmlns:x=\"urn:x\" SOAP:mustUnderstand=\"1\"/></SOAP:Header>",
            "NotSupported",
        ),
        ("</SOAP:Header>", "<eb:MessageOrder/></SOAP:Header>", "NotSupported"),
        ("xlink:href=\"cid:", "xlink:href=\"ftp:", "OtherXml"),
    ];
    for (from, to, code) in rows {
        let body = text.replacen(from, to, 1);
        let refused = read(&packet, body.as_bytes(), Strictness::Tolerant).unwrap_err();
        assert_eq!(refused.fault.code(), code, "{to}");
        assert!(refused.header.is_some(), "{to}: its sender can be told");
    }
}

#[test]
fn one_of_several_party_ids_is_enough() {
    let packet = extract();
    let text = String::from_utf8(packet.body.clone()).unwrap();
    let more = "</eb:PartyId><eb:PartyId>GPX01-0009</eb:PartyId></eb:To>";
    let body = text.replacen("</eb:PartyId></eb:To>", more, 1);
    let incoming = read(&packet, body.as_bytes(), Strictness::Strict).unwrap();
    let named: Vec<String> = incoming.addressees().iter().map(|it| it.as_str().to_owned()).collect();
    assert_eq!(named, ["GPX01-0002", "GPX01-0009"], "wire §3.2: one must be ours");
}

#[test]
fn a_charset_label_is_believed_only_where_the_octets_need_it() {
    let words = Complaint { code: "OtherXml", location: "//eb:x", words: "é" };
    let text = String::from_utf8(signal::refuse(&header(), words, None, now()).unwrap()).unwrap();
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let opened =
        |label: &str, body: &[u8]| open(label, body, Strictness::Tolerant, &MimeLimits::default()).is_ok();
    assert!(opened("text/xml; charset=\"ISO-8859-1\"", &latin), "the label of a bare envelope counts");
    assert!(!opened("text/xml", &latin), "without one it is not UTF-8");
    assert!(opened("text/xml; charset=ISO-8859-1", text.as_bytes()), "UTF-8 whatever the label says (TPP)");
}

#[test]
fn an_attachment_beyond_the_limit_is_refused_by_its_number() {
    let limits = PacketLimits { attachment_characters: 300, ..PacketLimits::default() };
    let refused = assemble(&header(), HL7, &[letter(b"1"), letter(&[0; 400])], None, limits).unwrap_err();
    assert!(
        matches!(refused, AssembleFault::AttachmentTooLarge { number: 2, characters: 536, most: 300 }),
        "LM01: {refused}"
    );
}

#[test]
fn a_gzip_bomb_stays_shut_and_travels_as_the_octets_it_is() {
    let Some(bomb) = tools::run("sh", ["-c", "head -c 1G /dev/zero | gzip -9"]) else { return };
    let bomb = bomb.stdout;
    assert!(bomb.len() < 2 << 20 && bomb.starts_with(&[0x1f, 0x8b]), "a gigabyte in a megabyte");
    let description = "Filename=\"letters.gz\" ContentType=application/gzip Compressed=Yes";
    let file = Attachment { document_id: "D1", description, content_type: "application/gzip", octets: &bomb };
    let packet = assemble(&header(), HL7, &[file], None, PacketLimits::default()).unwrap();
    let incoming = strict(&packet);
    let (_, part) = &incoming.attachments()[0];
    assert!(part.unwrap().body == bomb, "because nothing that came is opened but by who asks for it");
    let http = format!("{}; charset=\"gzip\"", packet.content_type);
    assert!(
        open(&http, &bomb, Strictness::Tolerant, &MimeLimits::default()).is_err(),
        "nor is a whole request"
    );
}

#[test]
fn a_signed_message_is_verified_and_its_receipt_fits_that_message_only() {
    let (sender, practice) = (Identity::p256(), Identity::p256());
    let packet = signed(&sender);
    let (sender_pins, practice_pins) = (sender.pins(), practice.pins());
    let terms = Terms { pins: &sender_pins, now: now(), leniency: Leniency::default() };
    let verified = strict(&packet).verify(&terms).unwrap();
    assert_eq!(verified.references.len(), 3, "the envelope, the HL7 and a file");
    let receipt =
        signal::acknowledge(&signed_header(), &verified.references, Some(&practice.signer()), now()).unwrap();
    let (document, Signal::Acknowledgment(ack)) = signal_of(&receipt) else { panic!("an acknowledgement") };
    let theirs = Terms { pins: &practice_pins, ..terms };
    let stored = Packet::from_file(&packet.to_file()).unwrap();
    let references = stored.sent_as().unwrap().1.unwrap();
    verify_receipt(&document, &references, &theirs).unwrap();
    assert!(ack.fits(&stored.sent_as().unwrap().0), "wire §6.3");
    let fewer = verify_receipt(&document, &references[1..], &theirs);
    assert_eq!(fewer.unwrap_err(), SignatureFault::ReceiptReferences);
    assert!(verify_receipt(&document, &references, &terms).is_err(), "another signer");
    let others = [
        Header { cpa_id: CpaId::parse("S9").unwrap(), ..signed_header() },
        Header { conversation: ConversationId::derived(&["other"]), ..signed_header() },
        Header { message_id: MessageId::derived(&["other"]), ..signed_header() },
        Header { to: signed_header().from, ..signed_header() },
    ];
    for other in others {
        assert!(!ack.fits(&other), "wire §6.3: the receipt of another message");
    }
}

#[test]
fn a_signed_message_that_was_changed_is_refused_and_stamped_afresh_is_signed_afresh() {
    let sender = Identity::p256();
    let pins = sender.pins();
    let terms = Terms { pins: &pins, now: now(), leniency: Leniency::default() };
    let packet = signed(&sender);
    let text = String::from_utf8(packet.body.clone()).unwrap();
    let changed = text.replace("<id root=\"M1\">", "<id root=\"M2\">");
    let incoming = read(&packet, changed.as_bytes(), Strictness::Strict).unwrap();
    assert_eq!(incoming.verify(&terms).unwrap_err(), SignatureFault::PartDigest);
    assert!(incoming.expect_unsigned().is_err(), "a signature nobody agreed to is refused too");
    let [at, until] =
        ["2026-03-02T10:00:00Z", "2026-03-02T16:00:00Z"].map(|text| Timestamp::parse(text).unwrap());
    let fresh = restamp(&packet, &header().message_id, at, until, Some(&sender.signer())).unwrap();
    let (first, second) = (strict(&packet), strict(&fresh));
    second.verify(&terms).unwrap();
    assert_eq!(first.digest(), second.digest(), "wire §5.3: no conflict");
    let (before, after) = (packet.sent_as().unwrap().1.unwrap(), fresh.sent_as().unwrap().1.unwrap());
    assert_ne!(after[0], before[0], "the envelope is another");
    assert_eq!(after[1..], before[1..], "the parts are not");
}

#[test]
fn bare_envelopes_of_samples_are_read_but_for_their_parts() {
    let Some(folder) = shared("fixtures/conversations/inbound-samples") else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        for path in std::fs::read_dir(folder).into_iter().flatten().map(|it| it.unwrap().path()) {
            if !path.to_str().unwrap().ends_with("_ebxml.xml") {
                continue;
            }
            let octets = std::fs::read(&path).unwrap();
            let refused =
                open("text/xml", &octets, Strictness::Tolerant, &MimeLimits::default()).unwrap_err();
            assert_eq!(refused.fault, PacketFault::PartMissing(1), "{}", path.display());
            assert!(refused.header.is_some());
            seen += 1;
        }
    }
    assert!(seen > 0, "samples keep the envelope apart from its parts");
}
