//! Runs the server or a command, as the command line says.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use super::command_line::{Command, CommandLine, command, variables};
use super::database::block_on;
use super::error::CliError;
use super::installation::{Installation, StandardPaths};
use super::output::{print_as_records, print_error, print_warning, prints_as_records};
use super::{
    backup, block, completions, config_check, credentials, data_folder, doctor, end, env_file, health, help, import, man, secret,
    sessions, status, unknown_variables, usage, user,
};
use crate::app::signals;
use crate::config::{Config, Problems, Settings, variable_of};

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
const EXIT_FAILED: u8 = 1;
/// Below the problems of settings.
const CHECK_NOTE: &str = "`castway config check` says where each value comes from";

/// Reads the command line and `.env`, and runs the server or a command; `serve` runs the server until it is asked to stop.
///
/// Call it first in `main`, before there are other threads: it sets environment variables from `.env`, and a command that root runs on
/// the data of another user becomes that user.
pub fn run(serve: impl FnOnce(Config) -> anyhow::Result<()>) -> ExitCode {
    match dispatch(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CliError::Clap(error)) if error.use_stderr() => {
            if prints_as_records() {
                print_error(error.render().to_string().trim_end());
            } else {
                let _ = error.print();
            }
            EXIT_USAGE.into()
        }
        Err(CliError::Clap(error)) => {
            // A closed pipe is the reader's choice.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        Err(CliError::Usage(message)) => {
            print_error(&message);
            EXIT_USAGE.into()
        }
        Err(CliError::Reported) => EXIT_FAILED.into(),
        Err(CliError::ReportedUsage) => EXIT_USAGE.into(),
        Err(CliError::Failed(error)) => {
            print_error(&format!("{error:#}"));
            EXIT_FAILED.into()
        }
    }
}

fn dispatch(serve: impl FnOnce(Config) -> anyhow::Result<()>) -> Result<(), CliError> {
    let args: Vec<_> = std::env::args_os().collect();
    print_as_records(asks_for_json(&args));
    // The command line is read before .env, so that --help works where .env is broken.
    let line = CommandLine::parse(&args)?;
    print_as_records(matches!(line.command, None | Some(Command::Run)) && is_json(&line.settings));
    match line.command {
        None | Some(Command::Run) => {
            signals::survive_hangup().context("the handler of SIGHUP can't be installed")?;
            let in_file = env_file::load(Path::new(env_file::FILE_NAME)).map_err(CliError::Usage)?;
            let settings = line.settings.or(&env_file::settings(&in_file.variables));
            print_as_records(is_json(&settings));
            warn_of_unknown([]);
            warn_of_secrets(&line.flags);
            let (config, problems) = config_check::examine(&settings, &in_file.malformed, Path::new(""), None);
            if problems.is_empty() {
                return Ok(serve(config)?);
            }
            Err(CliError::Usage(format!("{}\n{CHECK_NOTE}", Problems(problems))))
        }
        // It comes before all that reads settings or looks for folders.
        Some(Command::DataFolder { folder }) => Ok(data_folder::child::run(&folder)?),
        Some(Command::Completions(arguments)) => completions::run(&arguments, help::visible_command(&command())),
        Some(Command::Man(arguments)) => man::run(&arguments, help::visible_command(&command())),
        Some(_) => run_command(line),
    }
}

fn is_json(settings: &Settings) -> bool {
    settings.log_format.as_deref().is_some_and(|format| format.trim() == "json")
}

/// Whether a server that these arguments would start, if they could be read, would log JSON.
fn asks_for_json(args: &[OsString]) -> bool {
    let flag = |pair: &[OsString]| pair[0] == "--log-format" && pair[1] == "json";
    let by_flag = args.windows(2).any(flag) || args.iter().any(|arg| arg == "--log-format=json");
    let in_environment = || std::env::var(variable_of("log_format")).is_ok_and(|format| format.trim() == "json");
    (by_flag || in_environment()) && help::command_in(args, &command()).is_none_or(|command| command == "run")
}

/// Runs a command other than the server itself.
fn run_command(line: CommandLine) -> Result<(), CliError> {
    let found = StandardPaths::of_this_machine().context("the working folder can't be found").map_err(CliError::Failed);
    let found = found.and_then(|paths| Installation::find(&paths, &line.given()));
    let installation = match (found, &line.command) {
        (Ok(installation), _) => installation,
        (Err(error), Some(Command::Doctor(arguments))) => return doctor::without_installation(arguments, error),
        (Err(error), Some(Command::Config(command))) => return config_check::without_installation(command, error),
        (Err(error), _) => return Err(error),
    };
    if let Some(Command::Config(command)) = &line.command {
        warn_of_secrets(&line.flags);
        return config_check::run(command, &installation);
    }
    warn_of_unknown(installation.names().map(OsString::from));
    warn_of_secrets(&line.flags);
    match line.command {
        Some(Command::Health) => health::run(&installation.without_database()?),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments, &installation),
        Some(Command::Status(arguments)) => status::run(&arguments, &installation),
        Some(Command::Sessions(arguments)) => sessions::run(&arguments, &installation),
        Some(Command::End(arguments)) => end::run(&arguments, &installation),
        Some(Command::Block(arguments)) => block_on(&installation, block::block(arguments, &installation)),
        Some(Command::Unblock(arguments)) => block_on(&installation, block::unblock(arguments, &installation)),
        Some(Command::Blocks(format)) => block_on(&installation, block::blocks(format, &installation)),
        Some(Command::User(command)) => block_on(&installation, user::run(command, &installation)),
        Some(Command::Credentials(arguments)) => {
            block_on(&installation, credentials::run(&arguments, line.requested_ttl, &installation))
        }
        Some(Command::Secret(command)) => block_on(&installation, secret::run(command, &installation)),
        Some(Command::Usage(arguments)) => block_on(&installation, usage::run(&arguments, &installation)),
        Some(Command::Backup(arguments)) => backup::backup(&arguments, &installation),
        Some(Command::Restore(arguments)) => backup::restore(&arguments, &installation),
        Some(Command::Import(command)) => import::run(&command, &installation),
        None
        | Some(Command::Run | Command::DataFolder { .. } | Command::Completions(_) | Command::Man(_) | Command::Config(_)) => {
            Ok(())
        }
    }
}

fn warn_of_unknown(more: impl IntoIterator<Item = OsString>) {
    for warning in unknown_variables::warnings(std::env::vars_os().map(|(name, _)| name).chain(more), &variables()) {
        print_warning(&warning);
    }
}

/// Warns of secrets on the command line, which every user of the machine can read.
fn warn_of_secrets(flags: &[String]) {
    for field in flags.iter().filter(|field| Settings::SECRETS.contains(&field.as_str())) {
        let (flag, variable) = (field.replace('_', "-"), variable_of(field));
        print_warning(&format!(
            "--{flag} is on the command line, which every user of this machine can read (ps): set {variable} in .env or in the \
             environment instead, or name a file with {variable}_FILE"
        ));
    }
}
