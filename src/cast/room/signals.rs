//! Delivers signals from one side of a room to the other. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use super::rooms::Rooms;
use super::signal_buffer::NotBuffered;
use crate::cast::code::Code;
use crate::cast::model::{Output, Refusal, Signal};
use crate::cast::resume_token::Role;
use crate::socketio::gateway::client_id::ClientId;

impl<P: Send + 'static> Rooms<P> {
    /// A client sends the other side of its room a signal of so many bytes.
    ///
    /// # Errors
    /// `NotInRoom`; `NoCaster`; `WrongRole` for a TV's offer or a caster's answer; `TooManyWaiting`; `NoSpace`.
    pub fn handle_signal(&mut self, from: ClientId, signal: Signal<P>, bytes: usize) -> Result<(), Refusal> {
        let &(code, role) = self.seats.get(&from).ok_or(Refusal::NotInRoom)?;
        let room = self.rooms.get_mut(&code).expect("a seat is in a live room");
        let (buffer, to) = match (role, &signal) {
            (Role::Caster, Signal::Offer(_) | Signal::Candidate(_)) => (&mut room.to_tv, &room.tv),
            (Role::Tv, Signal::Answer(_) | Signal::Candidate(_)) => {
                let caster = room.caster.as_ref().ok_or(Refusal::NoCaster)?;
                if room.answers_previous_caster {
                    return Ok(());
                }
                (&mut room.to_caster, &caster.seat)
            }
            (Role::Caster, Signal::Answer(_)) | (Role::Tv, Signal::Offer(_)) => return Err(Refusal::WrongRole),
        };
        if let Some(client) = to.client.filter(|_| buffer.may_skip(&signal, bytes)) {
            self.outputs.push_back(Output::Deliver { to: client, dialect: to.dialect, signal });
            return Ok(());
        }
        let is_offer = matches!(signal, Signal::Offer(_));
        let waits = to.client.is_none() || !buffer.passes(&signal);
        let pushed = buffer.push(signal, bytes, waits.then_some(&self.ledger));
        if is_offer {
            room.answers_previous_caster = false;
            room.to_caster.open();
        }
        self.deliver_signals(code);
        pushed.map_err(|lost| match lost {
            NotBuffered::TooMany => Refusal::TooManyWaiting,
            NotBuffered::NoSpace => Refusal::NoSpace,
        })
    }

    /// Delivers what waits in a room to the sides that are connected.
    pub(super) fn deliver_signals(&mut self, code: Code) {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let caster = room.caster.as_ref().map(|caster| &caster.seat);
        for (seat, buffer) in [(Some(&room.tv), &mut room.to_tv), (caster, &mut room.to_caster)] {
            let Some((dialect, to)) = seat.and_then(|seat| Some((seat.dialect, seat.client?))) else { continue };
            self.outputs.extend(std::iter::from_fn(|| buffer.pop()).map(|signal| Output::Deliver { to, dialect, signal }));
        }
    }
}
