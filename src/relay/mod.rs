//! The TURN relay: sockets and threads around [`crate::turn`], which decides.
//!
//! [`start`] binds the sockets and starts the shards, a thread each (`shard`); [`Handle`] is all that the rest of the program
//! sees. No packet waits for tokio, for a lock or for another shard: the kernel keeps each client with one of them
//! (SO_REUSEPORT). What comes from outside, users disabled or addresses changed, reaches a shard as a message.
//!
//! Invariants:
//! - An error of one send or of one socket ends nothing but that send or that allocation.
//! - A shard that failed starts again; it is counted and logged, and its ports and quota are given back.
//! - Everything that waits is bounded: a batch, a connection's queue, connections without an allocation, and in bytes what clients
//!   cause from one shard to another (`mailbox`).
//! - What is open at once is within the shares that the process gave (`admission`): beyond them an Allocate gets 508, and a newcomer's
//!   connection displaces one that has proved nothing.
//! - A socket whose receive failed is read again; a shard whose turn does not end is named ([`Meter::hanging`]).

mod accounts;
mod admission;
pub mod io;
mod setup;
mod shard;
pub mod stats;
mod tcp;

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ipnet::IpNet;
use rand::Rng as _;

pub use accounts::Accounts;
pub use setup::bind_addresses;
pub use stats::Stats;
pub use tcp::wire::Wire;

use crate::addresses::external::ExternalAddresses;
use crate::config::RelayConfig;
use crate::limits::descriptors::Shares;
use crate::limits::guesses::Reports;
use crate::turn::{self, PeerPolicy, RelayedAddress, Shared};
use admission::Admission;
use io::poll::{Interest, Poll};
use io::source::Source;
use setup::{Listeners, Surroundings};
use shard::event_loop::{self, Core};
use shard::mailbox::{Caused, Control, Mailbox, mailbox};
use stats::ShardStats;

/// How soon the allocations of a user who was disabled are looked for, and a new external address is advertised.
const EVERY: Duration = Duration::from_secs(1);
/// How soon a new address of the machine, and a network that it came to, are closed to clients.
const ADDRESSES: Duration = Duration::from_secs(5);

/// A shard hangs whose turn takes longer; a turn takes milliseconds.
const HANGS_AFTER: Duration = Duration::from_secs(5);

/// Binds the listeners and starts relaying, with relayed sockets where `external` has them: at [`bind_addresses`]. What it
/// advertises follows `external`, and what it has open at once is within `shares`.
///
/// # Errors
/// A sentence that names the setting to change: the port is taken, or is not this machine's.
pub fn start(
    config: &RelayConfig,
    external: &ExternalAddresses,
    accounts: Arc<dyn Accounts>,
    shares: &Shares,
) -> anyhow::Result<Handle> {
    let listeners = Listeners::bind(config)?;
    let relays = external.relayed_addresses();
    let surroundings = Surroundings::look(&relays);
    let settings = Arc::new(setup::settings(config, relays, &listeners, &surroundings));
    let policy = setup::policy(config, &surroundings);
    let closed: Arc<[IpNet]> = policy.closed_neighbours().into();
    setup::log_closed(&closed);
    let mut seed = [0; 32];
    rand::rng().fill_bytes(&mut seed);
    let shared = Shared::new(&settings, seed, Instant::now());
    let stats: Arc<[Arc<ShardStats>]> = (0..config.threads).map(|_| Arc::default()).collect();
    let (admission, epoch) = (Admission::new(shares), Instant::now());

    let mut ends = Vec::new();
    for _ in 0..config.threads {
        let poll = Poll::new().context("the relay needs more descriptors: raise the limit of open files (ulimit -n)")?;
        let (mailbox, controls) = mailbox(poll.waker());
        ends.push((mailbox, poll, controls));
    }
    let mailboxes: Vec<Mailbox> = ends.iter().map(|(mailbox, ..)| mailbox.clone()).collect();
    let (address, alternate) = (listeners.address, listeners.alternate_port.filter(|_| config.alternate_port.is_some()));
    let (mut udp, mut tcp) = (listeners.udp.into_iter(), listeners.tcp.into_iter());
    let mut handle = Handle {
        listening: address,
        alternate,
        udp: config.udp,
        tcp: config.tcp,
        meter: Meter { shards: Arc::clone(&stats), epoch },
        admission: admission.clone(),
        shared: Arc::clone(&shared),
        closed_neighbours: closed,
        mailboxes: mailboxes.clone(),
        threads: Vec::new(),
        watch: None,
    };
    for ((index, stats), (_, poll, controls)) in (0..).zip(stats.iter()).zip(ends) {
        let (listeners, acceptors) = (udp.next().unwrap_or_default(), tcp.next().unwrap_or_default());
        for (number, listener) in (0..).zip(&listeners) {
            let token = Source::Listener(number).token();
            poll.add(&listener.socket, token, Interest::Datagrams).context("the relay's socket can't be watched")?;
        }
        for (number, acceptor) in (0..).zip(&acceptors) {
            let token = Source::Acceptor(number).token();
            poll.add(acceptor, token, Interest::Read).context("the relay's socket can't be watched")?;
        }
        let core = Core {
            index,
            settings: Arc::clone(&settings),
            policy: policy.clone(),
            // All from one range: which ports are taken is known without a lock, and a small range is not cut into crumbs.
            shard: turn::Shard { index, ports: config.ports.clone() },
            shared: Arc::clone(&shared),
            accounts: Arc::clone(&accounts),
            admission: admission.clone(),
            stats: Arc::clone(stats),
            controls,
            mailboxes: mailboxes.clone(),
            poll,
            listeners,
            acceptors,
            diversion: None,
            coalesce: config.coalesce,
            icmp_indications: config.icmp_indications,
            stop_at: None,
            epoch,
        };
        let thread = thread::Builder::new().name(format!("relay-{index}")).spawn(move || event_loop::run(core));
        handle.threads.push(thread.context("the relay can't start its threads")?);
    }
    let (watch, ended) = mpsc::channel();
    // Read here: what changes before that thread first runs has changed since the start.
    let revision = accounts.revision();
    let external = external.clone();
    let watcher = thread::Builder::new().name("relay-watch".to_owned());
    watcher
        .spawn(move || Watch { accounts, revision, external, relays, policy, surroundings, mailboxes }.run(&ended))
        .context("the relay can't start its threads")?;
    handle.watch = Some(watch);
    Ok(handle)
}

