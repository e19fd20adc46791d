//! Packets, requests and rare events of one engine with so many live allocations, each of which has a channel.

use std::collections::HashMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::ops::Range;

use castway::turn::codec::attribute;
use castway::turn::codec::framing::MAX_FRAMING_HEADER_BYTES;
use castway::turn::codec::header::Method;
use castway::turn::{DropReason, Engine, FiveTuple, PeerPolicy, Scope, Verdict};
use castway::users::Directory;

use crate::engine::{Shell, channel_data, client, send_indication, signed, udp};
use crate::measure::{Effort, Order, millis};
use crate::results::{Kind, Results};

const PAYLOAD: [u8; 1200] = [7; 1200];
/// Allocations of one user.
const ALLOCATIONS_A_USER: u32 = 4;
/// Networks of the peers, one of which a new policy denies.
const PEER_NETWORKS: u32 = 16;
/// As many places a shard visits in a turn (`relay::shard::table_walk`).
const PLACES_A_PART: usize = 256;
/// Clients without an allocation, which make one and end it again.
const FURTHER_CLIENTS: u32 = 64;

/// The name of a user in the engine and in the database.
pub(crate) fn user(number: u32) -> String {
    format!("user{number}")
}

fn peer(allocation: u32) -> SocketAddr {
    SocketAddr::from(([45, (allocation % PEER_NETWORKS) as u8, 0, 7], 7000))
}

pub(crate) struct Allocations {
    shell: Shell,
    count: u32,
}

impl Allocations {
    /// Makes the allocations, and counts the time for an engine without any.
    pub(crate) fn make(count: u32, results: &mut Results) -> Self {
        let mut shell = None;
        let took = millis(|| shell = Some(Shell::with(Scope::Anyone, |_| {})));
        results.add("start of an engine", Kind::Once, count, vec![took]);
        let mut shell = shell.expect("it was just made");
        for number in 0..count {
            let user = user(number / ALLOCATIONS_A_USER);
            let nonce = shell.allocate(client(number), &user);
            shell.bind(client(number), &user, &nonce, peer(number));
        }
        assert_eq!(shell.engine.allocation_count(), count as usize);
        Self { shell, count }
    }

    /// Measures packets of all allocations, and of ten among them.
    pub(crate) fn measure_packets(&mut self, effort: Effort, results: &mut Results) {
        let count = self.count;
        let mut add = |name, samples| results.add(name, Kind::Repeated, count, samples);
        add("ChannelData to a peer", self.channel_data(effort, Order::all(count)));
        add("ChannelData to a peer, ten busy", self.channel_data(effort, Order::ten(count)));
        add("a peer's datagram to a channel", self.peer_datagrams(effort, Order::all(count)));
        add("a peer's datagram to a channel, ten busy", self.peer_datagrams(effort, Order::ten(count)));
        add("Send indication to a peer", self.send_indications(effort, Order::all(count)));
        add("Send indication to a peer, ten busy", self.send_indications(effort, Order::ten(count)));
        results.add("a bare map and its records", Kind::Control, count, bare_table(effort, count));
    }

    fn channel_data(&mut self, effort: Effort, mut order: Order) -> Vec<f64> {
        let (bytes, now) = (channel_data(&PAYLOAD), self.shell.now);
        effort.time(|| {
            let verdict = black_box(self.shell.engine.handle_client(client(order.draw()), &bytes, now));
            assert!(matches!(verdict, Verdict::ToPeer { .. }));
        })
    }

    fn send_indications(&mut self, effort: Effort, mut order: Order) -> Vec<f64> {
        let messages: Vec<_> = (0..PEER_NETWORKS).map(|network| send_indication(peer(network), &PAYLOAD)).collect();
        let now = self.shell.now;
        effort.time(|| {
            let number = order.draw();
            let bytes = &messages[(number % PEER_NETWORKS) as usize];
            let verdict = black_box(self.shell.engine.handle_client(client(number), bytes, now));
            assert!(matches!(verdict, Verdict::ToPeer { .. }));
        })
    }

    fn peer_datagrams(&mut self, effort: Effort, mut order: Order) -> Vec<f64> {
        let mut packet = vec![0; MAX_FRAMING_HEADER_BYTES + PAYLOAD.len()];
        let now = self.shell.now;
        effort.time(|| {
            let number = order.draw();
            let (relayed, payload) = (self.shell.relayed[number as usize], &packet[MAX_FRAMING_HEADER_BYTES..]);
            let verdict = self.shell.engine.handle_peer(relayed, peer(number), payload, now);
            let Verdict::ToClient { framing, .. } = verdict else { panic!("{verdict:?}") };
            black_box(framing.write_header(&mut packet[..MAX_FRAMING_HEADER_BYTES], PAYLOAD.len()));
        })
    }

