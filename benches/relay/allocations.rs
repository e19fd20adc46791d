//! Measures how fast many allocations are made, and how much memory an idle one takes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use castway::relay::io::inbox::Inbox;
use castway::relay::io::poll::{Interest, Poller};
use castway::relay::io::udp::BatchUdpSocket;
use castway::turn::Scope;
use stun::message::{CLASS_ERROR_RESPONSE, Message};

use crate::client::{self, User};
use crate::kernel_memory;
use crate::server::Server;

/// Clients that wait for an answer at the same time.
const MAX_PENDING_CLIENTS: usize = 256;
const RETRANSMISSION: Duration = Duration::from_millis(500);
const RUN_TIMEOUT: Duration = Duration::from_secs(60);
/// Allocations made before the measurement, so that memory that a server needs only once does not count.
const WARM_UP_ALLOCATIONS: usize = 64;
/// Time for the work that a server does after it has answered.
const SETTLE_TIME: Duration = Duration::from_millis(300);

/// The result of [`measure`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Costs {
    /// Resident kB for each idle allocation, with few and with many of them.
    pub(crate) kb: [f64; 2],
    /// kB of the kernel's memory for each idle allocation, with many of them; `None` where only root may read it.
    pub(crate) kernel_kb: Option<f64>,
    /// Allocations a second; each one includes the 401 response before it.
    pub(crate) rate: f64,
    /// CPU time of the server for each allocation, in µs.
    pub(crate) cpu_micros: f64,
}

/// Fills a fresh server with `few` and then with `many` allocations. Each allocation has a user and an address of its own,
/// because servers limit how much one address may ask for.
///
/// # Errors
/// The server refuses an allocation.
pub(crate) fn measure(server: &Server, scope: Scope, few: usize, many: usize) -> anyhow::Result<Costs> {
    let mut made = 0;
    fill(server, scope, &mut made, WARM_UP_ALLOCATIONS)?;
    thread::sleep(SETTLE_TIME);
    let empty = server.process.resident_kb()?;
    let kernel_empty = kernel_memory::socket_kb();
    fill(server, scope, &mut made, few)?;
    thread::sleep(SETTLE_TIME);
    let with_few = server.process.resident_kb()? - empty;

    let cpu = server.process.cpu_nanos()?;
    let seconds = fill(server, scope, &mut made, many - few)?;
    thread::sleep(SETTLE_TIME);
    let with_many = server.process.resident_kb()? - empty;
    // The clients' own sockets are closed by now, so only the server's count.
    let kernel_many = kernel_memory::socket_kb();
    let cpu = server.process.cpu_nanos()? - cpu;
    Ok(Costs {
        kb: [with_few / few as f64, with_many / many as f64],
        kernel_kb: kernel_many.zip(kernel_empty).map(|(with_many, empty)| (with_many - empty) / many as f64),
        rate: (many - few) as f64 / seconds,
        cpu_micros: cpu as f64 / 1e3 / (many - few) as f64,
    })
}

struct Pending {
    socket: BatchUdpSocket,
    user: User,
    request: Message,
    sent: Instant,
}

/// Makes `count` allocations and leaves them open. Returns the seconds that this took, without the clients' own preparations.
fn fill(server: &Server, scope: Scope, made: &mut usize, count: usize) -> anyhow::Result<f64> {
    let mut poller = Poller::new()?;
    let mut waiting: Vec<(u64, Pending)> = Vec::with_capacity(count);
    for index in *made..*made + count {
        let [_, _, high, low] = u32::try_from(index)?.to_be_bytes();
        let socket = client::open(IpAddr::V4(Ipv4Addr::new(127, 1, high, low)), false)?;
        let token = index as u64;
        poller.add(&socket, token, Interest::Read)?;
        let user = server.user(&format!("user{index}"), scope)?;
        waiting.push((token, Pending { socket, user, request: client::first_allocate()?, sent: Instant::now() }));
    }
    *made += count;

    let mut inbox = Inbox::with_slots(1);
    let mut pending: HashMap<u64, Pending> = HashMap::new();
    let start = Instant::now();
    let mut last_scan = start;
    while !waiting.is_empty() || !pending.is_empty() {
        while pending.len() < MAX_PENDING_CLIENTS
            && let Some((token, mut client)) = waiting.pop()
        {
            client::send(&client.socket, server.address, &client.request.raw);
            client.sent = Instant::now();
            pending.insert(token, client);
        }
        poller.wait(Some(RETRANSMISSION))?;
        for ready in poller.ready() {
            let Some(client) = pending.get_mut(&ready.token) else { continue };
            inbox.receive(&client.socket)?;
            let Some(segment) = inbox.datagrams().first().and_then(|datagram| datagram.segments().next()) else { continue };
            let reply = client::parse(inbox.bytes(segment))?;
            if reply.transaction_id != client.request.transaction_id {
                continue;
            }
            if reply.typ.class == CLASS_ERROR_RESPONSE {
                client.request = client::allocate(&client.user, &client::nonce(&reply)?)?;
                client.sent = Instant::now();
                client::send(&client.socket, server.address, &client.request.raw);
            } else {
                client::relayed(&reply)?;
                pending.remove(&ready.token);
            }
        }
        if last_scan.elapsed() > RETRANSMISSION {
            last_scan = Instant::now();
            for client in pending.values_mut().filter(|client| client.sent.elapsed() > RETRANSMISSION) {
                client::send(&client.socket, server.address, &client.request.raw);
                client.sent = Instant::now();
            }
            ensure!(
                start.elapsed() < RUN_TIMEOUT,
                "{} allocations are left after {RUN_TIMEOUT:?}",
                waiting.len() + pending.len()
            );
        }
    }
    Ok(start.elapsed().as_secs_f64())
}
