//! What the two sides of a room say to each other. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use super::Rooms;
use super::model::{Output, Refusal};
use crate::cast::code::{Code, Role};
use crate::cast::mailbox::{Lost, Signal};
use crate::socketio::client_id::ClientId;

impl<P: Send + 'static> Rooms<P> {
    /// A client sends its room's other side something of so many bytes.
    ///
    /// # Errors
    /// `NotInRoom`; `NoCaster`; `WrongRole` for a TV's offer or a caster's answer; `TooManyWaiting`; `NoSpace`.
    pub fn handle_signal(&mut self, from: ClientId, signal: Signal<P>, bytes: usize) -> Result<(), Refusal> {
        let &(code, role) = self.seats.get(&from).ok_or(Refusal::NotInRoom)?;
        let room = self.rooms.get_mut(&code).expect("a seat is in a live room");
        let (mailbox, to) = match (role, &signal) {
            (Role::Caster, Signal::Offer(_) | Signal::Candidate(_)) => (&mut room.to_tv, room.tv.connection),
            (Role::Tv, Signal::Answer(_) | Signal::Candidate(_)) => {
                let caster = room.caster.as_ref().ok_or(Refusal::NoCaster)?;
                if room.answering_another {
                    return Ok(());
                }
                (&mut room.to_caster, caster.seat.connection)
            }
            (Role::Caster, Signal::Answer(_)) | (Role::Tv, Signal::Offer(_)) => return Err(Refusal::WrongRole),
        };
        let is_offer = matches!(signal, Signal::Offer(_));
        let waits = to.is_none() || !mailbox.passes(&signal);
        let put = mailbox.put(signal, bytes, waits.then_some(&self.ledger));
        if is_offer {
            room.answering_another = false;
            room.to_caster.open();
        }
        self.flush(code);
        put.map_err(|lost| match lost {
            Lost::TooMany => Refusal::TooManyWaiting,
            Lost::NoSpace => Refusal::NoSpace,
        })
    }

    /// The connection of the other side of a client's room.
    pub fn other_side(&self, connection: ClientId) -> Option<ClientId> {
        let &(code, role) = self.seats.get(&connection)?;
        let room = self.rooms.get(&code)?;
        match role {
            Role::Tv => room.caster.as_ref()?.seat.connection,
            Role::Caster => room.tv.connection,
        }
    }

    /// Delivers what waits in a room to the sides that are there.
    pub(super) fn flush(&mut self, code: Code) {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let caster = room.caster.as_ref().map(|caster| &caster.seat);
        for (seat, mailbox) in [(Some(&room.tv), &mut room.to_tv), (caster, &mut room.to_caster)] {
            let Some((dialect, to)) = seat.and_then(|seat| Some((seat.dialect, seat.connection?))) else { continue };
            self.outputs.extend(std::iter::from_fn(|| mailbox.take()).map(|signal| Output::Deliver { to, dialect, signal }));
        }
    }
}