    /// Measures an Allocate and its Refresh 0, of clients beside the live ones.
    pub(crate) fn measure_requests(&mut self, effort: Effort, results: &mut Results) {
        let mut requests = Vec::new();
        for number in self.count..self.count + FURTHER_CLIENTS {
            let (from, user) = (client(number), user(number));
            let nonce = self.shell.nonce(from);
            let allocate = signed(&user, Method::Allocate, &nonce, 1, udp);
            let end = signed(&user, Method::Refresh, &nonce, 2, |writer| {
                writer.number(attribute::LIFETIME, 0);
            });
            requests.push((from, allocate, end));
        }
        let samples = effort.time_batches(|| {
            requests.iter().for_each(|(from, allocate, _)| self.shell.ask(*from, allocate));
            assert_eq!(self.shell.relayed.len(), (self.count + FURTHER_CLIENTS) as usize);
            requests.iter().for_each(|(from, _, end)| self.shell.ask(*from, end));
            self.shell.relayed.truncate(self.count as usize);
        });
        assert_eq!(self.shell.engine.allocation_count(), self.count as usize);
        results.add("Allocate and Refresh 0", Kind::Repeated, self.count, samples);
    }

    /// Measures what visits every allocation, in the parts that a shard makes of it, and at last a policy that denies the peers of every 16th
    /// allocation. One user has just been removed.
    pub(crate) fn measure_changes(&mut self, users: &Directory, results: &mut Results) {
        let (count, now) = (self.count, self.shell.now);
        let engine = &mut self.shell.engine;
        let mut add = |engine: &mut Engine, names: [&'static str; 2], part: &mut dyn FnMut(&mut Engine, Range<usize>)| {
            for (name, took) in names.into_iter().zip(in_parts(engine, part)) {
                results.add(name, Kind::Once, count, vec![took]);
            }
        };
        let before = engine.allocation_count();
        add(engine, ["accounts settled", "accounts settled: the longest part"], &mut Engine::settle);
        add(
            engine,
            ["the allocations of a removed user", "the allocations of a removed user: the longest part"],
            &mut |engine, places| {
                engine.end_users(places, |scope, user| users.is_refused(scope, user));
            },
        );
        add(engine, ["a policy that closes nothing", "a policy that closes nothing: the longest part"], &mut |engine, places| {
            engine.close_denied(places, now);
        });
        let denied = vec!["45.0.0.0/16".parse().expect("a network")];
        engine.replace_policy(PeerPolicy { denied, ..PeerPolicy::default() });
        add(
            engine,
            ["a policy that closes each 16th channel", "a policy that closes each 16th channel: the longest part"],
            &mut |engine, places| {
                engine.close_denied(places, now);
            },
        );
        assert_eq!(before - engine.allocation_count(), ALLOCATIONS_A_USER as usize);
        let is_dropped = |number: u32| {
            let verdict = self.shell.engine.handle_client(client(number), &channel_data(&PAYLOAD), now);
            verdict == Verdict::Drop(DropReason::NoChannel)
        };
        let last: Vec<u32> = (count.saturating_sub(PEER_NETWORKS)..count).collect();
        assert_eq!(last.into_iter().map(is_dropped).filter(|dropped| *dropped).count(), 1, "one of 16 peers is denied");
    }
}

/// Visits all places as a shard does, and returns the milliseconds of all parts together and of the longest one.
fn in_parts(engine: &mut Engine, part: &mut dyn FnMut(&mut Engine, Range<usize>)) -> [f64; 2] {
    let starts = (0..engine.places()).step_by(PLACES_A_PART);
    let parts = starts.map(|start| millis(|| part(engine, start..start + PLACES_A_PART)));
    parts.fold([0.0, 0.0], |[all, longest], took| [all + took, took.max(longest)])
}

/// What any server has to touch for a packet: an entry of a hash map by the client's address, the record that it leads to, and a list
/// in that record.
fn bare_table(effort: Effort, count: u32) -> Vec<f64> {
    struct Record {
        _rest: [u64; 48],
        peers: Vec<SocketAddr>,
    }
    let records: Vec<Box<Record>> =
        (0..count).map(|number| Box::new(Record { _rest: [0; 48], peers: vec![peer(number)] })).collect();
    let by_client: HashMap<FiveTuple, u32> = (0..count).map(|number| (client(number), number)).collect();
    let mut order = Order::all(count);
    effort.time(|| {
        let number = by_client[&client(order.draw())];
        black_box(records[number as usize].peers[0]);
    })
}
