//! `castway man`.

use std::path::PathBuf;

use super::error::CliError;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder, which is made where it is missing
    pub(super) folder: PathBuf,
}

pub(super) fn run(_arguments: &Arguments) -> Result<(), CliError> {
    Err(CliError::Usage("castway man is not there yet".to_owned()))
}
