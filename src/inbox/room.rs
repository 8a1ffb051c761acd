//! Room for the bodies of requests: a fixed amount of memory for all callers, and a share of it that none may exceed.
//!
//! A caller is its certificate, whatever the number of its connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::directory::Fingerprint;

/// One caller's share is the pool divided by this: three parties that misbehave at once still leave as much to all
/// the others, and a quarter of the default pool holds a dozen of the largest messages.
const SHARES: u32 = 4;

/// The pool.
#[derive(Debug)]
pub(super) struct Room {
    pool: Arc<Semaphore>,
    pool_kib: u32,
    share_kib: u32,
    shares: Mutex<HashMap<Option<Fingerprint>, Arc<Semaphore>>>,
    patience: Duration,
}

/// Reserved room, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    _share: OwnedSemaphorePermit,
    _pool: OwnedSemaphorePermit,
}

impl Room {
    /// `pool_kib` for all callers together; one body of `body_kib` always fits a share. Whoever finds no room waits
    /// for it as long as `patience`.
    pub(super) fn new(pool_kib: u32, body_kib: u32, patience: Duration) -> Self {
        let share_kib = (pool_kib / SHARES).max(body_kib).min(pool_kib);
        let pool = Arc::new(Semaphore::new(pool_kib as usize));
        Self { pool, pool_kib, share_kib, shares: Mutex::default(), patience }
    }

    /// Reserves room for a body; none where there is none in time. What waits for its own caller's share takes
    /// nothing of the pool.
    pub(super) async fn reserve(&self, caller: Option<Fingerprint>, kib: u64) -> Option<Reserved> {
        let kib = u32::try_from(kib).unwrap_or(u32::MAX).min(self.share_kib).min(self.pool_kib);
        let share = self.share(caller);
        let both = async {
            // A closed semaphore cannot be: nobody closes it.
            let share = share.acquire_many_owned(kib).await.ok()?;
            let pool = self.pool.clone().acquire_many_owned(kib).await.ok()?;
            Some(Reserved { _share: share, _pool: pool })
        };
        timeout(self.patience, both).await.ok().flatten()
    }

    fn share(&self, caller: Option<Fingerprint>) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&caller) {
            return share.clone();
        }
        // Only callers with something reserved or waiting are remembered: no more than there are connections.
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        let share = Arc::new(Semaphore::new(self.share_kib as usize));
        shares.insert(caller, share.clone());
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Option<Fingerprint> {
        Some(Fingerprint::of(name.as_bytes()))
    }

    fn room(pool_kib: u32, body_kib: u32) -> Room {
        Room::new(pool_kib, body_kib, Duration::from_millis(20))
    }

    #[tokio::test]
    async fn one_caller_holds_a_quarter_of_the_pool_and_no_more() {
        let room = room(400, 50);
        let greedy = caller("greedy");
        let held = [room.reserve(greedy, 50).await, room.reserve(greedy, 50).await];
        assert!(held.iter().all(Option::is_some), "a quarter is its own");
        assert!(room.reserve(greedy, 1).await.is_none(), "and it is asked to come again");
        for other in ["b", "c", "d"] {
            let both = [room.reserve(caller(other), 50).await, room.reserve(caller(other), 50).await];
            assert!(both.iter().all(Option::is_some), "{other} finds what it may have");
        }
        drop(held);
        assert!(room.reserve(greedy, 50).await.is_some(), "what is given back can be had again");
    }

    #[tokio::test]
    async fn all_callers_together_hold_no_more_than_the_pool() {
        let room = room(400, 50);
        let mut held = Vec::new();
        for n in 0..10 {
            held.extend(room.reserve(caller(&n.to_string()), 100).await);
        }
        assert_eq!(held.len(), 4, "the pool is what bounds our memory");
    }

    #[tokio::test]
    async fn the_largest_body_always_fits_a_share_and_callers_are_forgotten() {
        let room = room(400, 300);
        assert!(room.reserve(caller("a"), 300).await.is_some());
        assert!(room.reserve(caller("b"), 1 << 40).await.is_some(), "what is too large is refused elsewhere");
        assert!(room.reserve(None, 1).await.is_some());
        assert_eq!(room.shares.lock().unwrap().len(), 1, "only those who hold something are remembered");
    }
}
