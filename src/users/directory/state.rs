//! What the directory knows: the snapshot of the database, the settings, leases and former clocks.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::{Notify, oneshot};

use crate::config::CredentialsConfig;
use crate::config::secret::Secret;
use crate::limits::bans::BannedAddresses;
use crate::limits::log_interval::LogInterval;
use crate::turn::Scope;
use crate::users::ban::BanTarget;
use crate::users::credentials::{self, TimeLimitedUsername};
use crate::users::former_clocks::FormerClocks;
use crate::users::leases::CredentialLeases;
use crate::users::store::{SecretInfo, Snapshot, SnapshotOperator, SnapshotUser};
use crate::users::usage::{Usage, UsageOwner};

/// The time between two lines in the log about credentials of other issuers that live longer than our own.
const LONG_LIFE_LOG_INTERVAL: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
pub(super) struct DirectoryState {
    pub(super) snapshot: ArcSwap<IndexedSnapshot>,
    /// Those of the snapshot.
    pub(super) banned: BannedAddresses,
    /// The secrets of the settings; if there are any, they replace those of the database.
    pub(super) configured: Vec<Secret<String>>,
    /// Longest lifetime of credentials that this server issues.
    pub(super) longest: Duration,
    /// Longest lifetime of credentials that configured secrets sign; `None`: no limit.
    pub(super) longest_foreign: Option<Duration>,
    pub(super) leases: CredentialLeases,
    pub(super) usage: Usage,
    pub(super) former_clocks: FormerClocks,
    /// By how many seconds the clock was set, for each time that the follower has not applied to the database yet.
    pub(super) jumps: Mutex<Vec<i64>>,
    pub(super) last_poll: ArcSwap<Instant>,
    /// Those who wait for the next poll, and what wakes the follower for them.
    pub(super) waiting: Mutex<Vec<oneshot::Sender<()>>>,
    pub(super) wanted: Notify,
    /// Whether the database's file was deleted or replaced.
    pub(super) displaced: AtomicBool,
    pub(super) revision: AtomicU64,
    /// By Unix time.
    pub(super) long_life_log: LogInterval,
}

#[derive(Debug)]
pub(super) struct IndexedSnapshot {
    /// Newest first.
    pub(super) secrets: Vec<SecretInfo>,
    pub(super) users: HashMap<String, SnapshotUser>,
    pub(super) operators: HashMap<String, SnapshotOperator>,
    /// The realm of one of the users.
    pub(super) usual_realm: String,
    /// The scopes in which a name is revoked.
    revoked: HashMap<String, Vec<Scope>>,
    banned_users: HashSet<String>,
    pub(super) banned_networks: Vec<IpNet>,
    /// When the first of the bans ends, in Unix seconds.
    pub(super) first_ban_ends: Option<i64>,
}

impl IndexedSnapshot {
    /// With the bans that are in force at `now`. A user who is banned counts as disabled.
    pub(super) fn new(snapshot: Snapshot, now: SystemTime) -> Self {
        let mut revoked: HashMap<String, Vec<Scope>> = HashMap::new();
        for (name, scope) in snapshot.revoked {
            revoked.entry(name).or_default().push(scope);
        }
        let (mut banned_users, mut banned_networks) = (HashSet::new(), Vec::new());
        let bans: Vec<_> = snapshot.bans.iter().filter(|ban| ban.is_in_force(now)).collect();
        for ban in &bans {
            match ban.target.parse() {
                Ok(BanTarget::User(name)) => drop(banned_users.insert(name)),
                Ok(BanTarget::Network(network)) => banned_networks.push(network),
                Err(_) => {}
            }
        }
        let usual_realm = snapshot.users.first().map(|(_, user)| user.realm.clone()).unwrap_or_default();
        let mut users: HashMap<_, _> = snapshot.users.into_iter().collect();
        for name in &banned_users {
            if let Some(user) = users.get_mut(name) {
                user.enabled = false;
            }
        }
        Self {
            secrets: snapshot.secrets,
            usual_realm,
            users,
            operators: snapshot.operators.into_iter().collect(),
            revoked,
            first_ban_ends: bans.iter().filter_map(|ban| ban.until).min(),
            banned_users,
            banned_networks,
        }
    }

    /// Whether the user of this name is banned.
    pub(super) fn is_banned(&self, name: &str) -> bool {
        self.banned_users.contains(name)
    }

    /// Whether this is a user of the database, enabled or not.
    pub(super) fn has_user(&self, scope: Scope, name: &str) -> bool {
        self.users.get(name).is_some_and(|user| user.scope == scope)
    }

    /// The same for an owner of traffic.
    pub(super) fn is_stored(&self, owner: &UsageOwner) -> bool {
        matches!(owner, UsageOwner::User { scope, name } if self.has_user(*scope, name))
    }

