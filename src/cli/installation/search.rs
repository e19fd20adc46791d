//! The search for an installation: the data folder that is named or found, and the settings of the service.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::cli::env_file::{self, EnvFile, Malformed};
use crate::cli::error::CliError;
use crate::cli::sources::Source;
use crate::cli::{systemd_env_file, trusted_file};
use crate::config::Settings;
use crate::users::DATABASE_FILE_NAME;

/// How to choose an installation.
const NAME_FOLDER: &str = "--data-dir DIR or CASTWAY_DATA_DIR";
/// How to choose a server to ask.
const NAME_ADDRESS: &str = "--http-addr IP:PORT or CASTWAY_HTTP_ADDR";

/// The folders and files of an installation, unless a setting names others.
#[derive(Debug, Clone)]
pub(in crate::cli) struct StandardPaths {
    /// The working folder.
    pub(in crate::cli) working_dir: PathBuf,
    /// The file with the service's settings, its `EnvironmentFile`.
    pub(in crate::cli) service_settings: PathBuf,
    /// The service's working folder, and its data folder unless its settings name another.
    pub(in crate::cli) service_data: PathBuf,
}

impl StandardPaths {
    /// The paths of `deploy/castway.service`.
    pub(in crate::cli) fn of_this_machine() -> io::Result<Self> {
        Ok(Self {
            working_dir: std::env::current_dir()?,
            service_settings: "/etc/castway/castway.env".into(),
            service_data: "/var/lib/castway".into(),
        })
    }
}

/// The service's settings, and the file that they come from.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) file: PathBuf,
    pub(super) settings: Settings,
    /// The file as a source of settings.
    pub(super) source: Source,
    /// What systemd skips of it, or takes otherwise than it was meant.
    pub(super) malformed: Vec<Malformed>,
}

/// What the command line and the environment give to the search.
#[derive(Debug)]
pub(in crate::cli) struct Given {
    pub(in crate::cli) settings: Settings,
    /// The flags and the environment by themselves.
    pub(in crate::cli) places: Vec<Source>,
    /// The fields of the settings that flags gave.
    pub(in crate::cli) flags: Vec<String>,
    /// Where the settings come from, in words.
    pub(in crate::cli) sources: Vec<String>,
    /// Whether the command is `castway health`, which needs a server's address and no data folder.
    pub(in crate::cli) asks_for_health: bool,
    /// Whether the command is `castway config check` or `castway doctor`, which go on where a line can't be parsed.
    pub(in crate::cli) examines_settings: bool,
}

/// The data folder that was found, and whose it is.
pub(super) enum Found {
    /// The folder of the user who typed the command.
    Own(PathBuf),
    Services(PathBuf, Option<Box<Service>>),
}

/// The folder that `given` or `both`, with what `.env` adds to it, names, or else the one that is found.
pub(super) fn find_folder(paths: &StandardPaths, given: &Given, both: &Settings) -> Result<Found, CliError> {
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
