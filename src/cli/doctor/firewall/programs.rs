//! Runs the programs that list rules: by absolute paths, without this program's environment, for a bounded time and with bounded output.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/run/current-system/sw/bin"];
const TIMEOUT: Duration = Duration::from_secs(3);
/// How often an unfinished program is looked at.
const LOOK: Duration = Duration::from_millis(5);
const MAX_OUTPUT_BYTES: u64 = 32 * 1024 * 1024;
const MAX_ERROR_BYTES: u64 = 4096;

/// What a program has printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listed {
    Text(String),
    /// It isn't installed.
    Missing,
    /// Only root may ask.
    Denied,
    /// With the reason, as a clause.
    Failed(String),
}

pub(super) fn list(name: &str, arguments: &[&str]) -> Listed {
    let Some(path) = find(name) else { return Listed::Missing };
    match run(&path, arguments) {
        Ok((true, output, _)) if output.len() as u64 >= MAX_OUTPUT_BYTES => Listed::Failed(format!("{name} lists too much")),
        Ok((true, output, _)) => Listed::Text(output),
        Ok((false, _, errors)) if is_denied(&errors) => Listed::Denied,
        Ok((false, _, errors)) => {
            Listed::Failed(format!("{name} says: {}", errors.lines().next().unwrap_or("nothing, and fails").trim()))
        }
        Err(reason) => Listed::Failed(format!("{name} {reason}")),
    }
}

fn find(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

fn is_denied(errors: &str) -> bool {
    let errors = errors.to_lowercase();
    ["must be root", "not permitted", "permission denied", "not authorized"].iter().any(|words| errors.contains(words))
}

/// Whether the program has succeeded, its output and its errors.
fn run(path: &Path, arguments: &[&str]) -> Result<(bool, String, String), String> {
    let mut command = Command::new(path);
    command.args(arguments).env_clear().env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("can't be run: {error}"))?;
    let output = child.stdout.take().map(|pipe| thread::spawn(move || read(pipe, MAX_OUTPUT_BYTES)));
    let errors = child.stderr.take().map(|pipe| thread::spawn(move || read(pipe, MAX_ERROR_BYTES)));
    let succeeded = wait(&mut child);
    let text = |reader: Option<thread::JoinHandle<String>>| reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let (output, errors) = (text(output), text(errors));
    Ok((succeeded?, output, errors))
}

/// Reads at most `most` bytes, and drops the pipe, so that a program which prints more ends.
fn read(pipe: impl Read, most: u64) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.take(most).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait(child: &mut Child) -> Result<bool, String> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("does not answer within {} s", TIMEOUT.as_secs()));
            }
            Err(error) => return Err(format!("can't be awaited: {error}")),
        }
    }
}
