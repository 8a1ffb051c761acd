//! What travels between practices: XML read strictly, made canonical, signed and verified.
//!
//! Pure: bytes in, bytes or a reasoned refusal out. No clock, no files, no sockets.

pub mod canonical;
pub mod description;
pub mod fingerprint;
pub mod hl7;
pub mod mime;
pub mod signature;
pub mod xml;
