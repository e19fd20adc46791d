//! Measures what one packet costs in the TURN engine, without a socket: our codec against the crate `stun`, each path of the
//! engine, and the memory of an idle allocation. Relaying data and answering strangers must not allocate: if they do, the bench
//! fails.
//!
//! `cargo bench --bench turn` prints the table; with `--test` everything runs once and briefly.

#[path = "support/engine.rs"]
mod engine;

use std::alloc::System;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use castway::turn::codec::attribute;
use castway::turn::codec::framing::{ChannelData, Framing, MAX_FRAMING_HEADER_BYTES};
use castway::turn::codec::header::{Class, Method, TransactionId};
use castway::turn::codec::integrity::IntegrityAlgorithm;
use castway::turn::codec::message::StunMessage;
use castway::turn::codec::writer::MessageWriter;
use castway::turn::{DropReason, FiveTuple, Scope, Verdict};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use stun::message::Getter;

use crate::engine::{REALM, Shell, channel_data, client, key, send_indication, signed, udp};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const USER: &str = "alice";

fn peer() -> SocketAddr {
    SocketAddr::from(([198, 51, 101, 7], 7000))
}

fn main() {
    let brief = std::env::args().any(|arg| arg == "--test") || cfg!(debug_assertions);
    let bench = Bench { time: Duration::from_millis(if brief { 5 } else { 500 }) };
    println!("{:44} {:>10} {:>8}", "", "ns", "allocs");
    codec(&bench);
    paths(&bench);
    idle_memory(if brief { 1_000 } else { 10_000 });
}

struct Bench {
    time: Duration,
}

impl Bench {
    /// Prints the nanoseconds and the heap allocations of one call, and returns the allocations.
    fn run(&self, name: &str, mut call: impl FnMut()) -> usize {
        for _ in 0..100 {
            call();
        }
        let region = Region::new(ALLOCATOR);
        call();
        let stats = region.change();
        let allocations = stats.allocations + stats.reallocations;
        let (mut calls, mut best) = (64_u32, f64::MAX);
        let end = Instant::now() + self.time;
        while Instant::now() < end {
            let start = Instant::now();
            for _ in 0..calls {
                call();
            }
            let took = start.elapsed();
            best = best.min(took.as_secs_f64() * 1e9 / f64::from(calls));
            if took < self.time / 50 {
                calls *= 2;
            }
        }
        println!("{name:44} {best:>10.0} {allocations:>8}");
        allocations
    }

    fn without_allocating(&self, name: &str, call: impl FnMut()) {
        assert_eq!(self.run(name, call), 0, "{name} must not allocate");
    }
}

