//! The ids, inputs, outputs and refusals of the RTCMultiConnection rooms. PURE.
//!
//! [`room`](super::room) decides with these, [`wire`](super::wire) reads and writes them, [`gateway`](super::gateway) carries them
//! between the two. The rooms refuse with [`Refusal`], whose texts are those of the original server and become the ack.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::secret::Secret;
use crate::socketio::gateway::client_id::ClientId;

pub type UserId = Arc<str>;
pub type RoomId = Arc<str>;
/// SHA-256 of what a client repeats when it reconnects: its fingerprint and its handshake's query.
pub type ReconnectProof = [u8; 32];
/// SHA-256 of a client's network, `Origin` and `User-Agent`.
pub type Fingerprint = [u8; 32];

/// Participants of a room, however many its owner allows.
pub const MAX_PARTICIPANTS: usize = 1000;

/// JSON that is forwarded as it was received; cheap to copy.
pub trait OpaqueJson: Clone + Send + 'static {
    /// About how many bytes it takes in memory.
    fn bytes(&self) -> usize;

    /// The JSON of a description that was never given, or dropped.
    fn empty() -> Self;
}

/// How the rooms are run.
#[derive(Debug, Clone, Copy)]
pub struct RoomsConfig {
    /// How long a dropped user keeps its place.
    pub grace: Duration,
    pub max_users: usize,
    /// Users of one client (an IPv4 address or an IPv6 /64).
    pub max_users_per_client: usize,
    /// Wrong passwords that one address may try in a minute.
    pub max_wrong_passwords_per_minute: u32,
}

/// A client's handshake.
#[derive(Debug, Clone)]
pub struct UserHandshake<J> {
    /// `None`: the client named no id and gets a random one.
    pub id: Option<UserId>,
    pub proof: Option<ReconnectProof>,
    pub from: IpAddr,
    pub fingerprint: Fingerprint,
    pub extra: J,
    pub message_event: Arc<str>,
    pub custom_event: Arc<str>,
    pub auto_close: bool,
    pub max_participants: usize,
    /// Viewers that one user relays to; `None`: the user takes no part in scalable broadcasts.
    pub max_viewers_per_member: Option<usize>,
}

/// The argument of `open-room` and `join-room`.
#[derive(Debug, Clone)]
pub struct RoomRequest<J> {
    pub room: RoomId,
    /// The room that users of scalable broadcasts mean instead of `room`.
    pub broadcast: Option<RoomId>,
    pub session: J,
    /// Only the owner sends, so the room ends with the owner.
    pub one_way: bool,
    pub extra: J,
    /// The identifier of public rooms, by which lists find the room; `open-room` only.
    pub identifier: Option<String>,
    pub password: Option<Secret<String>>,
    /// The whole argument without the password, for admins.
    pub request_json: J,
}

/// A message to another user or to a room; clients name its event in their handshake (`msgEvent`).
#[derive(Debug, Clone)]
pub struct UserMessage<J> {
    /// A user's id, or a room's id in a request to participate.
    pub to: String,
    pub message: J,
    /// The sender asks to participate (`newParticipationRequest`).
    pub participation: bool,
    /// The sender says that it leaves (`userLeft`), which makes no two users peers.
    pub user_left: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Room not available")]
    NotAvailable,
    #[error("Invalid password")]
    InvalidPassword,
    #[error("Room full")]
    Full,
    #[error("This room do not have any password.")]
    NoPassword,
    #[error("Room permission denied")]
    PermissionDenied,
    #[error("Did not join any room yet")]
    NotInRoom,
    #[error("User ID does not exist")]
    NoUser,
    #[error("Too many wrong passwords, try again later")]
    TooManyGuesses,
    #[error("Server full")]
    ServerFull,
}

/// How many users and rooms there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomCounts {
    pub users: usize,
    /// The users that are within their grace period.
    pub away: usize,
    pub rooms: usize,
}

