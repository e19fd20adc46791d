//! Runs the programs that list rules: by absolute paths, without this program's environment, for a bounded time and with bounded output.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

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
    // A group of its own, so that what the program starts ends with it.
    let mut child = command.process_group(0).spawn().map_err(|error| format!("can't be run: {error}"))?;
    let deadline = Instant::now() + TIMEOUT;
    let output = child.stdout.take().map(|pipe| reader(pipe, MAX_OUTPUT_BYTES));
    let errors = child.stderr.take().map(|pipe| reader(pipe, MAX_ERROR_BYTES));
    let succeeded = wait(&mut child, deadline)?;
    // Something that the program has started may hold the pipes.
    let text = |texts: Option<mpsc::Receiver<String>>| {
        let left = deadline.saturating_duration_since(Instant::now()).max(LOOK);
        texts.map_or_else(|| Ok(String::new()), |texts| texts.recv_timeout(left).map_err(|_| late()))
    };
    Ok((succeeded, text(output)?, text(errors)?))
}

fn late() -> String {
    format!("does not answer within {} s", TIMEOUT.as_secs())
}

/// Reads in a thread, which nobody waits for.
fn reader(pipe: impl Read + Send + 'static, most: u64) -> mpsc::Receiver<String> {
    let (to, texts) = mpsc::channel();
    thread::spawn(move || to.send(read(pipe, most)));
    texts
}

/// Reads at most `most` bytes, and drops the pipe, so that a program which prints more ends.
fn read(pipe: impl Read, most: u64) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.take(most).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn wait(child: &mut Child, deadline: Instant) -> Result<bool, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK),
            Ok(None) => {
                if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                    let _ = kill_process_group(group, Signal::KILL);
                }
                let _ = child.kill();
                let _ = child.wait();
                return Err(late());
            }
            Err(error) => return Err(format!("can't be awaited: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<(bool, String, String), String> {
        run(Path::new("/bin/sh"), &["-c", script])
    }

    #[test]
    fn a_program_that_hangs_ends_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!("sleep 300 & echo $! > {0}; echo $$ >> {0}; wait", pids.display());
        assert_eq!(shell(&script).unwrap_err(), "does not answer within 3 s");
        for pid in std::fs::read_to_string(&pids).unwrap().lines() {
            // A dead process that nobody has awaited yet has no command line.
            let runs = || std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
            let deadline = Instant::now() + Duration::from_secs(60);
            while runs() {
                assert!(Instant::now() < deadline, "{pid} still runs");
                thread::sleep(LOOK);
            }
        }
    }

    #[test]
    fn what_a_program_leaves_behind_is_not_awaited() {
        let error = shell("sleep 20 & echo rules").unwrap_err();
        assert_eq!(error, "does not answer within 3 s", "the pipe is still open, so the list may be incomplete");
        assert_eq!(shell("echo rules; echo why >&2"), Ok((true, "rules\n".to_owned(), "why\n".to_owned())));
    }
}
