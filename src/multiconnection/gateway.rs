//! The Socket.IO shell around the rooms: reads events, asks [`Rooms`], sends what comes out.
//!
//! Owner of the rooms and of the client table, behind one lock that is held for a whole event (lock, handle, emit, unlock;
//! nothing is awaited inside). Handlers do their work before they return their future, because socketioxide spawns that and
//! spawned futures of one client run in any order. An admin's password is checked before the client is connected, on a thread
//! that may block.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, header};
use serde_json::json;
use socketioxide::extract::{AckSender, Event, SocketRef};
use socketioxide::socket::DisconnectReason;
use tokio::sync::{Notify, Semaphore};

use super::event::{self, AdminRequest, Arguments, Handshake, Json, Request, ack};
use super::room::{ConnectionId, Counts, Hello, MAX_LISTED, Output, Rooms};
use crate::client;
use crate::connection::{Budget, Early, Sends};
use crate::guesses::Guesses;
use crate::packet::Message;
use crate::secret::Secret;
use crate::users::Directory;

/// How often a client whose send buffer is full is tried to be disconnected.
const RETRY: Duration = Duration::from_secs(1);
/// Admins' passwords that are checked at once; each takes 19 MiB for tens of milliseconds.
const CHECKS: usize = 2;

/// A handle to the one gateway; clones share it.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    directory: Directory,
    /// Wrong admin passwords that an address may try in a minute.
    guesses: u32,
    checks: Semaphore,
    state: Mutex<State>,
    /// The next time-out has changed.
    rearm: Notify,
    connections: AtomicU64,
}

struct State {
    rooms: Rooms<Json>,
    clients: HashMap<ConnectionId, Client>,
    guesses: Guesses,
    /// Refused for too much at once.
    limited: u64,
    /// What [`Gateway::run`] sleeps until.
    armed: Option<Instant>,
    /// To be disconnected; a full send buffer has no room for that packet either.
    leaving: Vec<SocketRef>,
}

struct Client {
    socket: SocketRef,
    budget: Budget,
}

/// What is known of a client before it is connected.
#[derive(Clone)]
struct Guest {
    id: ConnectionId,
    role: Role,
    early: Early<Heard>,
}

#[derive(Clone)]
enum Role {
    User(Hello<Json>),
    Admin { authorized: bool },
}

/// An event of a client, read.
struct Heard {
    request: Result<Request, Arguments>,
    /// Bytes.
    size: usize,
    /// Where the client asked for one.
    ack: Option<AckSender>,
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
    /// `guesses`: wrong admin passwords that an address may try in a minute.
    pub fn new(rooms: Rooms<Json>, directory: Directory, guesses: u32) -> Self {
        let (clients, leaving) = (HashMap::new(), Vec::new());
        let state = State { rooms, clients, guesses: Guesses::default(), limited: 0, armed: None, leaving };
        Self(Arc::new(Inner {
            directory,
            guesses,
            checks: Semaphore::new(CHECKS),
            state: Mutex::new(state),
            rearm: Notify::new(),
            connections: AtomicU64::new(1),
        }))
    }

    /// Whether a client that connects is one of ours.
    pub fn is_ours(socket: &SocketRef) -> bool {
        event::is_ours(socket.req_parts().uri.query().unwrap_or_default())
    }

