//! Transcripts of the cast rooms: inputs from clients over time, and the messages that each client is sent. The tests control the
//! clock.
//!
//! **A tour of the kit.** [`World`] has the rooms and the time. `open`, `join`, `send`, `drop` and `wait` are inputs; `sent`
//! returns the outputs since its last call, one on each line: `1 ! Notice`, `1 < Signal` for a delivery, `1 = new` for a TV that
//! waited. Clients are numbers: [`TV`], [`CASTER`], [`SECOND`]. `cast` makes a room with both sides; `restart` keeps the key and
//! loses the rooms; `agree` checks after each step that the tables agree. `full_server_tests` fill the server, `new_code_tests`
//! change codes.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::cast::code::{CodeAlphabet, NewCodePolicy};
use crate::cast::model::{JoinRequest, ListedTv, NewCodeReason, OpenOutcome, OpenRequest, Seated, Signal, TvDetails};
use crate::cast::resume_token::Times;
use crate::cast::room::guess_limits;
use crate::limits::waiting_bytes::MAX_TOTAL_BYTES;

#[path = "full_server_tests.rs"]
mod full_server;

const TV: ClientId = ClientId::new(1);
const CASTER: ClientId = ClientId::new(2);
const SECOND: ClientId = ClientId::new(3);
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 5));
const GRACE: Duration = Duration::from_secs(60);
const REFRESH: Duration = Duration::from_secs(600);

#[path = "cast_event_tests.rs"]
mod cast_events;
#[path = "check_tests.rs"]
mod checks;
#[path = "ending_tests.rs"]
mod ending;
#[path = "new_code_tests.rs"]
mod new_code;
#[path = "operator_tests.rs"]
mod operator;

/// The time `seconds` after the start of the transcripts.
fn wall(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

struct World {
    rooms: Rooms<&'static str>,
    now: Instant,
}

/// The request of a TV without a code and a token, in dialect A.
fn new_tv(client: impl Into<ClientId>, from: IpAddr) -> OpenRequest<'static> {
    OpenRequest {
        client: client.into(),
        dialect: Dialect::A,
        from,
        code: None,
        token: None,
        shows_picture: false,
        asked_before: false,
        casting: false,
        understands_new_codes: false,
        details: None,
    }
}

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl Fn(&mut RoomsConfig)) -> Self {
        let mut config = RoomsConfig {
            alphabet: CodeAlphabet::Letters,
            grace: GRACE,
            takeover: true,
            max_rooms: 3,
            max_wrong_codes_per_minute: 10,
            credentials_refresh_interval: REFRESH,
            new_code: NewCodePolicy::AfterIdle,
        };
        change(&mut config);
        let now = Instant::now();
        Self { rooms: Rooms::new(config, TokenKey::new([7; 32]), [9; 32], WallClock::new(now, wall(0))), now }
    }

    /// The same server after a restart: the key is the same, the rooms are gone.
    fn restart(&mut self) {
        let config = self.rooms.config;
        self.rooms = Rooms::new(config, TokenKey::new([7; 32]), [10; 32], self.rooms.clock);
    }

    fn open(&mut self, client: impl Into<ClientId>, token: Option<&str>) -> Seated {
        self.try_open(OpenRequest { token, ..new_tv(client, HOME) }).expect("a seat")
    }

    /// Opens a seat for a TV that does not have to wait.
    fn try_open(&mut self, open: OpenRequest<'_>) -> Result<Seated, Refusal> {
        self.ask(open).map(|opened| match opened {
            OpenOutcome::Seated(seated) => seated,
            OpenOutcome::Waiting => panic!("{} waits", open.client),
        })
    }

    fn waits(&mut self, open: OpenRequest<'_>) {
        assert_eq!(self.ask(open), Ok(OpenOutcome::Waiting));
    }

    /// How many TVs are waiting, and how many have been evicted so far.
    fn waiting_and_evicted(&self) -> (usize, u64) {
        (self.rooms.waiting(), self.rooms.evicted())
    }

    fn ask(&mut self, open: OpenRequest<'_>) -> Result<OpenOutcome, Refusal> {
        self.rooms.handle_open(open, self.now)
    }

    fn join(&mut self, client: impl Into<ClientId>, code: &str) -> Result<Seated, Refusal> {
        self.join_with(client, code, None)
    }

    fn join_with(&mut self, client: impl Into<ClientId>, code: &str, token: Option<&str>) -> Result<Seated, Refusal> {
        let client = client.into();
        let join = JoinRequest { client, dialect: Dialect::A, from: HOME, code, token, username: None };
        self.rooms.handle_join(join, self.now)
    }

    fn send(&mut self, from: impl Into<ClientId>, signal: Signal<&'static str>) {
        self.rooms.handle_signal(from.into(), signal, 100).expect("taken");
    }

    fn drop(&mut self, client: impl Into<ClientId>) {
        self.rooms.handle_drop(client.into(), self.now);
    }

    /// Lets time pass, and handles every timeout when it is due.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.rooms.next_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.rooms.handle_timeout(self.now);
        }
        self.now = end;
        self.agree();
    }

    /// The outputs since the last call, one on each line.
    fn sent(&mut self) -> Vec<String> {
        self.agree();
        std::iter::from_fn(|| self.rooms.poll_output())
            .map(|output| match output {
                Output::Seated { to, result: Ok(seated), .. } => {
                    format!("{to} = {}", if seated.resumed { "resumed" } else { "new" })
                }
                Output::Seated { to, result: Err(refusal), .. } => format!("{to} = {refusal:?}"),
                Output::Deliver { to, signal, .. } => format!("{to} < {signal:?}"),
                Output::CastState { to, state } => format!("{to} < CastState({state:?})"),
                Output::Notify { to, notice, .. } => format!("{to} ! {notice:?}"),
            })
            .collect()
    }

    /// A TV and a caster in one room, with all outputs drained.
    fn cast(&mut self) -> (Seated, Seated) {
        let tv = self.open(TV, None);
        let caster = self.join(CASTER, tv.code.as_str()).expect("the code is live");
        self.send(CASTER, Signal::Offer("offer"));
        self.send(TV, Signal::Answer("answer"));
        self.sent();
        (tv, caster)
    }

    /// Asserts that the tables agree.
    fn agree(&self) {
        let mut seats = 0;
        for (code, room) in &self.rooms.rooms {
            for (seat, is_tv) in [(&room.tv, true)].into_iter().chain(room.caster.as_ref().map(|caster| (&caster.seat, false))) {
                seats += 1;
                assert!(self.rooms.timers.contains(&SeatTimer { due: seat.due, code: *code, is_tv }), "a seat without its timer");
                if let Some(client) = seat.client {
                    let role = if is_tv { Role::Tv } else { Role::Caster };
                    assert_eq!(self.rooms.seats.get(&client), Some(&(*code, role)));
                }
            }
        }
        let scheduled: BTreeSet<_> =
            self.rooms.rooms.iter().filter_map(|(code, room)| Some((room.scheduled_change?, *code))).collect();
        assert_eq!(self.rooms.code_changes, scheduled);
        assert_eq!(self.rooms.timers.len(), seats, "a timer without its seat");
        assert_eq!(self.rooms.capacity.len(), self.rooms.rooms.len(), "each room has its place");
        assert_eq!(self.rooms.numbers.len(), self.rooms.rooms.len(), "a number without its room");
        assert!(self.rooms.rooms.iter().all(|(code, room)| self.rooms.numbers.name(room.number) == Some(code)));
        assert!(self.rooms.waiting_tvs.agree());
        assert!(self.rooms.seats.len() <= seats);
    }
}

