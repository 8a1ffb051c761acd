//! A reception, step by step.

use std::time::Duration;

use super::*;
use crate::model::{ConversationId, EventId, NhsNumber, TransferId};
use crate::transfer::Transfer;
use crate::transfer::custody::{
    Actor, Answer, CustodyEvent, DecidedBy, Decision, FilingDecision, Identity, NumberStatus, PatientNumber,
    PatientRef, PdsFacts, PdsUpdate, Source, StaffRole, Stay,
};
use crate::transfer::effect::Effect;
use crate::transfer::event::{Acknowledgement, Act, Filed, Verb};
use crate::transfer::journal::What;
use crate::transfer::outbound::{Fate, MessageKind, Outbound, Report, Saying};
use crate::transfer::outcome::Outcome;
use crate::transfer::reason::{Mismatch, NoTransfer, PrepareFault};
use crate::transfer::refusal::Refusal;
use crate::transfer::verdict::Refused;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn start() -> Timestamp {
    Timestamp::parse("2026-03-02T09:00:00Z").unwrap()
}

pub(super) fn ods(code: &str) -> OdsCode {
    OdsCode::parse(code).unwrap()
}

/// A permanent registration that PDS took, of somebody who was with B85002 before.
pub(super) fn event(
    seq: u64,
    change: impl FnOnce(&mut CustodyEvent, &mut RegistrationDecision),
) -> CustodyEvent {
    let mut decision = RegistrationDecision {
        decision: Decision::Permanent,
        decided_at: start(),
        role: StaffRole::parse("reception_nurse").unwrap(),
        basis: DecidedBy::Person,
        language: None,
        interpreter: None,
        pds_update: PdsUpdate::Succeeded { at: start() },
        previous_practice: Some(ods("B85002")),
    };
    let number = NhsNumber::parse("9990000018").unwrap();
    let mut event = CustodyEvent {
        event_id: EventId::derived(&["event", &seq.to_string()]),
        source: Source::parse("clinic").unwrap(),
        establishment: ods("HMP01"),
        stay: Stay::parse("stay-1").unwrap(),
        patient_ref: PatientRef::parse("person-1").unwrap(),
        seq,
        occurred_at: start(),
        identity: Identity {
            number: PatientNumber::Known { number, status: NumberStatus::Verified },
            date_of_birth: None,
            sensitive: Answer::No,
        },
        pds: None,
        actor: Actor::parse("staff-7").ok(),
        kind: CustodyKind::RegistrationDecision(Box::new(decision.clone())),
    };
    change(&mut event, &mut decision);
    event.kind = CustodyKind::RegistrationDecision(Box::new(decision));
    event
}

/// A reception, what it sent on its way, and that it always has a deadline, is with a person, or is over.
pub(super) struct Story {
    pub(super) transfer: Transfer,
    pub(super) now: Timestamp,
    outcomes: Vec<Outcome>,
    sent: Vec<Outbound>,
    timeline: Vec<What>,
}

impl Story {
    pub(super) fn of(event: CustodyEvent) -> Self {
        let id = Transfer::id_for(&event, start());
        let step = Transfer::open(id, &Event::Custody(Box::new(event)), start()).unwrap();
        let (outcomes, sent, timeline) = (Vec::new(), Vec::new(), Vec::new());
        let mut story = Self { transfer: step.next.clone(), now: start(), outcomes, sent, timeline };
        story.take(step);
        story
    }

    pub(super) fn asked() -> Self {
        Self::of(event(1, |_, _| ()))
    }

    /// As far as the practice's system having our request.
    pub(super) fn requested() -> Self {
        let mut story = Self::asked();
        story.report(MessageKind::Request, Fate::Delivered);
        story
    }

    /// As far as the record lying with the clinical system.
    pub(super) fn filed() -> Self {
        let mut story = Self::requested();
        story.tell(&arrived(|_| ()));
        assert!(
            matches!(story.due(), Some(Effect::File { message_id: None, .. })),
            "the answer follows a decision"
        );
        story.tell(&filed(None));
        story
    }

    fn take(&mut self, step: Step) {
        self.outcomes.extend(step.outcomes);
        self.timeline.extend(step.entries);
        for message in step.messages {
            let Case::Outbound(outbound) = message.case else { panic!("messages are messages") };
            self.sent.push(*outbound);
        }
        self.transfer = step.next;
        let live = !self.transfer.has_ended();
        assert!(
            !live || self.transfer.deadline().is_some() || self.transfer.waits_for_person(),
            "H19: {} has no deadline",
            self.transfer.label()
        );
    }

