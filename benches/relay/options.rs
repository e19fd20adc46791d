//! The options of the command line.

use clap::Parser;

use crate::server::Kind;

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
    /// Print the table as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// List the cases
    #[arg(long)]
    pub(crate) list: bool,
    /// Leave Castway out
    #[arg(long)]
    pub(crate) without_castway: bool,
    /// Receivers take whole trains (UDP_GRO), which browsers do not
    #[arg(long)]
    pub(crate) gro: bool,
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
    /// The servers to measure.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let kinds = [Kind::Castway, Kind::Coturn, Kind::Bare].into_iter();
        kinds.filter(|kind| *kind != Kind::Castway || !self.without_castway).collect()
    }
}