#[test]
fn a_cast_from_code_to_candidates() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    assert!(!tv.resumed);
    let spoken = format!(" {}-{} ", &tv.code.as_str()[..3].to_lowercase(), &tv.code.as_str()[3..]);
    world.join(CASTER, &spoken).expect("spaces, dashes and case do not matter");
    world.send(CASTER, Signal::Offer("offer"));
    world.send(CASTER, Signal::Candidate("c1"));
    world.send(TV, Signal::Answer("answer"));
    world.send(TV, Signal::Candidate("t1"));
    assert_eq!(
        world.sent(),
        [
            "1 ! CasterJoined { username: None, resumed: false }",
            "1 < Offer(\"offer\")",
            "1 < Candidate(\"c1\")",
            "2 < Answer(\"answer\")",
            "2 < Candidate(\"t1\")",
        ]
    );
}

#[test]
fn early_candidates_wait_for_the_offer_and_keep_their_order() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    world.join(CASTER, tv.code.as_str()).expect("live");
    world.send(CASTER, Signal::Candidate("c1"));
    world.send(CASTER, Signal::Candidate("c2"));
    world.send(TV, Signal::Candidate("t1"));
    assert_eq!(world.sent().len(), 1, "nothing but CasterJoined");
    world.send(CASTER, Signal::Offer("offer"));
    let all = ["1 < Offer(\"offer\")", "1 < Candidate(\"c1\")", "1 < Candidate(\"c2\")", "2 < Candidate(\"t1\")"];
    assert_eq!(world.sent(), all);
    world.send(TV, Signal::Answer("answer"));
    assert_eq!(world.sent(), ["2 < Answer(\"answer\")"]);
}

