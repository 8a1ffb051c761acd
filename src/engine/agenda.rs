//! Who is due, lane by lane, and how much may be under way at once. Held in memory; rebuilt from the due index.
//!
//! A party that hangs or rests holds up its own lane only.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Timestamp, TransferId};
use crate::transfer::Lane;
use crate::transfer::breaker::Breaker;

/// How much may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Over all lanes. 512 keeps both cores busy at a few milliseconds a transfer and bounds memory.
    pub total: usize,
    /// For one party: as many as the transport opens connections, times the few that queue behind them.
    pub per_party: usize,
    /// For our own work (records, filing): what two cores can chew on.
    pub house: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 512, per_party: 128, house: 256 }
    }
}

#[derive(Debug, Default)]
struct LaneState {
    due: BTreeSet<(Timestamp, TransferId)>,
    under_way: usize,
    breaker: Breaker,
}

/// What is due when, and what is under way.
#[derive(Debug)]
pub struct Agenda {
    limits: Limits,
    lanes: HashMap<Lane, LaneState>,
    places: HashMap<TransferId, (Lane, Timestamp)>,
    under_way: HashMap<TransferId, (Lane, Timestamp)>,
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
        Self { limits, lanes: HashMap::new(), places: HashMap::new(), under_way: HashMap::new() }
    }

    /// Notes when a transfer is due and in which lane; none takes it off. One that is under way is not due.
    pub fn place(&mut self, id: TransferId, place: Option<(Lane, Timestamp)>) {
        let place = place.filter(|_| !self.under_way.contains_key(&id));
        if let Some((lane, due)) = self.places.remove(&id)
            && let Some(state) = self.lanes.get_mut(&lane)
        {
            state.due.remove(&(due, id));
        }
        if let Some((lane, due)) = place {
            self.lanes.entry(lane.clone()).or_default().due.insert((due, id));
            self.places.insert(id, (lane, due));
        }
    }

    /// The next transfer that is due and may start, most overdue first within a lane.
    pub fn next_due(&self, now: Timestamp) -> Option<TransferId> {
        if self.under_way.len() >= self.limits.total {
            return None;
        }
        self.lanes
            .iter()
            .filter(|(lane, state)| self.has_room(lane, state))
            .filter_map(|(_, state)| state.due.first().map(|(due, id)| (ready_at(state, *due), *id)))
            .filter(|(ready, _)| *ready <= now)
            .min()
            .map(|(_, id)| id)
    }

    /// When something will be ready to start, as far as time alone decides it.
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.under_way.len() >= self.limits.total {
            return None;
        }
        self.lanes
            .iter()
            .filter(|(lane, state)| self.has_room(lane, state))
            .filter_map(|(_, state)| state.due.first().map(|(due, _)| ready_at(state, *due)))
            .min()
    }

    /// The transfer's work begins in its present lane.
    pub fn start(&mut self, id: TransferId, lane: Lane, now: Timestamp) {
        self.place(id, None);
        self.lanes.entry(lane.clone()).or_default().under_way += 1;
        self.under_way.insert(id, (lane, now));
    }

    /// The transfer's work is over; returns whether it was known to be under way.
    pub fn finish(&mut self, id: TransferId) -> Option<Lane> {
        let (lane, _) = self.under_way.remove(&id)?;
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.under_way = state.under_way.saturating_sub(1);
        }
        Some(lane)
    }

    /// Whether somebody works on the transfer.
    pub fn is_under_way(&self, id: TransferId) -> bool {
        self.under_way.contains_key(&id)
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
        if matches!(lane, Lane::House) {
            return;
        }
        let breaker = &mut self.lanes.entry(lane.clone()).or_default().breaker;
        if answered { breaker.answered() } else { breaker.failed(now) }
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
            Lane::Party(_) => state.breaker.allowance(self.limits.per_party),
        };
        state.under_way < limit
    }
}

fn ready_at(state: &LaneState, due: Timestamp) -> Timestamp {
    state.breaker.resting_until().map_or(due, |until| due.max(until))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::OdsCode;

    fn party(code: &str) -> Lane {
        Lane::Party(OdsCode::parse(code).unwrap())
    }

    fn id(n: usize) -> TransferId {
        TransferId::derived(&[&n.to_string()])
    }

    #[test]
    fn a_full_lane_does_not_hold_up_another() {
        let mut agenda = Agenda::new(Limits { total: 10, per_party: 1, house: 1 });
        let start = Timestamp::default();
        agenda.place(id(1), Some((party("AAA"), start)));
        agenda.place(id(2), Some((party("AAA"), start)));
        agenda.place(id(3), Some((party("BBB"), start.plus(Duration::from_secs(1)))));
        let first = agenda.next_due(start).unwrap();
        agenda.start(first, party("AAA"), start);
        assert_eq!(agenda.next_due(start), None, "the lane is full and the other not yet due");
        assert_eq!(agenda.next_wake(), Some(start.plus(Duration::from_secs(1))));
        assert_eq!(agenda.next_due(start.plus(Duration::from_secs(1))), Some(id(3)));
    }

    #[test]
    fn a_resting_party_is_probed_by_one_transfer_only() {
        let mut agenda = Agenda::new(Limits::default());
        let start = Timestamp::default();
        for n in 0..5 {
            agenda.place(id(n), Some((party("AAA"), start)));
        }
        for _ in 0..4 {
            agenda.judge(&party("AAA"), false, start);
        }
        assert_eq!(agenda.next_due(start), None);
        let later = agenda.next_wake().unwrap();
        let probe = agenda.next_due(later).unwrap();
        agenda.start(probe, party("AAA"), later);
        assert_eq!(agenda.next_due(later), None, "one probe");
        agenda.finish(probe);
        agenda.judge(&party("AAA"), true, later);
        assert!(agenda.next_due(later).is_some(), "the party is back");
    }
}
