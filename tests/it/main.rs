//! Everything that needs the crate from outside, a process, a socket or a real tool.

mod config;
mod json_schema;
mod service;
