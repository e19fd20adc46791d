//! The command line: `castway` runs the server, its subcommands manage users, secrets and credentials.
//!
//! Exit status: 0 done, 1 failed, 64 the command line or a setting can't be used (`EX_USAGE` of sysexits.h).

mod agreement;
mod credentials;
mod environment;
mod environment_file;
mod health;
mod installation;
mod owner;
mod secret;
mod trusted_file;
mod user;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::agreement::Shared;
use self::installation::{Installation, Places};
use crate::app::signals;
use crate::config::{Config, Problems, Settings};
use crate::users::Store;

const ENV_FILE: &str = ".env";
/// The settings that hold secrets, by field.
const SECRETS: [&str; 2] = ["static_auth_secret", "api_keys"];
const USAGE: u8 = 64;
const FAILED: u8 = 1;

const AFTER: &str = "\
Without a command, castway runs the server: open /tv on the receiving screen and /cast on the sharing one.

Each setting can come from its flag, from the environment or from a file .env in the current folder; the first of these that \
has it wins. .env.example lists them all.";

const AFTER_SUBCOMMAND: &str = "\
The settings that `castway --help` lists can be given here too, for example --data-dir.

Without a data folder the command takes ./data of the current folder or that of the service (/etc/castway/castway.env, \
/var/lib/castway), whichever is there. Realm, secrets and the other settings come from what the server there was last started \
with. castway health asks the address that flags, the environment, .env or the settings of the service name.";

/// Puts a screen on another screen: signaling, TURN credentials, the TURN relay and the pages in one server
#[derive(Debug, Parser)]
#[command(name = "castway", version, after_help = AFTER, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
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
}

/// For lists.
#[derive(Debug, Args)]
struct Json {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Why the program ends early.
#[derive(Debug)]
enum Stop {
    /// Clap has something to print: help, the version or a usage error.
    Clap(clap::Error),
    /// A setting or an argument can't be used.
    Usage(String),
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stop {
    fn from(error: E) -> Self {
        match error.into().downcast::<Problems>() {
            Ok(problems) => Self::Usage(problems.to_string()),
            Err(error) => Self::Failed(error),
        }
    }
}

/// Reads the command line and `.env`, and does what they say; `serve` runs the server until it is told to stop.
///
/// Call it first in `main`: it sets environment variables from `.env`, which no other thread may be reading then, and where root
/// runs a command on the data of another user it becomes that user.
pub fn run(serve: impl FnOnce(Config) -> anyhow::Result<()>) -> ExitCode {
    match dispatch(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Clap(error)) => {
            // A closed pipe is the reader's choice.
            let _ = error.print();
            if error.use_stderr() { USAGE.into() } else { ExitCode::SUCCESS }
        }
        Err(Stop::Usage(message)) => {
            complain(&message);
            USAGE.into()
        }
        Err(Stop::Failed(error)) => {
            complain(&format!("{error:#}"));
            FAILED.into()
        }
    }
}

/// The variables of all settings, in the order of the help.
pub fn variables() -> Vec<String> {
    let command = Cli::command();
    command.get_arguments().filter_map(|argument| Some(argument.get_env()?.to_string_lossy().into_owned())).collect()
}

fn dispatch(serve: impl FnOnce(Config) -> anyhow::Result<()>) -> Result<(), Stop> {
    let args: Vec<_> = std::env::args_os().collect();
    // Before .env: help is what somebody with a broken one may be looking for.
    let line = Line::parse(&args)?;
    match line.cli.command {
        None | Some(Command::Run) => {
            signals::survive_hangup().context("SIGHUP can't be heard")?;
            environment::load(Path::new(ENV_FILE)).map_err(Stop::Usage)?;
            let line = Line::parse(&args)?;
            warn_of_unknown([]);
            warn_of_secrets(&line.flags);
            Ok(serve(Config::read(&line.cli.settings)?)?)
        }
        Some(_) => beside(line),
    }
}

/// Runs a command that is not the server itself.
fn beside(line: Line) -> Result<(), Stop> {
    let places = Places::of_this_machine().context("the working folder can't be found")?;
    let installation = Installation::find(&places, &line)?;
    warn_of_unknown(installation.names().map(OsString::from));
    warn_of_secrets(&line.flags);
    match line.cli.command {
        Some(Command::Health) => health::run(&installation.without_database()?),
        Some(Command::User(command)) => block_on(&installation, user::run(command, &installation)),
        Some(Command::Credentials(arguments)) => {
            block_on(&installation, credentials::run(&arguments, line.wished_ttl, &installation))
        }
        Some(Command::Secret(command)) => block_on(&installation, secret::run(command, &installation)),
        None | Some(Command::Run) => Ok(()),
    }
}

fn warn_of_unknown(more: impl IntoIterator<Item = OsString>) {
    for warning in environment::unknown(std::env::vars_os().map(|(name, _)| name).chain(more), &variables()) {
        eprintln!("castway: warning: {warning}");
    }
}

/// Every user of a machine can read the command lines of its programs.
fn warn_of_secrets(flags: &[String]) {
    for field in flags.iter().filter(|field| SECRETS.contains(&field.as_str())) {
        let (flag, variable) = (field.replace('_', "-"), field.to_uppercase());
        eprintln!(
            "castway: warning: --{flag} is on the command line, which every user of this machine can read (ps): set CASTWAY_{variable} in \
             .env or in the environment instead"
        );
    }
}

/// The command line with the variables that are set.
#[derive(Debug)]
struct Line {
    cli: Cli,
    /// The `--ttl` of `castway credentials`: a wish, where the variable is the limit.
    wished_ttl: Option<String>,
    /// The settings that flags gave, by field.
    flags: Vec<String>,
    /// The settings that variables gave, by field.
    variables: Vec<String>,
}

impl Line {
    fn parse(args: &[OsString]) -> Result<Self, Stop> {
        let matches = Cli::command().try_get_matches_from(args).map_err(|error| Stop::Clap(briefer(error, args)))?;
        let mut cli = Cli::from_arg_matches(&matches).map_err(Stop::Clap)?;
        let command = Cli::command();
        let from = |source: ValueSource| {
            let fields = command.get_arguments().map(|argument| argument.get_id().as_str());
            fields.filter(|field| matches.value_source(field) == Some(source)).map(str::to_owned).collect::<Vec<_>>()
        };
        let (mut flags, variables) = (from(ValueSource::CommandLine), from(ValueSource::EnvVariable));
        let mut wished_ttl = None;
        if matches!(cli.command, Some(Command::Credentials(_))) && flags.iter().any(|field| field == "ttl") {
            flags.retain(|field| field != "ttl");
            wished_ttl = cli.settings.ttl.take();
            cli.settings.ttl = std::env::var("CASTWAY_TTL").ok();
        }
        Ok(Self { cli, wished_ttl, flags, variables })
    }

