//! Signatures against `xmlsec1`, both ways, and against every attack of the wire reference.

pub mod made;
pub mod ours;
mod receipts;
mod tampered;
mod theirs;
