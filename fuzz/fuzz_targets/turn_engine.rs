//! Whole input sequences for one engine: after each input the indices agree, and when time has passed nothing is left.
#![no_main]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use castway::turn::codec::attribute::{self, AddressFamily};
use castway::turn::codec::header::{Class, Method, TransactionId};
use castway::turn::codec::integrity::{IntegrityAlgorithm, LongTermKey, PasswordAlgorithm};
use castway::turn::codec::message::StunMessage;
use castway::turn::codec::writer::MessageWriter;
use castway::turn::tests::input::Input;
use castway::turn::{
    CredentialSource, Engine, EngineSettings, FiveTuple, OpenError, Output, PeerConnectionId, PeerPolicy, RelayedAddressId,
    RelayedIp, Scope, ShardSettings, SharedState, Transport, UserKeys, Verdict,
};
use libfuzzer_sys::fuzz_target;

const USERS: [&str; 3] = ["alice", "bob", "carol"];
const REALM: &str = "castway";

/// The user whose credentials have scope own-address.
const CHECKED: &str = USERS[2];

const fn scope_of(user: usize) -> Scope {
    if user == 2 { Scope::OwnAddress } else { Scope::Anyone }
}

/// Everybody in [`USERS`], with the same password. The credentials of [`CHECKED`] expire at this time.
struct Users(Instant);

impl CredentialSource for Users {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        let key = LongTermKey::long_term(algorithm, username, realm, "secret");
        let user = USERS.iter().position(|user| *user == username)?;
        let expires = (username == CHECKED).then_some(self.0);
        expires.is_none_or(|expires| now < expires).then(|| UserKeys {
            user: username.to_owned(),
            keys: vec![(scope_of(user), key)],
            expires,
            leased: false,
            group: None,
        })
    }
}

const CHECKED_LIFETIME: Duration = Duration::from_secs(2000);

