//! The operators' Unix socket: what may be asked, what is answered, and both ends of the wire.
//!
//! One JSON line asks, one or more JSON lines answer. There is deliberately no network port: who may speak is decided
//! by the socket's group, and who spoke is told by the kernel. Nothing is decided here about transfers: acts become
//! events like any other.

pub mod client;
pub mod console;
mod describe;
pub mod layout;
pub mod protocol;
pub mod selector;
pub mod server;
mod survey;
pub mod views;
