//! The credentials that an engine accepts (RFC 8489 §9.2). The engine asks a [`CredentialSource`], which the shell implements.

use std::sync::Arc;
use std::time::Instant;

use super::codec::integrity::{LongTermKey, PasswordAlgorithm};
use super::refusal::CredentialRefusal;
use super::user_account::UserAccount;

/// The peers that the allocations of a credential may exchange data with. The key that verifies a request decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Live relayed addresses of this server, and nothing else. Strangers get credentials of this scope.
    Clients,
    /// Every peer that the policy permits.
    Anyone,
    /// The address that the Allocate came from, and nothing else: a device that is being checked sends to its own relayed address. Never
    /// an address of this machine, and nothing that the policy denies to [`Self::Anyone`].
    OwnAddress,
}

/// Looks up users. An engine calls it on its shard's thread, so it must not block.
pub trait CredentialSource: Send + Sync {
    /// The keys of this username at `now`; `None` where the username is unknown, expired, malformed or disabled.
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys>;

    /// Why a request was refused that none of [`Self::user_keys`] has signed. An unknown user takes as long as a known one.
    fn evidence(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> CredentialEvidence {
        let _ = (username, realm, algorithm, now);
        CredentialEvidence { keys: Vec::new(), otherwise: CredentialRefusal::WrongPassword }
    }

    /// Whether the password of this username may be one that a person chose. A password derived from a secret of at least
    /// [`MIN_UNGUESSABLE_SECRET_BYTES`](crate::config::secret::MIN_UNGUESSABLE_SECRET_BYTES) cannot be found by trying, so a client
    /// with such a username is never throttled because others behind its address have sent wrong passwords.
    fn is_guessable(&self, username: &str) -> bool {
        let _ = username;
        true
    }

    /// Whether the client that was given the credentials of this username, [`UserKeys::leased`], is still there. Once it is gone,
    /// the expiry of the credentials counts.
    fn is_leased(&self, username: &str) -> bool {
        let _ = username;
        false
    }

    /// A client has authenticated with a key of this username.
    fn authenticated(&self, username: &str) {
        let _ = username;
    }

    /// The account of a [`UserKeys::user`] that begins to have allocations. It counts what they relay, and says when the user may relay
    /// no more.
    fn account(&self, scope: Scope, user: &str) -> Arc<UserAccount> {
        let _ = (scope, user);
        Arc::default()
    }

    /// The username behind a USERHASH (RFC 8489 §14.4), where the source can enumerate its users.
    fn username_of(&self, userhash: &[u8; 32], realm: &str) -> Option<String> {
        let _ = (userhash, realm);
        None
    }
}

/// What tells why a request was refused.
#[derive(Debug, Clone)]
pub struct CredentialEvidence {
    /// Keys that are not accepted, each with the reason: a request that one of them has signed is genuine.
    pub keys: Vec<(LongTermKey, CredentialRefusal)>,
    /// The reason where none of these has signed the request.
    pub otherwise: CredentialRefusal,
}

/// The keys of one username.
#[derive(Debug, Clone)]
pub struct UserKeys {
    /// The user's name: for the username `EXPIRY:user`, the part behind the colon. Quotas and `revoke` refer to the name together
    /// with the scope, so that a stranger who calls himself alice is not the user alice.
    pub user: String,
    /// A request may be signed with any of these: one key for each live secret and scope, or for each way to prepare the password.
    pub keys: Vec<(Scope, LongTermKey)>,
    /// When the credentials expire. Whether a live allocation then ends is a setting.
    pub expires: Option<Instant>,
    /// The credentials are those of a connected client: see [`CredentialSource::is_leased`].
    pub leased: bool,
    /// Clients with the same number belong together, as the seats of a room do: see [`super::Engine`]'s rule about contacts.
    pub group: Option<u64>,
}
