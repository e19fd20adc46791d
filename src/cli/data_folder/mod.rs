//! A data folder, as a command of root may touch it: in a process of its own with the rights of the folder's owner and no others.
//!
//! [`DataFolder`] is the command's side. `child` is the process: it is this program with the hidden command `data-folder`. It enters the
//! folder, becomes its owner, and answers [`wire::Request`]s on its standard input until that ends. So no file of root's is left behind,
//! and a link that the owner has put into the folder leads to nothing that the owner could not reach without root. What comes from the
//! child is the owner's word, and no more.

mod backup;
pub(super) mod child;
mod database_header;
mod death_signal;
mod locks;
mod part;
mod restore;
mod swap;
mod transfer;
mod wire;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::escape::printable_part;
use crate::config::secret::Secret;
use crate::control::client::ANSWER_TIMEOUT;
use crate::control::facts::ServerFacts;
pub(super) use wire::{Disk, Restored};
use wire::{Reply, Request};

/// The name of the hidden command.
pub(super) const COMMAND: &str = "data-folder";
/// Bytes of the longest reply: the longest answer of a server, and what is around it.
const MAX_REPLY_BYTES: u64 = 2 * 1024 * 1024;
/// How long the process may take, beside what it waits for by itself. Its owner may have stopped it.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a copy of the database may take.
const COPY_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The process that has the owner's rights. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct DataFolder {
    path: PathBuf,
    child: Child,
    to: ChildStdin,
    lines: Receiver<Vec<u8>>,
}

/// What a server has recorded of its settings.
pub(super) enum Record {
    /// No server has run here yet.
    None,
    Settings(Secret<String>),
}

/// Why a server does not answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    NotRunning,
    /// The server's sentence, or what is in the way.
    Because(String),
}

impl DataFolder {
    /// Starts the process for the folder at `path`.
    ///
    /// # Errors
    /// There is no such folder, or the process can't be started.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        // The name in /proc leads to this very program, even where an update has replaced its file.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("castway").arg(COMMAND).arg(path).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for the command, which then ends the process.
        let mut child = command.process_group(0).spawn().context("the process that reads the data folder can't be started")?;
        let (to, from) = child.stdin.take().zip(child.stdout.take()).expect("both are pipes");
        let mut folder = Self { path: path.to_owned(), child, to, lines: lines(from) };
        folder.reply::<()>(REPLY_TIMEOUT)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the running server says of itself.
    pub(super) fn facts(&mut self) -> Result<ServerFacts, NoAnswer> {
        let facts = self.ask(json!({ "ask": "facts" }), ANSWER_TIMEOUT)?;
        serde_json::from_value(facts).map_err(|error| NoAnswer::Because(format!("the server's answer can't be read ({error})")))
    }

    /// Asks the running server, and waits for `patience` at most. What steers a terminal is escaped in the answer.
    pub(super) fn ask(&mut self, question: Value, patience: Duration) -> Result<Value, NoAnswer> {
        self.ask_verbatim(question, patience).map(printable_value)
    }

    /// The same, with the texts of the answer as they are: whoever prints them escapes them.
    pub(super) fn ask_verbatim(&mut self, question: Value, patience: Duration) -> Result<Value, NoAnswer> {
        let question = Request::Ask { question, seconds: patience.as_secs() };
        let answer: Result<Option<Value>, _> = self.request_within(&question, patience + REPLY_TIMEOUT);
        match answer {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(NoAnswer::NotRunning),
            Err(error) => Err(NoAnswer::Because(error.to_string())),
        }
    }

    /// The settings that the server recorded at its last start.
    pub(super) fn record(&mut self) -> anyhow::Result<Record> {
        let record: Option<String> = self.request(&Request::Record)?;
        Ok(record.map_or(Record::None, |record| Record::Settings(Secret::new(record))))
    }

    /// The space on the folder's file system.
    pub(super) fn disk(&mut self) -> anyhow::Result<Disk> {
        self.request(&Request::Disk)
    }

    /// Reads a file as the folder's owner would; a relative path begins at the folder. `None`: there is none.
    pub(super) fn read(&mut self, file: &Path) -> anyhow::Result<Option<String>> {
        self.request(&Request::Read { file: file.to_owned() })
    }

    /// Makes a copy of the data, whose parts [`DataFolder::next_part`] gives; its size in bytes.
    pub(super) fn back_up(&mut self) -> anyhow::Result<u64> {
        self.request_within(&Request::BackUp, COPY_TIMEOUT)
    }

    /// The next part of the copy; `None` after the last one.
    pub(super) fn next_part(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let part: Option<String> = self.request(&Request::NextPart)?;
        Ok(part.map(|part| STANDARD.decode(part)).transpose()?)
    }

    /// Puts the backup that `file` has in place of the data, which no server may have in use. Newer data needs `force`.
    pub(super) fn restore(&mut self, file: &mut impl io::Read, force: bool) -> anyhow::Result<Restored> {
        self.request_within::<()>(&Request::BeginRestore, COPY_TIMEOUT)?;
        loop {
            let mut part = Vec::new();
            file.by_ref().take(transfer::PART_BYTES).read_to_end(&mut part).context("the backup can't be read")?;
            if part.is_empty() {
                return self.request_within(&Request::EndRestore { force }, COPY_TIMEOUT);
            }
            self.request_within::<()>(&Request::Part { data: STANDARD.encode(&part) }, COPY_TIMEOUT)?;
        }
    }

    fn request<T: serde::de::DeserializeOwned>(&mut self, request: &Request) -> anyhow::Result<T> {
        self.request_within(request, REPLY_TIMEOUT)
    }

    fn request_within<T: serde::de::DeserializeOwned>(&mut self, request: &Request, patience: Duration) -> anyhow::Result<T> {
        let ended = |_| anyhow!("the process that reads {} has ended", self.path.display());
        writeln!(self.to, "{}", serde_json::to_string(request)?).map_err(ended)?;
        self.reply(patience)
    }

    fn reply<T: serde::de::DeserializeOwned>(&mut self, patience: Duration) -> anyhow::Result<T> {
        let Ok(line) = self.lines.recv_timeout(patience) else {
            // Nothing that comes later could be told from the next reply.
            self.child.kill().ok();
            return Err(anyhow!("the process that reads {} has ended or does not answer", self.path.display()));
        };
        match serde_json::from_slice(&line).map_err(io::Error::from)? {
            Reply::Done(value) => Ok(serde_json::from_value(value)?),
            Reply::Failed(why) => Err(anyhow!(printable_part(&why))),
        }
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The lines of the process, until it ends or sends one that is too long.
fn lines(from: ChildStdout) -> Receiver<Vec<u8>> {
    let (to, lines) = sync_channel(1);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            let read = from.by_ref().take(MAX_REPLY_BYTES).read_until(b'\n', &mut line);
            if read.is_err() || line.last() != Some(&b'\n') || to.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// What a server says is printed as part of sentences, which it must not end or hide.
fn printable_value(value: Value) -> Value {
    match value {
        Value::String(string) => Value::String(printable_part(&string)),
        Value::Array(values) => values.into_iter().map(printable_value).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (printable_part(&name), printable_value(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
