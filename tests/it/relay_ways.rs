//! The ways in which the relay sends and receives packets: IPv6, and trains.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use castway::config::RelayConfig;
use castway::relay::io::inbox::Inbox;
use castway::relay::io::outbox::Outbox;
use castway::relay::io::packet_route::PacketRoute;
use castway::relay::io::udp::BatchUdpSocket;
use castway::relay::io::udp_types::UdpOptions;
use castway::relay::stats::labels::TrafficDirection;
use castway::turn::Transport;
use stun::agent::TransactionId;
use stun::attributes::{ATTR_ERROR_CODE, ATTR_XOR_RELAYED_ADDRESS, AttrType};
use stun::message::{METHOD_ALLOCATE, METHOD_CHANNEL_BIND, Message, Setter};
use stun::xoraddr::XorMappedAddress;
use tokio::net::UdpSocket;
use turn::proto::PROTO_UDP;
use turn::proto::channum::ChannelNumber;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::reqtrans::RequestedTransport;

use super::relay::{allowing, asked, nonce, received, signed, start, until};

/// The attribute REQUESTED-ADDRESS-FAMILY with IPv6.
struct RequestedIpv6;

impl Setter for RequestedIpv6 {
    fn add_to(&self, message: &mut Message) -> Result<(), stun::Error> {
        message.add(AttrType(0x0017), &[2, 0, 0, 0]);
        Ok(())
    }
}

/// Allocates, binds channel 0x4000 to `peer` and returns the relayed address.
async fn bound(socket: &UdpSocket, relay: SocketAddr, peer: SocketAddr) -> SocketAddr {
    let nonce = nonce(socket, relay).await;
    let mut wish: Vec<Box<dyn Setter>> = vec![Box::new(RequestedTransport { protocol: PROTO_UDP })];
    if peer.is_ipv6() {
        wish.push(Box::new(RequestedIpv6));
    }
    let allocate = signed(METHOD_ALLOCATE, TransactionId::new(), "tv", "newest", &nonce, wish);
    let answer = asked(socket, relay, &allocate).await;
    assert!(!answer.contains(ATTR_ERROR_CODE), "{answer}");
    let mut relayed = XorMappedAddress::default();
    relayed.get_from_as(&answer, ATTR_XOR_RELAYED_ADDRESS).unwrap();
    let channel: Vec<Box<dyn Setter>> =
        vec![Box::new(ChannelNumber(0x4000)), Box::new(PeerAddress { ip: peer.ip(), port: peer.port() })];
    let answer = asked(socket, relay, &signed(METHOD_CHANNEL_BIND, TransactionId::new(), "tv", "newest", &nonce, channel)).await;
    assert!(!answer.contains(ATTR_ERROR_CODE), "{answer}");
    (relayed.ip, relayed.port).into()
}

#[tokio::test]
async fn ipv6_is_relayed_to_ipv6() {
    let config = RelayConfig { addr: "[::1]:0".parse().unwrap(), ..allowing(&["::1/128"]) };
    // Skipped on a machine without IPv6.
    let Ok(peer) = UdpSocket::bind("[::1]:0").await else { return };
    let handle = start(&config);
    let client = UdpSocket::bind("[::1]:0").await.unwrap();
    let relayed = bound(&client, handle.listening(), peer.local_addr().unwrap()).await;
    assert!(relayed.is_ipv6());
    client.send_to(b"\x40\0\0\x03out", handle.listening()).await.unwrap();
    assert_eq!(received(&peer).await, (b"out".to_vec(), relayed));
    peer.send_to(b"in", relayed).await.unwrap();
    assert_eq!(received(&client).await.0, b"\x40\0\0\x02in");
}

#[tokio::test]
async fn both_families_are_relayed_where_both_are_given() {
    let relay_ips = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    let Ok(peer) = UdpSocket::bind("[::1]:0").await else { return };
    let handle = start(&RelayConfig { relay_ips, ..allowing(&["::1/128", "127.0.0.0/8"]) });
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let relayed = bound(&client, handle.listening(), peer.local_addr().unwrap()).await;
    assert!(relayed.is_ipv6());
    peer.send_to(b"in", relayed).await.unwrap();
    assert_eq!(received(&client).await.0, b"\x40\0\0\x02in");
}

/// One socket as two types: one that sends trains, and one that tokio waits for.
fn socket() -> (BatchUdpSocket, UdpSocket) {
    let options = UdpOptions { gro: false, icmp_errors: false, ..UdpOptions::relayed() };
    let batched = BatchUdpSocket::bind("127.0.0.1:0".parse().unwrap(), &options).unwrap();
    let same = std::net::UdpSocket::from(batched.as_fd().try_clone_to_owned().unwrap());
    (batched, UdpSocket::from_std(same).unwrap())
}

fn send_train(socket: &BatchUdpSocket, to: SocketAddr, packets: impl Iterator<Item = Vec<u8>>) {
    let mut outbox = Outbox::new();
    let route = PacketRoute { socket: 0, to, from: None, dont_fragment: false };
    packets.for_each(|packet| outbox.push_bytes(route, &packet));
    let sent = outbox.flush(&Inbox::with_slots(1), |_| Some(socket), |failure| panic!("{failure:?}"));
    assert_eq!((sent.packets, sent.calls), (40, 1));
}

/// Requirement 15: trains of GSO and GRO, in both directions.
#[tokio::test]
async fn trains_pass_unchanged_and_in_order() {
    let handle = start(&allowing(&["127.0.0.0/8"]));
    let ((client_trains, client), (peer_trains, peer)) = (socket(), socket());
    let relayed = bound(&client, handle.listening(), peer.local_addr().unwrap()).await;
    let payload = |index: usize| -> Vec<u8> { (0..1200).map(|at| (at * 7 + index * 13) as u8).collect() };
    for round in 0..5 {
        let framed = (0..40).map(|index| [&[0x40, 0, 4, 176], &payload(index)[..]].concat());
        send_train(&client_trains, handle.listening(), framed);
        for index in 0..40 {
            assert!(received(&peer).await == (payload(index), relayed), "round {round}: {index}");
        }
        send_train(&peer_trains, relayed, (0..40).map(payload));
        for index in 0..40 {
            assert!(received(&client).await.0[4..] == payload(index), "round {round}: {index}");
        }
    }
    until(|| {
        (
            handle.stats().packets(TrafficDirection::ToPeer, Transport::Udp),
            handle.stats().bytes(TrafficDirection::ToClient, Transport::Udp),
        ) == (200, 200 * 1200)
    })
    .await;
    // One call for each train, and a few for answers.
    assert!(handle.stats().send_calls < 30, "{:?}", handle.stats());
}
