//! Clients that move (RFC 8016), and NAT behaviour discovery (RFC 5780), between several shards.

use std::net::SocketAddr;

use castway::config::{Discovery, RelayConfig};
use stun::agent::TransactionId;
use stun::attributes::{ATTR_CHANGE_REQUEST, ATTR_ERROR_CODE, ATTR_OTHER_ADDRESS, ATTR_RESPONSE_ORIGIN, AttrType};
use stun::message::{
    CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING, METHOD_CHANNEL_BIND, METHOD_REFRESH, Message, MessageType, Method, Setter,
};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use turn::proto::PROTO_UDP;
use turn::proto::channum::ChannelNumber;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::reqtrans::RequestedTransport;

use super::relay::{EVENT_TIMEOUT, LOCALHOST, allowing, asked, config, is_silent, nonce, own_ip, received, signed, start, until};
use super::relay_streams::{Connection, relayed_address};
use super::support::Attribute;

const MOBILITY_TICKET: AttrType = AttrType(0x8030);

fn mobile() -> RelayConfig {
    RelayConfig { mobility: true, threads: 4, ..allowing(&["127.0.0.0/8"]) }
}

fn ticket(value: &[u8]) -> Box<dyn Setter> {
    Box::new(Attribute(MOBILITY_TICKET, value.to_vec()))
}

fn allocate() -> Vec<Box<dyn Setter>> {
    vec![Box::new(RequestedTransport { protocol: PROTO_UDP }), ticket(&[])]
}

fn channel_to(peer: SocketAddr) -> Vec<Box<dyn Setter>> {
    vec![Box::new(ChannelNumber(0x4000)), Box::new(PeerAddress { ip: peer.ip(), port: peer.port() })]
}

/// Sends a request from a new socket, with a new nonce.
async fn ask(socket: &UdpSocket, relay: SocketAddr, method: Method, more: Vec<Box<dyn Setter>>) -> Message {
    let nonce = nonce(socket, relay).await;
    let answer = asked(socket, relay, &signed(method, TransactionId::new(), "tv", "newest", &nonce, more)).await;
    assert!(!answer.contains(ATTR_ERROR_CODE), "{method}: {answer}");
    answer
}

#[tokio::test]
async fn a_client_over_udp_moves_from_shard_to_shard() {
    let handle = start(&mobile());
    let relay = handle.listening();
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut client = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let answer = ask(&client, relay, METHOD_ALLOCATE, allocate()).await;
    let (relayed, mut held) = (relayed_address(&answer), answer.get(MOBILITY_TICKET).unwrap());
    ask(&client, relay, METHOD_CHANNEL_BIND, channel_to(peer.local_addr().unwrap())).await;
    // The kernel chooses the shard of each connection; the probability that all get the same one is less than 1 : 10⁷.
    for step in 0..12 {
        let next = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
        held = ask(&next, relay, METHOD_REFRESH, vec![ticket(&held)]).await.get(MOBILITY_TICKET).unwrap();
        next.send_to(b"\x40\0\0\x03out", relay).await.unwrap();
        assert_eq!(received(&peer).await, (b"out".to_vec(), relayed), "{step}");
        peer.send_to(b"in", relayed).await.unwrap();
        assert_eq!(received(&next).await.0, b"\x40\0\0\x02in", "{step}");
        client.send_to(b"\x40\0\0\x03old", relay).await.unwrap();
        assert!(is_silent(&peer).await, "{step}");
        client = next;
    }
    assert_eq!(handle.allocations(), 1);
}

#[tokio::test]
async fn a_client_over_tcp_moves_from_shard_to_shard() {
    let handle = start(&mobile());
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut client = Connection::open(handle.listening(), 10_000).await;
    client.challenged().await;
    let answer = client.ask_signed(METHOD_ALLOCATE, allocate()).await;
    let (relayed, mut held) = (relayed_address(&answer), answer.get(MOBILITY_TICKET).unwrap());
    client.ask_signed(METHOD_CHANNEL_BIND, channel_to(peer.local_addr().unwrap())).await;
    for step in 0..12 {
        let mut next = Connection::open(handle.listening(), 10_000).await;
        next.challenged().await;
        held = next.ask_signed(METHOD_REFRESH, vec![ticket(&held)]).await.get(MOBILITY_TICKET).unwrap();
        client = next;
        client.write(b"\x40\0\0\x03out\0").await;
        assert_eq!(received(&peer).await, (b"out".to_vec(), relayed), "{step}");
        peer.send_to(b"back", relayed).await.unwrap();
        assert_eq!(client.read().await, b"\x40\0\0\x04back", "{step}");
    }
    until(|| handle.stats().streams == 1).await;
    assert_eq!(handle.allocations(), 1);
}

/// When a shard restarts, the other shard forgets where its clients have moved.
#[tokio::test]
async fn a_shard_that_starts_again_tells_the_others_which_moves_ended() {
    let handle = start(&RelayConfig { threads: 2, addr: (own_ip(), 0).into(), ..mobile() });
    let relay = handle.listening();
    let client = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut held = ask(&client, relay, METHOD_ALLOCATE, allocate()).await.get(MOBILITY_TICKET).unwrap();
    // The other shard learns each new address of the client, and forgets the one before.
    let mut places = Vec::new();
    for _ in 0..3 {
        let next = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
        held = ask(&next, relay, METHOD_REFRESH, vec![ticket(&held)]).await.get(MOBILITY_TICKET).unwrap();
        places.push(next);
        until(|| handle.stats().moved == 1).await;
    }
    // Repeated until the shard with the allocation is the one that panics.
    while handle.allocations() > 0 {
        let (socket, before) = (UdpSocket::bind((LOCALHOST, 0)).await.unwrap(), handle.stats().panics);
        let nonce = nonce(&socket, relay).await;
        let boom = signed(METHOD_ALLOCATE, TransactionId::new(), "boom", "any", &nonce, allocate());
        socket.send_to(&boom.raw, relay).await.unwrap();
        until(|| handle.stats().panics > before).await;
    }
    until(|| handle.stats().moved == 0).await;
}

