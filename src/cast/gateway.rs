//! The Socket.IO shell around the rooms: reads events, asks [`Rooms`], sends what comes out.
//!
//! Owner of the rooms and of the client table, behind one lock that is held for a whole event (lock, handle, emit, unlock;
//! nothing is awaited inside), so that everybody hears things in the order in which they happened. Handlers do their work
//! before they return their future, because socketioxide spawns that and spawned futures of one client run in any order.

use std::collections::HashMap;
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use socketioxide::extract::{AckSender, Event, SocketRef};
use socketioxide::socket::DisconnectReason;
use tokio::sync::Notify;

use super::event::{self, Entry, Failure, JoinRequest, OpenRequest, Request};
use super::room::{ConnectionId, Dialect, Join, Notice, Open, Output, Rooms, Seated};
use crate::client;
use crate::connection::{Budget, Early, Sends};
use crate::packet::{Message, Payload};

/// Front ends of dialect B connect to this namespace and expect to be asked for their device token.
pub const RTC: &str = "/rtc";

/// Credentials for a client that has no seat: enough to begin with.
const UNSEATED_TTL: Duration = Duration::from_secs(600);
/// How often a client whose send buffer is full is tried to be disconnected.
const RETRY: Duration = Duration::from_secs(1);

/// What the gateway needs of the credentials side.
pub trait Issuer: Send + Sync + 'static {
    /// Counts a request for credentials; `Err`: too many from this address, with the seconds to wait.
    fn admit(&self, from: IpAddr) -> Result<(), u64>;
    /// An `iceServers` array with fresh credentials for `username`; `host` is the name the client reached us by. `ttl`: how
    /// long they are good for, `None` for as long as credentials can be.
    fn ice_servers(&self, username: &str, host: Option<&str>, ttl: Option<Duration>) -> Value;
}

/// A handle to the one gateway; clones share it.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    issuer: Arc<dyn Issuer>,
    state: Mutex<State>,
    /// The next time-out has changed.
    rearm: Notify,
    connections: AtomicU64,
}

struct State {
    rooms: Rooms<Payload>,
    clients: HashMap<ConnectionId, Client>,
    /// What [`Gateway::run`] sleeps until.
    armed: Option<Instant>,
    /// To be disconnected; a full send buffer has no room for that packet either.
    leaving: Vec<SocketRef>,
}

struct Client {
    id: ConnectionId,
    socket: SocketRef,
    budget: Budget,
    from: IpAddr,
    /// The host name that the client reached us by.
    host: Option<String>,
    /// A dialect B TV has been asked for its device token and answered.
    verified: bool,
}

impl Gateway {
    pub fn new(rooms: Rooms<Payload>, issuer: Arc<dyn Issuer>) -> Self {
        let state = Mutex::new(State { rooms, clients: HashMap::new(), armed: None, leaving: Vec::new() });
        Self(Arc::new(Inner { issuer, state, rearm: Notify::new(), connections: AtomicU64::new(1) }))
    }

