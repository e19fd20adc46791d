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