fn binding(flags: u8) -> Message {
    let mut request = Message::new();
    let change: Vec<Box<dyn Setter>> = vec![Box::new(Attribute(ATTR_CHANGE_REQUEST, vec![0, 0, 0, flags]))];
    let first: Vec<Box<dyn Setter>> =
        vec![Box::new(TransactionId::new()), Box::new(MessageType::new(METHOD_BINDING, CLASS_REQUEST))];
    request.build(&first.into_iter().chain(change.into_iter().filter(|_| flags != 0)).collect::<Vec<_>>()).unwrap();
    request
}

fn address(answer: &Message, kind: AttrType) -> Option<SocketAddr> {
    let value = answer.get(kind).ok()?;
    Some(([value[4], value[5], value[6], value[7]], u16::from_be_bytes([value[2], value[3]])).into())
}

/// The answer, and the address that it came from.
async fn discovered(relay: SocketAddr, flags: u8) -> (Message, SocketAddr) {
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    socket.send_to(&binding(flags).raw, relay).await.unwrap();
    let mut raw = vec![0; 1000];
    let (len, from) = timeout(EVENT_TIMEOUT, socket.recv_from(&mut raw)).await.unwrap().unwrap();
    raw.truncate(len);
    let mut answer = Message { raw, ..Message::new() };
    answer.decode().unwrap();
    (answer, from)
}

#[tokio::test]
async fn nat_discovery_answers_from_all_four_sockets() {
    let second = own_ip();
    let discovery = Some(Discovery { port: 0, second_ip: Some((second, second)) });
    let handle = start(&RelayConfig { discovery, threads: 3, ..config() });
    let first = handle.listening();
    let other = address(&discovered(first, 0).await.0, ATTR_OTHER_ADDRESS).unwrap();
    assert!(other.ip() == second && other.port() != first.port());
    for (flags, ip, port) in
        [(0, LOCALHOST, first.port()), (2, LOCALHOST, other.port()), (4, second, first.port()), (6, second, other.port())]
    {
        let (answer, from) = discovered(first, flags).await;
        assert_eq!((from, address(&answer, ATTR_RESPONSE_ORIGIN)), ((ip, port).into(), Some((ip, port).into())));
    }
    // Asks at the opposite address and port.
    let (answer, from) = discovered(other, 6).await;
    assert_eq!((from, address(&answer, ATTR_OTHER_ADDRESS)), (first, Some(first)));
}

#[tokio::test]
async fn with_one_address_on_a_wildcard_the_port_alone_changes() {
    let discovery = Some(Discovery { port: 0, second_ip: None });
    let handle = start(&RelayConfig { addr: "0.0.0.0:0".parse().unwrap(), discovery, ..config() });
    let relay = SocketAddr::from((LOCALHOST, handle.listening().port()));
    let (answer, from) = discovered(relay, 2).await;
    assert!(from.ip() == LOCALHOST && from.port() != relay.port());
    assert_eq!((address(&answer, ATTR_RESPONSE_ORIGIN), address(&answer, ATTR_OTHER_ADDRESS)), (Some(from), None));
    let (answer, from) = discovered(relay, 4).await;
    assert_eq!((answer.get(ATTR_ERROR_CODE).unwrap()[2..4].to_vec(), from), (vec![4, 20], relay));
    // The discovery port also serves TURN.
    let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let at = discovered(relay, 2).await.1;
    let answer = ask(&socket, at, METHOD_ALLOCATE, vec![Box::new(RequestedTransport { protocol: PROTO_UDP })]).await;
    assert!(relayed_address(&answer).port() >= 40_000);
}

/// `alternate_port` also serves TCP; a port for discovery only does not.
#[tokio::test]
async fn discovery_and_turn_share_the_second_port() {
    let discovery = Some(Discovery { port: 0, second_ip: None });
    for (alternate_port, at) in [(Some(0), own_ip()), (None, own_ip()), (Some(0), LOCALHOST)] {
        let handle = start(&RelayConfig { addr: (at, 0).into(), alternate_port, discovery, threads: 3, ..config() });
        let (answer, second) = discovered(handle.listening(), 2).await;
        assert_eq!(address(&answer, ATTR_RESPONSE_ORIGIN), Some(second));
        assert!(second.ip() == at && second.port() != handle.listening().port());
        assert_eq!(discovered(second, 2).await.1, handle.listening());
        let socket = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
        let answer = ask(&socket, second, METHOD_ALLOCATE, vec![Box::new(RequestedTransport { protocol: PROTO_UDP })]).await;
        assert!(relayed_address(&answer).port() >= 40_000);
        assert_eq!(handle.alternate_port(), alternate_port.map(|_| second.port()));
        if alternate_port.is_some() {
            assert!(Connection::open(second, 10_000).await.allocate().await.port() >= 40_000);
        } else {
            assert!(TcpStream::connect(second).await.is_err());
        }
    }
}

#[tokio::test]
async fn without_the_setting_a_change_is_unknown() {
    let handle = start(&config());
    let (answer, _) = discovered(handle.listening(), 2).await;
    assert_eq!(answer.get(ATTR_ERROR_CODE).unwrap()[2..4], [4, 20]);
    let (answer, _) = discovered(handle.listening(), 0).await;
    assert!(address(&answer, ATTR_RESPONSE_ORIGIN).is_none());
}
