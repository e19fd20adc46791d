//! What clients ask for, as read from their events.

use std::sync::Arc;

use super::arguments::Json;
use crate::config::secret::Secret;
use crate::multiconnection::model::{RoomRequest, UserId, UserMessage};

/// What a client asks for.
pub enum Request {
    Open(RoomRequest<Json>),
    Join(RoomRequest<Json>),
    /// `echo` is repeated in the ack.
    CheckPresence {
        room: String,
        echo: Json,
    },
    CheckPassword {
        room: String,
        password: Secret<String>,
        echo: Json,
    },
    SetPassword(Option<Secret<String>>),
    PublicRooms(String),
    ChangeId(UserId),
    DisconnectWith(String),
    UpdateExtra(Json),
    ExtraDataOf(String),
    CloseSession,
    /// From now on the client's events of that name go to its room.
    AnnounceCustomEvent(Arc<str>),
    Message(UserMessage<Json>),
    /// Whether a user of that id is connected, as clients up to version 3.3 ask.
    DetectPresence(String),
    Custom {
        event: String,
        message: Json,
    },
    JoinBroadcast {
        user: Option<UserId>,
        broadcast: String,
        types: Json,
    },
    /// Whether the client can relay a broadcast.
    CanRelay(bool),
    BroadcastMessage(Json),
    /// Whether the user of that id broadcasts.
    CheckBroadcast(String),
    CountViewers(String),
    Admin(AdminRequest),
}

pub enum AdminRequest {
    Overview,
    UserInfo(String),
    ClearLogs,
    DeleteUser(String),
    DeleteRoom(String),
}
