//! The Socket.IO shell around the RTCMultiConnection rooms: reads events, calls [`Rooms`], sends the outputs.
//!
//! Owner of the rooms and of the table of clients, behind the lock of [`Connections`]. An admin's password is checked before the client is
//! connected, on a thread that may block.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderName, header};
use serde_json::json;
use socketioxide::extract::SocketRef;

use super::model::{Output, RoomCounts, UserHandshake};
use super::room::Rooms;
use super::wire::{self, AdminRequest, Arguments, Handshake, Json, Request, ack};
use crate::config::secret::Secret;
use crate::limits::guesses::Guesses;
use crate::room_driver::DrivenState;
use crate::socketio::gateway::client_budget::ClientBudget;
use crate::socketio::gateway::client_connection::{self, ClientConnection};
use crate::socketio::gateway::client_id::ClientId;
use crate::socketio::gateway::connections::Connections;
use crate::socketio::gateway::event_sender::EventSender;
use crate::socketio::gateway::gateway_state::{Disconnect, GatewayState, ReceivedEvent};
use crate::users::{Busy, Directory, PasswordChecks};

/// A handle to the one gateway; clones share it.
#[derive(Clone)]
pub struct MultiConnectionGateway(Arc<Inner>);

struct Inner {
    directory: Directory,
    guesses: Guesses,
    password_checks: PasswordChecks,
    connections: Connections<State>,
}

pub(super) struct State {
    pub(super) rooms: Rooms<Json>,
    /// Makes rooms without users.
    new_rooms: Box<dyn Fn() -> Rooms<Json> + Send>,
    pub(super) clients: HashMap<ClientId, Client>,
    /// Events refused because their client has sent too much.
    rate_limited: u64,
}

pub(super) struct Client {
    pub(super) socket: ClientConnection,
    budget: ClientBudget,
}