#[test]
fn signals_wait_for_a_side_that_is_away() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    let caster = world.join(CASTER, tv.code.as_str()).expect("live");
    world.drop(TV);
    world.send(CASTER, Signal::Offer("offer"));
    world.send(CASTER, Signal::Candidate("c1"));
    assert_eq!(world.sent(), ["1 ! CasterJoined { username: None, resumed: false }", "2 ! TvAway"]);
    world.open(11, Some(&tv.resume_token));
    let all = [
        "11 ! CasterJoined { username: None, resumed: true }",
        "2 ! TvBack { reloaded: true, details: None }",
        "11 < Offer(\"offer\")",
        "11 < Candidate(\"c1\")",
    ];
    assert_eq!(world.sent(), all);
    world.drop(CASTER);
    world.send(11, Signal::Answer("answer"));
    assert_eq!(world.sent(), ["11 ! CasterAway"]);
    world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)).expect("its own seat");
    assert_eq!(world.sent(), ["11 ! CasterJoined { username: None, resumed: true }", "12 < Answer(\"answer\")"]);
}

#[test]
fn a_second_caster_takes_over_and_the_first_is_told() {
    let mut world = World::new();
    let (tv, first) = world.cast();
    world.send(TV, Signal::Candidate("for the first"));
    world.sent();
    let second = world.join(SECOND, tv.code.as_str()).expect("take-over is on");
    assert_ne!(first.resume_token, second.resume_token);
    assert_eq!(
        world.sent(),
        [
            "2 ! TakenOver { by: None }",
            "1 ! CasterLeft { username: None, reason: TakenOver }",
            "1 ! CasterJoined { username: None, resumed: false }",
        ]
    );
    assert_eq!(world.rooms.handle_signal(CASTER, Signal::Candidate("late"), 1), Err(Refusal::NotInRoom));
    world.send(TV, Signal::Answer("late, to the first"));
    world.send(TV, Signal::Candidate("late, to the first"));
    assert!(world.sent().is_empty(), "it is not for the second");
    world.send(SECOND, Signal::Offer("second"));
    world.send(TV, Signal::Answer("to the second"));
    assert_eq!(world.sent(), ["1 < Offer(\"second\")", "3 < Answer(\"to the second\")"], "the first hears nothing of it");
}

#[test]
fn without_take_over_the_room_is_full_until_the_caster_is_gone() {
    let mut world = World::with(|config| config.takeover = false);
    let (tv, first) = world.cast();
    assert_eq!(world.join(SECOND, tv.code.as_str()), Err(Refusal::RoomFull));
    assert!(world.join_with(12, tv.code.as_str(), Some(&first.resume_token)).expect("its own seat").resumed);
    assert_eq!(world.join(SECOND, tv.code.as_str()), Err(Refusal::RoomFull));
    world.rooms.handle_leave(ClientId::new(12), world.now).expect("has a seat");
    assert!(world.join(SECOND, tv.code.as_str()).is_ok());
}

#[test]
fn a_refused_join_gives_nothing_up() {
    let mut world = World::with(|config| config.takeover = false);
    let (tv, _) = world.cast();
    let other = world.open(10, None);
    world.join(SECOND, other.code.as_str()).expect("live");
    assert_eq!(world.join(SECOND, tv.code.as_str()), Err(Refusal::RoomFull));
    assert_eq!(world.join(SECOND, "AAAAAA"), Err(Refusal::UnknownCode));
    world.sent();
    world.send(SECOND, Signal::Offer("still there"));
    assert_eq!(world.sent(), ["10 < Offer(\"still there\")"]);
}

#[test]
fn a_tv_resumes_by_its_token_and_nobody_takes_its_code() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    world.drop(TV);
    let thief = OpenRequest { code: Some(tv.code.as_str()), ..new_tv(ClientId::new(10), HOME) };
    assert_ne!(world.try_open(thief).expect("a seat").code, tv.code, "the code alone is not enough");
    let thief = OpenRequest { client: ClientId::new(20), dialect: Dialect::B, from: HOME, token: Some("guess"), ..thief };
    assert_ne!(world.try_open(thief).expect("a seat").code, tv.code, "nor with some token");
    let thief = OpenRequest { client: ClientId::new(20), token: Some(&caster.resume_token), ..thief };
    assert_ne!(world.try_open(thief).expect("a seat").code, tv.code, "nor with the caster's");
    world.wait(GRACE - Duration::from_secs(1));
    let back = world.open(11, Some(&tv.resume_token));
    assert_eq!((back.code, back.resumed, back.resume_token), (tv.code, true, tv.resume_token));
    assert_eq!(
        world.sent(),
        ["2 ! TvAway", "11 ! CasterJoined { username: None, resumed: true }", "2 ! TvBack { reloaded: true, details: None }"]
    );
    world.wait(GRACE * 2);
    world.send(CASTER, Signal::Offer("again"));
    assert_eq!(world.sent(), ["11 < Offer(\"again\")"]);
}

