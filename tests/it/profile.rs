//! Every kind of envelope we emit satisfies the schema of its profile (`schemas/profile-*.xsd`), and a changed one does not.

use std::path::Path;

use throughcare::model::{ConversationId, CpaId, MessageId, PartyKey, Timestamp};
use throughcare::packet::envelope::{self, AckRequest, GP2GP, Header, Href, Item};
use throughcare::packet::mime::{self, MimeLimits, Strictness};
use throughcare::packet::signal::{self, Complaint};
use throughcare::packet::{Attachment, Packet, PacketLimits, assemble, restamp};

use crate::signatures::made::{Identity, now};
use crate::tools;

const HL7: &[u8] = b"<RCMR_IN030000UK06 xmlns=\"urn:hl7-org:v3\"></RCMR_IN030000UK06>";
const COMPLAINT: Complaint<'_> =
    Complaint { code: "SecurityFailure", location: "//ds:Signature", words: "a digest <is> wrong" };

fn header(ack_requested: AckRequest) -> Header {
    Header {
        from: PartyKey::parse("HMP01-0001").unwrap(),
        to: PartyKey::parse("B85002-0001").unwrap(),
        cpa_id: CpaId::parse("S0001A0002").unwrap(),
        conversation: ConversationId::derived(&["c"]),
        service: GP2GP.to_owned(),
        action: "RCMR_IN030000UK06".to_owned(),
        message_id: MessageId::derived(&["m"]),
        timestamp: now(),
        time_to_live: Some(Timestamp::parse("2026-03-02T15:00:00Z").unwrap()),
        refers_to: None,
        duplicate_elimination: true,
        ack_requested,
    }
}

fn letter() -> Attachment<'static> {
    let description = "Filename=\"a & <b>.pdf\" ContentType=application/pdf Compressed=No LargeAttachment=No OriginalBase64=Yes";
    Attachment { document_id: "D1", description, content_type: "application/pdf", octets: &[7; 200] }
}

/// The envelope as it travels.
fn envelope_of(packet: &Packet) -> Vec<u8> {
    let parts =
        mime::read(&packet.content_type, &packet.body, Strictness::Strict, &MimeLimits::default()).unwrap();
    parts[0].body.to_vec()
}

/// What xmllint says of it: nothing when it is valid; none when there is no xmllint.
fn fault(profile: &str, octets: &[u8]) -> Option<Option<String>> {
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("document.xml");
    std::fs::write(&document, octets).unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/profile-{profile}.xsd"));
    let arguments = ["--nonet", "--noout", "--schema", schema.to_str().unwrap(), document.to_str().unwrap()];
    let output = tools::run("xmllint", arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("failed to compile"), "the schema itself is right: {said}");
    Some((!output.status.success()).then_some(said))
}

fn valid(profile: &str, what: &str, octets: &[u8]) {
    let Some(fault) = fault(profile, octets) else { return };
    assert_eq!(fault, None, "{what} satisfies {profile}");
}

fn invalid(profile: &str, what: &str, octets: &[u8]) {
    let Some(fault) = fault(profile, octets) else { return };
    assert!(fault.is_some(), "{what} is noticed: {}", String::from_utf8_lossy(octets));
}

#[test]
fn everything_unsigned_satisfies_the_profile_spine() {
    let acks = [AckRequest::NextHop, AckRequest::Party { signed: false }, AckRequest::Never];
    for ack in acks {
        let packet = assemble(&header(ack), HL7, &[letter()], None, PacketLimits::default()).unwrap();
        valid("spine", "an extract", &envelope_of(&packet));
        invalid("signed", "an unsigned extract", &envelope_of(&packet));
        valid("spine", "an Acknowledgment", &signal::acknowledge(&header(ack), &[], None, now()).unwrap());
        valid("spine", "a MessageError", &signal::refuse(&header(ack), COMPLAINT, None, now()).unwrap());
    }
    let answer = Header { action: "MCCI_IN010000UK13".to_owned(), time_to_live: None, ..header(acks[0]) };
    let packet = assemble(&answer, b"<MCCI/>", &[], None, PacketLimits::default()).unwrap();
    valid("spine", "an application acknowledgement", &envelope_of(&packet));
    let elsewhere = Item { id: None, href: Href::Message("F0".to_owned()), description: "x".to_owned() };
    let text = envelope::write_business(&header(acks[0]), "p1@hmp01", &[elsewhere]);
    valid("spine", "a document in another message", text.as_bytes());
    valid("spine", "a SOAP Fault", &signal::fault("this is <no> message"));
}

