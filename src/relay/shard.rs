//! One shard: a thread, an engine, and everything that belongs to its clients. Nothing here is shared but counters.
//!
//! Owner of its sockets and its [`turn::Relay`]. One turn of the loop: wait; at most **one** batch of the clients' socket, or
//! the relayed sockets starve; one batch of each relayed socket and connection that is ready; what is due. Each batch is
//! judged and sent before the next one is received, and the engine's outputs follow it.
//!
//! A fault in the program ends the shard's allocations and nothing else: [`run`] gives their ports and quota back and goes on
//! with a fresh engine on the same listener, so that no other shard's clients are moved.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use rand::Rng as _;

use super::acceptor::{Acceptor, is_exhaustion};
use super::accounts::Accounts;
use super::inbox::Inbox;
use super::late::Late;
use super::outbox::Outbox;
use super::pace::Pace;
use super::poll::{Interest, Poll, Ready, Waker};
use super::sockets::{Listener, RelaySockets};
use super::source::{Source, StreamId};
use super::splice::Splices;
use super::stats::{Close, ShardStats};
use super::strangers::Strangers;
use super::stream::Stream;
use super::streams::{FIRST_REQUEST, Streams};
use super::udp::UdpSocket;
use super::wire::Wire;
use super::{Connection, Diversion};
use crate::turn::codec::framing::{Frame, next_frame};
use crate::turn::codec::message::{Class, Method, type_number};
use crate::turn::{self, DropReason, FiveTuple, Forward, Output, PeerPolicy, RelayId, Settings, Shared, Transport};

/// Connections taken in a turn.
pub(super) const ACCEPTS: usize = 16;
/// Without descriptors, accepting is tried again after this.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
/// How often a shard that drains looks whether the other shards are done too.
const DRAIN_CHECK: Duration = Duration::from_millis(20);
/// ICMP errors read from one socket in a turn; what is left waits for the next packet.
const ICMP_ERRORS: usize = 64;
/// What the only answer begins with that makes a client's connection a peer's (RFC 6062 §5.4).
const CONNECTION_BOUND: [u8; 2] = type_number(Class::Success, Method::ConnectionBind).to_be_bytes();
/// Datagrams of other shards that may wait.
const HANDED_OVER: usize = 256;
/// Messages taken in a turn; the sockets' turn comes in between.
const CONTROLS: usize = 64;
/// After a fault.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// What a shard is told from outside.
#[derive(Debug)]
pub(super) enum Control {
    /// Users may have been disabled or removed.
    CheckUsers,
    /// What relays are advertised under, IPv4 and IPv6, and everything that is this machine.
    Addresses { advertised: [Option<IpAddr>; 2], own: Arc<[IpAddr]> },
    /// Take no new allocations; end when there are none, or then.
    Stop(Instant),
    /// A message that belongs to this shard's engine arrived at another shard (RFC 8016).
    Datagram { from: FiveTuple, bytes: Box<[u8]> },
    /// A client's connection whose last message belongs to this shard's engine (RFC 6062, RFC 8016).
    Stream(Box<Stream>),
    /// A client moved to this five-tuple, and its packets are that shard's.
    Moved { client: FiveTuple, shard: u8 },
    /// Nobody has it any more.
    Forget { client: FiveTuple },
    /// A connection that another listener has accepted.
    Adopt(Connection),
    /// Whose connections are not for this listener.
    Divert(Diversion),
}

/// How to reach a shard.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    sender: Sender<Control>,
    waker: Waker,
    /// Of the messages that wait, those that clients cause without end.
    datagrams: Arc<AtomicUsize>,
}

impl Mailbox {
    pub(super) fn new(sender: Sender<Control>, waker: Waker) -> Self {
        Self { sender, waker, datagrams: Arc::default() }
    }

    /// Gives a client's datagram to the shard. False: too many wait already.
    pub(super) fn hand(&self, from: FiveTuple, bytes: &[u8]) -> bool {
        let room = self.datagrams.fetch_add(1, Ordering::Relaxed) < HANDED_OVER;
        if room {
            self.send(Control::Datagram { from, bytes: bytes.into() });
        } else {
            self.datagrams.fetch_sub(1, Ordering::Relaxed);
        }
        room
    }

    pub(super) fn send(&self, control: Control) {
        // A shard that has ended needs nothing.
        let _ = self.sender.send(control);
        self.waker.wake();
    }
}

