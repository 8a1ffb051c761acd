//! Throughcare (map to be completed).

pub mod clock;
pub mod directory;
pub mod model;
pub mod transport;
