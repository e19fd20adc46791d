//! Two-way calls of AppRTC's clients: where Collider is besides the main port, and what calls may take.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use super::{Reader, Settings};

#[derive(Debug, Clone, Copy)]
pub struct CallsConfig {
    /// A port of its own for Collider; `None`: it is on the main port alone.
    pub collider: Option<SocketAddr>,
    pub max_rooms: usize,
    /// Joins and new rooms a minute from one address: an office where a hundred calls begin at once, and everybody comes back after
    /// a restart.
    pub joins: NonZeroU32,
    /// WebSockets of one address at once: so many that 64 addresses can't have all rooms with calls of two, which never give way.
    pub sockets: u32,
}

impl CallsConfig {
    pub(super) fn read(settings: &Settings, reader: &mut Reader) -> Self {
        let max_rooms = reader.number("CASTWAY_MAX_CALLS", &settings.max_calls, 10_000, 1..=100_000);
        let joins = reader.number("CASTWAY_CALL_RATE", &settings.call_rate, 600, 1..=1_000_000);
        let sockets = reader.number("CASTWAY_CALL_SOCKETS", &settings.call_sockets, 300, 1..=1_000_000);
        Self {
            collider: reader.parse(
                "CASTWAY_COLLIDER_ADDR",
                &settings.collider_addr,
                "an IP address and a port, e.g. 0.0.0.0:8089",
                None,
                |value| value.parse().ok().map(Some),
            ),
            max_rooms: usize::try_from(max_rooms).expect("the range above fits"),
            joins: u32::try_from(joins).ok().and_then(NonZeroU32::new).expect("the range above is positive"),
            sockets: u32::try_from(sockets).expect("the range above fits"),
        }
    }
}
