//! How many system calls the relay makes for clients over TCP.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use castway::config::RelayConfig;
use castway::relay::io::inbox::Inbox;
use castway::relay::io::outbox::Outbox;
use castway::relay::io::packet_route::PacketRoute;
use castway::relay::io::udp::BatchUdpSocket;
use castway::relay::io::udp_types::UdpOptions;
use stun::agent::TransactionId;
use stun::message::{METHOD_CREATE_PERMISSION, METHOD_REFRESH};
use tokio::net::UdpSocket;
use turn::proto::peeraddr::PeerAddress;

use super::relay::{LOCALHOST, Users, allowing, received, signed, start, started, until};
use super::relay_streams::{Connection, channel_data};

fn one_shard() -> RelayConfig {
    RelayConfig { threads: 1, ..allowing(&["127.0.0.0/8"]) }
}

#[tokio::test]
async fn packets_that_come_together_go_to_a_client_in_one_write_and_those_of_one_read_in_one_train() {
    const PACKETS: u64 = 40;
    let handle = start(&one_shard());
    let options = UdpOptions { gro: false, icmp_errors: false, ..UdpOptions::relayed() };
    let trains = BatchUdpSocket::bind(SocketAddr::new(LOCALHOST, 0), &options).unwrap();
    let peer = std::net::UdpSocket::from(trains.as_fd().try_clone_to_owned().unwrap());
    let peer = UdpSocket::from_std(peer).unwrap();
    let mut client = Connection::open(handle.listening(), usize::MAX).await;
    let relayed = client.allocate().await;
    client.bind_channel(peer.local_addr().unwrap()).await;
    // Three answers.
    until(|| handle.stats().stream_writes == 3).await;

    let payload = |number: u64| vec![number as u8; 1200];
    let mut outbox = Outbox::new();
    let route = PacketRoute { socket: 0, to: relayed, from: None, dont_fragment: false };
    (0..PACKETS).for_each(|number| outbox.push_bytes(route, &payload(number)));
    outbox.flush(&Inbox::with_slots(1), |_| Some(&trains), |failure| panic!("{failure:?}"));
    for number in 0..PACKETS {
        assert!(client.read().await == channel_data(&payload(number)), "{number}");
    }
    until(|| handle.stats().stream_writes == 4).await;

    let calls = handle.stats().send_calls;
    client.write(&(0..PACKETS).flat_map(|number| channel_data(&payload(number))).collect::<Vec<_>>()).await;
    for number in 0..PACKETS {
        assert!(received(&peer).await.0 == payload(number), "{number}");
    }
    // The relay may have begun to read before everything was there.
    until(|| (1..=4).contains(&(handle.stats().send_calls - calls))).await;
}

/// A peer and another client send while the shard hangs, so that both are ready in its next turn.
#[tokio::test]
async fn a_turn_writes_once_to_a_client_whatever_its_packets_come_from() {
    let users = Arc::new(Users::default());
    let handle = started(&one_shard(), Arc::clone(&users) as _).unwrap();
    let peer = UdpSocket::bind((LOCALHOST, 0)).await.unwrap();
    let mut receiver = Connection::open(handle.listening(), usize::MAX).await;
    let mut sender = Connection::open(handle.listening(), usize::MAX).await;
    let (to, from) = (receiver.allocate().await, sender.allocate().await);
    receiver.bind_channel(from).await;
    sender.bind_channel(to).await;
    let permitted = Box::new(PeerAddress { ip: peer.local_addr().unwrap().ip(), port: 0 });
    receiver.ask_signed(METHOD_CREATE_PERMISSION, vec![permitted]).await;

    let mut hanging = Connection::open(handle.listening(), usize::MAX).await;
    hanging.challenged().await;
    users.hanging.store(true, Ordering::Relaxed);
    let hang = signed(METHOD_REFRESH, TransactionId::new(), "hang", "newest", &hanging.nonce, vec![]);
    hanging.write(&hang.raw).await;
    let stats = handle.stats_reader();
    until(|| !stats.stalled_shards().is_empty()).await;
    let writes = handle.stats().stream_writes;
    for _ in 0..10 {
        peer.send_to(b"peer", to).await.unwrap();
        sender.write(&channel_data(b"sender")).await;
    }
    users.hanging.store(false, Ordering::Relaxed);
    let mut messages = Vec::new();
    for _ in 0..20 {
        messages.push(receiver.read().await);
    }
    assert_eq!(messages.iter().filter(|message| **message == channel_data(b"sender")).count(), 10);
    hanging.read().await;
    // One to each of the two clients.
    until(|| handle.stats().stream_writes == writes + 2).await;
}
