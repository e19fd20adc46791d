//! What an operator sees of the calls, and does to them.

use std::time::{Instant, SystemTime};

use super::gateway::{AppRtcGateway, State};
use super::model::{ClientDetails, ListedClient, ListedRoom};
use crate::clock::WallClock;
use crate::operator::rows::{CallRow, PartyRow, masked};
use crate::room_driver::rows::in_parts;

/// Rows that are copied under one lock, while the events of all calls wait.
const MAX_ROWS_AT_ONCE: usize = 250;

impl AppRtcGateway {
    /// The calls, and the rooms in which somebody waits, in the order in which the rooms were opened.
    #[must_use]
    pub fn rows(&self) -> Vec<CallRow> {
        let clock = WallClock::new(Instant::now(), SystemTime::now());
        in_parts(MAX_ROWS_AT_ONCE, |last| self.with_state(|state, now| state.rows_after(last, clock, now)))
    }

    /// Closes the call of the row `call-NUMBER`: both ends are told, and their sockets are closed. Returns the room's name with its middle
    /// hidden; `None`: there is no such call.
    #[must_use]
    pub fn close_call(&self, number: u64) -> Option<String> {
        self.with_state(|state, now| state.rooms.handle_operator_end(number, now)).map(|room| masked(&room))
    }
}

impl State {
    /// The first rows after that with this number.
    fn rows_after(&self, number: u64, clock: WallClock, now: Instant) -> Vec<(u64, CallRow)> {
        let listed = self.rooms.listed_after(number, now).take(MAX_ROWS_AT_ONCE);
        listed.map(|listed| (listed.number, self.row(&listed, clock))).collect()
    }

    fn row(&self, listed: &ListedRoom<'_>, clock: WallClock) -> CallRow {
        CallRow {
            id: format!("call-{}", listed.number),
            room: masked(listed.room),
            since: clock.unix_seconds_of_past(listed.since),
            members: listed.clients.iter().map(party).collect(),
            media: self.calls.media(listed.room),
        }
    }
}

fn party(client: &ListedClient<'_>) -> PartyRow {
    let ClientDetails { agent, user } = client.details.cloned().unwrap_or_default();
    PartyRow { address: client.address, name: None, user: user.map(|user| user.name), agent }
}
