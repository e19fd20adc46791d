//! What a running server knows of users and secrets.
//!
//! A [`Directory`] is a cheap handle over an in-memory snapshot; no question it answers waits for the disk. [`Directory::follow`]
//! replaces the snapshot when anybody, the command line included, has written to the database. A database that is locked, full
//! or broken leaves the last snapshot in force.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;

use super::credentials::{self, CLOCK_SLACK, Credentials, RestName};
use super::former_clocks::FormerClocks;
use super::leases::Leases;
use super::password;
use super::store::{SecretInfo, Snapshot, SnapshotUser, Store, StoreError, Watch};
use crate::config::secret::Secret;
use crate::config::{CredentialsConfig, LONGEST_TTL, TurnAccess};

/// How often the database is asked whether it changed; a change must be in force within a second.
const POLL: Duration = Duration::from_millis(250);
/// Without a successful poll for so long, the snapshot no longer counts as current.
const STALE: Duration = Duration::from_secs(5);
/// How often what can't matter any more is forgotten, and how long the clock must not have been set before that: by a clock that is wrong,
/// a removed user would be forgotten who still has credentials.
const PURGE: Duration = Duration::from_secs(3600);
/// Seconds between two lines in the log on credentials of other issuers that live longer than our own.
const LONG_LIFE_LOG_INTERVAL: u64 = 86_400;

#[derive(Debug, Clone)]
pub struct Directory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    known: ArcSwap<Known>,
    /// From the settings; they replace the database's if there are any.
    configured: Vec<Secret<String>>,
    longest: Duration,
    /// Of credentials that configured secrets sign; `None`: no limit.
    longest_foreign: Option<Duration>,
    leases: Leases,
    former_clocks: FormerClocks,
    /// By how many seconds the clock was set, each time that the database has not been told of.
    jumps: Mutex<Vec<i64>>,
    last_poll: ArcSwap<Instant>,
    /// The database's file was deleted or replaced.
    displaced: AtomicBool,
    revision: AtomicU64,
    /// When the log was last told of long-lived credentials, in Unix seconds.
    long_life_logged: AtomicU64,
}

#[derive(Debug)]
struct Known {
    /// Newest first.
    secrets: Vec<SecretInfo>,
    users: HashMap<String, SnapshotUser>,
    revoked: HashSet<String>,
}

impl From<Snapshot> for Known {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            secrets: snapshot.secrets,
            users: snapshot.users.into_iter().collect(),
            revoked: snapshot.revoked.into_iter().collect(),
        }
    }
}

