//! What we sign, judged by `xmlsec1` and by ourselves.

use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use throughcare::packet::fingerprint::Fingerprint;
use throughcare::packet::signature::sign::{PartDigest, SigningFault, sign};
use throughcare::packet::signature::{InvalidKey, InvalidPin, Pin, Pins, SignatureFault, Signer, SigningKey};

use super::made::{Identity, Message, pem};
use crate::tools;

/// Whether `xmlsec1` accepts the envelope under this one certificate (wire reference §6.5); `None` without `xmlsec1`.
pub fn xmlsec1_accepts(message: &Message, envelope: &[u8], identity: &Identity) -> Option<bool> {
    let folder = tempfile::tempdir().unwrap();
    let maps = message.write(folder.path(), envelope);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("pin.pem"), &identity.certificate).unwrap();
    let mut arguments: Vec<String> =
        ["--verify", "--enabled-key-data", "key-name", "--pubkey-cert-pem"].map(String::from).into();
    arguments.push(path("pin.pem"));
    arguments.extend(maps);
    arguments.push(path("envelope.xml"));
    Some(tools::run("xmlsec1", arguments)?.status.success())
}

fn assert_everyone_accepts(identity: &Identity, parts: &[usize]) {
    for count in parts {
        let message = Message::with_parts(*count);
        let signed = message.sign(&identity.signer());
        let verified = message.verify(&signed.octets, &identity.pins()).unwrap();
        assert_eq!(verified.references, signed.references, "what was verified is what was signed");
        assert_eq!(verified.signer, identity.signer().fingerprint());
        if let Some(accepted) = xmlsec1_accepts(&message, &signed.octets, identity) {
            assert!(accepted, "xmlsec1 refuses ours with {count} parts");
            let changed = String::from_utf8(signed.octets).unwrap().replace("B72F7785", "B72F7786");
            assert_eq!(
                xmlsec1_accepts(&message, changed.as_bytes(), identity),
                Some(false),
                "and can refuse"
            );
        }
    }
}

#[test]
fn xmlsec1_and_we_accept_what_we_sign_with_p256() {
    assert_everyone_accepts(&Identity::p256(), &[0, 1, 2, 99]);
}

#[test]
fn xmlsec1_and_we_accept_what_we_sign_with_rsa() {
    if let Some(identity) = Identity::rsa() {
        assert_everyone_accepts(&identity, &[1, 3]);
    }
}

#[test]
fn an_envelope_that_binds_no_or_another_soap_prefix_is_signed_all_the_same() {
    let identity = Identity::p256();
    for prefix in ["env", "ds2", "S"] {
        let mut message = Message::with_parts(1);
        message.envelope = message
            .envelope
            .replace("SOAP:", &format!("{prefix}:"))
            .replace("xmlns:SOAP", &format!("xmlns:{prefix}"));
        let signed = message.sign(&identity.signer());
        message.verify(&signed.octets, &identity.pins()).unwrap();
        assert_ne!(xmlsec1_accepts(&message, &signed.octets, &identity), Some(false), "prefix {prefix}");
    }
    let mut message = Message::with_parts(1);
    message.envelope = message
        .envelope
        .replace("SOAP:", "")
        .replace("xmlns:SOAP", "xmlns")
        .replace(" mustUnderstand=\"1\"", "")
        .replace(" actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\"", "");
    let signed = message.sign(&identity.signer());
    message.verify(&signed.octets, &identity.pins()).unwrap();
    assert_ne!(
        xmlsec1_accepts(&message, &signed.octets, &identity),
        Some(false),
        "SOAP as default namespace"
    );
}

#[test]
fn we_do_not_sign_what_a_strict_peer_would_refuse() {
    let signer = Identity::p256().signer();
    let message = Message::with_parts(1);
    let parts = [PartDigest::of(&message.parts[0].0, &message.parts[0].1)];
    let refused =
        |envelope: &str, parts: &[PartDigest]| sign(envelope.as_bytes(), parts, &signer).unwrap_err();
    let good = message.envelope.as_str();
    assert_eq!(refused(good, &[]), SigningFault::Envelope(SignatureFault::ManifestPartMissing));
    assert_eq!(
        refused(&Message::with_parts(0).envelope, &parts),
        SigningFault::Envelope(SignatureFault::PartNotInManifest)
    );
    assert_eq!(
        refused(&good.replace("toPartyMSH", "nextMSH"), &parts),
        SigningFault::Envelope(SignatureFault::HopBlock)
    );
    assert_eq!(refused(&good.replace("HMP01-0001", "<![CDATA[x]]>"), &parts), SigningFault::Form);
    let signed = String::from_utf8(sign(good.as_bytes(), &parts, &signer).unwrap().octets).unwrap();
    assert_eq!(refused(&signed, &parts), SigningFault::Signed);
}

