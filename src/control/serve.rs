//! Serves the connections of commands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::ask::Ask;
use super::lines::{MAX_ANSWER_BYTES, MAX_QUESTION_BYTES, read_line};
use super::socket::ControlSocket;
use crate::limits::log_interval::LogInterval;

/// Connections at the same time.
const MAX_CONNECTIONS: usize = 8;
/// How long a client may take for a question, or to read an answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after an accept that failed for want of descriptors.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How often the log says that somebody else has asked.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

impl ControlSocket {
    /// Serves until it is dropped, which removes the file.
    pub async fn serve(self, asks: Vec<Box<dyn Ask>>) {
        let (asks, places) = (Arc::new(asks), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
        let (start, log_interval) = (Instant::now(), LogInterval::new(LOG_INTERVAL));
        let mut connections = tokio::task::JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                continue;
            };
            let uid = match check_peer(&stream) {
                Ok(uid) => uid,
                Err(refusal) => {
                    if log_interval.is_due(start.elapsed()) {
                        tracing::warn!("{refusal}");
                    }
                    refuse(stream, &refusal);
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                refuse(stream, &format!("{MAX_CONNECTIONS} commands are connected to this server already; try again later"));
                continue;
            };
            let asks = Arc::clone(&asks);
            connections.spawn(async move {
                converse(stream, uid, &asks).await;
                drop(place);
            });
        }
    }
}

/// Root and the server's own user may ask, whatever the mode of the file has become. Returns the id of the user who asks.
fn check_peer(stream: &UnixStream) -> Result<u32, String> {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred().map(|credentials| credentials.uid()) {
        Ok(uid) if uid == 0 || uid == own => Ok(uid),
        Ok(uid) => Err(format!("the user {uid} may not ask this server: only root and the user {own}, as whom it runs, may")),
        Err(error) => Err(format!("the kernel does not say who asks this server ({error})")),
    }
}

/// A new connection has room for a sentence, so that this does not wait.
fn refuse(stream: UnixStream, why: &str) {
    stream.try_write(format!("{}\n", json!({ "error": why })).as_bytes()).ok();
}

/// Answers one question after the other, until the client ends or stops to ask.
async fn converse(stream: UnixStream, uid: u32, asks: &[Box<dyn Ask>]) {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    loop {
        let question = match timeout(IDLE_TIMEOUT, read_line(&mut from, MAX_QUESTION_BYTES)).await {
            Ok(Ok(Some(line))) => {
                serde_json::from_slice::<Value>(&line).map_err(|error| format!("the question is no JSON: {error}"))
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                let why = format!("a question has at most {MAX_QUESTION_BYTES} bytes");
                timeout(IDLE_TIMEOUT, to.write_all(line(Err(why)).as_bytes())).await.ok();
                return;
            }
            Ok(Ok(None) | Err(_)) | Err(_) => return,
        };
        let answer = match question {
            Ok(mut question) => {
                if let Some(fields) = question.as_object_mut() {
                    fields.insert("by".to_owned(), format!("command line (uid {uid})").into());
                }
                tokio::select! {
                    answer = answer(&question, asks) => answer,
                    () = ended(&mut from) => return,
                }
            }
            Err(why) => Err(why),
        };
        if !matches!(timeout(IDLE_TIMEOUT, to.write_all(line(answer).as_bytes())).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn answer(question: &Value, asks: &[Box<dyn Ask>]) -> Result<Value, String> {
    let Some(name) = question["ask"].as_str() else {
        return Err("the question has no \"ask\" with a name in it".to_owned());
    };
    match asks.iter().find(|ask| ask.name() == name) {
        Some(ask) => ask.answer(question).await,
        None => {
            let known: Vec<_> = asks.iter().map(|ask| ask.name()).collect();
            Err(format!("this server does not know the question {name:?}; it knows {}", known.join(", ")))
        }
    }
}

/// Waits until the client has ended its side without another question.
async fn ended(from: &mut (impl AsyncBufRead + Unpin)) {
    match from.fill_buf().await {
        Ok([]) | Err(_) => {}
        Ok(_) => std::future::pending().await,
    }
}

fn line(answer: Result<Value, String>) -> String {
    let text = answer.unwrap_or_else(|why| json!({ "error": why })).to_string();
    if text.len() < MAX_ANSWER_BYTES {
        return text + "\n";
    }
    format!("{}\n", json!({ "error": format!("the answer has more than {MAX_ANSWER_BYTES} bytes") }))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};

    use super::*;
    use crate::control::Answer;

    /// Answers with the question as the server understands it.
    struct Echo;

    impl Ask for Echo {
        fn name(&self) -> &'static str {
            "echo"
        }

        fn answer(&self, question: &Value) -> Answer {
            Box::pin(std::future::ready(Ok(question.clone())))
        }
    }

    #[tokio::test]
    async fn the_server_says_who_asks_whatever_the_question_says() {
        let folder = tempfile::tempdir().unwrap();
        let socket = ControlSocket::bind(folder.path()).unwrap();
        let path = socket.path().to_owned();
        let serving = tokio::spawn(socket.serve(vec![Box::new(Echo)]));
        let asked = tokio::task::spawn_blocking(move || {
            let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
            writeln!(stream, "{}", json!({ "ask": "echo", "by": "somebody else" })).unwrap();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            serde_json::from_str::<Value>(&answer).unwrap()
        });
        let by = format!("command line (uid {})", rustix::process::geteuid().as_raw());
        assert_eq!(asked.await.unwrap()["by"], by);
        serving.abort();
    }
}
