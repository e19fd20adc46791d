//! TVs: how one gets its code, and gets it again. PURE.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::capacity::EvictionClass;
use super::rooms::{Rooms, SeatTimer};
use super::signal_buffer::SignalBuffer;
use super::state::{Caster, Room, Seat, VerifiedOpen, rejoin_bucket};
use crate::cast::code::Code;
use crate::cast::model::{
    CapacityReached, CastEvent, Dialect, LeaveReason, Notice, OpenOutcome, OpenRequest, Output, Refusal, Seated,
};
use crate::cast::resume_token::{Issued, Role, Times};
use crate::socketio::gateway::client_id::ClientId;

/// What a TV's claim to the code that it wants is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TvClaim {
    /// The seat is the TV's own.
    OwnSeat(Code),
    /// The code is free, or its TV named it without any proof.
    Free(Code),
    /// Another TV has the code.
    Taken,
    /// The TV wants no code in particular.
    None,
}

/// The code of a new room, and by what right its TV gets it.
/// The seat that somebody asks for is its own already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnSeat;

struct GrantedCode {
    code: Code,
    token: String,
    times: Times,
    right: CodeRight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CodeRight {
    /// A resume token from before a restart, or from before the grace period ended: the code and the token stay the same.
    ResumeToken,
    /// The TV named a free code.
    Named,
    /// Nobody asked for this code.
    Random,
}

impl<P: Send + 'static> Rooms<P> {
    /// A TV asks for a code: it gets the one it had, if it can prove that, or a new one. It waits for its turn while more TVs arrive than get
    /// their codes without waiting, and while no place is free.
    ///
    /// # Errors
    /// `TooManyTvs` wait; `RateLimited` for a TV that keeps coming back; `WrongRole` for a client that is casting.
    pub fn handle_open(&mut self, open: OpenRequest<'_>, now: Instant) -> Result<OpenOutcome, Refusal> {
        let request = self.verify(open, now);
        let claim = self.evaluate_claim(&request);
        match self.seats.get(&open.client).copied() {
            Some((_, Role::Caster)) => return Err(Refusal::WrongRole),
            Some((code, Role::Tv)) => return self.reopen(code, open.client, request, claim, now),
            None => {}
        }
        if let TvClaim::OwnSeat(code) = claim {
            self.take_tv_rejoin(code, now)?;
            self.waiting_tvs.remove(open.client);
            return Ok(OpenOutcome::Seated(self.resume_tv(code, open.client, &request, now)));
        }
        let skips_the_queue = request.resume.is_some() && !open.asked_before;
        let waits_already = self.waiting_tvs.contains(open.client);
        if waits_already || !(skips_the_queue || self.waiting_tvs.admit_without_waiting(open.from, now)) {
            return self.queue(open.client, request, false, now);
        }
        self.admit_or_queue(open.client, request, now)
    }

    /// The code that a TV asks for, if it names one; `Err`: the seat is the TV's own, or it waits for one and names no other.
    pub fn asked_code(&self, open: OpenRequest<'_>, now: Instant) -> Result<Option<Code>, OwnSeat> {
        let request = self.verify(open, now);
        if let TvClaim::OwnSeat(_) = self.evaluate_claim(&request) {
            return Err(OwnSeat);
        }
        let wanted = request.wanted_code();
        let present = self.code_of(open.client);
        if self.is_tv(open.client) && (wanted.is_none() || wanted == present) {
            return Err(OwnSeat);
        }
        Ok(wanted)
    }

    /// A TV that has a code asks again. It may have got a new code and now ask for the one it had before (`TV_REGISTER`, then
    /// `TV_GETINFO`).
    fn reopen(
        &mut self,
        code: Code,
        client: ClientId,
        request: VerifiedOpen,
        claim: TvClaim,
        now: Instant,
    ) -> Result<OpenOutcome, Refusal> {
        self.take_tv_rejoin(code, now)?;
        let moves = matches!(claim, TvClaim::OwnSeat(other) | TvClaim::Free(other) if other != code);
        if !moves || self.rooms[&code].caster.is_some() {
            self.note_new_code_support(code, &request);
            self.rooms.get_mut(&code).expect("the caller looked it up").details = request.details;
            return Ok(OpenOutcome::Seated(self.seated_tv(code, true)));
        }
        let tv_rejoins = self.rooms[&code].tv_rejoins;
        self.close_room(code, LeaveReason::Left);
        if let TvClaim::OwnSeat(code) = claim {
            return Ok(OpenOutcome::Seated(self.resume_tv(code, client, &request, now)));
        }
        let outcome = self.admit_or_queue(client, request, now)?;
        if let OpenOutcome::Seated(seated) = &outcome {
            self.rooms.get_mut(&seated.code).expect("the TV was seated there").tv_rejoins = tv_rejoins;
        }
        Ok(outcome)
    }

