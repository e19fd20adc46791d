//! TVs: how one gets its code, and gets it again. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use crate::socketio::client_id::ClientId;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::model::{Caster, Departure, Dialect, Full, Notice, Open, Opened, Output, Refusal, Room, Seat, Seated, Wish};
use super::places::{Choice, Standing};
use super::{MOVES, Rooms};
use crate::cast::code::{Code, Issued, Role, Times};
use crate::cast::mailbox::Mailbox;
use crate::limits::token_bucket::TokenBucket;

/// How old a token has to be to protect its TV from eviction: an attacker can have many, and has to wait.
const PROTECTION_AGE: Duration = Duration::from_secs(24 * 3600);

/// What a TV's claim to a code is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// The seat is its own.
    Own(Code),
    /// The code is free, or held by somebody who proved less.
    Free(Code),
    /// Somebody else has it.
    Taken,
    None,
}

impl<P: Send + 'static> Rooms<P> {
    /// A TV wants a code: the one it had, if it can prove that, or a new one. Where more come than get theirs at once, and where there
    /// is no place, it waits for its turn.
    ///
    /// # Errors
    /// `TooManyTvs` wait; `TooOften` for one that comes back again and again; `WrongRole` for a connection that is casting.
    pub fn handle_open(&mut self, open: Open<'_>, now: Instant) -> Result<Opened, Refusal> {
        let wish = self.read(open, now);
        let claim = self.judge(&wish);
        match self.seats.get(&open.connection).copied() {
            Some((_, Role::Caster)) => return Err(Refusal::WrongRole),
            Some((code, Role::Tv)) => return self.open_again(code, open.connection, wish, claim, now),
            None => {}
        }
        if let Claim::Own(code) = claim {
            self.take_tv_move(code, now)?;
            self.arrivals.remove(open.connection);
            return Ok(Opened::Seated(self.resume_tv(code, open.connection, &wish, now)));
        }
        let known = wish.resume.is_some() && !open.again;
        if self.arrivals.contains(open.connection) || !(known || self.arrivals.pass(open.from, now)) {
            return self.wait(open.connection, wish, false, now);
        }
        self.admit_or_wait(open.connection, wish, now)
    }

    /// A TV that has a code asks again. It may have come in with a new one and now ask for the one it had before (`TV_REGISTER`, then
    /// `TV_GETINFO`).
    fn open_again(
        &mut self,
        code: Code,
        connection: ClientId,
        wish: Wish,
        claim: Claim,
        now: Instant,
    ) -> Result<Opened, Refusal> {
        self.take_tv_move(code, now)?;
        let moves = matches!(claim, Claim::Own(other) | Claim::Free(other) if other != code);
        if !moves || self.rooms[&code].caster.is_some() {
            self.announces(code, &wish);
            return Ok(Opened::Seated(self.seated_tv(code, true)));
        }
        let tv_moves = self.rooms[&code].tv_moves;
        self.close(code, Departure::Left);
        if let Claim::Own(code) = claim {
            return Ok(Opened::Seated(self.resume_tv(code, connection, &wish, now)));
        }
        let opened = self.admit_or_wait(connection, wish, now)?;
        if let Opened::Seated(seated) = &opened {
            self.rooms.get_mut(&seated.code).expect("it was seated there").tv_moves = tv_moves;
        }
        Ok(opened)
    }

    fn admit_or_wait(&mut self, connection: ClientId, wish: Wish, now: Instant) -> Result<Opened, Refusal> {
        match self.admit(connection, &wish, now) {
            Ok(seated) => Ok(Opened::Seated(seated)),
            Err(why) => {
                let (to, dialect) = (connection, wish.dialect);
                let opened = self.wait(connection, wish, true, now)?;
                self.outputs.push_back(Output::Notify { to, dialect, notice: Notice::Waits { why } });
                Ok(opened)
            }
        }
    }

    /// A TV waits for its turn, or where there is no place for when there is one.
    fn wait(&mut self, connection: ClientId, wish: Wish, no_place: bool, now: Instant) -> Result<Opened, Refusal> {
        match self.arrivals.push(connection, wish, no_place, now) {
            Some((gone, _)) if gone == connection => Err(Refusal::TooManyTvs),
            Some((to, dialect)) => {
                self.outputs.push_back(Output::Seated { to, dialect, result: Err(Refusal::TooManyTvs) });
                Ok(Opened::Waits)
            }
            None => Ok(Opened::Waits),
        }
    }

    /// TVs that waited and whose turn has come.
    pub(super) fn serve_arrivals(&mut self, now: Instant) {
        while let Some((to, wish)) = self.arrivals.next(now) {
            let result = if let Claim::Own(code) = self.judge(&wish) {
                Ok(self.resume_tv(code, to, &wish, now))
            } else {
                self.admit(to, &wish, now)
            };
            self.arrivals.settle(to, result.is_ok(), now);
            if let Ok(seated) = result {
                self.outputs.push_back(Output::Seated { to, dialect: wish.dialect, result: Ok(seated) });
            }
        }
    }

    /// Seats a TV that has no seat to come back to.
    fn admit(&mut self, connection: ClientId, wish: &Wish, now: Instant) -> Result<Seated, Full> {
        if let Claim::Free(code) = self.judge(wish)
            && self.rooms.contains_key(&code)
        {
            self.replace_tv(code);
        }
        self.make_way(wish, now)?;
        let free = match self.judge(wish) {
            Claim::Free(code) => Some(code),
            Claim::Own(_) | Claim::Taken | Claim::None => None,
        };
        let may_claim = self.may_claim(wish, free.is_some(), now);
        let free = free.filter(|_| may_claim);
        let times = Times::new(self.clock.unix_seconds(now));
        let (code, tv_token, times, resumed) = match (free, &wish.resume) {
            // Ours from before a restart, or from before the grace ended: the code and the token stay what they were.
            (Some(code), Some((issued, token))) => (code, token.clone(), issued.times, true),
            (Some(code), None) if wish.dialect == Dialect::B => {
                (code, self.key.issue(Role::Tv, code, times, &mut self.rng), times, false)
            }
            _ => {
                let code = self.unused_code();
                (code, self.key.issue(Role::Tv, code, times, &mut self.rng), times, false)
            }
        };
        let claimed = wish.resume.is_none() && free == Some(code);
        let old_from = now + self.left_until_old(times, now);
        let change_due = self.due_at_open(wish, times, now);
        let standing = if old_from <= now { Standing::Old } else { Standing::Young };
        let room = Room {
            tv: self.seat(code, Role::Tv, connection, wish.dialect, now),
            tv_token,
            shown_token: None,
            old_from,
            entry: self.places.enter(code, wish.from, standing),
            tv_moves: TokenBucket::new(MOVES.0, MOVES.1),
            caster_moves: TokenBucket::new(MOVES.0, MOVES.1),
            device: wish.device.filter(|_| wish.resume.is_none()),
            claimed,
            since: times.since,
            announces: false,
            change_due,
            armed: None,
            may_ask: None,
            caster: None,
            answering_another: false,
            reloaded: false,
            to_tv: Mailbox::default(),
            to_caster: Mailbox::default(),
        };
        self.rooms.insert(code, room);
        if times == Times::LONG_AGO && wish.announces {
            self.renew_token(code, now);
        }
        self.announces(code, wish);
        let current = self.changed_if_due(code, now);
        Ok(self.seated_tv(current, resumed && current == code))
    }

    /// Has other TVs go until there is a place for one more.
    fn make_way(&mut self, wish: &Wish, now: Instant) -> Result<(), Full> {
        loop {
            let code = match self.places.choose(wish.from, wish.is_old) {
                Choice::Free => return Ok(()),
                Choice::Wait(full) => return Err(full),
                Choice::Evict(code) => code,
            };
            let entry = &self.rooms[&code].entry;
            // Its token has grown old since somebody looked.
            if entry.standing == Standing::Young && self.standing(code, now) == Standing::Old {
                self.rank(code, now);
            } else {
                self.evict(code, now);
            }
        }
    }

    /// Ends a room in favour of another TV's. Its own waits for a place again.
    fn evict(&mut self, code: Code, now: Instant) {
        let room = &self.rooms[&code];
        let (seat, from, token, announces) = (&room.tv, room.entry.from, room.tv_token.clone(), room.announces);
        let (connection, dialect) = (seat.connection, seat.dialect);
        self.evicted += 1;
        self.close(code, Departure::Evicted);
        let Some(to) = connection else { return };
        self.outputs.push_back(Output::Notify { to, dialect, notice: Notice::Evicted });
        let (code, token) = (None, Some(token.as_str()));
        let open = Open { connection: to, dialect, from, code, token, live: false, casting: false, announces, again: true };
        let wish = self.read(open, now);
        if let Err(refusal) = self.wait(to, wish, true, now) {
            self.outputs.push_back(Output::Seated { to, dialect, result: Err(refusal) });
        }
    }

    fn read(&self, open: Open<'_>, now: Instant) -> Wish {
        let resume = open.token.and_then(|token| Some((self.verified(token)?, token.to_owned())));
        let code = open.code.and_then(|code| Code::parse(code, self.config.alphabet));
        let claim = resume.as_ref().map(|(issued, _)| issued.code).or(code);
        let retired = claim.and_then(|code| self.retired.reason(&code));
        // Whoever has the token of a changed code is no better than a stranger: it could be shown as often as one likes.
        let (resume, code) = if retired.is_some() { (None, None) } else { (resume, code) };
        Wish {
            dialect: open.dialect,
            from: open.from,
            code,
            is_old: resume.as_ref().is_some_and(|(issued, _)| self.left_until_old(issued.times, now).is_zero()),
            resume,
            device: open.token.filter(|token| !token.is_empty()).map(|token| Sha256::digest(token).into()),
            live: open.live,
            casting: open.casting,
            announces: open.announces,
            retired,
        }
    }

    fn judge(&self, wish: &Wish) -> Claim {
        // It may have changed while the wish waited.
        let Some(code) = wish.claim().filter(|code| self.retired.reason(code).is_none()) else { return Claim::None };
        let Some(room) = self.rooms.get(&code) else { return Claim::Free(code) };
        match &wish.resume {
            Some((_, token)) if room.knows_token(token) => Claim::Own(code),
            None if wish.device.is_some() && room.device == wish.device => Claim::Own(code),
            Some(_) if room.claimed => Claim::Free(code),
            Some(_) | None => Claim::Taken,
        }
    }

    fn verified(&self, token: &str) -> Option<Issued> {
        self.key.verify(Role::Tv, token, self.config.alphabet)
    }

    /// How long a token does not protect its TV yet. One that was made in the future is new: the clock was wrong then.
    fn left_until_old(&self, times: Times, now: Instant) -> Duration {
        let age = Duration::from_secs(self.clock.unix_seconds(now).saturating_sub(times.since));
        PROTECTION_AGE.saturating_sub(age)
    }

    /// What protects a TV from eviction now.
    fn standing(&self, code: Code, now: Instant) -> Standing {
        let room = &self.rooms[&code];
        if room.tv.connection.is_none() && room.caster.is_none() {
            Standing::Away
        } else if room.old_from <= now {
            Standing::Old
        } else {
            Standing::Young
        }
    }

    /// A TV or a caster came or went, so the TV may stand elsewhere in the order of eviction.
    pub(super) fn rank(&mut self, code: Code, now: Instant) {
        let standing = self.standing(code, now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        room.entry = self.places.change(&room.entry, room.entry.from, standing, room.caster.is_some());
    }

    fn take_tv_move(&mut self, code: Code, now: Instant) -> Result<(), Refusal> {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        room.tv_moves.take(now).map_err(|wait| Refusal::TooOften { wait })
    }

    pub(super) fn seated_tv(&self, code: Code, resumed: bool) -> Seated {
        Seated { code, resume_token: self.rooms[&code].tv_token.clone(), resumed }
    }

    pub(super) fn unused_code(&mut self) -> Code {
        loop {
            let code = Code::random(self.config.alphabet, &mut self.rng);
            if !self.rooms.contains_key(&code) && self.retired.reason(&code).is_none() {
                return code;
            }
        }
    }

    fn resume_tv(&mut self, code: Code, connection: ClientId, wish: &Wish, now: Instant) -> Seated {
        let seat = self.seat(code, Role::Tv, connection, wish.dialect, now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        room.announces = wish.announces;
        room.shown_token.take_if(|_| wish.resume.as_ref().is_some_and(|(_, token)| *token == room.tv_token));
        let old = std::mem::replace(&mut room.tv, seat);
        let kept = room.tv.due;
        self.vacate(code, Role::Tv, &old);
        // Both seats may be due at the same instant, which is one entry in the set.
        self.timers.insert((kept, code, true));
        if let Some(to) = old.connection {
            self.outputs.push_back(Output::Notify { to, dialect: old.dialect, notice: Notice::Replaced });
        }
        let standing = self.standing(code, now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        room.entry = self.places.change(&room.entry, wish.from, standing, room.caster.is_some());
        if !wish.live {
            room.to_tv.expect_offer();
        }
        match &room.caster {
            Some(Caster { seat: Seat { connection: Some(_), .. }, username, .. }) => {
                let joined = Notice::CasterJoined { username: username.clone(), resumed: true };
                self.notify_tv(code, joined);
                self.notify_caster(code, Notice::TvBack { reloaded: !wish.live });
            }
            Some(_) => {
                room.reloaded |= !wish.live;
                self.notify_tv(code, Notice::CasterAway);
            }
            None => {}
        }
        self.arm_change(code);
        self.flush(code);
        let current = self.changed_if_due(code, now);
        self.seated_tv(current, current == code)
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
