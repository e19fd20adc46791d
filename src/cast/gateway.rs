//! The Socket.IO shell around the rooms: reads events, asks [`Rooms`], sends what comes out.
//!
//! Owner of the rooms and of the client table, behind the lock of [`Connections`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;

use super::event::{self, Content, Entry, Failure, JoinRequest, OpenRequest, Request};
use super::room::{ConnectionId, Dialect, Join, Notice, Open, Output, Rooms, Seated, Signal};
use crate::client;
use crate::connection::{self, Budgets, Connections, Flow, Heard, Sends};
use crate::driver::Core;
use crate::packet::Payload;

/// Front ends of dialect B connect to this namespace and expect to be asked for their device token.
pub const RTC: &str = "/rtc";

/// What the gateway needs of the credentials side.
pub trait Issuer: Send + Sync + 'static {
    /// Counts a request for credentials; `Err`: too many from this address, with the seconds to wait.
    fn admit(&self, from: IpAddr) -> Result<(), u64>;
    /// An `iceServers` array with fresh credentials for `username`, which stay good until [`Self::end`] at least; `host` is the name
    /// the client reached us by.
    fn ice_servers(&self, username: &str, host: Option<&str>) -> Value;
    /// The client that had credentials as `username` is gone.
    fn end(&self, username: &str);
}

/// A handle to the one gateway; clones share it.
#[derive(Clone)]
pub struct Gateway(Connections<State>);

struct State {
    rooms: Rooms<Content>,
    /// Makes rooms that nobody is in.
    empty: Box<dyn Fn() -> Rooms<Content> + Send>,
    clients: HashMap<ConnectionId, Client>,
    issuer: Box<dyn Issuer>,
}

struct Client {
    id: ConnectionId,
    socket: SocketRef,
    budgets: Budgets,
    from: IpAddr,
    /// The host name that the client reached us by.
    host: Option<String>,
    /// A dialect B TV has been asked for its device token and answered.
    verified: bool,
}

/// An event of a client, read.
struct Asked {
    event: String,
    request: Option<Result<Request, Failure>>,
}

impl Gateway {
    /// `empty` makes rooms that nobody is in.
    pub fn new(empty: impl Fn() -> Rooms<Content> + Send + 'static, issuer: impl Issuer) -> Self {
        Self(Connections::new(State {
            rooms: empty(),
            empty: Box::new(empty),
            clients: HashMap::new(),
            issuer: Box::new(issuer),
        }))
    }

    /// Before the client is told that it is connected.
    pub fn listen(&self, socket: &SocketRef) {
        self.0.listen(socket, |event, message| {
            let request = event::read(&event, message.json.as_str(), message.attachments);
            Asked { event, request }
        });
    }

    /// The client is connected.
    pub fn greet(&self, socket: SocketRef) {
        self.0.greet(socket, |state, id, socket, sends| {
            let host = socket.req_parts().extensions.get::<client::Client>().and_then(|client| client.host.clone());
            if socket.ns() == RTC {
                sends.emit(id, &socket, "VERIFY", &NO_ARGUMENTS);
            }
            let from = connection::address(&socket);
            state.clients.insert(id, Client { id, socket, budgets: Budgets::default(), from, host, verified: false });
        });
    }

    /// Hears the rooms' time-outs; never returns.
    pub async fn run(self) {
        self.0.run(|state, _| state.rooms.handle_timeout(Instant::now())).await;
    }

    /// Tells everybody that the server goes down.
    pub fn announce_shutdown(&self) {
        self.0.with(|state, sends| {
            state.clients.values().for_each(|client| sends.emit(client.id, &client.socket, "SERVER_SHUTDOWN", &json!({})));
        });
    }

    /// What signs credentials has changed: everybody who has a seat and takes them unasked gets fresh ones.
    pub fn renew_credentials(&self) {
        self.0.with(|state, _| state.rooms.handle_new_secret());
    }

    /// TVs with a code and connected clients.
    pub fn counts(&self) -> (usize, usize) {
        self.0.with(|state, _| (state.rooms.len(), state.clients.len()))
    }
}