    fn admit_or_queue(&mut self, client: ClientId, request: VerifiedOpen, now: Instant) -> Result<OpenOutcome, Refusal> {
        match self.seat_new_tv(client, &request, now) {
            Ok(seated) => Ok(OpenOutcome::Seated(seated)),
            Err(reason) => {
                let dialect = request.dialect;
                let outcome = self.queue(client, request, true, now)?;
                let notice = Notice::WaitingForPlace { reason };
                self.outputs.push_back(Output::Notify { to: client, dialect, notice });
                Ok(outcome)
            }
        }
    }

    /// Has a TV wait for its turn; `no_place`: it has been tried, and no place is free.
    pub(super) fn queue(
        &mut self,
        client: ClientId,
        request: VerifiedOpen,
        no_place: bool,
        now: Instant,
    ) -> Result<OpenOutcome, Refusal> {
        match self.waiting_tvs.push(client, request, no_place, now) {
            Some((dropped, _)) if dropped == client => Err(Refusal::TooManyTvs),
            Some((to, dialect)) => {
                self.outputs.push_back(Output::Seated { to, dialect, result: Err(Refusal::TooManyTvs) });
                Ok(OpenOutcome::Waiting)
            }
            None => Ok(OpenOutcome::Waiting),
        }
    }

    /// Seats the waiting TVs whose turn has come.
    pub(super) fn serve_waiting_tvs(&mut self, now: Instant) {
        while let Some((to, request)) = self.waiting_tvs.next(now) {
            let result = if let TvClaim::OwnSeat(code) = self.evaluate_claim(&request) {
                Ok(self.resume_tv(code, to, &request, now))
            } else {
                self.seat_new_tv(to, &request, now)
            };
            self.waiting_tvs.resolve(to, result.is_ok(), now);
            if let Ok(seated) = result {
                self.outputs.push_back(Output::Seated { to, dialect: request.dialect, result: Ok(seated) });
            }
        }
    }

    /// Gives a new room to a TV that has no seat to come back to.
    fn seat_new_tv(&mut self, client: ClientId, request: &VerifiedOpen, now: Instant) -> Result<Seated, CapacityReached> {
        if let TvClaim::Free(code) = self.evaluate_claim(request)
            && self.rooms.contains_key(&code)
        {
            self.replace_tv(code);
        }
        self.free_place(request, now)?;
        let granted = self.grant_code(request, now);
        let (code, times, right) = (granted.code, granted.times, granted.right);
        self.open_room(client, request, granted, now);
        if times == Times::LONG_AGO && request.understands_new_codes {
            self.renew_token(code, now);
        }
        self.note_new_code_support(code, request);
        let current = self.changed_if_due(code, now);
        Ok(self.seated_tv(current, right == CodeRight::ResumeToken && current == code))
    }

    fn grant_code(&mut self, request: &VerifiedOpen, now: Instant) -> GrantedCode {
        let free = match self.evaluate_claim(request) {
            TvClaim::Free(code) => Some(code),
            TvClaim::OwnSeat(_) | TvClaim::Taken | TvClaim::None => None,
        };
        let may_claim = self.guess_limits.may_claim(request, free.is_some(), now);
        let (code, right) = match (free.filter(|_| may_claim), &request.resume) {
            (Some(code), Some((issued, token))) => {
                return GrantedCode { code, token: token.clone(), times: issued.times, right: CodeRight::ResumeToken };
            }
            (Some(code), None) if request.dialect == Dialect::B => (code, CodeRight::Named),
            (Some(_) | None, _) => (self.unused_code(), CodeRight::Random),
        };
        let times = Times::new(self.clock.unix_seconds(now));
        GrantedCode { code, token: self.key.issue(Role::Tv, code, times, &mut self.rng), times, right }
    }

    fn open_room(&mut self, client: ClientId, request: &VerifiedOpen, granted: GrantedCode, now: Instant) {
        let GrantedCode { code, token, times, right } = granted;
        let established_at = now + self.time_until_established(times, now);
        let class = if established_at <= now { EvictionClass::Established } else { EvictionClass::New };
        let room = Room {
            tv: self.assign_seat(code, Role::Tv, client, request.dialect, now),
            tv_token: token,
            previous_tv_token: None,
            token_is_outdated: false,
            established_at,
            capacity_entry: self.capacity.add(code, request.from, class),
            number: self.numbers.add(code),
            opened: now,
            tv_rejoins: rejoin_bucket(),
            caster_rejoins: rejoin_bucket(),
            device: request.device.filter(|_| request.resume.is_none()),
            details: request.details.clone(),
            claimed_without_proof: right == CodeRight::Named,
            since: times.since,
            understands_new_codes: false,
            change_due: self.code_change_due_at_open(request, times, now),
            scheduled_change: None,
            next_request_at: None,
            caster: None,
            ended: None,
            answers_previous_caster: false,
            reloaded: false,
            to_tv: SignalBuffer::default(),
            to_caster: SignalBuffer::default(),
        };
        self.rooms.insert(code, room);
    }

