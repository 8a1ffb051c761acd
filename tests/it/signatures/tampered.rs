//! Every attack of wire reference §6.4, and what else breaks a rule of §6.2: refused, each for its own reason.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use throughcare::model::Timestamp;
use throughcare::packet::fingerprint::Fingerprint;
use throughcare::packet::signature::verify::{Leniency, Terms, expect_unsigned, read_envelope, verify};
use throughcare::packet::signature::{Pin, Pins, SignatureFault as Fault, certificate_from_pem};

use super::made::{Identity, Message, now};
use super::theirs::{ECDSA_SHA256, RSA_SHA256, signed_by_xmlsec1, template, with_signature};
use crate::tools;

const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const NEXT_MSH: &str = "urn:oasis:names:tc:ebxml-msg:actor:nextMSH";

/// A message signed by a party we pin.
struct Target {
    identity: Identity,
    message: Message,
    signed: String,
}

impl Target {
    fn new() -> Self {
        let identity = Identity::p256();
        let message = Message::with_parts(2);
        let signed = String::from_utf8(message.sign(&identity.signer()).octets).unwrap();
        let target = Self { identity, message, signed };
        assert!(target.judge(&target.signed).is_ok(), "it is good before it is tampered with");
        target
    }

    fn judge(&self, envelope: &str) -> Result<(), Fault> {
        self.message.verify(envelope.as_bytes(), &self.identity.pins()).map(|_| ())
    }

    /// Replaces the first `from`, which must be there, and asserts the reason of the refusal.
    fn refuses(&self, from: &str, to: &str, fault: Fault) {
        assert!(self.signed.contains(from), "there is no {from}");
        let changed = self.signed.replacen(from, to, 1);
        assert_eq!(self.judge(&changed), Err(fault), "{from} became {to}");
    }

    /// The signed text from the first `from` to the end of the next `to`.
    fn stretch(&self, from: &str, to: &str) -> &str {
        let start = self.signed.find(from).unwrap();
        let end = start + self.signed[start..].find(to).unwrap() + to.len();
        &self.signed[start..end]
    }

    fn reference(&self, uri: &str) -> &str {
        self.stretch(&format!("<ds:Reference URI=\"{uri}\">"), "</ds:Reference>")
    }
}

#[test]
fn changes_after_signing_are_found_by_the_arithmetic() {
    let target = Target::new();
    target.refuses("B72F7785", "B72F7786", Fault::EnvelopeDigest);
    target.refuses(target.stretch("<eb:AckRequested", "/>"), "", Fault::EnvelopeDigest);
    target.refuses("</SOAP:Header>\n", "</SOAP:Header>", Fault::EnvelopeDigest);
    let digest = target.stretch("<ds:DigestValue>", "</ds:DigestValue>");
    let other = format!("<ds:DigestValue>{}=</ds:DigestValue>", "A".repeat(43));
    target.refuses(digest, &other, Fault::SignatureValue);
    let value = target.stretch("<ds:SignatureValue>", "</ds:SignatureValue>");
    target.refuses(
        value,
        &format!("<ds:SignatureValue>{}</ds:SignatureValue>", "A".repeat(82) + "AA=="),
        Fault::Value,
    );
    let flipped = format!("<ds:SignatureValue>{}A==</ds:SignatureValue>", "B".repeat(85));
    target.refuses(value, &flipped, Fault::SignatureValue);
    target.refuses("<ds:SignatureValue>", "<ds:SignatureValue>!", Fault::Value);
}

#[test]
fn a_der_coded_ecdsa_value_is_refused() {
    let target = Target::new();
    let value = target.stretch("<ds:SignatureValue>", "</ds:SignatureValue>");
    // SEQUENCE { INTEGER r, INTEGER s } of 70 octets.
    let der = format!("MEQCIE{}AiA{}", "B".repeat(43), "B".repeat(42));
    target.refuses(value, &format!("<ds:SignatureValue>{der}</ds:SignatureValue>"), Fault::Value);
}

#[test]
fn rule_1_unsigned_and_unexpectedly_signed_messages_are_refused() {
    let target = Target::new();
    assert_eq!(target.judge(&target.message.envelope), Err(Fault::Unsigned));
    let unsigned = read_envelope(target.message.envelope.as_bytes()).unwrap();
    assert_eq!(expect_unsigned(&unsigned), Ok(()));
    assert_eq!(expect_unsigned(&read_envelope(target.signed.as_bytes()).unwrap()), Err(Fault::NotAgreed));
}

