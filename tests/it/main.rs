//! One binary for all integration tests, a file a capability.

#![allow(clippy::unwrap_used, reason = "the panic is the test's failure")]

mod credentials;
mod support;
mod users;
