//! Packets between clients of scope clients, whose relayed addresses have no sockets, on one shard and between shards.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use castway::config::RelayConfig;
use castway::relay::Relay;
use castway::relay::stats::labels::{DropCause, TrafficDirection};
use castway::turn::Transport;
use futures_util::future::select_all;
use stun::agent::TransactionId;
use stun::attributes::ATTR_ERROR_CODE;
use stun::message::{
    CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING, METHOD_CHANNEL_BIND, METHOD_REFRESH, Message, MessageType, Method, Setter,
};
use tokio::net::UdpSocket;
use turn::proto::PROTO_UDP;
use turn::proto::channum::ChannelNumber;
use turn::proto::lifetime::Lifetime;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::reqtrans::RequestedTransport;

use super::relay::{LOCALHOST, Users, asked, config, nonce, own_ip, received, signed, started, until};
use super::relay_streams::{Connection, relayed_address};

/// With so many clients, the kernel gives all of them to one of four shards less than once in 10⁶ times.
const CLIENTS: usize = 12;
/// The channel to the first client.
const FIRST_CHANNEL: u16 = 0x4000;
const PAYLOAD_BYTES: usize = 300;

/// The way between a client and the relay.
enum Link {
    Udp { socket: UdpSocket, nonce: String },
    Tcp(Connection),
}

/// A client with credentials of scope clients, and its allocation.
struct Stranger {
    link: Link,
    relay: SocketAddr,
    relayed: SocketAddr,
}

impl Stranger {
    async fn over_udp(relay: SocketAddr) -> Self {
        let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
        // The packets of another shard may come in one burst.
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20).unwrap();
        let nonce = nonce(&socket, relay).await;
        Self::allocated(Link::Udp { socket, nonce }, relay).await
    }

    async fn over_tcp(relay: SocketAddr) -> Self {
        let stream = tokio::net::TcpStream::connect(relay).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut connection = Connection::over(stream, usize::MAX, "stranger", "newest");
        connection.challenged().await;
        Self::allocated(Link::Tcp(connection), relay).await
    }

    async fn allocated(link: Link, relay: SocketAddr) -> Self {
        let mut client = Self { link, relay, relayed: relay };
        let answer = client.ask(METHOD_ALLOCATE, vec![Box::new(RequestedTransport { protocol: PROTO_UDP })]).await;
        assert!(!answer.contains(ATTR_ERROR_CODE), "{answer}");
        client.relayed = relayed_address(&answer);
        client
    }

    fn udp(&self) -> &UdpSocket {
        match &self.link {
            Link::Udp { socket, .. } => socket,
            Link::Tcp(_) => panic!("a client over TCP"),
        }
    }

    /// A request as `username` from a client over UDP.
    fn request_as(&self, username: &str, method: Method, more: Vec<Box<dyn Setter>>) -> Message {
        let Link::Udp { nonce, .. } = &self.link else { panic!("a client over TCP") };
        signed(method, TransactionId::new(), username, "newest", nonce, more)
    }

    async fn ask(&mut self, method: Method, more: Vec<Box<dyn Setter>>) -> Message {
        if let Link::Tcp(connection) = &mut self.link {
            let request = connection.signed(method, more);
            return connection.ask(&request).await;
        }
        asked(self.udp(), self.relay, &self.request_as("stranger", method, more)).await
    }

    async fn bind_channel(&mut self, number: u16, peer: SocketAddr) {
        let peer = Box::new(PeerAddress { ip: peer.ip(), port: peer.port() });
        let answer = self.ask(METHOD_CHANNEL_BIND, vec![Box::new(ChannelNumber(number)), peer]).await;
        assert!(!answer.contains(ATTR_ERROR_CODE), "{answer}");
    }

    async fn refresh(&mut self) -> bool {
        let answer = self.ask(METHOD_REFRESH, vec![Box::new(Lifetime(Duration::from_secs(600)))]).await;
        !answer.contains(ATTR_ERROR_CODE)
    }

    async fn send(&mut self, channel: u16, payload: &[u8]) {
        let mut message = [channel.to_be_bytes(), (payload.len() as u16).to_be_bytes()].concat();
        message.extend(payload);
        match &mut self.link {
            Link::Udp { socket, .. } => drop(socket.send_to(&message, self.relay).await.unwrap()),
            Link::Tcp(connection) => {
                message.resize(message.len().next_multiple_of(4), 0);
                connection.write(&message).await;
            }
        }
    }

    /// The channel and the payload of the next message.
    async fn receive(&mut self) -> (u16, Vec<u8>) {
        let message = match &mut self.link {
            Link::Udp { socket, .. } => received(socket).await.0,
            Link::Tcp(connection) => connection.read().await,
        };
        let number = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        (number(0), message[4..4 + usize::from(number(2))].to_vec())
    }
}

