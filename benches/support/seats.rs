//! Rooms of the cast flow without a gateway, and how clients take their seats.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use castway::cast::code::{CodeAlphabet, NewCodePolicy};
use castway::cast::model::{Dialect, JoinRequest, OpenOutcome, OpenRequest, RoomsConfig, Seated};
use castway::cast::resume_token::TokenKey;
use castway::cast::room::Rooms;
use castway::clock::WallClock;
use castway::socketio::gateway::client_id::ClientId;

const DAY: Duration = Duration::from_secs(86_400);

/// Keys and seeds are fixed, so that counts repeat.
pub(crate) fn rooms<P: Send + 'static>(max_rooms: usize, now: Instant) -> Rooms<P> {
    let config = RoomsConfig {
        alphabet: CodeAlphabet::Letters,
        grace: Duration::from_secs(60),
        takeover: false,
        max_rooms,
        max_wrong_codes_per_minute: 10,
        credentials_refresh_interval: DAY,
        new_code: NewCodePolicy::Never,
    };
    Rooms::new(config, TokenKey::new([1; 32]), [2; 32], WallClock::new(now, SystemTime::now()))
}

/// A TV asks for a code, and gets one at once.
pub(crate) fn open<P: Send + 'static>(rooms: &mut Rooms<P>, tv: ClientId, from: IpAddr, now: Instant) -> Seated {
    let open = OpenRequest {
        client: tv,
        dialect: Dialect::A,
        from,
        code: None,
        token: None,
        shows_picture: false,
        casting: false,
        understands_new_codes: false,
        details: None,
        asked_before: false,
    };
    match rooms.handle_open(open, now) {
        Ok(OpenOutcome::Seated(seated)) => seated,
        other => panic!("the TV has no code: {other:?}"),
    }
}

pub(crate) fn join<P: Send + 'static>(rooms: &mut Rooms<P>, caster: ClientId, from: IpAddr, code: &str, now: Instant) {
    let join = JoinRequest { client: caster, dialect: Dialect::A, from, code, token: None, username: None };
    rooms.handle_join(join, now).expect("the code is live");
}

/// Takes the outputs, and what has become of casts.
pub(crate) fn drain<P: Send + 'static>(rooms: &mut Rooms<P>) {
    while rooms.poll_output().is_some() {}
    while rooms.poll_cast_event().is_some() {}
}