    /// Hears the rooms' time-outs; never returns.
    pub async fn run(self) {
        loop {
            let due = {
                let mut state = self.lock();
                state.armed = state.rooms.next_timeout();
                let retry = (!state.leaving.is_empty()).then(|| Instant::now() + RETRY);
                [state.armed, retry].into_iter().flatten().min()
            };
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => self.with(|state, sends| {
                    state.rooms.handle_timeout(Instant::now());
                    self.drain(state, sends);
                }),
                () = self.0.rearm.notified() => {}
            }
        }
    }

    /// Tells everybody that the server goes down.
    pub fn announce_shutdown(&self) {
        self.with(|state, sends| {
            state.clients.values().for_each(|client| sends.emit(client.id, &client.socket, "SERVER_SHUTDOWN", &json!({})));
        });
    }

    /// What signs credentials has changed: everybody who has a seat gets fresh ones.
    pub fn renew_credentials(&self) {
        self.with(|state, sends| {
            state.rooms.handle_new_secret();
            self.drain(state, sends);
        });
    }

    /// TVs with a code and connected clients.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        (state.rooms.len(), state.clients.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside one event must not end everybody else's casts.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one event under the lock, then disconnects those who are to go: they do not read what they are sent.
    fn with<T>(&self, event: impl FnOnce(&mut State, &mut Sends) -> T) -> T {
        let mut sends = Sends::default();
        let (result, rearm, leaving) = {
            let mut state = self.lock();
            let result = event(&mut state, &mut sends);
            // Telling the others that one is gone may fill the next one's buffer.
            while let Some(id) = sends.gone.pop() {
                if let Some(client) = state.clients.remove(&id) {
                    tracing::debug!(from = %client.from, "disconnecting");
                    state.leaving.push(client.socket);
                    state.rooms.handle_drop(id, Instant::now());
                    self.drain(&mut state, &mut sends);
                }
            }
            (result, state.rooms.next_timeout() != state.armed, std::mem::take(&mut state.leaving))
        };
        // Not under the lock: the disconnect handler takes it.
        let still: Vec<_> = leaving.into_iter().filter(|socket| socket.clone().disconnect().is_err()).collect();
        if rearm || !still.is_empty() {
            self.lock().leaving.extend(still);
            self.0.rearm.notify_one();
        }
        result
    }

    /// Before the client is told that it is connected: from then on its events may come, even before [`Self::greet`] runs.
    pub fn listen(&self, socket: &SocketRef) {
        let id = self.0.connections.fetch_add(1, Ordering::Relaxed);
        let early = Early::<Heard>::default();
        socket.extensions.insert((id, early.clone()));

        let (gateway, waiting) = (self.clone(), early.clone());
        socket.on_fallback(move |Event(event): Event, message: Message, ack: AckSender| {
            let size = message.size();
            let request = event::read(&event, message.json.as_str(), message.attachments);
            let heard = Heard { event, request, size, ack: message.acked.then_some(ack) };
            gateway.with(|state, sends| match state.clients.contains_key(&id) {
                true => gateway.event(state, sends, id, heard),
                false => waiting.push(heard),
            });
            ready(())
        });
        let gateway = self.clone();
        socket.on_disconnect(move |reason: DisconnectReason| {
            gateway.disconnect(id, &early, reason);
            ready(())
        });
    }

    /// The client is connected: it is in the table from now on, and what it said already is heard.
    pub fn greet(&self, socket: SocketRef) {
        let Some((id, early)) = socket.extensions.remove::<(ConnectionId, Early<Heard>)>() else { return };
        let asker = socket.req_parts().extensions.get::<client::Client>().cloned();
        let (from, host) = asker.map_or((Ipv4Addr::UNSPECIFIED.into(), None), |asker| (asker.address, asker.host));
        let asks = socket.ns() == RTC;
        self.with(|state, sends| {
            let Some(waiting) = early.take() else { return };
            let client = Client { id, socket, budget: Budget::default(), from, host, verified: false };
            if asks {
                sends.emit(client.id, &client.socket, "VERIFY", &NO_ARGUMENTS);
            }
            state.clients.insert(id, client);
            waiting.into_iter().for_each(|heard| self.event(state, sends, id, heard));
        });
    }

    fn disconnect(&self, id: ConnectionId, early: &Early<Heard>, reason: DisconnectReason) {
        self.with(|state, sends| {
            early.close();
            state.clients.remove(&id);
            // `socket.disconnect()` is a farewell; anything else may be a glitch and has the grace period.
            if reason == DisconnectReason::ClientNSDisconnect {
                state.rooms.handle_leave(id).ok();
            } else {
                state.rooms.handle_drop(id, Instant::now());
            }
            self.drain(state, sends);
        });
    }

    fn event(&self, state: &mut State, sends: &mut Sends, id: ConnectionId, Heard { event, request, size, ack }: Heard) {
        let Some(client) = state.clients.get_mut(&id) else { return };
        let result = match request {
            _ if !client.budget.take(size) => Err(Failure::rate_limited(1)),
            None => Err(Failure::unknown_event()),
            Some(Err(failure)) => Err(failure),
            Some(Ok(Request::Config)) => {
                let ttl = (!state.rooms.is_seated(id)).then_some(UNSEATED_TTL);
                self.0.issuer.admit(client.from).map_err(Failure::rate_limited).map(|()| {
                    sends.emit(client.id, &client.socket, "CONFIG_FEEDBACK", &json!({"config": self.pooled(client, ttl)}));
                    json!({"ok": true})
                })
            }
            Some(Ok(Request::Verify)) => {
                client.verified = true;
                sends.emit(client.id, &client.socket, "VERIFY_RESPONCE", &json!({"code": 200}));
                Ok(json!({"ok": true}))
            }
            Some(Ok(Request::Open(request))) => self.open(state, sends, id, &request),
            Some(Ok(Request::Join(request))) => self.join(state, sends, id, &request),
            Some(Ok(Request::Signal { signal, size })) => {
                state.rooms.handle_signal(id, signal, size).map(|()| json!({"ok": true})).map_err(Failure::from)
            }
            Some(Ok(Request::Leave)) => state.rooms.handle_leave(id).map(|()| json!({"ok": true})).map_err(Failure::from),
        };
        let Some(client) = state.clients.get(&id) else { return };
        if let Err(failure) = &result {
            tracing::debug!(event, code = failure.code, from = %client.from, "refused");
            let entry = event::entry(&event);
            if let Some((name, argument)) = entry.and_then(|entry| event::refusal(entry, failure)) {
                sends.emit(client.id, &client.socket, name, &argument);
            }
            if ack.is_none() && failure.code != Failure::UNKNOWN_EVENT {
                sends.emit(client.id, &client.socket, "CAST_ERROR", &json!({"event": event, "error": failure}));
            }
            if entry == Some(Entry::TvGetInfo) {
                // As dialect B has it: a TV that is refused is told and disconnected.
                sends.gone.push(id);
            }
        }
        if let Some(ack) = ack {
            let answer = result.unwrap_or_else(|failure| json!({"ok": false, "error": failure}));
            sends.note(client.id, ack.send(&answer));
        }
        self.drain(state, sends);
    }

    fn open(&self, state: &mut State, sends: &mut Sends, id: ConnectionId, request: &OpenRequest) -> Result<Value, Failure> {
        let client = &state.clients[&id];
        let (entry, token) = (request.entry, request.token.as_deref());
        if !token.is_some_and(|token| state.rooms.knows_tv(token)) {
            self.0.issuer.admit(client.from).map_err(Failure::rate_limited)?;
        }
        let code = request.code.as_deref();
        let open = Open { connection: id, dialect: entry.dialect(), from: client.from, code, token, live: request.live };
        let seated = state.rooms.handle_open(open, Instant::now())?;
        if entry.dialect() == Dialect::B && token.is_none() {
            // A front end of dialect B that has no device token keeps this one and shows it at its next VERIFY.
            sends.emit(client.id, &client.socket, "TEST_TOKEN_TV", &seated.resume_token);
        }
        self.welcome(client, sends, entry, "tv", &seated);
        if entry == Entry::TvRegister && !client.verified {
            sends.emit(client.id, &client.socket, "VERIFY", &NO_ARGUMENTS);
        }
        Ok(accepted(&seated))
    }

    fn join(&self, state: &mut State, sends: &mut Sends, id: ConnectionId, request: &JoinRequest) -> Result<Value, Failure> {
        let client = &state.clients[&id];
        let (entry, token) = (request.entry, request.token.as_deref());
        if !token.is_some_and(|token| state.rooms.knows_caster(token, &request.code)) {
            self.0.issuer.admit(client.from).map_err(Failure::rate_limited)?;
        }
        let join = Join {
            connection: id,
            dialect: entry.dialect(),
            from: client.from,
            code: &request.code,
            token,
            username: request.username.as_deref(),
        };
        let seated = state.rooms.handle_join(join, Instant::now())?;
        self.welcome(client, sends, entry, "caster", &seated);
        Ok(accepted(&seated))
    }

    fn welcome(&self, client: &Client, sends: &mut Sends, entry: Entry, role: &str, seated: &Seated) {
        let config = self.config(client, entry.dialect());
        let (name, argument) = event::welcome(entry, seated, &config);
        sends.emit(client.id, &client.socket, name, &argument);
        let token = json!({"role": role, "code": seated.code.as_str(), "resumeToken": seated.resume_token});
        sends.emit(client.id, &client.socket, "RESUME_TOKEN", &token);
        sends.emit(client.id, &client.socket, "CONFIG_FEEDBACK", &json!({"config": config}));
    }

    /// The argument of an `RTCPeerConnection` for a client with a seat.
    fn config(&self, client: &Client, dialect: Dialect) -> Value {
        match dialect {
            Dialect::A => json!({"iceServers": self.ice_servers(client, None)}),
            Dialect::B => self.pooled(client, None),
        }
    }

    fn pooled(&self, client: &Client, ttl: Option<Duration>) -> Value {
        json!({"iceServers": self.ice_servers(client, ttl), "iceCandidatePoolSize": 2})
    }

    /// With credentials under a name that says nothing of the room.
    fn ice_servers(&self, client: &Client, ttl: Option<Duration>) -> Value {
        self.0.issuer.ice_servers(&format!("cast-{:x}", client.id), client.host.as_deref(), ttl)
    }

    /// Sends what the rooms have to say.
    fn drain(&self, state: &mut State, sends: &mut Sends) {
        while let Some(output) = state.rooms.poll_output() {
            match output {
                Output::Deliver { to, dialect, signal } => {
                    let Some(client) = state.clients.get(&to) else { continue };
                    let (name, wrapper, payload) = event::delivery(dialect, &signal);
                    match wrapper {
                        None => sends.emit(client.id, &client.socket, name, payload),
                        Some(key) => sends.emit(client.id, &client.socket, name, &Wrapped { key, payload }),
                    }
                }
                Output::Notify { to, dialect, notice } => {
                    let Some(client) = state.clients.get(&to) else { continue };
                    if notice == Notice::Credentials {
                        let config = self.config(client, dialect);
                        sends.emit(client.id, &client.socket, "CONFIG_FEEDBACK", &json!({"config": config}));
                    }
                    for (name, argument) in event::announcements(dialect, &notice) {
                        match argument {
                            Some(argument) => sends.emit(client.id, &client.socket, name, &argument),
                            None => sends.emit(client.id, &client.socket, name, &NO_ARGUMENTS),
                        }
                    }
                }
            }
        }
    }
}

/// An event without arguments: the parser takes an array for the list of them.
const NO_ARGUMENTS: [(); 0] = [];

fn accepted(seated: &Seated) -> Value {
    json!({"ok": true, "code": seated.code.as_str(), "resumeToken": seated.resume_token, "resumed": seated.resumed})
}

/// `{offer}` or `{answer}` around a payload that stays raw.
struct Wrapped<'a> {
    key: &'static str,
    payload: &'a Payload,
}

impl Serialize for Wrapped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.key, self.payload)?;
        map.end()
    }
}

/// An event of a client, read.
struct Heard {
    event: String,
    request: Option<Result<Request, Failure>>,
    /// Bytes.
    size: usize,
    /// Where the client asked for one.
    ack: Option<AckSender>,
}
