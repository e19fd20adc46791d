//! The relayed side: sockets towards peers, the ports they hold, and the policy at the moment of each datagram.
//!
//! Owner: each [`RelayedSocket`] belongs to one allocation; [`Relayed`] is what they share. The checks are here, and not where
//! permissions are made, because a permission is for an address while our own live relay ports are excepted one by one.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use rand::RngExt;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use turn::relay::RelayAddressGenerator;
use webrtc_util::Conn;

use super::policy::PeerPolicy;
use super::{Drops, address};

/// Ports drawn at random before all are tried in turn.
const RANDOM_TRIES: u32 = 32;
/// Sockets that one datagram may open. For EVEN-PORT the crate draws ports until one is even, for ever if all even ones are
/// taken; in a range half free this many draws fail once in 2^64.
const OPENS_PER_DATAGRAM: u32 = 64;
/// A socket that keeps failing is asked again after this long, so that it can't spin.
const AFTER_ERROR: Duration = Duration::from_millis(10);

/// What all relayed sockets of one relay share.
pub(super) struct Relayed {
    relay_ip: IpAddr,
    advertised: IpAddr,
    ports: RangeInclusive<u16>,
    policy: ArcSwap<PeerPolicy>,
    live: LivePorts,
    draining: AtomicBool,
    /// Opens left to the datagram in hand; only the server's loop opens sockets, one datagram at a time.
    opens_left: AtomicU32,
    exhausted: AtomicBool,
    denied: AtomicU64,
    unsent: AtomicU64,
}

/// Why no relayed socket could be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("no port of the range is free")]
    Exhausted,
    #[error(transparent)]
    Bind(#[from] io::Error),
}

impl Relayed {
    pub(super) fn new(relay_ip: IpAddr, advertised: IpAddr, ports: RangeInclusive<u16>, policy: PeerPolicy) -> Self {
        Self {
            relay_ip,
            advertised,
            ports,
            policy: ArcSwap::from_pointee(policy),
            live: LivePorts::default(),
            draining: AtomicBool::new(false),
            opens_left: AtomicU32::new(OPENS_PER_DATAGRAM),
            exhausted: AtomicBool::new(false),
            denied: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
        }
    }

    pub(super) const fn advertised(&self) -> IpAddr {
        self.advertised
    }

    pub(super) fn allocations(&self) -> usize {
        *self.live.count.borrow()
    }

    pub(super) fn drops(&self) -> Drops {
        Drops { denied: self.denied.load(Ordering::Relaxed), unsent: self.unsent.load(Ordering::Relaxed) }
    }

    /// Refuses new allocations and waits for the end of the last one, at most for `deadline`.
    pub(super) async fn drain(&self, deadline: Duration) {
        self.draining.store(true, Ordering::Relaxed);
        let mut count = self.live.count.subscribe();
        let _ = tokio::time::timeout(deadline, count.wait_for(|count| *count == 0)).await;
    }

    /// To be called before a datagram is handed to the crate.
    pub(super) fn next_datagram(&self) {
        self.opens_left.store(OPENS_PER_DATAGRAM, Ordering::Relaxed);
    }

    /// Takes the machine's addresses anew: they change while the relay runs (leases, privacy addresses, tunnels).
    pub(super) fn reread_own_addresses(&self) {
        let own = address::interfaces();
        self.policy.rcu(|policy| PeerPolicy::clone(policy).with_own(own.iter().copied()));
    }

    /// A socket on a free port of the range, drawn at random (RFC 8656 section 7.2: not to be guessed from earlier ones).
    ///
    /// # Errors
    /// [`OpenError::Exhausted`] when all ports are taken, [`OpenError::Bind`] for what is no matter of the port.
    pub(super) async fn bind(&self) -> Result<UdpSocket, OpenError> {
        let (first, span) = (u32::from(*self.ports.start()), u32::try_from(self.ports.len()).expect("ports are 16 bits"));
        let port = |offset: u32| u16::try_from(first + offset % span).expect("within the range of ports");
        if self.allocations() < self.ports.len() {
            for _ in 0..RANDOM_TRIES {
                let drawn = port(rand::rng().random_range(0..span));
                if let Some(socket) = self.bind_port(drawn).await? {
                    return Ok(socket);
                }
            }
            let start = rand::rng().random_range(0..span);
            for offset in 0..span {
                if let Some(socket) = self.bind_port(port(start + offset)).await? {
                    return Ok(socket);
                }
            }
        }
        Err(OpenError::Exhausted)
    }

