//! Everything that is tested from outside, one file an idea.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

mod contract;
mod intake;
mod rabbit;
