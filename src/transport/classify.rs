//! What an answer means for the message that was sent: wire reference §1.5, row by row. Pure: what was observed goes
//! in, a verdict comes out.
//!
//! A readable ebXML or SOAP body outranks the status; a body that names another message is not ours.

use std::time::Duration;

use crate::model::{MessageId, PartyKey, Timestamp};
use crate::packet::envelope::Header;
use crate::packet::mime::{MimeLimits, Strictness};
use crate::packet::signal::{EbError, Signal, SoapFault};
use crate::packet::signature::verify::Terms;
use crate::packet::signature::{Reference, receipt};
use crate::packet::xml::Document;
use crate::packet::{Received, open};
use crate::transfer::verdict::{Accepted, Refused, TryAgain, Verdict};
use crate::transport::{Observation, Reply};

/// The longest wait a party can ask for with Retry-After: the quick retries' own ceiling.
const LONGEST_PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Hub codes that pass by themselves: transmission error, routing failure, store failure.
const HUB_PASSES: [u32; 3] = [200, 206, 208];

/// What was sent, as far as the answer must fit it.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// The message.
    pub message_id: &'a MessageId,
    /// The party it was sent to.
    pub to: &'a PartyKey,
    /// Whether an Acknowledgment is due in the HTTP answer.
    pub ack_due: bool,
    /// For a party of the signed profile: what our receipt must fit.
    pub receipt: Option<ReceiptDue<'a>>,
}

/// What a receipt must fit to be one (wire reference §6.3).
#[derive(Debug, Clone, Copy)]
pub struct ReceiptDue<'a> {
    /// The header of what we sent.
    pub header: &'a Header,
    /// What our signature covered.
    pub references: &'a [Reference],
    /// Whose receipt counts.
    pub terms: Terms<'a>,
}

/// An answer, judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// What it means.
    pub verdict: Verdict,
    /// Whether somebody should hear of it at once: certificates, signatures, impostors.
    pub alarm: bool,
    /// When the party asked us to come back.
    pub retry_after: Option<Timestamp>,
    /// Whether the body is a signed receipt that holds and is to be kept.
    pub keep_receipt: bool,
}

impl Judged {
    fn of(verdict: Verdict) -> Self {
        Self { verdict, alarm: false, retry_after: None, keep_receipt: false }
    }

    fn alarming(self) -> Self {
        Self { alarm: true, ..self }
    }
}

/// Judges what was observed.
pub fn classify(answer: &Observation, sent: &Sent<'_>, now: Timestamp) -> Judged {
    match answer {
        Observation::Unreachable { .. } => again(TryAgain::Unreachable),
        Observation::TlsIdentity { .. } => again(TryAgain::TlsIdentity).alarming(),
        Observation::Broken { .. } => again(TryAgain::UnknownOutcome),
        Observation::Reply(reply) => judge_reply(reply, sent, now),
    }
}

fn again(why: TryAgain) -> Judged {
    Judged::of(Verdict::TryAgain(why))
}

fn refused(why: Refused) -> Judged {
    Judged::of(Verdict::Refused(why))
}

fn accepted(by: Accepted) -> Judged {
    Judged::of(Verdict::Accepted(by))
}

fn judge_reply(reply: &Reply, sent: &Sent<'_>, now: Timestamp) -> Judged {
    let success = (200..300).contains(&reply.status);
    match signal_in(reply) {
        Some((envelope, signal)) => judge_signal(&signal, &envelope, reply, sent, now),
        None if success && !reply.body.is_empty() && reply.status != 202 => {
            again(TryAgain::NotEbxml).alarming()
        }
        None if success => judge_empty(reply.status, sent),
        None => judge_status(reply, now),
    }
}

fn signal_in(reply: &Reply) -> Option<(Box<Document>, Signal)> {
    if reply.body.is_empty() {
        return None;
    }
    let content_type = reply.content_type.as_deref().unwrap_or("text/xml");
    match open(content_type, &reply.body, Strictness::Tolerant, &MimeLimits::default()) {
        Ok(Received::Signal { envelope, signal }) => Some((envelope, signal)),
        Ok(Received::Business(_)) | Err(_) => None,
    }
}

