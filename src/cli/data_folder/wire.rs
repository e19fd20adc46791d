//! What goes between the two processes: one JSON object a line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Request {
    Ask {
        question: Value,
        seconds: u64,
    },
    Record,
    Disk,
    /// Answered by `null` where there is no such file.
    Read {
        file: PathBuf,
    },
    /// Makes a copy of the data; answered by its size in bytes.
    BackUp,
    /// The next part of the copy in Base64, `null` after the last one.
    NextPart,
    /// Begins to take a backup.
    BeginRestore,
    /// A part of it in Base64.
    Part {
        data: String,
    },
    /// Puts the backup in place of the data; answered by [`Restored`].
    EndRestore {
        force: bool,
    },
}

/// What has been restored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Restored {
    /// The castway that made the backup, and when that was.
    pub(crate) version: String,
    pub(crate) made_at: String,
    /// The folder below the data folder that has the former data; `None`: there was none.
    pub(crate) aside: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    Done(Value),
    Failed(String),
}

/// The file system of the folder, in bytes and files for users without privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Disk {
    pub(crate) free_bytes: u64,
    pub(crate) free_files: u64,
    pub(crate) read_only: bool,
}