/// Tells the shards what has changed.
struct Watch {
    accounts: Arc<dyn Accounts>,
    revision: u64,
    external: ExternalAddresses,
    /// What the shards know.
    relays: [Option<RelayedAddress>; 2],
    policy: PeerPolicy,
    surroundings: Surroundings,
    mailboxes: Vec<Mailbox>,
}

impl Watch {
    /// Until the other end of `ended` is gone.
    fn run(mut self, ended: &mpsc::Receiver<()>) {
        let mut looked = Instant::now();
        while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            let revision = self.accounts.revision();
            if std::mem::replace(&mut self.revision, revision) != revision {
                self.mailboxes.iter().for_each(|shard| shard.send(Control::CheckUsers));
            }
            let relays = self.external.relayed_addresses();
            if relays == self.relays && looked.elapsed() < ADDRESSES {
                continue;
            }
            looked = Instant::now();
            let now = Surroundings::look(&relays);
            if relays != self.relays || now != self.surroundings {
                tracing::info!("the machine's addresses have changed");
                let before = self.policy.closed_neighbours();
                self.policy.neighbours = now.neighbours.to_vec();
                let closed = self.policy.closed_neighbours();
                if closed != before {
                    setup::log_closed(&closed);
                }
                (self.relays, self.surroundings) = (relays, now);
                let advertised = relays.map(|relay| relay.map(|relay| relay.advertised));
                for shard in &self.mailboxes {
                    shard.send(Control::Addresses { advertised, surroundings: self.surroundings.clone() });
                }
            }
        }
    }
}

/// A running relay. Dropping it ends the relay at once, [`Handle::stop`] in order.
#[derive(Debug)]
pub struct Handle {
    listening: SocketAddr,
    alternate: Option<u16>,
    udp: bool,
    tcp: bool,
    meter: Meter,
    admission: Admission,
    shared: Arc<Shared>,
    closed_neighbours: Arc<[IpNet]>,
    mailboxes: Vec<Mailbox>,
    threads: Vec<JoinHandle<()>>,
    /// Ends the thread that follows users and addresses.
    watch: Option<mpsc::Sender<()>>,
}

/// Reads the numbers of a relay, from any thread.
#[derive(Debug, Clone)]
pub struct Meter {
    shards: Arc<[Arc<ShardStats>]>,
    epoch: Instant,
}