    pub(super) fn tell(&mut self, event: &Event) {
        self.take(self.transfer.step(event, self.now).unwrap());
    }

    fn refuses(&self, event: &Event) -> bool {
        self.transfer.step(event, self.now).is_err()
    }

    pub(super) fn due(&mut self) -> Option<Effect> {
        self.now = self.now.max(self.transfer.deadline().unwrap());
        let step = self.transfer.step(&Event::Due, self.now).unwrap();
        let effect = step.effect.clone();
        self.take(step);
        effect
    }

    pub(super) fn report(&mut self, kind: MessageKind, fate: Fate) {
        let message_id =
            self.sent.last().map_or_else(|| MessageId::derived(&["m"]), |m| m.message_id.clone());
        self.report_of(message_id, kind, fate);
    }

    fn report_of(&mut self, message_id: MessageId, kind: MessageKind, fate: Fate) {
        self.tell(&Event::Reported(Report { message_id, kind, fate, attempts: 1, told_before: false }));
    }

    pub(super) fn decide(&mut self, filing: Filing) {
        let decided = self.decision(filing);
        self.tell(&decided);
    }

    pub(super) fn decision(&self, filing: Filing) -> Event {
        let kind = CustodyKind::FilingDecision(FilingDecision { transfer: self.transfer.id, filing });
        Event::Custody(Box::new(CustodyEvent { kind, ..event(9, |_, _| ()) }))
    }

    pub(super) fn reception(&self) -> &Reception {
        let Case::Reception(reception) = &self.transfer.case else { panic!("it stays a reception") };
        reception
    }

    /// The code of the acknowledgement that was sent last; none for AA.
    pub(super) fn code(&self) -> Option<&str> {
        let Saying::Acknowledgement { refusal, .. } = &self.sent.last().unwrap().saying else {
            panic!("the last message is an acknowledgement")
        };
        refusal.as_ref().map(|code| code.code.as_str())
    }

    fn last(&self) -> (OutcomeKind, Option<&str>) {
        let outcome = self.outcomes.last().unwrap();
        (outcome.kind, outcome.reason.as_deref())
    }
}

pub(super) fn arrived(change: impl FnOnce(&mut Arrival)) -> Event {
    let mut arrival = Arrival {
        from: ods("B85002"),
        to: ods("HMP01"),
        conversation: ConversationId::derived(&["c"]),
        message_id: MessageId::derived(&["extract"]),
        nhs_number: NhsNumber::parse("9990000018").ok(),
        request_id: None,
        system_known: true,
        bytes: 10_000,
        attachments: 0,
        signed: true,
        packet: PacketRef("sealed".to_owned()),
        received_at: start(),
        refusal: None,
        large: None,
    };
    change(&mut arrival);
    Event::Arrived(Box::new(arrival))
}

pub(super) fn filed(decision: Option<Filing>) -> Event {
    Event::Filed(Box::new(Filed { completeness: None, account: None, acknowledgement: None, decision }))
}

pub(super) fn answer(positive: bool, code: Option<&str>) -> Event {
    Event::Acknowledged(Acknowledgement {
        message_id: MessageId::derived(&["ack"]),
        refers_to: None,
        about: None,
        positive,
        code: code.map(str::to_owned),
        from: ods("B85002"),
        packet: None,
    })
}

fn act(verb: Verb) -> Event {
    Event::Act(Act { verb, reason: "because".to_owned(), uid: 0 })
}

#[test]
fn a_permanent_registration_that_pds_took_asks_the_practice_before() {
    let story = Story::asked();
    assert_eq!(story.transfer.label(), "requesting", "Q1, S10, S17");
    let [request] = story.sent.as_slice() else { panic!("one message") };
    assert_eq!((request.from.as_str(), request.to.as_str()), ("HMP01", "B85002"));
    let Saying::Request { nhs_number, .. } = &request.saying else { panic!("a request") };
    assert_eq!(nhs_number.reveal(), "9990000018");
    assert_eq!(request.id(), request.id(), "an order that comes twice is one message");
}

