//! The options of the command line.

use std::process::Command;

use clap::Parser;

use crate::server::{Candidate, Program};
use crate::support::report::{Column, Role};

#[derive(Debug, Parser)]
pub(crate) struct BenchOptions {
    /// One pair of short runs: a look, not a measurement
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only cases whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// How often each server is measured
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub(crate) pairs: usize,
    /// List the cases
    #[arg(long)]
    pub(crate) list: bool,
    /// Also measure this turnserver, which has coturn's options; may be given several times. A server with ports of its own needs them
    /// here too: 'coturn 4.17.1=/opt/coturn/bin/turnserver --multiplex-peer --multiplex-peer-port 9000 --udp-gso'
    #[arg(long = "turnserver", value_name = "NAME=PATH ARGUMENTS")]
    pub(crate) turnservers: Vec<Candidate>,
    /// Leave Castway out
    #[arg(long)]
    pub(crate) without_castway: bool,
    /// Receivers take whole trains (UDP_GRO), which browsers do not
    #[arg(long)]
    pub(crate) gro: bool,
    /// How many allocations the case of that name makes; Castway needs about two and a half descriptors for each
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub(crate) allocations: usize,
    /// CPUs of the servers
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub(crate) server_cpus: usize,
    #[arg(long, hide = true)]
    pub(crate) forwarder: bool,
    /// Cargo passes this option.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

impl BenchOptions {
    /// The servers to measure, in the order of the report's columns.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let candidate = |name: &str, program| Candidate { name: name.to_owned(), program };
        let installed = Program::Turnserver { path: "turnserver".to_owned(), arguments: Vec::new() };
        let castway = (!self.without_castway).then(|| candidate("castway", Program::Castway));
        let turnservers = [candidate(&format!("coturn {}", version("turnserver").unwrap_or_default()), installed)]
            .into_iter()
            .chain(self.turnservers.iter().cloned());
        castway.into_iter().chain(turnservers).chain([candidate("bare forward", Program::Forwarder)]).collect()
    }

    /// The columns of the report.
    pub(crate) fn columns(&self) -> Vec<Column> {
        let role = |program: &Program| match program {
            Program::Castway => Role::Castway,
            Program::Turnserver { .. } => Role::Opponent,
            Program::Forwarder => Role::Limit,
        };
        let details = |program: &Program| match program {
            Program::Turnserver { path, arguments } => {
                format!("{} {}", version(path).unwrap_or_default(), arguments.join(" ")).trim().to_owned()
            }
            Program::Castway | Program::Forwarder => String::new(),
        };
        let candidates = self.candidates().into_iter();
        candidates.map(|Candidate { name, program }| Column { role: role(&program), details: details(&program), name }).collect()
    }
}

/// The version that a turnserver says; `None`: it is not there.
fn version(path: &str) -> Option<String> {
    let output = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().lines().next_back()?.to_owned())
}