impl Meter {
    /// What all shards have counted since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::sum(self.shards.iter().map(|shard| &**shard))
    }

    /// The shards whose turn has not ended for seconds, by number.
    #[must_use]
    pub fn hanging(&self) -> Vec<usize> {
        let now = self.epoch.elapsed();
        let shards = self.shards.iter().enumerate();
        shards.filter(|(_, shard)| shard.at_work_for(now) >= HANGS_AFTER).map(|(index, _)| index).collect()
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.shards.len()
    }
}

/// A client's connection that somebody else has accepted.
#[derive(Debug)]
pub struct ClientConnection {
    pub client: SocketAddr,
    /// Ours.
    pub server: SocketAddr,
    pub wire: Wire,
}

/// Takes connections in for the shards, by turns.
#[derive(Debug, Clone)]
pub struct Entrance {
    shards: Arc<[Mailbox]>,
    admission: Admission,
    next: Arc<AtomicUsize>,
}

impl Entrance {
    /// From here on the connection is the relay's: it says what it has to say itself, and closes it.
    pub fn enter(&self, connection: ClientConnection) {
        if let Some(location) = self.admission.displace_for_want(Instant::now()) {
            self.shards[usize::from(location.shard) % self.shards.len()].send(Control::Displace(location.stream));
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(descriptor) = self.admission.clients.take() else { return };
        // A shard that can't keep up takes no more; the connection is closed.
        let _ = self.shards[next % self.shards.len()].offer(Caused::Adopt(connection, descriptor));
    }
}

/// Connections from some networks that the relay's own listener accepts for somebody else.
#[derive(Debug, Clone)]
pub struct Diversion {
    pub networks: Arc<[IpNet]>,
    pub to: tokio::sync::mpsc::Sender<TcpStream>,
}

impl Diversion {
    fn is_for(&self, client: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&client))
    }
}

impl Handle {
    /// From now on such connections over TCP are not the relay's, unless they come back through an [`Entrance`].
    pub fn divert(&self, diversion: &Diversion) {
        self.mailboxes.iter().for_each(|shard| shard.send(Control::Divert(diversion.clone())));
    }

    /// For listeners besides the relay's own.
    #[must_use]
    pub fn entrance(&self) -> Entrance {
        Entrance { shards: self.mailboxes.clone().into(), admission: self.admission.clone(), next: Arc::default() }
    }

    /// Where clients reach the relay, with the real port when 0 was asked for.
    #[must_use]
    pub const fn listening(&self) -> SocketAddr {
        self.listening
    }

    /// The other port of the settings at which clients reach it, with the real one when 0 was asked for.
    #[must_use]
    pub const fn alternate_port(&self) -> Option<u16> {
        self.alternate
    }

    /// Whether it listens on UDP.
    #[must_use]
    pub const fn has_udp(&self) -> bool {
        self.udp
    }

    /// Whether it listens on TCP.
    #[must_use]
    pub const fn has_tcp(&self) -> bool {
        self.tcp
    }

    /// The machine's own networks at the start, whose addresses are denied as peers for nothing but that.
    #[must_use]
    pub fn closed_neighbours(&self) -> &[IpNet] {
        &self.closed_neighbours
    }

    /// Whether all of the relay still serves.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Allocations that exist now.
    #[must_use]
    pub fn allocations(&self) -> usize {
        self.shared.allocations() as usize
    }

    /// What was counted since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.meter.stats()
    }

    /// Where wrong passwords are reported, for the rest of the server to report there, too.
    #[must_use]
    pub fn reports(&self) -> &Reports {
        self.shared.reports()
    }

    /// For who wants the numbers later, and elsewhere.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Refuses new allocations (508), waits until the last one ends or `deadline` is over, closes what is left and returns
    /// when the ports are free.
    pub async fn stop(mut self, deadline: Duration) {
        let (threads, shared) = (std::mem::take(&mut self.threads), Arc::clone(&self.shared));
        self.end(Instant::now() + deadline);
        let joined =
            tokio::task::spawn_blocking(move || threads.into_iter().map(JoinHandle::join).filter(Result::is_err).count());
        if joined.await.unwrap_or(1) > 0 {
            tracing::error!("a shard of the relay had failed for good");
        }
        tracing::info!(cut = shared.allocations(), "the relay stopped");
    }

    fn end(&mut self, at: Instant) {
        self.watch = None;
        self.mailboxes.iter().for_each(|shard| shard.send(Control::Stop(at)));
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.end(Instant::now());
        }
    }
}