#[test]
fn each_gate_ends_with_its_own_reason_and_asks_nobody() {
    type Change = fn(&mut CustodyEvent, &mut RegistrationDecision);
    let gates: [(Change, NoTransfer); 10] = [
        (|_, d| d.decision = Decision::Temporary, NoTransfer::Temporary),
        (|_, d| d.decision = Decision::Declined, NoTransfer::Declined),
        (|_, d| d.decision = Decision::NotPossible, NoTransfer::NotRegistered),
        (|_, d| d.decision = Decision::Deferred, NoTransfer::NotRegistered),
        (|e, _| e.identity.sensitive = Answer::Yes, NoTransfer::Sensitive),
        (
            |e, _| {
                let facts = PdsFacts {
                    checked_at: start(),
                    current_practice: None,
                    previous_practice: None,
                    deceased: Answer::Yes,
                };
                e.pds = Some(facts);
            },
            NoTransfer::Deceased,
        ),
        (
            |e, _| {
                let reason = crate::transfer::custody::NoNumberReason::NotTraced;
                e.identity.number = PatientNumber::Absent { reason };
            },
            NoTransfer::NoNumber,
        ),
        (|_, d| d.previous_practice = None, NoTransfer::NoPreviousPractice),
        (|_, d| d.previous_practice = OdsCode::parse("HMP01").ok(), NoTransfer::AlreadyHere),
        (|_, d| d.pds_update = PdsUpdate::Failed { at: None }, NoTransfer::PdsUpdateFailed),
    ];
    for (change, why) in gates {
        let story = Story::of(event(1, change));
        assert_eq!(story.transfer.label(), "no-transfer", "{why:?}");
        assert_eq!(story.last(), (OutcomeKind::NoTransfer, Some(why.word())), "S21: shown with its reason");
        assert!(story.sent.is_empty(), "{why:?}: nobody is asked");
        assert!(!why.words().is_empty());
    }
}

#[test]
fn what_a_person_must_mend_is_held_and_what_is_still_to_be_told_is_waited_for() {
    let unverified = Story::of(event(1, |e, _| {
        let number = NhsNumber::parse("9990000018").unwrap();
        e.identity.number = PatientNumber::Known { number, status: NumberStatus::Unverified };
    }));
    assert_eq!(unverified.transfer.label(), "held");
    let unsure = Story::of(event(1, |e, _| e.identity.sensitive = Answer::Unknown));
    assert_eq!(unsure.last(), (OutcomeKind::Held, Some("sensitivity_unknown")), "hazard H15");
    let mut early = Story::of(event(1, |_, d| d.pds_update = PdsUpdate::NotAttempted));
    assert_eq!(early.transfer.label(), "awaiting-registration", "S162: PDS comes first");
    early.tell(&Event::Custody(Box::new(event(2, |_, _| ()))));
    assert_eq!(early.transfer.label(), "requesting");
    early.tell(&Event::Custody(Box::new(event(3, |_, d| d.decision = Decision::Declined))));
    assert_eq!(early.transfer.label(), "requesting", "what was asked cannot be taken back");
    assert_eq!(early.last(), (OutcomeKind::Noted, Some("too-late")));
}

#[test]
fn another_person_in_the_same_stay_is_an_incident() {
    let mut story = Story::of(event(1, |_, d| d.pds_update = PdsUpdate::NotAttempted));
    story.tell(&Event::Custody(Box::new(event(2, |e, _| {
        let number = NhsNumber::parse("9990000026").unwrap();
        e.identity.number = PatientNumber::Known { number, status: NumberStatus::Verified };
    }))));
    assert_eq!(story.last(), (OutcomeKind::Held, Some("identity_differs")), "hazard H24");
}

#[test]
fn what_the_directory_says_ends_it_before_anything_left() {
    let faults = [
        (PrepareFault::SamePremises, OutcomeKind::Internal, "internal"),
        (PrepareFault::DestinationUnknown, OutcomeKind::NoTransfer, "not_in_directory"),
        (PrepareFault::DestinationClosed, OutcomeKind::NoTransfer, "takes_no_part"),
    ];
    for (fault, kind, word) in faults {
        let mut story = Story::asked();
        story.report(MessageKind::Request, Fate::NotComposed(fault));
        assert_eq!(story.last(), (kind, Some(word)), "gates 9, 12, 13 (S268, TD12)");
        assert_eq!(story.transfer.label(), "no-transfer");
        assert!(story.refuses(&arrived(|_| ())), "nothing was asked, so nothing is taken");
    }
}

