//! The side of the commands: one question, one answer.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::connect::connect_now;
use super::facts::ServerFacts;
use super::lines::MAX_ANSWER_BYTES;
use super::socket::SOCKET_FILE_NAME;

/// How long an answer may take that the server has at hand.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a socket is tried whose queue is full.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// The errors of a connection to a socket that nobody serves.
const NOBODY: [io::ErrorKind; 3] = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused, io::ErrorKind::NotADirectory];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("no server runs with this data folder")]
    NotRunning,
    /// The sentence of the server.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Asks the server of `data_dir`. Blocks for `patience` at most.
///
/// # Errors
/// [`AskError`].
pub fn ask(data_dir: &Path, question: &Value, patience: Duration) -> Result<Value, AskError> {
    let is_nobody = |error: &io::Error| NOBODY.contains(&error.kind());
    let connected = Until::connect(&data_dir.join(SOCKET_FILE_NAME), Instant::now() + patience);
    let mut stream = connected.map_err(|error| if is_nobody(&error) { AskError::NotRunning } else { AskError::Broken(error) })?;
    // A server that refuses a connection does not read the question, but its sentence is there.
    let written = writeln!(stream, "{question}");
    let mut line = Vec::new();
    let read = BufReader::new(stream).take(MAX_ANSWER_BYTES as u64).read_until(b'\n', &mut line);
    if line.last() != Some(&b'\n') {
        written?;
        read?;
        return Err(AskError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    let answer: Value = serde_json::from_slice(&line).map_err(io::Error::from)?;
    match answer.get("error").and_then(Value::as_str) {
        Some(why) => Err(AskError::Refused(why.to_owned())),
        None => Ok(answer),
    }
}

/// A connection with one end for all that is read and written, so that nobody prolongs it byte by byte.
struct Until {
    stream: UnixStream,
    deadline: Instant,
}

impl Until {
    fn connect(path: &Path, deadline: Instant) -> io::Result<Self> {
        loop {
            match connect_now(path) {
                Ok(stream) => return Ok(Self { stream, deadline }),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    thread::sleep(RETRY_DELAY);
                }
                Err(error) => return Err(in_words(error)),
            }
        }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(in_words(io::ErrorKind::TimedOut.into())) } else { Ok(left) }
    }
}

impl Read for Until {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(into).map_err(in_words)
    }
}

impl Write for Until {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(from).map_err(in_words)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The kernel calls a time-out "temporarily unavailable".
fn in_words(error: io::Error) -> io::Error {
    let is_late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    if is_late { io::Error::new(io::ErrorKind::TimedOut, "it does not answer") } else { error }
}

/// Asks for the facts.
///
/// # Errors
/// [`AskError`].
pub fn facts(data_dir: &Path) -> Result<ServerFacts, AskError> {
    let answer = ask(data_dir, &json!({ "ask": "facts" }), ANSWER_TIMEOUT)?;
    Ok(serde_json::from_value(answer).map_err(io::Error::from)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    fn asked(folder: &Path) -> String {
        ask(folder, &json!({ "ask": "facts" }), SHORT).expect_err("nobody answers").to_string()
    }

    #[test]
    fn an_answer_that_comes_byte_by_byte_is_not_awaited() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET_FILE_NAME)).unwrap();
        let drips = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Ends when the other side has given up.
            while stream.write_all(b" ").is_ok() {
                thread::sleep(SHORT / 10);
            }
        });
        assert!(asked(folder.path()).contains("it does not answer"));
        drips.join().unwrap();
    }

    #[test]
    fn a_server_that_accepts_nobody_is_not_awaited() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET_FILE_NAME);
        let stopped = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&stopped, 1).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = connect_now(&path) {
            waiting.push(stream);
        }
        assert!(asked(folder.path()).contains("it does not answer"));
    }
}
