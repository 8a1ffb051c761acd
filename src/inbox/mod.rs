//! The HTTPS endpoint other parties post to: arrivals are read whole, checked, made durable through the engine's
//! front, and only then answered.

mod server;

pub use server::{Caller, Desk, HttpAnswer, Inbox, InboxLimits, Posted};
