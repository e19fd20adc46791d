//! The users and secrets that a running server knows.
//!
//! - Owner: a [`Directory`], a cheap handle over an in-memory snapshot. Its follower, one task, is the only writer of the snapshot.
//! - Inputs: the database, polled four times a second; the settings; and jumps of the wall clock.
//! - Outputs: credentials that are signed, long-term keys for the relay, and who may have which.
//! - Invariants: no question waits for the disk. A database that is locked, full or broken leaves the last snapshot in force.
//!
//! A change that `castway user` commits is found by `follower` (within a second, or at once where [`Directory::catch_up`] waits for it),
//! which stores a new snapshot in `state`; `handle`, for `/admin` `operators` and for the relay `logins` answer from there, and `evidence`
//! says why the relay refuses a login.

mod evidence;
mod follower;
mod handle;
mod logins;
mod operators;
mod state;
mod usage;

pub use handle::Directory;
pub use logins::Login;

#[cfg(test)]
mod ban_tests;
#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod operator_tests;
#[cfg(test)]
mod reason_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod usage_tests;
