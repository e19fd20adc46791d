//! [`Directory`]: the questions that a running server asks about users and credentials.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use super::follower::Follower;
use super::state::DirectoryState;
use crate::config::{CredentialsConfig, TurnAccess};
use crate::users::credentials::{self, CLOCK_SLACK, Credentials, TimeLimitedUsername};
use crate::users::password;
use crate::users::store::{SnapshotUser, Store, StoreError};

/// Without a successful poll for this time, the snapshot no longer counts as current.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// A cheap handle; clones share one snapshot.
#[derive(Debug, Clone)]
pub struct Directory(pub(super) Arc<DirectoryState>);

/// A source of the long-term key of a TURN username.
enum KeySource<'a> {
    /// The password of time-limited credentials.
    Password(String),
    /// A user's stored keys.
    Keys(&'a SnapshotUser),
}

impl Directory {
    /// Reads the database once. [`Directory::follow`] keeps the result up to date.
    ///
    /// # Errors
    /// `StoreError::Database`.
    pub async fn open(store: &Store, config: &CredentialsConfig) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(DirectoryState::new(store.snapshot().await?, config))))
    }

    /// Follows the database and never returns; abort the task to end it. Logs when reading begins to fail and when it works again.
    pub async fn follow(self, store: Store) {
        Follower::new(self.0, store).run().await;
    }

    /// The wall clock was set by `by` seconds, negative for back, and says `now`. Credentials that were issued before keep their
    /// lifetime, and the times that this run has written to the database move with the clock.
    pub fn note_clock_set(&self, by: i64, now: SystemTime) {
        self.0.former_clocks.note_set(by, now, self.0.longest);
        self.0.jumps.lock().unwrap_or_else(PoisonError::into_inner).push(by);
    }

    /// Whether the database could be read within the last seconds.
    pub fn is_fresh(&self) -> bool {
        self.0.last_poll.load().elapsed() < STALE_AFTER
    }

    /// Whether the opened file is still the one that commands, backups and the next start will open.
    pub fn is_in_place(&self) -> bool {
        !self.0.displaced.load(Ordering::Relaxed)
    }

    /// A number that grows with each change of the snapshot.
    pub fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::Acquire)
    }

    /// Credentials `EXPIRY:username`, signed by the newest secret. `ttl` is clamped to a second at least and the longest ttl at
    /// most; `None` is the longest. Whether `username` may have them is for the caller to ask: [`Directory::grants`].
    pub fn issue(&self, username: &str, ttl: Option<Duration>, now: SystemTime) -> Credentials {
        self.sign(username, ttl, now).0
    }

    /// Credentials of the longest ttl, which stay good beyond it until [`Directory::end_lease`] of `username`.
    pub fn lease(&self, username: &str, now: SystemTime) -> Credentials {
        let (credentials, secret) = self.sign(username, None, now);
        self.0.leases.keep(username, &credentials, secret);
        credentials
    }

    /// The client whose credentials were leased as `username` is gone: from now on their expiry counts.
    pub fn end_lease(&self, username: &str) {
        self.0.leases.end(username);
    }

    /// Also returns the number of the secret that signed, if it is one of the database.
    fn sign(&self, username: &str, ttl: Option<Duration>, now: SystemTime) -> (Credentials, Option<i64>) {
        let ttl = ttl.unwrap_or(self.0.longest).clamp(Duration::from_secs(1), self.0.longest);
        let snapshot = self.0.snapshot.load();
        let (secret, id) = match self.0.configured.first() {
            Some(secret) => (secret, None),
            None => {
                let newest = snapshot.secrets.first().expect("a snapshot without a secret is an error");
                (&newest.value, Some(newest.id))
            }
        };
        (credentials::issue(secret.expose(), username, ttl, now), id)
    }

    /// The number of the database's secret that signs; `None`: a configured one signs.
    pub fn signing_secret(&self) -> Option<i64> {
        let snapshot = self.0.snapshot.load();
        snapshot.secrets.first().filter(|_| self.0.configured.is_empty()).map(|secret| secret.id)
    }

    /// The MD5 long-term keys H(A1) that a request of this USERNAME may be authenticated with, the likeliest first; empty for
    /// a username that may not log in. There are several if several secrets are live, since each makes another key.
    ///
    /// Time-limited usernames must expire after `now` (those of a configured secret: not long before it) and within the longest ttl
    /// unless they are leased, and their user must be neither disabled nor removed; other usernames must be those of enabled users
    /// whose password was set for `realm`.
    pub fn long_term_keys(&self, username: &str, realm: &str, now: SystemTime) -> Vec<[u8; 16]> {
        let md5 = |source: KeySource<'_>| match source {
            KeySource::Password(password) => credentials::h_a1_md5(username, realm, &password),
            KeySource::Keys(user) => user.h_a1_md5,
        };
        self.keys_of(username, realm, now, md5)
    }

    /// As [`Directory::long_term_keys`], for PASSWORD-ALGORITHM SHA-256 (RFC 8489, 18.5.1).
    pub fn long_term_keys_sha256(&self, username: &str, realm: &str, now: SystemTime) -> Vec<[u8; 32]> {
        let sha256 = |source: KeySource<'_>| match source {
            KeySource::Password(password) => credentials::h_a1_sha256(username, realm, &password),
            KeySource::Keys(user) => user.h_a1_sha256,
        };
        self.keys_of(username, realm, now, sha256)
    }

    /// Whether a user has exactly this name, and so logs in with a password.
    pub fn has_password(&self, username: &str) -> bool {
        self.0.snapshot.load().users.contains_key(username)
    }

    /// Bytes of the shortest secret that may have signed time-limited credentials.
    pub fn shortest_secret(&self) -> usize {
        let snapshot = self.0.snapshot.load();
        let of_database = snapshot.secrets.iter().map(|secret| &secret.value).filter(|_| self.0.configured.is_empty());
        of_database.chain(&self.0.configured).map(|secret| secret.expose().len()).min().unwrap_or(usize::MAX)
    }

    /// How long after `now` credentials of this TURN username are good. Leased credentials count as new ones.
    pub fn remaining_lifetime(&self, username: &str, now: SystemTime) -> Option<Duration> {
        let name = TimeLimitedUsername::parse(username)?;
        if self.0.leases.password(name.user, username).is_some() {
            return Some(self.0.longest);
        }
        // Credentials that are accepted although they have just expired end with the slack.
        let left = |now| {
            let ends = if name.expiry > now { name.expiry } else { name.expiry.saturating_add(CLOCK_SLACK.as_secs()) };
            ends.saturating_sub(now)
        };
        let by = self.0.former_clocks.readings(now).into_iter().filter(|now| self.0.is_unexpired(&name, *now));
        let lives = by.map(|now| left(credentials::unix_seconds(now)));
        Some(Duration::from_secs(lives.max().unwrap_or_else(|| left(credentials::unix_seconds(now)))))
    }

    /// A request was authenticated with this TURN username. Credentials of another issuer that live longer than ours ever do are
    /// logged once a day.
    pub fn note_long_lived(&self, username: &str, now: SystemTime) {
        if self.0.configured.is_empty() {
            return;
        }
        let Some(name) = TimeLimitedUsername::parse(username) else { return };
        let now = credentials::unix_seconds(now);
        let left = name.expiry.saturating_sub(now);
        if left > (self.0.longest + CLOCK_SLACK).as_secs() && self.0.long_life_log.is_due(Duration::from_secs(now)) {
            tracing::warn!(
                user = ?name.user,
                days = left / 86_400,
                "credentials that another issuer signed with CASTWAY_STATIC_AUTH_SECRET live longer than CASTWAY_TTL; \
                 CASTWAY_MAX_FOREIGN_TTL limits their life"
            );
        }
    }

    /// Whether `user` is an enabled user.
    pub fn is_allowed(&self, user: &str) -> bool {
        self.0.snapshot.load().users.get(user).is_some_and(|user| user.enabled)
    }

    /// Whether `user` is a disabled user, or one that was removed not long ago.
    pub fn is_refused(&self, user: &str) -> bool {
        self.0.snapshot.load().is_refused(user)
    }

    /// Whether `user` may have credentials where `access` says who may; API keys are another matter.
    pub fn grants(&self, access: TurnAccess, user: &str) -> bool {
        match access {
            TurnAccess::Users | TurnAccess::Key => self.is_allowed(user),
            // The relay would refuse the credentials of refused users.
            TurnAccess::Open => !self.is_refused(user),
        }
    }

    /// Whether `user` is a user who was disabled.
    pub fn is_disabled(&self, user: &str) -> bool {
        self.0.snapshot.load().users.get(user).is_some_and(|user| !user.enabled)
    }

    /// Whether an allocation that was authenticated with this TURN username may continue: its user is neither disabled nor removed.
    /// The expiry is not checked.
    pub fn may_continue(&self, username: &str) -> bool {
        let snapshot = self.0.snapshot.load();
        match (snapshot.users.get(username), TimeLimitedUsername::parse(username)) {
            (Some(user), _) => user.enabled,
            (None, Some(name)) => !snapshot.is_refused(username) && !snapshot.is_refused(name.user),
            (None, None) => false,
        }
    }

    /// Whether `user` is an enabled administrator with this password. Takes tens of milliseconds and 19 MiB whatever the answer,
    /// so call it outside the runtime's threads.
    pub fn is_admin(&self, user: &str, password: &str) -> bool {
        let snapshot = self.0.snapshot.load();
        let hash = snapshot.users.get(user).filter(|user| user.enabled).and_then(|user| user.admin.as_ref());
        password::verify(password, hash.map(|hash| hash.expose().as_str()))
    }

    /// The enabled users who can't log in to a relay of this realm with their password, because it was set for another one; by
    /// name.
    pub fn users_of_other_realms(&self, realm: &str) -> Vec<String> {
        let snapshot = self.0.snapshot.load();
        let others = snapshot.users.iter().filter(|(_, user)| user.enabled && user.realm != realm);
        let mut names: Vec<String> = others.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    fn keys_of<K>(&self, username: &str, realm: &str, now: SystemTime, key: impl Fn(KeySource<'_>) -> K) -> Vec<K> {
        let snapshot = self.0.snapshot.load();
        let mut keys = Vec::new();
        if let Some(name) = TimeLimitedUsername::parse(username).filter(|name| !snapshot.is_refused(name.user)) {
            for secret in self.0.verifying(&snapshot, &name, now) {
                keys.push(key(KeySource::Password(credentials::password(secret.expose(), username))));
            }
            if let Some(leased) = self.0.leases.password(name.user, username) {
                keys.push(key(KeySource::Password(leased.expose().clone())));
            }
        }
        if let Some(user) = snapshot.users.get(username).filter(|user| user.enabled && user.realm == realm) {
            keys.push(key(KeySource::Keys(user)));
        }
        keys
    }
}
