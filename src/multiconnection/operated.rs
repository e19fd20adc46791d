//! What an operator sees of the rooms, and does to them.

use std::time::{Instant, SystemTime};

use super::gateway::{MultiConnectionGateway, State};
use super::model::{ListedRoom, ListedUser};
use crate::clock::WallClock;
use crate::operator::rows::{PartyRow, RoomRow, masked};
use crate::room_driver::rows::in_parts;

/// Rows that are copied under one lock, while the events of all rooms wait. Each has up to 20 members.
const MAX_ROWS_AT_ONCE: usize = 100;

impl MultiConnectionGateway {
    /// The rooms, in the order in which they were opened.
    #[must_use]
    pub fn rows(&self) -> Vec<RoomRow> {
        let clock = WallClock::new(Instant::now(), SystemTime::now());
        in_parts(MAX_ROWS_AT_ONCE, |last| self.connections().with(|state, _| state.rows_after(last, clock)))
    }

    /// Closes the room of the row `room-NUMBER`, and disconnects all users in it. Returns the room's id with its middle hidden; `None`:
    /// there is no such room.
    #[must_use]
    pub fn close_room(&self, number: u64) -> Option<String> {
        self.connections().with(|state, _| state.rooms.handle_operator_end(number, Instant::now())).map(|room| masked(&room))
    }
}

impl State {
    /// The first rows after that with this number.
    fn rows_after(&self, number: u64, clock: WallClock) -> Vec<(u64, RoomRow)> {
        let listed = self.rooms.listed_after(number).take(MAX_ROWS_AT_ONCE);
        listed.map(|listed| (listed.number, self.row(&listed, clock))).collect()
    }

    fn row(&self, listed: &ListedRoom<'_>, clock: WallClock) -> RoomRow {
        RoomRow {
            id: format!("room-{}", listed.number),
            room: masked(listed.id),
            since: clock.unix_seconds_of_past(listed.opened),
            members: listed.users.iter().map(|user| self.party(user)).collect(),
            member_count: listed.count,
        }
    }

    fn party(&self, user: &ListedUser<'_>) -> PartyRow {
        let client = user.client.and_then(|client| self.clients.get(&client));
        PartyRow {
            address: client.map(|_| user.from),
            name: Some(user.id.to_string()),
            user: None,
            agent: client.and_then(|client| client.socket.user_agent()),
        }
    }
}
