//! The SQLite file, and all SQL of this program.
//!
//! - Owner: a [`Store`] in the server, and one in each command. Any number of processes may use one file at a time.
//! - Inputs: checked values ([`UserName`](super::UserName), [`PasswordKeys`](super::PasswordKeys)), bound as parameters.
//! - Outputs: rows, a [`Snapshot`] of everything that a server needs, and a [`ChangeWatcher`] that notices changes.
//! - Invariant: a method that returns `Ok` has committed: neither SIGKILL nor a power cut takes its change back.
//!
//! `database_file` creates and opens the file, `lock_file` is what a server locks, `schema` has the steps of the database's schema, `own_schema`
//! compares a file with them, `backup_values` looks for values that no server could run with, `connection` holds it, and `users`, `operators`,
//! `bans`, `secrets`, `server`, `checks`, `usage` and `backup` have the statements of their tables. [`OpenError`] says why the file can't be opened
//! and what to do; [`StoreError`] says why a statement failed.

mod backup;
mod backup_values;
mod bans;
mod checks;
mod connection;
mod database_file;
mod error;
mod kept_files;
mod lock_file;
mod operators;
mod own_schema;
mod rows;
mod schema;
mod secrets;
mod server;
mod snapshot;
mod usage;
mod users;

pub use backup::{BackupError, BackupRecord};
pub use backup_values::ValueError;
pub use checks::{CheckKind, KeptCheck};
pub use connection::Store;
pub use database_file::{DATABASE_FILE_NAME, OpenError};
pub use error::StoreError;
pub use kept_files::{KeptFile, KeptFiles, KeptFilesError, MAX_KEPT_FILE_BYTES};
pub use own_schema::SchemaError;
pub use rows::{KeptBan, OperatorInfo, SecretInfo, Snapshot, SnapshotOperator, SnapshotUser, UserInfo};
pub(in crate::users) use snapshot::ChangeWatcher;
pub use usage::MAX_USAGE_ROWS;

#[cfg(test)]
mod tests;
