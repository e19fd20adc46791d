//! Sends packets through a server and back at a given rate.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use castway::relay::io::inbox::Inbox;
use castway::relay::io::outbox::Outbox;
use castway::relay::io::packet_route::PacketRoute;
use castway::relay::io::udp::BatchUdpSocket;
use castway::turn::Scope;

use crate::client::{self, Client};
use crate::pairs::{self, Shards};
use crate::server::Server;
use crate::stream_client::{StreamClient, StreamTransport};
use crate::support::percentile::percentile;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const CHANNEL: u16 = 0x4001;
const CHANNEL_HEADER: usize = 4;
/// Bytes before the payload, for an IPv4 peer and with DATA as the last attribute; coturn puts DATA first.
const INDICATION_HEADER: usize = 36;
const DATA_FIRST_HEADER: usize = 24;
/// The stamp in a payload: mark, run, sending end, time sent.
const STAMP_BYTES: usize = 20;
const MARK: u32 = 0x57A7_1C0D;
/// How long to wait for the last packets.
const LAST_PACKETS_TIMEOUT: Duration = Duration::from_millis(60);
/// A generator that is later than this skips what it missed, rather than sending all of it in one burst.
const MAX_CATCH_UP: Duration = Duration::from_millis(2);
/// When the generator is behind, it receives after this many bursts.
const BURSTS_A_TURN: u32 = 4;

/// How a client and the server wrap payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Channel,
    Indication,
}

/// The two ends of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    ClientAndPeer,
    /// Two clients of the same server, each the other's peer by its relayed address. Both have bound a channel to it, because Castway
    /// delivers nothing from a relayed address that the receiver has not contacted.
    TwoClients(Shards),
    /// A client over TCP or TLS, and a peer.
    StreamAndPeer(StreamTransport),
}

/// Which ends send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Senders {
    /// Both by turns.
    Both,
    First,
    Second,
}

/// The packets that are sent. Bursts alternate between the two directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Bytes of each payload.
    pub(crate) payload: usize,
    /// Packets that are sent together.
    pub(crate) burst: usize,
    /// A burst is one train (UDP_SEGMENT), as from a sender with pacing.
    pub(crate) trains: bool,
    pub(crate) framing: Framing,
    pub(crate) ends: Ends,
}

/// Two ends with a server between them.
pub(crate) struct Path {
    ends: [End; 2],
    pattern: Pattern,
    pub(crate) senders: Senders,
    runs: u32,
}

enum Link {
    Datagrams(BatchUdpSocket),
    Stream(Box<StreamClient>),
}

struct End {
    link: Link,
    to: SocketAddr,
    /// One packet as it is sent, except for its stamp.
    packet: Vec<u8>,
    /// Where the payload begins in sent and in received packets.
    header: usize,
}

/// The result of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// From the first to the last packet that was sent.
    pub(crate) seconds: f64,
    /// One-way latencies in nanoseconds, unsorted.
    pub(crate) latencies: Vec<u32>,
}

impl Run {
    /// The share of lost packets, 0 to 1.
    pub(crate) fn loss(&self) -> f64 {
        1.0 - self.received as f64 / self.sent.max(1) as f64
    }

    /// Packets a second that arrived.
    pub(crate) fn rate(&self) -> f64 {
        self.received as f64 / self.seconds
    }

    /// The latency in microseconds that a `share` of the packets does not exceed.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        percentile(&mut self.latencies, share).map_or(f64::NAN, |nanos| f64::from(nanos) / 1e3)
    }
}

