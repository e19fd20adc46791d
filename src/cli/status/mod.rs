//! `castway status`: how much goes on, once or again and again.

mod shown;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use self::shown::Status;
use super::asking::{AskedServer, AskingError};
use super::error::CliError;
use super::escape::printable_json;
use super::installation::Installation;
use super::output::{is_colored, print_error, print_json, print_styled, terminal_width};
use crate::users::credentials::unix_seconds;

/// How often the server is asked with `--watch`.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);
/// Moves to the upper left corner.
const HOME: &str = "\x1b[H";
/// Clears what is below the cursor.
const CLEAR_BELOW: &str = "\x1b[J";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
    /// Ask every 2 seconds, until Ctrl-C or the end of the server
    #[arg(long)]
    watch: bool,
}

/// How the status is printed.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// On a terminal, which is cleared each time.
    Screen,
    Line,
    /// One object a line.
    Json,
}

pub(super) fn run(arguments: &Arguments, installation: &Installation) -> Result<(), CliError> {
    let mut server = AskedServer::find(installation)?;
    let first = ask(&mut server)?;
    if !arguments.watch {
        return if arguments.json { print_json(&first) } else { print_styled(on_screen(&first)) };
    }
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let form = match (arguments.json, io::stdout().is_terminal() && !is_dumb) {
        (true, _) => Form::Json,
        (false, true) => Form::Screen,
        (false, false) => Form::Line,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(watch(server, first, form));
    // Nobody waits for an answer that is still to come.
    runtime.shutdown_background();
    done
}

fn ask(server: &mut AskedServer) -> Result<Value, AskingError> {
    server.ask(json!({ "ask": "status" }))
}

async fn watch(mut server: AskedServer, first: Value, form: Form) -> Result<(), CliError> {
    let mut ticks = interval(WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    // From here on, Ctrl-C ends the watch and not the process.
    let mut interrupted = signal(SignalKind::interrupt())?;
    if matches!(form, Form::Screen) {
        write(&format!("{HOME}{CLEAR_BELOW}"))?;
    }
    let mut status = first;
    loop {
        match write(&written(&status, form)) {
            // The reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            done => done?,
        }
        tokio::select! {
            _ = interrupted.recv() => return Ok(()),
            _ = ticks.tick() => {}
        }
        let asked = tokio::task::spawn_blocking(move || {
            let answer = ask(&mut server);
            (server, answer)
        });
        let (returned, answer) = tokio::select! {
            _ = interrupted.recv() => return Ok(()),
            asked = asked => asked?,
        };
        server = returned;
        status = match answer {
            Ok(status) => status,
            Err(AskingError::NotRunning(_)) => {
                print_error("the server has stopped");
                return Ok(());
            }
            Err(error @ AskingError::Because(_)) => return Err(error.into()),
        };
    }
}

/// What is written for one answer, with the end of its last line.
fn written(status: &Value, form: Form) -> String {
    match form {
        // What is left of longer lines is cleared at the end of each line.
        Form::Screen => format!("{HOME}{}\x1b[K\n{CLEAR_BELOW}", on_screen(status).replace('\n', "\x1b[K\n")),
        Form::Line => format!("{}\n", Status::read(status).in_one_line()),
        Form::Json => format!("{}\n", printable_json(&status.to_string())),
    }
}

fn on_screen(status: &Value) -> String {
    Status::read(status).on_screen(terminal_width(), is_colored(), unix_seconds(SystemTime::now()))
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
