//! A release: a person leaves custody, and their record must reach the practice, be filed there and be acknowledged.
//! States and transitions follow gp2gp reference §3.2 (A1–A18) for a push.
//!
//! How one message is delivered is not decided here: see `delivery`.

use serde::{Deserialize, Serialize};

use crate::model::{EventId, MessageId, OdsCode, Timestamp};
use crate::transfer::custody::{
    Answer as Said, CustodyEvent, CustodyKind, DestinationBasis, Release as ReleaseFacts, ReleaseCertainty,
    ReleaseKind,
};
use crate::transfer::delivery::{self, Delivery};
use crate::transfer::dispatch::PacketRef;
use crate::transfer::effect::Effect;
use crate::transfer::event::{Acknowledgement, Act, Answer, Event, Prepared, Verb};
use crate::transfer::journal::What;
use crate::transfer::outcome::{Completeness, OutcomeKind};
use crate::transfer::reason::{Delay, Ending, Hold, PrepareFault, Remedy};
use crate::transfer::response_code::{self, ResponseCode};
use crate::transfer::retry::{self, GIVE_UP_AFTER, LISTEN_FOR, OVERDUE_AFTER, Repeat, UNDELIVERED_AFTER};
use crate::transfer::verdict::Verdict;
use crate::transfer::{Case, Illegal, Step, Waits};

/// A release and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What the custody system last told us.
    pub order: CustodyEvent,
    /// Where it stands.
    pub state: ReleaseState,
    /// What became of each entry of the record, once it was mapped.
    pub completeness: Option<Completeness>,
    /// Whether its packet is signed, once there is one.
    pub signed: bool,
    /// Every MessageId we used: an acknowledgement may name any of them.
    pub message_ids: Vec<MessageId>,
    /// The signed receipt of the transport, kept.
    pub receipt: Option<PacketRef>,
    /// The practice's acknowledgement, kept.
    pub acknowledgement: Option<PacketRef>,
    /// What was reported of it so far.
    pub reported: Reported,
}

/// Which failure was reported to the custody system; each is reported once, and the work goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reported {
    /// None.
    Nothing,
    /// Not delivered within a day.
    Undelivered,
    /// Not answered within eight days (S124).
    Overdue,
}

/// Where a release stands. Each state holds only what is true in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ReleaseState {
    /// Planned only: nothing may leave before it is confirmed.
    AwaitingConfirmation {
        /// When it is given up.
        until: Timestamp,
    },
    /// The packet is to be assembled.
    Preparing {
        /// When the next try is due.
        due: Timestamp,
        /// Tries that failed.
        failures: u32,
        /// Why the last one failed.
        fault: Option<PrepareFault>,
        /// When the first try was due.
        since: Timestamp,
    },
    /// The extract is on its way.
    Delivering {
        /// Where it stands.
        #[serde(flatten)]
        delivery: Delivery,
    },
    /// The transport has it; the practice has not answered.
    AwaitingAcknowledgement {
        /// The last delivery.
        #[serde(flatten)]
        delivery: Delivery,
        /// When the same packet goes again; none for a party that would refuse a copy.
        repeat_at: Option<Timestamp>,
    },
    /// Waits for a person or for another event.
    Held {
        /// Why.
        #[serde(flatten)]
        hold: Hold,
        /// The delivery that was under way, if any.
        delivery: Option<Delivery>,
    },
    /// Ended; late answers are still honoured until `listen_until` (A16).
    Ended {
        /// How.
        #[serde(flatten)]
        ending: Ending,
        /// The last delivery, if any.
        delivery: Option<Delivery>,
        /// When.
        at: Timestamp,
        /// Until when it listens; none once it has closed.
        listen_until: Option<Timestamp>,
    },
}

