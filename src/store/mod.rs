//! The only place that knows the database. Outside it is a few verbs on tables of keys and values, and a vault of
//! sealed bytes.
//!
//! sled's own `flush` does not survive a power cut; here every commit is one batch, one flush, and one `fdatasync` of
//! the log by our own handle, after the folder and its files were synced once at creation.

mod database;
mod export;
mod keyring;
mod seal;
mod segment;
mod vault;

pub use database::{Changes, Options, Space, Store, StoreError, Sync, Table};
pub use export::{ExportError, ImportError, export, import};
pub use keyring::{Keyring, KeyringError};
pub use vault::{SealedRef, Vault, VaultError};
