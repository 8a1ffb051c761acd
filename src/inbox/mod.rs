//! The HTTPS endpoint other parties post to: arrivals are read whole, checked, made durable through the engine's
//! front, and only then answered.

pub mod answer;
mod aside;
pub mod judge;
mod reception;
mod room;
mod server;
mod signals;
mod tell;
mod wire;

pub use aside::Aside;
pub use reception::{OwnSignal, Reception};
pub use server::{Caller, Desk, HttpAnswer, Inbox, InboxLimits, Posted};
pub use signals::post_signals;
pub use wire::{ACTIONS, Wire};