/// A room as others may see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo<J> {
    pub id: RoomId,
    pub owner: UserId,
    pub participants: Vec<UserId>,
    pub max_participants: usize,
    pub is_full: bool,
    pub is_password_protected: bool,
    pub identifier: Option<String>,
    pub session: J,
    pub extra: J,
}

/// A room as an operator sees it.
#[derive(Debug, Clone)]
pub struct ListedRoom<'a> {
    /// Names the room as long as it lives.
    pub number: u64,
    pub id: &'a RoomId,
    pub opened: Instant,
    /// The first participants; `count` has the number of all.
    pub users: Vec<ListedUser<'a>>,
    pub count: usize,
}

#[derive(Debug, Clone, Copy)]
pub struct ListedUser<'a> {
    pub id: &'a UserId,
    /// `None`: the user is away.
    pub client: Option<ClientId>,
    pub from: IpAddr,
}

/// An event for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<J> {
    UserConnected(UserId),
    UserDisconnected(UserId),
    ExtraDataUpdated {
        user: UserId,
        extra: J,
    },
    IdTaken {
        taken: UserId,
        instead: UserId,
    },
    /// The room now belongs to the receiver.
    Owner(RoomId),
    Message {
        event: Arc<str>,
        to: UserId,
        sender: UserId,
        message: J,
        extra: Option<J>,
    },
    Custom {
        event: Arc<str>,
        message: J,
    },
    StartBroadcasting {
        types: J,
    },
    JoinBroadcaster {
        types: J,
        user: UserId,
        broadcast: String,
    },
    RejoinBroadcast(String),
    BroadcastStopped(String),
    BroadcastMessage(J),
    Viewers {
        count: usize,
        broadcast: String,
    },
    Log(String),
    /// To an admin. `rooms`: all of them, if the admin asked for an overview.
    AdminUpdate {
        rooms: Option<Vec<RoomInfo<J>>>,
        users: usize,
        broadcasting: usize,
    },
}

/// What the gateway has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<J> {
    Send { to: ClientId, event: Event<J> },
    Disconnect(ClientId),
}

impl<J: OpaqueJson> RoomInfo<J> {
    /// About how many bytes the room takes in a list.
    pub(super) fn bytes(&self) -> usize {
        const KEY_BYTES: usize = 200;
        const QUOTES_AND_COMMA_BYTES: usize = 3;
        let ids = self.participants.iter().chain([&self.id, &self.owner]);
        let id_bytes = ids.map(|id| id.len() + QUOTES_AND_COMMA_BYTES).sum::<usize>();
        KEY_BYTES + id_bytes + self.identifier.as_ref().map_or(0, String::len) + self.session.bytes() + self.extra.bytes()
    }
}

/// Bytes that an event takes while it waits, besides its contents.
pub(super) const EVENT_OVERHEAD_BYTES: usize = 200;

impl<J: OpaqueJson> Event<J> {
    /// About how many bytes the event takes while it waits.
    pub(super) fn bytes(&self) -> usize {
        let content = match self {
            Self::UserConnected(id) | Self::UserDisconnected(id) | Self::Owner(id) => id.len(),
            Self::ExtraDataUpdated { user, extra } => user.len() + extra.bytes(),
            Self::IdTaken { taken, instead } => taken.len() + instead.len(),
            Self::Message { event, to, sender, message, extra } => {
                let names = event.len() + to.len() + sender.len();
                names + message.bytes() + extra.as_ref().map_or(0, OpaqueJson::bytes)
            }
            Self::Custom { event, message } => event.len() + message.bytes(),
            Self::StartBroadcasting { types } => types.bytes(),
            Self::JoinBroadcaster { types, user, broadcast } => types.bytes() + user.len() + broadcast.len(),
            Self::BroadcastMessage(message) => message.bytes(),
            Self::RejoinBroadcast(text)
            | Self::BroadcastStopped(text)
            | Self::Viewers { broadcast: text, .. }
            | Self::Log(text) => text.len(),
            // Admins are not users, so nothing waits for them.
            Self::AdminUpdate { .. } => 0,
        };
        EVENT_OVERHEAD_BYTES + content
    }
}
