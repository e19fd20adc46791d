//! Who gets time-limited TURN credentials, how long they live, and which secrets sign them.

use std::num::NonZeroU32;
use std::time::Duration;

use super::reader::Reader;
use super::secret::{MIN_UNGUESSABLE_SECRET_BYTES, Secret};
use super::usage::UsageConfig;
use crate::sentence::Sentence;
use crate::turn::Scope;
use crate::whole_number;

const TURN_ACCESS: &str = "CASTWAY_TURN_ACCESS";

#[derive(Debug, Clone)]
pub struct CredentialsConfig {
    pub access: TurnAccess,
    /// The scope of the credentials that [`TurnAccess::Open`] gives to strangers: clients, unless the operator has set both
    /// `CASTWAY_TURN_ACCESS=open` and secrets that other servers share.
    pub strangers: Scope,
    pub api_keys: Vec<Secret<String>>,
    /// The first one signs, all of them verify. Empty: the database has generated ones.
    pub static_auth_secrets: Vec<Secret<String>>,
    /// The variable that has these secrets, or that names their file.
    pub secrets_variable: String,
    /// What is odd about secrets and keys, in sentences.
    odd_secrets: Vec<Sentence>,
    /// Longest lifetime of credentials, and the one that is given where none is asked for.
    pub ttl: Duration,
    /// Longest lifetime of credentials that other issuers sign with a configured secret; `None`: no limit.
    pub max_foreign_ttl: Option<Duration>,
    /// Requests per minute from one address.
    pub rate: NonZeroU32,
    pub ice: IceConfig,
    /// How what is relayed with the credentials is kept.
    pub usage: UsageConfig,
}

/// `/v1alpha/iceconfig`, whose clients don't authenticate.
#[derive(Debug, Clone, Copy)]
pub struct IceConfig {
    pub access: IceAccess,
    /// Lifetime of the credentials; [`CredentialsConfig::ttl`] bounds it.
    pub ttl: Duration,
    /// Requests per minute from one address.
    pub rate: NonZeroU32,
}

/// What `/v1alpha/iceconfig` requires of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IceAccess {
    Open,
    /// An API key.
    Key,
}

/// What `GET /turn` requires of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnAccess {
    /// Nothing.
    Open,
    /// An API key.
    Key,
    /// A user's password, or an API key.
    Users,
}

/// No setting makes credentials live longer, so removed users are remembered for this time.
pub const LONGEST_TTL: Duration = Duration::from_secs(604_800);
/// No setting makes credentials live shorter, in seconds.
const SHORTEST_TTL_SECONDS: u64 = 5;

/// Bytes of the shortest secret that is accepted: a shorter one can be guessed offline from one issued credential.
const MIN_SECRET_BYTES: usize = 4;

impl CredentialsConfig {
    /// Warnings about secrets that anybody with one issued credential could guess, and about a relay that is open to strangers.
    #[must_use]
    pub fn warnings(&self) -> Vec<Sentence> {
        let short = self.static_auth_secrets.iter().any(|secret| secret.expose().len() < MIN_UNGUESSABLE_SECRET_BYTES);
        let short = short.then(|| {
            let variable = &self.secrets_variable;
            Sentence::new(
                format!(
                    "A secret of {variable} has fewer than {MIN_UNGUESSABLE_SECRET_BYTES} characters: anybody who gets credentials \
                     can find it by trying, and sign their own. Use 32 characters, e.g. those of `openssl rand -hex 16`"
                ),
                format!(
                    "{variable} 中有一个密钥少于 {MIN_UNGUESSABLE_SECRET_BYTES} 个字符：任何拿到凭据的人都能试出它，并自行签发凭据。请使用 32 \
                     个字符，例如 `openssl rand -hex 16` 的输出"
                ),
            )
        });
        let open = (self.strangers == Scope::Anyone).then(|| {
            Sentence::new(
                "CASTWAY_TURN_ACCESS=open and CASTWAY_STATIC_AUTH_SECRET together let strangers relay data to anyone, through this \
                 server and every other server that shares the secret. Unset CASTWAY_TURN_ACCESS, and strangers reach this server's \
                 clients only",
                "CASTWAY_TURN_ACCESS=open 与 CASTWAY_STATIC_AUTH_SECRET 同时设置时，陌生人可以通过此服务器以及使用同一密钥的其他服务器向任何人中继\
                 数据。请取消 CASTWAY_TURN_ACCESS，这样陌生人只能到达此服务器的客户端",
            )
        });
        short.into_iter().chain(open).chain(self.odd_secrets.iter().cloned()).collect()
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let accesses = [("open", TurnAccess::Open), ("key", TurnAccess::Key), ("users", TurnAccess::Users)];
        let access = reader.choice(TURN_ACCESS, &accesses);
        let ice = IceConfig::read(reader);
        let api_keys = reader.secrets("CASTWAY_API_KEYS");
        if (access == TurnAccess::Key || ice.access == IceAccess::Key) && api_keys.values.is_empty() {
            let expected = "at least one key where CASTWAY_TURN_ACCESS or CASTWAY_ICE_ACCESS is key";
            reader.secret_problem("CASTWAY_API_KEYS", expected);
        }
        let secrets = reader.secrets("CASTWAY_STATIC_AUTH_SECRET");
        if secrets.values.iter().any(|secret| secret.expose().len() < MIN_SECRET_BYTES) {
            let expected = format!("secrets of at least {MIN_SECRET_BYTES} characters, better 32");
            reader.secret_problem(&secrets.variable, &expected);
        }
        let odd_secrets = [secrets.warnings, api_keys.warnings].concat();
        let static_auth_secrets = secrets.values;
        let ttl = ttl(reader, "CASTWAY_TTL");
        let max_foreign_ttl = max_foreign_ttl(reader).filter(|_| !static_auth_secrets.is_empty());
        let opened = access == TurnAccess::Open && reader.given(TURN_ACCESS).is_some() && !static_auth_secrets.is_empty();
        Self {
            access,
            strangers: if opened { Scope::Anyone } else { Scope::Clients },
            api_keys: api_keys.values,
            static_auth_secrets,
            secrets_variable: secrets.variable,
            odd_secrets,
            // Nobody can tell which issuer signed with a shared secret, so the limit for others holds for our own credentials too.
            ttl: max_foreign_ttl.map_or(ttl, |longest| ttl.min(longest)),
            max_foreign_ttl,
            rate: reader.per_minute("CASTWAY_CREDENTIALS_RATE"),
            ice,
            usage: UsageConfig::read(reader),
        }
    }
}

