//! What a transfer is and how it changes.

pub mod custody;
pub mod outcome;
