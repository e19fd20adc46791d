//! What the roles say in their protocols.

use super::role::{Reaction, Role};
use super::{apprtc, cast_flow, multiconnection, socketio};

impl Role {
    /// The path of client `number`'s WebSocket.
    pub(crate) fn path(self, number: usize) -> String {
        match self {
            Self::Idle | Self::Tv | Self::Caster => socketio::PATH.to_owned(),
            Self::Owner | Self::Guest => multiconnection::path(number),
            Self::Caller => apprtc::PATH.to_owned(),
        }
    }

    /// The text with which the second client of a pair joins the room of the first one.
    pub(crate) fn join(self, room: &str) -> Option<String> {
        match self {
            Self::Caster => Some(cast_flow::join(room)),
            Self::Guest => Some(multiconnection::join(room)),
            Self::Idle | Self::Tv | Self::Owner | Self::Caller => None,
        }
    }

    /// A message of about `len` bytes to the other client of the pair, with the place of a stamp.
    pub(crate) fn message(self, number: usize, len: usize) -> Vec<u8> {
        match self {
            Self::Idle | Self::Tv | Self::Caster => cast_flow::message(len),
            Self::Owner | Self::Guest => multiconnection::message(number, len),
            Self::Caller => apprtc::message(len),
        }
    }

    /// # Errors
    /// The server has refused something.
    pub(crate) fn react(self, number: usize, payload: &[u8]) -> anyhow::Result<Reaction> {
        match self {
            Self::Idle | Self::Tv | Self::Caster => cast_flow::react(self, payload),
            Self::Owner | Self::Guest => multiconnection::react(self, number, payload),
            Self::Caller => apprtc::react(payload),
        }
    }
}
