//! What commands print.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use serde::Serialize;
use tracing::Level;

use super::error::CliError;
use super::escape::{printable, printable_json};
use crate::app::telemetry::{self, Stream};

/// Columns where there is no terminal.
const DEFAULT_COLUMNS: usize = 80;

/// The format of a list.
#[derive(Debug, Args)]
pub(super) struct Json {
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// Prints to standard output, with [`printable`] characters alone.
pub(super) fn print(text: impl fmt::Display) -> Result<(), CliError> {
    print_styled(printable(&text.to_string()))
}

/// Prints text that may have colors, whose other parts are [`printable`] already.
pub(super) fn print_styled(text: impl fmt::Display) -> Result<(), CliError> {
    print_bytes(format!("{text}\n").as_bytes())
}

/// Prints what another program reads, as it is. A closed pipe, as of `castway user list | head`, is not an error.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Whether standard output gets colors.
pub(super) fn is_colored() -> bool {
    telemetry::wants_colors(io::stdout().is_terminal())
}

/// The text in bold type.
pub(super) fn bold(text: &str, colored: bool) -> String {
    if colored { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// The columns of a table: those of the terminal, or 80.
pub(super) fn terminal_width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(DEFAULT_COLUMNS)
}

/// Prints JSON. What steers a terminal is escaped, as serde_json does it for the controls of ASCII only.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    print_styled(printable_json(&serde_json::to_string_pretty(value)?))
}

/// Whether messages are records of the log's JSON: those of a server that logs so.
static AS_RECORDS: AtomicBool = AtomicBool::new(false);

/// From now on messages are records of the log's JSON, or text.
pub(super) fn print_as_records(yes: bool) {
    AS_RECORDS.store(yes, Ordering::Relaxed);
}

pub(super) fn prints_as_records() -> bool {
    AS_RECORDS.load(Ordering::Relaxed)
}

/// Prints to standard error, so that standard output has only what was asked for.
pub(super) fn print_error(message: &str) {
    print_message(Level::ERROR, "", message);
}

/// Prints a warning to standard error.
pub(super) fn print_warning(message: &str) {
    print_message(Level::WARN, "warning: ", message);
}

fn print_message(level: Level, prefix: &str, message: &str) {
    if prints_as_records() {
        telemetry::say(Stream::Error, level, message);
    } else {
        let _ = writeln!(io::stderr(), "castway: {}", printable(&format!("{prefix}{message}")));
    }
}
