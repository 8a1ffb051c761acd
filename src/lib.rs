//! Throughcare (map to be completed).

pub mod clock;
pub mod directory;
pub mod inbox;
pub mod model;
pub mod packet;
pub mod records;
pub mod transport;