impl Release {
    /// A release as the event describes it, before anything was decided.
    pub(super) fn new(order: CustodyEvent, now: Timestamp) -> Self {
        Self {
            order,
            state: ReleaseState::Preparing { due: now, failures: 0, fault: None, since: now },
            completeness: None,
            signed: false,
            message_ids: Vec::new(),
            receipt: None,
            acknowledgement: None,
            reported: Reported::Nothing,
        }
    }

    /// What the event says of the release.
    pub fn facts(&self) -> Option<&ReleaseFacts> {
        match &self.order.kind {
            CustodyKind::Release(facts) => Some(facts),
            CustodyKind::Reception(_)
            | CustodyKind::Move(_)
            | CustodyKind::RegistrationDecision(_)
            | CustodyKind::Correction(_)
            | CustodyKind::Death(_) => None,
        }
    }

    /// The practice it goes to, as far as the custody system knows.
    pub fn destination(&self) -> Option<&OdsCode> {
        self.facts().and_then(|facts| facts.destination.as_ref()).map(|d| &d.practice)
    }

    /// Whether a packet is being prepared for that event.
    fn prepares(&self, order: EventId) -> bool {
        matches!(self.state, ReleaseState::Preparing { .. }) && self.order.event_id == order
    }

    /// Whether nothing has left yet, and the plan may still change (custody reference §3.2). Ended releases are taken up
    /// again where it was the plan that ended them.
    fn is_unsent(&self) -> bool {
        let unsent = self.delivery().is_none_or(|delivery| delivery.dispatch.attempts == 0);
        match &self.state {
            ReleaseState::AwaitingConfirmation { .. }
            | ReleaseState::Preparing { .. }
            | ReleaseState::Delivering { .. }
            | ReleaseState::AwaitingAcknowledgement { .. }
            | ReleaseState::Held { .. } => unsent,
            ReleaseState::Ended { ending, .. } => match ending {
                Ending::Cancelled | Ending::Sensitive | Ending::NeverPrepared | Ending::NeverConfirmed => {
                    unsent
                }
                Ending::Integrated { .. }
                | Ending::Suppressed
                | Ending::NotIntegrated { .. }
                | Ending::NeverAnswered
                | Ending::NeverDelivered
                | Ending::Filed
                | Ending::Refused { .. } => false,
            },
        }
    }

    /// The delivery under way, or the last one.
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.state {
            ReleaseState::AwaitingConfirmation { .. } | ReleaseState::Preparing { .. } => None,
            ReleaseState::Delivering { delivery }
            | ReleaseState::AwaitingAcknowledgement { delivery, .. } => Some(delivery),
            ReleaseState::Held { delivery, .. } | ReleaseState::Ended { delivery, .. } => delivery.as_ref(),
        }
    }

    /// The practice's response code, if it refused the record.
    pub fn response_code(&self) -> Option<&str> {
        match &self.state {
            ReleaseState::Ended { ending: Ending::NotIntegrated { code }, .. } => Some(code),
            ReleaseState::AwaitingConfirmation { .. }
            | ReleaseState::Preparing { .. }
            | ReleaseState::Delivering { .. }
            | ReleaseState::AwaitingAcknowledgement { .. }
            | ReleaseState::Held { .. }
            | ReleaseState::Ended { .. } => None,
        }
    }

    pub(super) fn waits(&self) -> Waits {
        match &self.state {
            ReleaseState::AwaitingConfirmation { until } => Waits::house(Some(*until)),
            ReleaseState::Preparing { due, .. } => Waits::house(Some(*due)),
            ReleaseState::Delivering { delivery } => self.sends_at(delivery, Some(delivery.deadline())),
            ReleaseState::AwaitingAcknowledgement { delivery, repeat_at } => {
                self.sends_at(delivery, *repeat_at)
            }
            // A person is waited for, but the reports and the end of twelve weeks come all the same (S124).
            ReleaseState::Held { delivery: Some(delivery), .. } => self.sends_at(delivery, None),
            ReleaseState::Held { delivery: None, .. } => Waits::default(),
            ReleaseState::Ended { listen_until, .. } => Waits::house(*listen_until),
        }
    }

    fn sends_at(&self, delivery: &Delivery, due: Option<Timestamp>) -> Waits {
        let report = self.next_report(delivery).map(|(at, _)| at);
        Waits {
            house: Some(earliest(give_up_at(delivery), report)),
            party: due.map(|due| (delivery.dispatch.to.clone(), due)),
        }
    }

    /// The failure that will be reported next, and when: a day without delivery, or eight days from it (A15, S124).
    fn next_report(&self, delivery: &Delivery) -> Option<(Timestamp, Reported)> {
        let (at, report) = match delivery.dispatch.delivered_at {
            None => (delivery.dispatch.first_attempt_at.plus(UNDELIVERED_AFTER), Reported::Undelivered),
            Some(delivered) => (delivered.plus(OVERDUE_AFTER), Reported::Overdue),
        };
        (self.reported < report).then_some((at, report))
    }
}

