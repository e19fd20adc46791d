//! Two-way calls of AppRTC's clients: where Collider listens in addition to the main port, and what calls may use.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::reader::{MAX_COUNT, Reader};

/// The upper end of CASTWAY_MAX_CALLS.
const MAX_CALL_ROOMS: usize = 100_000;

#[derive(Debug, Clone, Copy)]
pub struct AppRtcConfig {
    /// A port for Collider alone; `None`: Collider is on the main port only.
    pub collider: Option<SocketAddr>,
    pub max_rooms: usize,
    /// Joins and new rooms per minute from one address: enough for a school where 300 people join at the same time, where everybody
    /// comes back after a restart, and again.
    pub joins: NonZeroU32,
    /// WebSockets from one address at a time: few enough that 64 addresses can't fill all rooms with calls of two, which are never
    /// closed to make room.
    pub sockets: u32,
}

impl AppRtcConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            collider: reader.given_addr("CASTWAY_COLLIDER_ADDR", "[::]:8089"),
            max_rooms: reader.number("CASTWAY_MAX_CALLS", 1..=MAX_CALL_ROOMS, ""),
            joins: reader.per_minute("CASTWAY_CALL_RATE"),
            sockets: reader.number("CASTWAY_CALL_SOCKETS", 1..=MAX_COUNT, ""),
        }
    }
}
