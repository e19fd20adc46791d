//! The command line: its subcommands, its help, and the settings that it and the environment give.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::error::CliError;
use super::installation::Given;
use super::output::Json;
use super::{
    backup, block, completions, config_check, credentials, data_folder, doctor, end, import, man, secret, sessions, status,
    usage, user,
};
use crate::config::{Settings, variable_of};

/// Below the help of the server.
const HELP_NOTE: &str = "\
Without a command, castway runs the server: open /tv on the receiving screen and /cast on the sharing one.

Each setting can come from its flag, from the environment or from a file .env in the current folder; the first of these that \
has it wins. .env.example lists them all.";

/// Below the help of each subcommand.
const SUBCOMMAND_HELP_NOTE: &str = "\
The settings that `castway --help` lists can be given here too, for example --data-dir.

Without a data folder the command takes ./data of the current folder or that of the service (/etc/castway/castway.env, \
/var/lib/castway), whichever is there. Realm, secrets and the other settings come from what the server there was last started \
with. castway health asks the address that flags, the environment, .env or the settings of the service name.";

/// Puts a screen on another screen: signaling, TURN credentials, the TURN relay and the pages in one server
#[derive(Debug, Parser)]
#[command(name = "castway", version, after_help = HELP_NOTE, max_term_width = 120)]
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
    /// Manage the users who may get relay credentials; a running server follows within a second
    #[command(subcommand, arg_required_else_help = true)]
    User(user::Command),
    /// Print time-limited relay credentials for a user, as JSON in the shape of GET /turn
    Credentials(credentials::Arguments),
    /// Manage the secrets that sign relay credentials; a running server follows within a second
    #[command(subcommand, arg_required_else_help = true)]
    Secret(secret::Command),
    /// Ask the server that runs with these settings on this machine whether it is ready
    Health,
    /// Say why casts don't work and what to do: settings, ports, name, certificate, relay, firewall, and a check from outside
    Doctor(doctor::Arguments),
    /// Show what is running: TVs, casts, calls, rooms, allocations, Mbit/s, the certificate and the last check
    Status(status::Arguments),
    /// List what runs now: casts, calls, rooms, and allocations of the relay
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
    /// Put the data of a backup into the data folder of a stopped server
    Restore(backup::Restore),
    /// Check the settings without starting the server
    #[command(subcommand, arg_required_else_help = true)]
    Config(config_check::Command),
    /// Take settings and users over from another TURN server
    #[command(subcommand, arg_required_else_help = true)]
    Import(import::Command),
    /// Print the completions of a shell
    Completions(completions::Arguments),
    /// Write the man pages into a folder
    Man(man::Arguments),
    /// Answer the questions of another command about a data folder, with the rights of its owner
    #[command(name = data_folder::COMMAND, hide = true)]
    DataFolder { folder: PathBuf },
}

/// The command line, with the settings of the environment.
#[derive(Debug)]
pub(super) struct CommandLine {
    pub(super) cli: Cli,
    /// The `--ttl` of `castway credentials`: a request, for which the variable CASTWAY_TTL is the limit.
    pub(super) requested_ttl: Option<String>,
    /// The fields of the settings that flags gave.
    pub(super) flags: Vec<String>,
    /// The fields of the settings that variables gave.
    variables: Vec<String>,
}

impl CommandLine {
    pub(super) fn parse(args: &[OsString]) -> Result<Self, CliError> {
        let matches = command().try_get_matches_from(args).map_err(|error| CliError::Clap(without_settings(error, args)))?;
        let mut cli = Cli::from_arg_matches(&matches).map_err(CliError::Clap)?;
        let command = command();
        let from = |source: ValueSource| {
            let fields = command.get_arguments().map(|argument| argument.get_id().as_str());
            fields.filter(|field| matches.value_source(field) == Some(source)).map(str::to_owned).collect::<Vec<_>>()
        };
        let (mut flags, variables) = (from(ValueSource::CommandLine), from(ValueSource::EnvVariable));
        let mut requested_ttl = None;
        if matches!(cli.command, Some(Command::Credentials(_))) && flags.iter().any(|field| field == "ttl") {
            flags.retain(|field| field != "ttl");
            requested_ttl = cli.settings.ttl.take();
            cli.settings.ttl = std::env::var("CASTWAY_TTL").ok();
        }
        Ok(Self { cli, requested_ttl, flags, variables })
    }

    /// What the command line and the environment give to the search for an installation.
    pub(super) fn given(&self) -> Given {
        let (settings, flags, sources) = (self.cli.settings.clone(), self.flags.clone(), self.sources());
        Given { settings, flags, sources, asks_for_health: matches!(self.cli.command, Some(Command::Health)) }
    }

