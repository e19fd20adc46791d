//! TVs: how one gets its code, and gets it again. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::Rooms;
use super::model::{Caster, Departure, Dialect, Notice, Open, Output, Refusal, Room, Seat, Seated};
use crate::cast::code::{Code, Role, Times};
use crate::cast::mailbox::Mailbox;

impl<P> Rooms<P> {
    /// A TV wants a code: the one it had, if it can prove that, or a new one.
    ///
    /// # Errors
    /// `ServerFull`; `WrongRole` for a connection that is casting.
    pub fn handle_open(&mut self, open: Open<'_>, now: Instant) -> Result<Seated, Refusal> {
        let device = open.token.filter(|token| !token.is_empty()).map(|token| Sha256::digest(token).into());
        let wanted = open.code.and_then(|code| Code::parse(code, self.config.alphabet));
        let issued = open.token.and_then(|token| Some((self.key.verify(Role::Tv, token, self.config.alphabet)?, token)));
        let claim = issued.map(|(issued, _)| issued.code).or(wanted);
        let live = claim.and_then(|code| self.rooms.get(&code));
        let proved = live.is_some_and(|room| match issued {
            Some((_, token)) => room.tv_token == token,
            None => device.is_some() && room.device == device,
        });
        let free = live.is_none() || (issued.is_some() && live.is_some_and(|room| room.claimed));
        match self.seats.get(&open.connection).copied() {
            Some((_, Role::Caster)) => return Err(Refusal::WrongRole),
            Some((code, Role::Tv)) => {
                // It came in with a new code and now asks for the one it had before (TV_REGISTER, then TV_GETINFO).
                let moves = claim.is_some_and(|claim| claim != code) && (proved || free);
                if !moves || self.rooms[&code].caster.is_some() {
                    return Ok(self.seated_tv(code, true));
                }
                self.close(code, Departure::Left);
            }
            None => {}
        }
        if let Some(code) = claim {
            if proved {
                self.resume_tv(code, open, now);
                return Ok(self.seated_tv(code, true));
            }
            if free {
                if self.rooms.contains_key(&code) {
                    self.replace_tv(code);
                }
            } else if issued.is_none() {
                // Otherwise this would tell which codes are live, as often as one likes.
                if let Some(wait) = self.guesses.blocked_for(open.from, self.config.guesses, now) {
                    return Err(Refusal::TooManyAttempts { wait });
                }
                self.guesses.record(open.from, now);
            }
        }
        if self.rooms.len() >= self.config.max_rooms {
            return Err(Refusal::ServerFull);
        }
        let times = Times::new(self.clock.unix_seconds(now));
        let (code, tv_token, resumed) = match (claim.filter(|_| free), issued) {
            // Ours from before a restart, or from before the grace ended: the code and the token stay what they were.
            (Some(code), Some((_, token))) => (code, token.to_owned(), true),
            (Some(code), None) if open.dialect == Dialect::B => {
                (code, self.key.issue(Role::Tv, code, times, &mut self.rng), false)
            }
            _ => {
                let code = self.unused_code();
                (code, self.key.issue(Role::Tv, code, times, &mut self.rng), false)
            }
        };
        let claimed = issued.is_none() && claim == Some(code);
        let tv = self.seat(code, Role::Tv, open.connection, open.dialect, now);
        let room = Room {
            tv,
            tv_token,
            device: device.filter(|_| issued.is_none()),
            claimed,
            caster: None,
            answering_another: false,
            reloaded: false,
            to_tv: Mailbox::default(),
            to_caster: Mailbox::default(),
        };
        self.rooms.insert(code, room);
        Ok(self.seated_tv(code, resumed))
    }

    /// Whether `token` is a TV's resume token of ours: its bearer is no stranger.
    pub fn knows_tv(&self, token: &str) -> bool {
        self.key.verify(Role::Tv, token, self.config.alphabet).is_some()
    }

    fn seated_tv(&self, code: Code, resumed: bool) -> Seated {
        Seated { code, resume_token: self.rooms[&code].tv_token.clone(), resumed }
    }

    fn unused_code(&mut self) -> Code {
        loop {
            let code = Code::random(self.config.alphabet, &mut self.rng);
            if !self.rooms.contains_key(&code) {
                return code;
            }
        }
    }

    fn resume_tv(&mut self, code: Code, open: Open<'_>, now: Instant) {
        let seat = self.seat(code, Role::Tv, open.connection, open.dialect, now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        let old = std::mem::replace(&mut room.tv, seat);
        let kept = room.tv.due;
        self.vacate(code, Role::Tv, &old);
        // Both seats may be due at the same instant, which is one entry in the set.
        self.timers.insert((kept, code, true));
        if let Some(to) = old.connection {
            self.outputs.push_back(Output::Notify { to, dialect: old.dialect, notice: Notice::Replaced });
        }
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        if !open.live {
            room.to_tv.expect_offer();
        }
        match &room.caster {
            Some(Caster { seat: Seat { connection: Some(_), .. }, username, .. }) => {
                let joined = Notice::CasterJoined { username: username.clone(), resumed: true };
                self.notify_tv(code, joined);
                self.notify_caster(code, Notice::TvBack { reloaded: !open.live });
            }
            Some(_) => {
                room.reloaded |= !open.live;
                self.notify_tv(code, Notice::CasterAway);
            }
            None => {}
        }
        self.flush(code);
    }

    /// Ends a room whose TV only named its code, in favour of one that can prove it.
    fn replace_tv(&mut self, code: Code) {
        let seat = &self.rooms[&code].tv;
        if let Some(to) = seat.connection {
            self.outputs.push_back(Output::Notify { to, dialect: seat.dialect, notice: Notice::Replaced });
        }
        self.close(code, Departure::Left);
    }
}
