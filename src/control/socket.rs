//! The socket file: made for its owner alone, put in the place of a dead server's, and removed when the server stops.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

use super::connect::connect_now;
use crate::sentence::Sentence;

/// The name of the socket in the data folder.
pub const SOCKET_FILE_NAME: &str = "castway.sock";
/// Connections that wait to be accepted.
const BACKLOG: i32 = 8;

/// The listening socket. Dropping it removes the file.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: tokio::net::UnixListener,
    path: PathBuf,
    /// Device and inode of the file.
    identity: Option<(u64, u64)>,
}

impl ControlSocket {
    /// Makes the socket in `data_dir`.
    ///
    /// # Errors
    /// The path is too long for a socket, another server has it, or the folder takes no new file.
    pub fn bind(data_dir: &Path) -> Result<Self, Sentence> {
        let path = data_dir.join(SOCKET_FILE_NAME);
        let because = |Sentence { en, zh }: Sentence| {
            let path = data_dir.join(SOCKET_FILE_NAME);
            let path = path.display();
            Sentence::new(
                format!("commands such as castway doctor can't ask this server, since {path} can't be made: {en}"),
                format!("castway doctor 等命令无法查询此服务器，因为无法创建 {path}：{zh}"),
            )
        };
        let address = SocketAddrUnix::new(&path).map_err(|_| {
            because(Sentence::new(
                "the path is too long for a socket (107 bytes); choose a shorter CASTWAY_DATA_DIR",
                "路径太长，不能用于套接字（107 字节）；请选择更短的 CASTWAY_DATA_DIR",
            ))
        })?;
        remove_dead(&path).map_err(because)?;
        let listener = listen_at(&address).and_then(tokio::net::UnixListener::from_std);
        let listener = listener.map_err(|error| because(as_it_comes(&error)))?;
        let identity = identity(&path).ok();
        Ok(Self { listener, path, identity })
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Another server may have made its own socket there since.
        if self.identity.is_some() && identity(&self.path).ok() == self.identity {
            fs::remove_file(&self.path).ok();
        }
    }
}

fn listen_at(address: &SocketAddrUnix) -> io::Result<UnixListener> {
    let socket: OwnedFd =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // The file gets the mode that the socket has, so there is no moment at which others could connect.
    let socket = File::from(socket);
    socket.set_permissions(Permissions::from_mode(0o600))?;
    let socket = OwnedFd::from(socket);
    bind(&socket, address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Removes the socket of a server that no longer runs.
fn remove_dead(path: &Path) -> Result<(), Sentence> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(as_it_comes(&error)),
    };
    if !found.file_type().is_socket() {
        return Err(Sentence::new("there is something else of this name; remove it", "那里有同名的其他文件，请将其删除"));
    }
    match connect_now(path) {
        Ok(_) => return Err(Sentence::new("another server that runs has it", "另一个正在运行的服务器占用了它")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        // Its queue is full, so somebody serves it.
        Err(error) => {
            let in_chinese = format!("可能有另一个服务器占用了它（{error}）");
            return Err(Sentence::new(format!("another server may have it ({error})"), in_chinese));
        }
    }
    // Somebody else may have replaced it meanwhile.
    if identity(path).ok() == Some((found.dev(), found.ino())) {
        fs::remove_file(path).map_err(|error| as_it_comes(&error))?;
    }
    Ok(())
}

/// An error of the system.
fn as_it_comes(error: &io::Error) -> Sentence {
    Sentence::new(error.to_string(), error.to_string())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    fn problem(folder: &Path) -> String {
        ControlSocket::bind(folder).expect_err("it can't be made").en
    }

    #[tokio::test]
    async fn the_socket_is_its_owners_and_goes_with_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let socket = ControlSocket::bind(folder.path()).unwrap();
        let path = folder.path().join("castway.sock");
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(problem(folder.path()).contains("another server that runs has it"));
        assert!(path.exists(), "a live server keeps its socket");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_server_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("castway.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody removed it");
        let socket = ControlSocket::bind(folder.path()).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        // The socket of a later server stays when an earlier one ends.
        fs::remove_file(&path).unwrap();
        let _later = UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_server_that_accepts_nobody_keeps_its_socket_and_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("castway.sock");
        let stopped = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&stopped, 1).unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = connect_now(&path) {
            waiting.push(stream);
        }
        assert!(problem(folder.path()).contains("another server may have it"));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_keeps_the_socket_from_being_made_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(108));
        fs::create_dir(&long).unwrap();
        assert!(problem(&long).contains("too long for a socket (107 bytes)"));
        assert!(problem(&folder.path().join("none")).contains("No such file"));
        let path = folder.path().join("castway.sock");
        fs::write(&path, "mine").unwrap();
        assert!(problem(folder.path()).contains("something else of this name"));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        fs::remove_file(&path).unwrap();
        let elsewhere = folder.path().join("elsewhere");
        drop(UnixListener::bind(&elsewhere).unwrap());
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(problem(folder.path()).contains("something else of this name"), "a link is not followed");
        assert!(elsewhere.exists());
    }
}