/// Rows 4 to 6.
fn judge_empty(status: u16, sent: &Sent<'_>) -> Judged {
    if status == 202 || !sent.ack_due {
        // A signed party's acceptance is its receipt; until that comes by a message of its own, the hop has it.
        accepted(Accepted::Hop)
    } else {
        again(TryAgain::AckMissing)
    }
}

/// Rows 7 to 21.
fn judge_signal(
    signal: &Signal,
    envelope: &Document,
    reply: &Reply,
    sent: &Sent<'_>,
    now: Timestamp,
) -> Judged {
    let success = (200..300).contains(&reply.status);
    match signal {
        Signal::Acknowledgment(ack) if ack.refers_to != *sent.message_id => {
            if success {
                again(TryAgain::AckMismatch).alarming()
            } else {
                judge_status(reply, now)
            }
        }
        Signal::Acknowledgment(_) if !success => judge_status(reply, now),
        Signal::Acknowledgment(ack) => match &sent.receipt {
            None if ack.by_party && ack.from == *sent.to => accepted(Accepted::End),
            None => accepted(Accepted::Hop),
            Some(due) => match receipt::verify_receipt(envelope, due.references, &due.terms) {
                Ok(_) if ack.fits(due.header) => Judged { keep_receipt: true, ..accepted(Accepted::End) },
                Ok(_) | Err(_) => again(TryAgain::ReceiptInvalid).alarming(),
            },
        },
        Signal::MessageError { refers_to: Some(other), .. } if other != sent.message_id => {
            if success {
                judge_empty(reply.status, sent)
            } else {
                judge_status(reply, now)
            }
        }
        Signal::MessageError { errors, .. } => judge_errors(errors),
        Signal::Fault(fault) => judge_fault(fault),
    }
}

/// Rows 11 to 18.
pub fn judge_errors(errors: &[EbError]) -> Judged {
    let each: Vec<Judged> = errors.iter().map(judge_error).collect();
    // Row 18: any refusal wins, then any doubt.
    let rank = |j: &&Judged| match j.verdict {
        Verdict::Refused(_) => 0,
        Verdict::TryAgain(_) => 1,
        Verdict::Accepted(_) => 2,
    };
    let Some(first) = each.iter().min_by_key(rank) else { return again(TryAgain::PeerUnknown) };
    // Somebody hears of an impostor, whichever error decides.
    Judged { alarm: each.iter().any(|j| j.alarm), ..*first }
}

fn judge_error(error: &EbError) -> Judged {
    if error.warning {
        return match error.code.as_str() {
            "DeliveryFailure" => again(TryAgain::DeliveryUncertain),
            _ => accepted(Accepted::Warning),
        };
    }
    match error.code.as_str() {
        "ValueNotRecognized" => refused(Refused::Addressing),
        "NotSupported" => refused(Refused::NotSupported),
        "Inconsistent" => refused(Refused::Inconsistent),
        "OtherXml" | "MimeProblem" => refused(Refused::Malformed),
        "SecurityFailure" => refused(Refused::Security).alarming(),
        "TimeToLiveExpired" => refused(Refused::Expired),
        "DeliveryFailure" => refused(Refused::Undeliverable),
        _ => again(TryAgain::PeerUnknown),
    }
}

/// Rows 19 to 21.
fn judge_fault(fault: &SoapFault) -> Judged {
    match (fault.hub_codes.as_slice(), fault.code.as_str()) {
        ([], "Client" | "MustUnderstand" | "VersionMismatch") => refused(Refused::Fault),
        ([], _) => again(TryAgain::PeerFault),
        (codes, _) if codes.iter().all(|code| passes(code)) => again(TryAgain::HubBusy),
        (_, _) => refused(Refused::HubFault),
    }
}

/// Codes are text and compared as numbers; one that is no number is none of these.
fn passes(code: &str) -> bool {
    code.parse().is_ok_and(|code: u32| HUB_PASSES.contains(&code))
}

