//! Whether a message may be taken at all: from whom, to whom, under which contract, in time. Pure but for the
//! certificate, whose judgement comes in as a closure.
//!
//! The order is that of wire reference §6.2: who is speaking before what is said, and the signature before To,
//! CPAId and TimeToLive, so that a stranger learns nothing of our directory.

use std::time::Duration;

use super::answer::AckAsked;
use crate::directory::{Directory, Party, Peer};
use crate::model::{ConversationId, MessageId, PartyKey, Timestamp};
use crate::packet::signature::SignatureFault;
use crate::packet::signature::verify::Verified;
use crate::transport::NotTheirs;

/// How far a sender's clock may be behind ours (wire reference §5.4).
const SKEW: Duration = Duration::from_secs(120);

/// What a message's header says, as far as it decides whether the message is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Who says they sent it.
    pub from: PartyKey,
    /// Whom it is for: one of ours, or the first named.
    pub to: Vec<PartyKey>,
    /// Under which contract.
    pub cpa_id: String,
    /// Service and action together, as they are known or not.
    pub action: String,
    /// In which conversation.
    pub conversation: ConversationId,
    /// Its own identity.
    pub message_id: MessageId,
    /// Until when it lives.
    pub time_to_live: Option<Timestamp>,
    /// What acknowledgement it asks for.
    pub asked: AckAsked,
}

/// The two ends of a message that may be taken.
#[derive(Debug)]
pub struct Ends<'d> {
    /// Ours.
    pub us: &'d Party,
    /// The other.
    pub them: &'d Party,
    /// How the other is reached and believed.
    pub peer: &'d Peer,
    /// Its signature, when its profile has one.
    pub verified: Option<Verified>,
}

/// Why a message is not taken. The details are for our own log; a sender is told the ebXML code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// The directory does not know the From party as a peer.
    #[error("the From party is not in the directory")]
    UnknownSender,
    /// Its entry is not in force.
    #[error("the From party's entry is not in force")]
    SenderNotInForce,
    /// The connection's certificate is not that party's.
    #[error("the certificate is not the From party's: {0}")]
    Certificate(#[from] NotTheirs),
    /// A rule of the signature is broken.
    #[error("the signature: {0}")]
    Signature(SignatureFault),
    /// The To party is none of ours.
    #[error("the To party is not served here")]
    NotOurs,
    /// No contract of ours has this CPAId.
    #[error("the CPAId is none of ours")]
    UnknownContract,
    /// We do not speak this action.
    #[error("the action is not spoken here")]
    UnknownAction,
    /// It arrived after its TimeToLive and the allowance for clocks.
    #[error("the TimeToLive has passed")]
    Expired,
}

impl Objection {
    /// The ebXML error code a sender is told, with the text beside it. Signature and identity say nothing more.
    pub fn code(&self) -> (&'static str, &'static str) {
        match self {
            Self::UnknownSender | Self::SenderNotInForce | Self::Certificate(_) | Self::Signature(_) => {
                ("SecurityFailure", "the message was not accepted")
            }
            Self::NotOurs => ("ValueNotRecognized", "501314:Invalid To Party Type attribute"),
            Self::UnknownContract => ("ValueNotRecognized", "501319:Unknown CPAId"),
            Self::UnknownAction => ("ValueNotRecognized", "the Service or Action is not supported here"),
            Self::Expired => ("TimeToLiveExpired", "the message arrived after its TimeToLive"),
        }
    }

    /// Where in the envelope, as an XPath.
    pub fn location(&self) -> &'static str {
        match self {
            Self::UnknownSender | Self::SenderNotInForce | Self::Certificate(_) => "//eb:From",
            Self::Signature(_) => "//ds:Signature",
            Self::NotOurs => "//eb:To",
            Self::UnknownContract => "//eb:CPAId",
            Self::UnknownAction => "//eb:Action",
            Self::Expired => "//eb:TimeToLive",
        }
    }

    /// Whether a person should look: someone may be pretending, or a certificate was forgotten.
    pub fn is_alarming(&self) -> bool {
        match self {
            Self::UnknownSender | Self::SenderNotInForce | Self::Certificate(_) | Self::Signature(_) => true,
            Self::NotOurs | Self::UnknownContract | Self::UnknownAction | Self::Expired => false,
        }
    }
}