/// What a TURN username may prove itself with.
enum Proof<'a> {
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
        Ok(Self::new(store.snapshot().await?, config))
    }

    fn new(snapshot: Snapshot, config: &CredentialsConfig) -> Self {
        Self(Arc::new(Inner {
            known: ArcSwap::from_pointee(snapshot.into()),
            configured: config.static_auth_secrets.clone(),
            longest: config.ttl,
            longest_foreign: config.max_foreign_ttl,
            leases: Leases::default(),
            former_clocks: FormerClocks::default(),
            jumps: Mutex::default(),
            last_poll: ArcSwap::from_pointee(Instant::now()),
            displaced: AtomicBool::new(false),
            revision: AtomicU64::new(0),
            long_life_logged: AtomicU64::new(0),
        }))
    }

    /// Follows the database for ever; abort the task to end it. Logs when reading begins to fail and when it works again.
    pub async fn follow(self, store: Store) {
        let begun = credentials::unix_seconds(SystemTime::now());
        let mut follower = Follower { directory: self, store, watch: None, failing: false, begun };
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut purged = Instant::now();
        loop {
            poll.tick().await;
            follower.poll().await;
            follower.look_for_the_file().await;
            if follower.follow_clock(SystemTime::now()).await {
                purged = Instant::now();
            }
            if purged.elapsed() >= PURGE {
                purged = Instant::now();
                if let Err(error) = follower.purge(SystemTime::now()).await {
                    tracing::warn!(%error, "expired secrets and removed users stay in the database for now");
                }
            }
        }
    }

    /// The wall clock was set by so many seconds, negative for back, and says `now`. What was issued before lives as long as it was given,
    /// and times in the database that the former clock has written during this run move with it.
    pub fn clock_set(&self, by: i64, now: SystemTime) {
        self.0.former_clocks.set(by, now, self.0.longest);
        self.0.jumps.lock().unwrap_or_else(PoisonError::into_inner).push(by);
    }

    /// Whether the database could be read within the last seconds.
    pub fn is_current(&self) -> bool {
        self.0.last_poll.load().elapsed() < STALE
    }

    /// Whether the file that was opened is still the one that commands, backups and the next start find.
    pub fn is_in_place(&self) -> bool {
        !self.0.displaced.load(Ordering::Relaxed)
    }

    /// Counts the changes of the snapshot.
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

    /// The client that credentials were leased to as `username` is gone: they run out as they say.
    pub fn end_lease(&self, username: &str) {
        self.0.leases.end(username);
    }

    /// With the number of the secret that signed, where it is the database's.
    fn sign(&self, username: &str, ttl: Option<Duration>, now: SystemTime) -> (Credentials, Option<i64>) {
        let ttl = ttl.unwrap_or(self.0.longest).clamp(Duration::from_secs(1), self.0.longest);
        let known = self.0.known.load();
        let (secret, id) = match self.0.configured.first() {
            Some(secret) => (secret, None),
            None => {
                let newest = known.secrets.first().expect("a snapshot without a secret is an error");
                (&newest.value, Some(newest.id))
            }
        };
        (credentials::issue(secret.expose(), username, ttl, now), id)
    }

    /// Which secret signs: a number that changes when another one does.
    pub fn signing_secret(&self) -> Option<i64> {
        let known = self.0.known.load();
        known.secrets.first().filter(|_| self.0.configured.is_empty()).map(|secret| secret.id)
    }

    /// The MD5 long-term keys H(A1) that a request of this USERNAME may be authenticated with, the likeliest first; empty for
    /// a username that may not log in. Several, as each live secret makes another.
    ///
    /// Time-limited usernames must expire after `now` (those of a configured secret: not long before it) and within the longest ttl
    /// unless they are leased, and their user must be neither disabled nor removed; other usernames must be those of enabled users
    /// whose password was set for `realm`.
    pub fn long_term_keys(&self, username: &str, realm: &str, now: SystemTime) -> Vec<[u8; 16]> {
        let md5 = |proof: Proof<'_>| match proof {
            Proof::Password(password) => credentials::h_a1_md5(username, realm, &password),
            Proof::Keys(user) => user.h_a1_md5,
        };
        self.prove(username, realm, now, md5)
    }

    /// As [`Directory::long_term_keys`], for PASSWORD-ALGORITHM SHA-256 (RFC 8489, 18.5.1).
    pub fn long_term_keys_sha256(&self, username: &str, realm: &str, now: SystemTime) -> Vec<[u8; 32]> {
        let sha256 = |proof: Proof<'_>| match proof {
            Proof::Password(password) => credentials::h_a1_sha256(username, realm, &password),
            Proof::Keys(user) => user.h_a1_sha256,
        };
        self.prove(username, realm, now, sha256)
    }

    /// Whether there is a user of exactly this name, who logs in with a password.
    pub fn has_password(&self, username: &str) -> bool {
        self.0.known.load().users.contains_key(username)
    }

    /// Bytes of the shortest secret that may have signed time-limited credentials.
    pub fn shortest_secret(&self) -> usize {
        let known = self.0.known.load();
        let of_database = known.secrets.iter().map(|secret| &secret.value).filter(|_| self.0.configured.is_empty());
        of_database.chain(&self.0.configured).map(|secret| secret.expose().len()).min().unwrap_or(usize::MAX)
    }

    /// How long after `now` credentials of this TURN username are good. Leased ones are as good as new ones.
    pub fn life(&self, username: &str, now: SystemTime) -> Option<Duration> {
        let name = RestName::parse(username)?;
        if self.0.leases.password(name.user, username).is_some() {
            return Some(self.0.longest);
        }
        // What is accepted although it has just expired ends with the slack.
        let left = |now| {
            let ends = if name.expiry > now { name.expiry } else { name.expiry.saturating_add(CLOCK_SLACK.as_secs()) };
            ends.saturating_sub(now)
        };
        let by = self.0.former_clocks.readings(now).into_iter().filter(|now| self.0.is_current(&name, *now));
        let lives = by.map(|now| left(credentials::unix_seconds(now)));
        Some(Duration::from_secs(lives.max().unwrap_or_else(|| left(credentials::unix_seconds(now)))))
    }

    /// Somebody has proved to have credentials of this TURN username. Those of another issuer that live longer than ours ever do
    /// are worth a line in the log, once a day.
    pub fn note_proof(&self, username: &str, now: SystemTime) {
        if self.0.configured.is_empty() {
            return;
        }
        let Some(name) = RestName::parse(username) else { return };
        let now = credentials::unix_seconds(now);
        let left = name.expiry.saturating_sub(now);
        let logged = self.0.long_life_logged.load(Ordering::Relaxed);
        if left <= (self.0.longest + CLOCK_SLACK).as_secs() || now < logged.saturating_add(LONG_LIFE_LOG_INTERVAL) {
            return;
        }
        // One of the threads that find it due does it.
        if self.0.long_life_logged.compare_exchange(logged, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
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
        self.0.known.load().users.get(user).is_some_and(|user| user.enabled)
    }

    /// Whether `user` is a disabled user, or one that was removed not long ago.
    pub fn is_refused(&self, user: &str) -> bool {
        self.0.known.load().is_refused(user)
    }

    /// Whether `user` may have credentials where `access` says who may; API keys are another matter.
    pub fn grants(&self, access: TurnAccess, user: &str) -> bool {
        match access {
            TurnAccess::Users | TurnAccess::Key => self.is_allowed(user),
            // The relay would not take those of the others.
            TurnAccess::Open => !self.is_refused(user),
        }
    }

    /// Whether `user` is a user who was disabled.
    pub fn is_disabled(&self, user: &str) -> bool {
        self.0.known.load().users.get(user).is_some_and(|user| !user.enabled)
    }

    /// Whether what was authenticated as this TURN username may go on: its user is neither disabled nor removed. Expiry is not
    /// looked at.
    pub fn is_live(&self, username: &str) -> bool {
        let known = self.0.known.load();
        match (known.users.get(username), RestName::parse(username)) {
            (Some(user), _) => user.enabled,
            (None, Some(name)) => !known.is_refused(username) && !known.is_refused(name.user),
            (None, None) => false,
        }
    }

    /// Whether `user` is an enabled administrator with this password. Takes tens of milliseconds and 19 MiB whatever the answer:
    /// not for a runtime's thread.
    pub fn is_admin(&self, user: &str, password: &str) -> bool {
        let known = self.0.known.load();
        let hash = known.users.get(user).filter(|user| user.enabled).and_then(|user| user.admin.as_ref());
        password::verify(password, hash.map(|hash| hash.expose().as_str()))
    }

    /// The enabled users who can't log in to a relay of this realm with their password, because it was set for another one; by
    /// name.
    pub fn users_of_other_realms(&self, realm: &str) -> Vec<String> {
        let known = self.0.known.load();
        let others = known.users.iter().filter(|(_, user)| user.enabled && user.realm != realm);
        let mut names: Vec<String> = others.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    }

    fn prove<K>(&self, username: &str, realm: &str, now: SystemTime, key: impl Fn(Proof<'_>) -> K) -> Vec<K> {
        let known = self.0.known.load();
        let mut keys = Vec::new();
        if let Some(name) = RestName::parse(username).filter(|name| !known.is_refused(name.user)) {
            for secret in self.0.verifying(&known, &name, now) {
                keys.push(key(Proof::Password(credentials::password(secret.expose(), username))));
            }
            if let Some(leased) = self.0.leases.password(name.user, username) {
                keys.push(key(Proof::Password(leased.expose().clone())));
            }
        }
        if let Some(user) = known.users.get(username).filter(|user| user.enabled && user.realm == realm) {
            keys.push(key(Proof::Keys(user)));
        }
        keys
    }
}

impl Known {
    fn is_refused(&self, user: &str) -> bool {
        self.revoked.contains(user) || self.users.get(user).is_some_and(|user| !user.enabled)
    }
}

impl Inner {
    /// The secrets that may have signed the credentials of `name`, newest first.
    fn verifying<'a>(&'a self, known: &'a Known, name: &RestName<'_>, now: SystemTime) -> Vec<&'a Secret<String>> {
        if !self.former_clocks.readings(now).into_iter().any(|now| self.is_current(name, now)) {
            Vec::new()
        } else if self.configured.is_empty() {
            known.secrets.iter().filter(|secret| self.is_live(secret, now)).map(|secret| &secret.value).collect()
        } else {
            self.configured.iter().collect()
        }
    }

    /// Whether credentials of `name` are good by a clock that says `now`, whoever signed them.
    fn is_current(&self, name: &RestName<'_>, now: SystemTime) -> bool {
        if self.configured.is_empty() {
            !name.is_foreign && name.is_current(now, Some(self.longest))
        } else {
            name.is_current_elsewhere(now, self.longest_foreign)
        }
    }

    /// Whether a secret of the database still verifies at `now`.
    fn is_live(&self, secret: &SecretInfo, now: SystemTime) -> bool {
        let ends = |retired| u64::try_from(retired).unwrap_or(0) + self.longest.as_secs();
        secret.retired_at.is_none_or(|retired| ends(retired) >= credentials::unix_seconds(now))
    }

    /// Ends the leases on what secrets have signed that were removed before their time. Where that is the newest one, all credentials
    /// were revoked, those of secrets that are long forgotten among them.
    fn revoke_missing(&self, before: &Known, after: &Known, now: SystemTime) {
        let kept: HashSet<i64> = after.secrets.iter().map(|secret| secret.id).collect();
        let missing = before.secrets.iter().filter(|secret| !kept.contains(&secret.id) && self.is_live(secret, now));
        let missing: HashSet<i64> = missing.map(|secret| secret.id).collect();
        let newest = before.secrets.first().map(|secret| secret.id).filter(|newest| missing.contains(newest));
        if !missing.is_empty() {
            self.leases.revoke(|id| missing.contains(&id) || newest.is_some_and(|newest| id <= newest));
        }
    }
}

