//! Throughcare (map to be completed).

pub mod clock;
pub mod intake;
pub mod model;
pub mod transfer;
