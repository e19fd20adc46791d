//! The thread that watches users and addresses, and tells the shards what has changed.
//!
//! The kernel reports changes of addresses and routes ([`AddressChanges`]), and a shard whose relayed socket can't be bound wakes the
//! thread. Reading everything takes a millisecond at most, and is done at most ten times a second.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::addresses::changes::AddressChanges;
use crate::relay::io::poll::{Interest, PollWaker, Poller};
use crate::relay::setup::local_addresses::{AddressReader, log_closed_networks};
use crate::relay::shard::mailbox::{ShardMailbox, ShardMessage};
use crate::relay::users::RelayUsers;
use crate::turn::{MachineAddresses, PeerPolicy};

/// How often the watcher looks for disabled users, for bans and for a new external address.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// How often the watcher reads the machine's addresses and networks although no change was reported.
const ADDRESS_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// The same, where the kernel reports no changes.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Changes that follow each other more closely are read together.
const MIN_READ_INTERVAL: Duration = Duration::from_millis(100);
/// How often the shards add what was relayed to the accounts of the users, and so end the allocations of those who may relay no more.
const SETTLE_INTERVAL: Duration = Duration::from_secs(2);
/// The token of [`AddressChanges`].
const CHANGES_TOKEN: u64 = 0;

/// Compares the users and addresses with those that the shards know.
pub(super) struct ChangeWatcher {
    pub(super) users: Arc<dyn RelayUsers>,
    pub(super) revision: u64,
    pub(super) reader: AddressReader,
    /// The addresses that the shards know.
    pub(super) addresses: MachineAddresses,
    pub(super) policy: PeerPolicy,
    pub(super) mailboxes: Vec<ShardMailbox>,
    pub(super) poller: Poller,
}

/// Ends the watcher's thread when it is dropped.
#[derive(Debug)]
pub(super) struct WatcherStop {
    stopped: Arc<AtomicBool>,
    waker: PollWaker,
}

impl WatcherStop {
    pub(super) fn new(waker: PollWaker) -> Self {
        Self { stopped: Arc::default(), waker }
    }

    pub(super) fn stopped(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stopped)
    }
}

impl Drop for WatcherStop {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl ChangeWatcher {
    /// Runs until `stopped` is set.
    pub(super) fn run(mut self, stopped: &AtomicBool) {
        let changes = self.watch_changes();
        let interval = if changes.is_some() { WATCH_INTERVAL } else { POLL_INTERVAL };
        let check_interval = if changes.is_some() { ADDRESS_CHECK_INTERVAL } else { POLL_INTERVAL };
        // What has changed since the start was not reported.
        let mut next_check = Instant::now();
        let mut next_settling = next_check + SETTLE_INTERVAL;
        while !stopped.load(Ordering::Acquire) {
            if self.poller.wait(Some(interval)).is_err() {
                std::thread::sleep(MIN_READ_INTERVAL);
            }
            let is_reported = self.poller.was_woken() || self.poller.ready().next().is_some();
            changes.iter().for_each(AddressChanges::clear);
            self.check_users();
            if next_settling <= Instant::now() {
                next_settling = Instant::now() + SETTLE_INTERVAL;
                self.mailboxes.iter().for_each(|shard| shard.send(ShardMessage::SettleAccounts));
            }
            let is_new = self.reader.external.relayed_ips() != self.addresses.relayed;
            if stopped.load(Ordering::Acquire) || !(is_reported || is_new || next_check <= Instant::now()) {
                continue;
            }
            let addresses = self.reader.read();
            if addresses != self.addresses {
                self.publish(addresses);
            }
            next_check = Instant::now() + check_interval;
            std::thread::sleep(MIN_READ_INTERVAL);
        }
    }

    fn watch_changes(&self) -> Option<AddressChanges> {
        let changes = AddressChanges::open().and_then(|changes| {
            self.poller.add(&changes, CHANGES_TOKEN, Interest::Read)?;
            Ok(changes)
        });
        changes
            .inspect_err(|error| tracing::debug!(%error, "the kernel reports no changes of addresses, so they are polled"))
            .ok()
    }

    fn check_users(&mut self) {
        let revision = self.users.revision();
        if std::mem::replace(&mut self.revision, revision) != revision {
            self.mailboxes.iter().for_each(|shard| shard.send(ShardMessage::CheckUsers));
        }
    }

    fn publish(&mut self, addresses: MachineAddresses) {
        let bound = |addresses: &MachineAddresses| addresses.relayed.map(|relayed| relayed.map(|relayed| relayed.bound));
        if bound(&addresses) == bound(&self.addresses) {
            tracing::info!("the machine's addresses have changed");
        } else {
            log_bound(&self.reader, &bound(&addresses));
        }
        let before = self.policy.closed_neighbours();
        self.policy.neighbours.clone_from(&addresses.neighbours);
        let closed = self.policy.closed_neighbours();
        if closed != before {
            log_closed_networks(&closed);
        }
        let shared = Arc::new(addresses.clone());
        self.addresses = addresses;
        for shard in &self.mailboxes {
            shard.send(ShardMessage::Addresses(Arc::clone(&shared)));
        }
    }
}

/// Logs to which addresses relayed sockets are bound from now on.
pub(super) fn log_bound(reader: &AddressReader, bound: &[Option<IpAddr>; 2]) {
    if reader.external.is_without_address() {
        tracing::warn!("this machine has no address that others can reach; the relay uses loopback until it has one");
        return;
    }
    let ips: Vec<String> = bound.iter().flatten().map(IpAddr::to_string).collect();
    tracing::info!(addresses = ips.join(" and "), "the machine's addresses have changed; new relayed addresses use these");
}
