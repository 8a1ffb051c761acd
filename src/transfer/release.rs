//! A release: a person leaves custody, and their record must reach the practice, be filed there and be acknowledged.
//! States and transitions follow gp2gp reference §3.2 (A1–A18) for a push.
//!
//! How one message is delivered is not decided here: see `delivery`.

mod acts;
mod answers;
mod change;
mod parked;
mod parts;
mod plan;
mod request;
mod resend;

use serde::{Deserialize, Serialize};

use crate::model::{MessageId, OdsCode, Timestamp};
use crate::transfer::custody::{CustodyEvent, CustodyKind, Filing, Release as ReleaseFacts};
use crate::transfer::delivery::Delivery;
use crate::transfer::dispatch::PacketRef;
use crate::transfer::effect::Effect;
use crate::transfer::event::{Asked, Basis, Event};
use crate::transfer::journal::What;
use crate::transfer::outcome::Completeness;
use crate::transfer::reason::{Ending, Hold, PrepareFault};
use crate::transfer::refusal::RequestRefusal;
use crate::transfer::retry::{GIVE_UP_AFTER, OVERDUE_AFTER, UNDELIVERED_AFTER};
use crate::transfer::{Illegal, Step, Waits};

use acts::on_act;
use answers::{on_acknowledged, on_answered, on_late_signal};
pub(super) use parked::waits_for_news;
pub use parts::PartsOut;
pub(super) use plan::gate;
use plan::{on_custody, on_prepared, on_unprepared};
use request::Check;
pub(super) use request::gate_request;

