//! [`FolderLock`]: a data folder has one server at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::connect::connect_now;
use super::socket::SOCKET_FILE_NAME;
use crate::sentence::Sentence;
use crate::users::{OpenError, Store};

/// How long a server that stops may take to close its socket.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The lock on a data folder. The kernel frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
    /// Why the folder is not locked.
    problem: Option<Sentence>,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "a server{} runs with the data folder {folder}, which is for one server: stop that one, or give this one another folder \
         with --data-dir or CASTWAY_DATA_DIR",
        process.map(|process| format!(" (process {process})")).unwrap_or_default()
    )]
    InUse { folder: PathBuf, process: Option<u32> },
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl FolderLock {
    /// Locks `data_dir`, which is made where it is missing. Where the file system has no locks, the server runs all the same.
    ///
    /// # Errors
    /// Another server has the folder, or nothing can be written there.
    pub async fn take(data_dir: &Path) -> Result<Self, LockError> {
        let lock = Self::hold(Store::open_lock_file(data_dir)?, data_dir)?;
        // Servers of older versions take no lock.
        let deadline = Instant::now() + STOP_TIMEOUT;
        while is_served(data_dir) {
            if Instant::now() >= deadline {
                return Err(in_use(data_dir));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(lock)
    }

    fn hold(file: File, data_dir: &Path) -> Result<Self, LockError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file, problem: None }),
            Err(TryLockError::WouldBlock) => Err(in_use(data_dir)),
            Err(TryLockError::Error(error)) => {
                let folder = data_dir.display();
                let problem = Sentence::new(
                    format!(
                        "The file system of the data folder {folder} has no locks ({error}), so nothing keeps a second server from \
                         starting with it: start none, or choose a folder of this machine's own disk with CASTWAY_DATA_DIR"
                    ),
                    format!(
                        "数据目录 {folder} 所在的文件系统不支持锁（{error}），因此无法阻止第二个服务器使用同一目录启动：请不要这样启动，或用 \
                         CASTWAY_DATA_DIR 选择本机磁盘上的目录"
                    ),
                );
                Ok(Self { _file: file, problem: Some(problem) })
            }
        }
    }

    /// Why the folder is not locked, if it is not.
    pub const fn problem(&self) -> Option<&Sentence> {
        self.problem.as_ref()
    }
}

fn in_use(data_dir: &Path) -> LockError {
    let folder = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
    LockError::InUse { folder, process: listening_process(data_dir) }
}

/// Whether a process listens at the socket of the folder. A link is no socket that a server has made.
fn is_served(data_dir: &Path) -> bool {
    let path = data_dir.join(SOCKET_FILE_NAME);
    let is_socket = fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket());
    // A full queue belongs to a process as well.
    is_socket && connect_now(&path).map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |_| true)
}

/// The process that listens at the socket of the folder, as the kernel numbers it for this one. `None`: it has no socket (yet), or runs in
/// a container of its own, whose processes have no number here.
fn listening_process(data_dir: &Path) -> Option<u32> {
    let stream = connect_now(&data_dir.join(SOCKET_FILE_NAME)).ok()?;
    stream.set_nonblocking(true).ok()?;
    let peer = tokio::net::UnixStream::from_std(stream).ok()?.peer_cred().ok()?;
    peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{OpenOptionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::control::ControlSocket;

    #[tokio::test]
    async fn a_folder_has_one_server_and_is_free_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().canonicalize().unwrap().join("data");
        let lock = FolderLock::take(&data).await.unwrap();
        assert_eq!(lock.problem(), None);
        let refused = async || FolderLock::take(&data).await.expect_err("it is locked");
        let sentence = refused().await.to_string();
        assert!(sentence.starts_with(&format!("a server runs with the data folder {}, which", data.display())), "{sentence}");
        let socket = ControlSocket::bind(&data).unwrap();
        assert!(matches!(refused().await, LockError::InUse { process: Some(process), .. } if process == std::process::id()));
        assert!(refused().await.to_string().starts_with(&format!("a server (process {}) runs with", std::process::id())));
        drop((socket, lock));
        FolderLock::take(&data).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_without_a_lock_has_the_folder_as_long_as_it_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SOCKET_FILE_NAME);
        let older = UnixListener::bind(&path).unwrap();
        let refused = FolderLock::take(folder.path()).await.expect_err("a process listens");
        assert!(matches!(refused, LockError::InUse { process: Some(process), .. } if process == std::process::id()));
        // It stops once the other one has begun to wait.
        let (taken, ()) = tokio::join!(biased; FolderLock::take(folder.path()), async { drop(older) });
        drop(taken.unwrap());
        assert!(path.exists(), "the socket of a dead server keeps nobody out");
        fs::remove_file(&path).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        let _other = UnixListener::bind(&elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        FolderLock::take(folder.path()).await.unwrap();
    }

    #[test]
    fn a_server_runs_where_there_are_no_locks_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        // The kernel locks nothing that is open as a path alone.
        let path = rustix::fs::OFlags::PATH.bits().cast_signed();
        let file = fs::OpenOptions::new().read(true).custom_flags(path).open(folder.path()).unwrap();
        let lock = FolderLock::hold(file, folder.path()).unwrap();
        assert!(lock.problem().unwrap().en.contains("has no locks"));
    }

    #[tokio::test]
    async fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        symlink(&victim, folder.path().join("castway.lock")).unwrap();
        let error = FolderLock::take(folder.path()).await.expect_err("it is a link");
        assert!(matches!(error, LockError::Open(OpenError::Link { .. })), "{error}");
        assert!(!victim.exists());
    }
}
