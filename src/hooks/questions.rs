//! The questions that wait, those that were sent, and the answers that are remembered. The time is an argument.
//!
//! - Owner: [`super::authorize::Authorizer`], behind a lock.
//! - Invariants: an address can take neither all requests nor all places of those that wait, and where no place is left, whoever has most of
//!   them gives way. What waits and what is remembered is bounded.
//!   While the operator's server doesn't answer, one question at a time finds out whether it does again.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::body::Bytes;

use super::question::Key;
use crate::config::secret::Secret;
use crate::limits::ip_prefix;

pub(super) const MAX_REQUESTS: usize = 16;
/// Requests of one address. Others have the rest.
const MAX_REQUESTS_OF_ADDRESS: usize = 8;
/// Questions that wait for a request, of all addresses and of one, and their bytes.
const MAX_WAITING: usize = 1024;
const MAX_WAITING_OF_ADDRESS: usize = 128;
const MAX_WAITING_BYTES: usize = 1 << 20;
const MAX_WAITING_BYTES_OF_ADDRESS: usize = 64 * 1024;
/// What a question takes besides its JSON.
const QUESTION_OVERHEAD_BYTES: usize = 256;
/// A question with less time left is not sent: its answer would hardly come in time.
const MIN_REQUEST_TIME: Duration = Duration::from_millis(500);
/// How long a yes is remembered, and how many are.
const YES_LIFETIME: Duration = Duration::from_secs(30);
const MAX_REMEMBERED: usize = 10_000;
/// Requests in a row without any answer after which nothing is asked for [`DOWN_TIME`].
const MAX_UNANSWERED: u32 = 8;
const DOWN_TIME: Duration = Duration::from_secs(3);

/// A question on its way; `T` names who waits for its answer.
#[derive(Debug, Clone)]
pub(super) struct Asking<T> {
    /// It has the token in it.
    pub(super) json: Secret<Bytes>,
    pub(super) until: Instant,
    pub(super) waiter: T,
    /// The client that asks.
    pub(super) client: IpAddr,
    pub(super) answer_key: Option<Key>,
    pub(super) request_key: Key,
}

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<T, W = ()> {
    /// The answer is yes.
    Remembered,
    /// The same question is on its way, and its answer is for this one too.
    Shared(T),
    Waits(W),
    /// The operator's server doesn't answer.
    Down,
    /// Too many others wait, or too many of this address.
    Full,
}

/// How a request has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Yes,
    /// Any other answer.
    Other,
    Unanswered,
    /// It had too little time to say anything about the server.
    Unknown,
}

/// The questions of one address that wait. There is at least one.
#[derive(Debug)]
struct Crowd<T> {
    questions: VecDeque<Asking<T>>,
    bytes: usize,
}

impl<T> Default for Crowd<T> {
    fn default() -> Self {
        Self { questions: VecDeque::new(), bytes: 0 }
    }
}

#[derive(Debug)]
pub(super) struct Questions<T> {
    waiting: BTreeMap<IpAddr, Crowd<T>>,
    /// The addresses of `waiting`, in the order of their turns.
    turns: VecDeque<IpAddr>,
    waiting_count: usize,
    waiting_bytes: usize,
    /// Requests that were sent, by address.
    sent: BTreeMap<IpAddr, usize>,
    sent_count: usize,
    /// Of all questions that wait or were sent, by request key.
    waiters: HashMap<Key, T>,
    remembered: HashMap<Key, Instant>,
    /// Their ends, the next one first.
    ends: VecDeque<(Instant, Key)>,
    unanswered: u32,
    down_until: Option<Instant>,
    /// The question that finds out whether the server answers again.
    probe: Option<Key>,
}

impl<T> Default for Questions<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            turns: VecDeque::new(),
            waiting_count: 0,
            waiting_bytes: 0,
            sent: BTreeMap::new(),
            sent_count: 0,
            waiters: HashMap::new(),
            remembered: HashMap::new(),
            ends: VecDeque::new(),
            unanswered: 0,
            down_until: None,
            probe: None,
        }
    }
}

impl<T: Clone> Questions<T> {
    pub(super) fn ask(&mut self, asking: Asking<T>, now: Instant) -> Place<T> {
        self.forget(now);
        if asking.answer_key.is_some_and(|key| self.remembered.contains_key(&key)) {
            return Place::Remembered;
        }
        if let Some(waiter) = self.waiters.get(&asking.request_key) {
            return Place::Shared(waiter.clone());
        }
        if self.down_until.is_some_and(|until| now < until || self.probe.is_some()) {
            return Place::Down;
        }
        if !self.make_place(&asking) {
            return Place::Full;
        }
        if self.down_until.is_some() {
            self.probe = Some(asking.request_key);
        }
        self.waiters.insert(asking.request_key, asking.waiter.clone());
        let bytes = bytes(&asking);
        self.waiting_count += 1;
        self.waiting_bytes += bytes;
        let crowd = self.waiting.entry(asking.client).or_default();
        if crowd.questions.is_empty() {
            self.turns.push_back(asking.client);
        }
        crowd.bytes += bytes;
        crowd.questions.push_back(asking);
        Place::Waits(())
    }