    /// Where the settings come from, in words; the data folder is left out.
    fn sources(&self) -> Vec<String> {
        let kinds = [(&self.flags, "the command line"), (&self.variables, "the environment")];
        let has = |fields: &[String]| fields.iter().any(|field| field != "data_dir");
        kinds.into_iter().filter(|(fields, _)| has(fields)).map(|(_, words)| words.to_owned()).collect()
    }
}

/// The variables of all settings, in the order of the help.
pub fn variables() -> Vec<String> {
    command().get_arguments().filter_map(|argument| Some(argument.get_env()?.to_string_lossy().into_owned())).collect()
}

/// The command with the defaults in the help of the settings. clap itself gets no defaults, because a setting that is not on the command
/// line may come from `.env` or from the server's record.
fn command() -> clap::Command {
    let variables = |(field, default): (String, String)| (variable_of(&field), default);
    let defaults: Vec<(String, String)> = Settings::defaults().set_fields().map(variables).collect();
    Cli::command().mut_args(|argument| {
        let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
        let default = defaults.iter().find(|(name, _)| Some(name) == variable.as_ref());
        let help = default.zip(argument.get_help()).map(|((_, default), help)| format!("{help} [default: {default}]"));
        match help {
            Some(help) => argument.help(help),
            None => argument,
        }
    })
}

/// Replaces the help of a subcommand by one without the settings, which would hide its own few arguments.
fn without_settings(error: clap::Error, args: &[OsString]) -> clap::Error {
    if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        return error;
    }
    let lenient = command().disable_help_flag(true).ignore_errors(true);
    let asks = |arg: &OsString| ["--help", "-h", "help"].iter().any(|help| arg == help);
    let chosen = lenient.try_get_matches_from(args.iter().filter(|arg| !asks(arg)));
    match chosen.as_ref().ok().and_then(|matches| matches.subcommand_name()) {
        None | Some("run") => error,
        Some(_) => {
            let hidden = with_note(command().mut_args(|arg| arg.hide(true)));
            hidden.try_get_matches_from(args).err().unwrap_or(error)
        }
    }
}

/// Adds a note about the omitted settings below the help of each subcommand, at any depth.
fn with_note(command: clap::Command) -> clap::Command {
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            let own = command.get_after_help().map(|own| format!("{own}\n\n")).unwrap_or_default();
            with_note(command.after_help(format!("{own}{SUBCOMMAND_HELP_NOTE}")))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parsed(line: &str) -> Result<CommandLine, CliError> {
        CommandLine::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    fn help(line: &str) -> String {
        match parsed(line) {
            Err(CliError::Clap(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn settings_come_before_and_after_the_command() {
        for line in ["castway --data-dir x user list", "castway user list --data-dir x", "castway user --data-dir x list"] {
            assert_eq!(parsed(line).unwrap().cli.settings.data_dir.as_deref(), Some("x"), "{line}");
        }
    }

    #[test]
    fn the_ttl_of_the_credentials_command_is_no_setting() {
        let line = parsed("castway credentials alice --ttl 60").unwrap();
        assert_eq!((line.cli.settings.ttl, line.requested_ttl.as_deref(), line.flags.len()), (None, Some("60"), 0));
        let line = parsed("castway --ttl 60").unwrap();
        assert_eq!(
            (line.cli.settings.ttl.as_deref(), line.requested_ttl, line.flags),
            (Some("60"), None, vec!["ttl".to_owned()])
        );
    }

    #[test]
    fn the_servers_help_has_the_settings_and_a_subcommands_has_not() {
        for line in ["castway --help", "castway -h", "castway run --help"] {
            assert!(help(line).contains("CASTWAY_HTTP_ADDR"), "{line}");
        }
        for line in [
            "castway user --help",
            "castway user",
            "castway user add -h",
            "castway help secret",
            "castway --data-dir x user add -h",
        ] {
            let help = help(line);
            let after = SUBCOMMAND_HELP_NOTE.lines().next().unwrap();
            assert!(!help.contains("CASTWAY_HTTP_ADDR") && help.contains(after), "{line}: {help}");
        }
        assert!(help("castway user add --help").contains("--generate"));
    }

    #[test]
    fn every_flag_has_its_variable_and_the_other_way_round() {
        let command = command();
        for argument in command.get_arguments() {
            let flag = argument.get_long().expect("settings are long flags");
            let variable = format!("CASTWAY_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(variable.as_str()));
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
        let settings = CommandLine::parse(&args).unwrap().cli.settings;
        Config::read(&settings).expect("the example can be used as it is");
        // The example shows each default; for a setting that has none, it shows an example or nothing.
        let shown = settings.or(&Settings::default());
        assert_eq!(Settings::defaults().or(&shown), shown);
    }
}
