//! Sockets, inbox and outbox together over loopback.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::relay::io::inbox::{Inbox, SLOTS};
use crate::relay::io::outbox::Outbox;
use crate::relay::io::packet_route::{FlushReport, PacketRoute, SendFailure};
use crate::relay::io::poll::{Interest, Poller};
use crate::relay::io::udp::BatchUdpSocket;
use crate::relay::io::udp_types::{IcmpError, UdpOptions};

const HOSTS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];
/// The longest payload is larger than an Ethernet packet's, and fits the MTU of the loopback.
const LENGTHS: std::ops::Range<usize> = 0..1501;

fn options() -> UdpOptions {
    UdpOptions { clear_dont_fragment: false, icmp_errors: false, ..UdpOptions::relayed() }
}

fn bind(address: &str) -> BatchUdpSocket {
    BatchUdpSocket::bind(address.parse().unwrap(), &options()).unwrap()
}

fn local(socket: &BatchUdpSocket) -> SocketAddr {
    socket.local_addr().unwrap()
}

fn route(to: SocketAddr) -> PacketRoute {
    PacketRoute { socket: 0, to, from: None, dont_fragment: false }
}

fn flush(outbox: &mut Outbox, inbox: &Inbox, socket: &BatchUdpSocket) -> (FlushReport, Vec<SendFailure>) {
    let mut failures = Vec::new();
    let sent = outbox.flush(inbox, |_| Some(socket), |failure| failures.push(failure));
    (sent, failures)
}

/// A payload whose bytes depend on its length and its index.
fn payload(index: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (index * 31 + at * 7 + len) as u8).collect()
}

/// Receives until `count` datagrams have arrived at `socket`.
fn receive(socket: &BatchUdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut inbox = Inbox::new();
    let mut packets = Vec::new();
    receive_with(socket, &mut inbox, |inbox| {
        for datagram in inbox.datagrams() {
            packets.extend(datagram.segments().map(|segment| inbox.bytes(segment).to_vec()));
        }
        packets.len() >= count
    });
    packets
}

fn receive_with(socket: &BatchUdpSocket, inbox: &mut Inbox, mut done: impl FnMut(&mut Inbox) -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        if inbox.receive(socket).unwrap() > 0 && done(inbox) {
            return;
        }
        assert!(Instant::now() < end, "packets are missing");
    }
}

#[test]
fn r15_payloads_of_every_length_arrive_unchanged_and_in_order() {
    for host in HOSTS {
        for mut outbox in [Outbox::new(), Outbox::new().without_trains()] {
            let (from, to) = (bind(host), bind(host));
            let inbox = Inbox::with_slots(1);
            let lengths: Vec<usize> = LENGTHS.chain([9000, 65_507]).collect();
            for (chunk_index, chunk) in lengths.chunks(32).enumerate() {
                for (index, len) in chunk.iter().enumerate() {
                    outbox.push_bytes(route(local(&to)), &payload(chunk_index * 32 + index, *len));
                }
                let (sent, failures) = flush(&mut outbox, &inbox, &from);
                assert!(failures.is_empty() && sent.packets == chunk.len() as u64, "{failures:?}");
                let received = receive(&to, chunk.len());
                assert_eq!(received.len(), chunk.len());
                for (index, len) in chunk.iter().enumerate() {
                    assert_eq!(received[index], payload(chunk_index * 32 + index, *len), "{len} bytes over {host}");
                }
            }
        }
    }
}

#[test]
fn trains_go_out_and_come_in_as_one() {
    for host in HOSTS {
        let (from, to) = (bind(host), bind(host));
        let mut outbox = Outbox::new();
        for index in 0..40 {
            outbox.push_bytes(route(local(&to)), &payload(index, if index == 39 { 500 } else { 1200 }));
        }
        let (sent, failures) = flush(&mut outbox, &Inbox::with_slots(1), &from);
        assert!(failures.is_empty());
        assert_eq!((sent.packets, sent.bytes, sent.calls), (40, 39 * 1200 + 500, 1));

        let mut inbox = Inbox::new();
        receive_with(&to, &mut inbox, |_| true);
        assert_eq!(inbox.datagrams().len(), 1);
        let datagram = inbox.datagrams()[0];
        assert_eq!(datagram.from, local(&from));
        for (index, segment) in datagram.segments().enumerate() {
            assert_eq!(inbox.bytes(segment), payload(index, if index == 39 { 500 } else { 1200 }));
        }
        assert_eq!(datagram.segments().count(), 40);
    }
}

