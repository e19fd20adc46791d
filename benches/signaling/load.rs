//! Many clients on one thread, which waits for all of them with epoll.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use castway::relay::io::poll::{Interest, Poller};
use rustls::ClientConfig;

use crate::servers::Server;
use crate::support::percentile::percentile;
use crate::support::signaling::client::Client;
use crate::support::signaling::role::{Heard, Role};

/// How long clients may take to get ready.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// Handshakes that are under way at the same time.
const TOGETHER: usize = 64;
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// Connected clients; those of a pair follow each other.
pub(crate) struct Load {
    poller: Poller,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    server: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

/// What came back of a run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) received: u64,
    pub(crate) seconds: f64,
    /// Nanoseconds.
    delays: Vec<u64>,
}

impl Run {
    /// Milliseconds.
    pub(crate) fn percentile(&mut self, part: f64) -> f64 {
        percentile(&mut self.delays, part).map_or(f64::NAN, |nanos| nanos as f64 / 1e6)
    }
}

impl Load {
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new(server: &Server) -> anyhow::Result<Self> {
        let (address, tls) = (server.address(), server.tls()?);
        Ok(Self { poller: Poller::new()?, clients: Vec::new(), buffer: vec![0; BUFFER_BYTES], server: address, tls })
    }

    /// Connects clients of these roles, and waits until each of them is where its role ends: connected, with a room, or in a room with
    /// the other client. Clients of a pair follow each other.
    ///
    /// # Errors
    /// The server refuses one, or takes too long.
    pub(crate) fn add(&mut self, roles: impl IntoIterator<Item = Role>) -> anyhow::Result<()> {
        let mut roles = roles.into_iter().peekable();
        let (mut waiting, begun) = (0, Instant::now());
        // The rooms whose second client is not there yet or not connected, by its number, and the second clients that are.
        let (mut rooms, mut connected) = (HashMap::new(), HashSet::new());
        while roles.peek().is_some() || waiting > 0 {
            while waiting < TOGETHER
                && let Some(role) = roles.next()
            {
                let number = self.clients.len();
                let client = Client::connect(self.server, number, role, self.tls.as_ref()).context("connecting")?;
                self.poller.add(&client.stream, number as u64, Interest::Read)?;
                self.clients.push(client);
                waiting += 1;
            }
            ensure!(begun.elapsed() < READY_TIMEOUT, "{waiting} clients are not ready");
            self.poll(Duration::from_millis(100), |clients, number, heard| {
                let role = clients[number].role;
                if role.is_ready(&heard) {
                    waiting -= 1;
                }
                let second = match heard {
                    Heard::Opened(room) => {
                        rooms.insert(number + 1, room);
                        number + 1
                    }
                    Heard::Connected => {
                        connected.insert(number);
                        number
                    }
                    Heard::Answered | Heard::Probed | Heard::Message(_) | Heard::Other => return Ok(()),
                };
                if connected.contains(&second)
                    && let Some(room) = rooms.remove(&second)
                    && let Some(join) = clients[second].role.join(&room)
                {
                    clients[second].send(join.as_bytes())?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Waits until some clients have received something, and calls `on_heard` with the number of each.
    fn poll(
        &mut self,
        timeout: Duration,
        mut on_heard: impl FnMut(&mut [Client], usize, Heard) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.poller.wait(Some(timeout))?;
        let ready: Vec<usize> = self.poller.ready().map(|ready| ready.token as usize).collect();
        let mut heard = Vec::new();
        for number in ready {
            let client = &mut self.clients[number];
            client.receive(&mut self.buffer, &mut heard).with_context(|| format!("client {number}"))?;
            for heard in heard.drain(..) {
                on_heard(&mut self.clients, number, heard)?;
            }
        }
        Ok(())
    }

    /// Each client sends `at_once` messages of `len` bytes to the other one of its pair, and one more whenever it has received one.
    ///
    /// # Errors
    /// A client loses its connection.
    pub(crate) fn saturate(&mut self, at_once: usize, len: usize, time: Duration) -> anyhow::Result<Run> {
        for client in &mut self.clients {
            client.prepare_message(len);
        }
        let start = Instant::now();
        for client in &mut self.clients {
            for _ in 0..at_once {
                client.send_message(start.elapsed().as_nanos() as u64)?;
            }
        }
        let mut run = Run::default();
        let mut in_flight = self.clients.len() * at_once;
        while in_flight > 0 {
            let is_over = start.elapsed() >= time;
            self.poll(Duration::from_millis(100), |clients, number, heard| {
                let Heard::Message(sent) = heard else { return Ok(()) };
                let now = start.elapsed().as_nanos() as u64;
                run.received += 1;
                run.delays.push(now - sent);
                if is_over {
                    in_flight -= 1;
                    return Ok(());
                }
                clients[number].send_message(now)
            })?;
            ensure!(start.elapsed() < time + READY_TIMEOUT, "{in_flight} messages are lost");
        }
        run.seconds = start.elapsed().as_secs_f64();
        Ok(run)
    }

    /// The clients send `rate` messages a second by turns.
    ///
    /// # Errors
    /// A client loses its connection, or messages are lost.
    pub(crate) fn at_rate(&mut self, rate: f64, len: usize, time: Duration) -> anyhow::Result<Run> {
        for client in &mut self.clients {
            client.prepare_message(len);
        }
        let start = Instant::now();
        let mut run = Run::default();
        let (gap, mut sent) = (Duration::from_secs_f64(1.0 / rate), 0);
        let wanted = (time.as_secs_f64() * rate) as u64;
        while run.received < wanted {
            let due = start + gap * sent as u32;
            if sent < wanted && Instant::now() >= due {
                let number = sent as usize % self.clients.len();
                self.clients[number].send_message(start.elapsed().as_nanos() as u64)?;
                sent += 1;
                continue;
            }
            let timeout = if sent < wanted { due.saturating_duration_since(Instant::now()) } else { Duration::from_millis(100) };
            self.poll(timeout, |_, _, heard| {
                if let Heard::Message(sent) = heard {
                    run.received += 1;
                    run.delays.push(start.elapsed().as_nanos() as u64 - sent);
                }
                Ok(())
            })?;
            ensure!(start.elapsed() < time + READY_TIMEOUT, "{} messages are lost", wanted - run.received);
        }
        run.seconds = start.elapsed().as_secs_f64();
        Ok(run)
    }

    /// Makes `count` handshakes, each of which ends when the client is connected to its namespace. Returns the seconds.
    ///
    /// # Errors
    /// The server refuses one.
    pub(crate) fn handshakes(&mut self, count: usize) -> anyhow::Result<f64> {
        let start = Instant::now();
        let mut made = 0;
        while made < count {
            let some = TOGETHER.min(count - made);
            self.add(std::iter::repeat_n(Role::Idle, some))?;
            made += some;
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// All clients disconnect.
    pub(crate) fn clear(&mut self) {
        self.clients.clear();
    }
}
