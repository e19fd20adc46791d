//! Histories of an engine in any order: the indices agree, no port leaks, and every timeout is handled.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;
use crate::turn::allocation::Allocation;

#[derive(Debug, Clone)]
enum Op {
    Allocate {
        client: usize,
        flavour: u8,
    },
    Retransmit,
    Refresh {
        client: usize,
        lifetime: u32,
    },
    Permit {
        client: usize,
        peers: Vec<u8>,
    },
    Bind {
        client: usize,
        channel: u16,
        peer: u8,
    },
    Connect {
        client: usize,
        peer: u8,
    },
    PeerAccepted {
        relayed: usize,
        peer: u8,
    },
    Data {
        client: usize,
        channel: u16,
        peer: u8,
    },
    PeerData {
        relayed: usize,
        peer: u8,
    },
    /// The next attempts to open a socket have these results.
    Fail {
        open_results: Vec<bool>,
    },
    Advance {
        seconds: u64,
    },
    NextTimeout,
    Revoke {
        user: usize,
    },
    Deny {
        network: u8,
    },
    Close {
        client: usize,
    },
    Move {
        client: usize,
    },
    Noise {
        client: usize,
        bytes: Vec<u8>,
    },
}

const CLIENTS: usize = 6;
/// The user whose credentials have scope own-address. His clients come from an address of the outside and from that of relayed addresses.
const CHECKED: &str = USERS[2];
/// When his credentials expire.
const CHECKED_LIFETIME: Duration = secs(900);

/// [`users`], but that of [`CHECKED`] has scope own-address.
struct CheckedUsers(StaticUsers, Instant);

impl CredentialSource for CheckedUsers {
    fn user_keys(&self, username: &str, realm: &str, algorithm: PasswordAlgorithm, now: Instant) -> Option<UserKeys> {
        let mut user_keys = self.0.user_keys(username, realm, algorithm, now)?;
        if username == CHECKED {
            user_keys.keys.iter_mut().for_each(|(scope, _)| *scope = Scope::OwnAddress);
            user_keys.expires = Some(self.1);
        }
        (username != CHECKED || now < self.1).then_some(user_keys)
    }
}

fn op() -> impl Strategy<Value = Op> {
    let client = 0..CLIENTS;
    let channel = 0x3FFF_u16..0x4004;
    let peer = 0_u8..5;
    prop_oneof![
        6 => (client.clone(), 0_u8..8).prop_map(|(client, flavour)| Op::Allocate { client, flavour }),
        1 => Just(Op::Retransmit),
        3 => (client.clone(), prop_oneof![Just(0), 1_u32..4000]).prop_map(|(client, lifetime)| Op::Refresh { client, lifetime }),
        2 => (client.clone(), prop::collection::vec(peer.clone(), 0..4)).prop_map(|(client, peers)| Op::Permit { client, peers }),
        3 => (client.clone(), channel.clone(), peer.clone())
            .prop_map(|(client, channel, peer)| Op::Bind { client, channel, peer }),
        2 => (client.clone(), peer.clone()).prop_map(|(client, peer)| Op::Connect { client, peer }),
        1 => (0_usize..6, peer.clone()).prop_map(|(relayed, peer)| Op::PeerAccepted { relayed, peer }),
        2 => (client.clone(), channel, peer.clone()).prop_map(|(client, channel, peer)| Op::Data { client, channel, peer }),
        2 => (0_usize..6, peer).prop_map(|(relayed, peer)| Op::PeerData { relayed, peer }),
        1 => prop::collection::vec(any::<bool>(), 1..4).prop_map(|open_results| Op::Fail { open_results }),
        2 => prop_oneof![0_u64..5, 20_u64..700].prop_map(|seconds| Op::Advance { seconds }),
        2 => Just(Op::NextTimeout),
        1 => (0..USERS.len()).prop_map(|user| Op::Revoke { user }),
        1 => (0_u8..4).prop_map(|network| Op::Deny { network }),
        1 => client.clone().prop_map(|client| Op::Close { client }),
        1 => client.clone().prop_map(|client| Op::Move { client }),
        1 => (client, prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(client, bytes)| Op::Noise { client, bytes }),
    ]
}

