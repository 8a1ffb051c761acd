//! Signed acknowledgements: wire reference §6.3 and scenario 26.

use throughcare::packet::signature::receipt::{reference_copies, verify_receipt};
use throughcare::packet::signature::sign::sign;
use throughcare::packet::signature::verify::{Leniency, Terms, read_envelope, references_of};
use throughcare::packet::signature::{Digest, Reference, SignatureFault};

use super::made::{Identity, Message, acknowledgment, now};

const TO_PARTY: &str = "urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH";

struct Exchange {
    sent: Vec<Reference>,
    receiver: Identity,
}

impl Exchange {
    /// We sent a message with two parts; the receiver verified it.
    fn new() -> Self {
        let (sender, receiver) = (Identity::p256(), Identity::p256());
        let message = Message::with_parts(2);
        let signed = message.sign(&sender.signer());
        let verified = message.verify(&signed.octets, &sender.pins()).unwrap();
        let own = references_of(&read_envelope(&signed.octets).unwrap()).unwrap();
        assert_eq!(own, verified.references, "both ends hold the same references");
        Self { sent: own, receiver }
    }

    fn answer(&self, acknowledged: &[Reference]) -> Vec<u8> {
        let envelope = acknowledgment(&reference_copies(acknowledged), TO_PARTY);
        sign(envelope.as_bytes(), &[], &self.receiver.signer()).unwrap().octets
    }

    fn judge(&self, receipt: &[u8]) -> Result<(), SignatureFault> {
        let pins = self.receiver.pins();
        let terms = Terms { pins: &pins, now: now(), leniency: Leniency::default() };
        verify_receipt(&read_envelope(receipt)?, &self.sent, &terms).map(|_| ())
    }
}

#[test]
fn a_receipt_that_lists_exactly_what_was_sent_is_accepted_in_any_order() {
    let exchange = Exchange::new();
    assert_eq!(exchange.judge(&exchange.answer(&exchange.sent)), Ok(()));
    let reversed: Vec<_> = exchange.sent.iter().rev().cloned().collect();
    assert_eq!(exchange.judge(&exchange.answer(&reversed)), Ok(()));
}

#[test]
fn a_receipt_with_a_reference_missing_extra_or_altered_is_refused() {
    let exchange = Exchange::new();
    let missing = &exchange.sent[..2];
    let mut extra = exchange.sent.clone();
    extra.push(exchange.sent[1].clone());
    let mut altered = exchange.sent.clone();
    altered[1].digest = Digest::Sha256([0; 32]);
    let mut renamed = exchange.sent.clone();
    renamed[1].uri.push('x');
    for wrong in [missing, &extra, &altered, &renamed, &[]] {
        assert_eq!(exchange.judge(&exchange.answer(wrong)), Err(SignatureFault::ReceiptReferences));
    }
}

#[test]
fn a_receipt_changed_after_signing_or_signed_by_another_is_refused() {
    let exchange = Exchange::new();
    let receipt = String::from_utf8(exchange.answer(&exchange.sent)).unwrap();
    let other = receipt.replace("<eb:RefToMessageId>M1<", "<eb:RefToMessageId>M2<");
    assert_eq!(exchange.judge(other.as_bytes()), Err(SignatureFault::EnvelopeDigest));
    let stranger = Exchange { sent: exchange.sent.clone(), receiver: Identity::p256() };
    assert_eq!(stranger.judge(receipt.as_bytes()), Err(SignatureFault::NotPinned));
    let unsigned = acknowledgment(&reference_copies(&exchange.sent), TO_PARTY);
    assert_eq!(exchange.judge(unsigned.as_bytes()), Err(SignatureFault::Unsigned));
}

#[test]
fn a_receipt_for_the_next_hop_proves_nothing() {
    let exchange = Exchange::new();
    let receipt = String::from_utf8(exchange.answer(&exchange.sent)).unwrap();
    let hop = receipt.replace(TO_PARTY, "urn:oasis:names:tc:ebxml-msg:actor:nextMSH");
    assert_eq!(
        exchange.judge(hop.as_bytes()),
        Err(SignatureFault::HopBlock),
        "its own signature leaves it out"
    );
    let without = String::from_utf8(
        sign(Message::with_parts(0).envelope.as_bytes(), &[], &exchange.receiver.signer()).unwrap().octets,
    )
    .unwrap();
    assert_eq!(exchange.judge(without.as_bytes()), Err(SignatureFault::NotOne("Acknowledgment")));
}
