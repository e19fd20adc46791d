//! A server with one engine or two, and the clients of a history. It reports what the clients see, with a name in place of each
//! port.

use std::collections::HashMap;

use super::history::{ADVERTISED, Burst, CLIENTS, Op, Peer, PeerName, Wish};
use crate::turn::codec::attribute::{self, AddressFamily};
use crate::turn::codec::framing::Framing;
use crate::turn::tests::*;

/// The port of clients' first five-tuples.
const FIRST_PORT: u16 = 1000;
/// A port that is never a relayed address.
const DEAD_PORT: u16 = 600;
const BOUND_V4: &str = "10.0.0.5";
const V6: &str = "2001:4860::1";

/// What one operation does, as far as clients notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Effects {
    pub(super) answers: Vec<Answered>,
    /// The packets of a burst that are lost, by their number in it.
    pub(super) drops: Vec<(usize, DropReason)>,
    /// In the order in which the clients receive them.
    pub(super) deliveries: Vec<Delivery>,
}

/// A response, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answered {
    Response { code: Option<u16>, attributes: Vec<(u16, Value)> },
    Dropped(DropReason),
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Bytes(Vec<u8>),
    Relayed(RelayedName),
    /// Random, or signed: only the length is comparable.
    Opaque(usize),
}

/// A relayed address: its IP address, and the client and transaction of its Allocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct RelayedName {
    ip: IpAddr,
    client: usize,
    transaction: TransactionId,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delivery {
    to: FiveTuple,
    pub(super) sender: Sender,
    payload: Vec<u8>,
}

/// The sender of a payload as the client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    Channel(u16),
    Address(RelayedName),
}

/// The number of everything that an engine holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holdings {
    users: Vec<String>,
    reservations: usize,
    taken: [usize; 2],
    live: [usize; 2],
}

struct Member {
    client: Client,
    /// The relayed addresses that it was given last.
    relayed: [Option<SocketAddr>; 2],
    ticket: Vec<u8>,
    token: Vec<u8>,
    last_request: Vec<u8>,
}

pub(super) struct Server {
    scope: Scope,
    engines: Vec<World>,
    members: Vec<Member>,
    /// The engines of five-tuples whose packets arrive at another engine (RFC 8016).
    moved: HashMap<FiveTuple, usize>,
    /// The relayed addresses that clients were told.
    names: HashMap<SocketAddr, RelayedName>,
    advertised: IpAddr,
    packets: u32,
    last_received: HashMap<(FiveTuple, Sender), u32>,
    /// Two allocations have had one port, which happens in each server at another time.
    pub(super) has_reused_a_port: bool,
    /// Payloads that one engine has passed to the other.
    pub(super) passed_on: usize,
}

impl Server {
    pub(super) fn new(scope: Scope, engines: u8, credentials: &Arc<dyn CredentialSource>, epoch: Instant) -> Self {
        let settings = Self::settings();
        let shared = SharedState::new(&settings, [1; 32], epoch);
        // A former address may belong to somebody else now, so that scope anyone may reach it without this.
        let denied = ["203.0.114.0/24", "2001:4860::/32"].map(|network| network.parse().expect("a network")).into();
        let engine = |index| {
            let shard = ShardSettings { index, ports: 50_000..=u16::MAX };
            let mut world =
                World::shard(settings.clone(), shard, Arc::clone(&shared), Arc::clone(credentials), epoch + secs(1000));
            world.engine.set_policy(PeerPolicy { denied: Vec::clone(&denied), ..PeerPolicy::default() }, world.now);
            world
        };
        let member = |at: usize| {
            let client = Client::new(USERS[at % USERS.len()], &format!("198.51.100.{}:{FIRST_PORT}", at + 1));
            let client = if at.is_multiple_of(2) { client } else { client.over_tcp() };
            let client = if scope == Scope::Clients { client.into_stranger() } else { client };
            Member { client, relayed: [None, None], ticket: Vec::new(), token: Vec::new(), last_request: Vec::new() }
        };
        Self {
            scope,
            engines: (0..engines).map(engine).collect(),
            members: (0..CLIENTS).map(member).collect(),
            moved: HashMap::new(),
            names: HashMap::new(),
            advertised: [203, 0, 114, ADVERTISED[0]].into(),
            packets: 0,
            last_received: HashMap::new(),
            has_reused_a_port: false,
            passed_on: 0,
        }
    }

