//! Logins to the relay: who a TURN username stands for, and which keys a request of this name may be signed with.

use std::time::{Duration, SystemTime};

use super::handle::Directory;
use super::state::{DirectoryState, IndexedSnapshot};
use crate::turn::Scope;
use crate::turn::codec::integrity::{LongTermKey, PasswordAlgorithm};
use crate::users::credentials::{self, CLOCK_SLACK, OWN_ADDRESS_USER_PREFIX, TimeLimitedUsername};
use crate::users::password::TurnKeys;
use crate::users::store::SnapshotUser;

/// What a TURN username stands for.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user's name: the username itself, or the user in a time-limited one.
    pub user: String,
    /// The long-term keys H(A1), the likeliest first. Users have one for each form of their password, and time-limited credentials one
    /// for each live secret and scope.
    pub keys: Vec<(Scope, LongTermKey)>,
    /// How long the credentials are good; `None`: for ever. Leased credentials count as new ones.
    pub remaining: Option<Duration>,
    /// A connected client was given the credentials: [`Directory::lease`].
    pub is_leased: bool,
    /// The group of that client: [`Directory::join_group`].
    pub group: Option<u64>,
}

impl Directory {
    /// `None` for a username that may not log in.
    ///
    /// The name of a user is nothing but that: the user must be enabled, and the password set for `realm`. Other names must be
    /// time-limited, expire after `now` (those of a configured secret: not long before it) and within the longest ttl unless they are
    /// leased; their user must not be refused in the scope of the key.
    pub fn login(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: SystemTime) -> Option<Login> {
        let snapshot = self.0.snapshot.load();
        if let Some(user) = snapshot.users.get(username) {
            let login = Login {
                user: username.to_owned(),
                keys: stored_keys(user, algorithm).map(|key| (user.scope, key)).to_vec(),
                remaining: None,
                is_leased: false,
                group: None,
            };
            return (user.enabled && user.realm == realm).then_some(login);
        }
        let name = TimeLimitedUsername::parse(username)?;
        let user = if name.user.is_empty() { username } else { name.user };
        let mut passwords = self.0.passwords(&snapshot, username, &name, now);
        let leased = self.0.leases.password(name.user, username);
        passwords.extend(leased.iter().map(|password| (Scope::Clients, password.expose().clone())));
        passwords.retain(|(scope, _)| !snapshot.is_refused(*scope, user));
        let key = |(scope, password): (_, String)| (scope, LongTermKey::long_term(algorithm, username, realm, &password));
        let keys: Vec<_> = passwords.into_iter().map(key).collect();
        let remaining = if leased.is_some() { self.0.longest } else { self.0.remaining(&name, now) };
        let is_leased = leased.is_some();
        let group = if is_leased { self.0.leases.group(name.user) } else { None };
        (!keys.is_empty()).then(|| Login { user: user.to_owned(), keys, remaining: Some(remaining), is_leased, group })
    }

    /// How long these time-limited credentials are still good; `None`: they are not.
    pub fn remaining_ttl(&self, username: &str, password: &str, now: SystemTime) -> Option<Duration> {
        let snapshot = self.0.snapshot.load();
        let name = TimeLimitedUsername::parse(username)?;
        let user = if name.user.is_empty() { username } else { name.user };
        let right = |(scope, right): (Scope, String)| credentials::same(&right, password) & !snapshot.is_refused(scope, user);
        let passwords = self.0.passwords(&snapshot, username, &name, now).into_iter();
        passwords.map(right).fold(false, |any, one| any | one).then(|| self.0.remaining(&name, now))
    }

    /// Whether the client that was given the credentials of this TURN username is still connected.
    pub fn is_leased(&self, username: &str) -> bool {
        TimeLimitedUsername::parse(username).is_some_and(|name| self.0.leases.has(name.user, username))
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
}

/// The scopes in which the credentials of this name may be signed.
pub(super) fn scopes_of(name: &TimeLimitedUsername<'_>) -> impl Iterator<Item = Scope> {
    let own_address = name.user.starts_with(OWN_ADDRESS_USER_PREFIX).then_some(Scope::OwnAddress);
    [Scope::Clients, Scope::Anyone].into_iter().chain(own_address)
}

/// The keys of the user's password, one for each form. Always two, so that the time of a refusal tells nothing of a password.
pub(super) fn stored_keys(user: &SnapshotUser, algorithm: PasswordAlgorithm) -> [LongTermKey; 2] {
    let key = |keys: TurnKeys| match algorithm {
        PasswordAlgorithm::Md5 => LongTermKey::Md5(keys.md5),
        PasswordAlgorithm::Sha256 => LongTermKey::Sha256(keys.sha256),
    };
    [user.typed.unwrap_or(user.prepared), user.prepared].map(key)
}

impl DirectoryState {
    /// The passwords with which live secrets sign `username` in the scopes in which it has not expired.
    fn passwords(
        &self,
        snapshot: &IndexedSnapshot,
        username: &str,
        name: &TimeLimitedUsername<'_>,
        now: SystemTime,
    ) -> Vec<(Scope, String)> {
        let readings = self.former_clocks.readings(now);
        let is_current = |scope: &Scope| self.is_current(*scope, name, &readings);
        let scopes: Vec<Scope> = scopes_of(name).filter(is_current).collect();
        let secrets = self.verifying(snapshot, now);
        let of_scopes =
            |secret: &str| scopes.iter().map(|scope| (*scope, credentials::password(secret, *scope, username))).collect();
        secrets.into_iter().flat_map(|secret| -> Vec<_> { of_scopes(secret.expose()) }).collect()
    }

    /// Whether credentials of `name` are current by one of the readings: those of the clock, and of the clocks that the machine had
    /// before.
    pub(super) fn is_current(&self, scope: Scope, name: &TimeLimitedUsername<'_>, readings: &[SystemTime]) -> bool {
        readings.iter().any(|now| self.is_unexpired(scope, name, *now))
    }

    /// How long after `now` credentials of `name` are good.
    fn remaining(&self, name: &TimeLimitedUsername<'_>, now: SystemTime) -> Duration {
        // Credentials that are accepted although they have just expired end with the slack.
        let left = |now| {
            let ends = if name.expiry > now { name.expiry } else { name.expiry.saturating_add(CLOCK_SLACK.as_secs()) };
            ends.saturating_sub(now)
        };
        // Whatever is current in scope clients is so in scope anyone.
        let readings = self.former_clocks.readings(now).into_iter().filter(|now| self.is_unexpired(Scope::Anyone, name, *now));
        let lives = readings.map(|now| left(credentials::unix_seconds(now)));
        Duration::from_secs(lives.max().unwrap_or_else(|| left(credentials::unix_seconds(now))))
    }
}
