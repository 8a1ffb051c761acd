//! Takes a whole request: who speaks, what is said, sealed and committed, and only then answered.
//!
//! What a message is and how signals are written is asked of [`Wire`]; whether it is taken is `judge`'s, what is
//! answered is `answer`'s. Nothing is decided twice: the ledger says whether a message is new.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::answer::{self, Disposition, SignalRoute, SignalWay, answer, from_stored, signal_way, to_stored};
use super::aside::{Aside, Reason, Refused, stranger};
use super::judge::{Contract, Ends, Heading, Life, Objection, addressed, speaker};
use super::tell::{ErrorText, Receipt, Told};
use super::wire::{CannotSign, Unreadable, Wire, WireMessage};
use super::{Desk, HttpAnswer, Posted};
use crate::clock;
use crate::directory::{AnswerStatus, Directory, DirectoryHandle, Party, Peer, Profile};
use crate::engine::{Handle, Input, Listing, Reply, Route};
use crate::model::{OdsCode, Timestamp};
use crate::packet::file_head;
use crate::packet::signature::SignatureFault;
use crate::packet::signature::verify::Verified;
use crate::store::Vault;
use crate::transfer::dispatch::PacketRef;
use crate::transfer::event::{Event, LateSignal};
use crate::transfer::refusal::PartRefusal;
use crate::transport::Tls;

/// Above this, reading and verifying leave the asynchronous threads: below it they take well under a millisecond.
const LARGE: usize = 64 * 1024;

/// The least time a message is remembered: a practice may send again for twelve weeks (wire reference §5.3).
const REMEMBER: Duration = Duration::from_secs(84 * 86_400);

/// Beyond TimeToLive, where that is longer.
const AFTERWARDS: Duration = Duration::from_secs(86_400);

/// A signal that goes its own way, to be posted to the party's route for it.
#[derive(Debug, Clone)]
pub struct OwnSignal {
    /// Whom it is for.
    pub to: crate::model::PartyKey,
    /// `Acknowledgment` or `MessageError`.
    pub action: &'static str,
    /// The octets.
    pub body: Bytes,
}

/// The desk of the daemon.
pub struct Reception {
    /// Reads and writes messages.
    pub wire: Arc<Wire>,
    /// For the certificates of callers.
    pub tls: Tls,
    /// Who is who.
    pub directory: DirectoryHandle,
    /// Whoever makes it durable.
    pub engine: Handle,
    /// Where the octets are sealed.
    pub vault: Vault,
    /// Where what is refused goes.
    pub aside: Aside,
    /// Where signals that go their own way are queued: not acknowledged, three attempts (wire reference §1.3). A full
    /// queue loses one; its message comes again and draws another.
    pub signals: mpsc::Sender<OwnSignal>,
    /// The actions spoken here, beside the signals.
    pub actions: &'static [&'static str],
}

/// A message that was read and whose speaker is who they say, with what was checked so far.
struct Checked {
    message: WireMessage,
    verified: Option<Verified>,
    digest: String,
    /// What is wrong with it as a part of a record.
    wrong: Option<PartRefusal>,
}

impl Desk for Reception {
    async fn take(&self, posted: Posted) -> HttpAnswer {
        let now = clock::now();
        let directory = self.directory.current();
        let Refusal { turned, aside } = match self.judge(&posted, &directory, now).await {
            Ok(answer) => return answer,
            Err(refusal) => refusal,
        };
        if let Some(refused) = aside {
            self.aside.put(&posted, refused, now).await;
        }
        match turned {
            Turned::Nameless => answer(Disposition::Nameless(answer::client_fault()), AnswerStatus::Ok),
            Turned::SilentlyOff => answer(Disposition::Signal, AnswerStatus::Ok),
            Turned::NotStored => answer(Disposition::NotStored, AnswerStatus::Ok),
            Turned::Off { heading, error, profile } => {
                match self.wire.message_error(&heading, error, profile, now) {
                    Ok(octets) => answer(Disposition::Refused(octets), AnswerStatus::Ok),
                    Err(CannotSign) => answer(Disposition::NotStored, AnswerStatus::Ok),
                }
            }
        }
    }
}

/// A request that is not taken: what is answered, and why it is put aside, if it is.
struct Refusal {
    turned: Turned,
    aside: Option<Refused>,
}

