//! Whole-system tests, and comparisons with other people's programs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod canonical;
<<<<<<< HEAD
mod config;
mod json_schema;
mod service;
=======
mod network;
>>>>>>> net
mod signatures;
mod tidy;
mod tools;