/// A relay, and clients that have bound channels to each other.
async fn agreed(config: &RelayConfig, users: Arc<Users>, uses_tcp: impl Fn(usize) -> bool) -> (Relay, Vec<Stranger>) {
    let handle = started(config, users).unwrap();
    let mut clients = Vec::new();
    for index in 0..CLIENTS {
        clients.push(if uses_tcp(index) {
            Stranger::over_tcp(handle.listening()).await
        } else {
            Stranger::over_udp(handle.listening()).await
        });
    }
    let relayed: Vec<SocketAddr> = clients.iter().map(|client| client.relayed).collect();
    for client in &mut clients {
        for (channel, peer) in (FIRST_CHANNEL..).zip(&relayed) {
            client.bind_channel(channel, *peer).await;
        }
    }
    (handle, clients)
}

fn shards() -> RelayConfig {
    RelayConfig { threads: 4, ..config() }
}

fn channel_of(client: usize) -> u16 {
    FIRST_CHANNEL + client as u16
}

fn payload(from: usize, to: usize, number: u32) -> Vec<u8> {
    let mut payload = number.to_be_bytes().to_vec();
    payload.extend([from as u8, to as u8]);
    payload.resize(PAYLOAD_BYTES, number as u8);
    payload
}

/// Each of `present` sends a burst to two others, and receives two. The bursts are so short that the receive buffers of the relay
/// hold all of them.
async fn exchange(clients: &mut [Stranger], present: &[usize]) {
    const BURST: u32 = 16;
    let count = present.len();
    for distance in 1..=count / 2 {
        let peers = |at: usize| HashSet::from([present[(at + distance) % count], present[(at + count - distance) % count]]);
        for number in 0..BURST {
            for (at, from) in present.iter().enumerate() {
                for to in peers(at) {
                    clients[*from].send(channel_of(to), &payload(*from, to, number)).await;
                }
            }
        }
        for (at, to) in present.iter().enumerate() {
            let senders = peers(at);
            let mut next = [0; CLIENTS];
            for _ in 0..senders.len() * BURST as usize {
                let (channel, got) = clients[*to].receive().await;
                let from = usize::from(channel - FIRST_CHANNEL);
                assert!(senders.contains(&from), "{from} to {to}");
                assert_eq!(got, payload(from, *to, next[from]), "{from} to {to}: complete and in order");
                next[from] += 1;
            }
            assert!(senders.iter().all(|from| next[*from] == BURST));
        }
    }
}

/// Requirement 70.
#[tokio::test]
async fn bursts_between_all_pairs_of_clients_arrive_complete_and_in_order() {
    let (handle, mut clients) = agreed(&shards(), Arc::default(), |index| index % 3 == 2).await;
    let everybody: Vec<usize> = (0..CLIENTS).collect();
    exchange(&mut clients, &everybody).await;
    let lost = [DropCause::QueueFull, DropCause::NotContacted, DropCause::StreamFull].map(|cause| handle.stats().drops(cause));
    assert_eq!(lost, [0; 3]);
    assert_eq!(handle.stats().packets(TrafficDirection::ToPeer, Transport::Udp), 0, "no packet leaves the process");
    let between = |transport| handle.stats().packets(TrafficDirection::BetweenClients, transport);
    let bursts = CLIENTS * (CLIENTS - 1) * 16;
    until(|| (between(Transport::Udp) + between(Transport::Tcp)) as usize == bursts).await;
}

