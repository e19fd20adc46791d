//! Tests of the engine against `docs/turn-requirements.md`: `r39_…` tests requirement 39.
//!
//! # A tour of the test kit
//! - [`World`] is one engine with a shell and a clock. Its shell opens every socket that the engine asks for (`open_results`
//!   makes one fail), collects the other outputs in `outputs`, and audits the engine after each input. `advance` moves the clock.
//! - [`Client`] has a five-tuple, a username and a password. It signs requests and remembers nonces: [`Client::alice`],
//!   [`Client::bob`].
//! - [`World::request`] sends a signed request of a client and returns its [`Response`]; it fetches a nonce first if the
//!   client has none. `allocate`, `permit`, `bind` and `refresh` are the usual requests; `send`, `channel_data` and `peer_data`
//!   return the verdict.
//! - [`World::ask`] sends bytes as they are, and checks that the verdict's [`Answer`] agrees with the bytes of the response.
//! - [`credential_sources`] has static users and TURN REST secrets. [`OUTSIDE_PEER`] is a peer that the policy permits.
//! - `whole_table` has the inputs that a shell makes in parts as one input each (`revoke`, `set_policy`, …).
//! - Several engines: make a [`SharedState`], and a `World::shard` for each.
//!
//! A test states a rule in its name, sets up a world, and checks verdicts, codes and outputs. Property tests are in `properties`
//! (whole histories of an engine), `two_kinds` (the same history with and without sockets) and `codec` (against the crates `stun`
//! and `turn`). The fuzz targets use this kit as well, so only the modules with tests alone are left out there.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod authentication;
#[cfg(test)]
mod codec;
mod credential_sources;
#[cfg(test)]
mod extensions;
#[cfg(test)]
mod guessing;
#[cfg(test)]
mod habits;
pub mod input;
#[cfg(test)]
mod listing;
#[cfg(test)]
mod own_address;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod scope;
#[cfg(test)]
mod strangers;
pub mod two_kinds;
mod whole_table;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::codec::attribute::{self, AddressFamily};
use super::codec::error_code::ErrorCode;
use super::codec::header::{Class, Method, TransactionId};
use super::codec::integrity::{IntegrityAlgorithm, LongTermKey, PasswordAlgorithm};
use super::codec::message::StunMessage;
use super::codec::writer::MessageWriter;
use super::*;
use credential_sources::{RestSecrets, StaticUsers, TestClock, rest_password, userhash};

pub(super) const USERS: [&str; 3] = ["alice", "bob", "mallory"];
/// The password of each user.
pub(super) const USERS_PASSWORD: &str = "secret";
/// The password of each user's name in scope clients.
pub(super) const STRANGERS_PASSWORD: &str = "stranger";
/// REQUESTED-TRANSPORT.
pub(super) const UDP: u32 = 17 << 24;
pub(super) const TCP: u32 = 6 << 24;
/// REQUESTED-ADDRESS-FAMILY and ADDITIONAL-ADDRESS-FAMILY.
pub(super) const IPV4: u32 = 1 << 24;
pub(super) const IPV6: u32 = 2 << 24;
/// Bytes in front of the payload.
pub(super) const CHANNEL_DATA_HEADER: usize = 4;
/// Bytes in front of the payload of a Send indication to an IPv4 peer.
pub(super) const SEND_HEADER: usize = 36;
pub(super) const REALM: &str = "castway";
pub(super) const OUTSIDE_PEER: &str = "198.51.101.7:7000";

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Relayed addresses at 203.0.114.1 and 2001:4860::1.
pub(super) fn settings() -> EngineSettings {
    let mut settings = EngineSettings::new(REALM);
    let relayed = |address: &str| Some(RelayedIp { bound: ip(address), advertised: ip(address) });
    settings.relayed = [relayed("203.0.114.1"), relayed("2001:4860::1")];
    settings.own_addresses = vec![ip("203.0.114.1"), ip("2001:4860::1"), ip("203.0.114.2"), ip("127.0.0.1")];
    settings.listener_ports = vec![3478];
    settings.dont_fragment = true;
    settings
}

