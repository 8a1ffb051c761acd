//! Large messages as others sent them, joined in every order of arrival, damaged in every way, and our own, packed.
//!
//! The fixtures are in `../shared`; where they are missing a test says that it skipped.

mod desk;
mod memory;
mod packing;
mod received;
mod skeletons;
