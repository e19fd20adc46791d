//! Counts and bounds the bytes that wait for clients, for each client and in total. PURE.
//!
//! The server has one [`Ledger`]. Everything that holds bytes for one client has an [`Account`] in it: a Socket.IO session, a WebSocket of
//! Collider, an HTTP connection, the messages for a client that is away. Bytes count from the moment they are made until they are written to the
//! client's socket, or dropped.
//!
//! ```
//! use castway::limits::waiting_bytes::Ledger;
//!
//! let ledger = Ledger::default();
//! let account = ledger.open(None);
//! let waiting = account.add(1000).expect("the account is open");
//! assert_eq!(ledger.bytes(), 1000);
//! drop(waiting);
//! assert_eq!(ledger.bytes(), 0);
//! ```
//!
//! Invariants:
//! - An account with more than [`MAX_CLIENT_BYTES`] is closed. While all accounts have more than [`MAX_TOTAL_BYTES`], the largest one is
//!   closed, no matter whose bytes came last.
//! - A closed account takes no more bytes and counts none. The functions given to [`Account::on_close`] are called once, and make the owner drop
//!   the bytes that wait; values that are kept in the account itself are dropped here.
//! - The bytes of closed accounts stay in memory until their connections end. While these are many, no client is read for which bytes wait
//!   ([`Account::poll_may_read`]), because its messages would cause more of them.
//! - The index orders accounts by their bytes, so that the largest one is never searched for.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::any::Any;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

/// Bytes that wait for one client: four of the largest descriptions as JSON.
pub const MAX_CLIENT_BYTES: usize = 2 << 20;
/// Bytes that wait for all clients, besides `ADDED_BYTES_PER_ACCOUNT`. They take up to five times as much in the libraries' buffers, which
/// grow by doubling.
pub const MAX_TOTAL_BYTES: usize = 8 << 20;
/// While the bytes of closed accounts are more than may wait, an account that grows beyond this is closed: connections end more slowly than
/// clients can cause new bytes.
const MAX_BYTES_UNDER_PRESSURE: usize = 32 * 1024;
/// A client for which at most so many bytes wait is always read.
const ALWAYS_READ_BYTES: usize = 8 * 1024;
/// Each open account adds this to the total bound, because all clients are sent new credentials within seconds.
const ADDED_BYTES_PER_ACCOUNT: usize = 2 * 1024;
/// Resolution of the index: accounts whose bytes differ by less count as equal, and accounts with fewer bytes are not in it.
const INDEX_STEP_BYTES: usize = 1024;

/// Of two accounts with the same bytes the older one is closed first, because the client of a new one is likely to read.
type IndexKey = (usize, Reverse<u64>);

/// All accounts; clones share them.
#[derive(Debug, Clone)]
pub struct Ledger(Arc<LedgerInner>);

#[derive(Debug, Default)]
struct LedgerInner {
    max: usize,
    added_per_account: usize,
    open: AtomicUsize,
    total: AtomicUsize,
    /// Bytes of closed accounts that are not dropped yet.
    orphaned: AtomicUsize,
    closed: AtomicU64,
    next: AtomicU64,
    /// The accounts with at least [`INDEX_STEP_BYTES`], by their bytes.
    index: Mutex<BTreeMap<IndexKey, Weak<AccountInner>>>,
    /// The accounts of clients at a known address.
    owned: Mutex<BTreeMap<u64, (IpAddr, Weak<AccountInner>)>>,
    /// Held while the largest accounts are closed.
    closing: Mutex<()>,
    /// The tasks of clients that are not read now, by account.
    paused: Mutex<BTreeMap<u64, Waker>>,
}

/// The bytes that wait for one client; clones share them.
#[derive(Clone)]
pub struct Account(Arc<AccountInner>);

struct AccountInner {
    ledger: Ledger,
    id: u64,
    owner: Option<IpAddr>,
    closed: AtomicBool,
    state: Mutex<AccountState>,
}

