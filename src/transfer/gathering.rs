//! The parts of a large extract while they come: what is awaited, until when, and what each is answered (gp2gp reference
//! §2.2, Q6 to Q11; §4.2, §4.3). Receptions and records that nobody asked for share it.
//!
//! Which message is which is found out from its row before it is stepped; the rows themselves are kept beside the
//! transfer, so that a decision costs the same with ten parts and with ten thousand.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::{MessageId, OdsCode, Timestamp, TransferId};
use crate::transfer::Step;
use crate::transfer::dispatch::PacketRef;
use crate::transfer::effect::Effect;
use crate::transfer::journal::What;
use crate::transfer::outbound::{Code, Fate, MessageKind, Report, Saying};
use crate::transfer::refusal::{PartRefusal, Refusal};
use crate::transfer::retry;
use crate::transfer::timeout::Terms;

/// Files that may wait to be put together. What completes beyond it is acknowledged at once, and looked at when the
/// record is filed.
const MOST_JOINING: usize = 256;

/// Parts that may wait for what lists them: as many as there were attachments in the largest record seen (§4.5).
const MOST_EARLY: u32 = 2_658;

/// What has become of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It has not come.
    Not,
    /// It is here and right.
    Well,
    /// It is here and wrong.
    Badly,
}

/// How many of a transfer's messages there are and have come. Changed in one commit with the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// N of §4.4: every `mid:` of the extract and every one inside indexes; an index counts itself.
    pub rows: u64,
    /// Those that are here and right.
    pub arrived: u64,
    /// Those that are here and wrong.
    pub damaged: u64,
}

impl Tally {
    /// Counts a new row.
    pub fn add(&mut self, row: Settled) {
        self.rows = self.rows.saturating_add(1);
        self.count(row);
    }

    /// Counts what became of a row that was counted as `before`.
    pub fn change(&mut self, before: Settled, after: Settled) {
        match before {
            Settled::Not => {}
            Settled::Well => self.arrived = self.arrived.saturating_sub(1),
            Settled::Badly => self.damaged = self.damaged.saturating_sub(1),
        }
        self.count(after);
    }

    fn count(&mut self, settled: Settled) {
        match settled {
            Settled::Not => {}
            Settled::Well => self.arrived = self.arrived.saturating_add(1),
            Settled::Badly => self.damaged = self.damaged.saturating_add(1),
        }
    }

    /// Whether all have come and are right (§4.2(9)).
    pub fn is_complete(&self) -> bool {
        self.arrived >= self.rows
    }

    /// Whether all have come, right or wrong: now 31 may be said (C2).
    pub fn is_accounted(&self) -> bool {
        self.arrived.saturating_add(self.damaged) >= self.rows
    }
}

/// What an extract says of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Large {
    /// How many there are, and how many were here before it.
    pub tally: Tally,
    /// What the wait is reckoned with.
    pub terms: Terms,
    /// The ebXML Timestamp of the extract, from which the wait runs (LM21).
    pub sent_at: Timestamp,
    /// Octets of the parts, once all are here.
    #[serde(default)]
    pub bytes: u64,
}

/// A message of an extract that came by itself: a file, a fragment or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The message.
    pub message_id: MessageId,
    /// The party that sent it.
    pub from: OdsCode,
    /// Our organisation that it was sent to.
    pub to: OdsCode,
    /// Its size in bytes.
    pub bytes: u64,
    /// The sealed octets.
    pub packet: PacketRef,
    /// What it is to the transfer.
    pub found: Found,
}

/// What a part is to its transfer, found out from its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing lists it yet (LM29.2).
    Early,
    /// It is listed and right as far as it can be told by itself.
    Good {
        /// How many there are with it.
        tally: Tally,
        /// The item of the extract whose last fragment it is.
        completes: Option<MessageId>,
    },
    /// It is listed and wrong.
    Bad {
        /// How many there are with it.
        tally: Tally,
        /// What it is answered.
        why: PartRefusal,
    },
    /// It is here already.
    Again,
    /// Nothing lists it, and it can be no part that waits to be listed.
    Stray,
}

/// A file whose last fragment is here. Whether it can be put together is seen before that fragment is answered (TD25.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// The item of the extract.
    pub item: MessageId,
    /// The fragment that completed it.
    pub last: MessageId,
}

