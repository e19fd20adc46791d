//! Relaying to real TCP peers (RFC 6062; requirement 34).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use castway::config::{RelayConfig, Settings};
use castway::relay::Relay;
use castway::relay::stats::labels::TrafficDirection;
use castway::turn::Transport;
use stun::attributes::{ATTR_ERROR_CODE, AttrType};
use stun::message::{
    METHOD_ALLOCATE, METHOD_CONNECT, METHOD_CONNECTION_ATTEMPT, METHOD_CONNECTION_BIND, METHOD_CREATE_PERMISSION, Message,
    Method, Setter,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use turn::proto::peeraddr::PeerAddress;

use super::port::{connector, own, settings, some, tls, turn};
use super::relay::{EVENT_TIMEOUT, LOCALHOST, SILENCE_DURATION, allowing, own_ip, start, until};
use super::relay_streams::{Connection, relayed_address};
use super::support::{Attribute, Server};

const CONNECTION_ID: AttrType = AttrType(0x002A);

fn tcp_transport() -> Vec<Box<dyn Setter>> {
    vec![Box::new(Attribute(AttrType(0x0019), vec![6, 0, 0, 0]))]
}

fn with_tcp() -> RelayConfig {
    RelayConfig { tcp_relay: true, ..allowing(&["127.0.0.0/8"]) }
}

fn peer_address(peer: SocketAddr) -> Vec<Box<dyn Setter>> {
    vec![Box::new(PeerAddress { ip: peer.ip(), port: peer.port() })]
}

/// A connection, encrypted or not.
trait Bytes: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Bytes for S {}

/// A client with a TCP allocation, and its relayed transport address.
async fn allocated(relay: SocketAddr) -> (Connection, SocketAddr) {
    let mut control = Connection::open(relay, 10_000).await;
    let relayed = allocate(&mut control).await;
    (control, relayed)
}

async fn allocate(control: &mut Connection<impl Bytes>) -> SocketAddr {
    control.challenged().await;
    relayed_address(&control.ask_signed(METHOD_ALLOCATE, tcp_transport()).await)
}

async fn refused(connection: &mut Connection<impl Bytes>, method: Method, more: Vec<Box<dyn Setter>>) -> (u8, u8) {
    let error = connection.ask(&connection.signed(method, more)).await.get(ATTR_ERROR_CODE).unwrap();
    (error[2], error[3])
}

async fn connect(control: &mut Connection<impl Bytes>, peer: SocketAddr) -> Vec<u8> {
    control.ask_signed(METHOD_CONNECT, peer_address(peer)).await.get(CONNECTION_ID).unwrap()
}

/// A client's data connection. `early` is sent together with the request.
async fn bound(relay: SocketAddr, id: &[u8], early: &[u8]) -> TcpStream {
    bind(Connection::open(relay, usize::MAX).await, id, early).await
}

async fn bind<S: Bytes>(mut data: Connection<S>, id: &[u8], early: &[u8]) -> S {
    data.challenged().await;
    let id: Vec<Box<dyn Setter>> = vec![Box::new(Attribute(CONNECTION_ID, id.to_vec()))];
    let mut request = data.signed(METHOD_CONNECTION_BIND, id);
    request.raw.extend(early);
    let answer = data.ask(&request).await;
    assert!(!answer.contains(ATTR_ERROR_CODE), "{answer}");
    data.stream
}

/// A spliced pair: the client's end and the peer's.
async fn spliced(handle: &Relay, control: &mut Connection) -> (TcpStream, TcpStream) {
    let server = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let id = connect(control, server.local_addr().unwrap()).await;
    let (peer, _) = timeout(EVENT_TIMEOUT, server.accept()).await.unwrap().unwrap();
    (bound(handle.listening(), &id, &[]).await, peer)
}

/// Bytes in which any change of order is visible.
fn pattern() -> Vec<u8> {
    (0..65_521_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

async fn write_pattern(stream: &mut (impl AsyncWriteExt + Unpin), times: usize) {
    let pattern = pattern();
    for _ in 0..times {
        stream.write_all(&pattern).await.unwrap();
    }
    stream.shutdown().await.unwrap();
}

/// Reads to the end, and checks the pattern.
async fn read_pattern(stream: &mut (impl AsyncReadExt + Unpin), times: usize) {
    let (pattern, mut piece) = (pattern(), vec![0; 65_521]);
    for time in 0..times {
        timeout(EVENT_TIMEOUT, stream.read_exact(&mut piece)).await.unwrap().unwrap();
        assert!(piece == pattern, "piece {time}");
    }
    assert_eq!(timeout(EVENT_TIMEOUT, stream.read(&mut piece)).await.unwrap().unwrap(), 0, "the end");
}

#[tokio::test]
async fn tcp_relays_are_off_unless_set() {
    let handle = start(&allowing(&["127.0.0.0/8"]));
    let mut control = Connection::open(handle.listening(), 10_000).await;
    control.challenged().await;
    assert_eq!(refused(&mut control, METHOD_ALLOCATE, tcp_transport()).await, (4, 42));
}

#[tokio::test]
async fn a_connection_carries_megabytes_both_ways_and_ends_in_order() {
    let handle = start(&with_tcp());
    let (mut control, relayed) = allocated(handle.listening()).await;
    let server = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
    let id = connect(&mut control, server.local_addr().unwrap()).await;
    let (mut peer, from) = timeout(EVENT_TIMEOUT, server.accept()).await.unwrap().unwrap();
    assert_eq!(from, relayed, "from the relayed transport address itself");
    // Bytes that each side sends before the splice arrive after it.
    peer.write_all(b"early peer").await.unwrap();
    let mut client = bound(handle.listening(), &id, b"early client").await;
    let mut early = [0; 12];
    timeout(EVENT_TIMEOUT, peer.read_exact(&mut early)).await.unwrap().unwrap();
    assert_eq!(&early, b"early client");
    timeout(EVENT_TIMEOUT, client.read_exact(&mut early[..10])).await.unwrap().unwrap();
    assert_eq!(&early[..10], b"early peer");

    let ((mut from_client, mut to_client), (mut from_peer, mut to_peer)) = (client.split(), peer.split());
    // Each side ends its own direction, and still receives the other's last byte.
    tokio::join!(
        write_pattern(&mut to_client, 200),
        write_pattern(&mut to_peer, 300),
        read_pattern(&mut from_client, 300),
        read_pattern(&mut from_peer, 200),
    );
    let bytes = || {
        [TrafficDirection::ToPeer, TrafficDirection::ToClient].map(|direction| handle.stats().bytes(direction, Transport::Tcp))
    };
    until(|| handle.stats().connections == 0 && bytes() == [200 * 65_521 + 12, 300 * 65_521 + 10]).await;
    assert_eq!(handle.allocations(), 1);
}

async fn opened(addr: SocketAddr, secure: Option<&TlsConnector>) -> Box<dyn Bytes> {
    match secure {
        Some(connector) => Box::new(tls(addr, connector).await),
        None => Box::new(TcpStream::connect(addr).await.unwrap()),
    }
}

/// The client chooses TLS or TCP for the control connection and for each data connection.
#[tokio::test]
async fn connections_are_carried_over_tls() {
    let server = Server::start(Settings { no_tcp_relay: some("false"), ..settings() }).await;
    let connector = connector(&own(&server), &[]);
    for (control, data) in [(true, true), (true, false), (false, true)] {
        let mut control = turn(opened(server.https, control.then_some(&connector)).await, 10_000);
        let relayed = allocate(&mut control).await;
        for _ in 0..4 {
            let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
            let id = connect(&mut control, listener.local_addr().unwrap()).await;
            let (mut peer, from) = timeout(EVENT_TIMEOUT, listener.accept()).await.unwrap().unwrap();
            assert_eq!(from, relayed);
            peer.write_all(b"early peer").await.unwrap();
            // The early bytes are in the same TLS record as the request.
            let client =
                bind(turn(opened(server.https, data.then_some(&connector)).await, usize::MAX), &id, b"early client").await;
            let (mut from_client, mut to_client) = tokio::io::split(client);
            let mut early = [0; 12];
            timeout(EVENT_TIMEOUT, peer.read_exact(&mut early)).await.unwrap().unwrap();
            assert_eq!(&early, b"early client");
            timeout(EVENT_TIMEOUT, from_client.read_exact(&mut early[..10])).await.unwrap().unwrap();
            assert_eq!(&early[..10], b"early peer");
            let (mut from_peer, mut to_peer) = peer.split();
            tokio::join!(
                write_pattern(&mut to_client, 30),
                write_pattern(&mut to_peer, 40),
                read_pattern(&mut from_client, 40),
                read_pattern(&mut from_peer, 30),
            );
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_slow_reader_holds_up_its_sender_and_loses_nothing() {
    let handle = start(&with_tcp());
    let (mut control, _) = allocated(handle.listening()).await;
    let (mut client, mut peer) = spliced(&handle, &mut control).await;
    let times = 1500;
    let sending = tokio::spawn(async move { write_pattern(&mut peer, times).await });
    let mut before = 0;
    let stalled = timeout(EVENT_TIMEOUT, async {
        loop {
            tokio::time::sleep(SILENCE_DURATION).await;
            let now = handle.stats().bytes(TrafficDirection::ToClient, Transport::Tcp);
            if std::mem::replace(&mut before, now) == now && now > 0 {
                return now;
            }
        }
    });
    // At most the kernel's buffers and one read of ours.
    let stalled = stalled.await.unwrap();
    assert!(stalled < 32 << 20, "{stalled}");
    // Another connection of the same allocation is not affected.
    let (mut other, mut other_peer) = spliced(&handle, &mut control).await;
    tokio::join!(write_pattern(&mut other, 3), read_pattern(&mut other_peer, 3));
    read_pattern(&mut client, times).await;
    sending.await.unwrap();
}

#[tokio::test]
async fn data_connections_find_the_shard_of_their_allocation() {
    let handle = start(&RelayConfig { threads: 4, max_connections: 40, ..with_tcp() });
    let (mut control, _) = allocated(handle.listening()).await;
    let mut pairs = Vec::new();
    // The kernel chooses their shards; the probability that all get the same one is less than 1 : 10¹⁸.
    for _ in 0..30 {
        pairs.push(spliced(&handle, &mut control).await);
    }
    until(|| handle.stats().connections == 30 && handle.stats().streams == 1).await;
    for (client, peer) in &mut pairs {
        tokio::join!(write_pattern(client, 1), read_pattern(peer, 1));
        tokio::join!(write_pattern(peer, 1), read_pattern(client, 1));
    }
    until(|| handle.stats().connections == 0).await;
}

#[tokio::test]
async fn a_peer_connects_where_it_is_permitted() {
    let handle = start(&RelayConfig { addr: (own_ip(), 0).into(), ..with_tcp() });
    let (mut control, relayed) = allocated(handle.listening()).await;
    let stranger = TcpSocket::new_v4().unwrap();
    stranger.bind("127.0.0.3:0".parse().unwrap()).unwrap();
    let mut stranger = stranger.connect(relayed).await.unwrap();
    assert_eq!(timeout(EVENT_TIMEOUT, stranger.read(&mut [0; 8])).await.unwrap().unwrap_or(0), 0, "closed");
    until(|| handle.stats().refused_peers == 1).await;

    control.ask_signed(METHOD_CREATE_PERMISSION, peer_address((IpAddr::from([127, 0, 0, 2]), 9).into())).await;
    let peer = TcpSocket::new_v4().unwrap();
    peer.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut peer = peer.connect(relayed).await.unwrap();
    peer.write_all(b"hello").await.unwrap();
    let mut attempt = Message { raw: control.read().await, ..Message::new() };
    attempt.decode().unwrap();
    assert_eq!(attempt.typ.method, METHOD_CONNECTION_ATTEMPT);
    let mut client = bound(handle.listening(), &attempt.get(CONNECTION_ID).unwrap(), &[]).await;
    let mut hello = [0; 5];
    timeout(EVENT_TIMEOUT, client.read_exact(&mut hello)).await.unwrap().unwrap();
    assert_eq!(&hello, b"hello");
    // The connections end with their allocation.
    drop(control);
    for stream in [&mut client, &mut peer] {
        assert_eq!(timeout(EVENT_TIMEOUT, stream.read(&mut hello)).await.unwrap().unwrap_or(0), 0);
    }
    until(|| handle.stats().connections == 0 && handle.allocations() == 0).await;
    assert!(TcpStream::connect(relayed).await.is_err());
}

#[tokio::test]
async fn what_can_not_be_connected_is_said() {
    let handle = start(&RelayConfig { max_connections: 1, ..with_tcp() });
    let (mut control, _) = allocated(handle.listening()).await;
    let closed = SocketAddr::from((own_ip(), 9));
    assert_eq!(refused(&mut control, METHOD_CONNECT, peer_address(closed)).await, (4, 47));
    for denied in ["10.0.0.1:80".parse().unwrap(), handle.listening()] {
        assert_eq!(refused(&mut control, METHOD_CONNECT, peer_address(denied)).await, (4, 3), "{denied}");
    }
    let (_client, peer) = spliced(&handle, &mut control).await;
    let again = peer.local_addr().unwrap();
    assert_eq!(refused(&mut control, METHOD_CONNECT, peer_address(again)).await, (4, 46), "there already");
    assert_eq!(refused(&mut control, METHOD_CONNECT, peer_address(closed)).await, (5, 8), "the limit");
    // No connection has one of these ids.
    let mut data = Connection::open(handle.listening(), 10_000).await;
    data.challenged().await;
    for id in [vec![0, 1, 2, 3], vec![1, 1, 2, 3], vec![2, 1, 2, 3], vec![255; 4]] {
        let id: Vec<Box<dyn Setter>> = vec![Box::new(Attribute(CONNECTION_ID, id))];
        assert_eq!(refused(&mut data, METHOD_CONNECTION_BIND, id).await, (4, 0));
    }
}

/// Requirement 44.
#[tokio::test]
async fn the_bandwidth_of_an_allocation_holds_for_its_connections() {
    let handle = start(&RelayConfig { max_bps: Some(100_000), ..with_tcp() });
    let (mut control, _) = allocated(handle.listening()).await;
    let (mut client, mut peer) = spliced(&handle, &mut control).await;
    let began = Instant::now();
    tokio::join!(write_pattern(&mut client, 5), read_pattern(&mut peer, 5));
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Requirement 44.
#[tokio::test]
async fn new_connections_bring_no_bandwidth_of_their_own() {
    let rate = 100_000;
    let handle = start(&RelayConfig { max_bps: Some(rate), ..with_tcp() });
    let (mut control, _) = allocated(handle.listening()).await;
    let began = Instant::now();
    let mut pairs = Vec::new();
    for _ in 0..12 {
        let (client, peer) = spliced(&handle, &mut control).await;
        // Each stream is filled until it accepts no more.
        for stream in [&client, &peer] {
            while stream.writable().await.is_ok() && stream.try_write(&[0; 65_536]).is_ok() {}
        }
        pairs.push((client, peer));
    }
    let bytes = || {
        let stats = handle.stats();
        [TrafficDirection::ToPeer, TrafficDirection::ToClient].map(|direction| stats.bytes(direction, Transport::Tcp))
    };
    until(|| bytes().iter().all(|bytes| *bytes > 100_000)).await;
    let bytes = bytes();
    // A burst of one second, and one read beyond it.
    let most = rate as f64 * (began.elapsed().as_secs_f64() + 1.0) + 65_536.0;
    assert!((bytes[0].max(bytes[1]) as f64) < most, "{bytes:?}, {most}");
}