#[test]
fn a_resume_replaces_a_connection_that_still_seems_alive() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    let open = OpenRequest { token: Some(&tv.resume_token), shows_picture: true, ..new_tv(ClientId::new(11), HOME) };
    world.try_open(open).expect("its own seat");
    assert_eq!(
        world.sent(),
        ["1 ! Replaced", "11 ! CasterJoined { username: None, resumed: true }", "2 ! TvBack { reloaded: false, details: None }"]
    );
    world.drop(TV);
    assert!(world.sent().is_empty(), "the old connection has no seat any more");
    world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)).expect("its own seat");
    assert_eq!(world.sent(), ["2 ! Replaced", "11 ! CasterJoined { username: None, resumed: true }"]);
}

#[test]
fn the_grace_of_a_tv_ends_its_room() {
    let mut world = World::new();
    let (tv, _) = world.cast();
    world.drop(TV);
    world.wait(GRACE);
    assert_eq!(world.sent(), ["2 ! TvAway", "2 ! TvLeft { reason: Lost }"]);
    assert!(world.rooms.is_empty());
    assert_eq!(world.join(CASTER, tv.code.as_str()), Err(Refusal::UnknownCode));
    let back = world.open(11, Some(&tv.resume_token));
    assert_eq!((back.code, back.resumed), (tv.code, true), "a free code goes back to its TV");
}

#[test]
fn the_grace_of_a_caster_frees_the_tv() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    world.drop(CASTER);
    world.wait(GRACE);
    assert_eq!(world.sent(), ["1 ! CasterAway", "1 ! CasterLeft { username: None, reason: Lost }"]);
    let back = world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)).expect("live");
    assert!(back.resumed, "nobody took the seat meanwhile");
}

#[test]
fn leaving_tells_the_other_side_immediately() {
    let mut world = World::new();
    let (tv, _) = world.cast();
    world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
    assert_eq!(world.sent(), ["1 ! CasterLeft { username: None, reason: Left }"]);
    assert_eq!(world.rooms.handle_leave(CASTER, world.now), Err(Refusal::NotInRoom));
    world.join(CASTER, tv.code.as_str()).expect("live");
    world.rooms.handle_leave(TV, world.now).expect("has a seat");
    assert_eq!(world.sent()[1..], ["2 ! TvLeft { reason: Left }"]);
    assert!(world.rooms.is_empty() && world.rooms.seats.is_empty() && world.rooms.timers.is_empty());
}

#[test]
fn a_server_restart_gives_everybody_the_old_seat() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    world.restart();
    for _ in 0..50 {
        let early = world.join_with(CASTER, tv.code.as_str(), Some(&caster.resume_token));
        assert_eq!(early, Err(Refusal::UnknownCode), "never too many attempts: it proves that it knew the code");
    }
    let back = world.open(11, Some(&tv.resume_token));
    assert_eq!((back.code, back.resumed), (tv.code, true));
    assert!(world.join_with(12, tv.code.as_str(), Some(&caster.resume_token)).expect("live").resumed);
    assert_eq!(world.sent(), ["11 ! CasterJoined { username: None, resumed: true }"]);
}

#[test]
fn a_free_code_may_be_named_but_goes_back_to_the_tv_that_can_prove_it() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    world.rooms.handle_leave(TV, world.now).expect("has a seat");
    let open = OpenRequest {
        dialect: Dialect::B,
        code: Some(tv.code.as_str()),
        token: Some("device"),
        ..new_tv(ClientId::new(10), HOME)
    };
    assert_eq!(world.try_open(open).expect("free").code, tv.code, "dialect B keeps a code that is free");
    assert_eq!(world.open(11, Some(&tv.resume_token)).code, tv.code, "but gives it up to the one with a proof");
    assert_eq!(world.sent(), ["10 ! Replaced"]);
    let stale = world.open(12, None);
    world.rooms.handle_leave(ClientId::new(12), world.now).expect("has a seat");
    let open = OpenRequest { client: ClientId::new(13), token: Some("another"), code: Some(tv.code.as_str()), ..open };
    assert_ne!(world.try_open(open).expect("a seat").code, tv.code, "nobody else takes it");
    assert!(!stale.resumed);
}