#[test]
fn rule_2_there_is_one_signature_in_its_place_and_of_one_shape() {
    let target = Target::new();
    let signature = target.stretch("<ds:Signature ", "</ds:Signature>");
    let moved =
        |to: &str| target.signed.replacen(signature, "", 1).replacen(to, &format!("{signature}{to}"), 1);
    assert_eq!(target.judge(&moved("</SOAP:Body>")), Err(Fault::SignaturePlace));
    assert_eq!(target.judge(&moved("</eb:MessageHeader>")), Err(Fault::SignaturePlace));
    let actor = signature.replacen("<ds:Signature ", &format!("<ds:Signature SOAP:actor=\"{NEXT_MSH}\" "), 1);
    target.refuses("</SOAP:Header>", &format!("{actor}</SOAP:Header>"), Fault::SecondSignature);
    for forbidden in ["Object", "Manifest", "RetrievalMethod"] {
        target.refuses("</ds:KeyInfo>", &format!("<ds:{forbidden}/></ds:KeyInfo>"), Fault::ForbiddenElement);
    }
    target.refuses("</ds:SignedInfo>", "<ds:Extra/></ds:SignedInfo>", Fault::SignatureShape);
    target.refuses("<ds:KeyInfo>", "<ds:Extra/><ds:KeyInfo>", Fault::SignatureShape);
    target.refuses(target.stretch("<ds:SignatureMethod", "</ds:SignatureMethod>"), "", Fault::SignatureShape);
}

#[test]
fn rule_3_only_the_profiles_algorithms_are_accepted() {
    let target = Target::new();
    let c14n = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    for other in ["http://www.w3.org/2001/10/xml-exc-c14n#", &format!("{c14n}#WithComments"), ""] {
        target.refuses(c14n, other, Fault::Canonicalization);
    }
    let ecdsa = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256";
    for other in [
        "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
        "http://www.w3.org/2000/09/xmldsig#dsa-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-md5",
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
    ] {
        target.refuses(ecdsa, other, Fault::SignatureAlgorithm);
    }
    target.refuses(ecdsa, "http://www.w3.org/2000/09/xmldsig#rsa-sha1", Fault::Sha1);
    let parameter = "<ds:HMACOutputLength>1</ds:HMACOutputLength></ds:SignatureMethod>";
    target.refuses("</ds:SignatureMethod>", parameter, Fault::SignatureAlgorithm);
    target.refuses(
        "</ds:CanonicalizationMethod>",
        "<x/></ds:CanonicalizationMethod>",
        Fault::Canonicalization,
    );
    let sha256 = "http://www.w3.org/2001/04/xmlenc#sha256";
    target.refuses(sha256, "http://www.w3.org/2001/04/xmldsig-more#md5", Fault::DigestAlgorithm);
    target.refuses(sha256, "http://www.w3.org/2000/09/xmldsig#sha1", Fault::Value);
    let sha1 = target.reference("").replace(sha256, "http://www.w3.org/2000/09/xmldsig#sha1");
    let digest = target.stretch("<ds:DigestValue>", "</ds:DigestValue>");
    let sha1 = sha1.replace(digest, &format!("<ds:DigestValue>{}=</ds:DigestValue>", "A".repeat(27)));
    target.refuses(target.reference(""), &sha1, Fault::Sha1);
}

#[test]
fn rule_4_the_envelope_is_covered_by_exactly_the_profiles_transforms() {
    let target = Target::new();
    target.refuses(target.reference(""), "", Fault::EnvelopeNotSigned);
    let xpath = target.stretch("<ds:Transform Algorithm=\"http://www.w3.org/TR/1999", "</ds:Transform>");
    target.refuses(xpath, "", Fault::Transforms);
    target.refuses(xpath, &format!("{xpath}{xpath}"), Fault::Transforms);
    target.refuses("REC-xpath-19991116", "REC-xslt-19991116", Fault::Transforms);
    target.refuses(&format!("{DS}enveloped-signature"), &format!("{DS}base64"), Fault::Transforms);
    target.refuses(target.stretch("<ds:Transforms>", "</ds:Transforms>"), "", Fault::Transforms);
    target.refuses("not(ancestor", "false() and not(ancestor", Fault::XPath);
    target.refuses(">not(", ">not(ancestor-or-self::node()[@SOAP:actor] | ", Fault::XPath);
    target.refuses(
        "<ds:XPath xmlns:SOAP=\"http://schemas.xmlsoap.org/soap/envelope/\"",
        "<ds:XPath xmlns:SOAP=\"urn:x\"",
        Fault::XPath,
    );
}