impl IceConfig {
    fn read(reader: &mut Reader) -> Self {
        Self {
            access: reader.choice("CASTWAY_ICE_ACCESS", &[("open", IceAccess::Open), ("key", IceAccess::Key)]),
            ttl: ttl(reader, "CASTWAY_ICE_TTL"),
            rate: reader.per_minute("CASTWAY_ICE_RATE"),
        }
    }
}

fn ttl(reader: &mut Reader, name: &str) -> Duration {
    reader.seconds(name, SHORTEST_TTL_SECONDS..=LONGEST_TTL.as_secs())
}

/// In seconds; 0 means no limit.
fn max_foreign_ttl(reader: &mut Reader) -> Option<Duration> {
    let expected = format!("0 for no limit, or seconds from {SHORTEST_TTL_SECONDS} to {}", u32::MAX);
    let longest = reader.value("CASTWAY_MAX_FOREIGN_TTL", &expected, |text| {
        let seconds: u64 = whole_number::read::<u32>(text)?.into();
        (seconds == 0 || seconds >= SHORTEST_TTL_SECONDS).then(|| Duration::from_secs(seconds))
    });
    Some(longest).filter(|longest| !longest.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Settings};

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
    fn secrets_and_keys_may_come_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            Some(path.to_str().unwrap().to_owned())
        };
        let settings = Settings {
            static_auth_secret_file: file("secrets", "0123456789,abcdef\n\"quoted-0123456789\"\n"),
            api_keys_file: file("keys", "first,key\nsecond \n"),
            turn_access: Some("key".into()),
            ..Settings::default()
        };
        let read = Config::read(&settings).expect("both files are there").credentials;
        let exposed = |secrets: &[Secret<String>]| secrets.iter().map(|secret| secret.expose().clone()).collect::<Vec<_>>();
        assert_eq!(exposed(&read.static_auth_secrets), ["0123456789,abcdef", "\"quoted-0123456789\""]);
        assert_eq!(exposed(&read.api_keys), ["first,key", "second "]);
        assert_eq!(read.secrets_variable, "CASTWAY_STATIC_AUTH_SECRET_FILE");
        let warnings = read.warnings().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(warnings.contains("CASTWAY_API_KEYS_FILE names, begins or ends with a blank"), "{warnings}");
        assert!(warnings.contains("_SECRET_FILE begins and ends with a quote") && !warnings.contains("0123"), "{warnings}");

        let problems = |settings: &Settings| Config::read(settings).expect_err("it can't be used").to_string();
        let both = problems(&Settings { static_auth_secret: Some("north".into()), api_keys: Some("one".into()), ..settings });
        for name in ["CASTWAY_STATIC_AUTH_SECRET", "CASTWAY_API_KEYS"] {
            assert!(both.contains(&format!("expected nothing where {name} is set")), "{both}");
        }
        assert!(!both.contains("north") && !both.contains("0123"), "{both}");
        let missing = problems(&Settings { static_auth_secret_file: Some("/nonexistent/secret".into()), ..Settings::default() });
        let expected = "CASTWAY_STATIC_AUTH_SECRET_FILE=\"/nonexistent/secret\": expected a file with one secret a line, newest first, \
                        but there is no such file";
        assert!(missing.contains(expected), "{missing}");
        let short = problems(&Settings { static_auth_secret_file: file("short", "abc"), ..Settings::default() });
        assert!(short.contains("CASTWAY_STATIC_AUTH_SECRET_FILE (value not shown)") && !short.contains("abc"), "{short}");
    }

    #[test]
    fn a_short_secret_is_worth_a_warning() {
        let warns = |secrets: &str| {
            let settings = Settings { static_auth_secret: Some(secrets.into()), ..Settings::default() };
            Config::read(&settings).expect("valid").credentials.warnings().len() == 1
        };
        assert!(warns("north") && warns("0123456789abcdef,fifteen-letters"));
        assert!(!warns("") && !warns("0123456789abcdef"));
    }

    #[test]
    fn strangers_reach_anyone_only_if_two_settings_say_so() {
        let read = |access: Option<&str>, secrets: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            let settings = Settings { turn_access: text(access), static_auth_secret: text(secrets), ..Settings::default() };
            let credentials = Config::read(&settings).expect("valid").credentials;
            (credentials.strangers, credentials.warnings().iter().any(|warning| warning.en.contains("CASTWAY_TURN_ACCESS")))
        };
        let secret = Some("0123456789abcdef");
        assert_eq!(read(Some("open"), secret), (Scope::Anyone, true));
        for (access, secret) in
            [(None, secret), (Some(" "), secret), (Some("open"), None), (Some("open"), Some(" , ")), (Some("users"), secret)]
        {
            assert_eq!(read(access, secret), (Scope::Clients, false), "{access:?}, {secret:?}");
        }
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