#[derive(Default)]
struct AccountState {
    bytes: usize,
    /// The account's place in the index, in steps; 0 if it is not in the index.
    steps: usize,
    kept: BTreeMap<u64, Box<dyn Any + Send>>,
    /// Bytes of the kept values.
    kept_bytes: usize,
    next_kept: u64,
    on_close: Vec<Box<dyn FnOnce() + Send>>,
}

/// Bytes that count as waiting until this is dropped.
#[derive(Debug)]
pub struct WaitingBytes {
    account: Account,
    bytes: usize,
}

/// A value that is kept in an account until it is taken, or until the account is closed.
pub struct KeptValue<T> {
    account: Account,
    key: u64,
    bytes: usize,
    kind: PhantomData<fn() -> T>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new(MAX_TOTAL_BYTES, ADDED_BYTES_PER_ACCOUNT)
    }
}

impl Ledger {
    /// Makes a ledger. `max`: bytes of all accounts, to which each open account adds `added_per_account`.
    #[must_use]
    pub fn new(max: usize, added_per_account: usize) -> Self {
        Self(Arc::new(LedgerInner { max, added_per_account, ..LedgerInner::default() }))
    }

    /// Opens an account for a client at this address, or `None` for a client that is away.
    #[must_use]
    pub fn open(&self, owner: Option<IpAddr>) -> Account {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        let (closed, state) = (AtomicBool::new(false), Mutex::default());
        let account = Arc::new(AccountInner { ledger: self.clone(), id, owner, closed, state });
        if let Some(owner) = owner {
            self.owned().insert(id, (owner, Arc::downgrade(&account)));
        }
        Account(account)
    }

    /// Closes the accounts of clients at these addresses, which ends all that they have here. Visits every account.
    pub fn close_of(&self, is_one: impl Fn(IpAddr) -> bool, why: &str) {
        let found: Vec<_> =
            self.owned().values().filter(|(owner, _)| is_one(*owner)).map(|(_, account)| account.clone()).collect();
        for account in found.iter().filter_map(Weak::upgrade) {
            Account(account).close_uncounted(why);
        }
    }

    fn owned(&self) -> MutexGuard<'_, BTreeMap<u64, (IpAddr, Weak<AccountInner>)>> {
        self.0.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that may wait now.
    #[must_use]
    pub fn max(&self) -> usize {
        self.0.max + self.0.added_per_account * self.0.open.load(Ordering::Relaxed)
    }