/// Rows 23 to 28: nothing readable in the body.
fn judge_status(reply: &Reply, now: Timestamp) -> Judged {
    match reply.status {
        300..=399 => refused(Refused::Redirect),
        408 | 425 | 429 | 503 => {
            let asked = reply.wait(now).map(|wait| now.plus(wait.min(LONGEST_PATIENCE)));
            Judged { retry_after: asked, ..again(TryAgain::Busy) }
        }
        413 => refused(Refused::TooLarge),
        401 | 403 | 404 | 421 => refused(Refused::Http4xx).alarming(),
        400..=499 => refused(Refused::Http4xx),
        501 | 505 | 510 => refused(Refused::Http5xx),
        _ => again(TryAgain::Peer5xx),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConversationId, CpaId};
    use crate::packet::envelope::{AckRequest, EBXML};
    use crate::packet::signal::{self, Complaint};

    fn header() -> Header {
        Header {
            from: PartyKey::parse("HMP01-0001").unwrap(),
            to: PartyKey::parse("GPX01-0002").unwrap(),
            cpa_id: CpaId::parse("S1").unwrap(),
            conversation: ConversationId::derived(&["c"]),
            service: EBXML.to_owned(),
            action: "x".to_owned(),
            message_id: MessageId::derived(&["ours"]),
            timestamp: Timestamp::default(),
            time_to_live: None,
            refers_to: None,
            duplicate_elimination: true,
            ack_requested: AckRequest::Party { signed: false },
        }
    }

    fn reply(status: u16, body: &[u8]) -> Observation {
        let retry_after = (status == 503).then(|| "30".to_owned());
        Observation::Reply(Reply {
            status,
            content_type: Some("text/xml".to_owned()),
            retry_after,
            body: body.to_vec(),
        })
    }

    fn error(code: &str) -> Vec<u8> {
        let complaint = Complaint { code, location: "//eb:From", words: "words" };
        signal::refuse(&header(), complaint, None, Timestamp::default()).unwrap()
    }

    fn text(template: &[u8], from: &str, to: &str) -> Vec<u8> {
        String::from_utf8(template.to_vec()).unwrap().replace(from, to).into_bytes()
    }

    fn fault_with(code: &str, hub: &[&str]) -> Vec<u8> {
        let details: String = hub.iter().map(|c| format!("<n:errorCode>{c}</n:errorCode>")).collect();
        let fault = signal::fault("f");
        let fault = text(&fault, "SOAP:Client", code);
        text(
            &fault,
            "</SOAP:Fault>",
            &format!("<detail xmlns:n=\"urn:nasp\">{details}</detail></SOAP:Fault>"),
        )
    }

    #[test]
    fn every_row_of_the_table_has_its_verdict() {
        use Verdict::{Accepted as Ok, Refused as No, TryAgain as Again};
        let ours = header();
        let ack = signal::acknowledge(&ours, &[], None, Timestamp::default()).unwrap();
        let hop = signal::acknowledge(
            &Header { ack_requested: AckRequest::NextHop, ..header() },
            &[],
            None,
            Timestamp::default(),
        )
        .unwrap();
        let foreign = text(&ack, ours.message_id.as_str(), MessageId::derived(&["theirs"]).as_str());
        let warning = text(&error("NotSupported"), "\"Error\"", "\"Warning\"");
        let delivery = |severity: &str| {
            let e = text(&error("NotSupported"), "NotSupported", "DeliveryFailure");
            text(&e, "\"Error\"", severity)
        };
        let why = || "x".to_owned();
        let rows: Vec<(&str, Observation, Verdict)> = vec![
            ("1", Observation::Unreachable { why: why() }, Again(TryAgain::Unreachable)),
            ("2", Observation::TlsIdentity { why: why() }, Again(TryAgain::TlsIdentity)),
            ("3", Observation::Broken { why: why() }, Again(TryAgain::UnknownOutcome)),
            ("4", reply(202, b""), Ok(Accepted::Hop)),
            ("6", reply(200, b""), Again(TryAgain::AckMissing)),
            ("7", reply(200, &foreign), Again(TryAgain::AckMismatch)),
            ("8", reply(200, &hop), Ok(Accepted::Hop)),
            ("9", reply(200, &ack), Ok(Accepted::End)),
            ("11", reply(200, &warning), Ok(Accepted::Warning)),
            ("11", reply(200, &delivery("\"Warning\"")), Again(TryAgain::DeliveryUncertain)),
            ("12", reply(200, &error("ValueNotRecognized")), No(Refused::Addressing)),
            ("13", reply(200, &error("NotSupported")), No(Refused::NotSupported)),
            ("13", reply(500, &error("Inconsistent")), No(Refused::Inconsistent)),
            ("14", reply(200, &error("OtherXml")), No(Refused::Malformed)),
            ("14", reply(200, &error("MimeProblem")), No(Refused::Malformed)),
            ("15", reply(200, &error("SecurityFailure")), No(Refused::Security)),
            ("16", reply(200, &error("TimeToLiveExpired")), No(Refused::Expired)),
            ("16", reply(200, &delivery("\"Error\"")), No(Refused::Undeliverable)),
            (
                "17",
                reply(200, &text(&error("NotSupported"), "\"NotSupported\"", "\"Odd\"")),
                Again(TryAgain::PeerUnknown),
            ),
            ("19", reply(500, &fault_with("SOAP:Server", &["206", "208"])), Again(TryAgain::HubBusy)),
            ("20", reply(500, &fault_with("SOAP:Server", &["206", "300"])), No(Refused::HubFault)),
            ("20", reply(500, &fault_with("SOAP:Server", &["SEF002"])), No(Refused::HubFault)),
            ("21", reply(500, &fault_with("SOAP:Server", &[])), Again(TryAgain::PeerFault)),
            ("21", reply(500, &fault_with("SOAP:Client", &[])), No(Refused::Fault)),
            ("22", reply(200, b"<html></html>"), Again(TryAgain::NotEbxml)),
            ("23", reply(302, b""), No(Refused::Redirect)),
            ("24", reply(503, b""), Again(TryAgain::Busy)),
            ("25", reply(413, b""), No(Refused::TooLarge)),
            ("26", reply(404, b"nothing here"), No(Refused::Http4xx)),
            ("27", reply(501, b""), No(Refused::Http5xx)),
            ("28", reply(500, b"oops"), Again(TryAgain::Peer5xx)),
        ];
        let sent = Sent { message_id: &ours.message_id, to: &ours.to, ack_due: true, receipt: None };
        for (row, answer, verdict) in rows {
            assert_eq!(
                classify(&answer, &sent, Timestamp::default()).verdict,
                verdict,
                "row {row}: {answer:?}"
            );
        }
        let lax = Sent { ack_due: false, ..sent };
        assert_eq!(
            classify(&reply(200, b""), &lax, Timestamp::default()).verdict,
            Ok(Accepted::Hop),
            "row 5"
        );
        let patience = classify(&reply(503, b""), &sent, Timestamp::default()).retry_after;
        assert_eq!(patience, Some(Timestamp::from_millis(30_000)), "row 24: Retry-After is honoured");
    }

    #[test]
    fn of_several_errors_a_refusal_wins() {
        let errors =
            ["Odd", "SecurityFailure", "Odd"].map(|code| EbError { code: code.to_owned(), warning: false });
        let judged = judge_errors(&errors);
        assert_eq!(judged.verdict, Verdict::Refused(Refused::Security), "row 18");
        assert!(judged.alarm);
        let errors =
            ["NotSupported", "SecurityFailure"].map(|code| EbError { code: code.to_owned(), warning: false });
        let judged = judge_errors(&errors);
        assert_eq!(judged.verdict, Verdict::Refused(Refused::NotSupported), "the first refusal decides");
        assert!(judged.alarm, "row 15: the alarm is not lost to an error named before it");
    }
}