impl ReleaseState {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::AwaitingConfirmation { .. } => "awaiting-confirmation",
            Self::Preparing { .. } => "preparing",
            Self::Delivering { .. } => "delivering",
            Self::AwaitingAcknowledgement { .. } => "awaiting-acknowledgement",
            Self::Held { .. } => "held",
            Self::Ended { ending, .. } => ending.label(),
        }
    }
}

impl Ending {
    /// The ending in one word, for lists and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Integrated { .. } => "integrated",
            Self::Suppressed => "suppressed",
            Self::NotIntegrated { .. } => "not-integrated",
            Self::NeverAnswered | Self::NeverDelivered | Self::NeverPrepared | Self::NeverConfirmed => {
                "unanswered"
            }
            Self::Cancelled | Self::Sensitive => "cancelled",
            Self::Filed => "filed",
            Self::Refused { .. } => "refused",
        }
    }
}

fn earliest(a: Timestamp, b: Option<Timestamp>) -> Timestamp {
    b.map_or(a, |b| a.min(b))
}

fn give_up_at(delivery: &Delivery) -> Timestamp {
    delivery.dispatch.first_attempt_at.plus(GIVE_UP_AFTER)
}

/// Decides whether a release may proceed: the checks that need nothing but the event, in the order of their harm.
pub(super) fn gate(step: &mut Step, now: Timestamp) {
    let Some(release) = step.release() else { return };
    let order = &release.order;
    let Some(facts) = release.facts() else { return };
    if order.identity.sensitive == Said::Yes {
        return step.end(Ending::Sensitive, now);
    }
    let hold = if order.pds.as_ref().is_some_and(|pds| pds.deceased == Said::Yes) {
        Some(Hold::Deceased)
    } else if order.identity.nhs_number().is_none() {
        Some(Hold::NoNumber)
    } else if order.identity.verified_number().is_none() {
        Some(Hold::NumberUnverified)
    } else if order.identity.sensitive == Said::Unknown && order.pds.is_none() {
        Some(Hold::SensitivityUnknown)
    } else {
        destination_hold(facts)
    };
    let until = facts.release_at.plus(LISTEN_FOR);
    match (hold, facts.certainty) {
        (Some(hold), _) => step.hold(hold, now),
        (None, ReleaseCertainty::Planned) => step.release_state(ReleaseState::AwaitingConfirmation { until }),
        (None, ReleaseCertainty::Confirmed | ReleaseCertainty::Happened) => {
            step.release_state(ReleaseState::Preparing { due: now, failures: 0, fault: None, since: now });
            step.publish(OutcomeKind::Accepted, None, "the release was accepted", now);
        }
    }
}

