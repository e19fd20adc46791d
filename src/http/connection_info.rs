//! The server's knowledge of the connection on which a request came. [`crate::http::server::HttpServer`] puts it into the
//! extensions of each request.

use std::net::{IpAddr, SocketAddr};

/// The connection on which a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client; with the PROXY protocol, the client that the proxy has named.
    pub client: SocketAddr,
    /// The connection uses TLS, and this server terminates it.
    pub tls: bool,
    /// The connection comes from a trusted proxy, which forwards requests of many clients.
    pub forwarded: bool,
    /// The address of this machine that the client connected to; `None` behind a proxy.
    pub local: Option<IpAddr>,
}

impl ConnectionInfo {
    /// Whether a trusted proxy has named the client by the PROXY protocol.
    #[must_use]
    pub const fn is_announced(&self) -> bool {
        !self.forwarded && self.local.is_none()
    }
}

/// [`ConnectionInfo::local`] as an extension of its own, for handlers that need nothing else.
#[derive(Debug, Clone, Copy)]
pub struct LocalAddress(pub Option<IpAddr>);