struct Run {
    engine: Engine,
    shared: Arc<SharedState>,
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
        let mut settings = EngineSettings { mobility: true, tcp_relay: true, dont_fragment: true, ..EngineSettings::new(REALM) };
        for (slot, ip) in settings.relayed.iter_mut().zip(["203.0.114.1", "2001:4860::1"]) {
            let ip = ip.parse().expect("an address");
            settings.own_addresses.push(ip);
            *slot = Some(RelayedIp { bound: ip, advertised: ip });
        }
        settings.limits.user_quota = Some(2);
        settings.limits.permissions = 4;
        settings.limits.channels = 3;
        settings.limits.peer_connections = 2;
        settings.limits.challenges = u16::MAX;
        settings.limits.failures = u16::MAX;
        settings.limits.sources = 16;
        let now = Instant::now();
        let shared = SharedState::new(&settings, [1; 32], now);
        let shard = ShardSettings { index: 0, ports: 50_000..=50_004 };
        let policy = PeerPolicy::default();
        let engine =
            Engine::new(Arc::new(settings), policy, Arc::clone(&shared), Arc::new(Users(now + CHECKED_LIFETIME)), shard, [2; 32]);
        Self {
            engine,
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
        // One address is also a peer's, and one is that of relayed addresses.
        let ip = match number % 8 {
            2 => [198, 51, 101, 7],
            5 => [203, 0, 114, 1],
            _ => [198, 51, 100, 1],
        };
        let client = SocketAddr::from((ip, 1000 + u16::from(number % 8)));
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
        if let Verdict::Reply { .. } = self.engine.handle_client(from, bytes, self.now) {
            answers.push(self.engine.reply().to_vec());
        }
        answers.extend(self.pump());
        for answer in answers {
            let message = StunMessage::parse(&answer).expect("our own messages parse");
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
        let mut writer = MessageWriter::new(&mut bytes, Class::Request, method, &id);
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
        let key = LongTermKey::long_term(PasswordAlgorithm::Md5, user, REALM, "secret");
        writer.attribute(attribute::USERNAME, user.as_bytes()).attribute(attribute::REALM, REALM.as_bytes());
        writer.attribute(attribute::NONCE, &self.nonces[usize::from(number % 8)]).integrity(IntegrityAlgorithm::Sha1, &key);
        self.ask(number, &bytes);
    }

    fn pump(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::OpenRelayedAddress { relayed, .. } => {
                    let result = match self.fail % 4 {
                        1 => Err(OpenError::PortInUse),
                        2 => Err(OpenError::Failed),
                        _ => Ok(()),
                    };
                    self.fail /= 4;
                    if result.is_ok() {
                        assert!(self.sockets.insert(relayed), "a relayed address is opened once");
                    }
                    self.engine.handle_relayed_address_opened(relayed, result, self.now);
                }
                Output::CloseRelayedAddress { relayed } => {
                    self.sockets.remove(&relayed);
                }
                Output::Transmit { bytes, .. } => sent.push(bytes),
                Output::ConnectPeer { connection, .. } => self.connections.push(connection),
                Output::Refused(_)
                | Output::Displaced { .. }
                | Output::ClientMoved { .. }
                | Output::MovedClientEnded { .. }
                | Output::Splice { .. }
                | Output::ClosePeerConnection { .. }
                | Output::DisplaceAllocation { .. } => {}
            }
        }
        self.engine.audit().expect("the indices agree");
        let taken: usize = AddressFamily::ALL.iter().map(|family| self.shared.taken_ports(*family)).sum();
        assert_eq!(taken, self.sockets.len() + self.shared.reservations());
        assert_eq!(self.shared.allocations() as usize, self.engine.allocation_count());
        sent
    }

    fn revoke(&mut self, user: usize) {
        self.engine.revoke(scope_of(user), USERS[user]);
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
                MessageWriter::new(&mut bytes, Class::Indication, Method::Send, &TransactionId::default())
                    .xor_address(attribute::XOR_PEER_ADDRESS, Self::peer(input.byte()))
                    .attribute(attribute::DATA, b"data");
                let verdict = self.engine.handle_client(Self::client(number), &bytes, self.now);
                if let Verdict::ToPeer { payload, .. } | Verdict::ToClient { payload, .. } = verdict {
                    assert_eq!(&bytes[payload], b"data");
                }
                let channel = [0x40, input.byte() % 5, 0, 4, b'd', b'a', b't', b'a'];
                let verdict = self.engine.handle_client(Self::client(number), &channel, self.now);
                if let Verdict::ToPeer { payload, .. } | Verdict::ToClient { payload, .. } = verdict {
                    assert_eq!(&channel[payload], b"data");
                }
            }
            7 => {
                let at = usize::from(number) % self.sockets.len().max(1);
                if let Some(relayed) = self.sockets.iter().nth(at).copied() {
                    let peer = Self::peer(input.byte());
                    let _ = self.engine.handle_peer(relayed, peer, b"data", self.now);
                    let _ = self.engine.handle_icmp(relayed, peer, 3, 4, [0; 4], self.now);
                    let _ = self.engine.handle_peer_accepted(relayed, peer, self.now).map(|id| self.connections.push(id));
                }
            }
            8 => {
                self.now += Duration::from_secs(u64::from(number) * 3);
                self.engine.handle_timeout(self.now);
            }
            9 => self.fail = number,
            10 => {
                let at = usize::from(number) % self.connections.len().max(1);
                if let Some(id) = self.connections.get(at).copied() {
                    match input.byte() % 3 {
                        0 => self.engine.handle_peer_connection_closed(id),
                        other => self.engine.handle_peer_connected(id, other == 1, self.now),
                    }
                }
            }
            _ => match number % 3 {
                0 => self.revoke(usize::from(number / 3) % USERS.len()),
                1 => self.engine.handle_client_closed(&Self::client(number / 3), self.now),
                _ => {
                    let denied = ["198.51.101.0/24", "2606::/16"][usize::from(number / 3) % 2];
                    let policy = PeerPolicy { denied: vec![denied.parse().expect("a network")], ..PeerPolicy::default() };
                    self.engine.set_policy(policy, self.now);
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
        MessageWriter::new(&mut first, Class::Request, Method::Allocate, &id).number(attribute::REQUESTED_TRANSPORT, 17 << 24);
        run.ask(number, &first);
    }
    let mut input = Input::new(bytes);
    while !input.is_empty() {
        run.act(&mut input);
    }
    for _ in 0..10_000 {
        let Some(at) = run.engine.next_timeout() else { break };
        run.now = run.now.max(at);
        run.engine.handle_timeout(run.now);
        run.pump();
    }
    assert_eq!((run.engine.allocation_count(), run.sockets.len(), run.shared.users()), (0, 0, 0));
    assert_eq!(run.shared.taken_ports(AddressFamily::V4) + run.shared.taken_ports(AddressFamily::V6), 0);
});
