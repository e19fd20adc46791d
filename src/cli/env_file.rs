//! The file `.env` of the working folder.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::expansion::Expansion;
use super::trusted_file;
use crate::config::{Settings, VARIABLE_PREFIX};

/// In the working folder.
pub(super) const FILE_NAME: &str = ".env";

/// Malformed lines that are named; the others are counted.
const MAX_NAMED: usize = 20;

const EXPECTED: &str =
    "expected NAME=value. A value with spaces, quotes, #, $ or \\ goes in single quotes, and each quote needs its partner";
const TOO_LARGE: &str = "expected a shorter value: with what its variables stand for, the values of the file get too large";

/// What a file of settings has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EnvFile {
    /// The first one of a name counts.
    pub(super) variables: Vec<Variable>,
    /// What can't be parsed. The variables are those of the other lines.
    pub(super) malformed: Vec<Malformed>,
}

/// A variable of a file of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

/// A line that can't be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    /// The setting that it is about; `None`: it looks like none.
    pub(super) name: Option<String>,
    /// A sentence that names the line, never its value: that may be a secret.
    pub(super) sentence: String,
}

/// Reads the file at `path`, and sets those variables in this process that are not set yet: not all of them are settings.
///
/// # Errors
/// A sentence on why the file can't be read.
pub(super) fn load(path: &Path) -> Result<EnvFile, String> {
    let parts = Parts::read(path)?;
    dotenvy::from_read(parts.usable.as_bytes()).map_err(|_| cannot_be_parsed(path))?;
    parts.file(path)
}

/// Reads the file at `path`. A missing file has no variables.
///
/// # Errors
/// As [`load`].
pub(super) fn read(path: &Path) -> Result<EnvFile, String> {
    Parts::read(path)?.file(path)
}

/// The settings among the variables, of which the first one of a name counts.
pub(super) fn settings(variables: &[Variable]) -> Settings {
    Settings::from_variables(variables.iter().rev().map(|variable| (variable.name.as_str(), variable.value.as_str())))
}

/// A file, taken apart.
struct Parts {
    /// The file with an empty line in the place of each malformed one.
    usable: String,
    /// The line where each variable begins, from 1.
    starts: Vec<usize>,
    malformed: Vec<Malformed>,
}

impl Parts {
    fn read(path: &Path) -> Result<Self, String> {
        let content = content(path)?;
        let raw: Vec<_> = content.split_inclusive(|byte| *byte == b'\n').map(|line| std::str::from_utf8(line).ok()).collect();
        let lines: Vec<_> = raw.iter().map(|line| line.map(|line| line.trim_end_matches(['\n', '\r']))).collect();
        let mut parts = Self { usable: String::with_capacity(content.len() + 1), starts: Vec::new(), malformed: Vec::new() };
        let (mut is_open, mut unnamed, mut expansion) = (false, 0, Expansion::default());
        for entry in entries(&lines) {
            let start = entry.lines.start;
            let line = lines[start].unwrap_or_default();
            let name = setting_of_line(line);
            let mut cause = EXPECTED;
            if let Some(variables) = entry.variables {
                let text: String = raw[entry.lines].iter().flatten().copied().collect();
                if expansion.add(&variables, &text) {
                    parts.usable.push_str(&text);
                    parts.starts.extend(std::iter::repeat_n(start + 1, variables.len()));
                    is_open &= variables.is_empty();
                    continue;
                }
                cause = TOO_LARGE;
            }
            parts.usable.push('\n');
            // The lines behind a quote without a partner are a part of its value.
            if is_open && name.is_none() {
                continue;
            }
            is_open = cause == EXPECTED && opens_a_quote(line);
            if parts.malformed.len() < MAX_NAMED {
                let sentence = sentence(path, start + 1, name.as_deref(), cause);
                parts.malformed.push(Malformed { name, sentence });
            } else {
                unnamed += 1;
            }
        }
        // Blanks at the end of the last line are an error where nothing ends it.
        parts.usable.push('\n');
        if unnamed > 0 {
            let sentence = format!("{}: {unnamed} more lines can't be used either", path.display());
            parts.malformed.push(Malformed { name: None, sentence });
        }
        Ok(parts)
    }

