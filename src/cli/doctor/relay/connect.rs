//! Connects to the relay, over each of its transports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpStream, UdpSocket};
use webrtc_util::Conn;

use super::stream::StreamConn;
use crate::cli::doctor::tls::{self, Doubt};

/// One way to the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) transport: Transport,
    /// The host of the URL, which the certificate must have.
    pub(super) host: String,
    pub(super) address: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// Where a test has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection, with the reason as a clause.
    Unreachable(String),
    Handshake(String),
    /// The relay is silent.
    NoAnswer,
    /// The relay refused a request.
    Refused {
        code: u16,
        words: String,
    },
    /// The allocation stands, and no payload came through it.
    NoEcho,
    Other(String),
}

pub(super) async fn connect(way: &Way) -> Result<(Arc<dyn Conn + Send + Sync>, Option<Doubt>), Fault> {
    let unreachable = |error: std::io::Error| Fault::Unreachable(error.to_string());
    let relay = way.address;
    if way.transport == Transport::Udp {
        let any = if relay.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let socket = UdpSocket::bind((any, 0)).await.map_err(unreachable)?;
        // The kernel says at once where there is no route.
        let probe = UdpSocket::bind((any, 0)).await.map_err(unreachable)?;
        probe.connect(relay).await.map_err(unreachable)?;
        return Ok((Arc::new(socket), None));
    }
    let stream = TcpStream::connect(relay).await.map_err(unreachable)?;
    let _ = stream.set_nodelay(true);
    let own = stream.local_addr().map_err(unreachable)?;
    if way.transport == Transport::Tcp {
        return Ok((Arc::new(StreamConn::new(stream, own, relay)), None));
    }
    let (stream, doubt) = tls::connect(stream, &way.host).await.map_err(Fault::Handshake)?;
    Ok((Arc::new(StreamConn::new(stream, own, relay)), doubt))
}
