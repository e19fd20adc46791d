//! The bare forward: whoever sent to one socket last gets what arrives at the other.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use castway::relay::io::inbox::Inbox;
use castway::relay::io::outbox::{Outbox, Route};
use castway::relay::io::poll::{Interest, Poll};
use castway::relay::io::udp::{Options, UdpSocket};

/// Says its two addresses on standard output and forwards until it is killed.
///
/// # Errors
/// No socket can be opened.
pub(crate) fn run() -> anyhow::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = Options { clear_dont_fragment: false, icmp_errors: false, buffers: Some(4 << 20), ..Options::relayed() };
    let sockets = [UdpSocket::bind(any, &options)?, UdpSocket::bind(any, &options)?];
    let mut poll = Poll::new()?;
    for (token, socket) in (0..).zip(&sockets) {
        poll.add(socket, token, Interest::Datagrams)?;
    }
    println!("{} {}", sockets[0].local_addr()?, sockets[1].local_addr()?);
    std::io::stdout().flush()?;

    let mut ends: [Option<SocketAddr>; 2] = [None; 2];
    let (mut inbox, mut outbox) = (Inbox::new(), Outbox::new());
    let mut ready = Vec::new();
    loop {
        poll.wait(None)?;
        ready.clear();
        ready.extend(poll.ready().map(|ready| usize::from(ready.token != 0)));
        for here in ready.iter().copied() {
            if sockets[here].recv_batch(&mut inbox)? == 0 {
                continue;
            }
            if inbox.is_full() {
                poll.again(here as u64);
            }
            ends[here] = inbox.datagrams().last().map(|datagram| datagram.from);
            let Some(to) = ends[1 - here] else { continue };
            let route = Route { socket: 0, to, from: None, dont_fragment: false };
            for datagram in inbox.datagrams() {
                for segment in datagram.segments() {
                    outbox.push_payload(route, segment, 0..segment.len());
                }
            }
            outbox.flush(&inbox, |_| Some(&sockets[1 - here]), |_| ());
        }
    }
}
