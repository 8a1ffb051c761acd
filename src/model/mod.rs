//! The words everything else is said in: identifiers that are checked when they are made.
//!
//! Nothing here reads a clock, draws a random number or touches a file. Identifiers of people do not print:
//! see [`NhsNumber`].

mod address;
mod id;
mod nhs_number;
mod timestamp;

pub use address::{Asid, CpaId, InvalidAddress, OdsCode, PartyKey};
pub use id::{ConversationId, EventId, InvalidId, MessageId, TransferId, derived_uuid};
pub use nhs_number::{InvalidNhsNumber, NhsNumber};
pub use timestamp::{InvalidTimestamp, Timestamp, london};