#[test]
fn a_request_that_cannot_be_delivered_ends_and_still_takes_a_record() {
    let mut story = Story::asked();
    story.report(MessageKind::Request, Fate::GaveUp);
    assert_eq!(
        (story.transfer.label(), story.last().0),
        ("unanswered", OutcomeKind::Undelivered),
        "F21, TD18.1"
    );
    story.tell(&arrived(|_| ()));
    assert_eq!(story.transfer.label(), "filing", "Q19");
    let mut silent = Story::asked();
    silent.due();
    assert_eq!(silent.transfer.label(), "unanswered", "even if the message never says so");
}

#[test]
fn silence_is_told_after_a_day_and_ends_the_wait_after_eight() {
    let mut story = Story::requested();
    assert_eq!(story.last().0, OutcomeKind::Requested);
    story.due();
    assert_eq!(story.now.since(start()), DAY, "§6: notice");
    assert_eq!(story.last(), (OutcomeKind::Overdue, Some("request_unanswered")));
    story.due();
    assert_eq!(story.now.since(start()), 8 * DAY, "Q22");
    assert_eq!(story.transfer.label(), "unanswered");
    story.tell(&arrived(|_| ()));
    assert_eq!(story.transfer.label(), "filing", "Q19: it is honoured all the same");
}

#[test]
fn the_practices_answer_counts_while_the_record_is_awaited_and_never_takes_a_state_back() {
    let mut story = Story::requested();
    story.tell(&answer(true, None));
    assert!(story.reception().request.as_ref().unwrap().acknowledged, "Q2");
    assert_eq!(story.transfer.label(), "requested");
    let mut refused = Story::requested();
    refused.tell(&answer(false, Some("19")));
    assert_eq!(refused.transfer.label(), "request-refused", "Q3");
    assert_eq!(refused.reception().response_code(), Some("19"));
    refused.tell(&arrived(|_| ()));
    assert_eq!(refused.transfer.label(), "filing", "F41: the record follows a 19 or 20 all the same");
    refused.tell(&answer(false, Some("20")));
    refused.report(MessageKind::Request, Fate::GaveUp);
    assert_eq!(refused.transfer.label(), "filing", "F22");
    let elsewhere = Acknowledgement { refers_to: MessageId::parse("X").ok(), ..acknowledgement() };
    let mut other = Story::requested();
    other.tell(&Event::Acknowledged(elsewhere));
    assert_eq!(other.transfer.label(), "requested", "it answers another message of the conversation");
}

fn acknowledgement() -> Acknowledgement {
    let Event::Acknowledged(acknowledgement) = answer(false, Some("06")) else { panic!("it is one") };
    acknowledgement
}

#[test]
fn a_record_of_another_person_sender_or_request_is_held_and_can_only_be_refused() {
    type Change = fn(&mut Arrival);
    let wrong: [(Change, Mismatch); 5] = [
        (|a| a.nhs_number = NhsNumber::parse("9990000026").ok(), Mismatch::Person),
        (|a| a.to = OdsCode::parse("HMP02").unwrap(), Mismatch::Destination),
        (|a| a.from = OdsCode::parse("B85003").unwrap(), Mismatch::Sender),
        (|a| a.system_known = false, Mismatch::Sender),
        (|a| a.request_id = MessageId::parse("ANOTHER").ok(), Mismatch::Request),
    ];
    for (change, mismatch) in wrong {
        let mut story = Story::requested();
        story.tell(&arrived(change));
        let held = ReceptionState::Held { hold: Hold::WrongRecord(mismatch) };
        assert_eq!(story.reception().state, held, "F31, hazard H1");
        assert_eq!(story.transfer.deadline(), None, "nothing is filed and nothing is sent");
        assert!(story.refuses(&act(Verb::Retry)), "nobody files it by mistake");
        story.tell(&act(Verb::Cancel));
        assert_eq!(story.code(), Some("17"), "Q14: unsure counts as returning (TD02)");
    }
    let mut right = Story::requested();
    let request_id = right.reception().request.as_ref().unwrap().request_id.clone();
    right.tell(&arrived(|a| a.request_id = Some(request_id)));
    assert_eq!(right.transfer.label(), "filing");
}