    fn settings() -> EngineSettings {
        let v4 = RelayedIp { bound: ip(BOUND_V4), advertised: [203, 0, 114, ADVERTISED[0]].into() };
        let v6 = RelayedIp { bound: ip(V6), advertised: ip(V6) };
        let mut settings = EngineSettings { mobility: true, relayed: [Some(v4), Some(v6)], ..settings() };
        settings.own_addresses = vec![v4.bound, v4.advertised, v6.bound];
        // The key of a stranger's allocation expires, which no history reaches.
        settings.clients_lifetime = secs(u64::from(u32::MAX));
        let limits = &mut settings.limits;
        (limits.user_quota, limits.total_quota) = (Some(2), Some(5));
        (limits.permissions, limits.channels) = (3, 3);
        (limits.allocation_bandwidth, limits.user_bandwidth) = (Some(70_000), Some(100_000));
        // Nobody yields, not even where one family is used up: requirement 71 has tests of its own.
        (limits.clients_capacity, limits.clients_bandwidth) = (u8::MAX, None);
        (limits.challenges, limits.failures, limits.wrong_passwords, limits.sources) = (u16::MAX, u16::MAX, u32::MAX, 16);
        settings
    }

    /// Applies an operation, and returns what it does and what the server holds then.
    pub(super) fn apply(&mut self, op: &Op) -> (Effects, Holdings) {
        let mut effects = Effects::default();
        match op {
            Op::Allocate { client, wish } => effects.answers.push(self.allocate(*client, wish)),
            Op::Retransmit { client } => effects.answers.extend(self.retransmit(*client)),
            Op::Refresh { client, lifetime, family, key_of_other_scope } => {
                effects.answers.push(self.refresh(*client, *lifetime, *family, *key_of_other_scope));
            }
            Op::Permit { client, peers } => {
                let peers: Vec<SocketAddr> = peers.iter().map(|peer| self.address(*peer)).collect();
                let answer = self.request(*client, Method::CreatePermission, |writer| {
                    for peer in &peers {
                        writer.xor_address(attribute::XOR_PEER_ADDRESS, *peer);
                    }
                });
                effects.answers.push(answer);
            }
            Op::Bind { client, channel, peer } => {
                let peer = self.address(*peer);
                let answer = self.request(*client, Method::ChannelBind, |writer| {
                    let channel = u32::from(*channel) << 16;
                    writer.number(attribute::CHANNEL_NUMBER, channel).xor_address(attribute::XOR_PEER_ADDRESS, peer);
                });
                effects.answers.push(answer);
            }
            Op::Send { client, peer, burst } => {
                let peer = self.address(*peer);
                // A Send indication has no room for the longest payloads.
                let burst = Burst { bytes: burst.bytes.min(65_500), ..*burst };
                self.send(*client, burst, |payload| send_indication(peer, payload), &mut effects);
            }
            Op::ChannelData { client, channel, burst } => {
                self.send(*client, *burst, |payload| channel_data(*channel, payload), &mut effects);
            }
            Op::Advance { seconds } => self.engines.iter_mut().for_each(|engine| engine.advance(secs(*seconds))),
            Op::Close { client } => self.close(*client),
            Op::Move { client, ticket_of } => effects.answers.extend(self.move_client(*client, *ticket_of)),
            Op::Revoke { user } => {
                let (scope, user) = (self.scope, USERS[user % USERS.len()]);
                self.engines.iter_mut().for_each(|engine| engine.engine.revoke(scope, user));
            }
            Op::Advertise { last } => self.advertise([203, 0, 114, *last].into()),
        }
        self.follow_outputs();
        let holdings = self.holdings();
        self.check(&holdings);
        (effects, holdings)
    }

    /// The engine at which packets of this five-tuple are handled. The kernel spreads clients, also one client's connections.
    fn engine_of(&self, from: &FiveTuple) -> usize {
        let IpAddr::V4(client) = from.client.ip() else { panic!("the clients have IPv4 addresses") };
        let arrives_at = (usize::from(client.octets()[3]) + usize::from(from.client.port())) % self.engines.len();
        self.moved.get(from).copied().unwrap_or(arrives_at)
    }

