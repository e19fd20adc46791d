//! What commands print.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::escape::{printable, printable_json};

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

/// Prints text that may have colors, whose other parts are [`printable`] already. A closed pipe, as of `castway user list | head`, is not an
/// error.
pub(super) fn print_styled(text: impl fmt::Display) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Whether standard output is a terminal whose user wants colors (no-color.org).
pub(super) fn is_colored() -> bool {
    let refuses = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !refuses && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
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

/// Prints to standard error, so that standard output has only what was asked for.
pub(super) fn print_error(message: &str) {
    let _ = writeln!(io::stderr(), "castway: {}", printable(message));
}

/// Prints a warning to standard error.
pub(super) fn print_warning(message: &str) {
    print_error(&format!("warning: {message}"));
}
