//! Large messages: what does not fit the extract travels in messages of its own, whole or in fragments, and is put
//! together again by the receiver (gp2gp reference §4).
//!
//! Pure, and never an attachment whole in memory: octets are pushed in and out in pieces. What goes on the wire around a
//! part, its HL7 payload and its envelope, is for `hl7` and `envelope`; what is kept where, for the store.
//!
//! Reading order: for the sender `plan` (what goes where), `gzip`, `skeleton` and `placeholder`; for the receiver
//! `inventory` (what is awaited), `timeout` (until when) and `join` (what came, put together).

mod base64_text;
mod gunzip;
pub mod gzip;
pub mod inventory;
pub mod join;
mod owner;
pub mod placeholder;
pub mod plan;
mod size;
pub mod skeleton;
pub mod timeout;
pub mod withhold;
