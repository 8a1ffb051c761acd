//! Who is due, lane by lane, and how much may be under way at once. Held in memory; rebuilt from the due index.
//!
//! A party that hangs or rests holds up its own lane only: what a transfer does of itself while it waits for one, a
//! report or an end, waits in the house's lane.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Timestamp, TransferId};
use crate::transfer::breaker::Breaker;
use crate::transfer::{Lane, Waits};

/// How much may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// To all parties together. Of these a party may have no more than are still free, so that with n parties that hang
    /// one in n + 1 of the places is left for the others.
    pub parties: usize,
    /// To one party: as many as the transport opens connections, times the few that queue behind them.
    pub per_party: usize,
    /// Parts of large records, to all parties together: each is in memory while it is sent.
    pub parts: usize,
    /// The same to one party, so that one that hangs leaves room for others.
    pub parts_per_party: usize,
    /// Our own work (records, filing): what two cores can chew on.
    pub house: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parties: 512, per_party: 128, parts: 16, parts_per_party: 8, house: 256 }
    }
}

#[derive(Debug, Default)]
struct LaneState {
    due: BTreeSet<(Timestamp, TransferId)>,
    under_way: usize,
    breaker: Breaker,
    /// Where the lane stands in the queue of lanes.
    queued: Option<Timestamp>,
}

impl LaneState {
    /// When its first transfer may start, as far as time alone decides it.
    fn ready_at(&self) -> Option<Timestamp> {
        let (due, _) = self.due.first()?;
        Some(self.breaker.resting_until().map_or(*due, |until| until.max(*due)))
    }
}

/// What is due when, and what is under way.
#[derive(Debug)]
pub struct Agenda {
    limits: Limits,
    lanes: HashMap<Lane, LaneState>,
    /// The lanes that have something due, in the order of their first.
    queue: BTreeSet<(Timestamp, Lane)>,
    places: HashMap<TransferId, Waits>,
    under_way: HashMap<TransferId, (Lane, Timestamp)>,
    /// Parts among them.
    parts_under_way: usize,
    closing: bool,
}

/// One lane as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneView {
    /// Which.
    pub lane: Lane,
    /// How many wait in it.
    pub waiting: usize,
    /// How many are under way.
    pub under_way: usize,
    /// Until when the party rests, if it does.
    pub resting_until: Option<Timestamp>,
}

