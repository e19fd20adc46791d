//! What the rooms take, and which of them give way where there is want: those that nobody is connected in and that were not used for
//! a while, then those of the address that has most. PURE.
//!
//! Owner: the table of rooms, which notes each room as it is and forgets it before it changes.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shares::{Share, Shares};

/// Bytes that the messages of all rooms take at most, and how much of them is for rooms that nobody is connected in, and for others:
/// either may have what the other leaves. Messages wait for seconds, and take some 10 KiB a caller.
pub(super) const WAITING_BYTES: usize = 12 << 20;
const RESERVED_BYTES: [usize; 2] = [4 << 20, 8 << 20];
/// How long a room that nobody is connected in is safe: members may take so long to connect.
const IDLE: Duration = Duration::from_secs(60);

/// What a room takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) room: Arc<str>,
    /// Whoever began it.
    pub(super) opened_from: IpAddr,
    pub(super) used: Instant,
    pub(super) sockets: usize,
    /// Bytes of what each address has said there, which waits.
    pub(super) waiting: Vec<(IpAddr, usize)>,
}

#[derive(Debug, Default)]
pub(super) struct Usage {
    /// Bytes that wait in rooms that nobody is connected in, and in others.
    waiting: [Shares; 2],
    /// Rooms that nobody, one client, and two clients are connected in.
    rooms: [Shares; 3],
    /// Rooms that nobody is connected in by their last use: those where nothing waits, and others.
    idle: [BTreeSet<(Instant, Arc<str>)>; 2],
}

impl Usage {
    pub(super) fn note(&mut self, taken: &Taken) {
        let Taken { room, opened_from, used, sockets, waiting } = taken;
        self.rooms[(*sockets).min(2)].add(*opened_from, room, *used, 1);
        for (from, bytes) in waiting {
            self.waiting[usize::from(*sockets > 0)].add(*from, room, *used, *bytes);
        }
        if *sockets == 0 {
            self.idle[usize::from(!waiting.is_empty())].insert((*used, room.clone()));
        }
    }

    /// `taken` is as it was noted.
    pub(super) fn forget(&mut self, taken: &Taken) {
        let Taken { room, opened_from, used, sockets, waiting } = taken;
        self.rooms[(*sockets).min(2)].remove(*opened_from, room, *used, 1);
        for (from, bytes) in waiting {
            self.waiting[usize::from(*sockets > 0)].remove(*from, room, *used, *bytes);
        }
        if *sockets == 0 {
            self.idle[usize::from(!waiting.is_empty())].remove(&(*used, room.clone()));
        }
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(Shares::all).sum()
    }

    /// A room that may end at any time now, the least recently used one; with something that waits there if need be.
    pub(super) fn idle(&self, with_messages: bool, now: Instant) -> Option<Arc<str>> {
        let quiet = self.idle[0].first().filter(|_| !with_messages);
        let (used, room) = quiet.into_iter().chain(self.idle[1].first()).min()?;
        (*used + IDLE <= now).then(|| room.clone())
    }

    /// Whose messages, and in which room, make way for `bytes` more of `from`, in a room where somebody is connected or not; `None`:
    /// it has as much as anybody.
    pub(super) fn gives_way_to_message(&self, from: IpAddr, connected: bool, bytes: usize) -> Option<(IpAddr, Arc<str>)> {
        let (own, other) = (&self.waiting[usize::from(connected)], &self.waiting[usize::from(!connected)]);
        if own.all() + bytes <= RESERVED_BYTES[usize::from(connected)] {
            return other.largest();
        }
        own.larger_than(from, own.of(from).and(bytes))
    }

    /// Which room makes way for another one of `from`: never one where two clients are connected.
    pub(super) fn gives_way_to_room(&self, from: IpAddr) -> Option<Arc<str>> {
        let own = self.rooms.iter().map(|rooms| rooms.of(from)).fold(Share::default(), Share::plus).and(1);
        self.rooms[..2].iter().find_map(|rooms| rooms.larger_than(from, own)).map(|(_, room)| room)
    }

    #[cfg(test)]
    pub(super) fn rooms(&self) -> usize {
        self.rooms.iter().map(Shares::all).sum()
    }
}