    /// Bytes that wait now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.total.load(Ordering::Acquire)
    }

    /// How many accounts have been closed because they, or all accounts together, had too many bytes.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.0.closed.load(Ordering::Relaxed)
    }

    /// Whether at most a quarter more bytes are in memory than may wait.
    fn has_memory(&self) -> bool {
        self.bytes() + self.0.orphaned.load(Ordering::Relaxed) <= self.max() / 4 * 5
    }

    fn paused(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.0.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_under_pressure(&self) -> bool {
        self.0.orphaned.load(Ordering::Relaxed) > self.max()
    }

    /// Closes the largest accounts until the others have few enough bytes.
    fn close_largest(&self) {
        if self.bytes() <= self.max() {
            return;
        }
        // Only one thread closes accounts at a time: once the largest is closed, the next one may stay.
        let _closing = self.0.closing.lock().unwrap_or_else(PoisonError::into_inner);
        while self.bytes() > self.max() {
            let largest = self.index().pop_last();
            match largest.map(|(_, account)| account.upgrade()) {
                Some(Some(account)) => Account(account).close("the server holds too many bytes"),
                Some(None) => {}
                None => return,
            }
        }
    }

    fn index(&self) -> MutexGuard<'_, BTreeMap<IndexKey, Weak<AccountInner>>> {
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    /// Counts bytes that wait from now on. Returns `None` if the account is closed, possibly because of these bytes.
    #[must_use]
    pub fn add(&self, bytes: usize) -> Option<WaitingBytes> {
        self.count(bytes, false).then(|| WaitingBytes { account: self.clone(), bytes })
    }

    /// Keeps a value of so many bytes. Returns `None` if the account is closed, possibly because of these bytes.
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

    /// Ready if the client may be read now; if not, the task is woken later.
    pub fn poll_may_read(&self, cx: &Context<'_>) -> Poll<()> {
        let may_read = || self.0.ledger.has_memory() || self.is_closed() || self.bytes() <= ALWAYS_READ_BYTES;
        if may_read() {
            return Poll::Ready(());
        }
        self.0.ledger.paused().insert(self.0.id, cx.waker().clone());
        // Memory may have been freed just before the waker was registered.
        if may_read() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Wakes the client's task, if necessary, after bytes of this account have been freed. `bytes` are left.
    fn wake_paused(&self, bytes: usize) {
        let ledger = &self.0.ledger;
        if ledger.has_memory() {
            let paused = std::mem::take(&mut *ledger.paused());
            paused.into_values().for_each(Waker::wake);
        } else if bytes <= ALWAYS_READ_BYTES {
            let own = ledger.paused().remove(&self.0.id);
            own.into_iter().for_each(Waker::wake);
        }
    }

    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Calls `act` when the account is closed, or immediately if it is closed already. The call happens under the locks of the
    /// sender, so `act` may only wake tasks.
    pub fn on_close(&self, act: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if self.is_closed() {
            drop(state);
            act();
        } else {
            state.on_close.push(Box::new(act));
        }
    }

    /// Closes the account: the bytes that wait for its client will never be read.
    pub fn close(&self, why: &str) {
        self.close_and_count(why, 1);
    }

    /// Closes the account for another reason than its bytes.
    fn close_uncounted(&self, why: &str) {
        self.close_and_count(why, 0);
    }

    /// Closes the account, and counts it before its owner can notice that.
    fn close_and_count(&self, why: &str, count: u64) {
        let mut state = self.lock();
        if self.is_closed() {
            return;
        }
        self.0.ledger.0.closed.fetch_add(count, Ordering::Relaxed);
        self.0.closed.store(true, Ordering::Release);
        let bytes = std::mem::take(&mut state.bytes);
        self.0.ledger.0.total.fetch_sub(bytes, Ordering::Relaxed);
        self.0.ledger.0.orphaned.fetch_add(bytes - state.kept_bytes, Ordering::Relaxed);
        self.update_index(&mut state);
        let (kept, acts) = (std::mem::take(&mut state.kept), std::mem::take(&mut state.on_close));
        drop(state);
        drop(kept);
        self.wake_paused(0);
        match self.0.owner {
            Some(from) => tracing::debug!(%from, bytes, why, "closing what a client has here"),
            None => tracing::debug!(bytes, why, "dropping the messages for a client that is away"),
        }
        acts.into_iter().for_each(|act| act());
    }

    fn count(&self, bytes: usize, kept: bool) -> bool {
        let mut state = self.lock();
        if self.is_closed() {
            return false;
        }
        let under_pressure = state.bytes > MAX_BYTES_UNDER_PRESSURE && self.0.ledger.is_under_pressure();
        if under_pressure || state.bytes + bytes > MAX_CLIENT_BYTES {
            drop(state);
            self.close(if under_pressure { "the server holds too many bytes" } else { "too many bytes wait for it" });
            return false;
        }
        state.bytes += bytes;
        state.kept_bytes += if kept { bytes } else { 0 };
        // The index is updated before the total, so that a thread that finds the total too large finds this account in the index.
        self.update_index(&mut state);
        self.0.ledger.0.total.fetch_add(bytes, Ordering::Release);
        drop(state);
        self.0.ledger.close_largest();
        !self.is_closed()
    }

    fn discount(&self, bytes: usize, kept: bool) {
        let mut state = self.lock();
        if !self.is_closed() {
            state.bytes -= bytes;
            state.kept_bytes -= if kept { bytes } else { 0 };
            self.0.ledger.0.total.fetch_sub(bytes, Ordering::Relaxed);
            self.update_index(&mut state);
        } else if !kept {
            self.0.ledger.0.orphaned.fetch_sub(bytes, Ordering::Relaxed);
        }
        let left = state.bytes;
        drop(state);
        self.wake_paused(left);
    }

    /// Moves the account to its place in the index.
    fn update_index(&self, state: &mut AccountState) {
        let (old, new) = (state.steps, state.bytes / INDEX_STEP_BYTES);
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

    fn lock(&self) -> MutexGuard<'_, AccountState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.0.id).field("bytes", &self.bytes()).finish()
    }
}

impl Drop for AccountInner {
    fn drop(&mut self) {
        self.ledger.paused().remove(&self.id);
        if self.owner.is_some() {
            self.ledger.owned().remove(&self.id);
        }
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
    /// Whether the value is still kept and passes the test.
    pub fn is(&self, test: impl FnOnce(&T) -> bool) -> bool {
        self.account.lock().kept.get(&self.key).and_then(|value| value.downcast_ref()).is_some_and(test)
    }

    /// Takes the value, or `None` if it was dropped when the account was closed.
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
        let mut expected: Vec<usize> =
            accounts.iter().map(|account| account.bytes() / INDEX_STEP_BYTES).filter(|steps| *steps > 0).collect();
        expected.sort_unstable();
        assert_eq!(filed, expected);
    }

    #[test]
    fn a_closed_account_is_counted_before_its_owner_is_told() {
        let ledger = Ledger::new(2 * MAX_CLIENT_BYTES, 0);
        let accounts = [(); 3].map(|()| ledger.open(None));
        let (counting, told) = (ledger.clone(), Arc::<Mutex<Vec<u64>>>::default());
        for account in &accounts {
            let (counting, told) = (counting.clone(), Arc::clone(&told));
            account.on_close(move || told.lock().unwrap().push(counting.closed()));
        }
        let _waiting = accounts.each_ref().map(|account| account.add(MAX_CLIENT_BYTES));
        accounts[2].add(1).ok_or(()).expect_err("it has all that it may have");
        assert_eq!(*told.lock().unwrap(), [1, 2], "one for the bytes of all, and one for its own");
    }

    #[test]
    fn the_accounts_of_an_address_are_closed_and_those_of_others_are_not() {
        let ledger = Ledger::default();
        let of = |ip: &str| ledger.open(Some(ip.parse().unwrap()));
        let (one, other, away) = (of("192.0.2.1"), of("192.0.2.2"), ledger.open(None));
        let again = of("192.0.2.1");
        let told = Arc::<AtomicUsize>::default();
        let telling = Arc::clone(&told);
        one.on_close(move || {
            telling.fetch_add(1, Ordering::Relaxed);
        });
        let close = || ledger.close_of(|ip| ip == IpAddr::from([192, 0, 2, 1]), "it is banned");
        close();
        close();
        assert_eq!([&one, &again, &other, &away].map(Account::is_closed), [true, true, false, false]);
        assert_eq!((told.load(Ordering::Relaxed), ledger.closed()), (1, 0), "told once, and not counted as slow readers");
        drop((one, again, other));
        assert!(ledger.owned().is_empty(), "nothing is remembered of those who left");
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
        let ledger = Ledger::new(4 * MAX_BYTES_UNDER_PRESSURE, 0);
        let (first, second, third) = (ledger.open(None), ledger.open(None), ledger.open(None));
        let mut held = Vec::new();
        for account in [&first, &second] {
            held.extend((0..4).map(|_| account.add(MAX_BYTES_UNDER_PRESSURE)));
            account.close("test");
        }
        assert!(ledger.bytes() == 0 && held.iter().all(Option::is_some));
        let small = third.add(MAX_BYTES_UNDER_PRESSURE + 1);
        assert!(small.is_some() && third.add(1).is_none() && third.is_closed());
        drop((held, small));
        assert_eq!(ledger.0.orphaned.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn while_closed_accounts_leave_much_behind_only_those_are_heard_for_whom_little_waits() {
        let ledger = Ledger::new(100 * INDEX_STEP_BYTES, 0);
        let [gone, other, some, little] = [(); 4].map(|()| ledger.open(None));
        let may_read = |account: &Account| account.poll_may_read(&Context::from_waker(Waker::noop())).is_ready();
        let _held = [some.add(2 * ALWAYS_READ_BYTES), little.add(ALWAYS_READ_BYTES)];
        let behind = (gone.add(60 * INDEX_STEP_BYTES), other.add(40 * INDEX_STEP_BYTES));
        assert!(gone.is_closed() && !other.is_closed() && may_read(&other));
        other.close("in a test");
        let more = some.add(10 * INDEX_STEP_BYTES);
        assert!(!may_read(&some) && may_read(&little) && may_read(&other));
        assert_eq!(ledger.paused().len(), 1);
        drop((behind, more));
        assert!(ledger.paused().is_empty() && may_read(&some), "it was woken");
    }

    #[test]
    fn whoever_has_taken_what_waited_may_read_again() {
        let ledger = Ledger::new(100 * INDEX_STEP_BYTES, 0);
        let [gone, slow] = [(); 2].map(|()| ledger.open(None));
        let behind = (gone.add(99 * INDEX_STEP_BYTES), gone.add(99 * INDEX_STEP_BYTES));
        let waiting = slow.add(99 * INDEX_STEP_BYTES);
        assert!(gone.is_closed() && slow.poll_may_read(&Context::from_waker(Waker::noop())).is_pending());
        drop(waiting);
        assert!(ledger.paused().is_empty(), "it was woken");
        assert!(slow.poll_may_read(&Context::from_waker(Waker::noop())).is_ready() && behind.0.is_some());
        let again = slow.add(99 * INDEX_STEP_BYTES);
        assert!(slow.poll_may_read(&Context::from_waker(Waker::noop())).is_pending());
        drop((again, slow));
        assert!(ledger.paused().is_empty());
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
        let ledger = Ledger::new(100 * INDEX_STEP_BYTES, 0);
        let [small, large, larger] = [(); 3].map(|()| ledger.open(None));
        let _held = [small.add(2 * INDEX_STEP_BYTES), large.add(40 * INDEX_STEP_BYTES), larger.add(50 * INDEX_STEP_BYTES)];
        let more = small.add(10 * INDEX_STEP_BYTES).expect("it is not the largest");
        assert!(larger.is_closed() && !large.is_closed() && !small.is_closed());
        is_right(&ledger, &[&small, &large]);
        drop(more);
        let most = small.add(70 * INDEX_STEP_BYTES);
        assert!(most.is_none() && small.is_closed() && !large.is_closed(), "now it is");
        is_right(&ledger, &[&large]);
    }

    #[test]
    fn nobody_with_little_is_closed_by_those_who_add_much_at_the_same_time() {
        let ledger = Ledger::new(64 * INDEX_STEP_BYTES, 0);
        let honest: Vec<_> = (0..2).map(|_| ledger.open(None)).collect();
        std::thread::scope(|scope| {
            for account in &honest {
                scope.spawn(|| (0..20_000).for_each(|_| drop(account.add(2 * INDEX_STEP_BYTES))));
            }
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5000 {
                        let hostile = ledger.open(None);
                        let _held = [(); 4].map(|()| hostile.add(20 * INDEX_STEP_BYTES));
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
        let ledger = Ledger::new(1000 * INDEX_STEP_BYTES, 0);
        let accounts: Vec<_> = (0..2000).map(|_| ledger.open(None)).collect();
        let held: Vec<_> = accounts.iter().map(|account| account.add(INDEX_STEP_BYTES)).collect();
        assert!(ledger.bytes() <= 1000 * INDEX_STEP_BYTES);
        drop(held);
        assert_eq!(ledger.bytes(), 0);
    }
}
