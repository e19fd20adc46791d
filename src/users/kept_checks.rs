//! Keeps results of checks in the database, without a request that waits for the disk.

use std::net::IpAddr;
use std::time::SystemTime;

use tokio::sync::mpsc;

use super::store::{CheckKind, Store};

/// Bytes of a result in JSON.
pub const MAX_RESULT_BYTES: usize = 16 * 1024;
/// Results that wait for the disk, of [`MAX_RESULT_BYTES`] each. What comes beyond them is dropped and logged.
const MAX_QUEUED_RESULTS: usize = 64;

/// Hands results over to the task that writes them; clones share it.
#[derive(Debug, Clone)]
pub struct KeptChecks(mpsc::Sender<QueuedResult>);

#[derive(Debug)]
struct QueuedResult {
    kind: CheckKind,
    address: IpAddr,
    result: String,
    at: SystemTime,
}

impl KeptChecks {
    /// Starts the task, which ends when the last clone is dropped.
    #[must_use]
    pub fn start(store: Store) -> Self {
        let (results, queued) = mpsc::channel(MAX_QUEUED_RESULTS);
        tokio::spawn(write(store, queued));
        Self(results)
    }

    /// Keeps a result, which is a JSON object of at most [`MAX_RESULT_BYTES`]; a longer one is not kept.
    pub fn keep(&self, kind: CheckKind, address: IpAddr, result: String, now: SystemTime) {
        if result.len() > MAX_RESULT_BYTES {
            tracing::debug!(bytes = result.len(), "the result of a check is too long to be kept");
            return;
        }
        if self.0.try_send(QueuedResult { kind, address, result, at: now }).is_err() {
            tracing::warn!("the result of a check is not kept, because too many others wait for the disk");
        }
    }
}

async fn write(store: Store, mut queued: mpsc::Receiver<QueuedResult>) {
    while let Some(QueuedResult { kind, address, result, at }) = queued.recv().await {
        if let Err(error) = store.keep_check(kind, address, &result, at).await {
            tracing::warn!(%error, "the result of a check could not be kept");
        }
    }
}