impl From<Turned> for Refusal {
    fn from(turned: Turned) -> Self {
        Self { turned, aside: None }
    }
}

/// What is answered to a request that is not taken.
enum Turned {
    Nameless,
    SilentlyOff,
    NotStored,
    Off { heading: Box<Heading>, error: ErrorText, profile: Profile },
}

impl Reception {
    async fn judge(
        &self,
        posted: &Posted,
        directory: &Directory,
        now: Timestamp,
    ) -> Result<HttpAnswer, Refusal> {
        let unreadable = |fault| Some(Refused { reason: Reason::Unreadable, fault });
        let message = match self.open(posted).await {
            Ok(message) => message,
            Err(Unreadable::Nameless { fault }) => {
                return Err(Refusal { turned: Turned::Nameless, aside: unreadable(fault) });
            }
            Err(Unreadable::Faulty { heading, error, fault }) => {
                let profile = match self.speaker(posted, &heading, directory, now) {
                    Ok((_, peer)) => peer.profile,
                    Err(objection) => return Err(self.object(&objection, &heading, false, Profile::Spine)),
                };
                let turned = Turned::Off { heading, error, profile };
                return Err(Refusal { turned, aside: unreadable(fault) });
            }
        };
        let heading = self.wire.heading(&message).clone();
        let signal = self.wire.is_signal(&message);
        let object = |objection: &Objection, profile| self.object(objection, &heading, signal, profile);
        let (them, peer) =
            self.speaker(posted, &heading, directory, now).map_err(|o| object(&o, Profile::Spine))?;
        let checked = self.verify(message, (&them.ods, peer), posted.body.len(), now).await;
        let checked = checked.map_err(|fault| object(&Objection::Signature(fault), peer.profile))?;
        let (actions, contract): (&[&str], _) = match signal {
            true => (&["Acknowledgment", "MessageError"], Contract::OursOrOf(them)),
            false => (self.actions, Contract::Ours),
        };
        let life = match (signal, peer.profile) {
            // Signals carry no TimeToLive (wire reference §3.3); a signed message without one could be replayed
            // for ever.
            (false, Profile::Signed) => Life::Required,
            (false, Profile::Spine) | (true, _) => Life::Optional,
        };
        let us = addressed(&heading, directory, actions, contract, life, now)
            .map_err(|o| object(&o, peer.profile))?;
        let ends = Ends { us, them, peer, verified: checked.verified.clone() };
        self.commit(posted, &heading, checked, &ends, now).await
    }

    async fn open(&self, posted: &Posted) -> Result<WireMessage, Unreadable> {
        let (wire, content_type, body) =
            (self.wire.clone(), posted.content_type.clone(), posted.body.clone());
        off_thread(posted.body.len(), move || wire.open(&content_type, &body)).await
    }

    async fn verify(
        &self,
        message: WireMessage,
        (from, peer): (&OdsCode, &Peer),
        bytes: usize,
        now: Timestamp,
    ) -> Result<Checked, SignatureFault> {
        let (wire, peer, from) = (self.wire.clone(), peer.clone(), from.clone());
        let verify = move || {
            let verified = wire.verify(&message, &peer, now)?;
            let digest = wire.digest(&message);
            let wrong = wire.look_at_part(&message, &from);
            Ok(Checked { message, verified, digest, wrong })
        };
        off_thread(bytes, verify).await
    }

