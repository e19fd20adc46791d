//! One TCP port, every protocol: who speaks what is told by the first bytes, in the clear and inside TLS.
//!
//! Owner of the listeners and of connections that have not shown what they are. In the clear nothing is consumed (MSG_PEEK), so
//! that handing a socket over costs nothing; inside TLS the handshake has told (ALPN), or the first decrypted byte does, which
//! stays in the connection. Then the connection belongs to [`Http`] or to the relay, where it is served without us.
//!
//! Invariants:
//! - Each connection has its own task and ten seconds to tell what it is; none waits for another.
//! - Those that have not told are bounded in number, in all and of one address: the oldest go first, since who means well tells at once.
//!   None is accepted before there is a descriptor for it.
//! - What one address holds of HTTP is bounded, and so is what all hold; the relay counts by its own rules.

mod detect;
mod handshake;
mod listener;
mod proxy_protocol;
mod stream;
mod unidentified;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use rustls::server::Acceptor;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

pub use listener::{Listener, bind};
pub use unidentified::Undecided;

use crate::http::{Arrival, Http, Version};
use crate::limits::concurrency::{AddressCounter, Place};
use crate::limits::descriptors::Share;
use crate::relay::{AcceptedConnection, StreamIntake, Wire};
use crate::tls::{ACME_TLS, HTTP_2, Handshakes, STUN_TURN};
use detect::Protocol;
use handshake::Limited;
use stream::Stream;
use unidentified::Stranger;

/// For a connection to show what it speaks, a TLS handshake included.
const SHOW: Duration = Duration::from_secs(10);
/// Bytes that TLS takes of what is written before the client has taken any. What it has taken does not count as waiting any more.
const MAX_TLS_BUFFER_BYTES: usize = 16 * 1024;
/// After an accept that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections go once it is known what they are.
pub struct Doors {
    pub http: Http,
    pub relay: StreamIntake,
    /// TURN without TLS.
    pub plain_turn: bool,
    /// `None`: no TLS.
    pub tls: Option<Handshakes>,
    pub trusted_proxies: Vec<IpNet>,
    /// Of one address at once.
    pub connections: u32,
    /// What HTTP may have open at once.
    pub http_share: Share,
    /// Connections that have not shown what they are, of all listeners.
    pub undecided: Undecided,
}

/// Serves until `stop` ends, then lets requests that are being answered end.
pub async fn serve(listeners: Vec<Listener>, doors: Doors, stop: impl Future<Output = ()>) {
    let hall = Arc::new(Hall { places: AddressCounter::new(doors.connections), doors });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(Arc::clone(&hall).accept(listener));
    }
    stop.await;
    accepting.shutdown().await;
    hall.doors.http.stop().await;
}

struct Hall {
    doors: Doors,
    places: AddressCounter,
}

