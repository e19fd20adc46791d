//! The clients' side: reads datagrams and gives each to the crate's request handler, with what it needs to judge it.
//!
//! Owner: one task. State: the allocations (the crate's), and at most [`MAX_NONCES`] nonces. See the parent module for why
//! this loop is not the crate's own.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use stun::integrity::MessageIntegrity;
use stun::message::Message;
use tokio::net::UdpSocket;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use turn::allocation::allocation_manager::{Manager as Allocations, ManagerConfig};
use turn::auth::AuthHandler;
use turn::proto::lifetime::DEFAULT_LIFETIME;
use turn::server::request::Request;
use webrtc_util::Conn;

use super::KeyLookup;
use super::relayed::{Opener, Relayed};

/// Nonces kept, about 2 MB. The crate makes one for every stranger's Allocate; when there are too many, the older half goes
/// and its owners get a fresh one with 438 (Stale Nonce, RFC 8489 section 9.2.4).
const MAX_NONCES: usize = 16_384;
/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
/// A channel lives for 10 minutes (RFC 8656 section 12).
const CHANNEL_LIFETIME: Duration = DEFAULT_LIFETIME;
const OWN_ADDRESSES_PERIOD: Duration = Duration::from_secs(30);
const AFTER_ERROR: Duration = Duration::from_millis(10);

pub(super) struct Server {
    listener: Arc<Listener>,
    allocations: Arc<Allocations>,
    nonces: Arc<Mutex<HashMap<String, Instant>>>,
    relayed: Arc<Relayed>,
    realm: String,
    keys: KeyLookup,
}

impl Server {
    /// `open` is lent to each socket of the relay, so that its receiver learns when all are closed.
    pub(super) fn new(
        socket: UdpSocket,
        relayed: Arc<Relayed>,
        realm: String,
        keys: KeyLookup,
        open: mpsc::Sender<()>,
    ) -> anyhow::Result<Self> {
        let dual = socket.local_addr().context("the relay's socket has no address")?.is_ipv6();
        let opener = Opener { relayed: Arc::clone(&relayed), open: open.clone() };
        Ok(Self {
            listener: Arc::new(Listener { socket, dual, _open: open }),
            allocations: Arc::new(Allocations::new(ManagerConfig {
                relay_addr_generator: Box::new(opener),
                alloc_close_notify: None,
            })),
            nonces: Arc::default(),
            relayed,
            realm,
            keys,
        })
    }

    /// Serves until `stop`, then closes all allocations. A panic costs the datagram that caused it.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        while let Err(error) = tokio::spawn(Arc::clone(&self).serve(stop.clone())).await {
            tracing::error!(%error, "the relay failed at a datagram and goes on with the next");
        }
        let _ = self.allocations.close().await;
    }

    async fn serve(self: Arc<Self>, stop: CancellationToken) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        let mut own_addresses = tokio::time::interval(OWN_ADDRESSES_PERIOD);
        own_addresses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        own_addresses.tick().await;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = own_addresses.tick() => self.relayed.reread_own_addresses(),
                received = self.listener.socket.recv_from(&mut buffer) => match received {
                    Ok((length, from)) => self.handle(buffer[..length].to_vec(), canonical(from)).await,
                    Err(error) => {
                        tracing::trace!(%error, "listener");
                        tokio::time::sleep(AFTER_ERROR).await;
                    }
                },
            }
        }
    }

    async fn handle(&self, datagram: Vec<u8>, from: SocketAddr) {
        self.relayed.next_datagram();
        // The two top bits tell STUN (00) from ChannelData (01), which needs no keys (RFC 8656 section 12.4).
        let is_stun = datagram.first().is_some_and(|byte| byte & 0xc0 == 0);
        if is_stun {
            forget_older_half(&mut *self.nonces.lock().await, MAX_NONCES);
        }
        let signed = if is_stun { datagram.clone() } else { Vec::new() };
        let mut request = Request {
            conn: Arc::clone(&self.listener) as Arc<dyn Conn + Send + Sync>,
            src_addr: from,
            buff: datagram,
            allocation_manager: Arc::clone(&self.allocations),
            nonces: Arc::clone(&self.nonces),
            auth_handler: Arc::new(Candidates { datagram: signed, keys: Arc::clone(&self.keys) }),
            realm: self.realm.clone(),
            channel_bind_timeout: CHANNEL_LIFETIME,
        };
        // Whatever a client gets wrong is answered or dropped by then.
        if let Err(error) = request.handle_request().await {
            tracing::trace!(%from, %error, "datagram refused");
        }
    }
}

