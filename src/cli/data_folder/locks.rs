//! [`Locks`]: what keeps servers and commands from a data folder while a backup is put in place.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};

use crate::control::{FolderLock, LockError};
use crate::users::{OpenError, Store};

/// Freed when this is dropped.
#[derive(Debug)]
pub(super) struct Locks {
    _server: FolderLock,
    /// Commands lock the folder itself while they bring the schema up to date.
    _folder: Option<File>,
}

impl Locks {
    /// Waits for `patience` at most. A file system without locks keeps nobody from restoring.
    pub(super) async fn take(folder: &Path, patience: Duration) -> anyhow::Result<Self> {
        let server = FolderLock::take(folder).await.map_err(|error| match error {
            LockError::InUse { .. } => running(),
            error => error.into(),
        })?;
        let locked = Store::lock_folder(folder, patience).await;
        if matches!(locked, Err(OpenError::Locked { .. })) {
            bail!("another program holds a lock on the data folder: end it (fuser names it), and restore again");
        }
        Ok(Self { _server: server, _folder: locked? })
    }
}

/// A server has the folder.
pub(super) fn running() -> anyhow::Error {
    anyhow!("a server runs with this data folder: stop it (sudo systemctl stop castway), and restore again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_server_starts_and_no_other_restore_begins_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::take(folder.path(), Duration::ZERO).await.unwrap();
        assert!(matches!(FolderLock::take(folder.path()).await, Err(LockError::InUse { .. })));
        assert!(File::open(folder.path()).unwrap().try_lock().is_err());
        let error = Locks::take(folder.path(), Duration::ZERO).await.unwrap_err().to_string();
        assert!(error.starts_with("a server runs with this data folder"), "{error}");
        drop(locks);
        Locks::take(folder.path(), Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_lock_of_a_stranger_is_waited_for_and_then_named() {
        let folder = tempfile::tempdir().unwrap();
        let stranger = File::open(folder.path()).unwrap();
        stranger.lock().unwrap();
        let error = Locks::take(folder.path(), Duration::from_millis(60)).await.unwrap_err().to_string();
        assert!(error.starts_with("another program holds a lock on the data folder"), "{error}");
        let freed = async { stranger.unlock().unwrap() };
        let (taken, ()) = tokio::join!(Locks::take(folder.path(), Duration::from_secs(60)), freed);
        assert!(taken.is_ok());
    }
}
