//! The cases that are measured.

use std::time::Duration;

use anyhow::Context;
use castway::turn::Scope;

use crate::allocations;
use crate::options::BenchOptions;
use crate::pairs::Shards;
use crate::server::{Program, Server};
use crate::storm;
use crate::stream_client::StreamTransport;
use crate::support::process::Cpus;
use crate::support::report::Report;
use crate::traffic::{Ends, Framing, Path, Pattern, Run, Senders};

/// One case, which fills some rows of the table.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    load: Load,
}

enum Load {
    /// Offers so many packets a second; measures CPU time per packet, and latency.
    At(f64, Pattern),
    /// Finds the highest rate with less than 1% loss, and the CPU time per packet at that rate.
    Most(Pattern),
    /// Offers so many packets a second over a stream; measures CPU time per megabyte, and latency.
    StreamAt(f64, Pattern),
    /// Finds the most megabytes a second over a stream, in each direction alone.
    StreamMost(Pattern),
    /// Offers so many packets a second, without and with a storm of handshakes at the signaling; measures latency.
    Storm(f64, Pattern),
    /// Makes few and then many allocations of a scope.
    Allocations(Scope),
}

const STEADY: Pattern = Pattern { payload: 1200, burst: 1, trains: false, framing: Framing::Channel, ends: Ends::ClientAndPeer };
const SMALL: Pattern = Pattern { payload: 160, ..STEADY };
const BURSTS: Pattern = Pattern { burst: 8, ..STEADY };
const TRAINS: Pattern = Pattern { burst: 40, trains: true, ..STEADY };
const SEND: Pattern = Pattern { framing: Framing::Indication, ..STEADY };
const ONE_SHARD: Pattern = Pattern { ends: Ends::TwoClients(Shards::One), ..STEADY };
const TWO_SHARDS: Pattern = Pattern { ends: Ends::TwoClients(Shards::Two), ..STEADY };
/// Bursts, as those of a video frame: of packets that come one by one, none could share a write.
const TCP: Pattern = Pattern { ends: Ends::StreamAndPeer(StreamTransport::Tcp), ..BURSTS };
const TLS: Pattern = Pattern { ends: Ends::StreamAndPeer(StreamTransport::Tls), ..BURSTS };
/// 100 Mbit/s of payload.
const STREAM_PACKETS_PER_SECOND: f64 = 100e6 / 8.0 / 1200.0;

/// In the order of the table.
pub(crate) const CASES: [Case; 22] = [
    Case { name: "paced-160", load: Load::At(40e3, SMALL) },
    Case { name: "paced-1200", load: Load::At(40e3, STEADY) },
    Case { name: "bursts-160", load: Load::At(40e3, Pattern { burst: 8, ..SMALL }) },
    Case { name: "bursts-1200", load: Load::At(40e3, BURSTS) },
    Case { name: "gso-1200", load: Load::At(80e3, TRAINS) },
    Case { name: "send-160", load: Load::At(40e3, Pattern { framing: Framing::Indication, ..SMALL }) },
    Case { name: "send-1200", load: Load::At(40e3, SEND) },
    Case { name: "clients-1200", load: Load::At(20e3, ONE_SHARD) },
    Case { name: "clients-bursts-1200", load: Load::At(20e3, Pattern { burst: 8, ..ONE_SHARD }) },
    Case { name: "clients-2-shards-1200", load: Load::At(20e3, TWO_SHARDS) },
    Case { name: "clients-2-shards-bursts-1200", load: Load::At(20e3, Pattern { burst: 8, ..TWO_SHARDS }) },
    Case { name: "most-160", load: Load::Most(SMALL) },
    Case { name: "most-1200", load: Load::Most(STEADY) },
    Case { name: "most-bursts-1200", load: Load::Most(BURSTS) },
    Case { name: "most-gso-1200", load: Load::Most(TRAINS) },
    Case { name: "tcp-1200", load: Load::StreamAt(STREAM_PACKETS_PER_SECOND, TCP) },
    Case { name: "tls-1200", load: Load::StreamAt(STREAM_PACKETS_PER_SECOND, TLS) },
    Case { name: "most-tcp-1200", load: Load::StreamMost(TCP) },
    Case { name: "most-tls-1200", load: Load::StreamMost(TLS) },
    Case { name: "storm-paced-1200", load: Load::Storm(20e3, STEADY) },
    Case { name: "allocations", load: Load::Allocations(Scope::Anyone) },
    Case { name: "allocations-clients", load: Load::Allocations(Scope::Clients) },
];

