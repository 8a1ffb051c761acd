//! Everything that needs the crate from outside, a process, a socket or a real tool.
#![allow(clippy::unwrap_used, reason = "a test stops at its first surprise")]

mod canonical;
mod config;
mod json_schema;
mod network;
mod service;
mod signatures;
mod tidy;
mod tools;
mod wire;
