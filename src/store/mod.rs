//! The only place that knows the database. Outside it is a few verbs on tables of keys and values, and a vault of
//! sealed bytes.
//!
//! sled's own `flush` does not survive a power cut; here every commit is one batch, one flush, and one `fdatasync` of
//! the log by our own handle, after the folder and its files were synced once at creation.

mod database;
mod export;
mod folder;
mod group;
mod keyring;
mod reference;
mod seal;
mod segment;
mod snapshot;
mod table;
mod vault;

pub use database::{LARGEST_VALUE, Options, Space, Store, StoreError, Sync};
pub use export::{ExportError, ImportError, export, import};
pub use group::{Extent, GroupSync};
pub use keyring::{Keyring, KeyringError};
pub use reference::SealedRef;
pub use snapshot::Snapshot;
pub use table::{Changes, Table};
pub use vault::{LARGEST_READ, LARGEST_RECORD, Unsealed, Vault, VaultError};
