//! Reads an `EnvironmentFile=` as systemd does (systemd.exec(5)), so that a command gets the same settings as the service. Unlike in
//! `.env`, no variable is expanded, and malformed lines are skipped.

use std::cell::Cell;
use std::iter::Peekable;

use super::env_file::Variable;

/// The variables of `text`, from its end to its beginning: the first one of a name counts.
pub(super) fn variables(text: &str) -> Vec<Variable> {
    let line = Cell::new(1);
    let mut rest = text.chars().inspect(|c| line.set(line.get() + usize::from(*c == '\n'))).peekable();
    let mut found = Vec::new();
    while let Some(first) = rest.peek().copied() {
        // The first character has been read by now, so the count is that of its line.
        let line = line.get();
        match first {
            '#' | ';' => drop(rest.by_ref().find(|c| ends_line(*c))),
            c if c.is_whitespace() => drop(rest.next()),
            _ => found.extend(assignment(&mut rest).map(|(name, value)| Variable { name, value, line })),
        }
    }
    found.reverse();
    found
}

fn assignment(rest: &mut Peekable<impl Iterator<Item = char>>) -> Option<(String, String)> {
    let mut name = String::new();
    loop {
        match rest.next() {
            Some('=') => break,
            Some(c) if !ends_line(c) => name.push(c),
            _ => return None,
        }
    }
    let value = value(rest);
    let name = name.trim_end();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    (plain && !name.is_empty()).then(|| (name.to_owned(), value))
}

/// Quotes have a meaning at the beginning of a value and right after other quotes. A backslash takes the meaning of the next character
/// away, and joins lines.
fn value(rest: &mut Peekable<impl Iterator<Item = char>>) -> String {
    let mut value = String::new();
    // The length up to which blanks at the end belong to the value.
    let mut kept = 0;
    let mut plain = false;
    while let Some(c) = rest.next() {
        match c {
            c if ends_line(c) => break,
            '\'' if !plain => value.extend(rest.by_ref().take_while(|c| *c != '\'')),
            '"' if !plain => double_quoted(rest, &mut value),
            '\\' => {
                plain = true;
                value.extend(rest.next().filter(|c| !ends_line(*c)));
            }
            c if c.is_whitespace() => {
                if plain {
                    value.push(c);
                }
                continue;
            }
            c => {
                plain = true;
                value.push(c);
            }
        }
        kept = value.len();
    }
    value.truncate(kept);
    value
}

fn double_quoted(rest: &mut Peekable<impl Iterator<Item = char>>, value: &mut String) {
    while let Some(c) = rest.next() {
        match (c, rest.peek().copied()) {
            ('"', _) => return,
            ('\\', Some(next)) if ends_line(next) => drop(rest.next()),
            ('\\', Some(next)) if "\"\\`$".contains(next) => value.extend(rest.next()),
            (c, _) => value.push(c),
        }
    }
}

const fn ends_line(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with what the parser of systemd 252 makes of the same lines.
    #[test]
    fn values_are_those_of_systemd() {
        let cases = [
            ("A=1", "1"),
            ("  A = two words  ", "two words"),
            ("A='single $HOME # \\n'", "single $HOME # \\n"),
            ("A=\"double \\\" \\$x \\\\ \\n\"", "double \" $x \\ \\n"),
            ("A=pa$$word#1", "pa$$word#1"),
            ("A=it's", "it's"),
            ("A='a' \"b\" c", "abc"),
            ("A=one \\\n  two", "one   two"),
            ("A=a\\ b\\ ", "a b "),
            ("A=", ""),
            ("A='two\nlines'", "two\nlines"),
            ("A='open", "open"),
            ("A='a'b'c'", "ab'c'"),
            ("A=\\'", "'"),
        ];
        for (text, value) in cases {
            let found = variables(text);
            assert_eq!(
                (found.len(), found[0].name.as_str(), found[0].value.as_str(), found[0].line),
                (1, "A", value, 1),
                "{text}"
            );
        }
    }

    #[test]
    fn comments_and_lines_without_an_assignment_are_skipped() {
        let text = "# A=1\n; B=2\nexport C=3\nnonsense\n\nD=4\r\nD=5\n=6\nE";
        let expected = [("5", 7), ("4", 6)].map(|(value, line)| Variable { name: "D".to_owned(), value: value.to_owned(), line });
        assert_eq!(variables(text), expected);
        assert_eq!(variables("A='1\n2'\n\nB=3").iter().map(|found| found.line).collect::<Vec<_>>(), [4, 1]);
    }
}