    const fn asks_for_health(&self) -> bool {
        matches!(self.cli.command, Some(Command::Health))
    }

    /// Where the settings are from, in words; the data folder aside.
    fn sources(&self) -> Vec<String> {
        let kinds = [(&self.flags, "the command line"), (&self.variables, "the environment")];
        let has = |fields: &[String]| fields.iter().any(|field| field != "data_dir");
        kinds.into_iter().filter(|(fields, _)| has(fields)).map(|(_, words)| words.to_owned()).collect()
    }
}

/// The help of a subcommand without the settings, which would bury its own few arguments.
fn briefer(error: clap::Error, args: &[OsString]) -> clap::Error {
    if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        return error;
    }
    let command = Cli::command().disable_help_flag(true).ignore_errors(true);
    let asks = |arg: &OsString| ["--help", "-h", "help"].iter().any(|help| arg == help);
    let chosen = command.try_get_matches_from(args.iter().filter(|arg| !asks(arg)));
    match chosen.as_ref().ok().and_then(|matches| matches.subcommand_name()) {
        None | Some("run") => error,
        Some(_) => {
            let hidden = annotated(Cli::command().mut_args(|arg| arg.hide(true)));
            hidden.try_get_matches_from(args).err().unwrap_or(error)
        }
    }
}

/// Says below the help of each subcommand, at any depth, what was left out of it.
fn annotated(command: clap::Command) -> clap::Command {
    let names: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |command| {
            let own = command.get_after_help().map(|own| format!("{own}\n\n")).unwrap_or_default();
            annotated(command.after_help(format!("{own}{AFTER_SUBCOMMAND}")))
        })
    })
}

/// Runs `work` as the owner of the data.
fn block_on(installation: &Installation, work: impl Future<Output = Result<(), Stop>>) -> Result<(), Stop> {
    owner::become_owner(installation.data_dir())?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Opens the database, does `work` with it and the settings, which agree with the server in what is `shared`, and closes it, so
/// that the file is in order when the command ends.
async fn with_store<T>(
    installation: &Installation,
    shared: &[Shared],
    work: impl AsyncFnOnce(&Store, &Config) -> Result<T, Stop>,
) -> Result<T, Stop> {
    let store = Store::open_existing(installation.data_dir(), SystemTime::now()).await?;
    let done = match installation.settle(&store, shared).await {
        Ok(config) => work(&store, &config).await,
        Err(stop) => Err(stop),
    };
    store.close().await;
    done
}

/// Prints to standard output. A closed pipe, as of `castway user list | head`, is not an error.
fn print(text: impl fmt::Display) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "castway: {message}");
}

/// Rows below headings, in columns as wide as they need.
fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let rows = rows.iter().map(|row| line(row.each_ref().map(String::as_str)));
    [line(headings)].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Line, Stop> {
        Line::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    fn help(line: &str) -> String {
        match parsed(line) {
            Err(Stop::Clap(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_come_before_and_after_the_command() {
        for line in ["castway --data-dir x user list", "castway user list --data-dir x", "castway user --data-dir x list"] {
            assert_eq!(parsed(line).unwrap().cli.settings.data_dir.as_deref(), Some("x"), "{line}");
        }
    }

    #[test]
    fn the_ttl_of_credentials_is_a_wish() {
        let line = parsed("castway credentials alice --ttl 60").unwrap();
        assert_eq!((line.cli.settings.ttl, line.wished_ttl.as_deref(), line.flags.len()), (None, Some("60"), 0));
        let line = parsed("castway --ttl 60").unwrap();
        assert_eq!((line.cli.settings.ttl.as_deref(), line.wished_ttl, line.flags), (Some("60"), None, vec!["ttl".to_owned()]));
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
            let after = AFTER_SUBCOMMAND.lines().next().unwrap();
            assert!(!help.contains("CASTWAY_HTTP_ADDR") && help.contains(after), "{line}: {help}");
        }
        assert!(help("castway user add --help").contains("--generate"));
    }

    #[test]
    fn every_flag_has_its_variable_and_the_other_way_round() {
        let command = Cli::command();
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
        Config::read(&Line::parse(&args).unwrap().cli.settings).expect("the example can be used as it is");
    }

    #[test]
    fn columns_are_as_wide_as_needed() {
        let rows = [["alice".to_owned(), "x".to_owned()], ["李".to_owned(), String::new()]];
        assert_eq!(table(["N", "STATE"], &rows), "N      STATE\nalice  x\n李");
    }
}