/// What a shard keeps for all its life.
pub(super) struct Core {
    pub(super) index: u8,
    pub(super) settings: Arc<Settings>,
    pub(super) policy: PeerPolicy,
    pub(super) shard: turn::Shard,
    pub(super) shared: Arc<Shared>,
    pub(super) accounts: Arc<dyn Accounts>,
    pub(super) strangers: Arc<Strangers>,
    pub(super) stats: Arc<ShardStats>,
    pub(super) controls: Receiver<Control>,
    /// Of all shards, by index.
    pub(super) mailboxes: Vec<Mailbox>,
    pub(super) poll: Poll,
    /// The clients' UDP sockets: the first, and those of the other port and of NAT behaviour discovery.
    pub(super) listeners: Vec<Listener>,
    /// The same for TCP.
    pub(super) acceptors: Vec<Acceptor>,
    pub(super) diversion: Option<Diversion>,
    /// How long packets may gather.
    pub(super) coalesce: Duration,
    /// Tell clients of ICMP errors: pion's client and its descendants end at a Data indication without DATA.
    pub(super) icmp_indications: bool,
    pub(super) stop_at: Option<Instant>,
}

pub(super) struct Shard {
    pub(super) core: Core,
    pub(super) engine: turn::Relay,
    pub(super) inbox: Inbox,
    pub(super) outbox: Outbox,
    pub(super) streams: Streams,
    pub(super) relays: RelaySockets,
    pub(super) splices: Splices,
    pub(super) late: Late,
    /// TCP allocations whose peers wait for descriptors.
    pub(super) full_relays: Vec<RelayId>,
    /// Clients of other shards whose packets arrive here.
    pub(super) moved: HashMap<FiveTuple, u8>,
    pace: Pace,
    /// What is read from connections.
    buffer: Vec<u8>,
    /// Acceptors whose clients wait for descriptors.
    full: Vec<u8>,
    pub(super) accept_again: Option<Instant>,
    /// Packets of this turn.
    pub(super) packets: u32,
}

