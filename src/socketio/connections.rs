//! What every Socket.IO gateway does for each of its clients: hears it from its first word on, counts what it says, notices when
//! it does not read, and lets it go.
//!
//! Owner of what a gateway keeps, behind one lock that is held for a whole event (lock, handle, emit, unlock). Handlers do their
//! work before they return their future, because socketioxide spawns that and spawned futures of one client run in any order.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socketioxide::SendError;
use socketioxide::extract::{AckSender, Event, SocketRef};
use socketioxide::socket::DisconnectReason;

use crate::http::client_info::ClientInfo;
use crate::limits::byte_budget::{ByteBudget, ByteRate};
use crate::limits::message_size::EVENT_KIB;
use crate::socketio::client_id::ClientId;
use crate::socketio::outgoing::{Emission, Later, Outgoing};
use crate::socketio::packet::{Message, Weighed};
use crate::socketio::room_driver::{Core, Driver};

/// What a client may send, and have sent by the server for it: three events of the largest size at once, or fifteen of the largest
/// descriptions.
const SENT: ByteRate = ByteRate { rate: 512 << 10, burst: 4 << 20 };
/// What the smallest event costs of it.
const EVENT_COST: usize = 100;
/// Clients say one or two things in the instant between being told that they are connected and being in the table: so many, and of
/// so many bytes together.
const EARLY: (usize, usize) = (16, 1 << 20);
/// Bytes of what only few others may be sent at once.
const LARGE: usize = 2 * EVENT_KIB * 1024;

/// What is a gateway's own, behind the lock: its rooms and its table of clients.
pub trait Flow: Core + Send + 'static {
    /// An event of a client, read.
    type Request: Send + 'static;

    /// Does what a client asks for; nothing, if it is not in the table.
    fn hear(&mut self, id: ClientId, heard: Heard<Self::Request>, sends: &mut Sends);

    /// Sends what the rooms have to say.
    fn drain(&mut self, sends: &mut Sends);

    /// A client is gone, with a farewell or without. Its socket, if it was in the table.
    fn forget(&mut self, id: ClientId, farewell: bool) -> Option<SocketRef>;
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

        let outgoing = outgoing(socket).cloned();
        let (connections, waiting) = (self.clone(), early.clone());
        socket.on_fallback(move |Event(event): Event, message: Message, ack: AckSender| {
            // What it had sent before it was closed is not heard any more.
            if outgoing.as_ref().is_some_and(|outgoing| outgoing.account().is_closed()) {
                return ready(());
            }
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
    pub fn greet(&self, socket: SocketRef, welcome: impl FnOnce(&mut F, ClientId, SocketRef, &mut Sends)) {
        let Some((id, early)) = socket.extensions.remove::<(ClientId, Early<F::Request>)>() else { return };
        outgoing(&socket).inspect(|outgoing| outgoing.join());
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
                    disconnect(socket);
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
    socket.req_parts().extensions.get::<ClientInfo>().map_or(Ipv4Addr::UNSPECIFIED.into(), |client| client.address)
}

/// Ends a client's connection, in a task of its own: the disconnect handler takes the lock.
pub fn disconnect(socket: SocketRef) {
    tokio::spawn(async move {
        outgoing(&socket).inspect(|outgoing| outgoing.send_all());
        // A full send buffer has no room for that packet either.
        if socket.clone().disconnect().is_err()
            && let Some(outgoing) = outgoing(&socket)
        {
            outgoing.account().close("too many events wait for it");
        }
    });
}

fn outgoing(socket: &SocketRef) -> Option<&Outgoing> {
    socket.req_parts().extensions.get()
}

/// Bytes that a client may still send, and have sent.
pub struct Spending(ByteBudget);

impl Default for Spending {
    fn default() -> Self {
        Self(ByteBudget::new(SENT, Instant::now()))
    }
}

impl Spending {
    /// Pays for an event of `bytes` that goes to so many others.
    ///
    /// # Errors
    /// The client may not send so much now: how long to wait.
    pub fn pay(&mut self, bytes: usize, copies: usize) -> Result<usize, Duration> {
        let (cost, most) = (bytes.max(EVENT_COST).saturating_mul(copies), SENT.burst as usize);
        // One that goes to very many costs all that there is; a large one would be more than anybody may send.
        let price = if bytes > LARGE { cost } else { cost.min(most) };
        self.0.spend(price, Instant::now()).map(|()| cost)
    }

    /// After the event: it has made the server send so many bytes, and so many are paid.
    pub fn settle(&mut self, paid: usize, sent: usize) {
        self.0.charge(sent.saturating_sub(paid), Instant::now());
    }
}

/// Sends of one event; remembers who is to be disconnected after it.
#[derive(Default)]
pub struct Sends {
    pub gone: Vec<ClientId>,
    bytes: usize,
}

impl Sends {
    pub fn emit<T: Weighed>(&mut self, to: ClientId, socket: &SocketRef, event: &str, arguments: T) {
        self.send(to, socket, event.len() + arguments.weight(), EventTo { socket, event, arguments });
    }

    pub fn answer<T: Weighed>(&mut self, to: ClientId, socket: &SocketRef, ack: AckSender, arguments: T) {
        self.send(to, socket, arguments.weight(), AckTo { ack, arguments });
    }

    /// Bytes that were sent.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn send(&mut self, to: ClientId, socket: &SocketRef, bytes: usize, emission: impl Emission) {
        self.bytes += bytes;
        let outgoing = outgoing(socket).expect("a session's first request is told where what waits for it is counted");
        if !outgoing.emit(bytes, emission) {
            self.gone.push(to);
        }
    }
}

/// An event for a client.
struct EventTo<'a, T> {
    socket: &'a SocketRef,
    event: &'a str,
    arguments: T,
}

impl<T: Weighed> Emission for EventTo<'_, T> {
    fn send(self) -> Result<(), SendError> {
        self.socket.emit(self.event, &self.arguments)
    }

    fn keep(self) -> Later {
        let (socket, event, arguments) = (self.socket.clone(), self.event.to_owned(), self.arguments);
        Box::new(move || socket.emit(event, &arguments))
    }
}

/// An answer to an event of a client.
struct AckTo<T> {
    ack: AckSender,
    arguments: T,
}

impl<T: Weighed> Emission for AckTo<T> {
    fn send(self) -> Result<(), SendError> {
        self.ack.send(&self.arguments)
    }

    fn keep(self) -> Later {
        Box::new(move || self.send())
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
