//! Binding a listener: the first of its addresses that can be had, or a sentence that says what to do.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;

use crate::config::Listen;

/// A bound listener, and where it is.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: TcpListener,
    pub addr: SocketAddr,
}

/// Binds the first address that can be had; `setting` is the variable that changes it.
///
/// # Errors
/// What is wrong with the last of them, and what to do.
pub async fn bind(listen: &Listen, setting: &str) -> anyhow::Result<Listener> {
    let mut refused = anyhow!("{setting} names no address");
    for addr in &listen.addrs {
        match TcpListener::bind(addr).await {
            Ok(socket) => {
                let addr = socket.local_addr().context("a listener has no address")?;
                return Ok(Listener { socket, addr });
            }
            Err(error) => refused = sentence(*addr, setting, &error),
        }
    }
    Err(refused)
}

fn sentence(addr: SocketAddr, setting: &str, error: &io::Error) -> anyhow::Error {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        anyhow!("TCP {addr} is taken by another program (another Castway?): stop that one, or set {setting} to a free port")
    } else if kind == io::ErrorKind::PermissionDenied {
        anyhow!(
            "TCP {addr} needs more rights: ports below 1024 are for root or for CAP_NET_BIND_SERVICE; set {setting} to a port \
             above, or give the program that capability"
        )
    } else if kind == io::ErrorKind::AddrNotAvailable {
        let port = addr.port();
        anyhow!("{setting}={addr} is not an address of this machine: use one of its own, or 0.0.0.0:{port} for all")
    } else {
        anyhow!("{setting}={addr} can't be listened on: {error}")
    }
}
