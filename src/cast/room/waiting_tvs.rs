//! TVs that wait for a code, because more TVs arrive than the server gives codes to in a second, or because no place is free. PURE.
//!
//! - The TVs of one client (an IPv4 address, an IPv6 /64) wait in one **queue**. Sites (an IPv4 address, an IPv6 /48) take turns, and so do
//!   the clients of a site: however many TVs a site has waiting, each other site waits for one of them at a time (start-time fair
//!   queueing).
//! - A queue whose first TV finds no place is **blocked** and tried again after [`RETRY_INTERVAL`].
//! - A waiting TV takes 2.6 KiB at most, of which 2.3 KiB are what it says of itself: all of them together take 27 MB.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::state::VerifiedOpen;
use crate::cast::model::Dialect;
use crate::limits::fair_shares::FairShares;
use crate::limits::ip_prefix;
use crate::limits::token_bucket::TokenBucket;
use crate::socketio::gateway::client_id::ClientId;

/// New TVs that get a code without waiting, and the interval at which one more does. All TVs of a large hotel have their codes after two
/// seconds; one costs about 50 µs.
const ADMISSION_BURST: u32 = 250;
const ADMISSION_INTERVAL: Duration = Duration::from_millis(2);
/// TVs that wait, of all clients.
const MAX_WAITING: usize = 10_000;
/// TVs of one client that wait: as many as may have a code.
const MAX_WAITING_PER_CLIENT: usize = 1000;
/// How long a queue for which no place is free stays blocked.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A TV's place in its queue: established TVs come first, then the order of arrival counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct QueuePosition {
    is_new: bool,
    number: u64,
    client: ClientId,
}

struct WaitingTv {
    position: QueuePosition,
    request: VerifiedOpen,
}

struct Queue {
    positions: BTreeSet<QueuePosition>,
    state: QueueState,
}

#[derive(Clone, Copy)]
enum QueueState {
    /// The queue's first TV is tried when this turn is the smallest one.
    Scheduled(u64),
    /// No TV of the queue is tried before this time.
    Blocked(Instant),
}

#[derive(Default)]
struct Site {
    /// The last turn that the site was given.
    last_turn: u64,
    queues: usize,
}

/// Invariant: each waiting TV is in its client's queue; no queue is empty; each queue is in `turns` or in `blocked`.
pub(super) struct WaitingTvs {
    tvs: HashMap<ClientId, WaitingTv>,
    queues: HashMap<IpAddr, Queue>,
    turns: BTreeSet<(u64, IpAddr)>,
    blocked: BTreeSet<(Instant, IpAddr)>,
    sites: HashMap<IpAddr, Site>,
    /// The latest turn that was served.
    served_turn: u64,
    /// The order in which TVs stop waiting when too many wait: the newest first.
    shares: FairShares<(Reverse<u64>, ClientId)>,
    count: u64,
    rate: TokenBucket,
    last_arrival: Option<Instant>,
}