/// A release and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// What the custody system last told us; none where only a practice asked.
    pub order: Option<CustodyEvent>,
    /// The practice's request, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// Where it stands.
    pub state: ReleaseState,
    /// What became of each entry of the record, once it was mapped.
    pub completeness: Option<Completeness>,
    /// The account of each of them, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<PacketRef>,
    /// What travels in messages of its own, once the packet is made; none where one message does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<PartsOut>,
    /// When its packet was made: it may be sent again for twelve weeks from then (S6, C15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// When a practice that asks is told code 20, if nobody says until then what PDS says now (TD51.4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck_by: Option<Timestamp>,
    /// How often a person had it sent again.
    #[serde(default)]
    pub resends: u32,
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
    /// Delivered, and no leave came to send its parts (A10, LM22).
    NoLeave,
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
    /// A practice asks while our own reception of the person is open (§2.6): answered once that has ended.
    Parked {
        /// When it is told of again, or answered by 99.
        until: Timestamp,
        /// Whether it was told of again.
        told: bool,
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
    pub(super) fn new(order: Option<CustodyEvent>, asked: Option<Asked>, now: Timestamp) -> Self {
        Self {
            order,
            asked,
            state: ReleaseState::Preparing { due: now, failures: 0, fault: None, since: now },
            completeness: None,
            account: None,
            parts: None,
            created_at: None,
            recheck_by: None,
            resends: 0,
            signed: false,
            message_ids: Vec::new(),
            receipt: None,
            acknowledgement: None,
            reported: Reported::Nothing,
        }
    }

    /// What the event says of the release.
    pub fn facts(&self) -> Option<&ReleaseFacts> {
        match &self.order.as_ref()?.kind {
            CustodyKind::Release(facts) => Some(facts),
            CustodyKind::Reception(_)
            | CustodyKind::Move(_)
            | CustodyKind::RegistrationDecision(_)
            | CustodyKind::Correction(_)
            | CustodyKind::Death(_)
            | CustodyKind::FilingDecision(_) => None,
        }
    }

    /// The practice it goes to: the one that asked, or else the one the custody system knows.
    pub fn destination(&self) -> Option<&OdsCode> {
        let told = || self.facts().and_then(|facts| facts.destination.as_ref()).map(|d| &d.practice);
        self.asked.as_ref().map(|asked| &asked.from).or_else(told)
    }

    /// What its packet is prepared for.
    pub fn basis(&self) -> Basis {
        Basis {
            event: self.order.as_ref().map(|order| order.event_id),
            request: self.asked.as_ref().map(|asked| asked.message_id.clone()),
        }
    }

    /// Whether a packet is being prepared for just that.
    fn prepares(&self, basis: &Basis) -> bool {
        matches!(self.state, ReleaseState::Preparing { .. }) && self.basis() == *basis
    }

    /// Whether nothing has left yet, and the plan may still change (custody reference §3.2). Ended releases are taken up
    /// again where it was the plan that ended them.
    fn is_unsent(&self) -> bool {
        let unsent = self.delivery().is_none_or(|delivery| delivery.dispatch.attempts == 0);
        match &self.state {
            ReleaseState::AwaitingConfirmation { .. }
            | ReleaseState::Parked { .. }
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
                | Ending::Refused { .. }
                | Ending::NoTransfer { .. }
                | Ending::RequestRefused { .. }
                | Ending::RequestUndelivered
                | Ending::RequestUnanswered
                | Ending::RequestTurnedDown { .. }
                | Ending::Decided { .. } => false,
            },
        }
    }

    /// The delivery under way, or the last one.
    pub fn delivery(&self) -> Option<&Delivery> {
        match &self.state {
            ReleaseState::AwaitingConfirmation { .. }
            | ReleaseState::Parked { .. }
            | ReleaseState::Preparing { .. } => None,
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
            | ReleaseState::Parked { .. }
            | ReleaseState::Preparing { .. }
            | ReleaseState::Delivering { .. }
            | ReleaseState::AwaitingAcknowledgement { .. }
            | ReleaseState::Held { .. }
            | ReleaseState::Ended { .. } => None,
        }
    }

    /// The state in one word: while parts are to go, what they wait for.
    pub(super) fn label(&self) -> &'static str {
        match (&self.state, &self.parts) {
            (ReleaseState::AwaitingAcknowledgement { .. }, Some(parts)) if !parts.are_delivered() => {
                if parts.leave_at.is_some() { "sending-parts" } else { "awaiting-leave" }
            }
            (state, _) => state.label(),
        }
    }

    pub(super) fn waits(&self) -> Waits {
        match &self.state {
            ReleaseState::AwaitingConfirmation { until } | ReleaseState::Parked { until, .. } => {
                Waits::house(Some(*until))
            }
            ReleaseState::Preparing { due, .. } => Waits::house(Some(*due)),
            ReleaseState::Delivering { delivery } => self.sends_at(delivery, Some(delivery.deadline())),
            ReleaseState::AwaitingAcknowledgement { delivery, repeat_at } => {
                self.sends_at(delivery, *repeat_at)
            }
            // A person is waited for, but the reports and the end of twelve weeks come all the same (S124).
            ReleaseState::Held { delivery: Some(delivery), .. } => self.sends_at(delivery, None),
            ReleaseState::Held { delivery: None, .. } if waits_for_news(self) => {
                Waits::house(self.recheck_by)
            }
            ReleaseState::Held { delivery: None, .. } => Waits::default(),
            ReleaseState::Ended { listen_until, .. } => Waits::house(*listen_until),
        }
    }

    fn sends_at(&self, delivery: &Delivery, due: Option<Timestamp>) -> Waits {
        let report = self.next_report(delivery).map(|(at, _)| at);
        Waits {
            house: Some(earliest(give_up_at(delivery), report)),
            party: due.map(|due| (delivery.dispatch.to.clone(), due)),
            part: None,
        }
    }

    /// The failure that will be reported next, and when: a day without delivery, or eight days from it (A15, S124).
    fn next_report(&self, delivery: &Delivery) -> Option<(Timestamp, Reported)> {
        let (at, report) = match delivery.dispatch.delivered_at {
            None => (delivery.dispatch.first_attempt_at.plus(UNDELIVERED_AFTER), Reported::Undelivered),
            Some(delivered) => match self.parts.as_ref().and_then(|parts| parts.leave_until(delivery)) {
                Some(until) if self.reported < Reported::NoLeave => (until, Reported::NoLeave),
                Some(_) | None => (delivered.plus(OVERDUE_AFTER), Reported::Overdue),
            },
        };
        (self.reported < report).then_some((at, report))
    }
}

