//! Throughcare (map to be completed).

pub mod clock;
pub mod extract;
pub mod model;
pub mod transfer;
