//! Lines on a terminal: a mark, a topic, and text of at most 80 columns.

use std::fmt::Write as _;

use super::line::{Line, State};
use crate::cli::escape::printable;
use crate::cli::table::wrapped;

const COLUMNS: usize = 80;
/// Where texts begin.
const INDENT: usize = 11;

/// The line as it is printed, without the end of its last line.
pub(super) fn shown(line: &Line, colored: bool) -> String {
    let mark = colored_mark(line.state, colored);
    let mut shown = String::new();
    for (at, text) in wrapped(&printable(&line.text), COLUMNS - INDENT).iter().enumerate() {
        let start = if at == 0 { format!("{mark} {:9}", line.name.label()) } else { " ".repeat(INDENT) };
        let _ = writeln!(shown, "{start}{text}");
    }
    // A command is not wrapped, so that it can be copied.
    for command in line.command.iter().flat_map(|command| command.lines()) {
        let _ = writeln!(shown, "{}{}", " ".repeat(INDENT), printable(command));
    }
    shown.trim_end().to_owned()
}

fn colored_mark(state: State, colored: bool) -> String {
    let color = match state {
        State::Ok => 32,
        State::Unknown => 36,
        State::Warning => 33,
        State::Failed => 31,
    };
    if colored { format!("\x1b[{color}m{}\x1b[0m", state.mark()) } else { state.mark().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::line::Topic;

    #[test]
    fn a_line_has_a_mark_a_topic_and_eighty_columns() {
        let text = "the port is closed ".repeat(8);
        let line = Line::warning(Topic::Firewall, text.trim()).with_command("sudo nft insert rule");
        let shown = shown(&line, false);
        let lines: Vec<_> = shown.lines().collect();
        assert!(lines[0].starts_with("! Firewall the port"), "{shown}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{shown}");
        assert!(lines[1].starts_with("           "), "{shown}");
        assert_eq!(lines.last(), Some(&"           sudo nft insert rule"));
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let shown = shown(&Line::ok(Topic::Name, "a\x1b[2Jb\rc"), false);
        assert!(!shown.contains(['\x1b', '\r']), "{shown:?}");
    }
}
