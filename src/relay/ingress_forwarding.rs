//! TCP connections that the relay accepts for the ingress.
//!
//! The relay serves a connection itself that begins with STUN. It forwards the connections of trusted proxies, which may begin with a PROXY
//! header, as soon as they are accepted, and those of other clients once their first byte shows TLS or HTTP. The first byte stays in the
//! socket.

use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use tokio::sync::mpsc;

use crate::limits::descriptors::Descriptor;

/// The first byte of a TLS handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Which connections are forwarded, and where to.
#[derive(Debug, Clone)]
pub struct IngressForwarding {
    /// Networks of the trusted proxies.
    pub proxies: Arc<[IpNet]>,
    /// Whether the ingress takes TLS from this port.
    pub tls: bool,
    /// Whether the ingress takes HTTP from this port.
    pub http: bool,
    /// Connections of trusted proxies. Their queue is their own, so that no stranger can fill it.
    pub proxied: mpsc::Sender<ForwardedConnection>,
    pub others: mpsc::Sender<ForwardedConnection>,
}

/// A connection on its way to the ingress.
#[derive(Debug)]
pub struct ForwardedConnection {
    /// Non-blocking.
    pub stream: TcpStream,
    /// When the connection is closed, unless its protocol is known by then.
    pub deadline: Instant,
    /// Held until the ingress has counted the connection; `None` for a trusted proxy.
    pub descriptor: Option<Descriptor>,
}

impl IngressForwarding {
    pub(super) fn is_proxy(&self, client: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&client))
    }

    /// Whether the first byte of a connection tells if it is forwarded.
    pub(super) const fn depends_on_first_byte(&self) -> bool {
        self.tls || self.http
    }

    /// No connection begins with ChannelData, whose channel numbers have the letters too.
    pub(super) const fn takes(&self, first: u8) -> bool {
        (self.tls && first == TLS_HANDSHAKE) || (self.http && first.is_ascii_alphabetic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_whether_the_relay_serves_a_connection() {
        let of = |tls, http| {
            let (proxied, others) = (mpsc::channel(1).0, mpsc::channel(1).0);
            IngressForwarding { proxies: Arc::new([]), tls, http, proxied, others }
        };
        for stun in [0x00, 0x01, 0x40, 0x0D] {
            assert!(!of(true, true).takes(stun), "{stun:#x}");
        }
        assert!(of(true, false).takes(TLS_HANDSHAKE) && !of(false, true).takes(TLS_HANDSHAKE));
        for method in [b'G', b'P', b'g', b'z'] {
            assert!(of(false, true).takes(method) && !of(true, false).takes(method));
        }
        assert!(!of(false, false).depends_on_first_byte());
    }
}
