//! A forwarder without TURN: each datagram that arrives at one socket goes to the last sender at the other socket.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use castway::relay::io::inbox::Inbox;
use castway::relay::io::outbox::Outbox;
use castway::relay::io::packet_route::PacketRoute;
use castway::relay::io::poll::{Interest, Poller};
use castway::relay::io::udp::BatchUdpSocket;
use castway::relay::io::udp_types::UdpOptions;

/// Prints its two addresses on standard output and forwards until it is killed.
///
/// # Errors
/// No socket can be opened.
pub(crate) fn run() -> anyhow::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = UdpOptions { clear_dont_fragment: false, icmp_errors: false, buffers: Some(4 << 20), ..UdpOptions::relayed() };
    let sockets = [BatchUdpSocket::bind(any, &options)?, BatchUdpSocket::bind(any, &options)?];
    let mut poller = Poller::new()?;
    for (token, socket) in (0..).zip(&sockets) {
        poller.add(socket, token, Interest::Datagrams)?;
    }
    println!("{} {}", sockets[0].local_addr()?, sockets[1].local_addr()?);
    std::io::stdout().flush()?;

    let mut ends: [Option<SocketAddr>; 2] = [None; 2];
    let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
    let mut ready = Vec::new();
    loop {
        poller.wait(None)?;
        ready.clear();
        ready.extend(poller.ready().map(|ready| usize::from(ready.token != 0)));
        for here in ready.iter().copied() {
            if inbox.receive(&sockets[here])? == 0 {
                continue;
            }
            if inbox.is_full() {
                poller.repeat(here as u64);
            }
            ends[here] = inbox.datagrams().last().map(|datagram| datagram.from);
            let Some(to) = ends[1 - here] else { continue };
            let route = PacketRoute { socket: 0, to, from: None, dont_fragment: false };
            for datagram in inbox.datagrams() {
                for segment in datagram.segments() {
                    outbox.push_payload(route, segment, 0..segment.len());
                }
            }
            outbox.flush(&inbox, |_| Some(&sockets[1 - here]), |_| ());
        }
    }
}