    fn speaker<'d>(
        &self,
        posted: &Posted,
        heading: &Heading,
        directory: &'d Directory,
        now: Timestamp,
    ) -> Result<(&'d Party, &'d Peer), Objection> {
        let may_speak = |peer: &Peer| posted.caller.speaks_for(&self.tls, peer, directory.version(), now);
        speaker(&heading.from, directory, now, may_speak)
    }

    /// Says it in our log, in full, and to the sender as an ebXML code, or not at all to a signal.
    fn object(&self, objection: &Objection, heading: &Heading, signal: bool, profile: Profile) -> Refusal {
        let (from, message) = (&heading.from, &heading.message_id);
        if objection.is_alarming() {
            tracing::warn!(%from, %message, %objection, "a message was refused: its sender is in doubt");
        } else {
            tracing::info!(%from, %message, %objection, "a message was refused");
        }
        let fault = objection.to_string();
        let aside = Reason::of(objection).map(|reason| Refused { reason, fault });
        if signal {
            return Refusal { turned: Turned::SilentlyOff, aside };
        }
        let (code, text) = objection.code();
        let error = ErrorText { code, location: objection.location(), text };
        Refusal { turned: Turned::Off { heading: Box::new(heading.clone()), error, profile }, aside }
    }

    async fn commit(
        &self,
        posted: &Posted,
        heading: &Heading,
        mut checked: Checked,
        ends: &Ends<'_>,
        now: Timestamp,
    ) -> Result<HttpAnswer, Refusal> {
        let signal = self.wire.is_signal(&checked.message);
        let refused = |error: ErrorText| match signal {
            // A signal is never answered by a signal (wire reference §1.4), and one that answers nothing we remember
            // is no more than late.
            true => Turned::SilentlyOff.into(),
            false => off(heading, error, ends.peer.profile, Reason::ContentRefused),
        };
        let told = self.wire.tell(&checked.message, ends, (&posted.body, checked.wrong), now);
        let told = told.map_err(refused)?;
        // Its octets are sealed as they came; what was decoded of them is not needed any more.
        let (first, own) = match &told {
            Told::Signal { .. } => (None, None),
            Told::Business { .. } => {
                let (first, own) = self.first_answer(heading, &checked, ends, now)?;
                (Some(first), own)
            }
        };
        let digest = std::mem::take(&mut checked.digest);
        drop(checked);
        match told {
            Told::Signal { signal, receipt } => Ok(self.take_signal(posted, signal, receipt).await?),
            Told::Business { route, listing, event } => {
                let first = first.ok_or(Turned::NotStored)?;
                let reply = match self.wire.remembered(heading) {
                    // Known already: another sealed copy would belong to nobody.
                    Some(row) if row.digest == digest => {
                        self.engine.settled().await.map_err(|_| Turned::NotStored)?;
                        Reply::Duplicate(Some(row.answer))
                    }
                    // A damaged part may come again (C2): the engine decides.
                    Some(_) if !matches!(route, Route::Part { .. }) => Reply::Conflict,
                    Some(_) | None => {
                        self.has_room_for(&route)?;
                        let row = (digest.as_str(), &first);
                        self.submit(posted, heading, row, (route, listing), event, now).await?
                    }
                };
                let answer = self.settled(reply, first, heading, ends.peer.profile)?;
                if let Some(own) = own {
                    // A full queue loses one; the message comes again and draws another.
                    drop(self.signals.try_send(own));
                }
                Ok(answer)
            }
        }
    }

    /// A receipt is kept as one that came in an HTTP answer is: its octets, sealed before the event that names them.
    async fn take_signal(
        &self,
        posted: &Posted,
        signal: LateSignal,
        receipt: Receipt,
    ) -> Result<HttpAnswer, Turned> {
        let receipt = match receipt {
            Receipt::None => None,
            Receipt::Kept(sealed) => Some(sealed),
            Receipt::New => {
                let sealed = self.vault.put(&posted.body).await.map_err(|_| Turned::NotStored)?;
                Some(PacketRef(sealed.to_string()))
            }
        };
        let message_id = signal.message_id.clone();
        let event = Box::new(Event::LateSignal(LateSignal { receipt, ..signal }));
        let input = Input::Signal { message_id, event };
        self.engine.submit(input).await.map_err(|_| Turned::NotStored)?;
        Ok(answer(Disposition::Signal, AnswerStatus::Ok))
    }

    /// With little disk left nothing new is taken, as with events from the queue: its sender keeps it and comes again.
    /// An answer to a message of ours is taken, since it ends what was begun.
    fn has_room_for(&self, route: &Route) -> Result<(), Turned> {
        let ends_something = match route {
            Route::Opens { .. } | Route::Asks | Route::Part { .. } => false,
            Route::Answers { refers_to, .. } => {
                refers_to.as_ref().is_some_and(|message_id| self.wire.sent(message_id).is_some())
            }
        };
        if ends_something || self.wire.has_room() { Ok(()) } else { Err(Turned::NotStored) }
    }

    /// Seals a message and gives it to the engine, whose word on whether it is new is final.
    async fn submit(
        &self,
        posted: &Posted,
        heading: &Heading,
        (digest, answer): (&str, &HttpAnswer),
        (route, listing): (Route, Listing),
        event: Box<dyn FnOnce(PacketRef) -> Event + Send>,
        now: Timestamp,
    ) -> Result<Reply, Turned> {
        let head = file_head(&posted.content_type, &posted.soap_action);
        let stored = to_stored(answer);
        // Together, so that they share a sync.
        let sealed =
            tokio::try_join!(self.vault.put_both(head, posted.body.clone()), self.vault.put(&stored));
        let (packet, answer) = sealed.map_err(|_| Turned::NotStored)?;
        let packet = PacketRef(packet.to_string());
        let input = Input::Message {
            from: heading.from.clone(),
            message_id: heading.message_id.clone(),
            digest: digest.to_owned(),
            answer: PacketRef(answer.to_string()),
            keep_until: keep_until(heading, now),
            event: Box::new(event(packet.clone())),
            route,
            listing: Box::new(listing),
            stranger: stranger(posted, packet, now),
        };
        self.engine.submit(input).await.map_err(|_| Turned::NotStored)
    }

    /// What the engine's word means for the answer.
    fn settled(
        &self,
        reply: Reply,
        first: HttpAnswer,
        heading: &Heading,
        profile: Profile,
    ) -> Result<HttpAnswer, Refusal> {
        match reply {
            // Whatever became of it, it is durable: taken, put aside, or of no consequence.
            Reply::Taken | Reply::Stranger | Reply::NotApplicable(_) | Reply::Duplicate(None) => Ok(first),
            Reply::NotYet => Err(Turned::NotStored.into()),
            Reply::Duplicate(Some(stored)) => Ok(self.given_before(&stored).unwrap_or(first)),
            Reply::Conflict => {
                tracing::warn!(from = %heading.from, message = %heading.message_id, "a MessageId came again with other content");
                let text = "a message with this MessageId and other content was received before";
                let error = ErrorText { code: "Inconsistent", location: "//eb:MessageId", text };
                Err(off(heading, error, profile, Reason::ConflictingMessage))
            }
        }
    }

    /// The answer a message got the first time.
    fn given_before(&self, stored: &PacketRef) -> Option<HttpAnswer> {
        let octets = self.vault.get(&stored.0.parse().ok()?);
        let octets = octets.inspect_err(|error| {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "an answer given before cannot be read; a new one is given"
            );
        });
        from_stored(&octets.ok()?)
    }

    /// The answer a new message gets, made before the commit so that it can be stored with it, and the signal that
    /// goes its own way, if one does.
    fn first_answer(
        &self,
        heading: &Heading,
        checked: &Checked,
        ends: &Ends<'_>,
        now: Timestamp,
    ) -> Result<(HttpAnswer, Option<OwnSignal>), Turned> {
        let route = match ends.peer.signal_endpoint("Acknowledgment") {
            Some(_) => SignalRoute::Known,
            None => SignalRoute::Absent,
        };
        let way = signal_way(heading.asked, ends.peer.contract.sync_reply, route);
        let kept = || answer(Disposition::Kept, ends.peer.answer);
        if way == SignalWay::None {
            return Ok((kept(), None));
        }
        let octets = self.wire.acknowledgment(&checked.message, ends, now).map_err(|error| {
            tracing::error!(%error, "no message can be acknowledged: check [signing] in the settings");
            Turned::NotStored
        })?;
        match way {
            SignalWay::None => Ok((kept(), None)),
            SignalWay::Sync => Ok((answer(Disposition::Acknowledged(octets), ends.peer.answer), None)),
            SignalWay::Async => {
                let to = heading.from.clone();
                Ok((kept(), Some(OwnSignal { to, action: "Acknowledgment", body: Bytes::from(octets) })))
            }
        }
    }
}

fn keep_until(heading: &Heading, now: Timestamp) -> Timestamp {
    let least = now.plus(REMEMBER);
    heading.time_to_live.map_or(least, |until| least.max(until.plus(AFTERWARDS)))
}

/// An ebXML error for the sender, and the message put aside.
fn off(heading: &Heading, error: ErrorText, profile: Profile, reason: Reason) -> Refusal {
    let aside = Some(Refused { reason, fault: error.text.to_owned() });
    Refusal { turned: Turned::Off { heading: Box::new(heading.clone()), error, profile }, aside }
}

/// Runs work here when it is small, beside the asynchronous threads when it is not.
async fn off_thread<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes <= LARGE {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // A panic is a defect of ours: it is carried on, not hidden behind an answer.
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
