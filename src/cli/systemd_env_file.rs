//! Reads an `EnvironmentFile=` as systemd does (systemd.exec(5)), so that a command gets the same settings as the service. Unlike in
//! `.env`, no variable is expanded, and malformed lines are skipped.

use std::cell::Cell;
use std::iter::Peekable;
use std::path::Path;

use super::env_file::{EnvFile, Malformed, Variable, setting_of_line};

/// The variables of the file at `path` from its end to its beginning, of which the first one of a name counts, and its malformed lines. The
/// service starts in spite of these.
pub(super) fn read(path: &Path, content: &[u8]) -> EnvFile {
    let text = String::from_utf8_lossy(content);
    let (variables, odd) = parsed(&text);
    let lines: Vec<&str> = text.split('\n').collect();
    let mut malformed: Vec<Malformed> = odd.into_iter().map(|odd| odd.named(path, &lines)).collect();
    if let Err(error) = std::str::from_utf8(content) {
        let line = content[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        malformed.push(Odd { line, kind: Kind::NoText }.named(path, &lines));
    }
    EnvFile { variables, malformed }
}

/// The variables of `text`, from its end to its beginning: the first one of a name counts.
#[cfg(test)]
pub(super) fn variables(text: &str) -> Vec<Variable> {
    parsed(text).0
}

/// A line that systemd takes otherwise than it was meant.
struct Odd {
    /// Where it begins, from 1.
    line: usize,
    kind: Kind,
}

enum Kind {
    NoAssignment,
    OpenQuote,
    NoText,
}

impl Odd {
    /// With a sentence that shows no more of the line than the name of a setting.
    fn named(&self, path: &Path, lines: &[&str]) -> Malformed {
        let name = lines.get(self.line - 1).and_then(|line| setting_of_line(line));
        let what = match self.kind {
            Kind::NoAssignment => "is skipped: expected NAME=value, without export and without blanks in the name",
            Kind::OpenQuote => {
                "has a quote without a partner, and takes all lines behind it for a part of the value: expected NAME='value'"
            }
            Kind::NoText => "is no text, and systemd takes no line of such a file: expected UTF-8",
        };
        let of = name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        Malformed { sentence: format!("{}, line {}{of}, {what}", path.display(), self.line), name }
    }
}

fn parsed(text: &str) -> (Vec<Variable>, Vec<Odd>) {
    let line = Cell::new(1);
    let mut rest = text.chars().inspect(|c| line.set(line.get() + usize::from(*c == '\n'))).peekable();
    let (mut found, mut odd) = (Vec::new(), Vec::new());
    while let Some(first) = rest.peek().copied() {
        // The first character has been read by now, so the count is that of its line.
        let line = line.get();
        match first {
            '#' | ';' => drop(rest.by_ref().find(|c| ends_line(*c))),
            c if c.is_whitespace() => drop(rest.next()),
            _ => {
                let mut has_open_quote = false;
                match assignment(&mut rest, &mut has_open_quote) {
                    Some((name, value)) => found.push(Variable { name, value, line }),
                    None => odd.push(Odd { line, kind: Kind::NoAssignment }),
                }
                if has_open_quote {
                    odd.push(Odd { line, kind: Kind::OpenQuote });
                }
            }
        }
    }
    found.reverse();
    (found, odd)
}

fn assignment(rest: &mut Peekable<impl Iterator<Item = char>>, has_open_quote: &mut bool) -> Option<(String, String)> {
    let mut name = String::new();
    loop {
        match rest.next() {
            Some('=') => break,
            Some(c) if !ends_line(c) => name.push(c),
            _ => return None,
        }
    }
    let value = value(rest, has_open_quote);
    let name = name.trim_end();
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let begins_as_one = !name.starts_with(|first: char| first.is_ascii_digit());
    (plain && begins_as_one && !name.is_empty()).then(|| (name.to_owned(), value))
}

/// Quotes have a meaning at the beginning of a value and right after other quotes. A backslash takes the meaning of the next character
/// away, and joins lines.
fn value(rest: &mut Peekable<impl Iterator<Item = char>>, has_open_quote: &mut bool) -> String {
    let mut value = String::new();
    // The length up to which blanks at the end belong to the value.
    let mut kept = 0;
    let mut plain = false;
    while let Some(c) = rest.next() {
        match c {
            c if ends_line(c) => break,
            '\'' if !plain => *has_open_quote |= !single_quoted(rest, &mut value),
            '"' if !plain => *has_open_quote |= !double_quoted(rest, &mut value),
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

/// Whether the quote has its partner.
fn single_quoted(rest: &mut impl Iterator<Item = char>, value: &mut String) -> bool {
    for c in rest {
        match c {
            '\'' => return true,
            c => value.push(c),
        }
    }
    false
}

/// The same as [`single_quoted`].
fn double_quoted(rest: &mut Peekable<impl Iterator<Item = char>>, value: &mut String) -> bool {
    while let Some(c) = rest.next() {
        match (c, rest.peek().copied()) {
            ('"', _) => return true,
            ('\\', Some(next)) if ends_line(next) => drop(rest.next()),
            ('\\', Some(next)) if "\"\\`$".contains(next) => value.extend(rest.next()),
            (c, _) => value.push(c),
        }
    }
    false
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

    #[test]
    fn malformed_lines_are_named_without_their_values() {
        let path = Path::new("/etc/castway/castway.env");
        let malformed = |content: &[u8]| -> Vec<_> {
            let read = read(path, content);
            assert!(read.malformed.iter().all(|line| !line.sentence.contains("hunter2")), "{read:?}");
            read.malformed.into_iter().map(|line| (line.name, line.sentence)).collect()
        };
        let is_of = |found: &(Option<String>, String), name: Option<&str>, begin: &str| {
            assert_eq!(found.0.as_deref(), name);
            assert!(found.1.starts_with(&format!("/etc/castway/castway.env, line {begin}")), "{}", found.1);
        };
        let found = malformed(b"# x\nCASTWAY_A hunter2\nCASTWAY_B=1\nexport CASTWAY_C=hunter2\nhunter2\nhunter 2=x\n\n2X=1\n");
        assert_eq!(found.len(), 5, "{found:?}");
        is_of(&found[0], Some("CASTWAY_A"), "2 (CASTWAY_A), is skipped: expected NAME=value");
        is_of(&found[1], Some("CASTWAY_C"), "4 (CASTWAY_C), is skipped");
        is_of(&found[2], None, "5, is skipped");
        is_of(&found[3], None, "6, is skipped");
        is_of(&found[4], None, "8, is skipped");
        for quote in ["'", "\""] {
            let text = format!("CASTWAY_A=1\nCASTWAY_B={quote}hunter2\nCASTWAY_C=3\n");
            let found = malformed(text.as_bytes());
            assert_eq!(found.len(), 1, "{found:?}");
            is_of(&found[0], Some("CASTWAY_B"), "2 (CASTWAY_B), has a quote without a partner");
        }
        let found = malformed(b"CASTWAY_A=1\nCASTWAY_B=\xffhunter2\n");
        assert_eq!(found.len(), 1, "{found:?}");
        is_of(&found[0], Some("CASTWAY_B"), "2 (CASTWAY_B), is no text");
        assert_eq!(malformed("A='1\n2'\n\n; x\nB=\"it's\"\nC=it's\n\u{feff}".trim_end_matches('\u{feff}').as_bytes()), []);
    }
}
