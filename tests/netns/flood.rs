//! Sends requests from the addresses of a whole network: `flood TARGET NETWORK COUNT RATE`, for example
//! `flood 11.0.0.1:3478 12.0.0.0/16 1000000 50000`. Prints the number of requests sent and the seconds that this took.
//!
//! It must run in a network namespace where the network is local (`ip route add local NETWORK dev lo`). There each packet has the
//! source address that IP_PKTINFO names, and the answers reach no client.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context;
use castway::relay::io::inbox::Inbox;
use castway::relay::io::outbox::Outbox;
use castway::relay::io::packet_route::PacketRoute;
use castway::relay::io::udp::BatchUdpSocket;
use castway::relay::io::udp_types::UdpOptions;
use ipnet::Ipv4Net;

/// Source ports, each with a socket of its own.
const SOURCE_PORTS: u64 = 16;
const PACKETS_A_BATCH: u64 = 64;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, network, count, rate] = &arguments[..] else { anyhow::bail!("flood TARGET NETWORK COUNT RATE") };
    let target: SocketAddr = target.parse().context("TARGET is IP:PORT")?;
    let network: Ipv4Net = network.parse().context("NETWORK is IPv4/LENGTH")?;
    let (count, rate): (u64, f64) = (count.parse().context("COUNT")?, rate.parse().context("RATE is packets a second")?);

    let wildcard = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let sockets: Vec<BatchUdpSocket> =
        (0..SOURCE_PORTS).map(|_| BatchUdpSocket::bind(wildcard, &UdpOptions::listener(wildcard))).collect::<Result<_, _>>()?;
    let (inbox, mut outbox) = (Inbox::with_slots(0), Outbox::new().without_trains());
    let (mut sent, mut failed, start) = (0, 0, Instant::now());
    while sent + failed < count {
        for index in sent + failed..count.min(sent + failed + PACKETS_A_BATCH) {
            let route = PacketRoute {
                socket: index % SOURCE_PORTS,
                to: target,
                from: Some(source(network, index)),
                dont_fragment: false,
            };
            outbox.push_bytes(route, &packet(index));
        }
        let done = outbox.flush(&inbox, |socket| sockets.get(socket as usize), |_| ());
        (sent, failed) = (sent + done.packets, failed + done.failed);
        let due = Duration::from_secs_f64((sent + failed) as f64 / rate);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    println!("{sent} {failed} {:.3}", start.elapsed().as_secs_f64());
    Ok(())
}

/// A host of the network: as many consecutive packets as the network has hosts come from different ones.
fn source(network: Ipv4Net, index: u64) -> IpAddr {
    let hosts = 1 << (32 - network.prefix_len());
    IpAddr::V4(Ipv4Addr::from(u32::from(network.network()) | (scrambled(index) % hosts) as u32))
}

/// A fixed mapping without a visible pattern (Knuth's multiplicative hashing).
fn scrambled(index: u64) -> u64 {
    index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}

/// The packets that a stranger may send, alternately.
fn packet(index: u64) -> Vec<u8> {
    let request = |kind: u8, attributes: &[u8]| {
        let id = scrambled(index).to_be_bytes();
        [&[0, kind, 0, attributes.len() as u8], &MAGIC_COOKIE[..], &id, &id[..4], attributes].concat()
    };
    match index % 5 {
        0 => request(1, &[]),
        1 => request(3, &[]),
        2 => request(3, &[0, 0x19, 0, 4, 17, 0, 0, 0]),
        3 => scrambled(index).to_le_bytes().repeat(8),
        _ => [&[0x40, 0, 0, 60], [0xAB; 60].as_slice()].concat(),
    }
}
