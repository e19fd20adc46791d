//! The side of the commands: one question, one answer.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::facts::ServerFacts;
use super::lines::MAX_ANSWER_BYTES;
use super::socket::SOCKET_FILE_NAME;

/// How long an answer may take that the server has at hand.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

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
    #[error("the running server can't be asked: {0}")]
    Broken(#[from] io::Error),
}

/// Asks the server of `data_dir`. Blocks for `patience` at most.
///
/// # Errors
/// [`AskError`].
pub fn ask(data_dir: &Path, question: &Value, patience: Duration) -> Result<Value, AskError> {
    let connected = UnixStream::connect(data_dir.join(SOCKET_FILE_NAME));
    let is_nobody = |error: &io::Error| NOBODY.contains(&error.kind());
    let mut stream = connected.map_err(|error| if is_nobody(&error) { AskError::NotRunning } else { AskError::Broken(error) })?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
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

/// Asks for the facts.
///
/// # Errors
/// [`AskError`].
pub fn facts(data_dir: &Path) -> Result<ServerFacts, AskError> {
    let answer = ask(data_dir, &json!({ "ask": "facts" }), ANSWER_TIMEOUT)?;
    Ok(serde_json::from_value(answer).map_err(io::Error::from)?)
}