    fn file(self, path: &Path) -> Result<EnvFile, String> {
        let read: Result<Vec<_>, _> = dotenvy::from_read_iter(self.usable.as_bytes()).collect();
        let read = read.map_err(|_| cannot_be_parsed(path))?;
        let variables = read.into_iter().zip(self.starts).map(|((name, value), line)| Variable { name, value, line });
        Ok(EnvFile { variables: variables.collect(), malformed: self.malformed })
    }
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    match trusted_file::read(path) {
        // Editors of Windows begin a file with it.
        Ok(content) => Ok(content.strip_prefix("\u{feff}".as_bytes()).map(<[u8]>::to_vec).unwrap_or(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{} can't be read: {error}", path.display())),
    }
}

fn cannot_be_parsed(path: &Path) -> String {
    format!("{} can't be parsed", path.display())
}

fn sentence(path: &Path, line: usize, name: Option<&str>, cause: &str) -> String {
    let of = name.map(|name| format!(" (the value of {name})")).unwrap_or_default();
    format!("{}, line {line}{of}: {cause}", path.display())
}

/// The setting that a malformed line is about. Other words at its beginning may be a part of a secret.
pub(super) fn setting_of_line(line: &str) -> Option<String> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let end = line.find(|character: char| !(character.is_ascii_alphanumeric() || character == '_')).unwrap_or(line.len());
    let name = &line[..end];
    (name.starts_with(VARIABLE_PREFIX) && name != VARIABLE_PREFIX).then(|| name.to_owned())
}

/// Lines that belong together, such as those of a value with the end of a line in it.
struct Entry {
    lines: Range<usize>,
    /// Their names: none where it is a comment; `None`: it can't be parsed.
    variables: Option<Vec<String>>,
}

/// The entries of `lines`, in which what can't be parsed is an entry of one line. A line that is no text is `None`.
fn entries<'a>(lines: &'a [Option<&'a str>]) -> impl Iterator<Item = Entry> + 'a {
    let mut start = 0;
    std::iter::from_fn(move || {
        let first = *lines.get(start)?;
        let mut entry = Entry { lines: start..start + 1, variables: first.and_then(|line| parsed(&format!("{line}\n"))) };
        if let Some(first) = first.filter(|line| entry.variables.is_none() && opens_a_quote(line)) {
            entry = closed(first, start, lines).unwrap_or(entry);
        }
        start = entry.lines.end;
        Some(entry)
    })
}

/// The entry whose first line opens a quote, up to the line that closes it.
fn closed(first: &str, start: usize, lines: &[Option<&str>]) -> Option<Entry> {
    let mut text = format!("{first}\n");
    for (index, line) in lines.iter().enumerate().skip(start + 1) {
        let line = (*line)?;
        text.push_str(line);
        text.push('\n');
        if line.contains(['\'', '"'])
            && let Some(variables) = parsed(&text)
        {
            return Some(Entry { lines: start..index + 1, variables: Some(variables) });
        }
    }
    None
}

/// Whether a line lacks nothing but the end of a quote.
fn opens_a_quote(line: &str) -> bool {
    ["'", "\""].iter().any(|quote| line.contains(quote) && parsed(&format!("{line}\n{quote}\n")).is_some())
}

/// The names of the variables that the lines have; `None`: they can't be parsed.
fn parsed(lines: &str) -> Option<Vec<String>> {
    dotenvy::from_read_iter(lines.as_bytes()).map(|variable| Some(variable.ok()?.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: impl AsRef<[u8]>) -> EnvFile {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, content).unwrap();
        read(&path).unwrap()
    }

    fn malformed(content: impl AsRef<[u8]>) -> Vec<String> {
        file(content).malformed.into_iter().map(|line| line.sentence).collect()
    }

    #[test]
    fn a_missing_file_is_fine() {
        assert_eq!(load(Path::new("/nonexistent/.env")), Ok(EnvFile::default()));
        assert_eq!(read(Path::new("/nonexistent/.env")), Ok(EnvFile::default()));
    }

    #[test]
    fn each_variable_has_the_line_where_it_begins() {
        let read = file(
            "\u{feff}# comment\n\nexport CASTWAY_A=1 \nCASTWAY_B='2\n3'\nCASTWAY_C=${CASTWAY_A} # x\nCASTWAY_A=4\r\nCASTWAY_D=5 ",
        );
        let found: Vec<_> = read.variables.into_iter().map(|found| (found.name, found.value, found.line)).collect();
        let expected = [("A", "1", 3), ("B", "2\n3", 4), ("C", "1", 6), ("A", "4", 7), ("D", "5", 8)];
        assert_eq!(found, expected.map(|(name, value, line)| (format!("CASTWAY_{name}"), value.to_owned(), line)));
        assert_eq!(read.malformed, []);
    }

    #[test]
    fn a_malformed_line_is_named_without_its_value() {
        for (content, expected) in [
            (
                "# comment\n\nCASTWAY_TEST_SECRET=hunter2 words\n",
                ".env, line 3 (the value of CASTWAY_TEST_SECRET): expected NAME=value",
            ),
            (
                "# a b\nCASTWAY_TEST_A='1\n2'\nCASTWAY_TEST_B=a hunter2\nCASTWAY_TEST_C=3\n",
                "line 4 (the value of CASTWAY_TEST_B)",
            ),
            ("hunter2\n", "line 1: expected"),
            ("hunter2 = x y\n", "line 1: expected"),
            ("CASTWAY_TEST_A hunter2\n", "line 1 (the value of CASTWAY_TEST_A)"),
            ("CASTWAY_TEST_A=1\nCASTWAY_TEST_B='open\nand hunter2\n", "line 2 (the value of CASTWAY_TEST_B)"),
        ] {
            let malformed = malformed(content);
            assert_eq!(malformed.len(), 1, "{content}: {malformed:?}");
            assert!(malformed[0].contains(expected) && !malformed[0].contains("hunter2"), "{malformed:?}");
        }
    }

    #[test]
    fn a_malformed_line_hides_no_other_line() {
        let read = file(
            b"CASTWAY_TEST_A=a b\nCASTWAY_TEST_B='open\nof the same\nCASTWAY_TEST_C=1\nbad line\nCASTWAY_TEST_D=\xff\nCASTWAY_TEST_E='2\n3'\nCASTWAY_TEST_C=4\n",
        );
        let names: Vec<_> = read.malformed.iter().map(|line| line.name.as_deref()).collect();
        assert_eq!(names, [Some("CASTWAY_TEST_A"), Some("CASTWAY_TEST_B"), None, None]);
        assert!(read.malformed[2].sentence.contains("line 5: expected"), "{read:?}");
        let variable =
            |name: &str, value: &str, line| Variable { name: format!("CASTWAY_TEST_{name}"), value: value.to_owned(), line };
        assert_eq!(read.variables, [variable("C", "1", 4), variable("E", "2\n3", 7), variable("C", "4", 9)]);
    }

    /// Each line doubles the value of the one before.
    #[test]
    fn a_value_that_gets_too_large_is_named_and_not_made() {
        let chain = format!("CASTWAY_TEST_A=1\nX=0123456789\n{}CASTWAY_TEST_B=2\n", "X=${X}${X}\n".repeat(64));
        let read = file(chain);
        assert!(read.variables.iter().map(|variable| variable.value.len()).sum::<usize>() < 8 * 1024 * 1024);
        assert!(
            !read.malformed.is_empty() && read.malformed[0].sentence.contains("expected a shorter value"),
            "{:?}",
            read.malformed
        );
        let settings: Vec<_> =
            read.variables.iter().filter(|variable| variable.name != "X").map(|variable| variable.line).collect();
        assert_eq!(settings, [1, 67], "the other lines count");
    }

    #[test]
    fn so_many_malformed_lines_are_named_and_the_others_are_counted() {
        let malformed = malformed("bad line\n".repeat(MAX_NAMED + 3));
        assert_eq!(malformed.len(), MAX_NAMED + 1);
        assert!(malformed[MAX_NAMED].ends_with(".env: 3 more lines can't be used either"), "{malformed:?}");
    }
}
