//! Which parts clients play, and what a message from the server means for a load.

/// Which part of a protocol a client plays. In a pair, the first client opens a room, and the second one joins it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is connected, and says nothing.
    Idle,
    Tv,
    Caster,
    /// Opens a room of RTCMultiConnection.
    Owner,
    Guest,
    /// Has joined a room of AppRTC before it connects.
    Caller,
}

/// What a message from the server means for a load.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The client is connected to its namespace, or is registered.
    Connected,
    /// The room that a client has opened.
    Opened(String),
    /// The second client of a pair has heard from the first one.
    Answered,
    /// The server has answered the probe of an upgrade.
    Probed,
    /// A measured message that was sent at this time, in nanoseconds.
    Message(u64),
    /// Something that needs no answer, or none but the client's own.
    Other,
}

/// What a client makes of a message: what it answers, and what it means for the load.
pub(crate) struct Reaction {
    pub(crate) answer: Option<Vec<u8>>,
    pub(crate) heard: Heard,
}

impl Reaction {
    pub(crate) fn answer(text: impl Into<Vec<u8>>) -> Self {
        Self { answer: Some(text.into()), heard: Heard::Other }
    }
}

impl From<Heard> for Reaction {
    fn from(heard: Heard) -> Self {
        Self { answer: None, heard }
    }
}

impl Role {
    /// Whether a client of this role is ready as soon as it has heard this.
    pub(crate) fn is_ready(self, heard: &Heard) -> bool {
        match self {
            Self::Idle | Self::Caller => *heard == Heard::Connected,
            Self::Tv | Self::Owner => matches!(heard, Heard::Opened(_)),
            Self::Caster | Self::Guest => *heard == Heard::Answered,
        }
    }
}