impl WaitingTvs {
    pub(super) fn new() -> Self {
        Self {
            tvs: HashMap::new(),
            queues: HashMap::new(),
            turns: BTreeSet::new(),
            blocked: BTreeSet::new(),
            sites: HashMap::new(),
            served_turn: 0,
            shares: FairShares::default(),
            count: 0,
            rate: TokenBucket::new(ADMISSION_BURST, ADMISSION_INTERVAL),
            last_arrival: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tvs.len()
    }

    pub(super) fn contains(&self, client: ClientId) -> bool {
        self.tvs.contains_key(&client)
    }

    /// Whether a TV may have its code without waiting, which counts against the rate; it has to wait if others do.
    pub(super) fn admit_without_waiting(&mut self, from: IpAddr, now: Instant) -> bool {
        self.turns.is_empty() && !self.queues.contains_key(&ip_prefix::of_client(from)) && self.rate.take(now).is_ok()
    }

    /// Adds a TV, or updates the request of one that waits already. `no_place`: the TV has been tried, so its queue begins blocked.
    /// Returns the TV that no longer waits because too many do, which may be this one.
    pub(super) fn push(
        &mut self,
        client: ClientId,
        request: VerifiedOpen,
        no_place: bool,
        now: Instant,
    ) -> Option<(ClientId, Dialect)> {
        if let Some(WaitingTv { request: waiting, .. }) = self.tvs.get_mut(&client) {
            let was_established = waiting.is_established;
            waiting.update(request);
            if waiting.is_established == was_established {
                return None;
            }
            let request = waiting.clone();
            self.remove(client);
            return self.push(client, request, no_place, now);
        }
        let network = ip_prefix::of_client(request.from);
        let dropped = match self.room_for(network) {
            Ok(dropped) => dropped,
            Err(TooManyWait) => return Some((client, request.dialect)),
        };
        let dropped = dropped.map(|dropped| (dropped, self.tvs[&dropped].request.dialect));
        if let Some((dropped, _)) = dropped {
            self.remove(dropped);
        }
        self.last_arrival = Some(now);
        self.count += 1;
        let position = QueuePosition { is_new: !request.is_established, number: self.count, client };
        self.shares.insert(network, (Reverse(self.count), client));
        self.tvs.insert(client, WaitingTv { position, request });
        if let Some(queue) = self.queues.get_mut(&network) {
            queue.positions.insert(position);
        } else {
            let site = self.sites.entry(ip_prefix::of_site(network)).or_default();
            if site.queues == 0 {
                site.last_turn = self.served_turn;
            }
            site.queues += 1;
            let state = self.schedule(network, no_place.then_some(now + RETRY_INTERVAL));
            self.queues.insert(network, Queue { positions: BTreeSet::from([position]), state });
        }
        dropped
    }

    /// The TV that has to stop waiting so that one more of `network` can; an error: the newcomer can't wait.
    fn room_for(&self, network: IpAddr) -> Result<Option<ClientId>, TooManyWait> {
        if self.shares.of_client(network) >= MAX_WAITING_PER_CLIENT {
            return Err(TooManyWait);
        }
        match self.shares.first_of_all() {
            Some((most, (_, newest))) if self.tvs.len() >= MAX_WAITING => {
                if most > self.shares.of_site(network) {
                    Ok(Some(newest))
                } else {
                    Err(TooManyWait)
                }
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Ends a TV's waiting; `false`: it did not wait.
    pub(super) fn remove(&mut self, client: ClientId) -> bool {
        let Some(WaitingTv { position, request }) = self.tvs.remove(&client) else { return false };
        let network = ip_prefix::of_client(request.from);
        self.shares.remove(network, (Reverse(position.number), client));
        let queue = self.queues.get_mut(&network).expect("a waiting TV is in a queue");
        queue.positions.remove(&position);
        if queue.positions.is_empty() {
            let state = queue.state;
            self.queues.remove(&network);
            self.unschedule(network, state);
            let site_prefix = ip_prefix::of_site(network);
            let site = self.sites.get_mut(&site_prefix).expect("a queue belongs to a site");
            site.queues -= 1;
            if site.queues == 0 {
                self.sites.remove(&site_prefix);
            }
        }
        true
    }

    /// The TV whose turn it is; the caller reports the result by [`Self::resolve`].
    pub(super) fn next(&mut self, now: Instant) -> Option<(ClientId, VerifiedOpen)> {
        while let Some(&(until, network)) = self.blocked.first()
            && until <= now
        {
            self.reschedule(network, None);
        }
        if self.rate.ready().is_some_and(|ready| ready > now) {
            return None;
        }
        let &(turn, network) = self.turns.first()?;
        self.served_turn = self.served_turn.max(turn);
        let &QueuePosition { client, .. } = self.queues[&network].positions.first().expect("no queue is empty");
        Some((client, self.tvs[&client].request.clone()))
    }

    /// The TV whose turn it was got its seat, or found no place.
    pub(super) fn resolve(&mut self, client: ClientId, seated: bool, now: Instant) {
        let Some(WaitingTv { request, .. }) = self.tvs.get(&client) else { return };
        let network = ip_prefix::of_client(request.from);
        if seated {
            self.rate.take(now).ok();
            self.remove(client);
        }
        if self.queues.contains_key(&network) {
            self.reschedule(network, (!seated).then_some(now + RETRY_INTERVAL));
        }
    }

    /// When [`Self::next`] returns a TV.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let turn = self.turns.first().and(self.rate.ready().max(self.last_arrival));
        turn.into_iter().chain(self.blocked.first().map(|(until, _)| *until)).min()
    }

    fn reschedule(&mut self, network: IpAddr, blocked_until: Option<Instant>) {
        let state = self.queues[&network].state;
        self.unschedule(network, state);
        let state = self.schedule(network, blocked_until);
        self.queues.get_mut(&network).expect("looked up above").state = state;
    }

    fn schedule(&mut self, network: IpAddr, blocked_until: Option<Instant>) -> QueueState {
        if let Some(until) = blocked_until {
            self.blocked.insert((until, network));
            return QueueState::Blocked(until);
        }
        let site = self.sites.get_mut(&ip_prefix::of_site(network)).expect("a queue belongs to a site");
        site.last_turn = site.last_turn.max(self.served_turn) + 1;
        self.turns.insert((site.last_turn, network));
        QueueState::Scheduled(site.last_turn)
    }

    fn unschedule(&mut self, network: IpAddr, state: QueueState) {
        match state {
            QueueState::Scheduled(turn) => self.turns.remove(&(turn, network)),
            QueueState::Blocked(until) => self.blocked.remove(&(until, network)),
        };
    }

    /// Whether all tables agree.
    #[cfg(test)]
    pub(super) fn agree(&self) -> bool {
        let waiting = self.queues.values().map(|queue| queue.positions.len()).sum::<usize>();
        let queues = self.sites.values().map(|site| site.queues).sum::<usize>();
        waiting == self.tvs.len()
            && self.shares.len() == waiting
            && queues == self.queues.len()
            && self.turns.len() + self.blocked.len() == queues
            && self.queues.iter().all(|(network, queue)| match queue.state {
                QueueState::Scheduled(turn) => self.turns.contains(&(turn, *network)),
                QueueState::Blocked(until) => self.blocked.contains(&(until, *network)),
            })
    }
}

/// As many TVs wait as may.
struct TooManyWait;