#[test]
fn a_device_token_and_the_code_resume_a_dialect_b_tv() {
    let mut world = World::new();
    let open = OpenRequest { dialect: Dialect::B, token: Some("device"), ..new_tv(TV, HOME) };
    let tv = world.try_open(open).expect("a seat");
    world.drop(TV);
    let again = OpenRequest { client: ClientId::new(11), code: Some(tv.code.as_str()), ..open };
    let wrong = world.try_open(OpenRequest { client: ClientId::new(10), token: Some("other"), ..again }).expect("a seat");
    assert_ne!(wrong.code, tv.code);
    let without_code = world.try_open(OpenRequest { client: ClientId::new(12), ..open }).expect("a seat");
    assert_ne!(without_code.code, tv.code, "a token that many TVs share gives no one another's code");
    let back = world.try_open(again).expect("its own");
    assert_eq!((back.code, back.resumed), (tv.code, true));
}

#[test]
fn wrong_codes_are_throttled_and_right_ones_are_not_counted() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    for _ in 0..30 {
        world.join(CASTER, tv.code.as_str()).expect("right codes cost nothing");
    }
    for _ in 0..10 {
        assert_eq!(world.join(SECOND, "nonsense"), Err(Refusal::UnknownCode));
    }
    let wait = Duration::from_secs(60);
    assert_eq!(world.join(SECOND, tv.code.as_str()), Err(Refusal::TooManyAttempts { wait }), "also the right one");
    world.wait(wait);
    assert!(world.join(SECOND, tv.code.as_str()).is_ok());
}

#[test]
fn a_caster_token_of_another_code_does_not_escape_the_throttle() {
    let mut world = World::new();
    let (_, caster) = world.cast();
    for _ in 0..10 {
        let refused = world.join_with(SECOND, "AAAAAA", Some(&caster.resume_token));
        assert_eq!(refused, Err(Refusal::UnknownCode));
    }
    let refused = world.join_with(SECOND, "AAAAAA", Some(&caster.resume_token));
    assert!(matches!(refused, Err(Refusal::TooManyAttempts { .. })));
}

#[test]
fn a_tv_that_asks_twice_has_one_code() {
    let mut world = World::new();
    let first = world.open(TV, None);
    let second = world.open(TV, None);
    assert_eq!((second.code, world.rooms.len()), (first.code, 1));
}

#[test]
fn roles_do_not_mix() {
    let mut world = World::new();
    let (tv, _) = world.cast();
    assert_eq!(world.join(TV, tv.code.as_str()), Err(Refusal::WrongRole));
    let open = new_tv(CASTER, HOME);
    assert_eq!(world.try_open(open), Err(Refusal::WrongRole));
    assert_eq!(world.rooms.handle_signal(TV, Signal::Offer("x"), 1), Err(Refusal::WrongRole));
    assert_eq!(world.rooms.handle_signal(CASTER, Signal::Answer("x"), 1), Err(Refusal::WrongRole));
    assert_eq!(world.rooms.handle_signal(ClientId::new(99), Signal::Candidate("x"), 1), Err(Refusal::NotInRoom));
}

#[test]
fn credentials_are_renewed_before_they_run_out_for_those_who_are_there() {
    let mut world = World::new();
    world.cast();
    world.wait(REFRESH);
    assert_eq!(world.sent(), ["2 ! Credentials", "1 ! Credentials"]);
    world.drop(CASTER);
    world.wait(REFRESH);
    assert_eq!(world.sent(), ["1 ! CasterAway", "1 ! CasterLeft { username: None, reason: Lost }", "1 ! Credentials"]);
}

#[test]
fn a_caster_that_changes_rooms_leaves_the_first() {
    let mut world = World::new();
    world.cast();
    let other = world.open(10, None);
    world.join(CASTER, other.code.as_str()).expect("live");
    assert_eq!(
        world.sent(),
        ["1 ! CasterLeft { username: None, reason: Left }", "10 ! CasterJoined { username: None, resumed: false }",]
    );
}

#[test]
fn without_take_over_a_caster_in_grace_keeps_its_seat() {
    let mut world = World::with(|config| config.takeover = false);
    let (tv, first) = world.cast();
    world.drop(CASTER);
    assert_eq!(world.join(SECOND, tv.code.as_str()), Err(Refusal::RoomFull));
    assert!(world.join_with(12, tv.code.as_str(), Some(&first.resume_token)).expect("its own seat").resumed);
}

#[test]
fn naming_live_codes_counts_as_guessing() {
    let mut world = World::with(|config| config.max_rooms = 100);
    let tv = world.open(TV, None);
    let claim = |client: i32| OpenRequest { dialect: Dialect::B, code: Some(tv.code.as_str()), ..new_tv(client, HOME) };
    for client in 10..20 {
        assert_ne!(world.try_open(claim(client)).expect("a seat").code, tv.code);
    }
    let free = OpenRequest { code: Some("AAAAAA"), ..claim(20) };
    assert_ne!(world.try_open(free).expect("a seat").code.as_str(), "AAAAAA", "whether it is free is not told either");
    assert!(matches!(world.join(SECOND, "AAAAAA"), Err(Refusal::TooManyAttempts { .. })));
}

