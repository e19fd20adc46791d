//! What commands print.

use std::fmt;
use std::io::{self, Write as _};

use clap::Args;

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

/// Prints to standard error, so that standard output has only what was asked for.
pub(super) fn print_error(message: &str) {
    let _ = writeln!(io::stderr(), "castway: {message}");
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
    [line(headings)].into_iter().chain(rows).collect::<Vec<_>>().join("\n")
}

/// Prints a warning to standard error.
pub(super) fn print_warning(message: &str) {
    print_error(&format!("warning: {message}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_needed() {
        let rows = [["alice".to_owned(), "x".to_owned()], ["李".to_owned(), String::new()]];
        assert_eq!(table(["N", "STATE"], &rows), "N      STATE\nalice  x\n李");
    }
}