impl Path {
    /// Opens both ends, with allocations, permissions and channels. `gro`: the ends receive whole trains, which browsers don't.
    ///
    /// # Errors
    /// The server refuses something.
    pub(crate) fn open(server: &Server, pattern: Pattern, gro: bool) -> anyhow::Result<Self> {
        let ends = match (server.relayed, pattern.ends) {
            (Some(relayed), _) => {
                let ends = [End::raw(server.address, &pattern, gro)?, End::raw(relayed, &pattern, gro)?];
                for end in &ends {
                    // The forwarder sends to the last sender, so each end sends first.
                    client::send(end.socket()?, end.to, b"hello");
                }
                ends
            }
            (None, Ends::ClientAndPeer) => {
                let client = Client::allocate(server.address, LOCALHOST, server.user("client", Scope::Anyone)?, gro)?;
                let peer = End::raw(client.relayed, &pattern, gro)?;
                let address = peer.socket()?.local_addr()?;
                [End::client(client, server.address, address, &pattern)?, peer]
            }
            (None, Ends::StreamAndPeer(transport)) => {
                let (address, certificate) = match transport {
                    StreamTransport::Tcp => (server.address, None),
                    StreamTransport::Tls => (server.tls.context("a server without TLS")?, server.certificate.as_ref()),
                };
                let client = StreamClient::allocate(address, certificate, server.user("client", Scope::Anyone)?)?;
                let peer = End::raw(client.relayed, &pattern, gro)?;
                let peers = peer.socket()?.local_addr()?;
                [End::stream(client, peers, &pattern)?, peer]
            }
            (None, Ends::TwoClients(shards)) => {
                let [one, other] = pairs::open(server, shards, gro)?;
                let (at_one, at_other) = (one.relayed, other.relayed);
                let one = End::client(one, server.address, at_other, &pattern)?;
                [one, End::client(other, server.address, at_one, &pattern)?]
            }
        };
        Ok(Self { ends, pattern, senders: Senders::Both, runs: 0 })
    }

    /// A path without a server, to measure the latency that the generator and the kernel add.
    ///
    /// # Errors
    /// socket(2) or bind(2) fails.
    pub(crate) fn direct(pattern: Pattern, gro: bool) -> anyhow::Result<Self> {
        let nowhere = SocketAddr::new(LOCALHOST, 9);
        let mut ends = [End::raw(nowhere, &pattern, gro)?, End::raw(nowhere, &pattern, gro)?];
        ends[0].to = ends[1].socket()?.local_addr()?;
        ends[1].to = ends[0].socket()?.local_addr()?;
        Ok(Self { ends, pattern, senders: Senders::Both, runs: 0 })
    }

    /// Sends `rate` packets a second for `time`, receives those that come back, and waits for the last ones.
    ///
    /// # Errors
    /// A socket of the generator fails.
    pub(crate) fn run(&mut self, rate: f64, time: Duration) -> anyhow::Result<Run> {
        self.run_beside(rate, time, |_| Ok(()))
    }

    /// The same while the generator does something else as well, which must not take long.
    ///
    /// # Errors
    /// As [`Self::run`], or those of `beside`.
    pub(crate) fn run_beside(
        &mut self,
        rate: f64,
        time: Duration,
        mut beside: impl FnMut(Instant) -> anyhow::Result<()>,
    ) -> anyhow::Result<Run> {
        self.runs += 1;
        let mut run = Run::default();
        let mut outbox = if self.pattern.trains { Outbox::new() } else { Outbox::new().without_trains() };
        let mut inbox = Inbox::new();
        let gap = Duration::from_secs_f64(self.pattern.burst as f64 / rate);
        let start = Instant::now();
        let (mut next, end) = (start, start + time);
        let mut turn: u32 = 0;
        let mut last = start;
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            if now >= next {
                let from = match self.senders {
                    Senders::Both => turn as usize % 2,
                    Senders::First => 0,
                    Senders::Second => 1,
                };
                self.send_burst(&mut outbox, &inbox, from, start, &mut run)?;
                last = now;
                next = (next + gap).max(now.checked_sub(MAX_CATCH_UP).unwrap_or(start));
                turn += 1;
                if now >= next && !turn.is_multiple_of(BURSTS_A_TURN) {
                    continue;
                }
            }
            self.receive(&mut inbox, start, &mut run)?;
            beside(now)?;
        }
        run.seconds = (last - start).max(gap).as_secs_f64();
        let mut quiet_until = Instant::now() + LAST_PACKETS_TIMEOUT;
        while Instant::now() < quiet_until && run.received < run.sent {
            let before = run.received;
            self.receive(&mut inbox, start, &mut run)?;
            if run.received > before {
                quiet_until = Instant::now() + LAST_PACKETS_TIMEOUT;
            }
        }
        Ok(run)
    }

    fn send_burst(
        &mut self,
        outbox: &mut Outbox,
        inbox: &Inbox,
        from: usize,
        start: Instant,
        run: &mut Run,
    ) -> anyhow::Result<()> {
        let end = &mut self.ends[from];
        let route = PacketRoute { socket: 0, to: end.to, from: None, dont_fragment: false };
        let time = start.elapsed().as_nanos() as u64;
        for _ in 0..self.pattern.burst {
            let stamp = &mut end.packet[end.header..end.header + STAMP_BYTES];
            stamp[4..8].copy_from_slice(&self.runs.to_be_bytes());
            stamp[8..12].copy_from_slice(&(from as u32).to_be_bytes());
            stamp[12..20].copy_from_slice(&time.to_be_bytes());
            match &mut end.link {
                Link::Datagrams(_) => outbox.push_bytes(route, &end.packet),
                Link::Stream(client) => client.push(&end.packet),
            }
        }
        run.sent += self.pattern.burst as u64;
        match &mut end.link {
            Link::Datagrams(socket) => {
                outbox.flush(inbox, |_| Some(&*socket), |_| ());
                Ok(())
            }
            Link::Stream(client) => client.flush(),
        }
    }

    fn receive(&mut self, inbox: &mut Inbox, start: Instant, run: &mut Run) -> anyhow::Result<()> {
        let Self { ends, pattern, runs, .. } = self;
        for (here, end) in (0u32..).zip(ends) {
            let header = end.header;
            let mut note = |bytes: &[u8]| {
                let now = start.elapsed().as_nanos() as u64;
                let Some((at, stamp)) = stamp(bytes, header) else { return };
                let number = |at: usize| stamp[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
                // Only whole packets of this run that have reached the other end count. Others were in a full queue since the last run.
                if number(4) == *runs && number(8) != here && bytes.len() >= at + pattern.payload {
                    let sent = u64::from(number(12)) << 32 | u64::from(number(16));
                    run.received += 1;
                    run.latencies.push(u32::try_from(now.saturating_sub(sent)).unwrap_or(u32::MAX));
                }
            };
            match &mut end.link {
                Link::Datagrams(socket) => {
                    if inbox.receive(socket)? > 0 {
                        let segments = inbox.datagrams().iter().flat_map(|datagram| datagram.segments());
                        segments.for_each(|segment| note(inbox.bytes(segment)));
                    }
                }
                Link::Stream(client) => {
                    client.flush()?;
                    client.receive(note)?;
                }
            }
        }
        Ok(())
    }
}

