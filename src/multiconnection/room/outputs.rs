//! What comes out of the rooms: events for clients, and rooms as others see them.

use crate::socketio::client_id::ClientId;
use std::sync::Arc;

use super::{Opaque, RoomId, UserId};

/// Bytes that an event takes while it waits, besides what it says.
pub(super) const EVENT_BYTES: usize = 200;

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

impl<J: Opaque> RoomInfo<J> {
    /// About what it takes in a list.
    pub(super) fn bytes(&self) -> usize {
        const KEYS: usize = 200;
        let ids = self.participants.iter().chain([&self.id, &self.owner]).map(|id| id.len() + 3).sum::<usize>();
        KEYS + ids + self.identifier.as_ref().map_or(0, String::len) + self.session.bytes() + self.extra.bytes()
    }
}

/// What a client hears.
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
    /// The room is this user's now.
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
    /// To an admin. `rooms`: all of them, where it asked.
    News {
        rooms: Option<Vec<RoomInfo<J>>>,
        users: usize,
        broadcasting: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output<J> {
    Send { to: ClientId, event: Event<J> },
    Close(ClientId),
}

impl<J: Opaque> Event<J> {
    /// Bytes that it takes while it waits, about.
    pub(super) fn bytes(&self) -> usize {
        let said = match self {
            Self::UserConnected(id) | Self::UserDisconnected(id) | Self::Owner(id) => id.len(),
            Self::ExtraDataUpdated { user, extra } => user.len() + extra.bytes(),
            Self::IdTaken { taken, instead } => taken.len() + instead.len(),
            Self::Message { event, to, sender, message, extra } => {
                let names = event.len() + to.len() + sender.len();
                names + message.bytes() + extra.as_ref().map_or(0, Opaque::bytes)
            }
            Self::Custom { event, message } => event.len() + message.bytes(),
            Self::StartBroadcasting { types } => types.bytes(),
            Self::JoinBroadcaster { types, user, broadcast } => types.bytes() + user.len() + broadcast.len(),
            Self::BroadcastMessage(message) => message.bytes(),
            Self::RejoinBroadcast(text)
            | Self::BroadcastStopped(text)
            | Self::Viewers { broadcast: text, .. }
            | Self::Log(text) => text.len(),
            // Admins are no users, so that nothing waits for them.
            Self::News { .. } => 0,
        };
        EVENT_BYTES + said
    }
}
