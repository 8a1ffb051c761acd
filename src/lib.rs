//! Throughcare (map to be completed).

pub mod model;
pub mod transfer;
pub mod packet;
pub mod store;
pub mod engine;
pub mod clock;