/// The parts of a transfer while they come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathering {
    /// How many there are and have come.
    pub tally: Tally,
    /// Octets of those that are here.
    pub bytes: u64,
    /// What the wait is reckoned with.
    pub terms: Terms,
    /// The ebXML Timestamp of the extract, or when it came if that lies in our future (§4.4).
    pub sent_at: Timestamp,
    /// From then on the extract counts as incomplete.
    pub until: Timestamp,
    /// Files to be put together, oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub joining: VecDeque<Joining>,
    /// When the next of them is due.
    pub join_at: Timestamp,
    /// Tries that failed.
    pub failures: u32,
    /// Parts that came before anything listed them.
    #[serde(default)]
    pub early: u32,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is to come, or to be looked at.
    More,
    /// All are here and right.
    Complete,
    /// All are here, and some are wrong (LM35, C2).
    Damaged,
}

impl Gathering {
    /// An extract came that has parts.
    pub(super) fn begin(large: &Large, now: Timestamp) -> Self {
        let until = large.terms.deadline(large.sent_at, now, large.tally.rows);
        Self {
            tally: large.tally,
            bytes: 0,
            terms: large.terms,
            sent_at: large.sent_at.min(now),
            until,
            joining: VecDeque::new(),
            join_at: now,
            failures: 0,
            early: 0,
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        if !self.joining.is_empty() {
            Progress::More
        } else if self.tally.is_complete() {
            Progress::Complete
        } else if self.tally.is_accounted() {
            Progress::Damaged
        } else {
            Progress::More
        }
    }

    /// When it must be looked at.
    pub(super) fn due(&self) -> Timestamp {
        if self.joining.is_empty() { self.until } else { self.join_at.min(self.until) }
    }

    /// The next file to be put together, if the time for it has come.
    pub(super) fn join(&self, from: &OdsCode, now: Timestamp) -> Option<Effect> {
        let next = self.joining.front().filter(|_| now >= self.join_at)?;
        Some(Effect::Join { item: next.item.clone(), from: from.clone() })
    }

    /// A file could be put together, or not; its last fragment is to be answered so.
    pub(super) fn joined(
        &mut self,
        item: &MessageId,
        wrong: Option<PartRefusal>,
        now: Timestamp,
    ) -> Option<MessageId> {
        let joined = self.joining.pop_front_if(|next| next.item == *item)?;
        if wrong.is_some() {
            self.tally.change(Settled::Well, Settled::Badly);
        }
        (self.join_at, self.failures) = (now, 0);
        Some(joined.last)
    }

    /// It could not be tried: ours to mend (§4.3, store full).
    pub(super) fn not_joined(&mut self, id: TransferId, now: Timestamp) -> Timestamp {
        self.failures += 1;
        self.join_at = now.plus(retry::unprepared(self.failures, id));
        self.join_at
    }

    /// Whether our leave is lost, and no part can come (TD22.5). One that came shows that it arrived all the same.
    pub(super) fn lost_leave(&self, report: &Report) -> bool {
        report.kind == MessageKind::Continue
            && report.fate != Fate::Delivered
            && self.tally.arrived + self.tally.damaged == 0
    }

    fn take(&mut self, part: &Part) -> Reply {
        match &part.found {
            Found::Early => keep_early(&mut self.early),
            Found::Stray => Reply::refused(PartRefusal::Malformed),
            Found::Again => Reply { keep: false, answer: Some(None) },
            Found::Bad { tally, why } => {
                self.count(*tally, part.bytes);
                Reply::kept(Some(*why))
            }
            Found::Good { tally, completes } => {
                self.count(*tally, part.bytes);
                match completes {
                    Some(item) if self.joining.len() < MOST_JOINING => {
                        let (item, last) = (item.clone(), part.message_id.clone());
                        self.joining.push_back(Joining { item, last });
                        Reply { keep: true, answer: None }
                    }
                    Some(_) | None => Reply::kept(None),
                }
            }
        }
    }

    /// What is remembered of the parts when all are here.
    pub(super) fn close(&self, large: &mut Option<Large>) {
        if let Some(large) = large {
            (large.tally, large.bytes) = (self.tally, self.bytes);
        }
    }

    fn count(&mut self, tally: Tally, bytes: u64) {
        if tally.rows != self.tally.rows {
            // An index lists more: the wait is longer now (TD24).
            self.until = self.sent_at.plus(self.terms.wait(tally.rows));
        }
        self.tally = tally;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Where a transfer stands, as far as parts are concerned.
pub(super) enum Stage<'a> {
    /// The extract has not come: a part is kept until it does (LM29.2). So many are.
    Before(&'a mut u32),
    /// They are awaited.
    During(&'a mut Gathering),
    /// They were awaited in vain (Q11).
    TooLate,
    /// Whatever else: the record is complete, refused, or has no parts (§2.4).
    Over,
}

/// What follows from a part.
pub(super) struct Reply {
    keep: bool,
    /// What it is answered now: nothing, AA, or a code.
    answer: Option<Option<PartRefusal>>,
}

impl Reply {
    fn kept(answer: Option<PartRefusal>) -> Self {
        Self { keep: true, answer: Some(answer) }
    }

    fn refused(why: PartRefusal) -> Self {
        Self { keep: false, answer: Some(Some(why)) }
    }
}

/// Decides on a part (§2.4, §4.2(3)): the deadline before anything else (TD24.1).
pub(super) fn take(stage: Stage<'_>, part: &Part, now: Timestamp) -> Reply {
    match stage {
        Stage::Before(early) if part.found == Found::Early => keep_early(early),
        Stage::Before(_) => Reply::refused(PartRefusal::NotAwaited),
        Stage::During(gathering) if now < gathering.until => gathering.take(part),
        Stage::During(_) | Stage::TooLate => Reply::refused(PartRefusal::Late),
        Stage::Over => Reply::refused(PartRefusal::NotAwaited),
    }
}

/// Keeps a part that nothing lists yet, as long as there are not absurdly many.
fn keep_early(early: &mut u32) -> Reply {
    if *early >= MOST_EARLY {
        return Reply::refused(PartRefusal::NotAwaited);
    }
    *early += 1;
    Reply::kept(None)
}

/// The refusal that ends a transfer whose parts are all accounted for, or whose time has run out.
pub(super) fn refusal(progress: Progress, overdue: bool) -> Option<Refusal> {
    match progress {
        Progress::Damaged => Some(Refusal::PartsDamaged),
        Progress::More if overdue => Some(Refusal::PartsMissing),
        Progress::More | Progress::Complete => None,
    }
}

impl Step {
    /// Takes what was decided on a part: its answer goes out in the same commit as the part is kept.
    pub(super) fn reply_to_part(&mut self, reply: &Reply, part: &Part, now: Timestamp) {
        self.keeps_part = reply.keep;
        if let Some(why) = reply.answer {
            self.answer_part(&part.message_id, (&part.to, &part.from), why, now);
        }
    }

    /// Acknowledges a part (M7).
    pub(super) fn answer_part(
        &mut self,
        part: &MessageId,
        (us, them): (&OdsCode, &OdsCode),
        why: Option<PartRefusal>,
        now: Timestamp,
    ) {
        let id = self.next.id.to_string();
        let code = why.map_or("", PartRefusal::code);
        let message_id = MessageId::derived(&["part-acknowledgement", &id, part.as_str(), code]);
        let refusal = why.map(|why| Code { code: why.code().to_owned(), words: why.words().to_owned() });
        if let Some(why) = why {
            self.entries.push(What::PartRefused { why });
        }
        let saying = Saying::PartAcknowledgement { refers_to: part.clone(), refusal };
        let give_up_at = now.plus(retry::LISTEN_FOR);
        self.send(saying, (us.clone(), them.clone()), message_id, give_up_at, now);
    }

    /// One of our messages ended. Acknowledgements of parts that arrive are as many as the parts and say nothing more.
    pub(super) fn note_message(&mut self, report: &Report) {
        let Report { kind, fate, attempts, .. } = *report;
        let part = matches!(kind, MessageKind::PartAcknowledgement | MessageKind::Part);
        if !part || fate != Fate::Delivered {
            self.entries.push(What::Message { kind, fate, attempts });
        }
    }

    /// Gives leave to send the parts (M4, LM32): once, when the extract is taken.
    pub(super) fn give_leave(
        &mut self,
        extract: &MessageId,
        (us, them): (&OdsCode, &OdsCode),
        until: Timestamp,
        now: Timestamp,
    ) {
        let id = self.next.id.to_string();
        let message_id = MessageId::derived(&["continue", &id, extract.as_str()]);
        let saying = Saying::Continue { refers_to: extract.clone() };
        self.send(saying, (us.clone(), them.clone()), message_id, until, now);
    }
}

#[cfg(test)]
mod tests;
