//! Which room or message is dropped when the server is at a bound: first an idle room, one without a socket that has not been used for
//! [`IDLE_AFTER`], then a room or the messages of the address with the most. PURE.
//!
//! Owner: the table of rooms, which removes a room's usage from the index before the room changes, and inserts it again afterwards.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::queue::MESSAGE_OVERHEAD_BYTES;
use super::shares::{RoomShares, Share};

/// The memory of all queued messages. Messages are queued for seconds, and take about 10 KiB for each caller.
pub(super) const MAX_QUEUED_BYTES: usize = 12 << 20;
/// The part of [`MAX_QUEUED_BYTES`] that is reserved for rooms without a socket, and the part for rooms with sockets. Either kind may
/// use what the other leaves.
const RESERVED_BYTES: [usize; 2] = [4 << 20, 8 << 20];
/// A room without a socket is safe for this time, in which its members can connect.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// What a room uses of the server's bounds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RoomUsage {
    pub(super) room: Arc<str>,
    /// The client that opened the room.
    pub(super) opened_from: IpAddr,
    pub(super) used: Instant,
    pub(super) sockets: usize,
    /// The memory of each address's queued messages.
    pub(super) queued: Vec<(IpAddr, usize)>,
}

#[derive(Debug, Default)]
pub(super) struct EvictionIndex {
    /// Queued bytes in rooms without a socket, and in rooms with sockets.
    queued: [RoomShares; 2],
    /// Rooms with no, one, and two sockets.
    rooms: [RoomShares; 3],
    /// Rooms without a socket by their last use: those without queued messages, and those with some.
    idle: [BTreeSet<(Instant, Arc<str>)>; 2],
}

impl EvictionIndex {
    pub(super) fn insert(&mut self, usage: &RoomUsage) {
        let RoomUsage { room, opened_from, used, sockets, queued } = usage;
        self.rooms[(*sockets).min(2)].add(*opened_from, room, *used, 1);
        for (from, bytes) in queued {
            self.queued[usize::from(*sockets > 0)].add(*from, room, *used, *bytes);
        }
        if *sockets == 0 {
            self.idle[usize::from(!queued.is_empty())].insert((*used, room.clone()));
        }
    }

    /// `usage` equals the one that was inserted.
    pub(super) fn remove(&mut self, usage: &RoomUsage) {
        let RoomUsage { room, opened_from, used, sockets, queued } = usage;
        self.rooms[(*sockets).min(2)].remove(*opened_from, room, *used, 1);
        for (from, bytes) in queued {
            self.queued[usize::from(*sockets > 0)].remove(*from, room, *used, *bytes);
        }
        if *sockets == 0 {
            self.idle[usize::from(!queued.is_empty())].remove(&(*used, room.clone()));
        }
    }

    /// The memory of all queued messages.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued.iter().map(RoomShares::total).sum()
    }

    /// The longest text that one more message may have.
    pub(super) fn free_text_bytes(&self) -> usize {
        MAX_QUEUED_BYTES.saturating_sub(self.queued_bytes() + MESSAGE_OVERHEAD_BYTES)
    }

    /// The least recently used idle room; `with_messages` considers only rooms with queued messages.
    pub(super) fn idle_room(&self, with_messages: bool, now: Instant) -> Option<Arc<str>> {
        let quiet = self.idle[0].first().filter(|_| !with_messages);
        let (used, room) = quiet.into_iter().chain(self.idle[1].first()).min()?;
        (*used + IDLE_AFTER <= now).then(|| room.clone())
    }

    /// The client and the room whose messages are dropped for a message of `bytes` from `from`, which is for a room with a socket
    /// (`connected`) or without; `None` if no client has more than `from`.
    pub(super) fn evicted_for_message(&self, from: IpAddr, connected: bool, bytes: usize) -> Option<(IpAddr, Arc<str>)> {
        let (own, other) = (&self.queued[usize::from(connected)], &self.queued[usize::from(!connected)]);
        if own.total() + bytes <= RESERVED_BYTES[usize::from(connected)] {
            return other.largest();
        }
        own.larger_than(from, own.of(from).increased_by(bytes))
    }

    /// The room that is ended for a new room of `from`: never one with two sockets.
    pub(super) fn evicted_for_room(&self, from: IpAddr) -> Option<Arc<str>> {
        let own = self.rooms.iter().map(|rooms| rooms.of(from)).fold(Share::default(), Share::plus).increased_by(1);
        self.rooms[..2].iter().find_map(|rooms| rooms.larger_than(from, own)).map(|(_, room)| room)
    }

    #[cfg(test)]
    pub(super) fn room_count(&self) -> usize {
        self.rooms.iter().map(RoomShares::total).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_messages_free_their_bytes() {
        let (mut index, now, from) = (EvictionIndex::default(), Instant::now(), IpAddr::from([192, 0, 2, 1]));
        let tenth = MAX_QUEUED_BYTES / 10;
        let usage = |room: &str, tenths| RoomUsage {
            room: room.into(),
            opened_from: from,
            used: now,
            sockets: 0,
            queued: vec![(from, tenths * tenth)],
        };
        let (first, second) = (usage("first", 6), usage("second", 4));
        index.insert(&first);
        assert!(index.free_text_bytes() < 5 * tenth && index.free_text_bytes() < usize::MAX);
        index.insert(&second);
        index.remove(&first);
        assert_eq!(index.queued_bytes(), 4 * tenth);
        assert!(index.free_text_bytes() + MESSAGE_OVERHEAD_BYTES >= 6 * tenth);
    }
}
