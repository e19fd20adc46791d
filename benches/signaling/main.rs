//! Compares Castway's signaling with Socket.IO's own server on Node, and on Bun with its own engine, alternately, on this machine's
//! loopback.
//!
//! `cargo bench --bench signaling` prints the table; `--help` lists the options, and `npm ci --prefix benches/signaling/servers` installs
//! the other servers. The generator speaks the cast flow, AppRTC and RTCMultiConnection over raw WebSockets on one CPU, and each server
//! runs on another one. A message is a kibibyte that a client sends and the other side of its cast or room receives.

mod cases;
mod check;
mod load;
mod measures;
mod options;
mod relayed_casts;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod upgrade;

use clap::Parser;

use crate::cases::CASES;
use crate::options::BenchOptions;
use crate::servers::Program;
use crate::support::process::{self, Cpus};
use crate::support::report::Report;

fn main() -> anyhow::Result<()> {
    let options = BenchOptions::parse();
    let contains = |wanted: &[String], name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let mut cases: Vec<_> = CASES.iter().filter(|case| contains(&options.only, case.name)).collect();
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(());
    }
    process::raise_descriptor_limit()?;
    cases.retain(|case| case.is_wanted(&options));
    let cpus = Cpus::split(1)?;
    cpus.use_for_generator()?;
    let mut servers: Vec<_> = Program::ALL.into_iter().filter(|server| contains(&options.server, server.name())).collect();
    servers.retain(|server| {
        let is_installed = server.is_installed();
        if !is_installed {
            eprintln!("{} is left out: npm ci --prefix benches/signaling/servers installs it", server.name());
        }
        is_installed
    });
    if options.check {
        return check::run(&options.python, &servers, &cpus);
    }
    let columns = servers.iter().map(|server| server.column()).collect::<Result<_, _>>()?;
    let mut report = Report::new(columns, &cases::WITHOUT_RATIO);
    for case in cases {
        eprintln!("{} …", case.name);
        case.run(&options, &servers, &cpus, &mut report)?;
    }
    println!("{}; {} rounds\n", cpus.describe(), options.rounds());
    print!("{}", report.render());
    Ok(())
}
