//! Drives a TURN engine without sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use castway::turn::codec::attribute;
use castway::turn::codec::header::{Class, Method, TransactionId};
use castway::turn::codec::integrity::{IntegrityAlgorithm, LongTermKey, PasswordAlgorithm};
use castway::turn::codec::message::StunMessage;
use castway::turn::codec::writer::MessageWriter;
use castway::turn::{
    CredentialSource, Engine, EngineSettings, FiveTuple, Output, PeerPolicy, RelayedAddressId, RelayedIp, Scope, ShardSettings,
    SharedState, Transport, UserKeys, Verdict,
};

pub(crate) const REALM: &str = "castway";

/// Every name is a user of this scope, and all of them have one key.
struct Users(Scope);

impl CredentialSource for Users {
    fn user_keys(&self, username: &str, _: &str, algorithm: PasswordAlgorithm, _: Instant) -> Option<UserKeys> {
        (algorithm == PasswordAlgorithm::Md5).then(|| UserKeys {
            user: username.to_owned(),
            keys: vec![(self.0, key())],
            expires: None,
            leased: false,
            group: None,
        })
    }
}

pub(crate) fn key() -> LongTermKey {
    LongTermKey::long_term(PasswordAlgorithm::Md5, "alice", REALM, "secret")
}

pub(crate) fn signed(
    user: &str,
    method: Method,
    nonce: &[u8],
    transaction: u64,
    attributes: impl Fn(&mut MessageWriter<'_>),
) -> Vec<u8> {
    let mut id = TransactionId([0; 12]);
    id.0[..8].copy_from_slice(&transaction.to_be_bytes());
    let mut bytes = Vec::new();
    let mut writer = MessageWriter::new(&mut bytes, Class::Request, method, &id);
    attributes(&mut writer);
    writer.attribute(attribute::USERNAME, user.as_bytes()).attribute(attribute::REALM, REALM.as_bytes());
    writer.attribute(attribute::NONCE, nonce).integrity(IntegrityAlgorithm::Sha1, &key());
    bytes
}

pub(crate) fn send_indication(peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    MessageWriter::new(&mut bytes, Class::Indication, Method::Send, &TransactionId([1; 12]))
        .xor_address(attribute::XOR_PEER_ADDRESS, peer)
        .attribute(attribute::DATA, payload);
    bytes
}

/// A payload over the channel that [`Shell::bind`] binds.
pub(crate) fn channel_data(payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x40, 0];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Asks for a relayed address that carries UDP.
pub(crate) fn udp(writer: &mut MessageWriter<'_>) {
    writer.number(attribute::REQUESTED_TRANSPORT, 17 << 24);
}

/// An engine whose relayed sockets open as soon as it asks for them.
pub(crate) struct Shell {
    pub(crate) engine: Engine,
    pub(crate) now: Instant,
    /// All relayed addresses, in the order in which they were opened.
    pub(crate) relayed: Vec<RelayedAddressId>,
    pub(crate) answer: Vec<u8>,
}

impl Shell {
    pub(crate) fn with(scope: Scope, change: impl FnOnce(&mut EngineSettings)) -> Self {
        let mut settings = EngineSettings::new(REALM);
        let ip = [203, 0, 114, 1].into();
        settings.relayed[0] = Some(RelayedIp { bound: ip, advertised: ip });
        settings.own_addresses = vec![ip];
        settings.limits.challenges = u16::MAX;
        settings.limits.bindings = u16::MAX;
        change(&mut settings);
        let now = Instant::now();
        let shared = SharedState::new(&settings, [1; 32], now);
        let shard = ShardSettings { index: 0, ports: 1024..=65_535 };
        let engine = Engine::new(Arc::new(settings), PeerPolicy::default(), shared, Arc::new(Users(scope)), shard, [2; 32]);
        Self { engine, now, relayed: Vec::new(), answer: Vec::new() }
    }

    /// Hands in a request and keeps the answer.
    pub(crate) fn ask(&mut self, from: FiveTuple, bytes: &[u8]) {
        if let Verdict::Reply { .. } = self.engine.handle_client(from, bytes, self.now) {
            self.answer = self.engine.reply().to_vec();
        }
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::OpenRelayedAddress { relayed, .. } => {
                    self.relayed.push(relayed);
                    self.engine.handle_relayed_address_opened(relayed, Ok(()), self.now);
                }
                Output::Transmit { bytes, .. } => self.answer = bytes,
                Output::Refused(_)
                | Output::Displaced { .. }
                | Output::CloseRelayedAddress { .. }
                | Output::ClientMoved { .. }
                | Output::MovedClientEnded { .. }
                | Output::ConnectPeer { .. }
                | Output::Splice { .. }
                | Output::ClosePeerConnection { .. }
                | Output::DisplaceAllocation { .. } => {}
            }
        }
    }

    pub(crate) fn nonce(&mut self, from: FiveTuple) -> Vec<u8> {
        let mut bytes = Vec::new();
        udp(&mut MessageWriter::new(&mut bytes, Class::Request, Method::Allocate, &TransactionId([9; 12])));
        self.ask(from, &bytes);
        let message = StunMessage::parse(&self.answer).expect("a challenge");
        message.find(attribute::NONCE).expect("a nonce").to_vec()
    }

    /// Makes an allocation and returns the nonce of its client.
    pub(crate) fn allocate(&mut self, from: FiveTuple, user: &str) -> Vec<u8> {
        let nonce = self.nonce(from);
        self.ask(from, &signed(user, Method::Allocate, &nonce, 1, udp));
        self.assert_success();
        nonce
    }

    /// Binds the first channel number to a peer.
    pub(crate) fn bind(&mut self, from: FiveTuple, user: &str, nonce: &[u8], peer: SocketAddr) {
        let bytes = signed(user, Method::ChannelBind, nonce, 2, |writer| {
            writer.number(attribute::CHANNEL_NUMBER, 0x4000_0000).xor_address(attribute::XOR_PEER_ADDRESS, peer);
        });
        self.ask(from, &bytes);
        self.assert_success();
    }

    fn assert_success(&self) {
        assert_eq!(StunMessage::parse(&self.answer).map(|answer| answer.class()), Ok(Class::Success));
    }
}

/// A client with an address of its own, for 65,536 numbers.
pub(crate) fn client(number: u32) -> FiveTuple {
    let client = SocketAddr::from(([198, 18, (number >> 8) as u8, number as u8], 1000));
    FiveTuple { client, server: SocketAddr::from(([203, 0, 114, 1], 3478)), transport: Transport::Udp }
}
