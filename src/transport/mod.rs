//! Bytes to a practice: mutual TLS, pooled HTTPS, and what the answer means.
//!
//! [`Tls`] holds our own certificate and the roots we trust, and changes them while running; [`Transport`] posts a
//! message and reports what was observed, and never decides what follows from it.

pub mod classify;
mod https;
pub mod issue;
mod observation;
mod pool;
mod tls;

pub use https::{Letter, Route, Transport, TransportLimits};
pub use observation::{Observation, Reply};
pub use pool::LaneStatus;
pub use tls::{NotTheirs, Tls, TlsError, TlsFiles, TlsStatus, certificate_names};