/// The inodes of the UDP sockets at `ip`, which only the relay of one test has.
fn sockets_at(ip: std::net::IpAddr) -> HashSet<String> {
    let std::net::IpAddr::V4(ip) = ip else { panic!("an IPv4 address") };
    let local = format!("{:08X}:", u32::from_ne_bytes(ip.octets()));
    let table = fs::read_to_string("/proc/self/net/udp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields[1].starts_with(&local)).map(|fields| fields[9].to_owned()).collect()
}

/// The descriptors of this process that are UDP sockets at `ip`.
fn descriptors_at(ip: std::net::IpAddr) -> usize {
    let sockets = sockets_at(ip);
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let inodes = links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()));
    inodes.filter(|inode| sockets.contains(inode)).count()
}

/// Requirement 70. Other tests of this process open descriptors too, so that only those at this relay's address are counted.
#[tokio::test]
async fn an_allocation_of_scope_clients_takes_no_descriptor() {
    let ip = own_ip();
    let handle = started(&RelayConfig { addr: (ip, 0).into(), ..shards() }, Arc::<Users>::default()).unwrap();
    let before = descriptors_at(ip);
    assert_eq!(before, 4, "each shard has the socket of its clients");
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(Stranger::over_udp(handle.listening()).await);
    }
    assert_eq!((handle.allocations(), descriptors_at(ip)), (50, before));
    assert!(clients.iter().all(|client| client.relayed.ip() == ip));
    // An allocation of scope anyone is seen by the same count.
    let _user = super::relay::allocated(&handle).await;
    assert_eq!(descriptors_at(ip), before + 1);
}

fn binding_request() -> Message {
    let mut message = Message::new();
    let kind = Box::new(MessageType::new(METHOD_BINDING, CLASS_REQUEST));
    message.build(&[Box::new(TransactionId::new()) as Box<dyn Setter>, kind]).unwrap();
    message
}

/// Requirement 70.
#[tokio::test]
async fn a_stalled_shard_loses_packets_beyond_a_bound_and_recovers() {
    const SENT: u32 = 640;
    const PAYLOAD: usize = 1200;
    /// What may wait of one relayed address.
    const MAX_SENDER_BYTES: usize = 256 << 10;
    let users = Arc::new(Users::default());
    let (handle, mut clients) = agreed(&shards(), Arc::clone(&users), |index| index == 0).await;
    users.hanging.store(true, Ordering::Relaxed);
    // UDP clients of a stalled shard are served by the shard of their sender; a stream has one owner.
    let Link::Tcp(connection) = &mut clients[0].link else { panic!("a client over UDP") };
    let hang = signed(METHOD_REFRESH, TransactionId::new(), "hang", "newest", &connection.nonce, vec![]);
    connection.write(&hang.raw).await;
    let stats = handle.stats_reader();
    until(|| !stats.stalled_shards().is_empty()).await;
    // A client that still gets an answer is on another shard.
    for client in &clients[1..] {
        client.udp().send_to(&binding_request().raw, client.relay).await.unwrap();
    }
    let answers = clients[1..].iter().map(|client| Box::pin(received(client.udp())));
    let sender = 1 + select_all(answers).await.1;
    let forwarded = || handle.stats().packets(TrafficDirection::BetweenClients, Transport::Tcp);
    assert_eq!(forwarded(), 0);
    let numbered = |number: u32| [&number.to_be_bytes()[..], &[0; PAYLOAD - 4]].concat();
    for number in 0..SENT {
        clients[sender].send(channel_of(0), &numbered(number)).await;
        // The answer comes after the shard has handled all that was sent before.
        if number % 16 == 15 {
            asked(clients[sender].udp(), clients[sender].relay, &binding_request()).await;
        }
    }
    let lost = handle.stats().drops(DropCause::QueueFull);
    let waiting = u64::from(SENT) - lost;
    assert!((100..=(MAX_SENDER_BYTES / PAYLOAD) as u64).contains(&waiting), "{waiting} packets wait, and {lost} are lost");
    assert_eq!(forwarded(), 0, "the shard is still stalled");
    users.hanging.store(false, Ordering::Relaxed);
    until(|| forwarded() == waiting).await;
    // The first ones are delivered, in order, after the answer to the request that stalled the shard.
    let Link::Tcp(connection) = &mut clients[0].link else { panic!("a client over UDP") };
    let refused = connection.read().await;
    assert_eq!(refused[..2], [0x01, 0x14], "an error response to Refresh");
    for number in 0..waiting as u32 {
        assert_eq!(clients[0].receive().await, (channel_of(sender), numbered(number)));
    }
    clients[sender].send(channel_of(0), &numbered(SENT)).await;
    assert_eq!(clients[0].receive().await, (channel_of(sender), numbered(SENT)), "it has room again");
    assert_eq!(handle.stats().drops(DropCause::QueueFull), lost);
}

