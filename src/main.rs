//! `castway`: config → build → run → drain.

use std::io::{self, Write as _};
use std::pin::pin;
use std::process::ExitCode;

use castway::app::App;
use castway::app::signals::StopSignals;
use castway::app::telemetry;
use castway::cli;
use castway::config::{Config, LogFormat};
use tokio::sync::oneshot;

/// After so many tasks a worker takes one from the common queue, where those wait that its own queue had no room for. With tokio's own 31
/// to 127 they wait longest under load: the slowest hundredth of messages took four times as long. 1 would be fairest, but then all workers
/// would take the lock of the common queue for each task.
const GLOBAL_QUEUE_INTERVAL: u32 = 2;

fn main() -> ExitCode {
    cli::run(|config| {
        telemetry::start(&config.log);
        serve(config)
    })
}

fn serve(config: Config) -> anyhow::Result<()> {
    let format = config.log.format;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.enable_all().global_queue_interval(GLOBAL_QUEUE_INTERVAL).build()?;
    let result = runtime.block_on(async {
        let mut stop = pin!(first_of(StopSignals::listen()?));
        let app = tokio::select! {
            app = App::build(config) => app?,
            () = &mut stop => return Ok(()),
        };
        let report = app.startup_report();
        match format {
            // Ignore a closed standard output and keep serving.
            LogFormat::Text => drop(writeln!(io::stdout(), "{report}")),
            LogFormat::Json => telemetry::say_report(&report.title, &report.lines, &report.warnings),
        }
        app.run(stop).await
    });
    // Nobody waits for the results of look-ups and hashes that still run on threads of their own.
    runtime.shutdown_background();
    result
}

/// Ends at the first request to stop. A second request ends the program immediately.
async fn first_of(mut stop: StopSignals) {
    let (first, requested) = oneshot::channel();
    tokio::spawn(async move {
        let name = stop.requested().await;
        tracing::info!("{name}: stopping; a second signal ends the program immediately");
        first.send(()).ok();
        stop.requested().await;
        std::process::exit(130);
    });
    requested.await.ok();
}