#[test]
fn a_socket_without_gro_gets_the_packets_of_a_train_one_by_one() {
    let from = bind(HOSTS[0]);
    let to = BatchUdpSocket::bind(HOSTS[0].parse().unwrap(), &UdpOptions { gro: false, ..options() }).unwrap();
    let mut outbox = Outbox::new();
    for index in 0..8 {
        outbox.push_bytes(route(local(&to)), &payload(index, 160));
    }
    flush(&mut outbox, &Inbox::with_slots(1), &from);
    let mut inbox = Inbox::new();
    receive_with(&to, &mut inbox, |inbox| {
        assert!(inbox.datagrams().iter().all(|datagram| datagram.segments().count() == 1));
        true
    });
}

#[test]
fn a_train_ends_where_the_kernel_wants_it_to() {
    let (from, to) = (bind(HOSTS[0]), bind(HOSTS[0]));
    let inbox = Inbox::with_slots(1);
    let mut outbox = Outbox::new();
    // A shorter packet ends a train; a longer one or an empty one begins a new train. A train has at most 64 packets and 64 KiB.
    let lengths = [vec![100, 100, 40, 100, 200, 0, 0, 200], vec![10; 130], vec![1400; 100]].concat();
    for (index, len) in lengths.iter().enumerate() {
        outbox.push_bytes(route(local(&to)), &payload(index, *len));
    }
    let (sent, failures) = flush(&mut outbox, &inbox, &from);
    assert!(failures.is_empty() && sent.packets == lengths.len() as u64 && sent.calls == 1, "{failures:?}");
    let expected: Vec<_> = lengths.iter().enumerate().map(|(index, len)| payload(index, *len)).collect();
    assert_eq!(receive(&to, lengths.len()), expected);
}

#[test]
fn interleaved_destinations_keep_their_order_and_share_trains() {
    let from = bind(HOSTS[0]);
    let sinks: Vec<_> = (0..4).map(|_| bind(HOSTS[0])).collect();
    let mut outbox = Outbox::new();
    for index in 0..80 {
        outbox.push_bytes(route(local(&sinks[index % 4])), &payload(index, if index % 12 == 0 { 90 } else { 100 }));
    }
    assert!(outbox.len() == 80 && !outbox.is_empty());
    let (sent, _) = flush(&mut outbox, &Inbox::with_slots(1), &from);
    assert_eq!((sent.packets, sent.calls), (80, 1));
    assert!(outbox.is_empty());
    for (sink, socket) in sinks.iter().enumerate() {
        let indices = (0..80).filter(|index| index % 4 == sink);
        let expected: Vec<_> = indices.map(|index| payload(index, if index % 12 == 0 { 90 } else { 100 })).collect();
        assert_eq!(receive(socket, 20), expected);
    }
}

