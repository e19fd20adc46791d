//! The installation that a command works on: its data folder and its settings.
//!
//! A command may be typed beside a server that keeps its data in `./data`, or on a machine where a service runs as described by
//! `deploy/castway.service`. [`Installation::find`] takes the one that exists; if both exist, it asks and does not guess.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::env_file::{self, EnvFile, Malformed};
use super::error::CliError;
use super::output::print_error;
use super::shared_settings::{self, SharedSetting};
use super::sources::Source;
use super::{systemd_env_file, trusted_file};
use crate::config::{Config, Settings};
use crate::users::{DATABASE_FILE_NAME, Store};

/// How to choose an installation.
const NAME_FOLDER: &str = "--data-dir DIR or CASTWAY_DATA_DIR";
/// How to choose a server to ask.
const NAME_ADDRESS: &str = "--http-addr IP:PORT or CASTWAY_HTTP_ADDR";

/// The folders and files of an installation, unless a setting names others.
#[derive(Debug, Clone)]
pub(super) struct StandardPaths {
    /// The working folder.
    pub(super) working_dir: PathBuf,
    /// The file with the service's settings, its `EnvironmentFile`.
    pub(super) service_settings: PathBuf,
    /// The service's working folder, and its data folder unless its settings name another.
    pub(super) service_data: PathBuf,
}

impl StandardPaths {
    /// The paths of `deploy/castway.service`.
    pub(super) fn of_this_machine() -> io::Result<Self> {
        Ok(Self {
            working_dir: std::env::current_dir()?,
            service_settings: "/etc/castway/castway.env".into(),
            service_data: "/var/lib/castway".into(),
        })
    }
}

/// The service's settings, and the file that they come from.
#[derive(Debug)]
struct Service {
    file: PathBuf,
    settings: Settings,
    /// The file as a source of settings.
    source: Source,
    /// What systemd skips of it, or takes otherwise than it was meant.
    malformed: Vec<Malformed>,
}

/// What the command line and the environment give to the search.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) settings: Settings,
    /// The flags and the environment by themselves.
    pub(super) places: Vec<Source>,
    /// The fields of the settings that flags gave.
    pub(super) flags: Vec<String>,
    /// Where the settings come from, in words.
    pub(super) sources: Vec<String>,
    /// Whether the command is `castway health`, which needs a server's address and no data folder.
    pub(super) asks_for_health: bool,
    /// Whether the command is `castway config check` or `castway doctor`, which go on where a line can't be parsed.
    pub(super) examines_settings: bool,
}

#[derive(Debug)]
pub(super) struct Installation {
    data_dir: PathBuf,
    /// The settings of flags, the environment and, unless it is the service's installation, `.env`.
    given: Settings,
    /// The fields of `given` that flags gave.
    flags: Vec<String>,
    service: Option<Box<Service>>,
    /// Where `given` comes from, in words.
    sources: Vec<String>,
    /// The names of the variables in the `.env` that counts.
    names: Vec<String>,
    /// What can't be parsed in the `.env` of the working folder, for the commands that examine settings.
    malformed: Vec<Malformed>,
    /// Where all of its settings come from; the first one that has a setting counts.
    places: Vec<Source>,
    server_folder: PathBuf,
}

/// The data folder that was found, and whose it is.
enum Found {
    /// The folder of the user who typed the command.
    Own(PathBuf),
    Services(PathBuf, Option<Box<Service>>),
}

impl Installation {
    /// Finds the installation that `given` names, or else that of the working folder, or else the service.
    ///
    /// # Errors
    /// Two installations exist and none is named, or the service's settings can't be read.
    pub(super) fn find(paths: &StandardPaths, given: &Given) -> Result<Self, CliError> {
        let env_file = paths.working_dir.join(env_file::FILE_NAME);
        let EnvFile { variables, malformed } = env_file::read(&env_file).map_err(CliError::Usage)?;
        let sentences = || malformed.iter().map(|line| line.sentence.as_str()).collect::<Vec<_>>().join("\n");
        if !malformed.is_empty() && !given.examines_settings {
            return Err(CliError::Usage(sentences()));
        }
        let in_file = env_file::settings(&variables);
        let both = given.settings.or(&in_file);
        let found = find_folder(paths, given, &both).map_err(|error| {
            if let CliError::Usage(why) = &error
                && !malformed.is_empty()
            {
                CliError::Usage(format!("{}\n{why}", sentences()))
            } else {
                error
            }
        })?;
        let (flags, mut sources) = (given.flags.clone(), given.sources.clone());
        Ok(match found {
            Found::Own(data_dir) => {
                if !in_file.is_empty() {
                    sources.push(env_file.display().to_string());
                }
                let names = variables.iter().map(|variable| variable.name.clone()).collect();
                let mut places = given.places.clone();
                places.push(Source::file(env_file, in_file, &variables));
                let server_folder = paths.working_dir.clone();
                Self { data_dir, given: both, flags, service: None, sources, names, malformed, places, server_folder }
            }
            // The .env of the working folder is for a server of that folder.
            Found::Services(data_dir, service) => {
                let places = given.places.iter().chain(service.as_ref().map(|service| &service.source)).cloned().collect();
                let given = given.settings.clone();
                let server_folder = paths.service_data.clone();
                Self { data_dir, given, flags, service, sources, names: Vec::new(), malformed, places, server_folder }
            }
        })
    }

