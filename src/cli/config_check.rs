//! `castway config check`: all problems of the settings, the values in force, and where each came from.

use super::error::CliError;
use super::installation::Installation;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Say what is wrong with the settings, which values are in force, and where each came from
    Check,
}

pub(super) fn run(_command: &Command, _installation: &Installation) -> Result<(), CliError> {
    Err(CliError::Usage("castway config check is not there yet".to_owned()))
}
