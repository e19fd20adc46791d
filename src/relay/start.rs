//! Starts a relay: binds its sockets, makes the shards, and runs each on a thread of its own.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::Context as _;
use rand::Rng as _;

use crate::addresses::external::ExternalAddresses;
use crate::config::RelayConfig;
use crate::diagnosis::watch::Watch;
use crate::limits::descriptors::DescriptorPools;
use crate::relay::address_check::AddressCheck;
use crate::relay::admission::Admission;
use crate::relay::handle::Relay;
use crate::relay::io::poll::{Interest, Poller};
use crate::relay::io::poll_source::PollSource;
use crate::relay::live_allocations::LiveAllocations;
use crate::relay::refusals::RefusalReports;
use crate::relay::setup::client_sockets::ClientSockets;
use crate::relay::setup::engine_settings;
use crate::relay::setup::local_addresses::{AddressReader, log_closed_networks};
use crate::relay::shard::context::ShardContext;
use crate::relay::shard::event_loop;
use crate::relay::shard::mailbox::{MailboxReceiver, ShardMailbox, shard_mailbox};
use crate::relay::shard::packet_queue::PacketQueue;
use crate::relay::stats::StatsReader;
use crate::relay::stats::counters::ShardCounters;
use crate::relay::users::RelayUsers;
use crate::relay::watcher::{ChangeWatcher, WatcherStop, log_bound};
use crate::turn::{self, EngineSettings, PeerPolicy, SharedState};

/// Binds the clients' sockets and closes them again.
///
/// # Errors
/// As those of [`start`] about these sockets.
pub fn check_ports(config: &RelayConfig) -> anyhow::Result<()> {
    ClientSockets::bind(config).map(drop)
}

/// Binds the clients' sockets and starts relaying. Relayed sockets are bound at the addresses in `external`, which are those of
/// [`bind_addresses`](super::bind_addresses); the advertised addresses follow `external`, and the number of descriptors stays
/// within `descriptors`. `listening` are the ports that the rest of the program listens on; no relayed address without a socket has
/// one of them.
///
/// # Errors
/// A sentence that names the setting to change: a port is taken, or an address is not this machine's.
pub fn start(
    config: &RelayConfig,
    external: &ExternalAddresses,
    users: Arc<dyn RelayUsers>,
    descriptors: &DescriptorPools,
    listening: &[u16],
) -> anyhow::Result<Relay> {
    let client_sockets = ClientSockets::bind(config)?;
    let reader = AddressReader::new(config, external, &client_sockets);
    let addresses = reader.read();
    let settings = Arc::new(engine_settings::settings(config, &addresses, &client_sockets, listening));
    let policy = engine_settings::policy(config, &addresses);
    let closed_neighbours = policy.closed_neighbours();
    log_closed_networks(&closed_neighbours);
    if external.is_without_address() {
        log_bound(&reader, &external.bound());
    }

    let shared = SharedState::new(&settings, random_seed(), Instant::now());
    let shards = (0..config.threads).map(|_| Arc::default()).collect();
    let ends = (0..config.threads).map(|_| ShardEnds::new()).collect::<anyhow::Result<Vec<_>>>()?;
    let poller = new_poller()?;
    let mailboxes: Vec<ShardMailbox> = ends.iter().map(|ends| ends.mailbox.clone()).collect();
    let mut relay = Relay {
        listening: client_sockets.address,
        alternate_port: client_sockets.alternate_port.filter(|_| config.alternate_port.is_some()),
        udp: config.udp,
        tcp: config.tcp,
        stats: StatsReader { shards, epoch: Instant::now() },
        refusals: RefusalReports::default(),
        watch: Watch::default(),
        admission: Admission::new(descriptors),
        shared,
        closed_neighbours: closed_neighbours.into(),
        address_check: AddressCheck::new(external.clone(), poller.waker()),
        live_allocations: LiveAllocations::new(mailboxes.clone()),
        mailboxes: mailboxes.clone(),
        threads: Vec::new(),
        watcher: None,
    };
    for context in shard_contexts(config, &settings, &policy, &users, &relay, client_sockets, ends) {
        relay.threads.push(spawn_shard(context)?);
    }
    let revision = users.revision();
    relay.watcher = Some(spawn_watcher(ChangeWatcher { users, revision, reader, addresses, policy, mailboxes, poller })?);
    Ok(relay)
}