#[test]
fn rule_5_signature_parts_and_manifest_are_one_set() {
    let target = Target::new();
    let part = target.reference("cid:p2@hmp01.example");
    target.refuses(part, "", Fault::PartNotSigned);
    target.refuses(part, &format!("{part}{part}"), Fault::RepeatedReference);
    let other = part.replace("cid:p2", "cid:p3");
    target.refuses(part, &format!("{part}{other}"), Fault::PartMissing);
    for uri in [
        "file:///etc/hostname",
        "/etc/hostname",
        "#M1",
        "http://hmp01.example/p2",
        "CID:p2@hmp01.example",
        "mid:x",
    ] {
        let foreign = part.replace("cid:p2@hmp01.example", uri);
        target.refuses(part, &format!("{part}{foreign}"), Fault::ForeignReference);
    }
    let base64 =
        format!("<ds:Transforms><ds:Transform Algorithm=\"{DS}base64\"/></ds:Transforms><ds:DigestMethod");
    target.refuses(part, &part.replace("<ds:DigestMethod", &base64), Fault::Transforms);
    target.refuses("xlink:href=\"cid:p2@", "xlink:href=\"cid:p3@", Fault::PartNotInManifest);
    let repeated = target.stretch("<eb:Reference ", "</eb:Reference>");
    let again = repeated.replace("_D0", "_D9");
    target.refuses(repeated, &format!("{repeated}{again}"), Fault::RepeatedPart);
    let missing = again.replace("cid:p1@", "cid:p9@");
    target.refuses(repeated, &format!("{repeated}{missing}"), Fault::ManifestPartMissing);
}

#[test]
fn rule_5_a_part_swapped_added_removed_or_doubled_is_refused() {
    let mut target = Target::new();
    let whole = target.message.clone();
    target.message.parts[1].1[0] ^= 1;
    assert_eq!(target.judge(&target.signed), Err(Fault::PartDigest));
    target.message = whole.clone();
    target.message.parts.pop();
    assert_eq!(target.judge(&target.signed), Err(Fault::PartMissing));
    target.message = whole.clone();
    target.message.parts.push(("extra@x".to_owned(), b"unsigned".to_vec()));
    assert_eq!(target.judge(&target.signed), Err(Fault::PartNotSigned));
    target.message = whole;
    target.message.parts.push(target.message.parts[0].clone());
    assert_eq!(target.judge(&target.signed), Err(Fault::RepeatedPart));
}

#[test]
fn rule_6_nothing_may_hide_behind_an_actor() {
    let target = Target::new();
    for actor in [NEXT_MSH, "http://schemas.xmlsoap.org/soap/actor/next"] {
        let hidden = |element: &str| format!("<{element} SOAP:actor=\"{actor}\"/>");
        target.refuses(
            "<eb:MessageHeader",
            &format!("{}<eb:MessageHeader", hidden("eb:MessageHeader")),
            Fault::HopBlock,
        );
        target.refuses("<eb:Manifest", &format!("{}<eb:Manifest", hidden("eb:Manifest")), Fault::HopBlock);
        target.refuses("<eb:Reference", &format!("{}<eb:Reference", hidden("eb:Reference")), Fault::HopBlock);
        target.refuses("<eb:MessageId", &format!("{}<eb:MessageId", hidden("eb:MessageId")), Fault::HopBlock);
        target.refuses("<SOAP:Body", &format!("{}<SOAP:Body", hidden("SOAP:Body")), Fault::HopBlock);
        target.refuses(
            "</SOAP:Header>",
            &format!("{}</SOAP:Header>", hidden("eb:SyncReply")),
            Fault::HopBlock,
        );
    }
}

