//! Paced packets while TVs open Socket.IO connections, get their codes and leave.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use castway::relay::io::poll::{Interest, Poller};

use crate::options::BenchOptions;
use crate::server::{Program, Server};
use crate::support::process::Cpus;
use crate::support::report::Report;
use crate::support::signaling::client::Client;
use crate::support::signaling::role::{Heard, Role};
use crate::traffic::{Path, Pattern, Run};

const CONNECTIONS_PER_SECOND: f64 = 200.0;
/// How often the generator looks at the connections between two packets.
const LOOK_INTERVAL: Duration = Duration::from_micros(200);
const BUFFER_BYTES: usize = 16 << 10;

struct Storm {
    server: SocketAddr,
    poller: Poller,
    clients: HashMap<u64, Client>,
    ready: Vec<u64>,
    buffer: Vec<u8>,
    opened: u64,
    codes: u64,
    next_connection: Instant,
    next_look: Instant,
}

impl Storm {
    fn new(server: SocketAddr) -> anyhow::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            server,
            poller: Poller::new()?,
            clients: HashMap::new(),
            ready: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            opened: 0,
            codes: 0,
            next_connection: now,
            next_look: now,
        })
    }

    /// Does at most one thing, so that the packets wait for little of it.
    fn advance(&mut self, now: Instant) -> anyhow::Result<()> {
        if let Some(number) = self.ready.pop() {
            return self.receive(number);
        }
        if now >= self.next_connection {
            self.next_connection += Duration::from_secs_f64(1.0 / CONNECTIONS_PER_SECOND);
            let number = self.opened;
            let client = Client::connect(self.server, number as usize, Role::Tv, None).context("connecting")?;
            self.poller.add(&client.stream, number, Interest::Read)?;
            self.clients.insert(number, client);
            self.opened += 1;
        } else if now >= self.next_look {
            self.next_look = now + LOOK_INTERVAL;
            self.poller.wait(Some(Duration::ZERO))?;
            self.ready.extend(self.poller.ready().map(|ready| ready.token));
        }
        Ok(())
    }

    fn receive(&mut self, number: u64) -> anyhow::Result<()> {
        let Some(client) = self.clients.get_mut(&number) else { return Ok(()) };
        let mut heard = Vec::new();
        client.receive(&mut self.buffer, &mut heard)?;
        if heard.iter().any(|heard| matches!(heard, Heard::Opened(_))) {
            self.codes += 1;
            self.clients.remove(&number);
        }
        Ok(())
    }

    /// Begins anew after a pause, in which nothing was sent.
    fn resume(&mut self) {
        self.clients.clear();
        self.ready.clear();
        self.next_connection = Instant::now();
    }
}

/// Measures Castway alone: the delay that it adds to paced packets, by turns with the storm and without. The storm takes time of the
/// generator as well; so each delay is that above a path without a server, beside which the same storm goes on or not.
///
/// # Errors
/// Castway does not start, or refuses something.
pub(crate) fn run(
    case: &'static str,
    options: &BenchOptions,
    cpus: &Cpus,
    report: &mut Report,
    (rate, pattern): (f64, Pattern),
) -> anyhow::Result<()> {
    let candidates = options.candidates();
    let Some(index) = candidates.iter().position(|candidate| matches!(candidate.program, Program::Castway)) else {
        return Ok(());
    };
    let server = Server::start(&candidates[index], None, cpus)?;
    let mut storm = Storm::new(server.http.context("Castway without HTTP")?)?;
    let (mut path, mut direct) = (Path::open(&server, pattern, options.gro)?, Path::direct(pattern, options.gro)?);
    let time = Duration::from_millis(if options.quick { 300 } else { 4_000 });
    path.run(rate, time / 10)?;
    for _ in 0..options.pairs {
        let [quiet, stormy] = [false, true].map(|with_storm| {
            let mut beside = |path: &mut Path, time| -> anyhow::Result<Run> {
                storm.resume();
                path.run_beside(rate, time, |now| if with_storm { storm.advance(now) } else { Ok(()) })
            };
            let mut without = beside(&mut direct, time)?;
            let mut run = beside(&mut path, time)?;
            let added = [0.50, 0.99].map(|share| run.percentile(share) - without.percentile(share));
            anyhow::Ok((added, run.loss()))
        });
        let ((quiet, quiet_loss), (stormy, stormy_loss)) = (quiet?, stormy?);
        let measures = [
            ("p50 us without the storm", quiet[0]),
            ("p50 us with the storm", stormy[0]),
            ("p99 us without the storm", quiet[1]),
            ("p99 us with the storm", stormy[1]),
            ("p99 with/without the storm", stormy[1] / quiet[1]),
            ("loss % without the storm", quiet_loss * 100.0),
            ("loss % with the storm", stormy_loss * 100.0),
        ];
        measures.into_iter().for_each(|(measure, value)| report.add(case, measure, index, value));
    }
    eprintln!("{case}: {} of {} connections got their codes", storm.codes, storm.opened);
    Ok(())
}