    /// The names of the variables in the `.env` that counts.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// What can't be parsed in the `.env` of the working folder.
    pub(super) fn malformed(&self) -> &[Malformed] {
        &self.malformed
    }

    /// What systemd skips of the service's settings, or takes otherwise than it was meant.
    pub(super) fn malformed_of_service(&self) -> &[Malformed] {
        self.service.as_ref().map(|service| service.malformed.as_slice()).unwrap_or_default()
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The settings without the server's record, for a command that does not open the database.
    pub(super) fn without_database(&self) -> Result<Config, CliError> {
        print_error(&format!("using {}", self.settings_in_words(false)));
        Ok(Config::read(&self.given.or(&self.service_settings()))?)
    }

    /// The given settings, completed by those that the server recorded in `store`. In the `shared` settings both must agree; in the
    /// other settings that a command can share with the server, the record counts.
    ///
    /// # Errors
    /// The given settings contradict the server's, or can't be used.
    pub(super) async fn settle(&self, store: &Store, shared: &[SharedSetting]) -> Result<Config, CliError> {
        let recorded = store.recorded().await?;
        print_error(&format!(
            "using the data folder {} and {}",
            self.data_dir.display(),
            self.settings_in_words(recorded.is_some())
        ));
        let mut config = if let Some(recorded) = recorded {
            let recorded = Settings::from_server_record(&recorded).map_err(|error| {
                anyhow!("what the server recorded in {} can't be read ({error}): restart the server", self.data_dir.display())
            })?;
            let mut given = self.given.clone();
            let others = SharedSetting::ALL.iter().filter(|other| !shared.contains(other) && !other.is_among(&self.flags));
            others.for_each(|other| other.unset(&mut given));
            let (mine, server) = (Config::read(&given.or(&recorded))?, Config::read(&recorded)?);
            shared_settings::check(shared, &mine, &server, &self.flags, &self.data_dir)?;
            self.warn_of_changes(shared, &server);
            if shared.contains(&SharedSetting::Secrets) {
                warn_of_new_secrets(&mine, store.started_at().await?);
            }
            mine
        } else {
            if !shared.is_empty() {
                print_error(
                    "warning: no server of this version has run with this folder yet; it must be started with the same settings, or \
                     it refuses what this command makes",
                );
            }
            Config::read(&self.given.or(&self.service_settings()))?
        };
        config.data_dir.clone_from(&self.data_dir);
        Ok(config)
    }

    /// Where its settings come from; the first one that has a setting counts.
    pub(super) fn places(&self) -> &[Source] {
        &self.places
    }

    /// The folder from which a server of this installation takes relative paths.
    pub(super) fn server_folder(&self) -> &Path {
        &self.server_folder
    }

    /// The settings of flags, the environment and files, without the server's record.
    pub(super) fn settings(&self) -> Settings {
        self.given.or(&self.service_settings())
    }

    /// The file of the service's settings, and what it says.
    pub(super) fn service(&self) -> Option<(&Path, &Settings)> {
        self.service.as_ref().map(|service| (service.file.as_path(), &service.settings))
    }

    fn service_settings(&self) -> Settings {
        self.service.as_ref().map(|service| service.settings.clone()).unwrap_or_default()
    }

    /// Warns where the service's settings were edited after its start. A setting that they lack may come from elsewhere in its unit.
    fn warn_of_changes(&self, shared: &[SharedSetting], server: &Config) {
        let Some(service) = &self.service else { return };
        let Ok(edited) = Config::read(&service.settings) else { return };
        for setting in shared.iter().filter(|setting| setting.differs(&edited, server)) {
            if !setting.is_set(&service.settings) {
                continue;
            }
            let (variable, file) = (setting.variable(&edited), service.file.display());
            print_error(&format!(
                "warning: {variable} in {file} differs from what the server was last started with, which counts until it is restarted"
            ));
        }
    }

    /// Where the settings come from.
    pub(super) fn settings_in_words(&self, recorded: bool) -> String {
        self.sources_in_words(recorded)
            .map_or_else(|| "the default settings".to_owned(), |sources| format!("the settings of {sources}"))
    }

    /// The places that the settings come from; `None`: there is none.
    pub(super) fn sources_in_words(&self, recorded: bool) -> Option<String> {
        let mut sources = self.sources.clone();
        sources.extend(self.service.as_ref().map(|service| service.file.display().to_string()));
        if recorded {
            sources.push("the server's last start".to_owned());
        }
        let last = sources.pop()?;
        Some(if sources.is_empty() { last } else { format!("{} and {last}", sources.join(", ")) })
    }
}

/// The folder that `given` or `both`, with what `.env` adds to it, names, or else the one that is found.
fn find_folder(paths: &StandardPaths, given: &Given, both: &Settings) -> Result<Found, CliError> {
    // Somebody who names the server's address has named the server.
    let named = given.asks_for_health && [&both.tcp_port, &both.http_addr, &both.domain].into_iter().any(Option::is_some);
    Ok(match &both.data_dir {
        Some(chosen) => {
            let data_dir = paths.working_dir.join(chosen.trim());
            // The service's settings are optional here, because the server has recorded its own in the data folder.
            let service = read_service(paths).ok().filter(|(theirs, _)| is_same_folder(&data_dir, theirs));
            match service.filter(|_| given.settings.data_dir.is_some()) {
                Some((_, service)) => Found::Services(data_dir, service),
                None => Found::Own(data_dir),
            }
        }
        None if named => Found::Own(paths.working_dir.join("data")),
        None => search(paths, if given.asks_for_health { NAME_ADDRESS } else { NAME_FOLDER })?,
    })
}

/// Warns where the file of the secrets was written after the start of the server, which reads it only then.
fn warn_of_new_secrets(config: &Config, started_at: Option<i64>) {
    let Some(path) = &config.settings.expose().static_auth_secret_file else { return };
    let written = fs::metadata(path.trim()).ok().map(|found| found.mtime());
    if written.zip(started_at).is_some_and(|(written, started)| written > started) {
        print_error(&format!(
            "warning: {path} was written after the last start of the server, which verifies the secrets of that time: restart it"
        ));
    }
}

/// The service's data folder, and its settings if it has a file of them.
fn read_service(paths: &StandardPaths) -> io::Result<(PathBuf, Option<Box<Service>>)> {
    let service = match trusted_file::read(&paths.service_settings) {
        Ok(text) => {
            let EnvFile { variables, malformed } = systemd_env_file::read(&paths.service_settings, &text);
            let mut settings = env_file::settings(&variables);
            // Paths of the service's settings begin at its working folder.
            let files = [&mut settings.static_auth_secret_file, &mut settings.api_keys_file, &mut settings.webhook_secret_file];
            let files = files.into_iter().flatten();
            for file in files.filter(|file| !file.trim().is_empty()) {
                *file = paths.service_data.join(file.trim()).to_string_lossy().into_owned();
            }
            let file = paths.service_settings.clone();
            let source = Source::file(file.clone(), settings.clone(), &variables);
            Some(Box::new(Service { file, settings, source, malformed }))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
        Err(error) => return Err(error),
    };
    let named = service.as_ref().and_then(|service| service.settings.data_dir.as_deref());
    let named = named.map(str::trim).filter(|named| !named.is_empty());
    let data_dir = named.map_or_else(|| paths.service_data.clone(), |named| paths.service_data.join(named));
    Ok((data_dir, service))
}

/// Searches where no data folder is named; `how` says how to name one.
fn search(paths: &StandardPaths, how: &str) -> Result<Found, CliError> {
    let own = paths.working_dir.join("data");
    let (theirs, service) = match read_service(paths) {
        Ok(found) => found,
        Err(_) if has_database(&own) => return Err(ambiguous_installation(&own, &paths.service_settings, how)),
        Err(error) => return Err(unreadable(&paths.service_settings, &error, how)),
    };
    match (has_database(&own), has_database(&theirs)) {
        (true, true) if !is_same_folder(&own, &theirs) => Err(ambiguous_installation(&own, &theirs, how)),
        (true, false) => Ok(Found::Own(own)),
        (false, false) if service.is_none() => Ok(Found::Own(own)),
        _ => Ok(Found::Services(theirs, service)),
    }
}

/// A folder that can't be read counts as one with a database, because it may be that of another user's server.
fn has_database(folder: &Path) -> bool {
    folder.join(DATABASE_FILE_NAME).try_exists().unwrap_or(true)
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    one.canonicalize().ok().zip(other.canonicalize().ok()).is_some_and(|(one, other)| one == other)
}

fn ambiguous_installation(own: &Path, service: &Path, how: &str) -> CliError {
    CliError::Usage(format!(
        "there are two installations here, that of the working folder ({}) and that of the service ({}): choose one with {how}",
        own.display(),
        service.display()
    ))
}

fn unreadable(settings: &Path, error: &io::Error, how: &str) -> CliError {
    CliError::Failed(anyhow!(
        "{}, the settings of the service, can't be read: {error}. Run the command as root (sudo), or say what it is for with {how}",
        settings.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::command_line::CommandLine;

    /// A working folder and the paths of a service, all empty.
    struct Machine {
        _folder: tempfile::TempDir,
        paths: StandardPaths,
    }

    impl Machine {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            let paths =
                StandardPaths { working_dir: at("here"), service_settings: at("etc/castway.env"), service_data: at("lib") };
            fs::create_dir(&paths.working_dir).unwrap();
            fs::create_dir(at("etc")).unwrap();
            Self { _folder: folder, paths }
        }

        fn has_data(&self, folder: &str) -> PathBuf {
            let folder = self.paths.working_dir.parent().unwrap().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("castway.db"), "x").unwrap();
            folder
        }

        fn service(&self, settings: &str) {
            fs::write(&self.paths.service_settings, settings).unwrap();
        }

        fn find(&self, line: &str) -> Result<Installation, CliError> {
            let args: Vec<_> = line.split(' ').map(OsString::from).collect();
            Installation::find(&self.paths, &CommandLine::parse(&args).unwrap().given())
        }

        fn data_dir(&self, line: &str) -> PathBuf {
            self.find(line).unwrap().data_dir
        }

        fn refusal(&self, line: &str) -> String {
            match self.find(line) {
                Err(CliError::Usage(message)) => message,
                Err(CliError::Failed(error)) => error.to_string(),
                other => panic!("{other:?}"),
            }
        }
    }

    const LIST: &str = "castway user list";

    #[test]
    fn a_command_takes_the_working_folders_data_or_the_services() {
        let machine = Machine::new();
        let here = machine.paths.working_dir.join("data");
        assert_eq!(machine.data_dir(LIST), here, "where nothing is");
        machine.service("");
        assert_eq!(machine.data_dir(LIST), machine.paths.service_data, "a service that never ran");
        machine.has_data("here/data");
        assert_eq!(machine.data_dir(LIST), here, "a service without data is none");

        let machine = Machine::new();
        let lib = machine.has_data("lib");
        assert_eq!(machine.data_dir(LIST), lib, "without a file of settings");
        machine.service("CASTWAY_DATA_DIR='data of it'\n");
        let named = machine.has_data("lib/data of it");
        assert_eq!(machine.data_dir(LIST), named, "a path from the service's working folder");
    }

    #[test]
    fn the_service_is_where_its_unit_puts_it() {
        let unit = include_str!("../../deploy/castway.service");
        let paths = StandardPaths::of_this_machine().unwrap();
        let (settings, data) = (paths.service_settings.display(), paths.service_data.display());
        for line in [
            format!("EnvironmentFile=-{settings}"),
            format!("Environment=CASTWAY_DATA_DIR={data}"),
            format!("WorkingDirectory={data}"),
        ] {
            assert!(unit.lines().any(|found| found == line), "{line}");
        }
    }

    #[test]
    fn two_installations_are_an_error_that_names_both() {
        let machine = Machine::new();
        let (own, service) = (machine.has_data("here/data"), machine.has_data("lib"));
        let refusal = machine.refusal(LIST);
        for part in [own.to_str().unwrap(), service.to_str().unwrap(), "--data-dir DIR or CASTWAY_DATA_DIR"] {
            assert!(refusal.contains(part), "{refusal}");
        }
        assert!(machine.refusal("castway health").contains("--http-addr"));
        assert_eq!(machine.data_dir("castway user list --data-dir data"), own);
        assert_eq!(machine.data_dir(&format!("castway user list --data-dir {}", service.display())), service);
        assert!(machine.find("castway health --http-addr 127.0.0.1:1").is_ok());
        fs::write(machine.paths.working_dir.join(".env"), "CASTWAY_DATA_DIR=data\n").unwrap();
        assert_eq!(machine.data_dir(LIST), own);

        let mut machine = Machine::new();
        machine.has_data("here/data");
        machine.paths.service_data.clone_from(&machine.paths.working_dir);
        machine.service(&format!("CASTWAY_DATA_DIR={}/data", machine.paths.working_dir.display()));
        assert!(machine.find(LIST).unwrap().service.is_some(), "the service's is the working folder's");
    }

    #[test]
    fn unreadable_settings_of_the_service_are_an_error() {
        let machine = Machine::new();
        // A folder can't be read as a file, by root neither.
        fs::create_dir(&machine.paths.service_settings).unwrap();
        let refusal = machine.refusal(LIST);
        assert!(refusal.contains("castway.env, the settings of the service, can't be read"), "{refusal}");
        assert!(refusal.contains("sudo") && refusal.contains("--data-dir"), "{refusal}");
        machine.has_data("here/data");
        assert!(machine.refusal(LIST).contains("there are two installations here"));
    }

    #[test]
    fn a_malformed_line_of_the_service_stops_no_command() {
        let machine = Machine::new();
        machine.has_data("lib");
        machine.service("CASTWAY_TTL=60\nCASTWAY_REALM two words\n");
        for line in [LIST, "castway config check", "castway doctor"] {
            let found = machine.find(line).unwrap();
            let names: Vec<_> = found.malformed_of_service().iter().map(|line| line.name.as_deref()).collect();
            assert_eq!(
                (names, found.settings().ttl.as_deref(), found.malformed()),
                (vec![Some("CASTWAY_REALM")], Some("60"), &[][..])
            );
        }
    }

    #[test]
    fn a_line_that_cannot_be_parsed_stops_all_commands_but_those_that_examine_settings() {
        let machine = Machine::new();
        fs::write(machine.paths.working_dir.join(".env"), "CASTWAY_REALM=two words\nCASTWAY_TTL=60\nbad line\n").unwrap();
        let refusal = machine.refusal(LIST);
        assert!(refusal.contains("line 1 (the value of CASTWAY_REALM)") && refusal.contains("line 3: expected"), "{refusal}");
        for line in ["castway config check", "castway doctor"] {
            let found = machine.find(line).unwrap();
            assert_eq!((found.malformed().len(), found.given.ttl.as_deref()), (2, Some("60")), "{line}");
        }
        machine.has_data("here/data");
        machine.has_data("lib");
        let refusal = machine.refusal("castway config check");
        assert!(refusal.contains("line 3: expected") && refusal.contains("two installations"), "{refusal}");
    }

    #[test]
    fn each_installation_has_its_own_settings() {
        let machine = Machine::new();
        fs::write(machine.paths.working_dir.join(".env"), "CASTWAY_REALM=mine\nCASTWAY_REALN=x\n").unwrap();
        let own = machine.find("castway user list --ttl 60").unwrap();
        assert_eq!((own.given.realm.as_deref(), own.given.ttl.as_deref()), (Some("mine"), Some("60")));
        assert_eq!(own.names().collect::<Vec<_>>(), ["CASTWAY_REALM", "CASTWAY_REALN"]);
        let words = own.settings_in_words(true);
        let env = machine.paths.working_dir.join(".env");
        assert_eq!(words, format!("the settings of the command line, {} and the server's last start", env.display()));

        machine.service("CASTWAY_REALM=theirs\nCASTWAY_HTTP_ADDR=127.0.0.1:1234\n");
        let by_name = machine.find(&format!("castway user list --data-dir {}", machine.has_data("lib").display())).unwrap();
        assert!(by_name.service.is_some(), "a service by the name of its folder");
        let services = machine.find("castway health").unwrap();
        assert_eq!(services.given.realm, None, "what is in the working folder's .env is not for the service");
        let config = services.without_database().unwrap();
        assert_eq!((config.relay.realm.as_str(), config.http.listen[0].addrs[0].port()), ("theirs", 1234));
        let words = services.settings_in_words(false);
        assert_eq!(words, format!("the settings of {}", machine.paths.service_settings.display()));

        machine.service("CASTWAY_STATIC_AUTH_SECRET_FILE=secrets\n");
        fs::write(machine.has_data("lib").join("secrets"), "north-0123456789\n").unwrap();
        let config = machine.find("castway health").unwrap().without_database().unwrap();
        assert_eq!(config.credentials.static_auth_secrets.len(), 1, "a path from the service's working folder");
    }
}
