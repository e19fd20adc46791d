//! The settings in which a command must agree with the server, which would otherwise refuse the command's results.

use std::path::Path;

use super::error::CliError;
use super::output::print_warning;
use crate::config::{Config, Settings, variable_of};

/// A setting that a command and the server must share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SharedSetting {
    /// Passwords are stored for one realm.
    Realm,
    /// Secrets sign and verify credentials.
    Secrets,
    /// The longest lifetime of credentials.
    Ttl,
}

impl SharedSetting {
    pub(super) const ALL: [Self; 3] = [Self::Realm, Self::Secrets, Self::Ttl];

    pub(super) fn is_among(self, fields: &[String]) -> bool {
        self.fields().iter().any(|own| fields.iter().any(|field| field == own))
    }

    /// Takes it out of `settings`.
    pub(super) fn unset(self, settings: &mut Settings) {
        match self {
            Self::Realm => settings.realm = None,
            Self::Secrets => (settings.static_auth_secret, settings.static_auth_secret_file) = (None, None),
            Self::Ttl => settings.ttl = None,
        }
    }

    /// Whether it is in `settings`.
    pub(super) fn is_set(self, settings: &Settings) -> bool {
        settings.set_fields().any(|(field, _)| self.fields().contains(&field.as_str()))
    }

    /// Its names in [`Settings`].
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Realm => &["realm"],
            Self::Secrets => &["static_auth_secret", "static_auth_secret_file"],
            Self::Ttl => &["ttl"],
        }
    }

    /// The name that `config` has it by.
    fn field(self, config: &Config) -> &'static str {
        let is_set = |field: &&&str| config.settings.expose().set_fields().any(|(set, _)| set == **field);
        self.fields().iter().find(is_set).unwrap_or(&self.fields()[0])
    }

    pub(super) fn differs(self, one: &Config, other: &Config) -> bool {
        match self {
            Self::Realm => one.relay.realm != other.relay.realm,
            Self::Secrets => one.credentials.static_auth_secrets != other.credentials.static_auth_secrets,
            Self::Ttl => one.credentials.ttl != other.credentials.ttl,
        }
    }

    pub(super) fn variable(self, config: &Config) -> String {
        variable_of(self.field(config))
    }

    fn flag(self, config: &Config) -> String {
        format!("--{}", self.field(config).replace('_', "-"))
    }

    /// The server's value, unless it is a secret.
    fn shown(self, config: &Config) -> String {
        match self {
            Self::Realm => format!(" ({:?})", config.relay.realm),
            Self::Secrets => String::new(),
            Self::Ttl => format!(" ({} seconds)", config.credentials.ttl.as_secs()),
        }
    }

    const fn consequence(self) -> &'static str {
        match self {
            Self::Realm => "its relay refuses the user as long as it has that realm",
            Self::Secrets => "it verifies nothing that other secrets sign",
            Self::Ttl => "its relay goes by its own longest life",
        }
    }
}

/// Compares the settings of a command, `mine`, with those that the `server` of `data_dir` was last started with. `flags` are the fields
/// that the command line itself gave: they are taken to be meant, and only get a warning.
///
/// # Errors
/// The environment or `.env` differs from the server, perhaps by mistake.
pub(super) fn check(
    shared: &[SharedSetting],
    mine: &Config,
    server: &Config,
    flags: &[String],
    data_dir: &Path,
) -> Result<(), CliError> {
    for setting in shared.iter().filter(|setting| setting.differs(mine, server)) {
        let (variable, flag) = (setting.variable(mine), setting.flag(mine));
        let typed = setting.is_among(flags);
        let name = if typed { &flag } else { &variable };
        let why = format!(
            "{name} differs from what the server of {} was last started with{}: {}",
            data_dir.display(),
            setting.shown(server),
            setting.consequence()
        );
        if !typed {
            return Err(CliError::Usage(format!(
                "{why}. Unset {variable} for this command, or restart the server with it; {flag} insists on it"
            )));
        }
        print_warning(&why);
    }
    Ok(())
}
