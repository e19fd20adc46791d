//! `castway`: config → build → run → drain.

use std::process::ExitCode;

fn main() -> ExitCode {
    castway::cli::run(|_config| anyhow::bail!("the server is not built yet; the other commands work"))
}
