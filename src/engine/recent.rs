//! Transfers as they were last written, so that one on its way is not read and decoded again at every step. Only the
//! engine writes, so what is here is what is in the store.

use std::collections::HashMap;

use crate::model::TransferId;
use crate::transfer::Transfer;

/// More than may be under way at once: some 4 KiB each.
const MOST: usize = 1024;

/// Live transfers that changed lately.
#[derive(Debug, Default)]
pub struct Recent(HashMap<TransferId, Transfer>);

impl Recent {
    /// The transfer as last written, if it is remembered.
    pub fn get(&self, id: TransferId) -> Option<&Transfer> {
        self.0.get(&id)
    }

    /// Remembers what was written. One that has ended is seldom asked for again.
    pub fn note(&mut self, written: impl Iterator<Item = Transfer>) {
        for transfer in written {
            if transfer.has_ended() {
                self.0.remove(&transfer.id);
                continue;
            }
            if self.0.len() >= MOST && !self.0.contains_key(&transfer.id) {
                // Whatever is under way finds its way back at its next step.
                self.0.clear();
            }
            self.0.insert(transfer.id, transfer);
        }
    }
}
