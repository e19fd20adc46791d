//! `castway doctor`: says why casts don't work, and what to do.
//!
//! It looks at the settings and at the running server, and goes from topic to topic; each has a file that returns [`line::Line`]s. A file
//! gets [`inputs::Inputs`]. The data folder is touched only through [`DataFolder`], which has no right of root's there.

mod address;
mod certificate;
mod clock;
mod disk;
mod files;
mod firewall;
mod inputs;
mod line;
mod name;
mod outside;
mod ports;
mod print;
mod probe;
mod programs;
mod proxies;
mod relay;
mod settings;
mod tls;

use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::inputs::{Credentials, Inputs};
use self::line::{Line, State, Topic};
use super::data_folder::DataFolder;
use super::error::CliError;
use super::installation::Installation;
use super::output::{is_colored, print_json, print_styled};
use crate::control::client::ANSWER_TIMEOUT;
use crate::users::credentials::{DOCTOR_USER, unix_seconds};

const HELP_NOTE: &str = "\
Marks: ✔ works, ! should be changed, ✘ keeps casts from working (exit status 1), ? could not be found out.

Run it on the machine of the server, as root (sudo) or as the user that the server runs as; only root can read the firewall. At its end \
it waits until you have opened the printed address on a phone with Wi-Fi off: nothing else can tell whether the outside reaches \
this server.";

#[derive(Debug, Args)]
#[command(after_help = HELP_NOTE)]
pub(super) struct Arguments {
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
    /// Don't wait for a check from outside
    #[arg(long)]
    no_wait: bool,
}

/// Prints what it finds as soon as it is found.
struct Output {
    json: bool,
    colored: bool,
    lines: Vec<Line>,
}

pub(super) fn run(arguments: &Arguments, installation: &Installation) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(examine(arguments, installation));
    // Nobody waits for a look-up that still runs.
    runtime.shutdown_background();
    done
}

/// What keeps a command from finding the installation is a finding as well.
pub(super) fn without_installation(arguments: &Arguments, error: CliError) -> Result<(), CliError> {
    let why = match error {
        CliError::Usage(why) => why,
        CliError::Failed(error) => format!("{error:#}"),
        CliError::Clap(_) | CliError::Reported | CliError::ReportedUsage => return Err(error),
    };
    let mut output = Output::new(arguments);
    output.add(vec![Line::failed(Topic::Settings, why)])?;
    output.end(None, None)
}

async fn examine(arguments: &Arguments, installation: &Installation) -> Result<(), CliError> {
    let mut output = Output::new(arguments);
    let mut folder = DataFolder::open(installation.data_dir());
    let (mut inputs, lines) = settings::look(installation, folder.as_mut());
    output.add(lines)?;
    if let Ok(folder) = &mut folder {
        let has_range = inputs.facts.as_ref().is_none_or(|facts| facts.relay.has_range);
        inputs.credentials = credentials(folder, if has_range { "anyone" } else { "clients" });
        inputs.certificate = settings::certificate(&inputs, folder);
    }
    output.add(ports::look(&inputs).await)?;
    let (lines, addresses) = name::look(&inputs).await;
    output.add(lines)?;
    output.add(certificate::look(&inputs))?;
    output.add(address::look(&inputs, &addresses))?;
    output.add(relay(&inputs).await)?;
    output.add(firewall::look(&inputs).await)?;
    output.add(programs::look(&inputs))?;
    output.add(files::look(&inputs))?;
    output.add(clock::look(&inputs))?;
    output.add(folder.as_mut().ok().map(disk::look).into_iter().collect())?;
    output.add(proxies::look(&inputs))?;
    let outside = match folder {
        Ok(folder) => from_outside(folder, arguments, &inputs, &mut output).await?,
        Err(_) => None,
    };
    output.end(inputs.facts.as_ref().map(|facts| facts.version.as_str()), outside)
}

/// The test of the relay by a client of its own, and what the server's own test has found where that client finds nothing.
async fn relay(inputs: &Inputs) -> Vec<Line> {
    let mut lines = relay::look(inputs).await;
    let found = lines.iter().any(|line| line.state == State::Failed);
    let own = inputs.facts.iter().flat_map(|facts| facts.self_test.iter().flatten()).filter_map(|test| test.problem.as_ref());
    lines.extend(own.filter(|_| !found).map(|problem| Line::failed(Topic::Relay, format!("the server's own test: {problem}"))));
    lines
}

/// The last check from outside; waits for a new one where somebody is there.
async fn from_outside(
    mut folder: DataFolder,
    arguments: &Arguments,
    inputs: &Inputs,
    output: &mut Output,
) -> Result<Option<Value>, CliError> {
    let last = match outside::last(&mut folder) {
        Ok(last) => last,
        Err(line) => {
            output.add(vec![line])?;
            return Ok(None);
        }
    };
    if arguments.json || arguments.no_wait || !outside::can_wait() {
        output.add(vec![outside::line(last.as_ref(), inputs.now)])?;
        return Ok(last);
    }
    let invitation = match outside::invite(&mut folder) {
        Ok(invitation) => invitation,
        Err(line) => {
            output.add(vec![line])?;
            return Ok(last);
        }
    };
    // Before the sentence that names Ctrl-C.
    let mut interrupts = signal(SignalKind::interrupt()).context("can't wait for Ctrl-C")?;
    print_styled(invitation.shown(last.as_ref(), inputs.now, output.colored))?;
    let mut waiting = tokio::task::spawn_blocking(move || invitation.wait(&mut folder));
    let (result, skipped) = tokio::select! {
        result = &mut waiting => (result.ok().flatten(), false),
        _ = interrupts.recv() => (None, true),
    };
    match &result {
        Some(_) => output.add(vec![outside::line(result.as_ref(), unix_seconds(SystemTime::now()))])?,
        None => output.add(vec![outside::unanswered(last.as_ref(), inputs.now, skipped)])?,
    }
    Ok(result.or(last))
}

impl Output {
    fn new(arguments: &Arguments) -> Self {
        Self { json: arguments.json, colored: is_colored() && !arguments.json, lines: Vec::new() }
    }

    fn add(&mut self, lines: Vec<Line>) -> Result<(), CliError> {
        for line in lines {
            if !self.json {
                print_styled(print::shown(&line, self.colored))?;
            }
            self.lines.push(line);
        }
        Ok(())
    }

    /// Prints the JSON if that was asked for, and tells the exit status.
    fn end(self, version: Option<&str>, outside: Option<Value>) -> Result<(), CliError> {
        let ok = self.lines.iter().all(|line| line.state != State::Failed);
        if self.json {
            let mut report = json!({ "ok": ok, "version": version, "lines": self.lines });
            if let Some(outside) = outside {
                report["outside"] = outside;
            }
            print_json(&report)?;
        }
        if ok { Ok(()) } else { Err(CliError::Reported) }
    }
}

/// Credentials for the relay's test.
fn credentials(folder: &mut DataFolder, scope: &str) -> Option<Credentials> {
    let question = json!({ "ask": "credentials", "name": DOCTOR_USER, "scope": scope });
    let answer = folder.ask(question, ANSWER_TIMEOUT).ok()?;
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    Some(Credentials { username: text("username")?, password: text("password")? })
}
