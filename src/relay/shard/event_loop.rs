//! One shard: a thread, an engine, and everything that belongs to its clients. Nothing here is shared but counters.
//!
//! Owner of its sockets and its [`turn::Engine`]. One turn of the loop: wait; at most **one** batch of the clients' socket, or
//! the relayed sockets starve; one batch of each relayed socket and connection that is ready; what is due. Each batch is
//! judged and sent before the next one is received, and the engine's outputs follow it.
//!
//! A fault in the program ends the shard's allocations and nothing else: [`run`] gives their ports and quota back and goes on
//! with a fresh engine on the same listener, so that no other shard's clients are moved.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng as _;

use crate::relay::Diversion;
use crate::relay::accounts::Accounts;
use crate::relay::admission::Admission;
use crate::relay::io::inbox::Inbox;
use crate::relay::io::outbox::Outbox;
use crate::relay::io::poll::{Interest, Poll, Ready};
use crate::relay::io::source::Source;
use crate::relay::io::udp::UdpSocket;
use crate::relay::shard::coalescing::Pace;
use crate::relay::shard::deferred::Late;
use crate::relay::shard::mailbox::{Caused, Control, Controls, Mailbox};
use crate::relay::shard::relayed_sockets::{Listener, RelaySockets};
use crate::relay::stats::{Lost, ShardStats};
use crate::relay::tcp::acceptor::Acceptor;
use crate::relay::tcp::splice::Splices;
use crate::relay::tcp::stream_table::Streams;
use crate::turn::{self, FiveTuple, Output, PeerPolicy, RelayedAddressId, Settings, Shared, Transport};

/// Connections taken in a turn.
pub(in crate::relay) const ACCEPTS: usize = 16;
/// Without descriptors, accepting is tried again after this.
pub(in crate::relay) const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
/// How often a shard that drains looks whether the other shards are done too.
const DRAIN_CHECK: Duration = Duration::from_millis(20);
/// ICMP errors read from one socket in a turn; what is left waits for the next packet.
const ICMP_ERRORS: usize = 64;
/// After a receive that failed, which an edge-triggered socket would not report again.
const RECEIVE_PAUSE: Duration = Duration::from_millis(1);
/// How often it is said that peers of the machine's own networks were refused.
const NEIGHBOURS_LOG_PAUSE: Duration = Duration::from_secs(60);
/// After a fault.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// What a shard keeps for all its life.
pub(in crate::relay) struct Core {
    pub(in crate::relay) index: u8,
    pub(in crate::relay) settings: Arc<Settings>,
    pub(in crate::relay) policy: PeerPolicy,
    pub(in crate::relay) shard: turn::Shard,
    pub(in crate::relay) shared: Arc<Shared>,
    pub(in crate::relay) accounts: Arc<dyn Accounts>,
    pub(in crate::relay) admission: Admission,
    pub(in crate::relay) stats: Arc<ShardStats>,
    pub(in crate::relay) controls: Controls,
    /// Of all shards, by index.
    pub(in crate::relay) mailboxes: Vec<Mailbox>,
    pub(in crate::relay) poll: Poll,
    /// The clients' UDP sockets: the first, and those of the other port and of NAT behaviour discovery.
    pub(in crate::relay) listeners: Vec<Listener>,
    /// The same for TCP.
    pub(in crate::relay) acceptors: Vec<Acceptor>,
    pub(in crate::relay) diversion: Option<Diversion>,
    /// How long packets may gather.
    pub(in crate::relay) coalesce: Duration,
    /// Tell clients of ICMP errors: pion's client and its descendants end at a Data indication without DATA.
    pub(in crate::relay) icmp_indications: bool,
    pub(in crate::relay) stop_at: Option<Instant>,
    /// What [`ShardStats::busy_since`] counts from.
    pub(in crate::relay) epoch: Instant,
}