impl ReleaseState {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::AwaitingConfirmation { .. } => "awaiting-confirmation",
            Self::Parked { .. } => "parked",
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
            Self::NoTransfer { .. } => "no-transfer",
            Self::RequestRefused { .. } => "request-refused",
            Self::RequestUndelivered | Self::RequestUnanswered => "unanswered",
            Self::RequestTurnedDown { .. } => "request-refused",
            Self::Decided { filing } => match filing {
                Filing::Integrated => "filed",
                Filing::Suppressed => "suppressed",
                Filing::FiledAsAttachment | Filing::Rejected | Filing::Failed | Filing::Deferred => "refused",
            },
        }
    }
}

fn earliest(a: Timestamp, b: Option<Timestamp>) -> Timestamp {
    b.map_or(a, |b| a.min(b))
}

fn give_up_at(delivery: &Delivery) -> Timestamp {
    delivery.dispatch.first_attempt_at.plus(GIVE_UP_AFTER)
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
        Event::Unprepared { basis, fault } => on_unprepared(step, basis, *fault, now).ok_or(illegal),
        Event::Asked(asked) => request::on_asked(step, asked, now).ok_or(illegal),
        Event::Reported(report) => parts::on_reported(step, report, now).ok_or(illegal),
        Event::Continued(leave) => parts::on_continued(step, leave, now).ok_or(illegal),
        Event::Woken(woken) => parked::on_woken(step, woken, now).ok_or(illegal),
        Event::Restamped(fresh) => {
            let fresh = fresh.clone();
            let delivery = step.delivering().ok_or(illegal)?;
            let entry = delivery.on_restamped(fresh.clone(), now);
            step.entries.push(entry);
            step.remember(fresh.message_id);
            Ok(())
        }
        Event::Renewed(renewed) => parts::on_renewed(step, renewed, now).ok_or(illegal),
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
        Event::Arrived(_)
        | Event::Filed(_)
        | Event::Refused(_)
        | Event::NotFiled(_)
        | Event::Composed(_)
        | Event::NotComposed(_)
        | Event::Part(_)
        | Event::Joined { .. }
        | Event::NotJoined(_)
        | Event::Leave { .. }
        | Event::Stop => Err(illegal),
    }
}

/// The deadline passed and nobody is working on it.
fn on_due(step: &mut Step, now: Timestamp) -> Option<()> {
    let conversation = step.next.conversation;
    let id = step.next.id;
    let release = step.release()?;
    match &release.state {
        ReleaseState::AwaitingConfirmation { .. } => step.end(Ending::NeverConfirmed, now),
        ReleaseState::Parked { .. } => parked::on_due(step, now),
        ReleaseState::Preparing { since, .. }
            if release.asked.is_some() && now.since(*since) >= request::ANSWER_WITHIN =>
        {
            request::refuse_request(step, RequestRefusal::NotBuilt, now);
        }
        ReleaseState::Preparing { since, .. } if now.since(*since) >= GIVE_UP_AFTER => {
            step.end(Ending::NeverPrepared, now);
        }
        ReleaseState::Preparing { .. } => {
            let (order, asked) = (release.order.clone().map(Box::new), release.asked.clone().map(Box::new));
            let to = release.destination()?.clone();
            // A request that joins a push is answered by a message of its own.
            let number = (release.message_ids.len() + 1).to_string();
            let message_id = MessageId::derived(&["extract", &id.to_string(), &number]);
            step.effect = Some(Effect::Prepare { order, asked, to, conversation, message_id });
        }
        ReleaseState::Delivering { delivery } => {
            if now >= give_up_at(delivery) {
                let answered = delivery.dispatch.delivered_at.is_some();
                step.end(if answered { Ending::NeverAnswered } else { Ending::NeverDelivered }, now);
            } else if let Some((_, report)) = release.next_report(delivery).filter(|(at, _)| now >= *at) {
                step.report(report, now);
            } else {
                let present = delivery.dispatch.message_id.clone();
                let (effect, entries) = step.delivering()?.on_due(now);
                step.effect = Some(parts::with_parts(step, effect, &present));
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
        ReleaseState::Held { delivery: None, .. } if release.recheck_by.is_some_and(|by| now >= by) => {
            request::refuse_request(step, RequestRefusal::PdsSilent, now);
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

#[cfg(test)]
mod parked_tests;
#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod resend_tests;