#[test]
fn everything_signed_satisfies_the_profile_signed() {
    let wanted = header(AckRequest::Party { signed: true });
    for identity in [Some(Identity::p256()), Identity::rsa()].into_iter().flatten() {
        let signer = identity.signer();
        let packet = assemble(&wanted, HL7, &[letter()], Some(&signer), PacketLimits::default()).unwrap();
        valid("signed", "an extract", &envelope_of(&packet));
        invalid("spine", "a signature where none was agreed", &envelope_of(&packet));
        let references = packet.sent_as().unwrap().1.unwrap();
        let receipt = signal::acknowledge(&wanted, &references, Some(&signer), now()).unwrap();
        valid("signed", "a receipt", &receipt);
        valid("signed", "an error", &signal::refuse(&wanted, COMPLAINT, Some(&signer), now()).unwrap());
        let bare = signal::acknowledge(&wanted, &[], Some(&signer), now()).unwrap();
        invalid("signed", "a receipt that lists nothing", &bare);
        let (id, until) = (MessageId::derived(&["again"]), wanted.time_to_live.unwrap());
        let again = restamp(&packet, &id, now(), until, Some(&signer)).unwrap();
        valid("signed", "the same record in a new envelope", &envelope_of(&again));
    }
}

#[test]
fn a_changed_envelope_breaks_the_schema() {
    let wanted = header(AckRequest::Party { signed: true });
    let signer = Identity::p256().signer();
    let packet = assemble(&wanted, HL7, &[letter()], Some(&signer), PacketLimits::default()).unwrap();
    let sound = String::from_utf8(envelope_of(&packet)).unwrap();
    let to = "<eb:To><eb:PartyId eb:type=\"urn:nhs:names:partyType:ocs+serviceInstance\">B85002-0001</eb:PartyId></eb:To>";
    let changes = [
        ("eb:version=\"2.0\"", "eb:version=\"3.0\"", "another version"),
        (to, "", "nobody it is for"),
        ("<eb:CPAId>", "<eb:CPAId> ", "a blank in an identifier"),
        ("<eb:Action>RCMR_IN030000UK06", "<eb:Action>Rcmr", "no interaction"),
        ("T15:00:00Z", "T15:00:00", "a time without its zone"),
        ("toPartyMSH", "nextMSH", "a signed wish of the next hop"),
        ("eb:signed=\"true\"", "eb:signed=\"false\"", "an unsigned acknowledgement"),
        ("style=\"HL7\"", "style=\"HL8\"", "another payload"),
        ("xlink:href=\"cid:", "xlink:href=\"http://", "a part on the network"),
        ("</SOAP:Header>", "<eb:SyncReply></eb:SyncReply></SOAP:Header>", "a block we never write"),
        ("xml-c14n-20010315\"></ds:Canon", "xml-exc-c14n#\"></ds:Canon", "another canonical form"),
        ("ecdsa-sha256", "ecdsa-sha1", "a weak signature"),
        ("xmlenc#sha256", "xmldsig#sha1", "a weak digest"),
        ("<ds:DigestValue>", "<ds:DigestValue>AAAA", "a digest of the wrong length"),
        ("<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName>k</ds:KeyName>", "a key by name"),
    ];
    valid("signed", "the unchanged one", sound.as_bytes());
    for (from, to, what) in changes {
        assert!(sound.contains(from), "{from} is in {sound}");
        invalid("signed", what, sound.replacen(from, to, 1).as_bytes());
    }
}

#[test]
fn the_extension_is_a_schema_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/envelope-extension.xsd");
    let judge = |text: &str| {
        let document = folder.path().join("payload.xml");
        std::fs::write(&document, text).unwrap();
        let arguments =
            ["--nonet", "--noout", "--schema", schema.to_str().unwrap(), document.to_str().unwrap()];
        tools::run("xmllint", arguments).map(|output| output.status.success())
    };
    let payload = "<p:Payload xmlns:p=\"urn:hl7-org:transport/ebxml/DSTUv1.0\" encoding=\"XML\" style=\"HL7\" version=\"3.0\"/>";
    let Some(sound) = judge(payload) else { return };
    assert!(sound);
    assert_eq!(judge(&payload.replace("3.0", "2.0")), Some(false));
    assert_eq!(judge(&payload.replace(" style=\"HL7\"", "")), Some(false));
}