impl Core for State {
    const NAME: &'static str = "cast";

    fn next_timeout(&self) -> Option<Instant> {
        self.rooms.next_timeout()
    }

    fn reset(&mut self) {
        let clients = std::mem::take(&mut self.clients);
        self.rooms = (self.empty)();
        for (id, client) in clients {
            self.issuer.end(&username(id));
            tokio::spawn(connection::disconnect(client.socket));
        }
    }
}

impl Flow for State {
    type Request = Asked;

    fn hear(&mut self, id: ConnectionId, heard: Heard<Asked>, sends: &mut Sends) {
        let Heard { request: Asked { event, request }, size, ack } = heard;
        let Some(client) = self.clients.get_mut(&id) else { return };
        let result = match request {
            _ if !client.budgets.send(size, 1) => Err(Failure::over_budget()),
            None => Err(Failure::unknown_event()),
            Some(Err(failure)) => Err(failure),
            Some(Ok(Request::Config)) => self.issuer.admit(client.from).map_err(Failure::rate_limited).map(|()| {
                let config = client.pooled(&*self.issuer);
                sends.emit(client.id, &client.socket, "CONFIG_FEEDBACK", &json!({"config": config}));
                json!({"ok": true})
            }),
            Some(Ok(Request::Verify)) => {
                client.verified = true;
                sends.emit(client.id, &client.socket, "VERIFY_RESPONCE", &json!({"code": 200}));
                Ok(json!({"ok": true}))
            }
            Some(Ok(Request::Open(request))) => self.open(id, &request, sends),
            Some(Ok(Request::Join(request))) => self.join(id, &request, sends),
            Some(Ok(Request::Signal(signal))) => self.signal(id, signal).map(|()| json!({"ok": true})),
            Some(Ok(Request::Leave)) => self.rooms.handle_leave(id).map(|()| json!({"ok": true})).map_err(Failure::from),
        };
        let Some(client) = self.clients.get(&id) else { return };
        if let Err(failure) = &result {
            tracing::debug!(event, code = failure.code, from = %client.from, "refused");
            let entry = event::entry(&event);
            if let Some((name, argument)) = entry.and_then(|entry| event::refusal(entry, failure)) {
                sends.emit(client.id, &client.socket, name, &argument);
            }
            if ack.is_none() && failure.code != Failure::UNKNOWN_EVENT {
                sends.emit(client.id, &client.socket, "CAST_ERROR", &json!({"event": event, "error": failure}));
            }
            if entry == Some(Entry::TvGetInfo) && failure.is_final() {
                // As dialect B has it: a TV that is refused is told and disconnected.
                sends.gone.push(id);
            }
        }
        if let Some(ack) = ack {
            let answer = result.unwrap_or_else(|failure| json!({"ok": false, "error": failure}));
            sends.note(client.id, ack.send(&answer));
        }
    }

