//! What every Socket.IO gateway does for each of its clients: hears it from its first word on, counts what it says, notices when
//! it does not read, and lets it go.
//!
//! Owner of what a gateway keeps, behind one lock that is held for a whole event (lock, handle, emit, unlock). Handlers do their
//! work before they return their future, because socketioxide spawns that and spawned futures of one client run in any order.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Serialize;
use socketioxide::extract::{AckSender, Event, SocketRef};
use socketioxide::socket::DisconnectReason;
use socketioxide::{SendError, SocketError};

use crate::client::Client;
use crate::driver::{Core, Driver};
use crate::packet::Message;
use crate::size::EVENT_KIB;

/// Names one client connection, for as long as it lives; given by its gateway.
pub type ConnectionId = u64;

/// Bytes a second, and at once, that a client may send: three events of the largest size, or fifteen of the largest descriptions.
const SENT: (NonZeroU32, NonZeroU32) = (NonZeroU32::new(512 << 10).unwrap(), NonZeroU32::new(4 << 20).unwrap());
/// The same for what others send to one client. socketioxide counts what waits for a client in events, 4096 of them, and they may be
/// of half a MiB each; a client that does not read gets 61 MiB until its pings time out, and not 2 GiB. One that answers pings and
/// does not read can still be sent more.
const RECEIVED: (NonZeroU32, NonZeroU32) = (NonZeroU32::new(1 << 20).unwrap(), NonZeroU32::new(16 << 20).unwrap());
/// What the smallest event costs of it.
const EVENT_COST: usize = 100;
/// Clients say one or two things in the instant between being told that they are connected and being in the table: so many, and of
/// so many bytes together.
const EARLY: (usize, usize) = (16, 1 << 20);
/// Bytes of what only few others may be sent at once.
const LARGE: usize = 2 * EVENT_KIB * 1024;
/// How often a client whose send buffer is full is tried to be disconnected.
const RETRY: Duration = Duration::from_secs(1);

/// What is a gateway's own, behind the lock: its rooms and its table of clients.
pub trait Flow: Core + Send + 'static {
    /// An event of a client, read.
    type Request: Send + 'static;

    /// Does what a client asks for; nothing, if it is not in the table.
    fn hear(&mut self, id: ConnectionId, heard: Heard<Self::Request>, sends: &mut Sends);

    /// Sends what the rooms have to say.
    fn drain(&mut self, sends: &mut Sends);

    /// A client is gone, with a farewell or without. Its socket, if it was in the table.
    fn forget(&mut self, id: ConnectionId, farewell: bool) -> Option<SocketRef>;
}

/// An event of a client.
pub struct Heard<R> {
    pub request: R,
    /// Bytes.
    pub size: usize,
    /// Where the client asked for one.
    pub ack: Option<AckSender>,
}

/// A handle to a gateway's connections; clones share them.
pub struct Connections<F>(Arc<Inner<F>>);

struct Inner<F> {
    driver: Driver<F>,
    count: AtomicU64,
}

impl<F> Clone for Connections<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F: Flow> Connections<F> {
    pub fn new(flow: F) -> Self {
        Self(Arc::new(Inner { driver: Driver::new(flow), count: AtomicU64::new(1) }))
    }

    /// Before a client is told that it is connected: from then on its events may come, even before [`Self::greet`] runs. `read`
    /// reads them, each with its name.
    pub fn listen(&self, socket: &SocketRef, read: impl Fn(String, Message) -> F::Request + Clone + Send + Sync + 'static) {
        let id = self.0.count.fetch_add(1, Ordering::Relaxed);
        let early = Early::<F::Request>::default();
        socket.extensions.insert((id, early.clone()));

        let (connections, waiting) = (self.clone(), early.clone());
        socket.on_fallback(move |Event(event): Event, message: Message, ack: AckSender| {
            let (size, ack) = (message.size(), message.acked.then_some(ack));
            let heard = Heard { request: read(event, message), size, ack };
            connections.with(|flow, sends| {
                if let Some(heard) = waiting.hold(heard) {
                    flow.hear(id, heard, sends);
                }
            });
            ready(())
        });
        let connections = self.clone();
        socket.on_disconnect(move |reason: DisconnectReason| {
            connections.with(|flow, _| {
                early.take();
                // `socket.disconnect()` is a farewell; anything else may be a glitch and has the grace period.
                flow.forget(id, reason == DisconnectReason::ClientNSDisconnect);
            });
            ready(())
        });
    }

    /// A client is connected: `welcome` puts it into the table, then what it said already is heard.
    pub fn greet(&self, socket: SocketRef, welcome: impl FnOnce(&mut F, ConnectionId, SocketRef, &mut Sends)) {
        let Some((id, early)) = socket.extensions.remove::<(ConnectionId, Early<F::Request>)>() else { return };
        self.with(|flow, sends| {
            let Some(waiting) = early.take() else { return };
            welcome(flow, id, socket, sends);
            flow.drain(sends);
            for heard in waiting {
                flow.hear(id, heard, sends);
                flow.drain(sends);
            }
        });
    }

