//! The signed acknowledgement: proof that the other end has exactly what we sent (wire reference §6.3).
//!
//! That it answers this message of ours (RefToMessageId, swapped parties, CPAId, ConversationId) is the caller's to check,
//! in the same document.

use super::reference::{Reference, Scope};
use super::verify::{Terms, Verified, verify};
use super::{DS, EB, SOAP, SignatureFault};
use crate::packet::xml::Document;

/// The only actor an Acknowledgment may have and still be covered by its own signature.
const TO_PARTY_MSH: &str = "urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH";

/// The references of a verified message as `eb:Acknowledgment` carries them: XML that needs no declaration around it.
pub fn reference_copies(references: &[Reference]) -> String {
    let mut out = Vec::new();
    for reference in references {
        reference.write(&mut out, Scope::Alone);
    }
    String::from_utf8(out).expect("references are written from text")
}

/// Verifies an Acknowledgment under the pins of the party we sent to: its signature, and that it lists exactly `sent`, in
/// any order.
pub fn verify_receipt(
    envelope: &Document,
    sent: &[Reference],
    terms: &Terms<'_>,
) -> Result<Verified, SignatureFault> {
    let verified = verify(envelope, &[], terms)?;
    let header = envelope.root().child(SOAP, "Header").ok_or(SignatureFault::NotOne("Header"))?;
    let acknowledgment =
        header.only_child(EB, "Acknowledgment").ok_or(SignatureFault::NotOne("Acknowledgment"))?;
    if !matches!(acknowledgment.attribute(SOAP, "actor"), None | Some(TO_PARTY_MSH)) {
        return Err(SignatureFault::NotOne("Acknowledgment"));
    }
    let copies = acknowledgment.children().filter(|it| it.is(DS, "Reference")).map(Reference::read);
    let mut copies: Vec<Reference> = copies.collect::<Result<_, _>>()?;
    let mut sent = sent.to_vec();
    copies.sort_unstable();
    sent.sort_unstable();
    if copies == sent { Ok(verified) } else { Err(SignatureFault::ReceiptReferences) }
}
