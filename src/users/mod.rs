//! Who may use the relay: users, the secrets that sign time-limited credentials, and keys the server made for itself.
//!
//! [`Store`] owns the SQLite file and all SQL; the command line writes through it. [`Directory`] is what a running server asks:
//! an in-memory snapshot of the file that follows it, so that no request and no packet ever waits for the disk.

pub mod credentials;
mod directory;
mod former_clocks;
mod leases;
mod name;
mod open;
mod other_realms;
mod password;
mod store;

pub use credentials::Credentials;
pub use directory::Directory;
pub use name::{NameError, UserName, check_requested};
pub use open::OpenError;
pub use other_realms::OtherRealms;
pub use password::{PasswordError, PasswordKeys};
pub use store::{SecretInfo, Snapshot, SnapshotUser, Store, StoreError, UserInfo};