/// A machine that has these relayed addresses and no others.
pub(super) fn machine_at(relayed: [Option<RelayedIp>; 2]) -> MachineAddresses {
    let own = relayed.iter().flatten().flat_map(|relayed| [relayed.bound, relayed.advertised]).collect();
    MachineAddresses { relayed, own, neighbours: Vec::new(), nat_discovery: Vec::new() }
}

/// [`USERS`], each as a user and as a stranger.
pub(super) fn users() -> StaticUsers {
    let mut users = StaticUsers::default();
    for user in USERS {
        users.insert(user, REALM, USERS_PASSWORD);
        users.insert_in_scope(Scope::Clients, user, REALM, STRANGERS_PASSWORD);
    }
    users
}

/// One engine with a shell that opens every socket, and with a clock.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) shared: Arc<SharedState>,
    pub(super) now: Instant,
    /// The open sockets of the shell.
    pub(super) sockets: BTreeMap<RelayedAddressId, SocketAddr>,
    /// The results of the next attempts to open a socket; success where this is empty.
    pub(super) open_results: VecDeque<Result<(), OpenError>>,
    /// Outputs other than those about sockets, in order.
    pub(super) outputs: Vec<Output>,
    /// What the operator is told of, in order.
    pub(super) refused: Vec<RefusedRequest>,
    /// The clients whose allocations were displaced, in order.
    pub(super) displaced: Vec<FiveTuple>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: EngineSettings) -> Self {
        Self::with_ports(settings, 50_000..=50_099)
    }

    pub(super) fn with_ports(settings: EngineSettings, ports: std::ops::RangeInclusive<u16>) -> Self {
        Self::with_credentials(settings, ports, Arc::new(users()))
    }

    pub(super) fn with_credentials(
        settings: EngineSettings,
        ports: std::ops::RangeInclusive<u16>,
        credentials: Arc<dyn CredentialSource>,
    ) -> Self {
        let epoch = Instant::now();
        let shared = SharedState::new(&settings, [1; 32], epoch);
        Self::shard(settings, ShardSettings { index: 0, ports }, shared, credentials, epoch + secs(1000))
    }

    pub(super) fn shard(
        settings: EngineSettings,
        shard: ShardSettings,
        shared: Arc<SharedState>,
        credentials: Arc<dyn CredentialSource>,
        now: Instant,
    ) -> Self {
        let seed = [shard.index; 32];
        let engine = Engine::new(Arc::new(settings), PeerPolicy::default(), Arc::clone(&shared), credentials, shard, seed);
        Self {
            engine,
            shared,
            now,
            sockets: BTreeMap::new(),
            open_results: VecDeque::new(),
            outputs: Vec::new(),
            refused: Vec::new(),
            displaced: Vec::new(),
        }
    }

    pub(super) fn handle(&mut self, from: FiveTuple, bytes: &[u8]) -> Verdict {
        let verdict = self.engine.handle_client(from, bytes, self.now);
        self.drain_outputs();
        verdict
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now += by;
        self.engine.handle_timeout(self.now);
        self.drain_outputs();
    }

    /// Carries out the outputs, and audits the engine.
    pub(super) fn drain_outputs(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::OpenRelayedAddress { relayed, address, .. } => {
                    let result = self.open_results.pop_front().unwrap_or(Ok(()));
                    if result.is_ok() {
                        assert_eq!(self.sockets.insert(relayed, address), None, "a relayed address is opened once");
                        assert_eq!(self.sockets.values().filter(|open| **open == address).count(), 1, "a port is opened once");
                    }
                    self.engine.handle_relayed_address_opened(relayed, result, self.now);
                }
                Output::CloseRelayedAddress { relayed } => {
                    self.sockets.remove(&relayed);
                }
                Output::Refused(refused) => self.refused.push(*refused),
                Output::Displaced { client, .. } => self.displaced.push(client),
                Output::Transmit { .. }
                | Output::ClientMoved { .. }
                | Output::MovedClientEnded { .. }
                | Output::ConnectPeer { .. }
                | Output::Splice { .. }
                | Output::ClosePeerConnection { .. }
                | Output::DisplaceAllocation { .. } => self.outputs.push(output),
            }
        }
        assert_eq!(self.engine.audit(), Ok(()));
    }

    /// The answer to a request, in the verdict or in a later output.
    pub(super) fn ask(&mut self, from: FiveTuple, bytes: &[u8]) -> Option<Response> {
        let verdict = self.handle(from, bytes);
        self.response(verdict, from, bytes)
    }

    /// The answer to an accepted request, once its sockets are open.
    pub(super) fn response_after(&mut self, from: FiveTuple, bytes: &[u8]) -> Option<Response> {
        self.drain_outputs();
        self.response(Verdict::Accepted, from, bytes)
    }

    /// The answer that `verdict` on a request announces.
    pub(super) fn response(&mut self, verdict: Verdict, from: FiveTuple, bytes: &[u8]) -> Option<Response> {
        match verdict {
            Verdict::Reply { to, answer } => {
                assert_eq!(to.client, from.client);
                let response = Response(self.engine.reply().to_vec());
                response.assert_is(answer);
                Some(response)
            }
            Verdict::Accepted => {
                // An indication to the same client may wait in front of it.
                let answers = |output: &Output| matches!(output, Output::Transmit { to, bytes: answer, .. } if *to == from && answer[8..20] == bytes[8..20]);
                let at = self.outputs.iter().position(answers)?;
                let Output::Transmit { bytes, answer, .. } = self.outputs.remove(at) else { unreachable!() };
                let response = Response(bytes);
                response.assert_is(answer);
                Some(response)
            }
            Verdict::Drop(_)
            | Verdict::ToPeer { .. }
            | Verdict::ToClient { .. }
            | Verdict::ToRelayedAddress { .. }
            | Verdict::ToShard { .. } => None,
        }
    }

    pub(super) fn login(&mut self, client: &mut Client) {
        let bytes = client.unsigned(Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, UDP);
        });
        let answer = self.ask(client.from, &bytes).expect("a challenge");
        assert_eq!(answer.code(), Some(401));
        client.take_nonce(&answer);
    }

    /// A signed request; a stale nonce is replaced once.
    pub(super) fn request(
        &mut self,
        client: &mut Client,
        method: Method,
        attributes: impl Fn(&mut MessageWriter<'_>),
    ) -> Response {
        if client.nonce.is_empty() {
            self.login(client);
        }
        let bytes = client.signed(method, &attributes);
        let answer = self.ask(client.from, &bytes).expect("an answer");
        if answer.code() != Some(438) {
            return answer;
        }
        client.take_nonce(&answer);
        let bytes = client.signed(method, &attributes);
        self.ask(client.from, &bytes).expect("an answer")
    }

    pub(super) fn allocate(&mut self, client: &mut Client) -> SocketAddr {
        let answer = self.request(client, Method::Allocate, |writer| {
            writer.number(attribute::REQUESTED_TRANSPORT, UDP);
        });
        assert_eq!(answer.code(), None, "{answer:?}");
        answer.relayed()[0]
    }

    pub(super) fn permit(&mut self, client: &mut Client, peers: &[&str]) -> Option<u16> {
        let peers: Vec<SocketAddr> = peers.iter().map(|peer| addr(peer)).collect();
        let answer = self.request(client, Method::CreatePermission, |writer| {
            for peer in &peers {
                writer.xor_address(attribute::XOR_PEER_ADDRESS, *peer);
            }
        });
        answer.code()
    }

    pub(super) fn bind(&mut self, client: &mut Client, channel: u16, peer: &str) -> Option<u16> {
        let peer = addr(peer);
        let answer = self.request(client, Method::ChannelBind, |writer| {
            writer.number(attribute::CHANNEL_NUMBER, u32::from(channel) << 16).xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        answer.code()
    }

    pub(super) fn refresh(&mut self, client: &mut Client, lifetime: u32) -> Response {
        self.request(client, Method::Refresh, |writer| {
            writer.number(attribute::LIFETIME, lifetime);
        })
    }

    pub(super) fn send(&mut self, client: &Client, peer: &str, payload: &[u8]) -> Verdict {
        let bytes = send_indication(addr(peer), payload);
        self.handle(client.from, &bytes)
    }

    pub(super) fn channel_data(&mut self, client: &Client, channel: u16, payload: &[u8]) -> Verdict {
        self.handle(client.from, &channel_data(channel, payload))
    }

    /// A payload from a relayed address of another engine.
    pub(super) fn relayed_data(&mut self, from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Verdict {
        let verdict = self.engine.handle_relayed(from, to, 0..payload.len(), self.now);
        self.drain_outputs();
        verdict
    }

    pub(super) fn peer_data(&mut self, relayed: SocketAddr, peer: &str, payload: &[u8]) -> Verdict {
        let id = self.relayed_at(relayed);
        let verdict = self.engine.handle_peer(id, addr(peer), payload, self.now);
        self.drain_outputs();
        verdict
    }

    pub(super) fn relayed_at(&self, relayed: SocketAddr) -> RelayedAddressId {
        *self.sockets.iter().find(|(_, open)| **open == relayed).expect("an open relay").0
    }

    /// Checks that nothing is left: no allocation, user, socket or port.
    pub(super) fn assert_empty(&self) {
        assert_eq!(self.engine.allocation_count(), 0);
        assert_eq!(self.shared.allocations(), 0);
        assert_eq!(self.shared.users(), 0);
        assert_eq!(self.sockets.len(), 0);
        for family in AddressFamily::ALL {
            assert_eq!((self.shared.taken_ports(family), self.shared.live_relayed_addresses(family)), (0, 0));
        }
    }
}

/// A client with its credentials.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) from: FiveTuple,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) nonce: Vec<u8>,
    pub(super) algorithms: Option<Vec<u8>>,
    /// The password algorithm that the client chooses if the server offers several.
    pub(super) prefer: PasswordAlgorithm,
    pub(super) integrity: IntegrityAlgorithm,
    pub(super) transaction: u64,
}

impl Client {
    pub(super) fn new(username: &str, from: &str) -> Self {
        let from = FiveTuple { client: addr(from), server: addr("203.0.114.1:3478"), transport: Transport::Udp };
        Self {
            from,
            username: username.to_owned(),
            password: USERS_PASSWORD.to_owned(),
            nonce: Vec::new(),
            algorithms: None,
            prefer: PasswordAlgorithm::Md5,
            integrity: IntegrityAlgorithm::Sha1,
            transaction: 0,
        }
    }

    pub(super) fn alice() -> Self {
        Self::new("alice", "198.51.100.1:1111")
    }

    pub(super) fn bob() -> Self {
        Self::new("bob", "198.51.100.2:2222")
    }

    /// The same name with credentials of scope clients.
    pub(super) fn into_stranger(mut self) -> Self {
        self.password = STRANGERS_PASSWORD.to_owned();
        self
    }

    pub(super) fn over_tcp(mut self) -> Self {
        self.from.transport = Transport::Tcp;
        self
    }

    pub(super) fn take_nonce(&mut self, answer: &Response) {
        let message = answer.message();
        self.nonce = message.find(attribute::NONCE).expect("a nonce").to_vec();
        self.algorithms = message.find(attribute::PASSWORD_ALGORITHMS).map(<[u8]>::to_vec);
        assert_eq!(message.find(attribute::REALM), Some(REALM.as_bytes()));
    }

    fn begin(&mut self) -> TransactionId {
        self.transaction += 1;
        let mut id = TransactionId([0; 12]);
        id.0[..8].copy_from_slice(&self.transaction.to_be_bytes());
        id
    }

    pub(super) fn unsigned(&mut self, method: Method, attributes: impl Fn(&mut MessageWriter<'_>)) -> Vec<u8> {
        let id = self.begin();
        let mut bytes = Vec::new();
        attributes(&mut MessageWriter::new(&mut bytes, Class::Request, method, &id));
        bytes
    }

    pub(super) fn key(&self) -> LongTermKey {
        let algorithm = if self.algorithms.is_some() { self.prefer } else { PasswordAlgorithm::Md5 };
        LongTermKey::long_term(algorithm, &self.username, REALM, &self.password)
    }

    pub(super) fn signed(&mut self, method: Method, attributes: impl Fn(&mut MessageWriter<'_>)) -> Vec<u8> {
        let mut bytes = self.unsigned(method, attributes);
        let mut writer = MessageWriter::resume(&mut bytes);
        writer.attribute(attribute::USERNAME, self.username.as_bytes());
        writer.attribute(attribute::REALM, REALM.as_bytes()).attribute(attribute::NONCE, &self.nonce);
        if let Some(algorithms) = &self.algorithms {
            writer.attribute(attribute::PASSWORD_ALGORITHMS, algorithms);
            writer.attribute(attribute::PASSWORD_ALGORITHM, &[0, self.prefer.number() as u8, 0, 0]);
        }
        writer.integrity(self.integrity, &self.key());
        bytes
    }
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response(pub(super) Vec<u8>);

impl Response {
    pub(super) fn message(&self) -> StunMessage<'_> {
        StunMessage::parse(&self.0).expect("our own messages parse")
    }

    /// Checks that the verdict agrees with the bytes.
    fn assert_is(&self, answer: Answer) {
        let message = self.message();
        let (class, method, code) = match answer {
            Answer::Success { method } => (Class::Success, method, None),
            Answer::Error { method, code, .. } => (Class::Error, method, Some(code.number())),
            Answer::Indication { method } => panic!("an indication of {method:?} answers no request"),
        };
        assert_eq!((message.class(), message.method(), self.code()), (class, method, code));
    }

    /// The error code; `None`: success.
    pub(super) fn code(&self) -> Option<u16> {
        let message = self.message();
        match (message.class(), message.find(attribute::ERROR_CODE)) {
            (Class::Error, Some([0, 0, class, number, ..])) => Some(u16::from(*class) * 100 + u16::from(*number)),
            (Class::Success, None) => None,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn find(&self, kind: u16) -> Option<Vec<u8>> {
        self.message().find(kind).map(<[u8]>::to_vec)
    }

    pub(super) fn addresses(&self, wanted: u16) -> Vec<SocketAddr> {
        let message = self.message();
        let values = message.attributes().filter(|(kind, _)| *kind == wanted);
        values.filter_map(|(_, value)| attribute::xor_address(value, &message.transaction())).collect()
    }

    pub(super) fn relayed(&self) -> Vec<SocketAddr> {
        self.addresses(attribute::XOR_RELAYED_ADDRESS)
    }

    pub(super) fn lifetime(&self) -> Option<u32> {
        self.message().find(attribute::LIFETIME).and_then(attribute::number)
    }
}

pub(super) fn send_indication(peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    MessageWriter::new(&mut bytes, Class::Indication, Method::Send, &TransactionId([1; 12]))
        .xor_address(attribute::XOR_PEER_ADDRESS, peer)
        .attribute(attribute::DATA, payload);
    bytes
}

pub(super) fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = channel.to_be_bytes().to_vec();
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The id of the connection that the shell is asked to make.
pub(super) fn connect_output(output: &Output) -> Option<PeerConnectionId> {
    if let Output::ConnectPeer { connection, .. } = output { Some(*connection) } else { None }
}
