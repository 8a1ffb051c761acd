//! Whole-system tests, and comparisons with other people's programs.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod bad_input;
mod bad_records;
mod canonical;
mod changed_plan;
mod check;
mod config;
mod contract;
mod control;
mod crash;
mod demonstration;
mod dice;
mod exact;
mod extract_command;
mod extracts;
mod fragments;
#[path = "../fuzz/mod.rs"]
mod fuzz;
mod gate;
mod generated;
mod intake;
mod json_schema;
mod labels;
mod network;
mod packet_export;
mod packet_file;
mod powercut;
mod privacy;
mod profile;
mod rabbit;
mod reading;
mod receipts;
mod refusals;
mod round_trip;
mod scores;
mod service;
mod signatures;
mod simulation;
mod site;
mod sites;
mod storage;
mod tidy;
mod tools;
mod unchanged;
mod wire;
mod wire_messages;
