//! The relay's clients over TCP, also byte by byte and slowly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use castway::config::RelayConfig;
use castway::limits::descriptors::DescriptorPools;
use castway::relay::stats::labels::{CloseReason, DropCause, TrafficDirection};
use castway::turn::Transport;
use stun::agent::TransactionId;
use stun::attributes::{ATTR_ERROR_CODE, ATTR_NONCE, ATTR_XOR_RELAYED_ADDRESS};
use stun::message::{
    CLASS_REQUEST, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION, METHOD_REFRESH, Message, MessageType, Method,
    Setter,
};
use stun::textattrs::TextAttribute;
use stun::xoraddr::XorMappedAddress;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use turn::proto::PROTO_UDP;
use turn::proto::channum::ChannelNumber;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::reqtrans::RequestedTransport;

use super::relay::{
    EVENT_TIMEOUT, LOCALHOST, Users, allocated, allowing, config, own_ip, received, signed, start, started_within, until,
};

/// A client's connection that writes `step` bytes at a time.
pub(crate) struct Connection<S = TcpStream> {
    pub(crate) stream: S,
    step: usize,
    pub(crate) nonce: String,
    username: String,
    password: String,
}

impl Connection {
    pub(crate) async fn open(relay: SocketAddr, step: usize) -> Self {
        let stream = TcpStream::connect(relay).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, step, "tv", "newest")
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn over(stream: S, step: usize, username: &str, password: &str) -> Self {
        Self { stream, step, nonce: String::new(), username: username.to_owned(), password: password.to_owned() }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.step) {
            self.stream.write_all(piece).await.unwrap();
            self.stream.flush().await.unwrap();
        }
    }

    /// The next message, including its padding.
    pub(crate) async fn read(&mut self) -> Vec<u8> {
        let mut message = vec![0; 4];
        timeout(EVENT_TIMEOUT, self.stream.read_exact(&mut message)).await.unwrap().unwrap();
        let len = usize::from(u16::from_be_bytes([message[2], message[3]]));
        let rest = if message[0] & 0xC0 == 0 { 16 + len } else { len.next_multiple_of(4) };
        message.resize(4 + rest, 0);
        timeout(EVENT_TIMEOUT, self.stream.read_exact(&mut message[4..])).await.unwrap().unwrap();
        message
    }

    pub(crate) async fn ask(&mut self, request: &Message) -> Message {
        self.write(&request.raw).await;
        let mut answer = Message { raw: self.read().await, ..Message::new() };
        answer.decode().unwrap();
        answer
    }

    pub(crate) fn signed(&self, method: Method, more: Vec<Box<dyn Setter>>) -> Message {
        signed(method, TransactionId::new(), &self.username, &self.password, &self.nonce, more)
    }

    pub(crate) async fn ask_signed(&mut self, method: Method, more: Vec<Box<dyn Setter>>) -> Message {
        let answer = self.ask(&self.signed(method, more)).await;
        assert!(!answer.contains(ATTR_ERROR_CODE), "{method}: {answer}");
        answer
    }

    pub(crate) async fn allocate(&mut self) -> SocketAddr {
        self.challenged().await;
        let answer = self.ask_signed(METHOD_ALLOCATE, vec![Box::new(RequestedTransport { protocol: PROTO_UDP })]).await;
        relayed_address(&answer)
    }

    /// Requests a nonce.
    pub(crate) async fn challenged(&mut self) {
        let mut bare = Message::new();
        let kind = Box::new(MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST));
        let transport = Box::new(RequestedTransport { protocol: PROTO_UDP });
        bare.build(&[Box::new(TransactionId::new()) as Box<dyn Setter>, kind, transport]).unwrap();
        let challenge = self.ask(&bare).await;
        self.nonce = TextAttribute::get_from_as(&challenge, ATTR_NONCE).unwrap().text;
    }

    pub(crate) async fn bind_channel(&mut self, peer: SocketAddr) {
        let channel = Box::new(ChannelNumber(0x4000));
        let peer = Box::new(PeerAddress { ip: peer.ip(), port: peer.port() });
        self.ask_signed(METHOD_CHANNEL_BIND, vec![channel, peer]).await;
    }
}

pub(crate) fn relayed_address(answer: &Message) -> SocketAddr {
    let mut relayed = XorMappedAddress::default();
    relayed.get_from_as(answer, ATTR_XOR_RELAYED_ADDRESS).unwrap();
    (relayed.ip, relayed.port).into()
}