#[test]
fn a_record_that_cannot_be_read_is_refused_by_21_and_may_come_again() {
    let mut story = Story::requested();
    story.tell(&arrived(|a| {
        a.refusal = Some(Refusal::Unreadable);
        a.nhs_number = None;
    }));
    assert_eq!((story.code(), story.transfer.label()), (Some("21"), "acknowledging"), "Q4, TD22");
    story.tell(&arrived(|a| a.message_id = MessageId::derived(&["again"])));
    assert_eq!(story.transfer.label(), "filing", "Q19");
    assert!(story.refuses(&arrived(|_| ())), "Q20: now it stands, and the engine answers 12");
}

#[test]
fn the_clinical_system_decides_and_the_sender_is_told_in_the_same_step() {
    let decisions = [
        (Filing::Integrated, None, "filed", OutcomeKind::Integrated),
        (Filing::Suppressed, Some("15"), "suppressed", OutcomeKind::Suppressed),
        (Filing::FiledAsAttachment, Some("26"), "refused", OutcomeKind::NotFiled),
        (Filing::Rejected, Some("17"), "refused", OutcomeKind::NotFiled),
        (Filing::Failed, Some("11"), "refused", OutcomeKind::NotFiled),
    ];
    for (filing, code, label, outcome) in decisions {
        let mut story = Story::filed();
        assert_eq!(story.transfer.label(), "awaiting-decision");
        story.decide(filing);
        assert_eq!(story.transfer.label(), "acknowledging", "TD31: decided and sent are two facts");
        assert_eq!((story.code(), story.last().0), (code, outcome), "{filing:?}: Q12-Q15");
        let Saying::Acknowledgement { refers_to, .. } = &story.sent.last().unwrap().saying else {
            panic!("M8")
        };
        assert_eq!(*refers_to, MessageId::derived(&["extract"]));
        story.report(MessageKind::Acknowledgement, Fate::Delivered);
        assert_eq!(story.transfer.label(), label);
        assert_eq!(
            story.refuses(&story.decision(Filing::Rejected)),
            filing != Filing::Failed,
            "decided once"
        );
    }
}

#[test]
fn a_person_known_to_be_new_is_refused_by_28_and_policy_may_decide_at_once() {
    let mut story = Story::requested();
    if let Case::Reception(reception) = &mut story.transfer.case {
        reception.returning = Returning::NewHere;
    }
    story.tell(&arrived(|_| ()));
    story.due();
    story.tell(&filed(None));
    story.decide(Filing::Rejected);
    assert_eq!(story.code(), Some("28"), "Q14, S65");
    let mut auto = Story::requested();
    auto.tell(&arrived(|_| ()));
    auto.due();
    auto.tell(&filed(Some(Filing::Integrated)));
    assert_eq!((auto.transfer.label(), auto.code()), ("acknowledging", None), "S66");
}

#[test]
fn a_filing_that_failed_may_succeed_after_all() {
    let mut story = Story::filed();
    story.decide(Filing::Failed);
    let first = story.sent.last().unwrap().message_id.clone();
    story.decide(Filing::Integrated);
    assert_eq!(story.code(), None, "Q18, F42: AA to the same extract");
    assert_ne!(story.sent.last().unwrap().message_id, first, "another message");
}

#[test]
fn who_is_not_asked_decides_nothing() {
    let mut story = Story::filed();
    let mut other = story.decision(Filing::Integrated);
    let Event::Custody(event) = &mut other else { panic!("an event") };
    event.establishment = ods("HMP02");
    assert!(story.refuses(&other), "another establishment");
    story.decide(Filing::Deferred);
    assert_eq!(story.transfer.label(), "awaiting-decision", "Q16");
    assert!(Story::requested().refuses(&story.decision(Filing::Integrated)), "there is no record yet");
}

#[test]
fn nobody_deciding_is_told_after_two_three_and_seven_days_and_then_every_week() {
    let mut story = Story::filed();
    let since = story.now;
    for days in [2, 3, 7, 14, 21] {
        story.due();
        assert_eq!(story.now.since(since), days * DAY, "S79, F36");
        assert_eq!(story.last(), (OutcomeKind::Held, Some("filing_undecided")));
    }
}

#[test]
fn an_acknowledgement_that_does_not_arrive_is_told_and_what_was_decided_stands() {
    let mut story = Story::filed();
    story.decide(Filing::Integrated);
    story.due();
    assert_eq!(
        story.last(),
        (OutcomeKind::Undelivered, Some("acknowledgement_undelivered")),
        "F20, §6: a day"
    );
    assert_eq!(story.transfer.label(), "acknowledging", "it is still tried");
    story.report(MessageKind::Acknowledgement, Fate::Delivered);
    assert_eq!(story.transfer.label(), "filed");
}

