//! TVs that wait for a code: since more come than the server gives codes to in a second, or since there is no place for them. PURE.
//!
//! - Those of one client (an IPv4 address, an IPv6 /64) stand in a **line**. Sites (an IPv4 address, an IPv6 /48) take turns, and so do
//!   the clients of a site: however many one has, each of the others waits for one of them at a time (start-time fair queueing).
//! - A line whose first TV finds no place is **blocked** and tried again after [`RETRY`].
//! - Nothing that a client can make long is kept: a wish has 300 bytes at most, so all that wait have 3 MB.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use crate::socketio::client_id::ClientId;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::model::{Dialect, Wish};
use crate::limits::fair_shares::FairShares;
use crate::limits::ip_prefix;
use crate::limits::token_bucket::TokenBucket;

/// New TVs that get a code: so many at once, and one more each interval. All TVs of a large hotel have theirs after two seconds; one
/// costs about 50 µs.
const RATE: (u32, Duration) = (250, Duration::from_millis(2));
/// TVs that wait.
const MAX_WAITING: usize = 10_000;
/// TVs of one client that wait; as many as it may have with a code.
const MAX_WAITING_OF_CLIENT: usize = 1000;
/// How often a line for which there is no place is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A TV in its line: those with an old token stand in front, then it is who came first.
type Turn = (bool, u64, ClientId);

struct Line {
    waiting: BTreeSet<Turn>,
    stands: Stands,
}

#[derive(Clone, Copy)]
enum Stands {
    /// The line's first TV is tried when this number is the smallest.
    InTurn(u64),
    /// Nobody of the line is tried before.
    Blocked(Instant),
}

/// Invariant: each wish is in the line of its client, and each line, none of which is empty, in `turns` or `blocked`.
pub(super) struct Arrivals {
    wishes: HashMap<ClientId, (Turn, Wish)>,
    lines: HashMap<IpAddr, Line>,
    turns: BTreeSet<(u64, IpAddr)>,
    blocked: BTreeSet<(Instant, IpAddr)>,
    /// The last turn that a site was given, and how many lines it has.
    sites: HashMap<IpAddr, (u64, usize)>,
    /// The turn that was the last to come.
    turn: u64,
    /// Who makes way where too many wait: the newest.
    shares: FairShares<(Reverse<u64>, ClientId)>,
    count: u64,
    rate: TokenBucket,
    /// When the last one came.
    last: Option<Instant>,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self {
            wishes: HashMap::new(),
            lines: HashMap::new(),
            turns: BTreeSet::new(),
            blocked: BTreeSet::new(),
            sites: HashMap::new(),
            turn: 0,
            shares: FairShares::default(),
            count: 0,
            rate: TokenBucket::new(RATE.0, RATE.1),
            last: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.wishes.len()
    }

    pub(super) fn contains(&self, connection: ClientId) -> bool {
        self.wishes.contains_key(&connection)
    }

    /// Counts a TV that need not wait; `false`: it must, since others do or the rate is met.
    pub(super) fn pass(&mut self, from: IpAddr, now: Instant) -> bool {
        self.turns.is_empty() && !self.lines.contains_key(&ip_prefix::of_client(from)) && self.rate.take(now).is_ok()
    }

    /// A TV waits, in vain until the line is tried again where there was no place; one that waits already wishes something else now.
    /// `Some`: too many do, and this one, which may be another, no longer does.
    pub(super) fn push(&mut self, connection: ClientId, wish: Wish, no_place: bool, now: Instant) -> Option<(ClientId, Dialect)> {
        if let Some((_, waiting)) = self.wishes.get_mut(&connection) {
            let was_old = waiting.is_old;
            waiting.update(wish);
            if waiting.is_old == was_old {
                return None;
            }
            let wish = waiting.clone();
            self.remove(connection);
            return self.push(connection, wish, no_place, now);
        }
        let client = ip_prefix::of_client(wish.from);
        let gone = match self.makes_way(client) {
            Ok(gone) => gone,
            Err(()) => return Some((connection, wish.dialect)),
        };
        let gone = gone.map(|gone| (gone, self.wishes[&gone].1.dialect));
        if let Some((gone, _)) = gone {
            self.remove(gone);
        }
        self.last = Some(now);
        self.count += 1;
        let turn = (!wish.is_old, self.count, connection);
        self.shares.insert(client, (Reverse(self.count), connection));
        self.wishes.insert(connection, (turn, wish));
        if let Some(line) = self.lines.get_mut(&client) {
            line.waiting.insert(turn);
        } else {
            self.sites.entry(ip_prefix::of_site(client)).or_insert((self.turn, 0)).1 += 1;
            let stands = self.stand(client, no_place.then_some(now + RETRY));
            self.lines.insert(client, Line { waiting: BTreeSet::from([turn]), stands });
        }
        gone
    }

