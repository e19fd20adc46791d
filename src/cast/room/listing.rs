//! The TVs and their casts as an operator sees them. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use super::rooms::Rooms;
use crate::cast::code::Code;
use crate::cast::model::{ListedCaster, ListedTv};

impl<P: Send + 'static> Rooms<P> {
    /// The TVs that got their seats after the one with this number, in that order.
    pub fn listed_after(&self, number: u64) -> impl Iterator<Item = ListedTv<'_>> {
        self.numbers.after(number).map(|(number, code)| {
            let room = &self.rooms[code];
            let caster = room.caster.as_ref().map(|caster| ListedCaster {
                began: caster.began,
                client: caster.seat.client,
                username: caster.username.as_deref(),
            });
            ListedTv {
                number,
                code: *code,
                opened: room.opened,
                client: room.tv.client,
                details: room.details.as_deref(),
                understands_new_codes: room.understands_new_codes,
                caster,
            }
        })
    }

    /// The number of the TV with this code, which somebody typed.
    pub fn number_of(&self, typed: &str) -> Option<u64> {
        let code = Code::parse(typed, self.config.alphabet)?;
        self.rooms.get(&code).map(|room| room.number)
    }
}
