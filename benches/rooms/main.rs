//! Measures the lock that all rooms of the cast flow share: for how long an event holds it, how many candidates threads pass through it, and
//! at which rate it would be the limit on machines with more cores.
//!
//! `cargo bench --bench rooms` prints three tables; `--help` lists the options. The gateway, its lock and the Socket.IO server are the real
//! ones, called in process by polling: a POST handles all events of its payload on the thread that sends it. So no socket and no wake of a
//! task is measured, and much less is done outside of the lock than on a server; the simulation adds that.

mod gateway;
mod hold;
#[path = "../support/percentile.rs"]
mod percentile;
mod simulation;
mod throughput;

use std::time::Duration;

use clap::Parser;

use crate::simulation::Machine;

#[derive(Debug, Parser)]
struct BenchOptions {
    /// Run everything briefly: a look, not a measurement
    #[arg(long, alias = "test")]
    quick: bool,
    /// Rooms with a cast each, 380 at most: a server keeps 768 sessions that poll and are not polled at present
    #[arg(long, default_value_t = 200, value_name = "COUNT")]
    rooms: usize,
    /// How often each event is measured
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    events: usize,
    /// How long each number of threads is measured
    #[arg(long, default_value_t = 4.0, value_name = "SECONDS")]
    seconds: f64,
    /// Simulate with this time of a candidate under the lock; measured without it
    #[arg(long, value_name = "NANOSECONDS")]
    hold: Option<f64>,
    /// All CPU time of a message over sockets, the time under the lock included
    #[arg(long, default_value_t = 8800.0, value_name = "NANOSECONDS")]
    message: f64,
    #[command(flatten)]
    machine: Machine,
    /// Cargo passes this option.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let mut options = BenchOptions::parse();
    let brief = options.quick || cfg!(debug_assertions);
    if brief {
        options.rooms = options.rooms.min(40);
        options.events = options.events.min(50);
        options.seconds = options.seconds.min(0.3);
    }
    let measured = hold::measure(options.rooms, options.events)?;
    println!("{measured}");
    println!("{}", throughput::measure(options.rooms, Duration::from_secs_f64(options.seconds))?);
    let (mut hold, mut message) = (options.hold.unwrap_or(measured.candidate), options.message);
    if brief {
        // A few events, without optimization, may seem to take no time, or more than a whole message.
        hold = hold.max(1.0);
        message = message.max(2.0 * hold);
    }
    print!("{}", simulation::run(hold, message, &options.machine)?);
    Ok(())
}
