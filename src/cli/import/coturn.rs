//! `castway import coturn`.

use std::path::{Path, PathBuf};

use super::added_users::{self, Added};
use super::config_file::{self, GivenOption};
use super::database::{self, Rows};
use super::differences::differences;
use super::facts::Facts;
use super::outcome::Outcome;
use super::report;
use super::taken_rows::{self, shown};
use super::translate::Translation;
use crate::cli::database::{block_on, with_store};
use crate::cli::error::CliError;
use crate::cli::escape::printable_part;
use crate::cli::installation::Installation;
use crate::cli::output::print;
use crate::cli::shared_settings::SharedSetting;
use crate::config::{Config, Settings};
use crate::users::Store;

const REALM: &str = "CASTWAY_REALM";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Coturn {
    /// The turnserver.conf
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The database of turnadmin (SQLite), or a dump of PostgreSQL, MySQL or Redis
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Write the settings to a new file, with the secrets
    #[arg(long, value_name = "FILE")]
    write_env: Option<PathBuf>,
    /// Add the users to the database of this server; users that are there already don't change
    #[arg(long)]
    add_users: bool,
    /// Arguments of turnserver, behind --
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

pub(super) fn run(arguments: &Coturn, installation: &Installation) -> Result<(), CliError> {
    if arguments.config.is_none() && arguments.db.is_none() && arguments.arguments.is_empty() {
        let expected = "name a file with --config FILE or --db FILE, or write the arguments of turnserver behind --";
        return Err(CliError::Usage(expected.to_owned()));
    }
    if arguments.add_users {
        return block_on(installation, import(arguments, installation));
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(import(arguments, installation))
}

async fn import(arguments: &Coturn, installation: &Installation) -> Result<(), CliError> {
    let mut options = match &arguments.config {
        Some(path) => config_file::read(path)?,
        None => Vec::new(),
    };
    options.extend(config_file::arguments(&arguments.arguments));
    let rows = match &arguments.db {
        Some(path) => Some(database::read(path).await?),
        None => None,
    };
    let given_realm = installation.settings().realm;
    let taken = Taken::new(options, rows, given_realm.as_deref())?;
    let users = &taken.translation.users;
    if arguments.add_users && !users.is_empty() {
        // What keeps the users from being added is said instead of the report.
        let done = with_store(installation, &[SharedSetting::Realm], async |store: &Store, config: &Config| {
            let server_realm = &config.relay.realm;
            added_users::require_realm(users, &taken.realm, server_realm)?;
            taken.report(arguments.write_env.as_deref())?;
            print_added(&added_users::add(store, users.clone(), server_realm).await?)
        });
        done.await?;
    } else {
        taken.report(arguments.write_env.as_deref())?;
        if !users.is_empty() {
            print(taken.users())?;
        }
    }
    if let Some(sentence) = report::not_understood(&taken.translation.outcomes) {
        print(format_args!("\n{sentence}"))?;
    }
    Ok(())
}

/// Everything that is taken over.
struct Taken {
    translation: Translation,
    facts: Facts,
    /// What becomes of the rows of the database.
    of_database: Vec<(String, Outcome)>,
    realm: String,
}

impl Taken {
    fn new(options: Vec<GivenOption>, rows: Option<Rows>, given_realm: Option<&str>) -> Result<Self, CliError> {
        let facts = Facts::new(&options);
        let has_options = !options.is_empty();
        let mut translation = Translation::new(options, &facts);
        let realm = realm(translation.value(REALM), rows.as_ref(), given_realm)?;
        if realm == default_realm() {
            translation.settings.remove(REALM);
        } else {
            translation.settings.insert(REALM, realm.clone());
        }
        let of_database = match rows {
            Some(rows) => taken_rows::take(rows, &realm, &facts, has_options, &mut translation),
            None => Vec::new(),
        };
        Ok(Self { translation, facts, of_database, realm })
    }

    /// Prints what becomes of everything, and writes the settings to a file where one is named.
    fn report(&self, write_env: Option<&Path>) -> Result<(), CliError> {
        print(self.text())?;
        if let Some(path) = write_env {
            report::write(path, &self.translation.settings)?;
            print(format_args!("\nWrote the settings to {}.", path.display()))?;
        }
        Ok(())
    }

    /// What becomes of everything, in lines.
    fn text(&self) -> String {
        let options = self.translation.outcomes.iter().map(|(option, outcome)| (report::source(option), outcome));
        let rows = self.of_database.iter().map(|(source, outcome)| (printable_part(&format!("database: {source}")), outcome));
        let mut lines: Vec<String> =
            options.chain(rows).map(|(source, outcome)| format!("{source} → {}", report::outcome(outcome))).collect();
        let settings = &self.translation.settings;
        lines.push(match settings.is_empty() {
            true => "\nNo setting has to be changed.".to_owned(),
            false => format!("\nSettings:\n{}", report::settings(settings)),
        });
        let problems = self.translation.problems().into_iter();
        lines.extend(problems.map(|problem| printable_part(&format!("The settings can't be used together: {problem}"))));
        lines.push("\nWhat else is different:".to_owned());
        lines.extend(differences(&self.facts, &self.translation).iter().map(|sentence| format!("- {sentence}")));
        lines.join("\n")
    }

    /// The users that could be added.
    fn users(&self) -> String {
        let (usable, refused) = added_users::usable(self.translation.users.clone());
        let mut lines = vec![String::new(), "Users:".to_owned()];
        if !usable.is_empty() {
            let names = shown("user", usable.iter().map(|(name, _)| name.as_str()));
            lines.push(format!(
                "{names} can be taken over: run the command with --add-users once the server runs with these settings."
            ));
        }
        lines.extend(refused.iter().map(|(name, error)| refusal(name, error)));
        lines.join("\n")
    }
}

/// The realm whose users and secrets are taken over: that of the options, the only one in the database, or the one that was given.
fn realm(named: Option<&str>, rows: Option<&Rows>, given: Option<&str>) -> Result<String, CliError> {
    let realms = rows.map(taken_rows::realms).unwrap_or_default();
    let of_database = realms.first().filter(|_| realms.len() == 1).map(|realm| (*realm).to_owned());
    let named = named.filter(|realm| !realm.is_empty()).map(str::to_owned);
    let given = given.map(str::trim).filter(|realm| !realm.is_empty()).map(str::to_owned);
    match named.or(given).or(of_database) {
        Some(realm) => Ok(realm),
        None if realms.is_empty() => Ok(default_realm()),
        None => {
            let names: Vec<&str> = realms.iter().copied().take(20).collect();
            Err(CliError::Usage(format!(
                "the database has several realms, and the server has one: choose it with --realm ({})",
                printable_part(&names.join(", "))
            )))
        }
    }
}

fn default_realm() -> String {
    Settings::defaults().realm.unwrap_or_default()
}

fn refusal(name: &str, why: impl std::fmt::Display) -> String {
    format!("{name:?} can't be taken over: {why}.")
}

fn print_added(added: &Added) -> Result<(), CliError> {
    print("\nUsers:")?;
    let lines = [
        (&added.added, "added."),
        (&added.same, "there already with the same password."),
        (&added.others, "there already with another password, and not changed; `castway user passwd` changes it."),
    ];
    for (names, what) in lines.into_iter().filter(|(names, _)| !names.is_empty()) {
        print(format_args!("{}: {what}", shown("user", names.iter().map(String::as_str))))?;
    }
    added.refused.iter().try_for_each(|(name, why)| print(refusal(name, why)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::TurnAccess;
    use crate::turn::DefaultFamily;

    fn taken(options: &str) -> Taken {
        Taken::new(config_file::options(options), None, None).unwrap()
    }

    /// The configuration that options become.
    fn config(options: &str) -> Config {
        let taken = taken(options);
        assert_eq!(taken.translation.problems(), Vec::<String>::new(), "{options}");
        let settings = taken.translation.settings.iter().map(|(name, value)| (*name, value.as_str()));
        Config::read(&Settings::from_variables(settings)).unwrap()
    }

    /// `tests/coturn` has files as projects write them, each with what becomes of it. `BLESS=1` writes the latter anew, to be read.
    #[test]
    fn r68_files_of_projects_become_what_is_expected() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/coturn");
        let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
        assert!(files.len() >= 20, "{}", files.len());
        for path in files {
            let taken = Taken::new(config_file::read(&path).unwrap(), None, None).unwrap();
            let users = if taken.translation.users.is_empty() { String::new() } else { format!("{}\n", taken.users()) };
            let end =
                report::not_understood(&taken.translation.outcomes).map(|sentence| format!("\n{sentence}\n")).unwrap_or_default();
            let text = format!("{}\n{users}{end}", taken.text());
            let expected = path.with_extension("txt");
            if std::env::var_os("BLESS").is_some() {
                fs::write(&expected, &text).unwrap();
            }
            assert_eq!(text, fs::read_to_string(&expected).unwrap(), "{}", path.display());
        }
    }

    #[test]
    fn no_password_in_an_option_is_printed() {
        for option in crate::cli::import::coturn_options::COTURN_OPTIONS {
            for value in ["mysql://u:hunter2@h/db", "https://u:hunter2://x@h/"] {
                let text = taken(&format!("cert=/x\npkey=/x\n{}={value}", option.name)).text();
                assert!(!text.contains("hunter2"), "{}: {text}", option.name);
            }
        }
    }

    #[test]
    fn the_report_ends_with_what_was_not_understood() {
        let said =
            |options: Vec<GivenOption>| report::not_understood(&Taken::new(options, None, None).unwrap().translation.outcomes);
        let lines = "realm=north\ntotal-quota=abc\nuser=carol\n\nlisening-port=3478\nbogus line here\nno-tls";
        assert_eq!(said(config_file::options(lines)).as_deref(), Some("4 lines were not understood: 2, 3, 5, 6."));
        assert_eq!(said(config_file::options("realm=north\nstale-nonce=x")).as_deref(), Some("1 line was not understood: 2."));
        assert_eq!(said(config_file::arguments(&["-y".to_owned()])).as_deref(), Some("1 argument was not understood: 1."));
        assert_eq!(said(config_file::options("realm=north")), None);
    }

    #[test]
    fn r68_an_option_and_its_setting_mean_the_same() {
        let relay = |options: &str| config(options).relay;
        assert_eq!(relay("listening-port=3479\nlistening-ip=192.0.2.7").addr.to_string(), "192.0.2.7:3479");
        let several = relay("listening-ip=127.0.0.1\nlistening-ip=192.0.2.7\nlistening-ip=192.0.2.8\nlistening-ip=2001:db8::7");
        assert_eq!(several.addr.to_string(), "[::]:3478");
        assert_eq!(several.relay_ips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.7", "2001:db8::7"]);
        let turns = config("tls-listening-port=5350").tls.turns.unwrap();
        assert!(turns.required && turns.addrs[0].port() == 5350);
        assert_eq!(relay("alt-listening-port=3480").alternate_port, Some(3480));
        assert!(!relay("no-udp").udp && !relay("no-tcp=yes").tcp && relay("no-udp=0").udp);
        assert!(config("no-tls").tls.https.is_none());
        assert!(relay("no-tcp-relay=false").tcp_relay && !relay("no-tcp-relay").tcp_relay);
        assert!(relay("rfc5780").discovery.is_some() && relay("no-rfc5780").discovery.is_none());
        assert_eq!(relay("relay-ip=192.0.2.7\nrelay-ip=192.0.2.8").relay_ips.len(), 1);
        let external = relay("external-ip=198.51.100.7/10.0.0.7\nexternal-ip=198.51.100.8/10.0.0.8").external;
        assert_eq!(
            external.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["198.51.100.7/10.0.0.7", "198.51.100.8/10.0.0.8"]
        );
        assert_eq!(relay("min-port=50000\nmax-port=50100").ports, 50_000..=50_100);
        assert_eq!(relay("max-port=3100\nmin-port=3000").ports, 3000..=3100);
        assert_eq!(relay("relay-threads=3").threads, 3);
        assert_eq!(
            (relay("relay-threads=0").threads, relay("cpus=2").threads, relay("cpus=2\nrelay-threads=4").threads),
            (1, 2, 4)
        );
        assert_eq!(relay("allocation-default-address-family=ipv6").default_family, DefaultFamily::Ipv6);
        assert_eq!(relay("keep-address-family").default_family, DefaultFamily::OfClient);
        assert_eq!(relay("realm=north.example\nrealm=south.example").realm, "south.example");
        assert_eq!((relay("user-quota=12").user_quota, relay("total-quota=100").total_quota), (Some(12), Some(100)));
        assert_eq!((relay("max-bps=64000").max_bps, relay("max-bps=0").max_bps), (Some(64_000), None));
        assert_eq!(relay("bps-capacity=1000000").bps_capacity, Some(1_000_000));
        let nonce = |options: &str| relay(options).stale_nonce.as_secs();
        assert_eq!((nonce("stale-nonce"), nonce("stale-nonce=1200"), nonce("stale-nonce=0")), (600, 1200, 3600));
        assert_eq!(relay("max-allocate-lifetime=1800").max_lifetime.as_secs(), 1800);
        let peers = relay(
            "allowed-peer-ip=10.0.0.1-10.0.0.2\nallow-loopback-peers\ndenied-peer-ip=198.51.100.0-198.51.100.255\n\
                           denied-peer-ip=8.8.8.8\ndenied-peer-ip=::ffff:0.0.0.0-::ffff:255.255.255.255",
        );
        let list = |networks: &[ipnet::IpNet]| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        assert_eq!(list(&peers.allowed_peers), "10.0.0.1/32,10.0.0.2/32,127.0.0.0/8,::1/128");
        assert_eq!(list(&peers.denied_peers), "8.8.8.8/32");
        assert!(relay("mobility").mobility && relay("software-attribute").software && !relay("no-software-attribute").software);
        let servers = relay("alternate-server=192.0.2.9\nalternate-server=192.0.2.10:3479\nalternate-server=[2001:db8::9]:3480");
        assert_eq!(
            servers.alternate_servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["192.0.2.9:3478", "[2001:db8::9]:3480"]
        );
        let secrets =
            config("use-auth-secret\nstatic-auth-secret=0123456789abcdef\nstatic-auth-secret=fedcba9876543210").credentials;
        assert_eq!(
            secrets.static_auth_secrets.iter().map(|secret| secret.expose().as_str()).collect::<Vec<_>>(),
            ["0123456789abcdef", "fedcba9876543210"]
        );
        assert_eq!(secrets.access, TurnAccess::Open);
        assert_eq!(secrets.strangers, crate::turn::Scope::Clients, "strangers still reach clients alone");
        assert_eq!(config("log-min-level=warning").log.filter, "warn");
        assert!(matches!(config("cert=/a.pem\npkey=/b.pem").tls.source, crate::config::CertificateSource::Files { .. }));
    }

    /// Every option that has a setting is one that the test above and [`setting_values`](super::super::setting_values) know.
    #[test]
    fn every_option_with_a_setting_becomes_one() {
        use crate::cli::import::coturn_options::{COTURN_OPTIONS, Counterpart};
        let values = ["8.8.8.8", "3480", "1", "true", "ipv6", "warning", "/a.pem", "0123456789abcdef"];
        for option in COTURN_OPTIONS {
            let Counterpart::Setting(variable) = option.becomes else { continue };
            let becomes = |value: &&str| {
                let both = if matches!(option.name, "cert" | "pkey") { "cert=/x\npkey=/x\n" } else { "" };
                let taken = taken(&format!("{both}{}={value}", option.name));
                let (_, outcome) = taken.translation.outcomes.last().unwrap();
                outcome.assignments().first().is_some_and(|assignment| assignment.variable == variable)
            };
            assert!(values.iter().any(becomes), "{}", option.name);
            let known = Settings::defaults();
            let field = variable.trim_start_matches("CASTWAY_").to_lowercase();
            assert!(serde_json::to_value(&known).unwrap().as_object().unwrap().contains_key(&field), "{variable}");
        }
    }

    #[test]
    fn r68_each_kind_of_dump_gives_the_same() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for name in ["postgresql.sql", "mariadb.sql", "redis.dump"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/coturn").join(name);
            let rows = || Some(runtime.block_on(database::read(&path)).unwrap());
            let several = Taken::new(Vec::new(), rows(), None).err().map(|error| format!("{error:?}")).unwrap_or_default();
            assert!(several.contains("choose it with --realm (north.example, south.example)"), "{several}");
            let ours = Taken::new(Vec::new(), rows(), Some("north.example")).unwrap();
            let settings: Vec<(&str, &str)> =
                ours.translation.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(
                settings,
                [
                    ("CASTWAY_DENIED_PEER_IP", "8.8.8.0/24"),
                    ("CASTWAY_REALM", "north.example"),
                    ("CASTWAY_STATIC_AUTH_SECRET", "a secret of ours")
                ],
                "{name}"
            );
            let mut names: Vec<&str> = ours.translation.users.iter().map(|user| user.name.as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["O'Neil", "alice"], "{name}");
            assert!(ours.text().contains("1 user (carol) → nothing: Their keys hold in the realm"), "{}", ours.text());
        }
    }

    /// Each text of a database, with the end of a line and what steers a terminal in it.
    #[test]
    fn hostile_names_make_no_line_of_the_output() {
        const FORGED: &str = "x\nSettings:\r\x1b[2J\u{202e}";
        let key = || super::super::credential::key("bc807ee29df3c9ffa736523fb2c4e8ee").unwrap();
        let forged = |prefix: &str| format!("{prefix}{FORGED}");
        let user = |realm: &str| super::super::credential::CoturnUser {
            name: forged("user "),
            realm: realm.to_owned(),
            credential: super::super::credential::Credential::Key(key()),
        };
        let rows = || {
            let mut rows = Rows::default();
            rows.users = vec![user(&forged("north ")), user(&forged("south "))];
            rows.secrets.push((forged("north "), crate::config::secret::Secret::new(forged("a secret "))));
            rows.peers.push(database::PeerRow { realm: String::new(), is_allowed: true, range: forged("8.8.8.8") });
            rows.peers.push(database::PeerRow { realm: forged("north "), is_allowed: false, range: forged("range ") });
            for value in ["10", FORGED] {
                let option =
                    database::RealmOption { realm: forged("north "), name: "max-bps".to_owned(), value: value.to_owned() };
                rows.realm_options.push(option);
            }
            rows.realm_options.push(database::RealmOption {
                realm: String::new(),
                name: forged("option "),
                value: String::new(),
            });
            rows.admins.push(forged("admin "));
            rows.unusable.push(forged("no key "));
            rows
        };
        let is_clean =
            |text: &str| !text.contains(['\r', '\x1b', '\u{202e}']) && !text.lines().any(|line| line.starts_with("Settings:"));
        let Err(CliError::Usage(several)) = Taken::new(Vec::new(), Some(rows()), None) else { panic!("two realms") };
        assert!(is_clean(&several) && several.lines().count() == 1, "{several}");
        let taken = Taken::new(Vec::new(), Some(rows()), Some(&forged("north "))).unwrap();
        let lines = taken.text();
        // The line of the heading is the command's own.
        let (of_rows, _) = lines.split_once("\n\nSettings:\n").unwrap();
        assert!(is_clean(of_rows) && of_rows.lines().count() == 10, "{of_rows}");
        assert!(!lines.contains(['\r', '\x1b', '\u{202e}']) && lines.matches("\nSettings:").count() == 1, "{lines}");
        assert!(is_clean(&taken.users()), "{}", taken.users());
        let names = shown("user", [forged("a").as_str(), "b"].into_iter());
        assert!(is_clean(&names) && names.lines().count() == 1, "{names}");
    }

    #[test]
    fn the_realm_is_the_one_that_turnserver_uses() {
        let rows = || {
            let mut rows = Rows::default();
            rows.secrets.push(("south.example".to_owned(), crate::config::secret::Secret::new("0123456789".to_owned())));
            Some(rows)
        };
        for (options, expected) in [
            ("realm=north.example", "north.example"),
            ("realm=north.example # ours", "north.example # ours"),
            ("realm=", "south.example"),
            ("realm=${REALM}", "south.example"),
            ("realm=castway", "castway"),
            ("", "south.example"),
        ] {
            let taken = Taken::new(config_file::options(options), rows(), None).unwrap();
            let set = taken.translation.settings.get(REALM).cloned().unwrap_or_else(default_realm);
            assert_eq!((taken.realm.as_str(), set.as_str()), (expected, expected), "{options}");
        }
        assert_eq!(taken("realm=${REALM}").translation.settings.get(REALM), None);
    }

    #[test]
    fn users_are_taken_over_unless_turnserver_ignores_them() {
        let names = |options: &str| taken(options).translation.users.iter().map(|user| user.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            names("lt-cred-mech\nuser=alice:x\nuser=bob:0xbc807ee29df3c9ffa736523fb2c4e8ee\nuser=carol"),
            ["alice", "bob"]
        );
        assert_eq!(names("user=alice:x\nuse-auth-secret"), Vec::<String>::new());
        let text = taken("user=1:x\nuser=alice:x\nuser=alice:y\nuser=A\u{308}:x").users();
        assert!(text.contains("2 users (1, alice) can be taken over"), "{text}");
        assert!(text.contains("can't be taken over: clients would send this user name as"), "{text}");
    }
}