fn codec(bench: &Bench) {
    let payload = vec![7; 1200];
    let (send, channel) = (send_indication(peer(), &payload), channel_data(&payload));
    let refresh = signed(USER, Method::Refresh, b"0123456789abcdef", 1, |_| {});
    let key = key();
    bench.without_allocating("read a Send indication of 1200 B: ours", || {
        let message = StunMessage::parse(black_box(&send)).expect("well formed");
        let peer =
            message.find(attribute::XOR_PEER_ADDRESS).and_then(|peer| attribute::xor_address(peer, &message.transaction()));
        black_box((peer, message.find(attribute::DATA)));
    });
    let mut theirs = stun::message::Message::new();
    bench.run("read a Send indication of 1200 B: stun", || {
        theirs.raw.clear();
        theirs.raw.extend_from_slice(black_box(&send));
        theirs.decode().expect("well formed");
        let mut peer = turn::proto::peeraddr::PeerAddress::default();
        peer.get_from(&theirs).expect("an address");
        let mut data = turn::proto::data::Data::default();
        data.get_from(&theirs).expect("data");
        black_box((peer, data));
    });
    bench.without_allocating("read ChannelData of 1200 B: ours", || {
        black_box(ChannelData::parse(black_box(&channel)));
    });
    bench.run("read ChannelData of 1200 B: turn", || {
        let mut data = turn::proto::chandata::ChannelData { raw: black_box(&channel).clone(), ..Default::default() };
        data.decode().expect("well formed");
        black_box(data);
    });
    bench.without_allocating("read and verify a signed Refresh: ours", || {
        let message = StunMessage::parse(black_box(&refresh)).expect("well formed");
        assert!(IntegrityAlgorithm::Sha1.verify(&message, &key));
    });
    let integrity =
        stun::integrity::MessageIntegrity::new_long_term_integrity("alice".to_owned(), REALM.to_owned(), "secret".to_owned());
    bench.run("read and verify a signed Refresh: stun", || {
        theirs.raw.clear();
        theirs.raw.extend_from_slice(black_box(&refresh));
        theirs.decode().expect("well formed");
        integrity.check(&mut theirs).expect("signed");
    });
    let (id, mapped) = (TransactionId([3; 12]), SocketAddr::from(([198, 51, 100, 1], 1111)));
    let mut out = Vec::with_capacity(64);
    bench.without_allocating("write a Binding reply: ours", || {
        MessageWriter::new(&mut out, Class::Success, Method::Binding, &id)
            .xor_address(attribute::XOR_MAPPED_ADDRESS, black_box(mapped));
    });
    bench.run("write a Binding reply: stun", || {
        let address = stun::xoraddr::XorMappedAddress { ip: mapped.ip(), port: mapped.port() };
        theirs.build(&[Box::new(stun::message::BINDING_SUCCESS), Box::new(address)]).expect("it is written");
        black_box(&theirs.raw);
    });
}

/// A shell whose users are of scope anyone, perhaps with limits that are never reached.
fn shell(limits: bool) -> Shell {
    Shell::with(Scope::Anyone, |settings| {
        if limits {
            settings.limits.allocation_bandwidth = Some(u64::MAX / 4);
            settings.limits.user_bandwidth = Some(u64::MAX / 4);
            settings.limits.server_bandwidth = Some(u64::MAX / 4);
        }
    })
}

fn paths(bench: &Bench) {
    for limits in [false, true] {
        let mut shell = shell(limits);
        for number in 0..10_000 {
            let nonce = shell.allocate(client(number), USER);
            if number == 5000 {
                shell.bind(client(number), USER, &nonce, peer());
            }
        }
        let (from, relayed, now) = (client(5000), shell.relayed[5000], shell.now);
        let peer = peer();
        let with = if limits { ", three bandwidth limits" } else { "" };
        let payload = vec![7; 1200];
        let (send, channel) = (send_indication(peer, &payload), channel_data(&payload));
        bench.without_allocating(&format!("ChannelData to a peer{with}"), || {
            assert!(matches!(black_box(shell.engine.handle_client(from, &channel, now)), Verdict::ToPeer { .. }));
        });
        bench.without_allocating(&format!("Send indication to a peer{with}"), || {
            assert!(matches!(black_box(shell.engine.handle_client(from, &send, now)), Verdict::ToPeer { .. }));
        });
        let mut packet = vec![0; MAX_FRAMING_HEADER_BYTES + 1200];
        bench.without_allocating(&format!("a peer's datagram to a channel{with}"), || {
            let verdict = shell.engine.handle_peer(relayed, peer, &packet[MAX_FRAMING_HEADER_BYTES..], now);
            let Verdict::ToClient { framing, .. } = verdict else { panic!("{verdict:?}") };
            black_box(framing.write_header(&mut packet[..MAX_FRAMING_HEADER_BYTES], 1200));
        });
    }
    let mut shell = shell(false);
    let nonce = shell.allocate(client(1), USER);
    let permit = signed(USER, Method::CreatePermission, &nonce, 3, |writer| {
        writer.xor_address(attribute::XOR_PEER_ADDRESS, peer());
    });
    shell.ask(client(1), &permit);
    let (relayed, now, peer) = (shell.relayed[0], shell.now, peer());
    let mut packet = vec![0; MAX_FRAMING_HEADER_BYTES + 1200];
    bench.without_allocating("a peer's datagram to a Data indication", || {
        let verdict = shell.engine.handle_peer(relayed, peer, &packet[MAX_FRAMING_HEADER_BYTES..], now);
        let Verdict::ToClient { framing: framing @ Framing::Data { .. }, .. } = verdict else { panic!("{verdict:?}") };
        black_box(framing.write_header(&mut packet[..MAX_FRAMING_HEADER_BYTES], 1200));
    });
    bandwidth_of_strangers(bench);
    strangers(bench, &mut shell);
    let refresh = signed(USER, Method::Refresh, &nonce, 5, |_| {});
    bench.run("Refresh", || {
        let _ = black_box(shell.engine.handle_client(client(1), &refresh, now));
    });
    let from = client(2);
    let nonce = shell.nonce(from);
    let (allocate, free) = (
        signed(USER, Method::Allocate, &nonce, 1, udp),
        signed(USER, Method::Refresh, &nonce, 2, |writer| {
            writer.number(attribute::LIFETIME, 0);
        }),
    );
    bench.run("Allocate, answer, and Refresh 0", || {
        shell.ask(from, &allocate);
        shell.ask(from, &free);
        shell.relayed.clear();
    });
}