/// Whether somebody follows to whom the record may be pushed (custody reference §3.4).
fn destination_hold(facts: &ReleaseFacts) -> Option<Hold> {
    match facts.kind {
        ReleaseKind::RemovalAbroad | ReleaseKind::Hospital => return Some(Hold::NobodyToPushTo),
        ReleaseKind::EndOfCustody | ReleaseKind::BailOrCourt | ReleaseKind::Other => {}
    }
    match facts.destination.as_ref().map(|d| d.basis) {
        None => Some(Hold::NoDestination),
        Some(DestinationBasis::PatientSaid) => Some(Hold::DestinationUnconfirmed),
        Some(DestinationBasis::Pds | DestinationBasis::PreRegistered) => None,
    }
}

/// Takes an event.
pub(super) fn step(step: &mut Step, event: &Event, now: Timestamp) -> Result<(), Illegal> {
    let illegal = step.next.illegal(event);
    match event {
        Event::Custody(custody) => {
            on_custody(step, custody, now);
            Ok(())
        }
        Event::Due => on_due(step, now).ok_or(illegal),
        Event::Prepared(prepared) => on_prepared(step, prepared, now).ok_or(illegal),
        Event::Unprepared { order, fault } => on_unprepared(step, *order, *fault, now).ok_or(illegal),
        Event::Restamped(fresh) => {
            let fresh = fresh.clone();
            let delivery = step.delivering().ok_or(illegal)?;
            let entry = delivery.on_restamped(fresh.clone(), now);
            step.entries.push(entry);
            step.remember(fresh.message_id);
            Ok(())
        }
        Event::NotRestamped(fault) => {
            let id = step.next.id;
            let entry = step.delivering().ok_or(illegal)?.on_not_restamped(*fault, id, now);
            step.entries.push(entry);
            Ok(())
        }
        Event::Answered(answer) => on_answered(step, answer, now).ok_or(illegal),
        Event::LateSignal(signal) => {
            step.entries.push(What::LateSignal { verdict: signal.verdict });
            if let (Some(receipt), Some(release)) = (&signal.receipt, step.release_mut()) {
                release.receipt = Some(receipt.clone());
            }
            on_late_signal(step, &signal.verdict, now);
            Ok(())
        }
        Event::Acknowledged(acknowledgement) => on_acknowledged(step, acknowledgement, now).ok_or(illegal),
        Event::Act(act) => on_act(step, act, now).ok_or(illegal),
        Event::Arrived(_) | Event::Filed(_) | Event::Refused(_) | Event::NotFiled(_) => Err(illegal),
    }
}

/// A later event of the same stay: the plan firms up or changes, as long as nothing was sent.
fn on_custody(step: &mut Step, event: &CustodyEvent, now: Timestamp) {
    let Some(release) = step.release() else { return };
    let before_sending = release.is_unsent();
    let numbers = (release.order.identity.nhs_number(), event.identity.nhs_number());
    let other_person = matches!(numbers, (Some(before), Some(now)) if before != now);
    let history = event.order() < release.order.order();
    step.note_event(event);
    if history || !before_sending {
        let why = if history { "an earlier event" } else { "nothing sent can be recalled" };
        step.entries.push(What::Noted { kind: format!("{}: {why}", event.kind.name()) });
        return step.publish(OutcomeKind::Noted, Some("too-late"), why, now);
    }
    if other_person {
        return step.hold(Hold::IdentityDiffers, now);
    }
    if let Some(release) = step.release_mut() {
        release.order = event.clone();
    }
    gate(step, now);
}