    /// `None` when the port is taken.
    async fn bind_port(&self, port: u16) -> io::Result<Option<UdpSocket>> {
        if self.live.contains(port) {
            return Ok(None);
        }
        match UdpSocket::bind((self.relay_ip, port)).await {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn denies(&self, peer: SocketAddr) -> bool {
        let verdict = self.policy.load().permits_at(peer, |port| self.live.contains(port));
        verdict.is_err_and(|reason| {
            self.denied.fetch_add(1, Ordering::Relaxed);
            tracing::trace!(%peer, %reason, "datagram dropped");
            true
        })
    }

    /// Where to send what is for `peer`: a relayed address of ours is reached where it is bound, since the router that owns
    /// the advertised address need not send back what comes from inside.
    fn bound(&self, peer: SocketAddr) -> SocketAddr {
        let ours = peer.ip() == self.advertised && self.live.contains(peer.port());
        if ours { SocketAddr::new(self.relay_ip, peer.port()) } else { peer }
    }

    /// Under which address the client knows the sender, whose permission and channel are for that one.
    fn known_as(&self, source: SocketAddr) -> SocketAddr {
        let ours = source.ip() == self.relay_ip && self.live.contains(source.port());
        if ours { SocketAddr::new(self.advertised, source.port()) } else { source }
    }

    /// Once when the ports run out, not for each request that finds none.
    fn note_exhaustion(&self, exhausted: bool) {
        if self.exhausted.swap(exhausted, Ordering::Relaxed) || !exhausted {
            return;
        }
        let (min, max) = (self.ports.start(), self.ports.end());
        tracing::warn!(
            min,
            max,
            "all relay ports are taken, allocations are refused: widen CASTWAY_MIN_PORT and CASTWAY_MAX_PORT"
        );
    }
}

impl fmt::Debug for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relayed")
            .field("relay_ip", &self.relay_ip)
            .field("advertised", &self.advertised)
            .field("ports", &self.ports)
            .field("allocations", &self.allocations())
            .finish_non_exhaustive()
    }
}

/// Opens the socket of each new allocation, for the crate.
pub(super) struct Opener {
    pub(super) relayed: Arc<Relayed>,
    /// Lent to each socket; see [`super::Handle::stop`].
    pub(super) open: mpsc::Sender<()>,
}

#[async_trait]
impl RelayAddressGenerator for Opener {
    fn validate(&self) -> Result<(), turn::Error> {
        Ok(())
    }

    /// The crate answers 508 (Insufficient Capacity) to any error.
    async fn allocate_conn(
        &self,
        use_ipv4: bool,
        requested_port: u16,
    ) -> Result<(Arc<dyn Conn + Send + Sync>, SocketAddr), turn::Error> {
        let refused = |reason: &str| turn::Error::Other(reason.to_owned());
        let relayed = &self.relayed;
        if relayed.draining.load(Ordering::Relaxed) {
            return Err(refused("the relay is about to stop"));
        }
        if use_ipv4 != relayed.relay_ip.is_ipv4() {
            return Err(refused("no relayed address of this family"));
        }
        let left = relayed.opens_left.load(Ordering::Relaxed).checked_sub(1).ok_or_else(|| refused("no such port"))?;
        relayed.opens_left.store(left, Ordering::Relaxed);

        let opened = match requested_port {
            0 => relayed.bind().await,
            port => relayed.bind_port(port).await.map_err(OpenError::from).and_then(|socket| socket.ok_or(OpenError::Exhausted)),
        };
        relayed.note_exhaustion(matches!(opened, Err(OpenError::Exhausted)));
        let socket = opened.map_err(|error| refused(&error.to_string()))?;
        // Until the runtime has seen the new socket once, it takes it for blocked and the first datagrams would be lost.
        socket.writable().await?;
        let port = socket.local_addr()?.port();
        let live = LivePort::new(Arc::clone(relayed), port);
        let conn = RelayedSocket { live, socket, _open: self.open.clone() };
        Ok((Arc::new(conn), SocketAddr::new(relayed.advertised, port)))
    }
}