/// The cost of the bucket that all strangers share: their scope is *clients*, and a setting lets them reach the peer of this bench.
fn bandwidth_of_strangers(bench: &Bench) {
    for (with, bandwidth) in [("no limit", None), ("the limit of strangers", Some(1 << 40)), ("that limit reached", Some(1))] {
        let mut shell = Shell::with(Scope::Clients, |settings| {
            settings.scope = Some(Scope::Anyone);
            settings.limits.clients_bandwidth = bandwidth;
        });
        let from = client(1);
        let nonce = shell.allocate(from, USER);
        shell.bind(from, USER, &nonce, peer());
        let (channel, now) = (channel_data(&[7; 1200]), shell.now);
        bench.without_allocating(&format!("ChannelData of a stranger, {with}"), || {
            let verdict = black_box(shell.engine.handle_client(from, &channel, now));
            assert!(matches!(verdict, Verdict::ToPeer { .. } | Verdict::Drop(DropReason::Bandwidth)));
        });
    }
}

fn strangers(bench: &Bench, shell: &mut Shell) {
    let mut binding = Vec::new();
    MessageWriter::new(&mut binding, Class::Request, Method::Binding, &TransactionId([1; 12]));
    let mut allocate = Vec::new();
    udp(&mut MessageWriter::new(&mut allocate, Class::Request, Method::Allocate, &TransactionId([2; 12])));
    let forged = signed(USER, Method::Allocate, b"0123456789abcdef", 7, udp);
    let mut number = 0_u32;
    let mut flood = |name: &str, bytes: &[u8], step: u32| {
        bench.without_allocating(name, || {
            number = number.wrapping_add(step);
            let from = FiveTuple { client: SocketAddr::from((number.to_be_bytes(), 9)), ..client(0) };
            let _ = black_box(shell.engine.handle_client(from, bytes, shell.now));
        });
    };
    flood("Binding, a new source each", &binding, 1);
    flood("Allocate to 401, a new source each", &allocate, 1);
    flood("Allocate with a forged nonce, a new source each", &forged, 1);
}

fn idle_memory(count: u32) {
    for (name, scope, per_address) in [
        ("an idle allocation", Scope::Anyone, 1),
        ("a stranger's, an address each", Scope::Clients, 1),
        ("a stranger's, 100 of an address", Scope::Clients, 100),
    ] {
        let mut shell = Shell::with(scope, |_| {});
        shell.relayed.reserve(count as usize);
        let region = Region::new(ALLOCATOR);
        for number in 0..count {
            let mut from = client(number / per_address);
            from.client.set_port(1000 + (number % per_address) as u16);
            shell.allocate(from, USER);
        }
        let stats = region.change();
        let held = stats.bytes_allocated as isize - stats.bytes_deallocated as isize;
        println!("{:44} {:>10} B", format!("{name}, of {count}"), held / count as isize);
    }
}