#[test]
fn free_codes_that_tvs_ask_for_without_a_proof_are_bounded_for_all_together() {
    const CHARACTERS: &[u8] = b"ABCDEFGHJKMNPQRSTWXYZ012345678";
    let mut world = World::with(|config| config.max_rooms = 10_000);
    let proof = world.open(TV, None);
    world.restart();
    let mut client = 10;
    let mut claim = |world: &mut World, from: IpAddr, token| {
        client += 1;
        let rest = [client as usize / 900, client as usize / 30 % 30, client as usize % 30];
        // Enough time passes that no TV has to wait for its turn.
        world.now += Duration::from_millis(40);
        let code: String = "AAA".chars().chain(rest.map(|digit| char::from(CHARACTERS[digit]))).collect();
        let open = OpenRequest { dialect: Dialect::B, code: Some(&code), token, ..new_tv(client, from) };
        world.try_open(open).expect("a seat, under whatever code").code.as_str() == code
    };
    assert_eq!((0..100).filter(|_| claim(&mut world, HOME, None)).count(), 100, "a hotel after a power cut");
    let addresses = (0..300_u32).map(|n| IpAddr::V4(n.into()));
    let claims: Vec<IpAddr> = addresses.flat_map(|from| [from; 3]).collect();
    let given = claims.iter().filter(|from| claim(&mut world, **from, None)).count();
    assert_eq!(
        given,
        300 + guess_limits::MAX_CLAIMED_CODES_PER_MINUTE as usize - 99,
        "the first of each address, and what all have together"
    );
    assert!(world.open(TV, Some(&proof.resume_token)).resumed, "a proof is no guess");
    world.now += Duration::from_secs(60);
    assert!(claim(&mut world, HOME, None));
}

#[test]
fn wrong_codes_share_one_limit_and_a_client_that_has_not_guessed_joins() {
    let mut world = World::new();
    let tv = world.open(TV, None);
    let mut client = 10;
    let mut guess = |world: &mut World, from: IpAddr, code: &str| {
        client += 1;
        let client = ClientId::from(client);
        let join = JoinRequest { client, dialect: Dialect::A, from, code, token: None, username: None };
        world.rooms.handle_join(join, world.now)
    };
    let addresses = (0..100_u32).map(|n| IpAddr::V4(n.into()));
    let guesses: Vec<IpAddr> = addresses.flat_map(|from| [from; 5]).collect();
    let sent = guesses.iter().filter(|from| guess(&mut world, **from, "AAAAAA") == Err(Refusal::UnknownCode)).count();
    assert_eq!(sent, 100 + 50, "each its first, and fifty besides");
    assert!(matches!(guess(&mut world, guesses[0], tv.code.as_str()), Err(Refusal::TooManyAttempts { .. })));
    assert!(guess(&mut world, HOME, tv.code.as_str()).is_ok());
}

#[test]
fn a_tv_that_registered_first_still_gets_its_old_code() {
    let mut world = World::new();
    let old = world.open(TV, None);
    world.rooms.handle_leave(TV, world.now).expect("has a seat");
    let open = OpenRequest { dialect: Dialect::B, ..new_tv(ClientId::new(5), HOME) };
    let registered = world.try_open(open).expect("a seat");
    assert_ne!(registered.code, old.code);
    let open = OpenRequest { code: Some(old.code.as_str()), token: Some(&old.resume_token), ..open };
    assert_eq!(world.try_open(open).expect("a seat").code, old.code);
    assert_eq!(world.rooms.len(), 1, "the other code is free again");
}

#[test]
fn a_reloaded_tv_receives_no_candidates_of_the_lost_offer() {
    let mut world = World::new();
    let (tv, _) = world.cast();
    world.drop(TV);
    world.send(CASTER, Signal::Candidate("old"));
    world.open(11, Some(&tv.resume_token));
    world.send(CASTER, Signal::Candidate("old too"));
    assert!(world.sent().iter().all(|line| !line.contains("Candidate")));
    world.send(CASTER, Signal::Offer("new"));
    assert_eq!(world.sent()[0], "11 < Offer(\"new\")");
}

#[test]
fn the_side_that_arrives_second_learns_that_the_other_is_away() {
    let mut world = World::new();
    let (tv, caster) = world.cast();
    world.drop(TV);
    world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
    world.join(SECOND, tv.code.as_str()).expect("the seat of the TV is kept");
    assert_eq!(world.sent(), ["2 ! TvAway", "3 ! TvAway"]);
    world.drop(SECOND);
    world.open(11, Some(&tv.resume_token));
    assert_eq!(world.sent(), ["11 ! CasterAway"]);
    let second = world.rooms.rooms[&tv.code].caster.as_ref().expect("in grace").token.clone();
    world.join_with(13, tv.code.as_str(), Some(&second)).expect("its own seat");
    let all = ["11 ! CasterJoined { username: None, resumed: true }", "13 ! TvBack { reloaded: true, details: None }"];
    assert_eq!(world.sent(), all);
    assert_ne!(caster.resume_token, second);
}