    /// Makes a place for the newcomer. The newest questions of those who have most give way, unless that is the newcomer's address.
    fn make_place(&mut self, newcomer: &Asking<T>) -> bool {
        let bytes = bytes(newcomer);
        let (count_of_address, bytes_of_address) =
            self.waiting.get(&newcomer.client).map_or((0, 0), |crowd| (crowd.questions.len(), crowd.bytes));
        if count_of_address >= MAX_WAITING_OF_ADDRESS || bytes_of_address + bytes > MAX_WAITING_BYTES_OF_ADDRESS {
            return false;
        }
        loop {
            let is_full = self.waiting_count >= MAX_WAITING;
            if !is_full && self.waiting_bytes + bytes <= MAX_WAITING_BYTES {
                return true;
            }
            let largest = if is_full {
                self.largest(newcomer.client, 1, |crowd| crowd.questions.len())
            } else {
                self.largest(newcomer.client, bytes, |crowd| crowd.bytes)
            };
            let Some(largest) = largest else { return false };
            self.drop_newest(largest);
        }
    }

    /// The address with most in the site with most; `None`: that would be the newcomer's, with its question of size `added`.
    fn largest(&self, newcomer: IpAddr, added: usize, size: impl Fn(&Crowd<T>) -> usize) -> Option<IpAddr> {
        let mut sites = HashMap::from([(ip_prefix::of_site(newcomer), added)]);
        for (address, crowd) in &self.waiting {
            *sites.entry(ip_prefix::of_site(*address)).or_default() += size(crowd);
        }
        let rank = |address: IpAddr, of_address: usize| (sites[&ip_prefix::of_site(address)], of_address);
        let own = rank(newcomer, self.waiting.get(&newcomer).map_or(0, &size) + added);
        let (largest, address) = self.waiting.iter().map(|(address, crowd)| (rank(*address, size(crowd)), *address)).max()?;
        (largest > own).then_some(address)
    }

    fn drop_newest(&mut self, client: IpAddr) {
        let asking = self.remove(client, VecDeque::pop_back);
        if !self.waiting.contains_key(&client) {
            self.turns.retain(|turn| *turn != client);
        }
        self.leave(&asking);
    }

    /// The next question to send, if another request may be sent. Skips those with too little time left, and those that nobody waits for.
    pub(super) fn next(&mut self, now: Instant, is_awaited: impl Fn(&T) -> bool) -> Option<Asking<T>> {
        while self.sent_count < MAX_REQUESTS {
            let may_send = |client: &IpAddr| self.sent.get(client).is_none_or(|count| *count < MAX_REQUESTS_OF_ADDRESS);
            let turn = self.turns.iter().position(may_send)?;
            let asking = self.take(turn);
            if now + MIN_REQUEST_TIME <= asking.until && is_awaited(&asking.waiter) {
                *self.sent.entry(asking.client).or_default() += 1;
                self.sent_count += 1;
                return Some(asking);
            }
            self.leave(&asking);
        }
        None
    }

    /// Takes the first question of the address whose turn it is.
    fn take(&mut self, turn: usize) -> Asking<T> {
        let client = self.turns.remove(turn).expect("it is a turn");
        let asking = self.remove(client, VecDeque::pop_front);
        if self.waiting.contains_key(&client) {
            self.turns.push_back(client);
        }
        asking
    }

    /// Takes one of the questions of an address that has some.
    fn remove(&mut self, client: IpAddr, pop: fn(&mut VecDeque<Asking<T>>) -> Option<Asking<T>>) -> Asking<T> {
        let crowd = self.waiting.get_mut(&client).expect("it has questions");
        let asking = pop(&mut crowd.questions).expect("it has questions");
        let bytes = bytes(&asking);
        crowd.bytes -= bytes;
        if crowd.questions.is_empty() {
            self.waiting.remove(&client);
        }
        self.waiting_count -= 1;
        self.waiting_bytes -= bytes;
        asking
    }

    /// Nothing is known of the question any more.
    fn leave(&mut self, asking: &Asking<T>) {
        self.waiters.remove(&asking.request_key);
        if self.probe == Some(asking.request_key) {
            self.probe = None;
        }
    }

    /// A request of [`Self::next`] has ended.
    pub(super) fn finish(&mut self, asking: &Asking<T>, ending: Ending, now: Instant) {
        let was_probe = self.probe == Some(asking.request_key);
        self.leave(asking);
        self.sent_count -= 1;
        let of_client = self.sent.get_mut(&asking.client).expect("it was sent");
        *of_client -= 1;
        if *of_client == 0 {
            self.sent.remove(&asking.client);
        }
        if ending == Ending::Unknown {
            return;
        }
        if ending == Ending::Unanswered {
            self.unanswered += 1;
            if was_probe || self.unanswered >= MAX_UNANSWERED {
                (self.down_until, self.unanswered) = (Some(now + DOWN_TIME), 0);
            }
            return;
        }
        (self.down_until, self.unanswered) = (None, 0);
        if let Some(key) = asking.answer_key.filter(|_| ending == Ending::Yes) {
            self.remember(key, now);
        }
    }

    fn remember(&mut self, key: Key, now: Instant) {
        self.forget(now);
        if self.remembered.len() >= MAX_REMEMBERED
            && let Some((_, oldest)) = self.ends.pop_front()
        {
            self.remembered.remove(&oldest);
        }
        let end = now + YES_LIFETIME;
        if self.remembered.insert(key, end).is_some() {
            // The same question from two addresses was answered twice.
            self.ends.retain(|(_, other)| *other != key);
        }
        self.ends.push_back((end, key));
    }

    fn forget(&mut self, now: Instant) {
        while let Some((_, key)) = self.ends.pop_front_if(|(end, _)| *end <= now) {
            self.remembered.remove(&key);
        }
    }
}

fn bytes<T>(asking: &Asking<T>) -> usize {
    asking.json.expose().len() + QUESTION_OVERHEAD_BYTES
}

#[cfg(test)]
#[path = "questions_tests.rs"]
mod tests;