const LOSS: &str = "loss %";
const OFFERED: &str = "offered packets/s";
const KERNEL_KB: &str = "kB each in the kernel";
/// Measures for which a ratio has no meaning, or that may be 0.
pub(crate) const WITHOUT_RATIO: [&str; 3] = [LOSS, OFFERED, KERNEL_KB];
const CPU: &str = "CPU us/packet";
const CPU_A_MEGABYTE: &str = "CPU us/MB";
const MAX_LOSS: f64 = 0.01;
/// The generator can't send faster, so a result of this size is a lower bound.
const MAX_GENERATOR_PACKETS_PER_SECOND: f64 = 4e6;

impl Case {
    /// Measures all servers alternately, and adds the results to `report`.
    ///
    /// # Errors
    /// The forwarder does not start. Any other server that can't be measured is left out, with a message.
    pub(crate) fn run(&self, options: &BenchOptions, cpus: &Cpus, report: &mut Report) -> anyhow::Result<()> {
        match self.load {
            Load::Allocations(scope) => {
                let many = if options.quick { options.allocations / 10 } else { options.allocations };
                self.run_allocations(options, cpus, report, scope, many)
            }
            Load::Storm(rate, pattern) => storm::run(self.name, options, cpus, report, (rate, pattern)),
            Load::At(_, pattern) | Load::Most(pattern) | Load::StreamAt(_, pattern) | Load::StreamMost(pattern) => {
                self.run_traffic(options, cpus, report, pattern)
            }
        }
    }

