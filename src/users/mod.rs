//! Users of the relay, the secrets that sign time-limited credentials, and keys that the server generated for itself.
//!
//! - Owner: [`Store`] owns the SQLite file and all SQL; the command line writes through it. [`Directory`] is what a running server
//!   asks: an in-memory snapshot of the file that follows it.
//! - Inputs: commands (`castway user`, `castway secret`), settings, and TURN usernames.
//! - Outputs: [`Credentials`] for clients, and long-term keys (RFC 8489 §9.2.2) for the relay.
//! - Invariant: no request and no packet waits for the disk.
//!
//! `usage` counts what users relay, for whom `directory` names the accounts.
//!
//! A login to the relay passes from `directory` (which secrets and users may be meant) through `credentials` (username to password to
//! key), `leases` (credentials of connected clients outlive their expiry) and `former_clocks` (the clock was set in between).

pub mod ban;
pub mod blocking;
pub mod credentials;
mod directory;
mod former_clocks;
pub mod kept_checks;
mod leases;
mod name;
mod password;
pub mod password_checks;
mod realm_mismatches;
mod scope;
mod store;
pub mod usage;
mod user_passwords;

pub use ban::{BanTarget, ProtectedNetworks};
pub use credentials::Credentials;
pub use directory::{Directory, Login};
pub use kept_checks::KeptChecks;
pub use name::{NameError, UserName, check_requested};
pub use password::{ImportedKey, KnownKeys, OperatorPassword, PasswordError, PasswordKeys, generate_password, looks_generated};
pub use password_checks::{Busy, PasswordChecks};
pub use realm_mismatches::RealmMismatches;
pub use scope::{SCOPE_NAMES, scope_name, scope_named};
pub use store::{
    BackupError, BackupRecord, CheckKind, DATABASE_FILE_NAME, KeptBan, KeptCheck, KeptFile, KeptFiles, KeptFilesError,
    MAX_KEPT_FILE_BYTES, MAX_USAGE_ROWS, OpenError, OperatorInfo, SchemaError, SecretInfo, Snapshot, SnapshotOperator,
    SnapshotUser, Store, StoreError, UserInfo, ValueError,
};
pub use user_passwords::{PasswordRefusal, UserPasswords};
