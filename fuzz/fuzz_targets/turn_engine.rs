//! Whole input sequences for one engine: after each input the indices agree, and when time has passed nothing is left.
#![no_main]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use castway::turn::codec::attribute::{self, Family};
use castway::turn::codec::integrity::{Integrity, Key, PasswordAlgorithm};
use castway::turn::codec::message::{Class, Message, Method, TransactionId};
use castway::turn::codec::writer::Writer;
use castway::turn::{
    PeerConnectionId, FiveTuple, Forward, OpenError, Output, PeerPolicy, Engine, RelayedAddress, RelayedAddressId, Settings, Shard, Shared,
    StaticUsers, Transport,
};
use libfuzzer_sys::fuzz_target;

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const REALM: &str = "castway";

/// The fuzzer's bytes as a stream of choices; zeros when they end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (head, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        head
    }
}

struct Run {
    relay: Engine,
    shared: Arc<Shared>,
    now: Instant,
    sockets: BTreeSet<RelayedAddressId>,
    connections: Vec<PeerConnectionId>,
    nonces: [Vec<u8>; 8],
    ticket: Vec<u8>,
    token: Vec<u8>,
    transaction: u64,
    fail: u8,
}

impl Run {
    fn new() -> Self {
        let mut settings = Settings { mobility: true, tcp_relay: true, dont_fragment: true, ..Settings::new(REALM) };
        for (slot, ip) in settings.relay.iter_mut().zip(["203.0.114.1", "2001:4860::1"]) {
            let ip = ip.parse().expect("an address");
            settings.own_addresses.push(ip);
            *slot = Some(RelayedAddress { bound: ip, advertised: ip });
        }
        settings.limits.user_quota = Some(2);
        settings.limits.permissions = 4;
        settings.limits.channels = 3;
        settings.limits.connections = 2;
        settings.limits.challenges = u16::MAX;
        settings.limits.failures = u16::MAX;
        settings.limits.sources = 16;
        let mut users = StaticUsers::default();
        for user in USERS {
            users.insert(user, REALM, "secret");
        }
        let now = Instant::now();
        let shared = Shared::new(&settings, [1; 32], now);
        let shard = Shard { index: 0, ports: 50_000..=50_004 };
        let policy = PeerPolicy::default();
        let relay = Engine::new(Arc::new(settings), policy, Arc::clone(&shared), Arc::new(users), shard, [2; 32]);
        Self {
            relay,
            shared,
            now,
            sockets: BTreeSet::new(),
            connections: Vec::new(),
            nonces: Default::default(),
            ticket: Vec::new(),
            token: Vec::new(),
            transaction: 0,
            fail: 0,
        }
    }

    fn client(number: u8) -> FiveTuple {
        let transport = if number & 1 == 0 { Transport::Udp } else { Transport::Tcp };
        let client = SocketAddr::from(([198, 51, 100, 1], 1000 + u16::from(number % 8)));
        FiveTuple { client, server: SocketAddr::from(([203, 0, 114, 1], 3478)), transport }
    }

    fn peer(number: u8) -> SocketAddr {
        match number % 5 {
            0 => SocketAddr::from(([198, 51, 101, 7], 7000)),
            1 => "[2606:4700::1]:7000".parse().expect("an address"),
            2 => SocketAddr::from(([203, 0, 114, 1], 50_000 + u16::from(number / 5 % 5))),
            3 => SocketAddr::from(([10, 0, 0, 1], 1)),
            _ => SocketAddr::from(([198, 51, 101, number], 7000)),
        }
    }

    fn ask(&mut self, number: u8, bytes: &[u8]) {
        let from = Self::client(number);
        let mut answers = Vec::new();
        if let Forward::Reply { .. } = self.relay.handle_client(from, bytes, self.now) {
            answers.push(self.relay.reply().to_vec());
        }
        answers.extend(self.pump());
        for answer in answers {
            let message = Message::parse(&answer).expect("our own messages parse");
            let keep = |kind, slot: &mut Vec<u8>| {
                if let Some(value) = message.find(kind) {
                    *slot = value.to_vec();
                }
            };
            keep(attribute::NONCE, &mut self.nonces[usize::from(number % 8)]);
            keep(attribute::MOBILITY_TICKET, &mut self.ticket);
            keep(attribute::RESERVATION_TOKEN, &mut self.token);
        }
    }

