//! The command line: its subcommands, and the settings that flags and the environment give. `help` and `flags` complete what clap derives.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::error::CliError;
use super::installation::Given;
use super::output::Json;
use super::sources::Source;
use super::{
    backup, block, completions, config_check, credentials, data_folder, doctor, end, flags, help, import, man, near_names,
    secret, sessions, status, usage, user,
};
use crate::config::{Settings, variable_of};

/// Puts a screen on another screen: signaling, TURN relay and pages in one server
#[derive(Debug, Parser)]
#[command(name = "castway", version, max_term_width = 120)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) settings: Settings,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the server (the same as no command at all)
    Run,
    /// Manage the users who may get relay credentials
    ///
    /// A running server follows within a second.
    #[command(subcommand, arg_required_else_help = true)]
    User(user::Command),
    /// Print time-limited relay credentials for a user, as JSON
    ///
    /// The JSON has the shape of GET /turn.
    Credentials(credentials::Arguments),
    /// Manage the secrets that sign relay credentials
    ///
    /// A running server follows within a second.
    #[command(subcommand, arg_required_else_help = true)]
    Secret(secret::Command),
    /// Ask the server on this machine whether it is ready
    ///
    /// It asks the server that runs with these settings. The exit status is 0 if it is ready, and 1 if it is not.
    Health,
    /// Say why casts don't work and what to do
    ///
    /// It looks at settings, ports, name, certificate, relay and firewall, and checks them from outside.
    Doctor(doctor::Arguments),
    /// Show what is running, in one screen
    ///
    /// TVs, casts, calls, rooms, allocations, Mbit/s, the certificate and the last check.
    Status(status::Arguments),
    /// List casts, calls, rooms and the relay's allocations
    Sessions(sessions::Arguments),
    /// End a cast, a call, a room, an allocation, or all that a user has
    End(end::Arguments),
    /// List what users have relayed, by day or month
    Usage(usage::Arguments),
    /// Block an address, a network or a user, and end what it has here
    Block(block::Block),
    /// Lift a ban, or let a throttled address guess again
    Unblock(block::Unblock),
    /// List who is blocked, and who has to wait because of wrong guesses
    Blocks(Json),
    /// Copy the data of a running or stopped server into a file
    Backup(backup::Backup),
    /// Put a backup into the data folder of a stopped server
    Restore(backup::Restore),
    /// Check the settings without starting the server
    #[command(subcommand, arg_required_else_help = true)]
    Config(config_check::Command),
    /// Take settings and users over from another TURN server
    #[command(subcommand, arg_required_else_help = true)]
    Import(import::Command),
    /// Print the completions of a shell
    Completions(completions::Arguments),
    /// Print the man page, or write all of them into a folder
    Man(man::Arguments),
    /// Answer the questions of another command about a data folder, with the rights of its owner
    #[command(name = data_folder::COMMAND, hide = true)]
    DataFolder { folder: PathBuf },
}

/// The command line, with the settings of the environment.
#[derive(Debug)]
pub(super) struct CommandLine {
    pub(super) command: Option<Command>,
    /// What the flags give, and below that the environment.
    pub(super) settings: Settings,
    /// The two by themselves.
    places: Vec<Source>,
    /// The `--ttl` of `castway credentials`: a request, for which the variable CASTWAY_TTL is the limit.
    pub(super) requested_ttl: Option<String>,
    /// The fields of the settings that flags gave.
    pub(super) flags: Vec<String>,
    /// The fields of the settings that variables gave.
    variables: Vec<String>,
}

impl CommandLine {
    pub(super) fn parse(args: &[OsString]) -> Result<Self, CliError> {
        let args = flags::joined(args, &command());
        let matches = command().try_get_matches_from(&args);
        let Cli { command, mut settings } = matches
            .and_then(|matches| Cli::from_arg_matches(&matches))
            .map_err(|error| CliError::Clap(near_names::without_far(help::instead_of(error, &args, &self::command()))))?;
        let asks_for_credentials = matches!(command, Some(Command::Credentials(_)));
        let requested_ttl = if asks_for_credentials { settings.ttl.take() } else { None };
        let environment = environment(std::env::vars_os())?;
        let fields = |settings: &Settings| settings.set_fields().map(|(field, _)| field).collect::<Vec<_>>();
        let (flags, mut variables) = (fields(&settings), fields(&environment));
        variables.retain(|field| !flags.contains(field));
        let merged = settings.or(&environment);
        let places = vec![Source::flags(settings), Source::environment(environment)];
        Ok(Self { command, settings: merged, places, requested_ttl, flags, variables })
    }

    /// What the command line and the environment give to the search for an installation.
    pub(super) fn given(&self) -> Given {
        let (settings, flags, sources) = (self.settings.clone(), self.flags.clone(), self.sources());
        Given {
            settings,
            places: self.places.clone(),
            flags,
            sources,
            asks_for_health: matches!(self.command, Some(Command::Health)),
            examines_settings: matches!(self.command, Some(Command::Config(_) | Command::Doctor(_))),
        }
    }

