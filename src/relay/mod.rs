//! The TURN relay: listens, relays and knows where it may send. RFC 8656 over UDP, on the `turn` crate's protocol engine.
//!
//! Owner: one task per relay, made by [`start`] and ended by [`Handle::stop`]. Inputs: datagrams of clients, datagrams of
//! peers, [`KeyLookup`]. Outputs: datagrams. The seam to the rest of the program is [`start`] and [`Handle`]; nothing of the
//! engine behind it shows.
//!
//! The crate's own server is not used, only its request handler and its allocations: that server knows one key a user,
//! remembers a nonce for every stranger for ever, and ends at the first error of its socket. The loop of `server` gives each
//! datagram its handler instead, so that **several secrets verify**: the handler owns the very datagram that it is asked
//! about, tries the candidate keys of the username on it, newest first, and names the one whose MESSAGE-INTEGRITY matches
//! (RFC 8489 section 14.5). The crate then checks once more and signs its answer with that key. There is nothing shared
//! between datagrams that could be mixed up, and nothing kept after one.
//!
//! Invariants:
//! - No datagram passes between a relayed socket and a denied peer, whatever permissions the client made ([`policy`]).
//! - An error of one datagram ends nothing but that datagram.
//! - A port that counts as a live relay port is bound by this relay.

pub mod policy;
mod relayed;
mod server;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::address;
use crate::config::RelayConfig;
use policy::PeerPolicy;
use relayed::{OpenError, Relayed};
use server::Server;

/// The keys that may have signed a username's requests, newest secret first; none for an unknown or expired user.
///
/// A key is H(A1), the 16 bytes of `MD5(username ":" realm ":" password)` with SASLprep applied (RFC 8489 section 9.2.2). It
/// is called once for each request that carries credentials, on the relay's task: it must not block.
pub type KeyLookup = Arc<dyn Fn(&str) -> Vec<[u8; 16]> + Send + Sync>;

/// How much the kernel may hold for the one socket of all clients, in bytes: a key frame of several senders at once.
const LISTENER_BUFFER: usize = 4 << 20;
/// How long [`Handle::stop`] waits for sockets to close after the deadline.
const CLOSING: Duration = Duration::from_secs(1);

/// Binds the listener and starts relaying.
///
/// # Errors
/// A sentence that names the setting to change: the port is taken, an address is not this machine's, no relay port is free,
/// the external address is of another family than the relay's.
pub async fn start(config: &RelayConfig, keys: KeyLookup) -> anyhow::Result<Handle> {
    let socket = UdpSocket::bind(config.addr).await.map_err(|error| listen_error(config.addr, error))?;
    // A smaller buffer is no reason not to start: the kernel caps what it grants.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(LISTENER_BUFFER);
    let listening = socket.local_addr().context("the relay's socket has no address")?;

    let relay_ip = config.relay_ip.unwrap_or_else(|| address::relay_ip(listening.ip())).to_canonical();
    let advertised = config.external_ip.unwrap_or(relay_ip).to_canonical();
    ensure!(
        relay_ip.is_ipv4() == advertised.is_ipv4(),
        "CASTWAY_EXTERNAL_IP={advertised} and the relay's own address {relay_ip} are not both IPv4 or both IPv6: change it, or \
         set CASTWAY_RELAY_IP to an address of this machine of the same kind"
    );
    let policy = PeerPolicy::new(&config.allowed_peers, &config.denied_peers)
        .with_own(address::interfaces())
        .with_relayed([relay_ip, advertised]);
    let relayed = Arc::new(Relayed::new(relay_ip, advertised, config.ports.clone(), policy));
    relayed.bind().await.map_err(|error| relay_error(config, relay_ip, error))?;

    let (open, closed) = mpsc::channel(1);
    let server = Server::new(socket, Arc::clone(&relayed), config.realm.clone(), keys, open)?;
    let stop = CancellationToken::new();
    let task = tokio::spawn(Arc::new(server).run(stop.clone()));
    Ok(Handle { listening, relayed, task, stop: stop.drop_guard(), closed })
}

