//! Messages signed by `xmlsec1`, in layouts no writer of ours would choose, judged by us.

use std::path::Path;

use throughcare::model::Timestamp;
use throughcare::packet::signature::SignatureFault;
use throughcare::packet::signature::verify::{HopBlocks, Leniency, XPathTransform};

use super::made::{Identity, Message, now};
use crate::tools;

const C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
pub const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
pub const ECDSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256";
const XPATH: &str = r#"<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath xmlns:q="http://schemas.xmlsoap.org/soap/envelope/">
  not( ancestor-or-self::node()[@q:actor='urn:oasis:names:tc:ebxml-msg:actor:nextMSH'] |
  ancestor-or-self::node()[@q:actor='http://schemas.xmlsoap.org/soap/actor/next'] )</ds:XPath></ds:Transform>"#;

/// A signature still to be filled in, for these parts.
pub fn template(message: &Message, algorithm: &str, digest: &str) -> String {
    let part = |(id, _): &(String, Vec<u8>)| {
        format!(
            "<ds:Reference URI=\"cid:{id}\">\n<ds:DigestMethod Algorithm=\"{digest}\"/><ds:DigestValue/></ds:Reference>\n"
        )
    };
    let parts: String = message.parts.iter().map(part).collect();
    format!(
        "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\n<ds:SignedInfo>\n\
         <ds:CanonicalizationMethod Algorithm=\"{C14N}\"/>\n<ds:SignatureMethod Algorithm=\"{algorithm}\"/>\n\
         <ds:Reference URI=\"\">\n<ds:Transforms>\n\
         <ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>\n{XPATH}\n\
         <ds:Transform Algorithm=\"{C14N}\"/>\n</ds:Transforms>\n\
         <ds:DigestMethod Algorithm=\"{digest}\"/><ds:DigestValue></ds:DigestValue>\n</ds:Reference>\n{parts}\
         </ds:SignedInfo>\n<ds:SignatureValue/><ds:KeyInfo><ds:X509Data><ds:X509Certificate/></ds:X509Data></ds:KeyInfo>\n\
         </ds:Signature>"
    )
}

/// Lets `xmlsec1` fill in the signature of `envelope`.
pub fn signed_by_xmlsec1(message: &Message, envelope: &[u8], identity: &Identity) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| Path::join(folder.path(), name).to_str().unwrap().to_owned();
    std::fs::write(path("key.pem"), &identity.key).unwrap();
    std::fs::write(path("cert.pem"), &identity.certificate).unwrap();
    let keys = format!("{},{}", path("key.pem"), path("cert.pem"));
    let mut arguments = vec!["--sign".to_owned(), "--privkey-pem".to_owned(), keys];
    arguments.extend(message.write(folder.path(), envelope));
    arguments.extend(["--output".to_owned(), path("signed.xml"), path("envelope.xml")]);
    let output = tools::run("xmlsec1", arguments)?;
    assert!(output.status.success(), "xmlsec1 signs: {}", String::from_utf8_lossy(&output.stderr));
    Some(std::fs::read(path("signed.xml")).unwrap())
}

/// Puts a signature as the last child of the header.
pub fn with_signature(envelope: &str, signature: &str) -> String {
    envelope.replacen("</SOAP:Header>", &format!("{signature}</SOAP:Header>"), 1)
}

/// Has `xmlsec1` sign a changed message and expects us to accept it, and to refuse it once its MessageId differs.
fn assert_accepted(layout: &str, identity: &Identity, algorithm: &str, change: impl Fn(&str) -> Vec<u8>) {
    let message = Message::with_parts(2);
    let envelope = change(&with_signature(&message.envelope, &template(&message, algorithm, SHA256)));
    let Some(signed) = signed_by_xmlsec1(&message, &envelope, identity) else { return };
    let verified = message.verify(&signed, &identity.pins());
    let text = String::from_utf8_lossy(&signed);
    assert!(verified.is_ok(), "{layout}: {verified:?} {text}");
    assert_eq!(verified.unwrap().references.len(), 3, "{layout}");
    let mut changed = signed.clone();
    let at = signed.windows(8).position(|window| window == b"B72F7785").unwrap();
    changed[at] = b'C';
    let refused = message.verify(&changed, &identity.pins());
    assert_eq!(refused, Err(SignatureFault::EnvelopeDigest), "{layout}");
}

