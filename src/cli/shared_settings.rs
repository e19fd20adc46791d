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
        fields.iter().any(|field| field == self.field())
    }

    pub(super) const fn text(self, settings: &mut Settings) -> &mut Option<String> {
        match self {
            Self::Realm => &mut settings.realm,
            Self::Secrets => &mut settings.static_auth_secret,
            Self::Ttl => &mut settings.ttl,
        }
    }

    /// The setting's name in [`Settings`].
    const fn field(self) -> &'static str {
        match self {
            Self::Realm => "realm",
            Self::Secrets => "static_auth_secret",
            Self::Ttl => "ttl",
        }
    }

    pub(super) fn differs(self, one: &Config, other: &Config) -> bool {
        match self {
            Self::Realm => one.relay.realm != other.relay.realm,
            Self::Secrets => one.credentials.static_auth_secrets != other.credentials.static_auth_secrets,
            Self::Ttl => one.credentials.ttl != other.credentials.ttl,
        }
    }

    pub(super) fn variable(self) -> String {
        variable_of(self.field())
    }

    fn flag(self) -> String {
        format!("--{}", self.field().replace('_', "-"))
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
        let (variable, flag) = (setting.variable(), setting.flag());
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