    fn drain(&mut self, sends: &mut Sends) {
        while let Some(output) = self.rooms.poll_output() {
            match output {
                Output::Deliver { to, dialect, signal } => {
                    let Some(client) = self.clients.get(&to) else { continue };
                    let (name, wrapper, payload) = event::delivery(dialect, &signal);
                    match wrapper {
                        None => sends.emit(client.id, &client.socket, name, payload),
                        Some(key) => sends.emit(client.id, &client.socket, name, &Wrapped { key, payload }),
                    }
                }
                Output::Notify { to, dialect, notice } => {
                    let Some(client) = self.clients.get(&to) else { continue };
                    if notice == Notice::Credentials {
                        let config = client.config(&*self.issuer, dialect);
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

    fn forget(&mut self, id: ConnectionId, farewell: bool) -> Option<SocketRef> {
        if farewell {
            self.rooms.handle_leave(id).ok();
        } else {
            self.rooms.handle_drop(id, Instant::now());
        }
        self.issuer.end(&username(id));
        self.clients.remove(&id).map(|client| client.socket)
    }
}

impl State {
    fn open(&mut self, id: ConnectionId, request: &OpenRequest, sends: &mut Sends) -> Result<Value, Failure> {
        let client = &self.clients[&id];
        let (entry, token) = (request.entry, request.token.as_deref());
        if !token.is_some_and(|token| self.rooms.knows_tv(token)) {
            self.issuer.admit(client.from).map_err(Failure::rate_limited)?;
        }
        let code = request.code.as_deref();
        let open = Open { connection: id, dialect: entry.dialect(), from: client.from, code, token, live: request.live };
        let seated = self.rooms.handle_open(open, Instant::now())?;
        if entry.dialect() == Dialect::B && token.is_none() {
            // A front end of dialect B that has no device token keeps this one and shows it at its next VERIFY.
            sends.emit(client.id, &client.socket, "TEST_TOKEN_TV", &seated.resume_token);
        }
        self.welcome(client, sends, entry, "tv", &seated);
        // A TV on /rtc was asked for its token when it connected.
        if entry == Entry::TvRegister && !client.verified && client.socket.ns() != RTC {
            sends.emit(client.id, &client.socket, "VERIFY", &NO_ARGUMENTS);
        }
        Ok(accepted(&seated))
    }

    fn join(&mut self, id: ConnectionId, request: &JoinRequest, sends: &mut Sends) -> Result<Value, Failure> {
        let client = &self.clients[&id];
        let (entry, token) = (request.entry, request.token.as_deref());
        if !token.is_some_and(|token| self.rooms.knows_caster(token, &request.code)) {
            self.issuer.admit(client.from).map_err(Failure::rate_limited)?;
        }
        let join = Join {
            connection: id,
            dialect: entry.dialect(),
            from: client.from,
            code: &request.code,
            token,
            username: request.username.as_deref(),
        };
        let seated = self.rooms.handle_join(join, Instant::now())?;
        self.welcome(client, sends, entry, "caster", &seated);
        Ok(accepted(&seated))
    }

    fn signal(&mut self, id: ConnectionId, signal: Signal<Content>) -> Result<(), Failure> {
        let bytes = signal.payload().bytes();
        let receiver = self.rooms.other_side(id).and_then(|to| self.clients.get(&to));
        if receiver.is_some_and(|receiver| !receiver.budgets.receive(bytes)) {
            return Err(Failure::receiver_over_budget());
        }
        Ok(self.rooms.handle_signal(id, signal, bytes)?)
    }

    fn welcome(&self, client: &Client, sends: &mut Sends, entry: Entry, role: &str, seated: &Seated) {
        // Credentials that are not sent would only crowd out the lease of those that were.
        let config = if entry.brings_ice_servers() { client.config(&*self.issuer, entry.dialect()) } else { Value::Null };
        let (name, argument) = event::welcome(entry, seated, &config);
        sends.emit(client.id, &client.socket, name, &argument);
        let token = json!({"role": role, "code": seated.code.as_str(), "resumeToken": seated.resume_token});
        sends.emit(client.id, &client.socket, "RESUME_TOKEN", &token);
        if entry.dialect().takes_credentials_unasked() {
            sends.emit(client.id, &client.socket, "CONFIG_FEEDBACK", &json!({"config": config}));
        }
    }
}

impl Client {
    /// The argument of an `RTCPeerConnection`.
    fn config(&self, issuer: &dyn Issuer, dialect: Dialect) -> Value {
        match dialect {
            Dialect::A => json!({"iceServers": self.ice_servers(issuer)}),
            Dialect::B => self.pooled(issuer),
        }
    }

    fn pooled(&self, issuer: &dyn Issuer) -> Value {
        json!({"iceServers": self.ice_servers(issuer), "iceCandidatePoolSize": 2})
    }

    fn ice_servers(&self, issuer: &dyn Issuer) -> Value {
        issuer.ice_servers(&username(self.id), self.host.as_deref())
    }
}

/// The name that a client's credentials are for; it says nothing of the room.
fn username(id: ConnectionId) -> String {
    format!("cast-{id:x}")
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
