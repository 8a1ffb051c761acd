//! Throughcare carries a patient's record between custody and the community GP, the GP2GP way.
//!
//! # One direction
//!
//! A custody event comes in by [`intake`] (RabbitMQ or a spool folder), a message by [`inbox`] (HTTPS), a question or an
//! act by [`control`] (a Unix socket). Each becomes an input of the [`engine`], the one writer: it steps the transfers
//! concerned ([`transfer`], pure), writes one commit to the [`store`], and only then answers whoever asked. What is to
//! be done outside comes back as orders, which [`perform`] carries out: fetch the record ([`records`]), map it
//! ([`extract`]), sign and seal it ([`packet`], [`store`]), send it ([`transport`]). Every result goes in through the
//! same front door. Outcomes wait in an outbox, written in the same commit, until the broker or the spool has them.
//!
//! Orders come only from deadlines that have passed. So a crash needs no special code: the state is reloaded, its
//! deadline has passed, and the work is ordered again; an attempt that was under way is known to be in doubt.
//!
//! # The modules, in reading order
//!
//! [`model`] the words. [`transfer`] what a transfer is and how it changes. [`extract`] the record as an EHR extract, and back.
//! [`packet`] messages, signed and verified. These are pure: no clock, no randomness but a signature's nonce, no IO.
//! Then [`clock`], [`config`], [`telemetry`], which any IO module may use; [`store`], [`engine`], [`directory`],
//! [`records`], [`transport`], [`perform`], [`intake`], [`inbox`], [`control`], [`daemon`], [`cli`]. A module uses those
//! above it and none below; `tests/it/tidy.rs` holds the arrows.
//!
//! # What is deliberately absent
//!
//! - A second writer. Nothing but the engine changes the store; nothing is acknowledged before it is durable.
//! - A patient in a log, metric, error or file name. Types that identify a person do not print.
//! - Moves, corrections and deaths: kept and shown as `noted`.
//! - Editing what is sent. A retry sends the same bytes; a new envelope goes round the same HL7 octets.
//! - A network port for operators, a second crypto stack, and `unsafe`.

pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
pub mod directory;
pub mod engine;
pub mod extract;
pub mod inbox;
pub mod intake;
pub mod model;
pub mod packet;
pub mod perform;
pub mod records;
pub mod store;
pub mod telemetry;
pub mod transfer;
pub mod transport;
