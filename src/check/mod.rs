//! `/check`: a device that somebody holds tests the ways to this server, and the operator reads the verdict.
//!
//! - Owner: `app` builds one [`Checks`], merges [`routes::router`] into the routes of the HTTP port, and hands clones to whoever makes
//!   keys and waits for results (the control socket).
//! - Inputs: keys that the operator asked for; the requests of devices with a [`crate::http::client_info::ClientInfo`] in their
//!   extensions; what the relay has seen of them ([`crate::diagnosis::watch`]); facts about this server.
//! - Outputs: TURN credentials for the tests, messages between two devices, verdicts, and results that are kept.
//!
//! `key_table` has the keys, `sessions` the sessions that keys start, each with one device or two, [`tests_of_device`] what a device
//! is to test, and [`checks`] holds them together under one lock.
//!
//! Invariants: a key starts one session, by the POST of the page's button and never by a GET; nothing is awaited under the lock; keys,
//! sessions, messages and results are bounded in number and in bytes; neither a key nor a secret is logged.

pub mod checks;
mod key_table;
mod refusal;
pub mod routes;
mod sessions;
pub mod tests_of_device;

pub use checks::{CheckKey, CheckParts, Checks};
pub use tests_of_device::RangeTest;