#[test]
fn rule_8_the_envelope_and_its_ids_stand_once() {
    let target = Target::new();
    let envelope = target.stretch("<SOAP:Envelope", "</SOAP:Envelope>");
    assert_eq!(target.judge(&format!("<wrap>{envelope}</wrap>")), Err(Fault::NotOne("Header")));
    target.refuses("</SOAP:Body>", "<SOAP:Envelope/></SOAP:Body>", Fault::NotOne("Envelope"));
    target.refuses("</SOAP:Body>", "<SOAP:Header/></SOAP:Body>", Fault::NotOne("Header"));
    target.refuses("</SOAP:Envelope>", "<SOAP:Body/></SOAP:Envelope>", Fault::NotOne("Body"));
    target.refuses("</SOAP:Body>", "<eb:MessageHeader/></SOAP:Body>", Fault::NotOne("MessageHeader"));
    target.refuses("</SOAP:Body>", "<eb:Manifest/></SOAP:Body>", Fault::NotOne("Manifest"));
    target.refuses("eb:id=\"_D1\"", "eb:id=\"_D0\"", Fault::RepeatedId);
    target.refuses("<ds:Signature ", "<ds:Signature Id=\"_D0\" ", Fault::RepeatedId);
}

#[test]
fn rule_9_nothing_that_two_readers_may_see_differently_is_accepted() {
    let target = Target::new();
    target.refuses("B72F7785", "B72F<!-- x -->7785", Fault::Comment);
    target.refuses("B72F7785", "B72F<?x?>7785", Fault::Instruction);
    target.refuses("<SOAP:Envelope", "<?x?><SOAP:Envelope", Fault::Instruction);
    target.refuses("<SOAP:Envelope", "<!DOCTYPE SOAP:Envelope><SOAP:Envelope", Fault::DocumentType);
    let defaults = "<!DOCTYPE x [<!ATTLIST eb:Reference eb:id CDATA 'y'>]><SOAP:Envelope";
    target.refuses("<SOAP:Envelope", defaults, Fault::DocumentType);
    let entity = target.signed.replacen("B72F7785", "&x;", 1);
    let declared = format!("<!DOCTYPE x [<!ENTITY x 'B72F7785'>]>{entity}");
    assert_eq!(target.judge(&declared), Err(Fault::DocumentType));
    assert_eq!(target.judge(&entity), Err(Fault::Entity));
    target.refuses("<SOAP:Envelope", "<SOAP:Envelope xml:base=\"urn:x\"", Fault::XmlAttribute);
    target.refuses("<eb:Manifest", "<eb:Manifest xml:space=\"preserve\"", Fault::XmlAttribute);
    target.refuses("</SOAP:Envelope>", "", Fault::NotXml);
}

#[test]
fn rule_10_a_key_counts_only_when_pinned_valid_and_of_the_right_kind() {
    let target = Target::new();
    let attacker = Identity::p256();
    let forged = String::from_utf8(target.message.sign(&attacker.signer()).octets).unwrap();
    assert_eq!(target.judge(&forged), Err(Fault::NotPinned));
    let key_info = |text: &str| {
        let start = text.find("<ds:KeyInfo>").unwrap();
        text[start..text.find("</ds:Signature>").unwrap()].to_owned()
    };
    let key_value = "<ds:KeyInfo><ds:KeyValue><ds:RSAKeyValue/></ds:KeyValue></ds:KeyInfo>";
    let by_value = forged.replace(&key_info(&forged), key_value);
    assert_eq!(
        target.judge(&by_value),
        Err(Fault::SignatureValue),
        "KeyValue is not looked at, the pinned key is"
    );
    let by_other = forged.replace(&key_info(&forged), &key_info(&target.signed));
    assert_eq!(
        target.judge(&by_other),
        Err(Fault::SignatureValue),
        "the pinned certificate, another's value"
    );
    let silent = target.signed.replace(&key_info(&target.signed), "");
    assert_eq!(target.judge(&silent), Ok(()), "a pinned certificate need not be carried");
    let bare = Pins::new(vec![Pin::Fingerprint(Fingerprint::of(&target.identity.der()))]).unwrap();
    let refused = target.message.verify(by_value.as_bytes(), &bare);
    assert_eq!(refused, Err(Fault::NotPinned), "a fingerprint alone has no key");
    let ecdsa = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256";
    target.refuses(ecdsa, RSA_SHA256, Fault::KeyUnfit);
}

