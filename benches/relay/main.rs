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
mod process;
mod report;
mod server;
mod traffic;

use clap::Parser;

use crate::cases::CASES;
use crate::process::Cpus;
use crate::report::Report;
use crate::server::Kind;

#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// One pair of short runs: a look, not a measurement
    #[arg(long)]
    quick: bool,
    /// Only cases whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How often each server is measured
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pairs: usize,
    /// Print the table as Markdown
    #[arg(long)]
    markdown: bool,
    /// List the cases
    #[arg(long)]
    list: bool,
    /// Leave Castway out
    #[arg(long)]
    without_castway: bool,
    /// Receivers take whole trains (UDP_GRO), which browsers do not
    #[arg(long)]
    gro: bool,
    /// CPUs of the servers
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    server_cpus: usize,
    #[arg(long, hide = true)]
    forwarder: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    fn kinds(&self) -> Vec<Kind> {
        let kinds = [Kind::Castway, Kind::Coturn, Kind::Bare].into_iter();
        kinds.filter(|kind| *kind != Kind::Castway || !self.without_castway).collect()
    }
}

fn main() -> anyhow::Result<()> {
    let mut options = Options::parse();
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