/// Who is speaking: the From party as a peer of ours whose certificate is on the connection.
pub fn speaker<'d>(
    from: &PartyKey,
    directory: &'d Directory,
    now: Timestamp,
    may_speak: impl FnOnce(&Peer) -> Result<(), NotTheirs>,
) -> Result<(&'d Party, &'d Peer), Objection> {
    let party = directory.by_party_key(from).ok_or(Objection::UnknownSender)?;
    let peer = party.peer().ok_or(Objection::UnknownSender)?;
    if !party.valid_at(now) {
        return Err(Objection::SenderNotInForce);
    }
    may_speak(peer)?;
    Ok((party, peer))
}

/// Whether a message must say until when it lives (wire reference §3.2, †).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It must.
    Required,
    /// It may.
    Optional,
}

/// Whose contract a message may name.
#[derive(Debug, Clone, Copy)]
pub enum Contract<'d> {
    /// Ours: a business message names its receiver's (wire reference §3.2).
    Ours,
    /// Also this party's: a signal copies the contract of the message it answers (wire reference §3.3), which is the
    /// signal's own sender's.
    OursOrOf(&'d Party),
}

/// What is said: to one of ours, under a contract it may name, an action we speak, in time. `actions` are those we
/// speak.
pub fn addressed<'d>(
    heading: &Heading,
    directory: &'d Directory,
    actions: &[&str],
    contract: Contract<'_>,
    life: Life,
    now: Timestamp,
) -> Result<&'d Party, Objection> {
    let served =
        |key: &PartyKey| directory.served().find(|p| p.address().is_some_and(|a| a.party_key == *key));
    let us = heading.to.iter().find_map(served).filter(|p| p.valid_at(now)).ok_or(Objection::NotOurs)?;
    let names = |party: &Party| party.address().is_some_and(|a| a.has_cpa_id(&heading.cpa_id));
    let known = match contract {
        Contract::Ours => names(us),
        Contract::OursOrOf(them) => names(us) || names(them),
    };
    if !known {
        return Err(Objection::UnknownContract);
    }
    if !actions.contains(&heading.action.as_str()) {
        return Err(Objection::UnknownAction);
    }
    match (heading.time_to_live, life) {
        (Some(until), _) if until.plus(SKEW) < now => Err(Objection::Expired),
        (None, Life::Required) => Err(Objection::Expired),
        (Some(_), _) | (None, Life::Optional) => Ok(us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTORY: &str = r#"
[[party]]
ods = "HMP01"
name = "HMP Example"
kind = "prison"
served = true
party_key = "HMP01-0001"
asid = "200000000001"
cpa_id = "S0001A0001"

[[party]]
ods = "B85002"
name = "Example Surgery"
kind = "practice"
party_key = "B85002-0001"
asid = "200000000002"
cpa_id = "S0001A0002"
url = "https://practice.example/"
profile = "spine"
valid_until = "2027-01-01T00:00:00Z"
"#;

    fn directory() -> Directory {
        let none = &mut |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        Directory::parse(DIRECTORY, std::path::Path::new("."), none).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
    }

    fn heading() -> Heading {
        Heading {
            from: PartyKey::parse("B85002-0001").unwrap(),
            to: vec![PartyKey::parse("HMP01-0001").unwrap()],
            cpa_id: "S0001A0001".to_owned(),
            action: "MCCI_IN010000UK13".to_owned(),
            conversation: ConversationId::derived(&["c"]),
            message_id: MessageId::derived(&["m"]),
            time_to_live: None,
            asked: AckAsked::NextMsh,
        }
    }

    fn judged(heading: &Heading, life: Life) -> Result<(), Objection> {
        addressed(heading, &directory(), &["MCCI_IN010000UK13"], Contract::Ours, life, now()).map(drop)
    }

    #[test]
    fn only_a_known_peer_with_its_own_certificate_speaks() {
        let directory = directory();
        let who = |key: &str, at: Timestamp, certificate| {
            let from = PartyKey::parse(key).unwrap();
            speaker(&from, &directory, at, |_| certificate).map(|(party, _)| party.ods.as_str().to_owned())
        };
        assert_eq!(who("B85002-0001", now(), Ok(())).as_deref(), Ok("B85002"));
        assert_eq!(who("X99999-0001", now(), Ok(())), Err(Objection::UnknownSender));
        assert_eq!(
            who("HMP01-0001", now(), Ok(())),
            Err(Objection::UnknownSender),
            "nobody else speaks for us"
        );
        let not_theirs = Err(NotTheirs::OtherName);
        assert_eq!(who("B85002-0001", now(), not_theirs), Err(Objection::Certificate(NotTheirs::OtherName)));
        let later = Timestamp::parse("2027-01-01T00:00:00Z").unwrap();
        assert_eq!(who("B85002-0001", later, Ok(())), Err(Objection::SenderNotInForce));
    }

    #[test]
    fn wrong_party_contract_and_action_are_told_apart() {
        assert_eq!(judged(&heading(), Life::Optional), Ok(()));
        let wrong = Heading { to: vec![PartyKey::parse("B85002-0001").unwrap()], ..heading() };
        assert_eq!(judged(&wrong, Life::Optional), Err(Objection::NotOurs));
        let several = Heading { to: [wrong.to, heading().to].concat(), ..heading() };
        assert_eq!(judged(&several, Life::Optional), Ok(()), "one of several must be ours (wire §3.2)");
        let wrong = Heading { cpa_id: "S0001A0002".to_owned(), ..heading() };
        assert_eq!(judged(&wrong, Life::Optional), Err(Objection::UnknownContract), "theirs is not ours");
        let wrong = Heading { action: "RCMR_IN030000UK08".to_owned(), ..heading() };
        assert_eq!(judged(&wrong, Life::Optional), Err(Objection::UnknownAction));
        assert!(Objection::NotOurs.code().1.starts_with("501314:"), "wire §1.4");
        assert!(Objection::UnknownContract.code().1.starts_with("501319:"), "wire §1.4");
    }

    #[test]
    fn a_signal_names_the_contract_of_the_message_it_answers() {
        let directory = directory();
        let them = directory.by_party_key(&heading().from).unwrap();
        let judged = |cpa_id: &str| {
            let signal = Heading { cpa_id: cpa_id.to_owned(), ..heading() };
            let contract = Contract::OursOrOf(them);
            addressed(&signal, &directory, &["MCCI_IN010000UK13"], contract, Life::Optional, now()).map(drop)
        };
        assert_eq!(judged("S0001A0002"), Ok(()), "copied from what we sent, which named theirs (wire §3.3)");
        assert_eq!(judged("S0001A0001"), Ok(()), "some name the receiver's all the same");
        assert_eq!(judged("S0001A0003"), Err(Objection::UnknownContract), "nobody's");
    }

    #[test]
    fn the_edges_of_time_to_live() {
        let at = |offset: i64| Heading {
            time_to_live: Some(Timestamp::from_millis(now().as_millis() + offset * 1000)),
            ..heading()
        };
        for alive in [1, 0, -119, -120] {
            assert_eq!(judged(&at(alive), Life::Optional), Ok(()), "{alive} s (wire §5.4)");
        }
        assert_eq!(judged(&at(-121), Life::Optional), Err(Objection::Expired));
        assert_eq!(judged(&heading(), Life::Optional), Ok(()), "optional there");
        assert_eq!(judged(&heading(), Life::Required), Err(Objection::Expired), "required here");
    }

    #[test]
    fn a_stranger_learns_nothing() {
        let quiet = [
            Objection::UnknownSender,
            Objection::SenderNotInForce,
            Objection::Certificate(NotTheirs::NotPinned),
            Objection::Signature(SignatureFault::Unsigned),
        ];
        for objection in quiet {
            assert_eq!(objection.code(), ("SecurityFailure", "the message was not accepted"));
            assert!(objection.is_alarming());
        }
    }
}
