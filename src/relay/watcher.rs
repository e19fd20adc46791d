//! The thread that watches users and addresses, and tells the shards what has changed.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::addresses::external::ExternalAddresses;
use crate::relay::setup::local_addresses::{LocalAddresses, log_closed_networks};
use crate::relay::shard::mailbox::{ShardMailbox, ShardMessage};
use crate::relay::users::RelayUsers;
use crate::turn::{PeerPolicy, RelayedIp};

/// How often the watcher looks for disabled users and for a new external address.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// How often the watcher reads the machine's addresses and networks, which are closed to clients.
const ADDRESS_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Compares the users and addresses with those that the shards know.
pub(super) struct ChangeWatcher {
    pub(super) users: Arc<dyn RelayUsers>,
    pub(super) revision: u64,
    pub(super) external: ExternalAddresses,
    /// The relayed addresses that the shards know.
    pub(super) relayed: [Option<RelayedIp>; 2],
    pub(super) policy: PeerPolicy,
    pub(super) local: LocalAddresses,
    pub(super) mailboxes: Vec<ShardMailbox>,
}

impl ChangeWatcher {
    /// Runs until the other end of `stopped` is gone.
    pub(super) fn run(mut self, stopped: &mpsc::Receiver<()>) {
        let mut addresses_checked = Instant::now();
        while stopped.recv_timeout(WATCH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let revision = self.users.revision();
            if std::mem::replace(&mut self.revision, revision) != revision {
                self.mailboxes.iter().for_each(|shard| shard.send(ShardMessage::CheckUsers));
            }
            let relayed = self.external.relayed_ips();
            if relayed == self.relayed && addresses_checked.elapsed() < ADDRESS_CHECK_INTERVAL {
                continue;
            }
            addresses_checked = Instant::now();
            let local = LocalAddresses::read(&relayed);
            if relayed != self.relayed || local != self.local {
                self.publish(relayed, local);
            }
        }
    }

    fn publish(&mut self, relayed: [Option<RelayedIp>; 2], local: LocalAddresses) {
        tracing::info!("the machine's addresses have changed");
        let before = self.policy.closed_neighbours();
        self.policy.neighbours = local.neighbours.to_vec();
        let closed = self.policy.closed_neighbours();
        if closed != before {
            log_closed_networks(&closed);
        }
        (self.relayed, self.local) = (relayed, local);
        let advertised = relayed.map(|relayed| relayed.map(|relayed| relayed.advertised));
        for shard in &self.mailboxes {
            shard.send(ShardMessage::Addresses { advertised, local: self.local.clone() });
        }
    }
}
