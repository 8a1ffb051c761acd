//! The ebMS 2.0 XML signature over an envelope and every part of its message (wire reference §6).
//!
//! [`sign`] writes it; [`verify`] holds a received message to every rule of §6.2 that can be judged from the
//! message, the pins and the time; [`receipt`] is the signed acknowledgement of §6.3. What needs the directory, the
//! ledger or the framing is the caller's: which profile a party takes (rule 1), reading only the document that was
//! verified (rule 7), To, CPAId, TimeToLive and duplicates (rule 11), trusting no MIME or HTTP header (rule 12), the
//! strictness of base64 (rule 13), and that all parts of a large message had the extract's signer (rule 14).

mod fault;
mod key;
mod pin;
pub mod receipt;
mod reference;
mod shape;
pub mod sign;
pub mod verify;

pub use fault::SignatureFault;
pub use key::{InvalidKey, Signer, SigningKey, certificate_from_pem};
pub use pin::{InvalidPin, Pin, Pins};
pub use reference::{Digest, Reference, Transforms};

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const EB: &str = "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd";
const XLINK: &str = "http://www.w3.org/1999/xlink";
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";

/// The two values of `SOAP:actor` that make an element a hop block: it belongs to the next handler and is not signed.
const NEXT_MSH: &str = "urn:oasis:names:tc:ebxml-msg:actor:nextMSH";
const SOAP_NEXT: &str = "http://schemas.xmlsoap.org/soap/actor/next";

const C14N: &str = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const XPATH: &str = "http://www.w3.org/TR/1999/REC-xpath-19991116";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const ECDSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256";
const RSA_SHA1: &str = "http://www.w3.org/2000/09/xmldsig#rsa-sha1";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";
const SHA1: &str = "http://www.w3.org/2000/09/xmldsig#sha1";