    /// Parses the code of a request and verifies its token.
    pub(super) fn verify(&self, open: OpenRequest<'_>, now: Instant) -> VerifiedOpen {
        let resume = open.token.and_then(|token| Some((self.verified_token(token)?, token.to_owned())));
        let code = open.code.and_then(|code| Code::parse(code, self.config.alphabet));
        let wanted = resume.as_ref().map(|(issued, _)| issued.code).or(code);
        let retired = wanted.and_then(|code| self.retired_codes.reason(&code));
        // The token of a changed code is worth nothing: otherwise it could be shown again and again.
        let (resume, code) = if retired.is_some() { (None, None) } else { (resume, code) };
        let is_established = resume.as_ref().is_some_and(|(issued, _)| self.time_until_established(issued.times, now).is_zero());
        VerifiedOpen {
            dialect: open.dialect,
            from: open.from,
            code,
            is_established,
            resume,
            device: open.token.filter(|token| !token.is_empty()).map(|token| Sha256::digest(token).into()),
            shows_picture: open.shows_picture,
            casting: open.casting,
            understands_new_codes: open.understands_new_codes,
            details: open.details.cloned(),
            retired,
        }
    }

    fn evaluate_claim(&self, request: &VerifiedOpen) -> TvClaim {
        // The code may have been changed while the TV waited.
        let wanted = request.wanted_code().filter(|code| self.retired_codes.reason(code).is_none());
        let Some(code) = wanted else { return TvClaim::None };
        let Some(room) = self.rooms.get(&code) else { return TvClaim::Free(code) };
        match &request.resume {
            Some((_, token)) if room.knows_token(token) => TvClaim::OwnSeat(code),
            None if request.device.is_some() && room.device == request.device => TvClaim::OwnSeat(code),
            Some(_) if room.claimed_without_proof => TvClaim::Free(code),
            Some(_) | None => TvClaim::Taken,
        }
    }

    fn verified_token(&self, token: &str) -> Option<Issued> {
        self.key.verify(Role::Tv, token, self.config.alphabet)
    }

    fn take_tv_rejoin(&mut self, code: Code, now: Instant) -> Result<(), Refusal> {
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        room.tv_rejoins.take(now).map_err(|wait| Refusal::RateLimited { wait })
    }

    pub(super) fn seated_tv(&self, code: Code, resumed: bool) -> Seated {
        Seated { code, resume_token: self.rooms[&code].tv_token.clone(), resumed }
    }

    pub(super) fn unused_code(&mut self) -> Code {
        loop {
            let code = Code::random(self.config.alphabet, &mut self.rng);
            if !self.rooms.contains_key(&code) && self.retired_codes.reason(&code).is_none() {
                return code;
            }
        }
    }

    /// Gives a TV its own seat back.
    fn resume_tv(&mut self, code: Code, client: ClientId, request: &VerifiedOpen, now: Instant) -> Seated {
        let seat = self.assign_seat(code, Role::Tv, client, request.dialect, now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        room.understands_new_codes = request.understands_new_codes;
        room.details.clone_from(&request.details);
        room.previous_tv_token.take_if(|_| request.resume.as_ref().is_some_and(|(_, token)| *token == room.tv_token));
        let old = std::mem::replace(&mut room.tv, seat);
        let timer = SeatTimer::of(&room.tv, code, Role::Tv);
        self.release_seat(code, Role::Tv, &old);
        // Both seats may be due at the same instant, which is one entry in the set.
        self.timers.insert(timer);
        if let Some(to) = old.client {
            self.outputs.push_back(Output::Notify { to, dialect: old.dialect, notice: Notice::Replaced });
        }
        self.update_address(code, request.from, now);
        let room = self.rooms.get_mut(&code).expect("the caller looked it up");
        if !request.shows_picture {
            room.to_tv.expect_offer();
        }
        if room.caster.is_some() {
            self.cast_events.push_back(CastEvent::Returned { code, role: Role::Tv, client });
        }
        match &room.caster {
            Some(Caster { seat: Seat { client: Some(_), .. }, username, .. }) => {
                let joined = Notice::CasterJoined { username: username.clone(), resumed: true };
                self.notify_tv(code, joined);
                self.notify_caster(code, Notice::TvBack { reloaded: !request.shows_picture, details: request.details.clone() });
            }
            Some(_) => {
                room.reloaded |= !request.shows_picture;
                self.notify_tv(code, Notice::CasterAway);
            }
            None => {}
        }
        self.schedule_code_change(code);
        self.deliver_signals(code);
        let current = self.changed_if_due(code, now);
        self.seated_tv(current, current == code)
    }

    /// Ends a room whose TV only named its code, in favour of a TV that can prove the code.
    fn replace_tv(&mut self, code: Code) {
        let seat = &self.rooms[&code].tv;
        if let Some(to) = seat.client {
            self.outputs.push_back(Output::Notify { to, dialect: seat.dialect, notice: Notice::Replaced });
        }
        self.close_room(code, LeaveReason::Left);
    }
}
