//! The part of a shard that stays when its engine starts again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::diagnosis::watch::Watch;
use crate::limits::bans::BannedAddresses;
use crate::relay::admission::Admission;
use crate::relay::ingress_forwarding::IngressForwarding;
use crate::relay::io::poll::{PollWaker, Poller};
use crate::relay::refusals::RefusalReports;
use crate::relay::setup::client_sockets::ClientSocket;
use crate::relay::shard::mailbox::{MailboxReceiver, ShardMailbox};
use crate::relay::shard::packet_queue::PacketQueue;
use crate::relay::stats::counters::ShardCounters;
use crate::relay::tcp::acceptor::Acceptor;
use crate::relay::users::RelayUsers;
use crate::turn::{self, EngineSettings, PeerPolicy, SharedState};

/// The things that a shard keeps for its whole life.
pub(in crate::relay) struct ShardContext {
    pub(in crate::relay) index: u8,
    pub(in crate::relay) settings: Arc<EngineSettings>,
    pub(in crate::relay) policy: PeerPolicy,
    pub(in crate::relay) engine_shard: turn::ShardSettings,
    pub(in crate::relay) shared: Arc<SharedState>,
    pub(in crate::relay) users: Arc<dyn RelayUsers>,
    /// The addresses whose clients are not served.
    pub(in crate::relay) banned: BannedAddresses,
    pub(in crate::relay) admission: Admission,
    pub(in crate::relay) stats: Arc<ShardCounters>,
    pub(in crate::relay) refusals: RefusalReports,
    pub(in crate::relay) watch: Watch,
    pub(in crate::relay) messages: MailboxReceiver,
    /// The mailboxes of all shards, by index.
    pub(in crate::relay) mailboxes: Vec<ShardMailbox>,
    /// The packets between relayed addresses that wait for the shards, by index.
    pub(in crate::relay) packet_queues: Arc<[PacketQueue]>,
    pub(in crate::relay) poller: Poller,
    /// Wakes the thread that watches the machine's addresses.
    pub(in crate::relay) watcher: PollWaker,
    /// The clients' UDP sockets: the first one, and those of the second port and of NAT behaviour discovery.
    pub(in crate::relay) client_sockets: Vec<ClientSocket>,
    /// The clients' TCP sockets: the first one, and that of the second port.
    pub(in crate::relay) acceptors: Vec<Acceptor>,
    /// `None`: the shard serves all connections itself.
    pub(in crate::relay) forwarding: Option<IngressForwarding>,
    /// How long packets may gather before a wake.
    pub(in crate::relay) coalesce: Duration,
    /// Whether clients are told of ICMP errors: pion's client and its descendants end at a Data indication without DATA.
    pub(in crate::relay) icmp_indications: bool,
    pub(in crate::relay) stop_at: Option<Instant>,
    /// The start of the relay, from which the counters measure time.
    pub(in crate::relay) epoch: Instant,
}

impl ShardContext {
    /// The mailboxes of the other shards.
    pub(in crate::relay) fn other_mailboxes(&self) -> impl Iterator<Item = &ShardMailbox> {
        (0..).zip(&self.mailboxes).filter(|(index, _)| *index != self.index).map(|(_, mailbox)| mailbox)
    }
}