/// The operations of a shard on a train from a peer, and on one from a client.
#[test]
fn headers_come_and_go_and_no_payload_is_harmed() {
    for host in HOSTS {
        for train in [1, 2, 40] {
            let [client, relay, peer, listener] = [(); 4].map(|()| bind(host));
            let mut inbox = Inbox::new();
            let mut outbox = Outbox::new();
            for index in 0..train {
                outbox.push_bytes(route(local(&relay)), &payload(index, 1001));
            }
            flush(&mut outbox, &inbox, &peer);

            // From peer to client: a header is added in front, and padding as in a Data indication.
            let mut taken = 0;
            receive_with(&relay, &mut inbox, |inbox| {
                for at in 0..inbox.datagrams().len() {
                    for segment in inbox.datagrams()[at].segments() {
                        let header = |room: &mut [u8]| room.copy_from_slice(&[0x40, 1, 3, 0xE9]);
                        outbox.push_framed(inbox, route(local(&client)), (segment, 0..segment.len()), 4, 3, header);
                        taken += 1;
                    }
                }
                flush(&mut outbox, inbox, &listener);
                taken == train
            });
            let framed = receive(&client, train);
            for (index, packet) in framed.iter().enumerate() {
                let expected = [&[0x40, 1, 3, 0xE9][..], &payload(index, 1001), &[0; 3]].concat();
                assert!(*packet == expected, "{index} of {train}");
            }

            // From client to peer: the header is removed. From client to client: it is replaced in place.
            for packet in &framed {
                outbox.push_bytes(route(local(&listener)), packet);
            }
            flush(&mut outbox, &inbox, &client);
            let mut taken = 0;
            receive_with(&listener, &mut inbox, |inbox| {
                for at in 0..inbox.datagrams().len() {
                    for segment in inbox.datagrams()[at].segments() {
                        outbox.push_payload(route(local(&peer)), segment, 4..1005);
                        let header = |room: &mut [u8]| room.fill(9);
                        outbox.push_framed(inbox, route(local(&client)), (segment, 4..1005), 4, 0, header);
                        taken += 1;
                    }
                }
                flush(&mut outbox, inbox, &relay);
                taken == train
            });
            let expected: Vec<_> = (0..train).map(|index| payload(index, 1001)).collect();
            assert_eq!(receive(&peer, train), expected);
            let expected: Vec<_> = expected.iter().map(|packet| [&[9; 4], &packet[..]].concat()).collect();
            assert_eq!(receive(&client, train), expected);
        }
    }
}

#[test]
fn a_long_header_uses_the_headroom() {
    let (from, to) = (bind(HOSTS[0]), bind(HOSTS[0]));
    let mut inbox = Inbox::new();
    let mut outbox = Outbox::new();
    outbox.push_bytes(route(local(&to)), &payload(1, 300));
    flush(&mut outbox, &inbox, &from);
    receive_with(&to, &mut inbox, |_| true);
    let segment = inbox.datagrams()[0].segments().next().unwrap();
    outbox.push_framed(&mut inbox, route(local(&from)), (segment, 0..300), 48, 0, |room| room.fill(5));
    assert_eq!(inbox.bytes(segment), payload(1, 300));
    flush(&mut outbox, &inbox, &to);
    assert_eq!(receive(&from, 1), [[&[5; 48][..], &payload(1, 300)].concat()]);
}

#[test]
fn a_refused_train_is_sent_as_single_packets() {
    let (from, to) = (bind(HOSTS[0]), bind(HOSTS[0]));
    // The kernel refuses UDP_SEGMENT with EINVAL if checksums are off (udp_send_skb).
    from.set(libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
    let mut outbox = Outbox::new();
    let inbox = Inbox::with_slots(1);
    for (round, calls) in [(0, 2), (1, 1)] {
        // A packet to another address comes first, so that the refused train is not the first message.
        outbox.push_bytes(PacketRoute { from: None, ..route(local(&from)) }, b"other");
        for index in 0..10 {
            outbox.push_bytes(route(local(&to)), &payload(index, 700));
        }
        let (sent, failures) = flush(&mut outbox, &inbox, &from);
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!(sent.packets, 11);
        assert!(sent.calls <= calls + 1, "round {round}: a destination without trains is remembered: {sent:?}");
        let expected: Vec<_> = (0..10).map(|index| payload(index, 700)).collect();
        assert_eq!(receive(&to, 10), expected);
    }
    // The packets to the other address have arrived as well.
    assert_eq!(receive(&from, 2).len(), 2);
}

#[test]
fn r36_an_error_of_one_packet_loses_no_other() {
    let (from, to) = (bind(HOSTS[0]), bind(HOSTS[0]));
    let broadcast = SocketAddr::from(([255, 255, 255, 255], 9));
    let ipv6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9));
    let mut outbox = Outbox::new();
    for index in 0..6 {
        outbox.push_bytes(route(local(&to)), &payload(index, 100));
        match index {
            1 => outbox.push_bytes(route(broadcast), b"EACCES"),
            2 => outbox.push_bytes(route(ipv6), b"EAFNOSUPPORT"),
            3 => outbox.push_bytes(route(local(&to)), &payload(0, 65_508)),
            4 => outbox.push_bytes(PacketRoute { socket: 1, ..route(local(&to)) }, b"closed"),
            _ => {}
        }
    }
    let mut failures = Vec::new();
    let inbox = Inbox::with_slots(1);
    let sent = outbox.flush(&inbox, |name| (name == 0).then_some(&from), |failure| failures.push(failure));
    assert_eq!((sent.packets, sent.failed, failures.len()), (6, 4, 4), "{failures:?}");
    let codes: Vec<_> = failures.iter().map(|failure| failure.error.raw_os_error()).collect();
    assert!([libc::EACCES, libc::EAFNOSUPPORT, libc::EMSGSIZE].iter().all(|code| codes.contains(&Some(*code))), "{codes:?}");
    assert!(failures.iter().any(|failure| failure.error.kind() == io::ErrorKind::NotConnected && failure.packets == 1));
    let expected: Vec<_> = (0..6).map(|index| payload(index, 100)).collect();
    assert_eq!(receive(&to, 6), expected);
}

