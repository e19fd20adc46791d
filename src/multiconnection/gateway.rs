//! The Socket.IO shell around the rooms: reads events, asks [`Rooms`], sends what comes out.
//!
//! Owner of the rooms and of the client table, behind the lock of [`Connections`]. An admin's password is checked before the
//! client is connected, on a thread that may block.

use crate::socketio::client_id::ClientId;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderName, header};
use serde_json::json;
use socketioxide::extract::SocketRef;
use tokio::sync::Semaphore;

use super::event::{self, AdminRequest, Arguments, Handshake, Json, Request, ack};
use super::room::{Counts, Hello, Output, Rooms};
use crate::config::secret::Secret;
use crate::limits::guesses::Guesses;
use crate::socketio::connections::{self, Connections, Flow, Heard, Sends, Spending};
use crate::socketio::room_driver::Core;
use crate::users::Directory;

/// Admins' passwords that are checked at once; each takes 19 MiB for tens of milliseconds.
const CHECKS: usize = 2;

/// A handle to the one gateway; clones share it.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    directory: Directory,
    guesses: Guesses,
    checks: Semaphore,
    connections: Connections<State>,
}

struct State {
    rooms: Rooms<Json>,
    /// Makes rooms that nobody is in.
    empty: Box<dyn Fn() -> Rooms<Json> + Send>,
    clients: HashMap<ClientId, Client>,
    /// Refused for too much at once.
    limited: u64,
}

struct Client {
    socket: SocketRef,
    spending: Spending,
}

/// What a client connects as.
#[derive(Clone)]
enum Role {
    User(Hello<Json>),
    Admin { authorized: bool },
}

/// Why a client is not connected.
#[derive(Debug)]
pub struct Refused(&'static str);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Gateway {
    /// `empty` makes rooms that nobody is in. `guesses` counts wrong admin passwords.
    pub fn new(empty: impl Fn() -> Rooms<Json> + Send + 'static, directory: Directory, guesses: Guesses) -> Self {
        let connections = Connections::new(State { rooms: empty(), empty: Box::new(empty), clients: HashMap::new(), limited: 0 });
        Self(Arc::new(Inner { directory, guesses, checks: Semaphore::new(CHECKS), connections }))
    }

    /// Whether a client that connects is one of ours.
    pub fn is_ours(socket: &SocketRef) -> bool {
        event::is_ours(socket.req_parts().uri.query().unwrap_or_default())
    }

    /// Before the client is told that it is connected.
    ///
    /// # Errors
    /// A handshake that can't be read.
    pub async fn listen(&self, socket: SocketRef) -> Result<(), Refused> {
        let (request, from) = (socket.req_parts(), connections::address(&socket));
        let header = |name: HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let query = request.uri.query().unwrap_or_default();
        let handshake = event::handshake(query, from, header(header::ORIGIN), header(header::USER_AGENT)).map_err(Refused)?;
        let role = match handshake {
            Handshake::User(hello) => Role::User(hello),
            Handshake::Admin { name, password } => Role::Admin { authorized: self.is_admin(from, name, password).await },
        };
        let message_event = match &role {
            Role::User(hello) => hello.message_event.clone(),
            Role::Admin { .. } => "".into(),
        };
        socket.extensions.insert(role);
        self.0.connections.listen(&socket, move |event, message| {
            event::read(&event, message.json.as_str(), message.attachments, &message_event)
        });
        Ok(())
    }

    /// The client is connected.
    pub fn greet(&self, socket: SocketRef) {
        let Some(role) = socket.extensions.remove::<Role>() else { return };
        self.0.connections.greet(socket, |state, id, socket, sends| {
            let welcome = match role {
                Role::User(hello) => state.rooms.handle_connect(id, hello, Instant::now()).is_ok(),
                Role::Admin { authorized } => {
                    let welcome = authorized && state.rooms.handle_admin(id).is_ok();
                    let answer = match welcome {
                        true => json!({"connected": true}),
                        false => json!({"error": "Invalid admin username or password."}),
                    };
                    sends.emit(id, &socket, "admin", answer);
                    welcome
                }
            };
            if welcome {
                state.clients.insert(id, Client { socket, spending: Spending::default() });
            } else {
                connections::disconnect(socket);
            }
        });
    }

    /// Hears the rooms' time-outs; never returns.
    pub async fn run(self) {
        self.0.connections.run(|state, _| state.rooms.handle_timeout(Instant::now())).await;
    }

    /// How many there are, connected clients, and events refused for too much at once.
    pub fn counts(&self) -> (Counts, usize, u64) {
        self.0.connections.with(|state, _| (state.rooms.counts(), state.clients.len(), state.limited))
    }

    async fn is_admin(&self, from: IpAddr, name: String, password: Secret<String>) -> bool {
        let Inner { directory, guesses, checks, connections: _ } = &*self.0;
        // Waiting for a turn is part of the throttle, so it is looked at after that.
        let Ok(_turn) = checks.acquire().await else { return false };
        if guesses.blocked_for(from, Instant::now()).is_some() {
            return false;
        }
        let directory = directory.clone();
        let check = tokio::task::spawn_blocking(move || directory.is_admin(&name, password.expose()));
        let right = check.await.unwrap_or(false);
        if !right {
            guesses.record(from, Instant::now());
        }
        right
    }
}

impl Core for State {
    const NAME: &'static str = "multiconnection";

    fn next_timeout(&self) -> Option<Instant> {
        self.rooms.next_timeout()
    }

    fn reset(&mut self) {
        let clients = std::mem::take(&mut self.clients);
        self.rooms = (self.empty)();
        for client in clients.into_values() {
            connections::disconnect(client.socket);
        }
    }
}

