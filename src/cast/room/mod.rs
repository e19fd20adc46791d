//! All rooms of the cast flow as one state machine. PURE: no socket, no clock, no lock.
//!
//! **Owner**: the gateway, by value behind its lock. **Inputs**: the `handle_*` methods; those that depend on time take `now`. The returned
//! verdict becomes the ack. **Outputs**: [`Rooms::poll_output`], drained after every input. [`Rooms::next_timeout`] says when [`Rooms::handle_timeout`] is
//! due.
//!
//! Invariants:
//! - A code is live from `handle_open` until its TV leaves, the TV's grace period ends or the code changes. Only the TV's resume token (or
//!   the device token that the TV came with) gets the code's seat back.
//! - A client has at most one seat. Signals cross between the two seats of a room and go nowhere else.
//! - Everything that waits for a side that is away is bounded (`signal_buffer`), and so are the tables: TVs in all and by address
//!   (`capacity`), and TVs that wait for a code (`waiting_tvs`).
//!
//! **The files.** `rooms` owns the tables and the seats, and handles leaving, dropping and time-outs. `tvs` opens rooms, with `eviction` and
//! `capacity` for a full server, `waiting_tvs` for TVs that wait and `guess_limits` for codes that are named without proof. `casters` joins
//! casters. `signals` delivers offers, answers and candidates through a `signal_buffer` for each direction. `new_code` changes codes, and
//! `retired_codes` remembers the old ones. `ending` ends casts, and `listing` shows all TVs to operators.
//!
//! The order of calls, for a TV and a caster that send each other an offer:
//! ```
//! use std::time::{Duration, Instant, SystemTime};
//!
//! use castway::cast::code::{CodeAlphabet, NewCodePolicy};
//! use castway::cast::model::{Dialect, JoinRequest, OpenOutcome, OpenRequest, RoomsConfig, Signal};
//! use castway::cast::resume_token::TokenKey;
//! use castway::cast::room::Rooms;
//! use castway::clock::WallClock;
//! use castway::socketio::gateway::client_id::ClientId;
//!
//! let config = RoomsConfig {
//!     alphabet: CodeAlphabet::Letters,
//!     grace: Duration::from_secs(60),
//!     takeover: false,
//!     max_rooms: 100,
//!     max_wrong_codes_per_minute: 10,
//!     credentials_refresh_interval: Duration::from_secs(3600),
//!     new_code: NewCodePolicy::Never,
//! };
//! let now = Instant::now();
//! let clock = WallClock::new(now, SystemTime::now());
//! let mut rooms = Rooms::<String>::new(config, TokenKey::new([1; 32]), [2; 32], clock);
//!
//! let (tv, caster) = (ClientId::new(1), ClientId::new(2));
//! let from = [192, 0, 2, 1].into();
//! let open = OpenRequest {
//!     client: tv,
//!     dialect: Dialect::A,
//!     from,
//!     code: None,
//!     token: None,
//!     shows_picture: false,
//!     casting: false,
//!     understands_new_codes: false,
//!     details: None,
//!     asked_before: false,
//! };
//! let Ok(OpenOutcome::Seated(seated)) = rooms.handle_open(open, now) else { panic!("the server is empty") };
//!
//! let code = seated.code.as_str();
//! let join = JoinRequest { client: caster, dialect: Dialect::A, from, code, token: None, username: None };
//! rooms.handle_join(join, now).expect("the code is live");
//! rooms.handle_signal(caster, Signal::Offer("v=0".to_owned()), 3).expect("the TV is there");
//!
//! // After every input: send what comes out, then sleep until `next_timeout` and call `handle_timeout`.
//! while let Some(output) = rooms.poll_output() {
//!     println!("{output:?}");
//! }
//! if let Some(due) = rooms.next_timeout() {
//!     rooms.handle_timeout(due);
//! }
//! ```

mod capacity;
mod casters;
mod checks;
mod ending;
mod eviction;
mod guess_limits;
mod listing;
mod new_code;
mod renewal;
mod retired_codes;
mod rooms;
mod signal_buffer;
mod signals;
mod state;
mod tvs;
mod waiting_tvs;

pub use rooms::Rooms;
pub use tvs::OwnSeat;