/// The deadline passed and nobody is working on it.
fn on_due(step: &mut Step, now: Timestamp) -> Option<()> {
    let conversation = step.next.conversation;
    let id = step.next.id;
    let release = step.release()?;
    match &release.state {
        ReleaseState::AwaitingConfirmation { .. } => step.end(Ending::NeverConfirmed, now),
        ReleaseState::Preparing { since, .. } if now.since(*since) >= GIVE_UP_AFTER => {
            step.end(Ending::NeverPrepared, now);
        }
        ReleaseState::Preparing { .. } => {
            let (order, to) = (Box::new(release.order.clone()), release.destination()?.clone());
            let message_id = MessageId::derived(&["extract", &id.to_string(), "1"]);
            step.effect = Some(Effect::Prepare { order, to, conversation, message_id });
        }
        ReleaseState::Delivering { delivery } => {
            if now >= give_up_at(delivery) {
                let answered = delivery.dispatch.delivered_at.is_some();
                step.end(if answered { Ending::NeverAnswered } else { Ending::NeverDelivered }, now);
            } else if let Some((_, report)) = release.next_report(delivery).filter(|(at, _)| now >= *at) {
                step.report(report, now);
            } else {
                let (effect, entries) = step.delivering()?.on_due(now);
                step.effect = Some(effect);
                step.entries.extend(entries);
            }
        }
        ReleaseState::AwaitingAcknowledgement { delivery, repeat_at } => {
            if now >= give_up_at(delivery) {
                step.end(Ending::NeverAnswered, now);
            } else if let Some((_, report)) = release.next_report(delivery).filter(|(at, _)| now >= *at) {
                step.report(report, now);
            } else if repeat_at.is_some() {
                // The same packet again: a receiver that eliminates duplicates repeats its stored replies.
                let mut delivery = delivery.clone();
                let (effect, entries) = delivery.on_due(now);
                step.effect = Some(effect);
                step.entries.extend(entries);
                step.release_state(ReleaseState::Delivering { delivery });
            }
        }
        ReleaseState::Held { delivery: None, .. } => return None,
        ReleaseState::Held { delivery: Some(delivery), .. } => {
            if now >= give_up_at(delivery) {
                step.end(Ending::NeverAnswered, now);
            } else {
                let (_, report) = release.next_report(delivery).filter(|(at, _)| now >= *at)?;
                step.report(report, now);
            }
        }
        ReleaseState::Ended { .. } => {
            if let Some(ReleaseState::Ended { listen_until, .. }) = step.release_mut().map(|r| &mut r.state) {
                *listen_until = None;
            }
            step.entries.push(What::Closed);
        }
    }
    Some(())
}

fn on_prepared(step: &mut Step, prepared: &Prepared, now: Timestamp) -> Option<()> {
    if !step.release()?.prepares(prepared.order) {
        return None;
    }
    step.entries.push(What::Prepared {
        bytes: prepared.transmission.bytes,
        attachments: prepared.attachments,
        placeholders: prepared.placeholders,
        completeness: prepared.completeness,
        signed: prepared.signed,
    });
    let message_id = prepared.transmission.message_id.clone();
    let dispatch =
        prepared.transmission.clone().dispatch(prepared.to.clone(), prepared.contract.clone(), now);
    let release = step.release_mut()?;
    release.completeness = Some(prepared.completeness);
    release.signed = prepared.signed;
    release.state = ReleaseState::Delivering { delivery: Delivery::begin(dispatch, now) };
    step.remember(message_id);
    Some(())
}

fn on_unprepared(step: &mut Step, order: EventId, why: PrepareFault, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let release = step.release_mut().filter(|release| release.prepares(order))?;
    let ReleaseState::Preparing { due, failures, fault, .. } = &mut release.state else { return None };
    *failures += 1;
    *fault = Some(why);
    *due = now.plus(retry::unprepared(*failures, id));
    let (until, first) = (*due, *failures == 1);
    step.entries.push(What::Unprepared { fault: why });
    match why.remedy() {
        Remedy::Person => step.hold(Hold::Preparation(why), now),
        Remedy::Time => {
            step.entries.push(What::Waiting { until, why: Delay::Preparation(why) });
            if first {
                step.publish(OutcomeKind::Held, Some("record-unavailable"), why.words(), now);
            }
        }
    }
    Some(())
}