#[test]
fn a_new_secret_means_fresh_credentials_for_all() {
    let mut world = World::new();
    world.cast();
    world.rooms.renew_credentials(world.now);
    world.wait(Duration::ZERO);
    assert_eq!(world.sent(), ["2 ! Credentials", "1 ! Credentials"]);
    world.wait(REFRESH);
    assert_eq!(world.sent(), ["2 ! Credentials", "1 ! Credentials"], "and the next ones when these are old");
}

#[test]
fn fresh_credentials_for_very_many_are_spread_over_three_seconds() {
    const TVS: usize = 10_000;
    let mut world = World::with(|config| config.max_rooms = 2 * TVS);
    for tv in 0..TVS as u64 {
        let [.., high, low] = tv.to_be_bytes();
        world.try_open(new_tv(ClientId::new(tv), IpAddr::from([10, high, low, 1]))).expect("a seat");
        // As fast as a full rush of TVs is admitted.
        world.now += Duration::from_millis(20);
    }
    world.sent();
    for is_set_again in [false, true] {
        world.rooms.renew_credentials(world.now);
        let (start, mut sent, mut served) = (world.now, 0, HashSet::new());
        while let Some(due) = world.rooms.next_timeout().filter(|due| *due <= start + Duration::from_secs(3)) {
            if is_set_again && due > start + Duration::from_secs(1) && served.len() < TVS / 2 {
                world.rooms.renew_credentials(due);
            }
            world.now = due;
            world.rooms.handle_timeout(due);
            let now = world.sent();
            assert!(is_set_again || now.len() <= 100, "{} at once", now.len());
            sent += now.len();
            served.extend(now);
        }
        assert_eq!(served.len(), TVS);
        assert!(is_set_again || sent == TVS, "each one once");
    }
}

#[test]
fn dialect_b_gets_no_unasked_credentials() {
    let mut world = World::new();
    let open = OpenRequest { dialect: Dialect::B, ..new_tv(TV, HOME) };
    let tv = world.try_open(open).expect("a seat");
    let join =
        JoinRequest { client: CASTER, dialect: Dialect::B, from: HOME, code: tv.code.as_str(), token: None, username: None };
    world.rooms.handle_join(join, world.now).expect("live");
    assert_eq!(world.sent(), ["1 ! CasterJoined { username: None, resumed: false }"]);
    world.rooms.renew_credentials(world.now);
    world.wait(REFRESH * 100);
    assert!(world.sent().is_empty());
}

#[test]
fn joining_again_changes_nothing() {
    for dialect in [Dialect::A, Dialect::B] {
        for takeover in [true, false] {
            let mut world = World::with(|config| config.takeover = takeover);
            let tv = world.open(TV, None);
            let code = tv.code.as_str();
            let join = JoinRequest { client: CASTER, dialect, from: HOME, code, token: None, username: Some("me") };
            let first = world.rooms.handle_join(join, world.now).expect("live");
            world.send(CASTER, Signal::Offer("offer"));
            world.sent();
            for token in [None, Some(first.resume_token.as_str())] {
                let again =
                    world.rooms.handle_join(JoinRequest { token, username: None, ..join }, world.now).expect("its own seat");
                assert_eq!(again, Seated { resumed: true, ..first.clone() });
            }
            world.send(TV, Signal::Answer("answer"));
            assert_eq!(world.sent(), ["2 < Answer(\"answer\")"], "the cast goes on, and nobody hears of a new caster");
            world.rooms.handle_leave(CASTER, world.now).expect("has a seat");
            assert_eq!(world.sent(), ["1 ! CasterLeft { username: Some(\"me\"), reason: Left }"]);
        }
    }
}