    fn request(&mut self, number: u8, kind: u8, input: &mut Input<'_>) {
        let methods = [
            Method::Allocate,
            Method::Refresh,
            Method::CreatePermission,
            Method::ChannelBind,
            Method::Connect,
            Method::ConnectionBind,
            Method::Binding,
        ];
        let method = methods[usize::from(kind) % methods.len()];
        // Now and then the same transaction again.
        self.transaction += u64::from(input.byte() % 8 != 0);
        let mut id = TransactionId::default();
        id.0[..8].copy_from_slice(&self.transaction.to_be_bytes());
        let mut bytes = Vec::new();
        let mut writer = Writer::new(&mut bytes, Class::Request, method, &id);
        if method == Method::Allocate {
            writer.number(attribute::REQUESTED_TRANSPORT, if input.byte() % 4 == 3 { 6 << 24 } else { 17 << 24 });
        }
        for _ in 0..input.byte() % 4 {
            match input.byte() % 12 {
                0 => writer.number(attribute::LIFETIME, u32::from(input.byte()) * 20),
                1 => writer.attribute(attribute::EVEN_PORT, &[input.byte()]),
                2 => writer.attribute(attribute::RESERVATION_TOKEN, &self.token),
                3 => writer.number(attribute::REQUESTED_ADDRESS_FAMILY, u32::from(input.byte() % 4) << 24),
                4 => writer.number(attribute::ADDITIONAL_ADDRESS_FAMILY, 2 << 24),
                5 => writer.attribute(attribute::MOBILITY_TICKET, if input.byte() % 2 == 0 { &[] } else { &self.ticket }),
                6 | 7 => writer.xor_address(attribute::XOR_PEER_ADDRESS, Self::peer(input.byte())),
                8 => writer.number(attribute::CHANNEL_NUMBER, 0x4000_0000 + (u32::from(input.byte() % 5) << 16)),
                9 => {
                    let at = usize::from(input.byte()) % self.connections.len().max(1);
                    writer.number(attribute::CONNECTION_ID, self.connections.get(at).map_or(0, |id| id.0))
                }
                10 => writer.attribute(attribute::DONT_FRAGMENT, &[]),
                _ => {
                    let kind = u16::from_be_bytes([input.byte(), input.byte()]);
                    let len = usize::from(input.byte() % 24);
                    writer.attribute(kind, input.take(len))
                }
            };
        }
        let user = USERS[usize::from(number / 3) % USERS.len()];
        let key = Key::long_term(PasswordAlgorithm::Md5, user, REALM, "secret");
        writer.attribute(attribute::USERNAME, user.as_bytes()).attribute(attribute::REALM, REALM.as_bytes());
        writer.attribute(attribute::NONCE, &self.nonces[usize::from(number % 8)]).integrity(Integrity::Sha1, &key);
        self.ask(number, &bytes);
    }

    fn pump(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(output) = self.relay.poll_output() {
            match output {
                Output::OpenRelay { relay, .. } => {
                    let result = match self.fail % 4 {
                        1 => Err(OpenError::PortInUse),
                        2 => Err(OpenError::Failed),
                        _ => Ok(()),
                    };
                    self.fail /= 4;
                    if result.is_ok() {
                        assert!(self.sockets.insert(relay), "a relay is opened once");
                    }
                    self.relay.relay_opened(relay, result, self.now);
                }
                Output::CloseRelay { relay } => {
                    self.sockets.remove(&relay);
                }
                Output::Transmit { bytes, .. } => sent.push(bytes),
                Output::Connect { connection, .. } => self.connections.push(connection),
                Output::ChannelBound { .. }
                | Output::ChannelUnbound { .. }
                | Output::Moved { .. }
                | Output::MovedEnded { .. }
                | Output::Splice { .. }
                | Output::CloseConnection { .. } => {}
            }
        }
        self.relay.audit().expect("the indices agree");
        let taken: usize = Family::ALL.iter().map(|family| self.shared.taken_ports(*family)).sum();
        assert_eq!(taken, self.sockets.len() + self.shared.reservations());
        assert_eq!(self.shared.allocations() as usize, self.relay.allocation_count());
        sent
    }

