//! The parts in which a shard visits all of its allocations, and between which it serves its sockets.
//!
//! An allocation keeps its place in the engine's table, and a new one is judged by what is in force when it begins: so a walk needs to visit
//! only those that were there when it began. If it is to begin again before it has ended, it goes on around the table to where it was, because
//! a walk that began at the first place each time might never reach the last ones.

use std::ops::Range;

/// Places that each walk visits in a turn; that takes some tens of microseconds where nothing ends.
const MAX_PLACES_A_TURN: usize = 256;

/// Where a walk goes on, and the place where it ends; 0: after the last place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Walk {
    next: usize,
    end: usize,
}

impl Walk {
    fn begin(running: Option<Self>) -> Self {
        running.map_or(Self { next: 0, end: 0 }, |Self { next, .. }| Self { next, end: next })
    }

    /// The next part of a table with so many places, and the remainder of the walk.
    fn part(self, places: usize) -> (Range<usize>, Option<Self>) {
        let Self { next, end } = self;
        let last_round = next < end;
        let bound = if last_round { end } else { places };
        let to = next.saturating_add(MAX_PLACES_A_TURN).min(bound);
        let rest = match to < bound {
            true => Some(Self { next: to, end }),
            false => (!last_round && end > 0).then_some(Self { next: 0, end }),
        };
        (next..to, rest)
    }
}

/// The walks of a shard, one for each reason.
#[derive(Debug, Default)]
pub(super) struct TableWalks {
    /// The users, or the banned addresses, have changed.
    users: Option<Walk>,
    /// What was relayed is added to the accounts.
    accounts: Option<Walk>,
    /// The policy, or the addresses of this machine, have changed.
    peers: Option<Walk>,
}

impl TableWalks {
    pub(super) fn check_users(&mut self) {
        self.users = Some(Walk::begin(self.users));
    }

    pub(super) fn settle_accounts(&mut self) {
        self.accounts = Some(Walk::begin(self.accounts));
    }

    pub(super) fn check_peers(&mut self) {
        self.peers = Some(Walk::begin(self.peers));
    }

    pub(super) const fn are_done(&self) -> bool {
        self.users.is_none() && self.accounts.is_none() && self.peers.is_none()
    }

    /// Goes on by one part in each walk, in a table with so many places.
    pub(super) fn next_parts(&mut self, places: usize) -> Parts {
        let next = |walk: &mut Option<Walk>| {
            let (part, rest) = walk.take()?.part(places);
            *walk = rest;
            Some(part)
        };
        Parts { users: next(&mut self.users), accounts: next(&mut self.accounts), peers: next(&mut self.peers) }
    }
}

/// The places that are to be visited now, by the reasons of [`TableWalks`].
pub(super) struct Parts {
    pub(super) users: Option<Range<usize>>,
    pub(super) accounts: Option<Range<usize>>,
    pub(super) peers: Option<Range<usize>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes on until the walk ends, in a table that grows by `growth` places after each part, and returns the visited places.
    fn visited(walk: Walk, mut places: usize, growth: usize) -> Vec<usize> {
        let (mut walk, mut visited) = (Some(walk), Vec::new());
        while let Some(running) = walk {
            let (part, rest) = running.part(places);
            assert!(part.len() <= MAX_PLACES_A_TURN);
            visited.extend(part);
            walk = rest;
            places += growth;
        }
        visited
    }

    #[test]
    fn a_walk_visits_every_place_once_in_parts() {
        for places in [0, 1, MAX_PLACES_A_TURN, MAX_PLACES_A_TURN + 1, 1000] {
            assert_eq!(visited(Walk::begin(None), places, 0), (0..places).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_walk_that_begins_again_visits_every_place_and_reaches_the_last_ones_first() {
        let (_, running) = Walk::begin(None).part(1000);
        let again = Walk::begin(running);
        for growth in [0, 100] {
            let mut visited = visited(again, 1000, growth);
            assert_eq!(visited.first(), Some(&MAX_PLACES_A_TURN));
            visited.sort_unstable();
            let all = visited.len();
            visited.dedup();
            assert_eq!(visited.len(), all, "no place is visited twice");
            assert_eq!(visited[..1000], (0..1000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_walk_that_begins_again_in_its_last_round_visits_every_place() {
        let once = Walk { next: 100, end: 900 };
        let mut visited = visited(Walk::begin(Some(once)), 1000, 0);
        visited.sort_unstable();
        assert_eq!(visited, (0..1000).collect::<Vec<_>>());
        assert_eq!(Walk::begin(Some(Walk { next: 0, end: 500 })), Walk { next: 0, end: 0 });
    }
}
