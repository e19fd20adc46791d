//! Castway's relay against Debian's coturn and against a forwarder without TURN, by turns, on this machine's loopback.
//!
//! `cargo bench --bench relay` prints the table; `--help` says what else. The generator spins on CPUs of its own and stamps each
//! packet; the servers' CPU time is what the kernel booked on their threads. Over loopback that holds the whole way of a packet
//! to the receiver's queue, but not the wake of the receiver, nor the work of a network card's driver. A train of packets is
//! segmented on the way into a receiver that does not take trains (the default here, as with browsers), on the sender's time:
//! as much as a card without segmentation offload would cost.

mod allocations;
mod cases;
mod client;
mod forwarder;
mod options;
mod process;
mod report;
mod server;
mod traffic;

use clap::Parser;

use crate::cases::CASES;
use crate::options::BenchOptions;
use crate::process::Cpus;
use crate::report::Report;

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

    process::raise_descriptor_limit()?;
    let cpus = Cpus::split(options.server_cpus)?;
    cpus.use_for_generator()?;
    let mut report = Report::default();
    for case in cases {
        eprintln!("{} …", case.name);
        case.run(&options, &cpus, &mut report)?;
    }
    println!("{}; {} pairs; receivers take trains: {}\n", cpus.describe(), options.pairs, options.gro);
    print!("{}", report.render(options.markdown));
    Ok(())
}
