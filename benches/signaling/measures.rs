//! How each kind of case is measured.

use std::thread;
use std::time::Instant;

use crate::load::{Load, Run};
use crate::options::Effort;
use crate::relayed_casts::RelayedCasts;
use crate::servers::{Program, Server, Service};
use crate::support::process::Cpus;
use crate::support::signaling::role::Role;
use crate::upgrade::Upgrades;

const MESSAGE_BYTES: usize = 1024;
const CPU: &str = "CPU us/message";
/// Clients or casts before a measurement of memory, so that what a server needs only once does not count.
const WARM_UP: usize = 100;

/// One measurement of one program.
pub(crate) struct Measuring<'a> {
    pub(crate) service: Service,
    pub(crate) program: Program,
    pub(crate) cpus: &'a Cpus,
    pub(crate) effort: Effort,
    /// Takes the name of a measure, and a sample.
    pub(crate) add: &'a mut dyn FnMut(&'static str, f64),
}

impl Measuring<'_> {
    fn start(&self) -> anyhow::Result<Server> {
        Server::start(self.program, self.service, self.cpus)
    }

    fn settle(&self) {
        thread::sleep(self.effort.settle_time());
    }

    /// # Errors
    /// This and all others: the server does not start, or refuses clients.
    pub(crate) fn saturated(&mut self, pairs: usize, roles: [Role; 2], at_once: usize) -> anyhow::Result<()> {
        let server = self.start()?;
        let mut load = Load::new(&server)?;
        load.add(pairs_of(self.effort.pairs(pairs), roles))?;
        let time = self.effort.time(3);
        load.saturate(at_once, MESSAGE_BYTES, time)?;
        let (run, cpu) = measured(&server, || load.saturate(at_once, MESSAGE_BYTES, time))?;
        (self.add)("messages/s", run.received as f64 / run.seconds);
        (self.add)(CPU, cpu);
        self.add_delays(run);
        Ok(())
    }

    pub(crate) fn at_rate(&mut self, pairs: usize, roles: [Role; 2], rate: f64) -> anyhow::Result<()> {
        let server = self.start()?;
        let mut load = Load::new(&server)?;
        load.add(pairs_of(self.effort.pairs(pairs), roles))?;
        load.at_rate(rate, MESSAGE_BYTES, self.effort.time(3))?;
        let (run, cpu) = measured(&server, || load.at_rate(rate, MESSAGE_BYTES, self.effort.time(5)))?;
        (self.add)(CPU, cpu);
        self.add_delays(run);
        Ok(())
    }

    fn add_delays(&mut self, mut run: Run) {
        (self.add)("p50 ms", run.percentile(0.50));
        (self.add)("p99 ms", run.percentile(0.99));
    }

    pub(crate) fn handshakes(&mut self, count: usize) -> anyhow::Result<()> {
        let server = self.start()?;
        let (mut load, count) = (Load::new(&server)?, self.effort.many(count));
        load.handshakes(count)?;
        load.clear();
        self.add_handshakes(&server, count, || load.handshakes(count))
    }

    pub(crate) fn upgrades(&mut self, count: usize) -> anyhow::Result<()> {
        let server = self.start()?;
        let (mut upgrades, count) = (Upgrades::new(&server)?, self.effort.many(count));
        upgrades.handshakes(count)?;
        upgrades.clear();
        self.add_handshakes(&server, count, || upgrades.handshakes(count))
    }

    fn add_handshakes(
        &mut self,
        server: &Server,
        count: usize,
        make: impl FnOnce() -> anyhow::Result<f64>,
    ) -> anyhow::Result<()> {
        self.settle();
        let before = server.process.cpu_nanos()?;
        let seconds = make()?;
        // The server does not answer the last packet of an upgrade, but works on it.
        self.settle();
        (self.add)("handshakes/s", count as f64 / seconds);
        (self.add)("CPU us/handshake", (server.process.cpu_nanos()? - before) as f64 / 1e3 / count as f64);
        Ok(())
    }

    pub(crate) fn idle(&mut self, role: Role, count: usize) -> anyhow::Result<()> {
        let server = self.start()?;
        let (mut load, many) = (Load::new(&server)?, self.effort.many(count));
        load.add(std::iter::repeat_n(role, self.effort.many(WARM_UP)))?;
        self.settle();
        let before = server.process.resident_kb()?;
        load.add(std::iter::repeat_n(role, many))?;
        self.settle();
        self.settle();
        (self.add)("KiB each", (server.process.resident_kb()? - before) / many as f64);
        Ok(())
    }

    pub(crate) fn relayed_casts(&mut self, casts: usize) -> anyhow::Result<()> {
        let server = self.start()?;
        let (mut load, many) = (RelayedCasts::new(&server)?, self.effort.many(casts));
        load.add(&server, self.effort.many(WARM_UP))?;
        self.settle();
        let before = server.process.resident_kb()?;
        load.add(&server, many)?;
        self.settle();
        (self.add)("KiB a cast", (server.process.resident_kb()? - before) / many as f64);
        Ok(())
    }

    pub(crate) fn restart(&mut self, tvs: usize) -> anyhow::Result<()> {
        let mut server = self.start()?;
        let (mut load, tvs) = (Load::new(&server)?, self.effort.many(tvs));
        load.add(std::iter::repeat_n(Role::Tv, tvs))?;
        load.clear();
        server.restart(self.cpus)?;
        let begun = Instant::now();
        let before = server.process.cpu_nanos()?;
        load.add(std::iter::repeat_n(Role::Tv, tvs))?;
        (self.add)("s until all have codes", begun.elapsed().as_secs_f64());
        (self.add)("CPU us/TV", (server.process.cpu_nanos()? - before) as f64 / 1e3 / tvs as f64);
        Ok(())
    }
}

fn pairs_of(count: usize, roles: [Role; 2]) -> impl Iterator<Item = Role> {
    std::iter::repeat_n(roles, count).flatten()
}

/// Runs, and also returns the CPU time per message in µs.
fn measured(server: &Server, run: impl FnOnce() -> anyhow::Result<Run>) -> anyhow::Result<(Run, f64)> {
    let before = server.process.cpu_nanos()?;
    let run = run()?;
    let cpu = server.process.cpu_nanos()? - before;
    let each = cpu as f64 / 1e3 / run.received as f64;
    Ok((run, each))
}
