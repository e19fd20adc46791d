//! What several capabilities' tests need.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The real program on the database in `data_dir`, without the settings and the `.env` of whoever runs the tests.
pub(crate) fn castway(data_dir: &Path) -> Command {
    clean(Command::new(env!("CARGO_BIN_EXE_castway")), data_dir)
}

pub(crate) fn clean(mut command: Command, data_dir: &Path) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CASTWAY_")) {
        command.env_remove(name);
    }
    command.env("CASTWAY_DATA_DIR", data_dir).current_dir("/").stdin(Stdio::null());
    command
}

/// Runs it to its end and asserts that it went well.
pub(crate) fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
