//! `castway completions`.

use super::error::CliError;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// bash, zsh, fish, elvish or powershell
    pub(super) shell: clap_complete::Shell,
}

pub(super) fn run(_arguments: &Arguments) -> Result<(), CliError> {
    Err(CliError::Usage("castway completions is not there yet".to_owned()))
}
