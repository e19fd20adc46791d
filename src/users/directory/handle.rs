//! [`Directory`]: the questions that a running server asks about users and credentials.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::follower::Follower;
use super::state::DirectoryState;
use crate::clock::WallClock;
use crate::config::CredentialsConfig;
use crate::limits::bans::BannedAddresses;
use crate::turn::Scope;
use crate::users::credentials::{self, Credentials};
use crate::users::password::{self, TurnKeys};
use crate::users::store::{Store, StoreError};

/// Without a successful poll for this time, the snapshot no longer counts as current.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// How long an operator waits for a database that does not answer.
const LONGEST_CATCH_UP: Duration = Duration::from_secs(5);

/// A cheap handle; clones share one snapshot.
#[derive(Debug, Clone)]
pub struct Directory(pub(super) Arc<DirectoryState>);

impl Directory {
    /// Reads the database once. [`Directory::follow`] keeps the result up to date.
    ///
    /// # Errors
    /// `StoreError::Database`.
    pub async fn open(store: &Store, config: &CredentialsConfig) -> Result<Self, StoreError> {
        let directory = Self(Arc::new(DirectoryState::new(store.snapshot().await?, config, SystemTime::now())));
        directory.load_usage(store).await?;
        Ok(directory)
    }

    /// Follows the database and never returns; abort the task to end it. Logs when reading begins to fail and when it works again.
    pub async fn follow(self, store: Store) {
        Follower::new(self.0, store).run().await;
    }

    /// Waits until [`Self::follow`] has read what was committed before, so that it is in force; 5 s at most. A caller that may be dropped here
    /// logs its change first.
    pub async fn catch_up(&self) {
        let (sender, read) = oneshot::channel();
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        self.0.wanted.notify_one();
        let _ = timeout(LONGEST_CATCH_UP, read).await;
    }

    /// The wall clock, which the caller watches from now on: it calls this again, and [`Self::note_clock_set`], when the clock was set.
    pub fn watch_clock(&self, clock: WallClock) {
        self.0.former_clocks.watch(clock);
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

    /// Credentials `EXPIRY:username` of `scope`, signed by the newest secret. `ttl` is clamped to a second at least and the longest ttl
    /// at most; `None` is the longest. Whether `username` may have them is for the caller to ask: [`Directory::trusted_scope`].
    pub fn issue(&self, username: &str, scope: Scope, ttl: Option<Duration>, now: SystemTime) -> Credentials {
        self.sign(username, scope, ttl, now).0
    }

    /// Credentials of scope clients and of the longest ttl, which stay good beyond it until [`Directory::end_lease`] of `username`.
    pub fn lease(&self, username: &str, now: SystemTime) -> Credentials {
        let (credentials, secret) = self.sign(username, Scope::Clients, None, now);
        self.0.leases.keep(username, &credentials, secret);
        credentials
    }

    /// The client whose credentials are leased as `username` belongs to the clients with the same number, until its lease ends.
    pub fn join_group(&self, username: &str, group: u64) {
        self.0.leases.join(username, group);
    }

    /// The client whose credentials were leased as `username` is gone: from now on their expiry counts.
    pub fn end_lease(&self, username: &str) {
        self.0.leases.end(username);
    }

    /// Also returns the number of the secret that signed, if it is one of the database.
    fn sign(&self, username: &str, scope: Scope, ttl: Option<Duration>, now: SystemTime) -> (Credentials, Option<i64>) {
        let ttl = ttl.unwrap_or(self.0.longest).clamp(Duration::from_secs(1), self.0.longest);
        let snapshot = self.0.snapshot.load();
        let (secret, id) = match self.0.configured.first() {
            Some(secret) => (secret, None),
            None => {
                let newest = snapshot.secrets.first().expect("a snapshot without a secret is an error");
                (&newest.value, Some(newest.id))
            }
        };
        (credentials::issue(secret.expose(), scope, username, ttl, now), id)
    }

    /// The number of the database's secret that signs; `None`: a configured one signs.
    pub fn signing_secret(&self) -> Option<i64> {
        let snapshot = self.0.snapshot.load();
        snapshot.secrets.first().filter(|_| self.0.configured.is_empty()).map(|secret| secret.id)
    }

    /// Whether there is an enabled user of this scope.
    pub fn has_user_of(&self, scope: Scope) -> bool {
        self.0.snapshot.load().users.values().any(|user| user.enabled && user.scope == scope)
    }

    /// Whether `user` is an enabled user.
    pub fn is_allowed(&self, user: &str) -> bool {
        self.0.snapshot.load().users.get(user).is_some_and(|user| user.enabled)
    }

    /// Whether `user` is a user who was disabled.
    pub fn is_disabled(&self, user: &str) -> bool {
        self.0.snapshot.load().users.get(user).is_some_and(|user| !user.enabled)
    }

    /// Whether the relay refuses `name` in `scope`, and ends its allocations: the user of this scope and name was disabled, removed, or
    /// given another scope, or the name is banned or an operator's.
    pub fn is_refused(&self, scope: Scope, name: &str) -> bool {
        self.0.snapshot.load().is_refused(scope, name)
    }

    /// The addresses that are not served.
    pub fn banned_addresses(&self) -> &BannedAddresses {
        &self.0.banned
    }

    /// Whether the user of this name is banned.
    pub fn is_banned(&self, name: &str) -> bool {
        self.0.snapshot.load().is_banned(name)
    }

    /// Whether `name` is a banned user with this password.
    pub fn is_banned_with_password(&self, name: &str, password: &str) -> bool {
        let snapshot = self.0.snapshot.load();
        let user = snapshot.users.get(name).filter(|_| snapshot.is_banned(name));
        user.is_some_and(|user| password::has_key(name, &user.realm, password, &user.prepared))
    }

    /// The scope of credentials for `name` that a trusted caller gets: that of the user, or anyone where there is no user of this name.
    /// `None`: the user was disabled or removed.
    pub fn trusted_scope(&self, name: &str) -> Option<Scope> {
        let snapshot = self.0.snapshot.load();
        let scope = snapshot.users.get(name).map_or(Scope::Anyone, |user| user.scope);
        (!snapshot.is_refused(scope, name)).then_some(scope)
    }

    /// The scope of the enabled user of this name, if the password is right. The time does not tell unknown and disabled users from
    /// others.
    pub fn scope_of_password(&self, name: &str, password: &str) -> Option<Scope> {
        let snapshot = self.0.snapshot.load();
        let user = snapshot.users.get(name);
        let realm = user.map_or(&*snapshot.usual_realm, |user| &user.realm);
        let nobodys = TurnKeys { md5: [0; 16], sha256: [0; 32] };
        let right = password::has_key(name, realm, password, user.map_or(&nobodys, |user| &user.prepared));
        user.filter(|user| right && user.enabled).map(|user| user.scope)
    }

    /// A number that changes with the password of the enabled user of this name; `None`: there is no such user. Without `key` it tells nothing
    /// of the password.
    pub fn password_stamp(&self, name: &str, key: &[u8; 32]) -> Option<u64> {
        let snapshot = self.0.snapshot.load();
        let user = snapshot.users.get(name).filter(|user| user.enabled)?;
        Some(credentials::stamp(key, name, &user.prepared.sha256))
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
}