struct Run {
    world: World,
    clients: Vec<Client>,
    last: Option<(FiveTuple, Vec<u8>)>,
    tickets: Vec<Vec<u8>>,
    tokens: Vec<Vec<u8>>,
    ports: u16,
    /// When the credentials of [`CHECKED`] expire.
    expires: Instant,
}

impl Run {
    fn new() -> Self {
        let mut settings = EngineSettings { mobility: true, tcp_relay: true, ..settings() };
        settings.limits.user_quota = Some(2);
        settings.limits.total_quota = Some(4);
        settings.limits.permissions = 4;
        settings.limits.channels = 3;
        settings.limits.peer_connections = 2;
        settings.limits.challenges = 1000;
        // The quotas allow more sockets than this range has ports.
        let expires = Instant::now() + secs(1000) + CHECKED_LIFETIME;
        let world = World::with_credentials(settings, 50_000..=50_004, Arc::new(CheckedUsers(users(), expires)));
        let clients = (0..CLIENTS).map(|at| {
            let address = match at {
                2 => "198.51.101.9:1000".to_owned(),
                5 => "203.0.114.1:1000".to_owned(),
                _ => format!("198.51.100.{}:1000", at + 1),
            };
            let client = Client::new(USERS[at % USERS.len()], &address);
            if at % 2 == 0 { client } else { client.over_tcp() }
        });
        Self { world, clients: clients.collect(), last: None, tickets: Vec::new(), tokens: Vec::new(), ports: 2000, expires }
    }

    fn peer(&self, peer: u8) -> SocketAddr {
        match peer {
            0 => addr(OUTSIDE_PEER),
            1 => addr("[2606:4700::1]:7000"),
            2 => addr("10.0.0.1:7000"),
            3 => self.world.sockets.values().next().copied().unwrap_or(addr("203.0.114.1:50000")),
            _ => addr("198.51.101.9:7000"),
        }
    }

