//! Who gets time-limited TURN credentials, for how long, and what signs them.

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Reader, Settings, list};
use crate::config::secret::Secret;

#[derive(Debug, Clone)]
pub struct CredentialsConfig {
    pub access: TurnAccess,
    /// Checked where `access` is [`TurnAccess::Key`].
    pub api_keys: Vec<Secret<String>>,
    /// The first signs, all verify. Empty: the ones generated in the database.
    pub static_auth_secrets: Vec<Secret<String>>,
    /// Longest and default life of credentials.
    pub ttl: Duration,
    /// Longest life of credentials that other issuers sign with a configured secret; `None`: no limit.
    pub max_foreign_ttl: Option<Duration>,
    /// Requests a minute from one address.
    pub rate: NonZeroU32,
    pub ice: IceConfig,
}

/// `/v1alpha/iceconfig`, whose clients have no name to show.
#[derive(Debug, Clone, Copy)]
pub struct IceConfig {
    pub access: IceAccess,
    /// Life of the credentials; the longest life of all bounds it.
    pub ttl: Duration,
    /// Requests a minute from one address.
    pub rate: NonZeroU32,
}

/// What `/v1alpha/iceconfig` asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceAccess {
    Open,
    /// An API key.
    Key,
}

/// What `GET /turn` asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnAccess {
    /// The username is that of an enabled user.
    Users,
    /// As `Users`, and an API key must come along.
    Key,
    /// Any username.
    Open,
}

/// No setting makes credentials live longer; removed users are remembered by it.
pub const LONGEST_TTL: Duration = Duration::from_secs(604_800);

/// Short secrets are guessed offline from one issued credential: fewer bytes are refused.
const SECRET_MIN: usize = 4;
/// Fewer bytes are worth a warning. One that was drawn from 64 characters has 6 bits each.
const SECRET_GOOD: usize = 16;

impl CredentialsConfig {
    /// What to say of secrets that whoever has one issued credential could guess.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let short = self.static_auth_secrets.iter().any(|secret| secret.expose().len() < SECRET_GOOD);
        short.then(|| {
            format!(
                "A secret of CASTWAY_STATIC_AUTH_SECRET has fewer than {SECRET_GOOD} characters: whoever is issued credentials can find it \
                 by trying, and sign their own. Use 32, e.g. of `openssl rand -hex 16`"
            )
        })
    }

    pub(super) fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let access =
            reader.parse("CASTWAY_TURN_ACCESS", &settings.turn_access, "users, key or open", TurnAccess::Users, |value| {
                match value {
                    "users" => Some(TurnAccess::Users),
                    "key" => Some(TurnAccess::Key),
                    "open" => Some(TurnAccess::Open),
                    _ => None,
                }
            });
        let ice = IceConfig::read(settings, reader);
        let api_keys = secrets(&settings.api_keys);
        if (access == TurnAccess::Key || ice.access == IceAccess::Key) && api_keys.is_empty() {
            let expected = "at least one key where CASTWAY_TURN_ACCESS or CASTWAY_ICE_ACCESS is key";
            reader.secret_problem("CASTWAY_API_KEYS", expected);
        }
        let static_auth_secrets = secrets(&settings.static_auth_secret);
        if static_auth_secrets.iter().any(|secret| secret.expose().len() < SECRET_MIN) {
            let expected = format!("secrets of at least {SECRET_MIN} characters, better 32, separated by commas");
            reader.secret_problem("CASTWAY_STATIC_AUTH_SECRET", &expected);
        }
        let ttl = reader.seconds("CASTWAY_TTL", &settings.ttl, 86_400, 5..=LONGEST_TTL.as_secs());
        let max_foreign_ttl = max_foreign_ttl(settings, reader).filter(|_| !static_auth_secrets.is_empty());
        Self {
            access,
            api_keys,
            static_auth_secrets,
            // Nobody can tell who signed with a shared secret, so its limit is for our own credentials, too.
            ttl: max_foreign_ttl.map_or(ttl, |longest| ttl.min(longest)),
            max_foreign_ttl,
            rate: rate(reader, "CASTWAY_CREDENTIALS_RATE", &settings.credentials_rate, 60),
            ice,
        }
    }
}

impl IceConfig {
    fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let access =
            reader.parse("CASTWAY_ICE_ACCESS", &settings.ice_access, "open or key", IceAccess::Open, |value| match value {
                "open" => Some(IceAccess::Open),
                "key" => Some(IceAccess::Key),
                _ => None,
            });
        Self {
            access,
            ttl: reader.seconds("CASTWAY_ICE_TTL", &settings.ice_ttl, 3600, 5..=LONGEST_TTL.as_secs()),
            rate: rate(reader, "CASTWAY_ICE_RATE", &settings.ice_rate, 20),
        }
    }
}

/// In seconds; 0 and nothing mean no limit.
fn max_foreign_ttl(settings: &Settings, reader: &mut Reader) -> Option<Duration> {
    let expected = "0 for no limit, or seconds from 5 to 4294967295";
    let longest = reader.parse("CASTWAY_MAX_FOREIGN_TTL", &settings.max_foreign_ttl, expected, Duration::ZERO, |value| {
        let seconds: u32 = value.parse().ok()?;
        (seconds == 0 || seconds >= 5).then(|| Duration::from_secs(seconds.into()))
    });
    Some(longest).filter(|longest| !longest.is_zero())
}

fn rate(reader: &mut Reader, name: &str, setting: &Option<String>, default: u64) -> NonZeroU32 {
    let rate = reader.number(name, setting, default, 1..=1_000_000);
    u32::try_from(rate).ok().and_then(NonZeroU32::new).expect("the range above is positive")
}

fn secrets(setting: &Option<String>) -> Vec<Secret<String>> {
    list(setting).map(|item| Secret::new(item.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_limit_of_other_issuers_is_for_our_own_credentials_too() {
        let read = |secret: &str, longest: &str| {
            let settings = Settings {
                static_auth_secret: Some(secret.into()),
                max_foreign_ttl: Some(longest.into()),
                ..Settings::default()
            };
            Config::read(&settings).map(|config| (config.credentials.ttl.as_secs(), config.credentials.max_foreign_ttl))
        };
        let limit = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(read("north", "600").expect("valid"), (600, limit(600)));
        assert_eq!(read("north", "100000").expect("valid"), (86_400, limit(100_000)));
        assert_eq!(read("north", "0").expect("valid"), (86_400, None));
        assert_eq!(read("", "600").expect("valid"), (86_400, None), "generated secrets have no other issuers");
        for bad in ["1", "-5", "year"] {
            assert!(read("north", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_short_secret_is_worth_a_warning() {
        let warns = |secrets: &str| {
            let settings = Settings { static_auth_secret: Some(secrets.into()), ..Settings::default() };
            Config::read(&settings).expect("valid").credentials.warning().is_some()
        };
        assert!(warns("north") && warns("0123456789abcdef,fifteen-letters"));
        assert!(!warns("") && !warns("0123456789abcdef"));
    }

    #[test]
    fn key_access_needs_a_key() {
        let settings = Settings { turn_access: Some("key".into()), ..Settings::default() };
        assert!(Config::read(&settings).is_err());
        let settings = Settings { api_keys: Some("one, two".into()), ..settings };
        assert_eq!(Config::read(&settings).expect("keys are there").credentials.api_keys.len(), 2);
        let settings = Settings { ice_access: Some("key".into()), ..Settings::default() };
        assert!(Config::read(&settings).is_err());
    }
}
