//! What an operator sees of the casts, and does to them.

use std::time::Instant;

use super::code::Code;
use super::gateway::{CastGateway, State};
use super::model::{ListedTv, OperatorRefusal};
use crate::clock::WallClock;
use crate::operator::rows::{CastRow, PartyRow};
use crate::room_driver::rows::in_parts;
use crate::socketio::gateway::client_id::ClientId;

/// Rows that are copied under one lock. Each takes a few microseconds, and the events of all casts wait meanwhile.
const MAX_ROWS_AT_ONCE: usize = 250;

impl CastGateway {
    /// The TVs with a code, in the order in which they got their seats.
    #[must_use]
    pub fn rows(&self) -> Vec<CastRow> {
        in_parts(MAX_ROWS_AT_ONCE, |last| self.0.with(|state, _| state.rows_after(last)))
    }

    /// Ends the cast to the TV of the row `cast-NUMBER`. Returns the TV's code with its middle hidden.
    ///
    /// # Errors
    /// `NoTv`, `NoCast`.
    pub fn end_cast(&self, number: u64) -> Result<String, OperatorRefusal> {
        self.0.with(|state, _| state.rooms.handle_operator_end(number, Instant::now())).map(masked)
    }

    /// Ends the cast to the TV with this code, which somebody typed.
    ///
    /// # Errors
    /// `NoTv`, `NoCast`.
    pub fn end_cast_of_code(&self, typed: &str) -> Result<String, OperatorRefusal> {
        let ended = self.0.with(|state, _| {
            let number = state.rooms.number_of(typed).ok_or(OperatorRefusal::NoTv)?;
            state.rooms.handle_operator_end(number, Instant::now())
        });
        ended.map(masked)
    }

    /// Gives the TV of the row `cast-NUMBER` a new code. Returns that with its middle hidden.
    ///
    /// # Errors
    /// [`OperatorRefusal`].
    pub fn new_code(&self, number: u64) -> Result<String, OperatorRefusal> {
        self.0.with(|state, _| state.rooms.handle_operator_new_code(number, Instant::now())).map(masked)
    }
}

impl State {
    /// The first rows after that with this number.
    fn rows_after(&self, number: u64) -> Vec<(u64, CastRow)> {
        let clock = self.rooms.clock();
        self.rooms.listed_after(number).take(MAX_ROWS_AT_ONCE).map(|tv| (tv.number, self.row(&tv, clock))).collect()
    }

    fn row(&self, tv: &ListedTv<'_>, clock: WallClock) -> CastRow {
        let caster = tv.caster.map(|caster| self.party(caster.client, caster.username));
        CastRow {
            id: format!("cast-{}", tv.number),
            code: masked(tv.code),
            since: clock.unix_seconds_of_past(tv.caster.map_or(tv.opened, |caster| caster.began)),
            tv: self.party(tv.client, tv.details.and_then(|details| details.name.as_deref())),
            media: self.reports.media(tv.code),
            may_change_code: tv.understands_new_codes,
            caster,
        }
    }

    /// `client`: `None`, if it is away.
    fn party(&self, client: Option<ClientId>, name: Option<&str>) -> PartyRow {
        let party = client.and_then(|client| self.clients.get(&client)).map(super::client::Client::party).unwrap_or_default();
        PartyRow { name: name.map(str::to_owned), ..party }
    }
}

fn masked(code: Code) -> String {
    format!("{code:?}")
}
