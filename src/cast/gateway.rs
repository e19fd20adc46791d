//! The Socket.IO shell around the rooms: reads events, asks [`Rooms`], sends what comes out.
//!
//! Owner of the rooms and of the client table, behind the lock of [`Connections`].

use crate::socketio::client_id::ClientId;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef};

use super::event::{self, Content, Entry, Failure, JoinRequest, OpenRequest, Request};
use super::room::{Dialect, Join, Notice, Open, Opened, Output, Refusal, Rooms, Seated, Signal};
use crate::clock::WallClock;
use crate::http::client_info;
use crate::socketio::connections::{self, Connections, Flow, Heard, Sends, Spending};
use crate::socketio::packet::{Payload, Weighed};
use crate::socketio::room_driver::Core;

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

/// How many there are.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// TVs with a code.
    pub tvs: usize,
    /// TVs that wait for one.
    pub waiting: usize,
    /// TVs whose place another one ever got.
    pub evicted: u64,
    /// Connected clients.
    pub clients: usize,
}

/// A handle to the one gateway; clones share it.
#[derive(Clone)]
pub struct Gateway(Connections<State>);

struct State {
    rooms: Rooms<Content>,
    /// Makes rooms that nobody is in.
    empty: Box<dyn Fn(WallClock) -> Rooms<Content> + Send>,
    clients: HashMap<ClientId, ClientInfo>,
    issuer: Box<dyn Issuer>,
}

struct ClientInfo {
    id: ClientId,
    socket: SocketRef,
    spending: Spending,
    from: IpAddr,
    /// The host name that the client reached us by.
    host: Option<String>,
    /// A dialect B TV has been asked for its device token and answered.
    verified: bool,
    /// The event that it came in by as a TV, the last one of several.
    tv: Option<Entry>,
    /// What it asked as a TV and has no answer to yet: of each event one.
    waiting: Vec<Waiting>,
}

/// A TV's question that is answered when its turn has come.
struct Waiting {
    entry: Entry,
    /// The front end has a token of its own.
    had_token: bool,
    ack: Option<AckSender>,
}

/// What comes of a request.
enum Answer {
    Now(Value),
    /// The ack waits with the TV.
    Later {
        entry: Entry,
        had_token: bool,
    },
}

/// An event of a client, read.
struct Asked {
    event: String,
    request: Option<Result<Request, Failure>>,
}

impl Gateway {
    /// `empty` makes rooms that nobody is in.
    pub fn new(empty: impl Fn(WallClock) -> Rooms<Content> + Send + 'static, clock: WallClock, issuer: impl Issuer) -> Self {
        Self(Connections::new(State {
            rooms: empty(clock),
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
            let host = socket.req_parts().extensions.get::<client_info::ClientInfo>().and_then(|client| client.host.clone());
            if socket.ns() == RTC {
                sends.emit(id, &socket, "VERIFY", NO_ARGUMENTS);
            }
            let from = connections::address(&socket);
            let (spending, waiting) = (Spending::default(), Vec::new());
            state.clients.insert(id, ClientInfo { id, socket, spending, from, host, verified: false, tv: None, waiting });
        });
    }

    /// Hears the rooms' time-outs; never returns.
    pub async fn run(self) {
        self.0.run(|state, _| state.rooms.handle_timeout(Instant::now())).await;
    }

    /// Tells everybody that the server goes down.
    pub fn announce_shutdown(&self) {
        self.0.with(|state, sends| {
            state.clients.values().for_each(|client| sends.emit(client.id, &client.socket, "SERVER_SHUTDOWN", json!({})));
        });
    }

    /// The wall clock has been set: everybody who has a seat and takes credentials unasked gets fresh ones.
    pub fn handle_clock(&self, clock: WallClock) {
        self.0.with(|state, _| state.rooms.handle_clock(clock));
    }

    /// What signs credentials has changed: everybody who has a seat and takes them unasked gets fresh ones.
    pub fn renew_credentials(&self) {
        self.0.with(|state, _| state.rooms.handle_new_secret());
    }

    pub fn counts(&self) -> Counts {
        self.0.with(|state, _| {
            let (waiting, evicted) = state.rooms.waiting_and_evicted();
            Counts { tvs: state.rooms.len(), waiting, evicted, clients: state.clients.len() }
        })
    }
}

impl Core for State {
    const NAME: &'static str = "cast";

    fn next_timeout(&self) -> Option<Instant> {
        self.rooms.next_timeout()
    }

    fn reset(&mut self) {
        let clients = std::mem::take(&mut self.clients);
        self.rooms = (self.empty)(self.rooms.clock());
        for (id, client) in clients {
            self.issuer.end(&username(id));
            connections::disconnect(client.socket);
        }
    }
}

impl Flow for State {
    type Request = Asked;