#[test]
fn keys_are_checked_when_they_are_read_and_never_print() {
    let (one, other) = (Identity::p256(), Identity::p256());
    assert_eq!(Signer::from_pem(&one.key, &other.certificate).unwrap_err(), InvalidKey::Mismatch);
    assert_eq!(Signer::from_pem(&one.certificate, &one.key).unwrap_err(), InvalidKey::Pem("PRIVATE KEY"));
    assert_eq!(SigningKey::from_der(b"nothing").unwrap_err(), InvalidKey::Kind);
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert_eq!(
        SigningKey::from_pem(&pem("PRIVATE KEY", &p384.serialize_der())).unwrap_err(),
        InvalidKey::Kind,
        "P-256 exactly"
    );
    let printed = format!("{:?}", one.signer());
    assert!(
        printed.contains("masked") && printed.contains(&one.signer().fingerprint().to_string()),
        "{printed}"
    );
}

#[test]
fn a_pin_is_rolled_over_by_holding_both_certificates() {
    let (old, new, stranger) = (Identity::p256(), Identity::p256(), Identity::p256());
    let message = Message::with_parts(1);
    let both =
        Pins::new(vec![Pin::Fingerprint(Fingerprint::of(&old.der())), Pin::Certificate(new.der())]).unwrap();
    for (identity, expected) in [(&old, Ok(())), (&new, Ok(())), (&stranger, Err(SignatureFault::NotPinned))]
    {
        let signed = message.sign(&identity.signer());
        assert_eq!(message.verify(&signed.octets, &both).map(|_| ()), expected);
    }
    let signed = message.sign(&old.signer());
    assert_eq!(
        message.verify(&signed.octets, &new.pins()),
        Err(SignatureFault::NotPinned),
        "after the rollover"
    );
    let three = vec![Pin::Fingerprint(Fingerprint::of(b"1")); 3];
    assert_eq!(Pins::new(three), Err(InvalidPin::Count));
    assert_eq!(Pins::new(vec![]), Err(InvalidPin::Count));
    assert_eq!(Pins::certificate(b"not DER".to_vec()), Err(InvalidPin::Certificate));
}

#[test]
fn an_issuer_pin_needs_the_exact_subject_and_the_issuers_own_signature() {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority");
    let root = params.self_signed(&authority).unwrap();
    let issuer = Issuer::new(params, authority);
    let issued = |issuer: &Issuer<'_, KeyPair>, name: &str| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, issuer).unwrap();
        Identity::from_parts(&key, certificate.der())
    };
    let good = issued(&issuer, "gp, signing");
    let subject = Pin::subject_of(&good.der()).unwrap();
    assert!(subject.contains("CN=gp\\, signing"), "{subject}");
    let pins = Pins::new(vec![Pin::Issuer { certificate: root.der().to_vec(), subject }]).unwrap();
    let message = Message::with_parts(1);
    let judge =
        |identity: &Identity| message.verify(&message.sign(&identity.signer()).octets, &pins).map(|_| ());
    assert_eq!(judge(&good), Ok(()));
    assert_eq!(
        judge(&issued(&issuer, "gp")),
        Err(SignatureFault::NotPinned),
        "another subject of the same issuer"
    );
    let mut false_params = CertificateParams::new(Vec::new()).unwrap();
    false_params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    false_params.distinguished_name.push(DnType::CommonName, "authority");
    let impostor = Issuer::new(false_params, KeyPair::generate().unwrap());
    assert_eq!(
        judge(&issued(&impostor, "gp, signing")),
        Err(SignatureFault::NotPinned),
        "an issuer only by name"
    );
}
