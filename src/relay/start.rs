//! Starts a relay: binds its sockets, makes the shards, and runs each on a thread of its own.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::Context as _;
use rand::Rng as _;

use crate::addresses::external::ExternalAddresses;
use crate::config::RelayConfig;
use crate::limits::descriptors::DescriptorPools;
use crate::relay::admission::Admission;
use crate::relay::handle::Relay;
use crate::relay::io::poll::{Interest, Poller};
use crate::relay::io::poll_source::PollSource;
use crate::relay::setup::engine_settings;
use crate::relay::setup::listeners::Listeners;
use crate::relay::setup::local_addresses::{LocalAddresses, log_closed_networks};
use crate::relay::shard::context::ShardContext;
use crate::relay::shard::event_loop;
use crate::relay::shard::mailbox::{MailboxReceiver, ShardMailbox, shard_mailbox};
use crate::relay::stats::StatsReader;
use crate::relay::users::RelayUsers;
use crate::relay::watcher::ChangeWatcher;
use crate::turn::{self, SharedState};

/// Binds the listeners and starts relaying. Relayed sockets are bound at the addresses in `external`, which are those of
/// [`bind_addresses`](super::bind_addresses); the advertised addresses follow `external`, and the number of descriptors stays
/// within `descriptors`.
///
/// # Errors
/// A sentence that names the setting to change: a port is taken, or an address is not this machine's.
pub fn start(
    config: &RelayConfig,
    external: &ExternalAddresses,
    users: Arc<dyn RelayUsers>,
    descriptors: &DescriptorPools,
) -> anyhow::Result<Relay> {
    let listeners = Listeners::bind(config)?;
    let relayed = external.relayed_ips();
    let local = LocalAddresses::read(&relayed);
    let settings = Arc::new(engine_settings::settings(config, relayed, &listeners, &local));
    let policy = engine_settings::policy(config, &local);
    let closed_neighbours = policy.closed_neighbours();
    log_closed_networks(&closed_neighbours);

    let shared = SharedState::new(&settings, random_seed(), Instant::now());
    let shards = (0..config.threads).map(|_| Arc::default()).collect();
    let stats = StatsReader { shards, epoch: Instant::now() };
    let ends = (0..config.threads).map(|_| ShardEnds::new()).collect::<anyhow::Result<Vec<_>>>()?;
    let mailboxes: Vec<ShardMailbox> = ends.iter().map(|ends| ends.mailbox.clone()).collect();
    let mut relay = Relay {
        listening: listeners.address,
        alternate_port: listeners.alternate_port.filter(|_| config.alternate_port.is_some()),
        udp: config.udp,
        tcp: config.tcp,
        stats: stats.clone(),
        admission: Admission::new(descriptors),
        shared: Arc::clone(&shared),
        closed_neighbours: closed_neighbours.into(),
        mailboxes: mailboxes.clone(),
        threads: Vec::new(),
        watcher: None,
    };
    let (mut udp, mut tcp) = (listeners.udp.into_iter(), listeners.tcp.into_iter());
    for ((index, counters), ShardEnds { poller, messages, .. }) in (0..).zip(stats.shards.iter()).zip(ends) {
        let context = ShardContext {
            index,
            settings: Arc::clone(&settings),
            policy: policy.clone(),
            // All shards use one range, so that a small range is not divided; the engines know without a lock which ports are
            // taken.
            engine_shard: turn::ShardSettings { index, ports: config.ports.clone() },
            shared: Arc::clone(&shared),
            users: Arc::clone(&users),
            admission: relay.admission.clone(),
            stats: Arc::clone(counters),
            messages,
            mailboxes: mailboxes.clone(),
            poller,
            listeners: udp.next().unwrap_or_default(),
            acceptors: tcp.next().unwrap_or_default(),
            proxy_forwarding: None,
            coalesce: config.coalesce,
            icmp_indications: config.icmp_indications,
            stop_at: None,
            epoch: stats.epoch,
        };
        relay.threads.push(spawn_shard(context)?);
    }
    let revision = users.revision();
    let external = external.clone();
    relay.watcher = Some(spawn_watcher(ChangeWatcher { users, revision, external, relayed, policy, local, mailboxes })?);
    Ok(relay)
}

/// The poller that a shard waits with, and the two ends of its mailbox.
struct ShardEnds {
    poller: Poller,
    mailbox: ShardMailbox,
    messages: MailboxReceiver,
}

impl ShardEnds {
    fn new() -> anyhow::Result<Self> {
        let poller = Poller::new().context("the relay needs more descriptors: raise the limit of open files (ulimit -n)")?;
        let (mailbox, messages) = shard_mailbox(poller.waker());
        Ok(Self { poller, mailbox, messages })
    }
}

/// Polls the shard's listeners, and runs it.
fn spawn_shard(context: ShardContext) -> anyhow::Result<JoinHandle<()>> {
    for (number, listener) in (0..).zip(&context.listeners) {
        let token = PollSource::ClientSocket(number).token();
        context.poller.add(&listener.socket, token, Interest::Datagrams).context("the relay's socket can't be watched")?;
    }
    for (number, acceptor) in (0..).zip(&context.acceptors) {
        let token = PollSource::ClientAcceptor(number).token();
        context.poller.add(acceptor, token, Interest::Read).context("the relay's socket can't be watched")?;
    }
    let thread = thread::Builder::new().name(format!("relay-{}", context.index));
    thread.spawn(move || event_loop::run(context)).context("the relay can't start its threads")
}

/// Starts the watcher's thread, which ends when the returned sender is dropped.
fn spawn_watcher(watcher: ChangeWatcher) -> anyhow::Result<mpsc::Sender<()>> {
    let (sender, stopped) = mpsc::channel();
    let thread = thread::Builder::new().name("relay-watch".to_owned());
    thread.spawn(move || watcher.run(&stopped)).context("the relay can't start its threads")?;
    Ok(sender)
}

fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    seed
}