struct Follower {
    directory: Directory,
    store: Store,
    watch: Option<Watch>,
    /// So that a database that fails is one line in the log, not four a second.
    failing: bool,
    /// Unix seconds at the beginning of this run, by the clock of now where it was set in between.
    begun: u64,
}

impl Follower {
    /// Moves what a clock that was set since has written during this run; `false`: it was not set.
    async fn follow_clock(&mut self, now: SystemTime) -> bool {
        let jumps = std::mem::take(&mut *self.directory.0.jumps.lock().unwrap_or_else(PoisonError::into_inner));
        // By the clock before all of them.
        let mut ended =
            jumps.iter().fold(credentials::unix_seconds(now), |ended, by| ended.saturating_add_signed(by.saturating_neg()));
        for by in &jumps {
            if let Err(error) = self.store.move_times(self.begun, ended, *by).await {
                tracing::warn!(%error, "times in the database are those of the clock before it was set");
            }
            self.begun = self.begun.saturating_add_signed(*by);
            ended = ended.saturating_add_signed(*by);
        }
        !jumps.is_empty()
    }

    /// Forgets what can't matter any more. A removed user is remembered whatever ttl was configured when its credentials were issued,
    /// and for ever where another issuer may sign some that live for ever.
    async fn purge(&self, now: SystemTime) -> Result<(), StoreError> {
        let directory = &*self.directory.0;
        self.store.purge(directory.longest, now).await?;
        let longest = match directory.longest_foreign {
            None if !directory.configured.is_empty() => return Ok(()),
            foreign => foreign.unwrap_or_default().max(LONGEST_TTL),
        };
        self.store.forget_removed(longest, now).await
    }