/// What a client connects as, once its admin password is checked.
#[derive(Clone)]
enum ConnectingAs {
    User(UserHandshake<Json>),
    Admin(AdminAccess),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AdminAccess {
    Granted,
    Denied,
    /// The password was not checked, because too many wait for that.
    Busy(Busy),
}

/// What the gateway serves now, and has refused since the start.
#[derive(Debug, Clone, Copy)]
pub struct MultiConnectionCounts {
    pub rooms: RoomCounts,
    /// Connected clients.
    pub clients: usize,
    /// Events refused because their client had sent too much.
    pub rate_limited: u64,
}

/// Why a client's handshake is refused.
#[derive(Debug)]
pub struct HandshakeRefused(&'static str);

impl fmt::Display for HandshakeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl MultiConnectionGateway {
    /// `new_rooms` makes rooms without users. `guesses` counts wrong admin passwords, which `password_checks` checks.
    pub fn new(
        new_rooms: impl Fn() -> Rooms<Json> + Send + 'static,
        directory: Directory,
        guesses: Guesses,
        password_checks: PasswordChecks,
    ) -> Self {
        let state = State { rooms: new_rooms(), new_rooms: Box::new(new_rooms), clients: HashMap::new(), rate_limited: 0 };
        Self(Arc::new(Inner { directory, guesses, password_checks, connections: Connections::new(state) }))
    }

    /// Whether a client that connects is an RTCMultiConnection client.
    pub fn serves(socket: &SocketRef) -> bool {
        wire::is_rtcmulticonnection(socket.req_parts().uri.query().unwrap_or_default())
    }

    /// Before the client is told that it is connected.
    ///
    /// # Errors
    /// The handshake can't be read.
    pub async fn register(&self, socket: SocketRef) -> Result<(), HandshakeRefused> {
        let (request, from) = (socket.req_parts(), client_connection::address(&socket));
        let header = |name: HeaderName| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let query = request.uri.query().unwrap_or_default();
        let handshake = wire::read_handshake(query, from, header(header::ORIGIN), header(header::USER_AGENT));
        let connecting = match handshake.map_err(HandshakeRefused)? {
            Handshake::User(handshake) => ConnectingAs::User(handshake),
            Handshake::Admin { name, password } => ConnectingAs::Admin(self.admin_access(from, name, password).await),
        };
        let message_event = match &connecting {
            ConnectingAs::User(handshake) => handshake.message_event.clone(),
            ConnectingAs::Admin(_) => "".into(),
        };
        socket.extensions.insert(connecting);
        self.0
            .connections
            .register(&socket, move |event, packet| wire::read(&event, packet.json.as_str(), packet.attachments, &message_event));
        Ok(())
    }

    /// The client is connected.
    pub fn connected(&self, socket: SocketRef) {
        let Some(connecting) = socket.extensions.remove::<ConnectingAs>() else { return };
        self.0.connections.connected(socket, |state, socket, sender| {
            let id = socket.client();
            let admitted = match connecting {
                ConnectingAs::User(handshake) => state.rooms.handle_connect(id, handshake, Instant::now()).is_ok(),
                ConnectingAs::Admin(access) => {
                    let admitted = access == AdminAccess::Granted && state.rooms.handle_admin(id).is_ok();
                    let answer = match (admitted, access) {
                        (true, _) => json!({"connected": true}),
                        (false, AdminAccess::Busy(busy)) => json!({"error": busy.to_string()}),
                        (false, _) => json!({"error": "Invalid admin username or password."}),
                    };
                    sender.emit(&socket, "admin", answer);
                    admitted
                }
            };
            if admitted {
                state.clients.insert(id, Client { socket, budget: ClientBudget::default() });
            } else {
                socket.disconnect();
            }
        });
    }

    /// Runs the rooms' time-outs; never returns.
    pub async fn run(self) {
        self.0.connections.run(|state, _| state.rooms.handle_timeout(Instant::now())).await;
    }

    /// Ends the connections and the seats of the clients at these addresses.
    pub fn end_clients(&self, is_one: impl Fn(IpAddr) -> bool) {
        self.0.connections.end_clients(is_one);
    }

    /// For how long events have held the lock of all rooms, see [`RoomDriver::locked_time`](crate::room_driver::RoomDriver::locked_time).
    pub fn locked_time(&self) -> Duration {
        self.0.connections.locked_time()
    }

    pub fn counts(&self) -> MultiConnectionCounts {
        self.0.connections.with(|state, _| MultiConnectionCounts {
            rooms: state.rooms.counts(),
            clients: state.clients.len(),
            rate_limited: state.rate_limited,
        })
    }

    pub(super) fn connections(&self) -> &Connections<State> {
        &self.0.connections
    }

    async fn admin_access(&self, from: IpAddr, name: String, password: Secret<String>) -> AdminAccess {
        let Inner { directory, guesses, password_checks, connections: _ } = &*self.0;
        if guesses.blocked_for(from, Instant::now()).is_some() {
            return AdminAccess::Denied;
        }
        let (directory, before_check) = (directory.clone(), guesses.clone());
        let check = password_checks.check(move || {
            // Others of this client may have guessed wrong while this one waited.
            let may_guess = before_check.blocked_for(from, Instant::now()).is_none();
            may_guess.then(|| directory.is_admin(&name, password.expose()))
        });
        match check.await {
            Ok(Some(true)) => AdminAccess::Granted,
            Ok(Some(false)) => {
                guesses.record(from, Instant::now());
                AdminAccess::Denied
            }
            Ok(None) => AdminAccess::Denied,
            Err(busy) => AdminAccess::Busy(busy),
        }
    }
}

impl DrivenState for State {
    const NAME: &'static str = "multiconnection";

    fn next_timeout(&self) -> Option<Instant> {
        self.rooms.next_timeout()
    }

    fn reset(&mut self) {
        let clients = std::mem::take(&mut self.clients);
        self.rooms = (self.new_rooms)().instead_of(&self.rooms);
        for client in clients.into_values() {
            client.socket.disconnect();
        }
    }
}

impl GatewayState for State {
    type Request = Result<Request, Arguments>;

    fn handle_event(&mut self, id: ClientId, event: ReceivedEvent<Self::Request>, sender: &mut EventSender) {
        let ReceivedEvent { request, bytes, ack } = event;
        let sent_before = sender.sent_bytes();
        let Some(client) = self.clients.get_mut(&id) else { return };
        let copies = request.as_ref().map_or(1, |request| Receivers::of(request).count(&self.rooms, id));
        let paid = client.budget.spend(bytes, copies);
        let answer = if paid.is_ok() {
            request.map_or_else(Some, |request| perform(&mut self.rooms, id, request, Instant::now()))
        } else {
            self.rate_limited += 1;
            Some(ack::too_many_requests())
        };
        if let (Some(ack), Some(answer)) = (ack, answer) {
            sender.acknowledge(&client.socket, ack, answer);
        }
        self.send_outputs(sender);
        if let (Some(client), Ok(paid)) = (self.clients.get_mut(&id), paid) {
            client.budget.charge_excess(paid, sender.sent_bytes() - sent_before);
        }
    }

    fn send_outputs(&mut self, sender: &mut EventSender) {
        while let Some(output) = self.rooms.poll_output() {
            match output {
                Output::Send { to, event } => {
                    let Some(client) = self.clients.get(&to) else { continue };
                    let (name, arguments) = wire::write(event);
                    sender.emit(&client.socket, name, arguments);
                }
                Output::Disconnect(id) => sender.disconnect(id),
            }
        }
    }

    fn clients_of(&self, is_one: &dyn Fn(IpAddr) -> bool) -> Vec<ClientId> {
        let clients = self.clients.iter().filter(|(_, client)| is_one(client_connection::address(&client.socket)));
        clients.map(|(id, _)| *id).collect()
    }

    fn remove_client(&mut self, id: ClientId, how: Disconnect) -> Option<ClientConnection> {
        match how {
            Disconnect::Deliberate => self.rooms.handle_leave(id, Instant::now()),
            Disconnect::Dropped => self.rooms.handle_drop(id, Instant::now()),
        }
        self.clients.remove(&id).map(|client| client.socket)
    }
}

/// The clients that a request is copied to. Its sender pays for all copies before the request is done; what the server sends beyond that
/// is charged afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receivers {
    One,
    /// The sender's room.
    Room,
    /// The sender's room and its peers.
    RoomAndPeers,
    /// The members of the sender's broadcast.
    Broadcast,
}

impl Receivers {
    const fn of(request: &Request) -> Self {
        match request {
            Request::UpdateExtra(_) => Self::RoomAndPeers,
            Request::Custom { .. } => Self::Room,
            Request::Message(message) if message.participation => Self::Room,
            Request::BroadcastMessage(_) | Request::JoinBroadcast { .. } => Self::Broadcast,
            Request::Open(_)
            | Request::Join(_)
            | Request::CheckPresence { .. }
            | Request::CheckPassword { .. }
            | Request::SetPassword(_)
            | Request::PublicRooms(_)
            | Request::ChangeId(_)
            | Request::DisconnectWith(_)
            | Request::ExtraDataOf(_)
            | Request::CloseSession
            | Request::AnnounceCustomEvent(_)
            | Request::Message(_)
            | Request::DetectPresence(_)
            | Request::CanRelay(_)
            | Request::CheckBroadcast(_)
            | Request::CountViewers(_)
            | Request::Admin(_) => Self::One,
        }
    }