/// A running relay. Dropping it ends the relay at once, [`Handle::stop`] in order.
#[derive(Debug)]
pub struct Handle {
    listening: SocketAddr,
    relayed: Arc<Relayed>,
    task: JoinHandle<()>,
    stop: DropGuard,
    closed: mpsc::Receiver<()>,
}

/// Datagrams that were not passed on since the start, for reasons of the relay's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drops {
    /// To or from a peer that [`PeerPolicy`] denies.
    pub denied: u64,
    /// To a peer, refused by the network or by a full buffer.
    pub unsent: u64,
}

impl Handle {
    /// Where clients reach the relay, with the real port when 0 was asked for.
    #[must_use]
    pub const fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// The address of relayed transport addresses as clients see it.
    #[must_use]
    pub fn advertised(&self) -> IpAddr {
        self.relayed.advertised()
    }

    /// Whether the relay still serves.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }

    /// Allocations that exist now.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.relayed.allocations()
    }

    /// What was not passed on since the start.
    #[must_use]
    pub fn drops(&self) -> Drops {
        self.relayed.drops()
    }

    /// Refuses new allocations (508), waits until the last one ends or `deadline` is over, closes what is left and returns
    /// when the ports are free.
    pub async fn stop(self, deadline: Duration) {
        let Self { relayed, task, stop, mut closed, .. } = self;
        relayed.drain(deadline).await;
        let cut = relayed.allocations();
        drop(stop);
        let _ = task.await;
        // Every socket holds a sender: `None` says that the last one is closed.
        if tokio::time::timeout(CLOSING, closed.recv()).await.is_err() {
            tracing::warn!("the relay stopped, but not all of its sockets are closed");
        }
        tracing::info!(cut, "the relay stopped");
    }
}

fn listen_error(addr: SocketAddr, error: io::Error) -> anyhow::Error {
    let kind = error.kind();
    let sentence = if kind == io::ErrorKind::AddrInUse {
        format!(
            "UDP {addr} is taken by another program (another Castway, coturn?): stop that one, or set CASTWAY_TURN_ADDR to a \
             free port"
        )
    } else if kind == io::ErrorKind::AddrNotAvailable {
        let (own, port) = (address::listed(), addr.port());
        format!(
            "the relay can't listen on {addr}, which is not an address of this machine: set CASTWAY_TURN_ADDR to one of {own}, \
             or to 0.0.0.0:{port} for all"
        )
    } else if kind == io::ErrorKind::PermissionDenied {
        format!(
            "UDP {addr} needs more rights than this user has: set CASTWAY_TURN_ADDR to a port from 1024 up, or grant \
             CAP_NET_BIND_SERVICE"
        )
    } else {
        format!("the relay can't listen on UDP {addr}: change CASTWAY_TURN_ADDR")
    };
    anyhow::Error::new(error).context(sentence)
}

fn relay_error(config: &RelayConfig, relay_ip: IpAddr, error: OpenError) -> anyhow::Error {
    let sentence = match &error {
        OpenError::Exhausted => format!(
            "every UDP port from {} to {} of {relay_ip} is taken: stop what holds them, or widen CASTWAY_MIN_PORT and \
             CASTWAY_MAX_PORT",
            config.ports.start(),
            config.ports.end()
        ),
        OpenError::Bind(error) if error.kind() != io::ErrorKind::AddrNotAvailable => {
            format!("relayed sockets can't be bound to {relay_ip}: change CASTWAY_RELAY_IP, or what forbids it")
        }
        OpenError::Bind(_) => format!(
            "relayed sockets can't be bound to {relay_ip}, which is not an address of this machine: set CASTWAY_RELAY_IP to \
             one of {}; the address of a router in front belongs in CASTWAY_EXTERNAL_IP",
            address::listed()
        ),
    };
    anyhow::Error::new(error).context(sentence)
}
