//! Measures what a list of 10,000 allocations, made every second, adds to the delay of relayed packets.
//!
//! Pairs of clients send packets to each other through a relay in this process; rounds with and without lists alternate. Run: `cargo bench
//! --bench listing`.

#![allow(clippy::unwrap_used, reason = "a bench ends at the first failure")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use castway::addresses::external::ExternalAddresses;
use castway::config::{Config, Settings};
use castway::limits::descriptors::DescriptorPools;
use castway::relay::{self, LiveAllocations, RelayUsers};
use castway::turn::codec::integrity::{LongTermKey, PasswordAlgorithm};
use castway::turn::{CredentialSource, Scope, UserKeys};
use stun::agent::TransactionId;
use stun::attributes::{ATTR_ERROR_CODE, ATTR_NONCE, ATTR_REALM, ATTR_USERNAME, ATTR_XOR_RELAYED_ADDRESS};
use stun::integrity::MessageIntegrity;
use stun::message::{CLASS_REQUEST, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, Message, MessageType, Method, Setter};
use stun::textattrs::TextAttribute;
use stun::xoraddr::XorMappedAddress;
use turn::proto::PROTO_UDP;
use turn::proto::channum::ChannelNumber;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::reqtrans::RequestedTransport;

const ALLOCATIONS: u32 = 10_000;
const PAIRS: u32 = 4;
const ROUNDS: usize = 8;
const ROUND_DURATION: Duration = Duration::from_secs(5);
const LIST_INTERVAL: Duration = Duration::from_secs(1);
/// Between two packets of a pair.
const SEND_INTERVAL: Duration = Duration::from_millis(1);
const REALM: &str = "bench";
const PASSWORD: &str = "password";
const CHANNEL: u16 = 0x4000;
const CHANNEL_HEADER_BYTES: usize = 4;
const PAYLOAD_BYTES: usize = 1200;

/// Everybody is a user.
struct Everybody;

impl CredentialSource for Everybody {
    fn user_keys(&self, username: &str, _realm: &str, algorithm: PasswordAlgorithm, _now: Instant) -> Option<UserKeys> {
        let key = LongTermKey::long_term(algorithm, username, REALM, PASSWORD);
        Some(UserKeys { user: username.to_owned(), keys: vec![(Scope::Anyone, key)], expires: None, leased: false, group: None })
    }
}

impl RelayUsers for Everybody {
    fn may_continue(&self, _scope: Scope, _user: &str) -> bool {
        true
    }

    fn revision(&self) -> u64 {
        0
    }
}

/// A client, which has its own address or shares one with others.
struct Client {
    socket: UdpSocket,
    user: String,
    nonce: Option<String>,
    relayed: Option<SocketAddr>,
}

