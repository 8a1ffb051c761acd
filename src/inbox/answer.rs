//! What is answered: the table of wire reference §1.4, and where a signal returns (§1.3). Pure.

use super::HttpAnswer;
use crate::directory::{AnswerStatus, SyncReply};

/// What a message asks for by way of transport acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckAsked {
    /// No AckRequested.
    No,
    /// AckRequested of the next hop.
    NextMsh,
    /// AckRequested of the party itself.
    ToParty,
}

/// Where the transport signal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalWay {
    /// Nowhere: none is due.
    None,
    /// Into the HTTP answer.
    Sync,
    /// Into a request of its own, to the From party's route for the signal.
    Async,
}

/// Whether the From party has a route for signals of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalRoute {
    /// It has.
    Known,
    /// It has not: the answer is the only way.
    Absent,
}

/// Where an Acknowledgment returns. The contract decides; the element SyncReply is only a hint (wire §3.2), and a
/// signed message cannot carry it at all (wire §6.2, rule 6).
pub fn signal_way(asked: AckAsked, contract: SyncReply, route: SignalRoute) -> SignalWay {
    match (asked, contract, route) {
        (AckAsked::No, _, _) => SignalWay::None,
        (AckAsked::NextMsh, _, _) => SignalWay::Sync,
        (AckAsked::ToParty, SyncReply::Signals, _) => SignalWay::Sync,
        (AckAsked::ToParty, SyncReply::None, SignalRoute::Known) => SignalWay::Async,
        (AckAsked::ToParty, SyncReply::None, SignalRoute::Absent) => SignalWay::Sync,
    }
}

/// What became of a request, as far as its answer is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Stored; here is the Acknowledgment for the HTTP answer.
    Acknowledged(Vec<u8>),
    /// Stored; no acknowledgement is due, or it goes its own way.
    Kept,
    /// A signal, known or not: a signal is never answered by a signal.
    Signal,
    /// Refused; here is the MessageError.
    Refused(Vec<u8>),
    /// Nothing says which message it was; here is the SOAP fault.
    Nameless(Vec<u8>),
    /// It could not be stored.
    NotStored,
}

/// How long a sender is asked to wait when nothing could be stored: shorter than any contract's retry interval
/// would be pointless, much longer would waste its window.
const COME_AGAIN: u32 = 30;

/// The HTTP answer to a request (wire reference §1.4).
pub fn answer(disposition: Disposition, success: AnswerStatus) -> HttpAnswer {
    match disposition {
        Disposition::Acknowledged(octets) => HttpAnswer::xml(success.code(), octets),
        Disposition::Kept | Disposition::Signal => HttpAnswer::empty(202),
        Disposition::Refused(octets) => HttpAnswer::xml(200, octets),
        Disposition::Nameless(octets) => HttpAnswer::xml(500, octets),
        Disposition::NotStored => HttpAnswer::busy(COME_AGAIN),
    }
}

/// The SOAP fault for a request that names no message, blaming the client, without any of its content.
pub fn client_fault() -> Vec<u8> {
    concat!(
        "<SOAP:Envelope xmlns:SOAP=\"http://schemas.xmlsoap.org/soap/envelope/\"><SOAP:Body><SOAP:Fault>",
        "<faultcode>SOAP:Client</faultcode>",
        "<faultstring>no readable MessageId in the request</faultstring>",
        "</SOAP:Fault></SOAP:Body></SOAP:Envelope>"
    )
    .as_bytes()
    .to_vec()
}

/// An answer as it is sealed, to be replayed octet for octet: the status, a line end, the body.
pub fn to_stored(answer: &HttpAnswer) -> Vec<u8> {
    [answer.status.to_string().as_bytes(), b"\n", &answer.body].concat()
}

/// A kept answer again; none when the octets were not written by [`to_stored`].
pub fn from_stored(octets: &[u8]) -> Option<HttpAnswer> {
    let end = octets.iter().position(|b| *b == b'\n')?;
    let status = std::str::from_utf8(&octets[..end]).ok()?.parse().ok()?;
    Some(HttpAnswer { status, body: octets[end + 1..].to_vec(), retry_after: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_where_a_signal_returns() {
        use SignalRoute::{Absent, Known};
        let rows = [
            (AckAsked::NextMsh, SyncReply::None, Known, SignalWay::Sync),
            (AckAsked::NextMsh, SyncReply::Signals, Absent, SignalWay::Sync),
            (AckAsked::ToParty, SyncReply::Signals, Known, SignalWay::Sync),
            (AckAsked::ToParty, SyncReply::None, Known, SignalWay::Async),
            (AckAsked::ToParty, SyncReply::None, Absent, SignalWay::Sync),
            (AckAsked::No, SyncReply::None, Known, SignalWay::None),
            (AckAsked::No, SyncReply::Signals, Absent, SignalWay::None),
        ];
        for (asked, contract, route, way) in rows {
            assert_eq!(
                signal_way(asked, contract, route),
                way,
                "wire §1.3: {asked:?} {contract:?} {route:?}"
            );
        }
    }

    #[test]
    fn every_row_of_what_we_answer() {
        let xml = b"<a/>".to_vec();
        let status = |disposition, success| {
            let answer = answer(disposition, success);
            (answer.status, !answer.body.is_empty(), answer.retry_after.is_some())
        };
        let (ok, accepted) = (AnswerStatus::Ok, AnswerStatus::Accepted);
        assert_eq!(status(Disposition::Acknowledged(xml.clone()), ok), (200, true, false));
        assert_eq!(
            status(Disposition::Acknowledged(xml.clone()), accepted),
            (202, true, false),
            "answer=202"
        );
        assert_eq!(status(Disposition::Kept, ok), (202, false, false));
        assert_eq!(status(Disposition::Signal, ok), (202, false, false), "never a signal for a signal");
        assert_eq!(status(Disposition::Refused(xml.clone()), accepted), (200, true, false));
        assert_eq!(status(Disposition::Nameless(xml), ok), (500, true, false));
        assert_eq!(status(Disposition::NotStored, ok), (503, false, true), "never 2xx before it is durable");
    }

    #[test]
    fn a_kept_answer_is_replayed_octet_for_octet() {
        for given in [HttpAnswer::empty(202), HttpAnswer::xml(200, "<a>\n é</a>\n".into())] {
            assert_eq!(from_stored(&to_stored(&given)), Some(given));
        }
        assert_eq!(from_stored(b"nonsense"), None);
    }
}
