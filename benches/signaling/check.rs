//! A check with a client of another author: python-socketio plays the cast flow on each server.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::servers::{Program, Server, Service};
use crate::support::process::Cpus;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/signaling/servers/check.py");

/// Plays the cast flow on each server.
///
/// # Errors
/// A server does not start, or an event is missing.
pub(crate) fn run(python: &Path, servers: &[Program], cpus: &Cpus) -> anyhow::Result<()> {
    for program in servers {
        let server = Server::start(*program, Service::Cast, cpus)?;
        let mut command = Command::new(python);
        command.arg(SCRIPT).arg(server.address().port().to_string());
        let output = command.output().with_context(|| {
            format!(
                "{} does not start: install tests/interop/requirements.txt, and name its Python with --python",
                python.display()
            )
        })?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", program.name(), errors.trim());
        println!("{}: {}", program.name(), String::from_utf8_lossy(&output.stdout).trim());
    }
    Ok(())
}
