//! What a user uses of the server: allocations, bandwidth, and an account of bytes.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use super::credentials::Scope;
use super::rate_limit::Bandwidth;
use super::user_account::UserAccount;

/// A user is a name together with the scope of the credentials: a stranger who calls himself alice is not the user alice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) scope: Scope,
    pub(super) name: Box<str>,
}

/// A user with at least one allocation.
#[derive(Debug)]
pub(super) struct UserUsage {
    pub(super) identity: Identity,
    /// Changed under the lock of [`super::SharedState`] alone.
    pub(super) allocations: AtomicU32,
    pub(super) bandwidth: Bandwidth,
    pub(super) account: Arc<UserAccount>,
}

/// A user in a set, by identity.
#[derive(Debug)]
pub(super) struct ByIdentity(pub(super) Arc<UserUsage>);

impl Borrow<Identity> for ByIdentity {
    fn borrow(&self) -> &Identity {
        &self.0.identity
    }
}

impl PartialEq for ByIdentity {
    fn eq(&self, other: &Self) -> bool {
        self.0.identity == other.0.identity
    }
}

impl Eq for ByIdentity {}

impl Hash for ByIdentity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.identity.hash(state);
    }
}
