//! The file `.env` of the working folder.

use std::io;
use std::ops::Range;
use std::path::Path;

use super::trusted_file;
use crate::config::Settings;

/// In the working folder.
pub(super) const FILE_NAME: &str = ".env";

/// The variables of the file at `path`. Those that are not set yet are set in this process, too: not all of them are settings.
///
/// # Errors
/// A sentence that names the line, never its value: that may be a secret.
pub(super) fn load(path: &Path) -> Result<Vec<Variable>, String> {
    let content = content(path)?;
    dotenvy::from_read(&*content).map_err(|_| describe(path, &String::from_utf8_lossy(&content)))?;
    variables(path, &content)
}

/// A variable of a file of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
}

/// The variables of the file at `path`, of which the first one of a name counts; a missing file has none.
///
/// # Errors
/// As [`load`].
pub(super) fn read(path: &Path) -> Result<Vec<Variable>, String> {
    variables(path, &content(path)?)
}

fn variables(path: &Path, content: &[u8]) -> Result<Vec<Variable>, String> {
    let read: Result<Vec<_>, _> = dotenvy::from_read_iter(content).collect();
    let text = String::from_utf8_lossy(content);
    let read = read.map_err(|_| describe(path, &text))?;
    let lines: Vec<_> = text.lines().collect();
    let entries = entries(&lines).filter(|entry| parsed(&lines[entry.clone()]).is_some_and(|variables| variables > 0));
    let starts = entries.map(|entry| entry.start + 1).chain(std::iter::repeat(lines.len()));
    Ok(read.into_iter().zip(starts).map(|((name, value), line)| Variable { name, value, line }).collect())
}

/// The settings among the variables, of which the first one of a name counts.
pub(super) fn settings(variables: &[Variable]) -> Settings {
    Settings::from_variables(variables.iter().rev().map(|variable| (variable.name.as_str(), variable.value.as_str())))
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    match trusted_file::read(path) {
        // Editors of Windows begin a file with it.
        Ok(content) => Ok(content.strip_prefix("\u{feff}".as_bytes()).map(<[u8]>::to_vec).unwrap_or(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{} can't be read: {error}", path.display())),
    }
}

fn describe(path: &Path, content: &str) -> String {
    let lines: Vec<_> = content.lines().collect();
    let line = malformed(&lines);
    let name = lines.get(line).and_then(|line| line.split_once('=')).map(|(name, _)| name.trim().trim_start_matches("export "));
    let plain = |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let of = name.filter(plain).map(|name| format!(" (the value of {name})")).unwrap_or_default();
    format!(
        "{}, line {}{of}: expected NAME=value. A value with spaces, quotes, #, $ or \\ goes in single quotes, and each quote \
         needs its partner",
        path.display(),
        line + 1
    )
}

/// The index of the line where the first entry begins that can't be parsed, however many lines it may span.
fn malformed(lines: &[&str]) -> usize {
    entries(lines).last().map_or(0, |entry| entry.end)
}

/// The lines of each entry that can be parsed; ends at the first one that can't.
fn entries<'a>(lines: &'a [&'a str]) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut start = 0;
    std::iter::from_fn(move || {
        let end = (start + 1..=lines.len()).find(|end| parsed(&lines[start..*end]).is_some())?;
        let entry = start..end;
        start = end;
        Some(entry)
    })
}

/// How many variables the lines have; `None`: they can't be parsed.
fn parsed(entry: &[&str]) -> Option<usize> {
    dotenvy::from_read_iter(entry.join("\n").as_bytes())
        .map(Result::ok)
        .collect::<Option<Vec<_>>>()
        .map(|variables| variables.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(content: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(&path, content).unwrap();
        let message = load(&path).unwrap_err();
        assert_eq!(read(&path), Err(message.clone()));
        message
    }

    #[test]
    fn a_missing_file_is_fine() {
        assert_eq!(load(Path::new("/nonexistent/.env")), Ok(Vec::new()));
        assert_eq!(read(Path::new("/nonexistent/.env")), Ok(Vec::new()));
    }

    #[test]
    fn each_variable_has_the_line_where_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".env");
        std::fs::write(
            &path,
            "\u{feff}# comment\n\nexport CASTWAY_A=1\nCASTWAY_B='2\n3'\nCASTWAY_C=${CASTWAY_A} # x\nCASTWAY_A=4\n",
        )
        .unwrap();
        let read: Vec<_> = read(&path).unwrap().into_iter().map(|found| (found.name, found.value, found.line)).collect();
        let expected = [("A", "1", 3), ("B", "2\n3", 4), ("C", "1", 6), ("A", "4", 7)];
        assert_eq!(read, expected.map(|(name, value, line)| (format!("CASTWAY_{name}"), value.to_owned(), line)));
    }

    #[test]
    fn a_malformed_line_is_named_without_its_value() {
        let message = fails("# comment\n\nCASTWAY_TEST_SECRET=two words\n");
        assert!(message.contains(".env, line 3 (the value of CASTWAY_TEST_SECRET): expected NAME=value"), "{message}");
        assert!(!message.contains("two"), "{message}");
        let message = fails("# a b\nCASTWAY_TEST_A='1\n2'\nCASTWAY_TEST_B=a b\nCASTWAY_TEST_C=3\n");
        assert!(message.contains("line 4 (the value of CASTWAY_TEST_B)"), "{message}");
        let message = fails("hunter2\n");
        assert!(message.contains("line 1: expected") && !message.contains("hunter2"), "{message}");
        let message = fails("CASTWAY_TEST_A=1\nCASTWAY_TEST_B='open\nand on\n");
        assert!(message.contains("line 2 (the value of CASTWAY_TEST_B)"), "{message}");
    }
}
