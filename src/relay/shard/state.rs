//! The state of a shard between two turns of its loop.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;

use crate::limits::log_interval::LogInterval;
use crate::relay::io::inbox::Inbox;
use crate::relay::io::outbox::Outbox;
use crate::relay::io::poll_source::PollSource;
use crate::relay::shard::coalescing::WakeCoalescer;
use crate::relay::shard::context::ShardContext;
use crate::relay::shard::deferred_requests::DeferredRequests;
use crate::relay::shard::mailbox::ShardMessage;
use crate::relay::shard::operator_requests::Listing;
use crate::relay::shard::packet_queue::{PacketBatch, PendingWakes};
use crate::relay::shard::relayed_sockets::RelayedSockets;
use crate::relay::shard::table_walk::TableWalks;
use crate::relay::tcp::client_streams::ClientStreams;
use crate::relay::tcp::peer_connections::PeerConnections;
use crate::turn::{self, FiveTuple, RelayedAddressId};

/// Connections that one acceptor accepts in a turn.
pub(super) const MAX_ACCEPTS_A_TURN: usize = 16;
/// How long accepting pauses when descriptors have run out.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// How often the shard logs that peers in the machine's own networks were refused.
const NEIGHBOURS_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A shard with its engine.
pub(super) struct Shard {
    pub(super) context: ShardContext,
    pub(super) engine: turn::Engine,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) wakes: PendingWakes,
    /// The memory of packets that other shards have given to this one; empty between two turns.
    pub(super) packet_batch: PacketBatch,
    pub(super) streams: ClientStreams,
    pub(super) relayed_sockets: RelayedSockets,
    pub(super) peer_connections: PeerConnections,
    pub(super) deferred: DeferredRequests,
    /// Clients whose packets arrive here but belong to another shard (RFC 8016), with the index of that shard.
    pub(super) moved_clients: HashMap<FiveTuple, u8>,
    /// The clients' acceptors that are not polled, because descriptors had run out.
    pub(super) paused_acceptors: Vec<u8>,
    /// The same for the peers' acceptors of TCP allocations.
    pub(super) paused_relayed: Vec<RelayedAddressId>,
    pub(super) resume_accepting: Option<Instant>,
    pub(super) coalescer: WakeCoalescer,
    /// The buffer that streams are read into.
    pub(super) read_buffer: Vec<u8>,
    /// For the line that peers in the machine's own networks were refused.
    pub(super) neighbours_log: LogInterval,
    /// Refused peers in this machine's own networks when the log was last asked.
    pub(super) logged_neighbours: u64,
    /// The list of allocations that is being made.
    pub(super) listing: Option<Listing>,
    pub(super) walks: TableWalks,
    /// The number of packets in this turn.
    pub(super) packets: u32,
}

impl Shard {
    pub(super) fn new(context: ShardContext) -> Self {
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let users = Arc::clone(&context.users);
        let mut engine = turn::Engine::new(
            Arc::clone(&context.settings),
            context.policy.clone(),
            Arc::clone(&context.shared),
            users,
            context.engine_shard.clone(),
            seed,
        );
        if context.stop_at.is_some() {
            engine.refuse_allocations();
        }
        let relayed_sockets = RelayedSockets::new(context.admission.relayed.clone(), context.watcher.clone());
        Self {
            coalescer: WakeCoalescer::new(context.coalesce, Instant::now()),
            context,
            engine,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            wakes: PendingWakes::default(),
            packet_batch: PacketBatch::default(),
            streams: ClientStreams::default(),
            relayed_sockets,
            peer_connections: PeerConnections::default(),
            deferred: DeferredRequests::default(),
            moved_clients: HashMap::new(),
            paused_acceptors: Vec::new(),
            paused_relayed: Vec::new(),
            resume_accepting: None,
            read_buffer: Vec::new(),
            neighbours_log: LogInterval::new(NEIGHBOURS_LOG_INTERVAL),
            logged_neighbours: 0,
            listing: None,
            walks: TableWalks::default(),
            packets: 0,
        }
    }

    /// A shard with a fresh engine on the same sockets of clients. The ports and quota of the old engine's allocations are given
    /// back.
    pub(super) fn restarted(self) -> Self {
        let Self { mut context, mut engine, relayed_sockets, peer_connections, .. } = self;
        // The sockets must be closed before their ports are given back.
        drop((relayed_sockets, peer_connections));
        if catch_unwind(AssertUnwindSafe(|| engine.end_all())).is_err() {
            tracing::error!(shard = context.index, "some ports and quota of its allocations are lost until the next start");
        }
        // The other shards hand over packets of clients that have moved to this one.
        context.other_mailboxes().for_each(|mailbox| mailbox.send(ShardMessage::Restarted { shard: context.index }));
        context.stats.allocations.set(0);
        context.stats.streams.set(0);
        context.stats.peer_connections.set(0);
        // The edge of what has arrived meanwhile is not reported again.
        (0..)
            .zip(&context.client_sockets)
            .for_each(|(number, _)| context.poller.repeat(PollSource::ClientSocket(number).token()));
        let mut shard = Self::new(context);
        (shard.paused_acceptors, shard.resume_accepting) = (self.paused_acceptors, self.resume_accepting);
        shard.moved_clients = self.moved_clients;
        shard
    }
}
