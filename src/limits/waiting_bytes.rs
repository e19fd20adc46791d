//! Bytes that wait for clients, counted for each of them and over all. PURE.
//!
//! A [`Ledger`] belongs to the whole server. Whatever waits somewhere for one client has an [`Account`] in it: a Socket.IO session, a
//! WebSocket of Collider, an HTTP connection, the mailbox of a client that is away. Bytes are counted from the moment they are made
//! until they are written to the client's socket, or dropped.
//!
//! Invariants:
//! - An account with more than [`MAX_CLIENT_BYTES`] is closed, and so is the one with most as long as all together have more than
//!   [`MAX_TOTAL_BYTES`]; it does not matter whose bytes were the last.
//! - A closed account takes nothing more and counts no more. Whoever has opened it is told once, by [`Account::on_close`], and has to
//!   drop what waits; what is kept in the account itself is dropped here.
//! - What closed accounts have left behind stays in memory until their connections end. While that is much, nobody is heard for whom
//!   something waits ([`Account::poll_may_read`]), since what clients say makes more of it.
//! - An account is found in the index by what it has, so that the largest one is never searched for.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::any::Any;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// Bytes that wait for one client at most: four of the largest descriptions as JSON.
pub const MAX_CLIENT_BYTES: usize = 2 << 20;
/// Bytes that wait for all of them at most, besides those that each may have. What waits takes up to five times that in the libraries'
/// buffers, which grow by doubling.
pub const MAX_TOTAL_BYTES: usize = 8 << 20;
/// Where what closed accounts have left behind comes to as much as may wait, an account that adds to more than so many bytes is closed:
/// connections end more slowly than clients can ask for more.
const STRAINED_BYTES: usize = 32 * 1024;
/// Bytes that wait for a client that is heard however much waits for all.
const CALM_BYTES: usize = 8 * 1024;
/// So many more for each account there is: everybody is sent new credentials at the same time.
const BYTES_OF_EACH: usize = 2 * 1024;
/// Accounts whose bytes differ by less than so many count as equal, and those with less can't be the largest.
const STEP: usize = 1024;

/// Of two accounts with the same bytes the older one goes first: what has just come is likely to be read.
type Key = (usize, Reverse<u64>);

/// All accounts; clones share them.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    most: usize,
    of_each: usize,
    open: AtomicUsize,
    total: AtomicUsize,
    /// Of closed accounts, and not dropped yet.
    leaving: AtomicUsize,
    closed: AtomicU64,
    next: AtomicU64,
    /// Accounts with a [`STEP`] of bytes at least, by how many.
    index: Mutex<BTreeMap<Key, Weak<Inner>>>,
    /// Held by whoever closes the largest accounts.
    relieving: Mutex<()>,
    /// Of those who are not heard now, by account.
    unheard: Mutex<BTreeMap<u64, Waker>>,
}

/// What waits for one client; clones share it.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    id: u64,
    owner: Option<IpAddr>,
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: usize,
    /// Where the account is in the index, in steps; 0: nowhere.
    steps: usize,
    kept: BTreeMap<u64, Box<dyn Any + Send>>,
    /// Bytes of those.
    kept_bytes: usize,
    next_kept: u64,
    on_close: Vec<Box<dyn FnOnce() + Send>>,
}

/// Bytes that wait, until this is dropped.
#[derive(Debug)]
pub struct WaitingBytes {
    account: Account,
    bytes: usize,
}

/// Something that is kept in an account until it is taken, or until the account is closed.
pub struct KeptValue<T> {
    account: Account,
    key: u64,
    bytes: usize,
    kind: PhantomData<fn() -> T>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(MAX_TOTAL_BYTES, BYTES_OF_EACH)
    }
}

impl Ledger {
    /// `most`: bytes over all accounts, and `of_each` more for each that is open.
    #[must_use]
    pub fn new(most: usize, of_each: usize) -> Self {
        Self(Arc::new(Shared { most, of_each, ..Shared::default() }))
    }

    /// An account for a client at this address, or for one that is away.
    #[must_use]
    pub fn open(&self, owner: Option<IpAddr>) -> Account {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        let (closed, state) = (AtomicBool::new(false), Mutex::default());
        Account(Arc::new(Inner { ledger: self.clone(), id, owner, closed, state }))
    }

    /// Bytes that may wait now.
    #[must_use]
    pub fn most(&self) -> usize {
        self.0.most + self.0.of_each * self.0.open.load(Ordering::Relaxed)
    }