/// In any order of inputs, the tables agree, and messages are delivered only within a room.
#[test]
fn random_histories_keep_the_tables_in_agreement() {
    use rand::RngExt as _;
    let mut rng = StdRng::seed_from_u64(42);
    let mut world = World::with(|config| config.max_rooms = 4);
    let mut known: Vec<Seated> = Vec::new();
    for step in 0..30_000 {
        if step % 10_000 == 0 {
            world.rooms.config.new_code =
                [NewCodePolicy::Never, NewCodePolicy::AfterIdle, NewCodePolicy::AfterCast][step / 10_000];
            world.restart();
        }
        let client = ClientId::new(rng.random_range(1..12));
        let one = (!known.is_empty()).then(|| known[rng.random_range(0..known.len())].clone());
        let token = one.as_ref().map(|seated| seated.resume_token.as_str()).filter(|_| rng.random_bool(0.5));
        let code = one.as_ref().map_or("AAAAAA", |seated| seated.code.as_str());
        match rng.random_range(0..10) {
            9 => {
                let numbers: Vec<u64> = world.rooms.listed_after(0).map(|tv| tv.number).collect();
                if let Some(number) = numbers.get(rng.random_range(0..4_usize)) {
                    let casts = world.rooms.listed_after(number - 1).next().is_some_and(|tv| tv.caster.is_some());
                    assert_eq!(world.rooms.handle_operator_end(*number, world.now).is_ok(), casts);
                    let left = world.rooms.listed_after(number - 1).next().map(|tv| tv.caster.is_none());
                    assert_eq!(left, Some(true), "the TV keeps its seat, the caster doesn't");
                    world.rooms.handle_operator_new_code(*number, world.now).ok();
                }
            }
            8 => known.extend(world.rooms.handle_new_code(client, world.now).ok()),
            7 if rng.random_bool(0.02) => world.wait(Duration::from_secs(13 * 3600)),
            0 => {
                let dialect = if rng.random_bool(0.5) { Dialect::A } else { Dialect::B };
                let (casting, understands_new_codes) = (rng.random_bool(0.1), rng.random_bool(0.5));
                let open =
                    OpenRequest { dialect, code: Some(code), token, casting, understands_new_codes, ..new_tv(client, HOME) };
                if let Ok(OpenOutcome::Seated(seated)) = world.ask(open) {
                    known.push(seated);
                }
            }
            1 | 2 => known.extend(world.join_with(client, code, token).ok()),
            3 => drop(world.rooms.handle_leave(client, world.now)),
            4 => world.drop(client),
            5 => world.wait(Duration::from_secs(rng.random_range(0..90))),
            6 => drop(world.rooms.handle_signal(client, Signal::Offer("o"), 10)),
            _ => drop(world.rooms.handle_signal(client, Signal::Candidate("c"), 10)),
        }
        world.sent();
        known.truncate(64);
    }
}

#[test]
fn waiting_signals_are_bounded_over_all_rooms_and_delivered_ones_are_not() {
    const LARGE: usize = 512 * 1024;
    let mut world = World::with(|config| config.max_rooms = 10_000);
    let mut ids = (0_u64..).map(|number| (2 * number, 2 * number + 1));
    let mut away = |world: &mut World, bytes| {
        // Enough time passes that no TV has to wait for its turn.
        world.now += Duration::from_millis(2);
        let (tv, caster) = ids.next().expect("there is no end of them");
        let code = world.open(tv, None).code;
        world.join(caster, code.as_str()).expect("the code is live");
        world.drop(tv);
        world.rooms.handle_signal(ClientId::new(caster), Signal::Offer("offer"), bytes).expect("it has a place");
        code
    };
    let small = away(&mut world, 20 * 1024);
    for _ in 0..2 * MAX_TOTAL_BYTES / LARGE {
        away(&mut world, LARGE);
        assert!(world.rooms.ledger.bytes() <= world.rooms.ledger.max());
    }
    world.sent();
    let tv = world.open(90_001, None);
    world.join(90_002, tv.code.as_str()).expect("the code is live");
    world.sent();
    world.rooms.handle_signal(ClientId::new(90_002), Signal::Offer("offer"), LARGE).expect("the TV is there");
    assert_eq!(world.sent(), ["90001 < Offer(\"offer\")"]);
    assert!(world.rooms.rooms.get_mut(&small).expect("it lives").to_tv.has_description(), "whoever has little waiting keeps it");
    world.wait(GRACE);
    assert_eq!(world.rooms.ledger.bytes(), 0, "what waited went with its rooms");
}

#[test]
fn a_token_keeps_its_times_across_a_restart() {
    let mut world = World::new();
    let first = world.now;
    let (tv, caster) = world.cast();
    world.wait(Duration::from_secs(1000));
    world.restart();
    let again = world.open(TV, Some(&tv.resume_token));
    world.join_with(CASTER, tv.code.as_str(), Some(&caster.resume_token)).expect("its code is live again");
    assert_eq!(again.resume_token, tv.resume_token);
    let times = Times::new(world.rooms.clock.unix_seconds(first));
    for (role, token) in [(Role::Tv, &again.resume_token), (Role::Caster, &caster.resume_token)] {
        let issued = world.rooms.key.verify(role, token, CodeAlphabet::Letters).expect("genuine");
        assert_eq!((issued.code, issued.times), (tv.code, times), "{role:?}");
    }
}
