//! `castway backup` and `castway restore`: the data folder, as one file.

use std::path::PathBuf;

use super::error::CliError;
use super::installation::Installation;

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The file to write; it must not exist
    pub(super) file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// A file of castway backup
    pub(super) file: PathBuf,
}

pub(super) fn backup(_arguments: &Backup, _installation: &Installation) -> Result<(), CliError> {
    Err(CliError::Usage("castway backup is not there yet".to_owned()))
}

pub(super) fn restore(_arguments: &Restore, _installation: &Installation) -> Result<(), CliError> {
    Err(CliError::Usage("castway restore is not there yet".to_owned()))
}