    async fn poll(&mut self) {
        match self.changed().await {
            Ok(changed) => {
                if let Some(snapshot) = changed {
                    tracing::debug!(users = snapshot.users.len(), secrets = snapshot.secrets.len(), "users reloaded");
                    let known = Arc::new(Known::from(snapshot));
                    let before = self.directory.0.known.swap(Arc::clone(&known));
                    self.directory.0.revoke_missing(&before, &known, SystemTime::now());
                    self.directory.0.revision.fetch_add(1, Ordering::Release);
                }
                self.directory.0.last_poll.store(Arc::new(Instant::now()));
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the user database can be read again");
                }
            }
            Err(error) => {
                // A connection that failed may stay broken; a new one may not.
                self.watch = None;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the user database can't be read; users and secrets stay as they were");
                }
            }
        }
    }

    /// A file that was deleted or replaced can still be read and written, but nobody else sees it.
    async fn look_for_the_file(&self) {
        let displaced = self.store.displaced().await;
        let before = self.directory.0.displaced.swap(displaced.is_some(), Ordering::Relaxed);
        match displaced {
            Some(path) if !before => tracing::error!(
                "{} was deleted or replaced while the server runs: commands no longer reach the server, and what it writes is lost at its \
                 end. Put the file back or restart the server",
                path.display()
            ),
            None if before => tracing::info!("the user database is back in its place"),
            Some(_) | None => {}
        }
    }

    async fn changed(&mut self) -> Result<Option<Snapshot>, sqlx::Error> {
        let watch = match &mut self.watch {
            Some(watch) => watch,
            none => none.insert(self.store.watch().await?),
        };
        watch.changed().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::config::{Config, Settings};

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW + seconds)
    }

    fn config(secrets: &str) -> CredentialsConfig {
        Config::read(&settings(secrets)).unwrap().credentials
    }

    fn settings(secrets: &str) -> Settings {
        Settings { static_auth_secret: Some(secrets.into()), ttl: Some("3600".into()), ..Settings::default() }
    }

    fn secret(id: i64, value: &str, retired_at: Option<i64>) -> SecretInfo {
        SecretInfo { id, value: Secret::new(value.into()), created: String::new(), retired_at }
    }

    fn user(name: &str, enabled: bool) -> (String, SnapshotUser) {
        let user = SnapshotUser {
            enabled,
            admin: None,
            realm: "castway".into(),
            h_a1_md5: credentials::h_a1_md5(name, "castway", "pw"),
            h_a1_sha256: credentials::h_a1_sha256(name, "castway", "pw"),
        };
        (name.into(), user)
    }

    fn directory(secrets: &str) -> Directory {
        Directory::new(snapshot(), &config(secrets))
    }

    fn limited(secrets: &str, max_foreign_ttl: &str) -> Directory {
        let settings = Settings { max_foreign_ttl: Some(max_foreign_ttl.into()), ..settings(secrets) };
        Directory::new(snapshot(), &Config::read(&settings).unwrap().credentials)
    }

    fn snapshot() -> Snapshot {
        Snapshot {
            secrets: vec![secret(3, "newest", None), secret(2, "older", Some(NOW as i64)), secret(1, "old", Some(0))],
            users: vec![user("alice", true), user("mallory", false), user("1001", true)],
            revoked: vec!["removed".into()],
        }
    }

    fn key(secret: &str, username: &str) -> [u8; 16] {
        credentials::h_a1_md5(username, "castway", &credentials::password(secret, username))
    }

    #[test]
    fn the_newest_secret_signs_and_live_ones_verify() {
        let directory = directory("");
        let issued = directory.issue("alice", None, at(0));
        assert_eq!(issued.ttl, Duration::from_secs(3600));
        assert!(credentials::verify("newest", &issued.username, issued.password.expose()));
        let keys = directory.long_term_keys(&issued.username, "castway", at(1));
        assert_eq!(keys, [key("newest", &issued.username), key("older", &issued.username)]);
        let later = directory.issue("alice", None, at(3601));
        assert_eq!(directory.long_term_keys(&later.username, "castway", at(3601)), [key("newest", &later.username)]);
        assert_eq!(directory.long_term_keys_sha256(&later.username, "castway", at(3601)).len(), 1);
    }

    #[test]
    fn credentials_live_as_long_as_they_were_given_whichever_way_the_clock_is_set() {
        const DECADE: u64 = 315_360_000;
        for (secrets, slack) in [("", 0), ("north", 300)] {
            for (was, is) in [(0, DECADE), (DECADE, 0), (0, 1800), (1800, 0)] {
                let (directory, by) = (directory(secrets), is.cast_signed() - was.cast_signed());
                let issued = directory.issue("bob", None, at(was));
                let good = |seconds| !directory.long_term_keys(&issued.username, "castway", at(seconds)).is_empty();
                let long_past = format!("{}:bob", NOW + was - 301);
                directory.clock_set(by, at(is + 100));
                assert!(good(is + 100) && good(is + 3599), "{was} → {is}");
                if is > was {
                    assert!(
                        directory.long_term_keys(&long_past, "castway", at(is + 100)).is_empty(),
                        "no former clock revives it"
                    );
                    assert_eq!(directory.life(&issued.username, at(is + 100)), Some(Duration::from_secs(3500)));
                    assert!(!good(is + 3600 + slack + 1), "{was} → {is}");
                }
                // Set again, and back.
                directory.clock_set(7, at(is + 207));
                directory.clock_set(-by, at(was + 307));
                assert!(good(was + 3599), "{was} → {is} → {was}");
                assert!(!good(was + 307 + 3600 + 301), "no former clock counts for ever");
            }
        }
    }

    #[tokio::test]
    async fn what_was_written_by_a_clock_that_was_set_is_moved() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), at(0)).await.unwrap();
        let bob = "bob".parse().unwrap();
        store.add(&bob, &crate::users::PasswordKeys::new(&bob, "castway", "correct horse").unwrap(), at(0)).await.unwrap();
        // Boot, by a clock that is a month late.
        let directory = Directory::open(&store, &config("")).await.unwrap();
        let mut follower =
            Follower { directory: directory.clone(), store: store.clone(), watch: None, failing: false, begun: NOW };
        let issued = directory.issue("bob", None, at(5));
        store.remove(&bob, at(10)).await.unwrap();
        store.rotate(false, at(10)).await.unwrap();
        let month: u64 = 30 * 86_400;
        directory.clock_set(month.cast_signed() - 5, at(20 + month - 5));
        directory.clock_set(5, at(20 + month));
        assert!(follower.follow_clock(at(20 + month)).await);
        assert!(!follower.follow_clock(at(20 + month)).await);
        follower.purge(at(21 + month)).await.unwrap();
        follower.poll().await;
        assert!(directory.is_refused("bob"), "forgotten, and credentials of the right time would be good again");
        assert!(directory.long_term_keys(&issued.username, "castway", at(21 + month)).is_empty());
        let carol =
            credentials::issue(store.secrets().await.unwrap()[1].value.expose(), "carol", Duration::from_secs(60), at(month));
        assert_eq!(directory.long_term_keys(&carol.username, "castway", at(21 + month)).len(), 2, "a retired secret lives on");
    }

    #[test]
    fn configured_secrets_replace_those_of_the_database() {
        let directory = directory("north, south");
        let issued = directory.issue("anyone", None, at(0));
        assert!(credentials::verify("north", &issued.username, issued.password.expose()));
        let keys = directory.long_term_keys(&issued.username, "castway", at(1));
        assert_eq!(keys, [key("north", &issued.username), key("south", &issued.username)]);
    }

    #[test]
    fn a_wished_ttl_is_clamped() {
        let directory = directory("");
        for (wish, ttl) in [(0, 1), (1, 1), (60, 60), (3600, 3600), (u64::MAX, 3600)] {
            assert_eq!(directory.issue("alice", Some(Duration::from_secs(wish)), at(0)).ttl, Duration::from_secs(ttl));
        }
    }

    /// Requirement 23.
    #[test]
    fn bad_expiries_have_no_key() {
        let directory = directory("");
        let names = [NOW, NOW + 3901, NOW * 1000 + 60_000].map(|expiry| format!("{expiry}:alice"));
        let foreign = [format!("bob:{}", NOW + 60), format!("{}:", NOW + 60)];
        let never = ["x:alice", "-1:alice", "99999999999999999999999:alice"].map(str::to_owned);
        for name in names.iter().chain(&foreign).chain(&never) {
            assert!(directory.long_term_keys(name, "castway", at(0)).is_empty(), "{name}");
        }
        assert!(!directory.long_term_keys(&format!("{}:alice", NOW + 3900), "castway", at(0)).is_empty(), "within the slack");
    }

    #[test]
    fn a_configured_secret_has_issuers_of_its_own() {
        let year = 365 * 86_400;
        let names = [
            format!("{}:@bob:example.org", NOW + year),
            format!("{}:alice", (NOW + year) * 1000),
            format!("bob:{}", NOW + 60),
            format!("{}:", NOW + 60),
            format!("{}", (NOW + 60) * 1000),
        ];
        let open = directory("north");
        for name in &names {
            assert_eq!(open.long_term_keys(name, "castway", at(0)), [key("north", name)], "{name}");
        }
        let late = NOW - 300;
        for name in [format!("{late}:bob"), format!("bob:{late}"), format!("{}:bob", late * 1000)] {
            assert!(!open.long_term_keys(&name, "castway", at(0)).is_empty(), "{name}: within the slack");
            assert!(open.long_term_keys(&name, "castway", at(1)).is_empty(), "{name}");
        }
        assert!(open.long_term_keys(&format!("mallory:{}", NOW + 60), "castway", at(0)).is_empty(), "a disabled user");
        let limited = limited("north", "7200");
        for (ahead, good) in [(7200, true), (7500, true), (7501, false), (year, false)] {
            for name in [format!("{}:bob", NOW + ahead), format!("bob:{}", (NOW + ahead) * 1000)] {
                assert_eq!(!limited.long_term_keys(&name, "castway", at(0)).is_empty(), good, "{name}");
            }
        }
    }

    /// What the database has changes.
    fn reload(directory: &Directory, secrets: Vec<SecretInfo>, seconds: u64) {
        let before = directory.0.known.swap(Arc::new(Known::from(Snapshot { secrets, ..Snapshot::default() })));
        directory.0.revoke_missing(&before, &directory.0.known.load(), at(seconds));
    }

    #[test]
    fn leased_credentials_outlive_their_expiry_and_their_secret() {
        let directory = directory("");
        let leased = directory.lease("cast-1", at(0));
        assert_eq!(leased.ttl, Duration::from_secs(3600));
        let has_key = |name: &str, secret: &str, seconds| {
            directory.long_term_keys(name, "castway", at(seconds)).contains(&key(secret, name))
        };
        // A rotation, and much later the retired secret is forgotten.
        reload(&directory, vec![secret(4, "next", None), secret(3, "newest", Some(NOW as i64))], 1);
        assert!(has_key(&leased.username, "newest", 1));
        reload(&directory, vec![secret(4, "next", None)], 100_000);
        assert!(has_key(&leased.username, "newest", 100_000));
        assert_eq!(directory.life(&leased.username, at(100_000)), Some(Duration::from_secs(3600)));
        // Nothing else is good by it: another expiry of the same name, or another name.
        let forged = format!("{}:cast-1", NOW + 10);
        assert!(!has_key(&forged, "newest", 100_000) && directory.long_term_keys(&forged, "castway", at(100_000)).is_empty());
        let other = directory.issue("cast-2", None, at(0));
        assert!(directory.long_term_keys(&other.username, "castway", at(100_000)).is_empty());
        directory.end_lease("cast-1");
        assert!(directory.long_term_keys(&leased.username, "castway", at(100_000)).is_empty());
        assert_eq!(directory.life(&leased.username, at(100_000)), Some(Duration::ZERO));
    }

    /// It is what an allocation's end goes by where that is strict.
    #[test]
    fn the_life_of_credentials_ends_with_their_expiry_or_with_the_slack() {
        let directory = directory("north");
        let life = |name: &str| directory.life(name, at(0)).map(|life| life.as_secs());
        assert_eq!(life(&format!("{}:bob", NOW + 60)), Some(60));
        assert_eq!(life(&format!("bob:{}", (NOW + 60) * 1000)), Some(60));
        assert_eq!(life(&format!("{}:bob", NOW - 60)), Some(240));
        assert_eq!(life(&format!("{}:bob", NOW - 400)), Some(0));
        assert_eq!(life("alice"), None, "a static user's never ends");
    }

    #[test]
    fn a_revoked_secret_ends_leases() {
        let directory = directory("");
        let first = directory.lease("cast-1", at(0));
        let retired = secret(3, "newest", Some(NOW as i64));
        reload(&directory, vec![secret(4, "next", None), retired], 1);
        let second = directory.lease("cast-2", at(1));
        // The retired one is removed before its time: what it signed ends.
        reload(&directory, vec![secret(4, "next", None)], 2);
        assert!(!directory.long_term_keys(&first.username, "castway", at(2)).contains(&key("newest", &first.username)));
        assert!(directory.long_term_keys(&second.username, "castway", at(9000)).contains(&key("next", &second.username)));
        // All are revoked: what forgotten secrets have signed, too.
        reload(&directory, vec![secret(5, "later", None), secret(4, "next", Some(NOW as i64))], 3);
        reload(&directory, vec![secret(5, "later", None)], 9000);
        assert!(!directory.long_term_keys(&second.username, "castway", at(9000)).is_empty(), "forgotten, and not revoked");
        reload(&directory, vec![secret(6, "last", None)], 9001);
        assert!(directory.long_term_keys(&second.username, "castway", at(9001)).is_empty());
    }

    #[test]
    fn disabled_and_removed_users_have_no_key_and_are_not_live() {
        let directory = directory("");
        for user in ["mallory", "removed"] {
            let name = format!("{}:{user}", NOW + 60);
            assert!(directory.long_term_keys(&name, "castway", at(0)).is_empty(), "{user}");
            assert!(!directory.is_live(&name), "{user}");
            assert!(!directory.is_live(user), "{user}");
            assert!(!directory.is_allowed(user), "{user}");
            assert!(directory.is_refused(user), "{user}");
        }
        assert!(directory.long_term_keys("mallory", "castway", at(0)).is_empty());
        // Other issuers share the secret and have users of their own.
        let foreign = format!("{}:@bob:example.org", NOW + 60);
        assert!(directory.is_live(&foreign));
        assert_eq!(directory.long_term_keys(&foreign, "castway", at(0)).len(), 2);
        assert!(!directory.is_allowed("@bob:example.org"));
        assert!(!directory.is_refused("@bob:example.org"));
    }

    #[test]
    fn a_static_user_has_the_stored_key_in_its_realm() {
        let directory = directory("");
        assert_eq!(directory.long_term_keys("alice", "castway", at(0)), [credentials::h_a1_md5("alice", "castway", "pw")]);
        assert_eq!(directory.long_term_keys_sha256("alice", "castway", at(0)).len(), 1);
        assert!(directory.long_term_keys("alice", "elsewhere", at(0)).is_empty());
        assert!(directory.long_term_keys("nobody", "castway", at(0)).is_empty());
        assert!(directory.is_live("alice") && directory.is_live("1001"));
        assert!(!directory.is_live("nobody"));
        assert_eq!(directory.long_term_keys("1001", "castway", at(0)), [credentials::h_a1_md5("1001", "castway", "pw")]);
        assert_eq!(directory.users_of_other_realms("elsewhere"), ["1001", "alice"]);
        assert!(directory.users_of_other_realms("castway").is_empty());
    }

    /// Prosody issues the expiry alone.
    #[test]
    fn an_expiry_alone_is_a_credential() {
        let name = (NOW + 60).to_string();
        assert_eq!(directory("").long_term_keys(&name, "castway", at(0))[0], key("newest", &name));
        assert!(directory("").is_live(&name));
    }
}