    fn allocate(&mut self, client: usize, wish: &Wish) -> Answered {
        let token = wish.reservation_of.map(|of| self.members[of].token.clone()).filter(|token| !token.is_empty());
        self.request(client, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, wish.transport);
            let family = |family: Option<u8>| family.map(|family| u32::from(family) << 24);
            for (kind, value) in [
                (attribute::REQUESTED_ADDRESS_FAMILY, family(wish.family)),
                (attribute::ADDITIONAL_ADDRESS_FAMILY, family(wish.additional)),
                (attribute::LIFETIME, wish.lifetime),
            ] {
                if let Some(value) = value {
                    writer.number(kind, value);
                }
            }
            if let Some(flags) = wish.even_port {
                writer.attribute(attribute::EVEN_PORT, &[flags]);
            }
            if let Some(token) = &token {
                writer.attribute(attribute::RESERVATION_TOKEN, token);
            }
            if wish.mobile {
                writer.attribute(attribute::MOBILITY_TICKET, &[]);
            }
        })
    }

    fn retransmit(&mut self, client: usize) -> Option<Answered> {
        let bytes = self.members[client].last_request.clone();
        if bytes.is_empty() {
            return None;
        }
        let response = self.ask(client, &bytes);
        Some(self.answered(client, response))
    }

    fn refresh(&mut self, client: usize, lifetime: Option<u32>, family: Option<u8>, key_of_other_scope: bool) -> Answered {
        let own = self.members[client].client.password.clone();
        if key_of_other_scope {
            let other = if self.scope == Scope::Clients { USERS_PASSWORD } else { STRANGERS_PASSWORD };
            self.members[client].client.password = other.to_owned();
        }
        let answer = self.request(client, Method::Refresh, |writer| {
            if let Some(lifetime) = lifetime {
                writer.number(attribute::LIFETIME, lifetime);
            }
            if let Some(family) = family {
                writer.number(attribute::REQUESTED_ADDRESS_FAMILY, u32::from(family) << 24);
            }
        });
        self.members[client].client.password = own;
        answer
    }

    /// A client with a stream disconnects, and comes back from another port.
    fn close(&mut self, client: usize) {
        let from = self.members[client].client.from;
        if from.transport.is_stream() {
            let engine = self.engine_of(&from);
            let world = &mut self.engines[engine];
            world.engine.handle_client_closed(&from, world.now);
            self.change_port(client);
        }
    }

    /// A client changes its port, and asks for the allocation of a ticket.
    fn move_client(&mut self, client: usize, ticket_of: usize) -> Option<Answered> {
        let ticket = self.members[ticket_of].ticket.clone();
        if ticket.is_empty() {
            return None;
        }
        self.change_port(client);
        let answer = self.request(client, Method::Refresh, |writer| {
            writer.attribute(attribute::MOBILITY_TICKET, &ticket);
        });
        if matches!(answer, Answered::Response { code: None, .. }) {
            self.members[client].relayed = self.members[ticket_of].relayed;
        }
        Some(answer)
    }

    fn change_port(&mut self, client: usize) {
        let client = &mut self.members[client].client;
        client.from.client.set_port(client.from.client.port() + 1);
        client.nonce.clear();
    }

    fn advertise(&mut self, v4: IpAddr) {
        self.advertised = v4;
        for world in &mut self.engines {
            let relayed = [RelayedIp { bound: ip(BOUND_V4), advertised: v4 }, RelayedIp { bound: ip(V6), advertised: ip(V6) }];
            world.engine.set_addresses(&machine_at(relayed.map(Some)), world.now);
        }
    }

    fn address(&self, peer: Peer) -> SocketAddr {
        let nowhere = match peer.family {
            AddressFamily::V4 => SocketAddr::new(self.advertised, DEAD_PORT),
            AddressFamily::V6 => SocketAddr::new(ip(V6), DEAD_PORT),
        };
        let told = self.members[peer.client].relayed[peer.family.index()].unwrap_or(nowhere);
        let ip = match (peer.name, told.ip()) {
            (PeerName::Advertised, IpAddr::V4(_)) => self.advertised,
            (PeerName::Bound, IpAddr::V4(_)) => ip(BOUND_V4),
            (PeerName::Mapped, IpAddr::V4(ip)) => ip.to_ipv6_mapped().into(),
            (PeerName::Told, ip) | (_, ip @ IpAddr::V6(_)) => ip,
        };
        SocketAddr::new(ip, told.port())
    }

    /// A signed request; a stale nonce is replaced once.
    fn request(&mut self, client: usize, method: Method, attributes: impl Fn(&mut MessageWriter<'_>)) -> Answered {
        if self.members[client].client.nonce.is_empty() {
            let bytes = self.members[client].client.unsigned(Method::Allocate, |writer| {
                writer.number(attribute::REQUESTED_TRANSPORT, UDP);
            });
            let challenge = self.ask(client, &bytes).expect("a challenge");
            self.members[client].client.take_nonce(&challenge);
        }
        let bytes = self.members[client].client.signed(method, &attributes);
        let mut response = self.ask(client, &bytes);
        if let Ok(stale) = &response
            && stale.code() == Some(438)
        {
            self.members[client].client.take_nonce(stale);
            let bytes = self.members[client].client.signed(method, &attributes);
            response = self.ask(client, &bytes);
        }
        self.answered(client, response)
    }

    /// A request that reaches the wrong engine is handed over to the right one, once.
    fn ask(&mut self, client: usize, bytes: &[u8]) -> Result<Response, DropReason> {
        let from = self.members[client].client.from;
        self.members[client].last_request = bytes.to_vec();
        let mut engine = self.engine_of(&from);
        let mut verdict = self.engines[engine].handle(from, bytes);
        if let Verdict::ToShard { shard } = verdict {
            engine = usize::from(shard);
            verdict = self.engines[engine].handle(from, bytes);
        }
        if let Verdict::Drop(reason) = verdict {
            return Err(reason);
        }
        let response = self.engines[engine].response(verdict, from, bytes).expect("an answer");
        self.follow_outputs();
        Ok(response)
    }

    /// Remembers what the client was given, and replaces what differs between servers.
    fn answered(&mut self, client: usize, response: Result<Response, DropReason>) -> Answered {
        let response = match response {
            Ok(response) => response,
            Err(reason) => return Answered::Dropped(reason),
        };
        let message = response.message();
        let relayed = response.relayed();
        if !relayed.is_empty() {
            self.members[client].relayed = [None, None];
        }
        for address in relayed {
            let family = AddressFamily::of(address.ip());
            self.members[client].relayed[family.index()] = Some(address);
            let name = RelayedName { ip: address.ip(), client, transaction: message.transaction() };
            // The server distinguishes the relayed addresses of one family by their ports alone.
            let has_port = |known: &SocketAddr| known.port() == address.port() && AddressFamily::of(known.ip()) == family;
            self.has_reused_a_port |= self.names.iter().any(|(known, known_name)| has_port(known) && *known_name != name);
            self.names.insert(address, name);
        }
        for (kind, slot) in [(attribute::MOBILITY_TICKET, 0), (attribute::RESERVATION_TOKEN, 1)] {
            let Some(value) = message.find(kind) else { continue };
            let member = &mut self.members[client];
            *[&mut member.ticket, &mut member.token][slot] = value.to_vec();
        }
        let value = |kind, value: &[u8]| match kind {
            attribute::XOR_RELAYED_ADDRESS => {
                let address = attribute::xor_address(value, &message.transaction()).expect("an address");
                Value::Relayed(self.names[&address])
            }
            attribute::NONCE
            | attribute::MOBILITY_TICKET
            | attribute::RESERVATION_TOKEN
            | attribute::MESSAGE_INTEGRITY
            | attribute::MESSAGE_INTEGRITY_SHA256
            | attribute::FINGERPRINT => Value::Opaque(value.len()),
            _ => Value::Bytes(value.to_vec()),
        };
        let attributes = message.attributes().map(|(kind, bytes)| (kind, value(kind, bytes))).collect();
        Answered::Response { code: response.code(), attributes }
    }

    /// Sends a burst. The payloads for the other engine wait until all of them are sent.
    fn send(&mut self, client: usize, burst: Burst, frame: impl Fn(&[u8]) -> Vec<u8>, effects: &mut Effects) {
        let from = self.members[client].client.from;
        let engine = self.engine_of(&from);
        let mut waiting = Vec::new();
        for number in 0..burst.packets {
            self.packets += 1;
            let mut payload = vec![number as u8; burst.bytes];
            if let Some(sequence) = payload.first_chunk_mut() {
                *sequence = self.packets.to_be_bytes();
            }
            let bytes = frame(&payload);
            let verdict = self.engines[engine].handle(from, &bytes);
            if let Verdict::ToRelayedAddress { shard, from, to, payload: range } = verdict {
                assert_ne!(usize::from(shard), engine, "an engine delivers to its own clients itself");
                assert!(bytes[range] == payload);
                waiting.push((number, usize::from(shard), from, to, payload));
            } else {
                self.carry_out(verdict, number, &bytes, &payload, effects);
            }
        }
        self.passed_on += waiting.len();
        for (number, shard, from, to, payload) in waiting {
            let verdict = self.engines[shard].relayed_data(from, to, &payload);
            self.carry_out(verdict, number, &payload, &payload, effects);
        }
        effects.drops.sort_by_key(|(number, _)| *number);
    }

    fn carry_out(&mut self, verdict: Verdict, number: usize, bytes: &[u8], sent: &[u8], effects: &mut Effects) {
        let (to, framing, payload) = match verdict {
            Verdict::ToClient { to, framing, payload } => (to, framing, bytes[payload].to_vec()),
            Verdict::Drop(reason) => return effects.drops.push((number, reason)),
            Verdict::Accepted
            | Verdict::Reply { .. }
            | Verdict::ToPeer { .. }
            | Verdict::ToRelayedAddress { .. }
            | Verdict::ToShard { .. } => panic!("a payload for a relayed address of this server: {verdict:?}"),
        };
        assert!(payload == sent, "a payload arrives as it was sent");
        let sender = match framing {
            Framing::Channel(channel) => Sender::Channel(channel.number()),
            Framing::Data { peer, .. } => Sender::Address(self.names[&peer]),
        };
        if let Some(sequence) = payload.first_chunk() {
            let sequence = u32::from_be_bytes(*sequence);
            let earlier = self.last_received.insert((to, sender), sequence);
            assert!(earlier < Some(sequence), "payloads of one pair keep their order");
        }
        effects.deliveries.push(Delivery { to, sender, payload });
    }

    /// Does what a shell does with the outputs about moved clients.
    fn follow_outputs(&mut self) {
        for (index, world) in self.engines.iter_mut().enumerate() {
            world.drain_outputs();
            for output in world.outputs.drain(..) {
                match output {
                    Output::ClientMoved { from, to } => {
                        self.moved.remove(&from);
                        self.moved.insert(to, index);
                    }
                    Output::MovedClientEnded { client } => {
                        self.moved.remove(&client);
                    }
                    Output::Transmit { .. }
                    | Output::Refused(_)
                    | Output::Displaced { .. }
                    | Output::OpenRelayedAddress { .. }
                    | Output::CloseRelayedAddress { .. }
                    | Output::DisplaceAllocation { .. }
                    | Output::ConnectPeer { .. }
                    | Output::Splice { .. }
                    | Output::ClosePeerConnection { .. } => panic!("no client has asked for this: {output:?}"),
                }
            }
        }
    }

    fn holdings(&self) -> Holdings {
        let shared = &self.engines[0].shared;
        let mut users: Vec<String> =
            self.engines.iter().flat_map(|world| world.engine.users().map(|(_, name)| name.to_owned())).collect();
        users.sort_unstable();
        let taken = AddressFamily::ALL.map(|family| shared.taken_ports(family));
        let live = AddressFamily::ALL.map(|family| shared.live_relayed_addresses(family));
        Holdings { users, reservations: shared.reservations(), taken, live }
    }

    fn check(&self, holdings: &Holdings) {
        let Holdings { users, reservations, taken, live } = holdings;
        assert_eq!(users.len(), self.engines[0].shared.allocations() as usize);
        assert_eq!(taken.iter().sum::<usize>(), live.iter().sum::<usize>() + reservations, "a port is live or reserved");
        let sockets: usize = self.engines.iter().map(|world| world.sockets.len()).sum();
        let wanted = if self.scope == Scope::Clients { 0 } else { live.iter().sum() };
        assert_eq!(sockets, wanted, "scope clients has no socket");
    }

    /// Lets everything expire, and checks that nothing is left.
    pub(super) fn finish(&mut self) {
        for _ in 0..1000 {
            let Some(at) = self.engines.iter().filter_map(|world| world.engine.next_timeout()).min() else { break };
            for world in &mut self.engines {
                world.now = world.now.max(at);
                world.advance(secs(0));
            }
        }
        self.follow_outputs();
        self.engines.iter().for_each(World::assert_empty);
        assert!(self.moved.is_empty(), "{:?}", self.moved);
    }
}