    /// Who no longer waits where one more of `client` does; an error: it must not.
    fn makes_way(&self, client: IpAddr) -> Result<Option<ClientId>, ()> {
        if self.shares.of_client(client) >= MAX_WAITING_OF_CLIENT {
            return Err(());
        }
        match self.shares.first_of_all() {
            Some((most, (_, newest))) if self.wishes.len() >= MAX_WAITING => {
                if most > self.shares.of_site(client) {
                    Ok(Some(newest))
                } else {
                    Err(())
                }
            }
            Some(_) | None => Ok(None),
        }
    }

    /// A TV no longer waits; `false`: it did not.
    pub(super) fn remove(&mut self, connection: ClientId) -> bool {
        let Some((turn, wish)) = self.wishes.remove(&connection) else { return false };
        let client = ip_prefix::of_client(wish.from);
        self.shares.remove(client, (Reverse(turn.1), connection));
        let line = self.lines.get_mut(&client).expect("a wish is in a line");
        line.waiting.remove(&turn);
        if line.waiting.is_empty() {
            let stands = line.stands;
            self.lines.remove(&client);
            self.unstand(client, stands);
            let site = ip_prefix::of_site(client);
            let lines = &mut self.sites.get_mut(&site).expect("a line is of a site").1;
            *lines -= 1;
            if *lines == 0 {
                self.sites.remove(&site);
            }
        }
        true
    }

    /// Whose turn it is; it has to be told what came of it by [`Self::settle`].
    pub(super) fn next(&mut self, now: Instant) -> Option<(ClientId, Wish)> {
        while let Some(&(until, client)) = self.blocked.first()
            && until <= now
        {
            self.restand(client, None);
        }
        if self.rate.ready().is_some_and(|ready| ready > now) {
            return None;
        }
        let &(turn, client) = self.turns.first()?;
        self.turn = self.turn.max(turn);
        let &(.., connection) = self.lines[&client].waiting.first().expect("no line is empty");
        Some((connection, self.wishes[&connection].1.clone()))
    }

    /// The TV whose turn it is has a place, or there is none for it.
    pub(super) fn settle(&mut self, connection: ClientId, seated: bool, now: Instant) {
        let Some((_, wish)) = self.wishes.get(&connection) else { return };
        let client = ip_prefix::of_client(wish.from);
        if seated {
            self.rate.take(now).ok();
            self.remove(connection);
        }
        if self.lines.contains_key(&client) {
            self.restand(client, (!seated).then_some(now + RETRY));
        }
    }

    /// When [`Self::next`] has somebody.
    pub(super) fn due(&self) -> Option<Instant> {
        let turn = self.turns.first().and(self.rate.ready().max(self.last));
        turn.into_iter().chain(self.blocked.first().map(|(until, _)| *until)).min()
    }

    fn restand(&mut self, client: IpAddr, blocked: Option<Instant>) {
        let stands = self.lines[&client].stands;
        self.unstand(client, stands);
        let stands = self.stand(client, blocked);
        self.lines.get_mut(&client).expect("looked up above").stands = stands;
    }

    fn stand(&mut self, client: IpAddr, blocked: Option<Instant>) -> Stands {
        if let Some(until) = blocked {
            self.blocked.insert((until, client));
            return Stands::Blocked(until);
        }
        let last = &mut self.sites.get_mut(&ip_prefix::of_site(client)).expect("a line is of a site").0;
        *last = (*last).max(self.turn) + 1;
        self.turns.insert((*last, client));
        Stands::InTurn(*last)
    }

    fn unstand(&mut self, client: IpAddr, stands: Stands) {
        match stands {
            Stands::InTurn(turn) => self.turns.remove(&(turn, client)),
            Stands::Blocked(until) => self.blocked.remove(&(until, client)),
        };
    }

    /// Whether all tables agree.
    #[cfg(test)]
    pub(super) fn agree(&self) -> bool {
        let waiting = self.lines.values().map(|line| line.waiting.len()).sum::<usize>();
        let lines = self.sites.values().map(|(_, lines)| lines).sum::<usize>();
        waiting == self.wishes.len()
            && self.shares.len() == waiting
            && lines == self.lines.len()
            && self.turns.len() + self.blocked.len() == lines
            && self.lines.iter().all(|(client, line)| match line.stands {
                Stands::InTurn(turn) => self.turns.contains(&(turn, *client)),
                Stands::Blocked(until) => self.blocked.contains(&(until, *client)),
            })
    }
}
