//! Clients of signaling over raw WebSockets: the cast flow, AppRTC and RTCMultiConnection.

pub(crate) mod addresses;
pub(crate) mod apprtc;
pub(crate) mod cast_flow;
pub(crate) mod client;
pub(crate) mod frames;
pub(crate) mod http;
pub(crate) mod multiconnection;
mod protocol;
pub(crate) mod role;
pub(crate) mod socketio;
pub(crate) mod stamp;
pub(crate) mod stream;