    /// Whether the user of this scope and name was disabled, removed, or given another scope, or the name is banned or an operator's.
    pub(super) fn is_refused(&self, scope: Scope, name: &str) -> bool {
        let revoked = self.revoked.get(name).is_some_and(|scopes| scopes.contains(&scope));
        // As with a user's name, a stranger who uses it is not that operator.
        let is_closed = scope == Scope::Anyone && (self.operators.contains_key(name) || self.is_banned(name));
        revoked
            || is_closed
            || self.users.get(name).is_some_and(|user| match (scope, user.scope) {
                (Scope::Clients, Scope::Clients) | (Scope::Anyone, Scope::Anyone) => !user.enabled,
                // The password of such a user may be public, and gives nobody access to anyone.
                (Scope::Anyone, Scope::Clients) => true,
                // A stranger who uses a user's name is not that user.
                (Scope::Clients, Scope::Anyone) | (Scope::OwnAddress, _) => false,
                (Scope::Clients | Scope::Anyone, Scope::OwnAddress) => true,
            })
    }
}

impl DirectoryState {
    pub(super) fn new(mut snapshot: Snapshot, config: &CredentialsConfig, now: SystemTime) -> Self {
        let usage = Usage::new(config.usage.clone(), SystemTime::now());
        usage.set_quotas(std::mem::take(&mut snapshot.quotas));
        let (snapshot, banned) = (IndexedSnapshot::new(snapshot, now), BannedAddresses::default());
        banned.replace(&snapshot.banned_networks);
        Self {
            banned,
            snapshot: ArcSwap::from_pointee(snapshot),
            configured: config.static_auth_secrets.clone(),
            longest: config.ttl,
            longest_foreign: config.max_foreign_ttl,
            leases: CredentialLeases::default(),
            usage,
            former_clocks: FormerClocks::default(),
            jumps: Mutex::default(),
            last_poll: ArcSwap::from_pointee(Instant::now()),
            waiting: Mutex::default(),
            wanted: Notify::new(),
            displaced: AtomicBool::new(false),
            revision: AtomicU64::new(0),
            long_life_log: LogInterval::new(LONG_LIFE_LOG_INTERVAL),
        }
    }

    /// The secrets that may have signed credentials, newest first.
    pub(super) fn verifying<'a>(&'a self, snapshot: &'a IndexedSnapshot, now: SystemTime) -> Vec<&'a Secret<String>> {
        if self.configured.is_empty() {
            // A secret that was retired before the clock was set forward still verifies what it signed then.
            let now = self.former_clocks.earliest(now);
            snapshot.secrets.iter().filter(|secret| self.secret_is_in_use(secret, now)).map(|secret| &secret.value).collect()
        } else {
            self.configured.iter().collect()
        }
    }

    /// Whether credentials of `name` are current by a clock that says `now`; their signature is not checked. Other issuers issue
    /// credentials of scope anyone alone.
    pub(super) fn is_unexpired(&self, scope: Scope, name: &TimeLimitedUsername<'_>, now: SystemTime) -> bool {
        match (scope, self.configured.is_empty()) {
            (_, true) => !name.is_foreign && name.is_unexpired(now, Some(self.longest)),
            (Scope::Clients | Scope::OwnAddress, false) => !name.is_foreign && name.is_current_elsewhere(now, Some(self.longest)),
            (Scope::Anyone, false) => name.is_current_elsewhere(now, self.longest_foreign),
        }
    }

    /// Whether a secret of the database still verifies at `now`.
    pub(super) fn secret_is_in_use(&self, secret: &SecretInfo, now: SystemTime) -> bool {
        let ends = |retired| u64::try_from(retired).unwrap_or(0) + self.longest.as_secs();
        secret.retired_at.is_none_or(|retired| ends(retired) >= credentials::unix_seconds(now))
    }

    /// Ends the leases on credentials whose secret was removed before it expired. If the newest secret was removed, all credentials
    /// were revoked, including those of secrets that are already forgotten.
    pub(super) fn revoke_missing(&self, before: &IndexedSnapshot, after: &IndexedSnapshot, now: SystemTime) {
        let kept: HashSet<i64> = after.secrets.iter().map(|secret| secret.id).collect();
        let missing = before.secrets.iter().filter(|secret| !kept.contains(&secret.id) && self.secret_is_in_use(secret, now));
        let missing: HashSet<i64> = missing.map(|secret| secret.id).collect();
        let newest = before.secrets.first().map(|secret| secret.id).filter(|newest| missing.contains(newest));
        if !missing.is_empty() {
            self.leases.revoke(|id| missing.contains(&id) || newest.is_some_and(|newest| id <= newest));
        }
    }
}