impl End {
    fn raw(to: SocketAddr, pattern: &Pattern, gro: bool) -> anyhow::Result<Self> {
        let packet = payload(pattern);
        Ok(Self { link: Link::Datagrams(client::open(LOCALHOST, gro)?), to, packet, header: 0 })
    }

    fn socket(&self) -> anyhow::Result<&BatchUdpSocket> {
        let Link::Datagrams(socket) = &self.link else { anyhow::bail!("a stream in the place of a socket") };
        Ok(socket)
    }

    fn stream(mut client: StreamClient, peer: SocketAddr, pattern: &Pattern) -> anyhow::Result<Self> {
        client.bind_channel(CHANNEL, peer)?;
        Ok(Self {
            to: client.relayed,
            link: Link::Stream(Box::new(client)),
            packet: channel_data(pattern)?,
            header: CHANNEL_HEADER,
        })
    }

    fn client(client: Client, server: SocketAddr, peer: SocketAddr, pattern: &Pattern) -> anyhow::Result<Self> {
        let (packet, header) = match pattern.framing {
            Framing::Channel => {
                client.bind_channel(CHANNEL, peer)?;
                (channel_data(pattern)?, CHANNEL_HEADER)
            }
            Framing::Indication => {
                client.permit(peer)?;
                (client::send_indication(peer, &payload(pattern))?, INDICATION_HEADER)
            }
        };
        Ok(Self { link: Link::Datagrams(client.socket), to: server, packet, header })
    }
}

fn channel_data(pattern: &Pattern) -> anyhow::Result<Vec<u8>> {
    let len = u16::try_from(pattern.payload).context("a payload of 64 KiB")?;
    Ok([&CHANNEL.to_be_bytes()[..], &len.to_be_bytes(), &payload(pattern)].concat())
}

fn payload(pattern: &Pattern) -> Vec<u8> {
    let mut payload = vec![0xA5; pattern.payload.max(STAMP_BYTES)];
    payload[..4].copy_from_slice(&MARK.to_be_bytes());
    payload
}

/// Finds the start of the generator's payload and its stamp.
fn stamp(bytes: &[u8], header: usize) -> Option<(usize, &[u8; STAMP_BYTES])> {
    let at = |at: usize| Some((at, bytes.get(at..)?.first_chunk()?));
    [header, DATA_FIRST_HEADER].into_iter().filter_map(at).find(|(_, stamp)| stamp.starts_with(&MARK.to_be_bytes()))
}
