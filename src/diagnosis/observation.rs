//! What is known about one end of a connection, and about this server.

use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use super::report::Report;
use crate::turn::RefusalReason;

/// Maximum number of other addresses that are remembered for one client.
pub const MAX_OTHER_ADDRESSES: usize = 4;

/// How a client reaches the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    Udp,
    Tcp,
    Tls,
}

impl Path {
    pub const ALL: [Self; 3] = [Self::Udp, Self::Tcp, Self::Tls];
}

/// What the relay has seen of one client since the watch was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witness {
    /// The server could not watch this client, or not until now: its table was full.
    pub unwatched: bool,
    /// By [`Path`], in the order of [`Path::ALL`].
    pub paths: [PathWitness; 3],
    /// Connectivity checks, and other STUN messages, that came from peers to the client's relayed addresses. Media are not counted.
    pub relayed_in: u64,
    /// The same, that the client had relayed to peers.
    pub relayed_out: u64,
    pub last_relayed_in: Option<Instant>,
    pub last_relayed_out: Option<Instant>,
    /// Addresses, of other networks than the one that is watched, from which this client's credentials were used. The client has another address for UDP than
    /// for HTTP (another family, another NAT).
    pub other_addresses: Vec<IpAddr>,
}

/// What arrived over one path, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PathWitness {
    /// STUN requests that arrived.
    pub requests: u32,
    /// Success responses that were sent.
    pub answered: u32,
    /// Nonces that were sent: 401 to requests without credentials, as the first one of every client, and 438.
    pub challenged: u32,
    /// Requests whose credentials were right.
    pub authenticated: u32,
    /// Allocations made.
    pub allocated: u32,
    /// TLS handshakes that the client gave up since it does not trust the certificate.
    pub rejected: u32,
    /// Why the last refused request was refused. Peers that policy denies (403) are not counted, since every healthy cast asks for some.
    pub refused: Option<RefusalReason>,
    /// When the last request arrived.
    pub last: Option<Instant>,
}

impl Witness {
    pub fn path(&self, path: Path) -> &PathWitness {
        &self.paths[path as usize]
    }

    pub fn path_mut(&mut self, path: Path) -> &mut PathWitness {
        &mut self.paths[path as usize]
    }

    /// Whether anything has arrived over any path.
    pub fn has_seen(&self) -> bool {
        self.paths.iter().any(|path| path.requests > 0)
    }
}

/// One end of a cast or call.
#[derive(Debug, Clone)]
pub struct End {
    /// The last report of its page. Pages of other front ends send none.
    pub report: Option<Report>,
    pub witness: Witness,
    /// The address from which its HTTP and WebSocket connections come.
    pub address: IpAddr,
}

/// What the server knows about itself, at the moment of a verdict.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The client that these facts are collected for.
    pub client: Option<IpAddr>,
    /// The ports of the relay that are advertised; `None`: the path is not offered.
    pub udp_port: Option<u16>,
    pub tcp_port: Option<u16>,
    /// 443 on most servers.
    pub tls_port: Option<u16>,
    /// The first and the last relayed port that a firewall has to let through for clients of scope anyone.
    pub relayed_ports: Option<(u16, u16)>,
    /// Casts and calls use relayed ports too: their credentials are of scope anyone, or reach peers outside.
    pub range_needed: bool,
    /// The addresses that relayed candidates have.
    pub advertised: Vec<IpAddr>,
    /// The addresses that the relay's sockets are bound to.
    pub bound: Vec<IpAddr>,
    /// The host that URLs of ICE servers name for this client.
    pub host: Option<String>,
    /// The addresses that this host leads to, as far as the server knows.
    pub host_addresses: Vec<IpAddr>,
    /// The addresses that the host leads to by which the client found the pages; the address itself where that host is one. Empty: not
    /// known.
    pub asked_addresses: Vec<IpAddr>,
    /// The address of this server that the client's HTTP connection came to; a proxy's connection says nothing about it.
    pub reached: Option<IpAddr>,
    /// The client's HTTP connection came through a proxy.
    pub proxied: bool,
    /// Clients trust the certificate of TURN over TLS; `None`: there is no TURN over TLS.
    pub certificate_trusted: Option<bool>,
    /// When a client of another network last had an answer over UDP that it went on to use (an authenticated request).
    pub last_udp_elsewhere: Option<SystemTime>,
    pub last_tcp_elsewhere: Option<SystemTime>,
    /// The newest secret that signs credentials comes from the settings, and not from the database.
    pub static_secret: bool,
    /// The address of the other device of a check, and what the relay has seen of it.
    pub second_device: Option<(IpAddr, Witness)>,
    /// The server's clock when the facts were collected.
    pub now: Option<SystemTime>,
}

/// Collects [`Facts`].
pub trait FactsSource: Send + Sync + 'static {
    /// `host`: the name by which the client reached this server over HTTP. `client`: its address. `reached`: the address of this
    /// machine that its connection came to, as `http::connection_info::LocalAddress` has it; `None`: the connection is a proxy's.
    fn facts(&self, host: Option<&str>, client: IpAddr, reached: Option<IpAddr>) -> Facts;
}
