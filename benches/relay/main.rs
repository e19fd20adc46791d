//! Compares Castway's relay with Debian's coturn, with other turnservers and with a forwarder without TURN, alternately, on this
//! machine's loopback.
//!
//! `cargo bench --bench relay` prints the table; `--help` lists the options. The generator spins on CPUs of its own and stamps
//! each packet; the CPU time of a server is what the kernel accounts to its threads. Over loopback this includes a packet's whole
//! path to the receiver's queue. It includes neither the wake-up of the receiver nor the work of a network card's driver. If a
//! receiver does not accept trains (the default here, as with browsers), the kernel segments a train on the way, in the sender's
//! CPU time. A network card without segmentation offload would cost as much.

mod allocations;
mod cases;
mod forwarder;
mod kernel_memory;
mod options;
mod pairs;
mod server;
mod storm;
mod stream_client;
#[path = "../support/mod.rs"]
mod support;
mod traffic;

use clap::Parser;

use crate::cases::CASES;
use crate::options::BenchOptions;
use crate::support::process::Cpus;
use crate::support::report::Report;
use crate::support::turn_client as client;

fn main() -> anyhow::Result<()> {
    let mut options = BenchOptions::parse();
    if options.forwarder {
        return forwarder::run();
    }
    if options.quick {
        options.pairs = 1;
    }
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|only| name.contains(only.as_str()));
    let cases: Vec<_> = CASES.iter().filter(|case| wanted(case.name)).collect();
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(());
    }

    support::process::raise_descriptor_limit()?;
    let cpus = Cpus::split(options.server_cpus)?;
    cpus.use_for_generator()?;
    let mut report = Report::new(options.columns(), &cases::WITHOUT_RATIO);
    for case in cases {
        eprintln!("{} …", case.name);
        case.run(&options, &cpus, &mut report)?;
    }
    println!("{}; {} pairs; receivers take trains: {}\n", cpus.describe(), options.pairs, options.gro);
    print!("{}", report.render());
    Ok(())
}
