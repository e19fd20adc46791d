//! `castway import`: takes settings and users over from another TURN server.
//!
//! `coturn` reads the options (`config_file`) and the database (`database`), translates them (`translate`, by the table `coturn_options`),
//! prints what they become (`report`), and adds the users (`added_users`). Nothing is written unless the caller asks for it.

mod added_users;
mod config_file;
mod coturn;
pub(super) mod coturn_options;
mod credential;
mod database;
mod differences;
mod env_value;
mod facts;
mod names;
mod outcome;
mod peer_range;
mod report;
mod setting_values;
mod shown_values;
mod taken_rows;
mod translate;

use super::error::CliError;
use super::installation::Installation;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the settings that a turnserver.conf becomes, line by line, and take its users over
    Coturn(coturn::Coturn),
}

pub(super) fn run(command: &Command, installation: &Installation) -> Result<(), CliError> {
    match command {
        Command::Coturn(arguments) => coturn::run(arguments, installation),
    }
}