fn on_answered(step: &mut Step, answer: &Answer, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let release = step.release_mut()?;
    if let Some(receipt) = &answer.receipt {
        release.receipt = Some(receipt.clone());
    }
    let ReleaseState::Delivering { delivery } = &mut release.state else {
        // The practice's acknowledgement overtook the transport's (gp2gp reference §3.7), or somebody cancelled.
        let number = release.delivery().map_or(0, |d| d.dispatch.attempts);
        step.entries.push(What::Answer { number, verdict: answer.verdict, took_ms: answer.took_ms });
        return Some(());
    };
    if !delivery.expects(answer) {
        return None;
    }
    let (outcome, entries) = delivery.on_answer(answer, id, now);
    let delivery = delivery.clone();
    step.entries.extend(entries);
    match outcome {
        delivery::Outcome::OnItsWay => {}
        delivery::Outcome::Delivered(_) => await_acknowledgement(step, delivery, now),
        delivery::Outcome::Refused(why) => {
            step.release_state(ReleaseState::Delivering { delivery });
            step.hold(Hold::TransportRefused(why), now);
        }
    }
    Some(())
}

fn await_acknowledgement(step: &mut Step, mut delivery: Delivery, now: Timestamp) {
    let id = step.next.id;
    let first = delivery.dispatch.repeats == 0;
    let repeat_at = match delivery.dispatch.contract.repeat {
        Repeat::UntilAcknowledged => Some(delivery.dispatch.next_attempt(None, id, now)),
        Repeat::Never => None,
    };
    delivery.phase = delivery::Phase::Queued { due: repeat_at.unwrap_or(now), why: None };
    step.release_state(ReleaseState::AwaitingAcknowledgement { delivery, repeat_at });
    if first {
        step.publish(OutcomeKind::Sent, None, "the practice's system took the record", now);
    }
}

/// An asynchronous answer: a late error overturns an acceptance (wire reference §1.5).
fn on_late_signal(step: &mut Step, verdict: &Verdict, now: Timestamp) {
    let id = step.next.id;
    let Some(release) = step.release() else { return };
    let ReleaseState::AwaitingAcknowledgement { delivery, .. } = &release.state else { return };
    let mut delivery = delivery.clone();
    match verdict {
        Verdict::Accepted(_) => {}
        Verdict::TryAgain(why) => {
            let entry = delivery.overturned(*why, id, now);
            step.entries.push(entry);
            step.release_state(ReleaseState::Delivering { delivery });
        }
        Verdict::Refused(why) => step.hold(Hold::TransportRefused(*why), now),
    }
}

/// The practice's own answer decides (A11–A16). It may come early, late, twice, or after we gave up.
fn on_acknowledged(step: &mut Step, ack: &Acknowledgement, now: Timestamp) -> Option<()> {
    let release = step.release()?;
    release.delivery()?;
    let late = release.reported == Reported::Overdue || matches!(release.state, ReleaseState::Ended { .. });
    let verdict = Judgement::of(ack, release);
    let counts = verdict != Judgement::NothingNew;
    step.entries.push(What::Acknowledgement { positive: ack.positive, code: ack.code.clone(), counts });
    if let Some(release) = step.release_mut()
        && counts
        && ack.packet.is_some()
    {
        release.acknowledgement = ack.packet.clone();
    }
    let code = ack.code.clone().unwrap_or_else(|| "unknown".to_owned());
    match verdict {
        Judgement::NothingNew => {}
        Judgement::Filed => step.end(Ending::Integrated { late }, now),
        Judgement::StoredBeside => step.end(Ending::Suppressed, now),
        Judgement::NeverAsked => step.hold(Hold::NotRequested, now),
        Judgement::Refused => step.end(Ending::NotIntegrated { code }, now),
    }
    Some(())
}

/// What an acknowledgement means for a release. AA beats 15 beats other codes beats 12 (gp2gp reference §2.4, S121).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    NothingNew,
    Filed,
    StoredBeside,
    NeverAsked,
    Refused,
}