    fn hear(&mut self, id: ClientId, heard: Heard<Asked>, sends: &mut Sends) {
        let before = sends.bytes();
        let Some(client) = self.clients.get_mut(&id) else { return };
        let paid = client.spending.pay(heard.size, 1);
        self.answer(id, heard, paid.err(), sends);
        self.drain(sends);
        if let (Some(client), Ok(paid)) = (self.clients.get_mut(&id), paid) {
            client.spending.settle(paid, sends.bytes() - before);
        }
    }

    fn drain(&mut self, sends: &mut Sends) {
        while let Some(output) = self.rooms.poll_output() {
            match output {
                Output::Seated { to, result, .. } => self.answer_waiting(to, &result, sends),
                Output::Deliver { to, dialect, signal } => {
                    let Some(client) = self.clients.get(&to) else { continue };
                    let (name, wrapper, payload) = event::delivery(dialect, signal);
                    match wrapper {
                        None => sends.emit(client.id, &client.socket, name, payload),
                        Some(key) => sends.emit(client.id, &client.socket, name, Wrapped { key, payload }),
                    }
                }
                Output::Notify { to, dialect, notice } => {
                    let Some(client) = self.clients.get(&to) else { continue };
                    if notice == Notice::Credentials {
                        let config = client.config(&*self.issuer, dialect);
                        sends.emit(client.id, &client.socket, "CONFIG_FEEDBACK", json!({"config": config}));
                    }
                    for (name, argument) in event::announcements(dialect, &notice) {
                        match argument {
                            Some(argument) => sends.emit(client.id, &client.socket, name, argument),
                            None => sends.emit(client.id, &client.socket, name, NO_ARGUMENTS),
                        }
                    }
                }
            }
        }
    }

    fn forget(&mut self, id: ClientId, farewell: bool) -> Option<SocketRef> {
        if farewell {
            self.rooms.handle_leave(id, Instant::now()).ok();
        } else {
            self.rooms.handle_drop(id, Instant::now());
        }
        self.issuer.end(&username(id));
        self.clients.remove(&id).map(|client| client.socket)
    }
}

impl State {
    /// Does what a client asks for, and answers. `wait`: it has said too much.
    fn answer(&mut self, id: ClientId, heard: Heard<Asked>, wait: Option<Duration>, sends: &mut Sends) {
        let Heard { request: Asked { event, request }, ack, .. } = heard;
        let Some(client) = self.clients.get_mut(&id) else { return };
        let now = |()| Answer::Now(json!({"ok": true}));
        let result = match request {
            _ if wait.is_some() => Err(Failure::over_budget(wait.unwrap_or_default())),
            None => Err(Failure::unknown_event()),
            Some(Err(failure)) => Err(failure),
            Some(Ok(Request::Config)) => self.issuer.admit(client.from).map_err(Failure::rate_limited).map(|()| {
                let config = client.pooled(&*self.issuer);
                sends.emit(client.id, &client.socket, "CONFIG_FEEDBACK", json!({"config": config}));
                now(())
            }),
            Some(Ok(Request::Verify)) => {
                client.verified = true;
                sends.emit(client.id, &client.socket, "VERIFY_RESPONCE", json!({"code": 200}));
                Ok(now(()))
            }
            Some(Ok(Request::Open(request))) => self.open(id, &request, sends),
            Some(Ok(Request::Join(request))) => self.join(id, &request, sends).map(Answer::Now),
            Some(Ok(Request::Signal(signal))) => self.signal(id, signal).map(now),
            Some(Ok(Request::NewCode)) => self.new_code(id).map(Answer::Now),
            Some(Ok(Request::Leave)) => {
                client.waiting.clear();
                self.rooms.handle_leave(id, Instant::now()).map(now).map_err(Failure::from)
            }
        };
        match result {
            Ok(Answer::Now(answer)) => self.acknowledge(id, ack, answer, sends),
            Ok(Answer::Later { entry, had_token }) => {
                let Some(client) = self.clients.get_mut(&id) else { return };
                client.waiting.retain(|waiting| waiting.entry != entry);
                client.waiting.push(Waiting { entry, had_token, ack });
            }
            Err(failure) => self.refuse(id, &event, ack, &failure, sends),
        }
    }

    fn open(&mut self, id: ClientId, request: &OpenRequest, sends: &mut Sends) -> Result<Answer, Failure> {
        let client = self.clients.get_mut(&id).expect("the caller looked it up");
        let (entry, token, code) = (request.entry, request.token.as_deref(), request.code.as_deref());
        let again = client.tv.replace(entry).is_some();
        let open = Open {
            connection: id,
            dialect: entry.dialect(),
            from: client.from,
            code,
            token,
            live: request.live,
            again,
            casting: request.casting,
            announces: request.announces,
        };
        match self.rooms.handle_open(open, Instant::now())? {
            Opened::Waits => Ok(Answer::Later { entry, had_token: token.is_some() }),
            Opened::Seated(seated) => {
                if !self.clients[&id].waiting.is_empty() {
                    self.answer_waiting(id, &Ok(seated.clone()), sends);
                }
                self.welcome_tv(&self.clients[&id], sends, entry, token.is_some(), &seated);
                Ok(Answer::Now(accepted(&seated)))
            }
        }
    }

