//! Everything that is tested from outside, one file an idea.

mod contract;
mod intake;
mod rabbit;
