//! A data folder, as a command of root may touch it: in a process of its own with the rights of the folder's owner and no others.
//!
//! [`DataFolder`] is the command's side. `child` is the process: it is this program with the hidden command `data-folder`. It enters the
//! folder, becomes its owner, and answers [`wire::Request`]s on its standard input until that ends. So no file of root's is left behind,
//! and a link that the owner has put into the folder leads to nothing that the owner could not reach without root. What comes from the
//! child is the owner's word, and no more.

pub(super) mod child;
mod wire;

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

use crate::config::secret::Secret;
use crate::control::client::ANSWER_TIMEOUT;
use crate::control::facts::ServerFacts;
pub(super) use wire::Disk;
use wire::{Reply, Request};

/// The name of the hidden command.
pub(super) const COMMAND: &str = "data-folder";
/// Bytes of the longest reply: the longest answer of a server, and what is around it.
const MAX_REPLY_BYTES: u64 = 2 * 1024 * 1024;

/// The process that has the owner's rights. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct DataFolder {
    path: PathBuf,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
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
        let mut folder = Self { path: path.to_owned(), child, to, from: BufReader::new(from) };
        folder.reply::<()>()?;
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

    /// Asks the running server, and waits for `patience` at most.
    pub(super) fn ask(&mut self, question: Value, patience: Duration) -> Result<Value, NoAnswer> {
        let answer: Result<Option<Value>, _> = self.request(&Request::Ask { question, seconds: patience.as_secs() });
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

    /// Reads a file as the folder's owner would; a relative path begins at the folder.
    pub(super) fn read(&mut self, file: &Path) -> anyhow::Result<String> {
        self.request(&Request::Read { file: file.to_owned() })
    }

    fn request<T: serde::de::DeserializeOwned>(&mut self, request: &Request) -> anyhow::Result<T> {
        writeln!(self.to, "{}", serde_json::to_string(request)?)?;
        self.reply()
    }

    fn reply<T: serde::de::DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = Vec::new();
        self.from.by_ref().take(MAX_REPLY_BYTES).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(anyhow!("the process that reads {} has ended", self.path.display()));
        }
        match serde_json::from_slice(&line).map_err(io::Error::from)? {
            Reply::Done(value) => Ok(serde_json::from_value(value)?),
            Reply::Failed(why) => Err(anyhow!(why)),
        }
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