/// One relayed transport address. The fields drop in order: a port is no longer live when it is closed, and closed when it no
/// longer counts as open.
struct RelayedSocket {
    live: LivePort,
    socket: UdpSocket,
    _open: mpsc::Sender<()>,
}

#[async_trait]
impl Conn for RelayedSocket {
    /// Never fails, since the crate would count that against the allocation: what can't be sent is lost, as on any network.
    async fn send_to(&self, payload: &[u8], peer: SocketAddr) -> webrtc_util::Result<usize> {
        let relayed = &self.live.relayed;
        if !relayed.denies(peer) {
            // Not awaited: a full buffer must not hold up the other clients.
            if let Err(error) = self.socket.try_send_to(payload, relayed.bound(peer)) {
                relayed.unsent.fetch_add(1, Ordering::Relaxed);
                tracing::trace!(%peer, %error, "datagram not sent");
            }
        }
        Ok(payload.len())
    }

    /// Never fails: the crate would end the allocation. What ends it drops the socket, and this future with it.
    async fn recv_from(&self, buffer: &mut [u8]) -> webrtc_util::Result<(usize, SocketAddr)> {
        loop {
            match self.socket.recv_from(buffer).await {
                Ok((_, peer)) if self.live.relayed.denies(peer) => {}
                Ok((length, peer)) => return Ok((length, self.live.relayed.known_as(peer))),
                Err(error) => {
                    tracing::trace!(%error, "relayed socket");
                    tokio::time::sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    fn local_addr(&self) -> webrtc_util::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> webrtc_util::Result<()> {
        Ok(())
    }

    async fn connect(&self, _: SocketAddr) -> webrtc_util::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    async fn recv(&self, _: &mut [u8]) -> webrtc_util::Result<usize> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    async fn send(&self, _: &[u8]) -> webrtc_util::Result<usize> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

/// A port that is live for as long as this exists.
struct LivePort {
    relayed: Arc<Relayed>,
    port: u16,
}

impl LivePort {
    fn new(relayed: Arc<Relayed>, port: u16) -> Self {
        relayed.live.insert(port);
        Self { relayed, port }
    }
}

impl Drop for LivePort {
    fn drop(&mut self) {
        self.relayed.live.remove(self.port);
    }
}

/// The set of bound relay ports, a bit each: asked for each datagram between relays, from many tasks.
struct LivePorts {
    bits: [AtomicU64; 1024],
    count: watch::Sender<usize>,
}

impl LivePorts {
    fn contains(&self, port: u16) -> bool {
        let (word, bit) = Self::place(port);
        self.bits[word].load(Ordering::Acquire) & bit != 0
    }

    fn insert(&self, port: u16) {
        let (word, bit) = Self::place(port);
        if self.bits[word].fetch_or(bit, Ordering::AcqRel) & bit == 0 {
            self.count.send_modify(|count| *count += 1);
        }
    }

    fn remove(&self, port: u16) {
        let (word, bit) = Self::place(port);
        if self.bits[word].fetch_and(!bit, Ordering::AcqRel) & bit != 0 {
            self.count.send_modify(|count| *count -= 1);
        }
    }

    fn place(port: u16) -> (usize, u64) {
        (usize::from(port) / 64, 1 << (port % 64))
    }
}

impl Default for LivePorts {
    fn default() -> Self {
        Self { bits: [const { AtomicU64::new(0) }; 1024], count: watch::Sender::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_ports_count_each_port_once() {
        let live = LivePorts::default();
        for port in [0, 63, 64, 65535, 64] {
            live.insert(port);
        }
        assert!(live.contains(64) && live.contains(65535) && !live.contains(65));
        assert_eq!(*live.count.borrow(), 4);
        live.remove(64);
        live.remove(64);
        assert!(!live.contains(64) && live.contains(63));
        assert_eq!(*live.count.borrow(), 3);
    }

    #[tokio::test]
    async fn a_range_of_which_one_port_is_free_yields_that_one() {
        let taken = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let ip = IpAddr::from([127, 0, 0, 1]);
        let relayed = Relayed::new(ip, ip, port..=port, PeerPolicy::default());
        assert!(matches!(relayed.bind().await, Err(OpenError::Exhausted)));
        drop(taken);
        assert_eq!(relayed.bind().await.unwrap().local_addr().unwrap().port(), port);
    }
}
