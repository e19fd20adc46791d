//! The credentials that an engine accepts (RFC 8489 §9.2). The engine asks a [`CredentialSource`], which the shell implements.

use std::time::Instant;

use super::codec::integrity::{LongTermKey, PasswordAlgorithm};

/// Looks up users. An engine calls it on its shard's thread, so it must not block.
pub trait CredentialSource: Send + Sync {
    /// The keys of this username at `now`; `None` where the username is unknown, expired, malformed or disabled.
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys>;

    /// Whether the password of this username may be one that a person chose. A password derived from a secret of at least
    /// [`MIN_UNGUESSABLE_SECRET_BYTES`](crate::config::secret::MIN_UNGUESSABLE_SECRET_BYTES) cannot be found by trying, so a client
    /// with such a username is never throttled because others behind its address have sent wrong passwords.
    fn is_guessable(&self, username: &str) -> bool {
        let _ = username;
        true
    }

    /// A client has authenticated with a key of this username.
    fn authenticated(&self, username: &str) {
        let _ = username;
    }

    /// The username behind a USERHASH (RFC 8489 §14.4), where the source can enumerate its users.
    fn username_of(&self, userhash: &[u8; 32], realm: &str) -> Option<String> {
        let _ = (userhash, realm);
        None
    }
}

/// The keys of one username.
#[derive(Debug, Clone)]
pub struct UserKeys {
    /// The user that quotas and `revoke` refer to: for the username `EXPIRY:user`, the part behind the colon.
    pub user: String,
    /// A request may be signed with any of these: one key for each live secret, or for each way to prepare the password.
    pub keys: Vec<LongTermKey>,
    /// When the credentials expire. Whether a live allocation then ends is a setting.
    pub expires: Option<Instant>,
}