impl Flow for State {
    type Request = Result<Request, Arguments>;

    fn hear(&mut self, id: ClientId, heard: Heard<Self::Request>, sends: &mut Sends) {
        let Heard { request, size, ack } = heard;
        let before = sends.bytes();
        let Some(client) = self.clients.get_mut(&id) else { return };
        let copies = request.as_ref().map_or(1, |request| copies(&self.rooms, id, request));
        let paid = client.spending.pay(size, copies);
        let answer = if paid.is_ok() {
            request.map_or_else(Some, |request| perform(&mut self.rooms, id, request, Instant::now()))
        } else {
            self.limited += 1;
            Some(ack::too_many())
        };
        if let (Some(ack), Some(answer)) = (ack, answer) {
            sends.answer(id, &client.socket, ack, answer);
        }
        self.drain(sends);
        if let (Some(client), Ok(paid)) = (self.clients.get_mut(&id), paid) {
            client.spending.settle(paid, sends.bytes() - before);
        }
    }

    fn drain(&mut self, sends: &mut Sends) {
        while let Some(output) = self.rooms.poll_output() {
            match output {
                Output::Send { to, event } => {
                    let Some(client) = self.clients.get(&to) else { continue };
                    let (name, arguments) = event::write(event);
                    sends.emit(to, &client.socket, &name, arguments);
                }
                Output::Close(id) => sends.gone.push(id),
            }
        }
    }

    fn forget(&mut self, id: ClientId, farewell: bool) -> Option<SocketRef> {
        if farewell {
            self.rooms.handle_leave(id, Instant::now());
        } else {
            self.rooms.handle_drop(id, Instant::now());
        }
        self.clients.remove(&id).map(|client| client.socket)
    }
}

/// How many copies of a request there will be at most, so that it costs its sender as much before it is done. What it comes to besides
/// is charged afterwards.
fn copies(rooms: &Rooms<Json>, id: ClientId, request: &Request) -> usize {
    let to_peers = matches!(request, Request::UpdateExtra(_));
    let to_room =
        matches!(request, Request::Custom { .. }) || matches!(request, Request::Message(message) if message.participation);
    let to_broadcast = matches!(request, Request::BroadcastMessage(_) | Request::JoinBroadcast { .. });
    match (to_peers, to_room, to_broadcast) {
        (true, _, _) => rooms.acquaintances(id),
        (_, true, _) => rooms.audience(id),
        (_, _, true) => rooms.broadcast_audience(id),
        (false, false, false) => 1,
    }
}

/// Does what a client asks for; its ack, where the event has one.
fn perform(rooms: &mut Rooms<Json>, id: ClientId, request: Request, now: Instant) -> Option<Arguments> {
    match request {
        Request::Open(entry) => Some(ack::entered(rooms.handle_open(id, entry, now))),
        Request::Join(entry) => Some(ack::entered(rooms.handle_join(id, entry, now))),
        Request::CheckPresence { room, echo } => Some(ack::presence(&echo, rooms.room(id, &room).as_ref())),
        Request::CheckPassword { room, password, echo } => {
            Some(ack::password_check(&echo, rooms.handle_password_check(id, &room, &password, now)))
        }
        Request::SetPassword(password) => {
            let (room, result) = rooms.handle_set_password(id, password);
            Some(ack::password_set(room, result))
        }
        Request::PublicRooms(identifier) => Some(ack::public_rooms(&rooms.public_rooms(id, &identifier))),
        Request::ChangeId(new) => rooms.handle_rename(id, new, now).then(ack::done),
        Request::DisconnectWith(other) => {
            rooms.handle_disconnect_with(id, &other, now);
            Some(ack::done())
        }
        Request::ExtraOf(user) => Some(ack::extra(rooms.extra_of(&user))),
        Request::CloseSession => Some(ack::closed()),
        Request::DetectPresence(user) => Some(ack::detected(&user, rooms.is_present(id, &user))),
        Request::CheckBroadcast(user) => Some(ack::flag(rooms.is_broadcasting(id, &user))),
        Request::Viewers(broadcast) => Some(ack::number(rooms.viewers(&broadcast))),
        Request::Admin(request) => rooms.is_admin(id).then(|| administer(rooms, id, request, now)).flatten(),
        Request::UpdateExtra(extra) => {
            rooms.handle_extra(id, extra, now);
            None
        }
        Request::Listen(event) => {
            rooms.handle_listen(id, event);
            None
        }
        Request::Message(message) => {
            rooms.handle_message(id, message, now);
            None
        }
        Request::Custom { event, message } => {
            rooms.handle_custom(id, &event, message);
            None
        }
        Request::JoinBroadcast { user, broadcast, types } => {
            rooms.handle_join_broadcast(id, user, &broadcast, types, now);
            None
        }
        Request::Relaying(can_relay) => {
            rooms.handle_relaying(id, can_relay);
            None
        }
        Request::BroadcastMessage(message) => {
            rooms.handle_broadcast_message(id, &message);
            None
        }
    }
}

fn administer(rooms: &mut Rooms<Json>, id: ClientId, request: AdminRequest, now: Instant) -> Option<Arguments> {
    match request {
        AdminRequest::Overview => {
            rooms.handle_overview(id);
            None
        }
        AdminRequest::UserInfo(user) => Some(ack::about(rooms.about(&user))),
        // There is no such log here.
        AdminRequest::ClearLogs => Some(ack::flag(true)),
        AdminRequest::DeleteUser(user) => {
            rooms.handle_delete_user(&user, now);
            Some(ack::flag(true))
        }
        AdminRequest::DeleteRoom(room) => {
            rooms.handle_delete_room(&room, now);
            Some(ack::flag(true))
        }
    }
}