    /// How many clients these are at most.
    fn count(self, rooms: &Rooms<Json>, sender: ClientId) -> usize {
        match self {
            Self::One => 1,
            Self::Room => rooms.room_size(sender),
            Self::RoomAndPeers => rooms.extra_data_receivers(sender),
            Self::Broadcast => rooms.broadcast_size(sender),
        }
    }
}

/// Does what a client asks for; returns the ack, if the event has one.
fn perform(rooms: &mut Rooms<Json>, id: ClientId, request: Request, now: Instant) -> Option<Arguments> {
    match request {
        Request::Open(request) => Some(ack::room_entered(rooms.handle_open(id, request, now))),
        Request::Join(request) => Some(ack::room_entered(rooms.handle_join(id, request, now))),
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
        Request::ExtraDataOf(user) => Some(ack::extra_data(rooms.extra_of(&user))),
        Request::CloseSession => Some(ack::session_closed()),
        Request::DetectPresence(user) => Some(ack::presence_detected(&user, rooms.is_present(id, &user))),
        Request::CheckBroadcast(user) => Some(ack::flag(rooms.is_broadcasting(id, &user))),
        Request::CountViewers(broadcast) => Some(ack::number(rooms.viewers(&broadcast))),
        Request::Admin(request) => rooms.is_admin(id).then(|| perform_admin(rooms, id, request, now)).flatten(),
        Request::UpdateExtra(extra) => {
            rooms.handle_extra(id, extra, now);
            None
        }
        Request::AnnounceCustomEvent(event) => {
            rooms.handle_announce_custom_event(id, event);
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
        Request::CanRelay(can_relay) => {
            rooms.handle_can_relay(id, can_relay);
            None
        }
        Request::BroadcastMessage(message) => {
            rooms.handle_broadcast_message(id, &message);
            None
        }
    }
}

fn perform_admin(rooms: &mut Rooms<Json>, id: ClientId, request: AdminRequest, now: Instant) -> Option<Arguments> {
    match request {
        AdminRequest::Overview => {
            rooms.handle_overview(id);
            None
        }
        AdminRequest::UserInfo(user) => Some(ack::user_info(rooms.last_room_request(&user))),
        // Castway keeps no such log.
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
