//! The one integration binary: a file a capability.

#![allow(clippy::unwrap_used, reason = "a test's helper fails like its test")]

mod credentials;
mod relay;
mod support;
mod tidy;
mod users;