#[test]
fn filing_that_fails_calls_a_person_who_may_give_the_record_up() {
    let mut story = Story::requested();
    story.tell(&arrived(|_| ()));
    for _ in 0..crate::transfer::retry::FILING_TRIES {
        story.due();
        story.tell(&Event::NotFiled(FilingFault::NoRoom));
    }
    assert_eq!(story.transfer.label(), "held");
    story.tell(&act(Verb::Retry));
    assert_eq!(story.transfer.label(), "filing");
    story.due();
    story.tell(&Event::NotFiled(FilingFault::AnotherRecordThere));
    story.tell(&act(Verb::Cancel));
    assert_eq!(story.code(), Some("11"), "Q13");
}

#[test]
fn a_waiting_reception_can_be_cancelled_and_one_that_asked_cannot() {
    let mut story = Story::of(event(1, |_, d| d.pds_update = PdsUpdate::NotAttempted));
    story.tell(&act(Verb::Cancel));
    assert_eq!(story.transfer.label(), "cancelled");
    assert!(Story::requested().refuses(&act(Verb::Cancel)), "the request cannot be recalled");
    let mut never = Story::of(event(1, |_, d| d.pds_update = PdsUpdate::NotAttempted));
    never.due();
    assert_eq!(never.last(), (OutcomeKind::NoTransfer, Some("never_registered")));
    assert!(never.now.since(start()) > 83 * DAY && never.now.since(start()) < 85 * DAY + HOUR);
}

#[test]
fn a_stay_has_one_reception_whichever_of_its_events_comes_first() {
    let first = Transfer::id_for(&event(1, |_, _| ()), start());
    assert_eq!(first, TransferId::derived(&["reception", "clinic", "stay-1"]));
}

#[test]
fn what_ended_before_a_request_left_can_be_asked_for_anew() {
    let mut story = Story::asked();
    story.report(MessageKind::Request, Fate::NotComposed(PrepareFault::DestinationUnknown));
    story.tell(&Event::Custody(Box::new(event(2, |_, _| ()))));
    assert_eq!(story.transfer.label(), "requesting", "TD12: the directory was corrected");
    let [first, second] = story.sent.as_slice() else { panic!("two requests") };
    assert_ne!(first.id(), second.id(), "a message of an identity that ended would never go");
}

#[test]
fn an_operator_decides_in_the_clinical_systems_place_and_under_its_rules() {
    for filing in Filing::ALL {
        let (mut by_hand, mut by_event) = (Story::filed(), Story::filed());
        by_hand.tell(&act(Verb::Decide(*filing)));
        by_event.decide(*filing);
        assert_eq!(by_hand.reception(), by_event.reception(), "{filing:?}: Q12-Q16 either way");
        assert_eq!(by_hand.last(), by_event.last());
        assert_eq!(by_hand.sent.len(), by_event.sent.len(), "the sender is told, or nobody is (Q16)");
        let kept: Vec<_> = by_hand.timeline.iter().filter(|what| is_decision(what)).collect();
        let [What::Act { act }, What::Decided { filing: decided }] = kept.as_slice() else {
            panic!("S63: who and why, then what: {kept:?}")
        };
        assert_eq!((act.verb, act.reason.as_str(), *decided), (Verb::Decide(*filing), "because", *filing));
    }
}

fn is_decision(what: &What) -> bool {
    matches!(what, What::Act { .. } | What::Decided { .. })
}

#[test]
fn nobody_decides_on_a_record_that_is_not_filed_or_was_decided_on() {
    let refuses_all = |story: &Story| Filing::ALL.iter().all(|f| story.refuses(&act(Verb::Decide(*f))));
    assert!(refuses_all(&Story::asked()) && refuses_all(&Story::requested()), "there is no record yet");
    let mut filing = Story::requested();
    filing.tell(&arrived(|_| ()));
    assert!(refuses_all(&filing), "it does not lie with the clinical system yet");
    let mut wrong = Story::requested();
    wrong.tell(&arrived(|a| a.nhs_number = NhsNumber::parse("9990000026").ok()));
    assert!(refuses_all(&wrong), "F31: a record of another person is refused by cancel and never filed");
    let mut decided = Story::filed();
    decided.tell(&act(Verb::Decide(Filing::Integrated)));
    assert!(refuses_all(&decided), "its sender was told");
}