    fn run_traffic(&self, options: &BenchOptions, cpus: &Cpus, report: &mut Report, pattern: Pattern) -> anyhow::Result<()> {
        let threads = match pattern.ends {
            Ends::ClientAndPeer | Ends::StreamAndPeer(_) => None,
            Ends::TwoClients(shards) => Some(shards.count()),
        };
        let candidates = options.candidates();
        let mut running = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let is_stream = matches!(pattern.ends, Ends::StreamAndPeer(_));
            if is_stream && matches!(candidate.program, Program::Forwarder) {
                continue;
            }
            let started =
                if is_stream { Server::start_with_streams(candidate, cpus) } else { Server::start(candidate, threads, cpus) };
            let opened = started.and_then(|server| {
                let path = Path::open(&server, pattern, options.gro)?;
                Ok((index, server, path))
            });
            match opened {
                Ok(opened) => running.push(opened),
                Err(error) => eprintln!("{}: {} is left out: {error:#}", self.name, candidate.name),
            }
        }
        let mut direct = Path::direct(pattern, options.gro)?;
        for pair in 0..options.pairs {
            // The order alternates, so that a drift of the machine does not always favour the same server.
            if pair > 0 {
                running.reverse();
            }
            for (index, server, path) in &mut running {
                let mut add = |measure, value| report.add(self.name, measure, *index, value);
                let measured = self.measure(options, &mut add, server, path, &mut direct);
                measured.with_context(|| format!("{}: {}", self.name, candidates[*index].name))?;
            }
        }
        Ok(())
    }

    fn measure(
        &self,
        options: &BenchOptions,
        add: &mut dyn FnMut(&'static str, f64),
        server: &Server,
        path: &mut Path,
        direct: &mut Path,
    ) -> anyhow::Result<()> {
        let time = Duration::from_millis(if options.quick { 300 } else { 2_000 });
        match self.load {
            Load::At(rate, _) => {
                path.run(rate, time / 10)?;
                let mut without = direct.run(rate, time / 10)?;
                let (mut run, cpu) = measured(server, path, rate, time)?;
                add(CPU, cpu);
                add("added p50 us", run.percentile(0.50) - without.percentile(0.50));
                add("added p99 us", run.percentile(0.99) - without.percentile(0.99));
                add(LOSS, run.loss() * 100.0);
                // If fewer packets were sent than offered, the generator was delayed, and the row is less reliable.
                add(OFFERED, run.sent as f64 / run.seconds);
            }
            Load::Most(_) => {
                let (rate, cpu) = fastest(server, path, time / 5)?;
                add("packets/s", rate);
                add(CPU, cpu);
            }
            Load::StreamAt(rate, pattern) => {
                path.run(rate, time / 10)?;
                let mut without = direct.run(rate, time / 10)?;
                let (mut run, cpu) = measured(server, path, rate, time)?;
                add(CPU_A_MEGABYTE, cpu / megabytes(pattern));
                add("added p50 us", run.percentile(0.50) - without.percentile(0.50));
                add("added p99 us", run.percentile(0.99) - without.percentile(0.99));
                add(LOSS, run.loss() * 100.0);
            }
            Load::StreamMost(pattern) => {
                let directions = [
                    (Senders::First, "MB/s to the peer", "CPU us/MB to the peer"),
                    (Senders::Second, "MB/s to the client", "CPU us/MB to the client"),
                ];
                for (senders, most, cpu_a_megabyte) in directions {
                    path.senders = senders;
                    let (rate, cpu) = fastest(server, path, time / 5)?;
                    add(most, rate * megabytes(pattern));
                    add(cpu_a_megabyte, cpu / megabytes(pattern));
                }
            }
            Load::Allocations(_) | Load::Storm(..) => {}
        }
        Ok(())
    }

    fn run_allocations(
        &self,
        options: &BenchOptions,
        cpus: &Cpus,
        report: &mut Report,
        scope: Scope,
        many: usize,
    ) -> anyhow::Result<()> {
        let candidates = options.candidates();
        let is_relay = |index: &usize| !matches!(candidates[*index].program, Program::Forwarder);
        let mut measured: Vec<usize> = (0..candidates.len()).filter(is_relay).collect();
        for _ in 0..options.pairs {
            measured.reverse();
            for index in measured.clone() {
                let candidate = &candidates[index];
                let started = Server::start(candidate, None, cpus);
                match started.and_then(|server| allocations::measure(&server, scope, many / 10, many)) {
                    Ok(costs) => {
                        let mut add = |measure, value| report.add(self.name, measure, index, value);
                        add("kB each of the first 10%", costs.kb[0]);
                        add("kB each of all", costs.kb[1]);
                        if let Some(kernel_kb) = costs.kernel_kb {
                            add(KERNEL_KB, kernel_kb);
                            add("kB each with the kernel's", costs.kb[1] + kernel_kb);
                        }
                        add("Allocates/s", costs.rate);
                        add("CPU us/Allocate", costs.cpu_micros);
                    }
                    Err(error) => {
                        eprintln!("{}: {} is left out: {error:#}", self.name, candidate.name);
                        measured.retain(|other| *other != index);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Megabytes of payload in one packet.
fn megabytes(pattern: Pattern) -> f64 {
    pattern.payload as f64 / 1e6
}

/// Doubles the rate until packets are lost, then bisects. Returns the packets a second that arrive, and the CPU time per packet
/// in µs.
fn fastest(server: &Server, path: &mut Path, time: Duration) -> anyhow::Result<(f64, f64)> {
    let mut best = (0.0, f64::NAN);
    let (mut good, mut bad) = (0.0, MAX_GENERATOR_PACKETS_PER_SECOND);
    let mut rate = 40e3;
    for _ in 0..12 {
        let (mut run, mut cpu) = measured(server, path, rate, time)?;
        if run.loss() >= MAX_LOSS {
            // A single loss may be due to other load on the machine.
            (run, cpu) = measured(server, path, rate, time)?;
        }
        if run.loss() < MAX_LOSS {
            if run.rate() > best.0 {
                best = (run.rate(), cpu);
            }
            good = rate;
        } else {
            bad = rate;
        }
        if bad / good.max(1.0) < 1.06 {
            break;
        }
        rate = if bad < MAX_GENERATOR_PACKETS_PER_SECOND {
            f64::midpoint(good, bad)
        } else {
            (rate * 1.7).min(MAX_GENERATOR_PACKETS_PER_SECOND)
        };
    }
    Ok(best)
}

/// Runs once, and also returns the CPU time per packet in µs.
fn measured(server: &Server, path: &mut Path, rate: f64, time: Duration) -> anyhow::Result<(Run, f64)> {
    let cpu = server.process.cpu_nanos()?;
    let run = path.run(rate, time)?;
    let cpu = server.process.cpu_nanos()? - cpu;
    let each = cpu as f64 / 1e3 / run.received as f64;
    Ok((run, each))
}