/// The contexts of all shards, each with its sockets of clients and its ends of the mailbox.
fn shard_contexts(
    config: &RelayConfig,
    settings: &Arc<EngineSettings>,
    policy: &PeerPolicy,
    users: &Arc<dyn RelayUsers>,
    relay: &Relay,
    client_sockets: ClientSockets,
    ends: Vec<ShardEnds>,
) -> Vec<ShardContext> {
    let (mut udp, mut tcp) = (client_sockets.udp.into_iter(), client_sockets.tcp.into_iter());
    let shards = (0..).zip(relay.stats.shards.iter()).zip(ends);
    let packet_queues: Arc<[PacketQueue]> = relay.mailboxes.iter().map(|_| PacketQueue::default()).collect();
    let context = |((index, counters), ends): ((u8, &Arc<ShardCounters>), ShardEnds)| ShardContext {
        index,
        settings: Arc::clone(settings),
        policy: policy.clone(),
        // All shards use one range, so that a small range is not divided; the engines know without a lock which ports are taken.
        engine_shard: turn::ShardSettings { index, ports: config.ports.clone() },
        shared: Arc::clone(&relay.shared),
        users: Arc::clone(users),
        banned: users.banned_addresses(),
        admission: relay.admission.clone(),
        stats: Arc::clone(counters),
        refusals: relay.refusals.clone(),
        watch: relay.watch.clone(),
        messages: ends.messages,
        mailboxes: relay.mailboxes.clone(),
        packet_queues: Arc::clone(&packet_queues),
        poller: ends.poller,
        watcher: relay.address_check.watcher(),
        client_sockets: udp.next().unwrap_or_default(),
        acceptors: tcp.next().unwrap_or_default(),
        forwarding: None,
        coalesce: config.coalesce,
        icmp_indications: config.icmp_indications,
        stop_at: None,
        epoch: relay.stats.epoch,
    };
    shards.map(context).collect()
}

/// The poller that a shard waits with, and the two ends of its mailbox.
struct ShardEnds {
    poller: Poller,
    mailbox: ShardMailbox,
    messages: MailboxReceiver,
}

impl ShardEnds {
    fn new() -> anyhow::Result<Self> {
        let poller = new_poller()?;
        let (mailbox, messages) = shard_mailbox(poller.waker());
        Ok(Self { poller, mailbox, messages })
    }
}

/// Polls the shard's sockets of clients, and runs it.
fn spawn_shard(context: ShardContext) -> anyhow::Result<JoinHandle<()>> {
    for (number, client_socket) in (0..).zip(&context.client_sockets) {
        let token = PollSource::ClientSocket(number).token();
        context.poller.add(&client_socket.socket, token, Interest::Datagrams).context("the relay's socket can't be watched")?;
    }
    for (number, acceptor) in (0..).zip(&context.acceptors) {
        let token = PollSource::ClientAcceptor(number).token();
        context.poller.add(acceptor, token, Interest::Read).context("the relay's socket can't be watched")?;
    }
    let thread = thread::Builder::new().name(format!("relay-{}", context.index));
    thread.spawn(move || event_loop::run(context)).context("the relay can't start its threads")
}

fn new_poller() -> anyhow::Result<Poller> {
    Poller::new().context("the relay needs more descriptors: raise the limit of open files (ulimit -n)")
}

/// Starts the watcher's thread, which ends when the returned value is dropped.
fn spawn_watcher(watcher: ChangeWatcher) -> anyhow::Result<WatcherStop> {
    let stop = WatcherStop::new(watcher.poller.waker());
    let stopped = stop.stopped();
    let thread = thread::Builder::new().name("relay-watch".to_owned());
    thread.spawn(move || watcher.run(&stopped)).context("the relay can't start its threads")?;
    Ok(stop)
}

fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    seed
}
