//! What keeps a server from starting, as far as settings can tell: their values, and the files and folders that they name.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::cli::env_file::Malformed;
use crate::config::{Config, Settings, variable_of};

/// The fields that name files of certificates.
const FILES: [&str; 3] = ["cert", "pkey", "acme_ca"];

/// The settings as a server reads them that works in `folder`, and what keeps it from starting. `data_dir` is `None` where the settings
/// name it.
pub(in crate::cli) fn examine(
    settings: &Settings,
    malformed: &[Malformed],
    folder: &Path,
    data_dir: Option<&Path>,
) -> (Config, Vec<String>) {
    let (config, of_values) = Config::examine(settings);
    let mut found: Vec<_> = malformed.iter().map(|line| line.sentence.clone()).collect();
    found.extend(of_values);
    found.extend(problems(settings, folder, data_dir.unwrap_or(&config.data_dir)));
    (config, found)
}

/// A sentence for each that a server could not open which works in `folder` and has its data in `data_dir`.
fn problems(settings: &Settings, folder: &Path, data_dir: &Path) -> Vec<String> {
    let fields = settings.set_fields().filter(|(field, _)| FILES.contains(&field.as_str()));
    let unreadable = fields.filter_map(|(field, path)| {
        let error = readable(&folder.join(&path)).err()?;
        Some(format!("{}={path:?} can't be read: {}", variable_of(&field), without_number(&error)))
    });
    let is_other = fs::metadata(data_dir).is_ok_and(|found| !found.is_dir());
    let data = is_other.then(|| format!("CASTWAY_DATA_DIR={data_dir:?}: expected a folder, and this is a file"));
    unreadable.chain(data).collect()
}

/// The system's words without the number of its error.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn readable(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() { File::open(path).map(drop) } else { Err(io::Error::other("it is no file")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(readable(folder.path()).unwrap_err().to_string(), "it is no file");
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(readable(&pipe).unwrap_err().to_string(), "it is no file");
        let gone = readable(&folder.path().join("gone")).unwrap_err();
        assert_eq!(without_number(&gone), "No such file or directory");
    }
}
