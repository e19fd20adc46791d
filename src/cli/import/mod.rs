//! `castway import`: takes settings and users over from another TURN server.

pub(super) mod coturn_options;

use std::path::PathBuf;

use super::error::CliError;
use super::installation::Installation;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the settings that a turnserver.conf becomes, line by line, and take its users over
    Coturn(Coturn),
}

#[derive(Debug, clap::Args)]
pub(super) struct Coturn {
    /// The turnserver.conf
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The database of turnadmin (SQLite), or a dump of PostgreSQL, MySQL or Redis
    #[arg(long, value_name = "FILE")]
    pub(super) db: Option<PathBuf>,
}

pub(super) fn run(_command: &Command, _installation: &Installation) -> Result<(), CliError> {
    Err(CliError::Usage("castway import is not there yet".to_owned()))
}