pub(in crate::relay) struct Shard {
    pub(in crate::relay) core: Core,
    pub(in crate::relay) engine: turn::Engine,
    pub(in crate::relay) inbox: Inbox,
    pub(in crate::relay) outbox: Outbox,
    pub(in crate::relay) streams: Streams,
    pub(in crate::relay) relays: RelaySockets,
    pub(in crate::relay) splices: Splices,
    pub(in crate::relay) late: Late,
    /// TCP allocations whose peers wait for descriptors.
    pub(in crate::relay) full_relays: Vec<RelayedAddressId>,
    /// Clients of other shards whose packets arrive here.
    pub(in crate::relay) moved: HashMap<FiveTuple, u8>,
    pace: Pace,
    /// What is read from connections.
    pub(in crate::relay) buffer: Vec<u8>,
    /// Acceptors whose clients wait for descriptors.
    pub(in crate::relay) full: Vec<u8>,
    neighbours_logged: Option<Instant>,
    pub(in crate::relay) accept_again: Option<Instant>,
    /// Packets of this turn.
    pub(in crate::relay) packets: u32,
}

/// Runs a shard on this thread until it is told to stop.
pub(in crate::relay) fn run(core: Core) {
    // The default is 50 µs, a quarter of what packets may gather for.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let mut shard = Shard::new(core);
    loop {
        let error = match catch_unwind(AssertUnwindSafe(|| shard.serve())) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => described(&*panic),
        };
        let allocations = shard.engine.allocation_count();
        tracing::error!(shard = shard.core.index, allocations, %error, "a shard of the relay failed and starts again");
        shard.core.stats.panics.add(1);
        shard = shard.restarted();
        std::thread::sleep(RESTART_PAUSE);
    }
}

