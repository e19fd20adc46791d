//! The sessions of operators, and their event streams. PURE.
//!
//! Invariants: only the hash of a token is kept; each sign-in has a new token; a session ends with its time, with its sign-out, and with
//! everything that changes its operator's stamp (a new password, disabling, removal). An operator has at most [`MAX_OF_OPERATOR`]
//! sessions and all have [`MAX_SESSIONS`]; the oldest one makes room for a new one.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::config::secret::Secret;

/// How long a session lasts from its sign-in.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Sessions of one operator.
const MAX_OF_OPERATOR: usize = 8;
/// Sessions of all operators.
const MAX_SESSIONS: usize = 64;
/// Event streams of one session.
const MAX_STREAMS_OF_SESSION: usize = 4;
/// Event streams of all sessions.
const MAX_STREAMS: usize = 16;
/// Characters of a token: 32 bytes in Base64.
pub(super) const TOKEN_CHARS: usize = 43;

/// Random bytes, of which a token is made.
pub(super) type Random = [u8; 32];
type Hash = [u8; 32];

#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_token: HashMap<Hash, Session>,
    /// The session of each open stream.
    streams: HashMap<u64, u64>,
    last_id: u64,
}

#[derive(Debug)]
struct Session {
    id: u64,
    operator: String,
    stamp: u64,
    csrf: Secret<String>,
    since: Instant,
}

/// What the browser of a new session gets.
#[derive(Debug)]
pub(super) struct NewSession {
    /// For the cookie.
    pub token: Secret<String>,
    /// What each change has to repeat in a header.
    pub csrf: Secret<String>,
}

/// The session of a request.
#[derive(Debug, Clone)]
pub(super) struct SignedIn {
    pub id: u64,
    pub operator: String,
    pub csrf: Secret<String>,
}

/// As many event streams are open as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyStreams;

impl Sessions {
    /// Begins a session of an operator whose password was right while the operator had this stamp.
    pub(super) fn open(&mut self, operator: &str, stamp: u64, [token, csrf]: [Random; 2], now: Instant) -> NewSession {
        self.by_token.retain(|_, session| !session.is_over(now));
        self.make_room(|session| session.operator == operator, MAX_OF_OPERATOR);
        self.make_room(|_| true, MAX_SESSIONS);
        self.last_id += 1;
        let [token, csrf] = [token, csrf].map(|random| Secret::new(URL_SAFE_NO_PAD.encode(random)));
        let session = Session { id: self.last_id, operator: operator.to_owned(), stamp, csrf: csrf.clone(), since: now };
        self.by_token.insert(hash(token.expose()), session);
        NewSession { token, csrf }
    }

    /// The session of a token. `stamp_of`: the present stamp of an operator, `None` if nobody may sign in by that name.
    pub(super) fn find(&mut self, token: &str, now: Instant, stamp_of: impl Fn(&str) -> Option<u64>) -> Option<SignedIn> {
        let hash = hash(token);
        let session = self.by_token.get(&hash)?;
        if session.is_over(now) || stamp_of(&session.operator) != Some(session.stamp) {
            self.by_token.remove(&hash);
            return None;
        }
        Some(SignedIn { id: session.id, operator: session.operator.clone(), csrf: session.csrf.clone() })
    }

    /// Whether a session goes on, as in [`Self::find`].
    pub(super) fn is_live(&mut self, id: u64, now: Instant, stamp_of: impl Fn(&str) -> Option<u64>) -> bool {
        self.by_token.retain(|_, session| {
            session.id != id || (!session.is_over(now) && stamp_of(&session.operator) == Some(session.stamp))
        });
        self.by_token.values().any(|session| session.id == id)
    }

    /// Ends the session of a token.
    pub(super) fn end(&mut self, token: &str) {
        self.by_token.remove(&hash(token));
    }

    /// Counts an event stream of a session, and names it.
    ///
    /// # Errors
    /// [`TooManyStreams`].
    pub(super) fn open_stream(&mut self, session: u64) -> Result<u64, TooManyStreams> {
        let of_session = self.streams.values().filter(|of| **of == session).count();
        if of_session >= MAX_STREAMS_OF_SESSION || self.streams.len() >= MAX_STREAMS {
            return Err(TooManyStreams);
        }
        self.last_id += 1;
        self.streams.insert(self.last_id, session);
        Ok(self.last_id)
    }

    pub(super) fn close_stream(&mut self, stream: u64) {
        self.streams.remove(&stream);
    }

