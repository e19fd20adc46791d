//! Which session is evicted for a new one once the server has as many as it may have. PURE.
//!
//! 1. The newest unused session of the site with the most unused ones. A session is unused if it began by polling and is not polled at
//!    present; an attacker begins thousands of these on one connection.
//! 2. The newest session of the site with the most sessions, for a client of a site with fewer. A session older than [`ESTABLISHED_AGE`]
//!    is never evicted. So an attacker has to hold its sessions openly for that time, and many clients behind one address keep the sessions
//!    that they have had for longer.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits::fair_shares::FairShares;
use crate::limits::waiting_bytes::Account;

/// From this age on a session is never evicted.
const ESTABLISHED_AGE: Duration = Duration::from_secs(3600);

/// Names one session as long as it lives.
pub(in crate::socketio) type SessionNumber = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionState {
    Unused,
    Used,
    Established,
    /// Its account was closed; it is about to end.
    Evicted,
}

struct EvictableSession {
    from: IpAddr,
    since: Instant,
    /// Closing it ends the session.
    account: Account,
    state: SessionState,
}

/// Invariant: each session whose state is `Unused` or `Used` is in the shares of that name.
#[derive(Default)]
pub(in crate::socketio) struct EvictionOrder {
    sessions: HashMap<SessionNumber, EvictableSession>,
    /// Newest first.
    unused: FairShares<Reverse<SessionNumber>>,
    used: FairShares<Reverse<SessionNumber>>,
    next: SessionNumber,
    evicted: usize,
}

impl EvictionOrder {
    /// Adds a session, which is unused at first.
    pub(in crate::socketio) fn insert(&mut self, from: IpAddr, account: Account, now: Instant) -> SessionNumber {
        let number = self.next;
        self.next += 1;
        self.sessions.insert(number, EvictableSession { from, since: now, account, state: SessionState::Unused });
        self.unused.insert(from, Reverse(number));
        number
    }

    /// The session has ended.
    pub(in crate::socketio) fn remove(&mut self, number: SessionNumber) {
        let Some(session) = self.sessions.remove(&number) else { return };
        match session.state {
            SessionState::Unused => self.unused.remove(session.from, Reverse(number)),
            SessionState::Used => self.used.remove(session.from, Reverse(number)),
            SessionState::Evicted => self.evicted -= 1,
            SessionState::Established => {}
        }
    }

    /// Says whether the session is in use now.
    pub(in crate::socketio) fn set_used(&mut self, number: SessionNumber, used: bool, now: Instant) {
        let Some(session) = self.sessions.get(&number) else { return };
        let is_old = now.saturating_duration_since(session.since) >= ESTABLISHED_AGE;
        match session.state {
            SessionState::Evicted | SessionState::Established => {}
            SessionState::Unused | SessionState::Used if is_old => self.set_state(number, SessionState::Established),
            SessionState::Unused | SessionState::Used => {
                self.set_state(number, if used { SessionState::Used } else { SessionState::Unused })
            }
        }
    }

    /// How many sessions there are without the evicted ones.
    pub(in crate::socketio) fn remaining(&self) -> usize {
        self.sessions.len() - self.evicted
    }

    /// How many evicted sessions have not ended yet.
    pub(in crate::socketio) const fn evicted(&self) -> usize {
        self.evicted
    }

    /// How many unused sessions there are without the evicted ones.
    pub(in crate::socketio) fn unused(&self) -> usize {
        self.unused.len()
    }

    /// Evicts a session for a new one of `from`. The result is the account to close, once no lock is held; `None`: no session may be
    /// evicted.
    pub(in crate::socketio) fn evict(&mut self, from: IpAddr, now: Instant) -> Option<Account> {
        let number = self.newest_unused(from).or_else(|| self.newest_of_largest_site(from, now))?;
        self.evict_session(number)
    }

    /// As [`Self::evict`], among the unused sessions only.
    pub(in crate::socketio) fn evict_unused(&mut self, from: IpAddr) -> Option<Account> {
        let number = self.newest_unused(from)?;
        self.evict_session(number)
    }

    fn evict_session(&mut self, number: SessionNumber) -> Option<Account> {
        self.set_state(number, SessionState::Evicted);
        self.sessions.get(&number).map(|session| session.account.clone())
    }