    /// Bytes that wait now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.total.load(Ordering::Acquire)
    }

    /// Accounts that were closed, for too much of their own or of all.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Whether not much more is in memory than may wait.
    fn is_calm(&self) -> bool {
        self.bytes() + self.0.leaving.load(Ordering::Relaxed) <= self.most() / 4 * 5
    }

    fn unheard(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.0.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_strained(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed) > self.most()
    }

    /// Closes the largest accounts until the rest has few enough bytes.
    fn relieve(&self) {
        if self.bytes() <= self.most() {
            return;
        }
        // One after the other: until the largest is closed, the next one has not to be.
        let _relieving = self.0.relieving.lock().unwrap_or_else(PoisonError::into_inner);
        while self.bytes() > self.most() {
            let largest = self.index().pop_last();
            match largest.map(|(_, account)| account.upgrade()) {
                Some(Some(account)) => Account(account).close("the server holds too much"),
                Some(None) => {}
                None => return,
            }
        }
    }

    fn index(&self) -> MutexGuard<'_, BTreeMap<Key, Weak<Inner>>> {
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Counts bytes that wait from now on. `None`: the account is closed, by these bytes perhaps.
    #[must_use]
    pub fn add(&self, bytes: usize) -> Option<WaitingBytes> {
        self.count(bytes, false).then(|| WaitingBytes { account: self.clone(), bytes })
    }

    /// Keeps something of so many bytes. `None`: the account is closed, by these bytes perhaps.
    #[must_use]
    pub fn keep<T: Send + 'static>(&self, value: T, bytes: usize) -> Option<KeptValue<T>> {
        let mut state = self.lock();
        let key = state.next_kept;
        state.next_kept += 1;
        state.kept.insert(key, Box::new(value));
        drop(state);
        if self.count(bytes, true) {
            return Some(KeptValue { account: self.clone(), key, bytes, kind: PhantomData });
        }
        let value = self.lock().kept.remove(&key);
        drop(value);
        None
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Whether the client is to be heard now. If not, the task is woken when it may be.
    pub fn poll_may_read(&self, cx: &Context<'_>) -> Poll<()> {
        let is_heard = || self.0.ledger.is_calm() || self.is_closed() || self.bytes() <= CALM_BYTES;
        if is_heard() {
            return Poll::Ready(());
        }
        self.0.ledger.unheard().insert(self.0.id, cx.waker().clone());
        // That may have come too late.
        if is_heard() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Something of this account is not in memory any more.
    fn calm(&self, bytes: usize) {
        let ledger = &self.0.ledger;
        if ledger.is_calm() {
            let unheard = std::mem::take(&mut *ledger.unheard());
            unheard.into_values().for_each(Waker::wake);
        } else if bytes <= CALM_BYTES {
            let own = ledger.unheard().remove(&self.0.id);
            own.into_iter().for_each(Waker::wake);
        }
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Has something done when the account is closed, at once where it is. It runs under the locks of whoever sends, so it
    /// must do no more than wake somebody.
    pub fn on_close(&self, act: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if self.is_closed() {
            drop(state);
            act();
        } else {
            state.on_close.push(Box::new(act));
        }
    }

    /// Ends an account: what waits for its client will never be read.
    pub fn close(&self, why: &str) {
        let mut state = self.lock();
        if self.0.closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let bytes = std::mem::take(&mut state.bytes);
        self.0.ledger.0.total.fetch_sub(bytes, Ordering::Relaxed);
        self.0.ledger.0.leaving.fetch_add(bytes - state.kept_bytes, Ordering::Relaxed);
        self.file(&mut state);
        let (kept, acts) = (std::mem::take(&mut state.kept), std::mem::take(&mut state.on_close));
        drop(state);
        drop(kept);
        self.calm(0);
        self.0.ledger.0.closed.fetch_add(1, Ordering::Relaxed);
        match self.0.owner {
            Some(from) => tracing::debug!(%from, bytes, why, "closing a client that too much is held for"),
            None => tracing::debug!(bytes, why, "dropping what waits for a client that is away"),
        }
        acts.into_iter().for_each(|act| act());
    }

    fn count(&self, bytes: usize, kept: bool) -> bool {
        let mut state = self.lock();
        if self.is_closed() {
            return false;
        }
        let strained = state.bytes > STRAINED_BYTES && self.0.ledger.is_strained();
        if strained || state.bytes + bytes > MAX_CLIENT_BYTES {
            drop(state);
            self.close(if strained { "the server holds too much" } else { "too much waits for it" });
            return false;
        }
        state.bytes += bytes;
        state.kept_bytes += if kept { bytes } else { 0 };
        // In this order: whoever finds too much then finds it here, not with another account.
        self.file(&mut state);
        self.0.ledger.0.total.fetch_add(bytes, Ordering::Release);
        drop(state);
        self.0.ledger.relieve();
        !self.is_closed()
    }

    fn discount(&self, bytes: usize, kept: bool) {
        let mut state = self.lock();
        if !self.is_closed() {
            state.bytes -= bytes;
            state.kept_bytes -= if kept { bytes } else { 0 };
            self.0.ledger.0.total.fetch_sub(bytes, Ordering::Relaxed);
            self.file(&mut state);
        } else if !kept {
            self.0.ledger.0.leaving.fetch_sub(bytes, Ordering::Relaxed);
        }
        let left = state.bytes;
        drop(state);
        self.calm(left);
    }

    /// Puts the account where it belongs in the index.
    fn file(&self, state: &mut State) {
        let (old, new) = (state.steps, state.bytes / STEP);
        if old == new {
            return;
        }
        let mut index = self.0.ledger.index();
        index.remove(&(old, Reverse(self.0.id)));
        if new > 0 {
            index.insert((new, Reverse(self.0.id)), Arc::downgrade(&self.0));
        }
        state.steps = new;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.0.id).field("bytes", &self.bytes()).finish()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.ledger.unheard().remove(&self.id);
        self.ledger.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl WaitingBytes {
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for WaitingBytes {
    fn drop(&mut self) {
        self.account.discount(self.bytes, false);
    }
}

impl<T: Send + 'static> KeptValue<T> {
    /// Whether it is there, and such a thing.
    pub fn is(&self, test: impl FnOnce(&T) -> bool) -> bool {
        self.account.lock().kept.get(&self.key).and_then(|value| value.downcast_ref()).is_some_and(test)
    }

    /// `None`: it was dropped, since the account was closed.
    #[must_use]
    pub fn take(self) -> Option<T> {
        let value = self.account.lock().kept.remove(&self.key)?;
        value.downcast().ok().map(|value| *value)
    }
}

impl<T> KeptValue<T> {
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<T> Drop for KeptValue<T> {
    fn drop(&mut self) {
        let value = self.account.lock().kept.remove(&self.key);
        drop(value);
        self.account.discount(self.bytes, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_right(ledger: &Ledger, accounts: &[&Account]) {
        assert_eq!(ledger.bytes(), accounts.iter().map(|account| account.bytes()).sum::<usize>());
        let filed: Vec<usize> = ledger.index().keys().map(|(steps, _)| *steps).collect();
        let mut expected: Vec<usize> = accounts.iter().map(|account| account.bytes() / STEP).filter(|steps| *steps > 0).collect();
        expected.sort_unstable();
        assert_eq!(filed, expected);
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let (first, second) = (account.add(6000), account.add(500));
        is_right(&ledger, &[&account]);
        assert_eq!(ledger.bytes(), 6500);
        drop(first);
        is_right(&ledger, &[&account]);
        drop(second);
        is_right(&ledger, &[&account]);
        assert_eq!(ledger.bytes(), 0);
    }

    #[test]
    fn what_closed_accounts_have_left_behind_keeps_others_small() {
        let ledger = Ledger::new(4 * STRAINED_BYTES, 0);
        let (first, second, third) = (ledger.open(None), ledger.open(None), ledger.open(None));
        let mut held = Vec::new();
        for account in [&first, &second] {
            held.extend((0..4).map(|_| account.add(STRAINED_BYTES)));
            account.close("test");
        }
        assert!(ledger.bytes() == 0 && held.iter().all(Option::is_some));
        let small = third.add(STRAINED_BYTES + 1);
        assert!(small.is_some() && third.add(1).is_none() && third.is_closed());
        drop((held, small));
        assert_eq!(ledger.0.leaving.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn while_closed_accounts_leave_much_behind_only_those_are_heard_for_whom_little_waits() {
        let ledger = Ledger::new(100 * STEP, 0);
        let [gone, other, some, little] = [(); 4].map(|()| ledger.open(None));
        let is_heard = |account: &Account| account.poll_may_read(&Context::from_waker(Waker::noop())).is_ready();
        let _held = [some.add(2 * CALM_BYTES), little.add(CALM_BYTES)];
        let behind = (gone.add(60 * STEP), other.add(40 * STEP));
        assert!(gone.is_closed() && !other.is_closed() && is_heard(&other));
        other.close("in a test");
        let more = some.add(10 * STEP);
        assert!(!is_heard(&some) && is_heard(&little) && is_heard(&other));
        assert_eq!(ledger.unheard().len(), 1);
        drop((behind, more));
        assert!(ledger.unheard().is_empty() && is_heard(&some), "it was woken");
    }

    #[test]
    fn whoever_has_taken_what_waited_is_heard_again() {
        let ledger = Ledger::new(100 * STEP, 0);
        let [gone, slow] = [(); 2].map(|()| ledger.open(None));
        let behind = (gone.add(99 * STEP), gone.add(99 * STEP));
        let waiting = slow.add(99 * STEP);
        assert!(gone.is_closed() && slow.poll_may_read(&Context::from_waker(Waker::noop())).is_pending());
        drop(waiting);
        assert!(ledger.unheard().is_empty(), "it was woken");
        assert!(slow.poll_may_read(&Context::from_waker(Waker::noop())).is_ready() && behind.0.is_some());
        let again = slow.add(99 * STEP);
        assert!(slow.poll_may_read(&Context::from_waker(Waker::noop())).is_pending());
        drop((again, slow));
        assert!(ledger.unheard().is_empty());
    }

    #[test]
    fn more_than_one_client_may_have_closes_it_once_and_counts_no_more() {
        let ledger = Ledger::default();
        let (account, told) = (ledger.open(None), Arc::new(AtomicU64::new(0)));
        let count = || {
            let told = Arc::clone(&told);
            move || {
                told.fetch_add(1, Ordering::Relaxed);
            }
        };
        account.on_close(count());
        let held = account.add(MAX_CLIENT_BYTES).expect("so many may wait");
        assert!(account.add(1).is_none() && account.is_closed());
        assert!(account.add(0).is_none(), "a closed account takes nothing");
        account.close("again");
        account.on_close(count());
        assert_eq!(told.load(Ordering::Relaxed), 2, "whoever comes late is told, too");
        assert_eq!((ledger.bytes(), ledger.closed()), (0, 1));
        drop(held);
        assert_eq!(ledger.bytes(), 0);
        is_right(&ledger, &[]);
    }

    #[test]
    fn the_one_with_most_goes_first_whoever_adds_the_last_byte() {
        let ledger = Ledger::new(100 * STEP, 0);
        let [small, large, larger] = [(); 3].map(|()| ledger.open(None));
        let _held = [small.add(2 * STEP), large.add(40 * STEP), larger.add(50 * STEP)];
        let more = small.add(10 * STEP).expect("it is not the largest");
        assert!(larger.is_closed() && !large.is_closed() && !small.is_closed());
        is_right(&ledger, &[&small, &large]);
        drop(more);
        let most = small.add(70 * STEP);
        assert!(most.is_none() && small.is_closed() && !large.is_closed(), "now it is");
        is_right(&ledger, &[&large]);
    }

    #[test]
    fn nobody_with_little_is_closed_by_those_who_add_much_at_the_same_time() {
        let ledger = Ledger::new(64 * STEP, 0);
        let honest: Vec<_> = (0..2).map(|_| ledger.open(None)).collect();
        std::thread::scope(|scope| {
            for account in &honest {
                scope.spawn(|| (0..20_000).for_each(|_| drop(account.add(2 * STEP))));
            }
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5000 {
                        let hostile = ledger.open(None);
                        let _held = [(); 4].map(|()| hostile.add(20 * STEP));
                    }
                });
            }
        });
        assert!(ledger.closed() > 0 && !honest.iter().any(Account::is_closed));
    }

    #[test]
    fn what_is_kept_is_taken_once_or_goes_with_its_account() {
        let ledger = Ledger::default();
        let account = ledger.open(None);
        let value = Arc::new(());
        let [first, second, third] = [(); 3].map(|()| account.keep(Arc::clone(&value), 5000).expect("there is room"));
        assert!(first.take().is_some());
        assert_eq!((ledger.bytes(), Arc::strong_count(&value)), (10_000, 3));
        drop(second);
        assert_eq!((ledger.bytes(), Arc::strong_count(&value)), (5000, 2));
        account.close("for a test");
        assert_eq!((ledger.bytes(), Arc::strong_count(&value)), (0, 1), "it holds no memory any more");
        assert!(third.take().is_none());
        assert!(account.keep(value, 1).is_none());
        is_right(&ledger, &[]);
    }

    #[test]
    fn many_clients_that_hold_little_are_bounded_too() {
        let ledger = Ledger::new(1000 * STEP, 0);
        let accounts: Vec<_> = (0..2000).map(|_| ledger.open(None)).collect();
        let held: Vec<_> = accounts.iter().map(|account| account.add(STEP)).collect();
        assert!(ledger.bytes() <= 1000 * STEP);
        drop(held);
        assert_eq!(ledger.bytes(), 0);
    }
}
