//! What a user uses of the server: allocations and bandwidth.

use std::sync::atomic::AtomicU32;

use super::credentials::Scope;
use super::rate_limit::Bandwidth;

/// A user with at least one allocation.
#[derive(Debug)]
pub(super) struct UserUsage {
    pub(super) scope: Scope,
    pub(super) name: Box<str>,
    /// Changed under the lock of [`super::SharedState`] alone.
    pub(super) allocations: AtomicU32,
    pub(super) bandwidth: Bandwidth,
}
