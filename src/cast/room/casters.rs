//! Joins casters to TVs, and decides which caster has the seat. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::net::IpAddr;
use std::time::Instant;

use super::rooms::Rooms;
use super::signal_buffer::SignalBuffer;
use super::state::{Caster, EndedCast};
use crate::cast::code::Code;
use crate::cast::model::{CastEnd, CastEvent, JoinRequest, LeaveReason, Notice, Output, Refusal, Seated};
use crate::cast::resume_token::{Role, Times};
use crate::socketio::gateway::client_id::ClientId;

/// By what right a caster gets its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CasterClaim<'a> {
    /// A resume token shows that the seat is the caster's own, or the seat is free and the token is for this code.
    OwnSeat { token: &'a str },
    /// The caster knows the code.
    Code,
}

impl<P: Send + 'static> Rooms<P> {
    /// A caster asks to cast to the TV that shows a code.
    ///
    /// # Errors
    /// `UnknownCode` (counted per address, unless a resume token proves that the caster had the code from us), `TooManyAttempts`,
    /// `RateLimited` (with a proof; without one the gateway counts joins per address), `RoomFull`; `WrongRole` for a client that is a TV.
    pub fn handle_join(&mut self, join: JoinRequest<'_>, now: Instant) -> Result<Seated, Refusal> {
        if self.is_tv(join.client) {
            return Err(Refusal::WrongRole);
        }
        let proof = join.token.filter(|token| self.proves_code(token, join.code));
        let code = self.live_code(join.from, join.code, proof.is_some(), now)?;
        let room = self.rooms.get_mut(&code).expect("the code is live");
        if proof.is_some() {
            room.caster_rejoins.take(now).map_err(|wait| Refusal::RateLimited { wait })?;
        }
        let is_news = |ended: &mut EndedCast| proof == Some(ended.token.as_str()) && ended.told != Some(join.client);
        if let Some(EndedCast { by, .. }) = room.ended.take_if(is_news) {
            let (to, dialect) = (join.client, join.dialect);
            // The notice names no code: a client that casts to another TV would take it for the end of that cast.
            if !self.seats.contains_key(&to) {
                self.outputs.push_back(Output::Notify { to, dialect, notice: Notice::CastEnded { by } });
            }
            return Err(Refusal::CastEnded);
        }
        if room.caster.as_ref().is_some_and(|caster| caster.seat.client == Some(join.client)) {
            return Ok(self.rejoin(code, &join));
        }
        let claim = match proof {
            Some(token) if room.caster.as_ref().is_none_or(|caster| caster.token == token) => CasterClaim::OwnSeat { token },
            Some(_) | None => CasterClaim::Code,
        };
        if room.caster.is_some() && claim == CasterClaim::Code && !self.config.takeover {
            return Err(Refusal::RoomFull);
        }
        // The client gives up a seat in another room only now that this one is certain.
        if self.seats.get(&join.client).is_some_and(|(elsewhere, _)| *elsewhere != code) {
            self.remove_caster_of(join.client, LeaveReason::Left, now);
        }
        Ok(self.seat_caster(code, &join, claim, now))
    }

    /// The code of a join or a check, if a TV shows it; a wrong one is counted against the address, unless the caster has a proof.
    pub(super) fn live_code(&self, from: IpAddr, code: &str, has_proof: bool, now: Instant) -> Result<Code, Refusal> {
        if !has_proof && let Some(wait) = self.guess_limits.blocked_for(from, now) {
            return Err(Refusal::TooManyAttempts { wait });
        }
        let code = Code::parse(code, self.config.alphabet);
        code.filter(|code| self.rooms.contains_key(code)).ok_or_else(|| {
            if !has_proof {
                self.guess_limits.record_wrong_code(from, now);
            }
            Refusal::UnknownCode
        })
    }

    fn seat_caster(&mut self, code: Code, join: &JoinRequest<'_>, claim: CasterClaim<'_>, now: Instant) -> Seated {
        let continued = self.rooms[&code].caster.as_ref().filter(|_| claim != CasterClaim::Code).map(|caster| caster.began);
        self.replace_caster(code, join, claim);
        let (token, resumed) = match claim {
            CasterClaim::OwnSeat { token } => (token.to_owned(), true),
            CasterClaim::Code => {
                let times = Times::new(self.clock.unix_seconds(now));
                (self.key.issue(Role::Caster, code, times, &mut self.rng), false)
            }
        };
        let username = join.username.map(str::to_owned);
        let seat = self.assign_seat(code, Role::Caster, join.client, join.dialect, now);
        let room = self.rooms.get_mut(&code).expect("the code is live");
        room.caster = Some(Caster { seat, token: token.clone(), username: username.clone(), began: continued.unwrap_or(now) });
        room.ended = None;
        let reloaded = std::mem::take(&mut room.reloaded);
        let (tv, caster) = (room.tv.client, join.client);
        self.cast_events.push_back(match continued {
            Some(_) => CastEvent::Returned { code, role: Role::Caster, client: caster },
            None => CastEvent::Began { code, caster, tv },
        });
        let tv_is_away = tv.is_none();
        if !resumed {
            room.answers_previous_caster |= room.to_caster.is_open();
            room.to_tv = SignalBuffer::default();
            room.to_caster = SignalBuffer::default();
        }
        self.schedule_code_change(code);
        self.update_eviction_class(code, now);
        self.notify_tv(code, Notice::CasterJoined { username, resumed });
        if tv_is_away {
            self.notify_caster(code, Notice::TvAway);
        } else if resumed && reloaded {
            let details = self.rooms[&code].details.clone();
            self.notify_caster(code, Notice::TvBack { reloaded, details });
        }
        self.deliver_signals(code);
        Seated { code, resume_token: token, resumed }
    }

    /// The client that has the caster's seat joins once more: only its dialect and its name may change.
    fn rejoin(&mut self, code: Code, join: &JoinRequest<'_>) -> Seated {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let caster = room.caster.as_mut().expect("the caller looked it up");
        caster.seat.dialect = join.dialect;
        if join.username.is_some() {
            caster.username = join.username.map(str::to_owned);
        }
        Seated { code, resume_token: caster.token.clone(), resumed: true }
    }

    /// Whether the client has a TV's seat or waits for one.
    pub(super) fn is_tv(&self, client: ClientId) -> bool {
        matches!(self.seats.get(&client), Some((_, Role::Tv))) || self.waiting_tvs.contains(client)
    }

    /// Whether `token` is one of our resume tokens for casting to `code`.
    pub fn proves_code(&self, token: &str, code: &str) -> bool {
        let code = Code::parse(code, self.config.alphabet);
        code.is_some() && self.key.verify(Role::Caster, token, self.config.alphabet).map(|issued| issued.code) == code
    }

    /// The code of the room whose present caster shows its own resume token, or is this client.
    pub fn own_caster_seat(&self, client: ClientId, token: Option<&str>, code: &str) -> Option<Code> {
        let code = Code::parse(code, self.config.alphabet)?;
        let caster = self.rooms.get(&code)?.caster.as_ref()?;
        (caster.seat.client == Some(client) || token == Some(caster.token.as_str())).then_some(code)
    }

    /// Frees the caster's seat. The old connection of the same caster is told that it was replaced; another caster, and the TV, that it was
    /// taken over.
    fn replace_caster(&mut self, code: Code, join: &JoinRequest<'_>, claim: CasterClaim<'_>) {
        let by = join.client;
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let Some(old) = room.caster.take() else { return };
        self.release_seat(code, Role::Caster, &old.seat);
        let is_takeover = claim == CasterClaim::Code;
        if is_takeover {
            self.cast_events.push_back(CastEvent::Ended { code, reason: CastEnd::Caster(LeaveReason::TakenOver) });
        }
        if let Some(to) = old.seat.client.filter(|&to| to != by) {
            let notice = match is_takeover {
                true => Notice::TakenOver { by: join.username.map(str::to_owned) },
                false => Notice::Replaced,
            };
            self.outputs.push_back(Output::Notify { to, dialect: old.seat.dialect, notice });
        }
        if is_takeover && old.seat.client != Some(by) {
            self.notify_tv(code, Notice::CasterLeft { username: old.username, reason: LeaveReason::TakenOver });
        }
    }

    pub(super) fn remove_caster_of(&mut self, client: ClientId, reason: LeaveReason, now: Instant) {
        if let Some(&(code, Role::Caster)) = self.seats.get(&client) {
            self.remove_caster(code, reason, now);
        }
    }

    pub(super) fn remove_caster(&mut self, code: Code, reason: LeaveReason, now: Instant) {
        let room = self.rooms.get_mut(&code).expect("a caster is in a live room");
        let Some(caster) = room.caster.take() else { return };
        room.answers_previous_caster |= room.to_caster.is_open();
        room.reloaded = false;
        room.to_tv = SignalBuffer::default();
        room.to_caster = SignalBuffer::default();
        self.release_seat(code, Role::Caster, &caster.seat);
        self.cast_events.push_back(CastEvent::Ended { code, reason: CastEnd::Caster(reason) });
        self.update_eviction_class(code, now);
        self.notify_tv(code, Notice::CasterLeft { username: caster.username, reason });
        self.cast_ended(code, now);
    }
}
