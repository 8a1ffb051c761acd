//! Throughcare (map to be completed).

pub mod clock;
pub mod config;
pub mod control;
pub mod model;
pub mod telemetry;
pub mod transfer;