pub(crate) fn channel_data(payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0x40, 0, (payload.len() >> 8) as u8, payload.len() as u8];
    message.extend(payload);
    message.resize(message.len().next_multiple_of(4), 0);
    message
}

/// Requirement 11.
#[tokio::test]
async fn messages_may_be_split_anywhere() {
    for step in [1, 3, 10_000] {
        let handle = start(&allowing(&["127.0.0.0/8"]));
        let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
        let mut client = Connection::open(handle.listening(), step).await;
        let relayed = client.allocate().await;
        let at = peer.local_addr().unwrap();
        client.ask_signed(METHOD_CREATE_PERMISSION, vec![Box::new(PeerAddress { ip: at.ip(), port: 0 })]).await;
        client.bind_channel(at).await;
        for len in [0, 1, 5, 1200, 4001] {
            let payload: Vec<u8> = (0..len).map(|index| index as u8).collect();
            client.write(&channel_data(&payload)).await;
            let mut buffer = [0; 8192];
            let (got, from) = timeout(EVENT_TIMEOUT, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
            assert_eq!((&buffer[..got], from), (&payload[..], relayed), "{step} {len}");
            peer.send_to(&payload, relayed).await.unwrap();
            assert_eq!(client.read().await, channel_data(&payload), "{step} {len}");
        }
        until(|| {
            (
                handle.stats().packets(TrafficDirection::ToPeer, Transport::Tcp),
                handle.stats().packets(TrafficDirection::ToClient, Transport::Tcp),
                handle.stats().streams,
            ) == (5, 5, 1)
        })
        .await;
        // The allocation ends with its connection.
        drop(client);
        until(|| handle.allocations() == 0 && handle.stats().streams == 0).await;
        handle.stop(Duration::ZERO).await;
    }
}

/// The message follows immediately after the Allocate, and its first bytes arrive alone, so the relay has to keep them.
#[tokio::test]
async fn a_long_message_may_come_in_pieces_from_whoever_has_an_allocation() {
    let handle = start(&RelayConfig { threads: 1, ..allowing(&["127.0.0.0/8"]) });
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut client = Connection::open(handle.listening(), usize::MAX).await;
    let mut stranger = Connection::open(handle.listening(), usize::MAX).await;
    client.allocate().await;
    client.bind_channel(peer.local_addr().unwrap()).await;
    let message = channel_data(&[7; 20_000]);
    let (beginning, rest) = message.split_at(5000);
    client.write(beginning).await;
    // The only thread answers this request after it has read the first bytes.
    stranger.challenged().await;
    client.write(rest).await;
    let mut buffer = vec![0; 30_000];
    let (len, _) = timeout(EVENT_TIMEOUT, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert!(buffer[..len] == message[4..]);
    // A client without an allocation is disconnected.
    stranger.write(beginning).await;
    until(|| handle.stats().closes(CloseReason::Garbage) == 1).await;
}

#[tokio::test]
async fn what_is_too_long_for_udp_is_dropped_under_its_name() {
    let handle = start(&allowing(&["127.0.0.0/8"]));
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut client = Connection::open(handle.listening(), 10_000).await;
    client.allocate().await;
    client.bind_channel(peer.local_addr().unwrap()).await;
    client.write(&channel_data(&[7; 65_520])).await;
    until(|| handle.stats().drops(DropCause::UnsentTooLong) == 1).await;
    client.write(&channel_data(b"short")).await;
    assert_eq!(received(&peer).await.0, b"short");
}

#[tokio::test]
async fn a_client_over_tcp_and_one_over_udp_talk_and_a_refresh_of_zero_ends_it() {
    let handle = start(&RelayConfig { threads: 1, ..config() });
    let mut tcp = Connection::open(handle.listening(), 7).await;
    let at_tcp = tcp.allocate().await;
    let (_client, udp) = allocated(&handle).await;
    use webrtc_util::Conn as _;
    let at_udp = udp.local_addr().unwrap();
    tcp.bind_channel(at_udp).await;
    udp.send_to(b"to tcp", at_tcp).await.unwrap();
    assert_eq!(tcp.read().await, channel_data(b"to tcp"));
    tcp.write(&channel_data(b"to udp")).await;
    assert_eq!(received(&udp).await, (b"to udp".to_vec(), at_tcp));
    tcp.ask_signed(METHOD_REFRESH, vec![Box::new(turn::proto::lifetime::Lifetime(Duration::ZERO))]).await;
    assert_eq!(handle.allocations(), 1);
}

#[tokio::test]
async fn without_udp_there_is_tcp() {
    let handle = start(&RelayConfig { udp: false, addr: (own_ip(), 0).into(), ..config() });
    assert!(!handle.has_udp() && handle.has_tcp());
    UdpSocket::bind(handle.listening()).await.unwrap();
    assert!(Connection::open(handle.listening(), 100).await.allocate().await.port() >= 40_000);
    let handle = start(&RelayConfig { tcp: false, addr: (own_ip(), 0).into(), ..config() });
    assert!(handle.has_udp() && !handle.has_tcp());
    assert!(TcpStream::connect(handle.listening()).await.is_err());
}

#[tokio::test]
async fn another_protocol_is_closed_at_once() {
    let handle = start(&config());
    // Half of the letters are also valid first bytes of ChannelData.
    for (greeting, count) in
        ["POST / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH\r\n", "zz"].into_iter().zip(1..)
    {
        let mut stream = TcpStream::connect(handle.listening()).await.unwrap();
        stream.write_all(greeting.as_bytes()).await.unwrap();
        assert_eq!(timeout(EVENT_TIMEOUT, stream.read(&mut [0; 16])).await.unwrap().unwrap_or(0), 0, "{greeting}");
        until(|| handle.stats().closes(CloseReason::Garbage) == count).await;
    }
}

/// Requirement 45.
#[tokio::test]
async fn a_client_that_does_not_read_loses_media_and_then_its_connection() {
    let handle = start(&allowing(&["127.0.0.0/8"]));
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut client = Connection::open(handle.listening(), 10_000).await;
    let relayed = client.allocate().await;
    client.bind_channel(peer.local_addr().unwrap()).await;
    let flood = timeout(EVENT_TIMEOUT, async {
        while handle.stats().drops(DropCause::StreamFull) < 100 {
            for _ in 0..50 {
                peer.send_to(&[7; 1200], relayed).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    flood.await.unwrap();
    // Other clients are not affected.
    let (_other, _relayed) = allocated(&handle).await;
    until(|| handle.stats().closes(CloseReason::Slow) > 0 && handle.allocations() == 1).await;
}

/// Requirement 46.
#[tokio::test]
async fn connections_that_prove_nothing_are_few_and_short() {
    let shares = DescriptorPools::divide(1024, 0, 2, 1000);
    let handle = started_within(&config(), Arc::new(Users::default()), &shares).unwrap();
    // Half of the pool is for connections without an allocation, and one address may have a quarter of that half, or 64 if that
    // is more.
    let most = (shares.turn_clients.most() / 2 / 4).max(64);
    let mut held = Vec::new();
    for _ in 0..most + 8 {
        held.push(TcpStream::connect(handle.listening()).await.unwrap());
    }
    // The newest connections have displaced the oldest.
    until(|| handle.stats().closes(CloseReason::Displaced) == 8 && handle.stats().streams == most as u64).await;
    let mut last = held.pop().unwrap();
    last.write_all(&[0]).await.unwrap();
    until(|| handle.stats().streams == 0 && handle.stats().closes(CloseReason::Deadline) == most as u64).await;
    assert_eq!(shares.turn_clients.taken(), 0);
    assert!(Connection::open(handle.listening(), 100).await.allocate().await.port() >= 40_000);
}

/// Both the clients and the silent connections are behind one address.
#[tokio::test]
async fn many_clients_of_one_address_allocate_at_once_beside_silent_connections() {
    let handle = start(&config());
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(handle.listening()).await.unwrap());
    }
    let relay = handle.listening();
    let local = tokio::task::LocalSet::new();
    let honest: Vec<_> = (0..60)
        .map(|_| {
            local.spawn_local(async move {
                let mut client = Connection::open(relay, usize::MAX).await;
                client.allocate().await;
                client
            })
        })
        .collect();
    local.await;
    let mut clients = Vec::new();
    for client in honest {
        clients.push(client.await.unwrap());
    }
    assert_eq!(handle.allocations(), 60);
    // A connection with an allocation no longer counts, so the same number of silent ones fits again.
    silent.clear();
    until(|| handle.stats().streams == 60).await;
    for _ in 0..256 {
        silent.push(TcpStream::connect(relay).await.unwrap());
    }
    until(|| handle.stats().streams == 60 + 256).await;
}