impl Hall {
    async fn accept(self: Arc<Self>, mut listener: Listener) {
        let mut failing = false;
        loop {
            // Before there is a connection, so that its descriptor is there.
            let room = self.doors.undecided.room().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    failing = false;
                    let peer = canonical(peer);
                    let proxy = self.doors.trusted_proxies.iter().any(|network| network.contains(&peer.ip()));
                    let stranger = Arc::new(self.doors.undecided.enter(Some(peer.ip()).filter(|_| !proxy), room));
                    let (hall, place) = (Arc::clone(&self), Arc::clone(&stranger));
                    let task = tokio::spawn(async move { hall.receive(stream, peer, &place).await });
                    stranger.settle(task.abort_handle());
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(%error, "no connection can be accepted for now: raise the limit of open files (ulimit -n)");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Sees a connection to its door, or closes it.
    async fn receive(&self, stream: TcpStream, peer: SocketAddr, stranger: &Stranger) {
        match timeout(SHOW, self.see_in(stream, peer, stranger)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(client = %peer, %error, "a connection was closed before it was known what it speaks")
            }
            Err(_) => tracing::debug!(client = %peer, "a connection did not show in time what it speaks"),
        }
    }

    async fn see_in(&self, stream: TcpStream, peer: SocketAddr, stranger: &Stranger) -> io::Result<()> {
        // Signaling and media are small packets that somebody waits for.
        stream.set_nodelay(true)?;
        let server = canonical(stream.local_addr()?);
        let trusted = self.doors.trusted_proxies.iter().any(|network| network.contains(&peer.ip()));
        let announced = if trusted { proxy_protocol::read_header(&stream).await? } else { None };
        let client = announced.map_or(peer, canonical);
        let forwarded = trusted && announced.is_none();
        let arrival = Arrival { client, tls: false, forwarded, local: (!trusted).then(|| server.ip()) };
        let protocol = detect::first(&stream).await?;
        stranger.asked();
        match protocol {
            Protocol::Turn if self.doors.plain_turn => {
                self.doors.relay.take_in(AcceptedConnection { client, server, wire: Wire::Tcp(stream.into_std()?) });
                Ok(())
            }
            Protocol::Http => {
                let place = self.place(arrival)?;
                self.doors.http.serve(Stream::plain(stream, Some(place)), Version::Http1, arrival);
                Ok(())
            }
            Protocol::Tls => match &self.doors.tls {
                Some(handshakes) => {
                    // What a proxy connects to is not what its client uses.
                    let local = announced.is_none().then(|| server.ip());
                    let config = handshakes.config(local, client.ip());
                    let mut begun = LazyConfigAcceptor::new(Acceptor::default(), Limited::new(stream)).await?;
                    begun.io.go_on();
                    let mut stream = begun.into_stream(config).await?;
                    stream.get_mut().0.lift();
                    self.see_in_tls(stream, server, Arrival { tls: true, ..arrival }).await
                }
                None => Err(unknown()),
            },
            Protocol::Turn | Protocol::Unknown => Err(unknown()),
        }
    }

    /// For HTTP, among those of its address and of all.
    fn place(&self, arrival: Arrival) -> io::Result<Place> {
        let place = if arrival.forwarded { Some(Place::nobodys()) } else { self.places.enter(arrival.client.ip()) };
        let descriptor = self.doors.http_share.take().ok_or_else(full)?;
        Ok(place.ok_or_else(too_many)?.with(descriptor))
    }

    async fn see_in_tls(&self, mut stream: TlsStream<Limited>, server: SocketAddr, arrival: Arrival) -> io::Result<()> {
        let agreed = stream.get_ref().1.alpn_protocol();
        let version = if agreed == Some(HTTP_2) { Version::Http2 } else { Version::Http1 };
        let protocol = match agreed {
            // The handshake was all that the authority wanted.
            Some(ACME_TLS) => return Ok(()),
            Some(STUN_TURN) => Protocol::Turn,
            Some(HTTP_2) => Protocol::Http,
            // Some TURN clients name HTTP/1.1 too (coturn's).
            Some(_) | None => detect::told(stream.fill_buf().await?.first()),
        };
        match protocol {
            Protocol::Turn => {
                let (tcp, connection) = stream.into_inner();
                let wire = Wire::Tls(tcp.into_inner().into_std()?, Box::new(connection));
                self.doors.relay.take_in(AcceptedConnection { client: arrival.client, server, wire });
                Ok(())
            }
            Protocol::Http => {
                let place = self.place(arrival)?;
                stream.get_mut().1.set_buffer_limit(Some(MAX_TLS_BUFFER_BYTES));
                self.doors.http.serve(Stream::tls(stream, Some(place)), version, arrival);
                Ok(())
            }
            Protocol::Tls | Protocol::Unknown => Err(unknown()),
        }
    }
}

/// An IPv4 client of a dual-stack socket as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn unknown() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no protocol of ours, or one that is off")
}

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "too many HTTP connections in all for the limit of open files")
}

fn too_many() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "too many connections from this address (CASTWAY_ADDRESS_CONNECTIONS)")
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected].contains(&error.kind())
}
