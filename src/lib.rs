//! Throughcare (map to be completed).

pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod directory;
pub mod engine;
pub mod extract;
pub mod inbox;
pub mod intake;
pub mod model;
pub mod packet;
pub mod perform;
pub mod records;
pub mod store;
pub mod telemetry;
pub mod transfer;
pub mod transport;
