//! Large messages: what does not fit the extract travels in messages of its own, whole or in fragments, and is put
//! together again by the receiver (gp2gp reference §4).
//!
//! Pure, and never an attachment whole in memory: octets are pushed in and out in pieces. What goes on the wire around a
//! part, its HL7 payload and its envelope, is for `hl7` and `envelope`; what is kept where, for the store.
//!
//! Reading order. The sender first: `withhold` (what the receiver could not take) and `placeholder` (what stands for it),
//! `plan` (what goes where), `skeleton` and `gzip`. Then the receiver: `inventory` (what is awaited), `join` (what came, put together), and `skeleton` again.

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
pub mod withhold;
