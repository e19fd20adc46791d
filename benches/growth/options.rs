//! The options of the command line.

use std::path::PathBuf;

use clap::Parser;

#[derive(Debug, Parser)]
pub(crate) struct BenchOptions {
    /// Small numbers and one short round: a look, not a measurement
    #[arg(long, visible_alias = "test")]
    pub(crate) quick: bool,
    /// Also draw the table of nanoseconds as an SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// How often everything is made anew and measured
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub(crate) rounds: usize,
    /// Cargo passes this option.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}