    /// Runs one event under the lock, sends what comes of it, and disconnects those who are to go.
    pub fn with<T>(&self, event: impl FnOnce(&mut F, &mut Sends) -> T) -> T {
        self.0.driver.with(|flow| {
            let mut sends = Sends::default();
            let result = event(flow, &mut sends);
            flow.drain(&mut sends);
            // Telling the others that one is gone may fill the next one's buffer.
            while let Some(id) = sends.gone.pop() {
                if let Some(socket) = flow.forget(id, false) {
                    tracing::debug!(from = %address(&socket), "disconnecting");
                    tokio::spawn(disconnect(socket));
                }
                flow.drain(&mut sends);
            }
            result
        })
    }

    /// Has `event` run whenever the next time-out is due; never returns.
    pub async fn run(&self, event: impl Fn(&mut F, &mut Sends)) {
        self.0.driver.run(|| self.with(&event)).await;
    }
}

/// Where a client is.
pub fn address(socket: &SocketRef) -> IpAddr {
    socket.req_parts().extensions.get::<Client>().map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.address)
}

/// Not under the lock, which the disconnect handler takes.
pub async fn disconnect(socket: SocketRef) {
    // A full send buffer has no room for that packet either.
    while socket.clone().disconnect().is_err() {
        tokio::time::sleep(RETRY).await;
    }
}

/// Bytes that a client may still send, and still be sent by others.
pub struct Budgets {
    sent: DefaultDirectRateLimiter,
    received: DefaultDirectRateLimiter,
}

impl Default for Budgets {
    fn default() -> Self {
        let limiter = |(rate, burst)| RateLimiter::direct(Quota::per_second(rate).allow_burst(burst));
        Self { sent: limiter(SENT), received: limiter(RECEIVED) }
    }
}

impl Budgets {
    /// Counts an event of a client, of `bytes`, that goes to so many others; `false`: the client may not send so much now. One that
    /// goes to very many costs all that there is.
    pub fn send(&self, bytes: usize, copies: usize) -> bool {
        // A large one would be more than anybody may send.
        let is_large = bytes > LARGE && bytes.saturating_mul(copies) > SENT.1.get() as usize;
        !is_large && take(&self.sent, bytes.saturating_mul(copies), SENT.1)
    }

    /// Counts what another client sends to this one; `false`: it is more than is kept for a client that perhaps does not read.
    pub fn receive(&self, bytes: usize) -> bool {
        take(&self.received, bytes, RECEIVED.1)
    }
}

fn take(limiter: &DefaultDirectRateLimiter, bytes: usize, burst: NonZeroU32) -> bool {
    let cost = u32::try_from(bytes.max(EVENT_COST)).ok().and_then(NonZeroU32::new).unwrap_or(burst);
    matches!(limiter.check_n(cost.min(burst)), Ok(Ok(())))
}

/// Sends of one event; remembers who is to be disconnected after it.
#[derive(Default)]
pub struct Sends {
    pub gone: Vec<ConnectionId>,
}

impl Sends {
    pub fn emit<T: Serialize>(&mut self, to: ConnectionId, socket: &SocketRef, event: &str, arguments: &T) {
        self.note(to, socket.emit(event, arguments));
    }

    pub fn note(&mut self, to: ConnectionId, sent: Result<(), SendError>) {
        match sent {
            // Closed already: its disconnect handler is on its way.
            Ok(()) | Err(SendError::Socket(SocketError::Closed)) => {}
            // What is lost can't be repaired, a reconnect can.
            Err(SendError::Socket(SocketError::InternalChannelFull)) => self.gone.push(to),
            Err(SendError::Serialize(error)) => tracing::error!(%error, "an event could not be written"),
        }
    }
}

/// What a client says before it is in the table; `None`: that is over.
struct Early<R>(Arc<Mutex<Option<Vec<Heard<R>>>>>);

impl<R> Default for Early<R> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some(Vec::new()))))
    }
}

impl<R> Clone for Early<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R> Early<R> {
    /// Keeps an event, or gives it back where that is over.
    fn hold(&self, heard: Heard<R>) -> Option<Heard<R>> {
        let mut early = self.lock();
        let Some(waiting) = early.as_mut() else { return Some(heard) };
        let bytes = waiting.iter().map(|heard| heard.size).sum::<usize>() + heard.size;
        if waiting.len() < EARLY.0 && bytes <= EARLY.1 {
            waiting.push(heard);
        }
        None
    }

    fn take(&self) -> Option<Vec<Heard<R>>> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Heard<R>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