    fn act(&mut self, input: &mut Input<'_>) {
        let (op, number) = (input.byte(), input.byte());
        match op % 12 {
            0..=4 => self.request(number, op / 12, input),
            5 => {
                let len = usize::from(input.byte() % 64);
                let bytes = input.take(len);
                self.ask(number, bytes);
            }
            6 => {
                let mut bytes = Vec::new();
                Writer::new(&mut bytes, Class::Indication, Method::Send, &TransactionId::default())
                    .xor_address(attribute::XOR_PEER_ADDRESS, Self::peer(input.byte()))
                    .attribute(attribute::DATA, b"data");
                let verdict = self.relay.handle_client(Self::client(number), &bytes, self.now);
                if let Forward::ToPeer { payload, .. } | Forward::ToClient { payload, .. } = verdict {
                    assert_eq!(&bytes[payload], b"data");
                }
                let channel = [0x40, input.byte() % 5, 0, 4, b'd', b'a', b't', b'a'];
                let verdict = self.relay.handle_client(Self::client(number), &channel, self.now);
                if let Forward::ToPeer { payload, .. } | Forward::ToClient { payload, .. } = verdict {
                    assert_eq!(&channel[payload], b"data");
                }
            }
            7 => {
                let at = usize::from(number) % self.sockets.len().max(1);
                if let Some(relay) = self.sockets.iter().nth(at).copied() {
                    let peer = Self::peer(input.byte());
                    let _ = self.relay.handle_peer(relay, peer, b"data", self.now);
                    let _ = self.relay.handle_icmp(relay, peer, 3, 4, [0; 4], self.now);
                    let _ = self.relay.peer_accepted(relay, peer, self.now).map(|id| self.connections.push(id));
                }
            }
            8 => {
                self.now += Duration::from_secs(u64::from(number) * 3);
                self.relay.handle_timeout(self.now);
            }
            9 => self.fail = number,
            10 => {
                let at = usize::from(number) % self.connections.len().max(1);
                if let Some(id) = self.connections.get(at).copied() {
                    match input.byte() % 3 {
                        0 => self.relay.connection_closed(id),
                        other => self.relay.peer_connected(id, other == 1, self.now),
                    }
                }
            }
            _ => match number % 3 {
                0 => self.relay.revoke(USERS[usize::from(number / 3) % USERS.len()]),
                1 => self.relay.client_closed(&Self::client(number / 3), self.now),
                _ => {
                    let denied = ["198.51.101.0/24", "2606::/16"][usize::from(number / 3) % 2];
                    let policy = PeerPolicy { denied: vec![denied.parse().expect("a network")], ..PeerPolicy::default() };
                    self.relay.set_policy(policy, self.now);
                }
            },
        }
        self.pump();
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut run = Run::new();
    // Everybody has a nonce, or the fuzzer would have to find out how to get one.
    for number in 0..8 {
        let mut first = Vec::new();
        let id = TransactionId([number; 12]);
        Writer::new(&mut first, Class::Request, Method::Allocate, &id).number(attribute::REQUESTED_TRANSPORT, 17 << 24);
        run.ask(number, &first);
    }
    let mut input = Input(bytes);
    while !input.0.is_empty() {
        run.act(&mut input);
    }
    for _ in 0..10_000 {
        let Some(at) = run.relay.next_timeout() else { break };
        run.now = run.now.max(at);
        run.relay.handle_timeout(run.now);
        run.pump();
    }
    assert_eq!((run.relay.allocation_count(), run.sockets.len(), run.shared.users()), (0, 0, 0));
    assert_eq!(run.shared.taken_ports(Family::V4) + run.shared.taken_ports(Family::V6), 0);
});
