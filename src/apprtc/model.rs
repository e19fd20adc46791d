//! The values that the pure core of the calls takes and returns. PURE.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::admission::proven_user::ProvenUser;

/// The client that causes an event, and the time of the event.
#[derive(Debug, Clone, Copy)]
pub struct EventContext {
    pub from: IpAddr,
    pub now: Instant,
}

/// What a client has to do after an event. `S` is a handle of a client's socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Output<S> {
    Send {
        to: S,
        message: String,
    },
    /// A bye, and that an operator has closed the call.
    SendOperatorBye {
        to: S,
    },
    Close {
        socket: S,
    },
}

/// What happens to the calls, for the log and for the reports of pages. A call lasts as long as its two members are in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEvent {
    Began {
        room: Arc<str>,
        /// The one that has waited first.
        members: [CallMember; 2],
    },
    Ended {
        room: Arc<str>,
        reason: CallEnd,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallMember {
    pub client: String,
    pub address: IpAddr,
}

/// Why a call has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CallEnd {
    #[default]
    Left,
    /// A member's connection was closed for too long.
    Lost,
    /// The server had no place left.
    Evicted,
    /// The room was not used for a day.
    Expired,
    EndedByOperator,
}

/// A room as an operator sees it.
#[derive(Debug)]
pub struct ListedRoom<'a> {
    /// Names the room as long as it lives.
    pub number: u64,
    pub room: &'a str,
    /// When the call began; without one, when the room was opened.
    pub since: Instant,
    /// The members, then those that Collider alone knows.
    pub clients: Vec<ListedClient<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedClient<'a> {
    /// `None`: the client is away.
    pub address: Option<IpAddr>,
    /// What is known of the client besides.
    pub details: Option<&'a ClientDetails>,
}

/// What an operator is told of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientDetails {
    pub agent: Option<String>,
    /// The user who signed in.
    pub user: Option<ProvenUser>,
}

/// The verdict of a join that succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Eight digits.
    pub client: String,
    /// The first member of a room is the initiator.
    pub initiator: bool,
    /// The messages that the other member sent while it was alone, the oldest first.
    pub messages: Vec<String>,
}

/// Why an event in a room is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the room is full")]
    Full,
    #[error("this server has as many rooms as it may have")]
    ServerFull,
    #[error("unknown room")]
    UnknownRoom,
    #[error("unknown client")]
    UnknownClient,
    #[error(transparent)]
    Slot(#[from] SlotError),
}

/// Why Collider refuses a registration or a message. Collider's clients get these texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    #[error("Duplicated registration")]
    Duplicated,
    #[error("Max room capacity reached")]
    Full,
    #[error("Too many messages queued for the client")]
    TooManyWaiting,
    #[error("Client not registered")]
    NotRegistered,
}

/// The contents of one room, or of all rooms together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomCounts {
    pub rooms: usize,
    pub members: usize,
    /// Registered sockets.
    pub sockets: usize,
    /// Bytes of the queued messages' texts.
    pub waiting: usize,
}

/// What was evicted or refused at a bound since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EvictionCounts {
    /// Rooms without a socket that had not been used for a minute.
    pub idle_rooms: u64,
    /// Rooms of the address with the most rooms.
    pub rooms: u64,
    /// Messages of the address with the most queued bytes.
    pub messages: u64,
    /// Rooms and messages that were refused because their own address has the most.
    pub refused_rooms: u64,
    pub refused_messages: u64,
}

impl EvictionCounts {
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.idle_rooms + self.rooms + self.messages + self.refused_rooms + self.refused_messages
    }
}