    /// Where the settings come from, in words; the data folder is left out.
    fn sources(&self) -> Vec<String> {
        let kinds = [(&self.flags, "the command line"), (&self.variables, "the environment")];
        let has = |fields: &[String]| fields.iter().any(|field| field != "data_dir");
        kinds.into_iter().filter(|(fields, _)| has(fields)).map(|(_, words)| words.to_owned()).collect()
    }
}

/// The settings among the environment's variables.
///
/// # Errors
/// One of them is no text.
fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Settings, CliError> {
    let known = self::variables();
    let mut texts = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.into_string().ok().filter(|name| known.contains(name)) else { continue };
        let Ok(value) = value.into_string() else {
            return Err(CliError::Usage(format!("{name} (value not shown): expected text in UTF-8")));
        };
        texts.push((name, value));
    }
    Ok(Settings::from_variables(texts.iter().map(|(name, value)| (name.as_str(), value.as_str()))))
}

/// The variables of all settings, in the order of `.env.example`.
pub fn variables() -> Vec<String> {
    let command = Cli::command();
    command.get_arguments().map(|argument| variable_of(argument.get_id().as_str())).collect()
}

/// What the documents say of a setting.
#[derive(Debug)]
pub struct SettingHelp {
    pub field: String,
    /// The form of its value.
    pub value: String,
    pub text: String,
}

/// The help of every setting.
#[must_use]
pub fn setting_help() -> Vec<SettingHelp> {
    let command = Cli::command();
    let help = |argument: &clap::Arg| SettingHelp {
        field: argument.get_id().to_string(),
        value: argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default(),
        text: argument.get_help().map(ToString::to_string).unwrap_or_default(),
    };
    command.get_arguments().map(help).collect()
}

/// All commands, with the settings as flags of each.
pub(super) fn command() -> clap::Command {
    Cli::command().mut_args(|argument| help::describe(flags::complete(argument)).global(true))
}

#[cfg(test)]
fn parsed(line: &str) -> Result<CommandLine, CliError> {
    CommandLine::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
}

/// What clap says of the line in place of running it: a help, or what is wrong with it.
#[cfg(test)]
pub(super) fn said(line: &str) -> String {
    match parsed(line) {
        Err(CliError::Clap(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn settings_come_before_and_after_the_command() {
        for line in ["castway --data-dir x user list", "castway user list --data-dir x", "castway user --data-dir x list"] {
            assert_eq!(parsed(line).unwrap().settings.data_dir.as_deref(), Some("x"), "{line}");
        }
    }

    #[test]
    fn the_ttl_of_the_credentials_command_is_no_setting() {
        let line = parsed("castway credentials alice --ttl 60").unwrap();
        assert_eq!((line.settings.ttl, line.requested_ttl.as_deref(), line.flags.len()), (None, Some("60"), 0));
        let line = parsed("castway --ttl 60").unwrap();
        assert_eq!((line.settings.ttl.as_deref(), line.requested_ttl, line.flags), (Some("60"), None, vec!["ttl".to_owned()]));
    }

    #[test]
    fn every_flag_has_its_variable_and_the_other_way_round() {
        for argument in command().get_arguments() {
            let flag = argument.get_long().expect("settings are long flags");
            assert_eq!(variable_of(argument.get_id().as_str()), format!("CASTWAY_{}", flag.to_uppercase().replace('-', "_")));
        }
    }

    #[test]
    fn a_variable_that_is_no_text_is_named_without_its_value() {
        use std::os::unix::ffi::OsStringExt as _;
        let broken = || OsString::from_vec(b"hunter2\xff".to_vec());
        let read = |name: &str| environment([(OsString::from(name), broken())].into_iter());
        assert!(read("HOME").unwrap().is_empty());
        match read("CASTWAY_API_KEYS") {
            Err(CliError::Usage(why)) => assert_eq!(why, "CASTWAY_API_KEYS (value not shown): expected text in UTF-8"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_example_file_names_every_setting_and_can_be_used() {
        let example = include_str!("../../.env.example");
        let lines: Vec<_> = example.lines().filter_map(|line| line.strip_prefix("#CASTWAY_")?.split_once('=')).collect();
        let names: Vec<_> = lines.iter().map(|(name, _)| format!("CASTWAY_{name}")).collect();
        assert_eq!(names, variables());
        let flags = lines.iter().map(|(name, value)| format!("--{}={value}", name.to_lowercase().replace('_', "-")));
        let args: Vec<_> = ["castway".to_owned()].into_iter().chain(flags).map(OsString::from).collect();
        let settings = CommandLine::parse(&args).unwrap().settings;
        Config::read(&settings).expect("the example can be used as it is");
        // The example shows each default; for a setting that has none, it shows an example or nothing.
        let shown = settings.or(&Settings::default());
        assert_eq!(Settings::defaults().or(&shown), shown);
    }
}