impl Judgement {
    fn of(ack: &Acknowledgement, release: &Release) -> Self {
        let fresh = match ack.code.as_deref().map(ResponseCode::parse) {
            _ if ack.positive => Self::Filed,
            Some(code) if code == response_code::SUPPRESSED => Self::StoredBeside,
            Some(code) if code == response_code::DUPLICATE => Self::NothingNew,
            Some(code) if code == response_code::NOT_REQUESTED => Self::NeverAsked,
            Some(_) | None => Self::Refused,
        };
        let ReleaseState::Ended { ending, .. } = &release.state else {
            let present = release.delivery().map(|d| &d.dispatch.message_id);
            let stale = ack.refers_to.is_some() && ack.refers_to.as_ref() != present;
            // A refusal of an earlier transmission says nothing of the re-send that is under way.
            return if stale && fresh == Self::Refused { Self::NothingNew } else { fresh };
        };
        match (ending, fresh) {
            (Ending::Integrated { .. }, _) => Self::NothingNew,
            (Ending::Suppressed, Self::Filed) => Self::Filed,
            (Ending::Suppressed, _) => Self::NothingNew,
            (_, Self::Filed | Self::StoredBeside) => fresh,
            (Ending::NeverAnswered | Ending::NeverDelivered, Self::Refused) => Self::Refused,
            (_, _) => Self::NothingNew,
        }
    }
}

fn on_act(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    match act.verb {
        Verb::Cancel => cancel(step, act, now),
        Verb::Retry => retry_now(step, act, now),
        // Recorded before the state is asked.
        Verb::DisclosePacket | Verb::DiscloseReceipt => None,
    }
}

fn cancel(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    if matches!(step.release()?.state, ReleaseState::Ended { .. }) {
        return None;
    }
    step.entries.push(What::Act { act: act.clone() });
    step.end(Ending::Cancelled, now);
    Some(())
}

fn retry_now(step: &mut Step, act: &Act, now: Timestamp) -> Option<()> {
    let id = step.next.id;
    let release = step.release()?;
    let state = match &release.state {
        ReleaseState::AwaitingConfirmation { .. } => return None,
        ReleaseState::Preparing { failures, fault, since, .. } => {
            ReleaseState::Preparing { due: now, failures: *failures, fault: *fault, since: *since }
        }
        ReleaseState::Delivering { delivery } => {
            ReleaseState::Delivering { delivery: delivery.queued_now(now)? }
        }
        ReleaseState::AwaitingAcknowledgement { delivery, .. } => {
            ReleaseState::Delivering { delivery: delivery.queued_now(now)? }
        }
        ReleaseState::Held { delivery: Some(delivery), .. } => {
            ReleaseState::Delivering { delivery: delivery.queued_now(now)? }
        }
        ReleaseState::Held { delivery: None, .. } => {
            step.entries.push(What::Act { act: act.clone() });
            gate(step, now);
            return Some(());
        }
        ReleaseState::Ended { ending, delivery: Some(delivery), .. }
            if may_resend(ending, step.next.opened_at, now) =>
        {
            // A re-send after refusal: identical HL7, same conversation, new MessageId (S6, S43, TD66).
            let again = (release.message_ids.len() + 1).to_string();
            let message_id = MessageId::derived(&["extract", &id.to_string(), &again]);
            let mut delivery = delivery.clone();
            delivery.dispatch.begin_again(now);
            delivery.phase = delivery::Phase::Restamping { since: now, message_id };
            ReleaseState::Delivering { delivery }
        }
        ReleaseState::Ended { .. } => return None,
    };
    step.entries.push(What::Act { act: act.clone() });
    step.release_state(state);
    Some(())
}