/// Makes room by forgetting the older half of `nonces` once there are `most`: a cost that is spread over as many requests.
fn forget_older_half(nonces: &mut HashMap<String, Instant>, most: usize) {
    if nonces.len() < most {
        return;
    }
    let mut made: Vec<Instant> = nonces.values().copied().collect();
    let middle = made.len() / 2;
    let (_, median, _) = made.select_nth_unstable(middle);
    nonces.retain(|_, made| *made > *median);
}

/// A client on a socket for both families is named as if it came over IPv4 alone: it must read its own address in the answer.
fn canonical(from: SocketAddr) -> SocketAddr {
    SocketAddr::new(from.ip().to_canonical(), from.port())
}

/// One datagram and the keys that may have signed it.
struct Candidates {
    datagram: Vec<u8>,
    keys: KeyLookup,
}

impl AuthHandler for Candidates {
    /// The key that verifies the datagram. No user and no matching key are one and the same error, so that the answers to them
    /// are identical. The client's realm is not used: the keys are for ours.
    fn auth_handle(&self, username: &str, _realm: &str, _from: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        let mut message = Message { raw: self.datagram.clone(), ..Message::default() };
        message.decode()?;
        (self.keys)(username)
            .into_iter()
            .map(|key| MessageIntegrity(key.to_vec()))
            .find(|key| key.check(&mut message).is_ok())
            .map(|key| key.0)
            .ok_or_else(|| turn::Error::Other("no key verifies".to_owned()))
    }
}

/// The listener as the crate answers through it.
struct Listener {
    socket: UdpSocket,
    /// An IPv6 socket, which writes IPv4 clients as IPv4-mapped.
    dual: bool,
    _open: mpsc::Sender<()>,
}

#[async_trait]
impl Conn for Listener {
    /// Never fails: a client that can't be reached is no matter of the relay's, and the crate logs each failure as an error.
    async fn send_to(&self, bytes: &[u8], client: SocketAddr) -> webrtc_util::Result<usize> {
        let target = match client.ip() {
            IpAddr::V4(ip) if self.dual => SocketAddr::new(ip.to_ipv6_mapped().into(), client.port()),
            IpAddr::V4(_) | IpAddr::V6(_) => client,
        };
        if let Err(error) = self.socket.send_to(bytes, target).await {
            tracing::trace!(%client, %error, "answer not sent");
        }
        Ok(bytes.len())
    }

    fn local_addr(&self) -> webrtc_util::Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    /// The crate closes it with each allocation; it belongs to all of them.
    async fn close(&self) -> webrtc_util::Result<()> {
        Ok(())
    }

    async fn recv_from(&self, _: &mut [u8]) -> webrtc_util::Result<(usize, SocketAddr)> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_bounded_and_the_younger_half_stays() {
        let start = Instant::now();
        let mut nonces: HashMap<_, _> = (0..100u64).map(|age| (age.to_string(), start + Duration::from_secs(age))).collect();
        forget_older_half(&mut nonces, 101);
        assert_eq!(nonces.len(), 100);
        forget_older_half(&mut nonces, 100);
        assert_eq!(nonces.len(), 49);
        assert!(nonces.contains_key("99") && !nonces.contains_key("50"));
    }

    #[test]
    fn channel_lifetime_is_ten_minutes() {
        assert_eq!(CHANNEL_LIFETIME, Duration::from_secs(600));
    }
}
