//! What commands print.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use clap::Args;
use serde::Serialize;

use super::error::CliError;

/// The format of a list.
#[derive(Debug, Args)]
pub(super) struct Json {
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// Prints to standard output. A closed pipe, as of `castway user list | head`, is not an error.
pub(super) fn print(text: impl fmt::Display) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Without characters that steer a terminal or hide text: some texts come from others than the user who reads them.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Control characters, the separators of lines, and what changes the direction of text.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Prints JSON. What steers a terminal is escaped, as serde_json does it for the controls of ASCII only.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let mut text = String::new();
    for c in serde_json::to_string_pretty(value)?.chars() {
        if steers(c) && c != '\n' {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    print(text)
}

/// Prints to standard error, so that standard output has only what was asked for.
pub(super) fn print_error(message: &str) {
    let _ = writeln!(io::stderr(), "castway: {}", printable(message));
}

/// Rows below headings, in columns as wide as their longest cell.
pub(super) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
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
    [line(headings)].into_iter().chain(rows).map(|row| printable(&row).replace('\n', " ")).collect::<Vec<_>>().join("\n")
}

/// Prints a warning to standard error.
pub(super) fn print_warning(message: &str) {
    print_error(&format!("warning: {message}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\rc\u{9b}d\u{202e}e\nf"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\nf");
        assert_eq!(table(["N"], &[["a\nb\x1b".to_owned()]]), "N\na b\u{fffd}");
    }

    #[test]
    fn columns_are_as_wide_as_needed() {
        let rows = [["alice".to_owned(), "x".to_owned()], ["李".to_owned(), String::new()]];
        assert_eq!(table(["N", "STATE"], &rows), "N      STATE\nalice  x\n李");
    }
}
