//! One TCP port, every protocol: who speaks what is told by the first bytes, in the clear and inside TLS.
//!
//! Owner of the listeners and of connections that have not shown what they are. In the clear nothing is consumed (MSG_PEEK), so
//! that handing a socket over costs nothing; inside TLS the handshake has told (ALPN), or the first decrypted byte does, which
//! stays in the connection. Then the connection belongs to [`Http`] or to the relay, where it is served without us.
//!
//! Invariants:
//! - Each connection has its own task and ten seconds to tell what it is; none waits for another.
//! - Those that have not told are bounded in number: the oldest go first, since who means well tells at once.
//! - What one address holds is bounded; it is counted until HTTP ends, or until the relay counts by its own rules.

mod listener;
mod proxy;
mod sniff;
mod stream;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use listener::{Listener, bind};

use crate::http::{Arrival, Http, Version};
use crate::limits::concurrency::{AddressCounter, Place};
use crate::relay::{Connection, Entrance, Wire};
use crate::tls::{ACME_TLS, HTTP_2, Handshakes, STUN_TURN};
use sniff::Protocol;
use stream::Stream;

/// For a connection to show what it speaks, a TLS handshake included.
const SHOW: Duration = Duration::from_secs(10);
/// After an accept that failed for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections go once it is known what they are.
pub struct Doors {
    pub http: Http,
    pub relay: Entrance,
    /// TURN without TLS.
    pub plain_turn: bool,
    /// `None`: no TLS.
    pub tls: Option<Handshakes>,
    pub trusted_proxies: Vec<IpNet>,
    /// Of one address at once.
    pub connections: u32,
    /// Most connections of one listener that have not shown what they are.
    pub undecided: usize,
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
        let mut undecided = Undecided::default();
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    failing = false;
                    let hall = Arc::clone(&self);
                    let task = tokio::spawn(async move { hall.receive(stream, canonical(peer)).await });
                    undecided.push(task.abort_handle(), self.doors.undecided);
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
    async fn receive(&self, stream: TcpStream, peer: SocketAddr) {
        match timeout(SHOW, self.see_in(stream, peer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(client = %peer, %error, "a connection was closed before it was known what it speaks")
            }
            Err(_) => tracing::debug!(client = %peer, "a connection did not show in time what it speaks"),
        }
    }

    async fn see_in(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        // Signaling and media are small packets that somebody waits for.
        stream.set_nodelay(true)?;
        let server = canonical(stream.local_addr()?);
        let trusted = self.doors.trusted_proxies.iter().any(|network| network.contains(&peer.ip()));
        let announced = if trusted { proxy::read_header(&stream).await? } else { None };
        let client = announced.map_or(peer, canonical);
        let forwarded = trusted && announced.is_none();
        let place = if forwarded { None } else { Some(self.places.enter(client.ip()).ok_or_else(too_many)?) };
        let arrival = Arrival { client, tls: false, forwarded };
        match sniff::first(&stream).await? {
            Protocol::Turn if self.doors.plain_turn => {
                self.doors.relay.enter(Connection { client, server, wire: Wire::Tcp(stream.into_std()?) });
                Ok(())
            }
            Protocol::Http => {
                self.doors.http.serve(Stream::plain(stream, place), Version::Http1, arrival);
                Ok(())
            }
            Protocol::Tls => match &self.doors.tls {
                Some(handshakes) => {
                    // What a proxy connects to is not what its client uses.
                    let local = announced.is_none().then(|| server.ip());
                    let config = handshakes.config(local, client.ip());
                    let stream = TlsAcceptor::from(config).accept(stream).await?;
                    self.see_in_tls(stream, server, place, Arrival { tls: true, ..arrival }).await
                }
                None => Err(unknown()),
            },
            Protocol::Turn | Protocol::Unknown => Err(unknown()),
        }
    }

    async fn see_in_tls(
        &self,
        mut stream: TlsStream<TcpStream>,
        server: SocketAddr,
        place: Option<Place>,
        arrival: Arrival,
    ) -> io::Result<()> {
        let agreed = stream.get_ref().1.alpn_protocol();
        let version = if agreed == Some(HTTP_2) { Version::Http2 } else { Version::Http1 };
        let protocol = match agreed {
            // The handshake was all that the authority wanted.
            Some(ACME_TLS) => return Ok(()),
            Some(STUN_TURN) => Protocol::Turn,
            Some(HTTP_2) => Protocol::Http,
            // Some TURN clients name HTTP/1.1 too (coturn's).
            Some(_) | None => sniff::told(stream.fill_buf().await?.first()),
        };
        match protocol {
            Protocol::Turn => {
                let (tcp, connection) = stream.into_inner();
                let wire = Wire::Tls(tcp.into_std()?, Box::new(connection));
                self.doors.relay.enter(Connection { client: arrival.client, server, wire });
                Ok(())
            }
            Protocol::Http => {
                self.doors.http.serve(Stream::tls(stream, place), version, arrival);
                Ok(())
            }
            Protocol::Tls | Protocol::Unknown => Err(unknown()),
        }
    }
}

/// The tasks of connections that have not shown what they are, the oldest first.
#[derive(Default)]
struct Undecided(VecDeque<AbortHandle>);

impl Undecided {
    fn push(&mut self, task: AbortHandle, most: usize) {
        self.0.push_back(task);
        while self.0.front().is_some_and(AbortHandle::is_finished) {
            self.0.pop_front();
        }
        if self.0.len() > most {
            self.0.retain(|task| !task.is_finished());
        }
        if self.0.len() > most
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
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

fn too_many() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "too many connections from this address (CASTWAY_ADDRESS_CONNECTIONS)")
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    [ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected].contains(&error.kind())
}