/// Requirements 49 and 70.
#[tokio::test]
async fn a_panic_of_one_shard_leaves_the_clients_of_the_others() {
    let (handle, mut clients) = agreed(&shards(), Arc::default(), |_| false).await;
    let boom = clients[0].request_as("boom", METHOD_REFRESH, vec![]);
    clients[0].udp().send_to(&boom.raw, clients[0].relay).await.unwrap();
    until(|| handle.stats().panics == 1 && handle.allocations() < CLIENTS).await;
    let mut present = Vec::new();
    for (index, client) in clients.iter_mut().enumerate() {
        if client.refresh().await {
            present.push(index);
        }
    }
    assert_eq!(present.len(), handle.allocations());
    assert!((2..CLIENTS).contains(&present.len()) && !present.contains(&0), "{present:?}");
    exchange(&mut clients, &present).await;
    // The address of the client whose shard failed is gone.
    let denied = handle.stats().drops(DropCause::DeniedPeer);
    clients[present[0]].send(channel_of(0), b"to nobody").await;
    until(|| handle.stats().drops(DropCause::DeniedPeer) == denied + 1).await;
    // The shard serves again, and its new client and one of another shard reach each other.
    let mut again = Stranger::over_udp(handle.listening()).await;
    let survivor = &mut clients[present[0]];
    let channel = channel_of(CLIENTS);
    again.bind_channel(channel, survivor.relayed).await;
    survivor.bind_channel(channel, again.relayed).await;
    again.send(channel, b"here again").await;
    assert_eq!(survivor.receive().await, (channel, b"here again".to_vec()));
    assert_eq!(handle.stats().panics, 1);
}

/// Those of clients on one shard and on two, over UDP and TCP; one address is watched, which all clients have.
#[tokio::test]
async fn a_check_between_two_clients_is_noted_as_out_and_in_and_media_are_not() {
    let (handle, mut clients) = agreed(&shards(), Arc::default(), |index| index % 3 == 2).await;
    let watched = handle.watch().open(LOCALHOST, None);
    let mut check = Message::new();
    check
        .build(&[Box::new(TransactionId::new()) as Box<dyn Setter>, Box::new(MessageType::new(METHOD_BINDING, CLASS_REQUEST))])
        .unwrap();
    let everybody: Vec<usize> = (0..CLIENTS).collect();
    exchange(&mut clients, &everybody).await;
    for from in 0..CLIENTS {
        for to in 0..CLIENTS {
            clients[from].send(channel_of(to), &check.raw).await;
            assert_eq!(clients[to].receive().await, (channel_of(from), check.raw.clone()), "{from} to {to}");
        }
    }
    let count = (CLIENTS * CLIENTS) as u64;
    until(|| watched.witness().relayed_in == count).await;
    let seen = watched.witness();
    assert_eq!((seen.relayed_out, seen.relayed_in), (count, count));
    assert!(seen.last_relayed_in.is_some() && !seen.has_seen(), "{seen:?}");
}
