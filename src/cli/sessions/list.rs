//! The kinds of sessions, and the rows of one kind.

use clap::ValueEnum;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Kind {
    /// TVs with a code, and the casts to them
    Casts,
    /// Calls of AppRTC
    Calls,
    /// Rooms of RTCMultiConnection
    Rooms,
    /// Allocations of the relay
    Allocations,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Casts, Self::Calls, Self::Rooms, Self::Allocations];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Casts => "casts",
            Self::Calls => "calls",
            Self::Rooms => "rooms",
            Self::Allocations => "allocations",
        }
    }
}

/// Rows of one kind.
pub(super) struct List {
    pub(super) kind: Kind,
    pub(super) rows: Vec<Value>,
    /// Rows that the server has, of which `rows` may be the first ones.
    pub(super) total: usize,
}
