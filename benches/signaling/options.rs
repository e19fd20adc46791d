//! The options of the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

#[derive(Debug, Parser)]
pub(crate) struct BenchOptions {
    /// One short round: a look, not a measurement
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only cases whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Only servers whose name (castway, node, bun) contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Vec<String>,
    /// How often each server is measured
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub(crate) rounds: usize,
    /// List the cases
    #[arg(long)]
    pub(crate) list: bool,
    /// Clients of the idle cases; fewer if the limit of open descriptors allows only those
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub(crate) idle: usize,
    /// Also measure 50,000 idle clients, or as many as the limit of open descriptors allows
    #[arg(long)]
    pub(crate) idle_most: bool,
    /// Measure nothing: play the cast flow with python-socketio on each server, and fail if an event is missing
    #[arg(long)]
    pub(crate) check: bool,
    /// The Python of --check, with the packages of tests/interop/requirements.txt
    #[arg(long, default_value = "tests/.venv/bin/python", value_name = "PATH")]
    pub(crate) python: PathBuf,
    /// Run everything once and briefly; a debug build always does
    #[arg(long)]
    pub(crate) test: bool,
    /// Cargo passes this option.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Only shows that everything works.
    Brief,
    Quick,
    Full,
}

impl BenchOptions {
    pub(crate) fn effort(&self) -> Effort {
        match () {
            () if self.test || cfg!(debug_assertions) => Effort::Brief,
            () if self.quick => Effort::Quick,
            () => Effort::Full,
        }
    }

    pub(crate) fn rounds(&self) -> usize {
        if self.effort() == Effort::Full { self.rounds } else { 1 }
    }
}

impl Effort {
    /// How many of `count` clients, casts or handshakes are made.
    pub(crate) fn many(self, count: usize) -> usize {
        match self {
            Self::Brief => count.min(20),
            Self::Quick => count / 10,
            Self::Full => count,
        }
    }

    /// How many of `count` pairs send.
    pub(crate) fn pairs(self, count: usize) -> usize {
        if self == Self::Brief { count.min(4) } else { count }
    }

    pub(crate) fn time(self, seconds: u64) -> Duration {
        match self {
            Self::Brief => Duration::from_millis(50),
            Self::Quick => Duration::from_secs(1),
            Self::Full => Duration::from_secs(seconds),
        }
    }

    /// Time for the work that a server does after it has answered.
    pub(crate) fn settle_time(self) -> Duration {
        Duration::from_millis(if self == Self::Brief { 10 } else { 1000 })
    }
}