    /// Removes the oldest of these sessions until there is room for one more.
    fn make_room(&mut self, is_counted: impl Fn(&Session) -> bool, max: usize) {
        loop {
            let counted = || self.by_token.iter().filter(|(_, session)| is_counted(session));
            if counted().count() < max {
                return;
            }
            let Some(oldest) = counted().min_by_key(|(_, session)| session.id).map(|(hash, _)| *hash) else { return };
            self.by_token.remove(&oldest);
        }
    }
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= LIFETIME
    }
}

fn hash(token: &str) -> Hash {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed_in(sessions: &mut Sessions, operator: &str, now: Instant) -> String {
        sessions.open(operator, 7, [rand::random(), rand::random()], now).token.expose().clone()
    }

    fn is_valid(sessions: &mut Sessions, token: &str, now: Instant) -> bool {
        sessions.find(token, now, |_| Some(7)).is_some()
    }

    #[test]
    fn every_sign_in_has_a_token_of_its_own_and_only_its_hash_is_kept() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let one = sessions.open("anna", 7, [[1; 32], [2; 32]], now);
        let other = signed_in(&mut sessions, "anna", now);
        assert_ne!(*one.token.expose(), other);
        assert_ne!(one.token, one.csrf);
        assert_eq!((one.token.expose().len(), other.len()), (TOKEN_CHARS, TOKEN_CHARS));
        assert!(!sessions.by_token.contains_key(&[1; 32]) && !format!("{sessions:?}").contains(one.token.expose().as_str()));
        let found = sessions.find(one.token.expose(), now, |_| Some(7)).unwrap();
        assert_eq!((found.operator.as_str(), found.csrf), ("anna", one.csrf));
        assert!(!is_valid(&mut sessions, "", now) && !is_valid(&mut sessions, &URL_SAFE_NO_PAD.encode([3; 32]), now));
    }

    #[test]
    fn a_session_ends_with_its_time_its_sign_out_and_its_operators_stamp() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let [old, out, stolen, removed] = std::array::from_fn(|_| signed_in(&mut sessions, "anna", now));
        assert!(is_valid(&mut sessions, &old, now + LIFETIME - Duration::from_secs(1)));
        assert!(!is_valid(&mut sessions, &old, now + LIFETIME));
        sessions.end(&out);
        assert!(!is_valid(&mut sessions, &out, now));
        assert!(sessions.find(&stolen, now, |_| Some(8)).is_none(), "the password has changed");
        assert!(!is_valid(&mut sessions, &stolen, now), "it stays ended");
        assert!(sessions.find(&removed, now, |_| None).is_none() && !is_valid(&mut sessions, &removed, now));
        assert!(sessions.by_token.is_empty());
    }

    #[test]
    fn a_stream_learns_that_its_session_has_ended() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let token = signed_in(&mut sessions, "anna", now);
        let id = sessions.find(&token, now, |_| Some(7)).unwrap().id;
        assert!(sessions.is_live(id, now, |_| Some(7)) && !sessions.is_live(id, now + LIFETIME, |_| Some(7)));
        let token = signed_in(&mut sessions, "anna", now);
        let id = sessions.find(&token, now, |_| Some(7)).unwrap().id;
        assert!(!sessions.is_live(id, now, |_| Some(8)) && !sessions.is_live(id, now, |_| Some(7)));
    }

    #[test]
    fn the_oldest_session_makes_room() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let of_anna: Vec<_> = (0..=MAX_OF_OPERATOR).map(|_| signed_in(&mut sessions, "anna", now)).collect();
        assert!(!is_valid(&mut sessions, &of_anna[0], now), "the ninth session of an operator");
        assert!(of_anna[1..].iter().all(|token| is_valid(&mut sessions, token, now)));
        let others: Vec<_> = (0..MAX_SESSIONS).map(|n| signed_in(&mut sessions, &format!("operator-{}", n / 8), now)).collect();
        assert_eq!(sessions.by_token.len(), MAX_SESSIONS);
        assert!(of_anna.iter().all(|token| !is_valid(&mut sessions, token, now)), "all others are newer");
        assert!(others.iter().all(|token| is_valid(&mut sessions, token, now)));
        signed_in(&mut sessions, "zoe", now);
        assert!(!is_valid(&mut sessions, &others[0], now), "the 65th session");
        assert!(is_valid(&mut sessions, &others[1], now));
    }

    #[test]
    fn streams_are_bounded_by_session_and_in_all() {
        let mut sessions = Sessions::default();
        let mut streams: Vec<_> = (0..16).map(|n| sessions.open_stream(n / 4).unwrap()).collect();
        assert_eq!(sessions.open_stream(9), Err(TooManyStreams), "the 17th stream");
        sessions.close_stream(streams.pop().unwrap());
        assert_eq!(sessions.open_stream(0), Err(TooManyStreams), "the fifth of a session");
        assert!(sessions.open_stream(9).is_ok());
    }
}
