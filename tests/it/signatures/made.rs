//! Keys, messages and the terms to judge them by, made on the spot.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use throughcare::model::Timestamp;
use throughcare::packet::signature::sign::{PartDigest, SignedEnvelope, sign};
use throughcare::packet::signature::verify::{
    Leniency, Terms, VerifiablePart, Verified, read_envelope, verify,
};
use throughcare::packet::signature::{Pins, SignatureFault, Signer, certificate_from_pem};

use crate::tools;

/// When every message here is received.
pub fn now() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

/// A party that signs.
pub struct Identity {
    pub key: String,
    pub certificate: String,
}

impl Identity {
    /// An ECDSA P-256 key with a certificate of its own.
    pub fn p256() -> Self {
        Self::of(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    /// An RSA key; `None` where there is no `openssl` to make one.
    pub fn rsa() -> Option<Self> {
        let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let output = tools::run("openssl", arguments)?;
        let lines = String::from_utf8(output.stdout).unwrap();
        let body: String = lines.lines().filter(|line| !line.starts_with("-----")).collect();
        Some(Self::of(&KeyPair::try_from(STANDARD.decode(body).unwrap()).unwrap()))
    }

    pub fn of(key: &KeyPair) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "signing, example");
        let certificate = params.self_signed(key).unwrap();
        Self::from_parts(key, certificate.der())
    }

    pub fn from_parts(key: &KeyPair, certificate: &[u8]) -> Self {
        Self { key: pem("PRIVATE KEY", &key.serialize_der()), certificate: pem("CERTIFICATE", certificate) }
    }

    pub fn der(&self) -> Vec<u8> {
        certificate_from_pem(&self.certificate).unwrap()
    }

    pub fn signer(&self) -> Signer {
        Signer::from_pem(&self.key, &self.certificate).unwrap()
    }

    pub fn pins(&self) -> Pins {
        Pins::certificate(self.der()).unwrap()
    }
}

/// DER as PEM, in lines of 64.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// An unsigned message: envelope, and parts by Content-ID.
#[derive(Clone)]
pub struct Message {
    pub envelope: String,
    pub parts: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// A business message with this many parts beside the envelope.
    pub fn with_parts(count: usize) -> Self {
        let part = |n: usize| (format!("p{n}@hmp01.example"), format!("part {n}\r\n\0\u{E9}").into_bytes());
        let parts: Vec<_> = (1..=count).map(part).collect();
        let references: String = parts.iter().enumerate().map(|(n, (id, _))| reference(n, id)).collect();
        Self { envelope: envelope(&references), parts }
    }

    pub fn sign(&self, signer: &Signer) -> SignedEnvelope {
        let parts: Vec<_> = self.parts.iter().map(|(id, octets)| PartDigest::of(id, octets)).collect();
        sign(self.envelope.as_bytes(), &parts, signer).unwrap()
    }

    pub fn verify(&self, envelope: &[u8], pins: &Pins) -> Result<Verified, SignatureFault> {
        self.verify_leniently(envelope, pins, Leniency::default())
    }

    pub fn verify_leniently(
        &self,
        envelope: &[u8],
        pins: &Pins,
        leniency: Leniency,
    ) -> Result<Verified, SignatureFault> {
        verify(&read_envelope(envelope)?, &self.verifiable(), &Terms { pins, now: now(), leniency })
    }

    pub fn verifiable(&self) -> Vec<VerifiablePart<'_>> {
        self.parts.iter().map(|(id, octets)| VerifiablePart { content_id: id, octets }).collect()
    }

    /// Writes the envelope and the parts into `folder`; answers the `--url-map` arguments for `xmlsec1`.
    pub fn write(&self, folder: &Path, envelope: &[u8]) -> Vec<String> {
        std::fs::write(folder.join("envelope.xml"), envelope).unwrap();
        let mut arguments = Vec::new();
        for (n, (id, octets)) in self.parts.iter().enumerate() {
            let file = folder.join(format!("part{n}"));
            std::fs::write(&file, octets).unwrap();
            arguments.extend([format!("--url-map:cid:{id}"), file.to_str().unwrap().to_owned()]);
        }
        arguments
    }
}

fn reference(n: usize, id: &str) -> String {
    format!(
        "<eb:Reference eb:id=\"_D{n}\" xlink:href=\"cid:{id}\"><eb:Description xml:lang=\"en\">Filename=\"a &amp; b\" \
         Length=7</eb:Description></eb:Reference>"
    )
}

fn envelope(references: &str) -> String {
    format!(
        r#"<SOAP:Envelope xmlns:SOAP="http://schemas.xmlsoap.org/soap/envelope/" xmlns:eb="http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd" xmlns:xlink="http://www.w3.org/1999/xlink">
<SOAP:Header><eb:MessageHeader eb:version="2.0" SOAP:mustUnderstand="1"><eb:From><eb:PartyId>HMP01-0001</eb:PartyId></eb:From><eb:To><eb:PartyId>GPX01-0002</eb:PartyId></eb:To><eb:Action>RCMR_IN030000UK06</eb:Action>
<eb:MessageData><eb:MessageId>B72F7785-1C1F-4C5D-9F2C-2F0F5B8C1D01</eb:MessageId><eb:TimeToLive>2026-03-09T09:00:00Z</eb:TimeToLive></eb:MessageData><eb:DuplicateElimination/></eb:MessageHeader>
<eb:AckRequested eb:version="2.0" SOAP:mustUnderstand="1" eb:signed="true" SOAP:actor="urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH"/></SOAP:Header>
<SOAP:Body><eb:Manifest eb:version="2.0">{references}</eb:Manifest></SOAP:Body></SOAP:Envelope>"#
    )
}

/// An acknowledgement holding these copies of references.
pub fn acknowledgment(copies: &str, actor: &str) -> String {
    let header = envelope("");
    let (head, tail) = header.split_once("<eb:AckRequested").unwrap();
    let tail = tail
        .split_once("</SOAP:Header>")
        .unwrap()
        .1
        .replace("<eb:Manifest eb:version=\"2.0\"></eb:Manifest>", "");
    format!(
        "{head}<eb:Acknowledgment eb:version=\"2.0\" SOAP:mustUnderstand=\"1\" SOAP:actor=\"{actor}\">\
         <eb:RefToMessageId>M1</eb:RefToMessageId>{copies}</eb:Acknowledgment></SOAP:Header>{tail}"
    )
}
