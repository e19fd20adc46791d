//! `.env`, and variables that look like settings but are none.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::trusted_file;

const PREFIX: &str = "CASTWAY_";

/// Sets the variables of the file at `path` that are not set yet; a missing file is fine.
///
/// # Errors
/// A sentence that names the line, never its value: that may be a secret.
pub(super) fn load(path: &Path) -> Result<(), String> {
    let content = content(path)?;
    dotenvy::from_read(&*content).map_err(|_| describe(path, &String::from_utf8_lossy(&content)))
}

/// The variables of the file at `path`; a missing file has none.
///
/// # Errors
/// As [`load`].
pub(super) fn read(path: &Path) -> Result<Vec<(String, String)>, String> {
    let content = content(path)?;
    let read: Result<Vec<_>, _> = dotenvy::from_read_iter(&*content).collect();
    read.map_err(|_| describe(path, &String::from_utf8_lossy(&content)))
}

fn content(path: &Path) -> Result<Vec<u8>, String> {
    match trusted_file::read(path) {
        Ok(content) => Ok(content),
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
    let mut start = 0;
    let parses = |entry: &[&str]| dotenvy::from_read_iter(entry.join("\n").as_bytes()).all(|item| item.is_ok());
    while let Some(end) = (start + 1..=lines.len()).find(|end| parses(&lines[start..*end])) {
        start = end;
    }
    start
}

/// A warning for each of `names` that begins like a setting and is not among `known`.
pub(super) fn unknown(names: impl Iterator<Item = OsString>, known: &[String]) -> Vec<String> {
    let names = names.filter_map(|name| name.into_string().ok());
    let mut strangers: Vec<_> = names.filter(|name| name.starts_with(PREFIX) && !known.contains(name)).collect();
    strangers.sort();
    let warn = |name: &String| match nearest(name, known) {
        Some(nearest) => format!("{name} is not a setting and is ignored; is {nearest} meant?"),
        None => format!("{name} is not a setting and is ignored; castway --help lists them"),
    };
    strangers.iter().map(warn).collect()
}

/// The name that takes the fewest edits, if that is no more than a third of it.
fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let rest = &name[PREFIX.len()..];
    let candidates = known.iter().map(|known| (distance(rest, &known[PREFIX.len()..]), known.as_str()));
    candidates.filter(|(edits, known)| edits * 3 <= known.len() - PREFIX.len()).min().map(|(_, known)| known)
}

/// Levenshtein distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, b) in other.iter().enumerate() {
            let edits = (diagonal + usize::from(a != *b)).min(row[column] + 1).min(row[column + 1] + 1);
            diagonal = std::mem::replace(&mut row[column + 1], edits);
        }
    }
    row[other.len()]
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
        assert_eq!(load(Path::new("/nonexistent/.env")), Ok(()));
        assert_eq!(read(Path::new("/nonexistent/.env")), Ok(Vec::new()));
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

    #[test]
    fn a_misspelt_setting_is_a_warning_with_the_nearest_name() {
        let known = ["CASTWAY_DATA_DIR", "CASTWAY_HTTP_ADDR", "CASTWAY_LOG"].map(str::to_owned);
        let names = ["CASTWAY_DATADIR", "CASTWAY_LOG", "HOME", "CASTWAY_", "CASTWAY_ENTIRELY_ELSE"];
        let warnings = unknown(names.into_iter().map(OsString::from), &known);
        assert_eq!(
            warnings,
            [
                "CASTWAY_ is not a setting and is ignored; castway --help lists them",
                "CASTWAY_DATADIR is not a setting and is ignored; is CASTWAY_DATA_DIR meant?",
                "CASTWAY_ENTIRELY_ELSE is not a setting and is ignored; castway --help lists them",
            ]
        );
    }

    #[test]
    fn distances() {
        for (one, other, edits) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("TTL", "TLT", 2)] {
            assert_eq!(distance(one, other), edits);
            assert_eq!(distance(other, one), edits);
        }
    }
}