    /// Before the client is told that it is connected: from then on its events may come, even before [`Self::greet`] runs.
    ///
    /// # Errors
    /// A handshake that can't be read.
    pub async fn listen(&self, socket: SocketRef) -> Result<(), Refused> {
        let request = socket.req_parts();
        let asker = request.extensions.get::<client::Client>();
        let from = asker.map_or(Ipv4Addr::UNSPECIFIED.into(), |asker| asker.address);
        let header = |name: HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let query = request.uri.query().unwrap_or_default();
        let handshake = event::handshake(query, from, header(header::ORIGIN), header(header::USER_AGENT)).map_err(Refused)?;
        let role = match handshake {
            Handshake::User(hello) => Role::User(hello),
            Handshake::Admin { name, password } => Role::Admin { authorized: self.is_admin(from, name, password).await },
        };
        let id = self.0.connections.fetch_add(1, Ordering::Relaxed);
        let message_event = match &role {
            Role::User(hello) => hello.message_event.clone(),
            Role::Admin { .. } => "".into(),
        };
        let early = Early::default();
        socket.extensions.insert(Guest { id, role, early: early.clone() });

        let (gateway, waiting) = (self.clone(), early.clone());
        socket.on_fallback(move |Event(event): Event, message: Message, ack: AckSender| {
            let size = message.size();
            let request = event::read(&event, message.json.as_str(), message.attachments, &message_event);
            let heard = Heard { request, size, ack: message.acked.then_some(ack) };
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
        Ok(())
    }

    /// The client is connected: it is in the table from now on, and what it said already is heard.
    pub fn greet(&self, socket: SocketRef) {
        let Some(Guest { id, role, early }) = socket.extensions.remove::<Guest>() else { return };
        self.with(|state, sends| {
            let Some(waiting) = early.take() else { return };
            state.clients.insert(id, Client { socket: socket.clone(), budget: Budget::default() });
            let welcome = match role {
                Role::User(hello) => state.rooms.handle_connect(id, hello, Instant::now()).is_ok(),
                Role::Admin { authorized } => {
                    let welcome = authorized && state.rooms.handle_admin(id).is_ok();
                    let answer = match welcome {
                        true => json!({"connected": true}),
                        false => json!({"error": "Invalid admin username or password."}),
                    };
                    sends.emit(id, &socket, "admin", &answer);
                    welcome
                }
            };
            if !welcome {
                sends.gone.push(id);
                return;
            }
            self.drain(state, sends);
            waiting.into_iter().for_each(|heard| self.event(state, sends, id, heard));
        });
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

    /// How many there are, connected clients, and events refused for too much at once.
    pub fn counts(&self) -> (Counts, usize, u64) {
        let state = self.lock();
        (state.rooms.counts(), state.clients.len(), state.limited)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside one event must not end everybody else's sessions.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one event under the lock, then disconnects those who are to go.
    fn with(&self, event: impl FnOnce(&mut State, &mut Sends)) {
        let mut sends = Sends::default();
        let (rearm, leaving) = {
            let mut state = self.lock();
            event(&mut state, &mut sends);
            // Telling the others that one is gone may fill the next one's buffer.
            while let Some(id) = sends.gone.pop() {
                if let Some(client) = state.clients.remove(&id) {
                    state.leaving.push(client.socket);
                    state.rooms.handle_drop(id, Instant::now());
                    self.drain(&mut state, &mut sends);
                }
            }
            (state.rooms.next_timeout() != state.armed, std::mem::take(&mut state.leaving))
        };
        // Not under the lock: the disconnect handler takes it.
        let still: Vec<_> = leaving.into_iter().filter(|socket| socket.clone().disconnect().is_err()).collect();
        if rearm || !still.is_empty() {
            self.lock().leaving.extend(still);
            self.0.rearm.notify_one();
        }
    }

    async fn is_admin(&self, from: IpAddr, name: String, password: Secret<String>) -> bool {
        let blocked = |state: &State| state.guesses.blocked_for(from, self.0.guesses, Instant::now()).is_some();
        // Waiting for a turn is part of the throttle, so whoever waits is looked at again.
        let Ok(_turn) = self.0.checks.acquire().await else { return false };
        if blocked(&self.lock()) {
            return false;
        }
        let directory = self.0.directory.clone();
        let check = tokio::task::spawn_blocking(move || directory.is_admin(&name, password.expose()));
        let right = check.await.unwrap_or(false);
        if !right {
            self.lock().guesses.record(from, Instant::now());
        }
        right
    }

    fn disconnect(&self, id: ConnectionId, early: &Early<Heard>, reason: DisconnectReason) {
        self.with(|state, sends| {
            early.close();
            state.clients.remove(&id);
            // `socket.disconnect()` is a farewell; anything else may be a glitch and has the grace period.
            if reason == DisconnectReason::ClientNSDisconnect {
                state.rooms.handle_leave(id, Instant::now());
            } else {
                state.rooms.handle_drop(id, Instant::now());
            }
            self.drain(state, sends);
        });
    }

    fn event(&self, state: &mut State, sends: &mut Sends, id: ConnectionId, Heard { request, size, ack }: Heard) {
        let Some(client) = state.clients.get(&id) else { return };
        let cost = request.as_ref().map_or(1, |request| copies(&state.rooms, id, request));
        let answer = if client.budget.take(size.saturating_mul(cost)) {
            request.map_or_else(Some, |request| perform(&mut state.rooms, id, request, Instant::now()))
        } else {
            state.limited += 1;
            Some(event::too_many())
        };
        if let (Some(ack), Some(answer)) = (ack, answer) {
            sends.note(id, ack.send(&answer));
        }
        self.drain(state, sends);
    }

    /// Sends what the rooms have to say.
    fn drain(&self, state: &mut State, sends: &mut Sends) {
        while let Some(output) = state.rooms.poll_output() {
            match output {
                Output::Send { to, event } => {
                    let Some(client) = state.clients.get(&to) else { continue };
                    let (name, arguments) = event::write(event);
                    sends.emit(to, &client.socket, &name, &arguments);
                }
                Output::Close(id) => sends.gone.push(id),
            }
        }
    }
}

/// How many copies of a request there will be, so that it costs its sender as much.
fn copies(rooms: &Rooms<Json>, id: ConnectionId, request: &Request) -> usize {
    let to_room = matches!(request, Request::UpdateExtra(_) | Request::Custom { .. })
        || matches!(request, Request::Message(message) if message.participation);
    let to_broadcast = matches!(request, Request::BroadcastMessage(_) | Request::JoinBroadcast { .. });
    let of_rooms = matches!(request, Request::PublicRooms(_));
    match (to_room, to_broadcast, of_rooms) {
        (true, _, _) => rooms.audience(id),
        (_, true, _) => rooms.broadcast_audience(id),
        (_, _, true) => rooms.counts().rooms.clamp(1, MAX_LISTED),
        (false, false, false) => 1,
    }
}

/// Does what a client asks for; its ack, where the event has one.
fn perform(rooms: &mut Rooms<Json>, id: ConnectionId, request: Request, now: Instant) -> Option<Arguments> {
    match request {
        Request::Open(entry) => Some(ack::entered(rooms.handle_open(id, entry, now))),
        Request::Join(entry) => Some(ack::entered(rooms.handle_join(id, entry, now))),
        Request::CheckPresence { room, echo } => Some(ack::presence(&echo, rooms.room(&room).as_ref())),
        Request::CheckPassword { room, password, echo } => {
            Some(ack::password_check(&echo, rooms.handle_password_check(id, &room, &password, now)))
        }
        Request::SetPassword(password) => {
            let (room, result) = rooms.handle_set_password(id, password);
            Some(ack::password_set(room, result))
        }
        Request::PublicRooms(identifier) => Some(ack::public_rooms(&rooms.public_rooms(&identifier))),
        Request::ChangeId(new) => rooms.handle_rename(id, new, now).then(ack::done),
        Request::DisconnectWith(other) => {
            rooms.handle_disconnect_with(id, &other, now);
            Some(ack::done())
        }
        Request::ExtraOf(user) => Some(ack::extra(rooms.extra_of(&user))),
        Request::CloseSession => Some(ack::closed()),
        Request::DetectPresence(user) => Some(ack::detected(&user, rooms.is_present(id, &user))),
        Request::CheckBroadcast(user) => Some(ack::flag(rooms.is_broadcasting(&user))),
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

fn administer(rooms: &mut Rooms<Json>, id: ConnectionId, request: AdminRequest, now: Instant) -> Option<Arguments> {
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