#[test]
fn a_filing_that_failed_is_decided_again_by_hand_but_not_put_off() {
    let mut story = Story::filed();
    story.decide(Filing::Failed);
    story.report(MessageKind::Acknowledgement, Fate::Delivered);
    for filing in [Filing::Failed, Filing::Deferred] {
        assert!(story.refuses(&act(Verb::Decide(filing))), "{filing:?} changes nothing its sender was told");
        assert!(story.refuses(&story.decision(filing)));
    }
    story.tell(&act(Verb::Decide(Filing::Integrated)));
    assert_eq!((story.code(), story.transfer.label()), (None, "acknowledging"), "Q18, F42");
}

#[test]
fn an_earlier_acknowledgement_that_ends_says_nothing_of_the_newest() {
    let mut story = Story::filed();
    story.decide(Filing::Failed);
    let first = story.sent.last().unwrap().message_id.clone();
    story.decide(Filing::Integrated);
    let told = story.outcomes.len();
    story.report_of(first.clone(), MessageKind::Acknowledgement, Fate::Delivered);
    assert_eq!(story.transfer.label(), "acknowledging", "TD31: the AA of Q18 was not delivered yet");
    story.report_of(first, MessageKind::Acknowledgement, Fate::GaveUp);
    assert_eq!(story.outcomes.len(), told, "nobody needs to know of the 11 any more");
    story.report(MessageKind::Acknowledgement, Fate::Delivered);
    assert_eq!(story.transfer.label(), "filed");
    let mut again = Story::requested();
    again.tell(&arrived(|a| a.refusal = Some(Refusal::Unreadable)));
    let refusal = again.sent.last().unwrap().message_id.clone();
    again.tell(&arrived(|a| a.message_id = MessageId::derived(&["again"])));
    again.due();
    again.tell(&filed(Some(Filing::Integrated)));
    again.report_of(refusal, MessageKind::Acknowledgement, Fate::Delivered);
    assert_eq!(again.transfer.label(), "acknowledging", "Q19: the 21 was of the extract before");
}

#[test]
fn an_acknowledgement_that_is_refused_is_told_even_after_it_was_delivered() {
    let lost = (OutcomeKind::Undelivered, Some("acknowledgement_undelivered"));
    let refused = Fate::Refused(Refused::Http4xx);
    let mut at_once = Story::filed();
    at_once.decide(Filing::Integrated);
    at_once.report(MessageKind::Acknowledgement, refused);
    assert_eq!((at_once.last(), at_once.transfer.label()), (lost, "filed"), "F20: what was decided stands");
    let mut late = Story::filed();
    late.decide(Filing::Integrated);
    late.report(MessageKind::Acknowledgement, Fate::Delivered);
    let told = late.outcomes.len();
    late.report(MessageKind::Acknowledgement, Fate::Delivered);
    assert_eq!(late.outcomes.len(), told, "a copy that arrives is no news");
    late.report(MessageKind::Acknowledgement, refused);
    assert_eq!((late.last(), late.transfer.label()), (lost, "filed"), "wire §1.5: an error may come late");
}

#[test]
fn a_practices_yes_after_its_record_changes_nothing() {
    let mut story = Story::filed();
    story.tell(&answer(true, None));
    assert_eq!(story.transfer.label(), "awaiting-decision", "F22, §2.4");
    assert!(matches!(
        story.timeline.last(),
        Some(What::RequestAnswered { positive: true, counts: false, .. })
    ));
}

#[test]
fn a_new_registration_decision_opens_what_a_gate_shut() {
    let mut story = Story::of(event(1, |_, d| d.previous_practice = None));
    assert_eq!(story.transfer.label(), "no-transfer", "gate 7, TD04");
    story.tell(&Event::Custody(Box::new(event(2, |_, _| ()))));
    assert_eq!(story.transfer.label(), "requesting", "as its words promise");
    let mut late = Story::of(event(3, |_, d| d.pds_update = PdsUpdate::NotAttempted));
    late.tell(&Event::Custody(Box::new(event(2, |_, _| ()))));
    assert_eq!(late.transfer.label(), "awaiting-registration", "an earlier event of the stay is history");
    assert_eq!(late.last(), (OutcomeKind::Noted, Some("too-late")));
}