fn assert_layouts_accepted(identity: &Identity, algorithm: &str) {
    let accept = |layout: &str, change: &dyn Fn(&str) -> String| {
        assert_accepted(layout, identity, algorithm, |text| change(text).into_bytes());
    };
    accept("as it is", &str::to_owned);
    accept("ds as default namespace", &|text| text.replace("ds:", "").replace("xmlns:ds", "xmlns"));
    accept("odd prefixes", &|text| {
        text.replace("SOAP:", "S-1._:")
            .replace("xmlns:SOAP", "xmlns:S-1._")
            .replace("eb:", "\u{E9}b:")
            .replace("xmlns:eb", "xmlns:\u{E9}b")
    });
    accept("redundant declarations", &|text| {
        let again = " xmlns:SOAP=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:unused='urn:x'";
        text.replace("<SOAP:Body", &format!("<SOAP:Body{again}"))
            .replace("<ds:SignedInfo", &format!("<ds:SignedInfo{again}"))
            .replace("<SOAP:Header", &format!("<SOAP:Header{again}"))
    });
    accept("ds declared on the envelope, and a default namespace that is undeclared again", &|text| {
        text.replace(" xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"", "")
            .replace(
                "<SOAP:Envelope",
                "<SOAP:Envelope xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" xmlns=\"urn:default\"",
            )
            .replace(
                "</eb:Description>",
                "<plain xmlns=''><plain xmlns=''/></plain><other/></eb:Description>",
            )
    });
    accept("CDATA and references", &|text| {
        text.replace("Length=7", "<![CDATA[<&>]]>&#x41;&#13;&lt;&gt;&quot;\t\u{1F600}")
            .replace("eb:id=\"_D", "eb:note='a&#9;b\tc\nd&#10;&#13;&apos;\"&lt;' eb:id=\"_D")
    });
    accept("CRLF and text outside the root", &|text| {
        format!("<?xml version=\"1.0\"?>\r\n\r\n{}\r\n \r\n", text.replace('\n', "\r\n"))
    });
    assert_accepted("ISO-8859-1", identity, algorithm, |text| {
        let text = text.replace("Filename=", "Filename=\u{E9}");
        let head = b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n".to_vec();
        head.into_iter().chain(text.chars().map(|c| c as u8)).collect()
    });
}

#[test]
fn we_accept_what_xmlsec1_signs_with_p256_in_any_layout() {
    assert_layouts_accepted(&Identity::p256(), ECDSA_SHA256);
}

#[test]
fn we_accept_what_xmlsec1_signs_with_rsa_in_any_layout() {
    if let Some(identity) = Identity::rsa() {
        assert_layouts_accepted(&identity, RSA_SHA256);
    }
}

#[test]
fn sha1_is_verified_until_the_agreed_date_and_not_after() {
    let Some(identity) = Identity::rsa() else { return };
    let message = Message::with_parts(1);
    let sha1 = "http://www.w3.org/2000/09/xmldsig#sha1";
    let signature = template(&message, "http://www.w3.org/2000/09/xmldsig#rsa-sha1", sha1);
    let envelope = with_signature(&message.envelope, &signature);
    let Some(signed) = signed_by_xmlsec1(&message, envelope.as_bytes(), &identity) else { return };
    let until = |moment: &str| Leniency {
        sha1_until: Some(Timestamp::parse(moment).unwrap()),
        ..Leniency::default()
    };
    let judge = |leniency| message.verify_leniently(&signed, &identity.pins(), leniency).map(|_| ());
    assert_eq!(judge(Leniency::default()), Err(SignatureFault::Sha1));
    assert_eq!(judge(until("2026-03-02T09:00:01Z")), Ok(()));
    assert_eq!(judge(until(&now().to_string())), Err(SignatureFault::Sha1), "the date itself is after");
}

#[test]
fn an_agreed_hop_header_and_a_missing_xpath_are_accepted_only_when_agreed() {
    let identity = Identity::p256();
    let message = Message::with_parts(1);
    let whole = template(&message, ECDSA_SHA256, SHA256);
    let sync = "<eb:SyncReply eb:version=\"2.0\" SOAP:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"/><ds:Signature";
    let hop = with_signature(&message.envelope, &whole).replace("<ds:Signature ", &format!("{sync} "));
    let bare = with_signature(&message.envelope, &whole.replace(XPATH, ""));
    let Some(hop) = signed_by_xmlsec1(&message, hop.as_bytes(), &identity) else { return };
    let Some(bare) = signed_by_xmlsec1(&message, bare.as_bytes(), &identity) else { return };
    let sync_reply = Leniency { hop_blocks: HopBlocks::EmptySyncReply, ..Leniency::default() };
    let no_xpath = Leniency { xpath: XPathTransform::Optional, ..Leniency::default() };
    let judge =
        |octets: &[u8], leniency| message.verify_leniently(octets, &identity.pins(), leniency).map(|_| ());
    assert_eq!(judge(&hop, sync_reply), Ok(()));
    assert_eq!(judge(&hop, Leniency::default()), Err(SignatureFault::HopBlock));
    let filled = String::from_utf8(hop)
        .unwrap()
        .replace("soap/actor/next\"/>", "soap/actor/next\"><x/></eb:SyncReply>");
    assert_eq!(judge(filled.as_bytes(), sync_reply), Err(SignatureFault::HopBlock), "only an empty one");
    assert_eq!(judge(&bare, no_xpath), Ok(()));
    assert_eq!(judge(&bare, Leniency::default()), Err(SignatureFault::Transforms));
}
