//! The COPC, COPC_IN000001UK01: the requester's leave to send parts (M4), and the parts themselves: a document, the index
//! of one that was cut up, and its pieces (M5, M6a, M6b; wire reference §4.3).
//!
//! What a part carries travels beside this payload and is not looked at here.

mod read;
mod write;

pub use read::{Acknowledged, CopcKind, ReadCopc};
pub use write::{Copc, CopcContent, fragment_name};

/// The interaction, and so the name of the root element.
const INTERACTION: &str = "COPC_IN000001UK01";

#[cfg(test)]
mod tests;