impl Client {
    fn allocated(relay: SocketAddr, number: u32) -> Self {
        let [_, _, high, low] = (number / 100).to_be_bytes();
        let port = 10_000 + u16::try_from(number % 100).unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::new(127, 1, high, low), port)).unwrap();
        socket.connect(relay).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Self { socket, user: format!("user-{number}"), nonce: None, relayed: None };
        let transport = || vec![Box::new(RequestedTransport { protocol: PROTO_UDP }) as Box<dyn Setter>];
        let challenge = client.ask(METHOD_ALLOCATE, transport());
        client.nonce = Some(TextAttribute::get_from_as(&challenge, ATTR_NONCE).unwrap().text);
        let answer = client.ask(METHOD_ALLOCATE, transport());
        let mut relayed = XorMappedAddress::default();
        relayed.get_from_as(&answer, ATTR_XOR_RELAYED_ADDRESS).unwrap_or_else(|_| panic!("{answer}"));
        client.relayed = Some((relayed.ip, relayed.port).into());
        client
    }

    fn bind_channel(&self, peer: SocketAddr) {
        let peer = Box::new(PeerAddress { ip: peer.ip(), port: peer.port() });
        let answer = self.ask(METHOD_CHANNEL_BIND, vec![Box::new(ChannelNumber(CHANNEL)), peer]);
        assert!(!answer.contains(ATTR_ERROR_CODE), "{answer}");
    }

    fn ask(&self, method: Method, more: Vec<Box<dyn Setter>>) -> Message {
        let mut attributes: Vec<Box<dyn Setter>> =
            vec![Box::new(TransactionId::new()), Box::new(MessageType::new(method, CLASS_REQUEST))];
        attributes.extend(more);
        if let Some(nonce) = &self.nonce {
            attributes.push(Box::new(TextAttribute::new(ATTR_USERNAME, self.user.clone())));
            attributes.push(Box::new(TextAttribute::new(ATTR_REALM, REALM.to_owned())));
            attributes.push(Box::new(TextAttribute::new(ATTR_NONCE, nonce.clone())));
            let (user, realm, password) = (self.user.clone(), REALM.to_owned(), PASSWORD.to_owned());
            attributes.push(Box::new(MessageIntegrity::new_long_term_integrity(user, realm, password)));
        }
        let mut request = Message::new();
        request.build(&attributes).unwrap();
        self.socket.send(&request.raw).unwrap();
        let mut bytes = vec![0; 2048];
        let length = self.socket.recv(&mut bytes).unwrap();
        bytes.truncate(length);
        let mut answer = Message { raw: bytes, ..Message::new() };
        answer.decode().unwrap();
        answer
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let some = |text: &str| Some(text.to_owned());
    let settings = Settings {
        turn_addr: some("127.0.0.1:0"),
        relay_threads: some("2"),
        relay_scope: some("clients"),
        realm: some(REALM),
        ..Settings::default()
    };
    let config = Config::read(&settings).unwrap().relay;
    let external = ExternalAddresses::new(&config.external, relay::bind_addresses(&config).unwrap(), None);
    let relay = relay::start(&config, &external, Arc::new(Everybody), &DescriptorPools::unlimited(), &[]).unwrap();
    let address = relay.listening();
    for number in 2 * PAIRS..ALLOCATIONS {
        Client::allocated(address, number);
    }
    let pairs: Vec<(Client, Client)> = (0..PAIRS).map(|pair| pair_of(address, pair)).collect();
    let live = relay.live_allocations();
    let mut delays = [Vec::new(), Vec::new()];
    let mut listed = Vec::new();
    for round in 0..ROUNDS {
        let lists = round % 2 == 1;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let lister = lists.then(|| scope.spawn(|| runtime.block_on(list_every_second(&live, &stop))));
            let rounds: Vec<_> = pairs.iter().map(|pair| scope.spawn(|| exchange(pair))).collect();
            rounds.into_iter().for_each(|round| delays[usize::from(lists)].extend(round.join().unwrap()));
            stop.store(true, Ordering::Relaxed);
            listed.extend(lister.into_iter().flat_map(|lister| lister.join().unwrap()));
        });
    }
    for (name, delays) in ["without lists", "with lists"].iter().zip(&mut delays) {
        delays.sort_unstable();
        let at = |share: f64| delays[(delays.len() as f64 * share) as usize].as_micros();
        println!("{name}: {} packets, p50 {} µs, p99 {} µs, p99.9 {} µs", delays.len(), at(0.5), at(0.99), at(0.999));
    }
    listed.sort_unstable();
    println!(
        "{} lists of {ALLOCATIONS} allocations, each made in {} ms (median)",
        listed.len(),
        listed[listed.len() / 2].as_millis()
    );
}

fn pair_of(relay: SocketAddr, pair: u32) -> (Client, Client) {
    let [first, second] = [0, 1].map(|end| Client::allocated(relay, 2 * pair + end));
    first.bind_channel(second.relayed.unwrap());
    second.bind_channel(first.relayed.unwrap());
    (first, second)
}

/// How long each list took.
async fn list_every_second(live: &LiveAllocations, stop: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let list = live.list().await;
        assert!(list.complete && list.allocations.len() == ALLOCATIONS as usize);
        times.push(begin.elapsed());
        tokio::time::sleep(LIST_INTERVAL.saturating_sub(begin.elapsed())).await;
    }
    times
}

/// Sends at the rate of the bench, and returns the delay of each packet that arrives.
fn exchange((from, to): &(Client, Client)) -> Vec<Duration> {
    let epoch = Instant::now();
    thread::scope(|scope| {
        let receiver = scope.spawn(move || {
            let (mut bytes, mut delays) = ([0; 2048], Vec::new());
            to.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            while let Ok(length) = to.socket.recv(&mut bytes) {
                let Some(stamp) = bytes[..length].get(CHANNEL_HEADER_BYTES..CHANNEL_HEADER_BYTES + 8) else { continue };
                let sent = Duration::from_nanos(u64::from_be_bytes(stamp.try_into().unwrap()));
                delays.push(epoch.elapsed().saturating_sub(sent));
            }
            delays
        });
        let mut packet = vec![0; CHANNEL_HEADER_BYTES + PAYLOAD_BYTES];
        packet[..2].copy_from_slice(&CHANNEL.to_be_bytes());
        packet[2..4].copy_from_slice(&u16::try_from(PAYLOAD_BYTES).unwrap().to_be_bytes());
        while epoch.elapsed() < ROUND_DURATION {
            let now = u64::try_from(epoch.elapsed().as_nanos()).unwrap();
            packet[CHANNEL_HEADER_BYTES..CHANNEL_HEADER_BYTES + 8].copy_from_slice(&now.to_be_bytes());
            from.socket.send(&packet).unwrap();
            thread::sleep(SEND_INTERVAL);
        }
        receiver.join().unwrap()
    })
}