    fn newest_unused(&self, from: IpAddr) -> Option<SessionNumber> {
        let (most, Reverse(number)) = self.unused.first_of_all()?;
        (most > self.unused.of_site(from)).then_some(number)
    }

    fn newest_of_largest_site(&mut self, from: IpAddr, now: Instant) -> Option<SessionNumber> {
        loop {
            let (most, Reverse(number)) = self.used.first_of_all()?;
            // After the eviction that site still has as many as the newcomer's; otherwise two sites would evict each other in turn.
            if most <= self.used.of_site(from) + 1 {
                return None;
            }
            if self.sessions.get(&number).is_some_and(|session| now.saturating_duration_since(session.since) < ESTABLISHED_AGE) {
                return Some(number);
            }
            // It has become old enough since the last look.
            self.set_state(number, SessionState::Established);
        }
    }

    fn set_state(&mut self, number: SessionNumber, state: SessionState) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        let (from, before) = (session.from, std::mem::replace(&mut session.state, state));
        match before {
            SessionState::Unused => self.unused.remove(from, Reverse(number)),
            SessionState::Used => self.used.remove(from, Reverse(number)),
            SessionState::Established | SessionState::Evicted => {}
        }
        match state {
            SessionState::Unused => self.unused.insert(from, Reverse(number)),
            SessionState::Used => self.used.insert(from, Reverse(number)),
            SessionState::Evicted => self.evicted += 1,
            SessionState::Established => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::waiting_bytes::Ledger;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    struct World {
        eviction: EvictionOrder,
        ledger: Ledger,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { eviction: EvictionOrder::default(), ledger: Ledger::default(), now: Instant::now() }
        }

        fn enter(&mut self, from: &str, used: bool) -> (SessionNumber, Account) {
            let account = self.ledger.open(None);
            let number = self.eviction.insert(ip(from), account.clone(), self.now);
            self.eviction.set_used(number, used, self.now);
            (number, account)
        }

        fn make_way(&mut self, from: &str) -> Option<Account> {
            let gone = self.eviction.evict(ip(from), self.now)?;
            gone.close("in a test");
            Some(gone)
        }
    }

    #[test]
    fn unused_sessions_go_first_the_newest_of_the_site_that_has_most() {
        let mut world = World::new();
        let used: Vec<_> = (0..5).map(|_| world.enter("192.0.2.1", true)).collect();
        let unused: Vec<_> = (0..3).map(|_| world.enter("192.0.2.2", false)).collect();
        let lonely = world.enter("192.0.2.0", false);
        for place in (0..3).rev() {
            assert!(world.make_way("203.0.113.1").is_some());
            assert!(unused[place].1.is_closed() && unused[..place].iter().all(|(_, account)| !account.is_closed()));
        }
        assert!(world.make_way("192.0.2.0").is_some(), "its own is no worse than that of others");
        assert!(!lonely.1.is_closed() && used[4].1.is_closed());
        assert_eq!((world.eviction.remaining(), world.eviction.evicted()), (5, 4));
        for (number, _) in used.iter().chain(&unused).chain([&lonely]) {
            world.eviction.remove(*number);
        }
        assert_eq!((world.eviction.remaining(), world.eviction.evicted()), (0, 0));
        assert!(world.eviction.used.is_empty() && world.eviction.unused.is_empty());
    }

    #[test]
    fn nobody_makes_way_for_a_site_that_has_as_many() {
        let mut world = World::new();
        for from in ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"] {
            world.enter(from, true);
        }
        assert!(world.make_way("192.0.2.1").is_none());
        assert!(world.make_way("192.0.2.2").is_some());
        world.enter("192.0.2.2", true);
        assert!(world.make_way("192.0.2.1").is_none() && world.make_way("192.0.2.2").is_none());
        assert!(world.make_way("192.0.2.3").is_some());
    }

    #[test]
    fn what_has_lasted_makes_way_for_nobody() {
        let mut world = World::new();
        let polled = world.enter("192.0.2.1", true);
        (0..3).for_each(|_| drop(world.enter("192.0.2.1", true)));
        world.now += ESTABLISHED_AGE;
        world.eviction.set_used(polled.0, false, world.now);
        assert!(world.make_way("192.0.2.2").is_none(), "not even between two polls");
        (0..2).for_each(|_| drop(world.enter("192.0.2.3", true)));
        assert!(world.make_way("192.0.2.2").is_some());
        assert!(world.make_way("192.0.2.2").is_none());
    }
}