fn described(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

impl Shard {
    fn new(core: Core) -> Self {
        let mut seed = [0; 32];
        rand::rng().fill_bytes(&mut seed);
        let accounts = Arc::clone(&core.accounts);
        let mut engine = turn::Engine::new(
            Arc::clone(&core.settings),
            core.policy.clone(),
            Arc::clone(&core.shared),
            accounts,
            core.shard.clone(),
            seed,
        );
        if core.stop_at.is_some() {
            engine.refuse_allocations();
        }
        let core_relayed = core.admission.relayed.clone();
        Self {
            pace: Pace::new(core.coalesce, Instant::now()),
            core,
            engine,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            streams: Streams::default(),
            relays: RelaySockets::new(core_relayed),
            splices: Splices::default(),
            late: Late::default(),
            full_relays: Vec::new(),
            moved: HashMap::new(),
            buffer: Vec::new(),
            full: Vec::new(),
            neighbours_logged: None,
            accept_again: None,
            packets: 0,
        }
    }

    fn restarted(self) -> Self {
        let Self { mut core, mut engine, full, accept_again, relays, splices, moved, .. } = self;
        // Whose port is given back must have let go of it.
        drop((relays, splices));
        if catch_unwind(AssertUnwindSafe(|| engine.end_all())).is_err() {
            tracing::error!(shard = core.index, "some ports and quota of its allocations are lost until the next start");
        }
        // They know some of its clients by where those have moved to.
        let others = (0..).zip(&core.mailboxes).filter(|(index, _)| *index != core.index);
        others.for_each(|(_, mailbox)| mailbox.send(Control::Restarted { shard: core.index }));
        core.stats.allocations.set(0);
        core.stats.streams.set(0);
        core.stats.connections.set(0);
        // What has come since is not reported once more.
        (0..).zip(&core.listeners).for_each(|(number, _)| core.poll.again(Source::Listener(number).token()));
        let mut shard = Self::new(core);
        (shard.full, shard.accept_again, shard.moved) = (full, accept_again, moved);
        shard
    }

    /// # Errors
    /// Of epoll_wait(2).
    fn serve(&mut self) -> io::Result<()> {
        let mut events: Vec<Ready> = Vec::new();
        let mut now = Instant::now();
        while !self.is_done(now) {
            let began = Instant::now();
            self.core.stats.busy.add(nanos(began.saturating_duration_since(now)));
            self.core.stats.rests();
            if let Some(pause) = self.pace.pause() {
                std::thread::sleep(pause);
            }
            self.core.poll.wait(self.timeout(began))?;
            now = Instant::now();
            self.core.stats.works(now.saturating_duration_since(self.core.epoch));
            self.core.stats.wakes.add(1);
            self.packets = 0;
            events.clear();
            events.extend(self.core.poll.ready());
            if self.core.poll.was_woken() {
                self.controls(now);
            }
            // First: their sockets take one batch each, and the relayed ones wait no longer for it.
            for event in &events {
                if let Source::Listener(number) = Source::from_token(event.token) {
                    self.clients(number, now);
                }
            }
            for event in &events {
                match Source::from_token(event.token) {
                    Source::Listener(_) => {}
                    Source::Acceptor(number) => self.accept(number, now),
                    Source::RelayedSocket(relay) => self.peers(relay, event.error, now),
                    Source::Stream(stream) => self.stream_ready(stream, event, now),
                    Source::Splice(connection) => {
                        self.splice_ready(connection, now);
                        self.outputs(now);
                    }
                }
            }
            self.due(now);
            self.pace.woke(self.packets, now);
        }
        Ok(())
    }

    /// How long to wait when nothing comes.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let drain = self.core.stop_at.map(|at| at.min(now + DRAIN_CHECK));
        let streams = [self.streams.next_check(), self.late.next_due(), self.splices.next_resume()];
        let others = [self.engine.next_timeout(), self.accept_again, self.core.poll.next_later(), drain];
        let next = others.into_iter().chain(streams).flatten().min();
        next.map(|at| at.saturating_duration_since(now))
    }

    /// All shards end together: a listener that closes hands its clients to the others.
    fn is_done(&self, now: Instant) -> bool {
        self.core.stop_at.is_some_and(|at| at <= now || self.core.shared.allocations() == 0)
    }

    fn due(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        let engine = &self.engine;
        for (stream, why) in self.streams.overdue(now, |client| engine.has_allocation(client)) {
            self.close_stream(stream, why, now);
        }
        self.look_again(now);
        if self.accept_again.is_some_and(|at| at <= now) {
            self.accept_again = None;
            let Core { poll, acceptors, .. } = &self.core;
            let watch = |number: u8| {
                let token = Source::Acceptor(number).token();
                acceptors.get(usize::from(number)).is_none_or(|acceptor| poll.add(acceptor, token, Interest::Read).is_ok())
            };
            self.full.retain(|number| !watch(*number));
            if !self.resume_relays() || !self.full.is_empty() {
                self.accept_again = Some(now + ACCEPT_PAUSE);
            }
        }
        while let Some(connection) = self.splices.resumed(now) {
            self.splice_ready(connection, now);
        }
        self.core.poll.resume(now);
        self.outputs(now);
        self.note_neighbours(now);
    }

    fn note_neighbours(&mut self, now: Instant) {
        let refused = self.engine.refused_neighbours();
        if refused == self.core.stats.refused_neighbours.value() {
            return;
        }
        self.core.stats.refused_neighbours.set(refused);
        if self.neighbours_logged.is_none_or(|at| now.saturating_duration_since(at) >= NEIGHBOURS_LOG_PAUSE) {
            self.neighbours_logged = Some(now);
            tracing::info!(
                shard = self.core.index,
                refused,
                "clients asked for peers in this machine's own networks, which are denied; CASTWAY_ALLOWED_PEER_IP allows them"
            );
        }
    }

    /// One batch of a clients' socket.
    fn clients(&mut self, number: u8, now: Instant) {
        let Some(Listener { socket, address }) = self.core.listeners.get(usize::from(number)) else { return };
        let address = *address;
        let received = socket.recv_batch(&mut self.inbox);
        if !self.received(received, Source::Listener(number), now) {
            return;
        }
        for index in 0..self.inbox.datagrams().len() {
            let datagram = self.inbox.datagrams()[index];
            let server = SocketAddr::new(datagram.to.unwrap_or(address.ip()), address.port());
            let from = FiveTuple { client: datagram.from, server, transport: Transport::Udp };
            for segment in datagram.segments() {
                self.packets += 1;
                if !self.moved.is_empty() && self.hand_over(from, segment) {
                    continue;
                }
                let verdict = self.engine.handle_client(from, self.inbox.bytes(segment), now);
                self.carry(verdict, segment, Some(from));
            }
        }
        self.finish(now);
    }

    /// One batch of a relayed socket, and what the network said of what it sent.
    fn peers(&mut self, relay: RelayedAddressId, error: bool, now: Instant) {
        if error {
            self.icmp_errors(relay, now);
        }
        let Some(socket) = self.relays.socket(relay) else {
            self.accept_peers(relay, now);
            return self.outputs(now);
        };
        let received = socket.recv_batch(&mut self.inbox);
        if !self.received(received, Source::RelayedSocket(relay), now) {
            return;
        }
        for index in 0..self.inbox.datagrams().len() {
            let datagram = self.inbox.datagrams()[index];
            for segment in datagram.segments() {
                self.packets += 1;
                let verdict = self.engine.handle_peer(relay, datagram.from, self.inbox.bytes(segment), now);
                self.carry(verdict, segment, None);
            }
        }
        self.finish(now);
    }

    /// Whether a batch has come. What is left in the socket is looked at again in either case.
    fn received(&mut self, result: io::Result<usize>, source: Source, now: Instant) -> bool {
        match result {
            Ok(_) => {
                if self.inbox.is_full() {
                    self.core.poll.again(source.token());
                }
                true
            }
            Err(error) => {
                tracing::debug!(?source, %error, "a socket can't be read for now");
                self.core.stats.receive_errors.add(1);
                self.core.poll.later(source.token(), now + RECEIVE_PAUSE);
                false
            }
        }
    }

    fn icmp_errors(&mut self, relay: RelayedAddressId, now: Instant) {
        for _ in 0..ICMP_ERRORS {
            let Some(error) = self.relays.socket(relay).and_then(UdpSocket::icmp_error) else { return };
            self.core.stats.icmp_errors.add(1);
            if !self.core.icmp_indications {
                continue;
            }
            let verdict = self.engine.handle_icmp(relay, error.peer, error.kind, error.code, error.data, now);
            self.carry_copied(verdict, &[], None);
        }
    }

    /// Sends what a batch has led to, and does what the engine wants done.
    pub(in crate::relay) fn finish(&mut self, now: Instant) {
        self.flush(now);
        self.outputs(now);
    }

    /// Where the kernel may bring a client's packets. A shard that can't be told answers them itself: the client allocates again.
    fn tell_others(&self, caused: impl Fn() -> Caused) {
        let others = (0..).zip(&self.core.mailboxes).filter(|(index, _)| *index != self.core.index);
        let untold = others.filter(|(_, mailbox)| mailbox.offer(caused()).is_err()).count();
        self.core.stats.lost(Lost::BufferFull, untold as u64);
    }

    pub(in crate::relay) fn outputs(&mut self, now: Instant) {
        loop {
            let Some(output) = self.engine.poll_output() else {
                if self.flush(now) {
                    continue;
                }
                break;
            };
            match output {
                Output::Transmit { to, bytes } => {
                    self.core.stats.answered(&[], &bytes);
                    self.transmit(to, &bytes);
                }
                Output::OpenRelay { relay, address, transport } => {
                    let result = self.relays.open(relay, address, transport, &self.core.poll);
                    self.engine.relay_opened(relay, result, now);
                }
                Output::CloseRelay { relay } => self.relays.close(relay),
                Output::Moved { from, to } => {
                    self.tell_others(|| Caused::Forget { client: from });
                    // A stream has come to this shard as a whole.
                    if !to.transport.is_stream() {
                        self.tell_others(|| Caused::Moved { client: to, shard: self.core.index });
                    }
                }
                Output::MovedEnded { client } => self.tell_others(|| Caused::Forget { client }),
                Output::Connect { relay, connection, peer } => self.connect_peer(relay, connection, peer, now),
                Output::Splice { connection, client } => self.splice(connection, client, now),
                Output::CloseConnection { connection } => {
                    self.splices.remove(connection);
                }
                // Nothing is done in advance for a channel.
                Output::ChannelBound { .. } | Output::ChannelUnbound { .. } => {}
            }
        }
        self.core.stats.allocations.set(self.engine.allocation_count() as u64);
        self.core.stats.streams.set(self.streams.len() as u64);
        self.core.stats.connections.set(self.splices.len() as u64);
        self.core.stats.moved.set(self.moved.len() as u64);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