    /// A TV that waited hears what came of it, once for each event that it asked by. One that lost its place has asked nothing anew.
    fn answer_waiting(&mut self, id: ClientId, result: &Result<Seated, Refusal>, sends: &mut Sends) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let mut waiting = std::mem::take(&mut client.waiting);
        if waiting.is_empty() {
            waiting.extend(client.tv.map(|entry| Waiting { entry, had_token: true, ack: None }));
        }
        for Waiting { entry, had_token, ack } in waiting {
            match result {
                Ok(seated) => {
                    self.welcome_tv(&self.clients[&id], sends, entry, had_token, seated);
                    self.acknowledge(id, ack, accepted(seated), sends);
                }
                Err(refusal) => self.refuse(id, entry.name(), ack, &Failure::from(*refusal), sends),
            }
        }
    }

    fn welcome_tv(&self, client: &ClientInfo, sends: &mut Sends, entry: Entry, had_token: bool, seated: &Seated) {
        if entry.dialect() == Dialect::B && !had_token {
            // A front end of dialect B that has no device token keeps this one and shows it at its next VERIFY.
            sends.emit(client.id, &client.socket, "TEST_TOKEN_TV", seated.resume_token.clone());
        }
        self.welcome(client, sends, entry, "tv", seated);
        // A TV on /rtc was asked for its token when it connected.
        if entry == Entry::TvRegister && !client.verified && client.socket.ns() != RTC {
            sends.emit(client.id, &client.socket, "VERIFY", NO_ARGUMENTS);
        }
    }

    fn refuse(&self, id: ClientId, event: &str, ack: Option<AckSender>, failure: &Failure, sends: &mut Sends) {
        let Some(client) = self.clients.get(&id) else { return };
        tracing::debug!(event, code = failure.code, from = %client.from, "refused");
        let entry = event::entry(event);
        if let Some((name, argument)) = entry.and_then(|entry| event::refusal(entry, failure)) {
            sends.emit(client.id, &client.socket, name, argument);
        }
        if ack.is_none() && failure.code != Failure::UNKNOWN_EVENT {
            sends.emit(client.id, &client.socket, "CAST_ERROR", json!({"event": event, "error": failure}));
        }
        if entry == Some(Entry::TvGetInfo) && failure.is_final() {
            // As dialect B has it: a TV that is refused is told and disconnected.
            sends.gone.push(id);
        }
        self.acknowledge(id, ack, json!({"ok": false, "error": failure}), sends);
    }

    fn acknowledge(&self, id: ClientId, ack: Option<AckSender>, answer: Value, sends: &mut Sends) {
        if let (Some(client), Some(ack)) = (self.clients.get(&id), ack) {
            sends.answer(id, &client.socket, ack, answer);
        }
    }

    /// Counts like opening a TV, which gives a new code as well.
    fn new_code(&mut self, id: ClientId) -> Result<Value, Failure> {
        let from = self.clients[&id].from;
        self.issuer.admit(from).map_err(Failure::rate_limited)?;
        Ok(accepted(&self.rooms.handle_new_code(id, Instant::now())?))
    }

    fn join(&mut self, id: ClientId, request: &JoinRequest, sends: &mut Sends) -> Result<Value, Failure> {
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

    fn signal(&mut self, id: ClientId, signal: Signal<Content>) -> Result<(), Failure> {
        let bytes = signal.payload().bytes();
        Ok(self.rooms.handle_signal(id, signal, bytes)?)
    }

    fn welcome(&self, client: &ClientInfo, sends: &mut Sends, entry: Entry, role: &str, seated: &Seated) {
        // Credentials that are not sent would only crowd out the lease of those that were.
        let config = if entry.brings_ice_servers() { client.config(&*self.issuer, entry.dialect()) } else { Value::Null };
        let (name, argument) = event::welcome(entry, seated, &config);
        sends.emit(client.id, &client.socket, name, argument);
        let token = json!({"role": role, "code": seated.code.as_str(), "resumeToken": seated.resume_token});
        sends.emit(client.id, &client.socket, "RESUME_TOKEN", token);
        if entry.dialect().takes_credentials_unasked() {
            sends.emit(client.id, &client.socket, "CONFIG_FEEDBACK", json!({"config": config}));
        }
    }
}

impl ClientInfo {
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
fn username(id: ClientId) -> String {
    format!("cast-{id:x}")
}

/// An event without arguments: the parser takes an array for the list of them.
const NO_ARGUMENTS: [(); 0] = [];

fn accepted(seated: &Seated) -> Value {
    json!({"ok": true, "code": seated.code.as_str(), "resumeToken": seated.resume_token, "resumed": seated.resumed})
}

/// `{offer}` or `{answer}` around a payload that stays raw.
struct Wrapped {
    key: &'static str,
    payload: Payload,
}

impl Weighed for Wrapped {
    fn weight(&self) -> usize {
        self.key.len() + self.payload.weight()
    }
}

impl Serialize for Wrapped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.key, &self.payload)?;
        map.end()
    }
}
