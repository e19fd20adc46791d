//! Pairs of clients that the same shard of a server handles, or two shards.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use castway::turn::Scope;

use crate::client::{self, Client};
use crate::server::Server;

/// Enough that all of them on one of two shards would be a fault of the server.
const MAX_CLIENTS: u8 = 40;
/// ChannelData for a channel that no client binds: the shard drops it, which costs CPU time.
const UNBOUND_CHANNEL_DATA: [u8; 8] = [0x4F, 0xFF, 0, 4, 0, 0, 0, 0];
/// Few enough to fit into a socket's default receive buffer.
const PROBES: usize = 150;
const PROBE_TIME: Duration = Duration::from_millis(50);
const MAX_PROBE_ROUNDS: usize = 20;

/// How many shards handle the two clients. A shard is a thread that relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shards {
    One,
    Two,
}

impl Shards {
    /// The number of threads that the server is started with.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// Opens two allocations of a server that relays with `shards.count()` threads, one on each of its shards.
///
/// # Errors
/// The server refuses an allocation, or all clients arrive at the same thread.
pub(crate) fn open(server: &Server, shards: Shards, gro: bool) -> anyhow::Result<[Client; 2]> {
    let first = allocate(server, 0, gro)?;
    let first_thread = match shards {
        Shards::One => return Ok([first, allocate(server, 1, gro)?]),
        Shards::Two => thread_of(server, &first)?,
    };
    // The kernel selects the shard by a hash of the client's address.
    for number in 1..MAX_CLIENTS {
        let other = allocate(server, number, gro)?;
        if thread_of(server, &other)? != first_thread {
            return Ok([first, other]);
        }
    }
    bail!("{MAX_CLIENTS} clients arrive at the same thread")
}

/// Each client has an address and a user of its own, because servers limit how much one of them may ask for.
fn allocate(server: &Server, number: u8, gro: bool) -> anyhow::Result<Client> {
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 1, number));
    Client::allocate(server.address, ip, server.user(&format!("client{number}"), Scope::Clients)?, gro)
}

/// Returns the id of the server's thread that handles the client's packets: the one that spends CPU time on them.
fn thread_of(server: &Server, client: &Client) -> anyhow::Result<u32> {
    for _ in 0..MAX_PROBE_ROUNDS {
        let before = server.process.cpu_nanos_by_thread()?;
        for _ in 0..PROBES {
            client::send(&client.socket, server.address, &UNBOUND_CHANNEL_DATA);
        }
        thread::sleep(PROBE_TIME);
        let after = server.process.cpu_nanos_by_thread()?;
        let mut spent: Vec<(u64, u32)> =
            after.iter().map(|(thread, nanos)| (nanos - before.get(thread).copied().unwrap_or(0), *thread)).collect();
        spent.sort_unstable_by(|one, other| other.cmp(one));
        let (most, thread) = *spent.first().context("the server has no thread")?;
        // Another thread's timers cost far less than the probes.
        if most > 3 * spent.get(1).map_or(0, |(nanos, _)| *nanos) {
            return Ok(thread);
        }
    }
    bail!("no thread of the server spends CPU time on the client's packets")
}