#[test]
fn r36_an_icmp_error_hides_neither_packets_nor_sends() {
    for (host, kind, code) in [(HOSTS[0], 3, 3), (HOSTS[1], 1, 4)] {
        let relay = BatchUdpSocket::bind(host.parse().unwrap(), &UdpOptions::relayed()).unwrap();
        let live = bind(host);
        let dead = local(&bind(host));
        let mut outbox = Outbox::new();
        let inbox = Inbox::with_slots(1);
        outbox.push_bytes(route(dead), b"nobody");
        flush(&mut outbox, &inbox, &relay);

        let mut poll = Poller::new().unwrap();
        poll.add(&relay, 1, Interest::Datagrams).unwrap();
        poll.wait(Some(Duration::from_secs(5))).unwrap();
        assert!(poll.ready().all(|ready| ready.error));
        outbox.push_bytes(route(local(&live)), b"somebody");
        let (sent, failures) = flush(&mut outbox, &inbox, &relay);
        assert!(failures.is_empty() && sent.packets == 1, "{failures:?}");
        assert_eq!(receive(&live, 1), [b"somebody"]);

        outbox.push_bytes(route(local(&relay)), b"back");
        flush(&mut outbox, &inbox, &live);
        assert_eq!(receive(&relay, 1), [b"back"]);

        let error = relay.icmp_error().unwrap();
        assert_eq!(error, IcmpError { peer: dead, kind, code, data: [0; 4] });
        assert_eq!(relay.icmp_error(), None);
        poll.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(poll.ready().count(), 0);
    }
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    for (wildcard, asked) in [("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "127.0.0.3"), ("[::]:0", "::1")] {
        let wildcard: SocketAddr = wildcard.parse().unwrap();
        let asked: IpAddr = asked.parse().unwrap();
        let listener = BatchUdpSocket::bind(wildcard, &UdpOptions::listener(wildcard)).unwrap();
        let server = SocketAddr::new(asked, local(&listener).port());
        let client = bind(if asked.is_ipv4() { HOSTS[0] } else { HOSTS[1] });
        let mut outbox = Outbox::new();
        let mut inbox = Inbox::new();
        outbox.push_bytes(route(server), b"hello");
        outbox.push_bytes(route(server), b"again");
        flush(&mut outbox, &inbox, &client);

        receive_with(&listener, &mut inbox, |_| true);
        let datagram = inbox.datagrams()[0];
        assert_eq!((datagram.from, datagram.to), (local(&client), Some(asked)));
        let back = PacketRoute { from: datagram.to, ..route(datagram.from) };
        for segment in datagram.segments() {
            outbox.push_payload(back, segment, 0..segment.len());
        }
        let (_, failures) = flush(&mut outbox, &inbox, &listener);
        assert!(failures.is_empty(), "{failures:?}");
        receive_with(&client, &mut inbox, |_| true);
        assert_eq!((inbox.datagrams()[0].from, inbox.datagrams()[0].to), (server, None));
    }
}

#[test]
fn shards_share_an_address_and_strangers_do_not() {
    let any: SocketAddr = HOSTS[0].parse().unwrap();
    let one = BatchUdpSocket::bind(any, &UdpOptions::listener(any)).unwrap();
    assert!(BatchUdpSocket::bind(local(&one), &UdpOptions::listener(any)).is_ok());
    let error = BatchUdpSocket::bind(local(&one), &UdpOptions::relayed()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_batch_is_bounded_and_what_is_left_comes_next() {
    let (from, to) = (bind(HOSTS[0]), bind(HOSTS[0]));
    let mut outbox = Outbox::new().without_trains();
    let mut inbox = Inbox::new();
    for index in 0..SLOTS + 1 {
        outbox.push_bytes(route(local(&to)), &payload(index, 20));
    }
    flush(&mut outbox, &inbox, &from);
    assert_eq!(inbox.receive(&to).unwrap(), SLOTS);
    assert!(inbox.is_full());
    assert_eq!(inbox.receive(&to).unwrap(), 1);
    assert!(!inbox.is_full());
    assert_eq!(inbox.receive(&to).unwrap(), 0);
}

#[test]
fn the_dont_fragment_bit_is_set_for_the_packets_that_ask() {
    for host in HOSTS {
        let relay = BatchUdpSocket::bind(host.parse().unwrap(), &UdpOptions::relayed()).unwrap();
        let to = bind(host);
        let mut outbox = Outbox::new();
        outbox.push_bytes(route(local(&to)), b"fragment me");
        outbox.push_bytes(PacketRoute { dont_fragment: true, ..route(local(&to)) }, b"do not");
        let (sent, failures) = flush(&mut outbox, &Inbox::with_slots(1), &relay);
        assert!(failures.is_empty() && sent.packets == 2 && sent.calls == 2);
        assert_eq!(receive(&to, 2), [&b"fragment me"[..], b"do not"]);

        // Only over IPv6 this payload exceeds the MTU of the loopback.
        if host == HOSTS[1] {
            outbox.push_bytes(PacketRoute { dont_fragment: true, ..route(local(&to)) }, &payload(1, 65_507));
            outbox.push_bytes(route(local(&to)), &payload(2, 65_507));
            let (sent, failures) = flush(&mut outbox, &Inbox::with_slots(1), &relay);
            assert_eq!((sent.packets, sent.failed), (1, 1), "{failures:?}");
            assert_eq!(failures[0].error.raw_os_error(), Some(libc::EMSGSIZE));
            assert_eq!(receive(&to, 1), [payload(2, 65_507)]);
            assert_eq!(relay.icmp_error(), None, "an error of our own is no ICMP error");
        }
    }
}

/// More bytes than are copied into one buffer for one system call: the kernel gathers the rest.
#[test]
fn trains_are_sent_copied_or_gathered() {
    let (peer, relay) = (bind(HOSTS[0]), bind(HOSTS[0]));
    let clients: Vec<_> = (0..6).map(|_| bind(HOSTS[0])).collect();
    let mut inbox = Inbox::new();
    let mut outbox = Outbox::new();
    for _ in &clients {
        (0..40).for_each(|index| outbox.push_bytes(route(local(&relay)), &payload(index, 1200)));
        flush(&mut outbox, &inbox, &peer);
    }
    assert_eq!(inbox.receive(&relay).unwrap(), clients.len());
    for (at, client) in clients.iter().enumerate() {
        for segment in inbox.datagrams()[at].segments() {
            let header = |room: &mut [u8]| room.fill(at as u8);
            outbox.push_framed(&mut inbox, route(local(client)), (segment, 0..1200), 4, 0, header);
        }
    }
    let (sent, failures) = flush(&mut outbox, &inbox, &relay);
    assert!(failures.is_empty() && sent.packets == 240 && sent.calls == 1, "{sent:?} {failures:?}");
    for (at, client) in clients.iter().enumerate() {
        let expected: Vec<_> = (0..40).map(|index| [&[at as u8; 4], &payload(index, 1200)[..]].concat()).collect();
        assert!(receive(client, 40) == expected, "{at}");
    }
}
