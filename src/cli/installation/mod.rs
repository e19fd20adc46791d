//! The installation that a command works on: its data folder and its settings.
//!
//! A command may be typed beside a server that keeps its data in `./data`, or on a machine where a service runs as described by
//! `deploy/castway.service`. [`Installation::find`] takes the one that exists; if both exist, it asks and does not guess.

mod search;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;

use self::search::{Found, Service, find_folder};
pub(super) use self::search::{Given, StandardPaths};
use super::env_file::{self, EnvFile, Malformed};
use super::error::CliError;
use super::output::{print_error, print_warning};
use super::shared_settings::{self, SharedSetting};
use super::sources::Source;
use crate::config::{Config, Settings};
use crate::users::Store;

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
                print_warning(
                    "no server of this version has run with this folder yet; it must be started with the same settings, or it \
                     refuses what this command makes",
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
            print_warning(&format!(
                "{variable} in {file} differs from what the server was last started with, which counts until it is restarted"
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

/// Warns where the file of the secrets was written after the start of the server, which reads it only then.
fn warn_of_new_secrets(config: &Config, started_at: Option<i64>) {
    let Some(path) = &config.settings.expose().static_auth_secret_file else { return };
    let written = fs::metadata(path.trim()).ok().map(|found| found.mtime());
    if written.zip(started_at).is_some_and(|(written, started)| written > started) {
        print_warning(&format!(
            "{path} was written after the last start of the server, which verifies the secrets of that time: restart it"
        ));
    }
}

#[cfg(test)]
mod tests;