impl Agenda {
    /// Nothing due.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: HashMap::new(),
            queue: BTreeSet::new(),
            places: HashMap::new(),
            under_way: HashMap::new(),
            parts_under_way: 0,
            closing: false,
        }
    }

    /// Starts nothing more; what is under way may end.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Notes when a transfer is due and in which lanes. One that is under way is not due.
    pub fn place(&mut self, id: TransferId, waits: Waits) {
        if let Some(before) = self.places.remove(&id) {
            for (lane, due) in before.lanes() {
                self.change(lane, |state| state.due.remove(&(due, id)));
            }
        }
        if !self.under_way.contains_key(&id) && waits != Waits::default() {
            for (lane, due) in waits.lanes() {
                self.change(lane, |state| state.due.insert((due, id)));
            }
            self.places.insert(id, waits);
        }
    }

    /// The next transfer that is due and may start, most overdue first.
    pub fn next_due(&self, now: Timestamp) -> Option<TransferId> {
        let (ready, state) = self.first_with_room()?;
        state.due.first().filter(|_| ready <= now).map(|(_, id)| *id)
    }

    /// When something will be ready to start, as far as time alone decides it.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.first_with_room().map(|(ready, _)| ready)
    }

    /// Lanes without room have work under way, so few are passed over.
    fn first_with_room(&self) -> Option<(Timestamp, &LaneState)> {
        if self.closing {
            return None;
        }
        let with_state =
            self.queue.iter().filter_map(|(ready, lane)| Some((*ready, lane, self.lanes.get(lane)?)));
        with_state
            .into_iter()
            .find(|(_, lane, state)| self.has_room(lane, state))
            .map(|(ready, _, s)| (ready, s))
    }

    /// The transfer's work begins, in that lane.
    pub fn start(&mut self, id: TransferId, lane: Lane, now: Timestamp) {
        self.place(id, Waits::default());
        self.change(lane.clone(), |state| state.under_way += 1);
        self.parts_under_way += usize::from(matches!(lane, Lane::Parts(_)));
        self.under_way.insert(id, (lane, now));
    }

    /// The transfer's work is over; returns in which lane it was, if it was known to be under way.
    pub fn finish(&mut self, id: TransferId) -> Option<Lane> {
        let (lane, _) = self.under_way.remove(&id)?;
        self.change(lane.clone(), |state| state.under_way = state.under_way.saturating_sub(1));
        self.parts_under_way -= usize::from(matches!(lane, Lane::Parts(_)));
        Some(lane)
    }

    /// How many are under way in all.
    pub fn count_under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Work that began before `then` and never came back.
    pub fn lost_since(&self, then: Timestamp) -> Vec<TransferId> {
        self.under_way.iter().filter(|(_, (_, since))| *since < then).map(|(id, _)| *id).collect()
    }

    /// The party of a lane answered, or failed to.
    pub fn judge(&mut self, lane: &Lane, answered: bool, now: Timestamp) {
        match lane {
            Lane::House => {}
            Lane::Party(_) | Lane::Parts(_) if answered => {
                self.change(lane.clone(), |state| state.breaker.answered());
            }
            Lane::Party(_) | Lane::Parts(_) => self.change(lane.clone(), |state| state.breaker.failed(now)),
        }
    }

    /// Every lane that has something in it or rests.
    pub fn view(&self) -> Vec<LaneView> {
        let mut views: Vec<LaneView> = self
            .lanes
            .iter()
            .filter(|(_, s)| !s.due.is_empty() || s.under_way > 0 || s.breaker.resting_until().is_some())
            .map(|(lane, s)| LaneView {
                lane: lane.clone(),
                waiting: s.due.len(),
                under_way: s.under_way,
                resting_until: s.breaker.resting_until(),
            })
            .collect();
        views.sort_by(|a, b| a.lane.cmp(&b.lane));
        views
    }

    fn has_room(&self, lane: &Lane, state: &LaneState) -> bool {
        let limit = match lane {
            Lane::House => self.limits.house,
            Lane::Party(_) => {
                let house = self.lanes.get(&Lane::House).map_or(0, |s| s.under_way);
                let free = self.limits.parties.saturating_sub(self.under_way.len() - house);
                state.breaker.allowance(self.limits.per_party).min(free)
            }
            Lane::Parts(_) => {
                let free = self.limits.parts.saturating_sub(self.parts_under_way);
                state.breaker.allowance(self.limits.parts_per_party).min(free + state.under_way)
            }
        };
        state.under_way < limit
    }

    /// Changes a lane and gives it its place in the queue.
    fn change<T>(&mut self, lane: Lane, change: impl FnOnce(&mut LaneState) -> T) {
        let state = self.lanes.entry(lane.clone()).or_default();
        change(state);
        let ready = state.ready_at();
        if ready != state.queued {
            if let Some(before) = std::mem::replace(&mut state.queued, ready) {
                self.queue.remove(&(before, lane.clone()));
            }
            if let Some(ready) = ready {
                self.queue.insert((ready, lane));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::OdsCode;

    fn party(code: &str) -> Lane {
        Lane::Party(OdsCode::parse(code).unwrap())
    }

    fn to(code: &str, due: Timestamp) -> Waits {
        Waits { party: Some((OdsCode::parse(code).unwrap(), due)), ..Waits::default() }
    }

    fn id(n: usize) -> TransferId {
        TransferId::derived(&[&n.to_string()])
    }

    /// Starts everything that may start for `code`, and says how many that were.
    fn flood(agenda: &mut Agenda, code: &str, numbers: std::ops::Range<usize>, now: Timestamp) -> usize {
        for n in numbers {
            agenda.place(id(n), to(code, now));
        }
        let mut started = 0;
        while let Some(next) = agenda.next_due(now) {
            agenda.start(next, party(code), now);
            started += 1;
        }
        started
    }

    #[test]
    fn a_full_lane_does_not_hold_up_another() {
        let mut agenda = Agenda::new(Limits { parties: 10, per_party: 1, house: 1, ..Limits::default() });
        let start = Timestamp::default();
        let later = start.plus(Duration::from_secs(1));
        agenda.place(id(3), to("BBB", later));
        assert_eq!(flood(&mut agenda, "AAA", 1..3, start), 1);
        assert_eq!(agenda.next_due(start), None, "the lane is full and the other not yet due");
        assert_eq!(agenda.next_wake(), Some(later));
        assert_eq!(agenda.next_due(later), Some(id(3)));
    }

    #[test]
    fn however_many_parties_hang_there_is_a_place_for_the_next() {
        let mut agenda = Agenda::new(Limits { parties: 64, per_party: 32, house: 1, ..Limits::default() });
        let now = Timestamp::default();
        let started: Vec<usize> = ["AAA", "BBB", "CCC", "DDD", "EEE"]
            .iter()
            .enumerate()
            .map(|(n, code)| flood(&mut agenda, code, n * 100..n * 100 + 100, now))
            .collect();
        assert_eq!(started, [32, 16, 8, 4, 2], "each may have as many as are still free");
        agenda.place(id(999), Waits { house: Some(now), ..Waits::default() });
        assert_eq!(agenda.next_due(now), Some(id(999)), "our own work is counted apart");
    }

    #[test]
    fn a_resting_party_is_probed_by_one_transfer_only_and_holds_up_no_report() {
        let mut agenda = Agenda::new(Limits::default());
        let start = Timestamp::default();
        for n in 0..5 {
            agenda.place(id(n), to("AAA", start));
        }
        for _ in 0..4 {
            agenda.judge(&party("AAA"), false, start);
        }
        assert_eq!(agenda.next_due(start), None);
        let report = Waits { house: Some(start), ..to("AAA", start) };
        agenda.place(id(4), report);
        assert_eq!(agenda.next_due(start), Some(id(4)), "what it reports needs no party");
        agenda.place(id(4), to("AAA", start));
        let later = agenda.next_wake().unwrap();
        let probe = agenda.next_due(later).unwrap();
        agenda.start(probe, party("AAA"), later);
        assert_eq!(agenda.next_due(later), None, "one probe");
        agenda.finish(probe);
        agenda.judge(&party("AAA"), true, later);
        assert!(agenda.next_due(later).is_some(), "the party is back");
    }

    #[test]
    fn a_closing_agenda_starts_nothing() {
        let mut agenda = Agenda::new(Limits::default());
        let now = Timestamp::default();
        agenda.place(id(1), to("AAA", now));
        agenda.close();
        assert_eq!((agenda.next_due(now), agenda.next_wake()), (None, None));
    }
}