    fn request(&mut self, client: usize, method: Method, attributes: impl Fn(&mut MessageWriter<'_>)) {
        if self.clients[client].nonce.is_empty() {
            self.world.login(&mut self.clients[client]);
        }
        let from = self.clients[client].from;
        for _ in 0..2 {
            let bytes = self.clients[client].signed(method, &attributes);
            let answer = self.world.ask(from, &bytes);
            self.last = Some((from, bytes));
            let Some(answer) = answer else { return };
            if answer.code() != Some(438) {
                self.tickets.extend(answer.find(attribute::MOBILITY_TICKET));
                self.tokens.extend(answer.find(attribute::RESERVATION_TOKEN));
                return;
            }
            self.clients[client].take_nonce(&answer);
        }
    }

    fn allocate(&mut self, client: usize, flavour: u8) {
        let token = self.tokens.last().cloned();
        self.request(client, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, if flavour == 5 { TCP } else { UDP });
            match (flavour, &token) {
                (1, _) => writer.number(attribute::ADDITIONAL_ADDRESS_FAMILY, IPV6),
                (2, _) => writer.attribute(attribute::EVEN_PORT, &[0x80]),
                (3, _) => writer.attribute(attribute::EVEN_PORT, &[0]),
                (4, Some(token)) => writer.attribute(attribute::RESERVATION_TOKEN, token),
                (6, _) => writer.attribute(attribute::MOBILITY_TICKET, b""),
                (7, _) => writer.number(attribute::REQUESTED_ADDRESS_FAMILY, IPV6),
                _ => writer,
            };
        });
    }

    fn act(&mut self, op: Op) {
        match op {
            Op::Allocate { client, flavour } => self.allocate(client, flavour),
            Op::Retransmit => self.retransmit(),
            Op::Refresh { client, lifetime } => self.refresh(client, lifetime),
            Op::Permit { client, peers } => self.permit(client, &peers),
            Op::Bind { client, channel, peer } => self.bind(client, channel, peer),
            Op::Connect { client, peer } => self.connect(client, peer),
            Op::PeerAccepted { relayed, peer } => self.accept_peer(relayed, peer),
            Op::Data { client, channel, peer } => self.send_data(client, channel, peer),
            Op::PeerData { relayed, peer } => self.send_peer_data(relayed, peer),
            Op::Fail { open_results } => self.fail_next_opens(open_results),
            Op::Advance { seconds } => self.world.advance(secs(seconds)),
            Op::NextTimeout => self.advance_to_next_timeout(),
            Op::Revoke { user } => {
                let scope = if USERS[user] == CHECKED { Scope::OwnAddress } else { Scope::Anyone };
                self.world.engine.revoke(scope, USERS[user]);
            }
            Op::Deny { network } => self.deny(network),
            Op::Close { client } => self.world.engine.handle_client_closed(&self.clients[client].from, self.world.now),
            Op::Move { client } => self.move_client(client),
            Op::Noise { client, bytes } => {
                let _ = self.world.handle(self.clients[client].from, &bytes);
            }
        }
        self.world.drain_outputs();
        self.check();
    }

    fn retransmit(&mut self) {
        if let Some((from, bytes)) = self.last.clone() {
            let _ = self.world.handle(from, &bytes);
        }
    }

    fn refresh(&mut self, client: usize, lifetime: u32) {
        self.request(client, Method::Refresh, |writer| {
            writer.number(attribute::LIFETIME, lifetime);
        });
    }

    fn permit(&mut self, client: usize, peers: &[u8]) {
        let peers: Vec<SocketAddr> = peers.iter().map(|peer| self.peer(*peer)).collect();
        self.request(client, Method::CreatePermission, |writer| {
            for peer in &peers {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, *peer);
            }
        });
    }

    fn bind(&mut self, client: usize, channel: u16, peer: u8) {
        let peer = self.peer(peer);
        self.request(client, Method::ChannelBind, |writer| {
            let channel = u32::from(channel) << 16;
            writer.number(attribute::CHANNEL_NUMBER, channel).xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
    }

    fn connect(&mut self, client: usize, peer: u8) {
        let peer = self.peer(peer);
        self.request(client, Method::Connect, |writer| {
            writer.xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        let connect = self.world.outputs.iter().rev().find_map(connect_output);
        if let Some(connection) = connect {
            self.world.engine.handle_peer_connected(connection, connection.0 % 2 == 0, self.world.now);
            self.bind_connection(client, connection);
        }
    }

    /// ConnectionBind over another connection of the client.
    fn bind_connection(&mut self, client: usize, connection: PeerConnectionId) {
        let mut data = self.clients[client].clone().over_tcp();
        data.from.client.set_port(self.ports);
        data.nonce.clear();
        self.clients.push(data);
        let last = self.clients.len() - 1;
        self.request(last, Method::ConnectionBind, |writer| {
            writer.number(attribute::CONNECTION_ID, connection.0);
        });
        self.clients.pop();
    }

    fn accept_peer(&mut self, relayed: usize, peer: u8) {
        let peer = self.peer(peer);
        if let Some(relayed) = self.world.sockets.keys().nth(relayed).copied() {
            let _ = self.world.engine.handle_peer_accepted(relayed, peer, self.world.now);
        }
    }

    fn send_data(&mut self, client: usize, channel: u16, peer: u8) {
        let (from, peer) = (self.clients[client].from, self.peer(peer));
        for bytes in [channel_data(channel, b"data"), send_indication(peer, b"data")] {
            let verdict = self.world.handle(from, &bytes);
            let to = if let Verdict::ToPeer { peer, .. } = &verdict {
                peer.ip()
            } else if let Verdict::ToClient { to, .. } = &verdict {
                to.client.ip()
            } else {
                continue;
            };
            let Some(Allocation { scope: Scope::OwnAddress, .. }) = self.allocation_at(&from) else { continue };
            assert!(matches!(verdict, Verdict::ToPeer { .. }) && to == from.client.ip(), "{verdict:?} reaches another address");
        }
    }

    fn allocation_at(&self, from: &FiveTuple) -> Option<&Allocation> {
        self.world.engine.allocations.allocation(self.world.engine.allocations.find(from)?)
    }

    fn send_peer_data(&mut self, relayed: usize, peer: u8) {
        let peer = self.peer(peer);
        if let Some(relayed) = self.world.sockets.keys().nth(relayed).copied() {
            let verdict = self.world.engine.handle_peer(relayed, peer, b"data", self.world.now);
            if let Verdict::ToClient { to, .. } = verdict
                && self.allocation_at(&to).is_some_and(|allocation| allocation.scope == Scope::OwnAddress)
            {
                assert_eq!(peer.ip(), to.client.ip(), "another address reaches the client");
            }
        }
    }

    fn fail_next_opens(&mut self, open_results: Vec<bool>) {
        let result = |in_use| Err(if in_use { OpenError::PortInUse } else { OpenError::Failed });
        self.world.open_results = open_results.into_iter().map(result).collect();
    }

    fn advance_to_next_timeout(&mut self) {
        if let Some(at) = self.world.engine.next_timeout() {
            self.world.now = self.world.now.max(at);
            self.world.advance(secs(0));
            assert!(self.world.engine.next_timeout().is_none_or(|next| next > at), "a timeout is handled");
        }
    }

    fn deny(&mut self, network: u8) {
        let network = ["198.51.101.0/24", "2606::/16", "10.0.0.0/8", "0.0.0.0/0"][usize::from(network)];
        let policy = PeerPolicy { denied: vec![network.parse().unwrap()], ..PeerPolicy::default() };
        self.world.engine.set_policy(policy, self.world.now);
    }

    fn move_client(&mut self, client: usize) {
        let Some(ticket) = self.tickets.last().cloned() else { return };
        self.ports += 1;
        let port = self.ports;
        self.clients[client].from.client.set_port(port);
        self.clients[client].nonce.clear();
        self.request(client, Method::Refresh, |writer| {
            writer.attribute(attribute::MOBILITY_TICKET, &ticket);
        });
    }

    fn check(&self) {
        let World { engine, shared, sockets, .. } = &self.world;
        assert_eq!(shared.allocations() as usize, engine.allocation_count());
        let taken: usize = AddressFamily::ALL.iter().map(|family| shared.taken_ports(*family)).sum();
        assert_eq!(taken, sockets.len() + shared.reservations(), "a port is a relay or reserved");
        let ends = engine.allocations.iter().map(|(_, allocation)| allocation.expires).min();
        assert!(ends.is_none_or(|end| engine.next_timeout().is_some_and(|at| at <= end)), "nothing outlives its timeout");
        for (_, allocation) in engine.allocations.iter().filter(|(_, allocation)| &*allocation.user.identity.name == CHECKED) {
            let own = allocation.five_tuple.client.ip();
            assert_eq!((allocation.scope, allocation.transport, allocation.moves), (Scope::OwnAddress, PeerTransport::Udp, None));
            assert!(allocation.expires <= self.expires, "it outlives the credentials");
            assert!(allocation.peers.permitted().is_empty() || own != ip("203.0.114.1"), "an address of this machine is a peer");
        }
    }
}

/// Each run has the same histories; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` select others, and `fuzz/` searches for new ones.
pub(super) fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(8656);
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn indices_agree_no_port_leaks_and_timeouts_are_heard(ops in prop::collection::vec(op(), 1..60)) {
        let mut run = Run::new();
        for op in ops {
            run.act(op);
        }
        let mut rounds = 0;
        while let Some(at) = run.world.engine.next_timeout() {
            rounds += 1;
            prop_assert!(rounds < 1000, "timeouts come to an end");
            run.world.now = run.world.now.max(at);
            run.world.advance(secs(0));
        }
        run.world.assert_empty();
    }
}