/// Runs a shard on this thread until it is told to stop.
pub(super) fn run(core: Core) {
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
        let mut engine = turn::Relay::new(
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
        Self {
            pace: Pace::new(core.coalesce, Instant::now()),
            core,
            engine,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            streams: Streams::default(),
            relays: RelaySockets::default(),
            splices: Splices::default(),
            late: Late::default(),
            full_relays: Vec::new(),
            moved: HashMap::new(),
            buffer: Vec::new(),
            full: Vec::new(),
            accept_again: None,
            packets: 0,
        }
    }

    fn restarted(self) -> Self {
        let Self { mut core, mut engine, full, accept_again, relays, splices, .. } = self;
        // Whose port is given back must have let go of it.
        drop((relays, splices));
        if catch_unwind(AssertUnwindSafe(|| engine.end_all())).is_err() {
            tracing::error!(shard = core.index, "some ports and quota of its allocations are lost until the next start");
        }
        core.stats.allocations.set(0);
        core.stats.streams.set(0);
        core.stats.connections.set(0);
        // What has come since is not reported once more.
        (0..).zip(&core.listeners).for_each(|(number, _)| core.poll.again(Source::Listener(number).token()));
        let mut shard = Self::new(core);
        (shard.full, shard.accept_again) = (full, accept_again);
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
            if let Some(pause) = self.pace.pause() {
                std::thread::sleep(pause);
            }
            self.core.poll.wait(self.timeout(began))?;
            now = Instant::now();
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
                    Source::Relay(relay) => self.peers(relay, event.error, now),
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
        let next = [self.engine.next_timeout(), self.accept_again, drain].into_iter().chain(streams);
        next.flatten().min().map(|at| at.saturating_duration_since(now))
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
        self.outputs(now);
    }

    fn controls(&mut self, now: Instant) {
        let own = self.core.mailboxes[usize::from(self.core.index)].clone();
        for _ in 0..CONTROLS {
            let Ok(control) = self.core.controls.try_recv() else { return };
            match control {
                Control::CheckUsers => {
                    let accounts = Arc::clone(&self.core.accounts);
                    let gone = self.engine.allocations().filter(|allocation| !accounts.is_live(allocation.user));
                    let gone: std::collections::BTreeSet<String> = gone.map(|allocation| allocation.user.to_owned()).collect();
                    for user in gone {
                        self.engine.revoke(&user);
                    }
                }
                Control::Addresses { advertised, own } => {
                    Arc::make_mut(&mut self.core.settings).set_addresses(advertised, &own);
                    self.engine.set_addresses(advertised, &own, now);
                }
                Control::Stop(at) => {
                    self.core.stop_at = Some(self.core.stop_at.map_or(at, |before| before.min(at)));
                    self.engine.refuse_allocations();
                }
                Control::Datagram { from, bytes } => {
                    own.datagrams.fetch_sub(1, Ordering::Relaxed);
                    self.handed_over(from, &bytes, now);
                }
                Control::Stream(stream) => self.stream_handed_over(stream, now),
                Control::Moved { client, shard } => {
                    self.moved.insert(client, shard);
                }
                Control::Forget { client } => {
                    self.moved.remove(&client);
                }
                Control::Adopt(connection) => self.adopt(connection, now),
                Control::Divert(diversion) => self.core.diversion = Some(diversion),
            }
            self.outputs(now);
        }
        own.waker.wake();
    }

    /// One batch of a clients' socket.
    fn clients(&mut self, number: u8, now: Instant) {
        let Some(Listener { socket, address }) = self.core.listeners.get(usize::from(number)) else { return };
        let address = *address;
        if let Err(error) = socket.recv_batch(&mut self.inbox) {
            tracing::debug!(%error, "the clients' socket can't be read");
            return;
        }
        if self.inbox.is_full() {
            self.core.poll.again(Source::Listener(number).token());
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
    fn peers(&mut self, relay: RelayId, error: bool, now: Instant) {
        if error {
            self.icmp_errors(relay, now);
        }
        let Some(socket) = self.relays.socket(relay) else {
            self.accept_peers(relay, now);
            return self.outputs(now);
        };
        if let Err(error) = socket.recv_batch(&mut self.inbox) {
            tracing::trace!(%error, "a relayed socket can't be read");
            return;
        }
        if self.inbox.is_full() {
            self.core.poll.again(Source::Relay(relay).token());
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

    fn icmp_errors(&mut self, relay: RelayId, now: Instant) {
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

    fn accept(&mut self, number: u8, now: Instant) {
        for _ in 0..ACCEPTS {
            let Some(acceptor) = self.core.acceptors.get(usize::from(number)) else { return };
            let (socket, client, server) = match acceptor.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_exhaustion(&error) => {
                    // It would be reported at once again, and again.
                    tracing::warn!(%error, "no more TCP clients for now: raise the limit of open files (ulimit -n)");
                    self.core.stats.accept_failures.add(1);
                    if self.core.poll.remove(acceptor).is_ok() {
                        self.full.push(number);
                    }
                    self.accept_again = Some(now + ACCEPT_PAUSE);
                    return;
                }
                // That connection is gone already.
                Err(_) => continue,
            };
            if let Some(diversion) = self.core.diversion.as_ref().filter(|diversion| diversion.is_for(client.ip())) {
                if diversion.to.try_send(socket).is_err() {
                    self.core.stats.closed(Close::Limit);
                }
                continue;
            }
            self.adopt(Connection { client, server, wire: Wire::Tcp(socket) }, now);
        }
    }

    fn adopt(&mut self, connection: Connection, now: Instant) {
        let Connection { client, server, wire } = connection;
        self.core.stats.accepted.add(1);
        let Some(stranger) = self.core.strangers.admit(client.ip()) else {
            return self.core.stats.closed(Close::Limit);
        };
        let decrypted = wire.transport() == Transport::Tls;
        let tuple = FiveTuple { client, server, transport: wire.transport() };
        let stream = Stream::new(tuple, wire, stranger, now + FIRST_REQUEST);
        match self.streams.insert(Box::new(stream), &self.core.poll, now) {
            // What was decrypted already no socket will report.
            Some(id) if decrypted => self.core.poll.again(Source::Stream(id).token()),
            Some(_) => {}
            None => self.core.stats.closed(Close::Limit),
        }
        self.core.stats.streams.set(self.streams.len() as u64);
    }

    fn stream_ready(&mut self, id: StreamId, event: &Ready, now: Instant) {
        if event.writable && !self.streams.flush(id, &self.core.poll, now) {
            return self.close_stream(id, Close::Client, now);
        }
        if event.readable || event.error {
            let mut buffer = std::mem::take(&mut self.buffer);
            let end = self.read_stream(id, &mut buffer, now);
            self.buffer = buffer;
            if self.streams.stream(id).is_some_and(|stream| stream.holds_back()) {
                self.streams.touch(id);
            }
            self.finish(now);
            if let Some(why) = end {
                self.close_stream(id, why, now);
            }
        }
    }

    /// Reads once and handles the whole messages; why the connection is to be closed, if it is.
    fn read_stream(&mut self, id: StreamId, buffer: &mut Vec<u8>, now: Instant) -> Option<Close> {
        let stream = self.streams.stream(id)?;
        let len = match stream.read(buffer) {
            Ok(Some(len)) => len,
            Ok(None) => return Some(Close::Client),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return None,
            Err(_) => return Some(Close::Client),
        };
        self.read_frames(id, &buffer[..len], now)
    }

    /// Handles the whole messages, and keeps the rest; why the connection is to be closed, if it is.
    pub(super) fn read_frames(&mut self, id: StreamId, mut bytes: &[u8], now: Instant) -> Option<Close> {
        let tuple = self.streams.stream(id)?.tuple;
        loop {
            match next_frame(bytes) {
                Frame::Whole(len) => {
                    self.packets += 1;
                    let (message, rest) = bytes.split_at(len);
                    let verdict = self.engine.handle_client(tuple, message, now);
                    if verdict == Forward::Drop(DropReason::Throttled) && !self.engine.has_allocation(&tuple) {
                        self.core.stats.dropped(DropReason::Throttled);
                        return self.keep_for_later(id, bytes, now);
                    }
                    let bound = matches!(verdict, Forward::Reply { .. }) && self.engine.reply().starts_with(&CONNECTION_BOUND);
                    if let Forward::ToShard { shard } = verdict {
                        self.hand_stream_over(id, shard, bytes);
                    } else if !self.carry_copied(verdict, message, Some(tuple)) {
                        return Some(Close::Slow);
                    }
                    if bound {
                        // It is the peer's connection from here on, and so are the bytes that follow.
                        self.streams.stream(id)?.keep(rest);
                        self.outputs(now);
                    }
                    self.streams.stream(id)?;
                    bytes = rest;
                }
                Frame::Needs(_) => {
                    let stream = self.streams.stream(id)?;
                    stream.keep(bytes);
                    if stream.keeps_too_much(|client| self.engine.has_allocation(client)) {
                        return Some(Close::Garbage);
                    }
                    return stream.has_ended().then_some(Close::Client);
                }
                Frame::Garbage => return Some(Close::Garbage),
            }
        }
    }

    pub(super) fn close_stream(&mut self, id: StreamId, why: Close, now: Instant) {
        self.forget_stream(id, why, now);
        self.outputs(now);
    }

    /// Ends a connection; true where it was still there, and the engine's outputs are to follow.
    pub(super) fn forget_stream(&mut self, id: StreamId, why: Close, now: Instant) -> bool {
        let tuple = self.streams.remove(id);
        if let Some(tuple) = &tuple {
            self.core.stats.closed(why);
            self.engine.client_closed(tuple, now);
        }
        tuple.is_some()
    }

    /// Sends what a batch has led to, and does what the engine wants done.
    pub(super) fn finish(&mut self, now: Instant) {
        self.flush(now);
        self.outputs(now);
    }

    /// Where the kernel may bring a client's packets.
    fn tell_others(&self, control: impl Fn() -> Control) {
        let others = (0..).zip(&self.core.mailboxes).filter(|(index, _)| *index != self.core.index);
        others.for_each(|(_, mailbox)| mailbox.send(control()));
    }

    fn outputs(&mut self, now: Instant) {
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
                    self.tell_others(|| Control::Forget { client: from });
                    // A stream has come to this shard as a whole.
                    if !to.transport.is_stream() {
                        self.tell_others(|| Control::Moved { client: to, shard: self.core.index });
                    }
                }
                Output::MovedEnded { client } => self.tell_others(|| Control::Forget { client }),
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
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_shard_hands_to_another_is_bounded() {
        let (sender, controls) = std::sync::mpsc::channel();
        let mailbox = Mailbox::new(sender, Poll::new().unwrap().waker());
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let from = FiveTuple { client: any, server: any, transport: Transport::Udp };
        assert_eq!((0..1000).filter(|_| mailbox.hand(from, b"x")).count(), HANDED_OVER);
        mailbox.send(Control::CheckUsers);
        assert_eq!(controls.try_iter().count(), HANDED_OVER + 1, "what the server itself says always fits");
    }
}
