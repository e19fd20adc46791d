//! Which session makes way where there are as many as there may be. PURE.
//!
//! - First those that nobody uses: begun by polling, and not polled at present. An attacker begins thousands on one connection.
//! - Then the newest of the site that has most, for a client of a site that has fewer, unless it has lasted for a while
//!   ([`ESTABLISHED`]): so an attacker has to wait and be seen, and a crowd behind one address keeps what it has had.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits::fair_shares::FairShares;
use crate::limits::waiting_bytes::Account;

/// How old a session is that makes way for nobody.
const ESTABLISHED: Duration = Duration::from_secs(3600);

/// Names one session, for as long as it lives.
pub(super) type Number = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Unused,
    Used,
    Established,
    /// It has made way, and is about to end.
    Leaving,
}

struct Member {
    from: IpAddr,
    since: Instant,
    /// Closing it ends the session.
    account: Account,
    standing: Standing,
}

/// Invariant: each member whose standing is `Unused` or `Used` is in the shares of that name.
#[derive(Default)]
pub(super) struct Crowd {
    members: HashMap<Number, Member>,
    /// Newest first.
    unused: FairShares<Reverse<Number>>,
    used: FairShares<Reverse<Number>>,
    next: Number,
    leaving: usize,
}

impl Crowd {
    /// A session begins, which nobody uses yet.
    pub(super) fn enter(&mut self, from: IpAddr, account: Account, now: Instant) -> Number {
        let number = self.next;
        self.next += 1;
        self.members.insert(number, Member { from, since: now, account, standing: Standing::Unused });
        self.unused.insert(from, Reverse(number));
        number
    }

    /// A session is gone.
    pub(super) fn leave(&mut self, number: Number) {
        let Some(member) = self.members.remove(&number) else { return };
        match member.standing {
            Standing::Unused => self.unused.remove(member.from, Reverse(number)),
            Standing::Used => self.used.remove(member.from, Reverse(number)),
            Standing::Leaving => self.leaving -= 1,
            Standing::Established => {}
        }
    }

    /// Whether a session is in use has changed.
    pub(super) fn note(&mut self, number: Number, used: bool, now: Instant) {
        let Some(member) = self.members.get(&number) else { return };
        let is_old = now.saturating_duration_since(member.since) >= ESTABLISHED;
        match member.standing {
            Standing::Leaving | Standing::Established => {}
            Standing::Unused | Standing::Used if is_old => self.stand(number, Standing::Established),
            Standing::Unused | Standing::Used => self.stand(number, if used { Standing::Used } else { Standing::Unused }),
        }
    }

    /// Those that do not make way already.
    pub(super) fn staying(&self) -> usize {
        self.members.len() - self.leaving
    }

    /// Those that do.
    pub(super) const fn leaving(&self) -> usize {
        self.leaving
    }

    /// Those that nobody uses, and that do not make way already.
    pub(super) fn unused(&self) -> usize {
        self.unused.len()
    }

    /// Has a session make way for one of a client at `from`: what is to be closed, without the lock. `None`: none does.
    pub(super) fn make_way(&mut self, from: IpAddr, now: Instant) -> Option<Account> {
        let number = self.newest_unused(from).or_else(|| self.newest_of_most(from, now))?;
        self.have_leave(number)
    }

    /// The same, where only one makes way that nobody uses.
    pub(super) fn make_way_unused(&mut self, from: IpAddr) -> Option<Account> {
        let number = self.newest_unused(from)?;
        self.have_leave(number)
    }

    fn have_leave(&mut self, number: Number) -> Option<Account> {
        self.stand(number, Standing::Leaving);
        self.members.get(&number).map(|member| member.account.clone())
    }

    fn newest_unused(&self, from: IpAddr) -> Option<Number> {
        let (most, Reverse(number)) = self.unused.first_of_all()?;
        (most > self.unused.of_site(from)).then_some(number)
    }

    fn newest_of_most(&mut self, from: IpAddr, now: Instant) -> Option<Number> {
        loop {
            let (most, Reverse(number)) = self.used.first_of_all()?;
            // Afterwards it still has as many as the newcomer's, or two sites would take a place from each other in turn.
            if most <= self.used.of_site(from) + 1 {
                return None;
            }
            if self.members.get(&number).is_some_and(|member| now.saturating_duration_since(member.since) < ESTABLISHED) {
                return Some(number);
            }
            // It has grown old since somebody looked.
            self.stand(number, Standing::Established);
        }
    }

    fn stand(&mut self, number: Number, standing: Standing) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let (from, before) = (member.from, std::mem::replace(&mut member.standing, standing));
        match before {
            Standing::Unused => self.unused.remove(from, Reverse(number)),
            Standing::Used => self.used.remove(from, Reverse(number)),
            Standing::Established | Standing::Leaving => {}
        }
        match standing {
            Standing::Unused => self.unused.insert(from, Reverse(number)),
            Standing::Used => self.used.insert(from, Reverse(number)),
            Standing::Leaving => self.leaving += 1,
            Standing::Established => {}
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
        crowd: Crowd,
        ledger: Ledger,
        now: Instant,
    }

    impl World {
        fn new() -> Self {
            Self { crowd: Crowd::default(), ledger: Ledger::default(), now: Instant::now() }
        }

        fn enter(&mut self, from: &str, used: bool) -> (Number, Account) {
            let account = self.ledger.open(None);
            let number = self.crowd.enter(ip(from), account.clone(), self.now);
            self.crowd.note(number, used, self.now);
            (number, account)
        }

        fn make_way(&mut self, from: &str) -> Option<Account> {
            let gone = self.crowd.make_way(ip(from), self.now)?;
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
        assert_eq!((world.crowd.staying(), world.crowd.leaving()), (5, 4));
        for (number, _) in used.iter().chain(&unused).chain([&lonely]) {
            world.crowd.leave(*number);
        }
        assert_eq!((world.crowd.staying(), world.crowd.leaving()), (0, 0));
        assert!(world.crowd.used.is_empty() && world.crowd.unused.is_empty());
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
        world.now += ESTABLISHED;
        world.crowd.note(polled.0, false, world.now);
        assert!(world.make_way("192.0.2.2").is_none(), "not even between two polls");
        (0..2).for_each(|_| drop(world.enter("192.0.2.3", true)));
        assert!(world.make_way("192.0.2.2").is_some());
        assert!(world.make_way("192.0.2.2").is_none());
    }
}