#[test]
fn rule_10_another_curve_and_a_certificate_out_of_its_time_are_refused() {
    let target = Target::new();
    let p384 = Identity::of(&KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap());
    let signature = template(&target.message, ECDSA_SHA256, "http://www.w3.org/2001/04/xmlenc#sha256");
    let envelope = with_signature(&target.message.envelope, &signature);
    if let Some(signed) = signed_by_xmlsec1(&target.message, envelope.as_bytes(), &p384) {
        assert_eq!(
            target.message.verify(&signed, &p384.pins()),
            Err(Fault::KeyUnfit),
            "xmlsec1 signs with P-384"
        );
    }
    let parts = target.message.verifiable();
    let document = read_envelope(target.signed.as_bytes()).unwrap();
    let pins = target.identity.pins();
    let at = |now: Timestamp| {
        verify(&document, &parts, &Terms { pins: &pins, now, leniency: Leniency::default() })
    };
    assert!(at(now()).is_ok());
    for moment in ["1970-01-01T00:00:00Z", "5000-01-01T00:00:00Z"] {
        assert_eq!(at(Timestamp::parse(moment).unwrap()), Err(Fault::CertificateNotValid), "{moment}");
    }
}

#[test]
fn rule_10_an_rsa_key_of_1024_bits_is_refused() {
    let target = Target::new();
    let arguments = "req -x509 -newkey rsa:1024 -nodes -keyout /dev/null -subj /CN=weak -days 36500";
    let Some(output) = tools::run("openssl", arguments.split(' ')) else { return };
    let weak = certificate_from_pem(std::str::from_utf8(&output.stdout).unwrap()).unwrap();
    let own = STANDARD.encode(target.identity.der());
    let swapped = target.signed.replace(&own, &STANDARD.encode(&weak)).replace(ECDSA_SHA256, RSA_SHA256);
    // openssl dates the certificate from today, so it is judged when it is surely valid.
    let (pins, later) = (Pins::certificate(weak).unwrap(), Timestamp::parse("2100-01-01T00:00:00Z").unwrap());
    let terms = Terms { pins: &pins, now: later, leniency: Leniency::default() };
    let judged = verify(&read_envelope(swapped.as_bytes()).unwrap(), &target.message.verifiable(), &terms);
    assert_eq!(judged, Err(Fault::KeyUnfit));
}

#[test]
fn rule_15_budgets_come_before_any_work() {
    let target = Target::new();
    let part = target.reference("cid:p2@hmp01.example");
    let many: String = (0..126).map(|n| part.replace("cid:p2", &format!("cid:x{n}"))).collect();
    target.refuses(part, &format!("{part}{many}"), Fault::Budget);
    let namespaces: String = (0..1000).map(|n| format!(" xmlns:n{n}='urn:{n}'")).collect();
    let nested = format!("<a{namespaces}>{}{}</a>", "<a>".repeat(999), "</a>".repeat(999));
    let fastest = (0..5).map(|_| {
        let start = throughcare::clock::instant();
        assert_eq!(read_envelope(nested.as_bytes()).map(|_| ()), Err(Fault::Budget));
        start.elapsed()
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest.as_millis() < 10, "1,000 namespaces at depth 1,000 took {fastest:?} (wire §6.4)");
    let deep = format!("{}{}", "<a>".repeat(999), "</a>".repeat(999));
    assert_eq!(read_envelope(deep.as_bytes()).map(|_| ()), Err(Fault::Budget));
    let references = "<r/>".repeat(20_000);
    target.refuses("</SOAP:Body>", &format!("{references}</SOAP:Body>"), Fault::Budget);
}

#[test]
fn mutated_and_truncated_messages_never_panic_and_never_pass() {
    let target = Target::new();
    let octets = target.signed.as_bytes();
    let pins = target.identity.pins();
    let mut seed = 0x2545_F491_u32;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as usize
    };
    for end in (0..octets.len()).step_by(7) {
        assert!(target.message.verify(&octets[..end], &pins).is_err(), "cut at {end}");
    }
    for _ in 0..3_000 {
        let mut changed = octets.to_vec();
        let at = random() % changed.len();
        let octet = b"<>&;'\"/!?-[]=: xA0"[random() % 18];
        if std::mem::replace(&mut changed[at], octet) == octet {
            continue;
        }
        if let Ok(verified) = target.message.verify(&changed, &pins) {
            // White space between attributes and around base64 is nobody's content; the canonical form says so.
            assert_eq!(verified.references.len(), 3);
            let text = String::from_utf8(changed).unwrap();
            let same = |text: &str| text.replace(['\'', '"', ' ', '\n'], "");
            assert_eq!(same(&text), same(&target.signed), "an accepted change at {at}");
        }
    }
}