/// Refused or unanswered, and within twelve weeks of creation (S6, C15); never after acceptance.
fn may_resend(ending: &Ending, opened_at: Timestamp, now: Timestamp) -> bool {
    let refused = match ending {
        Ending::NotIntegrated { code } => ResponseCode::parse(code).may_resend(),
        Ending::NeverAnswered | Ending::NeverDelivered => true,
        // What somebody cancelled is sent only by a new event.
        Ending::Cancelled
        | Ending::Integrated { .. }
        | Ending::Suppressed
        | Ending::NeverPrepared
        | Ending::NeverConfirmed
        | Ending::Sensitive
        | Ending::Filed
        | Ending::Refused { .. } => false,
    };
    refused && now < opened_at.plus(GIVE_UP_AFTER)
}

/// The parts of a step that only releases use.
impl Step {
    fn release(&self) -> Option<&Release> {
        match &self.next.case {
            Case::Release(release) => Some(release),
            Case::Received(_) | Case::Noted(_) => None,
        }
    }

    fn release_mut(&mut self) -> Option<&mut Release> {
        match &mut self.next.case {
            Case::Release(release) => Some(release),
            Case::Received(_) | Case::Noted(_) => None,
        }
    }

    fn delivering(&mut self) -> Option<&mut Delivery> {
        match &mut self.release_mut()?.state {
            ReleaseState::Delivering { delivery } => Some(delivery),
            ReleaseState::AwaitingConfirmation { .. }
            | ReleaseState::Preparing { .. }
            | ReleaseState::AwaitingAcknowledgement { .. }
            | ReleaseState::Held { .. }
            | ReleaseState::Ended { .. } => None,
        }
    }

    fn release_state(&mut self, state: ReleaseState) {
        if let Some(release) = self.release_mut() {
            release.state = state;
        }
    }

    fn remember(&mut self, message_id: MessageId) {
        if let Some(release) = self.release_mut()
            && !release.message_ids.contains(&message_id)
        {
            release.message_ids.push(message_id);
        }
    }

    fn hold(&mut self, hold: Hold, now: Timestamp) {
        let mut delivery = self.release().and_then(Release::delivery).cloned();
        if let Some(delivery) = &mut delivery {
            delivery.phase = delivery::Phase::Queued { due: now, why: None };
        }
        self.release_state(ReleaseState::Held { hold, delivery });
        self.entries.push(What::Held { hold });
        self.publish(OutcomeKind::Held, Some(hold.code()), &hold.words(), now);
    }

    fn end(&mut self, ending: Ending, now: Timestamp) {
        let delivery = self.release().and_then(Release::delivery).cloned();
        let kind = match &ending {
            Ending::Integrated { .. } => OutcomeKind::Integrated,
            Ending::Suppressed => OutcomeKind::Suppressed,
            Ending::NotIntegrated { .. } | Ending::NeverAnswered => OutcomeKind::NotIntegrated,
            Ending::NeverDelivered | Ending::NeverPrepared => OutcomeKind::Undelivered,
            Ending::NeverConfirmed | Ending::Cancelled => OutcomeKind::Cancelled,
            Ending::Sensitive => OutcomeKind::Refused,
            Ending::Filed => OutcomeKind::Filed,
            Ending::Refused { .. } => OutcomeKind::NotFiled,
        };
        let words = ending.words();
        let reason = ending.label();
        self.entries.push(What::Ended { ending: ending.clone() });
        let listen_until = Some(now.plus(LISTEN_FOR));
        self.release_state(ReleaseState::Ended { ending, delivery, at: now, listen_until });
        self.publish(kind, Some(reason), &words, now);
    }

    /// Failure is reported once; the work goes on.
    fn report(&mut self, report: Reported, now: Timestamp) {
        if let Some(release) = self.release_mut() {
            release.reported = report;
        }
        let (what, kind, words) = match report {
            Reported::Nothing => return,
            Reported::Undelivered => {
                (What::Undelivered, OutcomeKind::Undelivered, "not delivered within a day")
            }
            Reported::Overdue => (What::Overdue, OutcomeKind::Overdue, "no answer within eight days"),
        };
        self.entries.push(what);
        self.publish(kind, None, words, now);
    }
}
