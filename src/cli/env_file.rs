//! The file `.env` of the working folder.

use std::io;
use std::path::Path;

use super::trusted_file;

/// In the working folder.
pub(super) const FILE_NAME: &str = ".env";

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
}
