//! `castway config check`: all problems of the settings, the values in force, and where each came from.
//!
//! It reads what a server would read that is started in this installation, opens no port and writes nothing. `files` examines,
//! for a start as well, `findings` collects, `text` and serde show.

mod files;
mod findings;
mod text;

use clap::{Args, Subcommand};

use super::error::CliError;
use super::installation::Installation;
use super::output::{print, print_json, terminal_width};
pub(super) use files::examine;
use findings::Findings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what is wrong with the settings, which values are in force, and where each came from
    ///
    /// Secrets are not shown. The exit status is 64 where a server would not start with these settings, and 0 otherwise.
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Show the settings that have their defaults, too
    #[arg(long)]
    all: bool,
    /// Print JSON, with all settings
    #[arg(long)]
    json: bool,
}

pub(super) fn run(Command::Check(arguments): &Command, installation: &Installation) -> Result<(), CliError> {
    let findings = Findings::of(installation);
    if arguments.json {
        print_json(&findings)?;
    } else {
        print(text::of(&findings, arguments.all, terminal_width()))?;
    }
    if findings.ok { Ok(()) } else { Err(CliError::ReportedUsage) }
}

/// Where the search for the installation failed.
pub(super) fn without_installation(Command::Check(arguments): &Command, error: CliError) -> Result<(), CliError> {
    if let CliError::Usage(why) = &error
        && arguments.json
    {
        print_json(&Findings::only(why.clone()))?;
        return Err(CliError::ReportedUsage);
    }
    Err(error)
}
